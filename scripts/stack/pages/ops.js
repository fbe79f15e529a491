import { readStatistics } from "./ops/api.js";
import { byId } from "./ops/elements.js";
import { redrawChart, showFigures } from "./ops/figures.js";
import { askAndResolve } from "./ops/resolve.js";
import { showStuckKeys } from "./ops/stuck.js";

const STORED = "idempotency-secret-key";
const EVERY_MS = 5000;
// While there is more to count than a look counts.
const CATCHING_UP_MS = 300;
const A_LOOK = 50_000;

let secretKey = sessionStorage.getItem(STORED);
let timer;
// A look that is overtaken by another key, or by none, shows nothing.
let generation = 0;

function enter(key) {
  secretKey = key;
  sessionStorage.setItem(STORED, key);
  look();
}

function leave(reason = null) {
  secretKey = null;
  generation++;
  clearTimeout(timer);
  sessionStorage.removeItem(STORED);
  byId("age").textContent = "";
  arrange();
  say(reason);
  byId("key").focus();
}

function arrange() {
  byId("enter").hidden = secretKey !== null;
  byId("leave").hidden = secretKey === null;
  if (secretKey === null) byId("shown").hidden = true;
}

/** Shows what is wrong until it is right again. */
function say(trouble) {
  if (byId("trouble").textContent === (trouble ?? "")) return;
  byId("trouble").textContent = trouble ?? "";
  byId("trouble").hidden = trouble === null;
}

async function look() {
  clearTimeout(timer);
  arrange();
  if (secretKey === null || document.hidden) return;
  const current = ++generation;
  let delay = EVERY_MS;
  try {
    const statistics = await readStatistics(secretKey);
    if (current !== generation) return;
    byId("shown").hidden = false;
    showFigures(statistics);
    showStuckKeys(statistics.stuck, statistics.total.stuck_count, resolve);
    say(null);
    const { as_of, behind } = statistics;
    if (as_of === null || behind > A_LOOK) delay = CATCHING_UP_MS;
  } catch (error) {
    if (current !== generation) return;
    if (error.isAboutTheKey) {
      return leave("That is not the secret key of this project.");
    }
    if (error.code === "PGRST202") {
      say(
        "The ledger is not there, or older than this page: run supabase db push.",
      );
    } else {
      say(`${error.message} Trying again.`);
    }
  }
  timer = setTimeout(look, delay);
}

async function resolve(key, as) {
  const opener = document.activeElement;
  const told = await askAndResolve(secretKey, key, as);
  if (told === null) return opener?.focus();
  byId("news").textContent = told;
  await look();
  byId("stuck-title").focus();
}

byId("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = byId("key").value.trim();
  byId("key").value = "";
  if (key) enter(key);
});
byId("leave").addEventListener("click", () => leave());
document.addEventListener("visibilitychange", look);
addEventListener("resize", redrawChart);

arrange();
if (secretKey === null) byId("key").focus();
else look();
