/*
 * domains.c: hosts of a tenant's own. A domain names its tenant once an
 * operator's `tenonctl domain verify` has found the challenge in its DNS; how a
 * request's host is looked up tells identity/host.c.
 */

#include "libcore/people/people.h"
#include "gen/queries.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define BODY_MAX 16384

/* A host's name of two labels at least, the last one no number: addresses are
 * none. "--" in third place is IDNA's: it stands in "xn--…" alone. */
#define NOT_IDNA "(?!(?![xX][nN])..--)"
#define REST     "[a-zA-Z0-9-]{0,61}[a-zA-Z0-9]"
#define DOMAIN_PATTERN                                       \
    "^(?:" NOT_IDNA "[a-zA-Z0-9](?:" REST ")?\\.)+" NOT_IDNA \
    "[a-zA-Z](?:" REST ")\\z"


static const tn_str statuses[] = { TN_STR_C("pending"), TN_STR_C("verified") };

static const tn_str record_types[] = { TN_STR_C("TXT") };

static const tn__field record_fields[] = {
    { .name = TN_STR_C("name"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"_tenon-challenge.app.example.com\"") },
    { .name = TN_STR_C("type"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .set = record_types,
      .nset = COUNT(record_types) },
    { .name = TN_STR_C("value"), .type = TN__TYPE_TEXT, .out = 1 },
};

static const tn__field domain_fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("domain"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .create = 1,
      .required = 1,
      .has_max = 1,
      .max = 253,
      .pattern = DOMAIN_PATTERN,
      .foreign_host = 1,
      .lower = 1,
      .about = TN_STR_C("Kept in lower case; of other scripts the \"xn--\" "
                        "form"),
      .example = TN_STR_C("\"app.example.com\"") },
    { .name = TN_STR_C("status"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .filter = 1,
      .set = statuses,
      .nset = COUNT(statuses) },
    { .name = TN_STR_C("challenge"),
      .type = TN__TYPE_JSON,
      .out = 1,
      .fields = record_fields,
      .nfields = COUNT(record_fields),
      .about = TN_STR_C("The DNS record that shows whose it is") },
    { .name = TN_STR_C("verified_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },
    { .name = TN_STR_C("created_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .filter = 1,
      .sort = 1 },
    { .name = TN_STR_C("created_by"),
      .type = TN__TYPE_UUID,
      .out = 1,
      .nullable = 1 },
};

static const tn__resource domain = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("domain"),
    .full_name = TN_STR_C("tenon.domain"),
    .path = TN_STR_C("domains"),
    .relation = TN_STR_C("tenon.domain_view"),
    .order = TN_STR_C("created_at"),
    .owner = TN_STR_C("created_by"),
    .fields = domain_fields,
    .nfields = COUNT(domain_fields),
};

static const tn__conflict create_conflicts[] = {
    { .constraint = TN_STR_C("domain_name_key"),
      .err = TN_E_DUPLICATE,
      .pointer = TN_STR_C("/domain"),
      .fault = TN_F_DUPLICATE },
};


static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("listDomains"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/domains"),
      .permission_name = "tenon.domain:read",
      .action = TN_STR_C("domain.listed"),
      .summary = TN_STR_C("List the organization's own domains"),
      .kind = TN__KIND_LIST,
      .resource = &domain },
    { .operation = TN_STR_C("createDomain"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/domains"),
      .permission_name = "tenon.domain:create",
      .action = TN_STR_C("domain.created"),
      .summary = TN_STR_C("Say that a domain is the organization's"),
      .kind = TN__KIND_WRITE,
      .resource = &domain,
      .stmt = &tn__q_domain_create,
      .input = domain_fields,
      .ninput = COUNT(domain_fields),
      .output = domain_fields,
      .noutput = COUNT(domain_fields),
      .conflicts = create_conflicts,
      .nconflicts = COUNT(create_conflicts),
      .body_max = BODY_MAX,
      .status = 201,
      .by_person = 1 },
    { .operation = TN_STR_C("getDomain"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/domains/{id}"),
      .permission_name = "tenon.domain:read",
      .action = TN_STR_C("domain.read"),
      .summary = TN_STR_C("Read a domain, and the record that its DNS needs"),
      .kind = TN__KIND_READ,
      .resource = &domain },
    { .operation = TN_STR_C("deleteDomain"),
      .method = TN_STR_C("DELETE"),
      .path = TN_STR_C("/v1/domains/{id}"),
      .permission_name = "tenon.domain:delete",
      .action = TN_STR_C("domain.deleted"),
      .summary = TN_STR_C("Give a domain up: it names the organization no "
                          "more"),
      .kind = TN__KIND_WRITE,
      .resource = &domain,
      .stmt = &tn__q_domain_delete,
      .status = 204,
      .changes_domains = 1,
      .by_person = 1 },
};

const tn__slice tn__domains_slice = { endpoints, COUNT(endpoints) };
