/*
 * The statements of a resource: what must be in them whatever the columns.
 * That PostgreSQL takes them is for t/10sql and `tenonctl doctor` to prove.
 */

#include "libcore/base/base.h"
#include "libcore/model/model.h"
#include "t/00unit/host.h"


static tn_str
sql_of(const host *h, const char *operation)
{
    unsigned i;
    tn_endpoint_info info;

    for (i = 0; tn_catalogue_endpoint(&info, h->catalogue, i); i++) {
        if (info.operation.n == strlen(operation) &&
            memcmp(info.operation.p, operation, info.operation.n) == 0) {
            return info.stmt->sql;
        }
    }

    fail_msg("no operation %s", operation);
    return TN_NULL;
}


static void
assert_has(tn_str sql, const char *part)
{
    if (!host_has(sql, part)) {
        fail_msg("no \"%s\" in: %.*s", part, (int) sql.n, sql.p);
    }
}


/* The n-th statement of a catalogue: of its endpoints, then of its resources'
 * that no endpoint stands for. */
static int
statement(tn_str *sql, const tn_catalogue *cat, unsigned n)
{
    unsigned i;
    tn_endpoint_info info;
    const tn__resource *r;

    if (tn_catalogue_endpoint(&info, cat, n)) {
        *sql = info.stmt ? info.stmt->sql : TN_STR("");
        return 1;
    }

    for (i = 0; tn_catalogue_endpoint(&info, cat, i); i++) {
    }

    n -= i;

    if (n >= cat->nresources * 2) {
        return 0;
    }

    r = cat->resources[n / 2];
    *sql = n % 2 ? r->known.stmt.sql : r->keep.stmt.sql;

    return 1;
}


static tn_str
word(const char **p, const char *end)
{
    tn_str out = { *p, 0 };

    while (out.p + out.n < end && !strchr(" ,()\n", out.p[out.n])) {
        out.n++;
    }

    *p = out.p + out.n;

    return out;
}


/* Whether every table that a statement reads or changes is read of one tenant
 * alone: "from teamos.task t" needs "t.tenant_id = $". */
static void
assert_tenant(tn_str sql)
{
    unsigned i;
    size_t n;
    char tied[128];
    tn_str table, alias;
    const char *p, *end = sql.p + sql.n;
    static const char *const before[] = { "from ", "join ", "update ",
                                          "using " };

    for (i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        n = strlen(before[i]);

        for (p = sql.p; (p = memmem(p, (size_t) (end - p), before[i], n));) {
            p += n;
            table = word(&p, end);

            /* a name without a schema is the statement's own; what has
             * arguments is a function; roles, permissions and plans are all the
             * same, and users are a realm's, as it is itself */
            if (memchr(table.p, '.', table.n) == NULL || *p == '(' ||
                host_has(table, "old.") || host_has(table, "target.") ||
                tn__eq(table, TN_STR("tenon.role")) ||
                tn__eq(table, TN_STR("tenon.realm")) ||
                tn__eq(table, TN_STR("tenon.totp")) ||
                tn__eq(table, TN_STR("tenon.permission")) ||
                tn__eq(table, TN_STR("tenon.permission_view")) ||
                tn__eq(table, TN_STR("tenon.plan")) ||
                tn__eq(table, TN_STR("tenon.plan_price")) ||
                tn__eq(table, TN_STR("tenon.meter")) ||
                tn__eq(table, TN_STR("tenon.plan_view")) ||
                tn__eq(table, TN_STR("tenon.\"user\""))) {
                continue;
            }

            p += *p == ' ';
            alias = word(&p, end);
            snprintf(tied, sizeof(tied), "%.*s.tenant_id = ", (int) alias.n,
                     alias.p);
            assert_has(sql, tied);
        }
    }
}


static void
test_tenant_everywhere(void **state)
{
    host h;
    unsigned i, n;
    tn_str sql;

    (void) state;
    host_init(&h);

    for (i = n = 0; statement(&sql, h.catalogue, i); i++) {
        assert_tenant(sql);
        n += host_has(sql, "teamos.");
    }

    /* histories are the event log's; 6 are actions and queries */
    assert_int_equal(n, 24 - 3 + 6 + 6);
    host_free(&h);
}


static int
ends_with(tn_str sql, const char *part)
{
    return sql.n >= strlen(part) &&
           memcmp(sql.p + sql.n - strlen(part), part, strlen(part)) == 0;
}


/* A write does something only under a key that is free, keeps what it did
 * under it, and says at its end how that went. */
static void
test_keys_everywhere(void **state)
{
    host h;
    unsigned i, n, reads;
    tn_str sql;
    const tn__endpoint *e;
    static const char *const pieces[] = {
        "idem as materialized (",
        "::bytea is null or current_setting('tenon.go', true) = 'true') as go,",
        "left join tenon.idempotency p on p.tenant_id = $",
        "insert into tenon.idempotency (tenant_id, key, fingerprint, outcome)",
        "::bytea is not null on conflict (tenant_id, key) do update",
        "idem.go as idem_go, idem.fingerprint as idem_fingerprint from ",
    };

    (void) state;
    host_init(&h);

    for (i = n = reads = 0; i < h.catalogue->nendpoints; i++) {
        e = &h.catalogue->endpoints[i];

        if (!e->stmt || e->kind < TN__KIND_CREATE || e->kind > TN__KIND_WRITE) {
            reads += e->stmt && host_has(e->stmt->stmt.sql, "idempotency");
            continue;
        }

        sql = e->stmt->stmt.sql;
        n += host_has(sql, "teamos.");

        for (unsigned k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
            if (!e->unkeyed) {
                assert_has(sql, pieces[k]);
            }
        }

        assert_true(e->unkeyed ||
                    host_has(sql, "idem.go and idem.fingerprint is null") ||
                    host_has(sql, "not idem.go or idem.fingerprint is not "
                                  "null"));
    }

    assert_int_equal(reads, 0);
    assert_int_equal(n, 4 + 5 + 5 + 4); /* four actions */

    /* nothing is read twice: what is changed comes through the gate */
    sql = sql_of(&h, "updateTask");
    assert_has(sql, "from idem, teamos.task t where t.tenant_id = $");
    assert_has(sql, "from old, ref where t.tenant_id = $");
    assert_true(ends_with(sql, " from idem left join old on true left join ref "
                               "on true left join done on true"));

    /* an empty patch is kept like any other, and does no more */
    sql = h.catalogue->resources[2]->keep.stmt.sql;
    assert_has(sql, "done as (select t.\"id\", ");
    assert_has(sql, "insert into tenon.idempotency");
    assert_false(host_has(sql, "tenon.event"));
    assert_false(host_has(sql, "update teamos.task"));
    host_free(&h);
}


/* What is kept is what is answered, by name. */
static void
test_kept_columns(void **state)
{
    unsigned i;
    host h;
    tn_str sql;
    char part[128];
    static const char *const columns[] = { TASK_COLUMNS };
    static const char *const operations[] = { "createTask", "updateTask",
                                              "rollBackTask", "restoreTask" };

    (void) state;
    host_init(&h);

    for (i = 0; i < 4 * 12; i++) {
        sql = sql_of(&h, operations[i / 12]);
        snprintf(part, sizeof(part), "done.\"%s\"::text", columns[i % 12]);
        assert_has(sql, part);
        snprintf(part, sizeof(part),
                 "coalesce(done.\"%s\"::text, idem.outcome ->> '%s') as "
                 "\"%s\"",
                 columns[i % 12], columns[i % 12], columns[i % 12]);
        assert_has(sql, part);
    }

    /* of what goes only its id */
    sql = sql_of(&h, "deleteTask");
    assert_has(sql, "jsonb_object(array['id'], array[done.\"id\"::text])");
    assert_false(host_has(sql, "outcome ->> 'title'"));
    host_free(&h);
}


static void
test_rollback_and_restore(void **state)
{
    host h;
    tn_str sql;

    (void) state;
    host_init(&h);
    sql = sql_of(&h, "rollBackTask");
    assert_has(sql, "and e.outcome = 'success' and b.after is not null");
    assert_has(sql, "jsonb_populate_record(old.whole_row, target.after)");
    assert_has(sql, "b.tenant_id = e.tenant_id");
    assert_has(sql, "exists (select from target) as found, ref.r1, ref.alive1, "
                    "ref.r5, ");
    assert_has(sql, "p.\"id\" = goal.\"project_id\")) as r1");
    assert_has(sql, "jsonb_build_object('version', $");
    assert_has(sql, "t.deleted_at is null for no key update");

    sql = sql_of(&h, "restoreTask");
    assert_has(sql, "old.was_deleted, ref.r1, ref.alive1, ref.r5, ");
    assert_has(sql, "(old.\"project_id\" is null or exists (select from "
                    "teamos.project p where p.tenant_id = $");
    assert_false(host_has(sql, "t.deleted_at is null"));

    /* images of both sides */
    assert_has(sql, "'title', old.\"title\"");
    assert_has(sql, "'title', done.\"title\"");
    host_free(&h);
}


static void
test_lists(void **state)
{
    host h;
    tn_str sql;

    (void) state;
    host_init(&h);
    sql = sql_of(&h, "listProjectTasks");
    assert_has(sql, "t.deleted_at is null and t.\"project_id\" = $");
    sql = sql_of(&h, "listTaskHistory");
    assert_has(sql, "from tenon.audit_event t where t.tenant_id = $");
    assert_has(sql, "and t.resource_id = $");

    /* a row that was deleted has a history; only its owner's when grants are
     * for own rows */
    sql = h.catalogue->resources[2]->known.stmt.sql;
    assert_false(host_has(sql, "deleted_at"));
    assert_has(sql, "e.resource = 'teamos.task'");
    assert_has(sql, "::uuid is null and exists (select from tenon.event e");
    host_free(&h);
}


static void
test_soft_delete(void **state)
{
    host h;

    (void) state;
    host_init_bare(&h);
    host_adopt(&h);
    assert_has(sql_of(&h, "getTask"), "and t.deleted_at is null");
    assert_has(sql_of(&h, "listTasks"), "and t.deleted_at is null");
    assert_has(sql_of(&h, "updateTask"), "and t.deleted_at is null for no key");
    assert_has(sql_of(&h, "deleteTask"), "deleted_at = now() from old");
    host_free(&h);

    host_init_bare(&h);
    teamos_find(&h.rows, TEAMOS_RESOURCES, "teamos", "task", NULL)[4] = "f";
    host_adopt(&h);
    assert_false(host_has(sql_of(&h, "getTask"), "deleted_at"));
    assert_false(host_has(sql_of(&h, "listTasks"), "deleted_at"));
    assert_has(sql_of(&h, "deleteTask"),
               "(delete from teamos.task t using old");
    host_free(&h);
}


static void
test_references(void **state)
{
    host h;
    tn_str create, update;

    (void) state;
    host_init(&h);
    create = sql_of(&h, "createTask");
    update = sql_of(&h, "updateTask");

    /* a living project of this tenant; a member who hasn't left */
    assert_has(create, "exists (select from teamos.project p where "
                       "p.tenant_id = $");
    assert_has(create, "and p.deleted_at is null and p.\"id\" = $");
    assert_has(create, "exists (select from tenon.member p where "
                       "p.tenant_id = $");
    assert_has(create, "and p.deleted_at is null and p.\"user_id\" = $");
    assert_has(create, "from idem, ref where idem.go and idem.fingerprint is "
                       "null and ref.r1 and ref.r5");

    /* the parent must live for every change, named or not */
    assert_has(update, "p.\"id\" = old.\"project_id\"))) as alive1");
    assert_has(update, "and ref.r1 and ref.alive1 and ref.r5");
    assert_false(host_has(update, "alive5"));
    host_free(&h);
}


/* No way to another tenant's row, or to a column that is the server's. */
static void
test_server_columns(void **state)
{
    host h;
    tn_str create, update;

    (void) state;
    host_init(&h);
    create = sql_of(&h, "createTask");
    update = sql_of(&h, "updateTask");
    assert_has(create, "(tenant_id, id, created_by, \"project_id\", \"title\", "
                       "\"priority\", \"status\", \"assignee_id\", \"origin\") "
                       "select $");
    assert_has(update, "set version = old.version + 1, updated_at = now(), "
                       "\"project_id\" = case");
    assert_has(update, "where t.tenant_id = $");
    assert_false(host_has(update, "tenant_id\" ="));
    assert_false(host_has(update, "\"created_by\" = case"));
    assert_false(host_has(update, "\"id\" = case"));
    assert_has(update, "old.\"status\" = any($");

    /* the images hold what responses show */
    assert_has(update, "'title', old.\"title\"");
    assert_has(update, "'title', done.\"title\"");
    assert_false(host_has(create, "old."));
    host_free(&h);
}


UNIT_MAIN(cmocka_unit_test(test_tenant_everywhere),
          cmocka_unit_test(test_keys_everywhere),
          cmocka_unit_test(test_kept_columns),
          cmocka_unit_test(test_rollback_and_restore),
          cmocka_unit_test(test_lists), cmocka_unit_test(test_soft_delete),
          cmocka_unit_test(test_references),
          cmocka_unit_test(test_server_columns))
