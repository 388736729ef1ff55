package io.portlease

/** The stable kind, the same in every language; for `when`, the subclasses do as well. */
public val PortLeaseException.kind: ErrorKind
    get() = when (this) {
        is PortLeaseException.Unavailable -> ErrorKind.UNAVAILABLE
        is PortLeaseException.Timeout -> ErrorKind.TIMEOUT
        is PortLeaseException.Transport -> ErrorKind.TRANSPORT
        is PortLeaseException.Refused -> ErrorKind.REFUSED
        is PortLeaseException.Invalid -> ErrorKind.INVALID
        is PortLeaseException.Stopped -> ErrorKind.STOPPED
        is PortLeaseException.Internal -> ErrorKind.INTERNAL
    }

/** Makes a call; what UniFFI throws beside the interface's own exception becomes one. */
internal inline fun <T> guarded(call: () -> T): T = try {
    call()
} catch (defect: InternalException) {
    throw PortLeaseException.Internal(defect.message ?: "the native library failed").initCause(defect)
} catch (broken: CharacterCodingException) {
    throw PortLeaseException.Invalid("a text is not Unicode: it has half a surrogate pair").initCause(broken)
}
