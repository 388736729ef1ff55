package portlease_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	portlease "github.com/portlease/portlease/go"
)

// simulatedRouter starts a home router for an example and gives the configuration that uses it. At home the
// configuration is portlease.Config{}.
func simulatedRouter(faults map[string]any) (portlease.Config, func()) {
	settings := map[string]any{"external_address": "192.0.1.1"}
	if faults != nil {
		settings["faults"] = faults
	}
	gateway, err := newGateway(settings)
	if err != nil {
		panic(err)
	}
	return gateway.config(), gateway.Close
}

// One port: start, map and wait in one call.
func ExampleOpen() {
	config, end := simulatedRouter(nil) // at home: leave config out
	defer end()
	ctx := context.Background()

	port, err := portlease.Open(ctx, portlease.Request{Port: 4000, Transport: portlease.UDP}, config)
	if err != nil {
		fmt.Println("not reachable:", err)
		return
	}
	defer port.Close() // deletes the mapping on the router

	fmt.Println("external address:", port.Snapshot().External)
	// Output: external address: 192.0.1.1:4000
}

// Many ports on one mapper, which talks to the router once for all.
func ExampleStart() {
	config, end := simulatedRouter(nil) // at home: portlease.Config{}
	defer end()

	mapper, err := portlease.Start(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mapper.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, request := range []portlease.Request{
		{Port: 4000, Transport: portlease.UDP},
		{Port: 8080, Transport: portlease.TCP, ExternalPort: 8000, Exact: true},
	} {
		lease, err := mapper.Map(request) // returns at once
		if err != nil {
			fmt.Println(err)
			return
		}
		snapshot, err := lease.Ready(ctx)
		if err != nil {
			fmt.Println("not yet:", err) // portlease keeps trying in the background
			continue
		}
		fmt.Println(snapshot.Transport, snapshot.InternalPort, "is", snapshot.External, "by", snapshot.Protocol)
	}
	// Output:
	// udp 4000 is 192.0.1.1:4000 by pcp
	// tcp 8080 is 192.0.1.1:8000 by pcp
}

// Both address families are two leases. At home the second line is ipv6 [2001:db8::7]:4000, if the router can be asked; this
// simulated one has no IPv6.
func ExampleMapper_Map_ipv6() {
	config, end := simulatedRouter(nil) // at home: portlease.Config{}
	defer end()
	mapper, err := portlease.Start(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mapper.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	for _, family := range []portlease.AddressFamily{portlease.IPv4, portlease.IPv6} {
		lease, err := mapper.Map(portlease.Request{Port: 4000, Transport: portlease.UDP, Family: family})
		if err != nil {
			fmt.Println(err)
			return
		}
		if snapshot, err := lease.Ready(ctx); err == nil { // one may fail without the other
			fmt.Println(snapshot.Family, snapshot.External)
		}
	}
	// Output: ipv4 192.0.1.1:4000
}

// Events are pulled. The loop ends when the mapper is stopped, and with an error when the context ends.
func ExampleMapper_Events() {
	config, end := simulatedRouter(nil)
	defer end()
	mapper, err := portlease.Start(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mapper.Close()
	lease, err := mapper.Map(portlease.Request{Port: 4000, Transport: portlease.UDP})
	if err != nil {
		fmt.Println(err)
		return
	}

	go func() { // what a program does meanwhile
		lease.Ready(context.Background())
		mapper.Close()
	}()

	for event, err := range mapper.Events(context.Background()) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(event.Kind, event.External)
	}
	// Output:
	// installed 192.0.1.1:4000
	// exited invalid AddrPort
}

// A router may refuse, which is normal.
func ExampleError() {
	config, end := simulatedRouter(map[string]any{"pcp": map[string]any{"refuse": 2}, "nat_pmp": "off", "upnp": "off"})
	defer end()

	_, err := portlease.Open(context.Background(), portlease.Request{Port: 4000, Transport: portlease.UDP}, config)
	switch {
	case errors.Is(err, portlease.ErrRefused):
		fmt.Println("the router refused")
	case errors.Is(err, portlease.ErrUnavailable):
		fmt.Println("no router here can map ports")
	case err != nil:
		fmt.Println(err)
	}
	// Output: the router refused
}

// Probe asks the router what it offers and maps nothing.
func ExampleMapper_Probe() {
	config, end := simulatedRouter(map[string]any{"nat_pmp": "off"})
	defer end()
	mapper, err := portlease.Start(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mapper.Close()

	report, err := mapper.Probe(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, protocol := range report.Protocols {
		fmt.Println(protocol.Protocol, protocol.Error == nil)
	}
	// Output:
	// pcp true
	// nat-pmp false
	// upnp true
}
