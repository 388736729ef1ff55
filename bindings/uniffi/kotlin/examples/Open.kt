import io.portlease.Transport
import io.portlease.open

suspend fun main() {
    open(4000, Transport.UDP).use { lease ->
        println("external address: ${lease.snapshot().external}")
        readlnOrNull() // until Enter
    } // deletes the mapping on the router
}
