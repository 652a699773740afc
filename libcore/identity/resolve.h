/*
 * identity/resolve.h: a request being resolved: what resolve.c and session.c
 * find out together. Private to this folder.
 */

#ifndef TN__IDENTITY_RESOLVE_H
#define TN__IDENTITY_RESOLVE_H

#include "libcore/billing/billing.h"
#include "libcore/identity/identity.h"
#include "libcore/zone/zone.h"

/* What a request can show to say who asks. */
typedef enum tn__credential_kind {
    TN__CREDENTIAL_NONE,
    TN__CREDENTIAL_ACCESS,   /* an access token of ours: a JWT */
    TN__CREDENTIAL_EXTERNAL, /* a JWT of somebody else's */
    TN__CREDENTIAL_COOKIE,   /* a browser's session */
    TN__CREDENTIAL_API_KEY,
    TN__CREDENTIALS
} tn__credential_kind;

typedef struct tn__credential {
    /* TN_OK, TN_E_UNAUTHENTICATED, TN_E_TOKEN_EXPIRED, TN_E_NOMEM. NULL for
     * tokens of others: they say who it is in words of theirs (external.c) */
    tn_err (*verify)(tn__claims *out, const tn_op *op, tn_str text);
    /* Who it is, by :token_tenant, :token_session and :token_generation: the
     * row that tenon.find_session() answers. */
    const tn__bound *find;
    unsigned kept : 1;   /* opening it is dear: the zone keeps the claims */
    unsigned secret : 1; /* counts only while claims.generation is the row's */
    unsigned scoped : 1; /* the row has scopes and an end behind; it is looked
                          * up by :token_hash too, and so are its entries */
} tn__credential;

extern const tn__credential tn__credentials[TN__CREDENTIALS];

/* What is found out on the way; dropped once settled. */
typedef struct tn__resolver {
    tn_str tenant_ref; /* slug or id that the request names; absent: none */
    int by_id;
    tn_str domain;    /* the host, if it may be a tenant's own; else absent */
    int domain_known; /* looked up: domain_tenant absent means nobody's */
    tn__tenant domain_tenant;
    char domain_stamp_bytes[TN__STAMP_LEN];
    tn_str domain_stamp;    /* of all domains; absent: nothing is kept */
    char id[TN__UUID_TEXT]; /* that id in lower case: one spelling, one entry */
    int tenant_known;       /* looked up: op->tenant.id absent means unknown */
    tn__credential_kind kind;
    tn_str token; /* the credential's text */
    tn_err token_err;
    tn__claims claims;
    int has_claims;
    tn__external *external; /* not looked up yet; else NULL */
    char stamp_bytes[TN__STAMP_LEN];
    tn_str stamp;      /* of the tenant's access; absent: nothing is kept */
    int session_taken; /* the session's place, by an entry of another stamp */
    int session_known;
    tn__entry entry; /* being read, or to be kept */
    uint32_t entry_ttl;
    tn__tenant session_tenant;
    int slot_tenant, slot_token; /* which zone answer is whose; -1 none */
    int slot_domain;
    int slot_session, slot_access;
    tn__plan plan; /* of the claims' tenant */
    int plan_known, plan_asked;
    int slot_plan;
} tn__resolver;

/* Finds the credential that the request brings; none: r->kind says so, and
 * r->token_err. */
void tn__credential_read(const tn_op *op, tn__resolver *r);

/* Reads what the zone has kept of a token's claims, if it has. */
int tn__claims_cached(tn_op *op, tn__resolver *r, tn_str value);
/* Adds a command that keeps them for the next request, or that there is
 * nobody. */
void tn__claims_keep(tn_op *op, const tn__resolver *r, unsigned *n);

/* Verifies a token of somebody else's and asks who that is here (external.c):
 * the errors of `verify`. */
tn_err tn__external_verify(tn_op *op, tn__resolver *r);
/* Hears it, and may wish to write a link down; hears of that. Fills in claims,
 * or there is nobody: r->token_err. */
void tn__external_found(tn_op *op, tn__resolver *r, const tn_input *input);
void tn__external_linked(tn_op *op, tn__resolver *r, const tn_input *input);
/* The label in front of the base domain; absent when there is none. */
tn_str tn__host_slug(const tn_op *op);
/* The host, where it may be a domain of a tenant's own; else absent. */
tn_str tn__host_domain(const tn_op *op);

/* What host and header say of a tenant: r->tenant_ref, domain. */
void tn__tenant_read(tn_op *op, tn__resolver *r);
/* Whether the Tenon-Tenant header means that one. */
int tn__header_names(const tn_op *op, const tn__tenant *tenant);
/* Looks r->tenant_ref up in the zone, behind the n commands that are there; how
 * many there are then. */
unsigned tn__tenant_find(tn_op *op, tn__resolver *r, unsigned n);
/* What came of it. */
void tn__tenant_cached(tn_op *op, tn__resolver *r, tn_str value);
/* Adds the directory's look-up to the batch. */
void tn__tenant_ask(tn_op *op, const tn__resolver *r);
/* Takes its answer and adds a command that keeps it. */
tn_err
tn__tenant_found(tn_op *op, tn__resolver *r, const tn_rows *rows, unsigned *n);

/* Looks r->domain up in the zone, behind the n commands that are there; how
 * many there are then. */
unsigned tn__domain_find(tn_op *op, tn__resolver *r, unsigned n);
/* What came of it. */
void tn__domain_cached(tn_op *op, tn__resolver *r, const tn_input *input);
/* Adds the directory's look-up to the batch. */
void tn__domain_ask(tn_op *op, tn_str domain);
/* Takes its answer and adds a command that keeps it. */
tn_err
tn__domain_found(tn_op *op, tn__resolver *r, const tn_rows *rows, unsigned *n);

/* Looks the plan of the claims' tenant up in the zone, behind the n commands
 * that are there, the last of which looks up its access; how many there are
 * then. */
unsigned tn__plan_find(tn_op *op, tn__resolver *r, unsigned n);
/* What came of it, once r->stamp is known. */
void tn__plan_cached(tn_op *op, tn__resolver *r, tn_str value);
/* Adds the database's look-up to the batch, where one is needed:
 * r->plan_asked. */
void tn__plan_ask(tn_op *op, tn__resolver *r);
/* Takes its answer and adds a command that keeps it. */
tn_err
tn__plan_found(tn_op *op, tn__resolver *r, const tn_rows *rows, unsigned *n);

/* Settled, and refused: notes whether a tenant is told of a stranger. */
void tn__stranger_note(tn_op *op, const tn__resolver *r);

/* Looks up the session of the claims, and the stamp of its tenant's access,
 * behind the n commands that are there already. */
void tn__session_find(tn_op *op, tn__resolver *r, unsigned n);
/* What came of it; until it answers 1 it has wished, to look beside or for the
 * rest of a long entry, and hears what came of that. */
int tn__session_cached(tn_op *op, tn__resolver *r, const tn_input *input);
/* Takes the directory's answer. */
tn_err tn__session_found(tn_op *op, tn__resolver *r, const tn_rows *rows);
/* Adds commands that keep it, as many as there is room for behind the n that
 * are there: until it adds none. */
void tn__session_keep(tn_op *op, tn__resolver *r, unsigned *n);

#endif
