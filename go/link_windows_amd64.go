//go:build cgo && !portlease_pkgconfig && !portlease_shared

package portlease

import _ "github.com/portlease/portlease/go/lib/windows-amd64"
