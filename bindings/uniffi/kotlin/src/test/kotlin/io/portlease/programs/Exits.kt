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
        // No folder: that is a warning.
        val mapper = Mapper.start(config(arguments).copy(stateDir = "/proc/self/none".takeIf { how == "told" }))
        runBlocking { mapper.map(4000, Transport.UDP).ready() }
        // A wait that nobody waits for.
        GlobalScope.launch(start = CoroutineStart.UNDISPATCHED) { repeat(100) { mapper.nextEvent() } }
        // The word for which the test waits.
        println("mapped")
        when (how) {
            "return" -> return
            "exit" -> exitProcess(7)
            "throw" -> error("the program's own")
            "wait", "told" -> Thread.sleep(Long.MAX_VALUE)
            "off" -> System.setProperty("portlease.releaseAtExit", "false")
            else -> error("no such way: $how")
        }
    }
}
