/*
 * openapi/openapi.h: the catalogue as an OpenAPI 3.1 document. Whatever it says
 * comes from the rows that the router, the checks and the steps read: nothing
 * is described twice.
 */

#ifndef TN__OPENAPI_H
#define TN__OPENAPI_H

#include "libcore/model/model.h"

/* Builds cat->openapi_head, _tail and _hash, in the catalogue's memory. The
 * same rows give the same bytes. */
tn_err tn__openapi_compile(tn_catalogue *cat);

/* The same into memory of the caller's. */
tn_err tn__openapi_build(tn_str *head, tn_str *tail, const tn_catalogue *cat,
                         tn_mem *mem);

/* A PCRE2 pattern as ECMA-262 with the flag u has it, which JSON Schema asks
 * for; absent where there is no equal one. */
tn_err tn__openapi_pattern(tn_str *out, const char *pcre, tn_mem *mem);

#endif
