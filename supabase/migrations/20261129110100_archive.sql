-- Generated from supabase/schemas/archive/ by `deno task sql`: change it there.

-- Soft delete for any table, in one line: select enable_soft_delete('quotations');
--
-- A row is archived by setting archived_at and restored by setting it back to null. It stays its
-- owner's, who does not see it unless they ask for archived rows; lists of live rows go along a
-- partial index. Deleting for good is left to the service role.

-- Users ask with a header of the Data API, and functions of one's own with
-- set_config('archive.included', 'true', true).
create function public.archived_rows_included() returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  -- A setting that was set in an earlier transaction of the session is empty, not null.
  return coalesce(nullif(current_setting('archive.included', true), ''), 'false') = 'true'
    or coalesce(
      nullif(current_setting('request.headers', true), '')::json ->> 'x-include-archived', 'false'
    ) = 'true';
end;
$$;

comment on function public.archived_rows_included() is
  'Whether this request asks for archived rows: with the header X-Include-Archived: true, or by the setting archive.included.';

create function public.archived_rows_are_only_restored() returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_computed text[];
begin
  if old.archived_at is null then
    -- The database's clock: one of the client's would let a row be archived tomorrow.
    new.archived_at := now();
    return new;
  end if;

  -- Migrations and referential actions run as the table's owner and have to reach archived rows.
  if current_user = (select pg_get_userbyid(c.relowner) from pg_catalog.pg_class as c where c.oid = tg_relid) then
    return new;
  end if;

  -- Not known yet at this point, and so empty in new.
  select coalesce(array_agg(a.attname::text), '{}') into v_computed
  from pg_catalog.pg_attribute as a
  where a.attrelid = tg_relid and a.attgenerated <> '';

  if new.archived_at is not null
    or to_jsonb(new) - 'archived_at' - v_computed is distinct from to_jsonb(old) - 'archived_at' - v_computed
  then
    raise exception 'changing a row of %: it is archived, restore it first', tg_relid::regclass
      using errcode = 'SD001';
  end if;

  return new;
end;
$$;

comment on function public.archived_rows_are_only_restored() is
  'Keeps archived rows as they were until they are restored. SQLSTATE SD001: something else was to be changed.';

-- Makes the unique constraints of a table count among its live rows only: else an archived value would
-- stand in the way of a new row for ever. Says what is left, and what ON CONFLICT has to name now.
create function public.unique_among_live_rows(p_table regclass, p_unique_for_ever text[]) returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_unique record;
  v_unknown text;
begin
  select u.name into v_unknown
  from unnest(p_unique_for_ever) as u (name)
  where not exists (
    select from pg_catalog.pg_index as i
    join pg_catalog.pg_class as c on c.oid = i.indexrelid
    where i.indrelid = p_table and (i.indisunique or i.indisexclusion) and c.relname = u.name
  )
  limit 1;

  if found then
    raise exception 'enabling soft delete on %: it has no unique constraint %', p_table, coalesce(quote_ident(v_unknown), 'null')
      using errcode = '42704';
  end if;

  for v_unique in
    select
      c.relname as name,
      i.indexrelid::regclass as index,
      k.oid is not null as is_constraint,
      -- Of a partitioned table it says ON ONLY: an index made so is in no partition, and holds nothing.
      replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') as definition,
      i.indpred is not null as has_condition,
      case
        when exists (
          select from pg_catalog.pg_constraint as f where f.contype = 'f' and f.conindid = i.indexrelid
        ) then 'a foreign key refers to it'
        when k.condeferrable then 'it is deferrable'
        when i.indisreplident then 'it is the replica identity'
        when i.indisexclusion then 'it is an exclusion constraint'
      end as obstacle
    from pg_catalog.pg_index as i
    join pg_catalog.pg_class as c on c.oid = i.indexrelid
    left join pg_catalog.pg_constraint as k on k.conindid = i.indexrelid and k.contype = 'u' and k.conrelid = p_table
    where i.indrelid = p_table
      and (i.indisunique or i.indisexclusion)
      and not i.indisprimary
      and i.indisvalid
      and c.relname <> all (p_unique_for_ever)
      and pg_get_expr(i.indpred, i.indrelid) is distinct from '(archived_at IS NULL)'
      and coalesce(
        pg_get_expr(i.indpred, i.indrelid) !~ '^\(\(archived_at IS NULL\) AND | AND \(archived_at IS NULL\)\)$', true
      )
    order by c.relname
  loop
    if v_unique.obstacle is not null then
      raise warning 'enabling soft delete on %: % stays unique among archived rows too, since %',
        p_table, quote_ident(v_unique.name), v_unique.obstacle;
      continue;
    end if;

    if v_unique.is_constraint then
      execute format('alter table %s drop constraint %I', p_table, v_unique.name);
    else
      execute format('drop index %s', v_unique.index);
    end if;

    execute v_unique.definition
      || case when v_unique.has_condition then ' and archived_at is null' else ' where archived_at is null' end;
    raise notice 'enabling soft delete on %: % is unique among live rows; ON CONFLICT has to say "where archived_at is null"',
      p_table, quote_ident(v_unique.name);
  end loop;
end;
$$;

comment on function public.unique_among_live_rows(regclass, text[]) is
  'Part of enable_soft_delete: frees the values of archived rows for new ones, but for the named constraints.';

-- Adds the column, the index, the guard and the policy to one table.
--
-- security invoker, and granted to nobody: only a table's owner may alter it, which is the role
-- that runs migrations.
create function public.enable_soft_delete(
  p_table regclass,
  p_list_columns text[] default null,
  p_condition text default null,
  p_unique_for_ever text[] default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_kind "char";
  v_is_partition boolean;
  v_has_policies boolean;
  v_type regtype;
  v_columns text[];
  v_unknown text;
begin
  select c.relkind, c.relispartition, c.relrowsecurity
  into v_kind, v_is_partition, v_has_policies
  from pg_catalog.pg_class as c
  where c.oid = p_table and c.relnamespace <> 'pg_catalog'::regnamespace;

  if v_kind is null then
    raise exception 'enabling soft delete: there is no such table: %', p_table using errcode = '42P01';
  end if;

  if v_kind not in ('r', 'p') or v_is_partition then
    raise exception 'enabling soft delete on %: it is no table of its own but a %', p_table,
      case
        when v_is_partition then 'partition, name the table that it is a part of'
        when v_kind = 'v' then 'view, name the table under it'
        when v_kind = 'm' then 'materialized view, name the table under it'
        when v_kind = 'f' then 'foreign table, enable it where the table is'
        else 'relation without rows'
      end
      using errcode = '42809';
  end if;

  select a.atttypid into v_type
  from pg_catalog.pg_attribute as a
  where a.attrelid = p_table and a.attname = 'archived_at' and not a.attisdropped;

  if v_type <> 'timestamptz'::regtype then
    raise exception 'enabling soft delete on %: its column archived_at is of type %, expected timestamptz', p_table, v_type
      using errcode = '42804';
  end if;

  -- Lists are of one user's rows as a rule; the primary key gives the order a tie-breaker.
  v_columns := coalesce(p_list_columns, array(
    select a.attname::text
    from pg_catalog.pg_attribute as a
    left join pg_catalog.pg_index as i on i.indrelid = a.attrelid and i.indisprimary
    where a.attrelid = p_table
      and not a.attisdropped
      and (a.attname = 'user_id' or a.attnum = any (i.indkey))
    order by a.attname <> 'user_id', array_position(i.indkey::smallint[], a.attnum)
  ));

  if cardinality(v_columns) = 0 then
    raise exception 'enabling soft delete on %: name the columns that lists of it are filtered and sorted by', p_table
      using errcode = '22023';
  end if;

  select c.name into v_unknown
  from unnest(v_columns) as c (name)
  where not exists (
    select from pg_catalog.pg_attribute as a
    where a.attrelid = p_table and a.attname = c.name and a.attnum > 0 and not a.attisdropped
  )
  limit 1;

  if found then
    raise exception 'enabling soft delete on %: it has no column %', p_table, coalesce(quote_ident(v_unknown), 'null')
      using errcode = '42703';
  end if;

  execute format('alter table %s add column if not exists archived_at timestamptz', p_table);
  execute format('comment on column %s.archived_at is %L', p_table, 'When the row was archived; null: it is in use.');

  if not exists (
    select from pg_catalog.pg_index as i
    where i.indrelid = p_table
      and i.indisvalid
      and pg_get_expr(i.indpred, i.indrelid) = '(archived_at IS NULL)'
      and v_columns = array(
        select a.attname::text
        from unnest(i.indkey::smallint[]) with ordinality as k (attnum, position)
        join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
        order by k.position
      )
  ) then
    execute format(
      'create index on %s (%s) where archived_at is null',
      p_table,
      (select string_agg(quote_ident(c.name), ', ' order by c.position)
       from unnest(v_columns) with ordinality as c (name, position))
    );
  end if;

  if exists (
    select from pg_catalog.pg_constraint as k
    where k.conrelid = p_table and k.conname = 'archived_only_if_allowed'
  ) then
    execute format('alter table %s drop constraint archived_only_if_allowed', p_table);
  end if;

  if p_condition is not null then
    execute format(
      'alter table %s add constraint archived_only_if_allowed check (archived_at is null or (%s) is true)',
      p_table, p_condition
    );
  end if;

  -- A later call that does not speak of them leaves them as the first one did.
  if p_unique_for_ever is not null or not exists (
    select from pg_catalog.pg_trigger as t
    where t.tgrelid = p_table and t.tgname = 'archived_rows_are_only_restored'
  ) then
    perform public.unique_among_live_rows(p_table, coalesce(p_unique_for_ever, '{}'));
  end if;

  -- A row that this transaction archives is still seen in it: an update has to see what it made.
  if not exists (
    select from pg_catalog.pg_policy as p where p.polrelid = p_table and p.polname = 'archived_rows_on_request'
  ) then
    execute format(
      'create policy archived_rows_on_request on %s as restrictive for select to public '
      'using (archived_at is null or archived_at = now() or (select public.archived_rows_included()))',
      p_table
    );
  end if;

  -- Triggers run in the order of their names: this one has to see what the caller wants before
  -- another one counts a version up.
  execute format(
    'create or replace trigger archived_rows_are_only_restored before update on %s '
    'for each row when (old.archived_at is not null or new.archived_at is not null) '
    'execute function public.archived_rows_are_only_restored()',
    p_table
  );

  -- Whoever could delete rows may archive them instead.
  if has_table_privilege('authenticated', p_table, 'delete') then
    execute format('grant update (archived_at) on %s to authenticated', p_table);
  end if;

  execute format('revoke delete, truncate on %s from public, anon, authenticated', p_table);

  if v_has_policies and not exists (
    select from pg_catalog.pg_policy as p where p.polrelid = p_table and p.polcmd in ('w', '*')
  ) then
    raise warning 'enabling soft delete on %: no policy lets its rows be updated, so only the service role can archive them', p_table;
  end if;
end;
$$;

comment on function public.enable_soft_delete(regclass, text[], text, text[]) is
  'Lets rows of a table be archived and restored, where a condition is given those that meet it; may be called again, also for another list of columns. The condition of the last call holds. For migrations.';

create function public.enable_soft_delete(p_table regclass, p_condition text) returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  select public.enable_soft_delete(p_table => p_table, p_list_columns => null, p_condition => p_condition);
$$;

comment on function public.enable_soft_delete(regclass, text) is
  'The same for the rows that meet a condition: select enable_soft_delete(''roles'', ''not is_system''). For migrations.';

create function public.disable_soft_delete(p_table regclass) returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_has_archived boolean;
  v_unique record;
begin
  if not exists (
    select from pg_catalog.pg_trigger as t
    where t.tgrelid = p_table and t.tgname = 'archived_rows_are_only_restored'
  ) then
    return;
  end if;

  -- Nobody may archive a row between this look and the end of the column.
  execute format('lock table %s in access exclusive mode', p_table);
  execute format('select exists (select from %s where archived_at is not null)', p_table) into v_has_archived;

  if v_has_archived then
    raise exception 'disabling soft delete on %: it has archived rows, which would be in use again; delete or restore them first', p_table
      using errcode = '55000';
  end if;

  execute format('drop trigger archived_rows_are_only_restored on %s', p_table);
  execute format('drop policy if exists archived_rows_on_request on %s', p_table);

  -- They would go with the column that they name.
  for v_unique in
    select
      i.indexrelid::regclass as index,
      regexp_replace(
        regexp_replace(
          -- the project's own may name the condition first
          replace(
            replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON '), ' WHERE ((archived_at IS NULL) AND ', ' WHERE ('
          ),
          ' WHERE \(archived_at IS NULL\)$', ''
        ),
        ' WHERE \((.*) AND \(archived_at IS NULL\)\)$', ' WHERE \1'
      ) as definition
    from pg_catalog.pg_index as i
    where i.indrelid = p_table
      and i.indisunique
      and pg_get_expr(i.indpred, i.indrelid)
        ~ '^\(\(archived_at IS NULL\) AND |(^| AND )\(archived_at IS NULL\)\)?$'
  loop
    execute format('drop index %s', v_unique.index);
    execute v_unique.definition;
  end loop;

  execute format('alter table %s drop column archived_at', p_table);
end;
$$;

comment on function public.disable_soft_delete(regclass) is
  'Takes enable_soft_delete back, but for the right to delete, which is not given back to anybody; what was a unique constraint is a unique index. For migrations.';

revoke all on function public.archived_rows_are_only_restored() from public, anon, authenticated, service_role;
revoke all on function public.archived_rows_included() from public, anon, authenticated, service_role;
revoke all on function public.unique_among_live_rows(regclass, text[]) from public, anon, authenticated, service_role;
revoke all on function public.enable_soft_delete(regclass, text[], text, text[])
  from public, anon, authenticated, service_role;
revoke all on function public.enable_soft_delete(regclass, text) from public, anon, authenticated, service_role;
revoke all on function public.disable_soft_delete(regclass) from public, anon, authenticated, service_role;
-- The policy asks as whoever reads.
grant execute on function public.archived_rows_included() to anon, authenticated;
