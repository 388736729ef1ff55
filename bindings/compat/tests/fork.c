// The child of a fork has the parent's memory but not its threads: it must neither hang nor touch the parent's mappings.
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static natpmp_t natpmp;

// Runs it in a child, which then ends by exit(3), and waits for that; the child's status is 0 where all its checks held.
static void in_a_child(void (*work)(void)) {
  fflush(stdout);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(60); // a child that hangs is a failure, not a wait
    work();
    exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int finish(natpmp_t *p, natpmpresp_t *response) {
  int code;
  while ((code = readnatpmpresponseorretry(p, response)) == NATPMP_TRYAGAIN) {
    struct timeval timeout;
    CHECK_IS(0, getnatpmprequesttimeout(p, &timeout));
    struct pollfd socket = {.fd = p->s, .events = POLLIN};
    poll(&socket, 1, (int)(timeout.tv_sec * 1000 + timeout.tv_usec / 1000));
  }
  return code;
}

static void do_nothing(void) {}

TEST(a_child_that_ends_takes_nothing_of_its_parent_along) {
  CHECK_IS(0, check_add("4000", "4000", "TCP", "0"));
  in_a_child(do_nothing);
  CHECK_IS(0, check_entry("4000", "TCP"));
  CHECK_IS(0, check_delete("4000", "TCP"));
}

static void map_and_delete(void) {
  int error;
  struct UPNPDev *devices = upnpDiscover(2000, NULL, NULL, 0, 0, 2, &error);
  CHECK(devices != NULL && error == 0);
  freeUPNPDevlist(devices);
  CHECK_IS(0, check_add("4001", "4001", "TCP", "0"));
  CHECK_IS(0, check_entry("4001", "TCP"));
  CHECK_IS(0, check_delete("4001", "TCP"));
}

TEST(a_child_may_map_ports_of_its_own) {
  CHECK_IS(0, check_add("4000", "4000", "TCP", "0"));
  in_a_child(map_and_delete);
  CHECK_IS(0, check_entry("4000", "TCP"));
  CHECK_IS(0, check_delete("4000", "TCP"));
}

static void in_a_grandchild(void) { in_a_child(map_and_delete); }

TEST(a_child_of_the_child_is_another_process_too) { in_a_child(in_a_grandchild); }

static void ask(void) {
  natpmpresp_t response;
  CHECK_IS(2, sendpublicaddressrequest(&natpmp));
  CHECK_IS(0, finish(&natpmp, &response));
  CHECK(response.type == NATPMP_RESPTYPE_PUBLICADDRESS);
  CHECK_IS(12, sendnewportmappingrequest(&natpmp, NATPMP_PROTOCOL_UDP, 4002, 4002, 600));
  CHECK_IS(0, finish(&natpmp, &response));
  CHECK_IS(12, sendnewportmappingrequest(&natpmp, NATPMP_PROTOCOL_UDP, 4002, 4002, 0));
  CHECK_IS(0, finish(&natpmp, &response));
  CHECK_IS(0, closenatpmp(&natpmp));
}

TEST(a_struct_from_before_the_fork_works_in_the_child_and_still_in_the_parent) {
  CHECK_IS(0, initnatpmp(&natpmp, 0, 0));
  in_a_child(ask);
  ask();
}

static void forget_the_request(void) {
  natpmpresp_t response;
  CHECK_IS(NATPMP_ERR_NOPENDINGREQ, readnatpmpresponseorretry(&natpmp, &response));
  CHECK_IS(0, closenatpmp(&natpmp));
}

TEST(what_the_parent_has_asked_for_the_child_does_not_wait_for) {
  CHECK_IS(0, initnatpmp(&natpmp, 0, 0));
  CHECK_IS(2, sendpublicaddressrequest(&natpmp));
  in_a_child(forget_the_request);
  natpmpresp_t response;
  CHECK_IS(0, finish(&natpmp, &response));
  CHECK_IS(0, closenatpmp(&natpmp));
}

static void close_what_is_inherited(void) {
  CHECK_IS(0, closenatpmp(&natpmp));
  CHECK_IS(NATPMP_ERR_CLOSEERR, closenatpmp(&natpmp));
}

TEST(a_child_may_close_what_it_has_inherited) {
  CHECK_IS(0, initnatpmp(&natpmp, 0, 0));
  in_a_child(close_what_is_inherited);
  ask();
}

static natpmp_t copy;

static void close_a_copy(void) {
  CHECK_IS(0, initnatpmp(&natpmp, 0, 0));
  closenatpmp(&copy);
  natpmpresp_t response;
  CHECK_IS(2, sendpublicaddressrequest(&natpmp));
  CHECK_IS(0, finish(&natpmp, &response));
}

TEST(a_child_that_closes_a_copy_of_what_its_parent_has_closed_closes_nothing_else) {
  CHECK_IS(0, initnatpmp(&natpmp, 0, 0));
  copy = natpmp;
  CHECK_IS(0, closenatpmp(&natpmp));
  in_a_child(close_a_copy);
}

#ifndef __SANITIZE_ADDRESS__
static volatile bool over;

static void *map_all_the_time(void *port) {
  while (!over) {
    check_add(port, port, "UDP", "0");
    check_delete(port, "UDP");
  }
  return NULL;
}

TEST(a_fork_in_the_middle_of_calls_of_other_threads_harms_nobody) {
  pthread_t threads[3];
  static char ports[3][6] = {"4010", "4011", "4012"};
  for (int i = 0; i < 3; i++) {
    CHECK_IS(0, pthread_create(&threads[i], NULL, map_all_the_time, ports[i]));
  }
  for (int i = 0; i < 10; i++) {
    in_a_child(map_and_delete);
  }
  over = true;
  for (int i = 0; i < 3; i++) {
    CHECK_IS(0, pthread_join(threads[i], NULL));
  }
}
#endif

// As daemon(3): a program maps a port and forks, the parent ends in its way, and the child maps the port again.
static void go_into_the_background(void (*end)(int), const char *port) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  fflush(stdout);
  pid_t parent = fork();
  CHECK(parent >= 0);
  if (parent == 0) {
    alarm(60);
    CHECK_IS(0, check_add(port, port, "TCP", "0"));
    pid_t own = getpid();
    if (fork() != 0) {
      end(0);
    }
    alarm(60);
    while (getppid() == own) {
      usleep(1000); // until the parent has ended
    }
    CHECK_IS(0, check_add(port, port, "TCP", "0"));
    CHECK_IS(0, check_entry(port, "TCP"));
    CHECK(write(ends[1], "", 1) == 1);
    _exit(0);
  }
  CHECK(waitpid(parent, NULL, 0) == parent && close(ends[1]) == 0);
  char done;
  CHECK(read(ends[0], &done, 1) == 1 && close(ends[0]) == 0);
  CHECK_IS(0, check_entry(port, "TCP"));
}

TEST(a_program_that_goes_into_the_background_keeps_what_it_has_mapped_before) {
  go_into_the_background(exit, "4020");
  go_into_the_background(_exit, "4021");
}

int main(void) {
  check_libraries();
  alarm(100);
  RUN(a_child_that_ends_takes_nothing_of_its_parent_along);
  RUN(a_child_may_map_ports_of_its_own);
  RUN(a_child_of_the_child_is_another_process_too);
  RUN(a_struct_from_before_the_fork_works_in_the_child_and_still_in_the_parent);
  RUN(what_the_parent_has_asked_for_the_child_does_not_wait_for);
  RUN(a_child_may_close_what_it_has_inherited);
  RUN(a_child_that_closes_a_copy_of_what_its_parent_has_closed_closes_nothing_else);
#ifndef __SANITIZE_ADDRESS__ // whose allocator has locks of its own that a fork leaves held
  RUN(a_fork_in_the_middle_of_calls_of_other_threads_harms_nobody);
#endif
  RUN(a_program_that_goes_into_the_background_keeps_what_it_has_mapped_before);
  return 0;
}
