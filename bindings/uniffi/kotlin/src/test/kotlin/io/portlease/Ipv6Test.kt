package io.portlease

import com.google.gson.JsonObject
import java.util.concurrent.TimeUnit
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertSame
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.Test

/** IPv6: a pinhole is a lease like any other. */
class Ipv6Test {
    /** A router that also has a firewall for IPv6. */
    private fun home(test: suspend (Gateway) -> Unit) {
        val settings = JsonObject().apply { addProperty("ipv6", true) }
        Gateway(settings).use { gateway ->
            assumeTrue(!gateway.started.has("no_ipv6"), "this machine has no IPv6 on loopback")
            runBlocking { test(gateway) }
        }
    }

    @Test
    fun `open opens a pinhole for an address of this machine, which has brackets`() = home { gateway ->
        val request = MapRequest(4000, Transport.TCP, family = AddressFamily.IPV6)
        open(request, config = gateway.config(), timeout = 10.seconds).use { lease ->
            val now = lease.snapshot()
            assertEquals(listOf("[::1]:4000", 4000, AddressFamily.IPV6), now.run { listOf(external, externalPort, family) })
            assertEquals(
                listOf("[::1]:4000", 4000, AddressClass.RESERVED),
                lease.run { listOf(external, externalPort, addressClass) },
            )
            assertEquals(1, gateway.mappings())
        }
        gateway.awaitMappings(0)
    }

    @Test
    fun `one port has a lease of each family, and events tell which`() = home { gateway ->
        Mapper.start(gateway.config()).use { mapper ->
            val leases = mutableListOf(mapper.map(4000, Transport.UDP))
            val request = MapRequest.builder(4000, Transport.UDP).family(AddressFamily.IPV6).build()
            leases += mapper.map(request)
            assertSame(leases[1], mapper.ensure(request))
            leases += mapper.mapBoth(request.copy(internalPort = 4001)).toList()
            val families = leases.map { it.ready(10.seconds).family }
            assertEquals(listOf(AddressFamily.IPV4) + List(3) { AddressFamily.IPV6 }, families)
            val told = List(4) { mapper.nextEvent(10.seconds).run { lease to family } }
            assertEquals(leases.map { it.id }.zip(families).toSet(), told.toSet())
            assertEquals("127.0.0.1", mapper.snapshot().gateway)
        }
    }

    @Test
    fun `a probe is of one family, by a mapper and by the module, for Java too`() = home { gateway ->
        val report = probe(gateway.config(), AddressFamily.IPV6)
        assertEquals("::1" to "::1", report.gateway to report.localAddress)
        assertEquals(listOf(Protocol.PCP, Protocol.UPNP), report.protocols.filter { it.error == null }.map { it.protocol })
        Mapper.start(gateway.config()).use { mapper ->
            assertEquals("127.0.0.1", mapper.probe().gateway)
            assertEquals("::1", mapper.probe(AddressFamily.IPV6).gateway)
            assertEquals("::1", mapper.probeBlocking(AddressFamily.IPV6).gateway)
            assertEquals("::1", mapper.probeAsync(AddressFamily.IPV6).get(10, TimeUnit.SECONDS).gateway)
        }
        assertEquals("::1", probeBlocking(gateway.config(), AddressFamily.IPV6).gateway)
        assertEquals("127.0.0.1", probeAsync(gateway.config()).get(10, TimeUnit.SECONDS).gateway)
        assertEquals(0, gateway.mappings())
    }

    @Test
    fun `a gateway may have a scope, which names its interface`() {
        fun refused(config: Config): String = assertThrows(PortLeaseException.Invalid::class.java) {
            Mapper.start(config).use { mapper ->
                runBlocking { mapper.map(MapRequest(4000, Transport.UDP, family = AddressFamily.IPV6)).ready(10.seconds) }
            }
        }.message!!
        val unknown = refused(Config(gateway = "fe80::1%no-such", retry = RetryPolicy.Never))
        assertTrue(unknown.startsWith("gateway: there is no interface `no-such`; there are "), unknown)
        val other = refused(Config(gateway = "fe80::1%eth0", `interface` = "eth1"))
        assertTrue(other.startsWith("gateway: the scope of fe80::1%eth0 is not the interface `eth1`"), other)
        assertTrue(refused(Config(gateway = "fe80::1%a-name-of-16-let")).endsWith("1 to 15 bytes"))
    }
}
