/*
 * host_db.h: the database of the test host: a directory of tenants and
 * sessions, canned rows for what steps ask, and what holds for every batch.
 */

#ifndef TENON_HOST_DB_H
#define TENON_HOST_DB_H

#include "gen/queries.h"
#include "t/00unit/host_parts.h"


static inline void *
host_alloc(host *h, size_t n)
{
    void *p;
    size_t fail_at = h->arena.fail_at, calls = h->arena.calls;

    /* what the host takes is no call of the library's */
    h->arena.fail_at = 0;
    p = h->arena.mem.alloc(&h->arena, n);
    h->arena.fail_at = fail_at;
    h->arena.calls = calls;

    return p;
}


static inline int
host_has(tn_str s, const char *part)
{
    return memmem(s.p, s.n, part, strlen(part)) != NULL;
}


static inline void
host_cells(host *h, tn_rows *out, const host_rows *rows)
{
    unsigned i;
    tn_str *cells;

    assert_true(rows->ncols == 0 || rows->ncells % rows->ncols == 0);
    cells = host_alloc(h, (rows->ncells + 1) * sizeof(tn_str));

    for (i = 0; i < rows->ncells; i++) {
        cells[i] = rows->cells[i] ? unit_str(rows->cells[i]) : TN_NULL;
    }

    out->cells = cells;
    out->ncols = rows->ncols;
    out->nrows = rows->ncols ? rows->ncells / rows->ncols : 0;
}


static inline int
host_is(tn_str s, const char *want)
{
    return want && s.p && s.n == strlen(want) && memcmp(s.p, want, s.n) == 0;
}


/* find_subject: by an identity, else by a verified address; else nobody of
 * acme's, where that is named. */
static inline void
host_find_subject(host *h, const tn_query *query, tn_rows *out)
{
    const host_subject *s;
    const char *cells[7] = { NULL };

    for (s = h->subjects; s->issuer; s++) {
        if (host_is(query->params[0], s->issuer) &&
            host_is(query->params[1], s->subject) &&
            host_is(query->params[2], s->tenant) &&
            (s->id || host_is(query->params[3], s->email))) {
            cells[5] = s->user;
            cells[6] = s->id;
            break;
        }
    }

    if (cells[5] || host_is(query->params[2], "acme") ||
        host_is(query->params[2], ACME)) {
        cells[0] = ACME;
        cells[1] = REALM;
        cells[2] = cells[3] = "acme";
        cells[4] = "active";
    }

    host_cells(h, out, &(host_rows){ 7, cells[0] ? 7 : 0, cells });
}


#define HOST_MONTH (30 * INT64_C(86400000000))

/* find_plan: the test's columns, and behind them the month that it is. */
static inline void
host_find_plan(host *h, tn_rows *out)
{
    unsigned row, col, ncols = h->plan.ncols;
    const char **cells;
    char *month[2];

    if (ncols == 0) {
        host_cells(h, out, &h->plan);
        return;
    }

    cells = host_alloc(h, (h->plan.ncells / ncols) * (ncols + 2) *
                              sizeof(const char *));

    for (col = 0; col < 2; col++) {
        month[col] = host_alloc(h, 24);
        snprintf(month[col], 24, "%lld",
                 (long long) (h->now - h->now % HOST_MONTH + col * HOST_MONTH));
    }

    for (row = 0; row < h->plan.ncells / ncols; row++) {
        for (col = 0; col < ncols + 2; col++) {
            cells[row * (ncols + 2) + col] =
                col < ncols ? h->plan.cells[row * ncols + col]
                            : month[col - ncols];
        }
    }

    host_cells(h, out, &(host_rows){ ncols + 2, row * (ncols + 2), cells });
}


/* find_usage: a row for each meter. */
static inline void
host_find_usage(host *h, const tn_query *query, tn_rows *out)
{
    size_t i;
    unsigned n = 1;
    const char *cells[TN_METERS_MAX];

    for (i = 0; i < query->params[0].n; i++) {
        n += query->params[0].p[i] == ',';
    }

    assert_in_range(n, 1, TN_METERS_MAX);

    for (i = 0; i < n; i++) {
        cells[i] = h->used ? h->used : "0";
    }

    host_cells(h, out, &(host_rows){ 1, n, cells });
}


/* What the definer functions of the directory answer. */
static inline void
host_lookup(host *h, const tn_query *query, tn_rows *out)
{
    unsigned i;
    const host_session *s;
    const char *id, *slug;
    static const char *const tenants[][2] = { { ACME, "acme" },
                                              { UMBRELLA, "umbrella" },
                                              { SLEEPY, "sleepy" } };
    int key = host_has(query->stmt->sql, "find_api_key("), cookie;
    unsigned columns = key ? 13 : 11;
    const char *cells[13] = { NULL };

    id = slug = NULL;

    if (host_has(query->stmt->sql, "find_subject(")) {
        host_find_subject(h, query, out);
        return;
    }

    if (host_has(query->stmt->sql, "find_plan(")) {
        host_find_plan(h, out);
        return;
    }

    cookie = host_has(query->stmt->sql, "find_cookie(");

    if (key || cookie || host_has(query->stmt->sql, "find_session(") ||
        host_has(query->stmt->sql, "find_identity(")) {
        for (s = h->sessions; s->id; s++) {
            if ((s->scopes != NULL) == key &&
                (s->hash == NULL ||
                 tn__eq(query->params[2], unit_str(s->hash))) &&
                (!cookie ||
                 tn__eq(query->params[2],
                        unit_str(s->generation ? s->generation : "0"))) &&
                memcmp(query->params[0].p, s->tenant, 36) == 0 &&
                memcmp(query->params[1].p, s->id, 36) == 0) {
                id = s->tenant;
                cells[5] = s->user;
                cells[6] = s->role;
                cells[7] = s->roles;
                cells[8] = s->accounts;
                cells[9] = s->generation ? s->generation : "0";
                cells[10] = s->impersonator;
                cells[11] = s->scopes;
                cells[12] = s->ttl_ms;
            }
        }
    }

    for (i = 0; i < 3; i++) {
        slug = tenants[i][1];

        if (id ? strcmp(id, tenants[i][0]) == 0
               : (host_has(query->stmt->sql, "find_tenant(") &&
                  query->params[0].n == strlen(slug) &&
                  memcmp(query->params[0].p, slug, strlen(slug)) == 0) ||
                     (host_has(query->stmt->sql, "find_tenant_by_id(") &&
                      strncasecmp(query->params[0].p, tenants[i][0], 36) ==
                          0) ||
                     (host_has(query->stmt->sql, "find_tenant_by_domain(") &&
                      h->domains[i] &&
                      tn__eq(query->params[0], unit_str(h->domains[i])))) {
            cells[0] = tenants[i][0];
            cells[1] = REALM;
            cells[2] = cells[3] = slug;
            cells[4] = i == 2 && !h->sleepy_active ? "suspended" : "active";
        }
    }

    host_cells(h, out,
               &(host_rows){ cells[5] ? columns : 5,
                             cells[0] == NULL ? 0
                             : cells[5]       ? columns
                                              : 5,
                             cells });
}


static inline const tn_str *
host_params(host *h, const tn_query *query)
{
    unsigned i;
    tn_str *params;

    params = host_alloc(h, (query->stmt->nparams + 1) * sizeof(tn_str));

    for (i = 0; i < query->stmt->nparams; i++) {
        params[i] = query->params[i];

        if (params[i].p) {
            params[i].p = memcpy(host_alloc(h, params[i].n + 1), params[i].p,
                                 params[i].n);
        }

        /* PostgreSQL's text format ends at a NUL */
        assert_true(params[i].p == NULL ||
                    memchr(params[i].p, 0, params[i].n) == NULL);
    }

    return params;
}


static inline void
host_keep(host *h, const tn_batch *batch)
{
    const tn_query *last = &batch->queries[batch->n - 1];

    h->slow = batch->slow;
    h->sql = last->stmt->sql;
    h->params = host_params(h, last);
    h->nparams = last->stmt->nparams;
    h->context = batch->queries[0].stmt->sql;
    h->context_params = host_params(h, &batch->queries[0]);
    h->context_nparams = batch->queries[0].stmt->nparams;
    h->before = batch->n > 2 ? batch->queries[batch->n - 2].stmt->sql : TN_NULL;
}


/* The event of a refusal: written down, or not as the test has it. */
static inline const tn_reply *
host_event(host *h, const tn_batch *batch)
{
    tn_rows *rows;
    tn_reply *reply;
    const tn_str *params;

    assert_int_equal(batch->n, 2);
    assert_true(batch->writes);

    params = host_params(h, &batch->queries[0]);
    h->refused.n++;
    h->refused.tenant = params[0];
    h->refused.actor = params[2];

    params = host_params(h, &batch->queries[1]);
    h->refused.id = params[0];
    h->refused.action = params[1];
    h->refused.resource = params[2];
    h->refused.resource_id = params[3];
    h->refused.metadata = params[4];

    rows = host_alloc(h, 2 * sizeof(tn_rows));
    memset(rows, 0, 2 * sizeof(tn_rows));
    reply = host_alloc(h, sizeof(tn_reply));
    memset(reply, 0, sizeof(tn_reply));
    reply->outcome = h->unlogged;

    if (h->unlogged == TN_DB_OK) {
        reply->rows = rows;
        reply->n = 2;
    }

    return reply;
}


static inline const tn_reply *
host_batch(host *h, const tn_batch *batch, const host_reply **replies,
           unsigned *nreplies, char *letter)
{
    unsigned i, k;
    tn_rows *rows;
    tn_reply *reply;
    const host_reply *canned;
    const tn_query *first = &batch->queries[0];

    assert_true(batch->n > 0);

    /* the server would refuse anything else, with a 500 for the client */
    for (i = 0; i < batch->n; i++) {
        for (k = 0; k < batch->queries[i].stmt->nparams; k++) {
            assert_true(batch->queries[i].params[k].p == NULL ||
                        tn__utf8_valid(batch->queries[i].params[k]));
        }
    }

    if (batch->queries[batch->n - 1].stmt == &tn__q_refused.stmt) {
        *letter = 'r';
        return host_event(h, batch);
    }

    reply = host_alloc(h, sizeof(tn_reply));
    rows = host_alloc(h, batch->n * sizeof(tn_rows));
    memset(reply, 0, sizeof(tn_reply));
    reply->rows = rows;
    reply->n = batch->n;

    if (host_has(first->stmt->sql, "tenon.find_")) {
        *letter = 'd';
        assert_false(batch->writes);

        for (i = 0; i < batch->n; i++) {
            host_lookup(h, &batch->queries[i], &rows[i]);
        }

        if (*nreplies == 0 || !(*replies)->lookup) {
            return reply;
        }
    }

    if (batch->queries[batch->n - 1].stmt == &tn__q_find_usage.stmt) {
        *letter = 'u';
        assert_int_equal(batch->n, 2);
        assert_false(batch->writes);
        rows[0] = (tn_rows){ 0, 0, NULL };
        host_find_usage(h, &batch->queries[1], &rows[1]);

        if (*nreplies == 0 || !(*replies)->lookup) {
            return reply;
        }
    }

    if (*letter != 'd' && *letter != 'u') {
        *letter = batch->writes ? 'W' : 'D';
        host_keep(h, batch);
    }

    if (*nreplies == 0) {
        fail_msg("no reply for: %.*s", (int) h->sql.n, h->sql.p);
    }

    canned = (*replies)++;
    (*nreplies)--;
    reply->outcome = canned->outcome;

    if (canned->outcome != TN_DB_OK) {
        reply->n = 0;
        reply->rows = NULL;
        strncpy(reply->sqlstate, canned->sqlstate ? canned->sqlstate : "", 5);
        reply->constraint =
            canned->constraint ? unit_str(canned->constraint) : TN_NULL;
        reply->column = canned->column ? unit_str(canned->column) : TN_NULL;
        reply->message = canned->message ? unit_str(canned->message) : TN_NULL;
        reply->nested = canned->nested != 0;
        return reply;
    }

    i = 0;

    if (host_has(first->stmt->sql, "set_config('tenon.tenant'")) {
        /* of what reads, only an app's function may ask who asks */
        assert_int_equal(host_has(first->stmt->sql, "tenon.actor"),
                         batch->writes ||
                             first->stmt == &tn__q_context_actor.stmt);
        rows[i++] = (tn_rows){ 0, 0, NULL };
    }

    if (i < batch->n && batch->queries[i].stmt == &tn__q_cause.stmt) {
        assert_true(batch->writes);
        rows[i++] = (tn_rows){ 0, 0, NULL };
    }

    for (k = 0; i < batch->n; i++, k++) {
        host_cells(h, &rows[i], &canned->rows[k]);
    }

    return reply;
}


/* Every statement but the directory's runs in a tenant's context. */
static inline void
host_context(const tn_batch *batch, const tn_facts *facts)
{
    const tn_query *first = &batch->queries[0];

    if (host_has(first->stmt->sql, "tenon.find_") ||
        host_has(first->stmt->sql, "tenon.migration")) {
        return;
    }

    assert_true(host_has(first->stmt->sql,
                         "select set_config('tenon.tenant', $1::text, true)"));
    assert_int_equal(first->params[0].n, 36);

    /* a stranger's refusal is told to its own tenant, not to the host:
     * h.refused tells to which */
    if (batch->queries[batch->n - 1].stmt == &tn__q_refused.stmt) {
        assert_true(tn__eq(first->params[3], facts->request_id));
        return;
    }

    /* an identity is linked before its user is anybody to the host */
    if (batch->queries[batch->n - 1].stmt == &tn__q_link_identity.stmt) {
        assert_int_equal(first->params[2].n, 36);
        return;
    }

    /* known to the host at last when it was asked to admit */
    if (facts->tenant_id.p) {
        assert_memory_equal(first->params[0].p, facts->tenant_id.p, 36);
    }

    /* who writes, under which request: triggers and functions read it */
    if (batch->writes) {
        assert_true(tn__eq(first->params[2], facts->user_id));
        assert_true(tn__eq(first->params[3], facts->request_id));
    }
}

#endif
