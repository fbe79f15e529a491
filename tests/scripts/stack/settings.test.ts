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

Deno.test("auth.jwt_secret is found in the .env files that the Supabase CLI reads", async () => {
  const project = await Deno.makeTempDir();
  const folder = `${project}/supabase`;
  const secret = async (file: string, text: string) => {
    await Deno.writeTextFile(`${project}/${file}`, text);
    return (await readSettings(folder)).jwtSecret;
  };
  try {
    await Deno.mkdir(folder);
    assertEquals(
      await secret(
        "supabase/config.toml",
        `[auth]\njwt_secret = "env(THEIR_SECRET_IN_A_FILE)"`,
      ),
      undefined,
    );
    const line = (value: string) => `\ufeffTHEIR_SECRET_IN_A_FILE=${value}\r\n`;
    assertEquals(await secret(".env", line("one")), "one");
    assertEquals(await secret(".env.local", line("two")), "two");
    assertEquals(await secret("supabase/.env", line("three")), "three");
  } finally {
    await Deno.remove(project, { recursive: true });
  }
});
