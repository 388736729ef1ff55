// Many waits at once: every one that was begun ends once, however it ends.
//   waits GATEWAY_PROGRAM
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>

#include "check.h"

enum { MANY = 100 };

const char *check_gateway_program;

static gateway router;
static portlease_mapper *mapper;
static portlease_waits *waits;
static portlease_error error;

static void begin(void) {
  mapper = check_mapper(&router);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_new(&waits, &error));
}

static void end(void) {
  portlease_waits_free(waits);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_mapper_free(mapper);
}

static portlease_completion next(double timeout) {
  portlease_completion completion = PORTLEASE_INIT(portlease_completion);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_next(waits, timeout, &completion, &error));
  return completion;
}

static void nothing_more(void) {
  portlease_completion completion = PORTLEASE_INIT(portlease_completion);
  CHECK_KIND(PORTLEASE_TIMEOUT, portlease_waits_next(waits, 0, &completion, &error));
}

TEST(results_go_where_the_completion_points) {
  begin();
  portlease_lease *lease = check_lease(mapper, 4000);
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  portlease_event event = PORTLEASE_INIT(portlease_event);
  portlease_gateway_report report = PORTLEASE_INIT(portlease_gateway_report);
  portlease_protocol_report protocols[3] = {PORTLEASE_INIT(portlease_protocol_report)};
  check_ready(lease, NULL);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_lease_ready(waits, lease, 10, 1, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_next_event(waits, mapper, 10, 2, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_probe(waits, mapper, 3, &error));
  unsigned seen = 0;
  for (int i = 0; i < 3; i++) {
    portlease_completion completion = PORTLEASE_INIT(portlease_completion);
    completion.snapshot = &snapshot;
    completion.event = &event;
    completion.report = &report;
    completion.protocols = protocols;
    completion.protocols_capacity = 3;
    CHECK_KIND(PORTLEASE_OK, portlease_waits_next(waits, INFINITY, &completion, &error));
    CHECK(completion.error.kind == PORTLEASE_OK && completion.error.message[0] == '\0');
    if (completion.token == 2 && event.kind == PORTLEASE_EVENT_FAILED) { // an attempt before, see check_ready
      CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_next_event(waits, mapper, 10, 2, &error));
      i--;
      continue;
    }
    seen |= 1U << completion.token;
  }
  CHECK(seen == 14);
  CHECK(snapshot.active && snapshot.external_port == 4000);
  CHECK(event.kind == PORTLEASE_EVENT_INSTALLED && event.external_port == 4000);
  CHECK(report.protocol_count == 3 && report.gateway[0] != '\0');
  size_t offers = 0;
  for (size_t i = 0; i < 3; i++) {
    bool offered = protocols[i].error.kind == PORTLEASE_OK;
    CHECK(protocols[i].protocol == (portlease_protocol)(i + 1) && offered == (protocols[i].round_trip >= 0));
    offers += offered;
  }
  CHECK(offers > 0);
  nothing_more();
  portlease_lease_free(lease);
  end();
}

TEST(a_wait_fails_as_the_call_that_blocks_does) {
  begin();
  CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_next_event(waits, mapper, 0.05, 1, &error));
  CHECK(next(INFINITY).error.kind == PORTLEASE_TIMEOUT);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_stop(waits, mapper, 10, 2, &error));
  CHECK(next(INFINITY).error.kind == PORTLEASE_OK);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_next_event(waits, mapper, INFINITY, 3, &error));
  portlease_completion stopped = next(INFINITY);
  CHECK(stopped.error.kind == PORTLEASE_STOPPED && stopped.error.message[0] != '\0');
  end();
}

TEST(a_cancelled_wait_ends_at_once_and_its_lease_goes_on) {
  begin();
  portlease_lease *lease = check_lease(mapper, 4000);
  for (uint64_t token = 0; token < MANY; token++) {
    CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_next_event(waits, mapper, INFINITY, 1000 + token, &error));
  }
  // One of them gets the event, the others have been polled and wait.
  CHECK(next(INFINITY).error.kind == PORTLEASE_OK);
  nothing_more();
  bool ended[MANY] = {false};
  for (uint64_t token = 0; token < MANY; token++) {
    CHECK_KIND(PORTLEASE_OK, portlease_waits_cancel(waits, 1000 + token, &error));
    CHECK_KIND(PORTLEASE_OK, portlease_waits_cancel(waits, 1000 + token, &error));
  }
  for (size_t i = 0; i < MANY - 1; i++) {
    portlease_completion completion = next(0);
    CHECK(completion.error.kind == PORTLEASE_CANCELLED && !ended[completion.token - 1000]);
    ended[completion.token - 1000] = true;
  }
  nothing_more();
  CHECK_KIND(PORTLEASE_OK, portlease_waits_cancel(waits, 1000, &error));
  nothing_more();
  check_ready(lease, NULL);
  portlease_lease_free(lease);
  end();
}

TEST(a_token_may_be_used_again_once_its_wait_was_handed_out) {
  begin();
  for (int times = 0; times < 3; times++) {
    CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_next_event(waits, mapper, INFINITY, 5, &error));
    CHECK_SAYS(PORTLEASE_INVALID, "token", portlease_waits_mapper_probe(waits, mapper, 5, &error));
    CHECK_KIND(PORTLEASE_OK, portlease_waits_cancel(waits, 5, &error));
    CHECK_SAYS(PORTLEASE_INVALID, "token", portlease_waits_mapper_probe(waits, mapper, 5, &error));
    CHECK(next(0).token == 5);
  }
  end();
}

TEST(the_descriptor_is_readable_while_there_is_something_to_do_and_only_then) {
  begin();
  int32_t descriptor, again;
  CHECK_KIND(PORTLEASE_OK, portlease_waits_descriptor(waits, &descriptor, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_descriptor(waits, &again, &error));
  CHECK(descriptor == again);
  struct pollfd watched = {.fd = descriptor, .events = POLLIN};
  CHECK(poll(&watched, 1, 0) == 0);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_next_event(waits, mapper, INFINITY, 1, &error));
  CHECK(poll(&watched, 1, 0) == 1);
  nothing_more();
  CHECK(poll(&watched, 1, 0) == 0);
  portlease_lease *lease = check_lease(mapper, 4000);
  CHECK(poll(&watched, 1, 10000) == 1);
  CHECK(next(0).token == 1);
  nothing_more();
  CHECK(poll(&watched, 1, 0) == 0);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_stop(waits, &error));
  CHECK(poll(&watched, 1, 0) == 1);
  portlease_lease_free(lease);
  end();
}

// Counts completions until there are no more.
static void *collect(void *nothing) {
  portlease_error error;
  portlease_completion completion = PORTLEASE_INIT(portlease_completion);
  size_t count = 0;
  while (portlease_waits_next(waits, INFINITY, &completion, &error) == PORTLEASE_OK) {
    count++;
  }
  CHECK(error.kind == PORTLEASE_STOPPED);
  (void)nothing;
  return (void *)count;
}

TEST(a_stop_that_is_cancelled_before_anybody_has_looked_at_it_releases_all_the_same) {
  begin();
  portlease_lease *lease = check_lease(mapper, 4000);
  check_ready(lease, NULL);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_lease_stop(waits, lease, INFINITY, 1, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_cancel(waits, 1, &error));
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  do {
    CHECK_KIND(PORTLEASE_OK, portlease_lease_get_snapshot(lease, &snapshot, &error));
  } while (snapshot.state != PORTLEASE_STATE_EXITED); // the driver of this test limits its time
  portlease_lease_free(lease);
  end();
}

TEST(a_stop_cancels_all_and_wakes_every_thread_and_each_wait_is_handed_out_once) {
  begin();
  pthread_t threads[4];
  for (size_t i = 0; i < 4; i++) {
    CHECK(pthread_create(&threads[i], NULL, collect, NULL) == 0);
  }
  for (uint64_t token = 0; token < MANY; token++) {
    // Half of them end by themselves at about the moment of the stop.
    double timeout = token % 2 == 0 ? 0.02 : INFINITY;
    CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_next_event(waits, mapper, timeout, token, &error));
  }
  nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_stop(waits, &error));
  CHECK_KIND(PORTLEASE_STOPPED, portlease_waits_mapper_probe(waits, mapper, 7777, &error));
  size_t count = 0;
  for (size_t i = 0; i < 4; i++) {
    void *part;
    pthread_join(threads[i], &part);
    count += (size_t)part;
  }
  CHECK(count == MANY);
  end();
}

// Cancels whatever there may be, again and again.
static void *cancel_all(void *stop) {
  portlease_error error;
  while (!*(volatile bool *)stop) {
    for (uint64_t token = 0; token < MANY; token++) {
      portlease_waits_cancel(waits, token, &error);
    }
  }
  return NULL;
}

TEST(cancelling_loses_no_event) {
  begin();
  bool over = false;
  pthread_t canceller;
  CHECK(pthread_create(&canceller, NULL, cancel_all, &over) == 0);
  size_t installed = 0, exited = 0;
  for (int times = 0; times < 20; times++) {
    portlease_lease *lease = check_lease(mapper, 4000);
    portlease_lease_free(lease); // also where it was not mapped yet
  }
  portlease_event event = PORTLEASE_INIT(portlease_event);
  for (uint64_t token = 0; exited < 20; token++) {
    CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_next_event(waits, mapper, 10, token % MANY, &error));
    portlease_completion completion = PORTLEASE_INIT(portlease_completion);
    completion.event = &event;
    CHECK_KIND(PORTLEASE_OK, portlease_waits_next(waits, INFINITY, &completion, &error));
    if (completion.error.kind == PORTLEASE_OK) {
      installed += event.kind == PORTLEASE_EVENT_INSTALLED;
      exited += event.kind == PORTLEASE_EVENT_EXITED;
    } else {
      CHECK(completion.error.kind == PORTLEASE_CANCELLED);
    }
  }
  CHECK(installed <= exited);
  over = true;
  pthread_join(canceller, NULL);
  end();
}

TEST(a_wait_outlives_the_handle_that_it_was_begun_with) {
  begin();
  portlease_lease *lease = check_lease(mapper, 4000);
  check_ready(lease, NULL);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_lease_ready(waits, lease, INFINITY, 1, &error));
  portlease_lease_free(lease);
  CHECK(next(INFINITY).error.kind == PORTLEASE_OK);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_stop(waits, mapper, INFINITY, 2, &error));
  portlease_mapper_free(mapper);
  CHECK(next(INFINITY).error.kind == PORTLEASE_OK);
  CHECK(check_mappings(&router) == 0);
  portlease_waits_free(waits);
}

TEST(what_is_still_waiting_may_be_freed) {
  begin();
  int32_t descriptor;
  CHECK_KIND(PORTLEASE_OK, portlease_waits_descriptor(waits, &descriptor, &error));
  for (uint64_t token = 0; token < MANY; token++) {
    CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_next_event(waits, mapper, 3600, token, &error));
  }
  nothing_more();
  end();
}

TEST(a_place_that_is_too_small_takes_nothing_out) {
  begin();
  portlease_lease *lease = check_lease(mapper, 4000);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_next_event(waits, mapper, INFINITY, 1, &error));
  portlease_event event = PORTLEASE_INIT(portlease_event);
  portlease_completion completion = PORTLEASE_INIT(portlease_completion);
  event.struct_size = 8;
  completion.event = &event;
  CHECK_SAYS(PORTLEASE_INVALID, "event", portlease_waits_next(waits, INFINITY, &completion, &error));
  event.struct_size = sizeof event;
  CHECK_KIND(PORTLEASE_OK, portlease_waits_next(waits, INFINITY, &completion, &error));
  CHECK(event.lease == portlease_lease_id(lease) && event.kind != PORTLEASE_EVENT_ABSENT);
  portlease_lease_free(lease);
  end();
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  check_gateway_program = argv[1];
  check_gateway(&router);
  RUN(results_go_where_the_completion_points);
  RUN(a_wait_fails_as_the_call_that_blocks_does);
  RUN(a_cancelled_wait_ends_at_once_and_its_lease_goes_on);
  RUN(a_token_may_be_used_again_once_its_wait_was_handed_out);
  RUN(the_descriptor_is_readable_while_there_is_something_to_do_and_only_then);
  RUN(a_stop_that_is_cancelled_before_anybody_has_looked_at_it_releases_all_the_same);
  RUN(a_stop_cancels_all_and_wakes_every_thread_and_each_wait_is_handed_out_once);
  RUN(cancelling_loses_no_event);
  RUN(a_wait_outlives_the_handle_that_it_was_begun_with);
  RUN(what_is_still_waiting_may_be_freed);
  RUN(a_place_that_is_too_small_takes_nothing_out);
  gateway_end(&router);
  return 0;
}
