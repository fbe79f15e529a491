-- Plans, credits and events: who may do what, which rows there can be, what create_event decides.
begin;
select plan(74);

insert into auth.users (id) values
  ('00000000-0000-4000-8000-00000000000a'),
  ('00000000-0000-4000-8000-00000000000b');

create function pg_temp.sign_in(p_user text) returns void language sql as $$
  select set_config('request.jwt.claims', json_build_object('sub', p_user)::text, true);
$$;

create function pg_temp.create_event(p_request text, p_confirm boolean default false) returns jsonb language sql as $$
  select public.create_event(p_request, 'Party', '2026-12-24T18:00:00Z', p_confirm_credit => p_confirm);
$$;

create function pg_temp.entry(p_amount integer, p_kind text default null, p_reason text default 'test', p_request text default gen_random_uuid()::text)
returns void language sql as $$
  insert into public.credit_entries (user_id, kind, amount, reason, request_id)
  values ('00000000-0000-4000-8000-00000000000a', coalesce(p_kind, case when p_amount > 0 then 'grant' else 'spend' end), p_amount, p_reason, p_request);
$$;

create function pg_temp.topped_up(p_amount integer) returns integer language plpgsql security definer as $$
begin
  insert into public.credit_entries (user_id, kind, amount, reason, request_id)
  values ('00000000-0000-4000-8000-00000000000b', 'grant', p_amount, 'test', gen_random_uuid()::text);
  return p_amount;
end;
$$;

-- grants
select results_eq(
  $$
    select
      c.relname::text collate "default",
      r.role,
      (
        select string_agg(p.privilege, ',' order by p.position)
        from unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger'])
          with ordinality as p (privilege, position)
        where has_table_privilege(r.role, c.oid, p.privilege)
      )
    from pg_class as c
    cross join unnest(array['anon', 'authenticated', 'service_role']) as r (role)
    where c.oid in (
      'public.plans'::regclass, 'public.user_plans'::regclass, 'public.credit_balances'::regclass,
      'public.credit_entries'::regclass, 'public.event_edits'::regclass, 'public.events'::regclass
    )
    order by c.relname collate "C", r.role
  $$,
  $$
    values
      ('credit_balances', 'anon', null),
      ('credit_balances', 'authenticated', 'select'),
      ('credit_balances', 'service_role', 'select'),
      ('credit_entries', 'anon', null),
      ('credit_entries', 'authenticated', 'select'),
      ('credit_entries', 'service_role', 'select,insert'),
      ('event_edits', 'anon', null),
      ('event_edits', 'authenticated', 'select'),
      ('event_edits', 'service_role', 'select'),
      ('events', 'anon', null),
      ('events', 'authenticated', 'select'),
      ('events', 'service_role', 'select,insert,update,delete'),
      ('plans', 'anon', null),
      ('plans', 'authenticated', 'select'),
      ('plans', 'service_role', 'select,insert,update,delete'),
      ('user_plans', 'anon', null),
      ('user_plans', 'authenticated', 'select'),
      ('user_plans', 'service_role', 'select,insert,update,delete')
  $$,
  'users read, the project grants, and nobody writes a balance or changes an entry'
);
select results_eq(
  $$
    select
      p.proname::text collate "default",
      has_function_privilege('anon', p.oid, 'execute'),
      has_function_privilege('authenticated', p.oid, 'execute'),
      has_function_privilege('service_role', p.oid, 'execute'),
      p.prosecdef,
      p.proconfig @> array['search_path=""']
    from pg_proc as p
    where p.pronamespace = 'public'::regnamespace and p.proname in (
        'cancel_event', 'create_event', 'credit_entries_keep_balance', 'event_as_told', 'hold_credit_balance', 'plan_of',
        'update_event'
      )
    order by p.proname collate "C"
  $$,
  $$
    values
      ('cancel_event', false, true, false, true, true),
      ('create_event', false, true, false, true, true),
      ('credit_entries_keep_balance', false, false, false, true, true),
      ('event_as_told', false, false, false, false, true),
      ('hold_credit_balance', false, false, false, false, true),
      ('plan_of', false, false, false, false, true),
      ('update_event', false, true, false, true, true)
  $$,
  'users create, edit and cancel events, and nobody calls what is inside'
);
select is_empty(
  $$
    select c.relname from pg_class as c
    where c.relname in ('plans', 'user_plans', 'credit_balances', 'credit_entries', 'event_edits', 'events')
      and c.relnamespace = 'public'::regnamespace and not c.relrowsecurity
  $$,
  'row level security holds for all of them'
);
select policies_are('public', 'plans', array['plans_select_all']);
select policies_are('public', 'user_plans', array['user_plans_select_own']);
select policies_are('public', 'credit_balances', array['credit_balances_select_own']);
select policies_are('public', 'credit_entries', array['credit_entries_select_own']);
select policies_are('public', 'events', array['archived_rows_on_request', 'events_select_own', 'events_update_own']);
select policies_are('public', 'event_edits', array['event_edits_select_own']);

-- rows there cannot be
select throws_ok($$insert into public.plans values ('', 1, 1)$$, '23514', null, 'a plan has a name');
select throws_ok($$insert into public.plans values ('x', -1, 1)$$, '23514', null, 'includes no fewer than 0 events');
select throws_ok($$insert into public.plans values ('x', 1, 0)$$, '23514', null, 'and has a price');
select throws_ok($$insert into public.plans values ('x', 1, 1, 0)$$, '23514', null, 'a participant at least');
select throws_ok($$insert into public.plans values ('x', 1, 1, 1, 0)$$, '23514', null, 'a price for the next');
select throws_ok($$insert into public.plans values ('x', 1, 1, 1, 100)$$, '23514', null, 'and no event that costs more than an entry may be');
select throws_ok($$insert into public.user_plans values ('00000000-0000-4000-8000-00000000000a', 'no such')$$, '23503', null, 'nobody is on a plan that is not there');
select throws_ok($$delete from public.plans where name = 'team'; insert into public.user_plans values ('00000000-0000-4000-8000-00000000000a', 'team')$$, '23503', null, 'nor on one that is gone');

select throws_ok($$select pg_temp.entry(0, 'grant')$$, '23514', null, 'an entry of nothing is none');
select throws_ok($$select pg_temp.entry(-1, 'grant')$$, '23514', null, 'a grant is positive');
select throws_ok($$select pg_temp.entry(1, 'spend')$$, '23514', null, 'a spend negative');
select throws_ok($$select pg_temp.entry(1, 'gift')$$, '23514', null, 'there is no third kind');
select throws_ok($$select pg_temp.entry(1000001)$$, '23514', null, 'an entry has a bound');
select throws_ok($$select pg_temp.entry(1, p_reason => '')$$, '23514', null, 'a reason');
select throws_ok($$select pg_temp.entry(1, p_request => repeat('x', 257))$$, '23514', null, 'and a request id of a length');
select throws_ok($$select pg_temp.entry(-1)$$, '23514', null, 'what is not there cannot be spent');

-- the balance
select pg_temp.entry(7, p_request => 'top-up') \g /dev/null
select throws_ok($$select pg_temp.entry(7, p_request => 'top-up')$$, '23505', null, 'a request makes one entry');
insert into public.credit_entries (user_id, kind, amount, reason, request_id)
values ('00000000-0000-4000-8000-00000000000a', 'grant', 7, 'again', 'top-up') on conflict do nothing;
select is((select b.balance from public.credit_balances as b), 7::bigint, 'and counts once');
select pg_temp.entry(-7) \g /dev/null
select is((select b.balance from public.credit_balances as b), 0::bigint, 'all of a balance can be spent');
select throws_ok($$select pg_temp.entry(-1)$$, '23514', null, 'and then no more');
select throws_ok($$update public.credit_balances set balance = -1$$, '23514', null, 'by whatever statement');

-- events
set local role authenticated;
select throws_ok($$select pg_temp.create_event('nobody')$$, '42501', null, 'nobody signed in creates nothing');
select pg_temp.sign_in('00000000-0000-4000-8000-00000000000a') \g /dev/null
create temporary table answers as select n, pg_temp.create_event('free-' || n) as a from generate_series(1, 3) as n;
select is((select count(*) from answers where a @> '{"outcome": "created", "cost": 0, "balance": 0, "event": {"title": "Party", "cost": 0}}'), 3::bigint, 'the free plan includes three events');
select is(pg_temp.create_event('paid'), '{"outcome": "question", "cost": 5, "balance": 0}', 'the fourth is a question');
select is(pg_temp.create_event('paid', null), '{"outcome": "question", "cost": 5, "balance": 0}', 'and stays one until it is confirmed');
select is(pg_temp.create_event('paid', true), '{"outcome": "too_few_credits", "cost": 5, "balance": 0}', 'with credits');
select is(pg_temp.create_event('free-1') -> 'event' ->> 'id', (select a -> 'event' ->> 'id' from answers where n = 1), 'a repeat is given the event that is there');

reset role;
select pg_temp.entry(6) \g /dev/null
set local role authenticated;
select is(public.create_event('paid', 'Party', now(), p_confirm_credit => true, p_max_cost => 4) ->> 'outcome', 'question', 'what costs more than was agreed to is a question again');
select is(public.create_event('paid', 'Party', now(), p_max_cost => 5) ->> 'outcome', 'question', 'and a price alone agrees to nothing');
create temporary table paid as select pg_temp.create_event('paid', true) as a;
select ok(a @> '{"outcome": "created", "cost": 5, "balance": 1, "event": {"cost": 5}}', 'confirmed and paid for it is created') from paid;
select is(pg_temp.create_event('paid', true), a, 'and the repeat of it costs nothing') from paid;
select ok(not a -> 'event' ?| array['user_id', 'request_id'], 'the answer keeps to what the caller asked for') from paid;
select results_eq(
  $$select kind, amount, reason, request_id from public.credit_entries where request_id = 'paid'$$,
  $$select 'spend', -5, 'event ' || (a -> 'event' ->> 'id'), 'paid' from paid$$,
  'the entry says what for'
);
select is((select count(*) from public.events), 4::bigint, 'a user sees their events');
select throws_ok($$insert into public.events (user_id, request_id, title, starts_at, cost) values (auth.uid(), 'x', 'x', now(), 0)$$, '42501', null, 'and writes none');
select throws_ok($$update public.events set cost = 0$$, '42501', null, 'nor changes one');
select throws_ok($$update public.credit_balances set balance = 9$$, '42501', null, 'nor the balance');
select throws_ok($$insert into public.user_plans values (auth.uid(), 'team')$$, '42501', null, 'nor their plan');
create function pg_temp.rename(p_n integer) returns text language sql as $$
  select public.update_event((a -> 'event' ->> 'id')::uuid, 'rename', 1, '{"title": "Wake"}') ->> 'outcome' from answers where n = p_n;
$$;
select is(pg_temp.rename(1), 'updated', 'they edit one through the function');
select throws_ok($$select pg_temp.rename(2)$$, '23505', null, 'by a request that is about no other');

select pg_temp.sign_in('00000000-0000-4000-8000-00000000000b') \g /dev/null
select is((select count(*) from public.events), 0::bigint, 'somebody else sees no event');
select is((select count(*) from public.credit_entries), 0::bigint, 'no entry');
select is((select count(*) from public.event_edits), 0::bigint, 'no edit');
select is((select count(*) from public.credit_balances), 0::bigint, 'and no balance');
select is(pg_temp.create_event('free-1') ->> 'outcome', 'created', 'the same request id of another user is another request');
select is((select count(*) from public.plans where name = 'free'), 1::bigint, 'everybody signed in sees the plans');

-- edits
create temporary table edited as
select public.update_event((select id from public.events), 'edit', 1, '{"title": "Wedding", "location": null}') as a;
select ok(a @> '{"outcome": "updated", "cost": 0, "event": {"title": "Wedding", "location": null, "version": 2}}', 'an edit changes what it names') from edited;
select is(public.update_event((select id from public.events), 'edit', 1, '{"title": "Wedding", "location": null}'), a, 'and its repeat nothing') from edited;
select throws_ok($$select public.update_event((select id from public.events), 'cost', 2, '{"cost": 1}')$$, '22023', null, 'what is not the user''s to edit is refused');
select is(public.update_event((select id from public.events), 'blind', null, '{}'), '{"outcome": "changed", "version": 2}', 'and so is who has seen no version');
select is(public.update_event((select id from public.events), 'more', 2, '{"participants": 21}', null) ->> 'outcome', 'question', 'what costs more is a question until it is confirmed');

-- bounds, whoever comes past the function
select throws_ok($$select public.create_event('r', '', now())$$, '23514', null, 'an event has a title');
select throws_ok($$select public.create_event('r', repeat('x', 201), now())$$, '23514', null, 'of a length');
select throws_ok($$select public.create_event('r', 'x', 'infinity')$$, '23514', null, 'a time');
select throws_ok($$select public.create_event('r', 'x', null)$$, '23502', null, 'that is known');
select throws_ok($$select public.create_event('r', 'x', '1999-12-31T23:59:59Z')$$, '23514', null, 'and within bounds');
select throws_ok($$select public.create_event('r', 'x', now(), p_participants => 10001, p_confirm_credit => true)$$, '23514', null, 'of a number of people') from pg_temp.topped_up(20000);
select throws_ok($$select public.create_event('r', 'x', now(), p_participants => null)$$, '23502', null, 'that is known');
select throws_ok($$select public.create_event(null, 'x', now())$$, '23502', null, 'a request id');
select throws_ok($$select public.create_event('r', 'x', now(), '')$$, '23514', null, 'a place with a name');
select throws_ok($$select public.create_event('r', 'x', now(), null, repeat('x', 2001))$$, '23514', null, 'and a description of a length');

-- whatever the zone of the session
reset role;
set local timezone = 'America/New_York';
insert into public.events (user_id, request_id, title, starts_at, cost, created_at)
select '00000000-0000-4000-8000-00000000000b', 'at-' || t.at, 'Party', t.at, 0, t.at at time zone 'UTC'
from date_trunc('month', now() at time zone 'UTC') as m (month)
cross join lateral (values (m.month - interval '1 microsecond'), (m.month + interval '1 month')) as t (at);
set local role authenticated;
select is((select count(*) from generate_series(2, 4) as n where pg_temp.create_event('zone-' || n) ->> 'outcome' = 'created'), 2::bigint, 'the months are those of UTC');

reset role;
select is_empty(
  $$
    select b.user_id from public.credit_balances as b
    where b.balance <> (select coalesce(sum(e.amount), 0) from public.credit_entries as e where e.user_id = b.user_id)
  $$,
  'every balance is the sum of its entries'
);

update public.events set archived_at = now() where request_id = 'free-1';
select throws_ok(
  $$insert into public.events (user_id, request_id, title, starts_at, cost) values ('00000000-0000-4000-8000-00000000000a', 'free-1', 'x', now(), 0)$$,
  '23505', null, 'a request is the same one for ever, its event archived or not'
);
delete from public.plans where name = 'free';
select throws_ok($$select public.plan_of('00000000-0000-4000-8000-00000000000a')$$, 'P0002', null, 'without the plan "free" nothing is given away');

select * from finish();
rollback;
