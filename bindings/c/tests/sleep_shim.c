// To be preloaded: answers clock_gettime as on a machine that has slept. See sleep_shim.h.
#define _GNU_SOURCE // syscall
#include "sleep_shim.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const int64_t SECOND = 1000000000;

sleep_shim_fall_asleep_function sleep_shim_fall_asleep;
sleep_shim_wake_function sleep_shim_wake;
sleep_shim_sleep_through_function sleep_shim_sleep_through;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool asleep;
static int64_t fell_asleep; // by the true CLOCK_MONOTONIC
static int64_t slept;       // by how much CLOCK_MONOTONIC is behind the true one
static int64_t ahead;       // by how much CLOCK_BOOTTIME is ahead of the true one

static int64_t true_time(clockid_t clock) {
  struct timespec now = {0};
  syscall(SYS_clock_gettime, clock, &now);
  return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

// With the lock held.
static int64_t monotonic(void) {
  return (asleep ? fell_asleep : true_time(CLOCK_MONOTONIC)) - slept;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  if (clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME) {
    return (int)syscall(SYS_clock_gettime, clock, now);
  }
  pthread_mutex_lock(&lock);
  int64_t time = clock == CLOCK_MONOTONIC ? monotonic() : true_time(CLOCK_BOOTTIME) + ahead;
  pthread_mutex_unlock(&lock);
  now->tv_sec = (time_t)(time / SECOND);
  now->tv_nsec = (long)(time % SECOND);
  return 0;
}

void sleep_shim_fall_asleep(void) {
  pthread_mutex_lock(&lock);
  fell_asleep = true_time(CLOCK_MONOTONIC);
  asleep = true;
  pthread_mutex_unlock(&lock);
}

void sleep_shim_wake(void) {
  pthread_mutex_lock(&lock);
  slept += true_time(CLOCK_MONOTONIC) - fell_asleep;
  asleep = false;
  pthread_mutex_unlock(&lock);
}

void sleep_shim_sleep_through(long seconds) {
  pthread_mutex_lock(&lock);
  ahead += (int64_t)seconds * SECOND;
  pthread_mutex_unlock(&lock);
}
