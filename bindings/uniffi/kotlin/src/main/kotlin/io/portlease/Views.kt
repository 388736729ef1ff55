@file:JvmSynthetic

package io.portlease

import com.sun.jna.Native
import com.sun.jna.Pointer
import java.lang.ref.Reference
import java.nio.Buffer
import java.nio.ByteBuffer
import java.util.concurrent.ConcurrentLinkedQueue

/**
 * Snapshots in one native call, which fills memory that is kept for the next one. UniFFI's own way takes four calls, and JNA
 * makes and describes a structure for each: measured, that is ten times as long.
 */
internal object Views {
    init {
        Native.register(Views::class.java, findLibraryName("portlease"))
    }

    external fun portlease_uniffi_view_lease(lease: Long, buffer: Long, capacity: Long): Long

    external fun portlease_uniffi_view_mapper(mapper: Long, buffer: Long, capacity: Long): Long

    /** Memory outside the heap; as many as there were calls at one time. */
    private class Page(capacity: Int) {
        val bytes: ByteBuffer = ByteBuffer.allocateDirect(capacity)
        val address: Long = Pointer.nativeValue(Native.getDirectBufferPointer(bytes))
    }

    private val pages = ConcurrentLinkedQueue<Page>()

    /** What a lease's snapshot needs, with room for an error's message. */
    private const val PAGE = 512

    fun lease(handle: LeaseHandle, address: Long): LeaseSnapshot = view(handle, FfiConverterTypeLeaseSnapshot) { page ->
        portlease_uniffi_view_lease(address, page.address, page.bytes.capacity().toLong())
    }

    fun mapper(handle: MapperHandle, address: Long): MapperSnapshot = view(handle, FfiConverterTypeMapperSnapshot) { page ->
        portlease_uniffi_view_mapper(address, page.address, page.bytes.capacity().toLong())
    }

    private inline fun <T> view(handle: Any, converter: FfiConverterRustBuffer<T>, write: (Page) -> Long): T {
        var page = pages.poll() ?: Page(PAGE)
        while (true) {
            val length = try {
                write(page)
            } finally {
                Reference.reachabilityFence(handle) // or the collector might free what the address leads to
            }
            when {
                length < 0 -> throw PortLeaseException.Internal(ErrorReport(ErrorKind.INTERNAL, "the native library failed"))
                length > page.bytes.capacity() -> page = Page(Math.toIntExact(length + length / 2))
                else -> {
                    (page.bytes as Buffer).position(0).limit(length.toInt()) // a ByteBuffer of Android 9 has none of its own
                    return converter.read(page.bytes).also { pages.offer(page) }
                }
            }
        }
    }
}
