package io.portlease.scenarios

import com.google.gson.JsonArray
import com.google.gson.JsonElement
import com.google.gson.JsonObject
import com.google.gson.JsonPrimitive

/** The words of a condition, as opposed to the fields of a result. */
private val CONDITIONS = setOf("at_least", "at_most", "contains", "not", "one_of")

/** Why [actual] is not as [expected]; null where it is. [path] says which part of the result this is about. */
fun mismatch(path: String, expected: JsonElement, actual: JsonElement): String? {
    val differs = "$path: expected $expected, got $actual"
    return when {
        expected is JsonObject && expected.size() > 0 && CONDITIONS.containsAll(expected.keySet()) ->
            expected.entrySet().firstOrNull { (word, argument) -> !holds(word, argument, actual) }
                ?.let { (word, argument) -> "$path: expected $word $argument, got $actual" }
        expected is JsonObject -> when (actual) {
            is JsonObject -> expected.entrySet().firstNotNullOfOrNull { (name, field) ->
                if (actual.has(name)) mismatch("$path.$name", field, actual[name]) else "$path: there is no field $name in $actual"
            }
            else -> differs
        }
        expected is JsonArray -> when {
            actual is JsonArray && actual.size() == expected.size() ->
                expected.withIndex().firstNotNullOfOrNull { (i, item) -> mismatch("$path[$i]", item, actual[i]) }
            else -> differs
        }
        same(expected, actual) -> null
        else -> differs
    }
}

private fun holds(word: String, argument: JsonElement, actual: JsonElement): Boolean = when (word) {
    "at_least" -> compare(argument, actual) { bound, number -> number >= bound }
    "at_most" -> compare(argument, actual) { bound, number -> number <= bound }
    "contains" -> text(argument)?.let { text(actual)?.contains(it) } ?: false
    "not" -> mismatch("", argument, actual) != null
    "one_of" -> argument is JsonArray && argument.any { mismatch("", it, actual) == null }
    else -> false
}

private fun compare(bound: JsonElement, actual: JsonElement, holds: (Double, Double) -> Boolean): Boolean {
    return holds(bound.number() ?: return false, actual.number() ?: return false)
}

private fun text(value: JsonElement): String? = (value as? JsonPrimitive)?.takeIf { it.isString }?.asString

/** 2 and 2.0 are the same number. */
private fun same(one: JsonElement, other: JsonElement): Boolean {
    val numbers = listOf(one.number(), other.number())
    return if (null in numbers) one == other else numbers[0] == numbers[1]
}
