package portlease

/*
#include <stdlib.h>
#include <portlease.h>
*/
import "C"

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"time"
)

// logEnd is how long the end of a mapper waits at most for a handler that is slow, or that has called it.
const logEnd = time.Second

// levels are the library's levels, the deepest first.
var levels = []struct {
	level slog.Level
	c     C.portlease_log_level
}{
	{slog.LevelDebug - 4, C.PORTLEASE_LOG_LEVEL_TRACE},
	{slog.LevelDebug, C.PORTLEASE_LOG_LEVEL_DEBUG},
	{slog.LevelInfo, C.PORTLEASE_LOG_LEVEL_INFO},
	{slog.LevelWarn, C.PORTLEASE_LOG_LEVEL_WARN},
	{slog.LevelError, C.PORTLEASE_LOG_LEVEL_ERROR},
}

// logging brings to a handler what the library tells. One goroutine, and so one thread of the operating system, waits for it.
type logging struct {
	c *C.portlease_log
	// Closed when the handler has got the last record.
	done chan struct{}
	once sync.Once
}

// listen begins to bring to the handler what it takes; nil if there is none, or it takes nothing.
func listen(handler slog.Handler) (*logging, error) {
	if handler == nil {
		return nil, nil
	}
	for _, depth := range levels {
		if handler.Enabled(context.Background(), depth.level) {
			l := &logging{done: make(chan struct{})}
			var failed C.portlease_error
			if err := outcome(C.portlease_log_new(depth.c, &l.c, &failed), &failed); err != nil {
				return nil, err
			}
			go l.bring(handler)
			return l, nil
		}
	}
	return nil, nil
}

func (l *logging) bring(handler slog.Handler) {
	defer close(l.done)
	var record C.portlease_log_record
	record.struct_size = C.sizeof_portlease_log_record
	for C.portlease_log_next(l.c, C.PORTLEASE_DEFAULT_TIMEOUT, &record, nil) == C.PORTLEASE_OK {
		told := logRecord(&record)
		if ctx := context.Background(); handler.Enabled(ctx, told.Level) {
			// A handler that fails has nobody who could be told.
			_ = handler.Handle(ctx, told)
		}
	}
}

func logRecord(from *C.portlease_log_record) slog.Record {
	level := slog.LevelError
	for _, depth := range levels {
		if depth.c == from.level {
			level = depth.level
		}
	}
	whole, part := math.Modf(float64(from.time))
	record := slog.NewRecord(time.Unix(int64(whole), int64(part*1e9)), level, text(from.message[:]), 0)
	record.AddAttrs(slog.String("target", text(from.target[:])))
	if from.dropped != 0 {
		record.AddAttrs(slog.Uint64("dropped", uint64(from.dropped)))
	}
	return record
}

// stop ends the reading after what was told before; it does not wait.
func (l *logging) stop() {
	if l == nil {
		return
	}
	l.once.Do(func() {
		C.portlease_log_stop(l.c, nil)
		go func() {
			<-l.done
			C.portlease_log_free(l.c)
		}()
	})
}

// end is stop, and waits until the handler has got the last record, as long as the context and logEnd allow.
func (l *logging) end(ctx context.Context) {
	if l == nil {
		return
	}
	l.stop()
	timer := time.NewTimer(logEnd)
	defer timer.Stop()
	select {
	case <-l.done:
	case <-ctx.Done():
	case <-timer.C:
	}
}
