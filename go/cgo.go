//go:build !cgo

package portlease

// The compiler shows this text where there is no cgo.
var _ int = "portlease needs cgo: CGO_ENABLED=1 and a C compiler"
