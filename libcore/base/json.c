/*
 * json.c: the gate that JSON from outside passes before cJSON sees it.
 *
 * cJSON alone is too kind: it lets duplicate names, lone surrogates, raw
 * control characters and invalid UTF-8 through. So the rules are ours, here;
 * json_tree.c has cJSON build the tree.
 *
 * Cost: one pass over the text, and O(k log k) comparisons for the k names
 * of an object.
 */

#include "libcore/base/json.h"

#include <math.h>
#include <stdlib.h>

#define TN_JSON_DEPTH   32
#define TN_JSON_INT_MAX INT64_C(9007199254740991)

#define TN_ONES UINT64_C(0x0101010101010101)

typedef struct json_gate {
    const char *start;
    const char *p;
    const char *end;
    tn_mem *mem;
    tn_err err;
    const char *what;
    size_t at;
    unsigned depth;
    int long_numbers;
    tn__json_name *names; /* of all open objects, the innermost one's last */
    size_t nnames;
    size_t cap;
} json_gate;

static int gate_value(json_gate *gate);


static int
gate_fail(json_gate *gate, const char *at, const char *what)
{
    gate->err = TN_E_MALFORMED_JSON;
    gate->what = what;
    gate->at = (size_t) (at - gate->start);

    return 0;
}


static int
gate_nomem(json_gate *gate)
{
    gate->err = TN_E_NOMEM;

    return 0;
}


static void
gate_blanks(json_gate *gate)
{
    while (gate->p < gate->end && (*gate->p == ' ' || *gate->p == '\n' ||
                                   *gate->p == '\r' || *gate->p == '\t')) {
        gate->p++;
    }
}


/* Takes c if it is next. */
static int
gate_take(json_gate *gate, char c)
{
    if (gate->p < gate->end && *gate->p == c) {
        gate->p++;
        return 1;
    }

    return 0;
}


/* ---- strings ---- */

/* Whether none of 8 bytes is a control, '"', '\\' or beyond ASCII: for x
 * below 0x80, x - 1 has the top bit only when x is 0. */
static int
json_plain(const char *p)
{
    uint64_t w, quote, slash;

    memcpy(&w, p, 8);
    quote = w ^ (TN_ONES * '"');
    slash = w ^ (TN_ONES * '\\');

    return ((w | (w - TN_ONES * 0x20) | (quote - TN_ONES) | (slash - TN_ONES)) &
            (TN_ONES * 0x80)) == 0;
}


/* Behind a backslash. */
static int
gate_escape(json_gate *gate)
{
    const char *at = gate->p - 1;
    int unit;

    if (gate->p == gate->end) {
        return gate_fail(gate, at, "unterminated string");
    }

    switch (*gate->p++) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return 1;
    case 'u':
        break;
    default:
        return gate_fail(gate, at, "invalid escape");
    }

    unit = tn__json_hex4(gate->p, gate->end);
    if (unit < 0) {
        return gate_fail(gate, at, "invalid \\u escape");
    }

    gate->p += 4;

    if (unit == 0) {
        return gate_fail(gate, at, "NUL character");
    }

    if (unit < 0xd800 || unit > 0xdfff) {
        return 1;
    }

    if (unit > 0xdbff || gate->end - gate->p < 6 || gate->p[0] != '\\' ||
        gate->p[1] != 'u') {
        return gate_fail(gate, at, "lone surrogate");
    }

    unit = tn__json_hex4(gate->p + 2, gate->end);
    if (unit < 0xdc00 || unit > 0xdfff) {
        return gate_fail(gate, at, "lone surrogate");
    }

    gate->p += 6;

    return 1;
}


/* Behind the opening quote; *raw is what stands between the quotes. */
static int
gate_string(json_gate *gate, tn_str *raw, int *escaped)
{
    const char *from = gate->p;
    size_t n;

    *escaped = 0;

    for (;;) {
        while (gate->end - gate->p >= 8 && json_plain(gate->p)) {
            gate->p += 8;
        }

        if (gate->p == gate->end) {
            return gate_fail(gate, from - 1, "unterminated string");
        }

        switch (*gate->p) {
        case '"':
            *raw = (tn_str){ from, (size_t) (gate->p - from) };
            gate->p++;
            return 1;
        case '\\':
            gate->p++;
            *escaped = 1;
            if (!gate_escape(gate)) {
                return 0;
            }
            continue;
        case '\0':
            return gate_fail(gate, gate->p, "NUL character");
        }

        if ((unsigned char) *gate->p < 0x20) {
            return gate_fail(gate, gate->p, "control character in a string");
        }

        n = tn__utf8_step(gate->p, gate->end);
        if (n == 0) {
            return gate_fail(gate, gate->p, "invalid UTF-8");
        }

        gate->p += n;
    }
}


/* ---- numbers ---- */

static size_t
gate_digits(json_gate *gate)
{
    const char *from = gate->p;

    while (gate->p < gate->end && *gate->p >= '0' && *gate->p <= '9') {
        gate->p++;
    }

    return (size_t) (gate->p - from);
}


static int
gate_finite(json_gate *gate, tn_str number)
{
    char small[TN__JSON_NUMBER_MAX + 1];
    char *p = small;

    if (number.n > TN__JSON_NUMBER_MAX) {
        gate->long_numbers = 1;
        p = tn__alloc(gate->mem, number.n + 1);
        if (p == NULL) {
            return gate_nomem(gate);
        }
    }

    memcpy(p, number.p, number.n);
    p[number.n] = '\0';

    if (!isfinite(strtod(p, NULL))) {
        return gate_fail(gate, number.p, "number out of range");
    }

    return 1;
}


static int
gate_number(json_gate *gate)
{
    const char *from = gate->p;
    int64_t v;
    tn_str number;
    int whole = 1;

    (void) gate_take(gate, '-');

    if (!gate_take(gate, '0') && gate_digits(gate) == 0) {
        return gate_fail(gate, from, "invalid number");
    }

    if (gate_take(gate, '.')) {
        whole = 0;
        if (gate_digits(gate) == 0) {
            return gate_fail(gate, from, "invalid number");
        }
    }

    if (gate_take(gate, 'e') || gate_take(gate, 'E')) {
        whole = 0;
        (void) (gate_take(gate, '+') || gate_take(gate, '-'));
        if (gate_digits(gate) == 0) {
            return gate_fail(gate, from, "invalid number");
        }
    }

    number = (tn_str){ from, (size_t) (gate->p - from) };

    if (!whole) {
        return gate_finite(gate, number);
    }

    if (!tn__int_parse(&v, number) || v > TN_JSON_INT_MAX ||
        v < -TN_JSON_INT_MAX) {
        return gate_fail(gate, from, "integer beyond 2^53-1");
    }

    return 1;
}


/* ---- names ---- */

/* Checks the names of the object that closes, from `base` on. */
static int
gate_names(json_gate *gate, size_t base)
{
    size_t at;

    at = tn__json_duplicate(gate->names + base, gate->nnames - base);
    gate->nnames = base;

    if (at != SIZE_MAX) {
        return gate_fail(gate, gate->start + at, "duplicate member name");
    }

    return 1;
}


static int
gate_name_add(json_gate *gate, tn_str name, size_t offset)
{
    tn__json_name *names;
    size_t cap;

    if (gate->nnames == gate->cap) {
        cap = gate->cap ? gate->cap * 2 : 16;
        if (cap > SIZE_MAX / sizeof(tn__json_name)) {
            return gate_nomem(gate);
        }

        names = tn__alloc(gate->mem, cap * sizeof(tn__json_name));
        if (names == NULL) {
            return gate_nomem(gate);
        }

        if (gate->nnames != 0) {
            memcpy(names, gate->names, gate->nnames * sizeof(tn__json_name));
        }

        gate->names = names;
        gate->cap = cap;
    }

    gate->names[gate->nnames++] = (tn__json_name){ name, offset };

    return 1;
}


/* ---- values ---- */

static int
gate_member(json_gate *gate)
{
    const char *at;
    tn_str name;
    int escaped;

    gate_blanks(gate);
    at = gate->p;

    if (!gate_take(gate, '"')) {
        return gate_fail(gate, at, "expected a member name");
    }

    if (!gate_string(gate, &name, &escaped)) {
        return 0;
    }

    if (escaped && !tn__json_unescape(&name, name, gate->mem)) {
        return gate_nomem(gate);
    }

    if (!gate_name_add(gate, name, (size_t) (at - gate->start))) {
        return 0;
    }

    gate_blanks(gate);
    if (!gate_take(gate, ':')) {
        return gate_fail(gate, gate->p, "expected ':'");
    }

    return gate_value(gate);
}


static int
gate_object(json_gate *gate)
{
    size_t base = gate->nnames;

    gate_blanks(gate);
    if (gate_take(gate, '}')) {
        return 1;
    }

    do {
        if (!gate_member(gate)) {
            return 0;
        }

        gate_blanks(gate);
    } while (gate_take(gate, ','));

    if (!gate_take(gate, '}')) {
        return gate_fail(gate, gate->p, "expected ',' or '}'");
    }

    return gate_names(gate, base);
}


static int
gate_array(json_gate *gate)
{
    gate_blanks(gate);
    if (gate_take(gate, ']')) {
        return 1;
    }

    do {
        if (!gate_value(gate)) {
            return 0;
        }

        gate_blanks(gate);
    } while (gate_take(gate, ','));

    if (!gate_take(gate, ']')) {
        return gate_fail(gate, gate->p, "expected ',' or ']'");
    }

    return 1;
}


static int
gate_word(json_gate *gate, tn_str word)
{
    tn_str rest = { gate->p, (size_t) (gate->end - gate->p) };

    if (!tn__starts(rest, word)) {
        return gate_fail(gate, gate->p, "expected a value");
    }

    gate->p += word.n;

    return 1;
}


static int
gate_value(json_gate *gate)
{
    tn_str raw;
    int ok, escaped;

    gate_blanks(gate);
    if (gate->p == gate->end) {
        return gate_fail(gate, gate->p, "unexpected end");
    }

    switch (*gate->p) {
    case '{':
    case '[':
        if (gate->depth == TN_JSON_DEPTH) {
            return gate_fail(gate, gate->p, "nested too deep");
        }

        gate->depth++;
        ok = *gate->p++ == '{' ? gate_object(gate) : gate_array(gate);
        gate->depth--;
        return ok;
    case '"':
        gate->p++;
        return gate_string(gate, &raw, &escaped);
    case 't':
        return gate_word(gate, TN_STR("true"));
    case 'f':
        return gate_word(gate, TN_STR("false"));
    case 'n':
        return gate_word(gate, TN_STR("null"));
    case '\0':
        return gate_fail(gate, gate->p, "NUL character");
    }

    if (*gate->p == '-' || (*gate->p >= '0' && *gate->p <= '9')) {
        return gate_number(gate);
    }

    return gate_fail(gate, gate->p, "expected a value");
}


tn_err
tn__json_gate(int *long_numbers, tn_str text, tn__json_fault *fault,
              tn_mem *mem)
{
    json_gate gate = { .mem = mem };

    gate.start = text.p != NULL ? text.p : "";
    gate.p = gate.start;
    gate.end = gate.start + text.n;

    if (gate_value(&gate)) {
        gate_blanks(&gate);
        if (gate.p != gate.end) {
            (void) gate_fail(&gate, gate.p, "text behind the value");
        }
    }

    if (gate.err == TN_E_MALFORMED_JSON && fault != NULL) {
        fault->offset = gate.at;
        fault->what = gate.what;
    }

    *long_numbers = gate.long_numbers;

    return gate.err;
}


tn_err
tn__json_check(tn_str text, tn__json_fault *fault, tn_mem *mem)
{
    int long_numbers;

    return tn__json_gate(&long_numbers, text, fault, mem);
}
