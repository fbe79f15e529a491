-- What renewing answers in each state, to each caller, and what it does to lease, expiry and page.
begin;
select plan(34);

set local role service_role;

create function pg_temp.owner(p_owner integer) returns uuid language sql as $$
  select ('00000000-0000-4000-9000-' || lpad(p_owner::text, 12, '0'))::uuid;
$$;

create function pg_temp.claim(p_key text, p_owner integer, p_policy text default 'retry', p_ttl integer default 3600)
returns public.idempotency_answer language sql as $$
  select public.idempotency_claim(null, 'jobs', p_key, repeat('a', 64), pg_temp.owner(p_owner), 60, p_ttl, p_policy);
$$;

create function pg_temp.complete(p_key text, p_owner integer) returns text language sql as $$
  select (public.idempotency_complete(null, 'jobs', p_key, pg_temp.owner(p_owner), 200, 'done', 'text', null)).outcome;
$$;

create function pg_temp.fail(p_key text, p_owner integer) returns text language sql as $$
  select (public.idempotency_fail(null, 'jobs', p_key, pg_temp.owner(p_owner), 'no luck')).outcome;
$$;

create function pg_temp.renew(p_key text, p_owner integer, p_lease integer default 60)
returns public.idempotency_answer language sql as $$
  select public.idempotency_renew(null, 'jobs', p_key, pg_temp.owner(p_owner), p_lease);
$$;

create function pg_temp.lapse(p_key text) returns void language sql as $$
  update public.idempotency_keys set lease_expires_at = now() - interval '1 second' where idempotency_key = p_key;
$$;

create function pg_temp.row_of(p_key text) returns public.idempotency_keys language sql as $$
  select k from public.idempotency_keys as k where k.idempotency_key = p_key;
$$;

create function pg_temp.lease_left(p_key text) returns double precision language sql as $$
  select extract(epoch from (pg_temp.row_of(p_key)).lease_expires_at - clock_timestamp());
$$;

-- each state × each caller
select is((pg_temp.renew('nobody', 1)).outcome, 'stale', 'a key without a row is not renewed');
select pg_temp.claim('run', 1) \g /dev/null
select is((pg_temp.renew('run', 1)).outcome, 'renewed', 'the owner renews');
select is((pg_temp.renew('run', 1)).attempt, 1, 'and hears which attempt it is');
select is((pg_temp.renew('run', 1)).fence, (pg_temp.row_of('run')).fence, 'and its fence, which stays');
select is((pg_temp.renew('run', 2)).outcome, 'stale', 'a token that never held the key renews nothing');
select is((pg_temp.renew('run', 2)).attempt, null, 'and hears nothing of the run');

select pg_temp.lapse('run') \g /dev/null
select is((pg_temp.renew('run', 1)).outcome, 'renewed', 'a lapsed lease that nobody took over is renewed');
select is((pg_temp.claim('run', 2)).outcome, 'in_progress', 'and holds again');

select pg_temp.lapse('run') \g /dev/null
select pg_temp.claim('run', 2) \g /dev/null
create temporary table thief as select (pg_temp.row_of('run')).lease_expires_at;
select is((pg_temp.renew('run', 1, 86400)).outcome, 'stale', 'the owner that lost the lease renews nothing');
select is((pg_temp.row_of('run')).lease_expires_at, t.lease_expires_at, 'and not the lease of its successor') from thief as t;
select is((pg_temp.renew('run', 1, 0)).outcome, 'stale', 'nor can it let go of it');
select is((pg_temp.row_of('run')).lease_expires_at, t.lease_expires_at, 'which goes on as it was') from thief as t;
select is((pg_temp.renew('run', 1)).attempt, 2, 'it hears which attempt took the key');
select is((pg_temp.renew('run', 2)).outcome, 'renewed', 'the successor renews');

select pg_temp.complete('run', 2) \g /dev/null
select is((pg_temp.renew('run', 1)).outcome, 'replay', 'once completed, the owner that lost is told the answer');
select is((pg_temp.renew('run', 1)).response, 'done', 'namely the recorded one');
select is((pg_temp.renew('run', 2)).outcome, 'replay', 'the owner that completed has nothing to renew');
select is((pg_temp.renew('run', 3)).outcome, 'stale', 'a stranger is not told the answer');

select pg_temp.claim('failing', 1) \g /dev/null
select pg_temp.fail('failing', 1) \g /dev/null
select is((pg_temp.renew('failing', 1)).outcome, 'stale', 'the owner of a failed run has nothing to renew');
select is((pg_temp.row_of('failing')).lease_expires_at, null, 'and gets no lease');

-- lease and expiry
select pg_temp.claim('lease', 1) \g /dev/null
select pg_temp.renew('lease', 1, 600) \g /dev/null
select ok(pg_temp.lease_left('lease') between 590 and 600, 'a renewal counts from now');
select pg_temp.renew('lease', 1, 10) \g /dev/null
select ok(pg_temp.lease_left('lease') > 590, 'a shorter one does not cut a lease short');
select is((pg_temp.row_of('lease')).expires_at, (pg_temp.row_of('lease')).claimed_at + interval '1 hour', 'a renewal within the TTL leaves expires_at as it is');
select pg_temp.renew('lease', 1, 7200) \g /dev/null
select is((pg_temp.row_of('lease')).expires_at, (pg_temp.row_of('lease')).lease_expires_at, 'a lease beyond the TTL takes expires_at along');

-- letting go
select is((pg_temp.renew('lease', 1, 0)).outcome, 'renewed', 'the owner lets go');
select ok(pg_temp.lease_left('lease') <= 0, 'and its lease is over');
select pg_temp.lapse('lease') \g /dev/null
create temporary table lapsed as select (pg_temp.row_of('lease')).lease_expires_at;
select pg_temp.renew('lease', 1, 0) \g /dev/null
select is((pg_temp.row_of('lease')).lease_expires_at, l.lease_expires_at, 'letting go twice does not move the end of the lease') from lapsed as l;
select is((pg_temp.claim('lease', 2, 'refuse')).outcome, 'abandoned', 'under refuse a key let go is abandoned');
select is((pg_temp.claim('lease', 2)).attempt, 2, 'under retry it runs again at once');

select throws_ok($$select pg_temp.renew('lease', 2, -1)$$, '22023', null, 'a lease of less than nothing is refused');
select throws_ok($$select pg_temp.renew('lease', 2, 86401)$$, '22023', null, 'a lease of more than a day is refused');
select throws_ok($$select pg_temp.renew('lease', 2, null)$$, '22023', null, 'an unknown lease is refused');

-- an expired row that nobody claimed is still its owner's
select pg_temp.claim('expired', 1) \g /dev/null
update public.idempotency_keys set lease_expires_at = now() - interval '2 seconds', expires_at = now() - interval '1 second' where idempotency_key = 'expired';
select pg_temp.renew('expired', 1) \g /dev/null
select is(public.cleanup_expired_idempotency_keys(), 0::bigint, 'cleanup leaves a row whose owner came back');

reset role;
select pg_temp.claim('hot', 1) \g /dev/null
create temporary table before as
select pg_stat_get_xact_tuples_hot_updated(c.oid) as hot, pg_stat_get_xact_tuples_updated(c.oid) as updated
from pg_class as c where c.oid = 'public.idempotency_keys'::regclass;
select pg_temp.renew('hot', 1, 60 + n) from generate_series(1, 5) as n \g /dev/null
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
