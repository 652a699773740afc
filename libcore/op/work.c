/*
 * work.c: the kinds of work there are; jobs planned, claimed, given back.
 */

#include "libcore/op/op.h"
#include "libcore/job/job.h"
#include "libcore/stripe/stripe.h"
#include "gen/queries.h"

#include <sodium.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const tn__work_kind *const kinds[] = {
    &tn__purge_kind,        &tn__stripe_event_kind,
    &tn__checkout_kind,     &tn__portal_kind,
    &tn__roll_up_kind,      &tn__stripe_subscription_kind,
    &tn__entitlements_kind, &tn__cancel_kind,
};

/* What job_claim answers. */
enum {
    TENANT_ID,
    ID,
    KIND,
    VERSION,
    ATTEMPTS,
    INPUT,
    COLUMNS,
};


const tn_batch *
tn_work_schema_batch(void)
{
    static const tn_query query = { &tn__q_ready.stmt, NULL };
    static const tn_batch batch = { .queries = &query, .n = 1 };

    return &batch;
}


unsigned
tn_work_schema(const tn_reply *reply)
{
    int64_t version;

    if (reply->outcome != TN_DB_OK || reply->n != 1 ||
        !tn__int_parse(&version, tn__work_cell(&reply->rows[0], 0, 0)) ||
        version < 0 || version > UINT32_MAX) {
        return 0;
    }

    return (unsigned) version;
}


/* A batch of n statements, with room for their parameters: nparams each. */
static tn_query *
batch_new(tn_batch **batch, unsigned n, unsigned nparams, tn_mem *mem)
{
    unsigned i;
    tn_str *params;
    tn_query *queries;

    *batch = tn__zalloc(mem, sizeof(tn_batch));
    queries = tn__zalloc(mem, (n + 1) * sizeof(tn_query));
    params = tn__zalloc(mem, ((size_t) n * nparams + 1) * sizeof(tn_str));

    if (*batch == NULL || queries == NULL || params == NULL) {
        return NULL;
    }

    for (i = 0; i < n; i++) {
        queries[i].params = params + (size_t) i * nparams;
    }

    (*batch)->queries = queries;
    (*batch)->n = n;
    (*batch)->writes = 1;

    return queries;
}


static tn_err
int_text(tn_str *out, int64_t value, tn_mem *mem)
{
    tn__buf buf;

    tn__buf_init(&buf, mem, 24);
    tn__buf_int(&buf, value);

    return tn__buf_str(out, &buf);
}


/* A statement's parameter by its name. */
static void
set(tn_query *query, const tn__bound *bound, tn_str name, tn_str value)
{
    unsigned i;

    for (i = 0; i < bound->stmt.nparams; i++) {
        if (tn__eq(bound->binds[i].name, name)) {
            ((tn_str *) query->params)[i] = value;
        }
    }
}


tn_err
tn_work_plan(const tn_batch **out, tn_mem *mem)
{
    unsigned i, n;
    tn_str every;
    tn_batch *batch;
    tn_query *queries;
    const tn__bound *bound = &tn__q_job_plan;

    *out = NULL;

    queries = batch_new(&batch, COUNT(kinds), bound->stmt.nparams, mem);
    if (queries == NULL) {
        return TN_E_NOMEM;
    }

    for (i = 0, n = 0; i < COUNT(kinds); i++) {

        if (kinds[i]->every == 0) {
            continue;
        }

        if (int_text(&every, kinds[i]->every, mem) != TN_OK) {
            return TN_E_NOMEM;
        }

        queries[n].stmt = &bound->stmt;
        set(&queries[n], bound, TN_STR("kind"), kinds[i]->kind);
        set(&queries[n++], bound, TN_STR("every"), every);
    }

    batch->n = n;
    *out = batch;

    return TN_OK;
}


/* As PostgreSQL writes an array; kinds, ids and numbers need no quotes. */
static tn_err
array_text(tn_str *out, const tn_str *items, unsigned n, tn_mem *mem)
{
    unsigned i;
    tn__buf buf;

    tn__buf_init(&buf, mem, 64);
    tn__buf_char(&buf, '{');

    for (i = 0; i < n; i++) {
        if (i) {
            tn__buf_char(&buf, ',');
        }
        tn__buf_add(&buf, items[i]);
    }

    tn__buf_char(&buf, '}');

    return tn__buf_str(out, &buf);
}


tn_err
tn_work_claim(const tn_batch **out, unsigned n, tn_mem *mem)
{
    unsigned i;
    tn_str names[COUNT(kinds)], list, most, lease;
    tn_batch *batch;
    tn_query *query;
    const tn__bound *bound = &tn__q_job_claim;

    *out = NULL;

    for (i = 0; i < COUNT(kinds); i++) {
        names[i] = kinds[i]->kind;
    }

    query = batch_new(&batch, 1, bound->stmt.nparams, mem);

    if (query == NULL || array_text(&list, names, COUNT(kinds), mem) != TN_OK ||
        int_text(&most, n < TN_WORK_CLAIM_MAX ? n : TN_WORK_CLAIM_MAX, mem) !=
            TN_OK ||
        int_text(&lease, TN_WORK_LEASE, mem) != TN_OK) {
        return TN_E_NOMEM;
    }

    query->stmt = &bound->stmt;
    set(query, bound, TN_STR("kinds"), list);
    set(query, bound, TN_STR("n"), most);
    set(query, bound, TN_STR("lease"), lease);
    *out = batch;

    return TN_OK;
}


unsigned
tn_work_claimed(const tn_reply *reply)
{
    if (reply->outcome != TN_DB_OK || reply->n != 1 ||
        reply->rows[0].ncols != COLUMNS) {
        return 0;
    }

    return reply->rows[0].nrows;
}


static const tn__work_kind *
kind_find(tn_str name)
{
    unsigned i;

    for (i = 0; i < COUNT(kinds); i++) {
        if (tn__eq(kinds[i]->kind, name)) {
            return kinds[i];
        }
    }

    return NULL;
}


tn_err
tn_work_new(tn_work **out, const tn_reply *reply, unsigned i,
            const tn_work_conf *conf, int64_t now,
            const unsigned char entropy[32], tn_mem *mem)
{
    tn_work *work;
    const tn_rows *rows;

    *out = NULL;

    if (i >= tn_work_claimed(reply)) {
        return TN_E_INTERNAL;
    }

    work = tn__zalloc(mem, sizeof(tn_work));
    if (work == NULL) {
        return TN_E_NOMEM;
    }

    rows = &reply->rows[0];
    work->mem = mem;
    work->conf = conf;
    work->now = now;
    tn__rng_init(&work->rng, entropy);
    work->kind = kind_find(tn__work_cell(rows, i, KIND));

    if (work->kind == NULL ||
        !tn__int_parse(&work->tale.attempt, tn__work_cell(rows, i, ATTEMPTS))) {
        return TN_E_INTERNAL;
    }

    work->tale.kind = work->kind->kind;

    if (tn__dup(&work->tale.tenant_id, tn__work_cell(rows, i, TENANT_ID),
                mem) != TN_OK ||
        tn__dup(&work->tale.id, tn__work_cell(rows, i, ID), mem) != TN_OK ||
        tn__dup(&work->version, tn__work_cell(rows, i, VERSION), mem) !=
            TN_OK ||
        tn__dup(&work->input, tn__work_cell(rows, i, INPUT), mem) != TN_OK) {
        return TN_E_NOMEM;
    }

    tn__work_local(work, TN_STR("version"), work->version);
    *out = work;

    return TN_OK;
}


tn_err
tn_work_release(const tn_batch **out, tn_work *const *works, unsigned n,
                tn_mem *mem)
{
    unsigned i;
    tn_str *column, tenants, ids, versions;
    tn_batch *batch;
    tn_query *query;
    const tn__bound *bound = &tn__q_job_release;

    *out = NULL;

    column = tn__alloc(mem, (n + 1) * 3 * sizeof(tn_str));
    query = batch_new(&batch, 1, bound->stmt.nparams, mem);

    if (column == NULL || query == NULL) {
        return TN_E_NOMEM;
    }

    for (i = 0; i < n; i++) {
        column[i] = works[i]->tale.tenant_id;
        column[n + i] = works[i]->tale.id;
        column[2 * n + i] = works[i]->version;
    }

    if (array_text(&tenants, column, n, mem) != TN_OK ||
        array_text(&ids, column + n, n, mem) != TN_OK ||
        array_text(&versions, column + 2 * n, n, mem) != TN_OK) {
        return TN_E_NOMEM;
    }

    query->stmt = &bound->stmt;
    set(query, bound, TN_STR("tenants"), tenants);
    set(query, bound, TN_STR("ids"), ids);
    set(query, bound, TN_STR("versions"), versions);
    *out = batch;

    return TN_OK;
}
