package portlease

import (
	"log/slog"
	"net/netip"
	"time"
)

// Event is something that happened to a lease, or to all of them at once.
type Event struct {
	// Kind is what happened.
	Kind EventKind
	// Lease is the number of the lease; 0 where the event is about the whole machine ([EventNetworkChanged]).
	Lease uint64
	// Transport is the lease's, where there is one.
	Transport Transport
	// InternalPort is the lease's local port, 0 where the event is about no lease.
	InternalPort uint16
	// External is the address and port outside; not valid where there is no mapping.
	External netip.AddrPort
	// Protocol is that of the mapping; zero where there is none.
	Protocol Protocol
	// TTL is the granted lifetime; zero where there is no mapping or it is permanent.
	TTL time.Duration
	// AddressClass is the class of the external address.
	AddressClass AddressClass
	// Error says why, for [EventFailed], [EventRevoked] and, where there is a reason, [EventExited]; else nil.
	Error *Error
	// Elapsed is how long the attempt took that this event ends; zero where it ends none.
	Elapsed time.Duration
	// Dropped counts the events that were dropped just before this one because nobody pulled them.
	Dropped uint64
}

// LogValue is the group of what a log wants to have of an event.
func (e Event) LogValue() slog.Value {
	attributes := []slog.Attr{slog.String("kind", e.Kind.String())}
	if e.Lease != 0 {
		attributes = append(attributes,
			slog.Uint64("lease", e.Lease),
			slog.String("transport", e.Transport.String()),
			slog.Int("internal_port", int(e.InternalPort)),
		)
	}
	if e.External.IsValid() {
		attributes = append(attributes,
			slog.String("external", e.External.String()),
			slog.String("protocol", e.Protocol.String()),
			slog.String("address_class", e.AddressClass.String()),
		)
	}
	if e.TTL != 0 {
		attributes = append(attributes, slog.Duration("ttl", e.TTL))
	}
	if e.Dropped != 0 {
		attributes = append(attributes, slog.Uint64("dropped", e.Dropped))
	}
	return slog.GroupValue(withError(attributes, e.Error)...)
}
