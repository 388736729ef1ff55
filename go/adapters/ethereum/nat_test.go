package ethereum_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	portlease "github.com/portlease/portlease/go"
	"github.com/portlease/portlease/go/adapters/ethereum"
	"github.com/portlease/portlease/go/internal/shown"
	"github.com/portlease/portlease/go/internal/simulated"
)

// home is a NAT with a simulated router of its own.
func home(t *testing.T, settings map[string]any) (*ethereum.NAT, *simulated.Gateway) {
	t.Helper()
	gateway := simulated.Start(t, settings)
	return ethereum.New(gateway.Mapper(t)), gateway
}

// add maps a port as a node does; it has to work.
func add(t *testing.T, nat *ethereum.NAT, protocol string, extport, intport int) uint16 {
	t.Helper()
	port, err := nat.AddMapping(protocol, extport, intport, "ethereum p2p", 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestAPortIsMappedWithTheWishesOfTheNodeAndDeletedWhenItSaysSo(t *testing.T) {
	t.Parallel()
	nat, gateway := home(t, map[string]any{"external_address": "192.0.1.1", "pcp": false, "nat_pmp": false})
	for protocol, transport := range map[string]portlease.Transport{"TCP": portlease.TCP, "UDP": portlease.UDP} {
		if port := add(t, nat, protocol, 0, 30303); port != 30303 {
			t.Errorf("%s is mapped at %d", protocol, port)
		}
		mapped := gateway.WaitForMappings(t, 1)[0]
		if mapped.Transport != transport || mapped.ExternalPort != 30303 || mapped.Internal.Port() != 30303 {
			t.Errorf("the router has %+v", mapped)
		}
		if mapped.Description != "ethereum p2p" || mapped.ExpiresIn > 600 || mapped.ExpiresIn < 500 {
			t.Errorf("the router has %+v", mapped)
		}
		if err := nat.DeleteMapping(protocol, 30303, 30303); err != nil {
			t.Error(err)
		}
		gateway.WaitForMappings(t, 0)
	}
	if port := add(t, nat, "tcp", 30404, 30303); port != 30404 {
		t.Errorf("it is mapped at %d", port)
	}
}

func TestARefreshAsksTheRouterNothingAndGivesThePortOfThePresent(t *testing.T) {
	t.Parallel()
	gateway := simulated.Start(t, nil)
	config := gateway.Config()
	config.CheckInterval = time.Second // a loss is noticed by the first look
	mapper, err := portlease.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	defer mapper.Close()
	nat := ethereum.New(mapper)
	add(t, nat, "TCP", 0, 30303)
	requests := func() string {
		counters := gateway.Order(t, map[string]any{"command": "counters"})["counters"].(map[string]any)
		return fmt.Sprint(counters["pcp_map"], counters["natpmp_map_tcp"], counters["soap_AddPortMapping"], counters["soap_AddAnyPortMapping"])
	}
	before := requests()
	for range 1000 {
		if port := add(t, nat, "TCP", 30303, 30303); port != 30303 {
			t.Fatalf("it is mapped at %d", port)
		}
	}
	if after := requests(); after != before {
		t.Errorf("the router was asked: %s, then %s", before, after)
	}

	// The router forgets, and gives another port.
	gateway.Order(t, map[string]any{"set": map[string]any{"granted_port": 40404}})
	gateway.Order(t, map[string]any{"command": "remove_mapping", "transport": "tcp", "external_port": 30303})
	gateway.Order(t, map[string]any{"command": "reboot"})
	simulated.Eventually(t, "a refresh gives the new port", func() bool {
		port, err := nat.AddMapping("TCP", 30303, 30303, "ethereum p2p", 10*time.Minute)
		return err == nil && port == 40404
	})
}

func TestTheExternalAddressIsKnownBeforeAndWhileAPortIsMapped(t *testing.T) {
	t.Parallel()
	nat, gateway := home(t, map[string]any{"external_address": "192.0.1.1"})
	want := func(address string) {
		t.Helper()
		if got, err := nat.ExternalIP(); err != nil || !got.Equal(net.ParseIP(address)) {
			t.Errorf("the address is %v, %v", got, err)
		}
	}
	want("192.0.1.1")
	add(t, nat, "UDP", 0, 30303)
	asked := time.Now()
	for range 100 {
		want("192.0.1.1")
	}
	if took := time.Since(asked); took > time.Second {
		t.Errorf("100 answers that were known took %v", took)
	}
	if name := nat.String(); name != "portlease("+gateway.Address.String()+")" {
		t.Errorf("its name is %s", name)
	}
}

func TestWithoutARouterCallsFailInTimeAndALaterOneFindsWhatTheBackgroundHasMapped(t *testing.T) {
	t.Parallel()
	off := map[string]any{"pcp": "off", "nat_pmp": "off", "upnp": "off"}
	nat, gateway := home(t, map[string]any{"faults": off})
	if _, err := nat.AddMapping("TCP", 0, 30303, "ethereum p2p", 10*time.Minute); !errors.Is(err, portlease.ErrUnavailable) {
		t.Errorf("it fails with %v", err)
	}
	asked := time.Now()
	if _, err := nat.AddMapping("TCP", 0, 30303, "ethereum p2p", 10*time.Minute); !errors.Is(err, portlease.ErrUnavailable) {
		t.Errorf("a refresh fails with %v", err)
	}
	if took := time.Since(asked); took > time.Second {
		t.Errorf("a refresh that cannot work takes %v", took)
	}
	if _, err := nat.ExternalIP(); !errors.Is(err, portlease.ErrUnavailable) {
		t.Errorf("it fails with %v", err)
	}
	gateway.Order(t, map[string]any{"set": map[string]any{"pcp": "normal", "nat_pmp": "normal", "upnp": "normal"}})
	gateway.WaitForMappings(t, 1)
	simulated.Eventually(t, "the mapping of the background is found", func() bool {
		port, err := nat.AddMapping("TCP", 0, 30303, "ethereum p2p", 10*time.Minute)
		return err == nil && port == 30303
	})
}

func TestEveryErrorHasAKindAndNamesTheArgument(t *testing.T) {
	t.Parallel()
	gateway := simulated.Start(t, nil)
	mapper := gateway.Mapper(t)
	nat := ethereum.New(mapper)
	for argument, call := range map[string]func() error{
		"protocol": func() error { _, err := nat.AddMapping("SCTP", 0, 1, "", 0); return err },
		"intport":  func() error { _, err := nat.AddMapping("TCP", 0, 65536, "", 0); return err },
		"extport":  func() error { _, err := nat.AddMapping("TCP", -1, 1, "", 0); return err },
		"lifetime": func() error { _, err := nat.AddMapping("TCP", 0, 1, "", -time.Second); return err },
		"delete":   func() error { return nat.DeleteMapping("TCP", 0, 0) },
	} {
		if err := call(); !errors.Is(err, portlease.ErrInvalid) || argument != "delete" && !strings.Contains(err.Error(), argument+": must be") {
			t.Errorf("%s: %v", argument, err)
		}
	}
	if err := nat.DeleteMapping("TCP", 30303, 30303); err != nil {
		t.Errorf("what is not mapped is deleted already, but: %v", err)
	}

	add(t, nat, "TCP", 0, 30303)
	gateway.Order(t, map[string]any{"set": map[string]any{"pcp": "silent", "nat_pmp": "silent", "upnp": "silent"}})
	if err := nat.DeleteMapping("TCP", 30303, 30303); !errors.Is(err, portlease.ErrUnavailable) && !errors.Is(err, portlease.ErrTimeout) {
		t.Errorf("a delete that nobody confirms: %v", err)
	}
	mapper.Close()
	if _, err := nat.AddMapping("TCP", 0, 30303, "", 0); !errors.Is(err, portlease.ErrStopped) {
		t.Errorf("a stopped mapper: %v", err)
	}
}

func TestALifetimeOfZeroOrOutOfRangeIsNoError(t *testing.T) {
	t.Parallel()
	nat, gateway := home(t, map[string]any{"min_lifetime": 1, "max_lifetime": 100000})
	for number, lifetime := range []time.Duration{0, time.Millisecond, 48 * time.Hour} {
		if _, err := nat.AddMapping("UDP", 0, 4001+number, "", lifetime); err != nil {
			t.Errorf("a lifetime of %v: %v", lifetime, err)
		}
	}
	for _, mapped := range gateway.Mappings(t) {
		want := map[uint16]float64{4001: 3600, 4002: 1, 4003: 86400}[mapped.ExternalPort]
		if mapped.ExpiresIn > want || mapped.ExpiresIn < want-60 {
			t.Errorf("the router has %+v", mapped)
		}
	}
}

// TestTheReadmeShowsWhatTheExampleDoes: its code is that of the example, which is tested with go-ethereum.
func TestTheReadmeShowsWhatTheExampleDoes(t *testing.T) {
	t.Parallel()
	shown.Check(t, "README.md", 2, shown.Code(t, "example/main.go"))
}
