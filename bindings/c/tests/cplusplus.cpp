// The header in C++17: handles in smart pointers, structs by PORTLEASE_INIT, and the whole way of a mapping.
//   cplusplus GATEWAY_ADDRESS PCP_PORT SSDP_ADDRESS
#include <portlease.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

struct Free {
  void operator()(portlease_mapper *mapper) const { portlease_mapper_free(mapper); }
  void operator()(portlease_lease *lease) const { portlease_lease_free(lease); }
};
using Mapper = std::unique_ptr<portlease_mapper, Free>;
using Lease = std::unique_ptr<portlease_lease, Free>;

void check(portlease_kind kind, const portlease_error &error) {
  if (kind != PORTLEASE_OK) {
    throw std::runtime_error(std::string(portlease_kind_name(kind)) + ": " + error.message);
  }
}

void run(const char *gateway, const char *pcp_port, const char *ssdp_address) {
  portlease_error error;
  auto config = PORTLEASE_INIT(portlease_config);
  config.gateway = gateway;
  config.pcp_port = static_cast<std::uint16_t>(std::stoi(pcp_port));
  config.ssdp_address = ssdp_address;
  portlease_mapper *started;
  check(portlease_mapper_start(&config, &started, &error), error);
  const Mapper mapper(started);

  portlease_request request = PORTLEASE_INIT(portlease_request);
  request.internal_port = 4000;
  request.transport = PORTLEASE_TRANSPORT_TCP;
  portlease_lease *made;
  check(portlease_mapper_map(mapper.get(), &request, &made, &error), error);
  const Lease lease(made);

  auto snapshot = PORTLEASE_INIT(portlease_lease_snapshot);
  check(portlease_lease_ready(lease.get(), 10, &snapshot, &error), error);
  std::array<portlease_lease_snapshot, 2> leases{PORTLEASE_INIT(portlease_lease_snapshot)};
  auto whole = PORTLEASE_INIT(portlease_mapper_snapshot);
  check(portlease_mapper_get_snapshot(mapper.get(), &whole, leases.data(), leases.size(), &error), error);
  if (!snapshot.active || whole.lease_count != 1 || leases[0].external_port != snapshot.external_port) {
    throw std::runtime_error("the snapshots differ");
  }
  std::printf("ok   %s:%u by %s\n", snapshot.external_address, unsigned{snapshot.external_port},
              portlease_protocol_name(snapshot.protocol));
  portlease_release release;
  check(portlease_mapper_stop(mapper.get(), PORTLEASE_DEFAULT_TIMEOUT, &release, &error), error);
  if (release != PORTLEASE_RELEASED) {
    throw std::runtime_error(std::string("the port is ") + portlease_release_name(release));
  }
}

} // namespace

int main(int argc, char **argv) {
  try {
    if (argc != 4) {
      throw std::runtime_error("usage: cplusplus GATEWAY_ADDRESS PCP_PORT SSDP_ADDRESS");
    }
    run(argv[1], argv[2], argv[3]);
    return EXIT_SUCCESS;
  } catch (const std::exception &error) {
    std::fprintf(stderr, "FAIL %s\n", error.what());
    return EXIT_FAILURE;
  }
}
