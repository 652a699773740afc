/*
 * sql.c: the four statements of a resource: read, create, update, remove.
 *
 * Each carries the tenant, writes its event in the same statement, and
 * answers columns that tell why nothing was done, so that no step reads
 * before it writes. List shapes depend on the request: resource/list.c.
 *
 *   read    one row: the resource's columns, created_by
 *   create  one row: r0… (is each reference there?), then the columns,
 *           null where nothing was inserted
 *   update  one row: old_version, old_owner (null where
 *           there is no such row), r0…, alive…, then the columns
 *   remove  one row: old_version, old_owner, id
 *
 * The order of checks follows from these: no old row → 404; not one's own →
 * 403; another version → 412; a reference missing → 422; else 409.
 */

#include "libcore/model/compile.h"
#include "libcore/audit/audit.h"


#define LIT tn__buf_lit
#define ADD tn__buf_add


const tn__field *
tn__field_find(const tn__field *fields, unsigned n, tn_str name)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        if (tn__eq(fields[i].name, name)) {
            return &fields[i];
        }
    }

    return NULL;
}


tn_str
tn__field_sql_type(const tn__field *field)
{
    static const tn_str by_type[] = {
        [TN__TYPE_TEXT] = TN_STR_C("text"),
        [TN__TYPE_UUID] = TN_STR_C("uuid"),
        [TN__TYPE_INT] = TN_STR_C("bigint"),
        [TN__TYPE_NUMBER] = TN_STR_C("numeric"),
        [TN__TYPE_BOOL] = TN_STR_C("boolean"),
        [TN__TYPE_TIME] = TN_STR_C("timestamptz"),
        [TN__TYPE_JSON] = TN_STR_C("jsonb"),
        [TN__TYPE_OBJECT] = TN_STR_C("jsonb"),
    };

    return field->sql_type.p ? field->sql_type : by_type[field->type];
}


static void
quoted(tn__buf *sql, tn_str name)
{
    tn__buf_char(sql, '"');
    ADD(sql, name);
    tn__buf_char(sql, '"');
}


void
tn__sql_column(tn__buf *sql, tn_str alias, tn_str name)
{
    ADD(sql, alias);
    tn__buf_char(sql, '.');
    quoted(sql, name);
}


void
tn__sql_value(tn__buf *sql, const tn__field *field)
{
    LIT(sql, ":f_");
    ADD(sql, field->name);
    LIT(sql, "::");
    ADD(sql, tn__field_sql_type(field));
}


/* :mask::bigint & 4 <> 0 */
static void
masked(tn__buf *sql, unsigned i)
{
    LIT(sql, ":mask::bigint & ");
    tn__buf_int(sql, (int64_t) 1 << i);
    LIT(sql, " <> 0");
}


void
tn__resource_columns(tn__buf *sql, const tn__resource *resource, tn_str alias)
{
    unsigned i;

    for (i = 0; i < resource->nfields; i++) {
        if (i) {
            LIT(sql, ", ");
        }
        tn__sql_column(sql, alias, resource->fields[i].name);
    }
}


/* A function takes 100 arguments: so many fields an object. */
#define IMAGE_FIELDS 50


/* jsonb_build_object('id', done."id", …): the row as a response shows it. */
static tn_err
image(tn_str *out, const tn__resource *resource, tn_str alias, tn_mem *mem)
{
    unsigned i;
    tn__buf sql;
    const tn__field *field;

    tn__buf_init(&sql, mem, 512);

    for (i = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];

        if (i % IMAGE_FIELDS) {
            LIT(&sql, ", ");
        } else {
            ADD(&sql, i ? TN_STR(") || jsonb_build_object(")
                        : TN_STR("jsonb_build_object("));
        }

        tn__buf_char(&sql, '\'');
        ADD(&sql, field->name);
        LIT(&sql, "', ");

        if (field->type == TN__TYPE_TIME) {
            LIT(&sql, "to_char(");
            tn__sql_column(&sql, alias, field->name);
            LIT(&sql, " at time zone 'UTC', "
                      "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
        } else {
            tn__sql_column(&sql, alias, field->name);
        }
    }

    tn__buf_char(&sql, ')');

    return tn__buf_str(out, &sql);
}


static tn_err
event_ctes(tn__buf *sql, const tn__resource *resource, const char *verb,
           int before, int after, tn_mem *mem)
{
    tn_err err;
    tn_str parts[2];
    tn__event_sql event;

    memset(&event, 0, sizeof(event));
    parts[0] = resource->name;
    parts[1] = (tn_str){ verb, strlen(verb) };

    err = tn__cat(&event.action, parts, 2, mem);
    event.resource = resource->full_name;
    event.from = before ? TN_STR("done, old") : TN_STR("done");

    if (err == TN_OK && before) {
        err = image(&event.before, resource, TN_STR("old"), mem);
    }

    if (err == TN_OK && after) {
        err = image(&event.after, resource, TN_STR("done"), mem);
    }

    if (err == TN_OK) {
        tn__event_ctes(sql, &event);
    }

    return err;
}


static tn_err
compile(tn__bound *out, tn__buf *sql, const tn__resource *resource)
{
    tn_err err;
    tn_str text;

    err = tn__buf_str(&text, sql);
    if (err != TN_OK) {
        return err;
    }

    return tn__bound_compile(out, text, resource->fields, resource->nfields,
                             sql->mem);
}


static void
where_row(tn__buf *sql, const tn__resource *resource)
{
    LIT(sql, " from ");
    ADD(sql, resource->relation);
    LIT(sql, " t where t.tenant_id = :tenant::uuid and t.id = :id::uuid");

    if (resource->soft_delete) {
        LIT(sql, " and t.deleted_at is null");
    }
}


static tn_err
compile_read(tn__resource *resource, tn_mem *mem)
{
    tn__buf sql;

    tn__buf_init(&sql, mem, 512);
    LIT(&sql, "select ");
    tn__resource_columns(&sql, resource, TN_STR("t"));
    where_row(&sql, resource);

    return compile(&resource->read, &sql, resource);
}


/* exists (select from x p where p.tenant_id = … and p."id" = VALUE …) */
static void
exists_open(tn__buf *sql, const tn__reference *reference)
{
    LIT(sql, "exists (select from ");
    ADD(sql, reference->relation);
    LIT(sql, " p where p.tenant_id = :tenant::uuid");

    if (reference->living) {
        LIT(sql, " and p.deleted_at is null");
    }

    LIT(sql, " and ");
    tn__sql_column(sql, TN_STR("p"), reference->column);
    LIT(sql, " = ");
}


int
tn__field_checked(const tn__field *field, int update)
{
    if (field->reference == NULL) {
        return 0;
    }

    return update ? field->update || field->reference->parent : field->create;
}


/* ref: a boolean r<i> per referencing field: what the body names is there.
 * In an update also alive<i>: a parent that it doesn't name still lives. */
static unsigned
reference_cte(tn__buf *sql, const tn__resource *resource, int update)
{
    unsigned i, n;
    const tn__field *field;

    for (i = 0, n = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];

        if (!tn__field_checked(field, update)) {
            continue;
        }

        ADD(sql, n++ ? TN_STR(", ") : TN_STR(" ref as (select "));

        if (update && !field->update) {
            LIT(sql, "true");
        } else {
            LIT(sql, "(not (");
            masked(sql, i);
            LIT(sql, ") or ");
            tn__sql_value(sql, field);
            LIT(sql, " is null or ");
            exists_open(sql, field->reference);
            tn__sql_value(sql, field);
            LIT(sql, "))");
        }

        LIT(sql, " as r");
        tn__buf_int(sql, i);

        if (!update || !field->reference->parent) {
            continue;
        }

        LIT(sql, ", (");
        if (field->update) {
            masked(sql, i);
            LIT(sql, " or ");
        }
        tn__sql_column(sql, TN_STR("old"), field->name);
        LIT(sql, " is null or ");
        exists_open(sql, field->reference);
        tn__sql_column(sql, TN_STR("old"), field->name);
        LIT(sql, ")) as alive");
        tn__buf_int(sql, i);
    }

    if (n) {
        ADD(sql, update ? TN_STR(" from old),\n") : TN_STR("),\n"));
    }

    return n;
}


/* The names of reference_cte's columns, each behind `before`: " and ref.r3 and
 * ref.alive3", ", ref.r3, ref.alive3". */
static void
reference_names(tn__buf *sql, const tn__resource *resource, int update,
                tn_str before)
{
    unsigned i;
    const tn__field *field;

    for (i = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];

        if (!tn__field_checked(field, update)) {
            continue;
        }

        ADD(sql, before);
        LIT(sql, "ref.r");
        tn__buf_int(sql, i);

        if (update && field->reference->parent) {
            ADD(sql, before);
            LIT(sql, "ref.alive");
            tn__buf_int(sql, i);
        }
    }
}


static tn_err
compile_create(tn__resource *resource, tn_mem *mem)
{
    tn_err err;
    unsigned i, refs;
    tn__buf sql;
    const tn__field *field;

    tn__buf_init(&sql, mem, 2048);
    LIT(&sql, "with");
    refs = reference_cte(&sql, resource, 0);

    LIT(&sql, " done as (insert into ");
    ADD(&sql, resource->relation);
    LIT(&sql, " as t (tenant_id, id, created_by");

    for (i = 0; i < resource->nfields; i++) {
        if (resource->fields[i].create) {
            LIT(&sql, ", ");
            quoted(&sql, resource->fields[i].name);
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
        masked(&sql, i);
        LIT(&sql, " then ");
        tn__sql_value(&sql, field);
        LIT(&sql, " else ");
        ADD(&sql, field->default_sql);
        LIT(&sql, " end");
    }

    if (refs) {
        LIT(&sql, " from ref where true");
        reference_names(&sql, resource, 0, TN_STR(" and "));
    }

    LIT(&sql, " returning ");
    tn__resource_columns(&sql, resource, TN_STR("t"));
    LIT(&sql, ")");

    err = event_ctes(&sql, resource, ".created", 0, 1, mem);
    if (err != TN_OK) {
        return err;
    }

    LIT(&sql, "\nselect true as tried");
    reference_names(&sql, resource, 0, TN_STR(", "));
    LIT(&sql, ", ");
    tn__resource_columns(&sql, resource, TN_STR("done"));
    ADD(&sql, refs ? TN_STR(" from ref left join done on true")
                   : TN_STR(" from done"));

    return compile(&resource->create, &sql, resource);
}


/* old: the row as it is, locked, with what decides whether to go on. */
static void
old_cte(tn__buf *sql, const tn__resource *resource)
{
    LIT(sql, "with old as materialized (select ");
    tn__resource_columns(sql, resource, TN_STR("t"));
    where_row(sql, resource);
    LIT(sql, " for no key update),\n");
}


/* The conditions every change of a row shares. */
static void
where_old(tn__buf *sql, const tn__resource *resource)
{
    LIT(sql,
        " where t.tenant_id = :tenant::uuid and t.id = old.id"
        " and (:match::bigint[] is null or old.version = any(:match::bigint[]))"
        " and (:own::uuid is null or ");
    tn__sql_column(sql, TN_STR("old"), resource->owner);
    LIT(sql, " = :own::uuid)");
}


/* What tells a step why nothing was done. */
static void
select_old(tn__buf *sql, const tn__resource *resource)
{
    LIT(sql, "\nselect old.version as old_version, ");
    tn__sql_column(sql, TN_STR("old"), resource->owner);
    LIT(sql, " as old_owner");
}


static tn_err
compile_update(tn__resource *resource, tn_mem *mem)
{
    tn_err err;
    unsigned i, refs;
    tn__buf sql;
    const tn__field *field;

    tn__buf_init(&sql, mem, 4096);
    old_cte(&sql, resource);
    refs = reference_cte(&sql, resource, 1);

    LIT(&sql, " done as (update ");
    ADD(&sql, resource->relation);
    LIT(&sql, " t set version = old.version + 1, updated_at = now()");

    for (i = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];

        if (!field->update) {
            continue;
        }

        LIT(&sql, ", ");
        quoted(&sql, field->name);
        LIT(&sql, " = case when ");
        masked(&sql, i);
        LIT(&sql, " then ");
        tn__sql_value(&sql, field);
        LIT(&sql, " else ");
        tn__sql_column(&sql, TN_STR("t"), field->name);
        LIT(&sql, " end");
    }

    ADD(&sql, refs ? TN_STR(" from old, ref") : TN_STR(" from old"));
    where_old(&sql, resource);
    reference_names(&sql, resource, 1, TN_STR(" and "));

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

    LIT(&sql, " returning ");
    tn__resource_columns(&sql, resource, TN_STR("t"));
    LIT(&sql, ")");

    err = event_ctes(&sql, resource, ".updated", 1, 1, mem);
    if (err != TN_OK) {
        return err;
    }

    select_old(&sql, resource);
    reference_names(&sql, resource, 1, TN_STR(", "));
    LIT(&sql, ", ");
    tn__resource_columns(&sql, resource, TN_STR("done"));
    LIT(&sql, " from (values (1)) x left join old on true ");
    if (refs) {
        LIT(&sql, "left join ref on true ");
    }
    LIT(&sql, "left join done on true");

    return compile(&resource->update, &sql, resource);
}


static tn_err
compile_remove(tn__resource *resource, tn_mem *mem)
{
    tn_err err;
    tn__buf sql;

    tn__buf_init(&sql, mem, 2048);
    old_cte(&sql, resource);

    if (resource->soft_delete) {
        LIT(&sql, " done as (update ");
        ADD(&sql, resource->relation);
        LIT(&sql, " t set version = old.version + 1, updated_at = now(), "
                  "deleted_at = now() from old");
    } else {
        LIT(&sql, " done as (delete from ");
        ADD(&sql, resource->relation);
        LIT(&sql, " t using old");
    }

    where_old(&sql, resource);
    LIT(&sql, " returning t.id, t.version)");

    err = event_ctes(&sql, resource, ".deleted", 1, 0, mem);
    if (err != TN_OK) {
        return err;
    }

    select_old(&sql, resource);
    LIT(&sql, ", done.id from (values (1)) x left join old on true"
              " left join done on true");

    return compile(&resource->remove, &sql, resource);
}


tn_err
tn__resource_compile(tn__resource *resource, tn_mem *mem)
{
    tn_err err;

    err = compile_read(resource, mem);

    if (err == TN_OK) {
        err = compile_create(resource, mem);
    }

    if (err == TN_OK) {
        err = compile_update(resource, mem);
    }

    if (err == TN_OK) {
        err = compile_remove(resource, mem);
    }

    return err;
}
