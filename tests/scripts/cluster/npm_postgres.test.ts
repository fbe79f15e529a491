import { assertEquals } from "@std/assert";
import postgres from "postgres";
import {
  findPostgres,
  startCluster,
} from "../../../scripts/cluster/postgres.ts";

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

Deno.test("a version that is nowhere to be had is not replaced by another", () => {
  assertEquals(findPostgres(14), null);
});
