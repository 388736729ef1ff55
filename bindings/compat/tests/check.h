// Tests that read as sentences, and the headers of the libraries that are imitated.
//   API=18 compiles for libminiupnpc 2.2.8, whose headers differ from those of 2.2.4 in one function alone.
#ifndef CHECK_H
#define CHECK_H

#define ENABLE_STRNATPMPERR
#include <dlfcn.h>
#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/miniwget.h>
#include <miniupnpc/portlistingparse.h>
#include <miniupnpc/upnpcommands.h>
#include <miniupnpc/upnperrors.h>
#include <miniupnpc/upnpreplyparse.h>
#include <natpmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef API
#define API 17
#endif
#if API >= 18 && MINIUPNPC_API_VERSION < 18
int valid_igd_18(struct UPNPDev *, struct UPNPUrls *, struct IGDdatas *, char *, int, char *, int) __asm__("UPNP_GetValidIGD");
#define VALID_IGD valid_igd_18
#else
#define VALID_IGD UPNP_GetValidIGD
#endif

// UPNP_GetValidIGD of either API.
static inline int check_igd(struct UPNPDev *devices, struct UPNPUrls *urls, struct IGDdatas *data, char *lan, int lan_size,
                            char *wan, int wan_size) {
#if API >= 18
  return VALID_IGD(devices, urls, data, lan, lan_size, wan, wan_size);
#else
  if (wan != NULL && wan_size > 0) {
    wan[0] = '\0';
  }
  return VALID_IGD(devices, urls, data, lan, lan_size);
#endif
}

#define TEST(sentence) static void sentence(void)

#define CHECK(holds) ((holds) ? (void)0 : check_failed(__FILE__, __LINE__, #holds))

// That a call answers this number.
#define CHECK_IS(wanted, call) check_is(__FILE__, __LINE__, #call, (wanted), (call))

#define RUN(sentence)                                  \
  do {                                                 \
    sentence();                                        \
    char shown[] = #sentence;                          \
    for (char *at = shown; *at != '\0'; at++) {        \
      *at = *at == '_' ? ' ' : *at;                    \
    }                                                  \
    printf("ok   %s\n", shown);                        \
    fflush(stdout);                                    \
  } while (0)

static inline void check_failed(const char *file, int line, const char *what) {
  fprintf(stderr, "FAIL %s:%d: %s\n", file, line, what);
  _Exit(1);
}

static inline void check_is(const char *file, int line, const char *call, long wanted, long got) {
  if (wanted != got) {
    fprintf(stderr, "FAIL %s:%d: %s is %ld, not %ld\n", file, line, call, got, wanted);
    _Exit(1);
  }
}

// Ends the program unless the libraries are portlease's and a gateway is named: the real ones would search the network.
static inline void check_libraries(void) {
  void *functions[] = {(void *)&FreeUPNPUrls, (void *)&VALID_IGD, (void *)&closenatpmp};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    Dl_info where;
    CHECK(dladdr(functions[i], &where) != 0 && strstr(where.dli_fname, "portlease-compat/") != NULL);
  }
  CHECK(getenv("PORTLEASE_GATEWAY") != NULL);
}

// What most programs pass on.
#define URL "http://127.0.0.1:5351/portlease/control"
#define SERVICE "urn:schemas-upnp-org:service:WANIPConnection:1"
#define HOST "127.0.0.1"

static inline int check_add(const char *external, const char *internal, const char *protocol, const char *lease) {
  return UPNP_AddPortMapping(URL, SERVICE, external, internal, HOST, "test", protocol, NULL, lease);
}

static inline int check_delete(const char *external, const char *protocol) {
  return UPNP_DeletePortMapping(URL, SERVICE, external, protocol, NULL);
}

// What a router's table has at a port: 0, or 714.
static inline int check_entry(const char *external, const char *protocol) {
  char client[16], port[6];
  return UPNP_GetSpecificPortMappingEntry(URL, SERVICE, external, protocol, NULL, client, port, NULL, NULL, NULL);
}

#endif
