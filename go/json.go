package portlease

import (
	"encoding/json"
	"math"
	"time"
)

// seconds is a time as it is in JSON: a number of seconds, as in the other languages and from the command line.
type seconds time.Duration

// MarshalJSON gives the number of seconds.
func (s seconds) MarshalJSON() ([]byte, error) {
	return json.Marshal(time.Duration(s).Seconds())
}

// UnmarshalJSON reads a number of seconds.
func (s *seconds) UnmarshalJSON(text []byte) error {
	var number float64
	if err := json.Unmarshal(text, &number); err != nil {
		return err
	}
	*s = seconds(math.Round(number * float64(time.Second)))
	return nil
}

// errorInJSON is an error as it is in JSON, nil if there is none.
func errorInJSON(err error) *Error {
	if err == nil {
		return nil
	}
	if own, ok := err.(*Error); ok {
		return own
	}
	return &Error{Kind: KindInternal, Message: err.Error()}
}

// errorOf is the error that was read, without a nil in it.
func errorOf(read *Error) error {
	if read == nil {
		return nil
	}
	return read
}

// The structs below are those of the package, with their times and errors as JSON has them; the embedded struct has no
// methods, and those of its fields that come again here are hidden.
type (
	plainLease  LeaseSnapshot
	leaseInJSON struct {
		*plainLease
		Lifetime  seconds `json:"lifetime,omitzero"`
		ExpiresIn seconds `json:"expires_in,omitzero"`
		RenewsIn  seconds `json:"renews_in,omitzero"`
		LastError *Error  `json:"last_error,omitzero"`
	}

	plainMapper  MapperSnapshot
	mapperInJSON struct {
		*plainMapper
		LastError *Error `json:"last_error,omitzero"`
	}

	plainEvent  Event
	eventInJSON struct {
		*plainEvent
		Lifetime seconds `json:"lifetime,omitzero"`
		Elapsed  seconds `json:"elapsed"`
		Error    *Error  `json:"error,omitzero"`
	}

	plainProtocol  ProtocolReport
	protocolInJSON struct {
		*plainProtocol
		RoundTrip seconds `json:"round_trip,omitzero"`
		Error     *Error  `json:"error,omitzero"`
	}

	plainError  Error
	errorFields struct {
		*plainError
		RetryAfter seconds `json:"retry_after,omitzero"`
	}

	plainDetail  ErrorDetail
	detailInJSON struct {
		*plainDetail
		RetryAfter seconds `json:"retry_after,omitzero"`
	}

	plainEntry  TableEntry
	entryInJSON struct {
		*plainEntry
		Lifetime seconds `json:"lifetime,omitzero"`
	}
)

// MarshalJSON gives the fields with times in seconds.
func (s LeaseSnapshot) MarshalJSON() ([]byte, error) {
	return json.Marshal(leaseInJSON{
		(*plainLease)(&s), seconds(s.Lifetime), seconds(s.ExpiresIn), seconds(s.RenewsIn), errorInJSON(s.LastError),
	})
}

// UnmarshalJSON reads what MarshalJSON gave.
func (s *LeaseSnapshot) UnmarshalJSON(text []byte) error {
	read := leaseInJSON{plainLease: (*plainLease)(s)}
	err := json.Unmarshal(text, &read)
	s.Lifetime, s.ExpiresIn, s.RenewsIn = time.Duration(read.Lifetime), time.Duration(read.ExpiresIn), time.Duration(read.RenewsIn)
	s.LastError = errorOf(read.LastError)
	return err
}

// MarshalJSON gives the fields, as for [LeaseSnapshot].
func (s MapperSnapshot) MarshalJSON() ([]byte, error) {
	return json.Marshal(mapperInJSON{(*plainMapper)(&s), errorInJSON(s.LastError)})
}

// UnmarshalJSON reads what MarshalJSON gave.
func (s *MapperSnapshot) UnmarshalJSON(text []byte) error {
	read := mapperInJSON{plainMapper: (*plainMapper)(s)}
	err := json.Unmarshal(text, &read)
	s.LastError = errorOf(read.LastError)
	return err
}

// MarshalJSON gives the fields with times in seconds.
func (e Event) MarshalJSON() ([]byte, error) {
	return json.Marshal(eventInJSON{(*plainEvent)(&e), seconds(e.Lifetime), seconds(e.Elapsed), errorInJSON(e.Error)})
}

// UnmarshalJSON reads what MarshalJSON gave.
func (e *Event) UnmarshalJSON(text []byte) error {
	read := eventInJSON{plainEvent: (*plainEvent)(e)}
	err := json.Unmarshal(text, &read)
	e.Lifetime, e.Elapsed = time.Duration(read.Lifetime), time.Duration(read.Elapsed)
	e.Error = errorOf(read.Error)
	return err
}

// MarshalJSON gives the fields with times in seconds.
func (r ProtocolReport) MarshalJSON() ([]byte, error) {
	return json.Marshal(protocolInJSON{(*plainProtocol)(&r), seconds(r.RoundTrip), errorInJSON(r.Error)})
}

// UnmarshalJSON reads what MarshalJSON gave.
func (r *ProtocolReport) UnmarshalJSON(text []byte) error {
	read := protocolInJSON{plainProtocol: (*plainProtocol)(r)}
	err := json.Unmarshal(text, &read)
	r.RoundTrip = time.Duration(read.RoundTrip)
	r.Error = errorOf(read.Error)
	return err
}

// MarshalJSON gives the fields with times in seconds.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(errorFields{(*plainError)(e), seconds(e.RetryAfter)})
}

// UnmarshalJSON reads what MarshalJSON gave.
func (e *Error) UnmarshalJSON(text []byte) error {
	read := errorFields{plainError: (*plainError)(e)}
	err := json.Unmarshal(text, &read)
	e.RetryAfter = time.Duration(read.RetryAfter)
	return err
}

// MarshalJSON gives the fields with times in seconds.
func (d ErrorDetail) MarshalJSON() ([]byte, error) {
	return json.Marshal(detailInJSON{(*plainDetail)(&d), seconds(d.RetryAfter)})
}

// UnmarshalJSON reads what MarshalJSON gave.
func (d *ErrorDetail) UnmarshalJSON(text []byte) error {
	read := detailInJSON{plainDetail: (*plainDetail)(d)}
	err := json.Unmarshal(text, &read)
	d.RetryAfter = time.Duration(read.RetryAfter)
	return err
}

// MarshalJSON gives the fields with times in seconds.
func (e TableEntry) MarshalJSON() ([]byte, error) {
	return json.Marshal(entryInJSON{(*plainEntry)(&e), seconds(e.Lifetime)})
}

// UnmarshalJSON reads what MarshalJSON gave.
func (e *TableEntry) UnmarshalJSON(text []byte) error {
	read := entryInJSON{plainEntry: (*plainEntry)(e)}
	err := json.Unmarshal(text, &read)
	e.Lifetime = time.Duration(read.Lifetime)
	return err
}
