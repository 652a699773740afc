/*
 * audit/audit.h: the event that every change writes, as SQL.
 *
 * A change and its event are one statement: the change is a CTE named `done`
 * that returns the new row (and `old` the row before); these CTEs follow it
 * and write tenon.event and tenon.event_body from what was really changed:
 * no row changed, no event.
 */

#ifndef TN__AUDIT_H
#define TN__AUDIT_H

#include "libcore/base/base.h"

/*
 * Adds ", image as (…), logged as (…), bodied as (…)" to a WITH list. The
 * statement binds :tenant :actor :request_id :event_id :salt :ip :user_agent.
 *   action    "task.updated"
 *   resource  "teamos.task"
 *   before    a jsonb expression over `old`, or absent
 *   after     a jsonb expression over `done`, or absent
 *   metadata  a jsonb expression, or absent
 *   from      what both range over: "done", "done, old"
 *   account   column of both that says which account's the row is, or absent;
 *             had_account, has_account: before the change, after it
 */
typedef struct tn__event_sql {
    tn_str action;
    tn_str resource;
    tn_str before;
    tn_str after;
    tn_str metadata;
    tn_str from;
    tn_str account;
    int had_account;
    int has_account;
} tn__event_sql;

void tn__event_ctes(tn__buf *sql, const tn__event_sql *event);

#endif
