/*
 * sessions.c: one's own sessions in this organization, and oneself: what is
 * seen and changed of them.
 */

#include "libcore/session/session.h"
#include "gen/queries.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* What anybody may send without having signed in is read small. */
#define PUBLIC_BODY_MAX 16384


static const tn_str kinds[] = { TN_STR_C("token"), TN_STR_C("cookie") };

static const tn__field session_fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("kind"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .set = kinds,
      .nset = COUNT(kinds) },
    { .name = TN_STR_C("created_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .filter = 1,
      .sort = 1 },
    { .name = TN_STR_C("last_used_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .about = TN_STR_C("To within a minute") },
    { .name = TN_STR_C("expires_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .about = TN_STR_C("At the latest, however much it is used") },
    { .name = TN_STR_C("ip"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("Where it was opened from") },
    { .name = TN_STR_C("user_agent"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("current"),
      .type = TN__TYPE_BOOL,
      .out = 1,
      .about = TN_STR_C("The one that asks") },
    { .name = TN_STR_C("mfa"),
      .type = TN__TYPE_BOOL,
      .out = 1,
      .about = TN_STR_C("Opened with a second factor") },
    { .name = TN_STR_C("impersonated"),
      .type = TN__TYPE_BOOL,
      .out = 1,
      .about = TN_STR_C("One of the platform's own people acts as you in it") },
};

/* Those that hold, as tenon.find_session() has it. */
static const tn__resource sessions = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("session"),
    .full_name = TN_STR_C("tenon.session"),
    .noun = TN_STR_C("OpenSession"),
    .relation = TN_STR_C(
        "(select s.tenant_id, s.id, s.kind, s.created_at, s.last_used_at,"
        " s.expires_at, s.ip, s.user_agent, s.mfa,"
        " s.impersonator is not null as impersonated,"
        " s.id is not distinct from :session::uuid as current"
        " from tenon.session s"
        " join tenon.member m on m.tenant_id = s.tenant_id"
        " and m.user_id = s.user_id and m.deleted_at is null"
        " join tenon.\"user\" u on u.realm_id = m.realm_id"
        " and u.id = m.user_id"
        " where s.tenant_id = :tenant::uuid and s.user_id = :actor::uuid"
        " and s.revoked_at is null and s.expires_at > now()"
        " and (s.idle_ttl is null or s.last_used_at"
        " + make_interval(secs => s.idle_ttl) > now())"
        " and s.created_at >= m.created_at"
        " and (u.sessions_from is null or s.created_at > u.sessions_from"
        " or s.id = u.session_kept))"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("id"),
    .fields = session_fields,
    .nfields = COUNT(session_fields),
};


static const tn__field refresh_input[] = {
    { .name = TN_STR_C("refresh_token"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .has_max = 1,
      .max = 200 },
};

static const tn_err refresh_errors[] = {
    TN_E_UNAUTHENTICATED,
    TN_E_TENANT_UNKNOWN,
    TN_E_TENANT_MISMATCH,
    TN_E_TENANT_INACTIVE,
};

static const tn__field scope_fields[] = {
    { .type = TN__TYPE_TEXT, .out = 1 },
};

static const tn__field api_key_fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("name"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("scopes"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .array = 1,
      .fields = scope_fields,
      .nfields = COUNT(scope_fields) },
};

static const tn_str reaches[] = {
    TN_STR_C("tenant"),
    TN_STR_C("accounts"),
    TN_STR_C("own"),
};

static const tn__field permission_fields[] = {
    { .name = TN_STR_C("permission"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"tenon.member:read\"") },
    { .name = TN_STR_C("scope"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .set = reaches,
      .nset = COUNT(reaches),
      .about = TN_STR_C("The widest: any row; rows of some accounts, which "
                        "me/accounts tells; what you made yourself") },
};

static const tn__field me_fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("email"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"ann@example.com\"") },
    { .name = TN_STR_C("name"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .update = 1,
      .has_min = 1,
      .min = 1,
      .has_max = 1,
      .max = 200 },
    { .name = TN_STR_C("role"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"member\"") },
    { .name = TN_STR_C("tenant"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .fields = tn__tenant_fields,
      .nfields = TN__TENANT_FIELDS },
    { .name = TN_STR_C("email_verified"), .type = TN__TYPE_BOOL, .out = 1 },
    { .name = TN_STR_C("mfa_enabled"),
      .type = TN__TYPE_BOOL,
      .out = 1,
      .drifts = 1 },
    { .name = TN_STR_C("recovery_codes_left"),
      .type = TN__TYPE_INT,
      .out = 1,
      .nullable = 1,
      .drifts = 1,
      .about = TN_STR_C("Of the second factor's ten; null where there is none"),
      .example = TN_STR_C("null") },
    { .name = TN_STR_C("impersonated"),
      .type = TN__TYPE_BOOL,
      .out = 1,
      .drifts = 1,
      .about = TN_STR_C("It is one of the platform's own people who asks, as "
                        "you") },
    { .name = TN_STR_C("permissions"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .array = 1,
      .drifts = 1,
      .fields = permission_fields,
      .nfields = COUNT(permission_fields),
      .about = TN_STR_C("All that you may do here, by an API key as far as "
                        "its scopes go") },
    { .name = TN_STR_C("api_key"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .nullable = 1,
      .fields = api_key_fields,
      .nfields = COUNT(api_key_fields),
      .about = TN_STR_C("The key by which you ask; null: a session"),
      .example = TN_STR_C("null") },
    { .name = TN_STR_C("version"), .type = TN__TYPE_INT }, /* ETag only */
};


static const tn_str grant_scopes[] = { TN_STR_C("tenant"), TN_STR_C("own") };

static const tn__field grant_fields[] = {
    { .name = TN_STR_C("permission"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"tenon.account:read\"") },
    { .name = TN_STR_C("scope"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .set = grant_scopes,
      .nset = COUNT(grant_scopes),
      .about = TN_STR_C("tenant: any row there; own: what you made yourself") },
};

static const tn__field account_fields[] = {
    { .name = TN_STR_C("id"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .about = TN_STR_C("Of the account") },
    { .name = TN_STR_C("parent_id"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("kind"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"team\"") },
    { .name = TN_STR_C("name"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("role"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"account_user\""),
      .about = TN_STR_C("Yours, in it and in all that lies in it") },
    { .name = TN_STR_C("permissions"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .array = 1,
      .fields = grant_fields,
      .nfields = COUNT(grant_fields),
      .about = TN_STR_C("What that role holds, by an API key as far as its "
                        "scopes go; besides, what you may do in the whole "
                        "organization") },
    { .name = TN_STR_C("created_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .filter = 1,
      .sort = 1,
      .about = TN_STR_C("Since when the role is yours") },
};

/* Those with a role of one's own; what lies in them needn't be told. */
static const tn__resource my_accounts = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("account_member"),
    .full_name = TN_STR_C("tenon.account_member"),
    .noun = TN_STR_C("MyAccount"),
    .relation = TN_STR_C(
        "(select h.tenant_id, a.id, a.parent_id, a.kind, a.name, h.role,"
        " h.created_at, (select coalesce(json_agg(json_build_object("
        "'permission', g.permission, 'scope', case when g.scope = 'tenant'"
        " and (k.id is null or g.permission = any (k.scopes))"
        " then 'tenant' else 'own' end) order by g.permission), '[]')"
        " from json_to_recordset(tenon.role_told(h.tenant_id, h.role))"
        " as g (permission text, scope text)"
        " where k.id is null or g.permission = any (k.scopes)"
        " or g.permission || ':own' = any (k.scopes)) as permissions"
        " from tenon.account_member h"
        " join tenon.member m on m.tenant_id = h.tenant_id"
        " and m.user_id = h.user_id and m.deleted_at is null"
        " and m.created_at <= h.created_at"
        " join tenon.account a on a.tenant_id = h.tenant_id"
        " and a.id = h.account_id and a.deleted_at is null"
        " left join tenon.api_key k on k.tenant_id = h.tenant_id"
        " and k.id = :api_key::uuid"
        " where h.tenant_id = :tenant::uuid and h.user_id = :actor::uuid"
        " and h.deleted_at is null)"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("id"),
    .fields = account_fields,
    .nfields = COUNT(account_fields),
};


static void
may(tn_op *op, const tn_input *input)
{
    (void) input;
    tn__permissions_bind(op);
}


/* Both begin their answer with why not, and where the sign-ins had more. */
enum {
    ENDED_REFUSED,
    ENDED_TENANTS,
    ENDED_ANY, /* of all others: whether there was anything to end */
};


static void
end_one(tn_op *op, const tn_input *input)
{
    int replayed;
    const tn_rows *rows;

    if (op->state++ == 0) {
        tn__batch_begin(op, 1, 1);
        tn__batch_add(op, &tn__q_session_end);
        tn__want_db(op);
        return;
    }

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    replayed = tn__replay(op, rows);
    if (replayed < 0) {
        return;
    }

    if (!replayed && tn__cell(rows, 0, ENDED_REFUSED).p) {
        tn__fail(op, TN_E_NOT_FOUND, NULL);
        return;
    }

    tn__sessions_ended(op, tn__cell(rows, 0, ENDED_TENANTS));
    tn__respond(op, 204, TN_NULL);
}


/* A copy of this session's cookie goes with the others. */
static void
end_others(tn_op *op, const tn_input *input)
{
    int replayed;
    const tn_rows *rows;

    if (op->state++ == 0) {
        tn__batch_begin(op, 1, 1);
        tn__batch_add(op, &tn__q_sessions_end);
        tn__session_rotate(op);
        tn__want_db(op);
        return;
    }

    rows = tn__rows(op, input, 1);
    replayed = rows ? tn__replay(op, rows) : -1;

    if (replayed < 0) {
        return;
    }

    op->unchanged = !replayed && !tn__pg_true(tn__cell(rows, 0, ENDED_ANY));

    tn__sessions_ended(op, tn__cell(rows, 0, ENDED_TENANTS));
    tn__session_rotated(op, input, 2);
    tn__respond(op, 204, TN_NULL);
}


static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("refresh"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/auth/refresh"),
      .permission_name = "public",
      .action = TN_STR_C("session.refreshed"),
      .summary = TN_STR_C("Take new tokens for a refresh token"),
      .noun = TN_STR_C("Session"),
      .errors = refresh_errors,
      .nerrors = COUNT(refresh_errors),
      .kind = TN__KIND_STEP,
      .step = tn__step_refresh,
      .unkeyed = 1,
      .tenantless = 1,
      .body_max = PUBLIC_BODY_MAX,
      .input = refresh_input,
      .ninput = COUNT(refresh_input),
      .output = tn__session_fields,
      .noutput = TN__SESSION_FIELDS,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("getMe"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/me"),
      .permission_name = "authenticated",
      .summary = TN_STR_C("Read who you are here"),
      .noun = TN_STR_C("Me"),
      .kind = TN__KIND_READ,
      .by_key = 1,
      .step = may,
      .stmt = &tn__q_me,
      .output = me_fields,
      .noutput = COUNT(me_fields) },
    { .operation = TN_STR_C("updateMe"),
      .method = TN_STR_C("PATCH"),
      .path = TN_STR_C("/v1/me"),
      .permission_name = "authenticated",
      .action = TN_STR_C("user.updated"),
      .summary = TN_STR_C("Change your name, wherever you belong"),
      .noun = TN_STR_C("Me"),
      .kind = TN__KIND_WRITE,
      .step = may,
      .stmt = &tn__q_me_update,
      .input = me_fields,
      .ninput = COUNT(me_fields),
      .output = me_fields,
      .noutput = COUNT(me_fields),
      .by_self = 1,
      .in_session = 1 },
    { .operation = TN_STR_C("listMyAccounts"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/me/accounts"),
      .permission_name = "authenticated",
      .action = TN_STR_C("account.listed"),
      .summary = TN_STR_C("List the accounts in which you hold a role"),
      .kind = TN__KIND_LIST,
      .resource = &my_accounts,
      .by_key = 1 },
    { .operation = TN_STR_C("listMySessions"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/me/sessions"),
      .permission_name = "authenticated",
      .action = TN_STR_C("session.listed"),
      .summary = TN_STR_C("List your open sessions in this organization"),
      .kind = TN__KIND_LIST,
      .resource = &sessions },
    { .operation = TN_STR_C("endMyOtherSessions"),
      .method = TN_STR_C("DELETE"),
      .path = TN_STR_C("/v1/me/sessions"),
      .permission_name = "authenticated",
      .action = TN_STR_C("session.others_revoked"),
      .summary = TN_STR_C("End all your sessions here but this one, and "
                          "those elsewhere that belong to their sign-ins"),
      .kind = TN__KIND_STEP,
      .step = end_others,
      .status = 204,
      .changes_access = 1,
      .by_self = 1,
      .in_session = 1 },
    { .operation = TN_STR_C("endMySession"),
      .method = TN_STR_C("DELETE"),
      .path = TN_STR_C("/v1/me/sessions/{id}"),
      .permission_name = "authenticated",
      .action = TN_STR_C("session.revoked"),
      .summary = TN_STR_C("End a session of yours, and those in other "
                          "organizations that belong to its sign-in"),
      .kind = TN__KIND_STEP,
      .step = end_one,
      .status = 204,
      .ends_session = 1,
      .by_self = 1,
      .in_session = 1 },
};

const tn__slice tn__sessions_slice = { endpoints, COUNT(endpoints) };
