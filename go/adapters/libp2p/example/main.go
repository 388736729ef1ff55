// Command example is a small go-libp2p host that is reachable from the internet through the home router.
//
//	go run ./example serve 4001                              prints the host's addresses whenever they change, and each peer
//	go run ./example dial /ip4/192.0.2.1/tcp/4001/p2p/12D... connects to such a host, from anywhere
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	portlease "github.com/portlease/portlease/go"
	natmanager "github.com/portlease/portlease/go/adapters/libp2p"
)

// connects is how long dial waits for the host.
const connects = 10 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		return serve(ctx, out, args[1])
	case len(args) == 2 && args[0] == "dial":
		return dial(ctx, out, args[1])
	}
	return errors.New("usage: example serve PORT | example dial ADDRESS")
}

// serve runs a host with port mapping until the context ends.
func serve(ctx context.Context, out io.Writer, port string) error {
	mapper, err := portlease.Start(portlease.Config{})
	if err != nil {
		return err
	}
	defer mapper.Close() // after the host

	host, err := libp2p.New(
		libp2p.ListenAddrStrings("/ip4/0.0.0.0/tcp/"+port, "/ip4/0.0.0.0/udp/"+port+"/quic-v1",
			"/ip6/::/tcp/"+port, "/ip6/::/udp/"+port+"/quic-v1"),
		libp2p.NATManager(natmanager.New(mapper)),
	)
	if err != nil {
		return err
	}
	defer host.Close()

	host.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, with network.Conn) {
		fmt.Fprintln(out, "a peer from", with.RemoteMultiaddr())
	}})
	return show(ctx, out, host)
}

// show prints the addresses that the host tells its peers, each when it is new.
func show(ctx context.Context, out io.Writer, host host.Host) error {
	changes, err := host.EventBus().Subscribe(new(event.EvtLocalAddressesUpdated))
	if err != nil {
		return err
	}
	defer changes.Close()
	shown := map[string]bool{}
	for {
		addresses, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: host.ID(), Addrs: host.Addrs()})
		if err != nil {
			return err
		}
		for _, address := range addresses {
			if !shown[address.String()] {
				shown[address.String()] = true
				fmt.Fprintln(out, address)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changes.Out():
		}
	}
}

// dial connects to a host, asks it for an answer, and says how it is connected.
func dial(ctx context.Context, out io.Writer, address string) error {
	info, err := peer.AddrInfoFromString(address)
	if err != nil {
		return err
	}
	client, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, connects)
	defer cancel()
	if err := client.Connect(ctx, *info); err != nil {
		return err
	}
	if pong := <-ping.Ping(ctx, client, info.ID); pong.Error != nil {
		return pong.Error
	}
	fmt.Fprintln(out, "connected to", client.Network().ConnsToPeer(info.ID)[0].RemoteMultiaddr())
	return nil
}
