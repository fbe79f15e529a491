// The page to try it: what people do, and what they see of it.
import {
  currentDocument,
  forgetDocument,
  isDocument,
  jobsOf,
  readFile,
  upload,
} from "./try/document.js";
import { connectSwitches } from "./network.js";
import { clearLanes, onLane, press as pressed, presses } from "./try/lanes.js";
import {
  isSession,
  session,
  SessionOver,
  signIn,
  signOut,
} from "./try/project.js";
import {
  currentAttempt,
  dropAttempt,
  newAttempt,
  sendWith,
  sendWithout,
} from "./try/sides.js";

const $ = (id) => document.getElementById(id);
const SIDES = ["without", "with"];
const PAUSE_MS = 120;

let shown = "";
let sending = 0;
const busy = { without: 0, with: 0 };
const jobs = { without: 0, with: 0 };

/** Does something, and says what went wrong with it. */
async function attend(field, act) {
  try {
    return await act();
  } catch (error) {
    if (error instanceof SessionOver) await startOver(error);
    $(field).textContent = error.message;
  }
}

/** Signs in and hands in the sample, where that is not done yet. */
async function prepare() {
  // Two tabs that are opened at once share a user and a document.
  await navigator.locks.request("try:prepare", async () => {
    await signIn();
    if (currentDocument() !== null) return await show();
    const response = await fetch("/sample.md");
    await upload(
      await readFile(
        new File([await response.blob()], "taking-effect-once.md"),
      ),
    );
    await show();
  });
}

/** The server does not know the user any more: another one is made. */
async function startOver({ email }) {
  // Several requests find out about one user.
  if (session()?.email !== email) return;
  signOut();
  forgetDocument();
  dropAttempt();
  clearLanes();
  await prepare();
}

/** Shows what is in hand, taken by this tab or by another. */
async function show() {
  const inHand = session() && currentDocument();
  $("who").textContent = session()?.email ?? "";
  $("document-name").textContent = inHand?.title ?? "none yet";
  const current = inHand ? `${inHand.with} ${inHand.number}` : "";
  if (current !== shown) dropAttempt();
  shown = current;
  // Opened before anybody can press, so that every tab that shows the document
  // holds the same: once one is answered, another tab would open the next.
  if (inHand) await currentAttempt().catch(() => {});
  for (const id of ["process", "five", "new-attempt", "file"]) {
    $(id).disabled = !session() || !currentDocument();
  }
  void showJobs();
}

async function showJobs() {
  const inHand = currentDocument();
  if (!inHand) return showStates();
  await attend("error", async () => {
    const found = await jobsOf([inHand.without, inHand.with]);
    if (inHand.with !== currentDocument()?.with) return;
    for (const side of SIDES) jobs[side] = found.get(inHand[side]) ?? 0;
  });
  showStates();
}

function showStates() {
  const attempts = currentDocument()?.number ?? 1;
  for (const side of SIDES) {
    const section = $(side);
    section.querySelector(".jobs strong").textContent = jobs[side];
    section.querySelector(".jobs span").textContent = jobs[side] === 1
      ? "job"
      : "jobs";
    section.setAttribute("aria-busy", busy[side] > 0);
    const state = busy[side] > 0
      ? "Working …"
      : presses() === 0
      ? side === "with" && attempts > 1
        ? `Attempt ${attempts}`
        : "Not pressed yet"
      : `for ${many(presses(), "press", "presses")}${
        side === "with" && attempts > 1 ? ` in ${attempts} attempts` : ""
      }`;
    const line = section.querySelector(".state");
    if (line.textContent !== state) line.textContent = state;
  }
}

function many(number, one, more) {
  return `${number} ${number === 1 ? one : more}`;
}

function press() {
  $("error").textContent = "";
  pressed();
  void send("without", sendWithout);
  return send("with", sendWith);
}

async function send(side, act) {
  busy[side]++;
  sending++;
  showStates();
  const problem = await attend("error", act);
  busy[side]--;
  sending--;
  if (problem) $("error").textContent = problem;
  await showJobs();
}

/** Goes on with what was sent and not answered. */
function resume() {
  if (!session() || !currentDocument()?.isOpen || sending > 0) return;
  void send("with", sendWith);
}

async function take(file) {
  $("file").disabled = true;
  $("file-error").textContent = "";
  await attend("file-error", async () => {
    await upload(await readFile(file));
    clearLanes();
    $("error").textContent = "";
    await show();
    $("process").focus();
  });
  $("file").disabled = false;
  $("file").value = "";
}

$("process").addEventListener("click", () => void press());

$("five").addEventListener("click", async () => {
  for (let count = 0; count < 5; count++) {
    if (count > 0) await new Promise((go) => setTimeout(go, PAUSE_MS));
    void press();
  }
});

$("new-attempt").addEventListener("click", () =>
  attend("error", async () => {
    await newAttempt();
    await show();
    $("process").focus();
  }));

$("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (file) void take(file);
});

connectSwitches("cut", "lossy", "slow");

addEventListener("online", resume);
addEventListener("storage", (event) => {
  if (event.key === null || isSession(event) || isDocument(event)) void show();
});

// The job may be there although its answer is not.
onLane((kind) => {
  if (kind !== "busy") void showJobs();
});

await attend("error", prepare);
resume();
