package io.portlease.testing

import io.portlease.Config
import org.junit.jupiter.api.extension.ExtensionContext
import org.junit.jupiter.api.extension.ParameterContext
import org.junit.jupiter.api.extension.ParameterResolver
import org.junit.jupiter.api.extension.RegisterExtension

/**
 * Gives each test a simulated router of its own: a parameter of the type [Gateway] is that router, one of the type [Config]
 * leads to it. It is closed after the test. If the constructor or a `BeforeAll` method asks for it, all tests of the class
 * share one, and it is closed after them.
 *
 * ```
 * @ExtendWith(GatewayExtension::class)
 * class AppTest {
 *     @Test
 *     fun `the port is mapped`(gateway: Gateway, config: Config) { ... }
 * }
 * ```
 *
 * With settings it is a field: `@RegisterExtension val router = GatewayExtension(GatewaySettings().upnp(false))`, see
 * [RegisterExtension]. JUnit 5 or later; it must be on the class path, portlease does not bring it.
 */
@Suppress("DEPRECATION") // JUnit 5 has nothing else
public class GatewayExtension @JvmOverloads constructor(private val settings: GatewaySettings = GatewaySettings()) :
    ParameterResolver {
    override fun supportsParameter(parameter: ParameterContext, context: ExtensionContext): Boolean =
        parameter.parameter.type == Gateway::class.java || parameter.parameter.type == Config::class.java

    override fun resolveParameter(parameter: ParameterContext, context: ExtensionContext): Any {
        val store = context.getStore(NAMESPACE)
        val held = store.getOrComputeIfAbsent(Held::class.java, { Held(Gateway.start(settings)) }, Held::class.java)
        val gateway = checkNotNull(held).gateway
        return if (parameter.parameter.type == Gateway::class.java) gateway else gateway.config()
    }

    /** JUnit closes what is in its store at the end of the context: JUnit 5 by the one interface, later ones by the other. */
    private class Held(val gateway: Gateway) : ExtensionContext.Store.CloseableResource, AutoCloseable {
        override fun close() = gateway.close()
    }

    private companion object {
        val NAMESPACE: ExtensionContext.Namespace = ExtensionContext.Namespace.create(GatewayExtension::class.java)
    }
}
