import { assertEquals, assertRejects } from "@std/assert";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { IdempotencyProblemError } from "../../shared/client.ts";
import { codeBlocks, importBlock } from "../support/documented.ts";

type Pay = (payment: { amount: number }, key: string) => Promise<unknown>;

/** What a press of the guide's form does, with TanStack Query below it. */
async function queriedPayment(pay: Pay): Promise<() => Promise<unknown>> {
  const block = (await codeBlocks("recipes/react.md", "ts"))
    .find((code) => code.includes("useQueriedPayment"));
  const { useQueriedPayment } = await importBlock(block!);
  let press: (() => Promise<unknown>) | undefined;
  const Form = () => {
    const { mutateAsync } = useQueriedPayment(pay);
    press = () => mutateAsync({ amount: 5 });
    return null;
  };
  const client = new QueryClient({
    // As an app may set it for all of its mutations.
    defaultOptions: { mutations: { retry: 3, retryDelay: 1, gcTime: 0 } },
  });
  renderToString(
    createElement(QueryClientProvider, { client }, createElement(Form)),
  );
  return press!;
}

function refusal(status: number, code: string): IdempotencyProblemError {
  const body = JSON.stringify({ code, retryable: status >= 500 });
  return new IdempotencyProblemError(new Response(body, { status }), body);
}

Deno.test("with TanStack Query a payment that was refused for good is not sent again under another key", async () => {
  for (const code of ["IDEMPOTENCY_KEY_REUSED", "CARD_DECLINED"]) {
    const keys: string[] = [];
    const press = await queriedPayment((_payment, key) => {
      keys.push(key);
      return Promise.reject(refusal(422, code));
    });
    await assertRejects(press, IdempotencyProblemError);
    assertEquals(keys.length, 1, code);
  }
});

Deno.test("with TanStack Query a lost answer is asked for again under the same key, by the next press", async () => {
  const keys: string[] = [];
  const press = await queriedPayment((_payment, key) => {
    keys.push(key);
    return keys.length === 1
      ? Promise.reject(new TypeError("the network is down"))
      : keys.length === 2
      ? Promise.reject(refusal(503, "LEDGER_UNAVAILABLE"))
      : Promise.resolve({ paid: 5 });
  });
  await assertRejects(press, TypeError);
  await assertRejects(press, IdempotencyProblemError);
  assertEquals(await press(), { paid: 5 });
  assertEquals([keys.length, new Set(keys).size], [3, 1]);
});

Deno.test("with TanStack Query a form that is pressed again as soon as its answer was lost pays once", async () => {
  const keys: string[] = [];
  const press = await queriedPayment((_payment, key) => {
    keys.push(key);
    return keys.length === 1
      ? Promise.reject(new TypeError("the network is down"))
      : Promise.resolve({ paid: 5 });
  });
  const first = press().catch(() => {});
  while (keys.length < 1) await Promise.resolve();
  // Until the first try is known to have failed.
  for (let n = 0; n < 20; n++) await Promise.resolve();
  assertEquals(await press(), { paid: 5 });
  await first;
  assertEquals(new Set(keys).size, 1);
});
