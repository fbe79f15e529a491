-- What complete and fail write down, the TTL they leave, and what they refuse. Who hears what is the
-- contract of every store: shared/idempotency/testing.ts.
begin;
select plan(20);

set local role service_role;

create function pg_temp.claim(p_key text) returns void language sql as $$
  select public.idempotency_claim('', 'jobs', p_key, repeat('a', 64), '00000000-0000-4000-9000-000000000001', 60, 3600);
$$;

create function pg_temp.complete(
  p_key text, p_response text default 'done', p_encoding text default 'text', p_ttl integer default 3600, p_status integer default 201
) returns text language sql as $$
  select (public.idempotency_complete(
    '', 'jobs', p_key, '00000000-0000-4000-9000-000000000001', p_status, p_response, p_encoding, '{}', p_ttl
  )).outcome;
$$;

create function pg_temp.fail(p_key text, p_message text default 'no luck', p_ttl integer default null, p_status integer default null)
returns text language sql as $$
  select (public.idempotency_fail('', 'jobs', p_key, '00000000-0000-4000-9000-000000000001', p_message, p_ttl, p_status)).outcome;
$$;

create function pg_temp.row_of(p_key text) returns public.idempotency_keys language sql as $$
  select k from public.idempotency_keys as k where k.idempotency_key = p_key;
$$;

select pg_temp.claim('empty') \g /dev/null
select pg_temp.complete('empty', '') \g /dev/null
select is((pg_temp.row_of('empty')).response, '', 'an empty body stays an empty body');
select is((pg_temp.row_of('empty')).expires_at, (pg_temp.row_of('empty')).claimed_at + interval '1 hour', 'the same TTL leaves expires_at as the claim set it');

select pg_temp.claim('slow') \g /dev/null
update public.idempotency_keys set claimed_at = now() - interval '1 hour' where idempotency_key = 'slow';
select pg_temp.complete('slow') \g /dev/null
select ok((pg_temp.row_of('slow')).expires_at > now() + interval '29 minutes', 'a run as long as its TTL leaves its answer for half of it');

select pg_temp.claim('failing') \g /dev/null
select is(pg_temp.fail('failing', repeat('x', 5000), 600, 503), 'failed', 'the owner fails');
select is(length((pg_temp.row_of('failing')).error_message), 2000, 'a long message is cut');
select is((pg_temp.row_of('failing')).status_code::smallint, 503::smallint, 'the status of an answer that was not final is kept');
select ok((pg_temp.row_of('failing')).completed_at between now() and clock_timestamp(), 'and when it ended');
select is((pg_temp.row_of('failing')).expires_at, (pg_temp.row_of('failing')).claimed_at + interval '10 minutes', 'a failure may have a shorter TTL');
select pg_temp.claim('thrown') \g /dev/null
select pg_temp.fail('thrown') \g /dev/null
select is((pg_temp.row_of('thrown')).status_code, null, 'a thrown error has no status');
select isnt((pg_temp.row_of('thrown')).completed_at, null, 'but an end');

select throws_ok($$select pg_temp.complete('x', null, 'text')$$, '22023', 'completing an idempotency key: the response must be null where its encoding is none, and only there', 'a text answer without a body is refused');
select throws_ok($$select pg_temp.complete('x', 'done', 'none')$$, '22023', 'completing an idempotency key: the response must be null where its encoding is none, and only there', 'and a body of an answer that was not kept');
select throws_ok($$select pg_temp.complete('x', 'done', null)$$, '22023', 'completing an idempotency key: the response encoding must be text, base64, gzip or none, not null', 'and a body that is written down nobody knows how');
select throws_ok($$select pg_temp.complete('x', 'done', 'rot13')$$, '22023', 'completing an idempotency key: the response encoding must be text, base64, gzip or none, not ''rot13''', 'or in an unknown way');
select throws_ok($$select pg_temp.complete('x', p_status => null)$$, '22023', 'completing an idempotency key: the status code must be 100 to 599, not null', 'an answer without a status is refused');
select throws_ok($$select pg_temp.complete('x', repeat('x', 6291457))$$, '22023', 'completing an idempotency key: the response must be at most 6291456 bytes, not 6291457', 'a body over 6 MiB is refused');
select throws_ok($$select pg_temp.complete('x', p_status => 600)$$, '22023', 'completing an idempotency key: the status code must be 100 to 599, not 600', 'a status that is none is refused');
select throws_ok($$select pg_temp.fail('x', p_status => 99)$$, '22023', 'failing an idempotency key: the TTL must be 1 to 31536000 seconds and the status code 100 to 599, not null and 99', 'for a failure too');
select throws_ok($$select pg_temp.complete('x', p_ttl => 0)$$, '22023', 'completing an idempotency key: the TTL must be 1 to 31536000 seconds, not 0', 'a TTL of no seconds is refused');
select throws_ok($$select pg_temp.fail('x', p_ttl => 0)$$, '22023', 'failing an idempotency key: the TTL must be 1 to 31536000 seconds and the status code 100 to 599, not 0 and null', 'for a failure too');

select * from finish();
rollback;
