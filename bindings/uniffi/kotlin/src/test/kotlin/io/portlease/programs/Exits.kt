package io.portlease.programs

import io.portlease.Mapper
import io.portlease.Transport
import kotlin.system.exitProcess
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.DelicateCoroutinesApi
import kotlinx.coroutines.GlobalScope
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

/** Programs that end, one way or another, with a mapper open. */
object Exits {
    @OptIn(DelicateCoroutinesApi::class)
    @JvmStatic
    fun main(arguments: Array<String>) {
        val how = arguments[3]
        if (how == "twice") println(runCatching { Mapper.start(config(arguments)) })
        val mapper = Mapper.start(config(arguments))
        runBlocking { mapper.map(4000, Transport.UDP).ready() }
        // A wait that nobody waits for.
        GlobalScope.launch(start = CoroutineStart.UNDISPATCHED) { repeat(100) { mapper.nextEvent() } }
        // Before the word for which the test waits: it asks the program to end as soon as that is said.
        if (how == "hook") Runtime.getRuntime().addShutdownHook(Thread { mapper.close() })
        println("mapped")
        when (how) {
            "return" -> return
            "exit" -> exitProcess(7)
            "throw" -> error("the program's own")
            "hook" -> Thread.sleep(Long.MAX_VALUE)
            else -> error("no such way: $how")
        }
    }
}
