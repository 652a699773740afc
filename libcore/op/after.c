/*
 * after.c: what follows from an answer, before it leaves.
 *
 *   ACCESS   members, roles or the tenant changed, or a session ended: what the
 *            node knows of the tenant's sessions, or of that one, is void, on
 *            every worker, from the next request; where domains did, what it
 *            knows of domains; where flags did, what it knows of the tenant's
 *   MORE     so it is in other tenants, a few at a time
 *   COUNT    a member was refused: how often within the last minute? Or a
 *            stranger (identity/stranger.c), or anybody of a tenant that owes
 *            or has used up its month: within the last hour?
 *   EVENT    the refusal is written down, if it is worth it (tn__notable)
 *
 * The answer stands: what fails here changes nothing about it.
 */

#include "libcore/op/op.h"
#include "libcore/flags/flags.h"
#include "libcore/identity/identity.h"
#include "libcore/usage/usage.h"
#include "gen/queries.h"

#define WINDOW      60000   /* ms */
#define OWED_WINDOW 3600000 /* ms: it isn't who asks that makes it so */

enum {
    ACCESS,
    MORE,
    COUNT,
    EVENT,
    WRITTEN,
    END,
};


/* Where nothing did, nobody's next request need cost more: anybody can ask for
 * what is so already. */
static int
changes_access(const tn_op *op)
{
    return op->endpoint->changes_access && !op->unchanged;
}


static int
changes_flags(const tn_op *op)
{
    return op->endpoint->changes_flags && !op->unchanged;
}


static int
access_changed(const tn_op *op)
{
    return op->endpoint &&
           (changes_access(op) || op->endpoint->ends_session ||
            op->endpoint->changes_domains || changes_flags(op) ||
            op->crowded_out.p || op->also_access.n) &&
           op->settled &&
           (op->error == TN_E_OUTCOME_UNKNOWN ||
            (op->error == TN_OK && op->response.status < 300));
}


/* Some of what strangers do is told, where there is a tenant to hear of it. */
static int
stranger_refused(const tn_op *op)
{
    return op->stranger.action.p && (op->audit_tenant.id.p || op->tenant.id.p);
}


/* A write that is somebody's and not theirs after all: they didn't show that they
 * have the session (session/proof.c). */
static int
unproven(const tn_op *op)
{
    return op->error == TN_E_UNAUTHENTICATED &&
           op->endpoint->kind == TN__KIND_WRITE;
}


static int
member_refused(const tn_op *op)
{
    if (op->error == TN_OK) {
        return 0;
    }

    if (op->error == TN_E_TENANT_MISMATCH) {
        return op->audit_actor.p != NULL;
    }

    return (op->error == TN_E_FORBIDDEN || op->error == TN_E_LAST_OWNER ||
            op->error == TN_E_CSRF_REFUSED || unproven(op) ||
            tn_err_status(op->error) == 402) &&
           op->settled && op->principal.user.p != NULL;
}


static int
told(const tn_op *op)
{
    return member_refused(op) || stranger_refused(op);
}


int
tn__after_begin(tn_op *op)
{
    if (!access_changed(op) && !told(op)) {
        return 0;
    }

    op->state = ACCESS;

    return 1;
}


static void
void_access(tn_op *op)
{
    unsigned n;

    n = 0;

    if (changes_access(op)) {
        tn__access_changed(op, &op->zone[n++],
                           op->endpoint->of_tenant ? op->path_id
                                                   : op->tenant.id);
    }

    if (op->endpoint->ends_tenant) {
        tn__tenant_gone(op, &op->zone[n]);
        n += 2;
    }

    if (op->other_slug.p) {
        tn__tenant_changed(op, &op->zone[n], op->path_id, op->other_slug);
        n += 2;
        tn__domains_changed(op, &op->zone[n++]);
    }

    if (op->endpoint->ends_session) {
        tn__session_tombstone(op, &op->zone[n++],
                              op->path_id.p ? op->path_id
                                            : op->principal.session);
    }

    if (op->crowded_out.n > TN__UUID_TEXT) {
        tn__access_changed(op, &op->zone[n++], op->tenant.id);

    } else if (op->crowded_out.p) {
        tn__session_tombstone(op, &op->zone[n++], op->crowded_out);
    }

    if (op->endpoint->ends_tenant || op->endpoint->changes_domains) {
        tn__domains_changed(op, &op->zone[n++]);
    }

    if (changes_flags(op)) {
        tn__flags_changed(op, &op->zone[n++]);
    }

    if (n) {
        tn__want_zone(op, n);
    }
}


/* A mismatch is told to the tenant whose member it was, under its own name;
 * called again, all is as before. */
static void
swap_principal(tn_op *op)
{
    tn_str actor;
    tn__tenant other;

    other = op->tenant;
    actor = op->principal.user;
    op->tenant = op->audit_tenant;
    op->principal.user = op->audit_actor;
    op->audit_tenant = other;
    op->audit_actor = actor;
}


static void
count_attempt(tn_op *op)
{
    tn_str parts[4];
    tn_zone_cmd *cmd;

    cmd = &op->zone[0];

    if (stranger_refused(op)) {
        tn__stranger_count(op, cmd);
        tn__want_zone(op, 1);
        return;
    }

    cmd->verb = TN_ZONE_COUNT;
    cmd->value = TN_NULL;
    cmd->ttl_ms = WINDOW;

    parts[0] = TN_STR("refused");
    parts[1] = op->tenant.id;
    parts[2] = op->principal.user;
    parts[3] = op->endpoint->operation; /* noise of one can't hide another */

    /* while it owes, or has used up its month, all that its people's pages ask
     * for is refused */
    if (op->error == TN_E_PAYMENT_REQUIRED || tn__usage_refused(op)) {
        cmd->ttl_ms = OWED_WINDOW;
        parts[2] = parts[3] = TN_STR("");
    }

    tn__siphash(cmd->key, op->core->zone_key, parts, 4);

    tn__want_zone(op, 1);
}


static void
write_event(tn_op *op, const tn_input *input)
{
    int64_t n;
    tn__buf buf;
    tn_str metadata, none;
    const tn__resource *resource;

    none = TN_NULL;

    if (input == NULL || input->failed ||
        !tn__int_parse(&n, input->values[0]) || !tn__notable(n)) {
        return;
    }

    tn__buf_init(&buf, op->mem, 48);
    tn__buf_lit(&buf, "{\"attempts\":");
    tn__buf_int(&buf, n);
    tn__buf_lit(&buf, ",\"code\":");
    tn__buf_json(&buf, tn_err_code(op->error));

    if (op->stranger.issuer.p) {
        tn__buf_lit(&buf, ",\"issuer\":");
        tn__buf_json(&buf, op->stranger.issuer);
        tn__buf_lit(&buf, ",\"subject\":");
        tn__buf_json(&buf, op->stranger.subject);
    }

    tn__buf_char(&buf, '}');

    if (tn__buf_str(&metadata, &buf) != TN_OK) {
        return;
    }

    resource = op->stranger.action.p ? NULL : op->endpoint->resource;
    op->nlocals = 0;
    op->event_id = tn__new_id(op);
    op->salt = tn__new_salt(op);
    op->idem_key = TN_NULL;

    tn__local(op, TN_STR("action"),
              op->stranger.action.p ? op->stranger.action
              : op->error == TN_E_TENANT_MISMATCH
                  ? TN_STR("auth.tenant_mismatch")
              : op->error == TN_E_CSRF_REFUSED ? TN_STR("auth.csrf_refused")
              : op->endpoint->action.p         ? op->endpoint->action
                                               : op->endpoint->operation);
    tn__local(op, TN_STR("resource"), resource ? resource->full_name : none);
    tn__local(op, TN_STR("resource_id"), op->refused_row);
    tn__local(op, TN_STR("metadata"), metadata);

    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, &tn__q_refused);

    if (op->batch.n == 2) {
        tn__want_db(op);
    }
}


void
tn__after(tn_op *op, const tn_input *input)
{
    int elsewhere;

    /* told to another tenant than the request's */
    elsewhere = op->error == TN_E_TENANT_MISMATCH ||
                (op->stranger.action.p && !op->settled);

    while (op->want.kind == TN_WANT_NONE && op->phase == TN__PHASE_AFTER) {
        switch (op->state++) {

        case ACCESS:
            if (access_changed(op)) {
                void_access(op);
            }
            break;

        case MORE:
            if (access_changed(op) && tn__access_void(op)) {
                op->state = MORE;
            }
            break;

        case COUNT:
            if (!told(op)) {
                op->phase = TN__PHASE_DONE;
                break;
            }

            if (elsewhere) {
                swap_principal(op);
            }

            count_attempt(op);
            break;

        case EVENT:
            write_event(op, input);

            if (op->want.kind == TN_WANT_NONE) {
                op->state = END;
            }
            break;

        case WRITTEN:
            if (input == NULL || input->reply == NULL ||
                input->reply->outcome != TN_DB_OK) {
                tn__log(op, TN_STR("a refusal's event can't be written"));
            }
            break;

        default:
            if (elsewhere) {
                swap_principal(op);
            }

            op->phase = TN__PHASE_DONE;
        }
    }
}
