/*
 * How far a permission reaches: what find_session tells of accounts becomes
 * the arrays that scoped statements are bound to; who may do something in the
 * whole tenant never meets them.
 */

#include "libcore/http/http.h"
#include "t/00unit/host.h"

#define A "0192f0c0-0000-7000-8000-0000000000aa"
#define B "0192f0c0-0000-7000-8000-0000000000bb"
#define C "0192f0c0-0000-7000-8000-0000000000cc"

#define NOTE  "0192f0c0-0000-7000-8000-0000000000f3"
#define NOTES "/v1/notes"
#define NOTE_CELLS                                         \
    NOTE, "t", A, "1", "2026-11-21 01:33:00.12+00", OWNER, \
        "2026-11-21 01:34:00+00"
#define PAGE                \
    {                       \
        ROWS(7, NOTE_CELLS) \
    }


static void
add(host *h, unsigned table, const char *const *cells, unsigned n)
{
    const char **row;

    row = teamos_find(&h->rows, table, "behind", "the", "last");
    memcpy(row, cells, n * sizeof(*row));
}

#define ADD(h, table, ...)                                  \
    add((h), (table), (const char *const[]){ __VA_ARGS__ }, \
        sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))


/* Notes belong to accounts: an account_owner may all, an account_user reads,
 * and changes its own. */
static void
init(host *h, const char *accounts, const char *roles)
{
    unsigned i;
    static const char *const all[] = { "90", "91", "92", "93", "94", "95" };

    host_init_bare(h);
    teamos_find(&h->rows, TEAMOS_RESOURCES, "teamos", "note", NULL)[13] =
        "account_id";
    ADD(h, TEAMOS_FIELDS, "teamos", "note", "account_id", "uuid", "t", NULL,
        NULL, NULL, NULL, NULL, "t");
    ADD(h, TEAMOS_REFERENCES, "teamos", "note", "account_id", "tenon.account",
        "id", "t", "f");
    ADD(h, TEAMOS_ROLES, "account_owner");
    ADD(h, TEAMOS_ROLES, "account_user");

    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        ADD(h, TEAMOS_GRANTS, "account_owner", all[i], "tenant");
    }

    ADD(h, TEAMOS_GRANTS, "account_user", "90", "tenant");
    ADD(h, TEAMOS_GRANTS, "account_user", "92", "own");
    h->sessions[1].accounts = accounts;
    h->sessions[1].roles = roles;
}


static void
test_list(void **state)
{
    host h;
    tn_str plain;

    (void) state;
    init(&h, A ":account_owner," B ":account_user," C ":gone", NULL);
    host_adopt(&h);

    SEND(&h, R(.path = NOTES, .token = h.owner), PAGE);
    host_assert(&h, 200, A);
    assert_false(host_has(h.sql, "any("));
    plain = h.sql;

    SEND(&h, R(.path = NOTES, .token = h.member), PAGE);
    host_assert(&h, 200, A);
    unit_assert_str(host_bound(&h, "t.\"account_id\" = any("), "{" A "," B "}");
    unit_assert_str(host_bound(&h, "t.tenant_id = "), ACME);
    assert_false(host_has(h.sql, "created_by\" = "));

    SEND(&h, R(.path = NOTES, .token = h.member, .query = "account_id=" A),
         PAGE);
    unit_assert_str(host_bound(&h, "t.\"account_id\" = any("), "{" A "," B "}");
    unit_assert_str(host_bound(&h, "uuid[]) and t.\"account_id\" = "), A);
    host_free(&h);

    /* and no word of accounts where there are none */
    host_init(&h);
    SEND(&h, R(.path = NOTES, .token = h.owner),
         { ROWS(6, NOTE, "t", "1", "2026-11-21 01:33:00.12+00", OWNER,
                "2026-11-21 01:34:00+00") });
    host_assert(&h, 200, NULL);
    assert_int_equal(h.sql.n, plain.n - strlen("t.\"account_id\", "));
    SEND0(&h, R(.path = NOTES, .token = h.member));
    host_problem(&h, 403, "forbidden");
    host_free(&h);
}


/* Bound in one statement: what may be changed, and what may be seen. */
static void
test_change(void **state)
{
    host h;

    (void) state;
    init(&h, A ":account_owner," B ":account_user", NULL);
    host_adopt(&h);

    SEND(&h,
         R(.method = "PATCH", .path = NOTES "/" NOTE, .token = h.member,
           .body = "{\"text\":\"x\",\"account_id\":\"" B "\"}",
           .if_match = "\"1\""),
         { ROWS(12, "1", MEMBER, "t", NOTE_CELLS, FRESH) });
    host_assert(&h, 200, A);
    unit_assert_str(host_bound(&h, "old.\"account_id\" = any("), "{" A "}");
    unit_assert_str(host_bound(&h, "t.\"account_id\" = any("), "{" A "," B "}");
    /* seen, and not to be changed; or not seen at all */
    SEND(&h,
         R(.method = "PATCH", .path = NOTES "/" NOTE, .token = h.member,
           .body = "{\"text\":\"x\"}", .if_match = "\"1\""),
         { ROWS(12, "1", NULL, "t", NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                FRESH) });
    host_problem(&h, 403, "forbidden");
    unit_assert_str(h.refused.resource_id, NOTE);
    SEND(&h,
         R(.method = "PATCH", .path = NOTES "/" NOTE, .token = h.member,
           .body = "{\"text\":\"x\"}", .if_match = "\"1\""),
         { ROWS(12, NULL, NULL, "t", NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                FRESH) });
    host_problem(&h, 404, "not_found");

    /* an account out of reach is none */
    SEND(&h,
         R(.method = "PATCH", .path = NOTES "/" NOTE, .token = h.member,
           .body = "{\"account_id\":\"" C "\"}", .if_match = "\"1\""),
         { ROWS(12, "1", MEMBER, "f", NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                FRESH) });
    host_assert(&h, 422, "{\"pointer\":\"/account_id\",\"code\":\"not_found\"");

    /* what no role of theirs has, they have nowhere */
    SEND0(&h, R(.path = "/v1/tasks/" TASK "/start", .method = "POST",
                .token = h.guest));
    host_problem(&h, 403, "forbidden");
    host_free(&h);
}


/* What the whole tenant is seen of is seen of accounts, too. */
static void
test_wider(void **state)
{
    host h;

    (void) state;
    init(&h, A ":account_owner", NULL);
    ADD(&h, TEAMOS_GRANTS, "member", "90", "tenant");
    ADD(&h, TEAMOS_GRANTS, "member", "93", "own");
    host_adopt(&h);

    SEND(&h, R(.path = NOTES, .token = h.member), PAGE);
    assert_false(host_has(h.sql, "any("));

    SEND(&h,
         R(.method = "DELETE", .path = NOTES "/" NOTE, .token = h.member,
           .if_match = "\"1\""),
         { ROWS(5, "1", MEMBER, NOTE, FRESH) });
    host_assert(&h, 204, NULL);
    assert_null(host_bound(&h, "and (").p); /* the sight: all */
    unit_assert_str(host_bound(&h, "old.\"created_by\" = "), MEMBER);
    unit_assert_str(host_bound(&h, "old.\"account_id\" = any("), "{" A "}");
    host_free(&h);
}


/* Roles that the tenant defines itself; several in one account. */
static void
test_roles(void **state)
{
    host h;

    (void) state;
    init(&h, A ":account_user," A ":desk," B ":desk", "desk=90o;owner=91t");
    host_adopt(&h);
    SEND(&h, R(.path = NOTES, .token = h.member), PAGE);
    host_assert(&h, 200, NULL);
    assert_null(host_bound(&h, "(t.\"created_by\" = ").p);
    unit_assert_str(host_bound(&h, "or t.\"account_id\" = any("), "{" A "}");
    unit_assert_str(host_bound(&h, "and t.\"account_id\" = any("), "{" B "}");
    host_free(&h);
}


/* What can't be read gives nothing, and more than 1,000 no more than that. */
static void
test_bounds(void **state)
{
    host h;
    size_t n;
    tn_str bound;
    unsigned i;
    static char many[1300 * 64];
    static const char *const bad[] = { "x", A, A ":", ":account_owner",
                                       A "account_owner" };

    (void) state;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        init(&h, bad[i], NULL);
        host_adopt(&h);
        SEND0(&h, R(.path = NOTES, .token = h.member));
        host_problem(&h, 403, "forbidden");
        host_free(&h);
    }

    for (i = 0, n = 0; i < 1300; i++) {
        n += (size_t) snprintf(many + n, sizeof(many) - n,
                               "%s0192f0c0-0000-7000-8000-%012u:account_user",
                               i ? "," : "", i);
    }

    init(&h, many, NULL);
    host_adopt(&h);
    SEND(&h, R(.path = NOTES, .token = h.member), PAGE);
    bound = host_bound(&h, "t.\"account_id\" = any(");
    assert_int_equal(bound.n, 1000 * 37 + 1);
    assert_string_equal(h.trace, "ZZdZAD");

    assert_true(host_has(tn_op_facts(h.op)->log, "1,000 accounts"));

    /* too many for the zone: asked for every time */
    SEND(&h, R(.path = NOTES, .token = h.member), PAGE);
    assert_string_equal(h.trace, "ZZdAD");
    host_free(&h);

    for (i = 0, n = 0; i < 33; i++) {
        n += (size_t) snprintf(many + n, sizeof(many) - n, "%s" A ":role_%u",
                               i ? "," : "", i);
    }

    init(&h, many, NULL);
    host_adopt(&h);
    SEND0(&h, R(.path = NOTES, .token = h.member));
    assert_true(host_has(tn_op_facts(h.op)->log, "more than 32 roles"));

    *strrchr(many, ',') = '\0';
    host_free(&h);
    init(&h, many, NULL);
    host_adopt(&h);
    SEND0(&h, R(.path = NOTES, .token = h.member));
    assert_null(tn_op_facts(h.op)->log.p);
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_list), cmocka_unit_test(test_change),
          cmocka_unit_test(test_wider), cmocka_unit_test(test_roles),
          cmocka_unit_test(test_bounds))
