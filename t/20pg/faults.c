/*
 * Connections that end: every batch in flight is reported once, as unknown;
 * what was finished before stays known; a new connection works.
 */

#include "driver.h"

#include <signal.h>

static const tn_stmt one = STMT("one", "select 1::int", 0);
static const tn_stmt nap = STMT("nap", "select pg_sleep(30)", 0);
static const tn_stmt pid = STMT("pid", "select pg_backend_pid()", 0);
static const tn_stmt stop =
    STMT("stop", "select pg_terminate_backend($1::int, 5000)", 1);


static void
command(const char *name)
{
    const char *line = getenv(name);

    assert_non_null(line);
    assert_int_equal(system(line), 0);
}


static void
reconnect_works(void)
{
    assert_int_equal(ask_fresh(&one), 1);
}


/* Takes what finishes until the connection is dead: each tag once, in order,
 * with its outcome. */
static void
expect_end(tn_pg *pg, unsigned n, const tn_db_outcome *outcomes)
{
    double end = now() + DEADLINE;
    unsigned i = 0;
    void *tag;
    int retry;
    const tn_reply *reply;

    for (;;) {
        while (tn_pg_next(pg, &tag, &reply, &retry)) {
            assert_true(i < n);
            assert_ptr_equal(tag, (char *) pg + i);
            assert_int_equal(reply->outcome, outcomes[i]);
            assert_int_equal(retry, 0);
            i++;
        }

        if (tn_pg_get_state(pg) == TN_PG_DEAD) {
            break;
        }

        assert_true(now() < end);
        turn(pg);
    }

    assert_int_equal(i, n);
    assert_int_equal(tn_pg_depth(pg), 0);
    assert_int_equal(tn_pg_fd(pg), -1);
    assert_int_equal(tn_pg_wants(pg), 0);
    assert_true(tn_pg_error(pg).n > 0);
    assert_int_equal(send_one(pg, &one, NULL, 0, NULL), TN_E_UNAVAILABLE);

    tn_pg_io(pg, TN_PG_READ | TN_PG_WRITE);
    assert_false(tn_pg_next(pg, &tag, &reply, &retry));
}


/* One that is done, one that sleeps, two behind it. The tags are addresses
 * that need not be valid. */
static tn_pg *
busy(char *backend, size_t size)
{
    const tn_stmt *stmts[] = { &one, &nap, &one, &one };
    struct timespec pause = { 0, 100000000 };
    tn_pg *pg = open_depth(8);
    unsigned i;

    snprintf(backend, size, "%s", cell(ask(pg, &pid, NULL), 0, 0));

    for (i = 0; i < 4; i++) {
        assert_int_equal(send_one(pg, stmts[i], NULL, i & 1, (char *) pg + i),
                         TN_OK);
    }

    nanosleep(&pause, NULL);
    return pg;
}


static const tn_db_outcome outcomes[] = { TN_DB_OK, TN_DB_UNKNOWN,
                                          TN_DB_UNKNOWN, TN_DB_UNKNOWN };


static void
backend_terminated_in_mid_pipeline(void **state)
{
    char backend[256];
    tn_pg *pg = busy(backend, sizeof(backend));
    tn_pg *other = open_depth(1);
    tn_str params[] = { { backend, strlen(backend) } };

    (void) state;
    assert_string_equal(cell(ask(other, &stop, params), 0, 0), "t");
    expect_end(pg, 4, outcomes);
    assert_non_null(strstr(tn_pg_error(pg).p, "terminating connection"));
    tn_pg_free(pg);
    tn_pg_free(other);
    reconnect_works();
}


static void
backend_killed_in_mid_pipeline(void **state)
{
    char backend[256];
    tn_pg *bystander = open_depth(1);
    tn_pg *pg = busy(backend, sizeof(backend));
    double end = now() + DEADLINE;
    tn_pg *again;
    tn_pg_state settled;

    (void) state;
    assert_int_equal(kill((pid_t) strtol(backend, NULL, 10), SIGKILL), 0);
    expect_end(pg, 4, outcomes);
    tn_pg_free(pg);

    /* The server ends everybody once it knows, which may be a moment after
     * the one who was killed is gone; until then it takes connections that
     * it is about to end. */
    expect_end(bystander, 0, NULL);
    tn_pg_free(bystander);

    /* all of it recovers now, and refuses until it has */
    do {
        assert_true(now() < end);
        again = open_with(conninfo(), 1, 0, NULL, 0);
        settled = tn_pg_get_state(again);
        assert_true(settled == TN_PG_READY || tn_pg_error(again).n > 0);
        tn_pg_free(again);
    } while (settled != TN_PG_READY);

    reconnect_works();
}


static void
server_restarted_in_mid_pipeline(void **state)
{
    char backend[256];
    tn_pg *pg = busy(backend, sizeof(backend));

    (void) state;
    command("TENON_PG_RESTART");
    expect_end(pg, 4, outcomes);
    tn_pg_free(pg);
    reconnect_works();
}


static void
server_stopped_while_idle(void **state)
{
    tn_pg *pg = open_depth(4);
    tn_pg *refused;

    (void) state;
    must(pg, &one);
    command("TENON_PG_STOP");
    expect_end(pg, 0, NULL);
    assert_non_null(strstr(tn_pg_error(pg).p, "terminating connection"));
    tn_pg_free(pg);

    refused = open_with(conninfo(), 1, 0, NULL, 0);
    assert_int_equal(tn_pg_get_state(refused), TN_PG_DEAD);
    assert_true(tn_pg_error(refused).n > 0);
    tn_pg_free(refused);

    command("TENON_PG_START");
    reconnect_works();
}


static void
finished_before_the_end_stays_known(void **state)
{
    tn_db_outcome ok[] = { TN_DB_OK, TN_DB_OK };
    char backend[256];
    tn_pg *pg = open_depth(8);
    tn_pg *other = open_depth(1);
    tn_str params[] = { { backend, 0 } };
    struct timespec pause = { 0, 200000000 };

    (void) state;
    snprintf(backend, sizeof(backend), "%s", cell(ask(pg, &pid, NULL), 0, 0));
    params[0].n = strlen(backend);

    /* both answers and the end lie in the socket when it is first read */
    assert_int_equal(send_one(pg, &one, NULL, 1, pg), TN_OK);
    assert_int_equal(send_one(pg, &one, NULL, 1, (char *) pg + 1), TN_OK);
    nanosleep(&pause, NULL);
    assert_string_equal(cell(ask(other, &stop, params), 0, 0), "t");

    expect_end(pg, 2, ok);
    tn_pg_free(pg);
    tn_pg_free(other);
}


static void
sent_after_an_unseen_end_is_unknown(void **state)
{
    tn_db_outcome unknown[] = { TN_DB_UNKNOWN, TN_DB_UNKNOWN };
    char backend[256];
    tn_pg *pg = open_depth(8);
    tn_pg *other = open_depth(1);
    tn_str params[] = { { backend, 0 } };

    (void) state;
    snprintf(backend, sizeof(backend), "%s", cell(ask(pg, &pid, NULL), 0, 0));
    params[0].n = strlen(backend);
    assert_string_equal(cell(ask(other, &stop, params), 0, 0), "t");

    assert_int_equal(send_one(pg, &one, NULL, 1, pg), TN_OK);
    assert_int_equal(send_one(pg, &one, NULL, 1, (char *) pg + 1), TN_OK);
    expect_end(pg, 2, unknown);
    tn_pg_free(pg);
    tn_pg_free(other);
}


static void
what_cannot_connect_is_dead_and_says_why(void **state)
{
    static const char *const wrong[] = {
        "host=/nowhere/at/all",        "no_such_option=1",
        "host=127.0.0.1 port=1",       "host='unfinished",
        "host=127.0.0.1 hostaddr=bad", "",
    };
    char text[512];
    tn_pg *pg;
    unsigned i;

    (void) state;
    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(text, sizeof(text), "%s", wrong[i]);
        if (text[0] == '\0') {
            snprintf(text, sizeof(text), "%s dbname=nobodys", conninfo());
        }

        pg = open_with(text, 1, 0, NULL, 0);
        assert_int_equal(tn_pg_get_state(pg), TN_PG_DEAD);
        assert_true(tn_pg_error(pg).n > 0);
        assert_int_equal(tn_pg_fd(pg), -1);
        tn_pg_free(pg);
    }
}


static void
the_generation_tells_of_descriptors(void **state)
{
    tn_pg *pg;
    tn_pg_conf conf = { .conninfo = conninfo(), .max_depth = 1 };
    unsigned ready, first;

    (void) state;
    assert_int_equal(tn_pg_new(&pg, &conf), TN_OK);
    first = tn_pg_generation(pg);
    assert_true(tn_pg_fd(pg) >= 0);
    settle(pg);
    ready = tn_pg_generation(pg);
    assert_true(ready > first);

    must(pg, &one);
    assert_int_equal(tn_pg_generation(pg), ready);
    tn_pg_free(pg);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_connect_is_dead_and_says_why),
        cmocka_unit_test(the_generation_tells_of_descriptors),
        cmocka_unit_test(finished_before_the_end_stays_known),
        cmocka_unit_test(sent_after_an_unseen_end_is_unknown),
        cmocka_unit_test(backend_terminated_in_mid_pipeline),
        cmocka_unit_test(server_restarted_in_mid_pipeline),
        cmocka_unit_test(server_stopped_while_idle),
        cmocka_unit_test(backend_killed_in_mid_pipeline),
    };

    if (skipped()) {
        return 0;
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
