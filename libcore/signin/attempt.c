/*
 * attempt.c: somebody tries a password or a code: what is counted, and when a
 * right one doesn't count.
 *
 * Failures in a row are counted in the row of an identity, and lock it for a
 * while from the tenth on (tenon.lock_time); the statement that would let
 * somebody in is the one that looks at the lock. Those from one address are
 * counted on the node. Either refuses a right password as it does a wrong one:
 * the same steps, the same statement, the same words, after the same hash.
 *
 * Who guesses may make up addresses without end. Those that nobody has share so
 * many rows of a realm; one that was tried a few times has its row for itself
 * all but always, so a lock comes as to an address that somebody has. What goes
 * into the tenant's log is counted for the tenant as a whole. So what an attack
 * may write has a bound.
 */

#include "libcore/signin/signin.h"
#include "libcore/zone/zone.h"
#include "gen/queries.h"

#define WINDOW 3600000 /* ms, in which failures are counted together */

/* Failures are counted in so many slots of a tenant, by address: a flood on one
 * address hides few others, one on many is bounded all the same, and whether an
 * address is known makes no difference. */
#define ATTEMPT_SLOTS 64

#define NOBODY_ROWS 4096

/* So many failures from one address within that time, and it is refused until
 * the time is over. Many people may stand behind one. */
#define ADDRESS_MAX    200
#define ADDRESS_WINDOW 900000 /* ms */

enum {
    OF_ADDRESS,
    OF_TENANT,
};


/* As bytea text; fails the op. */
static tn_str
row_key(tn_op *op, unsigned char key[32], tn_str kind, tn_str of)
{
    tn_str text, parts[3];

    parts[0] = kind;
    parts[1] = op->tenant.realm;
    parts[2] = of;
    tn__mac(key, 32, op->core->conf.secret, parts, 3);

    if (tn__bytea(&text, key, 32, op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return TN_NULL;
    }

    return text;
}


/* A MAC of realm and address: the attempt row holds no address. Both keys are
 * made for every address, or the time would tell. */
void
tn__attempt_bind(tn_op *op, tn_str email)
{
    char row[2];
    unsigned n;
    unsigned char key[32];

    tn__local(op, TN_STR("attempt_key"),
              row_key(op, key, TN_STR("attempt"), email));
    op->attempt.slot = (char) (key[0] % ATTEMPT_SLOTS);

    n = (key[1] << 8 | key[2]) % NOBODY_ROWS;
    row[0] = (char) (n >> 8);
    row[1] = (char) (n & 0xff);
    op->attempt.nobody =
        row_key(op, key, TN_STR("attempt at nobody"), (tn_str){ row, 2 });
}


void
tn__attempt_nobody(tn_op *op)
{
    tn__local(op, TN_STR("attempt_key"), op->attempt.nobody);
}


static void
count_address(tn_op *op, tn_zone_verb verb)
{
    tn__zone_address(&op->zone[OF_ADDRESS], verb, op, TN_STR("attempts_from"));
    op->zone[OF_ADDRESS].ttl_ms = ADDRESS_WINDOW;
}


void
tn__attempt_address(tn_op *op)
{
    count_address(op, TN_ZONE_GET);
    tn__want_zone(op, 1);
}


/* Clients without an address are not to lock each other out. */
int
tn__attempt_open(const tn_op *op, tn_str failures)
{
    int64_t n;

    return op->address.p == NULL || !tn__int_parse(&n, failures) ||
           n < ADDRESS_MAX;
}


void
tn__attempt_judge(tn_op *op, int right)
{
    op->attempt.right = right;

    if (right) {
        tn__attempt_address(op);
        return;
    }

    count_address(op, TN_ZONE_COUNT);
    tn__zone_key(&op->zone[OF_TENANT], TN_ZONE_COUNT, op,
                 TN_STR("login_failed"), op->tenant.id,
                 (tn_str){ &op->attempt.slot, 1 });
    op->zone[OF_TENANT].ttl_ms = WINDOW;
    tn__want_zone(op, 2);
}


tn_str
tn__attempts_notable(tn_op *op, tn_str count)
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


static void
write_down(tn_op *op, const tn_input *input, tn_str action, tn_str user_id)
{
    tn__local(op, TN_STR("action"), action);
    tn__local(op, TN_STR("user_id"), user_id);
    tn__local(op, TN_STR("metadata"),
              tn__attempts_notable(op, input->values[OF_TENANT]));

    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, &tn__q_login_failed);
    tn__want_db(op);
}


int
tn__attempt_settle(tn_op *op, const tn_input *input, unsigned here,
                   tn_str action, tn_str user_id, tn_err err,
                   const char *detail)
{
    if (op->attempt.written) {
        if (tn__rows(op, input, 1)) {
            tn__fail(op, err, detail);
        }

        return 0;
    }

    if (!op->attempt.right) {
        op->attempt.written = 1;
        write_down(op, input, action, user_id);

    } else if (tn__attempt_open(op, input->values[OF_ADDRESS])) {
        return 1;

    } else {
        tn__attempt_judge(op, 0); /* and here again, with the counts */
    }

    op->state = here;

    return 0;
}
