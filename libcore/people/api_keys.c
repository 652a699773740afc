/*
 * api_keys.c: keys by which programs ask as the member who made them. The text
 * of a key is token/api_key.c's; what a request with one may do is settled
 * where it is resolved. Changes are statements of schema/queries/api_keys.sql,
 * which never see a secret, only its hash.
 */

#include "libcore/session/session.h"
#include "libcore/people/people.h"
#include "gen/queries.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define OVERLAP_MAX 86400 /* seconds */
#define SCOPES_MAX  200


static const tn_str statuses[] = {
    TN_STR_C("active"),
    TN_STR_C("expired"),
    TN_STR_C("orphaned"),
};

static const tn__field scope_fields[] = {
    { .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .pattern = "^[a-z][a-z0-9_]*[.][a-z][a-z0-9_]*:[a-z][a-z0-9_]*(:own)?$",
      .example = TN_STR_C("\"tenon.member:read\"") },
};

/* The outputs that every answer shows, and the secret behind them. */
#define KEY_FIELDS                                                          \
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },            \
        { .name = TN_STR_C("name"),                                         \
          .type = TN__TYPE_TEXT,                                            \
          .out = 1,                                                         \
          .create = 1,                                                      \
          .update = 1,                                                      \
          .required = 1,                                                    \
          .has_min = 1,                                                     \
          .min = 1,                                                         \
          .has_max = 1,                                                     \
          .max = 200,                                                       \
          .example = TN_STR_C("\"CI\"") },                                  \
        { .name = TN_STR_C("prefix"),                                       \
          .type = TN__TYPE_TEXT,                                            \
          .out = 1,                                                         \
          .about = TN_STR_C("How the key begins, to tell it by"),           \
          .example = TN_STR_C("\"tnk_AZqM1f0vcAC3\"") },                    \
        { .name = TN_STR_C("scopes"),                                       \
          .type = TN__TYPE_JSON,                                            \
          .out = 1,                                                         \
          .create = 1,                                                      \
          .update = 1,                                                      \
          .required = 1,                                                    \
          .array = 1,                                                       \
          .fields = scope_fields,                                           \
          .nfields = COUNT(scope_fields),                                   \
          .has_min = 1,                                                     \
          .min = 1,                                                         \
          .has_max = 1,                                                     \
          .max = SCOPES_MAX,                                                \
          .about = TN_STR_C("Permissions, with `:own` behind for what you " \
                            "made yourself; each one that you have. What "  \
                            "you lose, the key loses"),                     \
          .example = TN_STR_C("[\"tenon.member:read\"]") },                 \
        { .name = TN_STR_C("status"),                                       \
          .type = TN__TYPE_TEXT,                                            \
          .out = 1,                                                         \
          .filter = 1,                                                      \
          .set = statuses,                                                  \
          .nset = COUNT(statuses),                                          \
          .about = TN_STR_C("orphaned: who made it is no member any "       \
                            "more") },                                      \
        { .name = TN_STR_C("expires_at"),                                   \
          .type = TN__TYPE_TIME,                                            \
          .out = 1,                                                         \
          .create = 1,                                                      \
          .update = 1,                                                      \
          .nullable = 1,                                                    \
          .about = TN_STR_C("Within five years; null: never"),              \
          .example = TN_STR_C("null") },                                    \
        { .name = TN_STR_C("last_used_at"),                                 \
          .type = TN__TYPE_TIME,                                            \
          .out = 1,                                                         \
          .nullable = 1,                                                    \
          .drifts = 1,                                                      \
          .about = TN_STR_C("To within a minute or two") },                 \
        { .name = TN_STR_C("last_used_ip"),                                 \
          .type = TN__TYPE_TEXT,                                            \
          .out = 1,                                                         \
          .nullable = 1,                                                    \
          .example = TN_STR_C("\"192.0.2.1\"") },                           \
        { .name = TN_STR_C("rotated_at"),                                   \
          .type = TN__TYPE_TIME,                                            \
          .out = 1,                                                         \
          .nullable = 1 },                                                  \
        { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },    \
        { .name = TN_STR_C("created_at"),                                   \
          .type = TN__TYPE_TIME,                                            \
          .out = 1,                                                         \
          .filter = 1,                                                      \
          .sort = 1 },                                                      \
        { .name = TN_STR_C("created_by"),                                   \
          .type = TN__TYPE_UUID,                                            \
          .out = 1,                                                         \
          .filter = 1,                                                      \
          .about = TN_STR_C("As whom it asks") },                           \
    {                                                                       \
        .name = TN_STR_C("updated_at"), .type = TN__TYPE_TIME, .out = 1     \
    }

static const tn__field key_fields[] = { KEY_FIELDS };

#define SECRET_FIELD                                                           \
    {                                                                          \
        .name = TN_STR_C("secret"), .type = TN__TYPE_TEXT, .out = 1,           \
        .nullable = 1, .once = 1,                                              \
        .about = TN_STR_C("The key itself: send it as Authorization: Bearer. " \
                          "It is shown this once; null where the request is "  \
                          "repeated under its Idempotency-Key"),               \
        .example = TN_STR_C("null")                                            \
    }

static const tn__field issued_fields[] = { KEY_FIELDS, SECRET_FIELD };

static const tn__field create_input[] = { KEY_FIELDS, SECRET_FIELD,
                                          TN__PROOF_FIELD };

static const tn__field rotate_input[] = {
    { .name = TN_STR_C("overlap_seconds"),
      .type = TN__TYPE_INT,
      .create = 1,
      .required = 1,
      .has_min = 1,
      .min = 0,
      .has_max = 1,
      .max = OVERLAP_MAX,
      .about = TN_STR_C("For how long the secret that is replaced still "
                        "holds"),
      .example = TN_STR_C("3600") },
    TN__PROOF_FIELD,
};

static const tn__resource api_key = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("api_key"),
    .full_name = TN_STR_C("tenon.api_key"),
    .path = TN_STR_C("api-keys"),
    .relation = TN_STR_C("tenon.api_key_view"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("created_by"),
    .fields = key_fields,
    .nfields = COUNT(key_fields),
};


/* Null is a time too, so whether one was sent is said apart. */
static void
bind_expiry(tn_op *op, const tn_input *input)
{
    unsigned i;
    const tn__endpoint *e;

    (void) input;
    e = op->endpoint;

    for (i = 0; i < e->ninput; i++) {
        if (tn__eq(e->input[i].name, TN_STR("expires_at"))) {
            tn__local(op, TN_STR("sets_expiry"),
                      op->mask & ((uint64_t) 1 << i) ? TN_STR("true")
                                                     : TN_STR("false"));
        }
    }
}


/* The value of an endpoint's last input. */
static tn_str
refresh_token(const tn_op *op)
{
    return op->values[op->endpoint->ninput - 1];
}


/* A fresh secret, for the answer and, hashed, for the statement: for who has the
 * session, or for the key itself, which lasts already. */
static void
issue(tn_op *op, const tn_input *input)
{
    tn_err err;
    tn_str hash;

    (void) input;

    if (op->principal.api_key.p == NULL &&
        !tn__prove_session(op, refresh_token(op))) {
        return;
    }

    err = tn__api_key_make(&op->once, &hash, op, op->path_id);

    if (err != TN_OK) {
        tn__fail(op, err, NULL);
        return;
    }

    tn__local(op, TN_STR("secret_hash"), hash);
}


static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("listApiKeys"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/api-keys"),
      .permission_name = "tenon.api_key:read",
      .action = TN_STR_C("api_key.listed"),
      .summary = TN_STR_C("List the API keys"),
      .kind = TN__KIND_LIST,
      .resource = &api_key },
    { .operation = TN_STR_C("createApiKey"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/api-keys"),
      .permission_name = "tenon.api_key:create",
      .action = TN_STR_C("api_key.created"),
      .summary = TN_STR_C("Make an API key; its secret is shown this once"),
      .noun = TN_STR_C("IssuedApiKey"),
      .kind = TN__KIND_WRITE,
      .step = issue,
      .resource = &api_key,
      .stmt = &tn__q_api_key_create,
      .input = create_input,
      .ninput = COUNT(create_input),
      .output = issued_fields,
      .noutput = COUNT(issued_fields),
      .by_person = 1,
      .status = 201,
      .cache_control = TN_STR_C("no-store"),
      .by_self = 1 },
    { .operation = TN_STR_C("getApiKey"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/api-keys/{id}"),
      .permission_name = "tenon.api_key:read",
      .action = TN_STR_C("api_key.read"),
      .summary = TN_STR_C("Read an API key"),
      .kind = TN__KIND_READ,
      .resource = &api_key },
    { .operation = TN_STR_C("updateApiKey"),
      .method = TN_STR_C("PATCH"),
      .path = TN_STR_C("/v1/api-keys/{id}"),
      .permission_name = "tenon.api_key:update",
      .action = TN_STR_C("api_key.updated"),
      .summary = TN_STR_C("Change an API key of yours"),
      .kind = TN__KIND_WRITE,
      .step = bind_expiry,
      .resource = &api_key,
      .stmt = &tn__q_api_key_update,
      .input = key_fields,
      .ninput = COUNT(key_fields),
      .output = key_fields,
      .noutput = COUNT(key_fields),
      .by_person = 1,
      .changes_access = 1,
      .tells_change = 1,
      .by_self = 1 },
    { .operation = TN_STR_C("rotateApiKey"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/api-keys/{id}/rotate"),
      .permission_name = "tenon.api_key:update",
      .action = TN_STR_C("api_key.rotated"),
      .summary = TN_STR_C("Replace the secret of an API key of yours"),
      .noun = TN_STR_C("IssuedApiKey"),
      .kind = TN__KIND_WRITE,
      .step = issue,
      .resource = &api_key,
      .stmt = &tn__q_api_key_rotate,
      .input = rotate_input,
      .ninput = COUNT(rotate_input),
      .output = issued_fields,
      .noutput = COUNT(issued_fields),
      .changes_access = 1,
      .cache_control = TN_STR_C("no-store"),
      .by_self = 1 },
    { .operation = TN_STR_C("revokeApiKey"),
      .method = TN_STR_C("DELETE"),
      .path = TN_STR_C("/v1/api-keys/{id}"),
      .permission_name = "tenon.api_key:delete",
      .action = TN_STR_C("api_key.revoked"),
      .summary = TN_STR_C("Revoke an API key"),
      .kind = TN__KIND_WRITE,
      .resource = &api_key,
      .stmt = &tn__q_api_key_delete,
      .status = 204,
      .changes_access = 1 },
};

const tn__slice tn__api_keys_slice = { endpoints, COUNT(endpoints) };
