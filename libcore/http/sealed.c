/*
 * sealed.c: text kept encrypted (base/seal.c), as a request meets it.
 */

#include "libcore/http/http.h"


tn_err
tn__seal(tn_str *out, tn_op *op, const tn_place *place, tn_str text)
{
    tn_err err;
    unsigned char nonce[TN_NONCE_LEN];

    tn__rng_bytes(&op->rng, nonce, sizeof(nonce));
    err = tn_text_seal(out, op->core, place, text, nonce, op->mem);

    if (err != TN_OK) {
        if (err != TN_E_NOMEM) {
            tn__log(op, TN_STR("there is no key to encrypt with: "
                               "tenon_encryption_key names none"));
        }

        tn__fail(op, err, NULL);
    }

    return err;
}


/* "clinic.patient.phone of 0190…: no encryption key Ab3dEf": what an operator
 * needs, and nothing of the text. */
static void
log_unreadable(tn_op *op, const tn_place *place, tn_str sealed)
{
    tn__buf buf;
    tn_str line, key;

    key = tn_text_key(sealed);
    tn__buf_init(&buf, op->mem, 128);
    tn__buf_add(&buf, place->relation);
    tn__buf_char(&buf, '.');
    tn__buf_add(&buf, place->column);
    tn__buf_lit(&buf, " of ");
    tn__buf_add(&buf, place->id);

    if (key.p && tn__keyring_find(&op->core->keyring, key) == NULL) {
        tn__buf_lit(&buf, " can't be decrypted: there is no encryption key ");
        tn__buf_uri(&buf, key);
    } else {
        tn__buf_lit(&buf, " can't be decrypted: it is damaged, or was "
                          "encrypted for another place");
    }

    if (tn__buf_str(&line, &buf) == TN_OK) {
        tn__log(op, line);
    }
}


tn_err
tn__unseal(tn_str *out, tn_op *op, const tn_place *place, tn_str sealed)
{
    tn_err err;

    err = tn_text_unseal(out, op->core, place, sealed, op->mem);

    if (err != TN_OK) {
        if (err != TN_E_NOMEM) {
            log_unreadable(op, place, sealed);
        }

        tn__fail(op, err, NULL);
    }

    return err;
}


/* ---- fields of a resource ---- */

int
tn__seal_fields(tn_op *op)
{
    unsigned i;
    tn_place place;
    const tn__field *field;
    const tn__resource *resource;

    resource = op->endpoint->resource;

    if (!resource->encrypted) {
        return 1;
    }

    place.scope = op->tenant.id;
    place.relation = resource->full_name;
    place.id = op->path_id;

    for (i = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];
        place.column = field->name;

        if (field->encrypted && (op->mask & ((uint64_t) 1 << i)) &&
            op->values[i].p &&
            tn__seal(&op->values[i], op, &place, op->values[i]) != TN_OK) {
            return 0;
        }
    }

    return 1;
}


tn_err
tn__keyring_ids(tn_str *out, tn_op *op)
{
    unsigned i;
    tn__buf buf;
    const tn__keyring *ring;

    ring = &op->core->keyring;
    tn__buf_init(&buf, op->mem, 16 * TN_RING_KEYS_MAX);

    for (i = 0; i < ring->n; i++) {
        tn__buf_char(&buf, i ? ',' : '{');
        tn__buf_add(&buf, (tn_str){ ring->keys[i].id, TN_ENCRYPTION_ID_LEN });
    }

    tn__buf_add(&buf, ring->n ? TN_STR("}") : TN_STR("{}"));

    return tn__buf_str(out, &buf);
}


/* ---- images of rows in events ---- */

/* Whether this is text of a field that isn't encrypted, which may look like
 * anything. Of an app that is no longer served nothing is certain. */
static int
is_plain(const tn_op *op, const tn_place *place)
{
    unsigned i;
    const tn__field *field;
    const tn__resource *resource;

    for (i = 0; i < op->catalogue->nresources; i++) {
        resource = op->catalogue->resources[i];

        if (tn__eq(resource->full_name, place->relation)) {
            field = tn__field_find(resource->fields, resource->nfields,
                                   place->column);
            return field && !field->encrypted;
        }
    }

    return tn__starts(place->relation, TN_STR("tenon."));
}


/* An event can't be encrypted anew, so its key may have been taken away: null
 * then, like what was erased. */
static tn_err
unseal_value(tn__buf *out, tn_op *op, const tn_place *place, tn_str sealed)
{
    tn_err err;
    tn_str text;

    err = tn_text_unseal(&text, op->core, place, sealed, op->mem);

    if (err == TN_OK) {
        tn__buf_json(out, text);

    } else if (err == TN_E_NOMEM) {
        return err;

    } else if (is_plain(op, place)) {
        tn__buf_quote(out, sealed);

    } else {
        log_unreadable(op, place, sealed);
        tn__buf_lit(out, "null");
    }

    return TN_OK;
}


/* The end of the string that begins behind the quote at i, which is valid. */
static size_t
string_end(tn_str json, size_t i)
{
    for (i++; i < json.n && json.p[i] != '"'; i++) {
        i += json.p[i] == '\\';
    }

    return i;
}


/* An object's own members that are sealed, replaced. Byte by byte, as a tree
 * would round its numbers. */
static tn_err
unseal_image(tn_str *out, tn_op *op, tn_place *place, tn_str json)
{
    tn_err err;
    tn__buf buf;
    tn_str text;
    size_t i, end, start;
    int depth, name;

    err = TN_OK;
    depth = 0;
    name = 0;
    tn__buf_init(&buf, op->mem, json.n + 1);

    for (i = start = 0; err == TN_OK && i < json.n; i++) {
        switch (json.p[i]) {

        case '{':
        case '[':
            name = json.p[i] == '{' && depth == 0;
            depth++;
            continue;

        case '}':
        case ']':
            depth--;
            continue;

        case ',':
            name = depth == 1;
            continue;

        case ':':
            name = 0;
            continue;

        case '"':
            break;

        default:
            continue;
        }

        end = string_end(json, i);
        text = tn__sub(json, i + 1, end);

        if (name) {
            place->column = text;

        } else if (depth == 1 && tn__text_sealed(text)) {
            tn__buf_add(&buf, tn__sub(json, start, i));
            err = unseal_value(&buf, op, place, text);
            start = end + 1;
        }

        i = end;
    }

    tn__buf_add(&buf, tn__sub(json, start, json.n));

    return err == TN_OK ? tn__buf_str(out, &buf) : err;
}


static int
holds_sealed(tn_str json)
{
    return json.n && memmem(json.p, json.n, "\"tn1.", 5) != NULL;
}


static const tn_str *
unseal_event(tn_op *op, const tn__resource *events, const tn_str *cells)
{
    tn_err err;
    tn_str *out;
    tn_place place;
    unsigned n, before, after;

    n = events->nfields;

#define AT(name)                                                   \
    ((unsigned) (tn__field_find(events->fields, n, TN_STR(name)) - \
                 events->fields))

    before = AT("before");
    after = AT("after");

    if (!holds_sealed(cells[before]) && !holds_sealed(cells[after])) {
        return cells;
    }

    place.scope = op->tenant.id;
    place.relation = cells[AT("resource")];
    place.column = TN_NULL;
    place.id = cells[AT("resource_id")];

#undef AT

    err = TN_E_NOMEM;
    out = tn__alloc(op->mem, n * sizeof(tn_str));

    if (out) {
        memcpy(out, cells, n * sizeof(tn_str));
        err = TN_OK;
    }

    if (err == TN_OK && cells[before].p) {
        err = unseal_image(&out[before], op, &place, cells[before]);
    }

    if (err == TN_OK && cells[after].p) {
        err = unseal_image(&out[after], op, &place, cells[after]);
    }

    if (err != TN_OK) {
        tn__fail(op, err, NULL);
        return NULL;
    }

    return out;
}


/* ---- rows ---- */

/* Null where it can't be read: one row takes no list along, nor the answer to
 * what was done. Whoever asks for it alone is told that the server is at fault. */
static tn_err
unseal_cell(tn_str *out, tn_op *op, const tn_place *place, tn_str sealed)
{
    tn_err err;

    err = tn_text_unseal(out, op->core, place, sealed, op->mem);

    if (err == TN_OK || err == TN_E_NOMEM) {
        return err;
    }

    log_unreadable(op, place, sealed);
    *out = TN_NULL;

    return op->endpoint->kind == TN__KIND_READ ? err : TN_OK;
}


const tn_str *
tn__unseal_row(tn_op *op, const tn__resource *resource, const tn_str *cells)
{
    unsigned i;
    tn_err err;
    tn_str *out;
    tn_place place;
    const tn__field *field;

    if (!resource->encrypted) {
        return cells;
    }

    if (tn__eq(resource->full_name, tn__event_resource.full_name)) {
        return unseal_event(op, resource, cells);
    }

    out = tn__alloc(op->mem, resource->nfields * sizeof(tn_str));
    if (out == NULL) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return NULL;
    }

    memcpy(out, cells, resource->nfields * sizeof(tn_str));
    field = tn__field_find(resource->fields, resource->nfields, TN_STR("id"));
    place.scope = op->tenant.id;
    place.relation = resource->full_name;
    place.id = cells[field - resource->fields];

    for (i = 0; i < resource->nfields; i++) {
        field = &resource->fields[i];
        place.column = field->name;

        if (!field->encrypted || cells[i].p == NULL ||
            (op->hidden & ((uint64_t) 1 << i))) {
            continue;
        }

        err = unseal_cell(&out[i], op, &place, cells[i]);

        if (err != TN_OK) {
            tn__fail(op, err, NULL);
            return NULL;
        }
    }

    return out;
}
