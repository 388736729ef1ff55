package portlease

/*
#include <stdlib.h>
#include <portlease.h>

#cgo noescape portlease_mapper_get_snapshot
#cgo nocallback portlease_mapper_get_snapshot
*/
import "C"

import (
	"context"
	"errors"
	"iter"
	"maps"
	"runtime"
	"sync"
	"sync/atomic"
)

// Mapper is a background engine that maps ports on the home router and keeps them mapped: it finds the router once and
// serves many leases. All its methods may be called from many goroutines at once.
//
// [Mapper.Stop] and [Mapper.Close] release everything. A mapper that is garbage collected without them releases in the
// background. It and its leases keep each other: what is mapped stays so as long as any of them is held, also if a
// program has dropped the lease.
type Mapper struct {
	c     *C.portlease_mapper
	waits *waits
	// How many leases the latest snapshot had: the room for the next.
	room atomic.Uint32

	log *logging

	mutex sync.Mutex
	// The leases that nobody has stopped, by number.
	leases map[uint64]*Lease
	// How many there may be before those that have ended by themselves are looked for.
	enough int
}

// Start checks the configuration and starts the engine's thread. It does not touch the network.
//
// It fails with [ErrInvalid], naming the field, and with [ErrInternal] if the system gives no thread.
func Start(config Config) (*Mapper, error) {
	waits, err := newWaits(1)
	if err != nil {
		return nil, err
	}
	var given values
	defer given.free()
	options := config.options(&given)
	if given.err != nil {
		return nil, given.err
	}
	log, err := listen(config.Logger)
	if err != nil {
		return nil, err
	}
	m := &Mapper{waits: waits, log: log, leases: map[uint64]*Lease{}}
	var failed C.portlease_error
	if err := outcome(C.portlease_mapper_start(&options, &m.c, &failed), &failed); err != nil {
		log.stop()
		return nil, err
	}
	// Never blocks: what is mapped is released by the engine.
	runtime.AddCleanup(m, func(c *C.portlease_mapper) { C.portlease_mapper_free(c) }, m.c)
	runtime.AddCleanup(m, func(log *logging) { log.stop() }, log)
	return m, nil
}

// Map begins to map a port and returns at once; the lease tells how it goes.
//
// It fails with [ErrInvalid] for a bad request, naming the field, and if another lease of this mapper has the same port or
// asks for the same external port, and with [ErrStopped].
func (m *Mapper) Map(request Request) (*Lease, error) {
	return m.request(request, func(options *C.portlease_request, c **C.portlease_lease, failed *C.portlease_error) C.portlease_kind {
		return C.portlease_mapper_map(m.c, options, c, failed)
	})
}

// Ensure gives the lease that exists for an equal request, the same as [Mapper.Map] gave, or a new one. So a program may ask
// again for what it has, for instance when its configuration is read anew.
//
// It fails as Map does; a lease on the same port with other wishes is such a failure.
func (m *Mapper) Ensure(request Request) (*Lease, error) {
	return m.request(request, func(options *C.portlease_request, c **C.portlease_lease, failed *C.portlease_error) C.portlease_kind {
		return C.portlease_mapper_ensure(m.c, options, c, failed)
	})
}

// MapBoth begins to map a port over UDP and over TCP: two leases. The transport of the request does not matter. Either lease
// may fail without the other, and their external ports may differ unless the request is exact.
//
// It fails as [Mapper.Map] does; then there is no lease.
func (m *Mapper) MapBoth(request Request) (udp, tcp *Lease, err error) {
	request.Transport = UDP
	var second *C.portlease_lease
	udp, err = m.request(request, func(options *C.portlease_request, c **C.portlease_lease, failed *C.portlease_error) C.portlease_kind {
		return C.portlease_mapper_map_both(m.c, options, c, &second, failed)
	})
	if err == nil {
		tcp = m.adopt(second)
	}
	return udp, tcp, err
}

// Leases are all leases that live and were not told to end, by number, the same as [Mapper.Map] gave.
func (m *Mapper) Leases() []*Lease {
	for room := C.size_t(m.room.Load()) + 1; ; {
		handles, count := make([]*C.portlease_lease, room), C.size_t(0)
		C.portlease_mapper_leases(m.c, &handles[0], room, &count, nil)
		runtime.KeepAlive(m)
		var leases []*Lease
		for _, c := range handles[:min(count, room)] {
			leases = append(leases, m.adopt(c))
		}
		if count <= room {
			return leases
		}
		room = count
	}
}

// request makes a lease by one of the library's functions.
func (m *Mapper) request(
	request Request, call func(*C.portlease_request, **C.portlease_lease, *C.portlease_error) C.portlease_kind,
) (*Lease, error) {
	var given values
	defer given.free()
	options := request.options(&given)
	if given.err != nil {
		return nil, given.err
	}
	var c *C.portlease_lease
	var failed C.portlease_error
	err := outcome(call(&options, &c, &failed), &failed)
	runtime.KeepAlive(m)
	if err != nil {
		return nil, spelled(err)
	}
	return m.adopt(c), nil
}

// adopt gives the lease of a new handle: the one that is there already, or a new one, which is held until it is stopped.
// Those that have ended by themselves are let go of whenever there are twice as many as there were.
func (m *Mapper) adopt(c *C.portlease_lease) *Lease {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	id := uint64(C.portlease_lease_id(c))
	if known := m.leases[id]; known != nil {
		C.portlease_lease_free(c)
		return known
	}
	l := &Lease{c: c, waits: m.waits, mapper: m}
	runtime.AddCleanup(l, func(c *C.portlease_lease) { C.portlease_lease_free(c) }, c)
	m.leases[id] = l
	if len(m.leases) > m.enough {
		maps.DeleteFunc(m.leases, func(_ uint64, l *Lease) bool { return l.State() == StateExited })
		m.enough = 2*len(m.leases) + 8
	}
	return l
}

// letGo is for leases that are told to end.
func (m *Mapper) letGo(l *Lease) {
	if m != nil {
		m.mutex.Lock()
		defer m.mutex.Unlock()
		delete(m.leases, l.ID())
	}
}

// explain adds the reasons to the errors of leases.
func (m *Mapper) explain(snapshot MapperSnapshot) MapperSnapshot {
	for i := range snapshot.Leases {
		if seen := &snapshot.Leases[i]; seen.LastError != nil {
			m.mutex.Lock()
			lease := m.leases[seen.ID]
			m.mutex.Unlock()
			if lease != nil {
				lease.explain(seen)
			}
		}
	}
	return snapshot
}

// Snapshot is the present state of the mapper and of every lease that has not exited. It never waits.
func (m *Mapper) Snapshot() MapperSnapshot {
	for {
		var snapshot C.portlease_mapper_snapshot
		snapshot.struct_size = C.sizeof_portlease_mapper_snapshot
		room := m.room.Load() + 1
		leases := make([]C.portlease_lease_snapshot, room)
		leases[0].struct_size = C.sizeof_portlease_lease_snapshot
		C.portlease_mapper_get_snapshot(m.c, &snapshot, &leases[0], C.size_t(room), nil)
		runtime.KeepAlive(m)
		m.room.Store(uint32(snapshot.lease_count))
		if snapshot.lease_count <= C.size_t(room) {
			return m.explain(mapperSnapshot(&snapshot, leases[:snapshot.lease_count]))
		}
	}
}

// NextEvent pulls the next event, waiting for it until the context ends. All calls pull from one queue, so each event is
// given out once; [Mapper.Events] is for several readers.
//
// It fails with the context's error, and with [ErrStopped] once the mapper is stopped and its last event was pulled. The
// queue holds 1024 events; then the oldest are dropped, and Dropped of the next one says how many.
func (m *Mapper) NextEvent(ctx context.Context) (Event, error) {
	begin := func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
		return C.portlease_waits_mapper_next_event(w, m.c, C.PORTLEASE_DEFAULT_TIMEOUT, token, failed)
	}
	next, err := await(ctx, m.waits, begin, nextEvent)
	runtime.KeepAlive(m)
	return next, err
}

// nextEvent is the event that a wait ended with.
func nextEvent(from *answer) Event { return event(&from.event, explain(from)) }

// Events are the events one after the other, for range. Each loop is a reader of its own: it gets the events that nobody
// has read yet, and then every event from its start on, whoever else reads them. A loop that falls 1024 events behind
// loses the oldest, and Dropped of the next one says how many.
//
// The loop ends by itself once the mapper is stopped and the last event was seen. If the context ends, its error comes last.
func (m *Mapper) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		defer runtime.KeepAlive(m)
		var reader *C.portlease_events
		var failed C.portlease_error
		if err := outcome(C.portlease_events_new(m.c, &reader, &failed), &failed); err != nil {
			yield(Event{}, err)
			return
		}
		defer C.portlease_events_free(reader)
		begin := func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
			return C.portlease_waits_events_next(w, reader, C.PORTLEASE_DEFAULT_TIMEOUT, token, failed)
		}
		for {
			next, err := await(ctx, m.waits, begin, nextEvent)
			if errors.Is(err, ErrStopped) || !yield(next, err) || err != nil {
				return
			}
		}
	}
}

// Probe asks by every configured protocol what the gateway offers. It maps nothing, and takes about 2 s at most.
//
// It fails with [ErrUnavailable] or [ErrRefused] if no protocol has an offer, the message naming each one's reason,
// with [ErrTransport], with [ErrStopped] and with the context's error.
func (m *Mapper) Probe(ctx context.Context) (GatewayReport, error) {
	begin := func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
		return C.portlease_waits_mapper_probe(w, m.c, token, failed)
	}
	report, err := await(ctx, m.waits, begin, report)
	runtime.KeepAlive(m)
	return report, err
}

// ProbeFamily is Probe of the gateway of one family. For [IPv6] it tells by which protocols the router could be asked for
// pinholes; whether its firewall lets packets through without them, nobody can tell.
//
// It fails as Probe does; with [ErrUnavailable] also if this machine has no global IPv6 address.
func (m *Mapper) ProbeFamily(ctx context.Context, family AddressFamily) (GatewayReport, error) {
	var given values
	if given.oneOf("family", family, families); given.err != nil {
		return GatewayReport{}, given.err
	}
	begin := func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
		return C.portlease_waits_mapper_probe_of(w, m.c, C.portlease_family(family), token, failed)
	}
	report, err := await(ctx, m.waits, begin, report)
	runtime.KeepAlive(m)
	return report, err
}

// NetworkChanged tells that the machine's network may have changed, for hosts that know before portlease does: phones tell
// their apps, and sandboxes hide the network from them. Every lease looks again at once, and none waits for its next attempt.
// It does not wait, and does nothing once the mapper is stopped. It is needed nowhere else: portlease watches the network
// itself.
func (m *Mapper) NetworkChanged() {
	C.portlease_mapper_network_changed(m.c, nil)
	runtime.KeepAlive(m)
}

// Stop releases every mapping on the gateway and ends the engine's thread, and tells how that went for all leases, also
// for those that ended before. It waits for that until the context ends, and for 5 s and 0.1 s more for each lease if the
// context has no deadline; then the answer is [Pending], and the release goes on in the background. It begins the release
// in any case, also with a context that has ended, and may be called again.
//
// It fails with the context's error only, beside [Pending], and never because the gateway is gone: that is [Unconfirmed].
func (m *Mapper) Stop(ctx context.Context) (Release, error) {
	begin := func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind {
		return C.portlease_waits_mapper_stop(w, m.c, stopTimeout(ctx), token, failed)
	}
	look := func(release *C.portlease_release) { C.portlease_mapper_stop(m.c, 0, release, nil) }
	release, err := end(ctx, m.waits, begin, look)
	runtime.KeepAlive(m)
	if release != Pending {
		m.log.end(ctx)
	}
	return release, err
}

// Close is Stop without a context. Its error is nil however the release went, as that of [Lease.Close].
func (m *Mapper) Close() error {
	_, err := m.Stop(context.Background())
	return err
}
