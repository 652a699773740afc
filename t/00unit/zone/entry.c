/*
 * Who reaches many accounts, or has a key of many scopes, is kept in several
 * cells of the zone: either all of them are there, unharmed and of one reading,
 * or the database is asked. Nobody ever has a part of what they may do.
 */

#include "libcore/identity/identity.h"
#include "libcore/zone/zone.h"
#include "t/00unit/host.h"

#define KEY SESSION("c1")
#define ROW                                                 \
    {                                                       \
        ROWS(12, TASK_CELLS(TASK, "a", "todo", "3", OWNER)) \
    }
#define GET(who, ...) R(.path = "/v1/tasks/" TASK, .token = (who), __VA_ARGS__)
#define ASK(...)      GET(h.member, __VA_ARGS__)
#define MANY          (1300 * 64)
#define SECOND        1000000ll

static char first[MANY], second[MANY];
static host_entry saved[HOST_ZONE_MAX];


/* n accounts, each with a role; `from` tells lists apart. */
static const char *
accounts(char *text, unsigned n, unsigned from)
{
    size_t at;
    unsigned i;

    text[0] = '\0';

    for (i = 0, at = 0; i < n; i++) {
        at += (size_t) snprintf(text + at, MANY - at,
                                "%s0192f0c0-0000-7000-8000-%012x:%s",
                                i ? "," : "", from + i * 7919,
                                i % 3 ? "account_user" : "account_owner");
    }

    return text;
}


/* Warm: the database isn't asked who that is. In any case all of it is there.
 */
static void
assert_all(host *h, int warm, const char *all, int line)
{
    if (h->response->status != 200 || (strchr(h->trace, 'd') == NULL) != warm) {
        print_error("%u, %s, not %s, line %d\n", h->response->status, h->trace,
                    warm ? "warm" : "cold", line);
        fail();
    }

    unit_assert_str(h->op->principal.accounts, all);
}

#define assert_warm(h, all) assert_all((h), 1, (all), __LINE__)
#define assert_cold(h, all) assert_all((h), 0, (all), __LINE__)


/* Parts of long entries. */
static unsigned
part_cells(const host *h, unsigned cells[HOST_ZONE_MAX])
{
    unsigned i, n;

    for (i = n = 0; i < h->nzone; i++) {
        if (h->zone[i].until > h->now && h->zone[i].filled) {
            cells[n++] = i;
        }
    }

    return n;
}


/* The first cell of a session's entry; NULL when there is none. */
static host_entry *
find_first(host *h, const char *session)
{
    tn_zone_cmd cmd;

    tn__zone_key(&cmd, TN_ZONE_GET, h->op, TN_STR("session"), TN_STR(ACME),
                 unit_str(session));

    return host_zone_find(h, cmd.key);
}


static unsigned
first_cell(host *h, const char *session)
{
    host_entry *entry;

    entry = find_first(h, session);
    assert_non_null(entry);

    return (unsigned) (entry - h->zone);
}


/* All cells of the member's entry: the parts, then the first one. */
static unsigned
entry_cells(host *h, unsigned cells[HOST_ZONE_MAX])
{
    unsigned n;

    n = part_cells(h, cells);
    cells[n] = first_cell(h, SESSION("a2"));

    return n + 1;
}


static unsigned
live_cells(const host *h)
{
    unsigned i, n;

    for (i = n = 0; i < h->nzone; i++) {
        n += h->zone[i].until > h->now;
    }

    return n;
}


static void
test_sizes(void **state)
{
    host h;
    unsigned i, n;
    static const char warm[] = "ZZZZZZZZZZAD";

    (void) state;

    /* each around the first cell's end, then around where parts end */
    for (i = 0; i <= 1200; i += i < 120 ? 1 : 37) {
        host_init(&h);
        h.sessions[1].accounts = accounts(first, i, 1);
        SEND(&h, ASK(.query = NULL), ROW);
        assert_cold(&h, first);
        n = live_cells(&h) - 5; /* tenant, token, stamp, plan, first cell */
        SEND(&h, ASK(.query = NULL), ROW);
        assert_warm(&h, first);
        assert_string_equal(h.trace, warm + sizeof(warm) - 5 - (n + 5) / 6);
        host_free(&h);
    }

    /* 15 accounts in one cell, 200 in eight */
    host_init(&h);
    h.sessions[1].accounts = accounts(first, 15, 1);
    SEND(&h, ASK(.query = NULL), ROW);
    SEND(&h, ASK(.query = NULL), ROW);
    assert_string_equal(h.trace, "ZZAD");
    h.now += 6 * SECOND;
    h.sessions[1].accounts = accounts(first, 200, 1);
    n = live_cells(&h);
    SEND(&h, ASK(.query = NULL), ROW);
    assert_in_range(live_cells(&h) - n, 9, 10);
    host_free(&h);
}


/* A cell that gave way, is shorter or has other bytes: as if nothing had been
 * kept. Who finds that mends it. */
static void
test_harmed_cells(void **state)
{
    host h;
    host_entry *entry;
    size_t usual;
    unsigned i, n, how, head, cells[HOST_ZONE_MAX];

    (void) state;

    for (i = 0, n = 1; i < n; i++) {
        for (how = 0; how < 6; how++) {
            host_init(&h);
            h.sessions[1].accounts = accounts(first, 200, 1);
            SEND(&h, ASK(.query = NULL), ROW);
            SEND(&h, ASK(.query = NULL), ROW);
            usual = strlen(h.trace);
            n = entry_cells(&h, cells);
            assert_in_range(n, 8, 9);
            entry = &h.zone[cells[i]];
            head = i == n - 1;

            switch (how) {
            case 0:
                entry->until = 0;
                break;
            case 1:
                entry->n--;
                break;
            case 2:
                entry->n = 1;
                break;
            case 3:
                entry->value[entry->n - 1] ^= 1;
                break;
            case 4:
                entry->value[entry->n / 2] ^= 64;
                break;
            case 5:
                memset(entry->value + 16, 0xff, entry->n - 16);
                break;
            }

            SEND(&h, ASK(.query = NULL), ROW);
            assert_cold(&h, first);
            SEND(&h, ASK(.query = NULL), ROW);
            assert_warm(&h, first);

            /* parts are mended where they are, a first cell has one beside it
             */
            assert_int_equal(strlen(h.trace) > usual, head && how);
            h.now += 6 * SECOND;
            SEND(&h, ASK(.query = NULL), ROW);
            assert_cold(&h, first);
            SEND(&h, ASK(.query = NULL), ROW);
            assert_int_equal(strlen(h.trace), usual);
            host_free(&h);
        }
    }
}


static void
put(host_entry *at, const host_entry *what)
{
    memcpy(at->value, what->value, TN_ZONE_VALUE_MAX);
    at->n = what->n;
}


/* Cells of one's own that changed places, and every cell of another's in the
 * place of every one of one's own. */
static void
test_mixed_cells(void **state)
{
    host h;
    unsigned i, k, n, m, other, own[HOST_ZONE_MAX], all[HOST_ZONE_MAX];

    (void) state;
    host_init(&h);
    h.sessions[1].accounts = accounts(first, 200, 1);
    h.sessions[2].accounts = accounts(second, 201, 2);
    h.sessions[2].role = "member";
    SEND(&h, ASK(.query = NULL), ROW);
    n = entry_cells(&h, own);
    SEND(&h, GET(h.guest, .query = NULL), ROW);
    m = entry_cells(&h, all);
    other = first_cell(&h, SESSION("a3"));
    all[m++] = other;
    assert_true(m >= 2 * n);
    SEND(&h, GET(h.guest, .query = NULL), ROW);
    assert_warm(&h, second);
    memcpy(saved, h.zone, sizeof(saved));

    for (i = 0; i < n; i++) {
        for (k = 0; k < m; k++) {
            put(&h.zone[own[i]], &saved[all[k]]);
            put(&h.zone[all[k]], &saved[own[i]]);
            SEND(&h, ASK(.query = NULL), ROW);

            if (all[k] == own[i]) {
                assert_warm(&h, first);
            } else {
                assert_cold(&h, first);
            }

            SEND(&h, GET(h.guest, .query = NULL), ROW);
            unit_assert_str(h.op->principal.accounts, second);
            memcpy(h.zone, saved, sizeof(saved));
        }
    }

    host_free(&h);
}


/* Parts are of the stamp under which they were read, too. */
static void
test_stamp(void **state)
{
    host h;
    unsigned n, cells[HOST_ZONE_MAX];
    tn_zone_cmd cmd;
    tn_input input;
    tn_want want = { .kind = TN_WANT_ZONE, .zone = { &cmd, 1 } };

    (void) state;
    host_init(&h);
    h.sessions[1].accounts = accounts(first, 200, 1);
    SEND(&h, ASK(.query = NULL), ROW);
    n = part_cells(&h, cells);
    tn__access_changed(h.op, &cmd, TN_STR(ACME));
    host_zone(&h, &want, &input);
    SEND(&h, ASK(.query = NULL), ROW);
    assert_cold(&h, first);
    assert_int_equal(part_cells(&h, cells), 2 * n);
    SEND(&h, ASK(.query = NULL), ROW);
    assert_warm(&h, first);
    host_free(&h);
}


/* However many sessions and keys somebody has, what they reach is kept once: by
 * any of them, for all of them. What is a credential's own stays its own. */
static void
test_shared(void **state)
{
    host h;
    unsigned n, cells[HOST_ZONE_MAX];
    tn_str text, hash;
    char key[96], digest[67], again[1024];

    (void) state;
    host_init(&h);
    h.sessions[1].accounts = accounts(first, 200, 1);
    SEND(&h, ASK(.query = NULL), ROW);
    n = part_cells(&h, cells);
    assert_in_range(n, 7, 8);

    h.sessions[4] = h.sessions[1];
    h.sessions[4].id = SESSION("a5");
    h.sessions[4].generation = "6";
    host_token(again, sizeof(again), &h, &h.sessions[4]);
    SEND(&h, GET(again, .query = NULL), ROW);
    assert_cold(&h, first);
    assert_int_equal(part_cells(&h, cells), n);
    SEND(&h, GET(again, .query = NULL), ROW);
    assert_warm(&h, first);
    assert_int_equal(h.op->principal.generation, 6);

    /* what one finds lost it mends for the others */
    h.zone[cells[n / 2]].until = 0;
    SEND(&h, GET(again, .query = NULL), ROW);
    assert_cold(&h, first);
    SEND(&h, ASK(.query = NULL), ROW);
    assert_warm(&h, first);
    assert_int_equal(h.op->principal.generation, 0);

    SEND0(&h, R(.path = "/v1/tasks/x", .token = h.member));
    assert_int_equal(tn__api_key_make(&text, &hash, h.op, TN_STR(KEY)), TN_OK);
    snprintf(key, sizeof(key), "%.*s", (int) text.n, text.p);
    snprintf(digest, sizeof(digest), "%.*s", (int) hash.n, hash.p);
    h.sessions[4] = h.sessions[1];
    h.sessions[4].id = KEY;
    h.sessions[4].hash = digest;
    h.sessions[4].scopes = "130t";
    SEND(&h, GET(key, .query = NULL), ROW);
    assert_cold(&h, first);
    assert_int_equal(part_cells(&h, cells), n);
    SEND(&h, GET(key, .query = NULL), ROW);
    assert_warm(&h, first);
    unit_assert_str(h.op->principal.scopes, "130t");
    SEND(&h, ASK(.query = NULL), ROW);
    assert_warm(&h, first);
    assert_null(h.op->principal.scopes.p);

    /* another person who reaches the same */
    h.sessions[2].accounts = first;
    h.sessions[2].role = "member";
    SEND(&h, GET(h.guest, .query = NULL), ROW);
    assert_cold(&h, first);
    assert_int_equal(part_cells(&h, cells), 2 * n);
    host_free(&h);
}


/* What happens between two looks of one request, and at which look. */
static struct {
    unsigned at;
    int happened;
    void (*what)(host *h);
} then;


static void
between(host *h, unsigned n)
{
    if (n == then.at) {
        then.happened = 1;
        then.what(h);
    }
}


static void
forget_parts(host *h)
{
    host_entry *entry;
    unsigned i, n, cells[HOST_ZONE_MAX];

    n = part_cells(h, cells);

    for (i = 0; i < n; i++) {
        h->zone[cells[i]].until = 0;
    }

    entry = find_first(h, SESSION("a2"));

    if (entry) {
        entry->until = 0;
    }
}


static void
forget_all(host *h)
{
    h->nzone = 0;
}


/* Everything is that of a later reading, under the same stamp. */
static void
replace(host *h)
{
    memcpy(h->zone, saved, sizeof(saved));
}


static void
change(host *h)
{
    tn_zone_cmd cmd;
    tn_input input;
    tn_want want = { .kind = TN_WANT_ZONE, .zone = { &cmd, 1 } };

    h->sessions[1].accounts = second;
    tn__access_changed(h->op, &cmd, TN_STR(ACME));
    host_zone(h, &want, &input);
}


/* As log-out ends it. */
static void
end(host *h)
{
    tn_zone_cmd cmd;
    tn_input input;
    tn_want want = { .kind = TN_WANT_ZONE, .zone = { &cmd, 1 } };

    h->sessions[1].id = SESSION("ff");
    tn__zone_key(&cmd, TN_ZONE_SET, h->op, TN_STR("session"), TN_STR(ACME),
                 TN_STR(SESSION("a2")));
    cmd.value = TN__ZONE_NOBODY;
    cmd.ttl_ms = 60000;
    host_zone(h, &want, &input);
}


static void
test_between_two_looks(void **state)
{
    host h;
    unsigned i, cold;
    tn_str had;
    static void (*const whats[])(host *) = { forget_parts, forget_all, replace,
                                             change };

    (void) state;

    for (i = 0; i < 4; i++) {
        for (cold = 0; cold < 2; cold++) {
            for (then.at = 2; then.at <= 6; then.at++) {
                host_init(&h);
                h.sessions[1].accounts = accounts(second, 200, 5);
                SEND(&h, ASK(.query = NULL), ROW);
                memcpy(saved, h.zone, sizeof(saved));
                forget_parts(&h);
                h.sessions[1].accounts = accounts(first, 200, 1);

                if (!cold) {
                    SEND(&h, ASK(.query = NULL), ROW);
                }

                then.what = whats[i];
                SEND(&h, ASK(.between = between), ROW);
                had = h.op->principal.accounts;
                host_assert(&h, 200, NULL);
                assert_true(tn__eq(had, unit_str(first)) ||
                            tn__eq(had, unit_str(second)));

                /* and what it kept is nobody's but who asks next by right */
                SEND(&h, ASK(.query = NULL), ROW);
                had = h.op->principal.accounts;
                assert_true(
                    i == 2 ? tn__eq(had, unit_str(first)) ||
                                 tn__eq(had, unit_str(second))
                           : tn__eq(had, unit_str(h.sessions[1].accounts)));
                host_free(&h);
            }
        }
    }
}


/* Whenever the session ends while its entry is read or kept, the next request
 * is nobody's. */
static void
test_ends_meanwhile(void **state)
{
    host h;
    unsigned warm, ended;

    (void) state;
    then.what = end;
    ended = 0;

    for (warm = 0; warm < 3; warm++) {
        for (then.at = 3; then.at <= 6; then.at++) {
            host_init(&h);
            h.sessions[1].accounts = accounts(first, 200, 1);

            if (warm) {
                SEND(&h, ASK(.query = NULL), ROW);
            }

            if (warm == 2) {
                accounts(second, 200, 7);
                change(&h); /* from now on it is kept beside */
                SEND(&h, ASK(.query = NULL), ROW);
            }

            then.happened = 0;
            SEND(&h, ASK(.between = between), ROW);

            if (then.happened) {
                SEND0(&h, ASK(.query = NULL));
                host_problem(&h, 401, "unauthenticated");
                assert_null(strchr(h.trace, 'd'));
                ended++;
            }

            host_free(&h);
        }
    }

    /* two looks further on each time, and one more where it lies beside */
    assert_in_range(ended, 5, 12);
}


/* An API key of that many scopes, some of one's own only. */
static void
test_scopes(void **state)
{
    host h;
    size_t at;
    unsigned i, n, k, cells[HOST_ZONE_MAX];
    tn_str text, hash;
    char key[96], digest[67];
    static const unsigned numbers[] = { 1, 70, 71, 500, 1024 };

    (void) state;

    for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        host_init(&h);

        for (k = 0, at = 0; k < numbers[i]; k++) {
            at +=
                (size_t) snprintf(first + at, MANY - at, "%s%u%c", k ? "," : "",
                                  1024 - numbers[i] + k + 1, k % 5 ? 't' : 'o');
        }

        SEND0(&h, R(.path = "/v1/tasks/x", .token = h.owner));
        assert_int_equal(tn__api_key_make(&text, &hash, h.op, TN_STR(KEY)),
                         TN_OK);
        snprintf(key, sizeof(key), "%.*s", (int) text.n, text.p);
        snprintf(digest, sizeof(digest), "%.*s", (int) hash.n, hash.p);
        h.sessions[4] = (host_session){ .id = KEY,
                                        .tenant = ACME,
                                        .user = OWNER,
                                        .role = "owner",
                                        .accounts = accounts(second, 100, 3),
                                        .scopes = first,
                                        .hash = digest };

        for (k = 0; k < 3; k++) {
            if (k == 2) {
                n = part_cells(&h, cells);
                assert_in_range(n, 3, 5);
                h.zone[cells[0]].until = 0;
            }

            if (numbers[i] == 1024) {
                SEND(&h, GET(key, .query = NULL), ROW);
            } else {
                SEND0(&h, GET(key, .query = NULL));
            }

            unit_assert_str(h.op->principal.scopes, first);
            unit_assert_str(h.op->principal.accounts, second);
            unit_assert_str(h.op->principal.api_key, KEY);
            assert_int_equal(strchr(h.trace, 'd') == NULL, k == 1);
        }

        host_free(&h);
    }
}


/* Roles that the tenant defines itself come along. */
static void
test_roles(void **state)
{
    host h;
    size_t at;
    unsigned i, k;

    (void) state;
    host_init(&h);

    for (i = 0, at = 0; i < 30; i++) {
        at += (size_t) snprintf(second + at, MANY - at,
                                "%srole_%02u=", i ? ";" : "", i);
        for (k = 1; k <= 200; k++) {
            at += (size_t) snprintf(second + at, MANY - at, "%s%u%c",
                                    k > 1 ? "," : "", k, i % 2 ? 't' : 'o');
        }
    }

    h.sessions[1].roles = second;
    h.sessions[1].accounts = accounts(first, 200, 1);
    SEND(&h, ASK(.query = NULL), ROW);
    assert_cold(&h, first);
    SEND(&h, ASK(.query = NULL), ROW);
    assert_warm(&h, first);
    unit_assert_str(h.op->principal.roles, second);
    assert_in_range(live_cells(&h), 8, 20);
    host_free(&h);
}


/* A zone that loses whatever it likes, whenever it likes. */
static void
test_any_loss(void **state)
{
    host h;
    unsigned i, k, round, warm, seed;

    (void) state;
    host_init(&h);
    accounts(first, 200, 1);
    accounts(second, 150, 2);
    h.sessions[1].accounts = first;
    seed = 1;
    SEND(&h, ASK(.query = NULL), ROW);

    for (round = warm = 0; round < 3000; round++) {
        for (i = 0; i < 3; i++) {
            seed = seed * 1103515245 + 12345;
            k = (seed >> 8) % (2 * h.nzone + 1);

            if (k < h.nzone) {
                h.zone[k].until = 0;
            }
        }

        if (round % 40 == 0) {
            change(&h);
            h.sessions[1].accounts = seed & 4096 ? first : second;
        }

        h.now += seed % (SECOND / 4);
        host_send(&h, ASK(.query = NULL), (const host_reply[]){ ROW }, 1);
        host_assert(&h, 200, NULL);
        unit_assert_str(h.op->principal.accounts, h.sessions[1].accounts);
        warm += strchr(h.trace, 'd') == NULL;
    }

    assert_in_range(warm, 300, 2700);
    host_free(&h);
}


/* No call for memory that fails gives a part of it. */
static void
test_memory(void **state)
{
    host h;
    size_t i;
    unsigned warm;

    (void) state;

    for (warm = 0; warm < 2; warm++) {
        host_init(&h);
        h.sessions[1].accounts = accounts(first, 200, 1);

        for (i = 1; i < 400; i++) {
            h.nzone = 0;

            if (warm) {
                SEND(&h, ASK(.query = NULL), ROW);
            }

            host_send(&h, ASK(.fail_at = i), (const host_reply[]){ ROW }, 1);

            if (h.arena.calls < i) {
                assert_all(&h, (int) warm, first, __LINE__);
                break;
            }

            assert_int_equal(h.response->status, 500);
        }

        assert_in_range(i, 10, 399);
        host_free(&h);
    }
}


UNIT_MAIN(cmocka_unit_test(test_sizes), cmocka_unit_test(test_harmed_cells),
          cmocka_unit_test(test_mixed_cells), cmocka_unit_test(test_stamp),
          cmocka_unit_test(test_shared),
          cmocka_unit_test(test_between_two_looks),
          cmocka_unit_test(test_ends_meanwhile), cmocka_unit_test(test_scopes),
          cmocka_unit_test(test_roles), cmocka_unit_test(test_any_loss),
          cmocka_unit_test(test_memory))
