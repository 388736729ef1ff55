package portlease

import (
	"log/slog"
	"net/netip"
	"time"
)

// LeaseSnapshot is one lease at one moment. It is a copy: it does not change. In JSON times are seconds, and what there is
// not is left out, in all structs of this package.
type LeaseSnapshot struct {
	// ID is the lease's number within its mapper, from 1.
	ID uint64 `json:"id"`
	// Revision is the number of this state. It grows with each change; [Lease.Changed] waits for another.
	Revision uint64 `json:"revision"`
	// State is where the lease stands.
	State LeaseState `json:"state"`
	// Active says whether a granted, unexpired mapping is published.
	Active bool `json:"active"`
	// External is the external address and port; not valid while not active or if the gateway does not know its address.
	External netip.AddrPort `json:"external,omitzero"`
	// ExternalPort is the external port; 0 while not active.
	ExternalPort uint16 `json:"external_port,omitzero"`
	// InternalPort is the local port.
	InternalPort uint16 `json:"internal_port"`
	// Transport is [UDP] or [TCP].
	Transport Transport `json:"transport"`
	// Family is [IPv4] for a port mapping, [IPv6] for a pinhole.
	Family AddressFamily `json:"family"`
	// Protocol is what made the mapping; zero while not active.
	Protocol Protocol `json:"protocol,omitzero"`
	// Lifetime is what the gateway granted; zero while not active or if the mapping is permanent.
	Lifetime time.Duration `json:"lifetime,omitzero"`
	// ExpiresIn is the time until the gateway ends the mapping if it is not renewed; zero as for Lifetime.
	ExpiresIn time.Duration `json:"expires_in,omitzero"`
	// RenewsIn is the time until the next renewal is due; zero while not active.
	RenewsIn time.Duration `json:"renews_in,omitzero"`
	// Permanent says whether the mapping stays on the gateway until it is deleted.
	Permanent bool `json:"permanent"`
	// Renewals counts the successful ones, of the present mapping and of those before it.
	Renewals uint64 `json:"renewals"`
	// Failures counts the consecutive ones: of renewals while active, of attempts to map otherwise.
	Failures uint32 `json:"failures"`
	// LastError is the latest failure, an [*Error]; nil after a success.
	LastError error `json:"last_error,omitzero"`
	// NATClass is [NATOpen] while active with a public external address.
	NATClass NATClass `json:"nat_class"`
	// AddressClass says whether the internet can reach the external address; [AddressUnknown] while not active.
	AddressClass AddressClass `json:"address_class"`
}

// LogValue is a group of the most important fields.
func (s LeaseSnapshot) LogValue() slog.Value {
	attributes := []slog.Attr{
		slog.Uint64("id", s.ID),
		slog.String("state", s.State.String()),
		slog.String("transport", s.Transport.String()),
		slog.String("family", s.Family.String()),
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
	// Gateway is the router, once it was looked for and found; not valid before. A link-local address has its zone.
	Gateway netip.Addr `json:"gateway,omitzero"`
	// LocalAddress is the address to which the gateway forwards; not valid until it is known.
	LocalAddress netip.Addr `json:"local_address,omitzero"`
	// Protocols are those by which the gateway has answered so far.
	Protocols []Protocol `json:"protocols"`
	// Active counts the leases with a granted, unexpired mapping.
	Active int `json:"active"`
	// Renewals counts the successful ones of all leases together.
	Renewals uint64 `json:"renewals"`
	// EventsDropped counts the events that were dropped before anybody had read them.
	EventsDropped uint64 `json:"events_dropped"`
	// Leases are all that have not exited, by number.
	Leases []LeaseSnapshot `json:"leases"`
	// LastError is the last thing that did not work and that no lease depends on, such as writing to StateDir, as an
	// [*Error]; nil if there was none.
	LastError error `json:"last_error,omitzero"`
	// Stopped says whether the mapper was stopped.
	Stopped bool `json:"stopped"`
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
	// Gateway is the router's address; a link-local one has its zone.
	Gateway netip.Addr `json:"gateway,omitzero"`
	// LocalAddress is the address from which the gateway is reached.
	LocalAddress netip.Addr `json:"local_address,omitzero"`
	// Interface is that of the default route, empty if it is not known.
	Interface string `json:"interface,omitzero"`
	// Protocols has one entry for each configured protocol that has the family (NAT-PMP has no IPv6), in that order.
	Protocols []ProtocolReport `json:"protocols"`
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
	Protocol Protocol `json:"protocol,omitzero"`
	// ExternalAddress is the gateway's external address; not valid if the gateway has none or the protocol cannot tell
	// without mapping.
	ExternalAddress netip.Addr `json:"external_address,omitzero"`
	// Device is the router's name (UPnP), or empty.
	Device string `json:"device,omitzero"`
	// RoundTrip is how long the answer took; for UPnP from the search to the last answer.
	RoundTrip time.Duration `json:"round_trip,omitzero"`
	// Error is why there was no answer, an [*Error]; nil if there was one.
	Error error `json:"error,omitzero"`
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

func withError(attributes []slog.Attr, err error) []slog.Attr {
	if err != nil {
		attributes = append(attributes, slog.Any("error", err))
	}
	return attributes
}
