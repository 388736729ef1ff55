// Programs that load the libraries at run time, and unload them.
#include "check.h"

typedef struct UPNPDev *discover_function(int, const char *, const char *, int, int, unsigned char, int *);
typedef int init_function(natpmp_t *, int, in_addr_t);
typedef int close_function(natpmp_t *);

TEST(both_libraries_are_loaded_and_unloaded_again_and_again) {
  for (int i = 0; i < 5; i++) {
    for (int api = 17; api <= 18; api++) {
      char name[32];
      snprintf(name, sizeof name, "libminiupnpc.so.%d", api);
      void *upnp = dlopen(name, RTLD_NOW | RTLD_LOCAL), *pmp = dlopen("libnatpmp.so.1", RTLD_NOW | RTLD_LOCAL);
      CHECK(upnp != NULL && pmp != NULL);
      discover_function *discover = (discover_function *)dlsym(upnp, "upnpDiscover");
      init_function *init = (init_function *)dlsym(pmp, "initnatpmp");
      close_function *end = (close_function *)dlsym(pmp, "closenatpmp");
      CHECK(discover != NULL && init != NULL && end != NULL && dlsym(upnp, "UPNP_GetValidIGD") != NULL);
      int error = 1;
      struct UPNPDev *devices = discover(2000, NULL, NULL, 0, 0, 2, &error);
      CHECK(devices != NULL && error == 0);
      natpmp_t p;
      CHECK_IS(0, init(&p, 0, 0));
      CHECK_IS(0, end(&p));
      ((void (*)(struct UPNPDev *))dlsym(upnp, "freeUPNPDevlist"))(devices);
      CHECK_IS(0, dlclose(upnp));
      CHECK_IS(0, dlclose(pmp));
    }
  }
}

int main(void) {
  check_libraries();
  RUN(both_libraries_are_loaded_and_unloaded_again_and_again);
  return 0;
}
