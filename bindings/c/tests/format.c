// Whether a scenario is written as tests/scenarios/README.md says. What that does not know is an error.
#include <string.h>

#include "play.h"
#include "text.h"

// A name with a letter for its type: s text, n number, i integer from 0, b boolean, o object, l list, a anything. Those with
// a capital letter must be there.
typedef struct rule {
  const char *name;
  const char *fields;
} rule;

static const char COMMON[] = "S:do a:sees a:fails n:within ";

static const rule RULES[] = {
    {"start", "s:mapper o:config"},
    {"map", "s:mapper s:lease I:port s:transport i:external_port b:exact"},
    {"ready", "s:lease n:timeout"},
    {"snapshot", "s:lease"},
    {"wait_for", "s:lease A:sees"},
    {"stop", "s:lease n:timeout"},
    {"detach", "s:lease"},
    {"mapper_snapshot", "s:mapper"},
    {"next_event", "s:mapper n:timeout a:skip"},
    {"probe", "s:mapper"},
    {"stop_mapper", "s:mapper n:timeout"},
    {"gateway", "O:line"},
    {"wait_for_gateway", "A:sees"},
    {"repeat", "I:times L:steps"},
};

static bool is_of(char type, const json_t *value) {
  switch (type | 0x20) {
  case 's':
    return json_is_string(value);
  case 'n':
    return json_is_number(value) && json_number_value(value) >= 0;
  case 'i':
    return json_is_integer(value) && json_integer_value(value) >= 0 && json_integer_value(value) <= 65535;
  case 'b':
    return json_is_boolean(value);
  case 'o':
    return json_is_object(value);
  case 'l':
    return json_is_array(value);
  default:
    return true;
  }
}

// Where the field `name` is described in the list; NULL where it is not.
static const char *find(const char *list, const char *name) {
  size_t length = strlen(name);
  for (const char *word = list; word != NULL && *word != '\0'; word = strchr(word, ' ')) {
    word += *word == ' ';
    if (word[0] != '\0' && strncmp(word + 2, name, length) == 0 && (word[2 + length] == ' ' || word[2 + length] == '\0')) {
      return word;
    }
  }
  return NULL;
}

static char *check_fields(const json_t *object, const char *list, const char *more) {
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)object, name, value) {
    const char *word = find(list, name) != NULL ? find(list, name) : find(more, name);
    if (word == NULL || !is_of(word[0], value)) {
      return text("`%s` %s", name, word == NULL ? "is not known" : "is of another type");
    }
  }
  for (const char *word = list; word != NULL && *word != '\0'; word = strchr(word, ' ')) {
    word += *word == ' ';
    int length = (int)strcspn(word + 2, " ");
    char *needed = text("%.*s", length, word + 2);
    bool missing = word[0] < 'a' && json_object_get(object, needed) == NULL;
    char *reason = missing ? text("`%s` is missing", needed) : NULL;
    free(needed);
    if (reason != NULL) {
      return reason;
    }
  }
  return NULL;
}

static char *check_steps(const json_t *steps);

static char *check_step(const json_t *step) {
  const char *action = json_string_value(json_object_get(step, "do"));
  const rule *known = NULL;
  for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++) {
    if (action != NULL && strcmp(action, RULES[i].name) == 0) {
      known = &RULES[i];
    }
  }
  if (known == NULL) {
    return text("there is no such step");
  }
  if (json_object_get(step, "sees") != NULL && json_object_get(step, "fails") != NULL) {
    return text("both `sees` and `fails`");
  }
  char *reason = check_fields(step, known->fields, COMMON);
  if (reason == NULL && strcmp(action, "repeat") == 0) {
    reason = check_steps(json_object_get(step, "steps"));
  }
  return reason;
}

static char *check_steps(const json_t *steps) {
  size_t index;
  json_t *step;
  json_array_foreach(steps, index, step) {
    char *reason = check_step(step);
    if (reason != NULL) {
      char *shown = written(step), *whole = text("%s in %s", reason, shown);
      free(reason);
      free(shown);
      return whole;
    }
  }
  return NULL;
}

char *scenario_check(const json_t *scenario) {
  if (!json_is_object(scenario)) {
    return text("not an object");
  }
  char *reason = check_fields(scenario, "S:name s:note o:gateway o:config L:steps a:end a:fails_at", "");
  return reason != NULL ? reason : check_steps(json_object_get(scenario, "steps"));
}
