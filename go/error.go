package portlease

import (
	"fmt"
	"log/slog"
)

// Error is a failure: its stable kind, for programs, and a message, for people.
//
// Match a kind with errors.Is and the sentinel of that kind:
//
//	if errors.Is(err, portlease.ErrRefused) { ... }
//
// or take the error out with errors.As and look at Kind.
type Error struct {
	// Kind is the stable name of what went wrong, the same in every language.
	Kind Kind `json:"kind"`
	// Message says what happened, with its cause. Nothing should match on it.
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

// LogValue is the group of kind and message.
func (e *Error) LogValue() slog.Value {
	if e == nil {
		return slog.AnyValue(nil)
	}
	return slog.GroupValue(slog.String("kind", e.Kind.String()), slog.String("message", e.Message))
}

// sentinel is a kind as an error: what errors.Is is asked about. It holds nothing, so nobody can change it.
type sentinel Kind

func (s sentinel) Error() string { return "portlease: " + Kind(s).String() }

// Timeout is true for [ErrTimeout] alone.
func (s sentinel) Timeout() bool { return Kind(s) == KindTimeout }

// invalid is the error about an argument that cannot even be handed to the library.
func invalid(argument, format string, values ...any) *Error {
	return &Error{KindInvalid, argument + ": " + fmt.Sprintf(format, values...)}
}
