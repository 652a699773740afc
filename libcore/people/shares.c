/*
 * shares.c: single rows that a member may see, or change, whatever their roles:
 * of resources declared so. Who shares a row may do to it what they share; what
 * was shared with oneself can be listed, and given back.
 */

#include "libcore/identity/identity.h"
#include "libcore/people/people.h"
#include "gen/queries.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))


static const tn_str accesses[] = { TN_STR_C("read"), TN_STR_C("update") };

static const tn__field fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("resource"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .required = 1,
      .filter = 1,
      .has_max = 1,
      .max = 127,
      .example = TN_STR_C("\"mono.profile\""),
      .about = TN_STR_C("One that is declared shareable") },
    { .name = TN_STR_C("resource_id"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .create = 1,
      .required = 1,
      .filter = 1,
      .about = TN_STR_C("The row") },
    { .name = TN_STR_C("account_id"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .nullable = 1,
      .filter = 1,
      .about = TN_STR_C("The account that the row belongs to") },
    { .name = TN_STR_C("user_id"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .create = 1,
      .required = 1,
      .filter = 1,
      .about = TN_STR_C("A member of the tenant") },
    { .name = TN_STR_C("email"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"ann@example.com\"") },
    { .name = TN_STR_C("name"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("access"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .default_sql = TN_STR_C("'read'"),
      .set = accesses,
      .nset = COUNT(accesses),
      .about = TN_STR_C("update: read, too") },
    { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },
    { .name = TN_STR_C("created_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .filter = 1,
      .sort = 1 },
    { .name = TN_STR_C("created_by"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .nullable = 1 },
};

static const tn__resource share = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("share"),
    .full_name = TN_STR_C("tenon.share"),
    .path = TN_STR_C("shares"),
    .relation = TN_STR_C("tenon.share_view"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("user_id"),
    .account = TN_STR_C("account_id"),
    .fields = fields,
    .nfields = COUNT(fields),
};

static const tn__conflict conflicts[] = {
    { .constraint = TN_STR_C("share_user_key"),
      .err = TN_E_DUPLICATE,
      .pointer = TN_STR_C("/user_id"),
      .fault = TN_F_DUPLICATE,
      .detail = "has a share of this row already: delete that first" },
};


static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("listShares"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/shares"),
      .permission_name = "tenon.share:read",
      .action = TN_STR_C("share.listed"),
      .summary = TN_STR_C("List which rows are shared with whom"),
      .kind = TN__KIND_LIST,
      .resource = &share },
    { .operation = TN_STR_C("createShare"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/shares"),
      .permission_name = "tenon.share:create",
      .action = TN_STR_C("share.created"),
      .summary = TN_STR_C("Share a row with a member"),
      .kind = TN__KIND_WRITE,
      .resource = &share,
      .stmt = &tn__q_share_create,
      .input = fields,
      .ninput = COUNT(fields),
      .output = fields,
      .noutput = COUNT(fields),
      .conflicts = conflicts,
      .nconflicts = COUNT(conflicts),
      .status = 201,
      .by_person = 1 },
    { .operation = TN_STR_C("getShare"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/shares/{id}"),
      .permission_name = "tenon.share:read",
      .action = TN_STR_C("share.read"),
      .summary = TN_STR_C("Read a share"),
      .kind = TN__KIND_READ,
      .resource = &share },
    { .operation = TN_STR_C("deleteShare"),
      .method = TN_STR_C("DELETE"),
      .path = TN_STR_C("/v1/shares/{id}"),
      .permission_name = "tenon.share:delete",
      .action = TN_STR_C("share.deleted"),
      .summary = TN_STR_C("Share a row no longer"),
      .kind = TN__KIND_WRITE,
      .resource = &share,
      .stmt = &tn__q_share_delete,
      .status = 204,
      .by_person = 1 },
};

const tn__slice tn__shares_slice = { endpoints, COUNT(endpoints) };
