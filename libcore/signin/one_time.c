/*
 * one_time.c: tokens that are sent to an address and work once.
 *
 * Like an invitation's (people/accept.c) such a token lies nowhere: it is the
 * ids of realm and row and a MAC over them and the purpose under the core's
 * secret. So a forged one is never looked up, one made for something else is
 * forged, and who reads the database can't use what is in it. That it works
 * once, and until when, is the row's.
 */

#include "libcore/signin/steps.h"
#include "libcore/zone/zone.h"

#include <sodium.h>

#define ID_LEN    16
#define MAC_LEN   32
#define TOKEN_LEN (2 * ID_LEN + MAC_LEN)

/* What may be asked for within that time: for one address, from one, from all
 * clients that have none. */
#define WINDOW        900000 /* ms */
#define MAX_FOR       3
#define MAX_FROM      30
#define MAX_FROM_NONE 300

/* What is asked for by anybody is counted in so many slots of a tenant, by
 * address: what is worth an event (tn__notable). */
#define SLOTS      64
#define LOG_WINDOW 3600000 /* ms */

static void
token_mac(unsigned char mac[MAC_LEN], const tn_core *core, tn_str purpose,
          const unsigned char ids[2 * ID_LEN])
{
    tn_str parts[4];

    parts[0] = TN_STR("one-time");
    parts[1] = purpose;
    parts[2] = (tn_str){ (const char *) ids, ID_LEN };
    parts[3] = (tn_str){ (const char *) ids + ID_LEN, ID_LEN };
    tn__mac(mac, MAC_LEN, core->conf.secret, parts, 4);
}


tn_err
tn_one_time_token(char *out, const tn_core *core, tn_str purpose,
                  tn_str realm_id, tn_str id)
{
    unsigned char raw[TOKEN_LEN];

    if (!tn__uuid_parse(raw, realm_id) || !tn__uuid_parse(raw + ID_LEN, id)) {
        return TN_E_INTERNAL;
    }

    token_mac(raw + 2 * ID_LEN, core, purpose, raw);
    out[tn__b64_encode(out, raw, sizeof(raw))] = '\0';

    return TN_OK;
}


/* In the realm of another tenant's it is as good as forged. */
static int
is_ours(const tn_op *op, tn_str purpose, tn_str token,
        unsigned char raw[TOKEN_LEN])
{
    size_t n;
    unsigned char mac[MAC_LEN], realm[ID_LEN];

    if (!tn__b64_decode(raw, TOKEN_LEN, &n, token) || n != TOKEN_LEN) {
        return 0;
    }

    token_mac(mac, op->core, purpose, raw);

    return sodium_memcmp(mac, raw + 2 * ID_LEN, MAC_LEN) == 0 &&
           tn__uuid_parse(realm, op->tenant.realm) &&
           memcmp(realm, raw, ID_LEN) == 0;
}


int
tn__one_time_open(tn_op *op, tn_str purpose, tn_str token)
{
    char *id;
    unsigned char raw[TOKEN_LEN];

    if (!is_ours(op, purpose, token, raw)) {
        tn__one_time_forged(op);
        return 0;
    }

    id = tn__alloc(op->mem, TN__UUID_TEXT);
    if (id == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 0;
    }

    tn__uuid_text(id, raw + ID_LEN);
    tn__local(op, TN_STR("purpose"), purpose);
    tn__local(op, TN_STR("one_time_id"), (tn_str){ id, TN__UUID_TEXT });

    return 1;
}


void
tn__one_time_new(tn_op *op, tn_str purpose)
{
    tn__local(op, TN_STR("purpose"), purpose);
    tn__local(op, TN_STR("one_time_id"), tn__new_id(op));
}


void
tn__one_time_forged(tn_op *op)
{
    tn__fault_field(op, TN_STR("token"), TN_F_NOT_FOUND,
                    "is not a token of this organization's for this");
    tn__fail(op, TN_E_INVALID_FIELDS, NULL);
}


void
tn__one_time_spent(tn_op *op)
{
    tn__fail(op, TN_E_SECRET_SPENT,
             "This token was used, replaced by a newer one, or has expired.");
}


void
tn__one_time_from(tn_op *op)
{
    tn__zone_address(&op->zone[0], TN_ZONE_COUNT, op, TN_STR("one_time_from"));
    op->zone[0].ttl_ms = WINDOW;
    tn__want_zone(op, 1);
}


void
tn__one_time_for(tn_op *op, tn_str purpose, tn_str whom)
{
    /* of this tenant: what is asked for in another is no reason to send
     * nothing here */
    tn__zone_key(&op->zone[0], TN_ZONE_COUNT, op, purpose, op->tenant.id, whom);
    op->zone[0].ttl_ms = WINDOW;
    tn__want_zone(op, 1);
}


/* A count that was lost allows: to lose one must do no harm. */
static int
at_most(int64_t max, const tn_input *input)
{
    int64_t n;

    return !tn__int_parse(&n, input->values[0]) || n <= max;
}


int
tn__one_time_from_allowed(const tn_op *op, const tn_input *input)
{
    return at_most(op->address.p ? MAX_FROM : MAX_FROM_NONE, input);
}


int
tn__one_time_for_allowed(const tn_input *input)
{
    return at_most(MAX_FOR, input);
}


/* One of 256 of the tenant, by address: asked for twice at once, that is as slow
 * as for one that somebody has. */
static tn_str
nobody_id(tn_op *op, unsigned char row)
{
    char *id;
    tn_str parts[3];
    unsigned char raw[ID_LEN];

    id = tn__alloc(op->mem, TN__UUID_TEXT);
    if (id == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return TN_NULL;
    }

    parts[0] = TN_STR("one-time for nobody");
    parts[1] = op->tenant.id;
    parts[2] = (tn_str){ (const char *) &row, 1 };
    tn__mac(raw, sizeof(raw), op->core->conf.secret, parts, 3);
    tn__uuid_text(id, raw);

    return (tn_str){ id, TN__UUID_TEXT };
}


void
tn__one_time_anybody(tn_op *op, tn_str purpose, tn_str email)
{
    char slot;
    tn_str parts[3];
    unsigned char raw[ID_LEN];

    parts[0] = TN_STR("one-time for an address");
    parts[1] = op->tenant.id;
    parts[2] = email;
    tn__mac(raw, sizeof(raw), op->core->conf.secret, parts, 3);
    slot = (char) (raw[1] % SLOTS);

    tn__one_time_new(op, purpose);
    tn__local(op, TN_STR("email"), email);
    tn__local(op, TN_STR("nobody_id"), nobody_id(op, raw[0]));

    tn__zone_key(&op->zone[0], TN_ZONE_COUNT, op, TN_STR("tokens_asked"),
                 op->tenant.id, (tn_str){ &slot, 1 });
    op->zone[0].ttl_ms = LOG_WINDOW;
    tn__want_zone(op, 1);
}


int
tn__in_person(tn_op *op)
{
    if (op->principal.api_key.p == NULL &&
        op->principal.impersonator.p == NULL) {
        return 1;
    }

    tn__fail(op, TN_E_FORBIDDEN,
             "Only the person may do this, signed in themselves.");

    return 0;
}


int
tn__in_session(tn_op *op)
{
    if (!tn__in_person(op)) {
        return 0;
    }

    if (op->principal.session.p) {
        return 1;
    }

    tn__fail(op, TN_E_FORBIDDEN,
             "A token of an identity provider doesn't do for this: sign in "
             "here, by the account's password. Where there is none yet, "
             "auth/password/forgot sends a token to set one by.");

    return 0;
}
