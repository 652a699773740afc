/*
 * sql.c: SQL files, run statement by statement, so that every error has a
 * file and a line, also those the server gives no position for.
 *
 * The scanner knows what can hide a semicolon: quotes, dollar quotes,
 * comments, parentheses, and the BEGIN ATOMIC … END bodies of functions.
 */

#include "tenonctl.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>


static int
is_word(char c)
{
    return isalnum((unsigned char) c) || c == '_' || (c & 0x80);
}


/* Behind a comment or blanks at p, or p itself when there are none. */
static const char *
skip_blank(const char *p)
{
    int depth;

    if (p[0] == '-' && p[1] == '-') {
        return p + strcspn(p, "\n");
    }

    if (p[0] == '/' && p[1] == '*') {
        depth = 0;

        do {
            if (p[0] == '/' && p[1] == '*') {
                depth++;
                p += 2;
            } else if (p[0] == '*' && p[1] == '/') {
                depth--;
                p += 2;
            } else {
                p++;
            }
        } while (depth && *p);

        return p;
    }

    while (isspace((unsigned char) *p)) {
        p++;
    }

    return p;
}


/* Behind a quoted thing that starts at p, or p when none does. */
static const char *
skip_quoted(const char *p, int escapes)
{
    size_t n;
    char quote;

    if (*p == '\'' || *p == '"') {
        quote = *p++;

        while (*p) {
            if (*p == '\\' && escapes && p[1]) {
                p += 2;
            } else if (*p == quote && p[1] == quote) {
                p += 2;
            } else if (*p == quote) {
                return p + 1;
            } else {
                p++;
            }
        }

        return p;
    }

    if (*p == '$' && !isdigit((unsigned char) p[1])) {
        n = 1;
        while (is_word(p[n])) {
            n++;
        }

        if (p[n] != '$') {
            return p;
        }

        n++;

        for (const char *q = p + n; *q; q++) {
            if (*q == '$' && strncmp(q, p, n) == 0) {
                return q + n;
            }
        }

        return p + strlen(p);
    }

    return p;
}


static int
word_is(const char *p, size_t n, const char *word)
{
    return strlen(word) == n && strncasecmp(p, word, n) == 0;
}


int
ctl_statement(const char **start, const char **end, const char *p)
{
    size_t n;
    unsigned parens, blocks, words;
    int create, routine;
    const char *next;

    for (next = skip_blank(p); next != p; next = skip_blank(p)) {
        p = next;
    }

    if (*p == '\0') {
        return 0;
    }

    *start = p;
    parens = blocks = words = 0;
    create = routine = 0;

    while (*p) {
        next = skip_blank(p);
        if (next == p) {
            next = skip_quoted(p, 0);
        }

        if (next != p) {
            p = next;
            continue;
        }

        if (is_word(*p)) {
            for (n = 0; is_word(p[n]) || p[n] == '$'; n++) { /* void */
            }

            words++;
            create |= words == 1 && word_is(p, n, "create");
            routine |=
                create && words <= 4 &&
                (word_is(p, n, "function") || word_is(p, n, "procedure"));

            if (routine && word_is(p, n, "begin")) {
                blocks++;
            } else if (blocks && word_is(p, n, "case")) {
                blocks++;
            } else if (blocks && word_is(p, n, "end")) {
                blocks--;
            }

            if (n == 1 && (*p == 'e' || *p == 'E') && p[1] == '\'') {
                p = skip_quoted(p + 1, 1);
            } else {
                p += n;
            }

            continue;
        }

        if (*p == '(') {
            parens++;
        } else if (*p == ')' && parens) {
            parens--;
        } else if (*p == ';' && parens == 0 && blocks == 0) {
            *end = p + 1;
            return 1;
        }

        p++;
    }

    *end = p;

    return 1;
}


static unsigned
line_of(const char *text, const char *p)
{
    unsigned line = 1;

    for (; text < p; text++) {
        line += *text == '\n';
    }

    return line;
}


static void
say(const char *label, const char *text)
{
    if (text) {
        fprintf(stderr, "  %s: %s\n", label, text);
    }
}


/* The server counts characters, from 1. */
static const char *
at_position(const char *sql, const PGresult *res)
{
    long i;
    const char *text = PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION);

    if (text == NULL) {
        return sql;
    }

    for (i = strtol(text, NULL, 10); i > 1 && *sql; i--) {
        do {
            sql++;
        } while ((*sql & 0xc0) == 0x80);
    }

    return sql;
}


/* Where in the app's SQL it happened, by the server's account. What
 * tenon.refuse() says needs none: file, line and message say it all, and the
 * rest is lines of the platform's functions. */
static const char *
context(const PGresult *res)
{
    const char *text, *name, *end;

    text = PQresultErrorField(res, PG_DIAG_CONTEXT);
    if (text == NULL) {
        return NULL;
    }

    name = strstr(text, "tenon.refuse(");
    end = text + strcspn(text, "\n");

    return name != NULL && name < end ? NULL : text;
}


static int
run(PGconn *conn, const char *path, const char *text, const char *start,
    const char *end)
{
    int rc;
    char *sql;
    PGresult *res;
    const char *message;

    sql = ctl_format("%.*s", (int) (end - start), start);
    res = PQexec(conn, sql);
    rc = 0;

    switch (PQresultStatus(res)) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_EMPTY_QUERY:
        break;

    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
        rc = ctl_error("%s:%u: COPY to or from the client is not possible",
                       path, line_of(text, start));
        break;

    default:
        message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
        rc = ctl_error("%s:%u: %s", path,
                       line_of(text, start + (at_position(sql, res) - sql)),
                       message ? message : PQerrorMessage(conn));
        say("detail", PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL));
        say("hint", ctl_hint(res));
        say("in", context(res));
        break;
    }

    if (rc == 0 && PQtransactionStatus(conn) != PQTRANS_INTRANS) {
        rc = ctl_error("%s:%u: begins or ends a transaction; the whole file "
                       "runs in one already",
                       path, line_of(text, start));
    }

    PQclear(res);
    free(sql);

    return rc;
}


int
ctl_run_file(PGconn *conn, const char *path, const char *text)
{
    const char *p, *start, *end;

    for (p = text; ctl_statement(&start, &end, p); p = end) {
        if (run(conn, path, text, start, end) != 0) {
            return -1;
        }
    }

    return 0;
}
