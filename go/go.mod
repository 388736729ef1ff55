module github.com/portlease/portlease/go

go 1.24

// The C library, prebuilt, in a module for each platform.
require (
	github.com/portlease/portlease/go/lib/darwin-amd64 v0.1.0
	github.com/portlease/portlease/go/lib/darwin-arm64 v0.1.0
	github.com/portlease/portlease/go/lib/linux-amd64 v0.1.0
	github.com/portlease/portlease/go/lib/linux-arm64 v0.1.0
	github.com/portlease/portlease/go/lib/windows-amd64 v0.1.0
)

// In the repository they have no library in them, and the published module is without these lines.
replace (
	github.com/portlease/portlease/go/lib/darwin-amd64 => ./lib/darwin-amd64
	github.com/portlease/portlease/go/lib/darwin-arm64 => ./lib/darwin-arm64
	github.com/portlease/portlease/go/lib/linux-amd64 => ./lib/linux-amd64
	github.com/portlease/portlease/go/lib/linux-arm64 => ./lib/linux-arm64
	github.com/portlease/portlease/go/lib/windows-amd64 => ./lib/windows-amd64
)
