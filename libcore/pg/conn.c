/*
 * conn.c: life of a connection: made, asked about, lost, freed. What happens
 * in between is in connect.c, send.c, receive.c and reply.c.
 */

#include "pg.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>


int
tn_pg_conninfo_valid(const char *conninfo)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);

    if (options == NULL) {
        return 0;
    }

    PQconninfoFree(options);

    return 1;
}


tn_err
tn_pg_new(tn_pg **out, const tn_pg_conf *conf)
{
    tn_pg *pg;

    *out = NULL;

    pg = calloc(1, sizeof(tn_pg));
    if (pg == NULL) {
        return TN_E_NOMEM;
    }

    if (tn__pg_table_init(&pg->table, conf->max_statements) != TN_OK) {
        free(pg);
        return TN_E_NOMEM;
    }

    pg->state = TN_PG_CONNECTING;
    pg->fd = -1;
    pg->prepare = conf->prepare;
    pg->nprepare = conf->unprepared ? 0 : conf->nprepare;
    pg->unprepared = conf->unprepared;
    pg->max_depth = conf->max_depth ? conf->max_depth : 1;
    pg->flight.tail = &pg->flight.head;
    pg->done.tail = &pg->done.head;

    tn__pg_connect_start(pg, conf->conninfo);

    *out = pg;
    return TN_OK;
}


void
tn_pg_free(tn_pg *pg)
{
    tn__pg_job *job;

    if (pg == NULL) {
        return;
    }

    tn__pg_lose(pg, "freed");
    tn__pg_release(pg);

    while ((job = tn__pg_pop(&pg->done)) != NULL) {
        tn__pg_job_free(job);
    }

    tn__pg_table_free(&pg->table);
    free(pg->scratch);
    free(pg->values);
    free(pg->rows);
    free(pg->cells);
    free(pg->text);
    free(pg);
}


tn_pg_state
tn_pg_get_state(const tn_pg *pg)
{
    return pg->state;
}


int
tn_pg_fd(const tn_pg *pg)
{
    return pg->fd;
}


unsigned
tn_pg_generation(const tn_pg *pg)
{
    return pg->generation;
}


unsigned
tn_pg_wants(const tn_pg *pg)
{
    return pg->wants;
}


unsigned
tn_pg_depth(const tn_pg *pg)
{
    return pg->depth;
}


unsigned
tn_pg_syncs(const tn_pg *pg)
{
    return pg->syncs;
}


tn_str
tn_pg_error(const tn_pg *pg)
{
    return (tn_str){ pg->error, pg->error_len };
}


tn_str
tn_pg_refusal(const tn_pg *pg)
{
    return (tn_str){ pg->refusal, pg->refusal_len };
}


int
tn_pg_more(const tn_pg *pg)
{
    return pg->more;
}


void
tn__pg_turn(tn_pg *pg, tn_pg_state state)
{
    /* a state is never gone back to: a connection that retires can die, one
     * that is dead stays so */

    if (state > pg->state) {
        pg->state = state;
    }
}


void
tn__pg_note(tn_pg *pg, const char *fmt, ...)
{
    va_list args;

    if (pg->error[0] != '\0') {
        return;
    }

    va_start(args, fmt);
    vsnprintf(pg->error, sizeof(pg->error), fmt, args);
    va_end(args);

    pg->error_len = strlen(pg->error);

    while (pg->error_len > 0 && pg->error[pg->error_len - 1] == '\n') {
        pg->error_len--;
    }
}


void
tn__pg_lose(tn_pg *pg, const char *text)
{
    unsigned i;
    tn__pg_job *job;
    tn__pg_cmd *cmd;

    if (pg->state == TN_PG_DEAD) {
        return;
    }

    if (text != NULL) {
        tn__pg_note(pg, "%s", text);
    }

    tn__pg_turn(pg, TN_PG_DEAD);

    while ((job = tn__pg_pop(&pg->flight)) != NULL) {

        for (i = job->at; i < job->ncmds; i++) {
            cmd = &job->cmds[i];
            if (cmd->verb == TN__PG_DEALLOCATE) {
                tn__pg_forget(&pg->table, cmd->stmt);
            }
        }

        if (job->internal) {
            tn__pg_job_free(job);
            continue;
        }

        job->outcome = TN_DB_UNKNOWN;
        tn__pg_push(&pg->done, job);
    }

    PQfinish(pg->conn);
    pg->conn = NULL;

    pg->fd = -1;
    pg->generation++;
    pg->wants = 0;
    pg->more = 0;
}


void
tn__pg_push(tn__pg_queue *queue, tn__pg_job *job)
{
    job->next = NULL;
    *queue->tail = job;
    queue->tail = &job->next;
}


tn__pg_job *
tn__pg_pop(tn__pg_queue *queue)
{
    tn__pg_job *job;

    job = queue->head;

    if (job != NULL) {
        queue->head = job->next;
        if (queue->head == NULL) {
            queue->tail = &queue->head;
        }
    }

    return job;
}


void
tn__pg_job_free(tn__pg_job *job)
{
    unsigned i;

    for (i = 0; i < job->nresults; i++) {
        PQclear(job->results[i]);
    }

    PQclear(job->error);
    free(job);
}
