// The page of quotations: a list that leaves archived ones out unless asked,
// with a badge where it does not, and a way there and back.
import { formatMoney } from "./money.js";
import {
  freshToken,
  isSession,
  publishableKey,
  session,
  SessionOver,
  signIn,
  signOut,
  wordsOf,
} from "./try/project.js";

// Bundled by the server from shared/client.ts; not a file that tools could follow.
const CLIENT = "/client.js";
const { createIdempotentFetch, problemOf } = await import(CLIENT);

const QUOTATIONS = "/functions/v1/quotations";
const idempotentFetch = createIdempotentFetch({
  match: ({ url }) => new URL(url).pathname.startsWith(QUOTATIONS),
});

const $ = (id) => document.getElementById(id);

/** What of the list is shown; another one makes answers under way stale. */
let shown = { quotations: [], archived: 0, nextCursor: null };

/**
 * Asks the function as the user.
 *
 * @throws {SessionOver} When the token is not accepted.
 * @throws {Error} When there is no good answer; the message can be shown.
 */
async function ask(path, { method = "GET", body } = {}) {
  const request = {
    method,
    headers: {
      "apikey": await publishableKey(),
      "Authorization": `Bearer ${await freshToken()}`,
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  };
  let response;
  try {
    // A change gets a key, and is sent again under it until there is an answer.
    response = await (method === "GET" ? fetch : idempotentFetch)(
      QUOTATIONS + path,
      request,
    );
  } catch {
    throw new Error("There is no answer: try again when the network is back.");
  }
  if (response.status === 401) throw new SessionOver();
  const problem = await problemOf(response);
  if (problem?.retryable && method !== "GET") {
    throw new Error("There is no answer yet: try again, it is done once.");
  }
  if (problem) throw new Error(wordsOf(problem));
  return response;
}

/** Does something, and says what went wrong with it. */
async function attend(act) {
  $("error").textContent = "";
  try {
    await act();
  } catch (error) {
    if (error instanceof SessionOver && session()?.email === error.email) {
      signOut();
      await signIn();
      await load().catch(() => {});
    }
    $("error").textContent = error.message;
  }
}

/** Reads the list from its start, or the page after what is shown. */
async function load({ more = false } = {}) {
  const before = more
    ? shown
    : { quotations: [], archived: 0, nextCursor: null };
  const mine = shown = { ...before };
  const query = new URLSearchParams({ limit: "20" });
  if ($("archived").checked) query.set("include_archived", "true");
  if (before.nextCursor !== null) query.set("cursor", before.nextCursor);
  const response = await ask(`?${query}`);
  const { quotations, nextCursor } = await response.json();
  if (shown !== mine) return;
  const archived = Number(response.headers.get("X-Archived-Count") ?? 0);
  shown = {
    quotations: [...before.quotations, ...quotations],
    archived: before.archived + archived,
    nextCursor,
  };
  show();
}

function show() {
  const { quotations, archived, nextCursor } = shown;
  $("quotations").replaceChildren(...quotations.map(rowOf));
  $("more").hidden = nextCursor === null;
  const count = `${quotations.length}${nextCursor === null ? "" : "+"}`;
  $("count").textContent = quotations.length === 0
    ? "None yet."
    : $("archived").checked
    ? `${count} shown, ${archived} of them archived`
    : `${count} in use`;
}

function rowOf(quotation) {
  const { customerName, status, archivedAt, totalMinor, currency } = quotation;
  const row = document.createElement("li");
  const name = document.createElement("strong");
  name.textContent = customerName;
  const line = document.createElement("p");
  line.append(`${formatMoney(totalMinor, currency, "en")}, ${status}`);
  if (archivedAt !== null) {
    const badge = document.createElement("span");
    badge.className = "badge";
    badge.textContent = "Archived";
    line.append(badge);
  }
  row.append(name, line, buttonFor(quotation));
  return row;
}

function buttonFor({ id, customerName, archivedAt }) {
  const button = document.createElement("button");
  const isArchived = archivedAt !== null;
  button.type = "button";
  button.textContent = isArchived ? "Restore" : "Archive";
  // Which of them, for who does not see where the button is.
  button.setAttribute("aria-label", `${button.textContent} ${customerName}`);
  button.addEventListener("click", () =>
    attend(async () => {
      button.disabled = true;
      try {
        await (isArchived
          ? ask(`/${id}/restore`, { method: "POST" })
          : ask(`/${id}`, { method: "DELETE" }));
        await load();
        // The button is gone.
        $("list-title").focus();
      } finally {
        button.disabled = false;
      }
    }));
  return button;
}

$("new").addEventListener("submit", (event) => {
  event.preventDefault();
  void attend(async () => {
    showSending(true);
    try {
      const price = Number($("price").value.replace(",", "."));
      await ask("", {
        method: "POST",
        body: {
          customerName: $("customer").value,
          currency: "EUR",
          lines: [{
            description: $("description").value,
            quantity: 1,
            unitPriceMinor: Math.round(price * 100),
          }],
        },
      });
      $("new").reset();
      await load();
      showSending(false);
      $("customer").focus();
    } catch (error) {
      showSending(false);
      // It was there until it was disabled.
      $("add").focus();
      throw error;
    }
  });
});

/** What is typed meanwhile would go with the answer. */
function showSending(isSending) {
  $("add").textContent = isSending ? "Sending …" : "Add";
  for (const control of $("new").elements) control.disabled = isSending;
}

$("archived").addEventListener("change", () => attend(load));
$("more").addEventListener("click", () => attend(() => load({ more: true })));
addEventListener("storage", (event) => {
  if (event.key === null || isSession(event)) void attend(load);
});

await attend(async () => {
  // Two pages that are opened at once share a user.
  await navigator.locks.request("try:prepare", signIn);
  await load();
});
$("add").disabled = false;
