// Testee makes the calls that the scenarios' runner asks for, many at once, and answers with what they gave. The lines are
// described in tests/scenarios/README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	portlease "github.com/portlease/portlease/go"
)

// command is one line of the runner.
type command struct {
	ID                uint64
	Do, Mapper, Lease string
	Config            json.RawMessage
	Port              uint16
	Transport         portlease.Transport
	ExternalPort      uint16 `json:"external_port"`
	Exact             bool
	Family            portlease.AddressFamily
	TTL               float64
	Description       string
	AnyHost           bool `json:"any_host"`
	Since             uint64
	Timeout           *float64
}

// object is a JSON object.
type object map[string]any

// mappers and leases are the handles by name.
var mappers, leases sync.Map

func main() {
	commands, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	var writing sync.Mutex
	var calls sync.WaitGroup
	for {
		var c command
		if err := commands.Decode(&c); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			panic(err)
		}
		calls.Add(1)
		go func() {
			defer calls.Done()
			answer := c.answer()
			writing.Lock()
			defer writing.Unlock()
			if err := answers.Encode(answer); err != nil {
				panic(err)
			}
		}()
	}
	calls.Wait()
}

func (c *command) answer() object {
	result, err := c.call()
	switch failed := reason(err); {
	case err == nil:
		return object{"id": c.ID, "result": result}
	case failed != nil:
		return object{"id": c.ID, "error": failed}
	case errors.Is(err, context.DeadlineExceeded):
		return object{"id": c.ID, "error": reason(&portlease.Error{Kind: portlease.KindTimeout, Message: err.Error()})}
	}
	return object{"id": c.ID, "unsupported": err.Error()}
}

func (c *command) call() (any, error) {
	ctx := context.Background()
	if c.Timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, seconds(*c.Timeout))
		defer cancel()
	}
	// The runner asks for no handle that is not there.
	found, _ := mappers.Load(c.Mapper)
	mapper, _ := found.(*portlease.Mapper)
	found, _ = leases.Load(c.Lease)
	lease, _ := found.(*portlease.Lease)
	switch c.Do {
	case "start":
		var config portlease.Config
		if err := set(&config, c.Config); err != nil {
			return nil, err
		}
		mapper, err := portlease.Start(config)
		if err == nil {
			mappers.Store(c.Mapper, mapper)
		}
		return nil, err
	case "map":
		lease, err := mapper.Map(c.request())
		if err == nil {
			leases.Store(c.Lease, lease)
		}
		return nil, err
	case "ensure":
		lease, err := mapper.Ensure(c.request())
		if err != nil {
			return nil, err
		}
		leases.Store(c.Lease, lease)
		return lease.ID(), nil
	case "leases":
		numbers := []uint64{}
		for _, lease := range mapper.Leases() {
			numbers = append(numbers, lease.ID())
		}
		return numbers, nil
	case "external_address":
		return mapper.ExternalAddress(ctx)
	case "table":
		list := []object{}
		table, err := mapper.Table(ctx)
		for i := range table {
			list = append(list, entryResult(&table[i]))
		}
		return list, err
	case "delete":
		entry, err := mapper.Delete(ctx, c.Transport, c.ExternalPort, c.AnyHost)
		if entry == nil {
			return nil, err
		}
		return entryResult(entry), err
	case "ready":
		snapshot, err := lease.Ready(ctx)
		return leaseResult(snapshot), err
	case "changed":
		snapshot, err := lease.Changed(ctx, c.Since)
		return leaseResult(snapshot), err
	case "repair":
		snapshot, err := lease.Repair(ctx)
		return leaseResult(snapshot), err
	case "snapshot":
		return leaseResult(lease.Snapshot()), nil
	case "stop":
		return release(lease.Stop(ctx))
	case "detach":
		return release(lease.Detach(ctx))
	case "mapper_snapshot":
		return mapperResult(mapper.Snapshot()), nil
	case "network_changed":
		mapper.NetworkChanged()
		return nil, nil
	case "next_event":
		event, err := mapper.NextEvent(ctx)
		return eventResult(event), err
	case "probe":
		report, err := mapper.Probe(ctx)
		return reportResult(report), err
	case "stop_mapper":
		return release(mapper.Stop(ctx))
	}
	return nil, fmt.Errorf("the call %s", c.Do)
}

func (c *command) request() portlease.Request {
	return portlease.Request{
		Port: c.Port, Transport: c.Transport, ExternalPort: c.ExternalPort, Exact: c.Exact, Family: c.Family,
		TTL: seconds(c.TTL), Description: c.Description,
	}
}

// release is the result of a stop, whose time may be over.
func release(release portlease.Release, err error) (any, error) {
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return release, err
}

func seconds(number float64) time.Duration {
	return time.Duration(number * float64(time.Second))
}

// set sets the fields of a struct by their names in the scenarios.
func set(of any, settings json.RawMessage) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(settings, &values); err != nil {
		return err
	}
	for name, value := range values {
		field := reflect.ValueOf(of).Elem().FieldByNameFunc(func(field string) bool {
			return strings.EqualFold(field, strings.ReplaceAll(name, "_", ""))
		})
		if !field.IsValid() {
			return fmt.Errorf("the setting %s", name)
		}
		var err error
		switch target := field.Addr().Interface().(type) {
		case *time.Duration:
			var number float64
			err = json.Unmarshal(value, &number)
			*target = seconds(number)
		case *portlease.RetryPolicy:
			if target.Never = string(value) == `"never"`; !target.Never {
				err = set(target, value)
			}
		default:
			err = json.Unmarshal(value, target)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unless is the value, or null if it is absent.
func unless(absent bool, value any) any {
	if absent {
		return nil
	}
	return value
}

// fields are the fields of a request as the scenarios name them.
var fields = map[string]string{"Port": "internal_port", "ExternalPort": "external_port", "Transport": "transport"}

// reason is an error of the library, or null.
func reason(err error) any {
	var failed *portlease.Error
	if !errors.As(err, &failed) {
		return nil
	}
	message := failed.Message
	if field, rest, found := strings.Cut(message, ": "); found && fields[field] != "" {
		message = fields[field] + ": " + rest
	}
	details := []object{}
	for _, d := range failed.Details {
		details = append(details, object{
			"protocol":    d.Protocol,
			"kind":        d.Kind,
			"code":        unless(d.Code == 0, d.Code),
			"name":        unless(d.Name == "", d.Name),
			"retry_after": unless(d.RetryAfter == 0, d.RetryAfter.Seconds()),
			"message":     d.Message,
		})
	}
	return object{
		"kind":        failed.Kind,
		"message":     message,
		"details":     details,
		"advice":      unless(failed.Advice == "", failed.Advice),
		"retry_after": unless(failed.RetryAfter == 0, failed.RetryAfter.Seconds()),
	}
}

func entryResult(e *portlease.TableEntry) object {
	return object{
		"external_port":   e.ExternalPort,
		"transport":       e.Transport,
		"internal_client": e.InternalClient,
		"internal_port":   e.InternalPort,
		"description":     e.Description,
		"enabled":         e.Enabled,
		"lifetime":        unless(e.Lifetime == 0, e.Lifetime.Seconds()),
		"remote_host":     e.RemoteHost,
		"this_machine":    e.ThisMachine,
	}
}

func leaseResult(s portlease.LeaseSnapshot) object {
	return object{
		"id":            s.ID,
		"revision":      s.Revision,
		"state":         s.State,
		"active":        s.Active,
		"external":      unless(!s.External.IsValid(), s.External),
		"external_port": unless(s.ExternalPort == 0, s.ExternalPort),
		"internal_port": s.InternalPort,
		"transport":     s.Transport,
		"family":        s.Family,
		"protocol":      unless(s.Protocol == 0, s.Protocol),
		"lifetime":      unless(!s.Active || s.Permanent, s.Lifetime.Seconds()),
		"expires_in":    unless(!s.Active || s.Permanent, s.ExpiresIn.Seconds()),
		"renews_in":     unless(!s.Active, s.RenewsIn.Seconds()),
		"permanent":     s.Permanent,
		"renewals":      s.Renewals,
		"failures":      s.Failures,
		"last_error":    reason(s.LastError),
		"nat_class":     s.NATClass,
		"address_class": s.AddressClass,
	}
}

func mapperResult(s portlease.MapperSnapshot) object {
	list := []object{}
	for _, lease := range s.Leases {
		list = append(list, leaseResult(lease))
	}
	return object{
		"gateway":        unless(!s.Gateway.IsValid(), s.Gateway),
		"local_address":  unless(!s.LocalAddress.IsValid(), s.LocalAddress),
		"protocols":      append([]portlease.Protocol{}, s.Protocols...),
		"active":         s.Active,
		"renewals":       s.Renewals,
		"events_dropped": s.EventsDropped,
		"leases":         list,
		"last_error":     reason(s.LastError),
		"stopped":        s.Stopped,
	}
}

func eventResult(e portlease.Event) object {
	return object{
		"kind":          e.Kind,
		"lease":         unless(e.Lease == 0, e.Lease),
		"transport":     unless(e.Lease == 0, e.Transport),
		"family":        unless(e.Lease == 0, e.Family),
		"internal_port": unless(e.Lease == 0, e.InternalPort),
		"external":      unless(!e.External.IsValid(), e.External),
		"external_port": unless(e.ExternalPort == 0, e.ExternalPort),
		"protocol":      unless(e.Protocol == 0, e.Protocol),
		"lifetime":      unless(e.Lifetime == 0, e.Lifetime.Seconds()),
		"address_class": e.AddressClass,
		"error":         reason(e.Error),
		"elapsed":       e.Elapsed.Seconds(),
		"dropped":       e.Dropped,
	}
}

func reportResult(r portlease.GatewayReport) object {
	protocols := []object{}
	for _, p := range r.Protocols {
		protocols = append(protocols, object{
			"protocol":         p.Protocol,
			"external_address": unless(!p.ExternalAddress.IsValid(), p.ExternalAddress),
			"device":           unless(p.Device == "", p.Device),
			"round_trip":       unless(p.Error != nil, p.RoundTrip.Seconds()),
			"error":            reason(p.Error),
		})
	}
	return object{
		"gateway":       unless(!r.Gateway.IsValid(), r.Gateway),
		"local_address": unless(!r.LocalAddress.IsValid(), r.LocalAddress),
		"interface":     unless(r.Interface == "", r.Interface),
		"protocols":     protocols,
	}
}
