-- Claiming, writing and completing in one transaction, for whoever is signed in.
begin;
select plan(14);

insert into auth.users (id) values ('00000000-0000-4000-8000-00000000000a');
create table public.effects (owner text);
-- of each answer that a user is given
create table public.told (fence bigint, steps jsonb);

create function public.take_effect(p_key text, p_fingerprint text default repeat('a', 64)) returns text
language plpgsql security definer set search_path = '' as $$
declare
  v_answer public.idempotency_answer := idempotency.claim_in_transaction('effects', p_key, p_fingerprint);
begin
  if v_answer.outcome = 'claimed' then
    insert into public.effects values (auth.uid()::text);
    v_answer.status_code := 201;
    v_answer.response := '{}';
    v_answer := idempotency.complete_in_transaction('effects', p_key, v_answer);
  end if;

  insert into public.told values (v_answer.fence, v_answer.steps);
  return v_answer.outcome || coalesce(' ' || v_answer.status_code || ' ' || v_answer.response_encoding, '');
end;
$$;

create function public.complete_only(p_key text) returns text
language plpgsql security definer set search_path = '' as $$
declare
  v_answer public.idempotency_answer;
begin
  v_answer.status_code := 201;
  v_answer.response := '{"forged": true}';
  return idempotency.complete_in_transaction('effects', p_key, v_answer);
end;
$$;

set local role authenticated;
select throws_ok($$select public.take_effect('key-1')$$, '42501', null, 'nobody signed in, nothing claimed');
select set_config('request.jwt.claims', '{"sub": "00000000-0000-4000-8000-00000000000a"}', true) \g /dev/null
select is(public.take_effect('key-1'), 'completed 201 text', 'the first call takes effect');
select is(public.take_effect('key-1'), 'replay 201 text', 'the second replays');
select is(public.take_effect('key-1', repeat('b', 64)), 'mismatch', 'another payload is refused');
select throws_ok($$select public.complete_only('key-2')$$, 'P0001', null, 'what was not claimed is not completed');
select throws_ok(
  $$select idempotency.claim_in_transaction('effects', 'key-3', repeat('a', 64))$$, '42501', null,
  'a signed-in user claims nothing past such a function'
);
select throws_ok(
  $$select idempotency.complete_in_transaction('effects', 'key-3', null)$$, '42501', null, 'and completes nothing'
);

reset role;
select is((select count(*)::integer from public.effects), 1, 'one effect');

-- what another attempt holds is not this transaction's
select public.idempotency_claim(
  '00000000-0000-4000-8000-00000000000a', 'effects', 'key-4', repeat('a', 64), gen_random_uuid(), 60, 600
) \g /dev/null
set local role authenticated;
select is(public.take_effect('key-4'), 'in_progress', 'a key that somebody holds is in progress');
select throws_ok($$select public.complete_only('key-4')$$, 'P0001', null, 'and is not completed by anybody else');

reset role;
update public.idempotency_keys
set steps = '{"charge": 1}', claimed_at = now() - interval '2 minutes', lease_expires_at = now() - interval '1 minute'
where idempotency_key = 'key-4';
set local role authenticated;
select is(public.take_effect('key-4'), 'completed 201 text', 'a key whose holder crashed takes effect');

reset role;
select is_empty('select from public.told where num_nonnulls(fence, steps) > 0', 'nobody is told fences or steps');

-- a user of third-party auth, whose sub is no UUID
create function public.claim_only(p_key text) returns text
language sql security definer set search_path = '' as $$
  select (idempotency.claim_in_transaction('effects', p_key, repeat('a', 64))).outcome;
$$;
select set_config('request.jwt.claims', '{"sub": "auth0|17"}', true) \g /dev/null
set local role authenticated;
select is(public.claim_only('key-5'), 'claimed', 'a user of third-party auth claims');
select is(
  (select count(*)::integer from (select scope from public.idempotency_keys) as k), 1, 'and sees that key and no other'
);

select * from finish();
rollback;
