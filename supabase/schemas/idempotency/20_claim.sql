-- Claiming: the one way in, and the replay.
--
-- Select, then insert … on conflict do nothing, then select again. A replay ends at the first
-- select, so it neither writes nor locks; insert … on conflict do update would do both even where
-- its where clause fails. In read committed each statement of a plpgsql function sees what was
-- committed before that statement: that is what makes the look after a lost insert find the
-- winner's row.
--
-- clock_timestamp(), not now(): now() stands still in a transaction. Somebody who claims late in
-- a long one would get a lease that is already over, and whoever waited for a lock would judge
-- leases by a clock from before the wait.

-- Whoever may call a function chooses the keys, and with what is sent the answers: so what one user
-- can pile up is bounded, in rows and in bytes. Rows that are the project's own are not.
create table idempotency.limits (
  only_row boolean primary key default true check (only_row),
  keys integer not null default 10000 check (keys between 1 and 1000000),
  bytes bigint not null default 1073741824 check (bytes between 1 and 1099511627776)
);

comment on table idempotency.limits is
  'How many keys one owner may have, and how many bytes in all of them; change the row to have others.';
comment on column idempotency.limits.bytes is
  'Of answers, headers, steps, metadata and what is noted of failures and crashes, as they are stored.';

insert into idempotency.limits default values;

-- A seed that is a dump of the data brings the row as it was, and would be refused as a second one.
create function idempotency.replace_only_row() returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  execute format('delete from %I.%I where true', tg_table_schema, tg_table_name);
  return new;
end;
$$;

revoke all on function idempotency.replace_only_row() from public, anon, authenticated, service_role;

create trigger replace_only_row
  before insert on idempotency.limits
  for each row
  execute function idempotency.replace_only_row();

-- such a seed is read as on a replica
alter table idempotency.limits enable always trigger replace_only_row;

create table idempotency.full_owners (
  owner text primary key
);

comment on table idempotency.full_owners is
  'Owners who had the most that one may have when last counted.';

revoke all on table idempotency.limits from public, anon, authenticated, service_role;
revoke all on table idempotency.full_owners from public, anon, authenticated, service_role;
grant select, update on table idempotency.limits to service_role;
grant select, insert, update, delete on table idempotency.full_owners to service_role;
alter table idempotency.limits enable row level security;
alter table idempotency.full_owners enable row level security;

create policy "operators see how much one owner may have"
  on idempotency.limits for select to service_role using (true);
create policy "operators see who has the most that one may have"
  on idempotency.full_owners for select to service_role using (true);

-- Of a value that lies apart from its row only its size is read, not the value.
create function idempotency.stored_bytes(p_owner text, p_live_at timestamptz default '-infinity') returns bigint
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  return (
    select coalesce(sum(
      coalesce(pg_column_size(k.response), 0) + coalesce(pg_column_size(k.response_headers), 0)
      + coalesce(pg_column_size(k.steps), 0) + coalesce(pg_column_size(k.metadata), 0)
      + coalesce(pg_column_size(k.error_message), 0) + coalesce(pg_column_size(k.crashed_attempts), 0)
    ), 0)
    from public.idempotency_keys as k
    where k.owner = p_owner and k.expires_at > p_live_at
  );
end;
$$;

comment on function idempotency.stored_bytes(text, timestamptz) is
  'How many bytes the keys of an owner hold, or those that live at a moment: what idempotency.limits bounds, as it is stored.';

-- Not where another session is about to: whoever holds rows of keys must not wait for one that may
-- come to want them.
create function idempotency.mark_as_full(p_owner text) returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if pg_try_advisory_xact_lock(hashtextextended('full owner ' || p_owner, 0)) then
    insert into idempotency.full_owners (owner) values (p_owner) on conflict do nothing;
  end if;
end;
$$;

comment on function idempotency.mark_as_full(text) is
  'Notes that an owner has the most that one may have.';

-- Counting at each claim costs milliseconds for those with many keys; a sample finds them, and
-- whoever was found is counted each time until there is room again. A sample alone would be no
-- bound: it refuses one claim in 256 and grants the rest.
create function idempotency.enforce_limits(p_owner text) returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_limits idempotency.limits;
  v_counted constant boolean := exists (select from idempotency.full_owners as f where f.owner = p_owner);
  v_keys bigint;
  v_bytes bigint;
begin
  select l.* into v_limits from idempotency.limits as l;

  -- rows that wait for cleanup count too: they fill the disk as well, and this stays index-only
  select count(*) into v_keys
  from (
    select from public.idempotency_keys as k where k.owner = p_owner limit v_limits.keys
  ) as keys;

  -- looks at the rows themselves, so only where it decides
  if v_keys < v_limits.keys then
    v_bytes := idempotency.stored_bytes(p_owner);

    if v_bytes < v_limits.bytes then
      delete from idempotency.full_owners as f where f.owner = p_owner;
      return;
    end if;
  end if;

  -- where cleanup is late, or was never set up, nobody stays locked out because of it
  -- by where they lie: whatever the planner believes of the table, they are looked for once
  delete from public.idempotency_keys as k
  where k.ctid = any (array(
    select e.ctid
    from public.idempotency_keys as e
    where e.owner = p_owner and e.expires_at <= clock_timestamp()
    for update skip locked
  ));

  if found then
    return;
  end if;

  if v_counted then
    if v_keys >= v_limits.keys then
      raise exception 'claiming an idempotency key: the owner has % live keys, the most there may be', v_keys
        using errcode = 'PT429', hint = 'Keys leave when their TTL ends; idempotency.limits says how many there may be.';
    end if;

    raise exception 'claiming an idempotency key: the live keys of the owner hold % bytes, and may hold %', v_bytes, v_limits.bytes
      using errcode = 'PT429',
        hint = 'Keys leave when their TTL ends; keep less of an answer (keepBody), or say in idempotency.limits how much there may be.';
  end if;

  -- raising here would undo the mark, so the claim that was sampled is still granted
  perform idempotency.mark_as_full(p_owner);
end;
$$;

comment on function idempotency.enforce_limits(text) is
  'Raises PT429 when an owner has as much as idempotency.limits allows; counts a sample of calls, and each call of those near the limit.';

-- For what a claim that was granted brings in the end: keys can be claimed while there is room, and
-- many of them be given large answers later. What is small is bounded by the number of keys. What is
-- large is weighed where its owner is known to be full, and else by chance, so that about once in
-- 16 MiB somebody looks, however large each is.
create function idempotency.has_room_for(p_owner text, p_bytes integer) returns boolean
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  c_small constant integer := 16384;
  c_bytes_a_look constant integer := 16777216;
  v_most bigint;
  v_counted boolean;
begin
  if p_owner = '' or p_bytes <= c_small then
    return true;
  end if;

  v_counted := exists (select from idempotency.full_owners as f where f.owner = p_owner);

  if not v_counted and p_bytes < random() * c_bytes_a_look then
    return true;
  end if;

  v_most := (select l.bytes from idempotency.limits as l);

  if idempotency.stored_bytes(p_owner) < v_most then
    return true;
  end if;

  if not v_counted then
    perform idempotency.mark_as_full(p_owner);
  end if;

  -- what has expired leaves with the next claim, if cleanup is late
  return idempotency.stored_bytes(p_owner, clock_timestamp()) < v_most;
end;
$$;

comment on function idempotency.has_room_for(text, integer) is
  'Whether an owner may store so many bytes more; weighs what is large, of those near the limit each time.';

revoke all on function idempotency.stored_bytes(text, timestamptz) from public, anon, authenticated, service_role;
revoke all on function idempotency.mark_as_full(text) from public, anon, authenticated, service_role;
revoke all on function idempotency.enforce_limits(text) from public, anon, authenticated, service_role;
revoke all on function idempotency.has_room_for(text, integer) from public, anon, authenticated, service_role;

create function public.idempotency_claim(
  p_owner text,
  p_scope text,
  p_idempotency_key text,
  p_fingerprint text,
  p_owner_token uuid,
  p_lease_seconds integer,
  p_ttl_seconds integer,
  p_on_abandoned text default 'retry',
  p_max_attempts integer default 5,
  p_third_party boolean default false,
  p_metadata jsonb default null
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_lease_end timestamptz;
  v_expiry timestamptz;
  v_key public.idempotency_keys;
  v_attempt integer;
  v_fence bigint;
  v_steps jsonb;
begin
  -- Each further round means that somebody else changed the row in between; the bound is for a
  -- row that can neither be seen nor inserted, such as behind a project's own trigger.
  for v_round in 1..20 loop
    select k.* into v_key
    from public.idempotency_keys as k
    where k.owner = p_owner and k.scope = p_scope and k.idempotency_key = p_idempotency_key;

    v_now := clock_timestamp();

    if v_key.expires_at > v_now then
      if v_key.request_fingerprint is distinct from p_fingerprint then
        return row(
          'mismatch', v_key.attempt, v_key.fence, null, null, null, null, null, null, null
        )::public.idempotency_answer;
      end if;

      if v_key.status = 'completed' then
        return row(
          'replay', v_key.attempt, v_key.fence, null, v_key.status_code, v_key.response,
          v_key.response_encoding, v_key.response_headers, null, v_key.completed_at
        )::public.idempotency_answer;
      end if;

      if v_key.status = 'processing' and v_key.owner_token is distinct from p_owner_token then
        if v_key.lease_expires_at > v_now then
          return row(
            'in_progress', v_key.attempt, v_key.fence,
            ceil(extract(epoch from v_key.lease_expires_at - v_now))::integer,
            null, null, null, null, null, null
          )::public.idempotency_answer;
        end if;

        -- a request that kills its worker must not do so for ever: this attempt is a crashed one too
        if p_on_abandoned = 'refuse'
          or coalesce(jsonb_array_length(v_key.crashed_attempts), 0) + 1 >= p_max_attempts
        then
          return row(
            'abandoned', v_key.attempt, v_key.fence, null, null, null, null, null, null, null
          )::public.idempotency_answer;
        end if;
      end if;
    end if;

    -- What no column holds, and nulls. How a key, a scope, an owner and a fingerprint look is checked
    -- by the types of their columns.
    if (
      num_nulls(p_owner, p_scope, p_idempotency_key, p_fingerprint, p_owner_token, p_third_party) = 0
      and p_lease_seconds between 1 and 86400
      and p_ttl_seconds between 1 and 31536000
      and p_on_abandoned in ('retry', 'refuse')
      and p_max_attempts between 1 and 100
    ) is not true then
      raise exception using
        errcode = '22023',
        message = 'claiming an idempotency key: ' || case
          when num_nulls(p_owner, p_scope, p_idempotency_key, p_fingerprint, p_owner_token, p_third_party) > 0
            then 'neither owner, scope, key, fingerprint and owner token nor whether the user is of third-party auth may be null'
          when (p_lease_seconds between 1 and 86400) is not true
            then 'the lease must be 1 to 86400 seconds, not ' || coalesce(p_lease_seconds::text, 'null')
          when (p_ttl_seconds between 1 and 31536000) is not true
            then 'the TTL must be 1 to 31536000 seconds, not ' || coalesce(p_ttl_seconds::text, 'null')
          when (p_on_abandoned in ('retry', 'refuse')) is not true
            then 'the policy for abandoned keys must be retry or refuse, not ' || coalesce(quote_literal(p_on_abandoned), 'null')
          else 'the most crashed attempts in a row must be 1 to 100, not ' || coalesce(p_max_attempts::text, 'null')
        end;
    end if;

    -- The end of an account takes it and then its keys. Whoever took a key first, and with what it
    -- writes next the account, would deadlock with it; a new key takes the account by itself.
    if v_key.user_id is not null and has_table_privilege('auth.users', 'update') then
      perform from auth.users as u where u.id = v_key.user_id for key share;
    end if;

    v_lease_end := v_now + make_interval(secs => p_lease_seconds);
    v_expiry := v_now + make_interval(secs => greatest(p_ttl_seconds, p_lease_seconds));

    if v_key.owner is null then
      if p_owner <> '' and random() < 1.0 / 256 then
        perform idempotency.enforce_limits(p_owner);
      end if;

      insert into public.idempotency_keys (
        owner, user_id, scope, idempotency_key, request_fingerprint, owner_token,
        lease_expires_at, metadata, created_at, claimed_at, expires_at
      )
      select
        p_owner,
        -- Where the owner looks like an account; the foreign key refuses one that is gone. A regular
        -- expression that counts takes longer than the look-up in an index.
        case
          when not p_third_party
            and p_owner like '________-____-____-____-____________'
            and translate(p_owner, '0123456789abcdef', '') = '----'
            then p_owner::uuid
        end,
        p_scope, p_idempotency_key, p_fingerprint, p_owner_token,
        v_lease_end, p_metadata, v_now, v_now, v_expiry
      -- looked at here, because a statement of its own would take longer than this one
      where (p_owner = '' or not exists (select from idempotency.full_owners as f where f.owner = p_owner))
        -- Having taken its fence an insert may wait for another one of the key. With an id from before that,
        -- whoever counts up to a fence knows that this one is still on its way.
        and pg_current_xact_id() is not null
      on conflict do nothing
      returning fence into v_fence;

      if found then
        return row('claimed', 1, v_fence, null, null, null, null, null, null, null)::public.idempotency_answer;
      end if;

      if p_owner <> '' and exists (select from idempotency.full_owners as f where f.owner = p_owner) then
        perform idempotency.enforce_limits(p_owner);
      end if;
    elsif v_key.expires_at <= v_now then
      -- a new generation: nothing of the old one may be seen through it
      update public.idempotency_keys as k
      set
        request_fingerprint = p_fingerprint,
        status = 'processing',
        attempt = 1,
        fence = nextval('idempotency.fence_seq'),
        owner_token = p_owner_token,
        past_owners = null,
        crashed_attempts = null,
        lease_expires_at = v_lease_end,
        response = null,
        response_encoding = null,
        status_code = null,
        response_headers = null,
        error_message = null,
        steps = null,
        metadata = p_metadata,
        created_at = v_now,
        claimed_at = v_now,
        completed_at = null,
        expires_at = v_expiry
      where k.owner = p_owner
        and k.scope = p_scope
        and k.idempotency_key = p_idempotency_key
        and k.fence = v_key.fence
        and k.expires_at <= v_now
      returning k.fence into v_fence;

      if found then
        return row('claimed', 1, v_fence, null, null, null, null, null, null, null)::public.idempotency_answer;
      end if;
    elsif v_key.status = 'processing' and v_key.owner_token = p_owner_token then
      -- The answer to the first claim was lost on the way; a caller that asks now starts now.
      update public.idempotency_keys as k
      set
        lease_expires_at = greatest(k.lease_expires_at, v_lease_end),
        expires_at = greatest(k.expires_at, v_lease_end)
      where k.owner = p_owner
        and k.scope = p_scope
        and k.idempotency_key = p_idempotency_key
        and k.fence = v_key.fence
        and k.status = 'processing'
      -- as they are now: a step may have been recorded while this waited for the row
      returning k.steps into v_steps;

      if found then
        return row(
          case when v_key.crashed_attempts is null then 'claimed' else 'taken_over' end,
          v_key.attempt, v_key.fence, null, null, null, null, null, v_steps, null
        )::public.idempotency_answer;
      end if;
    else
      -- Guarded by what was seen: of many callers exactly one finds the fence unchanged. The lease
      -- is looked at again, because renewing it leaves the fence as it is.
      update public.idempotency_keys as k
      set
        status = 'processing',
        attempt = k.attempt + 1,
        fence = nextval('idempotency.fence_seq'),
        owner_token = p_owner_token,
        -- bounded: whoever lost the key 32 attempts ago is past caring
        past_owners = (k.owner_token || k.past_owners)[1:32],
        crashed_attempts = case
          when k.status = 'processing' then coalesce(k.crashed_attempts, '[]') || jsonb_build_object(
            'attempt', k.attempt,
            'claimed_at', k.claimed_at,
            'lease_expired_at', k.lease_expires_at,
            'steps', (select count(*) from jsonb_object_keys(k.steps))
          )
        end,
        lease_expires_at = v_lease_end,
        error_message = null,
        status_code = null,
        completed_at = null,
        -- what the attempt brings, beside what an operator noted where both fit
        metadata = case
          when pg_column_size(k.metadata || p_metadata) <= 16384 then k.metadata || p_metadata
          else coalesce(p_metadata, k.metadata)
        end,
        claimed_at = v_now,
        expires_at = v_expiry
      where k.owner = p_owner
        and k.scope = p_scope
        and k.idempotency_key = p_idempotency_key
        and k.fence = v_key.fence
        -- failing leaves the fence as it is too, and turns a takeover into a retry
        and k.status = v_key.status
        and (k.status = 'failed' or k.lease_expires_at <= v_now)
      returning k.attempt, k.fence, k.steps into v_attempt, v_fence, v_steps;

      if found then
        return row(
          case when v_key.status = 'processing' then 'taken_over' else 'claimed' end,
          v_attempt, v_fence, null, null, null, null, null, v_steps, null
        )::public.idempotency_answer;
      end if;
    end if;
  end loop;

  raise exception 'claiming an idempotency key: the row of key % changed under each of 20 attempts', p_idempotency_key
    using errcode = '40001', hint = 'Send the claim again.';
end;
$$;

comment on function public.idempotency_claim(text, text, text, text, uuid, integer, integer, text, integer, boolean, jsonb) is
  'Claims a key, or says why not: claimed, taken_over, replay (with the recorded answer), mismatch, in_progress or abandoned.';

-- Nobody but the service role: a signed-in user who could claim could make the function believe
-- that a step or an answer of its own exists.
revoke all on function public.idempotency_claim(text, text, text, text, uuid, integer, integer, text, integer, boolean, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_claim(text, text, text, text, uuid, integer, integer, text, integer, boolean, jsonb)
  to service_role;
