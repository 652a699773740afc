/*
 * binary.c: rows that a statement asked for in the server's own form
 * (tn_stmt.binary), as the text that everything else knows. Writing text is a
 * fifth of what a list costs the server, and reading it back is more work than
 * reading eight bytes.
 */

#include "pg.h"
#include "libcore/base/base.h"

#include <stdint.h>

#define INT_TEXT 20 /* -9223372036854775808 */

#define EPOCH_US INT64_C(946684800000000) /* 2000-01-01, where times begin */
#define DATE_MIN (-730119)                /* 0001-01-01 in days from there */
#define DATE_MAX 2921939                  /* 9999-12-31 */
#define DAY_US   INT64_C(86400000000)


/* Oids are the server's src/include/catalog/pg_type.dat; these never change. */
static const struct {
    Oid oid;
    tn__pg_form form;
    unsigned char size;  /* in bytes, as sent; 0: any */
    unsigned char space; /* that its text takes, beyond what was sent */
} types[] = {
    { 16, TN__PG_FORM_BOOL, 1, 1 },
    { 20, TN__PG_FORM_INT, 8, INT_TEXT },
    { 21, TN__PG_FORM_INT, 2, INT_TEXT },
    { 23, TN__PG_FORM_INT, 4, INT_TEXT },
    { 25, TN__PG_FORM_TEXT, 0, 0 },
    { 114, TN__PG_FORM_TEXT, 0, 0 },
    { 1043, TN__PG_FORM_TEXT, 0, 0 },
    { 1082, TN__PG_FORM_DATE, 4, TN__TIME_TEXT },
    { 1184, TN__PG_FORM_TIME, 8, TN__TIME_TEXT },
    { 2950, TN__PG_FORM_UUID, 16, TN__UUID_TEXT },
    { 3802, TN__PG_FORM_JSONB, 0, 0 },
};


/* Which row of `types`; -1 when none fits. */
static int
type_of(const PGresult *res, int col)
{
    size_t i;
    Oid oid;

    oid = PQftype(res, col);

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (types[i].oid == oid) {
            return (int) i;
        }
    }

    return -1;
}


int
tn__pg_binary_space(size_t *space, tn__pg_column *columns, const PGresult *res)
{
    int col, type;
    size_t row;

    row = 0;

    if (PQnfields(res) > TN__PG_COLUMNS_MAX) {
        return 0;
    }

    for (col = 0; col < PQnfields(res); col++) {
        type = type_of(res, col);
        if (type < 0) {
            return 0;
        }

        columns[col].form = types[type].form;
        columns[col].size = types[type].size;
        row += types[type].space;
    }

    *space = row * (size_t) PQntuples(res);

    return 1;
}


static int64_t
big_endian(tn_str s)
{
    size_t i;
    uint64_t v;

    v = s.n && (s.p[0] & 0x80) ? UINT64_MAX : 0;

    for (i = 0; i < s.n; i++) {
        v = v << 8 | (unsigned char) s.p[i];
    }

    return (int64_t) v;
}


static size_t
put_int(char *at, int64_t v)
{
    size_t n;
    char text[INT_TEXT], *p;
    uint64_t u;

    u = v < 0 ? 0 - (uint64_t) v : (uint64_t) v;
    p = text + sizeof(text);

    do {
        *--p = (char) ('0' + u % 10);
        u /= 10;
    } while (u);

    if (v < 0) {
        *--p = '-';
    }

    n = (size_t) (text + sizeof(text) - p);
    memcpy(at, p, n);

    return n;
}


/* What lies outside of 0001–9999 can't be said in RFC 3339 and shows as the
 * nearest that can. */
static size_t
put_time(char *at, int64_t v)
{
    tn_str word;

    if (v == INT64_MAX || v == INT64_MIN) {
        word = v < 0 ? TN_STR("-infinity") : TN_STR("infinity");
        memcpy(at, word.p, word.n);
        return word.n;
    }

    tn__time_format(at, v > INT64_MAX - EPOCH_US ? INT64_MAX : v + EPOCH_US);

    return TN__TIME_TEXT;
}


static size_t
put_date(char *at, int32_t days)
{
    if (days == INT32_MAX || days == INT32_MIN) {
        return put_time(at, days < 0 ? INT64_MIN : INT64_MAX);
    }

    days = days < DATE_MIN ? DATE_MIN : days > DATE_MAX ? DATE_MAX : days;
    tn__time_format(at, EPOCH_US + days * DAY_US);

    return TN__DATE_TEXT;
}


int
tn__pg_decode(tn_str *cell, char **at, const tn__pg_column *column)
{
    char *text;
    size_t n;

    if (column->size && cell->n != column->size) {
        return 0;
    }

    text = *at;

    switch (column->form) {

    case TN__PG_FORM_TEXT:
        return 1;

    case TN__PG_FORM_JSONB:
        /* a byte that counts the versions of the form, then text */
        if (cell->n == 0 || cell->p[0] != 1) {
            return 0;
        }
        cell->p++;
        cell->n--;
        return 1;

    case TN__PG_FORM_BOOL:
        *text = cell->p[0] ? 't' : 'f';
        n = 1;
        break;

    case TN__PG_FORM_INT:
        n = put_int(text, big_endian(*cell));
        break;

    case TN__PG_FORM_DATE:
        n = put_date(text, (int32_t) big_endian(*cell));
        break;

    case TN__PG_FORM_TIME:
        n = put_time(text, big_endian(*cell));
        break;

    default:
        tn__uuid_text(text, (const unsigned char *) cell->p);
        n = TN__UUID_TEXT;
        break;
    }

    *cell = (tn_str){ text, n };
    *at += n;

    return 1;
}
