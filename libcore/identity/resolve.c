/*
 * resolve.c: tenant and principal of a request.
 *
 *   state        does                                     then
 *   START        names the tenant (host, header), looks
 *                both tenant and token up in the zone     CACHED
 *   CACHED       verifies a token the zone doesn't know;
 *                looks up its session, and the stamp of
 *                its tenant's access                      SUBJECT
 *   SUBJECT      whom somebody else's token means, if it
 *                is one that the zone doesn't know        LINKED
 *   LINKED       and now its session (its identity)       SESSION
 *   SESSION      an entry of another stamp is none; then
 *                there may be one beside it; a long one
 *                goes on in further cells                 SESSION, ASK
 *   ASK          what is missing comes from the database  DATABASE
 *   DATABASE     hears it                                 KEEP
 *   KEEP         keeps what came for the next request     KEEP, SETTLE
 *   SETTLE       everything that names a tenant must agree
 *
 * A warm request passes all of them without leaving the process, in two looks
 * into the zone. What lies there of tenants is tenant.c's, of sessions
 * session.c's.
 */

#include "libcore/identity/resolve.h"
#include "gen/queries.h"

enum {
    START,
    CACHED,
    SUBJECT,
    LINKED,
    SESSION,
    ASK,
    DATABASE,
    KEEP,
    SETTLE,
};


static void
read_names(tn_op *op, tn__resolver *r)
{
    tn__tenant_read(op, r);

    if (op->endpoint->permission != TN__PERM_PUBLIC ||
        op->endpoint->heeds_caller) {
        tn__credential_read(op, r);
    }
}


static void
start(tn_op *op, tn__resolver *r)
{
    unsigned n;

    n = 0;
    r->slot_tenant = r->slot_token = -1;
    read_names(op, r);

    if (r->domain.p) {
        n = tn__domain_find(op, r, n);
    }

    if (r->tenant_ref.p && !r->tenant_known) {
        n = tn__tenant_find(op, r, n);
    }

    if (tn__credentials[r->kind].kept) {
        r->slot_token = (int) n;
        tn__zone_key(&op->zone[n++], TN_ZONE_GET, op, TN_STR("token"), r->token,
                     op->core->verifier);
    }

    if (n) {
        tn__want_zone(op, n);
    }
}


static void
cached(tn_op *op, tn__resolver *r, const tn_input *input)
{
    unsigned n;
    const tn__credential *credential;

    n = 0;

    if (r->domain.p) {
        tn__domain_cached(op, r, input);
    }

    if (r->slot_tenant >= 0) {
        tn__tenant_cached(op, r, input->values[r->slot_tenant]);
    }

    if (r->kind == TN__CREDENTIAL_NONE) {
        return;
    }

    credential = &tn__credentials[r->kind];

    if (r->slot_token < 0 ||
        !tn__claims_cached(op, r, input->values[r->slot_token])) {
        r->token_err = credential->verify
                           ? credential->verify(&r->claims, op, r->token)
                           : tn__external_verify(op, r);

        if (r->token_err == TN_E_NOMEM) {
            tn__fail(op, TN_E_NOMEM, NULL);
            return;
        }

        if (r->token_err == TN_OK && credential->kept && !r->external) {
            tn__claims_keep(op, r, &n);
        }
    }

    if (r->token_err == TN_OK && !r->external) {
        tn__session_find(op, r, n);
    }
}


static void
linked(tn_op *op, tn__resolver *r, const tn_input *input)
{
    unsigned n;

    n = 0;
    tn__external_linked(op, r, input);

    if (op->phase == TN__PHASE_DONE) {
        return;
    }

    tn__claims_keep(op, r, &n);

    if (r->token_err == TN_OK) {
        tn__session_find(op, r, n);
    } else {
        tn__want_zone(op, n);
    }
}


static void
bind_hash(tn_op *op, const tn__resolver *r)
{
    tn_str text;

    if (tn__bytea(&text, r->claims.hash, sizeof(r->claims.hash), op->mem) !=
        TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__local(op, TN_STR("token_hash"), text);
}


static void
ask_database(tn_op *op, tn__resolver *r)
{
    tn__batch_begin(op, 0, 0);

    if (r->domain.p && !r->domain_known) {
        tn__domain_ask(op, r->domain);
    }

    if (r->tenant_ref.p && !r->tenant_known) {
        tn__tenant_ask(op, r);
    }

    if (r->has_claims && !r->session_known) {
        tn__local(op, TN_STR("token_tenant"), tn__uuid_str(r->claims.tenant));
        tn__local(op, TN_STR("token_session"), tn__uuid_str(r->claims.session));
        tn__local_int(op, TN_STR("token_generation"), r->claims.generation);

        if (tn__credentials[r->kind].scoped) {
            bind_hash(op, r);
        }

        tn__batch_add(op, tn__credentials[r->kind].find);
    }

    if (r->has_claims) {
        tn__plan_ask(op, r);
    }

    if (op->batch.n) {
        tn__want_db(op);
    }
}


/* Behind the n commands that are there already. */
static void
keep(tn_op *op, tn__resolver *r, unsigned n)
{
    tn__session_keep(op, r, &n);

    if (n) {
        tn__want_zone(op, n);
    }
}


static void
database(tn_op *op, tn__resolver *r, const tn_input *input)
{
    tn_err err;
    unsigned i, n;
    const tn_rows *rows;

    err = TN_OK;
    i = n = 0;

    if (r->domain.p && !r->domain_known) {
        rows = tn__rows(op, input, i++);
        if (rows == NULL) {
            return;
        }
        err = tn__domain_found(op, r, rows, &n);
    }

    if (err == TN_OK && r->tenant_ref.p && !r->tenant_known) {
        rows = tn__rows(op, input, i++);
        if (rows == NULL) {
            return;
        }
        err = tn__tenant_found(op, r, rows, &n);
    }

    if (err == TN_OK && r->has_claims && !r->session_known) {
        rows = tn__rows(op, input, i++);
        if (rows == NULL) {
            return;
        }
        err = tn__session_found(op, r, rows);
    }

    if (err == TN_OK && r->plan_asked) {
        rows = tn__rows(op, input, i);
        if (rows == NULL) {
            return;
        }
        err = tn__plan_found(op, r, rows, &n);
    }

    if (err != TN_OK) {
        tn__fail(op, err, NULL);
        return;
    }

    keep(op, r, n);
}


/* Who has a living session is held to account where it belongs; here they are
 * a stranger. */
static void
mismatch(tn_op *op, tn__resolver *r, const char *detail)
{
    if (op->principal.user.p) {
        op->audit_tenant = r->session_tenant;
        op->audit_actor = op->principal.user;
        op->principal.user = TN_NULL;
    }

    tn__fail(op, TN_E_TENANT_MISMATCH, detail);
}


/* Where none is configured, every host is as good. */
static int
on_base_domain(const tn_op *op)
{
    return op->core->base_domain.n == 0 ||
           tn__eqi(op->request->host, op->core->base_domain);
}


static void
name_platform(tn_op *op)
{
    op->realm_wide = 1;
    op->tenant.id = TN_STR(TN__PLATFORM_TENANT);
    op->tenant.realm = TN_STR(TN__SHARED_REALM);
    op->tenant.slug = TN_STR("platform");
    op->tenant.active = 1;
}


static void
settle(tn_op *op, tn__resolver *r)
{
    /* a header beside it is held against it below */
    if (r->domain_tenant.id.p) {
        op->tenant = r->domain_tenant;
        op->domain_tenant = r->domain_tenant.id;
    }

    if (r->tenant_ref.p && op->tenant.id.p == NULL) {
        tn__fail(op, TN_E_TENANT_UNKNOWN, NULL);
        return;
    }

    if (op->principal.user.p && op->tenant.id.p == NULL) {
        op->tenant = r->session_tenant;
    }

    /* what the session was found with is the newer */
    if (op->tenant.id.p &&
        (!op->tenant.active ||
         (op->principal.user.p && tn__eq(op->tenant.id, r->session_tenant.id) &&
          !r->session_tenant.active))) {
        tn__fail(op, TN_E_TENANT_INACTIVE, NULL);
        return;
    }

    if (op->tenant_header.n && op->tenant.id.p &&
        !tn__header_names(op, &op->tenant)) {
        mismatch(op, r,
                 "The host and the Tenon-Tenant header name different "
                 "tenants.");
        return;
    }

    if (op->endpoint->realm_wide && op->tenant.id.p == NULL &&
        on_base_domain(op)) {
        name_platform(op);
    }

    if (op->endpoint->permission == TN__PERM_PUBLIC) {
        if (op->tenant.id.p == NULL) {
            tn__fail(op, TN_E_TENANT_UNKNOWN,
                     "Name the tenant: by the host, or by a Tenon-Tenant "
                     "header.");
            return;
        }

        if (op->principal.user.p == NULL) {
            memset(&op->principal, 0, sizeof(op->principal));
            op->caller_expired = r->token_err == TN_E_TOKEN_EXPIRED;
            return;
        }
    }

    if (!r->has_claims) {
        tn__fail(op,
                 r->token_err == TN_E_TOKEN_EXPIRED ? TN_E_TOKEN_EXPIRED
                                                    : TN_E_UNAUTHENTICATED,
                 NULL);
        return;
    }

    if (op->tenant.id.p &&
        !tn__eq(op->tenant.id, tn__uuid_str(r->claims.tenant))) {
        mismatch(op, r,
                 r->kind == TN__CREDENTIAL_COOKIE
                     ? "The cookie belongs to another tenant."
                     : "The token belongs to another tenant.");
        return;
    }

    if (op->principal.user.p == NULL) {
        tn__fail(op, TN_E_UNAUTHENTICATED, NULL);
        return;
    }

    if (r->kind != TN__CREDENTIAL_EXTERNAL && op->principal.api_key.p == NULL) {
        op->principal.session = tn__uuid_str(r->claims.session);
    }

    op->principal.cookie = r->kind == TN__CREDENTIAL_COOKIE;
    op->principal.role = tn__principal_role(op, op->principal.role_name);
    op->plan = &r->plan;
}


int
tn__resolve(tn_op *op, const tn_input *input)
{
    tn__resolver *r;

    if (op->endpoint->tenantless) {
        return 1;
    }

    if (op->step_data == NULL) {
        op->step_data = tn__zalloc(op->mem, sizeof(tn__resolver));
        if (op->step_data == NULL) {
            tn__fail(op, TN_E_NOMEM, NULL);
            return 0;
        }
    }

    r = op->step_data;

    while (op->want.kind == TN_WANT_NONE && op->phase != TN__PHASE_DONE) {
        switch (op->state++) {

        case START:
            start(op, r);
            break;

        case CACHED:
            cached(op, r, input);
            input = NULL;
            break;

        case SUBJECT:
            if (r->external) {
                tn__external_found(op, r, input);
                input = NULL;
            }
            break;

        case LINKED:
            if (r->external) {
                linked(op, r, input);
                input = NULL;
            }
            break;

        case SESSION:
            if (r->has_claims && !tn__session_cached(op, r, input)) {
                op->state = SESSION;
            }

            input = NULL;
            break;

        case ASK:
            ask_database(op, r);
            break;

        case DATABASE:
            if (op->batch.n) {
                database(op, r, input);
                input = NULL;
            }
            break;

        case KEEP:
            keep(op, r, 0);

            if (op->want.kind != TN_WANT_NONE) {
                op->state = KEEP;
            }
            break;

        case SETTLE:
            settle(op, r);
            if (op->phase == TN__PHASE_DONE) {
                tn__stranger_note(op, r);
            }
            op->state = 0;
            op->step_data = NULL;
            op->batch.n = 0;
            op->nlocals = 0; /* the step's own begin here */
            return op->phase != TN__PHASE_DONE;
        }
    }

    return 0;
}
