/*
 * app_error.c: what an app's SQL says to clients. Functions and triggers of an
 * app may refuse:
 *
 *     raise exception 'The visit is over.'
 *           using errcode = 'TN409', constraint = 'visit_over';
 *
 * The message is the problem's detail, `column` names the member of the body
 * that is at fault, `constraint` a stable reason for machines. The message of
 * any other error is for the log alone: it may hold what a client must not see.
 *
 * An app may also be loaded or unloaded while a worker still serves what was
 * there before: then its statements ask for what is gone.
 */

#include "libcore/http/http.h"


static const struct {
    char sqlstate[6];
    tn_err err;
} refusals[] = {
    { "TN403", TN_E_FORBIDDEN },      { "TN404", TN_E_NOT_FOUND },
    { "TN409", TN_E_STATE_CONFLICT }, { "TN422", TN_E_INVALID_FIELDS },
    { "TN429", TN_E_RATE_LIMITED },   { "TN503", TN_E_BUSY },
    { "P0001", TN_E_STATE_CONFLICT }, /* a plain `raise exception` */
};

/* What a statement that is behind the schema meets: a function, table, column
 * or schema that is gone, rights that are gone, another type, a plan or a name
 * that no longer holds. */
static const char behind[][6] = { "42883", "42P01", "42703", "3F000",
                                  "42501", "42804", "0A000", "26000" };

#define DETAIL_MAX 1000 /* bytes */
#define REASON_MAX 63


/* The message as a detail; absent where it is nothing that can be shown. */
static tn_str
detail_of(tn_str message)
{
    if (message.n == 0 || !tn__utf8_valid(message)) {
        return TN_NULL;
    }

    if (message.n > DETAIL_MAX) {
        message.n = DETAIL_MAX;

        while (((unsigned char) message.p[message.n] & 0xc0) == 0x80) {
            message.n--; /* not in the middle of a character */
        }
    }

    return message;
}


static int
is_reason(tn_str s)
{
    size_t i;

    for (i = 0; i < s.n; i++) {
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') ||
              (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '_')) {
            return 0;
        }
    }

    return s.n > 0 && s.n <= REASON_MAX;
}


/* A query has no body to point into: its parameters go by their names. */
static void
refuse_column(tn_op *op, tn_str column)
{
    tn_str name;

    if (column.n == 0 || !tn__utf8_valid(column)) {
        return;
    }

    if (tn__dup(&name, column, op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);

    } else if (op->endpoint->kind == TN__KIND_QUERY) {
        tn__fault(op, name, TN_F_REFUSED, NULL);

    } else {
        tn__fault_field(op, name, TN_F_REFUSED, NULL);
    }
}


static void
refuse(tn_op *op, tn_err err, const tn_reply *reply)
{
    if (is_reason(reply->constraint) &&
        tn__dup(&op->reason, reply->constraint, op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    refuse_column(op, reply->column);

    if (err == TN_E_FORBIDDEN &&
        (op->read_scope_tenant || op->scope == TN__SCOPE_ACCOUNT)) {
        op->refused_row = op->path_id;
    }

    tn__fail_str(op, err, detail_of(reply->message));
}


/* The columns of a broken key: those that the body may hold as faults, all of
 * them in the detail. 0 when the key is unknown. */
static int
duplicate(tn_op *op, tn_str constraint)
{
    unsigned i, n;
    tn_err err;
    tn__buf buf;
    tn_str column, detail;
    const tn__endpoint *e;
    const tn__conflict *c;

    e = op->endpoint;
    tn__buf_init(&buf, op->mem, 128);

    for (i = 0, n = 0; i < e->nconflicts; i++) {
        c = &e->conflicts[i];

        if (c->pointer.p == NULL || !tn__eq(c->constraint, constraint)) {
            continue;
        }

        column = tn__sub(c->pointer, 1, c->pointer.n);
        tn__buf_add(&buf, n++ ? TN_STR(", ")
                              : TN_STR("There is one already with the same "));
        tn__buf_add(&buf, column);

        if (tn__field_find(e->input, e->ninput, column)) {
            tn__fault(op, c->pointer, c->fault, NULL);
        }
    }

    if (n == 0) {
        return 0;
    }

    tn__buf_char(&buf, '.');
    err = tn__buf_str(&detail, &buf);
    tn__fail_str(op, err == TN_OK ? TN_E_DUPLICATE : err, detail);

    return 1;
}


int
tn__app_behind(const tn_reply *reply)
{
    unsigned i;

    for (i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
        if (strcmp(reply->sqlstate, behind[i]) == 0) {
            return 1;
        }
    }

    return 0;
}


int
tn__app_refused(tn_op *op, const tn_reply *reply)
{
    unsigned i;

    if (strcmp(reply->sqlstate, "23505") == 0) {
        return reply->constraint.p && duplicate(op, reply->constraint);
    }

    for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (strcmp(reply->sqlstate, refusals[i].sqlstate) == 0) {
            refuse(op, refusals[i].err, reply);
            return 1;
        }
    }

    return 0;
}
