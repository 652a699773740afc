/*
 * The statements of a resource: what must be in them whatever the columns.
 * That PostgreSQL takes them is for t/10sql and `tenonctl doctor` to prove.
 */

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

    /* a living project of this tenant; a member may not be soft-deleted */
    assert_has(create, "exists (select from teamos.project p where "
                       "p.tenant_id = $");
    assert_has(create, "and p.deleted_at is null and p.\"id\" = $");
    assert_has(create, "exists (select from tenon.member p where "
                       "p.tenant_id = $");
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


UNIT_MAIN(cmocka_unit_test(test_soft_delete), cmocka_unit_test(test_references),
          cmocka_unit_test(test_server_columns))
