@file:JvmSynthetic

package io.portlease

import kotlin.time.Duration.Companion.seconds

/** The end of the JVM waits this long for releases, all mappers together. After that the lifetimes end the mappings. */
internal val EXIT_LIMIT = 2.seconds

/** `-Dportlease.releaseAtExit=false` leaves to the lifetimes what is mapped when the JVM ends; looked at when it does. */
internal const val RELEASE_AT_EXIT = "portlease.releaseAtExit"

/** Has every mapper of the process stopped when the JVM ends. */
internal fun releaseAtExit() {
    loadForExit()
    val hook = Thread({ if (System.getProperty(RELEASE_AT_EXIT, "true").toBoolean()) stopAll(EXIT_LIMIT) }, "portlease-exit")
    try {
        Runtime.getRuntime().addShutdownHook(hook)
    } catch (_: IllegalStateException) {
        // The JVM ends already: what is mapped from now on ends with its lifetime.
    }
}

/** Loads the classes that the hook needs: hosts of plugins close the class loader long before the JVM ends. */
private fun loadForExit() {
    FfiConverterTypeSeconds.lower(EXIT_LIMIT)
    FfiConverterTypeRelease.lift(FfiConverterTypeRelease.lower(Release.PENDING))
}
