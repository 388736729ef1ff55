// Handles that many threads use at once.
//   threads GATEWAY_PROGRAM
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
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
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, BOUND, NULL, &error));
  return number;
}

TEST(eight_threads_may_stop_one_mapper) {
  begin();
  for (size_t i = 0; i < LEASES; i++) {
    check_ready(leases[i], NULL);
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
    CHECK_KIND(PORTLEASE_OK, portlease_lease_stop(leases[mine], BOUND, NULL, &error));
  } else {
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, BOUND, NULL, &error));
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
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, BOUND, NULL, &error));
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
    check_ready(leases[0], NULL);
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, BOUND, NULL, &error));
    return number;
  }
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  do {
    CHECK_KIND(PORTLEASE_OK, portlease_lease_get_snapshot(leases[0], &snapshot, &error));
    // Never half of one state and half of another.
    CHECK(snapshot.active == (snapshot.external_port != 0) && snapshot.active == (snapshot.external_address[0] != '\0'));
    CHECK(snapshot.active == (snapshot.lifetime > 0) && snapshot.active == (snapshot.nat_class == PORTLEASE_NAT_OPEN));
    sched_yield();
  } while (snapshot.state != PORTLEASE_STATE_EXITED);
  return number;
}

TEST(a_snapshot_is_of_one_moment) {
  begin();
  at_once(read_or_stop);
  end();
}

static void *wait_for_ever(void *nothing) {
  static portlease_event event = PORTLEASE_INIT(portlease_event); // AddressSanitizer cannot unwind what is on the stack
  pthread_barrier_wait(&together);
  while (portlease_mapper_next_event(mapper, INFINITY, &event, NULL) == PORTLEASE_OK) {
  }
  pthread_testcancel();
  return nothing;
}

// Cancelled there, the thread would be unwound through Rust, which ends the process.
TEST(a_thread_that_is_cancelled_within_a_call_ends_after_it) {
  mapper = check_mapper(router);
  portlease_error error;
  pthread_t thread;
  void *ended;
  pthread_barrier_init(&together, NULL, 2);
  CHECK(pthread_create(&thread, NULL, wait_for_ever, NULL) == 0);
  pthread_barrier_wait(&together);
  CHECK(pthread_cancel(thread) == 0);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_probe(mapper, NULL, NULL, 0, &error)); // meanwhile the call goes on
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, BOUND, NULL, &error));
  CHECK(pthread_join(thread, &ended) == 0 && ended == PTHREAD_CANCELED);
  pthread_barrier_destroy(&together);
  portlease_mapper_free(mapper);
}

// What is behind the beginning of a line of a thread's file under /proc.
static void proc(char *to, size_t size, const char *thread, const char *file, const char *start) {
  char path[300];
  snprintf(path, sizeof path, "/proc/self/task/%s/%s", thread, file);
  FILE *from = fopen(path, "r");
  CHECK(from != NULL);
  while (fgets(to, (int)size, from) != NULL && strncmp(to, start, strlen(start)) != 0) {
  }
  CHECK(strncmp(to, start, strlen(start)) == 0);
  memmove(to, to + strlen(start), strlen(to + strlen(start)) + 1);
  fclose(from);
}

TEST(the_threads_of_the_library_take_no_signals_and_the_callers_do_as_before) {
  begin();
  portlease_error error;
  check_ready(leases[0], NULL); // so the thread has its name
  sigset_t mine;
  CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mine) == 0 && sigismember(&mine, SIGTERM) == 0);
  DIR *threads = opendir("/proc/self/task");
  CHECK(threads != NULL);
  size_t engines = 0;
  for (struct dirent *thread; (thread = readdir(threads)) != NULL;) {
    char said[100];
    if (thread->d_name[0] == '.') {
      continue;
    }
    proc(said, sizeof said, thread->d_name, "comm", "");
    if (strcmp(said, "portlease\n") == 0) {
      proc(said, sizeof said, thread->d_name, "status", "SigBlk:");
      unsigned long long blocked = strtoull(said, NULL, 16);
      CHECK((blocked >> (SIGTERM - 1) & 1) == 1 && (blocked >> (SIGUSR1 - 1) & 1) == 1);
      engines++;
    }
  }
  closedir(threads);
  CHECK(engines == 1);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, BOUND, NULL, &error));
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
  RUN(a_thread_that_is_cancelled_within_a_call_ends_after_it);
  RUN(the_threads_of_the_library_take_no_signals_and_the_callers_do_as_before);
  gateway_end(&ordinary);
  return 0;
}
