-- Undoes 20261129110000_idempotency.sql: removes the ledger with everything in it, and pg_cron where it
-- was created for the ledger and no other job has come since. `deno task migrate --rollback` runs this
-- and keeps the records; where it is run by hand, tell the Supabase CLI as well:
-- supabase migration repair --status reverted 20261129110000

do $$
begin
  if to_regclass('cron.job') is not null then
    perform cron.unschedule(j.jobid)
    from cron.job as j
    where j.jobname in ('cleanup-expired-idempotency-keys', 'count-idempotency-statistics');

    if obj_description('idempotency'::regnamespace, 'pg_namespace') like '%pg_cron was created for it.'
      and not exists (select from cron.job)
    then
      begin
        drop extension pg_cron;
      exception when insufficient_privilege or dependent_objects_still_exist then
        raise notice 'pg_cron stays: %', sqlerrm;
      end;
    end if;
  end if;

  if to_regclass('realtime.messages') is not null then
    drop policy if exists "users hear of their own idempotency keys" on realtime.messages;
  end if;
end;
$$;

drop view public.v_idempotency_stats;
drop function
  public.cleanup_expired_idempotency_keys, public.get_idempotency_status, public.idempotency_checkpoint,
  public.idempotency_claim, public.idempotency_claim_many, public.idempotency_complete,
  public.idempotency_count_replays, public.idempotency_fail, public.idempotency_health,
  public.idempotency_hourly_statistics, public.idempotency_job_runs, public.idempotency_notify,
  public.idempotency_read_key, public.idempotency_recent_keys, public.idempotency_recount_statistics,
  public.idempotency_refresh_statistics, public.idempotency_renew, public.idempotency_resolve,
  public.idempotency_scope_statistics, public.idempotency_settle_many, public.idempotency_stuck_keys,
  public.idempotency_upkeep, idempotency.count_statistics, idempotency.held_keys, idempotency.keep_as_nobodys;
-- before the types of its columns
drop table public.idempotency_keys;
-- without cascade: what others made of these tables is theirs, and has to go first
drop table
  idempotency.durations, idempotency.full_owners, idempotency.hours, idempotency.kept_statistics,
  idempotency.limits, idempotency.live_keys, idempotency.open_keys, idempotency.replay_counts,
  idempotency.rollup;
drop schema idempotency cascade;
drop type public.idempotency_item_answer;
drop type public.idempotency_answer;
