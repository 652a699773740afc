/*
 * access.c: bitset roles.
 */

#include "libcore/access/access.h"


static int
bit(const tn__bits *bits, unsigned n)
{
    return (bits->word[n / 64] >> (n % 64)) & 1;
}


int
tn__role_grant(tn__role *role, unsigned permission, tn__scope scope)
{
    tn__bits *bits;

    if (permission == 0 || permission > TN__PERM_MAX) {
        return 0;
    }

    bits = scope == TN__SCOPE_TENANT ? &role->tenant : &role->own;
    bits->word[permission / 64] |= (uint64_t) 1 << (permission % 64);

    return 1;
}


tn__scope
tn__role_scope(const tn__role *role, unsigned permission)
{
    if (permission == TN__PERM_PUBLIC || permission == TN__PERM_AUTHENTICATED) {
        return TN__SCOPE_TENANT;
    }

    if (role == NULL || permission == 0 || permission > TN__PERM_MAX) {
        return TN__SCOPE_NONE;
    }

    if (bit(&role->tenant, permission)) {
        return TN__SCOPE_TENANT;
    }

    return bit(&role->own, permission) ? TN__SCOPE_OWN : TN__SCOPE_NONE;
}
