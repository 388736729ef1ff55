package io.portlease.programs

import io.portlease.ErrorKind
import io.portlease.Mapper
import io.portlease.prepareJna
import java.util.concurrent.CyclicBarrier
import kotlin.concurrent.thread

/** Many threads whose first calls come at once: those that load the library and those that need no handle. */
object FirstCalls {
    private const val THREADS = 8

    @JvmStatic
    fun main(arguments: Array<String>) {
        if (arguments.size > 3) {
            prepareJna()
            println("prepared")
            return
        }
        val start = CyclicBarrier(THREADS)
        val threads = List(THREADS) { number ->
            thread {
                start.await()
                if (number % 2 == 0) ErrorKind.INVALID.toString() else Mapper.start(config(arguments)).close()
            }
        }
        threads.forEach(Thread::join)
        println("done")
    }
}
