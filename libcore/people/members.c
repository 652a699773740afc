/*
 * members.c: the members of a tenant, and the review of what they may do. Two
 * lists over views; a change is one statement of schema/queries/people.sql.
 */

#include "libcore/identity/identity.h"
#include "libcore/people/people.h"
#include "gen/queries.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))


const tn__field tn__member_fields[TN__MEMBER_FIELDS] = {
    { .name = TN_STR_C("id"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .about = TN_STR_C("Of the membership") },
    { .name = TN_STR_C("user_id"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .filter = 1 },
    { .name = TN_STR_C("email"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"ann@example.com\"") },
    { .name = TN_STR_C("name"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("role"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .update = 1,
      .filter = 1,
      .set = tn__role_names,
      .nset = TN__ROLES,
      .about = TN_STR_C("Nobody gives or takes one above their own") },
    { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },
    { .name = TN_STR_C("created_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .filter = 1,
      .sort = 1 },
};

static const tn__resource member = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("member"),
    .full_name = TN_STR_C("tenon.member"),
    .path = TN_STR_C("members"),
    .relation = TN_STR_C("tenon.member_view"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("user_id"),
    .fields = tn__member_fields,
    .nfields = TN__MEMBER_FIELDS,
};


static const tn_str scopes[] = { TN_STR_C("tenant"), TN_STR_C("own") };

static const tn__field grant_fields[] = {
    { .name = TN_STR_C("permission"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"teamos.task:update\"") },
    { .name = TN_STR_C("scope"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .set = scopes,
      .nset = COUNT(scopes),
      .about = TN_STR_C("tenant: any row; own: what one has made oneself") },
};

static const tn__field access_fields[] = {
    { .name = TN_STR_C("id"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .about = TN_STR_C("Of the membership") },
    { .name = TN_STR_C("user_id"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .filter = 1 },
    { .name = TN_STR_C("email"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"ann@example.com\"") },
    { .name = TN_STR_C("name"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("role"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .filter = 1,
      .set = tn__role_names,
      .nset = TN__ROLES },
    { .name = TN_STR_C("permissions"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .array = 1,
      .fields = grant_fields,
      .nfields = COUNT(grant_fields),
      .about = TN_STR_C("What the role allows") },
    { .name = TN_STR_C("granted_by"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("Who set the role last") },
    { .name = TN_STR_C("granted_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("created_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .filter = 1,
      .sort = 1 },
};

static const tn__resource access_review = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("audit_event"),
    .full_name = TN_STR_C("tenon.audit_event"),
    .noun = TN_STR_C("Access"),
    .relation = TN_STR_C("tenon.access_view"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("user_id"),
    .fields = access_fields,
    .nfields = COUNT(access_fields),
};


static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("listMembers"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/members"),
      .permission_name = "tenon.member:read",
      .action = TN_STR_C("member.listed"),
      .summary = TN_STR_C("List the members"),
      .kind = TN__KIND_LIST,
      .resource = &member },
    { .operation = TN_STR_C("getMember"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/members/{id}"),
      .permission_name = "tenon.member:read",
      .action = TN_STR_C("member.read"),
      .summary = TN_STR_C("Read a member"),
      .kind = TN__KIND_READ,
      .resource = &member },
    { .operation = TN_STR_C("updateMember"),
      .method = TN_STR_C("PATCH"),
      .path = TN_STR_C("/v1/members/{id}"),
      .permission_name = "tenon.member:update",
      .action = TN_STR_C("member.role_changed"),
      .summary = TN_STR_C("Change a member's role"),
      .kind = TN__KIND_WRITE,
      .resource = &member,
      .stmt = &tn__q_member_update,
      .input = tn__member_fields,
      .ninput = TN__MEMBER_FIELDS,
      .output = tn__member_fields,
      .noutput = TN__MEMBER_FIELDS,
      .changes_access = 1 },
    { .operation = TN_STR_C("removeMember"),
      .method = TN_STR_C("DELETE"),
      .path = TN_STR_C("/v1/members/{id}"),
      .permission_name = "tenon.member:delete",
      .action = TN_STR_C("member.removed"),
      .summary = TN_STR_C("Remove a member, or leave"),
      .kind = TN__KIND_WRITE,
      .resource = &member,
      .stmt = &tn__q_member_delete,
      .status = 204,
      .changes_access = 1 },
    { .operation = TN_STR_C("listAccess"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/audit/access"),
      .permission_name = "tenon.audit_event:read",
      .action = TN_STR_C("access.listed"),
      .summary = TN_STR_C("Review who has access to what, and who gave it"),
      .kind = TN__KIND_LIST,
      .resource = &access_review },
};

const tn__slice tn__members_slice = { endpoints, COUNT(endpoints) };
