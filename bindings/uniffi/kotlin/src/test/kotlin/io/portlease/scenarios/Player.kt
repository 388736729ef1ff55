package io.portlease.scenarios

import com.google.gson.JsonElement
import com.google.gson.JsonNull
import com.google.gson.JsonObject
import com.google.gson.JsonPrimitive
import io.portlease.Config
import io.portlease.Gateway
import io.portlease.Lease
import io.portlease.Mapper
import io.portlease.PortLeaseException
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource
import kotlinx.coroutines.delay

/** How long a wait goes on where the scenario names no time: who waits this long has failed. */
private val PATIENCE = 10.seconds

/** How often a condition is looked at. */
private val LOOK = 10.milliseconds

/** Plays all steps, stops every mapper, and looks at what is left on the gateway. Throws [Failure]. */
suspend fun play(scenario: Scenario) {
    val gateway = try {
        Gateway(scenario.gateway)
    } catch (refused: IllegalStateException) {
        throw Failure(refused.message ?: "the gateway does not start")
    }
    gateway.use {
        val player = Player(it, configured(it.config(), scenario.config))
        try {
            player.play(scenario.steps)
        } finally {
            player.mappers.values.forEach { mapper -> mapper.stop(PATIENCE) }
        }
        mismatch("end", scenario.end, player.gatewayState(scenario.end))?.let { why -> throw Failure(why, JsonPrimitive("end")) }
    }
}

private class Player(private val gateway: Gateway, private val config: Config) {
    val mappers = mutableMapOf<String, Mapper>()
    private val leases = mutableMapOf<String, Lease>()

    suspend fun play(steps: List<Step>) {
        steps.forEachIndexed { index, step ->
            try {
                step(step)
            } catch (failure: Failure) {
                throw Failure("step ${index + 1}, ${step.text}\n  ${failure.message}", JsonPrimitive(index + 1))
            }
        }
    }

    private suspend fun step(step: Step) {
        val start = TimeSource.Monotonic.markNow()
        val outcome = runCatching { view(act(step)) }
        val took = start.elapsedNow()
        val error = outcome.exceptionOrNull()
        if (error != null && error !is PortLeaseException) throw error
        val difference = when {
            error == null && step.fails != null -> "it should have failed, but gave ${outcome.getOrNull()}"
            error == null -> step.sees?.let { mismatch("result", it, outcome.getOrThrow()) }
            step.fails == null -> "it failed: ${view(error)}"
            else -> mismatch("error", step.fails, view(error))
        }
        if (difference != null) throw Failure(difference)
        if (step.within != null && took > step.within) throw Failure("it took $took, allowed are ${step.within}")
    }

    /** Makes the call. Throws [Failure] where the scenario itself is wrong. */
    private suspend fun act(step: Step): Any? {
        val arguments = step.arguments()
        val mapper by lazy { arguments.text("mapper", "mapper") }
        val lease by lazy { arguments.text("lease", "lease") }
        return when (step.call) {
            "start" -> {
                val settings = arguments.optional("config")?.asObject("config") ?: JsonObject()
                mappers[mapper] = Mapper.start(configured(config, settings))
            }
            "map" -> leases[lease] = mapper(mapper).map(request(arguments))
            "ready" -> lease(lease).ready(arguments.duration("timeout") ?: PATIENCE)
            "snapshot" -> lease(lease).snapshot()
            "wait_for" -> until(step.sees) { view(lease(lease).snapshot()) }
            "stop" -> lease(lease).stop(arguments.duration("timeout"))
            "detach" -> lease(lease).detach()
            "mapper_snapshot" -> mapper(mapper).snapshot()
            "next_event" -> nextEvent(mapper(mapper), arguments.duration("timeout") ?: PATIENCE, arguments.optional("skip"))
            "probe" -> mapper(mapper).probe()
            "stop_mapper" -> mapper(mapper).stop(arguments.duration("timeout"))
            "gateway" -> tellGateway(arguments.optional("line")?.asObject("line") ?: throw Failure("no line for the gateway"))
            "wait_for_gateway" -> until(step.sees) { gatewayState(step.sees ?: JsonNull.INSTANCE) }
            "repeat" -> repeat(arguments.int("times") ?: throw Failure("no number of times")) { play(step.steps) }
            else -> throw Failure("there is no step `${step.call}`")
        }
    }

    private suspend fun nextEvent(mapper: Mapper, limit: Duration, skip: JsonElement?): JsonElement {
        val end = TimeSource.Monotonic.markNow() + limit
        while (true) {
            val event = view(mapper.nextEvent(-end.elapsedNow()))
            if (skip == null || mismatch("skip", skip, event) != null) return event
        }
    }

    private fun mapper(name: String) = mappers[name] ?: throw Failure("no mapper `$name` was started")

    private fun lease(name: String) = leases[name] ?: throw Failure("no lease `$name` was mapped")

    private fun tellGateway(line: JsonObject): JsonObject {
        if (line["command"] == JsonPrimitive("stop")) throw Failure("the gateway stays until the end")
        val reply = gateway.tell(line)
        return if (reply.has("error")) throw Failure("the gateway says: ${reply["error"]}") else reply
    }

    /** Table and counters. A counter that [expected] names and that never counted is 0. */
    fun gatewayState(expected: JsonElement): JsonElement {
        val state = gateway.state()
        val counters = state.getAsJsonObject("counters")
        val named = ((expected as? JsonObject)?.get("counters") as? JsonObject)?.keySet() ?: setOf()
        named.filterNot(counters::has).forEach { counters.addProperty(it, 0) }
        return state
    }

    /** Looks until it is as expected, and gives what was seen last. */
    private suspend fun until(expected: JsonElement?, look: () -> JsonElement): JsonElement {
        val end = TimeSource.Monotonic.markNow() + PATIENCE
        while (true) {
            val seen = look()
            if (end.hasPassedNow() || expected == null || mismatch("", expected, seen) == null) return seen
            delay(LOOK)
        }
    }
}
