//go:build cgo

package portlease

import "context"

// OpenPort is a lease together with the mapper that serves it alone.
type OpenPort struct {
	*Lease
	mapper *Mapper
}

// Open maps one port and waits for the mapping until the context ends: [Start], [Mapper.Map] and [Lease.Ready] in one
// call. It takes one configuration at most; without one, the default suits a home.
//
// It fails as these three do; then nothing is left behind.
func Open(ctx context.Context, port uint16, transport Transport, config ...Config) (*OpenPort, error) {
	var chosen Config
	switch len(config) {
	case 0:
	case 1:
		chosen = config[0]
	default:
		return nil, invalid("config", "%d configurations are too many; allowed is one", len(config))
	}
	mapper, err := Start(chosen)
	if err != nil {
		return nil, err
	}
	lease, err := mapper.Map(Request{Port: port, Transport: transport})
	if err == nil {
		if _, err = lease.Ready(ctx); err == nil {
			return &OpenPort{lease, mapper}, nil
		}
	}
	// What the router may have granted by now is released, as long as the caller has time; then behind.
	mapper.Stop(ctx)
	return nil, err
}

// Mapper is the one behind the lease.
func (p *OpenPort) Mapper() *Mapper {
	return p.mapper
}

// Stop releases the mapping and ends the engine, as [Mapper.Stop] does.
func (p *OpenPort) Stop(ctx context.Context) error {
	return p.mapper.Stop(ctx)
}

// Close is Stop without a context.
func (p *OpenPort) Close() error {
	return p.mapper.Close()
}
