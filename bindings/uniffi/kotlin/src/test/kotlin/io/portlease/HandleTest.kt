package io.portlease

import java.lang.ref.WeakReference
import kotlin.time.Duration
import kotlin.time.Duration.Companion.hours
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeoutOrNull
import kotlinx.coroutines.yield
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** The handles as Kotlin programs use them. */
class HandleTest {
    private fun home(test: suspend (Gateway) -> Unit): Unit = Gateway().use { gateway -> runBlocking { test(gateway) } }

    /** Not suspending, so that no coroutine keeps the lease. */
    private fun mapAndForget(mapper: Mapper, port: Int = 4000): Lease =
        mapper.map(port, Transport.UDP).also { runBlocking { it.ready(5.seconds) } }

    private fun mapAndEnd(mapper: Mapper, port: Int, byItself: Boolean): Lease = mapper.map(port, Transport.UDP).also {
        if (byItself) runBlocking { kindOf { it.ready(5.seconds) } } else it.close()
    }

    /** Has collected all that nobody held when it was called. */
    private fun collectGarbage() {
        val canary = WeakReference(Any())
        eventually("the garbage is collected") { System.gc(); canary.get() == null }
    }

    private suspend fun kindOf(call: suspend () -> Any?): ErrorKind? = try {
        call()
        null
    } catch (error: PortLeaseException) {
        error.kind
    }

    @Test
    fun `use releases on the router before it is left`() = home { gateway ->
        Mapper.start(gateway.config()).use { mapper ->
            val lease = mapper.map(4000, Transport.UDP)
            lease.ready(5.seconds)
            assertEquals(1, gateway.mappings())
            assertTrue(lease.snapshot().active)
        }
        assertEquals(0, gateway.mappings())
    }

    @Test
    fun `use releases also where it is left by an exception, which comes through`() = home { gateway ->
        val error = assertThrows(IllegalStateException::class.java) {
            Mapper.start(gateway.config()).use { mapper ->
                runBlocking { mapper.map(4000, Transport.UDP).ready(5.seconds) }
                error("the program's own")
            }
        }
        assertEquals("the program's own", error.message)
        assertEquals(0, gateway.mappings())
    }

    @Test
    fun `use of a lease releases that one alone`() = home { gateway ->
        Mapper.start(gateway.config()).use { mapper ->
            mapper.map(4000, Transport.UDP).ready(5.seconds)
            mapper.map(4001, Transport.TCP).use { it.ready(5.seconds) }
            assertEquals(1, gateway.mappings())
            assertEquals(listOf(4000), mapper.snapshot().leases.map { it.internalPort })
        }
    }

    @Test
    fun `closing twice and stopping after that are nothing new`() = home { gateway ->
        val mapper = Mapper.start(gateway.config())
        val lease = mapper.map(4000, Transport.UDP)
        lease.ready(5.seconds)
        repeat(2) { lease.close() }
        repeat(2) { mapper.close() }
        assertEquals(Release.RELEASED to Release.RELEASED, lease.stop() to mapper.stop())
    }

    @Test
    fun `a router that is gone makes a stop pending and in the end unconfirmed, and close says nothing`() = home { gateway ->
        Mapper.start(gateway.config()).use { mapper ->
            mapper.map(4000, Transport.UDP).use { lease ->
                lease.ready(5.seconds)
                gateway.tell("""{"set":{"pcp":"silent","nat_pmp":"silent","upnp":"silent"}}""")
                assertEquals(Release.PENDING, lease.stop(Duration.ZERO))
                assertEquals(Release.PENDING, mapper.stop(Duration.ZERO))
                assertEquals(Release.UNCONFIRMED, lease.stop())
            }
            assertEquals(Release.UNCONFIRMED, mapper.stop())
        }
    }

    @Test
    fun `the external port is known also if the router does not know its address`() = home { gateway ->
        gateway.tell("""{"set":{"empty_external_address":true}}""")
        val config = gateway.config().copy(protocols = listOf(Protocol.UPNP))
        Mapper.start(config).use { mapper ->
            val ready = mapper.map(4000, Transport.UDP).ready(5.seconds)
            assertEquals(listOf(true, null, 4000, NatClass.UNKNOWN), listOf(ready.active, ready.external, ready.externalPort, ready.natClass))
            val event = mapper.nextEvent()
            assertEquals(listOf(EventKind.INSTALLED, null, 4000), listOf(event.kind, event.external, event.externalPort))
        }
    }

    @Test
    fun `what is closed answers stopped, and snapshots still answer`() = home { gateway ->
        val mapper = Mapper.start(gateway.config())
        val lease = mapper.map(4000, Transport.UDP)
        lease.ready(5.seconds)
        mapper.close()
        assertEquals(ErrorKind.STOPPED, kindOf { mapper.map(4001, Transport.UDP) })
        assertEquals(ErrorKind.STOPPED, kindOf { mapper.probe() })
        assertEquals(ErrorKind.STOPPED, kindOf { lease.ready() })
        assertEquals(ErrorKind.STOPPED, kindOf { lease.repair() })
        mapper.networkChanged() // nothing is left to look at
        assertEquals(Release.RELEASED, lease.detach())
        assertEquals(LeaseState.EXITED, lease.snapshot().state)
        assertTrue(mapper.snapshot().stopped)
        assertEquals(1, lease.id)
    }

    @Test
    fun `a hundred leases at once are ready, then all gone`() = home { gateway ->
        Mapper.start(gateway.config()).use { mapper ->
            val leases = List(100) { mapper.map(4000 + it, Transport.entries[it % 2]) }
            val ready = coroutineScope { leases.map { async { it.ready(10.seconds) } }.awaitAll() }
            assertEquals(List(100) { "192.0.1.1:${4000 + it}" }, ready.map { it.external })
            assertEquals(100, mapper.snapshot().active)
        }
        assertEquals(0, gateway.mappings())
    }

    @Test
    fun `the flow of events brings all, in order, and ends with the mapper`() = home { gateway ->
        val mapper = Mapper.start(gateway.config())
        coroutineScope {
            val kinds = async { mapper.events().map { it.kind }.toList() }
            mapper.map(4000, Transport.UDP).ready(5.seconds)
            mapper.stop()
            assertEquals(listOf(EventKind.INSTALLED, EventKind.EXITED), kinds.await())
        }
    }

    @Test
    fun `collectors side by side each get every event`() = home { gateway ->
        val mapper = Mapper.start(gateway.config())
        coroutineScope {
            val readers = List(3) { async(start = CoroutineStart.UNDISPATCHED) { mapper.events().map { it.kind }.toList() } }
            mapper.map(4000, Transport.UDP).ready(5.seconds)
            mapper.stop()
            assertEquals(List(3) { listOf(EventKind.INSTALLED, EventKind.EXITED) }, readers.awaitAll())
        }
    }

    @Test
    fun `a collector begins with the events that nobody has read yet, and takes none from the queue`() = home { gateway ->
        Mapper.start(gateway.config()).use { mapper ->
            mapper.map(4000, Transport.UDP).ready(5.seconds)
            assertEquals(1, mapper.nextEvent(5.seconds).lease)
            mapper.map(4001, Transport.UDP).ready(5.seconds)
            assertEquals(2, mapper.events().first().lease)
            assertEquals(2, mapper.nextEvent(5.seconds).lease)
            assertEquals(ErrorKind.TIMEOUT, kindOf { mapper.nextEvent(50.milliseconds) })
        }
    }

    @Test
    fun `an exception of the collector's own comes through, even one of this library`() = home { gateway ->
        Mapper.start(gateway.config()).use { mapper ->
            mapper.map(4000, Transport.UDP)
            val kind = kindOf { mapper.events().collect { throw PortLeaseException.Stopped(ErrorReport(ErrorKind.STOPPED, "the program's own")) } }
            assertEquals(ErrorKind.STOPPED, kind)
        }
    }

    @Test
    fun `a repair makes the mapping again, once in ten seconds`() = home { gateway ->
        Mapper.start(gateway.config()).use { mapper ->
            val lease = mapper.map(4000, Transport.UDP)
            val before = lease.ready(5.seconds)
            val after = lease.repair(5.seconds)
            assertEquals(true to before.external, after.active to after.external)
            assertTrue(after.revision > before.revision)
            assertEquals(listOf(EventKind.INSTALLED, EventKind.REPAIRED), List(2) { mapper.nextEvent(5.seconds).kind })
            assertEquals(ErrorKind.REFUSED, kindOf { lease.repair() })
        }
    }

    @Test
    fun `a program can tell that the network changed`() = home { gateway ->
        Mapper.start(gateway.config()).use { mapper ->
            mapper.map(4000, Transport.UDP).ready(5.seconds)
            mapper.networkChanged()
            assertEquals(listOf(EventKind.INSTALLED, EventKind.RENEWED), List(2) { mapper.nextEvent(5.seconds).kind })
            assertNull(mapper.snapshot().lastError)
        }
    }

    @Test
    fun `changed waits for another state than that at the call`() = home { gateway ->
        gateway.tell("""{"set":{"pcp":"silent","nat_pmp":"silent","upnp":"silent"}}""")
        Mapper.start(gateway.config()).use { mapper ->
            val lease = mapper.map(4000, Transport.UDP)
            coroutineScope {
                val change = async(start = CoroutineStart.UNDISPATCHED) { lease.changed() }
                lease.stop()
                assertTrue(change.await().revision > 0)
            }
        }
    }

    @Test
    fun `changed gives the present state at once if the caller has not seen it`() = home { gateway ->
        Mapper.start(gateway.config()).use { mapper ->
            val lease = mapper.map(4000, Transport.UDP)
            val ready = lease.ready(5.seconds)
            assertEquals(ready.revision, lease.changed(since = 0).revision)
            assertEquals(ready.revision, lease.changed(since = -1).revision)
            assertEquals(ErrorKind.TIMEOUT, kindOf { lease.changed(ready.revision, timeout = 50.milliseconds) })
        }
    }

    @Test
    fun `changes can be followed to the end, after which changed answers stopped`() = home { gateway ->
        Mapper.start(gateway.config()).use { mapper ->
            val lease = mapper.map(4000, Transport.UDP)
            val seen = mutableListOf(lease.snapshot())
            while (seen.last().state != LeaseState.EXITED) {
                if (seen.last().active) lease.stop()
                seen += lease.changed(seen.last().revision, timeout = PATIENCE_SECONDS.seconds)
            }
            assertTrue(seen.any { it.active && it.lifetime != null })
            assertEquals(seen.map { it.revision }.sorted().distinct(), seen.map { it.revision })
            assertEquals(ErrorKind.STOPPED, kindOf { lease.changed() })
        }
    }

    @Test
    fun `every wait for a lease hears of a failed attempt`() = home { gateway ->
        gateway.tell("""{"set":{"pcp":"silent"}}""") // so an attempt takes its 2 s, long after all waits have begun
        val config = gateway.config().copy(
            protocols = listOf(Protocol.PCP),
            retry = RetryPolicy.Backoff(min = 1.hours, max = 1.hours),
        )
        Mapper.start(config).use { mapper ->
            val lease = mapper.map(4000, Transport.UDP)
            coroutineScope {
                val waits = List(3) {
                    async(start = CoroutineStart.UNDISPATCHED) { kindOf { lease.ready(PATIENCE_SECONDS.seconds) } }
                }
                assertEquals(List(3) { ErrorKind.UNAVAILABLE }, waits.awaitAll())
            }
            assertEquals(ErrorKind.TIMEOUT, kindOf { lease.ready(50.milliseconds) })
        }
    }

    @Test
    fun `open is start, map and ready, and its lease ends its mapper`() = home { gateway ->
        val lease = open(4000, Transport.TCP, externalPort = 4100, config = gateway.config())
        assertEquals("192.0.1.1:4100", lease.use { it.snapshot().external })
        assertEquals(0, gateway.mappings())
        assertEquals(ErrorKind.STOPPED, kindOf { lease.ready() })
    }

    @Test
    fun `an open that fails says why and leaves nothing behind`() = home { gateway ->
        gateway.tell("""{"set":{"pcp":{"refuse":2},"nat_pmp":{"refuse":2},"upnp":"off"}}""")
        val config = gateway.config().copy(protocols = listOf(Protocol.PCP))
        assertEquals(ErrorKind.REFUSED, kindOf { open(4000, Transport.UDP, config = config) })
        gateway.awaitMappings(0)
    }

    @Test
    fun `open takes a request as map does`() = home { gateway ->
        val lease = open(MapRequest(4000, Transport.UDP, externalPort = 4100, exact = true), gateway.config(), 5.seconds)
        assertEquals("192.0.1.1:4100", lease.use { it.snapshot().external })
    }

    /** That its engine ends as well is seen by the threads in `ProcessTest`. */
    @Test
    fun `a lease of open that is detached leaves its mapping and is over`() = home { gateway ->
        val lease = open(4000, Transport.UDP, config = gateway.config())
        assertEquals(Release.RELEASED, lease.detach())
        lease.close()
        assertEquals(LeaseState.EXITED, lease.snapshot().state)
        assertEquals(1, gateway.mappings())
    }

    @Test
    fun `a detached lease leaves its mapping`() = home { gateway ->
        Mapper.start(gateway.config()).use { mapper ->
            val lease = mapper.map(4000, Transport.UDP)
            lease.ready(5.seconds)
            assertEquals(Release.RELEASED, lease.detach())
        }
        assertEquals(1, gateway.mappings())
    }

    @Test
    fun `a mapper and its leases keep each other`() = home { gateway ->
        var mapper: Mapper? = Mapper.start(gateway.config())
        var lease: Lease? = mapAndForget(mapper!!)
        mapAndForget(mapper, 4001)
        fun stay(held: String) {
            repeat(5) { collectGarbage() }
            assertEquals(2, gateway.mappings(), "while the $held is held")
        }
        stay("mapper")
        assertEquals(2, mapper.snapshot().active)
        mapper = null
        stay("lease")
        assertTrue(lease!!.snapshot().active)
        lease = null
        eventually("both are collected") { System.gc(); gateway.mappings() == 0 }
    }

    @Test
    fun `a mapper does not keep leases that are over`() = home { gateway ->
        gateway.tell("""{"set":{"pcp":{"refuse":2}}}""")
        val config = gateway.config().copy(protocols = listOf(Protocol.PCP), retry = RetryPolicy.Never)
        Mapper.start(config).use { mapper ->
            val over = List(200) { number -> WeakReference(mapAndEnd(mapper, 4000 + number, byItself = number % 2 == 0)) }
            eventually("most leases are collected") { System.gc(); over.count { it.get() == null } > 150 }
            assertFalse(mapper.snapshot().stopped) // held until here
        }
    }

    @Test
    fun `a wait keeps its handles`() = home { gateway ->
        gateway.tell("""{"set":{"pcp_delay_ms":300}}""")
        val config = gateway.config().copy(protocols = listOf(Protocol.PCP))
        coroutineScope {
            val collecting = launch(Dispatchers.Default) { while (true) { System.gc(); yield() } }
            assertTrue(Mapper.start(config).map(4000, Transport.UDP).ready(5.seconds).active)
            assertEquals(ErrorKind.TIMEOUT, kindOf { Mapper.start(config).nextEvent(500.milliseconds) })
            assertNull(withTimeoutOrNull(500.milliseconds) { Mapper.start(config).events().collect {} })
            Mapper.start(config).probe()
            collecting.cancelAndJoin()
        }
    }

    @Test
    fun `a transport error tells the system's own error`(): Unit = runBlocking {
        // Nobody may send to the broadcast address who has not asked for that; nothing leaves the machine.
        val config = Config(gateway = "255.255.255.255", protocols = listOf(Protocol.PCP), retry = RetryPolicy.Never)
        Mapper.start(config).use { mapper ->
            val ready = runCatching { mapper.map(4000, Transport.UDP).ready(5.seconds) }
            val error = ready.exceptionOrNull() as PortLeaseException.Transport
            assertTrue(error.message!!.contains(": Permission denied"), error.message)
        }
    }

    @Test
    fun `what no setting or port can be is invalid, by its name`() = home { gateway ->
        val config = gateway.config()
        fun invalid(message: String, call: () -> Any?) {
            val error = assertThrows(PortLeaseException.Invalid::class.java) { call() }
            assertTrue(error.message!!.startsWith(message), error.message)
        }
        fun invalidTime(name: String, shown: String, config: Config) =
            invalid("$name: must be a finite time of 0 s or more, not $shown s") { Mapper.start(config) }
        invalid("gateway: `fritz.box` is not an IP address") { Mapper.start(config.copy(gateway = "fritz.box")) }
        invalid("localAddress: ``") { Mapper.start(config.copy(localAddress = "")) }
        invalid("ssdpAddress: `127.0.0.1`") { Mapper.start(config.copy(ssdpAddress = "127.0.0.1")) }
        invalid("pcpPort: must be between 1 and 65535, not 65536") { Mapper.start(config.copy(pcpPort = 65536)) }
        invalid("pcpPort: must be between 1 and 65535, not 0") { Mapper.start(config.copy(pcpPort = 0)) }
        invalidTime("ttl", "-1", config.copy(ttl = (-1).seconds))
        invalidTime("ttl", "inf", config.copy(ttl = kotlin.time.Duration.INFINITE))
        invalidTime("renewalInterval", "-1", config.copy(renewalInterval = (-1).seconds))
        invalidTime("checkInterval", "-1", config.copy(checkInterval = (-1).seconds))
        invalid("checkInterval: must be 0") { Mapper.start(config.copy(checkInterval = 500.milliseconds)) }
        invalid("stateDir: the path is empty") { Mapper.start(config.copy(stateDir = "")) }
        invalid("ttl: must be between 1 and 86400 s, not 0.5 s") { Mapper.start(config.copy(ttl = 500.milliseconds)) }
        invalid("failureThreshold: must be 0 or more, not -1") { Mapper.start(config.copy(failureThreshold = -1)) }
        invalid("failureThreshold: must be at least 1") { Mapper.start(config.copy(failureThreshold = 0)) }
        invalid("retry: ") { Mapper.start(config.copy(retry = RetryPolicy.Backoff(min = 2.seconds, max = 1.seconds))) }
        invalid("protocols: must name") { Mapper.start(config.copy(protocols = listOf())) }
        invalid("protocols: `none`") { Mapper.start(config.copy(protocols = listOf(Protocol.NONE))) }
        invalid("a text is not Unicode") { Mapper.start(config.copy(description = "\uD800")) }
        Mapper.start(config).use { mapper ->
            invalid("internalPort: must be between 1 and 65535, not 65536") { mapper.map(65536, Transport.UDP) }
            invalid("internalPort: must be between 1 and 65535, not -1") { mapper.map(-1, Transport.UDP) }
            invalid("internalPort: must be between 1 and 65535, not 0") { mapper.map(0, Transport.UDP) }
            invalid("externalPort: must be between 1 and 65535, not 0") { mapper.map(4000, Transport.UDP, externalPort = 0) }
            invalid("externalPort: must be between 1 and 65535, not 65536") { mapper.map(4000, Transport.UDP, externalPort = 65536) }
            assertTrue(mapper.snapshot().leases.isEmpty())
            mapper.map(4000, Transport.UDP)
            invalid("internalPort: ") { mapper.map(4000, Transport.UDP, externalPort = 5000) }
            invalid("externalPort: ") { mapper.map(4001, Transport.UDP, externalPort = 4000) }
        }
    }

    @Test
    fun `a settings' default is core's, field by field`() = home { gateway ->
        val config = gateway.config().copy(retry = RetryPolicy.Backoff(max = 60.seconds), checkInterval = Duration.ZERO)
        Mapper.start(config).use { assertTrue(it.map(4000, Transport.UDP).ready(5.seconds).active) }
    }

    @Test
    fun `a time-out that has run out is no wait, an endless one is none`() = home { gateway ->
        Mapper.start(gateway.config()).use { mapper ->
            assertEquals(ErrorKind.TIMEOUT, kindOf { mapper.nextEvent((-1).seconds) })
            mapper.map(4000, Transport.UDP)
            assertEquals(EventKind.INSTALLED, mapper.nextEvent(Duration.INFINITE).kind)
            assertEquals(Release.RELEASED, mapper.stop(Duration.INFINITE))
        }
    }

    @Test
    fun `a failure of the native library itself is internal, with its cause`() {
        val error = assertThrows(PortLeaseException.Internal::class.java) { guarded { throw InternalException("boom") } }
        assertEquals("boom", error.message)
        assertFalse(error.cause == null)
    }
}
