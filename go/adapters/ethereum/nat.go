// Package ethereum lets a go-ethereum node map its ports by portlease: PCP, NAT-PMP and UPnP, kept for as long as the node runs.
//
//	mapper, err := portlease.Start(portlease.Config{})
//	if err != nil {
//		return err
//	}
//	defer mapper.Close() // after the server has stopped
//	server := p2p.Server{Config: p2p.Config{ListenAddr: ":30303", NAT: ethereum.New(mapper)}}
//
// It does not import go-ethereum, so it goes with every version whose nat.Interface has these methods.
package ethereum

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"sync"
	"time"

	portlease "github.com/portlease/portlease/go"
)

const (
	// patience is how long a call waits for the router at most. The node waits for a call that is under way before it stops.
	patience = 5 * time.Second
	// The lifetimes that can be asked for; see [portlease.Request].
	shortest, longest = time.Second, 24 * time.Hour
)

// NAT is a nat.Interface of go-ethereum (package p2p/nat). All its methods may be called from many goroutines at once.
//
// The mapper keeps what is mapped: it renews, follows a restart of the router, and retries after a failure. DeleteMapping ends
// that for one port, and [portlease.Mapper.Close] for all.
type NAT struct {
	mapper *portlease.Mapper
	mutex  sync.Mutex
	leases map[port]*portlease.Lease
}

// port is a port of this machine.
type port struct {
	transport portlease.Transport
	number    uint16
}

// New makes a NAT whose mappings are leases of the mapper. The mapper may have other leases as well.
func New(mapper *portlease.Mapper) *NAT {
	return &NAT{mapper: mapper, leases: map[port]*portlease.Lease{}}
}

// AddMapping maps a port, waits for the mapping up to 5 s, and gives the external port. When it is called again for the same
// internal port, it asks the router nothing and gives the external port of the present.
//
// The protocol is "TCP" or "UDP". The external port is a wish, and 0 means the internal port; the router may give another.
// The name is shown in the router's table (UPnP only). The lifetime is what the router is asked for, so it is how long the
// mapping may outlive a crash; 0 is the mapper's own, and what is outside of 1 s to 24 h becomes the nearer of the two. The
// external port, the name and the lifetime of the first call count until DeleteMapping.
//
// It fails with an error of a kind of portlease: [portlease.ErrInvalid] for an argument, [portlease.ErrStopped] once the mapper is
// stopped, [portlease.ErrTimeout] after 5 s, and otherwise with the reason why there is no mapping now. Except for the first
// two, portlease keeps trying in the background, so a later call may give a port at once.
func (n *NAT) AddMapping(protocol string, extport, intport int, name string, lifetime time.Duration) (uint16, error) {
	internal, err := portOf(protocol, intport)
	if err != nil {
		return 0, err
	}
	lease, err := n.lease(internal, extport, name, lifetime)
	if err != nil {
		return 0, err
	}
	seen := lease.Snapshot()
	if !seen.Active && seen.LastError == nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if seen, err = lease.Ready(ctx); err != nil {
			return 0, inTime(err, "map %s port %d", protocol, intport)
		}
	}
	if !seen.Active {
		return 0, seen.LastError
	}
	return seen.ExternalPort, nil
}

// lease gives the lease of a port: the one that there is, unless it has ended, or a new one.
func (n *NAT) lease(internal port, extport int, name string, lifetime time.Duration) (*portlease.Lease, error) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if known := n.leases[internal]; known != nil && known.State() != portlease.StateExited {
		return known, nil
	}
	if extport < 0 || extport > math.MaxUint16 {
		return nil, invalid("extport", "must be between 0 and 65535, not %d", extport)
	}
	if lifetime < 0 {
		return nil, invalid("lifetime", "must be 0 or more, not %v", lifetime)
	}
	if lifetime > 0 {
		lifetime = min(max(lifetime, shortest), longest)
	}
	lease, err := n.mapper.Map(portlease.Request{
		Port: internal.number, Transport: internal.transport, ExternalPort: uint16(extport), TTL: lifetime, Description: name,
	})
	if err != nil {
		return nil, err
	}
	n.leases[internal] = lease
	return lease, nil
}

// DeleteMapping ends the lease of the internal port and waits up to 5 s for the router to delete the mapping. The external port
// does not matter. For a port that is not mapped there is nothing to do, and the error is nil.
//
// It fails with [portlease.ErrUnavailable] if the router did not confirm the delete, so that the mapping may stay until its
// lifetime ends, with [portlease.ErrTimeout] after 5 s, while the delete goes on in the background, and with
// [portlease.ErrInvalid].
func (n *NAT) DeleteMapping(protocol string, extport, intport int) error {
	internal, err := portOf(protocol, intport)
	if err != nil {
		return err
	}
	n.mutex.Lock()
	lease := n.leases[internal]
	delete(n.leases, internal)
	n.mutex.Unlock()
	if lease == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	release, err := lease.Stop(ctx)
	if err == nil && release == portlease.Unconfirmed {
		return fmt.Errorf("%w: the router did not confirm that it deleted the mapping of %s port %d; it may stay until its lifetime ends",
			portlease.ErrUnavailable, protocol, intport)
	}
	return inTime(err, "delete the mapping of %s port %d", protocol, intport)
}

// ExternalIP is the router's external address. While a port is mapped it is known; otherwise the router is asked, up to 5 s. It
// may be a private one, if the router is behind another.
//
// It fails with an error of a kind of portlease, such as [portlease.ErrUnavailable] if no router answers.
func (n *NAT) ExternalIP() (net.IP, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	address, err := n.mapper.ExternalAddress(ctx)
	if err != nil {
		return nil, inTime(err, "ask for the external address")
	}
	return address.AsSlice(), nil
}

// String is "portlease", with the router's address once it is found: for the node's log.
func (n *NAT) String() string {
	if gateway := n.mapper.Snapshot().Gateway; gateway.IsValid() {
		return "portlease(" + gateway.String() + ")"
	}
	return "portlease"
}

// portOf reads a port as go-ethereum names it.
func portOf(protocol string, number int) (port, error) {
	var transport portlease.Transport
	switch strings.ToUpper(protocol) {
	case "TCP":
		transport = portlease.TCP
	case "UDP":
		transport = portlease.UDP
	default:
		return port{}, invalid("protocol", "must be TCP or UDP, not %q", protocol)
	}
	if number < 1 || number > math.MaxUint16 {
		return port{}, invalid("intport", "must be between 1 and 65535, not %d", number)
	}
	return port{transport, uint16(number)}, nil
}

func invalid(argument, format string, values ...any) error {
	return &portlease.Error{Kind: portlease.KindInvalid, Message: argument + ": " + fmt.Sprintf(format, values...)}
}

// inTime makes the end of a call's own context an error of portlease, and leaves every other error as it is.
func inTime(err error, what string, values ...any) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &portlease.Error{Kind: portlease.KindTimeout, Message: fmt.Sprintf(what+": no answer within %v", append(values, patience)...)}
	}
	return err
}
