/*
 * audit_events.c: the event log as a list. It has no more than any resource
 * has, so it is one (model/events.c).
 */

#include "libcore/resource/resource.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))


static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("listAuditEvents"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/audit/events"),
      .permission_name = "tenon.audit_event:read",
      .summary = TN_STR_C("List what was done, by whom"),
      .action = TN_STR_C("audit_event.listed"),
      .kind = TN__KIND_LIST,
      .resource = &tn__event_resource },
};

const tn__slice tn__audit_slice = { endpoints, COUNT(endpoints) };
