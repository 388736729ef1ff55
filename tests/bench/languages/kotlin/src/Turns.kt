import io.portlease.Config
import io.portlease.Lease
import io.portlease.Mapper
import io.portlease.Protocol
import io.portlease.Transport
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.runBlocking

/** Where results go, so that the compiler cannot leave the call out. */
@Volatile
private var kept: Any? = null

/** Takes turns, as tests/bench/languages.py describes. Arguments: GATEWAY PCP_PORT SSDP_ADDRESS PORT. */
fun main(arguments: Array<String>): Unit = runBlocking {
    val (gateway, pcpPort, ssdpAddress, port) = arguments
    val config = Config(
        gateway = gateway, pcpPort = pcpPort.toInt(), ssdpAddress = ssdpAddress, protocols = listOf(Protocol.PCP),
    )
    Mapper.start(config).use { mapper ->
        val lease = mapper.map(port.toInt(), Transport.UDP)
        check(lease.ready(5.seconds).active)
        for (line in generateSequence(::readlnOrNull)) {
            val (verb, number) = line.split(' ')
            println(if (verb == "snapshot") read(lease, number.toInt()) else mapAndStop(mapper, number.toInt()))
        }
    }
}

private fun read(lease: Lease, reads: Int): Long {
    val begin = System.nanoTime()
    repeat(reads) { kept = lease.snapshot() }
    return System.nanoTime() - begin
}

private suspend fun mapAndStop(mapper: Mapper, port: Int): Long {
    val begin = System.nanoTime()
    val lease = mapper.map(port, Transport.UDP)
    lease.ready(5.seconds)
    lease.stop()
    return System.nanoTime() - begin
}
