/*
 * signup.c: a user and a first organization; and where organizations have
 * users of their own, the realm of these. Two steps: hash, write. Every id is
 * made up front, so the write is one statement and every conflict is a
 * unique violation that leaves nothing behind: its constraint tells which
 * field to blame (signup_conflicts in login_endpoints.c).
 *
 * Who signed up with an address and neither verified it nor belongs to any
 * organization any more doesn't keep its owner out: who signs up now gets that
 * account, and nothing that was the other's (tenon.take_over).
 */

#include "libcore/signin/steps.h"
#include "gen/queries.h"

/* The input's rows, in the order of signup_input (login_endpoints.c). */
enum {
    EMAIL,
    PASSWORD,
    NAME,
};

/* Behind the outputs. */
enum {
    USER_ID = 2,
};


static tn_str
organization(const tn_op *op, const char *name)
{
    const cJSON *node;

    node = cJSON_GetObjectItemCaseSensitive(op->body, "organization");
    node = cJSON_GetObjectItemCaseSensitive(node, name);

    return cJSON_IsString(node)
               ? (tn_str){ node->valuestring, strlen(node->valuestring) }
               : TN_NULL;
}


static void
write(tn_op *op, const tn_input *input)
{
    tn_str hashed;

    if (!tn__password_hashed(&hashed, op, input)) {
        return;
    }

    op->principal.user = tn__new_id(op);
    op->tenant.id = tn__new_id(op);
    op->tenant.realm = op->core->conf.signup_own_realm
                           ? tn__new_id(op)
                           : TN_STR(TN__SHARED_REALM);
    op->tenant.slug = organization(op, "slug");

    tn__local(op, TN_STR("own_realm"),
              op->core->conf.signup_own_realm ? TN_STR("t") : TN_STR("f"));
    tn__local(op, TN_STR("user_id"), op->principal.user);
    tn__local(op, TN_STR("member_id"), tn__new_id(op));
    tn__local(op, TN_STR("member_event_id"), tn__new_id(op));
    tn__local(op, TN_STR("member_salt"), tn__new_salt(op));
    tn__local(op, TN_STR("one_time_id"), tn__new_id(op));
    tn__local(op, TN_STR("email"), op->values[EMAIL]);
    tn__local(op, TN_STR("name"), op->values[NAME]);
    tn__local(op, TN_STR("password_hash"), hashed);
    tn__local(op, TN_STR("organization_name"), organization(op, "name"));
    tn__local(op, TN_STR("organization_slug"), op->tenant.slug);

    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, &tn__q_signup);
    tn__want_db(op);
}


void
tn__step_signup(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;

    switch (op->state++) {

    case 0:
        tn__want_password(op, op->values[PASSWORD], TN_NULL);
        return;

    case 1:
        write(op, input);
        return;
    }

    if (input->reply && input->reply->outcome != TN_DB_OK) {
        /* neither was born: no log may name them */
        memset(&op->tenant, 0, sizeof(op->tenant));
        memset(&op->principal, 0, sizeof(op->principal));
    }

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0) {
        tn__log(op, TN_STR("sign-up made no row"));
        tn__fail(op, TN_E_INTERNAL, NULL);
        return;
    }

    if (tn__dup(&op->principal.user, tn__cell(rows, 0, USER_ID), op->mem) !=
        TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__respond_row(op, 201, op->endpoint->output, op->endpoint->noutput,
                    rows->cells, TN_NULL);
}
