// The page of events: a form whose key is one for the attempt, the question what
// it costs, and the list.
import { keepAttempt } from "./attempt.js";
import { badFetch, connectSwitches } from "./network.js";
import {
  call,
  freshToken,
  publishableKey,
  SessionOver,
  signIn,
  signOut,
  wordsOf,
} from "./try/project.js";

// Bundled by the server from shared/client.ts; not a file that tools could follow.
const CLIENT = "/client.js";
const { createIdempotentFetch, problemOf } = await import(CLIENT);

const EVENTS = "/functions/v1/events";
const $ = (id) => document.getElementById(id);
const INPUTS = ["title", "starts-at", "participants", "location"];

const idempotentFetch = createIdempotentFetch({
  match: ({ url }) => new URL(url).pathname.startsWith(EVENTS),
  fetch: badFetch,
});

// `event` is what is edited, with its version and its time as it is shown; `null`:
// a new one.
const attempt = keepAttempt("events:attempt", () => ({
  event: null,
  title: "",
  "starts-at": nextEvening(),
  participants: "1",
  location: "",
}));

let isReady = false;
let isSubmitting = false;

function nextEvening() {
  const day = new Date(Date.now() + 86_400_000);
  day.setHours(18, 0, 0, 0);
  return localTime(day);
}

/** A moment as an input of type datetime-local has it. */
function localTime(date) {
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}

function say(text, kind = "plain") {
  const message = $("message");
  message.textContent = text;
  message.dataset.kind = kind;
}

/** Shows the attempt, taken by this tab or by another. */
function show() {
  const { fields, isSent } = attempt.current();
  for (const id of INPUTS) {
    if ($(id).value !== fields[id]) $(id).value = fields[id];
    // What may have taken effect is not rewritten.
    $(id).disabled = !isReady || isSubmitting || isSent;
  }
  $("form-title").textContent = fields.event ? "Edit event" : "New event";
  $("submit").textContent = isSubmitting
    ? "Sending …"
    : isSent
    ? "Send again"
    : fields.event
    ? "Save"
    : "Create event";
  $("submit").disabled = !isReady || isSubmitting;
  $("discard").hidden = !fields.event;
  $("discard").disabled = isSubmitting || isSent;
  $("form").setAttribute("aria-busy", isSubmitting);
  for (const button of $("events").querySelectorAll("button")) {
    button.disabled = isSubmitting || isSent;
  }
  $("buy").disabled = !isReady;
}

/** What the fields ask for, or `null` where one of them is wrong. */
function requestOf({ event, ...fields }) {
  const startsAt = new Date(fields["starts-at"]);
  const participants = Number(fields.participants);
  const wrong = fields.title.trim() === ""
    ? ["title", "Give the event a title."]
    : isNaN(startsAt)
    ? ["starts-at", "Say when it starts."]
    : !Number.isInteger(participants) || participants < 1 ||
        participants > 10_000
    ? ["participants", "Say how many participants, from 1 to 10,000."]
    : null;
  for (const id of INPUTS) {
    $(id).setAttribute("aria-invalid", wrong?.[0] === id);
  }
  if (wrong) {
    say(wrong[1], "bad");
    $(wrong[0]).focus();
    return null;
  }
  return {
    path: event ? `${EVENTS}/${event.id}` : EVENTS,
    method: event ? "PATCH" : "POST",
    body: {
      ...(event ? { version: event.version } : {}),
      title: fields.title,
      // The input knows neither seconds nor which of two equal hours it is when
      // the clocks go back: what was not changed is not sent.
      ...(event?.shownStart === fields["starts-at"]
        ? {}
        : { startsAt: startsAt.toISOString() }),
      participants,
      location: fields.location.trim() || null,
    },
  };
}

async function send(path, { method, body, key, query = "" }) {
  return await idempotentFetch(path + query, {
    method,
    headers: {
      "apikey": await publishableKey(),
      "Authorization": `Bearer ${await freshToken()}`,
      ...(body ? { "Content-Type": "application/json" } : {}),
      ...(key ? { "Idempotency-Key": key } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
}

/** Sends the attempt, or the answer to the question that it led to. */
async function submit(query = "") {
  if (!isReady || isSubmitting) return;
  const { key, fields } = attempt.current();
  const request = requestOf(fields);
  if (!request) return;
  isSubmitting = true;
  attempt.sending();
  say("");
  show();
  try {
    await hear(await send(request.path, { ...request, key, query }), key);
  } catch (error) {
    if (error instanceof SessionOver) return await startOver();
    if (!(error instanceof TypeError)) throw error;
    say("No answer yet. The key is kept: send it again when you like.", "bad");
  } finally {
    isSubmitting = false;
    show();
  }
  ask();
}

/** Does what an answer says. */
async function hear(response, key) {
  const problem = await problemOf(response);
  if (!problem) {
    const { event, cost } = await response.json();
    const done = event.version > 1 ? "Saved" : "Created";
    say(`${done} “${event.title}” for ${credits(cost)}.`, "good");
    attempt.end(key);
    return await showLists();
  }
  if (problem.status === 401) throw new SessionOver();
  // It may have taken effect: the fields stay as they were sent.
  if (problem.retryable) {
    return say("No answer yet. The key is kept: send it again when you like.");
  }
  const { code, members } = problem;
  const { cost, balance } = members;
  const costs = code === "CREDIT_CONFIRMATION_REQUIRED";
  // Nobody is asked to pay what they do not have.
  const isQuestion = costs && cost <= balance;
  attempt.answered(key, isQuestion ? members : null);
  if (code === "EVENT_CHANGED") attempt.end(key);
  if (costs && !isQuestion) {
    say(
      `This costs ${
        credits(cost)
      }, and you have ${balance}: get more, then press again.`,
      "bad",
    );
  } else if (!isQuestion) say(wordsOf(problem), "bad");
  await showLists();
}

/** Asks what the answer asked, also after a reload. */
function ask() {
  const { question } = attempt.current();
  if (!question || $("question").open) return;
  const { cost, balance } = question;
  $("question-text").textContent =
    `Your plan does not include all of this: it costs ${
      credits(cost)
    }, you have ${balance}.`;
  $("agree").textContent = `Pay ${credits(cost)}`;
  $("question").showModal();
}

function credits(count) {
  return `${count} ${count === 1 ? "credit" : "credits"}`;
}

async function showLists() {
  try {
    const [{ events }, [balance], plans, [mine]] = await Promise.all([
      call(`${EVENTS}?limit=20`),
      call("/rest/v1/credit_balances?select=balance"),
      call("/rest/v1/plans?select=*"),
      call("/rest/v1/user_plans?select=plan_name"),
    ]);
    $("balance").textContent = balance?.balance ?? 0;
    const name = mine?.plan_name ?? "free";
    const plan = plans.find((plan) => plan.name === name);
    $("plan").textContent =
      `“${name}” includes ${plan.monthly_events} events a month for ${plan.participants} people each. A further event costs ${
        credits(plan.event_cost)
      }, a further participant ${credits(plan.participant_cost)}.`;
    $("events").replaceChildren(...events.map(cardOf));
    $("empty").hidden = events.length > 0;
    show();
  } catch (error) {
    if (error instanceof SessionOver) return await startOver();
    say(error.message, "bad");
  }
}

function cardOf(event) {
  const what = document.createElement("div");
  what.className = event.cancelledAt ? "what is-off" : "what";
  const title = document.createElement("strong");
  title.textContent = event.title;
  const more = document.createElement("span");
  more.textContent = [
    new Date(event.startsAt).toLocaleString([], {
      dateStyle: "medium",
      timeStyle: "short",
    }),
    event.location,
    `${event.participants} ${
      event.participants === 1 ? "participant" : "participants"
    }`,
    credits(event.cost),
    event.cancelledAt && "cancelled",
  ].filter(Boolean).join(" · ");
  what.append(title, more);
  const card = document.createElement("li");
  card.append(
    what,
    ...(event.cancelledAt ? [] : [
      button("Edit", event, () => edit(event)),
      button(
        "Cancel",
        event,
        () => act(`${EVENTS}/${event.id}/cancel`, "POST"),
      ),
    ]),
    button("Archive", event, () => act(`${EVENTS}/${event.id}`, "DELETE")),
  );
  return card;
}

function button(text, event, press) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.setAttribute("aria-label", `${text} “${event.title}”`);
  made.addEventListener("click", () => void press());
  return made;
}

function edit({ id, version, title, startsAt, participants, location }) {
  const shownStart = localTime(new Date(startsAt));
  attempt.change({
    event: { id, version, shownStart },
    title,
    "starts-at": shownStart,
    participants: String(participants),
    location: location ?? "",
  });
  say("");
  show();
  $("title").focus();
}

/** Cancels or archives, under a key that the client makes and keeps. */
async function act(path, method) {
  try {
    const problem = await problemOf(await send(path, { method }));
    if (problem) say(wordsOf(problem), "bad");
  } catch (error) {
    if (error instanceof SessionOver) return await startOver();
    say("No answer yet: press again.", "bad");
  }
  await showLists();
}

/** The server does not know the user any more: another one is made. */
async function startOver() {
  signOut();
  attempt.forget();
  isReady = false;
  await prepare();
}

async function prepare() {
  try {
    await navigator.locks.request("try:prepare", signIn);
  } catch (error) {
    return say(error.message, "bad");
  }
  // Opened before anybody can press.
  await attempt.open();
  isReady = true;
  show();
  await showLists();
  const { isSent } = attempt.current();
  // Sent before a reload, and no answer heard.
  if (isSent) await submit();
  else ask();
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  void submit();
});

for (const id of INPUTS) {
  $(id).addEventListener("input", ({ target }) => {
    attempt.change({ ...attempt.current().fields, [id]: target.value });
  });
}

$("discard").addEventListener("click", () => {
  attempt.end(attempt.current().key);
  say("");
  show();
});

// With the click, not once the dialog has closed: the second click of a double
// one lands on what is below.
$("question").addEventListener("submit", (event) => {
  event.preventDefault();
  reply(event.submitter.value === "agree");
});
$("question").addEventListener("cancel", () => reply(false));

function reply(agrees) {
  const { key, question } = attempt.current();
  $("question").close();
  attempt.answered(key);
  if (agrees && question) {
    return void submit(`?confirm_credit=1&max_cost=${question.cost}`);
  }
  show();
  $("submit").focus();
}

$("buy").addEventListener("click", async () => {
  $("buy").disabled = true;
  try {
    const headers = { "Idempotency-Key": crypto.randomUUID() };
    await call("/credits", { body: { amount: 25 }, headers });
  } catch (error) {
    say(error.message, "bad");
  }
  await showLists();
});

connectSwitches("lossy", "slow");

addEventListener("storage", (event) => {
  if (isReady && attempt.isChange(event)) show();
});

await prepare();
