import { KeyMissingError } from "./errors.ts";
import { type IdempotencyEvent, tell } from "./event.ts";
import { platform } from "./platform.ts";
import { expose } from "./response.ts";

/** What a POST, PUT or PATCH without a key gets. */
export type Enforcement = "optional" | "warn" | "required";

export const MODES: readonly string[] = ["optional", "warn", "required"];

/** Which enforcement the environment sets, by scope; `"*"` is every scope. */
export type EnforcementOverrides = ReadonlyMap<string, Enforcement>;

const VARIABLE = "IDEMPOTENCY_ENFORCEMENT";
const NONE: EnforcementOverrides = new Map();

/**
 * Reads the value of `IDEMPOTENCY_ENFORCEMENT`: one mode for every scope, or
 * `scope=mode` separated by commas. A scope stands for those below it too
 * (`orders` for `orders/:id`), and `*` for all.
 *
 * @throws {TypeError} When a part of it is malformed, or a scope occurs twice;
 * half of an intended change is not made.
 *
 * @example
 * ```ts
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { parseEnforcement } from "./enforcement.ts";
 *
 * assertEquals([...parseEnforcement("warn")], [["*", "warn"]]);
 * assertEquals(
 *   parseEnforcement("orders=required, *=warn").get("orders"),
 *   "required",
 * );
 * assertThrows(() => parseEnforcement("orders=always"), TypeError);
 * ```
 */
export function parseEnforcement(text: string): EnforcementOverrides {
  const overrides = new Map<string, Enforcement>();
  if (text.trim() === "") return overrides;
  for (const part of text.split(",")) {
    const at = part.indexOf("=");
    const scope = at < 0 ? "*" : part.slice(0, at).trim();
    const mode = part.slice(at + 1).trim();
    if (scope === "" || !isMode(mode)) {
      throw new TypeError(
        `Cannot use ${VARIABLE}: found "${part.trim()}", expected optional, warn or required, or scope=mode with one of these, separated by commas`,
      );
    }
    if (overrides.has(scope)) {
      throw new TypeError(
        `Cannot use ${VARIABLE}: it sets "${scope}" twice`,
      );
    }
    overrides.set(scope, mode);
  }
  return overrides;
}

/**
 * The enforcement of a scope: the environment's where it has one for it, else
 * the code's. Of several that fit the most specific holds.
 *
 * @param configured What the code says.
 */
export function enforcementOf(
  scope: string,
  configured: Enforcement,
): Enforcement {
  const overrides = readOverrides();
  if (overrides.size === 0) return configured;
  for (let name = scope; name !== "";) {
    const found = overrides.get(name);
    if (found !== undefined) return found;
    name = name.slice(0, Math.max(0, name.lastIndexOf("/")));
  }
  return overrides.get("*") ?? configured;
}

let lastText: string | undefined;
let lastOverrides = NONE;

// Asked at each request, because that costs a microsecond and holds wherever
// secrets reach a worker that already runs; parsed and reported when it changed.
function readOverrides(): EnforcementOverrides {
  const text = platform.environment(VARIABLE);
  if (text === lastText) return lastOverrides;
  lastText = text;
  try {
    lastOverrides = text === undefined ? NONE : parseEnforcement(text);
  } catch (error) {
    // A slip of the pen takes no route down; what the code says goes on.
    lastOverrides = NONE;
    const { message } = error as Error;
    platform.log(`${message}; until then each route's own enforcement holds`);
  }
  return lastOverrides;
}

function isMode(mode: string): mode is Enforcement {
  return MODES.includes(mode);
}

/**
 * Admits a request without a key, or not, as the environment says or else the
 * code. For functions that call the ledger themselves; `withIdempotency` does
 * it by itself.
 *
 * @param configured What the code says.
 * @param onEvent Told of the request, with the outcome `missing`.
 * @param what What the route wants to be sent, in words.
 * @returns Marks the answer with `X-Idempotency-Missing: true` where clients
 * are to be warned, and else gives it back as it is.
 * @throws {KeyMissingError} Where a key is required.
 *
 * @example
 * ```ts
 * import { assertEquals, assertThrows } from "@std/assert";
 * import { KeyMissingError } from "./errors.ts";
 * import { admitWithoutKey } from "./enforcement.ts";
 *
 * const mark = admitWithoutKey("orders", "warn");
 * const answer = mark(new Response("done"));
 * assertEquals(answer.headers.get("X-Idempotency-Missing"), "true");
 * assertThrows(() => admitWithoutKey("orders", "required"), KeyMissingError);
 * ```
 */
export function admitWithoutKey(
  scope: string,
  configured: Enforcement,
  onEvent?: (event: IdempotencyEvent) => void,
  what?: string,
): (answer: Response) => Response {
  return isToBeWarned(scope, configured, onEvent, what)
    ? markMissing
    : (answer) => answer;
}

/**
 * Whether the answer to a request without a key is to warn. Tells `onEvent` of
 * it; the log too, unless keys are optional: from these lines a team sees when
 * it can require them.
 *
 * @throws {KeyMissingError} Where a key is required.
 */
export function isToBeWarned(
  scope: string,
  configured: Enforcement,
  onEvent: ((event: IdempotencyEvent) => void) | undefined,
  what?: string,
): boolean {
  const enforcement = enforcementOf(scope, configured);
  if (enforcement !== "optional") {
    const event = "IDEMPOTENCY_KEY_MISSING";
    console.warn(JSON.stringify({ event, scope, enforcement }));
  }
  const none = { keyHash: "", durationMs: 0, attempt: 0 };
  tell(onEvent, { outcome: "missing", scope, ...none });
  if (enforcement === "required") throw new KeyMissingError(what);
  return enforcement === "warn";
}

function markMissing(answer: Response): Response {
  const marked = new Response(answer.body, answer);
  marked.headers.set("X-Idempotency-Missing", "true");
  return expose(marked);
}
