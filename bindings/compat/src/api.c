// libminiupnpc.so.17 and .so.18: what differs between the two. Everything else is in libportlease-compat.so.0, which either of
// them brings along. API is 17 or 18.

struct UPNPDev;
struct UPNPUrls;
struct IGDdatas;

int portlease_compat_valid_igd(unsigned api, struct UPNPDev *devices, struct UPNPUrls *urls, struct IGDdatas *data,
    char *lan_address, int lan_length, char *wan_address, int wan_length);

#if API >= 18
int UPNP_GetValidIGD(struct UPNPDev *devices, struct UPNPUrls *urls, struct IGDdatas *data, char *lan_address, int lan_length,
    char *wan_address, int wan_length) {
  return portlease_compat_valid_igd(API, devices, urls, data, lan_address, lan_length, wan_address, wan_length);
}
#else
int UPNP_GetValidIGD(struct UPNPDev *devices, struct UPNPUrls *urls, struct IGDdatas *data, char *lan_address, int lan_length) {
  return portlease_compat_valid_igd(API, devices, urls, data, lan_address, lan_length, 0, 0);
}
#endif
