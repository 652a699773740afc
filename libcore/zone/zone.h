/*
 * zone/zone.h: entries of the zone: their keys and values, and those that are too
 * long for one cell.
 *
 *   kind          of                 value
 *   token         token, verifier    tn__claims, as they lie in memory
 *   session       tenant, session    the first cell of an entry (entry.c):
 *                                    principal and tenant (session.c)
 *   session_of    stamp, session     the same, where `session` is taken
 *   api_key       tenant, hash       the same of an API key and its secret
 *   api_key_of    stamp, hash        the same, where `api_key` is taken
 *   part          stamp, name, i     a further cell of such entries
 *   access ^ 1    tenant id          stamp, and the tenant's plan
 *                                    (identity/plan.c, billing/plan.c)
 *   access        tenant id          stamp: TN__STAMP_LEN bytes (session.c)
 *   tenant        slug               id SEP realm SEP slug SEP status
 *   tenant_id     id                 the same
 *   domain        host               stamp SEP tenant's value (host.c)
 *   domains                          that stamp: TN__STAMP_LEN bytes
 *   flags         tenant id          stamp: TN__STAMP_LEN bytes (flags/set.c)
 *   flags_of      stamp, tenant id   the first cell of an entry: the tenant's
 *                                    flags
 *   login_failed  tenant, slot       a counter (attempt.c)
 *   auth.…_refused tenant, slot      a counter (stranger.c)
 *   attempts_from client's address   a counter: failures
 *   verify        tenant, whom       a counter: tokens asked for (one_time.c)
 *   reset         tenant, whom       the same
 *   one_time_from client's address   the same
 *   tokens_asked  tenant, slot       the same, of anybody
 *
 * "-" stands for nobody: a tenant there is not, a session that has ended.
 */

#ifndef TN__ZONE_H
#define TN__ZONE_H

#include "libcore/http/http.h"

#define TN__ZONE_SEPARATOR '\x1f'
#define TN__ZONE_NOBODY    TN_STR("-")
#define TN__STAMP_LEN      ((size_t) 16)

void tn__zone_key(tn_zone_cmd *cmd, tn_zone_verb verb, const tn_op *op,
                  tn_str kind, tn_str a, tn_str b);
/* The same of the client's address. */
void tn__zone_address(tn_zone_cmd *cmd, tn_zone_verb verb, const tn_op *op,
                      tn_str kind);
/* Joins the parts of a value. */
tn_err tn__zone_value(tn_str *out, tn_op *op, const tn_str *parts, unsigned n);
/* Adds a command that keeps a value, where it is small enough, to the op's n. */
tn_err tn__zone_keep(tn_op *op, unsigned *n, tn_str kind, tn_str a, tn_str b,
                     const tn_str *parts, unsigned nparts, uint32_t ttl);
/* Reads a tenant off the front of *rest, which it points into; 0 if it isn't
 * one. */
int tn__zone_tenant(tn__tenant *tenant, tn_str *rest);


/* ---- facts as bytes (facts.c) ---- */

/* What a fact's text looks like. */
typedef enum tn__fact_form {
    TN__FACT_TEXT,
    TN__FACT_GRANTS,   /* "12t,13o" */
    TN__FACT_ROLES,    /* "name=12t,13o;name=…" */
    TN__FACT_ACCOUNTS, /* "uuid:role,uuid:role" */
} tn__fact_form;

/* Packs n facts into one string of bytes; absent when one is longer than can
 * be packed. What doesn't look like its form is packed as it is: unpacked, every
 * fact is the text that it was, an absent one empty. TN_E_NOMEM. */
tn_err tn__facts_pack(tn_str *out, const tn_str *facts,
                      const tn__fact_form *forms, unsigned n, tn_mem *mem);
/* The reverse. TN_E_INTERNAL when these bytes aren't n facts, TN_E_NOMEM. */
tn_err tn__facts_unpack(tn_str *facts, const tn__fact_form *forms, unsigned n,
                        tn_str packed, tn_mem *mem);


/* ---- an entry in cells (entry.c) ---- */

#define TN__ENTRY_DIGEST    16
#define TN__ENTRY_PARTS_MAX 42 /* beside the first cell: 21 KB */

typedef struct tn__entry {
    tn_str stamp;    /* under which it counts */
    tn_str of;       /* whose it is */
    tn_str head;     /* the first cell; absent: too long to keep */
    tn_str shared;   /* to be sent: what lies in the parts */
    tn_str packed;   /* all of it, once it is complete */
    unsigned nparts; /* further cells; 0: all is in the first */
    unsigned max;    /* at most so many: 255, since a byte tells how many */
    unsigned at;     /* how many of them were heard, or sent */
    size_t own;      /* bytes of its own, before those that are shared */
    size_t n;        /* bytes heard, or sent, so far */
    char *p;         /* those heard */
    unsigned char name[TN__ENTRY_DIGEST]; /* of the parts */
} tn__entry;

/* Both are to outlive the entry, which may have TN__ENTRY_PARTS_MAX parts. */
void tn__entry_init(tn__entry *entry, tn_str stamp, tn_str of);

/* Lays out in cells what is its own and what entries like it have as well, which
 * is kept once for all of them. TN_E_NOMEM. */
tn_err tn__entry_make(tn__entry *entry, tn_op *op, tn_str own, tn_str shared);
/* Adds commands that keep parts still to be sent for `ttl` ms, to the op's n, as
 * many as it has room for. The first cell is to be sent behind the last one. */
void tn__entry_send(tn__entry *entry, tn_op *op, unsigned *n, uint32_t ttl);

/* Reads a first cell. 0 when it is none of this stamp, or the op has failed. */
int tn__entry_open(tn__entry *entry, tn_op *op, tn_str value);
/* Wishes for its next parts. */
void tn__entry_ask(const tn__entry *entry, tn_op *op);
/* Hears them: 0 when one is lost or none of this entry's. */
int tn__entry_heard(tn__entry *entry, tn_op *op, const tn_input *input);

#endif
