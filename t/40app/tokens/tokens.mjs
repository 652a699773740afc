// What an identity provider and a service of somebody else's do with tokens, by
// the library that many of them use.
//
//   keys            makes three key pairs; prints {private, public}
//   sign            for each line {keys, tokens: [{by, header, claims, form}]} of
//                   stdin prints a line, the tokens
//   verify          with TENON_PORT, TENON_HOST, TENON_LOGIN: signs in again and
//                   again, verifies each token through our JWKS, sends requests
//                   with it all the time; until its stdin ends. Prints
//                   {requests, logins, kids, failures}, and each new kid at
//                   once on stderr

import * as jose from "jose";
import http from "node:http";
import { createInterface } from "node:readline";

const read = async () => {
    let text = "";
    for await (const part of process.stdin) text += part;
    return text;
};

async function keys() {
    const made = { private: {}, public: { keys: [] } };
    const kinds = [["rs", "RS256", { modulusLength: 2048 }],
                   ["es", "ES256", {}],
                   ["ed", "EdDSA", { crv: "Ed25519" }]];
    for (const [kid, alg, options] of kinds) {
        const pair = await jose.generateKeyPair(alg,
            { extractable: true, ...options });
        made.private[kid] = await jose.exportJWK(pair.privateKey);
        made.public.keys.push({ ...await jose.exportJWK(pair.publicKey),
                                kid, alg, use: "sig" });
    }
    return made;
}

// HS256 takes for its secret what everybody knows: the confusion of old.
async function secret(of, keys) {
    const jwk = keys.public.keys.find((key) => key.kid === of);
    return new TextEncoder().encode(
        await jose.exportSPKI(await jose.importJWK(jwk)));
}

async function token({ by, header, claims }, keys) {
    if (header.alg === "none") {
        return new jose.UnsecuredJWT(claims).encode();
    }
    const key = header.alg.startsWith("HS")
        ? await secret(by, keys)
        : await jose.importJWK(keys.private[by], header.alg);
    const crit = header.crit
        ? { crit: Object.fromEntries(header.crit.map((name) => [name, true])) }
        : undefined;
    return new jose.SignJWT(claims).setProtectedHeader(header)
        .sign(key, crit);
}

async function sign() {
    for await (const line of createInterface({ input: process.stdin })) {
        const asked = JSON.parse(line);
        console.log(JSON.stringify(await Promise.all(
            asked.tokens.map((one) => token(one, asked.keys)))));
    }
}

// Each on a connection of its own.
function request(method, path, headers, body) {
    return new Promise((resolve, reject) => {
        const r = http.request({
            host: "127.0.0.1", port: process.env.TENON_PORT, method, path,
            agent: false,
            headers: { Host: process.env.TENON_HOST, ...headers },
        }, (answer) => {
            let text = "";
            answer.on("data", (part) => { text += part; });
            answer.on("end", () => resolve([answer.statusCode, text]));
            answer.on("error", reject);
        });
        r.on("error", reject);
        r.end(body);
    });
}

async function verify() {
    const seen = { requests: 0, logins: 0, kids: [], failures: [] };
    const set = jose.createRemoteJWKSet(new URL(
        `http://tenon.localhost:${process.env.TENON_PORT}`
        + "/.well-known/jwks.json"));
    const tokens = [];
    let stopped = false;
    const attempt = async (what, work) => {
        try {
            await work();
        } catch (error) {
            seen.failures.push(`${what}: ${error.code ?? ""} ${error.message}`);
        }
    };
    const check = async (jwt) => {
        const { protectedHeader } = await jose.jwtVerify(jwt, set, {
            issuer: "https://tenon.localhost",
            audience: "https://tenon.localhost",
            algorithms: ["EdDSA"], typ: "at+jwt",
        });
        if (!seen.kids.includes(protectedHeader.kid)) {
            seen.kids.push(protectedHeader.kid);
            console.error(`kid ${protectedHeader.kid}`);
        }
    };
    const login = async () => {
        const [status, text] = await request("POST", "/api/v1/auth/login",
            { "Content-Type": "application/json" }, process.env.TENON_LOGIN);
        if (status !== 200) throw new Error(`${status} ${text}`);
        const jwt = JSON.parse(text).access_token;
        await check(jwt);
        tokens.push(jwt);
        seen.logins++;
    };
    const ask = async () => {
        const jwt = tokens[seen.requests % tokens.length];
        const [status, text] = await request("GET", "/api/v1/me",
            { Authorization: `Bearer ${jwt}` });
        if (status !== 200) throw new Error(`${status} ${text}`);
        await check(jwt);
        seen.requests++;
    };
    const loop = async (what, work, pause) => {
        while (!stopped) {
            await attempt(what, work);
            await new Promise((resolve) => { setTimeout(resolve, pause); });
        }
    };
    await attempt("login", login);
    const work = [loop("login", login, 200), loop("request", ask, 1),
                  loop("request", ask, 1), loop("request", ask, 1)];
    await read();
    stopped = true;
    await Promise.all(work);
    return seen;
}

const commands = { keys, sign, verify };
const told = await commands[process.argv[2]]();
if (told) console.log(JSON.stringify(told));
