/*
 * respond.c: rows to JSON, validators, headers. JSON is written here and not
 * in the server: json_agg costs a third to a half of read throughput there.
 */

#include "libcore/http/http.h"


void
tn__header(tn_op *op, tn_str name, tn_str value)
{
    if (op->response.nheaders == TN__HEADERS_MAX) {
        tn__log(op, TN_STR("a response has more headers than there is room "
                           "for"));
        return;
    }

    op->headers[op->response.nheaders].name = name;
    op->headers[op->response.nheaders++].value = value;
}


void
tn__header_change(tn_op *op, tn_str name, tn_str value)
{
    unsigned i;

    for (i = 0; i < op->response.nheaders; i++) {
        if (tn__eq(op->headers[i].name, name)) {
            op->headers[i].value = value;
        }
    }
}


void
tn__log(tn_op *op, tn_str line)
{
    if (op->facts.log.p == NULL) {
        op->facts.log = line;
    }
}


void
tn__limit_headers(tn_op *op)
{
    if (op->limits.p) {
        tn__header(op, TN_STR("RateLimit-Policy"), op->limits);
        tn__header(op, TN_STR("RateLimit"), op->limits_left);
    }
}


void
tn__respond(tn_op *op, unsigned status, tn_str json)
{
    if (op->phase >= TN__PHASE_AFTER) {
        return;
    }

    op->phase = TN__PHASE_DONE;
    op->want.kind = TN_WANT_NONE;
    op->response.status = status;
    op->response.headers = op->headers;
    op->response.body = json.p ? json : TN_STR("");

    if (json.p) {
        tn__header(op, TN_STR("Content-Type"), TN_STR("application/json"));
    }

    tn__header(op, TN_STR("Cache-Control"),
               op->endpoint->cache_control.p ? op->endpoint->cache_control
                                             : TN_STR("private, no-cache"));
    tn__header(op, TN_STR("X-Request-Id"), op->request_id);

    if (!op->endpoint->tenantless) {
        /* the same path answers each tenant and person differently */
        tn__header(op, TN_STR("Vary"),
                   TN_STR("Authorization, Cookie, Tenon-Tenant"));
    }

    if (op->traceparent.p) {
        tn__header(op, TN_STR("traceparent"), op->traceparent);
    }

    tn__limit_headers(op);
    tn__security(op);
    tn__cors(op);
}


/* PostgreSQL writes JSON with blanks between; clients get it as compact as the
 * rest. The text is JSON: only blanks inside strings matter. */
static void
write_json(tn__buf *out, tn_str json)
{
    int quoted;
    size_t i, start;

    quoted = 0;

    for (i = start = 0; i < json.n; i++) {
        if (quoted && json.p[i] == '\\') {
            i++;

        } else if (json.p[i] == '"') {
            quoted = !quoted;

        } else if (!quoted && (json.p[i] == ' ' || json.p[i] == '\n' ||
                               json.p[i] == '\t' || json.p[i] == '\r')) {
            tn__buf_add(out, tn__sub(json, start, i));
            start = i + 1;
        }
    }

    tn__buf_add(out, tn__sub(json, start, json.n));
}


static void
write_cell(tn__buf *out, const tn__field *field, tn_str cell)
{
    if (cell.p == NULL) {
        tn__buf_lit(out, "null");
        return;
    }

    switch (field->type) {

    case TN__TYPE_TEXT:
        tn__buf_json(out, cell);
        return;

    case TN__TYPE_UUID:
        tn__buf_quote(out, cell);
        return;

    case TN__TYPE_TIME:
        if (cell.n == TN__TIME_TEXT && cell.p[10] == 'T') {
            tn__buf_quote(out, cell); /* came in binary */
            return;
        }

        tn__buf_char(out, '"');
        tn__buf_pg_time(out, cell);
        tn__buf_char(out, '"');
        return;

    case TN__TYPE_DATE:
        /* neither infinity nor years beyond four digits are dates elsewhere */
        if (cell.n != TN__DATE_TEXT) {
            tn__buf_lit(out, "null");
            return;
        }
        tn__buf_quote(out, cell);
        return;

    case TN__TYPE_BOOL:
        tn__buf_add(out, cell.n && cell.p[0] == 't' ? TN_STR("true")
                                                    : TN_STR("false"));
        return;

    case TN__TYPE_NUMBER:
        /* JSON has no NaN and no infinity */
        if (cell.n && (cell.p[cell.n - 1] > '9')) {
            tn__buf_lit(out, "null");
            return;
        }
        break;

    case TN__TYPE_JSON:
    case TN__TYPE_OBJECT:
        write_json(out, cell);
        return;

    case TN__TYPE_INT:
        break;
    }

    tn__buf_add(out, cell);
}


void
tn__write_row(tn__buf *out, const tn__field *fields, unsigned nfields,
              uint64_t hidden, const tn_str *cells)
{
    unsigned i;
    char before;

    before = '{';

    for (i = 0; i < nfields; i++) {
        if (!fields[i].out || (hidden & ((uint64_t) 1 << i))) {
            continue;
        }

        tn__buf_char(out, before);
        before = ',';
        tn__buf_add(out, fields[i].key);
        write_cell(out, &fields[i], cells[i]);
    }

    if (before == '{') {
        tn__buf_char(out, '{');
    }

    tn__buf_char(out, '}');
}


static void
tag_hash(tn__buf *buf, const tn_op *op, tn_str text)
{
    unsigned i;
    unsigned char hash[16];
    static const char digits[] = "0123456789abcdef";

    tn__siphash(hash, op->core->zone_key, &text, 1);

    for (i = 0; i < 8; i++) {
        tn__buf_char(buf, digits[hash[i] >> 4]);
        tn__buf_char(buf, digits[hash[i] & 15]);
    }
}


/* What changes without a new version: times and numbers as digits, anything
 * else by a hash. */
static void
tag_drift(tn__buf *buf, const tn_op *op, const tn__field *fields,
          unsigned nfields, const tn_str *cells)
{
    size_t k;
    unsigned i;

    for (i = 0; i < nfields; i++) {
        if (!fields[i].drifts || cells[i].n == 0) {
            continue;
        }

        tn__buf_char(buf, '-');

        if (fields[i].type == TN__TYPE_BOOL) {
            tn__buf_char(buf, cells[i].p[0]); /* "t", or "true" */
            continue;
        }

        if (fields[i].type != TN__TYPE_TIME && fields[i].type != TN__TYPE_INT) {
            tag_hash(buf, op, cells[i]);
            continue;
        }

        for (k = 0; k < cells[i].n; k++) {
            if (cells[i].p[k] >= '0' && cells[i].p[k] <= '9') {
                tn__buf_char(buf, cells[i].p[k]);
            }
        }
    }
}


/* The version among a row's cells, as an ETag; absent if it has none. A row
 * that fields= narrows is another representation: "3-12". */
static tn_err
row_etag(tn_str *etag, tn_op *op, const tn__field *fields, unsigned nfields,
         const tn_str *cells)
{
    tn__buf buf;
    const tn__field *version;

    *etag = TN_NULL;
    version = tn__field_find(fields, nfields, TN_STR("version"));

    /* what an action answers of its own may have a version, but isn't the row */
    if (version == NULL || op->endpoint->elsewhere ||
        (op->endpoint->call &&
         op->endpoint->call->answers != TN__ANSWERS_ROW)) {
        return TN_OK;
    }

    tn__buf_init(&buf, op->mem, 48);
    tn__buf_char(&buf, '"');
    tn__buf_add(&buf, cells[version - fields]);

    if (op->hidden) {
        tn__buf_char(&buf, '-');
        tn__buf_int(&buf, (int64_t) op->hidden);
    }

    tag_drift(&buf, op, fields, nfields, cells);
    tn__buf_char(&buf, '"');

    return tn__buf_str(etag, &buf);
}


void
tn__respond_row(tn_op *op, unsigned status, const tn__field *fields,
                unsigned nfields, const tn_str *cells, tn_str location)
{
    tn_str etag, json;
    tn__buf out;

    if (row_etag(&etag, op, fields, nfields, cells) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    if (etag.p) {
        tn__header(op, TN_STR("ETag"), etag);

        if (tn__eq(op->endpoint->method, TN_STR("GET")) &&
            tn__if_none_match(op, etag)) {
            tn__respond(op, 304, TN_NULL);
            return;
        }
    }

    if (op->endpoint->resource && op->endpoint->resource->fields == fields) {
        cells = tn__unseal_row(op, op->endpoint->resource, cells);
        if (cells == NULL) {
            return;
        }
    }

    if (location.p) {
        tn__header(op, TN_STR("Location"), location);
    }

    tn__buf_init(&out, op->mem, 512);
    tn__write_row(&out, fields, nfields, op->hidden, cells);

    if (tn__buf_str(&json, &out) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__respond(op, status, json);
}


/* Strips W/ and the quotes of an entity tag; absent if it is none. */
static tn_str
opaque(tn_str tag)
{
    if (tn__starts(tag, TN_STR("W/"))) {
        tag = tn__sub(tag, 2, tag.n);
    }

    if (tag.n < 2 || tag.p[0] != '"' || tag.p[tag.n - 1] != '"') {
        return TN_NULL;
    }

    return tn__sub(tag, 1, tag.n - 1);
}


/* The version that a tag of ours names: what is before the suffix. */
static tn_str
tag_version(tn_str tag)
{
    tag = opaque(tag);

    return tag.p ? tn__split(&tag, '-') : TN_NULL;
}


int
tn__if_none_match(const tn_op *op, tn_str etag)
{
    tn_str rest, tag;

    rest = op->if_none_match;
    if (rest.n == 0) {
        return 0;
    }

    while (rest.p) {
        tag = tn__trim(tn__split(&rest, ','));

        if (tn__eq(tag, TN_STR("*")) ||
            (opaque(tag).p && tn__eq(opaque(tag), opaque(etag)))) {
            return 1;
        }
    }

    return 0;
}


tn_err
tn__if_match(tn_str *versions, const tn_op *op)
{
    int64_t n;
    tn__buf out;
    tn_str rest, text;

    *versions = TN_NULL;
    rest = op->if_match;

    if (rest.n == 0 || tn__eq(rest, TN_STR("*"))) {
        return TN_OK;
    }

    /* gzip makes our own tags weak on the way: W/ is taken off. What is no
     * version matches no row; "03" is another tag than "3", whatever SQL
     * makes of it. */
    tn__buf_init(&out, op->mem, 32);

    while (rest.p) {
        text = tag_version(tn__trim(tn__split(&rest, ',')));

        if (text.n && text.p[0] >= '1' && text.p[0] <= '9' &&
            tn__int_parse(&n, text)) {
            tn__buf_char(&out, out.n ? ',' : '{');
            tn__buf_add(&out, text);
        }
    }

    if (out.err == TN_OK && out.n == 0) {
        return TN_E_PRECONDITION_FAILED;
    }

    tn__buf_char(&out, '}');

    return tn__buf_str(versions, &out);
}


int
tn__if_match_holds(const tn_op *op, tn_str version)
{
    tn_str rest;

    rest = op->if_match;

    if (rest.n == 0 || tn__eq(rest, TN_STR("*"))) {
        return 1;
    }

    while (rest.p) {
        if (tn__eq(tag_version(tn__trim(tn__split(&rest, ','))), version)) {
            return 1;
        }
    }

    return 0;
}
