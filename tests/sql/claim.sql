-- What a claim answers in each state, to each caller.
begin;
select plan(25);

insert into auth.users (id) values ('00000000-0000-4000-8000-00000000000a');
set local role service_role;

create function pg_temp.claim(p_key text, p_owner integer, p_fingerprint text default 'a', p_policy text default 'retry', p_ttl integer default 3600)
returns public.idempotency_answer language sql as $$
  select public.idempotency_claim(
    '00000000-0000-4000-8000-00000000000a', 'orders', p_key, repeat(p_fingerprint, 64),
    ('00000000-0000-4000-9000-' || lpad(p_owner::text, 12, '0'))::uuid, 60, p_ttl, p_policy
  );
$$;

create function pg_temp.complete(p_key text, p_owner integer, p_response text default 'done')
returns public.idempotency_answer language sql as $$
  select public.idempotency_complete(
    '00000000-0000-4000-8000-00000000000a', 'orders', p_key,
    ('00000000-0000-4000-9000-' || lpad(p_owner::text, 12, '0'))::uuid,
    201, p_response, 'text', '{"content-type": "text/plain"}', 3600
  );
$$;

create function pg_temp.fail(p_key text, p_owner integer)
returns public.idempotency_answer language sql as $$
  select public.idempotency_fail(
    '00000000-0000-4000-8000-00000000000a', 'orders', p_key,
    ('00000000-0000-4000-9000-' || lpad(p_owner::text, 12, '0'))::uuid, 'no luck', 600
  );
$$;

-- a lease cannot lapse within a test, so it is moved into the past
create function pg_temp.lapse(p_key text) returns void language sql as $$
  update public.idempotency_keys set lease_expires_at = now() - interval '1 second' where idempotency_key = p_key;
$$;

create function pg_temp.expire(p_key text) returns void language sql as $$
  update public.idempotency_keys
  set lease_expires_at = case when status = 'processing' then now() - interval '2 seconds' end,
    expires_at = now() - interval '1 second'
  where idempotency_key = p_key;
$$;

select is((pg_temp.claim('fresh', 1)).outcome, 'claimed', 'a free key is claimed');
select is((pg_temp.claim('fresh', 1)).attempt, 1, 'the same owner claims again as attempt 1');
select is((pg_temp.claim('fresh', 2)).outcome, 'in_progress', 'another owner is told that it is in progress');
select ok((pg_temp.claim('fresh', 2)).retry_after_seconds between 1 and 60, 'and how long the lease still lasts');
select is((pg_temp.claim('fresh', 2, 'b')).outcome, 'mismatch', 'another payload is a mismatch before it is in progress');
select is((pg_temp.claim('fresh', 1, 'b')).outcome, 'mismatch', 'another payload is a mismatch for the owner too');

select pg_temp.lapse('fresh') \g /dev/null
select is((pg_temp.claim('fresh', 2, 'b')).outcome, 'mismatch', 'another payload is a mismatch at takeover');
select is((pg_temp.claim('fresh', 2, 'a', 'refuse')).outcome, 'abandoned', 'a lapsed lease is abandoned under refuse');
update public.idempotency_keys set steps = '{"charge": 1}' where idempotency_key = 'fresh';
create temporary table takeover as select (pg_temp.claim('fresh', 2)).*;
select is(t.outcome || t.attempt, 'claimed2', 'a lapsed lease goes to the next owner as attempt 2') from takeover as t;
select is(t.steps, '{"charge": 1}', 'who keeps the steps') from takeover as t;
select ok(t.fence > 1, 'and gets a larger fence') from takeover as t;
select is((pg_temp.claim('fresh', 1)).outcome, 'in_progress', 'the owner that lost the lease is told that it is in progress');

select pg_temp.complete('fresh', 2) \g /dev/null
select is((pg_temp.claim('fresh', 3)).outcome, 'replay', 'a completed key is replayed');
select is((pg_temp.claim('fresh', 3)).response, 'done', 'with the recorded answer');
select is((pg_temp.claim('fresh', 2)).outcome, 'replay', 'to the owner that completed it as well');
select is((pg_temp.claim('fresh', 3, 'b')).outcome, 'mismatch', 'another payload is a mismatch on a completed key');

select pg_temp.expire('fresh') \g /dev/null
create temporary table generation as select (pg_temp.claim('fresh', 4, 'b')).*;
select is(g.outcome || g.attempt, 'claimed1', 'an expired key is free, for another payload too') from generation as g;
select is(g.steps, null, 'and starts without steps') from generation as g;
select is((pg_temp.complete('fresh', 2)).outcome, 'stale', 'an owner from before the expiry hears nothing of the new generation');
select pg_temp.complete('fresh', 4, 'other') \g /dev/null
select is((pg_temp.complete('fresh', 2)).outcome, 'stale', 'not even its answer');

select pg_temp.claim('failing', 1) \g /dev/null
select pg_temp.fail('failing', 1) \g /dev/null
select is((pg_temp.claim('failing', 2, 'b')).outcome, 'mismatch', 'another payload is a mismatch on a failed key');
select is((pg_temp.claim('failing', 2)).attempt, 2, 'a failed key runs again as attempt 2');

select throws_ok($$select pg_temp.claim('a b', 1)$$, '22023', null, 'a malformed key is refused');
select throws_ok($$select pg_temp.claim('policy', 1, 'a', 'guess')$$, '22023', null, 'an unknown policy is refused');
select throws_ok($$select pg_temp.claim('ttl', 1, 'a', 'retry', 0)$$, '22023', null, 'a TTL of no seconds is refused');

select * from finish();
rollback;
