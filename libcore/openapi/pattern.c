/*
 * pattern.c: the part of PCRE2 that ECMA-262 shares, in its spelling. What is
 * not known to be the same is left out of the document, not guessed: the server
 * checks the pattern in any case.
 */

#include "libcore/openapi/openapi.h"


typedef struct pattern {
    const char *p;
    tn__buf out;
    int class;      /* between brackets */
    int quantified; /* a quantifier was just read */
    int foreign;    /* it has no equal */
} pattern;


/* Behind a backslash. */
static void
escape(pattern *x)
{
    char c;

    c = *x->p++;

    if (c == '\0') {
        x->p--;
        x->foreign = 1;

    } else if (!x->class && (c == 'z' || c == 'Z')) {
        tn__buf_char(&x->out, '$');

    } else if (!x->class && c == 'A') {
        tn__buf_char(&x->out, '^');

    } else if (strchr("dDwWtrnfv", c) || (!x->class && strchr("bB", c)) ||
               strchr("^$\\.*+?()[]{}|/", c) || (x->class && c == '-')) {
        tn__buf_char(&x->out, '\\');
        tn__buf_char(&x->out, c);

    } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               (c >= '0' && c <= '9')) {
        x->foreign = 1;

    } else {
        tn__buf_char(&x->out, c); /* ECMA knows no escape of it */
    }
}


/* Behind an opening parenthesis: groups and lookarounds of both. */
static void
group(pattern *x)
{
    if (*x->p == '*') {
        x->foreign = 1;

    } else if (*x->p == '?') {
        x->foreign |=
            x->p[1] == '\0' || !strchr(":=!<", x->p[1]) ||
            (x->p[1] == '<' && (x->p[2] == '\0' || !strchr("=!", x->p[2])));
        tn__buf_char(&x->out, *x->p++);
    }
}


/* A brace is a quantifier: {3}, {3,}, {3,5}. */
static int
quantifier(const pattern *x)
{
    size_t n;

    n = strspn(x->p, "0123456789");
    if (n == 0) {
        return 0;
    }

    if (x->p[n] == ',') {
        n++;
        n += strspn(x->p + n, "0123456789");
    }

    return x->p[n] == '}';
}


static void
outside(pattern *x, char c)
{
    int was;

    was = x->quantified;
    x->quantified = 0;

    switch (c) {

    case '+':
        x->foreign |= was; /* possessive */
        x->quantified = 1;
        break;

    case '*':
    case '?':
    case '}':
        x->foreign |= c == '}' && !was;
        x->quantified = c != '?' || !was;
        break;

    case '{':
        x->foreign |= !quantifier(x);
        tn__buf_char(&x->out, c);
        while (*x->p && *x->p != '}') {
            tn__buf_char(&x->out, *x->p++);
        }
        x->quantified = 1;
        return;

    case '(':
        tn__buf_char(&x->out, c);
        group(x);
        return;

    case '[':
        x->class = 1;
        tn__buf_char(&x->out, c);
        if (*x->p == '^') {
            tn__buf_char(&x->out, *x->p++);
        }
        x->foreign |= *x->p == ']'; /* a member in PCRE, the end in ECMA */
        return;

    case ']':
        x->foreign = 1;
        break;
    }

    tn__buf_char(&x->out, c);
}


tn_err
tn__openapi_pattern(tn_str *out, const char *pcre, tn_mem *mem)
{
    char c;
    pattern x;

    memset(&x, 0, sizeof(x));
    x.p = pcre;
    tn__buf_init(&x.out, mem, strlen(pcre) + 8);

    while (*x.p && !x.foreign) {
        c = *x.p++;

        if (c == '\\') {
            escape(&x);
            x.quantified = 0;

        } else if (!x.class) {
            outside(&x, c);

        } else {
            x.foreign |= c == '[' && *x.p == ':'; /* [:alpha:] */
            x.class = c != ']';
            tn__buf_add(&x.out, c == '[' ? TN_STR("\\") : TN_STR(""));
            tn__buf_char(&x.out, c);
        }
    }

    if (x.foreign) {
        *out = TN_NULL;
        return x.out.err;
    }

    return tn__buf_str(out, &x.out);
}
