module github.com/portlease/portlease/go/adapters/ethereum/example

go 1.25.0

require (
	github.com/ethereum/go-ethereum v1.17.10
	github.com/portlease/portlease/go v0.1.0
	github.com/portlease/portlease/go/adapters/ethereum v0.1.0
)

require (
	github.com/ProjectZKM/Ziren/crates/go-runtime/zkvm_runtime v0.0.0-20251001021608-1fe7b43fc4d6 // indirect
	github.com/StackExchange/wmi v1.2.1 // indirect
	github.com/decred/dcrd/dcrec/secp256k1/v4 v4.0.1 // indirect
	github.com/go-ole/go-ole v1.3.0 // indirect
	github.com/golang/snappy v1.0.1-0.20260716114414-9ae09f520e93 // indirect
	github.com/holiman/uint256 v1.3.2 // indirect
	github.com/huin/goupnp v1.3.0 // indirect
	github.com/jackpal/go-nat-pmp v1.0.2 // indirect
	github.com/pion/dtls/v3 v3.1.5 // indirect
	github.com/pion/logging v0.2.4 // indirect
	github.com/pion/stun/v3 v3.1.7 // indirect
	github.com/pion/transport/v4 v4.1.0 // indirect
	github.com/portlease/portlease/go/lib/darwin-amd64 v0.1.0 // indirect
	github.com/portlease/portlease/go/lib/darwin-arm64 v0.1.0 // indirect
	github.com/portlease/portlease/go/lib/linux-amd64 v0.1.0 // indirect
	github.com/portlease/portlease/go/lib/linux-arm64 v0.1.0 // indirect
	github.com/portlease/portlease/go/lib/windows-amd64 v0.1.0 // indirect
	github.com/shirou/gopsutil v3.21.4-0.20210419000835-c7a38de76ee5+incompatible // indirect
	github.com/syndtr/goleveldb v1.0.1-0.20210819022825-2ae1ddf74ef7 // indirect
	github.com/tklauser/go-sysconf v0.3.12 // indirect
	github.com/tklauser/numcpus v0.6.1 // indirect
	github.com/wlynxg/anet v0.0.5 // indirect
	golang.org/x/crypto v0.55.0 // indirect
	golang.org/x/sync v0.22.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

// All modules are of this checkout. This one is never published.
replace (
	github.com/portlease/portlease/go => ../../..
	github.com/portlease/portlease/go/adapters/ethereum => ..
	github.com/portlease/portlease/go/lib/darwin-amd64 => ../../../lib/darwin-amd64
	github.com/portlease/portlease/go/lib/darwin-arm64 => ../../../lib/darwin-arm64
	github.com/portlease/portlease/go/lib/linux-amd64 => ../../../lib/linux-amd64
	github.com/portlease/portlease/go/lib/linux-arm64 => ../../../lib/linux-arm64
	github.com/portlease/portlease/go/lib/windows-amd64 => ../../../lib/windows-amd64
)
