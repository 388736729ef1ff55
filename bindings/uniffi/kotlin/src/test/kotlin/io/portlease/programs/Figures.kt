package io.portlease.programs

import io.portlease.Lease
import io.portlease.Mapper
import io.portlease.Transport
import java.lang.management.ManagementFactory
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.runBlocking

/** Measures what a call costs on a warm JVM, one line of JSON for each figure. */
object Figures {
    private const val READS = 2_000
    private const val BATCHES = 20
    private const val MAPPINGS = 30

    @JvmStatic
    fun main(arguments: Array<String>) = Mapper.start(config(arguments)).use { mapper ->
        val lease = mapper.map(4000, Transport.UDP)
        runBlocking { lease.ready(5.seconds) }
        repeat(3 * BATCHES) { nanoseconds { lease.snapshot() } } // the compiler's time
        print("snapshot of a lease, processor time", "ns", List(BATCHES) { nanoseconds { lease.snapshot() } })
        print("snapshot of a mapper with one lease, processor time", "ns", List(BATCHES) { nanoseconds { mapper.snapshot() } })
        repeat(2) { runBlocking { repeat(MAPPINGS) { mapAndStop(mapper) } } }
        print("map, ready and stop, mapper running", "us", runBlocking { List(MAPPINGS) { mapAndStop(mapper) } })
        print("start, map, ready and close", "us", List(MAPPINGS) { startToClose(arguments) })
    }

    private suspend fun mapAndStop(mapper: Mapper): Double {
        val start = System.nanoTime()
        val lease: Lease = mapper.map(4001, Transport.UDP)
        lease.ready(5.seconds)
        lease.stop()
        return (System.nanoTime() - start) / 1e3
    }

    private fun startToClose(arguments: Array<String>): Double {
        val start = System.nanoTime()
        Mapper.start(config(arguments)).use { mapper -> runBlocking { mapper.map(4002, Transport.UDP).ready(5.seconds) } }
        return (System.nanoTime() - start) / 1e3
    }

    /** The thread's own processor time, which other programs do not change. */
    private inline fun nanoseconds(call: () -> Any?): Double {
        val start = clock.currentThreadCpuTime
        repeat(READS) { kept = call() }
        return (clock.currentThreadCpuTime - start).toDouble() / READS
    }

    private val clock = ManagementFactory.getThreadMXBean()

    /** Where results go, so that the compiler cannot leave the call out. */
    @Volatile
    private var kept: Any? = null

    private fun print(name: String, unit: String, values: List<Double>) {
        val sorted = values.sorted()
        val (median, p90) = listOf(sorted[sorted.size / 2], sorted[sorted.size * 9 / 10])
        println("""{"name":"kotlin: $name","median":${"%.1f".format(median)},"p90":${"%.1f".format(p90)},"unit":"$unit","n":${values.size}}""")
    }
}
