// Package portlease makes a local port reachable from the internet through the user's own router, and keeps it
// reachable: PCP (RFC 6887), NAT-PMP (RFC 6886) and UPnP-IGD 1 and 2 behind one handle.
//
//	port, err := portlease.Open(ctx, portlease.Request{Port: 4000, Transport: portlease.UDP})
//	if err != nil {
//		return err // a router may refuse, which is normal
//	}
//	defer port.Close() // deletes the mapping on the router
//	fmt.Println("external address:", port.Snapshot().External)
//
// A [Mapper] is a background engine that finds the router once and serves many leases. A [Lease] is the promise to keep
// one port mapped: it is renewed by the lifetime that the router granted, follows a moved external address, and is mapped
// again after an outage.
//
// # Waiting
//
// Calls that wait take a context first. When it ends they return its error at once; only the wait ends with it, not the
// lease, and no event is lost. However many goroutines wait, a mapper has one thread of the operating system for all of
// them, and none while nobody waits.
//
// # Ending
//
// Stop and Close release what is mapped; both may be called again, and neither fails because the router is gone. Stop
// answers with a [Release]: whether the router has confirmed the delete. There is usually nothing to do about it, because
// a mapping that stays ends with its lifetime. A mapper and its leases keep each other. Once nobody holds any of them
// they are garbage collected and released in the background, some time later: a program that ends before leaves its
// mappings to their lifetime.
//
// # Errors
//
// Errors are of type [*Error], with a stable [Kind] that errors.Is matches: [ErrUnavailable], [ErrRefused] and so on. A
// context's own error is returned as it is, with its cause if that is another error.
//
// # Linking
//
// The package stands on the C library of the same name, and needs cgo: a C compiler. The library comes prebuilt, in a
// module for each platform, and is linked into the program. The build tag portlease_pkgconfig takes the archive that is
// installed and that pkg-config finds instead, portlease_shared the shared library. The module's README has the list of
// platforms. A build without cgo has the same types and functions: there Start fails with [ErrUnavailable], and says why.
package portlease
