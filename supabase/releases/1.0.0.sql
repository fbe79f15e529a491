-- Generated from supabase/schemas/idempotency/ by `deno task sql`: change it there.

-- The ledger's table: one row per owner, scope and key, for as long as its TTL.
-- The service role writes it, through the functions in the files that follow; users look.

create schema idempotency;

comment on schema idempotency is
  'What the ledger needs beside the functions and the table in public; not exposed by the Data API.';

-- authenticated: the policies below and v_idempotency_stats reach into it
grant usage on schema idempotency to authenticated, service_role;

create function idempotency.version() returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select '1.0.0'
$$;

comment on function idempotency.version() is
  'The version of the ledger''s schema.';

-- One rule for who a signed-in user is, for policies and functions alike: the token's sub, which is
-- no UUID for users of third-party auth.
create function idempotency.signed_in_owner() returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '')
$$;

comment on function idempotency.signed_in_owner() is
  'The owner that a signed-in user''s token names; null where nobody is signed in.';

create sequence idempotency.fence_seq as bigint;

-- What a column may hold. Postgres reads the check constraints of a table from their stored form at
-- each insert and update, which with two dozen of them took most of such a statement; those of a
-- domain it reads once a session.
--
-- length apart: a repetition count in a regular expression ends at 255, and costs a state each
create domain idempotency.key as text
  constraint key_is_3_to_256_letters_digits_dashes_underscores
    check (value !~ '[^A-Za-z0-9_-]' and length(value) between 3 and 256);
create domain idempotency.scope as text
  constraint scope_is_1_to_200_characters check (length(value) between 1 and 200);
create domain idempotency.owner as text
  constraint owner_is_at_most_255_characters check (length(value) <= 255);
create domain idempotency.fingerprint as text
  constraint fingerprint_is_64_lowercase_hex_digits
    check (value !~ '[^0-9a-f]' and length(value) = 64);
create domain idempotency.status as text
  constraint status_is_known check (value in ('processing', 'completed', 'failed'));
create domain idempotency.attempt as integer
  constraint attempt_starts_at_1 check (value >= 1);
create domain idempotency.crashed_attempts as jsonb
  constraint crashed_attempts_are_at_most_100 check (jsonb_array_length(value) <= 100);
create domain idempotency.status_code as smallint
  constraint status_code_is_an_http_status check (value between 100 and 599);
create domain idempotency.response as text
  constraint response_is_at_most_6_mib check (octet_length(value) <= 6291456);
create domain idempotency.response_encoding as text
  constraint response_encoding_is_known check (value in ('text', 'base64', 'gzip', 'none'));
create domain idempotency.response_headers as jsonb
  constraint response_headers_are_an_object_of_at_most_64_kib
    check (jsonb_typeof(value) = 'object' and pg_column_size(value) <= 65536);
create domain idempotency.error_message as text
  constraint error_message_is_at_most_2000_characters check (length(value) <= 2000);
create domain idempotency.steps as jsonb
  constraint steps_are_an_object_of_at_most_1_mib
    check (jsonb_typeof(value) = 'object' and pg_column_size(value) <= 1048576);
create domain idempotency.metadata as jsonb
  constraint metadata_is_an_object_of_at_most_16_kib
    check (jsonb_typeof(value) = 'object' and pg_column_size(value) <= 16384);

-- In this order: what a claim sets, columns of one width before others, so that no byte is spent on
-- alignment; then what completing sets, which is all that the log has to hold of that update.
create table public.idempotency_keys (
  fence bigint not null default nextval('idempotency.fence_seq'),
  created_at timestamptz not null default now(),
  claimed_at timestamptz not null default now(),
  expires_at timestamptz not null,
  owner_token uuid not null,
  attempt idempotency.attempt not null default 1,
  -- '': the project itself (webhooks, jobs)
  owner idempotency.owner not null,
  scope idempotency.scope not null,
  idempotency_key idempotency.key not null,
  request_fingerprint idempotency.fingerprint not null,
  -- the account, where the owner is one of this project: with it go its keys
  user_id uuid references auth.users (id) on delete cascade,
  metadata idempotency.metadata,
  -- earlier holders of this key since attempt 1: the only callers a winner's answer is told to
  past_owners uuid[],
  -- since the last attempt that is known to have failed: when each began, and how far it got
  crashed_attempts idempotency.crashed_attempts,
  steps idempotency.steps,
  status idempotency.status not null default 'processing',
  lease_expires_at timestamptz,
  completed_at timestamptz,
  status_code idempotency.status_code,
  response_encoding idempotency.response_encoding,
  response_headers idempotency.response_headers,
  response idempotency.response,
  error_message idempotency.error_message,

  constraint idempotency_keys_identity
    primary key (owner, scope, idempotency_key),
  -- Of the rules between columns the one that all else rests on; each costs as much as a look-up in
  -- an index, twice for each key, and the functions that follow are the only ones that write.
  constraint processing_has_a_lease_and_else_an_end
    check ((lease_expires_at is null) <> (completed_at is null) and (status = 'processing') = (completed_at is null))
)
-- Completing more than doubles a row. With up to 16 keys at work at once the update is HOT all the same;
-- with more of them a lower value buys HOT updates, see docs/scale.md.
with (fillfactor = 85);

-- cleanup walks it; completing with the TTL of the claim leaves expires_at as it is, hence HOT
create index idempotency_keys_expires_at on public.idempotency_keys (expires_at);

-- The order of grants: what has happened since the statistics were last counted lies above a fence.
-- No update but a new grant sets this column, and that is none of the heap-only updates.
create index idempotency_keys_fence on public.idempotency_keys (fence);

-- deleting an account looks for its keys
create index idempotency_keys_user_id on public.idempotency_keys (user_id);

comment on table public.idempotency_keys is
  'One idempotency key of one owner in one scope: who holds it, and the answer once there is one.';
comment on column public.idempotency_keys.owner is
  'The sub of the verified token, or the empty text for the project itself.';
comment on column public.idempotency_keys.user_id is
  'The owner''s account in auth.users; null for the project and for users of third-party auth.';
comment on column public.idempotency_keys.fence is
  'New and larger at each granted claim, over all keys: a handler hands it to systems that refuse older writers.';
comment on column public.idempotency_keys.owner_token is
  'Made by the caller of the granted claim; whoever does not know it changes nothing.';
comment on column public.idempotency_keys.crashed_attempts is
  'Attempts in a row whose lease lapsed: [{attempt, claimed_at, lease_expired_at, steps}].';
comment on column public.idempotency_keys.response_encoding is
  'How response is written down: text, base64, gzip (in base64), or none where the answer was not kept.';
comment on column public.idempotency_keys.expires_at is
  'From here on the key is free for a new claim and cleanup may delete the row.';

-- Older projects grant everything in public to the API roles by default, so each is named.
revoke all on table public.idempotency_keys from public, anon, authenticated, service_role;
revoke all on sequence idempotency.fence_seq from public, anon, authenticated, service_role;
revoke all on function idempotency.version() from public, anon, authenticated, service_role;
revoke all on function idempotency.signed_in_owner() from public, anon, authenticated, service_role;

-- How their own keys stand, and nothing that was written for the team or would help to forge an
-- attempt. lease_expires_at is here because v_idempotency_stats counts stuck keys as its reader.
grant select (
  idempotency_key, scope, status, attempt, status_code, response, response_encoding, response_headers,
  created_at, claimed_at, lease_expires_at, completed_at, expires_at
) on table public.idempotency_keys to authenticated;
grant select, insert, update, delete on table public.idempotency_keys to service_role;
grant usage on sequence idempotency.fence_seq to service_role;
grant execute on function idempotency.version() to service_role;
grant execute on function idempotency.signed_in_owner() to authenticated, service_role;

alter table public.idempotency_keys enable row level security;

-- (select …): evaluated once per query, not once per row
create policy "users see only their own idempotency keys"
  on public.idempotency_keys
  for select
  to authenticated
  using (owner = (select idempotency.signed_in_owner()));

-- the service role passes without one, and whoever inherits it does not
create policy "operators see every idempotency key"
  on public.idempotency_keys for select to service_role using (true);

create type public.idempotency_answer as (
  outcome text,
  attempt integer,
  fence bigint,
  retry_after_seconds integer,
  status_code integer,
  response text,
  response_encoding text,
  response_headers jsonb,
  steps jsonb,
  completed_at timestamptz
);

comment on type public.idempotency_answer is
  'What a transition answers: an outcome, and whatever of the row goes with it.';

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

-- What an attempt does with its key: renew, checkpoint, complete, fail. Only the owner of a key that is
-- still processing writes; a lease that lapsed does not matter as long as nobody took the key over.
-- Each call may be sent twice.

-- A caller that does not own the key any more is told the winner's answer only if it once held
-- the key in this generation. A caller from before the key expired may have had another payload,
-- and the answer to somebody else's payload is no answer to it.
create function idempotency.answer_to_loser(
  p_owner text,
  p_scope text,
  p_idempotency_key text,
  p_owner_token uuid,
  -- what the call would have made of the key; null where it would have left it processing
  p_status text
) returns public.idempotency_answer
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_key public.idempotency_keys;
begin
  select k.* into v_key
  from public.idempotency_keys as k
  where k.owner = p_owner and k.scope = p_scope and k.idempotency_key = p_idempotency_key;

  -- the answer to this owner's first call was lost
  if v_key.owner_token = p_owner_token and v_key.status = p_status then
    return row(
      p_status, v_key.attempt, v_key.fence, null, null, null, null, null, null, v_key.completed_at
    )::public.idempotency_answer;
  end if;

  -- A claim that is granted late, even between the call's look and this one, does not make its own
  -- caller a loser: whoever gives it back has to come again.
  if not coalesce(p_owner_token = any (v_key.owner_token || v_key.past_owners), false)
    or v_key.owner_token = p_owner_token and v_key.status = 'processing'
  then
    return row('gone', null, null, null, null, null, null, null, null, null)::public.idempotency_answer;
  end if;

  if v_key.status = 'completed' then
    return row(
      'replay', v_key.attempt, v_key.fence, null, v_key.status_code, v_key.response,
      v_key.response_encoding, v_key.response_headers, null, v_key.completed_at
    )::public.idempotency_answer;
  end if;

  -- with the successor's attempt and fence: somebody is, or was last, at it
  return row('lost', v_key.attempt, v_key.fence, null, null, null, null, null, null, null)::public.idempotency_answer;
end;
$$;

comment on function idempotency.answer_to_loser(text, text, text, uuid, text) is
  'What a caller hears whose call changed nothing: its own earlier success, replay with the winner''s answer, lost or gone.';

-- A takeover changes both the token and the fence in one update, so of a renewal and a takeover that
-- meet at the row one finds it changed: the renewal then answers as to any loser, the takeover looks
-- again and sees a live lease.
create function public.idempotency_renew(
  p_owner text,
  p_scope text,
  p_idempotency_key text,
  p_owner_token uuid,
  p_lease_seconds integer
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_lease_end constant timestamptz := clock_timestamp() + make_interval(secs => p_lease_seconds);
  v_attempt integer;
  v_fence bigint;
begin
  if (p_lease_seconds between 1 and 86400) is not true then
    raise exception 'renewing an idempotency key: the lease must be 1 to 86400 seconds, not %', coalesce(p_lease_seconds::text, 'null')
      using errcode = '22023';
  end if;

  -- Neither column is set to less than it was: a renewal that was late on the way must not cut
  -- short the one that overtook it. lease_expires_at is in no index and expires_at mostly stays, so
  -- the update is HOT.
  update public.idempotency_keys as k
  set
    lease_expires_at = greatest(k.lease_expires_at, v_lease_end),
    expires_at = greatest(k.expires_at, v_lease_end)
  where k.owner = p_owner
    and k.scope = p_scope
    and k.idempotency_key = p_idempotency_key
    and k.owner_token = p_owner_token
    and k.status = 'processing'
  returning k.attempt, k.fence into v_attempt, v_fence;

  if found then
    return row('renewed', v_attempt, v_fence, null, null, null, null, null, null, null)::public.idempotency_answer;
  end if;

  -- no status: an owner that has settled the key itself has nothing to renew either
  return idempotency.answer_to_loser(p_owner, p_scope, p_idempotency_key, p_owner_token, null);
end;
$$;

comment on function public.idempotency_renew(text, text, text, uuid, integer) is
  'Makes the lease of the attempt that owns the key last this many seconds from now: renewed, or replay, lost or gone.';

-- Renews the lease in the same trip, because an attempt that reports a step is alive.
create function public.idempotency_checkpoint(
  p_owner text,
  p_scope text,
  p_idempotency_key text,
  p_owner_token uuid,
  p_step text,
  p_result jsonb,
  p_lease_seconds integer
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  c_most_steps constant integer := 100;
  c_most_bytes constant integer := 1048576;
  v_lease_end timestamptz;
  v_key public.idempotency_keys;
  v_steps jsonb;
begin
  if (length(p_step) between 1 and 100) is not true then
    raise exception 'recording a step: its name must be 1 to 100 characters, not %', coalesce(length(p_step)::text, 'null')
      using errcode = '22023';
  end if;

  if (p_lease_seconds between 1 and 86400) is not true then
    raise exception 'recording step %: the lease must be 1 to 86400 seconds, not %', p_step, coalesce(p_lease_seconds::text, 'null')
      using errcode = '22023';
  end if;

  -- Locked before it is added to: one attempt may record several steps at once, and each has to
  -- see the others'. no key update is the lock that the update takes anyway.
  select k.* into v_key
  from public.idempotency_keys as k
  where k.owner = p_owner
    and k.scope = p_scope
    and k.idempotency_key = p_idempotency_key
    and k.owner_token = p_owner_token
    and k.status = 'processing'
  for no key update;

  if not found then
    return idempotency.answer_to_loser(p_owner, p_scope, p_idempotency_key, p_owner_token, null);
  end if;

  v_steps := coalesce(v_key.steps, '{}');

  -- The first result stays: the same call may arrive twice, and a later attempt may already have
  -- been handed what was recorded.
  if not v_steps ? p_step then
    -- JSON null arrives from PostgREST as SQL null; it is a result like false, 0 and ""
    v_steps := v_steps || jsonb_build_object(p_step, coalesce(p_result, 'null'));

    if (select count(*) from jsonb_object_keys(v_steps)) > c_most_steps then
      raise exception 'recording step %: key % has % steps, the most there may be', p_step, p_idempotency_key, c_most_steps
        using errcode = '22023';
    end if;

    if pg_column_size(v_steps) > c_most_bytes then
      raise exception 'recording step %: the steps of key % would take % bytes, more than %', p_step, p_idempotency_key, pg_column_size(v_steps), c_most_bytes
        using errcode = '22023', hint = 'Store what is large elsewhere and record where.';
    end if;

    -- all of them together: many small ones are large, and a key that failed keeps them
    if not idempotency.has_room_for(p_owner, pg_column_size(v_steps)) then
      raise exception 'recording step %: the live keys of the owner hold as many bytes as they may', p_step
        using errcode = 'PT429', hint = 'Store what is large elsewhere and record where, or say in idempotency.limits how much there may be.';
    end if;
  end if;

  -- after the wait for the lock
  v_lease_end := clock_timestamp() + make_interval(secs => p_lease_seconds);

  update public.idempotency_keys as k
  set
    steps = v_steps,
    lease_expires_at = greatest(k.lease_expires_at, v_lease_end),
    expires_at = greatest(k.expires_at, v_lease_end)
  where k.owner = p_owner and k.scope = p_scope and k.idempotency_key = p_idempotency_key;

  return row(
    'recorded', v_key.attempt, v_key.fence, null, null, null, null, null, null, null
  )::public.idempotency_answer;
end;
$$;

comment on function public.idempotency_checkpoint(text, text, text, uuid, text, jsonb, integer) is
  'Records the result of a step, the first one for good, and renews the lease: recorded, or replay, lost or gone.';

-- expires_at, in both ends: counted from the claim, so that the same TTL gives the same value and
-- the update stays HOT although the column is indexed. An operation that ran for more than half its
-- TTL still leaves its answer there for half of it.
create function public.idempotency_complete(
  p_owner text,
  p_scope text,
  p_idempotency_key text,
  p_owner_token uuid,
  p_status_code integer,
  p_response text,
  p_response_encoding text,
  p_response_headers jsonb,
  p_ttl_seconds integer default null
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_ttl constant interval := make_interval(secs => p_ttl_seconds);
  v_response text := p_response;
  v_response_encoding text := p_response_encoding;
  v_response_headers jsonb := p_response_headers;
  v_bytes constant integer := coalesce(octet_length(p_response), 0) + coalesce(pg_column_size(p_response_headers), 0);
  v_attempt integer;
  v_fence bigint;
begin
  if (
    p_status_code between 100 and 599
    and p_response_encoding in ('text', 'base64', 'gzip', 'none')
    and (p_response_encoding = 'none') = (p_response is null)
    and coalesce(octet_length(p_response), 0) <= 6291456
    and coalesce(p_ttl_seconds, 1) between 1 and 31536000
  ) is not true then
    raise exception using
      errcode = '22023',
      message = 'completing an idempotency key: ' || case
        when (p_status_code between 100 and 599) is not true
          then 'the status code must be 100 to 599, not ' || coalesce(p_status_code::text, 'null')
        when (p_response_encoding in ('text', 'base64', 'gzip', 'none')) is not true
          then 'the response encoding must be text, base64, gzip or none, not ' || coalesce(quote_literal(p_response_encoding), 'null')
        when (p_response_encoding = 'none') <> (p_response is null)
          then 'the response must be null where its encoding is none, and only there'
        when octet_length(p_response) > 6291456
          then 'the response must be at most 6291456 bytes, not ' || octet_length(p_response)
        else 'the TTL must be 1 to 31536000 seconds, not ' || p_ttl_seconds
      end;
  end if;

  -- The effect has happened, and that is recorded whatever it takes; a body that there is no room
  -- for is not kept, as one that is too large, and of headers that are large only where the result is.
  if v_bytes > 16384 and not idempotency.has_room_for(p_owner, v_bytes) then
    v_response := null;
    v_response_encoding := 'none';

    if pg_column_size(p_response_headers) > 16384 then
      v_response_headers := case
        when length(p_response_headers ->> 'location') <= 2000
          then jsonb_build_object('location', p_response_headers -> 'location')
        else '{}'
      end;
    end if;
  end if;

  update public.idempotency_keys as k
  set
    status = 'completed',
    status_code = p_status_code,
    response = v_response,
    response_encoding = v_response_encoding,
    response_headers = v_response_headers,
    completed_at = v_now,
    lease_expires_at = null,
    expires_at = case
      when v_ttl is null then greatest(k.expires_at, v_now + (k.expires_at - k.claimed_at) / 2)
      else greatest(k.claimed_at + v_ttl, v_now + v_ttl / 2)
    end
  where k.owner = p_owner
    and k.scope = p_scope
    and k.idempotency_key = p_idempotency_key
    and k.owner_token = p_owner_token
    and k.status = 'processing'
  returning k.attempt, k.fence into v_attempt, v_fence;

  if found then
    return row('completed', v_attempt, v_fence, null, null, null, null, null, null, v_now)::public.idempotency_answer;
  end if;

  return idempotency.answer_to_loser(p_owner, p_scope, p_idempotency_key, p_owner_token, 'completed');
end;
$$;

comment on function public.idempotency_complete(text, text, text, uuid, integer, text, text, jsonb, integer) is
  'Records the final answer of the attempt that owns the key: completed, or replay, lost or gone.';

-- Known not to have taken effect, so the next claim runs again and keeps the steps.
create function public.idempotency_fail(
  p_owner text,
  p_scope text,
  p_idempotency_key text,
  p_owner_token uuid,
  p_error_message text,
  p_ttl_seconds integer default null,
  -- of the answer that was not final; null where there was none
  p_status_code integer default null
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_ttl constant interval := make_interval(secs => p_ttl_seconds);
  v_attempt integer;
  v_fence bigint;
begin
  if not (
    coalesce(p_ttl_seconds, 1) between 1 and 31536000
    and coalesce(p_status_code, 100) between 100 and 599
  ) then
    raise exception 'failing an idempotency key: the TTL must be 1 to 31536000 seconds and the status code 100 to 599, not % and %', coalesce(p_ttl_seconds::text, 'null'), coalesce(p_status_code::text, 'null')
      using errcode = '22023';
  end if;

  update public.idempotency_keys as k
  set
    status = 'failed',
    status_code = p_status_code,
    -- cut, not refused: a long message is no reason to leave the key in processing
    error_message = left(p_error_message, 2000),
    crashed_attempts = null,
    completed_at = v_now,
    lease_expires_at = null,
    expires_at = case
      when v_ttl is null then greatest(k.expires_at, v_now + (k.expires_at - k.claimed_at) / 2)
      else greatest(k.claimed_at + v_ttl, v_now + v_ttl / 2)
    end
  where k.owner = p_owner
    and k.scope = p_scope
    and k.idempotency_key = p_idempotency_key
    and k.owner_token = p_owner_token
    and k.status = 'processing'
  returning k.attempt, k.fence into v_attempt, v_fence;

  if found then
    return row('failed', v_attempt, v_fence, null, null, null, null, null, null, v_now)::public.idempotency_answer;
  end if;

  return idempotency.answer_to_loser(p_owner, p_scope, p_idempotency_key, p_owner_token, 'failed');
end;
$$;

comment on function public.idempotency_fail(text, text, text, uuid, text, integer, integer) is
  'Records that the attempt that owns the key took no effect, so that the key may run again: failed, or replay, lost or gone.';

revoke all on function idempotency.answer_to_loser(text, text, text, uuid, text)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_renew(text, text, text, uuid, integer)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_checkpoint(text, text, text, uuid, text, jsonb, integer)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_complete(text, text, text, uuid, integer, text, text, jsonb, integer)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_fail(text, text, text, uuid, text, integer, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_renew(text, text, text, uuid, integer) to service_role;
grant execute on function public.idempotency_checkpoint(text, text, text, uuid, text, jsonb, integer) to service_role;
grant execute on function public.idempotency_complete(text, text, text, uuid, integer, text, text, jsonb, integer) to service_role;
grant execute on function public.idempotency_fail(text, text, text, uuid, text, integer, integer) to service_role;

-- The frame of a function that claims, writes and completes in one transaction, for the caller who
-- is signed in: claim_in_transaction, the writes, complete_in_transaction.
--
-- Such a function is security definer, because neither is granted to anybody: a user who could claim
-- or complete could record an answer that nothing stands behind.

-- The holder of the key is the transaction. A caller needs a token of its own to find a claim again
-- whose answer was lost; of this claim nobody ever sees the middle. If it committed, the answer is
-- recorded and a retry replays it, whatever token it brings; if not, there is nothing to be found.
--
-- Not the transaction's id: to ask for it assigns one, and a replay must not write.
create function idempotency.transaction_token() returns uuid
language sql
stable
security invoker
set search_path = ''
as $$
  select md5(pg_backend_pid() || ' ' || extract(epoch from transaction_timestamp()))::uuid
$$;

comment on function idempotency.transaction_token() is
  'The owner token of what this transaction claims: the same all through it, and in no other.';

-- The lease only has to be positive: it is never seen running, because it ends with the transaction.
-- The second caller waits in the claim until the first has committed or rolled back.
create function idempotency.claim_in_transaction(
  p_scope text,
  p_idempotency_key text,
  p_fingerprint text,
  p_ttl_seconds integer default 86400
) returns public.idempotency_answer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_owner constant text := idempotency.signed_in_owner();
  v_answer public.idempotency_answer;
begin
  if v_owner is null then
    raise exception 'claiming an idempotency key: nobody is signed in'
      using errcode = '42501', hint = 'Send a user''s access token.';
  end if;

  v_answer := public.idempotency_claim(
    v_owner, p_scope, p_idempotency_key, p_fingerprint, idempotency.transaction_token(), 10, p_ttl_seconds
  );

  -- from somebody who works outside of a transaction, under the same scope
  if v_answer.outcome = 'taken_over' then
    v_answer.outcome := 'claimed';
  end if;

  -- the answer goes to the user as it is, who is told neither fences nor steps
  if v_answer.outcome <> 'claimed' then
    v_answer.fence := null;
  end if;

  return v_answer;
end;
$$;

comment on function idempotency.claim_in_transaction(text, text, text, integer) is
  'Claims a key of the signed-in user for this transaction: where it is not claimed, the answer is to be returned as it is.';

create function idempotency.complete_in_transaction(
  p_scope text,
  p_idempotency_key text,
  p_answer public.idempotency_answer
) returns public.idempotency_answer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_completed public.idempotency_answer;
begin
  p_answer.response_encoding := coalesce(p_answer.response_encoding, 'text');

  v_completed := public.idempotency_complete(
    idempotency.signed_in_owner(), p_scope, p_idempotency_key, idempotency.transaction_token(),
    p_answer.status_code, p_answer.response, p_answer.response_encoding, p_answer.response_headers
  );

  -- the key was not claimed in this transaction: nothing of it may stay
  if v_completed.outcome <> 'completed' then
    raise exception 'completing idempotency key % in a transaction: the answer was %, not completed', p_idempotency_key, v_completed.outcome
      using hint = 'Claim it with claim_in_transaction in the same transaction.';
  end if;

  p_answer.fence := null;
  p_answer.steps := null;
  p_answer.outcome := v_completed.outcome;
  p_answer.completed_at := v_completed.completed_at;
  return p_answer;
end;
$$;

comment on function idempotency.complete_in_transaction(text, text, public.idempotency_answer) is
  'Records status_code, response and response_headers as the answer of the key claimed in this transaction, and returns it.';

revoke all on function idempotency.transaction_token() from public, anon, authenticated, service_role;
revoke all on function idempotency.claim_in_transaction(text, text, text, integer) from public, anon, authenticated, service_role;
revoke all on function idempotency.complete_in_transaction(text, text, public.idempotency_answer)
  from public, anon, authenticated, service_role;

-- Many transitions in one trip: the single ones over a list, each in its own row of the answer.
--
-- Keys are taken in the order of their bytes, whatever order they came in: two batches that share
-- keys then wait for each other at the first one they share, and neither holds what the other one
-- waits for.
--
-- A batch is one transaction, but its keys have nothing to do with one another: what a single call
-- would raise for one of them is told in its row, so that the others go on. Every block with an
-- exception clause is a subtransaction, and of more than 64 that write in one transaction every
-- other session pays for each look at a row. So a batch first runs in a single one; only where an
-- item is refused it starts over with one for each.

create type public.idempotency_item_answer as (
  idempotency_key text,
  outcome text,
  attempt integer,
  fence bigint,
  retry_after_seconds integer,
  status_code integer,
  response text,
  response_encoding text,
  response_headers jsonb,
  steps jsonb,
  completed_at timestamptz,
  error_code text,
  error_message text
);

comment on type public.idempotency_item_answer is
  'What a batch answers for one key: what the single call would, or refused with the SQLSTATE and message that it would raise.';

create function idempotency.claim_item(
  p_owner text,
  p_scope text,
  p_item jsonb,
  p_terms jsonb
) returns public.idempotency_answer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  return public.idempotency_claim(
    p_owner, p_scope, p_item ->> 'key', p_item ->> 'fingerprint', (p_item ->> 'owner_token')::uuid,
    (p_terms ->> 'lease_seconds')::integer, (p_terms ->> 'ttl_seconds')::integer,
    p_terms ->> 'on_abandoned', (p_terms ->> 'max_attempts')::integer,
    (p_terms ->> 'third_party')::boolean, nullif(p_item -> 'metadata', 'null')
  );
end;
$$;

comment on function idempotency.claim_item(text, text, jsonb, jsonb) is
  'Claims one key of a batch.';

create function idempotency.settle_item(
  p_owner text,
  p_scope text,
  p_item jsonb,
  p_terms jsonb
) returns public.idempotency_answer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_owner_token constant uuid := (p_item ->> 'owner_token')::uuid;
begin
  if coalesce(p_item ? 'error_message', false) then
    if p_item ?| array['response', 'response_encoding', 'response_headers'] then
      raise exception 'settling an idempotency key: one that failed has no answer, so none may be given'
        using errcode = '22023';
    end if;

    return public.idempotency_fail(
      p_owner, p_scope, p_item ->> 'key', v_owner_token, p_item ->> 'error_message',
      (p_terms ->> 'failed_ttl_seconds')::integer, (p_item ->> 'status_code')::integer
    );
  end if;

  -- ->> would turn an object into its text, which is not what was sent
  if coalesce(jsonb_typeof(p_item -> 'response'), 'null') not in ('string', 'null') then
    raise exception 'settling an idempotency key: the response must be a string or null, not %', jsonb_typeof(p_item -> 'response')
      using errcode = '22023';
  end if;

  return public.idempotency_complete(
    p_owner, p_scope, p_item ->> 'key', v_owner_token, (p_item ->> 'status_code')::integer,
    p_item ->> 'response', p_item ->> 'response_encoding',
    nullif(p_item -> 'response_headers', 'null'), (p_terms ->> 'ttl_seconds')::integer
  );
end;
$$;

comment on function idempotency.settle_item(text, text, jsonb, jsonb) is
  'Completes one key of a batch, or fails it where it has an error_message.';

create function idempotency.run_batch(
  p_transition text,
  p_owner text,
  p_scope text,
  p_items jsonb,
  p_terms jsonb
) returns setof public.idempotency_item_answer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  c_most constant integer := 100;
  v_apart boolean := false;
  v_item record;
  v_answer public.idempotency_answer;
  v_code text;
  v_message text;
  v_answers public.idempotency_item_answer[] := array[]::public.idempotency_item_answer[];
  v_item_answer public.idempotency_item_answer;
begin
  if jsonb_typeof(p_items) is distinct from 'array' then
    raise exception 'a batch of idempotency keys: the items must be an array, not %', coalesce(jsonb_typeof(p_items), 'null')
      using errcode = '22023';
  end if;

  if jsonb_array_length(p_items) > c_most then
    raise exception 'a batch of idempotency keys: there may be at most % items, not %', c_most, jsonb_array_length(p_items)
      using errcode = '22023';
  end if;

  loop
    begin
      for v_item in
        select
          i.place,
          i.item,
          i.item ->> 'key' as key,
          -- To the claim a token that it knows is a call sent twice, and granted twice. Within one
          -- call it is two items that would both run.
          p_transition = 'claim' and row_number() over (
            partition by i.item ->> 'key', lower(i.item ->> 'owner_token') order by i.place
          ) > 1 as again
        from jsonb_array_elements(p_items) with ordinality as i (item, place)
        order by i.item ->> 'key' collate "C", i.place
      loop
        v_code := null;
        v_message := null;

        if v_item.again then
          v_code := '22023';
          v_message := 'claiming an idempotency key: another item of the batch claims key '
            || coalesce(quote_literal(left(v_item.key, 300)), 'null') || ' with the same owner token';
        elsif v_apart then
          begin
            v_answer := case p_transition
              when 'claim' then idempotency.claim_item(p_owner, p_scope, v_item.item, p_terms)
              else idempotency.settle_item(p_owner, p_scope, v_item.item, p_terms)
            end;
          exception when
            invalid_parameter_value or invalid_text_representation or numeric_value_out_of_range
            or check_violation or sqlstate 'PT429'
          then
            get stacked diagnostics v_code = returned_sqlstate, v_message = message_text;
          end;
        else
          v_answer := case p_transition
            when 'claim' then idempotency.claim_item(p_owner, p_scope, v_item.item, p_terms)
            else idempotency.settle_item(p_owner, p_scope, v_item.item, p_terms)
          end;
        end if;

        if v_code is not null then
          v_answer := row('refused', null, null, null, null, null, null, null, null, null);
        end if;
        v_answers[v_item.place] := row(v_item.key, v_answer.*, v_code, v_message);
      end loop;
      exit;
    exception when
      invalid_parameter_value or invalid_text_representation or numeric_value_out_of_range
      or check_violation or sqlstate 'PT429'
    then
      if v_apart then
        raise;
      end if;
      v_apart := true;
    end;
  end loop;

  foreach v_item_answer in array v_answers loop
    return next v_item_answer;
  end loop;
end;
$$;

comment on function idempotency.run_batch(text, text, text, jsonb, jsonb) is
  'Claims or settles up to 100 keys: one row each, in the order given.';

create function public.idempotency_claim_many(
  p_owner text,
  p_scope text,
  p_requests jsonb,
  p_lease_seconds integer,
  p_ttl_seconds integer,
  p_on_abandoned text default 'retry',
  p_max_attempts integer default 5,
  p_third_party boolean default false
) returns setof public.idempotency_item_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  -- Making room for an owner at the limit deletes rows in no order, so an owner's batches take turns.
  if p_owner <> '' then
    perform pg_advisory_xact_lock(hashtextextended('idempotency batch of ' || p_owner, 0));
  end if;

  return query select * from idempotency.run_batch(
    'claim', p_owner, p_scope, p_requests,
    jsonb_build_object(
      'lease_seconds', p_lease_seconds, 'ttl_seconds', p_ttl_seconds, 'on_abandoned', p_on_abandoned,
      'max_attempts', p_max_attempts, 'third_party', p_third_party
    )
  );
end;
$$;

comment on function public.idempotency_claim_many(text, text, jsonb, integer, integer, text, integer, boolean) is
  'Claims up to 100 keys [{key, fingerprint, owner_token, metadata}] of one scope: one row each, in the order given, with the outcome of idempotency_claim or refused.';

create function public.idempotency_settle_many(
  p_owner text,
  p_scope text,
  p_settlements jsonb,
  p_ttl_seconds integer default null,
  p_failed_ttl_seconds integer default null
) returns setof public.idempotency_item_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  return query select * from idempotency.run_batch(
    'settle', p_owner, p_scope, p_settlements,
    jsonb_build_object('ttl_seconds', p_ttl_seconds, 'failed_ttl_seconds', p_failed_ttl_seconds)
  );
end;
$$;

comment on function public.idempotency_settle_many(text, text, jsonb, integer, integer) is
  'Ends up to 100 claims of one scope, [{key, owner_token, status_code, response, response_encoding, response_headers}] or [{key, owner_token, error_message, status_code}]: one row each, in the order given, with the outcome of complete or fail or refused.';

revoke all on function idempotency.claim_item(text, text, jsonb, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function idempotency.settle_item(text, text, jsonb, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function idempotency.run_batch(text, text, text, jsonb, jsonb)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_claim_many(text, text, jsonb, integer, integer, text, integer, boolean)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_settle_many(text, text, jsonb, integer, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_claim_many(text, text, jsonb, integer, integer, text, integer, boolean)
  to service_role;
grant execute on function public.idempotency_settle_many(text, text, jsonb, integer, integer) to service_role;

-- How a key stands, for the users that it belongs to and for the team.

create function public.get_idempotency_status(
  p_idempotency_key text,
  p_scope text default null,
  -- whose key, for the service role; '' is the project itself
  p_owner text default ''
) returns table (
  scope text,
  idempotency_key text,
  status text,
  attempt integer,
  is_stuck boolean,
  is_expired boolean,
  status_code integer,
  response text,
  response_encoding text,
  response_headers jsonb,
  created_at timestamptz,
  claimed_at timestamptz,
  completed_at timestamptz,
  expires_at timestamptz,
  -- for the team; null where a signed-in user asks
  error_message text,
  metadata jsonb,
  -- by name, not in the order they ended: jsonb does not keep that
  finished_steps text[]
)
language plpgsql
stable
security definer
set search_path = ''
-- the plan for any scope or none reads all keys of an owner, and the project may have millions
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  -- Inside a security definer function current_user is the function's owner, so this rests on what the
  -- caller cannot forge: the role that the session switched to, or logged in as.
  v_role constant name := coalesce(nullif(current_setting('role'), 'none'), session_user);
  -- usage, not member: authenticator may switch to service_role, but is not it until it does
  v_is_team constant boolean := v_role = 'service_role'
    or pg_has_role(v_role, current_user, 'usage')
    or pg_has_role(v_role, 'service_role', 'usage');
  v_owner constant text := case when v_is_team then p_owner else idempotency.signed_in_owner() end;
begin
  if v_owner is null then
    raise exception 'reading the status of an idempotency key: nobody is signed in'
      using errcode = '42501', hint = 'Send a user''s access token, or call with the service role and p_owner.';
  end if;

  return query
  select
    k.scope::text, k.idempotency_key::text, k.status::text, k.attempt::integer,
    coalesce(k.lease_expires_at <= clock_timestamp(), false), k.expires_at <= clock_timestamp(),
    k.status_code::integer, k.response::text, k.response_encoding::text, k.response_headers::jsonb,
    k.created_at, k.claimed_at, k.completed_at, k.expires_at,
    case when v_is_team then k.error_message::text end,
    case when v_is_team then k.metadata::jsonb end,
    case when v_is_team then
      array(select step from jsonb_object_keys(k.steps) as step order by step collate "C")
    end
  from public.idempotency_keys as k
  where k.owner = v_owner
    and k.idempotency_key = p_idempotency_key
    and (p_scope is null or k.scope = p_scope)
  order by k.scope;
end;
$$;

comment on function public.get_idempotency_status(text, text, text) is
  'How a key of the caller, or for the service role of the named owner, stands in one scope or in all.';

revoke all on function public.get_idempotency_status(text, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.get_idempotency_status(text, text, text)
  to authenticated, service_role;

-- Telling a user's clients that a run which went on in the background has ended. Called after the
-- completion, never by it: no trigger, so completing costs the same whether anybody listens or not.
create function public.idempotency_notify(
  p_owner text,
  p_scope text,
  p_idempotency_key text
) returns text
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_status text;
  v_status_code smallint;
  v_send regprocedure;
begin
  -- the project's own keys have nobody whose channel it could be
  if p_owner = '' then
    return 'none';
  end if;

  select k.status, k.status_code into v_status, v_status_code
  from public.idempotency_keys as k
  where k.owner = p_owner and k.scope = p_scope and k.idempotency_key = p_idempotency_key;

  -- What is told is what the row says: a caller cannot announce an end that has not come.
  if coalesce(v_status, 'processing') = 'processing' then
    return 'none';
  end if;

  -- A message is a courtesy. The run has ended and its status can be asked for; Realtime being
  -- absent, in another version or out of order must not look like a failure of the run.
  begin
    v_send := to_regprocedure('realtime.send(jsonb, text, text, boolean)');
    if v_send is null then
      return 'none';
    end if;

    -- By what was found, not by name: db lint refuses a name that is not there. Never the body: a
    -- message goes to all of the user's clients, the answer to those that ask for it.
    execute format('select %s($1, $2, $3, true)', v_send::regproc)
    using
      jsonb_build_object(
        'key', p_idempotency_key, 'scope', p_scope, 'status', v_status, 'status_code', v_status_code
      ),
      v_status,
      'idempotency:' || p_owner;
  exception when others then
    raise warning 'telling clients of idempotency key %: realtime.send failed: %', p_idempotency_key, sqlerrm;
    return 'none';
  end;

  return 'realtime';
end;
$$;

comment on function public.idempotency_notify(text, text, text) is
  'Broadcasts on the private channel idempotency:<owner> that a key is completed or failed: realtime, or none where nothing was sent.';

revoke all on function public.idempotency_notify(text, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_notify(text, text, text) to service_role;

-- Who hears these broadcasts: Realtime lets a client join a private channel only where a policy on
-- realtime.messages would show it a message there. Users may listen on the channel of their own;
-- nobody is given leave to send on it.
do $$
begin
  if to_regclass('realtime.messages') is null or to_regprocedure('realtime.topic()') is null then
    raise notice 'Realtime is not installed: idempotency_notify will send nothing';
    return;
  end if;

  execute 'drop policy if exists "users hear of their own idempotency keys" on realtime.messages';
  execute $policy$
    create policy "users hear of their own idempotency keys"
      on realtime.messages
      for select
      to authenticated
      using (
        extension = 'broadcast'
        and (select realtime.topic()) = 'idempotency:' || (select idempotency.signed_in_owner())
      )
  $policy$;
exception when insufficient_privilege then
  raise notice 'realtime.messages takes no policy from this role (%): add it in the dashboard', sqlerrm;
end;
$$;

-- What waits for an operator, how an operator ends it, and what they look up on the way there.

create function public.idempotency_stuck_keys(p_limit integer default 100) returns table (
  owner text,
  scope text,
  idempotency_key text,
  attempt integer,
  claimed_at timestamptz,
  lease_expires_at timestamptz,
  expires_at timestamptz,
  metadata jsonb,
  steps jsonb,
  -- the attempts before this one that crashed in a row: {attempt, claimed_at, lease_expired_at, steps}
  crashed_attempts jsonb
)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if (p_limit between 1 and 1000) is not true then
    raise exception 'listing stuck idempotency keys: the limit must be 1 to 1000, not %', coalesce(p_limit::text, 'null')
      using errcode = '22023';
  end if;

  return query
  select
    k.owner::text, k.scope::text, k.idempotency_key::text, k.attempt::integer, k.claimed_at, k.lease_expires_at,
    k.expires_at, k.metadata::jsonb, k.steps::jsonb, k.crashed_attempts::jsonb
  from idempotency.held_keys() as k
  where k.lease_expires_at <= clock_timestamp()
  order by k.lease_expires_at, k.fence
  limit p_limit;
end;
$$;

comment on function public.idempotency_stuck_keys(integer) is
  'For operators: abandoned runs of all owners, the one whose lease lapsed first at the top; cleanup removes them at expires_at.';

revoke all on function public.idempotency_stuck_keys(integer) from public, anon, authenticated, service_role;
grant execute on function public.idempotency_stuck_keys(integer) to service_role;

-- Resolving: an operator who found out what an abandoned run did says so. From then on the key is
-- like any other: completed is replayed, failed runs again with the next claim.

create function public.idempotency_resolve(
  p_owner text,
  p_scope text,
  p_idempotency_key text,
  p_resolution text,
  p_status_code integer default null,
  p_response text default null,
  p_response_encoding text default 'text',
  p_response_headers jsonb default null,
  p_note text default null
) returns public.idempotency_answer
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_key public.idempotency_keys;
  v_answer public.idempotency_answer;
  v_record jsonb;
  v_is_kept boolean;
begin
  if (p_resolution in ('completed', 'failed')) is not true then
    raise exception 'resolving an idempotency key: the resolution must be completed or failed, not %', coalesce(quote_literal(p_resolution), 'null')
      using errcode = '22023';
  end if;

  if length(p_note) > 2000 then
    raise exception 'resolving an idempotency key: the note must be at most 2000 characters, not %', length(p_note)
      using errcode = '22023';
  end if;

  if p_resolution = 'failed' and (
    p_status_code is not null or p_response is not null or p_response_headers is not null
  ) then
    raise exception 'resolving an idempotency key: one that failed has no answer, so none may be given'
      using errcode = '22023';
  end if;

  -- Locked first: what is decided below must still hold when it is written, beside an owner that
  -- comes back and a claim that takes over.
  select k.* into v_key
  from public.idempotency_keys as k
  where k.owner = p_owner
    and k.scope = p_scope
    and k.idempotency_key = p_idempotency_key
  for no key update;

  if not found then
    return row('gone', null, null, null, null, null, null, null, null, null)::public.idempotency_answer;
  end if;

  -- The answer to the first sending of this resolution was lost. Whoever brings another answer than the
  -- one that is kept is told so, as after any completion: retries do not get theirs.
  if v_key.status = p_resolution and (
    p_resolution = 'failed'
    or v_key.metadata ->> 'resolution' = 'completed'
      and (v_key.status_code, v_key.response, v_key.response_headers)
        is not distinct from (p_status_code, p_response, p_response_headers)
  ) then
    return row(
      p_resolution, v_key.attempt, v_key.fence, null, null, null, null, null, null, v_key.completed_at
    )::public.idempotency_answer;
  end if;

  if v_key.status = 'completed' then
    return row(
      'replay', v_key.attempt, v_key.fence, null, v_key.status_code, v_key.response,
      v_key.response_encoding, v_key.response_headers, null, v_key.completed_at
    )::public.idempotency_answer;
  end if;

  -- failed is known, not abandoned: it runs again with the next claim, whatever the resolution
  if v_key.status = 'failed' then
    return row('failed', v_key.attempt, v_key.fence, null, null, null, null, null, null, v_key.completed_at)::public.idempotency_answer;
  end if;

  if v_key.lease_expires_at > clock_timestamp() then
    raise exception 'resolving an idempotency key: attempt % of key % is at it until %', v_key.attempt, p_idempotency_key, v_key.lease_expires_at
      using errcode = 'IDK01', hint = 'Resolve it when the lease has lapsed and nobody has renewed it.';
  end if;

  -- as its owner would, so that an answer has to hold what any answer has to
  if p_resolution = 'completed' then
    v_answer := public.idempotency_complete(
      p_owner, p_scope, p_idempotency_key, v_key.owner_token, p_status_code, p_response,
      case when p_response is null then 'none' else p_response_encoding end, p_response_headers
    );
  else
    v_answer := public.idempotency_fail(
      p_owner, p_scope, p_idempotency_key, v_key.owner_token,
      coalesce(p_note, 'resolved as failed by an operator')
    );
  end if;

  v_record := jsonb_build_object('resolved_at', clock_timestamp(), 'resolution', p_resolution, 'note', p_note);

  -- A token that nobody knows owns the key now: the owner that was given up, should it come back,
  -- is a past one and is told the resolution, not that its own answer was recorded.
  update public.idempotency_keys as k
  set
    owner_token = gen_random_uuid(),
    past_owners = (k.owner_token || k.past_owners)[1:32],
    -- what the caller put there must not keep a key from being resolved
    metadata = case
      when pg_column_size(coalesce(k.metadata, '{}') || v_record) <= 16384 then coalesce(k.metadata, '{}') || v_record
      else v_record
    end
  where k.owner = p_owner and k.scope = p_scope and k.idempotency_key = p_idempotency_key
  returning (k.response, k.response_headers) is not distinct from (p_response, p_response_headers) into v_is_kept;

  -- An attempt has sent its answer; of this one retries would get a part, and nobody the whole.
  if not v_is_kept then
    raise exception 'resolving an idempotency key: the live keys of the owner hold as many bytes as they may, so this answer would not be kept'
      using errcode = 'PT429',
        hint = 'Give one of at most 16 KiB or none, or say in idempotency.limits how much there may be.';
  end if;

  return v_answer;
end;
$$;

comment on function public.idempotency_resolve(text, text, text, text, integer, text, text, jsonb, text) is
  'For operators: ends an abandoned run as completed, with its answer or without, or as failed. Raises IDK01 while the lease is live; answers completed, failed, replay (completed otherwise) or gone.';

revoke all on function public.idempotency_resolve(text, text, text, text, integer, text, text, jsonb, text)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_resolve(text, text, text, text, integer, text, text, jsonb, text)
  to service_role;

-- Requests, the latest first. No index leads from a key, a status or a time to its rows, because each
-- would be paid for by every claim; so this walks the order of grants, and never far in one call.

create function idempotency.first_fence_since(p_moment timestamptz) returns bigint
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_before bigint := 0;
  v_since bigint := (select max(k.fence) from public.idempotency_keys as k);
  v_middle bigint;
  v_claimed_at timestamptz;
begin
  v_since := coalesce(v_since, 0) + 1;
  -- by halving: later grants have larger fences, but for the moments between a fence and its claim
  while v_since - v_before > 1 loop
    v_middle := v_before + (v_since - v_before) / 2;
    v_claimed_at := (
      select k.claimed_at from public.idempotency_keys as k where k.fence <= v_middle order by k.fence desc limit 1
    );
    if v_claimed_at >= p_moment then
      v_since := v_middle;
    else
      v_before := v_middle;
    end if;
  end loop;
  return v_since;
end;
$$;

comment on function idempotency.first_fence_since(timestamptz) is
  'The fence of about the first claim since a moment; one above the newest where there is none.';

revoke all on function idempotency.first_fence_since(timestamptz) from public, anon, authenticated, service_role;
grant execute on function idempotency.first_fence_since(timestamptz) to service_role;

create function public.idempotency_recent_keys(
  p_scope text default null,
  -- '' is the project itself
  p_owner text default null,
  p_idempotency_key text default null,
  -- processing, stuck (a processing one whose lease lapsed), completed or failed
  p_status text default null,
  -- by the time of the latest attempt's claim
  p_from timestamptz default null,
  p_until timestamptz default null,
  p_below_fence bigint default null,
  p_limit integer default 50
) returns table (
  owner text,
  scope text,
  idempotency_key text,
  status text,
  is_stuck boolean,
  attempt integer,
  status_code integer,
  error_message text,
  claimed_at timestamptz,
  completed_at timestamptz,
  -- A last row that has nothing else: looking ended there, go on below it.
  fence bigint
)
language plpgsql
stable
security invoker
set search_path = ''
-- which index serves depends on what is asked for
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  -- how many keys one call looks at
  v_most constant integer := 10000;
  -- between a fence and its claim
  v_slack constant interval := interval '1 minute';
  v_now constant timestamptz := clock_timestamp();
  -- A user has few keys, and the primary key leads to them; the project may have all there are.
  v_user constant text := nullif(p_owner, '');
  v_below bigint := coalesce(p_below_fence, 9223372036854775807);
  v_from bigint := 0;
  v_found integer;
  v_seen integer;
begin
  if (p_limit between 1 and 1000) is not true then
    raise exception 'listing idempotency keys: the limit must be 1 to 1000, not %', coalesce(p_limit::text, 'null')
      using errcode = '22023';
  end if;

  if p_status not in ('processing', 'stuck', 'completed', 'failed') then
    raise exception 'listing idempotency keys: the status must be processing, stuck, completed or failed, not %', quote_literal(p_status)
      using errcode = '22023';
  end if;

  if p_until is not null then
    v_below := least(v_below, idempotency.first_fence_since(p_until + v_slack));
  end if;
  if p_from is not null then
    v_from := idempotency.first_fence_since(p_from - v_slack);
  end if;

  return query
  select
    k.owner::text, k.scope::text, k.idempotency_key::text, k.status::text, coalesce(k.lease_expires_at <= v_now, false),
    k.attempt::integer, k.status_code::integer, k.error_message::text, k.claimed_at, k.completed_at, k.fence
  from (
    select i.*
    from public.idempotency_keys as i
    where (v_user is null or i.owner = v_user) and i.fence < v_below and i.fence >= v_from
    order by i.fence desc
    limit v_most
  ) as k
  where (p_owner is null or k.owner = p_owner)
    and (p_scope is null or k.scope = p_scope)
    and (p_idempotency_key is null or k.idempotency_key = p_idempotency_key)
    and (p_from is null or k.claimed_at >= p_from)
    and (p_until is null or k.claimed_at < p_until)
    and (p_status is null or k.status = p_status or p_status = 'stuck' and k.lease_expires_at <= v_now)
  order by k.fence desc
  limit p_limit;

  get diagnostics v_found = row_count;
  if v_found = p_limit then
    return;
  end if;

  select count(*), min(l.fence) into v_seen, fence
  from (
    select i.fence
    from public.idempotency_keys as i
    where (v_user is null or i.owner = v_user) and i.fence < v_below and i.fence >= v_from
    order by i.fence desc
    limit v_most
  ) as l;
  if v_seen = v_most then
    return next;
  end if;
end;
$$;

comment on function public.idempotency_recent_keys(text, text, text, text, timestamptz, timestamptz, bigint, integer) is
  'For operators: keys that fit, the one claimed last at the top, among at most 10,000; a last row without a key says below which fence to go on.';

revoke all on function public.idempotency_recent_keys(text, text, text, text, timestamptz, timestamptz, bigint, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_recent_keys(text, text, text, text, timestamptz, timestamptz, bigint, integer)
  to service_role;

-- All there is to tell of one key; who holds it is nobody's business.

create function public.idempotency_read_key(
  p_owner text,
  p_scope text,
  p_idempotency_key text
) returns table (
  owner text,
  scope text,
  idempotency_key text,
  status text,
  is_stuck boolean,
  is_expired boolean,
  attempt integer,
  -- the attempts before this one that crashed in a row: {attempt, claimed_at, lease_expired_at, steps}
  crashed_attempts jsonb,
  steps jsonb,
  status_code integer,
  response_headers jsonb,
  response_encoding text,
  -- as it is written down; null where it is longer than 64 KiB
  response text,
  response_bytes integer,
  error_message text,
  metadata jsonb,
  request_fingerprint text,
  fence bigint,
  created_at timestamptz,
  claimed_at timestamptz,
  lease_expires_at timestamptz,
  completed_at timestamptz,
  expires_at timestamptz
)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
begin
  return query
  select
    k.owner::text, k.scope::text, k.idempotency_key::text, k.status::text,
    coalesce(k.lease_expires_at <= v_now, false), k.expires_at <= v_now,
    k.attempt::integer, k.crashed_attempts::jsonb, k.steps::jsonb,
    k.status_code::integer, k.response_headers::jsonb, k.response_encoding::text,
    case when octet_length(k.response) <= 65536 then k.response::text end, octet_length(k.response),
    k.error_message::text, k.metadata::jsonb, k.request_fingerprint::text, k.fence,
    k.created_at, k.claimed_at, k.lease_expires_at, k.completed_at, k.expires_at
  from public.idempotency_keys as k
  where k.owner = p_owner and k.scope = p_scope and k.idempotency_key = p_idempotency_key;
end;
$$;

comment on function public.idempotency_read_key(text, text, text) is
  'For operators: one key with its attempts, steps and answer; no row where it is not there.';

revoke all on function public.idempotency_read_key(text, text, text) from public, anon, authenticated, service_role;
grant execute on function public.idempotency_read_key(text, text, text) to service_role;

-- An owner who is gone takes their keys along, with every answer. What an attempt did that nobody
-- recorded the end of still has to be found out: such a key stays until it expires, as nobody's.
-- Under a fence of its own, so that it is found however far the statistics have counted; with a token
-- that nobody knows, so that the attempt records nothing any more.
create function idempotency.keep_as_nobodys(p_key public.idempotency_keys) returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_owner constant text := 'nobody ' || gen_random_uuid();
begin
  if p_key.status <> 'processing' or p_key.expires_at <= clock_timestamp() then
    return;
  end if;

  -- what was counted of it is not counted again
  insert into idempotency.open_keys (owner, scope, idempotency_key, fence, status, attempt, created_at, expires_at)
  select v_owner, o.scope, o.idempotency_key, o.fence, o.status, o.attempt, o.created_at, o.expires_at
  from idempotency.open_keys as o
  where o.owner = p_key.owner and o.scope = p_key.scope and o.idempotency_key = p_key.idempotency_key;

  p_key.owner := v_owner;
  p_key.user_id := null;
  p_key.owner_token := gen_random_uuid();
  p_key.past_owners := null;
  p_key.fence := nextval('idempotency.fence_seq');
  insert into public.idempotency_keys select p_key.*;
end;
$$;

comment on function idempotency.keep_as_nobodys(public.idempotency_keys) is
  'Stores a key whose outcome nobody knows once more, as one that belongs to nobody; leaves out any other.';

create function idempotency.forget_owner(p_owner text) returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_key public.idempotency_keys;
begin
  if coalesce(p_owner, '') = '' then
    raise exception 'forgetting the owner of idempotency keys: the project itself stays' using errcode = '22023';
  end if;

  for v_key in
    delete from public.idempotency_keys as k where k.owner = p_owner returning k.*
  loop
    perform idempotency.keep_as_nobodys(v_key);
  end loop;

  delete from idempotency.open_keys as o where o.owner = p_owner;
  delete from idempotency.replay_counts as c where c.owner = p_owner;
  delete from idempotency.full_owners as f where f.owner = p_owner;
end;
$$;

comment on function idempotency.forget_owner(text) is
  'For owners that are no account of auth.users: deletes their keys; those whose outcome nobody knows stay as nobody''s.';

-- With an account of auth.users its keys go by their foreign key.
create function idempotency.account_has_ended() returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  -- else somebody deletes a key: it goes
  if not exists (select from auth.users as u where u.id = old.user_id) then
    perform idempotency.keep_as_nobodys(old);
    -- not one that is being counted: whoever counts may come to wait for this
    delete from idempotency.open_keys as o
    where o.ctid = any (array(
      select i.ctid
      from idempotency.open_keys as i
      where i.owner = old.owner and i.scope = old.scope and i.idempotency_key = old.idempotency_key
      for update skip locked
    ));
  end if;

  return null;
end;
$$;

create trigger account_has_ended
  after delete on public.idempotency_keys
  for each row
  -- with the first attempt's answer nothing else of the key stays for longer than until it is counted
  when (old.user_id is not null and (old.status <> 'completed' or old.attempt > 1))
  execute function idempotency.account_has_ended();

revoke all on function idempotency.keep_as_nobodys(public.idempotency_keys) from public, anon, authenticated, service_role;
revoke all on function idempotency.forget_owner(text) from public, anon, authenticated, service_role;
revoke all on function idempotency.account_has_ended() from public, anon, authenticated, service_role;
grant execute on function idempotency.forget_owner(text) to service_role;

-- Replays write nothing on the claim's path. Edge functions count them in memory and hand the
-- sums over about once a second, so a hot key costs one small update a second, not one a replay.

create table idempotency.replay_counts (
  owner text not null,
  user_id uuid references auth.users (id) on delete cascade,
  scope text not null,
  hour timestamptz not null,
  replays bigint not null,

  primary key (owner, scope, hour),

  constraint scope_is_1_to_200_characters
    check (length(scope) between 1 and 200),
  constraint replays_are_positive
    check (replays > 0)
) with (fillfactor = 70);

comment on table idempotency.replay_counts is
  'Replays per owner, scope and hour, kept for 8 days.';

revoke all on table idempotency.replay_counts from public, anon, authenticated, service_role;
grant select on table idempotency.replay_counts to authenticated;
grant select, insert, update, delete on table idempotency.replay_counts to service_role;
alter table idempotency.replay_counts enable row level security;

create policy "users see only their own replay counts"
  on idempotency.replay_counts
  for select
  to authenticated
  using (owner = (select idempotency.signed_in_owner()));

create policy "operators see every replay count"
  on idempotency.replay_counts for select to service_role using (true);

-- deleting an account looks for its counts
create index replay_counts_user_id on idempotency.replay_counts (user_id);

-- the sums of an hour over all owners; counting a replay again leaves hour as it is, hence HOT
create index replay_counts_hour on idempotency.replay_counts (hour);

create function public.idempotency_count_replays(p_owner text, p_scope text, p_count integer) returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if (p_count between 1 and 100000) is not true then
    raise exception 'counting replays: the count must be 1 to 100000, not %', coalesce(p_count::text, 'null')
      using errcode = '22023';
  end if;

  -- only scopes the owner has a key in: what was replayed came from one
  insert into idempotency.replay_counts as c (owner, user_id, scope, hour, replays)
  select k.owner, k.user_id, k.scope, date_trunc('hour', now(), 'UTC'), p_count
  from public.idempotency_keys as k
  where k.owner = p_owner and k.scope = p_scope
  limit 1
  on conflict (owner, scope, hour) do update set replays = c.replays + excluded.replays;
end;
$$;

comment on function public.idempotency_count_replays(text, text, integer) is
  'Adds replays to this hour''s count of a scope in which the owner has a key; any other scope is left out.';

revoke all on function public.idempotency_count_replays(text, text, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_count_replays(text, text, integer) to service_role;

-- Counting all keys of a large ledger takes seconds: for whoever sees all of them it is done ahead.
create table idempotency.kept_statistics (
  scope text primary key,
  total_count bigint not null,
  processing_count bigint not null,
  completed_count bigint not null,
  failed_count bigint not null,
  refused_count bigint not null,
  stuck_count bigint not null,
  expired_count bigint not null,
  replay_count bigint not null,
  replay_rate double precision,
  oldest_processing_seconds double precision,
  duration_p50_ms double precision,
  duration_p95_ms double precision,
  as_of timestamptz not null
);

comment on table idempotency.kept_statistics is
  'The statistics of a large ledger as they were counted last; empty in a small one.';

revoke all on table idempotency.kept_statistics from public, anon, authenticated, service_role;
-- the view reads it as its reader; a user sees no row of it
grant select on table idempotency.kept_statistics to authenticated;
grant select, insert, update, delete on table idempotency.kept_statistics to service_role;
alter table idempotency.kept_statistics enable row level security;

create policy "operators see statistics that were counted ahead"
  on idempotency.kept_statistics for select to service_role using (true);

-- security invoker: the reader's row level security decides what is counted.
create function idempotency.count_statistics() returns setof idempotency.kept_statistics
language plpgsql
stable
security invoker
rows 20
set search_path = ''
-- compiling a query that may count millions takes a quarter of a second: more than it saves, and in
-- the view itself also where they were counted ahead
set jit = off
as $$
begin
  return query
  select
    s.scope::text,
    s.total_count,
    s.processing_count,
    s.completed_count,
    s.failed_count,
    s.refused_count,
    s.stuck_count,
    s.expired_count,
    r.replay_count,
    r.replay_count::double precision / nullif(r.replay_count + s.execution_count, 0) as replay_rate,
    s.oldest_processing_seconds,
    s.duration_p50_ms,
    s.duration_p95_ms,
    now()
  from (
    select
      k.scope,
      count(*) as total_count,
      count(*) filter (where k.status = 'processing') as processing_count,
      count(*) filter (where k.status = 'completed') as completed_count,
      -- A refusal is an answer, final or not: the request was wrong, nothing broke.
      count(*) filter (where k.status = 'failed' and (k.status_code between 400 and 499) is not true) as failed_count,
      count(*) filter (where k.status_code between 400 and 499) as refused_count,
      count(*) filter (where k.lease_expires_at <= now()) as stuck_count,
      count(*) filter (where k.expires_at <= now()) as expired_count,
      sum(k.attempt) as execution_count,
      min(k.created_at) as oldest_created_at,
      -- no time is below 0, where the clock was put back in between
      extract(epoch from now() - min(least(k.claimed_at, now())) filter (where k.status = 'processing'))::double precision
        as oldest_processing_seconds,
      percentile_cont(0.5) within group (order by greatest(extract(epoch from k.completed_at - k.claimed_at) * 1000, 0))
        filter (where k.status = 'completed') as duration_p50_ms,
      percentile_cont(0.95) within group (order by greatest(extract(epoch from k.completed_at - k.claimed_at) * 1000, 0))
        filter (where k.status = 'completed') as duration_p95_ms
    from public.idempotency_keys as k
    group by k.scope
  ) as s
  cross join lateral (
    -- as far back as the keys go: replays of executions that cleanup removed would inflate the rate
    select coalesce(sum(c.replays), 0)::bigint as replay_count
    from idempotency.replay_counts as c
    where c.scope = s.scope and c.hour >= date_trunc('hour', s.oldest_created_at, 'UTC')
  ) as r;
end;
$$;

comment on function idempotency.count_statistics() is
  'What v_idempotency_stats shows, counted now over the keys that the caller may see.';

revoke all on function idempotency.count_statistics() from public, anon, authenticated, service_role;
grant execute on function idempotency.count_statistics() to authenticated, service_role;

create function idempotency.keep_statistics(p_from_keys bigint default 50000) returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_keys constant double precision := (
    select c.reltuples from pg_catalog.pg_class as c where c.oid = 'public.idempotency_keys'::regclass
  );
begin
  -- Ten million take about ten seconds. Counted every thousand they are a hundredth of one processor;
  -- other numbers of keys cost in proportion.
  if v_keys >= p_from_keys and exists (
    select from idempotency.kept_statistics as k
    where k.as_of between now() - least(v_keys * interval '0.1 milliseconds', interval '6 hours') and now()
  ) then
    return;
  end if;

  delete from idempotency.kept_statistics where true;

  if v_keys >= p_from_keys then
    insert into idempotency.kept_statistics select * from idempotency.count_statistics();
  end if;
end;
$$;

comment on function idempotency.keep_statistics(bigint) is
  'Counts a ledger of at least so many keys ahead, unless that was done a short while ago.';

revoke all on function idempotency.keep_statistics(bigint) from public, anon, authenticated, service_role;

create view public.v_idempotency_stats with (security_invoker = true) as
select *
from idempotency.kept_statistics as k
-- others are left behind by a schedule that is no more, or by a clock that was ahead
where k.as_of between now() - interval '1 day' and now()
union all
select *
from idempotency.count_statistics()
where not exists (
  select from idempotency.kept_statistics as k
  where k.as_of between now() - interval '1 day' and now()
);

comment on view public.v_idempotency_stats is
  'One row per scope, over the keys the reader may see: counts by status, refusals (answers of 400 to 499), replays, ages and durations, as of when. Exact for users and in a small ledger; counted ahead for operators of a large one.';

revoke all on table public.v_idempotency_stats from public, anon, authenticated, service_role;
grant select on table public.v_idempotency_stats to authenticated, service_role;

-- What operators look at, counted ahead by the hour: reading every key takes seconds at ten million.
-- idempotency_refresh_statistics fills these tables from outside the claim's path.
-- See docs/decisions/0010.

create table idempotency.rollup (
  -- one row
  id boolean primary key default true,
  -- claims up to this fence are in the tables below
  counted_fence bigint not null default 0,
  counted_at timestamptz not null default '-infinity',
  -- up to here no claim can become visible any more
  horizon_fence bigint not null default 0,
  horizon_at timestamptz not null default '-infinity',
  -- the next horizon, once every transaction older than the barrier has ended
  next_fence bigint,
  next_at timestamptz,
  barrier xid8,
  replays_at timestamptz not null default '-infinity',

  constraint there_is_one_row check (id),
  constraint counts_end_at_the_horizon check (counted_fence <= horizon_fence),
  constraint next_horizon_has_a_time check ((next_fence is null) = (next_at is null)),
  constraint only_a_next_horizon_has_a_barrier check (next_fence is not null or barrier is null)
);

insert into idempotency.rollup default values;

create trigger replace_only_row
  before insert on idempotency.rollup
  for each row
  execute function idempotency.replace_only_row();
alter table idempotency.rollup enable always trigger replace_only_row;

comment on table idempotency.rollup is
  'How far the statistics of operators have counted.';

create table idempotency.hours (
  hour timestamptz not null,
  scope text not null,
  executions bigint not null default 0,
  failures bigint not null default 0,
  replays bigint not null default 0,

  primary key (hour, scope)
) with (fillfactor = 70);

comment on table idempotency.hours is
  'Attempts by the hour of their claim, those that ended without an answer, and replays; kept for 8 days.';

create table idempotency.durations (
  hour timestamptz not null,
  scope text not null,
  -- logarithmic, 24 for each factor of ten: the middle of bucket n is 10 ^ ((n + 0.5) / 24) ms, and
  -- no duration in it is more than 5 % off
  bucket smallint not null,
  answers bigint not null,

  primary key (hour, scope, bucket)
) with (fillfactor = 70);

comment on table idempotency.durations is
  'How long attempts took that ended with an answer, by the hour of their claim; kept for 8 days.';

create table idempotency.live_keys (
  -- the hour in which they expire: whoever reads leaves out what has expired, no delete is counted
  expires_hour timestamptz not null,
  scope text not null,
  status text not null,
  keys bigint not null,

  primary key (expires_hour, scope, status),
  constraint status_is_an_end check (status in ('completed', 'failed'))
) with (fillfactor = 70);

comment on table idempotency.live_keys is
  'Completed and failed keys by the hour in which they expire.';

create table idempotency.open_keys (
  owner text not null,
  scope text not null,
  idempotency_key text not null,
  fence bigint not null,
  status text not null,
  attempt integer not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,

  primary key (owner, scope, idempotency_key),
  constraint status_is_no_answer check (status in ('processing', 'failed'))
);

-- the two ways in: who was at it when last looked, and failures that nobody will retry any more
create index open_keys_processing on idempotency.open_keys (fence) where status = 'processing';
create index open_keys_failed on idempotency.open_keys (expires_at) where status = 'failed';

comment on table idempotency.open_keys is
  'Keys that had no answer when they were counted, as they were then: what changes later is counted as the difference.';

revoke all on table
  idempotency.rollup, idempotency.hours, idempotency.durations,
  idempotency.live_keys, idempotency.open_keys
  from public, anon, authenticated, service_role;
grant select, insert, update, delete on table
  idempotency.rollup, idempotency.hours, idempotency.durations,
  idempotency.live_keys, idempotency.open_keys
  to service_role;

alter table idempotency.rollup enable row level security;
alter table idempotency.hours enable row level security;
alter table idempotency.durations enable row level security;
alter table idempotency.live_keys enable row level security;
alter table idempotency.open_keys enable row level security;

create policy "operators see how far statistics have counted"
  on idempotency.rollup for select to service_role using (true);
create policy "operators see what happened by the hour"
  on idempotency.hours for select to service_role using (true);
create policy "operators see durations"
  on idempotency.durations for select to service_role using (true);
create policy "operators see how many keys live"
  on idempotency.live_keys for select to service_role using (true);
create policy "operators see which keys had no answer"
  on idempotency.open_keys for select to service_role using (true);

-- Counting what has happened since the last look, in the order of fences.
--
-- A fence is taken before its claim can be seen, so the newest visible fence is no safe end: a claim
-- in a long transaction would appear below it later and be left out for good. The horizon is: the
-- sequence as the call before left it, once every transaction that was running then has ended.

create function public.idempotency_refresh_statistics(p_most integer default 50000)
returns table (
  -- claims granted before are counted, as they stood at the call; null: none is
  as_of timestamptz,
  counted bigint,
  -- at most this many claims are not counted yet
  behind bigint
)
language plpgsql
volatile
security definer
set search_path = ''
-- open_keys grows while this reads it: a scan of what was a page then reads all of it for each key
set enable_seqscan = off
-- which what such a scan then seems to cost would have run for a second
set jit = off
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_this_hour constant timestamptz := date_trunc('hour', v_now, 'UTC');
  v_kept_from constant timestamptz := v_this_hour - interval '8 days';
  v_state idempotency.rollup;
  v_self xid8;
  v_snapshot pg_snapshot;
  v_latest bigint;
  v_counted bigint := 0;
  v_last_fence bigint;
  v_last_at timestamptz;
begin
  if (p_most between 1 and 1000000) is not true then
    raise exception 'refreshing idempotency statistics: at most 1 to 1000000 claims can be counted in one call, not %', coalesce(p_most::text, 'null')
      using errcode = '22023';
  end if;

  v_latest := coalesce(pg_sequence_last_value('idempotency.fence_seq'), 0);

  -- Of several calls at once, one counts. The others do not wait for it.
  select * into v_state from idempotency.rollup for update skip locked;

  if not found then
    return query
    select nullif(r.counted_at, '-infinity'), 0::bigint, v_latest - r.counted_fence from idempotency.rollup as r;
    return;
  end if;

  v_self := pg_current_xact_id();

  -- a barrier from another server's numbering, out of a backup
  if v_state.barrier > v_self then
    v_state.next_fence := null;
    v_state.next_at := null;
    v_state.barrier := null;
  end if;

  -- the clock was put back since: until it gets there again nothing would be counted
  if v_state.next_at > v_now then
    v_state.next_at := v_now;
  end if;

  -- Whoever took a fence up to next_fence has by now a transaction id, below this one: the tenth of
  -- a second is for the instructions between the two.
  if v_state.barrier is null and v_state.next_at < v_now - interval '100 milliseconds' then
    v_state.barrier := v_self;
  end if;

  -- after the line that assigned the barrier's id, so that all older ones are ended or in it
  v_snapshot := pg_current_snapshot();

  if pg_snapshot_xmax(v_snapshot) >= v_state.barrier
    and not exists (select from pg_snapshot_xip(v_snapshot) as x where x < v_state.barrier)
  then
    v_state.horizon_fence := greatest(v_state.horizon_fence, v_state.next_fence);
    v_state.horizon_at := v_state.next_at;
    v_state.next_fence := null;
    v_state.barrier := null;
  end if;

  if v_state.next_fence is null then
    v_state.next_fence := v_latest;
    v_state.next_at := v_now;
  end if;

  with batch as materialized (
    select k.owner, k.scope, k.idempotency_key, k.fence, k.status, k.attempt, k.created_at, k.claimed_at, k.completed_at, k.expires_at
    from public.idempotency_keys as k
    where k.fence > v_state.counted_fence and k.fence <= v_state.horizon_fence
    order by k.fence
    limit p_most
  ),
  -- counted while they ran
  running as materialized (
    select
      o.ctid as place, o.owner, o.scope, o.idempotency_key, o.fence as old_fence,
      k.fence, k.status, k.attempt, k.created_at, k.claimed_at, k.completed_at, k.expires_at
    from idempotency.open_keys as o
    -- one look-up for each: to the planner of a table that was almost empty when it looked last,
    -- comparing each with each costs the same (offset 0 keeps it from choosing)
    left join lateral (
      select *
      from public.idempotency_keys as i
      where i.owner = o.owner and i.scope = o.scope and i.idempotency_key = o.idempotency_key
      offset 0
    ) as k on true
    where o.status = 'processing'
  ),
  observed as materialized (
    select * from batch
    union all
    -- ended since; another attempt has a fence of its own and is, or will be, in a batch
    select r.owner, r.scope, r.idempotency_key, r.fence, r.status, r.attempt, r.created_at, r.claimed_at, r.completed_at, r.expires_at
    from running as r
    where r.fence = r.old_fence and r.status <> 'processing'
  ),
  changed as materialized (
    select
      n.*,
      o.ctid as place,
      o.status as old_status,
      o.expires_at as old_expires_at,
      -- of an earlier generation nothing is left in the row's attempts
      case when o.created_at = n.created_at then o.attempt else 0 end as old_attempts,
      case when o.created_at = n.created_at then o.attempt - (o.status <> 'failed')::integer else 0 end as old_failures
    from observed as n
    -- one look-up for each, as above
    left join lateral (
      select i.ctid, i.*
      from idempotency.open_keys as i
      where i.owner = n.owner and i.scope = n.scope and i.idempotency_key = n.idempotency_key
      offset 0
    ) as o on true
  ),
  hours as (
    insert into idempotency.hours as h (hour, scope, executions, failures)
    select
      date_trunc('hour', c.claimed_at, 'UTC'), c.scope, sum(c.attempt - c.old_attempts),
      sum(c.attempt - (c.status <> 'failed')::integer - c.old_failures)
    from changed as c
    where c.claimed_at >= v_kept_from
    group by 1, 2
    on conflict (hour, scope) do update
    set executions = h.executions + excluded.executions, failures = h.failures + excluded.failures
  ),
  durations as (
    insert into idempotency.durations as d (hour, scope, bucket, answers)
    select
      date_trunc('hour', c.claimed_at, 'UTC'), c.scope,
      floor(24 * log(least(greatest(
        extract(epoch from c.completed_at - c.claimed_at)::double precision * 1000, 0.1), 1e10))),
      count(*)
    from changed as c
    where c.status = 'completed' and c.claimed_at >= v_kept_from
    group by 1, 2, 3
    on conflict (hour, scope, bucket) do update set answers = d.answers + excluded.answers
  ),
  live as (
    insert into idempotency.live_keys as l (expires_hour, scope, status, keys)
    select e.expires_hour, e.scope, e.status, sum(e.keys)
    from (
      select date_trunc('hour', c.expires_at, 'UTC') as expires_hour, c.scope, c.status, 1 as keys
      from changed as c
      where c.status <> 'processing'
      union all
      -- a failed one that was retried
      select date_trunc('hour', c.old_expires_at, 'UTC'), c.scope, c.old_status, -1
      from changed as c
      where c.old_status = 'failed'
    ) as e
    where e.expires_hour >= v_this_hour
    group by 1, 2, 3
    having sum(e.keys) <> 0
    on conflict (expires_hour, scope, status) do update set keys = l.keys + excluded.keys
  ),
  gone as (
    -- by where they lie, which the lock on rollup keeps as it is
    delete from idempotency.open_keys as o
    where o.ctid = any (array(select r.place from running as r where r.fence is null))
  ),
  answered as (
    delete from idempotency.open_keys as o
    where o.ctid = any (array(
      select c.place from changed as c where c.status = 'completed' and c.place is not null
    ))
  ),
  unanswered as (
    insert into idempotency.open_keys as o (owner, scope, idempotency_key, fence, status, attempt, created_at, expires_at)
    select c.owner, c.scope, c.idempotency_key, c.fence, c.status, c.attempt, c.created_at, c.expires_at
    from changed as c
    where c.status <> 'completed'
    on conflict (owner, scope, idempotency_key) do update
    set
      fence = excluded.fence, status = excluded.status, attempt = excluded.attempt,
      created_at = excluded.created_at, expires_at = excluded.expires_at
  )
  select count(*), max(b.fence), max(b.claimed_at) into v_counted, v_last_fence, v_last_at from batch as b;

  -- fewer than asked for: there is no further one below the horizon
  if v_counted < p_most then
    v_state.counted_fence := v_state.horizon_fence;
    v_state.counted_at := v_state.horizon_at;
  else
    v_state.counted_fence := v_last_fence;
    v_state.counted_at := v_last_at;
  end if;

  insert into idempotency.hours as h (hour, scope, replays)
  select c.hour, c.scope, sum(c.replays)
  from idempotency.replay_counts as c
  where c.hour >= case
    -- the clock was put back since, nobody knows how far
    when v_state.replays_at > v_now then v_kept_from
    -- ten minutes: a count belongs to the hour in which its transaction began
    else greatest(v_kept_from, date_trunc('hour', v_state.replays_at - interval '10 minutes', 'UTC'))
  end
  group by c.hour, c.scope
  on conflict (hour, scope) do update set replays = excluded.replays
  where h.replays <> excluded.replays;

  -- a retry of it came before it expired, and may not be counted yet
  delete from idempotency.open_keys as o
  where o.status = 'failed' and o.expires_at < least(v_this_hour, v_state.counted_at);
  delete from idempotency.live_keys as l where l.expires_hour < v_this_hour;
  delete from idempotency.hours as h where h.hour < v_kept_from;
  delete from idempotency.durations as d where d.hour < v_kept_from;

  update idempotency.rollup as r
  set
    counted_fence = v_state.counted_fence,
    counted_at = v_state.counted_at,
    horizon_fence = v_state.horizon_fence,
    horizon_at = v_state.horizon_at,
    next_fence = v_state.next_fence,
    next_at = v_state.next_at,
    barrier = v_state.barrier,
    replays_at = v_now
  -- a session of the Data API refuses to change all rows of a table, also where there is one
  where r.id;

  return query select nullif(v_state.counted_at, '-infinity'), v_counted, v_latest - v_state.counted_fence;
end;
$$;

comment on function public.idempotency_refresh_statistics(integer) is
  'For operators: counts the claims since the last call, at most so many; says up to when, and how many are left.';

create function public.idempotency_recount_statistics() returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  update idempotency.rollup as r
  set counted_fence = 0, counted_at = '-infinity', replays_at = '-infinity'
  where r.id;
  delete from idempotency.open_keys where true;
  delete from idempotency.live_keys where true;
  delete from idempotency.durations where true;
  delete from idempotency.hours where true;
end;
$$;

comment on function public.idempotency_recount_statistics() is
  'For operators: forgets what was counted, so that the next refreshes count the keys that are there.';

revoke all on function public.idempotency_refresh_statistics(integer)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_recount_statistics()
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_refresh_statistics(integer) to service_role;
grant execute on function public.idempotency_recount_statistics() to service_role;

-- Keys that are processing now, exactly, without reading the others: those that were when they were
-- counted, and what was claimed since. An index on the state or the lease would find them as well,
-- and cost each completion its heap-only update; see docs/decisions/0010.

create function idempotency.held_keys() returns setof public.idempotency_keys
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  -- as seen by the same snapshot as the keys; without its row everything is looked at
  v_counted constant bigint := coalesce((select r.counted_fence from idempotency.rollup as r), 0);
begin
  return query
  select k.*
  from idempotency.open_keys as o
  -- one look-up for each, as above
  cross join lateral (
    select * from public.idempotency_keys as i where i.fence = o.fence offset 0
  ) as k
  where o.status = 'processing' and k.status = 'processing' and k.fence <= v_counted
  union all
  select k.*
  from public.idempotency_keys as k
  where k.fence > v_counted and k.status = 'processing';
end;
$$;

comment on function idempotency.held_keys() is
  'Every key that is processing, with a live lease or a lapsed one.';

revoke all on function idempotency.held_keys() from public, anon, authenticated, service_role;
grant execute on function idempotency.held_keys() to service_role;

-- Who is at work, how much is kept, and how the last hours went: a row a scope, and one for all.

create function public.idempotency_scope_statistics(
  p_hours integer default 24,
  p_limit integer default 50,
  -- one that comes first, however busy others are
  p_scope text default null
) returns table (
  -- null: all scopes together
  scope text,
  processing_count bigint,
  stuck_count bigint,
  completed_count bigint,
  failed_count bigint,
  execution_count bigint,
  failure_count bigint,
  replay_count bigint,
  replay_rate double precision,
  duration_p50_ms double precision,
  duration_p95_ms double precision
)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_this_hour constant timestamptz := date_trunc('hour', v_now, 'UTC');
  v_from constant timestamptz := v_this_hour - make_interval(hours => p_hours - 1);
begin
  if (p_hours between 1 and 192 and p_limit between 1 and 1000) is not true then
    raise exception 'reading idempotency statistics: there are 1 to 192 hours and 1 to 1000 scopes, not % and %', coalesce(p_hours::text, 'null'), coalesce(p_limit::text, 'null')
      using errcode = '22023';
  end if;

  return query
  with held as materialized (
    select k.scope, k.lease_expires_at from idempotency.held_keys() as k
  ),
  counts as (
    select k.scope, 'processing' as name, count(*) as number
    from held as k
    group by k.scope
    union all
    select k.scope, 'stuck', count(*)
    from held as k
    where k.lease_expires_at <= v_now
    group by k.scope
    union all
    -- of those that expire in this hour, the share that has not yet
    select
      l.scope, l.status,
      round(sum(case
        when l.expires_hour > v_this_hour then l.keys
        when l.expires_hour = v_this_hour
          then l.keys * extract(epoch from v_this_hour + interval '1 hour' - v_now) / 3600
      end))::bigint
    from idempotency.live_keys as l
    where l.expires_hour >= v_this_hour
    group by l.scope, l.status
    union all
    select h.scope, e.name, sum(e.number)::bigint
    from idempotency.hours as h
    cross join lateral (
      values ('executions', h.executions), ('failures', h.failures), ('replays', h.replays)
    ) as e (name, number)
    where h.hour >= v_from
    group by h.scope, e.name
  ),
  buckets_of_scopes as (
    select d.scope, d.bucket, sum(d.answers) as answers
    from idempotency.durations as d
    where d.hour >= v_from
    group by d.scope, d.bucket
  ),
  buckets as (
    select b.scope, b.bucket, b.answers from buckets_of_scopes as b
    union all
    select null, b.bucket, sum(b.answers) from buckets_of_scopes as b group by b.bucket
  ),
  ranks as (
    select
      b.scope, b.bucket,
      sum(b.answers) over (partition by b.scope order by b.bucket) as up_to,
      sum(b.answers) over (partition by b.scope) as total
    from buckets as b
  ),
  durations as (
    select
      r.scope,
      10 ^ ((min(r.bucket) filter (where r.up_to >= 0.5 * r.total) + 0.5) / 24) as p50,
      10 ^ ((min(r.bucket) filter (where r.up_to >= 0.95 * r.total) + 0.5) / 24) as p95
    from ranks as r
    group by r.scope
  ),
  scopes as (
    select
      c.scope,
      coalesce(sum(c.number) filter (where c.name = 'processing'), 0)::bigint as processing,
      coalesce(sum(c.number) filter (where c.name = 'stuck'), 0)::bigint as stuck,
      coalesce(sum(c.number) filter (where c.name = 'completed'), 0)::bigint as completed,
      coalesce(sum(c.number) filter (where c.name = 'failed'), 0)::bigint as failed,
      coalesce(sum(c.number) filter (where c.name = 'executions'), 0)::bigint as executions,
      coalesce(sum(c.number) filter (where c.name = 'failures'), 0)::bigint as failures,
      coalesce(sum(c.number) filter (where c.name = 'replays'), 0)::bigint as replays
    from counts as c
    group by grouping sets ((c.scope), ())
  )
  select
    s.scope, s.processing, s.stuck, s.completed, s.failed, s.executions, s.failures, s.replays,
    s.replays::double precision / nullif(s.replays + s.executions, 0),
    d.p50::double precision, d.p95::double precision
  from scopes as s
  left join durations as d on d.scope is not distinct from s.scope
  -- the sum first, then the one that was named, then the busiest
  order by s.scope is not null, s.scope is distinct from p_scope, s.executions + s.replays desc, s.processing + s.completed + s.failed desc, s.scope
  limit p_limit + 1;
end;
$$;

comment on function public.idempotency_scope_statistics(integer, integer, text) is
  'For operators: all scopes together, the one that is named and the busiest ones, live keys by status, and executions, failures, replays and durations of the last hours. Processing and stuck ones are exact, the rest is as of the last refresh.';

create function public.idempotency_hourly_statistics(p_hours integer default 48, p_scope text default null)
returns table (hour timestamptz, executions bigint, failures bigint, replays bigint)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_this_hour constant timestamptz := date_trunc('hour', clock_timestamp(), 'UTC');
  v_from constant timestamptz := v_this_hour - make_interval(hours => p_hours - 1);
begin
  if (p_hours between 1 and 192) is not true then
    raise exception 'reading idempotency statistics: there are 1 to 192 hours, not %', coalesce(p_hours::text, 'null')
      using errcode = '22023';
  end if;

  return query
  select
    t.hour,
    coalesce(sum(h.executions), 0)::bigint,
    coalesce(sum(h.failures), 0)::bigint,
    coalesce(sum(h.replays), 0)::bigint
  from generate_series(v_from, v_this_hour, interval '1 hour') as t (hour)
  left join idempotency.hours as h
    on h.hour = t.hour and h.hour >= v_from and (p_scope is null or h.scope = p_scope)
  group by t.hour
  order by t.hour;
end;
$$;

comment on function public.idempotency_hourly_statistics(integer, text) is
  'For operators: executions, failures and replays of the last hours, in all scopes or in one, oldest first, as of the last refresh.';

revoke all on function public.idempotency_scope_statistics(integer, integer, text)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_hourly_statistics(integer, text)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_scope_statistics(integer, integer, text) to service_role;
grant execute on function public.idempotency_hourly_statistics(integer, text) to service_role;

-- What runs on its own: removing what has expired, beside live traffic, and counting statistics.

create function idempotency.delete_expired(p_batch_size integer) returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_deleted integer;
begin
  -- by where they lie: whatever the planner believes of the table, they are looked for once
  delete from public.idempotency_keys as d
  where d.ctid = any (array(
    select k.ctid
    from public.idempotency_keys as k
    where k.expires_at <= v_now
      and (k.lease_expires_at is null or k.lease_expires_at <= v_now)
    order by k.expires_at
    limit p_batch_size
    -- a row that is being claimed anew is neither waited for nor deleted
    for update skip locked
  ));

  get diagnostics v_deleted = row_count;

  -- of an account that has ended nothing is kept; one whose claim is looking at it is no such account
  delete from idempotency.full_owners as f
  where f.owner = any (array(
    select o.owner
    from idempotency.full_owners as o
    where not exists (select from public.idempotency_keys as k where k.owner = o.owner)
    for update of o skip locked
  ));

  return v_deleted;
end;
$$;

comment on function idempotency.delete_expired(integer) is
  'Deletes a batch of expired keys, oldest first, and returns how many.';

create function public.cleanup_expired_idempotency_keys(p_batch_size integer default 1000) returns bigint
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_started constant timestamptz := clock_timestamp();
  v_deleted bigint := 0;
  v_batch integer;
begin
  if (p_batch_size between 1 and 10000) is not true then
    raise exception 'cleaning up idempotency keys: the batch size must be 1 to 10000, not %', coalesce(p_batch_size::text, 'null')
      using errcode = '22023';
  end if;

  -- One call is one transaction: what it deleted stays locked to its end, and a claim that wants
  -- such a row waits. So a call stops after 100 batches or 5 seconds, below the 8 seconds API
  -- roles have; what is left waits for the next call.
  for v_round in 1..100 loop
    v_batch := idempotency.delete_expired(p_batch_size);
    v_deleted := v_deleted + v_batch;
    exit when v_batch < p_batch_size or clock_timestamp() > v_started + interval '5 seconds';
  end loop;

  delete from idempotency.replay_counts as c where c.hour < v_started - interval '8 days';

  return v_deleted;
end;
$$;

comment on function public.cleanup_expired_idempotency_keys(integer) is
  'Deletes expired keys, oldest first, and returns how many; a full last batch means there may be more.';

create function public.idempotency_upkeep() returns table (
  -- at most 100,000
  expired_count bigint,
  expired_is_more boolean,
  oldest_expired_at timestamptz,
  -- Postgres's own estimate, as of its last look; expired ones and all owners'
  about_keys bigint,
  table_bytes bigint,
  statistics_as_of timestamptz,
  statistics_behind bigint
)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  c_most constant integer := 100000;
  v_now constant timestamptz := clock_timestamp();
begin
  return query
  select
    least(e.number, c_most),
    e.number > c_most,
    (
      select k.expires_at from public.idempotency_keys as k
      where k.expires_at <= v_now
      order by k.expires_at
      limit 1
    ),
    greatest(c.reltuples, 0)::bigint,
    pg_total_relation_size('public.idempotency_keys'),
    nullif(r.counted_at, '-infinity'),
    coalesce(pg_sequence_last_value('idempotency.fence_seq'), 0) - r.counted_fence
  from idempotency.rollup as r
  cross join pg_catalog.pg_class as c
  cross join (
    -- one more than shown, in the index alone
    select count(*) as number
    from (
      select from public.idempotency_keys as k where k.expires_at <= v_now limit c_most + 1
    ) as expired
  ) as e
  where c.oid = 'public.idempotency_keys'::regclass;
end;
$$;

comment on function public.idempotency_upkeep() is
  'For operators: what waits for cleanup, what the ledger takes, and how old the statistics are.';

-- security definer: the schema cron belongs to the owner, the service role does not reach it
create function public.idempotency_job_runs(p_limit integer default 10) returns table (
  job text,
  -- null: it is not scheduled
  schedule text,
  active boolean,
  status text,
  message text,
  started_at timestamptz,
  ended_at timestamptz
)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if (p_limit between 1 and 100) is not true then
    raise exception 'listing runs of jobs: the limit must be 1 to 100, not %', coalesce(p_limit::text, 'null')
      using errcode = '22023';
  end if;

  if to_regclass('cron.job') is null or to_regclass('cron.job_run_details') is null then
    return;
  end if;

  -- By name in a string: db lint refuses a table that is not there. The runs are kept in one table
  -- for all jobs, by number alone, so the look back has an end.
  return query execute $runs$
    select
      n.name, j.schedule::text, coalesce(j.active, false),
      d.status::text, d.return_message::text, d.start_time, d.end_time
    from unnest(array['cleanup-expired-idempotency-keys', 'count-idempotency-statistics']) as n (name)
    left join cron.job as j on j.jobname = n.name
    left join lateral (
      select r.*
      from cron.job_run_details as r
      where r.jobid = j.jobid and r.runid > (select max(l.runid) - 20000 from cron.job_run_details as l)
      order by r.runid desc
      limit $1
    ) as d on true
    order by n.name, d.runid desc
  $runs$ using p_limit;
end;
$$;

comment on function public.idempotency_job_runs(integer) is
  'For operators: the last runs of the ledger''s jobs, newest first; one row without a run for a job that never ran or is not scheduled, none at all without pg_cron.';

revoke all on function idempotency.delete_expired(integer)
  from public, anon, authenticated, service_role;
revoke all on function public.cleanup_expired_idempotency_keys(integer)
  from public, anon, authenticated, service_role;
revoke all on function public.idempotency_upkeep() from public, anon, authenticated, service_role;
revoke all on function public.idempotency_job_runs(integer) from public, anon, authenticated, service_role;
grant execute on function public.cleanup_expired_idempotency_keys(integer) to service_role;
grant execute on function public.idempotency_upkeep() to service_role;
grant execute on function public.idempotency_job_runs(integer) to service_role;

-- The jobs, where pg_cron is to be had. Anything that keeps it away (not installed, not preloaded,
-- another database, no right to create it) is no reason to go without the ledger.
--
-- Cleanup is a block of its own rather than a function: only so can it commit each batch, and go on
-- until nothing is left without holding what it deleted. A batch that is not full is the last one: where
-- keys expire all the time, there are always some more. It also forgets the ledger's own runs, which
-- pg_cron keeps for ever.
do $jobs$
begin
  if not exists (select from pg_catalog.pg_available_extensions where name = 'pg_cron') then
    raise notice 'pg_cron is not available: call cleanup_expired_idempotency_keys() from another scheduler; statistics are counted when somebody looks';
    return;
  end if;

  if not exists (select from pg_catalog.pg_extension where extname = 'pg_cron') then
    create extension pg_cron with schema pg_catalog;
    -- read by what takes the ledger out, which leaves the database as it was
    comment on schema idempotency is
      'What the ledger needs beside the functions and the table in public; not exposed by the Data API. pg_cron was created for it.';
  end if;

  perform cron.unschedule(j.jobid)
  from cron.job as j
  where j.jobname in ('cleanup-expired-idempotency-keys', 'count-idempotency-statistics');

  -- minute 7: on the hour is when everybody else's jobs start
  perform cron.schedule('cleanup-expired-idempotency-keys', '7 * * * *', $command$
    do $$
    begin
      -- what has expired since the other job ran: a count ends where the one before it began, or the one
      -- before that where somebody was writing
      for v_count in 1..3 loop
        begin
          perform public.idempotency_refresh_statistics(1000000);
        exception when others then
          raise warning 'counting before cleanup: %', sqlerrm;
        end;
        commit;
        perform pg_sleep(0.11);
      end loop;
      while idempotency.delete_expired(1000) >= 1000 loop
        commit;
      end loop;
      commit;
      delete from idempotency.replay_counts where hour < now() - interval '8 days';
      commit;
      -- by number: a run that was cut off, or never began, has no times
      delete from cron.job_run_details as r
      using cron.job as j
      where j.jobid = r.jobid
        and j.jobname in ('cleanup-expired-idempotency-keys', 'count-idempotency-statistics')
        and r.runid <= (
          select max(o.runid) from cron.job_run_details as o where o.start_time < now() - interval '7 days'
        );
    end;
    $$
  $command$);

  perform cron.schedule(
    'count-idempotency-statistics',
    '*/5 * * * *',
    $command$
    do $$
    begin
      perform public.idempotency_refresh_statistics(1000000);
      commit;
      perform idempotency.keep_statistics();
    end;
    $$
  $command$
  );
exception when others then
  raise notice 'pg_cron cannot be used (%): call cleanup_expired_idempotency_keys() from another scheduler; statistics are counted when somebody looks', sqlerrm;
end;
$jobs$;

-- What a project that runs against this schema asks before it trusts it: which version it is, and
-- whether still nobody but the service role makes the ledger believe anything, whether what that rests on
-- is there, and whether the database keeps what it has told.

create function public.idempotency_health() returns table (
  version text,
  -- in words, such as: anon may execute idempotency_claim
  wrong_grants text[],
  -- what else of that is not as it was made, in words, such as: index idempotency_keys_fence is missing
  wrong_objects text[],
  -- for whoever asks, as it is for the functions
  synchronous_commit text
)
language sql
stable
security invoker
set search_path = ''
as $$
  with transitions as (
    select p.oid, n.name
    from unnest(array[
      'cleanup_expired_idempotency_keys', 'idempotency_checkpoint', 'idempotency_claim',
      'idempotency_claim_many', 'idempotency_complete', 'idempotency_count_replays', 'idempotency_fail',
      'idempotency_notify', 'idempotency_renew', 'idempotency_resolve', 'idempotency_settle_many'
    ]) as n (name)
    left join pg_catalog.pg_proc as p on p.pronamespace = 'public'::regnamespace and p.proname = n.name
  ),
  wrong as (
    select format('%s may execute %s', r.role, t.name) as what
    from transitions as t
    cross join unnest(array['anon', 'authenticated']) as r (role)
    where has_function_privilege(r.role, t.oid, 'execute')
    union all
    select format('service_role may not execute %s', t.name)
    from transitions as t
    -- nobody may execute one that is missing
    where has_function_privilege('service_role', t.oid, 'execute') is not true
    union all
    -- policies call what is in the second
    select format('%s may not use the schema %s', r.role, s.name)
    from unnest(array['authenticated', 'service_role']) as r (role)
    cross join unnest(array['public', 'idempotency']) as s (name)
    where not has_schema_privilege(r.role, s.name, 'usage')
    union all
    -- a privilege on some columns is one as well
    select distinct format('%s may %s %s', r.role, p.privilege, t.relname)
    from pg_catalog.pg_class as t
    cross join unnest(array['anon', 'authenticated']) as r (role)
    cross join unnest(array['insert', 'update', 'delete', 'truncate']) as p (privilege)
    where (
        t.oid = 'public.idempotency_keys'::regclass
        or t.relnamespace = 'idempotency'::regnamespace and t.relkind = 'r'
      )
      and case
        when p.privilege in ('insert', 'update') then has_any_column_privilege(r.role, t.oid, p.privilege)
        else has_table_privilege(r.role, t.oid, p.privilege)
      end
    union all
    select format('%s may select %s of idempotency_keys', r.role, string_agg(a.attname, ', ' order by a.attnum))
    from pg_catalog.pg_attribute as a
    cross join unnest(array['anon', 'authenticated']) as r (role)
    where a.attrelid = 'public.idempotency_keys'::regclass
      and a.attnum > 0
      and not a.attisdropped
      and not (r.role = 'authenticated' and a.attname = any (array[
        'idempotency_key', 'scope', 'status', 'attempt', 'status_code', 'response', 'response_encoding',
        'response_headers', 'created_at', 'claimed_at', 'lease_expires_at', 'completed_at', 'expires_at'
      ]))
      and has_column_privilege(r.role, a.attrelid, a.attnum, 'select')
    group by r.role
    union all
    select 'row level security of idempotency_keys is off'
    from pg_catalog.pg_class as c
    where c.oid = 'public.idempotency_keys'::regclass and not c.relrowsecurity
    union all
    select 'row level security of idempotency_keys lets users see keys of others, or none'
    where not exists (
      select from pg_catalog.pg_policy as p
      where p.polrelid = 'public.idempotency_keys'::regclass
        and p.polcmd = 'r'
        and p.polroles = array['authenticated'::regrole::oid]
        and pg_get_expr(p.polqual, p.polrelid) = '((owner)::text = ( SELECT idempotency.signed_in_owner() AS signed_in_owner))'
    ) or exists (
      select from pg_catalog.pg_policy as p
      where p.polrelid = 'public.idempotency_keys'::regclass
        and p.polpermissive
        and p.polcmd in ('r', '*')
        and pg_get_expr(p.polqual, p.polrelid) = 'true'
        and p.polroles && array[0, 'anon'::regrole, 'authenticated'::regrole]::oid[]
    )
  ),
  objects as (
    select format('%s is not the ledger''s: it does not run as its owner, or not without a search path', t.name) as what
    from transitions as t
    join pg_catalog.pg_proc as p on p.oid = t.oid
    where not p.prosecdef or (p.proconfig @> array['search_path=""']) is not true
    union all
    select format('index %s is missing', i.name)
    from unnest(array[
      'idempotency_keys_expires_at', 'idempotency_keys_fence', 'idempotency_keys_identity', 'idempotency_keys_user_id'
    ]) as i (name)
    where not exists (
      select from pg_catalog.pg_index as x
      where x.indrelid = 'public.idempotency_keys'::regclass
        and x.indexrelid = to_regclass('public.' || i.name)
        and x.indisvalid
        and (x.indisprimary or i.name <> 'idempotency_keys_identity')
    )
    union all
    select format('%s is missing', t.name)
    from unnest(array[
      'idempotency.durations', 'idempotency.full_owners', 'idempotency.hours', 'idempotency.kept_statistics',
      'idempotency.limits', 'idempotency.live_keys', 'idempotency.open_keys', 'idempotency.replay_counts',
      'idempotency.rollup', 'public.v_idempotency_stats'
    ]) as t (name)
    where to_regclass(t.name) is null
    union all
    select 'the foreign key of idempotency_keys to auth.users is missing'
    where not exists (
      select from pg_catalog.pg_constraint as c
      where c.conrelid = 'public.idempotency_keys'::regclass
        and c.confrelid = 'auth.users'::regclass
        and c.contype = 'f'
        and c.confdeltype = 'c'
    )
    union all
    select 'trigger account_has_ended of idempotency_keys is missing, or does not fire'
    where not exists (
      select from pg_catalog.pg_trigger as g
      where g.tgrelid = 'public.idempotency_keys'::regclass
        and g.tgfoid = to_regprocedure('idempotency.account_has_ended()')
        and g.tgenabled in ('O', 'A')
    )
  )
  select
    idempotency.version(),
    coalesce((select array_agg(w.what order by w.what) from wrong as w), '{}'),
    coalesce((select array_agg(o.what order by o.what) from objects as o), '{}'),
    current_setting('synchronous_commit')
$$;

comment on function public.idempotency_health() is
  'The version of the ledger''s schema, grants that let others than the service role write it, what of it is missing, and synchronous_commit.';

revoke all on function public.idempotency_health() from public, anon, authenticated, service_role;
grant execute on function public.idempotency_health() to service_role;
