// What Stripe does with a webhook's signature, by its own library.
//
// For each line {body, at, secret, header} of stdin prints a line {header,
// verdict}: a body (base64, its bytes) signed with the secret at that time, and
// what the library says of the body under the header that was given, or else
// under this one: "good", or why not.

import Stripe from "stripe";
import { createInterface } from "node:readline";

// Never used: nothing here calls Stripe.
const stripe = new Stripe("sk_test_0");
const tolerance = 300;

for await (const line of createInterface({ input: process.stdin })) {
    const { body, at, secret, header } = JSON.parse(line);
    const payload = Buffer.from(body, "base64");
    const made = stripe.webhooks.generateTestHeaderString({
        payload: payload.toString("utf8"), secret, timestamp: at,
    });
    let verdict = "good";
    try {
        stripe.webhooks.constructEvent(payload, header ?? made, secret,
                                       tolerance);
    } catch (error) {
        verdict = error.type ?? error.name;
    }
    console.log(JSON.stringify({ header: made, verdict }));
}
