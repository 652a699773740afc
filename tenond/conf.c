/*
 * conf.c: settings from a file and the command line. Each is a row; a line of
 * the file is "name value", an option "--name value".
 */

#include "tenond.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

typedef struct td_setting {
    const char *name;
    const char *what; /* its value, in help */
    size_t offset;    /* in td_conf */
    long min;         /* of a number; max < min: a text */
    long max;
    const char *fallback;
    const char *const *words; /* that stand for 0, 1…; NULL: a number */
    const char *purpose;
} td_setting;

static const char *const switches[] = { "off", "on", NULL };
static const char *const levels[] = { "error", "warn", "notice", "info", NULL };

static const td_setting settings[] = {
    { "database", "CONNINFO", offsetof(td_conf, database), 1, 0,
      "dbname=tenon user=tenon_worker", NULL,
      "libpq's form, with a socket or hostaddr (a name is resolved by "
      "blocking); else $TENON_DATABASE" },
    { "connections", "N", offsetof(td_conf, connections), 1, TD_CONNECTIONS_MAX,
      "4", NULL, "to the database for jobs, and one more, at most" },
    { "jobs", "N", offsetof(td_conf, jobs), 1, TN_WORK_CLAIM_MAX, "16", NULL,
      "under way at a time, at most" },
    { "poll_interval", "MS", offsetof(td_conf, poll), 10, 60000, "150", NULL,
      "between two looks for work when there is none" },
    { "stop_timeout", "MS", offsetof(td_conf, stop), 0, 600000, "20000", NULL,
      "that work under way gets to end after SIGTERM" },
    { "prepare", "on|off", offsetof(td_conf, prepare), 0, 1, "on", switches,
      "off: behind a pooler in transaction mode" },
    { "stripe_api", "URL", offsetof(td_conf, stripe_api), 1, 0,
      "https://api.stripe.com", NULL, "where Stripe's API is" },
    { "stripe_key", "FILE", offsetof(td_conf, stripe_key), 1, 0, "", NULL,
      "that holds the key for it; not for others to read" },
    { "log_level", "LEVEL", offsetof(td_conf, level), 0, TD_INFO, "notice",
      levels, "error, warn, notice or info" },
};

#define NSETTINGS (sizeof(settings) / sizeof(settings[0]))


static void
help(FILE *out)
{
    size_t i;
    char left[32];

    fputs("usage: tenond [--config FILE] [--check] [--SETTING VALUE]...\n\n"
          "Does the work that lies in tenon.job, in the foreground, until\n"
          "SIGTERM. Several may run.\n\n"
          "  --config FILE            lines of \"SETTING VALUE\"; # begins a "
          "comment\n"
          "  --check                  look at the settings, and no more\n\n"
          "settings, which an option says before the file does:\n",
          out);

    for (i = 0; i < NSETTINGS; i++) {
        snprintf(left, sizeof(left), "%s %s", settings[i].name,
                 settings[i].what);
        fprintf(out, "  %-24s %s (%s)\n", left, settings[i].purpose,
                settings[i].fallback);
    }

    fputs("\nexit codes: 0 asked to stop, 1 failed, 2 called the wrong way\n",
          out);
}


/* A number, or the place of a word; -1 when it is neither. */
static long
parse(const td_setting *s, const char *value)
{
    long i;
    char *end;

    if (s->words) {
        for (i = 0; s->words[i]; i++) {
            if (strcmp(s->words[i], value) == 0) {
                return i;
            }
        }

        return -1;
    }

    errno = 0;
    i = strtol(value, &end, 10);

    return value[0] >= '0' && value[0] <= '9' && *end == '\0' && errno == 0
               ? i
               : -1;
}


/* Sets it; what is wrong, and where, is said. */
static int
set(td_conf *conf, const td_setting *s, const char *value, const char *where)
{
    long number;
    char **text;

    if (s->max < s->min) {
        text = (char **) ((char *) conf + s->offset);
        free(*text);
        *text = strdup(value);

        if (*text == NULL) {
            fprintf(stderr, "tenond: out of memory\n");
            return -1;
        }

        return 0;
    }

    number = parse(s, value);

    if (number < s->min || number > s->max) {
        fprintf(stderr, "tenond: %s: %s can't be \"%s\": ", where, s->name,
                value);

        if (s->words) {
            fprintf(stderr, "it is one of %s\n", s->what);
        } else {
            fprintf(stderr, "it is a number from %ld to %ld\n", s->min, s->max);
        }

        return -1;
    }

    *(long *) ((char *) conf + s->offset) = number;

    return 0;
}


static const td_setting *
find(const char *name)
{
    size_t i;

    for (i = 0; i < NSETTINGS; i++) {
        if (strcmp(settings[i].name, name) == 0) {
            return &settings[i];
        }
    }

    return NULL;
}


/* One line of the file: 0, or -1 after having said what is wrong with it. */
static int
set_line(td_conf *conf, char *line, const char *where)
{
    size_t n;
    char *value;
    const td_setting *s;

    n = strcspn(line, "\r\n");
    line[n] = '\0';
    line += strspn(line, " \t");

    if (line[0] == '\0' || line[0] == '#') {
        return 0;
    }

    for (n = strlen(line); n && strchr(" \t", line[n - 1]); n--) {
        line[n - 1] = '\0';
    }

    value = line + strcspn(line, " \t");

    if (*value) {
        *value++ = '\0';
        value += strspn(value, " \t");
    }

    s = find(line);

    if (s == NULL) {
        fprintf(stderr, "tenond: %s: there is no setting \"%s\"\n", where,
                line);
        return -1;
    }

    if (*value == '\0') {
        fprintf(stderr, "tenond: %s: %s has no value\n", where, line);
        return -1;
    }

    return set(conf, s, value, where);
}


static int
read_file(td_conf *conf, const char *path)
{
    int rc;
    FILE *in;
    char line[LINE_MAX_BYTES], where[512];
    unsigned number;

    in = fopen(path, "re");
    if (in == NULL) {
        fprintf(stderr, "tenond: %s: %s\n", path, strerror(errno));
        return -1;
    }

    rc = 0;

    for (number = 1; fgets(line, sizeof(line), in); number++) {
        snprintf(where, sizeof(where), "%s:%u", path, number);

        if (strchr(line, '\n') == NULL && !feof(in)) {
            fprintf(stderr, "tenond: %s: the line is too long\n", where);
            rc = -1;
            break;
        }

        if (set_line(conf, line, where) != 0) {
            rc = -1;
        }
    }

    if (ferror(in)) {
        fprintf(stderr, "tenond: %s: it can't be read\n", path);
        rc = -1;
    }

    fclose(in);

    return rc;
}


static int
defaults(td_conf *conf)
{
    size_t i;
    const char *database = getenv("TENON_DATABASE");

    memset(conf, 0, sizeof(td_conf));

    for (i = 0; i < NSETTINGS; i++) {
        if (set(conf, &settings[i], settings[i].fallback, "default") != 0) {
            return -1;
        }
    }

    if (database && database[0]) {
        return set(conf, find("database"), database, "TENON_DATABASE");
    }

    return 0;
}


/* The options: those of the file are its own, the others are settings. Run
 * twice: first for the file, then over what that said. */
static int
read_options(td_conf *conf, int argc, char **argv, const char **file)
{
    size_t i;
    int opt, rc;
    char where[64];
    struct option options[NSETTINGS + 5];

    enum {
        CONFIG = NSETTINGS,
        CHECK,
        HELP,
        VERSION,
    };

    memset(options, 0, sizeof(options));

    for (i = 0; i < NSETTINGS; i++) {
        options[i].name = settings[i].name;
        options[i].has_arg = required_argument;
        options[i].val = (int) i;
    }

    options[CONFIG] = (struct option){ "config", 1, NULL, CONFIG };
    options[CHECK] = (struct option){ "check", 0, NULL, CHECK };
    options[HELP] = (struct option){ "help", 0, NULL, HELP };
    options[VERSION] = (struct option){ "version", 0, NULL, VERSION };

    rc = 0;
    optind = 1;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case CONFIG:
            *file = optarg;
            break;
        case CHECK:
            conf->check = 1;
            break;
        case HELP:
            help(stdout);
            return TD_OK + 1;
        case VERSION:
            puts("tenond " TN_VERSION);
            return TD_OK + 1;
        case '?':
            return TD_USAGE + 1;
        default:
            snprintf(where, sizeof(where), "--%s", settings[opt].name);
            if (set(conf, &settings[opt], optarg, where) != 0) {
                rc = TD_USAGE + 1;
            }
        }
    }

    if (optind != argc) {
        fprintf(stderr, "tenond: what is \"%s\"?\n", argv[optind]);
        rc = TD_USAGE + 1;
    }

    return rc;
}


/* A key's file: 0, or -1 after having said what is wrong. Others must not be
 * able to read it; its text is said nowhere. */
static int
read_key(td_conf *conf, const char *path)
{
    int fd;
    ssize_t n, i;
    struct stat st;

    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) != 0) {
        fprintf(stderr, "tenond: stripe_key: %s: %s\n", path, strerror(errno));
        n = -1;

    } else if (!S_ISREG(st.st_mode)) {
        fprintf(stderr, "tenond: stripe_key: %s is no regular file\n", path);
        n = -1;

    } else if (st.st_mode & (S_IROTH | S_IWOTH)) {
        fprintf(stderr,
                "tenond: stripe_key: %s is accessible by others, its mode "
                "must be 0600 or 0640\n",
                path);
        n = -1;

    } else {
        n = read(fd, conf->key, sizeof(conf->key));

        if (n < 0) {
            fprintf(stderr, "tenond: stripe_key: %s: %s\n", path,
                    strerror(errno));
        }
    }

    if (fd >= 0) {
        close(fd);
    }

    if (n < 0) {
        return -1;
    }

    n -= n && conf->key[n - 1] == '\n';

    for (i = 0; i < n && isgraph((unsigned char) conf->key[i]); i++) {
        /* characters of a key */
    }

    if (n == 0 || n > TD_KEY_MAX || i < n) {
        fprintf(stderr,
                "tenond: stripe_key: %s must hold one line with a key, of at "
                "most %d characters, and no blanks\n",
                path, TD_KEY_MAX);
        return -1;
    }

    conf->work.stripe_key = (tn_str){ conf->key, (size_t) n };

    return 0;
}


/* What is said of other people's servers. */
static int
read_others(td_conf *conf)
{
    size_t n;
    const char *url = conf->stripe_api;

    if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) {
        fprintf(stderr,
                "tenond: stripe_api can't be \"%s\": it is an address that "
                "begins with https:// (or http://, for tests)\n",
                url);
        return -1;
    }

    for (n = strlen(url); url[n - 1] == '/'; n--) {
        /* paths begin with one */
    }

    conf->work.stripe_api = (tn_str){ url, n };

    return conf->stripe_key[0] ? read_key(conf, conf->stripe_key) : 0;
}


int
td_conf_read(td_conf *conf, int argc, char **argv)
{
    int rc;
    const char *file = NULL;

    if (defaults(conf) != 0) {
        return TD_FAILED + 1;
    }

    rc = read_options(conf, argc, argv, &file);

    if (rc == 0 && file) {
        rc = read_file(conf, file) == 0 ? read_options(conf, argc, argv, &file)
                                        : TD_USAGE + 1;
    }

    if (rc == 0 && !tn_pg_conninfo_valid(conf->database)) {
        fputs("tenond: database isn't of libpq's form, as in \"host=/run/"
              "postgresql dbname=tenon user=tenon_worker\", or has a setting "
              "that libpq doesn't know\n",
              stderr);
        rc = TD_USAGE + 1;
    }

    if (rc == 0 && read_others(conf) != 0) {
        rc = TD_USAGE + 1;
    }

    if (rc == TD_USAGE + 1) {
        fputs("`tenond --help` tells more\n", stderr);
    }

    return rc;
}


void
td_conf_free(td_conf *conf)
{
    free(conf->database);
    free(conf->stripe_api);
    free(conf->stripe_key);
    explicit_bzero(conf->key, sizeof(conf->key));
}
