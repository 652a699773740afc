/*
 * model/compile.h: what the files of catalogue compilation share. Private to
 * this folder.
 */

#ifndef TN__COMPILE_H
#define TN__COMPILE_H

#include "libcore/model/model.h"

/* The order of TN__CATALOGUE_QUERY_MAP. */
enum {
    READ_VERSION,
    READ_ROLES,
    READ_PERMISSIONS,
    READ_GRANTS,
    READ_RESOURCES,
    READ_FIELDS,
    READ_REFERENCES,
    READ_TRANSITIONS,
    READ_CALLS,
    READ_PARAMS,
    READ_COLUMNS,
    READ_KEYS,
    READ_VERSION_AFTER,
    READ_COUNT
};

typedef struct tn__compiler {
    tn_catalogue *cat;
    const tn_reply *reply;
    tn_mem *mem; /* the catalogue's */
    tn__buf *fault;
} tn__compiler;

/* Says what is wrong, for the log: parts are joined. Always TN_E_INTERNAL. */
tn_err tn__compile_fault(tn__compiler *c, const tn_str *parts, unsigned n);

tn_str tn__compile_cell(const tn__compiler *c, unsigned read, unsigned row,
                        unsigned col);
static inline tn_str
tn__compile_str(const char *s)
{
    return (tn_str){ s, strlen(s) };
}

unsigned tn__compile_rows(const tn__compiler *c, unsigned read);
/* A copy of a cell in the catalogue's memory. */
tn_err tn__compile_dup(tn_str *out, tn__compiler *c, tn_str s);
/* A permission's number by name; 0 if there is none. */
unsigned tn__compile_permission(const tn__compiler *c, tn_str name);

/* t."title" and :f_title::text (sql.c). */
void tn__sql_column(tn__buf *sql, tn_str alias, tn_str name);
void tn__sql_value(tn__buf *sql, const tn__field *field);

/* Rows of the database as a resource (resource.c). */
tn_err tn__compile_resource(tn__resource **out, tn__compiler *c, unsigned row);
/* Whose child each resource is, once all are there (resource.c). */
void tn__compile_parents(tn__compiler *c);
tn__resource *
tn__compile_find_resource(const tn__compiler *c, tn_str app, tn_str name);

/* ---- fields, of tables and of functions (fields.c) ---- */

/* Names stand in statements, as a parameter's and as text: a-z, 0-9, _. */
int tn__compile_plain(tn_str name);
/* "teamos.task.title: WHAT", for the log. */
tn_err tn__compile_field_fault(tn__compiler *c, tn_str owner, tn_str field,
                               tn_str what);
/* The field's type and the bounds that it has by nature, by format_type's
 * text; `owner` is whose field it is, for the log. */
tn_err
tn__compile_type(tn__compiler *c, tn__field *field, tn_str owner, tn_str sql);
/* The strings of a JSON array; none of a null. */
tn_err
tn__compile_set(tn__compiler *c, const tn_str **set, unsigned *n, tn_str json);
/* Declared bounds, within what the type can hold. */
void tn__compile_narrow(tn__field *field, tn_str min, tn_str max);
/* What platform rows leave to compilation: keys, patterns. */
tn_err tn__compile_fields(tn__compiler *c, tn__field *fields, unsigned n);

/* ---- actions and queries (calls.c) ---- */

tn_err tn__compile_calls(tn__compiler *c);
/* Adds a row for each to the table (call_endpoints.c). */
tn_err tn__compile_call_endpoints(tn__compiler *c);

/* ---- what plans tell apart (metered.c) ---- */

/* The platform's own meters. */
tn_err tn__compile_meters(tn__compiler *c);
/* Gives the names of a feature and of a unit, either of which may be absent,
 * numbers in the catalogue; *feature is 1 + the feature's, or 0. */
tn_err tn__compile_metered(unsigned *feature, tn__compiler *c, tn_str name,
                           tn_str unit);
/* What a row's writes count as: units of a meter, by name; `kinds` is a JSON
 * array of those that count ("create"), or absent. */
tn_err tn__compile_unit(tn__unit *out, tn__compiler *c, tn_str meter,
                        tn_str units, tn_str kinds);

/* ---- accounts (scoped.c) ---- */

/* Resources and actions once more, for scopes of accounts. */
tn_err tn__compile_scoped(tn__compiler *c);

/* ---- unique keys (keys.c) ---- */

tn_err tn__compile_keys(tn__compiler *c);
/* What an app's endpoint may break: of its resource; an action, which may
 * write what it likes, of all of its app. */
void tn__compile_conflicts(const tn__compiler *c, tn__endpoint *e);

/* ---- endpoints ---- */

/* Adds "WorkOrders" for "work_orders" (resource_endpoints.c). */
void tn__compile_camel(tn__buf *buf, tn_str noun);
/* "teamos.task" + ":" + "read", with a NUL behind it. */
tn_err tn__compile_permission_name(const char **out, tn_str full_name,
                                   tn_str verb, tn_mem *mem);
/* Adds the rows of a resource to the table (resource_endpoints.c). */
#define TN__RESOURCE_ENDPOINTS 9 /* at most, of one */
tn_err
tn__compile_resource_endpoints(tn__compiler *c, const tn__resource *resource);
/* All endpoints, the router, the statements (endpoints.c). */
tn_err tn__compile_endpoints(tn__compiler *c, const tn__slice *slices,
                             unsigned nslices);

#endif
