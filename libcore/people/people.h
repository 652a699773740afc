/*
 * people/people.h: who belongs to a tenant: members, invitations, and the
 * tenants themselves.
 */

#ifndef TN__PEOPLE_H
#define TN__PEOPLE_H

#include "libcore/http/http.h"

extern const tn__slice tn__members_slice;
extern const tn__slice tn__invitations_slice;
extern const tn__slice tn__tenants_slice;

/* A member as it is shown: also what accepting an invitation answers. */
#define TN__MEMBER_FIELDS 7
extern const tn__field tn__member_fields[TN__MEMBER_FIELDS];

void tn__step_accept(tn_op *op, const tn_input *input);

#endif
