-- What a project that runs against this schema asks before it trusts it: which version it is, and
-- whether still nobody but the service role makes the ledger believe anything, and whether the database
-- keeps what it has told.

create function public.idempotency_health() returns table (
  version text,
  -- in words, such as: anon may execute idempotency_claim
  wrong_grants text[],
  -- for whoever asks, as it is for the functions
  synchronous_commit text
)
language sql
stable
security invoker
set search_path = ''
as $$
  with transitions as (
    select p.oid, n.name
    from unnest(array[
      'cleanup_expired_idempotency_keys', 'idempotency_checkpoint', 'idempotency_claim',
      'idempotency_claim_many', 'idempotency_complete', 'idempotency_count_replays', 'idempotency_fail',
      'idempotency_notify', 'idempotency_renew', 'idempotency_resolve', 'idempotency_settle_many'
    ]) as n (name)
    left join pg_catalog.pg_proc as p on p.pronamespace = 'public'::regnamespace and p.proname = n.name
  ),
  wrong as (
    select format('%s may execute %s', r.role, t.name) as what
    from transitions as t
    cross join unnest(array['anon', 'authenticated']) as r (role)
    where has_function_privilege(r.role, t.oid, 'execute')
    union all
    select format('service_role may not execute %s', t.name)
    from transitions as t
    -- nobody may execute one that is missing
    where has_function_privilege('service_role', t.oid, 'execute') is not true
    union all
    select format('%s may %s idempotency_keys', r.role, p.privilege)
    from unnest(array['anon', 'authenticated']) as r (role)
    cross join unnest(array['insert', 'update', 'delete', 'truncate']) as p (privilege)
    where has_table_privilege(r.role, 'public.idempotency_keys', p.privilege)
    union all
    select 'row level security of idempotency_keys is off'
    from pg_catalog.pg_class as c
    where c.oid = 'public.idempotency_keys'::regclass and not c.relrowsecurity
  )
  select
    idempotency.version(),
    coalesce((select array_agg(w.what order by w.what) from wrong as w), '{}'),
    current_setting('synchronous_commit')
$$;

comment on function public.idempotency_health() is
  'The version of the ledger''s schema, grants that let others than the service role write it, and synchronous_commit.';

revoke all on function public.idempotency_health() from public, anon, authenticated, service_role;
grant execute on function public.idempotency_health() to service_role;
