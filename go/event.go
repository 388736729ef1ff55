package portlease

import (
	"log/slog"
	"net/netip"
	"time"
)

// Event is something that happened to a lease, or to all of them at once.
type Event struct {
	// Kind is what happened.
	Kind EventKind `json:"kind"`
	// Lease is the number of the lease; 0 if the event is about none: [EventNetworkChanged], and [EventFailed] for what no
	// lease depends on (LastError of [MapperSnapshot]).
	Lease uint64 `json:"lease,omitzero"`
	// Transport is the lease's; zero if the event is about no lease.
	Transport Transport `json:"transport,omitzero"`
	// Family is the lease's, [IPv4] for a port mapping, [IPv6] for a pinhole; it says nothing if the event is about no lease.
	Family AddressFamily `json:"family"`
	// InternalPort is the lease's local port; 0 if the event is about no lease.
	InternalPort uint16 `json:"internal_port,omitzero"`
	// External is the external address and port; not valid if there is no mapping or the gateway does not know its address.
	External netip.AddrPort `json:"external,omitzero"`
	// ExternalPort is the external port; 0 if there is no mapping.
	ExternalPort uint16 `json:"external_port,omitzero"`
	// Protocol is that of the mapping; zero if there is no mapping.
	Protocol Protocol `json:"protocol,omitzero"`
	// Lifetime is what the gateway granted; zero if there is no mapping or it is permanent.
	Lifetime time.Duration `json:"lifetime,omitzero"`
	// AddressClass is the class of the external address.
	AddressClass AddressClass `json:"address_class"`
	// Error says why, as an [*Error], for [EventFailed], [EventRevoked] and, if there is a reason, [EventExited]; else nil.
	Error error `json:"error,omitzero"`
	// Elapsed is how long the attempt took that this event ends; zero if it ends none.
	Elapsed time.Duration `json:"elapsed"`
	// Dropped counts the events that this reader lost just before this one because it did not read them in time.
	Dropped uint64 `json:"dropped"`
}

// LogValue is a group of the most important fields.
func (e Event) LogValue() slog.Value {
	attributes := []slog.Attr{slog.String("kind", e.Kind.String())}
	if e.Lease != 0 {
		attributes = append(attributes,
			slog.Uint64("lease", e.Lease),
			slog.String("transport", e.Transport.String()),
			slog.String("family", e.Family.String()),
			slog.Int("internal_port", int(e.InternalPort)),
		)
	}
	if e.ExternalPort != 0 {
		attributes = append(attributes,
			external(e.External, e.ExternalPort),
			slog.String("protocol", e.Protocol.String()),
			slog.String("address_class", e.AddressClass.String()),
		)
	}
	if e.Lifetime != 0 {
		attributes = append(attributes, slog.Duration("lifetime", e.Lifetime))
	}
	if e.Dropped != 0 {
		attributes = append(attributes, slog.Uint64("dropped", e.Dropped))
	}
	return slog.GroupValue(withError(attributes, e.Error)...)
}
