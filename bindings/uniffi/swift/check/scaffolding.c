/* Does through the generated header what the generated Swift does: lowers arguments into buffers, makes handles, polls
 * futures until they are ready, lifts results. Arguments: the gateway's address, PCP port and SSDP address. */

#include <portleaseFFI.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTRACT_VERSION = 30, POLL_READY = 0, OK = 0, ERROR = 1, PORT = 4000, TRANSPORT_UDP = 1, RELEASED = 1 };

static void require(int condition, const char *what) {
  if (!condition) {
    fprintf(stderr, "scaffolding.c: not so: %s\n", what);
    exit(1);
  }
}

/* Buffers, in which numbers are big-endian and options begin with 0 or 1. */

typedef struct {
  uint8_t bytes[256];
  int32_t length;
} Writer;

static void put(Writer *writer, const void *bytes, size_t length) {
  require(writer->length + length <= sizeof writer->bytes, "the arguments fit");
  memcpy(writer->bytes + writer->length, bytes, length);
  writer->length += (int32_t)length;
}

static void put_byte(Writer *writer, uint8_t byte) { put(writer, &byte, 1); }

static void put_int(Writer *writer, int32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) put_byte(writer, (uint8_t)((uint32_t)number >> shift));
}

static void put_text(Writer *writer, const char *text) {
  put_byte(writer, 1);
  put_int(writer, (int32_t)strlen(text));
  put(writer, text, strlen(text));
}

static void put_nothing(Writer *writer, int times) {
  while (times-- > 0) put_byte(writer, 0);
}

static RustBuffer lower(const Writer *writer) {
  RustCallStatus status = {0};
  ForeignBytes bytes = {writer->length, writer->bytes};
  RustBuffer buffer = ffi_portlease_uniffi_rustbuffer_from_bytes(bytes, &status);
  require(status.code == OK, "the library takes a buffer");
  return buffer;
}

static RustBuffer nothing(void) {
  Writer writer = {0};
  put_nothing(&writer, 1);
  return lower(&writer);
}

static int contains(RustBuffer buffer, const char *text) {
  size_t length = strlen(text);
  for (size_t i = 0; i + length <= buffer.len; i++)
    if (memcmp(buffer.data + i, text, length) == 0) return 1;
  return 0;
}

static void release(RustBuffer buffer) {
  RustCallStatus status = {0};
  ffi_portlease_uniffi_rustbuffer_free(buffer, &status);
  require(status.code == OK, "the library takes its buffer back");
}

/* Futures. */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;
static int answer;

static void wake(uint64_t data, int8_t poll) {
  require(data == 7, "the callback gets its own data");
  pthread_mutex_lock(&mutex);
  answer = poll;
  pthread_cond_signal(&woken);
  pthread_mutex_unlock(&mutex);
}

typedef void (*Poll)(uint64_t, UniffiRustFutureContinuationCallback, uint64_t);

static void await(uint64_t future, Poll poll) {
  int seen;
  do {
    answer = -1;
    poll(future, wake, 7);
    pthread_mutex_lock(&mutex);
    while (answer < 0) pthread_cond_wait(&woken, &mutex);
    seen = answer;
    pthread_mutex_unlock(&mutex);
  } while (seen != POLL_READY);
}

/* The calls. */

static RustBuffer config(const char *gateway, int32_t pcp_port, const char *ssdp_address) {
  Writer writer = {0};
  put_text(&writer, gateway);
  put_nothing(&writer, 9); /* up to the description */
  put_byte(&writer, 1);
  put_int(&writer, pcp_port);
  put_text(&writer, ssdp_address);
  put_nothing(&writer, 1); /* state folder */
  return lower(&writer);
}

static RustBuffer request(void) {
  Writer writer = {0};
  put_int(&writer, PORT);
  put_int(&writer, TRANSPORT_UDP);
  put_nothing(&writer, 5); /* external port, exact, family, lifetime, description */
  return lower(&writer);
}

int main(int count, char **arguments) {
  require(count == 4, "there are three arguments");
  require(ffi_portlease_uniffi_uniffi_contract_version() == CONTRACT_VERSION, "the contract's version");
  require(uniffi_portlease_uniffi_checksum_method_mapper_stop() != 0, "the library has checksums");

  RustCallStatus status = {0};
  uniffi_portlease_uniffi_fn_constructor_mapper_start(config("fritz.box", 5351, "127.0.0.1:1900"), &status);
  require(status.code == ERROR && contains(status.errorBuf, "`fritz.box` is not an IP address"), "a bad setting is refused");
  release(status.errorBuf);

  status = (RustCallStatus){0};
  uint64_t mapper = uniffi_portlease_uniffi_fn_constructor_mapper_start(
      config(arguments[1], atoi(arguments[2]), arguments[3]), &status);
  require(status.code == OK && mapper != 0, "the mapper starts");

  /* A call consumes the handle that it is given, so each gets a clone. */
  uint64_t lease = uniffi_portlease_uniffi_fn_method_mapper_map(
      uniffi_portlease_uniffi_fn_clone_mapper(mapper, &status), request(), &status);
  require(status.code == OK && lease != 0, "the port is being mapped");

  uint64_t ready = uniffi_portlease_uniffi_fn_method_lease_ready(
      uniffi_portlease_uniffi_fn_clone_lease(lease, &status), nothing());
  await(ready, ffi_portlease_uniffi_rust_future_poll_rust_buffer);
  RustBuffer snapshot = ffi_portlease_uniffi_rust_future_complete_rust_buffer(ready, &status);
  require(status.code == OK && contains(snapshot, "192.0.1.1:4000"), "the port is mapped");
  release(snapshot);
  ffi_portlease_uniffi_rust_future_free_rust_buffer(ready);

  uint64_t stop = uniffi_portlease_uniffi_fn_method_mapper_stop(
      uniffi_portlease_uniffi_fn_clone_mapper(mapper, &status), nothing());
  await(stop, ffi_portlease_uniffi_rust_future_poll_rust_buffer);
  RustBuffer how = ffi_portlease_uniffi_rust_future_complete_rust_buffer(stop, &status);
  require(status.code == OK && how.len == 4 && how.data[3] == RELEASED, "the mapper has stopped, and nothing is left");
  release(how);
  ffi_portlease_uniffi_rust_future_free_rust_buffer(stop);

  uniffi_portlease_uniffi_fn_free_lease(lease, &status);
  uniffi_portlease_uniffi_fn_free_mapper(mapper, &status);
  require(status.code == OK, "the handles are let go");
  return 0;
}
