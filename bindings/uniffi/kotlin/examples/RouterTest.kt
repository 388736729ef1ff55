import io.portlease.Config
import io.portlease.PortLeaseException
import io.portlease.Transport
import io.portlease.open
import io.portlease.testing.Faults
import io.portlease.testing.Gateway
import io.portlease.testing.GatewayExtension
import io.portlease.testing.Mode
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.extension.ExtendWith

@ExtendWith(GatewayExtension::class) // a router for each test; a parameter asks for it, or for the way to it
class RouterTest {
    @Test
    fun `the port is mapped and released`(gateway: Gateway, config: Config): Unit = runBlocking {
        open(4000, Transport.UDP, config = config).use {
            assertEquals(4000, gateway.mappings().single().externalPort)
        }
        assertEquals(0, gateway.mappings().size)
    }

    @Test
    fun `a router that says no is survived`(gateway: Gateway, config: Config) {
        gateway.setFaults(Faults().pcp(Mode.refuse(2)).natPmp(Mode.OFF).upnp(Mode.OFF))
        assertThrows(PortLeaseException.Refused::class.java) { runBlocking { open(4000, Transport.UDP, config = config) } }
    }
}
