-- What is broadcast when a run has ended, to whom, and what happens where Realtime is absent.
begin;
select plan(19);

insert into auth.users (id) values
  ('00000000-0000-4000-8000-00000000000a'),
  ('00000000-0000-4000-8000-00000000000b');

create function pg_temp.claim(p_key text) returns void language sql as $$
  select public.idempotency_claim('00000000-0000-4000-8000-00000000000a', 'jobs', p_key, repeat('a', 64), '00000000-0000-4000-9000-000000000001', 60, 3600);
$$;

create function pg_temp.notify(p_key text, p_owner text default '00000000-0000-4000-8000-00000000000a')
returns text language sql as $$
  select public.idempotency_notify(p_owner, 'jobs', p_key);
$$;

create function pg_temp.sign_in(p_user text) returns void language sql as $$
  select set_config('request.jwt.claims', json_build_object('sub', p_user)::text, true);
$$;

set local role service_role;
select pg_temp.claim('running') \g /dev/null
select pg_temp.claim('done') \g /dev/null
select public.idempotency_complete('00000000-0000-4000-8000-00000000000a', 'jobs', 'done', '00000000-0000-4000-9000-000000000001', 201, 'secret', 'text', null) \g /dev/null
select pg_temp.claim('failed') \g /dev/null
select public.idempotency_fail('00000000-0000-4000-8000-00000000000a', 'jobs', 'failed', '00000000-0000-4000-9000-000000000001', 'secret') \g /dev/null

-- without Realtime
select is(pg_temp.notify('done'), 'none', 'without Realtime nothing is sent, and that is no error');
reset role;
\ir ../../supabase/schemas/idempotency/55_broadcasts.sql
select hasnt_schema('realtime', 'does without Realtime too');

-- with it, as far as this needs it
create schema realtime;
create table realtime.messages (payload jsonb, event text, topic text, private boolean, extension text);
alter table realtime.messages enable row level security;
create function realtime.topic() returns text language sql stable as $$ select current_setting('realtime.topic', true) $$;
create function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void language sql as $$
  insert into realtime.messages values (payload, event, topic, private, 'broadcast');
$$;
grant usage on schema realtime to authenticated;
grant select, insert on realtime.messages to authenticated;

set local role service_role;
select is(pg_temp.notify('nobody'), 'none', 'of a key without a row nothing is told');
select is(pg_temp.notify('running'), 'none', 'nor of a run that goes on');
select is(pg_temp.notify('done', ''), 'none', 'nor of the project''s own key, which nobody listens for');
reset role;
select is_empty('select from realtime.messages', 'so nothing was sent');

set local role service_role;
select is(pg_temp.notify('done'), 'realtime', 'a completed run is told');
select is(pg_temp.notify('failed'), 'realtime', 'and a failed one');
reset role;
select results_eq(
  'select event, topic, private, payload from realtime.messages order by event',
  $$
    values
      ('completed', 'idempotency:00000000-0000-4000-8000-00000000000a', true, '{"key": "done", "scope": "jobs", "status": "completed", "status_code": 201}'::jsonb),
      ('failed', 'idempotency:00000000-0000-4000-8000-00000000000a', true, '{"key": "failed", "scope": "jobs", "status": "failed", "status_code": null}')
  $$,
  'on the user''s private channel, without the answer or the error'
);

-- who may listen
reset role;
\ir ../../supabase/schemas/idempotency/55_broadcasts.sql
\ir ../../supabase/schemas/idempotency/55_broadcasts.sql
select policies_are('realtime', 'messages', array['users hear of their own idempotency keys'], 'one policy lets users listen, applied twice as well');
set local role authenticated;
select pg_temp.sign_in('00000000-0000-4000-8000-00000000000a') \g /dev/null
set local realtime.topic = 'idempotency:00000000-0000-4000-8000-00000000000a';
select isnt_empty('select from realtime.messages', 'a user may listen on their own channel');
select pg_temp.sign_in('00000000-0000-4000-8000-00000000000b') \g /dev/null
select is_empty('select from realtime.messages', 'and on nobody else''s');
set local realtime.topic = 'idempotency:user_2abc';
select pg_temp.sign_in('user_2abc') \g /dev/null
select isnt_empty('select from realtime.messages', 'a user of third-party auth on theirs');
set local realtime.topic = 'idempotency:';
select is_empty('select from realtime.messages', 'nor on one without a user');
select set_config('request.jwt.claims', '', true) \g /dev/null
select is_empty('select from realtime.messages', 'whoever has not signed in listens to none');
select throws_ok($$insert into realtime.messages values ('{}', 'completed', 'idempotency:', true, 'broadcast')$$, '42501', null, 'and users send nothing on it themselves');

-- Realtime out of order
reset role;
create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void language plpgsql as $$
begin
  raise exception 'no partition of relation "messages" found for row';
end;
$$;
set local client_min_messages = error;
set local role service_role;
select is(pg_temp.notify('done'), 'none', 'where Realtime fails, nothing is sent, and that is no error');
reset role;
drop function realtime.send(jsonb, text, text, boolean);
create function realtime.send(payload jsonb, event text, topic text) returns void language sql as 'select';
set local role service_role;
select is(pg_temp.notify('done'), 'none', 'nor where it is of another version');
select is((select status from public.get_idempotency_status('done', 'jobs', '00000000-0000-4000-8000-00000000000a')), 'completed', 'and the key is completed all the same');

select * from finish();
rollback;
