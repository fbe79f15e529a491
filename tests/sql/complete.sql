-- What complete and fail answer, to the owner and to whoever lost the key; and the TTL they leave.
begin;
select plan(24);

set local role service_role;

create function pg_temp.claim(p_key text, p_owner integer, p_ttl integer default 3600)
returns text language sql as $$
  select (public.idempotency_claim(
    null, 'jobs', p_key, repeat('a', 64), ('00000000-0000-4000-9000-' || lpad(p_owner::text, 12, '0'))::uuid, 60, p_ttl
  )).outcome;
$$;

create function pg_temp.complete(p_key text, p_owner integer, p_response text default 'done', p_encoding text default 'text', p_ttl integer default 3600)
returns public.idempotency_answer language sql as $$
  select public.idempotency_complete(
    null, 'jobs', p_key, ('00000000-0000-4000-9000-' || lpad(p_owner::text, 12, '0'))::uuid,
    201, p_response, p_encoding, '{}', p_ttl
  );
$$;

create function pg_temp.fail(p_key text, p_owner integer, p_message text default 'no luck', p_ttl integer default null)
returns public.idempotency_answer language sql as $$
  select public.idempotency_fail(null, 'jobs', p_key, ('00000000-0000-4000-9000-' || lpad(p_owner::text, 12, '0'))::uuid, p_message, p_ttl);
$$;

create function pg_temp.row_of(p_key text) returns public.idempotency_keys language sql as $$
  select k from public.idempotency_keys as k where k.idempotency_key = p_key;
$$;

select is((pg_temp.complete('nobody', 1)).outcome, 'stale', 'completing a key without a row is stale');
select is((pg_temp.fail('nobody', 1)).outcome, 'stale', 'failing a key without a row is stale');

select pg_temp.claim('won', 1) \g /dev/null
select is((pg_temp.complete('won', 2)).outcome, 'stale', 'a token that never held the key is stale');
select is((pg_temp.row_of('won')).status, 'processing', 'and changes nothing');
update public.idempotency_keys set lease_expires_at = now() - interval '1 second' where idempotency_key = 'won';
select pg_temp.claim('won', 2) \g /dev/null
select is((pg_temp.complete('won', 1)).outcome, 'stale', 'the owner that lost its lease is stale while the next one runs');
select is((pg_temp.fail('won', 1)).outcome, 'stale', 'nor can it fail the run of the next one');
select is((pg_temp.complete('won', 2, 'winner')).outcome, 'completed', 'the owner completes');
select is((pg_temp.complete('won', 2, 'again')).outcome, 'completed', 'completing twice answers the same');
select is((pg_temp.row_of('won')).response, 'winner', 'and keeps the first answer');
select is((pg_temp.complete('won', 1, 'loser')).outcome, 'replay', 'the owner that lost is told that there is an answer');
select is((pg_temp.complete('won', 1, 'loser')).response, 'winner', 'namely the winner''s');
select is((pg_temp.fail('won', 1)).response, 'winner', 'when it fails as well');
select is((pg_temp.fail('won', 2)).outcome, 'replay', 'a completed key cannot fail any more');
select is((pg_temp.complete('won', 3)).outcome, 'stale', 'a token that never held the key is not told the answer');

select pg_temp.claim('late', 1) \g /dev/null
update public.idempotency_keys set lease_expires_at = now() - interval '1 second' where idempotency_key = 'late';
select is((pg_temp.complete('late', 1)).outcome, 'completed', 'a lapsed lease that nobody took over still completes');

select pg_temp.claim('empty', 1) \g /dev/null
select pg_temp.complete('empty', 1, '') \g /dev/null
select is((pg_temp.row_of('empty')).response, '', 'an empty body stays an empty body');
select is((pg_temp.row_of('empty')).expires_at, (pg_temp.row_of('empty')).claimed_at + interval '1 hour', 'the same TTL leaves expires_at as the claim set it');

select pg_temp.claim('slow', 1) \g /dev/null
update public.idempotency_keys set claimed_at = now() - interval '1 hour' where idempotency_key = 'slow';
select pg_temp.complete('slow', 1) \g /dev/null
select ok((pg_temp.row_of('slow')).expires_at > now() + interval '29 minutes', 'a run as long as its TTL leaves its answer for half of it');

select pg_temp.claim('failing', 1) \g /dev/null
select is((pg_temp.fail('failing', 1, repeat('x', 5000), 600)).outcome, 'failed', 'the owner fails');
select is((pg_temp.fail('failing', 1)).outcome, 'failed', 'failing twice answers the same');
select is(length((pg_temp.row_of('failing')).error_message), 2000, 'a long message is cut');
select is((pg_temp.row_of('failing')).expires_at, (pg_temp.row_of('failing')).claimed_at + interval '10 minutes', 'a failure may have a shorter TTL');

select throws_ok($$select pg_temp.complete('x', 1, null, 'text')$$, '22023', null, 'a text answer without a body is refused');
select throws_ok($$select pg_temp.complete('x', 1, repeat('x', 6291457))$$, '22023', null, 'a body over 6 MiB is refused');

select * from finish();
rollback;
