package portlease

import "time"

// RetryPolicy is what happens after an attempt to map has failed, or a mapping was lost.
type RetryPolicy struct {
	// Never ends the lease instead of trying again.
	Never bool
	// Min is the wait before the second attempt; it doubles with each attempt. Default 1 s.
	Min time.Duration
	// Max is the longest wait, at most a day. Default 5 min.
	Max time.Duration
}
