import { assertEquals } from "@std/assert";
import { passThrough } from "../../shared/idempotency/response.ts";

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
