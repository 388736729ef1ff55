// Holds UDP port 4000 open until Enter.
//   minimal [port [gateway pcp_port ssdp_address]]
#include <portlease.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  portlease_request request = PORTLEASE_INIT(portlease_request);
  request.internal_port = argc > 1 ? (uint16_t)atoi(argv[1]) : 4000;
  request.transport = PORTLEASE_TRANSPORT_UDP;
  portlease_config config = PORTLEASE_INIT(portlease_config); // all defaults: what a home needs
  if (argc > 4) {                                             // a simulated or unusual router
    config.gateway = argv[2];
    config.pcp_port = (uint16_t)atoi(argv[3]);
    config.ssdp_address = argv[4];
  }

  portlease_mapper *mapper;
  portlease_lease *lease;
  portlease_lease_snapshot now = PORTLEASE_INIT(portlease_lease_snapshot);
  portlease_error error;
  if (portlease_open(&request, &config, PORTLEASE_DEFAULT_TIMEOUT, &mapper, &lease, &now, &error) != PORTLEASE_OK) {
    fprintf(stderr, "no port: %s (%s)\n", error.message, portlease_kind_name(error.kind));
    return 1; // this is normal: a router may refuse
  }
  const char *address = now.external_address[0] != '\0' ? now.external_address : "?"; // the router may not know it
  printf("mapped to %s:%u by %s, address %s\n", address, (unsigned)now.external_port,
         portlease_protocol_name(now.protocol), portlease_address_class_name(now.address_class));
  fflush(stdout);

  getchar();

  portlease_release release;
  if (portlease_mapper_stop(mapper, PORTLEASE_DEFAULT_TIMEOUT, &release, &error) == PORTLEASE_OK) {
    printf("%s\n", portlease_release_name(release)); // "released": the mapping is gone from the router
  }
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
  return 0;
}
