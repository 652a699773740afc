/*
 * refresh.c: a refresh token for new tokens of the same session.
 *
 *   state    does                                          then
 *   OPEN     a token that was made here: looks its session
 *            up, and the tenant that host or header names  LOOK
 *   LOOK     both are there and one: rotates the secret,
 *            unless somebody did, and reads what is now    ANSWER
 *   ANSWER   the secret that follows the token's; or the
 *            token is a copy, and the session has ended
 *            with all that its sign-in opened              ENDED
 *   ENDED    dead on this node: refused
 *
 * Each token is good once, but for some seconds: who lost the answer asks again
 * and gets the same successor, and so do fifty at once.
 */

#include "libcore/session/session.h"
#include "gen/queries.h"

enum {
    OPEN,
    LOOK,
    ANSWER,
    ENDED,
};

/* What find_session answers behind the tenant. */
enum {
    FOUND_USER = 5,
    FOUND_IMPERSONATOR = 10,
};

/* What refresh_state answers. */
enum {
    STATE_GOOD,
    STATE_GENERATION,
    STATE_LASTS,
    STATE_EMAIL,
    STATE_NAME,
    STATE_TENANT_NAME,
    STATE_TENANTS,
};

typedef struct renewal {
    tn__claims claims;
    unsigned named; /* look-ups of what host and header name: the first rows */
} renewal;


static void
refuse(tn_op *op)
{
    op->principal.user = TN_NULL;
    tn__fail(op, TN_E_UNAUTHENTICATED,
             "This refresh token is not good, or not any more: sign in "
             "again.");
}


static void
read_token(tn_op *op)
{
    renewal *r;

    r = tn__zalloc(op->mem, sizeof(renewal));
    if (r == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    op->step_data = r;

    if (tn__secret_open(&r->claims, op->core, TN__SECRET_REFRESH,
                        op->values[0]) != TN_OK) {
        refuse(op);
        return;
    }

    tn__local(op, TN_STR("token_tenant"),
              (tn_str){ r->claims.tenant, TN__UUID_TEXT });
    tn__local(op, TN_STR("token_session"),
              (tn_str){ r->claims.session, TN__UUID_TEXT });

    tn__batch_begin(op, 0, 0);
    r->named = tn__batch_named_tenant(op);

    if (op->phase != TN__PHASE_DONE) {
        tn__batch_add(op, &tn__q_find_session);
        tn__want_db(op);
    }
}


/* Whether the session is of the tenant that the request is for, and that one is
 * open. A token that is good and elsewhere is for its own tenant's log. */
static int
belongs(tn_op *op)
{
    if (!tn__tenant_agrees(op)) {
        op->audit_tenant = op->tenant;
        op->audit_actor = op->principal.user;
        memset(&op->tenant, 0, sizeof(op->tenant));
        op->principal.user = TN_NULL;
        tn__fail(op, TN_E_TENANT_MISMATCH,
                 "The refresh token belongs to another tenant.");
        return 0;
    }

    if (!op->tenant.active) {
        tn__fail(op, TN_E_TENANT_INACTIVE, NULL);
        return 0;
    }

    return 1;
}


static void
rotate(tn_op *op, const tn_input *input)
{
    renewal *r;
    const tn_rows *rows;

    r = op->step_data;

    if (!tn__named_tenant(op, input, r->named)) {
        return;
    }

    rows = tn__rows(op, input, r->named);
    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0 || tn__cell(rows, 0, FOUND_IMPERSONATOR).n) {
        refuse(op);
        return;
    }

    op->principal.session = (tn_str){ r->claims.session, TN__UUID_TEXT };

    if (tn__tenant_row(&op->tenant, op, rows) != TN_OK ||
        tn__dup(&op->principal.user, tn__cell(rows, 0, FOUND_USER), op->mem) !=
            TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    if (!belongs(op)) {
        return;
    }

    tn__local_int(op, TN_STR("refresh_generation"), r->claims.generation);
    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, &tn__q_refresh_rotate);
    tn__batch_add(op, &tn__q_refresh_state);
    tn__want_db(op);
}


void
tn__refresh_reused(tn_op *op, const tn_rows *rows)
{
    tn__sessions_ended(op, tn__cell(rows, 0, STATE_TENANTS));
    tn__session_tombstone(op, &op->zone[0], op->principal.session);
    tn__want_zone(op, 1);
}


static void
answer(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;

    rows = tn__rows(op, input, 2);
    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0) {
        refuse(op);
        return;
    }

    if (!tn__pg_true(tn__cell(rows, 0, STATE_GOOD))) {
        tn__refresh_reused(op, rows);
        return;
    }

    if (!tn__int_parse(&op->principal.generation,
                       tn__cell(rows, 0, STATE_GENERATION)) ||
        !tn__int_parse(&op->principal.lasts, tn__cell(rows, 0, STATE_LASTS))) {
        tn__fail(op, TN_E_INTERNAL, NULL);
        return;
    }

    tn__respond_session(op, tn__cell(rows, 0, STATE_EMAIL),
                        tn__cell(rows, 0, STATE_NAME),
                        tn__cell(rows, 0, STATE_TENANT_NAME));
}


void
tn__step_refresh(tn_op *op, const tn_input *input)
{
    switch (op->state++) {

    case OPEN:
        read_token(op);
        return;

    case LOOK:
        rotate(op, input);
        return;

    case ANSWER:
        answer(op, input);
        return;

    default:
        if (!tn__access_void(op)) {
            refuse(op);
        }
    }
}
