/*
 * open.c: a session begins: what login, its second step and a switch to
 * another tenant have in common.
 */

#include "libcore/session/session.h"


/* Who and where, as sign-up, login and the like answer them. */
const tn__field tn__user_fields[TN__USER_FIELDS] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("email"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"ann@example.com\"") },
    { .name = TN_STR_C("name"), .type = TN__TYPE_TEXT, .out = 1 },
};

const tn__field tn__tenant_fields[TN__TENANT_FIELDS] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("name"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("slug"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"acme\"") },
};

static const tn_str token_types[] = { TN_STR_C("Bearer") };

/* tn__respond_session() knows the order of these rows. */
const tn__field tn__session_fields[TN__SESSION_FIELDS] = {
    { .name = TN_STR_C("access_token"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("A JWT; send it as Authorization: Bearer. Null where "
                        "the session is a cookie's, or a second factor is "
                        "asked for") },
    { .name = TN_STR_C("token_type"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1,
      .set = token_types,
      .nset = 1,
      .about = TN_STR_C("Of access_token; null where there is none") },
    { .name = TN_STR_C("expires_in"),
      .type = TN__TYPE_INT,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("Seconds that access_token lives; that mfa_token "
                        "does, where a second factor is asked for"),
      .example = TN_STR_C("900") },
    { .name = TN_STR_C("refresh_token"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("Good for one POST /v1/auth/refresh. Null: there is "
                        "none, or the one that you have stays") },
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
    { .name = TN_STR_C("mfa_token"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("Send it with a code to auth/mfa/verify; null where "
                        "no second factor is asked for"),
      .example = TN_STR_C("null") },
};


int
tn__open_session(tn_op *op)
{
    tn__principal *p;

    p = &op->principal;
    p->session = tn__new_id(op);
    p->generation = 0;
    p->cookie = tn__cookie_mode(op);
    p->lasts = op->core->conf.session_ttl;

    tn__local(op, TN_STR("session_id"), p->session);
    tn__local(op, TN_STR("session_kind"),
              p->cookie ? TN_STR("cookie") : TN_STR("token"));
    tn__local_int(op, TN_STR("session_ttl"), p->lasts);

    if (op->core->conf.session_idle) {
        tn__local_int(op, TN_STR("session_idle"), op->core->conf.session_idle);
    }

    return op->phase != TN__PHASE_DONE;
}


void
tn__session_crowded(tn_op *op, const tn_rows *rows)
{
    tn_str id;

    id = tn__cell(rows, 0, 1);

    if (id.p && tn__dup(&op->crowded_out, id, op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
    }
}


/* {"id":…,"email":…,"name":…}: a cell of JSON. */
static tn_err
cell(tn_str *out, tn_op *op, const tn__field *fields, tn_str id, tn_str second,
     tn_str third)
{
    unsigned i;
    tn__buf buf;
    tn_str values[3];

    values[0] = id;
    values[1] = second;
    values[2] = third;
    tn__buf_init(&buf, op->mem, 256);

    for (i = 0; i < 3; i++) {
        tn__buf_char(&buf, i ? ',' : '{');
        tn__buf_json(&buf, fields[i].name);
        tn__buf_char(&buf, ':');
        tn__buf_json(&buf, values[i]);
    }

    tn__buf_char(&buf, '}');

    return tn__buf_str(out, &buf);
}


/* Access token, type, seconds, refresh token; none of them beside a cookie, or
 * a script could take away what the cookie keeps from it. */
static tn_err
credentials(tn_str cells[4], tn_op *op)
{
    tn_err err;
    tn__buf ttl;
    const tn__principal *p;

    p = &op->principal;
    memset(cells, 0, 4 * sizeof(tn_str));

    if (p->cookie) {
        return p->lasts ? tn__cookie_set(op) : TN_OK;
    }

    tn__buf_init(&ttl, op->mem, 24);
    tn__buf_int(&ttl, op->core->conf.token_ttl);
    cells[1] = token_types[0];

    err = tn__token_sign(&cells[0], op,
                         op->request->now / 1000000 + op->core->conf.token_ttl);

    if (err == TN_OK) {
        err = tn__buf_str(&cells[2], &ttl);
    }

    if (err == TN_OK && p->lasts && p->impersonator.p == NULL) {
        err = tn__secret_make(&cells[3], op, TN__SECRET_REFRESH);
    }

    return err;
}


void
tn__respond_session(tn_op *op, tn_str email, tn_str name, tn_str tenant_name)
{
    tn_str cells[TN__SESSION_FIELDS];

    cells[6] = TN_NULL;

    if (credentials(cells, op) != TN_OK ||
        cell(&cells[4], op, tn__user_fields, op->principal.user, email, name) !=
            TN_OK ||
        cell(&cells[5], op, tn__tenant_fields, op->tenant.id, tenant_name,
             op->tenant.slug) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__respond_row(op, 200, op->endpoint->output, op->endpoint->noutput, cells,
                    TN_NULL);
}


#define STRINGIFY(x) #x
#define TEXT_OF(x)   STRINGIFY(x)

void
tn__respond_challenge(tn_op *op, tn_str user_id, tn_str email, tn_str name,
                      tn_str tenant_name, tn_str mfa_token)
{
    tn_str cells[TN__SESSION_FIELDS];

    memset(cells, 0, sizeof(cells));
    cells[2] = TN_STR(TEXT_OF(TN__CHALLENGE_TTL));
    cells[6] = mfa_token;

    if (cell(&cells[4], op, tn__user_fields, user_id, email, name) != TN_OK ||
        cell(&cells[5], op, tn__tenant_fields, op->tenant.id, tenant_name,
             op->tenant.slug) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__respond_row(op, 200, op->endpoint->output, op->endpoint->noutput, cells,
                    TN_NULL);
}
