@file:JvmSynthetic

package io.portlease

import java.lang.System.Logger.Level
import kotlin.concurrent.thread

/** What the platform's log calls portlease; its parts are `io.portlease.client.pcp` and so on. */
private const val LOGGER = "io.portlease"

private fun platforms(level: LogLevel): Level = when (level) {
    LogLevel.TRACE -> Level.TRACE
    LogLevel.DEBUG -> Level.DEBUG
    LogLevel.INFO -> Level.INFO
    LogLevel.WARN -> Level.WARNING
    LogLevel.ERROR -> Level.ERROR
}

/**
 * Hands what core tells to the platform's log, as far down as its logger `io.portlease` listens now; on a thread that does not
 * keep the JVM alive. Does nothing if there is no such log (Android).
 */
internal fun beginLogging() {
    val level = try {
        val logger = System.getLogger(LOGGER)
        LogLevel.entries.lastOrNull { logger.isLoggable(platforms(it)) } ?: return
    } catch (_: LinkageError) {
        return
    }
    val reader = LogReader.start(level)
    thread(isDaemon = true, name = "portlease-log") {
        while (true) {
            val record = reader.next()
            try {
                tell(record)
            } catch (failure: Exception) { // of the program's own handler, which does not end the log
                Thread.currentThread().let { it.uncaughtExceptionHandler.uncaughtException(it, failure) }
            }
        }
    }
}

private fun tell(record: LogRecord) {
    val logger = System.getLogger("io." + record.target.replace("::", "."))
    if (record.dropped > 0) logger.log(Level.WARNING, "${record.dropped} records were lost, because they came too fast")
    logger.log(platforms(record.level), record.message)
}
