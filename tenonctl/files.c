/*
 * files.c: folders of SQL files, and messages.
 */

#include "tenonctl.h"
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef TENON_SHARE
#define TENON_SHARE "/usr/share/tenon"
#endif


int
ctl_error(const char *format, ...)
{
    va_list args;

    fputs("tenonctl: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);

    return -1;
}


char *
ctl_format(const char *format, ...)
{
    char *text;
    va_list args;

    va_start(args, format);

    if (vasprintf(&text, format, args) < 0) {
        ctl_error("out of memory");
        exit(CTL_FAILED);
    }

    va_end(args);

    return text;
}


int
ctl_file_read(char **text, size_t *size, const char *path)
{
    FILE *in;
    size_t cap, n;
    char *p, *more;

    in = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (in == NULL) {
        return ctl_error("can't open %s: %s", path, strerror(errno));
    }

    p = NULL;
    n = 0;
    cap = 0;

    for (;;) {
        if (cap - n < 4096) {
            cap = cap ? 2 * cap : 16384;
            more = realloc(p, cap);
            if (more == NULL) {
                ctl_error("out of memory reading %s", path);
                goto failed;
            }
            p = more;
        }

        size_t got = fread(p + n, 1, cap - n - 1, in);
        n += got;

        if (got == 0) {
            break;
        }
    }

    if (ferror(in)) {
        ctl_error("can't read %s: %s", path, strerror(errno));
        goto failed;
    }

    if (memchr(p, '\0', n)) {
        ctl_error("%s: holds a NUL byte", path);
        goto failed;
    }

    fclose(in);
    p[n] = '\0';
    *text = p;
    *size = n;

    return 0;

failed:

    fclose(in);
    free(p);

    return -1;
}


static int
by_name(const void *a, const void *b)
{
    return strcmp(((const ctl_file *) a)->name, ((const ctl_file *) b)->name);
}


static int
is_sql(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);

    return entry->d_name[0] != '.' && n > 4 &&
           strcmp(entry->d_name + n - 4, ".sql") == 0;
}


int
ctl_files_read(ctl_files *files, const char *dir)
{
    int i, n;
    struct dirent **entries;

    memset(files, 0, sizeof(*files));

    n = scandir(dir, &entries, is_sql, NULL);
    if (n < 0) {
        return ctl_error("can't read folder %s: %s", dir, strerror(errno));
    }

    files->list = calloc((size_t) n + 1, sizeof(ctl_file));

    for (i = 0; i < n; i++) {
        if (files->list && files->n == (size_t) i) {
            ctl_file *file = &files->list[i];

            file->name = ctl_format("%s", entries[i]->d_name);
            file->path = ctl_format("%s/%s", dir, entries[i]->d_name);

            if (ctl_file_read(&file->text, &file->size, file->path) == 0) {
                files->n++;

            } else {
                free(file->name);
                free(file->path);
            }
        }

        free(entries[i]);
    }

    free(entries);

    if (files->list == NULL || files->n != (size_t) n) {
        ctl_files_free(files);
        return -1;
    }

    qsort(files->list, files->n, sizeof(ctl_file), by_name);

    return 0;
}


void
ctl_files_free(ctl_files *files)
{
    size_t i;

    for (i = 0; i < files->n; i++) {
        free(files->list[i].name);
        free(files->list[i].path);
        free(files->list[i].text);
    }

    free(files->list);
    memset(files, 0, sizeof(*files));
}


char *
ctl_schema_path(const char *name)
{
    char *path;

    path = ctl_format("schema/%s", name);
    if (access(path, R_OK) == 0) {
        return path;
    }

    free(path);

    return ctl_format("%s/schema/%s", TENON_SHARE, name);
}


char *
ctl_var_path(const char *name)
{
    char *path, *found;
    const char *var;

    var = getenv("TENON_VAR");
    path = ctl_format("%s/%s", var && *var ? var : "var", name);
    found = realpath(path, NULL);

    if (found == NULL) {
        return path;
    }

    free(path);

    return found;
}
