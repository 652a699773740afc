/*
 * ngx_http_tenon_random.c: unpredictable bytes, a page of them per system
 * call. What has been handed out is wiped, as it is in requests and their ops:
 * a later look into the memory of the worker doesn't tell what earlier requests
 * got.
 */

#include "ngx_http_tenon.h"

#include <sys/random.h>


#define NGX_HTTP_TENON_RANDOM_SIZE 4096

struct ngx_http_tenon_random_s {
    size_t left;
    u_char bytes[NGX_HTTP_TENON_RANDOM_SIZE];
};


ngx_http_tenon_random_t *
ngx_http_tenon_random_create(ngx_pool_t *pool)
{
    return ngx_pcalloc(pool, sizeof(ngx_http_tenon_random_t));
}


ngx_int_t
ngx_http_tenon_random(ngx_http_tenon_random_t *random, u_char *p, size_t n)
{
    u_char *from;
    ssize_t got;
    size_t filled;

    if (random->left < n) {

        for (filled = 0; filled < sizeof(random->bytes); filled += got) {
            got = getrandom(random->bytes + filled,
                            sizeof(random->bytes) - filled, 0);

            if (got == -1) {
                if (ngx_errno == NGX_EINTR) {
                    got = 0;
                    continue;
                }

                return NGX_ERROR;
            }
        }

        random->left = sizeof(random->bytes);
    }

    from = random->bytes + sizeof(random->bytes) - random->left;

    ngx_memcpy(p, from, n);
    ngx_explicit_memzero(from, n);

    random->left -= n;

    return NGX_OK;
}
