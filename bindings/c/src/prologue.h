// portlease: makes a local port reachable from the internet through the user's own router, and keeps it reachable.
// PCP (RFC 6887), NAT-PMP (RFC 6886) and UPnP-IGD 1 and 2 behind one handle. C99, C++11.
//
//   portlease_request request = PORTLEASE_INIT(portlease_request);
//   request.internal_port = 4000;
//   request.transport = PORTLEASE_TRANSPORT_UDP;
//   portlease_mapper *mapper;
//   portlease_lease *lease;
//   portlease_lease_snapshot now = PORTLEASE_INIT(portlease_lease_snapshot);
//   portlease_error error;
//   if (portlease_open(&request, NULL, PORTLEASE_DEFAULT_TIMEOUT, &mapper, &lease, &now, &error) != PORTLEASE_OK) {
//     fprintf(stderr, "no port: %s (%s)\n", error.message, portlease_kind_name(error.kind));
//     return 1; // this is normal: a router may refuse
//   }
//   if (now.external_address[0] != '\0') { // the router may not know its address
//     printf("external address: %s:%u\n", now.external_address, (unsigned)now.external_port);
//   }
//   ...
//   portlease_mapper_stop(mapper, PORTLEASE_DEFAULT_TIMEOUT, NULL, NULL); // deletes the mapping on the router
//   portlease_lease_free(lease);
//   portlease_mapper_free(mapper);
//
// Ownership. Handles belong to the caller, who frees each once, in any order; freeing NULL does nothing. Freeing never
// blocks: what was not stopped is released in the background, as long as the process lives. Everything else is the
// caller's memory, filled in by value; nothing that is passed in is kept.
// Threads. Every function may be called from any thread at any time, also on the same handle; only the free functions
// need the handle to themselves. Exit handlers and destructors of C++ statics may call them, too. A thread that is
// cancelled (pthread_cancel) within a call ends after it; its cancel type must be deferred, which is the default.
// portlease makes no callbacks. Its own threads take no signals; if a main thread that has called portlease ends
// (pthread_exit) while a mapper is open, one of them takes those of its signals that no other thread takes (Linux).
// Blocking. Functions that wait take a time-out in seconds: 0 does not wait, INFINITY waits without limit, a negative
// one (PORTLEASE_DEFAULT_TIMEOUT) is the call's default, NaN is PORTLEASE_INVALID. They end early when the handle is
// stopped by another thread. For waits that can be cancelled or must not block see portlease_waits.
// Errors. `error` may be NULL; it is written by every call, with PORTLEASE_OK and "" if nothing failed. A call that
// fails fills in nothing else (handles become NULL). Its reasons, protocol by protocol: portlease_error_get_report.
// Structs begin with struct_size, which the caller sets; PORTLEASE_INIT(type) does, and zeroes the rest. So programs
// and libraries of different versions fit: fields are added at the end only. Options that this version does not know
// must be zero; results that an older library does not know become zero. In arrays the first item's counts:
//   portlease_lease_snapshot leases[16] = {PORTLEASE_INIT(portlease_lease_snapshot)};
//   portlease_mapper_get_snapshot(mapper, &all, leases, 16, &error);
// Text is UTF-8. In results it always ends, cut off if it is too long; the bytes after its end mean nothing.
// Forks. The parent's mappings live on, and nothing in the child touches them. There snapshots show a mapper that is
// stopped and leases that have exited; stop and detach return at once with PORTLEASE_OK, and with PORTLEASE_RELEASED
// though nothing is released; calls that map, wait, or begin or cancel a wait fail with PORTLEASE_STOPPED. Free what you
// like there, and start a mapper of the child's own. A child that only calls exec needs none of that.
