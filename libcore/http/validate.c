/*
 * validate.c: a body against its field rows. Every fault is noted, so that a
 * client mends its form in one go.
 */

#include "libcore/http/http.h"

#include <math.h>


void
tn__fault_str(tn_op *op, tn_str pointer, tn_fault fault, tn_str detail)
{
    tn__field_fault *f;
    static const tn_str details[] = {
#define TN_X(name, code, text) TN_STR_C(text),
        TN_FIELD_FAULT_MAP(TN_X)
#undef TN_X
    };

    /* past the bound, the first ones have to do */
    if (op->nfaults == TN__FAULTS_MAX) {
        return;
    }

    f = &op->faults[op->nfaults++];
    f->pointer = pointer;
    f->fault = fault;
    f->detail = detail.p ? detail : details[fault];
}


void
tn__fault(tn_op *op, tn_str pointer, tn_fault fault, const char *detail)
{
    tn__fault_str(op, pointer, fault,
                  detail ? (tn_str){ detail, strlen(detail) } : TN_NULL);
}


/* base + "/" + name, with "~" and "/" escaped as RFC 6901 has it. */
static tn_str
pointer(tn_op *op, tn_str base, tn_str name)
{
    size_t i;
    tn_str out;
    tn__buf buf;

    tn__buf_init(&buf, op->mem, base.n + name.n + 2);
    tn__buf_add(&buf, base);
    tn__buf_char(&buf, '/');

    for (i = 0; i < name.n; i++) {
        if (name.p[i] == '~') {
            tn__buf_lit(&buf, "~0");
        } else if (name.p[i] == '/') {
            tn__buf_lit(&buf, "~1");
        } else {
            tn__buf_char(&buf, name.p[i]);
        }
    }

    if (tn__buf_str(&out, &buf) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return TN_STR("");
    }

    return out;
}


void
tn__fault_field(tn_op *op, tn_str name, tn_fault fault, const char *detail)
{
    tn__fault_below(op, TN_STR(""), name, fault, detail);
}


void
tn__fault_below(tn_op *op, tn_str base, tn_str name, tn_fault fault,
                const char *detail)
{
    tn__fault(op, pointer(op, base, name), fault, detail);
}


/* "must be at most 200 characters" */
static void
fault_bound(tn_op *op, tn_str at, tn_fault fault, const char *text,
            int64_t bound, const char *unit)
{
    tn_str detail;
    tn__buf buf;

    tn__buf_init(&buf, op->mem, 64);
    tn__buf_add(&buf, (tn_str){ text, strlen(text) });
    tn__buf_int(&buf, bound);
    tn__buf_add(&buf, (tn_str){ unit, strlen(unit) });
    tn__buf_char(&buf, '\0');

    if (tn__buf_str(&detail, &buf) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__fault(op, at, fault, detail.p);
}


static void
fault_set(tn_op *op, tn_str at, const tn__field *field)
{
    unsigned i;
    tn_str detail;
    tn__buf buf;

    tn__buf_init(&buf, op->mem, 128);
    tn__buf_lit(&buf, "must be one of ");

    for (i = 0; i < field->nset; i++) {
        if (i) {
            tn__buf_lit(&buf, ", ");
        }
        tn__buf_add(&buf, field->set[i]);
    }

    tn__buf_char(&buf, '\0');

    if (tn__buf_str(&detail, &buf) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return;
    }

    tn__fault(op, at, TN_F_NOT_IN_SET, detail.p);
}


static int
matches(const tn__field *field, tn_str value)
{
    int rc;
    pcre2_match_data *data;

    if (field->regex == NULL) {
        return 1;
    }

    data = pcre2_match_data_create(1, NULL);
    if (data == NULL) {
        return 0;
    }

    rc = pcre2_match(field->regex, (PCRE2_SPTR) value.p, value.n, 0, 0, data,
                     NULL);
    pcre2_match_data_free(data);

    return rc >= 0;
}


static void
check_text(tn_op *op, tn_str at, const tn__field *field, tn_str *value)
{
    size_t n;
    size_t i;
    char *lower;

    n = tn__utf8_length(*value);

    if (field->has_min && n < (size_t) field->min) {
        fault_bound(op, at, TN_F_TOO_SHORT, "must have at least ", field->min,
                    field->min == 1 ? " character" : " characters");

    } else if (field->has_max && n > (size_t) field->max) {
        fault_bound(op, at, TN_F_TOO_LONG, "must have at most ", field->max,
                    field->max == 1 ? " character" : " characters");

    } else if (field->password && value->n > sizeof(op->job->password)) {
        tn__fault(op, at, TN_F_TOO_LONG, "must have at most 1024 bytes");

    } else if (!tn__value_allowed(field, *value)) {
        fault_set(op, at, field);

    } else if (!matches(field, *value)) {
        tn__fault(op, at, TN_F_BAD_FORMAT, NULL);

    } else if (field->foreign_host &&
               tn__host_is_ours(*value, op->core->base_domain)) {
        tn__fault(op, at, TN_F_REFUSED, "lies in the platform's own domain");

    } else if (field->lower) {
        lower = tn__alloc(op->mem, value->n + 1);
        if (lower == NULL) {
            tn__fail(op, TN_E_NOMEM, NULL);
            return;
        }

        for (i = 0; i < value->n; i++) {
            lower[i] = value->p[i] >= 'A' && value->p[i] <= 'Z'
                           ? (char) (value->p[i] + 32)
                           : value->p[i];
        }

        value->p = lower;
    }
}


/* The gate keeps integers within ±(2^53−1), but 1e300 is no integer to it. */
#define INT_MAX_EXACT 9007199254740991.0


static int
in_bounds(tn_op *op, tn_str at, const tn__field *field, double number)
{
    if (field->has_min && number < (double) field->min) {
        fault_bound(op, at, TN_F_OUT_OF_RANGE, "must be at least ", field->min,
                    "");
        return 0;
    }

    if (field->has_max && number > (double) field->max) {
        fault_bound(op, at, TN_F_OUT_OF_RANGE, "must be at most ", field->max,
                    "");
        return 0;
    }

    return 1;
}


static void
check_int(tn_op *op, tn_str at, const tn__field *field, double number,
          tn_str *value)
{
    tn__buf buf;

    if (number != floor(number)) {
        tn__fault(op, at, TN_F_WRONG_TYPE, "must be an integer");

    } else if (fabs(number) > INT_MAX_EXACT) {
        tn__fault(op, at, TN_F_OUT_OF_RANGE, NULL);

    } else if (in_bounds(op, at, field, number)) {
        /* 1.0 is an integer in JSON, not in SQL */
        tn__buf_init(&buf, op->mem, 24);
        tn__buf_int(&buf, (int64_t) number);

        if (tn__buf_str(value, &buf) != TN_OK) {
            tn__fail(op, TN_E_NOMEM, NULL);
        }
    }
}


/* What a value of the type looks like. */
static const char *
format_of(const tn__field *field)
{
    switch (field->type) {
    case TN__TYPE_UUID:
        return "must be a UUID";
    case TN__TYPE_TIME:
        return "must be an RFC 3339 date and time";
    case TN__TYPE_DATE:
        return "must be a date as YYYY-MM-DD";
    case TN__TYPE_INT:
        return "must be an integer";
    case TN__TYPE_NUMBER:
        return "must be a number";
    case TN__TYPE_BOOL:
        return "must be true or false";
    default:
        return "must be JSON";
    }
}


static void
check_string(tn_op *op, tn_str at, const tn__field *field, const cJSON *node,
             tn_str *value)
{
    int rc;
    tn_str text;

    if (!cJSON_IsString(node)) {
        tn__fault(op, at, TN_F_WRONG_TYPE, "must be a string");
        return;
    }

    text = (tn_str){ node->valuestring, strlen(node->valuestring) };

    if (field->type == TN__TYPE_TEXT) {
        *value = text;
        check_text(op, at, field, value);
        return;
    }

    rc = tn__value_parse(value, field, text, op->mem);

    if (rc < 0) {
        tn__fail(op, TN_E_NOMEM, NULL);

    } else if (rc == 0) {
        tn__fault(op, at, TN_F_BAD_FORMAT, format_of(field));
    }
}


static void
check_value(tn_op *op, tn_str at, const tn__field *field, const cJSON *node,
            tn_str *value)
{
    switch (field->type) {

    case TN__TYPE_TEXT:
    case TN__TYPE_UUID:
    case TN__TYPE_TIME:
    case TN__TYPE_DATE:
        check_string(op, at, field, node, value);
        return;

    case TN__TYPE_BOOL:
        if (!cJSON_IsBool(node)) {
            tn__fault(op, at, TN_F_WRONG_TYPE, "must be true or false");
            return;
        }
        *value = cJSON_IsTrue(node) ? TN_STR("true") : TN_STR("false");
        return;

    case TN__TYPE_INT:
    case TN__TYPE_NUMBER:
        if (!cJSON_IsNumber(node)) {
            tn__fault(op, at, TN_F_WRONG_TYPE, "must be a number");
            return;
        }
        if (field->type == TN__TYPE_INT) {
            check_int(op, at, field, node->valuedouble, value);
            return;
        }
        if (!in_bounds(op, at, field, node->valuedouble)) {
            return;
        }
        break;

    case TN__TYPE_JSON:
    case TN__TYPE_OBJECT:
        break;
    }

    if (tn__json_print(value, node, op->mem) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
    }
}


/* base + "/" + the element's index. */
static tn_str
element(tn_op *op, tn_str base, int64_t i)
{
    tn_str out;
    tn__buf buf;

    tn__buf_init(&buf, op->mem, base.n + 8);
    tn__buf_add(&buf, base);
    tn__buf_char(&buf, '/');
    tn__buf_int(&buf, i);

    if (tn__buf_str(&out, &buf) != TN_OK) {
        tn__fail(op, TN_E_NOMEM, NULL);
        return TN_STR("");
    }

    return out;
}


/* Each element is one by itself: whole, whatever the method. */
static void
check_element(tn_op *op, tn_str at, const tn__field *field, const cJSON *node)
{
    tn_str unused;

    if (tn__field_is_list(field)) {
        if (cJSON_IsNull(node)) {
            tn__fault(op, at, TN_F_WRONG_TYPE, "must not be null");
            return;
        }
        check_value(op, at, &field->fields[0], node, &unused);
        return;
    }

    if (!cJSON_IsObject(node)) {
        tn__fault(op, at, TN_F_WRONG_TYPE, "must be an object");
        return;
    }

    tn__validate(op, node, at, field->fields, field->nfields, 1, NULL, NULL);
}


static void
check_array(tn_op *op, tn_str at, const tn__field *field, const cJSON *node)
{
    int64_t i, n;
    const cJSON *item;

    if (!cJSON_IsArray(node)) {
        tn__fault(op, at, TN_F_WRONG_TYPE, "must be an array");
        return;
    }

    n = cJSON_GetArraySize(node);

    if (field->has_min && n < field->min) {
        fault_bound(op, at, TN_F_TOO_SHORT, "must have at least ", field->min,
                    field->min == 1 ? " element" : " elements");
        return;
    }

    if (field->has_max && n > field->max) {
        fault_bound(op, at, TN_F_TOO_LONG, "must have at most ", field->max,
                    field->max == 1 ? " element" : " elements");
        return;
    }

    i = 0;

    cJSON_ArrayForEach(item, node)
    {
        check_element(op, element(op, at, i++), field, item);
    }
}


static void
check_member(tn_op *op, tn_str base, const tn__field *field, const cJSON *node,
             int create, tn_str *value)
{
    tn_str at;

    at = pointer(op, base, field->name);

    if (!(create ? field->create : field->update)) {
        tn__fault(op, at, TN_F_READ_ONLY,
                  !create && field->create ? "can't be changed" : NULL);
        return;
    }

    if (field->type == TN__TYPE_OBJECT) {
        if (!cJSON_IsObject(node)) {
            tn__fault(op, at, TN_F_WRONG_TYPE, "must be an object");
            return;
        }
        tn__validate(op, node, at, field->fields, field->nfields, create, NULL,
                     NULL);
        return;
    }

    if (cJSON_IsNull(node)) {
        *value = TN_NULL;

        if (!field->nullable) {
            tn__fault(op, at, TN_F_WRONG_TYPE, "must not be null");
        }
        return;
    }

    if (field->array) {
        check_array(op, at, field, node);
    }

    check_value(op, at, field, node, value);
}


static int
required(const tn_op *op, const tn__field *field)
{
    const tn__principal *p;

    p = &op->principal;

    return field->required ||
           (field->proves && p->session.p && !p->cookie && !p->impersonator.p);
}


void
tn__validate(tn_op *op, const cJSON *object, tn_str base,
             const tn__field *fields, unsigned nfields, int create,
             tn_str *values, uint64_t *mask)
{
    tn_str name, unused;
    unsigned i;
    uint64_t given;
    const cJSON *node;
    const tn__field *field;

    given = 0;

    cJSON_ArrayForEach(node, object)
    {
        name = (tn_str){ node->string, strlen(node->string) };
        field = tn__field_find(fields, nfields, name);

        if (field == NULL) {
            /* what every row has but no body may say is read-only, not
             * unknown: the tenant comes from the host or the token */
            if (op->endpoint->call) {
                tn__fault(op, pointer(op, base, name), TN_F_UNKNOWN_FIELD,
                          "is no argument of this action");
            } else {
                tn__fault(op, pointer(op, base, name),
                          tn__eq(name, TN_STR("tenant_id"))
                              ? TN_F_READ_ONLY
                              : TN_F_UNKNOWN_FIELD,
                          NULL);
            }
            continue;
        }

        i = (unsigned) (field - fields);
        given |= (uint64_t) 1 << i;
        check_member(op, base, field, node, create,
                     values ? &values[i] : &unused);
    }

    for (i = 0; create && i < nfields; i++) {
        if (required(op, &fields[i]) && !(given & ((uint64_t) 1 << i))) {
            tn__fault(op, pointer(op, base, fields[i].name), TN_F_REQUIRED,
                      NULL);
        }
    }

    if (mask) {
        *mask = given;
    }
}


/* A number's bounds are told as a body's are, so they are looked at here. */
static int
param_number(tn_op *op, tn_str at, const tn__field *field, tn_str text,
             tn_str *value)
{
    int rc;
    int64_t n;
    double number;

    if (field->type == TN__TYPE_INT) {
        return !tn__int_parse(&n, text)               ? 0
               : in_bounds(op, at, field, (double) n) ? 1
                                                      : -1;
    }

    rc = tn__value_number(value, &number, text, op->mem);

    if (rc < 0) {
        tn__fail(op, TN_E_NOMEM, NULL);
    }

    return rc > 0 && !in_bounds(op, at, field, number) ? -1 : rc;
}


static int
param_json(tn_op *op, tn_str text)
{
    tn_err err;
    tn__json_fault fault;

    err = tn__json_check(text, &fault, op->mem);

    if (err == TN_E_NOMEM) {
        tn__fail(op, err, NULL);
        return -1;
    }

    return err == TN_OK;
}


void
tn__validate_param(tn_op *op, tn_str at, const tn__field *field, tn_str text,
                   tn_str *value)
{
    int rc;

    *value = text;

    switch (field->type) {

    case TN__TYPE_TEXT:
        check_text(op, at, field, value);
        return;

    case TN__TYPE_INT:
    case TN__TYPE_NUMBER:
        rc = param_number(op, at, field, text, value);
        break;

    case TN__TYPE_JSON:
    case TN__TYPE_OBJECT:
        rc = param_json(op, text);
        break;

    default:
        rc = tn__value_parse(value, field, text, op->mem);

        if (rc < 0) {
            tn__fail(op, TN_E_NOMEM, NULL);
        }
    }

    if (rc == 0) {
        tn__fault(op, at, TN_F_BAD_FORMAT, format_of(field));
    }
}
