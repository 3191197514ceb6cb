// The service of receipts: writes one for each order that has shipped (follow.ts), and answers with them.
//
//   GET /receipts/{customer}/{order}   the receipt as plain text, or 404
//   GET /health
//
// It keeps nothing of its own: receipts and its place in the feed are items of Mainstay. It listens on loopback at PORT, and ends on
// SIGTERM. Nothing but node is needed to run it.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

import { follow } from "./follow.js";
import * as mainstay from "./mainstay.js";

/** How long a request may take for which nobody says less. */
const TIME_MS = 2_000;

/** A segment of a key; `.` and `..` would mean something else in an address. */
const ID = /^(?!\.+$)[A-Za-z0-9._-]{1,128}$/;

/** What has been asked for is answered, also when the service is to end. */
const NEVER = new AbortController().signal;

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

function main(): void {
  const port = Number(process.env["PORT"] || Number.NaN);
  if (!Number.isInteger(port) || !mainstay.isConfigured) {
    console.error("error: PORT or MAINSTAY_API is not set: Mainstay sets them for the programs that it runs");
    process.exitCode = 1;
    return;
  }
  const stop = new AbortController();
  const server = createServer((request, response) => void answer(request, response, stop.signal));
  const end = () => {
    stop.abort();
    // Connections that are busy close after their answer.
    server.close();
    server.closeIdleConnections();
  };
  server.on("error", (error) => {
    console.error(`error: listen on 127.0.0.1:${port}: ${error.message}`);
    process.exitCode = 1;
    end();
  });
  process.once("SIGTERM", end);
  process.once("SIGINT", end);
  server.listen(port, "127.0.0.1", () => console.log(`receipts listens on 127.0.0.1:${server.address().port}`));
  void follow(stop.signal);
}

async function answer(request: IncomingMessage, response: ServerResponse, stop: AbortSignal): Promise<void> {
  const { status, type, body } = await answered(request).catch((error: unknown) =>
    problem(503, "unavailable", `receipts cannot be read now: ${error instanceof Error ? error.message : error}`),
  );
  response.writeHead(status, {
    "content-type": type,
    "content-length": new TextEncoder().encode(body).length,
    ...(stop.aborted ? { connection: "close" } : {}),
  });
  response.end(body);
}

async function answered(request: IncomingMessage): Promise<Answer> {
  const path = (request.url ?? "").split("?")[0] ?? "";
  if (request.method !== "GET" && request.method !== "HEAD") {
    return problem(405, "method_not_allowed", "receipts are only read: use GET");
  }
  if (path === "/health") return { status: 200, type: "text/plain", body: "ok" };
  const [empty, room, customer, order, ...rest] = path.split("/");
  const isAddress = empty === "" && room === "receipts" && rest.length === 0;
  if (!isAddress || !ID.test(customer ?? "") || !ID.test(order ?? "")) {
    return problem(404, "not_found", `there is no ${path}: use /receipts/{customer}/{order}`);
  }
  const text = await mainstay.get("receipts", `${customer}/${order}`, time(request), NEVER);
  if (text === undefined) return problem(404, "not_found", `there is no receipt of the order ${order} yet`);
  return { status: 200, type: "text/plain; charset=utf-8", body: text };
}

/** What the request has left, in milliseconds: `Mainstay-Timeout` is `250ms` or `1.5s`. */
function time(request: IncomingMessage): number {
  const [, number, unit] = /^([0-9.]+)(ms|s)$/.exec(String(request.headers["mainstay-timeout"] ?? "")) ?? [];
  const told = Number(number) * (unit === "s" ? 1000 : 1);
  return Number.isFinite(told) ? Math.max(1, Math.min(TIME_MS, Math.floor(told))) : TIME_MS;
}

function problem(status: number, code: string, detail: string): Answer {
  const document = { type: `urn:shop:problem:${code}`, title: code.replaceAll("_", " "), status, detail, code };
  return { status, type: "application/problem+json", body: JSON.stringify(document) };
}

main();
