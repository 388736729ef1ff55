// Results of the library as the scenarios write them, and settings of the scenarios as the library wants them.
#ifndef VIEW_H
#define VIEW_H

#include <jansson.h>
#include <portlease.h>
#include <stdbool.h>

json_t *view_error(const portlease_error *error); // null where there is none
json_t *view_lease(const portlease_lease_snapshot *lease);
json_t *view_mapper(const portlease_mapper_snapshot *mapper, const portlease_lease_snapshot *leases);
json_t *view_event(const portlease_event *event);
json_t *view_report(const portlease_gateway_report *report, const portlease_protocol_report *protocols);

// Puts the fields of a scenario's configuration into `config`, which then points into them. Answers NULL, or why not,
// to be freed.
char *view_configure(portlease_config *config, const json_t *fields);

// The transport with this name; absent where there is none.
portlease_transport view_transport(const char *name);

#endif
