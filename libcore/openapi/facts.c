/*
 * facts.c: what an endpoint's row implies: headers it takes, the status of
 * success, the errors that it may answer.
 */

#include "libcore/openapi/doc.h"


int
tn__doc_is_list(const tn__endpoint *e)
{
    return e->kind == TN__KIND_LIST || e->kind == TN__KIND_NESTED ||
           e->kind == TN__KIND_HISTORY;
}


int
tn__doc_is_page(const tn__endpoint *e)
{
    return tn__doc_is_list(e) ||
           (e->call && e->call->answers == TN__ANSWERS_MANY);
}


/* All but an action's, where no argument must be given. */
int
tn__doc_needs_body(const tn__endpoint *e)
{
    unsigned i;

    for (i = 0; e->kind == TN__KIND_ACTION && i < e->ninput; i++) {
        if (e->input[i].required) {
            return 1;
        }
    }

    return e->kind != TN__KIND_ACTION;
}


int
tn__doc_takes_fields(const tn__endpoint *e)
{
    return tn__doc_is_list(e) || (e->kind == TN__KIND_READ && e->resource);
}


static int
is_get(const tn__endpoint *e)
{
    return tn__eq(e->method, TN_STR("GET"));
}


int
tn__doc_takes_key(const tn__endpoint *e)
{
    return !is_get(e) && !e->unkeyed;
}


int
tn__doc_takes_match(const tn__endpoint *e)
{
    unsigned i;

    switch (e->kind) {

    case TN__KIND_UPDATE:
    case TN__KIND_DELETE:
    case TN__KIND_RESTORE:
    case TN__KIND_ROLLBACK:
    case TN__KIND_ACTION:
        return 1;

    case TN__KIND_WRITE:
        for (i = 0; i < e->stmt->stmt.nparams; i++) {
            if (e->stmt->binds[i].source == TN__BIND_LOCAL &&
                tn__eq(e->stmt->binds[i].name, TN_STR("match"))) {
                return 1;
            }
        }
        return 0;

    default:
        return 0;
    }
}


/* One row that has a version, shown or not, and is of this tenant. */
int
tn__doc_has_etag(const tn__endpoint *e)
{
    if (e->call && e->call->answers != TN__ANSWERS_ROW) {
        return 0;
    }

    return !tn__doc_is_list(e) && tn__doc_status(e) != 204 && !e->elsewhere &&
           tn__field_find(e->output, e->noutput, TN_STR("version")) != NULL;
}


int
tn__doc_revalidates(const tn__endpoint *e)
{
    return tn__doc_has_etag(e) && (is_get(e) || e->conditional);
}


int
tn__doc_has_location(const tn__endpoint *e)
{
    return e->kind == TN__KIND_CREATE ||
           (e->kind == TN__KIND_WRITE && tn__endpoint_makes(e) &&
            !e->elsewhere);
}


unsigned
tn__doc_status(const tn__endpoint *e)
{
    switch (e->kind) {

    case TN__KIND_CREATE:
        return 201;

    case TN__KIND_DELETE:
        return 204;

    case TN__KIND_ACTION:
    case TN__KIND_WRITE:
    case TN__KIND_STEP:
        if (e->noutput == 0) {
            return 204;
        }
        return e->status ? e->status : 200;

    default:
        return 200;
    }
}


#define BIT(name) ((uint64_t) 1 << TN_E_##name)

_Static_assert(TN_E_COUNT <= 64, "errors are bits of a word");


/* A platform's statement says itself what it refuses, as 'last_owner' or
 * 'invalid_fields /role …'. */
static uint64_t
of_statement(const tn__endpoint *e)
{
    unsigned err;
    uint64_t found;
    tn_str code, sql, hit;

    found = 0;

    if (e->kind != TN__KIND_WRITE) {
        return 0;
    }

    for (err = TN_E_NOMEM + 1; err < TN_E_COUNT; err++) {
        code = tn_err_code((tn_err) err);
        sql = e->stmt->stmt.sql;

        while (sql.n > code.n + 2) {
            hit.p = memmem(sql.p, sql.n, code.p, code.n);

            if (hit.p == NULL) {
                break;
            }

            hit.n = sql.n - (size_t) (hit.p - sql.p);

            if (hit.p > e->stmt->stmt.sql.p && hit.p[-1] == '\'' &&
                hit.n > code.n &&
                (hit.p[code.n] == '\'' || hit.p[code.n] == ' ' ||
                 hit.p[code.n] == ':')) {
                found |= (uint64_t) 1 << err;
                break;
            }

            sql = tn__sub(hit, code.n, hit.n);
        }
    }

    return found;
}


static uint64_t
of_rows(const tn__endpoint *e)
{
    unsigned i;
    uint64_t bits;

    bits = 0;

    for (i = 0; i < e->nconflicts; i++) {
        bits |= (uint64_t) 1 << e->conflicts[i].err;
    }

    for (i = 0; i < e->nerrors; i++) {
        bits |= (uint64_t) 1 << e->errors[i];
    }

    return bits;
}


static uint64_t
of_kind(const tn__endpoint *e)
{
    uint64_t bits;
    tn_str rest;

    bits = 0;
    rest = e->path;
    tn__split(&rest, '{');

    if (rest.p || e->base_domain || e->kind == TN__KIND_READ) {
        bits |= BIT(NOT_FOUND);
    }

    switch (e->kind) {

    case TN__KIND_LIST:
    case TN__KIND_NESTED:
    case TN__KIND_HISTORY:
        bits |= BIT(INVALID_CURSOR);
        break;

    case TN__KIND_CREATE:
    case TN__KIND_UPDATE:
    case TN__KIND_RESTORE:
    case TN__KIND_ROLLBACK:
        bits |= BIT(DUPLICATE) | BIT(STATE_CONFLICT) | BIT(INVALID_FIELDS);
        break;

    case TN__KIND_ACTION:
        bits |= BIT(DUPLICATE);
        break;

    case TN__KIND_DELETE:
        bits |= BIT(STATE_CONFLICT);
        break;

    default:
        break;
    }

    /* whatever an app's functions and triggers may raise */
    if (e->call || (e->of_app && !is_get(e))) {
        bits |= BIT(FORBIDDEN) | BIT(NOT_FOUND) | BIT(STATE_CONFLICT) |
                BIT(INVALID_FIELDS);
    }

    return bits;
}


/* Who asks, of which tenant, and may they? */
static uint64_t
of_access(const tn__endpoint *e)
{
    uint64_t bits;

    bits = 0;

    if (!e->tenantless || e->permission != TN__PERM_PUBLIC) {
        bits |=
            BIT(TENANT_UNKNOWN) | BIT(TENANT_MISMATCH) | BIT(TENANT_INACTIVE);
    }

    if (e->permission != TN__PERM_PUBLIC || e->heeds_caller) {
        bits |= BIT(UNAUTHENTICATED) | BIT(TOKEN_EXPIRED);
    }

    if (e->permission <= TN__PERM_MAX || e->by_self ||
        (e->permission == TN__PERM_AUTHENTICATED && !e->by_key)) {
        bits |= BIT(FORBIDDEN);
    }

    if (!is_get(e) && (e->permission != TN__PERM_PUBLIC || e->opens_session ||
                       e->heeds_caller)) {
        bits |= BIT(CSRF_REFUSED);
    }

    return bits;
}


/* Whoever may find that another tenant is named heeds the name. */
int
tn__doc_takes_tenant(const tn__endpoint *e)
{
    return (tn__doc_errors(e) & BIT(TENANT_MISMATCH)) != 0;
}


uint64_t
tn__doc_errors(const tn__endpoint *e)
{
    uint64_t bits;

    bits = BIT(MALFORMED_REQUEST) | BIT(UNKNOWN_PARAMETER) |
           BIT(INVALID_PARAMETER) | BIT(RATE_LIMITED) | BIT(INTERNAL) |
           BIT(UNAVAILABLE) | BIT(BUSY);

    /* what an action is sent is looked at, though it takes nothing */
    if (tn__endpoint_takes_body(e) || e->kind == TN__KIND_ACTION) {
        bits |=
            BIT(MALFORMED_JSON) | BIT(TOO_LARGE) | BIT(UNSUPPORTED_MEDIA_TYPE);

        /* else its own words say which of its errors that is */
        bits |= e->refuses ? 0 : BIT(INVALID_FIELDS);
    }

    if (tn__doc_takes_key(e)) {
        bits |= BIT(IDEMPOTENCY_IN_PROGRESS) | BIT(IDEMPOTENCY_MISMATCH);
    }

    if (tn__doc_takes_match(e)) {
        bits |= BIT(PRECONDITION_FAILED);

        if (e->resource && e->resource->require_match) {
            bits |= BIT(PRECONDITION_REQUIRED);
        }
    }

    if (!is_get(e)) {
        bits |= BIT(OUTCOME_UNKNOWN);
    }

    if (tn__endpoint_paid(e)) {
        bits |= BIT(PAYMENT_REQUIRED);
    }

    if (e->unit || tn__endpoint_counted(e)) {
        bits |= BIT(PLAN_LIMIT);
    }

    if (e->feature || e->also_feature) {
        bits |= BIT(FEATURE_REQUIRED);
    }

    return bits | of_access(e) | of_kind(e) | of_rows(e) | of_statement(e);
}
