-- What a claim writes down and what it refuses. What it answers in each state, to each caller, is the
-- contract of every store: shared/idempotency/testing.ts.
begin;
select plan(37);

insert into auth.users (id) values ('00000000-0000-4000-8000-00000000000a');
set local role service_role;

create function pg_temp.owner(p_owner integer) returns uuid language sql as $$
  select ('00000000-0000-4000-9000-' || lpad(p_owner::text, 12, '0'))::uuid;
$$;

create function pg_temp.claim(
  p_key text, p_token integer, p_owner text default '', p_third_party boolean default false, p_metadata jsonb default null
) returns public.idempotency_answer language sql as $$
  select public.idempotency_claim(
    p_owner, 'orders', p_key, repeat('a', 64), pg_temp.owner(p_token), 60, 3600, 'retry', 100, p_third_party, p_metadata
  );
$$;

create function pg_temp.row_of(p_key text) returns public.idempotency_keys language sql as $$
  select k from public.idempotency_keys as k where k.idempotency_key = p_key;
$$;

-- a lease cannot lapse within a test, so it is moved into the past
create function pg_temp.lapse(p_key text) returns void language sql as $$
  update public.idempotency_keys set lease_expires_at = now() - interval '1 second' where idempotency_key = p_key;
$$;

-- whose key it is
select is((pg_temp.claim('of-a', 1, '00000000-0000-4000-8000-00000000000a')).outcome, 'claimed', 'a user of this project claims');
select is((pg_temp.row_of('of-a')).user_id, '00000000-0000-4000-8000-00000000000a', 'and the key goes with the account');
select throws_ok(
  $$select pg_temp.claim('of-b', 1, '00000000-0000-4000-8000-00000000000b')$$, '23503', null, 'an account that is gone gets no key'
);
select is(
  (pg_temp.claim('of-b', 1, '00000000-0000-4000-8000-00000000000b', true)).outcome, 'claimed', 'somebody else''s user with such an id does'
);
select is((pg_temp.row_of('of-b')).user_id, null, 'for whom there is no account');
select is((pg_temp.claim('of-clerk', 1, 'user_2abcDEFghiJKLmno')).outcome, 'claimed', 'a user whose id is no UUID claims');
select is((pg_temp.row_of('of-clerk')).user_id, null, 'without an account as well');
select is((pg_temp.claim('of-nearly', 1, '00000000-0000-4000-8000-00000000000-')).outcome, 'claimed', 'and one whose id is nearly one');
select is((pg_temp.row_of('of-nearly')).user_id, null, 'who has none');
select is((pg_temp.claim('of-nobody', 1)).outcome, 'claimed', 'so does the project');
select is((pg_temp.row_of('of-nobody')).user_id, null, 'which has none either');

-- how attempts crashed
select pg_temp.claim('crashing', 1) \g /dev/null
select public.idempotency_checkpoint('', 'orders', 'crashing', pg_temp.owner(1), 'charge', '1', 60) \g /dev/null
create temporary table first as select (pg_temp.row_of('crashing')).claimed_at;
select pg_temp.lapse('crashing') \g /dev/null
select is((pg_temp.claim('crashing', 2)).outcome, 'taken_over', 'a lapsed lease is taken over');
select is((pg_temp.claim('crashing', 2)).outcome, 'taken_over', 'which is told again where the answer was lost');
select is(
  (pg_temp.row_of('crashing')).crashed_attempts::jsonb,
  jsonb_build_array(jsonb_build_object(
    'attempt', 1, 'claimed_at', f.claimed_at, 'lease_expired_at', now() - interval '1 second', 'steps', 1
  )),
  'the row says when the attempt before began, when its lease lapsed, and how far it got'
) from first as f;
select pg_temp.lapse('crashing') \g /dev/null
select is((pg_temp.claim('crashing', 3)).attempt, 3, 'and then the next');
select is(jsonb_array_length((pg_temp.row_of('crashing')).crashed_attempts), 2, 'all of them in a row');
select public.idempotency_fail('', 'orders', 'crashing', pg_temp.owner(3), 'no luck', null, 503) \g /dev/null
select is((pg_temp.row_of('crashing')).crashed_attempts, null, 'until one is known to have failed');
select pg_temp.claim('crashing', 4) \g /dev/null
select results_eq(
  $$select (r).status::text, (r).error_message::text, (r).status_code::smallint, (r).completed_at from pg_temp.row_of('crashing') as r$$,
  $$values ('processing', null::text, null::smallint, null::timestamptz)$$,
  'of which nothing is left in the row that runs again'
);

do $$
begin
  perform pg_temp.claim('contested', 1);
  for v_token in 2..40 loop
    perform pg_temp.lapse('contested');
    perform pg_temp.claim('contested', v_token);
  end loop;
end;
$$;
select is(array_length((pg_temp.row_of('contested')).past_owners, 1), 32, 'the last 32 owners are remembered');
select is((pg_temp.row_of('contested')).past_owners[1], pg_temp.owner(39), 'the latest first');

-- a new generation
select pg_temp.claim('old', 1, p_metadata => '{"order": 1}') \g /dev/null
select public.idempotency_checkpoint('', 'orders', 'old', pg_temp.owner(1), 'charge', '1', 60) \g /dev/null
select pg_temp.lapse('old') \g /dev/null
select pg_temp.claim('old', 2) \g /dev/null
select public.idempotency_complete('', 'orders', 'old', pg_temp.owner(2), 201, 'done', 'text', '{"x": "y"}') \g /dev/null
update public.idempotency_keys set expires_at = now() - interval '1 second' where idempotency_key = 'old';
select is((pg_temp.claim('old', 3)).attempt, 1, 'an expired key starts anew');
select is(
  (
    select jsonb_object_agg(e.key, e.value) from jsonb_each(to_jsonb(pg_temp.row_of('old'))) as e
    where e.key in (
      'past_owners', 'crashed_attempts', 'response', 'response_encoding', 'status_code', 'response_headers',
      'error_message', 'steps', 'metadata', 'completed_at'
    ) and e.value <> 'null'
  ),
  null, 'and nothing of the old one is left in its row'
);
select ok((pg_temp.row_of('old')).created_at > now(), 'it counts as made when it was claimed');

-- granted after a failure of its own had looked for it, and before that says what it found
select pg_temp.claim('late', 1) \g /dev/null
reset role;
select is((idempotency.answer_to_loser('', 'orders', 'late', pg_temp.owner(1), 'failed')).outcome, 'gone', 'whoever gives a late claim back has not lost it');
select is((idempotency.answer_to_loser('', 'orders', 'late', pg_temp.owner(2), 'failed')).outcome, 'gone', 'nor has who never had it');
set local role service_role;

-- what is refused
select throws_ok($$select pg_temp.claim('a b', 1)$$, '23514', null, 'a malformed key is refused');
select throws_ok($$select pg_temp.claim(null, 1)$$, '22023', 'claiming an idempotency key: neither owner, scope, key, fingerprint and owner token nor whether the user is of third-party auth may be null', 'and none');
select throws_ok($$select pg_temp.claim('owner', 1, null)$$, '22023', 'claiming an idempotency key: neither owner, scope, key, fingerprint and owner token nor whether the user is of third-party auth may be null', 'an unknown owner is refused');
select throws_ok($$select pg_temp.claim('owner', 1, repeat('x', 256))$$, '23514', null, 'and a long one');
select throws_ok($$select pg_temp.claim('owner', 1, 'x', null)$$, '22023', 'claiming an idempotency key: neither owner, scope, key, fingerprint and owner token nor whether the user is of third-party auth may be null', 'and one of whom nobody knows whose user it is');
select throws_ok($$select pg_temp.claim('noted', 1, p_metadata => '7')$$, '23514', null, 'metadata that is no object is refused');

create function pg_temp.terms(
  p_lease integer default 60, p_ttl integer default 60, p_policy text default 'retry', p_most integer default 5, p_fingerprint text default repeat('a', 64)
) returns public.idempotency_answer language sql as $$
  select public.idempotency_claim('', 'orders', 'terms', p_fingerprint, gen_random_uuid(), p_lease, p_ttl, p_policy, p_most);
$$;

select throws_ok($$select pg_temp.terms(p_lease => 0)$$, '22023', 'claiming an idempotency key: the lease must be 1 to 86400 seconds, not 0', 'a lease of no seconds is refused');
select throws_ok($$select pg_temp.terms(p_ttl => 0)$$, '22023', 'claiming an idempotency key: the TTL must be 1 to 31536000 seconds, not 0', 'a TTL of no seconds is refused');
select throws_ok($$select pg_temp.terms(p_policy => 'guess')$$, '22023', 'claiming an idempotency key: the policy for abandoned keys must be retry or refuse, not ''guess''', 'an unknown policy is refused');
select throws_ok($$select pg_temp.terms(p_most => 0)$$, '22023', 'claiming an idempotency key: the most crashed attempts in a row must be 1 to 100, not 0', 'and no attempt at all');
select throws_ok($$select pg_temp.terms(p_fingerprint => repeat('A', 64))$$, '23514', null, 'and a fingerprint that is none');
select is_empty($$select from public.idempotency_keys where idempotency_key in ('terms', 'owner', 'noted')$$, 'and nothing is claimed');

select * from finish();
rollback;
