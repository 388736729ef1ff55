/* A panic in the library is caught in it, and comes out as an error: the system's clock fails, for which Rust has no other
   answer. The program's own functions take the place of those of the C library, or of the imported one. */
#include <portlease.h>
#include <stdio.h>

static int broken;

#ifdef _WIN32
static int counter(long long *at) {
  static long long now;
  *at = now += 100000;
  return !broken;
}
void *__imp_QueryPerformanceCounter = (void *)counter;
int QueryPerformanceCounter(long long *at) { return counter(at); }
#else
#include <sys/syscall.h>
#include <time.h>
long syscall(long, ...);
int clock_gettime(clockid_t id, struct timespec *at) { return broken ? -1 : (int)syscall(SYS_clock_gettime, id, at); }
#endif

static portlease_kind next(portlease_log *log) {
  portlease_log_record record = PORTLEASE_INIT(portlease_log_record);
  portlease_error error;
  portlease_kind kind = portlease_log_next(log, 0.1, &record, &error);
  printf("%s: %s\n", portlease_kind_name(kind), error.message);
  return kind;
}

int main(void) {
  portlease_log *log;
  if (portlease_log_new(PORTLEASE_LOG_LEVEL_ERROR, &log, NULL) != PORTLEASE_OK) return 2;
  for (int times = 0; times < 3; times++) {
    broken = 1;
    portlease_kind kind = next(log);
    broken = 0;
    if (kind != PORTLEASE_INTERNAL) return 1;
  }
  portlease_kind kind = next(log);
  portlease_log_free(log);
  return kind != PORTLEASE_TIMEOUT;
}
