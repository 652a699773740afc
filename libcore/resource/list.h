/*
 * resource/list.h: a list that is asked for. Private to this folder.
 */

#ifndef TN__LIST_H
#define TN__LIST_H

#include "libcore/resource/resource.h"

typedef struct tn__list {
    const tn__resource *resource; /* what is listed: a history lists events */
    int64_t limit;
    tn_str q;
    tn__list_shape shape;
    tn_str after_value; /* of the cursor; absent on the first page */
    tn_str after_id;
    tn_str values[TN__FILTERS_MAX]; /* of the shape's filters */
    tn_str binding;                 /* what a cursor of this list is bound to */
} tn__list;

/* Reads the query string: filters, search, sort, limit, cursor (list_query.c).
 * 0 when the op has failed. */
int tn__list_params(tn_op *op, tn__list *list);

#endif
