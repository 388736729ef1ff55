// Command pion is a WebRTC peer that is reachable from the internet through the home router, with one port for all connections
// and without a STUN server.
//
//	go run . serve 5000     prints an offer, reads the answer, and says what arrives on the data channel
//	go run . dial           reads an offer, prints the answer, and sends a greeting: from anywhere
//
// Offers and answers are one line each: JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	portlease "github.com/portlease/portlease/go"
)

// patience is how long the router and the other peer may take.
const patience = 10 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdin, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, in io.Reader, out io.Writer, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		port, err := strconv.ParseUint(args[1], 10, 16)
		if err != nil {
			return err
		}
		mux, err := ice.NewMultiUDPMuxFromPort(int(port), ice.UDPMuxFromPortWithNetworks(ice.NetworkTypeUDP4))
		if err != nil {
			return err
		}
		defer mux.Close()
		return serve(ctx, in, out, mux, uint16(port))
	case len(args) == 1 && args[0] == "dial":
		return dial(ctx, in, out, webrtc.NewAPI())
	}
	return errors.New("usage: pion serve PORT | pion dial")
}

// behindRouter makes pion's API for connections through a mapped port: all of them share the mux on that port, and peers are told
// the external address. An API keeps the address that it was made with, so make one for each connection, with the address of the
// moment.
func behindRouter(mux ice.UDPMux, port uint16, external netip.AddrPort) (*webrtc.API, error) {
	rule := webrtc.ICEAddressRewriteRule{
		External:        []string{external.Addr().String()},
		AsCandidateType: webrtc.ICECandidateTypeHost,
		Mode:            webrtc.ICEAddressRewriteAppend, // peers at home go on using the local address
	}
	if external.Port() != port {
		// A new port is given to every candidate to which the rule applies, so the local ones have to go.
		rule.Mode, rule.NewPort = webrtc.ICEAddressRewriteReplace, int(external.Port())
	}
	var settings webrtc.SettingEngine
	settings.SetICEUDPMux(mux)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	if err := settings.SetICEAddressRewriteRules(rule); err != nil {
		return nil, err
	}
	return webrtc.NewAPI(webrtc.WithSettingEngine(settings)), nil
}

// serve offers a data channel through a mapped port and says what arrives, until the context ends.
func serve(ctx context.Context, in io.Reader, out io.Writer, mux ice.UDPMux, port uint16) error {
	opening, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	mapped, err := portlease.Open(opening, portlease.Request{Port: port, Transport: portlease.UDP})
	if err != nil {
		return err
	}
	defer mapped.Close() // deletes the mapping on the router

	external := mapped.External() // the address of the moment
	if !external.IsValid() {
		return errors.New("the router does not know its external address; pion needs a STUN server here")
	}
	api, err := behindRouter(mux, port, external)
	if err != nil {
		return err
	}
	connection, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	defer connection.Close()
	channel, err := connection.CreateDataChannel("greetings", nil)
	if err != nil {
		return err
	}
	channel.OnMessage(func(message webrtc.DataChannelMessage) {
		fmt.Fprintln(out, "received", string(message.Data))
		channel.SendText("thanks")
	})
	offer, err := connection.CreateOffer(nil)
	if err != nil {
		return err
	}
	if err := tell(out, connection, offer); err != nil {
		return err
	}
	answer, err := hear(in)
	if err != nil {
		return err
	}
	if err := connection.SetRemoteDescription(answer); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// dial answers an offer, sends a greeting, and says what is answered.
func dial(ctx context.Context, in io.Reader, out io.Writer, api *webrtc.API) error {
	connection, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	defer connection.Close()
	received := make(chan string, 1)
	connection.OnDataChannel(func(channel *webrtc.DataChannel) {
		channel.OnOpen(func() { channel.SendText("hello") })
		channel.OnMessage(func(message webrtc.DataChannelMessage) { received <- string(message.Data) })
	})
	offer, err := hear(in)
	if err != nil {
		return err
	}
	if err := connection.SetRemoteDescription(offer); err != nil {
		return err
	}
	answer, err := connection.CreateAnswer(nil)
	if err != nil {
		return err
	}
	if err := tell(out, connection, answer); err != nil {
		return err
	}
	select {
	case text := <-received:
		fmt.Fprintln(out, "received", text)
		return nil
	case <-time.After(patience):
		return fmt.Errorf("no answer within %v", patience)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tell sets the local description and writes it once it has all candidates.
func tell(out io.Writer, connection *webrtc.PeerConnection, description webrtc.SessionDescription) error {
	gathered := webrtc.GatheringCompletePromise(connection)
	if err := connection.SetLocalDescription(description); err != nil {
		return err
	}
	<-gathered
	return json.NewEncoder(out).Encode(connection.LocalDescription())
}

// hear reads the description of the other peer.
func hear(in io.Reader) (webrtc.SessionDescription, error) {
	var description webrtc.SessionDescription
	line, err := bufio.NewReader(in).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &description)
	}
	return description, err
}
