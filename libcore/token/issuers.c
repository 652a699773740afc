/*
 * issuers.c: tokens that somebody else has made: their keys, and what their
 * claims must be before they count (RFC 7519, RFC 8725). Who is meant here is
 * external.c's to find out.
 */

#include "libcore/token/issuers.h"
#include "libcore/token/jws.h"

#include <sodium.h>

#define CLOCK_SKEW  30  /* seconds: clocks that aren't ours */
#define SUBJECT_MAX 255 /* bytes: tenon.user_identity holds no longer one */
#define EMAIL_MAX   254

struct tn__issuer {
    tn_issuer conf;
    tn__jwks keys;
};


/* ---- configuration ---- */

static const char *
conf_fault(const tn_issuer *conf)
{
    unsigned char uuid[16];

    if (conf->issuer.n == 0 || conf->issuer.n > SUBJECT_MAX) {
        return "an issuer's name has 1 to 255 bytes";
    }

    if ((conf->tenant.n != 0) == (conf->tenant_claim.n != 0)) {
        return "either the tenant is told, or the claim that says it";
    }

    if (conf->tenant.n && !tn__slug_like(conf->tenant) &&
        !tn__uuid_parse(uuid, conf->tenant)) {
        return "a tenant is named by its slug or its id";
    }

    return NULL;
}


int
tn_issuer_check(const tn_issuer *issuer, unsigned *key, const char **fault)
{
    tn__jwks keys;
    tn__arena *arena;
    tn__jwks_fault set;

    *key = 0;
    *fault = conf_fault(issuer);

    if (*fault) {
        return 0;
    }

    arena = tn__arena_new();
    if (arena == NULL) {
        *fault = "out of memory";
        return 0;
    }

    if (tn__jwks_parse(&keys, issuer->jwks, &set, tn__arena_mem(arena)) ==
        TN_OK) {
        tn__jwks_free(&keys);
    }

    *key = set.what ? set.key : 0;
    *fault = set.what;
    tn__arena_free(arena);

    return *fault == NULL;
}


static tn_err
setup_issuer(tn__issuer *issuer, const tn_core *core, const tn_issuer *conf,
             tn_mem *mem)
{
    tn_err err;
    unsigned i;
    tn__jwks_fault fault;
    const tn_str from[] = { conf->issuer, conf->audience, conf->tenant,
                            conf->tenant_claim, conf->user_claim };
    tn_str *to[] = { &issuer->conf.issuer, &issuer->conf.audience,
                     &issuer->conf.tenant, &issuer->conf.tenant_claim,
                     &issuer->conf.user_claim };

    err = tn__jwks_parse(&issuer->keys, conf->jwks, &fault, mem);

    for (i = 0; err == TN_OK && i < sizeof(to) / sizeof(to[0]); i++) {
        *to[i] = TN_NULL;

        if (from[i].p) {
            err = tn__dup(to[i], from[i], mem);
        }
    }

    if (issuer->conf.audience.n == 0) {
        issuer->conf.audience = core->issuer;
    }

    if (issuer->conf.user_claim.n == 0) {
        issuer->conf.user_claim = TN_STR("sub");
    }

    return err;
}


tn_err
tn__issuers_setup(tn_core *core)
{
    tn_err err;
    tn_mem *mem;
    const tn_core_conf *conf;

    conf = &core->conf;

    if (conf->nissuers == 0) {
        return TN_OK;
    }

    mem = tn__arena_mem(core->arena);
    core->issuers = tn__zalloc(mem, conf->nissuers * sizeof(tn__issuer));

    if (core->issuers == NULL) {
        return TN_E_NOMEM;
    }

    for (err = TN_OK; err == TN_OK && core->nissuers < conf->nissuers;) {
        err = setup_issuer(&core->issuers[core->nissuers], core,
                           &conf->issuers[core->nissuers], mem);
        core->nissuers++;
    }

    return err;
}


void
tn__issuers_free(tn_core *core)
{
    unsigned i;

    for (i = 0; i < core->nissuers; i++) {
        tn__jwks_free(&core->issuers[i].keys);
    }
}


void
tn__issuers_hash(const tn_core *core, crypto_generichash_state *state)
{
    unsigned i, k;
    uint64_t size;
    const tn_issuer *conf;

    for (i = 0; i < core->nissuers; i++) {
        conf = &core->conf.issuers[i];
        const tn_str parts[] = { conf->issuer,       conf->jwks,
                                 conf->audience,     conf->tenant,
                                 conf->tenant_claim, conf->user_claim };

        for (k = 0; k < sizeof(parts) / sizeof(parts[0]); k++) {
            size = parts[k].n;
            crypto_generichash_update(state, (unsigned char *) &size,
                                      sizeof(size));
            crypto_generichash_update(state, (unsigned char *) parts[k].p,
                                      parts[k].n);
        }
    }
}


/* ---- a token ---- */

/* Tokens of other kinds have other names: what was made to log somebody out,
 * say, is no token of access. */
static int
type_fits(const cJSON *header)
{
    tn_str type;

    if (cJSON_GetObjectItemCaseSensitive(header, "typ") == NULL) {
        return 1;
    }

    type = tn__jws_text(header, "typ");

    if (type.n > 12 && tn__eqi(tn__sub(type, 0, 12), TN_STR("application/"))) {
        type = tn__sub(type, 12, type.n);
    }

    return tn__eqi(type, TN_STR("jwt")) || tn__eqi(type, TN_STR("at+jwt"));
}


static tn__issuer *
issuer_of(const tn_core *core, const cJSON *claims)
{
    unsigned i;
    tn_str name;

    name = tn__jws_text(claims, "iss");

    for (i = 0; name.p && i < core->nissuers; i++) {
        if (tn__eq(core->issuers[i].conf.issuer, name)) {
            return &core->issuers[i];
        }
    }

    return NULL;
}


static int
audience_fits(const cJSON *claims, tn_str want)
{
    int found;
    const cJSON *aud, *one;

    aud = cJSON_GetObjectItemCaseSensitive(claims, "aud");

    if (cJSON_IsString(aud)) {
        return tn__eq(tn__jws_text(claims, "aud"), want);
    }

    found = 0;

    cJSON_ArrayForEach(one, aud)
    {
        if (!cJSON_IsString(one)) {
            return 0;
        }

        found |= strlen(one->valuestring) == want.n &&
                 memcmp(one->valuestring, want.p, want.n) == 0;
    }

    return cJSON_IsArray(aud) && found;
}


/* Absent: fits; there: a time that has come. */
static int
time_has_come(const cJSON *claims, const char *name, int64_t now)
{
    int64_t time;

    return cJSON_GetObjectItemCaseSensitive(claims, name) == NULL ||
           (tn__claim_time(&time, claims, name) && time <= now + CLOCK_SKEW);
}


/* What a claim names a tenant by: a slug, or an id in lower case. The platform
 * itself is named by who runs it, never by a token. */
static tn_err
read_tenant(tn_str *out, tn_str text, int claimed, tn_mem *mem)
{
    unsigned char uuid[16];
    char id[TN__UUID_TEXT];

    if (tn__uuid_parse(uuid, text)) {
        tn__uuid_text(id, uuid);
        text = tn__uuid_str(id);
    } else if (!tn__slug_like(text)) {
        return TN_E_UNAUTHENTICATED;
    }

    if (claimed && (tn__eq(text, TN_STR("platform")) ||
                    tn__eq(text, TN_STR("00000000-0000-7000-8000-"
                                        "000000000002")))) {
        return TN_E_UNAUTHENTICATED;
    }

    return tn__dup(out, text, mem);
}


/* Addresses are kept in lower case; there is nothing to fold but ASCII. */
static tn_err
read_email(tn_str *out, const cJSON *claims, tn_mem *mem)
{
    size_t i;
    char *p;
    tn_str text;

    text = tn__jws_text(claims, "email");

    if (text.n == 0 || text.n > EMAIL_MAX ||
        !cJSON_IsTrue(
            cJSON_GetObjectItemCaseSensitive(claims, "email_verified"))) {
        return TN_OK;
    }

    p = tn__alloc(mem, text.n);
    if (p == NULL) {
        return TN_E_NOMEM;
    }

    for (i = 0; i < text.n; i++) {
        p[i] = text.p[i];

        if (p[i] >= 'A' && p[i] <= 'Z') {
            p[i] = (char) (p[i] | 0x20);
        }
    }

    *out = (tn_str){ p, text.n };

    return TN_OK;
}


static tn_err
read_claims(tn__external *out, const tn_op *op, const tn__issuer *issuer,
            const cJSON *claims)
{
    int64_t now;
    tn_str tenant;
    tn_err err;

    now = op->request->now / 1000000;

    if (!audience_fits(claims, issuer->conf.audience) ||
        !tn__claim_time(&out->expires, claims, "exp") ||
        !time_has_come(claims, "nbf", now) ||
        !time_has_come(claims, "iat", now)) {
        return TN_E_UNAUTHENTICATED;
    }

    out->issuer = issuer->conf.issuer;
    out->subject = tn__jws_text(claims, issuer->conf.user_claim.p);
    tenant = issuer->conf.tenant.n
                 ? issuer->conf.tenant
                 : tn__jws_text(claims, issuer->conf.tenant_claim.p);

    if (out->subject.n == 0 || out->subject.n > SUBJECT_MAX) {
        return TN_E_UNAUTHENTICATED;
    }

    err =
        read_tenant(&out->tenant, tenant, issuer->conf.tenant.n == 0, op->mem);

    if (err == TN_OK) {
        err = read_email(&out->email, claims, op->mem);
    }

    if (err == TN_OK && out->expires <= now) {
        err = TN_E_TOKEN_EXPIRED;
    }

    return err;
}


tn_err
tn__issuers_verify(tn__external *out, const tn_op *op, tn_str token)
{
    tn_err err;
    tn__jws jws;
    cJSON *claims;
    tn__issuer *issuer;
    tn__json_fault fault;

    err = tn__jws_read(&jws, token, op->mem);
    if (err != TN_OK) {
        return err;
    }

    err = tn__json_parse(&claims, jws.payload, &fault, op->mem);
    if (err != TN_OK) {
        return err == TN_E_NOMEM ? err : TN_E_UNAUTHENTICATED;
    }

    issuer = cJSON_IsObject(claims) ? issuer_of(op->core, claims) : NULL;

    if (issuer == NULL || !type_fits(jws.header) ||
        !tn__jws_verify(&jws, &issuer->keys)) {
        return TN_E_UNAUTHENTICATED;
    }

    return read_claims(out, op, issuer, claims);
}
