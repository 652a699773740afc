// fastify.js: the peer of bench/run.pl; README.md says what it is.
//
// BENCH_CONF names a JSON file: port, workers, connections, database (what pg
// takes), log, domain, prefix, publicKey, statements: {name: {text, values}},
// values being the names of its parameters in their order.

import cluster from "node:cluster";
import { createHmac, randomBytes, randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";
import Fastify from "fastify";
import jwt from "@fastify/jwt";
import pg from "pg";
import pino from "pino";

const conf = JSON.parse(readFileSync(process.env.BENCH_CONF, "utf8"));


// ---- the database ----

function connectAll() {
  pg.types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, String);
  pg.types.setTypeParser(pg.types.builtins.INT8, Number);

  // A pipelined connection takes any number of batches: each request takes
  // the next one, as Tenon's do.
  return Promise.all(Array.from({ length: conf.connections }, async () => {
    const client = new pg.Client({ ...conf.database, pipeline: true });
    client.on("error", (error) => {
      console.error(error);
      process.exit(1);
    });
    await client.connect();
    await client.query("set time zone 'UTC'");
    return client;
  }));
}

function database(clients) {
  let turn = 0;
  const next = () => clients[turn++ % clients.length];
  const begin = { name: "begin", text: "begin" };
  const commit = { name: "commit", text: "commit" };
  const read = "select set_config('tenon.tenant', $1, true), " +
    "set_config('tenon.realm', $2, true)";
  const write = `${read}, set_config('tenon.actor', $3, true), ` +
    "set_config('tenon.request_id', $4, true), " +
    "set_config('tenon.ip', $5, true), " +
    "set_config('tenon.user_agent', $6, true)";

  // One transaction, one round trip. Where a statement fails, the commit
  // rolls back.
  async function batch(context, name, values) {
    const client = next();
    const statement = conf.statements[name];
    const results = await Promise.all([
      client.query(begin),
      client.query(context),
      client.query({
        name,
        text: statement.text,
        values: statement.values.map((key) => values[key] ?? null),
      }),
      client.query(commit),
    ]);
    return results[2].rows;
  }

  return {
    query: (name, text, values) => next().query({ name, text, values }),
    read: (who, name, values) => batch(
      { name: "context", text: read, values: [who.tenant_id, who.realm_id] },
      name, values),
    write: (who, name, values) => batch(
      {
        name: "context_write",
        text: write,
        values: [who.tenant_id, who.realm_id, who.user_id, values.request_id,
          values.ip, values.user_agent],
      },
      name, values),
  };
}


// ---- small things ----

const random = Buffer.alloc(8192);
let used = random.length;

function bytes(n) {
  if (used + n > random.length) {
    randomFillSync(random);
    used = 0;
  }
  used += n;
  return random.subarray(used - n, used);
}

// Of PostgreSQL's "2026-11-20 12:12:19.49+00", which a cursor keeps as it is.
function isoTime(text) {
  const end = text.length - 3;
  return `${text.slice(0, 10)}T${text.slice(11, 19)}.` +
    `${text.slice(20, end).padEnd(6, "0")}Z`;
}

function show(row) {
  row.created_at = isoTime(row.created_at);
  row.updated_at = isoTime(row.updated_at);
}

function uuid7() {
  const time = Date.now().toString(16).padStart(12, "0");
  const b = bytes(10);
  b[0] = (b[0] & 0x0f) | 0x70;
  b[2] = (b[2] & 0x3f) | 0x80;
  const h = b.toString("hex");
  return `${time.slice(0, 8)}-${time.slice(8)}-${h.slice(0, 4)}-` +
    `${h.slice(4, 8)}-${h.slice(8)}`;
}

// Answers of `find`, each kept for 5 s.
function kept(find) {
  const known = new Map();
  return async (key, ...more) => {
    const entry = known.get(key);
    if (entry !== undefined && entry.until > Date.now()) {
      return entry.value;
    }
    const value = await find(key, ...more);
    known.set(key, { value, until: Date.now() + 5000 });
    return value;
  };
}

class Problem extends Error {
  constructor(status, code, title, detail) {
    super(detail);
    this.statusCode = status;
    this.problem = { code, title, detail };
  }
}

const notFound = () => new Problem(404, "not_found", "Not found",
  "There is no such thing, or it is not yours to see.");
const unauthenticated = () => new Problem(401, "unauthenticated",
  "Not signed in",
  "Sign in, and send the access token as Authorization: Bearer.");
const forbidden = () => new Problem(403, "forbidden", "Not allowed",
  "Your role may not do this.");


// ---- the API ----

const uuid = { type: "string", format: "uuid" };
const task = {
  type: "object",
  properties: {
    id: { type: "string" },
    project_id: { type: "string" },
    title: { type: "string" },
    priority: { type: "string" },
    status: { type: "string" },
    assignee_id: { type: "string", nullable: true },
    version: { type: "integer" },
    created_at: { type: "string" },
    created_by: { type: "string", nullable: true },
    updated_at: { type: "string" },
  },
};
const taskList = {
  type: "object",
  properties: {
    data: { type: "array", items: task },
    next_cursor: { type: "string", nullable: true },
  },
};
const newTask = {
  type: "object",
  additionalProperties: false,
  required: ["project_id", "title"],
  properties: {
    project_id: uuid,
    title: { type: "string", minLength: 1, maxLength: 200 },
    priority: { enum: ["low", "medium", "high", "urgent"] },
    status: { enum: ["todo"] },
    assignee_id: { ...uuid, nullable: true },
  },
};
// Which optional fields a body gave, as the statement's mask has them.
const given = { project_id: 2, title: 4, priority: 8, status: 16,
  assignee_id: 32 };
const common = {
  "Cache-Control": "private, no-cache",
  Vary: "Authorization, Cookie, Tenon-Tenant, Origin",
  "X-Content-Type-Options": "nosniff",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Resource-Policy": "same-origin",
};

async function serve() {
  const db = database(await connectAll());
  const grants = new Set((await db.query("grants",
    'select g.role, p.name from tenon."grant" g join tenon.permission p ' +
    "on p.number = g.permission where g.scope = 'tenant'", [])).rows
    .map((row) => `${row.role} ${row.name}`));
  const secret = randomBytes(32);
  const log = pino({ base: null },
    pino.destination({ dest: conf.log, sync: false, minLength: 4096 }));

  const app = Fastify({
    logger: false,
    genReqId: uuid7,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
  });
  app.register(jwt, {
    secret: { public: conf.publicKey },
    verify: {
      algorithms: ["EdDSA"],
      allowedIss: `https://${conf.domain}`,
      allowedAud: `https://${conf.domain}`,
      cache: true,
    },
  });

  const findTenant = kept(async (slug) => (await db.query(
    "find_tenant", "select tenant_id, realm_id, slug, name, status " +
    "from tenon.find_tenant($1::text)", [slug])).rows[0]);
  const findSession = kept(async (session, tenant) => (await db.query(
    "find_session",
    "select tenant_id, realm_id, slug, name, status, user_id, role " +
    "from tenon.find_session($1::uuid, $2::uuid)",
    [tenant, session])).rows[0]);

  const may = (permission) => async (request) => {
    const host = request.hostname;
    if (!host.endsWith(`.${conf.domain}`)) {
      throw notFound();
    }
    const tenant = await findTenant(
      host.slice(0, -conf.domain.length - 1));
    let claims;
    try {
      claims = await request.jwtVerify();
    } catch {
      throw unauthenticated();
    }
    const session = await findSession(claims.sid, claims.tid);
    if (session === undefined) {
      throw unauthenticated();
    }
    if (tenant === undefined || tenant.status !== "active" ||
        tenant.tenant_id !== session.tenant_id ||
        !grants.has(`${session.role} ${permission}`)) {
      throw forbidden();
    }
    request.who = session;
  };

  app.addHook("onResponse", async (request, reply) => {
    log.info({
      request_id: request.id,
      tenant: request.who?.slug ?? "",
      user: request.who?.user_id ?? "",
      address: request.ip,
      host: request.host,
      method: request.method,
      path: request.url.split("?", 1)[0],
      status: reply.statusCode,
      duration: reply.elapsedTime / 1000,
      user_agent: request.headers["user-agent"] ?? "",
    });
  });

  app.setErrorHandler((error, request, reply) => {
    const status = error.statusCode ?? 500;
    const problem = error.problem ?? (error.validation
      ? { code: "validation_failed", title: "Input refused",
          detail: error.message }
      : { code: "internal", title: "Internal error" });
    if (status >= 500) {
      console.error(error);
    }
    reply.code(status).headers(common)
      .header("X-Request-Id", request.id)
      .type("application/problem+json")
      .send({ type: `urn:tenon:problem:${problem.code}`,
              title: problem.title, status, detail: problem.detail,
              code: problem.code, request_id: request.id });
  });
  app.setNotFoundHandler(() => {
    throw notFound();
  });

  function seal(who, last) {
    const text = Buffer.from(last.id + last.created_at);
    const mac = createHmac("sha256", secret)
      .update(`cursor\0${who.tenant_id}\0listTasks\0`).update(text).digest();
    return Buffer.concat([mac.subarray(0, 16), text]).toString("base64url");
  }

  app.get(`${conf.prefix}/tasks`, {
    onRequest: may("teamos.task:read"),
    schema: {
      querystring: {
        type: "object",
        additionalProperties: false,
        properties: {
          limit: { type: "string", pattern: "^([1-9][0-9]?|100)$" },
        },
      },
      response: { 200: taskList },
    },
  }, async (request, reply) => {
    const limit = Number(request.query.limit ?? 50);
    const rows = await db.read(request.who, "listTasks",
      { tenant: request.who.tenant_id, limit: limit + 1 });
    let cursor = null;

    reply.headers(common).header("X-Request-Id", request.id);
    const more = rows.length > limit;
    rows.length = Math.min(rows.length, limit);
    rows.forEach(show);
    if (more) {
      cursor = seal(request.who, rows[limit - 1]);
      reply.header("Link", `<${conf.prefix}/tasks?limit=${limit}` +
        `&cursor=${cursor}>; rel="next"`);
    }
    return { data: rows, next_cursor: cursor };
  });

  app.get(`${conf.prefix}/tasks/:id`, {
    onRequest: may("teamos.task:read"),
    schema: {
      params: { type: "object", properties: { id: uuid } },
      response: { 200: task },
    },
  }, async (request, reply) => {
    const [row] = await db.read(request.who, "getTask",
      { tenant: request.who.tenant_id, id: request.params.id });
    if (row === undefined) {
      throw notFound();
    }
    reply.headers(common).header("X-Request-Id", request.id)
      .header("ETag", `"${row.version}"`);
    show(row);
    return row;
  });

  app.post(`${conf.prefix}/tasks`, {
    onRequest: may("teamos.task:create"),
    schema: { body: newTask, response: { 201: task } },
  }, async (request, reply) => {
    const { body } = request;
    let mask = 0;
    for (const field in body) {
      mask |= given[field];
    }
    const [row] = await db.write(request.who, "createTask", {
      ...body,
      mask,
      tenant: request.who.tenant_id,
      actor: request.who.user_id,
      id: uuid7(),
      event: uuid7(),
      salt: Buffer.from(bytes(16)),
      request_id: request.id,
      ip: request.ip,
      user_agent: request.headers["user-agent"] ?? "",
    });
    if (row.id === null) {
      throw new Problem(422, "validation_failed", "Input refused",
        row.r1 ? "There is no such assignee." : "There is no such project.");
    }
    row.version = Number(row.version);
    show(row);
    reply.code(201).headers(common).header("X-Request-Id", request.id)
      .header("ETag", `"${row.version}"`)
      .header("Location", `${conf.prefix}/tasks/${row.id}`);
    return row;
  });

  await app.listen({ host: "127.0.0.1", port: conf.port });
}


// ---- the processes ----

if (cluster.isPrimary) {
  let ready = 0;
  cluster.on("message", () => {
    if (++ready === conf.workers) {
      console.log("ready");
    }
  });
  cluster.on("exit", () => process.exit(1));
  for (let i = 0; i < conf.workers; i++) {
    cluster.fork();
  }
} else {
  await serve();
  process.send("ready");
}
