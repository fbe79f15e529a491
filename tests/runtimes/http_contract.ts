import { assert, assertEquals, assertMatch } from "@std/assert";
import { connect } from "node:net";
import type { IdempotencyConfig } from "../../shared/idempotency.ts";
import type { Behaviour } from "./app.ts";

/** One promise over HTTP. */
export interface HttpCase {
  readonly name: string;
  /** @param url Where the app is served. */
  run(url: string): Promise<void>;
}

const PROMISES: Record<string, (bench: Bench) => Promise<void>> = {
  async "a first run says that its answer is stored, and a retry gets the same"(
    t,
  ) {
    const first = await t.post({ status: 201, body: "ü € 😀" });
    const again = await t.post({ status: 201, body: "ü € 😀" });
    assertEquals(first.headers.get("x-idempotency-stored"), "true");
    assertEquals(again.headers.get("x-idempotency-replay"), "true");
    for (const { status, headers, text } of [first, again]) {
      assertEquals([status, headers.get("x-own")], [201, "kept"]);
      assertEquals(headers.get("content-type"), "text/plain");
      assertEquals(text, "ü € 😀");
    }
    assertEquals(await t.effects(), 1);
  },

  async "bytes that are no text are replayed as they were"(t) {
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    const bodyBase64 = btoa(String.fromCharCode(...bytes));
    const first = await t.post({ bodyBase64 });
    const again = await t.post({ bodyBase64 });
    assertEquals(first.bytes, bytes);
    assertEquals(again.bytes, bytes);
    assertEquals(again.headers.get("x-idempotency-replay"), "true");
  },

  async "an answer without a body is replayed without one"(t) {
    await t.post({ status: 204 });
    const again = await t.post({ status: 204 });
    assertEquals([again.status, again.bytes.length], [204, 0]);
    assertEquals(again.headers.get("x-idempotency-replay"), "true");
  },

  async "a duplicate of a running request is told to come back"(t) {
    const running = t.post({ held: true });
    await t.untilStarted();
    const duplicate = await t.post({ held: true });
    await t.release();
    assertProblem(duplicate, 409, "REQUEST_IN_PROGRESS");
    assertMatch(duplicate.headers.get("retry-after") ?? "", /^[12]$/);
    assertEquals((await running).status, 200);
    assertEquals(await t.effects(), 1);
  },

  async "a duplicate that waits gets the running one's answer"(t) {
    const config = { onConcurrent: "wait", waitSeconds: 20 } as const;
    const wanted = { held: true, body: "one" };
    const running = t.post(wanted, { config });
    await t.untilStarted();
    const duplicates = [1, 2, 3].map(() => t.post(wanted, { config }));
    await pause(200);
    await t.release();
    const answers = await Promise.all([running, ...duplicates]);
    assertEquals(answers.map(({ text }) => text), Array(4).fill("one"));
    assertEquals(await t.effects(), 1);
  },

  async "what a client asked for is done once, also when it goes away meanwhile"(
    t,
  ) {
    const config = { leaseSeconds: 3 };
    const wanted = { held: true, body: "done" };
    await t.postAndLeave(wanted, { config });
    await t.release();
    const deadline = Date.now() + 60_000;
    let retry = await t.post(wanted, { config });
    while (retry.status === 409 && Date.now() < deadline) {
      await pause(100);
      retry = await t.post(wanted, { config });
    }
    assertEquals(retry.text, "done");
    assertEquals(retry.headers.get("x-idempotency-replay"), "true");
    assertEquals(await t.effects(), 1);
  },

  async "another payload under the key is refused"(t) {
    await t.post({ body: "one" });
    assertProblem(await t.post({ body: "two" }), 422, "IDEMPOTENCY_KEY_REUSED");
  },

  async "a malformed key is refused"(t) {
    const refused = await t.post({}, { key: "k".repeat(1_000) });
    assertProblem(refused, 400, "IDEMPOTENCY_KEY_INVALID");
    assertEquals(await t.effects(), 0);
  },

  async "a missing key is refused where one is required"(t) {
    const config = { enforcement: "required" } as const;
    const refused = await t.post({}, { key: null, config });
    assertProblem(refused, 400, "IDEMPOTENCY_KEY_MISSING");
  },

  async "the environment says where a key is required"(t) {
    const refused = await t.post({}, {
      key: null,
      config: { scope: "strict" },
    });
    assertProblem(refused, 400, "IDEMPOTENCY_KEY_MISSING");
    assertEquals((await t.post({}, { key: null })).status, 200);
  },

  async "after an error the request runs again, and then no more"(t) {
    const wanted = { throwUntilAttempt: 1, body: "done" };
    assertEquals((await t.post(wanted)).status, 500);
    assertEquals((await t.post(wanted)).text, "done");
    assertEquals((await t.post(wanted)).text, "done");
    assertEquals(await t.effects(), 2);
  },

  async "a step that is done is not repeated after an error"(t) {
    const wanted = { throwUntilAttempt: 1, step: "charge" };
    await t.post(wanted);
    assertEquals((await t.post(wanted)).status, 200);
    assertEquals([await t.effects(), await t.effects("charge")], [2, 1]);
  },

  async "an answer that is not final is not kept"(t) {
    assertEquals((await t.post({ status: 503 })).status, 503);
    assertEquals((await t.post({ status: 503 })).status, 503);
    assertEquals(await t.effects(), 2);
  },

  async "a streamed answer comes as it is made, and is replayed whole"(t) {
    const stream = ["one ", "two ", "three"];
    const first = await t.post({ stream });
    assertEquals(first.text, "one two three");
    const again = await t.post({ stream });
    assertEquals(again.headers.get("x-idempotency-replay"), "true");
    assertEquals(again.text, "one two three");
    assertEquals(await t.effects(), 1);
  },

  async "work that goes on after the answer is recorded when it is done"(t) {
    const wanted = { later: true, held: true, body: "done" };
    assertEquals((await t.post(wanted)).status, 202);
    assertProblem(await t.post(wanted), 409, "REQUEST_IN_PROGRESS");
    await t.release();
    const deadline = Date.now() + 60_000;
    let last = await t.post(wanted);
    while (last.status === 409 && Date.now() < deadline) {
      await pause(100);
      last = await t.post(wanted);
    }
    assertEquals([last.status, last.text], [200, "done"]);
    assertEquals(await t.effects(), 1);
  },

  async "a lease is renewed for as long as the work takes"(t) {
    const config = { leaseSeconds: 3 };
    const running = t.post({ held: true }, { config });
    await t.untilStarted();
    await pause(3_500);
    const duplicate = await t.post({ held: true }, { config });
    await t.release();
    assertProblem(duplicate, 409, "REQUEST_IN_PROGRESS");
    const { headers } = await running;
    assertEquals(headers.get("x-idempotency-stored"), "true");
  },

  async "a form is the same form whatever its boundary"(t) {
    const form = (note: string) => {
      const form = new FormData();
      form.set("effect", t.effect);
      form.set("note", note);
      form.set("file", new File([new Uint8Array([0, 255])], "a.bin"));
      return form;
    };
    await t.send(form("one"));
    const again = await t.send(form("one"));
    assertEquals(again.headers.get("x-idempotency-replay"), "true");
    assertProblem(await t.send(form("two")), 422, "IDEMPOTENCY_KEY_REUSED");
  },

  async "a request that only reads passes through"(t) {
    for (const { headers } of [await t.get(), await t.get()]) {
      assertEquals(headers.get("x-idempotency-replay"), null);
    }
    assertEquals(await t.effects(), 2);
  },
};

/** What a client sees, as cases for any server of `app.ts`. */
export const httpContract: readonly HttpCase[] = Object.entries(PROMISES)
  .map(([name, body]) => ({ name, run: (url) => body(bench(url)) }));

interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
  readonly text: string;
}

interface Terms {
  /** @default the same for all requests of a case */
  readonly key?: string | null;
  readonly config?: IdempotencyConfig;
}

interface Bench {
  readonly effect: string;
  post(wanted: Partial<Behaviour>, terms?: Terms): Promise<Answered>;
  send(body: BodyInit, terms?: Terms): Promise<Answered>;
  get(): Promise<Answered>;
  /** How often the work has run, or a step of it. */
  effects(step?: string): Promise<number>;
  untilStarted(): Promise<void>;
  /** Posts, and breaks the connection off once the work has started. */
  postAndLeave(wanted: Partial<Behaviour>, terms?: Terms): Promise<void>;
  /** Lets the work that is held end. */
  release(): Promise<void>;
}

function bench(url: string): Bench {
  const effect = crypto.randomUUID();
  const ownKey = crypto.randomUUID();
  const call = async (init: RequestInit): Promise<Answered> => {
    const response = await fetch(
      new URL(`/probe?effect=${effect}`, url),
      init,
    );
    const bytes = await response.bytes();
    const text = new TextDecoder().decode(bytes);
    const { status, headers } = response;
    return { status, headers, bytes, text };
  };
  const headersOf = ({ key = ownKey, config = {} }: Terms) => ({
    "x-config": JSON.stringify(config),
    ...(key === null ? {} : { "idempotency-key": key }),
  });
  const effects = async (step?: string): Promise<number> => {
    const name = step === undefined ? effect : `${effect}:${step}`;
    return await (await fetch(new URL(`/effects?effect=${name}`, url))).json();
  };
  const untilStarted = async () => {
    const deadline = Date.now() + 60_000;
    while (await effects() === 0) {
      assert(Date.now() < deadline, "the work did not start");
      await pause(20);
    }
  };
  return {
    effect,
    effects,
    untilStarted,
    async postAndLeave(wanted, terms = {}) {
      const { hostname, port } = new URL(url);
      const body = JSON.stringify({ effect, ...wanted });
      const headers = Object.entries({
        ...headersOf(terms),
        "host": hostname,
        "content-type": "application/json",
        "content-length": body.length,
      });
      const socket = connect(Number(port), hostname);
      socket.write(
        [
          `POST /probe?effect=${effect} HTTP/1.1`,
          ...headers.map(([name, value]) => `${name}: ${value}`),
          "",
          body,
        ].join("\r\n"),
      );
      await untilStarted();
      // Not all servers notice a client that only says that it is done.
      socket.resetAndDestroy();
      await pause(200);
    },
    send: (body, terms = {}) =>
      call({ method: "POST", body, headers: headersOf(terms) }),
    post: (wanted, terms = {}) =>
      call({
        method: "POST",
        body: JSON.stringify({ effect, ...wanted }),
        headers: { ...headersOf(terms), "content-type": "application/json" },
      }),
    get: () => call({ headers: headersOf({}) }),
    async release() {
      await (await fetch(new URL(`/release?effect=${effect}`, url))).text();
    },
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function assertProblem(answer: Answered, status: number, code: string): void {
  assertEquals(answer.status, status, answer.text);
  const type = answer.headers.get("content-type") ?? "";
  assertMatch(type, /^application\/problem\+json/);
  assertEquals(JSON.parse(answer.text).code, code);
}
