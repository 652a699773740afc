/*
 * sql.c: the pieces of a resource's statements that several of them share,
 * and the two that only read. Writes: sql_write.c; lists: list_sql.c.
 */

#include "libcore/model/sql.h"
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


int
tn__field_is_list(const tn__field *field)
{
    return field->array && field->nfields == 1 && field->fields[0].name.n == 0;
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
        [TN__TYPE_DATE] = TN_STR_C("date"),
        [TN__TYPE_JSON] = TN_STR_C("jsonb"),
        [TN__TYPE_OBJECT] = TN_STR_C("jsonb"),
    };

    return field->sql_type.p ? field->sql_type : by_type[field->type];
}


void
tn__sql_text(tn__buf *sql, tn_str s)
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
tn__sql_name(tn__buf *sql, tn_str name)
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
    tn__sql_name(sql, name);
}


void
tn__sql_value(tn__buf *sql, const tn__field *field)
{
    LIT(sql, ":f_");
    ADD(sql, field->name);
    LIT(sql, "::");
    ADD(sql, tn__field_sql_type(field));
}


void
tn__sql_masked(tn__buf *sql, unsigned field)
{
    LIT(sql, ":mask::bigint & ");
    tn__buf_int(sql, (int64_t) 1 << field);
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


/* ---- whose rows ---- */

void
tn__sql_within(tn__buf *sql, const tn__resource *resource, tn_str alias,
               tn__within what, tn_str share)
{
    int sight;

    sight = what == TN__WITHIN_SIGHT;
    tn__buf_char(sql, '(');

    /* who sees the whole tenant may change less */
    ADD(sql, sight ? TN_STR(":sight::uuid[] is null or ") : TN_STR(""));

    tn__sql_column(sql, alias, resource->owner);
    ADD(sql, sight ? TN_STR(" = :sight_any::uuid") : TN_STR(" = :own::uuid"));

    if (resource->account.p) {
        LIT(sql, " or ");
        tn__sql_column(sql, alias, resource->account);
        ADD(sql, sight ? TN_STR(" = any(:sight::uuid[]) or (")
                       : TN_STR(" = any(:reach::uuid[]) or ("));
        tn__sql_column(sql, alias, resource->owner);
        LIT(sql, " = :actor::uuid and ");
        tn__sql_column(sql, alias, resource->account);
        ADD(sql, sight ? TN_STR(" = any(:sight_own::uuid[]))")
                       : TN_STR(" = any(:reach_own::uuid[]))"));
    }

    if (resource->shareable && share.p) {
        /* who returned to the tenant doesn't bring along what was shared */
        LIT(sql, " or exists (select from tenon.share s "
                 "join tenon.member m on m.tenant_id = s.tenant_id "
                 "and m.user_id = s.user_id and m.created_at <= s.created_at "
                 "where s.tenant_id = :tenant::uuid and s.resource = ");
        tn__sql_text(sql, resource->full_name);
        LIT(sql, " and s.resource_id = ");
        ADD(sql, alias);
        LIT(sql,
            ".id and s.user_id = :shared_with::uuid and s.deleted_at is null");
        ADD(sql, tn__eq(share, TN_STR("update"))
                     ? TN_STR(" and s.access = 'update')")
                     : TN_STR(")"));
    }

    tn__buf_char(sql, ')');
}


/* ---- idempotency ---- */

/* What schema/queries/context.sql says of it holds here. */
void
tn__sql_idem(tn__buf *sql)
{
    LIT(sql, "idem as materialized (select (:idem_key::bytea is null or "
             "current_setting('tenon.go', true) = 'true') as go, "
             "p.fingerprint, p.outcome from (values (1)) always "
             "left join tenon.idempotency p on p.tenant_id = :tenant::uuid "
             "and p.key = :idem_key::bytea "
             "and p.at > now() - interval '24 hours')");
}


void
tn__sql_kept(tn__buf *sql, const tn__field *fields, unsigned n)
{
    unsigned i;

    LIT(sql, ",\nkept as (insert into tenon.idempotency (tenant_id, key, "
             "fingerprint, outcome) select :tenant::uuid, :idem_key::bytea, "
             ":idem_hash::bytea, jsonb_object(array[");

    for (i = 0; i < n; i++) {
        if (i) {
            LIT(sql, ", ");
        }
        tn__sql_text(sql, fields[i].name);
    }

    LIT(sql, "], array[");

    for (i = 0; i < n; i++) {
        if (i) {
            LIT(sql, ", ");
        }
        tn__sql_column(sql, TN_STR("done"), fields[i].name);
        LIT(sql, "::text");
    }

    LIT(sql, "]) from done where :idem_key::bytea is not null "
             "on conflict (tenant_id, key) do update "
             "set fingerprint = excluded.fingerprint, "
             "outcome = excluded.outcome, at = now())");
}


void
tn__sql_outcome(tn__buf *sql, const tn__field *fields, unsigned n)
{
    unsigned i;

    for (i = 0; i < n; i++) {
        LIT(sql, ", coalesce(");
        tn__sql_column(sql, TN_STR("done"), fields[i].name);
        LIT(sql, "::text, idem.outcome ->> ");
        tn__sql_text(sql, fields[i].name);
        LIT(sql, ") as ");
        tn__sql_name(sql, fields[i].name);
    }

    LIT(sql, ", idem.go as idem_go, idem.fingerprint as idem_fingerprint");
}


/* ---- events ---- */

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

        tn__sql_text(&sql, field->name);
        LIT(&sql, ", ");

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


tn_err
tn__sql_event(tn__buf *sql, const tn__resource *resource, tn__change change)
{
    tn_err err;
    tn_str parts[2];
    tn__event_sql event;
    static const tn_str verbs[] = {
        [TN__CHANGE_CREATE] = TN_STR_C(".created"),
        [TN__CHANGE_UPDATE] = TN_STR_C(".updated"),
        [TN__CHANGE_ROLLBACK] = TN_STR_C(".rolled_back"),
        [TN__CHANGE_RESTORE] = TN_STR_C(".restored"),
        [TN__CHANGE_REMOVE] = TN_STR_C(".deleted"),
    };

    memset(&event, 0, sizeof(event));
    parts[0] = resource->name;
    parts[1] = verbs[change];

    err = tn__cat(&event.action, parts, 2, sql->mem);
    event.resource = resource->full_name;
    event.from =
        change == TN__CHANGE_CREATE ? TN_STR("done") : TN_STR("done, old");

    if (change == TN__CHANGE_ROLLBACK) {
        event.metadata =
            TN_STR("jsonb_build_object('version', :version::bigint)");
    }

    if (resource->account.p) {
        event.account = resource->account;
        event.had_account = change != TN__CHANGE_CREATE;
        event.has_account = change != TN__CHANGE_REMOVE;
    }

    if (err == TN_OK && change != TN__CHANGE_CREATE) {
        err = image(&event.before, resource, TN_STR("old"), sql->mem);
    }

    if (err == TN_OK && change != TN__CHANGE_REMOVE) {
        err = image(&event.after, resource, TN_STR("done"), sql->mem);
    }

    if (err == TN_OK) {
        tn__event_ctes(sql, &event);
    }

    return err;
}


/* ---- statements that read ---- */

tn_err
tn__sql_end(tn__bound *out, tn__buf *sql, const tn__resource *resource)
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


tn_err
tn__sql_read_end(tn__bound *out, tn__buf *sql, const tn__resource *resource)
{
    tn_err err;

    err = tn__sql_end(out, sql, resource);
    out->stmt.binary = resource->binary;

    return err;
}


tn_err
tn__resource_compile_read(tn__resource *resource, tn_mem *mem)
{
    tn__buf sql;

    tn__buf_init(&sql, mem, 512);
    LIT(&sql, "select ");
    tn__resource_columns(&sql, resource, TN_STR("t"));
    LIT(&sql, " from ");
    ADD(&sql, resource->relation);
    LIT(&sql, " t where t.tenant_id = :tenant::uuid and t.id = :id::uuid");

    if (resource->soft_delete) {
        LIT(&sql, " and t.deleted_at is null");
    }

    if (resource->within) {
        LIT(&sql, " and ");
        tn__sql_within(&sql, resource, TN_STR("t"), TN__WITHIN_SIGHT,
                       TN_STR("read"));
    }

    return tn__sql_read_end(&resource->read, &sql, resource);
}


/* A row that was deleted has a history as well; for one whose grant is for
 * own rows or accounts only as long as the row says whose it was. */
tn_err
tn__resource_compile_known(tn__resource *resource, tn_mem *mem)
{
    tn__buf sql;

    tn__buf_init(&sql, mem, 512);
    LIT(&sql, "select exists (select from ");
    ADD(&sql, resource->relation);

    if (resource->within) {
        LIT(&sql, " t where t.tenant_id = :tenant::uuid and t.id = :id::uuid "
                  "and ");
        tn__sql_within(&sql, resource, TN_STR("t"), TN__WITHIN_REACH, TN_NULL);
        LIT(&sql, ") as known");
        return tn__sql_end(&resource->known, &sql, resource);
    }

    LIT(&sql, " t where t.tenant_id = :tenant::uuid and t.id = :id::uuid "
              "and (:own::uuid is null or ");
    tn__sql_column(&sql, TN_STR("t"), resource->owner);
    LIT(&sql, " = :own::uuid)) or (:own::uuid is null and exists "
              "(select from tenon.event e where e.tenant_id = :tenant::uuid "
              "and e.resource_id = :id::uuid and e.resource = ");
    tn__sql_text(&sql, resource->full_name);
    LIT(&sql, " and e.outcome = 'success')) as known");

    return tn__sql_end(&resource->known, &sql, resource);
}
