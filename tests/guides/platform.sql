-- What a hosted project brings along and this machine has not: pg_net, Vault,
-- the trigger function of database webhooks, and pgmq behind its public schema;
-- pg_cron where it is not installed. Only what the guides call, with the names,
-- arguments and promises of the originals. Requests are queued in the
-- transaction and sent by nobody here: the tests do that, as pg_net's worker
-- does, once each and without a retry.

create schema net;

create table net.http_request_queue (
  id bigint generated always as identity primary key,
  method text not null,
  url text not null,
  headers jsonb not null,
  body jsonb
);

create function net.http_post(
  url text,
  body jsonb default '{}'::jsonb,
  params jsonb default '{}'::jsonb,
  headers jsonb default '{"Content-Type": "application/json"}'::jsonb,
  timeout_milliseconds integer default 5000
) returns bigint language sql as $$
  insert into net.http_request_queue (method, url, headers, body)
  values ('POST', url, headers, body)
  returning id
$$;

create schema supabase_functions;

create function supabase_functions.http_request() returns trigger
language plpgsql as $$
begin
  insert into net.http_request_queue (method, url, headers, body)
  values (
    tg_argv[1],
    tg_argv[0],
    tg_argv[2]::jsonb,
    jsonb_build_object(
      'type', tg_op,
      'table', tg_table_name,
      'schema', tg_table_schema,
      'record', case when tg_op <> 'DELETE' then to_jsonb(new) end,
      'old_record', case when tg_op <> 'INSERT' then to_jsonb(old) end
    )
  );
  return null;
end
$$;

create schema vault;

create table vault.decrypted_secrets (
  name text primary key,
  decrypted_secret text not null
);

create function vault.create_secret(secret text, name text) returns void
language sql as $$
  insert into vault.decrypted_secrets values (name, secret)
$$;

do $$
begin
  if to_regnamespace('cron') is null then
    create schema cron;
    create table cron.job (
      jobid bigint generated always as identity primary key,
      jobname text unique,
      schedule text not null,
      command text not null
    );
    create function cron.schedule(name text, schedule text, command text)
    returns bigint language sql as $body$
      insert into cron.job (jobname, schedule, command)
      values (name, schedule, command)
      returning jobid
    $body$;
  end if;
end
$$;

create schema pgmq_public;

create table pgmq_public.q_mails (
  msg_id bigint generated always as identity primary key,
  read_ct integer not null default 0,
  enqueued_at timestamptz not null default now(),
  vt timestamptz not null default now(),
  message jsonb
);

create function pgmq_public.send(
  queue_name text,
  message jsonb,
  sleep_seconds integer default 0
) returns setof bigint language plpgsql as $$
begin
  return query execute format(
    'insert into pgmq_public.%I (message, vt) values ($1, clock_timestamp() + make_interval(secs => $2)) returning msg_id',
    'q_' || queue_name
  ) using message, sleep_seconds;
end
$$;

-- At least once: whoever reads a message has it to themselves for so long, and
-- then it shows up again.
create function pgmq_public.read(
  queue_name text,
  sleep_seconds integer,
  n integer
) returns table (
  msg_id bigint,
  read_ct integer,
  enqueued_at timestamptz,
  vt timestamptz,
  message jsonb
) language plpgsql as $$
begin
  return query execute format(
    'update pgmq_public.%1$I as q
     set read_ct = q.read_ct + 1,
         vt = clock_timestamp() + make_interval(secs => $1)
     where q.msg_id in (
       select msg_id from pgmq_public.%1$I
       where vt <= clock_timestamp()
       order by msg_id limit $2
       for update skip locked
     )
     returning q.msg_id, q.read_ct, q.enqueued_at, q.vt, q.message',
    'q_' || queue_name
  ) using sleep_seconds, n;
end
$$;

create function pgmq_public.delete(queue_name text, message_id bigint)
returns boolean language plpgsql as $$
declare
  deleted bigint;
begin
  execute format('delete from pgmq_public.%I where msg_id = $1', 'q_' || queue_name)
  using message_id;
  get diagnostics deleted = row_count;
  return deleted > 0;
end
$$;

grant usage on schema pgmq_public to service_role;
grant execute on all functions in schema pgmq_public to service_role;
grant all on all tables in schema pgmq_public to service_role;
