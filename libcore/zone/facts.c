/*
 * facts.c: what is known of a principal as bytes, for the zone's small cells. What
 * there may be much of is packed: accounts take 17 of them instead of 50,
 * permissions a bit each, a role's name is said once.
 *
 *     fact      form 1, length 2, bytes
 *     grants    length 1 of the first bitset; permissions of the tenant, then
 *               of one's own, bit k of byte i for number 8 i + k
 *     roles     { length 1, name, fact: its grants }
 *     accounts  number of names 1, { length 1, name }, { name's place 1, id 16 }
 *
 * Roles stay names: which bits they are is for the catalogue of the worker that
 * reads, and permissions are the database's numbers, which never change their
 * meaning. A fact is packed only where that makes it shorter and unpacking gives
 * back its very text.
 */

#include "libcore/zone/zone.h"

#define BITS  (TN__PERM_MAX / 8 + 1)
#define NAMES 255

static int pack_fact(tn__buf *out, tn__fact_form form, tn_str text);
static int unpack_fact(tn_str *text, tn_str *rest, tn__fact_form form,
                       tn_mem *mem, tn_err *err);


/* The first n bytes of *rest; 0 when it has fewer. */
static int
take(tn_str *out, tn_str *rest, size_t n)
{
    if (rest->n < n) {
        return 0;
    }

    *out = (tn_str){ rest->p, n };
    *rest = (tn_str){ rest->p + n, rest->n - n };

    return 1;
}


static int
take_number(size_t *out, tn_str *rest)
{
    tn_str byte;

    if (!take(&byte, rest, 1)) {
        return 0;
    }

    *out = (unsigned char) byte.p[0];

    return 1;
}


/* A name behind its length. */
static int
take_name(tn_str *out, tn_str *rest)
{
    size_t n;

    return take_number(&n, rest) && take(out, rest, n);
}


static int
add_name(tn__buf *out, tn_str name)
{
    if (name.n > 255) {
        return 0;
    }

    tn__buf_char(out, (char) name.n);
    tn__buf_add(out, name);

    return 1;
}


static int
pack_grants(tn__buf *out, tn_str text)
{
    size_t i, n[2];
    int64_t number;
    tn_str grant;
    unsigned own;
    unsigned char bits[2][BITS];

    memset(bits, 0, sizeof(bits));
    n[0] = n[1] = 0;

    while (text.n) {
        grant = tn__split(&text, ',');

        if (grant.n < 2 ||
            !tn__int_parse(&number, tn__sub(grant, 0, grant.n - 1)) ||
            number < 1 || number > TN__PERM_MAX) {
            return 0;
        }

        own = grant.p[grant.n - 1] == 'o';
        i = (size_t) number / 8;
        bits[own][i] |= (unsigned char) (1u << (number % 8));
        n[own] = n[own] > i ? n[own] : i + 1;
    }

    tn__buf_char(out, (char) n[0]);

    for (own = 0; own < 2; own++) {
        tn__buf_add(out, (tn_str){ (char *) bits[own], n[own] });
    }

    return 1;
}


static int
bit(tn_str bits, size_t number)
{
    return number / 8 < bits.n &&
           ((unsigned char) bits.p[number / 8] >> (number % 8) & 1);
}


/* In the order of their numbers, as the database tells them. */
static int
unpack_grants(tn__buf *out, tn_str packed)
{
    char letter;
    size_t i, n, before;
    tn_str tenant;

    if (!take_number(&n, &packed) || !take(&tenant, &packed, n) || n > BITS ||
        packed.n > BITS) {
        return 0;
    }

    n = 8 * (tenant.n > packed.n ? tenant.n : packed.n);
    before = out->n;

    for (i = 1; i < n; i++) {
        for (letter = 't'; letter; letter = letter == 't' ? 'o' : '\0') {
            if (bit(letter == 't' ? tenant : packed, i)) {
                if (out->n > before) {
                    tn__buf_char(out, ',');
                }
                tn__buf_int(out, (int64_t) i);
                tn__buf_char(out, letter);
            }
        }
    }

    return 1;
}


static int
pack_roles(tn__buf *out, tn_str text)
{
    tn_str role, name;

    while (text.n) {
        role = tn__split(&text, ';');
        name = tn__split(&role, '=');

        if (!add_name(out, name) || !pack_fact(out, TN__FACT_GRANTS, role)) {
            return 0;
        }
    }

    return 1;
}


static int
unpack_roles(tn__buf *out, tn_str packed)
{
    tn_err err;
    size_t before;
    tn_str name, grants;

    err = TN_OK; /* what failed in `out` before stays failed */
    before = out->n;

    while (packed.n) {
        if (!take_name(&name, &packed) ||
            !unpack_fact(&grants, &packed, TN__FACT_GRANTS, out->mem, &err)) {
            out->err = err ? err : out->err;
            return 0;
        }

        if (out->n > before) {
            tn__buf_char(out, ';');
        }

        tn__buf_add(out, name);
        tn__buf_char(out, '=');
        tn__buf_add(out, grants);
    }

    return 1;
}


/* Where the name stands, added if it is new; NAMES when there are too many. */
static unsigned
place(tn_str *names, unsigned *n, tn_str name)
{
    unsigned i;

    for (i = 0; i < *n && !tn__eq(names[i], name); i++) {
    }

    if (i == *n && i < NAMES) {
        names[(*n)++] = name;
    }

    return i;
}


static int
pack_accounts(tn__buf *out, tn_str text)
{
    tn__buf list;
    unsigned i, n, at;
    unsigned char uuid[16];
    tn_str entry, account, names[NAMES];

    n = 0;
    tn__buf_init(&list, out->mem, text.n / 2);

    while (text.n) {
        entry = tn__split(&text, ',');
        account = tn__split(&entry, ':');
        at = place(names, &n, entry);

        if (at == NAMES || !tn__uuid_parse(uuid, account)) {
            return 0;
        }

        tn__buf_char(&list, (char) at);
        tn__buf_add(&list, (tn_str){ (char *) uuid, sizeof(uuid) });
    }

    tn__buf_char(out, (char) n);

    for (i = 0; i < n; i++) {
        if (!add_name(out, names[i])) {
            return 0;
        }
    }

    if (tn__buf_str(&text, &list) != TN_OK) {
        out->err = TN_E_NOMEM;
        return 0;
    }

    tn__buf_add(out, text);

    return 1;
}


static int
unpack_accounts(tn__buf *out, tn_str packed)
{
    size_t i, n, at, before;
    char text[TN__UUID_TEXT];
    tn_str account, names[NAMES];

    if (!take_number(&n, &packed)) {
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (!take_name(&names[i], &packed)) {
            return 0;
        }
    }

    before = out->n;

    while (packed.n) {
        if (!take_number(&at, &packed) || at >= n ||
            !take(&account, &packed, 16)) {
            return 0;
        }

        if (out->n > before) {
            tn__buf_char(out, ',');
        }

        tn__uuid_text(text, (const unsigned char *) account.p);
        tn__buf_add(out, (tn_str){ text, sizeof(text) });
        tn__buf_char(out, ':');
        tn__buf_add(out, names[at]);
    }

    return 1;
}


static int
pack(tn__buf *out, tn__fact_form form, tn_str text)
{
    switch (form) {
    case TN__FACT_GRANTS:
        return pack_grants(out, text);
    case TN__FACT_ROLES:
        return pack_roles(out, text);
    case TN__FACT_ACCOUNTS:
        return pack_accounts(out, text);
    case TN__FACT_TEXT:
        break;
    }

    return 0;
}


static int
unpack(tn__buf *out, tn__fact_form form, tn_str packed)
{
    switch (form) {
    case TN__FACT_GRANTS:
        return unpack_grants(out, packed);
    case TN__FACT_ROLES:
        return unpack_roles(out, packed);
    case TN__FACT_ACCOUNTS:
        return unpack_accounts(out, packed);
    case TN__FACT_TEXT:
        break;
    }

    return 0;
}


/* The text in its form, if it is shorter so, and one that comes back. */
static int
in_form(tn_str *packed, tn__buf *out, tn__fact_form form, tn_str text)
{
    int same;
    tn_str back;
    tn__buf there, again;

    tn__buf_init(&there, out->mem, text.n);
    tn__buf_init(&again, out->mem, text.n);

    same = pack(&there, form, text) && tn__buf_str(packed, &there) == TN_OK &&
           packed->n < text.n && unpack(&again, form, *packed) &&
           tn__buf_str(&back, &again) == TN_OK && tn__eq(back, text);

    if (there.err || again.err) {
        out->err = TN_E_NOMEM;
    }

    return same;
}


/* 0 when it is too long. */
static int
pack_fact(tn__buf *out, tn__fact_form form, tn_str text)
{
    tn_str packed;

    if (text.n == 0 || !in_form(&packed, out, form, text)) {
        form = TN__FACT_TEXT;
        packed = text;
    }

    if (packed.n > UINT16_MAX) {
        return 0;
    }

    tn__buf_char(out, (char) form);
    tn__buf_char(out, (char) (packed.n >> 8));
    tn__buf_char(out, (char) packed.n);
    tn__buf_add(out, packed);

    return 1;
}


/* 0 when there is none, or no memory: *err. */
static int
unpack_fact(tn_str *text, tn_str *rest, tn__fact_form form, tn_mem *mem,
            tn_err *err)
{
    tn__buf buf;
    tn_str head, packed;

    if (!take(&head, rest, 3) || !take(&packed, rest,
                                       (size_t) (unsigned char) head.p[1] << 8 |
                                           (unsigned char) head.p[2])) {
        return 0;
    }

    if (head.p[0] == TN__FACT_TEXT) {
        *text = packed;
        return 1;
    }

    if (head.p[0] != (char) form) {
        return 0;
    }

    /* an account's 17 bytes become 37 and its role's name */
    tn__buf_init(&buf, mem, 3 * packed.n + 64);

    if (!unpack(&buf, form, packed)) {
        *err = buf.err ? buf.err : *err;
        return 0;
    }

    *err = tn__buf_str(text, &buf);

    return *err == TN_OK;
}


tn_err
tn__facts_pack(tn_str *out, const tn_str *facts, const tn__fact_form *forms,
               unsigned n, tn_mem *mem)
{
    unsigned i;
    tn__buf buf;

    tn__buf_init(&buf, mem, TN_ZONE_VALUE_MAX);

    for (i = 0; i < n; i++) {
        if (!pack_fact(&buf, forms[i], facts[i])) {
            *out = TN_NULL;
            return buf.err;
        }
    }

    return tn__buf_str(out, &buf);
}


tn_err
tn__facts_unpack(tn_str *facts, const tn__fact_form *forms, unsigned n,
                 tn_str packed, tn_mem *mem)
{
    tn_err err;
    unsigned i;

    err = TN_OK;

    for (i = 0; i < n; i++) {
        if (!unpack_fact(&facts[i], &packed, forms[i], mem, &err)) {
            return err ? err : TN_E_INTERNAL;
        }
    }

    return packed.n ? TN_E_INTERNAL : TN_OK;
}
