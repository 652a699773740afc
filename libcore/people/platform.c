/*
 * platform.c: the platform's own people and the tenants they run. Served in
 * the platform tenant alone: its permissions are a role's that no other tenant
 * can give, and the functions behind refuse any other tenant's context.
 */

#include "libcore/session/session.h"
#include "libcore/people/people.h"
#include "gen/queries.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define IMPERSONATION_TTL 900 /* seconds: enough to look, too little to stay */


static const tn_str realms[] = { TN_STR_C("shared"), TN_STR_C("own") };

/* What is shown of a tenant, and behind it what is given to make one. */
static const tn__field tenant_fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("name"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .required = 1,
      .has_min = 1,
      .min = 1,
      .has_max = 1,
      .max = 200 },
    { .name = TN_STR_C("slug"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .filter = 1,
      .create = 1,
      .required = 1,
      .has_min = 1,
      .min = 3,
      .has_max = 1,
      .max = 63,
      .pattern = TN__SLUG_PATTERN,
      .example = TN_STR_C("\"acme\"") },
    { .name = TN_STR_C("status"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .filter = 1,
      .set = tn__tenant_states,
      .nset = TN__TENANT_STATES },
    { .name = TN_STR_C("user_realm"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .set = realms,
      .nset = COUNT(realms),
      .create = 1,
      .default_sql = TN_STR_C("'shared'"),
      .about = TN_STR_C("shared: its users may belong to other tenants too; "
                        "own: they are its alone") },
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
    { .name = TN_STR_C("updated_at"), .type = TN__TYPE_TIME, .out = 1 },
    { .name = TN_STR_C("owner_email"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .lower = 1,
      .pattern = TN__EMAIL_PATTERN,
      .about = TN_STR_C("Who owns it; one who is new sets a password by way of "
                        "a forgotten one"),
      .example = TN_STR_C("\"ann@example.com\"") },
    { .name = TN_STR_C("owner_name"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .has_min = 1,
      .min = 1,
      .has_max = 1,
      .max = 200 },
};

#define TENANT_SHOWN (COUNT(tenant_fields) - 2)

static const tn__resource platform_tenant = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("platform"),
    .full_name = TN_STR_C("tenon.platform"),
    .noun = TN_STR_C("PlatformTenant"),
    .path = TN_STR_C("platform/tenants"),
    .relation = TN_STR_C("tenon.platform_tenant_view"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("created_by"),
    .fields = tenant_fields,
    .nfields = TENANT_SHOWN,
};

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
    { .constraint = TN_STR_C("platform_owner_verified"),
      .err = TN_E_INVALID_FIELDS,
      .pointer = TN_STR_C("/owner_email"),
      .fault = TN_F_REFUSED,
      .detail = "is of a user who hasn't verified it, or is disabled" },
};

static const tn__field impersonate_input[] = {
    { .name = TN_STR_C("user_id"),
      .type = TN__TYPE_UUID,
      .create = 1,
      .required = 1,
      .about = TN_STR_C("A member of the tenant") },
    { .name = TN_STR_C("reason"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .has_min = 1,
      .min = 1,
      .has_max = 1,
      .max = 1000,
      .about = TN_STR_C("Stands in the tenant's audit log"),
      .example = TN_STR_C("\"ticket 4711: can't see the invoice\"") },
};

static const tn_err impersonate_errors[] = { TN_E_NOT_FOUND,
                                             TN_E_TENANT_INACTIVE,
                                             TN_E_STATE_CONFLICT };

/* The rows of impersonate_input. */
enum {
    USER_ID,
    REASON,
};

/* What platform_impersonate answers. */
enum {
    REFUSED,
    REALM,
    SLUG,
    TENANT_NAME,
    EMAIL,
    NAME,
};


/* What is answered are tokens: a page that has a cookie is given none. */
static void
begin(tn_op *op)
{
    tn__buf ttl;
    tn_str text;

    if (tn__cookie_mode(op)) {
        tn__fail(op, TN_E_STATE_CONFLICT,
                 "Acting as somebody else takes tokens, and a session of a "
                 "cookie is given none: log in for tokens, without "
                 "Tenon-Session: cookie.");
        return;
    }

    tn__buf_init(&ttl, op->mem, 8);
    tn__buf_int(&ttl, IMPERSONATION_TTL);

    if (tn__buf_str(&text, &ttl) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    op->step_data = tn__zalloc(op->mem, sizeof(tn_str));
    if (op->step_data == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    *(tn_str *) op->step_data = tn__new_id(op);

    tn__local(op, TN_STR("user_id"), op->values[USER_ID]);
    tn__local(op, TN_STR("reason"), op->values[REASON]);
    tn__local(op, TN_STR("session_id"), *(tn_str *) op->step_data);
    tn__local(op, TN_STR("seconds"), text);
    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, &tn__q_platform_impersonate);
    tn__want_db(op);
}


static void
refuse(tn_op *op, tn_str why)
{
    if (tn__eq(why, TN_STR("not_found"))) {
        tn__fail(op, TN_E_NOT_FOUND, NULL);

    } else if (tn__eq(why, TN_STR("tenant_inactive"))) {
        tn__fail(op, TN_E_TENANT_INACTIVE, NULL);

    } else {
        tn__fault_field(op, TN_STR("user_id"), TN_F_NOT_FOUND,
                        "is no member of this tenant");
        tn__fail(op, TN_E_INVALID_FIELDS, NULL);
    }
}


/* The session is the other tenant's and its user's: so is the token. */
static void
impersonate(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;

    if (op->state++ == 0) {
        begin(op);
        return;
    }

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    if (tn__cell(rows, 0, REFUSED).p) {
        refuse(op, tn__cell(rows, 0, REFUSED));
        return;
    }

    tn__respond_impersonation(op, op->path_id, tn__cell(rows, 0, SLUG),
                              tn__cell(rows, 0, TENANT_NAME),
                              op->values[USER_ID], tn__cell(rows, 0, EMAIL),
                              tn__cell(rows, 0, NAME),
                              *(tn_str *) op->step_data);
}


static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("listPlatformTenants"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/platform/tenants"),
      .permission_name = "tenon.platform:read",
      .action = TN_STR_C("platform.listed"),
      .summary = TN_STR_C("List the platform's tenants"),
      .kind = TN__KIND_LIST,
      .resource = &platform_tenant },
    { .operation = TN_STR_C("getPlatformTenant"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/platform/tenants/{id}"),
      .permission_name = "tenon.platform:read",
      .action = TN_STR_C("platform.read"),
      .summary = TN_STR_C("Read a tenant"),
      .kind = TN__KIND_READ,
      .resource = &platform_tenant },
    { .operation = TN_STR_C("createPlatformTenant"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/platform/tenants"),
      .permission_name = "tenon.platform:create",
      .action = TN_STR_C("tenant.created"),
      .summary = TN_STR_C("Make a tenant for somebody"),
      .kind = TN__KIND_WRITE,
      .resource = &platform_tenant,
      .stmt = &tn__q_platform_tenant_create,
      .input = tenant_fields,
      .ninput = COUNT(tenant_fields),
      .output = tenant_fields,
      .noutput = TENANT_SHOWN,
      .conflicts = create_conflicts,
      .nconflicts = COUNT(create_conflicts),
      .status = 201,
      .by_person = 1 },
    { .operation = TN_STR_C("suspendTenant"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/platform/tenants/{id}/suspend"),
      .permission_name = "tenon.platform:update",
      .action = TN_STR_C("tenant.suspended"),
      .summary = TN_STR_C("Suspend a tenant: nobody gets in"),
      .kind = TN__KIND_WRITE,
      .resource = &platform_tenant,
      .stmt = &tn__q_platform_tenant_suspend,
      .output = tenant_fields,
      .noutput = TENANT_SHOWN,
      .changes_access = 1,
      .of_tenant = 1,
      .by_person = 1 },
    { .operation = TN_STR_C("reactivateTenant"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/platform/tenants/{id}/reactivate"),
      .permission_name = "tenon.platform:update",
      .action = TN_STR_C("tenant.reactivated"),
      .summary = TN_STR_C("Let a suspended tenant's people in again"),
      .kind = TN__KIND_WRITE,
      .resource = &platform_tenant,
      .stmt = &tn__q_platform_tenant_reactivate,
      .output = tenant_fields,
      .noutput = TENANT_SHOWN,
      .changes_access = 1,
      .of_tenant = 1,
      .by_person = 1 },
    { .operation = TN_STR_C("impersonateUser"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/platform/tenants/{id}/impersonate"),
      .permission_name = "tenon.platform:impersonate",
      .action = TN_STR_C("user.impersonated"),
      .summary = TN_STR_C("Act as a member of a tenant for 15 minutes"),
      .noun = TN_STR_C("Session"),
      .kind = TN__KIND_STEP,
      .step = impersonate,
      .unkeyed = 1,
      .input = impersonate_input,
      .ninput = COUNT(impersonate_input),
      .output = tn__session_fields,
      .noutput = TN__SESSION_FIELDS,
      .errors = impersonate_errors,
      .nerrors = COUNT(impersonate_errors),
      .cache_control = TN_STR_C("no-store"),
      .by_person = 1 },
};

const tn__slice tn__platform_slice = { endpoints, COUNT(endpoints) };
