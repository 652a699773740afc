/*
 * ring.c: files of keys, a line each (tn_key_ring_parse()): read under a lock,
 * written whole or not at all.
 */

#include "tenonctl.h"
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX 1024


const char *
ctl_time_text(char out[CTL_TIME_TEXT], int64_t since)
{
    time_t t;
    struct tm tm;

    t = (time_t) since;

    if (since == 0 || gmtime_r(&t, &tm) == NULL ||
        strftime(out, CTL_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        return "-";
    }

    return out;
}


void
ctl_ring_key(tn_signing_key *key, int64_t now)
{
    randombytes_buf(key->seed, sizeof(key->seed));
    key->since = now;
}


/* ---- reading ---- */

static int
read_ring(ctl_ring_file *file)
{
    int ok;
    char text[FILE_MAX];
    ssize_t n;
    unsigned line;
    const char *fault;

    n = read(file->fd, text, sizeof(text));
    if (n < 0) {
        return ctl_error("can't read %s: %s", file->path, strerror(errno));
    }

    ok = tn_key_ring_parse(&file->ring, &line, &fault,
                           (tn_str){ text, (size_t) n });
    sodium_memzero(text, sizeof(text));

    return ok ? 0 : ctl_error("%s:%u: %s", file->path, line, fault);
}


void
ctl_ring_close(ctl_ring_file *file)
{
    sodium_memzero(&file->ring, sizeof(file->ring));
    free(file->path);

    if (file->fd >= 0) {
        close(file->fd);
    }
}


int
ctl_ring_open(ctl_ring_file *file, const char *name)
{
    struct stat now;

    file->fd = -1;
    file->path = realpath(name, NULL);

    if (file->path) {
        file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    }

    if (file->fd < 0) {
        return ctl_error("can't open %s: %s", name, strerror(errno));
    }

    if (flock(file->fd, LOCK_EX | LOCK_NB) != 0 ||
        fstat(file->fd, &file->stat) != 0 || stat(file->path, &now) != 0 ||
        now.st_ino != file->stat.st_ino) {
        return ctl_error("%s is being changed; try again", file->path);
    }

    if (!S_ISREG(file->stat.st_mode)) {
        return ctl_error("%s is not a regular file", file->path);
    }

    return read_ring(file);
}


/* ---- writing ---- */

static int
write_lines(int fd, const tn_key_ring *ring)
{
    int ok;
    FILE *out;
    unsigned i;
    char seed[64], since[CTL_TIME_TEXT], buffer[FILE_MAX];

    out = fdopen(fd, "w");
    if (out == NULL) {
        close(fd);
        return 0;
    }

    /* one of ours, to be wiped */
    setvbuf(out, buffer, _IOFBF, sizeof(buffer));

    for (i = 0; i < ring->n; i++) {
        sodium_bin2base64(seed, sizeof(seed), ring->keys[i].seed, TN_KEY_LEN,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        fputs(seed, out);

        if (ring->keys[i].since) {
            fprintf(out, " %s", ctl_time_text(since, ring->keys[i].since));
        }

        fputc('\n', out);
    }

    sodium_memzero(seed, sizeof(seed));
    ok = fflush(out) == 0 && fsync(fd) == 0;
    ok = fclose(out) == 0 && ok;
    sodium_memzero(buffer, sizeof(buffer));

    return ok;
}


/* A rename lasts when its folder does. */
static int
sync_folder(const char *path)
{
    int fd, ok;
    char *folder;
    const char *slash;

    slash = strrchr(path, '/');
    folder = slash ? ctl_format("%.*s", (int) (slash - path) + 1, path)
                   : ctl_format(".");
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ok = fd >= 0 && fsync(fd) == 0;
    free(folder);

    if (fd >= 0) {
        close(fd);
    }

    return ok;
}


int
ctl_ring_write(const char *path, const tn_key_ring *ring,
               const struct stat *old)
{
    int fd, ok;
    char *temp;

    temp = ctl_format("%s.XXXXXX", path);
    fd = mkstemp(temp); /* 0600 */

    if (fd < 0) {
        ctl_error("can't create %s: %s", temp, strerror(errno));
        free(temp);
        return -1;
    }

    ok = old == NULL || (fchown(fd, old->st_uid, old->st_gid) == 0 &&
                         fchmod(fd, old->st_mode & 07777) == 0);

    if (!ok) {
        close(fd);
    }

    ok = ok && write_lines(fd, ring) &&
         (old ? rename(temp, path) : link(temp, path)) == 0;

    if (!ok) {
        ctl_error("can't write %s: %s", path, strerror(errno));
    }

    if (!ok || old == NULL) {
        unlink(temp);
    }

    free(temp);

    if (ok && !sync_folder(path)) {
        ctl_error("%s is written, but its folder can't be synced: %s", path,
                  strerror(errno));
        ok = 0;
    }

    return ok ? 0 : -1;
}
