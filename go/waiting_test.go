package portlease_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	portlease "github.com/portlease/portlease/go"
)

// atOnce is how long a cancelled wait may take on a busy machine. The waits here would take many seconds otherwise.
const atOnce = time.Second

// silent is a gateway that answers nothing.
var silent = map[string]any{"faults": map[string]any{"pcp": "silent", "nat_pmp": "silent", "upnp": "silent", "ssdp": "silent"}}

// start starts a mapper on a gateway of its own. Both end with the test.
func start(t testing.TB, settings map[string]any) (*portlease.Mapper, *simulated) {
	t.Helper()
	g := startGateway(t, settings)
	return startMapper(t, g.config()), g
}

func startMapper(t testing.TB, config portlease.Config) *portlease.Mapper {
	t.Helper()
	mapper, err := portlease.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mapper.Close() })
	return mapper
}

// mapUDP maps a port.
func mapUDP(t testing.TB, mapper *portlease.Mapper, port uint16) *portlease.Lease {
	t.Helper()
	lease, err := mapper.Map(udp(port))
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// udp is a request for a port.
func udp(port uint16) portlease.Request {
	return portlease.Request{Port: port, Transport: portlease.UDP}
}

// patient is a context that ends long after everything that works.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// untilEnded waits again where a wait is over before its context, as it is once a silent gateway was given up.
func untilEnded[T any](ctx context.Context, wait func(context.Context) (T, error)) error {
	for {
		if _, err := wait(ctx); err != nil && !errors.Is(err, portlease.ErrUnavailable) {
			return err
		}
	}
}

func TestCancellingEndsEveryWaitAtOnceAndNothingElse(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, silent)
	lease := mapUDP(t, mapper, 4000)
	waits := map[string]func(context.Context) error{
		"ready":      func(ctx context.Context) error { return untilEnded(ctx, lease.Ready) },
		"repair":     func(ctx context.Context) error { return untilEnded(ctx, lease.Repair) },
		"next event": func(ctx context.Context) error { return untilEnded(ctx, mapper.NextEvent) },
		"probe":      func(ctx context.Context) error { return untilEnded(ctx, mapper.Probe) },
		"changed": func(ctx context.Context) error {
			snapshot, err := lease.Snapshot(), error(nil)
			for err == nil {
				snapshot, err = lease.Changed(ctx, snapshot.Revision)
			}
			return err
		},
		"events": func(ctx context.Context) error {
			for event, err := range mapper.Events(ctx) {
				if err != nil {
					return err
				}
				t.Logf("%+v", event)
			}
			return nil
		},
	}
	for name, wait := range waits {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(5*look, cancel)
		begin := time.Now()
		if err := wait(ctx); err != context.Canceled {
			t.Errorf("%s: %v, want context.Canceled itself", name, err)
		}
		if took := time.Since(begin); took > atOnce {
			t.Errorf("%s took %v", name, took)
		}
		ctx, cancel = context.WithTimeout(context.Background(), 5*look)
		if err := wait(ctx); err != context.DeadlineExceeded {
			t.Errorf("%s: %v, want context.DeadlineExceeded itself", name, err)
		}
		cancel()
		if err := wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v with a context that has ended before", name, err)
		}
	}
	if snapshot := lease.Snapshot(); snapshot.State == portlease.StateExited {
		t.Errorf("the lease has ended with the wait: %+v", snapshot)
	}
}

func TestTheCauseOfACancellationIsInTheError(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, silent)
	cause := errors.New("the game is over")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	_, err := mapper.NextEvent(ctx)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
		t.Errorf("%v is not both", err)
	}
}

func TestAStopThatIsCancelledStillReleases(t *testing.T) {
	t.Parallel()
	mapper, g := start(t, nil)
	first, second := mapUDP(t, mapper, 4000), mapUDP(t, mapper, 4001)
	for _, lease := range []*portlease.Lease{first, second} {
		if _, err := lease.Ready(patient(t)); err != nil {
			t.Fatal(err)
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if release, err := first.Stop(ended); (err == nil) != (release == portlease.Released) || err != nil && err != context.Canceled {
		t.Errorf("stop: %v, %v", release, err)
	}
	g.waitForMappings(t, 1)
	if release, err := mapper.Stop(ended); (err == nil) != (release == portlease.Released) || err != nil && err != context.Canceled {
		t.Errorf("stop of the mapper: %v, %v", release, err)
	}
	g.waitForMappings(t, 0)
}

func TestAStopAtADeadRouterIsPendingFirstThenUnconfirmedAndNeverAFailureOfClose(t *testing.T) {
	t.Parallel()
	mapper, g := start(t, nil)
	lease := mapUDP(t, mapper, 4000)
	if _, err := lease.Ready(patient(t)); err != nil {
		t.Fatal(err)
	}
	g.set(t, map[string]any{"pcp": "silent", "nat_pmp": "silent", "upnp": "silent"})
	ctx, cancel := context.WithTimeout(context.Background(), 5*look)
	defer cancel()
	if release, err := lease.Stop(ctx); release != portlease.Pending || err != context.DeadlineExceeded {
		t.Errorf("a short stop: %v, %v", release, err)
	}
	if release, err := lease.Stop(context.Background()); release != portlease.Unconfirmed || err != nil {
		t.Errorf("a stop with time: %v, %v", release, err)
	}
	if state := lease.Snapshot().State; state != portlease.StateExited {
		t.Errorf("the lease is %v", state)
	}
	if release, err := mapper.Stop(patient(t)); release != portlease.Unconfirmed || err != nil {
		t.Errorf("the stop of the mapper: %v, %v", release, err)
	}
	// What is over is told also to a context that has ended.
	if release, err := lease.Stop(ctx); release != portlease.Unconfirmed || err != nil {
		t.Errorf("a stop after the end: %v, %v", release, err)
	}
	if err := errors.Join(lease.Close(), mapper.Close()); err != nil {
		t.Errorf("close: %v", err)
	}
}

// Not parallel: it looks at all goroutines.
func TestADetachWhoseContextHasEndedBeginsAndLeavesNobodyWaiting(t *testing.T) {
	mapper, _ := start(t, silent)
	lease := mapUDP(t, mapper, 4000)
	eventually(t, "the gateway is asked", func() bool { return lease.Snapshot().State == portlease.StateProbing })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if release, err := lease.Detach(ctx); release != portlease.Pending || err != context.Canceled {
		t.Errorf("detach: %v, %v", release, err)
	}
	// Whether there is a goroutine that hands out the ends of waits.
	waiting := func() bool {
		stacks := make([]byte, 1<<20)
		return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "created by github.com/portlease/portlease/go.(*waits).start")
	}
	eventually(t, "nobody waits", func() bool { return !waiting() })
	// It is over when the attempt is, about a second later.
	if lease.Snapshot().State == portlease.StateExited {
		t.Error("a goroutine has waited for the lease's end")
	}
	eventually(t, "the lease ends", func() bool { return lease.Snapshot().State == portlease.StateExited })
	// What is over is no failure, whatever the context.
	if _, err := lease.Detach(ctx); err != nil {
		t.Errorf("detach at the end: %v", err)
	}
	if _, err := lease.Stop(ctx); err != nil {
		t.Errorf("stop at the end: %v", err)
	}
}

func TestAHundredWaitsNeedNoHundredThreads(t *testing.T) {
	mapper, _ := start(t, silent)
	lease := mapUDP(t, mapper, 4000)
	before := threads(t)
	ctx, cancel := context.WithCancel(context.Background())
	var waiting sync.WaitGroup
	failures := make(chan error, 100)
	for i := range 100 {
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			switch i % 3 {
			case 0:
				failures <- untilEnded(ctx, lease.Ready)
			case 1:
				failures <- untilEnded(ctx, mapper.NextEvent)
			case 2:
				failures <- untilEnded(ctx, mapper.Probe)
			}
		}()
	}
	time.Sleep(20 * look)
	if grown := threads(t) - before; grown > 10 {
		t.Errorf("100 waits have started %d threads", grown)
	}
	cancel()
	waiting.Wait()
	close(failures)
	for err := range failures {
		if err != context.Canceled {
			t.Errorf("a wait ended with %v", err)
		}
	}
}

func TestAHundredGoroutinesMapAndStop(t *testing.T) {
	t.Parallel()
	mapper, g := start(t, nil)
	ctx := patient(t)
	var working sync.WaitGroup
	for i := range 100 {
		working.Add(1)
		go func() {
			defer working.Done()
			lease, err := mapper.Map(portlease.Request{Port: uint16(5000 + i), Transport: portlease.TCP})
			if err != nil {
				t.Error(err)
				return
			}
			snapshot, err := lease.Ready(ctx)
			if err != nil || snapshot.External.Port() != uint16(5000+i) {
				t.Errorf("%+v, %v", snapshot, err)
			}
			for range 10 {
				lease.Snapshot()
				mapper.Snapshot()
			}
			if release, err := lease.Stop(ctx); release != portlease.Released || err != nil {
				t.Error(release, err)
			}
		}()
	}
	working.Wait()
	// What a protocol that lost the race has mapped late is released a little later.
	g.waitForMappings(t, 0)
}

func TestNoEventIsLostByACancelledWait(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, nil)
	const leases, impatient = 50, 500
	for i := range leases {
		mapUDP(t, mapper, uint16(6000+i))
	}
	seen := map[uint64]int{}
	for i := 0; len(seen) < leases; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if i < impatient {
			// From a nanosecond to 8 ms, as many of each magnitude.
			cancel()
			ctx, cancel = context.WithTimeout(context.Background(), time.Duration(1)<<rand.N(23))
		}
		event, err := mapper.NextEvent(ctx)
		cancel()
		switch {
		case err == nil && event.Kind == portlease.EventInstalled:
			seen[event.Lease]++
		case err == nil:
			t.Errorf("%+v", event)
		case i >= impatient || !errors.Is(err, context.DeadlineExceeded):
			t.Fatalf("%v, with the events of %d of %d leases; %d are active", err, len(seen), leases, mapper.Snapshot().Active)
		}
	}
	for lease, times := range seen {
		if times != 1 {
			t.Errorf("lease %d has %d events", lease, times)
		}
	}
}

func TestNoEventIsLostByALoopThatIsCancelled(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, nil)
	const leases, impatient = 50, 200
	for i := range leases {
		mapUDP(t, mapper, uint16(6000+i))
	}
	seen := map[uint64]int{}
	for i := 0; len(seen) < leases; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if i < impatient {
			cancel()
			ctx, cancel = context.WithTimeout(context.Background(), time.Duration(1)<<rand.N(23))
		}
		for event, err := range mapper.Events(ctx) {
			if err == nil && event.Kind == portlease.EventInstalled && event.Dropped == 0 {
				seen[event.Lease]++
			} else if err == nil || i >= impatient || !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%+v, %v, with the events of %d of %d leases", event, err, len(seen), leases)
			}
			if len(seen) == leases {
				break
			}
		}
		cancel()
	}
	for lease, times := range seen {
		if times != 1 {
			t.Errorf("lease %d has %d events", lease, times)
		}
	}
}

func TestEveryGoroutineInReadyHearsOfAFailedAttempt(t *testing.T) {
	t.Parallel()
	g := startGateway(t, silent)
	config := g.config()
	config.Retry = portlease.RetryPolicy{Min: time.Hour, Max: time.Hour} // there is one attempt
	lease := mapUDP(t, startMapper(t, config), 4000)
	const waiters = 20
	failures := make(chan error, waiters)
	for range waiters {
		go func() {
			_, err := lease.Ready(patient(t))
			failures <- err
		}()
	}
	for range waiters {
		if err := <-failures; !errors.Is(err, portlease.ErrUnavailable) {
			t.Errorf("ready: %v", err)
		}
	}
	// It has been heard: who asks now waits for the next attempt.
	ctx, cancel := context.WithTimeout(context.Background(), 5*look)
	defer cancel()
	if _, err := lease.Ready(ctx); err != context.DeadlineExceeded {
		t.Errorf("ready, later: %v", err)
	}
}

func TestAChangeIsWaitedForUntilTheLeaseIsOver(t *testing.T) {
	t.Parallel()
	mapper, _ := start(t, nil)
	lease := mapUDP(t, mapper, 4000)
	seen := lease.Snapshot()
	for !seen.Active {
		next, err := lease.Changed(patient(t), seen.Revision)
		if err != nil || next.Revision <= seen.Revision {
			t.Fatalf("%+v after %+v, %v", next, seen, err)
		}
		seen = next
	}
	if seen.Lifetime <= 0 || seen.ExpiresIn > seen.Lifetime {
		t.Errorf("%+v", seen)
	}
	// What was missed is told at once, and what is the same is waited for.
	if again, err := lease.Changed(patient(t), seen.Revision-1); err != nil || again.Revision != seen.Revision {
		t.Errorf("%+v, %v", again, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*look)
	defer cancel()
	if next, err := lease.Changed(ctx, seen.Revision); err != context.DeadlineExceeded {
		t.Errorf("%+v, %v", next, err)
	}
	time.AfterFunc(5*look, func() { lease.Close() })
	next, err := lease.Changed(patient(t), seen.Revision)
	for err == nil && next.State != portlease.StateExited {
		next, err = lease.Changed(patient(t), next.Revision)
	}
	if err != nil || next.Active {
		t.Errorf("%+v, %v", next, err)
	}
	if after, err := lease.Changed(patient(t), next.Revision); !errors.Is(err, portlease.ErrStopped) {
		t.Errorf("after the end, %+v: %+v, %v", next, after, err)
	}
}

// threads counts those of this process.
func threads(t testing.TB) int { return entries(t, "/proc/self/task") }

func entries(t testing.TB, folder string) int {
	t.Helper()
	found, err := os.ReadDir(folder)
	if err != nil {
		t.Skipf("%s cannot tell: %v", runtime.GOOS, err)
	}
	return len(found)
}

func TestMappersThatNobodyHoldsEndTheirThreads(t *testing.T) {
	before := threads(t)
	for range 50 {
		if _, err := portlease.Start(portlease.Config{}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the threads end", func() bool {
		runtime.GC()
		return threads(t) < before+20
	})
}

func TestAnOpenThatFailsDoesNotLeaveItsEngineToTheGarbageCollector(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	before := threads(t)
	for range 50 {
		if _, err := portlease.Open(patient(t), udp(0)); !errors.Is(err, portlease.ErrInvalid) {
			t.Fatal(err)
		}
	}
	eventually(t, "the threads end", func() bool { return threads(t) < before+20 })
}

func TestTwoHundredLivesLeaveNothingBehind(t *testing.T) {
	g := startGateway(t, nil)
	life := func(i int) error {
		config := g.config()
		config.Logger = slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug})
		mapper, err := portlease.Start(config)
		if err != nil {
			return err
		}
		defer mapper.Close()
		lease, err := mapper.Map(portlease.Request{Port: uint16(7000 + i), Transport: portlease.UDP})
		if err != nil {
			return err
		}
		ctx := patient(t)
		if _, err := lease.Ready(ctx); err != nil {
			return err
		}
		if _, err := mapper.NextEvent(ctx); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		if _, err := mapper.NextEvent(ctx); !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("a second event: %w", err)
		}
		_, err = mapper.Stop(patient(t))
		return err
	}
	measure := func() (goroutines, files, tasks int) {
		runtime.GC()
		return runtime.NumGoroutine(), entries(t, "/proc/self/fd"), threads(t)
	}
	for i := range 20 {
		if err := life(i); err != nil {
			t.Fatal(err)
		}
	}
	goroutines, files, tasks := measure()
	for i := range 200 {
		if err := life(i); err != nil {
			t.Fatal(err)
		}
	}
	// Goroutines and threads of other tests, and of the garbage collector, come and go: what leaks grows by 200.
	eventually(t, "goroutines, open files and threads as before", func() bool {
		g, f, n := measure()
		t.Logf("goroutines %d -> %d, open files %d -> %d, threads %d -> %d", goroutines, g, files, f, tasks, n)
		return g < goroutines+20 && f < files+20 && n < tasks+20
	})
}
