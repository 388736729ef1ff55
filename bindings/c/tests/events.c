// Readers of events: each gets every event, whoever else reads them.
//   events GATEWAY_PROGRAM
#include <math.h>
#include <pthread.h>

#include "check.h"

const char *check_gateway_program;

static gateway router;
static portlease_mapper *mapper;
static portlease_error error;

static portlease_events *reader(void) {
  portlease_events *events;
  CHECK_KIND(PORTLEASE_OK, portlease_events_new(mapper, &events, &error));
  return events;
}

static portlease_event next(portlease_events *events) {
  portlease_event event = PORTLEASE_INIT(portlease_event);
  CHECK_KIND(PORTLEASE_OK, portlease_events_next(events, INFINITY, &event, &error));
  return event;
}

// Maps a port and releases it: two events, or more if an attempt failed before.
static void live(uint16_t port) {
  portlease_lease *lease = check_lease(mapper, port);
  check_ready(lease, NULL);
  CHECK_KIND(PORTLEASE_OK, portlease_lease_stop(lease, INFINITY, NULL, &error));
  portlease_lease_free(lease);
}

static void end(void) {
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_mapper_free(mapper);
}

TEST(two_readers_and_the_queue_each_get_every_event) {
  mapper = check_mapper(&router);
  portlease_events *first = reader(), *second = reader();
  portlease_event event, queued = PORTLEASE_INIT(portlease_event);
  CHECK_KIND(PORTLEASE_TIMEOUT, portlease_mapper_next_event(mapper, 0, &queued, &error)); // the queue begins here
  live(4000);
  do {
    event = next(first);
    portlease_event same = next(second);
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_next_event(mapper, INFINITY, &queued, &error));
    CHECK(same.kind == event.kind && queued.kind == event.kind && same.dropped == 0 && queued.dropped == 0);
  } while (event.kind != PORTLEASE_EVENT_EXITED);
  CHECK_KIND(PORTLEASE_TIMEOUT, portlease_events_next(first, 0, &queued, &error));
  portlease_events_free(first);
  portlease_events_free(second);
  end();
}

TEST(a_new_reader_begins_with_what_nobody_has_read) {
  mapper = check_mapper(&router);
  live(4000);
  portlease_events *first = reader();
  while (next(first).kind != PORTLEASE_EVENT_INSTALLED) { // an attempt before, see check_ready
  }
  portlease_events *second = reader();
  CHECK(next(second).kind == PORTLEASE_EVENT_EXITED && next(first).kind == PORTLEASE_EVENT_EXITED);
  portlease_events_free(first);
  portlease_events_free(second);
  end();
}

TEST(a_reader_outlives_its_mapper_and_ends_with_its_last_event) {
  mapper = check_mapper(&router);
  portlease_events *events = reader();
  live(4000);
  end();
  portlease_event event = PORTLEASE_INIT(portlease_event);
  while (next(events).kind != PORTLEASE_EVENT_EXITED) {
  }
  CHECK_KIND(PORTLEASE_STOPPED, portlease_events_next(events, INFINITY, &event, &error));
  portlease_events_free(events);
}

TEST(the_waits_of_one_reader_share_its_events_and_cancelling_loses_none) {
  mapper = check_mapper(&router);
  portlease_events *events = reader(), *witness = reader();
  portlease_waits *waits;
  portlease_event event = PORTLEASE_INIT(portlease_event);
  portlease_completion over = PORTLEASE_INIT(portlease_completion);
  over.event = &event;
  CHECK_KIND(PORTLEASE_OK, portlease_waits_new(&waits, &error));
  size_t exited = 0;
  for (uint64_t token = 0; exited < 10; token += 2) {
    if (token < 20) {
      live((uint16_t)(4000 + token));
    }
    CHECK_KIND(PORTLEASE_OK, portlease_waits_events_next(waits, events, INFINITY, token, &error));
    CHECK_KIND(PORTLEASE_OK, portlease_waits_events_next(waits, events, INFINITY, token + 1, &error));
    CHECK_KIND(PORTLEASE_OK, portlease_waits_cancel(waits, token, &error));
    for (int i = 0; i < 2; i++) {
      CHECK_KIND(PORTLEASE_OK, portlease_waits_next(waits, INFINITY, &over, &error));
      if (over.error.kind == PORTLEASE_OK) {
        portlease_event same = next(witness);
        CHECK(event.kind == same.kind && event.lease == same.lease && event.dropped == 0);
        exited += event.kind == PORTLEASE_EVENT_EXITED;
      } else {
        CHECK(over.error.kind == PORTLEASE_CANCELLED && over.token == token);
      }
    }
  }
  // A wait keeps its reader.
  CHECK_KIND(PORTLEASE_OK, portlease_waits_events_next(waits, events, INFINITY, 1, &error));
  portlease_events_free(events);
  portlease_events_free(witness);
  live(5000);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_next(waits, INFINITY, &over, &error));
  CHECK(over.error.kind == PORTLEASE_OK && event.internal_port == 5000);
  portlease_waits_free(waits);
  end();
}

static void *read_all(void *events) {
  portlease_error error;
  portlease_event event = PORTLEASE_INIT(portlease_event);
  size_t exited = 0;
  while (portlease_events_next(events, INFINITY, &event, &error) == PORTLEASE_OK) {
    exited += event.kind == PORTLEASE_EVENT_EXITED;
  }
  CHECK(error.kind == PORTLEASE_STOPPED);
  portlease_events_free(events);
  return (void *)exited;
}

TEST(readers_in_threads_of_their_own_all_hear_of_the_end) {
  mapper = check_mapper(&router);
  pthread_t threads[4];
  for (size_t i = 0; i < 4; i++) {
    CHECK(pthread_create(&threads[i], NULL, read_all, reader()) == 0);
  }
  live(4000);
  live(4001);
  end();
  for (size_t i = 0; i < 4; i++) {
    void *exited;
    pthread_join(threads[i], &exited);
    CHECK((size_t)exited == 2);
  }
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  check_gateway_program = argv[1];
  check_gateway(&router);
  RUN(two_readers_and_the_queue_each_get_every_event);
  RUN(a_new_reader_begins_with_what_nobody_has_read);
  RUN(a_reader_outlives_its_mapper_and_ends_with_its_last_event);
  RUN(the_waits_of_one_reader_share_its_events_and_cancelling_loses_none);
  RUN(readers_in_threads_of_their_own_all_hear_of_the_end);
  gateway_end(&router);
  return 0;
}
