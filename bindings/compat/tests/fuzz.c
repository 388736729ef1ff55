// Calls all functions of both libraries at random, in several threads, with arguments that programs give and some that none should.
//   fuzz SEED SECONDS THREADS
// Prints how many calls it has made. Every place for an answer is memory of its own of just the size that the headers promise. The
// same seed makes the same choices; what a router answers meanwhile may differ.
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"

enum { STRUCTS = 4, PLACES = 16, HANGS = 90 };

// What one thread has; nobody else touches it.
typedef struct {
  unsigned seed;
  struct UPNPDev *devices[STRUCTS];
  struct UPNPUrls urls[STRUCTS];
  struct IGDdatas *data;
  natpmp_t natpmp[STRUCTS];
  struct PortMappingParserData listing;
  struct NameValueParserData values;
  char *place[PLACES];
  int places;
  char text[PLACES][6000];
  int texts;
  unsigned long calls;
  // Which of them has been made.
  bool made[FUNCTIONS];
} thread;

static atomic_long calls_of_all;
static atomic_bool over;
static int seconds, threads;

static unsigned below(thread *t, unsigned bound) { return (unsigned)rand_r(&t->seed) % bound; }

static bool one_in(thread *t, unsigned many) { return below(t, many) == 0; }

// --- arguments ---

static const char *text(thread *t, const char *const *usual, unsigned count) {
  static const char *const strange[] = {
      "", " ", "0", "-1", "65536", "99999999999999999999", "\xff\xfe", "%s%n", "4000\n", "*", "0.0.0.0", "127.0.0.9", "::1", "TCP", "1",
  };
  if (!one_in(t, 5)) {
    return usual[below(t, count)];
  }
  switch (below(t, 3)) {
  case 0:
    return NULL;
  case 1:
    return strange[below(t, sizeof strange / sizeof *strange)];
  default: {
    char *own = t->text[t->texts++ % PLACES];
    size_t length = one_in(t, 4) ? 5999 : below(t, 80);
    for (size_t i = 0; i < length; i++) {
      own[i] = (char)(1 + below(t, 255));
    }
    own[length] = '\0';
    return own;
  }
  }
}

#define TEXT(...)                                                                 \
  text(t, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))
#define A_URL TEXT(URL, t->urls[below(t, STRUCTS)].controlURL)
#define DESCRIPTION TEXT("http://127.0.0.1:5351/portlease/device.xml", "http://127.0.0.1/", "https://[::1]:99999/")
#define A_SERVICE TEXT(SERVICE)
#define PORT TEXT("4000", "4001", "4002", "4003")
#define PROTOCOL TEXT("TCP", "UDP", "tcp")
#define CLIENT TEXT(HOST, HOST, HOST, "127.0.0.9")
#define LEASE TEXT("0", "60", "3600", NULL, "1")
#define REMOTE TEXT(NULL, NULL, "", "8.8.8.8")

static int number(thread *t) {
  static const int some[] = {0, 1, 2, -1, 6, 17, 2000, 65535, 65536, 0x7fffffff, (int)0x80000000};
  return some[below(t, sizeof some / sizeof *some)];
}

// Memory that is filled with what is no text, or NULL.
static void *place(thread *t, size_t size) {
  if (one_in(t, 6)) {
    return NULL;
  }
  char *room = malloc(size);
  CHECK(room != NULL && t->places < PLACES);
  memset(room, 0x7f, size);
  return t->place[t->places++] = room;
}

static void free_places(thread *t) {
  while (t->places > 0) {
    free(t->place[--t->places]);
  }
}

static struct UPNPDev **devices(thread *t) { return &t->devices[below(t, STRUCTS)]; }

static struct UPNPUrls *urls(thread *t) { return &t->urls[below(t, STRUCTS)]; }

static natpmp_t *natpmp(thread *t) { return one_in(t, 20) ? NULL : &t->natpmp[below(t, STRUCTS)]; }

static void keep(thread *t, struct UPNPDev *found) {
  struct UPNPDev **to = devices(t);
  freeUPNPDevlist(*to);
  *to = found;
}

// A code that some header or standard knows.
static void check_code(int code) { CHECK(code >= -102 && code < 800); }

// --- calls ---

static void map_or_delete(thread *t, int function) {
  switch (function) {
  case 0:
  case 1:
    check_code(UPNP_AddPortMapping(A_URL, A_SERVICE, PORT, PORT, CLIENT, TEXT("fuzz", NULL), PROTOCOL, REMOTE, LEASE));
    break;
  case 2:
    check_code(UPNP_AddAnyPortMapping(A_URL, A_SERVICE, PORT, PORT, CLIENT, TEXT("fuzz"), PROTOCOL, REMOTE, LEASE, place(t, 6)));
    break;
  case 3:
    check_code(UPNP_DeletePortMapping(A_URL, A_SERVICE, PORT, PROTOCOL, REMOTE));
    break;
  case 4:
    check_code(UPNP_DeletePortMappingRange(A_URL, A_SERVICE, PORT, PORT, PROTOCOL, TEXT("0", "1")));
    break;
  case 5:
    check_code(UPNP_GetSpecificPortMappingEntry(A_URL, A_SERVICE, PORT, PROTOCOL, REMOTE, place(t, 16), place(t, 6), place(t, 80),
                                                place(t, 4), place(t, 16)));
    break;
  case 6:
    check_code(UPNP_GetGenericPortMappingEntry(A_URL, A_SERVICE, TEXT("0", "1", "2", "1000"), place(t, 6), place(t, 16), place(t, 6),
                                               place(t, 4), place(t, 80), place(t, 4), place(t, 64), place(t, 16)));
    break;
  case 7:
    check_code(UPNP_GetPortMappingNumberOfEntries(A_URL, A_SERVICE, place(t, sizeof(unsigned))));
    break;
  case 8:
    FreePortListing(&t->listing);
    check_code(UPNP_GetListOfPortMappings(A_URL, A_SERVICE, TEXT("1", "4000"), TEXT("65535"), PROTOCOL, TEXT("1000", "1"),
                                          one_in(t, 6) ? NULL : &t->listing));
    break;
  default:
    FreePortListing(&t->listing);
    FreePortListing(NULL);
    ParsePortListing(TEXT("<a/>"), number(t), one_in(t, 6) ? NULL : &t->listing);
  }
}

static void find(thread *t, int function) {
  int size = number(t) % 64, *error = place(t, sizeof(int));
  const char *types[] = {TEXT("upnp:rootdevice", "urn:schemas-upnp-org:device:InternetGatewayDevice:1"), NULL};
  switch (function) {
  case 0:
    keep(t, upnpDiscover(number(t), TEXT(NULL, "lo"), TEXT(NULL), number(t), one_in(t, 8), 2, error));
    break;
  case 1:
    keep(t, upnpDiscoverAll(number(t), TEXT(NULL), TEXT(NULL), number(t), number(t), 2, error));
    break;
  case 2:
    keep(t, upnpDiscoverDevice(types[0], number(t), TEXT(NULL), TEXT(NULL), number(t), 0, 2, error));
    break;
  case 3:
    keep(t, upnpDiscoverDevices(one_in(t, 5) ? NULL : types, number(t), TEXT(NULL), TEXT(NULL), number(t), 0, 2, error, number(t)));
    break;
  case 4:
    keep(t, NULL);
    break;
  case 5: {
    struct UPNPUrls *to = urls(t);
    FreeUPNPUrls(to);
    char *lan = size > 0 ? place(t, (size_t)size) : NULL, *wan = size > 0 ? place(t, (size_t)size) : NULL;
    int code = check_igd(*devices(t), one_in(t, 6) ? NULL : to, one_in(t, 6) ? NULL : t->data, lan, size, wan, size);
    CHECK(code >= 0 && code <= 3);
    break;
  }
  case 6: {
    struct UPNPUrls *to = urls(t);
    FreeUPNPUrls(to);
    CHECK((UPNP_GetIGDFromUrl(DESCRIPTION, to, t->data, place(t, 64), 64) & ~1) == 0);
    break;
  }
  case 7: {
    struct UPNPUrls *to = urls(t);
    FreeUPNPUrls(to);
    if (one_in(t, 8)) {
      memset(t->data, 0x7f, sizeof *t->data);
    }
    GetUPNPUrls(one_in(t, 6) ? NULL : to, one_in(t, 6) ? NULL : t->data, DESCRIPTION, (unsigned)number(t));
    break;
  }
  case 8:
    FreeUPNPUrls(one_in(t, 6) ? NULL : urls(t));
    break;
  default:
    CHECK((UPNPIGD_IsConnected(urls(t), t->data) & ~1) == 0);
  }
}

static void status(thread *t, int function) {
  switch (function) {
  case 0:
    check_code(UPNP_GetExternalIPAddress(A_URL, A_SERVICE, place(t, 16)));
    break;
  case 1:
    check_code(UPNP_GetStatusInfo(A_URL, A_SERVICE, place(t, 64), place(t, sizeof(unsigned)), place(t, 64)));
    break;
  case 2:
    check_code(UPNP_GetConnectionTypeInfo(A_URL, A_SERVICE, place(t, 64)));
    break;
  case 3:
    check_code(UPNP_GetLinkLayerMaxBitRates(A_URL, A_SERVICE, place(t, sizeof(unsigned)), place(t, sizeof(unsigned))));
    break;
  case 4:
    UPNP_GetTotalBytesSent(A_URL, A_SERVICE);
    break;
  case 5:
    UPNP_GetTotalBytesReceived(A_URL, A_SERVICE);
    break;
  case 6:
    UPNP_GetTotalPacketsSent(A_URL, A_SERVICE);
    break;
  case 7:
    UPNP_GetTotalPacketsReceived(A_URL, A_SERVICE);
    break;
  case 8:
    CHECK(strupnperror(number(t)) != NULL);
    break;
  default:
    CHECK((addr_is_reserved(TEXT(HOST, "8.8.8.8")) & ~1) == 0);
  }
}

static void pinholes(thread *t, int function) {
  switch (function) {
  case 0:
    check_code(UPNP_GetFirewallStatus(A_URL, A_SERVICE, place(t, sizeof(int)), place(t, sizeof(int))));
    break;
  case 1:
    check_code(UPNP_GetOutboundPinholeTimeout(A_URL, A_SERVICE, REMOTE, PORT, CLIENT, PORT, PROTOCOL, place(t, sizeof(int))));
    break;
  case 2:
    check_code(UPNP_AddPinhole(A_URL, A_SERVICE, REMOTE, PORT, CLIENT, PORT, PROTOCOL, LEASE, place(t, 8)));
    break;
  case 3:
    check_code(UPNP_UpdatePinhole(A_URL, A_SERVICE, TEXT("1"), LEASE));
    break;
  case 4:
    check_code(UPNP_DeletePinhole(A_URL, A_SERVICE, TEXT("1")));
    break;
  case 5:
    check_code(UPNP_CheckPinholeWorking(A_URL, A_SERVICE, TEXT("1"), place(t, sizeof(int))));
    break;
  case 6:
    check_code(UPNP_GetPinholePackets(A_URL, A_SERVICE, TEXT("1"), place(t, sizeof(int))));
    break;
  case 7:
    CHECK(simpleUPnPcommand(-1, A_URL, A_SERVICE, TEXT("GetStatusInfo"), NULL, place(t, sizeof(int))) == NULL);
    break;
  case 8:
    CHECK(parseURL(A_URL, place(t, 65), place(t, sizeof(short)), place(t, sizeof(char *)), place(t, sizeof(unsigned))) == 0);
    break;
  default:
    CHECK(soapPostSubmit(-1, A_URL, HOST, 80, TEXT("x"), TEXT("x"), "1.1") < 0);
  }
}

static void parts(thread *t, int function) {
  int *size = place(t, sizeof(int)), *code = place(t, sizeof(int));
  switch (function) {
  case 0: {
    char *document = one_in(t, 2) ? miniwget(DESCRIPTION, size, (unsigned)number(t), code)
                                  : miniwget_getaddr(DESCRIPTION, size, place(t, 64), 64, 0, code);
    int length = document == NULL ? (one_in(t, 2) ? -1 : 100) : (int)strlen(document) - (int)below(t, 2);
    parserootdesc(document, length, one_in(t, 8) ? NULL : t->data);
    free(document);
    break;
  }
  case 1:
    ClearNameValueList(&t->values);
    ParseNameValue(TEXT("<a>b</a>"), number(t), one_in(t, 6) ? NULL : &t->values);
    break;
  case 2: {
    struct NameValue *pair = calloc(1, sizeof *pair);
    CHECK(pair != NULL);
    *pair = (struct NameValue){.l_next = t->values.l_head, .name = "NewEnabled"};
    t->values.l_head = pair;
    break;
  }
  case 3:
    GetValueFromNameValueList(one_in(t, 6) ? NULL : &t->values, TEXT("NewEnabled", "NewOther"));
    break;
  case 4:
    ClearNameValueList(one_in(t, 6) ? NULL : &t->values);
    break;
  case 5:
    CHECK(connecthostport(HOST, 80, 0) < 0 && getHTTPResponse(-1, size, code) == NULL && receivedata(-1, NULL, 0, 0, NULL) < 0);
    break;
  case 6:
    CHECK(connectToMiniSSDPD(TEXT("/run/x")) < 0 && requestDevicesFromMiniSSDPD(-1, TEXT("x")) < 0);
    disconnectFromMiniSSDPD(-1);
    break;
  case 7:
    CHECK(receiveDevicesFromMiniSSDPD(-1, code) == NULL && getDevicesFromMiniSSDPD(TEXT("x"), TEXT("x"), code) == NULL);
    break;
  case 8:
    CHECK(ssdpDiscoverDevices(NULL, 0, NULL, 0, 0, 2, code, 0) == NULL);
    break;
  default:
    parsexml(NULL);
    IGDstartelt(t->data, TEXT("a"), 1);
    IGDdata(t->data, TEXT("a"), 1);
    IGDendelt(t->data, TEXT("a"), 1);
  }
}

static void requests(thread *t, int function) {
  natpmp_t *p = natpmp(t);
  natpmpresp_t *response = place(t, sizeof *response);
  switch (function) {
  case 0:
    if (p != NULL) {
      closenatpmp(p);
    }
    check_code(initnatpmp(p, one_in(t, 5), inet_addr(one_in(t, 3) ? "127.0.0.77" : HOST)));
    break;
  case 1:
    check_code(closenatpmp(p));
    break;
  case 2:
    check_code(sendpublicaddressrequest(p));
    break;
  case 3:
  case 4:
    check_code(sendnewportmappingrequest(p, one_in(t, 8) ? number(t) : 1 + (int)below(t, 2), (uint16_t)(one_in(t, 8) ? 0 : 4000 + below(t, 4)),
                                         (uint16_t)(one_in(t, 8) ? 0 : 4000 + below(t, 4)), below(t, 3) * 1800));
    break;
  case 5:
    check_code(getnatpmprequesttimeout(p, place(t, sizeof(struct timeval))));
    break;
  case 6:
  case 7:
    check_code(one_in(t, 3) ? readnatpmpresponse(p, response) : readnatpmpresponseorretry(p, response));
    break;
  case 8:
    check_code(one_in(t, 2) ? sendpendingrequest(p) : sendnatpmprequest(p));
    CHECK(getdefaultgateway(place(t, sizeof(in_addr_t))) >= -1 && strnatpmperr(number(t)) != NULL);
    break;
  default:
    if (p == NULL) {
      break;
    }
    closenatpmp(p);
    if (one_in(t, 2)) {
      *p = t->natpmp[below(t, STRUCTS)];
    } else {
      // What nobody has initialized.
      memset(p, (int)below(t, 256), sizeof *p);
    }
  }
}

static void (*const groups[])(thread *, int) = {map_or_delete, find, status, pinholes, parts, requests, requests};

static void step(thread *t) {
  int group = (int)below(t, sizeof groups / sizeof *groups), function = (int)below(t, EACH);
  groups[group](t, function);
  free_places(t);
  t->made[(group < GROUPS ? group : GROUPS - 1) * EACH + function] = true;
  t->calls++;
}

#ifndef __SANITIZE_ADDRESS__ // whose allocator has locks of its own that a fork leaves held
// A child that makes some calls and ends.
static void in_a_child(thread *t) {
  fflush(stdout);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(HANGS);
    for (int i = 0; i < 20; i++) {
      step(t);
    }
    exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
#endif

static void *work(void *seed) {
  thread *t = calloc(1, sizeof *t);
  CHECK(t != NULL && (t->data = calloc(1, sizeof *t->data)) != NULL);
  t->seed = (unsigned)(long)seed;
  while (!over) {
    step(t);
#ifndef __SANITIZE_ADDRESS__
    if (one_in(t, 400)) {
      in_a_child(t);
    }
#endif
  }
  for (int i = 0; i < STRUCTS; i++) {
    freeUPNPDevlist(t->devices[i]);
    FreeUPNPUrls(&t->urls[i]);
    closenatpmp(&t->natpmp[i]);
  }
  FreePortListing(&t->listing);
  ClearNameValueList(&t->values);
  calls_of_all += (long)t->calls;
  for (int i = 0; seconds >= 10 && i < FUNCTIONS; i++) {
    CHECK(t->made[i]);
  }
  free(t->data);
  free(t);
  return NULL;
}

int main(int count, char **arguments) {
  check_libraries();
  CHECK(count == 4);
  long seed = strtol(arguments[1], NULL, 0);
  seconds = atoi(arguments[2]), threads = atoi(arguments[3]);
  CHECK(threads >= 1 && threads <= 16);
  printf("seed %ld\n", seed);
  fflush(stdout);
  alarm((unsigned)(seconds + HANGS));
  pthread_t thread[16];
  for (long i = 0; i < threads; i++) {
    CHECK_IS(0, pthread_create(&thread[i], NULL, work, (void *)(seed * 16 + i)));
  }
  sleep((unsigned)seconds);
  over = true;
  for (int i = 0; i < threads; i++) {
    CHECK_IS(0, pthread_join(thread[i], NULL));
  }
  printf("seed %ld calls %ld\n", seed, (long)calls_of_all);
  return 0;
}
