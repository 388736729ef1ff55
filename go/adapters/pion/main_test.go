package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"github.com/portlease/portlease/go/internal/shown"
	"github.com/portlease/portlease/go/internal/simulated"
)

// A candidate in a line of JSON, and what is of interest of it.
var candidate = regexp.MustCompile(`a=candidate:\S+ \d udp \d+ (\S+) (\d+) typ host.*?\\r\\n`)

// served is the serving peer with a simulated router in place of the home's.
type served struct {
	in    io.Writer
	lines chan string
	end   context.CancelFunc
	ended chan error
}

// start serves on a free port. The simulated router forwards to loopback.
func start(t *testing.T, gateway *simulated.Gateway) *served {
	t.Helper()
	t.Setenv("PORTLEASE_GATEWAY", fmt.Sprintf("%v,pcp=%d,ssdp=%d", gateway.Address, gateway.PCPPort, gateway.SSDP.Port()))
	free, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	port := free.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	free.Close()
	mux, err := ice.NewMultiUDPMuxFromPort(int(port), ice.UDPMuxFromPortWithNetworks(ice.NetworkTypeUDP4), ice.UDPMuxFromPortWithLoopback())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mux.Close() })
	ctx, end := context.WithCancel(context.Background())
	in, write := io.Pipe()
	read, out := io.Pipe()
	s := &served{in: write, lines: make(chan string, 10), end: end, ended: make(chan error, 1)}
	go func() {
		err := serve(ctx, in, out, mux, port)
		out.Close()
		s.ended <- err
	}()
	go func() {
		defer close(s.lines)
		for scanner := bufio.NewScanner(read); scanner.Scan(); {
			s.lines <- scanner.Text()
		}
	}()
	t.Cleanup(end)
	return s
}

// line is what it says next.
func (s *served) line(t *testing.T) string {
	t.Helper()
	select {
	case line, open := <-s.lines:
		if !open {
			t.Fatalf("it has ended: %v", <-s.ended)
		}
		return line
	case <-time.After(simulated.Patience):
		t.Fatal("it says nothing")
		return ""
	}
}

// candidates are the addresses and ports of an offer.
func candidates(offer string) []string {
	var found []string
	for _, match := range candidate.FindAllStringSubmatch(offer, -1) {
		found = append(found, match[1]+":"+match[2])
	}
	return found
}

func TestAPeerThatTellsNoAddressOfItsOwnConnectsThroughTheMappedPort(t *testing.T) {
	// The external address is the one at which the simulated router forwards.
	gateway := simulated.Start(t, map[string]any{"external_address": "127.0.0.2"})
	serving := start(t, gateway)
	offer := serving.line(t)
	mapped := gateway.WaitForMappings(t, 1)[0]
	at := fmt.Sprintf("127.0.0.2:%d", mapped.ExternalPort)
	told := candidates(offer)
	if len(told) < 2 || !strings.Contains(strings.Join(told, " "), at) {
		t.Errorf("peers outside are told %s, peers at home another address, but the candidates are %v", at, told)
	}

	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	answers, write := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := dial(context.Background(), strings.NewReader(onlyAt(offer, at)+"\n"), write, webrtc.NewAPI(webrtc.WithSettingEngine(settings)))
		write.CloseWithError(io.EOF)
		done <- err
	}()
	said := bufio.NewScanner(answers)
	if !said.Scan() {
		t.Fatal(<-done)
	}
	// So the serving peer cannot begin: it must be reached.
	if _, err := fmt.Fprintln(serving.in, candidate.ReplaceAllString(said.Text(), "")); err != nil {
		t.Fatal(err)
	}
	if !said.Scan() || said.Text() != "received thanks" {
		t.Fatalf("it says %q: %v", said.Text(), <-done)
	}
	if got := serving.line(t); got != "received hello" {
		t.Errorf("it says %q", got)
	}
	serving.end()
	if err := <-serving.ended; err != nil {
		t.Error(err)
	}
	gateway.WaitForMappings(t, 0)
}

// onlyAt is the offer with that candidate alone.
func onlyAt(offer, at string) string {
	return candidate.ReplaceAllStringFunc(offer, func(one string) string {
		if candidates(one)[0] == at {
			return one
		}
		return ""
	})
}

func TestPeersAreToldThePortThatTheRouterGaveInsteadOfItsOwn(t *testing.T) {
	gateway := simulated.Start(t, map[string]any{"external_address": "192.0.1.1", "faults": map[string]any{"granted_port": 40404}})
	serving := start(t, gateway)
	for _, told := range candidates(serving.line(t)) {
		if told != "192.0.1.1:40404" {
			t.Errorf("peers are told %s", told)
		}
	}
}

func TestARouterThatDoesNotKnowItsAddressIsOfNoUseAndSaysSo(t *testing.T) {
	gateway := simulated.Start(t, map[string]any{"pcp": false, "nat_pmp": false, "faults": map[string]any{"empty_external_address": true}})
	serving := start(t, gateway)
	if err := <-serving.ended; err == nil || !strings.Contains(err.Error(), "STUN") {
		t.Errorf("it ends with %v", err)
	}
}

// TestTheReadmeShowsWhatTheExampleDoes: its code is that of main.go, which runs.
func TestTheReadmeShowsWhatTheExampleDoes(t *testing.T) {
	shown.Check(t, "README.md", 2, shown.Code(t, "main.go"))
}
