// Plays every scenario of tests/scenarios, each against a simulated gateway of its own, many at once.
//   scenarios [--waits] GATEWAY_PROGRAM FOLDER [part of a file's name]
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "play.h"
#include "text.h"

// Scenarios mostly wait for lifetimes to run out, so many more of them run at once than there are processors.
enum { THREADS = 12 };

static struct {
  pthread_mutex_t lock;
  const char *gateway;
  bool by_waits;
  char **files;
  size_t count, next, failed;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int by_name(const void *one, const void *other) { return strcmp(*(char *const *)one, *(char *const *)other); }

static size_t add_files(const char *folder, const char *part) {
  DIR *entries = opendir(folder);
  size_t before = all.count;
  for (struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;) {
    size_t length = strlen(entry->d_name);
    if (length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0 && strstr(entry->d_name, part) != NULL) {
      all.files = realloc(all.files, (all.count + 1) * sizeof *all.files);
      if (all.files == NULL) {
        abort();
      }
      all.files[all.count++] = text("%s/%s", folder, entry->d_name);
    }
  }
  if (entries != NULL) {
    closedir(entries);
  }
  qsort(all.files + before, all.count - before, sizeof *all.files, by_name);
  return all.count - before;
}

// Why a scenario that is wrong on purpose was not noticed, or not where it should be; NULL where it was.
static char *must_have_failed(char *reason, const json_t *at, const json_t *fails_at) {
  char *complaint = NULL;
  if (reason == NULL) {
    complaint = text("this scenario is wrong, and the runner did not notice");
  } else if (fails_at != NULL && !json_equal(at, fails_at)) {
    char *there = written(at), *here = written(fails_at);
    complaint = text("it should fail at %s, not at %s: %s", here, there, reason);
    free(there);
    free(here);
  }
  free(reason);
  return complaint;
}

static char *play_file(const char *path, json_t **scenario) {
  bool wrong = strstr(path, "/must_fail/") != NULL;
  json_error_t error;
  *scenario = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
  char *reason = *scenario == NULL ? text("%s: %s", path, error.text) : scenario_check(*scenario);
  if (reason != NULL) {
    // What cannot even be read is noticed already, so it names no place.
    return wrong ? (free(reason), NULL) : reason;
  }
  json_t *at;
  reason = scenario_play(*scenario, all.gateway, all.by_waits, &at);
  if (wrong) {
    reason = must_have_failed(reason, at, json_object_get(*scenario, "fails_at"));
  }
  json_decref(at);
  return reason;
}

static void *work(void *nothing) {
  for (;;) {
    pthread_mutex_lock(&all.lock);
    const char *path = all.next < all.count ? all.files[all.next++] : NULL;
    pthread_mutex_unlock(&all.lock);
    if (path == NULL) {
      return nothing;
    }
    json_t *scenario;
    char *reason = play_file(path, &scenario);
    const char *sentence = json_string_value(json_object_get(scenario, "name"));
    const char *name = strrchr(path, '/') + 1;
    pthread_mutex_lock(&all.lock);
    printf("%s %s%.*s: %s\n", reason == NULL ? "ok  " : "FAIL", strstr(path, "/must_fail/") ? "must fail: " : "",
           (int)strlen(name) - 5, name, sentence != NULL ? sentence : "");
    if (reason != NULL) {
      printf("  %s\n", reason);
      all.failed++;
    }
    fflush(stdout);
    pthread_mutex_unlock(&all.lock);
    free(reason);
    json_decref(scenario);
  }
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--waits") == 0) {
    all.by_waits = true;
    argv++, argc--;
  }
  if (argc < 3 || argc > 4) {
    fprintf(stderr, "usage: scenarios [--waits] GATEWAY_PROGRAM FOLDER [part of a file's name]\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN); // a gateway that is gone is a failed scenario
  all.gateway = argv[1];
  const char *part = argc == 4 ? argv[3] : "";
  char *wrong = text("%s/must_fail", argv[2]);
  size_t right_ones = add_files(argv[2], part), wrong_ones = add_files(wrong, part);
  free(wrong);
  if (part[0] == '\0' && (right_ones < 25 || wrong_ones < 5)) {
    fprintf(stderr, "scenarios: found only %zu and %zu in %s\n", right_ones, wrong_ones, argv[2]);
    return 1;
  }
  pthread_t threads[THREADS];
  for (size_t i = 0; i < THREADS; i++) {
    if (pthread_create(&threads[i], NULL, work, NULL) != 0) {
      abort();
    }
  }
  for (size_t i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
  }
  printf("%zu scenarios, %zu failed\n", all.count, all.failed);
  for (size_t i = 0; i < all.count; i++) {
    free(all.files[i]);
  }
  free(all.files);
  return all.failed == 0 ? 0 : 1;
}
