/*
 * accept.c: the token of an invitation, and what it is good for.
 *
 * The token that is mailed lies nowhere: it is the ids of tenant and
 * invitation, and a MAC over them under the core's secret. So a forged one
 * is never looked up, a right one names its tenant, and who reads the database
 * can't accept anything. That it works once is the row's status.
 *
 * Accepting takes these steps; a password is only hashed or checked for a
 * token that is right and an invitation that can be accepted:
 *
 *   state     does                                        then
 *   OPEN      looks up the tenant that host or header
 *             names, and the token's if its MAC is right  LOOK
 *   LOOK      both are there and one:
 *             looks invitation and person up              CHECK
 *   CHECK     it can be accepted: works on the password   WRITE
 *   WRITE     new, or an account that nobody verified:
 *             joins                                       ANSWER
 *             else looks at what came of this address,
 *             or counts, as login does                    JUDGE
 *   JUDGE     the password was right: joins               ANSWER
 *             else: writes the failure down; then it is
 *             refused (signin/attempt.c)                  JUDGE
 *   ANSWER    unless somebody was faster, or it is locked
 *
 * To look at it before takes the first two of these steps and changes nothing;
 * then all that is no good is answered alike.
 */

#include "libcore/signin/signin.h"
#include "libcore/people/people.h"
#include "gen/queries.h"

#include <sodium.h>

#define ID_LEN    16
#define MAC_LEN   32
#define TOKEN_LEN (2 * ID_LEN + MAC_LEN)


/* ---- the token ---- */

static void
token_mac(unsigned char mac[MAC_LEN], const tn_core *core,
          const unsigned char ids[2 * ID_LEN])
{
    tn_str parts[3];

    parts[0] = TN_STR("invitation");
    parts[1] = (tn_str){ (const char *) ids, ID_LEN };
    parts[2] = (tn_str){ (const char *) ids + ID_LEN, ID_LEN };
    tn__mac(mac, MAC_LEN, core->conf.secret, parts, 3);
}


tn_err
tn_invitation_token(char *out, const tn_core *core, tn_str tenant_id,
                    tn_str invitation_id)
{
    unsigned char raw[TOKEN_LEN];

    if (!tn__uuid_parse(raw, tenant_id) ||
        !tn__uuid_parse(raw + ID_LEN, invitation_id)) {
        return TN_E_INTERNAL;
    }

    token_mac(raw + 2 * ID_LEN, core, raw);
    out[tn__b64_encode(out, raw, sizeof(raw))] = '\0';

    return TN_OK;
}


/* The ids of a token that was made here; 0 when it wasn't. */
static int
token_open(char tenant_id[TN__UUID_TEXT], char invitation_id[TN__UUID_TEXT],
           const tn_core *core, tn_str token)
{
    size_t n;
    unsigned char raw[TOKEN_LEN], mac[MAC_LEN];

    if (!tn__b64_decode(raw, sizeof(raw), &n, token) || n != sizeof(raw)) {
        return 0;
    }

    token_mac(mac, core, raw);

    if (sodium_memcmp(mac, raw + 2 * ID_LEN, MAC_LEN) != 0) {
        return 0;
    }

    tn__uuid_text(tenant_id, raw);
    tn__uuid_text(invitation_id, raw + ID_LEN);

    return 1;
}


/* ---- accepting ---- */

enum {
    OPEN,
    LOOK,
    CHECK,
    WRITE,
    JUDGE,
    ANSWER,
};

/* The rows of accept_input. */
enum {
    TOKEN,
    NAME,
    PASSWORD,
};

/* What invitation_find answers, before the outputs kept under a key. */
enum {
    FOUND_LIVE,
    FOUND_USER,
    FOUND_STATUS,
    FOUND_HASH,
    FOUND_MEMBER,
    FOUND_EMAIL,
    FOUND_VERIFIED,
    FOUND_TENANTS,
    FOUND_KEPT,
};

/* Behind the outputs of invitation_accept. */
enum {
    LOCKED = 3,
    KNOWN, /* the account was verified meanwhile */
    TENANTS,
};

typedef struct acceptance {
    char tenant_id[TN__UUID_TEXT];
    char invitation_id[TN__UUID_TEXT];
    unsigned named; /* look-ups of what host and header name: the first rows */
    int preview;    /* it is only looked at */
    int right;      /* the token's MAC; else there are no ids */
    int known;      /* the address is a user's already, who shows it */
    int taken;      /* it is one's who never showed that it is theirs */
    tn_str user;
    tn_str email;
} acceptance;


static tn_str
text(const char *uuid)
{
    return (tn_str){ uuid, TN__UUID_TEXT };
}


/* Who accepts has no name yet, so an Idempotency-Key is bound to the
 * invitation instead. */
static tn_err
bind_key(tn_op *op, const acceptance *a)
{
    tn_str parts[4];

    if (op->idem_key.p == NULL) {
        return TN_OK;
    }

    parts[0] = TN_STR("invitation key");
    parts[1] = op->idem_key;
    parts[2] = text(a->tenant_id);
    parts[3] = text(a->invitation_id);

    return tn__idempotency_bind(op, parts, 4);
}


static void
spent(tn_op *op)
{
    tn__fail(op, TN_E_SECRET_SPENT,
             "This invitation was used, revoked or has expired.");
}


/* Who looks is told of no token that is bad whether it ever was a good one. */
static void
forged(tn_op *op)
{
    const acceptance *a;

    a = op->step_data;

    if (a->preview) {
        spent(op);
        return;
    }

    tn__fault_field(op, TN_STR("token"), TN_F_NOT_FOUND,
                    "is not a token of an invitation");
    tn__fail(op, TN_E_INVALID_FIELDS, NULL);
}


static void
read_token(tn_op *op, int preview)
{
    acceptance *a;

    a = tn__zalloc(op->mem, sizeof(acceptance));
    if (a == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    op->step_data = a;
    a->preview = preview;

    a->right =
        token_open(a->tenant_id, a->invitation_id, op->core, op->values[TOKEN]);

    if (a->right && bind_key(op, a) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__batch_begin(op, 0, 0);
    a->named = tn__batch_named_tenant(op);

    if (op->phase == TN__PHASE_DONE) {
        return;
    }

    if (a->right) {
        tn__local(op, TN_STR("tenant_ref"), text(a->tenant_id));
        tn__batch_add(op, &tn__q_find_tenant_by_id);

    } else if (!a->named) {
        forged(op);
        return;
    }

    tn__want_db(op);
}


static void
find(tn_op *op, const tn_input *input)
{
    acceptance *a;
    const tn_rows *rows;

    a = op->step_data;

    if (!tn__named_tenant(op, input, a->named)) {
        return;
    }

    if (!a->right) {
        forged(op);
        return;
    }

    rows = tn__rows(op, input, a->named);

    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0) {
        spent(op);
        return;
    }

    if (tn__tenant_row(&op->tenant, op, rows) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    if (!tn__tenant_agrees(op)) {
        tn__fail(op, TN_E_TENANT_MISMATCH,
                 "The invitation is to another tenant.");
        return;
    }

    if (!op->tenant.active) {
        tn__fail(op, TN_E_TENANT_INACTIVE, NULL);
        return;
    }

    tn__local(op, TN_STR("invitation_id"), text(a->invitation_id));
    tn__batch_begin(op, 1, 0);
    tn__batch_add(op, a->preview ? &tn__q_invitation_preview
                                 : &tn__q_invitation_find);
    tn__want_db(op);
}


static void
write(tn_op *op, tn_str password_hash)
{
    acceptance *a;

    a = op->step_data;
    op->principal.user = a->known || a->taken ? a->user : tn__new_id(op);

    tn__local(op, TN_STR("user_id"), op->principal.user);
    tn__local(op, TN_STR("member_id"), tn__new_id(op));
    tn__local(op, TN_STR("name"), op->values[NAME]);
    tn__local(op, TN_STR("password_hash"), password_hash);

    if (a->taken) {
        tn__attempt_bind(op, a->email);
        tn__local(op, TN_STR("take_over"), TN_STR("t"));
    }

    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, &tn__q_invitation_accept);
    tn__want_db(op);
}


/* One who is new brings a name and a password. */
static void
welcome(tn_op *op)
{
    if (op->values[NAME].p == NULL) {
        tn__fault_field(op, TN_STR("name"), TN_F_REQUIRED, NULL);
    }

    if (op->values[PASSWORD].p == NULL) {
        tn__fault_field(op, TN_STR("password"), TN_F_REQUIRED, NULL);
    }

    if (op->nfaults) {
        tn__fail(op, TN_E_INVALID_FIELDS, NULL);
        return;
    }

    tn__want_password(op, op->values[PASSWORD], TN_NULL);
}


/* The token shows who reads the address, the password whose account it is.
 * Where nobody has ever shown that they read it, whoever signed up with it may be
 * somebody else: the account is the reader's then, as after a reset, and nothing
 * is of worth that its maker knows. */
static void
recognise(tn_op *op, const tn_rows *rows)
{
    acceptance *a;
    tn_str hash;

    a = op->step_data;
    a->taken = !tn__pg_true(tn__cell(rows, 0, FOUND_VERIFIED));
    a->known = !a->taken;

    if (tn__dup(&a->user, tn__cell(rows, 0, FOUND_USER), op->mem) != TN_OK ||
        tn__dup(&a->email, tn__cell(rows, 0, FOUND_EMAIL), op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    if (tn__cell(rows, 0, FOUND_MEMBER).p) {
        tn__fail(op, TN_E_DUPLICATE, "You are a member already.");

    } else if (!tn__eq(tn__cell(rows, 0, FOUND_STATUS), TN_STR("active"))) {
        tn__fail(op, TN_E_FORBIDDEN, "This account is disabled.");

    } else if (a->taken) {
        tn__sessions_ended(op, tn__cell(rows, 0, FOUND_TENANTS));
        welcome(op);

    } else if (op->values[PASSWORD].p == NULL) {
        tn__fault_field(op, TN_STR("password"), TN_F_REQUIRED, NULL);
        tn__fail(op, TN_E_INVALID_FIELDS, NULL);

    } else {
        hash = tn__cell(rows, 0, FOUND_HASH);
        tn__want_password(op, op->values[PASSWORD],
                          hash.p ? hash : tn__decoy(op));
    }
}


static void
answer(tn_op *op, const tn_str *cells)
{
    tn__respond_row(op, 200, op->endpoint->output, op->endpoint->noutput, cells,
                    TN_NULL);
}


static void
check(tn_op *op, const tn_input *input)
{
    int replayed;
    tn_str live;
    const tn_rows *rows;

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    replayed = tn__replay(op, rows);

    if (replayed < 0) {
        return;
    }

    if (replayed) {
        answer(op, rows->cells + FOUND_KEPT);
        return;
    }

    live = tn__cell(rows, 0, FOUND_LIVE);

    if (live.n == 0 || live.p[0] != 't') {
        spent(op);

    } else if (tn__cell(rows, 0, FOUND_USER).p) {
        recognise(op, rows);

    } else {
        welcome(op);
    }
}


static void
worked(tn_op *op, const tn_input *input)
{
    tn_str hash;
    const acceptance *a;

    a = op->step_data;

    if (a->known) {
        tn__attempt_bind(op, a->email);
        tn__attempt_judge(op, input->job && input->job->ok);

    } else if (tn__password_hashed(&hash, op, input)) {
        op->state = ANSWER;
        write(op, hash);
    }
}


static const char wrong[] =
    "There is an account with this address already, and this is not its "
    "password. If the account isn't yours, tell whoever invited you.";


static void
finish(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;

    rows = tn__rows(op, input, 1);

    if (rows && tn__replay(op, rows) >= 0) {
        if (tn__cell(rows, 0, 0).p) {
            tn__sessions_ended(op, tn__cell(rows, 0, TENANTS));
            answer(op, rows->cells);

        } else if (tn__pg_true(tn__cell(rows, 0, LOCKED))) {
            tn__fail(op, TN_E_INVALID_CREDENTIALS, wrong);

        } else if (tn__pg_true(tn__cell(rows, 0, KNOWN))) {
            tn__fail(op, TN_E_EMAIL_TAKEN,
                     "The account with this address was verified meanwhile: "
                     "send its password.");

        } else {
            spent(op);
        }
    }

    /* who has not come in is nobody to limits and logs */
    if (op->error != TN_OK) {
        op->principal.user = TN_NULL;
    }
}


void
tn__step_accept(tn_op *op, const tn_input *input)
{
    switch (op->state++) {

    case OPEN:
        read_token(op, 0);
        return;

    case LOOK:
        find(op, input);
        return;

    case CHECK:
        check(op, input);
        return;

    case WRITE:
        worked(op, input);
        return;

    case JUDGE:
        if (tn__attempt_settle(op, input, JUDGE, TN_STR("user.login"), TN_NULL,
                               TN_E_INVALID_CREDENTIALS, wrong)) {
            write(op, TN_NULL);
        }
        return;

    default:
        finish(op, input);
    }
}


/* ---- looking at it before ---- */

static void
show(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;

    rows = tn__rows(op, input, 1);

    if (rows && rows->nrows == 0) {
        spent(op);

    } else if (rows) {
        answer(op, rows->cells);
    }
}


void
tn__step_preview(tn_op *op, const tn_input *input)
{
    switch (op->state++) {

    case OPEN:
        read_token(op, 1);
        return;

    case LOOK:
        find(op, input);
        return;

    default:
        show(op, input);
    }
}
