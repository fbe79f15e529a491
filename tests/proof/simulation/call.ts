import type {
  Answer,
  Claimed,
  ClaimResult,
  ClaimTerms,
  Identity,
  Ledger,
  SettleResult,
} from "../../../shared/idempotency/ledger.ts";

/** A call of the ledger's port, as it travels. */
export type Call =
  & { readonly identity: Identity }
  & (
    | { readonly method: "claim"; readonly terms: ClaimTerms }
    | {
      readonly method: "renew";
      readonly ownerToken: string;
      readonly leaseSeconds: number;
    }
    | {
      readonly method: "checkpoint";
      readonly ownerToken: string;
      readonly step: string;
      readonly result: Readonly<Record<string, unknown>>;
      readonly leaseSeconds: number;
    }
    | {
      readonly method: "complete";
      readonly ownerToken: string;
      readonly answer: Answer;
      readonly ttlSeconds: number;
    }
    | {
      readonly method: "fail";
      readonly ownerToken: string;
      readonly ttlSeconds: number;
    }
    | { readonly method: "read" }
  );

/** What a {@link Call} came back with; of `read`, the answer under `read`. */
export type Result =
  | ClaimResult
  | SettleResult
  | { readonly outcome: "read"; readonly read: Answer | null };

/** Makes a call. */
export async function callLedger(ledger: Ledger, call: Call): Promise<Result> {
  const { identity } = call;
  switch (call.method) {
    case "claim":
      return await ledger.claim(identity, call.terms);
    case "renew":
      return await ledger.renew(identity, call.ownerToken, call.leaseSeconds);
    case "checkpoint":
      return await ledger.checkpoint(
        identity,
        call.ownerToken,
        call.step,
        call.result,
        call.leaseSeconds,
      );
    case "complete":
      return await ledger.complete(
        identity,
        call.ownerToken,
        call.answer,
        call.ttlSeconds,
      );
    case "fail":
      return await ledger.fail(
        identity,
        call.ownerToken,
        { message: "it did not work", status: null },
        call.ttlSeconds,
      );
    case "read":
      return { outcome: "read", read: await ledger.read(identity) };
  }
}

/** Whether the caller holds the key. */
export function isGranted(result: Result): result is Claimed {
  return result.outcome === "claimed" || result.outcome === "taken_over";
}

/** The token that a call acts for; `null` for a read. */
export function tokenOf(call: Call): string | null {
  if (call.method === "read") return null;
  return call.method === "claim" ? call.terms.ownerToken : call.ownerToken;
}

/** A name for an identity, usable as a key of a map. */
export function nameOf({ userId, scope, key }: Identity): string {
  return `${userId?.slice(-1) ?? "project"}/${scope}/${key}`;
}
