@file:JvmSynthetic

package io.portlease

import java.util.concurrent.CompletableFuture
import java.util.concurrent.atomic.AtomicBoolean
import kotlin.time.toKotlinDuration
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

/**
 * Where the waits of Java's futures end, and what hangs on a future begins. That may block, even for another future: so not
 * where waits are woken, and not on [Dispatchers.Default], which has as few threads as there are processors.
 */
private val futures = CoroutineScope(SupervisorJob() + Dispatchers.IO)

/** A future that is either answered or ended by somebody else, and never in between: an answer that was taken arrives. */
private class Answer<T> : CompletableFuture<T>() {
    private val decided = AtomicBoolean()

    /** Answers with what [take] gives. False, and without taking anything, if somebody else has ended this already. */
    fun give(take: () -> T): Boolean {
        if (!decided.compareAndSet(false, true)) return false
        val taken = runCatching(take)
        taken.onSuccess { super.complete(it) }.onFailure { super.completeExceptionally(it) }
        return true
    }

    override fun complete(value: T): Boolean = decided.compareAndSet(false, true) && super.complete(value)

    override fun completeExceptionally(failure: Throwable): Boolean =
        decided.compareAndSet(false, true) && super.completeExceptionally(failure)

    override fun cancel(mayInterruptIfRunning: Boolean): Boolean =
        if (decided.compareAndSet(false, true)) super.cancel(mayInterruptIfRunning) else isCancelled
}

/** A future for a wait. If it ends before the wait, by `cancel` or by a time-out of its own, the wait is cancelled. */
internal fun <T> answer(wait: suspend () -> T): CompletableFuture<T> = answer(wait) { it }

/**
 * As [answer]; what was waited for is taken only if the future still waits for it. The wait begins here, on the caller's
 * thread: what goes on after its end must have begun, however soon it is cancelled.
 */
internal fun <W, T> answer(wait: suspend () -> W, abandon: (W) -> Unit = {}, take: (W) -> T): CompletableFuture<T> {
    val future = Answer<T>()
    val job = futures.launch(start = CoroutineStart.UNDISPATCHED) {
        try {
            val result = wait()
            if (!future.give { take(result) }) abandon(result)
        } catch (failure: Throwable) {
            future.completeExceptionally(failure)
        }
    }
    future.whenComplete { _, _ -> job.cancel() }
    return future
}

/** Blocks the thread until the wait is over. An interrupt cancels it. */
internal fun <T> blocking(wait: suspend () -> T): T = runBlocking { wait() }

internal fun java.time.Duration?.limit(): kotlin.time.Duration? = this?.toKotlinDuration()
