// Code generated from include/portlease.h by internal/gen; DO NOT EDIT.

package portlease

import "strconv"

// Kind is the stable name of what went wrong.
type Kind uint8

const (
	// No gateway, or none of the protocols answered, or the gateway says that it has no such service.
	KindUnavailable Kind = 1
	// A call ran past its deadline.
	KindTimeout Kind = 2
	// A socket-level error on the way to the gateway.
	KindTransport Kind = 3
	// The gateway answered no; the message has protocol and code.
	KindRefused Kind = 4
	// An argument of the caller; the message names it and says what is allowed.
	KindInvalid Kind = 5
	// The handle is stopped, or belongs to the process before a fork.
	KindStopped Kind = 6
	// A defect in portlease.
	KindInternal Kind = 7
)

// One sentinel for each kind, for errors.Is.
var (
	ErrUnavailable error = sentinel(KindUnavailable)
	ErrTimeout     error = sentinel(KindTimeout)
	ErrTransport   error = sentinel(KindTransport)
	ErrRefused     error = sentinel(KindRefused)
	ErrInvalid     error = sentinel(KindInvalid)
	ErrStopped     error = sentinel(KindStopped)
	ErrInternal    error = sentinel(KindInternal)
)

// String is the stable string, the same in every language.
func (v Kind) String() string {
	switch v {
	case 0:
		return ""
	case KindUnavailable:
		return "unavailable"
	case KindTimeout:
		return "timeout"
	case KindTransport:
		return "transport"
	case KindRefused:
		return "refused"
	case KindInvalid:
		return "invalid"
	case KindStopped:
		return "stopped"
	case KindInternal:
		return "internal"
	}
	return "Kind(" + strconv.Itoa(int(v)) + ")"
}

// MarshalText gives the stable string.
func (v Kind) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads a stable string. Any other text is [ErrInvalid].
func (v *Kind) UnmarshalText(text []byte) error {
	switch string(text) {
	case "":
		*v = 0
	case "unavailable":
		*v = KindUnavailable
	case "timeout":
		*v = KindTimeout
	case "transport":
		*v = KindTransport
	case "refused":
		*v = KindRefused
	case "invalid":
		*v = KindInvalid
	case "stopped":
		*v = KindStopped
	case "internal":
		*v = KindInternal
	default:
		return invalid("kind", "`%s` is not one of unavailable, timeout, transport, refused, invalid, stopped, internal", text)
	}
	return nil
}

// LeaseState is where a lease stands.
type LeaseState uint8

const (
	// Not begun, or waiting for the next attempt.
	StateIdle LeaseState = 0
	// Asking the gateway for a mapping.
	StateProbing LeaseState = 1
	// Mapped.
	StateInstalled LeaseState = 2
	// Mapped, and asking the gateway to keep it.
	StateRenewing LeaseState = 3
	// The mapping was lost: renewals failed or its lifetime ran out.
	StateRevoked LeaseState = 4
	// Over: stopped, or failed without retry.
	StateExited LeaseState = 5
)

// String is the stable string, the same in every language.
func (v LeaseState) String() string {
	switch v {
	case StateIdle:
		return "idle"
	case StateProbing:
		return "probing"
	case StateInstalled:
		return "installed"
	case StateRenewing:
		return "renewing"
	case StateRevoked:
		return "revoked"
	case StateExited:
		return "exited"
	}
	return "LeaseState(" + strconv.Itoa(int(v)) + ")"
}

// MarshalText gives the stable string.
func (v LeaseState) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads a stable string. Any other text is [ErrInvalid].
func (v *LeaseState) UnmarshalText(text []byte) error {
	switch string(text) {
	case "idle":
		*v = StateIdle
	case "probing":
		*v = StateProbing
	case "installed":
		*v = StateInstalled
	case "renewing":
		*v = StateRenewing
	case "revoked":
		*v = StateRevoked
	case "exited":
		*v = StateExited
	default:
		return invalid("state", "`%s` is not one of idle, probing, installed, renewing, revoked, exited", text)
	}
	return nil
}

// EventKind is what happened.
type EventKind uint8

const (
	// The gateway granted a mapping.
	EventInstalled EventKind = 1
	// The gateway granted the same mapping again.
	EventRenewed EventKind = 2
	// A renewal brought another external address.
	EventChanged EventKind = 3
	// An attempt to map or to renew failed; the lease goes on.
	EventFailed EventKind = 4
	// The mapping was lost.
	EventRevoked EventKind = 5
	// The lease is over.
	EventExited EventKind = 6
	// The machine's network changed; about no lease.
	EventNetworkChanged EventKind = 7
)

// String is the stable string, the same in every language.
func (v EventKind) String() string {
	switch v {
	case 0:
		return ""
	case EventInstalled:
		return "installed"
	case EventRenewed:
		return "renewed"
	case EventChanged:
		return "changed"
	case EventFailed:
		return "failed"
	case EventRevoked:
		return "revoked"
	case EventExited:
		return "exited"
	case EventNetworkChanged:
		return "network-changed"
	}
	return "EventKind(" + strconv.Itoa(int(v)) + ")"
}

// MarshalText gives the stable string.
func (v EventKind) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads a stable string. Any other text is [ErrInvalid].
func (v *EventKind) UnmarshalText(text []byte) error {
	switch string(text) {
	case "":
		*v = 0
	case "installed":
		*v = EventInstalled
	case "renewed":
		*v = EventRenewed
	case "changed":
		*v = EventChanged
	case "failed":
		*v = EventFailed
	case "revoked":
		*v = EventRevoked
	case "exited":
		*v = EventExited
	case "network-changed":
		*v = EventNetworkChanged
	default:
		return invalid("event_kind", "`%s` is not one of installed, renewed, changed, failed, revoked, exited, network-changed", text)
	}
	return nil
}

// Protocol is what made a mapping. The zero value means that there is none.
type Protocol uint8

const (
	// Port Control Protocol (RFC 6887).
	PCP Protocol = 1
	// NAT Port Mapping Protocol (RFC 6886).
	NATPMP Protocol = 2
	// UPnP Internet Gateway Device 1 or 2.
	UPnP Protocol = 3
	// None was needed: this host has a public address of its own. Cannot be asked for.
	ProtocolNone Protocol = 4
)

// String is the stable string, the same in every language.
func (v Protocol) String() string {
	switch v {
	case 0:
		return ""
	case PCP:
		return "pcp"
	case NATPMP:
		return "nat-pmp"
	case UPnP:
		return "upnp"
	case ProtocolNone:
		return "none"
	}
	return "Protocol(" + strconv.Itoa(int(v)) + ")"
}

// MarshalText gives the stable string.
func (v Protocol) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads a stable string. Any other text is [ErrInvalid].
func (v *Protocol) UnmarshalText(text []byte) error {
	switch string(text) {
	case "":
		*v = 0
	case "pcp":
		*v = PCP
	case "nat-pmp":
		*v = NATPMP
	case "upnp":
		*v = UPnP
	case "none":
		*v = ProtocolNone
	default:
		return invalid("protocol", "`%s` is not one of pcp, nat-pmp, upnp, none", text)
	}
	return nil
}

// Transport is the transport protocol of a port. The zero value is neither.
type Transport uint8

const (
	// UDP.
	UDP Transport = 1
	// TCP.
	TCP Transport = 2
)

// String is the stable string, the same in every language.
func (v Transport) String() string {
	switch v {
	case 0:
		return ""
	case UDP:
		return "udp"
	case TCP:
		return "tcp"
	}
	return "Transport(" + strconv.Itoa(int(v)) + ")"
}

// MarshalText gives the stable string.
func (v Transport) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads a stable string. Any other text is [ErrInvalid].
func (v *Transport) UnmarshalText(text []byte) error {
	switch string(text) {
	case "":
		*v = 0
	case "udp":
		*v = UDP
	case "tcp":
		*v = TCP
	default:
		return invalid("transport", "`%s` is not one of udp, tcp", text)
	}
	return nil
}

// AddressFamily is the address family of a mapping.
type AddressFamily uint8

const (
	// An IPv4 port mapping through NAT.
	IPv4 AddressFamily = 0
)

// String is the stable string, the same in every language.
func (v AddressFamily) String() string {
	switch v {
	case IPv4:
		return "ipv4"
	}
	return "AddressFamily(" + strconv.Itoa(int(v)) + ")"
}

// MarshalText gives the stable string.
func (v AddressFamily) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads a stable string. Any other text is [ErrInvalid].
func (v *AddressFamily) UnmarshalText(text []byte) error {
	switch string(text) {
	case "ipv4":
		*v = IPv4
	default:
		return invalid("family", "`%s` is not one of ipv4", text)
	}
	return nil
}

// NATClass says whether the port can be assumed open to the other side of the NAT.
type NATClass uint8

const (
	// Nothing is known.
	NATUnknown NATClass = 0
	// A granted, unexpired mapping is published.
	NATOpen NATClass = 1
)

// String is the stable string, the same in every language.
func (v NATClass) String() string {
	switch v {
	case NATUnknown:
		return "unknown"
	case NATOpen:
		return "open"
	}
	return "NATClass(" + strconv.Itoa(int(v)) + ")"
}

// MarshalText gives the stable string.
func (v NATClass) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads a stable string. Any other text is [ErrInvalid].
func (v *NATClass) UnmarshalText(text []byte) error {
	switch string(text) {
	case "unknown":
		*v = NATUnknown
	case "open":
		*v = NATOpen
	default:
		return invalid("nat_class", "`%s` is not one of unknown, open", text)
	}
	return nil
}

// AddressClass says whether the internet can reach an address.
type AddressClass uint8

const (
	// There is no mapping, or the gateway does not know its own address.
	AddressUnknown AddressClass = 0
	// It can.
	AddressPublic AddressClass = 1
	// It cannot: the provider's carrier-grade NAT is in front (100.64.0.0/10).
	AddressCGNAT AddressClass = 2
	// It cannot: a private address (RFC 1918), so there is a second router.
	AddressPrivate AddressClass = 3
	// It cannot: an address that is set apart for something else.
	AddressReserved AddressClass = 4
)

// String is the stable string, the same in every language.
func (v AddressClass) String() string {
	switch v {
	case AddressUnknown:
		return "unknown"
	case AddressPublic:
		return "public"
	case AddressCGNAT:
		return "cgnat"
	case AddressPrivate:
		return "private"
	case AddressReserved:
		return "reserved"
	}
	return "AddressClass(" + strconv.Itoa(int(v)) + ")"
}

// MarshalText gives the stable string.
func (v AddressClass) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads a stable string. Any other text is [ErrInvalid].
func (v *AddressClass) UnmarshalText(text []byte) error {
	switch string(text) {
	case "unknown":
		*v = AddressUnknown
	case "public":
		*v = AddressPublic
	case "cgnat":
		*v = AddressCGNAT
	case "private":
		*v = AddressPrivate
	case "reserved":
		*v = AddressReserved
	default:
		return invalid("address_class", "`%s` is not one of unknown, public, cgnat, private, reserved", text)
	}
	return nil
}
