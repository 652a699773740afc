/*
 * jobs.c: a tenant's jobs as it sees them: what waits, what was done, what was
 * given up; and what people can do about it.
 */

#include "libcore/job/job.h"
#include "gen/queries.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))


static const tn_str statuses[] = { TN_STR_C("queued"), TN_STR_C("running"),
                                   TN_STR_C("done"), TN_STR_C("dead"),
                                   TN_STR_C("canceled") };

static const tn__field job_fields[] = {
    { .name = TN_STR_C("id"), .type = TN__TYPE_UUID, .out = 1 },
    { .name = TN_STR_C("kind"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .example = TN_STR_C("\"purge\"") },
    { .name = TN_STR_C("status"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .filter = 1,
      .set = statuses,
      .nset = COUNT(statuses),
      .about = TN_STR_C("dead: it failed too often, or trying again is of no "
                        "use") },
    { .name = TN_STR_C("input"),
      .type = TN__TYPE_OBJECT,
      .out = 1,
      .about = TN_STR_C("What it is about, by its kind"),
      .example = TN_STR_C("{}") },
    { .name = TN_STR_C("attempts"),
      .type = TN__TYPE_INT,
      .out = 1,
      .about = TN_STR_C("How often it was begun") },
    { .name = TN_STR_C("run_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .about = TN_STR_C("Not before then") },
    { .name = TN_STR_C("last_error"),
      .type = TN__TYPE_TEXT,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("finished_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .nullable = 1 },
    { .name = TN_STR_C("version"), .type = TN__TYPE_INT, .out = 1 },
    { .name = TN_STR_C("created_at"),
      .type = TN__TYPE_TIME,
      .out = 1,
      .filter = 1,
      .sort = 1 },
    { .name = TN_STR_C("updated_at"), .type = TN__TYPE_TIME, .out = 1 },
};

static const tn__resource job = {
    .app = TN_STR_C("tenon"),
    .name = TN_STR_C("job"),
    .full_name = TN_STR_C("tenon.job"),
    .path = TN_STR_C("jobs"),
    .relation = TN_STR_C("tenon.job"),
    .order = TN_STR_C("created_at"),
    .fields = job_fields,
    .nfields = COUNT(job_fields),
};


static const tn__endpoint endpoints[] = {
    { .operation = TN_STR_C("listJobs"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/jobs"),
      .permission_name = "tenon.job:read",
      .action = TN_STR_C("job.listed"),
      .summary = TN_STR_C("List the work that is done in the background"),
      .kind = TN__KIND_LIST,
      .resource = &job,
      .unpaid = 1 },
    { .operation = TN_STR_C("getJob"),
      .method = TN_STR_C("GET"),
      .path = TN_STR_C("/v1/jobs/{id}"),
      .permission_name = "tenon.job:read",
      .action = TN_STR_C("job.read"),
      .summary = TN_STR_C("Read a job"),
      .kind = TN__KIND_READ,
      .resource = &job,
      .unpaid = 1 },
    { .operation = TN_STR_C("retryJob"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/jobs/{id}/retry"),
      .permission_name = "tenon.job:update",
      .action = TN_STR_C("job.retried"),
      .summary = TN_STR_C("Try a job again, at once and as often as a new one"),
      .kind = TN__KIND_WRITE,
      .resource = &job,
      .stmt = &tn__q_job_retry,
      .output = job_fields,
      .noutput = COUNT(job_fields) },
    { .operation = TN_STR_C("cancelJob"),
      .method = TN_STR_C("POST"),
      .path = TN_STR_C("/v1/jobs/{id}/cancel"),
      .permission_name = "tenon.job:update",
      .action = TN_STR_C("job.canceled"),
      .summary = TN_STR_C("Give a job up that waits"),
      .kind = TN__KIND_WRITE,
      .resource = &job,
      .stmt = &tn__q_job_cancel,
      .output = job_fields,
      .noutput = COUNT(job_fields) },
};

const tn__slice tn__jobs_slice = { endpoints, COUNT(endpoints) };
