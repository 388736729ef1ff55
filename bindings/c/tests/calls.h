// The calls that wait, in one of two ways: each function by itself, or begun in a portlease_waits, whose descriptor is
// polled. What comes out must be the same.
#ifndef CALLS_H
#define CALLS_H

#include <portlease.h>

typedef struct calls {
  portlease_waits *waits; // NULL: the functions that block
  uint64_t token;
} calls;

portlease_kind call_ready(calls *way, portlease_lease *lease, double timeout, portlease_lease_snapshot *snapshot,
                          portlease_error *error);
portlease_kind call_lease_stop(calls *way, portlease_lease *lease, double timeout, portlease_error *error);
portlease_kind call_detach(calls *way, portlease_lease *lease, portlease_error *error);
portlease_kind call_next_event(calls *way, portlease_mapper *mapper, double timeout, portlease_event *event,
                               portlease_error *error);
portlease_kind call_probe(calls *way, portlease_mapper *mapper, portlease_gateway_report *report,
                          portlease_protocol_report *protocols, size_t capacity, portlease_error *error);
portlease_kind call_mapper_stop(calls *way, portlease_mapper *mapper, double timeout, portlease_error *error);

#endif
