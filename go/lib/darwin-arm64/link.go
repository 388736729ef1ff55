// Package archive links the C library of portlease, for macOS on arm64, into programs that import
// [github.com/portlease/portlease/go]. It has nothing else. The archive is only in the published module: the
// repository makes it by bindings/release/go.
package archive

// #cgo LDFLAGS: ${SRCDIR}/libportlease.a -framework CoreFoundation -framework SystemConfiguration
import "C"
