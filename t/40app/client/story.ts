// An organization's first week, as a frontend developer writes it: only the
// generated types and what they promise. Every operation of the document is
// called at least once; openapi.t looks whether one was left out.
//
// TENON_RUN is a word that makes the names of this run new ones, TENON_OUTBOX
// a program that prints what would have been mailed.

import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";

import { api, beside, data, env, etag, is, none, ok, part, refused, run,
  type Api } from "./kit.js";
import { agency } from "./agency.js";
import type { components } from "./schema.js";

type Task = components["schemas"]["Task"];

const word = env("TENON_RUN");
const slug = `hooli-${word}`;
const password = "correct horse battery";
const gavin = { email: `gavin@${slug}.test`, password, name: "Gavin" };
const jen = { email: `jen@${slug}.test`, password, name: "Jen" };

// The refresh token beside an access token: what shows that one has the session.
const proofs = new Map<string, string>();

async function logIn(tenant: string, email: string): Promise<string> {
  const session = data(await api(tenant).POST("/v1/auth/login", {
    body: { email, password },
  }), 200, `${email} logs in to ${tenant}`);
  is(session.tenant.slug, tenant, "and is there");
  is(session.token_type, "Bearer", "with tokens");
  is(session.mfa_token, null, "with nothing more to show");
  proofs.set(session.access_token ?? "", session.refresh_token ?? "");
  return session.access_token ?? "";
}

async function sessions(owner: Api): Promise<void> {
  const list = async () =>
    data(await owner.GET("/v1/me/sessions"), 200, "my sessions").data;

  await logIn(slug, gavin.email);
  const [newest] = await list();
  is(newest?.current, false, "another place");
  none(await owner.DELETE("/v1/me/sessions/{id}", {
    params: { path: { id: newest?.id ?? "" } },
  }), 204, "is signed out");
  await logIn(slug, gavin.email);
  none(await owner.DELETE("/v1/me/sessions"), 204, "so are all others");
  is((await list()).map((row) => row.current), [true], "but this one");
}

async function first(owner: Api): Promise<void> {
  const me = data(await owner.GET("/v1/me"), 200, "who am I");
  is([me.email, me.role, me.tenant.slug], [gavin.email, "owner", slug],
     "the owner of the new organization");
  const may = new Map(me.permissions.map((p) => [p.permission, p.scope]));
  is([may.get("tenon.tenant:update"), me.impersonated, me.recovery_codes_left],
     ["tenant", false, null], "may rename it, and is nobody else");
  is(data(await owner.GET("/v1/me/accounts"), 200, "my accounts").data, [],
     "are none yet");
  is(data(await owner.PATCH("/v1/me", { body: { name: gavin.name } }), 200,
          "a name").name, gavin.name, "is kept");
  await sessions(owner);

  const answer = await owner.GET("/v1/tenant");
  const tenant = data(answer, 200, "the organization");
  is(etag(answer), `"${tenant.version}"`, "its ETag is its version");
  const renamed = data(await owner.PATCH("/v1/tenant", {
    params: { header: { "If-Match": etag(answer) } },
    body: { name: "Hooli XYZ" },
  }), 200, "is renamed");
  is([renamed.name, renamed.slug], ["Hooli XYZ", slug], "the name alone");
}

async function projects(owner: Api): Promise<string> {
  const made = await owner.POST("/v1/projects", {
    params: { header: { "Idempotency-Key": `nucleus-${word}` } },
    body: { name: "Nucleus" },
  });
  const project = data(made, 201, "a project");
  is(made.response.headers.get("Location"), `/api/v1/projects/${project.id}`,
     "Location is where it lies");

  const bad = await owner.POST("/v1/projects", { body: { name: "" } });
  refused(bad, 422, "invalid_fields", "a project without a name");
  is(bad.error?.errors?.map((fault) => [fault.pointer, fault.code]),
     [["/name", "too_short"]], "what to mend");

  const again = await owner.POST("/v1/projects", {
    params: { header: { "Idempotency-Key": `nucleus-${word}` } },
    body: { name: "Nucleus" },
  });
  is(data(again, 201, "the same key again"), project, "answers the same");
  is(again.response.headers.get("Idempotency-Replayed"), "true",
     "and says that it is a replay");

  const answer = await owner.GET("/v1/projects/{id}", {
    params: { path: { id: project.id } },
  });
  is(data(answer, 200, "is read"), project, "what was made");
  none(await owner.GET("/v1/projects/{id}", {
    params: {
      path: { id: project.id },
      header: { "If-None-Match": etag(answer) },
    },
  }), 304, "is not sent twice");

  data(await owner.PATCH("/v1/projects/{id}", {
    params: { path: { id: project.id } },
    body: { name: "Nucleus 2" },
  }), 200, "is renamed");
  const found = data(await owner.GET("/v1/projects", {
    params: { query: { q: "CLEUS" } },
  }), 200, "is found by a part of its name");
  is(found.data.map((row) => row.name), ["Nucleus 2"], "it alone");

  const past = data(await owner.GET("/v1/projects/{id}/history", {
    params: { path: { id: project.id } },
  }), 200, "its history");
  is(past.data.map((event) => event.action),
     ["project.updated", "project.created"], "both events, newest first");
  const back = data(await owner.POST("/v1/projects/{id}/rollback", {
    params: { path: { id: project.id } },
    body: { version: project.version },
  }), 200, "is rolled back");
  is([back.name, back.version], ["Nucleus", project.version + 2],
     "to the first name, in a new version");

  const params = { path: { id: project.id } };
  none(await owner.DELETE("/v1/projects/{id}", { params }), 204,
       "is deleted");
  refused(await owner.GET("/v1/projects/{id}", { params }), 404,
          "not_found", "is gone");
  data(await owner.POST("/v1/projects/{id}/restore", { params }), 200,
       "is restored");
  return project.id;
}

async function tasks(owner: Api, project: string): Promise<Task> {
  const made: Task[] = [];
  for (const title of ["One", "Two", "Three"]) {
    made.push(data(await owner.POST("/v1/tasks", {
      body: { project_id: project, title, priority: "high" },
    }), 201, `a task: ${title}`));
  }
  const [one, two, three] = made as [Task, Task, Task];
  is([one.status, one.priority, one.assignee_id], ["todo", "high", null],
     "given and by default");

  const me = data(await owner.GET("/v1/me"), 200, "who am I");
  const path = { id: one.id };
  const answer = await owner.GET("/v1/tasks/{id}", { params: { path } });
  const started = await owner.PATCH("/v1/tasks/{id}", {
    params: { path, header: { "If-Match": etag(answer) } },
    headers: { "Content-Type": "application/merge-patch+json" },
    body: { status: "in_progress", assignee_id: me.id },
  });
  is(data(started, 200, "is begun").status, "in_progress", "in progress");
  is(etag(started), `"${one.version + 1}"`, "in the next version");
  refused(await owner.PATCH("/v1/tasks/{id}", {
    params: { path, header: { "If-Match": etag(answer) } },
    body: { title: "lost" },
  }), 412, "precondition_failed", "an old version is not overwritten");
  is(data(await owner.PATCH("/v1/tasks/{id}", {
    params: { path }, body: { assignee_id: null },
  }), 200, "null takes a value away").assignee_id, null, "the assignee");

  const open = part(await owner.GET("/v1/tasks", {
    params: {
      query: {
        project_id: [project],
        status: ["todo", "done"],
        "created_at[gte]": one.created_at,
        sort: "created_at",
        fields: ["id", "title"],
      },
    },
  }), 200, "filters, sort and fields");
  is(open.data, [two, three].map(({ id, title }) => ({ id, title })),
     "exactly these rows, exactly these fields");

  const seen: string[] = [];
  let cursor: string | null | undefined;
  do {
    const page = data(await owner.GET("/v1/tasks", {
      params: { query: { limit: 2, ...(cursor ? { cursor } : {}) } },
    }), 200, "a page");
    seen.push(...page.data.map((task) => task.id ?? ""));
    cursor = page.next_cursor;
  } while (cursor !== null);
  is(seen, [three, two, one].map((task) => task.id),
     "pages hold every task once, newest first");

  const nested = data(await owner.GET("/v1/projects/{id}/tasks", {
    params: { path: { id: project }, query: { status: ["in_progress"] } },
  }), 200, "the tasks of a project");
  is(nested.data.map((task) => task.id), [one.id], "filtered too");

  const past = data(await owner.GET("/v1/tasks/{id}/history", {
    params: { path, query: { limit: 1 } },
  }), 200, "the history of a task");
  is(past.data.map((event) => [event.action, event.version]),
     [["task.updated", 3]], "its newest event");
  is(data(await owner.POST("/v1/tasks/{id}/rollback", {
    params: { path }, body: { version: 2 },
  }), 200, "is rolled back").assignee_id, me.id, "to whom it was given");

  const last = { path: { id: three.id } };
  none(await owner.DELETE("/v1/tasks/{id}", { params: last }), 204,
       "a task is deleted");
  is(data(await owner.POST("/v1/tasks/{id}/restore", { params: last }), 200,
          "and restored").title, "Three", "as it was");
  return one;
}

async function comments(owner: Api, task: string): Promise<void> {
  const comment = data(await owner.POST("/v1/comments", {
    body: { task_id: task, content: "Looks good" },
  }), 201, "a comment");
  const params = { path: { id: comment.id } };
  is(data(await owner.GET("/v1/comments/{id}", { params }), 200,
          "is read"), comment, "what was made");
  data(await owner.PATCH("/v1/comments/{id}", {
    params, body: { content: "Looks very good" },
  }), 200, "is edited");
  is(data(await owner.GET("/v1/comments", {
    params: { query: { task_id: [task] } },
  }), 200, "all of a task").data.length, 1, "are this one");
  is(data(await owner.GET("/v1/tasks/{id}/comments", {
    params: { path: { id: task } },
  }), 200, "also below the task").data.length, 1, "are this one");
  is(data(await owner.GET("/v1/comments/{id}/history", { params }), 200,
          "the history of a comment").data.length, 2, "has two events");
  is(data(await owner.POST("/v1/comments/{id}/rollback", {
    params, body: { version: 1 },
  }), 200, "is rolled back").content, "Looks good", "to the first words");
  none(await owner.DELETE("/v1/comments/{id}", { params }), 204,
       "is deleted");
  data(await owner.POST("/v1/comments/{id}/restore", { params }), 200,
       "is restored");
}

// The secret that was mailed to this address.
function mailed(email: string, purpose = "invitation"): string {
  const text = execFileSync(env("TENON_OUTBOX"), { encoding: "utf8" });
  const all = JSON.parse(text) as { email: string; purpose: string; token: string }[];
  const mail = all.find((item) => item.email === email &&
                                  item.purpose === purpose);
  if (mail === undefined) {
    throw new Error(`nothing was mailed to ${email}: ${text}`);
  }
  return mail.token;
}

async function people(owner: Api): Promise<void> {
  const invited = data(await owner.POST("/v1/invitations", {
    body: { email: jen.email, role: "member" },
  }), 201, "an invitation");
  is([invited.status, invited.role], ["pending", "member"], "is pending");
  const spare = data(await owner.POST("/v1/invitations", {
    body: { email: `jack@${slug}.test`, role: "admin" },
  }), 201, "a second one");
  is(data(await owner.GET("/v1/invitations/{id}", {
    params: { path: { id: spare.id } },
  }), 200, "is read"), spare, "what was made");
  is(data(await owner.GET("/v1/invitations"), 200, "all").data.length, 2,
     "are two");
  const token = mailed(spare.email);
  none(await owner.DELETE("/v1/invitations/{id}", {
    params: { path: { id: spare.id } },
  }), 204, "the second is revoked");
  refused(await api().POST("/v1/invitations/accept", {
    body: { token, name: "Jack", password },
  }), 410, "secret_spent", "and worth nothing");

  const shown = data(await api().POST("/v1/invitations/preview", {
    body: { token: mailed(jen.email) },
  }), 200, "the first is looked at");
  is([shown.tenant.slug, shown.email, shown.has_account],
     [slug, jen.email, false], "and says what to ask for");

  const joined = data(await api().POST("/v1/invitations/accept", {
    body: { token: mailed(jen.email), name: jen.name, password },
  }), 200, "the first is accepted");
  is([joined.user.email, joined.tenant.slug, joined.member.role],
     [jen.email, slug, "member"], "who joins what as what");

  const list = data(await owner.GET("/v1/members"), 200, "the members");
  is(list.data.map((member) => [member.email, member.role]),
     [[jen.email, "member"], [gavin.email, "owner"]], "are two now");

  const guest = api(slug, await logIn(slug, jen.email));
  refused(await guest.GET("/v1/audit/events"), 403, "forbidden",
          "a member doesn't read the audit log");
  const params = { path: { id: joined.member.id } };
  refused(await guest.PATCH("/v1/members/{id}", {
    params, body: { role: "owner" },
  }), 403, "forbidden", "nor raises herself");
  await agency(owner, guest, joined.user.id);
  const member = await owner.GET("/v1/members/{id}", { params });
  is(data(member, 200, "one member"), joined.member, "who joined");
  is(data(await owner.PATCH("/v1/members/{id}", {
    params: { ...params, header: { "If-Match": etag(member) } },
    body: { role: "admin" },
  }), 200, "is made").role, "admin", "an admin");
  data(await guest.GET("/v1/audit/events"), 200,
       "who reads it from that moment");
  const gavins = list.data.find((row) => row.role === "owner")?.id ?? "";
  is(data(await owner.POST("/v1/tenant/transfer", {
    body: { member_id: joined.member.id },
  }), 200, "she is handed the organization").role, "owner", "as its owner");
  is(data(await guest.POST("/v1/tenant/transfer", {
    body: { member_id: gavins },
  }), 200, "and hands it back").id, gavins, "to him");
  none(await guest.DELETE("/v1/members/{id}", { params }), 204, "and leaves");
  refused(await owner.DELETE("/v1/members/{id}", {
    params: { path: { id: gavins } },
  }), 409, "last_owner", "the last owner can't");
}

async function keys(owner: Api, proof: string): Promise<void> {
  const made = data(await owner.POST("/v1/api-keys", {
    body: { name: "CI", scopes: ["tenon.member:read"], refresh_token: proof },
  }), 201, "an API key");
  is([made.status, made.scopes, made.secret?.startsWith(made.prefix)],
     ["active", ["tenon.member:read"], true], "shows its secret");
  const program = api(slug, made.secret ?? "");
  data(await program.GET("/v1/members"), 200, "it may what its scopes say");
  is(data(await program.GET("/v1/me"), 200, "who asks").api_key?.id, made.id,
     "is the key");
  refused(await program.GET("/v1/tasks"), 403, "forbidden", "and no more");

  const params = { path: { id: made.id } };
  const read = await owner.GET("/v1/api-keys/{id}", { params });
  is(data(read, 200, "the key").prefix, made.prefix, "is known by its prefix");
  is(data(await owner.GET("/v1/api-keys"), 200, "all").data.length, 1,
     "are one");
  is(data(await owner.PATCH("/v1/api-keys/{id}", {
    params: { ...params, header: { "If-Match": etag(read) } },
    body: { name: "Deploy" },
  }), 200, "it is renamed").name, "Deploy", "so");
  const rotated = data(await owner.POST("/v1/api-keys/{id}/rotate", {
    params, body: { overlap_seconds: 0, refresh_token: proof },
  }), 200, "it is rotated");
  refused(await program.GET("/v1/members"), 401, "unauthenticated",
          "the old secret is over");
  const renewed = api(slug, rotated.secret ?? "");
  data(await renewed.GET("/v1/members"), 200, "the new one holds");
  none(await owner.DELETE("/v1/api-keys/{id}", { params }), 204,
       "it is revoked");
  refused(await renewed.GET("/v1/members"), 401, "unauthenticated",
          "and opens nothing");
}

async function roles(owner: Api): Promise<void> {
  const permissions = data(await owner.GET("/v1/permissions", {
    params: { query: { limit: 100 } },
  }), 200, "what roles are made of");
  ok(permissions.data.some((row) => row.name === "tenon.role:read" &&
                                    row.scopes.join() === "tenant"),
     "has scopes", permissions.data);
  const role = data(await owner.POST("/v1/roles", {
    body: {
      name: "reviewer", title: "Reviewer",
      permissions: [{ permission: "tenon.member:read", scope: "tenant" }],
    },
  }), 201, "a role");
  is([role.level, role.shipped], ["tenant", false], "is the organization's");
  const params = { path: { id: role.id } };
  const read = await owner.GET("/v1/roles/{id}", { params });
  is(data(read, 200, "is read"), role, "what was made");
  is(data(await owner.GET("/v1/roles", {
    params: { query: { shipped: [false] } },
  }), 200, "its own").data.length, 1, "are one");
  is(data(await owner.PATCH("/v1/roles/{id}", {
    params: { ...params, header: { "If-Match": etag(read) } },
    body: { permissions: [] },
  }), 200, "is changed").permissions, [], "to hold nothing");
  none(await owner.DELETE("/v1/roles/{id}", { params }), 204, "is deleted");
}

async function tenants(owner: Api, shown: string): Promise<void> {
  const second = data(await owner.POST("/v1/tenants", {
    body: { name: "Pied Piper", slug: `piper-${word}`, refresh_token: shown },
  }), 201, "a second organization");
  is(data(await owner.GET("/v1/me/tenants"), 200, "mine").data
       .map((row) => [row.slug, row.role]).sort(),
     [[slug, "owner"], [`piper-${word}`, "owner"]], "are both");

  // From the token's organization to the other, then on its own host. Who goes
  // proves the session by its refresh token.
  const signedIn = data(await api(slug).POST("/v1/auth/login", {
    body: { email: gavin.email, password },
  }), 200, "a sign-in");
  const proof = signedIn.refresh_token ?? "";
  const from = api(slug, signedIn.access_token ?? "");
  const session = data(await from.POST("/v1/auth/tenant", {
    body: { tenant: second.slug, refresh_token: proof },
  }), 200, "go there");
  is(session.tenant.id, second.id, "the session is there");
  const renewed = data(await api(second.slug).POST("/v1/auth/refresh", {
    body: { refresh_token: session.refresh_token ?? "" },
  }), 200, "for as long as it is refreshed");
  const there = api(second.slug, renewed.access_token ?? "");
  is(data(await there.GET("/v1/tenant"), 200, "this organization").id,
     second.id, "is the second");
  none(await there.DELETE("/v1/tenant"), 204, "is deleted");
  refused(await there.GET("/v1/me"), 404, "tenant_unknown",
          "and its sessions are dead");
}

async function domains(owner: Api): Promise<void> {
  const made = data(await owner.POST("/v1/domains", {
    body: { domain: `app.hooli-${word}.example` },
  }), 201, "a domain of its own");
  is([made.status, made.verified_at, made.challenge.type],
     ["pending", null, "TXT"], "is to be verified");
  is(data(await owner.GET("/v1/domains", {
    params: { query: { status: ["pending"] } },
  }), 200, "the domains").data.map((row) => row.id), [made.id], "is listed");
  const path = { params: { path: { id: made.id } } };
  is(data(await owner.GET("/v1/domains/{id}", path), 200, "the domain"), made,
     "is what was made");
  none(await owner.DELETE("/v1/domains/{id}", path), 204, "is given up");
}

// What is done in the background: of the platform's jobs one waits for tomorrow.
async function jobs(root: Api, owner: Api): Promise<void> {
  is(data(await owner.GET("/v1/jobs"), 200, "jobs of hers").data, [],
     "there are none");
  const list = data(await root.GET("/v1/jobs", {
    params: { query: { status: ["queued"] } },
  }), 200, "the platform's jobs that wait").data;
  const soon = Date.now() + 3600000;
  const id = list.find((job) => Date.parse(job.run_at) > soon)?.id ?? "";
  const path = { params: { path: { id } } };
  refused(await owner.POST("/v1/jobs/{id}/cancel", path), 404, "not_found",
          "none of hers");
  is(data(await root.POST("/v1/jobs/{id}/cancel", path), 200, "one")
       .status, "canceled", "is given up");
  const job = data(await root.POST("/v1/jobs/{id}/retry", path), 200,
                   "and wanted after all");
  is([job.kind, job.status, job.input], ["purge", "queued", {}], "at once");
  let status: string = job.status;
  for (let tries = 100; status !== "done" && tries > 0; tries--) {
    await new Promise((again) => setTimeout(again, 100));
    status = data(await root.GET("/v1/jobs/{id}", path), 200, "the job").status;
  }
  is(status, "done", "it is done");
  refused(await root.POST("/v1/jobs/{id}/retry", path), 409, "state_conflict",
          "and not to be done again");
}

async function billing(owner: Api): Promise<void> {
  const plans = data(await owner.GET("/v1/billing/plans", {
    params: { query: { sort: "position" } },
  }), 200, "the plans").data;
  is(plans.map((plan) => plan.name), ["free", "pro", "enterprise"],
     "are TeamOS'");
  is([plans[1]?.amount, plans[1]?.currency], [2900, "USD"], "with prices");
  is(plans.map((plan) => [plan.purchasable, plan.trial_at_signup]),
     [[false, false], [true, false], [false, false]], "and what Stripe sells");
  const mine = data(await owner.GET("/v1/billing/subscription"), 200,
                    "who has subscribed to nothing");
  is([mine.plan, mine.entitlement, mine.status], ["free", "full", null],
     "has a plan");
  is(data(await owner.GET("/v1/billing/entitlements"), 200, "which").limits
       .map((limit) => [limit.name, limit.hard, limit.period]),
     [["api_calls", 1000, "month"]], "has limits");
  await pages(owner);
}

// Pages of Stripe's are made behind the answer, by tenond.
async function pages(owner: Api): Promise<void> {
  const home = `http://${slug}.tenon.localhost/billing`;
  refused(await owner.POST("/v1/billing/portal-sessions", {
    body: { return_url: home },
  }), 409, "state_conflict", "who never paid has nothing to see to");
  const asked = await owner.POST("/v1/billing/checkout-sessions", {
    body: { plan: "pro", quantity: 2, success_url: home, cancel_url: home },
  });
  const page = data(asked, 202, "a page to pay on");
  is(asked.response.headers.get("Location"),
     `/api/v1/billing/checkout-sessions/${page.id}`, "is going to be there");
  let read = page;
  for (let tries = 200; read.status === "pending" && tries > 0; tries--) {
    await new Promise((again) => setTimeout(again, 100));
    read = data(await owner.GET("/v1/billing/checkout-sessions/{id}", {
      params: { path: { id: page.id } },
    }), 200, "the page");
  }
  is([read.status, read.plan, read.quantity, read.error],
     ["ready", "pro", 2, null], "is ready");
  ok(/^https:\/\/checkout[.]stripe[.]com\//.test(read.url ?? ""),
     "has an address", read.url);
  const portal = data(await owner.POST("/v1/billing/portal-sessions", {
    body: { return_url: home },
  }), 202, "who has a customer may see to what is paid");
  is(data(await owner.GET("/v1/billing/portal-sessions/{id}", {
    params: { path: { id: portal.id } },
  }), 200, "that page").return_url, home, "and come back");
}

async function usage(owner: Api): Promise<void> {
  const event = { id: crypto.randomUUID(), meter: "minutes_processed",
                  quantity: 3 };
  const report = () => owner.POST("/v1/usage/events", {
    body: { events: [event] },
  });
  const told = data(await report(), 200, "what was used").events;
  is([told[0]?.id, told[0]?.quantity], [event.id, 3], "is recorded");
  is(data(await report(), 200, "once more").events, told, "is the same");
  const one = data(await owner.GET("/v1/usage"), 200, "all of it").meters
    .find((meter) => meter.name === event.meter);
  is([one?.used, one?.unit, one?.hard], [3, "minute", null], "counts once");
  const [listed] = data(await owner.GET("/v1/usage/events", {
    params: { query: { meter: event.meter } },
  }), 200, "the events").data;
  is(listed?.id, event.id, "are listed");
  refused(await owner.POST("/v1/usage/events", {
    body: { events: [{ ...event, quantity: 4 }] },
  }), 422, "invalid_fields", "another under its id isn't taken");
}

// What OpenFeature's providers ask lies beside the API.
async function flags(owner: Api): Promise<void> {
  const made = data(await owner.POST("/v1/flags", {
    body: {
      key: "new-checkout",
      rules: [{ when: [{ attribute: "plan", op: "in", values: ["pro"] }],
                variant: "on" },
              { split: [{ variant: "on", weight: 20 },
                        { variant: "off", weight: 80 }] }],
    },
  }), 201, "a flag");
  is([made.type, made.enabled, made.default_variant], ["boolean", true, "off"],
     "is a boolean, off by default");
  const params = { path: { id: made.id } };
  const read = await owner.GET("/v1/flags/{id}", { params });
  is(data(read, 200, "is read"), made, "what was made");
  is(data(await owner.GET("/v1/flags", {
    params: { query: { key: "new-checkout" } },
  }), 200, "by its key").data.map((row) => row.id), [made.id], "is found");

  const one = (context: { [name: string]: unknown }) =>
    owner.POST("/ofrep/v1/evaluate/flags/{key}", {
      ...beside, params: { path: { key: made.key } }, body: { context },
    });
  const value = data(await one({ plan: "pro" }), 200, "evaluated");
  is([value.value, value.reason, value.variant],
     [true, "TARGETING_MATCH", "on"], "for a plan");
  is(data(await one({ targetingKey: "user-1" }), 200, "shared out").reason,
     "SPLIT", "by who it is");
  refused(await one({}), 400, "targeting_key_missing", "not without");
  refused(await owner.POST("/ofrep/v1/evaluate/flags/{key}", {
    ...beside, params: { path: { key: "old-checkout" } }, body: {},
  }), 404, "not_found", "nor where there is none");
  const all = await owner.POST("/ofrep/v1/evaluate/flags", {
    ...beside, body: { context: { plan: "pro" } },
  });
  is(data(all, 200, "all of them").flags.length, 1, "are one");
  is((await owner.POST("/ofrep/v1/evaluate/flags", {
    ...beside, params: { header: { "If-None-Match": etag(all) } },
    body: { context: { plan: "pro" } },
  })).response.status, 304, "as it was");

  is(data(await owner.PATCH("/v1/flags/{id}", {
    params: { ...params, header: { "If-Match": etag(read) } },
    body: { enabled: false },
  }), 200, "is switched off").enabled, false, "so");
  is(data(await one({ plan: "pro" }), 200, "evaluated").reason, "DISABLED",
     "is off at once");
  none(await owner.DELETE("/v1/flags/{id}", { params }), 204, "is deleted");
}

// The platform's own people, and a tenant that they make.
async function platform(owner: Api): Promise<void> {
  const login = data(await api("platform").POST("/v1/auth/login", {
    body: { email: "root@platform.test", password: env("TENON_PASSWORD") },
  }), 200, "root logs in to the platform");
  const root = api("platform", login.access_token ?? "");
  await jobs(root, owner);
  await billing(owner);
  const made = data(await root.POST("/v1/platform/tenants", {
    body: { name: "Raviga", slug: `raviga-${word}`, user_realm: "own",
            owner_email: `monica@raviga-${word}.test`, owner_name: "Monica" },
  }), 201, "a tenant is made");
  const { id } = made;
  is(data(await root.GET("/v1/platform/tenants", {
    params: { query: { slug: made.slug } },
  }), 200, "the tenants").data.map((tenant) => tenant.id), [id], "by slug");
  const path = { params: { path: { id } } };
  is(data(await root.GET("/v1/platform/tenants/{id}", path), 200, "the tenant"),
     made, "is what was made");
  is(data(await root.POST("/v1/platform/tenants/{id}/suspend", path), 200,
          "is suspended").status, "suspended", "and says so");
  is(data(await root.POST("/v1/platform/tenants/{id}/reactivate", path), 200,
          "is reactivated").status, "active", "and says so");
  const granted = data(await root.PATCH("/v1/platform/tenants/{id}/billing", {
    ...path, body: { plan: "enterprise", features_added: ["sso"],
                     limits: [{ name: "seats", hard: 50 }] },
  }), 200, "is granted something");
  is([granted.plan, granted.features_added], ["enterprise", ["sso"]],
     "and says so");
  is(data(await root.GET("/v1/platform/tenants/{id}/billing", path), 200,
          "what it is granted"), granted, "is that");

  const [hooli] = data(await root.GET("/v1/platform/tenants", {
    params: { query: { slug } },
  }), 200, "a tenant").data;
  const session = data(await api(slug).POST("/v1/auth/login", {
    body: { email: gavin.email, password },
  }), 200, "its owner");
  const acting = data(
    await root.POST("/v1/platform/tenants/{id}/impersonate", {
      params: { path: { id: hooli?.id ?? "" } },
      body: { user_id: session.user.id, reason: "to see what he sees" },
    }), 200, "acting as him");
  is(data(await api(slug, acting.access_token ?? "").GET("/v1/me"), 200,
          "who am I").id, session.user.id, "him");
}

// What Stripe does: it signs the bytes that it sends.
async function inbound(): Promise<void> {
  const event = { id: "evt_story", type: "invoice.paid" };
  const time = Math.floor(Date.now() / 1000);
  const hmac = createHmac("sha256", env("TENON_STRIPE_SECRET"))
    .update(`${time}.${JSON.stringify(event)}`).digest("hex");
  const send = (signature: string) => api().POST("/v1/inbound/stripe", {
    params: { header: { "Stripe-Signature": signature } }, body: event,
  });
  none(await send(`t=${time},v1=${hmac}`), 204, "an event of Stripe's");
  none(await send(`t=${time},v1=${hmac}`), 204, "once more");
  refused(await send(`t=${time + 1},v1=${hmac}`), 400, "signature_refused",
          "another's");
}

async function audit(owner: Api): Promise<void> {
  const events = data(await owner.GET("/v1/audit/events", {
    params: { query: { action: ["member.invited", "member.joined"] } },
  }), 200, "the audit log by action");
  is(events.data.map((event) => event.action),
     ["member.joined", "member.invited", "member.invited"],
     "who came, newest first");
  ok(events.data.every((event) => event.request_id !== null),
     "each with its request's id", events.data);
  const refusals = data(await owner.GET("/v1/audit/events", {
    params: { query: { outcome: ["refused"] } },
  }), 200, "what was refused");
  ok(refusals.data.length > 0, "is there too");

  const access = data(await owner.GET("/v1/audit/access"), 200,
                      "the access review");
  is(access.data.map((row) => [row.email, row.role]),
     [[gavin.email, "owner"]], "who may what");
}

// What an authenticator shows, so many half minutes from now (RFC 6238).
function code(secret: string, steps = 0): string {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...secret]
    .map((digit) => digits.indexOf(digit).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from((bits.match(/.{8}/g) ?? [])
    .map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000) + steps));
  const mac = createHmac("sha1", key).update(counter).digest();
  const at = (mac[19] ?? 0) & 15;
  return ((mac.readUInt32BE(at) & 0x7fffffff) % 1000000).toString()
    .padStart(6, "0");
}

// Addresses, passwords, the second factor; a session that is good afterwards.
async function signIn(owner: Api): Promise<Api> {
  const here = api(slug);
  none(await owner.POST("/v1/auth/email/resend"), 204, "verify the address");
  const token = mailed(gavin.email, "verify");
  refused(await here.POST("/v1/auth/email/verify", { body: { token } }), 401,
          "unauthenticated", "by what was mailed, which isn't enough");
  none(await owner.POST("/v1/auth/email/verify", { body: { token } }), 204,
       "but while signed in");
  none(await owner.POST("/v1/auth/password/change", {
    body: { current_password: password, password: "box three" },
  }), 204, "change the password");
  none(await here.POST("/v1/auth/password/forgot", {
    body: { email: gavin.email },
  }), 204, "forget it");
  none(await here.POST("/v1/auth/password/reset", {
    body: { token: mailed(gavin.email, "reset"), password },
  }), 204, "reset it");
  refused(await owner.GET("/v1/me"), 401, "unauthenticated",
          "the session is over");

  const again = api(slug, await logIn(slug, gavin.email));
  const { secret } = data(await again.POST("/v1/auth/mfa/totp", {
    body: { password },
  }), 200, "a second factor");
  const first = data(await again.POST("/v1/auth/mfa/totp/confirm", {
    body: { code: code(secret) },
  }), 200, "is confirmed").recovery_codes as unknown as string[];
  is(first.length, 10, "ten recovery codes");
  const challenge = data(await here.POST("/v1/auth/login", {
    body: { email: gavin.email, password },
  }), 200, "log in");
  is(challenge.access_token, null, "is not enough");
  const session = data(await here.POST("/v1/auth/mfa/verify", {
    body: { mfa_token: challenge.mfa_token ?? "", code: first[0] ?? "" },
  }), 200, "a code is");
  const codes = data(await again.POST("/v1/auth/mfa/recovery-codes", {
    body: { code: code(secret, 1) },
  }), 200, "new codes").recovery_codes as unknown as string[];
  none(await again.POST("/v1/auth/mfa/totp/disable", {
    body: { password, code: codes[0] ?? "" },
  }), 204, "and without one again");
  const me = data(await again.GET("/v1/me"), 200, "who am I");
  is([me.email_verified, me.mfa_enabled], [true, false], "verified");
  refused(await api(slug, session.access_token ?? "").GET("/v1/me"), 401,
          "unauthenticated", "the other session is over");
  return again;
}

run(async () => {
  const visitor = api();
  ok(data(await visitor.GET("/v1/openapi.json"), 200, "the document")
       .openapi.startsWith("3.1"), "is OpenAPI 3.1");
  for (const path of ["/live", "/ready"] as const) {
    data(await visitor.GET(path, beside), 200, path);
  }
  is(data(await visitor.GET("/.well-known/jwks.json", beside), 200,
          "the keys").keys.map((key) => key.crv), ["Ed25519", "Ed25519"],
     "are one that signs and the next");

  const born = data(await visitor.POST("/v1/auth/signup", {
    body: { ...gavin, organization: { name: "Hooli", slug } },
  }), 201, "sign up");
  is([born.user.email, born.tenant.slug], [gavin.email, slug], "who and what");

  const token = await logIn(slug, gavin.email);
  const proof = proofs.get(token) ?? "";
  let owner: Api = api(slug, token);
  await first(owner);
  const project = await projects(owner);
  const task = await tasks(owner, project);
  await comments(owner, task.id);
  await people(owner);
  await roles(owner);
  await keys(owner, proof);
  await tenants(owner, proof);
  await domains(owner);
  await usage(owner);
  await flags(owner);
  await platform(owner);
  await inbound();
  await audit(owner);
  owner = await signIn(owner);

  none(await owner.POST("/v1/auth/logout"), 204, "log out");
  refused(await owner.GET("/v1/me"), 401, "unauthenticated",
          "the token is worth nothing");
});
