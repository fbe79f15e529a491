-- Statistics every five minutes where pg_cron is to be had; elsewhere whoever looks at them counts,
-- and deno task cleanup does before it deletes.

do $$
begin
  if to_regclass('cron.job') is null then
    raise notice 'pg_cron is not there: statistics are counted when somebody looks';
    return;
  end if;

  perform cron.unschedule(j.jobid)
  from cron.job as j
  where j.jobname = 'count-idempotency-statistics';

  perform cron.schedule(
    'count-idempotency-statistics',
    '*/5 * * * *',
    'select * from public.idempotency_refresh_statistics(1000000)'
  );
exception when others then
  raise notice 'pg_cron cannot be used (%): statistics are counted when somebody looks', sqlerrm;
end;
$$;
