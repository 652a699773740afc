/*
 * example.c: examples out of field rows. An example is one that the schema
 * takes; where none can be made, as of a pattern that has no example in its
 * row, there is none.
 */

#include "libcore/openapi/doc.h"


/* "created_at" → "Created at", as long as the bounds want it. */
static void
phrase(tn__buf *buf, const tn__field *field)
{
    int64_t i, n;
    char c;
    tn_str text;
    tn__buf out;

    n = (int64_t) field->name.n;

    if (field->has_max && n > field->max) {
        n = field->max;
    }

    if (field->has_min && n < field->min) {
        n = field->min;
    }

    tn__buf_init(&out, buf->mem, 64);

    for (i = 0; i < n && out.err == TN_OK; i++) {
        c = i < (int64_t) field->name.n ? field->name.p[i] : 'x';

        if (c == '_') {
            c = ' ';
        } else if (i == 0 && c >= 'a' && c <= 'z') {
            c = (char) (c - 32);
        }

        tn__buf_char(&out, c);
    }

    if (tn__buf_str(&text, &out) != TN_OK) {
        buf->err = out.err;
        return;
    }

    tn__buf_json(buf, text);
}


/* Ids of one example differ by their place in it. */
static void
uuid(tn__buf *buf, unsigned place)
{
    static const char digits[] = "0123456789abcdef";

    tn__buf_lit(buf, "\"01890a5d-ac96-774b-bcce-b302099a80");
    tn__buf_char(buf, digits[place / 16 % 16]);
    tn__buf_char(buf, digits[place % 16]);
    tn__buf_char(buf, '"');
}


static int64_t
within(const tn__field *field, int64_t n)
{
    if (field->has_max && n > field->max) {
        n = field->max;
    }

    return field->has_min && n < field->min ? field->min : n;
}


static int
value(tn__buf *buf, const tn__field *field, tn__use use, unsigned place);


/* Of an array of values. */
static int
element(tn__buf *buf, const tn__field *field, tn__use use, unsigned place)
{
    if (field->example.p) {
        tn__buf_add(buf, field->example);
        return 1;
    }

    return value(buf, field, use, place);
}


static int
value(tn__buf *buf, const tn__field *field, tn__use use, unsigned place)
{
    switch (field->type) {

    case TN__TYPE_TEXT:
        if (field->nset) {
            tn__buf_json(buf, field->set[0]);
            return 1;
        }
        if (field->pattern && use != TN__USE_OUTPUT) {
            return 0;
        }
        phrase(buf, field);
        return 1;

    case TN__TYPE_UUID:
        uuid(buf, place);
        return 1;

    case TN__TYPE_TIME:
        tn__buf_lit(buf, "\"2026-01-31T09:30:00.000000Z\"");
        return 1;

    case TN__TYPE_DATE:
        tn__buf_lit(buf, "\"2026-01-31\"");
        return 1;

    case TN__TYPE_INT:
    case TN__TYPE_NUMBER:
        tn__buf_int(buf, within(field, 1));
        return 1;

    case TN__TYPE_BOOL:
        tn__buf_lit(buf, "false");
        return 1;

    case TN__TYPE_JSON:
    case TN__TYPE_OBJECT:
        break;
    }

    if (field->nfields == 0) {
        tn__buf_lit(buf, "{}");
        return 1;
    }

    tn__buf_add(buf, field->array ? TN_STR("[") : TN_STR(""));

    if (!(tn__field_is_list(field)
              ? element(buf, &field->fields[0], use, place)
              : tn__doc_example(buf, field->fields, field->nfields,
                                field->array && use == TN__USE_UPDATE
                                    ? TN__USE_CREATE
                                    : use))) {
        return 0;
    }

    tn__buf_add(buf, field->array ? TN_STR("]") : TN_STR(""));

    return 1;
}


int
tn__doc_example(tn__buf *buf, const tn__field *fields, unsigned n, tn__use use)
{
    int first;
    unsigned i;
    size_t start;

    first = 1;
    tn__buf_char(buf, '{');

    for (i = 0; i < n; i++) {
        if (!tn__doc_shown(&fields[i], use)) {
            continue;
        }

        start = buf->n;
        tn__buf_add(buf, first ? TN_STR("") : TN_STR(","));
        tn__buf_json(buf, fields[i].name);
        tn__buf_char(buf, ':');

        if (fields[i].example.p) {
            tn__buf_add(buf, fields[i].example);

        } else if (!value(buf, &fields[i], use, i)) {
            if (fields[i].required && use == TN__USE_CREATE) {
                return 0;
            }

            buf->n = start; /* it need not be there */
            continue;
        }

        first = 0;
    }

    tn__buf_char(buf, '}');

    return 1;
}
