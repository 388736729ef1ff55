package io.portlease.programs

import io.portlease.Mapper
import io.portlease.Transport
import java.io.File
import java.net.URLClassLoader
import java.util.logging.Handler
import java.util.logging.LogRecord
import java.util.logging.Logger
import kotlin.system.exitProcess
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.DelicateCoroutinesApi
import kotlinx.coroutines.GlobalScope
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

/** What a program's own handler of log records may do. */
private object Failing : Handler() {
    override fun publish(record: LogRecord): Unit = error("the program's own")

    override fun flush() = Unit

    override fun close() = Unit
}

/** Programs that end, one way or another, with a mapper open. */
object Exits {
    @OptIn(DelicateCoroutinesApi::class)
    @JvmStatic
    fun main(arguments: Array<String>) {
        val how = arguments[3]
        if (how == "unloaded") return unloaded(arguments)
        if (how == "told") Logger.getLogger("").addHandler(Failing)
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

    /** As hosts of plugins do: the classes come from a loader that is closed long before the JVM ends. */
    private fun unloaded(arguments: Array<String>) {
        val places = System.getProperty("java.class.path").split(File.pathSeparator).map { File(it).toURI().toURL() }
        URLClassLoader(places.toTypedArray(), ClassLoader.getPlatformClassLoader()).use { loader ->
            val main = loader.loadClass(Exits::class.java.name).getMethod("main", Array<String>::class.java)
            main.invoke(null, arguments.sliceArray(0..2) + "return")
        }
    }
}
