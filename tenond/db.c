/*
 * db.c: connections to PostgreSQL as the loop turns them (pg.h), and batches
 * that wait for one. One batch at a time on each: a slow one holds up nobody
 * else. A connection is opened when a batch finds none that is free. The first
 * one is for control batches alone: they never wait for jobs.
 */

#include "tenond.h"
#include <string.h>

#define CONNECT_TIMEOUT 5000  /* ms */
#define ANSWER_TIMEOUT  40000 /* the server's statement_timeout is less */
#define BACKOFF_MIN     100
#define BACKOFF_MAX     5000
#define SAY_EVERY       60000
#define SENT_MOST       2 /* times, where no answer came */


void
td_db_init(td_db *db, const td_conf *conf)
{
    memset(db, 0, sizeof(td_db));
    db->conf = conf;
    db->tail = &db->head;
}


void
td_db_free(td_db *db)
{
    long i;

    for (i = 0; i <= db->conf->connections; i++) {
        if (db->conns[i].pg) {
            tn_pg_free(db->conns[i].pg);
            db->conns[i].pg = NULL;
        }
    }
}


void
td_db_submit(td_db *db, td_batch *b)
{
    b->next = NULL;
    b->sent = 0;
    *db->tail = b;
    db->tail = &b->next;
}


/* Before all others: it was their turn already. */
static void
submit_first(td_db *db, td_batch *b)
{
    b->next = db->head;
    db->head = b;

    if (b->next == NULL) {
        db->tail = &b->next;
    }
}


int
td_db_withdraw(td_db *db, td_batch *b)
{
    td_batch **at;

    for (at = &db->head; *at; at = &(*at)->next) {
        if (*at == b) {
            *at = b->next;

            if (*at == NULL) {
                db->tail = at;
            }

            return 1;
        }
    }

    return 0;
}


int
td_db_idle(const td_db *db)
{
    long i, idle;
    const td_batch *b;

    for (i = 1, idle = 0; i <= db->conf->connections; i++) {
        idle += db->conns[i].flight == NULL;
    }

    for (b = db->head; b; b = b->next) {
        idle -= !b->control;
    }

    return idle > 0;
}


static void
finish(td_batch *b, tn_db_outcome outcome)
{
    tn_reply reply;

    memset(&reply, 0, sizeof(reply));
    reply.outcome = outcome;
    b->done(b, &reply);
}


/* It may have been done. If it is what took the connection away, or the whole
 * server, sending it again and again would do so again and again. */
static void
unanswered(td_db *db, td_batch *b)
{
    if (b->again && b->sent < SENT_MOST && td_now() < b->deadline) {
        submit_first(db, b);
        return;
    }

    finish(b, TN_DB_UNKNOWN);
}


static void
conn_close(td_db *db, td_conn *conn)
{
    td_batch *b = conn->flight;

    tn_pg_free(conn->pg);
    conn->pg = NULL;
    conn->flight = NULL;
    conn->pfd = NULL;
    conn->timer = TD_NEVER;

    if (b) {
        unanswered(db, b);
    }
}


/* Said once a minute, until one works again. */
static void
conn_lost(td_db *db, td_conn *conn, const char *why)
{
    tn_str error = tn_pg_error(conn->pg);

    if (!db->away || td_now() >= db->say) {
        td_log(TD_ERROR, "database: %s%s%.*s", why, error.n ? ": " : "",
               (int) error.n, error.p ? error.p : "");
        db->away = 1;
        db->say = td_now() + SAY_EVERY;
    }

    /* All of them may be lost at once: that is one failure. */
    if (td_now() >= db->retry) {
        db->backoff = db->backoff == 0 ? BACKOFF_MIN : db->backoff * 2;

        if (db->backoff > BACKOFF_MAX) {
            db->backoff = BACKOFF_MAX;
        }

        db->retry = td_now() + td_jitter(db->backoff);
    }

    conn_close(db, conn);
}


static void
conn_open(td_db *db, td_conn *conn)
{
    tn_pg_conf conf;

    memset(&conf, 0, sizeof(conf));
    conf.conninfo = db->conf->database;
    conf.max_depth = 1;
    conf.unprepared = !db->conf->prepare;

    conn->timer = td_now() + CONNECT_TIMEOUT;

    if (tn_pg_new(&conn->pg, &conf) != TN_OK) {
        conn->pg = NULL;
        td_log(TD_ERROR, "out of memory");
        db->retry = td_now() + BACKOFF_MAX;
    }
}


/* Takes what has come in; what was sent and is not to be known goes again. */
static void
conn_drain(td_db *db, td_conn *conn)
{
    int retry;
    void *tag;
    td_batch *b;
    const tn_reply *reply;

    while (conn->pg && tn_pg_next(conn->pg, &tag, &reply, &retry)) {
        b = tag;
        conn->flight = NULL;
        conn->timer = TD_NEVER;

        if (retry && td_now() < b->deadline) {
            submit_first(db, b);

        } else if (reply->outcome == TN_DB_UNKNOWN) {
            unanswered(db, b);

        } else {
            b->done(b, reply);
        }
    }
}


/* The first that waits, of those that this connection is for. */
static td_batch *
waiting(const td_db *db, const td_conn *conn)
{
    td_batch *b;
    int control = (conn == &db->conns[0]);

    for (b = db->head; b && b->control != control; b = b->next) {
        /* for another */
    }

    return b;
}


static void
conn_send(td_db *db, td_conn *conn)
{
    tn_err err;
    td_batch *b;

    if (conn->flight) {
        return;
    }

    b = waiting(db, conn);

    if (b == NULL) {
        return;
    }

    err = tn_pg_send(conn->pg, b->batch, b);

    if (err == TN_OK) {
        (void) td_db_withdraw(db, b);
        conn->flight = b;
        b->sent++;
        conn->timer = td_now() + ANSWER_TIMEOUT;
        return;
    }

    if (err != TN_E_UNAVAILABLE && tn_pg_get_state(conn->pg) != TN_PG_DEAD) {
        /* not the connection's fault */
        (void) td_db_withdraw(db, b);
        finish(b, TN_DB_BUSY);
    }
}


static void
conn_turn(td_db *db, td_conn *conn)
{
    unsigned ready = 0;

    if (conn->pfd && conn->pfd->revents) {
        ready = (conn->pfd->revents & POLLIN ? TN_PG_READ : 0) |
                (conn->pfd->revents & POLLOUT ? TN_PG_WRITE : 0);

        if (conn->pfd->revents & (POLLERR | POLLHUP | POLLNVAL)) {
            ready |= tn_pg_wants(conn->pg);
        }
    }

    if (ready || tn_pg_more(conn->pg)) {
        tn_pg_io(conn->pg, ready);
    }

    conn->pfd = NULL;
    conn_drain(db, conn);

    switch (tn_pg_get_state(conn->pg)) {

    case TN_PG_READY:

        if (conn->flight == NULL && conn->timer != TD_NEVER) {
            conn->timer = TD_NEVER; /* it is connected */
            db->backoff = 0;

            if (db->away) {
                td_log(TD_NOTICE, "database: connected");
                db->away = 0;
            }
        }

        break;

    case TN_PG_RETIRING:

        if (tn_pg_depth(conn->pg) == 0) {
            conn_close(db, conn);
        }

        return;

    case TN_PG_CONNECTING:
    case TN_PG_PREPARING:
    case TN_PG_DEAD:
        break;
    }

    if (tn_pg_get_state(conn->pg) == TN_PG_DEAD) {
        conn_drain(db, conn);
        conn_lost(db, conn, "no connection");

    } else if (td_now() >= conn->timer) {
        conn_lost(db, conn,
                  conn->flight ? "no answer in time" : "no connection in time");
    }
}


/* One more of connections [from, to), where a batch waits for one of them and
 * none is free or about to be. */
static void
fill(td_db *db, long from, long to)
{
    long i;
    td_conn *room = NULL;

    if (td_now() < db->retry || waiting(db, &db->conns[from]) == NULL) {
        return;
    }

    for (i = from; i < to; i++) {
        if (db->conns[i].pg == NULL) {
            room = room ? room : &db->conns[i];

        } else if (db->conns[i].flight == NULL) {
            return;
        }
    }

    if (room) {
        conn_open(db, room);
    }
}


static void
expire(td_db *db)
{
    td_batch *b, *next;
    int64_t now = td_now();

    for (b = db->head; b; b = next) {
        next = b->next;

        if (now >= b->deadline) {
            (void) td_db_withdraw(db, b);
            finish(b, TN_DB_DOWN);
            next = db->head; /* `done` may have changed the queue */
        }
    }
}


/* What was submitted since the last turn goes out before anybody waits. */
static void
pump(td_db *db)
{
    long i;
    td_conn *conn;

    expire(db);

    for (i = 0; i <= db->conf->connections && db->head; i++) {
        conn = &db->conns[i];

        if (conn->pg && tn_pg_get_state(conn->pg) == TN_PG_READY) {
            conn_send(db, conn);
        }
    }

    fill(db, 0, 1);
    fill(db, 1, db->conf->connections + 1);
}


unsigned
td_db_fds(td_db *db, struct pollfd *fds)
{
    long i;
    unsigned n, wants;
    td_conn *conn;

    pump(db);

    for (i = 0, n = 0; i <= db->conf->connections; i++) {
        conn = &db->conns[i];
        conn->pfd = NULL;

        if (conn->pg == NULL || tn_pg_fd(conn->pg) < 0) {
            continue;
        }

        wants = tn_pg_wants(conn->pg);
        conn->pfd = &fds[n++];
        conn->pfd->fd = tn_pg_fd(conn->pg);
        conn->pfd->events = (short) ((wants & TN_PG_READ ? POLLIN : 0) |
                                     (wants & TN_PG_WRITE ? POLLOUT : 0));
        conn->pfd->revents = 0;
    }

    return n;
}


int64_t
td_db_timer(const td_db *db)
{
    long i;
    int64_t timer = TD_NEVER;
    const td_batch *b;
    const td_conn *conn;

    for (i = 0; i <= db->conf->connections; i++) {
        conn = &db->conns[i];

        if (conn->pg == NULL) {
            continue;
        }

        if (tn_pg_more(conn->pg) || tn_pg_fd(conn->pg) < 0) {
            return 0;
        }

        timer = conn->timer < timer ? conn->timer : timer;
    }

    for (b = db->head; b; b = b->next) {
        timer = b->deadline < timer ? b->deadline : timer;
    }

    if (db->head && td_now() < db->retry && db->retry < timer) {
        timer = db->retry;
    }

    return timer;
}


void
td_db_turn(td_db *db)
{
    long i;

    for (i = 0; i <= db->conf->connections; i++) {
        if (db->conns[i].pg) {
            conn_turn(db, &db->conns[i]);
        }
    }
}
