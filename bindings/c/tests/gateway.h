// A simulated gateway in a process of its own, spoken to by JSON lines (tests/gateway/README.md).
#ifndef GATEWAY_H
#define GATEWAY_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

typedef struct gateway {
  pid_t process;
  FILE *commands, *answers;
  // A thread reads all that it says, so that it is never held up.
  pthread_t reader;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  json_t *started; // where it listens
  json_t *reply;   // to the line before; NULL until it is there
  bool silent;     // it says no more
} gateway;

// Starts a gateway with these settings (a JSON object, or NULL for none). Answers NULL, or why not, to be freed.
char *gateway_start(gateway *self, const char *program, const json_t *settings);

// Writes a line and reads the reply to it, which the caller owns. Answers NULL, or why not, to be freed.
char *gateway_tell(gateway *self, const json_t *line, json_t **reply);

// The gateway's state: its mappings and counters. NULL, or why not.
char *gateway_state(gateway *self, json_t **state);

// Ends it, also where it did not start.
void gateway_end(gateway *self);

#endif
