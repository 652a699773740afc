/*
 * keys.c: the file of nginx's tenon_signing_key: who signs access tokens, who
 * will next, and who has before.
 *
 * The next key is published long before it signs: who verifies tokens by a JWKS
 * fetched a while ago, an nginx worker of before a reload included, knows it
 * already when its first token comes.
 */

#include "tenonctl.h"
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>


/* Seconds that a key must have been published before it signs: a JWKS is kept
 * for five minutes, and somebody has to reload nginx. */
#define PUBLISHED 600
/* Seconds for which a key is accepted after it signed, at least: tokens live a
 * quarter of an hour, unless tenon_token_ttl says otherwise. */
#define ACCEPTED 3600
#define TTL_MAX  (10LL * 365 * 86400) /* tenon_token_ttl's */

typedef struct keys {
    char *path;
    int force;
    int64_t accepted;
} keys;


static const char help[] =
    "usage: tenonctl keys new|list|rotate [OPTION]...\n"
    "\n"
    "Keeps the file of nginx's tenon_signing_key, whose first key signs "
    "access\n"
    "tokens; the second is the next to do so, the others did before.\n"
    "\n"
    "  new     makes the file, with a key that signs and the next one\n"
    "  list    prints place, id and time of each key; no secrets\n"
    "  rotate  has the next key sign, keeps the one that did for verifying,\n"
    "          adds a new next one, drops what nobody needs any more; run\n"
    "          `nginx -s reload` behind it\n"
    "\n"
    "  --file FILE  the file ($TENON_VAR/keys/signing.key, or that of `make "
    "run`)\n"
    "  --ttl TIME   what nginx's tenon_token_ttl says, like 900, 90m, 12h or "
    "2d:\n"
    "               rotate keeps a key that signed for so long, and for an "
    "hour "
    "at\n"
    "               least. Say it where that is more: else tokens die before "
    "their\n"
    "               time\n"
    "  --force      rotate though the next key has been published for less "
    "than\n"
    "               ten minutes: who keeps an older JWKS refuses its tokens\n";


/* 0 when it is no time. */
static int
parse_time(int64_t *seconds, const char *text)
{
    char *end;
    int64_t n, unit;

    if (text[0] < '0' || text[0] > '9') {
        return 0;
    }

    n = strtoll(text, &end, 10); /* the most there is, where it is too large */

    switch (*end) {
    case '\0':
        unit = 1;
        end--;
        break;
    case 's':
        unit = 1;
        break;
    case 'm':
        unit = 60;
        break;
    case 'h':
        unit = 3600;
        break;
    case 'd':
        unit = 86400;
        break;
    default:
        return 0;
    }

    if (end[1] != '\0' || n > TTL_MAX / unit) {
        return 0;
    }

    *seconds = n * unit;

    return 1;
}


static void
list(const tn_key_ring *ring)
{
    unsigned i;
    char id[TN_KEY_ID_SIZE], since[CTL_TIME_TEXT];

    for (i = 0; i < ring->n; i++) {
        tn_signing_key_id(id, &ring->keys[i]);
        printf("%-8s  %s  %s\n",
               i == 0   ? "signing"
               : i == 1 ? "next"
                        : "previous",
               id, ctl_time_text(since, ring->keys[i].since));
    }
}


/* ---- the commands ---- */

static int
keys_new(const char *path)
{
    int rc;
    int64_t now;
    tn_key_ring ring;

    now = time(NULL);
    memset(&ring, 0, sizeof(ring));
    ctl_ring_key(&ring.keys[ring.n++], now);
    ctl_ring_key(&ring.keys[ring.n++], now);
    rc = ctl_ring_write(path, &ring, NULL);

    if (rc == 0) {
        list(&ring);
    }

    sodium_memzero(&ring, sizeof(ring));

    return rc;
}


static int
keys_list(const char *path)
{
    int rc;
    ctl_ring_file file;

    rc = ctl_ring_open(&file, path);

    if (rc == 0) {
        list(&file.ring);
    }

    ctl_ring_close(&file);

    return rc;
}


/* next, a new one, the one that signed, those before it that still may have
 * tokens about. Where there was no next one yet, there is now: it is not known
 * to anybody, so nothing else changes. */
static int
turn(tn_key_ring *to, const tn_key_ring *from, int64_t now, int64_t accepted)
{
    unsigned i;
    int64_t since;

    memset(to, 0, sizeof(tn_key_ring));
    to->keys[to->n++] = from->keys[from->n > 1];

    if (from->n > 1) {
        to->keys[0].since = now;
    }

    ctl_ring_key(&to->keys[to->n++], now);

    if (from->n > 1) {
        to->keys[to->n] = from->keys[0];
        to->keys[to->n++].since = now;
    }

    for (i = 2; i < from->n; i++) {
        since = from->keys[i].since ? from->keys[i].since : now;

        if (now - since > accepted) {
            continue;
        }

        if (to->n == TN_RING_KEYS_MAX) {
            return ctl_error("there are %u keys that may have tokens about: "
                             "wait, or take lines away from the end",
                             from->n);
        }

        to->keys[to->n] = from->keys[i];
        to->keys[to->n++].since = since;
    }

    return 0;
}


static int
rotate(const keys *k, ctl_ring_file *file)
{
    int rc;
    int64_t now, since;
    char text[CTL_TIME_TEXT];
    tn_key_ring ring;

    now = time(NULL);
    since = file->ring.n > 1 ? file->ring.keys[1].since : 0;

    if (since && now - since < PUBLISHED && !k->force) {
        return ctl_error("%s: the next key is there since %s only, and who "
                         "verifies tokens may not know it; wait until it is "
                         "ten minutes old, or say --force",
                         file->path, ctl_time_text(text, since));
    }

    rc = turn(&ring, &file->ring, now, k->accepted);

    if (rc == 0) {
        rc = ctl_ring_write(file->path, &ring, &file->stat);
    }

    if (rc == 0) {
        list(&ring);
        fputs(file->ring.n > 1
                  ? "reload nginx now\n"
                  : "there was no next key: one is published when nginx is "
                    "reloaded, and signs after the next rotation\n",
              stderr);
    }

    sodium_memzero(&ring, sizeof(ring));

    return rc;
}


static int
keys_rotate(const keys *k)
{
    int rc;
    ctl_ring_file file;

    rc = ctl_ring_open(&file, k->path);

    if (rc == 0) {
        rc = rotate(k, &file);
    }

    ctl_ring_close(&file);

    return rc;
}


static int
run(const keys *k, const char *command)
{
    if (sodium_init() < 0) {
        return ctl_error("libsodium can't be started");
    }

    if (strcmp(command, "new") == 0) {
        return keys_new(k->path);
    }

    if (strcmp(command, "list") == 0) {
        return keys_list(k->path);
    }

    return keys_rotate(k);
}


int
ctl_keys(int argc, char **argv)
{
    int opt, rc;
    keys k;
    const char *name;

    static const struct option options[] = {
        { "file", required_argument, NULL, 'f' },
        { "ttl", required_argument, NULL, 't' },
        { "force", no_argument, NULL, 'F' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };

    name = NULL;
    memset(&k, 0, sizeof(k));

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 'f':
            name = optarg;
            break;
        case 't':
            if (!parse_time(&k.accepted, optarg)) {
                ctl_error("--ttl %s is no time like 900, 90m, 12h or 2d",
                          optarg);
                return CTL_USAGE;
            }
            break;
        case 'F':
            k.force = 1;
            break;
        case 'h':
            fputs(help, stdout);
            return CTL_OK;
        default:
            fputs(help, stderr);
            return CTL_USAGE;
        }
    }

    if (argc - optind != 1 || (strcmp(argv[optind], "new") != 0 &&
                               strcmp(argv[optind], "list") != 0 &&
                               strcmp(argv[optind], "rotate") != 0)) {
        ctl_error("say new, list or rotate");
        fputs(help, stderr);
        return CTL_USAGE;
    }

    if (k.accepted < ACCEPTED) {
        k.accepted = ACCEPTED;
    }

    k.path = name ? ctl_format("%s", name) : ctl_var_path("keys/signing.key");
    rc = run(&k, argv[optind]);
    free(k.path);

    return rc == 0 ? CTL_OK : CTL_FAILED;
}
