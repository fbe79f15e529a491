-- What recording a step answers in each state, to each caller, and what it keeps.
begin;
select plan(40);

set local role service_role;

create function pg_temp.owner(p_owner integer) returns uuid language sql as $$
  select ('00000000-0000-4000-9000-' || lpad(p_owner::text, 12, '0'))::uuid;
$$;

create function pg_temp.claim(p_key text, p_owner integer) returns public.idempotency_answer language sql as $$
  select public.idempotency_claim(null, 'jobs', p_key, repeat('a', 64), pg_temp.owner(p_owner), 60, 3600);
$$;

create function pg_temp.complete(p_key text, p_owner integer) returns text language sql as $$
  select (public.idempotency_complete(null, 'jobs', p_key, pg_temp.owner(p_owner), 200, 'done', 'text', null)).outcome;
$$;

create function pg_temp.fail(p_key text, p_owner integer) returns text language sql as $$
  select (public.idempotency_fail(null, 'jobs', p_key, pg_temp.owner(p_owner), 'no luck')).outcome;
$$;

create function pg_temp.checkpoint(p_key text, p_owner integer, p_step text, p_result jsonb, p_lease integer default 60)
returns public.idempotency_answer language sql as $$
  select public.idempotency_checkpoint(null, 'jobs', p_key, pg_temp.owner(p_owner), p_step, p_result, p_lease);
$$;

create function pg_temp.lapse(p_key text) returns void language sql as $$
  update public.idempotency_keys set lease_expires_at = now() - interval '1 second' where idempotency_key = p_key;
$$;

create function pg_temp.row_of(p_key text) returns public.idempotency_keys language sql as $$
  select k from public.idempotency_keys as k where k.idempotency_key = p_key;
$$;

-- each state × each caller
select is((pg_temp.checkpoint('nobody', 1, 'charge', '1')).outcome, 'stale', 'a key without a row takes no step');
select pg_temp.claim('run', 1) \g /dev/null
select is((pg_temp.checkpoint('run', 1, 'charge', '{"id": "ch_1"}')).outcome, 'recorded', 'the owner records a step');
select is((pg_temp.row_of('run')).steps, '{"charge": {"id": "ch_1"}}', 'with its result');
select is((pg_temp.checkpoint('run', 1, 'charge', '{"id": "ch_1"}')).outcome, 'recorded', 'twice, where the first answer was lost');
select is((pg_temp.checkpoint('run', 1, 'charge', '{"id": "ch_2"}')).outcome, 'recorded', 'another result answers the same');
select is((pg_temp.row_of('run')).steps, '{"charge": {"id": "ch_1"}}', 'and the first one stays');
select is((pg_temp.checkpoint('run', 1, 'mail', '2')).attempt, 1, 'a second step is recorded beside the first');
select is((pg_temp.row_of('run')).steps, '{"mail": 2, "charge": {"id": "ch_1"}}', 'and both are kept');
select is((pg_temp.checkpoint('run', 2, 'other', '3')).outcome, 'stale', 'a token that never held the key records nothing');

select pg_temp.lapse('run') \g /dev/null
select is((pg_temp.checkpoint('run', 1, 'ship', '3')).outcome, 'recorded', 'a lapsed lease that nobody took over still records');
select is((pg_temp.claim('run', 2)).outcome, 'in_progress', 'and holds again: a step renews the lease');

select pg_temp.lapse('run') \g /dev/null
create temporary table takeover as select (pg_temp.claim('run', 2)).*;
select is(t.steps, '{"mail": 2, "ship": 3, "charge": {"id": "ch_1"}}', 'the next attempt is handed all steps') from takeover as t;
select is((pg_temp.claim('run', 2)).steps, t.steps, 'again when its first answer was lost') from takeover as t;
select is((pg_temp.checkpoint('run', 1, 'late', '4', 86400)).outcome, 'stale', 'the owner that lost the lease records nothing');
select is((pg_temp.row_of('run')).steps, t.steps, 'neither a step') from takeover as t;
select ok((pg_temp.row_of('run')).lease_expires_at < now() + interval '1 hour', 'nor a longer lease for its successor');
select is((pg_temp.checkpoint('run', 1, 'late', '4')).attempt, 2, 'it hears which attempt took the key');
select is((pg_temp.checkpoint('run', 2, 'late', '5')).outcome, 'recorded', 'the successor records');

select pg_temp.complete('run', 2) \g /dev/null
select is((pg_temp.checkpoint('run', 1, 'late', '4')).response, 'done', 'once completed, the owner that lost is told the answer');
select is((pg_temp.checkpoint('run', 2, 'after', '6')).outcome, 'replay', 'the owner that completed records no more');
select is((pg_temp.checkpoint('run', 3, 'after', '6')).outcome, 'stale', 'a stranger is not told the answer');
select ok(not (pg_temp.row_of('run')).steps ? 'after', 'and the steps are as they were');

select pg_temp.claim('failing', 1) \g /dev/null
select pg_temp.checkpoint('failing', 1, 'charge', '1') \g /dev/null
select pg_temp.fail('failing', 1) \g /dev/null
select is((pg_temp.checkpoint('failing', 1, 'mail', '2')).outcome, 'stale', 'the owner of a failed run records no more');
select is((pg_temp.claim('failing', 2)).steps, '{"charge": 1}', 'what it had recorded is there for the next attempt');

-- each value is a result (pgflow: output || null)
select pg_temp.claim('values', 1) \g /dev/null
select pg_temp.checkpoint('values', 1, 'false', 'false') \g /dev/null
select pg_temp.checkpoint('values', 1, 'zero', '0') \g /dev/null
select pg_temp.checkpoint('values', 1, 'empty', '""') \g /dev/null
select pg_temp.checkpoint('values', 1, 'json null', 'null') \g /dev/null
select pg_temp.checkpoint('values', 1, 'sql null', null) \g /dev/null
select is(
  (pg_temp.row_of('values')).steps,
  '{"false": false, "zero": 0, "empty": "", "json null": null, "sql null": null}',
  'false, 0, "" and null are kept apart'
);
select pg_temp.checkpoint('values', 1, 'sql null', '1') \g /dev/null
select is((pg_temp.row_of('values')).steps -> 'sql null', 'null', 'a null is a first result too');

-- lease and expiry
select pg_temp.claim('lease', 1) \g /dev/null
select pg_temp.checkpoint('lease', 1, 'a', '1', 600) \g /dev/null
select pg_temp.checkpoint('lease', 1, 'b', '1', 1) \g /dev/null
select ok((pg_temp.row_of('lease')).lease_expires_at > clock_timestamp() + interval '590 seconds', 'a step does not cut a lease short');
select is((pg_temp.row_of('lease')).expires_at, (pg_temp.row_of('lease')).claimed_at + interval '1 hour', 'a step within the TTL leaves expires_at as it is');
select pg_temp.checkpoint('lease', 1, 'b', '1', 7200) \g /dev/null
select is((pg_temp.row_of('lease')).expires_at, (pg_temp.row_of('lease')).lease_expires_at, 'a repeated step renews as well, and takes expires_at along');

-- limits
select throws_ok($$select pg_temp.checkpoint('lease', 1, '', '1')$$, '22023', null, 'a step needs a name');
select throws_ok($$select pg_temp.checkpoint('lease', 1, null, '1')$$, '22023', null, 'which is not null');
select lives_ok($$select pg_temp.checkpoint('lease', 1, repeat('ä', 100), '1')$$, 'of up to 100 characters');
select throws_ok($$select pg_temp.checkpoint('lease', 1, repeat('ä', 101), '1')$$, '22023', null, 'and no more');
select throws_ok($$select pg_temp.checkpoint('lease', 1, 'c', '1', 0)$$, '22023', null, 'a step does not let go of the key');
select throws_ok($$select pg_temp.checkpoint('lease', 1, 'c', '1', null)$$, '22023', null, 'nor leave the lease unknown');

select pg_temp.claim('many', 1) \g /dev/null
select pg_temp.checkpoint('many', 1, 'step ' || n, to_jsonb(n)) from generate_series(1, 100) as n \g /dev/null
select throws_ok($$select pg_temp.checkpoint('many', 1, 'step 101', '1')$$, '22023', 'recording step step 101: key many has 100 steps, the most there may be', 'a run has at most 100 steps');
select is((pg_temp.checkpoint('many', 1, 'step 100', '1')).outcome, 'recorded', 'sending the last one again is no further step');

select pg_temp.claim('large', 1) \g /dev/null
select is((pg_temp.checkpoint('large', 1, 'a', to_jsonb(repeat('x', 1000000)))).outcome, 'recorded', 'a result may be large');
select throws_ok($$select pg_temp.checkpoint('large', 1, 'b', to_jsonb(repeat('x', 100000)))$$, '22023', null, 'all results together are at most 1 MiB');
select is((pg_temp.checkpoint('large', 1, 'b', '1')).outcome, 'recorded', 'and a smaller one goes on from there');

select * from finish();
rollback;
