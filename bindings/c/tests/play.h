// Plays a scenario against a simulated gateway of its own.
#ifndef PLAY_H
#define PLAY_H

#include <jansson.h>
#include <stdbool.h>

// What is wrong with a scenario's text, to be freed; NULL where nothing is.
char *scenario_check(const json_t *scenario);

// Plays it. NULL where all went as it says; else why not, to be freed, and `at` says where: the number of the step from
// 1, "end", or null, owned by the caller. `by_waits`: the calls that wait are begun in a portlease_waits.
char *scenario_play(const json_t *scenario, const char *gateway_program, bool by_waits, json_t **at);

#endif
