/*
 * client.c: a call of Stripe's API as a request, and what becomes of an attempt
 * that is answered so or so. Parameters go as a form, answers are JSON.
 *
 * A POST is made once however often it is sent: Stripe keeps what it answered to an
 * Idempotency-Key for a day. An attempt later than that is a new one to it.
 */

#include "libcore/stripe/stripe.h"

#include <sodium.h>

#define TIMEOUT    20000   /* ms */
#define ANSWER_MAX 1048576 /* bytes; a subscription has about ten thousand */
#define HEADERS    4
#define AGAIN_MOST 3600000 /* ms: no answer makes us wait longer */
#define AGAIN_KEY  60000   /* an operator has to mend it */
#define WORD_MAX   64


/* name=value&… */
static void
add_form(tn__buf *buf, const tn__stripe_call *call)
{
    unsigned i;
    size_t from = buf->n;

    for (i = 0; i < call->nparams; i++) {

        if (call->params[i].value.p == NULL) {
            continue;
        }

        if (buf->n > from) {
            tn__buf_char(buf, '&');
        }

        tn__buf_uri(buf, call->params[i].name);
        tn__buf_char(buf, '=');
        tn__buf_uri(buf, call->params[i].value);
    }
}


static void
header(tn_http *http, tn_str name, tn_str value)
{
    ((tn_header *) http->headers)[http->nheaders++] =
        (tn_header){ name, value };
}


static tn_err
build(tn_http *http, tn_work *work, const tn__stripe_call *call)
{
    tn_err err;
    tn_str auth, parts[2] = { TN_STR("Bearer "), work->conf->stripe_key };
    tn__buf url, form;

    http->headers = tn__alloc(work->mem, HEADERS * sizeof(tn_header));
    if (http->headers == NULL) {
        return TN_E_NOMEM;
    }

    tn__buf_init(&url, work->mem, 128);
    tn__buf_add(&url, work->conf->stripe_api);
    tn__buf_add(&url, call->path);

    if (call->id.p) {
        tn__buf_char(&url, '/');
        tn__buf_uri(&url, call->id);
    }

    if (call->verb.p) {
        tn__buf_char(&url, '/');
        tn__buf_add(&url, call->verb);
    }

    err = tn__cat(&auth, parts, 2, work->mem);
    if (err != TN_OK) {
        return err;
    }

    header(http, TN_STR("Authorization"), auth);
    header(http, TN_STR("Stripe-Version"), TN_STR(TN__STRIPE_VERSION));

    if (call->key.p) {
        header(http, TN_STR("Idempotency-Key"), call->key);
    }

    if (tn__eq(call->method, TN_STR("POST"))) {
        tn__buf_init(&form, work->mem, 256);
        add_form(&form, call);
        header(http, TN_STR("Content-Type"),
               TN_STR("application/x-www-form-urlencoded"));

        err = tn__buf_str(&http->body, &form);
        if (err != TN_OK) {
            return err;
        }

    } else if (call->nparams) {
        tn__buf_char(&url, '?');
        add_form(&url, call);
    }

    http->method = call->method;
    http->timeout_ms = TIMEOUT;
    http->answer_max = ANSWER_MAX;

    return tn__buf_str(&http->url, &url);
}


void
tn__stripe_ask(tn_work *work, const tn__stripe_call *call)
{
    tn_http *http;

    if (work->conf == NULL || work->conf->stripe_key.n == 0) {
        tn__work_fail(work,
                      TN_STR("Stripe can't be asked: tenond is told no "
                             "stripe_key"),
                      AGAIN_KEY);
        return;
    }

    http = tn__zalloc(work->mem, sizeof(tn_http));

    if (http == NULL || build(http, work, call) != TN_OK) {
        tn__work_fail(work, TN_STR("out of memory"), 0);
        return;
    }

    tn__work_want_http(work, http);
}


/* The request has been made: nobody needs the key in it any more. */
void
tn__stripe_skip(tn_work *work)
{
    unsigned i;
    const tn_http *http = work->want.http;

    for (i = 0; http && i < http->nheaders; i++) {

        if (tn__eq(http->headers[i].name, TN_STR("Authorization"))) {
            sodium_memzero((char *) http->headers[i].value.p,
                           http->headers[i].value.n);
        }
    }
}


static tn_str
answered_with(const tn_http_answer *answer, tn_str name)
{
    unsigned i;

    for (i = 0; i < answer->nheaders; i++) {
        if (tn__eqi(answer->headers[i].name, name)) {
            return answer->headers[i].value;
        }
    }

    return TN_NULL;
}


/* Seconds; a date, which Stripe doesn't send, counts for nothing. */
static int64_t
retry_after(const tn_http_answer *answer)
{
    int64_t s;

    if (!tn__int_parse(&s, answered_with(answer, TN_STR("Retry-After"))) ||
        s < 0) {
        return 0;
    }

    return s < AGAIN_MOST / 1000 ? s * 1000 : AGAIN_MOST;
}


static int
may_help(const tn_http_answer *answer)
{
    tn_str hint = answered_with(answer, TN_STR("Stripe-Should-Retry"));

    if (answer->status == 429 || answer->status >= 500) {
        return 1;
    }

    return tn__eq(hint, TN_STR("true")) ||
           (answer->status == 409 && !tn__eq(hint, TN_STR("false")));
}


/* A word of Stripe's own, such as an error's code: nothing else is told on, for
 * its messages quote what was sent. */
static void
add_word(tn__buf *buf, const char *what, tn_str word)
{
    size_t i;

    if (word.n == 0 || word.n > WORD_MAX) {
        return;
    }

    for (i = 0; i < word.n; i++) {
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                   "0123456789_-.[]",
                   word.p[i]) == NULL ||
            word.p[i] == '\0') {
            return;
        }
    }

    tn__buf_add(buf, (tn_str){ what, strlen(what) });
    tn__buf_add(buf, word);
}


/* "Stripe answered 400: invalid_request_error, code resource_missing, param
 * customer, request req_1" */
static tn_str
told(tn_work *work, const tn_http_answer *answer, const cJSON *error)
{
    tn_str text;
    tn__buf buf;

    tn__buf_init(&buf, work->mem, 160);
    tn__buf_lit(&buf, "Stripe answered ");
    tn__buf_int(&buf, answer->status);
    add_word(&buf, ": ", tn__stripe_text(error, "type"));
    add_word(&buf, ", code ", tn__stripe_text(error, "code"));
    add_word(&buf, ", param ", tn__stripe_text(error, "param"));
    add_word(&buf, ", request ", answered_with(answer, TN_STR("Request-Id")));

    return tn__buf_str(&text, &buf) == TN_OK ? text : TN_STR("Stripe says no");
}


static void
refused(tn_work *work, const tn_http_answer *answer, const cJSON *object,
        int *missing)
{
    int64_t wait;
    const cJSON *error = tn__stripe_member(object, "error");

    if (missing && answer->status == 404 &&
        tn__eq(tn__stripe_text(error, "code"), TN_STR("resource_missing"))) {
        *missing = 1;
        return;
    }

    wait = retry_after(answer);

    if (answer->status == 401 || answer->status == 403) {
        tn__work_fail(work, told(work, answer, error),
                      wait > AGAIN_KEY ? wait : AGAIN_KEY);

    } else if (may_help(answer)) {
        tn__work_fail(work, told(work, answer, error), wait);

    } else {
        tn__work_refuse(work, told(work, answer, error));
    }
}


int
tn__stripe_stuck(const tn_input *input)
{
    const tn_http_answer *answer = input->http;

    return answer && answer->status >= 500 &&
           tn__eq(answered_with(answer, TN_STR("Idempotent-Replayed")),
                  TN_STR("true"));
}


const cJSON *
tn__stripe_answer(tn_work *work, const tn_input *input, int *missing)
{
    tn_err err;
    cJSON *object = NULL;
    tn__json_fault fault;
    const tn_http_answer *answer;

    if (missing) {
        *missing = 0;
    }

    tn__stripe_skip(work);

    answer = tn__work_answer(work, input);
    if (answer == NULL) {
        return NULL;
    }

    err = tn__json_parse(&object, answer->body, &fault, work->mem);

    if (err == TN_E_NOMEM) {
        tn__work_fail(work, TN_STR("out of memory"), 0);
        return NULL;
    }

    if (answer->status < 200 || answer->status >= 300) {
        refused(work, answer, err == TN_OK ? object : NULL, missing);
        return NULL;
    }

    if (err != TN_OK || !cJSON_IsObject(object)) {
        tn__work_fail(work, TN_STR("Stripe's answer is no JSON object"), 0);
        return NULL;
    }

    return object;
}
