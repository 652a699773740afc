/*
 * sql_unit.c: what a write counts as, recorded by the write's own statement.
 *
 *     room as (select … as ok from old),            in front of `done`
 *     done as (update … from old, room where room.ok …),
 *     recorded as (insert into tenon.usage_event … from done),
 *
 * Where the plan has a hard limit, `room` holds the total until the statement
 * is committed; else it is true, and nothing is locked. So units are there if,
 * and only if, the change is, and once: a repetition under an Idempotency-Key
 * changes nothing. Which limit holds was bound before (billing/gate.c).
 */

#include "libcore/model/sql.h"


#define LIT tn__buf_lit
#define ADD tn__buf_add


const tn__unit *
tn__sql_unit(const tn__resource *resource, tn__change change)
{
    static const tn__kind kinds[] = {
        [TN__CHANGE_CREATE] = TN__KIND_CREATE,
        [TN__CHANGE_UPDATE] = TN__KIND_UPDATE,
        [TN__CHANGE_ROLLBACK] = TN__KIND_ROLLBACK,
        [TN__CHANGE_RESTORE] = TN__KIND_RESTORE,
        [TN__CHANGE_REMOVE] = TN__KIND_DELETE,
    };

    return change != TN__CHANGE_KEEP &&
                   (resource->unit.kinds >> kinds[change] & 1)
               ? &resource->unit
               : NULL;
}


void
tn__sql_room(tn__buf *sql, const tn__unit *unit)
{
    LIT(sql, ",\nroom as materialized (select case when :unit_hard::bigint is "
             "null then true else tenon.usage_room(:tenant::uuid, ");
    tn__sql_text(sql, unit->meter);
    LIT(sql, ", ");
    tn__buf_int(sql, unit->units);
    LIT(sql, ", :unit_period::text, :unit_hard::bigint) end as ok from ");
}


void
tn__sql_recorded(tn__buf *sql, const tn__unit *unit,
                 const tn__resource *resource, tn_str from, tn_str id)
{
    LIT(sql, ",\nrecorded as (insert into tenon.usage_event (tenant_id, id, "
             "meter, quantity, begins, ends, soft, hard, period, resource, "
             "resource_id, created_by) select :tenant::uuid, tenon.uuid7(), ");
    tn__sql_text(sql, unit->meter);
    LIT(sql, ", ");
    tn__buf_int(sql, unit->units);
    LIT(sql, ", month.begins, month.ends, :unit_soft::bigint, "
             ":unit_hard::bigint, :unit_period::text, ");
    tn__sql_text(sql, resource->full_name);
    LIT(sql, ", ");
    ADD(sql, id);
    LIT(sql, ", :actor::uuid from ");
    ADD(sql, from);
    LIT(sql, ", tenon.usage_period(:tenant::uuid, 'month', now()) month)");
}


void
tn__sql_room_told(tn__buf *sql)
{
    LIT(sql, ", (select ok from room) as room");
}
