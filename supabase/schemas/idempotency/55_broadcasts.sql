-- Who hears these broadcasts: Realtime lets a client join a private channel only where a policy on
-- realtime.messages would show it a message there. Users may listen on the channel of their own;
-- nobody is given leave to send on it.
do $$
begin
  if to_regclass('realtime.messages') is null or to_regprocedure('realtime.topic()') is null then
    raise notice 'Realtime is not installed: idempotency_notify will send nothing';
    return;
  end if;

  execute 'drop policy if exists "users hear of their own idempotency keys" on realtime.messages';
  execute $policy$
    create policy "users hear of their own idempotency keys"
      on realtime.messages
      for select
      to authenticated
      using (
        extension = 'broadcast'
        and (select realtime.topic()) = 'idempotency:' || (select idempotency.signed_in_owner())
      )
  $policy$;
exception when insufficient_privilege then
  raise notice 'realtime.messages takes no policy from this role (%): add it in the dashboard', sqlerrm;
end;
$$;
