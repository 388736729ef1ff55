// What is asked beside one lease: reasons of failures, leases that exist, the router's table and address, logs.
//   asks GATEWAY_PROGRAM
#include <stddef.h>

#include "check.h"

const char *check_gateway_program;

static gateway router;
static portlease_mapper *mapper;
static portlease_error error;

static void end(void) {
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_mapper_free(mapper);
  CHECK(check_mappings(&router) == 0);
}

TEST(a_failure_is_told_with_its_reasons_until_the_next_one) {
  gateway deaf;
  check_gateway(&deaf);
  check_switches(&deaf, json_pack("{s:{s:i}, s:s, s:s}", "pcp", "refuse", 2, "nat_pmp", "off", "upnp", "off"));
  mapper = check_mapper(&deaf);
  portlease_lease *lease = check_lease(mapper, 4000);
  portlease_error refused;
  portlease_kind kind;
  do { // an attempt on a busy machine may run past its deadlines
    kind = portlease_lease_ready(lease, INFINITY, NULL, &refused);
  } while (kind == PORTLEASE_TIMEOUT || kind == PORTLEASE_UNAVAILABLE);
  CHECK(kind == PORTLEASE_REFUSED);
  portlease_error_report report = PORTLEASE_INIT(portlease_error_report);
  portlease_error_detail details[PORTLEASE_MAX_PROTOCOLS] = {PORTLEASE_INIT(portlease_error_detail)};
  CHECK_KIND(PORTLEASE_OK, portlease_error_get_report(&report, details, PORTLEASE_MAX_PROTOCOLS, &error));
  CHECK(report.kind == refused.kind && strcmp(report.message, refused.message) == 0 && report.advice[0] != '\0');
  CHECK_KIND(PORTLEASE_OK, portlease_error_get_report(NULL, NULL, 0, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_lease_get_error(lease, &report, details, PORTLEASE_MAX_PROTOCOLS, &error));
  CHECK(report.kind == PORTLEASE_REFUSED);
  CHECK_KIND(PORTLEASE_INVALID, portlease_lease_get_error(NULL, &report, NULL, 0, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_error_get_report(&report, NULL, 0, &error));
  CHECK(report.kind == PORTLEASE_INVALID && report.detail_count == 0 && report.advice[0] == '\0');
  CHECK(report.retry_after < 0);
  portlease_event event = PORTLEASE_INIT(portlease_event);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_next_event(mapper, INFINITY, &event, &error));
  CHECK(event.kind == PORTLEASE_EVENT_FAILED);
  CHECK_KIND(PORTLEASE_OK, portlease_error_get_report(&report, NULL, 0, &error));
  CHECK(report.kind == event.error.kind);
  portlease_mapper_stop(mapper, INFINITY, NULL, NULL);
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
  gateway_end(&deaf);
}

TEST(a_request_that_is_made_again_brings_the_lease_that_it_has) {
  mapper = check_mapper(&router);
  portlease_request request = check_request(4000);
  request.ttl = 600;
  request.description = "camera";
  portlease_lease *first, *again, *udp, *tcp, *all[3];
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_ensure(mapper, &request, &first, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_ensure(mapper, &request, &again, &error));
  CHECK(again != first && portlease_lease_id(again) == portlease_lease_id(first));
  request.exact = true;
  CHECK_KIND(PORTLEASE_INVALID, portlease_mapper_ensure(mapper, &request, &udp, &error));
  CHECK(udp == NULL);
  request = check_request(4001);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_map_both(mapper, &request, &udp, &tcp, &error));
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  check_ready(tcp, &snapshot);
  CHECK(snapshot.transport == PORTLEASE_TRANSPORT_TCP && portlease_lease_id(udp) == 2);
  size_t count = 0;
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_leases(mapper, NULL, 0, &count, &error));
  CHECK(count == 3);
  CHECK_KIND(PORTLEASE_INVALID, portlease_mapper_leases(mapper, NULL, 1, &count, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_leases(mapper, all, 2, NULL, &error));
  CHECK(portlease_lease_id(all[0]) == 1 && portlease_lease_id(all[1]) == 2);
  portlease_lease_free(all[0]);
  portlease_lease_free(all[1]);
  check_ready(first, &snapshot);
  CHECK(snapshot.lifetime == 600);
  portlease_lease_free(first); // the other handle keeps it
  check_ready(again, NULL);
  CHECK_KIND(PORTLEASE_OK, portlease_lease_stop(again, INFINITY, NULL, &error));
  all[2] = again;
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_leases(mapper, all, 3, &count, &error));
  CHECK(count == 2 && all[2] == NULL);
  portlease_lease_free(all[0]);
  portlease_lease_free(all[1]);
  portlease_lease_free(again);
  portlease_lease_free(udp);
  portlease_lease_free(tcp);
  end();
}

TEST(a_lease_says_where_it_is_without_a_snapshot) {
  mapper = check_mapper(&router);
  portlease_lease *lease = check_lease(mapper, 4000);
  check_ready(lease, NULL);
  char address[PORTLEASE_ADDRESS_SIZE];
  uint16_t port;
  CHECK_KIND(PORTLEASE_OK, portlease_lease_external(lease, address, &port, &error));
  CHECK(strcmp(address, "192.0.1.1") == 0 && port == 4000 && portlease_lease_external_port(lease) == 4000);
  CHECK(portlease_lease_active(lease) && portlease_lease_state(lease) == PORTLEASE_STATE_INSTALLED);
  CHECK(portlease_lease_protocol(lease) == PORTLEASE_PROTOCOL_PCP);
  CHECK(portlease_lease_address_class(lease) == PORTLEASE_ADDRESS_PUBLIC);
  CHECK_KIND(PORTLEASE_INVALID, portlease_lease_external(lease, NULL, NULL, &error));
  CHECK(!portlease_lease_active(NULL) && portlease_lease_state(NULL) == PORTLEASE_STATE_EXITED);
  CHECK(portlease_lease_external_port(NULL) == 0 && portlease_lease_protocol(NULL) == PORTLEASE_PROTOCOL_ABSENT);
  portlease_lease_free(lease);
  end();
}

static portlease_waits *waits;
static portlease_table_entry entries[4];
static char address[PORTLEASE_ADDRESS_SIZE];

// The next wait that is over, which has not failed.
static portlease_completion next(void) {
  portlease_completion over = PORTLEASE_INIT(portlease_completion);
  entries[0].struct_size = sizeof entries[0];
  over.entries = entries;
  over.entries_capacity = 4;
  over.address = address;
  CHECK_KIND(PORTLEASE_OK, portlease_waits_next(waits, INFINITY, &over, &error));
  CHECK(over.error.kind == PORTLEASE_OK);
  return over;
}

TEST(the_router_is_asked_for_its_table_and_its_address_by_calls_and_by_waits) {
  portlease_config config = check_config(&router);
  config.protocols[0] = PORTLEASE_PROTOCOL_UPNP;
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_start(&config, &mapper, &error));
  portlease_lease *lease = check_lease(mapper, 4000);
  check_ready(lease, NULL);
  size_t count;
  entries[0].struct_size = sizeof entries[0];
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_table(mapper, entries, 4, &count, &error));
  CHECK(count == 1 && entries[0].external_port == 4000 && entries[0].this_machine && entries[0].enabled);
  CHECK(entries[0].transport == PORTLEASE_TRANSPORT_UDP && strcmp(entries[0].description, "portlease") == 0);
  CHECK_KIND(PORTLEASE_INVALID, portlease_mapper_delete(mapper, PORTLEASE_TRANSPORT_UDP, 4000, false, NULL, NULL, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_lease_detach(lease, NULL, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_external_address(mapper, INFINITY, address, &error));
  CHECK(strcmp(address, "192.0.1.1") == 0);
  CHECK_KIND(PORTLEASE_INVALID, portlease_mapper_external_address(mapper, INFINITY, NULL, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_new(&waits, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_table(waits, mapper, 1, &error));
  CHECK(next().entry_count == 1 && entries[0].internal_port == 4000);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_external_address(waits, mapper, INFINITY, 2, &error));
  CHECK(next().token == 2 && strcmp(address, "192.0.1.1") == 0);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_delete(waits, mapper, PORTLEASE_TRANSPORT_UDP, 4000, false, 3, &error));
  CHECK(next().entry_count == 1 && entries[0].external_port == 4000 && check_mappings(&router) == 0);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_delete(mapper, PORTLEASE_TRANSPORT_UDP, 4000, false, entries, &count, &error));
  CHECK(count == 0);
  portlease_lease_free(lease);
  end();
}

TEST(a_program_that_was_built_before_the_results_grew_is_handed_its_own) {
  mapper = check_mapper(&router);
  portlease_completion over = PORTLEASE_INIT(portlease_completion);
  over.struct_size = offsetof(portlease_completion, entries);
  memset(&over.entries, 0xff, sizeof over - over.struct_size); // somebody else's memory
  CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_external_address(waits, mapper, INFINITY, 4, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_next(waits, INFINITY, &over, &error));
  CHECK(over.token == 4 && over.error.kind == PORTLEASE_OK && over.entry_count == SIZE_MAX);
  end();
}

TEST(one_line_asks_the_router_and_leaves_nothing) {
  portlease_config config = check_config(&router);
  portlease_gateway_report report = PORTLEASE_INIT(portlease_gateway_report);
  CHECK_KIND(PORTLEASE_OK, portlease_probe(&config, &report, NULL, 0, &error));
  CHECK(report.protocol_count == 3);
  CHECK_KIND(PORTLEASE_OK, portlease_external_address(&config, INFINITY, address, &error));
  CHECK(strcmp(address, "192.0.1.1") == 0);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_probe(waits, &config, 5, &error));
  CHECK(next().token == 5);
  address[0] = '\0';
  CHECK_KIND(PORTLEASE_OK, portlease_waits_external_address(waits, &config, INFINITY, 6, &error));
  CHECK(next().token == 6 && strcmp(address, "192.0.1.1") == 0);
  config.ttl = -1;
  CHECK_KIND(PORTLEASE_INVALID, portlease_probe(&config, NULL, NULL, 0, &error));
  portlease_waits_free(waits);
}

static void *stop_the_log(void *log) {
  CHECK(portlease_log_stop(log, NULL) == PORTLEASE_OK);
  return NULL;
}

TEST(a_log_tells_what_happens_and_ends_when_it_is_stopped) {
  portlease_log *log, *none;
  CHECK_KIND(PORTLEASE_INVALID, portlease_log_new((portlease_log_level)0, &none, &error));
  CHECK(none == NULL);
  CHECK_KIND(PORTLEASE_OK, portlease_log_new(PORTLEASE_LOG_LEVEL_WARN, &log, &error));
  portlease_log_record record = PORTLEASE_INIT(portlease_log_record);
  CHECK_KIND(PORTLEASE_TIMEOUT, portlease_log_next(log, 0, &record, &error));
  portlease_config config = check_config(&router);
  config.state_dir = "/dev/null/nowhere"; // a warning
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_start(&config, &mapper, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_log_next(log, INFINITY, &record, &error));
  CHECK(record.level == PORTLEASE_LOG_LEVEL_WARN && strstr(record.message, "nowhere") != NULL && record.time > 1e9);
  CHECK(strncmp(record.target, "portlease", 9) == 0 && record.dropped == 0);
  end();
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, stop_the_log, log) == 0);
  portlease_kind kind;
  do {
    kind = portlease_log_next(log, INFINITY, &record, &error);
  } while (kind == PORTLEASE_OK);
  CHECK_KIND(PORTLEASE_STOPPED, kind);
  pthread_join(thread, NULL);
  portlease_log_free(log);
  portlease_log_free(NULL);
}

TEST(what_a_caller_may_get_wrong_in_these_calls_is_said) {
  mapper = check_mapper(&router);
  portlease_lease *lease = check_lease(mapper, 4000), *none = lease;
  portlease_request request = check_request(4001);
  portlease_error_detail detail = PORTLEASE_INIT(portlease_error_detail);
  portlease_error_report small = {.struct_size = 8};
  portlease_table_entry entry = {.struct_size = sizeof entry - 1};
  portlease_log_record record = PORTLEASE_INIT(portlease_log_record);
  size_t count;
  const portlease_kind invalid = PORTLEASE_INVALID;
  const portlease_transport udp = PORTLEASE_TRANSPORT_UDP;

  CHECK_SAYS(invalid, "details", portlease_error_get_report(NULL, NULL, 1, &error));
  CHECK_SAYS(invalid, "portlease_error_report", portlease_error_get_report(&small, &detail, 1, &error));
  CHECK_SAYS(invalid, "details", portlease_lease_get_error(lease, NULL, NULL, SIZE_MAX, &error));
  CHECK_SAYS(invalid, "lease", portlease_lease_external(NULL, address, NULL, &error));
  CHECK_SAYS(invalid, "mapper", portlease_mapper_ensure(NULL, &request, &none, &error));
  CHECK(none == NULL);
  CHECK_SAYS(invalid, "request", portlease_mapper_ensure(mapper, NULL, &none, &error));
  CHECK_SAYS(invalid, "lease", portlease_mapper_ensure(mapper, &request, NULL, &error));
  none = lease;
  CHECK_SAYS(invalid, "tcp", portlease_mapper_map_both(mapper, &request, &none, NULL, &error));
  CHECK(none == NULL);
  CHECK_SAYS(invalid, "udp", portlease_mapper_map_both(mapper, &request, NULL, &none, &error));
  CHECK_SAYS(invalid, "mapper", portlease_mapper_leases(NULL, NULL, 0, &count, &error));

  CHECK_SAYS(invalid, "mapper", portlease_mapper_external_address(NULL, INFINITY, address, &error));
  CHECK_SAYS(invalid, "timeout", portlease_mapper_external_address(mapper, NAN, address, &error));
  CHECK_SAYS(invalid, "mapper", portlease_mapper_table(NULL, NULL, 0, &count, &error));
  CHECK_SAYS(invalid, "entries", portlease_mapper_table(mapper, NULL, 1, &count, &error));
  CHECK_SAYS(invalid, "portlease_table_entry", portlease_mapper_table(mapper, &entry, 1, &count, &error));
  CHECK_SAYS(invalid, "mapper", portlease_mapper_delete(NULL, udp, 4000, false, NULL, NULL, &error));
  CHECK_SAYS(invalid, "transport", portlease_mapper_delete(mapper, (portlease_transport)7, 4000, false, NULL, NULL, &error));
  CHECK_SAYS(invalid, "port", portlease_mapper_delete(mapper, udp, 0, false, NULL, NULL, &error));
  CHECK_SAYS(invalid, "struct_size", portlease_mapper_delete(mapper, udp, 4000, false, &entry, NULL, &error));
  CHECK_SAYS(invalid, "protocols", portlease_probe(NULL, NULL, NULL, 1, &error));
  CHECK_SAYS(invalid, "address", portlease_external_address(NULL, 0, NULL, &error));
  CHECK_SAYS(invalid, "timeout", portlease_external_address(NULL, NAN, address, &error));

  CHECK_KIND(PORTLEASE_OK, portlease_waits_new(&waits, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_mapper_external_address(NULL, mapper, 0, 1, &error));
  CHECK_SAYS(invalid, "mapper", portlease_waits_mapper_external_address(waits, NULL, 0, 1, &error));
  CHECK_SAYS(invalid, "timeout", portlease_waits_mapper_external_address(waits, mapper, NAN, 1, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_mapper_table(NULL, mapper, 1, &error));
  CHECK_SAYS(invalid, "mapper", portlease_waits_mapper_table(waits, NULL, 1, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_mapper_delete(NULL, mapper, udp, 4000, false, 1, &error));
  CHECK_SAYS(invalid, "mapper", portlease_waits_mapper_delete(waits, NULL, udp, 4000, false, 1, &error));
  CHECK_SAYS(invalid, "transport", portlease_waits_mapper_delete(waits, mapper, (portlease_transport)0, 1, false, 1, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_probe(NULL, NULL, 1, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_external_address(NULL, NULL, 0, 1, &error));
  CHECK_SAYS(invalid, "timeout", portlease_waits_external_address(waits, NULL, NAN, 1, &error));
  // A wait that is over is handed out only to a completion that can take all of it.
  CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_external_address(waits, mapper, INFINITY, 9, &error));
  portlease_completion over = PORTLEASE_INIT(portlease_completion);
  over.entries_capacity = 1;
  CHECK_SAYS(invalid, "entries", portlease_waits_next(waits, INFINITY, &over, &error));
  over.entries = &entry;
  CHECK_SAYS(invalid, "portlease_table_entry", portlease_waits_next(waits, INFINITY, &over, &error));
  CHECK(next().token == 9);
  portlease_waits_free(waits);

  portlease_log *log;
  CHECK_SAYS(invalid, "log", portlease_log_new(PORTLEASE_LOG_LEVEL_INFO, NULL, &error));
  CHECK_SAYS(invalid, "level", portlease_log_new((portlease_log_level)6, &log, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_log_new(PORTLEASE_LOG_LEVEL_ERROR, &log, &error));
  CHECK_SAYS(invalid, "log", portlease_log_next(NULL, 0, &record, &error));
  CHECK_SAYS(invalid, "record", portlease_log_next(log, 0, NULL, &error));
  CHECK_SAYS(invalid, "timeout", portlease_log_next(log, NAN, &record, &error));
  record.struct_size--;
  CHECK_SAYS(invalid, "portlease_log_record", portlease_log_next(log, 0, &record, &error));
  CHECK_SAYS(invalid, "log", portlease_log_stop(NULL, &error));
  portlease_log_free(log);
  portlease_lease_free(lease);
  end();
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  check_gateway_program = argv[1];
  check_gateway(&router);
  RUN(a_failure_is_told_with_its_reasons_until_the_next_one);
  RUN(a_request_that_is_made_again_brings_the_lease_that_it_has);
  RUN(a_lease_says_where_it_is_without_a_snapshot);
  RUN(the_router_is_asked_for_its_table_and_its_address_by_calls_and_by_waits);
  RUN(a_program_that_was_built_before_the_results_grew_is_handed_its_own);
  RUN(one_line_asks_the_router_and_leaves_nothing);
  RUN(what_a_caller_may_get_wrong_in_these_calls_is_said);
  RUN(a_log_tells_what_happens_and_ends_when_it_is_stopped);
  gateway_end(&router);
  return 0;
}
