// The testee: makes the calls that the scenarios' runner asks for and answers with what they gave. The lines are described
// in tests/scenarios/README.md.
//   testee          each call that waits blocks a thread of its own
//   testee --waits  one loop polls the input and the waits that are going on
#include <jansson.h>
#include <poll.h>
#include <portlease.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  LEASES = 64,  // in a mapper at once
  ENTRIES = 64, // in the router's table
  THREADS = 32, // that block at once
};

// What the calls fill in.
typedef struct results {
  portlease_lease_snapshot leases[LEASES];
  portlease_mapper_snapshot mapper;
  portlease_event event;
  portlease_gateway_report report;
  portlease_protocol_report protocols[PORTLEASE_MAX_PROTOCOLS];
  portlease_release release;
  portlease_table_entry entries[ENTRIES];
  size_t count; // of entries or of numbers
  uint64_t numbers[LEASES];
  char address[PORTLEASE_ADDRESS_SIZE];
  portlease_error error;
} results;

// The handles that have a name. The latest of a name counts; all are freed at the end.
typedef struct named {
  struct named *next;
  char *name;
  portlease_mapper *mapper;
  portlease_lease *lease;
} named;

static named *handles;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of the list
static portlease_waits *waits;                           // NULL: calls block

static const char *words(const json_t *of, const char *name) {
  const char *value = json_string_value(json_object_get(of, name));
  return value != NULL ? value : "";
}

static json_t *text(const char *value) { return value[0] != '\0' ? json_string(value) : json_null(); }

static json_t *seconds(double value) { return value >= 0 ? json_real(value) : json_null(); }

static json_t *endpoint(const char *address, uint16_t port) {
  const char *form = strchr(address, ':') != NULL ? "[%s]:%u" : "%s:%u";
  return address[0] != '\0' ? json_sprintf(form, address, (unsigned)port) : json_null();
}

static json_t *port(uint16_t number) { return number != 0 ? json_integer(number) : json_null(); }

// What an error is about, protocol by protocol.
typedef struct reasons {
  portlease_error_report report;
  portlease_error_detail details[PORTLEASE_MAX_PROTOCOLS];
} reasons;

static json_t *details_result(const reasons *of) {
  json_t *list = json_array();
  for (size_t i = 0; i < of->report.detail_count; i++) {
    const portlease_error_detail *detail = &of->details[i];
    json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o, s:o, s:s}",                         //
                                          "protocol", portlease_protocol_name(detail->protocol),   //
                                          "kind", portlease_kind_name(detail->kind),               //
                                          "code", detail->code ? json_integer(detail->code) : json_null(), //
                                          "name", text(detail->name),                              //
                                          "retry_after", seconds(detail->retry_after),             //
                                          "message", detail->message));
  }
  return list;
}

// An error, with the reasons of the lease's last one, or of what this thread was told at last; without, if they are not its.
static json_t *error_result(const portlease_error *error, const portlease_lease *lease) {
  if (error->kind == PORTLEASE_OK) {
    return json_null();
  }
  reasons why = {PORTLEASE_INIT(portlease_error_report), {PORTLEASE_INIT(portlease_error_detail)}};
  if (lease != NULL) {
    portlease_lease_get_error(lease, &why.report, why.details, PORTLEASE_MAX_PROTOCOLS, NULL);
  } else {
    portlease_error_get_report(&why.report, why.details, PORTLEASE_MAX_PROTOCOLS, NULL);
  }
  if (why.report.kind != error->kind || strcmp(why.report.message, error->message) != 0) {
    why.report = (portlease_error_report){.retry_after = -1};
  }
  return json_pack("{s:s, s:s, s:o, s:o, s:o}", "kind", portlease_kind_name(error->kind), "message", error->message,
                   "details", details_result(&why), "advice", text(why.report.advice), "retry_after",
                   seconds(why.report.retry_after));
}

static json_t *entry_result(const portlease_table_entry *entry) {
  return json_pack("{s:i, s:s, s:s, s:i, s:s, s:b, s:o, s:s, s:b}",                //
                   "external_port", (int)entry->external_port,                     //
                   "transport", portlease_transport_name(entry->transport),        //
                   "internal_client", entry->internal_client,                      //
                   "internal_port", (int)entry->internal_port,                     //
                   "description", entry->description,                              //
                   "enabled", (int)entry->enabled,                                 //
                   "lifetime", seconds(entry->lifetime),                           //
                   "remote_host", entry->remote_host,                              //
                   "this_machine", (int)entry->this_machine);
}

static json_t *lease_result(const portlease_lease_snapshot *lease, const portlease_lease *handle) {
  return json_pack("{s:I, s:I, s:s, s:b, s:o, s:o, s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:b, s:I, s:I, s:o, s:s, s:s}", //
                   "id", (json_int_t)lease->id,                                                             //
                   "revision", (json_int_t)lease->revision,                                                 //
                   "state", portlease_state_name(lease->state),                                             //
                   "active", (int)lease->active,                                                            //
                   "external", endpoint(lease->external_address, lease->external_port),                     //
                   "external_port", port(lease->external_port),                                             //
                   "internal_port", (int)lease->internal_port,                                              //
                   "transport", portlease_transport_name(lease->transport),                                 //
                   "family", portlease_family_name(lease->family),                                          //
                   "protocol", text(portlease_protocol_name(lease->protocol)),                              //
                   "lifetime", seconds(lease->lifetime),                                                    //
                   "expires_in", seconds(lease->expires_in),                                                //
                   "renews_in", seconds(lease->renews_in),                                                  //
                   "permanent", (int)lease->permanent,                                                      //
                   "renewals", (json_int_t)lease->renewals,                                                 //
                   "failures", (json_int_t)lease->failures,                                                 //
                   "last_error", error_result(&lease->last_error, handle),                                     //
                   "nat_class", portlease_nat_class_name(lease->nat_class),                                 //
                   "address_class", portlease_address_class_name(lease->address_class));
}

static json_t *mapper_result(const portlease_mapper_snapshot *mapper, const portlease_lease_snapshot *list) {
  json_t *protocols = json_array(), *results = json_array();
  for (size_t i = 0; i < PORTLEASE_MAX_PROTOCOLS && mapper->protocols[i] != PORTLEASE_PROTOCOL_ABSENT; i++) {
    json_array_append_new(protocols, json_string(portlease_protocol_name(mapper->protocols[i])));
  }
  for (size_t i = 0; i < mapper->lease_count; i++) {
    json_array_append_new(results, lease_result(&list[i], NULL));
  }
  return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:o, s:o, s:b}",      //
                   "gateway", text(mapper->gateway),                     //
                   "local_address", text(mapper->local_address),         //
                   "protocols", protocols,                               //
                   "active", (json_int_t)mapper->active,                 //
                   "renewals", (json_int_t)mapper->renewals,             //
                   "events_dropped", (json_int_t)mapper->events_dropped, //
                   "leases", results,                                    //
                   "last_error", error_result(&mapper->last_error, NULL),      //
                   "stopped", (int)mapper->stopped);
}

static json_t *event_result(const portlease_event *event) {
  bool of_lease = event->lease != 0;
  return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:f, s:I}",               //
                   "kind", portlease_event_kind_name(event->kind),                               //
                   "lease", of_lease ? json_integer((json_int_t)event->lease) : json_null(),     //
                   "transport", text(portlease_transport_name(event->transport)),                //
                   "family", of_lease ? json_string(portlease_family_name(event->family)) : json_null(), //
                   "internal_port", port(event->internal_port),                                  //
                   "external", endpoint(event->external_address, event->external_port),          //
                   "external_port", port(event->external_port),                                  //
                   "protocol", text(portlease_protocol_name(event->protocol)),                   //
                   "lifetime", seconds(event->lifetime),                                         //
                   "address_class", portlease_address_class_name(event->address_class),          //
                   "error", error_result(&event->error, NULL),                                         //
                   "elapsed", event->elapsed,                                                    //
                   "dropped", (json_int_t)event->dropped);
}

static json_t *report_result(const portlease_gateway_report *report, const portlease_protocol_report *protocols) {
  json_t *list = json_array();
  for (size_t i = 0; i < report->protocol_count; i++) {
    json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:o, s:o}",                                //
                                          "protocol", portlease_protocol_name(protocols[i].protocol), //
                                          "external_address", text(protocols[i].external_address),    //
                                          "device", text(protocols[i].device),                        //
                                          "round_trip", seconds(protocols[i].round_trip),             //
                                          "error", error_result(&protocols[i].error, NULL)));
  }
  return json_pack("{s:o, s:o, s:o, s:o}", "gateway", text(report->gateway), "local_address",
                   text(report->local_address), "interface", text(report->interface_name), "protocols", list);
}

// The handle of that name, a lease or a mapper.
static named find(const char *name, bool lease) {
  named found = {0};
  pthread_mutex_lock(&lock);
  for (const named *at = handles; at != NULL && found.name == NULL; at = at->next) {
    if (strcmp(at->name, name) == 0 && (at->lease != NULL) == lease) {
      found = *at;
    }
  }
  pthread_mutex_unlock(&lock);
  return found;
}

static void keep(const char *name, portlease_mapper *mapper, portlease_lease *lease) {
  named *entry = malloc(sizeof *entry);
  pthread_mutex_lock(&lock);
  *entry = (named){.next = handles, .name = strdup(name), .mapper = mapper, .lease = lease};
  handles = entry;
  pthread_mutex_unlock(&lock);
}

static void answer(const json_t *command, const char *key, json_t *value) {
  json_t *line = json_pack("{s:O, s:o}", "id", json_object_get(command, "id"), key, value);
  char *shown = json_dumps(line, JSON_COMPACT);
  printf("%s\n", shown); // one call, so that the lines of several threads do not mix
  fflush(stdout);
  free(shown);
  json_decref(line);
}

// The number that has this name; that of ABSENT if none has.
static portlease_protocol protocol(const char *name) {
  int found = UINT8_MAX;
  while (found != PORTLEASE_PROTOCOL_ABSENT && strcmp(name, portlease_protocol_name((portlease_protocol)found)) != 0) {
    found--;
  }
  return (portlease_protocol)found;
}

static void protocols(portlease_protocol *list, const json_t *names) {
  for (size_t i = 0; i < json_array_size(names); i++) {
    list[i] = protocol(json_string_value(json_array_get(names, i)));
  }
}

#include "settings.h"

static bool start(const json_t *command, portlease_error *error) {
  portlease_config config = PORTLEASE_INIT(portlease_config);
  const char *name;
  json_t *value;
  json_object_foreach(json_object_get(command, "config"), name, value) {
    if (!configure(&config, name, value)) {
      return false;
    }
  }
  portlease_mapper *mapper;
  if (portlease_mapper_start(&config, &mapper, error) == PORTLEASE_OK) {
    keep(words(command, "mapper"), mapper, NULL);
  }
  return true;
}

static portlease_family family(const json_t *command) {
  return strcmp(words(command, "family"), "ipv6") == 0 ? PORTLEASE_FAMILY_IPV6 : PORTLEASE_FAMILY_IPV4;
}

static portlease_transport transport(const json_t *command) {
  return strcmp(words(command, "transport"), "tcp") == 0 ? PORTLEASE_TRANSPORT_TCP : PORTLEASE_TRANSPORT_UDP;
}

// Maps a port, or ensures that it is mapped; then the lease's number is in the results.
static bool map(const json_t *command, portlease_mapper *mapper, bool ensure, results *to) {
  portlease_request request = PORTLEASE_INIT(portlease_request);
  request.internal_port = (uint16_t)json_integer_value(json_object_get(command, "port"));
  request.external_port = (uint16_t)json_integer_value(json_object_get(command, "external_port"));
  request.exact = json_is_true(json_object_get(command, "exact"));
  request.transport = transport(command);
  request.family = family(command);
  request.ttl = json_number_value(json_object_get(command, "ttl"));
  request.description = words(command, "description");
  portlease_lease *lease;
  if (ensure) {
    portlease_mapper_ensure(mapper, &request, &lease, &to->error);
  } else {
    portlease_mapper_map(mapper, &request, &lease, &to->error);
  }
  if (lease != NULL) {
    keep(words(command, "lease"), NULL, lease);
    to->numbers[0] = portlease_lease_id(lease);
  }
  return true;
}

static void leases(portlease_mapper *mapper, results *to) {
  portlease_lease *list[LEASES];
  portlease_mapper_leases(mapper, list, LEASES, &to->count, &to->error);
  for (size_t i = 0; i < to->count; i++) {
    to->numbers[i] = portlease_lease_id(list[i]);
    portlease_lease_free(list[i]);
  }
}

static json_t *list_of_numbers(const results *of) {
  json_t *list = json_array();
  for (size_t i = 0; i < of->count; i++) {
    json_array_append_new(list, json_integer((json_int_t)of->numbers[i]));
  }
  return list;
}

static json_t *list_of_entries(const results *of) {
  json_t *list = json_array();
  for (size_t i = 0; i < of->count; i++) {
    json_array_append_new(list, entry_result(&of->entries[i]));
  }
  return list;
}

// Whether this command is for the call of that name.
static bool is(const json_t *command, const char *call) { return strcmp(words(command, "do"), call) == 0; }

// Answers a command whose call is over.
static void finish(const json_t *command, const results *of) {
  if (of->error.kind != PORTLEASE_OK) {
    answer(command, "error", error_result(&of->error, NULL));
  } else if (is(command, "ready") || is(command, "changed") || is(command, "repair") ||
             is(command, "snapshot")) {
    answer(command, "result", lease_result(&of->leases[0], find(words(command, "lease"), true).lease));
  } else if (is(command, "ensure")) {
    answer(command, "result", json_integer((json_int_t)of->numbers[0]));
  } else if (is(command, "leases")) {
    answer(command, "result", list_of_numbers(of));
  } else if (is(command, "external_address")) {
    answer(command, "result", json_string(of->address));
  } else if (is(command, "table")) {
    answer(command, "result", list_of_entries(of));
  } else if (is(command, "delete")) {
    answer(command, "result", of->count > 0 ? entry_result(&of->entries[0]) : json_null());
  } else if (is(command, "mapper_snapshot")) {
    answer(command, "result", mapper_result(&of->mapper, of->leases));
  } else if (is(command, "next_event")) {
    answer(command, "result", event_result(&of->event));
  } else if (is(command, "probe")) {
    answer(command, "result", report_result(&of->report, of->protocols));
  } else if (is(command, "stop") || is(command, "detach") || is(command, "stop_mapper")) {
    answer(command, "result", json_string(portlease_release_name(of->release)));
  } else {
    answer(command, "result", json_null());
  }
}

// Makes a call that does not wait.
static bool call(const json_t *command, portlease_mapper *mapper, const portlease_lease *lease, results *to) {
  if (is(command, "start")) {
    return start(command, &to->error);
  } else if (is(command, "map") || is(command, "ensure")) {
    return map(command, mapper, is(command, "ensure"), to);
  } else if (is(command, "leases")) {
    leases(mapper, to);
  } else if (is(command, "snapshot")) {
    portlease_lease_get_snapshot(lease, &to->leases[0], &to->error);
  } else if (is(command, "mapper_snapshot")) {
    portlease_mapper_get_snapshot(mapper, &to->mapper, to->leases, LEASES, &to->error);
  } else if (is(command, "network_changed")) {
    portlease_mapper_network_changed(mapper, &to->error);
  } else {
    return false;
  }
  return true;
}

// Makes a call that waits, or begins the wait; its token is the command.
static bool wait_for(json_t *command, portlease_mapper *mapper, portlease_lease *lease, results *to) {
  const json_t *limit = json_object_get(command, "timeout");
  double timeout = json_is_number(limit) ? json_number_value(limit) : PORTLEASE_DEFAULT_TIMEOUT;
  uint64_t token = (uint64_t)(uintptr_t)command;
  portlease_error *error = &to->error;
  if (is(command, "ready")) {
    waits == NULL ? portlease_lease_ready(lease, timeout, to->leases, error)
                  : portlease_waits_lease_ready(waits, lease, timeout, token, error);
  } else if (is(command, "changed")) {
    uint64_t since = (uint64_t)json_integer_value(json_object_get(command, "since"));
    waits == NULL ? portlease_lease_changed(lease, since, timeout, to->leases, error)
                  : portlease_waits_lease_changed(waits, lease, since, timeout, token, error);
  } else if (is(command, "repair")) {
    waits == NULL ? portlease_lease_repair(lease, timeout, to->leases, error)
                  : portlease_waits_lease_repair(waits, lease, timeout, token, error);
  } else if (is(command, "stop")) {
    waits == NULL ? portlease_lease_stop(lease, timeout, &to->release, error)
                  : portlease_waits_lease_stop(waits, lease, timeout, token, error);
  } else if (is(command, "detach")) {
    waits == NULL ? portlease_lease_detach(lease, &to->release, error)
                  : portlease_waits_lease_detach(waits, lease, token, error);
  } else if (is(command, "next_event")) {
    waits == NULL ? portlease_mapper_next_event(mapper, timeout, &to->event, error)
                  : portlease_waits_mapper_next_event(waits, mapper, timeout, token, error);
  } else if (is(command, "probe")) {
    waits == NULL ? portlease_mapper_probe(mapper, &to->report, to->protocols, PORTLEASE_MAX_PROTOCOLS, error)
                  : portlease_waits_mapper_probe(waits, mapper, token, error);
  } else if (is(command, "external_address")) {
    waits == NULL ? portlease_mapper_external_address(mapper, timeout, to->address, error)
                  : portlease_waits_mapper_external_address(waits, mapper, timeout, token, error);
  } else if (is(command, "table")) {
    waits == NULL ? portlease_mapper_table(mapper, to->entries, ENTRIES, &to->count, error)
                  : portlease_waits_mapper_table(waits, mapper, token, error);
  } else if (is(command, "delete")) {
    uint16_t external = (uint16_t)json_integer_value(json_object_get(command, "external_port"));
    bool any_host = json_is_true(json_object_get(command, "any_host"));
    portlease_transport over = transport(command);
    waits == NULL ? portlease_mapper_delete(mapper, over, external, any_host, to->entries, &to->count, error)
                  : portlease_waits_mapper_delete(waits, mapper, over, external, any_host, token, error);
  } else if (is(command, "stop_mapper")) {
    waits == NULL ? portlease_mapper_stop(mapper, timeout, &to->release, error)
                  : portlease_waits_mapper_stop(waits, mapper, timeout, token, error);
  } else {
    return false;
  }
  return true;
}

static void carry_out(json_t *command, results *to) {
  portlease_mapper *mapper = find(words(command, "mapper"), false).mapper;
  portlease_lease *lease = find(words(command, "lease"), true).lease;
  if (call(command, mapper, lease, to)) {
    finish(command, to);
  } else if (!wait_for(command, mapper, lease, to)) {
    answer(command, "unsupported", json_string(words(command, "do")));
  } else if (waits == NULL || to->error.kind != PORTLEASE_OK) {
    finish(command, to);
  } else {
    json_incref(command); // until the wait is over
  }
}

// Carries out the next line. Answers false at the end of the input.
static bool read_line(results *to) {
  char *line = NULL;
  size_t size = 0;
  bool there = getline(&line, &size, stdin) > 0;
  json_t *command = there ? json_loads(line, 0, NULL) : NULL;
  if (command != NULL) {
    carry_out(command, to);
  }
  json_decref(command);
  free(line);
  return there;
}

static results no_results(void) {
  return (results){.leases = {PORTLEASE_INIT(portlease_lease_snapshot)},
                   .mapper = PORTLEASE_INIT(portlease_mapper_snapshot),
                   .event = PORTLEASE_INIT(portlease_event),
                   .report = PORTLEASE_INIT(portlease_gateway_report),
                   .protocols = {PORTLEASE_INIT(portlease_protocol_report)},
                   .entries = {PORTLEASE_INIT(portlease_table_entry)}};
}

// One of many threads that read commands and block in their calls.
static void *serve(void *nothing) {
  for (results to = no_results(); read_line(&to);) {
  }
  return nothing;
}

// As a program with a loop of its own does.
static void poll_waits(void) {
  results to = no_results();
  portlease_completion over = PORTLEASE_INIT(portlease_completion);
  over.snapshot = to.leases;
  over.event = &to.event;
  over.report = &to.report;
  over.protocols = to.protocols;
  over.protocols_capacity = PORTLEASE_MAX_PROTOCOLS;
  over.release = &to.release;
  over.entries = to.entries;
  over.entries_capacity = ENTRIES;
  over.address = to.address;
  struct pollfd watched[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}};
  setvbuf(stdin, NULL, _IONBF, 0); // no line may lie in a buffer that is not polled
  portlease_waits_new(&waits, NULL);
  portlease_waits_descriptor(waits, &watched[1].fd, NULL);
  for (bool more = true; more;) {
    poll(watched, 2, -1);
    more = watched[0].revents == 0 || read_line(&to);
    while (portlease_waits_next(waits, 0, &over, NULL) == PORTLEASE_OK) {
      to.error = over.error;
      to.count = over.entry_count;
      json_t *command = (json_t *)(uintptr_t)over.token;
      finish(command, &to);
      json_decref(command);
    }
  }
  portlease_waits_free(waits);
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--waits") == 0) {
    poll_waits();
  } else {
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
      pthread_create(&threads[i], NULL, serve, NULL);
    }
    for (size_t i = 0; i < THREADS; i++) {
      pthread_join(threads[i], NULL);
    }
  }
  while (handles != NULL) {
    named *entry = handles;
    handles = entry->next;
    portlease_lease_free(entry->lease);
    portlease_mapper_free(entry->mapper);
    free(entry->name);
    free(entry);
  }
  return 0;
}
