// Calls at moments at which a program hardly lives any more. Each maps a port, deletes it again at that moment, and says "ended".
//   moments atexit | static | destructor | cancel | signal | thread
#include <csignal>
#include <pthread.h>
#include <unistd.h>

#include "check.h"

static const char *moment;

static bool is(const char *name) { return strcmp(moment, name) == 0; }

static void map() { CHECK_IS(0, check_add("4000", "4000", "TCP", "0")); }

static void give_back() {
  CHECK_IS(0, check_entry("4000", "TCP"));
  CHECK_IS(0, check_delete("4000", "TCP"));
  natpmp_t p;
  CHECK_IS(0, initnatpmp(&p, 0, 0));
  CHECK_IS(2, sendpublicaddressrequest(&p));
  CHECK_IS(0, closenatpmp(&p));
  CHECK(write(STDOUT_FILENO, "ended\n", 6) == 6);
}

static struct Static {
  ~Static() {
    if (is("static")) {
      give_back();
    }
  }
} object;

__attribute__((destructor)) static void destructor() {
  if (is("destructor")) {
    give_back();
  }
}

static void *cancelled(void *) {
  pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, nullptr);
  for (;;) {
    check_add("4000", "4000", "TCP", "0");
    int error;
    freeUPNPDevlist(upnpDiscover(2000, nullptr, nullptr, 0, 0, 2, &error));
    pthread_testcancel();
  }
  return nullptr;
}

static void cancel() {
  for (int i = 0; i < 10; i++) {
    pthread_t thread;
    CHECK_IS(0, pthread_create(&thread, nullptr, cancelled, nullptr));
    map();
    CHECK_IS(0, pthread_cancel(thread));
    CHECK_IS(0, pthread_join(thread, nullptr));
  }
  map();
  give_back();
}

static void on_signal(int) { exit(0); }

static void *interrupt(void *main) {
  usleep(30'000); // some moment
  CHECK_IS(0, pthread_kill(*static_cast<pthread_t *>(main), SIGUSR1));
  return nullptr;
}

static void *busy(void *) {
  for (;;) {
    int error;
    freeUPNPDevlist(upnpDiscover(2000, nullptr, nullptr, 0, 0, 2, &error));
    check_entry("4001", "UDP");
  }
  return nullptr;
}

int main(int, char **arguments) {
  moment = arguments[1];
  check_libraries();
  alarm(60);
  if (is("atexit")) {
    CHECK_IS(0, atexit(give_back));
    map();
  } else if (is("static") || is("destructor")) {
    map();
  } else if (is("cancel")) {
    cancel();
  } else if (is("signal")) {
    // Rude, and common: exit(3) in the handler of a signal, in the middle of whatever the thread does.
    std::signal(SIGUSR1, on_signal);
    map();
    give_back();
    pthread_t thread, main = pthread_self();
    CHECK_IS(0, pthread_create(&thread, nullptr, interrupt, &main));
    for (;;) {
      int error;
      freeUPNPDevlist(upnpDiscover(2000, nullptr, nullptr, 0, 0, 2, &error));
      check_entry("4000", "TCP");
    }
  } else if (is("thread")) {
    // The end of the program in the middle of the calls of another thread.
    pthread_t thread;
    CHECK_IS(0, pthread_create(&thread, nullptr, busy, nullptr));
    map();
    give_back();
    exit(0);
  }
  return 0;
}
