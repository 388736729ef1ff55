package portlease_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	portlease "github.com/portlease/portlease/go"
)

// failure is what is wrong with a scenario, and where: the number of the step from 1, "end", or nil where it is the
// file or the gateway's start.
type failure struct {
	at     any
	reason error
}

func (f *failure) Error() string { return f.reason.Error() }

// player plays a scenario against a gateway of its own.
type player struct {
	gateway *simulated
	config  portlease.Config
	mappers map[string]*portlease.Mapper
	leases  map[string]*portlease.Lease
}

// play plays all steps, stops every mapper, and looks at what is left on the gateway.
func play(s *scenario) *failure {
	gateway, err := newGateway(s.gateway)
	if err != nil {
		return &failure{nil, err}
	}
	defer gateway.Close()
	p := &player{gateway, gateway.config(), map[string]*portlease.Mapper{}, map[string]*portlease.Lease{}}
	defer func() {
		for _, mapper := range p.mappers {
			mapper.Close()
		}
	}()
	if err := configure(&p.config, s.config); err != nil {
		return &failure{nil, err}
	}
	if failed := p.steps(s.steps); failed != nil {
		return failed
	}
	for name, mapper := range p.mappers {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := mapper.Stop(ctx)
		cancel()
		if err != nil {
			return &failure{"end", fmt.Errorf("%s does not stop: %w", name, err)}
		}
	}
	state, err := p.state(s.end)
	if err != nil {
		return &failure{"end", err}
	}
	if why := mismatch("end", s.end, state); why != "" {
		return &failure{"end", errors.New(why)}
	}
	return nil
}

func (p *player) steps(steps []step) *failure {
	for i, step := range steps {
		if err := p.step(&step); err != nil {
			return &failure{float64(i + 1), fmt.Errorf("step %d, %s\n  %w", i+1, step.original, err)}
		}
	}
	return nil
}

func (p *player) step(s *step) error {
	start := time.Now()
	result, failed, err := p.act(s)
	took := time.Since(start)
	switch {
	case err != nil:
		return err
	case failed == nil && s.mayFail:
		return fmt.Errorf("it should have failed, but gave %s", text(result))
	case failed != nil && !s.mayFail:
		return fmt.Errorf("it failed: %s", text(errorView(failed)))
	}
	why := ""
	switch {
	case failed != nil:
		why = mismatch("error", s.fails, plain(errorView(failed)))
	case s.expects:
		why = mismatch("result", s.sees, plain(result))
	}
	if why != "" {
		return errors.New(why)
	}
	if s.bounded && took > s.within {
		return fmt.Errorf("it took %v, allowed are %v", took, s.within)
	}
	return nil
}

// act makes the call: its result, or its error. The last error is that of a scenario that is itself wrong.
func (p *player) act(s *step) (result any, failed, wrong error) {
	var mapper *portlease.Mapper
	var lease *portlease.Lease
	var known bool
	switch s.do {
	case "map", "mapper_snapshot", "next_event", "probe", "stop_mapper":
		if mapper, known = p.mappers[s.mapper]; !known {
			return nil, nil, fmt.Errorf("no mapper `%s` was started", s.mapper)
		}
	case "ready", "snapshot", "wait_for", "stop", "detach":
		if lease, known = p.leases[s.lease]; !known {
			return nil, nil, fmt.Errorf("no lease `%s` was mapped", s.lease)
		}
	}
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	switch {
	case s.timeout != nil:
		ctx, cancel = context.WithTimeout(ctx, *s.timeout)
	case s.do == "ready" || s.do == "next_event":
		ctx, cancel = context.WithTimeout(ctx, patience)
	}
	defer cancel()
	switch s.do {
	case "start":
		return p.start(s)
	case "map":
		return p.mapPort(s, mapper)
	case "ready":
		snapshot, err := lease.Ready(ctx)
		return leaseView(snapshot), err, nil
	case "snapshot":
		return leaseView(lease.Snapshot()), nil, nil
	case "wait_for":
		result, wrong = until(s.sees, func() (any, error) { return plain(leaseView(lease.Snapshot())), nil })
	case "stop":
		return over(lease.Stop(ctx))
	case "detach":
		return nil, lease.Detach(ctx), nil
	case "mapper_snapshot":
		return mapperView(mapper.Snapshot()), nil, nil
	case "next_event":
		return nextEvent(ctx, mapper, s.skip)
	case "probe":
		report, err := mapper.Probe(ctx)
		return reportView(report), err, nil
	case "stop_mapper":
		return over(mapper.Stop(ctx))
	case "gateway":
		if s.line["command"] == "stop" {
			return nil, nil, errors.New("the gateway stays until the end")
		}
		result, wrong = p.gateway.tell(s.line)
	case "wait_for_gateway":
		result, wrong = until(s.sees, func() (any, error) { return p.state(s.sees) })
	case "repeat":
		for range s.times {
			if failed := p.steps(s.steps); failed != nil {
				return nil, nil, failed
			}
		}
	}
	return result, nil, wrong
}

func (p *player) start(s *step) (result any, failed, wrong error) {
	config := p.config
	if err := configure(&config, s.config); err != nil {
		return nil, nil, err
	}
	mapper, err := portlease.Start(config)
	if err == nil {
		p.mappers[s.mapper] = mapper
	}
	return nil, err, nil
}

func (p *player) mapPort(s *step, mapper *portlease.Mapper) (result any, failed, wrong error) {
	request := portlease.Request{Port: s.port, Exact: s.exact}
	if err := request.Transport.UnmarshalText([]byte(s.transport)); err != nil {
		return nil, nil, err
	}
	if s.externalPort != nil {
		request.ExternalPort = *s.externalPort
	}
	lease, err := mapper.Map(request)
	if err == nil {
		p.leases[s.lease] = lease
	}
	return nil, err, nil
}

// over is the result of a stop: whether the release has ended, or goes on behind.
func over(err error) (result any, failed, wrong error) {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, portlease.ErrTimeout) {
		return false, nil, nil
	}
	return true, err, nil
}

func nextEvent(ctx context.Context, mapper *portlease.Mapper, skip any) (result any, failed, wrong error) {
	for {
		event, err := mapper.NextEvent(ctx)
		if err != nil {
			return nil, err, nil
		}
		view := plain(eventView(event))
		if skip == nil || mismatch("skip", skip, view) != "" {
			return view, nil, nil
		}
	}
}

// state is the gateway's table and counters. A counter that is expected and never counted is 0.
func (p *player) state(expected any) (any, error) {
	state, err := p.gateway.state()
	if err != nil {
		return nil, err
	}
	names, _ := expected.(map[string]any)
	wanted, _ := names["counters"].(map[string]any)
	counters, _ := state["counters"].(map[string]any)
	for name := range wanted {
		if _, counted := counters[name]; !counted {
			counters[name] = 0.0
		}
	}
	return state, nil
}

// until looks until it is as expected, and gives what was seen last.
func until(expected any, see func() (any, error)) (any, error) {
	for end := time.Now().Add(patience); ; time.Sleep(look) {
		seen, err := see()
		if err != nil || time.Now().After(end) || mismatch("", expected, seen) == "" {
			return seen, err
		}
	}
}
