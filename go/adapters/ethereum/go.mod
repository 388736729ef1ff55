module github.com/portlease/portlease/go/adapters/ethereum

go 1.24

require github.com/portlease/portlease/go v0.1.0

require (
	github.com/portlease/portlease/go/lib/darwin-amd64 v0.1.0 // indirect
	github.com/portlease/portlease/go/lib/darwin-arm64 v0.1.0 // indirect
	github.com/portlease/portlease/go/lib/linux-amd64 v0.1.0 // indirect
	github.com/portlease/portlease/go/lib/linux-arm64 v0.1.0 // indirect
	github.com/portlease/portlease/go/lib/windows-amd64 v0.1.0 // indirect
)

// In the repository all modules are of this checkout, and the published module is without these lines.
replace (
	github.com/portlease/portlease/go => ../..
	github.com/portlease/portlease/go/lib/darwin-amd64 => ../../lib/darwin-amd64
	github.com/portlease/portlease/go/lib/darwin-arm64 => ../../lib/darwin-arm64
	github.com/portlease/portlease/go/lib/linux-amd64 => ../../lib/linux-amd64
	github.com/portlease/portlease/go/lib/linux-arm64 => ../../lib/linux-arm64
	github.com/portlease/portlease/go/lib/windows-amd64 => ../../lib/windows-amd64
)
