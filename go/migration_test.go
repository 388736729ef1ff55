package portlease_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	portlease "github.com/portlease/portlease/go"
	"github.com/portlease/portlease/go/internal/shown"
)

// TestMigrationShowsWhatTheExamplesDo: its code is that of the examples below, which run; only their router is simulated.
func TestMigrationShowsWhatTheExamplesDo(t *testing.T) {
	shown.Check(t, "MIGRATION.md", 3, atHome(shown.Code(t, "migration_test.go")))
}

// What a program has in place of a search, a mapping and a loop that renews it.
func Example_migrationFromALoopThatRenews() {
	config, end := simulatedRouter(nil)
	defer end()
	ctx := context.Background()

	mapper, err := portlease.Start(config) // searches nothing yet
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mapper.Close() // deletes what is mapped on the router

	lease, err := mapper.Map(portlease.Request{Port: 4000, Transport: portlease.UDP, Description: "my app"})
	if err != nil {
		fmt.Println(err)
		return
	}
	if snapshot, err := lease.Ready(ctx); err == nil {
		fmt.Println("external address:", snapshot.External)
	}
	// Output: external address: 192.0.1.1:4000
}

// A certain external port, or none.
func Example_migrationToAnExactPort() {
	config, end := simulatedRouter(map[string]any{"granted_port": 40404, "upnp": "off"})
	defer end()
	ctx := context.Background()
	mapper, err := portlease.Start(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mapper.Close()

	lease, err := mapper.Map(portlease.Request{Port: 4000, Transport: portlease.TCP, ExternalPort: 8000, Exact: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := lease.Ready(ctx); errors.Is(err, portlease.ErrRefused) {
		fmt.Println("port 8000 is not to be had")
	}
	// Output: port 8000 is not to be had
}

// What a program has in place of functions that are called when an address changes.
func Example_migrationFromACallback() {
	config, end := simulatedRouter(nil)
	defer end()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	mapper, err := portlease.Start(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mapper.Close()
	lease, err := mapper.Map(portlease.Request{Port: 4000, Transport: portlease.UDP})
	announce := func(external netip.AddrPort) {
		fmt.Println("tell the others:", external)
		cancel()
	}

	for seen := lease.Snapshot(); err == nil; seen, err = lease.Changed(ctx, seen.Revision) {
		if seen.External.IsValid() {
			announce(seen.External)
		}
	}
	// Output: tell the others: 192.0.1.1:4000
}
