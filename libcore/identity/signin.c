/*
 * signin.c: a session begins, or a password was wrong: what login, a switch to
 * another tenant and accepting an invitation have in common.
 *
 * Failures are counted for the tenant as a whole: what an attack may write
 * into its log has a bound.
 */

#include "libcore/identity/zone.h"
#include "gen/queries.h"

#define WINDOW 60000 /* ms, in which failures are counted together */

/* Failures are counted in so many slots of a tenant, by address: a flood on one
 * address hides few others, one on many is bounded all the same, and whether an
 * address is known makes no difference. */
#define ATTEMPT_SLOTS 64


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
      .about = TN_STR_C("A JWT; send it as Authorization: Bearer") },
    { .name = TN_STR_C("token_type"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .set = token_types,
      .nset = 1 },
    { .name = TN_STR_C("expires_in"),
      .type = TN__TYPE_INT,
      .out = 1,
      .about = TN_STR_C("Seconds"),
      .example = TN_STR_C("900") },
    { .name = TN_STR_C("refresh_token"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1,
      .about = TN_STR_C("Null: there are none yet"),
      .example = TN_STR_C("null") },
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
};


int
tn__open_session(tn_op *op)
{
    tn__buf ttl;
    tn_str text;

    tn__buf_init(&ttl, op->mem, 24);
    tn__buf_int(&ttl, op->core->conf.session_ttl);

    if (tn__buf_str(&text, &ttl) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 0;
    }

    op->principal.session = tn__new_id(op);

    tn__local(op, TN_STR("session_id"), op->principal.session);
    tn__local(op, TN_STR("session_ttl"), text);

    return op->phase != TN__PHASE_DONE;
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


void
tn__respond_session(tn_op *op, tn_str email, tn_str name, tn_str tenant_name)
{
    tn__buf ttl;
    tn_str cells[TN__SESSION_FIELDS];

    tn__buf_init(&ttl, op->mem, 24);
    tn__buf_int(&ttl, op->core->conf.token_ttl);
    cells[1] = token_types[0];
    cells[3] = TN_NULL;

    if (tn__token_sign(&cells[0], op,
                       op->request->now / 1000000 + op->core->conf.token_ttl) !=
            TN_OK ||
        tn__buf_str(&cells[2], &ttl) != TN_OK ||
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


/* A MAC of realm and address: the attempt row holds no address. */
void
tn__bind_attempt(tn_op *op, tn_str email)
{
    tn_str text, parts[3];
    unsigned char key[32];

    parts[0] = TN_STR("attempt");
    parts[1] = op->tenant.realm;
    parts[2] = email;
    tn__mac(key, sizeof(key), op->core->conf.secret, parts, 3);

    if (tn__bytea(&text, key, sizeof(key), op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__local(op, TN_STR("attempt_key"), text);
    op->attempt_slot = (char) (key[0] % ATTEMPT_SLOTS);
}


void
tn__count_failure(tn_op *op)
{
    tn__zone_key(&op->zone[0], TN_ZONE_COUNT, op, TN_STR("login_failed"),
                 op->tenant.id, (tn_str){ &op->attempt_slot, 1 });
    op->zone[0].ttl_ms = WINDOW;
    tn__want_zone(op, 1);
}


/* How many there were, or absent where that is not worth an event. */
static tn_str
metadata(tn_op *op, tn_str count)
{
    int64_t n;
    tn__buf buf;
    tn_str out;

    /* a count that was lost begins anew */
    if (!tn__int_parse(&n, count)) {
        n = 1;
    }

    if (!tn__notable(n)) {
        return TN_NULL;
    }

    tn__buf_init(&buf, op->mem, 32);
    tn__buf_lit(&buf, "{\"attempts\":");
    tn__buf_int(&buf, n);
    tn__buf_char(&buf, '}');

    if (tn__buf_str(&out, &buf) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return TN_NULL;
    }

    return out;
}


void
tn__write_failure(tn_op *op, tn_str user_id, tn_str count)
{
    tn__local(op, TN_STR("user_id"), user_id);
    tn__local(op, TN_STR("metadata"), metadata(op, count));
    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, &tn__q_login_failed);
    tn__want_db(op);
}
