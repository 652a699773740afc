/*
 * audit.c: the event CTEs. The same two rows as tenon.log_event() writes, but
 * planned as part of the statement: a function call costs a tenth to a
 * quarter of write throughput (docs/adr/0003).
 */

#include "libcore/audit/audit.h"


static void
literal(tn__buf *sql, tn_str s)
{
    size_t i;

    tn__buf_char(sql, '\'');

    for (i = 0; i < s.n; i++) {
        if (s.p[i] == '\'') {
            tn__buf_char(sql, '\'');
        }
        tn__buf_char(sql, s.p[i]);
    }

    tn__buf_char(sql, '\'');
}


/* , old."account_id" */
static void
account(tn__buf *sql, const tn__event_sql *event, tn_str alias, int known)
{
    if (known) {
        tn__buf_add(sql, alias);
        tn__buf_add(sql, event->account);
        tn__buf_char(sql, '"');
    } else {
        tn__buf_lit(sql, ", null::uuid");
    }
}


void
tn__event_ctes(tn__buf *sql, const tn__event_sql *event)
{
    tn_str metadata, none = TN_STR("null::jsonb");

    metadata = event->metadata.p ? event->metadata : none;

    tn__buf_lit(sql, ",\nimage as (select done.id, done.version, ");
    tn__buf_add(sql, event->before.p ? event->before : none);
    tn__buf_lit(sql, " as before, ");
    tn__buf_add(sql, event->after.p ? event->after : none);
    tn__buf_lit(sql, " as after");

    if (event->account.p) {
        account(sql, event, TN_STR(", old.\""), event->had_account);
        tn__buf_lit(sql, " as scope_before");
        account(sql, event, TN_STR(", done.\""), event->has_account);
        tn__buf_lit(sql, " as scope_after");
    }

    tn__buf_lit(sql, " from ");
    tn__buf_add(sql, event->from);

    tn__buf_lit(sql, "),\nlogged as (insert into tenon.event (tenant_id, id, "
                     "actor, action, resource, resource_id, version, "
                     "request_id, ");
    tn__buf_add(sql, event->account.p ? TN_STR("scope_before, scope_after, ")
                                      : TN_STR(""));
    tn__buf_lit(sql, "commitment) select :tenant::uuid, "
                     ":event_id::uuid, :actor::uuid, ");
    literal(sql, event->action);
    tn__buf_lit(sql, ", ");
    literal(sql, event->resource);
    tn__buf_lit(sql, ", image.id, image.version, :request_id::text, ");
    tn__buf_add(sql, event->account.p
                         ? TN_STR("image.scope_before, image.scope_after, ")
                         : TN_STR(""));
    tn__buf_lit(sql,
                "tenon.commitment(:salt::bytea, image.before, image.after, ");
    tn__buf_add(sql, metadata);
    tn__buf_lit(sql,
                ", :ip::text, :user_agent::text) "
                "from image),\n"
                "bodied as (insert into tenon.event_body (tenant_id, event_id, "
                "subject_id, salt, before, after, metadata, ip, user_agent) "
                "select :tenant::uuid, :event_id::uuid, :actor::uuid, "
                ":salt::bytea, image.before, image.after, ");
    tn__buf_add(sql, metadata);
    tn__buf_lit(sql, ", :ip::text, :user_agent::text from image)");
}
