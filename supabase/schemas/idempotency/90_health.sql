-- What a project that runs against this schema asks before it trusts it: which version it is, and
-- whether still nobody but the service role makes the ledger believe anything, whether what that rests on
-- is there, and whether the database keeps what it has told.

create function public.idempotency_health() returns table (
  version text,
  -- in words, such as: anon may execute idempotency_claim
  wrong_grants text[],
  -- what else of that is not as it was made, in words, such as: index idempotency_keys_fence is missing
  wrong_objects text[],
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
    -- policies call what is in the second
    select format('%s may not use the schema %s', r.role, s.name)
    from unnest(array['authenticated', 'service_role']) as r (role)
    cross join unnest(array['public', 'idempotency']) as s (name)
    where not has_schema_privilege(r.role, s.name, 'usage')
    union all
    -- a privilege on some columns is one as well
    select distinct format('%s may %s %s', r.role, p.privilege, t.relname)
    from pg_catalog.pg_class as t
    cross join unnest(array['anon', 'authenticated']) as r (role)
    cross join unnest(array['insert', 'update', 'delete', 'truncate']) as p (privilege)
    where (
        t.oid = 'public.idempotency_keys'::regclass
        or t.relnamespace = 'idempotency'::regnamespace and t.relkind = 'r'
      )
      and case
        when p.privilege in ('insert', 'update') then has_any_column_privilege(r.role, t.oid, p.privilege)
        else has_table_privilege(r.role, t.oid, p.privilege)
      end
    union all
    select format('%s may select %s of idempotency_keys', r.role, string_agg(a.attname, ', ' order by a.attnum))
    from pg_catalog.pg_attribute as a
    cross join unnest(array['anon', 'authenticated']) as r (role)
    where a.attrelid = 'public.idempotency_keys'::regclass
      and a.attnum > 0
      and not a.attisdropped
      and not (r.role = 'authenticated' and a.attname = any (array[
        'idempotency_key', 'scope', 'status', 'attempt', 'status_code', 'response', 'response_encoding',
        'response_headers', 'created_at', 'claimed_at', 'lease_expires_at', 'completed_at', 'expires_at'
      ]))
      and has_column_privilege(r.role, a.attrelid, a.attnum, 'select')
    group by r.role
    union all
    select 'row level security of idempotency_keys is off'
    from pg_catalog.pg_class as c
    where c.oid = 'public.idempotency_keys'::regclass and not c.relrowsecurity
    union all
    select 'row level security of idempotency_keys lets users see keys of others, or none'
    where not exists (
      select from pg_catalog.pg_policy as p
      where p.polrelid = 'public.idempotency_keys'::regclass
        and p.polcmd = 'r'
        and p.polroles = array['authenticated'::regrole::oid]
        and pg_get_expr(p.polqual, p.polrelid) = '((owner)::text = ( SELECT idempotency.signed_in_owner() AS signed_in_owner))'
    ) or exists (
      select from pg_catalog.pg_policy as p
      where p.polrelid = 'public.idempotency_keys'::regclass
        and p.polpermissive
        and p.polcmd in ('r', '*')
        and pg_get_expr(p.polqual, p.polrelid) = 'true'
        and p.polroles && array[0, 'anon'::regrole, 'authenticated'::regrole]::oid[]
    )
  ),
  objects as (
    select format('%s is not the ledger''s: it does not run as its owner, or not without a search path', t.name) as what
    from transitions as t
    join pg_catalog.pg_proc as p on p.oid = t.oid
    where not p.prosecdef or (p.proconfig @> array['search_path=""']) is not true
    union all
    select format('index %s is missing', i.name)
    from unnest(array[
      'idempotency_keys_expires_at', 'idempotency_keys_fence', 'idempotency_keys_identity', 'idempotency_keys_user_id'
    ]) as i (name)
    where not exists (
      select from pg_catalog.pg_index as x
      where x.indrelid = 'public.idempotency_keys'::regclass
        and x.indexrelid = to_regclass('public.' || i.name)
        and x.indisvalid
        and (x.indisprimary or i.name <> 'idempotency_keys_identity')
    )
    union all
    select format('%s is missing', t.name)
    from unnest(array[
      'idempotency.durations', 'idempotency.full_owners', 'idempotency.hours', 'idempotency.kept_statistics',
      'idempotency.limits', 'idempotency.live_keys', 'idempotency.open_keys', 'idempotency.replay_counts',
      'idempotency.rollup', 'public.v_idempotency_stats'
    ]) as t (name)
    where to_regclass(t.name) is null
    union all
    select 'the foreign key of idempotency_keys to auth.users is missing'
    where not exists (
      select from pg_catalog.pg_constraint as c
      where c.conrelid = 'public.idempotency_keys'::regclass
        and c.confrelid = 'auth.users'::regclass
        and c.contype = 'f'
        and c.confdeltype = 'c'
    )
    union all
    select 'trigger account_has_ended of idempotency_keys is missing, or does not fire'
    where not exists (
      select from pg_catalog.pg_trigger as g
      where g.tgrelid = 'public.idempotency_keys'::regclass
        and g.tgfoid = to_regprocedure('idempotency.account_has_ended()')
        and g.tgenabled in ('O', 'A')
    )
  )
  select
    idempotency.version(),
    coalesce((select array_agg(w.what order by w.what) from wrong as w), '{}'),
    coalesce((select array_agg(o.what order by o.what) from objects as o), '{}'),
    current_setting('synchronous_commit')
$$;

comment on function public.idempotency_health() is
  'The version of the ledger''s schema, grants that let others than the service role write it, what of it is missing, and synchronous_commit.';

revoke all on function public.idempotency_health() from public, anon, authenticated, service_role;
grant execute on function public.idempotency_health() to service_role;
