/*
 * condition.c: whether an attribute of a context is as a rule wants it.
 *
 *   op                     holds where the attribute
 *   in, not_in             is, or is none, of the values: strings, numbers or
 *                          booleans, each equal to its own kind only
 *   starts_with ends_with  is text that begins, ends with, has in it one of
 *   contains               them
 *   lt lte gt gte          is a number on that side of the value
 *   semver_lt …            is a version (semver.org) on that side of it
 *   exists, not_exists     is there, is not
 *
 * Of an attribute that is absent or null only not_exists holds. Of an array each
 * element is looked at: one is enough; for not_in all have to be others.
 *
 * All of it is paid for out of the context's work (evaluate.h): elements times
 * values is a product of what a caller and an owner choose, and a worker that
 * compares serves nobody else.
 */

#include "libcore/flags/evaluate.h"

/* How two values lie to each other; none of these: they can't be compared. */
enum {
    LESS = 1,
    EQUAL = 2,
    GREATER = 4,
};

/* tenon.flag_version_fits() has the same. */
#define VERSION_MAX     256 /* bytes */
#define IDENTIFIERS_MAX 16  /* of a pre-release, of a build */

typedef struct operand {
    const cJSON *node;
    int kind; /* cJSON's, without its flags: asking it each time costs calls */
    tn_str text; /* absent: it isn't any */
} operand;


static operand
operand_of(const cJSON *node)
{
    operand o = { node, node->type & 0xff, TN_NULL };

    if (o.kind == cJSON_String) {
        o.text = (tn_str){ node->valuestring, strlen(node->valuestring) };
    }

    return o;
}


static unsigned
same(const operand *have, const operand *want)
{
    if (have->kind != want->kind) {
        return 0;
    }

    switch (have->kind) {

    case cJSON_String:
        return tn__eq(have->text, want->text) ? EQUAL : 0;

    case cJSON_Number:
        return have->node->valuedouble == want->node->valuedouble ? EQUAL : 0;

    case cJSON_True:
    case cJSON_False:
        return EQUAL;

    default:
        return 0;
    }
}


static unsigned
begins(const operand *have, const operand *want)
{
    return have->text.p && want->text.p && tn__starts(have->text, want->text)
               ? EQUAL
               : 0;
}


static unsigned
ends(const operand *have, const operand *want)
{
    tn_str text = have->text, end = want->text;

    return text.p && end.p && text.n >= end.n &&
                   tn__eq(tn__sub(text, text.n - end.n, text.n), end)
               ? EQUAL
               : 0;
}


static unsigned
holds(const operand *have, const operand *want)
{
    return have->text.p && want->text.p &&
                   memmem(have->text.p, have->text.n, want->text.p,
                          want->text.n)
               ? EQUAL
               : 0;
}


static unsigned
number(const operand *have, const operand *want)
{
    double a, b;

    if (have->kind != cJSON_Number || want->kind != cJSON_Number) {
        return 0;
    }

    a = have->node->valuedouble;
    b = want->node->valuedouble;

    return a < b ? LESS : a > b ? GREATER : EQUAL;
}


/* ---- versions ---- */

typedef struct version {
    int64_t part[3];
    tn_str pre; /* absent: a release */
} version;


static int
is_digits(tn_str s)
{
    size_t i;

    for (i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return 0;
        }
    }

    return s.n > 0;
}


/* A number as versions have it: no sign, no zero in front. */
static int
version_number(int64_t *out, tn_str s)
{
    return is_digits(s) && s.n <= 15 && (s.n == 1 || s.p[0] != '0') &&
           tn__int_parse(out, s);
}


static int
is_identifier(tn_str s)
{
    size_t i;

    for (i = 0; i < s.n; i++) {
        if (!((s.p[i] >= '0' && s.p[i] <= '9') ||
              (s.p[i] >= 'a' && s.p[i] <= 'z') ||
              (s.p[i] >= 'A' && s.p[i] <= 'Z') || s.p[i] == '-')) {
            return 0;
        }
    }

    return s.n > 0;
}


static int
are_identifiers(tn_str s, int zeros)
{
    unsigned n;
    tn_str one;

    for (n = 0; s.p && n < IDENTIFIERS_MAX; n++) {
        one = tn__split(&s, '.');

        if (!is_identifier(one) ||
            (!zeros && is_digits(one) && one.n > 1 && one.p[0] == '0')) {
            return 0;
        }
    }

    return s.p == NULL;
}


/* semver.org 2.0.0, and a "v" in front, as tags have it. What is behind a plus
 * counts for nothing. */
static int
version_of(version *v, tn_str text)
{
    unsigned i;
    tn_str core, build;

    if (text.p == NULL || text.n > VERSION_MAX) {
        return 0;
    }

    build = text;

    if (build.n && build.p[0] == 'v') {
        build = tn__sub(build, 1, build.n);
    }

    v->pre = tn__split(&build, '+');
    core = tn__split(&v->pre, '-');

    for (i = 0; i < 3; i++) {
        if (core.p == NULL ||
            !version_number(&v->part[i], tn__split(&core, '.'))) {
            return 0;
        }
    }

    return core.p == NULL && (v->pre.p == NULL || are_identifiers(v->pre, 0)) &&
           (build.p == NULL || are_identifiers(build, 1));
}


static unsigned
order(int64_t a, int64_t b)
{
    return a < b ? LESS : a > b ? GREATER : EQUAL;
}


/* Numbers by their size, and before words; those by their bytes. */
static unsigned
identifier(tn_str a, tn_str b)
{
    int d;

    if (is_digits(a) && is_digits(b)) {
        d = a.n != b.n ? (a.n < b.n ? -1 : 1) : memcmp(a.p, b.p, a.n);

    } else if (is_digits(a) || is_digits(b)) {
        return is_digits(a) ? LESS : GREATER;

    } else {
        d = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
        d = d ? d : (a.n > b.n) - (a.n < b.n);
    }

    return d < 0 ? LESS : d > 0 ? GREATER : EQUAL;
}


static unsigned
pre_release(tn_str a, tn_str b)
{
    unsigned way;

    if (a.p == NULL || b.p == NULL) {
        return order(a.p == NULL, b.p == NULL);
    }

    while (a.p && b.p) {
        way = identifier(tn__split(&a, '.'), tn__split(&b, '.'));
        if (way != EQUAL) {
            return way;
        }
    }

    return order(a.p != NULL, b.p != NULL);
}


static unsigned
semver(const operand *have, const operand *want)
{
    unsigned i, way;
    version a, b;

    if (!version_of(&a, have->text) || !version_of(&b, want->text)) {
        return 0;
    }

    for (i = 0; i < 3; i++) {
        way = order(a.part[i], b.part[i]);
        if (way != EQUAL) {
            return way;
        }
    }

    return pre_release(a.pre, b.pre);
}


/* ---- conditions ---- */

/* compare NULL: it is about whether the attribute is there at all. A comparison
 * costs 1, and 1 more for so many bytes of the value, or of both texts where all
 * of the attribute's is looked at. */
static const struct {
    const char *name;
    unsigned (*compare)(const operand *have, const operand *want);
    unsigned accept;
    int negated;
    unsigned bytes;
    int all;
} ops[] = {
    { "in", same, EQUAL, 0, 64, 0 },
    { "not_in", same, EQUAL, 1, 64, 0 },
    { "starts_with", begins, EQUAL, 0, 64, 0 },
    { "ends_with", ends, EQUAL, 0, 64, 0 },
    { "contains", holds, EQUAL, 0, 2, 1 },
    { "lt", number, LESS, 0, 64, 0 },
    { "lte", number, LESS | EQUAL, 0, 64, 0 },
    { "gt", number, GREATER, 0, 64, 0 },
    { "gte", number, GREATER | EQUAL, 0, 64, 0 },
    { "semver_lt", semver, LESS, 0, 2, 1 },
    { "semver_lte", semver, LESS | EQUAL, 0, 2, 1 },
    { "semver_gt", semver, GREATER, 0, 2, 1 },
    { "semver_gte", semver, GREATER | EQUAL, 0, 2, 1 },
    { "exists", NULL, 0, 0, 0, 0 },
    { "not_exists", NULL, 0, 1, 0, 0 },
};

#define OPS (sizeof(ops) / sizeof(ops[0]))

/* What a condition costs by itself, and looking for its attribute. */
#define WORK_CONDITION 4
#define WORK_MEMBERS   4 /* so many members for 1 */


/* 0: there isn't so much left, and then nothing is. */
static int
spend(tn__flag_context *context, size_t work)
{
    if (work > context->left) {
        context->left = 0;
        return 0;
    }

    context->left -= (unsigned) work;

    return 1;
}


static int
any(unsigned op, const cJSON *node, const cJSON *values,
    tn__flag_context *context)
{
    size_t n;
    operand have, want;
    const cJSON *value;

    have = operand_of(node);

    for (value = values->child; value; value = value->next) {
        want = operand_of(value);
        n = want.text.n + (ops[op].all ? have.text.n : 0);

        if (!spend(context, 1 + n / ops[op].bytes)) {
            return TN__CONDITION_TOO_LONG;
        }

        if (ops[op].compare(&have, &want) & ops[op].accept) {
            return TN__CONDITION_HOLDS;
        }
    }

    return TN__CONDITION_FAILS;
}


/* Of an array one element is enough. */
static int
any_of(unsigned op, const cJSON *have, const cJSON *values,
       tn__flag_context *context)
{
    int found;
    const cJSON *one;

    if (!cJSON_IsArray(have)) {
        return any(op, have, values, context);
    }

    found = TN__CONDITION_FAILS;

    for (one = have->child; one && found == TN__CONDITION_FAILS;
         one = one->next) {
        found = any(op, one, values, context);
    }

    return found;
}


int
tn__flag_condition(const cJSON *condition, tn__flag_context *context)
{
    int found;
    unsigned op;
    const cJSON *attribute, *name, *values, *have;

    attribute = tn__flag_member(condition, "attribute");
    name = tn__flag_member(condition, "op");
    values = tn__flag_member(condition, "values");

    if (!cJSON_IsString(attribute) || !cJSON_IsString(name)) {
        return TN__CONDITION_BROKEN;
    }

    for (op = 0; op < OPS && strcmp(ops[op].name, name->valuestring) != 0;
         op++) {
        /* void */
    }

    if (op == OPS || (ops[op].compare && !cJSON_IsArray(values))) {
        return TN__CONDITION_BROKEN;
    }

    if (!spend(context, WORK_CONDITION + context->n / WORK_MEMBERS)) {
        return TN__CONDITION_TOO_LONG;
    }

    have = tn__flag_member(context->members, attribute->valuestring);

    if (ops[op].compare == NULL) {
        return (have == NULL) == ops[op].negated;
    }

    if (have == NULL) {
        return TN__CONDITION_FAILS;
    }

    found = any_of(op, have, values, context);

    return found < 0 ? found : found != ops[op].negated;
}
