/*
 * problem.c: errors as problem+json (RFC 9457).
 */

#include "libcore/http/http.h"


#define RETRY_AFTER "1" /* seconds: pools recover, queues drain */


/* {"type":…,"title":…,"status":…,"detail":…,"code":…,"request_id":… , open at
 * the end. */
static void
problem_head(tn__buf *out, tn_err err, unsigned status, tn_str detail,
             tn_str request_id)
{
    tn__buf_lit(out, "{\"type\":\"urn:tenon:problem:");
    tn__buf_add(out, tn_err_code(err));
    tn__buf_lit(out, "\",\"title\":");
    tn__buf_json(out, tn_err_title(err));
    tn__buf_lit(out, ",\"status\":");
    tn__buf_int(out, status);
    tn__buf_lit(out, ",\"detail\":");
    tn__buf_json(out, detail.p ? detail : tn_err_detail(err));
    tn__buf_lit(out, ",\"code\":");
    tn__buf_json(out, tn_err_code(err));
    tn__buf_lit(out, ",\"request_id\":");
    tn__buf_json(out, request_id);
}


static void
faults(tn__buf *out, const tn_op *op)
{
    unsigned i;
    const tn__field_fault *f;
    static const char *const codes[] = {
#define TN_X(name, code, text) code,
        TN_FIELD_FAULT_MAP(TN_X)
#undef TN_X
    };

    tn__buf_lit(out, ",\"errors\":[");

    for (i = 0; i < op->nfaults; i++) {
        f = &op->faults[i];

        if (i) {
            tn__buf_char(out, ',');
        }

        tn__buf_lit(out, "{\"pointer\":");
        tn__buf_json(out, f->pointer);
        tn__buf_lit(out, ",\"code\":");
        tn__buf_json(out, (tn_str){ codes[f->fault], strlen(codes[f->fault]) });
        tn__buf_lit(out, ",\"detail\":");
        tn__buf_json(out, f->detail);
        tn__buf_char(out, '}');
    }

    tn__buf_char(out, ']');
}


static void
allow(tn_op *op)
{
    tn_str value;

    if (tn__allow(&value, op) != TN_OK) {
        op->facts.error = TN_E_INTERNAL;
        op->response = *tn_response_static(TN_E_INTERNAL);
        return;
    }

    tn__header(op, TN_STR("Allow"), value);
}


/* A good token, but somebody else's than whom the endpoint wants to see. */
static int
other_caller(const tn_op *op)
{
    return op->endpoint->heeds_caller && op->principal.user.p;
}


void
tn__fail_str(tn_op *op, tn_err err, tn_str detail)
{
    tn__buf out, members;
    tn_str json, more;

    if (op->phase >= TN__PHASE_AFTER) {
        return;
    }

    tn__buf_init(&members, op->mem, 0);

    if (op->endpoint && op->endpoint->refuses) {
        err = op->endpoint->refuses(op, err, detail, &members);
    }

    op->phase = TN__PHASE_DONE;
    op->error = err;
    op->facts.error = err == TN_E_NOMEM ? TN_E_INTERNAL : err;
    op->want.kind = TN_WANT_NONE;
    op->response.nheaders = 0;

    tn__buf_init(&out, op->mem, 512);
    problem_head(&out, err, tn_err_status(err), detail, op->request_id);

    if (op->reason.p) {
        tn__buf_lit(&out, ",\"reason\":");
        tn__buf_json(&out, op->reason);
    }

    if (op->nfaults) {
        faults(&out, op);
    }

    if (tn__buf_str(&more, &members) != TN_OK) {
        err = TN_E_NOMEM;
    }

    tn__buf_add(&out, more);
    tn__buf_char(&out, '}');

    if (err == TN_E_NOMEM || tn__buf_str(&json, &out) != TN_OK) {
        tn__log(op, TN_STR("out of memory"));
        op->facts.error = TN_E_INTERNAL;
        op->response = *tn_response_static(TN_E_INTERNAL);
        return;
    }

    op->response.status = tn_err_status(err);
    op->response.headers = op->headers;
    op->response.body = json;

    tn__header(op, TN_STR("Content-Type"), TN_STR("application/problem+json"));
    tn__header(op, TN_STR("Cache-Control"), TN_STR("no-store"));
    tn__header(op, TN_STR("X-Request-Id"), op->request_id);

    if (op->traceparent.p) {
        tn__header(op, TN_STR("traceparent"), op->traceparent);
    }

    tn__limit_headers(op);
    tn__security(op);
    tn__cors(op);

    switch (op->response.status) {

    case 401:
        tn__header(op, TN_STR("WWW-Authenticate"),
                   err != TN_E_INVALID_CREDENTIALS && op->authorization.p &&
                           !other_caller(op)
                       ? TN_STR("Bearer error=\"invalid_token\"")
                       : TN_STR("Bearer"));
        break;

    case 405:
        allow(op);
        break;

    case 409:
        if (err == TN_E_IDEMPOTENCY_IN_PROGRESS) {
            tn__header(op, TN_STR("Retry-After"), TN_STR(RETRY_AFTER));
        }
        break;

    case 429:
    case 503:
        tn__header(op, TN_STR("Retry-After"),
                   op->retry_after.p ? op->retry_after : TN_STR(RETRY_AFTER));
        break;
    }
}


void
tn__fail(tn_op *op, tn_err err, const char *detail)
{
    tn__fail_str(op, err,
                 detail ? (tn_str){ detail, strlen(detail) } : TN_NULL);
}


const tn_response *
tn_response_static(tn_err err)
{
    static const tn_header headers[] = {
        { TN_STR_C("Content-Type"), TN_STR_C("application/problem+json") },
        { TN_STR_C("Cache-Control"), TN_STR_C("no-store") },
        TN__SECURITY_HEADERS,
        { TN_STR_C("Retry-After"), TN_STR_C(RETRY_AFTER) },
    };

#define BODY(status, code, title, detail)                                  \
    TN_STR_C("{\"type\":\"urn:tenon:problem:" code "\",\"title\":\"" title \
             "\",\"status\":" #status ",\"detail\":\"" detail              \
             "\",\"code\":\"" code "\"}")

    static const tn_response responses[] = {
#define TN_X(name, status, code, title, detail)                    \
    [TN_E_##name] = { status, headers,                             \
                      2 + TN__NSECURITY_HEADERS + (status == 503), \
                      BODY(status, code, title, detail) },
        TN_ERROR_MAP(TN_X)
#undef TN_X
    };
#undef BODY

    if (err <= TN_E_NOMEM || err >= TN_E_COUNT) {
        err = TN_E_INTERNAL;
    }

    return &responses[err];
}


/* The error that an HTTP status of the host's own stands for. */
static tn_err
of_status(unsigned status)
{
    switch (status) {
    case 401:
        return TN_E_UNAUTHENTICATED;
    case 403:
        return TN_E_FORBIDDEN;
    case 404:
        return TN_E_NOT_FOUND;
    case 405:
        return TN_E_METHOD_NOT_ALLOWED;
    case 412:
        return TN_E_PRECONDITION_FAILED;
    case 413:
        return TN_E_TOO_LARGE;
    case 415:
        return TN_E_UNSUPPORTED_MEDIA_TYPE;
    case 429:
        return TN_E_RATE_LIMITED;
    case 500:
        return TN_E_INTERNAL;
    default:
        return status >= 500 ? TN_E_UNAVAILABLE : TN_E_MALFORMED_REQUEST;
    }
}


tn_err
tn_response_problem(const tn_response **out, unsigned status, tn_str request_id,
                    tn_mem *mem)
{
    tn_err err;
    tn__buf json;
    unsigned n;
    tn_header *headers;
    tn_response *response;
    static const tn_header security[] = { TN__SECURITY_HEADERS };

    err = of_status(status);
    response = tn__zalloc(mem, sizeof(tn_response));
    headers = tn__alloc(mem, 4 * sizeof(tn_header) + sizeof(security));

    if (response == NULL || headers == NULL) {
        return TN_E_NOMEM;
    }

    tn__buf_init(&json, mem, 256);
    problem_head(&json, err, status, TN_NULL, request_id);
    tn__buf_char(&json, '}');

    response->status = status;
    response->headers = headers;
    n = 0;
    headers[n++] = (tn_header){ TN_STR("Content-Type"),
                                TN_STR("application/problem+json") };
    headers[n++] = (tn_header){ TN_STR("Cache-Control"), TN_STR("no-store") };
    headers[n++] = (tn_header){ TN_STR("X-Request-Id"), request_id };
    memcpy(&headers[n], security, sizeof(security));
    n += TN__NSECURITY_HEADERS;

    if (status == 429 || status >= 502) {
        headers[n++] =
            (tn_header){ TN_STR("Retry-After"), TN_STR(RETRY_AFTER) };
    }

    response->nheaders = n;
    *out = response;

    return tn__buf_str(&response->body, &json);
}
