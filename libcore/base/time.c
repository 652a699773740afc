/*
 * time.c: RFC 3339 text and microseconds since 1970, in the proleptic
 * Gregorian calendar. Nothing here asks for the time or a time zone.
 */

#include "libcore/base/base.h"

#define TN_SECOND   INT64_C(1000000)
#define TN_DAY      (INT64_C(86400) * TN_SECOND)
#define TN_TIME_MIN (INT64_C(-62135596800) * TN_SECOND)
#define TN_TIME_MAX (INT64_C(253402300800) * TN_SECOND - 1)


/*
 * Days since 1970-01-01 and back. Years begin in March here, so that the leap
 * day is the last of its year; 400 years are 146097 days; 719468 days lie
 * between 0000-03-01 and 1970-01-01. The year is at least 0.
 */
static int64_t
time_days(int year, int month, int day)
{
    int y = month <= 2 ? year - 1 : year;
    int m = month <= 2 ? month + 9 : month - 3;

    return INT64_C(365) * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 +
           day - 1 - 719468;
}


static void
time_civil(int *year, int *month, int *day, int64_t days)
{
    int64_t z = days + 719468;
    int era = (int) (z / 146097);
    int doe = (int) (z % 146097);
    int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int m = (5 * doy + 2) / 153;

    *day = doy - (153 * m + 2) / 5 + 1;
    *month = m < 10 ? m + 3 : m - 9;
    *year = yoe + era * 400 + (*month <= 2);
}


static int
time_month_days(int year, int month)
{
    static const int days[] = {
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    };
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}


/*
 * Reads `s` by a pattern in which 0 is a digit and T, Z and all else stand
 * for themselves. Runs of digits go to out[], in order.
 */
static int
time_scan(int *out, tn_str s, const char *pattern)
{
    size_t i, n = strlen(pattern);
    int at = -1;

    if (s.n < n) {
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (pattern[i] != '0') {
            if (s.p[i] != pattern[i]) {
                return 0;
            }

            continue;
        }

        if (s.p[i] < '0' || s.p[i] > '9') {
            return 0;
        }

        if (i == 0 || pattern[i - 1] != '0') {
            out[++at] = 0;
        }

        out[at] = out[at] * 10 + (s.p[i] - '0');
    }

    return 1;
}


/* ".5" and such in front of *rest as microseconds; -1 if it is not right. */
static int
time_fraction(tn_str *rest)
{
    int us = 0, scale = 100000;
    size_t i;

    if (rest->n == 0 || rest->p[0] != '.') {
        return 0;
    }

    for (i = 1; i < rest->n && rest->p[i] >= '0' && rest->p[i] <= '9'; i++) {
        if (i > 6) {
            return -1;
        }

        us += (rest->p[i] - '0') * scale;
        scale /= 10;
    }

    *rest = tn__sub(*rest, i, rest->n);

    return i == 1 ? -1 : us;
}


/* "Z" or "+hh:mm" as minutes east. */
static int
time_offset(int *minutes, tn_str s)
{
    int part[2];

    *minutes = 0;

    if (s.n == 1) {
        return s.p[0] == 'Z' || s.p[0] == 'z';
    }

    if (s.n != 6 || (s.p[0] != '+' && s.p[0] != '-') ||
        !time_scan(part, tn__sub(s, 1, 6), "00:00") || part[0] > 23 ||
        part[1] > 59) {
        return 0;
    }

    *minutes = part[0] * 60 + part[1];
    if (s.p[0] == '-') {
        *minutes = -*minutes;
    }

    return 1;
}


int
tn__date_valid(tn_str s)
{
    int date[3];

    return s.n == TN__DATE_TEXT && time_scan(date, s, "0000-00-00") &&
           date[0] >= 1 && date[1] >= 1 && date[1] <= 12 && date[2] >= 1 &&
           date[2] <= time_month_days(date[0], date[1]);
}


int
tn__time_parse(int64_t *us, tn_str s)
{
    int date[3], clock[3], fraction, minutes;
    int64_t t;

    if (s.n < 20 || !time_scan(date, s, "0000-00-00") ||
        (s.p[10] != 'T' && s.p[10] != 't') ||
        !time_scan(clock, tn__sub(s, 11, 19), "00:00:00")) {
        return 0;
    }

    if (date[0] < 1 || date[1] < 1 || date[1] > 12 || date[2] < 1 ||
        date[2] > time_month_days(date[0], date[1]) || clock[0] > 23 ||
        clock[1] > 59 || clock[2] > 59) {
        return 0;
    }

    s = tn__sub(s, 19, s.n);
    fraction = time_fraction(&s);
    if (fraction < 0 || !time_offset(&minutes, s)) {
        return 0;
    }

    t = time_days(date[0], date[1], date[2]) * TN_DAY +
        (clock[0] * 3600 + (clock[1] - minutes) * 60 + clock[2]) * TN_SECOND +
        fraction;

    if (t < TN_TIME_MIN || t > TN_TIME_MAX) {
        return 0;
    }

    *us = t;

    return 1;
}


/* v < 100 as two digits */
static char *
time_put(char *p, int v)
{
    static const char digits[] = "0001020304050607080910111213141516171819"
                                 "2021222324252627282930313233343536373839"
                                 "4041424344454647484950515253545556575859"
                                 "6061626364656667686970717273747576777879"
                                 "8081828384858687888990919293949596979899";

    memcpy(p, digits + 2 * v, 2);

    return p + 2;
}


void
tn__time_format(char out[TN__TIME_TEXT], int64_t us)
{
    int year, month, day, second, fraction;
    int64_t days, rest;

    if (us < TN_TIME_MIN) {
        us = TN_TIME_MIN;
    }

    if (us > TN_TIME_MAX) {
        us = TN_TIME_MAX;
    }

    days = us / TN_DAY;
    rest = us % TN_DAY;
    if (rest < 0) {
        rest += TN_DAY;
        days--;
    }

    time_civil(&year, &month, &day, days);
    second = (int) (rest / TN_SECOND);
    fraction = (int) (rest % TN_SECOND);

    out = time_put(out, year / 100);
    out = time_put(out, year % 100);
    *out++ = '-';
    out = time_put(out, month);
    *out++ = '-';
    out = time_put(out, day);
    *out++ = 'T';
    out = time_put(out, second / 3600);
    *out++ = ':';
    out = time_put(out, second / 60 % 60);
    *out++ = ':';
    out = time_put(out, second % 60);
    *out++ = '.';
    out = time_put(out, fraction / 10000);
    out = time_put(out, fraction / 100 % 100);
    out = time_put(out, fraction % 100);
    *out = 'Z';
}


void
tn__buf_pg_time(tn__buf *buf, tn_str pg)
{
    int part[6];
    tn_str digits, rest = tn__sub(pg, 19, pg.n);

    if (pg.n <= 10 || pg.p[10] != ' ' ||
        !time_scan(part, pg, "0000-00-00 00:00:00") ||
        time_fraction(&rest) < 0 || !tn__eq(rest, TN_STR("+00"))) {
        tn__buf_add(buf, pg);
        return;
    }

    digits = pg.n > 22 ? tn__sub(pg, 20, pg.n - 3) : TN_STR("");

    tn__buf_add(buf, tn__sub(pg, 0, 10));
    tn__buf_char(buf, 'T');
    tn__buf_add(buf, tn__sub(pg, 11, 19));
    tn__buf_char(buf, '.');
    tn__buf_add(buf, digits);
    tn__buf_add(buf, tn__sub(TN_STR("000000"), digits.n, 6));
    tn__buf_char(buf, 'Z');
}
