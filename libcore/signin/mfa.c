/*
 * mfa.c: a second factor comes into force, and goes again.
 *
 * To have one made takes the password; that it comes into force takes a code,
 * which shows that the device has the secret. To make new recovery codes takes
 * a code as well, to be rid of it the password too: a session that was stolen
 * is not enough. Wrong ones count as failed logins do (attempt.c). When it comes
 * or goes, the user's other sessions end, in every tenant, as with a password
 * (reset.c).
 */

#include "libcore/signin/steps.h"
#include "gen/queries.h"

#include <sodium.h>

#define SECRET_TEXT (TN__TOTP_SECRET / 5 * 8) /* as base32 */

static const char wrong[] = "The code or the password is wrong.";
static const char in_force[] =
    "A second factor is in force already; disable it first.";


/* What takes a password or a code, or both. */
enum {
    FIND,
    VERIFY, /* a password */
    JUDGE,
    SETTLE,
    ANSWER,
};

typedef struct change {
    tn__factor *factor;
    tn_str codes;           /* JSON */
    char text[SECRET_TEXT]; /* of a new factor */
} change;


static void
find(tn_op *op)
{
    op->step_data = tn__zalloc(op->mem, sizeof(change));

    if (op->step_data == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);

    } else if (tn__in_session(op)) {
        tn__factor_find(op, op->principal.user);
    }
}


/* ---- enrol ---- */

/* The row of enrol_input (signin_endpoints.c). */
enum {
    ENROL_PASSWORD,
};

static const char wrong_password[] = "This is not your password.";


static int
write_uri(tn_str *out, tn_op *op, tn_str email, tn_str secret)
{
    tn__buf buf;
    tn_str issuer;

    issuer = op->core->base_domain.n ? op->core->base_domain : TN_STR("Tenon");

    /* what apps for codes agree on; they show issuer and address */
    tn__buf_init(&buf, op->mem, 256);
    tn__buf_lit(&buf, "otpauth://totp/");
    tn__buf_uri(&buf, issuer);
    tn__buf_char(&buf, ':');
    tn__buf_uri(&buf, email);
    tn__buf_lit(&buf, "?secret=");
    tn__buf_add(&buf, secret);
    tn__buf_lit(&buf, "&issuer=");
    tn__buf_uri(&buf, issuer);
    tn__buf_lit(&buf, "&algorithm=SHA1&digits=6&period=30");

    return tn__buf_str(out, &buf) == TN_OK;
}


/* Who came by an identity provider alone has no password to show. */
static void
verify(tn_op *op, const tn_input *input)
{
    change *c;
    const tn__factor *f;

    c = op->step_data;
    c->factor = tn__factor_read(op, input);
    f = c->factor;

    if (f == NULL) {
        return;
    }

    if (f->id.p == NULL) {
        tn__fail(op, TN_E_UNAUTHENTICATED, NULL);

    } else if (f->confirmed) {
        tn__fail(op, TN_E_STATE_CONFLICT, in_force);

    } else if (f->hash.p == NULL) {
        tn__fail(op, TN_E_STATE_CONFLICT,
                 "This account has no password to show: set one first, by "
                 "auth/password/forgot and auth/password/reset.");

    } else {
        tn__attempt_bind(op, f->email);
        tn__want_password(op, op->values[ENROL_PASSWORD], f->hash);
    }
}


static void
enrol(tn_op *op)
{
    change *c;
    unsigned char secret[TN__TOTP_SECRET];

    c = op->step_data;

    if (tn__factor_new(op, secret)) {
        tn__base32(c->text, secret, sizeof(secret));
        tn__local(op, TN_STR("user_id"), c->factor->id);
        tn__local(op, TN_STR("password_hash"), c->factor->hash);
        tn__batch_begin(op, 1, 1);
        tn__batch_add(op, &tn__q_totp_enrol);
        tn__want_db(op);
    }

    sodium_memzero(secret, sizeof(secret));
}


static void
enrolled(tn_op *op, const tn_input *input)
{
    tn_str cells[2];
    const change *c;
    const tn_rows *rows;

    c = op->step_data;
    rows = tn__rows(op, input, 1);

    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0) {
        tn__fail(op, TN_E_REAUTHENTICATION_FAILED, wrong_password);
        return;
    }

    if (!tn__pg_true(tn__cell(rows, 0, 1))) {
        tn__fail(op, TN_E_STATE_CONFLICT, in_force);
        return;
    }

    cells[0] = (tn_str){ c->text, SECRET_TEXT };

    if (!write_uri(&cells[1], op, tn__cell(rows, 0, 0), cells[0])) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__respond_row(op, 200, op->endpoint->output, op->endpoint->noutput, cells,
                    TN_NULL);
}


void
tn__step_enrol(tn_op *op, const tn_input *input)
{
    switch (op->state++) {

    case FIND:
        find(op);
        return;

    case VERIFY:
        verify(op, input);
        return;

    case JUDGE:
        tn__attempt_judge(op, input->job && input->job->ok);
        return;

    case SETTLE:
        if (tn__attempt_settle(op, input, SETTLE, TN_STR("user.mfa_enrolled"),
                               op->principal.user, TN_E_REAUTHENTICATION_FAILED,
                               wrong_password)) {
            enrol(op);
        }
        return;

    default:
        enrolled(op, input);
    }
}


/* ---- confirm ---- */

static void
check(tn_op *op, const tn_input *input)
{
    int right;
    change *c;
    const tn__factor *f;

    c = op->step_data;
    c->factor = tn__factor_read(op, input);
    f = c->factor;

    if (f == NULL) {
        return;
    }

    if (f->secret.p == NULL || f->confirmed) {
        tn__fail(op, TN_E_STATE_CONFLICT,
                 f->confirmed ? "It is in force already."
                              : "Ask for a second factor first.");
        return;
    }

    tn__attempt_bind(op, f->email);
    right = tn__factor_right_now(op, f, op->values[0]) &&
            tn__recovery_new(op, f, &c->codes);

    if (op->phase != TN__PHASE_DONE) {
        tn__attempt_judge(op, right);
    }
}


static void
wrong_code(tn_op *op)
{
    tn__fault_field(op, TN_STR("code"), TN_F_REFUSED,
                    "is not the code of this moment");
}


static void
show_codes(tn_op *op, const tn_rows *rows, const tn_input *input)
{
    const change *c;

    c = op->step_data;
    tn__sessions_ended(op, tn__cell(rows, 0, 1));
    tn__session_rotated(op, input, 2);
    tn__respond_row(op, 200, op->endpoint->output, op->endpoint->noutput,
                    &c->codes, TN_NULL);
}


/* A wrong code counts as everywhere else: who came by a session while somebody
 * sets a factor up doesn't guess that one into force. */
void
tn__step_confirm(tn_op *op, const tn_input *input)
{
    change *c;
    const tn_rows *rows;

    c = op->step_data;

    switch (op->state++) {

    case FIND:
        find(op);
        op->state = JUDGE;
        return;

    case JUDGE:
        check(op, input);
        return;

    case SETTLE:
        if (op->attempt.written) {
            wrong_code(op);
        }

        if (tn__attempt_settle(op, input, SETTLE, TN_STR("user.mfa_enabled"),
                               op->principal.user, TN_E_INVALID_FIELDS, NULL)) {
            tn__local(op, TN_STR("user_id"), op->principal.user);
            tn__local(op, TN_STR("password_hash"), c->factor->hash);
            tn__local(op, TN_STR("secret"), c->factor->secret);
            tn__batch_begin(op, 1, 1);
            tn__batch_add(op, &tn__q_totp_confirm);
            tn__session_rotate(op);
            tn__want_db(op);
        }
        return;

    default:
        rows = tn__rows(op, input, 1);

        if (rows && rows->nrows == 0) {
            wrong_code(op); /* locked; confirmed meanwhile; asked for anew */
            tn__fail(op, TN_E_INVALID_FIELDS, NULL);
        } else if (rows) {
            show_codes(op, rows, input);
        }
    }
}


/* ---- what takes a code that is in force ---- */

/* 0 when the op has failed. */
static int
found(tn_op *op, const tn_input *input)
{
    change *c;

    c = op->step_data;
    c->factor = tn__factor_read(op, input);

    if (c->factor == NULL) {
        return 0;
    }

    if (!c->factor->confirmed) {
        tn__fail(op, TN_E_STATE_CONFLICT, "No second factor is in force.");
        return 0;
    }

    tn__attempt_bind(op, c->factor->email);

    return op->phase != TN__PHASE_DONE;
}


static void
settle(tn_op *op, const tn_input *input, tn_str action, const tn__bound *stmt)
{
    if (tn__attempt_settle(op, input, SETTLE, action, op->principal.user,
                           TN_E_REAUTHENTICATION_FAILED, wrong)) {
        tn__local(op, TN_STR("user_id"), op->principal.user);
        tn__batch_begin(op, 1, 1);
        tn__batch_add(op, stmt);
        tn__session_rotate(op);
        tn__want_db(op);
    }
}


/* The rows of disable_input (signin_endpoints.c). */
enum {
    DISABLE_PASSWORD,
    DISABLE_CODE,
};


void
tn__step_disable(tn_op *op, const tn_input *input)
{
    int right;
    change *c;
    const tn_rows *rows;

    c = op->step_data;

    switch (op->state++) {

    case FIND:
        find(op);
        return;

    case VERIFY:
        if (found(op, input)) {
            tn__want_password(op, op->values[DISABLE_PASSWORD],
                              c->factor->hash.p ? c->factor->hash
                                                : tn__decoy(op));
        }
        return;

    case JUDGE:
        right = tn__factor_right(op, c->factor, op->values[DISABLE_CODE]);

        if (op->phase != TN__PHASE_DONE) {
            tn__attempt_judge(op, right && input->job && input->job->ok);
        }
        return;

    case SETTLE:
        settle(op, input, TN_STR("user.mfa_disabled"), &tn__q_totp_disable);
        return;

    default:
        rows = tn__rows(op, input, 1);

        if (rows && rows->nrows == 0) {
            tn__fail(op, TN_E_REAUTHENTICATION_FAILED, wrong);
        } else if (rows) {
            tn__sessions_ended(op, tn__cell(rows, 0, 1));
            tn__session_rotated(op, input, 2);
            tn__respond(op, 204, TN_NULL);
        }
    }
}


void
tn__step_renew_codes(tn_op *op, const tn_input *input)
{
    int right;
    change *c;
    const tn_rows *rows;

    c = op->step_data;

    switch (op->state++) {

    case FIND:
        find(op);
        op->state = JUDGE;
        return;

    case JUDGE:
        if (!found(op, input)) {
            return;
        }

        right = tn__factor_right_now(op, c->factor, op->values[0]) &&
                tn__recovery_new(op, c->factor, &c->codes);

        if (op->phase != TN__PHASE_DONE) {
            tn__attempt_judge(op, right);
        }
        return;

    case SETTLE:
        settle(op, input, TN_STR("user.recovery_codes_renewed"),
               &tn__q_recovery_renew);
        return;

    default:
        rows = tn__rows(op, input, 1);

        if (rows && rows->nrows == 0) {
            tn__fail(op, TN_E_REAUTHENTICATION_FAILED, wrong);
        } else if (rows) {
            show_codes(op, rows, input);
        }
    }
}
