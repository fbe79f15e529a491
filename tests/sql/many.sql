-- Batches: each item decided as the single call decides it, in the order given, whatever the others hold.
begin;
select plan(53);

insert into auth.users (id) values
  ('00000000-0000-4000-8000-00000000000a'),
  ('00000000-0000-4000-8000-00000000000b');
set local role service_role;

create function pg_temp.owner(p_owner integer) returns uuid language sql as $$
  select ('00000000-0000-4000-9000-' || lpad(p_owner::text, 12, '0'))::uuid;
$$;

create function pg_temp.request(p_key text, p_owner integer, p_fingerprint text default 'a') returns jsonb language sql as $$
  select jsonb_build_object('key', p_key, 'fingerprint', repeat(p_fingerprint, 64), 'owner_token', pg_temp.owner(p_owner));
$$;

create function pg_temp.claims(p_requests jsonb, p_policy text default 'retry', p_owner text default '')
returns setof public.idempotency_item_answer language sql as $$
  select * from public.idempotency_claim_many(p_owner, 'batch', p_requests, 60, 3600, p_policy);
$$;

create function pg_temp.claim(p_key text, p_owner integer, p_fingerprint text default 'a', p_policy text default 'retry')
returns public.idempotency_answer language sql as $$
  select public.idempotency_claim('', 'batch', p_key, repeat(p_fingerprint, 64), pg_temp.owner(p_owner), 60, 3600, p_policy);
$$;

create function pg_temp.done(p_key text, p_owner integer, p_response text default 'done') returns jsonb language sql as $$
  select jsonb_build_object(
    'key', p_key, 'owner_token', pg_temp.owner(p_owner), 'status_code', 200, 'response', p_response,
    'response_encoding', 'text', 'response_headers', null
  );
$$;

create function pg_temp.failed(p_key text, p_owner integer, p_message text default 'no luck') returns jsonb language sql as $$
  select jsonb_build_object('key', p_key, 'owner_token', pg_temp.owner(p_owner), 'error_message', p_message);
$$;

create function pg_temp.settle(p_settlements jsonb, p_ttl integer default null, p_failed_ttl integer default null)
returns setof public.idempotency_item_answer language sql as $$
  select * from public.idempotency_settle_many('', 'batch', p_settlements, p_ttl, p_failed_ttl);
$$;

create function pg_temp.row_of(p_key text) returns public.idempotency_keys language sql as $$
  select k from public.idempotency_keys as k where k.scope = 'batch' and k.idempotency_key = p_key;
$$;

create function pg_temp.lapse(p_key text) returns void language sql as $$
  update public.idempotency_keys set lease_expires_at = now() - interval '1 second' where idempotency_key = p_key;
$$;

-- one key in each state, once for the single call and once for the batch
create function pg_temp.states(p_prefix text) returns void language plpgsql as $$
begin
  perform pg_temp.claim(p_prefix || state, 1)
  from unnest(array['live', 'own', 'lapsed', 'failed', 'completed', 'other-payload', 'expired']) as state;
  perform pg_temp.lapse(p_prefix || 'lapsed');
  perform public.idempotency_fail('', 'batch', p_prefix || 'failed', pg_temp.owner(1), 'no luck');
  perform public.idempotency_complete('', 'batch', p_prefix || 'completed', pg_temp.owner(1), 201, 'body', 'text', '{"x": "y"}');
  update public.idempotency_keys set steps = '{"charge": 1}' where idempotency_key in (p_prefix || 'lapsed', p_prefix || 'failed');
  update public.idempotency_keys set lease_expires_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'
  where idempotency_key = p_prefix || 'expired';
end;
$$;

create temporary table cases as
select * from (values
  ('live', 2, 'a'), ('own', 1, 'a'), ('lapsed', 2, 'a'), ('failed', 2, 'a'), ('completed', 2, 'a'),
  ('other-payload', 1, 'b'), ('expired', 2, 'b'), ('fresh', 2, 'a')
) as c (state, owner, fingerprint);

select pg_temp.states('single-') \g /dev/null
select pg_temp.states('batch-') \g /dev/null
create temporary table single as
select c.state, a.* from cases as c cross join lateral pg_temp.claim('single-' || c.state, c.owner, c.fingerprint) as a;
create temporary table batch as
select * from pg_temp.claims((select jsonb_agg(pg_temp.request('batch-' || c.state, c.owner, c.fingerprint)) from cases as c));
select results_eq(
  $$select 'batch-' || state, outcome, attempt, retry_after_seconds, status_code, response, response_encoding, response_headers, steps from single order by state$$,
  $$select idempotency_key, outcome, attempt, retry_after_seconds, status_code, response, response_encoding, response_headers, steps from batch order by substr(idempotency_key, 7)$$,
  'in each state a batch answers as single calls do'
);
select set_eq('select distinct outcome from batch', array['in_progress', 'claimed', 'taken_over', 'replay', 'mismatch'], 'with each outcome that this policy has');
select is((select count(*) from batch where error_code is not null), 0::bigint, 'and no error');
select is((select outcome from pg_temp.claims(jsonb_build_array(pg_temp.request('batch-lapsed', 2))) limit 1), 'taken_over', 'the same owner is granted its key again');
select pg_temp.lapse('batch-live') \g /dev/null
select is((select outcome from pg_temp.claims(jsonb_build_array(pg_temp.request('batch-live', 2)), 'refuse')), 'abandoned', 'and the policy is observed');
select is(
  (select array_agg(k.fence > 0 and k.lease_expires_at > now() and k.expires_at > now() + interval '59 minutes') from public.idempotency_keys as k where k.idempotency_key = 'batch-fresh'),
  array[true], 'a key granted in a batch has fence, lease and TTL'
);

select is(
  (select array_agg(error_code) from pg_temp.claims(jsonb_build_array(pg_temp.request('noted', 1) || '{"metadata": {"order": 7}}', pg_temp.request('ill-noted', 1) || '{"metadata": 7}'))),
  array[null, '23514'], 'metadata is an object in a batch too'
);
select is((pg_temp.row_of('noted')).metadata, '{"order": 7}', 'and kept with the key');

-- order
select results_eq(
  $$select idempotency_key from pg_temp.claims(jsonb_build_array(pg_temp.request('zebra', 1), pg_temp.request('ant', 1), pg_temp.request('Mule', 1)))$$,
  $$values ('zebra'), ('ant'), ('Mule')$$,
  'answers come in the order of the requests'
);
select ok((pg_temp.row_of('Mule')).fence < (pg_temp.row_of('ant')).fence and (pg_temp.row_of('ant')).fence < (pg_temp.row_of('zebra')).fence, 'and keys are taken in the order of their bytes');

-- one item's fault
create temporary table mixed as
select * from pg_temp.claims(jsonb_build_array(
  pg_temp.request('good-1', 1), pg_temp.request('a b', 1), '7', null,
  pg_temp.request('good-2', 1, 'X'), pg_temp.request('good-3', 1) || '{"owner_token": "nobody"}',
  pg_temp.request('good-4', 1) - 'owner_token', pg_temp.request('good-5', 1), pg_temp.request('single-completed', 2, 'b'),
  pg_temp.request('good-1', 1), pg_temp.request('good-1', 2)
)) with ordinality;
select results_eq(
  'select idempotency_key, outcome, error_code from mixed order by ordinality',
  $$
    values
      ('good-1', 'claimed', null::text), ('a b', 'refused', '23514'), (null, 'refused', '22023'), (null, 'refused', '22023'),
      ('good-2', 'refused', '23514'), ('good-3', 'refused', '22P02'), ('good-4', 'refused', '22023'), ('good-5', 'claimed', null),
      ('single-completed', 'mismatch', null), ('good-1', 'refused', '22023'), ('good-1', 'in_progress', null)
  $$,
  'a bad item is refused, and the others are answered as ever'
);
select matches((select error_message from mixed where idempotency_key = 'a b'), 'key_is_3_to_256', 'the message names what was wrong');
select matches((select error_message from mixed where ordinality = 10), 'same owner token', 'one key is granted once in a batch');
select is((select count(*) from mixed where outcome = 'refused' and num_nonnulls(attempt, fence, status_code, response, steps) > 0), 0::bigint, 'and a refusal carries nothing else');
select is((select count(*) from public.idempotency_keys where idempotency_key ~ '^good-' and scope = 'batch'), 2::bigint, 'only what was granted leaves a row');

-- the fault of all
select is((select count(*) from pg_temp.claims('[]')), 0::bigint, 'no requests, no answers');
select throws_ok($$select pg_temp.claims('{}')$$, '22023', 'a batch of idempotency keys: the items must be an array, not object', 'what is no array is refused');
select throws_ok($$select pg_temp.claims(null)$$, '22023', 'a batch of idempotency keys: the items must be an array, not null', 'and null');
select throws_ok($$select pg_temp.claims((select jsonb_agg(pg_temp.request('n-' || n, 1)) from generate_series(1, 101) as n))$$, '22023', 'a batch of idempotency keys: there may be at most 100 items, not 101', 'and more than 100');

-- what is wrong with the terms is wrong for each item
create function pg_temp.whole(
  p_scope text default 'batch', p_lease integer default 60, p_ttl integer default 3600, p_policy text default 'retry', p_most integer default 5
) returns text language sql as $$
  select string_agg(m.outcome || ' ' || m.error_code, ' ') from public.idempotency_claim_many(
    '', p_scope, jsonb_build_array(pg_temp.request('whole', 1), pg_temp.request('all', 1)), p_lease, p_ttl, p_policy, p_most
  ) as m;
$$;
select is(pg_temp.whole(p_policy => 'guess'), 'refused 22023 refused 22023', 'with an unknown policy all are refused');
select is(pg_temp.whole(p_lease => 0), 'refused 22023 refused 22023', 'and with a lease of no seconds');
select is(pg_temp.whole(p_ttl => 0), 'refused 22023 refused 22023', 'and with a TTL of no seconds');
select is(pg_temp.whole(p_most => 0), 'refused 22023 refused 22023', 'and with no attempt at all');
select is(pg_temp.whole(p_scope => ''), 'refused 23514 refused 23514', 'and without a scope');
select is_empty($$select from public.idempotency_keys where idempotency_key in ('whole', 'all')$$, 'and then nothing is claimed');
select throws_ok(
  $$select public.idempotency_claim_many('00000000-0000-4000-8000-00000000000c', 'batch', jsonb_build_array(pg_temp.request('gone', 1)), 60, 60)$$,
  '23503', null, 'an account that is gone gets none of them'
);
select is((select count(*) from pg_temp.claims((select jsonb_agg(pg_temp.request('hundred-' || n, 1)) from generate_series(1, 100) as n)) where outcome = 'claimed'), 100::bigint, '100 are claimed at once');

-- settling, in each state
select pg_temp.claims((select jsonb_agg(pg_temp.request('s-' || name, 1)) from unnest(array['done', 'failed', 'lost', 'lapsed', 'empty']) as name)) \g /dev/null
select pg_temp.lapse('s-' || name) from unnest(array['lost', 'lapsed']) as name \g /dev/null
select pg_temp.claim('s-lost', 2) \g /dev/null
create temporary table settled as
select * from pg_temp.settle(jsonb_build_array(
  pg_temp.done('s-done', 1), pg_temp.failed('s-failed', 1), pg_temp.done('s-lost', 1), pg_temp.done('s-nobody', 1),
  pg_temp.done('s-lapsed', 1), pg_temp.done('s-empty', 1, ''), pg_temp.done('single-completed', 1), pg_temp.failed('single-completed', 2)
), 7200, 600) with ordinality;
select results_eq(
  'select idempotency_key, outcome, attempt, error_code from settled order by ordinality',
  $$
    values
      ('s-done', 'completed', 1, null::text), ('s-failed', 'failed', 1, null), ('s-lost', 'lost', 2, null), ('s-nobody', 'gone', null, null),
      ('s-lapsed', 'completed', 1, null), ('s-empty', 'completed', 1, null), ('single-completed', 'completed', 1, null), ('single-completed', 'gone', null, null)
  $$,
  'each claim is ended as the single call ends it'
);
select is((pg_temp.row_of('s-lost')).owner_token, pg_temp.owner(2), 'a stale owner changes nothing');
select is((pg_temp.row_of('s-empty')).response, '', 'an empty answer stays one');
select is((pg_temp.row_of('s-done')).response_headers, null, 'headers that are null are none');
select is((pg_temp.row_of('single-completed')).response, 'body', 'a recorded answer stays');
select is((pg_temp.row_of('s-done')).expires_at - (pg_temp.row_of('s-done')).claimed_at, interval '2 hours', 'completed has its TTL');
select is((pg_temp.row_of('s-failed')).expires_at - (pg_temp.row_of('s-failed')).claimed_at, interval '10 minutes', 'failed has its own');
select is((pg_temp.row_of('s-failed')).error_message, 'no luck', 'and its message');
select is((select string_agg(outcome, ' ') from pg_temp.settle(jsonb_build_array(pg_temp.done('s-done', 1, 'again'), pg_temp.failed('s-failed', 1)))), 'completed failed', 'a batch may be sent twice');
select is((pg_temp.row_of('s-done')).response, 'done', 'and keeps the first answer');
select is((select outcome || response from pg_temp.settle(jsonb_build_array(pg_temp.failed('s-done', 1)))), 'replaydone', 'who fails late is told the answer');

-- one settlement's fault
select pg_temp.claims((select jsonb_agg(pg_temp.request('t-' || n, 1)) from generate_series(1, 12) as n)) \g /dev/null
create temporary table faults as
select * from pg_temp.settle(jsonb_build_array(
  pg_temp.done('t-1', 1),
  pg_temp.done('t-2', 1) || '{"status_code": 99}',
  pg_temp.done('t-3', 1) || '{"status_code": "many"}',
  pg_temp.done('t-4', 1) || '{"status_code": 9999999999}',
  pg_temp.done('t-5', 1) || '{"response_encoding": "hex"}',
  pg_temp.done('t-6', 1) || '{"response": {"a": 1}}',
  pg_temp.done('t-7', 1) || '{"response_headers": []}',
  pg_temp.done('t-8', 1) || '{"owner_token": 5}',
  pg_temp.done('t-9', 1) || '{"error_message": "both"}',
  pg_temp.done('t-10', 1) - 'status_code',
  '"t-11"',
  pg_temp.failed('t-12', 1, null)
)) with ordinality;
select results_eq(
  'select idempotency_key, outcome, error_code from faults order by ordinality',
  $$
    values
      ('t-1', 'completed', null::text), ('t-2', 'refused', '22023'), ('t-3', 'refused', '22P02'), ('t-4', 'refused', '22003'),
      ('t-5', 'refused', '22023'), ('t-6', 'refused', '22023'), ('t-7', 'refused', '23514'), ('t-8', 'refused', '22P02'),
      ('t-9', 'refused', '22023'), ('t-10', 'refused', '22023'), (null, 'refused', '22023'), ('t-12', 'failed', null)
  $$,
  'a bad settlement is refused, and the others are recorded'
);
select is((select count(*) from faults where outcome = 'refused' and error_message is null), 0::bigint, 'each refusal says why');
select set_eq($$select status from public.idempotency_keys where idempotency_key in ('t-2', 't-7', 't-11')$$, array['processing'], 'and leaves its key as it was');
select is((select count(*) from pg_temp.settle('[]')), 0::bigint, 'no settlements, no answers');
select throws_ok($$select pg_temp.settle('"x"')$$, '22023', 'a batch of idempotency keys: the items must be an array, not string', 'what is no array is refused');
select throws_ok($$select pg_temp.settle(null)$$, '22023', 'a batch of idempotency keys: the items must be an array, not null', 'and null');
select throws_ok($$select pg_temp.settle((select jsonb_agg(pg_temp.done('t-2', 1)) from generate_series(1, 101)))$$, '22023', 'a batch of idempotency keys: there may be at most 100 items, not 101', 'and more than 100');
select is((select error_code from pg_temp.settle(jsonb_build_array(pg_temp.done('t-2', 1)), 0)), '22023', 'and a TTL of no seconds');
select is((select error_code from pg_temp.settle(jsonb_build_array(pg_temp.failed('t-2', 1)), 60, 0)), '22023', 'for failures too');

-- whose
select is((select outcome from pg_temp.claims(jsonb_build_array(pg_temp.request('single-completed', 1)), 'retry', '00000000-0000-4000-8000-00000000000a')), 'claimed', 'the project''s key is a user''s free one');
select is((select user_id from public.idempotency_keys where owner = '00000000-0000-4000-8000-00000000000a'), '00000000-0000-4000-8000-00000000000a', 'which goes with the account');
select is(
  (select outcome from public.idempotency_claim_many('00000000-0000-4000-8000-00000000000c', 'batch', jsonb_build_array(pg_temp.request('theirs', 1)), 60, 60, 'retry', 5, true)),
  'claimed', 'a user of third-party auth needs no account'
);
select pg_temp.claims(jsonb_build_array(pg_temp.request('parked', 1))) \g /dev/null
select pg_temp.lapse('parked') \g /dev/null
select is(
  (select outcome from public.idempotency_claim_many('', 'batch', jsonb_build_array(pg_temp.request('parked', 2)), 60, 60, 'retry', 1)),
  'abandoned', 'crashes are counted in a batch too'
);

-- the limit
reset role;
insert into public.idempotency_keys (owner, user_id, scope, idempotency_key, request_fingerprint, owner_token, lease_expires_at, expires_at)
select
  '00000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-00000000000b', 'batch', 'key-' || n, repeat('a', 64),
  gen_random_uuid(), now() - interval '1 second', now() + interval '1 hour'
from generate_series(1, 9999) as n;
insert into idempotency.full_owners values ('00000000-0000-4000-8000-00000000000b');
set local role service_role;
create temporary table limited as
select * from pg_temp.claims(jsonb_build_array(pg_temp.request('key-7', 1), pg_temp.request('room', 1)), 'retry', '00000000-0000-4000-8000-00000000000b') with ordinality;
insert into idempotency.full_owners values ('00000000-0000-4000-8000-00000000000b') on conflict do nothing;
insert into limited
select * from pg_temp.claims(
  jsonb_build_array(pg_temp.request('no-room', 1), pg_temp.request('room', 1), pg_temp.request('key-8', 1), pg_temp.request('nor-here', 1)),
  'retry', '00000000-0000-4000-8000-00000000000b'
) with ordinality;
select results_eq(
  'select idempotency_key, outcome, error_code from limited',
  $$
    values
      ('key-7', 'taken_over', null::text), ('room', 'claimed', null),
      ('no-room', 'refused', 'PT429'), ('room', 'claimed', null), ('key-8', 'taken_over', null), ('nor-here', 'refused', 'PT429')
  $$,
  'at the limit new keys are refused one by one, and those there are go on'
);
select is((select count(*) from public.idempotency_keys where owner = '00000000-0000-4000-8000-00000000000b'), 10000::bigint, 'and the limit holds');

select * from finish();
rollback;
