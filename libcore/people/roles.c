/*
 * roles.c: what may be done by whom: the roles of a tenant, shipped and its
 * own, the permissions they are made of, and the owner's, which can be handed
 * to somebody else. Lists over views; a change is one statement of
 * schema/queries/roles.sql, which says who may give what.
 */

#include "libcore/identity/identity.h"
#include "libcore/people/people.h"
#include "gen/queries.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))


static const tn_str scopes[] = { TN_STR_C("tenant"), TN_STR_C("own") };

const tn__field tn__grant_fields[TN__GRANT_FIELDS] = {
    { .name = TN_STR_C("permission"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .required = 1,
      .has_max = 1,
      .max = 200,
      .example = TN_STR_C("\"tenon.member:read\"") },
    { .name = TN_STR_C("scope"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .default_sql = TN_STR_C("'tenant'::text"),
      .set = scopes,
      .nset = COUNT(scopes),
      .about = TN_STR_C("tenant: any row; own: what one has made oneself") },
};


static const tn_str levels[] = {
    TN_STR_C("tenant"),
    TN_STR_C("account"),
    TN_STR_C("platform"),
};

/* One can be given at the first two levels only. */
#define ROLE_FIELDS(nlevels)                                               \
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },           \
        { .name = TN_STR_C("name"),                                        \
          .type = TN__TYPE_TEXT,                                           \
          .out = 1,                                                        \
          .create = 1,                                                     \
          .required = 1,                                                   \
          .filter = 1,                                                     \
          .sort = 1,                                                       \
          .pattern = TN__ROLE_PATTERN,                                     \
          .about = TN_STR_C("By which it is given; it never changes"),     \
          .example = TN_STR_C("\"reviewer\"") },                           \
        { .name = TN_STR_C("title"),                                       \
          .type = TN__TYPE_TEXT,                                           \
          .out = 1,                                                        \
          .create = 1,                                                     \
          .update = 1,                                                     \
          .required = 1,                                                   \
          .has_min = 1,                                                    \
          .min = 1,                                                        \
          .has_max = 1,                                                    \
          .max = 200,                                                      \
          .example = TN_STR_C("\"Reviewer\"") },                           \
        { .name = TN_STR_C("level"),                                       \
          .type = TN__TYPE_TEXT,                                           \
          .out = 1,                                                        \
          .create = 1,                                                     \
          .filter = 1,                                                     \
          .default_sql = TN_STR_C("'tenant'::text"),                       \
          .set = levels,                                                   \
          .nset = nlevels,                                                 \
          .about = TN_STR_C(                                               \
              "Who holds it: members of the organization, members of "     \
              "an account, or the platform's staff, which is only "        \
              "shipped; it never changes") },                              \
        { .name = TN_STR_C("shipped"),                                     \
          .type = TN__TYPE_BOOL,                                           \
          .out = 1,                                                        \
          .filter = 1,                                                     \
          .about = TN_STR_C("It comes with Tenon and can't be changed") }, \
        { .name = TN_STR_C("permissions"),                                 \
          .type = TN__TYPE_JSON,                                           \
          .out = 1,                                                        \
          .array = 1,                                                      \
          .create = 1,                                                     \
          .update = 1,                                                     \
          .has_max = 1,                                                    \
          .max = TN__PERM_MAX,                                             \
          .fields = tn__grant_fields,                                      \
          .nfields = TN__GRANT_FIELDS,                                     \
          .about = TN_STR_C(                                               \
              "All that it holds; nobody puts in what their own role "     \
              "doesn't hold") },                                           \
        { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },   \
        { .name = TN_STR_C("created_at"),                                  \
          .type = TN__TYPE_TIME,                                           \
          .out = 1,                                                        \
          .filter = 1,                                                     \
          .sort = 1 },                                                     \
    {                                                                      \
        .name = TN_STR_C("updated_at"), .type = TN__TYPE_TIME, .out = 1    \
    }

static const tn__field role_fields[] = { ROLE_FIELDS(COUNT(levels)) };
static const tn__field role_input[] = { ROLE_FIELDS(2) };

static const tn__resource role = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("role"),
    .full_name = TN_STR_C("tenon.role"),
    .path = TN_STR_C("roles"),
    .relation = TN_STR_C("tenon.role_view"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("created_by"),
    .fields = role_fields,
    .nfields = COUNT(role_fields),
};

static const tn__conflict role_conflicts[] = {
    { .constraint = TN_STR_C("tenant_role_name_key"),
      .err = TN_E_DUPLICATE,
      .pointer = TN_STR_C("/name"),
      .fault = TN_F_DUPLICATE },
};


static const tn__field scope_items[] = {
    { .type = TN__TYPE_TEXT, .out = 1, .set = scopes, .nset = COUNT(scopes) },
};

static const tn__field permission_fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID },
    { .name = TN_STR_C("name"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .sort = 1,
      .example = TN_STR_C("\"tenon.member:read\"") },
    { .name = TN_STR_C("description"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"Read member\"") },
    { .name = TN_STR_C("scopes"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .array = 1,
      .fields = scope_items,
      .nfields = COUNT(scope_items),
      .about = TN_STR_C("In which a role can hold it") },
};

/* The same for every tenant. */
static const tn__resource permission = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("role"),
    .full_name = TN_STR_C("tenon.role"),
    .noun = TN_STR_C("Permission"),
    .relation = TN_STR_C("(select :tenant::uuid as tenant_id, p.id, p.name,"
                         " p.description, to_json(p.scopes) as scopes"
                         " from tenon.permission_view p)"),
    .order = TN_STR_C("name"),
    .owner = TN_STR_C("id"),
    .fields = permission_fields,
    .nfields = COUNT(permission_fields),
};


static const tn__field transfer_input[] = {
    { .name = TN_STR_C("member_id"),
      .type = TN__TYPE_UUID,
      .create = 1,
      .required = 1,
      .about = TN_STR_C("Who becomes the owner") },
};


static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("listRoles"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/roles"),
      .permission_name = "tenon.role:read",
      .action = TN_STR_C("role.listed"),
      .summary = TN_STR_C("List the roles, shipped and own"),
      .kind = TN__KIND_LIST,
      .resource = &role },
    { .operation = TN_STR_C("createRole"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/roles"),
      .permission_name = "tenon.role:create",
      .action = TN_STR_C("role.created"),
      .summary = TN_STR_C("Define a role of the organization's own"),
      .kind = TN__KIND_WRITE,
      .by_person = 1,
      .resource = &role,
      .stmt = &tn__q_role_create,
      .input = role_input,
      .ninput = COUNT(role_input),
      .output = role_fields,
      .noutput = COUNT(role_fields),
      .conflicts = role_conflicts,
      .nconflicts = COUNT(role_conflicts),
      .status = 201,
      .changes_access = 1 },
    { .operation = TN_STR_C("getRole"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/roles/{id}"),
      .permission_name = "tenon.role:read",
      .action = TN_STR_C("role.read"),
      .summary = TN_STR_C("Read a role"),
      .kind = TN__KIND_READ,
      .resource = &role },
    { .operation = TN_STR_C("updateRole"),
      .method = TN_STR_C("PATCH"),
      .path = TN_STR_C("/v1/roles/{id}"),
      .permission_name = "tenon.role:update",
      .action = TN_STR_C("role.updated"),
      .summary = TN_STR_C("Change a role of the organization's own"),
      .kind = TN__KIND_WRITE,
      .by_person = 1,
      .resource = &role,
      .stmt = &tn__q_role_update,
      .input = role_fields,
      .ninput = COUNT(role_fields),
      .output = role_fields,
      .noutput = COUNT(role_fields),
      .changes_access = 1 },
    { .operation = TN_STR_C("deleteRole"),
      .method = TN_STR_C("DELETE"),
      .path = TN_STR_C("/v1/roles/{id}"),
      .permission_name = "tenon.role:delete",
      .action = TN_STR_C("role.deleted"),
      .summary = TN_STR_C("Delete a role that nobody holds"),
      .kind = TN__KIND_WRITE,
      .resource = &role,
      .stmt = &tn__q_role_delete,
      .status = 204,
      .changes_access = 1 },
    { .operation = TN_STR_C("listPermissions"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/permissions"),
      .permission_name = "tenon.role:read",
      .action = TN_STR_C("permission.listed"),
      .summary = TN_STR_C("List what roles can be made of"),
      .kind = TN__KIND_LIST,
      .resource = &permission },
    { .operation = TN_STR_C("transferTenant"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/tenant/transfer"),
      .permission_name = "tenon.tenant:transfer",
      .action = TN_STR_C("tenant.transferred"),
      .summary = TN_STR_C("Hand the organization to another member"),
      .noun = TN_STR_C("Member"),
      .kind = TN__KIND_WRITE,
      .by_person = 1,
      .stmt = &tn__q_tenant_transfer,
      .input = transfer_input,
      .ninput = COUNT(transfer_input),
      .output = tn__member_fields,
      .noutput = TN__MEMBER_FIELDS,
      .changes_access = 1,
      .by_self = 1 },
};

const tn__slice tn__roles_slice = { endpoints, COUNT(endpoints) };
