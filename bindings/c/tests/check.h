// Tests that read as sentences: TEST(sentence) { ... CHECK(what holds); } and RUN(sentence) in main.
#ifndef CHECK_H
#define CHECK_H

#include <dirent.h>
#include <math.h>
#include <portlease.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway.h"

#define TEST(sentence) static void sentence(void)

#define CHECK(holds) ((holds) ? (void)0 : check_failed(__FILE__, __LINE__, #holds, ""))

// That a call answers this kind, and the same in the error whose address was passed.
#define CHECK_KIND(wanted, call) check_kind(__FILE__, __LINE__, #call, (wanted), (call), &error)

// The same, and that its message holds this text.
#define CHECK_SAYS(wanted, said, call)                                                  \
  do {                                                                                  \
    CHECK_KIND(wanted, call);                                                           \
    if (strstr(error.message, (said)) == NULL) {                                        \
      check_failed(__FILE__, __LINE__, "the message holds \"" said "\"", error.message); \
    }                                                                                   \
  } while (0)

#define RUN(sentence)                                  \
  do {                                                 \
    sentence();                                        \
    char shown[] = #sentence;                          \
    for (char *at = shown; *at != '\0'; at++) {        \
      *at = *at == '_' ? ' ' : *at;                    \
    }                                                  \
    printf("ok   %s\n", shown);                        \
    fflush(stdout);                                    \
  } while (0)

static inline void check_failed(const char *file, int line, const char *what, const char *more) {
  fprintf(stderr, "FAIL %s:%d: %s %s\n", file, line, what, more);
  exit(1);
}

static inline void check_kind(const char *file, int line, const char *call, portlease_kind wanted, portlease_kind got,
                              const portlease_error *error) {
  if (got != wanted || error->kind != wanted || (error->message[0] == '\0') != (wanted == PORTLEASE_OK)) {
    fprintf(stderr, "FAIL %s:%d: %s\n  expected %s, got %s, error %s: %s\n", file, line, call,
            portlease_kind_name(wanted), portlease_kind_name(got), portlease_kind_name(error->kind), error->message);
    exit(1);
  }
}

// A gateway of the test's own, whose program the first argument of the test's names.
extern const char *check_gateway_program;

static inline void check_gateway(gateway *self) {
  char *reason = gateway_start(self, check_gateway_program, NULL);
  if (reason != NULL) {
    check_failed(__FILE__, __LINE__, "a gateway starts:", reason);
  }
}

// A configuration that leads to this gateway.
static inline portlease_config check_config(const gateway *self) {
  portlease_config config = PORTLEASE_INIT(portlease_config);
  config.gateway = json_string_value(json_object_get(self->started, "gateway"));
  config.pcp_port = (uint16_t)json_integer_value(json_object_get(self->started, "pcp_port"));
  config.ssdp_address = json_string_value(json_object_get(self->started, "ssdp_address"));
  return config;
}

static inline portlease_mapper *check_mapper(const gateway *self) {
  portlease_config config = check_config(self);
  portlease_mapper *mapper;
  portlease_error error;
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_start(&config, &mapper, &error));
  return mapper;
}

static inline portlease_request check_request(uint16_t port) {
  portlease_request request = PORTLEASE_INIT(portlease_request);
  request.internal_port = port;
  request.transport = PORTLEASE_TRANSPORT_UDP;
  return request;
}

static inline portlease_lease *check_lease(portlease_mapper *mapper, uint16_t port) {
  portlease_request request = check_request(port);
  portlease_lease *lease;
  portlease_error error;
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_map(mapper, &request, &lease, &error));
  return lease;
}

// Waits until a lease is mapped. Under valgrind, on a busy machine, an attempt may run past its deadlines; the next one
// is waited for, and who waits too long is ended by the driver of the tests.
static inline void check_ready(portlease_lease *lease, portlease_lease_snapshot *snapshot) {
  portlease_error error;
  portlease_kind kind;
  do {
    kind = portlease_lease_ready(lease, INFINITY, snapshot, &error);
  } while (kind == PORTLEASE_TIMEOUT || kind == PORTLEASE_UNAVAILABLE);
  CHECK_KIND(PORTLEASE_OK, kind);
}

// How many mappings the gateway has.
static inline size_t check_mappings(gateway *self) {
  json_t *state;
  char *reason = gateway_state(self, &state);
  if (reason != NULL) {
    check_failed(__FILE__, __LINE__, "the gateway answers:", reason);
  }
  size_t count = json_array_size(json_object_get(state, "mappings"));
  json_decref(state);
  return count;
}

// How many threads this process has: this one, the engines', and those that read what the gateways say.
static inline size_t check_threads(void) {
  DIR *folder = opendir("/proc/self/task");
  CHECK(folder != NULL);
  size_t count = 0;
  for (struct dirent *thread; (thread = readdir(folder)) != NULL;) {
    count += thread->d_name[0] != '.';
  }
  closedir(folder);
  return count;
}

// Turns these switches of the gateway; what they are goes with the call.
static inline void check_switches(gateway *self, json_t *switches) {
  json_t *line = json_pack("{s:o}", "set", switches);
  json_t *reply;
  char *reason = gateway_tell(self, line, &reply);
  if (reason != NULL) {
    check_failed(__FILE__, __LINE__, "the gateway takes the switches:", reason);
  }
  json_decref(line);
  json_decref(reply);
}

// Makes the gateway lose every request from now on.
static inline void check_silence(gateway *self) {
  check_switches(self, json_pack("{s:s, s:s, s:s}", "pcp", "silent", "nat_pmp", "silent", "upnp", "silent"));
}

#endif
