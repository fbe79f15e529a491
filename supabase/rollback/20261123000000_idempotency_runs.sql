-- Undoes 20261123000000_idempotency_renew.sql and the other versions of that day: renewing,
-- steps, resolving, batches and notification. Keys stay as they are, with the steps they have.
--
-- migrate: undoes 20261123000000 to 20261123000800

do $$
begin
  if to_regclass('realtime.messages') is not null then
    drop policy if exists "users hear of their own idempotency keys" on realtime.messages;
  end if;
end;
$$;

drop function if exists public.idempotency_notify(uuid, text, text);
drop function if exists public.idempotency_settle_many(uuid, text, jsonb, integer, integer);
drop function if exists public.idempotency_settle_item(uuid, text, jsonb, integer, integer);
drop function if exists public.idempotency_claim_many(uuid, text, jsonb, integer, integer, text);
drop type if exists public.idempotency_item_answer;
drop function if exists public.idempotency_stuck_keys(integer);
drop function if exists public.idempotency_resolve(uuid, text, text, text, integer, text, text, jsonb, text);
drop function if exists public.idempotency_checkpoint(uuid, text, text, uuid, text, jsonb, integer);
drop function if exists public.idempotency_renew(uuid, text, text, uuid, integer);
