// Mainstay's API, as far as receipts use it. A request that was not answered, or not now, is an Unavailable: it can be sent again,
// since everything here either reads or puts what is the same each time.

const API = (process.env["MAINSTAY_API"] ?? "").replace(/\/$/, "");

const TIME_MS = 5_000;

/** Nothing is wrong with the request, and it can be sent again. */
export class Unavailable extends Error {}

/** The state or the request is against it. */
export class Refused extends Error {
  constructor(readonly status: number, readonly code: string, detail: string) {
    super(`${status} ${code}: ${detail}`);
  }
}

export interface Event {
  readonly kind: string;
  readonly key: string;
  readonly value?: unknown;
}

export interface Changes {
  readonly events: readonly Event[];
  /** Where to go on. */
  readonly next: string;
}

export interface Listing {
  readonly items: readonly { readonly key: string; readonly value: unknown }[];
  readonly next?: string;
  /** From where on changes are not in it. */
  readonly position: string;
}

export const isConfigured = API !== "";

/** The changes after a position, as soon as there are some. */
export async function changes(query: Record<string, string>, waitMs: number, stop: AbortSignal): Promise<Changes> {
  const wait = new URLSearchParams({ ...query, wait: `${waitMs}ms` });
  const answer = await send(`/v1/collections/orders/changes?${wait}`, {}, waitMs + TIME_MS, stop);
  return (await answer.json()) as Changes;
}

/** A page of a collection's items. */
export async function list(collection: string, query: Record<string, string>, stop: AbortSignal): Promise<Listing> {
  const answer = await send(`/v1/collections/${collection}/items?${new URLSearchParams(query)}`, {}, TIME_MS, stop);
  const page = (await answer.json()) as Omit<Listing, "position">;
  return { ...page, position: answer.headers.get("mainstay-position") ?? "" };
}

/** An item's bytes as text; none if it is not there. */
export async function get(collection: string, key: string, timeMs: number, stop: AbortSignal): Promise<string | undefined> {
  try {
    return await (await send(path(collection, key), {}, timeMs, stop)).text();
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return undefined;
    throw error;
  }
}

/** Puts an item. With `ifAbsent` one that is there is left as it is. */
export async function put(
  collection: string,
  key: string,
  body: { readonly type: string; readonly text: string; readonly ifAbsent: boolean },
  stop: AbortSignal,
): Promise<void> {
  const headers = { "content-type": body.type, ...(body.ifAbsent ? { "if-none-match": "*" } : {}) };
  try {
    await (await send(path(collection, key), { method: "PUT", headers, body: body.text }, TIME_MS, stop)).text();
  } catch (error) {
    if (!(body.ifAbsent && error instanceof Refused && error.status === 412)) throw error;
  }
}

/** A slash is literal in keys. */
function path(collection: string, key: string): string {
  return `/v1/collections/${collection}/items/${key.split("/").map(encodeURIComponent).join("/")}`;
}

async function send(path: string, init: RequestInit, timeMs: number, stop: AbortSignal): Promise<Response> {
  const headers = { ...(init.headers as Record<string, string>), "mainstay-timeout": `${timeMs}ms` };
  // A little more than the other side is told, so that it is the one to say that time is over.
  const signal = AbortSignal.any([stop, AbortSignal.timeout(timeMs + 500)]);
  let answer: Response;
  try {
    answer = await fetch(`${API}${path}`, { ...init, headers, signal });
  } catch (error) {
    stop.throwIfAborted();
    throw new Unavailable(String((error as Error).cause ?? error));
  }
  if (answer.ok) return answer;
  const problem = (await answer.json().catch(() => ({}))) as { code?: string; detail?: string };
  if (answer.status >= 500 || answer.status === 429) throw new Unavailable(`${answer.status} ${problem.code ?? ""}`);
  throw new Refused(answer.status, problem.code ?? "", problem.detail ?? "");
}
