@file:JvmSynthetic

package io.portlease.testing

import io.portlease.ErrorKind
import io.portlease.ErrorReport
import io.portlease.PortLeaseException

internal fun invalid(message: String) = PortLeaseException.Invalid(ErrorReport(ErrorKind.INVALID, message))

/** What the gateway is told. Only writes: what it answers has types of its own. */
internal class JsonObject {
    private val fields = LinkedHashMap<String, String>()

    /**
     * [value] may be null, a boolean, a number, a text, a map of such, an object, or a switch. Fails with `invalid` for a number
     * that JSON does not have.
     */
    fun put(name: String, value: Any?): JsonObject = apply {
        if (value is Double && !value.isFinite()) throw invalid("$name: must be a finite number, not $value")
        fields[name] = json(value)
    }

    override fun toString(): String = fields.entries.joinToString(",", "{", "}") { (name, value) -> "${quoted(name)}:$value" }

    private fun json(value: Any?): String = when (value) {
        null, is Boolean, is Number -> "$value"
        is String -> quoted(value)
        is Map<*, *> -> JsonObject().apply { value.forEach { (name, it) -> put("$name", it) } }.toString()
        is Mode -> value.json
        is HttpBody -> value.json
        is NameEncoding -> value.json
        is WanService -> value.json
        is SecondDevice -> value.json
        is Faults -> value.json.toString()
        else -> value.toString() // an object
    }

    private fun quoted(text: String) = text.map { letter ->
        when {
            letter == '"' || letter == '\\' -> "\\$letter"
            letter < ' ' -> "\\u%04x".format(letter.code)
            else -> "$letter"
        }
    }.joinToString("", "\"", "\"")
}
