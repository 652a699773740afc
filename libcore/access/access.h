/*
 * access/access.h: who may do what. A permission is a number (append-only in
 * the database), a role two bitsets: what it may do anywhere in the tenant,
 * and what it may do with rows of its own. A check is a bit test.
 */

#ifndef TN__ACCESS_H
#define TN__ACCESS_H

#include "libcore/base/base.h"

#define TN__PERM_MAX 1024 /* a catalogue with higher numbers is refused */

/* Permissions that are no number: every endpoint row names one of these or a
 * real permission; 0 is none of them, so a forgotten one is refused. */
#define TN__PERM_PUBLIC        (TN__PERM_MAX + 1)
#define TN__PERM_AUTHENTICATED (TN__PERM_MAX + 2)

typedef enum tn__scope {
    TN__SCOPE_NONE,
    TN__SCOPE_OWN,     /* rows whose owner column names the principal */
    TN__SCOPE_ACCOUNT, /* rows of some accounts, own rows, shared ones: the
                        * statement tells which (op->reach) */
    TN__SCOPE_TENANT,  /* every row of the tenant */
} tn__scope;

typedef struct tn__bits {
    uint64_t word[TN__PERM_MAX / 64 + 1];
} tn__bits;

typedef struct tn__role {
    tn_str name;
    tn__bits tenant;
    tn__bits own;
} tn__role;

/* Grants a permission to a role; 0 if the number is out of range. */
int tn__role_grant(tn__role *role, unsigned permission, tn__scope scope);

/* Grants what a text says: "12t,13o", permission and scope (tenant, own); 0 if
 * it says anything else. */
int tn__role_parse(tn__role *role, tn_str text);

/* What two roles have in common, each in the narrower scope, into one that is
 * empty. */
void tn__role_narrow(tn__role *out, const tn__role *a, const tn__role *b);

/* The widest scope in which a role holds a permission. A NULL role holds
 * nothing but what is public or open to all who are signed in. */
tn__scope tn__role_scope(const tn__role *role, unsigned permission);

#endif
