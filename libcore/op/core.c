/*
 * core.c: configuration, keys, and the catalogue in use. Before the database
 * has been read, a catalogue of the service endpoints alone is in use, so
 * that /live answers from the first moment.
 */

#include "libcore/op/op.h"
#include "libcore/billing/billing.h"
#include "libcore/signin/signin.h"
#include "libcore/flags/flags.h"
#include "libcore/openapi/openapi.h"
#include "libcore/people/people.h"
#include "libcore/job/job.h"
#include "libcore/stripe/stripe.h"
#include "libcore/usage/usage.h"
#include "libcore/resource/resource.h"
#include "libcore/webhook/webhook.h"

#include <sodium.h>
#include <stdlib.h>


void
tn_core_conf_init(tn_core_conf *conf)
{
    memset(conf, 0, sizeof(tn_core_conf));
    conf->token_ttl = 900;
    conf->session_ttl = 30 * 86400;
    conf->hash_ops = crypto_pwhash_OPSLIMIT_INTERACTIVE;
    conf->hash_memory = crypto_pwhash_MEMLIMIT_INTERACTIVE;
    conf->body_max = 1024 * 1024;
}


/* An Argon2id hash text with this core's parameters, salt and tag made up:
 * checking a password against it takes as long as any, and fails. Put
 * together, not computed, so that a start is not slowed by a hash. */
static tn_err
make_decoy(tn_core *core)
{
    tn__buf buf;
    tn_str text, label;
    char salt[32], tag[48];
    unsigned char raw[48];

    label = TN_STR("decoy");
    tn__mac(raw, sizeof(raw), core->conf.secret, &label, 1);
    sodium_bin2base64(salt, sizeof(salt), raw, 16,
                      sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    sodium_bin2base64(tag, sizeof(tag), raw + 16, 32,
                      sodium_base64_VARIANT_ORIGINAL_NO_PADDING);

    tn__buf_init(&buf, tn__arena_mem(core->arena), 128);
    tn__buf_lit(&buf, "$argon2id$v=19$m=");
    tn__buf_int(&buf, (int64_t) (core->conf.hash_memory / 1024));
    tn__buf_lit(&buf, ",t=");
    tn__buf_int(&buf, (int64_t) core->conf.hash_ops);
    tn__buf_lit(&buf, ",p=1$");
    tn__buf_add(&buf, (tn_str){ salt, strlen(salt) });
    tn__buf_char(&buf, '$');
    tn__buf_add(&buf, (tn_str){ tag, strlen(tag) });
    tn__buf_char(&buf, '\0');

    if (tn__buf_str(&text, &buf) != TN_OK) {
        return TN_E_NOMEM;
    }

    core->decoy = (char *) text.p;

    return TN_OK;
}


static tn_err
take_keys(tn_core *core)
{
    tn_err err;
    unsigned i;
    const tn_key_ring *ring;

    err = TN_OK;
    ring = &core->conf.encryption;

    for (i = 0; err == TN_OK && i < ring->n; i++) {
        err = tn__keyring_add(&core->keyring, ring->keys[i].seed);
    }

    sodium_memzero(&core->conf.encryption, sizeof(core->conf.encryption));

    return err;
}


static tn_err
setup(tn_core *core)
{
    tn_err err;
    tn_mem *mem;
    tn__buf fault;
    tn_str label, parts[2];
    tn_catalogue *cat;

    label = TN_STR("zone");
    tn__mac(core->zone_key, sizeof(core->zone_key), core->conf.secret, &label,
            1);

    mem = tn__arena_mem(core->arena);
    err = take_keys(core);

    if (err == TN_OK) {
        err = tn__dup(&core->base_domain, core->conf.base_domain, mem);
    }

    if (err == TN_OK && core->conf.cors_origins.p) {
        err = tn__dup(&core->cors_origins, core->conf.cors_origins, mem);
    }

    if (err == TN_OK) {
        parts[0] = TN_STR("https://");
        parts[1] = core->base_domain;
        err = tn__cat(&core->issuer, parts, 2, mem);
    }

    if (err == TN_OK) {
        err = tn__issuers_setup(core);
    }

    if (err == TN_OK) {
        err = tn__token_setup(core);
    }

    if (err == TN_OK) {
        err = make_decoy(core);
    }

    if (err == TN_OK) {
        tn__buf_init(&fault, mem, 64);
        err = tn__catalogue_compile(&cat, NULL, &tn__service_slice, 1, &fault);
    }

    if (err == TN_OK) {
        tn_core_adopt(core, cat);
    }

    return err;
}


tn_err
tn_core_new(tn_core **out, const tn_core_conf *conf)
{
    tn_err err;
    tn_core *core;

    *out = NULL;

    if (sodium_init() < 0) {
        return TN_E_INTERNAL;
    }

    core = calloc(1, sizeof(tn_core));
    if (core == NULL) {
        return TN_E_NOMEM;
    }

    core->conf = *conf;
    core->arena = tn__arena_new();

    err = core->arena ? setup(core) : TN_E_NOMEM;
    if (err != TN_OK) {
        tn_core_free(core);
        return err;
    }

    *out = core;

    return TN_OK;
}


static void
release(tn_catalogue *cat)
{
    if (cat && --cat->references == 0) {
        tn_catalogue_free(cat);
    }
}


void
tn_core_free(tn_core *core)
{
    if (core == NULL) {
        return;
    }

    release(core->catalogue);
    tn__issuers_free(core);
    sodium_memzero(core->private_key, sizeof(core->private_key));
    sodium_memzero(core->zone_key, sizeof(core->zone_key));
    sodium_memzero(&core->conf, sizeof(core->conf));
    sodium_memzero(&core->keyring, sizeof(core->keyring));

    if (core->arena) {
        tn__arena_free(core->arena);
    }

    if (core->fault_arena) {
        tn__arena_free(core->fault_arena);
    }

    free(core);
}


tn_err
tn_text_seal(tn_str *out, const tn_core *core, const tn_place *place,
             tn_str text, const unsigned char nonce[TN_NONCE_LEN], tn_mem *mem)
{
    return tn__text_seal(out, &core->keyring, place, text, nonce, mem);
}


tn_err
tn_text_unseal(tn_str *out, const tn_core *core, const tn_place *place,
               tn_str text, tn_mem *mem)
{
    return tn__text_unseal(out, &core->keyring, place, text, mem);
}


int
tn_core_ready(const tn_core *core)
{
    return core->catalogue->version != 0;
}


tn_err
tn_catalogue_new(tn_catalogue **cat, tn_core *core, const tn_reply *reply,
                 tn_str *fault)
{
    tn_err err;
    tn__buf buf;
    const tn__slice slices[] = {
        tn__service_slice,  tn__login_slice,
        tn__sessions_slice, tn__audit_slice,
        tn__members_slice,  tn__invitations_slice,
        tn__tenants_slice,  tn__platform_slice,
        tn__domains_slice,  tn__roles_slice,
        tn__api_keys_slice, tn__accounts_slice,
        tn__shares_slice,   tn__signin_slice,
        tn__jobs_slice,     tn__inbound_slice,
        tn__billing_slice,  tn__flags_slice,
        tn__ofrep_slice,    tn__billing_sessions_slice,
        tn__usage_slice,
    };

    *cat = NULL;
    *fault = TN_STR("out of memory");

    if (core->fault_arena) {
        tn__arena_free(core->fault_arena);
    }

    core->fault_arena = tn__arena_new();
    if (core->fault_arena == NULL) {
        return TN_E_NOMEM;
    }

    tn__buf_init(&buf, tn__arena_mem(core->fault_arena), 256);
    err = tn__catalogue_compile(cat, reply, slices,
                                sizeof(slices) / sizeof(slices[0]), &buf);

    if (err == TN_OK) {
        err = tn__openapi_compile(*cat);

        if (err != TN_OK) {
            tn_catalogue_free(*cat);
            *cat = NULL;
            tn__buf_lit(&buf, "its OpenAPI document can't be written");
        }
    }

    if (err != TN_OK && err != TN_E_NOMEM &&
        tn__buf_str(fault, &buf) != TN_OK) {
        return TN_E_NOMEM;
    }

    return err;
}


void
tn_core_adopt(tn_core *core, tn_catalogue *cat)
{
    cat->references++;
    release(core->catalogue);
    core->catalogue = cat;
}


/* The n-th of those that have a statement for scopes of accounts. */
static const tn__endpoint *
scoped_endpoint(const tn_catalogue *cat, unsigned n)
{
    unsigned i;

    for (i = 0; i < cat->nendpoints; i++) {
        if (cat->endpoints[i].scoped && n-- == 0) {
            return &cat->endpoints[i];
        }
    }

    return NULL;
}


int
tn_catalogue_endpoint(tn_endpoint_info *info, const tn_catalogue *cat,
                      unsigned i)
{
    const tn__endpoint *e;
    const tn__bound *bound;

    memset(info, 0, sizeof(tn_endpoint_info));

    if (i < cat->nendpoints) {
        e = &cat->endpoints[i];
        bound = e->stmt;

    } else {
        e = scoped_endpoint(cat, i - cat->nendpoints);
        if (e == NULL) {
            return 0;
        }
        bound = e->scoped;
        info->scoped = 1;
    }

    info->operation = e->operation;
    info->method = e->method;
    info->path = e->path;
    info->permission =
        (tn_str){ e->permission_name, strlen(e->permission_name) };
    info->stmt = bound ? &bound->stmt : NULL;
    info->columns = e->columns;
    info->ncolumns = e->ncolumns;

    return 1;
}
