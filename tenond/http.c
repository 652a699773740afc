/*
 * http.c: requests to other people's servers, by libcurl. It is asked for its
 * descriptors together with ours, so there is one place where the loop waits.
 * (Names are resolved by a thread of libcurl's, which is left to itself when its
 * call ends before it; so from libcurl 7.87 on.) No redirect is followed, no
 * other scheme than http and https taken, no environment asked for a proxy.
 */

#include "tenond.h"
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT 10000 /* ms */
#define TIMEOUT_MAX     30000 /* half of a lease */
#define HEADERS_MAX     64    /* of an answer; more are left out */
#define HEADER_BYTES    16384

struct td_call {
    td_http *http;
    td_call *next;
    CURL *easy;
    struct curl_slist *headers;
    td_answered *done;
    void *data;
    size_t max;
    char *body;
    size_t nbody;
    size_t size;
    int too_large;
    char *head; /* header lines, one after the other */
    size_t nhead;
    size_t places[HEADERS_MAX];
    size_t lengths[HEADERS_MAX];
    unsigned nheaders;
    char error[CURL_ERROR_SIZE];
};


int
td_http_init(td_http *http)
{
    memset(http, 0, sizeof(td_http));

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        return -1;
    }

    http->multi = curl_multi_init();

    return http->multi ? 0 : -1;
}


static void
call_free(td_call *call)
{
    td_call **at;

    for (at = &call->http->calls; *at && *at != call; at = &(*at)->next) {
        /* to the one that leads to it */
    }

    if (*at) {
        *at = call->next;
    }

    if (call->easy) {
        curl_multi_remove_handle(call->http->multi, call->easy);
        curl_easy_cleanup(call->easy);
    }

    curl_slist_free_all(call->headers);
    free(call->body);
    free(call->head);
    free(call);
}


void
td_http_free(td_http *http)
{
    while (http->calls) {
        call_free(http->calls);
    }

    if (http->multi) {
        curl_multi_cleanup(http->multi);
    }

    curl_global_cleanup();
}


static size_t
take_body(char *p, size_t one, size_t n, void *data)
{
    char *body;
    size_t size;
    td_call *call = data;

    (void) one; /* it is one */

    if (n > call->max - call->nbody) {
        call->too_large = 1;
        return 0;
    }

    if (call->size - call->nbody < n) {
        size = call->size ? call->size : 1024;

        while (size - call->nbody < n) {
            size *= 2;
        }

        body = realloc(call->body, size);
        if (body == NULL) {
            return 0;
        }

        call->body = body;
        call->size = size;
    }

    memcpy(call->body + call->nbody, p, n);
    call->nbody += n;

    return n;
}


/* Each line by itself, the status line as well; after it, all begin anew: what
 * came before was "100 Continue" or the like. */
static size_t
take_header(char *p, size_t one, size_t n, void *data)
{
    size_t len = n;
    td_call *call = data;

    (void) one;

    if (n > 5 && memcmp(p, "HTTP/", 5) == 0) {
        call->nheaders = 0;
        call->nhead = 0;
        return n;
    }

    while (len && (p[len - 1] == '\r' || p[len - 1] == '\n')) {
        len--;
    }

    if (memchr(p, ':', len) && call->nheaders < HEADERS_MAX &&
        len <= HEADER_BYTES - call->nhead) {
        memcpy(call->head + call->nhead, p, len);
        call->places[call->nheaders] = call->nhead;
        call->lengths[call->nheaders++] = len;
        call->nhead += len;
    }

    return n;
}


/* libcurl wants "Name: value", and "Name;" where there is no value. */
static int
add_header(td_call *call, tn_str name, tn_str value)
{
    char *line;
    size_t i;
    struct curl_slist *list;

    for (i = 0; i < value.n; i++) {
        if ((unsigned char) value.p[i] < 0x20 && value.p[i] != '\t') {
            return -1; /* it would be another header */
        }
    }

    line = malloc(name.n + value.n + 3);
    if (line == NULL) {
        return -1;
    }

    memcpy(line, name.p, name.n);

    if (value.n) {
        memcpy(line + name.n, ": ", 2);
        memcpy(line + name.n + 2, value.p, value.n);
        line[name.n + 2 + value.n] = '\0';
    } else {
        memcpy(line + name.n, ";", 2);
    }

    list = curl_slist_append(call->headers, line);
    free(line);

    if (list == NULL) {
        return -1;
    }

    call->headers = list;

    return 0;
}


static char *
text(tn_str s)
{
    char *copy = malloc(s.n + 1);

    if (copy) {
        memcpy(copy, s.p ? s.p : "", s.n);
        copy[s.n] = '\0';
    }

    return copy;
}


static int
set_up(td_call *call, const tn_http *want)
{
    int failed;
    unsigned i;
    long ms;
    char *method, *url;
    CURL *easy = call->easy;

    /* No waiting for leave to send a body. */
    call->headers = curl_slist_append(NULL, "Expect:");

    if (call->headers == NULL) {
        return -1;
    }

    for (i = 0; i < want->nheaders; i++) {
        if (add_header(call, want->headers[i].name, want->headers[i].value) !=
            0) {
            return -1;
        }
    }

    ms = want->timeout_ms && want->timeout_ms < TIMEOUT_MAX
             ? (long) want->timeout_ms
             : TIMEOUT_MAX;
    method = text(want->method);
    url = text(want->url);

    failed =
        method == NULL || url == NULL || strlen(url) != want->url.n ||
        curl_easy_setopt(easy, CURLOPT_URL, url) ||
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method) ||
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") ||
        curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) ||
        curl_easy_setopt(easy, CURLOPT_PROXY, "") ||
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) ||
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "tenond/" TN_VERSION) ||
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                         ms < CONNECT_TIMEOUT ? ms : (long) CONNECT_TIMEOUT) ||
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, ms) ||
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers) ||
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error) ||
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body) ||
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, call) ||
        curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header) ||
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, call) ||
        curl_easy_setopt(easy, CURLOPT_PRIVATE, call);

#if LIBCURL_VERSION_NUM >= 0x075700
    /* Else whoever ends a call waits for its thread that asks for the name. */
    failed = failed || curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif

    if (!failed && want->body.p) {
        failed = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                                  (curl_off_t) want->body.n) ||
                 curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, want->body.p);
    }

    free(method);
    free(url);

    return failed ? -1 : 0;
}


int
td_http_submit(td_http *http, const tn_http *want, td_answered *done,
               void *data)
{
    td_call *call;

    call = calloc(1, sizeof(td_call));
    if (call == NULL) {
        return -1;
    }

    call->http = http;
    call->done = done;
    call->data = data;
    call->max = want->answer_max;
    call->head = malloc(HEADER_BYTES);
    call->easy = curl_easy_init();

    if (call->head == NULL || call->easy == NULL || set_up(call, want) != 0 ||
        curl_multi_add_handle(http->multi, call->easy) != CURLM_OK) {
        call_free(call);
        return -1;
    }

    call->next = http->calls;
    http->calls = call;

    return 0;
}


/* "Name: value" in two. */
static void
split(tn_header *out, const char *line, size_t n)
{
    const char *colon = memchr(line, ':', n), *end = line + n;

    out->name = (tn_str){ line, (size_t) (colon - line) };

    for (colon++; colon < end && (*colon == ' ' || *colon == '\t'); colon++) {
        /* blanks in front of the value */
    }

    while (end > colon && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }

    out->value = (tn_str){ colon, (size_t) (end - colon) };
}


static tn_http_fault
fault(const td_call *call, CURLcode code)
{
    curl_off_t connected = 0;

    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return TN_HTTP_NO_ADDRESS;
    case CURLE_COULDNT_CONNECT:
        return TN_HTTP_NO_CONNECTION;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return TN_HTTP_NO_TLS;
    case CURLE_OPERATION_TIMEDOUT:
        return TN_HTTP_TIMEOUT;
    case CURLE_UNSUPPORTED_PROTOCOL:
        /* of our URL, or the answer is no HTTP */
        curl_easy_getinfo(call->easy, CURLINFO_CONNECT_TIME_T, &connected);
        return connected ? TN_HTTP_BROKEN : TN_HTTP_NOT_MADE;
    case CURLE_URL_MALFORMAT:
    case CURLE_OUT_OF_MEMORY:
        return TN_HTTP_NOT_MADE;
    default:
        return call->too_large ? TN_HTTP_TOO_LARGE : TN_HTTP_BROKEN;
    }
}


static void
call_ended(td_call *call, CURLcode code)
{
    long status = 0;
    unsigned i;
    const char *why = NULL;
    tn_header headers[HEADERS_MAX];
    tn_http_answer answer;

    memset(&answer, 0, sizeof(answer));

    if (code == CURLE_OK) {
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);

        for (i = 0; i < call->nheaders; i++) {
            split(&headers[i], call->head + call->places[i], call->lengths[i]);
        }

        answer.status = (unsigned) status;
        answer.headers = headers;
        answer.nheaders = call->nheaders;
        answer.body = (tn_str){ call->body ? call->body : "", call->nbody };

    } else {
        why = call->too_large  ? "the answer is too large"
              : call->error[0] ? call->error
                               : curl_easy_strerror(code);
        answer.fault = fault(call, code);
    }

    call->done(call->data, &answer, why);
    call_free(call);
}


int
td_http_poll(td_http *http, struct pollfd *fds, unsigned n, int ms)
{
    unsigned i;
    CURLMcode rc;
    struct curl_waitfd extra[TD_FDS_MAX];

    for (i = 0; i < n; i++) {
        extra[i].fd = fds[i].fd;
        extra[i].events =
            (short) ((fds[i].events & POLLIN ? CURL_WAIT_POLLIN : 0) |
                     (fds[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0));
        extra[i].revents = 0;
    }

    rc = curl_multi_poll(http->multi, extra, n, ms, NULL);

    for (i = 0; i < n; i++) {
        fds[i].revents =
            (short) ((extra[i].revents & CURL_WAIT_POLLIN ? POLLIN : 0) |
                     (extra[i].revents & CURL_WAIT_POLLOUT ? POLLOUT : 0));
    }

    return rc == CURLM_OK ? 0 : -1;
}


void
td_http_turn(td_http *http)
{
    int running, left;
    CURLMsg *msg;
    char *call;
    CURLcode code;

    if (http->calls == NULL) {
        return;
    }

    curl_multi_perform(http->multi, &running);

    while ((msg = curl_multi_info_read(http->multi, &left)) != NULL) {
        if (msg->msg != CURLMSG_DONE) {
            continue;
        }

        code = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &call);
        call_ended((td_call *) call, code);
    }
}
