/*
 * things.h: a slice of the platform's that is there for tests alone: writes
 * of one statement each (TN__KIND_WRITE), as members and invitations are.
 *
 *     host_init_bare(&h);
 *     things_adopt(&h);
 *     SEND(&h, R(.method = "PATCH", .path = THING, …), { THING_ROW(…) });
 */

#ifndef TENON_THINGS_H
#define TENON_THINGS_H

#include "libcore/op/op.h"
#include "libcore/signin/signin.h"
#include "libcore/resource/resource.h"
#include "t/00unit/host.h"

#define THING_ID "0192f0c0-0000-7000-8000-0000000000d1"
#define THING    "/v1/things/" THING_ID

static const tn_str things_roles[] = { TN_STR_C("admin"), TN_STR_C("member") };

static const tn__field things_input[] = {
    { .name = TN_STR_C("email"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .update = 1,
      .required = 1,
      .lower = 1 },
    { .name = TN_STR_C("role"),
      .type = TN__TYPE_TEXT,
      .create = 1,
      .update = 1,
      .nullable = 1,
      .set = things_roles,
      .nset = 2 },
};

static const tn__field things_output[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("email"), .type = TN__TYPE_TEXT, .out = 1 },
    { .name = TN_STR_C("role"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },
};

static const tn__conflict things_conflicts[] = {
    { .constraint = TN_STR_C("thing_email_key"),
      .err = TN_E_DUPLICATE,
      .pointer = TN_STR_C("/email"),
      .fault = TN_F_DUPLICATE,
      .detail = "is somebody's" },
    { .constraint = TN_STR_C("thing_owner_check"), .err = TN_E_LAST_OWNER },
};

/* The parameters by their names: what is bound is what is tested. */
static tn__bound things_write, things_remove;

#define THINGS_WRITE                                                      \
    .permission_name = "tenon.member:update", .kind = TN__KIND_WRITE,     \
    .stmt = &things_write, .input = things_input, .ninput = 2,            \
    .output = things_output, .noutput = 4, .conflicts = things_conflicts, \
    .nconflicts = 2

static const tn__endpoint things_endpoints[] = {
    { .operation = TN_STR_C("createThing"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/things"),
      .action = TN_STR_C("thing.created"),
      .status = 201,
      THINGS_WRITE },
    { .operation = TN_STR_C("updateThing"),
      .method = TN_STR_C("PATCH"),
      .path = TN_STR_C("/v1/things/{id}"),
      .action = TN_STR_C("thing.updated"),
      .changes_access = 1,
      THINGS_WRITE },
    { .operation = TN_STR_C("deleteThing"),
      .method = TN_STR_C("DELETE"),
      .path = TN_STR_C("/v1/things/{id}"),
      .action = TN_STR_C("thing.deleted"),
      .permission_name = "tenon.member:delete",
      .kind = TN__KIND_WRITE,
      .changes_access = 1,
      .stmt = &things_remove },
    { .operation = TN_STR_C("updateTheThing"),
      .method = TN_STR_C("PATCH"),
      .path = TN_STR_C("/v1/thing"),
      .action = TN_STR_C("thing.updated"),
      THINGS_WRITE },
    { .operation = TN_STR_C("createTheThing"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/thing"),
      .elsewhere = 1,
      .status = 201,
      .unkeyed = 1,
      THINGS_WRITE },
    { .operation = TN_STR_C("endThing"),
      .method = TN_STR_C("DELETE"),
      .path = TN_STR_C("/v1/thing"),
      .permission_name = "tenon.tenant:delete",
      .kind = TN__KIND_WRITE,
      .changes_access = 1,
      .ends_tenant = 1,
      .stmt = &things_remove },
};

static const tn__slice things_slice = {
    things_endpoints, sizeof(things_endpoints) / sizeof(things_endpoints[0])
};

/* A row of a write's answer: `refused`, the columns, the key's two. */
#define THING_ROW(version) NULL, THING_ID, "a@example.org", "member", version
#define THING_REFUSED(why) why, NULL, NULL, NULL, NULL, FRESH


/* The catalogue with the slice in it; the arena outlives the host. */
static inline void
things_adopt(host *h, unit_arena *arena)
{
    tn__buf fault;
    tn_str text;
    tn_catalogue *cat;
    const tn__slice slices[] = { tn__service_slice, tn__login_slice,
                                 tn__audit_slice, things_slice };

    unit_arena_init(arena, 0);
    assert_int_equal(
        tn__bound_compile(
            &things_write,
            TN_STR("select tenant = :tenant::uuid, actor = :actor::uuid, "
                   "id = :id::uuid, mask = :mask::bigint, "
                   "match = :match::bigint[], own = :own::uuid, "
                   "email = :email::text, role = :role::text, "
                   "key = :idem_key::bytea, hash = :idem_hash::bytea, "
                   "event = :event_id::uuid, salt = :salt::bytea"),
            NULL, 0, &arena->mem),
        TN_OK);
    assert_int_equal(
        tn__bound_compile(&things_remove,
                          TN_STR("select id = :id::uuid, "
                                 "match = :match::bigint[], own = :own::uuid, "
                                 "key = :idem_key::bytea"),
                          NULL, 0, &arena->mem),
        TN_OK);

    tn__buf_init(&fault, &arena->mem, 64);

    if (tn__catalogue_compile(&cat, teamos_reply(&h->rows), slices, 4,
                              &fault) != TN_OK) {
        assert_int_equal(tn__buf_str(&text, &fault), TN_OK);
        fail_msg("catalogue: %.*s", (int) text.n, text.p);
    }

    tn_core_adopt(h->core, cat);
    h->catalogue = cat;
}

#endif
