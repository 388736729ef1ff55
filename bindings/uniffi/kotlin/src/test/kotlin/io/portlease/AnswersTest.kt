package io.portlease

import io.portlease.programs.Program
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertSame
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** The exit status of a JVM that was asked to end. */
private const val SIGTERM = 128 + 15

/** What a mapper can be asked beside its leases, and what errors and logs tell. */
class AnswersTest {
    private fun home(test: suspend (Gateway, Mapper) -> Unit): Unit = Gateway().use { gateway ->
        Mapper.start(gateway.config()).use { mapper -> runBlocking { test(gateway, mapper) } }
    }

    @Test
    fun `ensure and leases answer with the same objects as map`() = home { _, mapper ->
        val request = MapRequest(4000, Transport.UDP)
        val lease = mapper.map(request)
        assertSame(lease, mapper.ensure(request))
        val (udp, tcp) = mapper.mapBoth(MapRequest(4001, Transport.TCP))
        assertEquals(listOf(lease, udp, tcp), mapper.leases())
        assertEquals(Transport.UDP to Transport.TCP, udp.ready(5.seconds).transport to tcp.ready(5.seconds).transport)
        lease.stop()
        assertEquals(listOf(udp, tcp), mapper.leases())
        assertTrue(mapper.ensure(request).id > tcp.id)
    }

    @Test
    fun `a lease that the program has let go stays mapped and can be had again`() = home { gateway, mapper ->
        repeat(10) { mapper.map(4000 + it, Transport.UDP).ready(5.seconds) }
        eventually("the garbage is collected") { System.gc(); mapper.leases().size == 10 }
        assertEquals(10, gateway.mappings())
    }

    @Test
    fun `a lease says where it stands without a snapshot`() = home { _, mapper ->
        val lease = mapper.map(4000, Transport.UDP)
        lease.ready(5.seconds)
        assertEquals(
            listOf(LeaseState.INSTALLED, true, "192.0.1.1:4000", 4000, Protocol.PCP, AddressClass.PUBLIC),
            lease.run { listOf(state, active, external, externalPort, protocol, addressClass) },
        )
        lease.stop()
        assertEquals(listOf(null, null, null, AddressClass.UNKNOWN), lease.run { listOf(external, externalPort, protocol, addressClass) })
    }

    @Test
    fun `each request can have a lifetime and a description of its own`() = home { gateway, _ ->
        Mapper.start(gateway.config().copy(protocols = listOf(Protocol.UPNP))).use { mapper ->
            val lease = mapper.map(MapRequest(4000, Transport.UDP, ttl = 5.minutes, description = "game"))
            assertEquals(5.minutes, lease.ready(5.seconds).lifetime)
            mapper.map(4001, Transport.UDP).ready(5.seconds)
            assertEquals(listOf("game", "portlease"), mapper.table().map { it.description })
        }
    }

    @Test
    fun `the router's table is read, and an entry of another machine is deleted only on demand`() = home { gateway, mapper ->
        gateway.tell("""{"command":"put_mapping","protocol":"upnp","transport":"udp","external_port":4000,"internal":"127.0.0.1:9"}""")
        gateway.tell("""{"command":"put_mapping","protocol":"upnp","transport":"udp","external_port":4001,"internal":"192.168.1.9:9"}""")
        assertEquals(listOf(true, false), mapper.table().map { it.thisMachine })
        assertEquals(4000, mapper.delete(Transport.UDP, 4000)?.externalPort)
        assertNull(mapper.delete(Transport.UDP, 4000))
        assertThrows(PortLeaseException.Invalid::class.java) { runBlocking { mapper.delete(Transport.UDP, 70_000) } }
    }

    @Test
    fun `the external address is known without a lease, by a mapper and by the module`() = home { gateway, mapper ->
        assertEquals("192.0.1.1", mapper.externalAddress(10.seconds))
        assertEquals("192.0.1.1", externalAddress(gateway.config(), 10.seconds))
        assertEquals(Protocol.entries - Protocol.NONE, probe(gateway.config()).protocols.map { it.protocol })
        assertEquals(0, gateway.mappings())
    }

    @Test
    fun `an error has what each protocol has answered, advice, and how long it is useless to try again`() = home { gateway, mapper ->
        val lease = mapper.map(4000, Transport.UDP).apply { ready(5.seconds); repair(5.seconds) }
        val again = assertThrows(PortLeaseException.Refused::class.java) { runBlocking { lease.repair(5.seconds) } }
        assertTrue(again.retryAfter!! in 1.seconds..10.seconds, "$again")
        gateway.tell("""{"set":{"pcp":{"refuse":2},"nat_pmp":"off","upnp":"off"}}""")
        val error = assertThrows(PortLeaseException::class.java) { runBlocking { mapper.map(4001, Transport.UDP).ready(20.seconds) } }
        assertEquals(ErrorKind.REFUSED to error.report.message, error.kind to error.message)
        assertEquals(Protocol.PCP to "NOT_AUTHORIZED", error.details.first().run { protocol to name })
        assertTrue(error.advice!!.isNotEmpty())
    }

    @Test
    fun `what portlease tells goes to the platform's log, though a handler of the program's fails`(): Unit = Gateway().use { gateway ->
        val told = listOf("-Djava.util.logging.config.file=src/test/resources/told.properties")
        val program = Program("io.portlease.programs.Exits", gateway, "told", options = told)
        for (line in listOf("WARNING io\\.portlease\\S* .*state_dir", "INFO io\\.portlease\\S* .*installed")) {
            eventually("the log has a line as $line") { Regex(line).containsMatchIn(program.said()) }
        }
        program.terminate()
        assertEquals(SIGTERM, program.ended(60), program.said())
    }
}
