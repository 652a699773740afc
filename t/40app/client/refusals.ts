// Requests that the document forbids or that the server must refuse, through
// the validating proxy: each answer is the problem that the document
// promises, and the proxy finds nothing in it that contradicts the document.
//
// Not typed: nobody could write most of these with the types.

import { baseOf, env, headersOf, is, ok, run, violations } from "./kit.js";

const password = env("TENON_PASSWORD");
const nobody = "01890a5d-ac96-774b-bcce-b302099a8057";

interface Case {
  name: string;
  call: string;
  want: string;
  as?: string;
  tenant?: string | null; // null: none; else acme
  headers?: Record<string, string>;
  body?: unknown;
}

const tokens = new Map<string, string>();
const proofs = new Map<string, string>();

async function send(request: Case): Promise<Response> {
  const [method, path] = request.call.split(" ");
  const tenant = request.tenant === undefined ? "acme"
    : request.tenant ?? undefined;
  const token = request.as !== undefined ? tokens.get(request.as) : undefined;
  const body = request.body === undefined ? undefined
    : typeof request.body === "string" ? request.body
    : JSON.stringify(request.body);
  return await fetch(baseOf(tenant) + (path ?? ""), {
    ...(method !== undefined ? { method } : {}),
    ...(body !== undefined ? { body } : {}),
    headers: {
      ...(body !== undefined ? { "Content-Type": "application/json" } : {}),
      ...headersOf(tenant, token),
      ...request.headers,
    },
  });
}

async function logIn(who: string, tenant: string): Promise<void> {
  const answer = await send({
    name: who,
    call: "POST /v1/auth/login",
    want: "200",
    tenant,
    body: { email: `${who}@${tenant}.test`, password },
  });
  const session = await answer.json() as {
    access_token: string;
    refresh_token: string;
  };
  tokens.set(who, session.access_token);
  proofs.set(who, session.refresh_token);
}

async function idOf(path: string, as: string, tenant: string) {
  const answer = await send({
    name: path, call: `GET ${path}`, want: "200", as, tenant,
  });
  const list = await answer.json() as { data: { id: string }[] };
  return list.data[0]?.id ?? "";
}

async function check(request: Case): Promise<void> {
  const answer = await send(request);
  const text = await answer.text();
  let code = "";
  try {
    code = (JSON.parse(text) as { code?: string }).code ?? "";
  } catch {
    ok(false, `${request.name}: JSON`, text);
  }

  // Nothing that the server didn't say itself.
  is(`${answer.status} ${code}`, request.want, request.name);
  const wrong = violations(answer, "response");
  ok(wrong.length === 0, `${request.name}: as the document says`,
     `${request.call} ${answer.status}`, ...wrong, text);
}

run(async () => {
  await logIn("alice", "acme");
  await logIn("carol", "acme");
  await logIn("dave", "globex");
  const task = await idOf("/v1/tasks", "alice", "acme");
  const project = await idOf("/v1/projects", "alice", "acme");
  const foreign = await idOf("/v1/tasks", "dave", "globex");
  const member = await idOf("/v1/members?role=owner", "alice", "acme");
  const as = "alice";

  const cases: Case[] = [
    // 400
    { name: "an unknown parameter", as,
      call: "GET /v1/tasks?colour=red", want: "400 unknown_parameter" },
    { name: "a limit of none", as,
      call: "GET /v1/tasks?limit=0", want: "400 invalid_parameter" },
    { name: "a status that there is not", as,
      call: "GET /v1/tasks?status=lost", want: "400 invalid_parameter" },
    { name: "a cursor that nobody gave", as,
      call: "GET /v1/tasks?cursor=abc", want: "400 invalid_cursor" },
    { name: "a sort that is not declared", as,
      call: "GET /v1/projects?sort=name", want: "400 invalid_parameter" },
    { name: "an empty Idempotency-Key", as,
      call: "DELETE /v1/tasks/" + nobody,
      headers: { "Idempotency-Key": " " }, want: "400 malformed_request" },

    // 401
    { name: "no token",
      call: "GET /v1/tasks", want: "401 unauthenticated" },
    { name: "a token that is none",
      call: "GET /v1/me", headers: { Authorization: "Bearer x.y.z" },
      want: "401 unauthenticated" },
    { name: "a write without a token",
      call: "POST /v1/tasks", body: {}, want: "401 unauthenticated" },
    { name: "a wrong password", call: "POST /v1/auth/login",
      body: { email: "alice@acme.test", password: "wrong horse" },
      want: "401 invalid_credentials" },

    // 403
    { name: "a member reads the audit log", as: "carol",
      call: "GET /v1/audit/events", want: "403 forbidden" },
    { name: "a member reviews access", as: "carol",
      call: "GET /v1/audit/access", want: "403 forbidden" },
    { name: "a member renames the organization", as: "carol",
      call: "PATCH /v1/tenant", body: { name: "Mine" },
      want: "403 forbidden" },
    { name: "a member invites", as: "carol",
      call: "POST /v1/invitations", body: {}, want: "403 forbidden" },
    { name: "a token at another organization", as: "dave",
      call: "GET /v1/tasks", want: "403 tenant_mismatch" },
    { name: "a write at another organization", as: "dave",
      call: "POST /v1/projects", body: { name: "Spy" },
      want: "403 tenant_mismatch" },

    // 404
    { name: "a task that is nobody's", as,
      call: `GET /v1/tasks/${nobody}`, want: "404 not_found" },
    { name: "a task of another organization", as,
      call: `GET /v1/tasks/${foreign}`, want: "404 not_found" },
    { name: "and its history", as,
      call: `GET /v1/tasks/${foreign}/history`, want: "404 not_found" },
    { name: "and its comments", as,
      call: `GET /v1/tasks/${foreign}/comments`, want: "404 not_found" },
    { name: "to change it", as, body: { title: "Mine" },
      call: `PATCH /v1/tasks/${foreign}`, want: "404 not_found" },
    { name: "to delete it", as,
      call: `DELETE /v1/tasks/${foreign}`, want: "404 not_found" },
    { name: "to restore it", as,
      call: `POST /v1/tasks/${foreign}/restore`, want: "404 not_found" },
    { name: "to roll it back", as, body: { version: 1 },
      call: `POST /v1/tasks/${foreign}/rollback`, want: "404 not_found" },
    { name: "an id that is none", as,
      call: "GET /v1/tasks/7", want: "404 not_found" },
    { name: "a member who is none", as,
      call: `GET /v1/members/${nobody}`, want: "404 not_found" },
    { name: "an organization that there is not", tenant: "nowhere",
      call: "GET /v1/tasks", want: "404 tenant_unknown" },

    // 409
    { name: "what lives can't be restored", as,
      call: `POST /v1/tasks/${task}/restore`, want: "409 state_conflict" },
    { name: "a slug that is taken", as,
      call: "POST /v1/tenants",
      body: { name: "Acme", slug: "acme", refresh_token: proofs.get(as) },
      want: "409 slug_taken" },
    { name: "a member is invited", as, call: "POST /v1/invitations",
      body: { email: "bob@acme.test", role: "member" },
      want: "409 duplicate" },
    { name: "the last owner is demoted", as, body: { role: "member" },
      call: `PATCH /v1/members/${member}`, want: "409 last_owner" },

    // 412
    { name: "an old version", as, body: { title: "New" },
      call: `PATCH /v1/tasks/${task}`, headers: { "If-Match": '"999"' },
      want: "412 precondition_failed" },
    { name: "to delete an old version", as,
      call: `DELETE /v1/projects/${project}`,
      headers: { "If-Match": '"999"' }, want: "412 precondition_failed" },
    { name: "to rename an old version", as, body: { name: "New" },
      call: "PATCH /v1/tenant", headers: { "If-Match": '"999"' },
      want: "412 precondition_failed" },

    // 413, 415
    { name: "far too much", as, call: "POST /v1/projects",
      body: { name: "x".repeat(3 << 20) }, want: "413 too_large" },
    { name: "not JSON by its name", as, call: "POST /v1/projects",
      body: "name: New", headers: { "Content-Type": "text/yaml" },
      want: "415 unsupported_media_type" },
    { name: "a form to log in", call: "POST /v1/auth/login",
      body: "email=a", want: "415 unsupported_media_type",
      headers: { "Content-Type": "application/x-www-form-urlencoded" } },

    // 422
    { name: "everything wrong at once", as, call: "POST /v1/tasks",
      body: { title: "", priority: "vast", tenant_id: nobody, colour: 1 },
      want: "422 invalid_fields" },
    { name: "a project that is nobody's", as, call: "POST /v1/tasks",
      body: { project_id: nobody, title: "New" },
      want: "422 invalid_fields" },
    { name: "the id changed", as, body: { id: nobody },
      call: `PATCH /v1/tasks/${task}`, want: "422 invalid_fields" },
    { name: "a version that never was", as, body: { version: 99 },
      call: `POST /v1/tasks/${task}/rollback`, want: "422 invalid_fields" },
    { name: "a role that there is not", as, call: "POST /v1/invitations",
      body: { email: "x@acme.test", role: "king" },
      want: "422 invalid_fields" },
    { name: "a sign-up without anything", tenant: null,
      call: "POST /v1/auth/signup", body: {}, want: "422 invalid_fields" },
    { name: "a forged invitation", tenant: null,
      call: "POST /v1/invitations/accept", body: { token: "forged" },
      want: "422 invalid_fields" },
    { name: "to a place where one isn't", as, call: "POST /v1/auth/tenant",
      body: { tenant: "globex", refresh_token: proofs.get(as) },
      want: "422 invalid_fields" },
    { name: "no organization named in it", as, call: "POST /v1/auth/tenant",
      body: {}, want: "422 invalid_fields" },
    { name: "another's proof", as: "carol", call: "POST /v1/auth/tenant",
      body: { tenant: "acme", refresh_token: proofs.get(as) },
      want: "401 unauthenticated" },
  ];

  for (const request of cases) {
    await check(request);
  }

  // One key, two bodies.
  const key = { "Idempotency-Key": "refusals" };
  const first = await send({
    name: "", want: "201", as, headers: key,
    call: "POST /v1/projects", body: { name: "First" },
  });
  is(first.status, 201, "a key is used");
  await check({
    name: "and used for something else", as, headers: key,
    call: "POST /v1/projects", body: { name: "Second" },
    want: "422 idempotency_mismatch",
  });
});
