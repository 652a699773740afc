/*
 * ofrep.c: what the tenant's flags answer to a context, by OpenFeature's Remote
 * Evaluation Protocol: POST /ofrep/v1/evaluate/flags/{key}, and the same of all at
 * once, with an ETag. Warm, no database is asked.
 *
 * Refusals are problem documents like all others, and hold what the protocol
 * wants to see besides: key, errorCode, errorDetails.
 */

#include "libcore/flags/evaluate.h"
#include "libcore/flags/set.h"

#include <sodium.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define CONTEXT_MAX       65536 /* bytes of a body */
#define MEMBERS_MAX       200   /* of a context */
#define ELEMENTS_MAX      100   /* of each array there */
#define TARGETING_KEY_MAX 256   /* bytes: each share hashes it */

typedef struct evaluation {
    tn__flag_set set;
    tn__flag_context context;
    int told; /* that a flag is broken */
} evaluation;


static void
check_member(tn_op *op, const cJSON *member)
{
    tn_str name;

    name = (tn_str){ member->string, strlen(member->string) };

    if (cJSON_IsArray(member) && cJSON_GetArraySize(member) > ELEMENTS_MAX) {
        tn__fault_below(op, TN_STR("/context"), name, TN_F_TOO_LONG,
                        "must have at most 100 elements");
    }

    if (!tn__eq(name, TN_STR("targetingKey")) || cJSON_IsNull(member)) {
        return;
    }

    if (!cJSON_IsString(member)) {
        tn__fault(op, TN_STR("/context/targetingKey"), TN_F_WRONG_TYPE,
                  "must be a string");

    } else if (strlen(member->valuestring) > TARGETING_KEY_MAX) {
        tn__fault(op, TN_STR("/context/targetingKey"), TN_F_TOO_LONG,
                  "must be at most 256 bytes");
    }
}


/* The context, an object of so much in which a targeting key is text; 0 when the
 * op has failed. */
static int
read_context(tn_op *op, evaluation *e)
{
    const cJSON *context, *member;

    context = tn__flag_member(op->body, "context");

    if (context && !cJSON_IsObject(context)) {
        tn__fault_field(op, TN_STR("context"), TN_F_WRONG_TYPE,
                        "must be an object");

    } else if (cJSON_GetArraySize(context) > MEMBERS_MAX) {
        tn__fault_field(op, TN_STR("context"), TN_F_TOO_LONG,
                        "must have at most 200 members");

    } else {
        cJSON_ArrayForEach(member, context)
        {
            check_member(op, member);
        }
    }

    tn__flag_context_init(&e->context, context);

    if (op->nfaults) {
        tn__fail(op, TN_E_INVALID_CONTEXT, NULL);
    }

    return op->nfaults == 0;
}


/* The evaluation, once the tenant's flags are there; else NULL. */
static evaluation *
begin(tn_op *op, const tn_input *input)
{
    evaluation *e;

    e = op->step_data;

    if (op->state == 0) {
        e = op->step_data = tn__zalloc(op->mem, sizeof(evaluation));

        if (e == NULL) {
            tn__fail(op, TN_E_NOMEM, NULL);
            return NULL;
        }

        if (!read_context(op, e)) {
            return NULL;
        }

        op->state = 1;
    }

    return tn__flag_set_find(&e->set, op, input) ? e : NULL;
}


/* Reads and evaluates one; its error may be TN_E_NOMEM, when the op has failed. */
static int
evaluate(tn__flag_value *value, const cJSON **flag, tn_op *op, evaluation *e,
         tn_str key, tn_str document)
{
    tn_err err;
    cJSON *tree;
    tn__json_fault fault;

    err = tn__json_parse(&tree, document, &fault, op->mem);

    if (err == TN_E_NOMEM) {
        tn__fail(op, err, NULL);
        return 0;
    }

    memset(value, 0, sizeof(*value));
    value->error = TN__FLAG_BROKEN;
    *flag = NULL;

    if (err == TN_OK) {
        *flag = tree;
        tn__flag_evaluate(value, key, tree, &e->context);
    }

    if (value->error == TN__FLAG_BROKEN && !e->told) {
        e->told = 1;
        tn__log(op, TN_STR("a flag of the tenant's is not as it should be"));
    }

    return 1;
}


/* {"key":…,"value":…,"reason":…,"variant":…,"metadata":{"version":…}} */
static void
write_value(tn__buf *out, tn_op *op, tn_str key, const cJSON *flag,
            const tn__flag_value *value)
{
    tn_str text;
    const cJSON *version;

    if (tn__json_print(&text, value->variant, op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__buf_lit(out, "{\"key\":");
    tn__buf_json(out, key);
    tn__buf_lit(out, ",\"value\":");
    tn__buf_add(out, text);
    tn__buf_lit(out, ",\"reason\":");
    tn__buf_json(out, value->reason);
    tn__buf_lit(out, ",\"variant\":");
    tn__buf_json(out, (tn_str){ value->variant->string,
                                strlen(value->variant->string) });
    tn__buf_lit(out, ",\"metadata\":{");
    version = tn__flag_member(flag, "version");

    if (cJSON_IsNumber(version)) {
        tn__buf_lit(out, "\"version\":");
        tn__buf_int(out, (int64_t) version->valuedouble);
    }

    tn__buf_lit(out, "}}");
}


/* ---- one flag ---- */

static void
respond_value(tn_op *op, tn_str key, const cJSON *flag,
              const tn__flag_value *value)
{
    tn__buf out;
    tn_str json;

    tn__buf_init(&out, op->mem, 256);
    write_value(&out, op, key, flag, value);

    if (tn__buf_str(&json, &out) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__respond(op, 200, json);
}


static void
step_one(tn_op *op, const tn_input *input)
{
    evaluation *e;
    const cJSON *flag;
    tn__flag_value value;
    tn_str rest, key, document;

    e = begin(op, input);
    if (e == NULL) {
        return;
    }

    rest = e->set.text;
    document = TN_NULL;

    while (tn__flag_set_next(&key, &document, &rest)) {
        if (tn__eq(key, op->path_name)) {
            break;
        }

        document = TN_NULL;
    }

    if (document.p == NULL) {
        tn__fail(op, TN_E_NOT_FOUND, "There is no flag of this key.");
        return;
    }

    if (!evaluate(&value, &flag, op, e, key, document)) {
        return;
    }

    switch (value.error) {

    case TN__FLAG_NO_TARGETING_KEY:
        tn__fail(op, TN_E_TARGETING_KEY_MISSING, NULL);
        return;

    case TN__FLAG_TOO_LONG:
        tn__fail(op, TN_E_EVALUATION_TOO_LONG, NULL);
        return;

    case TN__FLAG_BROKEN:
        tn__fail(op, TN_E_INTERNAL, NULL);
        return;

    case TN__FLAG_OK:
        respond_value(op, key, flag, &value);
        return;
    }
}


/* ---- all of them ---- */

/* What can't be evaluated is told in its place: the others can. */
static void
write_failure(tn__buf *out, tn_str key, const tn__flag_value *value)
{
    tn_err err;
    tn_str code;

    code = TN_STR("GENERAL");

    switch (value->error) {

    case TN__FLAG_NO_TARGETING_KEY:
        code = TN_STR("TARGETING_KEY_MISSING");
        err = TN_E_TARGETING_KEY_MISSING;
        break;

    case TN__FLAG_TOO_LONG:
        err = TN_E_EVALUATION_TOO_LONG;
        break;

    default:
        err = TN_E_INTERNAL;
    }

    tn__buf_lit(out, "{\"key\":");
    tn__buf_json(out, key);
    tn__buf_lit(out, ",\"errorCode\":");
    tn__buf_json(out, code);
    tn__buf_lit(out, ",\"errorDetails\":");
    tn__buf_json(out, tn_err_detail(err));
    tn__buf_char(out, '}');
}


/* A hash of the answer: another context whose answer is the same may have the
 * same tag. It is keyed, so that it tells nothing of what isn't shown. */
static tn_err
tag(tn_str *etag, const tn_op *op, tn_str json)
{
    tn__buf buf;
    unsigned char hash[16];
    char text[sodium_base64_ENCODED_LEN(
        sizeof(hash), sodium_base64_VARIANT_URLSAFE_NO_PADDING)];

    tn__siphash(hash, op->core->zone_key, &json, 1);
    tn__buf_init(&buf, op->mem, 32);
    tn__buf_char(&buf, '"');
    tn__buf_add(&buf,
                (tn_str){ text, tn__b64_encode(text, hash, sizeof(hash)) });
    tn__buf_char(&buf, '"');

    return tn__buf_str(etag, &buf);
}


static void
step_all(tn_op *op, const tn_input *input)
{
    tn__buf out;
    evaluation *e;
    const cJSON *flag;
    tn__flag_value value;
    tn_str rest, key, document, json, etag;

    e = begin(op, input);
    if (e == NULL) {
        return;
    }

    rest = e->set.text;
    tn__buf_init(&out, op->mem, 1024);
    tn__buf_lit(&out, "{\"flags\":[");

    while (tn__flag_set_next(&key, &document, &rest)) {
        if (!evaluate(&value, &flag, op, e, key, document)) {
            return;
        }

        if (key.p != e->set.text.p) {
            tn__buf_char(&out, ',');
        }

        if (value.error) {
            write_failure(&out, key, &value);
        } else {
            write_value(&out, op, key, flag, &value);
        }
    }

    tn__buf_lit(&out, "]}");

    if (tn__buf_str(&json, &out) != TN_OK || tag(&etag, op, json) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__header(op, TN_STR("ETag"), etag);

    if (tn__if_none_match(op, etag)) {
        tn__respond(op, 304, TN_NULL);
    } else {
        tn__respond(op, 200, json);
    }
}


/* ---- refusals ---- */

/* The protocol's word for what is wrong with a request; absent: it has none, for
 * it looks at the status. */
static tn_str
error_code(tn_err err)
{
    switch (err) {

    case TN_E_MALFORMED_JSON:
        return TN_STR("PARSE_ERROR");

    case TN_E_INVALID_CONTEXT:
        return TN_STR("INVALID_CONTEXT");

    case TN_E_TARGETING_KEY_MISSING:
        return TN_STR("TARGETING_KEY_MISSING");

    case TN_E_NOT_FOUND:
        return TN_STR("FLAG_NOT_FOUND");

    default:
        return tn_err_status(err) == 400 || tn_err_status(err) == 500
                   ? TN_STR("GENERAL")
                   : TN_NULL;
    }
}


/* A body of a wrong shape is told like a context of one: with status 400. */
static tn_err
refuse(tn_op *op, tn_err err, tn_str detail, tn__buf *members)
{
    tn_str code;

    err = err == TN_E_INVALID_FIELDS ? TN_E_INVALID_CONTEXT : err;
    code = error_code(err);

    if (code.p == NULL) {
        return err;
    }

    /* it is what the path said, decoded: it needn't be text */
    if (op->path_name.p && tn__utf8_valid(op->path_name)) {
        tn__buf_lit(members, ",\"key\":");
        tn__buf_json(members, op->path_name);
    }

    tn__buf_lit(members, ",\"errorCode\":");
    tn__buf_json(members, code);
    tn__buf_lit(members, ",\"errorDetails\":");
    tn__buf_json(members, detail.p ? detail : tn_err_detail(err));

    return err;
}


/* ---- endpoints ---- */

static const tn__field input[] = {
    { .name = TN_STR_C("context"),
      .type = TN__TYPE_JSON,
      .create = 1,
      .nullable = 1,
      .about =
          TN_STR_C("An object: attributes by name, which rules look at, and "
                   "`targetingKey`, text by which shares are given out. Up to "
                   "200 members, arrays of up to 100 elements"),
      .example = TN_STR_C("{\"targetingKey\":\"user-1\",\"plan\":\"pro\"}") },
};

static const tn_str reasons[] = {
    TN_STR_C("STATIC"), TN_STR_C("DEFAULT"),  TN_STR_C("TARGETING_MATCH"),
    TN_STR_C("SPLIT"),  TN_STR_C("DISABLED"),
};

static const tn__field metadata_fields[] = {
    { .name = TN_STR_C("version"),
      .type = TN__TYPE_INT,
      .out = 1,
      .about = TN_STR_C("Of the flag") },
};

static const tn__field value_fields[] = {
    { .name = TN_STR_C("key"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"new-checkout\"") },
    { .name = TN_STR_C("value"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .example = TN_STR_C("true") },
    { .name = TN_STR_C("reason"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .set = reasons,
      .nset = COUNT(reasons) },
    { .name = TN_STR_C("variant"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"on\"") },
    { .name = TN_STR_C("metadata"),
      .type = TN__TYPE_OBJECT,
      .out = 1,
      .fields = metadata_fields,
      .nfields = COUNT(metadata_fields) },
};

static const tn__field flag_items[] = {
    { .type = TN__TYPE_JSON,
      .out = 1,
      .about =
          TN_STR_C("What evaluating it alone answers; or `key`, `errorCode` "
                   "and `errorDetails` where that needs a targeting key, or "
                   "too many comparisons") },
};

static const tn__field all_output[] = {
    { .name = TN_STR_C("flags"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .array = 1,
      .fields = flag_items,
      .nfields = COUNT(flag_items),
      .about =
          TN_STR_C("All of the organization's, in the order of their keys"),
      .example = TN_STR_C(
          "[{\"key\":\"new-checkout\",\"value\":true,\"reason\":\"STATIC\","
          "\"variant\":\"on\",\"metadata\":{\"version\":1}}]") },
    { .name = TN_STR_C("version"), .type = TN__TYPE_INT }, /* ETag only */
};

static const tn_err one_errors[] = { TN_E_INVALID_CONTEXT,
                                     TN_E_TARGETING_KEY_MISSING,
                                     TN_E_EVALUATION_TOO_LONG };
static const tn_err all_errors[] = { TN_E_INVALID_CONTEXT };

static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("evaluateFlag"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/ofrep/v1/evaluate/flags/{key}"),
      .permission_name = "tenon.flag:evaluate",
      .action = TN_STR_C("flag.evaluated"),
      .summary = TN_STR_C("Evaluate a feature flag (OpenFeature, OFREP)"),
      .noun = TN_STR_C("FlagValue"),
      .kind = TN__KIND_STEP,
      .step = step_one,
      .refuses = refuse,
      .input = input,
      .ninput = COUNT(input),
      .output = value_fields,
      .noutput = COUNT(value_fields),
      .errors = one_errors,
      .nerrors = COUNT(one_errors),
      .unkeyed = 1,
      .unpaid = 1,
      .body_max = CONTEXT_MAX },
    { .operation = TN_STR_C("evaluateFlags"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/ofrep/v1/evaluate/flags"),
      .permission_name = "tenon.flag:evaluate",
      .action = TN_STR_C("flag.evaluated"),
      .summary = TN_STR_C("Evaluate all feature flags (OpenFeature, OFREP)"),
      .noun = TN_STR_C("FlagValues"),
      .kind = TN__KIND_STEP,
      .step = step_all,
      .refuses = refuse,
      .input = input,
      .ninput = COUNT(input),
      .output = all_output,
      .noutput = COUNT(all_output),
      .errors = all_errors,
      .nerrors = COUNT(all_errors),
      .unkeyed = 1,
      .unpaid = 1,
      .conditional = 1,
      .body_max = CONTEXT_MAX },
};

const tn__slice tn__ofrep_slice = { endpoints, COUNT(endpoints) };
