/*
 * request.c: the head's headers, the query string, the body.
 */

#include "libcore/http/http.h"

#include <arpa/inet.h>


static int
sane_request_id(tn_str s)
{
    size_t i;

    if (s.n == 0 || s.n > 128) {
        return 0;
    }

    for (i = 0; i < s.n; i++) {
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') ||
              (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
              (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-' ||
              s.p[i] == '_' || s.p[i] == '.')) {
            return 0;
        }
    }

    return 1;
}


/* What goes into the database must be text there: anything else is dropped,
 * not refused, as it is only told for the record. */
static tn_str
recordable(tn_str s)
{
    if (s.n > 512) {
        s.n = 512;

        while (s.n && ((unsigned char) s.p[s.n] & 0xc0) == 0x80) {
            s.n--; /* not in the middle of a character */
        }
    }

    return tn__utf8_valid(s) && memchr(s.p, 0, s.n) == NULL ? s : TN_NULL;
}


static int
is_hex(tn_str s)
{
    size_t i;
    int zero;

    for (i = 0, zero = 1; i < s.n; i++) {
        if (!((s.p[i] >= '0' && s.p[i] <= '9') ||
              (s.p[i] >= 'a' && s.p[i] <= 'f'))) {
            return 0;
        }
        zero &= s.p[i] == '0';
    }

    return !zero;
}


/* W3C Trace Context: "00-" trace id "-" parent id "-" flags. A valid one goes
 * on under the same trace id with a span of our own; any other is dropped. */
static void
trace_context(tn_op *op)
{
    size_t i;
    char *text;
    tn_str given;
    unsigned char span[8];

    given = op->traceparent;
    op->traceparent = TN_NULL;

    if (given.n != 55 || !tn__starts(given, TN_STR("00-")) ||
        given.p[35] != '-' || given.p[52] != '-' ||
        !is_hex(tn__sub(given, 3, 35)) || !is_hex(tn__sub(given, 36, 52)) ||
        (!is_hex(tn__sub(given, 53, 55)) &&
         !tn__eq(tn__sub(given, 53, 55), TN_STR("00")))) {
        return;
    }

    text = tn__alloc(op->mem, given.n);
    if (text == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    memcpy(text, given.p, given.n);
    tn__rng_bytes(&op->rng, span, sizeof(span));

    for (i = 0; i < sizeof(span); i++) {
        text[36 + 2 * i] = "0123456789abcdef"[span[i] >> 4];
        text[37 + 2 * i] = "0123456789abcdef"[span[i] & 15];
    }

    op->traceparent = (tn_str){ text, given.n };
    op->facts.trace_id = tn__sub(op->traceparent, 3, 35);
}


/* Ours of the cookies that a header holds; 0 when it isn't the first: of two
 * that disagree neither may win. */
static int
take_cookie(tn_op *op, tn_str rest)
{
    tn_str name, value;

    while (rest.p) {
        value = tn__trim(tn__split(&rest, ';'));
        name = tn__split(&value, '=');

        if (!tn__eq(name, TN_STR(TN__COOKIE)) || value.p == NULL) {
            continue;
        }

        if (op->cookie.p) {
            return 0;
        }

        op->cookie = value;
    }

    return 1;
}


/* What is no address ("unix:") would be all clients' of that socket, and
 * PostgreSQL takes it for none. */
static tn_str
address_of(tn_str s)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char raw[16];

    if (s.n == 0 || s.n >= sizeof(text)) {
        return TN_NULL;
    }

    memcpy(text, s.p, s.n);
    text[s.n] = '\0';

    return inet_pton(AF_INET, text, raw) == 1 ||
                   inet_pton(AF_INET6, text, raw) == 1
               ? s
               : TN_NULL;
}


/* Of two that disagree neither may win, and nobody sends two that agree. */
void
tn__request_headers(tn_op *op)
{
    unsigned i, k, traces;
    int twice;
    const tn_header *h;
    struct {
        tn_str name;
        tn_str *value;
        int once;
    } wanted[] = {
        { TN_STR("authorization"), &op->authorization, 1 },
        { TN_STR("content-type"), &op->content_type, 1 },
        { TN_STR("if-match"), &op->if_match, 1 },
        { TN_STR("if-none-match"), &op->if_none_match, 1 },
        { TN_STR("tenon-tenant"), &op->tenant_header, 1 },
        { TN_STR("user-agent"), &op->user_agent, 0 },
        { TN_STR("x-request-id"), &op->request_id, 0 },
        { TN_STR("idempotency-key"), &op->idempotency_header, 1 },
        { TN_STR("origin"), &op->origin, 0 },
        { TN_STR("access-control-request-method"), &op->preflight, 0 },
        { TN_STR("traceparent"), &op->traceparent, 0 },
        { TN_STR("tenon-session"), &op->session_header, 1 },
        { TN_STR("sec-fetch-site"), &op->fetch_site, 1 },
        { TN_STR("host"), &op->host_header, 1 },
    };

    twice = 0;
    traces = 0;

    for (i = 0; i < op->request->nheaders; i++) {
        h = &op->request->headers[i];

        if (h->name.n == 6 && tn__eqi(h->name, TN_STR("cookie"))) {
            twice |= !take_cookie(op, h->value);
            continue;
        }

        for (k = 0; k < sizeof(wanted) / sizeof(wanted[0]); k++) {
            if (h->name.n == wanted[k].name.n &&
                tn__eqi(h->name, wanted[k].name)) {
                twice |= wanted[k].once && wanted[k].value->p;
                traces += wanted[k].value == &op->traceparent;
                *wanted[k].value = tn__trim(h->value);
                break;
            }
        }
    }

    op->address = address_of(op->request->address);

    if (op->user_agent.p) {
        op->user_agent = recordable(op->user_agent);
    }

    if (op->facts.request_id.p) {
        op->request_id = op->facts.request_id; /* it has begun anew */

    } else if (!sane_request_id(op->request_id)) {
        op->request_id = tn__new_id(op);
    }

    if (traces == 1) {
        trace_context(op);
    } else {
        op->traceparent = TN_NULL; /* of two, neither is to be believed */
    }

    if (twice) {
        tn__fail(op, TN_E_MALFORMED_REQUEST,
                 "A header that may be given once is given twice.");

    } else if (op->session_header.p &&
               !tn__eq(op->session_header, TN_STR("cookie")) &&
               !tn__eq(op->session_header, TN_STR("token"))) {
        tn__fail(op, TN_E_MALFORMED_REQUEST,
                 "Tenon-Session is \"cookie\" or \"token\".");
    }
}


int
tn__request_params(tn_op *op)
{
    int oom;
    tn_str rest, pair, name, value;

    rest = op->request->query;
    if (rest.n == 0) {
        return 1;
    }

    oom = 0;

    while (rest.p) {
        pair = tn__split(&rest, '&');
        if (pair.n == 0) {
            continue;
        }

        if (op->nparams == TN__PARAMS_MAX) {
            tn__fail(op, TN_E_INVALID_PARAMETER,
                     "More than 32 query parameters.");
            return 0;
        }

        value = pair;
        name = tn__split(&value, '=');

        if (value.p == NULL) {
            value = TN_STR("");
        }

        if (!tn__uri_decode(&op->params[op->nparams].name, name, op->mem,
                            &oom) ||
            !tn__uri_decode(&op->params[op->nparams].value, value, op->mem,
                            &oom)) {
            tn__fail(op, oom ? TN_E_NOMEM : TN_E_INVALID_PARAMETER,
                     "The query string holds a bad percent escape, a NUL, or "
                     "bytes that are not UTF-8.");
            return 0;
        }

        name = op->params[op->nparams].name;

        if (tn__request_param(op, name).p) {
            tn__fault(op, name, TN_F_DUPLICATE, "is given twice");
            tn__fail(op, TN_E_INVALID_PARAMETER,
                     "A query parameter is given twice.");
            return 0;
        }

        op->nparams++;
    }

    return 1;
}


void
tn__request_fields(tn_op *op)
{
    unsigned i;
    uint64_t shown;
    tn_str rest, name;
    const tn__endpoint *e;

    e = op->endpoint;
    rest = tn__request_param(op, TN_STR("fields"));
    if (rest.p == NULL) {
        return;
    }

    shown = 0;

    while (rest.p) {
        name = tn__split(&rest, ',');

        for (i = 0; i < e->noutput; i++) {
            if (e->output[i].out && tn__eq(e->output[i].name, name)) {
                shown |= (uint64_t) 1 << i;
                break;
            }
        }

        if (i == e->noutput) {
            tn__fault(op, TN_STR("fields"), TN_F_NOT_IN_SET,
                      "names a field that this resource doesn't have");
            return;
        }
    }

    for (i = 0; i < e->noutput; i++) {
        op->hidden |= ~shown & ((uint64_t) 1 << i);
    }
}


int
tn__request_no_params(tn_op *op)
{
    unsigned i;
    int fields, unknown;

    if (!tn__request_params(op)) {
        return 0;
    }

    unknown = 0;
    fields = op->endpoint->kind == TN__KIND_READ && op->endpoint->resource;

    for (i = 0; i < op->nparams; i++) {
        if (fields && tn__eq(op->params[i].name, TN_STR("fields"))) {
            continue;
        }

        unknown = 1;
        tn__fault(op, op->params[i].name, TN_F_UNKNOWN_FIELD,
                  "is no parameter here");
    }

    if (fields) {
        tn__request_fields(op);
    }

    if (op->nfaults) {
        tn__fail(op, unknown ? TN_E_UNKNOWN_PARAMETER : TN_E_INVALID_PARAMETER,
                 NULL);
        return 0;
    }

    return 1;
}


tn_str
tn__request_param(const tn_op *op, tn_str name)
{
    unsigned i;

    for (i = 0; i < op->nparams; i++) {
        if (tn__eq(op->params[i].name, name)) {
            return op->params[i].value;
        }
    }

    return TN_NULL;
}


int
tn__request_json_type(const tn_op *op)
{
    tn_str type, rest, name, value;

    rest = op->content_type;
    if (rest.n == 0) {
        return 0;
    }

    type = tn__trim(tn__split(&rest, ';'));

    if (!tn__eqi(type, TN_STR("application/json")) &&
        !(tn__eq(op->endpoint->method, TN_STR("PATCH")) &&
          tn__eqi(type, TN_STR("application/merge-patch+json")))) {
        return 0;
    }

    while (rest.p) {
        value = tn__trim(tn__split(&rest, ';'));
        name = tn__split(&value, '=');

        if (tn__eqi(name, TN_STR("charset")) &&
            !tn__eqi(value, TN_STR("utf-8")) &&
            !tn__eqi(value, TN_STR("\"utf-8\""))) {
            return 0;
        }
    }

    return 1;
}


int
tn__request_json(tn_op *op, tn_str body)
{
    tn_err err;
    tn__buf detail;
    tn_str text;
    tn__json_fault fault;

    err = tn__json_parse(&op->body, body, &fault, op->mem);

    if (err == TN_E_MALFORMED_JSON) {
        tn__buf_init(&detail, op->mem, 128);
        tn__buf_lit(&detail, "The body is not JSON as RFC 8259 and I-JSON "
                             "have it: ");
        tn__buf_add(&detail, (tn_str){ fault.what, strlen(fault.what) });
        tn__buf_lit(&detail, " at byte ");
        tn__buf_int(&detail, (int64_t) fault.offset);
        tn__buf_char(&detail, '.');
        err = tn__buf_str(&text, &detail);
        tn__fail_str(op, err == TN_OK ? TN_E_MALFORMED_JSON : err, text);
        return 0;
    }

    if (err != TN_OK) {
        tn__fail(op, err, NULL);
        return 0;
    }

    return 1;
}


int
tn__request_body(tn_op *op, tn_str body)
{
    if (!tn__request_json(op, body)) {
        return 0;
    }

    if (!cJSON_IsObject(op->body)) {
        tn__fault(op, TN_STR(""), TN_F_WRONG_TYPE, "must be an object");

    } else {
        tn__validate(op, op->body, TN_STR(""), op->endpoint->input,
                     op->endpoint->ninput,
                     !tn__eq(op->endpoint->method, TN_STR("PATCH")), op->values,
                     &op->mask);
    }

    if (op->nfaults) {
        tn__fail(op, TN_E_INVALID_FIELDS, NULL);
        return 0;
    }

    return op->phase != TN__PHASE_DONE;
}


int
tn__host_is_ours(tn_str host, tn_str base)
{
    if (base.n == 0 || host.n < base.n ||
        !tn__eqi(tn__sub(host, host.n - base.n, host.n), base)) {
        return 0;
    }

    return host.n == base.n || host.p[host.n - base.n - 1] == '.';
}


int
tn__slug_like(tn_str s)
{
    size_t i;

    for (i = 0; i < s.n; i++) {
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') ||
              (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '-')) {
            return 0;
        }
    }

    return s.n > 0 && s.n <= 63;
}
