import { assertEquals, assertRejects } from "@std/assert";
import { readSettings } from "../../../scripts/stack/settings.ts";

Deno.test("A project is served by config.json or config.jsonc where it has one, as by the Supabase CLI", async () => {
  const folder = await Deno.makeTempDir();
  const write = (name: string, text: string) =>
    Deno.writeTextFile(`${folder}/${name}`, text);
  const verifyJwt = async () =>
    (await readSettings(folder)).functions.get("open")?.verifyJwt;
  try {
    await write("config.toml", "[functions.open]\nverify_jwt = true");
    assertEquals(await verifyJwt(), true);
    const functions = { open: { verify_jwt: false } };
    await write(
      "config.jsonc",
      `{ /* open */ "functions": ${JSON.stringify(functions)}, }`,
    );
    assertEquals(await verifyJwt(), false);
    await write("config.json", "{");
    await assertRejects(
      verifyJwt,
      Error,
      `Cannot read ${folder}/config.json: `,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
