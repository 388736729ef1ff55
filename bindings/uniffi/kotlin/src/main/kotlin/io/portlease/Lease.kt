package io.portlease

import kotlin.time.Duration

/**
 * The promise to keep one port mapped.
 *
 * [close], at the end of a `use` block, releases the mapping on the gateway. A lease that is let go without it stays mapped as
 * long as its [Mapper] is held; one of [open] is released when the garbage collector comes by.
 */
public class Lease internal constructor(
    private val handle: LeaseHandle,
    /** Held because the mapping ends with it; null where the handle has a mapper of its own. */
    @Suppress("unused") private val mapper: Mapper?,
) : AutoCloseable {
    /** The lease's number within its mapper, from 1, as events name it. */
    public val id: Long = guarded { handle.id() }

    /**
     * Waits for a mapping, at most for [timeout], and answers with the state that has it; without a timeout, until then.
     *
     * Fails with the kind of the latest whole attempt if that failed: the lease goes on trying unless retry is
     * [RetryPolicy.Never], and each failed attempt is raised once. Fails with `timeout` if no attempt has ended by then.
     * Once the lease is over, fails with the kind that ended it, or with `stopped`. Cancelling ends the wait, not the lease.
     */
    public suspend fun ready(timeout: Duration? = null): LeaseSnapshot = guarded { handle.ready(timeout) }

    /** The present state. Never waits, never fails. */
    public fun snapshot(): LeaseSnapshot = guarded { handle.snapshot() }

    /**
     * Releases the mapping on the gateway and ends the lease; waits for that, at most for [timeout] (default 5 s), after
     * which the release goes on in the background: then the answer is `false`. May be called again; never fails.
     */
    public suspend fun stop(timeout: Duration? = null): Boolean = guarded { handle.stop(timeout) }

    /**
     * Ends the lease and leaves the mapping on the gateway until its lifetime ends; a permanent one stays until somebody
     * deletes it.
     */
    public suspend fun detach(): Unit = guarded { handle.detach() }

    /** As [stop], holding up the thread for that time: commonly one round trip to the gateway, at most 5 s. */
    override fun close() {
        guarded { handle.stopBlocking() }
    }
}

/**
 * Maps one port and waits for the mapping: start, map and ready in one line. The lease has a mapper of its own, which ends
 * with it.
 *
 * [port] and [externalPort] are 1 to 65535; [externalPort] is a wish, [port] itself by default, unless [exact] insists on
 * it. Without a [timeout] it takes as long as one whole attempt, about 2 s where there is no gateway. Fails as
 * [Mapper.start], [Mapper.map] and [Lease.ready] do; then nothing is left behind.
 */
public suspend fun open(
    port: Int,
    transport: Transport,
    externalPort: Int? = null,
    exact: Boolean = false,
    config: Config = Config(),
    timeout: Duration? = null,
): Lease = guarded {
    val handle = nativeLibrary.beginOpen(MapRequest(port, transport, externalPort, exact), config)
    try {
        handle.ready(timeout)
    } catch (failure: Throwable) {
        handle.destroy() // releases in the background
        throw failure
    }
    Lease(handle, mapper = null)
}
