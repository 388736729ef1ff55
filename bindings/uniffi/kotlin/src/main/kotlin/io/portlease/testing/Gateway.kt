package io.portlease.testing

import io.portlease.Config
import io.portlease.ErrorKind
import io.portlease.ErrorReport
import io.portlease.PortLeaseException
import io.portlease.Protocol
import io.portlease.SimulatedGateway
import io.portlease.SimulatedMapping
import io.portlease.Transport
import io.portlease.blocking
import io.portlease.guarded
import io.portlease.limit
import io.portlease.simulate
import java.util.function.Predicate
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource
import kotlin.time.toJavaDuration
import kotlinx.coroutines.delay

/** One line of the simulated router's table. */
public data class GatewayMapping(
    /** The protocol that made it, or that last renewed it; null if no client did. */
    val protocol: Protocol?,
    /** UDP or TCP. */
    val transport: Transport,
    /** The port on the router's external address, as clients are told. */
    val externalPort: Int,
    /** Where traffic goes, `address:port`. */
    val internal: String,
    /** UPnP's description; empty for the others. */
    val description: String,
    /** The time that is left; null for a permanent mapping. */
    val expiresIn: Duration?,
    /** The loopback `address:port` where traffic for this mapping really enters. */
    val reach: String,
    /** The PCP nonce in hex. */
    val nonce: String?,
    /** UPnP's UniqueID of a pinhole in the IPv6 firewall; null for a mapping of IPv4. */
    val uniqueId: Int? = null,
) {
    /** [expiresIn] for Java. */
    @JvmName("getExpiresIn")
    public fun javaExpiresIn(): java.time.Duration? = expiresIn?.toJavaDuration()
}

/** The simulated router at one moment. */
public data class GatewayState(
    /** The table, by transport and external port; then the pinholes of the IPv6 firewall. */
    val mappings: List<GatewayMapping>,
    /** How many messages of each type have arrived, such as `pcp_map`; a type that never came is not there. */
    val counters: Map<String, Long>,
    /** The external address that clients are told. */
    val externalAddress: String?,
    /** For how long the router claims to have been up. */
    val epoch: Duration,
) {
    /** [epoch] for Java. */
    @JvmName("getEpoch")
    public fun javaEpoch(): java.time.Duration = epoch.toJavaDuration()
}

/** What the router can say unasked, for [Gateway.announce]. */
public enum class Announcement(internal val json: String) {
    /** PCP's ANNOUNCE with the present epoch. */
    PCP("pcp"),

    /** The external address, as NAT-PMP tells it; for IPv4 alone. */
    NAT_PMP("nat_pmp"),

    /** The UPnP devices and services are there. */
    SSDP_ALIVE("ssdp_alive"),

    /** They go. */
    SSDP_BYEBYE("ssdp_byebye"),
}

/**
 * A simulated home router for tests, on a thread of its own in this process: PCP, NAT-PMP and UPnP on loopback, with real
 * forwarding and a switch for what goes wrong on real routers.
 *
 * ```
 * Gateway.start().use { gateway ->
 *     open(4000, Transport.UDP, config = gateway.config()).use { assertEquals(4000, gateway.mappings().single().externalPort) }
 * }
 * ```
 *
 * Every function fails with `stopped` once the gateway is closed.
 */
public class Gateway private constructor(private val handle: SimulatedGateway) : AutoCloseable {
    public companion object {
        /**
         * Starts a gateway: a healthy router, unless [settings] say otherwise.
         *
         * Fails with `invalid` for a setting that is out of range, and with `transport` if a port cannot be had.
         */
        @JvmStatic
        @JvmOverloads
        @Throws(PortLeaseException::class)
        public fun start(settings: GatewaySettings = GatewaySettings()): Gateway =
            Gateway(guarded { simulate(settings.json.toString()) })

        private val DEFAULT_WAIT = 5.seconds
        private val LOOK_INTERVAL = 5.milliseconds
    }

    /**
     * A configuration that leads to this gateway. It stays the same after a reboot. It leads to the IPv6 firewall too, unless
     * `bind` or `ipv6Bind` is not a loopback address; see [ipv6].
     */
    @Throws(PortLeaseException::class)
    public fun config(): Config = guarded { handle.addresses() }.let {
        Config(gateway = it.gateway, pcpPort = it.pcpPort, ssdpAddress = it.ssdpAddress)
    }

    /** A configuration that leads to the IPv6 firewall of this gateway alone; null if there is none. */
    @Throws(PortLeaseException::class)
    public fun ipv6(): Config? = guarded { handle.addresses() }.ipv6?.let {
        Config(gateway = it.gateway, pcpPort = it.pcpPort, ssdpAddress = it.ssdpAddress)
    }

    /** Why there is no IPv6 firewall although the setting `ipv6` is on; else null. */
    @Throws(PortLeaseException::class)
    public fun noIpv6(): String? = guarded { handle.addresses() }.noIpv6

    /** The URL of the UPnP device description. A reboot changes it. */
    @Throws(PortLeaseException::class)
    public fun descriptionUrl(): String = guarded { handle.addresses() }.descriptionUrl

    /** Table, counters, external address and epoch at one moment. */
    @Throws(PortLeaseException::class)
    public fun state(): GatewayState = guarded { handle.state() }.let {
        GatewayState(it.mappings.map(::mapping), it.counters, it.externalAddress, it.epoch)
    }

    /** The table. */
    @Throws(PortLeaseException::class)
    public fun mappings(): List<GatewayMapping> = state().mappings

    /** Sets switches; those not named stay as they are. Fails with `invalid` for a value that is out of range. */
    @Throws(PortLeaseException::class)
    public fun setFaults(faults: Faults) {
        execute(JsonObject().put("set", faults).toString())
    }

    /** Restarts the router: its table is empty, its epoch begins at 0. */
    @Throws(PortLeaseException::class)
    public fun reboot(): Unit = command("reboot")

    /** Changes the external address; null takes it away. Mappings stay. */
    @Throws(PortLeaseException::class)
    public fun setExternalAddress(address: String?): Unit = command("external_address", "address" to address)

    /**
     * Adds a mapping that no client asked for: it takes the external port, and forwards to [internal], `address:port`.
     * Fails with `invalid` if the port is taken.
     */
    @Throws(PortLeaseException::class)
    public fun addMapping(transport: Transport, externalPort: Int, internal: String): Unit = command(
        "add_mapping", "transport" to "$transport", "external_port" to externalPort, "internal" to internal,
    )

    /** Takes a mapping out of the table, whoever made it, if there is one. */
    @Throws(PortLeaseException::class)
    public fun removeMapping(transport: Transport, externalPort: Int): Unit =
        command("remove_mapping", "transport" to "$transport", "external_port" to externalPort)

    /** Closes a pinhole in the IPv6 firewall, as a router that has lost it, if there is one. [internal] is `[address]:port`. */
    @Throws(PortLeaseException::class)
    public fun removePinhole(transport: Transport, internal: String): Unit =
        command("remove_pinhole", "transport" to "$transport", "internal" to internal)

    /**
     * Gives the inside another IPv6 prefix, such as `2001:db8:1::/64`. Pinholes for other addresses are closed, and requests
     * from such addresses get no answer. On a machine whose loopback has `::1` alone, such a prefix shuts the machine out, and
     * `::1/128` lets it in again.
     */
    @Throws(PortLeaseException::class)
    public fun renumber(prefix: String): Unit = command("renumber", "prefix" to prefix)

    /**
     * Sends an announcement to an `address:port`, over IPv6 if that is an IPv6 address. Routers send those of PCP and NAT-PMP to
     * `224.0.0.1:5350` and `[ff02::1]:5350`, those of SSDP to `239.255.255.250:1900` and `[ff02::c]:1900`.
     */
    @Throws(PortLeaseException::class)
    public fun announce(what: Announcement, to: String): Unit = command("announce", "what" to what.json, "to" to to)

    /**
     * Waits until [condition] holds for the state, at most for [timeout] (default 5 s), and answers with that state. Fails with
     * `timeout`.
     */
    @JvmSynthetic
    @Throws(PortLeaseException::class)
    public suspend fun waitFor(timeout: Duration = DEFAULT_WAIT, condition: (GatewayState) -> Boolean): GatewayState {
        val begun = TimeSource.Monotonic.markNow()
        while (true) {
            val state = state()
            if (condition(state)) return state
            if (begun.elapsedNow() >= timeout) {
                throw PortLeaseException.Timeout(ErrorReport(ErrorKind.TIMEOUT, "the gateway was not so within $timeout: $state"))
            }
            delay(LOOK_INTERVAL)
        }
    }

    /** As [waitFor], but blocks the thread. */
    @JvmName("waitFor")
    @Throws(PortLeaseException::class, InterruptedException::class)
    public fun waitForBlocking(timeout: java.time.Duration, condition: Predicate<GatewayState>): GatewayState =
        blocking { waitFor(timeout.limit() ?: DEFAULT_WAIT) { condition.test(it) } }

    /**
     * Carries out a line of the gateway's protocol, which its README describes, and answers with the reply, a JSON object: for
     * what has no function here. Fails with `invalid` if the gateway cannot do that.
     */
    @Throws(PortLeaseException::class)
    public fun execute(line: String): String = guarded { handle.execute(line) }

    /** Closes all ports of the gateway, which takes a moment, at most 2 s. May be called again. */
    override fun close(): Unit = handle.stop()

    /** The gateway's own error does not say which argument is wrong, so all are told. */
    private fun command(name: String, vararg fields: Pair<String, Any?>) {
        val line = fields.fold(JsonObject().put("command", name)) { json, (field, value) -> json.put(field, value) }
        try {
            execute(line.toString())
        } catch (error: PortLeaseException.Invalid) {
            val given = fields.joinToString { (field, value) -> "${field.replace('_', ' ')} $value" }
            throw invalid("$given: ${error.message?.removePrefix("command: ")}").initCause(error)
        }
    }

    private fun mapping(it: SimulatedMapping) = GatewayMapping(
        it.protocol, it.transport, it.externalPort, it.`internal`, it.description, it.expiresIn, it.reach, it.nonce,
        it.uniqueId,
    )
}
