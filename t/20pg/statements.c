/* Names prepared on a connection: when they come, go, and go stale. */

#include "driver.h"

static const tn_stmt a = STMT("a", "select 'a'", 0);
static const tn_stmt b = STMT("b", "select 'b'", 0);
static const tn_stmt c = STMT("c\"c", "select 'c'", 0);
static const tn_stmt names =
    STMT("names",
         "select coalesce(string_agg(name, ' ' order by name), '') "
         "from pg_prepared_statements where name <> 'names'",
         0);
static const tn_stmt divide = STMT("divide", "select 1 / $1::int", 1);
static const tn_stmt broken = STMT("broken", "select * from nowhere", 0);


static void
send_pair(tn_pg *pg, const tn_stmt *first, const tn_str *params,
          const tn_stmt *second, int writes)
{
    tn_query queries[] = { { first, params }, { second, NULL } };
    tn_batch batch = { .queries = queries, .n = 2, .writes = writes != 0 };

    assert_int_equal(tn_pg_send(pg, &batch, NULL), TN_OK);
}


static void
expect_error(tn_pg *pg, const char *sqlstate, int expected_retry)
{
    void *tag;
    int retry;
    const tn_reply *reply = await(pg, &tag, &retry);

    assert_non_null(reply);
    assert_int_equal(reply->outcome, TN_DB_ERROR);
    assert_string_equal(reply->sqlstate, sqlstate);
    assert_int_equal(retry, expected_retry);
}


static void
one_that_cannot_be_prepared_is_named(void **state)
{
    const tn_stmt *list[] = { &a, &broken, &b };
    tn_pg *pg = open_with(conninfo(), 4, 0, list, 3);

    (void) state;
    assert_int_equal(tn_pg_get_state(pg), TN_PG_DEAD);
    assert_non_null(strstr(tn_pg_error(pg).p, "statement broken"));
    assert_non_null(strstr(tn_pg_error(pg).p, "nowhere"));
    assert_int_equal(tn_pg_fd(pg), -1);
    assert_int_equal(tn_pg_wants(pg), 0);
    tn_pg_free(pg);
}


static void
the_least_recently_used_goes(void **state)
{
    tn_pg *pg = open_with(conninfo(), 8, 3, NULL, 0);
    unsigned syncs = tn_pg_syncs(pg);
    const tn_reply *reply;

    (void) state;
    must(pg, &names);
    must(pg, &a);
    must(pg, &c);
    assert_string_equal(cell(ask(pg, &names, NULL), 0, 0), "a c\"c");
    must(pg, &a);

    /* c is the oldest, though a came first */
    reply = ask(pg, &b, NULL);
    assert_int_equal(reply->n, 1); /* its DEALLOCATE is nobody's business */
    assert_string_equal(cell(reply, 0, 0), "b");
    assert_string_equal(cell(ask(pg, &names, NULL), 0, 0), "a b");

    assert_string_equal(cell(ask(pg, &c, NULL), 0, 0), "c");
    assert_string_equal(cell(ask(pg, &names, NULL), 0, 0), "b c\"c");
    assert_int_equal(tn_pg_syncs(pg), syncs + 9);
    assert_int_equal(tn_pg_get_state(pg), TN_PG_READY);
    tn_pg_free(pg);
}


static void
many_names_through_a_small_table(void **state)
{
    enum {
        NAMES = 40,
        ROUNDS = 600,
        DEPTH = 7,
    };
    char text[NAMES][2][48];
    tn_stmt stmts[NAMES];
    tn_pg *pg = open_with(conninfo(), DEPTH, 5, NULL, 0);
    unsigned i, sent, got, seed = 1;
    void *tag;
    int retry;
    const tn_reply *reply;

    (void) state;
    for (i = 0; i < NAMES; i++) {
        snprintf(text[i][0], sizeof(text[i][0]), "n%u", i);
        snprintf(text[i][1], sizeof(text[i][1]), "select %u", i);
        stmts[i] = (tn_stmt){ .name = { text[i][0], strlen(text[i][0]) },
                              .sql = { text[i][1], strlen(text[i][1]) } };
    }

    for (sent = 0, got = 0; got < ROUNDS; got++) {
        while (sent < ROUNDS && tn_pg_depth(pg) < DEPTH) {
            seed = seed * 1103515245u + 12345u;
            i = (seed >> 16) % NAMES;
            assert_int_equal(send_one(pg, &stmts[i], NULL, 0, &stmts[i]),
                             TN_OK);
            sent++;
        }

        reply = await(pg, &tag, &retry);
        i = (unsigned) ((tn_stmt *) tag - stmts);
        assert_int_equal(strtoul(cell(reply, 0, 0), NULL, 10), i);
    }

    assert_int_equal(tn_pg_get_state(pg), TN_PG_READY);
    reply = ask(pg, &names, NULL);
    assert_true(strlen(cell(reply, 0, 0)) <= (5 + DEPTH) * 4);
    tn_pg_free(pg);
}


static void
a_pending_name_survives_bad_data_before_it(void **state)
{
    tn_str zero[] = { TN_STR("0") };
    tn_pg *pg = open_depth(8);
    void *tag;
    int retry;

    (void) state;
    send_pair(pg, &divide, zero, &a, 1);
    assert_int_equal(send_one(pg, &a, NULL, 1, NULL), TN_OK);

    expect_error(pg, "22012", 0);
    assert_string_equal(cell(await(pg, &tag, &retry), 0, 0), "a");
    assert_int_equal(tn_pg_get_state(pg), TN_PG_READY);
    tn_pg_free(pg);
}


static void
a_name_whose_parse_failed_is_not_there(void **state)
{
    tn_pg *pg = open_depth(8);

    (void) state;
    send_pair(pg, &broken, NULL, &a, 0);
    expect_error(pg, "42P01", 0);
    assert_int_equal(tn_pg_get_state(pg), TN_PG_READY);

    /* neither name is taken for prepared: both are parsed again */
    assert_string_equal(cell(ask(pg, &a, NULL), 0, 0), "a");
    assert_int_equal(send_one(pg, &broken, NULL, 0, NULL), TN_OK);
    expect_error(pg, "42P01", 0);
    assert_int_equal(tn_pg_get_state(pg), TN_PG_READY);
    assert_string_equal(cell(ask(pg, &names, NULL), 0, 0), "a");
    tn_pg_free(pg);
}


static void
who_relied_on_a_failed_parse_may_retry(void **state)
{
    tn_pg *pg = open_depth(8);

    (void) state;
    send_pair(pg, &broken, NULL, &a, 0);
    assert_int_equal(send_one(pg, &a, NULL, 0, NULL), TN_OK);
    assert_int_equal(send_one(pg, &a, NULL, 1, NULL), TN_OK);

    expect_error(pg, "42P01", 0);
    expect_error(pg, "26000", 1);
    expect_error(pg, "26000", 0); /* a write is never sent twice */
    assert_int_equal(tn_pg_get_state(pg), TN_PG_RETIRING);
    assert_int_equal(send_one(pg, &b, NULL, 0, NULL), TN_E_UNAVAILABLE);
    assert_int_equal(tn_pg_depth(pg), 0);
    tn_pg_free(pg);
}


static void
a_changed_result_type_retires(void **state)
{
    static const tn_stmt drop = STMT("drop", "drop table if exists shape", 0);
    static const tn_stmt make = STMT("make", "create table shape (v int)", 0);
    static const tn_stmt alter =
        STMT("alter", "alter table shape alter v type text", 0);
    static const tn_stmt look = STMT("look", "select v from shape", 0);
    tn_pg *other = open_depth(1);
    tn_pg *pg = open_depth(8);
    void *tag;
    int retry;

    (void) state;
    must(other, &drop);
    must(other, &make);
    must(pg, &look);
    must(other, &alter);

    assert_int_equal(send_one(pg, &look, NULL, 0, NULL), TN_OK);
    assert_int_equal(send_one(pg, &look, NULL, 1, NULL), TN_OK);
    assert_int_equal(send_one(pg, &a, NULL, 0, NULL), TN_OK);

    expect_error(pg, "0A000", 1);
    assert_int_equal(tn_pg_get_state(pg), TN_PG_RETIRING);
    expect_error(pg, "0A000", 0);

    /* what was in flight is still answered */
    assert_string_equal(cell(await(pg, &tag, &retry), 0, 0), "a");
    assert_int_equal(tn_pg_depth(pg), 0);
    assert_int_equal(tn_pg_get_state(pg), TN_PG_RETIRING);
    tn_pg_free(pg);
    tn_pg_free(other);
}


static void
another_0A000_is_just_an_error(void **state)
{
    static const tn_stmt make =
        STMT("make",
             "create or replace function pg_temp.no() returns int language "
             "plpgsql as $$ begin raise exception 'not so' using errcode = "
             "'0A000'; end $$",
             0);
    static const tn_stmt no = STMT("no", "select pg_temp.no()", 0);
    tn_pg *pg = open_depth(1);

    (void) state;
    must(pg, &make);
    assert_int_equal(send_one(pg, &no, NULL, 0, NULL), TN_OK);
    expect_error(pg, "0A000", 0);
    assert_int_equal(tn_pg_get_state(pg), TN_PG_READY);
    tn_pg_free(pg);
}


static void
names_dropped_behind_our_back_retire(void **state)
{
    static const tn_stmt all = STMT("all", "deallocate all", 0);
    tn_pg *pg = open_with(conninfo(), 4, 3, NULL, 0);

    (void) state;
    must(pg, &a);
    must(pg, &b);
    must(pg, &all);

    /* evicts two: the first DEALLOCATE fails, the second is never run */
    send_pair(pg, &c, NULL, &names, 0);
    expect_error(pg, "26000", 1);
    assert_int_equal(tn_pg_get_state(pg), TN_PG_RETIRING);
    tn_pg_free(pg);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_cannot_be_prepared_is_named),
        cmocka_unit_test(the_least_recently_used_goes),
        cmocka_unit_test(many_names_through_a_small_table),
        cmocka_unit_test(a_pending_name_survives_bad_data_before_it),
        cmocka_unit_test(a_name_whose_parse_failed_is_not_there),
        cmocka_unit_test(who_relied_on_a_failed_parse_may_retry),
        cmocka_unit_test(a_changed_result_type_retires),
        cmocka_unit_test(another_0A000_is_just_an_error),
        cmocka_unit_test(names_dropped_behind_our_back_retire),
    };

    if (skipped()) {
        return 0;
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("statements", tests, NULL, NULL);
}
