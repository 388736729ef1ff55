package io.portlease

import com.sun.jna.CallbackThreadInitializer
import com.sun.jna.Native
import kotlin.time.Duration

/** The way to the native library for what makes handles; loads the library when it is first used. */
internal val nativeLibrary: NativeLibrary by lazy { NativeLibrary() }

internal class NativeLibrary {
    init {
        // Each mapper has a native thread that wakes coroutines. JNA would attach it to the JVM for each single wake;
        // so it stays attached until it ends, as a daemon, which does not keep the JVM alive.
        val wakingThread = CallbackThreadInitializer(true, false, "portlease-wake")
        Native.setCallbackThreadInitializer(uniffiRustFutureContinuationCallbackImpl, wakingThread)
    }

    fun start(config: Config): MapperHandle = startMapper(config)

    suspend fun open(request: MapRequest, config: Config, timeout: Duration?): LeaseHandle =
        openHandle(request, config, timeout)
}
