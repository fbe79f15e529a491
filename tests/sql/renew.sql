-- What renewing does to lease, expiry and page. Who hears what is the contract of every store:
-- shared/idempotency/testing.ts.
begin;
select plan(11);

set local role service_role;

create function pg_temp.claim(p_key text) returns public.idempotency_answer language sql as $$
  select public.idempotency_claim('', 'jobs', p_key, repeat('a', 64), '00000000-0000-4000-9000-000000000001', 60, 3600);
$$;

create function pg_temp.renew(p_key text, p_lease integer) returns public.idempotency_answer language sql as $$
  select public.idempotency_renew('', 'jobs', p_key, '00000000-0000-4000-9000-000000000001', p_lease);
$$;

create function pg_temp.row_of(p_key text) returns public.idempotency_keys language sql as $$
  select k from public.idempotency_keys as k where k.idempotency_key = p_key;
$$;

create function pg_temp.lease_left(p_key text) returns double precision language sql as $$
  select extract(epoch from (pg_temp.row_of(p_key)).lease_expires_at - clock_timestamp());
$$;

select pg_temp.claim('lease') \g /dev/null
select is((pg_temp.renew('lease', 600)).fence, (pg_temp.row_of('lease')).fence, 'the owner hears its fence, which stays');
select ok(pg_temp.lease_left('lease') between 590 and 600, 'a renewal counts from now');
select pg_temp.renew('lease', 10) \g /dev/null
select ok(pg_temp.lease_left('lease') > 590, 'a shorter one does not cut a lease short');
select is((pg_temp.row_of('lease')).expires_at, (pg_temp.row_of('lease')).claimed_at + interval '1 hour', 'a renewal within the TTL leaves expires_at as it is');
select pg_temp.renew('lease', 7200) \g /dev/null
select is((pg_temp.row_of('lease')).expires_at, (pg_temp.row_of('lease')).lease_expires_at, 'a lease beyond the TTL takes expires_at along');

select throws_ok($$select pg_temp.renew('lease', 0)$$, '22023', 'renewing an idempotency key: the lease must be 1 to 86400 seconds, not 0', 'a renewal does not let go of the key');
select throws_ok($$select pg_temp.renew('lease', -1)$$, '22023', 'renewing an idempotency key: the lease must be 1 to 86400 seconds, not -1', 'a lease of less than nothing is refused');
select throws_ok($$select pg_temp.renew('lease', 86401)$$, '22023', 'renewing an idempotency key: the lease must be 1 to 86400 seconds, not 86401', 'a lease of more than a day is refused');
select throws_ok($$select pg_temp.renew('lease', null)$$, '22023', 'renewing an idempotency key: the lease must be 1 to 86400 seconds, not null', 'an unknown lease is refused');

-- an expired row that nobody claimed is still its owner's
select pg_temp.claim('expired') \g /dev/null
update public.idempotency_keys set lease_expires_at = now() - interval '2 seconds', expires_at = now() - interval '1 second' where idempotency_key = 'expired';
select pg_temp.renew('expired', 60) \g /dev/null
select is(public.cleanup_expired_idempotency_keys(), 0::bigint, 'cleanup leaves a row whose owner came back');

reset role;
select pg_temp.claim('hot') \g /dev/null
create temporary table before as
select pg_stat_get_xact_tuples_hot_updated(c.oid) as hot, pg_stat_get_xact_tuples_updated(c.oid) as updated
from pg_class as c where c.oid = 'public.idempotency_keys'::regclass;
select pg_temp.renew('hot', 60 + n) from generate_series(1, 5) as n \g /dev/null
select results_eq(
  $$
    select pg_stat_get_xact_tuples_hot_updated(c.oid) - b.hot, pg_stat_get_xact_tuples_updated(c.oid) - b.updated
    from pg_class as c cross join before as b where c.oid = 'public.idempotency_keys'::regclass
  $$,
  'values (5::bigint, 5::bigint)',
  'renewing touches no index'
);

select * from finish();
rollback;
