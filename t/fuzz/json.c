/*
 * Fuzzes the JSON gate, the tree behind it and the printer:
 *
 *     clang -std=gnu11 -D_GNU_SOURCE -Iinclude -I. -O1 -g \
 *         -fsanitize=fuzzer,address,undefined -o fuzz-json \
 *         t/fuzz/json.c libcore/base/[a-z]*.c -lcjson -lsodium
 *     ./fuzz-json -max_total_time=60 CORPUS
 *
 * What passes the gate must pass cJSON, print, and read back as the same
 * tree; a lack of memory at any call must answer TN_E_NOMEM.
 */

#include "libcore/base/base.h"

#include <stdlib.h>

typedef struct fuzz_mem {
    tn_mem mem;
    tn_mem *from;
    size_t calls;
    size_t fail_at;
} fuzz_mem;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void *
fuzz_alloc(void *self, size_t n)
{
    fuzz_mem *mem = self;

    if (++mem->calls == mem->fail_at) {
        return NULL;
    }

    return tn__alloc(mem->from, n);
}


static void
fuzz_must(int ok)
{
    if (!ok) {
        abort();
    }
}


static void
fuzz_round_trip(const cJSON *tree, tn_mem *mem)
{
    tn__json_fault fault;
    tn_str out, again;
    cJSON *copy;

    fuzz_must(tn__json_print(&out, tree, mem) == TN_OK);
    fuzz_must(tn__json_parse(&copy, out, &fault, mem) == TN_OK);
    fuzz_must(tn__json_print(&again, copy, mem) == TN_OK);
    fuzz_must(tn__eq(out, again));
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tn__arena *arena = tn__arena_new();
    fuzz_mem short_of = { { fuzz_alloc, NULL }, NULL, 0, 0 };
    tn_str text = { (const char *) data, size };
    tn__json_fault fault = { 0, NULL };
    tn_mem *mem;
    cJSON *tree;
    tn_err err;

    fuzz_must(arena != NULL);
    mem = tn__arena_mem(arena);

    err = tn__json_check(text, &fault, mem);
    fuzz_must(err == tn__json_parse(&tree, text, &fault, mem));

    if (err == TN_OK) {
        fuzz_round_trip(tree, mem);

    } else {
        fuzz_must(err == TN_E_MALFORMED_JSON && fault.what != NULL);
        fuzz_must(fault.offset <= size);
    }

    short_of.mem.self = &short_of;
    short_of.from = mem;
    short_of.fail_at = size % 7 + 1;
    err = tn__json_parse(&tree, text, &fault, &short_of.mem);
    fuzz_must(err != TN_OK || short_of.calls < short_of.fail_at);
    fuzz_must(err != TN_E_NOMEM || short_of.calls == short_of.fail_at);

    tn__arena_free(arena);

    return 0;
}
