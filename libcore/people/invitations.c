/*
 * invitations.c: an address is invited, and joins.
 *
 * The token that is mailed lies nowhere: it is the ids of tenant and
 * invitation, and a MAC over them under the core's secret. So a forged one
 * costs no look-up, a right one names its tenant, and who reads the database
 * can't accept anything. That it works once is the row's status.
 *
 * Accepting takes these steps; a password is only hashed or checked for a
 * token that is right and an invitation that can be accepted:
 *
 *   TOKEN     the MAC is right?                    the tenant is looked up
 *   TENANT    it lives, and nobody names another   invitation and person are
 *   CHECK     may it be accepted, by whom?         the password is worked on
 *   WRITE     the password was right               one statement joins
 *   ANSWER    unless somebody was faster
 */

#include "libcore/identity/identity.h"
#include "libcore/people/people.h"
#include "gen/queries.h"

#include <sodium.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define BODY_MAX 16384

#define ID_LEN    16
#define MAC_LEN   32
#define TOKEN_LEN (2 * ID_LEN + MAC_LEN)


/* ---- the token ---- */

static void
token_mac(unsigned char mac[MAC_LEN], const tn_core *core,
          const unsigned char ids[2 * ID_LEN])
{
    tn_str parts[3];

    parts[0] = TN_STR("invitation");
    parts[1] = (tn_str){ (const char *) ids, ID_LEN };
    parts[2] = (tn_str){ (const char *) ids + ID_LEN, ID_LEN };
    tn__mac(mac, MAC_LEN, core->conf.secret, parts, 3);
}


tn_err
tn_invitation_token(char *out, const tn_core *core, tn_str tenant_id,
                    tn_str invitation_id)
{
    unsigned char raw[TOKEN_LEN];

    if (!tn__uuid_parse(raw, tenant_id) ||
        !tn__uuid_parse(raw + ID_LEN, invitation_id)) {
        return TN_E_INTERNAL;
    }

    token_mac(raw + 2 * ID_LEN, core, raw);
    out[tn__b64_encode(out, raw, sizeof(raw))] = '\0';

    return TN_OK;
}


/* The ids of a token that was made here; 0 when it wasn't. */
static int
token_open(char tenant_id[TN__UUID_TEXT], char invitation_id[TN__UUID_TEXT],
           const tn_core *core, tn_str token)
{
    size_t n;
    unsigned char raw[TOKEN_LEN], mac[MAC_LEN];

    if (!tn__b64_decode(raw, sizeof(raw), &n, token) || n != sizeof(raw)) {
        return 0;
    }

    token_mac(mac, core, raw);

    if (sodium_memcmp(mac, raw + 2 * ID_LEN, MAC_LEN) != 0) {
        return 0;
    }

    tn__uuid_text(tenant_id, raw);
    tn__uuid_text(invitation_id, raw + ID_LEN);

    return 1;
}


/* ---- accepting ---- */

/* The rows of accept_input. */
enum {
    TOKEN,
    NAME,
    PASSWORD,
};

/* What invitation_find answers, before the outputs kept under a key. */
enum {
    FOUND_LIVE,
    FOUND_USER,
    FOUND_STATUS,
    FOUND_HASH,
    FOUND_MEMBER,
    FOUND_KEPT,
};

typedef struct acceptance {
    char tenant_id[TN__UUID_TEXT];
    char invitation_id[TN__UUID_TEXT];
    int known; /* the address is a user's already */
    tn_str user;
} acceptance;


static tn_str
text(const char *uuid)
{
    return (tn_str){ uuid, TN__UUID_TEXT };
}


/* Who accepts has no name yet, so an Idempotency-Key is bound to the
 * invitation instead. */
static tn_err
bind_key(tn_op *op, const acceptance *a)
{
    int64_t lock;
    tn_str parts[4];
    tn__buf buf;
    unsigned char raw[32];

    if (op->idem_key.p == NULL) {
        return TN_OK;
    }

    parts[0] = TN_STR("invitation key");
    parts[1] = op->idem_key;
    parts[2] = text(a->tenant_id);
    parts[3] = text(a->invitation_id);
    tn__mac(raw, sizeof(raw), op->core->conf.secret, parts, 4);

    memcpy(&lock, raw, sizeof(lock));
    tn__buf_init(&buf, op->mem, 24);
    tn__buf_int(&buf, lock);

    return tn__buf_str(&op->idem_lock, &buf) == TN_OK
               ? tn__bytea(&op->idem_key, raw, sizeof(raw), op->mem)
               : TN_E_NOMEM;
}


static void
read_token(tn_op *op)
{
    acceptance *a;

    a = tn__zalloc(op->mem, sizeof(acceptance));
    if (a == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    op->step_data = a;

    if (!token_open(a->tenant_id, a->invitation_id, op->core,
                    op->values[TOKEN])) {
        tn__fault_field(op, TN_STR("token"), TN_F_NOT_FOUND,
                        "is not a token of an invitation");
        tn__fail(op, TN_E_INVALID_FIELDS, NULL);
        return;
    }

    if (bind_key(op, a) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__local(op, TN_STR("tenant_ref"), text(a->tenant_id));
    tn__batch_begin(op, 0, 0);
    tn__batch_add(op, &tn__q_find_tenant_by_id);
    tn__want_db(op);
}


static void
spent(tn_op *op)
{
    tn__fail(op, TN_E_SECRET_SPENT,
             "This invitation was used, revoked or has expired.");
}


static void
find(tn_op *op, const tn_input *input)
{
    acceptance *a;
    const tn_rows *rows;

    a = op->step_data;
    rows = tn__rows(op, input, 0);

    if (rows == NULL) {
        return;
    }

    if (rows->nrows == 0) {
        spent(op);
        return;
    }

    if (tn__tenant_row(&op->tenant, op, rows) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    if (!tn__tenant_agrees(op)) {
        tn__fail(op, TN_E_TENANT_MISMATCH,
                 "The invitation is to another tenant.");
        return;
    }

    if (!op->tenant.active) {
        tn__fail(op, TN_E_TENANT_INACTIVE, NULL);
        return;
    }

    tn__local(op, TN_STR("invitation_id"), text(a->invitation_id));
    tn__batch_begin(op, 1, 0);
    tn__batch_add(op, &tn__q_invitation_find);
    tn__want_db(op);
}


static void
write(tn_op *op, tn_str password_hash)
{
    acceptance *a;

    a = op->step_data;
    op->principal.user = a->known ? a->user : tn__new_id(op);

    tn__local(op, TN_STR("user_id"), op->principal.user);
    tn__local(op, TN_STR("member_id"), tn__new_id(op));
    tn__local(op, TN_STR("name"), op->values[NAME]);
    tn__local(op, TN_STR("password_hash"), password_hash);

    tn__batch_begin(op, 1, 1);
    tn__batch_add(op, &tn__q_invitation_accept);
    tn__want_db(op);
}


/* One who is new brings a name and a password. */
static void
welcome(tn_op *op)
{
    if (op->values[NAME].p == NULL) {
        tn__fault_field(op, TN_STR("name"), TN_F_REQUIRED, NULL);
    }

    if (op->values[PASSWORD].p == NULL) {
        tn__fault_field(op, TN_STR("password"), TN_F_REQUIRED, NULL);
    }

    if (op->nfaults) {
        tn__fail(op, TN_E_INVALID_FIELDS, NULL);
        return;
    }

    tn__want_password(op, op->values[PASSWORD], TN_NULL);
}


/* One who is known is known by the address that the token was sent to; a
 * password that is given all the same must be theirs. */
static void
recognise(tn_op *op, const tn_rows *rows)
{
    acceptance *a;
    tn_str hash, decoy;

    a = op->step_data;
    a->known = 1;

    if (tn__dup(&a->user, tn__cell(rows, 0, FOUND_USER), op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    if (tn__cell(rows, 0, FOUND_MEMBER).p) {
        tn__fail(op, TN_E_DUPLICATE, "You are a member already.");

    } else if (!tn__eq(tn__cell(rows, 0, FOUND_STATUS), TN_STR("active"))) {
        tn__fail(op, TN_E_FORBIDDEN, "This account is disabled.");

    } else if (op->values[PASSWORD].p) {
        hash = tn__cell(rows, 0, FOUND_HASH);
        decoy = (tn_str){ op->core->decoy, strlen(op->core->decoy) };
        tn__want_password(op, op->values[PASSWORD], hash.p ? hash : decoy);

    } else {
        op->state++;
        write(op, TN_NULL);
    }
}


static void
answer(tn_op *op, const tn_str *cells)
{
    tn__respond_row(op, 200, op->endpoint->output, op->endpoint->noutput, cells,
                    TN_NULL);
}


static void
check(tn_op *op, const tn_input *input)
{
    int replayed;
    tn_str live;
    const tn_rows *rows;

    rows = tn__rows(op, input, 1);
    if (rows == NULL) {
        return;
    }

    replayed = tn__replay(op, rows);

    if (replayed < 0) {
        return;
    }

    if (replayed) {
        answer(op, rows->cells + FOUND_KEPT);
        return;
    }

    live = tn__cell(rows, 0, FOUND_LIVE);

    if (live.n == 0 || live.p[0] != 't') {
        spent(op);

    } else if (tn__cell(rows, 0, FOUND_USER).p) {
        recognise(op, rows);

    } else {
        welcome(op);
    }
}


static void
worked(tn_op *op, const tn_input *input)
{
    const acceptance *a;

    a = op->step_data;

    if (input->job && input->job->ok) {
        write(op, a->known
                      ? TN_NULL
                      : (tn_str){ input->job->hash, strlen(input->job->hash) });

    } else if (a->known) {
        tn__fail(op, TN_E_INVALID_CREDENTIALS,
                 "There is an account with this address, and the password is "
                 "not its. Leave the password out to join with that account.");

    } else {
        tn__log(op, TN_STR("a password could not be hashed: out of memory"));
        tn__fail(op, TN_E_BUSY, NULL);
    }
}


static void
finish(tn_op *op, const tn_input *input)
{
    const tn_rows *rows;
    const acceptance *a;

    a = op->step_data;

    /* who was not born is in no log */
    if (!a->known && (!input->reply || input->reply->outcome != TN_DB_OK)) {
        op->principal.user = TN_NULL;
    }

    rows = tn__rows(op, input, 1);

    if (rows == NULL || tn__replay(op, rows) < 0) {
        return;
    }

    if (tn__cell(rows, 0, 0).p == NULL) {
        spent(op);
        return;
    }

    answer(op, rows->cells);
}


static void
accept(tn_op *op, const tn_input *input)
{
    switch (op->state++) {

    case 0:
        read_token(op);
        return;

    case 1:
        find(op, input);
        return;

    case 2:
        check(op, input);
        return;

    case 3:
        worked(op, input);
        return;

    default:
        finish(op, input);
    }
}


/* ---- the rows ---- */

static const tn_str statuses[] = {
    TN_STR_C("pending"),
    TN_STR_C("accepted"),
    TN_STR_C("expired"),
};

static const tn__field invitation_fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("email"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .required = 1,
      .lower = 1,
      .pattern = TN__EMAIL_PATTERN },
    { .name = TN_STR_C("role"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .required = 1,
      .filter = 1,
      .set = tn__role_names,
      .nset = TN__ROLES,
      .about = TN_STR_C("Nobody gives one above their own") },
    { .name = TN_STR_C("status"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .filter = 1,
      .set = statuses,
      .nset = COUNT(statuses) },
    { .name = TN_STR_C("invited_by"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("expires_at"), .type = TN__TYPE_TIME, .out = 1 },
    { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },
    { .name = TN_STR_C("created_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .filter = 1,
      .sort = 1 },
};

static const tn__resource invitation = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("invitation"),
    .full_name = TN_STR_C("tenon.invitation"),
    .path = TN_STR_C("invitations"),
    .relation = TN_STR_C("tenon.invitation_view"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("invited_by"),
    .fields = invitation_fields,
    .nfields = COUNT(invitation_fields),
};

static const tn__conflict invite_conflicts[] = {
    { .constraint = TN_STR_C("invitation_email_key"),
      .err = TN_E_DUPLICATE,
      .pointer = TN_STR_C("/email"),
      .fault = TN_F_DUPLICATE },
};


static const tn__field accept_input[] = {
    { .name = TN_STR_C("token"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .has_max = 1,
      .max = 200 },
    { .name = TN_STR_C("name"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .has_min = 1,
      .min = 1,
      .has_max = 1,
      .max = 200,
      .about = TN_STR_C("Needed where the address has no account yet") },
    { .name = TN_STR_C("password"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .password = 1,
      .has_min = 1,
      .min = 8,
      .about = TN_STR_C("Needed where the address has no account yet") },
};

static const tn__field user_fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("email"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("name"), .type = TN__TYPE_TEXT, .out = 1 },
};

static const tn__field tenant_fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("name"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("slug"), .type = TN__TYPE_TEXT, .out = 1 },
};

static const tn__field accept_output[] = {
    { .name = TN_STR_C("user"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .fields = user_fields,
      .nfields = COUNT(user_fields) },
    { .name = TN_STR_C("tenant"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .fields = tenant_fields,
      .nfields = COUNT(tenant_fields) },
    { .name = TN_STR_C("member"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .fields = tn__member_fields,
      .nfields = TN__MEMBER_FIELDS },
};

static const tn__conflict accept_conflicts[] = {
    { .constraint = TN_STR_C("user_email_key"), .err = TN_E_EMAIL_TAKEN },
    { .constraint = TN_STR_C("member_tenant_id_user_id_key"),
      .err = TN_E_DUPLICATE },
};


static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("listInvitations"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/invitations"),
      .permission_name = "tenon.invitation:read",
      .action = TN_STR_C("invitation.listed"),
      .summary = TN_STR_C("List the invitations"),
      .kind = TN__KIND_LIST,
      .resource = &invitation },
    { .operation = TN_STR_C("inviteMember"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/invitations"),
      .permission_name = "tenon.invitation:create",
      .action = TN_STR_C("member.invited"),
      .summary = TN_STR_C("Invite an address to become a member"),
      .kind = TN__KIND_WRITE,
      .resource = &invitation,
      .stmt = &tn__q_invitation_create,
      .input = invitation_fields,
      .ninput = COUNT(invitation_fields),
      .output = invitation_fields,
      .noutput = COUNT(invitation_fields),
      .conflicts = invite_conflicts,
      .nconflicts = COUNT(invite_conflicts),
      .status = 201 },
    { .operation = TN_STR_C("getInvitation"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/invitations/{id}"),
      .permission_name = "tenon.invitation:read",
      .action = TN_STR_C("invitation.read"),
      .summary = TN_STR_C("Read an invitation"),
      .kind = TN__KIND_READ,
      .resource = &invitation },
    { .operation = TN_STR_C("revokeInvitation"),
      .method = TN_STR_C("DELETE"),
      .path = TN_STR_C("/v1/invitations/{id}"),
      .permission_name = "tenon.invitation:delete",
      .action = TN_STR_C("invitation.revoked"),
      .summary = TN_STR_C("Revoke an invitation"),
      .kind = TN__KIND_WRITE,
      .resource = &invitation,
      .stmt = &tn__q_invitation_delete,
      .status = 204 },
    { .operation = TN_STR_C("acceptInvitation"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/invitations/accept"),
      .permission_name = "public",
      .action = TN_STR_C("member.joined"),
      .summary = TN_STR_C("Join by the token of an invitation"),
      .kind = TN__KIND_STEP,
      .step = accept,
      .input = accept_input,
      .ninput = COUNT(accept_input),
      .output = accept_output,
      .noutput = COUNT(accept_output),
      .conflicts = accept_conflicts,
      .nconflicts = COUNT(accept_conflicts),
      .tenantless = 1,
      .body_max = BODY_MAX,
      .cache_control = TN_STR_C("no-store") },
};

const tn__slice tn__invitations_slice = { endpoints, COUNT(endpoints) };
