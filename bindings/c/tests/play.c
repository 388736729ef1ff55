#include "play.h"

#include <portlease.h>
#include <string.h>
#include <time.h>

#include "calls.h"
#include "gateway.h"
#include "matching.h"
#include "text.h"
#include "view.h"

// How long a wait goes on where the scenario names no time: who waits this long has failed.
static const double PATIENCE = 10;
// How often a condition is looked at.
static const struct timespec LOOK = {.tv_nsec = 10 * 1000 * 1000};
// No scenario has more leases in a mapper at once.
enum { MOST_LEASES = 64 };

// A handle by the name that the scenario gave it.
typedef struct named {
  struct named *next;
  char *name;
  void *handle;
} named;

typedef struct player {
  gateway gateway;
  calls way;
  const json_t *config;
  named *mappers, *leases;
} player;

// What a call gave: a result or an error, as the scenarios write them.
typedef struct outcome {
  json_t *result, *error;
} outcome;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

// Takes over the result.
static void gave(outcome *out, portlease_kind kind, const portlease_error *error, json_t *result) {
  if (kind == PORTLEASE_OK) {
    out->result = result;
  } else {
    json_decref(result);
    out->error = view_error(error);
  }
}

// A stop answers whether it is over; that it is not is no failure.
static void stopped(outcome *out, portlease_kind kind, const portlease_error *error) {
  bool ended = kind == PORTLEASE_OK || kind == PORTLEASE_TIMEOUT;
  gave(out, ended ? PORTLEASE_OK : kind, error, json_boolean(kind == PORTLEASE_OK));
}

static void *find(const named *list, const char *name) {
  for (; list != NULL; list = list->next) {
    if (strcmp(list->name, name) == 0) {
      return list->handle;
    }
  }
  return NULL;
}

// Gives a name to a handle. The handle that had it before is freed.
static void give(named **list, const char *name, void *handle, void (*discard)(void *)) {
  named *entry = *list;
  while (entry != NULL && strcmp(entry->name, name) != 0) {
    entry = entry->next;
  }
  if (entry == NULL) {
    entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
      abort();
    }
    entry->name = text("%s", name);
    entry->next = *list;
    *list = entry;
  } else {
    discard(entry->handle);
  }
  entry->handle = handle;
}

static void discard_all(named **list, void (*discard)(void *)) {
  while (*list != NULL) {
    named *entry = *list;
    *list = entry->next;
    discard(entry->handle);
    free(entry->name);
    free(entry);
  }
}

static void discard_mapper(void *mapper) { portlease_mapper_free(mapper); }

static void discard_lease(void *lease) { portlease_lease_free(lease); }

static const char *word(const json_t *step, const char *field, const char *absent) {
  const char *value = json_string_value(json_object_get(step, field));
  return value != NULL ? value : absent;
}

static double number(const json_t *step, const char *field, double absent) {
  const json_t *value = json_object_get(step, field);
  return value != NULL ? json_number_value(value) : absent;
}

static char *start(player *self, const json_t *step, outcome *out) {
  portlease_config config = PORTLEASE_INIT(portlease_config);
  const json_t *place = self->gateway.started;
  config.gateway = json_string_value(json_object_get(place, "gateway"));
  config.pcp_port = (uint16_t)json_integer_value(json_object_get(place, "pcp_port"));
  config.ssdp_address = json_string_value(json_object_get(place, "ssdp_address"));
  char *reason = view_configure(&config, self->config);
  if (reason == NULL) {
    reason = view_configure(&config, json_object_get(step, "config"));
  }
  if (reason != NULL) {
    return reason;
  }
  portlease_mapper *mapper;
  portlease_error error;
  portlease_kind kind = portlease_mapper_start(&config, &mapper, &error);
  if (kind == PORTLEASE_OK) {
    give(&self->mappers, word(step, "mapper", "mapper"), mapper, discard_mapper);
  }
  gave(out, kind, &error, json_null());
  return NULL;
}

static char *map(player *self, portlease_mapper *mapper, const json_t *step, outcome *out) {
  portlease_request request = PORTLEASE_INIT(portlease_request);
  request.internal_port = (uint16_t)number(step, "port", 0);
  request.transport = view_transport(word(step, "transport", "udp"));
  request.external_port = (uint16_t)number(step, "external_port", 0);
  request.exact = json_is_true(json_object_get(step, "exact"));
  if (request.transport == PORTLEASE_TRANSPORT_ABSENT) {
    return text("there is no such transport");
  }
  portlease_lease *lease;
  portlease_error error;
  portlease_kind kind = portlease_mapper_map(mapper, &request, &lease, &error);
  if (kind == PORTLEASE_OK) {
    give(&self->leases, word(step, "lease", "lease"), lease, discard_lease);
  }
  gave(out, kind, &error, json_null());
  return NULL;
}

static void lease_snapshot(const portlease_lease *lease, outcome *out) {
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  portlease_error error;
  portlease_kind kind = portlease_lease_get_snapshot(lease, &snapshot, &error);
  gave(out, kind, &error, kind == PORTLEASE_OK ? view_lease(&snapshot) : NULL);
}

static void mapper_snapshot(const portlease_mapper *mapper, outcome *out) {
  portlease_mapper_snapshot snapshot = PORTLEASE_INIT(portlease_mapper_snapshot);
  portlease_lease_snapshot leases[MOST_LEASES] = {PORTLEASE_INIT(portlease_lease_snapshot)};
  portlease_error error;
  portlease_kind kind = portlease_mapper_get_snapshot(mapper, &snapshot, leases, MOST_LEASES, &error);
  gave(out, kind, &error, kind == PORTLEASE_OK ? view_mapper(&snapshot, leases) : NULL);
}

static void ready(player *self, portlease_lease *lease, const json_t *step, outcome *out) {
  portlease_lease_snapshot snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  portlease_error error;
  portlease_kind kind = call_ready(&self->way, lease, number(step, "timeout", PATIENCE), &snapshot, &error);
  gave(out, kind, &error, kind == PORTLEASE_OK ? view_lease(&snapshot) : NULL);
}

static void next_event(player *self, portlease_mapper *mapper, const json_t *step, outcome *out) {
  double end = now() + number(step, "timeout", PATIENCE);
  const json_t *skip = json_object_get(step, "skip");
  for (bool skipped = true; skipped;) {
    portlease_event event = PORTLEASE_INIT(portlease_event);
    portlease_error error;
    double left = end - now();
    portlease_kind kind = call_next_event(&self->way, mapper, left > 0 ? left : 0, &event, &error);
    gave(out, kind, &error, kind == PORTLEASE_OK ? view_event(&event) : NULL);
    char *differs = skip != NULL && out->result != NULL ? mismatch("skip", skip, out->result) : text("none");
    skipped = differs == NULL;
    free(differs);
    if (skipped) {
      json_decref(out->result);
      out->result = NULL;
    }
  }
}

static void probe(player *self, portlease_mapper *mapper, outcome *out) {
  portlease_gateway_report report = PORTLEASE_INIT(portlease_gateway_report);
  portlease_protocol_report protocols[PORTLEASE_MAX_PROTOCOLS] = {PORTLEASE_INIT(portlease_protocol_report)};
  portlease_error error;
  portlease_kind kind = call_probe(&self->way, mapper, &report, protocols, PORTLEASE_MAX_PROTOCOLS, &error);
  gave(out, kind, &error, kind == PORTLEASE_OK ? view_report(&report, protocols) : NULL);
}

// A counter that is expected and never counted is 0.
static char *state(player *self, const json_t *expected, json_t **seen) {
  char *reason = gateway_state(&self->gateway, seen);
  json_t *counters = json_object_get(*seen, "counters");
  const char *name;
  json_t *value;
  json_object_foreach(json_object_get(expected, "counters"), name, value) {
    if (counters != NULL && json_object_get(counters, name) == NULL) {
      json_object_set_new(counters, name, json_integer(0));
    }
  }
  return reason;
}

// Looks until what is seen is as expected, and gives what was seen last.
static char *wait_until(player *self, portlease_lease *lease, const json_t *expected, outcome *out) {
  for (double end = now() + PATIENCE;; nanosleep(&LOOK, NULL)) {
    if (lease != NULL) {
      lease_snapshot(lease, out);
    } else {
      char *reason = state(self, expected, &out->result);
      if (reason != NULL) {
        return reason;
      }
    }
    char *differs = mismatch("", expected, out->result);
    bool over = differs == NULL || out->result == NULL || now() >= end;
    free(differs);
    if (over) {
      return NULL;
    }
    json_decref(out->result);
    out->result = NULL;
  }
}

static char *play_steps(player *self, const json_t *steps, json_t **at);

static char *repeat(player *self, const json_t *step, outcome *out) {
  for (json_int_t left = json_integer_value(json_object_get(step, "times")); left > 0; left--) {
    json_t *at = NULL;
    char *reason = play_steps(self, json_object_get(step, "steps"), &at);
    json_decref(at);
    if (reason != NULL) {
      return reason;
    }
  }
  out->result = json_null();
  return NULL;
}

// Makes the call. Answers a reason where the scenario itself is wrong.
static char *act(player *self, const json_t *step, outcome *out) {
  const char *action = word(step, "do", "");
  if (strcmp(action, "start") == 0) {
    return start(self, step, out);
  } else if (strcmp(action, "repeat") == 0) {
    return repeat(self, step, out);
  } else if (strcmp(action, "gateway") == 0) {
    return gateway_tell(&self->gateway, json_object_get(step, "line"), &out->result);
  } else if (strcmp(action, "wait_for_gateway") == 0) {
    return wait_until(self, NULL, json_object_get(step, "sees"), out);
  }
  portlease_error error;
  static const char *const of_mappers[] = {"map", "mapper_snapshot", "next_event", "probe", "stop_mapper"};
  for (size_t i = 0; i < sizeof of_mappers / sizeof *of_mappers; i++) {
    if (strcmp(action, of_mappers[i]) != 0) {
      continue;
    }
    portlease_mapper *mapper = find(self->mappers, word(step, "mapper", "mapper"));
    if (mapper == NULL) {
      return text("no mapper has that name");
    } else if (strcmp(action, "map") == 0) {
      return map(self, mapper, step, out);
    } else if (strcmp(action, "mapper_snapshot") == 0) {
      mapper_snapshot(mapper, out);
    } else if (strcmp(action, "next_event") == 0) {
      next_event(self, mapper, step, out);
    } else if (strcmp(action, "probe") == 0) {
      probe(self, mapper, out);
    } else {
      double timeout = number(step, "timeout", PORTLEASE_DEFAULT_TIMEOUT);
      stopped(out, call_mapper_stop(&self->way, mapper, timeout, &error), &error);
    }
    return NULL;
  }
  portlease_lease *lease = find(self->leases, word(step, "lease", "lease"));
  if (lease == NULL) {
    return text("no lease has that name");
  } else if (strcmp(action, "ready") == 0) {
    ready(self, lease, step, out);
  } else if (strcmp(action, "snapshot") == 0) {
    lease_snapshot(lease, out);
  } else if (strcmp(action, "wait_for") == 0) {
    return wait_until(self, lease, json_object_get(step, "sees"), out);
  } else if (strcmp(action, "stop") == 0) {
    double timeout = number(step, "timeout", PORTLEASE_DEFAULT_TIMEOUT);
    stopped(out, call_lease_stop(&self->way, lease, timeout, &error), &error);
  } else if (strcmp(action, "detach") == 0) {
    gave(out, call_detach(&self->way, lease, &error), &error, json_null());
  } else {
    return text("there is no such step");
  }
  return NULL;
}

// Why an outcome is not what the step says; NULL where it is.
static char *judge(const json_t *step, const outcome *out, double took) {
  const json_t *sees = json_object_get(step, "sees"), *fails = json_object_get(step, "fails");
  char *reason = NULL;
  if (out->error != NULL && fails != NULL) {
    reason = mismatch("error", fails, out->error);
  } else if (out->error != NULL || fails != NULL) {
    char *shown = written(out->error != NULL ? out->error : out->result);
    reason = text(out->error != NULL ? "it failed: %s" : "it should have failed, but gave %s", shown);
    free(shown);
  } else if (sees != NULL) {
    reason = mismatch("result", sees, out->result);
  }
  const json_t *within = json_object_get(step, "within");
  if (reason == NULL && within != NULL && took > json_number_value(within)) {
    reason = text("it took %g s, allowed are %g s", took, json_number_value(within));
  }
  return reason;
}

static char *play_steps(player *self, const json_t *steps, json_t **at) {
  size_t index;
  json_t *step;
  json_array_foreach(steps, index, step) {
    outcome out = {NULL, NULL};
    double begin = now();
    char *reason = act(self, step, &out);
    if (reason == NULL) {
      reason = judge(step, &out, now() - begin);
    }
    json_decref(out.result);
    json_decref(out.error);
    if (reason != NULL) {
      char *shown = written(step), *whole = text("step %zu, %s\n  %s", index + 1, shown, reason);
      free(shown);
      free(reason);
      *at = json_integer((json_int_t)index + 1);
      return whole;
    }
  }
  return NULL;
}

static char *play_end(player *self, const json_t *scenario) {
  const json_t *said = json_object_get(scenario, "end");
  json_t *expected = said != NULL ? json_deep_copy(said) : json_pack("{s:[]}", "mappings");
  json_t *seen;
  char *reason = state(self, expected, &seen);
  if (reason == NULL) {
    reason = mismatch("end", expected, seen);
  }
  json_decref(seen);
  json_decref(expected);
  return reason;
}

char *scenario_play(const json_t *scenario, const char *gateway_program, bool by_waits, json_t **at) {
  player self = {.config = json_object_get(scenario, "config")};
  char *reason = gateway_start(&self.gateway, gateway_program, json_object_get(scenario, "gateway"));
  portlease_error error;
  if (reason == NULL && by_waits && portlease_waits_new(&self.way.waits, &error) != PORTLEASE_OK) {
    reason = text("no waits: %s", error.message);
  }
  *at = NULL;
  if (reason == NULL) {
    reason = play_steps(&self, json_object_get(scenario, "steps"), at);
  }
  for (named *entry = self.mappers; entry != NULL; entry = entry->next) {
    call_mapper_stop(&self.way, entry->handle, PATIENCE, &error);
  }
  if (reason == NULL) {
    reason = play_end(&self, scenario);
    *at = json_string("end");
  }
  if (*at == NULL) {
    *at = json_null();
  }
  discard_all(&self.leases, discard_lease);
  discard_all(&self.mappers, discard_mapper);
  portlease_waits_free(self.way.waits);
  gateway_end(&self.gateway);
  return reason;
}
