// A program that loads the library, maps a port, and unloads the library while that still releases the port.
//   unload LIBRARY GATEWAY PCP_PORT SSDP_ADDRESS
// Prints "unloaded" after that, and waits for the end of the input, so that it is seen whether the release comes through. A
// gateway that takes a while for each request makes sure that the release is under way.
#include <portlease.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef _WIN32
#include <windows.h>

typedef HMODULE library;
typedef void (*any_function)(void);

static library load(const char *path) { return LoadLibraryA(path); }

static any_function find(library from, const char *name) { return (any_function)GetProcAddress(from, name); }

static void unload(library loaded) { FreeLibrary(loaded); }
#else
#include <dlfcn.h>

typedef void *library;
typedef void (*any_function)(void);

static library load(const char *path) { return dlopen(path, RTLD_NOW | RTLD_LOCAL); }

static any_function find(library from, const char *name) {
  any_function found;
  *(void **)&found = dlsym(from, name);
  return found;
}

static void unload(library loaded) { dlclose(loaded); }
#endif

typedef portlease_kind (*open_function)(const portlease_request *, const portlease_config *, double, portlease_mapper **,
                                        portlease_lease **, portlease_lease_snapshot *, portlease_error *);
typedef void (*lease_free_function)(portlease_lease *);
typedef void (*mapper_free_function)(portlease_mapper *);

int main(int argc, char **argv) {
  if (argc != 5) {
    return 2;
  }
  library loaded = load(argv[1]);
  if (loaded == NULL) {
    fprintf(stderr, "cannot load %s\n", argv[1]);
    return 1;
  }
  open_function open = (open_function)find(loaded, "portlease_open");
  lease_free_function lease_free = (lease_free_function)find(loaded, "portlease_lease_free");
  mapper_free_function mapper_free = (mapper_free_function)find(loaded, "portlease_mapper_free");
  portlease_config config = PORTLEASE_INIT(portlease_config);
  config.gateway = argv[2];
  config.pcp_port = (uint16_t)atoi(argv[3]);
  config.ssdp_address = argv[4];
  portlease_request request = PORTLEASE_INIT(portlease_request);
  request.internal_port = 4000;
  request.transport = PORTLEASE_TRANSPORT_UDP;
  portlease_mapper *mapper;
  portlease_lease *lease;
  portlease_error error;
  if (open(&request, &config, 30, &mapper, &lease, NULL, &error) != PORTLEASE_OK) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  lease_free(lease);
  mapper_free(mapper);
  unload(loaded);
  printf("unloaded\n");
  fflush(stdout);
  while (getchar() != EOF) {
  }
  return 0;
}
