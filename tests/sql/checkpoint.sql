-- What recording a step writes down, and its limits. Who hears what is the contract of every store:
-- shared/idempotency/testing.ts.
begin;
select plan(18);

set local role service_role;

create function pg_temp.claim(p_key text) returns public.idempotency_answer language sql as $$
  select public.idempotency_claim('', 'jobs', p_key, repeat('a', 64), '00000000-0000-4000-9000-000000000001', 60, 3600);
$$;

create function pg_temp.checkpoint(p_key text, p_step text, p_result jsonb, p_lease integer default 60) returns text language sql as $$
  select (public.idempotency_checkpoint(
    '', 'jobs', p_key, '00000000-0000-4000-9000-000000000001', p_step, p_result, p_lease
  )).outcome;
$$;

create function pg_temp.row_of(p_key text) returns public.idempotency_keys language sql as $$
  select k from public.idempotency_keys as k where k.idempotency_key = p_key;
$$;

-- each value is a result (pgflow: output || null)
select pg_temp.claim('values') \g /dev/null
select pg_temp.checkpoint('values', 'false', 'false') \g /dev/null
select pg_temp.checkpoint('values', 'zero', '0') \g /dev/null
select pg_temp.checkpoint('values', 'empty', '""') \g /dev/null
select pg_temp.checkpoint('values', 'json null', 'null') \g /dev/null
select is(pg_temp.checkpoint('values', 'sql null', null), 'recorded', 'JSON null comes from the Data API as SQL null');
select is(
  (pg_temp.row_of('values')).steps,
  '{"false": false, "zero": 0, "empty": "", "json null": null, "sql null": null}',
  'false, 0, "" and null are kept apart'
);
select pg_temp.checkpoint('values', 'sql null', '1') \g /dev/null
select is((pg_temp.row_of('values')).steps -> 'sql null', 'null', 'a null is a first result too');

-- lease and expiry
select pg_temp.claim('lease') \g /dev/null
select pg_temp.checkpoint('lease', 'a', '1', 600) \g /dev/null
select pg_temp.checkpoint('lease', 'b', '1', 1) \g /dev/null
select ok((pg_temp.row_of('lease')).lease_expires_at > clock_timestamp() + interval '590 seconds', 'a step does not cut a lease short');
select is((pg_temp.row_of('lease')).expires_at, (pg_temp.row_of('lease')).claimed_at + interval '1 hour', 'a step within the TTL leaves expires_at as it is');
select pg_temp.checkpoint('lease', 'b', '1', 7200) \g /dev/null
select is((pg_temp.row_of('lease')).expires_at, (pg_temp.row_of('lease')).lease_expires_at, 'a repeated step renews as well, and takes expires_at along');
update public.idempotency_keys set lease_expires_at = now() - interval '1 second' where idempotency_key = 'lease';
select is(pg_temp.checkpoint('lease', 'ship', '3'), 'recorded', 'a lapsed lease that nobody took over still records');
select ok((pg_temp.row_of('lease')).lease_expires_at > now(), 'and holds again');

-- limits
select throws_ok($$select pg_temp.checkpoint('lease', '', '1')$$, '22023', 'recording a step: its name must be 1 to 100 characters, not 0', 'a step needs a name');
select throws_ok($$select pg_temp.checkpoint('lease', null, '1')$$, '22023', 'recording a step: its name must be 1 to 100 characters, not null', 'which is not null');
select lives_ok($$select pg_temp.checkpoint('lease', repeat('ä', 100), '1')$$, 'of up to 100 characters');
select throws_ok($$select pg_temp.checkpoint('lease', repeat('ä', 101), '1')$$, '22023', 'recording a step: its name must be 1 to 100 characters, not 101', 'and no more');
select throws_ok($$select pg_temp.checkpoint('lease', 'c', '1', 0)$$, '22023', 'recording step c: the lease must be 1 to 86400 seconds, not 0', 'a step does not let go of the key');

select pg_temp.claim('many') \g /dev/null
select pg_temp.checkpoint('many', 'step ' || n, to_jsonb(n)) from generate_series(1, 100) as n \g /dev/null
select throws_ok($$select pg_temp.checkpoint('many', 'step 101', '1')$$, '22023', 'recording step step 101: key many has 100 steps, the most there may be', 'a run has at most 100 steps');
select is(pg_temp.checkpoint('many', 'step 100', '1'), 'recorded', 'sending the last one again is no further step');

select pg_temp.claim('large') \g /dev/null
select is(pg_temp.checkpoint('large', 'a', to_jsonb(repeat('x', 1000000))), 'recorded', 'a result may be large');
select throws_ok($$select pg_temp.checkpoint('large', 'b', to_jsonb(repeat('x', 100000)))$$, '22023', 'recording step b: the steps of key large would take 1100026 bytes, more than 1048576', 'all results together are at most 1 MiB');
select is(pg_temp.checkpoint('large', 'b', '1'), 'recorded', 'and a smaller one goes on from there');

select * from finish();
rollback;
