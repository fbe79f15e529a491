-- What the examples of the documentation start from, beside what users make themselves: loaded by
-- `supabase db reset`, and by `deno task dev` into a fresh database.

insert into public.gpu_pools (id, name, hours_free)
values ('00000000-0000-4000-a000-000000000001', 'Shared pool', 100)
on conflict do nothing;
