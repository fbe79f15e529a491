import { assertEquals, assertGreater } from "@std/assert";
import { testOnEachDatabase } from "./each_database.ts";

testOnEachDatabase(
  "The API roles hold only the privileges that migrations granted",
  async (_t, stack) => {
    const { token } = await stack.signUp();
    const authorization = `Bearer ${token}`;
    // lite grants at the first request it serves, so look after some.
    for (const headers of [{}, { authorization }]) {
      const response = await stack.call("/rest/v1/notes", { headers });
      await response.body?.cancel();
    }

    const tables = await stack.sql<{ grantee: string; granted: string }>(`
      select grantee, table_schema || '.' || table_name || ' ' || privilege_type as granted
      from information_schema.role_table_grants
      where grantee in ('anon', 'authenticated', 'service_role', 'PUBLIC')
        and table_schema not in ('pg_catalog', 'information_schema')
      order by 1, 2`);
    assertEquals(tables, [
      { grantee: "authenticated", granted: "public.notes INSERT" },
      { grantee: "authenticated", granted: "public.notes SELECT" },
    ]);

    const sequences = await stack.sql(`
      select relname from pg_class, unnest(array['anon', 'authenticated', 'service_role']) as role
      where relkind = 'S' and has_sequence_privilege(role, pg_class.oid, 'usage, select, update')`);
    assertEquals(sequences, []);

    assertEquals(await stack.sql("select * from pg_default_acl"), []);

    const schemas = await stack.sql<{ name: string }>(`
      select distinct nspname as name from pg_namespace, unnest(array['anon', 'authenticated', 'service_role']) as role
      where has_schema_privilege(role, pg_namespace.oid, 'usage')
        and nspname not like 'pg\\_%' and nspname <> 'information_schema' order by 1`);
    assertEquals(schemas.map(({ name }) => name), [
      "auth",
      "extensions",
      "public",
    ]);
    const creators = await stack.sql(`
      select nspname from pg_namespace, unnest(array['anon', 'authenticated', 'service_role']) as role
      where has_schema_privilege(role, pg_namespace.oid, 'create') and nspname not like 'pg\\_%'`);
    assertEquals(creators, []);
  },
);

testOnEachDatabase(
  "A function may be executed by everybody until a migration revokes it, as in plain Postgres",
  async (_t, stack) => {
    const [row] = await stack.sql<{ anon: boolean; acl: unknown }>(`
      select has_function_privilege('anon', 'public.plain_default()', 'execute') as anon, proacl as acl
      from pg_proc where proname = 'plain_default'`);
    assertEquals(row, { anon: true, acl: null });
  },
);

testOnEachDatabase(
  "Only the service role passes row level security",
  async (_t, stack) => {
    const roles = await stack.sql(`
      select rolname as name, rolbypassrls as bypasses, rolcanlogin as logs_in, rolsuper as super
      from pg_roles where rolname in ('anon', 'authenticated', 'service_role') order by 1`);
    assertEquals(roles, [
      { name: "anon", bypasses: false, logs_in: false, super: false },
      { name: "authenticated", bypasses: false, logs_in: false, super: false },
      { name: "service_role", bypasses: true, logs_in: false, super: false },
    ]);
  },
);

testOnEachDatabase(
  "The Data API enforces grants and row level security",
  async (_t, stack) => {
    const [one, two] = [await stack.signUp(), await stack.signUp()];
    const as = ({ token }: { token: string }) => ({
      authorization: `Bearer ${token}`,
    });
    const body = "quotes \" ' \\ , line\nbreak, tab\t, 👩‍👩‍👧 and e\u0301";
    const created = await stack.call("/rest/v1/notes?select=user_id,body", {
      method: "POST",
      headers: { ...as(one), prefer: "return=representation" },
      body: JSON.stringify({ body }),
    });
    assertEquals(created.status, 201);
    assertEquals(await created.json(), [{ user_id: one.id, body }]);

    const own = await stack.call("/rest/v1/notes?select=body", {
      headers: as(one),
    });
    assertEquals(await own.json(), [{ body }]);
    const others = await stack.call("/rest/v1/notes", { headers: as(two) });
    assertEquals(await others.json(), []);

    const anonymous = await stack.call("/rest/v1/notes");
    assertEquals(anonymous.status, 401);
    assertEquals((await anonymous.json()).code, "42501");
    const ungranted = await stack.call("/rest/v1/untouched", {
      headers: as(one),
    });
    assertEquals(ungranted.status, 403);
    await ungranted.body?.cancel();
    const service = await stack.call("/rest/v1/notes", {
      headers: { apikey: stack.secretKey },
    });
    assertEquals(service.status, 403);
    await service.body?.cancel();

    const rows = await stack.sql<{ count: number }>(
      "select count(*)::integer as count from public.notes",
    );
    assertGreater(rows[0]!.count, 0);
  },
);
