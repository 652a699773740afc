/*
 * router.c: a request's path and method against the tree of routes
 * (model/routes.c). Literal segments win over "{id}".
 */

#include "libcore/http/http.h"


static const tn__route *
match(const tn__route *route, const tn_str *segments, unsigned n,
      tn_str *variable)
{
    size_t key;
    const tn__route *child, *found;

    if (n == 0) {
        return route->nendpoints ? route : NULL;
    }

    key = tn__route_key(segments[0]);

    for (child = route->child; child; child = child->next) {
        if (child->key != key && !tn__route_variable(child)) {
            continue;
        }

        if (tn__route_variable(child)) {
            if (segments[0].n == 0) {
                continue;
            }

            found = match(child, segments + 1, n - 1, variable);
            if (found) {
                *variable = segments[0];
                return found;
            }

        } else if (tn__eq(child->segment, segments[0])) {
            found = match(child, segments + 1, n - 1, variable);
            if (found) {
                return found;
            }
        }
    }

    return NULL;
}


/* The id in lower case; absent when it isn't a UUID. */
static tn_err
path_id(tn_str *out, tn_str variable, tn_mem *mem)
{
    char *text;
    unsigned char uuid[16];

    *out = TN_NULL;

    if (variable.p == NULL || !tn__uuid_parse(uuid, variable)) {
        return TN_OK;
    }

    text = tn__alloc(mem, TN__UUID_TEXT);
    if (text == NULL) {
        return TN_E_NOMEM;
    }

    tn__uuid_text(text, uuid);
    *out = (tn_str){ text, TN__UUID_TEXT };

    return TN_OK;
}


tn_err
tn__route_find(tn_op *op, const tn__route *root)
{
    unsigned i, n;
    tn_str rest, method, variable, segments[TN__SEGMENTS_MAX];

    rest = op->request->path;
    if (root == NULL || rest.n == 0 || rest.p[0] != '/') {
        return TN_E_NOT_FOUND;
    }

    rest = tn__sub(rest, 1, rest.n);

    for (n = 0; rest.p; n++) {
        if (n == TN__SEGMENTS_MAX) {
            return TN_E_NOT_FOUND;
        }
        segments[n] = tn__split(&rest, '/');
    }

    variable = TN_NULL;
    op->route = match(root, segments, n, &variable);
    if (op->route == NULL) {
        return TN_E_NOT_FOUND;
    }

    method = op->request->method;
    if (tn__eq(method, TN_STR("HEAD"))) {
        method = TN_STR("GET");
    }

    for (i = 0; i < op->route->nendpoints; i++) {
        if (tn__eq(op->route->endpoints[i]->method, method)) {
            op->endpoint = op->route->endpoints[i];
            op->path_name = variable;
            return path_id(&op->path_id, variable, op->mem);
        }
    }

    return TN_E_METHOD_NOT_ALLOWED;
}
