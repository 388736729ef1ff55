package io.portlease

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

/** Which native library a JVM on Linux gets. */
class NativeLibraryTest {
    private fun mapped(file: String): List<String> =
        listOf("7f1c14d2a000-7f1c14d2b000 r-xp 00000000 08:01 1311 /usr/bin/java", "7f1c14d2c000-7f1c14d9a000 r--p 00000000 08:01 1312 $file")

    @Test
    fun `the C library is told from the loader that is mapped`() {
        val musl = listOf("/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1", "/usr/lib/libc.so")
        val glibc = listOf("/usr/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc-2.17.so", "/lib64/ld-linux-x86-64.so.2", "[stack]")
        assertEquals(listOf(true, true, true), musl.map { usesMusl(mapped(it)) })
        assertEquals(listOf(false, false, false, false), glibc.map { usesMusl(mapped(it)) })
    }
}
