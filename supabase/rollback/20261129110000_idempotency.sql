-- Undoes 20261129110000_idempotency.sql: removes the ledger with everything in it, and pg_cron where it
-- was created for the ledger and no other job has come since. `deno task migrate --rollback` runs this
-- and keeps the records; where it is run by hand, tell the Supabase CLI as well:
-- supabase migration repair --status reverted 20261129110000 (--remote: of the linked project)

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
-- Nothing with cascade, here and below: what others made of these, such as a column of a domain, a policy
-- or a table in the schema, is theirs and has to go first.
drop table
  idempotency.durations, idempotency.full_owners, idempotency.hours, idempotency.kept_statistics,
  idempotency.limits, idempotency.live_keys, idempotency.open_keys, idempotency.replay_counts,
  idempotency.rollup;
drop function
  idempotency.account_has_ended, idempotency.answer_to_loser, idempotency.claim_in_transaction,
  idempotency.claim_item, idempotency.complete_in_transaction, idempotency.delete_expired,
  idempotency.enforce_limits, idempotency.first_fence_since, idempotency.forget_owner,
  idempotency.has_room_for, idempotency.keep_statistics, idempotency.mark_as_full,
  idempotency.replace_only_row, idempotency.run_batch, idempotency.settle_item,
  idempotency.signed_in_owner, idempotency.stored_bytes, idempotency.transaction_token,
  idempotency.version;
drop type public.idempotency_item_answer;
drop type public.idempotency_answer;
drop domain
  idempotency.attempt, idempotency.crashed_attempts, idempotency.error_message, idempotency.fingerprint,
  idempotency.key, idempotency.metadata, idempotency.owner, idempotency.response,
  idempotency.response_encoding, idempotency.response_headers, idempotency.scope, idempotency.status,
  idempotency.status_code, idempotency.steps;
drop sequence idempotency.fence_seq;
drop schema idempotency;
