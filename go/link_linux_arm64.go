//go:build cgo && !android && !portlease_pkgconfig && !portlease_shared

package portlease

import _ "github.com/portlease/portlease/go/lib/linux-arm64"
