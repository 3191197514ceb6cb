// Writes a receipt for each order that has shipped, by following the changes of orders.
//
// The place in the feed is stored after the receipts of what was before it are written. So a crash repeats some, and a receipt that is
// there is left as it is: each order has exactly one.

import * as mainstay from "./mainstay.js";
import { isOrder, receipt } from "./receipt.js";

const SHIPPED = "value.state=='shipped'";
const PAGE = "200";
/** How long a page waits for its first event. */
const WAIT_MS = 20_000;
/** How many receipts are written at a time. */
const AT_A_TIME = 8;
const PAUSE_FIRST_MS = 200;
const PAUSE_MAX_MS = 5_000;

/** Follows until it is told to stop, whatever becomes of Mainstay meanwhile. */
export async function follow(stop: AbortSignal): Promise<void> {
  let place: string | undefined;
  let pause = PAUSE_FIRST_MS;
  let isWell = true;
  while (!stop.aborted) {
    try {
      place = await step(place ?? (await stored(stop)), stop);
      if (!isWell) console.log("receipts are written again");
      [isWell, pause] = [true, PAUSE_FIRST_MS];
    } catch (error) {
      if (stop.aborted) return;
      // Once, and not each time that it is tried.
      if (isWell) console.error(`receipts wait: ${error instanceof Error ? error.message : error}`);
      isWell = false;
      await sleep(pause * (0.5 + Math.random() / 2), stop);
      pause = Math.min(pause * 2, PAUSE_MAX_MS);
    }
  }
}

/** Goes on from a place, and says where it is then. */
async function step(place: string, stop: AbortSignal): Promise<string> {
  let page: mainstay.Changes;
  try {
    page = await mainstay.changes({ after: place, filter: SHIPPED, limit: PAGE }, WAIT_MS, stop);
  } catch (error) {
    if (error instanceof mainstay.Refused && error.status === 410) return await listed(stop);
    throw error;
  }
  await written(page.events.filter((event) => event.kind === "put"), stop);
  if (page.next !== place) await store(page.next, stop);
  return page.next;
}

/** Reads the whole collection, since the changes after the place are not kept any more. What changes meanwhile is in the feed from the first page's position on. */
async function listed(stop: AbortSignal): Promise<string> {
  const query = { filter: SHIPPED, scan: "true", limit: PAGE };
  let page = await mainstay.list("orders", query, stop);
  const place = page.position;
  await written(page.items, stop);
  while (page.next !== undefined) {
    page = await mainstay.list("orders", { ...query, cursor: page.next }, stop);
    await written(page.items, stop);
  }
  await store(place, stop);
  return place;
}

/** Writes the receipts of some orders, a few at a time. */
async function written(orders: readonly { readonly key: string; readonly value?: unknown }[], stop: AbortSignal): Promise<void> {
  const rest = orders.values();
  const worker = async () => {
    for (const { key, value } of rest) await write(key, value, stop);
  };
  const ends = await Promise.allSettled(Array.from({ length: AT_A_TIME }, worker));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}

async function write(key: string, order: unknown, stop: AbortSignal): Promise<void> {
  const id = key.split("/")[1];
  if (id === undefined || !isOrder(order)) {
    console.error(`no receipt for ${key}: it is no order as this service knows them`);
    return;
  }
  await mainstay.put("receipts", key, { type: "text/plain", text: receipt(id, order), ifAbsent: true }, stop);
}

/** The place that was stored last, or the beginning of everything. */
async function stored(stop: AbortSignal): Promise<string> {
  const text = await mainstay.get("cursors", "receipts", 5_000, stop);
  const cursor = text === undefined ? undefined : (JSON.parse(text) as { after?: string });
  return cursor?.after ?? "0";
}

async function store(place: string, stop: AbortSignal): Promise<void> {
  const text = JSON.stringify({ after: place });
  await mainstay.put("cursors", "receipts", { type: "application/json", text, ifAbsent: false }, stop);
}

function sleep(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      stop.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    stop.addEventListener("abort", end);
  });
}
