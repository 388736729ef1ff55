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

// awaitSnapshot waits for a state of the lease.
func (l *Lease) awaitSnapshot(ctx context.Context, begin begin) (LeaseSnapshot, error) {
	snapshot, err := await(ctx, l.waits, begin, func(from *answer) LeaseSnapshot {
		return leaseSnapshot(&from.snapshot)
	})
	runtime.KeepAlive(l)
	return snapshot, err
}

// Snapshot is a copy of the present state. It takes no lock and never waits.
func (l *Lease) Snapshot() LeaseSnapshot {
	var snapshot C.portlease_lease_snapshot
	snapshot.struct_size = C.sizeof_portlease_lease_snapshot
	C.portlease_lease_get_snapshot(l.c, &snapshot, nil)
	runtime.KeepAlive(l)
	return leaseSnapshot(&snapshot)
}

// Stop releases the mapping on the gateway and ends the lease. It waits for that until the context ends, and for 5 s
// if the context has no deadline; then it goes on in the background, and the error is the context's, or
// [ErrTimeout]. It begins the release in any case, also with a context that has ended, may be called again, and never
// fails because the gateway is gone.
func (l *Lease) Stop(ctx context.Context) error {
	begin := func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
		return C.portlease_waits_lease_stop(w, l.c, stopTimeout(ctx), token, failed)
	}
	err := end(ctx, l.waits, begin, l.over)
	l.mapper.letGo(l)
	return err
}

// Close is Stop without a context.
func (l *Lease) Close() error {
	return l.Stop(context.Background())
}

// Detach ends the lease and leaves the mapping on the gateway until its lifetime ends; a permanent one (see
// [LeaseSnapshot]) stays until somebody deletes it. It waits for the lease's end until the context ends, 5 s at most,
// and fails with the context's error only: the lease ends in any case.
func (l *Lease) Detach(ctx context.Context) error {
	begin := func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
		return C.portlease_waits_lease_detach(w, l.c, token, failed)
	}
	err := end(ctx, l.waits, begin, l.over)
	l.mapper.letGo(l)
	return err
}

func (l *Lease) over() bool {
	return l.Snapshot().State == StateExited
}

// stopTimeout is for how long the library waits in a stop: the context's deadline comes instead of the default.
func stopTimeout(ctx context.Context) C.double {
	if _, limited := ctx.Deadline(); limited {
		return C.double(math.Inf(1))
	}
	return C.PORTLEASE_DEFAULT_TIMEOUT
}

// end begins a stop or a detach, also if the context has ended, and waits for its end. If the context ends the wait, the
// library goes on in the background; over says whether it has ended all the same.
func end(ctx context.Context, w *waits, begin begin, over func() bool) error {
	if w == nil {
		return nil
	}
	err := w.wait(ctx, begin, func(*answer) {})
	if err != nil && ctx.Err() != nil && over() {
		return nil
	}
	return err
}
