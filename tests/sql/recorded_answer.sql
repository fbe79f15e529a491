-- The replay without a claim: what it answers, to whom, and that it costs no call.
begin;
select plan(9);

insert into auth.users (id) values
  ('00000000-0000-4000-8000-00000000000a'),
  ('00000000-0000-4000-8000-00000000000b');

create function pg_temp.answer(p_user uuid, p_fingerprint text default repeat('a', 64)) returns text language sql as $$
  select r::text from public.idempotency_recorded_answer(p_user, 'orders', 'order-1', p_fingerprint) as r;
$$;

create function pg_temp.claim(p_user uuid) returns public.idempotency_answer language sql as $$
  select public.idempotency_claim(p_user, 'orders', 'order-1', repeat('a', 64), '00000000-0000-4000-9000-000000000001', 60, 3600);
$$;

create function pg_temp.plan_of(p_statement text) returns text language plpgsql as $$
declare
  v_line text;
  v_plan text := '';
begin
  for v_line in execute 'explain ' || p_statement loop
    v_plan := v_plan || v_line || E'\n';
  end loop;
  return v_plan;
end;
$$;

select is(pg_temp.answer('00000000-0000-4000-8000-00000000000a'), null, 'an unknown key has no answer');
select is((pg_temp.claim('00000000-0000-4000-8000-00000000000a')).outcome, 'claimed', 'once claimed');
select is(pg_temp.answer('00000000-0000-4000-8000-00000000000a'), null, 'it has none yet');

select outcome from public.idempotency_complete(
  '00000000-0000-4000-8000-00000000000a', 'orders', 'order-1', '00000000-0000-4000-9000-000000000001',
  201, '{"order": 1}', 'text', '{"location": "/orders/1"}'
) \g /dev/null

select is(
  pg_temp.answer('00000000-0000-4000-8000-00000000000a'),
  pg_temp.claim('00000000-0000-4000-8000-00000000000a')::text,
  'completed, it has the very answer of a claim'
);
select is(
  pg_temp.answer('00000000-0000-4000-8000-00000000000a', repeat('b', 64)), null, 'another payload has none'
);

set local role authenticated;
select set_config('request.jwt.claims', '{"sub": "00000000-0000-4000-8000-00000000000b"}', true) \g /dev/null
select is(
  pg_temp.answer('00000000-0000-4000-8000-00000000000a'), null, 'another user has none, though they name the owner'
);
reset role;

update public.idempotency_keys set expires_at = now() - interval '1 second';
select is(pg_temp.answer('00000000-0000-4000-8000-00000000000a'), null, 'an expired one has none');

select unalike(
  pg_temp.plan_of($$select * from public.idempotency_recorded_answer('00000000-0000-4000-8000-00000000000a', 'orders', 'order-1', 'f')$$),
  '%Function Scan%',
  'it is inlined into the statement that asks'
);

set local role anon;
select throws_ok($$select pg_temp.answer(null)$$, '42501', null, 'anon asks nothing');

select * from finish();
rollback;
