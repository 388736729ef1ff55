// One port in one call: it takes what start, map and ready take, and leaves nothing behind if it fails.
//   open GATEWAY_PROGRAM
#include <math.h>
#include <time.h>

#include "check.h"

const char *check_gateway_program;

static gateway router;
static portlease_config config;
static portlease_request request;
static portlease_mapper *mapper;
static portlease_lease *lease;
static portlease_lease_snapshot now;
static portlease_error error;

static void begin(void) {
  config = check_config(&router);
  request = check_request(4000);
  now = (portlease_lease_snapshot)PORTLEASE_INIT(portlease_lease_snapshot);
}

static portlease_kind open_it(double timeout) {
  return portlease_open(&request, &config, timeout, &mapper, &lease, &now, &error);
}

static void free_both(void) {
  portlease_mapper_free(mapper);
  portlease_lease_free(lease);
}

TEST(open_maps_in_one_call_and_its_mapper_stops_it) {
  begin();
  CHECK_KIND(PORTLEASE_OK, open_it(INFINITY));
  CHECK(now.active && now.transport == PORTLEASE_TRANSPORT_UDP && strcmp(now.external_address, "192.0.1.1") == 0);
  CHECK(check_mappings(&router) == 1);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  CHECK(check_mappings(&router) == 0);
  free_both();
}

TEST(open_takes_all_that_map_takes) {
  begin();
  config.protocols[0] = PORTLEASE_PROTOCOL_PCP;
  request.transport = PORTLEASE_TRANSPORT_TCP;
  request.external_port = 5000;
  request.exact = true;
  CHECK_KIND(PORTLEASE_OK, open_it(INFINITY));
  CHECK(now.internal_port == 4000 && now.external_port == 5000 && now.transport == PORTLEASE_TRANSPORT_TCP);
  CHECK(now.protocol == PORTLEASE_PROTOCOL_PCP);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  free_both();
  begin();
  request.internal_port = 0;
  CHECK_SAYS(PORTLEASE_INVALID, "internal_port: ", open_it(INFINITY));
  CHECK(mapper == NULL && lease == NULL);
}

TEST(a_detached_lease_leaves_its_mapping_when_the_mapper_is_stopped) {
  begin();
  request.internal_port = 4001;
  CHECK_KIND(PORTLEASE_OK, open_it(INFINITY));
  CHECK_KIND(PORTLEASE_OK, portlease_lease_detach(lease, NULL, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  CHECK(check_mappings(&router) == 1);
  free_both();
  CHECK_KIND(PORTLEASE_OK, open_it(INFINITY)); // the same mapping, which is released this time
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  CHECK(check_mappings(&router) == 0);
  free_both();
}

TEST(open_leaves_nothing_behind_if_the_router_is_silent_or_the_time_is_over) {
  gateway deaf;
  check_gateway(&deaf);
  check_silence(&deaf);
  size_t before = check_threads();
  begin();
  config = check_config(&deaf);
  config.protocols[0] = PORTLEASE_PROTOCOL_PCP;
  CHECK_KIND(PORTLEASE_UNAVAILABLE, open_it(PORTLEASE_DEFAULT_TIMEOUT));
  CHECK(mapper == NULL && lease == NULL);
  CHECK_KIND(PORTLEASE_TIMEOUT, open_it(0.01));
  CHECK(mapper == NULL && lease == NULL);
  while (check_threads() > before) { // the engines end; the driver of the tests limits the time
    nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
  }
  gateway_end(&deaf);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  check_gateway_program = argv[1];
  check_gateway(&router);
  RUN(open_maps_in_one_call_and_its_mapper_stops_it);
  RUN(open_takes_all_that_map_takes);
  RUN(a_detached_lease_leaves_its_mapping_when_the_mapper_is_stopped);
  RUN(open_leaves_nothing_behind_if_the_router_is_silent_or_the_time_is_over);
  gateway_end(&router);
  return 0;
}
