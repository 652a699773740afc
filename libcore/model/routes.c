/*
 * routes.c: the tree of path segments that http/router.c walks. Variables
 * stand last among their siblings, so that literals are tried first.
 */

#include "libcore/model/model.h"


static tn__route *
child_of(tn__route *route, tn_str segment)
{
    tn__route *child;

    for (child = route->child; child; child = child->next) {
        if (tn__eq(child->segment, segment)) {
            return child;
        }
    }

    return NULL;
}


tn_err
tn__route_add(tn__route **root, const tn__endpoint *endpoint, tn_mem *mem)
{
    tn_str rest, segment;
    tn__route *route, *child, **last;
    const tn__endpoint **grown;

    if (*root == NULL) {
        *root = tn__zalloc(mem, sizeof(tn__route));
        if (*root == NULL) {
            return TN_E_NOMEM;
        }
    }

    route = *root;
    rest = tn__sub(endpoint->path, 1, endpoint->path.n);

    while (rest.p) {
        segment = tn__split(&rest, '/');
        child = child_of(route, segment);

        if (child == NULL) {
            child = tn__zalloc(mem, sizeof(tn__route));
            if (child == NULL) {
                return TN_E_NOMEM;
            }

            child->segment = segment;
            child->key =
                tn__starts(segment, TN_STR("{")) ? 0 : tn__route_key(segment);

            for (last = &route->child; *last && (tn__route_variable(child) ||
                                                 !tn__route_variable(*last));
                 last = &(*last)->next) {
                /* void */
            }

            child->next = *last;
            *last = child;
        }

        route = child;
    }

    grown = tn__alloc(mem, (route->nendpoints + 1) * sizeof(endpoint));
    if (grown == NULL) {
        return TN_E_NOMEM;
    }

    if (route->nendpoints) {
        memcpy(grown, route->endpoints, route->nendpoints * sizeof(endpoint));
    }

    grown[route->nendpoints++] = endpoint;
    route->endpoints = grown;

    return TN_OK;
}
