/*
 * endpoints.c: the platform's endpoint rows and an app's as one table; the
 * router over it; the statements worth preparing ahead.
 */

#include "libcore/model/compile.h"
#include "gen/queries.h"


static tn_err
copy_fields(tn__compiler *c, const tn__field **fields, unsigned n)
{
    tn_err err;
    unsigned i;
    tn__field *copy;

    if (n == 0) {
        return TN_OK;
    }

    copy = tn__alloc(c->mem, n * sizeof(tn__field));
    if (copy == NULL) {
        return TN_E_NOMEM;
    }

    memcpy(copy, *fields, n * sizeof(tn__field));
    *fields = copy;

    for (i = 0; i < n; i++) {
        err = copy_fields(c, &copy[i].fields, copy[i].nfields);
        if (err != TN_OK) {
            return err;
        }
    }

    return tn__compile_fields(c, copy, n);
}


/* The same for who may read in some accounts only. */
static tn_err
copy_scoped(tn__compiler *c, tn__resource *resource)
{
    resource->scoped = tn__alloc(c->mem, sizeof(tn__resource));
    if (resource->scoped == NULL) {
        return TN_E_NOMEM;
    }

    *resource->scoped = *resource;
    resource->scoped->within = 1;

    return tn__resource_compile_read(resource->scoped, c->mem);
}


static tn_err
copy_resource(tn__compiler *c, const tn__resource **resource)
{
    tn_err err;
    tn__resource *copy;

    copy = tn__alloc(c->mem, sizeof(tn__resource));
    if (copy == NULL) {
        return TN_E_NOMEM;
    }

    *copy = **resource;
    *resource = copy;

    err = copy_fields(c, &copy->fields, copy->nfields);

    if (err == TN_OK) {
        err = tn__resource_compile_read(copy, c->mem);
    }

    return err == TN_OK && copy->account.p ? copy_scoped(c, copy) : err;
}


/* A platform row: what the table in C leaves out is filled in on a copy. */
static tn_err
platform_endpoint(tn__compiler *c, tn__endpoint *e)
{
    tn_err err;
    tn__resource *resource;

    err = copy_fields(c, &e->input, e->ninput);

    if (err == TN_OK) {
        err = copy_fields(c, &e->output, e->noutput);
    }

    if (err != TN_OK || e->resource == NULL) {
        return err;
    }

    err = copy_resource(c, &e->resource);

    if (err == TN_OK && e->kind == TN__KIND_NESTED) {
        /* its own copy, too */
        resource = (tn__resource *) e->resource;
        err = copy_resource(c, &resource->parent_resource);
    }

    if (err == TN_OK && e->output == NULL && e->kind != TN__KIND_DELETE &&
        e->status != 204) {
        e->output = e->resource->fields;
        e->noutput = e->resource->nfields;
    }

    return err;
}


/* The plain first page of a list, as a statement of its own. */
static tn_err
list_statement(const tn__bound **out, tn__compiler *c, const tn__endpoint *e,
               const tn__resource *r)
{
    tn__bound *bound;
    tn__list_shape shape;

    memset(&shape, 0, sizeof(shape));
    shape.sort = tn__field_find(r->fields, r->nfields, r->order);
    shape.nested = e->kind == TN__KIND_NESTED;
    shape.history = e->kind == TN__KIND_HISTORY;
    shape.within = !r->within ? 0 : r->shareable ? 2 : 1;

    bound = tn__zalloc(c->mem, sizeof(tn__bound));

    if (bound == NULL || tn__list_compile(bound, r, &shape, c->mem) != TN_OK) {
        return TN_E_NOMEM;
    }

    *out = bound;

    return TN_OK;
}


/* Of a resource, or of the one that stands for it in a scope of accounts. */
static tn_err
choose_statement(const tn__bound **out, tn__compiler *c, const tn__endpoint *e,
                 const tn__resource *r)
{
    switch (e->kind) {

    case TN__KIND_LIST:
    case TN__KIND_NESTED:
        return list_statement(out, c, e, r);

    case TN__KIND_HISTORY:
        return list_statement(out, c, e, c->cat->events);

    case TN__KIND_READ:
        *out = &r->read;
        break;

    case TN__KIND_CREATE:
        *out = &r->create;
        break;

    case TN__KIND_UPDATE:
        *out = &r->update;
        break;

    case TN__KIND_DELETE:
        *out = &r->remove;
        break;

    case TN__KIND_RESTORE:
        *out = &r->restore;
        break;

    case TN__KIND_ROLLBACK:
        *out = &r->rollback;
        break;

    case TN__KIND_ACTION:
        *out = r->within ? &e->call->scoped : &e->call->stmt;
        break;

    default:
        break;
    }

    return TN_OK;
}


/* The statement that an endpoint's row stands for, and the columns that its
 * answer must hold for the output. */
static tn_err
attach_statement(tn__compiler *c, tn__endpoint *e)
{
    tn_err err;
    unsigned i;
    tn_str *columns;

    err = e->resource ? choose_statement(&e->stmt, c, e, e->resource) : TN_OK;

    if (err == TN_OK && e->resource && e->resource->scoped) {
        err = choose_statement(&e->scoped, c, e, e->resource->scoped);
    }

    if (err != TN_OK || e->kind == TN__KIND_DELETE) {
        return err;
    }

    columns = tn__alloc(c->mem, (e->noutput + 1) * sizeof(tn_str));
    if (columns == NULL) {
        return TN_E_NOMEM;
    }

    for (i = 0; i < e->noutput; i++) {
        columns[i] = e->output[i].name;
    }

    e->columns = columns;
    e->ncolumns = e->noutput;

    return TN_OK;
}


static tn_err
resolve_permission(unsigned *number, tn__compiler *c, const tn__endpoint *e,
                   const char *permission)
{
    tn_str name, parts[4];

    name = permission ? tn__compile_str(permission) : TN_STR("");

    if (tn__eq(name, TN_STR("public"))) {
        *number = TN__PERM_PUBLIC;
        return TN_OK;
    }

    if (tn__eq(name, TN_STR("authenticated"))) {
        *number = TN__PERM_AUTHENTICATED;
        return TN_OK;
    }

    *number = tn__compile_permission(c, name);
    if (*number) {
        return TN_OK;
    }

    parts[0] = e->operation;
    parts[1] = TN_STR(": its permission \"");
    parts[2] = name;
    parts[3] = TN_STR("\" is not in tenon.permission");

    return tn__compile_fault(c, parts, 4);
}


static tn_err
resolve_permissions(tn__compiler *c, tn__endpoint *e)
{
    tn_err err;
    tn_str name, parts[2];
    tn__resource *resource;

    err = resolve_permission(&e->permission, c, e, e->permission_name);

    if (err == TN_OK && e->also_name) {
        err = resolve_permission(&e->also, c, e, e->also_name);
    }

    resource = (tn__resource *) e->resource; /* this catalogue's own */

    if (err != TN_OK || resource == NULL || resource->read_permission) {
        return err;
    }

    parts[0] = resource->full_name;
    parts[1] = TN_STR(":read");
    err = tn__cat(&name, parts, 2, c->mem);

    if (err == TN_OK) {
        resource->read_permission = tn__compile_permission(c, name);
    }

    return err;
}


/* Whose an endpoint is: "clinic.visit", "clinic.visit:check_in",
 * "clinic.dashboard". */
static void
owner(tn__buf *buf, const tn__endpoint *e)
{
    if (!e->of_app) {
        tn__buf_lit(buf, "the platform");

    } else if (e->resource) {
        tn__buf_add(buf, e->resource->full_name);

        if (e->call) {
            tn__buf_lit(buf, ":");
            tn__buf_add(buf, e->call->name);
        }

    } else {
        tn__buf_add(buf, e->call->app);
        tn__buf_lit(buf, ".");
        tn__buf_add(buf, e->call->name);
    }
}


/* What must change: an operation is called by name or by path, a call's path
 * comes of its name. */
static void
mend(tn__buf *buf, const tn__endpoint *a, const tn__endpoint *b, int same_path)
{
    int name, path;

    name = 1;
    path = a->call == NULL && b->call == NULL && same_path;

    if (path && a->of_app) {
        name = tn__eq(a->resource->name, b->resource->name);
    }

    tn__buf_lit(buf, ": give ");

    if (a->of_app) {
        tn__buf_lit(buf, "one");
    } else {
        owner(buf, b);
    }

    tn__buf_lit(buf, " another ");
    tn__buf_add(buf, name ? TN_STR("name => '…'") : TN_STR(""));
    tn__buf_add(buf, name && path ? TN_STR(" and ") : TN_STR(""));
    tn__buf_add(buf, path ? TN_STR("path => '…'") : TN_STR(""));
}


static tn_err
check_unique(tn__compiler *c, const tn__endpoint *e)
{
    int path;
    const tn__endpoint *other;

    for (other = c->cat->endpoints; other < e; other++) {
        path = tn__eq(other->path, e->path) && tn__eq(other->method, e->method);

        if (!path && !tn__eq(other->operation, e->operation)) {
            continue;
        }

        owner(c->fault, other);
        tn__buf_lit(c->fault, " and ");
        owner(c->fault, e);

        if (path) {
            tn__buf_lit(c->fault, " would both serve ");
            tn__buf_add(c->fault, e->method);
            tn__buf_lit(c->fault, " ");
            tn__buf_add(c->fault, e->path);
        } else {
            tn__buf_lit(c->fault, " would both be ");
            tn__buf_add(c->fault, e->operation);
        }

        mend(c->fault, other, e, path);
        return TN_E_INTERNAL;
    }

    return TN_OK;
}


static tn_err
finish(tn__compiler *c)
{
    tn_err err;
    unsigned i;
    tn__endpoint *e;

    for (i = 0; i < c->cat->nendpoints; i++) {
        e = &c->cat->endpoints[i];

        err = resolve_permissions(c, e);

        if (err == TN_OK) {
            err = attach_statement(c, e);
        }

        if (err == TN_OK) {
            err = check_unique(c, e);
        }

        if (err != TN_OK) {
            return err;
        }

        err = tn__route_add(&c->cat->routes, e, c->mem);
        if (err != TN_OK) {
            return err;
        }
    }

    return TN_OK;
}


static const tn_stmt *const platform_statements[] = {
#define TN_X(name) &tn__q_##name.stmt,
    TN__QUERY_MAP(TN_X)
#undef TN_X
};

#define NPLATFORM (sizeof(platform_statements) / sizeof(platform_statements[0]))


/* Two endpoints may share a statement: preparing a name twice is an error. */
static void
add_statement(tn_catalogue *cat, const tn_stmt *stmt)
{
    unsigned i;

    for (i = 0; i < cat->nstatements; i++) {
        if (tn__eq(cat->statements[i]->name, stmt->name)) {
            return;
        }
    }

    cat->statements[cat->nstatements++] = stmt;
}


/* What is asked for seldom is prepared when it is first asked for: a prepared
 * statement costs each connection some 50 KB in the server. */
static const unsigned char ahead[] = {
    [TN__KIND_LIST] = 1,   [TN__KIND_READ] = 1,   [TN__KIND_CREATE] = 1,
    [TN__KIND_UPDATE] = 1, [TN__KIND_DELETE] = 1, [TN__KIND_NESTED] = 1,
    [TN__KIND_STEP] = 0,
};


static tn_err
collect_statements(tn__compiler *c)
{
    unsigned i;
    tn_catalogue *cat;

    cat = c->cat;
    cat->statements =
        tn__alloc(c->mem, (NPLATFORM + cat->nendpoints) * sizeof(tn_stmt *));
    if (cat->statements == NULL) {
        return TN_E_NOMEM;
    }

    for (i = 0; i < NPLATFORM; i++) {
        add_statement(cat, platform_statements[i]);
    }

    for (i = 0; i < cat->nendpoints; i++) {
        if (cat->endpoints[i].stmt && ahead[cat->endpoints[i].kind]) {
            add_statement(cat, &cat->endpoints[i].stmt->stmt);
        }
    }

    return TN_OK;
}


void
tn_catalogue_statements(const tn_stmt *const **list, unsigned *n,
                        const tn_catalogue *cat)
{
    *list = cat ? cat->statements : platform_statements;
    *n = cat ? cat->nstatements : (unsigned) NPLATFORM;
}


static tn_err
add_platform(tn__compiler *c, const tn__slice *slice)
{
    tn_err err;
    unsigned i;
    tn__endpoint *e;

    for (i = 0; i < slice->n; i++) {
        e = &c->cat->endpoints[c->cat->nendpoints++];
        *e = slice->endpoints[i];
        c->cat->nplatform++;

        err = platform_endpoint(c, e);
        if (err != TN_OK) {
            return err;
        }
    }

    return TN_OK;
}


tn_err
tn__compile_endpoints(tn__compiler *c, const tn__slice *slices,
                      unsigned nslices)
{
    tn_err err;
    unsigned i, n;

    n = c->cat->nresources * TN__RESOURCE_ENDPOINTS + c->cat->ncalls;

    for (i = 0; i < nslices; i++) {
        n += slices[i].n;
    }

    c->cat->endpoints = tn__zalloc(c->mem, n * sizeof(tn__endpoint));
    if (c->cat->endpoints == NULL) {
        return TN_E_NOMEM;
    }

    c->cat->events = &tn__event_resource;
    err = copy_resource(c, &c->cat->events);

    for (i = 0; err == TN_OK && i < nslices; i++) {
        err = add_platform(c, &slices[i]);
    }

    for (i = 0; err == TN_OK && i < c->cat->nresources; i++) {
        err = tn__compile_resource_endpoints(c, c->cat->resources[i]);
    }

    if (err == TN_OK) {
        err = tn__compile_call_endpoints(c);
    }

    if (err == TN_OK) {
        err = finish(c);
    }

    return err == TN_OK ? collect_statements(c) : err;
}
