package io.portlease

import java.util.concurrent.CompletableFuture
import kotlin.coroutines.cancellation.CancellationException
import kotlin.time.Duration

/**
 * The promise to keep one port mapped.
 *
 * Java calls the blocking functions by the names that suspend in Kotlin: `lease.ready(timeout)`. Those that end with `Async`
 * answer with a future; cancelling it ends the wait, not the lease.
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

    private val address = handle.address()

    /**
     * Waits for a mapping, at most for [timeout], and answers with the state that has it; without a timeout, for ever.
     *
     * Fails with the kind of the latest whole attempt if that failed: the lease keeps trying unless retry is
     * [RetryPolicy.Never]. Every wait that is under way hears of a failed attempt; a call after that waits for the next
     * attempt. Fails with `timeout` if no attempt has ended by then. Once the lease is over, fails with the kind that ended
     * it, or with `stopped`. Cancelling ends the wait, not the lease.
     */
    @JvmSynthetic
    @Throws(PortLeaseException::class, CancellationException::class)
    public suspend fun ready(timeout: Duration? = null): LeaseSnapshot = guarded { handle.ready(timeout) }

    /** As [ready], but blocks the thread. */
    @JvmName("ready")
    @JvmOverloads
    @Throws(PortLeaseException::class, InterruptedException::class)
    public fun readyBlocking(timeout: java.time.Duration? = null): LeaseSnapshot = blocking { ready(timeout.limit()) }

    /** As [ready], as a future. */
    @JvmOverloads
    public fun readyAsync(timeout: java.time.Duration? = null): CompletableFuture<LeaseSnapshot> =
        answer { ready(timeout.limit()) }

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
    @JvmSynthetic
    @Throws(PortLeaseException::class, CancellationException::class)
    public suspend fun changed(since: Long = snapshot().revision, timeout: Duration? = null): LeaseSnapshot =
        guarded { handle.changed(since, timeout) }

    /** As [changed], but blocks the thread. */
    @JvmName("changed")
    @JvmOverloads
    @Throws(PortLeaseException::class, InterruptedException::class)
    public fun changedBlocking(since: Long = snapshot().revision, timeout: java.time.Duration? = null): LeaseSnapshot =
        blocking { changed(since, timeout.limit()) }

    /** As [changed], as a future. */
    @JvmOverloads
    public fun changedAsync(
        since: Long = snapshot().revision,
        timeout: java.time.Duration? = null,
    ): CompletableFuture<LeaseSnapshot> = answer { changed(since, timeout.limit()) }

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
    @JvmSynthetic
    @Throws(PortLeaseException::class, CancellationException::class)
    public suspend fun repair(timeout: Duration? = null): LeaseSnapshot = guarded { handle.repair(timeout) }

    /** As [repair], but blocks the thread. */
    @JvmName("repair")
    @JvmOverloads
    @Throws(PortLeaseException::class, InterruptedException::class)
    public fun repairBlocking(timeout: java.time.Duration? = null): LeaseSnapshot = blocking { repair(timeout.limit()) }

    /** As [repair], as a future. */
    @JvmOverloads
    public fun repairAsync(timeout: java.time.Duration? = null): CompletableFuture<LeaseSnapshot> =
        answer { repair(timeout.limit()) }

    /** The present state. Never waits, never fails. */
    public fun snapshot(): LeaseSnapshot = guarded { Views.lease(handle, address) }

    /** Where the lease stands, as in its [snapshot]. */
    public val state: LeaseState get() = snapshot().state

    /** Whether a granted, unexpired mapping is there, as in its [snapshot]. */
    public val active: Boolean get() = snapshot().active

    /** The external address and port, `address:port`, while active and if the gateway knows its address. */
    public val external: String? get() = snapshot().external

    /** The external port, while active; also if the gateway does not know its address. */
    public val externalPort: Int? get() = snapshot().externalPort

    /** The protocol that made the mapping, while active. */
    public val protocol: Protocol? get() = snapshot().protocol

    /** The class of the external address; [AddressClass.UNKNOWN] while not active. */
    public val addressClass: AddressClass get() = snapshot().addressClass

    /**
     * Releases the mapping on the gateway and ends the lease; waits for that, at most for [timeout] (default 5 s), and answers
     * how it went. If the time runs out, the answer is [Release.PENDING] and the release goes on in the background. May be
     * called again; never fails: a gateway that is gone is [Release.UNCONFIRMED].
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

    /**
     * Ends the lease and leaves the mapping on the gateway until its lifetime ends; a permanent one stays until it is
     * deleted. The mapper of a lease that [open] returned ends as well. Answers as [stop] does.
     */
    @JvmSynthetic
    public suspend fun detach(): Release = guarded { handle.detach() }

    /** As [detach], but blocks the thread. */
    @JvmName("detach")
    @Throws(InterruptedException::class)
    public fun detachBlocking(): Release = blocking { detach() }

    /** As [detach], as a future. */
    public fun detachAsync(): CompletableFuture<Release> = answer { detach() }

    /** As [stop] without an answer, but blocks the thread: commonly for one round trip to the gateway, at most for 5 s. */
    override fun close() {
        guarded { handle.stopBlocking() }
    }

    /** The lease in one line, for logs: `Lease(id=1, udp 4000, installed, external=203.0.113.7:4000)`. */
    override fun toString(): String {
        val now = snapshot()
        val external = now.external ?: now.externalPort
        return "Lease(id=$id, ${now.transport} ${now.internalPort}, ${now.state}" + (external?.let { ", external=$it)" } ?: ")")
    }
}
