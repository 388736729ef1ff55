// A machine that sleeps: its own lifetimes go on. To be run with sleep_shim.c preloaded.
//   sleep GATEWAY_PROGRAM
#define _GNU_SOURCE // RTLD_DEFAULT
#include "sleep_shim.h"

#include <dlfcn.h>
#include <math.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

enum { LEASES = 20, FIRST_PORT = 4000 };

// The default lifetime is an hour, and the next renewal is half an hour away: no timer of before the sleep ends in a test.
static const long LONGER_THAN_A_LIFETIME = 2 * 3600;
static const long SHORTER_THAN_A_LIFETIME = 10 * 60;
// A sleep is noticed within 10 s, and the renewals are spread over one more; the rest is for a busy machine.
static const int NOTICED_WITHIN = 30;

static sleep_shim_fall_asleep_function *fall_asleep;
static sleep_shim_wake_function *wake;
static sleep_shim_sleep_through_function *sleep_through;

const char *check_gateway_program;

static gateway router;
static portlease_error error;

// Passes in truth, whatever the clocks say.
static void let_pass(int milliseconds) {
  struct timespec time = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000L};
  nanosleep(&time, NULL);
}

static portlease_lease_snapshot snapshot_of(portlease_lease *lease) {
  portlease_lease_snapshot now = PORTLEASE_INIT(portlease_lease_snapshot);
  CHECK_KIND(PORTLEASE_OK, portlease_lease_get_snapshot(lease, &now, &error));
  return now;
}

static bool mapped(const portlease_lease_snapshot *now) {
  bool active = now->active;
  // A caller who looks at the address instead must not see an old one either.
  CHECK(active == (now->external_address[0] != '\0') && active == (now->external_port != 0));
  CHECK(active == (now->nat_class == PORTLEASE_NAT_OPEN) && active == (now->lifetime > 0));
  return active;
}

static portlease_mapper *map_all(portlease_lease **leases) {
  portlease_mapper *mapper = check_mapper(&router);
  for (int i = 0; i < LEASES; i++) {
    leases[i] = check_lease(mapper, (uint16_t)(FIRST_PORT + i));
  }
  for (int i = 0; i < LEASES; i++) {
    check_ready(leases[i], NULL);
  }
  return mapper;
}

static void stop_all(portlease_mapper *mapper, portlease_lease **leases) {
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  CHECK(check_mappings(&router) == 0);
  for (int i = 0; i < LEASES; i++) {
    portlease_lease_free(leases[i]);
  }
  portlease_mapper_free(mapper);
}

// Waits until the condition holds for each lease.
static void wait_for_all(portlease_lease **leases, bool (*condition)(const portlease_lease_snapshot *now)) {
  int all = 0;
  for (int left = NOTICED_WITHIN * 100; all < LEASES; left--) {
    CHECK(left > 0);
    let_pass(10);
    all = 0;
    for (int i = 0; i < LEASES; i++) {
      portlease_lease_snapshot now = snapshot_of(leases[i]);
      all += condition(&now);
    }
  }
}

static bool renewed(const portlease_lease_snapshot *now) {
  CHECK(mapped(now));
  return now->renewals > 0;
}

TEST(a_sleep_longer_than_the_lifetimes_leaves_no_mapping_that_looks_alive_and_all_are_mapped_again_at_once) {
  portlease_lease *leases[LEASES];
  portlease_mapper *mapper = map_all(leases);
  sleep_through(LONGER_THAN_A_LIFETIME);
  for (int i = 0; i < LEASES; i++) {
    portlease_lease_snapshot now = snapshot_of(leases[i]);
    CHECK(!mapped(&now));
  }
  portlease_mapper_snapshot whole = PORTLEASE_INIT(portlease_mapper_snapshot);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_get_snapshot(mapper, &whole, NULL, 0, &error));
  CHECK(whole.active == 0 && whole.lease_count == LEASES);
  wait_for_all(leases, mapped);
  stop_all(mapper, leases);
}

TEST(after_a_shorter_sleep_every_mapping_is_renewed_at_once_and_stays_published_meanwhile) {
  portlease_lease *leases[LEASES];
  portlease_mapper *mapper = map_all(leases);
  double before = snapshot_of(leases[0]).expires_in;
  sleep_through(SHORTER_THAN_A_LIFETIME);
  CHECK(snapshot_of(leases[0]).expires_in < before - (double)SHORTER_THAN_A_LIFETIME + 1);
  wait_for_all(leases, renewed);
  stop_all(mapper, leases);
}

TEST(a_mapping_that_expires_while_the_machine_sleeps_is_gone_for_whoever_looks_before_it_is_awake) {
  portlease_config config = check_config(&router);
  config.ttl = 2;
  portlease_mapper *mapper;
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_start(&config, &mapper, &error));
  portlease_lease *lease = check_lease(mapper, FIRST_PORT);
  portlease_lease_snapshot now = PORTLEASE_INIT(portlease_lease_snapshot);
  check_ready(lease, &now);
  fall_asleep();
  // No timer of the library ends from here on.
  CHECK(mapped(&now));
  let_pass(3000);
  now = snapshot_of(lease);
  CHECK(!mapped(&now));
  CHECK(check_mappings(&router) == 0);
  wake();
  for (int left = NOTICED_WITHIN * 100; !mapped(&now); left--) {
    CHECK(left > 0);
    let_pass(10);
    now = snapshot_of(lease);
  }
  CHECK(check_mappings(&router) == 1);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
}

// A function of the preloaded library. The cast goes by memory because ISO C has none from an object to a function.
static void find(const char *name, void *function) {
  void *found = dlsym(RTLD_DEFAULT, name);
  CHECK(found != NULL);
  memcpy(function, &found, sizeof found);
}

// Plays a test in a process of its own, with a router of its own: they wait at the same time.
#define BEGIN(sentence)          \
  do {                           \
    pid_t process = fork();      \
    CHECK(process >= 0);         \
    if (process == 0) {          \
      check_gateway(&router);    \
      RUN(sentence);             \
      gateway_end(&router);      \
      exit(0);                   \
    }                            \
  } while (0)

int main(int argc, char **argv) {
  CHECK(argc == 2);
  check_gateway_program = argv[1];
  find("sleep_shim_fall_asleep", &fall_asleep);
  find("sleep_shim_wake", &wake);
  find("sleep_shim_sleep_through", &sleep_through);
  unsetenv("LD_PRELOAD"); // the gateway does not sleep
  BEGIN(a_sleep_longer_than_the_lifetimes_leaves_no_mapping_that_looks_alive_and_all_are_mapped_again_at_once);
  BEGIN(after_a_shorter_sleep_every_mapping_is_renewed_at_once_and_stays_published_meanwhile);
  BEGIN(a_mapping_that_expires_while_the_machine_sleeps_is_gone_for_whoever_looks_before_it_is_awake);
  bool all = true;
  for (int status; wait(&status) > 0;) {
    all = WIFEXITED(status) && WEXITSTATUS(status) == 0 && all;
  }
  CHECK(all);
  return 0;
}
