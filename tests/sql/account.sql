-- What becomes of the keys of an account that is deleted.
begin;
select plan(12);

insert into auth.users (id) values
  ('00000000-0000-4000-8000-00000000000a'),
  ('00000000-0000-4000-8000-00000000000b');
create function pg_temp.claim(p_key text, p_user text default 'a') returns text language sql as $$
  select (public.idempotency_claim(
    '00000000-0000-4000-8000-00000000000' || p_user, 's', p_key, repeat('a', 64),
    '00000000-0000-4000-9000-000000000001', 60, 3600
  )).outcome;
$$;
create function pg_temp.settle(p_key text) returns text language sql as $$
  select (public.idempotency_complete(
    '00000000-0000-4000-8000-00000000000a', 's', p_key, '00000000-0000-4000-9000-000000000001', 200, 'hers', 'text', '{}'
  )).outcome;
$$;

select pg_temp.claim(key) from unnest(array['done', 'failed', 'stuck', 'counted', 'running', 'expired']) as key \g /dev/null
select pg_temp.claim('stuck', 'b') \g /dev/null
select pg_temp.settle('done') \g /dev/null
select public.idempotency_fail(
  '00000000-0000-4000-8000-00000000000a', 's', 'failed', '00000000-0000-4000-9000-000000000001', 'no'
) \g /dev/null
select public.idempotency_checkpoint(
  '00000000-0000-4000-8000-00000000000a', 's', 'stuck', '00000000-0000-4000-9000-000000000001', 'charge', '{"id": "ch_1"}', 60
) \g /dev/null
update public.idempotency_keys set lease_expires_at = now() - interval '1 minute'
where idempotency_key in ('stuck', 'expired', 'counted');
update public.idempotency_keys set expires_at = now() - interval '1 second' where idempotency_key = 'expired';
-- known to the statistics, or not yet: both ways operators find it
insert into idempotency.open_keys (owner, scope, idempotency_key, fence, status, attempt, created_at, expires_at)
select k.owner, k.scope, k.idempotency_key, k.fence, k.status, k.attempt, k.created_at, k.expires_at
from public.idempotency_keys as k
where k.idempotency_key in ('counted', 'failed');

delete from public.idempotency_keys where idempotency_key = 'stuck' and owner like '%b';
select is_empty($$select from public.idempotency_keys where owner like '%b'$$, 'who deletes a key by hand deletes it');

delete from auth.users where id = '00000000-0000-4000-8000-00000000000a';
select is_empty(
  $$select from public.idempotency_keys as k where k::text like '%00000000000a%'$$, 'with an account goes every mention of it'
);
select is_empty(
  $$select from idempotency.open_keys as o where o::text like '%00000000000a%'$$, 'nor do the statistics name it'
);
select set_eq(
  $$select idempotency_key::text from public.idempotency_keys$$, array['stuck', 'counted', 'running'],
  'and every key but those whose outcome nobody knows'
);
select set_eq(
  $$select idempotency_key from public.idempotency_stuck_keys()$$, array['stuck', 'counted'], 'which operators find as any other'
);
select results_eq(
  $$select steps from public.idempotency_stuck_keys() where idempotency_key = 'stuck'$$, $$values ('{"charge": {"id": "ch_1"}}'::jsonb)$$,
  'with how far they got'
);
select is(
  (select count(distinct owner) from public.idempotency_keys), 3::bigint, 'each belongs to nobody'
);
select throws_ok($$select pg_temp.claim('stuck')$$, '23503', null, 'whose token lives on is refused');
select is(pg_temp.settle('running'), 'gone', 'an attempt that runs on records nothing');
select is(
  (
    select r.outcome
    from public.idempotency_stuck_keys() as k
    cross join lateral public.idempotency_resolve(k.owner, k.scope, k.idempotency_key, 'completed', 200) as r
    where k.idempotency_key = 'stuck'
  ),
  'completed', 'and an operator resolves it'
);
insert into auth.users (id) values ('00000000-0000-4000-8000-00000000000a');
select is(pg_temp.claim('stuck'), 'claimed', 'a new account has nothing of the old one''s');
select is(pg_temp.claim('running', 'b'), 'claimed', 'nor has anybody else');

select * from finish();
rollback;
