/*
 * tenants.c: the tenant itself, further ones, and the way from one to another.
 */

#include "libcore/session/session.h"
#include "libcore/people/people.h"
#include "gen/queries.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))


#define TENANT_FIELDS                                                        \
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },             \
        { .name = TN_STR_C("name"),                                          \
          .type = TN__TYPE_TEXT,                                             \
          .out = 1,                                                          \
          .create = 1,                                                       \
          .update = 1,                                                       \
          .required = 1,                                                     \
          .has_min = 1,                                                      \
          .min = 1,                                                          \
          .has_max = 1,                                                      \
          .max = 200 },                                                      \
        { .name = TN_STR_C("slug"),                                          \
          .type = TN__TYPE_TEXT,                                             \
          .out = 1,                                                          \
          .create = 1,                                                       \
          .required = 1,                                                     \
          .has_min = 1,                                                      \
          .min = 3,                                                          \
          .has_max = 1,                                                      \
          .max = 63,                                                         \
          .pattern = TN__SLUG_PATTERN,                                       \
          .about = TN_STR_C("The host's label; it never changes"),           \
          .example = TN_STR_C("\"acme\"") },                                 \
        { .name = TN_STR_C("status"),                                        \
          .type = TN__TYPE_TEXT,                                             \
          .out = 1,                                                          \
          .set = tn__tenant_states,                                          \
          .nset = TN__TENANT_STATES },                                       \
        { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },     \
        { .name = TN_STR_C("created_at"), .type = TN__TYPE_TIME, .out = 1 }, \
        { .name = TN_STR_C("created_by"),                                    \
          .type = TN__TYPE_UUID,                                             \
          .out = 1,                                                          \
          .nullable = 1 },                                                   \
    {                                                                        \
        .name = TN_STR_C("updated_at"), .type = TN__TYPE_TIME, .out = 1      \
    }

static const tn__field tenant_fields[] = { TENANT_FIELDS };

static const tn__field create_input[] = { TENANT_FIELDS, TN__PROOF_FIELD };

static const tn__conflict create_conflicts[] = {
    { .constraint = TN_STR_C("tenant_slug_pkey"),
      .err = TN_E_SLUG_TAKEN,
      .pointer = TN_STR_C("/slug"),
      .fault = TN_F_DUPLICATE },
    { .constraint = TN_STR_C("tenant_slug_reserved"),
      .err = TN_E_INVALID_FIELDS,
      .pointer = TN_STR_C("/slug"),
      .fault = TN_F_NOT_IN_SET,
      .detail = "is reserved" },
};


static const tn__field mine_fields[] = {
    { .name = TN_STR_C("id"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .about = TN_STR_C("Of the organization") },
    { .name = TN_STR_C("name"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("slug"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("status"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .set = tn__tenant_states,
      .nset = TN__TENANT_STATES },
    { .name = TN_STR_C("role"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"member\"") },
    { .name = TN_STR_C("created_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .filter = 1,
      .sort = 1,
      .about = TN_STR_C("When you joined") },
};

/* The one list that isn't of one tenant: of those of who asks. */
static const tn__resource mine = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("tenant"),
    .full_name = TN_STR_C("tenon.tenant"),
    .noun = TN_STR_C("Membership"),
    .relation =
        TN_STR_C("(select :tenant::uuid as tenant_id, m.*"
                 " from tenon.find_memberships(:realm::uuid, :actor::uuid) m)"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("id"),
    .fields = mine_fields,
    .nfields = COUNT(mine_fields),
};


static const tn__field switch_input[] = {
    { .name = TN_STR_C("tenant"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .has_min = 1,
      .min = 1,
      .has_max = 1,
      .max = 63,
      .about = TN_STR_C("Slug or id of an organization of yours"),
      .example = TN_STR_C("\"acme\"") },
    TN__PROOF_FIELD,
};

enum {
    SWITCH_TENANT,
    SWITCH_PROOF,
};

/* What switch_find answers, behind the tenant's id, realm and slug. */
enum {
    FOUND_TENANT_NAME = 3,
    FOUND_STATUS,
    FOUND_EMAIL,
    FOUND_NAME,
    FOUND_SESSION_END,
    FOUND_LASTS,
    FOUND_FAMILY,
    FOUND_MFA,
    FOUND_PROVEN,
};

/* The states of a switch:
 *
 *   ASK      looks the session that asks up, and the tenant   DEPART
 *   DEPART   opens a session there                            ARRIVE
 *            the proof is a copy: ends this one               REUSED
 *   ARRIVE
 *   REUSED   dead on this node, and what its sign-in opened   ENDED
 *   ENDED
 */
enum {
    ASK,
    DEPART,
    ARRIVE,
    REUSED,
    ENDED,
};

typedef struct journey {
    tn__tenant from;
    tn_str tenant_name;
    tn_str email;
    tn_str name;
    tn_str session_end;
    int64_t lasts; /* seconds until then */
    tn_str family;
} journey;


static void
no_such_tenant(tn_op *op)
{
    tn__fault_field(op, TN_STR("tenant"), TN_F_NOT_FOUND, NULL);
    tn__fail(op, TN_E_INVALID_FIELDS, NULL);
}


static journey *
prepare(tn_op *op, const tn_rows *rows)
{
    journey *j;

    j = tn__zalloc(op->mem, sizeof(journey));

    if (j == NULL ||
        tn__dup(&j->tenant_name, tn__cell(rows, 0, FOUND_TENANT_NAME),
                op->mem) != TN_OK ||
        tn__dup(&j->email, tn__cell(rows, 0, FOUND_EMAIL), op->mem) != TN_OK ||
        tn__dup(&j->name, tn__cell(rows, 0, FOUND_NAME), op->mem) != TN_OK ||
        tn__dup(&j->session_end, tn__cell(rows, 0, FOUND_SESSION_END),
                op->mem) != TN_OK ||
        tn__dup(&j->family, tn__cell(rows, 0, FOUND_FAMILY), op->mem) !=
            TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return NULL;
    }

    if (!tn__int_parse(&j->lasts, tn__cell(rows, 0, FOUND_LASTS))) {
        tn__fail(op, TN_E_INTERNAL, NULL);
        return NULL;
    }

    if (tn__pg_true(tn__cell(rows, 0, FOUND_MFA))) {
        tn__local(op, TN_STR("session_mfa"), TN_STR("true"));
    }

    j->from = op->tenant;

    return j;
}


/* A cookie is the host's: where the host is one organization's, another's would
 * be good for nothing there. Who acts as somebody does so in the organization
 * where that was allowed. */
static void
ask(tn_op *op)
{
    if (op->principal.impersonator.p) {
        tn__fail(op, TN_E_FORBIDDEN,
                 "Who acts as somebody else stays in this organization.");
        return;
    }

    if (op->principal.session.p == NULL) {
        tn__fail(op, TN_E_STATE_CONFLICT,
                 "There is no session of ours behind this token: ask its "
                 "issuer for one of the other organization.");
        return;
    }

    if (tn__cookie_mode(op) && tn__host_names_tenant(op)) {
        tn__fail(op, TN_E_STATE_CONFLICT,
                 "This host is one organization's, and so is its cookie: log "
                 "in on the other's host.");
        return;
    }

    if (!tn__prove_session(op, op->values[SWITCH_PROOF])) {
        return;
    }

    tn__local(op, TN_STR("tenant_ref"), op->values[SWITCH_TENANT]);
    tn__batch_begin(op, 1, 0);
    tn__batch_add(op, &tn__q_switch_find);
    tn__want_db(op);
}


/* Of the session that asks: a new access token, and no secret that it has not
 * shown to have. */
static void
stay(tn_op *op, const journey *j)
{
    if (tn__cookie_mode(op) && !op->principal.cookie) {
        tn__fail(op, TN_E_STATE_CONFLICT,
                 "This session is one of tokens: log in for a cookie.");
        return;
    }

    tn__respond_session(op, j->email, j->name, j->tenant_name);
}


/* Of tokens, it was good once: what refreshing does with such a one. */
static void
disproved(tn_op *op)
{
    if (op->principal.cookie) {
        tn__unproven(op);
        return;
    }

    op->state = REUSED;
    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, &tn__q_refresh_state);
    tn__want_db(op);
}


static void
reused(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;

    rows = tn__rows(op, input, 1);

    if (rows && rows->nrows) {
        op->state = ENDED;
        tn__refresh_reused(op, rows);

    } else if (rows) {
        tn__unproven(op); /* it has ended meanwhile */
    }
}


static void
depart(tn_op *op, const tn_input *input)
{
    journey *j;
    const tn_rows *rows;

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0) {
        tn__fail(op, TN_E_UNAUTHENTICATED, NULL);
        return;
    }

    if (!tn__pg_true(tn__cell(rows, 0, FOUND_PROVEN))) {
        disproved(op);
        return;
    }

    if (tn__cell(rows, 0, 0).p == NULL) {
        no_such_tenant(op);
        return;
    }

    if (!tn__eq(tn__cell(rows, 0, FOUND_STATUS), TN_STR("active"))) {
        tn__fail(op, TN_E_TENANT_INACTIVE, NULL);
        return;
    }

    op->step_data = j = prepare(op, rows);
    if (j == NULL) {
        return;
    }

    if (tn__eq(tn__cell(rows, 0, 0), op->tenant.id)) {
        stay(op, j);
        return;
    }

    if (tn__tenant_row(&op->tenant, op, rows) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__local(op, TN_STR("from_tenant"), j->from.id);
    tn__local(op, TN_STR("from_session"), op->principal.session);

    if (tn__open_session(op)) {
        if (op->principal.lasts > j->lasts) {
            op->principal.lasts = j->lasts;
        }

        tn__local(op, TN_STR("session_end"), j->session_end);
        tn__local(op, TN_STR("session_family"), j->family);
        tn__batch_begin(op, 1, 1);
        tn__batch_add(op, &tn__q_switch_done);
        tn__want_db(op);
    }
}


static void
arrive(tn_op *op, const tn_input *input)
{
    journey *j;
    const tn_rows *rows;
    const tn_reply *reply;

    j = op->step_data;
    reply = input->reply;

    if (reply && reply->outcome == TN_DB_OK) {
        rows = tn__rows(op, input, 1);

        if (rows && rows->nrows) {
            tn__session_crowded(op, rows);
            tn__respond_session(op, j->email, j->name, j->tenant_name);
            return;
        }

        /* the membership ended just now */
        op->tenant = j->from;
        no_such_tenant(op);
        return;
    }

    op->tenant = j->from;
    tn__fail_db(op, reply);
}


static void
switch_tenant(tn_op *op, const tn_input *input)
{
    switch (op->state++) {

    case ASK:
        ask(op);
        return;

    case DEPART:
        depart(op, input);
        return;

    case ARRIVE:
        arrive(op, input);
        return;

    case REUSED:
        reused(op, input);
        return;

    default:
        if (!tn__access_void(op)) {
            tn__unproven(op);
        }
    }
}


/* An organization lasts, as its owner's. */
static void
prove_founder(tn_op *op, const tn_input *input)
{
    (void) input;
    tn__prove_session(op, op->values[COUNT(create_input) - 1]);
}


static const tn_err switch_errors[] = { TN_E_STATE_CONFLICT };

static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("getTenant"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/tenant"),
      .permission_name = "tenon.tenant:read",
      .action = TN_STR_C("tenant.read"),
      .summary = TN_STR_C("Read the organization"),
      .kind = TN__KIND_READ,
      .stmt = &tn__q_tenant,
      .output = tenant_fields,
      .noutput = COUNT(tenant_fields) },
    { .operation = TN_STR_C("updateTenant"),
      .method = TN_STR_C("PATCH"),
      .path = TN_STR_C("/v1/tenant"),
      .permission_name = "tenon.tenant:update",
      .action = TN_STR_C("tenant.updated"),
      .summary = TN_STR_C("Rename the organization"),
      .noun = TN_STR_C("Tenant"),
      .kind = TN__KIND_WRITE,
      .stmt = &tn__q_tenant_update,
      .input = tenant_fields,
      .ninput = COUNT(tenant_fields),
      .output = tenant_fields,
      .noutput = COUNT(tenant_fields) },
    { .operation = TN_STR_C("deleteTenant"),
      .method = TN_STR_C("DELETE"),
      .path = TN_STR_C("/v1/tenant"),
      .permission_name = "tenon.tenant:delete",
      .by_self = 1,
      .action = TN_STR_C("tenant.deleted"),
      .summary = TN_STR_C("Delete the organization and end its sessions"),
      .kind = TN__KIND_WRITE,
      .stmt = &tn__q_tenant_delete,
      .status = 204,
      .changes_access = 1,
      .ends_tenant = 1 },
    { .operation = TN_STR_C("createTenant"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/tenants"),
      .permission_name = "authenticated",
      .action = TN_STR_C("tenant.created"),
      .summary = TN_STR_C("Make a further organization, as its owner"),
      .noun = TN_STR_C("Tenant"),
      .kind = TN__KIND_WRITE,
      .step = prove_founder,
      .stmt = &tn__q_tenant_create,
      .input = create_input,
      .ninput = COUNT(create_input),
      .output = tenant_fields,
      .noutput = COUNT(tenant_fields),
      .conflicts = create_conflicts,
      .nconflicts = COUNT(create_conflicts),
      .status = 201,
      .elsewhere = 1,
      .by_self = 1,
      .in_session = 1 },
    { .operation = TN_STR_C("listMyTenants"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/me/tenants"),
      .permission_name = "authenticated",
      .action = TN_STR_C("tenant.listed"),
      .summary = TN_STR_C("List the organizations that you belong to"),
      .kind = TN__KIND_LIST,
      .resource = &mine,
      .in_session = 1 },
    { .operation = TN_STR_C("switchTenant"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/auth/tenant"),
      .permission_name = "authenticated",
      .action = TN_STR_C("user.switched_tenant"),
      .summary = TN_STR_C("Sign in to another organization of yours"),
      .noun = TN_STR_C("Session"),
      .kind = TN__KIND_STEP,
      .step = switch_tenant,
      .unkeyed = 1,
      .opens_session = 1,
      .errors = switch_errors,
      .nerrors = COUNT(switch_errors),
      .input = switch_input,
      .ninput = COUNT(switch_input),
      .output = tn__session_fields,
      .noutput = TN__SESSION_FIELDS,
      .cache_control = TN_STR_C("no-store") },
};

const tn__slice tn__tenants_slice = { endpoints, COUNT(endpoints) };
