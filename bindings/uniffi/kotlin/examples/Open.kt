import io.portlease.Transport
import io.portlease.open

suspend fun main() {
    open(4000, Transport.UDP).use { lease ->
        println("reachable at ${lease.snapshot().external}")
        readlnOrNull() // until Enter
    } // nothing is left on the router
}
