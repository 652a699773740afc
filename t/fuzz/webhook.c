/*
 * Fuzzes the headers that sign a webhook, and the files of secrets:
 *
 *     clang -std=gnu11 -D_GNU_SOURCE -Iinclude -I. -Ibuild -O1 -g \
 *         -fsanitize=fuzzer,address,undefined -o fuzz-webhook \
 *         t/fuzz/webhook.c libcore/webhook/{verify,secrets}.c \
 *         libcore/base/[a-z]*.c -lcjson -lsodium
 *     ./fuzz-webhook -max_total_time=60 CORPUS t/fuzz/seeds/webhook
 *
 * The first byte says what the rest is: of each scheme its headers, a line
 * each, or a file. Nobody who writes them knows the secrets here, so no
 * signature may be good.
 */

#include "libcore/webhook/webhook.h"

#include <sodium.h>
#include <stdlib.h>

#define NOW  1795276800
#define BODY "{\"id\":\"evt_1\",\"type\":\"ping\"}"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
fuzz_must(int ok)
{
    if (!ok) {
        abort();
    }
}


static void
fuzz_file(tn_webhook_scheme scheme, tn_str text)
{
    unsigned line;
    const char *fault;
    tn_webhook_secrets out;

    if (tn_webhook_secrets_parse(&out, &line, &fault, scheme, text)) {
        fuzz_must(out.n >= 1 && out.n <= TN_WEBHOOK_SECRETS_MAX);
        fuzz_must(fault == NULL);
    } else {
        fuzz_must(out.n == 0 && fault != NULL && line >= 1);
    }
}


static void
fuzz_headers(tn_webhook_scheme scheme, tn_str text, tn_mem *mem)
{
    unsigned i;
    tn_header headers[3];
    tn_webhook_verdict verdict;
    tn_webhook_secrets secrets;
    static const char *const names[][3] = {
        { "stripe-signature", "x", "y" },
        { "webhook-id", "webhook-timestamp", "webhook-signature" },
        { "x-slack-request-timestamp", "x-slack-signature", "x" },
    };

    memset(&secrets, 0, sizeof(secrets));
    secrets.scheme = scheme;
    secrets.n = 2;

    for (i = 0; i < 2; i++) {
        memset(secrets.keys[i].bytes, 0x5e + (int) i, 32);
        secrets.keys[i].n = 32;
        secrets.keys[i].verifies = i == 1 && scheme == TN_WEBHOOK_STANDARD;
    }

    for (i = 0; i < 3; i++) {
        headers[i].name =
            (tn_str){ names[scheme][i], strlen(names[scheme][i]) };
        headers[i].value = text.p ? tn__split(&text, '\n') : TN_STR("");
    }

    fuzz_must(tn_webhook_verify(&verdict, &secrets, headers, 3, TN_STR(BODY),
                                (int64_t) NOW * 1000000, mem) == TN_OK);
    fuzz_must(verdict > TN_WEBHOOK_GOOD && verdict <= TN_WEBHOOK_FORGED);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tn__arena *arena;
    tn_str text;

    if (size == 0) {
        return 0;
    }

    arena = tn__arena_new();
    fuzz_must(arena != NULL);
    text = (tn_str){ (const char *) data + 1, size - 1 };

    if (data[0] & 4) {
        fuzz_file((tn_webhook_scheme) ((data[0] & 3) % 3), text);
    } else {
        fuzz_headers((tn_webhook_scheme) ((data[0] & 3) % 3), text,
                     tn__arena_mem(arena));
    }

    tn__arena_free(arena);

    return 0;
}
