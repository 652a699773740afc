/*
 * teamos.h: TeamOS's catalogue as literal rows, shaped as the statements of
 * schema/queries/catalogue.sql answer. A test may change a cell of the copy
 * that teamos_rows() makes, to see what a worker makes of it.
 *
 * Member may read and create, and change, delete and restore what it created;
 * admin and owner may do all; "guest" sees only projects, and only its own.
 * "note" belongs to the owner alone: no soft deletion, no parent, no search,
 * and no change without If-Match.
 */

#ifndef TENON_TEAMOS_H
#define TENON_TEAMOS_H

#include "t/00unit/unit.h"
#include <tenon/core.h>

enum {
    TEAMOS_VERSION,
    TEAMOS_ROLES,
    TEAMOS_PERMISSIONS,
    TEAMOS_GRANTS,
    TEAMOS_RESOURCES,
    TEAMOS_FIELDS,
    TEAMOS_REFERENCES,
    TEAMOS_TRANSITIONS,
    TEAMOS_CALLS,
    TEAMOS_PARAMS,
    TEAMOS_COLUMNS,
    TEAMOS_KEYS,
    TEAMOS_VERSION_AFTER,
    TEAMOS_READS
};

#define TEAMOS_TEXT(n)   #n
#define TEAMOS_NUMBER(n) TEAMOS_TEXT(n)
#define TEAMOS_SCHEMA    TEAMOS_NUMBER(TN_SCHEMA_VERSION)
#define TEAMOS_ROWS_MAX  192
#define TEAMOS_COLS_MAX  17

typedef const char *teamos_row[TEAMOS_COLS_MAX];

typedef struct teamos_table {
    unsigned ncols;
    teamos_row rows[TEAMOS_ROWS_MAX]; /* ends at a row whose first is NULL */
} teamos_table;

typedef struct teamos {
    teamos_table tables[TEAMOS_READS];
    tn_str cells[TEAMOS_READS][TEAMOS_ROWS_MAX * TEAMOS_COLS_MAX];
    tn_rows rows[TEAMOS_READS];
    tn_reply reply;
} teamos;

#define SYSTEM(resource)                                                  \
    { "teamos", resource, "tenant_id", "uuid", "t" },                     \
        { "teamos", resource, "id", "uuid", "t", "tenon.uuid7()" },       \
        { "teamos", resource, "version", "bigint", "t", "1" },            \
        { "teamos", resource, "created_at", "timestamp with time zone",   \
          "t",      "now()",  NULL,         NULL,                         \
          NULL,     NULL,     "f",          "f",                          \
          "f",      "f" },                                                \
        { "teamos", resource, "created_by", "uuid", "f" },                \
        { "teamos", resource, "updated_at", "timestamp with time zone",   \
          "t",      "now()" },                                            \
    {                                                                     \
        "teamos", resource, "deleted_at", "timestamp with time zone", "f" \
    }

/* clang-format off */
static const teamos_table teamos_tables[TEAMOS_READS] = {
    [TEAMOS_VERSION] = { 2, { { "7", TEAMOS_SCHEMA } } },
    [TEAMOS_ROLES] = { 1, {
        { "admin" }, { "guest" }, { "member" }, { "owner" } } },
    [TEAMOS_PERMISSIONS] = { 2, {
        { "1", "tenon.tenant:read" },
        { "2", "tenon.audit_event:read" },
        { "3", "tenon.tenant:update" },
        { "4", "tenon.tenant:delete" },
        { "5", "tenon.member:read" },
        { "6", "tenon.member:create" },
        { "7", "tenon.member:update" },
        { "8", "tenon.member:delete" },
        { "9", "tenon.invitation:read" },
        { "10", "tenon.invitation:create" },
        { "11", "tenon.invitation:delete" },
        { "300", "tenon.account:read" },
        { "301", "tenon.account:create" },
        { "302", "tenon.account:update" },
        { "303", "tenon.account:delete" },
        { "304", "tenon.account_member:read" },
        { "305", "tenon.account_member:create" },
        { "306", "tenon.account_member:update" },
        { "307", "tenon.account_member:delete" },
        { "308", "tenon.share:read" },
        { "309", "tenon.share:create" },
        { "310", "tenon.share:delete" },
        { "311", "tenon.job:read" },
        { "312", "tenon.job:update" },
        { "12", "tenon.role:read" },
        { "13", "tenon.role:create" },
        { "14", "tenon.role:update" },
        { "15", "tenon.role:delete" },
        { "16", "tenon.tenant:transfer" },
        { "17", "tenon.api_key:read" },
        { "18", "tenon.api_key:create" },
        { "19", "tenon.api_key:update" },
        { "20", "tenon.api_key:delete" },
        { "21", "tenon.platform:read" },
        { "22", "tenon.platform:create" },
        { "23", "tenon.platform:update" },
        { "24", "tenon.platform:impersonate" },
        { "25", "tenon.domain:read" },
        { "26", "tenon.domain:create" },
        { "27", "tenon.domain:delete" },
        { "28", "tenon.billing:read" },
        { "29", "tenon.billing:update" },
        { "320", "tenon.flag:read" },
        { "321", "tenon.flag:create" },
        { "322", "tenon.flag:update" },
        { "323", "tenon.flag:delete" },
        { "324", "tenon.flag:evaluate" },
        { "325", "tenon.usage:read" },
        { "326", "tenon.usage:create" },
        { "70", "teamos.project:read" },
        { "71", "teamos.project:create" },
        { "72", "teamos.project:update" },
        { "73", "teamos.project:delete" },
        { "74", "teamos.project:history" },
        { "75", "teamos.project:restore" },
        { "76", "teamos.project:archive_now" },
        { "90", "teamos.note:read" },
        { "91", "teamos.note:create" },
        { "92", "teamos.note:update" },
        { "93", "teamos.note:delete" },
        { "94", "teamos.note:history" },
        { "95", "teamos.note:pin" },
        { "130", "teamos.task:read" },
        { "131", "teamos.task:create" },
        { "132", "teamos.task:update" },
        { "133", "teamos.task:history" },
        { "134", "teamos.task:restore" },
        { "135", "teamos.task:start" },
        { "136", "teamos.task:hand_over" },
        { "140", "teamos.workload:read" },
        { "141", "teamos.summary:read" },
        { "1024", "teamos.task:delete" } } },
    [TEAMOS_GRANTS] = { 3, {
        { "owner", "1", "tenant" }, { "owner", "2", "tenant" },
        { "owner", "3", "tenant" }, { "owner", "4", "tenant" },
        { "owner", "5", "tenant" }, { "owner", "6", "tenant" },
        { "owner", "7", "tenant" }, { "owner", "8", "tenant" },
        { "owner", "9", "tenant" }, { "owner", "10", "tenant" },
        { "owner", "300", "tenant" }, { "owner", "301", "tenant" },
        { "owner", "302", "tenant" }, { "owner", "303", "tenant" },
        { "owner", "304", "tenant" }, { "owner", "305", "tenant" },
        { "owner", "306", "tenant" }, { "owner", "307", "tenant" },
        { "owner", "308", "tenant" }, { "owner", "309", "tenant" },
        { "owner", "310", "tenant" }, { "owner", "311", "tenant" },
        { "owner", "312", "tenant" },
        { "admin", "300", "tenant" }, { "admin", "301", "tenant" },
        { "admin", "302", "tenant" }, { "admin", "303", "tenant" },
        { "admin", "304", "tenant" }, { "admin", "305", "tenant" },
        { "admin", "306", "tenant" }, { "admin", "307", "tenant" },
        { "admin", "308", "tenant" }, { "admin", "309", "tenant" },
        { "admin", "310", "tenant" }, { "admin", "311", "tenant" },
        { "owner", "11", "tenant" }, { "owner", "12", "tenant" },
        { "owner", "13", "tenant" }, { "owner", "14", "tenant" },
        { "owner", "15", "tenant" }, { "owner", "16", "tenant" },
        { "owner", "17", "tenant" }, { "owner", "18", "tenant" },
        { "owner", "19", "tenant" }, { "owner", "20", "tenant" },
        { "owner", "25", "tenant" }, { "owner", "26", "tenant" },
        { "owner", "27", "tenant" },
        { "owner", "28", "tenant" }, { "owner", "29", "tenant" },
        { "owner", "320", "tenant" }, { "owner", "321", "tenant" },
        { "owner", "322", "tenant" }, { "owner", "323", "tenant" },
        { "owner", "324", "tenant" }, { "member", "324", "tenant" },
        { "owner", "325", "tenant" }, { "owner", "326", "tenant" },
        { "owner", "70", "tenant" }, { "owner", "71", "tenant" },
        { "owner", "72", "tenant" }, { "owner", "73", "tenant" },
        { "owner", "74", "tenant" }, { "owner", "75", "tenant" },
        { "owner", "90", "tenant" }, { "owner", "91", "tenant" },
        { "owner", "92", "tenant" }, { "owner", "93", "tenant" },
        { "owner", "94", "tenant" }, { "owner", "95", "tenant" },
        { "owner", "76", "tenant" }, { "owner", "135", "tenant" },
        { "owner", "136", "tenant" }, { "owner", "140", "tenant" },
        { "owner", "141", "tenant" },
        { "owner", "130", "tenant" }, { "owner", "131", "tenant" },
        { "owner", "132", "tenant" }, { "owner", "133", "tenant" },
        { "owner", "134", "tenant" }, { "owner", "1024", "tenant" },
        { "admin", "1", "tenant" }, { "admin", "2", "tenant" },
        { "admin", "5", "tenant" }, { "admin", "6", "tenant" },
        { "admin", "7", "tenant" }, { "admin", "8", "tenant" },
        { "admin", "9", "tenant" }, { "admin", "10", "tenant" },
        { "admin", "11", "tenant" }, { "admin", "12", "tenant" },
        { "admin", "14", "own" },
        { "admin", "25", "tenant" },
        { "admin", "70", "tenant" }, { "admin", "71", "tenant" },
        { "admin", "72", "tenant" }, { "admin", "73", "tenant" },
        { "admin", "74", "tenant" }, { "admin", "75", "tenant" },
        { "admin", "130", "tenant" }, { "admin", "131", "tenant" },
        { "admin", "132", "tenant" }, { "admin", "133", "tenant" },
        { "admin", "134", "tenant" }, { "admin", "1024", "tenant" },
        { "member", "1", "tenant" }, { "member", "5", "tenant" },
        { "member", "8", "own" }, { "member", "14", "tenant" },
        { "member", "70", "tenant" }, { "member", "71", "tenant" },
        { "member", "72", "own" }, { "member", "73", "own" },
        { "member", "74", "tenant" }, { "member", "75", "own" },
        { "member", "130", "tenant" }, { "member", "131", "tenant" },
        { "member", "132", "own" }, { "member", "133", "tenant" },
        { "member", "134", "own" }, { "member", "1024", "own" },
        { "member", "135", "own" }, { "member", "140", "tenant" },
        { "guest", "70", "own" }, { "guest", "72", "own" },
        { "guest", "73", "own" }, { "guest", "74", "own" },
        { "guest", "75", "own" } } },
    [TEAMOS_RESOURCES] = { 16, {
        { "teamos", "note", "notes", "teamos.note", "f", "created_by", NULL,
          NULL, NULL, "t" },
        { "teamos", "project", "projects", "teamos.project", "t",
          "created_by", NULL, NULL, NULL, "f" },
        { "teamos", "task", "tasks", "teamos.task", "t", "created_by",
          "project", "project_id", "teamos.task_search", "f" } } },
    [TEAMOS_FIELDS] = { 17, {
        SYSTEM("note"),
        { "teamos", "note", "text", "text", "t", NULL, "1", "200" },
        SYSTEM("project"),
        { "teamos", "project", "name", "text", "t", NULL, "1", "200" },
        { "teamos", "project", "code", "text", "f", NULL, NULL, NULL,
          "^[A-Z]{2,4}$", NULL, "f", "f", "f", "f", "t" },
        { "teamos", "project", "budget", "numeric", "f", NULL, "0", "1000",
          NULL, NULL, "t" },
        { "teamos", "project", "settings", "jsonb", "f", NULL, NULL, NULL,
          NULL, NULL, "f", "f", "f", "f", "f",
          "teamos.project_settings_contains" },
        { "teamos", "project", "archived", "boolean", "t", "false", NULL,
          NULL, NULL, NULL, "t" },
        { "teamos", "project", "rank", "integer", "t", "0", NULL, NULL, NULL,
          NULL, "t", "t" },
        { "teamos", "project", "due", "timestamp with time zone", "f", NULL,
          NULL, NULL, NULL, NULL, "t" },
        SYSTEM("task"),
        { "teamos", "task", "project_id", "uuid", "t", NULL, NULL, NULL, NULL,
          NULL, "t" },
        { "teamos", "task", "title", "text", "t", NULL, "1", "200" },
        { "teamos", "task", "priority", "text", "t", "'medium'::text", NULL,
          NULL, NULL, "[\"low\", \"medium\", \"high\", \"urgent\"]", "t" },
        { "teamos", "task", "status", "text", "t", "'todo'::text", NULL, NULL,
          NULL, "[\"todo\", \"in_progress\", \"done\"]", "t" },
        { "teamos", "task", "assignee_id", "uuid", "f", NULL, NULL, NULL,
          NULL, NULL, "t" },
        { "teamos", "task", "origin", "text", "f", NULL, NULL, NULL, NULL,
          NULL, "f", "f", "f", "t" },
        { "teamos", "task", "score", "smallint", "f", NULL, NULL, NULL, NULL,
          NULL, "f", "f", "t" } } },
    [TEAMOS_REFERENCES] = { 7, {
        { "teamos", "task", "assignee_id", "tenon.member", "user_id", "t",
          "f" },
        { "teamos", "task", "project_id", "teamos.project", "id", "t",
          "t" } } },
    [TEAMOS_TRANSITIONS] = { 5, {
        { "teamos", "task", "status", "in_progress", "done" },
        { "teamos", "task", "status", "in_progress", "todo" },
        { "teamos", "task", "status", "todo", "in_progress" } } },
    [TEAMOS_CALLS] = { 14, {
        { "teamos", "action", "note", "pin", "teamos.note_pin_action", "row",
          NULL, NULL, NULL, "f", NULL, "1", NULL, "[]" },
        { "teamos", "action", "project", "archive_now",
          "teamos.project_archive_now_action", "nothing", NULL, NULL,
          "Put a project away", "f", NULL, "1", NULL, "[]" },
        { "teamos", "action", "task", "hand_over",
          "teamos.task_hand_over_action", "one", NULL, NULL, NULL, "f", NULL,
          "1", NULL, "[]" },
        { "teamos", "action", "task", "start", "teamos.task_start_action",
          "row", "[\"todo\", \"done\"]", "status", NULL, "f", NULL, "1", NULL,
          "[]" },
        { "teamos", "query", NULL, "summary", "teamos.summary_query", "one",
          NULL, NULL, NULL, "t", NULL, "1", NULL, "[\"task\"]" },
        { "teamos", "query", NULL, "workload", "teamos.workload_query",
          "many", NULL, NULL, "Who has how much to do", "f", NULL, "1", NULL,
          "[\"task\"]" } } },
    [TEAMOS_PARAMS] = { 11, {
        { "teamos", "action", "task", "hand_over", "user_id", "uuid" },
        { "teamos", "action", "task", "hand_over", "days", "smallint", "7",
          "1", "30" },
        { "teamos", "action", "task", "start", "remark", "text",
          "NULL::text", NULL, "20" },
        { "teamos", "action", "task", "start", "at", "date",
          "CURRENT_DATE" },
        { "teamos", "query", NULL, "workload", "since", "date" },
        { "teamos", "query", NULL, "workload", "status", "text",
          "'todo'::text", NULL, NULL, NULL,
          "[\"todo\", \"in_progress\", \"done\"]" },
        { "teamos", "query", NULL, "workload", "word", "text", "NULL::text",
          "2", "5", "^[a-z]+$" },
        { "teamos", "query", NULL, "workload", "least", "integer", "0", "0",
          "100" },
        { "teamos", "query", NULL, "workload", "share", "numeric", "0.5", "0",
          "1" },
        { "teamos", "query", NULL, "workload", "shape", "jsonb",
          "NULL::jsonb" },
        { "teamos", "query", NULL, "workload", "mine", "boolean", "false" },
        { "teamos", "query", NULL, "workload", "by", "uuid", "NULL::uuid" },
        { "teamos", "query", NULL, "workload", "until",
          "timestamp with time zone",
          "NULL::timestamp with time zone" } } },
    [TEAMOS_COLUMNS] = { 6, {
        { "teamos", "action", "task", "hand_over", "version", "bigint" },
        { "teamos", "action", "task", "hand_over", "accepted", "boolean" },
        { "teamos", "query", NULL, "summary", "open", "bigint" },
        { "teamos", "query", NULL, "summary", "as_of",
          "timestamp with time zone" },
        { "teamos", "query", NULL, "workload", "user_id", "uuid" },
        { "teamos", "query", NULL, "workload", "tasks", "bigint" },
        { "teamos", "query", NULL, "workload", "last", "date" } } },
    [TEAMOS_KEYS] = { 4, {
        { "teamos", "project", "project_code_key", "code" },
        { "teamos", "task", "task_slot_key", "project_id" },
        { "teamos", "task", "task_slot_key", "title" } } },
    [TEAMOS_VERSION_AFTER] = { 2, { { "7", TEAMOS_SCHEMA } } },
};
/* clang-format on */

/* The columns of a task as responses show them, in order. */
#define TASK_COLUMNS                                                  \
    "id", "project_id", "title", "priority", "status", "assignee_id", \
        "origin", "score", "version", "created_at", "created_by", "updated_at"


static inline void
teamos_rows(teamos *t)
{
    memcpy(t->tables, teamos_tables, sizeof(teamos_tables));
}


/* The first row of a table whose first columns are a, b, c (NULL: any). */
static inline const char **
teamos_find(teamos *t, unsigned table, const char *a, const char *b,
            const char *c)
{
    unsigned i, k;
    const char *key[3] = { a, b, c };
    const char **row;

    for (i = 0; t->tables[table].rows[i][0] != NULL; i++) {
        row = t->tables[table].rows[i];

        for (k = 0; k < 3; k++) {
            if (key[k] && strcmp(row[k] ? row[k] : "", key[k]) != 0) {
                break;
            }
        }

        if (k == 3) {
            return row;
        }
    }

    /* the row behind the last: write there to add one */
    return t->tables[table].rows[i];
}


/* The tables as the reply to tn_catalogue_batch(); lives in `t`. */
static inline const tn_reply *
teamos_reply(teamos *t)
{
    unsigned i, row, col, ncols;
    const char *cell;

    for (i = 0; i < TEAMOS_READS; i++) {
        ncols = t->tables[i].ncols;

        for (row = 0; t->tables[i].rows[row][0] != NULL; row++) {
            for (col = 0; col < ncols; col++) {
                cell = t->tables[i].rows[row][col];
                t->cells[i][row * ncols + col] =
                    cell ? unit_str(cell) : TN_NULL;
            }
        }

        t->rows[i] = (tn_rows){ row, ncols, t->cells[i] };
    }

    memset(&t->reply, 0, sizeof(t->reply));
    t->reply.outcome = TN_DB_OK;
    t->reply.rows = t->rows;
    t->reply.n = TEAMOS_READS;

    return &t->reply;
}

#endif
