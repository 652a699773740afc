/*
 * encryption.c: the file of nginx's tenon_encryption_key: which key encrypts
 * what is kept encrypted, which will next, which have before; and what in the
 * database needs which (sealed.c).
 *
 * The next key is in the file one rotation before it encrypts: an nginx worker
 * of before the reload, or another node, can already read what a new one
 * writes.
 */

#include "tenonctl.h"
#include "sealed.h"
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Seconds that a key must have been in the file before it encrypts: every nginx
 * has to be reloaded meanwhile. */
#define KNOWN 600

typedef struct encryption {
    char *path;
    const char *database;
    int force;
} encryption;


static const char help[] =
    "usage: tenonctl encryption new|rotate|reencrypt|list [OPTION]...\n"
    "\n"
    "Keeps the file of nginx's tenon_encryption_key. Its first key encrypts\n"
    "secrets and the fields that apps declare encrypted; all of them decrypt.\n"
    "\n"
    "  new        makes the file, with a key that encrypts and the next one\n"
    "  rotate     has the next key encrypt and adds a new next one; the "
    "others\n"
    "             stay. Reload every nginx behind it, then reencrypt\n"
    "  reencrypt  encrypts with the first key what another one has, or what\n"
    "             isn't encrypted yet; may be stopped and run again at any "
    "time\n"
    "  list       counts what needs which key; no secrets\n"
    "\n"
    "  --file FILE          the file ($TENON_VAR/keys/encryption.key, or that "
    "of\n"
    "                       `make run`)\n"
    "  --force              rotate though the next key has been in the file "
    "for\n"
    "                       less than ten minutes: an nginx that wasn't "
    "reloaded\n"
    "                       can't read what is encrypted with it\n"
    "  --database CONNINFO  libpq's form (\"dbname=tenon user=tenon_owner\")\n";


static const char *
place_of(unsigned i)
{
    return i == 0 ? "encrypts" : i == 1 ? "next" : "decrypts";
}


static void
print_keys(const tn_key_ring *ring)
{
    unsigned i;
    char id[TN_ENCRYPTION_ID_LEN], since[CTL_TIME_TEXT];

    for (i = 0; i < ring->n; i++) {
        tn_encryption_key_id(id, ring->keys[i].seed);
        printf("%-8s  %.*s  %s\n", place_of(i), (int) sizeof(id), id,
               ctl_time_text(since, ring->keys[i].since));
    }
}


/* ---- the file ---- */

static int
new_file(const encryption *e)
{
    int rc;
    int64_t now;
    tn_key_ring ring;

    now = time(NULL);
    memset(&ring, 0, sizeof(ring));
    ctl_ring_key(&ring.keys[ring.n++], now);
    ctl_ring_key(&ring.keys[ring.n++], now);
    rc = ctl_ring_write(e->path, &ring, NULL);

    if (rc == 0) {
        print_keys(&ring);
    }

    sodium_memzero(&ring, sizeof(ring));

    return rc;
}


/* next, a new one, the one that encrypted, those before it. Where there was no
 * next one yet, there is now, and the same key goes on. */
static void
turn(tn_key_ring *to, const tn_key_ring *from, int64_t now)
{
    unsigned i, had;

    had = from->n > 1;
    memset(to, 0, sizeof(tn_key_ring));
    to->keys[to->n++] = from->keys[had];
    ctl_ring_key(&to->keys[to->n++], now);

    for (i = 0; i < from->n; i++) {
        if (i != had) {
            to->keys[to->n++] = from->keys[i];
        }
    }

    if (had) {
        to->keys[0].since = now;
        to->keys[2].since = now;
    }
}


static int
rotate(const encryption *e, ctl_ring_file *file)
{
    int rc;
    int64_t now, since;
    char text[CTL_TIME_TEXT];
    tn_key_ring ring;

    now = time(NULL);
    since = file->ring.n > 1 ? file->ring.keys[1].since : 0;

    if (file->ring.n == TN_RING_KEYS_MAX) {
        return ctl_error(
            "%s: there are %u keys; take away, from the end, those "
            "that `tenonctl encryption list` has no use of",
            file->path, file->ring.n);
    }

    if (since && now - since < KNOWN && !e->force) {
        return ctl_error("%s: the next key is there since %s only, and an "
                         "nginx may not know it; wait until it is ten minutes "
                         "old, or say --force",
                         file->path, ctl_time_text(text, since));
    }

    turn(&ring, &file->ring, now);
    rc = ctl_ring_write(file->path, &ring, &file->stat);

    if (rc == 0) {
        print_keys(&ring);
        fputs(file->ring.n > 1
                  ? "reload every nginx now, then run `tenonctl encryption "
                    "reencrypt`\n"
                  : "there was no next key: there is now; reload every nginx "
                    "and rotate again, and it encrypts\n",
              stderr);
    }

    sodium_memzero(&ring, sizeof(ring));

    return rc;
}


/* ---- the database ---- */

static int
reencrypt(const tn_key_ring *ring, PGconn *conn)
{
    int rc;
    sealed_counts counts;
    char id[TN_ENCRYPTION_ID_LEN];

    tn_encryption_key_id(id, ring->keys[0].seed);
    rc = sealed_renew(&counts, conn, ring);

    printf("encrypted %lu values with key %.*s\n", counts.renewed,
           (int) sizeof(id), id);

    if (counts.raced) {
        printf("%lu were changed meanwhile: run it once more\n", counts.raced);
    }

    if (counts.unreadable) {
        rc = ctl_error("%lu values can't be decrypted with the keys of this "
                       "file; they stay as they are",
                       counts.unreadable);
    }

    return rc;
}


static void
print_use(const char *place, const char *id, const char *since,
          const sealed_use *use)
{
    printf("%-8s  %-6s  %-20s  %8lu  %8lu  %8lu\n", place, id, since,
           use ? use->values : 0, use ? use->events : 0,
           use ? use->replays : 0);
}


static int
list(const tn_key_ring *ring, PGconn *conn)
{
    unsigned i;
    sealed_uses uses;
    sealed_use *use;
    char id[TN_ENCRYPTION_ID_LEN + 1] = "", since[CTL_TIME_TEXT];

    if (sealed_count(&uses, conn, ring) != 0) {
        return -1;
    }

    printf("%-8s  %-6s  %-20s  %8s  %8s  %8s\n", "", "key", "since", "values",
           "events", "replays");

    for (i = 0; i < ring->n; i++) {
        tn_encryption_key_id(id, ring->keys[i].seed);
        use = sealed_use_of(&uses, id);
        print_use(place_of(i), id, ctl_time_text(since, ring->keys[i].since),
                  use);

        if (use) {
            use->known = 1;
        }
    }

    for (i = 0; i < uses.n; i++) {
        use = &uses.list[i];

        if (use->id[0] == '\0') {
            print_use("plain", "-", "-", use);
        } else if (!use->known) {
            print_use("missing", use->id, "-", use);
        }
    }

    return 0;
}


static int
with_database(const encryption *e, const tn_key_ring *ring,
              int (*command)(const tn_key_ring *ring, PGconn *conn))
{
    int rc;
    PGconn *conn;

    rc = ctl_connect(&conn, e->database, "dbname=tenon user=tenon_owner");

    if (rc == 0) {
        rc = command(ring, conn);
        PQfinish(conn);
    }

    return rc;
}


static int
run(const encryption *e, const char *command)
{
    int rc;
    ctl_ring_file file;

    if (sodium_init() < 0) {
        return ctl_error("libsodium can't be started");
    }

    if (strcmp(command, "new") == 0) {
        return new_file(e);
    }

    rc = ctl_ring_open(&file, e->path);

    if (rc == 0) {
        rc = strcmp(command, "rotate") == 0 ? rotate(e, &file)
             : strcmp(command, "list") == 0
                 ? with_database(e, &file.ring, list)
                 : with_database(e, &file.ring, reencrypt);
    }

    ctl_ring_close(&file);

    return rc;
}


static int
is_command(const char *name)
{
    return strcmp(name, "new") == 0 || strcmp(name, "rotate") == 0 ||
           strcmp(name, "reencrypt") == 0 || strcmp(name, "list") == 0;
}


int
ctl_encryption(int argc, char **argv)
{
    int opt, rc;
    const char *name;
    encryption e;

    static const struct option options[] = {
        { "file", required_argument, NULL, 'f' },
        { "force", no_argument, NULL, 'F' },
        { "database", required_argument, NULL, 'D' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };

    name = NULL;
    memset(&e, 0, sizeof(e));

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 'f':
            name = optarg;
            break;
        case 'F':
            e.force = 1;
            break;
        case 'D':
            e.database = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            return CTL_OK;
        default:
            fputs(help, stderr);
            return CTL_USAGE;
        }
    }

    if (argc - optind != 1 || !is_command(argv[optind])) {
        ctl_error("say new, rotate, reencrypt or list");
        fputs(help, stderr);
        return CTL_USAGE;
    }

    e.path =
        name ? ctl_format("%s", name) : ctl_var_path("keys/encryption.key");
    rc = run(&e, argv[optind]);
    free(e.path);

    return rc == 0 ? CTL_OK : CTL_FAILED;
}
