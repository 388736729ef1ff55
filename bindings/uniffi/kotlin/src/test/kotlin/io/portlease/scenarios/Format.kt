package io.portlease.scenarios

import com.google.gson.JsonArray
import com.google.gson.JsonElement
import com.google.gson.JsonNull
import com.google.gson.JsonObject
import com.google.gson.JsonParser
import com.google.gson.JsonPrimitive
import java.io.File
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds

/** What is wrong with a scenario, or with what it saw; [at] is where: the number of a step, `end`, or null. */
class Failure(reason: String, val at: JsonElement = JsonNull.INSTANCE) : Exception(reason)

/** One file, read by a format that knows no field which the README does not describe. */
class Scenario(text: String) {
    val gateway: JsonObject
    val config: JsonObject
    val steps: List<Step>
    val failsAt: JsonElement?
    val end: JsonElement

    init {
        val fields = Fields(JsonParser.parseString(text), "the file")
        fields.text("name")
        fields.optional("note")
        gateway = fields.optional("gateway")?.asObject("gateway") ?: JsonObject()
        config = fields.optional("config")?.asObject("config") ?: JsonObject()
        steps = readSteps(fields.optional("steps") ?: throw Failure("no steps"))
        failsAt = fields.optional("fails_at")
        end = fields.optional("end") ?: JsonObject().apply { add("mappings", JsonArray()) }
        fields.requireEmpty()
    }

    companion object {
        fun read(file: File): Scenario = try {
            Scenario(file.readText())
        } catch (wrong: com.google.gson.JsonParseException) {
            throw Failure("not JSON: ${wrong.message}")
        }

        fun readSteps(value: JsonElement): List<Step> =
            (value as? JsonArray ?: throw Failure("steps are a list, not $value")).map(::Step)
    }
}

/** One call, what must be seen of it, and its arguments, which the player takes out one by one. */
class Step(value: JsonElement) {
    val text = value.toString()
    val call: String
    val sees: JsonElement?
    val fails: JsonElement?
    val within: Duration?
    val steps: List<Step>
    private val arguments: JsonObject

    init {
        val fields = Fields(value, "a step")
        call = fields.text("do")
        sees = fields.optional("sees")
        fails = fields.optional("fails")
        within = fields.optional("within")?.let { it.asSeconds() ?: throw Failure("`within` is no number of seconds in $text") }
        steps = if (call == "repeat") Scenario.readSteps(fields.optional("steps") ?: throw Failure("no steps in $text")) else listOf()
        arguments = fields.rest()
        if (sees != null && fails != null) throw Failure("both `sees` and `fails` in $text")
        if (sees == null && call in setOf("wait_for", "wait_for_gateway")) throw Failure("nothing to wait for in $text")
        val known = ARGUMENTS[call] ?: throw Failure("there is no step `$call`")
        val unknown = arguments.keySet() - known
        if (unknown.isNotEmpty()) throw Failure("$unknown is unknown in $text")
    }

    /** The arguments; each is read once, by name. */
    fun arguments() = Fields(arguments, text)

    private companion object {
        val ARGUMENTS = mapOf(
            "start" to setOf("mapper", "config"),
            "map" to setOf("mapper", "lease", "port", "transport", "external_port", "exact"),
            "ready" to setOf("lease", "timeout"),
            "snapshot" to setOf("lease"),
            "wait_for" to setOf("lease"),
            "stop" to setOf("lease", "timeout"),
            "detach" to setOf("lease"),
            "mapper_snapshot" to setOf("mapper"),
            "next_event" to setOf("mapper", "timeout", "skip"),
            "probe" to setOf("mapper"),
            "stop_mapper" to setOf("mapper", "timeout"),
            "gateway" to setOf("line"),
            "wait_for_gateway" to setOf(),
            "repeat" to setOf("times"),
        )
    }
}

/** An object's fields, taken out by name, so that what is left over is unknown. */
class Fields(value: JsonElement, private val where: String) {
    private val left = (value as? JsonObject ?: throw Failure("$where is no object: $value")).deepCopy()

    fun optional(name: String): JsonElement? = left.remove(name)?.takeUnless { it is JsonNull }

    fun text(name: String, default: String? = null): String {
        val value = optional(name) ?: return default ?: throw Failure("no `$name` in $where")
        return (value as? JsonPrimitive)?.takeIf { it.isString }?.asString ?: throw wrong(name, value)
    }

    fun boolean(name: String): Boolean {
        val value = optional(name) ?: return false
        return (value as? JsonPrimitive)?.takeIf { it.isBoolean }?.asBoolean ?: throw wrong(name, value)
    }

    fun int(name: String): Int? = optional(name)?.let { it.asWhole() ?: throw wrong(name, it) }

    fun duration(name: String): Duration? = optional(name)?.let { it.asSeconds() ?: throw wrong(name, it) }

    fun names(): Set<String> = left.keySet().toSet()

    fun rest(): JsonObject = left

    fun requireEmpty() {
        if (left.size() > 0) throw Failure("${left.keySet()} is unknown in $where")
    }

    private fun wrong(name: String, value: JsonElement) = Failure("`$name: $value` is no such value, in $where")
}

fun JsonElement.asObject(name: String): JsonObject = this as? JsonObject ?: throw Failure("`$name` is no object: $this")

fun JsonElement.number(): Double? = (this as? JsonPrimitive)?.takeIf { it.isNumber }?.asDouble

fun JsonElement.asSeconds(): Duration? = number()?.takeIf { it >= 0 }?.seconds

fun JsonElement.asWhole(): Int? = number()?.takeIf { it % 1.0 == 0.0 && it in 0.0..Int.MAX_VALUE.toDouble() }?.toInt()
