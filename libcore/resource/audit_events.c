/*
 * audit_events.c: the event log as a list. It has no more than any resource
 * has, so it is one: a row over the view tenon.audit_event, newest first.
 */

#include "libcore/resource/resource.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))


static const tn__field fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .sort = 1,
      .filter = 1 },
    { .name = TN_STR_C("action"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("outcome"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("actor"), .type = TN__TYPE_JSON, .out = 1 },
    { .name = TN_STR_C("resource"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("resource_id"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .filter = 1 },
    { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },
    { .name = TN_STR_C("request_id"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("ip"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("user_agent"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("metadata"), .type = TN__TYPE_JSON, .out = 1 },
    { .name = TN_STR_C("before"), .type = TN__TYPE_JSON, .out = 1 },
    { .name = TN_STR_C("after"), .type = TN__TYPE_JSON, .out = 1 },
};

static const tn__resource audit_event = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("audit_event"),
    .relation = TN_STR_C("tenon.audit_event"),
    .order = TN_STR_C("at"),
    .owner = TN_STR_C("actor_id"),
    .fields = fields,
    .nfields = COUNT(fields),
};

static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("listAuditEvents"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/audit/events"),
      .permission_name = "tenon.audit_event:read",
      .kind = TN__KIND_LIST,
      .resource = &audit_event },
};

const tn__slice tn__audit_slice = { endpoints, COUNT(endpoints) };
