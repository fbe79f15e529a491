import { join } from "node:path";
import type { Database } from "./database.ts";
import { type FunctionSettings, SUPABASE_DIR } from "./settings.ts";

/** The probe checks tokens itself: its counter is open to everybody. */
export const PROBE: FunctionSettings = {
  entrypoint: join(SUPABASE_DIR, "..", "tests", "probe", "index.ts"),
  verifyJwt: false,
};

/** Creates the table in which the probe counts its executions. */
export async function createProbeTable(database: Database): Promise<void> {
  await database.transaction((transaction) =>
    transaction.script(`
create table if not exists public.probe_effects (
  id bigint generated always as identity primary key,
  effect text not null,
  user_id text,
  attempt integer not null,
  created_at timestamptz not null default now()
);
create index if not exists probe_effects_effect_idx on public.probe_effects (effect);
alter table public.probe_effects enable row level security;
grant select, insert on public.probe_effects to service_role;
`)
  );
}
