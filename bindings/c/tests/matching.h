// Whether what was seen is what was expected: the rules of tests/scenarios/README.md.
#ifndef MATCHING_H
#define MATCHING_H

#include <jansson.h>

// Why `actual` is not as expected, to be freed; NULL where it is. `path` says which part of the result this is about.
char *mismatch(const char *path, const json_t *expected, const json_t *actual);

#endif
