// The network between the pages and the edge functions, as bad as somebody
// wants it.
const SLOW_MS = 3000;

/** What is wrong with the network now. */
export const faults = { cut: false, lossy: false, slow: false };

/** `fetch` over this network. */
export async function badFetch(input, init) {
  if (faults.cut) throw new TypeError("network cut");
  const response = await fetch(input, init);
  if (faults.lossy) {
    // Read to its end, so that the server has done its part.
    await response.arrayBuffer();
    throw new TypeError("answer lost");
  }
  if (faults.slow) await pause(SLOW_MS, init?.signal);
  if (faults.cut) throw new TypeError("network cut");
  return response;
}

/** Lets the switches of a page, each named by its id, turn faults on and off. */
export function connectSwitches(...names) {
  for (const name of names) {
    document.getElementById(name).addEventListener("change", ({ target }) => {
      faults[name] = target.checked;
      // What the browser says when a cable is plugged in again.
      if (name === "cut" && !target.checked) {
        globalThis.dispatchEvent(new Event("online"));
      }
    });
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
