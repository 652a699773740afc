/*
 * Signatures and key sets of others against Project Wycheproof's vectors, which
 * are looked for in $TENON_VECTORS, else in ../shared/vectors; key sets that
 * are refused, and why.
 */

#include "libcore/token/jws.h"
#include "t/00unit/unit.h"

#include <sodium.h>


/* ---- the vectors ---- */

/* NULL: the vectors aren't here, and the test is skipped, saying so. */
static cJSON *
vectors(const char *name, char **text)
{
    FILE *in;
    long size;
    char path[4096];
    cJSON *root;
    const char *folder = getenv("TENON_VECTORS");

    snprintf(path, sizeof(path), "%s/wycheproof/%s",
             folder ? folder : "../shared/vectors", name);
    in = fopen(path, "rb");

    if (in == NULL) {
        print_message("# skipped: there is no %s\n", path);
        return NULL;
    }

    fseek(in, 0, SEEK_END);
    size = ftell(in);
    rewind(in);
    *text = malloc((size_t) size + 1);
    assert_non_null(*text);
    assert_int_equal(fread(*text, 1, (size_t) size, in), size);
    (*text)[size] = '\0';
    fclose(in);

    root = cJSON_Parse(*text);
    assert_non_null(root);

    return root;
}


static const char *
text_of(const cJSON *object, const char *name)
{
    const char *text;

    text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

    return text ? text : "";
}


/* A JWK, or a set of them, as the text of a set. */
static char *
set_text(const cJSON *jwk)
{
    char *one, *set;
    size_t size;

    one = cJSON_PrintUnformatted(jwk);
    assert_non_null(one);

    if (cJSON_GetObjectItemCaseSensitive(jwk, "keys")) {
        return one;
    }

    size = strlen(one) + 32;
    set = malloc(size);
    assert_non_null(set);
    snprintf(set, size, "{\"keys\":[%s]}", one);
    free(one);

    return set;
}


/* Whether a token passes, by a set that may be refused as a whole. */
static int
passes(const char *set, const char *token)
{
    int ok;
    tn__jws jws;
    tn__jwks keys;
    unit_arena arena;
    tn__jwks_fault fault;

    unit_arena_init(&arena, 0);
    ok = 0;

    if (tn__jwks_parse(&keys, unit_str(set), &fault, &arena.mem) == TN_OK) {
        ok = tn__jws_read(&jws, unit_str(token), &arena.mem) == TN_OK &&
             tn__jws_verify(&jws, &keys);
        tn__jwks_free(&keys);
    } else {
        assert_non_null(fault.what);
    }

    unit_arena_free(&arena);

    return ok;
}


/* What we verify: RS256 and ES256, not the other algorithms that are valid
 * there. */
static int
ours(const cJSON *jwk, const char *token)
{
    size_t n;
    int ok;
    cJSON *header;
    const char *alg;
    unsigned char json[1024];
    const cJSON *keys = cJSON_GetObjectItemCaseSensitive(jwk, "keys");

    if (!tn__b64_decode(json, sizeof(json) - 1, &n,
                        (tn_str){ token, strcspn(token, ".") })) {
        return 0;
    }

    json[n] = '\0';
    header = cJSON_Parse((char *) json);
    alg = text_of(header, "alg");
    ok = (strcmp(alg, "RS256") == 0 || strcmp(alg, "ES256") == 0) &&
         strcmp(text_of(keys ? keys->child : jwk, "kty"), "oct") != 0;
    cJSON_Delete(header);

    return ok;
}


static void
run(const char *file, const char *key_name, unsigned at_least)
{
    int want, got;
    char *text, *set;
    cJSON *root;
    unsigned n, accepted;
    const char *token;
    const cJSON *group, *test, *jwk;

    root = vectors(file, &text);
    if (root == NULL) {
        skip();
    }

    n = accepted = 0;

    cJSON_ArrayForEach(group,
                       cJSON_GetObjectItemCaseSensitive(root, "testGroups"))
    {
        jwk = cJSON_GetObjectItemCaseSensitive(group, key_name);
        jwk = jwk ? jwk : cJSON_GetObjectItemCaseSensitive(group, "private");
        assert_non_null(jwk);
        set = set_text(jwk);

        cJSON_ArrayForEach(test,
                           cJSON_GetObjectItemCaseSensitive(group, "tests"))
        {
            token = text_of(test, "jws");
            got = passes(set, token);
            want = strcmp(text_of(test, "result"), "valid") == 0;

            if (got && !want) {
                fail_msg("%s accepts %s: %s", file, text_of(group, "comment"),
                         text_of(test, "comment"));
            }

            if (!got && want && ours(jwk, token)) {
                fail_msg("%s refuses %s: %s", file, text_of(group, "comment"),
                         text_of(test, "comment"));
            }

            n++;
            accepted += (unsigned) got;
        }

        free(set);
    }

    cJSON_Delete(root);
    free(text);
    print_message("# %s: %u cases, %u accepted\n", file, n, accepted);
    assert_true(n > 20 && accepted >= at_least);
}


static void
test_wycheproof_signatures(void **state)
{
    (void) state;
    run("json_web_signature_test.json", "public", 5);
}


static void
test_wycheproof_keys(void **state)
{
    (void) state;
    run("json_web_key_test.json", "public", 1);
}


static size_t
unhex(unsigned char *out, size_t cap, const char *hex)
{
    size_t n;

    assert_int_equal(sodium_hex2bin(out, cap, hex, strlen(hex), NULL, &n, NULL),
                     0);

    return n;
}


/* Ed25519 by its own vectors: the signature is over what they sign, which is
 * no token, so it is put in place. */
static void
test_wycheproof_ed25519(void **state)
{
    int got, want;
    char *text, x[64], set[256];
    cJSON *root, *header;
    tn__jws jws;
    tn__jwks keys;
    unit_arena arena;
    const cJSON *group, *test;
    tn__jwks_fault fault;
    unsigned n = 0;
    unsigned char public[32], message[8192];

    (void) state;
    root = vectors("ed25519_test.json", &text);
    if (root == NULL) {
        skip();
    }

    header = cJSON_Parse("{\"alg\":\"EdDSA\"}");

    cJSON_ArrayForEach(group,
                       cJSON_GetObjectItemCaseSensitive(root, "testGroups"))
    {
        unhex(public, sizeof(public),
              text_of(cJSON_GetObjectItemCaseSensitive(group, "publicKey"),
                      "pk"));
        sodium_bin2base64(x, sizeof(x), public, sizeof(public),
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        snprintf(set, sizeof(set),
                 "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\""
                 "}]}",
                 x);
        unit_arena_init(&arena, 0);
        assert_int_equal(
            tn__jwks_parse(&keys, unit_str(set), &fault, &arena.mem), TN_OK);

        cJSON_ArrayForEach(test,
                           cJSON_GetObjectItemCaseSensitive(group, "tests"))
        {
            memset(&jws, 0, sizeof(jws));
            jws.header = header;
            jws.nsignature = unhex(jws.signature, sizeof(jws.signature),
                                   text_of(test, "sig"));
            jws.signed_part.p = (char *) message;
            jws.signed_part.n =
                unhex(message, sizeof(message), text_of(test, "msg"));
            got = tn__jws_verify(&jws, &keys);
            want = strcmp(text_of(test, "result"), "valid") == 0;

            if (got != want) {
                fail_msg("%s: %d", text_of(test, "comment"), got);
            }

            n++;
        }

        tn__jwks_free(&keys);
        unit_arena_free(&arena);
    }

    cJSON_Delete(header);
    cJSON_Delete(root);
    free(text);
    print_message("# %u cases\n", n);
    assert_true(n > 100);
}


/* Keys of HMAC are no public keys: whatever their size and tag, no set may have
 * one. */
static void
test_wycheproof_hmac(void **state)
{
    char *text, k[512], set[1024];
    cJSON *root;
    unit_arena arena;
    tn__jwks keys;
    const cJSON *group, *test;
    tn__jwks_fault fault;
    unsigned char key[256];
    unsigned n = 0;

    (void) state;
    root = vectors("hmac_sha256_test.json", &text);
    if (root == NULL) {
        skip();
    }

    cJSON_ArrayForEach(group,
                       cJSON_GetObjectItemCaseSensitive(root, "testGroups"))
    {
        cJSON_ArrayForEach(test,
                           cJSON_GetObjectItemCaseSensitive(group, "tests"))
        {
            sodium_bin2base64(k, sizeof(k), key,
                              unhex(key, sizeof(key), text_of(test, "key")),
                              sodium_base64_VARIANT_URLSAFE_NO_PADDING);
            snprintf(set, sizeof(set),
                     "{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"%s"
                     "\"}]}",
                     k);
            unit_arena_init(&arena, 0);
            assert_int_equal(
                tn__jwks_parse(&keys, unit_str(set), &fault, &arena.mem),
                TN_E_MALFORMED_JSON);
            assert_int_equal(fault.key, 1);
            unit_arena_free(&arena);
            n++;
        }
    }

    cJSON_Delete(root);
    free(text);
    assert_true(n > 100);
}


/* ---- key sets ---- */

#define ED25519                            \
    "\"kty\":\"OKP\",\"crv\":\"Ed25519\"," \
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""

static void
test_sets(void **state)
{
    unsigned i;
    tn_err err;
    tn__jwks keys;
    unit_arena arena;
    tn__jwks_fault fault;
    static const struct {
        const char *text;
        unsigned key;
        const char *what;
    } sets[] = {
        { "{\"keys\":[{" ED25519 "}]}", 0, NULL },
        { "{\"keys\":[{" ED25519 ",\"alg\":\"EdDSA\",\"use\":\"sig\"}]}", 0,
          NULL },
        { "{\"keys\":[{\"kty\":\"new\"},{" ED25519 "}]}", 0, NULL },
        { "{\"keys\":[{" ED25519 ",\"use\":\"enc\"},{" ED25519 "}]}", 0, NULL },
        { "", 0, "" },
        { "[]", 0, "an array" },
        { "{}", 0, "an array" },
        { "{\"keys\":{}}", 0, "an array" },
        { "{\"keys\":[]}", 0, "no key" },
        { "{\"keys\":[],\"keys\":[]}", 0, "duplicate" },
        { "{\"keys\":[1]}", 1, "an object" },
        { "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-384\"}]}", 0, "no key" },
        { "{\"keys\":[{" ED25519 ",\"alg\":\"RS256\"}]}", 0, "no key" },
        { "{\"keys\":[{" ED25519 ",\"alg\":7}]}", 0, "no key" },
        { "{\"keys\":[{" ED25519 ",\"use\":\"enc\"}]}", 0, "no key" },
        { "{\"keys\":[{" ED25519 ",\"key_ops\":[\"sign\"]}]}", 0, "no key" },
        { "{\"keys\":[{" ED25519 ",\"d\":\"AAAA\"}]}", 1, "private" },
        { "{\"keys\":[{" ED25519 "},{\"kty\":\"oct\",\"k\":\"AAAA\"}]}", 2,
          "symmetric" },
        { "{\"keys\":[{" ED25519 ",\"kid\":\"a\"},{" ED25519
          ",\"kid\":\"a\"}]}",
          2, "same kid" },
        { "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}",
          1, "32 bytes" },
        { "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\","
          "\"y\":\"AAAA\"}]}",
          1, "32 bytes" },
        { "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
          "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
          "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}]}",
          1, "no point" },
        { "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", 1,
          "2048 bits" },
        { "{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\"}]}", 1, "2048 bits" },
    };

    (void) state;

    for (i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        unit_arena_init(&arena, 0);
        err = tn__jwks_parse(&keys, unit_str(sets[i].text), &fault, &arena.mem);

        if (sets[i].what == NULL) {
            assert_int_equal(err, TN_OK);
            assert_int_equal(keys.n, 1);
            tn__jwks_free(&keys);
        } else {
            assert_int_equal(err, TN_E_MALFORMED_JSON);
            assert_int_equal(fault.key, sets[i].key);

            if (strstr(fault.what, sets[i].what) == NULL) {
                fail_msg("%s: %s", sets[i].text, fault.what);
            }
        }

        unit_arena_free(&arena);
    }
}


static void
test_too_many(void **state)
{
    size_t n;
    unsigned i;
    char set[8192];
    tn__jwks keys;
    unit_arena arena;
    tn__jwks_fault fault;

    (void) state;
    n = (size_t) snprintf(set, sizeof(set), "{\"keys\":[{" ED25519 "}");

    for (i = 0; i < TN__JWKS_MAX; i++) {
        n += (size_t) snprintf(set + n, sizeof(set) - n, ",{" ED25519 "}");
    }

    snprintf(set + n, sizeof(set) - n, "]}");
    unit_arena_init(&arena, 0);
    assert_int_equal(tn__jwks_parse(&keys, unit_str(set), &fault, &arena.mem),
                     TN_E_MALFORMED_JSON);
    assert_int_equal(fault.key, TN__JWKS_MAX + 1);
    unit_arena_free(&arena);
}


static void
test_out_of_memory(void **state)
{
    tn_err err;
    tn__jwks keys;
    unit_arena arena;
    tn__jwks_fault fault;

    (void) state;

    UNIT_EACH_FAILURE(arena)
    {
        err = tn__jwks_parse(&keys,
                             TN_STR("{\"keys\":[{" ED25519 ",\"kid\":\"a\"}]}"),
                             &fault, &arena.mem);

        if (err == TN_OK) {
            tn__jwks_free(&keys);
            break;
        }

        assert_non_null(fault.what);
    }

    unit_arena_free(&arena);
}


UNIT_MAIN(cmocka_unit_test(test_wycheproof_signatures),
          cmocka_unit_test(test_wycheproof_keys),
          cmocka_unit_test(test_wycheproof_ed25519),
          cmocka_unit_test(test_wycheproof_hmac), cmocka_unit_test(test_sets),
          cmocka_unit_test(test_too_many), cmocka_unit_test(test_out_of_memory))
