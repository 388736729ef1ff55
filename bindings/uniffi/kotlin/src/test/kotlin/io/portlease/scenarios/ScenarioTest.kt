package io.portlease.scenarios

import com.google.gson.JsonParser
import io.portlease.checkout
import java.io.File
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Assertions.fail
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory

/** Plays every scenario of `tests/scenarios`, each as a test of its own. The README there has the format. */
class ScenarioTest {
    private val folder = File(checkout, "tests/scenarios")

    @TestFactory
    fun scenarios(): List<DynamicTest> = files(folder).map { file ->
        dynamicTest(title(file)) { runBlocking { play(Scenario.read(file)) } }
    }

    /** Scenarios that say something wrong: the runner must notice, and at the right place. */
    @TestFactory
    fun scenariosThatMustFail(): List<DynamicTest> = files(File(folder, "must_fail")).map { file ->
        dynamicTest("must fail: ${title(file)}") {
            // What cannot even be read is noticed already, so it names no place.
            val scenario = try { Scenario.read(file) } catch (_: Failure) { return@dynamicTest }
            try {
                runBlocking { play(scenario) }
            } catch (failure: Failure) {
                scenario.failsAt?.let { place -> assertEquals(place, failure.at, failure.message) }
                return@dynamicTest
            }
            fail("this scenario is wrong, and the runner did not notice")
        }
    }

    @Test
    fun `there are scenarios of both sorts`() {
        assertTrue(files(folder).size >= 25 && files(File(folder, "must_fail")).size >= 5)
    }

    /** The JSON files of a folder, in the order of their names. */
    private fun files(folder: File): List<File> =
        (folder.listFiles { file -> file.extension == "json" } ?: error("cannot read $folder")).sorted()

    /** The file's name and the scenario's sentence; the name alone where the file cannot be read, which the test says. */
    private fun title(file: File): String {
        val name = runCatching { JsonParser.parseString(file.readText()).asJsonObject["name"].asString }.getOrNull()
        return if (name == null) file.nameWithoutExtension else "${file.nameWithoutExtension}: $name"
    }
}
