import type { Database } from "./database.ts";

// What a hosted project holds before its first migration. Nothing is granted on
// tables or functions: new hosted projects grant nothing by default either.
const ROLES_AND_SCHEMAS = `
do $$
declare
  wanted text;
begin
  foreach wanted in array array['anon', 'authenticated', 'service_role'] loop
    begin
      if not exists (select from pg_catalog.pg_roles where rolname = wanted) then
        execute format('create role %I nologin noinherit', wanted);
      end if;
    exception
      -- Roles belong to the whole cluster: a stack on a sister database may be first.
      when duplicate_object or unique_violation then null;
    end;
  end loop;
  if not (select rolbypassrls from pg_catalog.pg_roles where rolname = 'service_role') then
    alter role service_role bypassrls;
  end if;
end
$$;
create schema if not exists auth;
create schema if not exists extensions;
grant usage on schema public, auth, extensions to anon, authenticated, service_role;
`;

// lite's own versions read only the older one-setting-per-claim form.
const AUTH_FUNCTIONS = `
create or replace function auth.uid() returns uuid language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
  )::uuid
$$;
create or replace function auth.role() returns text language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.role', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
  )
$$;
create or replace function auth.email() returns text language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.email', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
  )
$$;
create or replace function auth.jwt() returns jsonb language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')
  )::jsonb
$$;
`;

/** Creates the API roles and the schemas a hosted project starts with. */
export async function createRoles(database: Database): Promise<void> {
  await database.transaction((transaction) =>
    transaction.script(ROLES_AND_SCHEMAS)
  );
}

/** Gives `auth.uid()` and its siblings the behaviour they have on Supabase. */
export async function createAuthFunctions(database: Database): Promise<void> {
  await database.transaction((transaction) =>
    transaction.script(AUTH_FUNCTIONS)
  );
}
