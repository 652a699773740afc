/*
 * cookie.c: sessions of browsers: the cookie, and who may send it along.
 *
 * A browser adds its cookies to whatever any page has it send. SameSite=Lax
 * leaves them out of most of what other sites begin; the rest is refused here
 * where it would change something:
 *
 *   GET, HEAD             pass: they change nothing
 *   Sec-Fetch-Site        same-origin and none pass; same-site and cross-site
 *                         don't: another tenant's pages are of the same site
 *   else Origin           passes where it is the host that was asked
 *   neither               passes: it is no browser of these ten years
 *
 * A login that asks for a cookie is held to the same, or a page could sign its
 * visitor in as somebody else.
 */

#include "libcore/token/token.h"
#include "gen/queries.h"


int
tn__cookie_mode(const tn_op *op)
{
    /* who came by a cookie goes on by one: a script must not make tokens of
     * what it can't read */
    return op->principal.cookie || tn__eq(op->session_header, TN_STR("cookie"));
}


tn_err
tn__cookie_verify(tn__claims *out, const tn_op *op, tn_str text)
{
    return tn__secret_open(out, op->core, TN__SECRET_COOKIE, text);
}


tn_err
tn__cookie_set(tn_op *op)
{
    tn_err err;
    tn__buf buf;
    tn_str secret, value;

    secret = TN_STR("");

    if (op->principal.lasts) {
        err = tn__secret_make(&secret, op, TN__SECRET_COOKIE);
        if (err != TN_OK) {
            return err;
        }
    }

    tn__buf_init(&buf, op->mem, 192);
    tn__buf_lit(&buf, TN__COOKIE "=");
    tn__buf_add(&buf, secret);
    tn__buf_lit(&buf, "; Secure; HttpOnly; SameSite=Lax; Path=/; Max-Age=");
    tn__buf_int(&buf, op->principal.lasts);

    err = tn__buf_str(&value, &buf);

    if (err == TN_OK) {
        tn__header(op, TN_STR("Set-Cookie"), value);
    }

    return err;
}


/* "https://" or "http://", and then host and port as the request has them. Over
 * TLS a page of the unencrypted host is another's: anybody on the way could
 * have written it. Without TLS here, a proxy in front may have had it. */
static int
own_origin(const tn_op *op)
{
    tn_str origin;

    origin = op->origin;

    if (tn__starts(origin, TN_STR("https://"))) {
        origin = tn__sub(origin, 8, origin.n);

    } else if (tn__starts(origin, TN_STR("http://")) && !op->request->tls) {
        origin = tn__sub(origin, 7, origin.n);

    } else {
        return 0;
    }

    return op->host_header.n && tn__eqi(origin, op->host_header);
}


static int
own_page(const tn_op *op)
{
    if (op->fetch_site.p) {
        return tn__eq(op->fetch_site, TN_STR("same-origin")) ||
               tn__eq(op->fetch_site, TN_STR("none"));
    }

    return op->origin.p == NULL || own_origin(op);
}


int
tn__cookie_admitted(tn_op *op)
{
    if (tn__eq(op->endpoint->method, TN_STR("GET")) || !tn__cookie_mode(op) ||
        own_page(op)) {
        return 1;
    }

    if (op->principal.user.p == NULL) {
        op->stranger.action = TN_STR("auth.csrf_refused");
    }

    tn__fail(op, TN_E_CSRF_REFUSED, NULL);

    return 0;
}


void
tn__session_rotate(tn_op *op)
{
    if (op->principal.cookie) {
        tn__local_int(op, TN_STR("presented_generation"),
                      op->principal.generation);
        tn__batch_add(op, &tn__q_session_rotate);
    }
}


void
tn__session_rotated(tn_op *op, const tn_input *input, unsigned i)
{
    const tn_rows *rows;

    if (!op->principal.cookie) {
        return;
    }

    rows = tn__rows(op, input, i);

    if (rows == NULL || rows->nrows == 0) {
        return; /* it has ended meanwhile */
    }

    if (!tn__int_parse(&op->principal.generation, tn__cell(rows, 0, 0)) ||
        !tn__int_parse(&op->principal.lasts, tn__cell(rows, 0, 1)) ||
        tn__cookie_set(op) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
    }
}
