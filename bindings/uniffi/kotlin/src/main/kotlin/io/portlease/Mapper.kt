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
    /** Those that are not over, and a few that are; by number. */
    private val leases = HashMap<Long, Lease>()

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
    public fun map(request: MapRequest): Lease = keep(guarded { handle.map(request) })

    /**
     * As [map] of a [MapRequest]. [port] and [externalPort] are 1 to 65535; the gateway may grant another port than
     * [externalPort] (default: [port]) unless the request is [exact].
     */
    @JvmOverloads
    @Throws(PortLeaseException::class)
    public fun map(port: Int, transport: Transport, externalPort: Int? = null, exact: Boolean = false): Lease =
        map(MapRequest(port, transport, externalPort, exact))

    /**
     * The lease that exists for an equal request, or a new one as [map] makes it: for a program that asks again for what it
     * has, for instance when its configuration is read anew.
     *
     * Fails as [map] does; a lease on the same port with other wishes is such a failure.
     */
    @Throws(PortLeaseException::class)
    public fun ensure(request: MapRequest): Lease = keep(guarded { handle.ensure(request) })

    /**
     * Begins to map a port over UDP and over TCP: two leases, in this order. The transport of [request] does not matter. Either
     * lease may fail without the other, and their external ports may differ unless the request is exact.
     *
     * Fails as [map] does; then there is no lease.
     */
    @Throws(PortLeaseException::class)
    public fun mapBoth(request: MapRequest): Pair<Lease, Lease> {
        val (udp, tcp) = guarded { handle.mapBoth(request) }.map(::keep)
        return udp to tcp
    }

    /** Every lease that was not told to end and has not ended by itself; by number. */
    public fun leases(): List<Lease> = guarded { handle.leases() }.map(::keep)

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
     * Asks by every configured protocol what the gateway of [family] offers; maps nothing. For IPv6 it tells by which
     * protocols the router could be asked for pinholes; whether its firewall lets packets through without them, nobody
     * can tell.
     *
     * Fails with `unavailable` or `refused` if no protocol has an offer, with `transport`, and with `stopped`; for IPv6
     * with `unavailable` also if this machine has no global address.
     */
    @JvmSynthetic
    @Throws(PortLeaseException::class, CancellationException::class)
    public suspend fun probe(family: AddressFamily = AddressFamily.IPV4): GatewayReport =
        guarded { handle.probe(family) }

    /** As [probe], but blocks the thread. */
    @JvmName("probe")
    @JvmOverloads
    @Throws(PortLeaseException::class, InterruptedException::class)
    public fun probeBlocking(family: AddressFamily = AddressFamily.IPV4): GatewayReport = blocking { probe(family) }

    /** As [probe], as a future. */
    @JvmOverloads
    public fun probeAsync(family: AddressFamily = AddressFamily.IPV4): CompletableFuture<GatewayReport> =
        answer { probe(family) }

    /**
     * The address at which the internet sees this machine, without a lease. Waits at most for [timeout]; without one, until
     * every protocol has answered or is silent, about 2 s.
     *
     * Fails with `unavailable` if no protocol tells an address, with `refused`, `timeout`, `transport`, and with `stopped`.
     */
    @JvmSynthetic
    @Throws(PortLeaseException::class, CancellationException::class)
    public suspend fun externalAddress(timeout: Duration? = null): String = guarded { handle.externalAddress(timeout) }

    /** As [externalAddress], but blocks the thread. */
    @JvmName("externalAddress")
    @JvmOverloads
    @Throws(PortLeaseException::class, InterruptedException::class)
    public fun externalAddressBlocking(timeout: java.time.Duration? = null): String =
        blocking { externalAddress(timeout.limit()) }

    /** As [externalAddress], as a future. */
    @JvmOverloads
    public fun externalAddressAsync(timeout: java.time.Duration? = null): CompletableFuture<String> =
        answer { externalAddress(timeout.limit()) }

    /**
     * Reads the router's table of mapped ports, of all programs and machines, as far as the router shows it (at most 1024 entries; UPnP only).
     *
     * Fails with `unavailable` if there is no UPnP, with `refused` if the router does not show its table, with `transport`,
     * `timeout`, and with `stopped`.
     */
    @JvmSynthetic
    @Throws(PortLeaseException::class, CancellationException::class)
    public suspend fun table(): List<TableEntry> = guarded { handle.table() }

    /** As [table], but blocks the thread. */
    @JvmName("table")
    @Throws(PortLeaseException::class, InterruptedException::class)
    public fun tableBlocking(): List<TableEntry> = blocking { table() }

    /** As [table], as a future. */
    public fun tableAsync(): CompletableFuture<List<TableEntry>> = answer { table() }

    /**
     * Deletes an entry of the router's table (UPnP only), for what nobody holds any more, and answers with what it was; with
     * null if the table has no such entry.
     *
     * Fails with `invalid` for a port out of range and for the mapping of a lease of this mapper, which is to be stopped
     * instead; with `refused` for an entry of another machine, unless [anyHost], and if the router says no; otherwise as
     * [table] does.
     */
    @JvmSynthetic
    @Throws(PortLeaseException::class, CancellationException::class)
    public suspend fun delete(transport: Transport, externalPort: Int, anyHost: Boolean = false): TableEntry? =
        guarded { handle.delete(transport, externalPort, anyHost) }

    /** As [delete], but blocks the thread. */
    @JvmName("delete")
    @JvmOverloads
    @Throws(PortLeaseException::class, InterruptedException::class)
    public fun deleteBlocking(transport: Transport, externalPort: Int, anyHost: Boolean = false): TableEntry? =
        blocking { delete(transport, externalPort, anyHost) }

    /** As [delete], as a future. */
    @JvmOverloads
    public fun deleteAsync(
        transport: Transport,
        externalPort: Int,
        anyHost: Boolean = false,
    ): CompletableFuture<TableEntry?> = answer { delete(transport, externalPort, anyHost) }

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

    /** The one object for a lease, whoever came with a handle of it first. */
    private fun keep(handle: LeaseHandle): Lease {
        val lease = Lease(handle, this)
        synchronized(leases) {
            leases.putIfAbsent(lease.id, lease)?.let { return it }
            if (leases.size <= enough) return lease
            leases.values.removeIf { it.snapshot().state == LeaseState.EXITED }
            // Doing this for each new lease would take time that grows with the square of their number.
            enough = maxOf(SWEEP_ABOVE, 2 * leases.size)
        }
        return lease
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
