/*
 * sql_write.c: the statements that change a row of a resource.
 *
 * Each carries the tenant, does nothing but once under an Idempotency-Key,
 * writes its event in the same statement, and answers columns that tell why
 * nothing was done, so that no step reads before it writes. One row each:
 *
 *   create    tried, r0… (is each reference there?), room, the columns
 *   update    old_version, old_owner (null where there is no such row),
 *             r0…, alive…, room, the columns
 *   keep      old_version, old_owner, the columns
 *   rollback  old_version, old_owner, found (is there such a version?),
 *             r0…, alive…, room, the columns
 *   restore   old_version, old_owner, deleted (is it?), r0…, alive…, room,
 *             the columns
 *   remove    old_version, old_owner, room, id
 *
 * `room` is there where the change counts as something (sql_unit.c): whether
 * the plan has room for it. Then idem_go, idem_fingerprint; the columns are null where nothing was done.
 * A statement of a resource that is `within` finds what the principal may see,
 * and says the actor for old_owner where they may change it.
 * The order of checks follows: no old row → 404; not one's own → 403; another
 * version → 412; a reference missing → 422; no room → 402; else 409.
 */

#include "libcore/model/sql.h"


#define LIT tn__buf_lit
#define ADD tn__buf_add


static tn_err
compile_create(tn__resource *resource, tn_mem *mem)
{
    tn_err err;
    unsigned i, refs;
    tn__buf sql;
    const tn__field *field;
    const tn__unit *unit;

    tn__buf_init(&sql, mem, 4096);
    LIT(&sql, "with ");
    tn__sql_idem(&sql);
    refs = tn__sql_refs(&sql, resource, TN__CHANGE_CREATE);
    unit = tn__sql_unit(resource, TN__CHANGE_CREATE);

    if (unit) {
        tn__sql_room(&sql, unit);
        ADD(&sql, refs ? TN_STR("idem, ref") : TN_STR("idem"));
        LIT(&sql, " where " TN__SQL_GO);
        tn__sql_ref_names(&sql, resource, TN__CHANGE_CREATE, TN_STR(" and "));
        LIT(&sql, ")");
    }

    LIT(&sql, ",\ndone as (insert into ");
    ADD(&sql, resource->relation);
    LIT(&sql, " as t (tenant_id, id, created_by");

    for (i = 0; i < resource->nfields; i++) {
        if (resource->fields[i].create) {
            LIT(&sql, ", ");
            tn__sql_name(&sql, resource->fields[i].name);
        }
    }

    LIT(&sql, ") select :tenant::uuid, :id::uuid, :actor::uuid");

    for (i = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];

        if (!field->create) {
            continue;
        }

        LIT(&sql, ", ");

        if (field->default_sql.p == NULL) {
            tn__sql_value(&sql, field);
            continue;
        }

        LIT(&sql, "case when ");
        tn__sql_masked(&sql, i);
        LIT(&sql, " then ");
        tn__sql_value(&sql, field);
        LIT(&sql, " else ");
        ADD(&sql, field->default_sql);
        LIT(&sql, " end");
    }

    ADD(&sql, refs ? TN_STR(" from idem, ref") : TN_STR(" from idem"));
    ADD(&sql, unit ? TN_STR(", room") : TN_STR(""));
    LIT(&sql, " where " TN__SQL_GO);
    ADD(&sql, unit ? TN_STR(" and room.ok") : TN_STR(""));
    tn__sql_ref_names(&sql, resource, TN__CHANGE_CREATE, TN_STR(" and "));

    LIT(&sql, " returning ");
    tn__resource_columns(&sql, resource, TN_STR("t"));
    LIT(&sql, ")");

    err = tn__sql_event(&sql, resource, TN__CHANGE_CREATE);
    if (err != TN_OK) {
        return err;
    }

    if (unit) {
        tn__sql_recorded(&sql, unit, resource, TN_STR("done"),
                         TN_STR("done.id"));
    }

    tn__sql_kept(&sql, resource->fields, resource->nfields);

    LIT(&sql, "\nselect true as tried");
    tn__sql_ref_names(&sql, resource, TN__CHANGE_CREATE, TN_STR(", "));

    if (unit) {
        tn__sql_room_told(&sql);
    }

    tn__sql_outcome(&sql, resource->fields, resource->nfields);
    ADD(&sql, refs ? TN_STR(" from idem cross join ref left join done on true")
                   : TN_STR(" from idem left join done on true"));

    return tn__sql_end(&resource->create, &sql, resource);
}


/* old: the row as it is, locked, with what decides whether to go on. */
static void
old_cte(tn__buf *sql, const tn__resource *resource, tn__change change)
{
    LIT(sql, "with ");
    tn__sql_idem(sql);
    LIT(sql, ",\nold as materialized (select ");
    tn__resource_columns(sql, resource, TN_STR("t"));

    if (change == TN__CHANGE_ROLLBACK) {
        LIT(sql, ", t as whole_row");
    }

    if (change == TN__CHANGE_RESTORE) {
        LIT(sql, ", t.deleted_at is not null as was_deleted");
    }

    LIT(sql, " from idem, ");
    ADD(sql, resource->relation);
    LIT(sql, " t where t.tenant_id = :tenant::uuid and t.id = :id::uuid"
             " and " TN__SQL_GO);

    if (resource->soft_delete && change != TN__CHANGE_RESTORE) {
        LIT(sql, " and t.deleted_at is null");
    }

    if (resource->within) {
        LIT(sql, " and ");
        tn__sql_within(sql, resource, TN_STR("t"), TN__WITHIN_SIGHT,
                       TN_STR("read"));
    }

    LIT(sql, " for no key update of t)");
}


/* Of a row that is there, whether it may be changed or not. */
static void
room_cte(tn__buf *sql, const tn__resource *resource, tn__change change)
{
    const tn__unit *unit;

    unit = tn__sql_unit(resource, change);

    if (unit) {
        tn__sql_room(sql, unit);
        LIT(sql, "old)");
    }
}


/* , done as (update x t set version = …  */
static void
done_open(tn__buf *sql, const tn__resource *resource, tn__change change)
{
    room_cte(sql, resource, change);
    LIT(sql, ",\ndone as (update ");
    ADD(sql, resource->relation);
    LIT(sql, " t set version = old.version + 1, updated_at = now()");
}


/* What a row may be shared for that permits the change. */
static tn_str
share_of(tn__change change)
{
    return change == TN__CHANGE_UPDATE || change == TN__CHANGE_KEEP
               ? TN_STR("update")
               : TN_NULL;
}


/* The conditions every change of a row shares. */
static void
where_old(tn__buf *sql, const tn__resource *resource, tn__change change)
{
    if (tn__sql_unit(resource, change)) {
        LIT(sql, ", room where room.ok and");
    } else {
        LIT(sql, " where");
    }

    LIT(sql,
        " t.tenant_id = :tenant::uuid and t.id = old.id"
        " and (:match::bigint[] is null or old.version = any(:match::bigint[]))"
        " and ");

    if (resource->within) {
        tn__sql_within(sql, resource, TN_STR("old"), TN__WITHIN_REACH,
                       share_of(change));
        return;
    }

    LIT(sql, "(:own::uuid is null or ");
    tn__sql_column(sql, TN_STR("old"), resource->owner);
    LIT(sql, " = :own::uuid)");
}


/* What the change counts as, once it is done. */
static void
recorded_cte(tn__buf *sql, const tn__resource *resource, tn__change change)
{
    const tn__unit *unit;

    unit = tn__sql_unit(resource, change);

    if (unit) {
        tn__sql_recorded(sql, unit, resource, TN_STR("done"),
                         TN_STR("done.id"));
    }
}


/* What is kept and what is answered. `told`: what else than version and owner
 * says why nothing was done, ", old.was_deleted". */
static tn_err
answer(tn__bound *out, tn__buf *sql, const tn__resource *resource,
       tn__change change, unsigned refs, tn_str told)
{
    unsigned n;

    /* of a row that goes, only its id */
    n = change == TN__CHANGE_REMOVE ? 1 : resource->nfields;
    recorded_cte(sql, resource, change);
    tn__sql_kept(sql, resource->fields, n);

    LIT(sql, "\nselect old.version as old_version, ");

    if (resource->within) {
        LIT(sql, "case when ");
        tn__sql_within(sql, resource, TN_STR("old"), TN__WITHIN_REACH,
                       share_of(change));
        LIT(sql, " then :actor::uuid end");
    } else {
        tn__sql_column(sql, TN_STR("old"), resource->owner);
    }

    LIT(sql, " as old_owner");
    ADD(sql, told);

    if (refs) {
        tn__sql_ref_names(sql, resource, change, TN_STR(", "));
    }

    if (tn__sql_unit(resource, change)) {
        tn__sql_room_told(sql);
    }

    tn__sql_outcome(sql, resource->fields, n);
    LIT(sql, " from idem left join old on true ");
    if (refs) {
        LIT(sql, "left join ref on true ");
    }
    LIT(sql, "left join done on true");

    return tn__sql_end(out, sql, resource);
}


/* From `returning` to the end of the statement. */
static tn_err
finish(tn__bound *out, tn__buf *sql, const tn__resource *resource,
       tn__change change, unsigned refs, tn_str told)
{
    tn_err err;

    LIT(sql, " returning ");

    if (change == TN__CHANGE_REMOVE) {
        LIT(sql, "t.id, t.version");
    } else {
        tn__resource_columns(sql, resource, TN_STR("t"));
    }

    LIT(sql, ")");

    err = tn__sql_event(sql, resource, change);
    if (err != TN_OK) {
        return err;
    }

    return answer(out, sql, resource, change, refs, told);
}


static tn_err
compile_update(tn__resource *resource, tn_mem *mem)
{
    unsigned i, refs;
    tn__buf sql;
    const tn__field *field;

    tn__buf_init(&sql, mem, 4096);
    old_cte(&sql, resource, TN__CHANGE_UPDATE);
    refs = tn__sql_refs(&sql, resource, TN__CHANGE_UPDATE);
    done_open(&sql, resource, TN__CHANGE_UPDATE);

    for (i = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];

        if (!field->update) {
            continue;
        }

        LIT(&sql, ", ");
        tn__sql_name(&sql, field->name);
        LIT(&sql, " = case when ");
        tn__sql_masked(&sql, i);
        LIT(&sql, " then ");
        tn__sql_value(&sql, field);
        LIT(&sql, " else ");
        tn__sql_column(&sql, TN_STR("t"), field->name);
        LIT(&sql, " end");
    }

    ADD(&sql, refs ? TN_STR(" from old, ref") : TN_STR(" from old"));
    where_old(&sql, resource, TN__CHANGE_UPDATE);
    tn__sql_ref_names(&sql, resource, TN__CHANGE_UPDATE, TN_STR(" and "));

    for (i = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];

        if (field->nedges) {
            LIT(&sql, " and (:from_");
            ADD(&sql, field->name);
            LIT(&sql, "::text[] is null or ");
            tn__sql_column(&sql, TN_STR("old"), field->name);
            LIT(&sql, " = any(:from_");
            ADD(&sql, field->name);
            LIT(&sql, "::text[]))");
        }
    }

    return finish(&resource->update, &sql, resource, TN__CHANGE_UPDATE, refs,
                  TN_STR(""));
}


/* An empty patch with an Idempotency-Key: the row as it is, kept. */
static tn_err
compile_keep(tn__resource *resource, tn_mem *mem)
{
    tn__buf sql;

    tn__buf_init(&sql, mem, 2048);
    old_cte(&sql, resource, TN__CHANGE_UPDATE);
    LIT(&sql, ",\ndone as (select ");
    tn__resource_columns(&sql, resource, TN_STR("t"));
    LIT(&sql, " from old, ");
    ADD(&sql, resource->relation);
    LIT(&sql, " t");
    where_old(&sql, resource, TN__CHANGE_KEEP);
    LIT(&sql, ")");

    return answer(&resource->keep, &sql, resource, TN__CHANGE_KEEP, 0,
                  TN_STR(""));
}


/* and (old.s = goal.s or (old.s, goal.s) in (('todo', 'done'), …)) */
static void
edges(tn__buf *sql, const tn__field *field)
{
    unsigned i;

    LIT(sql, " and (");
    tn__sql_column(sql, TN_STR("old"), field->name);
    LIT(sql, " = ");
    tn__sql_column(sql, TN_STR("goal"), field->name);
    LIT(sql, " or (");
    tn__sql_column(sql, TN_STR("old"), field->name);
    LIT(sql, ", ");
    tn__sql_column(sql, TN_STR("goal"), field->name);
    LIT(sql, ") in (");

    for (i = 0; i < field->nedges; i++) {
        ADD(sql, i ? TN_STR(", (") : TN_STR("("));
        tn__sql_text(sql, field->edges[i].from);
        LIT(sql, ", ");
        tn__sql_text(sql, field->edges[i].to);
        LIT(sql, ")");
    }

    LIT(sql, "))");
}


/* and (b.after ->> 'phone' is null, or encrypted by a key we have): what it was
 * before it was declared so isn't put back as text. */
static void
readable(tn__buf *sql, const tn__field *field)
{
    LIT(sql, " and coalesce(b.after ->> ");
    tn__sql_text(sql, field->name);
    LIT(sql, " ~ '" TN_SEALED_PATTERN "' and substr(b.after ->> ");
    tn__sql_text(sql, field->name);
    LIT(sql, ", " TN_SEALED_ID_AT ") = any(:keys::text[]), true)");
}


/* The fields that a body may change go back to what the event of that version
 * says they were; one that was added since stays as it is. */
static tn_err
compile_rollback(tn__resource *resource, tn_mem *mem)
{
    unsigned i, refs;
    tn__buf sql;
    const tn__field *field;

    tn__buf_init(&sql, mem, 4096);
    old_cte(&sql, resource, TN__CHANGE_ROLLBACK);

    LIT(&sql, ",\ntarget as materialized (select b.after from tenon.event e "
              "join tenon.event_body b on b.tenant_id = e.tenant_id "
              "and b.at = e.at and b.event_id = e.id "
              "where e.tenant_id = :tenant::uuid and e.resource_id = :id::uuid "
              "and e.resource = ");
    tn__sql_text(&sql, resource->full_name);
    LIT(&sql, " and e.version = :version::bigint and e.outcome = 'success' "
              "and b.after is not null");

    for (i = 0; i < resource->nfields; i++) {
        if (resource->fields[i].encrypted) {
            readable(&sql, &resource->fields[i]);
        }
    }

    LIT(&sql, " order by e.at desc limit 1),\n"
              "goal as (select g.* from old, target, lateral "
              "jsonb_populate_record(old.whole_row, target.after) g)");

    refs = tn__sql_refs(&sql, resource, TN__CHANGE_ROLLBACK);
    done_open(&sql, resource, TN__CHANGE_ROLLBACK);

    for (i = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];

        if (field->update) {
            LIT(&sql, ", ");
            tn__sql_name(&sql, field->name);
            LIT(&sql, " = ");
            tn__sql_column(&sql, TN_STR("goal"), field->name);
        }
    }

    ADD(&sql,
        refs ? TN_STR(" from old, goal, ref") : TN_STR(" from old, goal"));
    where_old(&sql, resource, TN__CHANGE_ROLLBACK);
    tn__sql_ref_names(&sql, resource, TN__CHANGE_ROLLBACK, TN_STR(" and "));

    for (i = 0; i < resource->nfields; i++) {
        if (resource->fields[i].nedges && resource->fields[i].update) {
            edges(&sql, &resource->fields[i]);
        }
    }

    return finish(&resource->rollback, &sql, resource, TN__CHANGE_ROLLBACK,
                  refs, TN_STR(", exists (select from target) as found"));
}


static tn_err
compile_restore(tn__resource *resource, tn_mem *mem)
{
    unsigned refs;
    tn__buf sql;

    tn__buf_init(&sql, mem, 4096);
    old_cte(&sql, resource, TN__CHANGE_RESTORE);
    refs = tn__sql_refs(&sql, resource, TN__CHANGE_RESTORE);
    done_open(&sql, resource, TN__CHANGE_RESTORE);
    ADD(&sql, refs ? TN_STR(", deleted_at = null from old, ref")
                   : TN_STR(", deleted_at = null from old"));
    where_old(&sql, resource, TN__CHANGE_RESTORE);
    LIT(&sql, " and old.was_deleted");
    tn__sql_ref_names(&sql, resource, TN__CHANGE_RESTORE, TN_STR(" and "));

    return finish(&resource->restore, &sql, resource, TN__CHANGE_RESTORE, refs,
                  TN_STR(", old.was_deleted"));
}


static tn_err
compile_remove(tn__resource *resource, tn_mem *mem)
{
    tn__buf sql;

    tn__buf_init(&sql, mem, 2048);
    old_cte(&sql, resource, TN__CHANGE_REMOVE);

    if (resource->soft_delete) {
        done_open(&sql, resource, TN__CHANGE_REMOVE);
        LIT(&sql, ", deleted_at = now() from old");
    } else {
        room_cte(&sql, resource, TN__CHANGE_REMOVE);
        LIT(&sql, ",\ndone as (delete from ");
        ADD(&sql, resource->relation);
        LIT(&sql, " t using old");
    }

    where_old(&sql, resource, TN__CHANGE_REMOVE);

    return finish(&resource->remove, &sql, resource, TN__CHANGE_REMOVE, 0,
                  TN_STR(""));
}


tn_err
tn__resource_compile(tn__resource *resource, tn_mem *mem)
{
    unsigned i;
    tn_err err;
    static tn_err (*const all[])(tn__resource *, tn_mem *) = {
        tn__resource_compile_read,
        tn__resource_compile_known,
        compile_create,
        compile_update,
        compile_keep,
        compile_rollback,
        compile_remove,
    };

    for (i = 0, err = TN_OK; i < sizeof(all) / sizeof(all[0]); i++) {
        err = all[i](resource, mem);
        if (err != TN_OK) {
            return err;
        }
    }

    return resource->soft_delete ? compile_restore(resource, mem) : TN_OK;
}
