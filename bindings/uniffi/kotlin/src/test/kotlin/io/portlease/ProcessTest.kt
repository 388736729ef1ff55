package io.portlease

import io.portlease.programs.Program
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.RepeatedTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.parallel.ResourceLock
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.CsvSource

/** What is seen of a whole process: how it ends, and what it holds after a long time. */
@ResourceLock("a JVM of its own") // one at a time: starting them takes the processors from the scenarios
class ProcessTest {
    private val exits = "io.portlease.programs.Exits"

    /** A JVM's start and end on a busy machine; an engine that kept it alive would do so for ever. */
    private val soon = 60L

    @ParameterizedTest(name = "{0}")
    @CsvSource("return, 0, 0", "exit, 7, 0", "throw, 1, 0", "off, 0, 1", "unloaded, 0, 0")
    fun `a process ends by itself with a mapper open and a wait going on, and releases unless that is off`(
        how: String,
        status: Int,
        left: Int,
    ) {
        Gateway().use { gateway ->
            val program = Program(exits, gateway, how)
            assertEquals(status, program.ended(soon), program.said())
            assertTrue(program.said().startsWith("mapped\n"), program.said())
            assertEquals(left, gateway.mappings(), program.said())
        }
    }

    @Test
    fun `a process that is asked to end releases, and one whose router is gone ends all the same`() = Gateway().use { gateway ->
        for (silent in listOf(false, true)) {
            val program = Program(exits, gateway, "wait")
            gateway.awaitMappings(1)
            eventually("the program waits") { program.said() == "mapped\n" }
            if (silent) gateway.tell("""{"set":{"pcp":"silent","nat_pmp":"silent","upnp":"silent"}}""")
            program.terminate()
            program.ended(soon)
            assertEquals(if (silent) 1 else 0, gateway.mappings())
        }
    }

    @ParameterizedTest(name = "{0}")
    @CsvSource(
        "-Djna.prefix=plan9-vax, this portlease jar has no native library for plan9-vax: ",
        "-Djna.tmpdir=/proc/self, does not load; where the folder for temporary files takes no programs",
    )
    fun `where the native library does not load, the error says what to do, the second time too`(option: String, advice: String) {
        Gateway().use { gateway ->
            val program = Program(exits, gateway, "twice", options = listOf(option))
            assertEquals(1, program.ended(soon), program.said())
            val errors = program.said().lines().filter { "UnsatisfiedLinkError: " in it && advice in it }
            assertEquals(2, errors.size, program.said())
        }
    }

    private val firstCalls = "io.portlease.programs.FirstCalls"

    @Test
    fun `the class over which JNA's locks meet is initialized by one thread alone, before all calls`() = Gateway().use { gateway ->
        val program = Program(firstCalls, gateway, "prepare", options = listOf("-Xlog:class+init=info"))
        assertEquals(0, program.ended(soon), program.said())
        val before = program.said().substringBefore("prepared\n", missingDelimiterValue = "")
        assertTrue("Initializing 'com/sun/jna/Structure\$FFIType'" in before, before.takeLast(2000))
    }

    @RepeatedTest(4) // the threads must meet within a millisecond: without care, in two of three runs they do
    fun `threads whose first calls come at once do not hold each other up`() = Gateway().use { gateway ->
        val program = Program(firstCalls, gateway)
        assertEquals(0, program.ended(soon), program.said())
        assertEquals("done\n", program.said())
    }

    @Test
    fun `two hundred mappers and detached leases later nothing more is held than before`() = Gateway().use { gateway ->
        val program = Program("io.portlease.programs.Cycles", gateway, "200")
        assertEquals(0, program.ended(100), program.said())
        val held = program.said().lines().filter(String::isNotEmpty).associate { line ->
            val (what, before, after) = line.split(" ")
            what to (before.toLong() to after.toLong())
        }
        assertEquals(setOf("threads", "java-threads", "files", "continuations", "kib"), held.keys, program.said())
        assertEquals(0L to 0L, held["continuations"], program.said())
        for (what in listOf("threads", "java-threads", "files")) {
            val (before, after) = held.getValue(what)
            assertTrue(after <= before + 1, "$what: ${program.said()}")
        }
        // One engine that was never let go is about 60 KiB, so 200 of them would be 12 MiB.
        val (before, after) = held.getValue("kib")
        assertTrue(after - before < 6_000, "kib: ${program.said()}")
    }
}
