/*
 * service.c: what balancers and token verifiers ask. None names a tenant.
 */

#include "libcore/op/op.h"
#include "gen/queries.h"

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


static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("getLive"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/live"),
      .permission_name = "public",
      .kind = TN__KIND_STEP,
      .step = live,
      .tenantless = 1,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("getReady"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/ready"),
      .permission_name = "public",
      .kind = TN__KIND_STEP,
      .step = ready,
      .tenantless = 1,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("getJwks"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/.well-known/jwks.json"),
      .permission_name = "public",
      .kind = TN__KIND_STEP,
      .step = jwks,
      .tenantless = 1,
      .cache_control = TN_STR_C("public, max-age=300") },
};

const tn__slice tn__service_slice = { endpoints, COUNT(endpoints) };
