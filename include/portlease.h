// portlease: makes a local port reachable from the internet through the user's own router, and keeps it reachable.
// PCP (RFC 6887), NAT-PMP (RFC 6886) and UPnP-IGD 1 and 2 behind one handle. C99, C++11.
//
//   portlease_request request = PORTLEASE_INIT(portlease_request);
//   request.internal_port = 4000;
//   request.transport = PORTLEASE_TRANSPORT_UDP;
//   portlease_mapper *mapper;
//   portlease_lease *lease;
//   portlease_lease_snapshot now = PORTLEASE_INIT(portlease_lease_snapshot);
//   portlease_error error;
//   if (portlease_open(&request, NULL, PORTLEASE_DEFAULT_TIMEOUT, &mapper, &lease, &now, &error) != PORTLEASE_OK) {
//     fprintf(stderr, "no port: %s (%s)\n", error.message, portlease_kind_name(error.kind));
//     return 1; // this is normal: a router may refuse
//   }
//   if (now.external_address[0] != '\0') { // the router may not know its address
//     printf("external address: %s:%u\n", now.external_address, (unsigned)now.external_port);
//   }
//   ...
//   portlease_mapper_stop(mapper, PORTLEASE_DEFAULT_TIMEOUT, NULL, NULL); // deletes the mapping on the router
//   portlease_lease_free(lease);
//   portlease_mapper_free(mapper);
//
// Ownership. Handles belong to the caller, who frees each once, in any order; freeing NULL does nothing. Freeing never
// blocks: what was not stopped is released in the background, as long as the process lives. Everything else is the
// caller's memory, filled in by value; nothing that is passed in is kept.
// Threads. Every function may be called from any thread at any time, also on the same handle; only the free functions
// need the handle to themselves. Exit handlers and destructors of C++ statics may call them, too. A thread that is
// cancelled (pthread_cancel) within a call ends after it; its cancel type must be deferred, which is the default.
// portlease makes no callbacks. Its own threads take no signals; if a main thread that has called portlease ends
// (pthread_exit) while a mapper is open, one of them takes those of its signals that no other thread takes (Linux).
// Blocking. Functions that wait take a time-out in seconds: 0 does not wait, INFINITY waits without limit, a negative
// one (PORTLEASE_DEFAULT_TIMEOUT) is the call's default, NaN is PORTLEASE_INVALID. They end early when the handle is
// stopped by another thread. For waits that can be cancelled or must not block see portlease_waits.
// Errors. `error` may be NULL; it is written by every call, with PORTLEASE_OK and "" if nothing failed. A call that
// fails fills in nothing else (handles become NULL). Its reasons, protocol by protocol: portlease_error_get_report.
// Structs begin with struct_size, which the caller sets; PORTLEASE_INIT(type) does, and zeroes the rest. So programs
// and libraries of different versions fit: fields are added at the end only. Options that this version does not know
// must be zero; results that an older library does not know become zero. In arrays the first item's counts:
//   portlease_lease_snapshot leases[16] = {PORTLEASE_INIT(portlease_lease_snapshot)};
//   portlease_mapper_get_snapshot(mapper, &all, leases, 16, &error);
// Text is UTF-8. In results it always ends, cut off if it is too long; the bytes after its end mean nothing.
// Forks. The parent's mappings live on, and nothing in the child touches them. There snapshots show a mapper that is
// stopped and leases that have exited; stop and detach return at once with PORTLEASE_OK, and with PORTLEASE_RELEASED
// though nothing is released; calls that map, wait, or begin or cancel a wait fail with PORTLEASE_STOPPED. Free what you
// like there, and start a mapper of the child's own. A child that only calls exec needs none of that.

#ifndef PORTLEASE_H
#define PORTLEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORTLEASE_VERSION_MAJOR 0
#define PORTLEASE_VERSION_MINOR 1
#define PORTLEASE_VERSION_PATCH 0
#define PORTLEASE_VERSION_STRING "0.1.0"

/// Each call's own default time-out.
#define PORTLEASE_DEFAULT_TIMEOUT (-1.0)

/// The size of an address as text with its end: INET6_ADDRSTRLEN, `%`, and an interface's name of 15 bytes.
#define PORTLEASE_ADDRESS_SIZE 62

/// The size of an error message with its end.
#define PORTLEASE_MESSAGE_SIZE 508

/// How many protocols a list holds; shorter ones end with PORTLEASE_PROTOCOL_ABSENT.
#define PORTLEASE_MAX_PROTOCOLS 8

/// The size of a name with its end.
#define PORTLEASE_NAME_SIZE 128

/// The size of an advice with its end.
#define PORTLEASE_ADVICE_SIZE 512

/// The size of a log's message with its end.
#define PORTLEASE_LOG_MESSAGE_SIZE 1020

/// What a call answers: PORTLEASE_OK or why not. Programs go by this; messages are for people.
typedef enum portlease_kind {
  PORTLEASE_OK = 0, ///< Done.
  /// There is no gateway, or it answered by none of the protocols, or it says that it has no such service.
  PORTLEASE_UNAVAILABLE = 1,
  /// A call ran past its deadline. If the router does not answer, the error is `unavailable`; only the detail of one
  /// protocol says `timeout`.
  PORTLEASE_TIMEOUT = 2,
  PORTLEASE_TRANSPORT = 3, ///< A socket-level error on the way to the gateway.
  /// The gateway answered no; the message has the protocol and its code, such as `pcp NOT_AUTHORIZED`.
  PORTLEASE_REFUSED = 4,
  PORTLEASE_INVALID = 5, ///< The caller's argument: the message names it and says what is allowed.
  PORTLEASE_STOPPED = 6, ///< The handle is closed, or belongs to another process.
  PORTLEASE_INTERNAL = 7, ///< A defect in portlease.
  PORTLEASE_CANCELLED = 100, ///< Only from portlease_waits_next: the caller cancelled this wait. Nothing has failed.
} portlease_kind;

/// How much a record matters.
typedef enum portlease_log_level {
  PORTLEASE_LOG_LEVEL_ERROR = 1, ///< A defect in portlease.
  PORTLEASE_LOG_LEVEL_WARN = 2, ///< Something does not work that should.
  PORTLEASE_LOG_LEVEL_INFO = 3, ///< What happens to mappings: installed, changed, revoked, released.
  PORTLEASE_LOG_LEVEL_DEBUG = 4, ///< Each exchange with the router.
  PORTLEASE_LOG_LEVEL_TRACE = 5, ///< Everything.
} portlease_log_level;

/// Where a lease stands.
typedef enum portlease_state {
  PORTLEASE_STATE_IDLE = 0, ///< Not begun, or waiting for the next attempt.
  PORTLEASE_STATE_PROBING = 1, ///< Asking the gateway for a mapping.
  PORTLEASE_STATE_INSTALLED = 2, ///< Mapped.
  PORTLEASE_STATE_RENEWING = 3, ///< Mapped, and asking the gateway to keep it.
  PORTLEASE_STATE_REVOKED = 4, ///< The mapping was lost: renewals failed or its lifetime ran out.
  PORTLEASE_STATE_EXITED = 5, ///< Over: stopped, or failed without retry.
} portlease_state;

/// Whether the port can be assumed open to the other side of the NAT.
typedef enum portlease_nat_class {
  PORTLEASE_NAT_UNKNOWN = 0, ///< Nothing is known, or the external address is not known to be public.
  PORTLEASE_NAT_OPEN = 1, ///< A granted, unexpired mapping with a public address is published.
} portlease_nat_class;

/// How the end of a lease, or of all leases of a mapper, left the gateway; from the best outcome to the worst.
typedef enum portlease_release {
  PORTLEASE_RELEASED = 1, ///< Over, and nothing is left, or what was left on purpose: see portlease_lease_detach.
  /// Over, but the delete was not confirmed: the mapping may stay until its lifetime ends.
  PORTLEASE_UNCONFIRMED = 2,
  PORTLEASE_PENDING = 3, ///< Not over yet: the release goes on in the background.
} portlease_release;

/// What happened.
typedef enum portlease_event_kind {
  PORTLEASE_EVENT_ABSENT = 0, ///< None: what a struct holds before it was filled in.
  PORTLEASE_EVENT_INSTALLED = 1, ///< The gateway granted a mapping.
  PORTLEASE_EVENT_RENEWED = 2, ///< The gateway granted the same mapping again.
  PORTLEASE_EVENT_CHANGED = 3, ///< A renewal brought another external address.
  PORTLEASE_EVENT_FAILED = 4, ///< An attempt to map or to renew failed; the lease goes on.
  PORTLEASE_EVENT_REVOKED = 5, ///< The mapping was lost.
  PORTLEASE_EVENT_EXITED = 6, ///< The lease is over.
  /// The machine is in another network, or has lost its network: the way to the gateway is another one, or there is
  /// none.
  PORTLEASE_EVENT_NETWORK_CHANGED = 7,
  PORTLEASE_EVENT_REPAIRED = 8, ///< The mapping was deleted and made again: see portlease_lease_repair.
} portlease_event_kind;

/// What produced a mapping.
typedef enum portlease_protocol {
  PORTLEASE_PROTOCOL_ABSENT = 0, ///< There is no mapping; the end of a list of protocols.
  PORTLEASE_PROTOCOL_PCP = 1, ///< Port Control Protocol (RFC 6887).
  PORTLEASE_PROTOCOL_NAT_PMP = 2, ///< NAT Port Mapping Protocol (RFC 6886).
  PORTLEASE_PROTOCOL_UPNP = 3, ///< UPnP Internet Gateway Device 1 or 2.
  /// No protocol: this host has a public address of its own and needs no gateway. Cannot be asked for.
  PORTLEASE_PROTOCOL_NONE = 4,
} portlease_protocol;

/// The transport protocol of the mapped port.
typedef enum portlease_transport {
  PORTLEASE_TRANSPORT_ABSENT = 0, ///< In an event that is about no lease; invalid in a request.
  PORTLEASE_TRANSPORT_UDP = 1, ///< UDP.
  PORTLEASE_TRANSPORT_TCP = 2, ///< TCP.
} portlease_transport;

/// The address family of a mapping.
typedef enum portlease_family {
  PORTLEASE_FAMILY_IPV4 = 0, ///< An IPv4 port mapping through NAT.
  /// An IPv6 pinhole: the router's firewall lets packets from the internet through to a port of this machine's own
  /// global address.
  PORTLEASE_FAMILY_IPV6 = 1,
} portlease_family;

/// The class of an external address: only a public one can be reached from the whole internet.
typedef enum portlease_address_class {
  PORTLEASE_ADDRESS_UNKNOWN = 0, ///< No address is known: none was granted, or the gateway has none.
  PORTLEASE_ADDRESS_PUBLIC = 1, ///< Globally routed: the whole internet can reach it.
  /// 100.64.0.0/10 (RFC 6598): the provider's carrier-grade NAT is in front, so nothing on the internet can reach it.
  PORTLEASE_ADDRESS_CGNAT = 2,
  /// RFC 1918, link-local or unique local: a second router is in front, so nothing on the internet can reach it.
  PORTLEASE_ADDRESS_PRIVATE = 3,
  /// Loopback, documentation, multicast and the like: no host on the internet has it.
  PORTLEASE_ADDRESS_RESERVED = 4,
} portlease_address_class;

/// A reader of a mapper's events. Each reader gets every event, whoever else reads them. It does not keep the mapper
/// running.
typedef struct portlease_events portlease_events;

/// The promise to keep one port mapped.
typedef struct portlease_lease portlease_lease;

/// A reader of what portlease tells in this process, all mappers together. Each reader gets every record from its making
/// on.
typedef struct portlease_log portlease_log;

/// A background engine: finds the gateway once, serves many leases.
typedef struct portlease_mapper portlease_mapper;

/// Many waits at once. Each is begun by a function below, which returns at once, and its end is handed out by
/// portlease_waits_next, exactly once, also if it was cancelled. Nothing happens between two calls of that: there is
/// no thread behind it. A wait keeps what its handle stands for alive, so the handle may be freed before.
typedef struct portlease_waits portlease_waits;

/// One port to be mapped. `internal_port` and `transport` must be set.
typedef struct portlease_request {
  size_t struct_size; ///< sizeof(portlease_request)
  portlease_transport transport; ///< UDP or TCP.
  uint16_t internal_port; ///< The local port, 1 to 65535.
  /// The external port to ask for, 1 to 65535. Default: the internal port. With IPv6 the port outside is the port
  /// inside, so no other one is allowed.
  uint16_t external_port;
  bool exact; ///< Whether only this external port will do: any other answer is PORTLEASE_REFUSED.
  portlease_family family; ///< The address family.
  double ttl; ///< The lifetime to ask for, 1 s to 24 h, rounded up to whole seconds. Default: that of the mapper.
  /// The text that the gateway shows beside the mapping (UPnP only), at most 64 characters, no control characters.
  /// Default: that of the mapper.
  const char *description;
} portlease_request;

/// The configuration of a mapper. Zero, NULL and "" mean the default, which suits a home. Text is copied.
typedef struct portlease_config {
  size_t struct_size; ///< sizeof(portlease_config)
  /// The gateway's address. Default: the gateway of the default route with the lowest metric. The address is used for
  /// leases of its own family only; leases of the other family use the default route. The exception is a loopback
  /// address, which stands for a simulated gateway: with `127.0.0.1`, IPv6 leases ask `::1`. A link-local address
  /// needs its interface, as its scope (`fe80::1%eth0`) or in `interface`, unless a default route leads to it.
  const char *gateway;
  /// The local address to which the gateway forwards. Default: the one from which the gateway is reached. For IPv6 it
  /// is the address that is opened; the default is the stable address (not a temporary one of RFC 8981) of the prefix
  /// that the system prefers. The address is used for leases of its own family only.
  const char *local_address;
  /// The name of the interface whose default route is used. Default: the interface of the default route with the
  /// lowest metric.
  const char *interface_name;
  /// The protocols to try, in order of preference. Default: PCP, NAT-PMP, UPnP.
  portlease_protocol protocols[PORTLEASE_MAX_PROTOCOLS];
  double ttl; ///< The lifetime to ask for, 1 s to 24 h, rounded up to whole seconds. Default 1 h. In seconds.
  /// The longest wait between renewals; the granted lifetime may make it shorter. Default 30 min. In seconds.
  double renewal_interval;
  /// How many renewal points (at 1/2, 3/4, 7/8 ... of the lifetime) may pass in a row without a renewal before the
  /// mapping is revoked, 1 or more. Its expiry and a certain loss revoke it in any case. Default 3.
  uint32_t failure_threshold;
  uint16_t pcp_port; ///< The gateway's PCP and NAT-PMP port. Default 5351.
  bool retry_never; ///< After a failure: false tries again, true ends the lease.
  double retry_min; ///< The first wait after a failure, doubled each time. Default 1 s. In seconds.
  double retry_max; ///< The longest wait after a failure, at most a day. Default 5 min. In seconds.
  /// The text that the gateway shows beside the mapping (UPnP only), at most 64 characters, no control characters.
  /// Default `portlease`.
  const char *description;
  /// The `address:port` to which SSDP searches are sent. Default: 239.255.255.250:1900 and port 1900 of the gateway.
  /// It is used for the families for which `gateway` would be used.
  const char *ssdp_address;
  /// A folder for a small record of what is mapped, so that the next start after a crash takes up its mappings again
  /// and deletes those that no program asks for any more. It is created if it does not exist. Many processes may
  /// share one folder, but all on one machine. UTF-8 on Windows; on other systems any bytes that the system takes as
  /// a path, at most 4095. Default: none, nothing is recorded.
  const char *state_dir;
  /// How often the mapper asks the gateway whether a mapping is still there; at least 1 s. It asks one question each
  /// time, whatever the number of leases, to notice a restart that nothing has announced, or a delete by another
  /// program. If negative, it never asks, and does not check new mappings either. Default 5 min.
  double check_interval;
} portlease_config;

/// Why a call, an attempt or a lease failed. If nothing failed, `kind` is PORTLEASE_OK and the message is empty.
typedef struct portlease_error {
  portlease_kind kind; ///< What programs go by.
  char message[PORTLEASE_MESSAGE_SIZE]; ///< For people: UTF-8, lower case, no full stop, cut off if it is too long.
} portlease_error;

/// One lease at one moment.
typedef struct portlease_lease_snapshot {
  size_t struct_size; ///< sizeof(portlease_lease_snapshot)
  uint64_t id; ///< The lease's number within its mapper, from 1.
  /// The number of this state: it grows with each change; portlease_lease_changed waits for another.
  uint64_t revision;
  portlease_state state; ///< Where the lease stands.
  bool active; ///< Whether a granted, unexpired mapping is published.
  bool permanent; ///< Whether the mapping stays on the gateway until it is deleted.
  uint16_t internal_port; ///< The local port.
  uint16_t external_port; ///< The external port; 0 while not active.
  /// The external address; "" while not active or if the gateway does not know its address.
  char external_address[PORTLEASE_ADDRESS_SIZE];
  portlease_transport transport; ///< UDP or TCP.
  portlease_family family; ///< IPv4 for a port mapping, IPv6 for a pinhole.
  portlease_protocol protocol; ///< What made the mapping; absent while not active.
  double lifetime; ///< The granted lifetime in seconds; negative while not active or if the mapping is permanent.
  double expires_in; ///< Seconds until the gateway ends the mapping if it is not renewed; negative as for `lifetime`.
  double renews_in; ///< Seconds until the next renewal is due; negative while not active.
  uint64_t renewals; ///< Successful renewals of the present mapping and of those before it.
  uint64_t failures; ///< Consecutive failures: of renewals while active, of attempts to map otherwise.
  portlease_nat_class nat_class; ///< Open while active with a public external address.
  portlease_address_class address_class; ///< The class of the external address.
  portlease_error last_error; ///< The latest failure; cleared by the next success.
} portlease_lease_snapshot;

/// A mapper at one moment.
typedef struct portlease_mapper_snapshot {
  size_t struct_size; ///< sizeof(portlease_mapper_snapshot)
  /// The gateway, once it was looked for and found; else "". A link-local address has its scope, "fe80::1%eth0".
  char gateway[PORTLEASE_ADDRESS_SIZE];
  /// The local address to which the gateway forwards, once known; else "".
  char local_address[PORTLEASE_ADDRESS_SIZE];
  portlease_protocol protocols[PORTLEASE_MAX_PROTOCOLS]; ///< The protocols by which the gateway has answered so far.
  bool stopped; ///< Whether the mapper was stopped.
  size_t active; ///< Leases with a granted, unexpired mapping.
  size_t lease_count; ///< Leases that have not exited: how many there are, also if fewer fit into the caller's array.
  uint64_t renewals; ///< Successful renewals, all leases together.
  uint64_t events_dropped; ///< Events that were dropped before anybody had pulled them.
  /// The last thing that did not work and that no lease depends on, such as writing to `state_dir`.
  portlease_error last_error;
} portlease_mapper_snapshot;

/// Something that happened to a lease, or to all of them at once.
typedef struct portlease_event {
  size_t struct_size; ///< sizeof(portlease_event)
  /// The number of the lease; 0 if the event is about none: network-changed, and failed for what no lease depends on.
  uint64_t lease;
  portlease_event_kind kind; ///< What happened.
  portlease_transport transport; ///< UDP or TCP; absent if the event is about no lease.
  /// IPv4 for a port mapping, IPv6 for a pinhole; says nothing if the event is about no lease.
  portlease_family family;
  portlease_protocol protocol; ///< What made the mapping; absent if there is no mapping.
  portlease_address_class address_class; ///< The class of the external address.
  uint16_t internal_port; ///< The local port; 0 if the event is about no lease.
  uint16_t external_port; ///< The external port; 0 if there is no mapping.
  /// The external address; "" if there is no mapping or the gateway does not know its address.
  char external_address[PORTLEASE_ADDRESS_SIZE];
  double lifetime; ///< The granted lifetime in seconds; negative if there is no mapping or it is permanent.
  double elapsed; ///< How many seconds the attempt took that this event ends; 0 if it ends none.
  uint64_t dropped; ///< How many events this reader lost just before this one because it did not pull them in time.
  portlease_error error; ///< Why, for failed, revoked and, if there is a reason, exited.
} portlease_event;

/// What a gateway offers, asked without mapping anything.
typedef struct portlease_gateway_report {
  size_t struct_size; ///< sizeof(portlease_gateway_report)
  /// The gateway's address, or "". A link-local one has its scope, "fe80::1%eth0".
  char gateway[PORTLEASE_ADDRESS_SIZE];
  char local_address[PORTLEASE_ADDRESS_SIZE]; ///< The local address from which it is reached, or "".
  char interface_name[PORTLEASE_NAME_SIZE]; ///< The interface of the default route, or "" if it is not known.
  size_t protocol_count; ///< How many protocols were asked, also if fewer fit into the caller's array.
} portlease_gateway_report;

/// One protocol's part of a report, in the configured order.
typedef struct portlease_protocol_report {
  size_t struct_size; ///< sizeof(portlease_protocol_report)
  portlease_protocol protocol; ///< Which protocol.
  /// The gateway's external address, or "" if the protocol cannot tell without mapping.
  char external_address[PORTLEASE_ADDRESS_SIZE];
  char device[PORTLEASE_NAME_SIZE]; ///< The device's name (UPnP), or "".
  double round_trip; ///< How many seconds the answer took; negative if there was none.
  portlease_error error; ///< Why the protocol did not answer with an offer; PORTLEASE_OK if it did.
} portlease_protocol_report;

/// A failure with its reasons.
typedef struct portlease_error_report {
  size_t struct_size; ///< sizeof(portlease_error_report)
  /// How many protocols were tried, also if fewer fit into the caller's array; 0 if it is about none.
  size_t detail_count;
  double retry_after; ///< For how many seconds it is useless to try again; negative if that is not known.
  portlease_kind kind; ///< As in portlease_error; PORTLEASE_OK if nothing has failed.
  char message[PORTLEASE_MESSAGE_SIZE]; ///< As in portlease_error.
  char advice[PORTLEASE_ADVICE_SIZE]; ///< One sentence for people about what to do now, or "".
} portlease_error_report;

/// What one protocol has answered, in the configured order.
typedef struct portlease_error_detail {
  size_t struct_size; ///< sizeof(portlease_error_detail)
  portlease_protocol protocol; ///< The protocol that was tried.
  portlease_kind kind; ///< Why it failed.
  double retry_after; ///< For how many seconds the router says that the refusal holds; negative if it gave no time.
  /// The router's number: a PCP or NAT-PMP result code, or a UPnP error code; 0 if it answered with none.
  uint32_t code;
  char message[PORTLEASE_MESSAGE_SIZE]; ///< For people.
  char name[PORTLEASE_NAME_SIZE]; ///< The name of the code in its standard, such as "NOT_AUTHORIZED", or "".
} portlease_error_detail;

/// A line of the router's table of mapped ports.
typedef struct portlease_table_entry {
  size_t struct_size; ///< sizeof(portlease_table_entry)
  portlease_transport transport; ///< UDP or TCP.
  uint16_t external_port; ///< The port on the router's public side.
  uint16_t internal_port; ///< The port on the host inside.
  double lifetime; ///< The seconds that are left; negative for an entry that does not end by itself.
  bool enabled; ///< Whether it is in force.
  bool this_machine; ///< Whether it forwards to this machine.
  char remote_host[PORTLEASE_ADDRESS_SIZE]; ///< The only host that may use it; "" for everybody.
  /// The host inside to which the router forwards: an address, on some routers a name.
  char internal_client[PORTLEASE_NAME_SIZE];
  char description[PORTLEASE_NAME_SIZE]; ///< What the one who made it calls it.
} portlease_table_entry;

/// One thing that was told.
typedef struct portlease_log_record {
  size_t struct_size; ///< sizeof(portlease_log_record)
  double time; ///< When: seconds since 1970 began, UTC.
  uint64_t dropped; ///< How many records this reader lost just before this one because it did not pull them in time.
  portlease_log_level level; ///< How much it matters.
  char message[PORTLEASE_LOG_MESSAGE_SIZE]; ///< What happened, followed by " name=value" for each detail.
  char target[PORTLEASE_NAME_SIZE]; ///< The part of portlease that tells it, such as "portlease::client::pcp".
} portlease_log_record;

/// One wait that is over. Set each pointer to where that result is to go, or to NULL; it is filled in only by the calls
/// that have such a result.
typedef struct portlease_completion {
  size_t struct_size; ///< sizeof(portlease_completion)
  uint64_t token; ///< Filled in: the token with which the wait was begun.
  /// From portlease_waits_lease_ready, portlease_waits_lease_changed and portlease_waits_lease_repair.
  portlease_lease_snapshot *snapshot;
  portlease_event *event; ///< From portlease_waits_mapper_next_event and portlease_waits_events_next.
  /// From portlease_waits_mapper_probe, portlease_waits_probe, and these two with `_of`.
  portlease_gateway_report *report;
  portlease_protocol_report *protocols; ///< From the same: an array.
  size_t protocols_capacity; ///< How many fit into `protocols`.
  /// From portlease_waits_lease_stop, portlease_waits_lease_detach and portlease_waits_mapper_stop.
  portlease_release *release;
  /// Filled in: how the call ended, as the call that blocks would have; PORTLEASE_CANCELLED if it was cancelled.
  portlease_error error;
  portlease_table_entry *entries; ///< From portlease_waits_mapper_table and portlease_waits_mapper_delete: an array.
  size_t entries_capacity; ///< How many fit into `entries`.
  size_t entry_count; ///< From the same two: how many there are.
  /// From portlease_waits_mapper_external_address and portlease_waits_external_address: PORTLEASE_ADDRESS_SIZE bytes.
  char *address;
} portlease_completion;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/// The version of the library, which may be newer than that of the header (PORTLEASE_VERSION_STRING).
const char *portlease_version(void);

/// The stable names of all enums, the same in every language: "refused", "nat-pmp". They live for ever; "" for a number
/// that has no name, never NULL. PORTLEASE_OK is "ok", PORTLEASE_CANCELLED is "cancelled".
const char *portlease_kind_name(portlease_kind value);
const char *portlease_log_level_name(portlease_log_level value);
const char *portlease_state_name(portlease_state value);
const char *portlease_nat_class_name(portlease_nat_class value);
const char *portlease_release_name(portlease_release value);
const char *portlease_event_kind_name(portlease_event_kind value);
const char *portlease_protocol_name(portlease_protocol value);
const char *portlease_transport_name(portlease_transport value);
const char *portlease_family_name(portlease_family value);
const char *portlease_address_class_name(portlease_address_class value);

/// Maps one port and waits for the mapping: start, map and ready in one call. `config` and `snapshot` may be NULL. Waits
/// until the first attempt has ended, by default about 2 s at most. Fails as these three do; then both handles are NULL,
/// and what may have been mapped is released in the background. Stopping the mapper releases the port. To leave the
/// mapping on the gateway instead, detach the lease and then stop the mapper, which ends the engine. Free both handles.
portlease_kind portlease_open(const portlease_request *request, const portlease_config *config,
    double timeout_seconds, portlease_mapper **mapper, portlease_lease **lease, portlease_lease_snapshot *snapshot,
    portlease_error *error);

/// Checks the configuration (NULL: the default) and starts the engine's thread. Does not touch the network, does not
/// block. Fails with PORTLEASE_INVALID, naming the field.
portlease_kind portlease_mapper_start(const portlease_config *config, portlease_mapper **mapper,
    portlease_error *error);

/// Begins to map a port and returns at once; the lease tells how it goes. Fails with PORTLEASE_INVALID for a bad
/// request, for a port that another lease of this mapper has inside or asks for outside, and with PORTLEASE_STOPPED.
portlease_kind portlease_mapper_map(portlease_mapper *mapper, const portlease_request *request,
    portlease_lease **lease, portlease_error *error);

/// Gives the lease that exists for an equal request, in a handle of its own, or makes a new one as portlease_mapper_map does.
/// So a program may ask again for what it has. Free the handle; the lease ends with its last one. Fails as
/// portlease_mapper_map does, also for a lease on the same port with other wishes.
portlease_kind portlease_mapper_ensure(portlease_mapper *mapper, const portlease_request *request,
    portlease_lease **lease, portlease_error *error);

/// Begins to map a port over UDP and over TCP: two leases. The transport of the request does not matter, but must be one.
/// Either lease may fail without the other. Fails as portlease_mapper_map does; then there is no lease.
portlease_kind portlease_mapper_map_both(portlease_mapper *mapper, const portlease_request *request,
    portlease_lease **udp, portlease_lease **tcp, portlease_error *error);

/// Gives the leases that live and were not told to end, by number. Copies up to `capacity` new handles into `leases` (may be
/// NULL if `capacity` is 0), each to be freed, and the total into `count` (or NULL). Does not block. Fails with
/// PORTLEASE_INVALID only.
portlease_kind portlease_mapper_leases(portlease_mapper *mapper, portlease_lease **leases, size_t capacity,
    size_t *count, portlease_error *error);

/// Gives the present state of the mapper, and copies that of up to `capacity` of its leases into `leases` (may be NULL if
/// `capacity` is 0). Does not block. Fails with PORTLEASE_INVALID only.
portlease_kind portlease_mapper_get_snapshot(const portlease_mapper *mapper, portlease_mapper_snapshot *snapshot,
    portlease_lease_snapshot *leases, size_t capacity, portlease_error *error);

/// Pulls the next event, waiting for it (default: without limit). All calls pull from one queue, which begins at the first
/// call with the events that nobody has read yet, so each event is given out once; for several readers see
/// portlease_events. The queue holds 1024; then the oldest are dropped and counted. Fails with PORTLEASE_TIMEOUT, and
/// with PORTLEASE_STOPPED once the mapper is stopped and its last event was pulled.
portlease_kind portlease_mapper_next_event(portlease_mapper *mapper, double timeout_seconds, portlease_event *event,
    portlease_error *error);

/// Asks by every configured protocol what the gateway offers; maps nothing. Blocks for about 2 s at most. `report` may be
/// NULL, and so may `protocols` if `capacity` is 0. Fails with PORTLEASE_UNAVAILABLE or PORTLEASE_REFUSED if no protocol
/// has an offer, with PORTLEASE_TRANSPORT, and with PORTLEASE_STOPPED.
portlease_kind portlease_mapper_probe(portlease_mapper *mapper, portlease_gateway_report *report,
    portlease_protocol_report *protocols, size_t capacity, portlease_error *error);

/// portlease_mapper_probe, of the gateway of one family. For IPv6 it tells by which protocols the router could be asked for
/// pinholes, but not whether its firewall lets packets through without them. Fails as portlease_mapper_probe
/// does; with PORTLEASE_UNAVAILABLE also if this machine has no global IPv6 address.
portlease_kind portlease_mapper_probe_of(portlease_mapper *mapper, portlease_family family,
    portlease_gateway_report *report, portlease_protocol_report *protocols, size_t capacity, portlease_error *error);

/// Tells that the network may have changed: every lease looks again at once. Only for hosts that know before portlease,
/// which watches the network itself: phones tell their apps, and sandboxes hide the network. Does not block. Does nothing
/// once the mapper is stopped, and in the child of a fork. Fails with PORTLEASE_INVALID only.
portlease_kind portlease_mapper_network_changed(portlease_mapper *mapper, portlease_error *error);

/// Releases every mapping on the gateway and ends the engine's thread; waits for that (default: 5 s, and 0.1 s more for
/// each lease that is left). `release` is as for portlease_lease_stop, over all leases of the mapper, also those that
/// ended before. May be called again, and from several threads. Fails with PORTLEASE_INVALID only.
portlease_kind portlease_mapper_stop(portlease_mapper *mapper, double timeout_seconds, portlease_release *release,
    portlease_error *error);

/// Frees the handle. Its leases live on; the engine ends when the last of them is freed, too. Never blocks.
void portlease_mapper_free(portlease_mapper *mapper);

/// The lease's number within its mapper, from 1, as events name it; 0 for NULL. Does not block.
uint64_t portlease_lease_id(const portlease_lease *lease);

/// Fields of the snapshot without the rest of it: they take no lock and never block. NULL is a lease that is over.
portlease_state portlease_lease_state(const portlease_lease *lease);
bool portlease_lease_active(const portlease_lease *lease);
uint16_t portlease_lease_external_port(const portlease_lease *lease);
portlease_protocol portlease_lease_protocol(const portlease_lease *lease);
portlease_address_class portlease_lease_address_class(const portlease_lease *lease);

/// The external address and port at one moment: text into `address`, which has PORTLEASE_ADDRESS_SIZE bytes, and the port
/// (`port` or NULL). Both as in the snapshot: "" if the router does not know its address, 0 while not active. Takes no
/// lock, never blocks. Fails with PORTLEASE_INVALID only.
portlease_kind portlease_lease_external(const portlease_lease *lease, char *address, uint16_t *port,
    portlease_error *error);

/// Waits for a mapping (default: without limit) and fills in the state that has it (`snapshot` or NULL). Fails with
/// the kind of the latest whole attempt if that failed: every wait that is under way is told, and a later call waits for
/// the next attempt. Fails with PORTLEASE_TIMEOUT if no attempt has ended by then. Once the lease is over, fails with
/// what ended it, or with PORTLEASE_STOPPED.
portlease_kind portlease_lease_ready(portlease_lease *lease, double timeout_seconds,
    portlease_lease_snapshot *snapshot, portlease_error *error);

/// Waits (default: without limit) until the state is another than the one with the number `since_revision` (`revision`
/// of a snapshot), and fills it in (`snapshot` or NULL). Several changes between two calls are one. Fails with
/// PORTLEASE_TIMEOUT, and with PORTLEASE_STOPPED once the lease is over and the caller has seen that.
portlease_kind portlease_lease_changed(portlease_lease *lease, uint64_t since_revision, double timeout_seconds,
    portlease_lease_snapshot *snapshot, portlease_error *error);

/// Deletes the mapping and makes it again, with the same external port if the gateway gives it: for a mapping that the
/// gateway lists and does not forward. A lease without a mapping makes its next attempt at once. Waits for that (default:
/// without limit; the repair goes on after PORTLEASE_TIMEOUT) and fills in the state that has the mapping (`snapshot` or
/// NULL). Fails with PORTLEASE_REFUSED if the lease was repaired less than 10 s ago (the message says how long to wait),
/// with the kind of the attempt, after which the lease tries again, and with PORTLEASE_STOPPED once the lease is over.
portlease_kind portlease_lease_repair(portlease_lease *lease, double timeout_seconds,
    portlease_lease_snapshot *snapshot, portlease_error *error);

/// Copies the present state. Takes no lock, never blocks. Fails with PORTLEASE_INVALID only.
portlease_kind portlease_lease_get_snapshot(const portlease_lease *lease, portlease_lease_snapshot *snapshot,
    portlease_error *error);

/// Releases the mapping on the gateway and ends the lease; waits for that (default: 5 s). `release` (or NULL) gets how it
/// went, and PORTLEASE_PENDING if it still goes on. May be called again. Fails with PORTLEASE_INVALID only, never for a
/// gateway that is gone.
portlease_kind portlease_lease_stop(portlease_lease *lease, double timeout_seconds, portlease_release *release,
    portlease_error *error);

/// Ends the lease and leaves the mapping on the gateway until its lifetime ends; a permanent one stays until somebody
/// deletes it. Blocks for 5 s at most. `release` as above. The mapper goes on until it is stopped or freed.
portlease_kind portlease_lease_detach(portlease_lease *lease, portlease_release *release, portlease_error *error);

/// Frees the handle; a lease that was not stopped is released in the background. Never blocks.
void portlease_lease_free(portlease_lease *lease);

/// The latest failure that this thread was told, with its reasons: that of a call, of an event, or of a wait that was
/// handed out. A call that succeeds leaves it as it is, as with errno. `report` may be NULL, and so may `details` if
/// `capacity` is 0. Does not block. Fails with PORTLEASE_INVALID only.
portlease_kind portlease_error_get_report(portlease_error_report *report, portlease_error_detail *details,
    size_t capacity, portlease_error *error);

/// The same for `last_error` of the lease's snapshot, whichever thread was told.
portlease_kind portlease_lease_get_error(const portlease_lease *lease, portlease_error_report *report,
    portlease_error_detail *details, size_t capacity, portlease_error *error);

/// The address at which the internet sees this machine, without a lease of one's own, into `address`, which has
/// PORTLEASE_ADDRESS_SIZE bytes. Blocks for about 2 s at most by default. A lease that is active has it already. If
/// only PCP answers, it takes a mapping: UDP port 9 is mapped for a moment. Fails with PORTLEASE_UNAVAILABLE if no
/// protocol tells it, with PORTLEASE_REFUSED, PORTLEASE_TRANSPORT, PORTLEASE_TIMEOUT, and with PORTLEASE_STOPPED.
portlease_kind portlease_mapper_external_address(portlease_mapper *mapper, double timeout_seconds, char *address,
    portlease_error *error);

/// Reads the router's table of mapped ports, of all programs and machines, as far as the router shows it (1024 at most).
/// Copies up to `capacity` entries into `entries` (may be NULL if `capacity` is 0), and the total into `count` (or NULL).
/// Blocks until the router has shown it. Only UPnP can read it. Fails with PORTLEASE_UNAVAILABLE without UPnP, with PORTLEASE_REFUSED if the router
/// does not show it, with PORTLEASE_TRANSPORT, PORTLEASE_TIMEOUT, and with PORTLEASE_STOPPED.
portlease_kind portlease_mapper_table(portlease_mapper *mapper, portlease_table_entry *entries, size_t capacity,
    size_t *count, portlease_error *error);

/// Deletes an entry of that table. `entry` (or NULL) gets what it was, and `found` (or NULL) 1; 0 if there was none. One
/// that forwards to another machine is deleted only with `any_host`. Fails as portlease_mapper_table does; with
/// PORTLEASE_REFUSED for an entry of another machine; with PORTLEASE_INVALID for what a lease of this mapper holds.
portlease_kind portlease_mapper_delete(portlease_mapper *mapper, portlease_transport transport,
    uint16_t external_port, bool any_host, portlease_table_entry *entry, size_t *found, portlease_error *error);

/// portlease_mapper_probe with an engine of its own. `config` may be NULL.
portlease_kind portlease_probe(const portlease_config *config, portlease_gateway_report *report,
    portlease_protocol_report *protocols, size_t capacity, portlease_error *error);

/// portlease_mapper_probe_of with an engine of its own. `config` may be NULL.
portlease_kind portlease_probe_of(const portlease_config *config, portlease_family family,
    portlease_gateway_report *report, portlease_protocol_report *protocols, size_t capacity, portlease_error *error);

/// portlease_mapper_external_address with an engine of its own. `config` may be NULL.
portlease_kind portlease_external_address(const portlease_config *config, double timeout_seconds, char *address,
    portlease_error *error);

/// Makes a reader. It gets the events that nobody has read yet, and then every event from now on. If it falls 1024 events
/// behind, it loses the oldest, and `dropped` of the next event says how many. Does not block. Fails with
/// PORTLEASE_INVALID only. Free it with portlease_events_free.
portlease_kind portlease_events_new(portlease_mapper *mapper, portlease_events **events, portlease_error *error);

/// Reads the next event, waiting for it (default: without limit). Several threads that use one reader share its events.
/// Fails with PORTLEASE_TIMEOUT, and with PORTLEASE_STOPPED once the mapper is stopped and its last event was read.
portlease_kind portlease_events_next(portlease_events *events, double timeout_seconds, portlease_event *event,
    portlease_error *error);

/// Frees the handle. Never blocks.
void portlease_events_free(portlease_events *events);

/// Makes a reader of the log records at `level` and above. Does not block. Fails with PORTLEASE_INVALID only. Free
/// it with portlease_log_free.
portlease_kind portlease_log_new(portlease_log_level level, portlease_log **log, portlease_error *error);

/// Pulls the next record, waiting for it (default: without limit). 4096 wait for that; then the oldest are dropped. Fails
/// with PORTLEASE_TIMEOUT, and with PORTLEASE_STOPPED once the log is stopped and its last record was pulled.
portlease_kind portlease_log_next(portlease_log *log, double timeout_seconds, portlease_log_record *record,
    portlease_error *error);

/// Ends the reading, which wakes every thread in portlease_log_next. Does not block. Fails with PORTLEASE_INVALID only.
portlease_kind portlease_log_stop(portlease_log *log, portlease_error *error);

/// Frees the handle. No other thread may be in a call on it (stop first, and let them return). Never blocks.
void portlease_log_free(portlease_log *log);

/// Makes an object that holds waits. Does not block. Free it with portlease_waits_free.
portlease_kind portlease_waits_new(portlease_waits **waits, portlease_error *error);

/// Begins portlease_lease_ready. `token` is the caller's; the completion carries it. None of these functions
/// blocks. They fail with PORTLEASE_INVALID, also if a wait with this token is not over, and with PORTLEASE_STOPPED;
/// then no completion comes.
portlease_kind portlease_waits_lease_ready(portlease_waits *waits, portlease_lease *lease, double timeout_seconds,
    uint64_t token, portlease_error *error);

/// Begins portlease_lease_changed.
portlease_kind portlease_waits_lease_changed(portlease_waits *waits, portlease_lease *lease, uint64_t since_revision,
    double timeout_seconds, uint64_t token, portlease_error *error);

/// Begins portlease_lease_repair. Cancelling it ends the wait, not the repair.
portlease_kind portlease_waits_lease_repair(portlease_waits *waits, portlease_lease *lease, double timeout_seconds,
    uint64_t token, portlease_error *error);

/// Begins portlease_lease_stop.
portlease_kind portlease_waits_lease_stop(portlease_waits *waits, portlease_lease *lease, double timeout_seconds,
    uint64_t token, portlease_error *error);

/// Begins portlease_lease_detach.
portlease_kind portlease_waits_lease_detach(portlease_waits *waits, portlease_lease *lease, uint64_t token,
    portlease_error *error);

/// Begins portlease_mapper_next_event. An event is pulled only by a wait that is handed out with it: cancelling loses
/// none.
portlease_kind portlease_waits_mapper_next_event(portlease_waits *waits, portlease_mapper *mapper,
    double timeout_seconds, uint64_t token, portlease_error *error);

/// Begins portlease_events_next. Cancelling loses no event.
portlease_kind portlease_waits_events_next(portlease_waits *waits, portlease_events *events, double timeout_seconds,
    uint64_t token, portlease_error *error);

/// Begins portlease_mapper_stop.
portlease_kind portlease_waits_mapper_stop(portlease_waits *waits, portlease_mapper *mapper, double timeout_seconds,
    uint64_t token, portlease_error *error);

/// Cancels the wait with this token: it ends with PORTLEASE_CANCELLED, unless it was over already. Cancels the wait
/// only: the lease goes on, and so does a stop or detach. Does not block. Fails with PORTLEASE_INVALID for NULL only.
portlease_kind portlease_waits_cancel(portlease_waits *waits, uint64_t token, portlease_error *error);

/// Hands out the next wait that is over, waiting for one (default: without limit; 0 only looks). Several threads may
/// call it. Fails with PORTLEASE_TIMEOUT, and with PORTLEASE_STOPPED once the waits are stopped and all handed out.
/// `error` is this call's own; how the wait ended is in `completion`.
portlease_kind portlease_waits_next(portlease_waits *waits, double timeout_seconds, portlease_completion *completion,
    portlease_error *error);

/// A descriptor for poll(2), select(2) and their kin: readable when portlease_waits_next(waits, 0, ...) is worth a
/// call; call that until it answers PORTLEASE_TIMEOUT. Belongs to `waits`: never read from it, never close it.
/// PORTLEASE_INVALID if the system has no such thing (Windows).
portlease_kind portlease_waits_descriptor(portlease_waits *waits, int32_t *descriptor, portlease_error *error);

/// Cancels all waits and lets none begin any more, which wakes every thread in portlease_waits_next. Does not block.
portlease_kind portlease_waits_stop(portlease_waits *waits, portlease_error *error);

/// Frees it and cancels what is in it; no completions come any more. No other thread may be in a call on it (stop
/// first, and let them return). Never blocks.
void portlease_waits_free(portlease_waits *waits);

/// Begins portlease_mapper_probe.
portlease_kind portlease_waits_mapper_probe(portlease_waits *waits, portlease_mapper *mapper, uint64_t token,
    portlease_error *error);

/// Begins portlease_mapper_probe_of.
portlease_kind portlease_waits_mapper_probe_of(portlease_waits *waits, portlease_mapper *mapper,
    portlease_family family, uint64_t token, portlease_error *error);

/// Begins portlease_mapper_external_address.
portlease_kind portlease_waits_mapper_external_address(portlease_waits *waits, portlease_mapper *mapper,
    double timeout_seconds, uint64_t token, portlease_error *error);

/// Begins portlease_mapper_table.
portlease_kind portlease_waits_mapper_table(portlease_waits *waits, portlease_mapper *mapper, uint64_t token,
    portlease_error *error);

/// Begins portlease_mapper_delete. Cancelling it may leave the entry or not.
portlease_kind portlease_waits_mapper_delete(portlease_waits *waits, portlease_mapper *mapper,
    portlease_transport transport, uint16_t external_port, bool any_host, uint64_t token, portlease_error *error);

/// Begins portlease_probe.
portlease_kind portlease_waits_probe(portlease_waits *waits, const portlease_config *config, uint64_t token,
    portlease_error *error);

/// Begins portlease_probe_of.
portlease_kind portlease_waits_probe_of(portlease_waits *waits, const portlease_config *config,
    portlease_family family, uint64_t token, portlease_error *error);

/// Begins portlease_external_address.
portlease_kind portlease_waits_external_address(portlease_waits *waits, const portlease_config *config,
    double timeout_seconds, uint64_t token, portlease_error *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus


/// A struct that begins with struct_size, ready to be used: portlease_config config = PORTLEASE_INIT(portlease_config);
#ifdef __cplusplus
extern "C++" template <class T> inline T portlease_init() {
  T value = T();
  value.struct_size = sizeof(T);
  return value;
}
#define PORTLEASE_INIT(type) portlease_init<type>()
#else
#define PORTLEASE_INIT(type) {.struct_size = sizeof(type)}
#endif

#endif // PORTLEASE_H
