// Drives the API with Node's three HTTP clients: fetch, the kept-alive agent, and HTTP/2 without TLS.

import assert from "node:assert/strict";
import http from "node:http";
import http2 from "node:http2";
import { once } from "node:events";

const base = `http://${process.argv[2]}`;

const live = await fetch(`${base}/v1/health/live`);
assert.equal(live.status, 200);
const text = await live.text();

const missing = await fetch(`${base}/v1/nowhere`);
assert.equal(missing.status, 404);
assert.match(missing.headers.get("content-type"), /^application\/problem\+json/);
assert.equal((await missing.json()).status, 404);

// Many requests over few connections, all answered, none mixed up.
const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
const ask = (path) =>
  new Promise((resolve, reject) => {
    const request = http.get(base + path, { agent }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => resolve({ status: answer.statusCode, body: Buffer.concat(parts).toString() }));
      answer.on("error", reject);
    });
    request.on("error", reject);
  });
const paths = Array.from({ length: 200 }, (_, i) => (i % 2 ? "/v1/health/live" : "/v1/nowhere"));
for (const [i, { status, body }] of (await Promise.all(paths.map(ask))).entries()) {
  assert.equal(status, i % 2 ? 200 : 404);
  if (i % 2) assert.equal(body, text);
}
agent.destroy();

// The same over one HTTP/2 connection, at once.
const session = http2.connect(base);
const streams = paths.map(async (path) => {
  const stream = session.request({ ":path": path });
  const [headers] = await once(stream, "response");
  stream.resume();
  await once(stream, "end");
  return headers[":status"];
});
assert.deepEqual(
  await Promise.all(streams),
  paths.map((_, i) => (i % 2 ? 200 : 404)),
);
session.close();
