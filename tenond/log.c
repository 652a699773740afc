/*
 * log.c: a line on stderr for what an operator should know; systemd or a shell
 * puts it where it belongs.
 */

#include "tenond.h"
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

td_level td_log_level = TD_NOTICE;

static const char *const names[] = { "error", "warn", "notice", "info" };


void
td_log(td_level level, const char *format, ...)
{
    va_list args;
    time_t now;
    struct tm tm;
    char line[2048], *p;
    int n, m;

    if (level > td_log_level) {
        return;
    }

    now = (time_t) (td_wall() / 1000000);
    gmtime_r(&now, &tm);
    n = (int) strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%SZ ", &tm);
    n += snprintf(line + n, sizeof(line) - (size_t) n,
                  "[%s] tenond: ", names[level]);

    va_start(args, format);
    m = vsnprintf(line + n, sizeof(line) - (size_t) n - 1, format, args);
    va_end(args);

    m = (m < 0) ? 0 : m;
    n += m < (int) sizeof(line) - n - 1 ? m : (int) sizeof(line) - n - 2;

    /* A server's message may have several lines; a log has one. */
    for (p = line; p < line + n; p++) {
        if ((unsigned char) *p < 0x20 || *p == 0x7f) {
            *p = ' ';
        }
    }

    line[n++] = '\n';
    fwrite(line, 1, (size_t) n, stderr);
}
