-- What an operator's resolution does in each state, and what everybody hears afterwards.
begin;
select plan(59);

insert into auth.users (id) values ('00000000-0000-4000-8000-00000000000a');
set local role service_role;
delete from public.idempotency_keys;

create function pg_temp.owner(p_owner integer) returns uuid language sql as $$
  select ('00000000-0000-4000-9000-' || lpad(p_owner::text, 12, '0'))::uuid;
$$;

create function pg_temp.claim(p_key text, p_owner integer, p_policy text default 'refuse', p_metadata jsonb default null)
returns public.idempotency_answer language sql as $$
  select public.idempotency_claim('', 'jobs', p_key, repeat('a', 64), pg_temp.owner(p_owner), 60, 3600, p_policy, p_metadata => p_metadata);
$$;

create function pg_temp.complete(p_key text, p_owner integer, p_response text default 'late')
returns public.idempotency_answer language sql as $$
  select public.idempotency_complete('', 'jobs', p_key, pg_temp.owner(p_owner), 200, p_response, 'text', null);
$$;

create function pg_temp.fail(p_key text, p_owner integer) returns text language sql as $$
  select (public.idempotency_fail('', 'jobs', p_key, pg_temp.owner(p_owner), 'no luck')).outcome;
$$;

create function pg_temp.lapse(p_key text, p_ago interval default '1 second') returns void language sql as $$
  update public.idempotency_keys set lease_expires_at = now() - p_ago where idempotency_key = p_key;
$$;

create function pg_temp.abandoned(p_key text, p_owner integer, p_metadata jsonb default null) returns void language sql as $$
  select pg_temp.claim(p_key, p_owner, 'refuse', p_metadata);
  select pg_temp.lapse(p_key);
$$;

create function pg_temp.row_of(p_key text) returns public.idempotency_keys language sql as $$
  select k from public.idempotency_keys as k where k.idempotency_key = p_key;
$$;

-- states in which there is nothing to resolve
select is((public.idempotency_resolve('', 'jobs', 'nobody', 'failed')).outcome, 'gone', 'a key without a row is not resolved');
select pg_temp.claim('live', 1) \g /dev/null
select throws_ok($$select public.idempotency_resolve('', 'jobs', 'live', 'failed')$$, 'IDK01', null, 'a live lease is not resolved');
select throws_ok($$select public.idempotency_resolve('', 'jobs', 'live', 'completed', 200, 'x')$$, 'IDK01', null, 'neither way');
select is((pg_temp.complete('live', 1, 'own')).outcome, 'completed', 'and its owner goes on');
select is((public.idempotency_resolve('', 'jobs', 'live', 'completed', 200, 'x')).outcome, 'replay', 'a key that completed meanwhile stays as it is');
select is((public.idempotency_resolve('', 'jobs', 'live', 'failed')).response, 'own', 'and the operator is told its answer');
select is((pg_temp.row_of('live')).metadata::jsonb, null, 'of which the row keeps no trace');

select pg_temp.claim('failed', 1) \g /dev/null
select pg_temp.fail('failed', 1) \g /dev/null
select is((public.idempotency_resolve('', 'jobs', 'failed', 'completed', 200, 'x')).outcome, 'failed', 'a key that failed meanwhile is not completed');
select is((public.idempotency_resolve('', 'jobs', 'failed', 'failed')).outcome, 'failed', 'and need not be failed again');
select is((pg_temp.row_of('failed')).error_message, 'no luck', 'so it keeps its own message');

-- completed
select pg_temp.abandoned('done', 1, '{"order": 7}') \g /dev/null
select is((pg_temp.claim('done', 2)).outcome, 'abandoned', 'under refuse an abandoned key waits for an operator');
create temporary table resolution as
select (public.idempotency_resolve('', 'jobs', 'done', 'completed', 201, 'booked', 'text', '{"content-type": "text/plain"}', 'seen at the provider')).*;
select is(r.outcome || r.attempt, 'completed1', 'which says that it completed') from resolution as r;
select isnt(r.completed_at, null, 'as of now') from resolution as r;
select is((pg_temp.claim('done', 2)).outcome, 'replay', 'from then on it is replayed');
select is((pg_temp.claim('done', 2)).response, 'booked', 'with the answer that was given');
select is((pg_temp.claim('done', 2)).response_headers, '{"content-type": "text/plain"}', 'and its headers');
select is((pg_temp.row_of('done')).metadata::jsonb - 'resolved_at', '{"order": 7, "resolution": "completed", "note": "seen at the provider"}', 'the row says who decided');
select ok(((pg_temp.row_of('done')).metadata ->> 'resolved_at')::timestamptz between now() and clock_timestamp(), 'and when');
select is((pg_temp.complete('done', 1)).outcome, 'replay', 'the owner that comes back is told the resolution');
select is((pg_temp.complete('done', 1)).response, 'booked', 'and records nothing of its own');
select is((public.idempotency_renew('', 'jobs', 'done', pg_temp.owner(1), 60)).outcome, 'replay', 'nor does it get a lease');
select is((public.idempotency_resolve('', 'jobs', 'done', 'completed', 201, 'booked', 'text', '{"content-type": "text/plain"}')).outcome, 'completed', 'resolving twice answers the same');
select is((public.idempotency_resolve('', 'jobs', 'done', 'completed', 201, 'other', 'text', '{"content-type": "text/plain"}')).outcome, 'replay', 'another answer is not said to be recorded');
select is((public.idempotency_resolve('', 'jobs', 'done', 'completed', 500)).response, 'booked', 'and whoever brought it is told the one that is');
select is((pg_temp.row_of('done')).response, 'booked', 'and keeps the first answer');
select is((public.idempotency_resolve('', 'jobs', 'done', 'failed')).outcome, 'replay', 'an answer cannot be taken back');

select pg_temp.abandoned('unknown', 1) \g /dev/null
select is((public.idempotency_resolve('', 'jobs', 'unknown', 'completed', 204)).outcome, 'completed', 'an operator need not know the answer');
select is((pg_temp.row_of('unknown')).response_encoding, 'none', 'which then counts as one that was not kept');
select pg_temp.abandoned('empty', 1) \g /dev/null
select is((public.idempotency_resolve('', 'jobs', 'empty', 'completed', 200, '')).outcome, 'completed', 'an empty answer');
select is((pg_temp.row_of('empty')).response, '', 'is not the same as none');

-- failed
select pg_temp.abandoned('again', 1) \g /dev/null
update public.idempotency_keys set steps = '{"charge": 1}' where idempotency_key = 'again';
select is((public.idempotency_resolve('', 'jobs', 'again', 'failed', p_note => 'never arrived')).outcome, 'failed', 'which says that it failed');
select is((pg_temp.row_of('again')).error_message, 'never arrived', 'with the note as its message');
select is((pg_temp.complete('again', 1)).outcome, 'lost', 'the owner that comes back completes nothing');
create temporary table retried as select (pg_temp.claim('again', 2)).*;
select is(r.outcome || r.attempt, 'claimed2', 'the next claim runs as attempt 2, under refuse too') from retried as r;
select is(r.steps, '{"charge": 1}', 'with the steps there are') from retried as r;
select is((pg_temp.complete('again', 1)).outcome, 'lost', 'the first owner still completes nothing');
select is((pg_temp.complete('again', 2, 'second')).outcome, 'completed', 'the second does');
select is((pg_temp.complete('again', 1)).response, 'second', 'and the first is told its answer');

-- whatever the row holds
select pg_temp.abandoned('full', 1, jsonb_build_object('filler', repeat('x', 16300))) \g /dev/null
select is((public.idempotency_resolve('', 'jobs', 'full', 'failed', p_note => repeat('y', 2000))).outcome, 'failed', 'metadata that leaves no room keeps no key from being resolved');
select is((pg_temp.claim('full', 2, p_metadata => '{"traceId": "2"}')).outcome, 'claimed', 'nor from running again');
select is((pg_temp.row_of('full')).metadata ->> 'traceId', '2', 'with what the later attempt brings');
select pg_temp.claim('packed', 1, 'retry', jsonb_build_object('filler', repeat('x', 16300))), pg_temp.lapse('packed', '1 minute') \g /dev/null
select is((pg_temp.claim('packed', 2, 'retry', jsonb_build_object('traceId', repeat('2', 100)))).outcome, 'taken_over', 'nor does other metadata');
select is((pg_temp.row_of('packed')).metadata::jsonb, jsonb_build_object('traceId', repeat('2', 100)), 'which gives way');
select pg_temp.abandoned('noted', 1, '{"traceId": "1"}'), public.idempotency_resolve('', 'jobs', 'noted', 'failed', p_note => 'lost') \g /dev/null
select is((pg_temp.claim('noted', 2, p_metadata => '{"traceId": "2"}')).outcome, 'claimed', 'where there is room');
select is((pg_temp.row_of('noted')).metadata::jsonb - 'resolved_at', '{"traceId": "2", "resolution": "failed", "note": "lost"}', 'what an operator noted stays beside it');
select pg_temp.abandoned('expired', 1) \g /dev/null
update public.idempotency_keys set lease_expires_at = now() - interval '2 hours', claimed_at = now() - interval '3 hours', expires_at = now() - interval '1 hour' where idempotency_key = 'expired';
select is((public.idempotency_resolve('', 'jobs', 'expired', 'completed', 200, 'x')).outcome, 'completed', 'an expired run that cleanup has left can be resolved');
select is((pg_temp.claim('expired', 2)).outcome, 'replay', 'and is replayed from then on');

select throws_ok($$select public.idempotency_resolve('', 'jobs', 'live', 'done')$$, '22023', 'resolving an idempotency key: the resolution must be completed or failed, not ''done''', 'an unknown resolution is refused');
select throws_ok($$select public.idempotency_resolve('', 'jobs', 'live', null)$$, '22023', 'resolving an idempotency key: the resolution must be completed or failed, not null', 'and none');
select throws_ok($$select public.idempotency_resolve('', 'jobs', 'live', 'failed', 200)$$, '22023', 'resolving an idempotency key: one that failed has no answer, so none may be given', 'and a failure with an answer');
select throws_ok($$select public.idempotency_resolve('', 'jobs', 'live', 'failed', p_note => repeat('x', 2001))$$, '22023', 'resolving an idempotency key: the note must be at most 2000 characters, not 2001', 'and a long note');
select pg_temp.abandoned('unsaid', 1) \g /dev/null
select throws_ok($$select public.idempotency_resolve('', 'jobs', 'unsaid', 'completed')$$, '22023', 'completing an idempotency key: the status code must be 100 to 599, not null', 'and a completion without a status code');

-- an owner without room for what the operator would have retries get
select public.idempotency_claim('full', 'jobs', 'large', repeat('a', 64), pg_temp.owner(1), 60, 3600, p_metadata => jsonb_build_object('cart', string_agg(md5(n::text), ''))) from generate_series(1, 60) as n \g /dev/null
select pg_temp.lapse('large', '1 minute') \g /dev/null
reset role;
update idempotency.limits set bytes = 1000;
insert into idempotency.full_owners values ('full');
set local role service_role;
select throws_ok(
  $$
    select public.idempotency_resolve('full', 'jobs', 'large', 'completed', 200, string_agg(md5(n::text), ''))
    from generate_series(1, 1000) as n
  $$,
  'PT429',
  'resolving an idempotency key: the live keys of the owner hold as many bytes as they may, so this answer would not be kept',
  'an answer that would not be kept is refused'
);
select is((select idempotency_key from public.idempotency_stuck_keys() where owner = 'full'), 'large', 'and the key waits as before');
select is((public.idempotency_resolve('full', 'jobs', 'large', 'completed', 200, 'short')).outcome, 'completed', 'a small one is kept');
reset role;
update idempotency.limits set bytes = default;
set local role service_role;

-- the list
delete from public.idempotency_keys;
select pg_temp.abandoned('second', 1, '{"order": 1}') \g /dev/null
select pg_temp.claim('first', 1) \g /dev/null
select pg_temp.lapse('first', '1 hour') \g /dev/null
select pg_temp.claim('running', 1) \g /dev/null
select pg_temp.abandoned('over', 1) \g /dev/null
select public.idempotency_resolve('', 'jobs', 'over', 'failed') \g /dev/null
select public.idempotency_claim('00000000-0000-4000-8000-00000000000a', 'jobs', 'of-a', repeat('a', 64), pg_temp.owner(1), 60, 3600) \g /dev/null
select pg_temp.lapse('of-a', '1 minute') \g /dev/null
select results_eq(
  'select owner, scope, idempotency_key, attempt, metadata from public.idempotency_stuck_keys()',
  $$
    values
      ('', 'jobs', 'first', 1, null::jsonb),
      ('00000000-0000-4000-8000-00000000000a', 'jobs', 'of-a', 1, null),
      ('', 'jobs', 'second', 1, '{"order": 1}')
  $$,
  'stuck keys are those whose lease lapsed, of everybody, the oldest first'
);
select is((select count(*) from public.idempotency_stuck_keys(2)), 2::bigint, 'as many as asked for');
select throws_ok('select * from public.idempotency_stuck_keys(0)', '22023', 'listing stuck idempotency keys: the limit must be 1 to 1000, not 0', 'which is at least one');
select throws_ok('select * from public.idempotency_stuck_keys(null)', '22023', 'listing stuck idempotency keys: the limit must be 1 to 1000, not null', 'and known');

select * from finish();
rollback;
