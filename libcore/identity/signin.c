/*
 * signin.c: a session begins: what login and a switch to another tenant have
 * in common.
 */

#include "libcore/identity/identity.h"


int
tn__open_session(tn_op *op)
{
    tn__buf ttl;
    tn_str text;

    tn__buf_init(&ttl, op->mem, 24);
    tn__buf_int(&ttl, op->core->conf.session_ttl);

    if (tn__buf_str(&text, &ttl) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return 0;
    }

    op->principal.session = tn__new_id(op);

    tn__local(op, TN_STR("session_id"), op->principal.session);
    tn__local(op, TN_STR("session_ttl"), text);

    return op->phase != TN__PHASE_DONE;
}


static void
member(tn__buf *out, const char *open, tn_str value)
{
    tn__buf_add(out, (tn_str){ open, strlen(open) });
    tn__buf_json(out, value);
}


void
tn__respond_session(tn_op *op, tn_str email, tn_str name, tn_str tenant_name)
{
    tn__buf out;
    tn_str token, json;

    if (tn__token_sign(&token, op,
                       op->request->now / 1000000 + op->core->conf.token_ttl) !=
        TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__buf_init(&out, op->mem, 1024);
    member(&out, "{\"access_token\":", token);
    tn__buf_lit(&out, ",\"token_type\":\"Bearer\",\"expires_in\":");
    tn__buf_int(&out, op->core->conf.token_ttl);
    tn__buf_lit(&out, ",\"refresh_token\":null");
    member(&out, ",\"user\":{\"id\":", op->principal.user);
    member(&out, ",\"email\":", email);
    member(&out, ",\"name\":", name);
    member(&out, "},\"tenant\":{\"id\":", op->tenant.id);
    member(&out, ",\"name\":", tenant_name);
    member(&out, ",\"slug\":", op->tenant.slug);
    tn__buf_lit(&out, "}}");

    if (tn__buf_str(&json, &out) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__respond(op, 200, json);
}
