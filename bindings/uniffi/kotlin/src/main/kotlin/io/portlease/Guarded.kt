@file:JvmSynthetic

package io.portlease

/** Makes a call; what UniFFI throws beside the interface's own exception becomes one. */
internal inline fun <T> guarded(call: () -> T): T = try {
    call()
} catch (defect: InternalException) {
    throw PortLeaseException.Internal(ErrorReport(ErrorKind.INTERNAL, defect.message ?: "the native library failed")).initCause(defect)
} catch (broken: CharacterCodingException) {
    throw PortLeaseException.Invalid(ErrorReport(ErrorKind.INVALID, "a text is not Unicode: it has half a surrogate pair")).initCause(broken)
}
