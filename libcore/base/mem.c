/*
 * mem.c: taking from a host's memory, an arena over malloc for what outlives
 * requests, and the hooks for libraries whose allocator is global.
 */

#include "libcore/base/base.h"

#include <stddef.h>
#include <stdlib.h>

#define TN_ARENA_CHUNK 16384

typedef struct arena_chunk {
    struct arena_chunk *next;
    max_align_t data[];
} arena_chunk;

struct tn__arena {
    tn_mem mem;
    arena_chunk *chunks;
    char *p;
    size_t left;
};

static _Thread_local tn_mem *lent;


void *
tn__alloc(tn_mem *mem, size_t n)
{
    return mem->alloc(mem->self, n ? n : 1);
}


void *
tn__zalloc(tn_mem *mem, size_t n)
{
    void *p = tn__alloc(mem, n);

    if (p != NULL && n != 0) {
        memset(p, 0, n);
    }

    return p;
}


static void *
arena_chunk_add(tn__arena *arena, size_t n)
{
    arena_chunk *chunk;

    if (n > SIZE_MAX - sizeof(arena_chunk)) {
        return NULL;
    }

    chunk = malloc(sizeof(arena_chunk) + n);
    if (chunk == NULL) {
        return NULL;
    }

    chunk->next = arena->chunks;
    arena->chunks = chunk;

    return chunk->data;
}


static void *
arena_alloc(void *self, size_t n)
{
    tn__arena *arena = self;
    size_t align = _Alignof(max_align_t);
    void *p;

    if (n > SIZE_MAX - align) {
        return NULL;
    }

    n = (n + align - 1) & ~(align - 1);

    /* What is big gets a chunk of its own: the rest of the open one stays
     * in use. */
    if (n > TN_ARENA_CHUNK / 4) {
        return arena_chunk_add(arena, n);
    }

    if (n > arena->left) {
        p = arena_chunk_add(arena, TN_ARENA_CHUNK);
        if (p == NULL) {
            return NULL;
        }

        arena->p = p;
        arena->left = TN_ARENA_CHUNK;
    }

    p = arena->p;
    arena->p += n;
    arena->left -= n;

    return p;
}


tn__arena *
tn__arena_new(void)
{
    tn__arena *arena = calloc(1, sizeof(tn__arena));

    if (arena != NULL) {
        arena->mem.alloc = arena_alloc;
        arena->mem.self = arena;
    }

    return arena;
}


tn_mem *
tn__arena_mem(tn__arena *arena)
{
    return &arena->mem;
}


void
tn__arena_free(tn__arena *arena)
{
    arena_chunk *chunk, *next;

    if (arena == NULL) {
        return;
    }

    for (chunk = arena->chunks; chunk != NULL; chunk = next) {
        next = chunk->next;
        free(chunk);
    }

    free(arena);
}


void
tn__mem_lend(tn_mem *mem)
{
    lent = mem;
}


void *
tn__mem_hook_alloc(size_t n)
{
    return lent != NULL ? tn__alloc(lent, n) : malloc(n);
}


void
tn__mem_hook_free(void *p)
{
    if (lent == NULL) {
        free(p);
    }
}
