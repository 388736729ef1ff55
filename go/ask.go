package portlease

/*
#include <stdlib.h>
#include <portlease.h>
*/
import "C"

import (
	"context"
	"net/netip"
	"runtime"
)

// mostLines is how many lines of a router's table the library reads.
const mostLines = 1024

// families are those that can be asked for.
const families = "IPv4 or IPv6"

func report(from *answer) GatewayReport {
	return gatewayReport(&from.report, from.protocols[:min(from.report.protocol_count, C.PORTLEASE_MAX_PROTOCOLS)])
}

func externalAddress(from *answer) netip.Addr { return address(from.address[:]) }

// ExternalAddress is the address at which the internet sees this machine, without a lease of one's own. It waits until every
// protocol has answered or is silent, about 2 s, or until the context ends.
//
// A lease that is active has it already. Else NAT-PMP and UPnP are asked. PCP alone can tell an address only with a mapping:
// then UDP port 9 (discard) is mapped for a moment.
//
// It fails with [ErrUnavailable] if no protocol tells an address, with [ErrRefused], [ErrTransport], [ErrStopped] and with the
// context's error.
func (m *Mapper) ExternalAddress(ctx context.Context) (netip.Addr, error) {
	begin := func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
		return C.portlease_waits_mapper_external_address(w, m.c, C.PORTLEASE_DEFAULT_TIMEOUT, token, failed)
	}
	found, err := await(ctx, m.waits, begin, externalAddress)
	runtime.KeepAlive(m)
	return found, err
}

// Table reads the router's table of mapped ports, of all programs and machines, as far as the router shows it (1024 lines at
// most). Only UPnP can read it. Many routers also list the mappings made by PCP and NAT-PMP; ports forwarded by hand are often
// left out.
//
// It fails with [ErrUnavailable] without UPnP, with [ErrRefused] if the router does not show its table, with [ErrTransport],
// [ErrTimeout], [ErrStopped] and with the context's error.
func (m *Mapper) Table(ctx context.Context) ([]TableEntry, error) {
	begin := func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
		return C.portlease_waits_mapper_table(w, m.c, token, failed)
	}
	// Waits of its own, because a table is large.
	w, err := newWaits(mostLines)
	if err != nil {
		return nil, err
	}
	table, err := await(ctx, w, begin, func(from *answer) []TableEntry {
		return tableEntries(w.entries[:min(int(from.entry_count), len(w.entries))])
	})
	runtime.KeepAlive(m)
	return table, err
}

// Delete deletes an entry of the router's table (UPnP alone), for what nobody holds any more, and gives what it was; nil if
// the table has no such entry. An entry that forwards to another machine is deleted only if anyHost is set. If the context
// ends, the entry may be deleted or not.
//
// It fails with [ErrInvalid] for port 0 and for the mapping of a lease of this mapper, which is to be stopped instead; with
// [ErrRefused] for an entry of another machine, and if the router says no; otherwise as [Mapper.Table] does.
func (m *Mapper) Delete(ctx context.Context, transport Transport, externalPort uint16, anyHost bool) (*TableEntry, error) {
	var given values
	if given.oneOf("transport", transport, "UDP or TCP"); given.err != nil {
		return nil, given.err
	}
	begin := func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
		over, port, foreign := C.portlease_transport(transport), C.uint16_t(externalPort), C.bool(anyHost)
		return C.portlease_waits_mapper_delete(w, m.c, over, port, foreign, token, failed)
	}
	deleted, err := await(ctx, m.waits, begin, func(from *answer) []TableEntry {
		return tableEntries(m.waits.entries[:min(from.entry_count, 1)])
	})
	runtime.KeepAlive(m)
	if err != nil || len(deleted) == 0 {
		return nil, err
	}
	return &deleted[0], nil
}

// Probe asks by every protocol what the gateway offers, with an engine of its own: [Start] and [Mapper.Probe] in one call. It
// takes one configuration at most, and fails as these two do.
func Probe(ctx context.Context, config ...Config) (GatewayReport, error) {
	begin := func(options *C.portlease_config) begin {
		return func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
			return C.portlease_waits_probe(w, options, token, failed)
		}
	}
	return ask(ctx, config, begin, report)
}

// ProbeFamily is [Probe] of the gateway of one family: [Start] and [Mapper.ProbeFamily] in one call.
func ProbeFamily(ctx context.Context, family AddressFamily, config ...Config) (GatewayReport, error) {
	var given values
	if given.oneOf("family", family, families); given.err != nil {
		return GatewayReport{}, given.err
	}
	begin := func(options *C.portlease_config) begin {
		return func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
			return C.portlease_waits_probe_of(w, options, C.portlease_family(family), token, failed)
		}
	}
	return ask(ctx, config, begin, report)
}

// ExternalAddress is the address at which the internet sees this machine, asked with an engine of its own: [Start] and
// [Mapper.ExternalAddress] in one call. It takes one configuration at most, and fails as these two do.
func ExternalAddress(ctx context.Context, config ...Config) (netip.Addr, error) {
	begin := func(options *C.portlease_config) begin {
		return func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
			return C.portlease_waits_external_address(w, options, C.PORTLEASE_DEFAULT_TIMEOUT, token, failed)
		}
	}
	return ask(ctx, config, begin, externalAddress)
}

// ask begins a wait that has an engine of its own, and gives its result.
func ask[T any](
	ctx context.Context, config []Config, beginWith func(*C.portlease_config) begin, read func(*answer) T,
) (T, error) {
	var none T
	chosen, err := one(config)
	if err != nil {
		return none, err
	}
	w, err := newWaits(1)
	if err != nil {
		return none, err
	}
	var given values
	defer given.free()
	options := chosen.options(&given)
	if given.err != nil {
		return none, given.err
	}
	log, err := listen(chosen.Logger)
	if err != nil {
		return none, err
	}
	defer log.end(ctx)
	return await(ctx, w, beginWith(&options), read)
}
