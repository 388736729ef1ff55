package portlease_test

import (
	"flag"
	"net/netip"
	"os"
	"testing"
	"time"

	portlease "github.com/portlease/portlease/go"
	router "github.com/portlease/portlease/go/internal/simulated"
)

const (
	// patience is how long a wait goes on where nobody names a time: who waits this long has failed.
	patience = router.Patience
	// look is the unit of waits that are short on purpose.
	look = 10 * time.Millisecond
)

// atOneTime is how many tests run at once: they mostly wait.
const atOneTime = "12"

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", atOneTime); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// simulated is a portlease-gateway of its own, as these tests speak to it.
type simulated struct{ *router.Gateway }

// newGateway starts a gateway with these settings, fields of its GatewayConfig. Close ends it.
func newGateway(settings map[string]any) (*simulated, error) {
	gateway, err := router.New(settings)
	return &simulated{gateway}, err
}

// startGateway starts a gateway that ends with the test.
func startGateway(t testing.TB, settings map[string]any) *simulated {
	t.Helper()
	return &simulated{router.Start(t, settings)}
}

// startFirewall starts a gateway with a firewall for IPv6, or skips the test if this machine has no IPv6. The config of such a
// gateway leads leases of both families to it.
func startFirewall(t testing.TB) *simulated {
	t.Helper()
	g := startGateway(t, map[string]any{"ipv6": true})
	if g.NoIPv6 != "" {
		t.Skipf("no IPv6 here: %s", g.NoIPv6)
	}
	return g
}

// config is what a mapper must be told to use this gateway.
func (g *simulated) config() portlease.Config { return g.Config() }

// tell writes one command and gives the reply.
func (g *simulated) tell(command any) (map[string]any, error) { return g.Tell(command) }

// set changes switches of the gateway.
func (g *simulated) set(t testing.TB, faults map[string]any) {
	t.Helper()
	if _, err := g.tell(map[string]any{"set": faults}); err != nil {
		t.Fatal(err)
	}
}

// removePinhole closes a pinhole, as a router that has lost it, and tells whether there was one.
func (g *simulated) removePinhole(t testing.TB, transport portlease.Transport, internal netip.AddrPort) bool {
	t.Helper()
	reply, err := g.tell(map[string]any{"command": "remove_pinhole", "transport": transport, "internal": internal})
	if err != nil {
		t.Fatal(err)
	}
	return reply["removed"] == true
}

// renumber gives the network behind the gateway another IPv6 prefix, whose hosts alone may have pinholes.
func (g *simulated) renumber(t testing.TB, prefix netip.Prefix) {
	t.Helper()
	if _, err := g.tell(map[string]any{"command": "renumber", "prefix": prefix}); err != nil {
		t.Fatal(err)
	}
}

// announce sends an announcement: "pcp", "nat_pmp", "ssdp_alive" or "ssdp_byebye".
func (g *simulated) announce(t testing.TB, what string, to netip.AddrPort) {
	t.Helper()
	if _, err := g.tell(map[string]any{"command": "announce", "what": what, "to": to}); err != nil {
		t.Fatal(err)
	}
}

// mappings is how many entries the gateway's table has.
func (g *simulated) mappings(t testing.TB) int {
	t.Helper()
	return len(g.Mappings(t))
}

// waitForMappings waits until the gateway's table has so many entries.
func (g *simulated) waitForMappings(t testing.TB, want int) {
	t.Helper()
	g.WaitForMappings(t, want)
}

// eventually waits for what has no event of its own.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	router.Eventually(t, what, condition)
}
