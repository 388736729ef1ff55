//go:build portlease_pkgconfig && !portlease_shared

package portlease

// #cgo pkg-config: portlease-static
import "C"
