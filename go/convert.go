package portlease

// #include <portlease.h>
import "C"

import (
	"errors"
	"net/netip"
	"strings"
	"time"
	"unsafe"
)

// failure is an error out of a struct of the library, nil if nothing has failed. The reasons are its own if they say the
// same.
func failure(e *C.portlease_error, reasons *Error) error {
	if e.kind == C.PORTLEASE_OK {
		return nil
	}
	return explained(Kind(e.kind), text(e.message[:]), reasons)
}

// outcome is what a call answered, with the text that it wrote.
func outcome(kind C.portlease_kind, e *C.portlease_error) error {
	if kind == C.PORTLEASE_OK {
		return nil
	}
	return &Error{Kind: Kind(kind), Message: text(e.message[:])}
}

func explained(kind Kind, message string, reasons *Error) error {
	if reasons != nil && reasons.Kind == kind && reasons.Message == message {
		return reasons
	}
	return &Error{Kind: kind, Message: message}
}

// errorReport is an error with its reasons.
func errorReport(from *C.portlease_error_report, details []C.portlease_error_detail) *Error {
	to := &Error{
		Kind: Kind(from.kind), Message: text(from.message[:]), Advice: text(from.advice[:]), RetryAfter: duration(from.retry_after),
	}
	for i := range details[:min(int(from.detail_count), len(details))] {
		detail := &details[i]
		to.Details = append(to.Details, ErrorDetail{
			Protocol: Protocol(detail.protocol), Kind: Kind(detail.kind), Code: uint32(detail.code), Name: text(detail.name[:]),
			RetryAfter: duration(detail.retry_after), Message: text(detail.message[:]),
		})
	}
	return to
}

func tableEntries(from []C.portlease_table_entry) []TableEntry {
	to := make([]TableEntry, len(from))
	for i := range from {
		entry := &from[i]
		to[i] = TableEntry{
			ExternalPort: uint16(entry.external_port), Transport: Transport(entry.transport),
			InternalClient: text(entry.internal_client[:]), InternalPort: uint16(entry.internal_port),
			Description: text(entry.description[:]), Enabled: bool(entry.enabled), Lifetime: duration(entry.lifetime),
			RemoteHost: text(entry.remote_host[:]), ThisMachine: bool(entry.this_machine),
		}
	}
	return to
}

// spelled is an error about a request, with the field as Go names it.
func spelled(err error) error {
	var failed *Error
	if errors.As(err, &failed) && failed.Kind == KindInvalid {
		if field, rest, found := strings.Cut(failed.Message, ": "); found && requestFields[field] != "" {
			return invalid(requestFields[field], "%s", rest)
		}
	}
	return err
}

// duration is a time of the library; one that is absent is negative there, and zero here.
func duration(seconds C.double) time.Duration {
	if seconds <= 0 {
		return 0
	}
	return time.Duration(float64(seconds) * float64(time.Second))
}

// text is a text of the library, which ends with a zero byte.
func text(from []C.char) string {
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&from[0])), len(from))
	end := 0
	for end < len(bytes) && bytes[end] != 0 {
		end++
	}
	return string(bytes[:end])
}

// address reads an address; not valid if the text is empty. IPv4, which is what snapshots have, it reads by itself,
// because a copy of the text would be most of the cost of a snapshot.
func address(from []C.char) netip.Addr {
	var octets [4]byte
	at, digits := 0, 0
	for _, char := range from {
		switch {
		case char >= '0' && char <= '9':
			octets[at] = octets[at]*10 + byte(char-'0')
			digits++
		case char == '.' && digits > 0 && at < 3:
			at, digits = at+1, 0
		case char == 0 && digits > 0 && at == 3:
			return netip.AddrFrom4(octets)
		default:
			other, err := netip.ParseAddr(text(from))
			if err != nil {
				return netip.Addr{}
			}
			return other
		}
	}
	return netip.Addr{}
}

// endpoint reads an address and a port; not valid if there is none.
func endpoint(from []C.char, port C.uint16_t) netip.AddrPort {
	host := address(from)
	if !host.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(host, uint16(port))
}

func leaseSnapshot(from *C.portlease_lease_snapshot) LeaseSnapshot {
	return LeaseSnapshot{
		ID:           uint64(from.id),
		Revision:     uint64(from.revision),
		State:        LeaseState(from.state),
		Active:       bool(from.active),
		External:     endpoint(from.external_address[:], from.external_port),
		ExternalPort: uint16(from.external_port),
		InternalPort: uint16(from.internal_port),
		Transport:    Transport(from.transport),
		Family:       AddressFamily(from.family),
		Protocol:     Protocol(from.protocol),
		Lifetime:     duration(from.lifetime),
		ExpiresIn:    duration(from.expires_in),
		RenewsIn:     duration(from.renews_in),
		Permanent:    bool(from.permanent),
		Renewals:     uint64(from.renewals),
		Failures:     uint32(from.failures),
		LastError:    failure(&from.last_error, nil),
		NATClass:     NATClass(from.nat_class),
		AddressClass: AddressClass(from.address_class),
	}
}

func mapperSnapshot(from *C.portlease_mapper_snapshot, leases []C.portlease_lease_snapshot) MapperSnapshot {
	to := MapperSnapshot{
		Gateway:       address(from.gateway[:]),
		LocalAddress:  address(from.local_address[:]),
		Active:        int(from.active),
		Renewals:      uint64(from.renewals),
		EventsDropped: uint64(from.events_dropped),
		Leases:        make([]LeaseSnapshot, len(leases)),
		LastError:     failure(&from.last_error, nil),
		Stopped:       bool(from.stopped),
	}
	for _, protocol := range from.protocols {
		if protocol == C.PORTLEASE_PROTOCOL_ABSENT {
			break
		}
		to.Protocols = append(to.Protocols, Protocol(protocol))
	}
	for i := range leases {
		to.Leases[i] = leaseSnapshot(&leases[i])
	}
	return to
}

func event(from *C.portlease_event, reasons *Error) Event {
	return Event{
		Kind:         EventKind(from.kind),
		Lease:        uint64(from.lease),
		Transport:    Transport(from.transport),
		Family:       AddressFamily(from.family),
		InternalPort: uint16(from.internal_port),
		External:     endpoint(from.external_address[:], from.external_port),
		ExternalPort: uint16(from.external_port),
		Protocol:     Protocol(from.protocol),
		Lifetime:     duration(from.lifetime),
		AddressClass: AddressClass(from.address_class),
		Error:        failure(&from.error, reasons),
		Elapsed:      duration(from.elapsed),
		Dropped:      uint64(from.dropped),
	}
}

func gatewayReport(from *C.portlease_gateway_report, protocols []C.portlease_protocol_report) GatewayReport {
	to := GatewayReport{
		Gateway:      address(from.gateway[:]),
		LocalAddress: address(from.local_address[:]),
		Interface:    text(from.interface_name[:]),
		Protocols:    make([]ProtocolReport, len(protocols)),
	}
	for i := range protocols {
		part := &protocols[i]
		to.Protocols[i] = ProtocolReport{
			Protocol:        Protocol(part.protocol),
			ExternalAddress: address(part.external_address[:]),
			Device:          text(part.device[:]),
			RoundTrip:       duration(part.round_trip),
			Error:           failure(&part.error, nil),
		}
	}
	return to
}
