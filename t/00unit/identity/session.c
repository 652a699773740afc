/*
 * What changes about members, roles and tenants holds for the next request,
 * whoever was asking meanwhile and whatever the zone forgot.
 */

#include "libcore/identity/identity.h"
#include "libcore/zone/zone.h"
#include "t/00unit/host.h"

#define ROW                                                 \
    {                                                       \
        ROWS(12, TASK_CELLS(TASK, "a", "todo", "3", OWNER)) \
    }
#define ASK(...) R(.path = "/v1/tasks/" TASK, .token = h.member, __VA_ARGS__)
#define MINUTE   (60 * 1000000ll)


static void
run(host *h, const tn_zone_cmd *cmds, unsigned n)
{
    tn_input input;
    tn_want want = { .kind = TN_WANT_ZONE, .zone = { cmds, n } };

    host_zone(h, &want, &input);
}


/* Somebody made the member a guest, who may not read tasks. */
static void
demote(host *h)
{
    tn_zone_cmd cmd;

    h->sessions[1].role = "guest";
    tn__access_changed(h->op, &cmd, TN_STR(ACME));
    run(h, &cmd, 1);
}


static void
promote(host *h)
{
    tn_zone_cmd cmd;

    h->sessions[1].role = "member";
    tn__access_changed(h->op, &cmd, TN_STR(ACME));
    run(h, &cmd, 1);
}


/* The zone gives an entry up. */
static void
forget(host *h, tn_str kind, tn_str a, tn_str b)
{
    tn_zone_cmd cmd;
    host_entry *entry;

    tn__zone_key(&cmd, TN_ZONE_GET, h->op, kind, a, b);
    entry = host_zone_find(h, cmd.key);
    assert_non_null(entry);
    entry->until = 0;
}


static void
forget_stamp(host *h)
{
    forget(h, TN_STR("access"), TN_STR(ACME), TN_STR(""));
}


static void
demote_and_forget(host *h)
{
    demote(h);
    forget_stamp(h);
}


static void
demote_and_wait(host *h)
{
    demote(h);
    h->now += 6 * MINUTE;
}


static void
demote_promote_demote(host *h)
{
    demote(h);
    promote(h);
    demote(h);
}


/* The member's session ends, as logout ends it. */
static void
end_session(host *h)
{
    tn_zone_cmd cmd;

    h->sessions[1].id = SESSION("ff");
    tn__zone_key(&cmd, TN_ZONE_SET, h->op, TN_STR("session"), TN_STR(ACME),
                 TN_STR(SESSION("a2")));
    cmd.value = TN__ZONE_NOBODY;
    cmd.ttl_ms = 60000;
    run(h, &cmd, 1);
}


/* Acme is deleted. */
static void
end_tenant(host *h)
{
    unsigned i;
    tn_zone_cmd cmds[3];
    tn__tenant kept = h->op->tenant;

    for (i = 0; i < 3; i++) {
        h->sessions[i].tenant = UMBRELLA;
    }

    h->op->tenant = (tn__tenant){ .id = TN_STR(ACME), .slug = TN_STR("acme") };
    tn__tenant_gone(h->op, cmds);
    tn__access_changed(h->op, &cmds[2], TN_STR(ACME));
    run(h, cmds, 3);
    h->op->tenant = kept;
}


static void
test_change_holds_at_once(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, ASK(.query = NULL), ROW);
    SEND(&h, ASK(.query = NULL), ROW);
    assert_string_equal(h.trace, "ZZAD");

    /* made on another node: not known here for seconds */
    h.sessions[1].role = "guest";
    SEND(&h, ASK(.query = NULL), ROW);
    host_assert(&h, 200, NULL);

    demote(&h);
    SEND0(&h, ASK(.query = NULL));
    host_problem(&h, 403, "forbidden");
    assert_string_equal(h.trace, "ZZZdZAZr");

    /* warm again, though the old entry is in the way */
    SEND0(&h, ASK(.query = NULL));
    host_problem(&h, 403, "forbidden");
    assert_string_equal(h.trace, "ZZZAZr");

    /* which it is not for long */
    h.now += 6 * 1000000;
    SEND0(&h, ASK(.query = NULL));
    assert_string_equal(h.trace, "ZZdZAZr");
    SEND0(&h, ASK(.query = NULL));
    assert_string_equal(h.trace, "ZZAZr");

    /* what is given holds as soon as what is taken */
    promote(&h);
    SEND(&h, ASK(.query = NULL), ROW);
    host_assert(&h, 200, NULL);
    demote(&h);
    SEND0(&h, ASK(.query = NULL));
    host_problem(&h, 403, "forbidden");

    /* however often it changes, two look-ups are never needed */
    SEND0(&h, ASK(.query = NULL));
    assert_string_equal(h.trace, "ZZZAZr");
    host_free(&h);
}


static void
test_others_stay_warm(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, R(.path = "/v1/me", .host = "", .token = h.eve),
         { ROWS(12, EVE, "e", "E", "owner", "{}", "t", "f", NULL, "f", "[]",
                NULL, "1") });
    SEND(&h, R(.path = "/v1/me", .host = "", .token = h.owner),
         { ROWS(12, OWNER, "o", "O", "owner", "{}", "t", "f", NULL, "f", "[]",
                NULL, "1") });
    demote(&h);
    SEND(&h, R(.path = "/v1/me", .host = "", .token = h.eve),
         { ROWS(12, EVE, "e", "E", "owner", "{}", "t", "f", NULL, "f", "[]",
                NULL, "1") });
    assert_string_equal(h.trace, "ZZAD");
    SEND(&h, R(.path = "/v1/me", .host = "", .token = h.owner),
         { ROWS(12, OWNER, "o", "O", "owner", "{}", "t", "f", NULL, "f", "[]",
                NULL, "1") });
    host_assert(&h, 200, NULL);
    host_free(&h);
}


/* A reader who asked before the change, and is answered behind it, has had its
 * answer; but nobody else gets it. */
static void
test_late_reader(void **state)
{
    unsigned i, warm;
    host h;
    static void (*const meanwhile[])(host *) = {
        demote,
        demote_and_forget,
        demote_and_wait,
        demote_promote_demote,
    };

    (void) state;

    for (i = 0; i < sizeof(meanwhile) / sizeof(meanwhile[0]); i++) {
        for (warm = 0; warm < 3; warm++) {
            host_init(&h);

            /* late to the session's place, or beside it */
            if (warm) {
                SEND(&h, ASK(.query = NULL), ROW);
                promote(&h);
            }

            if (warm == 2) {
                SEND(&h, ASK(.query = NULL), ROW);
                promote(&h);
            }

            SEND(&h, ASK(.meanwhile = meanwhile[i]), ROW);
            host_assert(&h, 200, NULL);
            SEND0(&h, ASK(.query = NULL));
            host_problem(&h, 403, "forbidden");
            SEND0(&h, ASK(.query = NULL));
            host_problem(&h, 403, "forbidden");
            host_free(&h);
        }
    }
}


/* What the zone gives up costs look-ups, and brings nothing back. */
static void
test_zone_forgets(void **state)
{
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, ASK(.query = NULL), ROW);
    demote_and_forget(&h);
    SEND0(&h, ASK(.query = NULL));
    host_problem(&h, 403, "forbidden");
    forget_stamp(&h);
    SEND0(&h, ASK(.query = NULL));
    host_problem(&h, 403, "forbidden");
    promote(&h);
    SEND(&h, ASK(.query = NULL), ROW);
    forget(&h, TN_STR("session"), TN_STR(ACME), TN_STR(SESSION("a2")));
    SEND(&h, ASK(.query = NULL), ROW);
    host_assert(&h, 200, NULL);

    /* a zone that keeps nothing at all */
    h.lossy = 1;
    h.nzone = 0;
    SEND(&h, ASK(.query = NULL), ROW);
    SEND(&h, ASK(.query = NULL), ROW);
    assert_string_equal(h.trace, "ZZdZAD");
    demote(&h);
    SEND0(&h, ASK(.query = NULL));
    host_problem(&h, 403, "forbidden");
    host_free(&h);
}


/* A stamp's end is none of the session's: it is looked up as ever. */
static void
test_stamp_expires(void **state)
{
    unsigned i;
    host h;

    (void) state;
    host_init(&h);

    for (i = 0; i < 100; i++) {
        SEND(&h, ASK(.query = NULL), ROW);
        host_assert(&h, 200, NULL);
        h.now += 4900 * 1000;
    }

    demote(&h);
    SEND0(&h, ASK(.query = NULL));
    host_problem(&h, 403, "forbidden");
    host_free(&h);
}


/* A session that ended stays ended: in its place or beside it. */
static void
test_tombstone(void **state)
{
    unsigned warm;
    host h;

    (void) state;

    for (warm = 0; warm < 3; warm++) {
        host_init(&h);

        if (warm) {
            SEND(&h, ASK(.query = NULL), ROW);
            promote(&h);
        }

        if (warm == 2) {
            SEND(&h, ASK(.query = NULL), ROW);
            promote(&h);
        }

        SEND(&h, ASK(.meanwhile = end_session), ROW);
        SEND0(&h, ASK(.query = NULL));
        host_problem(&h, 401, "unauthenticated");
        assert_string_equal(h.trace, "ZZ");

        /* a change makes no exception */
        promote(&h);
        SEND0(&h, ASK(.query = NULL));
        host_problem(&h, 401, "unauthenticated");

        /* the directory says the same once all have forgotten */
        h.now += 2 * MINUTE;
        SEND0(&h, ASK(.query = NULL));
        host_problem(&h, 401, "unauthenticated");
        host_free(&h);
    }
}


/* However the tenant is spelled, and whoever was looking for it. */
static void
test_tenant_gone(void **state)
{
    unsigned i, late;
    host h;
    static const char *const names[][2] = {
        { ACME_HOST, NULL },
        { "", "acme" },
        { "", ACME },
        { "", "0192F0C0-0000-7000-8000-00000000000A" },
    };

    (void) state;

    for (late = 0; late < 2; late++) {
        host_init(&h);

        for (i = 0; i < 4 && !late; i++) {
            SEND(&h, ASK(.host = names[i][0], .tenant = names[i][1]), ROW);
            host_assert(&h, 200, NULL);
        }

        /* one entry for all the spellings of an id */
        assert_null(late ? NULL : strchr(h.trace, 'd'));

        if (late) {
            SEND(&h, ASK(.meanwhile = end_tenant), ROW);
        } else {
            end_tenant(&h);
        }

        for (i = 0; i < 4; i++) {
            SEND0(&h, ASK(.host = names[i][0], .tenant = names[i][1]));
            host_problem(&h, 404, "tenant_unknown");
        }

        SEND0(&h, ASK(.host = ""));
        host_problem(&h, 401, "unauthenticated");
        host_free(&h);
    }
}


/* No call for memory that fails on the way lets anything through. */
static void
test_memory(void **state)
{
    size_t i;
    host h;

    (void) state;
    host_init(&h);
    SEND(&h, ASK(.query = NULL), ROW);
    demote(&h);

    for (i = 1; i < 200; i++) {
        SEND0(&h, ASK(.fail_at = i));
        assert_true(h.response->status == 500 || h.response->status == 403);

        if (h.arena.calls < i) {
            break;
        }
    }

    assert_in_range(i, 10, 199);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_change_holds_at_once),
          cmocka_unit_test(test_others_stay_warm),
          cmocka_unit_test(test_late_reader),
          cmocka_unit_test(test_zone_forgets),
          cmocka_unit_test(test_stamp_expires),
          cmocka_unit_test(test_tombstone), cmocka_unit_test(test_tenant_gone),
          cmocka_unit_test(test_memory))
