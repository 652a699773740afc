/*
 * The key ring: its file is read strictly; every key of it is published and
 * accepted, the first one signs.
 */

#include "libcore/token/token.h"
#include "t/00unit/host.h"

#define SEED_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define SEED_B "BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


static void
test_files(void **state)
{
    unsigned line;
    tn_key_ring ring;
    const char *fault;

    (void) state;
    assert_true(tn_key_ring_parse(&ring, &line, &fault, TN_STR(SEED_A)));
    assert_int_equal(ring.n, 1);
    assert_int_equal(ring.keys[0].since, 0);

    assert_true(tn_key_ring_parse(
        &ring, &line, &fault,
        TN_STR(SEED_B " 2026-11-21T10:00:00Z\n" SEED_A "\n")));
    assert_int_equal(ring.n, 2);
    assert_int_equal(ring.keys[0].since, 1795255200);
    assert_int_equal(ring.keys[0].seed[0], 4);
    assert_int_equal(ring.keys[1].seed[0], 0);
    assert_int_equal(ring.keys[1].since, 0);
}


static void
test_faults(void **state)
{
    unsigned i, line;
    tn_key_ring ring, none;
    const char *fault;
    static const struct {
        unsigned line;
        const char *text;
    } files[] = {
        { 1, "" },
        { 1, "\n" },
        { 1, "\n" SEED_A },
        { 2, SEED_A "\n\n" },
        { 2, SEED_A "\n\n" SEED_B "\n" },
        { 1, SEED_A "=" },
        { 1, SEED_A "A" },
        { 1, "AAAA" },
        { 1, SEED_A "\r\n" },
        { 1, " " SEED_A },
        { 1, SEED_A " " },
        { 1, SEED_A "  2026-11-21T10:00:00Z" },
        { 1, SEED_A " 2026-11-21T10:00:00Z " },
        { 1, SEED_A " 2026-11-21" },
        { 1, SEED_A " 1969-11-21T10:00:00Z" },
        { 1, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB" },
        { 1, "+AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" },
        { 3, SEED_A "\n" SEED_B "\n" SEED_A "\n" },
        { 9, "EAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
             "FAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
             "GAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
             "HAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
             "IAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
             "JAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
             "KAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
             "LAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
             "MAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n" },
    };

    (void) state;
    memset(&none, 0, sizeof(none));

    for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        fault = NULL;
        assert_false(
            tn_key_ring_parse(&ring, &line, &fault, unit_str(files[i].text)));
        assert_non_null(fault);
        assert_int_equal(line, files[i].line);
        assert_memory_equal(&ring, &none, sizeof(ring));
    }
}


/* A host whose ring holds these seeds, by their first byte. */
static void
ring_of(host *h, const char *seeds)
{
    size_t i;
    tn_core *core;
    tn_core_conf conf;

    host_conf(&conf);
    memset(&conf.signing, 0, sizeof(conf.signing));

    for (i = 0; seeds[i]; i++) {
        conf.signing.keys[i].seed[0] = (unsigned char) seeds[i];
        conf.signing.n++;
    }

    core = h->core;
    assert_int_equal(tn_core_new(&h->core, &conf), TN_OK);
    tn_core_free(core);
    host_adopt(h);
}


/* A token as the key of this seed makes them. */
static void
ring_token(char *out, size_t cap, char seed, const char *claims)
{
    size_t n;
    tn_signing_key key = { .seed = { (unsigned char) seed } };
    char kid[TN_KEY_ID_SIZE], header[160];
    unsigned char public[32], secret[64], signature[64];

    tn_signing_key_id(kid, &key);
    crypto_sign_seed_keypair(public, secret, key.seed);
    snprintf(header, sizeof(header),
             "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}", kid);
    n = host_b64(out, cap, header, strlen(header));
    out[n++] = '.';
    n += host_b64(out + n, cap - n, claims, strlen(claims));
    crypto_sign_detached(signature, NULL, (unsigned char *) out, n, secret);
    out[n++] = '.';
    host_b64(out + n, cap - n, signature, sizeof(signature));
}

#define CLAIMS                                                                \
    "{\"iss\":\"https://tenon.localhost\",\"aud\":\"https://"                 \
    "tenon.localhost\",\"sub\":\"" MEMBER "\",\"tid\":\"" ACME                \
    "\",\"sid\":\"" SESSION("a2") "\",\"iat\":1763690000,\"nbf\":1763690000," \
                                  "\"exp\":1763690900}"


static unsigned
asked_by(host *h, char seed)
{
    char token[1024];

    ring_token(token, sizeof(token), seed, CLAIMS);
    h->nzone = 0;
    SEND0(h, R(.path = "/v1/tasks", .query = "limit=0", .token = token));
    assert_true(h->response->status == 400 || h->response->status == 401);

    return h->response->status == 400;
}


/* Before the next key signs every worker and every verifier knows it, and
 * tokens of the last one count until it is dropped. */
static void
test_a_rotation(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    ring_of(&h, "ab");
    assert_true(asked_by(&h, 'a'));
    assert_true(asked_by(&h, 'b'));
    assert_false(asked_by(&h, 'c'));

    ring_of(&h, "bca");
    assert_true(asked_by(&h, 'a'));
    assert_true(asked_by(&h, 'b'));
    assert_true(asked_by(&h, 'c'));

    ring_of(&h, "cdb");
    assert_false(asked_by(&h, 'a'));
    assert_true(asked_by(&h, 'b'));
    host_free(&h);
}


/* Nor does it count under another name than that which the token is for. */
static void
test_another_name(void **state)
{
    host h;
    tn_core *core;
    tn_core_conf conf;

    (void) state;
    host_init(&h);
    SEND0(&h, R(.path = "/v1/tasks", .query = "limit=0", .token = h.member));
    host_assert(&h, 400, NULL);

    host_conf(&conf);
    conf.base_domain = TN_STR("other.localhost");
    core = h.core;
    assert_int_equal(tn_core_new(&h.core, &conf), TN_OK);
    tn_core_free(core);
    host_adopt(&h);
    SEND0(&h, R(.path = "/v1/tasks", .query = "limit=0", .token = h.member,
                .host = "acme.other.localhost"));
    host_problem(&h, 401, "unauthenticated");
    host_free(&h);
}


/* What the zone has kept of a token ends with the key that it was verified
 * by. */
static void
test_a_key_that_went(void **state)
{
    host h;
    char token[1024];

    (void) state;
    host_init(&h);
    ring_of(&h, "ab");
    ring_token(token, sizeof(token), 'b', CLAIMS);
    SEND0(&h, R(.path = "/v1/tasks", .query = "limit=0", .token = token));
    host_assert(&h, 400, NULL);
    ring_of(&h, "a");
    SEND0(&h, R(.path = "/v1/tasks", .query = "limit=0", .token = token));
    host_problem(&h, 401, "unauthenticated");
    host_free(&h);
}


static void
test_published(void **state)
{
    host h;
    unsigned i;
    const char *p;
    char kid[TN_KEY_ID_SIZE];

    (void) state;
    host_init(&h);
    ring_of(&h, "abc");
    SEND0(&h, R(.path = "/.well-known/jwks.json", .host = ""));
    host_assert(&h, 200, NULL);
    p = h.body;

    for (i = 0; i < 3; i++) {
        tn_signing_key key = { .seed = { (unsigned char) ("abc"[i]) } };

        tn_signing_key_id(kid, &key);
        p = strstr(p, kid);
        assert_non_null(p);
    }

    assert_null(strstr(h.body, "\"d\""));
    ring_of(&h, "");
    SEND0(&h, R(.path = "/.well-known/jwks.json", .host = ""));
    assert_string_equal(h.body, "{\"keys\":[]}");
    host_free(&h);
}

/* By the first key; and whoever acts as the user is named. */
static void
test_signed(void **state)
{
    host h;
    size_t n;
    tn_str token, rest, part;
    unsigned char claims[1024];

    (void) state;
    host_init(&h);
    SEND0(&h, R(.path = "/v1/tasks", .query = "limit=0", .token = h.member));
    assert_int_equal(tn__token_sign(&token, h.op, 1763690900), TN_OK);
    rest = token;
    part = tn__split(&rest, '.');
    assert_memory_equal(part.p, h.member, part.n);
    part = tn__split(&rest, '.');
    assert_true(tn__b64_decode(claims, sizeof(claims) - 1, &n, part));
    claims[n] = '\0';
    assert_null(strstr((char *) claims, "\"act\""));

    h.op->principal.impersonator = TN_STR(OWNER);
    assert_int_equal(tn__token_sign(&token, h.op, 1763690900), TN_OK);
    rest = token;
    tn__split(&rest, '.');
    part = tn__split(&rest, '.');
    assert_true(tn__b64_decode(claims, sizeof(claims) - 1, &n, part));
    claims[n] = '\0';
    assert_non_null(
        strstr((char *) claims, ",\"act\":{\"sub\":\"" OWNER "\"}}"));
    assert_non_null(strstr((char *) claims, "\"sub\":\"" MEMBER "\""));
    host_free(&h);
}

UNIT_MAIN(cmocka_unit_test(test_signed), cmocka_unit_test(test_files),
          cmocka_unit_test(test_faults), cmocka_unit_test(test_a_rotation),
          cmocka_unit_test(test_another_name),
          cmocka_unit_test(test_a_key_that_went),
          cmocka_unit_test(test_published))
