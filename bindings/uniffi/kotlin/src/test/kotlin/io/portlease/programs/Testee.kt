package io.portlease.programs

import com.google.gson.JsonArray
import com.google.gson.JsonElement
import com.google.gson.JsonNull
import com.google.gson.JsonObject
import com.google.gson.JsonParser
import com.google.gson.JsonPrimitive
import io.portlease.AddressFamily
import io.portlease.Config
import io.portlease.Lease
import io.portlease.MapRequest
import io.portlease.Mapper
import io.portlease.PortLeaseException
import io.portlease.Protocol
import io.portlease.RetryPolicy
import io.portlease.Transport
import io.portlease.snakeCase
import java.util.concurrent.ConcurrentHashMap
import kotlin.reflect.KType
import kotlin.reflect.full.memberProperties
import kotlin.reflect.full.primaryConstructor
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlin.time.DurationUnit
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

/**
 * Makes the calls that the scenarios' runner asks for, many at once, and answers with what they gave. The lines are described
 * in `tests/scenarios/README.md`.
 */
object Testee {
    private val mappers = ConcurrentHashMap<String, Mapper>()
    private val leases = ConcurrentHashMap<String, Lease>()

    @JvmStatic
    fun main(arguments: Array<String>) = runBlocking {
        for (line in generateSequence(::readlnOrNull)) {
            val command = JsonParser.parseString(line).asJsonObject
            launch(Dispatchers.Default) { println(answer(command)) }
        }
    }

    private suspend fun answer(command: JsonObject) = JsonObject().apply {
        add("id", command["id"])
        try {
            add("result", view(call(command)))
        } catch (failed: PortLeaseException) {
            add("error", view(failed.report.copy(message = argument.replace(failed.report.message) { snakeCase(it.value) })))
        } catch (unsupported: IllegalStateException) {
            addProperty("unsupported", unsupported.message)
        }
    }

    /** The argument that a message names, in Kotlin's spelling. */
    private val argument = Regex("^[a-z]+[A-Za-z]*(?=: )")

    private suspend fun call(command: JsonObject): Any? {
        fun mapper() = mappers.getValue(command["mapper"].asString)
        fun lease() = leases.getValue(command["lease"].asString)
        val timeout = command.duration("timeout")
        return when (val call = command["do"].asString) {
            "start" -> mappers.set(command["mapper"].asString, Mapper.start(config(command["config"].asJsonObject)))
            "map" -> leases.set(command["lease"].asString, mapper().map(request(command)))
            "ensure" -> mapper().ensure(request(command)).also { leases[command["lease"].asString] = it }.id
            "leases" -> mapper().leases().map { it.id }
            "external_address" -> mapper().externalAddress(timeout)
            "table" -> mapper().table()
            "delete" -> mapper().delete(transport(command), command["external_port"].asInt, command["any_host"].asBoolean)
            "ready" -> lease().ready(timeout)
            "changed" -> lease().changed(command["since"].asLong, timeout)
            "repair" -> lease().repair(timeout)
            "snapshot" -> lease().snapshot()
            "stop" -> lease().stop(timeout)
            "detach" -> lease().detach()
            "mapper_snapshot" -> mapper().snapshot()
            "network_changed" -> mapper().networkChanged()
            "next_event" -> mapper().nextEvent(timeout)
            "probe" -> mapper().probe()
            "stop_mapper" -> mapper().stop(timeout)
            else -> error(call)
        }
    }

    private fun request(command: JsonObject) = MapRequest(
        command["port"].asInt,
        transport(command),
        command.int("external_port"),
        command["exact"].asBoolean,
        AddressFamily.entries.single { "$it" == command.text("family") },
        ttl = command.duration("ttl"),
        description = command.text("description"),
    )

    private fun transport(command: JsonObject) = Transport.entries.single { "$it" == command.text("transport") }

    private fun config(given: JsonObject): Config {
        val constructor = checkNotNull(Config::class.primaryConstructor)
        return constructor.callBy(given.entrySet().associate { (name, value) ->
            val setting = constructor.parameters.find { snakeCase(it.name ?: "") == name }
            checkNotNull(setting) { "the setting $name" } to read(value, setting.type)
        })
    }

    /** A setting of this type out of a scenario. */
    private fun read(value: JsonElement, type: KType): Any = when (type.classifier) {
        String::class -> value.asString
        Int::class -> value.asInt
        Long::class -> value.asLong
        Boolean::class -> value.asBoolean
        Duration::class -> value.asDouble.seconds
        List::class -> value.asJsonArray.map { read(it, checkNotNull(type.arguments.single().type)) }
        Protocol::class -> Protocol.entries.single { "$it" == value.asString }
        RetryPolicy::class -> retry(value)
        else -> error("a setting of the type $type")
    }

    private fun retry(value: JsonElement) = when (value) {
        is JsonObject -> RetryPolicy.Backoff(value.duration("min"), value.duration("max"))
        else -> RetryPolicy.Never
    }

    private fun JsonObject.given(name: String) = this[name]?.takeUnless { it is JsonNull }

    private fun JsonObject.text(name: String) = given(name)?.asString

    private fun JsonObject.int(name: String) = given(name)?.asInt

    private fun JsonObject.duration(name: String) = given(name)?.asDouble?.seconds

    /** A result as the scenarios write it. Records are taken apart by reflection, so every field is there. */
    private fun view(value: Any?): JsonElement = when (value) {
        null, Unit -> JsonNull.INSTANCE
        is Boolean -> JsonPrimitive(value)
        is Number -> JsonPrimitive(value)
        is String, is Enum<*> -> JsonPrimitive("$value")
        is Duration -> JsonPrimitive(value.toDouble(DurationUnit.SECONDS))
        is List<*> -> JsonArray().apply { value.forEach { add(view(it)) } }
        else -> JsonObject().apply {
            check(value::class.isData) { "$value is no record" }
            value::class.memberProperties.forEach { add(snakeCase(it.name), view(it.getter.call(value))) }
        }
    }
}
