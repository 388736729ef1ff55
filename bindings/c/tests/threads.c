// Handles that many threads use at once.
//   threads GATEWAY_PROGRAM
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "check.h"

enum { THREADS = 8, LEASES = 4 };

// Many times the deadlines of the protocols, because valgrind is slow; and far below for ever.
static const double BOUND = 20;

const char *check_gateway_program;

static gateway ordinary, *router = &ordinary;
static portlease_mapper *mapper;
static portlease_lease *leases[LEASES];
static pthread_barrier_t together;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void begin(void) {
  mapper = check_mapper(router);
  for (uint16_t i = 0; i < LEASES; i++) {
    leases[i] = check_lease(mapper, (uint16_t)(4000 + i));
  }
}

static void end(void) {
  for (size_t i = 0; i < LEASES; i++) {
    portlease_lease_free(leases[i]);
  }
  portlease_mapper_free(mapper);
}

// Runs it in eight threads that begin at the same moment.
static void at_once(void *(*work)(void *)) {
  pthread_t threads[THREADS];
  pthread_barrier_init(&together, NULL, THREADS);
  for (size_t i = 0; i < THREADS; i++) {
    CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
  }
  for (size_t i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
  }
  pthread_barrier_destroy(&together);
}

static void *stop_mapper(void *number) {
  portlease_error error;
  pthread_barrier_wait(&together);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, BOUND, &error));
  return number;
}

TEST(eight_threads_may_stop_one_mapper) {
  begin();
  portlease_error error;
  for (size_t i = 0; i < LEASES; i++) {
    CHECK_KIND(PORTLEASE_OK, portlease_lease_ready(leases[i], INFINITY, NULL, &error));
  }
  CHECK(check_mappings(router) == LEASES);
  double start = now();
  at_once(stop_mapper);
  CHECK(now() - start < BOUND);
  CHECK(check_mappings(router) == 0);
  end();
}

// While they are being mapped, which is the worst moment.
static void *stop_something(void *number) {
  portlease_error error;
  size_t mine = (size_t)number;
  pthread_barrier_wait(&together);
  if (mine < LEASES) {
    CHECK_KIND(PORTLEASE_OK, portlease_lease_stop(leases[mine], BOUND, &error));
  } else {
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, BOUND, &error));
  }
  return number;
}

TEST(leases_and_their_mapper_may_be_stopped_at_once_while_they_are_being_mapped) {
  for (int times = 0; times < 10; times++) {
    begin();
    at_once(stop_something);
    CHECK(check_mappings(router) == 0);
    end();
  }
}

static void *wait_or_stop(void *number) {
  portlease_error error;
  portlease_event event = PORTLEASE_INIT(portlease_event);
  size_t mine = (size_t)number;
  pthread_barrier_wait(&together);
  if (mine == 0) {
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, BOUND, &error));
  } else if (mine < LEASES) {
    portlease_kind kind = portlease_lease_ready(leases[mine], INFINITY, NULL, &error);
    CHECK(kind == PORTLEASE_STOPPED || kind == PORTLEASE_OK);
  } else {
    while (portlease_mapper_next_event(mapper, INFINITY, &event, &error) == PORTLEASE_OK) {
    }
    CHECK(error.kind == PORTLEASE_STOPPED);
  }
  return number;
}

TEST(a_stop_ends_the_waits_of_other_threads) {
  gateway deaf;
  check_gateway(&deaf);
  check_silence(&deaf);
  router = &deaf;
  begin();
  double start = now();
  at_once(wait_or_stop);
  CHECK(now() - start < BOUND);
  end();
  gateway_end(&deaf);
  router = &ordinary;
}

static void *read_or_stop(void *number) {
  portlease_error error;
  size_t mine = (size_t)number;
  pthread_barrier_wait(&together);
  if (mine == 0) {
    // Under valgrind the readers may leave the engine too little time for an attempt; the next one is waited for.
    portlease_kind kind;
    do {
      kind = portlease_lease_ready(leases[0], INFINITY, NULL, &error);
    } while (kind == PORTLEASE_TIMEOUT || kind == PORTLEASE_UNAVAILABLE);
    CHECK_KIND(PORTLEASE_OK, kind);
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, BOUND, &error));
    return number;
  }
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  do {
    CHECK_KIND(PORTLEASE_OK, portlease_lease_get_snapshot(leases[0], &snapshot, &error));
    // Never half of one state and half of another.
    CHECK(snapshot.active == (snapshot.external_port != 0) && snapshot.active == (snapshot.external_address[0] != '\0'));
    CHECK(snapshot.active == (snapshot.ttl > 0) && snapshot.active == (snapshot.nat_class == PORTLEASE_NAT_OPEN));
    sched_yield();
  } while (snapshot.state != PORTLEASE_STATE_EXITED);
  return number;
}

TEST(a_snapshot_is_of_one_moment) {
  begin();
  at_once(read_or_stop);
  end();
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  check_gateway_program = argv[1];
  check_gateway(&ordinary);
  RUN(eight_threads_may_stop_one_mapper);
  RUN(leases_and_their_mapper_may_be_stopped_at_once_while_they_are_being_mapped);
  RUN(a_stop_ends_the_waits_of_other_threads);
  RUN(a_snapshot_is_of_one_moment);
  gateway_end(&ordinary);
  return 0;
}
