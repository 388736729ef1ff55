// Makes the calls that a test names, one a line, and prints what they answer.
//   A line is words with tabs between them: a command and its arguments. NULL is a null pointer; %XX is a byte.
//   The answer is a line likewise: what the call answered, and how many milliseconds it took. KEPT is memory that the call has
//   left alone.
// Every place for an answer is memory of its own of just the size that the headers promise.
#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/select.h>
#include <unistd.h>

#include "check.h"

enum { ARGUMENTS = 16, PLACES = 16, FILL = 0x7f };

static char *argument[ARGUMENTS];
static int arguments;
static char *place[PLACES];
static int places;

static struct UPNPDev *devices;
static struct UPNPUrls urls;
static struct IGDdatas data;
static natpmp_t natpmp[4];
static int number_kept; // a descriptor

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

// --- words ---

static void decode(char *text) {
  char *to = text;
  for (const char *at = text; *at != '\0'; at++) {
    unsigned byte;
    if (*at == '%' && sscanf(at + 1, "%2x", &byte) == 1) {
      *to++ = (char)byte;
      at += 2;
    } else {
      *to++ = *at;
    }
  }
  *to = '\0';
}

static void split(char *line) {
  arguments = 0;
  line[strcspn(line, "\n")] = '\0';
  for (char *word; arguments < ARGUMENTS && (word = strsep(&line, "\t")) != NULL; arguments++) {
    argument[arguments] = strcmp(word, "NULL") == 0 ? NULL : word;
    decode(word);
  }
}

static char *text(int at) { return at < arguments ? argument[at] : NULL; }

static int number(int at) { return text(at) == NULL ? 0 : (int)strtol(text(at), NULL, 0); }

static void say(const char *what) {
  putchar('\t');
  if (what == NULL) {
    fputs("NULL", stdout);
    return;
  }
  for (; *what != '\0'; what++) {
    printf(isgraph((unsigned char)*what) && *what != '%' ? "%c" : "%%%02x", (unsigned char)*what);
  }
}

static void say_number(long number) { printf("\t%ld", number); }

// --- places for answers ---

static char *room(size_t size) {
  char *new = malloc(size == 0 ? 1 : size);
  CHECK(new != NULL && places < PLACES);
  memset(new, FILL, size == 0 ? 1 : size);
  place[places++] = new;
  return new;
}

// A place, unless the argument says that there is none.
static char *room_unless(int at, size_t size) { return arguments > at && text(at) == NULL ? NULL : room(size); }

static void say_places(void) {
  for (int i = 0; i < places; i++) {
    say(place[i][0] == FILL ? "KEPT" : place[i]);
    free(place[i]);
  }
  places = 0;
}

// --- libminiupnpc ---

static void forget_urls(void) { memset(&urls, 0, sizeof urls); }

static void discover(void) {
  int error = -77, count = 0;
  devices = upnpDiscover(2000, NULL, NULL, 0, number(1), 2, number(2) ? NULL : &error);
  for (struct UPNPDev *at = devices; at != NULL; at = at->pNext) {
    count++;
  }
  say_number(error);
  say_number(count);
  if (devices != NULL) {
    say(devices->st);
    say(devices->descURL);
    say(devices->usn);
    say_number(devices->scope_id);
  }
}

static void igd(void) {
  char *lan = room((size_t)number(1)), *wan = room((size_t)number(2));
  memset(&data, FILL, sizeof data);
  forget_urls();
  say_number(check_igd(devices, &urls, &data, number(1) < 0 ? NULL : lan, number(1), wan, number(2)));
  say_places();
  say(urls.controlURL);
  say(urls.rootdescURL);
  say(data.first.servicetype);
}

static void by_hand(void) {
  int size = -77, status = -77;
  char *lan = room(64), *url = text(1);
  char *document = miniwget_getaddr(url, &size, lan, 64, 0, &status);
  memset(&data, FILL, sizeof data);
  parserootdesc(document, size, &data);
  forget_urls();
  GetUPNPUrls(&urls, &data, url, 0);
  say_number(status);
  say_number(document == NULL ? size : (long)strlen(document) - size);
  free(document);
  say_places();
  say(urls.controlURL);
  say(data.first.servicetype);
}

static void specific(void) {
  // In an order of C, not of a call's arguments.
  char *client = room_unless(3, 16), *port = room_unless(4, 6), *description = room_unless(5, 80);
  char *enabled = room_unless(6, 4), *lease = room_unless(7, 16);
  say_number(UPNP_GetSpecificPortMappingEntry(URL, SERVICE, text(1), text(2), NULL, client, port, description, enabled, lease));
  say_places();
}

static void generic(void) {
  bool none = number(2) != 0;
  char *external = none ? NULL : room(6), *client = none ? NULL : room(16), *port = none ? NULL : room(6);
  char *protocol = none ? NULL : room(4), *description = none ? NULL : room(80), *enabled = none ? NULL : room(4);
  char *remote = none ? NULL : room(64), *lease = none ? NULL : room(16);
  say_number(UPNP_GetGenericPortMappingEntry(URL, SERVICE, text(1), external, client, port, protocol, description, enabled,
                                             remote, lease));
  say_places();
}

static void list(void) {
  struct PortMappingParserData all;
  say_number(UPNP_GetListOfPortMappings(URL, SERVICE, text(1), text(2), text(3), text(4), &all));
  for (struct PortMapping *at = all.l_head; at != NULL; at = at->l_next) {
    printf("\t%u:%s:%u:%s:%s:%d:%llu:%s", at->externalPort, at->internalClient, at->internalPort, at->protocol,
           at->description, at->enabled, (unsigned long long)at->leaseTime, at->remoteHost);
  }
  FreePortListing(&all);
  CHECK(all.l_head == NULL);
  FreePortListing(&all);
}

static bool upnp(const char *what) {
  unsigned count = 77, down = 77, up = 77;
  if (strcmp(what, "discover") == 0) {
    discover();
  } else if (strcmp(what, "igd") == 0) {
    igd();
  } else if (strcmp(what, "from_url") == 0) {
    char *lan = room(64);
    forget_urls();
    say_number(UPNP_GetIGDFromUrl(text(1), &urls, &data, lan, 64));
    say_places();
    say(urls.controlURL);
  } else if (strcmp(what, "by_hand") == 0) {
    by_hand();
  } else if (strcmp(what, "free") == 0) {
    FreeUPNPUrls(&urls);
    CHECK(urls.controlURL == NULL && urls.rootdescURL == NULL);
    freeUPNPDevlist(devices);
    devices = NULL;
  } else if (strcmp(what, "external") == 0) {
    char *address = room_unless(1, 16);
    say_number(UPNP_GetExternalIPAddress(URL, SERVICE, address));
    say_places();
  } else if (strcmp(what, "add") == 0) {
    say_number(UPNP_AddPortMapping(URL, SERVICE, text(1), text(2), text(3), text(4), text(5), text(6), text(7)));
  } else if (strcmp(what, "add_any") == 0) {
    char *port = room_unless(8, 6);
    say_number(UPNP_AddAnyPortMapping(URL, SERVICE, text(1), text(2), text(3), text(4), text(5), text(6), text(7), port));
    say_places();
  } else if (strcmp(what, "delete") == 0) {
    say_number(UPNP_DeletePortMapping(URL, SERVICE, text(1), text(2), text(3)));
  } else if (strcmp(what, "specific") == 0) {
    specific();
  } else if (strcmp(what, "generic") == 0) {
    generic();
  } else if (strcmp(what, "list") == 0) {
    list();
  } else if (strcmp(what, "count") == 0) {
    say_number(UPNP_GetPortMappingNumberOfEntries(URL, SERVICE, &count));
    say_number(count);
  } else if (strcmp(what, "status") == 0) {
    char *status = room(64), *last = room(64);
    say_number(UPNP_GetStatusInfo(URL, SERVICE, status, &up, last));
    say_places();
    say_number(UPNPIGD_IsConnected(&urls, &data));
  } else if (strcmp(what, "type") == 0) {
    char *type = room_unless(1, 64);
    say_number(UPNP_GetConnectionTypeInfo(URL, SERVICE, type));
    say_places();
  } else if (strcmp(what, "rates") == 0) {
    say_number(UPNP_GetLinkLayerMaxBitRates(URL, SERVICE, &down, &up));
    say_number(down + up);
  } else if (strcmp(what, "error") == 0) {
    say(strupnperror(number(1)));
    say(strnatpmperr(number(1)));
  } else {
    return false;
  }
  return true;
}

// --- libnatpmp ---

static void say_response(int code, const natpmpresp_t *response) {
  say_number(code);
  if (code != 0) {
    return;
  }
  say_number(response->type);
  if (response->type == NATPMP_RESPTYPE_PUBLICADDRESS) {
    say(inet_ntoa(response->pnu.publicaddress.addr));
  } else {
    say_number(response->pnu.newportmapping.privateport);
    say_number(response->pnu.newportmapping.mappedpublicport);
    say_number((long)response->pnu.newportmapping.lifetime);
  }
}

// As natpmpc does: select on the socket for as long as the library says, then read.
static void finish(natpmp_t *p) {
  natpmpresp_t response;
  int code, again = -1;
  double waits[64] = {0};
  do {
    struct timeval timeout = {0, 0};
    CHECK_IS(0, getnatpmprequesttimeout(p, &timeout));
    again++;
    waits[again < 63 ? again : 63] = (double)timeout.tv_sec * 1e3 + (double)timeout.tv_usec / 1e3;
    fd_set set;
    FD_ZERO(&set);
    FD_SET(p->s, &set);
    CHECK(select(p->s + 1, &set, NULL, NULL, &timeout) >= 0);
    code = readnatpmpresponseorretry(p, &response);
  } while (code == NATPMP_TRYAGAIN);
  say_response(code, &response);
  for (int i = 0; code != 0 && i <= again && i < 63; i++) {
    printf("\t%.0f", waits[i]);
  }
}

static bool pmp(const char *what) {
  natpmp_t *p = arguments > 1 && text(1) == NULL ? NULL : &natpmp[number(1) & 3];
  if (strcmp(what, "init") == 0) {
    memset(p, FILL, sizeof *p);
    say_number(initnatpmp(p, text(2) != NULL, text(2) == NULL ? 0 : inet_addr(text(2))));
    say(inet_ntoa((struct in_addr){p->gateway}));
  } else if (strcmp(what, "init_null") == 0) {
    say_number(initnatpmp(NULL, 0, 0));
  } else if (strcmp(what, "close") == 0) {
    say_number(closenatpmp(p));
  } else if (strcmp(what, "ask_address") == 0) {
    say_number(sendpublicaddressrequest(p));
  } else if (strcmp(what, "ask_port") == 0) {
    say_number(sendnewportmappingrequest(p, number(2), (uint16_t)number(3), (uint16_t)number(4), (uint32_t)number(5)));
  } else if (strcmp(what, "timeout") == 0) {
    struct timeval timeout = {-1, -1};
    say_number(getnatpmprequesttimeout(p, number(2) ? NULL : &timeout));
    say_number(timeout.tv_sec * 1000 + timeout.tv_usec / 1000);
  } else if (strcmp(what, "read") == 0) {
    natpmpresp_t response;
    say_response(readnatpmpresponseorretry(p, number(2) ? NULL : &response), &response);
  } else if (strcmp(what, "wait") == 0) {
    struct pollfd socket = {.fd = p->s, .events = POLLIN};
    say_number(poll(&socket, 1, number(2)));
  } else if (strcmp(what, "finish") == 0) {
    finish(p);
  } else if (strcmp(what, "copy") == 0) {
    memcpy(&natpmp[number(2) & 3], p, sizeof *p);
  } else if (strcmp(what, "garbage") == 0) {
    memset(p, FILL, sizeof *p);
  } else if (strcmp(what, "stdin_is_at") == 0) {
    number_kept = p->s;
    say_number(dup2(0, p->s) == p->s);
  } else if (strcmp(what, "stdin_is_still_there") == 0) {
    say_number(fcntl(number_kept, F_GETFD) >= 0);
  } else {
    return false;
  }
  return true;
}

int main(void) {
  check_libraries();
  static char line[1 << 16], answer[1 << 20];
  setvbuf(stdout, answer, _IOFBF, sizeof answer);
  while (fgets(line, sizeof line, stdin) != NULL) {
    split(line);
    const char *what = text(0);
    double began = now();
    if (strcmp(what, "exit") == 0) {
      exit(number(1));
    }
    CHECK(upnp(what) || pmp(what));
    printf("\t%.1f\n", now() - began);
    fflush(stdout);
  }
  return 0;
}
