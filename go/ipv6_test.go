package portlease_test

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	portlease "github.com/portlease/portlease/go"
)

// lanInterface has the longest name that an interface may have.
const lanInterface = "lan-with-15-let"

// lan runs what follows in a network of its own, with a router behind that interface that never answers.
const lan = `ip link add ` + lanInterface + ` type veth peer name far && ip link set ` + lanInterface + ` up && ip link set far up &&
ip addr add 2600:1::5/64 dev ` + lanInterface + ` nodad && ip -6 route add default via fe80::1 dev ` + lanInterface + ` && exec "$@"`

// withFirewall starts a mapper on a router that also has a firewall for IPv6.
func withFirewall(t *testing.T) (*portlease.Mapper, *simulated) {
	t.Helper()
	mapper, gateway := start(t, map[string]any{"ipv6": true})
	if _, err := mapper.ProbeFamily(patient(t), portlease.IPv6); errors.Is(err, portlease.ErrUnavailable) {
		t.Skip("this machine has no IPv6 on loopback: ", err)
	}
	return mapper, gateway
}

func pinhole(port uint16) portlease.Request {
	return portlease.Request{Port: port, Transport: portlease.UDP, Family: portlease.IPv6}
}

func TestOpenOpensAPinholeForAnAddressOfThisMachine(t *testing.T) {
	t.Parallel()
	_, gateway := withFirewall(t)
	port, err := portlease.Open(patient(t), pinhole(4000), gateway.config())
	if err != nil {
		t.Fatal(err)
	}
	now, want := port.Snapshot(), netip.MustParseAddrPort("[::1]:4000")
	if now.External != want || now.External.String() != "[::1]:4000" || now.ExternalPort != 4000 || now.Family != portlease.IPv6 {
		t.Errorf("%+v", now)
	}
	if port.External() != want || port.ExternalPort() != 4000 || port.AddressClass() != portlease.AddressReserved {
		t.Errorf("%v, %v, %v", port.External(), port.ExternalPort(), port.AddressClass())
	}
	if gateway.mappings(t) != 1 {
		t.Error("there is no pinhole")
	}
	if release, err := port.Stop(patient(t)); release != portlease.Released || err != nil || gateway.mappings(t) != 0 {
		t.Errorf("%v, %v, %d left", release, err, gateway.mappings(t))
	}
}

func TestOnePortHasALeaseOfEachFamilyAndEventsTellWhich(t *testing.T) {
	t.Parallel()
	mapper, _ := withFirewall(t)
	leases := []*portlease.Lease{mapUDP(t, mapper, 4000)}
	request := pinhole(4000)
	overIPv6, err := mapper.Map(request)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := mapper.Ensure(request); same != overIPv6 || err != nil {
		t.Errorf("another lease: %v, %v", same, err)
	}
	request.Port = 4001
	overUDP, overTCP, err := mapper.MapBoth(request)
	if err != nil {
		t.Fatal(err)
	}
	families := map[uint64]portlease.AddressFamily{}
	for _, lease := range append(leases, overIPv6, overUDP, overTCP) {
		snapshot, err := lease.Ready(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		families[lease.ID()] = snapshot.Family
	}
	if families[1] != portlease.IPv4 || families[2] != portlease.IPv6 || families[3] != portlease.IPv6 || families[4] != portlease.IPv6 {
		t.Errorf("%v", families)
	}
	for range families {
		if event, err := mapper.NextEvent(patient(t)); err != nil || event.Family != families[event.Lease] {
			t.Errorf("%+v, %v", event, err)
		}
	}
	if gateway := mapper.Snapshot().Gateway; gateway != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("the gateway is %v", gateway)
	}
}

func TestAProbeIsOfOneFamily(t *testing.T) {
	t.Parallel()
	mapper, gateway := withFirewall(t)
	loopback := netip.MustParseAddr("::1")
	report, err := portlease.ProbeFamily(patient(t), portlease.IPv6, gateway.config())
	if err != nil || report.Gateway != loopback || report.LocalAddress != loopback || report.Protocols[0].Error != nil {
		t.Errorf("%+v, %v", report, err)
	}
	for family, want := range map[portlease.AddressFamily]string{portlease.IPv4: "127.0.0.1", portlease.IPv6: "::1"} {
		if report, err := mapper.ProbeFamily(patient(t), family); err != nil || report.Gateway.String() != want {
			t.Errorf("%v: %+v, %v", family, report, err)
		}
	}
	_, err = mapper.ProbeFamily(patient(t), 9)
	_, again := portlease.ProbeFamily(patient(t), 9, gateway.config())
	for _, err := range []error{err, again} {
		if !errors.Is(err, portlease.ErrInvalid) || !strings.Contains(err.Error(), "family: must be IPv4 or IPv6, not AddressFamily(9)") {
			t.Errorf("%v", err)
		}
	}
}

func TestAGatewayMayHaveAZoneWhichNamesItsInterface(t *testing.T) {
	t.Parallel()
	mapper, err := portlease.Start(portlease.Config{Gateway: netip.MustParseAddr("fe80::1%no-such"), Retry: portlease.RetryPolicy{Never: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer mapper.Close()
	lease, err := mapper.Map(pinhole(4000))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lease.Ready(patient(t)); !errors.Is(err, portlease.ErrInvalid) || !strings.Contains(err.Error(), "gateway: there is no interface `no-such`; there are ") {
		t.Errorf("%v", err)
	}
	for message, config := range map[string]portlease.Config{
		"the scope of fe80::1%eth0 is not the interface `eth1`": {Gateway: netip.MustParseAddr("fe80::1%eth0"), Interface: "eth1"},
		"1 to 15 bytes": {Gateway: netip.MustParseAddr("fe80::1%a-name-of-16-let")},
	} {
		if _, err := portlease.Start(config); !errors.Is(err, portlease.ErrInvalid) || !strings.Contains(err.Error(), message) {
			t.Errorf("%+v: %v", config, err)
		}
	}
}

// TestALinkLocalRouterKeepsItsZone runs the test below in a network of its own.
func TestALinkLocalRouterKeepsItsZone(t *testing.T) {
	if os.Getenv("PORTLEASE_TEST_LAN") != "" {
		aLinkLocalRouterKeepsItsZone(t)
		return
	}
	t.Parallel()
	command := exec.Command("unshare", "-rn", "sh", "-c", lan, "sh", os.Args[0], "-test.run=^TestALinkLocalRouterKeepsItsZone$")
	command.Env = append(os.Environ(), "PORTLEASE_TEST_LAN=1")
	said, err := command.CombinedOutput()
	text := string(said)
	switch {
	case errors.Is(err, exec.ErrNotFound), strings.Contains(text, "unshare:"), strings.Contains(text, "RTNETLINK"), strings.Contains(text, "ip: not found"):
		t.Skip("no network of one's own here: ", err, text)
	case err != nil:
		t.Errorf("%v\n%s", err, text)
	}
}

func aLinkLocalRouterKeepsItsZone(t *testing.T) {
	router := netip.MustParseAddr("fe80::1%" + lanInterface)
	for _, named := range []netip.Addr{{}, router} {
		mapper, err := portlease.Start(portlease.Config{Gateway: named, Protocols: []portlease.Protocol{portlease.PCP}})
		if err != nil {
			t.Fatal(err)
		}
		defer mapper.Close()
		if _, err := mapper.Map(pinhole(4000)); err != nil {
			t.Fatal(err)
		}
		if _, err := mapper.ProbeFamily(patient(t), portlease.IPv6); !errors.Is(err, portlease.ErrUnavailable) || !strings.Contains(err.Error(), router.String()) {
			t.Errorf("%v", err)
		}
		if gateway := mapper.Snapshot().Gateway; gateway != router || gateway.Zone() != lanInterface {
			t.Errorf("the gateway is %v", gateway)
		}
	}
}
