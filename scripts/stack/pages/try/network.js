// A network that can be made bad.

const SLOW_MS = 3000;

/** What is wrong with the network now. */
export const faults = { cut: false, lossy: false, slow: false };

/** `fetch` over this network. */
export async function badFetch(input, init) {
  if (faults.cut) throw new TypeError("the network is cut");
  const response = await fetch(input, init);
  if (faults.lossy) {
    // Read to its end, so that the server has done its part.
    await response.arrayBuffer();
    throw new TypeError("lost on its way");
  }
  if (faults.slow) await pause(SLOW_MS, init?.signal);
  if (faults.cut) throw new TypeError("the network was cut meanwhile");
  return response;
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
