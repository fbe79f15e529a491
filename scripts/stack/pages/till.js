// The till: a cart, one key for it, and what the database says was sold.
import { keepAttempt } from "./attempt.js";
import { badFetch, connectSwitches } from "./network.js";
import {
  freshToken,
  publishableKey,
  SessionOver,
  signIn,
  signOut,
  wordsOf,
} from "./try/project.js";
import { showReceipt } from "./till/receipt.js";
import { forgetShop, openShop, readSales, readStock } from "./till/shop.js";

// Bundled by the server from shared/client.ts; not a file that tools could follow.
const CLIENT = "/client.js";
const { createApi, createIdempotentFetch, IdempotencyProblemError } =
  await import(CLIENT);

const SALES = "/functions/v1/pos/sales";
const $ = (id) => document.getElementById(id);
const money = new Intl.NumberFormat([], { style: "currency", currency: "EUR" });
const euros = (cents) => money.format(cents / 100);

const { apiPost } = createApi({
  headers: async () => ({
    "apikey": await publishableKey(),
    "Authorization": `Bearer ${await freshToken()}`,
  }),
  fetch: createIdempotentFetch({
    match: ({ url }) => new URL(url).pathname === SALES,
    fetch: badFetch,
  }),
});

const attempt = keepAttempt("till:attempt", () => ({
  pieces: {},
  method: "cash",
  tendered: "",
}));

let shop = null;
let isSubmitting = false;

function say(text, kind = "plain") {
  const message = $("message");
  message.textContent = text;
  message.dataset.kind = kind;
}

/** What is in the cart, at the prices that the till knows. */
function linesOf({ pieces }) {
  return shop.products.filter(({ id }) => pieces[id] > 0)
    .map((product) => ({ ...product, quantity: pieces[product.id] }));
}

function sum(lines) {
  return lines.reduce((sum, { price, quantity }) => sum + price * quantity, 0);
}

/** Shows the cart, filled by this tab or by another. */
function show() {
  const { fields, isSent } = attempt.current();
  const lines = linesOf(fields);
  const total = sum(lines);
  // What may have been sold is not rewritten.
  const isHeld = isSubmitting || isSent;
  $("cart").replaceChildren(...lines.map((line) => cartLine(line, isHeld)));
  $("empty").hidden = lines.length > 0;
  $("total").textContent = euros(total);
  $("method").value = fields.method;
  if ($("tendered").value !== fields.tendered) {
    $("tendered").value = fields.tendered;
  }
  $("tendered").disabled = isHeld || fields.method !== "cash";
  $("method").disabled = isHeld;
  for (const button of $("goods").children) button.disabled = isHeld;
  $("clear").disabled = isHeld || lines.length === 0;
  $("sell").disabled = isSubmitting || lines.length === 0;
  $("sell").textContent = isSubmitting
    ? "Selling …"
    : isSent
    ? "Send again"
    : `Sell for ${euros(total)}`;
  $("form").setAttribute("aria-busy", isSubmitting);
  const change = tenderedOf(fields) - total;
  $("tax").textContent = fields.method === "cash" && change > 0 && total > 0
    ? `Give back ${euros(change)}.`
    : "Tax is included.";
}

function cartLine({ id, name, quantity, price }, isHeld) {
  const line = document.createElement("li");
  const what = document.createElement("div");
  what.className = "what";
  what.append(name);
  const more = document.createElement("span");
  more.textContent = `${quantity} × ${euros(price)} = ${
    euros(quantity * price)
  }`;
  what.append(more);
  const less = document.createElement("button");
  less.type = "button";
  less.textContent = "−";
  less.disabled = isHeld;
  less.setAttribute("aria-label", `One ${name} less`);
  less.addEventListener("click", () => put(id, -1));
  line.append(what, less);
  return line;
}

function put(id, pieces) {
  const { fields, isSent } = attempt.current();
  if (isSubmitting || isSent) return;
  const quantity = Math.max(0, (fields.pieces[id] ?? 0) + pieces);
  attempt.change({ ...fields, pieces: { ...fields.pieces, [id]: quantity } });
  say("");
  show();
}

/** Cents handed over; 0 where nothing was entered, not a number for nonsense. */
function tenderedOf({ method, tendered }) {
  if (method !== "cash") return 0;
  return Math.round(Number(tendered.trim().replace(",", ".")) * 100);
}

async function sell() {
  if (!shop || isSubmitting) return;
  const { key, fields } = attempt.current();
  const lines = linesOf(fields);
  const total = sum(lines);
  const tendered = tenderedOf(fields);
  if (lines.length === 0) return;
  if (Number.isNaN(tendered) || (tendered > 0 && tendered < total)) {
    say(`At least ${euros(total)} has to be handed over.`, "bad");
    return $("tendered").focus();
  }
  isSubmitting = true;
  attempt.sending();
  say("");
  show();
  try {
    const { data } = await apiPost(SALES, {
      locationId: shop.locationId,
      lines: lines.map(({ id, quantity }) => ({ productId: id, quantity })),
      payments: total === 0 ? [] : [{
        method: fields.method,
        amount: total,
        ...(tendered > 0 ? { tendered } : {}),
      }],
    }, { key });
    const change = data.payments[0]?.change;
    say(
      `${data.number}: ${euros(data.total)}${
        change ? `, give back ${euros(change)}` : ""
      }.`,
      "good",
    );
    attempt.end(key);
    showReceipt(data);
  } catch (error) {
    if (error instanceof SessionOver || error.status === 401) {
      return await startOver();
    }
    if (error instanceof IdempotencyProblemError && !error.retryable) {
      // An answer too: with fewer pieces, or the new price, it is another sale.
      // So it is with the same, later: the key would only get that answer again.
      if (error.recorded) attempt.end(key, fields);
      else attempt.answered(key);
      say(wordsOf(error), "bad");
    } else if (
      error instanceof IdempotencyProblemError || error instanceof TypeError
    ) {
      say(
        "No answer yet. The key is kept: send it again when you like.",
        "bad",
      );
    } else throw error;
  } finally {
    isSubmitting = false;
    if (shop) show();
  }
  await showBooks();
}

/** Shows what the database says. */
async function showBooks() {
  try {
    const [{ count, sales }, stock] = await Promise.all([
      readSales(shop),
      readStock(shop),
    ]);
    $("count").textContent = count;
    $("sales").replaceChildren(...sales.map(({ number, total }) => {
      const sale = document.createElement("li");
      const what = document.createElement("div");
      what.className = "what";
      what.textContent = number;
      const amount = document.createElement("output");
      amount.textContent = euros(total);
      sale.append(what, amount);
      return sale;
    }));
    for (const { id } of shop.products) {
      $(`stock-${id}`).textContent = `${stock.get(id) ?? 0} left`;
    }
  } catch (error) {
    if (error instanceof SessionOver) return await startOver();
    say(error.message, "bad");
  }
}

function showGoods() {
  $("goods").replaceChildren(...shop.products.map(({ id, name, price }) => {
    const button = document.createElement("button");
    button.type = "button";
    const stock = document.createElement("span");
    stock.id = `stock-${id}`;
    const cost = document.createElement("span");
    cost.textContent = euros(price);
    button.append(name, cost, stock);
    button.addEventListener("click", () => put(id, 1));
    return button;
  }));
}

/** The server does not know the user any more: another one is made. */
async function startOver() {
  signOut();
  forgetShop();
  attempt.forget();
  shop = null;
  await prepare();
}

async function prepare() {
  try {
    // Two tabs that are opened at once share a user and a shop.
    shop = await navigator.locks.request("try:prepare", async () => {
      await signIn();
      return await openShop();
    });
  } catch (error) {
    if (error instanceof SessionOver) return await startOver();
    return say(error.message, "bad");
  }
  // Opened before anybody can press.
  await attempt.open();
  showGoods();
  show();
  await showBooks();
  // Sent before a reload, and no answer heard.
  if (attempt.current().isSent) await sell();
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  void sell();
});

$("clear").addEventListener("click", () => {
  attempt.change({ ...attempt.current().fields, pieces: {} });
  say("");
  show();
});

for (const id of ["method", "tendered"]) {
  $(id).addEventListener("input", ({ target }) => {
    attempt.change({ ...attempt.current().fields, [id]: target.value });
    show();
  });
}

$("print").addEventListener("click", () => print());

connectSwitches("cut", "lossy", "slow");

// A sale that waits for an answer goes on once the network is back.
addEventListener("online", () => {
  if (shop && attempt.current().isSent) void sell();
});
addEventListener("storage", (event) => {
  if (shop && attempt.isChange(event)) show();
});

await prepare();
