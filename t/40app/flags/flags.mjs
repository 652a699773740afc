// Evaluates flags with OpenFeature's own SDKs and OFREP providers, of servers and
// of browsers, and prints what they say as JSON.
//
//     node flags.mjs ORIGIN TOKEN FLAG_ID OWNERS_TOKEN

import { OpenFeature } from "@openfeature/server-sdk";
import { OFREPProvider } from "@openfeature/ofrep-provider";
import { OpenFeature as Browser, ProviderEvents } from "@openfeature/web-sdk";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";

const [baseUrl, token, flagId, ownersToken] = process.argv.slice(2);
const headers = [["Authorization", `Bearer ${token}`]];
const said = {};

const short = (details) => Object.fromEntries(
  ["value", "variant", "reason", "errorCode"].map((name) =>
    [name, details[name] ?? null]));

async function change(body) {
  const answer = await fetch(`${baseUrl}/api/v1/flags/${flagId}`, {
    method: "PATCH",
    headers: { Authorization: `Bearer ${ownersToken}`,
               "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (answer.status !== 200) {
    throw new Error(`${answer.status} ${await answer.text()}`);
  }
}

// A server asks for each flag.
await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl, headers }));
const client = OpenFeature.getClient();
const pro = { targetingKey: "user-1", plan: "pro" };
said.server = {
  boolean: short(await client.getBooleanDetails("checkout", false, pro)),
  split: short(await client.getBooleanDetails("shared", false, pro)),
  string: short(await client.getStringDetails("theme", "none", pro)),
  number: short(await client.getNumberDetails("limit", 0, pro)),
  object: short(await client.getObjectDetails("menu", {}, pro)),
  fallback: short(await client.getBooleanDetails("checkout", true, {})),
  keyless: short(await client.getBooleanDetails("shared", true, {})),
  unknown: short(await client.getBooleanDetails("no-such-flag", true, pro)),
  mistaken: short(await client.getStringDetails("checkout", "none", pro)),
};

// A browser asks for all of them, and then again and again whether they changed.
const statuses = [];
const provider = new OFREPWebProvider({
  baseUrl, headers, pollInterval: 100, cacheMode: "disabled",
  fetchImplementation: async (request, options) => {
    const answer = await fetch(request, options);
    statuses.push(answer.status);
    return answer;
  },
});
await Browser.setContext(pro);
await Browser.setProviderAndWait(provider);
const page = Browser.getClient();
const seen = () => short(page.getBooleanDetails("checkout", false));
said.browser = { before: seen() };

async function until(condition) {
  const end = Date.now() + 10000;
  while (!condition() && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

await until(() => statuses.length >= 4);
said.browser.polls = statuses.slice(0, 4);
const changed = new Promise((resolve) => {
  page.addHandler(ProviderEvents.ConfigurationChanged, (event) =>
    resolve(event.flagsChanged));
  setTimeout(() => resolve("nothing"), 10000).unref();
});
await change({ enabled: false });
said.browser.changed = await changed;
said.browser.after = seen();

console.log(JSON.stringify(said));
await OpenFeature.close();
await Browser.close();
process.exit(0);
