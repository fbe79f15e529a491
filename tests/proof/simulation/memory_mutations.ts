import type { Identity, Ledger } from "../../../shared/idempotency/ledger.ts";
import { nameOf } from "./call.ts";

/** Ways to get a ledger wrong, by what is wrong. */
export const memoryMutations: Record<string, (ledger: Ledger) => Ledger> = {
  "whoever completes is taken for the owner": (ledger) => {
    const owners = trackOwners(ledger);
    return {
      ...owners.ledger,
      complete: (identity, token, ...rest) =>
        ledger.complete(identity, owners.of(identity) ?? token, ...rest),
    };
  },
  "whoever fails is taken for the owner": (ledger) => {
    const owners = trackOwners(ledger);
    return {
      ...owners.ledger,
      fail: (identity, token, ...rest) =>
        ledger.fail(identity, owners.of(identity) ?? token, ...rest),
    };
  },
  "whoever renews renews the thief's lease": (ledger) => {
    const owners = trackOwners(ledger);
    return {
      ...owners.ledger,
      renew: (identity, token, ...rest) =>
        ledger.renew(identity, owners.of(identity) ?? token, ...rest),
    };
  },
  "all users share their keys": (ledger) =>
    mapIdentity(ledger, (identity) => ({ ...identity, userId: null })),
  "all scopes share their keys": (ledger) =>
    mapIdentity(ledger, (identity) => ({ ...identity, scope: "orders" })),
  "the payload is not compared": (ledger) => ({
    ...ledger,
    claim: (identity, request) =>
      ledger.claim(identity, { ...request, fingerprint: "" }),
  }),
  "an abandoned key is taken over although the policy refuses": (ledger) => ({
    ...ledger,
    claim: (identity, request) =>
      ledger.claim(identity, { ...request, onAbandoned: "retry" }),
  }),
  "a lease lasts no time": (ledger) => ({
    ...ledger,
    claim: (identity, request) =>
      ledger.claim(identity, { ...request, leaseSeconds: 0 }),
  }),
  "a lease never lapses: a crash leaves the key blocked": (ledger) => ({
    ...ledger,
    claim: (identity, request) =>
      ledger.claim(identity, { ...request, leaseSeconds: 1e9 }),
  }),
  "a claim sent again is taken for a stranger's": (ledger) => ({
    ...ledger,
    claim: (identity, request) =>
      ledger.claim(identity, { ...request, ownerToken: crypto.randomUUID() }),
  }),
  "steps are forgotten at a takeover": (ledger) => ({
    ...ledger,
    async claim(identity, request) {
      const result = await ledger.claim(identity, request);
      return result.outcome === "claimed" ? { ...result, steps: {} } : result;
    },
  }),
  "a step's later result replaces the first": (ledger) => ({
    ...ledger,
    async claim(identity, request) {
      const result = await ledger.claim(identity, request);
      if (result.outcome !== "claimed") return result;
      const steps = Object.fromEntries(
        Object.keys(result.steps).map((name) => [name, request.ownerToken]),
      );
      return { ...result, steps };
    },
  }),
  "completing says recorded and records nothing": (ledger) => ({
    ...ledger,
    complete: () => Promise.resolve({ outcome: "recorded" }),
  }),
  "an answer without a body is replayed with an empty one": (ledger) => ({
    ...ledger,
    async claim(identity, request) {
      const result = await ledger.claim(identity, request);
      if (result.outcome !== "replay") return result;
      const body = result.answer.body ?? new Uint8Array();
      return { ...result, answer: { ...result.answer, body } };
    },
  }),
  "seconds are taken for milliseconds": (ledger) => ({
    ...ledger,
    claim: (identity, request) =>
      ledger.claim(identity, {
        ...request,
        leaseSeconds: request.leaseSeconds / 1000,
        ttlSeconds: request.ttlSeconds / 1000,
      }),
  }),
};

function trackOwners(ledger: Ledger) {
  const owners = new Map<string, string>();
  const tracked: Ledger = {
    ...ledger,
    async claim(identity, request) {
      const result = await ledger.claim(identity, request);
      if (result.outcome === "claimed") {
        owners.set(nameOf(identity), request.ownerToken);
      }
      return result;
    },
  };
  return { ledger: tracked, of: (id: Identity) => owners.get(nameOf(id)) };
}

function mapIdentity(
  ledger: Ledger,
  map: (identity: Identity) => Identity,
): Ledger {
  return {
    ...ledger,
    claim: (id, ...rest) => ledger.claim(map(id), ...rest),
    renew: (id, ...rest) => ledger.renew(map(id), ...rest),
    checkpoint: (id, ...rest) => ledger.checkpoint(map(id), ...rest),
    complete: (id, ...rest) => ledger.complete(map(id), ...rest),
    fail: (id, ...rest) => ledger.fail(map(id), ...rest),
    read: (id) => ledger.read(map(id)),
  };
}
