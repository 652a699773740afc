/*
 * factor.c: a user's second factor as it lies in the database: its secret is
 * sealed (http/sealed.c), its recovery codes are MACs under that secret: so they
 * outlast every key that is replaced, and go with the factor. A code is compared
 * here and spent by the statement that it opens, so each works once, whoever
 * hurries.
 */

#include "libcore/signin/steps.h"
#include "gen/queries.h"

#include <sodium.h>

#define RECOVERY_LEN 10 /* characters of 5 bits: not to be guessed */
#define MAC_LEN      16
#define MAC_TEXT     (2 * MAC_LEN)

/* What totp_find answers. */
enum {
    FOUND_ID,
    FOUND_EMAIL,
    FOUND_NAME,
    FOUND_HASH,
    FOUND_ROLE,
    FOUND_TENANT_NAME,
    FOUND_SECRET,
    FOUND_STEP,
    FOUND_CONFIRMED,
    FOUND_RECOVERY,
    FOUND_TENANTS,
    FOUND_COUNT
};


void
tn__factor_find(tn_op *op, tn_str user_id)
{
    tn__local(op, TN_STR("user_id"), user_id);
    tn__batch_begin(op, 1, 0);
    tn__batch_add(op, &tn__q_totp_find);
    tn__want_db(op);
}


tn__factor *
tn__factor_read(tn_op *op, const tn_input *input)
{
    unsigned i;
    tn__factor *f;
    const tn_rows *rows;
    tn_str found[FOUND_COUNT];

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return NULL;
    }

    f = tn__zalloc(op->mem, sizeof(tn__factor));

    for (i = 0; f && i < FOUND_COUNT; i++) {
        found[i] = tn__cell(rows, 0, i);

        if (found[i].p && tn__dup(&found[i], found[i], op->mem) != TN_OK) {
            f = NULL;
        }
    }

    if (f == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return NULL;
    }

    f->id = found[FOUND_ID];
    f->email = found[FOUND_EMAIL];
    f->name = found[FOUND_NAME];
    f->hash = found[FOUND_HASH];
    f->role = found[FOUND_ROLE];
    f->tenant_name = found[FOUND_TENANT_NAME];
    f->secret = found[FOUND_SECRET];
    f->confirmed = tn__pg_true(found[FOUND_CONFIRMED]);
    f->recovery = found[FOUND_RECOVERY];

    /* only then do others of theirs end */
    if (op->endpoint->changes_access) {
        tn__sessions_ended(op, found[FOUND_TENANTS]);
    }

    if (!tn__int_parse(&f->last_step, found[FOUND_STEP])) {
        f->last_step = 0;
    }

    return f;
}


/* ---- the secret ---- */

static tn_place
place_of(const tn_op *op, tn_str user_id)
{
    tn_place place;

    place.scope = op->tenant.realm;
    place.relation = TN_STR("tenon.totp");
    place.column = TN_STR("secret");
    place.id = user_id;

    return place;
}


int
tn__factor_new(tn_op *op, unsigned char secret[TN__TOTP_SECRET])
{
    tn_err err;
    tn_place place;
    tn_str sealed;
    char text[2 * TN__TOTP_SECRET];

    tn__rng_bytes(&op->rng, secret, TN__TOTP_SECRET);
    place = place_of(op, op->principal.user);
    err = tn__seal(
        &sealed, op, &place,
        (tn_str){ text, tn__b64_encode(text, secret, TN__TOTP_SECRET) });
    sodium_memzero(text, sizeof(text));

    if (err == TN_OK) {
        tn__local(op, TN_STR("secret"), sealed);
    }

    return err == TN_OK;
}


/* 0 where there is none, or it can't be read, and the op has failed. Wipe it. */
static int
open_secret(unsigned char secret[TN__TOTP_SECRET], tn_op *op,
            const tn__factor *f)
{
    int ok;
    size_t n;
    tn_str text;
    tn_place place;

    if (f->secret.p == NULL) {
        return 0;
    }

    place = place_of(op, f->id);

    if (tn__unseal(&text, op, &place, f->secret) != TN_OK) {
        return 0;
    }

    ok = tn__b64_decode(secret, TN__TOTP_SECRET, &n, text) &&
         n == TN__TOTP_SECRET;
    sodium_memzero((char *) text.p, text.n);

    if (!ok) {
        tn__log(op, TN_STR("a second factor's secret is damaged"));
        tn__fail(op, TN_E_INTERNAL, NULL);
    }

    return ok;
}


/* The step of a right code that is newer than the last; else -1. */
static int64_t
match(tn_op *op, const tn__factor *f, tn_str code)
{
    int64_t step;
    unsigned char secret[TN__TOTP_SECRET];

    if (!open_secret(secret, op, f)) {
        return -1;
    }

    step = tn__totp_match(secret, code, op->request->now / 1000000);
    sodium_memzero(secret, sizeof(secret));

    return step > f->last_step ? step : -1;
}


static void
bind(tn_op *op, const tn__factor *f, int64_t step, tn_str recovery)
{
    tn__buf buf;
    tn_str text;

    text = TN_NULL;

    if (step >= 0) {
        tn__buf_init(&buf, op->mem, 24);
        tn__buf_int(&buf, step);

        if (tn__buf_str(&text, &buf) != TN_OK) {
            tn__fail(op, TN_E_NOMEM, NULL);
            return;
        }
    }

    tn__local(op, TN_STR("step"), text);
    tn__local(op, TN_STR("recovery_code"), recovery);
    tn__local(op, TN_STR("user_id"), f->id);
    tn__local(op, TN_STR("password_hash"), f->hash);
}


int
tn__factor_right_now(tn_op *op, const tn__factor *f, tn_str code)
{
    int64_t step;

    step = match(op, f, code);

    if (step >= 0) {
        bind(op, f, step, TN_NULL);
    }

    return step >= 0 && op->phase != TN__PHASE_DONE;
}


/* ---- recovery codes ---- */

static void
recovery_mac(char out[MAC_TEXT + 1], const tn_op *op, tn_str user_id,
             const unsigned char secret[TN__TOTP_SECRET],
             const char code[RECOVERY_LEN])
{
    tn_str parts[4];
    unsigned char mac[MAC_LEN], key[32] = { 0 };

    parts[0] = TN_STR("recovery code");
    parts[1] = op->tenant.realm;
    parts[2] = user_id;
    parts[3] = (tn_str){ code, RECOVERY_LEN };
    memcpy(key, secret, TN__TOTP_SECRET);
    tn__mac(mac, sizeof(mac), key, parts, 4);
    sodium_memzero(key, sizeof(key));
    sodium_bin2hex(out, MAC_TEXT + 1, mac, sizeof(mac));
}


/* As people type it: in any case, with or without what parts it. */
static int
recovery_read(char out[RECOVERY_LEN], tn_str code)
{
    char c;
    size_t i, n;

    for (i = n = 0; i < code.n; i++) {
        c = code.p[i];

        if (c == '-' || c == ' ') {
            continue;
        }

        if (n == RECOVERY_LEN) {
            return 0;
        }

        out[n++] = c >= 'A' && c <= 'Z' ? (char) (c + 'a' - 'A') : c;
    }

    return n == RECOVERY_LEN;
}


static int
recovery_right(tn_op *op, const tn__factor *f, tn_str code)
{
    tn_str rest, mac;
    char text[RECOVERY_LEN], wanted[MAC_TEXT + 1];
    unsigned char secret[TN__TOTP_SECRET];

    if (!recovery_read(text, code) || !open_secret(secret, op, f)) {
        return 0;
    }

    recovery_mac(wanted, op, f->id, secret, text);
    sodium_memzero(secret, sizeof(secret));
    rest = f->recovery;

    while (rest.n) {
        mac = tn__split(&rest, ',');

        if (mac.n == MAC_TEXT && sodium_memcmp(mac.p, wanted, MAC_TEXT) == 0) {
            bind(op, f, -1, mac);
            return op->phase != TN__PHASE_DONE;
        }
    }

    return 0;
}


int
tn__factor_right(tn_op *op, const tn__factor *f, tn_str code)
{
    return code.n == TN__TOTP_DIGITS ? tn__factor_right_now(op, f, code)
                                     : recovery_right(op, f, code);
}


/* 8 characters for 5 bytes: what is left over of the last ones is not used. */
static void
recovery_make(tn_op *op, char out[RECOVERY_LEN])
{
    size_t i;
    char text[16];
    unsigned char raw[10];

    tn__rng_bytes(&op->rng, raw, sizeof(raw));
    tn__base32(text, raw, sizeof(raw));

    for (i = 0; i < RECOVERY_LEN; i++) {
        out[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char) (text[i] + 'a' - 'A')
                                                  : text[i];
    }

    sodium_memzero(raw, sizeof(raw));
    sodium_memzero(text, sizeof(text));
}


int
tn__recovery_new(tn_op *op, const tn__factor *f, tn_str *json)
{
    unsigned i;
    tn__buf macs, shown;
    tn_str list;
    char code[RECOVERY_LEN], mac[MAC_TEXT + 1];
    unsigned char secret[TN__TOTP_SECRET];

    if (!open_secret(secret, op, f)) {
        return 0;
    }

    tn__buf_init(&macs, op->mem, 512);
    tn__buf_init(&shown, op->mem, 256);

    for (i = 0; i < TN__RECOVERY_CODES; i++) {
        recovery_make(op, code);
        recovery_mac(mac, op, f->id, secret, code);

        tn__buf_char(&macs, i ? ',' : '{');
        tn__buf_add(&macs, (tn_str){ mac, MAC_TEXT });

        tn__buf_add(&shown, i ? TN_STR(",\"") : TN_STR("[\""));
        tn__buf_add(&shown, (tn_str){ code, RECOVERY_LEN / 2 });
        tn__buf_char(&shown, '-');
        tn__buf_add(&shown,
                    (tn_str){ code + RECOVERY_LEN / 2, RECOVERY_LEN / 2 });
        tn__buf_char(&shown, '"');
    }

    tn__buf_char(&macs, '}');
    tn__buf_char(&shown, ']');
    sodium_memzero(code, sizeof(code));
    sodium_memzero(secret, sizeof(secret));

    if (tn__buf_str(&list, &macs) != TN_OK ||
        tn__buf_str(json, &shown) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 0;
    }

    tn__local(op, TN_STR("recovery_codes"), list);

    return 1;
}
