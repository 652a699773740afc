/*
 * op.c: the life of an op: route, resolve, admit, meter, body, step, after,
 * done. The order of checks that clients see is the order of the phases:
 * 404/405, tenant, authentication, role, plan, limits, body, database.
 *
 * What was settled in front of a body doesn't outlive it: who sends it byte by
 * byte would keep what was taken from them meanwhile. Where the client took
 * longer than LATE, the op begins anew with the body at hand, and is answered
 * what a request is answered that begins now.
 *
 * Nor is anybody refused by an old plan: who has just paid for another one
 * would be told to. Where it was a plan that refused, and the zone's wasn't
 * quite new, the op begins anew as well, and asks the database for it.
 */

#include "libcore/op/op.h"
#include "libcore/billing/billing.h"
#include "libcore/identity/identity.h"
#include "libcore/resource/resource.h"
#include "libcore/usage/usage.h"

#include <sodium.h>


#define LATE 1000 /* ms */


static void
begin(tn_op *op)
{
    tn_err err;
    tn_core *core;

    core = op->core;
    op->catalogue = core->catalogue;
    op->catalogue->references++;
    op->want.kind = TN_WANT_NONE;

    tn__request_headers(op);
    op->facts.request_id = op->request_id;

    err = tn__route_find(op, op->catalogue->routes);

    if (err == TN_E_METHOD_NOT_ALLOWED &&
        tn__eq(op->request->method, TN_STR("OPTIONS"))) {
        tn__respond_options(op);

    } else if (err == TN_E_NOT_FOUND && !tn_core_ready(core)) {
        tn__fail(op, TN_E_UNAVAILABLE, "The server is starting.");

    } else if (err != TN_OK) {
        tn__fail(op, err, NULL);

    } else if (op->endpoint->base_domain && core->base_domain.n &&
               !tn__eqi(op->request->host, core->base_domain)) {
        tn__fail(op, TN_E_NOT_FOUND, "This is served on the base domain.");

    } else {
        op->facts.operation = op->endpoint->operation;
        op->facts.hashes = op->endpoint->hashes;
    }
}


/* Zeroed, but for its lists. */
static tn_op *
op_alloc(tn_mem *mem)
{
    tn_op *op;

    op = tn__alloc(mem, sizeof(tn_op));

    if (op) {
        memset(op, 0, offsetof(tn_op, faults));
    }

    return op;
}


tn_err
tn_op_new(tn_op **out, tn_core *core, const tn_request *request, tn_mem *mem)
{
    tn_op *op;

    *out = NULL;

    op = op_alloc(mem);
    if (op == NULL) {
        return TN_E_NOMEM;
    }

    op->core = core;
    op->mem = mem;
    op->request = request;
    *out = op;

    tn__rng_init(&op->rng, request->entropy);
    begin(op);

    return TN_OK;
}


static int
is_late(const tn_op *op, const tn_input *input)
{
    return (op->phase == TN__PHASE_ADMIT || op->phase == TN__PHASE_BODY) &&
           input && !input->failed && input->waited_ms > op->waited_ms &&
           input->waited_ms - op->waited_ms > LATE;
}


/* The host has its copy, of a password. */
static void
forget_job(tn_op *op)
{
    if (op->job) {
        sodium_memzero(op->job, sizeof(tn_job));
        op->job = NULL;
    }
}


/* At another time, under the catalogue of now; it stays the request that it
 * is, and has been counted. */
static void
begin_anew(tn_op *op, uint64_t waited_ms)
{
    tn_op *fresh, *before;
    tn_request *head;

    fresh = op_alloc(op->mem);
    before = op_alloc(op->mem);
    head = tn__alloc(op->mem, sizeof(tn_request));

    if (fresh == NULL || before == NULL || head == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    *head = *op->request;
    head->now += (int64_t) (waited_ms - op->waited_ms) * 1000;

    fresh->core = op->core;
    fresh->mem = op->mem;
    fresh->rng = op->rng;
    fresh->request = head;
    fresh->facts.request_id = op->facts.request_id;
    fresh->counted = 1;
    fresh->waited_ms = waited_ms;
    fresh->came = op->came;
    fresh->usage = op->usage;
    fresh->limits = op->limits;
    fresh->limits_left = op->limits_left;

    forget_job(op);
    before->catalogue = op->catalogue;
    before->before = op->before;
    fresh->before = before;
    *op = *fresh;
    sodium_memzero(&fresh->rng, sizeof(fresh->rng));
    begin(op);
}


/* May this role do this at all? Whether a row is its own is the database's
 * to say. */
static int
authorize(tn_op *op)
{
    const tn__role *role;
    const tn__endpoint *endpoint;

    endpoint = op->endpoint;
    role = op->principal.role;

    if (op->principal.api_key.p && !tn__endpoint_open_to_keys(endpoint)) {
        tn__fail(op, TN_E_FORBIDDEN,
                 "An API key can't do this: sign in as a person.");
        return 0;
    }

    if (op->principal.impersonator.p &&
        (endpoint->by_self || endpoint->by_person)) {
        tn__fail(op, TN_E_FORBIDDEN,
                 "Who acts as somebody else can't do this: they have to do it "
                 "themself.");
        return 0;
    }

    if (endpoint->in_session && op->principal.session.p == NULL) {
        tn__fail(op, TN_E_FORBIDDEN,
                 "A token of an identity provider acts in its organization "
                 "alone: sign in here for this.");
        return 0;
    }

    tn__scope_find(op);

    if (op->phase == TN__PHASE_DONE) {
        return 0;
    }

    /* the rows of a query are nobody's own */
    if (op->scope == TN__SCOPE_NONE || op->also_scope == TN__SCOPE_NONE ||
        (endpoint->kind == TN__KIND_QUERY && op->scope != TN__SCOPE_TENANT)) {
        tn__fail(op, TN_E_FORBIDDEN,
                 op->principal.api_key.p
                     ? "The scopes of this API key, or the role of who made "
                       "it, don't allow this."
                     : "Your role doesn't allow this.");
        return 0;
    }

    /* who may see a row is told "not allowed", who may not "not found" */
    op->read_scope_tenant =
        endpoint->resource &&
        tn__role_scope(role, endpoint->resource->read_permission) ==
            TN__SCOPE_TENANT;

    return 1;
}


/* Lists and queries know parameters, and say themselves which. */
static int
takes_params(const tn__endpoint *endpoint)
{
    return endpoint->kind == TN__KIND_LIST ||
           endpoint->kind == TN__KIND_NESTED ||
           endpoint->kind == TN__KIND_HISTORY ||
           endpoint->kind == TN__KIND_QUERY;
}


/* Whether a body may be left out: that of an action, where no argument must be
 * given. One that is there is looked at all the same. */
static int
may_be_bare(const tn__endpoint *endpoint)
{
    unsigned i;

    for (i = 0; i < endpoint->ninput; i++) {
        if (endpoint->input[i].required) {
            return 0;
        }
    }

    return endpoint->kind == TN__KIND_ACTION;
}


static int
is_json(tn_op *op)
{
    if (tn__request_json_type(op)) {
        return 1;
    }

    tn__fail(op, TN_E_UNSUPPORTED_MEDIA_TYPE,
             tn__eq(op->endpoint->method, TN_STR("PATCH"))
                 ? "Send Content-Type: application/merge-patch+json or "
                   "application/json."
                 : "Send Content-Type: application/json.");
    return 0;
}


static void
body(tn_op *op, tn_str text)
{
    op->came = text.p ? text : TN_STR("");

    if (!tn__idempotency_begin(op, text)) {
        return;
    }

    if (op->endpoint->signature.p) {
        op->raw = text;
        op->phase = TN__PHASE_STEP;

    } else if (text.n == 0 && may_be_bare(op->endpoint)) {
        op->phase = TN__PHASE_STEP;

    } else if (is_json(op) && tn__request_body(op, text)) {
        op->phase = TN__PHASE_STEP;
    }
}


static void
admitted(tn_op *op)
{
    if (tn__cookie_admitted(op) && authorize(op) && tn__plan_admits(op)) {
        op->phase = TN__PHASE_METER;
    }
}


/* Asks for the body if the endpoint takes one and it isn't at hand. */
static void
counted(tn_op *op)
{
    size_t max;

    tn__unit_bind(op);

    if (!takes_params(op->endpoint) && !tn__request_no_params(op)) {
        return;
    }

    if (may_be_bare(op->endpoint) ? op->request->body_length == 0
                                  : !tn__endpoint_takes_body(op->endpoint)) {
        if (tn__idempotency_begin(op, TN_STR(""))) {
            op->phase = TN__PHASE_STEP;
        }
        return;
    }

    /* of one without end it is known when it is read */
    if (!(may_be_bare(op->endpoint) &&
          op->request->body_length == UINT64_MAX) &&
        !is_json(op)) {
        return;
    }

    max = op->core->conf.body_max;

    if (op->endpoint->body_max && op->endpoint->body_max < max) {
        max = op->endpoint->body_max;
    }

    if ((op->request->body_length != UINT64_MAX &&
         op->request->body_length > max) ||
        op->came.n > max) {
        tn__fail(op, TN_E_TOO_LARGE, NULL);
        return;
    }

    if (op->came.p) {
        body(op, op->came);
        return;
    }

    op->phase = TN__PHASE_BODY;
    op->want.kind = TN_WANT_BODY;
    op->want.body_max = max;
}


static void
step(tn_op *op, const tn_input *input)
{
    static const tn__step steps[] = {
        [TN__KIND_LIST] = tn__step_list,
        [TN__KIND_NESTED] = tn__step_list,
        [TN__KIND_HISTORY] = tn__step_list,
        [TN__KIND_READ] = tn__step_read,
        [TN__KIND_CREATE] = tn__step_create,
        [TN__KIND_UPDATE] = tn__step_update,
        [TN__KIND_DELETE] = tn__step_delete,
        [TN__KIND_RESTORE] = tn__step_restore,
        [TN__KIND_ROLLBACK] = tn__step_rollback,
        [TN__KIND_ACTION] = tn__step_action,
        [TN__KIND_QUERY] = tn__step_query,
        [TN__KIND_WRITE] = tn__step_write,
    };

    forget_job(op);

    if (op->state && input == NULL) {
        tn__fail(op, TN_E_INTERNAL, NULL);
        return;
    }

    if (op->state && input->failed) {
        tn__fail(op, input->failed, NULL);
        return;
    }

    /* no step may take it for a wrong password, or count it as one */
    if (input && input->job && input->job->failed) {
        tn__log(op, TN_STR("a password could not be checked: out of memory"));
        tn__fail(op, TN_E_BUSY, NULL);
        return;
    }

    if (op->endpoint->kind == TN__KIND_STEP) {
        op->endpoint->step(op, input);
    } else {
        steps[op->endpoint->kind](op, input);
    }

    if (op->phase != TN__PHASE_DONE && op->want.kind == TN_WANT_NONE) {
        tn__log(op, TN_STR("a step neither wished nor finished"));
        tn__fail(op, TN_E_INTERNAL, NULL);
    }
}


/* A user is told only as one of this tenant: limits and logs would take a
 * refused stranger for a member. */
static void
take_facts(tn_op *op)
{
    op->facts.tenant = op->tenant.slug;
    op->facts.tenant_id = op->tenant.id;
    op->facts.user_id = op->settled ? op->principal.user : TN_NULL;
}


/* Whether it was a plan that refused, and not one of now. It has changed
 * nothing, and its body is at hand. */
static int
refused_by_old_plan(const tn_op *op)
{
    return op->phase == TN__PHASE_DONE && op->error != TN_OK &&
           !op->plan_anew && op->settled &&
           (tn_err_status(op->error) == 402 ||
            (op->error == TN_E_RATE_LIMITED && tn__usage_refused(op))) &&
           op->plan && tn__plan_is_old(op->plan, op->request->now);
}


/* Runs the phases up to the answer, or up to the next wish. */
static void
run(tn_op *op, const tn_input *input)
{
    if (op->phase == TN__PHASE_RESOLVE && tn__resolve(op, input)) {
        op->phase = TN__PHASE_ADMIT;
        op->settled = 1;
        input = NULL;

        if (!op->counted) {
            op->want.kind = TN_WANT_ADMIT;
            take_facts(op);
            return;
        }
    }

    if (op->phase == TN__PHASE_ADMIT) {
        if (input && input->failed) {
            tn__fail(op, input->failed, NULL);
        } else {
            admitted(op);
        }

        input = NULL;
    }

    if (op->phase == TN__PHASE_METER) {
        if (tn__usage_take(op, input)) {
            counted(op);
        }

        input = NULL;

    } else if (op->phase == TN__PHASE_BODY) {
        if (input == NULL || input->failed) {
            tn__fail(op, input ? input->failed : TN_E_INTERNAL, NULL);
        } else {
            body(op, input->body);
        }

        input = NULL;
    }

    if (op->phase == TN__PHASE_STEP) {
        step(op, input);
    }
}


static void
answer(tn_op *op, const tn_input *input)
{
    if (is_late(op, input)) {
        if (op->phase == TN__PHASE_BODY) {
            op->came = input->body.p ? input->body : TN_STR("");
        }

        begin_anew(op, input->waited_ms);
        input = NULL;
    }

    run(op, input);

    if (refused_by_old_plan(op)) {
        begin_anew(op, op->waited_ms);
        op->plan_anew = 1;
        run(op, NULL);
    }

    take_facts(op);

    if (op->phase != TN__PHASE_DONE) {
        return;
    }

    if (tn__after_begin(op)) {
        op->phase = TN__PHASE_AFTER;

    } else if (op->response.status == 304) {
        tn__usage_give_back(op);
    }
}


const tn_want *
tn_op_step(tn_op *op, const tn_input *input)
{
    int answered;

    answered = op->phase == TN__PHASE_DONE;
    op->want.kind = TN_WANT_NONE;

    if (op->phase != TN__PHASE_AFTER && !answered) {
        answer(op, input);
        input = NULL;
    }

    if (op->phase == TN__PHASE_AFTER) {
        tn__after(op, input);
    }

    return &op->want;
}


const tn_facts *
tn_op_facts(const tn_op *op)
{
    return &op->facts;
}


const tn_response *
tn_op_response(tn_op *op)
{
    return &op->response;
}


void
tn_op_free(tn_op *op)
{
    tn_op *begun;

    if (op == NULL) {
        return;
    }

    for (begun = op; begun; begun = begun->before) {
        if (begun->catalogue && --begun->catalogue->references == 0) {
            tn_catalogue_free(begun->catalogue);
        }

        begun->catalogue = NULL;
    }

    forget_job(op);
    sodium_memzero(&op->rng, sizeof(op->rng));
}
