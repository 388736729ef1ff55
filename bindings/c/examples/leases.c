// Maps some UDP ports, as many as there are, and shows each of them.
//   leases PORT[,PORT...] [gateway pcp_port ssdp_address]
#include <portlease.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 64 };

int main(int argc, char **argv) {
  portlease_config config = PORTLEASE_INIT(portlease_config);
  if (argc > 4) { // a simulated or unusual router
    config.gateway = argv[2];
    config.pcp_port = (uint16_t)atoi(argv[3]);
    config.ssdp_address = argv[4];
  }
  portlease_mapper *mapper;
  portlease_error error;
  if (portlease_mapper_start(&config, &mapper, &error) != PORTLEASE_OK) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }

  portlease_lease *leases[MOST];
  size_t count = 0;
  for (char *at = argc > 1 ? argv[1] : ""; *at != '\0' && count < MOST; at += *at == ',') {
    portlease_request request = PORTLEASE_INIT(portlease_request);
    request.internal_port = (uint16_t)strtoul(at, &at, 10);
    request.transport = PORTLEASE_TRANSPORT_UDP;
    if (portlease_mapper_map(mapper, &request, &leases[count], &error) != PORTLEASE_OK) {
      fprintf(stderr, "%s\n", error.message);
      break;
    }
    count++;
  }
  for (size_t i = 0; i < count; i++) {
    portlease_lease_ready(leases[i], PORTLEASE_DEFAULT_TIMEOUT, NULL, NULL); // its snapshot has the error, if there is one
  }

  // In an array the struct_size of the first item is that of all.
  portlease_lease_snapshot shown[MOST] = {PORTLEASE_INIT(portlease_lease_snapshot)};
  portlease_mapper_snapshot all = PORTLEASE_INIT(portlease_mapper_snapshot);
  portlease_mapper_get_snapshot(mapper, &all, shown, MOST, NULL);
  for (size_t i = 0; i < all.lease_count && i < MOST; i++) {
    printf("%u %s %s:%u %s\n", (unsigned)shown[i].internal_port, portlease_state_name(shown[i].state),
           shown[i].external_address, (unsigned)shown[i].external_port, shown[i].last_error.message);
  }

  portlease_mapper_stop(mapper, PORTLEASE_DEFAULT_TIMEOUT, NULL, NULL); // deletes the mappings on the router
  for (size_t i = 0; i < count; i++) {
    portlease_lease_free(leases[i]);
  }
  portlease_mapper_free(mapper);
  return 0;
}
