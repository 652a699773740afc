/*
 * model/queries.h: the platform's statements, from schema/queries/, made
 * into C at build time by libcore/queries.pl. There is one declaration for
 * each "-- name: X" there: tn__q_X.
 */

#ifndef TN__QUERIES_H
#define TN__QUERIES_H

#include "libcore/model/model.h"

#define TN__QUERY_MAP(X) \
    X(context)           \
    X(context_write)     \
    X(ready)             \
    X(find_tenant)       \
    X(find_tenant_by_id) \
    X(find_session)      \
    X(signup)            \
    X(login_find)        \
    X(login_done)        \
    X(login_failed)      \
    X(logout)            \
    X(me)                \
    X(tenant)

#define TN_X(name) extern const tn__bound tn__q_##name;
TN__QUERY_MAP(TN_X)
#undef TN_X

/* The catalogue's, in the order in which they are read. */
#define TN__CATALOGUE_QUERY_MAP(X) \
    X(catalogue_version)           \
    X(catalogue_roles)             \
    X(catalogue_permissions)       \
    X(catalogue_grants)            \
    X(catalogue_resources)         \
    X(catalogue_fields)            \
    X(catalogue_references)        \
    X(catalogue_transitions)

#define TN_X(name) extern const tn__bound tn__q_##name;
TN__CATALOGUE_QUERY_MAP(TN_X)
#undef TN_X

#endif
