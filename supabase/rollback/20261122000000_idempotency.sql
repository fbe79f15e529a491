-- Removes the ledger with everything in it; the migrations can be applied again afterwards.
-- pg_cron stays: other jobs may need it. `deno task migrate --rollback` runs this and keeps the
-- records; where it is run by hand, tell the Supabase CLI as well:
-- supabase migration repair --status reverted 20261122000000 (and the other versions of that day).
--
-- migrate: undoes 20261122000000 to 20261122000900

begin;

do $$
begin
  if to_regclass('cron.job') is not null then
    perform cron.unschedule(j.jobid)
    from cron.job as j
    where j.jobname = 'cleanup-expired-idempotency-keys';
  end if;
end;
$$;

drop function if exists public.cleanup_expired_idempotency_keys(integer);
drop function if exists public.get_idempotency_status(text, text, uuid);
drop view if exists public.v_idempotency_stats;
drop function if exists public.idempotency_count_replays(uuid, text, integer);
drop table if exists public.idempotency_replay_counts;
drop function if exists public.idempotency_fail(uuid, text, text, uuid, text, integer);
drop function if exists public.idempotency_complete(uuid, text, text, uuid, integer, text, text, jsonb, integer);
drop function if exists public.idempotency_answer_to_loser(uuid, text, text, uuid, text);
drop function if exists public.idempotency_recorded_answer(uuid, text, text, text);
drop function if exists public.idempotency_claim(uuid, text, text, text, uuid, integer, integer, text, jsonb);
drop function if exists public.idempotency_decide_claim(uuid, text, text, text, uuid, integer, integer, text, jsonb, boolean, boolean);
drop function if exists public.idempotency_enforce_key_limit(uuid);
drop table if exists public.idempotency_counted_users;
drop function if exists public.idempotency_signed_in_user(uuid);
drop function if exists public.idempotency_trusts_caller();
drop type if exists public.idempotency_answer;
drop table if exists public.idempotency_keys;
-- the fence's sequence belongs to the table and goes with it

commit;
