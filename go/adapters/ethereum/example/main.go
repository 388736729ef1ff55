// Command example is a small go-ethereum node that is reachable from the internet through the home router.
//
//	go run . serve :30303                          prints the node's URL whenever it changes, and each peer that connects
//	go run . dial enode://...@192.0.2.1:30303      connects to such a node, from anywhere
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

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/nat"

	portlease "github.com/portlease/portlease/go"
	"github.com/portlease/portlease/go/adapters/ethereum"
)

// The compiler says if go-ethereum's interface becomes another.
var _ nat.Interface = (*ethereum.NAT)(nil)

// connects is how long dial waits for the node.
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
	return errors.New("usage: example serve LISTEN_ADDRESS | example dial URL")
}

// serve runs a node with port mapping until the context ends.
func serve(ctx context.Context, out io.Writer, address string) error {
	mapper, err := portlease.Start(portlease.Config{})
	if err != nil {
		return err
	}
	defer mapper.Close() // after the server has stopped

	config, err := basics(func(peer *p2p.Peer, _ p2p.MsgReadWriter) error {
		fmt.Fprintln(out, "a peer from", peer.RemoteAddr())
		<-ctx.Done()
		return nil
	})
	if err != nil {
		return err
	}
	config.ListenAddr, config.DiscoveryV4, config.NAT = address, true, ethereum.New(mapper)
	server := p2p.Server{Config: config}
	if err := server.Start(); err != nil {
		return err
	}
	defer server.Stop()

	for url := ""; ; {
		if now := server.Self().URLv4(); now != url {
			url = now
			fmt.Fprintln(out, url)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// dial connects to a node and says so.
func dial(ctx context.Context, out io.Writer, url string) error {
	node, err := enode.ParseV4(url)
	if err != nil {
		return err
	}
	connected := make(chan string, 1)
	config, err := basics(func(peer *p2p.Peer, _ p2p.MsgReadWriter) error {
		connected <- fmt.Sprint("connected to ", peer.RemoteAddr())
		return nil
	})
	if err != nil {
		return err
	}
	config.NoDiscovery = true
	client := p2p.Server{Config: config}
	if err := client.Start(); err != nil {
		return err
	}
	defer client.Stop()
	client.AddPeer(node)
	select {
	case said := <-connected:
		fmt.Fprintln(out, said)
		return nil
	case <-time.After(connects):
		return fmt.Errorf("%s: no connection within %v", url, connects)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// basics is a node with a key of its own and a protocol of this example, for which nodes need one in common.
func basics(run func(*p2p.Peer, p2p.MsgReadWriter) error) (p2p.Config, error) {
	key, err := crypto.GenerateKey()
	return p2p.Config{
		PrivateKey: key, Name: "example", MaxPeers: 10,
		Protocols: []p2p.Protocol{{Name: "portlease", Version: 1, Length: 1, Run: run}},
	}, err
}
