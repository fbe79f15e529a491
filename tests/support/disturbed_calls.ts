type Send = () => Promise<Response>;

/**
 * Disturbs calls to the Data API that functions of the stack in this process
 * make while an action runs.
 *
 * @param path For instance `"rpc/create_event"`.
 * @param disturb What becomes of such a call; `send` lets it through.
 */
export async function withDisturbed<T>(
  path: string,
  disturb: (send: Send) => Promise<Response>,
  action: () => Promise<T>,
): Promise<T> {
  const real = globalThis.fetch;
  globalThis.fetch = (input, init) => {
    const { pathname } = new URL(input instanceof Request ? input.url : input);
    const send = () => real(input, init);
    return pathname === `/rest/v1/${path}` ? disturb(send) : send();
  };
  try {
    return await action();
  } finally {
    globalThis.fetch = real;
  }
}

/**
 * Sends requests so that all of them are on their way before the first of their
 * calls to `path` goes through: it goes when as many have been answered as
 * never come to make that call.
 *
 * @param winners How many of the requests make the call.
 */
export function overlapping<T>(
  path: string,
  requests: readonly (() => Promise<T>)[],
  winners = 1,
): Promise<T[]> {
  const { promise: others, resolve } = Promise.withResolvers<void>();
  let answered = 0;
  const losers = requests.length - winners;
  return withDisturbed(path, async (send) => {
    await others;
    return await send();
  }, () =>
    Promise.all(requests.map(async (request) => {
      const answer = await request();
      if (++answered === losers) resolve();
      return answer;
    })));
}

/** Lets a call take effect and loses its answer. */
export async function loseAnswer(send: Send): Promise<Response> {
  await (await send()).body?.cancel();
  throw new TypeError("connection reset");
}

/** Loses a call before it takes effect. */
export function loseCall(): Promise<Response> {
  return Promise.reject(new TypeError("connection refused"));
}
