package io.portlease

import java.util.concurrent.atomic.AtomicInteger
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancel
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.catch
import kotlinx.coroutines.flow.count
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlinx.coroutines.withTimeoutOrNull
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** How the waits and Kotlin's coroutines get along. */
class CoroutineTest {
    private val silence = """{"set":{"pcp":"silent","nat_pmp":"silent","upnp":"silent"}}"""
    private val voice = """{"set":{"pcp":"normal","nat_pmp":"normal","upnp":"normal"}}"""

    private fun home(test: suspend (Gateway, Mapper) -> Unit): Unit = Gateway().use { gateway ->
        Mapper.start(gateway.config()).use { mapper -> runBlocking { test(gateway, mapper) } }
    }

    @Test
    fun `a cancelled wait ends, though what it waits for never comes`() = home { _, mapper ->
        coroutineScope {
            val lease = mapper.map(4000, Transport.UDP).apply { ready(5.seconds) }
            mapper.nextEvent(5.seconds)
            val calls = listOf<suspend () -> Any?>({ mapper.nextEvent() }, { lease.changed() }, { mapper.events().count() })
            val waits = List(60) { launch(start = CoroutineStart.UNDISPATCHED) { calls[it % calls.size]() } }
            withTimeout(PATIENCE_SECONDS.seconds) { waits.forEach { it.cancelAndJoin() } }
            assertTrue(waits.all { it.isCancelled })
        }
    }

    @Test
    fun `a wait that was cancelled before it began leaves the event to the next`() = home { _, mapper ->
        val lease = mapper.map(4000, Transport.UDP)
        lease.ready(5.seconds)
        lease.stop()
        coroutineScope {
            launch(start = CoroutineStart.UNDISPATCHED) {
                cancel()
                mapper.nextEvent()
            }
        }
        assertEquals(listOf(EventKind.INSTALLED, EventKind.EXITED), List(2) { mapper.nextEvent(5.seconds).kind })
    }

    @Test
    fun `waits that are cancelled at whatever moment lose no event`() = home { _, mapper ->
        val pulled = AtomicInteger()
        coroutineScope {
            val leases = launch(Dispatchers.Default) {
                repeat(200) { mapper.map(4000, Transport.UDP).apply { ready(5.seconds) }.stop() }
            }
            while (leases.isActive) {
                val reader = launch(Dispatchers.Default) {
                    while (true) {
                        mapper.nextEvent()
                        pulled.incrementAndGet()
                    }
                }
                delay(1) // so that events arrive between two cancellations
                reader.cancelAndJoin()
            }
        }
        mapper.stop()
        val left = flow { while (true) emit(mapper.nextEvent()) }.catch { check(it is PortLeaseException.Stopped) }.count()
        assertEquals(400, pulled.get() + left)
    }

    @Test
    fun `a lease lives on when a wait for it is cancelled`() = home { gateway, mapper ->
        gateway.tell(silence)
        val lease = mapper.map(4000, Transport.UDP)
        coroutineScope { launch(start = CoroutineStart.UNDISPATCHED) { lease.ready() }.cancelAndJoin() }
        gateway.tell(voice)
        // What was tried in the silence may have failed; the next attempt finds the router.
        while (true) {
            try {
                assertTrue(lease.ready(10.seconds).active)
                break
            } catch (_: PortLeaseException.Unavailable) {
                continue
            }
        }
    }

    @Test
    fun `a repair whose wait is cancelled goes on`() = home { gateway, mapper ->
        val lease = mapper.map(4000, Transport.UDP).apply { ready(5.seconds) }
        gateway.tell("""{"set":{"pcp_delay_ms":100}}""")
        coroutineScope {
            val repair = launch(start = CoroutineStart.UNDISPATCHED) { lease.repair() }
            delay(20)
            repair.cancelAndJoin()
        }
        assertEquals(listOf(EventKind.INSTALLED, EventKind.REPAIRED), List(2) { mapper.nextEvent(5.seconds).kind })
    }

    @Test
    fun `a time-out of Kotlin's own ends the wait as its own does`() = home { _, mapper ->
        assertNull(withTimeoutOrNull(50.milliseconds) { mapper.nextEvent() })
        mapper.map(4000, Transport.UDP)
        assertEquals(EventKind.INSTALLED, mapper.nextEvent(5.seconds).kind)
    }

    @Test
    fun `a stop or a detach that is cancelled at once goes on in the background`() = home { gateway, mapper ->
        suspend fun cancelled(call: suspend () -> Any?) =
            coroutineScope { launch(start = CoroutineStart.UNDISPATCHED) { call() }.cancelAndJoin() }
        val lease = mapper.map(4000, Transport.UDP).apply { ready(5.seconds) }
        val opened = open(4001, Transport.UDP, config = gateway.config())
        cancelled { opened.detach() }
        eventually("the detached lease is over") { opened.snapshot().state == LeaseState.EXITED }
        assertEquals(2, gateway.mappings())
        cancelled { lease.stop() }
        gateway.awaitMappings(1)
        mapper.map(4002, Transport.UDP).ready(5.seconds)
        cancelled { mapper.stop() }
        gateway.awaitMappings(1)
    }

    @Test
    fun `a cancelled open leaves nothing behind`() = Gateway().use { gateway ->
        gateway.tell("""{"set":{"pcp_delay_ms":200,"nat_pmp":"off","upnp":"off"}}""")
        runBlocking { assertNull(withTimeoutOrNull(100.milliseconds) { open(4000, Transport.UDP, config = gateway.config()) }) }
        eventually("the late answer is released") {
            gateway.state().getAsJsonObject("counters").has("pcp_delete") && gateway.mappings() == 0
        }
    }

    @Test
    fun `an open that is cancelled at whatever moment leaves nothing behind`() = Gateway().use { gateway ->
        runBlocking(Dispatchers.Default) {
            repeat(50) {
                val opening = launch { open(4000, Transport.UDP, config = gateway.config()).close() }
                delay(it % 5L)
                opening.cancelAndJoin()
            }
        }
        gateway.awaitMappings(0)
    }

    /** Unconfined code runs where it is woken, and may do there what it likes, even block until core has answered. */
    @Test
    fun `unconfined code never runs on core's thread`() = home { gateway, mapper ->
        val woken = CompletableDeferred<String>()
        coroutineScope {
            launch(Dispatchers.Unconfined) {
                mapper.nextEvent()
                val thread = Thread.currentThread().name.substringBefore(' ') // without the coroutine's name
                mapper.close()
                woken.complete(thread)
            }
            mapper.map(4000, Transport.UDP)
            assertEquals("portlease-wake", withTimeout(PATIENCE_SECONDS.seconds) { woken.await() })
        }
        assertEquals(0, gateway.mappings())
    }

    @Test
    fun `every dispatcher will do`() = home { _, mapper ->
        for ((index, dispatcher) in listOf(Dispatchers.Default, Dispatchers.IO, Dispatchers.Unconfined).withIndex()) {
            val lease = mapper.map(4000 + index, Transport.UDP)
            runBlocking(dispatcher) { assertTrue(lease.ready(5.seconds).active && lease.stop() == Release.RELEASED) }
        }
    }
}
