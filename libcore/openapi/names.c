/*
 * names.c: what schemas, tags and operations are called. A name comes from its
 * own row alone, so that a new endpoint renames no other.
 */

#include "libcore/openapi/doc.h"


void
tn__doc_pascal(tn__buf *buf, tn_str name)
{
    int upper;
    size_t i;

    for (i = 0, upper = 1; i < name.n; i++) {
        if (name.p[i] == '_' || name.p[i] == '-' || name.p[i] == '/') {
            upper = 1;
            continue;
        }

        tn__buf_char(buf, upper && name.p[i] >= 'a' && name.p[i] <= 'z'
                              ? (char) (name.p[i] - 32)
                              : name.p[i]);
        upper = 0;
    }
}


static tn_str
pascal(tn__doc *doc, tn_str app, tn_str name)
{
    tn__buf buf;

    tn__buf_init(&buf, &doc->lent, 64);
    tn__doc_pascal(&buf, app);
    tn__doc_pascal(&buf, name);

    return tn__doc_buf(doc, &buf);
}


/* Whether the platform has a schema of this name. Two resources never share
 * one: they would share operations as well (model/endpoints.c). */
static int
taken(tn__doc *doc, tn_str noun)
{
    unsigned i;

    for (i = 0; i < doc->cat->nplatform; i++) {
        if (tn__eq(tn__doc_output_noun(doc, &doc->cat->endpoints[i]), noun)) {
            return 1;
        }
    }

    return tn__eq(noun, TN_STR("Problem")) ||
           tn__eq(noun, TN_STR("FieldError")) ||
           tn__eq(noun, TN_STR("Rollback"));
}


tn_str
tn__doc_noun(tn__doc *doc, const tn__resource *resource)
{
    tn_str noun;

    if (resource->noun.p) {
        return resource->noun;
    }

    noun = pascal(doc, TN_STR(""), resource->name);

    return !tn__eq(resource->app, TN_STR("tenon")) && taken(doc, noun)
               ? pascal(doc, resource->app, resource->name)
               : noun;
}


/* "SignUp" + "Response" */
static tn_str
by_operation(tn__doc *doc, const tn__endpoint *e, tn_str tail)
{
    return pascal(doc, e->operation, tail);
}


tn_str
tn__doc_output_noun(tn__doc *doc, const tn__endpoint *e)
{
    if (e->noun.p) {
        return e->noun;
    }

    if (e->kind == TN__KIND_HISTORY) {
        return tn__doc_noun(doc, doc->cat->events);
    }

    if (e->call && e->call->answers != TN__ANSWERS_ROW) {
        return by_operation(doc, e,
                            e->call->answers == TN__ANSWERS_MANY
                                ? TN_STR("Row")
                                : TN_STR("Response"));
    }

    if (e->resource) {
        return tn__doc_noun(doc, e->resource);
    }

    /* what "getTenant" answers is a Tenant */
    if (tn__starts(e->operation, TN_STR("get"))) {
        return tn__sub(e->operation, 3, e->operation.n);
    }

    return by_operation(doc, e, TN_STR("Response"));
}


tn_str
tn__doc_input_noun(tn__doc *doc, const tn__endpoint *e)
{
    tn_str parts[2];

    if (e->kind == TN__KIND_ROLLBACK) {
        return TN_STR("Rollback");
    }

    /* what is answered is what was made or changed; to do something else with
     * a row is a request of its own, and so is what makes none */
    if (e->kind != TN__KIND_STEP && e->call == NULL &&
        (e->noun.p || e->resource) &&
        !(tn__eq(e->method, TN_STR("POST")) &&
          (memchr(e->path.p, '{', e->path.n) ||
           (e->kind == TN__KIND_WRITE && !tn__endpoint_makes(e))))) {
        parts[0] = e->resource ? tn__doc_noun(doc, e->resource) : e->noun;
        parts[1] = tn__eq(e->method, TN_STR("PATCH")) ? TN_STR("Update")
                                                      : TN_STR("Create");
        return tn__doc_cat(doc, parts, 2);
    }

    return by_operation(doc, e, TN_STR("Request"));
}


/* "work_orders" → "work orders" */
static void
words(tn__buf *buf, tn_str name)
{
    size_t i;

    for (i = 0; i < name.n; i++) {
        tn__buf_char(buf,
                     name.p[i] == '_' || name.p[i] == '-' ? ' ' : name.p[i]);
    }
}


/* "a task", "an event" */
static void
article(tn__buf *buf, tn_str name)
{
    tn__buf_add(buf, name.n && memchr("aeio", name.p[0], 4) ? TN_STR("an ")
                                                            : TN_STR("a "));
    words(buf, name);
}


/* "logIn" → "Log in" */
static void
spoken(tn__buf *buf, tn_str operation)
{
    size_t i;
    char c;

    for (i = 0; i < operation.n; i++) {
        c = operation.p[i];

        if (i && c >= 'A' && c <= 'Z') {
            tn__buf_char(buf, ' ');
            c = (char) (c + 32);

        } else if (i == 0 && c >= 'a' && c <= 'z') {
            c = (char) (c - 32);
        }

        tn__buf_char(buf, c);
    }
}


static const struct {
    tn_str verb;
    unsigned article : 1;
    tn_str tail;
} summaries[] = {
    [TN__KIND_HISTORY] = { TN_STR_C("List what happened to "), 1,
                           TN_STR_C("") },
    [TN__KIND_READ] = { TN_STR_C("Read "), 1, TN_STR_C("") },
    [TN__KIND_CREATE] = { TN_STR_C("Create "), 1, TN_STR_C("") },
    [TN__KIND_UPDATE] = { TN_STR_C("Change "), 1, TN_STR_C("") },
    [TN__KIND_DELETE] = { TN_STR_C("Delete "), 1, TN_STR_C("") },
    [TN__KIND_RESTORE] = { TN_STR_C("Restore "), 1,
                           TN_STR_C(" that was deleted") },
    [TN__KIND_ROLLBACK] = { TN_STR_C("Roll "), 1,
                            TN_STR_C(" back to an earlier version") },
    [TN__KIND_STEP] = { TN_STR_C(""), 0, TN_STR_C("") },
};


/* "Check in: an action of a visit"; a name needn't be a verb. */
static void
of_call(tn__buf *buf, const tn__call *call)
{
    if (call->resource == NULL) {
        tn__buf_lit(buf, "The query ");
        words(buf, call->name);
        return;
    }

    tn__buf_char(buf, (char) (call->name.p[0] - 32));
    words(buf, tn__sub(call->name, 1, call->name.n));
    tn__buf_lit(buf, ": an action of ");
    article(buf, call->resource->name);
}


tn_str
tn__doc_summary(tn__doc *doc, const tn__endpoint *e)
{
    tn__buf buf;
    const tn__resource *r;

    if (e->summary.p) {
        return e->summary;
    }

    r = e->resource;
    tn__buf_init(&buf, &doc->lent, 64);

    if (e->call) {
        of_call(&buf, e->call);

    } else if (r && (e->kind == TN__KIND_LIST || e->kind == TN__KIND_NESTED)) {
        tn__buf_lit(&buf, "List ");
        words(&buf, r->path);

        if (e->kind == TN__KIND_NESTED) {
            tn__buf_lit(&buf, " of ");
            article(&buf, r->parent_resource->name);
        }

    } else if (r && summaries[e->kind].article) {
        tn__buf_add(&buf, summaries[e->kind].verb);
        article(&buf, r->name);
        tn__buf_add(&buf, summaries[e->kind].tail);

    } else {
        spoken(&buf, e->operation);
    }

    return tn__doc_buf(doc, &buf);
}


/* The platform's areas, by the first segment of their paths. */
static const struct {
    tn_str segment;
    tn_str tag;
    tn_str about;
} areas[] = {
    { TN_STR_C("auth"), TN_STR_C("auth"),
      TN_STR_C("Signing up, in and out. Idempotency-Key is ignored here.") },
    { TN_STR_C("me"), TN_STR_C("me"), TN_STR_C("Who asks.") },
    { TN_STR_C("tenant"), TN_STR_C("tenant"),
      TN_STR_C("The organization, and further ones.") },
    { TN_STR_C("tenants"), TN_STR_C("tenant"), TN_STR_C("") },
    { TN_STR_C("members"), TN_STR_C("members"),
      TN_STR_C("Who belongs to the organization, in which role.") },
    { TN_STR_C("invitations"), TN_STR_C("invitations"),
      TN_STR_C("How one becomes a member.") },
    { TN_STR_C("domains"), TN_STR_C("domains"),
      TN_STR_C("Hosts of the organization's own.") },
    { TN_STR_C("jobs"), TN_STR_C("jobs"),
      TN_STR_C("What is done in the background.") },
    { TN_STR_C("billing"), TN_STR_C("billing"),
      TN_STR_C("What can be subscribed to, and what the organization has.") },
    { TN_STR_C("platform"), TN_STR_C("platform"),
      TN_STR_C("For the platform's own people: the organizations they run.") },
    { TN_STR_C("api-keys"), TN_STR_C("api-keys"),
      TN_STR_C("Keys by which programs ask as the member who made them, as "
               "far as their scopes go.") },
    { TN_STR_C("roles"), TN_STR_C("roles"),
      TN_STR_C("What a member may do: the shipped roles, and the "
               "organization's own.") },
    { TN_STR_C("permissions"), TN_STR_C("roles"), TN_STR_C("") },
    { TN_STR_C("accounts"), TN_STR_C("accounts"),
      TN_STR_C("Units within the organization, nested, and who holds which "
               "role in them.") },
    { TN_STR_C("account-members"), TN_STR_C("accounts"), TN_STR_C("") },
    { TN_STR_C("shares"), TN_STR_C("shares"),
      TN_STR_C("Single rows that a member may see or change, whatever their "
               "roles.") },
    { TN_STR_C("usage"), TN_STR_C("usage"),
      TN_STR_C("What the organization uses, by meter, and events of it that "
               "programs report: each once, by its id.") },
    { TN_STR_C("flags"), TN_STR_C("flags"),
      TN_STR_C("Feature flags, and what they answer to a context: by "
               "OpenFeature's Remote Evaluation Protocol (OFREP).") },
    { TN_STR_C("queries"), TN_STR_C("queries"),
      TN_STR_C("What no list of one resource answers.") },
    { TN_STR_C("inbound"), TN_STR_C("inbound"),
      TN_STR_C("Events that others send in, signed.") },
    { TN_STR_C("audit"), TN_STR_C("audit"),
      TN_STR_C("What was done by whom, and who may do what.") },
    { TN_STR_C("service"), TN_STR_C("service"),
      TN_STR_C("What machines ask: whether the service lives, its keys, this "
               "document.") },
};


/* "/v1/audit/events" → "audit", "/ofrep/…" → "flags"; files and what else is
 * outside /v1: "service". */
static tn_str
area_of(tn_str path)
{
    tn_str rest, first;

    rest = path;
    tn__split(&rest, '/');

    first = tn__split(&rest, '/');

    if (!tn__eq(first, TN_STR("v1"))) {
        return tn__eq(first, TN_STR("ofrep")) ? TN_STR("flags")
                                              : TN_STR("service");
    }

    first = tn__split(&rest, '/');

    return memchr(first.p, '.', first.n) ? TN_STR("service") : first;
}


tn_str
tn__doc_tag(tn__doc *doc, const tn__endpoint *e)
{
    unsigned i;
    cJSON *tag;
    tn__buf about;
    tn_str name, text;
    const cJSON *known;

    if (e >= doc->cat->endpoints + doc->cat->nplatform && e->resource) {
        name = e->resource->path;
        tn__buf_init(&about, &doc->lent, 64);
        tn__buf_lit(&about, "The resource `");
        tn__buf_add(&about, e->resource->full_name);
        tn__buf_lit(&about, "`.");
        text = tn__doc_buf(doc, &about);

    } else {
        name = area_of(e->path);
        text = TN_STR("");

        for (i = 0; i < sizeof(areas) / sizeof(areas[0]); i++) {
            if (tn__eq(areas[i].segment, name)) {
                name = areas[i].tag;
                text = areas[i].about;
                break;
            }
        }
    }

    cJSON_ArrayForEach(known, doc->tags)
    {
        if (known->child &&
            strcmp(known->child->valuestring, tn__doc_c(doc, name)) == 0) {
            return name;
        }
    }

    tag = tn__doc_item_object(doc, doc->tags);
    tn__doc_str(doc, tag, TN_STR("name"), name);

    if (text.n) {
        tn__doc_str(doc, tag, TN_STR("description"), text);
    }

    return name;
}
