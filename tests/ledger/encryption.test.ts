import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  CiphertextInvalidError,
  encrypted,
  EncryptionKeyMissingError,
} from "../../shared/idempotency/encryption.ts";
import { LedgerUnavailableError } from "../../shared/idempotency/errors.ts";
import type {
  Answer,
  ClaimTerms,
  Ledger,
} from "../../shared/idempotency/ledger.ts";
import { memoryLedger } from "../../shared/idempotency/memory_ledger.ts";
import { ledgerContract } from "../../shared/idempotency/testing.ts";

const key = (id: string) => ({
  id,
  secret: crypto.getRandomValues(new Uint8Array(32)),
});
const OLD = key("2026-11");
const NEW = key("2026-12");
const SECRET = "sk_live_51Hx";
const IDENTITY = { userId: "ada", scope: "keys", key: "create-1" };
const ANSWER: Answer = {
  status: 201,
  headers: { location: `/keys/${SECRET}`, "content-type": "text/plain" },
  body: new TextEncoder().encode(SECRET),
};

const terms = (ownerToken: string): ClaimTerms => ({
  fingerprint: "a".repeat(64),
  ownerToken,
  leaseSeconds: 60,
  ttlSeconds: 3600,
  onAbandoned: "retry",
  maxAttempts: 2,
  metadata: null,
});

async function completed(ledger: Ledger, identity = IDENTITY): Promise<void> {
  const owner = crypto.randomUUID();
  await ledger.claim(identity, terms(owner));
  await ledger.complete(identity, owner, ANSWER, 3600);
}

async function withStep(ledger: Ledger): Promise<void> {
  const owner = crypto.randomUUID();
  await ledger.claim(IDENTITY, terms(owner));
  await ledger.checkpoint(IDENTITY, owner, "charge", { id: SECRET }, 60);
  await ledger.fail(IDENTITY, owner, { message: "later", status: 500 }, 3600);
}

/** The same ledger, in which somebody has changed every answer and step. */
function tampered(
  ledger: Ledger,
  { answer = (it) => it, step = (it) => it }: {
    answer?: (answer: Answer) => Answer;
    step?: (stored: Record<string, string>) => unknown;
  },
): Ledger {
  return {
    ...ledger,
    async claim(identity, terms) {
      const result = await ledger.claim(identity, terms);
      if (result.outcome === "replay") {
        return { ...result, answer: answer(result.answer) };
      }
      if (!("steps" in result)) return result;
      const steps = Object.entries(result.steps) as [
        string,
        Record<string, string>,
      ][];
      return {
        ...result,
        steps: Object.fromEntries(
          steps.map(([name, stored]) => [name, step(stored)]),
        ),
      };
    },
  };
}

const contract = ledgerContract(() => {
  let now = Date.now();
  const ledger = memoryLedger({ now: () => now });
  return {
    ledger: encrypted(ledger, { keys: [NEW, OLD] }),
    users: ["ada", "bob"],
    age: (seconds) => void (now += seconds * 1000),
  };
});
for (const { name, run } of contract) {
  Deno.test(`encrypted memory ledger: ${name}`, run);
}

Deno.test("an encrypted store lacks what the store below it lacks", () => {
  const { claim, renew, checkpoint, complete, fail, read } = memoryLedger();
  const bare = { claim, renew, checkpoint, complete, fail, read };
  for (const below of [bare, memoryLedger()]) {
    const { place: _, ...members } = encrypted(below, { keys: [NEW] });
    assertEquals(Object.keys(members).sort(), Object.keys(below).sort());
  }
});

Deno.test("the store sees the status, and nothing of body, headers and steps", async () => {
  const store = memoryLedger();
  const seen: string[] = [];
  const watched: Ledger = {
    ...store,
    complete(identity, owner, answer, ttl) {
      seen.push(new TextDecoder("latin1").decode(answer.body!));
      seen.push(JSON.stringify(answer.headers));
      assertEquals(answer.status, 201);
      assertEquals(answer.body?.length, SECRET.length + 28);
      return store.complete(identity, owner, answer, ttl);
    },
    checkpoint(identity, owner, step, result, lease) {
      seen.push(JSON.stringify(result));
      assertEquals(step, "charge");
      return store.checkpoint(identity, owner, step, result, lease);
    },
  };
  const ledger = encrypted(watched, { keys: [NEW] });
  await withStep(ledger);
  await completed(ledger);
  assertEquals(seen.length, 3);
  for (const text of seen) {
    assert(!text.includes(SECRET) && !text.includes("text/plain"), text);
    assert(!text.includes(btoa(SECRET)), text);
  }
  assertEquals(await ledger.read(IDENTITY), ANSWER);
});

Deno.test("of an answer with large headers that the store had no room for, where the result is can be read", async () => {
  const store = memoryLedger();
  const full: Ledger = {
    ...store,
    // As Postgres does; see 30_attempt.sql.
    complete(identity, owner, { status, headers: { location } }, ttl) {
      const isShort = location !== undefined && location.length <= 2000;
      const headers: Record<string, string> = isShort ? { location } : {};
      const answer = { status, headers, body: null };
      return store.complete(identity, owner, answer, ttl);
    },
  };
  const ledger = encrypted(full, { keys: [NEW, OLD] });
  for (const length of [10, 900, 1100, 20_000]) {
    const identity = { ...IDENTITY, key: `create-${length}` };
    const owner = crypto.randomUUID();
    const location = "/".repeat(length);
    const headers = { location, link: "<".repeat(16_000) };
    await ledger.claim(identity, terms(owner));
    await ledger.complete(identity, owner, { ...ANSWER, headers }, 3600);
    assertEquals(await ledger.read(identity), {
      status: ANSWER.status,
      headers: length < 1000 ? { location } : {},
      body: null,
    });
    const stored = await store.read(identity);
    const moved: Ledger = { ...store, read: () => Promise.resolve(stored) };
    await assertRejects(
      () => encrypted(moved, { keys: [NEW] }).read(IDENTITY),
      CiphertextInvalidError,
    );
  }
});

Deno.test("the same answer is encrypted anew each time", async () => {
  const store = memoryLedger();
  const ledger = encrypted(store, { keys: [NEW] });
  const other = { ...IDENTITY, key: "create-2" };
  await completed(ledger);
  await completed(ledger, other);
  const [one, two] = [await store.read(IDENTITY), await store.read(other)];
  assert(one!.body!.toHex() !== two!.body!.toHex());
});

Deno.test("a key that is no longer the first still decrypts", async () => {
  const store = memoryLedger();
  await withStep(encrypted(store, { keys: [OLD] }));
  const ledger = encrypted(store, { keys: [NEW, OLD] });
  const owner = crypto.randomUUID();
  const result = await ledger.claim(IDENTITY, terms(owner));
  assertEquals("steps" in result && result.steps, { charge: { id: SECRET } });
  await ledger.complete(IDENTITY, owner, ANSWER, 3600);
  const onlyNew = encrypted(store, { keys: [NEW] });
  assertEquals(await onlyNew.read(IDENTITY), ANSWER);
});

Deno.test("a key that is missing is named, with what to do", async () => {
  const store = memoryLedger();
  await completed(encrypted(store, { keys: [OLD] }));
  const error = await assertRejects(
    () => encrypted(store, { keys: [NEW] }).read(IDENTITY),
    EncryptionKeyMissingError,
    '"2026-11", which is not among the keys of encrypted(); add it',
  );
  assertEquals(error.keyId, "2026-11");
});

Deno.test("an attempt whose steps cannot be read fails, and is no crash", async () => {
  const store = memoryLedger();
  await withStep(encrypted(store, { keys: [OLD] }));
  const wrong = encrypted(store, { keys: [NEW] });
  for (let n = 0; n < 5; n++) {
    await assertRejects(
      () => wrong.claim(IDENTITY, terms(crypto.randomUUID())),
      EncryptionKeyMissingError,
    );
  }
  const right = encrypted(store, { keys: [NEW, OLD] });
  const result = await right.claim(IDENTITY, terms(crypto.randomUUID()));
  assertEquals(result.outcome, "claimed");
});

Deno.test("an attempt whose steps cannot be read does not run where the ledger goes down, either", async () => {
  const store = memoryLedger();
  await withStep(encrypted(store, { keys: [OLD] }));
  const fail = () =>
    Promise.reject(new LedgerUnavailableError("record the failure", "away"));
  const wrong = encrypted({ ...store, fail }, { keys: [NEW] });
  const error = await assertRejects(
    () => wrong.claim(IDENTITY, terms(crypto.randomUUID())),
    EncryptionKeyMissingError,
  );
  assertEquals(error.keyId, "2026-11");
});

const changes: Record<string, (answer: Answer) => Answer> = {
  "its status": (answer) => ({ ...answer, status: 200 }),
  "a bit of its body": (answer) => ({
    ...answer,
    body: answer.body!.map((byte, at) => at === 20 ? byte ^ 1 : byte),
  }),
  "the length of its body": (answer) => ({
    ...answer,
    body: answer.body!.slice(0, 10),
  }),
  "its envelope": (answer) => ({
    ...answer,
    headers: { "x-idempotency-encrypted": `${NEW.id}.AAAA` },
  }),
  "its envelope, to no base64": (answer) => ({
    ...answer,
    headers: { "x-idempotency-encrypted": `${NEW.id}.?` },
  }),
  "all of it, to plain": () => ANSWER,
};
for (const [what, answer] of Object.entries(changes)) {
  Deno.test(`an answer is refused when somebody changed ${what}`, async () => {
    const store = memoryLedger();
    await completed(encrypted(store, { keys: [NEW] }));
    const ledger = encrypted(tampered(store, { answer }), { keys: [NEW] });
    await assertRejects(
      () => ledger.claim(IDENTITY, terms(crypto.randomUUID())),
      CiphertextInvalidError,
      'the answer of the key "create-1"',
    );
  });
}

Deno.test("an answer or a half of it is refused under another identity", async () => {
  const store = memoryLedger();
  const ledger = encrypted(store, { keys: [NEW] });
  await completed(ledger);
  const first = await store.read(IDENTITY);
  for (
    const other of [
      { ...IDENTITY, userId: "bob" },
      { ...IDENTITY, userId: null },
      { ...IDENTITY, scope: "other" },
      { ...IDENTITY, key: "create-2" },
    ]
  ) {
    const moved: Ledger = { ...store, read: () => Promise.resolve(first) };
    await assertRejects(
      () => encrypted(moved, { keys: [NEW] }).read(other),
      CiphertextInvalidError,
    );
  }
  const second = { ...IDENTITY, key: "create-2" };
  await completed(ledger, second);
  const body = (await store.read(second))!.body;
  const mixed: Ledger = {
    ...store,
    read: () => Promise.resolve({ ...first!, body }),
  };
  await assertRejects(
    () => encrypted(mixed, { keys: [NEW] }).read(IDENTITY),
    CiphertextInvalidError,
  );
});

Deno.test("a step's result is refused under another name, and in plain", async () => {
  const store = memoryLedger();
  const keys = [NEW];
  await withStep(encrypted(store, { keys }));
  const claim = (ledger: Ledger) =>
    encrypted(ledger, { keys }).claim(IDENTITY, terms(crypto.randomUUID()));
  const renamed: Ledger = {
    ...store,
    async claim(identity, terms) {
      const result = await store.claim(identity, terms);
      if (!("steps" in result)) return result;
      return { ...result, steps: { refund: result.steps["charge"] } };
    },
  };
  await assertRejects(() => claim(renamed), CiphertextInvalidError, '"refund"');
  await assertRejects(
    () => claim(tampered(store, { step: () => ({ id: "forged" }) })),
    CiphertextInvalidError,
    "set acceptPlain",
  );
  assertEquals((await claim(store)).outcome, "claimed");
});

Deno.test("what is from before encryption is read where that is asked for", async () => {
  const store = memoryLedger();
  await withStep(store);
  const ledger = encrypted(store, { keys: [NEW], acceptPlain: true });
  const owner = crypto.randomUUID();
  const result = await ledger.claim(IDENTITY, terms(owner));
  assertEquals("steps" in result && result.steps, { charge: { id: SECRET } });
  await store.complete(IDENTITY, owner, ANSWER, 3600);
  assertEquals(await ledger.read(IDENTITY), ANSWER);
});

Deno.test("of a batch, only what cannot be read is refused", async () => {
  const store = memoryLedger();
  const second = { ...IDENTITY, key: "create-2" };
  await completed(encrypted(store, { keys: [OLD] }));
  await completed(encrypted(store, { keys: [NEW] }), second);
  const { fingerprint, ownerToken, metadata, ...rest } = terms(
    crypto.randomUUID(),
  );
  const [first, replayed] = await encrypted(store, { keys: [NEW] }).claimMany!(
    "ada",
    "keys",
    [IDENTITY, second].map(({ key }) => ({
      key,
      fingerprint,
      ownerToken,
      metadata,
    })),
    rest,
  );
  assertEquals(first?.outcome, "refused");
  assertInstanceOf("error" in first! && first.error, EncryptionKeyMissingError);
  assertEquals(replayed, { outcome: "replay", answer: ANSWER });
});

Deno.test("keys that are none are refused, and not shown", () => {
  const { secret } = NEW;
  for (
    const [keys, message] of [
      [[], "at least one key"],
      [[NEW, { ...OLD, id: NEW.id }], "each id once"],
      [[{ id: "a.b", secret }], 'the id "a.b"'],
      [[{ id: "a", secret: new Uint8Array(16) }], "got 16 bytes"],
      [[{ id: "a", secret: "not base64!" }], "got no base64"],
      [[{ id: "a", secret: "c2hvcnQ=" }], "got 5 bytes"],
    ] as const
  ) {
    const error = assertThrows(
      () => encrypted(memoryLedger(), { keys }),
      TypeError,
      message,
    );
    assert(!error.message.includes("c2hvcnQ"));
  }
  const text = secret.toBase64();
  encrypted(memoryLedger(), { keys: [{ id: "a", secret: text }] });
});
