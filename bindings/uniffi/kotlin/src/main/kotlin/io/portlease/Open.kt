@file:JvmName("PortLease")

package io.portlease

import java.util.concurrent.CompletableFuture
import kotlin.coroutines.cancellation.CancellationException
import kotlin.time.Duration

/**
 * Maps one port and waits for the mapping, at most for [timeout]: start, map and ready in one line. The lease has a mapper of
 * its own, which ends with it.
 *
 * Without a [timeout] it takes as long as one whole attempt, about 2 s if there is no gateway. Fails as [Mapper.start],
 * [Mapper.map] and [Lease.ready] do; then nothing is left behind.
 */
@JvmSynthetic
@Throws(PortLeaseException::class, CancellationException::class)
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
@JvmSynthetic
@Throws(PortLeaseException::class, CancellationException::class)
public suspend fun open(
    port: Int,
    transport: Transport,
    externalPort: Int? = null,
    exact: Boolean = false,
    config: Config = Config(),
    timeout: Duration? = null,
): Lease = open(MapRequest(port, transport, externalPort, exact), config, timeout)

/** As [open], but blocks the thread. An interrupt ends the wait, and nothing is left behind. */
@JvmName("open")
@JvmOverloads
@Throws(PortLeaseException::class, InterruptedException::class)
public fun openBlocking(request: MapRequest, config: Config = Config(), timeout: java.time.Duration? = null): Lease =
    blocking { open(request, config, timeout.limit()) }

/** As [openBlocking] of a [MapRequest]. */
@JvmName("open")
@JvmOverloads
@Throws(PortLeaseException::class, InterruptedException::class)
public fun openBlocking(
    port: Int,
    transport: Transport,
    config: Config = Config(),
    timeout: java.time.Duration? = null,
): Lease = openBlocking(MapRequest(port, transport), config, timeout)

/** As [open], as a future. If that is cancelled, nothing is left behind. */
@JvmOverloads
public fun openAsync(
    request: MapRequest,
    config: Config = Config(),
    timeout: java.time.Duration? = null,
): CompletableFuture<Lease> = answer({ open(request, config, timeout.limit()) }, abandon = { it.stopAsync() }) { it }

/** As [openAsync] of a [MapRequest]. */
@JvmOverloads
public fun openAsync(
    port: Int,
    transport: Transport,
    config: Config = Config(),
    timeout: java.time.Duration? = null,
): CompletableFuture<Lease> = openAsync(MapRequest(port, transport), config, timeout)
