// Text that was put together, for reasons of failure. The caller who gets it frees it.
#ifndef TEXT_H
#define TEXT_H

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
static inline char *text(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  char *result = length < 0 ? NULL : malloc((size_t)length + 1);
  if (result == NULL) {
    abort(); // a test that has no memory says nothing
  }
  va_start(arguments, format);
  vsnprintf(result, (size_t)length + 1, format, arguments);
  va_end(arguments);
  return result;
}

// A value as it is written; text for a missing one.
static inline char *written(const json_t *value) {
  char *result = value == NULL ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
  return result != NULL ? result : text("nothing");
}

#endif
