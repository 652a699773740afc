/*
 * A bad line: one byte at a time; cut after every number of bytes, in either
 * direction. Whatever the line does, each batch is answered once; one that is
 * said to be committed is; one that is said to be refused is not.
 */

#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#define FOREVER ((size_t) -1)
#define BATCHES 3

enum {
    TO_SERVER,
    TO_CLIENT,
};

/* Sits between connection and server, in this very thread. */
typedef struct line {
    int listener;
    int ends[2];    /* the server's, the client's */
    size_t left[2]; /* bytes that may still pass */
    size_t seen[2];
    size_t chunk;
    char path[108];
} line;

static const tn_stmt put =
    STMT("put", "insert into mark (id) values ($1::int) returning id", 1);
static const tn_stmt wrong = STMT("wrong", "select 1 / $1::int", 1);
static const tn_stmt has =
    STMT("has", "select count(*) from mark where id = $1::int", 1);


static void
address(struct sockaddr_un *sa, const char *path)
{
    memset(sa, 0, sizeof(*sa));
    sa->sun_family = AF_UNIX;
    snprintf(sa->sun_path, sizeof(sa->sun_path), "%.107s", path);
}


static void
line_open(line *l, const char *dir)
{
    struct sockaddr_un sa;

    memset(l, 0, sizeof(*l));
    l->ends[0] = l->ends[1] = -1;
    l->chunk = 65536;
    snprintf(l->path, sizeof(l->path), "%.80s/.s.PGSQL.1", dir);

    l->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    address(&sa, l->path);
    unlink(l->path);
    assert_int_equal(bind(l->listener, (struct sockaddr *) &sa, sizeof(sa)), 0);
    assert_int_equal(listen(l->listener, 8), 0);
}


static void
line_cut(line *l)
{
    int i;

    for (i = 0; i < 2; i++) {
        if (l->ends[i] >= 0) {
            close(l->ends[i]);
        }
        l->ends[i] = -1;
    }
}


static void
line_accept(line *l)
{
    struct sockaddr_un sa;
    int fd = accept(l->listener, NULL, NULL);

    if (fd < 0) {
        return;
    }

    line_cut(l);
    l->ends[TO_CLIENT] = fd;
    l->ends[TO_SERVER] = socket(AF_UNIX, SOCK_STREAM, 0);
    address(&sa, getenv("TENON_PG_SOCKET"));
    assert_int_equal(
        connect(l->ends[TO_SERVER], (struct sockaddr *) &sa, sizeof(sa)), 0);
}


/* What has come for the end `to` goes there, as far as it may. */
static void
line_pass(line *l, int to)
{
    char bytes[65536];
    size_t most;
    ssize_t n;

    if (l->ends[to] < 0) {
        return;
    }

    most = l->chunk < l->left[to] ? l->chunk : l->left[to];
    if (most == 0) {
        line_cut(l);
        return;
    }

    n = recv(l->ends[!to], bytes, most, MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        line_cut(l);
        return;
    }

    if (n > 0) {
        if (send(l->ends[to], bytes, (size_t) n, MSG_NOSIGNAL) != n) {
            line_cut(l);
            return;
        }
        l->left[to] -= l->left[to] == FOREVER ? 0 : (size_t) n;
        l->seen[to] += (size_t) n;
    }
}


/* Waits for anything to happen, then lets connection and line go on. */
static void
line_turn(line *l, tn_pg *pg)
{
    struct pollfd pfds[4];
    unsigned ready, wants;
    nfds_t i, n = 0;
    int at = -1;

    if (tn_pg_more(pg)) {
        tn_pg_io(pg, 0);
        return;
    }

    pfds[n++] = (struct pollfd){ l->listener, POLLIN, 0 };
    for (i = 0; i < 2; i++) {
        if (l->ends[i] >= 0) {
            pfds[n++] = (struct pollfd){ l->ends[i], POLLIN, 0 };
        }
    }

    wants = tn_pg_wants(pg);
    if (tn_pg_fd(pg) >= 0) {
        at = (int) n;
        pfds[n++] = (struct pollfd){
            tn_pg_fd(pg),
            (short) ((wants & TN_PG_READ ? POLLIN : 0) |
                     (wants & TN_PG_WRITE ? POLLOUT : 0)),
            0,
        };
    }

    assert_true(poll(pfds, n, 5000) > 0);

    if (at >= 0 && pfds[at].revents) {
        ready = (pfds[at].revents & POLLIN ? TN_PG_READ : 0) |
                (pfds[at].revents & POLLOUT ? TN_PG_WRITE : 0) |
                (pfds[at].revents & (POLLHUP | POLLERR) ? wants : 0);
        tn_pg_io(pg, ready);
    }

    line_accept(l);
    line_pass(l, TO_CLIENT);
    line_pass(l, TO_SERVER);
}


typedef struct outcome {
    int reported;
    tn_db_outcome outcome;
} outcome;


/* A write, an error, a write, over the line. Returns whether the connection
 * was still alive when all were answered. */
static int
converse(line *l, int id, outcome *outcomes)
{
    const tn_stmt *prepare[] = { &put };
    char info[160], text[2][16];
    double end = now() + DEADLINE;
    tn_pg *pg;
    tn_pg_conf conf = { info, prepare, 1, BATCHES, 2, 0 };
    tn_str params[BATCHES] = { { text[0], 0 }, TN_STR("0"), { text[1], 0 } };
    const tn_stmt *stmts[BATCHES] = { &put, &wrong, &put };
    int i, alive, retry, sent = 0;
    const tn_reply *reply;
    void *tag;

    memset(outcomes, 0, BATCHES * sizeof(outcome));
    snprintf(info, sizeof(info),
             "host=%.*s port=1 user=postgres "
             "dbname=postgres sslmode=disable",
             (int) (strrchr(l->path, '/') - l->path), l->path);
    for (i = 0; i < 2; i++) {
        snprintf(text[i], sizeof(text[i]), "%d", id + i);
        params[2 * i].n = strlen(text[i]);
    }

    assert_int_equal(tn_pg_new(&pg, &conf), TN_OK);

    while (tn_pg_get_state(pg) < TN_PG_READY) {
        assert_true(now() < end);
        line_turn(l, pg);
    }

    for (i = 0; i < BATCHES && tn_pg_get_state(pg) == TN_PG_READY; i++) {
        if (send_one(pg, stmts[i], &params[i], 1, &outcomes[i]) == TN_OK) {
            sent++;
        }
    }

    for (i = 0; i < sent; i++) {
        while (!tn_pg_next(pg, &tag, &reply, &retry)) {
            assert_true(tn_pg_get_state(pg) != TN_PG_DEAD && now() < end);
            line_turn(l, pg);
        }

        assert_ptr_equal(tag, &outcomes[i]);
        outcomes[i].reported++;
        outcomes[i].outcome = reply->outcome;
    }

    assert_false(tn_pg_next(pg, &tag, &reply, &retry));
    assert_int_equal(tn_pg_depth(pg), 0);
    alive = tn_pg_get_state(pg) == TN_PG_READY;
    tn_pg_free(pg);
    line_cut(l);

    return alive;
}


/* What was reported against what is in the table, asked directly. */
static void
compare(tn_pg *direct, int id, const outcome *outcomes)
{
    char text[16];
    tn_str param = { text, 0 };
    int i, there;

    for (i = 0; i < BATCHES; i += 2) {
        snprintf(text, sizeof(text), "%d", id + i / 2);
        param.n = strlen(text);
        there = cell(ask(direct, &has, &param), 0, 0)[0] == '1';

        assert_true(outcomes[i].reported <= 1);
        if (outcomes[i].reported == 0) {
            assert_false(there);
        } else if (outcomes[i].outcome == TN_DB_OK) {
            assert_true(there);
        } else {
            assert_int_equal(outcomes[i].outcome, TN_DB_UNKNOWN);
        }
    }

    if (outcomes[1].reported) {
        assert_true(outcomes[1].outcome == TN_DB_ERROR ||
                    outcomes[1].outcome == TN_DB_UNKNOWN);
    }
}


static void
all_went_well(const outcome *outcomes)
{
    assert_int_equal(outcomes[0].outcome, TN_DB_OK);
    assert_int_equal(outcomes[1].outcome, TN_DB_ERROR);
    assert_int_equal(outcomes[2].outcome, TN_DB_OK);
    assert_int_equal(
        outcomes[0].reported + outcomes[1].reported + outcomes[2].reported, 3);
}


static int
setup(void **state)
{
    static const tn_stmt make =
        STMT("make", "create table if not exists mark (id int primary key)", 0);
    static const tn_stmt clear = STMT("clear", "truncate mark", 0);
    tn_pg *pg = open_depth(1);

    must(pg, &make);
    must(pg, &clear);
    *state = pg;
    return 0;
}


static int
teardown(void **state)
{
    tn_pg_free(*state);
    return 0;
}


static void
one_byte_at_a_time(void **state)
{
    outcome outcomes[BATCHES];
    line l;

    line_open(&l, getenv("TENON_LINE_DIR"));
    l.chunk = 1;
    l.left[0] = l.left[1] = FOREVER;
    assert_true(converse(&l, 1, outcomes));
    all_went_well(outcomes);
    compare(*state, 1, outcomes);
    close(l.listener);
}


static void
cut_everywhere(tn_pg *direct, int direction, int id)
{
    outcome outcomes[BATCHES];
    size_t offset, total;
    unsigned unknown = 0, known = 0;
    line l;

    line_open(&l, getenv("TENON_LINE_DIR"));
    l.left[0] = l.left[1] = FOREVER;
    assert_true(converse(&l, id, outcomes));
    all_went_well(outcomes);
    total = l.seen[direction];

    for (offset = 0; offset < total; offset++) {
        id += 2;
        l.left[!direction] = FOREVER;
        l.left[direction] = offset;
        converse(&l, id, outcomes);
        compare(direct, id, outcomes);
        unknown += outcomes[2].reported && outcomes[2].outcome == TN_DB_UNKNOWN;
        known += outcomes[0].reported && outcomes[0].outcome == TN_DB_OK;
    }

    assert_true(unknown > 20);

    /* a question cut takes the earlier answers with it */
    assert_true(direction == TO_SERVER || known > 20);
    close(l.listener);
}


static void
answers_cut_at_every_byte(void **state)
{
    cut_everywhere(*state, TO_CLIENT, 100000);
}


static void
questions_cut_at_every_byte(void **state)
{
    cut_everywhere(*state, TO_SERVER, 200000);
}


int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_byte_at_a_time),
        cmocka_unit_test(answers_cut_at_every_byte),
        cmocka_unit_test(questions_cut_at_every_byte),
    };

    if (skipped()) {
        return 0;
    }

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("cut", tests, setup, teardown);
}
