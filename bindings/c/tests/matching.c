#include "matching.h"

#include <stdbool.h>
#include <string.h>

#include "text.h"

static char *differs(const char *path, const json_t *expected, const json_t *actual) {
  char *wanted = written(expected), *got = written(actual);
  char *reason = text("%s: expected %s, got %s", path, wanted, got);
  free(wanted);
  free(got);
  return reason;
}

static bool matches(const json_t *expected, const json_t *actual) {
  char *reason = mismatch("", expected, actual);
  free(reason);
  return reason == NULL;
}

static bool is_condition(const json_t *object) {
  static const char *const words[] = {"at_least", "at_most", "contains", "not", "one_of"};
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)object, key, value) {
    bool known = false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
      known = known || strcmp(key, words[i]) == 0;
    }
    if (!known) {
      return false;
    }
  }
  return json_object_size(object) > 0;
}

static bool holds(const char *word, const json_t *argument, const json_t *actual) {
  if (strcmp(word, "not") == 0) {
    return !matches(argument, actual);
  }
  if (strcmp(word, "one_of") == 0) {
    size_t index;
    json_t *option;
    json_array_foreach(argument, index, option) {
      if (matches(option, actual)) {
        return true;
      }
    }
    return false;
  }
  if (strcmp(word, "contains") == 0) {
    return json_is_string(argument) && json_is_string(actual) &&
           strstr(json_string_value(actual), json_string_value(argument)) != NULL;
  }
  if (!json_is_number(argument) || !json_is_number(actual)) {
    return false;
  }
  double limit = json_number_value(argument), value = json_number_value(actual);
  return strcmp(word, "at_least") == 0 ? value >= limit : value <= limit;
}

static char *condition(const char *path, const json_t *words, const json_t *actual) {
  const char *word;
  json_t *argument;
  json_object_foreach((json_t *)words, word, argument) {
    if (!holds(word, argument, actual)) {
      return differs(path, words, actual);
    }
  }
  return NULL;
}

static char *fields(const char *path, const json_t *expected, const json_t *actual) {
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)expected, name, value) {
    const json_t *found = json_object_get(actual, name);
    if (found == NULL) {
      char *got = written(actual);
      char *reason = text("%s: there is no field %s in %s", path, name, got);
      free(got);
      return reason;
    }
    char *inner = text("%s.%s", path, name);
    char *reason = mismatch(inner, value, found);
    free(inner);
    if (reason != NULL) {
      return reason;
    }
  }
  return NULL;
}

static char *items(const char *path, const json_t *expected, const json_t *actual) {
  size_t index;
  json_t *item;
  json_array_foreach(expected, index, item) {
    char *inner = text("%s[%zu]", path, index);
    char *reason = mismatch(inner, item, json_array_get(actual, index));
    free(inner);
    if (reason != NULL) {
      return reason;
    }
  }
  return NULL;
}

char *mismatch(const char *path, const json_t *expected, const json_t *actual) {
  if (json_is_object(expected) && is_condition(expected)) {
    return condition(path, expected, actual);
  }
  if (json_is_object(expected) && json_is_object(actual)) {
    return fields(path, expected, actual);
  }
  if (json_is_array(expected) && json_is_array(actual) && json_array_size(expected) == json_array_size(actual)) {
    return items(path, expected, actual);
  }
  // 2 and 2.0 are the same number.
  bool same = json_is_number(expected) && json_is_number(actual)
                  ? json_number_value(expected) == json_number_value(actual)
                  : !json_is_object(expected) && !json_is_array(expected) && json_equal(expected, actual);
  return same ? NULL : differs(path, expected, actual);
}
