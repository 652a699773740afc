/*
 * people/people.h: who belongs to a tenant: members, accounts, invitations, the
 * roles they have, API keys, and the tenants themselves.
 */

#ifndef TN__PEOPLE_H
#define TN__PEOPLE_H

#include "libcore/http/http.h"

extern const tn__slice tn__members_slice;
extern const tn__slice tn__accounts_slice;
extern const tn__slice tn__invitations_slice;
extern const tn__slice tn__shares_slice;
extern const tn__slice tn__tenants_slice;
extern const tn__slice tn__domains_slice;
extern const tn__slice tn__platform_slice;
extern const tn__slice tn__api_keys_slice;
extern const tn__slice tn__roles_slice;

/* A member as it is shown: also what accepting an invitation answers. */
#define TN__MEMBER_FIELDS 7
extern const tn__field tn__member_fields[TN__MEMBER_FIELDS];

/* {permission, scope}: what a role holds. */
#define TN__GRANT_FIELDS 2
extern const tn__field tn__grant_fields[TN__GRANT_FIELDS];

void tn__step_accept(tn_op *op, const tn_input *input);
void tn__step_preview(tn_op *op, const tn_input *input);

#endif
