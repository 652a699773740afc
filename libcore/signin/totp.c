/*
 * totp.c: codes by time (RFC 6238), and the text in which a device takes their
 * secret (RFC 4648 base32). Pure functions.
 */

#include "libcore/signin/steps.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdio.h>

#define STEP_SECONDS 30
#define STEPS_AROUND 1 /* a device's clock may be this wrong */
#define SHA1_LEN     20


int
tn__totp_code(char out[TN__TOTP_DIGITS + 1],
              const unsigned char secret[TN__TOTP_SECRET], int64_t step)
{
    int i;
    uint32_t n;
    unsigned len, at;
    unsigned char counter[8], mac[SHA1_LEN];

    for (i = 7; i >= 0; i--) {
        counter[i] = (unsigned char) (step & 0xff);
        step >>= 8;
    }

    if (HMAC(EVP_sha1(), secret, TN__TOTP_SECRET, counter, sizeof(counter), mac,
             &len) == NULL ||
        len != sizeof(mac)) {
        return 0;
    }

    /* RFC 4226, 5.3: four bytes at where the last half byte says */
    at = mac[SHA1_LEN - 1] & 0x0f;
    n = (uint32_t) (mac[at] & 0x7f) << 24 | (uint32_t) mac[at + 1] << 16 |
        (uint32_t) mac[at + 2] << 8 | mac[at + 3];
    n %= 1000000;

    for (i = TN__TOTP_DIGITS - 1; i >= 0; i--) {
        out[i] = (char) ('0' + n % 10);
        n /= 10;
    }

    out[TN__TOTP_DIGITS] = '\0';

    return 1;
}


int64_t
tn__totp_match(const unsigned char secret[TN__TOTP_SECRET], tn_str code,
               int64_t now)
{
    int64_t step, found;
    char right[TN__TOTP_DIGITS + 1];

    found = -1;

    if (code.n != TN__TOTP_DIGITS) {
        return -1;
    }

    /* all of them, whichever it is */
    for (step = now / STEP_SECONDS - STEPS_AROUND;
         step <= now / STEP_SECONDS + STEPS_AROUND; step++) {
        if (tn__totp_code(right, secret, step) &&
            sodium_memcmp(right, code.p, TN__TOTP_DIGITS) == 0) {
            found = step;
        }
    }

    sodium_memzero(right, sizeof(right));

    return found;
}


size_t
tn__base32(char *out, const unsigned char *p, size_t n)
{
    size_t i, len;
    unsigned bits, have;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

    len = 0;
    bits = have = 0;

    for (i = 0; i < n; i++) {
        bits = bits << 8 | p[i];

        for (have += 8; have >= 5; have -= 5) {
            out[len++] = digits[bits >> (have - 5) & 31];
        }

        bits &= 0xff;
    }

    if (have) {
        out[len++] = digits[bits << (5 - have) & 31];
    }

    return len;
}
