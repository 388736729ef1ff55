package io.portlease.programs

import io.portlease.Config
import io.portlease.Gateway
import java.io.File
import java.util.concurrent.TimeUnit

/** A program in a JVM of its own, small and quick to start, which gets the gateway's place as its arguments. */
class Program(main: String, gateway: Gateway, vararg arguments: String, options: List<String> = emptyList()) {
    private val output = File.createTempFile("portlease-$main", ".out").apply { deleteOnExit() }

    private val process: Process = ProcessBuilder(
        listOf(File(System.getProperty("java.home"), "bin/java").path) + SMALL + QUIET + options + listOf("-cp", classPath(), main) +
            listOf("gateway", "pcp_port", "ssdp_address").map { gateway.started[it].asString } + arguments,
    ).redirectErrorStream(true).redirectOutput(output).start()

    /** What it has said so far. */
    fun said(): String = output.readText()

    /** Its exit status; a program that does not end by then is a failure, and is ended. */
    fun ended(withinSeconds: Long): Int {
        if (!process.waitFor(withinSeconds, TimeUnit.SECONDS)) {
            process.destroyForcibly()
            error("still runs after $withinSeconds s; it said: ${said()}")
        }
        return process.exitValue()
    }

    /** Asks it to end, as Ctrl-C does. */
    fun terminate() = process.destroy()

    private companion object {
        /** Soon ready to run, and of a size that only native memory changes. */
        val SMALL = listOf("-Xms64m", "-Xmx64m", "-XX:+AlwaysPreTouch", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

        /** The platform's log goes where a program's output goes; only tests about it want it. */
        val QUIET = listOf("-Djava.util.logging.config.file=src/test/resources/quiet.properties")

        /** Maven's runner may hide the class path in a jar of its own and keep the real one here. */
        fun classPath(): String = System.getProperty("surefire.test.class.path") ?: System.getProperty("java.class.path")
    }
}

/** The configuration out of a program's arguments. */
fun config(arguments: Array<String>) =
    Config(gateway = arguments[0], pcpPort = arguments[1].toInt(), ssdpAddress = arguments[2])
