package natmanager_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"

	portlease "github.com/portlease/portlease/go"
	natmanager "github.com/portlease/portlease/go/adapters/libp2p"
	"github.com/portlease/portlease/go/internal/shown"
	"github.com/portlease/portlease/go/internal/simulated"
)

// both are listeners over TCP and QUIC on ports of the system's choice.
var both = []string{"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"}

// watchful starts a mapper that notices within a second what the router has lost.
func watchful(t *testing.T, gateway *simulated.Gateway) *portlease.Mapper {
	t.Helper()
	config := gateway.Config()
	config.CheckInterval = time.Second
	mapper, err := portlease.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mapper.Close() })
	return mapper
}

// start starts a real host whose ports are mapped, and gives its manager too.
func start(t *testing.T, mapper *portlease.Mapper, listen ...string) (host.Host, basichost.NATManager) {
	t.Helper()
	var manager basichost.NATManager
	made, err := libp2p.New(libp2p.ListenAddrStrings(listen...), libp2p.NATManager(func(n network.Network) basichost.NATManager {
		manager = natmanager.New(mapper)(n)
		return manager
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { made.Close() })
	return made, manager
}

// tells waits until the host tells its peers an address that begins and ends so.
func tells(t *testing.T, made host.Host, begin, end string) {
	t.Helper()
	simulated.Eventually(t, begin+"..."+end+" is an address of the host", func() bool {
		for _, address := range made.Addrs() {
			if text := address.String(); strings.HasPrefix(text, begin) && strings.HasSuffix(text, end) {
				return true
			}
		}
		return false
	})
}

// listener is the address on which the host listens that begins and ends so.
func listener(t *testing.T, made host.Host, begin, end string) ma.Multiaddr {
	t.Helper()
	for _, address := range made.Network().ListenAddresses() {
		if text := address.String(); strings.HasPrefix(text, begin) && strings.HasSuffix(text, end) {
			return address
		}
	}
	t.Fatalf("the host listens on %v", made.Network().ListenAddresses())
	return nil
}

// connect connects to the host from another one, at this address, and asks it for an answer.
func connect(t *testing.T, made host.Host, address string) {
	t.Helper()
	client, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), simulated.Patience)
	defer cancel()
	if err := client.Connect(ctx, peer.AddrInfo{ID: made.ID(), Addrs: []ma.Multiaddr{ma.StringCast(address)}}); err != nil {
		t.Fatal(err)
	}
	if pong := <-ping.Ping(ctx, client, made.ID()); pong.Error != nil {
		t.Error(pong.Error)
	}
}

func TestAHostOnTCPAndQUICTellsItsExternalAddressesPeersArriveAndItsEndReleasesAll(t *testing.T) {
	t.Parallel()
	gateway := simulated.Start(t, map[string]any{"external_address": "192.0.1.1"})
	made, manager := start(t, gateway.Mapper(t), both...)
	for _, mapped := range gateway.WaitForMappings(t, 2) {
		reach := mapped.Reach
		if mapped.Transport == portlease.TCP {
			tells(t, made, fmt.Sprintf("/ip4/192.0.1.1/tcp/%d", mapped.ExternalPort), "")
			connect(t, made, fmt.Sprintf("/ip4/%v/tcp/%d", reach.Addr(), reach.Port()))
		} else {
			tells(t, made, fmt.Sprintf("/ip4/192.0.1.1/udp/%d", mapped.ExternalPort), "/quic-v1")
			connect(t, made, fmt.Sprintf("/ip4/%v/udp/%d/quic-v1", reach.Addr(), reach.Port()))
		}
	}
	if !manager.HasDiscoveredNAT() {
		t.Error("a router has answered")
	}
	made.Close()
	if left := gateway.Mappings(t); len(left) != 0 {
		t.Errorf("the host has ended, and the router has %+v", left)
	}
	if err := manager.Close(); err != nil {
		t.Error(err)
	}
}

func TestAHostFollowsAnotherExternalAddressAndAnotherPort(t *testing.T) {
	t.Parallel()
	gateway := simulated.Start(t, map[string]any{"external_address": "192.0.1.1"})
	made, _ := start(t, watchful(t, gateway), "/ip4/0.0.0.0/tcp/0")
	tells(t, made, "/ip4/192.0.1.1/tcp/", "")
	gateway.Order(t, map[string]any{"set": map[string]any{"granted_port": 40404}})
	gateway.Order(t, map[string]any{"command": "external_address", "address": "192.0.1.7"})
	gateway.Order(t, map[string]any{"command": "reboot"})
	tells(t, made, "/ip4/192.0.1.7/tcp/40404", "")
	for _, address := range made.Addrs() {
		if strings.HasPrefix(address.String(), "/ip4/192.0.1.1/") {
			t.Errorf("the host still tells %v", address)
		}
	}
}

func TestPortsAreMappedAndReleasedAsTheHostListens(t *testing.T) {
	t.Parallel()
	gateway := simulated.Start(t, nil)
	made, manager := start(t, gateway.Mapper(t), "/ip4/127.0.0.1/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/udp/0/webrtc-direct")
	first := gateway.WaitForMappings(t, 2)
	for _, mapped := range first {
		if mapped.Transport != portlease.UDP {
			t.Errorf("nothing from the internet arrives at loopback, and the router has %+v", mapped)
		}
	}

	// WebTransport shares the port of QUIC, so it has the same mapping.
	shared := ma.StringCast(listener(t, made, "/ip4/0.0.0.0/udp/", "/quic-v1").String() + "/webtransport")
	if err := made.Network().Listen(shared); err != nil {
		t.Fatal(err)
	}
	simulated.Eventually(t, "WebTransport is mapped", func() bool { return manager.GetMapping(shared) != nil })
	if text := manager.GetMapping(shared).String(); !strings.HasSuffix(text, "/quic-v1/webtransport") {
		t.Errorf("WebTransport is at %s", text)
	}
	gateway.WaitForMappings(t, 2)

	if err := made.Network().Listen(ma.StringCast("/ip4/0.0.0.0/tcp/0")); err != nil {
		t.Fatal(err)
	}
	tcp := listener(t, made, "/ip4/0.0.0.0/tcp/", "")
	gateway.WaitForMappings(t, 3)
	closer := made.Network().(interface{ ListenClose(...ma.Multiaddr) })
	for range 3 {
		closer.ListenClose(tcp)
		gateway.WaitForMappings(t, 2)
		simulated.Eventually(t, "the address is gone", func() bool { return manager.GetMapping(tcp) == nil })
		if err := made.Network().Listen(tcp); err != nil {
			t.Fatal(err)
		}
		gateway.WaitForMappings(t, 3)
	}
	made.Close()
	gateway.WaitForMappings(t, 0)
}

func TestWithoutARouterAHostStartsAndEndsAsEver(t *testing.T) {
	t.Parallel()
	gateway := simulated.Start(t, map[string]any{"faults": map[string]any{"pcp": "silent", "nat_pmp": "silent", "upnp": "silent", "ssdp": "silent"}})
	began := time.Now()
	made, manager := start(t, gateway.Mapper(t), both...)
	for _, address := range made.Network().ListenAddresses() {
		if mapped := manager.GetMapping(address); mapped != nil {
			t.Errorf("%v is mapped at %v", address, mapped)
		}
	}
	if manager.HasDiscoveredNAT() {
		t.Error("no router has answered")
	}
	made.Close()
	if took := time.Since(began); took > simulated.Patience/2 {
		t.Errorf("it took %v", took)
	}
}

func TestAListenerOverIPv6GetsAPinhole(t *testing.T) {
	t.Parallel()
	gateway := simulated.Start(t, map[string]any{"ipv6": true})
	if gateway.NoIPv6 != "" {
		t.Skipf("no IPv6 here: %s", gateway.NoIPv6)
	}
	made, manager := start(t, gateway.Mapper(t), "/ip6/::/tcp/0", "/ip4/0.0.0.0/tcp/0")
	gateway.WaitForMappings(t, 2)
	for _, begin := range []string{"/ip4/0.0.0.0", "/ip6/::"} {
		address := listener(t, made, begin+"/tcp/", "")
		family, _ := ma.SplitFirst(address)
		simulated.Eventually(t, "it is mapped", func() bool { return manager.GetMapping(address) != nil })
		if mapped, _ := ma.SplitFirst(manager.GetMapping(address)); mapped.Protocol().Code != family.Protocol().Code {
			t.Errorf("%v is mapped at %v", address, manager.GetMapping(address))
		}
	}
}

func TestAnAddressToWhichTheRouterDoesNotForwardHasNoMapping(t *testing.T) {
	t.Parallel()
	gateway := simulated.Start(t, nil)
	made, manager := start(t, gateway.Mapper(t), "/ip4/0.0.0.0/tcp/0")
	port := gateway.WaitForMappings(t, 1)[0].Internal.Port()
	simulated.Eventually(t, "it is mapped", func() bool { return manager.GetMapping(listener(t, made, "/ip4/", "")) != nil })
	for address, want := range map[string]bool{
		fmt.Sprintf("/ip4/0.0.0.0/tcp/%d", port):         true,
		fmt.Sprintf("/ip4/0.0.0.0/tcp/%d/ws", port):      true,
		fmt.Sprintf("/ip4/192.168.1.9/tcp/%d", port):     false, // another interface's
		fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port):       false,
		fmt.Sprintf("/ip4/0.0.0.0/udp/%d/quic-v1", port): false,
		fmt.Sprintf("/ip6/::/tcp/%d", port):              false,
		"/ip4/0.0.0.0":                                   false,
		"/p2p-circuit":                                   false,
		"/dns4/a/tcp/80":                                 false,
	} {
		if mapped := manager.GetMapping(ma.StringCast(address)); (mapped != nil) != want {
			t.Errorf("%s is mapped at %v", address, mapped)
		}
	}
}

// TestTheReadmeShowsWhatTheExampleDoes: its code is that of the example, which the lab runs.
func TestTheReadmeShowsWhatTheExampleDoes(t *testing.T) {
	t.Parallel()
	shown.Check(t, "README.md", 1, shown.Code(t, "example/main.go"))
}
