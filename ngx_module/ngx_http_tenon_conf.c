/*
 * ngx_http_tenon_conf.c: setters of the directives, and the key files.
 */

#include "ngx_http_tenon.h"


static ngx_int_t ngx_http_tenon_prefix(ngx_conf_t *cf, ngx_str_t *prefix,
                                       ngx_http_core_loc_conf_t *clcf);
static ngx_int_t ngx_http_tenon_read_key(ngx_conf_t *cf, ngx_str_t *directive,
                                         ngx_str_t *name, u_char *key);
static ngx_int_t ngx_http_tenon_decode_key(u_char *key, u_char *p, size_t n);
static void ngx_http_tenon_wipe_key(void *data);
static void ngx_http_tenon_wipe_ring(void *data);


/* 32 bytes in base64url without padding, and room to see that more follow */
#define NGX_HTTP_TENON_KEY_TEXT 43
#define NGX_HTTP_TENON_KEY_FILE (NGX_HTTP_TENON_KEY_TEXT + 2)
/* with a time behind each */
#define NGX_HTTP_TENON_RING_FILE 1024


char *
ngx_http_tenon(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tenon_loc_conf_t *tlcf = conf;

    ngx_str_t *value;
    ngx_http_core_loc_conf_t *clcf;
    ngx_http_tenon_main_conf_t *tmcf;

    if (tlcf->enabled) {
        return "is duplicate";
    }

    value = cf->args->elts;
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (cf->args->nelts == 2) {

        if (ngx_strncmp(value[1].data, "prefix=", 7) != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                               &value[1]);
            return NGX_CONF_ERROR;
        }

        tlcf->prefix.data = value[1].data + 7;
        tlcf->prefix.len = value[1].len - 7;

        if (tlcf->prefix.len == 0 || tlcf->prefix.data[0] != '/') {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid prefix \"%V\"",
                               &tlcf->prefix);
            return NGX_CONF_ERROR;
        }

    } else if (ngx_http_tenon_prefix(cf, &tlcf->prefix, clcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (tlcf->prefix.len && tlcf->prefix.data[tlcf->prefix.len - 1] == '/') {
        tlcf->prefix.len--;
    }

    tlcf->enabled = 1;
    clcf->handler = ngx_http_tenon_handler;

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_tenon_module);

    if (tmcf->file == NULL) {
        tmcf->file = cf->conf_file->file.name.data;
        tmcf->line = cf->conf_file->line;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_tenon_prefix(ngx_conf_t *cf, ngx_str_t *prefix,
                      ngx_http_core_loc_conf_t *clcf)
{
    ngx_uint_t regex;

#if (NGX_PCRE)
    regex = (clcf->regex != NULL);
#else
    regex = 0;
#endif

    if (regex || clcf->named) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"tenon\" requires the \"prefix\" parameter in "
                           "location given by regular expression, or inside "
                           "named location");
        return NGX_ERROR;
    }

    if (clcf->exact_match) {
        ngx_str_set(prefix, "");
        return NGX_OK;
    }

    *prefix = clcf->name;

    return NGX_OK;
}


char *
ngx_http_tenon_problem(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t name;
    ngx_http_core_loc_conf_t *clcf;
    ngx_http_tenon_main_conf_t *tmcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_tenon_problem_handler) {
        return "is duplicate";
    }

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_tenon_module);

    ngx_str_set(&name, "request_id");

    tmcf->request_id = ngx_http_get_variable_index(cf, &name);
    if (tmcf->request_id == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    clcf->handler = ngx_http_tenon_problem_handler;

    return NGX_CONF_OK;
}


char *
ngx_http_tenon_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tenon_main_conf_t *tmcf = conf;

    u_char *p;
    ssize_t size;
    ngx_str_t *value, name, s;

    if (tmcf->zone) {
        return "is duplicate";
    }

    value = cf->args->elts;

    p = ngx_strlchr(value[1].data, value[1].data + value[1].len, ':');

    if (p == NULL || p == value[1].data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone size \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    name.data = value[1].data;
    name.len = p - name.data;

    s.data = p + 1;
    s.len = value[1].data + value[1].len - s.data;

    size = ngx_parse_size(&s);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone size \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (size < (ssize_t) (16 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "zone \"%V\" is too small",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    tmcf->zone = ngx_shared_memory_add(cf, &name, size, &ngx_http_tenon_module);
    if (tmcf->zone == NULL) {
        return NGX_CONF_ERROR;
    }

    tmcf->zone->init = ngx_http_tenon_zone_init;

    return NGX_CONF_OK;
}


char *
ngx_http_tenon_database(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tenon_main_conf_t *tmcf = conf;

    ngx_str_t *value;

    if (tmcf->database.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "empty connection string in \"%V\" directive",
                           &cmd->name);
        return NGX_CONF_ERROR;
    }

    tmcf->database = value[1];

    return NGX_CONF_OK;
}


char *
ngx_http_tenon_base_domain(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tenon_main_conf_t *tmcf = conf;

    u_char ch;
    ngx_str_t *value;
    ngx_uint_t i, dot;

    if (tmcf->base_domain.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    dot = 1;

    for (i = 0; i < value[1].len; i++) {
        ch = ngx_tolower(value[1].data[i]);
        value[1].data[i] = ch;

        if (ch == '.' && !dot) {
            dot = 1;
            continue;
        }

        if ((ch < 'a' || ch > 'z') && (ch < '0' || ch > '9') && ch != '-') {
            break;
        }

        dot = 0;
    }

    if (i != value[1].len || dot || i > 253) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid domain name \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    tmcf->base_domain = value[1];

    return NGX_CONF_OK;
}


char *
ngx_http_tenon_hsts(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tenon_main_conf_t *tmcf = conf;

    u_char *p;
    time_t age;
    ngx_str_t *value;

    if (tmcf->hsts.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 3 && ngx_strncmp(value[1].data, "off", 3) == 0) {
        ngx_str_set(&tmcf->hsts, "");
        return NGX_CONF_OK;
    }

    age = ngx_parse_time(&value[1], 1);

    if (age == (time_t) NGX_ERROR) {
        return "invalid value";
    }

    p = ngx_pnalloc(cf->pool, sizeof("max-age=") - 1 + NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    tmcf->hsts.data = p;
    tmcf->hsts.len = ngx_sprintf(p, "max-age=%T", age) - p;

    return NGX_CONF_OK;
}


char *
ngx_http_tenon_check_time(ngx_conf_t *cf, void *post, void *data)
{
    ngx_msec_t *value = data;

    if (*value == 0) {
        return "invalid value";
    }

    return NGX_CONF_OK;
}


char *
ngx_http_tenon_check_ttl(ngx_conf_t *cf, void *post, void *data)
{
    time_t *value = data;

    /* ten years: what goes beyond is a slip */

    if (*value < 1 || *value > 3650 * 24 * 3600) {
        return "must be between 1 second and 10 years";
    }

    return NGX_CONF_OK;
}


char *
ngx_http_tenon_check_idle(ngx_conf_t *cf, void *post, void *data)
{
    time_t *value = data;

    /* that a session is used is written down once a minute */

    if (*value != 0 && (*value < 120 || *value > 3650 * 24 * 3600)) {
        return "must be 0 or between 2 minutes and 10 years";
    }

    return NGX_CONF_OK;
}


char *
ngx_http_tenon_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char *p = conf;

    u_char **key;
    ngx_str_t *value, name;
    ngx_pool_cleanup_t *cln;

    key = (u_char **) (p + cmd->offset);

    if (*key) {
        return "is duplicate";
    }

    value = cf->args->elts;
    name = value[1];

    if (ngx_conf_full_name(cf->cycle, &name, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, TN_KEY_LEN);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_http_tenon_wipe_key;

    if (ngx_http_tenon_read_key(cf, &cmd->name, &name, cln->data) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    *key = cln->data;

    return NGX_CONF_OK;
}


char *
ngx_http_tenon_key_ring(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char *p = conf;

    int ok;
    u_char text[NGX_HTTP_TENON_RING_FILE];
    tn_str s;
    ssize_t n;
    unsigned line;
    ngx_str_t *value, name;
    const char *fault;
    tn_key_ring **ring;
    ngx_pool_cleanup_t *cln;

    ring = (tn_key_ring **) (p + cmd->offset);

    if (*ring) {
        return "is duplicate";
    }

    value = cf->args->elts;
    name = value[1];

    if (ngx_conf_full_name(cf->cycle, &name, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, sizeof(tn_key_ring));
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_http_tenon_wipe_ring;

    n = ngx_http_tenon_read_file(cf, &cmd->name, &name, S_IROTH | S_IWOTH, text,
                                 sizeof(text));
    if (n == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    s.p = (char *) text;
    s.n = n;
    ok = tn_key_ring_parse(cln->data, &line, &fault, s);

    ngx_explicit_memzero(text, sizeof(text));

    if (!ok) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\": file \"%V\", line %ui: %s", &cmd->name,
                           &name, (ngx_uint_t) line, fault);
        return NGX_CONF_ERROR;
    }

    *ring = cln->data;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_tenon_read_key(ngx_conf_t *cf, ngx_str_t *directive, ngx_str_t *name,
                        u_char *key)
{
    u_char text[NGX_HTTP_TENON_KEY_FILE];
    ssize_t n;
    ngx_int_t rc;

    n = ngx_http_tenon_read_file(cf, directive, name, S_IROTH | S_IWOTH, text,
                                 sizeof(text));
    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (n == NGX_HTTP_TENON_KEY_TEXT + 1 && text[n - 1] == LF) {
        n--;
    }

    rc = ngx_http_tenon_decode_key(key, text, n);

    ngx_explicit_memzero(text, sizeof(text));

    if (rc != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\": file \"%V\" does not hold 32 bytes in "
                           "base64url without padding",
                           directive, name);
    }

    return rc;
}


ssize_t
ngx_http_tenon_read_file(ngx_conf_t *cf, ngx_str_t *directive, ngx_str_t *name,
                         mode_t refused, u_char *p, size_t size)
{
    ssize_t n;
    ngx_fd_t fd;
    ngx_file_info_t fi;

    /* a FIFO without a writer would block the master */

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY | NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "\"%V\": " ngx_open_file_n " \"%V\" failed",
                           directive, name);
        return NGX_ERROR;
    }

    n = NGX_ERROR;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "\"%V\": " ngx_fd_info_n " \"%V\" failed", directive,
                           name);
        goto done;
    }

    if (!ngx_is_file(&fi)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\": \"%V\" is not a regular file", directive,
                           name);
        goto done;
    }

    if (fi.st_mode & refused) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\": file \"%V\" is accessible by others, "
                           "its mode must be %s",
                           directive, name,
                           (refused & S_IROTH) ? "0600 or 0640" : "0644");
        goto done;
    }

    n = ngx_read_fd(fd, p, size);

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "\"%V\": " ngx_read_fd_n " \"%V\" failed", directive,
                           name);
        n = NGX_ERROR;
    }

done:

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cf->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", name);
    }

    return n;
}


/*
 * ngx_decode_base64url() takes padding, text behind it and stray trailing
 * bits; a key that two texts could spell is more likely a damaged file.
 */
static ngx_int_t
ngx_http_tenon_decode_key(u_char *key, u_char *p, size_t n)
{
    u_char ch;
    size_t i;
    ngx_uint_t v, bits, nbits;

    if (n != NGX_HTTP_TENON_KEY_TEXT) {
        return NGX_ERROR;
    }

    bits = 0;
    nbits = 0;

    for (i = 0; i < n; i++) {
        ch = p[i];

        if (ch >= 'A' && ch <= 'Z') {
            v = ch - 'A';

        } else if (ch >= 'a' && ch <= 'z') {
            v = ch - 'a' + 26;

        } else if (ch >= '0' && ch <= '9') {
            v = ch - '0' + 52;

        } else if (ch == '-') {
            v = 62;

        } else if (ch == '_') {
            v = 63;

        } else {
            return NGX_ERROR;
        }

        bits = ((bits << 6) | v) & 0xffff;
        nbits += 6;

        if (nbits >= 8) {
            nbits -= 8;
            *key++ = (u_char) (bits >> nbits);
        }
    }

    /* 43 characters are 258 bits: two are left over */

    return (bits & 3) ? NGX_ERROR : NGX_OK;
}


static void
ngx_http_tenon_wipe_key(void *data)
{
    ngx_explicit_memzero(data, TN_KEY_LEN);
}


static void
ngx_http_tenon_wipe_ring(void *data)
{
    ngx_explicit_memzero(data, sizeof(tn_key_ring));
}
