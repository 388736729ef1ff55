//go:build !cgo

package portlease

import (
	"context"
	"iter"
	"net/netip"
)

// errNoCgo is what every call answers in a build without cgo. Such a build has the same types and functions, so that a
// program that depends on this package can be built for any system.
var errNoCgo = &Error{
	Kind: KindUnavailable,
	Message: "cannot map ports: this program was built without cgo; " +
		"build it with CGO_ENABLED=1 and a C compiler",
	Advice: "build this program with CGO_ENABLED=1 and a C compiler",
}

// Mapper is a background engine that maps ports on the home router; without cgo there is none.
type Mapper struct{ _ struct{} }

// Lease is the promise to keep one port mapped; without cgo there is none.
type Lease struct{ _ struct{} }

// Start fails with [ErrUnavailable]: this program was built without cgo.
func Start(Config) (*Mapper, error) { return nil, errNoCgo }

// Map fails with [ErrUnavailable].
func (m *Mapper) Map(Request) (*Lease, error) { return nil, errNoCgo }

// Ensure fails with [ErrUnavailable].
func (m *Mapper) Ensure(Request) (*Lease, error) { return nil, errNoCgo }

// MapBoth fails with [ErrUnavailable].
func (m *Mapper) MapBoth(Request) (udp, tcp *Lease, err error) { return nil, nil, errNoCgo }

// Leases are none.
func (m *Mapper) Leases() []*Lease { return nil }

// ExternalAddress fails with [ErrUnavailable].
func (m *Mapper) ExternalAddress(context.Context) (netip.Addr, error) { return netip.Addr{}, errNoCgo }

// Table fails with [ErrUnavailable].
func (m *Mapper) Table(context.Context) ([]TableEntry, error) { return nil, errNoCgo }

// Delete fails with [ErrUnavailable].
func (m *Mapper) Delete(context.Context, Transport, uint16, bool) (*TableEntry, error) {
	return nil, errNoCgo
}

// Probe fails with [ErrUnavailable].
func Probe(context.Context, ...Config) (GatewayReport, error) { return GatewayReport{}, errNoCgo }

// ProbeFamily fails with [ErrUnavailable].
func ProbeFamily(context.Context, AddressFamily, ...Config) (GatewayReport, error) {
	return GatewayReport{}, errNoCgo
}

// ExternalAddress fails with [ErrUnavailable].
func ExternalAddress(context.Context, ...Config) (netip.Addr, error) { return netip.Addr{}, errNoCgo }

// Snapshot is of a mapper that does nothing.
func (m *Mapper) Snapshot() MapperSnapshot { return MapperSnapshot{Stopped: true} }

// NextEvent fails with [ErrUnavailable].
func (m *Mapper) NextEvent(context.Context) (Event, error) { return Event{}, errNoCgo }

// Events are none, but for [ErrUnavailable].
func (m *Mapper) Events(context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) { yield(Event{}, errNoCgo) }
}

// Probe fails with [ErrUnavailable].
func (m *Mapper) Probe(context.Context) (GatewayReport, error) { return GatewayReport{}, errNoCgo }

// ProbeFamily fails with [ErrUnavailable].
func (m *Mapper) ProbeFamily(context.Context, AddressFamily) (GatewayReport, error) {
	return GatewayReport{}, errNoCgo
}

// NetworkChanged does nothing.
func (m *Mapper) NetworkChanged() {}

// Stop has nothing to release.
func (m *Mapper) Stop(context.Context) (Release, error) { return Released, nil }

// Close has nothing to release.
func (m *Mapper) Close() error { return nil }

// ID is 0.
func (l *Lease) ID() uint64 { return 0 }

// Ready fails with [ErrUnavailable].
func (l *Lease) Ready(context.Context) (LeaseSnapshot, error) { return l.Snapshot(), errNoCgo }

// Changed fails with [ErrUnavailable].
func (l *Lease) Changed(context.Context, uint64) (LeaseSnapshot, error) {
	return l.Snapshot(), errNoCgo
}

// Repair fails with [ErrUnavailable].
func (l *Lease) Repair(context.Context) (LeaseSnapshot, error) { return l.Snapshot(), errNoCgo }

// State is that of a lease that is over.
func (l *Lease) State() LeaseState { return StateExited }

// Active is false.
func (l *Lease) Active() bool { return false }

// External is not valid.
func (l *Lease) External() netip.AddrPort { return netip.AddrPort{} }

// ExternalPort is 0.
func (l *Lease) ExternalPort() uint16 { return 0 }

// Protocol is none.
func (l *Lease) Protocol() Protocol { return 0 }

// AddressClass is not known.
func (l *Lease) AddressClass() AddressClass { return AddressUnknown }

// Snapshot is of a lease that is over.
func (l *Lease) Snapshot() LeaseSnapshot { return LeaseSnapshot{State: StateExited} }

// Stop has nothing to release.
func (l *Lease) Stop(context.Context) (Release, error) { return Released, nil }

// Close has nothing to release.
func (l *Lease) Close() error { return nil }

// Detach has nothing to leave.
func (l *Lease) Detach(context.Context) (Release, error) { return Released, nil }
