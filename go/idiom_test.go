package portlease_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	portlease "github.com/portlease/portlease/go"
)

var (
	_ io.Closer = (*portlease.Mapper)(nil)
	_ io.Closer = (*portlease.Lease)(nil)
	_ io.Closer = (*portlease.OpenPort)(nil)

	_ slog.LogValuer = portlease.LeaseSnapshot{}
	_ slog.LogValuer = portlease.MapperSnapshot{}
	_ slog.LogValuer = portlease.GatewayReport{}
	_ slog.LogValuer = portlease.ProtocolReport{}
	_ slog.LogValuer = portlease.Event{}
	_ slog.LogValuer = (*portlease.Error)(nil)
)

func TestCloseMayBeCalledAgain(t *testing.T) {
	t.Parallel()
	mapper, g := start(t, nil)
	lease := mapUDP(t, mapper, 4000)
	if _, err := lease.Ready(patient(t)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := lease.Close(); err != nil {
			t.Errorf("close of the lease: %v", err)
		}
	}
	g.waitForMappings(t, 0)
	for range 2 {
		if err := mapper.Close(); err != nil {
			t.Errorf("close of the mapper: %v", err)
		}
		if release, err := mapper.Stop(patient(t)); release != portlease.Released || err != nil {
			t.Errorf("stop of the mapper: %v, %v", release, err)
		}
	}
	if release, err := lease.Stop(patient(t)); release != portlease.Released || err != nil {
		t.Errorf("stop of a lease without a mapper: %v, %v", release, err)
	}
}

func TestManyMayStopAtOnce(t *testing.T) {
	t.Parallel()
	mapper, g := start(t, nil)
	lease := mapUDP(t, mapper, 4000)
	if _, err := lease.Ready(patient(t)); err != nil {
		t.Fatal(err)
	}
	failures := make(chan error)
	for i := range 20 {
		go func() {
			if i%2 == 0 {
				failures <- lease.Close()
			} else {
				failures <- mapper.Close()
			}
		}()
	}
	for range 20 {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	if left := g.mappings(t); left != 0 {
		t.Errorf("%d mappings are left", left)
	}
}

func TestEveryCallOnAStoppedMapperAnswersStopped(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, nil)
	lease := mapUDP(t, mapper, 4000)
	mapper.Close()
	_, onMap := mapper.Map(portlease.Request{Port: 4001, Transport: portlease.UDP})
	_, onReady := lease.Ready(patient(t))
	_, onRepair := lease.Repair(patient(t))
	_, onProbe := mapper.Probe(patient(t))
	mapper.NetworkChanged() // nothing to look at
	var onEvent error
	for onEvent == nil {
		_, onEvent = mapper.NextEvent(patient(t))
	}
	for call, err := range map[string]error{
		"map": onMap, "ready": onReady, "repair": onRepair, "probe": onProbe, "next event": onEvent,
	} {
		if !errors.Is(err, portlease.ErrStopped) {
			t.Errorf("%s: %v", call, err)
		}
	}
	if release, err := lease.Detach(patient(t)); release != portlease.Released || err != nil {
		t.Errorf("detach: %v, %v", release, err)
	}
	if snapshot := lease.Snapshot(); snapshot.State != portlease.StateExited || snapshot.ID != lease.ID() {
		t.Errorf("the lease is %+v", snapshot)
	}
	if !mapper.Snapshot().Stopped {
		t.Error("the mapper's snapshot does not say so")
	}
}

func TestHandlesThatWereNeverMadeAnswerInvalidAndDoNotCrash(t *testing.T) {
	t.Parallel()
	var mapper portlease.Mapper
	var lease portlease.Lease
	_, onMap := mapper.Map(portlease.Request{Port: 4000, Transport: portlease.UDP})
	_, onEvent := mapper.NextEvent(patient(t))
	_, onProbe := mapper.Probe(patient(t))
	_, onReady := lease.Ready(patient(t))
	_, onChanged := lease.Changed(patient(t), 0)
	_, onRepair := lease.Repair(patient(t))
	_, onEnsure := mapper.Ensure(udp(4000))
	_, _, onBoth := mapper.MapBoth(udp(4000))
	_, onAddress := mapper.ExternalAddress(patient(t))
	_, onTable := mapper.Table(patient(t))
	_, onDelete := mapper.Delete(patient(t), portlease.UDP, 4000, false)
	mapper.NetworkChanged()
	var onEvents error
	for _, onEvents = range mapper.Events(patient(t)) {
	}
	for call, err := range map[string]error{
		"map": onMap, "next event": onEvent, "probe": onProbe, "ready": onReady, "changed": onChanged, "repair": onRepair,
		"events": onEvents, "ensure": onEnsure, "map both": onBoth, "external address": onAddress, "table": onTable,
		"delete": onDelete,
	} {
		if !errors.Is(err, portlease.ErrInvalid) {
			t.Errorf("%s: %v", call, err)
		}
	}
	if err := errors.Join(mapper.Close(), lease.Close()); err != nil {
		t.Errorf("close: %v", err)
	}
	if lease.Snapshot().Active || lease.Active() || lease.State() != portlease.StateExited || lease.External().IsValid() ||
		mapper.Snapshot().Active != 0 || lease.ID() != 0 || len(mapper.Leases()) != 0 {
		t.Error("there is something where nothing is")
	}
}

func TestAMapperThatNobodyHoldsAnyMoreReleasesItsMappings(t *testing.T) {
	t.Parallel()
	g := startGateway(t, nil)
	func() {
		mapper, err := portlease.Start(g.config())
		if err != nil {
			t.Fatal(err)
		}
		lease := mapUDP(t, mapper, 4000)
		if _, err := lease.Ready(patient(t)); err != nil {
			t.Fatal(err)
		}
		if g.mappings(t) != 1 {
			t.Fatal("nothing is mapped")
		}
		runtime.KeepAlive(lease)
	}()
	eventually(t, "the garbage collector releases", func() bool {
		runtime.GC()
		return g.mappings(t) == 0
	})
}

func TestWhatIsMappedStaysSoAsLongAsAnyHandleIsHeld(t *testing.T) {
	t.Parallel()
	g := startGateway(t, nil)
	both := func() (*portlease.Mapper, *portlease.Lease) {
		mapper, err := portlease.Start(g.config())
		if err != nil {
			t.Fatal(err)
		}
		kept := mapUDP(t, mapper, 4000)
		for _, lease := range []*portlease.Lease{kept, mapUDP(t, mapper, 4001)} {
			if _, err := lease.Ready(patient(t)); err != nil {
				t.Fatal(err)
			}
		}
		return mapper, kept
	}
	stay := func(of string) {
		for range 5 {
			runtime.GC()
			time.Sleep(look)
		}
		if left := g.mappings(t); left != 2 {
			t.Errorf("%d mappings are left while the %s is held", left, of)
		}
	}
	end := func() {
		eventually(t, "the garbage collector releases", func() bool {
			runtime.GC()
			return g.mappings(t) == 0
		})
	}
	mapper, _ := both()
	stay("mapper")
	runtime.KeepAlive(mapper)
	end()
	_, lease := both()
	stay("lease")
	runtime.KeepAlive(lease)
	end()
}

func TestAMapperDoesNotKeepLeasesThatAreOver(t *testing.T) {
	t.Parallel()
	g := startGateway(t, map[string]any{"faults": map[string]any{"pcp": map[string]any{"refuse": 2}}})
	config := g.config()
	config.Protocols = []portlease.Protocol{portlease.PCP} // every attempt fails at once
	config.Retry = portlease.RetryPolicy{Never: true}
	mapper := startMapper(t, config)
	collected := make(chan struct{}, 1000)
	for i := range cap(collected) {
		lease := mapUDP(t, mapper, uint16(8000+i))
		runtime.AddCleanup(lease, func(struct{}) { collected <- struct{}{} }, struct{}{})
		if i%2 == 0 {
			lease.Close()
		} else if _, err := lease.Ready(patient(t)); err == nil {
			t.Fatal("mapped by a gateway that refuses")
		}
	}
	eventually(t, "most leases are collected", func() bool {
		runtime.GC()
		return len(collected) > cap(collected)*9/10
	})
	runtime.KeepAlive(mapper)
}

func TestAWaitKeepsItsHandleAlive(t *testing.T) {
	t.Parallel()
	_, g := start(t, nil)
	g.set(t, map[string]any{"pcp_delay_ms": 300, "nat_pmp": "silent", "upnp": "silent", "ssdp": "silent"})
	collecting, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for collecting.Err() == nil {
			runtime.GC()
		}
	}()
	// No variable holds the mapper, or the lease, during the wait.
	snapshot, err := mapUDP(t, func() *portlease.Mapper {
		mapper, err := portlease.Start(g.config())
		if err != nil {
			t.Fatal(err)
		}
		return mapper
	}(), 4000).Ready(patient(t))
	if err != nil || !snapshot.Active {
		t.Errorf("%+v, %v", snapshot, err)
	}
}

func TestEventsEndSilentlyWithTheMapper(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, nil)
	mapUDP(t, mapper, 4000)
	var seen []portlease.EventKind
	for event, err := range mapper.Events(patient(t)) {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, event.Kind)
		if event.Kind == portlease.EventInstalled {
			mapper.Close()
		}
	}
	if len(seen) != 2 || seen[0] != portlease.EventInstalled || seen[1] != portlease.EventExited {
		t.Errorf("seen %v", seen)
	}
	for event, err := range mapper.Events(patient(t)) {
		t.Errorf("an event after the end: %+v, %v", event, err)
	}
}

func TestLeavingTheLoopOverEventsLosesNone(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, nil)
	mapUDP(t, mapper, 4000)
	for event, err := range mapper.Events(patient(t)) {
		if err != nil || event.Kind != portlease.EventInstalled {
			t.Fatal(event, err)
		}
		break
	}
	mapper.Close()
	for event, err := range mapper.Events(patient(t)) {
		if err != nil || event.Kind != portlease.EventExited {
			t.Fatal(event, err)
		}
		return
	}
	t.Error("the event after the first is lost")
}

func TestTwoLoopsAtOnceBothGetEveryEvent(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, nil)
	begun, ended := make(chan struct{}, 2), make(chan []uint64, 2)
	for range 2 {
		go func() {
			var seen []uint64
			for event, err := range mapper.Events(patient(t)) {
				if err != nil || event.Dropped != 0 {
					t.Errorf("%+v, %v", event, err)
				}
				if seen = append(seen, event.Lease); len(seen) == 1 {
					begun <- struct{}{}
				}
			}
			ended <- seen
		}()
	}
	// A loop that begins later than the other sees fewer of the first events: there are some until both have begun.
	for range 2 {
		for waiting := true; waiting; {
			lease := mapUDP(t, mapper, 4000)
			if _, err := lease.Ready(patient(t)); err != nil {
				t.Fatal(err)
			}
			lease.Close()
			select {
			case <-begun:
				waiting = false
			case <-time.After(time.Millisecond):
			}
		}
	}
	last := mapUDP(t, mapper, 4001)
	if _, err := last.Ready(patient(t)); err != nil {
		t.Fatal(err)
	}
	mapper.Close()
	one, other := <-ended, <-ended
	if len(one) < len(other) {
		one, other = other, one
	}
	if !slices.Equal(one[len(one)-len(other):], other) {
		t.Errorf("one loop has seen events of the leases %v, the other of %v", one, other)
	}
	if want := []uint64{last.ID(), last.ID()}; !slices.Equal(other[len(other)-2:], want) {
		t.Errorf("the last events are not those of the last lease: %v", other)
	}
}

func TestALoopOverEventsAndNextEventDoNotTakeEventsFromEachOther(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, nil)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := mapper.NextEvent(ended); err != context.Canceled {
		t.Fatal(err)
	}
	mapUDP(t, mapper, 4000)
	queued, err := mapper.NextEvent(patient(t))
	if err != nil || queued.Kind != portlease.EventInstalled {
		t.Fatal(queued, err)
	}
	mapUDP(t, mapper, 4001)
	for event, err := range mapper.Events(patient(t)) {
		if err != nil || event.InternalPort != 4001 {
			t.Fatal(event, err)
		}
		break
	}
	if queued, err = mapper.NextEvent(patient(t)); err != nil || queued.InternalPort != 4001 {
		t.Error(queued, err)
	}
}

func TestWhatTheLibraryCannotTakeIsInvalidAndNamed(t *testing.T) {
	t.Parallel()
	var said []string
	for name, config := range map[string]portlease.Config{
		"interface":        {Interface: "eth\x000"},
		"description":      {Description: strings.Repeat("x", 1<<20)},
		"gateway":          {Gateway: netip.MustParseAddr("fe80::1%a-name-of-16-let")},
		"ttl":              {TTL: -time.Second},
		"renewal_interval": {RenewalInterval: -1},
		"check_interval":   {CheckInterval: time.Millisecond},
		"state_dir":        {StateDir: "state\x00"},
		"retry":            {Retry: portlease.RetryPolicy{Min: time.Hour, Max: time.Minute}},
		"protocols":        {Protocols: []portlease.Protocol{portlease.PCP, 77}},
		"local_address":    {LocalAddress: netip.MustParseAddr("224.0.0.1")},
	} {
		mapper, err := portlease.Start(config)
		if !errors.Is(err, portlease.ErrInvalid) || !strings.Contains(err.Error(), name) || mapper != nil {
			t.Errorf("%s: %v, %v", name, mapper, err)
		}
		said = append(said, fmt.Sprint(err))
	}
	for name, config := range map[string]portlease.Config{
		"retry, min":  {Retry: portlease.RetryPolicy{Min: -1}},
		"retry, both": {Retry: portlease.RetryPolicy{Never: true, Min: time.Second}},
		"protocols, repeated": {Protocols: []portlease.Protocol{
			portlease.PCP, portlease.PCP, portlease.PCP, portlease.PCP, portlease.PCP, portlease.PCP, portlease.PCP,
			portlease.PCP, portlease.PCP, portlease.PCP, portlease.PCP, portlease.PCP, portlease.PCP, portlease.PCP,
		}},
		"protocols, zero": {Protocols: []portlease.Protocol{0}},
		"protocols, none": {Protocols: []portlease.Protocol{portlease.ProtocolNone}},
	} {
		_, err := portlease.Start(config)
		if !errors.Is(err, portlease.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		said = append(said, fmt.Sprint(err))
	}
	for _, message := range said {
		// These are names of the C library.
		for _, name := range []string{"PORTLEASE_", "portlease_", "retry_never", "struct_size", "NULL", "INFINITY"} {
			if strings.Contains(message, name) {
				t.Errorf("%s is said in Go: %s", name, message)
			}
		}
	}
	mapper, _ := start(t, nil)
	mapUDP(t, mapper, 4000)
	for message, request := range map[string]portlease.Request{
		"Port: must be ": {Transport: portlease.UDP},
		"Port: udp port": {Port: 4000, Transport: portlease.UDP, ExternalPort: 5000},
		"ExternalPort: ": {Port: 4001, Transport: portlease.UDP, ExternalPort: 4000},
		"Transport: must be UDP or TCP, not the zero value":  {Port: 4001},
		"Transport: must be UDP or TCP, not Transport(7)":    {Port: 4001, Transport: 7},
		"Family: must be IPv4 or IPv6, not AddressFamily(9)": {Port: 4001, Transport: portlease.UDP, Family: 9},
	} {
		_, err := mapper.Map(request)
		if !errors.Is(err, portlease.ErrInvalid) || !strings.HasPrefix(err.Error(), "portlease: invalid: "+message) {
			t.Errorf("%s: %v", message, err)
		}
	}
}

// Zero is the default, as in every field, so never has a value of its own.
func TestANegativeCheckIntervalIsNeverAndTheZeroValueTheDefault(t *testing.T) {
	t.Parallel()
	g := startGateway(t, nil)
	for _, interval := range []time.Duration{0, -1, -time.Hour, time.Second} {
		config := g.config()
		config.CheckInterval = interval
		if _, err := mapUDP(t, startMapper(t, config), 4000).Ready(patient(t)); err != nil {
			t.Errorf("%v: %v", interval, err)
		}
	}
}

func TestARepairGivesTheStateWithTheNewMappingAndASecondOneIsRefused(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, nil)
	lease := mapUDP(t, mapper, 4000)
	before, err := lease.Ready(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	repaired, err := lease.Repair(patient(t))
	if err != nil || !repaired.Active || repaired.External != before.External || repaired.Revision <= before.Revision {
		t.Errorf("%+v, %v", repaired, err)
	}
	if _, err := lease.Repair(patient(t)); !errors.Is(err, portlease.ErrRefused) || !strings.Contains(err.Error(), " s ") {
		t.Errorf("the second: %v", err)
	}
	for kind := portlease.EventInstalled; kind != portlease.EventRepaired; {
		event, err := mapper.NextEvent(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		kind = event.Kind
	}
}

func TestErrorsAreMatchedByKind(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, map[string]any{"faults": map[string]any{"pcp": map[string]any{"refuse": 2}, "nat_pmp": "off", "upnp": "off"}})
	_, err := mapUDP(t, mapper, 4000).Ready(patient(t))
	var failed *portlease.Error
	if !errors.As(err, &failed) || failed.Kind != portlease.KindRefused || !strings.Contains(failed.Message, "pcp NOT_AUTHORIZED") {
		t.Fatalf("%v", err)
	}
	if !errors.Is(err, portlease.ErrRefused) || errors.Is(err, portlease.ErrUnavailable) || errors.Is(err, portlease.ErrTimeout) {
		t.Errorf("%v is of another kind", err)
	}
	if !strings.HasPrefix(err.Error(), "portlease: refused: ") {
		t.Errorf("%q", err.Error())
	}
	var timeout net.Error
	for _, late := range []error{portlease.ErrTimeout, &portlease.Error{Kind: portlease.KindTimeout}} {
		said, ok := late.(interface{ Timeout() bool })
		if !ok || !said.Timeout() || !errors.Is(late, portlease.ErrTimeout) {
			t.Errorf("%v is no timeout", late)
		}
	}
	if failed.Timeout() || errors.As(err, &timeout) {
		t.Errorf("%v is a timeout", err)
	}
	var none *portlease.Error
	if none.Timeout() || none.Is(portlease.ErrRefused) || none.Error() == "" {
		t.Error("no error is one")
	}
}

func TestALogShowsWhatThereIs(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, nil)
	lease := mapUDP(t, mapper, 4000)
	if _, err := lease.Ready(patient(t)); err != nil {
		t.Fatal(err)
	}
	event, err := mapper.NextEvent(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	report, err := mapper.Probe(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("all",
		"lease", lease.Snapshot(), "mapper", mapper.Snapshot(), "event", event, "report", report,
		"error", &portlease.Error{Kind: portlease.KindRefused, Message: "no"}, "none", (*portlease.Error)(nil))
	for _, want := range []string{
		"lease.state=installed", "lease.external=", "lease.protocol=pcp", "lease.expires_in=", "mapper.active=1",
		"mapper.gateway=127.", "event.kind=installed", "event.lease=1", "report.pcp.round_trip=", "error.kind=refused",
		"none=<nil>",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}
}

func TestStructsAreJSONAsInOtherLanguagesAndReadBack(t *testing.T) {
	t.Parallel()
	failed := &portlease.Error{Kind: portlease.KindRefused, Message: "no"}
	external := netip.MustParseAddrPort("192.0.1.1:4000")
	lease := portlease.LeaseSnapshot{
		ID: 1, Revision: 2, State: portlease.StateInstalled, Active: true, External: external, ExternalPort: 4000,
		InternalPort: 4000, Transport: portlease.UDP, Protocol: portlease.PCP, Lifetime: time.Hour,
		ExpiresIn: 3599*time.Second + 999999877, RenewsIn: 1500 * time.Millisecond, LastError: failed,
		NATClass: portlease.NATOpen, AddressClass: portlease.AddressPublic,
	}
	idle := portlease.LeaseSnapshot{ID: 2, InternalPort: 4001, Transport: portlease.TCP, Family: portlease.IPv6}
	for want, value := range map[string]any{
		`{"id":1,"revision":2,"state":"installed","active":true,"external":"192.0.1.1:4000","external_port":4000,` +
			`"internal_port":4000,"transport":"udp","family":"ipv4","protocol":"pcp","permanent":false,"renewals":0,"failures":0,` +
			`"nat_class":"open","address_class":"public","lifetime":3600,"expires_in":3599.999999877,"renews_in":1.5,` +
			`"last_error":{"kind":"refused","message":"no"}}`: &lease,
		`{"id":2,"revision":0,"state":"idle","active":false,"internal_port":4001,"transport":"tcp","family":"ipv6","permanent":false,` +
			`"renewals":0,"failures":0,"nat_class":"unknown","address_class":"unknown"}`: &idle,
		`{"gateway":"fe80::1%eth0","local_address":"192.168.1.2","protocols":["pcp"],"active":0,"renewals":0,` +
			`"events_dropped":0,"leases":[],"stopped":true,"last_error":{"kind":"refused","message":"no"}}`: &portlease.MapperSnapshot{
			Gateway: netip.MustParseAddr("fe80::1%eth0"), LocalAddress: netip.MustParseAddr("192.168.1.2"),
			Protocols: []portlease.Protocol{portlease.PCP}, Leases: []portlease.LeaseSnapshot{}, LastError: failed, Stopped: true,
		},
		`{"kind":"failed","lease":1,"transport":"udp","internal_port":4000,"external":"192.0.1.1:4000","external_port":4000,` +
			`"protocol":"upnp","address_class":"cgnat","dropped":3,"family":"ipv6","lifetime":0.25,"elapsed":0.5,` +
			`"error":{"kind":"refused","message":"no"}}`: &portlease.Event{
			Kind: portlease.EventFailed, Lease: 1, Transport: portlease.UDP, Family: portlease.IPv6, InternalPort: 4000, External: external,
			ExternalPort: 4000, Protocol: portlease.UPnP, Lifetime: 250 * time.Millisecond, AddressClass: portlease.AddressCGNAT,
			Error: failed, Elapsed: 500 * time.Millisecond, Dropped: 3,
		},
		`{"kind":"network-changed","address_class":"unknown","dropped":0,"elapsed":0}`: &portlease.Event{
			Kind: portlease.EventNetworkChanged,
		},
		`{"gateway":"192.168.1.1","local_address":"192.168.1.2","interface":"eth0","protocols":[` +
			`{"protocol":"pcp","external_address":"192.0.1.1","round_trip":0.001},` +
			`{"protocol":"upnp","error":{"kind":"refused","message":"no"}}]}`: &portlease.GatewayReport{
			Gateway: netip.MustParseAddr("192.168.1.1"), LocalAddress: netip.MustParseAddr("192.168.1.2"), Interface: "eth0",
			Protocols: []portlease.ProtocolReport{
				{Protocol: portlease.PCP, ExternalAddress: netip.MustParseAddr("192.0.1.1"), RoundTrip: time.Millisecond},
				{Protocol: portlease.UPnP, Error: failed},
			},
		},
	} {
		line, err := json.Marshal(value)
		if err != nil || string(line) != want {
			t.Errorf("%s, %v; wanted\n%s", line, err, want)
		}
		back := reflect.New(reflect.TypeOf(value).Elem()).Interface()
		if err := json.Unmarshal(line, back); err != nil || !reflect.DeepEqual(back, value) {
			t.Errorf("%s reads back as %+v, %v", line, back, err)
		}
	}
}

func TestAnErrorThatIsNoPointerIsTheSameJSON(t *testing.T) {
	t.Parallel()
	failed := portlease.Error{Kind: portlease.KindRefused, Message: "no", RetryAfter: 1500 * time.Millisecond}
	for name, value := range map[string]any{"the value": failed, "its pointer": &failed} {
		const want = `{"kind":"refused","message":"no","retry_after":1.5}`
		if line, err := json.Marshal(value); err != nil || string(line) != want {
			t.Errorf("%s: %s, %v", name, line, err)
		}
	}
	if line, err := json.Marshal((*portlease.Error)(nil)); err != nil || string(line) != "null" {
		t.Errorf("no error: %s, %v", line, err)
	}
}

func TestJSONThatDoesNotHaveAFieldLeavesIt(t *testing.T) {
	t.Parallel()
	failed := &portlease.Error{
		Kind: portlease.KindRefused, RetryAfter: time.Second, Details: []portlease.ErrorDetail{{Kind: portlease.KindRefused}},
	}
	whole := portlease.LeaseSnapshot{ID: 1, Lifetime: time.Hour, ExpiresIn: time.Minute, RenewsIn: time.Second, LastError: failed}
	for _, text := range []string{"null", "{}"} {
		read := whole
		if err := json.Unmarshal([]byte(text), &read); err != nil || !reflect.DeepEqual(read, whole) {
			t.Errorf("%s makes of it %+v, %v", text, read, err)
		}
	}
	read := whole
	other := `{"last_error":{"kind":"timeout","details":[{"kind":"timeout"}]}}`
	if err := json.Unmarshal([]byte(other), &read); err != nil || !errors.Is(read.LastError, portlease.ErrTimeout) ||
		failed.Kind != portlease.KindRefused || failed.Details[0].Kind != portlease.KindRefused {
		t.Errorf("%+v, %v; the error before is %+v", read, err, failed)
	}
	if err := json.Unmarshal([]byte(`{"last_error":null,"lifetime":2}`), &read); err != nil || read.LastError != nil || read.Lifetime != 2*time.Second {
		t.Errorf("%+v, %v", read, err)
	}
}

func TestListsInJSONAreListsAlsoWhileTheyAreEmpty(t *testing.T) {
	t.Parallel()
	line, err := json.Marshal(portlease.MapperSnapshot{})
	if want := `{"protocols":[],"active":0,"renewals":0,"events_dropped":0,"leases":[],"stopped":false}`; err != nil || string(line) != want {
		t.Errorf("%s, %v", line, err)
	}
}

func TestATimeInJSONThatIsTooLongIsAnError(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"lifetime":1e300}`, `{"lifetime":-9223372037}`, `{"lifetime":9223372036.9}`} {
		var read portlease.LeaseSnapshot
		if err := json.Unmarshal([]byte(text), &read); err == nil {
			t.Errorf("%s reads as %v", text, read.Lifetime)
		}
	}
}

// An error that is nil within an interface would not be nil for who compares it.
func TestAnErrorOfASnapshotThatIsNotThereIsNil(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, nil)
	lease := mapUDP(t, mapper, 4000)
	snapshot, err := lease.Ready(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	event, err := mapper.NextEvent(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	report, err := mapper.Probe(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	for of, err := range map[string]error{
		"the lease": snapshot.LastError, "the mapper": mapper.Snapshot().LastError, "the event": event.Error,
		"the report": report.Protocols[0].Error,
	} {
		if err != nil {
			t.Errorf("%s: %v", of, err)
		}
	}
}

func TestTheExternalPortIsKnownAlsoIfTheRouterDoesNotKnowItsAddress(t *testing.T) {
	t.Parallel()
	g := startGateway(t, map[string]any{"faults": map[string]any{"empty_external_address": true}})
	config := g.config()
	config.Protocols = []portlease.Protocol{portlease.UPnP}
	port, err := portlease.Open(patient(t), udp(4000), config)
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	snapshot := port.Snapshot()
	if !snapshot.Active || snapshot.External.IsValid() || snapshot.ExternalPort != 4000 || snapshot.NATClass != portlease.NATUnknown {
		t.Errorf("%+v", snapshot)
	}
	if logged := snapshot.LogValue().String(); !strings.Contains(logged, "external_port=4000") {
		t.Errorf("it is logged as %s", logged)
	}
	event, err := port.Mapper().NextEvent(patient(t))
	if err != nil || event.External.IsValid() || event.ExternalPort != 4000 {
		t.Errorf("%+v, %v", event, err)
	}
	if logged := event.LogValue().String(); !strings.Contains(logged, "external_port=4000") {
		t.Errorf("it is logged as %s", logged)
	}
}

func TestOpenOwnsItsMapper(t *testing.T) {
	t.Parallel()
	g := startGateway(t, nil)
	port, err := portlease.Open(patient(t), udp(4000), g.config())
	if err != nil {
		t.Fatal(err)
	}
	if snapshot := port.Snapshot(); !snapshot.Active || snapshot.External.Port() != 4000 {
		t.Errorf("%+v", snapshot)
	}
	if event, err := port.Mapper().NextEvent(patient(t)); err != nil || event.Kind != portlease.EventInstalled {
		t.Errorf("%+v, %v", event, err)
	}
	if err := port.Close(); err != nil || g.mappings(t) != 0 || !port.Mapper().Snapshot().Stopped {
		t.Errorf("close: %v; %d mappings are left", err, g.mappings(t))
	}
	if release, err := port.Stop(patient(t)); release != portlease.Released || err != nil {
		t.Errorf("stop: %v, %v", release, err)
	}
}

func TestOpenTakesAllThatMapTakes(t *testing.T) {
	t.Parallel()
	g := startGateway(t, nil)
	config := g.config()
	config.Protocols = []portlease.Protocol{portlease.NATPMP}
	request := portlease.Request{Port: 4000, Transport: portlease.TCP, ExternalPort: 5000, Exact: true}
	port, err := portlease.Open(patient(t), request, config)
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	snapshot := port.Snapshot()
	if snapshot.External.Port() != 5000 || snapshot.Transport != portlease.TCP || snapshot.Protocol != portlease.NATPMP {
		t.Errorf("%+v", snapshot)
	}
	if _, err := portlease.Open(patient(t), portlease.Request{Port: 4000}, config); err == nil || !strings.Contains(err.Error(), "Transport: ") {
		t.Errorf("no transport: %v", err)
	}
}

func TestDetachOfWhatOpenReturnedLeavesTheMappingAndEndsTheEngine(t *testing.T) {
	t.Parallel()
	g := startGateway(t, nil)
	port, err := portlease.Open(patient(t), udp(4000), g.config())
	if err != nil {
		t.Fatal(err)
	}
	if release, err := port.Detach(patient(t)); release != portlease.Released || err != nil {
		t.Errorf("detach: %v, %v", release, err)
	}
	if !port.Mapper().Snapshot().Stopped || port.Snapshot().State != portlease.StateExited {
		t.Errorf("%+v, %+v", port.Mapper().Snapshot(), port.Snapshot())
	}
	if _, err := port.Detach(patient(t)); err != nil {
		t.Errorf("again: %v", err)
	}
	if err := port.Close(); err != nil {
		t.Errorf("close after that: %v", err)
	}
	if left := g.mappings(t); left != 1 {
		t.Errorf("%d mappings are left", left)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	other, err := portlease.Open(patient(t), udp(4001), g.config())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Detach(ended); err != nil && err != context.Canceled {
		t.Errorf("detach with a context that has ended: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if left := g.mappings(t); left != 2 {
		t.Errorf("%d mappings are left of two", left)
	}
}

func TestAnOpenThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	g := startGateway(t, silent)
	if _, err := portlease.Open(patient(t), udp(0), g.config()); !errors.Is(err, portlease.ErrInvalid) {
		t.Errorf("port 0: %v", err)
	}
	if _, err := portlease.Open(patient(t), udp(4000), portlease.Config{}, portlease.Config{}); !errors.Is(err, portlease.ErrInvalid) {
		t.Errorf("two configurations: %v", err)
	}
	if _, err := portlease.Open(patient(t), udp(4000), g.config()); !errors.Is(err, portlease.ErrUnavailable) {
		t.Errorf("a gateway that is silent: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*look)
	defer cancel()
	begin := time.Now()
	if _, err := portlease.Open(ctx, udp(4000), g.config()); err != context.DeadlineExceeded {
		t.Errorf("little time: %v", err)
	}
	if took := time.Since(begin); took > atOnce {
		t.Errorf("it took %v", took)
	}
}
