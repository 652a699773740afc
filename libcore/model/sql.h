/*
 * model/sql.h: the pieces that statements are put together from. Private to
 * this folder.
 */

#ifndef TN__SQL_H
#define TN__SQL_H

#include "libcore/model/compile.h"


/* What a statement does to a row. */
typedef enum tn__change {
    TN__CHANGE_CREATE,
    TN__CHANGE_UPDATE,
    TN__CHANGE_ROLLBACK,
    TN__CHANGE_RESTORE,
    TN__CHANGE_REMOVE,
    TN__CHANGE_KEEP, /* none: it stays as it is */
} tn__change;


/* ---- pieces (sql.c) ---- */

/* 'text' */
void tn__sql_text(tn__buf *sql, tn_str s);
/* "name" */
void tn__sql_name(tn__buf *sql, tn_str name);
/* :mask::bigint & 4 <> 0: the body holds the field */
void tn__sql_masked(tn__buf *sql, unsigned field);
/* idem as (…): whether there is something to do under the Idempotency-Key */
void tn__sql_idem(tn__buf *sql);
#define TN__SQL_GO "idem.go and idem.fingerprint is null"
/* , kept as (…): these columns of `done`, for the next request with this key */
void tn__sql_kept(tn__buf *sql, const tn__field *fields, unsigned n);
/* The same columns out of `done`, or as they were kept; then idem_go,
 * idem_fingerprint. */
void tn__sql_outcome(tn__buf *sql, const tn__field *fields, unsigned n);
/* Whether the row `alias` is within what the principal may do this to, or see:
 * (alias."account_id" = any(:reach::uuid[]) or …). For a resource that is
 * `within`. `share`: the verb that it may be shared for; absent: none. */
typedef enum tn__within {
    TN__WITHIN_REACH,
    TN__WITHIN_SIGHT
} tn__within;
void tn__sql_within(tn__buf *sql, const tn__resource *resource, tn_str alias,
                    tn__within what, tn_str share);
/* image, logged, bodied: the event of a change (audit/audit.h). */
tn_err
tn__sql_event(tn__buf *sql, const tn__resource *resource, tn__change change);
/* ---- what a write counts as (sql_unit.c) ---- */

/* What the change counts as; NULL: nothing. */
const tn__unit *tn__sql_unit(const tn__resource *resource, tn__change change);
/* , room as (select … as ok from: whether there is room for its units. The
 * caller says for which row, and closes it; it does nothing unless room.ok. */
void tn__sql_room(tn__buf *sql, const tn__unit *unit);
/* , recorded as (…): the units of each row of `from`, by the row `id` of the
 * resource. */
void tn__sql_recorded(tn__buf *sql, const tn__unit *unit,
                      const tn__resource *resource, tn_str from, tn_str id);
/* , (select ok from room) as room */
void tn__sql_room_told(tn__buf *sql);


/* ---- the end ---- */

/* Ends a statement of the resource's; one that answers its plain columns. */
tn_err tn__sql_end(tn__bound *out, tn__buf *sql, const tn__resource *resource);
tn_err
tn__sql_read_end(tn__bound *out, tn__buf *sql, const tn__resource *resource);


/* ---- references (sql_refs.c) ---- */

/* , ref as (select … as r3, … as alive3): whether what is referred to is there.
 * Returns how many fields are looked at. */
unsigned
tn__sql_refs(tn__buf *sql, const tn__resource *resource, tn__change change);
/* , ref as (select … as alive): whether the row's parent is there. 0 when it
 * has none, and nothing is added. */
int tn__sql_alive(tn__buf *sql, const tn__resource *resource);
/* The names of those columns, each behind `before`: " and ref.r3 and
 * ref.alive3", ", ref.r3, ref.alive3". */
void tn__sql_ref_names(tn__buf *sql, const tn__resource *resource,
                       tn__change change, tn_str before);

#endif
