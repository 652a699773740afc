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
    assert_int_equal(tn_pg_get_state(pg), TN_PG_READY);
    assert_non_null(strstr(tn_pg_refusal(pg).p, "statement broken"));
    assert_non_null(strstr(tn_pg_refusal(pg).p, "nowhere"));
    assert_int_equal(tn_pg_error(pg).n, 0);

    /* those before it are there, those after it come when they are wanted */
    assert_string_equal(cell(ask(pg, &names, NULL), 0, 0), "a");
    must(pg, &b);
    assert_string_equal(cell(ask(pg, &names, NULL), 0, 0), "a b");

    assert_string_equal(ask(pg, &broken, NULL)->sqlstate, "42P01");
    must(pg, &a);
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
    expect_error(pg, "26000", 1); /* a write, too, has left no trace */
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
    expect_error(pg, "0A000", 1);

    /* what was in flight is still answered */
    assert_string_equal(cell(await(pg, &tag, &retry), 0, 0), "a");
    assert_int_equal(tn_pg_depth(pg), 0);
    assert_int_equal(tn_pg_get_state(pg), TN_PG_RETIRING);
    tn_pg_free(pg);
    tn_pg_free(other);
}


/* All that is before the stale statement in its batch is undone with it, and
 * the same batch on another connection is done once. */
static void
a_refused_write_has_left_no_trace(void **state)
{
    static const tn_stmt drop = STMT("drop", "drop table if exists trace", 0);
    static const tn_stmt make =
        STMT("make", "create table trace (v int, at int)", 0);
    static const tn_stmt alter =
        STMT("alter", "alter table trace alter v type bigint", 0);
    static const tn_stmt mark = STMT("mark",
                                     "insert into trace (at)"
                                     " values (1)",
                                     0);
    static const tn_stmt put =
        STMT("put", "insert into trace (v) values (2) returning v", 0);
    static const tn_stmt count = STMT("count", "select count(*) from trace", 0);
    tn_pg *other = open_depth(1);
    tn_pg *pg = open_depth(8);
    void *tag;
    int retry;

    (void) state;
    must(other, &drop);
    must(other, &make);
    must(pg, &mark);
    must(pg, &put);
    must(other, &alter);

    send_pair(pg, &mark, NULL, &put, 1);
    expect_error(pg, "0A000", 1);
    assert_string_equal(cell(ask(other, &count, NULL), 0, 0), "2");
    tn_pg_free(pg);

    send_pair(other, &mark, NULL, &put, 1);
    assert_string_equal(cell(await(other, &tag, &retry), 1, 0), "2");
    assert_int_equal(retry, 0);
    assert_string_equal(cell(ask(other, &count, NULL), 0, 0), "4");
    tn_pg_free(other);
}


/* What an app's function raises is its own affair, and so are the names that it
 * executes. */
static void
a_raised_code_does_not_retire(void **state)
{
    static const tn_stmt make =
        STMT("make",
             "create or replace function pg_temp.code(c text) returns int "
             "language plpgsql as $$ begin raise exception 'cached plan' using "
             "errcode = c; end $$",
             0);
    static const tn_stmt code = STMT("code", "select pg_temp.code($1)", 1);
    static const tn_stmt inside =
        STMT("inside", "do $$ begin execute 'execute nosuch'; end $$", 0);
    static const char *const codes[] = { "26000", "42P05", "0A000" };
    tn_pg *pg = open_depth(1);
    tn_str param;
    unsigned i;

    (void) state;
    must(pg, &make);
    for (i = 0; i < 3; i++) {
        param = (tn_str){ codes[i], 5 };
        assert_int_equal(send_one(pg, &code, &param, 1, NULL), TN_OK);
        expect_error(pg, codes[i], 0);
        assert_int_equal(tn_pg_get_state(pg), TN_PG_READY);
    }
    assert_int_equal(send_one(pg, &inside, NULL, 1, NULL), TN_OK);
    expect_error(pg, "26000", 0);
    assert_int_equal(tn_pg_get_state(pg), TN_PG_READY);
    tn_pg_free(pg);
}


static tn_pg *
open_unprepared(const tn_stmt *const *prepare, unsigned n)
{
    tn_pg *pg;
    tn_pg_conf conf = { conninfo(), prepare, n, 8, 0, 1 };

    assert_int_equal(tn_pg_new(&pg, &conf), TN_OK);
    assert_int_equal(settle(pg), TN_PG_READY);
    return pg;
}


static void
unprepared_keeps_no_names(void **state)
{
    static const tn_stmt any =
        STMT("any", "select count(*) from pg_prepared_statements", 0);
    const tn_stmt *list[] = { &a, &broken };
    tn_pg *pg = open_unprepared(list, 2);
    tn_str params[] = { TN_STR("4"), TN_STR("0") };
    unsigned syncs = tn_pg_syncs(pg);
    void *tag;
    int retry;
    const tn_reply *reply;

    (void) state;
    assert_int_equal(syncs, 0);

    send_pair(pg, &divide, &params[0], &a, 1);
    send_pair(pg, &a, NULL, &broken, 1);
    send_pair(pg, &divide, &params[1], &a, 0);
    send_pair(pg, &a, NULL, &any, 0);

    reply = await(pg, &tag, &retry);
    assert_int_equal(reply->n, 2);
    assert_string_equal(cell(reply, 0, 0), "0");
    assert_string_equal(cell(reply, 1, 0), "a");
    expect_error(pg, "42P01", 0);
    expect_error(pg, "22012", 0);
    reply = await(pg, &tag, &retry);
    assert_string_equal(cell(reply, 0, 0), "a");
    assert_string_equal(cell(reply, 1, 0), "0");
    assert_int_equal(tn_pg_syncs(pg), 4);
    tn_pg_free(pg);
}


/* The two that a connection with names would retire for. */
static void
unprepared_never_goes_stale(void **state)
{
    static const tn_stmt drop = STMT("drop", "drop table if exists form", 0);
    static const tn_stmt make = STMT("make", "create table form (v int)", 0);
    static const tn_stmt alter =
        STMT("alter", "alter table form alter v type text", 0);
    static const tn_stmt look = STMT("look", "select v from form", 0);
    static const tn_stmt all = STMT("all", "deallocate all", 0);
    tn_pg *pg = open_unprepared(NULL, 0);

    (void) state;
    must(pg, &drop);
    must(pg, &make);
    must(pg, &look);
    must(pg, &alter);
    must(pg, &look);
    must(pg, &all);
    must(pg, &look);
    assert_int_equal(tn_pg_get_state(pg), TN_PG_READY);
    tn_pg_free(pg);
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
        cmocka_unit_test(a_refused_write_has_left_no_trace),
        cmocka_unit_test(a_raised_code_does_not_retire),
        cmocka_unit_test(unprepared_keeps_no_names),
        cmocka_unit_test(unprepared_never_goes_stale),
        cmocka_unit_test(another_0A000_is_just_an_error),
        cmocka_unit_test(names_dropped_behind_our_back_retire),
    };

    if (skipped()) {
        return 0;
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("statements", tests, NULL, NULL);
}
