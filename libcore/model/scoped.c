/*
 * scoped.c: resources whose rows belong to accounts, or can be shared, once
 * more for those who may do something in some accounts only: the same fields,
 * and statements that ask whose the row is. Who may do it in the whole tenant
 * is served by the others, which know nothing of accounts.
 */

#include "libcore/model/compile.h"


/* The column by which rows of a relation belong to accounts, and who may read
 * them; 0 when they belong to none. */
static int
belongs(tn_str *column, tn_str *full_name, const tn__compiler *c,
        tn_str relation)
{
    unsigned i;
    const tn__resource *resource;

    if (tn__eq(relation, TN_STR("tenon.account"))) {
        *column = TN_STR("id");
        *full_name = relation;
        return 1;
    }

    for (i = 0; i < c->cat->nresources; i++) {
        resource = c->cat->resources[i];

        if (tn__eq(resource->relation, relation)) {
            *column = resource->account;
            *full_name = resource->full_name;
            return resource->account.p != NULL;
        }
    }

    return 0;
}


/* What is referred to may be another account's. */
static tn_err
compile_reference(tn__compiler *c, tn__reference *reference)
{
    tn__buf buf;
    tn_str full_name, name, parts[2];

    if (!belongs(&reference->account, &full_name, c, reference->relation)) {
        return TN_OK;
    }

    parts[0] = full_name;
    parts[1] = TN_STR(":read");

    if (tn__cat(&name, parts, 2, c->mem) != TN_OK) {
        return TN_E_NOMEM;
    }

    reference->permission = tn__compile_permission(c, name);
    tn__buf_init(&buf, c->mem, 24);
    tn__buf_lit(&buf, TN__REACH_OF);
    tn__buf_int(&buf, reference->permission);

    return tn__buf_str(&reference->reach, &buf);
}


static tn_err
compile_twin(tn__compiler *c, tn__resource *resource)
{
    tn_err err;
    unsigned i;

    for (i = 0, err = TN_OK; i < resource->nfields && err == TN_OK; i++) {
        if (resource->fields[i].reference) {
            err = compile_reference(
                c, (tn__reference *) resource->fields[i].reference);
        }
    }

    if (err != TN_OK) {
        return err;
    }

    resource->scoped = tn__alloc(c->mem, sizeof(tn__resource));
    if (resource->scoped == NULL) {
        return TN_E_NOMEM;
    }

    *resource->scoped = *resource;
    resource->scoped->within = 1;

    return tn__resource_compile(resource->scoped, c->mem);
}


static tn_err
compile_call(tn__compiler *c, tn__call *call)
{
    tn_err err;
    tn__call twin;

    twin = *call;
    twin.resource = call->resource->scoped;
    err = tn__call_compile(&twin, c->mem);
    call->scoped = twin.stmt;

    return err;
}


tn_err
tn__compile_scoped(tn__compiler *c)
{
    tn_err err;
    unsigned i;
    tn__resource *resource;
    tn__call *call;

    err = TN_OK;

    for (i = 0; i < c->cat->nresources && err == TN_OK; i++) {
        resource = c->cat->resources[i];

        if (resource->account.p || resource->shareable) {
            err = compile_twin(c, resource);
        }
    }

    for (i = 0; i < c->cat->ncalls && err == TN_OK; i++) {
        call = &c->cat->calls[i];

        if (call->resource && call->resource->scoped) {
            err = compile_call(c, call);
        }
    }

    return err;
}
