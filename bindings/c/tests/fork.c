// The child of a fork has the parent's memory but not its threads: it must neither hang nor touch the parent's mappings.
//   fork GATEWAY_PROGRAM
#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

const char *check_gateway_program;

static gateway router;
static portlease_mapper *mapper;
static portlease_lease *lease;
static portlease_waits *waits;
static portlease_events *events;
static portlease_error error;

static void begin(void) {
  mapper = check_mapper(&router);
  lease = check_lease(mapper, 4000);
  check_ready(lease, NULL);
  CHECK_KIND(PORTLEASE_OK, portlease_events_new(mapper, &events, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_new(&waits, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_next_event(waits, mapper, INFINITY, 1, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_lease_ready(waits, lease, INFINITY, 2, &error));
}

static void end(void) {
  portlease_waits_free(waits);
  portlease_events_free(events);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
  CHECK(check_mappings(&router) == 0);
}

// Runs it in a child and waits for that; the child's status is 0 where all its checks held.
static void in_a_child(void (*work)(void)) {
  fflush(stdout);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(20); // a child that hangs is a failure, not a wait
    work();
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void look_at_everything(void) {
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  CHECK_KIND(PORTLEASE_OK, portlease_lease_get_snapshot(lease, &snapshot, &error)); // at once
  CHECK(snapshot.state == PORTLEASE_STATE_EXITED && !snapshot.active && snapshot.external_address[0] == '\0');
  CHECK(snapshot.last_error.kind == PORTLEASE_STOPPED);
  portlease_mapper_snapshot whole = PORTLEASE_INIT(portlease_mapper_snapshot);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_get_snapshot(mapper, &whole, NULL, 0, &error));
  CHECK(whole.stopped && whole.lease_count == 0);
  portlease_request request = check_request(4001);
  portlease_lease *other;
  portlease_event event = PORTLEASE_INIT(portlease_event);
  CHECK_KIND(PORTLEASE_STOPPED, portlease_mapper_map(mapper, &request, &other, &error));
  CHECK_KIND(PORTLEASE_STOPPED, portlease_lease_ready(lease, INFINITY, NULL, &error));
  CHECK_KIND(PORTLEASE_STOPPED, portlease_lease_changed(lease, snapshot.revision, INFINITY, NULL, &error));
  CHECK_KIND(PORTLEASE_STOPPED, portlease_lease_repair(lease, INFINITY, NULL, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_network_changed(mapper, &error));
  CHECK_KIND(PORTLEASE_STOPPED, portlease_mapper_next_event(mapper, INFINITY, &event, &error));
  CHECK_KIND(PORTLEASE_STOPPED, portlease_events_next(events, INFINITY, &event, &error));
  portlease_events *late;
  CHECK_KIND(PORTLEASE_OK, portlease_events_new(mapper, &late, &error));
  CHECK_KIND(PORTLEASE_STOPPED, portlease_events_next(late, INFINITY, &event, &error));
  portlease_events_free(late);
  CHECK_KIND(PORTLEASE_STOPPED, portlease_mapper_probe(mapper, NULL, NULL, 0, &error));
  CHECK_KIND(PORTLEASE_STOPPED, portlease_mapper_ensure(mapper, &request, &other, &error));
  CHECK_KIND(PORTLEASE_STOPPED, portlease_mapper_table(mapper, NULL, 0, NULL, &error));
  CHECK_KIND(PORTLEASE_STOPPED, portlease_mapper_delete(mapper, PORTLEASE_TRANSPORT_UDP, 4000, false, NULL, NULL, &error));
  char address[PORTLEASE_ADDRESS_SIZE];
  CHECK_KIND(PORTLEASE_STOPPED, portlease_mapper_external_address(mapper, INFINITY, address, &error));
  portlease_error_report report = PORTLEASE_INIT(portlease_error_report);
  CHECK_KIND(PORTLEASE_OK, portlease_error_get_report(&report, NULL, 0, &error));
  CHECK(report.kind == PORTLEASE_STOPPED);
  size_t count;
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_leases(mapper, NULL, 0, &count, &error));
  CHECK(count == 0 && !portlease_lease_active(lease));
  portlease_completion completion = PORTLEASE_INIT(portlease_completion);
  int32_t descriptor;
  CHECK_KIND(PORTLEASE_STOPPED, portlease_waits_next(waits, INFINITY, &completion, &error));
  CHECK_KIND(PORTLEASE_STOPPED, portlease_waits_lease_stop(waits, lease, INFINITY, 3, &error));
  CHECK_KIND(PORTLEASE_STOPPED, portlease_waits_lease_repair(waits, lease, INFINITY, 3, &error));
  CHECK_KIND(PORTLEASE_STOPPED, portlease_waits_cancel(waits, 1, &error));
  CHECK_KIND(PORTLEASE_STOPPED, portlease_waits_stop(waits, &error));
  CHECK_KIND(PORTLEASE_STOPPED, portlease_waits_descriptor(waits, &descriptor, &error));
}

TEST(in_the_child_what_waits_is_stopped_the_snapshots_show_it_and_the_parents_mapping_lives_on) {
  begin();
  in_a_child(look_at_everything);
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  CHECK_KIND(PORTLEASE_OK, portlease_lease_get_snapshot(lease, &snapshot, &error));
  CHECK(snapshot.active && check_mappings(&router) == 1);
  end();
}

static void stop_and_free_everything(void) {
  portlease_release release[3];
  CHECK_KIND(PORTLEASE_OK, portlease_lease_stop(lease, INFINITY, &release[0], &error));
  CHECK_KIND(PORTLEASE_OK, portlease_lease_detach(lease, &release[1], &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, &release[2], &error));
  for (size_t i = 0; i < 3; i++) {
    CHECK(release[i] == PORTLEASE_RELEASED);
  }
  portlease_waits_free(waits);
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
  portlease_event event = PORTLEASE_INIT(portlease_event);
  CHECK_KIND(PORTLEASE_STOPPED, portlease_events_next(events, INFINITY, &event, &error));
  portlease_events_free(events);
}

TEST(stopping_and_freeing_in_the_child_returns_at_once_and_releases_nothing) {
  begin();
  in_a_child(stop_and_free_everything);
  CHECK(check_mappings(&router) == 1);
  end();
}

static void map_another(void) {
  portlease_mapper *own = check_mapper(&router);
  portlease_lease *another = check_lease(own, 4005);
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  check_ready(another, &snapshot);
  CHECK(snapshot.external_port == 4005);
  CHECK_KIND(PORTLEASE_OK, portlease_lease_get_snapshot(another, &snapshot, &error));
  CHECK(snapshot.active);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(own, INFINITY, NULL, &error));
  portlease_lease_free(another);
  portlease_mapper_free(own);
}

TEST(the_child_may_start_a_mapper_of_its_own) {
  begin();
  in_a_child(map_another);
  CHECK(check_mappings(&router) == 1);
  end();
}

static void in_a_grandchild(void) { in_a_child(look_at_everything); }

TEST(a_child_of_the_child_is_another_process_too) {
  begin();
  in_a_child(in_a_grandchild);
  end();
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  check_gateway_program = argv[1];
  check_gateway(&router);
  RUN(in_the_child_what_waits_is_stopped_the_snapshots_show_it_and_the_parents_mapping_lives_on);
  RUN(stopping_and_freeing_in_the_child_returns_at_once_and_releases_nothing);
  RUN(the_child_may_start_a_mapper_of_its_own);
  RUN(a_child_of_the_child_is_another_process_too);
  gateway_end(&router);
  return 0;
}
