//go:build portlease_shared

package portlease

// #cgo pkg-config: portlease
import "C"
