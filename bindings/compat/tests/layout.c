// What the library fills in is where the headers say, and as large as that.
#include <arpa/inet.h>
#include <stddef.h>

#include "check.h"

enum { FILL = 0xa5, MORE = 64 };

// Memory for a struct with some more behind it, all of it FILL.
static void *filled(size_t size) {
  unsigned char *room = malloc(size + MORE);
  CHECK(room != NULL);
  memset(room, FILL, size + MORE);
  return room;
}

// That no byte behind a struct was written.
static void check_end(const void *room, size_t size) {
  for (size_t i = size; i < size + MORE; i++) {
    CHECK(((const unsigned char *)room)[i] == FILL);
  }
}

// That every byte up to the end of a struct's last member is now 0, and none behind the struct was written. What may lie between
// the two has no value.
static void check_zeros(void *room, size_t last, size_t size) {
  for (size_t i = 0; i < last; i++) {
    CHECK(((unsigned char *)room)[i] == 0);
  }
  check_end(room, size);
  free(room);
}

#define UP_TO(type, member) (offsetof(type, member) + sizeof ((type *)NULL)->member), sizeof(type)

TEST(a_description_that_is_not_understood_is_a_whole_struct_of_zeros) {
  struct IGDdatas *data = filled(sizeof *data);
  parserootdesc("<root/>", 7, data);
  check_zeros(data, UP_TO(struct IGDdatas, tmp));
}

TEST(an_answer_that_is_not_understood_is_a_whole_struct_of_zeros) {
  struct NameValueParserData *list = filled(sizeof *list);
  ParseNameValue("<a>b</a>", 8, list);
  CHECK(GetValueFromNameValueList(list, "a") == NULL);
  ClearNameValueList(list);
  check_zeros(list, UP_TO(struct NameValueParserData, cdatalen));
}

TEST(a_name_is_found_in_a_list_of_the_programs_own) {
  struct NameValueParserData list = {0};
  struct NameValue *pair = calloc(1, sizeof *pair);
  strcpy(pair->name, "NewEnabled");
  strcpy(pair->value, "1");
  list.l_head = pair;
  CHECK(strcmp(GetValueFromNameValueList(&list, "NewEnabled"), "1") == 0);
  CHECK(GetValueFromNameValueList(&list, "NewOther") == NULL);
  ClearNameValueList(&list);
  CHECK(list.l_head == NULL);
}

TEST(the_description_of_the_router_is_in_its_places) {
  int error;
  struct UPNPDev *devices = upnpDiscover(2000, NULL, NULL, 0, 0, 2, &error);
  CHECK(devices != NULL && devices->pNext == NULL && devices->scope_id == 0);
  CHECK(devices->buffer == (char *)devices + offsetof(struct UPNPDev, buffer));
  struct UPNPUrls *urls = filled(sizeof *urls);
  struct IGDdatas *data = filled(sizeof *data);
  char lan[64];
  CHECK_IS(1, check_igd(devices, urls, data, lan, sizeof lan, NULL, 0));
  check_end(urls, sizeof *urls);
  check_end(data, sizeof *data);
  CHECK(strstr(urls->controlURL, "/control") != NULL && strstr(urls->controlURL_CIF, "/control") != NULL);
  CHECK(strcmp(urls->rootdescURL, devices->descURL) == 0 && urls->ipcondescURL[0] != '\0' && urls->controlURL_6FC != NULL);
  CHECK(strncmp(data->urlbase, "http://127.0.0.1:", 17) == 0 && strcmp(data->presentationurl, "http://127.0.0.1/") == 0);
  CHECK(strstr(data->first.servicetype, ":WANIPConnection:1") != NULL && data->second.servicetype[0] == '\0');
  CHECK(strstr(data->CIF.servicetype, ":WANCommonInterfaceConfig:1") != NULL && data->IPv6FC.servicetype[0] == '\0');
  CHECK(strcmp(data->first.controlurl, urls->controlURL) == 0 && data->first.scpdurl[0] == '\0');
  CHECK(data->level == 0 && data->cureltname[0] == '\0' && data->tmp.servicetype[0] == '\0');
  CHECK_IS(1, UPNPIGD_IsConnected(urls, data));
  FreeUPNPUrls(urls);
  FreeUPNPUrls(urls);
  free(urls);
  free(data);
  freeUPNPDevlist(devices);
}

TEST(a_line_of_the_table_is_in_its_places) {
  CHECK_IS(0, check_add("4000", "4001", "UDP", "600"));
  struct PortMappingParserData *list = filled(sizeof *list);
  CHECK_IS(0, UPNP_GetListOfPortMappings(URL, SERVICE, "1", "65535", "UDP", "1000", list));
  check_end(list, sizeof *list);
  const struct PortMapping *line = list->l_head;
  CHECK(line != NULL && line->l_next == NULL && line->externalPort == 4000 && line->internalPort == 4001);
  CHECK(line->leaseTime > 0 && line->leaseTime <= 600 && line->enabled == 1 && line->remoteHost[0] == '\0');
  CHECK(strcmp(line->internalClient, HOST) == 0 && strcmp(line->protocol, "UDP") == 0);
  FreePortListing(list);
  CHECK(list->l_head == NULL);
  free(list);
  list = filled(sizeof *list);
  ParsePortListing("<p:PortMappingEntry/>", 21, list);
  check_zeros(list, UP_TO(struct PortMappingParserData, curelt));
  CHECK_IS(0, check_delete("4000", "UDP"));
}

TEST(the_struct_of_libnatpmp_is_filled_in_and_no_more) {
  natpmp_t *p = filled(sizeof *p);
  CHECK_IS(0, initnatpmp(p, 0, 0));
  check_end(p, sizeof *p);
  CHECK(p->s >= 0 && p->gateway == inet_addr(HOST) && p->has_pending_request == 0 && p->try_number == 0);
  CHECK_IS(12, sendnewportmappingrequest(p, NATPMP_PROTOCOL_TCP, 4000, 4000, 600));
  CHECK(p->has_pending_request == 1 && p->pending_request_len == 12 && p->try_number == 1 && p->retry_time.tv_sec > 0);
  natpmpresp_t *response = filled(sizeof *response);
  int code;
  while ((code = readnatpmpresponseorretry(p, response)) == NATPMP_TRYAGAIN) {
  }
  CHECK_IS(0, code);
  check_end(response, sizeof *response);
  CHECK(p->has_pending_request == 0 && response->type == NATPMP_RESPTYPE_TCPPORTMAPPING && response->resultcode == 0);
  CHECK(response->pnu.newportmapping.privateport == 4000 && response->pnu.newportmapping.mappedpublicport == 4000);
  CHECK(response->pnu.newportmapping.lifetime > 500 && response->pnu.newportmapping.lifetime <= 600);
  free(response);
  CHECK_IS(0, check_delete("4000", "TCP"));
  CHECK_IS(0, closenatpmp(p));
  free(p);
}

int main(void) {
  check_libraries();
  RUN(a_description_that_is_not_understood_is_a_whole_struct_of_zeros);
  RUN(an_answer_that_is_not_understood_is_a_whole_struct_of_zeros);
  RUN(a_name_is_found_in_a_list_of_the_programs_own);
  RUN(the_description_of_the_router_is_in_its_places);
  RUN(a_line_of_the_table_is_in_its_places);
  RUN(the_struct_of_libnatpmp_is_filled_in_and_no_more);
  return 0;
}
