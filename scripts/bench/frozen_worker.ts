/**
 * A worker that freezes in its handler, heartbeat and all, until it is woken.
 *
 * @module
 */
import { type PeerName, PEERS, type Stores, USERS } from "./peers.ts";

/** What {@link frozen_worker.ts} is told to do. */
export interface Freezing {
  readonly name: PeerName;
  readonly stores: Stores;
  readonly leaseMs: number;
  readonly key: string;
  readonly answer: string;
  /** It wakes when this is notified. */
  readonly alarm: Int32Array<SharedArrayBuffer>;
}

// Types of this file are those of a page.
const worker = self as unknown as {
  onmessage: (event: MessageEvent<Freezing>) => void;
  postMessage(message: "frozen" | "over"): void;
};

worker.onmessage = async ({ data }) => {
  const { name, stores, leaseMs, key, answer, alarm } = data;
  const { run, close } = await PEERS[name]
    .start(stores, { connections: 1, leaseMs });
  await run(USERS[0]!, key, () => {
    worker.postMessage("frozen");
    Atomics.wait(alarm, 0, 0);
    return Promise.resolve(answer);
  }).catch(() => {});
  worker.postMessage("over");
  await close();
};
