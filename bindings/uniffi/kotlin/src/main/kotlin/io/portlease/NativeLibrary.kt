@file:JvmSynthetic

package io.portlease

import com.sun.jna.CallbackThreadInitializer
import com.sun.jna.Native
import com.sun.jna.Platform
import java.io.File
import java.io.IOException

/** The way to the native library for what makes handles; loads the library when it is first used. */
internal val nativeLibrary: NativeLibrary by lazy { NativeLibrary() }

private const val PLAIN = "portlease_uniffi"

/** JNA has one folder for a processor's Linux, whatever its C library is. */
private const val FOR_MUSL = "portlease_uniffi_musl"

/** What the generated sources load: the library for the C library that this JVM runs on, if the jar has one for each. */
internal val libraryName: String by lazy {
    if (Platform.isLinux() && isInJar(FOR_MUSL) && usesMusl(memoryMap())) FOR_MUSL else PLAIN
}

private fun isInJar(library: String): Boolean =
    Views::class.java.getResource("/${Platform.RESOURCE_PREFIX}/${System.mapLibraryName(library)}") != null

/** Whether a process with such a `/proc/self/maps` was started by musl's loader, which is musl's C library too. */
internal fun usesMusl(maps: List<String>): Boolean = maps.any { "/ld-musl-" in it || it.endsWith("/libc.so") }

private fun memoryMap(): List<String> = try {
    File("/proc/self/maps").readLines()
} catch (_: IOException) {
    emptyList()
}

/** A simulated gateway, whose constructor UniFFI writes as a function of a companion. */
internal fun simulate(settings: String): SimulatedGateway = nativeLibrary.simulate(settings)

internal class NativeLibrary {
    init {
        try {
            prepareJna()
            uniffiEnsureInitialized() // compares checksums too: an old library beside new sources is no use
            // Each mapper has a native thread that wakes coroutines. JNA would attach it to the JVM for each single wake;
            // so it stays attached until it ends, as a daemon, which does not keep the JVM alive.
            val wakingThread = CallbackThreadInitializer(true, false, "portlease-wake")
            Native.setCallbackThreadInitializer(uniffiRustFutureContinuationCallbackImpl, wakingThread)
            releaseAtExit()
            beginLogging()
        } catch (failure: LinkageError) {
            throw UnsatisfiedLinkError(advice(failure)).initCause(failure)
        }
    }

    fun start(config: Config): MapperHandle = startMapper(config)

    fun simulate(settings: String): SimulatedGateway = SimulatedGateway.start(settings)

    fun beginOpen(request: MapRequest, config: Config): LeaseHandle = io.portlease.beginOpen(request, config)

    /** What to do about it, for the next calls too, of which the JVM says no more than that a class is not there. */
    private fun advice(failure: LinkageError): String {
        val folder = Platform.RESOURCE_PREFIX
        return if (!isInJar(PLAIN) && !isInJar(FOR_MUSL)) {
            "this portlease jar has no native library for $folder: build the jar on such a system, or give Java the folder " +
                "of a library that was built for it, -Djna.library.path=FOLDER"
        } else {
            "portlease's native library for $folder does not load; where the folder for temporary files takes no programs " +
                "(noexec, read-only), name another, -Djna.tmpdir=FOLDER: ${generateSequence<Throwable>(failure) { it.cause }.last().message}"
        }
    }
}

private val described: Int by lazy { UniffiRustCallStatus.ByValue().size() }

/**
 * Comes before every other use of JNA here. JNA (5.16 to 5.19 at least) describes structures under a lock; for those passed by
 * value it needs a class that takes that lock as it is initialized. So two threads whose first calls came at once could hold
 * each other up for ever. Once one such structure has been described, by one thread alone, the class is ready.
 */
internal fun prepareJna() = check(described > 0)

/** The status of one call, by way of [prepareJna]: what the generated sources begin every call with. */
internal fun newCallStatus(): UniffiRustCallStatus {
    prepareJna()
    return UniffiRustCallStatus()
}
