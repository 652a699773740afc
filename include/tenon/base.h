/*
 * base.h: what every part of Tenon speaks in: strings, errors, memory.
 *
 * Nothing here does I/O, reads a clock or calls malloc.
 */

#ifndef TENON_BASE_H
#define TENON_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TN_API __attribute__((visibility("default")))

/* The library's version, and the schema version it was built against: the
 * number of the newest file in schema/migrations/. */
#define TN_VERSION        "0.1.0"
#define TN_SCHEMA_VERSION 32


/* A run of bytes. Never assume a NUL behind it. p == NULL is "absent" (SQL
 * NULL, no header); n == 0 with p != NULL is the empty string. */
typedef struct tn_str {
    const char *p;
    size_t n;
} tn_str;

/* Of a string literal, and nothing else: the empty one in front sees to it. */
#define TN_STR(lit) ((tn_str){ "" lit, sizeof(lit) - 1 })
#define TN_STR_C(lit)           \
    {                           \
        "" lit, sizeof(lit) - 1 \
    }
#define TN_NULL ((tn_str){ NULL, 0 })


/*
 * Every error that a client can meet, once: X(NAME, status, code, title,
 * detail); the detail is what is said where nothing better is known. The enum,
 * the HTTP status and the problem document come from this list, and
 * docs/errors.md is held against it by a test.
 */
#define TN_ERROR_MAP(X)                                                        \
    X(MALFORMED_REQUEST, 400, "malformed_request", "Malformed request",        \
      "The request is not HTTP as it should be.")                              \
    X(MALFORMED_JSON, 400, "malformed_json", "Malformed JSON",                 \
      "The body is not JSON.")                                                 \
    X(UNKNOWN_PARAMETER, 400, "unknown_parameter", "Unknown parameter",        \
      "The query holds a parameter that is not known here.")                   \
    X(INVALID_PARAMETER, 400, "invalid_parameter", "Invalid parameter",        \
      "A query parameter has a value that can't be.")                          \
    X(INVALID_CURSOR, 400, "invalid_cursor", "Invalid cursor",                 \
      "The cursor is not one of this list.")                                   \
    X(SIGNATURE_REFUSED, 400, "signature_refused", "Signature refused",        \
      "The body isn't signed with the secret that is known here.")             \
    X(INVALID_CONTEXT, 400, "invalid_context", "Invalid context",              \
      "The context that flags are evaluated for can't be as it is; see "       \
      "errors.")                                                               \
    X(TARGETING_KEY_MISSING, 400, "targeting_key_missing",                     \
      "Targeting key missing",                                                 \
      "This flag is shared out by the context's targetingKey: send one.")      \
    X(EVALUATION_TOO_LONG, 400, "evaluation_too_long", "Too much to compare",  \
      "The flags' conditions and the context make more comparisons than a "    \
      "request may: send fewer and shorter attributes, or ask for one flag.")  \
    X(UNAUTHENTICATED, 401, "unauthenticated", "Not signed in",                \
      "Sign in, and send the access token as Authorization: Bearer.")          \
    X(INVALID_CREDENTIALS, 401, "invalid_credentials", "Invalid credentials",  \
      "No such e-mail address and password here.")                             \
    X(TOKEN_EXPIRED, 401, "token_expired", "Token expired",                    \
      "The access token has expired; refresh it, or sign in again.")           \
    X(PAYMENT_REQUIRED, 402, "payment_required", "Payment required",           \
      "This organization has to be paid for first.")                           \
    X(FEATURE_REQUIRED, 402, "feature_required", "Not in this plan",           \
      "The organization's plan doesn't have this feature.")                    \
    X(PLAN_LIMIT, 402, "plan_limit", "Limit of the plan",                      \
      "The organization's plan allows no more of these.")                      \
    X(FORBIDDEN, 403, "forbidden", "Not allowed",                              \
      "Your role doesn't allow this.")                                         \
    X(TENANT_MISMATCH, 403, "tenant_mismatch", "Tenants disagree",             \
      "Host, header and token name different tenants.")                        \
    X(CSRF_REFUSED, 403, "csrf_refused", "From another site",                  \
      "A page of another origin may not act by this browser's cookie.")        \
    X(TENANT_INACTIVE, 403, "tenant_inactive", "Tenant inactive",              \
      "This tenant is suspended.")                                             \
    X(NOT_FOUND, 404, "not_found", "Not found",                                \
      "There is no such thing, or it is not yours to see.")                    \
    X(TENANT_UNKNOWN, 404, "tenant_unknown", "Unknown tenant",                 \
      "There is no such tenant.")                                              \
    X(METHOD_NOT_ALLOWED, 405, "method_not_allowed", "Method not allowed",     \
      "This path doesn't take this method; see Allow.")                        \
    X(STATE_CONFLICT, 409, "state_conflict", "State conflict",                 \
      "The current state doesn't allow this.")                                 \
    X(DUPLICATE, 409, "duplicate", "Already exists",                           \
      "Such a thing exists already.")                                          \
    X(EMAIL_TAKEN, 409, "email_taken", "E-mail taken",                         \
      "There is an account with this e-mail address.")                         \
    X(SLUG_TAKEN, 409, "slug_taken", "Slug taken",                             \
      "There is an organization with this slug.")                              \
    X(LAST_OWNER, 409, "last_owner", "Last owner",                             \
      "An organization keeps at least one owner: make somebody else one "      \
      "first.")                                                                \
    X(OWN_REALM, 409, "own_realm", "Users of its own",                         \
      "This organization has users of its own, who can't belong to another.")  \
    X(LIMIT_REACHED, 409, "limit_reached", "Limit reached",                    \
      "There are as many of these as there may be; delete one first.")         \
    X(IDEMPOTENCY_IN_PROGRESS, 409, "idempotency_in_progress", "In progress",  \
      "A request with this Idempotency-Key is being worked on; try again.")    \
    X(SECRET_SPENT, 410, "secret_spent", "Secret spent",                       \
      "This token was used, revoked or has expired.")                          \
    X(PRECONDITION_FAILED, 412, "precondition_failed", "Precondition failed",  \
      "It has another version than If-Match names; read it again.")            \
    X(TOO_LARGE, 413, "too_large", "Too large",                                \
      "The body is larger than allowed.")                                      \
    X(UNSUPPORTED_MEDIA_TYPE, 415, "unsupported_media_type",                   \
      "Unsupported media type", "Send Content-Type: application/json.")        \
    X(INVALID_FIELDS, 422, "invalid_fields", "Invalid fields",                 \
      "Some fields can't be as they are; see errors.")                         \
    X(REAUTHENTICATION_FAILED, 422, "reauthentication_failed",                 \
      "Not confirmed",                                                         \
      "The password or the code is wrong; you stay signed in.")                \
    X(IDEMPOTENCY_MISMATCH, 422, "idempotency_mismatch", "Key used before",    \
      "This Idempotency-Key was used with another body.")                      \
    X(PRECONDITION_REQUIRED, 428, "precondition_required",                     \
      "If-Match required",                                                     \
      "Send If-Match with the version that you have read.")                    \
    X(RATE_LIMITED, 429, "rate_limited", "Rate limited",                       \
      "Too many requests; wait as Retry-After says.")                          \
    X(INTERNAL, 500, "internal", "Internal error",                             \
      "Something went wrong here; the operator can find it by request_id.")    \
    X(UNAVAILABLE, 503, "unavailable", "Unavailable",                          \
      "The service can't answer now; nothing was done.")                       \
    X(BUSY, 503, "busy", "Busy", "The service is too busy; nothing was done.") \
    X(OUTCOME_UNKNOWN, 503, "outcome_unknown", "Outcome unknown",              \
      "The connection to the database was lost: the change may or "            \
      "may not have been made.")

/* 0 is success; NOMEM never reaches a client (it answers as INTERNAL from a
 * static response). */
typedef enum tn_err {
    TN_OK = 0,
    TN_E_NOMEM,
#define TN_X(name, status, code, title, detail) TN_E_##name,
    TN_ERROR_MAP(TN_X)
#undef TN_X
    TN_E_COUNT
} tn_err;

/* HTTP status (200 for TN_OK), problem `code`, title and default detail of an
 * error. Static memory; unknown values answer as INTERNAL. */
TN_API unsigned tn_err_status(tn_err err);
TN_API tn_str tn_err_code(tn_err err);
TN_API tn_str tn_err_title(tn_err err);
TN_API tn_str tn_err_detail(tn_err err);


/* What can be wrong with one field: X(NAME, code, default detail). */
#define TN_FIELD_FAULT_MAP(X)                                            \
    X(REQUIRED, "required", "is required")                               \
    X(UNKNOWN_FIELD, "unknown_field", "is not a field of this resource") \
    X(READ_ONLY, "read_only", "can't be written")                        \
    X(WRONG_TYPE, "wrong_type", "has the wrong type")                    \
    X(TOO_SHORT, "too_short", "is too short")                            \
    X(TOO_LONG, "too_long", "is too long")                               \
    X(OUT_OF_RANGE, "out_of_range", "is out of range")                   \
    X(NOT_IN_SET, "not_in_set", "is not one of the allowed values")      \
    X(BAD_FORMAT, "bad_format", "has the wrong format")                  \
    X(NOT_FOUND, "not_found", "refers to nothing")                       \
    X(DUPLICATE, "duplicate", "is taken")                                \
    X(REFUSED, "refused", "was refused")

typedef enum tn_fault {
#define TN_X(name, code, detail) TN_F_##name,
    TN_FIELD_FAULT_MAP(TN_X)
#undef TN_X
    TN_F_COUNT
} tn_fault;


/*
 * The host's memory. alloc(self, n) returns n bytes aligned for any type, or
 * NULL; nothing is freed singly: all of it goes when the owner (a request, a
 * catalogue) goes. nginx hands in a pool; tests an arena that fails at the
 * n-th call.
 */
typedef struct tn_mem {
    void *(*alloc)(void *self, size_t n);
    void *self;
} tn_mem;

#ifdef __cplusplus
}
#endif

#endif
