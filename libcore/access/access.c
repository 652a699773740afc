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


int
tn__role_parse(tn__role *role, tn_str text)
{
    int64_t number;
    tn_str grant;

    while (text.n) {
        grant = tn__split(&text, ',');

        if (grant.n < 2 ||
            !tn__int_parse(&number, tn__sub(grant, 0, grant.n - 1)) ||
            number < 1 || number > TN__PERM_MAX ||
            (grant.p[grant.n - 1] != 't' && grant.p[grant.n - 1] != 'o')) {
            return 0;
        }

        tn__role_grant(role, (unsigned) number,
                       grant.p[grant.n - 1] == 't' ? TN__SCOPE_TENANT
                                                   : TN__SCOPE_OWN);
    }

    return 1;
}


void
tn__role_narrow(tn__role *out, const tn__role *a, const tn__role *b)
{
    unsigned i;

    for (i = 0; i < sizeof(out->own.word) / sizeof(out->own.word[0]); i++) {
        out->tenant.word[i] = a->tenant.word[i] & b->tenant.word[i];
        out->own.word[i] = (a->tenant.word[i] | a->own.word[i]) &
                           (b->tenant.word[i] | b->own.word[i]);
    }
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
