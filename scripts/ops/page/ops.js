// What is looked at stands in the address after "#", so that "back" goes back.
import { ask } from "./api.js";
import { byId, element, renewAges } from "./elements.js";
import { redrawChart, showFigures } from "./figures.js";
import { loadRequests, refreshRequests } from "./requests.js";
import { askAndResolve } from "./resolve.js";
import { showStory } from "./story.js";
import { showStuckKeys } from "./stuck.js";
import { go, view } from "./view.js";

const EVERY_MS = 5000;
// While there is more to count than a look counts.
const CATCHING_UP_MS = 300;
const A_LOOK = 50_000;

let timer;
// A look that is overtaken by another one shows nothing.
let generation = 0;
let shown = null;

/** Shows what is wrong until it is right again. */
function say(trouble) {
  if (byId("trouble").textContent === (trouble ?? "")) return;
  byId("trouble").textContent = trouble ?? "";
  byId("trouble").hidden = trouble === null;
}

/** Goes where the address says, from where it said before. */
async function arrive() {
  const before = shown;
  const now = shown = view();
  const isStory = now.key !== null;
  byId("story").hidden = !isStory;
  byId("overview").hidden = isStory;
  byId("find").value = now.find ?? "";
  byId("user").value = now.user ?? "";
  byId("hours").value = String(now.hours);
  byId("status").value = now.status ?? "";
  showScopeChosen(now.scope);
  if (!isStory) {
    // Its links lead on from here, and the figures may be a while.
    redrawChart();
    loadRequests();
  }
  await look();
  if (before === null) return;
  // Whoever cannot see is told where they are.
  if (isStory) focus("story-title");
  else if (before.key !== null || before.find !== now.find) {
    focus("requests-title");
  }
}

function focus(id) {
  byId(id).focus({ preventScroll: true });
  byId(id).scrollIntoView({ block: "nearest" });
}

async function look() {
  clearTimeout(timer);
  if (document.hidden) return;
  const current = ++generation;
  let delay = EVERY_MS;
  try {
    const { key, hours, scope } = view();
    if (key !== null) {
      const details = await ask("key", key);
      if (current !== generation) return;
      showStory(key, details, resolve);
    } else {
      const statistics = await ask("statistics", { hours, scope });
      if (current !== generation) return;
      showFigures(statistics, scope);
      showScopes(statistics.scopes);
      const { stuck_keys, total, as_of, behind } = statistics;
      showStuckKeys(stuck_keys, total.stuck_count, resolve);
      void refreshRequests();
      if (as_of === null || behind > A_LOOK) delay = CATCHING_UP_MS;
    }
    byId("main").hidden = false;
    renewAges();
    redrawChart();
    say(null);
  } catch (error) {
    if (current !== generation) return;
    // Nobody can do anything here but open another link.
    if (error.isAboutTheLink) byId("main").hidden = true;
    say(
      error.isAboutTheLink ? error.message : `${error.message} Trying again.`,
    );
    if (error.isAboutTheLink) return;
  }
  timer = setTimeout(look, delay);
}

async function resolve(key, as) {
  const opener = document.activeElement;
  const told = await askAndResolve(key, as);
  if (told === null) return opener?.focus();
  byId("news").textContent = told;
  await look();
  if (view().key === null) {
    loadRequests();
    byId("stuck-title").focus();
  } else byId("story-title").focus();
}

/** Offers the scopes that there are, and the one that is looked at. */
function showScopes(scopes) {
  const names = scopes.map(({ scope }) => scope).sort();
  const { scope } = view();
  if (scope !== null && !names.includes(scope)) names.unshift(scope);
  const options = [...byId("scope").options].map(({ value }) => value);
  if (JSON.stringify(options) === JSON.stringify(["", ...names])) return;
  byId("scope").replaceChildren(
    element("option", { value: "" }, "All scopes"),
    ...names.map((name) => element("option", { value: name }, name)),
  );
  showScopeChosen(scope);
}

function showScopeChosen(scope) {
  const select = byId("scope");
  const name = scope ?? "";
  if (![...select.options].some(({ value }) => value === name)) {
    select.append(element("option", { value: name }, name || "All scopes"));
  }
  select.value = name;
}

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const find = byId("find").value.trim() || null;
  const user = byId("user").value.trim() || null;
  // Whoever looks for one key looks everywhere.
  const anywhere = find === null
    ? {}
    : { scope: null, hour: null, status: null };
  go({ find, user, key: null, ...anywhere });
});
byId("scope").addEventListener("change", ({ target }) => {
  go({ scope: target.value || null });
});
byId("hours").addEventListener("change", ({ target }) => {
  go({ hours: Number(target.value), hour: null });
});
byId("status").addEventListener("change", ({ target }) => {
  go({ status: target.value || null });
});
addEventListener("hashchange", arrive);
document.addEventListener("visibilitychange", look);
addEventListener("resize", redrawChart);

void arrive();
