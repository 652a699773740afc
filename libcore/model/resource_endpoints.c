/*
 * resource_endpoints.c: what is served of every resource alike: the shapes of
 * its endpoints, and the rows made of them.
 */

#include "libcore/model/compile.h"


/* The endpoints of a resource. NESTED ones hang on the parent's path. */
static const struct {
    const char *verb;    /* of the operationId */
    unsigned plural : 1; /* operationId by path, not by name */
    const char *noun;    /* and what follows it */
    const char *method;
    const char *tail;       /* of the path */
    const char *permission; /* verb of the permission */
    const char *also;       /* and of a second one */
    tn__kind kind;
    const char *action; /* in the audit log */
} shapes[] = {
    { "list", 1, "", "GET", "", "read", NULL, TN__KIND_LIST, ".listed" },
    { "create", 0, "", "POST", "", "create", NULL, TN__KIND_CREATE,
      ".created" },
    { "get", 0, "", "GET", "/{id}", "read", NULL, TN__KIND_READ, ".read" },
    { "update", 0, "", "PATCH", "/{id}", "update", NULL, TN__KIND_UPDATE,
      ".updated" },
    { "delete", 0, "", "DELETE", "/{id}", "delete", NULL, TN__KIND_DELETE,
      ".deleted" },
    { "list", 0, "History", "GET", "/{id}/history", "history", NULL,
      TN__KIND_HISTORY, ".history_listed" },
    { "rollBack", 0, "", "POST", "/{id}/rollback", "update", "history",
      TN__KIND_ROLLBACK, ".rolled_back" },
    { "restore", 0, "", "POST", "/{id}/restore", "restore", NULL,
      TN__KIND_RESTORE, ".restored" },
    { "list", 1, "", "GET", "", "read", NULL, TN__KIND_NESTED, ".listed" },
};

#define NSHAPES (sizeof(shapes) / sizeof(shapes[0]))

_Static_assert(NSHAPES == TN__RESOURCE_ENDPOINTS, "room for each shape");

static const tn__field rollback_input[] = {
    { .name = TN_STR_C("version"),
      .type = TN__TYPE_INT,
      .create = 1,
      .required = 1,
      .has_min = 1,
      .min = 1,
      .about = TN_STR_C("The version to go back to; see the history") },
};


void
tn__compile_camel(tn__buf *buf, tn_str noun)
{
    int upper;
    size_t i;

    for (i = 0, upper = 1; i < noun.n; i++) {
        if (noun.p[i] == '_' || noun.p[i] == '-') {
            upper = 1;
            continue;
        }

        tn__buf_char(buf, upper && noun.p[i] >= 'a' && noun.p[i] <= 'z'
                              ? (char) (noun.p[i] - 32)
                              : noun.p[i]);
        upper = 0;
    }
}


/* "listTasks", "getTask", "listTaskHistory", "listProjectTasks" */
static tn_err
operation_id(tn_str *out, const tn__resource *resource, unsigned shape,
             tn_mem *mem)
{
    tn__buf buf;

    tn__buf_init(&buf, mem, 64);
    tn__buf_add(&buf, tn__compile_str(shapes[shape].verb));

    if (shapes[shape].kind == TN__KIND_NESTED) {
        tn__compile_camel(&buf, resource->parent);
    }

    tn__compile_camel(&buf,
                      shapes[shape].plural ? resource->path : resource->name);
    tn__buf_add(&buf, tn__compile_str(shapes[shape].noun));

    return tn__buf_str(out, &buf);
}


tn_err
tn__compile_permission_name(const char **out, tn_str full_name, tn_str verb,
                            tn_mem *mem)
{
    tn_err err;
    tn_str name, parts[3];

    parts[0] = full_name;
    parts[1] = TN_STR(":");
    parts[2] = verb;

    err = tn__cat(&name, parts, 3, mem);

    if (err == TN_OK) {
        err = tn__dup(&name, name, mem);
    }

    *out = name.p;

    return err;
}


/* Who may read what a list is nested in must be known as well. */
static tn_err
resource_permissions(tn__compiler *c, tn__endpoint *e,
                     const tn__resource *resource, unsigned shape)
{
    tn_err err;

    err = tn__compile_permission_name(&e->permission_name, resource->full_name,
                                      tn__compile_str(shapes[shape].permission),
                                      c->mem);

    if (err == TN_OK && e->kind == TN__KIND_NESTED) {
        err = tn__compile_permission_name(&e->also_name,
                                          resource->parent_resource->full_name,
                                          TN_STR("read"), c->mem);
    }

    if (err == TN_OK && shapes[shape].also) {
        err = tn__compile_permission_name(&e->also_name, resource->full_name,
                                          tn__compile_str(shapes[shape].also),
                                          c->mem);
    }

    return err;
}


static void
resource_fields(tn__compiler *c, tn__endpoint *e, const tn__resource *resource)
{
    e->resource = resource;
    e->output = resource->fields;
    e->noutput = resource->nfields;

    if (e->kind == TN__KIND_CREATE || e->kind == TN__KIND_UPDATE) {
        e->input = resource->fields;
        e->ninput = resource->nfields;
    }

    if (e->kind == TN__KIND_ROLLBACK) {
        e->input = rollback_input;
        e->ninput = 1;
    }

    if (e->kind == TN__KIND_HISTORY) {
        e->output = c->cat->events->fields;
        e->noutput = c->cat->events->nfields;
    }
}


static tn_err
resource_endpoint(tn__compiler *c, tn__endpoint *e,
                  const tn__resource *resource, unsigned shape)
{
    tn_err err;
    tn_str parts[4];

    e->method = tn__compile_str(shapes[shape].method);
    e->kind = shapes[shape].kind;
    e->of_app = 1;
    e->feature = resource->feature;
    e->unit = resource->unit.kinds >> e->kind & 1 ? &resource->unit : NULL;
    resource_fields(c, e, resource);
    tn__compile_conflicts(c, e);

    parts[0] = TN_STR("/v1/");
    parts[1] = resource->path;
    parts[2] = tn__compile_str(shapes[shape].tail);
    parts[3] = TN_STR("");

    if (e->kind == TN__KIND_NESTED) {
        parts[1] = resource->parent_resource->path;
        parts[2] = TN_STR("/{id}/");
        parts[3] = resource->path;
    }

    err = tn__cat(&e->path, parts, 4, c->mem);

    if (err == TN_OK) {
        err = operation_id(&e->operation, resource, shape, c->mem);
    }

    if (err == TN_OK) {
        parts[0] = resource->name;
        parts[1] = tn__compile_str(shapes[shape].action);
        err = tn__cat(&e->action, parts, 2, c->mem);
    }

    return err == TN_OK ? resource_permissions(c, e, resource, shape) : err;
}


/* Whether a resource has this endpoint. */
static int
served(const tn__resource *resource, unsigned shape)
{
    switch (shapes[shape].kind) {
    case TN__KIND_RESTORE:
        return resource->soft_delete;
    case TN__KIND_NESTED:
        return resource->parent_resource && resource->parent_field;
    default:
        return 1;
    }
}


tn_err
tn__compile_resource_endpoints(tn__compiler *c, const tn__resource *resource)
{
    tn_err err;
    unsigned i;

    for (i = 0; i < NSHAPES; i++) {
        if (!served(resource, i)) {
            continue;
        }

        err = resource_endpoint(c, &c->cat->endpoints[c->cat->nendpoints++],
                                resource, i);
        if (err != TN_OK) {
            return err;
        }
    }

    return TN_OK;
}
