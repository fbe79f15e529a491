-- enable_soft_delete on fresh tables: what it adds, what it takes away, what it refuses.
begin;
select plan(66);

insert into auth.users (id) values
  ('00000000-0000-4000-8000-00000000000a'),
  ('00000000-0000-4000-8000-00000000000b');

create function pg_temp.sign_in(p_user text) returns void language sql as $$
  select set_config('request.jwt.claims', json_build_object('sub', p_user)::text, true);
$$;

-- a name that has to be quoted everywhere, and a column too
create table public."Customers; drop" (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  "sort by" text not null,
  price integer not null default 0,
  doubled integer generated always as (price * 2) stored,
  constraint "one price; each" unique (user_id, "sort by", price)
);
alter table public."Customers; drop" enable row level security;
create policy own on public."Customers; drop" to authenticated
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
revoke all on public."Customers; drop" from public, anon, authenticated, service_role;
grant select, insert, delete, truncate on public."Customers; drop" to anon, authenticated, service_role;
grant update (price) on public."Customers; drop" to authenticated;
grant update on public."Customers; drop" to service_role;

create function pg_temp.live_indexes(p_table regclass) returns setof text language sql as $$
  select array_to_string(array(
    select a.attname::text
    from unnest(i.indkey::smallint[]) with ordinality as k (attnum, position)
    join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
    order by k.position
  ), ', ')
  from pg_index as i
  where i.indrelid = p_table and not i.indisunique and pg_get_expr(i.indpred, i.indrelid) = '(archived_at IS NULL)'
  order by 1;
$$;

select lives_ok($$select public.enable_soft_delete('public."Customers; drop"')$$, 'one line turns it on');
select col_type_is('public', 'Customers; drop', 'archived_at', 'timestamp with time zone', 'it adds archived_at');
select col_is_null('public', 'Customers; drop', 'archived_at', 'rows are in use from the start');
select results_eq(
  $$select * from pg_temp.live_indexes('public."Customers; drop"')$$, $$values ('user_id, id')$$,
  'it indexes the live rows of a user, the primary key as tie-breaker'
);
select lives_ok($$select public.enable_soft_delete('public."Customers; drop"')$$, 'a second call is welcome');
select results_eq(
  $$select * from pg_temp.live_indexes('public."Customers; drop"')$$, $$values ('user_id, id')$$, 'and changes nothing'
);
select lives_ok(
  $$select public.enable_soft_delete('public."Customers; drop"', array['user_id', 'sort by'])$$, 'another list'
);
select results_eq(
  $$select * from pg_temp.live_indexes('public."Customers; drop"')$$, $$values ('user_id, id'), ('user_id, sort by')$$,
  'gets an index of its own'
);

select ok(not has_table_privilege(r.role, 'public."Customers; drop"', 'delete, truncate'), r.role || ' deletes no more')
from (values ('anon'), ('authenticated')) as r (role);
select ok(has_table_privilege('service_role', 'public."Customers; drop"', 'delete'), 'the service role does');
select ok(
  has_column_privilege('authenticated', 'public."Customers; drop"', 'archived_at', 'update'), 'who could delete may archive'
);
select ok(
  not has_column_privilege('anon', 'public."Customers; drop"', 'archived_at', 'update'), 'but not who is not signed in'
);

insert into public."Customers; drop" (user_id, "sort by")
select '00000000-0000-4000-8000-00000000000a', n::text from generate_series(1, 2000) as n;
update public."Customers; drop" set archived_at = now() where "sort by"::integer > 20;
-- What this transaction archives it sees: these were archived before.
update public."Customers; drop" set archived_at = now() - interval '1 hour' where archived_at is not null;
analyze public."Customers; drop";

create function pg_temp.plan_of(p_query text) returns text language plpgsql as $$
declare
  v_line text;
  v_plan text := '';
begin
  for v_line in execute 'explain (costs off) ' || p_query loop
    v_plan := v_plan || v_line || e'\n';
  end loop;
  return v_plan;
end;
$$;

select matches(
  pg_temp.plan_of($$
    select * from public."Customers; drop"
    where user_id = '00000000-0000-4000-8000-00000000000a' and archived_at is null order by "sort by" limit 10
  $$),
  'Index Scan using "Customers; drop_user_id_sort by_idx"', 'a list of live rows is read along its index, sorted already'
);

set local role authenticated;
select pg_temp.sign_in('00000000-0000-4000-8000-00000000000a') \g /dev/null

select throws_ok($$delete from public."Customers; drop"$$, '42501', null, 'a user deletes nothing');
select lives_ok($$update public."Customers; drop" set archived_at = 'infinity' where "sort by" = '1'$$, 'a user archives');
select results_eq(
  $$select archived_at from public."Customers; drop" where "sort by" = '1'$$, $$values (now())$$,
  'at the time that it is, whatever they say'
);
select throws_ok(
  $$update public."Customers; drop" set price = 5 where "sort by" = '1'$$, 'SD001', null, 'what is archived does not change'
);
select throws_ok(
  $$update public."Customers; drop" set archived_at = null, price = 5 where "sort by" = '1'$$, 'SD001', null,
  'not while it is restored either'
);
select throws_ok(
  $$update public."Customers; drop" set archived_at = now() + interval '1 day' where "sort by" = '1'$$, 'SD001', null,
  'nor is it archived anew'
);
select lives_ok($$update public."Customers; drop" set archived_at = null where "sort by" = '1'$$, 'a user restores');
select lives_ok($$update public."Customers; drop" set price = 5 where "sort by" = '1'$$, 'and then changes it');
select lives_ok($$update public."Customers; drop" set archived_at = now(), price = 6 where "sort by" = '1'$$, 'or both at once');
select is((select count(*) from public."Customers; drop"), 20::bigint, 'archived rows are out of sight');
select set_config('archive.included', 'true', true) \g /dev/null
select is((select count(*) from public."Customers; drop"), 2000::bigint, 'and still the user''s, who asks for them');
select set_config('archive.included', '', true) \g /dev/null

select pg_temp.sign_in('00000000-0000-4000-8000-00000000000b') \g /dev/null
select is_empty(
  $$update public."Customers; drop" set archived_at = now() where "sort by" = '2' returning id$$, 'and nobody else''s'
);

set local role service_role;
select throws_ok(
  $$update public."Customers; drop" set price = 7 where "sort by" = '1'$$, 'SD001', null,
  'the service role has to restore first as well'
);
select lives_ok($$delete from public."Customers; drop" where "sort by" = '1'$$, 'and may delete for good');

reset role;
select lives_ok(
  $$update public."Customers; drop" set price = 8 where "sort by" = '30'$$, 'migrations reach archived rows'
);

select throws_ok(
  $$select public.disable_soft_delete('public."Customers; drop"')$$, '55000', null,
  'it is not taken back while rows are archived: they would be in use again'
);
delete from public."Customers; drop" where archived_at is not null;
select lives_ok($$select public.disable_soft_delete('public."Customers; drop"')$$, 'with none it is');
select hasnt_column('public', 'Customers; drop', 'archived_at', 'the column is gone');
select hasnt_trigger('public', 'Customers; drop', 'archived_rows_are_only_restored', 'the guard too');

-- values of archived rows are free for new ones
create table public.labels (
  id integer primary key,
  name text constraint labels_name_key unique,
  code text,
  request_id text constraint labels_request_id_key unique,
  barcode text constraint labels_barcode_key unique,
  is_system boolean,
  constraint labels_code_key unique nulls not distinct (code) include (name)
);
create unique index labels_code_of_system on public.labels (lower(code)) where is_system or id > 5;
create table public.stickers (barcode text references public.labels (barcode));

create view pg_temp.unique_labels as
select c.relname || ' ' || regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING btree ', '') as unique_index
from pg_index as i
join pg_class as c on c.oid = i.indexrelid
where i.indrelid = 'public.labels'::regclass and i.indisunique and not i.indisprimary;

select lives_ok(
  $$select public.enable_soft_delete('public.labels', p_condition => 'not is_system', p_unique_for_ever => array['labels_request_id_key'])$$,
  'with a condition, and a constraint that is to hold for ever'
);
select set_eq(
  'select * from pg_temp.unique_labels',
  array[
    'labels_barcode_key (barcode)',
    'labels_code_key (code) INCLUDE (name) NULLS NOT DISTINCT WHERE (archived_at IS NULL)',
    'labels_code_of_system (lower(code)) WHERE ((is_system OR (id > 5)) AND (archived_at IS NULL))',
    'labels_name_key (name) WHERE (archived_at IS NULL)',
    'labels_request_id_key (request_id)'
  ],
  'unique constraints count among live rows, but for those that were named and those that a foreign key needs'
);
select lives_ok($$select public.enable_soft_delete('public.labels', 'not is_system')$$, 'the short form, and a second call');
select is(
  (select count(*) from pg_temp.unique_labels where unique_index ~ 'archived_at'), 3::bigint, 'leave unique constraints as they are'
);

insert into public.labels (id, name, code, is_system) values (1, 'a', 'a', false), (2, 'b', 'b', true), (3, 'c', 'c', null);
select throws_ok($$insert into public.labels (id, name) values (4, 'a')$$, '23505', null, 'two live rows do not share a value');
select lives_ok($$update public.labels set archived_at = now() where id = 1$$, 'a row that meets the condition is archived');
select lives_ok($$insert into public.labels (id, name, code) values (4, 'a', 'x')$$, 'and its value is free');
select throws_ok($$update public.labels set archived_at = null where id = 1$$, '23505', null, 'until somebody has it');
select throws_ok($$update public.labels set archived_at = now() where id = 2$$, '23514', null, 'one that does not meet it stays');
select throws_ok($$update public.labels set archived_at = now() where id = 3$$, '23514', null, 'nor one of which nobody knows');
select throws_ok(
  $$select public.enable_soft_delete('public.labels', p_unique_for_ever => array['labels_pkey; drop'])$$, '42704', null,
  'a constraint that is none is refused'
);
select lives_ok($$select public.enable_soft_delete('public.labels')$$, 'without a condition');
select lives_ok($$update public.labels set archived_at = now() where id = 2$$, 'every row may go');
delete from public.labels where archived_at is not null;
select lives_ok($$select public.disable_soft_delete('public.labels')$$, 'taken back');
select set_eq(
  'select * from pg_temp.unique_labels',
  array[
    'labels_barcode_key (barcode)',
    'labels_code_key (code) INCLUDE (name) NULLS NOT DISTINCT',
    'labels_code_of_system (lower(code)) WHERE (is_system OR (id > 5))',
    'labels_name_key (name)',
    'labels_request_id_key (request_id)'
  ],
  'all are as they were'
);

create table public.drawers (id integer primary key, room text, is_default boolean);
select public.enable_soft_delete('public.drawers') \g /dev/null
create unique index drawers_default on public.drawers (room) where archived_at is null and is_default;
select lives_ok(
  $$select public.enable_soft_delete('public.drawers', p_unique_for_ever => '{}')$$, 'with an index that names the condition first'
);
select lives_ok($$select public.disable_soft_delete('public.drawers')$$, 'and taken back');
insert into public.drawers values (1, 'hall', true), (2, 'hall', false);
select throws_ok($$insert into public.drawers values (3, 'hall', true)$$, '23505', null, 'it is unique as before');

create table public.bookings (
  id integer primary key,
  days int4range,
  constraint bookings_days_excl exclude using gist (days with &&)
);
select lives_ok(
  $$select public.enable_soft_delete('public.bookings', p_unique_for_ever => array['bookings_days_excl'])$$,
  'an exclusion constraint may be named, which is left as it is and warned of otherwise'
);

create view public.some_customers as select * from public."Customers; drop";
create table public.mistyped (id integer primary key, archived_at date);
create table public.keyless (note text);
create table public.parted (id integer, user_id uuid, number integer) partition by list (id);
create table public.parted_1 partition of public.parted for values in (1);
select throws_ok($$select public.enable_soft_delete('public.some_customers')$$, '42809', null, 'a view is refused');
select throws_ok($$select public.enable_soft_delete('public.parted_1')$$, '42809', null, 'and a partition');
select throws_ok($$select public.enable_soft_delete('public.mistyped')$$, '42804', null, 'and another archived_at');
select throws_ok($$select public.enable_soft_delete('public.keyless')$$, '22023', null, 'and a table without a key to list by');
select throws_ok(
  $$select public.enable_soft_delete('public.keyless', array['note; drop table x'])$$, '42703', null, 'and a column that is none'
);
select throws_ok($$select public.enable_soft_delete(null)$$, '42P01', null, 'and no table');
alter table public.parted add constraint parted_number_key unique (id, number);
select lives_ok($$select public.enable_soft_delete('public.parted')$$, 'a partitioned table is not refused');
insert into public.parted (id, number) values (1, 7);
select throws_ok($$insert into public.parted (id, number) values (1, 7)$$, '23505', null, 'its live rows share no value');
update public.parted set archived_at = now();
select lives_ok($$insert into public.parted (id, number) values (1, 7)$$, 'with an archived one they may');
delete from public.parted where archived_at is not null;
select lives_ok($$select public.disable_soft_delete('public.parted')$$, 'it is taken back from one too');
select throws_ok($$insert into public.parted (id, number) values (1, 7)$$, '23505', null, 'and what was unique still is');

create role "table-owner";
grant create, usage on schema public to "table-owner";
grant usage on schema extensions to "table-owner";
create table public.owned (id integer primary key, note text);
select public.enable_soft_delete('public.owned') \g /dev/null
insert into public.owned values (1, 'first');
update public.owned set archived_at = now();
alter table public.owned owner to "table-owner";
grant "table-owner" to current_user;
set local role "table-owner";
select lives_ok($$update public.owned set note = 'second'$$, 'an owner whose name is quoted reaches archived rows as well');
reset role;

grant execute on function public.enable_soft_delete(regclass, text[], text, text[]) to service_role;
set local role service_role;
select throws_ok(
  $$select public.enable_soft_delete('public.keyless', array['note'])$$, '42501', null, 'only the owner of a table may'
);
reset role;
revoke execute on function public.enable_soft_delete(regclass, text[], text, text[]) from service_role;
select is_empty(
  $$
    select p.proname, r.role
    from pg_proc as p, (values ('anon'), ('authenticated'), ('service_role')) as r (role)
    where p.pronamespace = 'public'::regnamespace
      and p.proname in (
        'enable_soft_delete', 'disable_soft_delete', 'archived_rows_are_only_restored', 'unique_among_live_rows'
      )
      and has_function_privilege(r.role, p.oid, 'execute')
  $$,
  'no role of the API may call any of it'
);

select * from finish();
rollback;
