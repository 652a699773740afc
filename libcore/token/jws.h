/*
 * token/jws.h: JSON Web Signatures of others (RFC 7515), verified by their
 * JSON Web Key Set (RFC 7517): RS256, ES256 and EdDSA. Private to this folder.
 *
 *     tn__jwks_parse(&keys, text, &fault, mem);     once
 *     tn__jws_read(&jws, token, mem);               says nothing yet
 *     if (tn__jws_verify(&jws, &keys)) …            jws.payload is theirs
 *     tn__jwks_free(&keys);
 *
 * Keys hold memory of libcrypto's.
 */

#ifndef TN__TOKEN_JWS_H
#define TN__TOKEN_JWS_H

#include "libcore/base/base.h"

#include <openssl/evp.h>

#define TN__JWKS_MAX    64   /* keys */
#define TN__JWS_MAX     8192 /* bytes of a token */
#define TN__JWS_SIG_MAX 1024 /* RSA of 8192 bits */

typedef struct tn__jwk {
    tn_str kid; /* absent: it has none */
    tn_str alg; /* the one algorithm that it is for */
    EVP_PKEY *pkey;
} tn__jwk;

typedef struct tn__jwks {
    tn__jwk keys[TN__JWKS_MAX];
    unsigned n;
} tn__jwks;

/* What is wrong with a key set: in which key, from 1; 0: in the whole. */
typedef struct tn__jwks_fault {
    unsigned key;
    const char *what;
} tn__jwks_fault;

/* Keys of other kinds, curves and uses are passed over; private, symmetric,
 * weak and broken ones are faults, and so is a set that leaves none. TN_OK,
 * TN_E_MALFORMED_JSON with *fault, TN_E_NOMEM. */
tn_err
tn__jwks_parse(tn__jwks *out, tn_str text, tn__jwks_fault *fault, tn_mem *mem);
void tn__jwks_free(tn__jwks *keys);

/* A token taken apart. */
typedef struct tn__jws {
    const cJSON *header;
    tn_str signed_part;
    tn_str payload; /* decoded; nobody's word until verified */
    unsigned char signature[TN__JWS_SIG_MAX];
    size_t nsignature;
} tn__jws;

/* TN_OK, TN_E_UNAUTHENTICATED, TN_E_NOMEM. Refuses headers that ask for what
 * we don't do or that bring keys along. */
tn_err tn__jws_read(tn__jws *out, tn_str token, tn_mem *mem);
/* Whether one of the keys, which the header's kid names and whose algorithm it
 * has, signed it. Without a kid: the only key of that algorithm. */
int tn__jws_verify(const tn__jws *jws, const tn__jwks *keys);

/* A member that is a string; absent if it isn't. */
tn_str tn__jws_text(const cJSON *object, const char *name);

#endif
