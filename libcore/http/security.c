/*
 * security.c: headers that every answer has, whatever it is: what is JSON is
 * never taken for a page, a script or an image, and nothing says whence it was
 * asked for. (OWASP REST Security Cheat Sheet; Fetch standard.)
 */

#include "libcore/http/http.h"


/* Pages read answers through CORS, which Cross-Origin-Resource-Policy leaves
 * alone: it is about loads without. "same-site" would let one tenant's host
 * load another's. */
static const tn_header headers[] = { TN__SECURITY_HEADERS };

_Static_assert(sizeof(headers) / sizeof(headers[0]) == TN__NSECURITY_HEADERS,
               "as many as are said");


void
tn__security(tn_op *op)
{
    if (op->response.nheaders + TN__NSECURITY_HEADERS > TN__HEADERS_MAX) {
        tn__log(op, TN_STR("a response has no room for security headers"));
        return;
    }

    memcpy(&op->headers[op->response.nheaders], headers, sizeof(headers));
    op->response.nheaders += TN__NSECURITY_HEADERS;
}
