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
	"unsafe"
)

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
		// The zero value would be the end of the list for the library.
		v.oneOf(argument, protocol, "PCP, NATPMP or UPnP")
		slots[i] = C.portlease_protocol(protocol)
	}
}

// retry hands a policy over. Whether its times make sense is the library's to say.
func (v *values) retry(argument string, policy RetryPolicy, never *C.bool, least, most *C.double) {
	if v.err == nil && policy.Never && (policy.Min != 0 || policy.Max != 0) {
		v.err = invalid(argument, "Never and a wait are both set; set only one of them")
	}
	*never, *least, *most = C.bool(policy.Never), C.double(policy.Min.Seconds()), C.double(policy.Max.Seconds())
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
