// A program whose main thread ends, while a mapper that it has started is open.
//   leave GATEWAY PCP_PORT SSDP_ADDRESS [stop|interrupt]
// With `stop` another thread stops the mapper at the end of the input, and ends. With `interrupt` one that was begun later
// than all others waits for SIGTERM; its status tells whether that thread got it.
#include <math.h>
#include <portlease.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static portlease_mapper *mapper;

static void *stop_at_the_end_of_the_input(void *nothing) {
  while (getchar() != EOF) {
  }
  portlease_mapper_stop(mapper, INFINITY, NULL, NULL);
  return nothing;
}

static pthread_t beginner, waiting;

static void tell_who_was_interrupted(int signal) {
  (void)signal;
  _exit(pthread_equal(pthread_self(), waiting) ? 3 : 4);
}

static void *wait_to_be_interrupted(void *nothing) {
  waiting = pthread_self();
  // The thread that has begun this one could take the signal as well, as long as it lives.
  pthread_join(beginner, NULL);
  printf("waiting\n");
  fflush(stdout);
  for (;;) {
    pause();
  }
  return nothing;
}

// Goes on once the main thread has ended, which the driver tells.
static void *begin_another_at_a_line(void *nothing) {
  pthread_t thread;
  beginner = pthread_self();
  if (getchar() != EOF) {
    pthread_create(&thread, NULL, wait_to_be_interrupted, NULL);
  }
  return nothing;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    return 2;
  }
  portlease_config config = PORTLEASE_INIT(portlease_config);
  config.gateway = argv[1];
  config.pcp_port = (uint16_t)atoi(argv[2]);
  config.ssdp_address = argv[3];
  portlease_request request = PORTLEASE_INIT(portlease_request);
  request.internal_port = 4000;
  request.transport = PORTLEASE_TRANSPORT_UDP;
  portlease_lease *lease;
  portlease_error error;
  if (portlease_open(&request, &config, INFINITY, &mapper, &lease, NULL, &error) != PORTLEASE_OK) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  pthread_t thread;
  if (argc > 4 && strcmp(argv[4], "stop") == 0) {
    pthread_create(&thread, NULL, stop_at_the_end_of_the_input, NULL);
  }
  if (argc > 4 && strcmp(argv[4], "interrupt") == 0) {
    struct sigaction action = {.sa_handler = tell_who_was_interrupted};
    sigaction(SIGTERM, &action, NULL);
    pthread_create(&thread, NULL, begin_another_at_a_line, NULL);
  }
  printf("mapped\n");
  fflush(stdout);
  pthread_exit(NULL);
}
