#include "view.h"

#include <string.h>

#include "text.h"

static json_t *words(const char *value) { return value[0] != '\0' ? json_string(value) : json_null(); }

static json_t *seconds(double value) { return value >= 0 ? json_real(value) : json_null(); }

static json_t *socket_address(const char *address, uint16_t port) {
  return address[0] != '\0' ? json_sprintf("%s:%u", address, (unsigned)port) : json_null();
}

json_t *view_error(const portlease_error *error) {
  return error->kind == PORTLEASE_OK
             ? json_null()
             : json_pack("{s:s, s:s}", "kind", portlease_kind_name(error->kind), "message", error->message);
}

json_t *view_lease(const portlease_lease_snapshot *lease) {
  return json_pack("{s:I, s:s, s:b, s:o, s:i, s:s, s:o, s:o, s:o, s:o, s:b, s:I, s:I, s:o, s:s, s:s}",    //
                   "id", (json_int_t)lease->id,                                                           //
                   "state", portlease_state_name(lease->state),                                           //
                   "active", (int)lease->active,                                                          //
                   "external", socket_address(lease->external_address, lease->external_port),             //
                   "internal_port", (int)lease->internal_port,                                            //
                   "transport", portlease_transport_name(lease->transport),                               //
                   "protocol", words(portlease_protocol_name(lease->protocol)),                           //
                   "ttl", seconds(lease->ttl),                                                            //
                   "expires_in", seconds(lease->expires_in),                                              //
                   "renews_in", seconds(lease->renews_in),                                                //
                   "permanent", (int)lease->permanent,                                                    //
                   "renewals", (json_int_t)lease->renewals,                                               //
                   "failures", (json_int_t)lease->failures,                                               //
                   "last_error", view_error(&lease->last_error),                                          //
                   "nat_class", portlease_nat_class_name(lease->nat_class),                               //
                   "address_class", portlease_address_class_name(lease->address_class));
}

json_t *view_mapper(const portlease_mapper_snapshot *mapper, const portlease_lease_snapshot *leases) {
  json_t *protocols = json_array(), *list = json_array();
  for (size_t i = 0; i < PORTLEASE_MAX_PROTOCOLS && mapper->protocols[i] != PORTLEASE_PROTOCOL_ABSENT; i++) {
    json_array_append_new(protocols, json_string(portlease_protocol_name(mapper->protocols[i])));
  }
  for (size_t i = 0; i < mapper->lease_count; i++) {
    json_array_append_new(list, view_lease(&leases[i]));
  }
  return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:o, s:b}",                 //
                   "gateway", words(mapper->gateway),                          //
                   "local_address", words(mapper->local_address),              //
                   "protocols", protocols,                                     //
                   "active", (json_int_t)mapper->active,                       //
                   "renewals", (json_int_t)mapper->renewals,                   //
                   "events_dropped", (json_int_t)mapper->events_dropped,       //
                   "leases", list,                                             //
                   "stopped", (int)mapper->stopped);
}

json_t *view_event(const portlease_event *event) {
  bool about_a_lease = event->lease != 0;
  return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:f, s:I}",                                //
                   "kind", portlease_event_kind_name(event->kind),                                           //
                   "lease", about_a_lease ? json_integer((json_int_t)event->lease) : json_null(),            //
                   "transport", words(portlease_transport_name(event->transport)),                           //
                   "internal_port", about_a_lease ? json_integer(event->internal_port) : json_null(),        //
                   "external", socket_address(event->external_address, event->external_port),                //
                   "protocol", words(portlease_protocol_name(event->protocol)),                              //
                   "ttl", seconds(event->ttl),                                                               //
                   "address_class", portlease_address_class_name(event->address_class),                      //
                   "error", view_error(&event->error),                                                       //
                   "elapsed", event->elapsed,                                                                //
                   "dropped", (json_int_t)event->dropped);
}

json_t *view_report(const portlease_gateway_report *report, const portlease_protocol_report *protocols) {
  json_t *list = json_array();
  for (size_t i = 0; i < report->protocol_count; i++) {
    json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:o, s:o}",                                      //
                                          "protocol", portlease_protocol_name(protocols[i].protocol),       //
                                          "external_address", words(protocols[i].external_address),         //
                                          "device", words(protocols[i].device),                             //
                                          "round_trip", seconds(protocols[i].round_trip),                   //
                                          "error", view_error(&protocols[i].error)));
  }
  return json_pack("{s:o, s:o, s:o, s:o}", "gateway", words(report->gateway), "local_address",
                   words(report->local_address), "interface", words(report->interface_name), "protocols", list);
}

portlease_transport view_transport(const char *name) {
  for (int number = 1; number < 8; number++) {
    if (strcmp(name, portlease_transport_name((portlease_transport)number)) == 0) {
      return (portlease_transport)number;
    }
  }
  return PORTLEASE_TRANSPORT_ABSENT;
}

static bool protocol(const char *name, portlease_protocol *to) {
  for (int number = PORTLEASE_PROTOCOL_PCP; number <= PORTLEASE_PROTOCOL_NONE; number++) {
    if (name != NULL && strcmp(name, portlease_protocol_name((portlease_protocol)number)) == 0) {
      *to = (portlease_protocol)number;
      return true;
    }
  }
  return false;
}

static bool protocols(portlease_config *config, const json_t *names) {
  if (json_array_size(names) == 0 || json_array_size(names) >= PORTLEASE_MAX_PROTOCOLS) {
    return false;
  }
  memset(config->protocols, 0, sizeof config->protocols);
  size_t index;
  json_t *name;
  json_array_foreach(names, index, name) {
    if (!protocol(json_string_value(name), &config->protocols[index])) {
      return false;
    }
  }
  return true;
}

static bool retry(portlease_config *config, const json_t *value) {
  config->retry_never = json_is_string(value) && strcmp(json_string_value(value), "never") == 0;
  config->retry_min = json_number_value(json_object_get(value, "min"));
  config->retry_max = json_number_value(json_object_get(value, "max"));
  return config->retry_never || (json_object_size(value) == 2 && config->retry_min > 0 && config->retry_max > 0);
}

static bool set_text(const char **to, const json_t *value) {
  *to = json_string_value(value);
  return *to != NULL;
}

static bool set_number(double *to, const json_t *value) {
  *to = json_number_value(value);
  return json_is_number(value);
}

static bool configure_field(portlease_config *config, const char *name, const json_t *value) {
  json_int_t whole = json_integer_value(value);
  if (strcmp(name, "gateway") == 0) {
    return set_text(&config->gateway, value);
  } else if (strcmp(name, "local_address") == 0) {
    return set_text(&config->local_address, value);
  } else if (strcmp(name, "interface") == 0) {
    return set_text(&config->interface_name, value);
  } else if (strcmp(name, "description") == 0) {
    return set_text(&config->description, value);
  } else if (strcmp(name, "ssdp_address") == 0) {
    return set_text(&config->ssdp_address, value);
  } else if (strcmp(name, "protocols") == 0) {
    return protocols(config, value);
  } else if (strcmp(name, "retry") == 0) {
    return retry(config, value);
  } else if (strcmp(name, "ttl") == 0) {
    return set_number(&config->ttl, value);
  } else if (strcmp(name, "renewal_interval") == 0) {
    return set_number(&config->renewal_interval, value);
  } else if (strcmp(name, "failure_threshold") == 0) {
    config->failure_threshold = (uint32_t)whole;
    return whole > 0 && whole <= UINT32_MAX;
  } else if (strcmp(name, "pcp_port") == 0) {
    config->pcp_port = (uint16_t)whole;
    return whole > 0 && whole <= UINT16_MAX;
  }
  return false;
}

char *view_configure(portlease_config *config, const json_t *fields) {
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)fields, name, value) {
    if (!configure_field(config, name, value)) {
      char *shown = written(value);
      char *reason = text("`%s: %s` is no setting", name, shown);
      free(shown);
      return reason;
    }
  }
  return NULL;
}
