package portlease_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	portlease "github.com/portlease/portlease/go"
)

func TestAnIPv6LeaseOpensAPinholeAgainIfItIsLostOrAnotherPrefixHasClosedIt(t *testing.T) {
	t.Parallel()
	gateway := startFirewall(t)
	config := gateway.config()
	// Without a look of its own the mapper opens it again only when it is told to look.
	config.Protocols, config.CheckInterval = []portlease.Protocol{portlease.PCP}, -1
	mapper, err := portlease.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	defer mapper.Close()
	lease, err := mapper.Map(portlease.Request{Port: 9001, Transport: portlease.UDP, Family: portlease.IPv6})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	here := netip.MustParseAddrPort("[::1]:9001")
	if ready, err := lease.Ready(ctx); err != nil || ready.External != here || ready.Family != portlease.IPv6 {
		t.Fatalf("%+v, %v", ready, err)
	}
	if !gateway.removePinhole(t, portlease.UDP, here) || gateway.removePinhole(t, portlease.UDP, here) {
		t.Fatal("the pinhole was not there exactly once")
	}
	mapper.NetworkChanged()
	gateway.waitForMappings(t, 1)
	gateway.renumber(t, netip.MustParsePrefix("2001:db8:1::/64"))
	if gateway.mappings(t) != 0 {
		t.Fatal("the pinhole of an address of the old prefix is open")
	}
	gateway.renumber(t, netip.MustParsePrefix("::1/128"))
	mapper.NetworkChanged()
	gateway.waitForMappings(t, 1)
}

func TestTheSimulatedGatewayAnnouncesOverBothFamilies(t *testing.T) {
	t.Parallel()
	gateway := startFirewall(t)
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		for what, first := range map[string]byte{"pcp": 2, "ssdp_alive": 'N', "ssdp_byebye": 'N'} {
			listener, err := net.ListenPacket("udp", host)
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			gateway.announce(t, what, netip.MustParseAddrPort(listener.LocalAddr().String()))
			heard := make([]byte, 2000)
			listener.SetReadDeadline(time.Now().Add(patience))
			if _, _, err := listener.ReadFrom(heard); err != nil || heard[0] != first {
				t.Errorf("%s to %s: %v, %v", what, host, heard[0], err)
			}
		}
	}
}
