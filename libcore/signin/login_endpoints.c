/*
 * login_endpoints.c: the rows of sign-up, login and logout.
 */

#include "libcore/signin/steps.h"
#include "gen/queries.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* What anybody may send without having signed in is read small. */
#define PUBLIC_BODY_MAX 16384


static const tn__field organization_fields[] = {
    { .name = TN_STR_C("name"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .has_min = 1,
      .min = 1,
      .has_max = 1,
      .max = 200 },
    { .name = TN_STR_C("slug"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .has_min = 1,
      .min = 3,
      .has_max = 1,
      .max = 63,
      .pattern = TN__SLUG_PATTERN,
      .example = TN_STR_C("\"acme\"") },
};

/* signup.c and login.c know the order of what they take. */
static const tn__field signup_input[] = {
    { .name = TN_STR_C("email"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .lower = 1,
      .pattern = TN__EMAIL_PATTERN,
      .example = TN_STR_C("\"ann@example.com\"") },
    { .name = TN_STR_C("password"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .password = 1,
      .has_min = 1,
      .min = 8,
      .example = TN_STR_C("\"correct horse battery\"") },
    { .name = TN_STR_C("name"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .has_min = 1,
      .min = 1,
      .has_max = 1,
      .max = 200 },
    { .name = TN_STR_C("organization"),
      .type = TN__TYPE_OBJECT,
      .create = 1,
      .required = 1,
      .fields = organization_fields,
      .nfields = COUNT(organization_fields) },
};

static const tn__conflict signup_conflicts[] = {
    { .constraint = TN_STR_C("user_email_key"),
      .err = TN_E_EMAIL_TAKEN,
      .pointer = TN_STR_C("/email"),
      .fault = TN_F_DUPLICATE },
    { .constraint = TN_STR_C("tenant_slug_pkey"),
      .err = TN_E_SLUG_TAKEN,
      .pointer = TN_STR_C("/organization/slug"),
      .fault = TN_F_DUPLICATE },
    { .constraint = TN_STR_C("tenant_slug_reserved"),
      .err = TN_E_INVALID_FIELDS,
      .pointer = TN_STR_C("/organization/slug"),
      .fault = TN_F_NOT_IN_SET,
      .detail = "is reserved" },
};

static const tn__field signup_output[] = {
    { .name = TN_STR_C("user"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .fields = tn__user_fields,
      .nfields = TN__USER_FIELDS },
    { .name = TN_STR_C("tenant"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .fields = tn__tenant_fields,
      .nfields = TN__TENANT_FIELDS },
};

static const tn__field login_input[] = {
    { .name = TN_STR_C("email"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .lower = 1,
      .has_max = 1,
      .max = 254,
      .example = TN_STR_C("\"ann@example.com\"") },
    { .name = TN_STR_C("password"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .password = 1,
      .example = TN_STR_C("\"correct horse battery\"") },
};

static const tn_err login_errors[] = { TN_E_INVALID_CREDENTIALS };
static const tn_err logout_errors[] = { TN_E_STATE_CONFLICT };


static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("signUp"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/auth/signup"),
      .permission_name = "public",
      .summary = TN_STR_C("Sign up, with an organization of your own"),
      .kind = TN__KIND_STEP,
      .step = tn__step_signup,
      .hashes = 1,
      .input = signup_input,
      .ninput = COUNT(signup_input),
      .output = signup_output,
      .noutput = COUNT(signup_output),
      .status = 201,
      .stmt = &tn__q_signup,
      .action = TN_STR_C("tenant.created"),
      .conflicts = signup_conflicts,
      .nconflicts = COUNT(signup_conflicts),
      .unkeyed = 1,
      .tenantless = 1,
      .base_domain = 1,
      .body_max = PUBLIC_BODY_MAX,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("logIn"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/auth/login"),
      .permission_name = "public",
      .summary = TN_STR_C("Log in to the organization"),
      .noun = TN_STR_C("Session"),
      .errors = login_errors,
      .nerrors = COUNT(login_errors),
      .kind = TN__KIND_STEP,
      .step = tn__step_login,
      .hashes = 1,
      .action = TN_STR_C("user.login"),
      .unkeyed = 1,
      .opens_session = 1,
      .body_max = PUBLIC_BODY_MAX,
      .input = login_input,
      .ninput = COUNT(login_input),
      .output = tn__session_fields,
      .noutput = TN__SESSION_FIELDS,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("logOut"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/auth/logout"),
      .permission_name = "authenticated",
      .summary = TN_STR_C("End this session"),
      .kind = TN__KIND_STEP,
      .step = tn__step_logout,
      .errors = logout_errors,
      .nerrors = COUNT(logout_errors),
      .action = TN_STR_C("user.logout"),
      .ends_session = 1,
      .unkeyed = 1,
      .cache_control = TN_STR_C("no-store") },
};

const tn__slice tn__login_slice = { endpoints, COUNT(endpoints) };
