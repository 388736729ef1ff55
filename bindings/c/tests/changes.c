// Waiting for a lease to change, and for many at once to hear of a failure.
//   changes GATEWAY_PROGRAM
#include <math.h>

#include "check.h"

enum { WAITERS = 4 };

const char *check_gateway_program;

static gateway router;
static portlease_error error;

TEST(each_change_has_a_revision_of_its_own_and_the_last_is_the_end) {
  portlease_mapper *mapper = check_mapper(&router);
  portlease_lease *lease = check_lease(mapper, 4000);
  portlease_lease_snapshot seen = PORTLEASE_INIT(portlease_lease_snapshot);
  CHECK_KIND(PORTLEASE_OK, portlease_lease_get_snapshot(lease, &seen, &error));
  while (!seen.active) {
    uint64_t since = seen.revision;
    CHECK_KIND(PORTLEASE_OK, portlease_lease_changed(lease, since, INFINITY, &seen, &error));
    CHECK(seen.revision > since);
  }
  CHECK(seen.lifetime > 0);
  CHECK_KIND(PORTLEASE_TIMEOUT, portlease_lease_changed(lease, seen.revision, 0.05, NULL, &error));
  // What was missed is seen at once.
  CHECK_KIND(PORTLEASE_OK, portlease_lease_changed(lease, seen.revision - 1, 0, &seen, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_lease_stop(lease, INFINITY, NULL, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_lease_changed(lease, seen.revision, INFINITY, &seen, &error));
  CHECK(seen.state == PORTLEASE_STATE_EXITED && !seen.active);
  CHECK_KIND(PORTLEASE_STOPPED, portlease_lease_changed(lease, seen.revision, INFINITY, &seen, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
}

TEST(a_change_can_be_waited_for_among_other_waits_and_be_cancelled) {
  portlease_mapper *mapper = check_mapper(&router);
  portlease_lease *lease = check_lease(mapper, 4000);
  portlease_waits *waits;
  portlease_lease_snapshot seen = PORTLEASE_INIT(portlease_lease_snapshot), later = seen;
  portlease_completion over = PORTLEASE_INIT(portlease_completion);
  over.snapshot = &later;
  check_ready(lease, &seen);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_new(&waits, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_lease_changed(waits, lease, seen.revision, INFINITY, 1, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_lease_changed(waits, lease, seen.revision, INFINITY, 2, &error));
  CHECK_KIND(PORTLEASE_TIMEOUT, portlease_waits_next(waits, 0, &over, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_cancel(waits, 1, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_next(waits, INFINITY, &over, &error));
  CHECK(over.token == 1 && over.error.kind == PORTLEASE_CANCELLED);
  CHECK_KIND(PORTLEASE_OK, portlease_lease_stop(lease, INFINITY, NULL, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_next(waits, INFINITY, &over, &error));
  CHECK(over.token == 2 && over.error.kind == PORTLEASE_OK && later.revision > seen.revision && !later.active);
  portlease_waits_free(waits);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
}

// A mapper that finds nobody who answers, and only after a second or so.
static portlease_mapper *mapper_at(const gateway *deaf) {
  portlease_config config = check_config(deaf);
  config.protocols[0] = PORTLEASE_PROTOCOL_PCP;
  portlease_mapper *mapper;
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_start(&config, &mapper, &error));
  return mapper;
}

// Begins WAITERS waits for a mapping at a router that is silent, and looks at them when `until` has been reached: all of
// them must hear of the one failed attempt.
static void check_all_hear_of_the_failure(void (*until)(portlease_mapper *mapper, portlease_waits *waits), double look) {
  gateway deaf;
  check_gateway(&deaf);
  check_silence(&deaf);
  portlease_mapper *mapper = mapper_at(&deaf);
  portlease_lease *lease = check_lease(mapper, 4000);
  portlease_waits *waits;
  portlease_completion over = PORTLEASE_INIT(portlease_completion);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_new(&waits, &error));
  for (uint64_t token = 0; token < WAITERS; token++) {
    CHECK_KIND(PORTLEASE_OK, portlease_waits_lease_ready(waits, lease, INFINITY, token, &error));
  }
  until(mapper, waits);
  for (size_t i = 0; i < WAITERS; i++) {
    CHECK_KIND(PORTLEASE_OK, portlease_waits_next(waits, look, &over, &error));
    CHECK(over.error.kind == PORTLEASE_UNAVAILABLE);
  }
  portlease_waits_free(waits);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
  gateway_end(&deaf);
}

static void all_are_under_way(portlease_mapper *mapper, portlease_waits *waits) {
  (void)mapper;
  portlease_completion over = PORTLEASE_INIT(portlease_completion);
  CHECK_KIND(PORTLEASE_TIMEOUT, portlease_waits_next(waits, 0, &over, &error));
}

static void the_attempt_has_failed(portlease_mapper *mapper, portlease_waits *waits) {
  (void)waits;
  portlease_event event = PORTLEASE_INIT(portlease_event);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_next_event(mapper, INFINITY, &event, &error));
  CHECK(event.kind == PORTLEASE_EVENT_FAILED);
}

TEST(every_wait_that_is_under_way_hears_of_a_failed_attempt) {
  check_all_hear_of_the_failure(all_are_under_way, INFINITY);
}

TEST(every_wait_that_has_begun_hears_of_a_failed_attempt_however_late_it_is_looked_at) {
  check_all_hear_of_the_failure(the_attempt_has_failed, 0);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  check_gateway_program = argv[1];
  check_gateway(&router);
  RUN(each_change_has_a_revision_of_its_own_and_the_last_is_the_end);
  RUN(a_change_can_be_waited_for_among_other_waits_and_be_cancelled);
  RUN(every_wait_that_is_under_way_hears_of_a_failed_attempt);
  RUN(every_wait_that_has_begun_hears_of_a_failed_attempt_however_late_it_is_looked_at);
  gateway_end(&router);
  return 0;
}
