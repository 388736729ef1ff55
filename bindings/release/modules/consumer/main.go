// Consumer is a program of another module: it maps a port on the simulated gateway that its arguments start, says where the port
// is reachable, and deletes the mapping again.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"time"

	portlease "github.com/portlease/portlease/go"
)

const patience = 10 * time.Minute

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	gateway := exec.CommandContext(ctx, os.Args[1], os.Args[2:]...)
	stdin, err := gateway.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := gateway.StdoutPipe()
	if err != nil {
		return err
	}
	if err := gateway.Start(); err != nil {
		return err
	}
	// It ends with its standard input.
	defer gateway.Wait()
	defer stdin.Close()
	lines := bufio.NewReader(stdout)
	first, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	var started struct {
		Gateway netip.Addr
		PCPPort uint16         `json:"pcp_port"`
		SSDP    netip.AddrPort `json:"ssdp_address"`
	}
	if err := json.Unmarshal(first, &started); err != nil {
		return err
	}
	go func() { // so that it is never blocked by a full pipe
		for _, err := lines.ReadBytes('\n'); err == nil; _, err = lines.ReadBytes('\n') {
		}
	}()

	config := portlease.Config{Gateway: started.Gateway, PCPPort: started.PCPPort, SSDPAddress: started.SSDP}
	port, err := portlease.Open(ctx, portlease.Request{Port: 4000, Transport: portlease.UDP}, config)
	if err != nil {
		return err
	}
	snapshot := port.Snapshot()
	release, err := port.Stop(ctx)
	if err != nil {
		return err
	}
	if release != portlease.Released {
		return errors.New(release.String())
	}
	fmt.Println(snapshot.Protocol, snapshot.External, release)
	return nil
}
