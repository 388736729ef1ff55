//go:build cgo && !ios && !portlease_pkgconfig && !portlease_shared

package portlease

import _ "github.com/portlease/portlease/go/lib/darwin-arm64"
