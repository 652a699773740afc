/*
 * service.c: what balancers, token verifiers and client generators ask. None
 * names a tenant.
 */

#include "libcore/op/op.h"
#include "gen/queries.h"

#include <sodium.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))


/* The process answers: that is all it says, so it never asks the database. */
static void
live(tn_op *op, const tn_input *input)
{
    (void) input;
    tn__respond(op, 200, TN_STR("{\"status\":\"live\"}"));
}


/* The database answers, and has the schema that this build was made for. */
static void
ready(tn_op *op, const tn_input *input)
{
    int64_t version;
    const tn_rows *rows;

    if (op->state++ == 0) {
        tn__batch_begin(op, 0, 0);
        tn__batch_add(op, &tn__q_ready);
        tn__want_db(op);
        return;
    }

    rows = tn__rows(op, input, 0);
    if (rows == NULL) {
        return;
    }

    if (!tn__int_parse(&version, tn__cell(rows, 0, 0)) ||
        version != TN_SCHEMA_VERSION) {
        tn__log(op, TN_STR("the database's schema version is not this "
                           "build's: run tenonctl migrate"));
        tn__fail(op, TN_E_UNAVAILABLE,
                 "The database's schema version is not this build's.");
        return;
    }

    tn__respond(op, 200, TN_STR("{\"status\":\"ready\"}"));
}


static void
jwks(tn_op *op, const tn_input *input)
{
    (void) input;
    tn__respond(op, 200, op->core->jwks);
}


/* Two prefixes, two documents: the tag is of both. */
static tn_err
document_etag(tn_str *etag, const tn_op *op)
{
    tn__buf buf;
    tn_str hash, prefix;
    unsigned char raw[16];
    char text[sodium_base64_ENCODED_LEN(
        sizeof(raw), sodium_base64_VARIANT_URLSAFE_NO_PADDING)];

    hash = op->catalogue->openapi_hash;
    prefix = op->request->prefix;
    crypto_generichash(raw, sizeof(raw), (const unsigned char *) prefix.p,
                       prefix.n, (const unsigned char *) hash.p, hash.n);

    tn__buf_init(&buf, op->mem, 32);
    tn__buf_char(&buf, '"');
    tn__buf_add(&buf, (tn_str){ text, tn__b64_encode(text, raw, sizeof(raw)) });
    tn__buf_char(&buf, '"');

    return tn__buf_str(etag, &buf);
}


static void
openapi(tn_op *op, const tn_input *input)
{
    tn__buf out;
    tn_str etag, json, prefix;
    const tn_catalogue *cat;

    (void) input;
    cat = op->catalogue;
    prefix = op->request->prefix;

    /* before the database was read there is nothing to tell */
    if (cat->openapi_head.p == NULL) {
        tn__fail(op, TN_E_UNAVAILABLE, "The server is starting.");
        return;
    }

    if (document_etag(&etag, op) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__header(op, TN_STR("ETag"), etag);

    if (tn__if_none_match(op, etag)) {
        tn__respond(op, 304, TN_NULL);
        return;
    }

    tn__buf_init(&out, op->mem,
                 cat->openapi_head.n + cat->openapi_tail.n + prefix.n + 16);
    tn__buf_add(&out, cat->openapi_head);
    tn__buf_json(&out, prefix.n ? prefix : TN_STR("/"));
    tn__buf_add(&out, cat->openapi_tail);

    if (tn__buf_str(&json, &out) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__respond(op, 200, json);
}


static const tn_str live_states[] = { TN_STR_C("live") };
static const tn_str ready_states[] = { TN_STR_C("ready") };

static const tn__field live_output[] = {
    { .name = TN_STR_C("status"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .set = live_states,
      .nset = 1 },
};

static const tn__field ready_output[] = {
    { .name = TN_STR_C("status"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .set = ready_states,
      .nset = 1 },
};

static const tn__field jwk_fields[] = {
    { .name = TN_STR_C("kty"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"OKP\"") },
    { .name = TN_STR_C("crv"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"Ed25519\"") },
    { .name = TN_STR_C("x"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .about = TN_STR_C("The public key, base64url"),
      .example = TN_STR_C("\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"") },
    { .name = TN_STR_C("kid"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("alg"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"EdDSA\"") },
    { .name = TN_STR_C("use"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"sig\"") },
};

static const tn__field jwks_output[] = {
    { .name = TN_STR_C("keys"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .array = 1,
      .fields = jwk_fields,
      .nfields = COUNT(jwk_fields) },
};

static const tn__field openapi_output[] = {
    { .name = TN_STR_C("openapi"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"3.1.0\"") },
    { .name = TN_STR_C("info"), .type = TN__TYPE_OBJECT, .out = 1 },
    { .name = TN_STR_C("servers"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .example = TN_STR_C("[{\"url\":\"/api\"}]") },
    { .name = TN_STR_C("security"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .example = TN_STR_C("[{\"bearer\":[]}]") },
    { .name = TN_STR_C("tags"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .example = TN_STR_C("[{\"name\":\"me\"}]") },
    { .name = TN_STR_C("paths"), .type = TN__TYPE_OBJECT, .out = 1 },
    { .name = TN_STR_C("components"), .type = TN__TYPE_OBJECT, .out = 1 },
    { .name = TN_STR_C("version"), .type = TN__TYPE_TEXT }, /* ETag only */
};


static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("getLive"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/live"),
      .permission_name = "public",
      .summary = TN_STR_C("Ask whether the process answers"),
      .kind = TN__KIND_STEP,
      .step = live,
      .output = live_output,
      .noutput = COUNT(live_output),
      .tenantless = 1,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("getReady"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/ready"),
      .permission_name = "public",
      .summary = TN_STR_C("Ask whether the service can work"),
      .kind = TN__KIND_STEP,
      .step = ready,
      .output = ready_output,
      .noutput = COUNT(ready_output),
      .tenantless = 1,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("getJwks"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/.well-known/jwks.json"),
      .permission_name = "public",
      .summary = TN_STR_C("Read the keys that access tokens are signed with"),
      .kind = TN__KIND_STEP,
      .step = jwks,
      .output = jwks_output,
      .noutput = COUNT(jwks_output),
      .tenantless = 1,
      .cache_control = TN_STR_C("public, max-age=300") },
    { .operation = TN_STR_C("getOpenapi"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/openapi.json"),
      .permission_name = "public",
      .summary = TN_STR_C("Read this document"),
      .kind = TN__KIND_STEP,
      .step = openapi,
      .output = openapi_output,
      .noutput = COUNT(openapi_output),
      .tenantless = 1,
      .cache_control = TN_STR_C("public, max-age=60") },
};

const tn__slice tn__service_slice = { endpoints, COUNT(endpoints) };
