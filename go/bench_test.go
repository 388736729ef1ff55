package portlease_test

import (
	"context"
	"testing"

	portlease "github.com/portlease/portlease/go"
)

// mapped is a lease that is active, by PCP alone, on a simulated gateway.
func mapped(b *testing.B) (*portlease.Mapper, *portlease.Lease) {
	b.Helper()
	g := startGateway(b, nil)
	config := g.config()
	config.Protocols = []portlease.Protocol{portlease.PCP}
	mapper := startMapper(b, config)
	lease := mapUDP(b, mapper, 4000)
	if _, err := lease.Ready(patient(b)); err != nil {
		b.Fatal(err)
	}
	return mapper, lease
}

// BenchmarkLeaseSnapshot reads the state of an active lease.
func BenchmarkLeaseSnapshot(b *testing.B) {
	_, lease := mapped(b)
	b.ReportAllocs()
	for b.Loop() {
		if snapshot := lease.Snapshot(); !snapshot.Active {
			b.Fatal(snapshot)
		}
	}
}

// BenchmarkLeaseSnapshotParallel reads it from every processor at once.
func BenchmarkLeaseSnapshotParallel(b *testing.B) {
	_, lease := mapped(b)
	b.ReportAllocs()
	b.RunParallel(func(each *testing.PB) {
		for each.Next() {
			lease.Snapshot()
		}
	})
}

// BenchmarkMapperSnapshot reads the state of a mapper with one lease.
func BenchmarkMapperSnapshot(b *testing.B) {
	mapper, lease := mapped(b)
	defer lease.Close()
	b.ReportAllocs()
	for b.Loop() {
		if snapshot := mapper.Snapshot(); snapshot.Active != 1 {
			b.Fatal(snapshot)
		}
	}
}

// BenchmarkReady waits for what is there already: the price of a wait.
func BenchmarkReady(b *testing.B) {
	_, lease := mapped(b)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := lease.Ready(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMapStop maps a port on the simulated gateway by PCP, waits for the mapping, and releases it: two round trips.
func BenchmarkMapStop(b *testing.B) {
	mapper, _ := mapped(b)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		lease, err := mapper.Map(portlease.Request{Port: 5000, Transport: portlease.UDP})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := lease.Ready(ctx); err != nil {
			b.Fatal(err)
		}
		if _, err := lease.Stop(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
