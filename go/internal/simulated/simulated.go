// Package simulated runs portlease-gateway, a simulated home router, for the tests of this module and of the adapters.
package simulated

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
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
	// Patience is how long a wait goes on if nobody names a time: who waits this long has failed.
	Patience = 10 * time.Second
	// look is how often a condition is looked at.
	look = 10 * time.Millisecond
)

// Gateway is a portlease-gateway of its own, a process that speaks JSON lines.
type Gateway struct {
	process *exec.Cmd
	stdin   io.WriteCloser
	// One command at a time, so that replies come in the order of the commands.
	turn    sync.Mutex
	replies chan map[string]any
	// Address, PCPPort and SSDP are what the gateway said at its start.
	Address netip.Addr
	PCPPort uint16
	SSDP    netip.AddrPort
	// NoIPv6 is why there is no firewall for IPv6 although the settings ask for one.
	NoIPv6 string
}

// Mapping is an entry of the gateway's table.
type Mapping struct {
	Transport    portlease.Transport `json:"transport"`
	ExternalPort uint16              `json:"external_port"`
	Internal     netip.AddrPort      `json:"internal"`
	Description  string              `json:"description"`
	// ExpiresIn is what is left of the lifetime, in seconds.
	ExpiresIn float64 `json:"expires_in"`
	// Reach is the loopback address and port where the mapping's traffic really enters.
	Reach netip.AddrPort `json:"reach"`
}

// program is the built portlease-gateway: PORTLEASE_GATEWAY_PROGRAM, or what cargo built last.
func program() (string, error) {
	if named := os.Getenv("PORTLEASE_GATEWAY_PROGRAM"); named != "" {
		return named, nil
	}
	targets := []string{os.Getenv("CARGO_TARGET_DIR")}
	if targets[0] == "" {
		folder, err := os.Getwd()
		if err != nil {
			return "", err
		}
		targets[0] = filepath.Join(folder, "target")
		for parent := filepath.Dir(folder); parent != folder; folder, parent = parent, filepath.Dir(parent) {
			targets = append(targets, filepath.Join(parent, "target"))
		}
	}
	for _, target := range targets {
		for _, profile := range []string{"debug", "release"} {
			program := filepath.Join(target, profile, "portlease-gateway")
			if _, err := os.Stat(program); err == nil {
				return program, nil
			}
		}
	}
	return "", fmt.Errorf("there is no portlease-gateway under %v: cargo build -p portlease-gateway builds it", targets)
}

// New starts a gateway with these settings, fields of its GatewayConfig. Close ends it.
func New(settings map[string]any) (*Gateway, error) {
	program, err := program()
	if err != nil {
		return nil, err
	}
	if settings == nil {
		settings = map[string]any{}
	}
	config, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	g := &Gateway{replies: make(chan map[string]any)}
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
	g.Address, g.PCPPort, g.SSDP, g.NoIPv6 = started.Gateway, started.PCPPort, started.SSDP, started.NoIPv6
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

// Start starts a gateway that ends with the test.
func Start(t testing.TB, settings map[string]any) *Gateway {
	t.Helper()
	g, err := New(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// Close ends the gateway, which ends with its standard input.
func (g *Gateway) Close() {
	g.stdin.Close()
	hanging := time.AfterFunc(Patience, func() { g.process.Process.Kill() })
	defer hanging.Stop()
	// It has nothing to lose, so how it ended is of no interest.
	g.process.Wait()
}

// Config is what a mapper must be told to use this gateway.
func (g *Gateway) Config() portlease.Config {
	return portlease.Config{Gateway: g.Address, PCPPort: g.PCPPort, SSDPAddress: g.SSDP}
}

// Mapper starts a mapper that uses this gateway and ends with the test.
func (g *Gateway) Mapper(t testing.TB) *portlease.Mapper {
	t.Helper()
	mapper, err := portlease.Start(g.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mapper.Close() })
	return mapper
}

// Tell writes one command and gives the reply.
func (g *Gateway) Tell(command any) (map[string]any, error) {
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
	case <-time.After(Patience):
		return nil, fmt.Errorf("the gateway does not answer %s", line)
	}
}

// Order is Tell for a command that has to work.
func (g *Gateway) Order(t testing.TB, command map[string]any) map[string]any {
	t.Helper()
	reply, err := g.Tell(command)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// Mappings are the entries of the gateway's table.
func (g *Gateway) Mappings(t testing.TB) []Mapping {
	t.Helper()
	text, err := json.Marshal(g.Order(t, map[string]any{"command": "mappings"})["mappings"])
	if err != nil {
		t.Fatal(err)
	}
	var mappings []Mapping
	if err := json.Unmarshal(text, &mappings); err != nil {
		t.Fatal(err)
	}
	return mappings
}

// WaitForMappings waits until the gateway's table has so many entries, and gives them.
func (g *Gateway) WaitForMappings(t testing.TB, want int) []Mapping {
	t.Helper()
	var mappings []Mapping
	Eventually(t, fmt.Sprintf("%d mappings on the gateway", want), func() bool {
		mappings = g.Mappings(t)
		return len(mappings) == want
	})
	return mappings
}

// Eventually waits for what has no event of its own.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !condition(); time.Sleep(look) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
	}
}
