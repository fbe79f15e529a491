import { assertEquals } from "@std/assert";
import {
  MAX_STORED_BYTES,
  passThrough,
} from "../../shared/idempotency/response.ts";

// What is under way takes a turn or two of the event loop.
const aMoment = () => new Promise((resolve) => setTimeout(resolve, 20));

Deno.test("passThrough() takes a body that is left while it waits for more for aborted, never for ended", async () => {
  const ends: string[] = [];
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new Uint8Array(1)),
  });
  const reader = passThrough(body, {
    ended: () => Promise.resolve(void ends.push("ended")),
    aborted: (reason) => Promise.resolve(void ends.push(`aborted: ${reason}`)),
  }).getReader();
  await reader.read();
  const pending = reader.read();
  await aMoment();
  await reader.cancel("the client left");
  assertEquals((await pending).done, true);
  await aMoment();
  assertEquals(ends, ["aborted: the client left"]);
});

Deno.test("passThrough() takes a body that is left while its end is recorded for ended, never for aborted", async () => {
  const ends: string[] = [];
  const recorded = Promise.withResolvers<void>();
  const reader = passThrough(ReadableStream.from([new Uint8Array(1)]), {
    ended: async () => {
      await recorded.promise;
      ends.push("ended");
    },
    aborted: (reason) => Promise.resolve(void ends.push(`aborted: ${reason}`)),
  }).getReader();
  await reader.read();
  await aMoment();
  await reader.cancel("the client has read all that it needs");
  recorded.resolve();
  await aMoment();
  assertEquals(ends, ["ended"]);
});

Deno.test("passThrough() collects a body of the most bytes that are kept, and of one more none", async () => {
  for (const [more, kept] of [[0, MAX_STORED_BYTES], [1, null]] as const) {
    const parts = [new Uint8Array(MAX_STORED_BYTES - 1), new Uint8Array(1)];
    if (more > 0) parts.push(new Uint8Array(more));
    let collected: number | null | undefined;
    const passed = passThrough(ReadableStream.from(parts), {
      ended: (body) =>
        Promise.resolve(void (collected = body && body.byteLength)),
      aborted: () => Promise.resolve(),
    });
    const { byteLength } = await new Response(passed).bytes();
    assertEquals(byteLength, MAX_STORED_BYTES + more);
    assertEquals(collected, kept);
  }
});
