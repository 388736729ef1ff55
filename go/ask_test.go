package portlease_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	portlease "github.com/portlease/portlease/go"
)

func TestAnErrorHasItsReasonsAndTheLatestOfALeaseToo(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, map[string]any{"faults": map[string]any{"pcp": map[string]any{"refuse": 2}, "nat_pmp": "off", "upnp": "off"}})
	lease := mapUDP(t, mapper, 4000)
	_, err := lease.Ready(patient(t))
	var failed, last, told *portlease.Error
	if !errors.As(err, &failed) || failed.Kind != portlease.KindRefused || failed.Advice == "" {
		t.Fatalf("%+v", err)
	}
	// Another attempt may have followed.
	if snapshot := lease.Snapshot(); !errors.As(snapshot.LastError, &last) || last.Advice == "" {
		t.Errorf("%+v", snapshot)
	}
	if snapshot := mapper.Snapshot(); !errors.As(snapshot.Leases[0].LastError, &last) || last.Advice == "" {
		t.Errorf("%+v", snapshot)
	}
	event, err := mapper.NextEvent(patient(t))
	if err != nil || !errors.As(event.Error, &told) || told.Advice == "" || len(told.Details) != len(failed.Details) {
		t.Errorf("%+v, %v", event, err)
	}
}

func TestARequestThatIsMadeAgainBringsTheSameLease(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, nil)
	request := udp(4000)
	request.Description = "camera"
	first, err := mapper.Ensure(request)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := mapper.Ensure(request); again != first || err != nil {
		t.Errorf("another lease: %v, %v", again, err)
	}
	request.Exact = true
	if _, err := mapper.Ensure(request); !errors.Is(err, portlease.ErrInvalid) || !strings.Contains(err.Error(), "Port: ") {
		t.Errorf("other wishes: %v", err)
	}
	overUDP, overTCP, err := mapper.MapBoth(portlease.Request{Port: 4001})
	if err != nil {
		t.Fatal(err)
	}
	if snapshot, err := overTCP.Ready(patient(t)); err != nil || snapshot.Transport != portlease.TCP {
		t.Errorf("%+v, %v", snapshot, err)
	}
	runtime.GC()
	if all := mapper.Leases(); !slices.Equal(all, []*portlease.Lease{first, overUDP, overTCP}) {
		t.Errorf("the leases are %v", all)
	}
	first.Close()
	if all := mapper.Leases(); !slices.Equal(all, []*portlease.Lease{overUDP, overTCP}) {
		t.Errorf("the leases that are left are %v", all)
	}
	request.Exact = false
	if next, err := mapper.Ensure(request); next == first || err != nil || next.ID() != 4 {
		t.Errorf("the stopped lease: %v, %v", next, err)
	}
}

func TestALeaseSaysWhereItIsWithoutASnapshot(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, map[string]any{"external_address": "192.0.1.1"})
	lease := mapUDP(t, mapper, 4000)
	if _, err := lease.Ready(patient(t)); err != nil {
		t.Fatal(err)
	}
	if external := lease.External(); external != netip.MustParseAddrPort("192.0.1.1:4000") || lease.ExternalPort() != 4000 {
		t.Errorf("%v, %v", external, lease.ExternalPort())
	}
	if !lease.Active() || lease.State() != portlease.StateInstalled || lease.Protocol() != portlease.PCP ||
		lease.AddressClass() != portlease.AddressPublic {
		t.Errorf("%+v", lease.Snapshot())
	}
	lease.Close()
	if lease.Active() || lease.External().IsValid() || lease.State() != portlease.StateExited || lease.Protocol() != 0 {
		t.Errorf("%+v", lease.Snapshot())
	}
}

func TestTheRouterIsAskedForItsTableAndItsAddress(t *testing.T) {
	t.Parallel()
	g := startGateway(t, map[string]any{"external_address": "192.0.1.1"})
	config := g.config()
	config.Protocols = []portlease.Protocol{portlease.UPnP}
	mapper := startMapper(t, config)
	lease := mapUDP(t, mapper, 4000)
	if _, err := lease.Ready(patient(t)); err != nil {
		t.Fatal(err)
	}
	table, err := mapper.Table(patient(t))
	if err != nil || len(table) != 1 || table[0].ExternalPort != 4000 || !table[0].ThisMachine || table[0].Description != "portlease" {
		t.Fatalf("%+v, %v", table, err)
	}
	if _, err := mapper.Delete(patient(t), portlease.UDP, 4000, false); !errors.Is(err, portlease.ErrInvalid) {
		t.Errorf("what a lease holds: %v", err)
	}
	if _, err := mapper.Delete(patient(t), 0, 4000, false); !errors.Is(err, portlease.ErrInvalid) || strings.Contains(err.Error(), "PORTLEASE") {
		t.Errorf("no transport: %v", err)
	}
	if _, err := lease.Detach(patient(t)); err != nil {
		t.Fatal(err)
	}
	if address, err := mapper.ExternalAddress(patient(t)); err != nil || address != netip.MustParseAddr("192.0.1.1") {
		t.Errorf("%v, %v", address, err)
	}
	entry, err := mapper.Delete(patient(t), portlease.UDP, 4000, false)
	if err != nil || entry == nil || entry.InternalPort != 4000 || g.mappings(t) != 0 {
		t.Errorf("%+v, %v", entry, err)
	}
	if entry, err := mapper.Delete(patient(t), portlease.UDP, 4000, false); entry != nil || err != nil {
		t.Errorf("again: %+v, %v", entry, err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := mapper.Table(ended); err != context.Canceled {
		t.Errorf("a context that has ended: %v", err)
	}
}

func TestOneLineAsksTheRouterAndLeavesNothing(t *testing.T) {
	t.Parallel()
	g := startGateway(t, map[string]any{"external_address": "192.0.1.1"})
	if report, err := portlease.Probe(patient(t), g.config()); err != nil || len(report.Protocols) != 3 {
		t.Errorf("%+v, %v", report, err)
	}
	if address, err := portlease.ExternalAddress(patient(t), g.config()); err != nil || address != netip.MustParseAddr("192.0.1.1") {
		t.Errorf("%v, %v", address, err)
	}
	for _, config := range [][]portlease.Config{{{}, {}}, {{TTL: -1}}, {{Interface: "\x00"}}} {
		if _, err := portlease.Probe(patient(t), config...); !errors.Is(err, portlease.ErrInvalid) {
			t.Errorf("%+v: %v", config, err)
		}
	}
}

// guarded is a buffer for several goroutines.
type guarded struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (g *guarded) Write(text []byte) (int, error) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.text.Write(text)
}

func (g *guarded) String() string {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.text.String()
}

// A folder in which no system lets anybody write, because it would be in a file. Windows says so at the first mapping.
func unwritable(t *testing.T) string {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(file, "nowhere")
}

func TestAHandlerInTheConfigGetsWhatTheLibraryTells(t *testing.T) {
	t.Parallel()
	g := startGateway(t, nil)
	config := g.config()
	config.StateDir = unwritable(t) // a warning
	var warned, nothing guarded
	config.Logger = slog.NewTextHandler(&warned, &slog.HandlerOptions{Level: slog.LevelWarn})
	mapper := startMapper(t, config)
	if _, err := mapper.Map(portlease.Request{Port: 4000, Transport: portlease.UDP}); err != nil {
		t.Fatal(err)
	}
	config.Logger = slog.NewTextHandler(&nothing, &slog.HandlerOptions{Level: slog.LevelError + 4})
	startMapper(t, config).Close()
	eventually(t, "the warning", func() bool { return strings.Contains(warned.String(), "nowhere") })
	mapper.Close()
	line := warned.String()
	if !strings.Contains(line, "level=WARN") || !strings.Contains(line, "target=portlease::") || !strings.Contains(line, "time=2") {
		t.Error(line)
	}
	if nothing.String() != "" {
		t.Errorf("a handler that takes nothing has got %s", &nothing)
	}
}

// A handler that calls the mapper must not hang it.
type stopping struct {
	slog.Handler
	mapper chan *portlease.Mapper
}

func (s stopping) Handle(ctx context.Context, record slog.Record) error {
	select {
	case mapper := <-s.mapper:
		mapper.Close()
	default:
	}
	return nil
}

func TestAHandlerMayStopItsMapper(t *testing.T) {
	t.Parallel()
	g := startGateway(t, nil)
	config := g.config()
	handler := stopping{slog.NewTextHandler(new(guarded), nil), make(chan *portlease.Mapper, 1)}
	config.Logger = handler
	mapper := startMapper(t, config)
	handler.mapper <- mapper
	config.Logger, config.StateDir = nil, unwritable(t) // another mapper, whose warning the handler gets
	other := startMapper(t, config)
	if _, err := other.Map(portlease.Request{Port: 4000, Transport: portlease.UDP}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the mapper is stopped", func() bool { return mapper.Snapshot().Stopped })
}
