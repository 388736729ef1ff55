// Minimal maps one port on the home router, says where it is reachable, and keeps it so until it is interrupted.
//
//	go run ./examples/minimal 4000 udp
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	portlease "github.com/portlease/portlease/go"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: minimal PORT udp|tcp")
	}
	number, err := strconv.ParseUint(args[0], 10, 16)
	if err != nil {
		return fmt.Errorf("port must be between 1 and 65535, not %q", args[0])
	}
	var transport portlease.Transport
	if err := transport.UnmarshalText([]byte(args[1])); err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	opening, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	port, err := portlease.Open(opening, portlease.Request{Port: uint16(number), Transport: transport})
	if err != nil {
		return err
	}
	defer port.Close() // deletes the mapping on the router

	snapshot := port.Snapshot()
	external := snapshot.External.String()
	if !snapshot.External.IsValid() {
		external = fmt.Sprintf("port %d of a router that does not know its address", snapshot.ExternalPort)
	}
	fmt.Printf("%d/%v is mapped to %s (%v, %v)\n", number, transport, external, snapshot.Protocol, snapshot.AddressClass)

	<-ctx.Done()
	return nil
}
