module github.com/portlease/portlease/go/adapters/pion

go 1.24.0

require (
	github.com/pion/ice/v4 v4.4.8
	github.com/pion/webrtc/v4 v4.2.26
	github.com/portlease/portlease/go v0.1.0
)

require (
	github.com/google/uuid v1.6.0 // indirect
	github.com/pion/datachannel v1.6.3 // indirect
	github.com/pion/dtls/v3 v3.1.15 // indirect
	github.com/pion/interceptor v0.1.51 // indirect
	github.com/pion/logging v0.2.4 // indirect
	github.com/pion/mdns/v2 v2.2.2 // indirect
	github.com/pion/randutil v0.1.0 // indirect
	github.com/pion/rtcp v1.2.20 // indirect
	github.com/pion/rtp v1.10.6 // indirect
	github.com/pion/sctp v1.12.0 // indirect
	github.com/pion/sdp/v3 v3.0.20 // indirect
	github.com/pion/srtp/v3 v3.1.3 // indirect
	github.com/pion/stun/v4 v4.0.1 // indirect
	github.com/pion/transport/v5 v5.1.4 // indirect
	github.com/pion/turn/v5 v5.1.3 // indirect
	github.com/portlease/portlease/go/lib/darwin-amd64 v0.1.0 // indirect
	github.com/portlease/portlease/go/lib/darwin-arm64 v0.1.0 // indirect
	github.com/portlease/portlease/go/lib/linux-amd64 v0.1.0 // indirect
	github.com/portlease/portlease/go/lib/linux-arm64 v0.1.0 // indirect
	github.com/portlease/portlease/go/lib/windows-amd64 v0.1.0 // indirect
	github.com/wlynxg/anet v0.0.5 // indirect
	golang.org/x/crypto v0.48.0 // indirect
	golang.org/x/net v0.50.0 // indirect
	golang.org/x/sys v0.41.0 // indirect
	golang.org/x/time v0.14.0 // indirect
)

// All modules are of this checkout. This one is never published.
replace (
	github.com/portlease/portlease/go => ../..
	github.com/portlease/portlease/go/lib/darwin-amd64 => ../../lib/darwin-amd64
	github.com/portlease/portlease/go/lib/darwin-arm64 => ../../lib/darwin-arm64
	github.com/portlease/portlease/go/lib/linux-amd64 => ../../lib/linux-amd64
	github.com/portlease/portlease/go/lib/linux-arm64 => ../../lib/linux-arm64
	github.com/portlease/portlease/go/lib/windows-amd64 => ../../lib/windows-amd64
)
