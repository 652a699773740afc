/*
 * mem.c: a tn_mem over malloc'd blocks, all of which go at once: a job's, or a
 * batch's.
 */

#include "tenond.h"
#include <stdlib.h>

#define CHUNK 4096

struct td_block {
    td_block *next;
    size_t used;
    size_t size;
    max_align_t data[];
};


static td_block *
block_new(td_mem *mem, size_t size)
{
    td_block *block;

    block = malloc(sizeof(td_block) + size);
    if (block == NULL) {
        return NULL;
    }

    block->next = mem->blocks;
    block->used = 0;
    block->size = size;
    mem->blocks = block;

    return block;
}


static void *
block_alloc(void *self, size_t n)
{
    td_mem *mem = self;
    td_block *block = mem->blocks;
    size_t align = _Alignof(max_align_t);
    void *p;

    if (n > SIZE_MAX / 2) {
        return NULL;
    }

    n = (n + align - 1) & ~(align - 1);

    if (block == NULL || block->size - block->used < n) {
        block = block_new(mem, n > CHUNK ? n : CHUNK);
        if (block == NULL) {
            return NULL;
        }
    }

    p = (char *) block->data + block->used;
    block->used += n;

    return p;
}


void
td_mem_init(td_mem *mem)
{
    mem->mem.alloc = block_alloc;
    mem->mem.self = mem;
    mem->blocks = NULL;
}


void
td_mem_free(td_mem *mem)
{
    td_block *block;

    while ((block = mem->blocks) != NULL) {
        mem->blocks = block->next;
        free(block);
    }
}
