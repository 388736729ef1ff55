package portlease

/*
#include <stdlib.h>
#include <portlease.h>
*/
import "C"

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unsafe"
)

// RetryPolicy is what happens after an attempt to map has failed, or a mapping was lost.
type RetryPolicy struct {
	// Never ends the lease instead of trying again.
	Never bool
	// Min is the wait before the second attempt; it doubles with each attempt. Default 1 s.
	Min time.Duration
	// Max is the longest wait, at most a day. Default 5 min.
	Max time.Duration
}

// values are settings on their way to the library, with the first that cannot even be handed to it.
type values struct {
	texts []unsafe.Pointer
	err   error
}

// free frees the texts.
func (v *values) free() {
	for _, text := range v.texts {
		C.free(text)
	}
}

func (v *values) text(argument, value string) *C.char {
	if value == "" {
		return nil
	}
	if v.err == nil && strings.IndexByte(value, 0) >= 0 {
		v.err = invalid(argument, "a zero byte is not allowed")
	}
	copied := C.CString(value)
	v.texts = append(v.texts, unsafe.Pointer(copied))
	return copied
}

func (v *values) protocols(argument string, values []Protocol, slots []C.portlease_protocol) {
	if len(values) > len(slots) {
		v.err = invalid(argument, "must be at most %d, not %d", len(slots), len(values))
	}
	for i, protocol := range values[:min(len(values), len(slots))] {
		// For the library this would be the end of the list.
		if protocol == 0 {
			v.err = invalid(argument, "must not hold the zero value")
		}
		slots[i] = C.portlease_protocol(protocol)
	}
}

// oneOf checks a value of an enum; allowed are the names of its constants.
func (v *values) oneOf(field string, value fmt.Stringer, allowed string) {
	text := value.String()
	if text == "" {
		text = "the zero value"
	} else if !strings.HasSuffix(text, ")") {
		return
	}
	if v.err == nil {
		v.err = invalid(field, "must be %s, not %s", allowed, text)
	}
}

// addressText is an address as text, an IPv4 address within IPv6 as what it is; empty if there is none.
func addressText(address netip.Addr) string {
	if !address.IsValid() {
		return ""
	}
	return address.Unmap().String()
}

// endpointText is an address with a port as text; empty if there is none.
func endpointText(endpoint netip.AddrPort) string {
	if !endpoint.IsValid() {
		return ""
	}
	return endpoint.String()
}
