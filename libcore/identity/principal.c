/*
 * principal.c: what the principal may do: roles by name.
 */

#include "libcore/identity/identity.h"


/* As find_session tells it: "name=12t,13o;…". */
static const tn__role *
own_role(tn_op *op, tn_str name)
{
    tn__role *role;
    tn_str rest, definition;

    rest = op->principal.roles;

    while (rest.n) {
        definition = tn__split(&rest, ';');

        if (!tn__eq(tn__split(&definition, '='), name)) {
            continue;
        }

        role = tn__zalloc(op->mem, sizeof(tn__role));
        if (role == NULL) {
            tn__fail(op, TN_E_NOMEM, NULL);
            return NULL;
        }

        role->name = name;

        if (!tn__role_parse(role, definition)) {
            tn__log(op, TN_STR("a role of the tenant's own can't be read"));
            return NULL;
        }

        return role;
    }

    return NULL;
}


/* The role as far as the API key goes. */
static const tn__role *
narrowed(tn_op *op, const tn__role *role)
{
    tn__role scopes, *out;

    memset(&scopes, 0, sizeof(scopes));

    if (!tn__role_parse(&scopes, op->principal.scopes)) {
        tn__log(op, TN_STR("the scopes of an API key can't be read"));
        return NULL;
    }

    out = tn__zalloc(op->mem, sizeof(tn__role));
    if (out == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return NULL;
    }

    out->name = role->name;
    tn__role_narrow(out, role, &scopes);

    return out;
}


const tn__role *
tn__principal_role(tn_op *op, tn_str name)
{
    const tn__role *role;

    role = tn__catalogue_role(op->catalogue, name);

    if (role == NULL) {
        role = own_role(op, name);
    }

    return role && op->principal.api_key.p ? narrowed(op, role) : role;
}
