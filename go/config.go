package portlease

/*
#include <stdlib.h>
#include <portlease.h>
*/
import "C"

import (
	"net/netip"
	"strings"
	"time"
	"unsafe"
)

// Config says how a mapper behaves. The zero value suits a home, and so does the zero value of each field.
type Config struct {
	// Gateway is the router's address. Default: the gateway of the default route with the lowest metric.
	Gateway netip.Addr
	// LocalAddress is where the gateway shall forward to. Default: the address from which the gateway is reached.
	LocalAddress netip.Addr
	// Interface names the one whose default route is used. Default: that of the lowest metric.
	Interface string
	// Protocols are those to try, in the order of preference, without repeats. Default: [PCP], [NATPMP], [UPnP].
	Protocols []Protocol
	// TTL is the lifetime to ask for, 1 s to 24 h; a fraction of a second is rounded up. Default 1 h.
	TTL time.Duration
	// RenewalInterval is the longest wait between renewals; the granted lifetime may make it shorter. Default 30 min.
	RenewalInterval time.Duration
	// FailureThreshold is after how many failed renewals in a row the mapping is revoked. Default 3.
	FailureThreshold uint32
	// Retry is what happens after a failure. Default: try again, backing off from 1 s to 5 min.
	Retry RetryPolicy
	// Description is what the gateway shows beside the mapping (UPnP only), at most 64 characters and no control
	// characters. Default "portlease".
	Description string
	// PCPPort is the gateway's port for PCP and NAT-PMP. Default 5351.
	PCPPort uint16
	// SSDPAddress is where SSDP searches are sent. Default: 239.255.255.250:1900 and port 1900 of the gateway.
	SSDPAddress netip.AddrPort
}

// RetryPolicy is what happens after an attempt to map has failed, or a mapping was lost.
type RetryPolicy struct {
	// Never ends the lease instead of trying again.
	Never bool
	// Min is the wait before the second attempt; it doubles with each attempt. Default 1 s.
	Min time.Duration
	// Max is the longest wait, at most a day. Default 5 min.
	Max time.Duration
}

// Request is one port to be mapped. Port and Transport must be given.
type Request struct {
	// Port is the local port, 1 to 65535.
	Port uint16
	// Transport is [UDP] or [TCP].
	Transport Transport
	// ExternalPort is the port that is wished for outside. Default: the same as Port.
	ExternalPort uint16
	// Exact wants the external port or none: any other answer is [ErrRefused]. Otherwise the gateway may grant another.
	Exact bool
	// Family is [IPv4], the zero value.
	Family AddressFamily
}

// options are the settings as the library takes them. What they point to lives until it is freed.
func (c *Config) options() (options C.portlease_config, free func(), err error) {
	var texts []unsafe.Pointer
	free = func() {
		for _, text := range texts {
			C.free(text)
		}
	}
	defer func() {
		if err != nil {
			free()
		}
	}()
	text := func(argument, value string) *C.char {
		if value == "" {
			return nil
		}
		if err == nil && strings.IndexByte(value, 0) >= 0 {
			err = invalid(argument, "a zero byte is not allowed")
		}
		copied := C.CString(value)
		texts = append(texts, unsafe.Pointer(copied))
		return copied
	}
	options = C.portlease_config{
		struct_size:       C.sizeof_portlease_config,
		gateway:           text("gateway", addressText(c.Gateway)),
		local_address:     text("local_address", addressText(c.LocalAddress)),
		interface_name:    text("interface", c.Interface),
		ttl:               C.double(c.TTL.Seconds()),
		renewal_interval:  C.double(c.RenewalInterval.Seconds()),
		failure_threshold: C.uint32_t(c.FailureThreshold),
		retry_never:       C.bool(c.Retry.Never),
		retry_min:         C.double(c.Retry.Min.Seconds()),
		retry_max:         C.double(c.Retry.Max.Seconds()),
		description:       text("description", c.Description),
		pcp_port:          C.uint16_t(c.PCPPort),
	}
	if c.SSDPAddress.IsValid() {
		options.ssdp_address = text("ssdp_address", c.SSDPAddress.String())
	}
	if len(c.Protocols) > len(options.protocols) {
		err = invalid("protocols", "%d are too many; allowed are %d", len(c.Protocols), len(options.protocols))
	}
	for i, protocol := range c.Protocols[:min(len(c.Protocols), len(options.protocols))] {
		// For the library this would be the end of the list.
		if protocol == 0 {
			err = invalid("protocols", "the zero value is no protocol")
		}
		options.protocols[i] = C.portlease_protocol(protocol)
	}
	return options, free, err
}

// addressText is an address as text, an IPv4 address within IPv6 as what it is; empty where there is none.
func addressText(address netip.Addr) string {
	if !address.IsValid() {
		return ""
	}
	return address.Unmap().String()
}
