/*
 * send.c: a batch on its way out:
 *
 *     DEALLOCATE …   names that must go
 *     Parse …        names that the server hasn't got
 *     Bind, Execute  each statement
 *     Sync
 *
 * An unprepared connection sends Parse (of no name), Bind and Execute for each
 * statement and keeps no names. Else Parse comes before everything that can fail for its data, so that a
 * violated constraint here never takes a name away from a batch behind, which
 * was sent in the belief that the name would be there.
 *
 * All memory is had before the first command is handed to libpq: what is
 * queued there can't be taken back.
 */

#include "pg.h"

#include <stdlib.h>

#define PARAMS_MAX 65535 /* the protocol's */


tn__pg_job *
tn__pg_job_new(unsigned n, unsigned ncmds)
{
    char *p;
    size_t results, cmds, size;
    tn__pg_job *job;

    results = n * sizeof(PGresult *);
    cmds = ncmds * sizeof(tn__pg_cmd);

    size = sizeof(tn__pg_job) + results + cmds;

    /* one for each batch: calloc() looks farther than malloc() for its room */
    p = malloc(size);
    if (p == NULL) {
        return NULL;
    }

    memset(p, 0, size);

    job = (tn__pg_job *) p;
    job->results = (PGresult **) (p + sizeof(tn__pg_job));
    job->cmds = (tn__pg_cmd *) (p + sizeof(tn__pg_job) + results);
    job->n = n;

    return job;
}


tn_err
tn__pg_reserve(tn_pg *pg, size_t size)
{
    char *p;
    size_t cap;

    if (size <= pg->scratch_size) {
        return TN_OK;
    }

    for (cap = 1024; cap < size; cap *= 2) {
    }

    p = realloc(pg->scratch, cap);
    if (p == NULL) {
        return TN_E_NOMEM;
    }

    pg->scratch = p;
    pg->scratch_size = cap;

    return TN_OK;
}


/* Copies s with a NUL to *at and moves *at behind it. */
static const char *
terminate(char **at, tn_str s)
{
    char *p = *at;

    if (s.n > 0) {
        memcpy(p, s.p, s.n);
    }

    p[s.n] = '\0';
    *at += s.n + 1;

    return p;
}


int
tn__pg_parse(tn_pg *pg, const tn_stmt *stmt)
{
    char *at = pg->scratch;
    const char *name, *sql;

    name = terminate(&at, stmt->name);
    sql = terminate(&at, stmt->sql);

    return PQsendPrepare(pg->conn, name, sql, 0, NULL);
}


static int
binary(const tn_pg *pg, const tn_stmt *stmt)
{
    return stmt->binary && !pg->text_only;
}


static int
execute(tn_pg *pg, const tn_query *query)
{
    char *at = pg->scratch;
    unsigned i;
    const char *text;
    const tn_stmt *stmt = query->stmt;

    text = terminate(&at, pg->unprepared ? stmt->sql : stmt->name);

    for (i = 0; i < stmt->nparams; i++) {
        pg->values[i] =
            query->params[i].p ? terminate(&at, query->params[i]) : NULL;
    }

    if (pg->unprepared) {
        return PQsendQueryParams(pg->conn, text, (int) stmt->nparams, NULL,
                                 pg->values, NULL, NULL, binary(pg, stmt));
    }

    return PQsendQueryPrepared(pg->conn, text, (int) stmt->nparams, pg->values,
                               NULL, NULL, binary(pg, stmt));
}


static int
deallocate(tn_pg *pg, const tn__pg_stmt *stmt)
{
    char sql[sizeof("DEALLOCATE \"\"") + 2 * TN__PG_NAME_MAX];
    char *p = sql;
    const char *s;

    memcpy(p, "DEALLOCATE \"", sizeof("DEALLOCATE \"") - 1);
    p += sizeof("DEALLOCATE \"") - 1;

    for (s = stmt->name; *s; s++) {
        if (*s == '"') {
            *p++ = '"';
        }
        *p++ = *s;
    }

    *p++ = '"';
    *p = '\0';

    return PQsendQueryParams(pg->conn, sql, 0, NULL, NULL, NULL, NULL, 0);
}


static int
has_nul(tn_str s)
{
    return s.n > 0 && memchr(s.p, '\0', s.n) != NULL;
}


int
tn__pg_sendable(const tn_stmt *stmt)
{
    return stmt->name.n > 0 && stmt->name.n <= TN__PG_NAME_MAX &&
           stmt->nparams <= PARAMS_MAX && !has_nul(stmt->name) &&
           !has_nul(stmt->sql);
}


/* Room for one statement's strings; TN_E_INTERNAL for what can't be sent: a
 * NUL would silently cut a parameter short. */
static tn_err
measure(size_t *size, const tn_query *query)
{
    unsigned i;
    size_t params;
    const tn_stmt *stmt = query->stmt;

    if (!tn__pg_sendable(stmt)) {
        return TN_E_INTERNAL;
    }

    params = 0;

    for (i = 0; i < stmt->nparams; i++) {
        if (query->params[i].p == NULL) {
            continue;
        }

        if (has_nul(query->params[i])) {
            return TN_E_INTERNAL;
        }

        params += query->params[i].n + 1;
    }

    /* name and text for a Parse, one of them and the parameters else */

    *size = stmt->name.n + 1 + stmt->sql.n + 1 + params;

    return TN_OK;
}


static tn_err
make_room(tn_pg *pg, const tn_batch *batch)
{
    tn_err err;
    size_t size, most;
    unsigned i, nvalues;
    const char **values;

    most = 0;
    nvalues = 1;

    for (i = 0; i < batch->n; i++) {
        err = measure(&size, &batch->queries[i]);
        if (err != TN_OK) {
            return err;
        }

        if (size > most) {
            most = size;
        }

        if (batch->queries[i].stmt->nparams > nvalues) {
            nvalues = batch->queries[i].stmt->nparams;
        }
    }

    if (nvalues > pg->nvalues) {
        values = realloc(pg->values, nvalues * sizeof(char *));
        if (values == NULL) {
            return TN_E_NOMEM;
        }

        pg->values = values;
        pg->nvalues = nvalues;
    }

    return tn__pg_reserve(pg, most);
}


static tn__pg_cmd *
add_cmd(tn__pg_job *job, tn__pg_verb verb)
{
    tn__pg_cmd *cmd;

    cmd = &job->cmds[job->ncmds++];
    cmd->verb = verb;

    return cmd;
}


/* The names of a plan that is given up go back to what they were. */
static void
undo(tn_pg *pg, tn__pg_job *job)
{
    unsigned i;
    tn__pg_cmd *cmd;

    /* new names first, so that none is in an old one's way */

    for (i = job->ncmds; i-- > 0; /* void */) {
        cmd = &job->cmds[i];

        if (cmd->verb == TN__PG_PARSE) {
            tn__pg_forget(&pg->table, cmd->stmt);
        } else if (cmd->verb == TN__PG_DEALLOCATE) {
            tn__pg_restore(&pg->table, cmd->stmt);
        }
    }

    tn__pg_job_free(job);
}


/*
 * The commands of a batch, in the order of the top comment. Each new name may
 * push out two: so a table that had to grow over its size, for all its names
 * were pending, shrinks again, and no batch pays for many.
 */
static tn_err
plan(tn__pg_job **out, tn_pg *pg, const tn_batch *batch)
{
    unsigned i, missing;
    tn__pg_job *job;
    tn__pg_cmd *cmd;
    tn__pg_stmt *stmt;
    const tn_stmt *wanted;

    missing = 0;

    for (i = 0; i < batch->n && !pg->unprepared; i++) {
        stmt = tn__pg_find(&pg->table, batch->queries[i].stmt->name);
        if (stmt == NULL) {
            missing++;
        } else {
            tn__pg_touch(&pg->table, stmt, pg->sends);
        }
    }

    job = tn__pg_job_new(batch->n, batch->n + 3 * missing);
    if (job == NULL) {
        return TN_E_NOMEM;
    }

    for (i = 0; i < 2 * missing; i++) {
        stmt = tn__pg_evict(&pg->table, missing, pg->sends);
        if (stmt == NULL) {
            break;
        }
        add_cmd(job, TN__PG_DEALLOCATE)->stmt = stmt;
    }

    for (i = 0; i < batch->n && missing > 0; i++) {
        wanted = batch->queries[i].stmt;

        if (tn__pg_find(&pg->table, wanted->name) != NULL) {
            continue;
        }

        stmt = tn__pg_add(&pg->table, wanted->name);
        if (stmt == NULL) {
            undo(pg, job);
            return TN_E_NOMEM;
        }

        stmt->used = pg->sends;
        cmd = add_cmd(job, TN__PG_PARSE);
        cmd->stmt = stmt;
        cmd->query = i;
    }

    for (i = 0; i < batch->n; i++) {
        add_cmd(job, TN__PG_EXECUTE)->query = i;
    }

    *out = job;
    return TN_OK;
}


static int
submit(tn_pg *pg, const tn__pg_cmd *cmd, const tn_batch *batch)
{
    switch (cmd->verb) {

    case TN__PG_DEALLOCATE:
        return deallocate(pg, cmd->stmt);

    case TN__PG_PARSE:
        return tn__pg_parse(pg, batch->queries[cmd->query].stmt);

    default:
        return execute(pg, &batch->queries[cmd->query]);
    }
}


void
tn__pg_sync(tn_pg *pg, tn__pg_job *job)
{
    tn__pg_push(&pg->flight, job);

    pg->syncs++;

    if (!PQpipelineSync(pg->conn) || !tn__pg_flush(pg)) {
        tn__pg_end(pg);
        return;
    }

    /* a send that would block makes libpq read: what came in so makes no
     * descriptor readable any more */

    if (!PQisBusy(pg->conn)) {
        pg->more = 1;
    }
}


tn_err
tn_pg_send(tn_pg *pg, const tn_batch *batch, void *tag)
{
    tn_err err;
    unsigned i;
    tn__pg_job *job;

    if (pg->state != TN_PG_READY) {
        return TN_E_UNAVAILABLE;
    }

    if (pg->depth >= pg->max_depth) {
        return TN_E_BUSY;
    }

    err = make_room(pg, batch);
    if (err != TN_OK) {
        return err;
    }

    pg->sends++;

    err = plan(&job, pg, batch);
    if (err != TN_OK) {
        return err;
    }

    job->tag = tag;
    job->reads = !batch->writes;

    for (i = 0; i < job->ncmds; i++) {
        if (!submit(pg, &job->cmds[i], batch)) {

            /* without its Sync nothing of it can be committed */

            undo(pg, job);
            tn__pg_lose(pg, PQerrorMessage(pg->conn));
            return TN_E_UNAVAILABLE;
        }
    }

    pg->depth++;
    tn__pg_sync(pg, job);

    return TN_OK;
}
