package portlease_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// fields are the named parts of something in a scenario's file. Each is taken once; what is left over is an error.
type fields map[string]json.RawMessage

// take reads one field, where it is there, and says whether it was. Its error names it.
func (f fields) take(name string, into any) (bool, error) {
	raw, ok := f[name]
	if !ok {
		return false, nil
	}
	delete(f, name)
	reader := json.NewDecoder(bytes.NewReader(raw))
	reader.DisallowUnknownFields()
	if err := reader.Decode(into); err != nil {
		return false, fmt.Errorf("`%s`: %w", name, err)
	}
	return true, nil
}

// end fails where a field was not taken.
func (f fields) end() error {
	for name := range f {
		return fmt.Errorf("there is no `%s`", name)
	}
	return nil
}

// scenario is a file of tests/scenarios. Its README has the format.
type scenario struct {
	name    string
	gateway map[string]any
	config  map[string]any
	steps   []step
	failsAt any
	end     any
}

// step is one call and what must be seen of it.
type step struct {
	action
	do string
	// What must be seen: nothing where expects is false.
	sees    any
	expects bool
	// What the error must match: nothing where it may not fail.
	fails    any
	mayFail  bool
	within   time.Duration
	bounded  bool
	original string
}

// action has the arguments of every step; a step has those that its call has, the others are zero.
type action struct {
	mapper, lease string
	config        map[string]any
	port          uint16
	transport     string
	externalPort  *uint16
	exact         bool
	timeout       *time.Duration
	skip          any
	line          map[string]any
	times         int
	steps         []step
}

// arguments lists what each call takes.
var arguments = map[string][]string{
	"start":            {"mapper", "config"},
	"map":              {"mapper", "lease", "port", "transport", "external_port", "exact"},
	"ready":            {"lease", "timeout"},
	"snapshot":         {"lease"},
	"wait_for":         {"lease"},
	"stop":             {"lease", "timeout"},
	"detach":           {"lease"},
	"mapper_snapshot":  {"mapper"},
	"next_event":       {"mapper", "timeout", "skip"},
	"probe":            {"mapper"},
	"stop_mapper":      {"mapper", "timeout"},
	"gateway":          {"line"},
	"wait_for_gateway": {},
	"repeat":           {"times", "steps"},
}

// required are the arguments that have no default.
var required = map[string][]string{"map": {"port"}, "gateway": {"line"}, "repeat": {"times", "steps"}}

func parseScenario(file []byte) (*scenario, error) {
	var f fields
	if err := json.Unmarshal(file, &f); err != nil {
		return nil, err
	}
	s := &scenario{
		gateway: map[string]any{},
		config:  map[string]any{},
		end:     map[string]any{"mappings": []any{}},
	}
	var note string
	var steps []fields
	for name, into := range map[string]any{
		"name": &s.name, "note": &note, "gateway": &s.gateway, "config": &s.config,
		"steps": &steps, "end": &s.end, "fails_at": &s.failsAt,
	} {
		if _, err := f.take(name, into); err != nil {
			return nil, err
		}
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	if s.name == "" || steps == nil {
		return nil, errors.New("a scenario has a name and steps")
	}
	var err error
	s.steps, err = parseSteps(steps)
	return s, err
}

func parseSteps(list []fields) ([]step, error) {
	steps := make([]step, len(list))
	for i, f := range list {
		original := text(f)
		parsed, err := parseStep(f)
		if err != nil {
			return nil, fmt.Errorf("%w in %s", err, original)
		}
		parsed.original = original
		steps[i] = parsed
	}
	return steps, nil
}

func parseStep(f fields) (step, error) {
	s := step{action: action{mapper: "mapper", lease: "lease", transport: "udp"}}
	var err error
	take := func(name string, into any) (taken bool) {
		if err == nil {
			taken, err = f.take(name, into)
		}
		return taken
	}
	var within, timeout float64
	take("do", &s.do)
	s.expects = take("sees", &s.sees)
	s.mayFail = take("fails", &s.fails)
	s.bounded = take("within", &within)
	names, known := arguments[s.do]
	if err == nil && !known {
		err = fmt.Errorf("there is no step `%s`", s.do)
	}
	var timed bool
	var inner []fields
	given := map[string]bool{}
	for _, name := range names {
		switch name {
		case "mapper":
			take(name, &s.mapper)
		case "lease":
			take(name, &s.lease)
		case "config":
			take(name, &s.config)
		case "port":
			given[name] = take(name, &s.port)
		case "transport":
			take(name, &s.transport)
		case "external_port":
			take(name, &s.externalPort)
		case "exact":
			take(name, &s.exact)
		case "timeout":
			timed = take(name, &timeout)
		case "skip":
			take(name, &s.skip)
		case "line":
			given[name] = take(name, &s.line)
		case "times":
			given[name] = take(name, &s.times)
		case "steps":
			given[name] = take(name, &inner)
		}
	}
	if err != nil {
		return s, err
	}
	if err := f.end(); err != nil {
		return s, err
	}
	for _, name := range required[s.do] {
		if !given[name] {
			return s, fmt.Errorf("`%s` is missing", name)
		}
	}
	if s.expects && s.mayFail {
		return s, errors.New("both `sees` and `fails`")
	}
	if (s.do == "wait_for" || s.do == "wait_for_gateway") && !s.expects {
		return s, errors.New("nothing to wait for")
	}
	if s.within, err = seconds(within); err != nil {
		return s, err
	}
	if timed {
		limit, err := seconds(timeout)
		if err != nil {
			return s, err
		}
		s.timeout = &limit
	}
	s.steps, err = parseSteps(inner)
	return s, err
}

// seconds is a duration, written as a number of seconds.
func seconds(number float64) (time.Duration, error) {
	if number < 0 || number > math.MaxInt64/float64(time.Second) {
		return 0, fmt.Errorf("%v is no number of seconds", number)
	}
	return time.Duration(number * float64(time.Second)), nil
}
