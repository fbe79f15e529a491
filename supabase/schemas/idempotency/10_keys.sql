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

create table public.idempotency_keys (
  -- '': the project itself (webhooks, jobs)
  owner text not null,
  -- the account, where the owner is one of this project: with it go its keys
  user_id uuid references auth.users (id) on delete cascade,
  scope text not null,
  idempotency_key text not null,
  request_fingerprint text not null,
  status text not null default 'processing',
  attempt integer not null default 1,
  fence bigint not null default nextval('idempotency.fence_seq'),
  owner_token uuid not null,
  -- earlier holders of this key since attempt 1: the only callers a winner's answer is told to
  past_owners uuid[],
  -- since the last attempt that is known to have failed: when each began, and how far it got
  crashed_attempts jsonb,
  lease_expires_at timestamptz,
  response text,
  response_encoding text,
  status_code smallint,
  response_headers jsonb,
  error_message text,
  steps jsonb,
  metadata jsonb,
  created_at timestamptz not null default now(),
  claimed_at timestamptz not null default now(),
  completed_at timestamptz,
  expires_at timestamptz not null,

  constraint idempotency_keys_identity
    primary key (owner, scope, idempotency_key),

  -- Postgres reads these expressions from their stored form at each insert and update, which is
  -- most of what such a statement costs: so they are literals, few, and as short as can be.
  --
  -- length apart: a repetition count in a regular expression ends at 255, and costs a state each
  constraint key_is_3_to_256_letters_digits_dashes_underscores
    check (idempotency_key !~ '[^A-Za-z0-9_-]' and length(idempotency_key) between 3 and 256),
  constraint scope_is_1_to_200_characters
    check (length(scope) between 1 and 200),
  constraint owner_is_at_most_255_characters
    check (length(owner) <= 255),
  constraint account_is_the_owner
    check (user_id::text = owner),
  constraint fingerprint_is_64_lowercase_hex_digits
    check (request_fingerprint !~ '[^0-9a-f]' and length(request_fingerprint) = 64),
  constraint status_is_known
    check (status in ('processing', 'completed', 'failed')),
  constraint attempt_starts_at_1
    check (attempt >= 1),
  constraint processing_has_a_lease
    check ((status = 'processing') = (lease_expires_at is not null)),
  constraint expires_no_earlier_than_its_lease
    check (expires_at >= lease_expires_at),
  constraint ended_has_completion_time
    check ((status = 'processing') = (completed_at is null)),
  constraint completed_has_status_code
    check (status <> 'completed' or status_code is not null),
  constraint completed_has_response_encoding
    check ((status = 'completed') = (response_encoding is not null)),
  constraint only_completed_has_response_headers
    check (status = 'completed' or response_headers is null),
  constraint only_failed_has_error_message
    check (status = 'failed' or error_message is null),
  constraint status_code_is_an_http_status
    check (status_code between 100 and 599),
  constraint response_encoding_is_known
    check (response_encoding in ('text', 'base64', 'gzip', 'none')),
  -- '' is a body, null is none: an empty answer and one that was not kept are two things
  constraint encoding_none_means_no_response
    check ((response_encoding <> 'none') is true = (response is not null)),
  constraint response_is_at_most_6_mib
    check (octet_length(response) <= 6291456),
  constraint response_headers_are_an_object_of_at_most_64_kib
    check (jsonb_typeof(response_headers) = 'object' and pg_column_size(response_headers) <= 65536),
  constraint error_message_is_at_most_2000_characters
    check (length(error_message) <= 2000),
  constraint steps_are_an_object_of_at_most_1_mib
    check (jsonb_typeof(steps) = 'object' and pg_column_size(steps) <= 1048576),
  constraint metadata_is_an_object_of_at_most_16_kib
    check (jsonb_typeof(metadata) = 'object' and pg_column_size(metadata) <= 16384),
  constraint crashed_attempts_are_at_most_100
    check (jsonb_array_length(crashed_attempts) <= 100)
)
-- Completing doubles a row. Completed soon after its claim, the update is HOT up to 85; with 5,000
-- claims open at once, 72 of 100 are at 50 and 42 at 85.
with (fillfactor = 50);

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
