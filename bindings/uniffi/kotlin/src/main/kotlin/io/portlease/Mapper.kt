@file:JvmSynthetic

package io.portlease

import java.util.concurrent.CompletableFuture
import kotlin.coroutines.cancellation.CancellationException
import kotlin.time.Duration
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow

/**
 * A background engine that finds the home gateway once, maps ports on it, and keeps them mapped.
 *
 * [close], at the end of a `use` block, releases everything on the gateway. A mapper and its leases keep each other: what is
 * mapped stays so as long as any of them is held, even if the program has let the lease go. Once none of them is held, garbage
 * collection releases everything. A mapper keeps no process alive: when the JVM ends, all of them are stopped, which takes at
 * most 2 s; with `-Dportlease.releaseAtExit=false` the mappings stay until the gateway ends them with their lifetimes.
 *
 * Java calls the blocking functions by the names that suspend in Kotlin: `mapper.nextEvent(timeout)`. Those that end with
 * `Async` answer with a future; cancelling it ends the wait.
 */
public class Mapper private constructor(private val handle: MapperHandle) : AutoCloseable {
    /** Those that are not over, and a few that are. */
    private val leases = HashSet<Lease>()

    /** How many there may be before those that are over are looked for. */
    private var enough = SWEEP_ABOVE

    private val address = handle.address()

    public companion object {
        private const val SWEEP_ABOVE = 16

        /**
         * Checks the configuration and starts the engine. Does not touch the network.
         *
         * Fails with kind `invalid`, naming the field, or with `internal` if the system gives no thread.
         */
        @JvmStatic
        @JvmOverloads
        @Throws(PortLeaseException::class)
        public fun start(config: Config = Config()): Mapper = Mapper(guarded { nativeLibrary.start(config) })
    }

    /**
     * Begins to map a port and returns at once; the lease tells how it goes.
     *
     * Fails with `invalid` for a bad request, or if another lease of this mapper has the same port or asks for the same
     * external port over the same transport, and with `stopped`.
     */
    @Throws(PortLeaseException::class)
    public fun map(request: MapRequest): Lease = Lease(guarded { handle.map(request) }, this).also(::keep)

    /**
     * As [map] of a [MapRequest]. [port] and [externalPort] are 1 to 65535; the gateway may grant another port than
     * [externalPort] (default: [port]) unless the request is [exact].
     */
    @JvmOverloads
    @Throws(PortLeaseException::class)
    public fun map(port: Int, transport: Transport, externalPort: Int? = null, exact: Boolean = false): Lease =
        map(MapRequest(port, transport, externalPort, exact))

    /** The present state of the mapper and of every lease that has not exited. Never fails. */
    public fun snapshot(): MapperSnapshot = guarded { Views.mapper(handle, address) }

    /**
     * Pulls the next event, waiting for it at most for [timeout]; without one, for ever. The mapper has one queue for all
     * callers: each event goes to one of them. [events] gives every collector all events.
     *
     * Fails with `timeout`, and with `stopped` once the mapper is stopped and its last event was pulled. Cancelling loses no
     * event: the next call gets it.
     */
    @JvmSynthetic
    @Throws(PortLeaseException::class, CancellationException::class)
    public suspend fun nextEvent(timeout: Duration? = null): Event = guarded { handle.queue().use { it.pull(timeout) } }

    /** As [nextEvent], but blocks the thread. An interrupt loses no event. */
    @JvmName("nextEvent")
    @JvmOverloads
    @Throws(PortLeaseException::class, InterruptedException::class)
    public fun nextEventBlocking(timeout: java.time.Duration? = null): Event = blocking { nextEvent(timeout.limit()) }

    /** As [nextEvent], as a future. If that is cancelled, the next call gets the event. */
    @JvmOverloads
    public fun nextEventAsync(timeout: java.time.Duration? = null): CompletableFuture<Event> {
        val queue = guarded { handle.queue() }
        val event = answer({ guarded { queue.ready(timeout.limit()) } }) { guarded { queue.take() } }
        event.whenComplete { _, _ -> queue.close() }
        return event
    }

    /**
     * The events as a flow, which ends when the mapper is stopped and the last event was collected. Each collector is a
     * reader of its own: it gets the events that nobody has read yet, and then every event from its start on, whoever else
     * reads them. A collector that falls more than 1024 events behind loses the oldest; [Event.dropped] says how many.
     */
    public fun events(): Flow<Event> = flow {
        guarded { handle.events() }.use { reader ->
            while (true) emit(reader.pullOrNull() ?: break)
        }
    }

    /**
     * Asks by every configured protocol what the gateway offers; maps nothing.
     *
     * Fails with `unavailable` or `refused` if no protocol has an offer, with `transport`, and with `stopped`.
     */
    @JvmSynthetic
    @Throws(PortLeaseException::class, CancellationException::class)
    public suspend fun probe(): GatewayReport = guarded { handle.probe() }

    /** As [probe], but blocks the thread. */
    @JvmName("probe")
    @Throws(PortLeaseException::class, InterruptedException::class)
    public fun probeBlocking(): GatewayReport = blocking { probe() }

    /** As [probe], as a future. */
    public fun probeAsync(): CompletableFuture<GatewayReport> = answer { probe() }

    /**
     * Tells that the machine's network may have changed, for hosts that know before portlease does: Android tells its apps, and
     * sandboxes hide the network from them. Every lease looks again at once, and none waits for its next attempt. Returns at
     * once; does nothing once the mapper is stopped. It is needed nowhere else: portlease watches the network itself.
     */
    public fun networkChanged(): Unit = guarded { handle.networkChanged() }

    /**
     * Releases every mapping on the gateway and ends the engine; waits for that, at most for [timeout] (default 5 s, and 0.1 s
     * more for each lease), and answers how it went for all leases, also for those that ended before. If the time runs out,
     * the answer is [Release.PENDING] and the release goes on in the background. May be called again; never fails: a gateway
     * that is gone is [Release.UNCONFIRMED].
     */
    @JvmSynthetic
    public suspend fun stop(timeout: Duration? = null): Release = guarded { handle.stop(timeout) }

    /** As [stop], but blocks the thread. */
    @JvmName("stop")
    @JvmOverloads
    public fun stopBlocking(timeout: java.time.Duration? = null): Release = guarded { handle.stopBlocking(timeout.limit()) }

    /** As [stop], as a future. */
    @JvmOverloads
    public fun stopAsync(timeout: java.time.Duration? = null): CompletableFuture<Release> = answer { stop(timeout.limit()) }

    /** As [stop] without an answer, but blocks the thread: commonly for one round trip to the gateway. */
    override fun close() {
        guarded { handle.stopBlocking() }
    }

    /** The mapper in one line, for logs: `Mapper(gateway=192.168.1.1, 2 of 2 leases active)`. */
    override fun toString(): String {
        val now = snapshot()
        val state = if (now.stopped) "stopped" else "${now.active} of ${now.leases.size} leases active"
        return "Mapper(gateway=${now.gateway}, $state)"
    }

    private fun keep(lease: Lease): Unit = synchronized(leases) {
        leases.add(lease)
        if (leases.size <= enough) return
        leases.removeIf { it.snapshot().state == LeaseState.EXITED }
        // Doing this for each new lease would take time that grows with the square of their number.
        enough = maxOf(SWEEP_ABOVE, 2 * leases.size)
    }
}

/** Waits for the next event and takes it; a wait that is cancelled before that leaves it to the next reader. */
private suspend fun ReaderHandle.pull(timeout: Duration? = null): Event {
    ready(timeout)
    return take()
}

/** The next event, or null if there will be no more. */
private suspend fun ReaderHandle.pullOrNull(): Event? = try {
    guarded { pull() }
} catch (_: PortLeaseException.Stopped) {
    null
}
