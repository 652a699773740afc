/*
 * An API key opens by its secret alone, as far as its scopes and its maker go,
 * and for as long as the secret holds; a forged one is never looked up; the
 * answer that made it shows it, and none after that. Who gets one has the session,
 * not an access token of it alone.
 */

#include "t/00unit/people/proof.h"

#define KEY      SESSION("c1")
#define TEXT_LEN 95
#define ANYWHERE "tenon.localhost"

#define ASK(...) R(.path = "/v1/tasks/" TASK, __VA_ARGS__)
#define ROW                                                 \
    {                                                       \
        ROWS(12, TASK_CELLS(TASK, "a", "todo", "3", OWNER)) \
    }
/* As api_key_create answers, behind `refused`. */
#define CELLS_OF_KEY                                                           \
    KEY, "CI", "tnk_AZ", "[\"teamos.task:read\"]", "active", NULL, NULL, NULL, \
        NULL, "1", "2026-11-21 01:33:00+00", OWNER, "2026-11-21 01:33:00+00",  \
        NULL
#define MADE                                    \
    {                                           \
        ROWS(17, NULL, CELLS_OF_KEY, "t", NULL) \
    }
#define POST_KEY(...) \
    R(.method = "POST", .path = "/v1/api-keys", .token = h.owner, __VA_ARGS__)
#define CREATE(...) POST_KEY(.body = new_key, __VA_ARGS__)
#define ROTATE(...)                                            \
    R(.method = "POST", .path = "/v1/api-keys/" KEY "/rotate", \
      .body = old_key, __VA_ARGS__)
#define UNPROVEN                                                              \
    {                                                                         \
        ROWS(17, "unauthenticated: Sign in again.", NULL, NULL, NULL, NULL,   \
             NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "t", \
             NULL)                                                            \
    }

static char new_key[250], old_key[250];


typedef struct key {
    char text[TEXT_LEN + 1];
    char hash[2 + 64 + 1];
} key;


/* A key of acme's owner, or of whoever sessions[4] is said to be. */
static void
make(key *k, host *h, const char *scopes)
{
    tn_str text, hash;

    /* an op, for the tenant */
    SEND0(h, R(.path = "/v1/tasks/x", .token = h->owner));
    assert_int_equal(tn__api_key_make(&text, &hash, h->op, TN_STR(KEY)), TN_OK);
    assert_int_equal(text.n, TEXT_LEN);
    assert_int_equal(hash.n, sizeof(k->hash) - 1);
    memcpy(k->text, text.p, text.n);
    memcpy(k->hash, hash.p, hash.n);
    k->text[text.n] = k->hash[hash.n] = '\0';
    h->sessions[4] = (host_session){ .id = KEY,
                                     .tenant = ACME,
                                     .user = OWNER,
                                     .role = "owner",
                                     .scopes = scopes,
                                     .hash = k->hash };
}


/* With what proves the session of `token`, in bodies. */
static void
prove(host *h, const char *token, int64_t generation)
{
    char text[PROOF_LEN];

    host_proof(text, h, token, generation);
    snprintf(new_key, sizeof(new_key),
             "{\"name\":\"CI\",\"scopes\":[\"teamos.task:read\"],"
             "\"refresh_token\":\"%s\"}",
             text);
    snprintf(old_key, sizeof(old_key),
             "{\"overlap_seconds\":60,\"refresh_token\":\"%s\"}", text);
}


static void
test_forged(void **state)
{
    host h;
    key k;
    size_t i;
    char bad[2 * TEXT_LEN], kept;
    static const char *const texts[] = {
        "tnk_", "tnk_x", "tnk_====", "tnk_\xc3\xa4", "TNK_x", "tnk", "tns_x",
    };

    (void) state;
    host_init(&h);
    make(&k, &h, "130t");

    for (i = 0; i < TEXT_LEN; i++) {
        kept = k.text[i];
        k.text[i] = kept == 'A' ? 'B' : 'A';
        SEND0(&h, ASK(.host = ANYWHERE, .token = k.text));
        host_problem(&h, 401, "unauthenticated");
        assert_null(strpbrk(h.trace, "dDW"));
        k.text[i] = '\0';
        SEND0(&h, ASK(.host = ANYWHERE, .token = k.text));
        host_problem(&h, 401, "unauthenticated");
        assert_null(strpbrk(h.trace, "dDW"));
        k.text[i] = kept;
    }

    snprintf(bad, sizeof(bad), "%sA", k.text);
    SEND0(&h, ASK(.host = ANYWHERE, .token = bad));
    host_problem(&h, 401, "unauthenticated");

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        SEND0(&h, ASK(.host = ANYWHERE, .token = texts[i]));
        host_problem(&h, 401, "unauthenticated");
        assert_null(strpbrk(h.trace, "dDW"));
    }

    SEND(&h, ASK(.host = ANYWHERE, .token = k.text), ROW);
    host_assert(&h, 200, NULL);
    host_free(&h);
}


static void
test_warm(void **state)
{
    host h;
    key k, other;

    (void) state;
    host_init(&h);
    make(&k, &h, "130t");
    h.nzone = 0;
    SEND(&h, ASK(.token = k.text), ROW);
    host_assert(&h, 200, NULL);
    assert_non_null(strchr(h.trace, 'd'));
    assert_null(h.op->principal.session.p);
    unit_assert_str(h.op->principal.api_key, KEY);
    unit_assert_str(tn_op_facts(h.op)->user_id, OWNER);

    SEND(&h, ASK(.token = k.text), ROW);
    assert_null(strchr(h.trace, 'd'));
    unit_assert_str(h.op->principal.api_key, KEY);

    /* another secret of the same key has nothing of that */
    make(&other, &h, "130t");
    assert_string_not_equal(k.text, other.text);
    SEND(&h, ASK(.token = other.text), ROW);
    assert_non_null(strchr(h.trace, 'd'));

    /* and where it is the one that holds, the first is let go */
    h.now += 6000000;
    SEND0(&h, ASK(.token = k.text));
    host_problem(&h, 401, "unauthenticated");

    /* its end is not slept through */
    h.sessions[4].ttl_ms = "700";
    h.now += 6000000;
    SEND(&h, ASK(.token = other.text), ROW);
    h.now += 600000;
    SEND(&h, ASK(.token = other.text), ROW);
    assert_null(strchr(h.trace, 'd'));
    h.sessions[4].id = SESSION("ff");
    h.now += 200000;
    SEND0(&h, ASK(.token = other.text));
    host_problem(&h, 401, "unauthenticated");
    host_free(&h);
}


static void
test_narrowed(void **state)
{
    host h;
    key k;

    (void) state;
    host_init(&h);
    make(&k, &h, "130t,132t");
    SEND(&h, ASK(.token = k.text), ROW);
    host_assert(&h, 200, NULL);
    SEND0(&h, R(.path = "/v1/projects", .token = k.text));
    host_problem(&h, 403, "forbidden");
    assert_non_null(strstr(h.body, "The scopes of this API key"));
    unit_assert_str(h.refused.actor, OWNER);

    /* a guest's may not read tasks, whatever it was given */
    h.sessions[4].role = "guest";
    h.now += 6000000;
    SEND0(&h, ASK(.token = k.text));
    host_problem(&h, 403, "forbidden");

    /* a role of the tenant's own is narrowed as well */
    h.sessions[4].role = "clerk";
    h.sessions[4].roles = "clerk=70t,130t";
    h.now += 6000000;
    SEND(&h, ASK(.token = k.text), ROW);
    host_assert(&h, 200, NULL);
    SEND0(&h, R(.path = "/v1/projects", .token = k.text));
    host_problem(&h, 403, "forbidden");

    /* none, and what can't be read: nothing */
    h.sessions[4].role = "owner";
    h.sessions[4].roles = NULL;
    h.sessions[4].scopes = "";
    h.now += 6000000;
    SEND0(&h, ASK(.token = k.text));
    host_problem(&h, 403, "forbidden");
    h.sessions[4].scopes = "all";
    h.now += 6000000;
    SEND0(&h, ASK(.token = k.text));
    host_problem(&h, 403, "forbidden");
    assert_true(tn_op_facts(h.op)->log.n > 0);
    host_free(&h);
}


/* No session is a key's, and what gives rights away is a person's to do. */
static void
test_closed(void **state)
{
    host h;
    key k;
    size_t i;
    static const host_request closed[] = {
        { .method = "POST", .path = "/v1/auth/logout" },
        { .method = "POST",
          .path = "/v1/auth/tenant",
          .body = "{\"tenant\":\"acme\"}" },
        { .path = "/v1/me/tenants" },
        { .method = "POST",
          .path = "/v1/invitations",
          .body = "{\"email\":\"a@b.c\",\"role\":\"owner\"}" },
        { .method = "PATCH",
          .path = "/v1/members/" TASK,
          .body = "{\"role\":\"owner\"}" },
        { .method = "POST",
          .path = "/v1/roles",
          .body = "{\"name\":\"all\",\"title\":\"All\"}" },
        { .method = "PATCH",
          .path = "/v1/roles/" TASK,
          .body = "{\"permissions\":[]}" },
        { .method = "POST",
          .path = "/v1/tenant/transfer",
          .body = "{\"member_id\":\"" TASK "\"}" },
        { .method = "POST",
          .path = "/v1/api-keys",
          .body = "{\"name\":\"x\",\"scopes\":[\"teamos.task:read\"]}" },
        { .method = "PATCH",
          .path = "/v1/api-keys/" KEY,
          .body = "{\"name\":\"x\"}" },
    };
    host_request r;

    (void) state;
    host_init(&h);
    make(&k, &h, "4t,7t,10t,13t,14t,16t,18t,19t");

    for (i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        r = closed[i];
        r.token = k.text;
        SEND0(&h, &r);
        host_problem(&h, 403, "forbidden");
        assert_non_null(strstr(h.body, "sign in as a person"));
    }

    SEND(&h, R(.path = "/v1/me", .token = k.text),
         { ROWS(12, OWNER, "o", "O", "owner", "{}", "t", "f", NULL, "f", "[]",
                "{\"id\":\"" KEY "\"}", "1") });
    host_assert(&h, 200, "\"api_key\":{\"id\":\"" KEY "\"}");
    unit_assert_str(
        host_bound(&h, "as impersonated, "),
        "[{\"permission\":\"tenon.tenant:delete\",\"scope\":\"tenant\"},"
        "{\"permission\":\"tenon.member:update\",\"scope\":\"tenant\"},"
        "{\"permission\":\"tenon.invitation:create\",\"scope\":\"tenant\"},"
        "{\"permission\":\"tenon.role:create\",\"scope\":\"tenant\"},"
        "{\"permission\":\"tenon.role:update\",\"scope\":\"tenant\"},"
        "{\"permission\":\"tenon.tenant:transfer\",\"scope\":\"tenant\"},"
        "{\"permission\":\"tenon.api_key:create\",\"scope\":\"tenant\"},"
        "{\"permission\":\"tenon.api_key:update\",\"scope\":\"tenant\"}]");
    host_free(&h);
}


/* A key asks its own tenant only. */
static void
test_mismatch(void **state)
{
    host h;
    key k;

    (void) state;
    host_init(&h);
    make(&k, &h, "130t");
    SEND0(&h, ASK(.host = "umbrella.tenon.localhost", .token = k.text));
    host_problem(&h, 403, "tenant_mismatch");
    assert_int_equal(h.refused.n, 1);
    unit_assert_str(h.refused.tenant, ACME);
    unit_assert_str(h.refused.actor, OWNER);
    host_free(&h);
}


static void
test_shown_once(void **state)
{
    host h;
    char *at;
    tn_str hash;

    (void) state;
    host_init(&h);
    prove(&h, h.owner, 4);
    SEND(&h, CREATE(.key = NULL), MADE);
    host_assert(&h, 201, "\"secret\":\"tnk_");
    unit_assert_str(host_response_header(&h, "Cache-Control"), "no-store");
    at = strstr(h.body, "\"secret\":\"") + 10;
    assert_int_equal(strcspn(at, "\""), TEXT_LEN);

    /* the database gets a hash, and nothing of the key */
    hash = host_bound(&h, "done.id, ");
    assert_int_equal(hash.n, 66);
    assert_memory_equal(hash.p, "\\x", 2);

    SEND(&h, CREATE(.key = "again"), MADE);
    host_assert(&h, 201, "\"secret\":\"tnk_");
    hash = h.op->idem_hash;
    at = strndup(hash.p, hash.n);
    assert_non_null(at);
    SEND(&h, CREATE(.key = "again"), { ROWS(17, NULL, CELLS_OF_KEY, "t", at) });
    host_assert(&h, 201, "\"secret\":null");
    unit_assert_str(host_response_header(&h, "Idempotency-Replayed"), "true");
    free(at);

    SEND(&h, ROTATE(.token = h.owner), MADE);
    host_assert(&h, 200, "\"secret\":\"tnk_");
    unit_assert_str(host_bound(&h, "secs => "), "60");
    unit_assert_str(host_bound(&h, "s.generation = "), "4");
    host_free(&h);
}


/* An access token alone makes no key and renews none; a key renews itself. */
static void
test_proof(void **state)
{
    host h;
    key k;

    (void) state;
    host_init(&h);
    SEND0(&h, POST_KEY(.body = "{\"name\":\"x\","
                               "\"scopes\":[\"teamos.task:read\"]}"));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"/refresh_token\",\"code\":\"required\"");
    SEND0(&h, R(.method = "POST", .path = "/v1/api-keys/" KEY "/rotate",
                .token = h.owner, .body = "{\"overlap_seconds\":60}"));
    host_problem(&h, 422, "invalid_fields");
    host_assert(&h, 422, "\"/refresh_token\",\"code\":\"required\"");

    /* another session's */
    prove(&h, h.member, 0);
    SEND0(&h, CREATE(.key = NULL));
    host_problem(&h, 401, "unauthenticated");
    assert_int_equal(h.refused.n, 1);
    unit_assert_str(h.refused.actor, OWNER);
    SEND0(&h, ROTATE(.token = h.owner));
    host_problem(&h, 401, "unauthenticated");
    assert_null(strchr(h.trace, 'W'));

    /* one that is good no more */
    prove(&h, h.owner, 1);
    SEND(&h, CREATE(.key = NULL), UNPROVEN);
    host_problem(&h, 401, "unauthenticated");
    assert_null(strstr(h.body, "tnk_"));
    SEND(&h, ROTATE(.token = h.owner), UNPROVEN);
    host_problem(&h, 401, "unauthenticated");
    assert_null(strstr(h.body, "tnk_"));

    make(&k, &h, "19t");
    snprintf(old_key, sizeof(old_key), "{\"overlap_seconds\":60}");
    SEND(&h, ROTATE(.token = k.text), MADE);
    host_assert(&h, 200, "\"secret\":\"tnk_");
    assert_null(host_bound(&h, "s.generation = ").p);
    host_free(&h);
}


static void
test_scopes_are_texts(void **state)
{
    host h;
    size_t i;
    static const struct {
        const char *scopes;
        const char *fault;
    } bad[] = {
        { "null", "\"/scopes\",\"code\":\"wrong_type\"" },
        { "{}", "\"/scopes\",\"code\":\"wrong_type\"" },
        { "\"teamos.task:read\"", "\"/scopes\",\"code\":\"wrong_type\"" },
        { "[]", "\"/scopes\",\"code\":\"too_short\"" },
        { "[\"teamos.task:read\",3]", "\"/scopes/1\",\"code\":\"wrong_type\"" },
        { "[\"teamos.task\"]", "\"/scopes/0\",\"code\":\"bad_format\"" },
        { "[\"a.b:c:owns\"]", "\"/scopes/0\",\"code\":\"bad_format\"" },
    };
    char body[256];

    (void) state;
    host_init(&h);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(body, sizeof(body), "{\"name\":\"x\",\"scopes\":%s}",
                 bad[i].scopes);
        SEND0(&h, POST_KEY(.body = body));
        host_problem(&h, 422, "invalid_fields");
        host_assert(&h, 422, bad[i].fault);
    }

    host_free(&h);
}


/* A key and who made it are two actors, and a use is another representation. */
static void
test_apart(void **state)
{
    host h;
    key k;
    tn_str mine, its;
    char kept[128];

    (void) state;
    host_init(&h);
    make(&k, &h, "131t");
#define TASK_BODY "{\"project_id\":\"" PROJECT "\",\"title\":\"t\"}"
    SEND(&h,
         R(.method = "POST", .path = "/v1/tasks", .token = h.owner,
           .key = "one", .body = TASK_BODY),
         { .outcome = TN_DB_UNKNOWN });
    mine = h.op->idem_key;
    snprintf(kept, sizeof(kept), "%.*s", (int) mine.n, mine.p);
    SEND(&h,
         R(.method = "POST", .path = "/v1/tasks", .token = k.text, .key = "one",
           .body = TASK_BODY),
         { .outcome = TN_DB_UNKNOWN });
    its = h.op->idem_key;
    assert_int_equal(its.n, strlen(kept));
    assert_memory_not_equal(its.p, kept, its.n);
    unit_assert_str(host_context_bound(&h, "'tenon.api_key', coalesce("), KEY);

#define READ(used)                                                          \
    { ROWS(13, KEY, "CI", "tnk_AZ", "[]", "active", NULL, used, NULL, NULL, \
           "4", "2026-11-21 01:33:00+00", OWNER, "2026-11-21 01:33:00+00") }
    SEND(&h, R(.path = "/v1/api-keys/" KEY, .token = h.owner), READ(NULL));
    unit_assert_str(host_response_header(&h, "ETag"), "\"4\"");
    SEND(&h, R(.path = "/v1/api-keys/" KEY, .token = h.owner),
         READ("2026-11-21 01:33:00+00"));
    unit_assert_str(host_response_header(&h, "ETag"), "\"4-2026112101330000\"");
    SEND(&h,
         R(.path = "/v1/api-keys/" KEY, .token = h.owner,
           .if_none_match = "\"4\""),
         READ("2026-11-21 01:33:00+00"));
    host_assert(&h, 200, NULL);
    host_free(&h);
}


/* Wherever memory ends, the answer says so, and no key is half made. */
static void
test_memory(void **state)
{
    host h;
    key k;
    size_t n;

    (void) state;
    host_init(&h);
    prove(&h, h.owner, 0);

    for (n = 1;; n++) {
        h.nzone = 0;
        SEND(&h, CREATE(.fail_at = n), MADE);

        if (h.arena.calls < n) {
            break;
        }

        host_assert(&h, 500, NULL);
    }

    host_assert(&h, 201, NULL);
    make(&k, &h, "130t");

    for (n = 1;; n++) {
        h.nzone = 0;
        SEND(&h, ASK(.token = k.text, .fail_at = n), ROW);

        if (h.arena.calls < n) {
            break;
        }

        host_assert(&h, 500, NULL);
    }

    host_assert(&h, 200, NULL);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_forged), cmocka_unit_test(test_warm),
          cmocka_unit_test(test_narrowed), cmocka_unit_test(test_closed),
          cmocka_unit_test(test_mismatch), cmocka_unit_test(test_shown_once),
          cmocka_unit_test(test_scopes_are_texts), cmocka_unit_test(test_apart),
          cmocka_unit_test(test_proof), cmocka_unit_test(test_memory))
