// What story.ts and refusals.ts share: a typed client of one tenant, and
// checks whose results openapi.t reads: TAP on standard output.
//
// TENON_ORIGIN is where the server is, "http://HOST:PORT"; the tenant's name
// comes before the host. With TENON_PROXY everything goes to the
// validating proxy there instead, which knows one upstream: the tenant is
// named by a header. Each answer's "sl-violations" is what the proxy found to
// contradict the document.

import createClient, { type Client, type Middleware } from "openapi-fetch";
import type { paths } from "./schema.js";

const origin = env("TENON_ORIGIN");
const proxy = process.env.TENON_PROXY;

let count = 0;
let failed = 0;

export function env(name: string): string {
  const value = process.env[name];
  if (value === undefined) {
    throw new Error(`${name} is not set`);
  }
  return value;
}

export function ok(truth: boolean, name: string, ...why: unknown[]): boolean {
  count++;
  console.log(`${truth ? "ok" : "not ok"} ${count} - ${name}`);
  if (!truth) {
    failed++;
    for (const item of why) {
      const text = typeof item === "string" ? item : JSON.stringify(item);
      console.log((text ?? "undefined").replace(/^/gm, "# "));
    }
  }
  return truth;
}

export function is(got: unknown, want: unknown, name: string): boolean {
  const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
  return ok(a === b, name, `got  ${a}`, `want ${b}`);
}

// Runs the whole of a file: its last line says how many checks there were.
export async function run(body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    ok(false, "runs to its end", error instanceof Error
      ? error.stack ?? error.message : error);
  }
  console.log(`1..${count}`);
  process.exitCode = failed === 0 ? 0 : 1;
}

export interface Violation {
  location: string[];
  severity: string;
  message: string;
}

// What the proxy says of a request ("request") or its answer ("response").
export function violations(answer: Response, of: string): Violation[] {
  const text = answer.headers.get("sl-violations");
  if (text === null) {
    return [];
  }
  // Cut short when there are very many: then all of it is of interest.
  const all = text.startsWith("[") ? JSON.parse(text) as Violation[]
    : [{ location: [of], severity: "Error", message: text }];
  return all.filter((violation) => violation.location[0] === of);
}

export function baseOf(tenant?: string): string {
  const prefix = tenant === undefined ? "" : `${tenant}.`;
  return `${proxy ?? origin.replace("//", `//${prefix}`)}/api`;
}

export function headersOf(tenant?: string, token?: string) {
  return {
    ...(proxy !== undefined && tenant !== undefined
      ? { "Tenon-Tenant": tenant } : {}),
    ...(token !== undefined ? { Authorization: `Bearer ${token}` } : {}),
  };
}

// A request that the document allows, unless the server finds fault with it
// too, and an answer that it promises.
const watch: Middleware = {
  onResponse({ request, response, schemaPath }) {
    const call = `${request.method} ${schemaPath} ${response.status}`;
    console.log(`# called ${call}`);
    const refusal = response.status === 400 || response.status === 422;
    for (const of of refusal ? ["response"] : ["request", "response"]) {
      const wrong = violations(response, of);
      if (wrong.length > 0) {
        ok(false, `${call}: the ${of} is as the document says`,
           request.url, ...wrong);
      }
    }
  },
};

export type Api = Client<paths>;

// What lies beside the API, not below it.
export const beside = { baseUrl: proxy ?? origin };

export function api(tenant?: string, token?: string): Api {
  const client = createClient<paths>({
    baseUrl: baseOf(tenant),
    headers: headersOf(tenant, token),
    querySerializer: { array: { style: "form", explode: false } },
  });
  client.use(watch);
  return client;
}

// ?fields= may leave out any member of a row; who doesn't send it gets rows
// that are whole.
type WholeRow<T> = T extends unknown ? ({} extends T ? never : T) : never;
export type Whole<T> = T extends { data: (infer Row)[] }
  ? Omit<T, "data"> & { data: WholeRow<Row>[] } : WholeRow<T>;

// The body of an answer that has to be a success of this status.
export function data<T>(
  answer: { data?: T; error?: unknown; response: Response },
  status: number,
  name: string,
): Whole<NonNullable<T>> {
  return part(answer, status, name) as Whole<NonNullable<T>>;
}

// The same, asked for with ?fields=.
export function part<T>(
  answer: { data?: T; error?: unknown; response: Response },
  status: number,
  name: string,
): NonNullable<T> {
  ok(answer.response.status === status, name,
     `status ${answer.response.status}, not ${status}`, answer.error);
  if (answer.data === undefined || answer.data === null) {
    throw new Error(`no body: ${name}`);
  }
  return answer.data;
}

// An answer without a body.
export function none(
  answer: { error?: unknown; response: Response },
  status: number,
  name: string,
): void {
  ok(answer.response.status === status, name,
     `status ${answer.response.status}, not ${status}`, answer.error);
}

// A refusal: its code is part of the document's type.
export function refused(
  answer: { error?: { code: string }; response: Response },
  status: number,
  code: string,
  name: string,
): void {
  is([answer.response.status, answer.error?.code], [status, code], name);
}

export function etag(answer: { response: Response }): string {
  const value = answer.response.headers.get("ETag");
  if (value === null) {
    throw new Error(`no ETag: ${answer.response.url}`);
  }
  return value;
}
