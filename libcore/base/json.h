/*
 * base/json.h: what the three files of the JSON gate share; for nobody else.
 */

#ifndef TN__BASE_JSON_H
#define TN__BASE_JSON_H

#include "libcore/base/base.h"

/* cJSON cuts numbers off behind so many characters. */
#define TN__JSON_NUMBER_MAX 63

typedef struct tn__json_name {
    tn_str name; /* unescaped */
    size_t offset;
} tn__json_name;

/* tn__json_check(), which also tells whether some number is longer than
 * TN__JSON_NUMBER_MAX. */
tn_err tn__json_gate(int *long_numbers, tn_str text, tn__json_fault *fault,
                     tn_mem *mem);

/* Four hex digits at p; -1 if they aren't. */
int tn__json_hex4(const char *p, const char *end);

/* Unescapes what passed the gate, from `mem`; 0 without memory. */
int tn__json_unescape(tn_str *out, tn_str raw, tn_mem *mem);

/* The offset of the first name that was there before, or SIZE_MAX. Sorts
 * the names. */
size_t tn__json_duplicate(tn__json_name *names, size_t n);

#endif
