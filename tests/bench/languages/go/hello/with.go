//go:build with_portlease

package main

import (
	"context"
	"net/netip"

	portlease "github.com/portlease/portlease/go"
)

func reach() (netip.AddrPort, error) {
	port, err := portlease.Open(context.Background(), portlease.Request{Port: 4000, Transport: portlease.UDP})
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer port.Close()
	return port.Snapshot().External, nil
}
