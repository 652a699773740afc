// Loaded before anything else into each program that must find the server:
// names under localhost mean this machine (RFC 6761), whatever the system's
// resolver thinks of them.

"use strict";

const dns = require("dns");
const lookup = dns.lookup;

dns.lookup = (name, ...rest) =>
    lookup(/(^|\.)localhost\.?$/i.test(name) ? "127.0.0.1" : name, ...rest);
