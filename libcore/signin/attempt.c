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
 * What goes into the tenant's log is counted for the tenant as a whole, so that
 * what an attack may write there has a bound.
 */

#include "libcore/signin/signin.h"
#include "libcore/zone/zone.h"
#include "gen/queries.h"

#define WINDOW 60000 /* ms, in which failures are counted together */

/* Failures are counted in so many slots of a tenant, by address: a flood on one
 * address hides few others, one on many is bounded all the same, and whether an
 * address is known makes no difference. */
#define ATTEMPT_SLOTS 64

/* So many failures from one address within that time, and it is refused until
 * the time is over. Many people may stand behind one. */
#define ADDRESS_MAX    200
#define ADDRESS_WINDOW 900000 /* ms */

enum {
    OF_ADDRESS,
    OF_TENANT,
};


/* A MAC of realm and address: the attempt row holds no address. */
void
tn__attempt_bind(tn_op *op, tn_str email)
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
    op->attempt.slot = (char) (key[0] % ATTEMPT_SLOTS);
}


void
tn__attempt_judge(tn_op *op, int right)
{
    op->attempt.right = right;
    tn__zone_address(&op->zone[OF_ADDRESS], right ? TN_ZONE_GET : TN_ZONE_COUNT,
                     op, TN_STR("attempts_from"));
    op->zone[OF_ADDRESS].ttl_ms = ADDRESS_WINDOW;

    if (right) {
        tn__want_zone(op, 1);
        return;
    }

    tn__zone_key(&op->zone[OF_TENANT], TN_ZONE_COUNT, op,
                 TN_STR("login_failed"), op->tenant.id,
                 (tn_str){ &op->attempt.slot, 1 });
    op->zone[OF_TENANT].ttl_ms = WINDOW;
    tn__want_zone(op, 2);
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


static void
write_down(tn_op *op, const tn_input *input, tn_str action, tn_str user_id)
{
    tn__local(op, TN_STR("action"), action);
    tn__local(op, TN_STR("user_id"), user_id);
    tn__local(op, TN_STR("metadata"), metadata(op, input->values[OF_TENANT]));

    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, &tn__q_login_failed);
    tn__want_db(op);
}


int
tn__attempt_settle(tn_op *op, const tn_input *input, unsigned here,
                   tn_str action, tn_str user_id, tn_err err,
                   const char *detail)
{
    int64_t n;

    if (op->attempt.written) {
        if (tn__rows(op, input, 1)) {
            tn__fail(op, err, detail);
        }

        return 0;
    }

    if (!op->attempt.right) {
        op->attempt.written = 1;
        write_down(op, input, action, user_id);

    } else if (op->address.p == NULL ||
               !tn__int_parse(&n, input->values[OF_ADDRESS]) ||
               n < ADDRESS_MAX) {
        return 1;

    } else {
        tn__attempt_judge(op, 0); /* and here again, with the counts */
    }

    op->state = here;

    return 0;
}
