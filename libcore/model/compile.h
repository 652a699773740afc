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
/* What platform rows leave to compilation: keys, patterns (resource.c). */
tn_err tn__compile_fields(tn__compiler *c, tn__field *fields, unsigned n);
/* Adds the rows of a resource to the table (resource_endpoints.c). */
#define TN__RESOURCE_ENDPOINTS 9 /* at most, of one */
tn_err
tn__compile_resource_endpoints(tn__compiler *c, const tn__resource *resource);
/* All endpoints, the router, the statements (endpoints.c). */
tn_err tn__compile_endpoints(tn__compiler *c, const tn__slice *slices,
                             unsigned nslices);

#endif
