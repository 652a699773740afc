/*
 * endpoints.c: the platform's endpoint rows and an app's as one table; the
 * router over it; the statements worth preparing ahead.
 */

#include "libcore/model/compile.h"
#include "gen/queries.h"


/* The five endpoints of a resource. */
static const struct {
    const char *verb;    /* of the operationId */
    unsigned plural : 1; /* operationId by path, not by name */
    unsigned row : 1;    /* path ends in /{id} */
    const char *method;
    const char *permission; /* verb of the permission */
    tn__kind kind;
} shapes[] = {
    { "list", 1, 0, "GET", "read", TN__KIND_LIST },
    { "create", 0, 0, "POST", "create", TN__KIND_CREATE },
    { "get", 0, 1, "GET", "read", TN__KIND_READ },
    { "update", 0, 1, "PATCH", "update", TN__KIND_UPDATE },
    { "delete", 0, 1, "DELETE", "delete", TN__KIND_DELETE },
};

#define NSHAPES (sizeof(shapes) / sizeof(shapes[0]))


static tn_str
str(const char *s)
{
    return (tn_str){ s, strlen(s) };
}


/* "list" + "work_orders" → "listWorkOrders" */
static tn_err
operation_id(tn_str *out, const char *verb, tn_str noun, tn_mem *mem)
{
    int upper;
    size_t i;
    tn__buf buf;

    tn__buf_init(&buf, mem, 64);
    tn__buf_add(&buf, str(verb));

    for (i = 0, upper = 1; i < noun.n; i++) {
        if (noun.p[i] == '_' || noun.p[i] == '-') {
            upper = 1;
            continue;
        }

        tn__buf_char(&buf, upper && noun.p[i] >= 'a' && noun.p[i] <= 'z'
                               ? (char) (noun.p[i] - 32)
                               : noun.p[i]);
        upper = 0;
    }

    return tn__buf_str(out, &buf);
}


static tn_err
resource_endpoint(tn__compiler *c, tn__endpoint *e,
                  const tn__resource *resource, unsigned shape)
{
    tn_err err;
    tn_str permission, parts[3];

    e->method = str(shapes[shape].method);
    e->kind = shapes[shape].kind;
    e->resource = resource;
    e->output = resource->fields;
    e->noutput = resource->nfields;

    if (e->kind == TN__KIND_CREATE || e->kind == TN__KIND_UPDATE) {
        e->input = resource->fields;
        e->ninput = resource->nfields;
    }

    parts[0] = TN_STR("/v1/");
    parts[1] = resource->path;
    parts[2] = shapes[shape].row ? TN_STR("/{id}") : TN_STR("");
    err = tn__cat(&e->path, parts, 3, c->mem);

    if (err == TN_OK) {
        err = operation_id(
            &e->operation, shapes[shape].verb,
            shapes[shape].plural ? resource->path : resource->name, c->mem);
    }

    if (err == TN_OK) {
        parts[0] = resource->full_name;
        parts[1] = TN_STR(":");
        parts[2] = str(shapes[shape].permission);
        err = tn__cat(&permission, parts, 3, c->mem);
    }

    if (err == TN_OK) {
        err = tn__dup(&permission, permission, c->mem);
        e->permission_name = permission.p;
    }

    return err;
}


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


/* A platform row: what the table in C leaves out is filled in on a copy. */
static tn_err
platform_endpoint(tn__compiler *c, tn__endpoint *e)
{
    tn_err err;
    tn__resource *resource;

    if (e->resource) {
        resource = tn__alloc(c->mem, sizeof(tn__resource));
        if (resource == NULL) {
            return TN_E_NOMEM;
        }

        *resource = *e->resource;
        err = copy_fields(c, &resource->fields, resource->nfields);
        e->resource = resource;
        e->output = resource->fields;
        e->noutput = resource->nfields;
        return err;
    }

    err = copy_fields(c, &e->input, e->ninput);

    return err == TN_OK ? copy_fields(c, &e->output, e->noutput) : err;
}


/* The statement that an endpoint's row stands for, and the columns that its
 * answer must hold for the output. */
static tn_err
attach_statement(tn__compiler *c, tn__endpoint *e)
{
    unsigned i;
    tn_str *columns;
    tn__bound *bound;
    tn__list_shape shape;
    const tn__resource *r;

    r = e->resource;

    switch (e->kind) {

    case TN__KIND_LIST:
        memset(&shape, 0, sizeof(shape));
        shape.sort = tn__field_find(r->fields, r->nfields, r->order);
        bound = tn__zalloc(c->mem, sizeof(tn__bound));

        if (bound == NULL ||
            tn__list_compile(bound, r, &shape, c->mem) != TN_OK) {
            return TN_E_NOMEM;
        }

        e->stmt = bound;
        break;

    case TN__KIND_READ:
        e->stmt = r ? &r->read : e->stmt;
        break;

    case TN__KIND_CREATE:
        e->stmt = &r->create;
        break;

    case TN__KIND_UPDATE:
        e->stmt = &r->update;
        break;

    case TN__KIND_DELETE:
        e->stmt = &r->remove;
        return TN_OK;

    default:
        break;
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
resolve_permission(tn__compiler *c, tn__endpoint *e)
{
    tn_str name, parts[4];

    name = e->permission_name ? str(e->permission_name) : TN_STR("");

    if (tn__eq(name, TN_STR("public"))) {
        e->permission = TN__PERM_PUBLIC;
        return TN_OK;
    }

    if (tn__eq(name, TN_STR("authenticated"))) {
        e->permission = TN__PERM_AUTHENTICATED;
        return TN_OK;
    }

    e->permission = tn__compile_permission(c, name);
    if (e->permission) {
        return TN_OK;
    }

    parts[0] = e->operation;
    parts[1] = TN_STR(": its permission \"");
    parts[2] = name;
    parts[3] = TN_STR("\" is not in tenon.permission");

    return tn__compile_fault(c, parts, 4);
}


static tn_err
finish(tn__compiler *c)
{
    tn_err err;
    unsigned i, k;
    tn_str parts[4];
    tn__endpoint *e;

    for (i = 0; i < c->cat->nendpoints; i++) {
        e = &c->cat->endpoints[i];

        err = resolve_permission(c, e);

        if (err == TN_OK) {
            err = attach_statement(c, e);
        }

        if (err != TN_OK) {
            return err;
        }

        for (k = 0; k < i; k++) {
            if (tn__eq(c->cat->endpoints[k].operation, e->operation) ||
                (tn__eq(c->cat->endpoints[k].path, e->path) &&
                 tn__eq(c->cat->endpoints[k].method, e->method))) {
                parts[0] = TN_STR("two endpoints are ");
                parts[1] = e->operation;
                parts[2] = TN_STR(" or share the path ");
                parts[3] = e->path;
                return tn__compile_fault(c, parts, 4);
            }
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
        if (cat->endpoints[i].stmt) {
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


tn_err
tn__compile_endpoints(tn__compiler *c, const tn__slice *slices,
                      unsigned nslices)
{
    tn_err err;
    unsigned i, k, n;
    tn__endpoint *e;

    n = c->cat->nresources * NSHAPES;

    for (i = 0; i < nslices; i++) {
        n += slices[i].n;
    }

    c->cat->endpoints = tn__zalloc(c->mem, n * sizeof(tn__endpoint));
    if (c->cat->endpoints == NULL) {
        return TN_E_NOMEM;
    }

    for (i = 0; i < nslices; i++) {
        for (k = 0; k < slices[i].n; k++) {
            e = &c->cat->endpoints[c->cat->nendpoints++];
            *e = slices[i].endpoints[k];

            err = platform_endpoint(c, e);
            if (err != TN_OK) {
                return err;
            }
        }
    }

    for (i = 0; i < c->cat->nresources; i++) {
        for (k = 0; k < NSHAPES; k++) {
            e = &c->cat->endpoints[c->cat->nendpoints++];

            err = resource_endpoint(c, e, c->cat->resources[i], k);
            if (err != TN_OK) {
                return err;
            }
        }
    }

    err = finish(c);

    return err == TN_OK ? collect_statements(c) : err;
}
