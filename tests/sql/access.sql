-- What a signed-in user sees of the ledger: their own keys, and of those what is theirs. Who may do what
-- at all is in isolation.sql.
begin;
select plan(29);

insert into auth.users (id) values
  ('00000000-0000-4000-8000-00000000000a'),
  ('00000000-0000-4000-8000-00000000000b');

create function pg_temp.sign_in(p_user text) returns void language sql as $$
  select set_config('request.jwt.claims', json_build_object('sub', p_user)::text, true);
$$;

create function pg_temp.key_of(p_owner text) returns void language sql as $$
  select public.idempotency_claim(
    p_owner, 'orders', 'same-key', repeat('a', 64), '00000000-0000-4000-9000-000000000001', 60, 3600, p_metadata => '{"traceId": "1"}'
  );
  select public.idempotency_checkpoint(p_owner, 'orders', 'same-key', '00000000-0000-4000-9000-000000000001', 'charge', '1', 60);
  select public.idempotency_complete(
    p_owner, 'orders', 'same-key', '00000000-0000-4000-9000-000000000001', 200, 'of ' || p_owner, 'text', null
  );
  select public.idempotency_count_replays(p_owner, 'orders', 2);
$$;

set local role service_role;
select pg_temp.key_of(owner) from unnest(array[
  '', '00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000b', 'user_2abcDEFghiJKLmno'
]) as owner \g /dev/null
select is((select count(*) from public.idempotency_keys where scope = 'orders'), 4::bigint, 'the service role sees all rows');
select results_eq(
  $$select response, metadata, finished_steps from public.get_idempotency_status('same-key', null, '00000000-0000-4000-8000-00000000000b')$$,
  $$values ('of 00000000-0000-4000-8000-00000000000b', '{"traceId": "1"}'::jsonb, array['charge'])$$,
  'and asks how anybody''s key stands, with what was written for the team'
);
select is((select response from public.get_idempotency_status('same-key')), 'of ', 'where it names nobody, the project''s');

-- users of this project and of third-party auth alike
set local role authenticated;
select pg_temp.sign_in('00000000-0000-4000-8000-00000000000a') \g /dev/null
select results_eq('select response::text from public.idempotency_keys', $$values ('of 00000000-0000-4000-8000-00000000000a')$$, 'a user sees one row of four');
select results_eq(
  'select response, error_message, metadata, finished_steps from public.get_idempotency_status(''same-key'')',
  $$values ('of 00000000-0000-4000-8000-00000000000a', null::text, null::jsonb, null::text[])$$,
  'and how it stands, without what was written for the team'
);
select is(
  (select response from public.get_idempotency_status('same-key', null, '00000000-0000-4000-8000-00000000000b')),
  'of 00000000-0000-4000-8000-00000000000a', 'whomever they name'
);
select results_eq('select total_count, replay_count from public.v_idempotency_stats', 'values (1::bigint, 2::bigint)', 'the statistics count one key and its replays');

select pg_temp.sign_in('user_2abcDEFghiJKLmno') \g /dev/null
select results_eq('select response::text from public.idempotency_keys', $$values ('of user_2abcDEFghiJKLmno')$$, 'a user of third-party auth sees theirs');
select is((select response from public.get_idempotency_status('same-key')), 'of user_2abcDEFghiJKLmno', 'and how it stands');
select results_eq('select total_count, replay_count from public.v_idempotency_stats', 'values (1::bigint, 2::bigint)', 'and counts it');

select pg_temp.sign_in('00000000-0000-4000-8000-00000000000c') \g /dev/null
select is_empty('select scope from public.idempotency_keys', 'a user without keys sees none');
select is_empty($$select * from public.get_idempotency_status('same-key')$$, 'and hears of none');

-- the project is nobody's name
select pg_temp.sign_in('') \g /dev/null
select is_empty('select scope from public.idempotency_keys', 'a token without a subject sees no row');
select throws_ok($$select * from public.get_idempotency_status('same-key')$$, '42501', null, 'and asks nothing');
select set_config('request.jwt.claims', '', true) \g /dev/null
select is_empty('select scope from public.idempotency_keys', 'no token sees none either');
select throws_ok($$select * from public.get_idempotency_status('same-key')$$, '42501', null, 'and asks nothing');

-- roles that only look like the team's
reset role;
create role looks_like_team noinherit;
grant service_role to looks_like_team;
grant usage on schema public, extensions to looks_like_team;
grant execute on function public.get_idempotency_status(text, text, text) to looks_like_team;
grant looks_like_team to current_user;
set local role looks_like_team;
select pg_temp.sign_in('00000000-0000-4000-8000-00000000000a') \g /dev/null
select is(
  (select metadata from public.get_idempotency_status('same-key', null, '00000000-0000-4000-8000-00000000000b')), null::jsonb,
  'a role that may become the service role is not it until it does'
);
select is(
  (select response from public.get_idempotency_status('same-key', null, '00000000-0000-4000-8000-00000000000b')),
  'of 00000000-0000-4000-8000-00000000000a', 'and reads its own key'
);

-- and one that is, without its right to pass by policies, which no role inherits
reset role;
create role operator inherit in role service_role;
grant usage on schema public, extensions to operator;
grant operator to current_user;
set local role operator;
select results_eq(
  $$select
      (select sum(total_count) from public.v_idempotency_stats)::bigint,
      (select count(*) from public.idempotency_recent_keys('orders')),
      (select count(*) from public.idempotency_read_key('', 'orders', 'same-key'))$$,
  'values (4::bigint, 4::bigint, 1::bigint)', 'a role that inherits the service role looks at all keys'
);
select is((select replay_count from public.v_idempotency_stats where scope = 'orders'), 8::bigint, 'and at their replays');

select idempotency.forget_owner('user_2abcDEFghiJKLmno') \g /dev/null
select is_empty($$select scope from public.idempotency_keys where owner like 'user%'$$, 'it forgets an owner');
select * from public.idempotency_refresh_statistics() \g /dev/null
select ok((select replays_at > now() from idempotency.rollup), 'and counts');

-- deleting an account
reset role;
delete from auth.users where id = '00000000-0000-4000-8000-00000000000a';
select is_empty($$select from public.idempotency_keys where owner = '00000000-0000-4000-8000-00000000000a'$$, 'an account takes its keys along');
select is_empty($$select from idempotency.replay_counts where owner = '00000000-0000-4000-8000-00000000000a'$$, 'and its counts');
set local role service_role;
select throws_ok(
  $$select pg_temp.key_of('00000000-0000-4000-8000-00000000000a')$$, '23503', null, 'and gets no new ones'
);
select is((select count(*) from public.idempotency_keys), 2::bigint, 'everybody else''s stay');

select results_eq(
  'select wrong_grants, wrong_objects from public.idempotency_health()', $$values ('{}'::text[], '{}'::text[])$$,
  'nobody may do more than that, or less'
);
reset role;
revoke execute on function public.idempotency_renew(text, text, text, uuid, integer) from service_role;
grant execute on function public.idempotency_fail(text, text, text, uuid, text, integer, integer) to authenticated;
grant insert (scope), select (steps, metadata) on public.idempotency_keys to authenticated;
grant delete on idempotency.full_owners to anon;
revoke usage on schema idempotency from authenticated;
alter policy "users see only their own idempotency keys" on public.idempotency_keys using (owner <> '');
alter function public.idempotency_claim(text, text, text, text, uuid, integer, integer, text, integer, boolean, jsonb) set search_path = public;
alter table public.idempotency_keys drop constraint idempotency_keys_identity, drop constraint idempotency_keys_user_id_fkey;
create index idempotency_keys_identity on public.idempotency_keys (owner, scope, idempotency_key);
drop index public.idempotency_keys_fence;
drop view public.v_idempotency_stats;
set local role service_role;
select is(
  (select wrong_grants from public.idempotency_health()),
  array[
    'anon may delete full_owners',
    'authenticated may execute idempotency_fail',
    'authenticated may insert idempotency_keys',
    'authenticated may not use the schema idempotency',
    'authenticated may select metadata, steps of idempotency_keys',
    'row level security of idempotency_keys lets users see keys of others, or none',
    'service_role may not execute idempotency_renew'
  ],
  'and where it is otherwise, that is said'
);
select is(
  (select wrong_objects from public.idempotency_health()),
  array[
    'idempotency_claim is not the ledger''s: it does not run as its owner, or not without a search path',
    'index idempotency_keys_fence is missing',
    'index idempotency_keys_identity is missing',
    'public.v_idempotency_stats is missing',
    'the foreign key of idempotency_keys to auth.users is missing'
  ],
  'so is what is not as it was made'
);

select * from finish();
rollback;
