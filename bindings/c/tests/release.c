// What a stop answers, and what is known of a mapping whose router does not know its address.
//   release GATEWAY_PROGRAM
#include <math.h>

#include "check.h"

const char *check_gateway_program;

static gateway router, deaf;
static portlease_error error;

TEST(a_stop_that_the_router_has_confirmed_answers_released) {
  portlease_mapper *mapper = check_mapper(&router);
  portlease_lease *first = check_lease(mapper, 4000), *second = check_lease(mapper, 4001);
  check_ready(first, NULL);
  check_ready(second, NULL);
  portlease_release release = PORTLEASE_PENDING;
  CHECK_KIND(PORTLEASE_OK, portlease_lease_stop(first, INFINITY, &release, &error));
  CHECK(release == PORTLEASE_RELEASED && check_mappings(&router) == 1);
  release = PORTLEASE_PENDING;
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, &release, &error));
  CHECK(release == PORTLEASE_RELEASED && check_mappings(&router) == 0);
  portlease_lease_free(first);
  portlease_lease_free(second);
  portlease_mapper_free(mapper);
}

// The answer of a wait that is over.
static portlease_release answer(portlease_waits *waits) {
  portlease_release release = PORTLEASE_PENDING;
  portlease_completion over = PORTLEASE_INIT(portlease_completion);
  over.release = &release;
  CHECK_KIND(PORTLEASE_OK, portlease_waits_next(waits, INFINITY, &over, &error));
  CHECK(over.error.kind == PORTLEASE_OK);
  return release;
}

TEST(what_was_left_on_purpose_counts_as_released_and_waits_answer_the_same) {
  portlease_mapper *mapper = check_mapper(&router);
  portlease_lease *left = check_lease(mapper, 4000), *stopped = check_lease(mapper, 4001);
  portlease_waits *waits;
  CHECK_KIND(PORTLEASE_OK, portlease_waits_new(&waits, &error));
  check_ready(left, NULL);
  check_ready(stopped, NULL);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_lease_detach(waits, left, 1, &error));
  CHECK(answer(waits) == PORTLEASE_RELEASED);
  portlease_release release = PORTLEASE_PENDING;
  CHECK_KIND(PORTLEASE_OK, portlease_lease_detach(left, &release, &error));
  CHECK(release == PORTLEASE_RELEASED);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_lease_stop(waits, stopped, INFINITY, 2, &error));
  CHECK(answer(waits) == PORTLEASE_RELEASED);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_stop(waits, mapper, INFINITY, 3, &error));
  CHECK(answer(waits) == PORTLEASE_RELEASED && check_mappings(&router) == 1);
  portlease_waits_free(waits);
  portlease_lease_free(left);
  portlease_lease_free(stopped);
  portlease_mapper_free(mapper);
}

TEST(a_router_that_is_gone_makes_a_stop_pending_and_in_the_end_unconfirmed_but_never_a_failure) {
  portlease_mapper *mapper = check_mapper(&deaf);
  portlease_lease *lease = check_lease(mapper, 4000);
  portlease_waits *waits;
  CHECK_KIND(PORTLEASE_OK, portlease_waits_new(&waits, &error));
  check_ready(lease, NULL);
  check_silence(&deaf);
  portlease_release release = PORTLEASE_RELEASED;
  CHECK_KIND(PORTLEASE_OK, portlease_lease_stop(lease, 0, &release, &error));
  CHECK(release == PORTLEASE_PENDING);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, 0, &release, &error));
  CHECK(release == PORTLEASE_PENDING);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_lease_stop(waits, lease, INFINITY, 1, &error));
  CHECK(answer(waits) == PORTLEASE_UNCONFIRMED);
  CHECK_KIND(PORTLEASE_OK, portlease_lease_stop(lease, INFINITY, &release, &error));
  CHECK(release == PORTLEASE_UNCONFIRMED);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, &release, &error));
  CHECK(release == PORTLEASE_UNCONFIRMED);
  portlease_waits_free(waits);
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
}

TEST(a_call_that_fails_answers_nothing) {
  portlease_release release = PORTLEASE_UNCONFIRMED;
  CHECK_SAYS(PORTLEASE_INVALID, "mapper", portlease_mapper_stop(NULL, INFINITY, &release, &error));
  CHECK(release == PORTLEASE_UNCONFIRMED);
}

TEST(the_external_port_is_known_also_if_the_router_does_not_know_its_address) {
  gateway lost;
  check_gateway(&lost);
  check_switches(&lost, json_pack("{s:b}", "empty_external_address", 1));
  portlease_config config = check_config(&lost);
  config.protocols[0] = PORTLEASE_PROTOCOL_UPNP;
  portlease_mapper *mapper;
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_start(&config, &mapper, &error));
  portlease_lease *lease = check_lease(mapper, 4000);
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  check_ready(lease, &snapshot);
  CHECK(snapshot.active && snapshot.external_port == 4000 && snapshot.external_address[0] == '\0');
  CHECK(snapshot.nat_class == PORTLEASE_NAT_UNKNOWN && snapshot.address_class == PORTLEASE_ADDRESS_UNKNOWN);
  portlease_event event = PORTLEASE_INIT(portlease_event);
  do {
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_next_event(mapper, INFINITY, &event, &error));
  } while (event.kind != PORTLEASE_EVENT_INSTALLED); // an attempt before may have failed, see check_ready
  CHECK(event.external_port == 4000 && event.external_address[0] == '\0');
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
  gateway_end(&lost);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  check_gateway_program = argv[1];
  check_gateway(&router);
  check_gateway(&deaf);
  RUN(a_stop_that_the_router_has_confirmed_answers_released);
  RUN(what_was_left_on_purpose_counts_as_released_and_waits_answer_the_same);
  RUN(a_router_that_is_gone_makes_a_stop_pending_and_in_the_end_unconfirmed_but_never_a_failure);
  RUN(a_call_that_fails_answers_nothing);
  RUN(the_external_port_is_known_also_if_the_router_does_not_know_its_address);
  gateway_end(&router);
  gateway_end(&deaf);
  return 0;
}
