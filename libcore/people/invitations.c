/*
 * invitations.c: an address is invited to become a member. How it joins is in
 * accept.c.
 */

#include "libcore/billing/billing.h"
#include "libcore/session/session.h"
#include "libcore/people/people.h"
#include "gen/queries.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define BODY_MAX 16384


static const tn_str statuses[] = {
    TN_STR_C("pending"),
    TN_STR_C("accepted"),
    TN_STR_C("expired"),
};

static const tn__field invitation_fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("email"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .required = 1,
      .lower = 1,
      .pattern = TN__EMAIL_PATTERN,
      .example = TN_STR_C("\"ann@example.com\"") },
    { .name = TN_STR_C("role"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .required = 1,
      .filter = 1,
      .several = 1,
      .pattern = TN__ROLE_PATTERN,
      .about = TN_STR_C("The name of a role. Nobody gives one that holds more "
                        "than their own"),
      .example = TN_STR_C("\"member\"") },
    { .name = TN_STR_C("status"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .filter = 1,
      .set = statuses,
      .nset = COUNT(statuses) },
    { .name = TN_STR_C("invited_by"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("expires_at"), .type = TN__TYPE_TIME, .out = 1 },
    { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },
    { .name = TN_STR_C("created_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .filter = 1,
      .sort = 1 },
};

static const tn__resource invitation = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("invitation"),
    .full_name = TN_STR_C("tenon.invitation"),
    .path = TN_STR_C("invitations"),
    .relation = TN_STR_C("tenon.invitation_view"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("invited_by"),
    .fields = invitation_fields,
    .nfields = COUNT(invitation_fields),
};

static const tn__conflict invite_conflicts[] = {
    { .constraint = TN_STR_C("invitation_email_key"),
      .err = TN_E_DUPLICATE,
      .pointer = TN_STR_C("/email"),
      .fault = TN_F_DUPLICATE },
};


static const tn__field accept_input[] = {
    { .name = TN_STR_C("token"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .has_max = 1,
      .max = 200 },
    { .name = TN_STR_C("name"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .has_min = 1,
      .min = 1,
      .has_max = 1,
      .max = 200,
      .about = TN_STR_C("Needed where preview says has_account: false") },
    { .name = TN_STR_C("password"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .password = 1,
      .has_min = 1,
      .min = 8,
      .about = TN_STR_C("The account's, where preview says has_account: true; "
                        "else the one that it gets") },
};

static const tn__field preview_input[] = {
    { .name = TN_STR_C("token"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .has_max = 1,
      .max = 200 },
};

static const tn__field place_fields[] = {
    { .name = TN_STR_C("name"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("slug"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"acme\"") },
};

static const tn__field preview_output[] = {
    { .name = TN_STR_C("tenant"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .fields = place_fields,
      .nfields = COUNT(place_fields) },
    { .name = TN_STR_C("email"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"ann@example.com\"") },
    { .name = TN_STR_C("has_account"),
      .type = TN__TYPE_BOOL,
      .out = 1,
      .about = TN_STR_C("Whether the address has an account that was verified "
                        "once: accepting takes its password. Else it takes a "
                        "name and a new password") },
    { .name = TN_STR_C("role"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"member\"") },
    { .name = TN_STR_C("expires_at"), .type = TN__TYPE_TIME, .out = 1 },
};

static const tn_err preview_errors[] = {
    TN_E_TENANT_UNKNOWN,
    TN_E_TENANT_MISMATCH,
    TN_E_TENANT_INACTIVE,
    TN_E_SECRET_SPENT,
};

static const tn__field accept_output[] = {
    { .name = TN_STR_C("user"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .fields = tn__user_fields,
      .nfields = TN__USER_FIELDS },
    { .name = TN_STR_C("tenant"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .fields = tn__tenant_fields,
      .nfields = TN__TENANT_FIELDS },
    { .name = TN_STR_C("member"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .fields = tn__member_fields,
      .nfields = TN__MEMBER_FIELDS },
};

static const tn__conflict accept_conflicts[] = {
    { .constraint = TN_STR_C("user_email_key"), .err = TN_E_EMAIL_TAKEN },
};


/* Who is invited takes a seat of the plan's already. */
static void
bind_seats(tn_op *op, const tn_input *input)
{
    (void) input;
    tn__seats_bind(op);
}


static const tn_err accept_errors[] = {
    TN_E_TENANT_UNKNOWN, TN_E_TENANT_MISMATCH,     TN_E_TENANT_INACTIVE,
    TN_E_SECRET_SPENT,   TN_E_INVALID_CREDENTIALS, TN_E_FORBIDDEN,
    TN_E_DUPLICATE,
};

static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("listInvitations"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/invitations"),
      .permission_name = "tenon.invitation:read",
      .action = TN_STR_C("invitation.listed"),
      .summary = TN_STR_C("List the invitations"),
      .kind = TN__KIND_LIST,
      .resource = &invitation },
    { .operation = TN_STR_C("inviteMember"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/invitations"),
      .permission_name = "tenon.invitation:create",
      .action = TN_STR_C("member.invited"),
      .summary = TN_STR_C("Invite an address to become a member"),
      .kind = TN__KIND_WRITE,
      .resource = &invitation,
      .step = bind_seats,
      .stmt = &tn__q_invitation_create,
      .input = invitation_fields,
      .ninput = COUNT(invitation_fields),
      .output = invitation_fields,
      .noutput = COUNT(invitation_fields),
      .conflicts = invite_conflicts,
      .nconflicts = COUNT(invite_conflicts),
      .by_person = 1,
      .status = 201 },
    { .operation = TN_STR_C("getInvitation"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/invitations/{id}"),
      .permission_name = "tenon.invitation:read",
      .action = TN_STR_C("invitation.read"),
      .summary = TN_STR_C("Read an invitation"),
      .kind = TN__KIND_READ,
      .resource = &invitation },
    { .operation = TN_STR_C("revokeInvitation"),
      .method = TN_STR_C("DELETE"),
      .path = TN_STR_C("/v1/invitations/{id}"),
      .permission_name = "tenon.invitation:delete",
      .action = TN_STR_C("invitation.revoked"),
      .summary = TN_STR_C("Revoke an invitation"),
      .kind = TN__KIND_WRITE,
      .resource = &invitation,
      .stmt = &tn__q_invitation_delete,
      .status = 204 },
    { .operation = TN_STR_C("previewInvitation"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/invitations/preview"),
      .permission_name = "public",
      .summary = TN_STR_C("Look at an invitation by its token, before it is "
                          "accepted"),
      .noun = TN_STR_C("InvitationPreview"),
      .errors = preview_errors,
      .nerrors = COUNT(preview_errors),
      .kind = TN__KIND_STEP,
      .step = tn__step_preview,
      .unkeyed = 1,
      .input = preview_input,
      .ninput = COUNT(preview_input),
      .output = preview_output,
      .noutput = COUNT(preview_output),
      .tenantless = 1,
      .body_max = BODY_MAX,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("acceptInvitation"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/invitations/accept"),
      .permission_name = "public",
      .action = TN_STR_C("member.joined"),
      .summary = TN_STR_C("Join by the token of an invitation"),
      .errors = accept_errors,
      .nerrors = COUNT(accept_errors),
      .kind = TN__KIND_STEP,
      .step = tn__step_accept,
      .hashes = 1,
      .input = accept_input,
      .ninput = COUNT(accept_input),
      .output = accept_output,
      .noutput = COUNT(accept_output),
      .conflicts = accept_conflicts,
      .nconflicts = COUNT(accept_conflicts),
      .tenantless = 1,
      .body_max = BODY_MAX,
      .cache_control = TN_STR_C("no-store") },
};

const tn__slice tn__invitations_slice = { endpoints, COUNT(endpoints) };
