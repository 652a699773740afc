/*
 * identity/identity.h: who asks, of which tenant, and how far a permission
 * reaches.
 */

#ifndef TN__IDENTITY_H
#define TN__IDENTITY_H

#include "libcore/token/token.h"

/* ASCII on both sides of the @: what a mail server takes, and what folds to
 * lower case the same way everywhere. */
#define TN__EMAIL_PATTERN "^[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,189}\\z"
/* A host's label: no UUID (Tenon-Tenant takes ids as well) and no "xn--". */
#define TN__SLUG_PATTERN                    \
    "^(?![0-9a-f]{8}-[0-9a-f]{4}-)(?!..--)" \
    "[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])\\z"

/* What a role is called, shipped or a tenant's own. */
#define TN__ROLE_PATTERN "^[a-z][a-z0-9_]{1,62}\\z"

/* Of all tenants that have no realm of their own; and who runs the platform. */
#define TN__SHARED_REALM    "00000000-0000-7000-8000-000000000001"
#define TN__PLATFORM_TENANT "00000000-0000-7000-8000-000000000002"

/* What a tenant can be. */
#define TN__TENANT_STATES 2
extern const tn_str tn__tenant_states[TN__TENANT_STATES];

/* Finds tenant and principal. Called until it returns 1 (both are settled as
 * far as the endpoint needs them) or the op has failed or wishes. */
int tn__resolve(tn_op *op, const tn_input *input);
/* A tenant from a row that begins tenant_id, realm_id, slug, name, status. */
tn_err tn__tenant_row(tn__tenant *tenant, tn_op *op, const tn_rows *rows);
/* For an endpoint that is served without a tenant, too: adds the look-ups of
 * what host and header name to the batch, as its first. How many: 0 when they
 * name nothing, or the op has failed, since no tenant could have that name. */
unsigned tn__batch_named_tenant(tn_op *op);
/* Hears those n look-ups; 0 when the op has failed: there is no such tenant. */
int tn__named_tenant(tn_op *op, const tn_input *input, unsigned n);
/* Whether host and header name the op's tenant, or none at all; a custom
 * domain's is known once tn__named_tenant() heard it. */
int tn__tenant_agrees(const tn_op *op);
/* Whether the host itself names a tenant: another's cookie can't be set there. */
int tn__host_names_tenant(const tn_op *op);
/* A zone command that makes a session of the op's tenant dead on this node. */
void tn__session_tombstone(tn_op *op, tn_zone_cmd *cmd, tn_str session_id);
/* Notes the tenants, ids with commas between, in which sessions have ended or
 * may have (op->also_access); absent: none more than are noted. */
void tn__sessions_ended(tn_op *op, tn_str tenants);
/* Wishes to have their sessions looked up anew on this node, some tenants at a
 * time; 0: none is left. op/after.c does. */
int tn__access_void(tn_op *op);
/* How many of its like there were, behind op->stranger (stranger.c): a command
 * for the op's tenant, within the last hour. */
void tn__stranger_count(tn_op *op, tn_zone_cmd *cmd);
/* A zone command by which every custom domain is looked up anew on this node. */
void tn__domains_changed(tn_op *op, tn_zone_cmd *cmd);
/* One that has every session of the tenant looked up anew on this node: run it
 * behind a change of members, roles or the tenant, before it is answered. Those
 * of one wish share a value, which lies in the op. */
void tn__access_changed(tn_op *op, tn_zone_cmd *cmd, tn_str tenant_id);
/* Two by which the op's tenant is found no more on this node. */
void tn__tenant_gone(tn_op *op, tn_zone_cmd cmds[2]);
/* Two by which a tenant, any, is looked up anew on this node. */
void tn__tenant_changed(tn_op *op, tn_zone_cmd cmds[2], tn_str id, tn_str slug);

/* A role by its name: the catalogue's, or as the tenant defines it in
 * op->principal.roles; with an API key, as far as its scopes go. NULL: no such role, or the op has failed. */
const tn__role *tn__principal_role(tn_op *op, tn_str name);

/* Binds :permissions: all that the principal may do here, as JSON:
 * [{"permission":"tenon.member:read","scope":"tenant"},…]; the scope is the
 * widest: tenant, accounts, own. */
void tn__permissions_bind(tn_op *op);

/* How far the endpoint's permissions reach for the principal: op->scope,
 * also_scope, reach, sight. */
void tn__scope_find(tn_op *op);

#endif
