package io.portlease

import com.google.gson.JsonObject
import com.google.gson.JsonParser
import java.io.File
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread

/** Where the checkout is: Maven runs in `bindings/uniffi/kotlin`. */
val checkout: File = File("../../..").canonicalFile

/** How long anything here may take that ought to happen at once, on a machine that does many other things. */
const val PATIENCE_SECONDS = 30L

/** The simulated gateway, as a process of its own, told and read by lines. */
class Gateway(settings: JsonObject = JsonObject()) : AutoCloseable {
    private val process: Process = ProcessBuilder(program(), "--config", settings.toString())
        .redirectError(ProcessBuilder.Redirect.INHERIT)
        .start()
    private val replies = LinkedBlockingQueue<JsonObject>()
    private val reader: Thread

    /** What its first line says of its place. */
    val started: JsonObject

    init {
        val lines = process.inputReader()
        started = lines.readLine()?.let(::parse) ?: error("the gateway does not start with $settings")
        check(started["event"].asString == "started") { "the gateway began with $started" }
        reader = thread(isDaemon = true, name = "gateway's lines") {
            lines.forEachLine { line -> parse(line).takeIf { it["event"].asString == "reply" }?.let(replies::add) }
        }
    }

    /** A configuration that leads to this gateway. */
    fun config(): Config = Config(
        gateway = started["gateway"].asString,
        pcpPort = started["pcp_port"].asInt,
        ssdpAddress = started["ssdp_address"].asString,
    )

    /** Writes one line and gives the reply. */
    @Synchronized
    fun tell(line: JsonObject): JsonObject {
        process.outputWriter().apply { appendLine(line.toString()); flush() }
        return replies.poll(PATIENCE_SECONDS, TimeUnit.SECONDS) ?: error("the gateway does not answer $line")
    }

    /** As [tell], of a line as text, which must not be answered by an error. */
    fun tell(line: String): JsonObject = tell(parse(line)).also { check(!it.has("error")) { "$line: $it" } }

    /** Table and counters. */
    fun state(): JsonObject = tell("""{"command":"state"}""").getAsJsonObject("state")

    /** How many mappings there are. */
    fun mappings(): Int = state().getAsJsonArray("mappings").size()

    /** Waits until there are so many mappings. */
    fun awaitMappings(count: Int) = eventually("$count mappings on the gateway") { mappings() == count }

    override fun close() {
        process.outputWriter().close()
        if (!process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS)) process.destroyForcibly()
        reader.join()
    }

    private companion object {
        fun program(): String = System.getenv("PORTLEASE_GATEWAY_PROGRAM")
            ?: File(checkout, "target/debug/portlease-gateway").takeIf(File::exists)?.path
            ?: error("no simulated gateway: `cargo build -p portlease-gateway`, or name it in PORTLEASE_GATEWAY_PROGRAM")

        fun parse(line: String): JsonObject = JsonParser.parseString(line).asJsonObject
    }
}

/** Waits for something that has no event of its own. */
fun eventually(what: String, condition: () -> Boolean) {
    val end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS)
    while (!condition()) {
        check(System.nanoTime() < end) { "not within $PATIENCE_SECONDS s: $what" }
        Thread.sleep(10)
    }
}
