package portlease

import (
	"fmt"
	"log/slog"
	"time"
)

// Error is a failure: its stable kind, for programs, and a message, for people.
//
// Match a kind with errors.Is and the sentinel of that kind:
//
//	if errors.Is(err, portlease.ErrRefused) { ... }
//
// or take the error out with errors.As and look at its fields:
//
//	var failed *portlease.Error
//	if errors.As(err, &failed) && failed.Advice != "" { ... }
type Error struct {
	// Kind is the stable name of what went wrong, the same in every language.
	Kind Kind `json:"kind"`
	// Message says what happened, with its cause. Nothing should match on it.
	Message string `json:"message"`
	// Details are what each protocol that was tried has answered, in the order of preference; none if no protocol was asked.
	Details []ErrorDetail `json:"details,omitempty"`
	// Advice is one sentence for people about what to do now; empty if there is nothing to do.
	Advice string `json:"advice,omitempty"`
	// RetryAfter is for how long it is useless to try again; zero if that is not known.
	RetryAfter time.Duration `json:"retry_after,omitzero"`
}

// ErrorDetail is what one protocol has answered.
type ErrorDetail struct {
	// Protocol is the one that was tried.
	Protocol Protocol `json:"protocol"`
	// Kind is why it failed.
	Kind Kind `json:"kind"`
	// Code is the router's number for that: a PCP result code (RFC 6887 7.4), a NAT-PMP result code (RFC 6886 3.5) or a UPnP
	// error code; 0 if it answered with none.
	Code uint32 `json:"code,omitzero"`
	// Name is the standard's name of the code, such as NOT_AUTHORIZED or ConflictInMappingEntry, if it has one.
	Name string `json:"name,omitempty"`
	// RetryAfter is for how long the router says that the refusal holds; zero if it gave no time.
	RetryAfter time.Duration `json:"retry_after,omitzero"`
	// Message is for people.
	Message string `json:"message"`
}

// Error is the kind and the message.
func (e *Error) Error() string {
	if e == nil {
		return "portlease: no error"
	}
	return "portlease: " + e.Kind.String() + ": " + e.Message
}

// Is reports whether target is the sentinel of this error's kind.
func (e *Error) Is(target error) bool {
	wanted, ok := target.(sentinel)
	return ok && e != nil && Kind(wanted) == e.Kind
}

// Timeout reports whether the kind is [KindTimeout], as the errors of package net do.
func (e *Error) Timeout() bool {
	return e != nil && e.Kind == KindTimeout
}

// LogValue is the group of kind and message, and of the advice if there is one.
func (e *Error) LogValue() slog.Value {
	if e == nil {
		return slog.AnyValue(nil)
	}
	attributes := []slog.Attr{slog.String("kind", e.Kind.String()), slog.String("message", e.Message)}
	if e.Advice != "" {
		attributes = append(attributes, slog.String("advice", e.Advice))
	}
	return slog.GroupValue(attributes...)
}

// sentinel is a kind as an error: what errors.Is is asked about. It holds nothing, so nobody can change it.
type sentinel Kind

func (s sentinel) Error() string { return "portlease: " + Kind(s).String() }

// Timeout is true for [ErrTimeout] alone.
func (s sentinel) Timeout() bool { return Kind(s) == KindTimeout }

// invalid is the error about an argument that cannot even be handed to the library.
func invalid(argument, format string, values ...any) *Error {
	return &Error{Kind: KindInvalid, Message: argument + ": " + fmt.Sprintf(format, values...)}
}
