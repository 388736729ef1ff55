import io.portlease.AddressFamily
import io.portlease.Config
import io.portlease.MapRequest
import io.portlease.Mapper
import io.portlease.PortLeaseException
import io.portlease.Transport
import kotlin.time.Duration.Companion.seconds

suspend fun main(arguments: Array<String>) {
    var config = Config()
    if (arguments.size == 3) { // a simulated gateway: address, PCP port, SSDP address
        config = config.copy(gateway = arguments[0], pcpPort = arguments[1].toInt(), ssdpAddress = arguments[2])
    }
    Mapper.start(config).use { mapper ->
        val leases = AddressFamily.entries.map { mapper.map(MapRequest(4000, Transport.UDP, family = it)) }
        for (lease in leases) {
            try {
                println("${lease.snapshot().family} ${lease.ready(5.seconds).external}")
            } catch (error: PortLeaseException) {
                println("${error.message}") // the other one may work all the same
            }
        }
    }
}
