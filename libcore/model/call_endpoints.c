/*
 * call_endpoints.c: actions and queries as rows of the table of endpoints.
 *
 *     POST /v1/visits/{id}/check-in     checkInVisit     clinic.visit:check_in
 *     GET  /v1/queries/dashboard        queryDashboard   clinic.dashboard:read
 */

#include "libcore/model/compile.h"


/* "check_in" → "check-in" */
static void
dashed(tn__buf *buf, tn_str name)
{
    size_t i;

    for (i = 0; i < name.n; i++) {
        tn__buf_char(buf, name.p[i] == '_' ? '-' : name.p[i]);
    }
}


static tn_err
path_of(tn_str *out, const tn__call *call, tn_mem *mem)
{
    tn__buf buf;

    tn__buf_init(&buf, mem, 64);
    tn__buf_lit(&buf, "/v1/");
    tn__buf_add(&buf,
                call->resource ? call->resource->path : TN_STR("queries"));
    tn__buf_add(&buf, call->resource ? TN_STR("/{id}/") : TN_STR("/"));
    dashed(&buf, call->name);

    return tn__buf_str(out, &buf);
}


static tn_err
operation_of(tn_str *out, const tn__call *call, tn_mem *mem)
{
    tn__buf buf;

    tn__buf_init(&buf, mem, 64);

    if (call->resource == NULL) {
        tn__buf_lit(&buf, "query");
        tn__compile_camel(&buf, call->name);
        return tn__buf_str(out, &buf);
    }

    tn__compile_camel(&buf, call->name);

    /* "CheckIn": a name begins with a letter */
    if (buf.err == TN_OK) {
        buf.p[0] = call->name.p[0];
    }

    tn__compile_camel(&buf, call->resource->name);

    return tn__buf_str(out, &buf);
}


/* "visit.check_in", "dashboard.read": in the audit log. */
static tn_err
action_of(tn_str *out, const tn__call *call, tn_mem *mem)
{
    tn_str parts[3];

    parts[0] = call->resource ? call->resource->name : call->name;
    parts[1] = TN_STR(".");
    parts[2] = call->resource ? call->name : TN_STR("read");

    return tn__cat(out, parts, 3, mem);
}


static tn_err
permission_of(const char **out, const tn__call *call, tn_mem *mem)
{
    tn_err err;
    tn_str name, parts[3];

    if (call->resource) {
        return tn__compile_permission_name(out, call->resource->full_name,
                                           call->name, mem);
    }

    parts[0] = call->app;
    parts[1] = TN_STR(".");
    parts[2] = call->name;
    err = tn__cat(&name, parts, 3, mem);

    return err == TN_OK
               ? tn__compile_permission_name(out, name, TN_STR("read"), mem)
               : err;
}


static tn_err
call_endpoint(tn__compiler *c, tn__endpoint *e, const tn__call *call)
{
    tn_err err;

    e->call = call;
    e->resource = call->resource;
    e->of_app = 1;
    e->feature = call->feature;
    e->also_feature = call->resource ? call->resource->feature : 0;
    e->unit = call->resource && call->unit.meter.p ? &call->unit : NULL;
    e->kind = call->resource ? TN__KIND_ACTION : TN__KIND_QUERY;
    e->method = call->resource ? TN_STR("POST") : TN_STR("GET");
    e->summary = call->summary;
    e->stmt = &call->stmt;
    e->output = call->columns;
    e->noutput = call->ncolumns;

    /* a query's arguments come in its query string, not in a body */
    if (call->resource) {
        e->input = call->params;
        e->ninput = call->nparams;
    }

    tn__compile_conflicts(c, e);
    err = path_of(&e->path, call, c->mem);

    if (err == TN_OK) {
        err = operation_of(&e->operation, call, c->mem);
    }

    if (err == TN_OK) {
        err = action_of(&e->action, call, c->mem);
    }

    return err == TN_OK ? permission_of(&e->permission_name, call, c->mem)
                        : err;
}


tn_err
tn__compile_call_endpoints(tn__compiler *c)
{
    tn_err err;
    unsigned i;

    for (i = 0; i < c->cat->ncalls; i++) {
        err = call_endpoint(c, &c->cat->endpoints[c->cat->nendpoints++],
                            &c->cat->calls[i]);
        if (err != TN_OK) {
            return err;
        }
    }

    return TN_OK;
}
