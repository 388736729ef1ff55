@file:JvmName("PortLease")

package io.portlease

import java.util.concurrent.CompletableFuture
import kotlin.coroutines.cancellation.CancellationException
import kotlin.time.Duration
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.withContext

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

/**
 * Asks the gateway what it offers by each protocol, with an engine of its own; maps nothing.
 *
 * Fails as [Mapper.start] and [Mapper.probe] do.
 */
@JvmSynthetic
@Throws(PortLeaseException::class, CancellationException::class)
public suspend fun probe(config: Config = Config(), family: AddressFamily = AddressFamily.IPV4): GatewayReport =
    asking(config) { probe(family) }

/** As [probe], but blocks the thread. */
@JvmName("probe")
@JvmOverloads
@Throws(PortLeaseException::class, InterruptedException::class)
public fun probeBlocking(config: Config = Config(), family: AddressFamily = AddressFamily.IPV4): GatewayReport =
    blocking { probe(config, family) }

/** As [probe], as a future. */
@JvmOverloads
public fun probeAsync(
    config: Config = Config(),
    family: AddressFamily = AddressFamily.IPV4,
): CompletableFuture<GatewayReport> = answer { probe(config, family) }

/**
 * The address at which the internet sees this machine, asked with an engine of its own. Waits at most for [timeout].
 *
 * Fails as [Mapper.start] and [Mapper.externalAddress] do.
 */
@JvmSynthetic
@Throws(PortLeaseException::class, CancellationException::class)
public suspend fun externalAddress(config: Config = Config(), timeout: Duration? = null): String =
    asking(config) { externalAddress(timeout) }

/** As [externalAddress], but blocks the thread. */
@JvmName("externalAddress")
@JvmOverloads
@Throws(PortLeaseException::class, InterruptedException::class)
public fun externalAddressBlocking(config: Config = Config(), timeout: java.time.Duration? = null): String =
    blocking { externalAddress(config, timeout.limit()) }

/** As [externalAddress], as a future. */
@JvmOverloads
public fun externalAddressAsync(
    config: Config = Config(),
    timeout: java.time.Duration? = null,
): CompletableFuture<String> = answer { externalAddress(config, timeout.limit()) }

/** Asks a mapper that has nothing to release, and lets it end. */
private suspend fun <T> asking(config: Config, ask: suspend Mapper.() -> T): T {
    val mapper = Mapper.start(config)
    try {
        return mapper.ask()
    } finally {
        withContext(NonCancellable) { mapper.stop() }
    }
}
