/*
 * challenge.c: the second step of a login: a code after the password.
 *
 * Between the two lies nothing but a token: the ids of realm, tenant and user,
 * when it was made, a mark of the password that was right, and a MAC over them
 * under the core's secret. It is no session and opens none by itself. It is
 * good for five minutes, in its tenant, until the password is another one; a
 * code that opens a session is spent by it.
 *
 *   state     does                                      then
 *   OPEN      reads the token; looks the factor up      CHECK
 *   CHECK     compares the code; looks up, or counts,
 *             what came of this address                 SETTLE
 *   SETTLE    right: opens a session, spends the code   ANSWER
 *             wrong: writes the failure, as a login's;
 *             then it is refused (attempt.c)            SETTLE
 *   ANSWER
 */

#include "libcore/signin/steps.h"
#include "gen/queries.h"

#include <sodium.h>

#define ID_LEN   16
#define TIME_LEN 8
#define MARK_LEN 16
#define MAC_LEN  32

#define AT_TENANT ID_LEN
#define AT_USER   (2 * ID_LEN)
#define AT_TIME   (3 * ID_LEN)
#define AT_MARK   (AT_TIME + TIME_LEN)
#define AT_MAC    (AT_MARK + MARK_LEN)
#define TOKEN_LEN (AT_MAC + MAC_LEN)

enum {
    OPEN,
    CHECK,
    SETTLE,
    ANSWER,
};

/* The rows of challenge_input (signin_endpoints.c). */
enum {
    TOKEN,
    CODE,
};

typedef struct challenge {
    unsigned char raw[TOKEN_LEN];
    tn__factor *factor;
} challenge;

static const char wrong[] = "The code is wrong, or it took too long: sign in "
                            "again if it keeps being refused.";


/* ---- the token ---- */

static void
token_mac(unsigned char mac[MAC_LEN], const tn_core *core,
          const unsigned char raw[AT_MAC])
{
    tn_str parts[2];

    parts[0] = TN_STR("mfa token");
    parts[1] = (tn_str){ (const char *) raw, AT_MAC };
    tn__mac(mac, MAC_LEN, core->conf.secret, parts, 2);
}


/* Of a hash: another salt, another mark. */
static void
password_mark(unsigned char mark[MARK_LEN], const tn_core *core, tn_str hash)
{
    tn_str parts[2];

    parts[0] = TN_STR("mfa password");
    parts[1] = hash;
    tn__mac(mark, MARK_LEN, core->conf.secret, parts, 2);
}


tn_err
tn__challenge_token(tn_str *out, tn_op *op, tn_str user_id, tn_str hash)
{
    int i;
    char *text;
    int64_t now;
    unsigned char raw[TOKEN_LEN];

    text = tn__alloc(op->mem, tn__b64_size(TOKEN_LEN));

    if (text == NULL || !tn__uuid_parse(raw, op->tenant.realm) ||
        !tn__uuid_parse(raw + AT_TENANT, op->tenant.id) ||
        !tn__uuid_parse(raw + AT_USER, user_id)) {
        return TN_E_NOMEM;
    }

    now = op->request->now / 1000000;

    for (i = TIME_LEN - 1; i >= 0; i--) {
        raw[AT_TIME + i] = (unsigned char) (now & 0xff);
        now >>= 8;
    }

    password_mark(raw + AT_MARK, op->core, hash);
    token_mac(raw + AT_MAC, op->core, raw);
    *out = (tn_str){ text, tn__b64_encode(text, raw, sizeof(raw)) };

    return TN_OK;
}


static int
token_open(unsigned char raw[TOKEN_LEN], const tn_op *op, tn_str token)
{
    int i;
    size_t n;
    int64_t made, now;
    unsigned char mac[MAC_LEN], here[2 * ID_LEN];

    if (!tn__b64_decode(raw, TOKEN_LEN, &n, token) || n != TOKEN_LEN) {
        return 0;
    }

    token_mac(mac, op->core, raw);

    if (sodium_memcmp(mac, raw + AT_MAC, MAC_LEN) != 0 ||
        !tn__uuid_parse(here, op->tenant.realm) ||
        !tn__uuid_parse(here + ID_LEN, op->tenant.id) ||
        memcmp(here, raw, sizeof(here)) != 0) {
        return 0;
    }

    for (made = 0, i = 0; i < TIME_LEN; i++) {
        made = made << 8 | raw[AT_TIME + i];
    }

    now = op->request->now / 1000000;

    return now < made + TN__CHALLENGE_TTL;
}


/* ---- the step ---- */

static void
look(tn_op *op)
{
    char *user;
    challenge *c;

    c = tn__zalloc(op->mem, sizeof(challenge));
    user = tn__alloc(op->mem, TN__UUID_TEXT);

    if (c == NULL || user == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    op->step_data = c;

    if (!token_open(c->raw, op, op->values[TOKEN])) {
        tn__fail(op, TN_E_INVALID_CREDENTIALS, wrong);
        return;
    }

    tn__uuid_text(user, c->raw + AT_USER);
    tn__factor_find(op, (tn_str){ user, TN__UUID_TEXT });
}


static void
compare(tn_op *op, const tn_input *input)
{
    int right;
    tn__factor *f;
    challenge *c;
    unsigned char mark[MARK_LEN];

    c = op->step_data;
    c->factor = f = tn__factor_read(op, input);

    if (f == NULL) {
        return;
    }

    password_mark(mark, op->core, f->hash.p ? f->hash : TN_STR(""));

    if (f->id.p == NULL || !f->confirmed ||
        sodium_memcmp(mark, c->raw + AT_MARK, MARK_LEN) != 0) {
        tn__fail(op, TN_E_INVALID_CREDENTIALS, wrong);
        return;
    }

    tn__attempt_bind(op, f->email);
    right = tn__factor_right(op, f, op->values[CODE]);

    if (op->phase != TN__PHASE_DONE) {
        tn__attempt_judge(op, right);
    }
}


static void
settle(tn_op *op, const tn_input *input)
{
    challenge *c;

    c = op->step_data;

    if (!tn__attempt_settle(op, input, SETTLE, TN_STR("user.login"),
                            c->factor->id, TN_E_INVALID_CREDENTIALS, wrong)) {
        return;
    }

    op->principal.user = c->factor->id;
    tn__local(op, TN_STR("user_id"), c->factor->id);
    tn__local(op, TN_STR("session_mfa"), TN_STR("true"));

    if (tn__open_session(op)) {
        tn__batch_begin(op, 1, 1);
        tn__batch_add(op, &tn__q_mfa_done);
        tn__want_db(op);
    }
}


static void
answer(tn_op *op, const tn_input *input)
{
    challenge *c;
    const tn_rows *rows;

    c = op->step_data;
    rows = tn__rows(op, input, 1);

    if (rows == NULL) {
        op->principal.user = TN_NULL; /* nobody has signed in */

    } else if (rows->nrows == 0) {
        op->principal.user = TN_NULL;
        tn__fail(op, TN_E_INVALID_CREDENTIALS, wrong);

    } else {
        tn__session_crowded(op, rows);
        tn__respond_session(op, c->factor->email, c->factor->name,
                            c->factor->tenant_name);
    }
}


void
tn__step_challenge(tn_op *op, const tn_input *input)
{
    switch (op->state++) {

    case OPEN:
        look(op);
        return;

    case CHECK:
        compare(op, input);
        return;

    case SETTLE:
        settle(op, input);
        return;

    default:
        answer(op, input);
    }
}
