// portlease in a program that has a poll loop of its own: no thread, nothing blocks. Shows what happens to the port
// until the end of standard input.
//   poll_loop [port [gateway pcp_port ssdp_address]]
#include <math.h>
#include <poll.h>
#include <portlease.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { EVENT = 1, STOP = 2 }; // tokens: what a completion is about

static void fail(const char *what, const portlease_error *error) {
  fprintf(stderr, "%s: %s (%s)\n", what, error->message, portlease_kind_name(error->kind));
  exit(1);
}

static void show(const portlease_event *event) {
  printf("%s %s %u", portlease_event_kind_name(event->kind), portlease_transport_name(event->transport),
         (unsigned)event->internal_port);
  if (event->external_port != 0) {
    const char *address = event->external_address[0] != '\0' ? event->external_address : "?";
    printf(" at %s:%u by %s", address, (unsigned)event->external_port, portlease_protocol_name(event->protocol));
  }
  if (event->error.kind != PORTLEASE_OK) {
    printf(": %s", event->error.message);
  }
  printf("\n");
  fflush(stdout);
}

int main(int argc, char **argv) {
  portlease_config config = PORTLEASE_INIT(portlease_config);
  portlease_request request = PORTLEASE_INIT(portlease_request);
  request.internal_port = argc > 1 ? (uint16_t)atoi(argv[1]) : 4000;
  request.transport = PORTLEASE_TRANSPORT_UDP;
  if (argc > 4) {
    config.gateway = argv[2];
    config.pcp_port = (uint16_t)atoi(argv[3]);
    config.ssdp_address = argv[4];
  }

  portlease_mapper *mapper;
  portlease_lease *lease;
  portlease_waits *waits;
  portlease_error error;
  int descriptor;
  if (portlease_mapper_start(&config, &mapper, &error) != PORTLEASE_OK ||
      portlease_mapper_map(mapper, &request, &lease, &error) != PORTLEASE_OK ||
      portlease_waits_new(&waits, &error) != PORTLEASE_OK ||
      portlease_waits_descriptor(waits, &descriptor, &error) != PORTLEASE_OK ||
      portlease_waits_mapper_next_event(waits, mapper, INFINITY, EVENT, &error) != PORTLEASE_OK) {
    fail("cannot start", &error);
  }

  struct pollfd watched[] = {{.fd = descriptor, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
  for (int running = 1; running;) {
    if (poll(watched, 2, -1) < 0) {
      continue; // a signal
    }

    char input[256];
    if (watched[1].revents != 0 && read(STDIN_FILENO, input, sizeof input) <= 0) {
      watched[1].fd = -1; // the end: release the port, and leave when that is done
      if (portlease_waits_mapper_stop(waits, mapper, PORTLEASE_DEFAULT_TIMEOUT, STOP, &error) != PORTLEASE_OK) {
        fail("cannot stop", &error);
      }
    }

    portlease_event event = PORTLEASE_INIT(portlease_event);
    portlease_completion over = PORTLEASE_INIT(portlease_completion);
    over.event = &event;
    while (portlease_waits_next(waits, 0, &over, &error) == PORTLEASE_OK) {
      if (over.token == STOP) {
        running = 0;
      } else if (over.error.kind == PORTLEASE_OK) {
        show(&event);
        portlease_waits_mapper_next_event(waits, mapper, INFINITY, EVENT, NULL);
      }
    }
  }

  portlease_waits_free(waits);
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
  return 0;
}
