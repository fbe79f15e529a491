-- Deciding about an event and creating it, in one transaction: what the plan includes is created,
-- anything beyond it is a question until the caller confirms, and the credits go with the event.
--
-- security definer: an event is created together with what it costs, so users may write neither
-- events nor credit_entries themselves. It acts for auth.uid() and for nobody else.
create function public.create_event(
  p_request_id text,
  p_title text,
  p_starts_at timestamptz,
  p_location text default null,
  p_description text default null,
  p_confirm_credit boolean default false,
  p_max_cost integer default null
) returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_user_id constant uuid := auth.uid();
  -- without a zone: a month added to a timestamptz is one of the session's zone
  v_month constant timestamp := date_trunc('month', now() at time zone 'UTC');
  v_plan public.plans;
  v_event public.events;
  v_included bigint;
  v_cost integer;
  v_balance bigint;
begin
  if v_user_id is null then
    raise exception 'creating an event: nobody is signed in' using errcode = '42501';
  end if;

  -- One decision at a time for each user: whoever comes second waits here, and then counts and
  -- reads what the first has left.
  insert into public.credit_balances (user_id) values (v_user_id) on conflict do nothing;
  select b.balance into v_balance
  from public.credit_balances as b
  where b.user_id = v_user_id
  for update;

  select e.* into v_event
  from public.events as e
  where e.user_id = v_user_id and e.request_id = p_request_id;

  if not found then
    select p.* into v_plan
    from public.plans as p
    where p.name = coalesce((select u.plan_name from public.user_plans as u where u.user_id = v_user_id), 'free');

    if not found then
      raise exception 'creating an event: there is no plan "free"' using errcode = 'P0002';
    end if;

    -- Up to the end of the month too: who waited over midnight comes after events of the next one.
    select count(*) into v_included
    from public.events as e
    where e.user_id = v_user_id and e.cost = 0
      and e.created_at >= v_month at time zone 'UTC'
      and e.created_at < (v_month + interval '1 month') at time zone 'UTC';

    v_cost := case when v_included < v_plan.monthly_events then 0 else v_plan.event_cost end;

    -- Agreed to is the price that was told, where the caller says which: it may have risen since.
    if v_cost > 0 and (p_confirm_credit is not true or v_cost > p_max_cost) then
      return jsonb_build_object('outcome', 'question', 'cost', v_cost, 'balance', v_balance);
    end if;

    if v_cost > v_balance then
      return jsonb_build_object('outcome', 'too_few_credits', 'cost', v_cost, 'balance', v_balance);
    end if;

    insert into public.events (user_id, request_id, title, starts_at, location, description, cost)
    values (v_user_id, p_request_id, p_title, p_starts_at, p_location, p_description, v_cost)
    returning * into v_event;

    if v_cost > 0 then
      insert into public.credit_entries (user_id, kind, amount, reason, request_id)
      values (v_user_id, 'spend', -v_cost, 'event ' || v_event.id, p_request_id);
      v_balance := v_balance - v_cost;
    end if;
  end if;

  return jsonb_build_object(
    'outcome', 'created',
    'event', to_jsonb(v_event) - '{user_id,request_id}'::text[],
    'cost', v_event.cost,
    'balance', v_balance
  );
end;
$$;

comment on function public.create_event(text, text, timestamptz, text, text, boolean, integer) is
  'Creates an event of the caller once per request id: created, question (confirm its cost), or too_few_credits; the last two spend nothing.';

revoke all on function public.create_event(text, text, timestamptz, text, text, boolean, integer)
  from public, anon, authenticated, service_role;
grant execute on function public.create_event(text, text, timestamptz, text, text, boolean, integer) to authenticated;
