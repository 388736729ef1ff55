//go:build !portlease_static

package portlease

// #cgo pkg-config: portlease
import "C"
