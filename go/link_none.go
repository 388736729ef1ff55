//go:build !portlease_pkgconfig && !portlease_shared && !(((linux && !android) || (darwin && !ios)) && (amd64 || arm64)) && !(windows && amd64)

package portlease

// #error "portlease has no prebuilt library for this platform: build with CGO_ENABLED=0, which maps nothing, or install the C library of portlease and build with -tags portlease_pkgconfig"
import "C"
