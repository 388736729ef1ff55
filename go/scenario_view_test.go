package portlease_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	portlease "github.com/portlease/portlease/go"
)

// view is a result as the scenarios write it: the same names and texts in every language, durations in seconds.
type view map[string]any

func addressView[A interface {
	IsValid() bool
	String() string
}](address A) any {
	if !address.IsValid() {
		return nil
	}
	return address.String()
}

// nonzero is the text of a value, and null where it is the zero value of its type.
func nonzero[T interface {
	comparable
	fmt.Stringer
}](value T) any {
	var zero T
	if value == zero {
		return nil
	}
	return value.String()
}

func secondsView(there bool, duration time.Duration) any {
	if !there {
		return nil
	}
	return duration.Seconds()
}

// errorView is an error that a call gave. A context's deadline is the scenarios' time-out.
func errorView(err error) any {
	var failed *portlease.Error
	switch {
	case errors.As(err, &failed):
		return reasonView(failed)
	case errors.Is(err, context.DeadlineExceeded):
		return view{"kind": "timeout", "message": err.Error()}
	}
	return view{"kind": "none of portlease's", "message": err.Error()}
}

func reasonView(err *portlease.Error) any {
	if err == nil {
		return nil
	}
	return view{"kind": err.Kind.String(), "message": err.Message}
}

func leaseView(s portlease.LeaseSnapshot) view {
	ends := s.Active && !s.Permanent
	return view{
		"id":            s.ID,
		"state":         s.State.String(),
		"active":        s.Active,
		"external":      addressView(s.External),
		"internal_port": s.InternalPort,
		"transport":     s.Transport.String(),
		"protocol":      nonzero(s.Protocol),
		"ttl":           secondsView(ends, s.TTL),
		"expires_in":    secondsView(ends, s.ExpiresIn),
		"renews_in":     secondsView(s.Active, s.RenewsIn),
		"permanent":     s.Permanent,
		"renewals":      s.Renewals,
		"failures":      s.Failures,
		"last_error":    reasonView(s.LastError),
		"nat_class":     s.NATClass.String(),
		"address_class": s.AddressClass.String(),
	}
}

func mapperView(s portlease.MapperSnapshot) view {
	protocols, leases := []any{}, []any{}
	for _, protocol := range s.Protocols {
		protocols = append(protocols, protocol.String())
	}
	for _, lease := range s.Leases {
		leases = append(leases, leaseView(lease))
	}
	return view{
		"gateway":        addressView(s.Gateway),
		"local_address":  addressView(s.LocalAddress),
		"protocols":      protocols,
		"active":         s.Active,
		"renewals":       s.Renewals,
		"events_dropped": s.EventsDropped,
		"leases":         leases,
		"stopped":        s.Stopped,
	}
}

func eventView(e portlease.Event) view {
	v := view{
		"kind":          e.Kind.String(),
		"lease":         nil,
		"transport":     nil,
		"internal_port": nil,
		"external":      addressView(e.External),
		"protocol":      nonzero(e.Protocol),
		"ttl":           secondsView(e.TTL != 0, e.TTL),
		"address_class": e.AddressClass.String(),
		"error":         reasonView(e.Error),
		"elapsed":       e.Elapsed.Seconds(),
		"dropped":       e.Dropped,
	}
	if e.Lease != 0 {
		v["lease"], v["transport"], v["internal_port"] = e.Lease, e.Transport.String(), e.InternalPort
	}
	return v
}

func reportView(r portlease.GatewayReport) view {
	protocols := []any{}
	for _, p := range r.Protocols {
		protocols = append(protocols, view{
			"protocol":         p.Protocol.String(),
			"external_address": addressView(p.ExternalAddress),
			"device":           textView(p.Device),
			"round_trip":       secondsView(p.Error == nil, p.RoundTrip),
			"error":            reasonView(p.Error),
		})
	}
	return view{
		"gateway":       addressView(r.Gateway),
		"local_address": addressView(r.LocalAddress),
		"interface":     textView(r.Interface),
		"protocols":     protocols,
	}
}

func textView(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// configure puts a scenario's settings into config. It fails where the scenario is wrong, which is another thing than a
// value that the library refuses.
func configure(config *portlease.Config, settings map[string]any) error {
	for name, value := range settings {
		if err := configureField(config, name, value); err != nil {
			return fmt.Errorf("`%s: %s` is no setting: %w", name, text(value), err)
		}
	}
	return nil
}

func configureField(config *portlease.Config, name string, value any) (err error) {
	mistyped := errors.New("the value is of another type")
	number, isNumber := value.(float64)
	words, isText := value.(string)
	switch name {
	case "gateway", "local_address", "interface", "description", "ssdp_address":
		if !isText {
			return mistyped
		}
	case "ttl", "renewal_interval", "failure_threshold", "pcp_port":
		if !isNumber {
			return mistyped
		}
	}
	switch name {
	case "gateway":
		config.Gateway, err = netip.ParseAddr(words)
	case "local_address":
		config.LocalAddress, err = netip.ParseAddr(words)
	case "interface":
		config.Interface = words
	case "protocols":
		list, ok := value.([]any)
		if !ok {
			return mistyped
		}
		config.Protocols = make([]portlease.Protocol, len(list))
		for i, protocol := range list {
			if err := config.Protocols[i].UnmarshalText(fmt.Append(nil, protocol)); err != nil {
				return err
			}
		}
	case "ttl":
		config.TTL, err = seconds(number)
	case "renewal_interval":
		config.RenewalInterval, err = seconds(number)
	case "failure_threshold":
		config.FailureThreshold = uint32(number)
	case "retry":
		config.Retry, err = retryPolicy(value)
	case "description":
		config.Description = words
	case "pcp_port":
		config.PCPPort = uint16(number)
	case "ssdp_address":
		config.SSDPAddress, err = netip.ParseAddrPort(words)
	default:
		return errors.New("there is no such field")
	}
	return err
}

func retryPolicy(value any) (portlease.RetryPolicy, error) {
	if value == "never" {
		return portlease.RetryPolicy{Never: true}, nil
	}
	bounds, _ := value.(map[string]any)
	shortest, hasMin := bounds["min"].(float64)
	longest, hasMax := bounds["max"].(float64)
	if !hasMin || !hasMax || len(bounds) != 2 {
		return portlease.RetryPolicy{}, errors.New(`give "never", or "min" and "max"`)
	}
	low, err := seconds(shortest)
	if err != nil {
		return portlease.RetryPolicy{}, err
	}
	high, err := seconds(longest)
	return portlease.RetryPolicy{Min: low, Max: high}, err
}
