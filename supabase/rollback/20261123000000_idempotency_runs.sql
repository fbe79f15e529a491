-- Undoes 20261123000000_idempotency_renew.sql and the other versions of that day: renewing,
-- steps, resolving, batches and notification. Keys stay as they are, with the steps they have.

drop function if exists public.idempotency_stuck_keys(integer);
drop function if exists public.idempotency_resolve(uuid, text, text, text, integer, text, text, jsonb, text);
drop function if exists public.idempotency_checkpoint(uuid, text, text, uuid, text, jsonb, integer);
drop function if exists public.idempotency_renew(uuid, text, text, uuid, integer);
