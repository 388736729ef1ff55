package io.portlease

import java.util.concurrent.CompletableFuture
import java.util.concurrent.CyclicBarrier
import java.util.concurrent.TimeUnit
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Test

/** The futures that Java gets. */
class FutureTest {
    @Test
    fun `a future that is cancelled while its event is taken has the event, or nobody would`() {
        val gate = CompletableDeferred<Unit>()
        lateinit var future: CompletableFuture<String>
        var cancelled = true
        future = answer({ gate.await() }) {
            cancelled = future.cancel(true)
            "event"
        }
        gate.complete(Unit)
        assertEquals("event", future.get(PATIENCE_SECONDS, TimeUnit.SECONDS))
        assertFalse(cancelled || future.complete("another"))
    }

    @Test
    fun `a future that is cancelled at once has begun what goes on without it`() = Gateway().use { gateway ->
        Mapper.start(gateway.config()).use { mapper ->
            val leases = List(20) { mapper.map(4000 + it, Transport.UDP).apply { runBlocking { ready(PATIENCE_SECONDS.seconds) } } }
            leases.forEach { it.stopAsync().cancel(true) }
            gateway.awaitMappings(0)
        }
    }

    @Test
    fun `what hangs on futures may block for one another`() {
        val many = Runtime.getRuntime().availableProcessors() + 2
        val gate = CompletableDeferred<Unit>()
        val together = CyclicBarrier(many)
        val all = List(many) { answer { gate.await() }.thenRun { together.await(PATIENCE_SECONDS, TimeUnit.SECONDS) } }
        gate.complete(Unit)
        CompletableFuture.allOf(*all.toTypedArray()).get(2 * PATIENCE_SECONDS, TimeUnit.SECONDS)
    }
}
