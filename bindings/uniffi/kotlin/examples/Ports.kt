import io.portlease.*
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch

suspend fun main(arguments: Array<String>): Unit = coroutineScope {
    var config = Config(ttl = 10.minutes)
    if (arguments.size == 3) { // a simulated gateway: address, PCP port, SSDP address
        config = config.copy(gateway = arguments[0], pcpPort = arguments[1].toInt(), ssdpAddress = arguments[2])
    }
    Mapper.start(config).use { mapper ->
        launch { mapper.events().collect { println("${it.kind} ${it.external}") } } // installed 203.0.113.7:4000

        val game = mapper.map(4000, Transport.UDP) // returns at once
        val web = mapper.map(8080, Transport.TCP, externalPort = 80, exact = true)
        try {
            println("${game.ready(5.seconds).external}, ${game.snapshot().addressClass}")
            println(web.ready(5.seconds).external)
        } catch (error: PortLeaseException) {
            println("not yet (${error.kind}): ${error.message}") // portlease keeps trying in the background
        }
        web.stop() // this one alone
    } // the other one too, and the flow of events ends
}
