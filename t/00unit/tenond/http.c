/*
 * http.c: requests to other people's servers: what is sent, what comes back of
 * good and bad answers. The server is a process of the test's own on loopback.
 */

#include "t/00unit/unit.h"
#include "tenond/http.c"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct server {
    pid_t pid;
    int asked; /* what it was asked comes out here */
    char url[64];
} server;

typedef struct told {
    int n; /* answers */
    unsigned status;
    unsigned nheaders;
    char type[64]; /* of header X-Kind */
    char body[256];
    tn_http_fault fault;
    char error[256];
} told;


/* One connection: reads a request to the end of its head, and of its body if
 * it has one of ten bytes; answers. */
static void
serve_one(int in, int asked, const char *answer)
{
    char buf[4096];
    size_t n = 0;
    ssize_t got;
    const char *end;

    do {
        got = read(in, buf + n, sizeof(buf) - 1 - n);
        n += got > 0 ? (size_t) got : 0;
        buf[n] = '\0';
        end = strstr(buf, "\r\n\r\n");
    } while (got > 0 && buf[0] != 0x16 && /* or what TLS begins with */
             (end == NULL || (strstr(buf, "Content-Length: 10") &&
                              n < (size_t) (end - buf) + 14)));

    if (write(asked, buf, n) < 0 || answer == NULL ||
        write(in, answer, strlen(answer)) < 0) {
        pause(); /* until killed: it never answers */
    }

    close(in);
}


/* A server that gives this answer to each; NULL: none. */
static void
serve(server *s, const char *answer)
{
    int fd, in, asked[2];
    socklen_t len = sizeof(struct sockaddr_in);
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };

    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &at, len), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &at, &len), 0);
    assert_int_equal(pipe(asked), 0);
    snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u/v1/x?y=1",
             ntohs(at.sin_port));

    s->pid = fork();
    assert_true(s->pid >= 0);

    if (s->pid == 0) {
        alarm(60);
        while ((in = accept(fd, NULL, NULL)) >= 0) {
            serve_one(in, asked[1], answer);
        }
        _exit(0);
    }

    close(fd);
    close(asked[1]);
    s->asked = asked[0];
}


static void
end(server *s)
{
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    close(s->asked);
}


static void
keep(char *out, size_t size, tn_str s)
{
    snprintf(out, size, "%.*s", (int) s.n, s.p ? s.p : "");
}


static void
answered(void *data, const tn_http_answer *answer, const char *why)
{
    told *t = data;
    unsigned i;

    t->n++;
    t->status = answer->status;
    t->nheaders = answer->nheaders;
    keep(t->body, sizeof(t->body), answer->body);
    t->fault = answer->fault;
    keep(t->error, sizeof(t->error), unit_str(why ? why : ""));

    for (i = 0; i < answer->nheaders; i++) {
        if (answer->headers[i].name.n == 6 &&
            memcmp(answer->headers[i].name.p, "X-Kind", 6) == 0) {
            keep(t->type, sizeof(t->type), answer->headers[i].value);
        }
    }
}


static void
wait_for(td_http *http, told *t)
{
    time_t until = time(NULL) + 30;

    while (t->n == 0) {
        assert_true(time(NULL) < until);
        assert_int_equal(td_http_poll(http, NULL, 0, 100), 0);
        td_http_turn(http);
    }

    assert_int_equal(t->n, 1);
    assert_null(http->calls);
}


/* Asks for a GET of url, and waits for what comes of it. */
static void
get(told *t, const char *url, uint32_t timeout, size_t most)
{
    td_http http;
    tn_http want = { .method = TN_STR("GET"),
                     .url = unit_str(url),
                     .timeout_ms = timeout,
                     .answer_max = most };

    memset(t, 0, sizeof(told));
    assert_int_equal(td_http_init(&http), 0);
    assert_int_equal(td_http_submit(&http, &want, answered, t), 0);
    wait_for(&http, t);
    td_http_free(&http);
}


static void
test_asks(void **state)
{
    ssize_t n;
    server s;
    td_http http;
    told t = { 0 };
    char asked[4096];
    tn_header headers[] = {
        { TN_STR("Idempotency-Key"), TN_STR("a b") },
        { TN_STR("Content-Type"), TN_STR("text/x") },
        { TN_STR("X-Empty"), TN_STR("") },
    };
    tn_http want = { .method = TN_STR("POST"),
                     .headers = headers,
                     .nheaders = 3,
                     .body = TN_STR("0123\0 6789"),
                     .answer_max = 100 };

    (void) state;

    serve(&s, "HTTP/1.1 201 Created\r\nX-Kind:  made here \r\n"
              "Content-Length: 5\r\n\r\nhello");
    want.url = unit_str(s.url);
    assert_int_equal(td_http_init(&http), 0);
    assert_int_equal(td_http_submit(&http, &want, answered, &t), 0);
    assert_int_equal(t.n, 0); /* never from within */
    wait_for(&http, &t);

    assert_int_equal(t.status, 201);
    assert_string_equal(t.body, "hello");
    assert_string_equal(t.type, "made here");
    assert_string_equal(t.error, "");

    n = read(s.asked, asked, sizeof(asked) - 1);
    assert_true(n > 10);
    asked[n] = '\0';
    assert_memory_equal(asked, "POST /v1/x?y=1 HTTP/1.1\r\n", 25);
    assert_non_null(strstr(asked, "\r\nIdempotency-Key: a b\r\n"));
    assert_non_null(strstr(asked, "\r\nContent-Type: text/x\r\n"));
    assert_non_null(strstr(asked, "\r\nX-Empty:\r\n"));
    assert_non_null(strstr(asked, "\r\nUser-Agent: tenond/"));
    assert_null(strstr(asked, "Expect"));
    assert_memory_equal(asked + n - 10, "0123\0 6789", 10);

    end(&s);
    td_http_free(&http);
}


static void
test_answers(void **state)
{
    server s;
    told t;
    char many[8192];
    size_t n;
    int i;

    (void) state;

    serve(&s, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
              "Content-Length: 0\r\n\r\n");
    get(&t, s.url, 5000, 100);
    assert_int_equal(t.status, 302);
    end(&s);

    serve(&s, "HTTP/1.1 103 Early Hints\r\nX-Kind: early\r\n\r\n"
              "HTTP/1.1 500 No\r\nX-Other: x\r\nContent-Length: 0\r\n\r\n");
    get(&t, s.url, 5000, 100);
    assert_int_equal(t.status, 500);
    assert_int_equal(t.nheaders, 2);
    assert_string_equal(t.type, "");
    end(&s);

    serve(&s, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    get(&t, s.url, 5000, 5);
    assert_int_equal(t.status, 200);
    get(&t, s.url, 5000, 4);
    assert_int_equal(t.status, 0);
    assert_string_equal(t.error, "the answer is too large");
    assert_int_equal(t.fault, TN_HTTP_TOO_LARGE);
    end(&s);

    serve(&s, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ncut");
    get(&t, s.url, 5000, 100);
    assert_int_equal(t.status, 0);
    assert_int_equal(t.fault, TN_HTTP_BROKEN);
    assert_true(t.error[0]);
    end(&s);

    serve(&s, "no HTTP at all\r\n\r\n");
    get(&t, s.url, 5000, 100);
    assert_int_equal(t.status, 0);
    assert_int_equal(t.fault, TN_HTTP_BROKEN);

    /* nor TLS */
    snprintf(many, sizeof(many), "https%s", s.url + 4);
    get(&t, many, 5000, 100);
    assert_int_equal(t.status, 0);
    assert_int_equal(t.fault, TN_HTTP_NO_TLS);
    end(&s);

    n = (size_t) snprintf(many, sizeof(many), "HTTP/1.1 200 OK\r\n");
    for (i = 0; i < 100; i++) {
        n +=
            (size_t) snprintf(many + n, sizeof(many) - n, "X-%d: %d\r\n", i, i);
    }
    snprintf(many + n, sizeof(many) - n, "Content-Length: 0\r\n\r\n");
    serve(&s, many);
    get(&t, s.url, 5000, 100);
    assert_int_equal(t.status, 200);
    assert_int_equal(t.nheaders, HEADERS_MAX);
    end(&s);
}


static void
test_no_answer(void **state)
{
    server s;
    told t;
    td_http http;
    tn_http want = { .method = TN_STR("GET"), .answer_max = 10 };

    (void) state;

    /* nobody listens */
    get(&t, "http://127.0.0.1:1/", 5000, 100);
    assert_int_equal(t.status, 0);
    assert_int_equal(t.fault, TN_HTTP_NO_CONNECTION);
    assert_true(t.error[0]);

    /* nobody answers */
    serve(&s, NULL);
    get(&t, s.url, 200, 100);
    assert_int_equal(t.status, 0);
    assert_int_equal(t.fault, TN_HTTP_TIMEOUT);
    assert_non_null(strstr(t.error, "timed out"));

    /* nor is it waited for at the end */
    memset(&t, 0, sizeof(t));
    want.url = unit_str(s.url);
    assert_int_equal(td_http_init(&http), 0);
    assert_int_equal(td_http_submit(&http, &want, answered, &t), 0);
    td_http_turn(&http);
    td_http_free(&http);
    assert_int_equal(t.n, 0);
    end(&s);

    /* not what a server is asked by */
    get(&t, "file:///etc/hostname", 5000, 100);
    assert_int_equal(t.status, 0);
    assert_int_equal(t.fault, TN_HTTP_NOT_MADE);
    get(&t, "gopher://127.0.0.1:1/", 5000, 100);
    assert_int_equal(t.status, 0);
    assert_int_equal(t.fault, TN_HTTP_NOT_MADE);
}


/* libcurl's thread asks for a name, and no name server answers: not before the
 * test says so, but in the end. */
static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int asked_names;
static int answered_names;
static int name_servers;


int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
            struct addrinfo **res)
{
    struct timespec until;

    (void) name;
    (void) service;
    (void) hints;
    *res = NULL;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;

    pthread_mutex_lock(&asking);
    asked_names++;
    while (!name_servers &&
           pthread_cond_timedwait(&changed, &asking, &until) == 0) {
        /* again */
    }
    answered_names++;
    pthread_mutex_unlock(&asking);

    return EAI_AGAIN;
}


static int
names(const int *which)
{
    int n;

    pthread_mutex_lock(&asking);
    n = *which;
    pthread_mutex_unlock(&asking);

    return n;
}


/* The loop goes on: neither a call that ends nor the end of all waits for the
 * name servers. */
static void
test_no_name_server(void **state)
{
    told t;
    td_http http;
    time_t until = time(NULL) + 30;
    tn_http want = { .method = TN_STR("GET"),
                     .url = TN_STR("http://provider.test/"),
                     .answer_max = 10 };

    (void) state;

    get(&t, "http://provider.test/", 200, 100);
    assert_int_equal(t.status, 0);
    assert_int_equal(names(&asked_names), 1);
    assert_int_equal(names(&answered_names), 0);

    memset(&t, 0, sizeof(t));
    assert_int_equal(td_http_init(&http), 0);
    assert_int_equal(td_http_submit(&http, &want, answered, &t), 0);

    while (names(&asked_names) < 2 && time(NULL) < until) {
        assert_int_equal(td_http_poll(&http, NULL, 0, 10), 0);
        td_http_turn(&http);
    }

    td_http_free(&http);
    assert_int_equal(t.n, 0);
    assert_int_equal(names(&asked_names), 2);
    assert_int_equal(names(&answered_names), 0);

    pthread_mutex_lock(&asking);
    name_servers = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&asking);

    while (names(&answered_names) < 2 && time(NULL) < until) {
        usleep(1000);
    }

    /* They answer that there is no such name. */
    get(&t, "http://provider.test/", 5000, 100);
    assert_int_equal(t.status, 0);
    assert_int_equal(t.fault, TN_HTTP_NO_ADDRESS);

    usleep(100000); /* its threads clean up behind themselves */
}


static void
test_refuses(void **state)
{
    size_t i;
    td_http http;
    told t = { 0 };
    static const char *const values[] = { "a\nX: y", "a\r", "\x01" };
    tn_header header = { TN_STR("X-A"), TN_NULL };
    tn_http want = { .method = TN_STR("GET"),
                     .url = TN_STR("http://127.0.0.1:1/"),
                     .headers = &header,
                     .nheaders = 1 };

    (void) state;

    assert_int_equal(td_http_init(&http), 0);

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        header.value = unit_str(values[i]);
        assert_int_equal(td_http_submit(&http, &want, answered, &t), -1);
    }

    header.value = TN_STR("good");
    want.url = TN_STR("http://127.0.0.1:1/\0x");
    assert_int_equal(td_http_submit(&http, &want, answered, &t), -1);
    assert_null(http.calls);
    assert_int_equal(t.n, 0);
    td_http_free(&http);
}


UNIT_MAIN(cmocka_unit_test(test_asks), cmocka_unit_test(test_answers),
          cmocka_unit_test(test_no_answer),
          cmocka_unit_test(test_no_name_server), cmocka_unit_test(test_refuses))
