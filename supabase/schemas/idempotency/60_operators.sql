-- What waits for an operator, and how an operator ends it.

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

  -- the answer to the first sending of this resolution was lost
  if v_key.status = p_resolution and (p_resolution = 'failed' or v_key.metadata ->> 'resolution' = 'completed') then
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
  where k.owner = p_owner and k.scope = p_scope and k.idempotency_key = p_idempotency_key;

  return v_answer;
end;
$$;

comment on function public.idempotency_resolve(text, text, text, text, integer, text, text, jsonb, text) is
  'For operators: ends an abandoned run as completed, with its answer or without, or as failed. Raises IDK01 while the lease is live; answers completed, failed, replay (completed otherwise) or gone.';

revoke all on function public.idempotency_resolve(text, text, text, text, integer, text, text, jsonb, text)
  from public, anon, authenticated, service_role;
grant execute on function public.idempotency_resolve(text, text, text, text, integer, text, text, jsonb, text)
  to service_role;
