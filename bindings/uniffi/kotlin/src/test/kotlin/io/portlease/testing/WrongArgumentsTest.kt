package io.portlease.testing

import io.portlease.PortLeaseException
import io.portlease.Transport
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Test

class WrongArgumentsTest {
    private fun assertInvalid(message: String, call: () -> Any?) =
        assertEquals(message, assertThrows(PortLeaseException.Invalid::class.java) { call() }.message)

    @Test
    fun `what the simulated router cannot be told is invalid, and the message has what was given`() = Gateway.start().use { gateway ->
        assertInvalid("address fritz.box: invalid IPv4 address syntax") { gateway.setExternalAddress("fritz.box") }
        assertInvalid("transport udp, external port 70000, internal 127.0.0.1:9: invalid value: integer `70000`, expected u16") {
            gateway.addMapping(Transport.UDP, 70_000, "127.0.0.1:9")
        }
        assertInvalid("transport udp, internal here: invalid socket address syntax") { gateway.removePinhole(Transport.UDP, "here") }
        assertInvalid(
            "prefix 2001:db8::: prefix: `2001:db8::` must be an IPv6 address and a length, such as 2001:db8:1::/64",
        ) { gateway.renumber("2001:db8::") }
        assertInvalid("loss: must be a finite number, not NaN") { gateway.setFaults(Faults().loss(Double.NaN)) }
        assertInvalid("settings: pcp_port: invalid value: integer `-1`, expected u16") { Gateway.start(GatewaySettings().pcpPort(-1)) }
    }
}
