/*
 * signin_endpoints.c: the rows of what stands around a password.
 */

#include "libcore/signin/steps.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* What anybody may send without having signed in is read small. */
#define PUBLIC_BODY_MAX 16384

#define TOKEN_FIELD(field, what)                                          \
    {                                                                     \
        .name = TN_STR_C(field), .type = TN__TYPE_TEXT, .create = 1,      \
        .required = 1, .has_max = 1, .max = 200, .about = TN_STR_C(what), \
    }

#define NEW_PASSWORD_FIELD                                                \
    {                                                                     \
        .name = TN_STR_C("password"), .type = TN__TYPE_TEXT, .create = 1, \
        .required = 1, .password = 1, .has_min = 1, .min = 8,             \
        .about = TN_STR_C("The new one"),                                 \
        .example = TN_STR_C("\"correct horse battery\""),                 \
    }

#define PASSWORD_FIELD                                                       \
    {                                                                        \
        .name = TN_STR_C("password"), .type = TN__TYPE_TEXT, .create = 1,    \
        .required = 1, .password = 1, .about = TN_STR_C("The one in force"), \
        .example = TN_STR_C("\"correct horse battery\""),                    \
    }

#define CODE_FIELD                                                    \
    {                                                                 \
        .name = TN_STR_C("code"), .type = TN__TYPE_TEXT, .create = 1, \
        .required = 1, .pattern = "^[0-9]{6}\\z",                     \
        .about = TN_STR_C("Of this moment"),                          \
        .example = TN_STR_C("\"287082\""),                            \
    }

#define ANY_CODE_FIELD                                                  \
    {                                                                   \
        .name = TN_STR_C("code"), .type = TN__TYPE_TEXT, .create = 1,   \
        .required = 1, .has_min = 1, .min = 1, .has_max = 1, .max = 32, \
        .about = TN_STR_C("Of this moment, or a recovery code"),        \
        .example = TN_STR_C("\"287082\""),                              \
    }


/* The files that use them know the order of these rows. */
static const tn__field verify_input[] = {
    TOKEN_FIELD("token", "Which was sent to the address"),
    { .name = TN_STR_C("password"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .password = 1,
      .about = TN_STR_C("The account's; not needed where you are signed in to "
                        "it"),
      .example = TN_STR_C("\"correct horse battery\"") },
};

static const tn__field forgot_input[] = {
    { .name = TN_STR_C("email"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .lower = 1,
      .has_max = 1,
      .max = 254,
      .example = TN_STR_C("\"ann@example.com\"") },
};

static const tn__field reset_input[] = {
    TOKEN_FIELD("token", "Which was sent to the address"),
    NEW_PASSWORD_FIELD,
};

static const tn__field change_input[] = {
    { .name = TN_STR_C("current_password"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .required = 1,
      .password = 1,
      .example = TN_STR_C("\"correct horse battery\"") },
    NEW_PASSWORD_FIELD,
};

static const tn__field code_input[] = { CODE_FIELD };

static const tn__field enrol_input[] = { PASSWORD_FIELD };

static const tn__field disable_input[] = {
    PASSWORD_FIELD,
    ANY_CODE_FIELD,
};

static const tn__field challenge_input[] = {
    TOKEN_FIELD("mfa_token", "What login answered"),
    ANY_CODE_FIELD,
};

static const tn__field enrol_output[] = {
    { .name = TN_STR_C("secret"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .about = TN_STR_C("As base32, for typing"),
      .example = TN_STR_C("\"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\"") },
    { .name = TN_STR_C("uri"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .about = TN_STR_C("otpauth: as a QR code, for a camera"),
      .example = TN_STR_C("\"otpauth://totp/example.com:ann%40example.com"
                          "?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\"") },
};

static const tn__field code_items[] = {
    { .type = TN__TYPE_TEXT, .out = 1 },
};

static const tn__field codes_output[] = {
    { .name = TN_STR_C("recovery_codes"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .array = 1,
      .fields = code_items,
      .nfields = COUNT(code_items),
      .about = TN_STR_C("Ten, shown once; each works once"),
      .example = TN_STR_C("[\"k3vtz-7qh4m\"]") },
};

static const tn_err spent_errors[] = { TN_E_SECRET_SPENT };
static const tn_err verify_errors[] = { TN_E_SECRET_SPENT,
                                        TN_E_INVALID_CREDENTIALS,
                                        TN_E_FORBIDDEN };
static const tn_err wrong_errors[] = { TN_E_INVALID_CREDENTIALS };
static const tn_err person_errors[] = { TN_E_FORBIDDEN };
static const tn_err change_errors[] = { TN_E_REAUTHENTICATION_FAILED,
                                        TN_E_FORBIDDEN };
static const tn_err confirm_errors[] = { TN_E_STATE_CONFLICT, TN_E_FORBIDDEN };
static const tn_err factor_errors[] = { TN_E_REAUTHENTICATION_FAILED,
                                        TN_E_STATE_CONFLICT, TN_E_FORBIDDEN };


static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("verifyEmail"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/auth/email/verify"),
      .permission_name = "public",
      .summary = TN_STR_C("Show that you read your address"),
      .kind = TN__KIND_STEP,
      .step = tn__step_verify,
      .heeds_caller = 1,
      .by_person = 1,
      .hashes = 1,
      .action = TN_STR_C("user.email_verified"),
      .input = verify_input,
      .ninput = COUNT(verify_input),
      .errors = verify_errors,
      .nerrors = COUNT(verify_errors),
      .status = 204,
      .unkeyed = 1,
      .body_max = PUBLIC_BODY_MAX,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("resendEmail"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/auth/email/resend"),
      .permission_name = "authenticated",
      .by_self = 1,
      .summary = TN_STR_C("Have another token sent to your address"),
      .kind = TN__KIND_STEP,
      .step = tn__step_resend,
      .action = TN_STR_C("user.verification_requested"),
      .errors = person_errors,
      .nerrors = COUNT(person_errors),
      .status = 204,
      .unkeyed = 1,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("forgotPassword"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/auth/password/forgot"),
      .permission_name = "public",
      .summary = TN_STR_C("Have a token sent by which to set a new password"),
      .realm_wide = 1,
      .kind = TN__KIND_STEP,
      .step = tn__step_forgot,
      .action = TN_STR_C("user.reset_requested"),
      .input = forgot_input,
      .ninput = COUNT(forgot_input),
      .status = 204,
      .unkeyed = 1,
      .body_max = PUBLIC_BODY_MAX,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("resetPassword"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/auth/password/reset"),
      .permission_name = "public",
      .summary = TN_STR_C("Set a new password by a token, end all of your "
                          "sessions and revoke your API keys"),
      .realm_wide = 1,
      .kind = TN__KIND_STEP,
      .step = tn__step_reset,
      .hashes = 1,
      .action = TN_STR_C("user.password_reset"),
      .input = reset_input,
      .ninput = COUNT(reset_input),
      .errors = spent_errors,
      .nerrors = COUNT(spent_errors),
      .status = 204,
      .unkeyed = 1,
      .changes_access = 1,
      .body_max = PUBLIC_BODY_MAX,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("changePassword"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/auth/password/change"),
      .permission_name = "authenticated",
      .by_self = 1,
      .summary = TN_STR_C("Set a new password, and end all of your other "
                          "sessions; API keys stay"),
      .kind = TN__KIND_STEP,
      .step = tn__step_change_password,
      .hashes = 1,
      .action = TN_STR_C("user.password_changed"),
      .input = change_input,
      .ninput = COUNT(change_input),
      .errors = change_errors,
      .nerrors = COUNT(change_errors),
      .status = 204,
      .unkeyed = 1,
      .changes_access = 1,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("enrolTotp"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/auth/mfa/totp"),
      .permission_name = "authenticated",
      .by_self = 1,
      .summary = TN_STR_C("Get the secret of a second factor"),
      .noun = TN_STR_C("TotpSecret"),
      .kind = TN__KIND_STEP,
      .step = tn__step_enrol,
      .hashes = 1,
      .action = TN_STR_C("user.mfa_enrolled"),
      .input = enrol_input,
      .ninput = COUNT(enrol_input),
      .output = enrol_output,
      .noutput = COUNT(enrol_output),
      .errors = factor_errors,
      .nerrors = COUNT(factor_errors),
      .unkeyed = 1,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("confirmTotp"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/auth/mfa/totp/confirm"),
      .permission_name = "authenticated",
      .by_self = 1,
      .summary = TN_STR_C("Put the second factor into force by a first code, "
                          "and end all of your other sessions"),
      .noun = TN_STR_C("RecoveryCodes"),
      .kind = TN__KIND_STEP,
      .step = tn__step_confirm,
      .action = TN_STR_C("user.mfa_enabled"),
      .input = code_input,
      .ninput = COUNT(code_input),
      .output = codes_output,
      .noutput = COUNT(codes_output),
      .errors = confirm_errors,
      .nerrors = COUNT(confirm_errors),
      .unkeyed = 1,
      .changes_access = 1,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("disableTotp"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/auth/mfa/totp/disable"),
      .permission_name = "authenticated",
      .by_self = 1,
      .summary = TN_STR_C("Do without the second factor, and end all of your "
                          "other sessions"),
      .kind = TN__KIND_STEP,
      .step = tn__step_disable,
      .hashes = 1,
      .action = TN_STR_C("user.mfa_disabled"),
      .input = disable_input,
      .ninput = COUNT(disable_input),
      .errors = factor_errors,
      .nerrors = COUNT(factor_errors),
      .status = 204,
      .unkeyed = 1,
      .changes_access = 1,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("renewRecoveryCodes"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/auth/mfa/recovery-codes"),
      .permission_name = "authenticated",
      .by_self = 1,
      .summary = TN_STR_C("Make new recovery codes; the old ones are void"),
      .noun = TN_STR_C("RecoveryCodes"),
      .kind = TN__KIND_STEP,
      .step = tn__step_renew_codes,
      .action = TN_STR_C("user.recovery_codes_renewed"),
      .input = code_input,
      .ninput = COUNT(code_input),
      .output = codes_output,
      .noutput = COUNT(codes_output),
      .errors = factor_errors,
      .nerrors = COUNT(factor_errors),
      .unkeyed = 1,
      .changes_access = 1,
      .cache_control = TN_STR_C("no-store") },
    { .operation = TN_STR_C("verifyMfa"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/auth/mfa/verify"),
      .permission_name = "public",
      .summary = TN_STR_C("Finish a login that asks for a second factor"),
      .noun = TN_STR_C("Session"),
      .kind = TN__KIND_STEP,
      .step = tn__step_challenge,
      .action = TN_STR_C("user.login"),
      .opens_session = 1,
      .input = challenge_input,
      .ninput = COUNT(challenge_input),
      .output = tn__session_fields,
      .noutput = TN__SESSION_FIELDS,
      .errors = wrong_errors,
      .nerrors = COUNT(wrong_errors),
      .unkeyed = 1,
      .body_max = PUBLIC_BODY_MAX,
      .cache_control = TN_STR_C("no-store") },
};

const tn__slice tn__signin_slice = { endpoints, COUNT(endpoints) };
