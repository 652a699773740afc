/*
 * cors.c: what lets a page of another origin talk to the API (the Fetch
 * standard's CORS protocol), and OPTIONS.
 *
 * A preflight asks before anybody is signed in, so it is answered before the
 * tenant is known. Tokens are sent by the page itself and never by the browser
 * on its own: an allowed origin gains nothing that a program could not do.
 */

#include "libcore/http/http.h"


/* The origin as it is to be answered: "*", the one that asks, or absent. */
static tn_str
allowed(const tn_core *core, tn_str origin)
{
    tn_str rest;

    if (origin.n == 0) {
        return TN_NULL;
    }

    rest = core->cors_origins;

    if (tn__eq(rest, TN_STR("*"))) {
        return rest;
    }

    while (rest.p) {
        if (tn__eq(tn__split(&rest, ' '), origin)) {
            return origin;
        }
    }

    return TN_NULL;
}


unsigned
tn_cors_headers(tn_header *out, const tn_core *core, tn_str origin)
{
    tn_str answer;

    if (core->cors_origins.p == NULL) {
        return 0;
    }

    /* also for nobody: what a cache keeps of one is not for another */
    out[0] = (tn_header){ TN_STR("Vary"), TN_STR("Origin") };

    answer = allowed(core, origin);
    if (answer.p == NULL) {
        return 1;
    }

    out[1] = (tn_header){ TN_STR("Access-Control-Allow-Origin"), answer };
    out[2] = (tn_header){
        TN_STR("Access-Control-Expose-Headers"),
        TN_STR("ETag, Idempotency-Replayed, Link, Location, RateLimit, "
               "RateLimit-Policy, Retry-After, traceparent, X-Request-Id")
    };

    return 3;
}


void
tn__cors(tn_op *op)
{
    unsigned i, n;
    tn_header headers[TN_CORS_HEADERS_MAX];

    n = tn_cors_headers(headers, op->core, op->origin);

    for (i = 0; i < n; i++) {
        tn__header(op, headers[i].name, headers[i].value);
    }
}


tn_err
tn__allow(tn_str *out, const tn_op *op)
{
    unsigned i;
    tn__buf buf;
    tn_str method;

    tn__buf_init(&buf, op->mem, 64);

    for (i = 0; op->route && i < op->route->nendpoints; i++) {
        method = op->route->endpoints[i]->method;
        tn__buf_add(&buf, method);
        tn__buf_add(&buf, tn__eq(method, TN_STR("GET")) ? TN_STR(", HEAD, ")
                                                        : TN_STR(", "));
    }

    tn__buf_lit(&buf, "OPTIONS");

    return tn__buf_str(out, &buf);
}


void
tn__respond_options(tn_op *op)
{
    tn_str allow;

    if (op->phase >= TN__PHASE_AFTER) {
        return; /* its headers were refused */
    }

    if (tn__allow(&allow, op) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    op->phase = TN__PHASE_DONE;
    op->response.status = 204;
    op->response.headers = op->headers;
    op->response.body = TN_STR("");

    tn__header(op, TN_STR("Allow"), allow);
    tn__header(op, TN_STR("X-Request-Id"), op->request_id);

    if (op->traceparent.p) {
        tn__header(op, TN_STR("traceparent"), op->traceparent);
    }

    tn__security(op);
    tn__cors(op);

    if (op->preflight.p && allowed(op->core, op->origin).p) {
        tn__header(op, TN_STR("Access-Control-Allow-Methods"), allow);
        tn__header(op, TN_STR("Access-Control-Allow-Headers"),
                   TN_STR("Authorization, baggage, Content-Type, "
                          "Idempotency-Key, If-Match, If-None-Match, "
                          "Tenon-Tenant, traceparent, tracestate, "
                          "X-Request-Id"));
        tn__header(op, TN_STR("Access-Control-Max-Age"), TN_STR("600"));
    }
}
