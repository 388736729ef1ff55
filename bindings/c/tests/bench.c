// What the crossing costs: prints one JSON object. The figures are medians, times in nanoseconds.
//   bench GATEWAY_PROGRAM
#include <math.h>
#include <time.h>

#include "check.h"

enum { BATCHES = 20, READS = 200000, MAPPINGS = 200 };

const char *check_gateway_program;

static double now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int by_size(const void *one, const void *other) {
  double difference = *(const double *)one - *(const double *)other;
  return (difference > 0) - (difference < 0);
}

static double median(double *values, size_t count) {
  qsort(values, count, sizeof *values, by_size);
  return values[count / 2];
}

// In time of the processor: what else the machine does is not the library's cost.
static double snapshots(portlease_lease *lease) {
  double batches[BATCHES];
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  for (size_t batch = 0; batch < BATCHES; batch++) {
    double start = now(CLOCK_THREAD_CPUTIME_ID);
    for (size_t i = 0; i < READS; i++) {
      portlease_lease_get_snapshot(lease, &snapshot, NULL);
    }
    batches[batch] = (now(CLOCK_THREAD_CPUTIME_ID) - start) / READS;
    CHECK(snapshot.active && snapshot.external_address[0] != '\0');
  }
  return median(batches, BATCHES);
}

// One after the other with a mapper that knows its gateway.
static double map_and_stop(portlease_mapper *mapper) {
  double times[MAPPINGS];
  portlease_error error;
  for (size_t i = 0; i < MAPPINGS; i++) {
    double start = now(CLOCK_MONOTONIC);
    portlease_lease *lease = check_lease(mapper, 5000);
    CHECK_KIND(PORTLEASE_OK, portlease_lease_ready(lease, 10, NULL, &error));
    CHECK_KIND(PORTLEASE_OK, portlease_lease_stop(lease, 10, NULL, &error));
    times[i] = now(CLOCK_MONOTONIC) - start;
    portlease_lease_free(lease);
  }
  return median(times, MAPPINGS);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  check_gateway_program = argv[1];
  gateway router;
  check_gateway(&router);
  portlease_mapper *mapper = check_mapper(&router);
  portlease_lease *lease = check_lease(mapper, 4000);
  portlease_error error;
  CHECK_KIND(PORTLEASE_OK, portlease_lease_ready(lease, 10, NULL, &error));
  double read = snapshots(lease), mapped = map_and_stop(mapper);
  printf("{\"snapshot_ns\": %.1f, \"map_and_stop_ns\": %.0f}\n", read, mapped);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, 10, NULL, &error));
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
  gateway_end(&router);
  return 0;
}
