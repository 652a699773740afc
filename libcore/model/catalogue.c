/*
 * catalogue.c: a catalogue's life, its roles, and the frame of compilation.
 */

#include "libcore/model/compile.h"
#include "gen/queries.h"


const tn_batch *
tn_catalogue_batch(void)
{
    static const tn_query queries[] = {
#define TN_X(name) { &tn__q_##name.stmt, NULL },
        TN__CATALOGUE_QUERY_MAP(TN_X)
#undef TN_X
    };
    static const tn_batch batch = { .queries = queries, .n = READ_COUNT };

    return &batch;
}


tn_err
tn__compile_fault(tn__compiler *c, const tn_str *parts, unsigned n)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        tn__buf_add(c->fault, parts[i]);
    }

    return TN_E_INTERNAL;
}


tn_str
tn__compile_cell(const tn__compiler *c, unsigned read, unsigned row,
                 unsigned col)
{
    const tn_rows *rows;

    rows = &c->reply->rows[read];
    if (row >= rows->nrows || col >= rows->ncols) {
        return TN_NULL;
    }

    return rows->cells[(size_t) row * rows->ncols + col];
}


unsigned
tn__compile_rows(const tn__compiler *c, unsigned read)
{
    return c->reply->rows[read].nrows;
}


tn_err
tn__compile_dup(tn_str *out, tn__compiler *c, tn_str s)
{
    if (s.p == NULL) {
        *out = TN_NULL;
        return TN_OK;
    }

    return tn__dup(out, s, c->mem);
}


unsigned
tn__compile_permission(const tn__compiler *c, tn_str name)
{
    int64_t number;
    unsigned i;

    for (i = 0; i < tn__compile_rows(c, READ_PERMISSIONS); i++) {
        if (tn__eq(tn__compile_cell(c, READ_PERMISSIONS, i, 1), name) &&
            tn__int_parse(&number,
                          tn__compile_cell(c, READ_PERMISSIONS, i, 0)) &&
            number > 0 && number <= TN__PERM_MAX) {
            return (unsigned) number;
        }
    }

    return 0;
}


const tn__role *
tn__catalogue_role(const tn_catalogue *cat, tn_str name)
{
    unsigned i;

    for (i = 0; i < cat->nroles; i++) {
        if (tn__eq(cat->roles[i].name, name)) {
            return &cat->roles[i];
        }
    }

    return NULL;
}


static tn_err
compile_version(tn__compiler *c)
{
    int64_t version, schema;
    tn_str parts[3];
    tn__buf wanted;

    if (!tn__int_parse(&version, tn__compile_cell(c, READ_VERSION, 0, 0)) ||
        !tn__int_parse(&schema, tn__compile_cell(c, READ_VERSION, 0, 1))) {
        return tn__compile_fault(
            c,
            &TN_STR("tenon.catalogue_version has no row: run tenonctl "
                    "migrate"),
            1);
    }

    if (schema != TN_SCHEMA_VERSION) {
        tn__buf_init(&wanted, c->mem, 24);
        tn__buf_int(&wanted, TN_SCHEMA_VERSION);
        parts[0] = TN_STR("the database's schema version is ");
        parts[1] = tn__compile_cell(c, READ_VERSION, 0, 1);
        parts[2] = TN_STR(", this build needs ");
        tn__compile_fault(c, parts, 3);

        if (tn__buf_str(&parts[0], &wanted) != TN_OK) {
            return TN_E_NOMEM;
        }

        parts[1] = TN_STR(": run tenonctl migrate of the same release");
        return tn__compile_fault(c, parts, 2);
    }

    c->cat->version = (uint64_t) version;

    return TN_OK;
}


static tn_err
compile_roles(tn__compiler *c)
{
    unsigned i;
    int64_t permission;
    tn_str name;
    tn__role *role;
    tn__scope scope;

    c->cat->nroles = tn__compile_rows(c, READ_ROLES);
    c->cat->roles = tn__zalloc(c->mem, (c->cat->nroles + 1) * sizeof(tn__role));
    if (c->cat->roles == NULL) {
        return TN_E_NOMEM;
    }

    for (i = 0; i < c->cat->nroles; i++) {
        name = tn__compile_cell(c, READ_ROLES, i, 0);
        if (tn__compile_dup(&c->cat->roles[i].name, c, name) != TN_OK) {
            return TN_E_NOMEM;
        }
    }

    for (i = 0; i < tn__compile_rows(c, READ_GRANTS); i++) {
        name = tn__compile_cell(c, READ_GRANTS, i, 0);
        role = (tn__role *) tn__catalogue_role(c->cat, name);
        scope = tn__eq(tn__compile_cell(c, READ_GRANTS, i, 2), TN_STR("own"))
                    ? TN__SCOPE_OWN
                    : TN__SCOPE_TENANT;

        if (role == NULL ||
            !tn__int_parse(&permission,
                           tn__compile_cell(c, READ_GRANTS, i, 1)) ||
            permission < 0 ||
            !tn__role_grant(role, (unsigned) permission, scope)) {
            return tn__compile_fault(
                c,
                &TN_STR("tenon.grant holds a role or a permission number "
                        "that can't be served (numbers go to 1024)"),
                1);
        }
    }

    return TN_OK;
}


/* In the order in which the catalogue is read. */
static tn_err
compile_permissions(tn__compiler *c)
{
    unsigned i, n;
    int64_t number;
    tn__permission *p;

    n = tn__compile_rows(c, READ_PERMISSIONS);
    c->cat->permissions = tn__zalloc(c->mem, (n + 1) * sizeof(tn__permission));
    if (c->cat->permissions == NULL) {
        return TN_E_NOMEM;
    }

    for (i = 0; i < n; i++) {
        if (!tn__int_parse(&number,
                           tn__compile_cell(c, READ_PERMISSIONS, i, 0)) ||
            number < 1 || number > TN__PERM_MAX) {
            continue; /* no role can hold it, and no endpoint need it */
        }

        p = &c->cat->permissions[c->cat->npermissions++];
        p->number = (unsigned) number;

        if (tn__compile_dup(&p->name, c,
                            tn__compile_cell(c, READ_PERMISSIONS, i, 1)) !=
            TN_OK) {
            return TN_E_NOMEM;
        }
    }

    return TN_OK;
}


static tn_err
compile_resources(tn__compiler *c)
{
    tn_err err;
    unsigned i, n;

    n = tn__compile_rows(c, READ_RESOURCES);
    c->cat->resources = tn__zalloc(c->mem, (n + 1) * sizeof(tn__resource *));
    if (c->cat->resources == NULL) {
        return TN_E_NOMEM;
    }

    for (i = 0; i < n; i++) {
        err = tn__compile_resource(&c->cat->resources[i], c, i);

        /* one that failed half way holds compiled patterns already */
        if (c->cat->resources[i]) {
            c->cat->nresources++;
        }

        if (err != TN_OK) {
            return err;
        }
    }

    tn__compile_parents(c);

    return TN_OK;
}


/* Each read has its own snapshot: a load in between would mix two catalogues. */
static tn_err
compile_version_after(tn__compiler *c)
{
    if (tn__eq(tn__compile_cell(c, READ_VERSION, 0, 0),
               tn__compile_cell(c, READ_VERSION_AFTER, 0, 0))) {
        return TN_OK;
    }

    tn__compile_fault(
        c,
        &TN_STR("an app is being loaded while the catalogue is read: read it "
                "again"),
        1);

    return TN_E_BUSY;
}


static tn_err
compile_declarations(tn__compiler *c)
{
    tn_err err;

    unsigned i;
    static tn_err (*const all[])(tn__compiler *) = {
        compile_version,     compile_version_after, compile_roles,
        compile_permissions, tn__compile_meters,    compile_resources,
        tn__compile_calls,   tn__compile_scoped,    tn__compile_keys,
    };

    for (i = 0, err = TN_OK; err == TN_OK && i < sizeof(all) / sizeof(all[0]);
         i++) {
        err = all[i](c);
    }

    return err;
}


tn_err
tn__catalogue_compile(tn_catalogue **out, const tn_reply *reply,
                      const tn__slice *slices, unsigned nslices, tn__buf *fault)
{
    tn_err err;
    tn__arena *arena;
    tn__compiler c;

    *out = NULL;

    if (reply && (reply->outcome != TN_DB_OK || reply->n != READ_COUNT)) {
        tn__buf_lit(fault, "the catalogue can't be read: ");
        tn__buf_add(fault, reply->message.p ? reply->message
                                            : TN_STR("no connection"));
        return TN_E_UNAVAILABLE;
    }

    arena = tn__arena_new();
    if (arena == NULL) {
        return TN_E_NOMEM;
    }

    c.mem = tn__arena_mem(arena);
    c.reply = reply;
    c.fault = fault;
    c.cat = tn__zalloc(c.mem, sizeof(tn_catalogue));

    if (c.cat == NULL) {
        tn__arena_free(arena);
        return TN_E_NOMEM;
    }

    c.cat->arena = arena;

    err = reply ? compile_declarations(&c) : TN_OK;

    if (err == TN_OK) {
        err = tn__compile_endpoints(&c, slices, nslices);
    }

    if (err != TN_OK) {
        tn_catalogue_free(c.cat);
        return err;
    }

    *out = c.cat;

    return TN_OK;
}


static void
free_patterns(const tn__field *fields, unsigned n)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        if (fields[i].regex) {
            pcre2_code_free(fields[i].regex);
        }
        free_patterns(fields[i].fields, fields[i].nfields);
    }
}


/* A platform row has fields of its own, and a resource of its own. */
static void
free_endpoint(const tn__endpoint *e)
{
    free_patterns(e->input, e->ninput);

    if (e->resource) {
        free_patterns(e->resource->fields, e->resource->nfields);
    }

    if (e->kind == TN__KIND_NESTED && e->resource) {
        free_patterns(e->resource->parent_resource->fields,
                      e->resource->parent_resource->nfields);
    }

    if (e->resource == NULL || e->output != e->resource->fields) {
        free_patterns(e->output, e->noutput);
    }
}


void
tn_catalogue_free(tn_catalogue *cat)
{
    unsigned i;

    if (cat == NULL) {
        return;
    }

    for (i = 0; i < cat->nresources; i++) {
        free_patterns(cat->resources[i]->fields, cat->resources[i]->nfields);
    }

    for (i = 0; i < cat->ncalls; i++) {
        free_patterns(cat->calls[i].params, cat->calls[i].nparams);
    }

    for (i = 0; i < cat->nplatform; i++) {
        free_endpoint(&cat->endpoints[i]);
    }

    tn__arena_free(cat->arena);
}


uint64_t
tn_catalogue_version(const tn_catalogue *cat)
{
    return cat->version;
}
