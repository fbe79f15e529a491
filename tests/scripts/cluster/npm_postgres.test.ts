import { assertEquals } from "@std/assert";
import postgres from "postgres";
import {
  findPostgres,
  startCluster,
} from "../../../scripts/cluster/postgres.ts";
import { surviveLateWrites } from "../../support/late_writes.ts";

async function setting(url: string, name: string): Promise<unknown> {
  const sql = postgres(url, { max: 1 });
  try {
    const [row] = await sql.unsafe(`show ${name}`);
    return row?.[name];
  } finally {
    await sql.end();
  }
}

for (const version of [17, 18]) {
  Deno.test(`a cluster of Postgres ${version} starts, and starts again with its data`, async () => {
    const cluster = await startCluster({ version });
    try {
      const number = await setting(cluster.url, "server_version_num");
      assertEquals(Math.floor(Number(number) / 10_000), version);
      const sql = postgres(cluster.url, { max: 1 });
      await sql`create table kept (id int)`;
      await sql.end();
      await cluster.restart();
      const again = postgres(cluster.url, { max: 1 });
      assertEquals([...await again`select * from kept`], []);
      await again.end();
    } finally {
      await cluster.close();
    }
  });
}

Deno.test("a server that lost a process is started when it lets somebody in again", async () => {
  const settle = surviveLateWrites();
  const cluster = await startCluster({ version: 17 });
  try {
    for (let round = 1; round <= 3; round++) {
      const [lost, other] = [1, 2].map(() => postgres(cluster.url, { max: 1 }));
      const [process] = await lost!`select pg_backend_pid() as pid`;
      // Cut while it is still connecting, the driver would throw outside any call.
      await other!`select`;
      // The server ends all others when it has noticed.
      const noticed = other!`select pg_sleep(10)`.catch(() => {});
      // Sent, by the time that this is answered.
      await lost!`select pg_sleep(0.1)`;
      Deno.kill(process!["pid"], "SIGKILL");
      await noticed;
      await Promise.all([lost!, other!].map((sql) => sql.end({ timeout: 0 })));
      await cluster.start();
      assertEquals(
        await setting(cluster.url, "port"),
        new URL(cluster.url).port,
      );
    }
  } finally {
    await cluster.close();
    settle();
  }
});

Deno.test("a version that is nowhere to be had is not replaced by another", () => {
  assertEquals(findPostgres(14), null);
});
