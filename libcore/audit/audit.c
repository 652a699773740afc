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


void
tn__event_ctes(tn__buf *sql, const tn__event_sql *event)
{
    tn_str metadata, none = TN_STR("null::jsonb");

    metadata = event->metadata.p ? event->metadata : none;

    tn__buf_lit(sql, ",\nimage as (select done.id, done.version, ");
    tn__buf_add(sql, event->before.p ? event->before : none);
    tn__buf_lit(sql, " as before, ");
    tn__buf_add(sql, event->after.p ? event->after : none);
    tn__buf_lit(sql, " as after from ");
    tn__buf_add(sql, event->from);

    tn__buf_lit(sql, "),\nlogged as (insert into tenon.event (tenant_id, id, "
                     "actor, action, resource, resource_id, version, "
                     "request_id, commitment) select :tenant::uuid, "
                     ":event_id::uuid, :actor::uuid, ");
    literal(sql, event->action);
    tn__buf_lit(sql, ", ");
    literal(sql, event->resource);
    tn__buf_lit(sql,
                ", image.id, image.version, :request_id::text, "
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
