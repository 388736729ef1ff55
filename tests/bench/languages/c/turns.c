// Takes turns, as tests/bench/languages.py describes. Arguments: GATEWAY PCP_PORT SSDP_ADDRESS PORT.
#define _POSIX_C_SOURCE 200809L
#include <portlease.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e9 + now.tv_nsec;
}

static portlease_error error;

static void check(portlease_kind kind) {
  if (kind == PORTLEASE_OK) return;
  fprintf(stderr, "%s: %s\n", portlease_kind_name(kind), error.message);
  exit(1);
}

static portlease_lease *map(portlease_mapper *mapper, unsigned port) {
  portlease_request request = PORTLEASE_INIT(portlease_request);
  portlease_lease *lease;
  request.internal_port = (uint16_t)port;
  request.transport = PORTLEASE_TRANSPORT_UDP;
  check(portlease_mapper_map(mapper, &request, &lease, &error));
  check(portlease_lease_ready(lease, 5, NULL, &error));
  return lease;
}

int main(int count, char **arguments) {
  portlease_config config = PORTLEASE_INIT(portlease_config);
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  portlease_mapper *mapper;
  char verb[16];
  unsigned number;
  if (count != 5) return 2;
  config.gateway = arguments[1];
  config.pcp_port = (uint16_t)atoi(arguments[2]);
  config.ssdp_address = arguments[3];
  config.protocols[0] = PORTLEASE_PROTOCOL_PCP;
  check(portlease_mapper_start(&config, &mapper, &error));
  portlease_lease *lease = map(mapper, (unsigned)atoi(arguments[4]));

  while (scanf("%15s %u", verb, &number) == 2) {
    double begin = nanoseconds();
    if (strcmp(verb, "snapshot") == 0) {
      for (unsigned i = 0; i < number; i++) check(portlease_lease_get_snapshot(lease, &snapshot, NULL));
      if (!snapshot.active) return 1;
    } else {
      portlease_lease *another = map(mapper, number);
      check(portlease_lease_stop(another, PORTLEASE_DEFAULT_TIMEOUT, NULL, &error));
      portlease_lease_free(another);
    }
    printf("%.0f\n", nanoseconds() - begin);
    fflush(stdout);
  }
  check(portlease_mapper_stop(mapper, PORTLEASE_DEFAULT_TIMEOUT, NULL, &error));
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
  return 0;
}
