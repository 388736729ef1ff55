// What a caller may get wrong: it is said, nothing is touched, nothing ends the program.
//   misuse GATEWAY_PROGRAM
#include <math.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

const char *check_gateway_program;

static gateway router;
static size_t threads_before; // any mapper
static portlease_error error;

TEST(null_is_invalid_and_the_argument_is_named) {
  portlease_mapper *mapper = check_mapper(&router), *other = NULL;
  portlease_lease *lease = check_lease(mapper, 4000), *unmade = NULL;
  portlease_request request = PORTLEASE_INIT(portlease_request);
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  portlease_mapper_snapshot whole = PORTLEASE_INIT(portlease_mapper_snapshot);
  portlease_event event = PORTLEASE_INIT(portlease_event);
  const portlease_kind invalid = PORTLEASE_INVALID;

  CHECK_SAYS(invalid, "mapper", portlease_open(&request, NULL, 0, NULL, &unmade, NULL, &error));
  CHECK_SAYS(invalid, "lease", portlease_open(&request, NULL, 0, &other, NULL, NULL, &error));
  CHECK_SAYS(invalid, "request", portlease_open(NULL, NULL, 0, &other, &unmade, NULL, &error));
  CHECK_SAYS(invalid, "mapper", portlease_mapper_start(NULL, NULL, &error));
  CHECK_SAYS(invalid, "mapper", portlease_mapper_map(NULL, &request, &unmade, &error));
  CHECK_SAYS(invalid, "request", portlease_mapper_map(mapper, NULL, &unmade, &error));
  CHECK_SAYS(invalid, "lease", portlease_mapper_map(mapper, &request, NULL, &error));
  CHECK_SAYS(invalid, "mapper", portlease_mapper_get_snapshot(NULL, &whole, NULL, 0, &error));
  CHECK_SAYS(invalid, "snapshot", portlease_mapper_get_snapshot(mapper, NULL, NULL, 0, &error));
  CHECK_SAYS(invalid, "leases", portlease_mapper_get_snapshot(mapper, &whole, NULL, 1, &error));
  CHECK_SAYS(invalid, "mapper", portlease_mapper_next_event(NULL, 0, &event, &error));
  CHECK_SAYS(invalid, "event", portlease_mapper_next_event(mapper, 0, NULL, &error));
  CHECK_SAYS(invalid, "mapper", portlease_mapper_probe(NULL, NULL, NULL, 0, &error));
  CHECK_SAYS(invalid, "protocols", portlease_mapper_probe(mapper, NULL, NULL, 3, &error));
  CHECK_SAYS(invalid, "mapper", portlease_mapper_network_changed(NULL, &error));
  CHECK_SAYS(invalid, "mapper", portlease_mapper_stop(NULL, 0, NULL, &error));
  CHECK_SAYS(invalid, "lease", portlease_lease_ready(NULL, 0, NULL, &error));
  CHECK_SAYS(invalid, "lease", portlease_lease_changed(NULL, 0, 0, NULL, &error));
  CHECK_SAYS(invalid, "lease", portlease_lease_repair(NULL, 0, NULL, &error));
  CHECK_SAYS(invalid, "lease", portlease_lease_get_snapshot(NULL, &snapshot, &error));
  CHECK_SAYS(invalid, "snapshot", portlease_lease_get_snapshot(lease, NULL, &error));
  CHECK_SAYS(invalid, "lease", portlease_lease_stop(NULL, 0, NULL, &error));
  CHECK_SAYS(invalid, "lease", portlease_lease_detach(NULL, NULL, &error));
  CHECK(portlease_lease_id(NULL) == 0);

  portlease_events *events;
  CHECK_KIND(PORTLEASE_OK, portlease_events_new(mapper, &events, &error));
  CHECK_SAYS(invalid, "events", portlease_events_new(mapper, NULL, &error));
  CHECK_SAYS(invalid, "events", portlease_events_next(NULL, 0, &event, &error));
  CHECK_SAYS(invalid, "event", portlease_events_next(events, 0, NULL, &error));

  portlease_waits *waits;
  portlease_completion completion = PORTLEASE_INIT(portlease_completion);
  CHECK_KIND(PORTLEASE_OK, portlease_waits_new(&waits, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_new(NULL, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_lease_ready(NULL, lease, 0, 1, &error));
  CHECK_SAYS(invalid, "lease", portlease_waits_lease_ready(waits, NULL, 0, 1, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_lease_changed(NULL, lease, 0, 0, 1, &error));
  CHECK_SAYS(invalid, "lease", portlease_waits_lease_changed(waits, NULL, 0, 0, 1, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_lease_repair(NULL, lease, 0, 1, &error));
  CHECK_SAYS(invalid, "lease", portlease_waits_lease_repair(waits, NULL, 0, 1, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_events_next(NULL, events, 0, 1, &error));
  CHECK_SAYS(invalid, "events", portlease_waits_events_next(waits, NULL, 0, 1, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_lease_stop(NULL, lease, 0, 1, &error));
  CHECK_SAYS(invalid, "lease", portlease_waits_lease_stop(waits, NULL, 0, 1, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_lease_detach(NULL, lease, 1, &error));
  CHECK_SAYS(invalid, "lease", portlease_waits_lease_detach(waits, NULL, 1, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_mapper_next_event(NULL, mapper, 0, 1, &error));
  CHECK_SAYS(invalid, "mapper", portlease_waits_mapper_next_event(waits, NULL, 0, 1, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_mapper_probe(NULL, mapper, 1, &error));
  CHECK_SAYS(invalid, "mapper", portlease_waits_mapper_probe(waits, NULL, 1, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_mapper_stop(NULL, mapper, 0, 1, &error));
  CHECK_SAYS(invalid, "mapper", portlease_waits_mapper_stop(waits, NULL, 0, 1, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_cancel(NULL, 1, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_next(NULL, 0, &completion, &error));
  CHECK_SAYS(invalid, "completion", portlease_waits_next(waits, 0, NULL, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_descriptor(NULL, NULL, &error));
  CHECK_SAYS(invalid, "descriptor", portlease_waits_descriptor(waits, NULL, &error));
  CHECK_SAYS(invalid, "waits", portlease_waits_stop(NULL, &error));
  portlease_events *none = (portlease_events *)&error;
  CHECK_SAYS(invalid, "mapper", portlease_events_new(NULL, &none, &error));
  CHECK(other == NULL && unmade == NULL && none == NULL);

  portlease_events_free(events);
  portlease_waits_free(waits);
  portlease_lease_free(lease);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_mapper_free(mapper);
}

TEST(nobody_needs_to_ask_for_the_error) {
  portlease_mapper *mapper;
  CHECK(portlease_mapper_start(NULL, NULL, NULL) == PORTLEASE_INVALID);
  CHECK(portlease_mapper_start(NULL, &mapper, NULL) == PORTLEASE_OK);
  CHECK(portlease_mapper_map(mapper, NULL, NULL, NULL) == PORTLEASE_INVALID);
  CHECK(portlease_mapper_stop(mapper, PORTLEASE_DEFAULT_TIMEOUT, NULL, NULL) == PORTLEASE_OK);
  portlease_mapper_free(mapper);
}

TEST(freeing_null_does_nothing) {
  portlease_mapper_free(NULL);
  portlease_lease_free(NULL);
  portlease_events_free(NULL);
  portlease_waits_free(NULL);
}

TEST(a_handle_that_could_not_be_made_is_null) {
  portlease_mapper *mapper = (portlease_mapper *)&error;
  portlease_lease *lease = (portlease_lease *)&error;
  portlease_config config = PORTLEASE_INIT(portlease_config);
  portlease_request request = check_request(4000);
  config.ttl = -1;
  CHECK_SAYS(PORTLEASE_INVALID, "ttl", portlease_mapper_start(&config, &mapper, &error));
  CHECK(mapper == NULL);
  mapper = (portlease_mapper *)&error;
  CHECK_SAYS(PORTLEASE_INVALID, "ttl",
             portlease_open(&request, &config, PORTLEASE_DEFAULT_TIMEOUT, &mapper, &lease, NULL, &error));
  CHECK(mapper == NULL && lease == NULL);
}

TEST(a_struct_size_that_nobody_set_is_invalid) {
  portlease_mapper *mapper = check_mapper(&router), *other;
  portlease_lease *lease;
  const size_t sizes[] = {0, sizeof(void *), sizeof(portlease_request) - 1, 4097, 1 << 20, SIZE_MAX, (size_t)0xa5a5a5a5};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    portlease_request request = PORTLEASE_INIT(portlease_request);
    request.internal_port = 4000;
    request.transport = PORTLEASE_TRANSPORT_UDP;
    request.struct_size = sizes[i];
    CHECK_SAYS(PORTLEASE_INVALID, "sizeof(portlease_request)", portlease_mapper_map(mapper, &request, &lease, &error));
    portlease_config config = PORTLEASE_INIT(portlease_config);
    config.struct_size = sizes[i];
    CHECK_SAYS(PORTLEASE_INVALID, "sizeof(portlease_config)", portlease_mapper_start(&config, &other, &error));
    portlease_mapper_snapshot snapshot = {0};
    snapshot.struct_size = sizes[i];
    CHECK_SAYS(PORTLEASE_INVALID, "sizeof(portlease_mapper_snapshot)",
               portlease_mapper_get_snapshot(mapper, &snapshot, NULL, 0, &error));
    // No event is lost to a place that it does not fit into.
    portlease_event event = {0};
    event.struct_size = sizes[i];
    CHECK_SAYS(PORTLEASE_INVALID, "sizeof(portlease_event)",
               portlease_mapper_next_event(mapper, INFINITY, &event, &error));
  }
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_mapper_free(mapper);
}

TEST(a_program_of_a_later_version_may_have_larger_structs) {
  struct {
    portlease_config known;
    uint64_t added;
  } config = {.known = check_config(&router)};
  struct {
    portlease_mapper_snapshot known;
    uint64_t added;
  } snapshot = {.known = {.struct_size = sizeof snapshot}, .added = 7};
  portlease_mapper *mapper;
  config.known.struct_size = sizeof config;
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_start(&config.known, &mapper, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_get_snapshot(mapper, &snapshot.known, NULL, 0, &error));
  CHECK(snapshot.added == 0 && !snapshot.known.stopped && snapshot.known.struct_size == sizeof snapshot);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_mapper_free(mapper);
  config.added = 1;
  CHECK_SAYS(PORTLEASE_INVALID, "does not know", portlease_mapper_start(&config.known, &mapper, &error));
}

// Text at the very end of what may be read, without an end of its own.
static char *endless(size_t length, char **map, size_t *size) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  *size = 2 * page;
  *map = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(*map != MAP_FAILED && mprotect(*map + page, page, PROT_NONE) == 0);
  memset(*map, 'x', page);
  return *map + page - length;
}

TEST(text_without_an_end_is_invalid_and_not_read_beyond_what_is_allowed) {
  static const struct {
    size_t offset, limit;
    const char *name;
  } texts[] = {
      {offsetof(portlease_config, gateway), 127, "gateway"},
      {offsetof(portlease_config, local_address), 127, "local_address"},
      {offsetof(portlease_config, interface_name), 259, "interface"},
      {offsetof(portlease_config, description), 259, "description"},
      {offsetof(portlease_config, ssdp_address), 127, "ssdp_address"},
      {offsetof(portlease_config, state_dir), 4095, "state_dir"},
  };
  portlease_mapper *mapper;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    char *map;
    size_t size;
    const char *text = endless(texts[i].limit + 1, &map, &size);
    portlease_config config = PORTLEASE_INIT(portlease_config);
    memcpy((char *)&config + texts[i].offset, &text, sizeof text);
    CHECK_SAYS(PORTLEASE_INVALID, "has no end", portlease_mapper_start(&config, &mapper, &error));
    CHECK(strncmp(error.message, texts[i].name, strlen(texts[i].name)) == 0);
    munmap(map, size);
  }
}

TEST(bad_text_is_invalid_and_shown) {
  portlease_mapper *mapper;
  portlease_config config = PORTLEASE_INIT(portlease_config);
  config.gateway = "router.local";
  CHECK_SAYS(PORTLEASE_INVALID, "gateway: `router.local`", portlease_mapper_start(&config, &mapper, &error));
  config = (portlease_config)PORTLEASE_INIT(portlease_config);
  config.ssdp_address = "192.168.1.1";
  CHECK_SAYS(PORTLEASE_INVALID, "ssdp_address: `192.168.1.1`", portlease_mapper_start(&config, &mapper, &error));
  config = (portlease_config)PORTLEASE_INIT(portlease_config);
  config.description = "\xff\xfe";
  CHECK_SAYS(PORTLEASE_INVALID, "description", portlease_mapper_start(&config, &mapper, &error));
  char text[66];
  memset(text, 'x', 65);
  text[65] = '\0';
  config.description = text;
  CHECK_SAYS(PORTLEASE_INVALID, "at most 64 characters, not 65", portlease_mapper_start(&config, &mapper, &error));
}

// Zero is the default, as in every field, so never has a number of its own.
TEST(a_negative_check_interval_is_never_and_one_below_a_second_is_invalid) {
  portlease_mapper *mapper;
  portlease_config config = PORTLEASE_INIT(portlease_config);
  const double good[] = {0, 1, -1, -INFINITY}, bad[] = {0.5, NAN, INFINITY};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    config.check_interval = good[i];
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_start(&config, &mapper, &error));
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
    portlease_mapper_free(mapper);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    config.check_interval = bad[i];
    CHECK_SAYS(PORTLEASE_INVALID, "check_interval", portlease_mapper_start(&config, &mapper, &error));
  }
}

// A program that was built before these fields were there: they must not be read, or written.
TEST(a_program_of_an_earlier_version_has_the_defaults_and_gets_no_more_than_it_has_room_for) {
  portlease_config config = check_config(&router);
  config.struct_size = offsetof(portlease_config, state_dir);
  config.state_dir = (const char *)1;
  config.check_interval = NAN;
  portlease_mapper *mapper;
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_start(&config, &mapper, &error));
  portlease_mapper_snapshot snapshot = {.struct_size = offsetof(portlease_mapper_snapshot, last_error)};
  snapshot.last_error.kind = PORTLEASE_INTERNAL;
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_get_snapshot(mapper, &snapshot, NULL, 0, &error));
  CHECK(snapshot.last_error.kind == PORTLEASE_INTERNAL);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_mapper_free(mapper);
}

TEST(numbers_that_are_no_enum_are_invalid) {
  portlease_mapper *mapper = check_mapper(&router), *other;
  portlease_lease *lease;
  portlease_request request = PORTLEASE_INIT(portlease_request);
  request.internal_port = 4000;
  const int numbers[] = {0, 3, -1, 1 << 30};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    memcpy(&request.transport, &numbers[i], sizeof numbers[i]);
    CHECK_SAYS(PORTLEASE_INVALID, "transport", portlease_mapper_map(mapper, &request, &lease, &error));
  }
  request.transport = PORTLEASE_TRANSPORT_TCP;
  memcpy(&request.family, &numbers[1], sizeof numbers[1]); // neither of the two
  CHECK_SAYS(PORTLEASE_INVALID, "family", portlease_mapper_map(mapper, &request, &lease, &error));
  portlease_config config = PORTLEASE_INIT(portlease_config);
  memcpy(&config.protocols[0], &numbers[3], sizeof numbers[3]);
  CHECK_SAYS(PORTLEASE_INVALID, "protocols", portlease_mapper_start(&config, &other, &error));
  config.protocols[0] = PORTLEASE_PROTOCOL_NONE;
  CHECK_SAYS(PORTLEASE_INVALID, "protocols", portlease_mapper_start(&config, &other, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_mapper_free(mapper);
}

TEST(numbers_without_a_name_have_an_empty_one) {
  CHECK(portlease_kind_name((portlease_kind)8)[0] == '\0' && portlease_kind_name((portlease_kind)-1)[0] == '\0');
  CHECK(portlease_state_name((portlease_state)6)[0] == '\0');
  CHECK(portlease_event_kind_name(PORTLEASE_EVENT_ABSENT)[0] == '\0');
  CHECK(portlease_protocol_name(PORTLEASE_PROTOCOL_ABSENT)[0] == '\0');
  CHECK(portlease_transport_name(PORTLEASE_TRANSPORT_ABSENT)[0] == '\0');
  CHECK(portlease_nat_class_name((portlease_nat_class)2)[0] == '\0');
  CHECK(portlease_address_class_name((portlease_address_class)5)[0] == '\0');
  CHECK(strcmp(portlease_kind_name(PORTLEASE_OK), "ok") == 0);
  CHECK(strcmp(portlease_kind_name(PORTLEASE_CANCELLED), "cancelled") == 0);
}

TEST(a_time_that_is_no_number_is_invalid) {
  portlease_mapper *mapper = check_mapper(&router), *other;
  portlease_lease *lease = check_lease(mapper, 4000);
  portlease_event event = PORTLEASE_INIT(portlease_event);
  CHECK_SAYS(PORTLEASE_INVALID, "timeout", portlease_lease_ready(lease, NAN, NULL, &error));
  CHECK_SAYS(PORTLEASE_INVALID, "timeout", portlease_mapper_next_event(mapper, NAN, &event, &error));
  CHECK_SAYS(PORTLEASE_INVALID, "timeout", portlease_lease_changed(lease, 0, NAN, NULL, &error));
  CHECK_SAYS(PORTLEASE_INVALID, "timeout", portlease_lease_stop(lease, NAN, NULL, &error));
  CHECK_SAYS(PORTLEASE_INVALID, "timeout", portlease_mapper_stop(mapper, NAN, NULL, &error));
  portlease_config config = PORTLEASE_INIT(portlease_config);
  const double numbers[] = {NAN, INFINITY, -1};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    config.ttl = numbers[i];
    CHECK_SAYS(PORTLEASE_INVALID, "ttl", portlease_mapper_start(&config, &other, &error));
  }
  config.ttl = 0;
  config.retry_never = true;
  config.retry_max = 1;
  CHECK_SAYS(PORTLEASE_INVALID, "retry", portlease_mapper_start(&config, &other, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
}

TEST(an_infinite_time_out_is_no_overflow_and_none_does_not_wait) {
  portlease_mapper *mapper = check_mapper(&router);
  portlease_lease *lease = check_lease(mapper, 4000);
  portlease_event event = PORTLEASE_INIT(portlease_event);
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  check_ready(lease, &snapshot);
  CHECK(snapshot.active && snapshot.external_port == 4000 && snapshot.lifetime == 3600);
  do {
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_next_event(mapper, 1e300, &event, &error));
  } while (event.kind == PORTLEASE_EVENT_FAILED); // an attempt before, see check_ready
  CHECK(event.kind == PORTLEASE_EVENT_INSTALLED && event.lease == portlease_lease_id(lease));
  CHECK_KIND(PORTLEASE_TIMEOUT, portlease_mapper_next_event(mapper, 0, &event, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_lease_stop(lease, INFINITY, NULL, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
}

TEST(a_pointer_between_two_fields_is_invalid) {
  portlease_mapper *mapper = check_mapper(&router);
  char bytes[sizeof(portlease_event) + 16] = {0};
  portlease_event *odd;
  uintptr_t address = (uintptr_t)bytes | 1;
  memcpy(&odd, &address, sizeof odd);
  CHECK_SAYS(PORTLEASE_INVALID, "aligned", portlease_mapper_next_event(mapper, 0, odd, &error));
  portlease_release *odd_release;
  memcpy(&odd_release, &address, sizeof odd_release);
  CHECK_SAYS(PORTLEASE_INVALID, "release: ", portlease_mapper_stop(mapper, INFINITY, odd_release, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_mapper_free(mapper);
}

TEST(after_the_stop_everything_answers_stopped_and_stopping_again_is_no_error) {
  portlease_mapper *mapper = check_mapper(&router);
  portlease_lease *lease = check_lease(mapper, 4000), *other;
  portlease_request request = PORTLEASE_INIT(portlease_request);
  request.internal_port = 4001;
  request.transport = PORTLEASE_TRANSPORT_TCP;
  portlease_event event = PORTLEASE_INIT(portlease_event);
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  portlease_mapper_snapshot whole = PORTLEASE_INIT(portlease_mapper_snapshot);
  check_ready(lease, NULL);
  for (int times = 0; times < 2; times++) {
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
    CHECK_KIND(PORTLEASE_OK, portlease_lease_stop(lease, INFINITY, NULL, &error));
  }
  CHECK_KIND(PORTLEASE_STOPPED, portlease_mapper_map(mapper, &request, &other, &error));
  CHECK(other == NULL);
  CHECK_KIND(PORTLEASE_STOPPED, portlease_lease_ready(lease, INFINITY, NULL, &error));
  CHECK_KIND(PORTLEASE_STOPPED, portlease_mapper_probe(mapper, NULL, NULL, 0, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_next_event(mapper, INFINITY, &event, &error));
  CHECK(event.kind == PORTLEASE_EVENT_INSTALLED);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_next_event(mapper, INFINITY, &event, &error));
  CHECK(event.kind == PORTLEASE_EVENT_EXITED);
  CHECK_KIND(PORTLEASE_STOPPED, portlease_mapper_next_event(mapper, INFINITY, &event, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_lease_get_snapshot(lease, &snapshot, &error));
  CHECK(snapshot.state == PORTLEASE_STATE_EXITED && !snapshot.active && snapshot.external_address[0] == '\0');
  CHECK(snapshot.lifetime < 0 && snapshot.expires_in < 0 && snapshot.renews_in < 0);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_get_snapshot(mapper, &whole, NULL, 0, &error));
  CHECK(whole.stopped && whole.lease_count == 0);
  CHECK(check_mappings(&router) == 0);
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
}

TEST(a_small_array_gets_as_many_leases_as_fit_and_the_count_says_how_many_there_are) {
  portlease_mapper *mapper = check_mapper(&router);
  portlease_lease *leases[3];
  for (uint16_t i = 0; i < 3; i++) {
    leases[i] = check_lease(mapper, (uint16_t)(4000 + i));
  }
  portlease_mapper_snapshot whole = PORTLEASE_INIT(portlease_mapper_snapshot);
  portlease_lease_snapshot some[3] = {PORTLEASE_INIT(portlease_lease_snapshot)};
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_get_snapshot(mapper, &whole, some, 2, &error));
  CHECK(whole.lease_count == 3 && some[0].id == 1 && some[1].id == 2 && some[2].id == 0);
  CHECK(some[1].struct_size == sizeof some[1] && some[1].internal_port == 4001);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  for (uint16_t i = 0; i < 3; i++) {
    portlease_lease_free(leases[i]);
  }
  portlease_mapper_free(mapper);
}

TEST(handles_may_be_freed_in_any_order_and_what_was_not_stopped_is_released_behind) {
  portlease_mapper *mapper = check_mapper(&router);
  portlease_lease *one = check_lease(mapper, 4000), *two = check_lease(mapper, 4001);
  portlease_mapper_free(mapper);
  check_ready(one, NULL);
  check_ready(two, NULL);
  CHECK(check_mappings(&router) == 2);
  portlease_lease_free(two);
  portlease_lease_free(one);
  // Else the test hangs, and its runner ends it. The engine ends, too.
  while (check_mappings(&router) != 0 || check_threads() > threads_before) {
    usleep(10000);
  }
}

TEST(the_library_is_of_the_headers_version) {
  char built[32];
  snprintf(built, sizeof built, "%d.%d.%d", PORTLEASE_VERSION_MAJOR, PORTLEASE_VERSION_MINOR, PORTLEASE_VERSION_PATCH);
  CHECK(strcmp(built, PORTLEASE_VERSION_STRING) == 0 && strcmp(built, portlease_version()) == 0);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  check_gateway_program = argv[1];
  check_gateway(&router);
  threads_before = check_threads();
  RUN(null_is_invalid_and_the_argument_is_named);
  RUN(nobody_needs_to_ask_for_the_error);
  RUN(freeing_null_does_nothing);
  RUN(a_handle_that_could_not_be_made_is_null);
  RUN(a_struct_size_that_nobody_set_is_invalid);
  RUN(a_program_of_a_later_version_may_have_larger_structs);
  RUN(text_without_an_end_is_invalid_and_not_read_beyond_what_is_allowed);
  RUN(bad_text_is_invalid_and_shown);
  RUN(a_negative_check_interval_is_never_and_one_below_a_second_is_invalid);
  RUN(a_program_of_an_earlier_version_has_the_defaults_and_gets_no_more_than_it_has_room_for);
  RUN(numbers_that_are_no_enum_are_invalid);
  RUN(numbers_without_a_name_have_an_empty_one);
  RUN(a_time_that_is_no_number_is_invalid);
  RUN(an_infinite_time_out_is_no_overflow_and_none_does_not_wait);
  RUN(a_pointer_between_two_fields_is_invalid);
  RUN(after_the_stop_everything_answers_stopped_and_stopping_again_is_no_error);
  RUN(a_small_array_gets_as_many_leases_as_fit_and_the_count_says_how_many_there_are);
  RUN(handles_may_be_freed_in_any_order_and_what_was_not_stopped_is_released_behind);
  RUN(the_library_is_of_the_headers_version);
  gateway_end(&router);
  return 0;
}
