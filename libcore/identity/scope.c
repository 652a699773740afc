/*
 * scope.c: how far a permission reaches: the whole tenant, by the member's
 * role; else some accounts, by the roles held there and in what lies around
 * them; rows of one's own; or nothing.
 *
 * What find_session says of accounts is expanded already, and ordered by
 * account. It is read once for a request, and only for one that needs it.
 */

#include "libcore/identity/identity.h"

#define ACCOUNTS_MAX 1000 /* tenon.place_account and hold_account see to it */
#define ROLES_MAX    32   /* by which one user holds accounts */

/* A role in an account. */
typedef struct tn__held {
    tn_str account;
    const tn__role *role;
} tn__held;

/* What is needed: a permission, and a second one or none. */
typedef struct needs {
    unsigned permission;
    unsigned also;
    int either; /* one of the two will do */
} needs;


static tn__scope
wider(tn__scope a, tn__scope b)
{
    return a > b ? a : b;
}


/* What is left of the scopes of the two. */
static tn__scope
together(const needs *need, tn__scope a, tn__scope b)
{
    if (need->also == 0) {
        return a;
    }

    return need->either ? wider(a, b) : a < b ? a : b;
}


/* Roles by name, each looked up once. */
static const tn__role *
role_of(tn_op *op, tn_str name, tn_str *names, const tn__role **roles,
        unsigned *n)
{
    unsigned i;

    for (i = 0; i < *n; i++) {
        if (tn__eq(names[i], name)) {
            return roles[i];
        }
    }

    if (*n == ROLES_MAX) {
        tn__log(op, TN_STR("a user holds accounts by more than 32 roles: the "
                           "rest counts as none"));
        return NULL;
    }

    names[*n] = name;
    roles[*n] = tn__principal_role(op, name);

    return roles[(*n)++];
}


/* Reads "uuid:role,uuid:role"; what is beyond the bound gives nothing. */
static void
read_held(tn_op *op)
{
    unsigned n, nroles, naccounts;
    tn_str rest, entry, account, names[ROLES_MAX];
    tn__held *held;
    const tn__role *role, *roles[ROLES_MAX];
    tn__principal *p;

    p = &op->principal;
    n = nroles = naccounts = 0;

    if (p->held || p->accounts.n == 0) {
        return;
    }

    held = tn__alloc(op->mem, (p->accounts.n / (TN__UUID_TEXT + 2) + 1) *
                                  sizeof(tn__held));
    if (held == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    for (rest = p->accounts; rest.p && op->phase != TN__PHASE_DONE;) {
        entry = tn__split(&rest, ',');
        account = tn__split(&entry, ':');

        if (account.n != TN__UUID_TEXT || entry.n == 0) {
            tn__log(op, TN_STR("a user's accounts can't be read"));
            break;
        }

        if ((n == 0 || !tn__eq(held[n - 1].account, account)) &&
            naccounts++ == ACCOUNTS_MAX) {
            tn__log(op, TN_STR("a user reaches more than 1,000 accounts: the "
                               "rest counts as none"));
            break;
        }

        role = role_of(op, entry, names, roles, &nroles);

        if (role || n == 0 || !tn__eq(held[n - 1].account, account)) {
            held[n].account = account;
            held[n++].role = role;
        }
    }

    p->held = held;
    p->nheld = n;
}


/* Adds an account to a uuid[]. */
static void
add(tn__buf *buf, tn_str account)
{
    tn__buf_char(buf, buf->n ? ',' : '{');
    tn__buf_add(buf, account);
}


static void
end(tn_str *out, tn_op *op, tn__buf *buf)
{
    tn__buf_add(buf, buf->n ? TN_STR("}") : TN_STR("{}"));

    if (tn__buf_str(out, buf) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
    }
}


/* Says what may be done in all of the tenant, and where that isn't everything
 * the accounts in which it may be done into *reach. */
static tn__scope
reach_of(tn__reach *reach, tn_op *op, const needs *need)
{
    unsigned i, k;
    tn__buf whole, own;
    tn__scope base, also, scope, a, b;
    const tn__held *held;

    memset(reach, 0, sizeof(*reach));
    base = tn__role_scope(op->principal.role, need->permission);
    also = tn__role_scope(op->principal.role, need->also);
    scope = together(need, base, also);

    if (scope == TN__SCOPE_TENANT) {
        return scope;
    }

    if (scope == TN__SCOPE_OWN) {
        reach->any = op->principal.user;
    }

    read_held(op);
    held = op->principal.held;
    tn__buf_init(&whole, op->mem, 256);
    tn__buf_init(&own, op->mem, 64);

    for (i = 0; i < op->principal.nheld; i = k) {
        a = base;
        b = also;

        for (k = i; k < op->principal.nheld &&
                    tn__eq(held[k].account, held[i].account);
             k++) {
            a = wider(a, tn__role_scope(held[k].role, need->permission));
            b = wider(b, tn__role_scope(held[k].role, need->also));
        }

        switch (together(need, a, b)) {
        case TN__SCOPE_TENANT:
            add(&whole, held[i].account);
            break;
        case TN__SCOPE_OWN:
            add(&own, held[i].account);
            break;
        default:
            break;
        }
    }

    end(&reach->whole, op, &whole);
    end(&reach->own, op, &own);

    return scope;
}


/* Whether what may be done is for the statement to say: there are accounts, or
 * rows that were shared. `shared`: whether for this. A key has what its scopes
 * say, and nothing by a share of its maker's. */
static tn__scope
narrow(tn_op *op, tn__reach *reach, const needs *need,
       const tn__resource *resource, int shared)
{
    tn__scope scope;

    scope = reach_of(reach, op, need);

    if (scope == TN__SCOPE_TENANT || resource->scoped == NULL ||
        (op->principal.accounts.n == 0 && !resource->shareable)) {
        return scope;
    }

    return reach->any.p || reach->whole.n > 2 || reach->own.n > 2 ||
                   (resource->shareable && shared && !op->principal.api_key.p)
               ? TN__SCOPE_ACCOUNT
               : TN__SCOPE_NONE;
}


/* Rows of accounts in which they may be read. */
static void
bind_reference(tn_op *op, const tn__reference *reference)
{
    tn__buf all;
    tn__reach reach;
    needs need = { reference->permission, 0, 0 };

    if (reach_of(&reach, op, &need) != TN__SCOPE_NONE) {
        reach.whole = TN_NULL; /* as where there are no accounts */

    } else if (reach.own.n > 2) {
        tn__buf_init(&all, op->mem, reach.whole.n + reach.own.n);
        tn__buf_add(&all, tn__sub(reach.whole, 0, reach.whole.n - 1));
        tn__buf_add(&all, reach.whole.n > 2 ? TN_STR(",") : TN_STR(""));
        tn__buf_add(&all, tn__sub(reach.own, 1, reach.own.n));

        if (tn__buf_str(&reach.whole, &all) != TN_OK) {
            tn__fail(op, TN_E_NOMEM, NULL);
        }
    }

    tn__local(op, reference->reach, reach.whole);
}


/* Whether a role in any account holds it. */
static int
in_accounts(const tn_op *op, unsigned permission)
{
    unsigned i;

    for (i = 0; i < op->principal.nheld; i++) {
        if (tn__role_scope(op->principal.held[i].role, permission)) {
            return 1;
        }
    }

    return 0;
}


void
tn__permissions_bind(tn_op *op)
{
    unsigned i;
    tn__buf buf;
    tn_str json;
    tn__scope scope;
    const tn__permission *p;

    read_held(op);
    tn__buf_init(&buf, op->mem, 4096);

    for (i = 0; i < op->catalogue->npermissions; i++) {
        p = &op->catalogue->permissions[i];
        scope = tn__role_scope(op->principal.role, p->number);

        if (scope != TN__SCOPE_TENANT && in_accounts(op, p->number)) {
            scope = TN__SCOPE_ACCOUNT;
        }

        if (scope == TN__SCOPE_NONE) {
            continue;
        }

        tn__buf_add(&buf, buf.n ? TN_STR(",") : TN_STR("["));
        tn__buf_lit(&buf, "{\"permission\":");
        tn__buf_json(&buf, p->name);
        tn__buf_lit(&buf, ",\"scope\":\"");
        tn__buf_add(&buf, scope == TN__SCOPE_TENANT    ? TN_STR("tenant")
                          : scope == TN__SCOPE_ACCOUNT ? TN_STR("accounts")
                                                       : TN_STR("own"));
        tn__buf_lit(&buf, "\"}");
    }

    tn__buf_add(&buf, buf.n ? TN_STR("]") : TN_STR("[]"));

    if (tn__buf_str(&json, &buf) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__local(op, TN_STR("permissions"), json);
}


static void
bind_references(tn_op *op)
{
    unsigned i;
    const tn__resource *resource;
    const tn__reference *reference;

    resource = op->endpoint->resource;

    for (i = 0; i < resource->nfields; i++) {
        reference = resource->fields[i].reference;

        if (op->phase != TN__PHASE_DONE && reference && reference->account.p) {
            bind_reference(op, reference);
        }
    }
}


/* For what a row may be shared. */
static int
by_share(tn__kind kind)
{
    return kind == TN__KIND_LIST || kind == TN__KIND_NESTED ||
           kind == TN__KIND_READ || kind == TN__KIND_UPDATE;
}


/* A nested list is of the child's scope, in a parent of the parent's. */
static void
find_nested(tn_op *op)
{
    const tn__endpoint *e;
    needs child = { 0, 0, 0 }, parent = { 0, 0, 0 };

    e = op->endpoint;
    child.permission = e->permission;
    parent.permission = e->also;
    op->scope = narrow(op, &op->reach, &child, e->resource, 1);
    op->also_scope =
        narrow(op, &op->sight, &parent, e->resource->parent_resource, 1);
}


void
tn__scope_find(tn_op *op)
{
    const tn__endpoint *e;
    needs need = { 0, 0, 0 }, see = { 0, 0, 1 };
    static const tn__resource none;

    e = op->endpoint;

    if (e->kind == TN__KIND_NESTED) {
        find_nested(op);
        return;
    }

    need.permission = e->permission;
    need.also = e->also;
    op->also_scope = TN__SCOPE_TENANT; /* it is in the other */
    op->scope = narrow(op, &op->reach, &need, e->resource ? e->resource : &none,
                       by_share(e->kind));

    if (op->scope == TN__SCOPE_TENANT || e->resource == NULL ||
        e->resource->scoped == NULL) {
        return;
    }

    see.permission = e->permission;
    see.also = e->resource->read_permission;
    (void) reach_of(&op->sight, op, &see);

    if (op->scope != TN__SCOPE_ACCOUNT) {
        return;
    }

    if (e->kind == TN__KIND_CREATE || e->kind == TN__KIND_UPDATE ||
        e->kind == TN__KIND_ROLLBACK) {
        bind_references(op);
    }
}
