/*
 * host.h: a host without a server: literal rows in, response out.
 *
 *     host h;
 *
 *     host_init(&h);
 *     SEND(&h, R(.path = "/v1/tasks", .token = h.owner), { ROWS(14, …) });
 *     host_assert(&h, 200, "\"next_cursor\":null");
 *     assert_string_equal(h.trace, "ZAD");
 *     host_free(&h);
 *
 * The host keeps time, a zone and a directory of tenants and sessions; what
 * a step asks of the database is answered by the replies that the test hands
 * over, in order. It checks what holds for every batch: the context comes
 * first, with the tenant that facts tell, and writes say that they write.
 * h.trace tells what an op wanted, a letter per wish:
 *
 *     Z zone   A admit   M meter   B body   C cpu
 *     d a look-up in the directory   D a batch that reads   W one that writes
 *     u what was used, where a counter isn't there yet, which needs no reply
 *     r the event of a refusal, which needs no reply
 */

#ifndef TENON_HOST_H
#define TENON_HOST_H

#include "t/00unit/host_db.h"


/* ---- a request ---- */

static inline void
host_header(host *h, const char *name, const char *value)
{
    if (value) {
        assert_true(h->request.nheaders < HOST_HEADERS);
        h->headers[h->request.nheaders++] =
            (tn_header){ unit_str(name), unit_str(value) };
    }
}


static inline void
host_head(host *h, const host_request *r)
{
    char *bearer;

    memset(&h->request, 0, sizeof(h->request));
    h->request.method = unit_str(r->method ? r->method : "GET");
    h->request.host = unit_str(r->host ? r->host : ACME_HOST);
    h->request.prefix = unit_str(r->prefix ? r->prefix : "");
    h->request.path = unit_str(r->path);
    h->request.query = r->query ? unit_str(r->query) : TN_NULL;
    h->request.headers = h->headers;
    h->request.address = unit_str(r->address   ? r->address
                                  : h->address ? h->address
                                               : "192.0.2.1");
    h->request.now = h->now;
    h->request.tls = h->tls != 0;
    h->request.body_length = r->body_length ? r->body_length
                             : r->body      ? strlen(r->body)
                                            : 0;
    h->requests++;
    memcpy(h->request.entropy, &h->requests, sizeof(h->requests));

    if (r->token) {
        bearer = host_alloc(h, strlen(r->token) + 16);
        snprintf(bearer, strlen(r->token) + 16, "Bearer %s", r->token);
        host_header(h, "authorization", bearer);
    }

    host_header(h, "Authorization", r->authorization);
    host_header(h, "Content-Type",
                r->type   ? r->type
                : r->body ? "application/json"
                          : NULL);
    host_header(h, "tenon-tenant", r->tenant);
    host_header(h, "If-Match", r->if_match);
    host_header(h, "If-None-Match", r->if_none_match);
    host_header(h, "X-Request-Id", r->request_id);
    host_header(h, "User-Agent", r->user_agent);
    host_header(h, "Idempotency-Key", r->key);
    host_header(h, "Origin", r->origin);
    host_header(h, "Access-Control-Request-Method", r->preflight);
    host_header(h, "traceparent", r->traceparent);

    if (r->header[0]) {
        host_header(h, r->header[0], r->header[1]);
    }

    if (h->more[0]) {
        host_header(h, h->more[0], h->more[1]);
    }

    if (h->more[2]) {
        host_header(h, h->more[2], h->more[3]);
    }
}


/* The counter of a meter, which is made where it has a base; or NULL. */
static inline struct host_counter *
host_counter_of(host *h, const tn_meter *meter)
{
    unsigned i;
    struct host_counter *c;

    for (i = 0; i < h->ncounters; i++) {
        c = &h->counters[i];

        if (memcmp(c->meter.tenant, meter->tenant, 16) == 0 &&
            tn__eq(unit_str(c->name), meter->name) &&
            c->meter.period == meter->period &&
            c->meter.begins == meter->begins) {
            c->meter = *meter;
            return c;
        }
    }

    if (meter->base < 0 || h->no_counters) {
        return NULL;
    }

    assert_true(h->ncounters < sizeof(h->counters) / sizeof(h->counters[0]));
    assert_true(meter->name.n <= TN_METER_NAME_MAX);
    c = &h->counters[h->ncounters++];
    c->meter = *meter;
    memcpy(c->name, meter->name.p, meter->name.n);
    c->name[meter->name.n] = '\0';
    c->used = meter->base;

    return c;
}


static inline void
host_meter(host *h, const tn_want *want, tn_input *input)
{
    unsigned i;
    int all = 1;
    struct host_counter *c, *found[TN_METERS_MAX];
    const tn_meter *meter;

    assert_in_range(want->meter.n, 1, TN_METERS_MAX);

    for (i = 0; i < want->meter.n; i++) {
        meter = &want->meter.meters[i];
        assert_true(want->meter.units > 0 || meter->base < 0);
        assert_true(meter->begins <= h->request.now);
        assert_true(meter->ends > h->request.now);
        found[i] = c = host_counter_of(h, meter);
        input->meters[i].used = c ? c->used : 0;
        input->meters[i].taken =
            c == NULL ? meter->base < 0 ? TN_TAKEN_UNKNOWN : TN_TAKEN_FULL
            : want->meter.units > 0 && meter->hard >= 0 &&
                    c->used + want->meter.units > meter->hard
                ? TN_TAKEN_OVER
                : TN_TAKEN;
        all = all &&
              (want->meter.units < 0 || input->meters[i].taken == TN_TAKEN);
    }

    for (i = 0; all && i < want->meter.n; i++) {
        if (found[i] == NULL) {
            continue;
        }

        found[i]->used += want->meter.units;
        input->meters[i].used = found[i]->used;
    }
}


static inline void
host_check_response(host *h)
{
    unsigned i;
    const tn_response *r;

    r = tn_op_response(h->op);
    h->response = r;
    assert_in_range(r->status, 200, 599);
    assert_non_null(r->body.p);
    assert_true(r->body.n < sizeof(h->body));
    memcpy(h->body, r->body.p, r->body.n);
    h->body[r->body.n] = '\0';

    if (r->status == 204 || r->status == 304) {
        assert_int_equal(r->body.n, 0);
    }

    for (i = 0; i < r->nheaders; i++) {
        assert_true(r->headers[i].value.n > 0);
        assert_null(memchr(r->headers[i].value.p, '\n', r->headers[i].value.n));
    }
}


static inline void
host_send(host *h, const host_request *r, const host_reply *replies,
          unsigned nreplies)
{
    char letter;
    unsigned n, looks;
    tn_job job;
    tn_input input;
    const tn_want *want;

    host_end(h);
    unit_arena_init(&h->arena, r->fail_at);
    host_head(h, r);
    n = looks = 0;
    memset(h->trace, 0, sizeof(h->trace));
    h->sql = TN_NULL;
    h->params = NULL;
    h->nparams = 0;
    h->context = h->before = TN_NULL;
    h->context_params = NULL;
    h->context_nparams = 0;
    h->response = NULL;
    memset(&h->refused, 0, sizeof(h->refused));
    h->unlogged = r->unlogged;

    if (tn_op_new(&h->op, h->core, &h->request, &h->arena.mem) != TN_OK) {
        assert_null(h->op);
        assert_true(r->fail_at != 0);
        h->response = tn_response_static(TN_E_INTERNAL);
        return;
    }

    for (want = tn_op_step(h->op, NULL); want->kind != TN_WANT_NONE;
         want = tn_op_step(h->op, want->kind == TN_WANT_ADMIT &&
                                          !input.failed && !input.waited_ms
                                      ? NULL
                                      : &input)) {

        memset(&input, 0, sizeof(input));
        letter = '?';

        switch (want->kind) {
        case TN_WANT_ZONE:
            letter = 'Z';
            looks++;
            if (r->between) {
                r->between(h, looks);
            }
            host_zone(h, want, &input);

            if (want->zone.cmds[0].verb == TN_ZONE_COUNT) {
                input.failed = r->no_zone ? TN_E_UNAVAILABLE : TN_OK;
                input.values[0] = r->no_count ? TN_NULL : input.values[0];
            }
            break;
        case TN_WANT_METER:
            letter = 'M';
            host_meter(h, want, &input);
            break;
        case TN_WANT_ADMIT:
            letter = 'A';
            input.failed =
                r->no_room && tn_op_facts(h->op)->hashes ? TN_E_BUSY : TN_OK;
            input.waited_ms = r->limits_ms;
            h->now += (int64_t) r->limits_ms * 1000;
            if (r->waiting && r->limits_ms) {
                r->waiting(h);
            }
            break;
        case TN_WANT_BODY:
            letter = 'B';
            assert_int_equal(want->body_max, 4096);
            input.failed = r->too_large ? TN_E_TOO_LARGE : TN_OK;
            input.body = unit_str(r->body ? r->body : "");
            input.waited_ms = r->limits_ms + r->body_ms;
            h->now += (int64_t) r->body_ms * 1000;
            if (r->waiting && !r->limits_ms) {
                r->waiting(h);
            }
            break;
        case TN_WANT_DB:
            host_context(want->batch, tn_op_facts(h->op));
            input.reply =
                host_batch(h, want->batch, &replies, &nreplies, &letter);
            if (letter == 'd' && r->meanwhile) {
                r->meanwhile(h);
            }
            break;
        case TN_WANT_CPU:
            letter = 'C';
            h->job = want->job;

            if (r->gone) {
                return;
            }

            input.failed = r->no_permit ? TN_E_BUSY : TN_OK;
            memcpy(&job, want->job, sizeof(job));
            h->renew = job.renew;
            tn_job_run(&job);
            if (r->no_memory) {
                job.ok = 0;
                job.failed = 1;
            }
            h->renewed = job.renewed;
            assert_true(sodium_is_zero((unsigned char *) job.password,
                                       sizeof(job.password)));
            input.job = &job;
            break;
        case TN_WANT_HTTP:
            fail_msg("an op asks somebody else's server");
            break;
        case TN_WANT_NONE:
            break;
        }

        assert_true(n < sizeof(h->trace) - 1);
        h->trace[n++] = letter;
    }

    if (nreplies && r->fail_at == 0) {
        fail_msg("%u replies are left: %s %.*s", nreplies, h->trace,
                 (int) tn_op_response(h->op)->body.n,
                 tn_op_response(h->op)->body.p);
    }
    host_check_response(h);
}

/* SEND(&h, R(.path = …), { a reply }, { another }…); SEND0: no reply. */
#define R(...) (&(host_request){ __VA_ARGS__ })
#define SEND(h, request, ...)                                      \
    host_send((h), (request), (const host_reply[]){ __VA_ARGS__ }, \
              sizeof((const host_reply[]){ __VA_ARGS__ }) /        \
                  sizeof(host_reply))
#define SEND0(h, request) host_send((h), (request), NULL, 0)


/* ---- what came of it ---- */

static inline void
host_assert_at(const host *h, unsigned status, const char *part,
               const char *file, int line)
{
    if (h->response->status != status ||
        (part && strstr(h->body, part) == NULL)) {
        print_error("%u %s\n    is not: %u …%s…\n    trace: %s\n",
                    h->response->status, h->body, status, part ? part : "",
                    h->trace);
        _fail(file, line);
    }
}

/* The status, and a part of the body (NULL: whatever). */
#define host_assert(h, status, part) \
    host_assert_at((h), (status), (part), __FILE__, __LINE__)

/* The status, and the problem's code. */
#define host_problem(h, status, code) \
    host_assert_at((h), (status), "\"code\":\"" code "\"", __FILE__, __LINE__)


static inline tn_str
host_response_header(const host *h, const char *name)
{
    unsigned i;
    tn_str found = TN_NULL;

    for (i = 0; i < h->response->nheaders; i++) {
        if (h->response->headers[i].name.n == strlen(name) &&
            memcmp(h->response->headers[i].name.p, name, strlen(name)) == 0) {
            assert_null(found.p); /* once */
            found = h->response->headers[i].value;
        }
    }

    return found;
}


static inline tn_str
host_behind(tn_str sql, const tn_str *params, unsigned nparams,
            const char *needle)
{
    unsigned n;
    const char *p;

    p = sql.p ? memmem(sql.p, sql.n, needle, strlen(needle)) : NULL;

    if (p == NULL || p[strlen(needle)] != '$') {
        fail_msg("no parameter behind \"%s\" in: %.*s", needle, (int) sql.n,
                 sql.p ? sql.p : "");
        return TN_NULL;
    }

    n = (unsigned) strtoul(p + strlen(needle) + 1, NULL, 10);
    assert_in_range(n, 1, nparams);

    return params[n - 1];
}


/* The parameter that stands behind `needle` in the step's last statement:
 * host_bound(&h, "t.id = ") where the SQL has "t.id = $3::uuid". */
static inline tn_str
host_bound(const host *h, const char *needle)
{
    return host_behind(h->sql, h->params, h->nparams, needle);
}


/* The same of the context in front of it. */
static inline tn_str
host_context_bound(const host *h, const char *needle)
{
    return host_behind(h->context, h->context_params, h->context_nparams,
                       needle);
}


/* idem_go and idem_fingerprint, at the end of a write's row. */
#define FRESH "t", NULL

/* A task as a row, and as JSON. */
#define TASK_CELLS(id, title, status, version, by)                   \
    id, PROJECT, title, "medium", status, NULL, NULL, NULL, version, \
        "2026-11-21 01:33:00.12+00", by, "2026-11-21 01:34:00+00"
#define TASK_JSON(id, title, status, version, by)                          \
    "{\"id\":\"" id "\",\"project_id\":\"" PROJECT "\",\"title\":" title   \
    ",\"priority\":\"medium\",\"status\":\"" status                        \
    "\",\"assignee_id\":null,\"origin\":null,\"score\":null,"              \
    "\"version\":" version                                                 \
    ",\"created_at\":\"2026-11-21T01:33:00.120000Z\",\"created_by\":\"" by \
    "\",\"updated_at\":\"2026-11-21T01:34:00.000000Z\"}"

#endif
