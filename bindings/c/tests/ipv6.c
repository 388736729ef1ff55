// IPv6: a pinhole is a lease like any other.
//   ipv6 GATEWAY_PROGRAM
//   ipv6 GATEWAY_PROGRAM SCOPED      in a network whose router has this link-local address, and never answers
#include <math.h>

#include "check.h"

const char *check_gateway_program;

static gateway router;
static portlease_config config;
static portlease_error error;

static portlease_request pinhole(uint16_t port) {
  portlease_request request = check_request(port);
  request.family = PORTLEASE_FAMILY_IPV6;
  return request;
}

static bool is(const char *text, const char *wanted) { return strcmp(text, wanted) == 0; }

TEST(open_opens_a_pinhole_for_an_address_of_this_machine) {
  portlease_request request = pinhole(4000);
  portlease_lease_snapshot now = PORTLEASE_INIT(portlease_lease_snapshot);
  portlease_mapper *mapper;
  portlease_lease *lease;
  CHECK_KIND(PORTLEASE_OK, portlease_open(&request, &config, INFINITY, &mapper, &lease, &now, &error));
  CHECK(now.family == PORTLEASE_FAMILY_IPV6 && is(portlease_family_name(now.family), "ipv6"));
  CHECK(is(now.external_address, "::1") && now.external_port == 4000);
  char address[PORTLEASE_ADDRESS_SIZE];
  uint16_t port;
  CHECK_KIND(PORTLEASE_OK, portlease_lease_external(lease, address, &port, &error));
  CHECK(is(address, "::1") && port == 4000 && portlease_lease_external_port(lease) == 4000);
  CHECK(portlease_lease_address_class(lease) == PORTLEASE_ADDRESS_RESERVED);
  CHECK(check_mappings(&router) == 1);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  CHECK(check_mappings(&router) == 0);
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
}

TEST(one_port_has_a_lease_of_each_family_and_events_tell_which) {
  portlease_mapper *mapper = check_mapper(&router);
  portlease_lease *leases[4], *same;
  leases[0] = check_lease(mapper, 4001);
  portlease_request request = pinhole(4001);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_map(mapper, &request, &leases[1], &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_ensure(mapper, &request, &same, &error));
  CHECK(portlease_lease_id(same) == portlease_lease_id(leases[1]));
  portlease_lease_free(same);
  request.internal_port = 4002;
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_map_both(mapper, &request, &leases[2], &leases[3], &error));
  portlease_lease_snapshot now = PORTLEASE_INIT(portlease_lease_snapshot);
  for (size_t i = 0; i < 4; i++) {
    check_ready(leases[i], &now);
    CHECK(now.family == (i == 0 ? PORTLEASE_FAMILY_IPV4 : PORTLEASE_FAMILY_IPV6));
  }
  portlease_event event = PORTLEASE_INIT(portlease_event);
  for (size_t installed = 0; installed < 4;) {
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_next_event(mapper, INFINITY, &event, &error));
    CHECK(event.family == (event.lease == 1 ? PORTLEASE_FAMILY_IPV4 : PORTLEASE_FAMILY_IPV6));
    installed += event.kind == PORTLEASE_EVENT_INSTALLED;
  }
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  for (size_t i = 0; i < 4; i++) {
    portlease_lease_free(leases[i]);
  }
  portlease_mapper_free(mapper);
}

// Waits for what was begun with token 7, and fills in where the gateway is.
static void next(portlease_waits *waits, portlease_gateway_report *report) {
  portlease_completion over = PORTLEASE_INIT(portlease_completion);
  over.report = report;
  CHECK_KIND(PORTLEASE_OK, portlease_waits_next(waits, INFINITY, &over, &error));
  CHECK(over.token == 7 && over.error.kind == PORTLEASE_OK);
}

TEST(a_probe_may_be_of_ipv6_and_another_number_is_invalid) {
  portlease_mapper *mapper = check_mapper(&router);
  portlease_waits *waits;
  CHECK_KIND(PORTLEASE_OK, portlease_waits_new(&waits, &error));
  portlease_gateway_report report = PORTLEASE_INIT(portlease_gateway_report);
  portlease_protocol_report protocols[4] = {PORTLEASE_INIT(portlease_protocol_report)};
  const portlease_family ipv6 = PORTLEASE_FAMILY_IPV6;
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_probe_of(mapper, ipv6, &report, protocols, 4, &error));
  CHECK(is(report.gateway, "::1") && is(report.local_address, "::1") && report.protocol_count == 2);
  CHECK(protocols[0].error.kind == PORTLEASE_OK && protocols[1].protocol == PORTLEASE_PROTOCOL_UPNP);
  CHECK_KIND(PORTLEASE_OK, portlease_probe_of(&config, PORTLEASE_FAMILY_IPV4, &report, NULL, 0, &error));
  CHECK(is(report.gateway, "127.0.0.1"));
  CHECK_KIND(PORTLEASE_OK, portlease_waits_mapper_probe_of(waits, mapper, ipv6, 7, &error));
  next(waits, &report);
  CHECK(is(report.gateway, "::1"));
  report.gateway[0] = '\0';
  CHECK_KIND(PORTLEASE_OK, portlease_waits_probe_of(waits, &config, ipv6, 7, &error));
  next(waits, &report);
  CHECK(is(report.gateway, "::1"));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_probe(mapper, &report, NULL, 0, &error));
  CHECK(is(report.gateway, "127.0.0.1"));

  const int number = 2;
  portlease_family none;
  memcpy(&none, &number, sizeof none);
#define ALLOWED "family: must be PORTLEASE_FAMILY_IPV4 or PORTLEASE_FAMILY_IPV6, not 2"
  CHECK_SAYS(PORTLEASE_INVALID, ALLOWED, portlease_mapper_probe_of(mapper, none, NULL, NULL, 0, &error));
  CHECK_SAYS(PORTLEASE_INVALID, ALLOWED, portlease_probe_of(&config, none, NULL, NULL, 0, &error));
  CHECK_SAYS(PORTLEASE_INVALID, ALLOWED, portlease_waits_mapper_probe_of(waits, mapper, none, 7, &error));
  CHECK_SAYS(PORTLEASE_INVALID, ALLOWED, portlease_waits_probe_of(waits, &config, none, 7, &error));
  CHECK(portlease_family_name(none)[0] == '\0');
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_waits_free(waits);
  portlease_mapper_free(mapper);
}

TEST(a_gateway_may_have_a_scope_which_names_its_interface) {
  portlease_config scoped = PORTLEASE_INIT(portlease_config);
  scoped.gateway = "fe80::1%no-such";
  scoped.retry_never = true;
  portlease_mapper *mapper;
  portlease_lease *lease;
  portlease_request request = pinhole(4000);
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_start(&scoped, &mapper, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_map(mapper, &request, &lease, &error));
  CHECK_SAYS(PORTLEASE_INVALID, "gateway: there is no interface `no-such`; there are ",
             portlease_lease_ready(lease, INFINITY, NULL, &error));
  CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
  portlease_lease_free(lease);
  portlease_mapper_free(mapper);
  scoped.interface_name = "other";
  CHECK_SAYS(PORTLEASE_INVALID, "gateway: the scope of fe80::1%no-such is not the interface `other`",
             portlease_mapper_start(&scoped, &mapper, &error));
  scoped.gateway = "fe80::1%a-name-of-16-let";
  CHECK_SAYS(PORTLEASE_INVALID, "1 to 15 bytes", portlease_mapper_start(&scoped, &mapper, &error));
}

// With the longest address and the longest name, as the driver of the tests gives it.
static void a_link_local_router_keeps_its_scope(const char *gateway) {
  portlease_config named = PORTLEASE_INIT(portlease_config);
  named.protocols[0] = PORTLEASE_PROTOCOL_PCP;
  for (size_t i = 0; i < 2; i++) {
    portlease_mapper *mapper;
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_start(&named, &mapper, &error));
    portlease_request request = pinhole(4000);
    portlease_lease *lease;
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_map(mapper, &request, &lease, &error));
    CHECK_KIND(PORTLEASE_UNAVAILABLE, portlease_mapper_probe_of(mapper, PORTLEASE_FAMILY_IPV6, NULL, NULL, 0, &error));
    CHECK(strstr(error.message, gateway) != NULL);
    portlease_mapper_snapshot all = PORTLEASE_INIT(portlease_mapper_snapshot);
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_get_snapshot(mapper, &all, NULL, 0, &error));
    CHECK(is(all.gateway, gateway));
    CHECK_KIND(PORTLEASE_OK, portlease_mapper_stop(mapper, INFINITY, NULL, &error));
    portlease_lease_free(lease);
    portlease_mapper_free(mapper);
    named.gateway = gateway;
  }
  printf("ok   a link-local router keeps its scope\n");
}

int main(int argc, char **argv) {
  CHECK(argc == 2 || argc == 3);
  if (argc == 3) {
    a_link_local_router_keeps_its_scope(argv[2]);
    return 0;
  }
  check_gateway_program = argv[1];
  json_t *settings = json_pack("{s:b}", "ipv6", true);
  char *reason = gateway_start(&router, check_gateway_program, settings);
  json_decref(settings);
  CHECK(reason == NULL);
  config = check_config(&router);
  if (json_object_get(router.started, "no_ipv6") != NULL) {
    printf("ok   nothing: this machine has no IPv6 on loopback\n");
    gateway_end(&router);
    return 0;
  }
  RUN(open_opens_a_pinhole_for_an_address_of_this_machine);
  RUN(one_port_has_a_lease_of_each_family_and_events_tell_which);
  RUN(a_probe_may_be_of_ipv6_and_another_number_is_invalid);
  RUN(a_gateway_may_have_a_scope_which_names_its_interface);
  gateway_end(&router);
  return 0;
}
