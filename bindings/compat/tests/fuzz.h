// What the libraries export and their headers leave out.
#ifndef FUZZ_H
#define FUZZ_H

#include <arpa/inet.h>

#include "check.h"

// The fuzzer's calls stand in groups.
enum { GROUPS = 6, EACH = 10, FUNCTIONS = GROUPS * EACH };

int addr_is_reserved(const char *);
int connecthostport(const char *, unsigned short, unsigned);
void *getHTTPResponse(int, int *, int *);
int receivedata(int, char *, int, int, unsigned *);
int soapPostSubmit(int, const char *, const char *, unsigned short, const char *, const char *, const char *);
int connectToMiniSSDPD(const char *);
int disconnectFromMiniSSDPD(int);
int requestDevicesFromMiniSSDPD(int, const char *);
struct UPNPDev *receiveDevicesFromMiniSSDPD(int, int *);
struct UPNPDev *getDevicesFromMiniSSDPD(const char *, const char *, int *);
struct UPNPDev *ssdpDiscoverDevices(const char *const *, int, const char *, int, int, unsigned char, int *, int);
void parsexml(void *);

int readnatpmpresponse(natpmp_t *, natpmpresp_t *);
int sendpendingrequest(natpmp_t *);
int sendnatpmprequest(natpmp_t *);
int getdefaultgateway(in_addr_t *);

#endif
