/*
 * call_sql.c: the statements of actions and queries.
 *
 * An action's locks the row, looks whether it may be called on it (gate), and
 * calls the function once if so, all in one statement; the function's own
 * changes are logged by the tables' triggers. It answers one row: the columns
 * of TN__ACTION_VERSION…, `room` where it counts as something (sql_unit.c), then
 * what the function answered (its id where that is nothing), then idem_go,
 * idem_fingerprint. A second row of a function that may
 * answer one only is an error of the server's, so that nothing is committed;
 * so is no row where the resource's is due (TN__ACTION_NO_ROW).
 *
 * A query's answers the function's rows, one more than may be answered.
 */

#include "libcore/model/sql.h"


#define LIT tn__buf_lit
#define ADD tn__buf_add


/* An argument that isn't given is its default; the cast holds the type that
 * the function is found by. */
static void
argument(tn__buf *sql, const tn__field *field, unsigned i)
{
    if (field->default_sql.p == NULL) {
        tn__sql_value(sql, field);
        return;
    }

    LIT(sql, "(case when ");
    tn__sql_masked(sql, i);
    LIT(sql, " then ");
    tn__sql_value(sql, field);
    LIT(sql, " else (");
    ADD(sql, field->default_sql);
    LIT(sql, ") end)::");
    ADD(sql, tn__field_sql_type(field));
}


/* f("gate".id, …) f; a query has no id. */
static void
function(tn__buf *sql, const tn__call *call)
{
    unsigned i;

    ADD(sql, call->function);
    ADD(sql, call->resource ? TN_STR("(gate.id") : TN_STR("("));

    for (i = 0; i < call->nparams; i++) {
        ADD(sql, i || call->resource ? TN_STR(", ") : TN_STR(""));
        argument(sql, &call->params[i], i);
    }

    LIT(sql, ") f");
}


static void
columns(tn__buf *sql, const tn__call *call)
{
    unsigned i;

    for (i = 0; i < call->ncolumns; i++) {
        ADD(sql, i ? TN_STR(", ") : TN_STR(""));
        tn__sql_column(sql, TN_STR("f"), call->columns[i].name);
    }
}


/* old: the row, locked, with what decides whether to go on. */
static void
old_cte(tn__buf *sql, const tn__call *call)
{
    int first;
    unsigned i;
    const tn__field *field;
    const tn__resource *r;

    r = call->resource;
    first = 1;
    LIT(sql, ",\nold as materialized (select ");

    for (i = 0; i < r->nfields; i++) {
        field = &r->fields[i];

        if (tn__eq(field->name, TN_STR("id")) ||
            tn__eq(field->name, TN_STR("version")) ||
            tn__eq(field->name, r->owner) || tn__eq(field->name, r->account) ||
            field == call->state_field ||
            (field->reference && field->reference->parent)) {
            ADD(sql, first ? TN_STR("") : TN_STR(", "));
            tn__sql_column(sql, TN_STR("t"), field->name);
            first = 0;
        }
    }

    LIT(sql, " from idem, ");
    ADD(sql, r->relation);
    LIT(sql, " t where t.tenant_id = :tenant::uuid and t.id = :id::uuid"
             " and " TN__SQL_GO);

    if (r->soft_delete) {
        LIT(sql, " and t.deleted_at is null");
    }

    if (r->within) {
        LIT(sql, " and ");
        tn__sql_within(sql, r, TN_STR("t"), TN__WITHIN_SIGHT, TN_STR("read"));
    }

    LIT(sql, " for no key update of t)");
}


/* gate: the row's id, if it may be called on it. */
static void
gate_cte(tn__buf *sql, const tn__call *call, int alive)
{
    unsigned i;

    ADD(sql, call->unit.meter.p ? TN_STR(",\nallowed") : TN_STR(",\ngate"));
    LIT(sql, " as materialized (select old.id from old");
    ADD(sql, alive ? TN_STR(", ref") : TN_STR(""));
    LIT(sql, " where (:match::bigint[] is null"
             " or old.version = any(:match::bigint[])) and ");

    if (call->resource->within) {
        tn__sql_within(sql, call->resource, TN_STR("old"), TN__WITHIN_REACH,
                       TN_NULL);
    } else {
        LIT(sql, "(:own::uuid is null or ");
        tn__sql_column(sql, TN_STR("old"), call->resource->owner);
        LIT(sql, " = :own::uuid)");
    }

    for (i = 0; i < call->nstates; i++) {
        if (i) {
            LIT(sql, ", ");
        } else {
            LIT(sql, " and ");
            tn__sql_column(sql, TN_STR("old"), call->state_field->name);
            LIT(sql, " in (");
        }

        tn__sql_text(sql, call->states[i]);
    }

    ADD(sql, call->nstates ? TN_STR(")") : TN_STR(""));
    ADD(sql, alive ? TN_STR(" and ref.alive)") : TN_STR(")"));

    if (call->unit.meter.p) {
        tn__sql_room(sql, &call->unit);
        LIT(sql, "allowed),\ngate as materialized (select allowed.id "
                 "from allowed, room where room.ok)");
    }
}


static void
action_answer(tn__buf *sql, const tn__call *call, int alive)
{
    LIT(sql, "\nselect old.version as old_version, ");

    if (call->resource->within) {
        LIT(sql, "case when ");
        tn__sql_within(sql, call->resource, TN_STR("old"), TN__WITHIN_REACH,
                       TN_NULL);
        LIT(sql, " then :actor::uuid end");
    } else {
        tn__sql_column(sql, TN_STR("old"), call->resource->owner);
    }

    LIT(sql, " as old_owner, ");
    ADD(sql, alive ? TN_STR("ref.alive") : TN_STR("true as alive"));
    LIT(sql, ", ");

    if (call->nstates) {
        tn__sql_column(sql, TN_STR("old"), call->state_field->name);
    } else {
        LIT(sql, "null");
    }

    LIT(sql, " as old_state, (select true from done) as answered");

    if (call->unit.meter.p) {
        tn__sql_room_told(sql);
    }
}


static void
action(tn__buf *sql, const tn__call *call)
{
    int alive;
    unsigned n;
    const tn__field *outcome;

    LIT(sql, "with ");
    tn__sql_idem(sql);
    old_cte(sql, call);
    alive = tn__sql_alive(sql, call->resource);
    gate_cte(sql, call, alive);

    LIT(sql, ",\ndone as materialized (select ");

    if (call->ncolumns) {
        columns(sql, call);
    } else {
        LIT(sql, "gate.id");
    }

    LIT(sql, " from gate, ");
    function(sql, call);

    if (call->answers == TN__ANSWERS_ROW) {
        LIT(sql, " where 1 / (f.\"id\" is not null)::int = 1");
    }

    LIT(sql, ")");

    if (call->unit.meter.p) {
        tn__sql_recorded(sql, &call->unit, call->resource, TN_STR("gate, done"),
                         TN_STR("gate.id"));
    }

    outcome = call->ncolumns
                  ? call->columns
                  : tn__field_find(call->resource->fields,
                                   call->resource->nfields, TN_STR("id"));
    n = call->ncolumns ? call->ncolumns : 1;

    tn__sql_kept(sql, outcome, n);
    action_answer(sql, call, alive);
    tn__sql_outcome(sql, outcome, n);
    LIT(sql, " from idem left join old on true ");
    ADD(sql, alive ? TN_STR("left join ref on true ") : TN_STR(""));
    LIT(sql, "left join done on true");
}


tn_err
tn__call_compile(tn__call *call, tn_mem *mem)
{
    tn_err err;
    tn__buf sql;
    tn_str text;

    tn__buf_init(&sql, mem, 2048);

    if (call->resource) {
        action(&sql, call);

    } else {
        LIT(&sql, "select ");
        columns(&sql, call);
        LIT(&sql, " from ");
        function(&sql, call);
        LIT(&sql, " limit ");
        tn__buf_int(&sql, TN__QUERY_ROWS_MAX + 1);
    }

    err = tn__buf_str(&text, &sql);

    return err == TN_OK ? tn__bound_compile(&call->stmt, text, call->params,
                                            call->nparams, mem)
                        : err;
}
