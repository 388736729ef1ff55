// A program to weigh, with and without portlease.
#include <stdio.h>
#ifdef WITH_PORTLEASE
#include <portlease.h>
#endif

int main(void) {
#ifdef WITH_PORTLEASE
  portlease_request request = PORTLEASE_INIT(portlease_request);
  request.internal_port = 4000;
  request.transport = PORTLEASE_TRANSPORT_UDP;
  portlease_mapper *mapper;
  portlease_lease *lease;
  portlease_lease_snapshot now = PORTLEASE_INIT(portlease_lease_snapshot);
  portlease_error error;
  if (portlease_open(&request, NULL, PORTLEASE_DEFAULT_TIMEOUT, &mapper, &lease, &now, &error) != PORTLEASE_OK) {
    printf("%s\n", error.message);
    return 1;
  }
  printf("%s:%u\n", now.external_address, (unsigned)now.external_port);
  portlease_mapper_stop(mapper, PORTLEASE_DEFAULT_TIMEOUT, NULL, NULL);
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
#else
  printf("%s:%u\n", "192.0.2.1", 4000u);
#endif
  return 0;
}
