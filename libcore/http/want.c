/*
 * want.c: wishes: batches with their parameters bound, zone commands; and
 * what comes back.
 */

#include "libcore/http/http.h"
#include "gen/queries.h"


tn_str
tn__new_id(tn_op *op)
{
    char *text;
    unsigned char rnd[10], uuid[16];

    text = tn__alloc(op->mem, TN__UUID_TEXT);
    if (text == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return TN_NULL;
    }

    tn__rng_bytes(&op->rng, rnd, sizeof(rnd));
    tn__uuid7(uuid, op->request->now, rnd);
    tn__uuid_text(text, uuid);

    return (tn_str){ text, TN__UUID_TEXT };
}


tn_str
tn__new_salt(tn_op *op)
{
    tn_str text;
    unsigned char salt[16];

    tn__rng_bytes(&op->rng, salt, sizeof(salt));

    if (tn__bytea(&text, salt, sizeof(salt), op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return TN_NULL;
    }

    return text;
}


static tn_str
mask_text(tn_op *op)
{
    tn_str out;
    tn__buf buf;

    tn__buf_init(&buf, op->mem, 24);
    tn__buf_int(&buf, (int64_t) op->mask);

    if (tn__buf_str(&out, &buf) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
    }

    return out;
}


void
tn__local(tn_op *op, tn_str name, tn_str value)
{
    unsigned i;

    for (i = 0; i < op->nlocals; i++) {
        if (tn__eq(op->locals[i].name, name)) {
            op->locals[i].value = value;
            return;
        }
    }

    if (op->nlocals == TN__LOCALS_MAX) {
        tn__log(op, TN_STR("a step sets more locals than there is room for"));
        tn__fail(op, TN_E_INTERNAL, NULL);
        return;
    }

    op->locals[op->nlocals].name = name;
    op->locals[op->nlocals++].value = value;
}


void
tn__local_int(tn_op *op, tn_str name, int64_t value)
{
    tn_str text;
    tn__buf buf;

    tn__buf_init(&buf, op->mem, 24);
    tn__buf_int(&buf, value);

    if (tn__buf_str(&text, &buf) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__local(op, name, text);
}


/* One that wasn't set is null, but for what a role reaches: there null is all
 * of it, and must have been said. */
static tn_str
local(tn_op *op, tn_str name)
{
    unsigned i;

    for (i = 0; i < op->nlocals; i++) {
        if (tn__eq(op->locals[i].name, name)) {
            return op->locals[i].value;
        }
    }

    if (tn__starts(name, TN_STR(TN__REACH_OF))) {
        tn__log(op, TN_STR("what a role reaches was not looked up"));
        tn__fail(op, TN_E_INTERNAL, NULL);
    }

    return TN_NULL;
}


static tn_str
bind(tn_op *op, const tn__bind *b)
{
    switch (b->source) {
    case TN__BIND_TENANT:
        return op->tenant.id;
    case TN__BIND_REALM:
        return op->tenant.realm;
    case TN__BIND_ACTOR:
        return op->principal.user;
    case TN__BIND_SESSION:
        return op->principal.session;
    case TN__BIND_IMPERSONATOR:
        return op->principal.impersonator;
    case TN__BIND_API_KEY:
        return op->principal.api_key;
    case TN__BIND_REQUEST_ID:
        return op->request_id;
    case TN__BIND_IP:
        return op->address;
    case TN__BIND_USER_AGENT:
        return op->user_agent;
    case TN__BIND_EVENT_ID:
        if (op->event_id.p == NULL) {
            op->event_id = tn__new_id(op);
        }
        return op->event_id;
    case TN__BIND_SALT:
        if (op->salt.p == NULL) {
            op->salt = tn__new_salt(op);
        }
        return op->salt;
    case TN__BIND_ID:
        return op->path_id;
    case TN__BIND_IDEM_KEY:
        return op->idem_key;
    case TN__BIND_IDEM_HASH:
        return op->idem_hash;
    case TN__BIND_IDEM_LOCK:
        return op->idem_lock;
    case TN__BIND_OWN:
        return op->reach.any;
    case TN__BIND_REACH:
        return op->reach.whole;
    case TN__BIND_REACH_OWN:
        return op->reach.own;
    case TN__BIND_SIGHT:
        return op->sight.whole;
    case TN__BIND_SIGHT_OWN:
        return op->sight.own;
    case TN__BIND_SIGHT_ANY:
        return op->sight.any;
    case TN__BIND_SHARED:
        return op->principal.api_key.p ? TN_NULL : op->principal.user;
    case TN__BIND_MASK:
        return mask_text(op);
    case TN__BIND_FIELD:
        return op->values[b->field];
    case TN__BIND_LOCAL:
        break;
    }

    return local(op, b->name);
}


void
tn__batch_begin(tn_op *op, int context, int writes)
{
    op->batch.queries = op->queries;
    op->batch.n = 0;
    op->batch.writes = writes != 0;
    op->batch.slow = 0;

    if (context) {
        tn__batch_add(op, !writes          ? &tn__q_context
                          : op->idem_key.p ? &tn__q_context_keyed
                                           : &tn__q_context_write);
    }
}


void
tn__batch_add(tn_op *op, const tn__bound *bound)
{
    unsigned i;
    tn_str *params;
    tn_query *query;

    params = tn__alloc(op->mem, (bound->stmt.nparams + 1) * sizeof(tn_str));
    if (params == NULL || op->batch.n == TN__BATCH_MAX) {
        tn__fail(op, params ? TN_E_INTERNAL : TN_E_NOMEM, NULL);
        return;
    }

    for (i = 0; i < bound->stmt.nparams; i++) {
        params[i] = bind(op, &bound->binds[i]);
    }

    query = &op->queries[op->batch.n++];
    query->stmt = &bound->stmt;
    query->params = params;
}


void
tn__want_db(tn_op *op)
{
    if (op->phase == TN__PHASE_DONE) {
        return;
    }

    op->want.kind = TN_WANT_DB;
    op->want.batch = &op->batch;
}


void
tn__want_zone(tn_op *op, unsigned n)
{
    if (op->phase == TN__PHASE_DONE) {
        return;
    }

    op->want.kind = TN_WANT_ZONE;
    op->want.zone.cmds = op->zone;
    op->want.zone.n = n;
}


const tn_rows *
tn__rows(tn_op *op, const tn_input *input, unsigned i)
{
    const tn_reply *reply;

    reply = input ? input->reply : NULL;

    if (reply == NULL || reply->outcome != TN_DB_OK) {
        tn__fail_db(op, reply);
        return NULL;
    }

    if (reply->n != op->batch.n || i >= reply->n) {
        tn__log(op, TN_STR("a reply has not as many results as its batch"));
        tn__fail(op, TN_E_INTERNAL, NULL);
        return NULL;
    }

    return &reply->rows[i];
}


tn_str
tn__cell(const tn_rows *rows, unsigned row, unsigned col)
{
    if (row >= rows->nrows || col >= rows->ncols) {
        return TN_NULL;
    }

    return rows->cells[(size_t) row * rows->ncols + col];
}


/* What a client is told of an error of the server's, by the beginning of its
 * SQLSTATE; the first that fits. In all of these nothing was done. */
static const struct {
    const char *sqlstate;
    tn_err err;
    const char *detail;
} refusals[] = {
    { "23505", TN_E_DUPLICATE, "Such a row exists already." },
    { "23503", TN_E_STATE_CONFLICT,
      "Something that this refers to, or that refers to this, changed "
      "meanwhile." },
    { "23", TN_E_INVALID_FIELDS, "A value breaks a rule of the table." },
    { "22", TN_E_INVALID_FIELDS, "A value is out of the column's range." },
    { "55P03", TN_E_BUSY, "The database was too busy; try again." },
    { "57014", TN_E_BUSY, "The database took too long; try again." },
    { "40", TN_E_BUSY, "The database was too busy; try again." },
    { "53", TN_E_BUSY, "The database is short of resources; try again." },
    { "57P", TN_E_UNAVAILABLE, "The database is restarting." },
    { "0A000", TN_E_UNAVAILABLE, "The database's schema is changing." },
    { "26000", TN_E_UNAVAILABLE, "The database's schema is changing." },
};


/* What a platform endpoint's row says of the constraint; 0 when it says nothing. */
static int
conflict(tn_op *op, tn_str constraint)
{
    unsigned i;
    const tn__conflict *c;

    for (i = 0; constraint.p && i < op->endpoint->nconflicts; i++) {
        c = &op->endpoint->conflicts[i];

        if (!tn__eq(c->constraint, constraint)) {
            continue;
        }

        if (c->pointer.p) {
            tn__fault(op, c->pointer, c->fault, c->detail);
        }

        tn__fail(op, c->err, NULL);
        return 1;
    }

    return 0;
}


#define MESSAGE_MAX 500 /* bytes */


/* A message may quote what a client sent: it stays one line, and without what
 * a terminal obeys (C0, DEL, and C1 as UTF-8 has it). */
static void
one_line(tn__buf *buf, tn_str message)
{
    size_t i, n;
    unsigned char c, last;

    n = message.n;

    if (n > MESSAGE_MAX) {
        n = MESSAGE_MAX;

        while (n && ((unsigned char) message.p[n] & 0xc0) == 0x80) {
            n--; /* not in the middle of a character */
        }
    }

    for (i = 0, last = 0; i < n; i++, last = c) {
        c = (unsigned char) message.p[i];

        if (c < 0x20 || c == 0x7f ||
            (c == 0xc2 && i + 1 < n &&
             (unsigned char) message.p[i + 1] < 0xa0) ||
            (last == 0xc2 && c < 0xa0)) {
            tn__buf_char(buf, '?');
        } else {
            tn__buf_char(buf, (char) c);
        }
    }
}


static void
log_refused(tn_op *op, tn_str state, tn_str message)
{
    tn_str line;
    tn__buf buf;

    tn__buf_init(&buf, op->mem, 256);

    if (op->endpoint->call) {
        tn__buf_add(&buf, op->endpoint->call->function);
        tn__buf_lit(&buf, ": ");
    }

    tn__buf_lit(&buf, "database error ");
    tn__buf_add(&buf, state);
    tn__buf_lit(&buf, ": ");
    one_line(&buf, message.p ? message : TN_STR("no message"));

    if (tn__buf_str(&line, &buf) == TN_OK) {
        tn__log(op, line);
    } else {
        tn__fail(op, TN_E_NOMEM, NULL);
    }
}


/* What breaks a rule behind an app's function, or takes too long in it, may be
 * the function's fault as well as the client's or nobody's: whoever wrote it
 * should hear of it. */
static int
is_worth_a_line(const tn_op *op, tn_str state)
{
    return op->endpoint->call && (tn__starts(state, TN_STR("22")) ||
                                  tn__starts(state, TN_STR("23")) ||
                                  tn__starts(state, TN_STR("57014")));
}


/* A load came between, and this worker learns of it within a second; but what
 * an app's own function lacks stays lacking. */
static void
fail_behind(tn_op *op, const tn_reply *reply)
{
    if (reply->nested) {
        tn__fail(op, TN_E_INTERNAL, NULL);
    } else {
        tn__fail(op, TN_E_UNAVAILABLE,
                 "The app is being changed; try again in a moment.");
    }
}


static void
fail_refused(tn_op *op, const tn_reply *reply)
{
    unsigned i;
    tn_str state;

    if (op->endpoint->of_app ? tn__app_refused(op, reply)
                             : conflict(op, reply->constraint)) {
        return;
    }

    state = (tn_str){ reply->sqlstate, strnlen(reply->sqlstate, 5) };

    if (op->endpoint->of_app && tn__app_behind(reply)) {
        log_refused(op, state, reply->message);
        fail_behind(op, reply);
        return;
    }

    for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (tn__starts(state, (tn_str){ refusals[i].sqlstate,
                                        strlen(refusals[i].sqlstate) })) {
            if (is_worth_a_line(op, state)) {
                log_refused(op, state, reply->message);
            }

            tn__fail(op, refusals[i].err, refusals[i].detail);
            return;
        }
    }

    log_refused(op, state, reply->message);
    tn__fail(op, TN_E_INTERNAL, NULL);
}


void
tn__fail_db(tn_op *op, const tn_reply *reply)
{
    if (reply == NULL) {
        tn__log(op, TN_STR("the host answered a batch with no reply"));
        tn__fail(op, TN_E_INTERNAL, NULL);
        return;
    }

    switch (reply->outcome) {

    case TN_DB_BUSY:
        tn__fail(op, TN_E_BUSY, "The database queue is full; try again.");
        return;

    case TN_DB_DOWN:
        tn__fail(op, TN_E_UNAVAILABLE,
                 "The database can't be reached; nothing was done.");
        return;

    case TN_DB_UNKNOWN:
        if (op->batch.writes) {
            tn__fail(op, TN_E_OUTCOME_UNKNOWN,
                     "The connection to the database was lost before it "
                     "answered: the change may or may not have been made.");
        } else {
            tn__fail(op, TN_E_UNAVAILABLE,
                     "The connection to the database was lost.");
        }
        return;

    case TN_DB_OK:
    case TN_DB_ERROR:
        fail_refused(op, reply);
        return;
    }
}
