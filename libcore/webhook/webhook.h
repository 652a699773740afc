/*
 * webhook/webhook.h: events that others send in.
 */

#ifndef TN__WEBHOOK_H
#define TN__WEBHOOK_H

#include "libcore/identity/identity.h"

#include <tenon/webhook.h>

/* POST /v1/inbound/… */
extern const tn__slice tn__inbound_slice;

#endif
