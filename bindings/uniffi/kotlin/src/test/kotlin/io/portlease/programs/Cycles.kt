package io.portlease.programs

import io.portlease.Lease
import io.portlease.Mapper
import io.portlease.Transport
import io.portlease.open
import io.portlease.uniffiContinuationHandleMap
import java.io.File
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking

/** Does all that a program does with a mapper, over and over, and says what is held before and after. */
object Cycles {
    private const val WARM_UP = 100

    /** Held, so that their engines end by `detach` and not by garbage collection. */
    private val detached = mutableListOf<Lease>()

    @JvmStatic
    fun main(arguments: Array<String>) {
        repeat(WARM_UP) { cycle(arguments) }
        val before = held()
        repeat(arguments[3].toInt()) { cycle(arguments) }
        val after = held()
        println(before.keys.joinToString("\n") { "$it ${before[it]} ${after[it]}" })
    }

    private fun cycle(arguments: Array<String>) = Mapper.start(config(arguments)).use { mapper ->
        runBlocking {
            val lease = mapper.map(4000, Transport.UDP)
            lease.ready(5.seconds)
            mapper.nextEvent(5.seconds)
            val waits = List(3) { launch(start = CoroutineStart.UNDISPATCHED) { mapper.nextEvent() } }
            waits.forEach { it.cancelAndJoin() }
            launch(start = CoroutineStart.UNDISPATCHED) { lease.changed() }.cancelAndJoin()
            lease.snapshot()
            mapper.snapshot()
            lease.stop()
            mapper.events().first()
            detached += open(4001, Transport.UDP, config = config(arguments)).apply { detach() }
        }
    }

    /** Once the garbage collector and the threads that are ending have had their time. */
    private fun held(): Map<String, Long> {
        repeat(10) {
            System.gc()
            Thread.sleep(20)
        }
        return mapOf(
            "threads" to entries("/proc/self/task"),
            "java-threads" to Thread.getAllStackTraces().size.toLong(),
            "files" to entries("/proc/self/fd"),
            "continuations" to uniffiContinuationHandleMap.size.toLong(),
            "kib" to File("/proc/self/status").readLines().single { it.startsWith("VmRSS:") }.filter(Char::isDigit).toLong(),
        )
    }

    private fun entries(folder: String): Long = File(folder).list()!!.size.toLong()
}
