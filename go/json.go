package portlease

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
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
	number := time.Duration(*s).Seconds()
	if err := json.Unmarshal(text, &number); err != nil {
		return err
	}
	nanoseconds := math.Round(number * float64(time.Second))
	if math.Abs(nanoseconds) >= math.MaxInt64 {
		return fmt.Errorf("portlease: a time of %g seconds is out of range", number)
	}
	*s = seconds(nanoseconds)
	return nil
}

// errorInJSON is an error as it is in JSON, nil if there is none: a copy, because what is read is written into it.
func errorInJSON(err error) *Error {
	if err == nil {
		return nil
	}
	if own, ok := err.(*Error); ok {
		copied := *own
		copied.Details = slices.Clone(own.Details)
		return &copied
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
		// The zero value is IPv4, which an event that is about no lease does not have.
		Family   *AddressFamily `json:"family,omitzero"`
		Lifetime seconds        `json:"lifetime,omitzero"`
		Elapsed  seconds        `json:"elapsed"`
		Error    *Error         `json:"error,omitzero"`
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

func (s *LeaseSnapshot) inJSON() leaseInJSON {
	return leaseInJSON{
		(*plainLease)(s), seconds(s.Lifetime), seconds(s.ExpiresIn), seconds(s.RenewsIn), errorInJSON(s.LastError),
	}
}

// MarshalJSON gives the fields with times in seconds.
func (s LeaseSnapshot) MarshalJSON() ([]byte, error) { return json.Marshal(s.inJSON()) }

// UnmarshalJSON reads what MarshalJSON gave; a field that is not there stays as it is.
func (s *LeaseSnapshot) UnmarshalJSON(text []byte) error {
	read := s.inJSON()
	err := json.Unmarshal(text, &read)
	s.Lifetime, s.ExpiresIn, s.RenewsIn = time.Duration(read.Lifetime), time.Duration(read.ExpiresIn), time.Duration(read.RenewsIn)
	s.LastError = errorOf(read.LastError)
	return err
}

func (s *MapperSnapshot) inJSON() mapperInJSON {
	return mapperInJSON{(*plainMapper)(s), errorInJSON(s.LastError)}
}

// MarshalJSON gives the fields, as for [LeaseSnapshot]; a list that is nil is an empty one.
func (s MapperSnapshot) MarshalJSON() ([]byte, error) {
	if s.Protocols == nil {
		s.Protocols = []Protocol{}
	}
	if s.Leases == nil {
		s.Leases = []LeaseSnapshot{}
	}
	return json.Marshal(s.inJSON())
}

// UnmarshalJSON reads what MarshalJSON gave, as for [LeaseSnapshot].
func (s *MapperSnapshot) UnmarshalJSON(text []byte) error {
	read := s.inJSON()
	err := json.Unmarshal(text, &read)
	s.LastError = errorOf(read.LastError)
	return err
}

func (e *Event) inJSON() eventInJSON {
	family := &e.Family
	if e.Lease == 0 {
		family = nil
	}
	return eventInJSON{(*plainEvent)(e), family, seconds(e.Lifetime), seconds(e.Elapsed), errorInJSON(e.Error)}
}

// MarshalJSON gives the fields with times in seconds.
func (e Event) MarshalJSON() ([]byte, error) { return json.Marshal(e.inJSON()) }

// UnmarshalJSON reads what MarshalJSON gave, as for [LeaseSnapshot].
func (e *Event) UnmarshalJSON(text []byte) error {
	read := e.inJSON()
	read.Family = &e.Family
	err := json.Unmarshal(text, &read)
	e.Lifetime, e.Elapsed = time.Duration(read.Lifetime), time.Duration(read.Elapsed)
	e.Error = errorOf(read.Error)
	return err
}

func (r *ProtocolReport) inJSON() protocolInJSON {
	return protocolInJSON{(*plainProtocol)(r), seconds(r.RoundTrip), errorInJSON(r.Error)}
}

// MarshalJSON gives the fields with times in seconds.
func (r ProtocolReport) MarshalJSON() ([]byte, error) { return json.Marshal(r.inJSON()) }

// UnmarshalJSON reads what MarshalJSON gave, as for [LeaseSnapshot].
func (r *ProtocolReport) UnmarshalJSON(text []byte) error {
	read := r.inJSON()
	err := json.Unmarshal(text, &read)
	r.RoundTrip = time.Duration(read.RoundTrip)
	r.Error = errorOf(read.Error)
	return err
}

func (e *Error) inJSON() errorFields { return errorFields{(*plainError)(e), seconds(e.RetryAfter)} }

// MarshalJSON gives the fields with times in seconds, also of an error that is no pointer.
func (e Error) MarshalJSON() ([]byte, error) { return json.Marshal(e.inJSON()) }

// UnmarshalJSON reads what MarshalJSON gave, as for [LeaseSnapshot].
func (e *Error) UnmarshalJSON(text []byte) error {
	read := e.inJSON()
	err := json.Unmarshal(text, &read)
	e.RetryAfter = time.Duration(read.RetryAfter)
	return err
}

func (d *ErrorDetail) inJSON() detailInJSON {
	return detailInJSON{(*plainDetail)(d), seconds(d.RetryAfter)}
}

// MarshalJSON gives the fields with times in seconds.
func (d ErrorDetail) MarshalJSON() ([]byte, error) { return json.Marshal(d.inJSON()) }

// UnmarshalJSON reads what MarshalJSON gave, as for [LeaseSnapshot].
func (d *ErrorDetail) UnmarshalJSON(text []byte) error {
	read := d.inJSON()
	err := json.Unmarshal(text, &read)
	d.RetryAfter = time.Duration(read.RetryAfter)
	return err
}

func (e *TableEntry) inJSON() entryInJSON { return entryInJSON{(*plainEntry)(e), seconds(e.Lifetime)} }

// MarshalJSON gives the fields with times in seconds.
func (e TableEntry) MarshalJSON() ([]byte, error) { return json.Marshal(e.inJSON()) }

// UnmarshalJSON reads what MarshalJSON gave, as for [LeaseSnapshot].
func (e *TableEntry) UnmarshalJSON(text []byte) error {
	read := e.inJSON()
	err := json.Unmarshal(text, &read)
	e.Lifetime = time.Duration(read.Lifetime)
	return err
}
