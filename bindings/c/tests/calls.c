#include "calls.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

// Waits for the only wait that was begun, as a program with a loop of its own does.
static portlease_kind finish(calls *way, portlease_kind begun, portlease_completion *completion,
                             portlease_error *error) {
  if (begun != PORTLEASE_OK) {
    return begun;
  }
  int32_t descriptor;
  if (portlease_waits_descriptor(way->waits, &descriptor, error) != PORTLEASE_OK) {
    return error->kind;
  }
  struct pollfd watched = {.fd = descriptor, .events = POLLIN};
  portlease_kind next;
  while ((next = portlease_waits_next(way->waits, 0, completion, error)) == PORTLEASE_TIMEOUT) {
    poll(&watched, 1, -1);
  }
  if (next != PORTLEASE_OK || completion->token != way->token) {
    fprintf(stderr, "waits: %s, token %llu\n", error->message, (unsigned long long)completion->token);
    abort();
  }
  *error = completion->error;
  return error->kind;
}

portlease_kind call_ready(calls *way, portlease_lease *lease, double timeout, portlease_lease_snapshot *snapshot,
                          portlease_error *error) {
  if (way->waits == NULL) {
    return portlease_lease_ready(lease, timeout, snapshot, error);
  }
  portlease_completion completion = PORTLEASE_INIT(portlease_completion);
  completion.snapshot = snapshot;
  portlease_kind begun = portlease_waits_lease_ready(way->waits, lease, timeout, ++way->token, error);
  return finish(way, begun, &completion, error);
}

portlease_kind call_lease_stop(calls *way, portlease_lease *lease, double timeout, portlease_error *error) {
  if (way->waits == NULL) {
    return portlease_lease_stop(lease, timeout, error);
  }
  portlease_completion completion = PORTLEASE_INIT(portlease_completion);
  portlease_kind begun = portlease_waits_lease_stop(way->waits, lease, timeout, ++way->token, error);
  return finish(way, begun, &completion, error);
}

portlease_kind call_detach(calls *way, portlease_lease *lease, portlease_error *error) {
  if (way->waits == NULL) {
    return portlease_lease_detach(lease, error);
  }
  portlease_completion completion = PORTLEASE_INIT(portlease_completion);
  portlease_kind begun = portlease_waits_lease_detach(way->waits, lease, ++way->token, error);
  return finish(way, begun, &completion, error);
}

portlease_kind call_next_event(calls *way, portlease_mapper *mapper, double timeout, portlease_event *event,
                               portlease_error *error) {
  if (way->waits == NULL) {
    return portlease_mapper_next_event(mapper, timeout, event, error);
  }
  portlease_completion completion = PORTLEASE_INIT(portlease_completion);
  completion.event = event;
  portlease_kind begun = portlease_waits_mapper_next_event(way->waits, mapper, timeout, ++way->token, error);
  return finish(way, begun, &completion, error);
}

portlease_kind call_probe(calls *way, portlease_mapper *mapper, portlease_gateway_report *report,
                          portlease_protocol_report *protocols, size_t capacity, portlease_error *error) {
  if (way->waits == NULL) {
    return portlease_mapper_probe(mapper, report, protocols, capacity, error);
  }
  portlease_completion completion = PORTLEASE_INIT(portlease_completion);
  completion.report = report;
  completion.protocols = protocols;
  completion.protocols_capacity = capacity;
  portlease_kind begun = portlease_waits_mapper_probe(way->waits, mapper, ++way->token, error);
  return finish(way, begun, &completion, error);
}

portlease_kind call_mapper_stop(calls *way, portlease_mapper *mapper, double timeout, portlease_error *error) {
  if (way->waits == NULL) {
    return portlease_mapper_stop(mapper, timeout, error);
  }
  portlease_completion completion = PORTLEASE_INIT(portlease_completion);
  portlease_kind begun = portlease_waits_mapper_stop(way->waits, mapper, timeout, ++way->token, error);
  return finish(way, begun, &completion, error);
}
