/*
 * resource/resource.h: the generic steps. What is true of one resource is
 * true of all: list, read, create, update and delete are written once, here,
 * over the rows of model/.
 */

#ifndef TN__RESOURCE_H
#define TN__RESOURCE_H

#include "libcore/http/http.h"

/* The event log, served as a resource. */
extern const tn__slice tn__audit_slice;

/* The first row's cell of a field, where rows begin with the resource's
 * columns; absent when there is no such field or row. */
tn_str tn__cell_named(const tn_op *op, const tn_rows *rows, tn_str name);

/* The endpoint's resource and statement, as the scope of who asks wants them. */
const tn__resource *tn__resource_of(const tn_op *op);
const tn__bound *tn__statement(const tn_op *op);

/* Binds :match; 0 when the op has failed: no such id, or no If-Match
 * where one is needed. */
int tn__bind_conditions(tn_op *op);

/* Why a change of a row wasn't made, by the row's version and owner before it
 * (see model/sql_write.c): 1 when it failed the op. */
int tn__refused_row(tn_op *op, tn_str version, tn_str owner);
/* Whether the plan has no room for what the change counts as, by the column
 * `room`: 1 when that failed the op. */
int tn__refused_room(tn_op *op, tn_str room);

void tn__step_list(tn_op *op, const tn_input *input);
void tn__step_read(tn_op *op, const tn_input *input);
void tn__step_create(tn_op *op, const tn_input *input);
void tn__step_update(tn_op *op, const tn_input *input);
void tn__step_delete(tn_op *op, const tn_input *input);
void tn__step_restore(tn_op *op, const tn_input *input);
void tn__step_rollback(tn_op *op, const tn_input *input);
void tn__step_action(tn_op *op, const tn_input *input);
void tn__step_query(tn_op *op, const tn_input *input);
void tn__step_write(tn_op *op, const tn_input *input);

#endif
