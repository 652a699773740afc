/*
 * dns.c: TXT records by the system's resolver, or by one that is named.
 */

#include "tenonctl.h"
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX  NS_MAXMSG
#define SECONDS     3 /* for an answer, each of TRIES times */
#define TRIES       2
#define RECORDS_MAX 100 /* of one name; whoever has more tries something */


struct ctl_dns {
    struct __res_state state;
    unsigned char answer[ANSWER_MAX];
};


/* "127.0.0.1:53": an IPv4 address and a port. */
static int
read_address(struct sockaddr_in *out, const char *text)
{
    char *end, host[INET_ADDRSTRLEN];
    unsigned long port;
    const char *colon;

    memset(out, 0, sizeof(*out));
    out->sin_family = AF_INET;
    colon = strrchr(text, ':');

    if (colon == NULL || (size_t) (colon - text) >= sizeof(host)) {
        return -1;
    }

    memcpy(host, text, (size_t) (colon - text));
    host[colon - text] = '\0';
    port = strtoul(colon + 1, &end, 10);

    if (end == colon + 1 || *end || port == 0 || port > 65535 ||
        inet_pton(AF_INET, host, &out->sin_addr) != 1) {
        return -1;
    }

    out->sin_port = htons((uint16_t) port);

    return 0;
}


int
ctl_dns_open(ctl_dns **out, const char *resolver)
{
    ctl_dns *dns;
    struct sockaddr_in address;

    *out = NULL;

    if (resolver && read_address(&address, resolver) != 0) {
        return ctl_error("\"%s\" is no resolver: an IPv4 address and a port, "
                         "as 192.0.2.1:53",
                         resolver);
    }

    dns = calloc(1, sizeof(ctl_dns));
    if (dns == NULL) {
        return ctl_error("out of memory");
    }

    if (res_ninit(&dns->state) != 0) {
        free(dns);
        return ctl_error("the resolver can't be set up: %s", strerror(errno));
    }

    dns->state.retrans = SECONDS;
    dns->state.retry = TRIES;

    if (resolver) {
        dns->state.nscount = 1;
        dns->state.nsaddr_list[0] = address;
    }

    *out = dns;

    return 0;
}


void
ctl_dns_close(ctl_dns *dns)
{
    res_nclose(&dns->state);
    free(dns);
}


/* A record's text is strings of up to 255 bytes, one behind the other. */
static int
is_text(const ns_rr *record, const char *text)
{
    size_t n, length;
    const unsigned char *p, *end;

    p = ns_rr_rdata(*record);
    end = p + ns_rr_rdlen(*record);
    n = strlen(text);

    while (p < end) {
        length = *p++;

        if (length > (size_t) (end - p) || length > n ||
            memcmp(p, text, length) != 0) {
            return 0;
        }

        p += length;
        text += length;
        n -= length;
    }

    return n == 0;
}


static const char *
why_not(int code)
{
    switch (code) {

    case HOST_NOT_FOUND:
        return "there is no such name";

    case NO_DATA:
        return "it has no TXT record";

    case TRY_AGAIN:
        return "no resolver answered";

    default:
        return "the resolver failed";
    }
}


const char *
ctl_dns_has_text(ctl_dns *dns, const char *name, const char *text)
{
    int i, n;
    ns_msg message;
    ns_rr record;

    n = res_nquery(&dns->state, name, ns_c_in, ns_t_txt, dns->answer,
                   ANSWER_MAX);

    if (n < 0) {
        return why_not(dns->state.res_h_errno);
    }

    if (ns_initparse(dns->answer, n > ANSWER_MAX ? ANSWER_MAX : n, &message)) {
        return "the resolver's answer can't be read";
    }

    for (i = 0; i < ns_msg_count(message, ns_s_an) && i < RECORDS_MAX; i++) {
        if (ns_parserr(&message, ns_s_an, i, &record) != 0) {
            return "the resolver's answer can't be read";
        }

        if (ns_rr_type(record) == ns_t_txt && is_text(&record, text)) {
            return NULL;
        }
    }

    return "none of its TXT records holds the challenge";
}
