package io.portlease

import io.portlease.programs.Program
import java.io.File
import java.util.jar.JarFile
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.parallel.ResourceLock

/** What the README and MIGRATION.md show is what `kotlin/examples` has, is compiled with these tests, and does what it says. */
@ResourceLock("a JVM of its own") // one at a time: starting them takes the processors from the scenarios
class ReadmeTest {
    private fun blocks(language: String): List<String> {
        val pages = listOf("README.md", "kotlin/MIGRATION.md").joinToString("") { File(checkout, "bindings/uniffi/$it").readText() }
        return Regex("(?s)```$language\n(.*?)```").findAll(pages).map { it.groupValues[1] }.toList()
    }

    @Test
    fun `every program of the two is one of the examples, and all are there`() {
        val examples = File("examples").listFiles()!!.map { it.readText() }
        assertEquals(examples.sorted(), (blocks("kotlin") + blocks("java")).sorted())
    }

    @Test
    fun `the README's dependency is this project's`() {
        val pom = File("pom.xml").readText()
        val wanted = blocks("xml").single().lines().map(String::trim).filter { Regex("<(groupId|artifactId|version)>.*").matches(it) }
        assertEquals(3, wanted.size)
        for (line in wanted) assertTrue(line in pom, line)
    }

    @Test
    fun `the jar of the sources has the written and the generated ones`() {
        val jar = File("target").listFiles()!!.single { it.name.endsWith("-sources.jar") }
        val names = JarFile(jar).use { file -> file.entries().toList().map { it.name } }
        assertTrue(names.containsAll(listOf("io/portlease/Mapper.kt", "io/portlease/portlease.kt", "io/portlease/testing/Gateway.kt")), "$names")
        assertTrue(names.none { it.endsWith(".so") }, "$names")
    }

    @Test
    fun `the program with two ports maps both and releases both`() = Gateway().use { gateway ->
        val program = Program("PortsKt", gateway)
        assertEquals(0, program.ended(60), program.said())
        val lines = program.said().lines().filter(String::isNotEmpty)
        assertEquals(
            listOf("192.0.1.1:4000, public", "192.0.1.1:80", "exited null", "exited null", "installed 192.0.1.1:4000", "installed 192.0.1.1:80"),
            lines.sorted(),
        )
        assertEquals(0, gateway.mappings())
    }

    @Test
    fun `the program of MIGRATION_md maps its port, and releases it`() = Gateway().use { gateway ->
        val program = Program("MigratedKt", gateway)
        assertEquals(0, program.ended(60), program.said())
        assertEquals("192.0.1.1:4000\n", program.said())
        assertEquals(0, gateway.mappings())
    }
}
