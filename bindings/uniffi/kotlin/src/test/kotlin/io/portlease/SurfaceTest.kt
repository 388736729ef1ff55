package io.portlease

import com.google.gson.JsonArray
import com.google.gson.JsonElement
import com.google.gson.JsonParser
import java.io.File
import java.lang.reflect.Executable
import java.lang.reflect.Field
import java.lang.reflect.Member
import java.lang.reflect.Method
import java.lang.reflect.Modifier
import java.util.jar.JarFile
import kotlin.reflect.KClass
import kotlin.reflect.KFunction
import kotlin.reflect.KVisibility
import kotlin.reflect.full.companionObject
import kotlin.reflect.full.declaredMemberFunctions
import kotlin.reflect.full.declaredMemberProperties
import kotlin.reflect.full.memberProperties
import kotlin.reflect.jvm.kotlinFunction
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** Kotlin's name as other languages write it: `internalPort` is `internal_port`. */
fun snakeCase(name: String): String = name.replace(Regex("[A-Z]")) { "_" + it.value.lowercase() }

/** The public surface is what `tests/surface.json` says: nothing less, and nothing more but what is named here. */
class SurfaceTest {
    /** What Kotlin alone has: the end of a `use` block, and events as a flow. */
    private val kotlinOnly = mapOf<KClass<*>, Set<String>>(
        Mapper::class to setOf("close", "events", "toString"),
        Lease::class to setOf("close", "toString"),
    )

    /** The names without those for Java: each function that suspends has one that blocks and one that answers with a future. */
    private fun withoutJavas(functions: Collection<KFunction<*>>): List<String> {
        val suspending = functions.filter { it.isSuspend }.map { it.name }.toSet()
        val javas = suspending.flatMap { listOf("${it}Blocking", "${it}Async") }.toSet()
        val names = functions.map { it.name }.distinct()
        assertEquals(javas, names.filter { it.endsWith("Blocking") || it.endsWith("Async") }.toSet())
        return names - javas
    }

    private val surface = JsonParser.parseString(File(checkout, "tests/surface.json").readText()).asJsonObject

    private fun assertSame(path: String, names: Collection<String>) {
        val listed = path.split("/").fold(surface as JsonElement) { at, name -> at.asJsonObject[name] }
        val expected = (listed as JsonArray).map { it.asString }
        assertEquals(expected.sorted(), names.sorted(), "$path: the file first, Kotlin second")
    }

    private fun fields(type: KClass<*>): List<String> {
        assertTrue(type.isData, "$type is no record")
        return type.memberProperties.map { snakeCase(it.name) }
    }

    private fun methods(type: KClass<*>): List<String> {
        val members = type.declaredMemberFunctions + type.companionObject?.declaredMemberFunctions.orEmpty()
        val names = withoutJavas(members.filter { it.visibility == KVisibility.PUBLIC }) +
            type.declaredMemberProperties.filter { it.visibility == KVisibility.PUBLIC }.map { it.name }
        val ours = kotlinOnly.getValue(type)
        assertTrue(names.containsAll(ours), "$type has no longer all of $ours")
        return (names - ours).map(::snakeCase)
    }

    @Test
    fun `kinds, states, events, protocols and classes are those of the file`() {
        assertSame("kinds", ErrorKind.entries.map { "$it" })
        assertSame("states", LeaseState.entries.map { "$it" })
        assertSame("events", EventKind.entries.map { "$it" })
        assertSame("protocols_of_mappings", Protocol.entries.map { "$it" })
        assertSame("protocols", Protocol.entries.filter { it != Protocol.NONE }.map { "$it" })
        assertSame("transports", Transport.entries.map { "$it" })
        assertSame("nat_classes", NatClass.entries.map { "$it" })
        assertSame("address_classes", AddressClass.entries.map { "$it" })
        assertSame("releases", Release.entries.map { "$it" })
        assertSame("log_levels", LogLevel.entries.map { "$it" })
        assertSame("families", AddressFamily.entries.map { "$it" })
    }

    @Test
    fun `an entry's name is its text in Kotlin's writing`() {
        val entries = ErrorKind.entries + LeaseState.entries + EventKind.entries + Protocol.entries + Transport.entries +
            AddressFamily.entries + NatClass.entries + AddressClass.entries + Release.entries
        for (entry in entries) assertEquals("$entry", entry.name.lowercase().replace('_', '-'))
    }

    @Test
    fun `records have the fields of the file`() {
        assertSame("config", fields(Config::class))
        assertSame("request", fields(MapRequest::class))
        assertSame("lease_snapshot", fields(LeaseSnapshot::class))
        assertSame("mapper_snapshot", fields(MapperSnapshot::class))
        assertSame("event", fields(Event::class))
        assertSame("gateway_report", fields(GatewayReport::class))
        assertSame("protocol_report", fields(ProtocolReport::class))
        assertSame("error", fields(ErrorReport::class))
        assertSame("error_detail", fields(ErrorDetail::class))
        assertSame("table_entry", fields(TableEntry::class))
    }

    @Test
    fun `handles have the methods of the file and Kotlin alone a few more`() {
        assertSame("methods/mapper", methods(Mapper::class))
        assertSame("methods/lease", methods(Lease::class))
    }

    /** Everything of the jar, in the order of the names. */
    private fun classes(): List<Class<*>> {
        val jar = File(Mapper::class.java.protectionDomain.codeSource.location.toURI())
        val names = JarFile(jar).use { file -> file.entries().toList().map { it.name } }
        return names.filter { it.endsWith(".class") }
            .map { Class.forName(it.removeSuffix(".class").replace('/', '.'), false, Mapper::class.java.classLoader) }
    }

    @Test
    fun `the package has the functions of the file`() {
        val functions = Class.forName("io.portlease.PortLease").declaredMethods
            .filter { Modifier.isPublic(it.modifiers) && "$" !in it.name }
            .mapNotNull { it.kotlinFunction }
        assertSame("methods/module", withoutJavas(functions).map(::snakeCase))
    }

    private fun Class<*>.isUsers(): Boolean = Modifier.isPublic(modifiers) && !isSynthetic && (declaringClass?.isUsers() ?: true)

    @Test
    fun `the jar has the handles, the records, the enums and the exception, and nothing of what is behind them`() {
        val users = classes().filter { it.isUsers() }
        val names = users.map { it.name.removePrefix("io.portlease.") }.filterNot { it.endsWith("\$Companion") }
        val expected = "AddressClass AddressFamily Config ConfigBuilder ErrorDetail ErrorKind ErrorReport Event EventKind GatewayReport Lease " +
            "LeaseSnapshot LeaseState MapRequest MapRequestBuilder Mapper MapperSnapshot NatClass PortLease PortLeaseException " +
            "Protocol ProtocolReport Release RetryPolicy RetryPolicy\$Backoff RetryPolicy\$Never TableEntry Transport " +
            "testing.Announcement testing.Faults testing.Gateway testing.GatewayExtension testing.GatewayMapping testing.GatewaySettings " +
            "testing.GatewayState testing.HttpBody testing.Mode testing.NameEncoding testing.SecondDevice testing.WanService"
        val exceptions = ErrorKind.entries.map { "PortLeaseException$" + "$it".replaceFirstChar(Char::uppercase) }
        assertEquals((expected.split(" ") + exceptions).sorted(), names.sorted())
        // And they mention nothing else.
        val mentioned = users.flatMap { type ->
            val members = type.declaredMethods.toList() + type.declaredConstructors + type.declaredFields
            members.filter { Modifier.isPublic((it as Member).modifiers) && !it.isSynthetic }.flatMap { member ->
                when (member) {
                    is Executable -> member.parameterTypes.toList() + listOfNotNull((member as? Method)?.returnType)
                    else -> listOf((member as Field).type)
                }
            }
        }
        assertEquals(emptyList<Class<*>>(), mentioned.filter { it.name.startsWith("io.portlease.") && !it.isUsers() })
    }

    @Test
    fun `each kind has an exception of its own, which says it`() {
        val exceptions = PortLeaseException::class.sealedSubclasses
        assertSame("kinds", exceptions.map { it.simpleName!!.lowercase() })
        for (type in exceptions) {
            val kind = ErrorKind.entries.single { "$it" == type.simpleName!!.lowercase() }
            val exception = type.constructors.single().call(ErrorReport(kind, "why"))
            assertEquals(kind to "why", exception.kind to exception.message)
            assertEquals("${type.java.name}: why", "$exception")
        }
    }
}
