package portlease

/*
#include <portlease.h>

#cgo noescape portlease_lease_get_snapshot
#cgo nocallback portlease_lease_get_snapshot
*/
import "C"

import (
	"context"
	"math"
	"net/netip"
	"runtime"
)

// Lease is the promise to keep one port mapped. All its methods may be called from many goroutines at once.
//
// [Lease.Stop] and [Lease.Close] release the mapping, and so do those of its mapper. A lease that is dropped goes on as
// long as its mapper, or another lease of that mapper, is held.
type Lease struct {
	c      *C.portlease_lease
	waits  *waits
	mapper *Mapper
}

// ID is the lease's number within its mapper, from 1, as events name it.
func (l *Lease) ID() uint64 {
	id := C.portlease_lease_id(l.c)
	runtime.KeepAlive(l)
	return uint64(id)
}

// Ready waits for a mapping until the context ends, and gives the state that has it.
//
// It fails with the kind of the latest whole attempt if that failed; the lease keeps trying, unless [RetryPolicy] says
// otherwise. Every call that is under way gets that error, and a later call waits for the next attempt. Once the lease is
// over, Ready fails with what ended it, or with [ErrStopped]. It fails with the context's error if the context ends, which
// ends the wait and not the lease.
func (l *Lease) Ready(ctx context.Context) (LeaseSnapshot, error) {
	begin := func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
		return C.portlease_waits_lease_ready(w, l.c, C.PORTLEASE_DEFAULT_TIMEOUT, token, failed)
	}
	return l.awaitSnapshot(ctx, begin)
}

// Changed waits until the state is another than the one with the number since (its Revision), and gives it. It returns at
// once if the state is another already; several changes between two calls are one.
//
//	var err error
//	for seen := lease.Snapshot(); err == nil; seen, err = lease.Changed(ctx, seen.Revision) {
//		show(seen)
//	}
//
// It fails with [ErrStopped] once the lease is over and the caller has seen that, and with the context's error.
func (l *Lease) Changed(ctx context.Context, since uint64) (LeaseSnapshot, error) {
	begin := func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
		return C.portlease_waits_lease_changed(w, l.c, C.uint64_t(since), C.PORTLEASE_DEFAULT_TIMEOUT, token, failed)
	}
	return l.awaitSnapshot(ctx, begin)
}

// Repair deletes the mapping on the gateway and makes it again with the same external port, if the gateway gives it, and
// gives the state that has the new mapping: for a mapping that the gateway lists and does not forward. [EventRepaired] tells
// that it has worked, [EventFailed] that it has not; then the lease tries again as after any loss. A lease that is not mapped
// makes its next attempt at once.
//
// It fails with [ErrRefused] if the lease was repaired less than 10 s ago (the message says how long to wait), with the kind
// of the attempt, with [ErrStopped] once the lease is over, and with the context's error if the context ends, which ends the
// wait and not the repair.
func (l *Lease) Repair(ctx context.Context) (LeaseSnapshot, error) {
	begin := func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
		return C.portlease_waits_lease_repair(w, l.c, C.PORTLEASE_DEFAULT_TIMEOUT, token, failed)
	}
	return l.awaitSnapshot(ctx, begin)
}

// awaitSnapshot waits for a state of the lease.
func (l *Lease) awaitSnapshot(ctx context.Context, begin begin) (LeaseSnapshot, error) {
	snapshot, err := await(ctx, l.waits, begin, func(from *answer) LeaseSnapshot {
		return leaseSnapshot(&from.snapshot)
	})
	l.explain(&snapshot)
	return snapshot, err
}

// Snapshot is a copy of the present state. It takes no lock and never waits.
func (l *Lease) Snapshot() LeaseSnapshot {
	var snapshot C.portlease_lease_snapshot
	snapshot.struct_size = C.sizeof_portlease_lease_snapshot
	C.portlease_lease_get_snapshot(l.c, &snapshot, nil)
	seen := leaseSnapshot(&snapshot)
	l.explain(&seen)
	return seen
}

// explain adds the reasons to the error of a snapshot of this lease, unless it has another one by now.
func (l *Lease) explain(snapshot *LeaseSnapshot) {
	if failed, ok := snapshot.LastError.(*Error); ok {
		var report C.portlease_error_report
		var details [C.PORTLEASE_MAX_PROTOCOLS]C.portlease_error_detail
		report.struct_size, details[0].struct_size = C.sizeof_portlease_error_report, C.sizeof_portlease_error_detail
		C.portlease_lease_get_error(l.c, &report, &details[0], C.PORTLEASE_MAX_PROTOCOLS, nil)
		snapshot.LastError = explained(failed.Kind, failed.Message, errorReport(&report, details[:]))
	}
	runtime.KeepAlive(l)
}

// State is where the lease stands.
func (l *Lease) State() LeaseState {
	state := LeaseState(C.portlease_lease_state(l.c))
	runtime.KeepAlive(l)
	return state
}

// Active says whether a granted, unexpired mapping is published.
func (l *Lease) Active() bool {
	active := bool(C.portlease_lease_active(l.c))
	runtime.KeepAlive(l)
	return active
}

// External is the external address and port; not valid while not active or if the gateway does not know its address.
func (l *Lease) External() netip.AddrPort {
	var from [C.PORTLEASE_ADDRESS_SIZE]C.char
	var port C.uint16_t
	C.portlease_lease_external(l.c, &from[0], &port, nil)
	runtime.KeepAlive(l)
	return endpoint(from[:], port)
}

// ExternalPort is the external port; 0 while not active.
func (l *Lease) ExternalPort() uint16 {
	port := uint16(C.portlease_lease_external_port(l.c))
	runtime.KeepAlive(l)
	return port
}

// Protocol is what made the mapping; zero while not active.
func (l *Lease) Protocol() Protocol {
	protocol := Protocol(C.portlease_lease_protocol(l.c))
	runtime.KeepAlive(l)
	return protocol
}

// AddressClass says whether the internet can reach the external address; [AddressUnknown] while not active.
func (l *Lease) AddressClass() AddressClass {
	class := AddressClass(C.portlease_lease_address_class(l.c))
	runtime.KeepAlive(l)
	return class
}

// Stop releases the mapping on the gateway and ends the lease, and tells how that went. It waits for that until the context
// ends, and for 5 s if the context has no deadline; then the answer is [Pending], and the release goes on in the
// background. It begins the release in any case, also with a context that has ended, and may be called again.
//
// It fails with the context's error only, beside [Pending], and never because the gateway is gone: that is [Unconfirmed].
func (l *Lease) Stop(ctx context.Context) (Release, error) {
	begin := func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
		return C.portlease_waits_lease_stop(w, l.c, stopTimeout(ctx), token, failed)
	}
	release, err := end(ctx, l.waits, begin, l.look)
	l.mapper.letGo(l)
	return release, err
}

// Close is Stop without a context. Its error is nil however the release went, so that a program that checks it does not
// fail because a router is off; Stop tells more.
func (l *Lease) Close() error {
	_, err := l.Stop(context.Background())
	return err
}

// Detach ends the lease and leaves the mapping on the gateway until its lifetime ends; a permanent one (see
// [LeaseSnapshot]) stays until somebody deletes it. It waits for the lease's end until the context ends, 5 s at most, and
// answers and fails as [Lease.Stop] does: the lease ends in any case.
func (l *Lease) Detach(ctx context.Context) (Release, error) {
	begin := func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
		return C.portlease_waits_lease_detach(w, l.c, token, failed)
	}
	release, err := end(ctx, l.waits, begin, l.look)
	l.mapper.letGo(l)
	return release, err
}

// look is how the end of the lease, which has begun, has gone so far.
func (l *Lease) look(release *C.portlease_release) {
	C.portlease_lease_stop(l.c, 0, release, nil)
	runtime.KeepAlive(l)
}

// stopTimeout is for how long the library waits in a stop: the context's deadline comes instead of the default.
func stopTimeout(ctx context.Context) C.double {
	if _, limited := ctx.Deadline(); limited {
		return C.double(math.Inf(1))
	}
	return C.PORTLEASE_DEFAULT_TIMEOUT
}

// end begins a stop or a detach, also if the context has ended, and waits for its end. If the context ends the wait, the
// library goes on in the background; look says whether it has ended all the same.
func end(ctx context.Context, w *waits, begin begin, look func(*C.portlease_release)) (Release, error) {
	if w == nil {
		return Released, nil // there is nothing to be released
	}
	var release C.portlease_release
	err := w.wait(ctx, begin, func(from *answer) { release = from.release })
	if err != nil && ctx.Err() != nil {
		if look(&release); release != C.PORTLEASE_PENDING {
			err = nil
		}
	}
	return Release(release), err
}
