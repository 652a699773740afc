/*
 * flags.c: a tenant's feature flags, as its owners manage them. Changes are
 * statements of schema/queries/flags.sql; whether variants and rules fit together
 * says tenon.flag_faults(), since a change of one may break another that it
 * doesn't hold. What a flag answers: evaluate.c.
 */

#include "libcore/flags/flags.h"
#include "gen/queries.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define KEY_PATTERN     "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\\z"
#define VARIANT_PATTERN "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\\z"

#define WEIGHT_MAX 100000
#define BODY_MAX   65536 /* one that holds is at most 16 KB and a bit */


static const tn_str types[] = {
    TN_STR_C("boolean"), TN_STR_C("string"), TN_STR_C("integer"),
    TN_STR_C("float"),   TN_STR_C("object"),
};

static const tn_str ops[] = {
    TN_STR_C("in"),         TN_STR_C("not_in"),     TN_STR_C("starts_with"),
    TN_STR_C("ends_with"),  TN_STR_C("contains"),   TN_STR_C("lt"),
    TN_STR_C("lte"),        TN_STR_C("gt"),         TN_STR_C("gte"),
    TN_STR_C("semver_lt"),  TN_STR_C("semver_lte"), TN_STR_C("semver_gt"),
    TN_STR_C("semver_gte"), TN_STR_C("exists"),     TN_STR_C("not_exists"),
};

static const tn__field value_items[] = {
    { .type = TN__TYPE_JSON, .out = 1, .create = 1 },
};

static const tn__field condition_fields[] = {
    { .name = TN_STR_C("attribute"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .required = 1,
      .has_min = 1,
      .min = 1,
      .has_max = 1,
      .max = 100,
      .about = TN_STR_C("A member of the context"),
      .example = TN_STR_C("\"plan\"") },
    { .name = TN_STR_C("op"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .required = 1,
      .set = ops,
      .nset = COUNT(ops) },
    { .name = TN_STR_C("values"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .create = 1,
      .array = 1,
      .has_max = 1,
      .max = 100,
      .fields = value_items,
      .nfields = COUNT(value_items),
      .about = TN_STR_C("Strings, numbers or booleans to compare with: exactly "
                        "one for lt to semver_gte, none for exists and "
                        "not_exists"),
      .example = TN_STR_C("[\"pro\"]") },
};

static const tn__field share_fields[] = {
    { .name = TN_STR_C("variant"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .required = 1,
      .pattern = VARIANT_PATTERN,
      .example = TN_STR_C("\"on\"") },
    { .name = TN_STR_C("weight"),
      .type = TN__TYPE_INT,
      .out = 1,
      .create = 1,
      .required = 1,
      .has_min = 1,
      .min = 0,
      .has_max = 1,
      .max = WEIGHT_MAX,
      .about = TN_STR_C("Its part of the sum of all weights"),
      .example = TN_STR_C("20") },
};

static const tn__field rule_fields[] = {
    { .name = TN_STR_C("name"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .nullable = 1,
      .has_max = 1,
      .max = 100,
      .about = TN_STR_C("For people"),
      .example = TN_STR_C("\"Pro\"") },
    { .name = TN_STR_C("when"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .create = 1,
      .array = 1,
      .has_max = 1,
      .max = 20,
      .fields = condition_fields,
      .nfields = COUNT(condition_fields),
      .about = TN_STR_C("All of these have to hold; none: it holds always") },
    { .name = TN_STR_C("variant"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .nullable = 1,
      .pattern = VARIANT_PATTERN,
      .about = TN_STR_C("Who it holds for gets this one"),
      .example = TN_STR_C("\"on\"") },
    { .name = TN_STR_C("split"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .create = 1,
      .nullable = 1,
      .array = 1,
      .has_min = 1,
      .min = 1,
      .has_max = 1,
      .max = 20,
      .fields = share_fields,
      .nfields = COUNT(share_fields),
      .about = TN_STR_C("Or one of these, shared out by the targeting key"),
      .example = TN_STR_C("null") },
};

static const tn__field flag_fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("key"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .required = 1,
      .filter = 1,
      .sort = 1,
      .pattern = KEY_PATTERN,
      .about = TN_STR_C("By which programs ask for it; it never changes"),
      .example = TN_STR_C("\"new-checkout\"") },
    { .name = TN_STR_C("description"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .update = 1,
      .default_sql = TN_STR_C("''::text"),
      .has_max = 1,
      .max = 1000 },
    { .name = TN_STR_C("type"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .filter = 1,
      .default_sql = TN_STR_C("'boolean'::text"),
      .set = types,
      .nset = COUNT(types),
      .about = TN_STR_C("Of all its variants' values; it never changes") },
    { .name = TN_STR_C("enabled"),
      .type = TN__TYPE_BOOL,
      .out = 1,
      .create = 1,
      .update = 1,
      .filter = 1,
      .default_sql = TN_STR_C("true"),
      .about =
          TN_STR_C("The kill switch: false answers `off_variant`, whatever "
                   "the rules say") },
    { .name = TN_STR_C("variants"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .create = 1,
      .update = 1,
      .about =
          TN_STR_C("An object: up to 50 values of the flag's type by name. "
                   "Left out for a boolean: on and off"),
      .example = TN_STR_C("{\"on\":true,\"off\":false}") },
    { .name = TN_STR_C("default_variant"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .update = 1,
      .pattern = VARIANT_PATTERN,
      .about = TN_STR_C("What is answered where no rule holds. Left out for a "
                        "boolean: off"),
      .example = TN_STR_C("\"off\"") },
    { .name = TN_STR_C("off_variant"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .update = 1,
      .pattern = VARIANT_PATTERN,
      .about = TN_STR_C("What is answered while it is switched off. Left out: "
                        "the default one"),
      .example = TN_STR_C("\"off\"") },
    { .name = TN_STR_C("rules"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .create = 1,
      .update = 1,
      .array = 1,
      .has_max = 1,
      .max = 50,
      .fields = rule_fields,
      .nfields = COUNT(rule_fields),
      .about =
          TN_STR_C("The first that holds decides; each names a variant or a "
                   "split") },
    { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },
    { .name = TN_STR_C("created_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .filter = 1,
      .sort = 1 },
    { .name = TN_STR_C("created_by"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("updated_at"), .type = TN__TYPE_TIME, .out = 1 },
};

static const tn__resource flag = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("flag"),
    .full_name = TN_STR_C("tenon.flag"),
    .path = TN_STR_C("flags"),
    .relation = TN_STR_C("tenon.flag"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("created_by"),
    .fields = flag_fields,
    .nfields = COUNT(flag_fields),
};

static const tn__conflict conflicts[] = {
    { .constraint = TN_STR_C("flag_key_key"),
      .err = TN_E_DUPLICATE,
      .pointer = TN_STR_C("/key"),
      .fault = TN_F_DUPLICATE },
};

/* What tenon.flags_refused() says. */
static const tn_err limits[] = { TN_E_LIMIT_REACHED };

static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("listFlags"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/flags"),
      .permission_name = "tenon.flag:read",
      .action = TN_STR_C("flag.listed"),
      .summary = TN_STR_C("List the feature flags"),
      .kind = TN__KIND_LIST,
      .resource = &flag },
    { .operation = TN_STR_C("createFlag"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/flags"),
      .permission_name = "tenon.flag:create",
      .action = TN_STR_C("flag.created"),
      .summary = TN_STR_C("Make a feature flag"),
      .kind = TN__KIND_WRITE,
      .resource = &flag,
      .stmt = &tn__q_flag_create,
      .input = flag_fields,
      .ninput = COUNT(flag_fields),
      .output = flag_fields,
      .noutput = COUNT(flag_fields),
      .conflicts = conflicts,
      .nconflicts = COUNT(conflicts),
      .errors = limits,
      .nerrors = COUNT(limits),
      .body_max = BODY_MAX,
      .status = 201,
      .changes_flags = 1 },
    { .operation = TN_STR_C("getFlag"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/flags/{id}"),
      .permission_name = "tenon.flag:read",
      .action = TN_STR_C("flag.read"),
      .summary = TN_STR_C("Read a feature flag"),
      .kind = TN__KIND_READ,
      .resource = &flag },
    { .operation = TN_STR_C("updateFlag"),
      .method = TN_STR_C("PATCH"),
      .path = TN_STR_C("/v1/flags/{id}"),
      .permission_name = "tenon.flag:update",
      .action = TN_STR_C("flag.updated"),
      .summary = TN_STR_C("Change a feature flag, or switch it on or off"),
      .kind = TN__KIND_WRITE,
      .resource = &flag,
      .stmt = &tn__q_flag_update,
      .input = flag_fields,
      .ninput = COUNT(flag_fields),
      .output = flag_fields,
      .noutput = COUNT(flag_fields),
      .errors = limits,
      .nerrors = COUNT(limits),
      .body_max = BODY_MAX,
      .tells_change = 1,
      .in_read_only = 1, /* off at least, whatever is owed */
      .changes_flags = 1 },
    { .operation = TN_STR_C("deleteFlag"),
      .method = TN_STR_C("DELETE"),
      .path = TN_STR_C("/v1/flags/{id}"),
      .permission_name = "tenon.flag:delete",
      .action = TN_STR_C("flag.deleted"),
      .summary = TN_STR_C("Delete a feature flag"),
      .kind = TN__KIND_WRITE,
      .resource = &flag,
      .stmt = &tn__q_flag_delete,
      .status = 204,
      .changes_flags = 1 },
};

const tn__slice tn__flags_slice = { endpoints, COUNT(endpoints) };
