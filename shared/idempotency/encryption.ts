import { bytesOfBase64, toBase64 } from "./body.ts";
import { bytesToHex, sha256 } from "./deps.ts";
import { IdempotencyError } from "./errors.ts";
import {
  type Answer,
  type Claimed,
  type ClaimResult,
  type Identity,
  isRefused,
  type Ledger,
  placeOf,
  type Refused,
  type Settlement,
  type SettleResult,
} from "./ledger.ts";

/** A key that answers and step results are encrypted with. */
export interface EncryptionKey {
  /** Kept with what the key encrypts: 1–64 letters, digits, `-` or `_`. */
  readonly id: string;
  /** 32 random bytes, or base64 of them: `openssl rand -base64 32`. */
  readonly secret: string | Uint8Array<ArrayBuffer>;
}

/** Options of {@link encrypted}. */
export interface EncryptionOptions {
  /**
   * The first encrypts, all decrypt. To change keys add the new one as the
   * second, so that every instance can read it; then put it first, and take the
   * old one out once what it encrypted has expired. A key is good for four
   * thousand million answers and steps (NIST SP 800-38D, 8.3).
   */
  readonly keys: readonly EncryptionKey[];
  /**
   * Whether to believe what is stored in plain, from before encryption was
   * turned on. Turn it off again once that has expired: whoever can write to
   * the store could otherwise forge it.
   *
   * @default {false}
   */
  readonly acceptPlain?: boolean | undefined;
}

/** What is stored was encrypted with a key that is not among those given. */
export class EncryptionKeyMissingError extends IdempotencyError {
  override readonly name = "EncryptionKeyMissingError";
  /** The id of the missing key. */
  readonly keyId: string;
  constructor(what: string, keyId: string) {
    super(
      "LEDGER_MISCONFIGURED",
      `Cannot decrypt ${what}: it was encrypted with the key "${keyId}", which is not among the keys of encrypted(); add it after the first until all that it encrypted has expired`,
    );
    this.keyId = keyId;
  }
}

/** What is stored is not what was encrypted, or not for this identity. */
export class CiphertextInvalidError extends IdempotencyError {
  override readonly name = "CiphertextInvalidError";
  constructor(message: string, options?: ErrorOptions) {
    super("LEDGER_MISCONFIGURED", message, options);
  }
}

// A header of a stored answer, a member of a stored step: the id of the key, a
// dot, base64. No answer has a header of this name: those are not stored.
const ENVELOPE = "x-idempotency-encrypted";

// Where a user has no room left, Postgres keeps of headers above 16 KiB a
// `location` of up to 2,000 characters alone (30_attempt.sql): so large ones
// come with a second, small envelope in its place.
const AS_LOCATION = `${ENVELOPE}:`;
const LARGE_ENVELOPE = 16_000;
const MOST_OF_LOCATION = 1_000;

const IV_BYTES = 12;
const TAG_BYTES = 16;

/**
 * A ledger whose answers and step results are unreadable in the store:
 * AES-256-GCM, for those who may not keep, say, a secret that is shown once.
 *
 * The bodies and headers of answers and the results of steps are encrypted,
 * each bound to its user, scope, key and status or step: a row that is moved to
 * another user is refused. The id of the key is stored with them. In plain stay
 * status codes, times and counts, so statistics are not affected; the keys
 * themselves, scopes, user ids, fingerprints and names of steps; and the
 * messages of failures and the metadata, which are for people.
 *
 * An answer takes 28 bytes more, and does not compress.
 *
 * What cannot be decrypted is never run a second time and never answered: the
 * call throws. An attempt that was granted together with such steps fails
 * without having run anything.
 *
 * @throws {TypeError} When there is no key, or one is malformed.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { encrypted } from "./encryption.ts";
 * import { memoryLedger } from "./memory_ledger.ts";
 *
 * const secret = crypto.getRandomValues(new Uint8Array(32));
 * const store = memoryLedger();
 * const ledger = encrypted(store, { keys: [{ id: "2026-12", secret }] });
 *
 * const identity = { userId: "u1", scope: "keys", key: "create-1" };
 * const ownerToken = crypto.randomUUID();
 * await ledger.claim(identity, {
 *   fingerprint: "0".repeat(64),
 *   ownerToken,
 *   leaseSeconds: 60,
 *   ttlSeconds: 3600,
 *   onAbandoned: "retry",
 *   maxAttempts: 5,
 *   metadata: null,
 * });
 * const body = new TextEncoder().encode("sk_live_1");
 * const answer = { status: 201, headers: {}, body };
 * await ledger.complete(identity, ownerToken, answer, 3600);
 * assertEquals(await ledger.read(identity), answer);
 * assertEquals((await store.read(identity))?.status, 201);
 * assertEquals((await store.read(identity))?.body?.length, 9 + 28);
 * ```
 */
export function encrypted(ledger: Ledger, options: EncryptionOptions): Ledger {
  const box = boxOf(options.keys);
  const acceptPlain = options.acceptPlain ?? false;

  const sealAnswer = async (
    identity: Identity,
    { status, headers, body }: Answer,
  ): Promise<Answer> => {
    const bound = ["answer", status, ...nameOf(identity)];
    const envelope = await box.sealJson(headers, bound);
    const sealed: Record<string, string> = {
      [ENVELOPE]: envelope,
      "content-encoding": "aes256gcm",
    };
    if (envelope.length > LARGE_ENVELOPE) {
      const { location } = headers;
      const left = json(location).length <= MOST_OF_LOCATION
        ? { location }
        : {};
      sealed["location"] = AS_LOCATION + await box.sealJson(left, bound);
    }
    return {
      status,
      headers: sealed,
      // By its envelope it belongs to all that the envelope belongs to.
      body: body && await box.seal(body, [envelope]),
    };
  };

  const openAnswer = async (
    identity: Identity,
    { status, headers, body }: Answer,
  ): Promise<Answer> => {
    const what = `the answer of the key "${identity.key}"`;
    const envelope = headers[ENVELOPE] ??
      headers["location"]?.split(AS_LOCATION)[1];
    if (envelope === undefined) return plain(what, { status, headers, body });
    const bound = ["answer", status, ...nameOf(identity)];
    return {
      status,
      headers: await box.openJson(what, envelope, bound) as Answer["headers"],
      body: body && await box.open(what, keyIdOf(envelope), body, [envelope]),
    };
  };

  const openStep = async (
    identity: Identity,
    step: string,
    stored: unknown,
  ): Promise<unknown> => {
    const what = `the step "${step}" of the key "${identity.key}"`;
    const envelope = envelopeOf(stored);
    if (envelope === undefined) return plain(what, stored);
    const bound = ["step", step, ...nameOf(identity)];
    return await box.openJson(what, envelope, bound);
  };

  const plain = <T>(what: string, stored: T): T => {
    if (acceptPlain) return stored;
    throw new CiphertextInvalidError(
      `Cannot trust ${what}: it is stored in plain; if it is from before encryption was turned on, set acceptPlain until it has expired`,
    );
  };

  const settled = async (
    identity: Identity,
    result: SettleResult,
  ): Promise<SettleResult> =>
    result.outcome === "replay"
      ? { ...result, answer: await openAnswer(identity, result.answer) }
      : result;

  const granted = async (
    identity: Identity,
    result: Claimed,
  ): Promise<Claimed> => {
    const steps = Object.entries(result.steps).map(async ([name, stored]) =>
      [name, await openStep(identity, name, stored)] as const
    );
    return { ...result, steps: Object.fromEntries(await Promise.all(steps)) };
  };

  const claimed = async (
    identity: Identity,
    terms: { readonly ownerToken: string; readonly ttlSeconds: number },
    result: ClaimResult,
  ): Promise<ClaimResult> => {
    if (result.outcome === "replay") {
      return { ...result, answer: await openAnswer(identity, result.answer) };
    }
    if (!("fence" in result)) return result;
    try {
      return await granted(identity, result);
    } catch (error) {
      // Nothing has run. Left alone, the attempt would count as crashed.
      const failure = { message: String(error), status: null };
      const { ownerToken, ttlSeconds } = terms;
      // What cannot be read is why it does not run, whatever becomes of this.
      await ledger.fail(identity, ownerToken, failure, ttlSeconds)
        .catch(() => {});
      throw error;
    }
  };

  const sealSettlement = async (
    { userId, scope }: Omit<Identity, "key">,
    settlement: Settlement,
  ): Promise<Settlement> => {
    if (!("answer" in settlement)) return settlement;
    const identity = { userId, scope, key: settlement.key };
    return {
      ...settlement,
      answer: await sealAnswer(identity, settlement.answer),
    };
  };

  return {
    place: `${ledger.place ?? placeOf(ledger)} ${acceptPlain} ${box.digest}`,

    async claim(identity, terms) {
      const result = await ledger.claim(identity, terms);
      return await claimed(identity, terms, result);
    },

    async renew(identity, ...rest) {
      return await settled(identity, await ledger.renew(identity, ...rest));
    },

    async checkpoint(identity, ownerToken, step, result, leaseSeconds) {
      const bound = ["step", step, ...nameOf(identity)];
      const sealed = { [ENVELOPE]: await box.sealJson(result ?? null, bound) };
      const recorded = await ledger
        .checkpoint(identity, ownerToken, step, sealed, leaseSeconds);
      return await settled(identity, recorded);
    },

    async complete(identity, ownerToken, answer, ttlSeconds) {
      const sealed = await sealAnswer(identity, answer);
      return await settled(
        identity,
        await ledger.complete(identity, ownerToken, sealed, ttlSeconds),
      );
    },

    async fail(identity, ...rest) {
      return await settled(identity, await ledger.fail(identity, ...rest));
    },

    async read(identity) {
      const answer = await ledger.read(identity);
      return answer && await openAnswer(identity, answer);
    },

    ...ledger.claimMany && {
      async claimMany(userId, scope, requests, terms) {
        const results = await ledger
          .claimMany!(userId, scope, requests, terms);
        return await each(results, (result, place) => {
          const { key, ownerToken } = requests[place]!;
          const { ttlSeconds } = terms;
          return claimed(
            { userId, scope, key },
            { ownerToken, ttlSeconds },
            result,
          );
        });
      },
    } satisfies Partial<Ledger>,

    ...ledger.settleMany && {
      async settleMany(userId, scope, settlements, ttlSeconds) {
        const sealed = await Promise.all(
          settlements.map((one) => sealSettlement({ userId, scope }, one)),
        );
        const results = await ledger
          .settleMany!(userId, scope, sealed, ttlSeconds);
        return await each(results, (result, place) => {
          const { key } = settlements[place]!;
          return settled({ userId, scope, key }, result);
        });
      },
    } satisfies Partial<Ledger>,

    // What holds no answer is left to the ledger below.
    ...ledger.status && {
      status: (identity) => ledger.status!(identity),
    } satisfies Partial<Ledger>,
    ...ledger.deleteExpired && {
      deleteExpired: () => ledger.deleteExpired!(),
    } satisfies Partial<Ledger>,
    ...ledger.notify && {
      notify: (identity) => ledger.notify!(identity),
    } satisfies Partial<Ledger>,
    ...ledger.countReplays && {
      countReplays: (...args) => ledger.countReplays!(...args),
    } satisfies Partial<Ledger>,
  };
}

/** Opens each result of a batch; what cannot be opened is refused by itself. */
function each<R extends { readonly outcome: string }>(
  results: readonly (R | Refused)[],
  open: (result: R, place: number) => Promise<R>,
): Promise<(R | Refused)[]> {
  return Promise.all(results.map(async (result, place) => {
    if (isRefused(result)) return result;
    try {
      return await open(result, place);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return { outcome: "refused", error } as const;
    }
  }));
}

/** Encrypts and decrypts; each ciphertext is bound to what it belongs to. */
function boxOf(keys: readonly EncryptionKey[]) {
  const secrets = new Map(keys.map(({ id, secret }) => [
    checkedId(id),
    checkedSecret(id, secret),
  ]));
  const [first] = keys;
  if (first === undefined || secrets.size !== keys.length) {
    throw new TypeError(
      `Cannot encrypt the ledger: "keys" must hold at least one key, and each id once, got ${
        JSON.stringify(keys.map(({ id }) => id))
      }`,
    );
  }

  const imported = new Map<string, Promise<CryptoKey>>();
  const keyOf = async (what: string, id: string): Promise<CryptoKey> => {
    const secret = secrets.get(id);
    if (secret === undefined) throw new EncryptionKeyMissingError(what, id);
    const uses: KeyUsage[] = ["encrypt", "decrypt"];
    const key = imported.get(id) ??
      crypto.subtle.importKey("raw", secret, "AES-GCM", false, uses);
    imported.set(id, key);
    return await key;
  };

  const box = {
    /** What these keys and no others have in common. */
    digest: bytesToHex(sha256(json([...secrets].map(([id, secret]) => [
      id,
      toBase64(secret),
    ])))),
    async seal(data: Uint8Array, bound: readonly unknown[]) {
      const key = await keyOf("an answer or step", first.id);
      const sealed = new Uint8Array(IV_BYTES + data.byteLength + TAG_BYTES);
      const iv = crypto.getRandomValues(sealed.subarray(0, IV_BYTES));
      const algorithm = { name: "AES-GCM", iv, additionalData: json(bound) };
      // Typed as it may be shared memory, which no body is.
      const bytes = data as Uint8Array<ArrayBuffer>;
      const secret = await crypto.subtle.encrypt(algorithm, key, bytes);
      sealed.set(new Uint8Array(secret), IV_BYTES);
      return sealed;
    },
    async open(
      what: string,
      keyId: string,
      sealed: Uint8Array,
      bound: readonly unknown[],
    ) {
      const key = await keyOf(what, keyId);
      const bytes = sealed as Uint8Array<ArrayBuffer>;
      const iv = bytes.subarray(0, IV_BYTES);
      const algorithm = { name: "AES-GCM", iv, additionalData: json(bound) };
      try {
        const data = bytes.subarray(IV_BYTES);
        return new Uint8Array(
          await crypto.subtle.decrypt(algorithm, key, data),
        );
      } catch (cause) {
        throw invalid(what, cause);
      }
    },
    async sealJson(value: unknown, bound: readonly unknown[]) {
      return `${first.id}.${toBase64(await box.seal(json(value), bound))}`;
    },
    async openJson(what: string, envelope: string, bound: readonly unknown[]) {
      const keyId = keyIdOf(envelope);
      let sealed: Uint8Array;
      try {
        sealed = bytesOfBase64(envelope.slice(keyId.length + 1));
      } catch (cause) {
        throw invalid(what, cause);
      }
      const opened = await box.open(what, keyId, sealed, bound);
      return JSON.parse(new TextDecoder().decode(opened)) as unknown;
    },
  };
  return box;
}

function invalid(what: string, cause: unknown): CiphertextInvalidError {
  return new CiphertextInvalidError(
    `Cannot decrypt ${what}: it was changed in the store, or belongs to another user, scope, key, status or step; look for who can write to the store`,
    { cause },
  );
}

function keyIdOf(envelope: string): string {
  return envelope.split(".", 1)[0]!;
}

function envelopeOf(stored: unknown): string | undefined {
  if (typeof stored !== "object" || stored === null) return undefined;
  const { [ENVELOPE]: envelope, ...rest } = stored as Record<string, unknown>;
  const isEnvelope = typeof envelope === "string" &&
    Object.keys(rest).length === 0;
  return isEnvelope ? envelope : undefined;
}

function nameOf({ userId, scope, key }: Identity): readonly unknown[] {
  return [userId, scope, key];
}

function json(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value));
}

function checkedId(id: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(id)) return id;
  throw new TypeError(
    `Cannot use an encryption key with the id "${id}": use 1 to 64 letters, digits, "-" or "_"`,
  );
}

function checkedSecret(
  id: string,
  secret: EncryptionKey["secret"],
): Uint8Array<ArrayBuffer> {
  let bytes: Uint8Array | undefined;
  try {
    bytes = typeof secret === "string" ? bytesOfBase64(secret) : secret;
  } catch {
    // Not base64; the message must not show it.
  }
  // A copy: the caller may wipe its own.
  if (bytes?.byteLength === 32) return new Uint8Array(bytes);
  throw new TypeError(
    `Cannot use the encryption key "${id}": its secret must be 32 bytes or base64 of them, got ${
      bytes === undefined ? "no base64" : `${bytes.byteLength} bytes`
    }`,
  );
}
