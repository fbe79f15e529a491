import { ask } from "./api.js";
import { byId } from "./elements.js";

/**
 * Asks how an interrupted attempt ended, names the key once more, and records
 * it.
 *
 * @param {object} key The stuck key.
 * @param {"completed" | "failed"} as
 * @returns {Promise<string | null>} What to tell; `null` where it was given up.
 */
export function askAndResolve(key, as) {
  const { idempotency_key: name, scope } = key;
  const dialog = byId("resolve");
  const button = byId("resolve-do");
  byId("resolve-title").textContent = as === "completed"
    ? `“${name}” took effect`
    : `“${name}” did not take effect`;
  byId("resolve-what").textContent = as === "completed"
    ? `Key ${name} in ${scope}: retries will get the answer that you give here, for good.`
    : `Key ${name} in ${scope}: the next retry will run. If it did take effect, it will then happen twice.`;
  byId("resolve-answer").hidden = as === "failed";
  button.textContent = as === "completed"
    ? "Record as completed"
    : "Record as failed";
  byId("resolve-form").reset();
  byId("status-code").value = "200";
  byId("body").disabled = false;
  tell(null);
  dialog.showModal();
  (as === "completed" ? byId("status-code") : byId("note")).focus();

  return new Promise((resolve) => {
    const listening = new AbortController();
    const { signal } = listening;
    let busy = false;
    byId("no-body").addEventListener("change", (event) => {
      byId("body").disabled = event.target.checked;
    }, { signal });
    byId("resolve-cancel").addEventListener("click", () => dialog.close(), {
      signal,
    });
    // What is on its way cannot be called back.
    dialog.addEventListener("cancel", (event) => {
      if (busy) event.preventDefault();
    }, { signal });
    dialog.addEventListener("close", () => {
      listening.abort();
      resolve(dialog.returnValue || null);
      dialog.returnValue = "";
    }, { signal });
    byId("resolve-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      if (busy) return;
      try {
        const parameters = readForm(key, as);
        setBusy(busy = true);
        const answer = await ask("resolve", parameters);
        const { done, text } = describe(name, scope, answer, parameters);
        if (!done) throw new Error(text);
        dialog.close(text);
      } catch (error) {
        tell(error.message);
      } finally {
        setBusy(busy = false);
      }
    }, { signal });
  });
}

function readForm(key, as) {
  const note = byId("note").value.trim() || null;
  const parameters = {
    userId: key.owner || null,
    scope: key.scope,
    key: key.idempotency_key,
    as,
    status: null,
    body: null,
    headers: null,
    note,
  };
  if (as === "failed") return parameters;
  const status = byId("status-code").value;
  if (!/^[2-5]\d\d$/.test(status)) {
    byId("status-code").focus();
    throw new Error("The status of the answer is a number from 200 to 599.");
  }
  const body = byId("no-body").checked ? null : byId("body").value;
  return {
    ...parameters,
    status: Number(status),
    body,
    headers: body !== null && isJson(body)
      ? { "content-type": "application/json" }
      : null,
  };
}

function describe(name, scope, { outcome, status_code }, parameters) {
  switch (outcome) {
    case "completed":
      return {
        done: true,
        text: `${name} in ${scope} is completed: ${
          parameters.body === null
            ? "retries get 409 RESPONSE_NOT_STORED"
            : "retries get this answer"
        }.`,
      };
    case "failed":
      return {
        done: parameters.as === "failed",
        text: parameters.as === "failed"
          ? `${name} in ${scope} has failed: the next retry runs.`
          : "It has failed meanwhile: the next retry runs.",
      };
    case "replay":
      return {
        done: false,
        text: `It was completed meanwhile, with status ${status_code}.`,
      };
    default:
      return { done: false, text: "The key is not there any more." };
  }
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function setBusy(busy) {
  byId("resolve-do").disabled = busy;
  byId("resolve-cancel").disabled = busy;
}

function tell(trouble) {
  byId("resolve-trouble").hidden = trouble === null;
  byId("resolve-trouble").textContent = trouble ?? "";
}
