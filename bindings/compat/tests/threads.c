// Eight threads call at random. Nobody's mapping is lost by what another thread asks for.
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "check.h"

enum { THREADS = 8, STEPS = 40 };

static void port_of(char text[6], int number) { snprintf(text, 6, "%hu", (unsigned short)number); }

static int one_port(unsigned *seed, const char *port, const char *protocol) {
  CHECK_IS(0, check_add(port, port, protocol, "0"));
  CHECK_IS(0, check_entry(port, protocol));
  if (rand_r(seed) % 2) {
    CHECK_IS(0, check_add(port, port, protocol, "600"));
  }
  CHECK_IS(0, check_entry(port, protocol));
  return check_delete(port, protocol);
}

static void one_request(unsigned *seed, uint16_t port) {
  natpmp_t p;
  natpmpresp_t response;
  CHECK_IS(0, initnatpmp(&p, 0, 0));
  CHECK_IS(12, sendnewportmappingrequest(&p, NATPMP_PROTOCOL_UDP, port, port, 600));
  int code = rand_r(seed) % 3 ? NATPMP_TRYAGAIN : 0;
  while (code == NATPMP_TRYAGAIN) {
    struct pollfd socket = {.fd = p.s, .events = POLLIN};
    poll(&socket, 1, 250);
    code = readnatpmpresponseorretry(&p, &response);
  }
  CHECK_IS(0, code);
  CHECK_IS(12, sendnewportmappingrequest(&p, NATPMP_PROTOCOL_UDP, port, port, 0));
  CHECK_IS(0, closenatpmp(&p));
}

static void *work(void *number) {
  int mine = (int)(long)number;
  unsigned seed = (unsigned)mine;
  char port[6];
  for (int step = 0; step < STEPS; step++) {
    port_of(port, 4000 + 10 * mine + rand_r(&seed) % 10);
    switch (rand_r(&seed) % 5) {
    case 0: {
      int error;
      freeUPNPDevlist(upnpDiscover(2000, NULL, NULL, 0, 0, 2, &error));
      CHECK_IS(0, error);
      break;
    }
    case 1: {
      char address[16];
      CHECK_IS(0, UPNP_GetExternalIPAddress(URL, SERVICE, address));
      break;
    }
    case 2:
      one_request(&seed, (uint16_t)(5000 + mine));
      break;
    default:
      CHECK_IS(0, one_port(&seed, port, rand_r(&seed) % 2 ? "TCP" : "UDP"));
    }
  }
  return NULL;
}

TEST(eight_threads_each_with_ports_of_its_own_get_what_they_ask_for) {
  pthread_t threads[THREADS];
  for (long i = 0; i < THREADS; i++) {
    CHECK_IS(0, pthread_create(&threads[i], NULL, work, (void *)i));
  }
  for (int i = 0; i < THREADS; i++) {
    CHECK_IS(0, pthread_join(threads[i], NULL));
  }
}

static pthread_barrier_t all;

static void *same_port(void *wanted) {
  pthread_barrier_wait(&all);
  return (void *)(long)check_add(wanted, "7000", "TCP", "0");
}

TEST(threads_that_map_one_port_at_the_same_time_all_get_it) {
  pthread_t threads[THREADS];
  for (int round = 0; round < 5; round++) {
    pthread_barrier_init(&all, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
      CHECK_IS(0, pthread_create(&threads[i], NULL, same_port, "7000"));
    }
    for (int i = 0; i < THREADS; i++) {
      void *code;
      CHECK_IS(0, pthread_join(threads[i], &code));
      CHECK_IS(0, (long)code);
    }
    CHECK_IS(0, check_entry("7000", "TCP"));
    CHECK_IS(0, check_delete("7000", "TCP"));
    pthread_barrier_destroy(&all);
  }
}

TEST(a_thread_that_is_told_success_keeps_its_port_whatever_another_one_asks_for) {
  static char *const ports[2] = {"7000", "7001"};
  for (int round = 0; round < 5; round++) {
    pthread_t threads[2];
    pthread_barrier_init(&all, NULL, 2);
    for (int i = 0; i < 2; i++) {
      CHECK_IS(0, pthread_create(&threads[i], NULL, same_port, ports[i]));
    }
    for (int i = 0; i < 2; i++) {
      void *code;
      CHECK_IS(0, pthread_join(threads[i], &code));
      if (code == NULL) {
        CHECK_IS(0, check_entry(ports[i], "TCP"));
        CHECK_IS(0, check_delete(ports[i], "TCP"));
      }
    }
    pthread_barrier_destroy(&all);
  }
}

static void *add_and_delete(void *wish) {
  pthread_barrier_wait(&all);
  for (int i = 0; i < 50; i++) {
    int code = wish == NULL ? check_delete("7002", "TCP") : check_add("7002", "7002", "TCP", "0");
    // Either may be first: the port is there, or gone, or was deleted each time that it was there. Never is it somebody else's.
    bool expected = code == UPNPCOMMAND_SUCCESS || code == (wish == NULL ? 714 : UPNPCOMMAND_HTTP_ERROR);
    CHECK_IS(expected ? code : UPNPCOMMAND_SUCCESS, code);
  }
  return NULL;
}

TEST(a_port_that_one_thread_deletes_while_another_maps_it_is_never_taken) {
  pthread_t threads[4];
  pthread_barrier_init(&all, NULL, 4);
  for (int i = 0; i < 4; i++) {
    CHECK_IS(0, pthread_create(&threads[i], NULL, add_and_delete, i % 2 ? "" : NULL));
  }
  for (int i = 0; i < 4; i++) {
    CHECK_IS(0, pthread_join(threads[i], NULL));
  }
  pthread_barrier_destroy(&all);
}

int main(void) {
  check_libraries();
  alarm(100);
  RUN(eight_threads_each_with_ports_of_its_own_get_what_they_ask_for);
  RUN(threads_that_map_one_port_at_the_same_time_all_get_it);
  RUN(a_thread_that_is_told_success_keeps_its_port_whatever_another_one_asks_for);
  RUN(a_port_that_one_thread_deletes_while_another_maps_it_is_never_taken);
  return 0;
}
