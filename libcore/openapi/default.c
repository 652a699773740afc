/*
 * default.c: a column's default as JSON, where it is a plain literal as
 * PostgreSQL prints one: 'medium'::text, 0, '-1'::integer, false. What is
 * computed is known when a row is made, not before.
 */

#include "libcore/openapi/doc.h"


/* 'it''s'::text → it's; 0 when it is anything else than a quoted text with at
 * most a cast behind it. One with a length would cut it. */
static int
unquote(tn__buf *buf, tn_str sql)
{
    size_t i;

    for (i = 1; i < sql.n; i++) {
        if (sql.p[i] == '\'') {
            if (i + 1 == sql.n || sql.p[i + 1] != '\'') {
                break;
            }
            i++;
        }

        tn__buf_char(buf, sql.p[i]);
    }

    if (sql.n == 0 || sql.p[0] != '\'' || i >= sql.n) {
        return 0;
    }

    sql = tn__sub(sql, i + 1, sql.n);

    if (sql.n && !tn__starts(sql, TN_STR("::"))) {
        return 0;
    }

    for (i = 2; i < sql.n; i++) {
        if (!((sql.p[i] >= 'a' && sql.p[i] <= 'z') || sql.p[i] == ' ')) {
            return 0;
        }
    }

    return 1;
}


static size_t
digits(tn_str s)
{
    size_t i;

    for (i = 0; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
    }

    return i;
}


/* A number as JSON writes it, without an exponent. */
static int
is_number(tn_str s)
{
    size_t n;

    s = s.n && s.p[0] == '-' ? tn__sub(s, 1, s.n) : s;
    n = digits(s);

    if (n == 0 || (n > 1 && s.p[0] == '0')) {
        return 0;
    }

    if (n == s.n) {
        return 1;
    }

    s = tn__sub(s, n, s.n);

    return s.p[0] == '.' && s.n > 1 && digits(tn__sub(s, 1, s.n)) == s.n - 1;
}


static int
number(const tn__field *field, tn_str text)
{
    int64_t n;

    if (field->type == TN__TYPE_INT) {
        return is_number(text) && tn__int_parse(&n, text) &&
               n <= TN__DOC_INT_MAX && n >= -TN__DOC_INT_MAX;
    }

    return is_number(text);
}


int
tn__doc_default(tn_str *json, tn__doc *doc, const tn__field *field)
{
    int quoted;
    tn__buf buf;
    tn_str sql, text;

    sql = field->default_sql;
    tn__buf_init(&buf, &doc->lent, 32);
    quoted = unquote(&buf, sql);
    text = quoted ? tn__doc_buf(doc, &buf) : sql;

    switch (field->type) {

    case TN__TYPE_TEXT:
        tn__buf_init(&buf, &doc->lent, 32);
        tn__buf_json(&buf, text);
        *json = tn__doc_buf(doc, &buf);
        return quoted;

    case TN__TYPE_INT:
    case TN__TYPE_NUMBER:
        *json = text;
        return number(field, text);

    case TN__TYPE_BOOL:
        *json = text;
        return tn__eq(text, TN_STR("true")) || tn__eq(text, TN_STR("false"));

    default:
        return 0;
    }
}
