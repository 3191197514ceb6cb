// What a receipt says, and how: plain text in columns, the same for the same order.

export interface Line {
  readonly name: string;
  readonly quantity: number;
  readonly price: number;
}

/** What a receipt needs of an order, as the service orders keeps it. Amounts are whole numbers of minor units. */
export interface Order {
  readonly state: string;
  readonly currency: string;
  readonly lines: readonly Line[];
  readonly total: number;
  readonly placed_at: number;
}

const SIGNS: Readonly<Record<string, string>> = { eur: "€", usd: "$" };

const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeZone: "UTC" });
const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "short", timeZone: "UTC" });

/** Whether a document is an order that a receipt can be made of. */
export function isOrder(value: unknown): value is Order {
  const order = value as Order | null;
  const isAmount = (number: unknown) => Number.isSafeInteger(number) && Number(number) >= 0;
  const isLine = (line: Line | null) =>
    typeof line?.name === "string" && isAmount(line.quantity) && isAmount(line.price);
  return (
    typeof order?.state === "string" &&
    typeof order.currency === "string" &&
    isAmount(order.total) &&
    isAmount(order.placed_at) &&
    Array.isArray(order.lines) &&
    order.lines.every(isLine)
  );
}

/** The receipt of an order. */
export function receipt(id: string, order: Order): string {
  const money = (minor: number) => amount(order.currency, minor);
  const rows = order.lines.map((line) => ({
    name: line.name,
    each: `${line.quantity} × ${money(line.price)}`,
    sum: money(line.quantity * line.price),
  }));
  const longest = (texts: readonly string[]) => Math.max(0, ...texts.map(width));
  const names = longest([...rows.map((row) => row.name), "Total"]);
  const each = longest(rows.map((row) => row.each));
  const sums = longest([...rows.map((row) => row.sum), money(order.total)]);
  const row = (name: string, middle: string, sum: string) =>
    `${toLeft(name, names)}  ${toRight(middle, each)}  ${toRight(sum, sums)}`;
  const rule = "-".repeat(names + each + sums + 4);
  return [
    "RECEIPT",
    "",
    `Order  ${id}`,
    `Date   ${DAY.format(order.placed_at)}, ${TIME.format(order.placed_at)} UTC`,
    "",
    rule,
    ...rows.map((it) => row(it.name, it.each, it.sum)),
    rule,
    row("Total", "", money(order.total)),
    row("Paid", "", money(order.total)),
    "",
    "Thank you.",
    "",
  ].join("\n");
}

function amount(currency: string, minor: number): string {
  const whole = Math.floor(minor / 100);
  return `${SIGNS[currency] ?? `${currency.toUpperCase()} `}${whole}.${String(minor % 100).padStart(2, "0")}`;
}

/** In characters as people count them, nearly: an accent that stands alone counts too. */
const width = (text: string) => [...text].length;

const toLeft = (text: string, columns: number) => text + " ".repeat(Math.max(0, columns - width(text)));
const toRight = (text: string, columns: number) => " ".repeat(Math.max(0, columns - width(text))) + text;
