-- Hourly cleanup where pg_cron is to be had. Anything that keeps it away (not installed, not
-- preloaded, another database, no right to create it) is no reason to go without the ledger.

do $$
begin
  if not exists (select from pg_catalog.pg_available_extensions where name = 'pg_cron') then
    raise notice 'pg_cron is not available: call cleanup_expired_idempotency_keys() from another scheduler';
    return;
  end if;

  create extension if not exists pg_cron with schema pg_catalog;

  perform cron.unschedule(j.jobid)
  from cron.job as j
  where j.jobname = 'cleanup-expired-idempotency-keys';

  -- minute 7: on the hour is when everybody else's jobs start
  perform cron.schedule(
    'cleanup-expired-idempotency-keys',
    '7 * * * *',
    'select public.cleanup_expired_idempotency_keys()'
  );
exception when others then
  raise notice 'pg_cron cannot be used (%): call cleanup_expired_idempotency_keys() from another scheduler', sqlerrm;
end;
$$;
