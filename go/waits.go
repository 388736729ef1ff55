package portlease

/*
#include <portlease.h>

// Where the result of the next wait that is over goes.
typedef struct {
  uint64_t token;
  portlease_error error;
  portlease_lease_snapshot snapshot;
  portlease_event event;
  portlease_gateway_report report;
  portlease_protocol_report protocols[PORTLEASE_MAX_PROTOCOLS];
  portlease_release release;
  size_t entry_count;
  char address[PORTLEASE_ADDRESS_SIZE];
  // Of the error, or of that of the event.
  portlease_error_report reasons;
  portlease_error_detail details[PORTLEASE_MAX_PROTOCOLS];
} portlease_go_result;

// The pointers are set here because Go's memory may hold none to itself while C sees it. The reasons are those of the thread,
// so they are asked for before Go may go on with another one.
static portlease_kind portlease_go_next(portlease_waits *waits, portlease_go_result *to, portlease_table_entry *entries,
                                        size_t capacity, portlease_error *error) {
  portlease_completion over = PORTLEASE_INIT(portlease_completion);
  to->snapshot.struct_size = sizeof to->snapshot;
  to->event.struct_size = sizeof to->event;
  to->report.struct_size = sizeof to->report;
  to->protocols[0].struct_size = sizeof to->protocols[0];
  over.snapshot = &to->snapshot;
  over.event = &to->event;
  over.report = &to->report;
  over.protocols = to->protocols;
  over.protocols_capacity = PORTLEASE_MAX_PROTOCOLS;
  over.release = &to->release;
  over.address = to->address;
  entries->struct_size = sizeof *entries;
  over.entries = entries;
  over.entries_capacity = capacity;
  to->event.error.kind = PORTLEASE_OK;
  portlease_kind kind = portlease_waits_next(waits, PORTLEASE_DEFAULT_TIMEOUT, &over, error);
  to->token = over.token;
  to->error = over.error;
  to->entry_count = over.entry_count;
  to->reasons.struct_size = sizeof to->reasons;
  to->reasons.kind = PORTLEASE_OK;
  to->details[0].struct_size = sizeof to->details[0];
  if (over.error.kind != PORTLEASE_OK || to->event.error.kind != PORTLEASE_OK) {
    portlease_error_get_report(&to->reasons, to->details, PORTLEASE_MAX_PROTOCOLS, NULL);
  }
  return kind;
}
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// answer is where the result of the next wait that is over goes.
type answer = C.portlease_go_result

// explain is the error with its reasons.
func explain(from *answer) *Error { return errorReport(&from.reasons, from.details[:]) }

// waits are the waits of a mapper and of its leases. While there are any, one goroutine, and so one thread of the
// operating system, is in the library for all of them; it ends with the last.
type waits struct {
	c *C.portlease_waits

	mutex sync.Mutex
	// The waits that have begun and are not over, by their tokens.
	pending map[C.uint64_t]*pendingWait
	// The token of the latest.
	last C.uint64_t
	// Written by the one goroutine that hands out results.
	result  *answer
	entries []C.portlease_table_entry
}

// pendingWait is one wait.
type pendingWait struct {
	// read takes the result out, if there is one.
	read func(*answer)
	// over gets how it ended: nil, or *Error, or errCancelled.
	over chan error
}

// errCancelled is how a wait ends that was cancelled; the caller gets its context's error instead.
var errCancelled = errors.New("cancelled")

// newWaits makes an object for waits whose results have so many lines of a table at most, 1 or more.
func newWaits(lines int) (*waits, error) {
	w := &waits{
		pending: map[C.uint64_t]*pendingWait{}, result: new(answer), entries: make([]C.portlease_table_entry, lines),
	}
	var failed C.portlease_error
	if err := outcome(C.portlease_waits_new(&w.c, &failed), &failed); err != nil {
		return nil, err
	}
	// Nobody is in a call on it: the goroutine that hands out results, and whoever waits, hold w.
	runtime.AddCleanup(w, func(c *C.portlease_waits) { C.portlease_waits_free(c) }, w.c)
	return w, nil
}

// begin is one of the library's functions that begin a wait.
type begin func(w *C.portlease_waits, token C.uint64_t, failed *C.portlease_error) C.portlease_kind

// start begins a wait; its result is read by read, in another goroutine, before its end is said.
func (w *waits) start(begin begin, read func(*answer)) (C.uint64_t, chan error, error) {
	if w == nil {
		return 0, nil, invalid("handle", "it was made by no function of this package")
	}
	var failed C.portlease_error
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.last++
	token := w.last
	// Nothing is handed out for it before the mutex is free again.
	if err := outcome(begin(w.c, token, &failed), &failed); err != nil {
		return 0, nil, err
	}
	over := make(chan error, 1)
	w.pending[token] = &pendingWait{read, over}
	if len(w.pending) == 1 {
		go w.handOut()
	}
	return token, over, nil
}

// handOut tells those who wait how their waits ended, until none is left.
func (w *waits) handOut() {
	for left := 1; left > 0; {
		var failed C.portlease_error
		err := outcome(C.portlease_go_next(w.c, w.result, &w.entries[0], C.size_t(len(w.entries)), &failed), &failed)
		w.mutex.Lock()
		if err != nil {
			// The library cannot go on, which is a defect in it: nobody must wait for ever.
			for token, wait := range w.pending {
				delete(w.pending, token)
				wait.over <- err
			}
		} else if wait := w.pending[w.result.token]; wait != nil {
			delete(w.pending, w.result.token)
			wait.end(w.result)
		}
		left = len(w.pending)
		w.mutex.Unlock()
	}
}

func (p *pendingWait) end(result *answer) {
	if result.error.kind == C.PORTLEASE_CANCELLED {
		p.over <- errCancelled
		return
	}
	err := failure(&result.error, explain(result))
	if err == nil {
		p.read(result)
	}
	p.over <- err
}

// await begins a wait, unless the context has ended, and gives its result.
func await[T any](ctx context.Context, w *waits, begin begin, read func(*answer) T) (T, error) {
	var result T
	if ctx.Err() != nil {
		return result, ended(ctx)
	}
	err := w.wait(ctx, begin, func(from *answer) { result = read(from) })
	return result, err
}

// wait begins a wait and waits for its end, or for that of the context, which cancels it. What is over at the same
// moment keeps its result, so that nothing is lost.
func (w *waits) wait(ctx context.Context, begin begin, read func(*answer)) error {
	token, over, err := w.start(begin, read)
	if err != nil {
		return err
	}
	select {
	case err = <-over:
	case <-ctx.Done():
		// Fails only if there is nothing to cancel. Either way the end comes at once.
		C.portlease_waits_cancel(w.c, token, nil)
		err = <-over
	}
	if err == errCancelled {
		return ended(ctx)
	}
	return err
}

// ended is the error of a context that has ended, with its cause if that is another error.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == err {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}
