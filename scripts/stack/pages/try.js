// The page to try it: what people do, and what they see of it.
import {
  currentDocument,
  forgetDocument,
  isDocument,
  jobsOf,
  upload,
} from "./try/document.js";
import { faults } from "./try/network.js";
import {
  currentAttempt,
  dropAttempt,
  newAttempt,
  processDocument,
} from "./try/processing.js";
import { SessionOver } from "./try/project.js";
import {
  freshToken,
  isSession,
  session,
  signIn,
  signOut,
  signUp,
} from "./try/session.js";
import {
  clearTimeline,
  count,
  countUp,
  onTold,
  showTimeline,
  tell,
} from "./try/timeline.js";

const $ = (id) => document.getElementById(id);
const SWITCHES = {
  cut: "the network is cut",
  lossy: "answers are lost",
  slow: "answers take 3 s longer",
};

let shown = "";
let sending = 0;

/** Says what is wrong next to its field, or that nothing is. */
function say(field, error) {
  $(`${field}-error`).textContent = error?.message ?? "";
  if (!($(field) instanceof HTMLInputElement)) return;
  if (error) $(field).setAttribute("aria-invalid", "true");
  else $(field).removeAttribute("aria-invalid");
}

/** Does something, and says what went wrong with it next to a field. */
async function attend(field, act) {
  say(field);
  try {
    await act();
  } catch (error) {
    if (error instanceof SessionOver) leave(error);
    else say(error.field ?? field, error);
  }
}

/** Signs out somebody whose session the server does not know any more. */
function leave(error) {
  forget();
  show();
  say("email", error);
}

function forget() {
  signOut();
  forgetDocument();
  dropAttempt();
  clearTimeline();
}

/** Shows who is signed in and what is in hand, in this tab or by another. */
function show() {
  const who = session();
  const inHand = who && currentDocument();
  $("sign-in").hidden = who !== null;
  $("signed-in").hidden = who === null;
  $("who").textContent = who?.email ?? "";
  $("document-step").disabled = who === null;
  $("process-step").disabled = !inHand;
  $("in-hand").hidden = !inHand;
  $("document-name").textContent = inHand?.title ?? "";
  const current = inHand ? `${inHand.id} ${inHand.number}` : "";
  if (current !== shown) dropAttempt();
  shown = current;
  // Opened now, so that every tab that shows the document holds the same.
  if (inHand) currentAttempt().catch(() => {});
  showNumbers();
  void showJobs();
}

function showNumbers() {
  $("presses").textContent = count("presses");
  $("requests").textContent = count("requests");
  $("attempts").textContent = currentDocument()?.number ?? 0;
  $("timeline-empty").hidden = $("timeline").children.length > 0;
}

async function showJobs() {
  const inHand = session() && currentDocument();
  await attend("jobs", async () => {
    const jobs = inHand ? await jobsOf(inHand.id, await freshToken()) : [];
    if (inHand && inHand.id !== currentDocument()?.id) return;
    $("jobs").textContent = jobs.length;
    $("job-list").replaceChildren(...jobs.map(({ id, chunk_count }) => {
      const item = document.createElement("li");
      const code = document.createElement("code");
      code.textContent = id;
      item.append(code, `, ${chunk_count} chunks`);
      return item;
    }));
  });
}

async function press() {
  sending++;
  await attend("process", async () => {
    try {
      const problem = await processDocument();
      if (problem?.status === 401) throw new SessionOver();
      if (problem) throw new Error(`${problem.title}: ${problem.detail}`);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw new Error(
        "No answer yet. The key is kept: press again, or mend the network and it goes on by itself.",
      );
    }
  });
  sending--;
  void showJobs();
}

/** Goes on with what was sent and not answered. */
function resume(why) {
  if (!session() || !currentDocument()?.isOpen || sending > 0) return;
  tell("note", why);
  void press();
}

async function take(file) {
  $("file").disabled = $("sample").disabled = true;
  await attend("file", async () => {
    await upload(await file(), await freshToken());
    clearTimeline();
    tell("note", `Uploaded ${currentDocument().title}`);
    show();
    $("process").focus();
  });
  $("file").disabled = $("sample").disabled = false;
  $("file").value = "";
}

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const credentials = Object.fromEntries(new FormData(event.target));
  const enter = event.submitter?.value === "sign-in" ? signIn : signUp;
  say("email");
  await attend("password", async () => {
    await enter(credentials);
    $("password").value = "";
    show();
    $("sample").focus();
  });
});

$("sign-out").addEventListener("click", () => {
  forget();
  show();
  $("email").focus();
});

$("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (file) void take(() => file);
});

$("sample").addEventListener("click", () =>
  take(async () => {
    const response = await fetch("/sample.md");
    return new File([await response.blob()], "taking-effect-once.md");
  }));

$("process").addEventListener("click", () => {
  countUp("presses");
  showNumbers();
  void press();
});

$("new-attempt").addEventListener("click", () =>
  attend("process", async () => {
    await newAttempt();
    tell("note", "New attempt: the next press may make another job");
    show();
  }));

for (const [name, effect] of Object.entries(SWITCHES)) {
  $(name).addEventListener("change", ({ target }) => {
    faults[name] = target.checked;
    tell("note", `${target.checked ? "From now on" : "No longer:"} ${effect}`);
    // What the browser says when a cable is plugged in again.
    if (name === "cut" && !target.checked) {
      globalThis.dispatchEvent(new Event("online"));
    }
  });
}

addEventListener("online", () => resume("Back online: goes on"));
addEventListener("storage", (event) => {
  if (event.key === null || isSession(event) || isDocument(event)) show();
});

onTold(({ kind }) => {
  if (kind === "sent") countUp("requests");
  showNumbers();
  // The job may be there although its answer is not.
  if (kind === "good" || kind === "bad") void showJobs();
});

showTimeline();
show();
resume("Loaded again with an attempt open: asks for its answer");
