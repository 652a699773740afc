// What Stripe's own library makes of the stand-in's answers: a line of JSON for
// each thing that is asked. TENON_STRIPE_URL and TENON_STRIPE_KEY say where it
// is; the arguments are a lookup_key, and an event with its signature.

import { readFileSync } from "node:fs";
import Stripe from "stripe";

const { hostname, port, protocol } = new URL(process.env.TENON_STRIPE_URL);

function client(key, more) {
  return new Stripe(key, { host: hostname, port, telemetry: false,
                           protocol: protocol.slice(0, -1),
                           maxNetworkRetries: 0, ...more });
}

function say(what, told) {
  console.log(JSON.stringify([what, told]));
}

async function refused(what, promise) {
  try {
    await promise;
    say(what, "taken");
  } catch (e) {
    say(what, [e.type, e.statusCode, e.code ?? null, e.param ?? null]);
  }
}

const stripe = client(process.env.TENON_STRIPE_KEY);
const [lookup, eventFile, signature, secret] = process.argv.slice(2);

const once = { idempotencyKey: "once" };
const customer = await stripe.customers.create(
  { name: "Acme & Söhne", metadata: { tenant_id: "t1" } }, once);
say("customer", [customer.object, customer.name, customer.metadata.tenant_id]);
const again = await stripe.customers.create(
  { name: "Acme & Söhne", metadata: { tenant_id: "t1" } }, once);
say("again", [again.id === customer.id,
              again.lastResponse.headers["idempotent-replayed"]]);
await refused("another", stripe.customers.create({ name: "Other" }, once));

const prices = await stripe.prices.list({ lookup_keys: [lookup],
                                          active: true });
say("prices", prices.data.map((price) => [price.lookup_key, price.type]));
const asked = {
  mode: "subscription", customer: customer.id, client_reference_id: "t1",
  line_items: [{ price: prices.data[0].id, quantity: 2 }],
  success_url: "https://a.test/ok", cancel_url: "https://a.test/no",
  subscription_data: { metadata: { tenant_id: "t1" } },
};
const page = await stripe.checkout.sessions.create(asked);
say("page", [page.object, page.status, page.customer === customer.id,
             page.url.startsWith("https://checkout.stripe.com/")]);
say("the same", (await stripe.checkout.sessions.retrieve(page.id)).id
                  === page.id);
const portal = await stripe.billingPortal.sessions.create(
  { customer: customer.id, return_url: "https://a.test/" });
say("portal", [portal.object, portal.return_url]);
say("subscriptions", (await stripe.subscriptions.list(
  { customer: customer.id, status: "all" })).data.length);

await refused("no price", stripe.checkout.sessions.create(
  { ...asked, line_items: [{ price: "price_none" }] }));
await refused("no subscription", stripe.subscriptions.retrieve("sub_none"));
await refused("unknown", stripe.customers.create({ nonsense: "x" }));
await refused("no key", client("sk_test_wrong").customers.create({}));

const event = stripe.webhooks.constructEvent(
  readFileSync(eventFile, "utf8"), signature, secret);
say("event", [event.object, event.type, event.data.object.object,
              event.api_version === stripe.getApiField("version")]);
