// Package natmanager lets a go-libp2p host map its ports by portlease: PCP, NAT-PMP and UPnP, kept for as long as the host runs.
//
//	mapper, err := portlease.Start(portlease.Config{})
//	if err != nil {
//		return err
//	}
//	defer mapper.Close() // after the host
//	host, err := libp2p.New(libp2p.NATManager(natmanager.New(mapper)))
package natmanager

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	logging "github.com/libp2p/go-libp2p/gologshim"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	portlease "github.com/portlease/portlease/go"
)

// patience is how long Close waits for the router at most.
const patience = 5 * time.Second

var log = logging.Logger("portlease")

// New gives what the option libp2p.NATManager takes. For each port on which the host listens over TCP or UDP there is a lease of
// the mapper while the host listens: a port mapping for IPv4, a pinhole in the router's firewall for IPv6. The mapper may have
// other leases and other hosts as well; it must not have leases on ports of the host.
//
// The host closes the manager, which waits up to 5 s for the router to delete the mappings. The mapper is closed by its owner.
func New(mapper *portlease.Mapper) func(network.Network) basichost.NATManager {
	return func(n network.Network) basichost.NATManager {
		m := &manager{mapper: mapper, network: n, leases: map[endpoint]*portlease.Lease{}}
		m.watch = &network.NotifyBundle{
			ListenF:      func(network.Network, ma.Multiaddr) { m.sync() },
			ListenCloseF: func(network.Network, ma.Multiaddr) { m.sync() },
		}
		n.Notify(m.watch)
		m.sync()
		return m
	}
}

// manager is a basichost.NATManager.
type manager struct {
	mapper  *portlease.Mapper
	network network.Network
	watch   network.Notifiee

	mutex  sync.Mutex
	leases map[endpoint]*portlease.Lease
	// Those that were told to end, for Close to wait for.
	ending []*portlease.Lease
	closed bool
}

// endpoint is what one lease is for. Listeners of several protocols, such as QUIC and WebTransport, share it.
type endpoint struct {
	family    portlease.AddressFamily
	transport portlease.Transport
	port      uint16
}

// sync makes a lease for each port on which the network listens, and ends those on which it does not listen any more. It never
// waits: it runs where the network tells of its listeners.
func (m *manager) sync() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.closed {
		return
	}
	wanted := map[endpoint]bool{}
	for _, address := range m.network.ListenAddresses() {
		if e, _, _, ok := read(address); ok {
			wanted[e] = true
		}
	}
	for e, lease := range m.leases {
		if !wanted[e] {
			m.end(e, lease)
		}
	}
	for e := range wanted {
		if m.leases[e] != nil {
			continue
		}
		lease, err := m.mapper.Map(portlease.Request{Port: e.port, Transport: e.transport, Family: e.family, Description: "libp2p"})
		if err != nil {
			log.Error("failed to port-map", "transport", e.transport, "port", e.port, "family", e.family, "err", err)
			continue
		}
		m.leases[e] = lease
	}
}

// end begins to release a mapping.
func (m *manager) end(e endpoint, lease *portlease.Lease) {
	delete(m.leases, e)
	over, cancel := context.WithCancel(context.Background())
	cancel()
	lease.Stop(over) // a context that has ended: only begins it
	m.ending = append(m.ending, lease)
}

// GetMapping is the external address of an address on which the host listens, as it is now; nil if it has none.
func (m *manager) GetMapping(address ma.Multiaddr) ma.Multiaddr {
	e, ip, rest, ok := read(address)
	if !ok {
		return nil
	}
	m.mutex.Lock()
	lease := m.leases[e]
	m.mutex.Unlock()
	if lease == nil {
		return nil
	}
	external := lease.External()
	if !external.IsValid() || !m.arrives(e, ip, external) {
		return nil
	}
	var public net.Addr = net.TCPAddrFromAddrPort(external)
	if e.transport == portlease.UDP {
		public = net.UDPAddrFromAddrPort(external)
	}
	mapped, err := manet.FromNetAddr(public)
	if err != nil {
		log.Error("external address is no multiaddr", "address", public, "err", err)
		return nil
	}
	return ma.Join(mapped, rest)
}

// arrives tells whether a listener on this address gets what the router forwards: one on another address of this machine does not.
func (m *manager) arrives(e endpoint, ip netip.Addr, external netip.AddrPort) bool {
	switch {
	case ip.IsUnspecified():
		return true
	case e.family == portlease.IPv6:
		return ip == external.Addr()
	default:
		return ip == m.mapper.Snapshot().LocalAddress
	}
}

// HasDiscoveredNAT says whether a router has answered by any of the protocols.
func (m *manager) HasDiscoveredNAT() bool {
	return len(m.mapper.Snapshot().Protocols) > 0
}

// Close ends the leases and waits until the router has deleted the mappings, 5 s at most. Its error is nil however that went:
// what stays ends with its lifetime.
func (m *manager) Close() error {
	m.network.StopNotify(m.watch)
	m.mutex.Lock()
	m.closed = true
	for e, lease := range m.leases {
		m.end(e, lease)
	}
	ending := m.ending
	m.ending = nil
	m.mutex.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, lease := range ending {
		lease.Stop(ctx)
	}
	return nil
}

// read takes an address on which a host listens apart: what its lease is for, the IP address, and what comes behind the port.
// Nothing from the internet arrives at loopback and link-local addresses, so they are left out.
func read(address ma.Multiaddr) (e endpoint, ip netip.Addr, rest ma.Multiaddr, ok bool) {
	first, rest := ma.SplitFirst(address)
	second, rest := ma.SplitFirst(rest)
	if first == nil || second == nil {
		return e, ip, rest, false
	}
	switch first.Protocol().Code {
	case ma.P_IP4:
		e.family = portlease.IPv4
	case ma.P_IP6:
		e.family = portlease.IPv6
	default:
		return e, ip, rest, false
	}
	switch second.Protocol().Code {
	case ma.P_TCP:
		e.transport = portlease.TCP
	case ma.P_UDP:
		e.transport = portlease.UDP
	default:
		return e, ip, rest, false
	}
	e.port = binary.BigEndian.Uint16(second.RawValue())
	ip, _ = netip.AddrFromSlice(first.RawValue())
	return e, ip, rest, ip.IsUnspecified() || ip.IsGlobalUnicast()
}
