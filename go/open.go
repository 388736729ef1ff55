package portlease

import "context"

// OpenPort is a lease together with the mapper that serves it alone; both end together.
type OpenPort struct {
	*Lease
	mapper *Mapper
}

// Open maps one port and waits for the mapping until the context ends: [Start], [Mapper.Map] and [Lease.Ready] in one
// call. It takes one configuration at most; without one, the default suits a home.
//
// It fails as these three do; then what may have been mapped is released, and nothing else is left.
func Open(ctx context.Context, request Request, config ...Config) (*OpenPort, error) {
	chosen, err := one(config)
	if err != nil {
		return nil, err
	}
	mapper, err := Start(chosen)
	if err != nil {
		return nil, err
	}
	lease, err := mapper.Map(request)
	if err == nil {
		if _, err = lease.Ready(ctx); err == nil {
			return &OpenPort{lease, mapper}, nil
		}
	}
	// Waits for the release as long as the caller has time; then it goes on in the background.
	mapper.Stop(ctx)
	return nil, err
}

// one is the configuration that was given, or the default.
func one(config []Config) (Config, error) {
	switch len(config) {
	case 0:
		return Config{}, nil
	case 1:
		return config[0], nil
	}
	return Config{}, invalid("config", "must be one configuration at most, not %d", len(config))
}

// Mapper is the one that serves the lease.
func (p *OpenPort) Mapper() *Mapper {
	return p.mapper
}

// Stop releases the mapping and ends the engine, as [Mapper.Stop] does.
func (p *OpenPort) Stop(ctx context.Context) (Release, error) {
	return p.mapper.Stop(ctx)
}

// Close is Stop without a context. Its error is nil however the release went, as that of [Lease.Close].
func (p *OpenPort) Close() error {
	return p.mapper.Close()
}

// Detach leaves the mapping on the gateway until its lifetime ends, as [Lease.Detach] does, and ends the engine. It waits
// for that, and answers, as [Mapper.Stop] does.
func (p *OpenPort) Detach(ctx context.Context) (Release, error) {
	// Only begins it: the engine ends when the lease has ended.
	begun, cancel := context.WithCancel(ctx)
	cancel()
	p.Lease.Detach(begun)
	return p.mapper.Stop(ctx)
}
