package portlease_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	portlease "github.com/portlease/portlease/go"
)

const (
	// patience is how long a wait goes on where nobody names a time: who waits this long has failed.
	patience = 10 * time.Second
	// look is how often a condition is looked at.
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

// simulated is a portlease-gateway of its own, a process that speaks JSON lines.
type simulated struct {
	process *exec.Cmd
	stdin   io.WriteCloser
	// One command at a time, so that replies come in the order of the commands.
	turn    sync.Mutex
	replies chan map[string]any
	// What the gateway said at its start.
	gateway netip.Addr
	pcpPort uint16
	ssdp    netip.AddrPort
	// Why there is no firewall for IPv6 although the settings ask for one.
	noIPv6 string
}

// gatewayProgram is the built portlease-gateway: PORTLEASE_GATEWAY_PROGRAM, or what cargo built last.
func gatewayProgram() (string, error) {
	if named := os.Getenv("PORTLEASE_GATEWAY_PROGRAM"); named != "" {
		return named, nil
	}
	target := os.Getenv("CARGO_TARGET_DIR")
	if target == "" {
		target = filepath.Join("..", "target")
	}
	for _, profile := range []string{"debug", "release"} {
		program := filepath.Join(target, profile, "portlease-gateway")
		if _, err := os.Stat(program); err == nil {
			return program, nil
		}
	}
	return "", fmt.Errorf("there is no portlease-gateway under %s: cargo build -p portlease-gateway builds it", target)
}

// newGateway starts a gateway with these settings, fields of its GatewayConfig. Close ends it.
func newGateway(settings map[string]any) (*simulated, error) {
	program, err := gatewayProgram()
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	g := &simulated{replies: make(chan map[string]any)}
	g.process = exec.Command(program, "--config", string(config))
	var complaint bytes.Buffer
	g.process.Stderr = &complaint
	if g.stdin, err = g.process.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := g.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := g.process.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 16<<20)
	if !lines.Scan() {
		g.Close()
		return nil, fmt.Errorf("the gateway does not start with %s: %s", config, &complaint)
	}
	var started struct {
		Event   string
		Gateway netip.Addr
		PCPPort uint16         `json:"pcp_port"`
		SSDP    netip.AddrPort `json:"ssdp_address"`
		NoIPv6  string         `json:"no_ipv6"`
	}
	if err := json.Unmarshal(lines.Bytes(), &started); err != nil || started.Event != "started" {
		g.Close()
		return nil, fmt.Errorf("the gateway begins with %q: %w", lines.Text(), err)
	}
	g.gateway, g.pcpPort, g.ssdp, g.noIPv6 = started.Gateway, started.PCPPort, started.SSDP, started.NoIPv6
	go func() {
		defer close(g.replies)
		for lines.Scan() {
			var line map[string]any
			if json.Unmarshal(lines.Bytes(), &line) == nil && line["event"] == "reply" {
				g.replies <- line
			}
		}
	}()
	return g, nil
}

// startGateway starts a gateway that ends with the test.
func startGateway(t testing.TB, settings map[string]any) *simulated {
	t.Helper()
	if settings == nil {
		settings = map[string]any{}
	}
	g, err := newGateway(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// startFirewall starts a gateway with a firewall for IPv6, or skips the test if this machine has no IPv6. The config of such a
// gateway leads leases of both families to it.
func startFirewall(t testing.TB) *simulated {
	t.Helper()
	g := startGateway(t, map[string]any{"ipv6": true})
	if g.noIPv6 != "" {
		t.Skipf("no IPv6 here: %s", g.noIPv6)
	}
	return g
}

// Close ends the gateway, which ends with its standard input.
func (g *simulated) Close() {
	g.stdin.Close()
	hanging := time.AfterFunc(patience, func() { g.process.Process.Kill() })
	defer hanging.Stop()
	// It has nothing to lose, so how it ended is of no interest.
	g.process.Wait()
}

// config is what a mapper must be told to use this gateway.
func (g *simulated) config() portlease.Config {
	return portlease.Config{Gateway: g.gateway, PCPPort: g.pcpPort, SSDPAddress: g.ssdp}
}

// tell writes one command and gives the reply.
func (g *simulated) tell(command any) (map[string]any, error) {
	line, err := json.Marshal(command)
	if err != nil {
		return nil, err
	}
	g.turn.Lock()
	defer g.turn.Unlock()
	if _, err := g.stdin.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("the gateway does not listen: %w", err)
	}
	select {
	case reply, open := <-g.replies:
		if !open {
			return nil, errors.New("the gateway has ended")
		}
		if said := reply["error"]; said != nil {
			return nil, fmt.Errorf("the gateway says: %v", said)
		}
		return reply, nil
	case <-time.After(patience):
		return nil, fmt.Errorf("the gateway does not answer %s", line)
	}
}

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

// state is the gateway's table and counters at one moment.
func (g *simulated) state() (map[string]any, error) {
	reply, err := g.tell(map[string]any{"command": "state"})
	if err != nil {
		return nil, err
	}
	state, ok := reply["state"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a reply without a state: %v", reply)
	}
	return state, nil
}

// mappings is how many entries the gateway's table has.
func (g *simulated) mappings(t testing.TB) int {
	t.Helper()
	state, err := g.state()
	if err != nil {
		t.Fatal(err)
	}
	table, ok := state["mappings"].([]any)
	if !ok {
		t.Fatalf("a state without a table: %v", state)
	}
	return len(table)
}

// waitForMappings waits until the gateway's table has so many entries.
func (g *simulated) waitForMappings(t testing.TB, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d mappings on the gateway", want), func() bool { return g.mappings(t) == want })
}

// eventually waits for what has no event of its own.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(look) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
