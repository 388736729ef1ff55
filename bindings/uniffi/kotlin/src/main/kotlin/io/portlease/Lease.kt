package io.portlease

import kotlin.time.Duration

/**
 * The promise to keep one port mapped.
 *
 * [close], at the end of a `use` block, releases the mapping on the gateway. A lease that is let go without it stays mapped as
 * long as its [Mapper] is held; one of [open] is released when it is garbage-collected.
 */
public class Lease internal constructor(
    private val handle: LeaseHandle,
    /** Held because the mapping ends with it; null if the handle has a mapper of its own. */
    @Suppress("unused") private val mapper: Mapper?,
) : AutoCloseable {
    /** The lease's number within its mapper, from 1, as events name it. */
    public val id: Long = guarded { handle.id() }

    /**
     * Waits for a mapping, at most for [timeout], and answers with the state that has it; without a timeout, for ever.
     *
     * Fails with the kind of the latest whole attempt if that failed: the lease keeps trying unless retry is
     * [RetryPolicy.Never]. Every wait that is under way hears of a failed attempt; a call after that waits for the next
     * attempt. Fails with `timeout` if no attempt has ended by then. Once the lease is over, fails with the kind that ended
     * it, or with `stopped`. Cancelling ends the wait, not the lease.
     */
    public suspend fun ready(timeout: Duration? = null): LeaseSnapshot = guarded { handle.ready(timeout) }

    /**
     * Waits, at most for [timeout], until the lease's state is another than the one with the revision [since], and answers
     * with it; by default another than the state at the call. Returns at once if it is another already; several changes
     * between two calls are seen as one. To follow a lease to its end:
     *
     * ```
     * var seen = lease.snapshot()
     * while (seen.state != LeaseState.EXITED) seen = lease.changed(seen.revision).also(::println)
     * ```
     *
     * Fails with `timeout`, and with `stopped` once the lease is over and the caller has seen that. Cancelling ends the wait,
     * not the lease.
     */
    public suspend fun changed(since: Long = snapshot().revision, timeout: Duration? = null): LeaseSnapshot =
        guarded { handle.changed(since, timeout) }

    /**
     * Deletes the mapping on the gateway and makes it again with the same external port, if the gateway gives it, and answers
     * with the state that has the new mapping: for a mapping that the gateway lists and does not forward. Waits at most for
     * [timeout]; without one, for ever. The event [EventKind.REPAIRED] tells that it has worked, [EventKind.FAILED] that it has
     * not; then the lease tries again as after any loss. A lease that is not mapped makes its next attempt at once.
     *
     * Fails with `refused` if it was repaired less than 10 s ago: the message says how long to wait. Fails with the kind of the
     * attempt, with `timeout`, and with `stopped` once the lease is over. If the time is up, or if the coroutine is cancelled,
     * the repair goes on.
     */
    public suspend fun repair(timeout: Duration? = null): LeaseSnapshot = guarded { handle.repair(timeout) }

    /** The present state. Never waits, never fails. */
    public fun snapshot(): LeaseSnapshot = guarded { handle.snapshot() }

    /**
     * Releases the mapping on the gateway and ends the lease; waits for that, at most for [timeout] (default 5 s), and answers
     * how it went. If the time runs out, the answer is [Release.PENDING] and the release goes on in the background. May be
     * called again; never fails: a gateway that is gone is [Release.UNCONFIRMED].
     */
    public suspend fun stop(timeout: Duration? = null): Release = guarded { handle.stop(timeout) }

    /**
     * Ends the lease and leaves the mapping on the gateway until its lifetime ends; a permanent one stays until it is
     * deleted. The mapper of a lease that [open] returned ends as well. Answers as [stop] does.
     */
    public suspend fun detach(): Release = guarded { handle.detach() }

    /** As [stop] without an answer, but blocks the thread: commonly for one round trip to the gateway, at most for 5 s. */
    override fun close() {
        guarded { handle.stopBlocking() }
    }
}

/**
 * Maps one port and waits for the mapping, at most for [timeout]: start, map and ready in one line. The lease has a mapper of
 * its own, which ends with it.
 *
 * Without a [timeout] it takes as long as one whole attempt, about 2 s if there is no gateway. Fails as [Mapper.start],
 * [Mapper.map] and [Lease.ready] do; then nothing is left behind.
 */
public suspend fun open(request: MapRequest, config: Config = Config(), timeout: Duration? = null): Lease = guarded {
    val handle = nativeLibrary.beginOpen(request, config)
    try {
        handle.ready(timeout)
    } catch (failure: Throwable) {
        handle.destroy() // releases in the background
        throw failure
    }
    Lease(handle, mapper = null)
}

/**
 * As [open] of a [MapRequest]. [port] and [externalPort] are 1 to 65535; the gateway may grant another port than
 * [externalPort] (default: [port]) unless the request is [exact].
 */
public suspend fun open(
    port: Int,
    transport: Transport,
    externalPort: Int? = null,
    exact: Boolean = false,
    config: Config = Config(),
    timeout: Duration? = null,
): Lease = open(MapRequest(port, transport, externalPort, exact), config, timeout)
