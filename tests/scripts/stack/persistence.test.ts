import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { startStack } from "../../../scripts/stack/stack.ts";
import { openPglite } from "../../../scripts/stack/pglite.ts";
import { projectTemplate } from "../../../scripts/stack/pglite_template.ts";
import { FIXTURE, withStack } from "./each_database.ts";

Deno.test("The embedded database keeps data, keys and sessions over a restart", async () => {
  const dataDir = await Deno.makeTempDir();
  try {
    // As an interrupted first start would have left it.
    await Deno.mkdir(`${dataDir}/data`);
    await Deno.writeTextFile(`${dataDir}/data/PG_VERSION`, "17");

    let token = "";
    let keys: unknown;
    await withStack({ dataDir }, async (stack) => {
      ({ token } = await stack.signUp());
      keys = [stack.publishableKey, stack.secretKey];
      const response = await stack.call("/rest/v1/notes", {
        method: "POST",
        headers: { authorization: `Bearer ${token}` },
        body: JSON.stringify({ body: "kept" }),
      });
      assertEquals(response.status, 201);
      await response.body?.cancel();
    });
    await withStack({ dataDir }, async (stack) => {
      assertEquals([stack.publishableKey, stack.secretKey], keys);
      const response = await stack.call("/rest/v1/notes?select=body", {
        headers: { authorization: `Bearer ${token}` },
      });
      assertEquals(await response.json(), [{ body: "kept" }]);
    });
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("A second stack on the same folder is refused, and the folder left alone", async () => {
  const dataDir = await Deno.makeTempDir();
  try {
    const database = await openPglite(dataDir);
    const error = await assertRejects(
      () => startStack({ port: 0, dataDir, supabaseDir: FIXTURE }),
      Error,
    );
    assertMatch(error.message, /another stack is using it/);
    assertEquals(await database.query("select 1 as one"), [{ one: 1 }]);
    await database.close();
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
});

Deno.test("The embedded database leaves the program's exit code alone", async () => {
  assertEquals(Deno.exitCode, 0);
  const database = await openPglite();
  await assertRejects(() => database.query("select 1 / 0"));
  await assertRejects(() =>
    database.transaction(({ script }) => script("select 1 / 0"))
  );
  assertEquals(Deno.exitCode, 0);
  await database.close();
  assertEquals(Deno.exitCode, 0);
});

Deno.test("An embedded database that begins as a copy of an earlier one has keys of its own", async () => {
  const seen: string[] = [];
  for (let start = 0; start < 2; start++) {
    await withStack({ memory: true }, async (stack) => {
      const [row] = await stack.sql<{ keys: unknown; notes: number }>(
        `select keys, (select count(*)::integer from public.notes) as notes
         from local_stack.keys`,
      );
      assertEquals(row?.notes, 0);
      seen.push(stack.secretKey, JSON.stringify(row?.keys));
      const { token } = await stack.signUp();
      const response = await stack.call("/rest/v1/notes", {
        method: "POST",
        headers: { authorization: `Bearer ${token}` },
        body: JSON.stringify({ body: "not for the next" }),
      });
      assertEquals(response.status, 201);
      await response.body?.cancel();
    });
  }
  assertEquals(new Set(seen).size, 4);
});

Deno.test("What an embedded database is a copy of holds for the same migrations only, and takes the place of the last", async () => {
  const folder = await Deno.makeTempDir();
  const holding = (...texts: string[]) =>
    projectTemplate(
      FIXTURE,
      texts.map((sql) => ({ version: "1", name: "a", sql })),
      folder,
    );
  const read = async (...texts: string[]) =>
    await (await (await holding(...texts)).read())?.text();
  const keep = async (text: string, content: string) =>
    (await holding(text)).keep(() => Promise.resolve(new Blob([content])));
  try {
    await keep("select 1", "one");
    assertEquals(await read("select 1"), "one");
    assertEquals(await read("select 2"), undefined);
    assertEquals(await read("select 1", ""), undefined);
    await keep("select 2", "two");
    assertEquals(await read("select 1"), undefined);
    assertEquals(await read("select 2"), "two");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("A seed that failed is loaded once it is mended", async () => {
  const folder = await Deno.makeTempDir();
  const options = {
    port: 0,
    dataDir: `${folder}/data`,
    supabaseDir: `${folder}/supabase`,
    demo: false,
    seed: true,
  };
  const seeds = (second: string) =>
    Promise.all([
      Deno.writeTextFile(
        `${options.supabaseDir}/1.sql`,
        "insert into public.notes values (1);",
      ),
      Deno.writeTextFile(`${options.supabaseDir}/2.sql`, second),
    ]);
  const notes = async () => {
    const stack = await startStack(options);
    try {
      return await stack.sql("select id from public.notes order by id");
    } finally {
      await stack.close();
    }
  };
  try {
    await Deno.mkdir(`${options.supabaseDir}/migrations`, { recursive: true });
    await Deno.writeTextFile(
      `${options.supabaseDir}/config.toml`,
      `[db.seed]\nsql_paths = ["./*.sql"]\n`,
    );
    await Deno.writeTextFile(
      `${options.supabaseDir}/migrations/20260101000000_notes.sql`,
      "create table public.notes (id integer primary key);",
    );
    await seeds("insert into public.note values (2);");
    const error = await assertRejects(notes, Error);
    assertMatch(error.message, /^Cannot load .*2\.sql: .*note/);
    await seeds("insert into public.notes values (2);");
    assertEquals(await notes(), [{ id: 1 }, { id: 2 }]);
    // Once they are loaded, they are not loaded again.
    assertEquals(await notes(), [{ id: 1 }, { id: 2 }]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
