-- What a quotation may become, what may still be changed, and what is written down about it.

create function public.quotation_may_become(p_from text, p_to text) returns boolean
language sql
immutable
security invoker
set search_path = ''
as $$
  select (p_from, p_to) in (
    ('draft', 'sent'),
    ('sent', 'accepted'),
    ('sent', 'rejected'),
    ('sent', 'expired')
  );
$$;

comment on function public.quotation_may_become(text, text) is 'Whether a quotation may go from one status to another.';

create function public.quotations_keep_rules() returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_today constant date := (now() at time zone 'utc')::date;
begin
  if new.status <> old.status then
    if not public.quotation_may_become(old.status, new.status) then
      raise exception 'changing the status of quotation %: it is %, from which it cannot become %', old.id, old.status, new.status
        using errcode = 'QT001';
    end if;

    if new.status in ('sent', 'accepted') and new.valid_until < v_today then
      raise exception 'changing the status of quotation % to %: it was valid until %', old.id, new.status, new.valid_until
        using errcode = 'QT002';
    end if;

    if new.status = 'sent'
      and not exists (select from public.quotation_lines as l where l.user_id = new.user_id and l.quotation_id = new.id)
    then
      raise exception 'sending quotation %: it has no lines', old.id using errcode = 'QT003';
    end if;
  end if;

  -- What the customer was sent is what they accept.
  if old.status <> 'draft'
    and (new.customer_name, new.currency, new.valid_until) is distinct from (old.customer_name, old.currency, old.valid_until)
  then
    raise exception 'changing quotation %: it is % and no draft any more', old.id, old.status using errcode = 'QT004';
  end if;

  -- Deeper down it is the lines' trigger, which counts for itself.
  if pg_trigger_depth() = 1 then
    new.version := old.version + 1;
  end if;

  new.updated_at := now();
  return new;
end;
$$;

comment on function public.quotations_keep_rules() is
  'SQLSTATE QT001: no such transition; QT002: no longer valid; QT003: no lines; QT004: no draft any more.';

create trigger quotations_keep_rules
  before update on public.quotations
  for each row execute function public.quotations_keep_rules();

-- Lines change with their draft only, and take its totals and version along. They are written anew
-- rather than updated, which nobody is granted.
--
-- security definer: nobody may write totals themselves. The quotations are those of the lines,
-- which row level security and the foreign key have let through.
create function public.quotation_lines_sum_up() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_quotation record;
begin
  -- The lock makes a quotation that is being sent at this moment wait for these lines, or these
  -- lines see that it was sent. In the order of ids, and not on the key, which the foreign key of
  -- each line holds already: so two of these wait for each other and never deadlock.
  for v_quotation in
    select q.id, q.status, q.archived_at
    from public.quotations as q
    where q.id in (select c.quotation_id from changed as c)
    order by q.id
    for no key update
  loop
    if v_quotation.archived_at is not null then
      raise exception 'changing the lines of quotation %: it is archived, restore it first', v_quotation.id
        using errcode = 'SD001';
    end if;

    if v_quotation.status <> 'draft' then
      raise exception 'changing the lines of quotation %: it is % and no draft any more', v_quotation.id, v_quotation.status
        using errcode = 'QT004';
    end if;
  end loop;

  update public.quotations as q
  set
    net_minor = coalesce(s.net_minor, 0),
    tax_minor = coalesce(s.tax_minor, 0),
    -- One change, one version: whoever has written the quotation in this transaction has counted.
    version = q.version + case when q.xmin = pg_current_xact_id()::xid then 0 else 1 end
  from (select distinct c.quotation_id from changed as c) as c
  left join lateral (
    select sum(l.net_minor) as net_minor, sum(l.tax_minor) as tax_minor
    from public.quotation_lines as l
    where l.quotation_id = c.quotation_id
  ) as s on true
  where q.id = c.quotation_id;

  return null;
end;
$$;

comment on function public.quotation_lines_sum_up() is
  'Keeps totals and version of the quotations whose lines changed. SQLSTATE QT004: no draft any more; SD001: archived.';

create trigger quotation_lines_sum_up_inserted
  after insert on public.quotation_lines
  referencing new table as changed
  for each statement execute function public.quotation_lines_sum_up();
create trigger quotation_lines_sum_up_deleted
  after delete on public.quotation_lines
  referencing old table as changed
  for each statement execute function public.quotation_lines_sum_up();

-- security definer: the audit trail can be written by nobody, and so by this alone.
create function public.quotations_write_history() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if tg_op = 'DELETE' then
    -- A user who is deleted takes quotations and history along; then there is nothing to write.
    insert into public.quotation_history (user_id, quotation_id, action, from_status, version, changed_by)
    select old.user_id, old.id, 'deleted', old.status, old.version, auth.uid()
    from auth.users as u
    where u.id = old.user_id;

    return null;
  end if;

  if tg_op = 'INSERT' then
    insert into public.quotation_history (user_id, quotation_id, action, to_status, version, changed_by, request_id)
    values (new.user_id, new.id, 'created', new.status, new.version, auth.uid(), new.request_id);

    return null;
  end if;

  insert into public.quotation_history (
    user_id, quotation_id, action, from_status, to_status, version, changed_by, request_id
  )
  values (
    new.user_id,
    new.id,
    case
      when new.status <> old.status then 'status_changed'
      when new.archived_at is not null and old.archived_at is null then 'archived'
      when new.archived_at is null and old.archived_at is not null then 'restored'
      else 'updated'
    end,
    old.status,
    new.status,
    new.version,
    auth.uid(),
    case when new.last_request_id is distinct from old.last_request_id then new.last_request_id end
  );

  -- Both can be asked for in one update, past the functions; the request is told with the first.
  if new.status <> old.status and new.archived_at is not null and old.archived_at is null then
    insert into public.quotation_history (
      user_id, quotation_id, action, from_status, to_status, version, changed_by
    )
    values (new.user_id, new.id, 'archived', new.status, new.status, new.version, auth.uid());
  end if;

  return null;
end;
$$;

comment on function public.quotations_write_history() is 'Writes the audit trail of quotations.';

create trigger quotations_write_history
  after insert or delete on public.quotations
  for each row execute function public.quotations_write_history();
-- Totals that follow their lines within one change are no change of their own.
create trigger quotations_write_history_of_changes
  after update on public.quotations
  for each row when (new.version <> old.version)
  execute function public.quotations_write_history();

revoke all on function public.quotation_may_become(text, text) from public, anon, authenticated, service_role;
revoke all on function public.quotations_keep_rules() from public, anon, authenticated, service_role;
revoke all on function public.quotation_lines_sum_up() from public, anon, authenticated, service_role;
revoke all on function public.quotations_write_history() from public, anon, authenticated, service_role;
grant execute on function public.quotation_may_become(text, text) to authenticated, service_role;
