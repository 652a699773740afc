/*
 * The attacks of t/data/jwt.txt, and random changes of a token that is fine: none
 * is accepted, none gets as far as the directory. TENON_LONG=1: 100,000 changes,
 * else a tenth (make chaos).
 */

#include "t/00unit/host.h"

#define TEXT_MAX 16384

typedef struct attack {
    char name[128];
    char header[1024];
    char claims[1024];
    char how[16];
    char form[512];
    int fine;
} attack;

typedef struct keys {
    unsigned char public[32], secret[64], other_public[32], other_secret[64];
    char kid[64], x[64], other_x[64];
} keys;


static void
make_keys(keys *k)
{
    unsigned char seed[32] = { 9 };

    host_keys(k->public, k->secret, k->kid);
    crypto_sign_seed_keypair(k->other_public, k->other_secret, seed);
    host_b64(k->x, sizeof(k->x), k->public, 32);
    host_b64(k->other_x, sizeof(k->other_x), k->other_public, 32);
}


/* ---- templates ---- */

static void
add(char *out, size_t *n, const char *text)
{
    size_t size = strlen(text);

    assert_true(*n + size < TEXT_MAX);
    memcpy(out + *n, text, size + 1);
    *n += size;
}


static void
add_claims(char *out, size_t *n, const char *but)
{
    unsigned i, first = 1;
    char member[128];
    static const char *const claims[][2] = {
        { "iss", "\"https://tenon.localhost\"" },
        { "aud", "\"https://tenon.localhost\"" },
        { "sub", "\"" MEMBER "\"" },
        { "tid", "\"" ACME "\"" },
        { "sid", "\"" SESSION("a2") "\"" },
        { "iat", "1763690000" },
        { "nbf", "1763690000" },
        { "exp", "1763690900" },
    };

    for (i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        if (strcmp(claims[i][0], but) != 0) {
            snprintf(member, sizeof(member), "%s\"%s\":%s", first ? "" : ",",
                     claims[i][0], claims[i][1]);
            add(out, n, member);
            first = 0;
        }
    }
}


/* What a "$name" stands for; the length of the name. */
static size_t
add_variable(char *out, size_t *n, const char *name, const keys *k)
{
    int read = 0;
    long offset;
    unsigned i;
    char text[32], but[8] = "", pad[7001];
    const struct {
        const char *name;
        const char *value;
    } variables[] = {
        { "kid", k->kid },        { "x", k->x },
        { "ox", k->other_x },     { "iss", "https://tenon.localhost" },
        { "sub", MEMBER },        { "tid", ACME },
        { "sid", SESSION("a2") },
    };

    (void) sscanf(name, "claims%n-%7[a-z]%n", &read, but, &read);

    if (read) {
        add_claims(out, n, but);
        return (size_t) read;
    }

    if (sscanf(name, "now%ld%n", &offset, &read) == 1) {
        snprintf(text, sizeof(text), "%ld", 1763690000 + offset);
        add(out, n, text);
        return (size_t) read;
    }

    if (strncmp(name, "pad", 3) == 0) {
        memset(pad, 'A', sizeof(pad) - 1);
        pad[sizeof(pad) - 1] = '\0';
        add(out, n, pad);
        return 3;
    }

    for (i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        size_t size = strlen(variables[i].name);

        if (strncmp(name, variables[i].name, size) == 0) {
            add(out, n, variables[i].value);
            return size;
        }
    }

    fail_msg("no variable $%s", name);

    return 0;
}


static void
expand(char *out, const char *form, const keys *k)
{
    size_t n = 0;
    char c[2] = "";

    out[0] = '\0';

    while (*form) {
        if (*form == '$') {
            form += 1 + add_variable(out, &n, form + 1, k);
        } else {
            c[0] = *form++;
            add(out, &n, c);
        }
    }
}


static void
sign(char *out, const char *how, const char *text, const keys *k)
{
    unsigned char signature[64];
    size_t size = strlen(text);
    crypto_auth_hmacsha256_state state;

    out[0] = '\0';

    if (strcmp(how, "key") == 0 || strcmp(how, "other") == 0) {
        crypto_sign_detached(signature, NULL, (const unsigned char *) text,
                             size, *how == 'k' ? k->secret : k->other_secret);
        host_b64(out, 128, signature, 64);

    } else if (strncmp(how, "hmac-", 5) == 0) {
        if (how[5] == 'r') {
            crypto_auth_hmacsha256_init(&state, k->public, 32);
        } else {
            crypto_auth_hmacsha256_init(&state, (const unsigned char *) k->x,
                                        strlen(k->x));
        }
        crypto_auth_hmacsha256_update(&state, (const unsigned char *) text,
                                      size);
        crypto_auth_hmacsha256_final(&state, signature);
        host_b64(out, 128, signature, 32);

    } else {
        assert_string_equal(how, "none");
    }
}


static void
make_token(char *out, const attack *a, const keys *k)
{
    size_t n = 0;
    const char *p;
    char text[TEXT_MAX], h[TEXT_MAX], payload[TEXT_MAX], s[128], c[2] = "";
    static char both[2 * TEXT_MAX];

    expand(text, a->header, k);
    host_b64(h, sizeof(h), text, strlen(text));
    expand(text, a->claims, k);
    host_b64(payload, sizeof(payload), text, strlen(text));
    snprintf(both, sizeof(both), "%s.%s", h, payload);
    sign(s, a->how, both, k);
    out[0] = '\0';

    for (p = a->form; *p; p++) {
        if (*p == '$') {
            p++;
            add(out, &n, *p == 'h' ? h : *p == 'p' ? payload : s);
        } else {
            c[0] = *p;
            add(out, &n, c);
        }
    }
}


/* ---- the file ---- */

static void
start(attack *a, const char *name)
{
    memset(a, 0, sizeof(*a));
    snprintf(a->name, sizeof(a->name), "%.100s", name);
    snprintf(a->header, sizeof(a->header), "%s",
             "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"$kid\"}");
    snprintf(a->claims, sizeof(a->claims), "{$claims}");
    snprintf(a->how, sizeof(a->how), "key");
    snprintf(a->form, sizeof(a->form), "$h.$p.$s");
}


static void
change(attack *a, char *line)
{
    unsigned i;
    size_t size;
    const struct {
        const char *name;
        char *to;
        size_t size;
    } parts[] = {
        { "header ", a->header, sizeof(a->header) },
        { "claims ", a->claims, sizeof(a->claims) },
        { "signed ", a->how, sizeof(a->how) },
        { "token ", a->form, sizeof(a->form) },
    };

    for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        size = strlen(parts[i].name);

        if (strncmp(line, parts[i].name, size) == 0) {
            assert_true(strlen(line + size) < parts[i].size);
            snprintf(parts[i].to, parts[i].size, "%s", line + size);
            return;
        }
    }

    assert_string_equal(line, "fine");
    a->fine = 1;
}


static void
try(host *h, const attack *a, const keys *k)
{
    char token[TEXT_MAX];

    make_token(token, a, k);

    if (a->fine) {
        SEND(h, R(.path = "/v1/me", .token = token),
             { ROWS(12, MEMBER, "m", "M", "member", "{}", "t", "f", NULL, "f",
                    "[]", NULL, "1") });
        host_assert(h, 200, NULL);
        return;
    }

    SEND0(h, R(.path = "/v1/me", .token = token));

    if (h->response->status != 401) {
        fail_msg("%s: %u", a->name, h->response->status);
    }

    /* nobody asked for a session */
    assert_null(strstr(h->trace, "ZZ"));
}


static void
test_attacks(void **state)
{
    host h;
    keys k;
    FILE *in;
    attack a;
    char line[2048];
    unsigned n = 0, fine = 0;

    (void) state;
    host_init(&h);
    make_keys(&k);
    in = fopen("t/data/jwt.txt", "r");
    assert_non_null(in);
    a.name[0] = '\0';

    for (;;) {
        char *more = fgets(line, sizeof(line), in);

        if (more && (line[0] == '#' || line[0] == '\n')) {
            continue;
        }

        if (more) {
            assert_non_null(strchr(line, '\n'));
            line[strcspn(line, "\n")] = '\0';
        }

        if (more && line[0] == ' ') {
            change(&a, line + 2);
            continue;
        }

        if (a.name[0]) {
            try(&h, &a, &k);
            n++;
            fine += a.fine != 0;
        }

        if (more == NULL) {
            break;
        }

        start(&a, line);
    }

    fclose(in);
    print_message("# %u attacks\n", n - fine);
    assert_true(n - fine >= 40);
    assert_int_equal(fine, 2);
    host_free(&h);
}


/* ---- at random ---- */

static uint32_t
next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;

    return (uint32_t) (*state >> 16);
}


/* One to four changes: a byte changed, put in, left out, a piece repeated. */
static void
mutate(char *out, const char *token, uint64_t *state)
{
    size_t n, at;
    unsigned i, changes;
    char c;
    static const char bytes[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqr"
                                "stuvwxyz0123456789-_.=+/ \"{}%~,:;\x7f";

    snprintf(out, 2048, "%s", token);
    changes = 1 + next(state) % 4;

    for (i = 0; i < changes; i++) {
        n = strlen(out);
        at = n ? next(state) % n : 0;
        c = bytes[next(state) % (sizeof(bytes) - 1)];

        switch (next(state) % 5) {
        case 0:
        case 1:
            out[at] = c;
            break;
        case 2:
            memmove(out + at + 1, out + at, n - at + 1);
            out[at] = c;
            break;
        case 3:
            memmove(out + at, out + at + 1, n - at);
            break;
        default:
            out[at] = '\0';
            snprintf(out + at, 2048 - at, "%s", token + at / 2);
        }
    }
}


static void
test_mutations(void **state)
{
    host h;
    unsigned i;
    char token[2048];
    unsigned rounds = getenv("TENON_LONG") ? 100000 : 10000;
    uint64_t random = 0x9e3779b97f4a7c15;

    (void) state;
    host_init(&h);

    for (i = 0; i < rounds; i++) {
        mutate(token, h.member, &random);

        if (strcmp(token, h.member) == 0 || token[0] == '\0') {
            continue;
        }

        /* blanks around it are the header's, not the token's */
        if (strncmp(token + strspn(token, " "), h.member, strlen(h.member)) ==
            0) {
            continue;
        }

        SEND0(&h, R(.path = "/v1/me", .token = token));
        assert_int_equal(h.response->status, 401);
        assert_null(strstr(h.trace, "ZZ"));
    }

    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_attacks), cmocka_unit_test(test_mutations))
