/*
 * keys.c: the keys of access tokens: their file's text, and what a core makes
 * of them at its start: ids, encoded headers, the JWKS.
 *
 * Only the first key's private half is kept: what the others sign is none of
 * this core's business.
 */

#include "libcore/token/issuers.h"

#include <sodium.h>

#define SEED_TEXT ((size_t) 43) /* 32 bytes in base64url */


/* "SEED" or "SEED TIME". */
static const char *
parse_key(tn_signing_key *key, tn_str line)
{
    size_t n;
    int64_t us;
    tn_str seed;

    seed = tn__split(&line, ' ');

    if (seed.n != SEED_TEXT ||
        !tn__b64_decode(key->seed, TN_KEY_LEN, &n, seed) || n != TN_KEY_LEN) {
        return "a key is 32 bytes in base64url without padding";
    }

    key->since = 0;

    if (line.p) {
        if (!tn__time_parse(&us, line) || us <= 0) {
            return "behind a key and one blank stands a time like "
                   "2026-11-21T10:00:00Z, or nothing";
        }
        key->since = us / 1000000;
    }

    return NULL;
}


static const char *
add_key(tn_key_ring *ring, tn_str line)
{
    unsigned i;
    const char *fault;

    if (ring->n == TN_RING_KEYS_MAX) {
        return "there are too many keys: take old ones away, from the end";
    }

    fault = parse_key(&ring->keys[ring->n], line);

    for (i = 0; fault == NULL && i < ring->n; i++) {
        if (sodium_memcmp(ring->keys[i].seed, ring->keys[ring->n].seed,
                          TN_KEY_LEN) == 0) {
            fault = "this key is there already";
        }
    }

    ring->n++;

    return fault;
}


int
tn_key_ring_parse(tn_key_ring *ring, unsigned *line, const char **fault,
                  tn_str text)
{
    memset(ring, 0, sizeof(tn_key_ring));
    *line = 0;
    *fault = NULL;

    if (text.n && text.p[text.n - 1] == '\n') {
        text.n--;
    }

    while (text.p && *fault == NULL) {
        (*line)++;
        *fault = add_key(ring, tn__split(&text, '\n'));
    }

    if (*fault) {
        sodium_memzero(ring, sizeof(tn_key_ring));
    }

    return *fault == NULL;
}


/* The members in the order RFC 7638 hashes them: without them a JWK is none,
 * and they are of one length. */
#define JWK_HEAD "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\""
#define JWK_TAIL "\"}"
#define JWK_TEXT (sizeof(JWK_HEAD) - 1 + SEED_TEXT + sizeof(JWK_TAIL) - 1)

static void
public_jwk(char out[JWK_TEXT], const unsigned char public_key[32])
{
    char *p;

    p = out;
    memcpy(p, JWK_HEAD, sizeof(JWK_HEAD) - 1);
    p += sizeof(JWK_HEAD) - 1;
    p += tn__b64_encode(p, public_key, 32);
    memcpy(p, JWK_TAIL, sizeof(JWK_TAIL) - 1);
}


static void
key_id(char out[TN_KEY_ID_SIZE], const char jwk[JWK_TEXT])
{
    unsigned char thumbprint[crypto_hash_sha256_BYTES];

    crypto_hash_sha256(thumbprint, (const unsigned char *) jwk, JWK_TEXT);
    out[tn__b64_encode(out, thumbprint, sizeof(thumbprint))] = '\0';
}


void
tn_signing_key_id(char out[TN_KEY_ID_SIZE], const tn_signing_key *key)
{
    char jwk[JWK_TEXT];
    unsigned char public_key[32], private_key[64];

    crypto_sign_seed_keypair(public_key, private_key, key->seed);
    sodium_memzero(private_key, sizeof(private_key));
    public_jwk(jwk, public_key);
    key_id(out, jwk);
}


/* Adds a key, and its member of the JWKS. */
static tn_err
setup_key(tn_core *core, tn__buf *jwks, const unsigned char *seed)
{
    tn_err err;
    tn_mem *mem;
    tn__token_key *key;
    char jwk[JWK_TEXT], kid[TN_KEY_ID_SIZE];
    tn_str header, parts[3];
    unsigned char private_key[64];

    mem = tn__arena_mem(core->arena);
    key = &core->token_keys[core->ntoken_keys];
    crypto_sign_seed_keypair(key->public_key, private_key, seed);

    if (core->ntoken_keys++ == 0) {
        memcpy(core->private_key, private_key, sizeof(private_key));
    }

    sodium_memzero(private_key, sizeof(private_key));
    public_jwk(jwk, key->public_key);
    key_id(kid, jwk);
    err = tn__dup(&key->kid, (tn_str){ kid, TN_KEY_ID_SIZE - 1 }, mem);

    if (err == TN_OK) {
        parts[0] = TN_STR("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"");
        parts[1] = key->kid;
        parts[2] = TN_STR("\"}");
        err = tn__cat(&header, parts, 3, mem);
    }

    if (err == TN_OK) {
        err = tn__b64_text(&key->header, header, mem);
    }

    tn__buf_add(jwks, (tn_str){ jwk, JWK_TEXT - 1 });
    tn__buf_lit(jwks, ",\"alg\":\"EdDSA\",\"use\":\"sig\",\"kid\":\"");
    tn__buf_add(jwks, (tn_str){ kid, TN_KEY_ID_SIZE - 1 });
    tn__buf_lit(jwks, "\"}");

    return err;
}


tn_err
tn__token_setup(tn_core *core)
{
    unsigned i;
    tn_err err;
    tn__buf jwks;
    unsigned char hash[32];
    crypto_generichash_state state;

    tn__buf_init(&jwks, tn__arena_mem(core->arena), 1024);
    tn__buf_lit(&jwks, "{\"keys\":[");
    err = TN_OK;

    for (i = 0; err == TN_OK && i < core->conf.signing.n; i++) {
        if (i) {
            tn__buf_char(&jwks, ',');
        }
        err = setup_key(core, &jwks, core->conf.signing.keys[i].seed);
    }

    sodium_memzero(&core->conf.signing, sizeof(core->conf.signing));
    tn__buf_lit(&jwks, "]}");

    if (err == TN_OK) {
        err = tn__buf_str(&core->jwks, &jwks);
    }

    if (err != TN_OK) {
        return err;
    }

    /* with another ring, another name, which is their audience, or other
     * issuers, nothing counts that the zone keeps of tokens */
    crypto_generichash_init(&state, NULL, 0, sizeof(hash));
    crypto_generichash_update(&state, (const unsigned char *) core->issuer.p,
                              core->issuer.n);
    crypto_generichash_update(&state, (const unsigned char *) core->jwks.p,
                              core->jwks.n);
    tn__issuers_hash(core, &state);
    crypto_generichash_final(&state, hash, sizeof(hash));

    return tn__dup(&core->verifier, (tn_str){ (char *) hash, sizeof(hash) },
                   tn__arena_mem(core->arena));
}
