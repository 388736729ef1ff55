package io.portlease

import kotlin.time.Duration
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow

/**
 * A background engine that finds the home gateway once, maps ports on it, and keeps them mapped.
 *
 * [close], at the end of a `use` block, releases everything on the gateway. A mapper and its leases keep each other: what is
 * mapped stays so as long as any of them is held, also where the program has let the lease go. Once none of them is, all is
 * released when the garbage collector comes by, and not at all where the process ends first: then the gateway ends the
 * mappings with their lifetimes. A mapper keeps no process alive.
 */
public class Mapper private constructor(private val handle: MapperHandle) : AutoCloseable {
    /** Those that are not over, and a few that are. */
    private val leases = HashSet<Lease>()

    /** How many there may be before those that are over are looked for. */
    private var enough = SWEEP_ABOVE

    public companion object {
        private const val SWEEP_ABOVE = 16

        /**
         * Checks the configuration and starts the engine. Does not touch the network.
         *
         * Fails with kind `invalid`, naming the field, or with `internal` where the system gives no thread.
         */
        public fun start(config: Config = Config()): Mapper = Mapper(guarded { nativeLibrary.start(config) })
    }

    /**
     * Begins to map a port and returns at once; the lease tells how it goes.
     *
     * Fails with `invalid` for a bad request, or where another lease of this mapper has the same port or asks for the same
     * external port over the same transport, and with `stopped`.
     */
    public fun map(request: MapRequest): Lease = Lease(guarded { handle.map(request) }, this).also(::keep)

    /**
     * As [map] of a [MapRequest]. [port] and [externalPort] are 1 to 65535; [externalPort] is a wish, [port] itself by
     * default, unless [exact] insists on it.
     */
    public fun map(port: Int, transport: Transport, externalPort: Int? = null, exact: Boolean = false): Lease =
        map(MapRequest(port, transport, externalPort, exact))

    /** The present state of the mapper and of every lease that has not exited. Never fails. */
    public fun snapshot(): MapperSnapshot = guarded { handle.snapshot() }

    /**
     * Pulls the next event, waiting for it at most for [timeout]; without one, until it comes.
     *
     * Fails with `timeout`, and with `stopped` once the mapper is stopped and its last event was pulled. Cancelling loses no
     * event: the next call gets it.
     */
    public suspend fun nextEvent(timeout: Duration? = null): Event = guarded {
        handle.pull().use { pull ->
            pull.ready(timeout)
            pull.take()
        }
    }

    /**
     * The events as a flow, which ends when the mapper is stopped and its last event was pulled. Each event comes once:
     * collectors that run side by side share them among each other.
     */
    public fun events(): Flow<Event> = flow {
        while (true) {
            val event = try {
                nextEvent()
            } catch (_: PortLeaseException.Stopped) {
                break
            }
            emit(event)
        }
    }

    /**
     * Asks by every configured protocol what the gateway offers; maps nothing.
     *
     * Fails with `unavailable` or `refused` where no protocol has an offer, with `transport`, and with `stopped`.
     */
    public suspend fun probe(): GatewayReport = guarded { handle.probe() }

    /**
     * Releases every mapping on the gateway and ends the engine; waits for that, at most for [timeout] (default 5 s),
     * after which it goes on in the background: then the answer is `false`. May be called again; never fails.
     */
    public suspend fun stop(timeout: Duration? = null): Boolean = guarded { handle.stop(timeout) }

    /** As [stop], holding up the thread for that time: commonly one round trip to the gateway, at most 5 s. */
    override fun close() {
        guarded { handle.stopBlocking() }
    }

    private fun keep(lease: Lease): Unit = synchronized(leases) {
        leases.add(lease)
        if (leases.size <= enough) return
        leases.removeIf { it.snapshot().state == LeaseState.EXITED }
        // Not with each lease that is mapped: that would take a time that grows with the square of their number.
        enough = maxOf(SWEEP_ABOVE, 2 * leases.size)
    }
}
