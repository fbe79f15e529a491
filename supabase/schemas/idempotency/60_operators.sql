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
