-- What cleanup deletes, and what it leaves.
begin;
select plan(6);

set local role service_role;
delete from public.idempotency_keys;
delete from idempotency.replay_counts;
insert into public.idempotency_keys (
  owner, scope, idempotency_key, request_fingerprint, status, owner_token, lease_expires_at, completed_at, expires_at
)
select
  '', 's', key, repeat('a', 64), case when lease is null then 'failed' else 'processing' end, gen_random_uuid(),
  now() + lease, case when lease is null then now() end, now() + expiry
from (values
  ('expired', null, interval '-1 hour'),
  ('abandoned', interval '-2 hours', interval '-1 hour'),
  ('lapsed-only', interval '-1 hour', interval '1 hour'),
  ('alive', interval '1 minute', interval '1 hour'),
  ('kept', null, interval '1 hour')
) as rows (key, lease, expiry);
insert into idempotency.replay_counts (owner, scope, hour, replays)
values ('', 's', now() - interval '9 days', 1), ('', 's', now() - interval '7 days', 1);

select is(public.cleanup_expired_idempotency_keys(1), 2::bigint, 'expired keys are deleted, batch after batch');
select set_eq('select idempotency_key from public.idempotency_keys', array['lapsed-only', 'alive', 'kept'], 'and only those');
select is(public.cleanup_expired_idempotency_keys(), 0::bigint, 'a second call finds nothing');
select is((select count(*) from idempotency.replay_counts), 1::bigint, 'replay counts go after 8 days');
select throws_ok('select public.cleanup_expired_idempotency_keys(0)', '22023', 'cleaning up idempotency keys: the batch size must be 1 to 10000, not 0', 'a batch of none is refused');
select throws_ok('select public.cleanup_expired_idempotency_keys(null)', '22023', 'cleaning up idempotency keys: the batch size must be 1 to 10000, not null', 'an unknown batch size is refused');

select * from finish();
rollback;
