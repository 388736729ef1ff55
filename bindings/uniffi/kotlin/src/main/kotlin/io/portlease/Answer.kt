@file:JvmSynthetic

package io.portlease

import java.util.concurrent.CompletableFuture
import kotlin.time.toKotlinDuration
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

/** Where the waits of Java's futures run. Not where they are woken: what hangs on a future may block. */
private val futures = CoroutineScope(SupervisorJob() + Dispatchers.Default)

/** A future for a wait. If it ends before the wait, by `cancel` or by a time-out of its own, the wait is cancelled. */
internal fun <T> answer(wait: suspend () -> T): CompletableFuture<T> = answer(wait) { it }

/** As [answer]; what was waited for is taken only if the future still waits for it. */
internal fun <W, T> answer(wait: suspend () -> W, abandon: (W) -> Unit = {}, take: (W) -> T): CompletableFuture<T> {
    val future = CompletableFuture<T>()
    val job: Job = futures.launch {
        try {
            val result = wait()
            if (future.isDone || !future.complete(take(result))) abandon(result)
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
