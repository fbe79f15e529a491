import { assertEquals } from "@std/assert";
import { findPostgres, startCluster } from "../../scripts/cluster/postgres.ts";
import { call, type CallAnswer } from "../support/call.ts";
import { type Dev, startDev } from "../support/dev.ts";
import { DRAFT } from "../support/quotations.ts";
import { type Actor, signUp } from "../support/stack.ts";

interface Instance {
  dev: Dev;
  apiUrl: string;
  publishableKey: string;
}

async function start(
  url: string,
  env: Record<string, string> = {},
): Promise<Instance> {
  const dev = await startDev(["--port", "0", "--database-url", url], env);
  const settings = dev.settings();
  return {
    dev,
    apiUrl: settings.get("API_URL")!,
    publishableKey: settings.get("PUBLISHABLE_KEY")!,
  };
}

const create = (at: Instance, ada: Actor, key?: string): Promise<CallAnswer> =>
  call(at, ada, "quotations", {
    body: DRAFT,
    ...(key === undefined ? {} : { key }),
  });

const stop = ({ dev }: Instance) => dev.stop("SIGTERM");

Deno.test({
  name:
    "an answer is replayed by another instance and after a restart, and an instance is told what to enforce",
  ignore: findPostgres() === null,
  async fn() {
    const cluster = await startCluster();
    try {
      const one = await start(cluster.url);
      const two = await start(cluster.url);
      const ada = await signUp(one);
      const first = await create(one, ada, "order-17");
      const other = await create(two, ada, "order-17");
      assertEquals(
        [first.status, first.replayed, other.status, other.replayed],
        [201, false, 201, true],
      );
      assertEquals(other.body, first.body);

      // At once, at either: one runs, and nobody gets anything else.
      const answers = await Promise.all(
        Array.from(
          { length: 10 },
          (_, n) => create(n % 2 ? one : two, ada, "order-18"),
        ),
      );
      const made = answers.filter(({ status }) => status === 201);
      assertEquals(new Set(made.map(({ body }) => body.id)).size, 1);
      assertEquals(
        answers.filter(({ status }) => status !== 201)
          .every(({ body }) => body.code === "REQUEST_IN_PROGRESS"),
        true,
      );

      for (const instance of [one, two]) {
        assertEquals((await stop(instance)).code, 0);
      }
      const three = await start(cluster.url, {
        IDEMPOTENCY_ENFORCEMENT: "quotations=required",
      });
      const late = await create(three, ada, "order-17");
      assertEquals([late.status, late.replayed], [201, true]);
      assertEquals(late.body, first.body);
      const keyless = await create(three, ada);
      assertEquals([keyless.status, keyless.body.code], [
        400,
        "IDEMPOTENCY_KEY_MISSING",
      ]);
      const list = await call(three, ada, "quotations", { method: "GET" });
      assertEquals(list.body.quotations.length, 2);
      const { stderr } = await stop(three);
      assertEquals(stderr.trim().split("\n").map((line) => JSON.parse(line)), [{
        event: "IDEMPOTENCY_KEY_MISSING",
        scope: "quotations",
        enforcement: "required",
      }]);
    } finally {
      await cluster.close();
    }
  },
});
