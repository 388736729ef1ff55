package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/p2p/enode"

	portlease "github.com/portlease/portlease/go"
	"github.com/portlease/portlease/go/internal/simulated"
)

// node is the served example, and what it says.
type node struct {
	lines chan string
	end   context.CancelFunc
	ended chan error
}

// start serves with a simulated router in place of the home's.
func start(t *testing.T, gateway *simulated.Gateway) *node {
	t.Helper()
	t.Setenv("PORTLEASE_GATEWAY", fmt.Sprintf("%v,pcp=%d,ssdp=%d", gateway.Address, gateway.PCPPort, gateway.SSDP.Port()))
	ctx, end := context.WithCancel(context.Background())
	read, write := io.Pipe()
	n := &node{lines: make(chan string, 100), end: end, ended: make(chan error, 1)}
	go func() {
		n.ended <- run(ctx, write, []string{"serve", ":0"})
		write.Close()
	}()
	go func() {
		for lines := bufio.NewScanner(read); lines.Scan(); {
			n.lines <- lines.Text()
		}
	}()
	t.Cleanup(end)
	return n
}

// says waits for a line with this in it.
func (n *node) says(t *testing.T, what string) string {
	t.Helper()
	late := time.After(simulated.Patience)
	for {
		select {
		case line := <-n.lines:
			if strings.Contains(line, what) {
				return line
			}
		case err := <-n.ended:
			t.Fatalf("it has ended: %v", err)
		case <-late:
			t.Fatalf("it never says %q", what)
		}
	}
}

func TestARealNodeKnowsItsExternalEndpointAPeerConnectsAndNothingIsLeftBehind(t *testing.T) {
	gateway := simulated.Start(t, map[string]any{"external_address": "192.0.1.1"})
	served := start(t, gateway)
	url := served.says(t, "@192.0.1.1:")
	mappings := gateway.WaitForMappings(t, 2) // TCP, and UDP for discovery
	at := enode.MustParseV4(url)
	entered := false
	for _, mapped := range mappings {
		if mapped.Transport != portlease.TCP {
			continue
		}
		entered = true
		if int(mapped.ExternalPort) != at.TCP() {
			t.Errorf("the node's URL is %s, and the router has %+v", url, mapped)
		}
		var said bytes.Buffer
		outside := strings.Replace(url, fmt.Sprintf("@192.0.1.1:%d", at.TCP()), "@"+mapped.Reach.String(), 1)
		if err := run(context.Background(), &said, []string{"dial", outside}); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(said.String(), "connected to "+mapped.Reach.String()) {
			t.Errorf("it says %s", &said)
		}
	}
	if !entered {
		t.Fatalf("no TCP in %+v", mappings)
	}
	served.says(t, "a peer from ")
	served.end()
	if err := <-served.ended; err != nil {
		t.Error(err)
	}
	gateway.WaitForMappings(t, 0)
}

func TestARealNodeTellsThePortThatTheRouterGaveInsteadOfItsOwn(t *testing.T) {
	gateway := simulated.Start(t, map[string]any{"external_address": "192.0.1.1", "faults": map[string]any{"granted_port": 40404}})
	served := start(t, gateway)
	served.says(t, "@192.0.1.1:40404")
	served.end()
	if err := <-served.ended; err != nil {
		t.Error(err)
	}
	gateway.WaitForMappings(t, 0)
}
