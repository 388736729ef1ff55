package io.portlease.testing

import io.portlease.AddressFamily
import io.portlease.MapRequest
import io.portlease.Mapper
import io.portlease.Protocol
import io.portlease.Transport
import java.net.DatagramPacket
import java.net.DatagramSocket
import java.net.InetAddress
import java.net.InetSocketAddress
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.Test

/** The simulated router's firewall for IPv6. */
class FirewallTest {
    private val pinhole = MapRequest(9001, Transport.UDP, family = AddressFamily.IPV6)

    /** A router with such a firewall, on machines that have IPv6. */
    private fun firewall(test: suspend (Gateway) -> Unit) = Gateway.start(GatewaySettings().ipv6(true)).use { gateway ->
        val reason = gateway.noIpv6()
        assumeTrue(reason == null) { "no IPv6 here: $reason" }
        runBlocking { test(gateway) }
    }

    private fun listener(host: String) = DatagramSocket(InetSocketAddress(InetAddress.getByName(host), 0)).apply { soTimeout = 5000 }

    private fun DatagramSocket.hears(): ByteArray = DatagramPacket(ByteArray(2000), 2000).let { packet ->
        receive(packet)
        packet.data.copyOf(packet.length)
    }

    @Test
    fun `an IPv6 lease opens a pinhole, and traffic arrives`() = firewall { gateway ->
        listener("::1").use { app ->
            val port = app.localPort
            Mapper.start(gateway.config()).use { mapper ->
                mapper.map(pinhole.copy(internalPort = port)).ready(5.seconds)
                val opened = gateway.mappings().single()
                assertEquals(listOf("[::1]:$port", port, 1), listOf(opened.`internal`, opened.externalPort, opened.uniqueId))
                val reach = opened.reach.substringAfterLast(':').toInt()
                DatagramSocket().use {
                    it.send(DatagramPacket("hello".toByteArray(), 5, InetSocketAddress(InetAddress.getByName("::1"), reach)))
                    assertEquals("hello", app.hears().decodeToString())
                }
            }
        }
        gateway.waitFor { it.mappings.isEmpty() }
    }

    @Test
    fun `a pinhole that is lost, and one that another prefix has closed, are opened again`() = firewall { gateway ->
        // Without a look of its own the mapper opens it again only when it is told to look.
        val config = gateway.config().copy(protocols = listOf(Protocol.PCP), checkInterval = Duration.ZERO)
        Mapper.start(config).use { mapper ->
            mapper.map(pinhole).ready(5.seconds)
            gateway.removePinhole(Transport.UDP, "[::1]:9001")
            assertTrue(gateway.mappings().isEmpty())
            mapper.networkChanged()
            gateway.waitFor { it.mappings.size == 1 }
            gateway.renumber("2001:db8:1::/64")
            assertTrue(gateway.mappings().isEmpty())
            gateway.renumber("::1/128")
            mapper.networkChanged()
            gateway.waitFor { it.mappings.size == 1 }
        }
    }

    @Test
    fun `announcements arrive over IPv4 and IPv6`() = firewall { gateway ->
        for (host in listOf("127.0.0.1", "::1")) {
            for (what in Announcement.entries.filter { it != Announcement.NAT_PMP || host == "127.0.0.1" }) {
                listener(host).use {
                    gateway.announce(what, if (host == "::1") "[::1]:${it.localPort}" else "$host:${it.localPort}")
                    val first = when (what) {
                        Announcement.PCP -> 2
                        Announcement.NAT_PMP -> 0
                        Announcement.SSDP_ALIVE, Announcement.SSDP_BYEBYE -> 'N'.code
                    }
                    assertEquals(first, it.hears().first().toInt(), "$what to $host")
                }
            }
        }
    }

    @Test
    fun `a mapper finds the firewall by the configuration for both families, and by its own`() = firewall { gateway ->
        val own = checkNotNull(gateway.ipv6())
        assertEquals(listOf("::1", gateway.config().pcpPort), listOf(own.gateway, own.pcpPort))
        for (config in listOf(own, gateway.config())) {
            Mapper.start(config).use { assertEquals("[::1]:9001", it.map(pinhole).ready(5.seconds).`external`) }
        }
    }

    @Test
    fun `a router has no firewall unless its settings ask for one`() = Gateway.start().use {
        assertNull(it.ipv6())
        assertNull(it.noIpv6())
    }
}
