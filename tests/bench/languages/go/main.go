// Takes turns, as tests/bench/languages.py describes. Arguments: GATEWAY PCP_PORT SSDP_ADDRESS PORT.
package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"time"

	portlease "github.com/portlease/portlease/go"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func number(text string) uint16 {
	return uint16(must(strconv.ParseUint(text, 10, 16)))
}

func mapped(mapper *portlease.Mapper, port uint16) *portlease.Lease {
	lease := must(mapper.Map(portlease.Request{Port: port, Transport: portlease.UDP}))
	must(lease.Ready(context.Background()))
	return lease
}

func main() {
	mapper := must(portlease.Start(portlease.Config{
		Gateway:     must(netip.ParseAddr(os.Args[1])),
		PCPPort:     number(os.Args[2]),
		SSDPAddress: must(netip.ParseAddrPort(os.Args[3])),
		Protocols:   []portlease.Protocol{portlease.PCP},
	}))
	defer mapper.Close()
	lease := mapped(mapper, number(os.Args[4]))

	for {
		var verb string
		var count int
		if n, _ := fmt.Scanln(&verb, &count); n != 2 {
			return
		}
		begin := time.Now()
		if verb == "snapshot" {
			var last portlease.LeaseSnapshot
			for range count {
				last = lease.Snapshot()
			}
			if !last.Active {
				panic(last)
			}
		} else {
			must(mapped(mapper, uint16(count)).Stop(context.Background()))
		}
		fmt.Println(time.Since(begin).Nanoseconds())
	}
}
