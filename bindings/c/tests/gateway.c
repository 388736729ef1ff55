#define _GNU_SOURCE // pipe2
#include "gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

extern char **environ;

// How long the gateway is given for an answer.
static const time_t PATIENCE = 20;

static const char *event_of(const json_t *line) {
  const char *event = json_string_value(json_object_get(line, "event"));
  return event != NULL ? event : "";
}

static void *read_all(void *argument) {
  gateway *self = argument;
  char *line = NULL;
  size_t size = 0;
  while (getline(&line, &size, self->answers) > 0) {
    json_t *said = json_loads(line, 0, NULL);
    pthread_mutex_lock(&self->lock);
    json_t **slot = strcmp(event_of(said), "reply") == 0     ? &self->reply
                    : strcmp(event_of(said), "started") == 0 ? &self->started
                                                             : NULL;
    if (slot != NULL && *slot == NULL) {
      *slot = json_incref(said);
      pthread_cond_signal(&self->changed);
    }
    pthread_mutex_unlock(&self->lock);
    json_decref(said);
  }
  free(line);
  pthread_mutex_lock(&self->lock);
  self->silent = true;
  pthread_cond_signal(&self->changed);
  pthread_mutex_unlock(&self->lock);
  return NULL;
}

// Whether there is something in the slot before the gateway has no more to say.
static bool comes(gateway *self, json_t *const *slot) {
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += PATIENCE;
  pthread_mutex_lock(&self->lock);
  int late = 0;
  while (*slot == NULL && !self->silent && late == 0) {
    late = pthread_cond_timedwait(&self->changed, &self->lock, &end);
  }
  bool there = *slot != NULL;
  pthread_mutex_unlock(&self->lock);
  return there;
}

// Whether it was started. Other scenarios start theirs at the same time, so that every descriptor is closed on exec.
static int spawn(gateway *self, const char *program, const char *settings) {
  int in[2] = {-1, -1}, out[2] = {-1, -1};
  if (pipe2(in, O_CLOEXEC) != 0) {
    return errno;
  }
  if (pipe2(out, O_CLOEXEC) != 0) {
    int error = errno;
    close(in[0]);
    close(in[1]);
    return error;
  }
  char *arguments[] = {(char *)program, "--config", (char *)settings, NULL};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  int error = posix_spawn(&self->process, program, &actions, NULL, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  self->commands = fdopen(in[1], "w");
  self->answers = fdopen(out[0], "r");
  if (error != 0) {
    self->process = 0;
  }
  return error;
}

char *gateway_start(gateway *self, const char *program, const json_t *settings) {
  memset(self, 0, sizeof *self);
  pthread_mutex_init(&self->lock, NULL);
  pthread_cond_init(&self->changed, NULL);
  char *config = settings != NULL ? json_dumps(settings, JSON_COMPACT) : text("{}");
  int error = spawn(self, program, config);
  free(config);
  if (error != 0) {
    return text("cannot start %s: %s", program, strerror(error));
  }
  if (pthread_create(&self->reader, NULL, read_all, self) != 0) {
    abort();
  }
  return comes(self, &self->started) ? NULL : text("the gateway did not start");
}

char *gateway_tell(gateway *self, const json_t *line, json_t **reply) {
  *reply = NULL;
  if (json_dumpf(line, self->commands, JSON_COMPACT) != 0 || fputc('\n', self->commands) == EOF ||
      fflush(self->commands) != 0) {
    return text("the gateway reads no more");
  }
  if (!comes(self, &self->reply)) {
    return text("the gateway does not reply");
  }
  pthread_mutex_lock(&self->lock);
  json_t *said = self->reply;
  self->reply = NULL;
  pthread_mutex_unlock(&self->lock);
  const json_t *error = json_object_get(said, "error");
  if (error != NULL) {
    char *reason = text("the gateway says: %s", json_string_value(error));
    json_decref(said);
    return reason;
  }
  *reply = said;
  return NULL;
}

char *gateway_state(gateway *self, json_t **state) {
  json_t *line = json_pack("{s:s}", "command", "state"), *reply;
  char *reason = gateway_tell(self, line, &reply);
  json_decref(line);
  *state = json_incref(json_object_get(reply, "state"));
  json_decref(reply);
  return reason;
}

void gateway_end(gateway *self) {
  if (self->commands != NULL) {
    fclose(self->commands); // at the end of its input it ends
  }
  if (self->process > 0) {
    pthread_join(self->reader, NULL);
    waitpid(self->process, NULL, 0);
  }
  if (self->answers != NULL) {
    fclose(self->answers);
  }
  pthread_mutex_destroy(&self->lock);
  pthread_cond_destroy(&self->changed);
  json_decref(self->started);
  json_decref(self->reply);
  memset(self, 0, sizeof *self);
}
