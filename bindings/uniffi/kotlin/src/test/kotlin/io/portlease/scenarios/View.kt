package io.portlease.scenarios

import com.google.gson.JsonArray
import com.google.gson.JsonElement
import com.google.gson.JsonNull
import com.google.gson.JsonObject
import com.google.gson.JsonPrimitive
import io.portlease.Config
import io.portlease.ErrorReport
import io.portlease.MapRequest
import io.portlease.PortLeaseException
import io.portlease.Protocol
import io.portlease.RetryPolicy
import io.portlease.Transport
import io.portlease.kind
import kotlin.reflect.full.memberProperties
import kotlin.time.Duration
import kotlin.time.DurationUnit

/** Kotlin's name in the scenarios' writing: `internalPort` is `internal_port`. */
fun snakeCase(name: String): String = name.replace(Regex("[A-Z]")) { "_" + it.value.lowercase() }

/**
 * A result as the scenarios write it: the same names and texts in every language, durations in seconds. Records are taken
 * apart by reflection, so every field is there, under its own name.
 */
fun view(value: Any?): JsonElement = when (value) {
    null, Unit -> JsonNull.INSTANCE
    is JsonElement -> value
    is Boolean -> JsonPrimitive(value)
    is Number -> JsonPrimitive(value)
    is String -> JsonPrimitive(value)
    is Enum<*> -> JsonPrimitive(value.toString())
    is Duration -> JsonPrimitive(value.toDouble(DurationUnit.SECONDS))
    is List<*> -> JsonArray().apply { value.forEach { add(view(it)) } }
    is PortLeaseException -> view(ErrorReport(value.kind, value.message ?: ""))
    else -> JsonObject().apply {
        check(value::class.isData) { "$value is no record" }
        value::class.memberProperties.forEach { add(snakeCase(it.name), view(it.getter.call(value))) }
    }
}

/** [config] with the settings of a scenario. Fails where the scenario is wrong, which is another thing than a bad value. */
fun configured(config: Config, settings: JsonObject): Config {
    val fields = Fields(settings, "the settings")
    return fields.names().fold(config) { result, name ->
        when (name) {
            "gateway" -> result.copy(gateway = fields.text(name))
            "local_address" -> result.copy(localAddress = fields.text(name))
            "interface" -> result.copy(`interface` = fields.text(name))
            "protocols" -> result.copy(protocols = fields.optional(name)?.asJsonArray?.map { enumOf(Protocol.entries, it.asString) })
            "ttl" -> result.copy(ttl = fields.duration(name))
            "renewal_interval" -> result.copy(renewalInterval = fields.duration(name))
            "failure_threshold" -> result.copy(failureThreshold = fields.int(name))
            "retry" -> result.copy(retry = fields.optional(name)?.let(::retry))
            "description" -> result.copy(description = fields.text(name))
            "pcp_port" -> result.copy(pcpPort = fields.int(name))
            "ssdp_address" -> result.copy(ssdpAddress = fields.text(name))
            else -> throw Failure("`$name` is no setting")
        }
    }
}

private fun retry(value: JsonElement): RetryPolicy {
    if (value == JsonPrimitive("never")) return RetryPolicy.Never
    val fields = Fields(value, "`retry`")
    return RetryPolicy.Backoff(fields.duration("min"), fields.duration("max")).also { fields.requireEmpty() }
}

/** The request of a `map` step. */
fun request(arguments: Fields): MapRequest {
    val port = arguments.int("port")?.takeIf { it <= 65535 } ?: throw Failure("no port to map")
    val transport = enumOf(Transport.entries, arguments.text("transport", "udp"))
    return MapRequest(port, transport, arguments.int("external_port"), arguments.boolean("exact"))
}

/** The entry with this stable string. */
private fun <E : Enum<E>> enumOf(entries: List<E>, text: String): E =
    entries.find { it.toString() == text } ?: throw Failure("`$text` is none of $entries")
