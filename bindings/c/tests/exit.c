// The last moments of a program, in which thread-local memory is gone already: everything is still answered.
//   exit GATEWAY_PROGRAM
#include <math.h>

#include "check.h"

const char *check_gateway_program;

static gateway router;
static portlease_mapper *mapper;
static portlease_lease *first, *second, *third;
static portlease_waits *waits;
static portlease_events *events;
static portlease_error error;

TEST(waits_are_begun_cancelled_and_handed_out) {
  portlease_completion completion = PORTLEASE_INIT(portlease_completion);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_lease_stop(waits, first, INFINITY, 1, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_next(waits, INFINITY, &completion, &error));
  CHECK(completion.token == 1 && completion.error.kind == PORTLEASE_OK);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_lease_ready(waits, second, INFINITY, 2, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_cancel(waits, 2, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_next(waits, INFINITY, &completion, &error));
  CHECK(completion.token == 2 && completion.error.kind == PORTLEASE_CANCELLED);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_lease_changed(waits, first, 0, INFINITY, 3, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_next(waits, INFINITY, &completion, &error));
  CHECK(completion.token == 3 && completion.error.kind == PORTLEASE_OK);
}

TEST(another_port_is_mapped_and_its_events_are_pulled) {
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  portlease_event event = PORTLEASE_INIT(portlease_event), same = PORTLEASE_INIT(portlease_event);
  third = check_lease(mapper, 4002);
  check_ready(third, &snapshot);
  CHECK(snapshot.active && snapshot.external_port == 4002);
  CHECK_KIND(PORTLEASE_OK, portlease_lease_changed(third, snapshot.revision - 1, INFINITY, &snapshot, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_events_new(mapper, &events, &error));
  do {
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_next_event(mapper, INFINITY, &event, &error));
    CHECK_KIND(PORTLEASE_OK, portlease_events_next(events, INFINITY, &same, &error));
    CHECK(same.kind == event.kind && same.lease == event.lease);
  } while (event.lease != portlease_lease_id(third));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_probe(mapper, NULL, NULL, 0, &error));
}

TEST(leases_and_mapper_are_stopped_and_nothing_is_left) {
  CHECK(check_mappings(&router) == 2);
  CHECK_KIND(PORTLEASE_OK, portlease_lease_stop(second, INFINITY, NULL, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_lease_detach(second, NULL, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  CHECK(check_mappings(&router) == 0);
}

static void last(void) {
  RUN(waits_are_begun_cancelled_and_handed_out);
  RUN(another_port_is_mapped_and_its_events_are_pulled);
  RUN(leases_and_mapper_are_stopped_and_nothing_is_left);
  portlease_waits_free(waits);
  portlease_events_free(events);
  portlease_lease_free(first);
  portlease_lease_free(second);
  portlease_lease_free(third);
  portlease_mapper_free(mapper);
  gateway_end(&router);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  check_gateway_program = argv[1];
  check_gateway(&router);
  mapper = check_mapper(&router);
  first = check_lease(mapper, 4000);
  second = check_lease(mapper, 4001);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_new(&waits, &error));
  check_ready(first, NULL);
  check_ready(second, NULL);
  CHECK(atexit(last) == 0);
  return 0;
}
