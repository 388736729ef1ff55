package portlease

import (
	"log/slog"
	"net/netip"
	"time"
)

// LeaseSnapshot is one lease at one moment. It is a copy: it does not change.
type LeaseSnapshot struct {
	// ID is the lease's number within its mapper, from 1.
	ID uint64
	// Revision is the number of this state. It grows with each change; [Lease.Changed] waits for another.
	Revision uint64
	// State is where the lease stands.
	State LeaseState
	// Active says whether a granted, unexpired mapping is published.
	Active bool
	// External is the external address and port; not valid while not active or if the gateway does not know its address.
	External netip.AddrPort
	// ExternalPort is the external port; 0 while not active.
	ExternalPort uint16
	// InternalPort is the local port.
	InternalPort uint16
	// Transport is [UDP] or [TCP].
	Transport Transport
	// Protocol is what made the mapping; zero while not active.
	Protocol Protocol
	// Lifetime is what the gateway granted; zero while not active or if the mapping is permanent.
	Lifetime time.Duration
	// ExpiresIn is the time until the gateway ends the mapping if it is not renewed; zero as for Lifetime.
	ExpiresIn time.Duration
	// RenewsIn is the time until the next renewal is due; zero while not active.
	RenewsIn time.Duration
	// Permanent says whether the mapping stays on the gateway until it is deleted.
	Permanent bool
	// Renewals counts the successful ones, of the present mapping and of those before it.
	Renewals uint64
	// Failures counts the consecutive ones: of renewals while active, of attempts to map otherwise.
	Failures uint32
	// LastError is the latest failure, nil after a success.
	LastError *Error
	// NATClass is [NATOpen] while active with a public external address.
	NATClass NATClass
	// AddressClass says whether the internet can reach the external address; [AddressUnknown] while not active.
	AddressClass AddressClass
}

// LogValue is a group of the most important fields.
func (s LeaseSnapshot) LogValue() slog.Value {
	attributes := []slog.Attr{
		slog.Uint64("id", s.ID),
		slog.String("state", s.State.String()),
		slog.String("transport", s.Transport.String()),
		slog.Int("internal_port", int(s.InternalPort)),
	}
	if s.Active {
		attributes = append(attributes,
			external(s.External, s.ExternalPort),
			slog.String("protocol", s.Protocol.String()),
			slog.String("address_class", s.AddressClass.String()),
			slog.Uint64("renewals", s.Renewals),
		)
		if !s.Permanent {
			attributes = append(attributes, slog.Duration("expires_in", s.ExpiresIn))
		}
	}
	return slog.GroupValue(withError(attributes, s.LastError)...)
}

// MapperSnapshot is a mapper at one moment. It is a copy: it does not change.
type MapperSnapshot struct {
	// Gateway is the router, once it was looked for and found; not valid before.
	Gateway netip.Addr
	// LocalAddress is the address to which the gateway forwards; not valid until it is known.
	LocalAddress netip.Addr
	// Protocols are those by which the gateway has answered so far.
	Protocols []Protocol
	// Active counts the leases with a granted, unexpired mapping.
	Active int
	// Renewals counts the successful ones of all leases together.
	Renewals uint64
	// EventsDropped counts the events that were dropped before anybody had read them.
	EventsDropped uint64
	// Leases are all that have not exited, by number.
	Leases []LeaseSnapshot
	// LastError is the last thing that did not work and that no lease depends on, such as writing to StateDir; nil if there
	// was none.
	LastError *Error
	// Stopped says whether the mapper was stopped.
	Stopped bool
}

// LogValue is a group of the most important fields.
func (s MapperSnapshot) LogValue() slog.Value {
	attributes := []slog.Attr{
		slog.Int("active", s.Active),
		slog.Int("leases", len(s.Leases)),
		slog.Uint64("renewals", s.Renewals),
		slog.Bool("stopped", s.Stopped),
	}
	return slog.GroupValue(withError(withAddresses(attributes, s.Gateway, s.LocalAddress), s.LastError)...)
}

// GatewayReport is what a gateway offers, asked without mapping anything.
type GatewayReport struct {
	// Gateway is the router's address.
	Gateway netip.Addr
	// LocalAddress is the address from which the gateway is reached.
	LocalAddress netip.Addr
	// Interface is that of the default route, empty if it is not known.
	Interface string
	// Protocols has one entry for each configured protocol, in that order.
	Protocols []ProtocolReport
}

// LogValue is the group of the gateway's address and of each protocol's answer.
func (r GatewayReport) LogValue() slog.Value {
	attributes := withAddresses(nil, r.Gateway, r.LocalAddress)
	for _, protocol := range r.Protocols {
		attributes = append(attributes, slog.Any(protocol.Protocol.String(), protocol))
	}
	return slog.GroupValue(attributes...)
}

// ProtocolReport is one protocol's part of a [GatewayReport].
type ProtocolReport struct {
	// Protocol is the one that was asked.
	Protocol Protocol
	// ExternalAddress is the gateway's external address; not valid if the gateway has none or the protocol cannot tell
	// without mapping.
	ExternalAddress netip.Addr
	// Device is the router's name (UPnP), or empty.
	Device string
	// RoundTrip is how long the answer took; for UPnP from the search to the last answer.
	RoundTrip time.Duration
	// Error is why there was no answer, nil if there was one.
	Error *Error
}

// LogValue is the group of the answer or the failure.
func (r ProtocolReport) LogValue() slog.Value {
	if r.Error != nil {
		return slog.GroupValue(slog.Any("error", r.Error))
	}
	attributes := []slog.Attr{slog.Duration("round_trip", r.RoundTrip)}
	if r.ExternalAddress.IsValid() {
		attributes = append(attributes, slog.String("external_address", r.ExternalAddress.String()))
	}
	if r.Device != "" {
		attributes = append(attributes, slog.String("device", r.Device))
	}
	return slog.GroupValue(attributes...)
}

// external is the external address and port, or the port alone if the gateway does not know its address.
func external(endpoint netip.AddrPort, port uint16) slog.Attr {
	if endpoint.IsValid() {
		return slog.String("external", endpoint.String())
	}
	return slog.Int("external_port", int(port))
}

func withAddresses(attributes []slog.Attr, gateway, local netip.Addr) []slog.Attr {
	if gateway.IsValid() {
		attributes = append(attributes, slog.String("gateway", gateway.String()))
	}
	if local.IsValid() {
		attributes = append(attributes, slog.String("local_address", local.String()))
	}
	return attributes
}

func withError(attributes []slog.Attr, err *Error) []slog.Attr {
	if err != nil {
		attributes = append(attributes, slog.Any("error", err))
	}
	return attributes
}
