-- The ledger's table: one row per owner, scope and key, for as long as its TTL.
-- The service role writes it, through the functions in the files that follow; users look.

create schema idempotency;

comment on schema idempotency is
  'What the ledger needs beside the functions and the table in public; not exposed by the Data API.';

-- authenticated: the policies below and v_idempotency_stats reach into it
grant usage on schema idempotency to authenticated, service_role;

create function idempotency.version() returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select '1.0.0'
$$;

comment on function idempotency.version() is
  'The version of the ledger''s schema.';

-- One rule for who a signed-in user is, for policies and functions alike: the token's sub, which is
-- no UUID for users of third-party auth.
create function idempotency.signed_in_owner() returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '')
$$;

comment on function idempotency.signed_in_owner() is
  'The owner that a signed-in user''s token names; null where nobody is signed in.';

create sequence idempotency.fence_seq as bigint;

-- What a column may hold. Postgres reads the check constraints of a table from their stored form at
-- each insert and update, which with two dozen of them took most of such a statement; those of a
-- domain it reads once a session.
--
-- length apart: a repetition count in a regular expression ends at 255, and costs a state each
create domain idempotency.key as text
  constraint key_is_3_to_256_letters_digits_dashes_underscores
    check (value !~ '[^A-Za-z0-9_-]' and length(value) between 3 and 256);
create domain idempotency.scope as text
  constraint scope_is_1_to_200_characters check (length(value) between 1 and 200);
create domain idempotency.owner as text
  constraint owner_is_at_most_255_characters check (length(value) <= 255);
create domain idempotency.fingerprint as text
  constraint fingerprint_is_64_lowercase_hex_digits
    check (value !~ '[^0-9a-f]' and length(value) = 64);
create domain idempotency.status as text
  constraint status_is_known check (value in ('processing', 'completed', 'failed'));
create domain idempotency.attempt as integer
  constraint attempt_starts_at_1 check (value >= 1);
create domain idempotency.crashed_attempts as jsonb
  constraint crashed_attempts_are_at_most_100 check (jsonb_array_length(value) <= 100);
create domain idempotency.status_code as smallint
  constraint status_code_is_an_http_status check (value between 100 and 599);
create domain idempotency.response as text
  constraint response_is_at_most_6_mib check (octet_length(value) <= 6291456);
create domain idempotency.response_encoding as text
  constraint response_encoding_is_known check (value in ('text', 'base64', 'gzip', 'none'));
create domain idempotency.response_headers as jsonb
  constraint response_headers_are_an_object_of_at_most_64_kib
    check (jsonb_typeof(value) = 'object' and pg_column_size(value) <= 65536);
create domain idempotency.error_message as text
  constraint error_message_is_at_most_2000_characters check (length(value) <= 2000);
create domain idempotency.steps as jsonb
  constraint steps_are_an_object_of_at_most_1_mib
    check (jsonb_typeof(value) = 'object' and pg_column_size(value) <= 1048576);
create domain idempotency.metadata as jsonb
  constraint metadata_is_an_object_of_at_most_16_kib
    check (jsonb_typeof(value) = 'object' and pg_column_size(value) <= 16384);

-- In this order: what a claim sets, columns of one width before others, so that no byte is spent on
-- alignment; then what completing sets, which is all that the log has to hold of that update.
create table public.idempotency_keys (
  fence bigint not null default nextval('idempotency.fence_seq'),
  created_at timestamptz not null default now(),
  claimed_at timestamptz not null default now(),
  expires_at timestamptz not null,
  owner_token uuid not null,
  attempt idempotency.attempt not null default 1,
  -- '': the project itself (webhooks, jobs)
  owner idempotency.owner not null,
  scope idempotency.scope not null,
  idempotency_key idempotency.key not null,
  request_fingerprint idempotency.fingerprint not null,
  -- the account, where the owner is one of this project: with it go its keys
  user_id uuid references auth.users (id) on delete cascade,
  metadata idempotency.metadata,
  -- earlier holders of this key since attempt 1: the only callers a winner's answer is told to
  past_owners uuid[],
  -- since the last attempt that is known to have failed: when each began, and how far it got
  crashed_attempts idempotency.crashed_attempts,
  steps idempotency.steps,
  status idempotency.status not null default 'processing',
  lease_expires_at timestamptz,
  completed_at timestamptz,
  status_code idempotency.status_code,
  response_encoding idempotency.response_encoding,
  response_headers idempotency.response_headers,
  response idempotency.response,
  error_message idempotency.error_message,

  constraint idempotency_keys_identity
    primary key (owner, scope, idempotency_key),
  -- Of the rules between columns the one that all else rests on; each costs as much as a look-up in
  -- an index, twice for each key, and the functions that follow are the only ones that write.
  constraint processing_has_a_lease_and_else_an_end
    check ((lease_expires_at is null) <> (completed_at is null) and (status = 'processing') = (completed_at is null))
)
-- Completing more than doubles a row. With up to 16 keys at work at once the update is HOT all the same;
-- with more of them a lower value buys HOT updates, see docs/scale.md.
with (fillfactor = 85);

-- cleanup walks it; completing with the TTL of the claim leaves expires_at as it is, hence HOT
create index idempotency_keys_expires_at on public.idempotency_keys (expires_at);

-- The order of grants: what has happened since the statistics were last counted lies above a fence.
-- No update but a new grant sets this column, and that is none of the heap-only updates.
create index idempotency_keys_fence on public.idempotency_keys (fence);

-- deleting an account looks for its keys
create index idempotency_keys_user_id on public.idempotency_keys (user_id);

comment on table public.idempotency_keys is
  'One idempotency key of one owner in one scope: who holds it, and the answer once there is one.';
comment on column public.idempotency_keys.owner is
  'The sub of the verified token, or the empty text for the project itself.';
comment on column public.idempotency_keys.user_id is
  'The owner''s account in auth.users; null for the project and for users of third-party auth.';
comment on column public.idempotency_keys.fence is
  'New and larger at each granted claim, over all keys: a handler hands it to systems that refuse older writers.';
comment on column public.idempotency_keys.owner_token is
  'Made by the caller of the granted claim; whoever does not know it changes nothing.';
comment on column public.idempotency_keys.crashed_attempts is
  'Attempts in a row whose lease lapsed: [{attempt, claimed_at, lease_expired_at, steps}].';
comment on column public.idempotency_keys.response_encoding is
  'How response is written down: text, base64, gzip (in base64), or none where the answer was not kept.';
comment on column public.idempotency_keys.expires_at is
  'From here on the key is free for a new claim and cleanup may delete the row.';

-- Older projects grant everything in public to the API roles by default, so each is named.
revoke all on table public.idempotency_keys from public, anon, authenticated, service_role;
revoke all on sequence idempotency.fence_seq from public, anon, authenticated, service_role;
revoke all on function idempotency.version() from public, anon, authenticated, service_role;
revoke all on function idempotency.signed_in_owner() from public, anon, authenticated, service_role;

-- How their own keys stand, and nothing that was written for the team or would help to forge an
-- attempt. lease_expires_at is here because v_idempotency_stats counts stuck keys as its reader.
grant select (
  idempotency_key, scope, status, attempt, status_code, response, response_encoding, response_headers,
  created_at, claimed_at, lease_expires_at, completed_at, expires_at
) on table public.idempotency_keys to authenticated;
grant select, insert, update, delete on table public.idempotency_keys to service_role;
grant usage on sequence idempotency.fence_seq to service_role;
grant execute on function idempotency.version() to service_role;
grant execute on function idempotency.signed_in_owner() to authenticated, service_role;

alter table public.idempotency_keys enable row level security;

-- (select …): evaluated once per query, not once per row
create policy "users see only their own idempotency keys"
  on public.idempotency_keys
  for select
  to authenticated
  using (owner = (select idempotency.signed_in_owner()));

-- the service role passes without one, and whoever inherits it does not
create policy "operators see every idempotency key"
  on public.idempotency_keys for select to service_role using (true);

create type public.idempotency_answer as (
  outcome text,
  attempt integer,
  fence bigint,
  retry_after_seconds integer,
  status_code integer,
  response text,
  response_encoding text,
  response_headers jsonb,
  steps jsonb,
  completed_at timestamptz
);

comment on type public.idempotency_answer is
  'What a transition answers: an outcome, and whatever of the row goes with it.';
