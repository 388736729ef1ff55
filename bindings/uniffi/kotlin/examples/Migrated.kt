import io.portlease.*
import kotlin.time.Duration.Companion.seconds

suspend fun main(arguments: Array<String>) {
    var config = Config(description = "my game")
    if (arguments.size == 3) { // a simulated gateway: address, PCP port, SSDP address
        config = config.copy(gateway = arguments[0], pcpPort = arguments[1].toInt(), ssdpAddress = arguments[2])
    }
    Mapper.start(config).use { mapper ->
        val lease = mapper.map(4000, Transport.UDP, exact = true) // openPortUDP
        try {
            println(lease.ready(5.seconds).external) // getExternalIP
        } catch (error: PortLeaseException) {
            println("not mapped (${error.kind}): ${error.message}")
        }
    } // closePortUDP
}
