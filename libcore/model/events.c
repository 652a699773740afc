/*
 * events.c: the event log as a resource: what audit/events lists, and what the
 * history of a row is a part of.
 */

#include "libcore/model/model.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))


static const tn_str actor_types[] = {
    TN_STR_C("user"),
    TN_STR_C("api_key"),
    TN_STR_C("anonymous"),
    TN_STR_C("system"),
};

static const tn__field actor_fields[] = {
    { .name = TN_STR_C("type"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .set = actor_types,
      .nset = COUNT(actor_types) },
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1, .nullable = 1 },
    { .name = TN_STR_C("impersonator"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .nullable = 1 },
};

static const tn_str outcomes[] = {
    TN_STR_C("success"),
    TN_STR_C("refused"),
    TN_STR_C("failure"),
};

static const tn__field fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .sort = 1,
      .filter = 1 },
    { .name = TN_STR_C("action"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .filter = 1,
      .several = 1,
      .example = TN_STR_C("\"task.created\"") },
    { .name = TN_STR_C("outcome"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .filter = 1,
      .of_path = 1,
      .set = outcomes,
      .nset = COUNT(outcomes) },
    { .name = TN_STR_C("actor"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .fields = actor_fields,
      .nfields = COUNT(actor_fields) },
    { .name = TN_STR_C("actor_id"),
      .param = TN_STR_C("actor"),
      .type = TN__TYPE_UUID,
      .nullable = 1,
      .filter = 1 },
    { .name = TN_STR_C("resource"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1,
      .filter = 1,
      .of_path = 1,
      .several = 1,
      .example = TN_STR_C("\"teamos.task\"") },
    { .name = TN_STR_C("resource_id"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .nullable = 1,
      .filter = 1,
      .of_path = 1 },
    { .name = TN_STR_C("version"),
      .type = TN__TYPE_INT,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("request_id"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1,
      .filter = 1 },
    { .name = TN_STR_C("ip"), .type = TN__TYPE_TEXT, .out = 1, .nullable = 1 },
    { .name = TN_STR_C("user_agent"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("metadata"),
      .type = TN__TYPE_OBJECT,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("before"),
      .type = TN__TYPE_OBJECT,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("after"),
      .type = TN__TYPE_OBJECT,
      .out = 1,
      .nullable = 1 },
};

const tn__resource tn__event_resource = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("audit_event"),
    .full_name = TN_STR_C("tenon.audit_event"),
    .noun = TN_STR_C("Event"),
    .path = TN_STR_C("audit/events"),
    .relation = TN_STR_C("tenon.audit_event"),
    .order = TN_STR_C("at"),
    .owner = TN_STR_C("actor_id"),
    .long_filters = 1,
    .encrypted = 1, /* as the rows are whose images it has */
    .fields = fields,
    .nfields = COUNT(fields),
};
