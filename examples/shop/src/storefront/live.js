// Follows an order while its page is open. The server says that the order has changed, and renders the page anew; this only puts the
// new parts in place, so that there is one rendering, and pages without JavaScript show the same.

const AGAIN_MS = 2000;
const RECEIPT_TRIES_MAX = 5;

const order = () => document.querySelector("#order");
const awaits = (what) => order().dataset.follow === what;
const pause = () => new Promise((resolve) => setTimeout(resolve, AGAIN_MS));

async function render() {
  const answer = await fetch(location.pathname);
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ["status", "order"]) {
    const [old, now] = [document.getElementById(id), fresh.getElementById(id)];
    // What is announced stays the same element, and is left alone while it says the same.
    if (old.innerHTML !== now.innerHTML) old.innerHTML = now.innerHTML;
    delete old.dataset.follow;
    Object.assign(old.dataset, now.dataset);
  }
  document.title = fresh.title;
}

// One after the other, so that an earlier answer never replaces a later one.
let rendered = Promise.resolve();
const refresh = () => (rendered = rendered.then(render).catch(() => {}));

async function askForReceipt() {
  for (let tries = 0; awaits("receipt") && tries < RECEIPT_TRIES_MAX; tries++) {
    await pause();
    await refresh();
  }
}

async function askForOrder() {
  while (awaits("order")) {
    await pause();
    await refresh();
  }
  await askForReceipt();
}

function follow() {
  const events = new EventSource(`${location.pathname}/events`);
  events.addEventListener("order", async (event) => {
    const { state } = JSON.parse(event.data);
    const isFinal = state === "shipped" || state === "failed";
    if (isFinal) events.close();
    if (state !== order().dataset.state) await refresh();
    if (isFinal) await askForOrder();
  });
  events.addEventListener("error", () => {
    // Otherwise the browser opens it again by itself.
    if (events.readyState === EventSource.CLOSED) askForOrder();
  });
}

if (awaits("order")) follow();
else askForReceipt();
