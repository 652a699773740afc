/*
 * fields.c: what columns of tables, arguments of functions and what functions
 * answer have in common as field rows: types, sets, bounds, patterns.
 */

#include "libcore/model/compile.h"


static const struct {
    tn_str sql;
    tn__type type;
    int64_t min; /* what the column can hold; 0, 0: no bound of its own */
    int64_t max;
} types[] = {
    { TN_STR_C("text"), TN__TYPE_TEXT, 0, 0 },
    { TN_STR_C("character varying"), TN__TYPE_TEXT, 0, 0 },
    { TN_STR_C("uuid"), TN__TYPE_UUID, 0, 0 },
    { TN_STR_C("bigint"), TN__TYPE_INT, 0, 0 },
    { TN_STR_C("integer"), TN__TYPE_INT, INT32_MIN, INT32_MAX },
    { TN_STR_C("smallint"), TN__TYPE_INT, INT16_MIN, INT16_MAX },
    { TN_STR_C("numeric"), TN__TYPE_NUMBER, 0, 0 },
    { TN_STR_C("double precision"), TN__TYPE_NUMBER, 0, 0 },
    { TN_STR_C("boolean"), TN__TYPE_BOOL, 0, 0 },
    { TN_STR_C("timestamp with time zone"), TN__TYPE_TIME, 0, 0 },
    { TN_STR_C("date"), TN__TYPE_DATE, 0, 0 },
    { TN_STR_C("jsonb"), TN__TYPE_JSON, 0, 0 },
};


int
tn__compile_plain(tn_str name)
{
    size_t i;

    for (i = 0; i < name.n; i++) {
        if (!((name.p[i] >= 'a' && name.p[i] <= 'z') || name.p[i] == '_' ||
              (i && name.p[i] >= '0' && name.p[i] <= '9'))) {
            return 0;
        }
    }

    return name.n > 0;
}


tn_err
tn__compile_field_fault(tn__compiler *c, tn_str owner, tn_str field,
                        tn_str what)
{
    tn_str parts[5];

    parts[0] = owner;
    parts[1] = TN_STR(".");
    parts[2] = field;
    parts[3] = TN_STR(": ");
    parts[4] = what;

    return tn__compile_fault(c, parts, 5);
}


tn_err
tn__compile_type(tn__compiler *c, tn__field *field, tn_str owner, tn_str sql)
{
    unsigned i;
    tn_str name, modifier;

    /* "character varying(80)", "numeric(8,3)": what can't be rounded to fit,
     * the database refuses */
    modifier = sql;
    name = tn__split(&modifier, '(');

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (!tn__eq(types[i].sql, name)) {
            continue;
        }

        field->type = types[i].type;

        if (types[i].max) {
            field->has_min = field->has_max = 1;
            field->min = types[i].min;
            field->max = types[i].max;
        }

        if (field->type == TN__TYPE_TEXT && modifier.p) {
            field->has_max =
                tn__int_parse(&field->max, tn__split(&modifier, ')')) != 0;
        }

        return tn__compile_dup(&field->sql_type, c, name);
    }

    return tn__compile_field_fault(
        c, owner, field->name,
        TN_STR("its type can't be served; use text, varchar, uuid, bigint, "
               "integer, smallint, numeric, double precision, "
               "boolean, timestamptz, date or jsonb"));
}


tn_err
tn__compile_set(tn__compiler *c, const tn_str **out, unsigned *n, tn_str json)
{
    tn_err err;
    cJSON *array;
    const cJSON *item;
    tn_str *set, parts[2];
    tn__json_fault fault;

    if (json.p == NULL) {
        return TN_OK;
    }

    err = tn__json_parse(&array, json, &fault, c->mem);

    if (err == TN_E_NOMEM) {
        return err;
    }

    if (err != TN_OK) {
        parts[0] = TN_STR("a set of values is no JSON: ");
        parts[1] = json;
        return tn__compile_fault(c, parts, 2);
    }

    set = tn__alloc(c->mem,
                    ((size_t) cJSON_GetArraySize(array) + 1) * sizeof(tn_str));
    if (set == NULL) {
        return TN_E_NOMEM;
    }

    cJSON_ArrayForEach(item, array)
    {
        if (cJSON_IsString(item)) {
            set[*n].p = item->valuestring;
            set[(*n)++].n = strlen(item->valuestring);
        }
    }

    *out = set;

    return TN_OK;
}


void
tn__compile_narrow(tn__field *field, tn_str min, tn_str max)
{
    int64_t n;

    if (tn__int_parse(&n, min) && (!field->has_min || n > field->min)) {
        field->has_min = 1;
        field->min = n;
    }

    if (tn__int_parse(&n, max) && (!field->has_max || n < field->max)) {
        field->has_max = 1;
        field->max = n;
    }
}


tn_err
tn__compile_fields(tn__compiler *c, tn__field *fields, unsigned n)
{
    int code;
    tn_err err;
    unsigned i;
    tn__buf key;
    tn_str pattern, parts[3];
    PCRE2_SIZE offset;

    for (i = 0; i < n; i++) {
        tn__buf_init(&key, c->mem, fields[i].name.n + 4);
        tn__buf_json(&key, fields[i].name);
        tn__buf_char(&key, ':');

        err = tn__buf_str(&fields[i].key, &key);
        if (err != TN_OK) {
            return err;
        }

        if (fields[i].pattern == NULL) {
            continue;
        }

        /* a pattern that backtracks without end must not hold up a worker */
        parts[0] = TN_STR("(*LIMIT_MATCH=100000)");
        parts[1] = (tn_str){ fields[i].pattern, strlen(fields[i].pattern) };
        err = tn__cat(&pattern, parts, 2, c->mem);
        if (err != TN_OK) {
            return err;
        }

        /* `$` is the end, as it is to the server and to browsers: it lets no
         * line feed through */
        fields[i].regex = pcre2_compile((PCRE2_SPTR) pattern.p, pattern.n,
                                        PCRE2_UTF | PCRE2_DOLLAR_ENDONLY, &code,
                                        &offset, NULL);
        if (fields[i].regex == NULL) {
            parts[0] = fields[i].name;
            parts[1] = TN_STR(": its pattern is no regular expression: ");
            parts[2] = (tn_str){ fields[i].pattern, strlen(fields[i].pattern) };
            return tn__compile_fault(c, parts, 3);
        }

        pcre2_jit_compile(fields[i].regex, PCRE2_JIT_COMPLETE);
    }

    return TN_OK;
}
