-- The ledger's table: one row per user, scope and key, for as long as its TTL.
-- Everything that changes a row goes through the functions in the files that follow.

create sequence public.idempotency_fence_seq as bigint;

create table public.idempotency_keys (
  id bigint generated always as identity primary key,
  -- null: the project itself (webhooks, jobs); only the service role reaches those
  user_id uuid references auth.users (id) on delete cascade,
  scope text not null,
  idempotency_key text not null,
  request_fingerprint text not null,
  status text not null default 'processing',
  attempt integer not null default 1,
  fence bigint not null default nextval('public.idempotency_fence_seq'),
  owner_token uuid not null,
  -- earlier holders of this key since attempt 1: the only callers a winner's answer is told to
  past_owners uuid[],
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

  -- nulls not distinct: the project's own keys have to collide as well
  constraint idempotency_keys_identity
    unique nulls not distinct (user_id, scope, idempotency_key),

  -- Postgres reads these expressions from their stored form at each insert and update (with 20
  -- of them that is most of what such a statement costs): so they are literals and as short as
  -- can be, not sums or calls.
  --
  -- length apart: a repetition count in a regular expression ends at 255, and costs a state each
  constraint key_is_3_to_256_letters_digits_dashes_underscores
    check (idempotency_key !~ '[^A-Za-z0-9_-]' and length(idempotency_key) between 3 and 256),
  constraint scope_is_1_to_200_characters
    check (length(scope) between 1 and 200),
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
  constraint completed_has_status_code
    check ((status = 'completed') = (status_code is not null)),
  constraint completed_has_completion_time
    check ((status = 'completed') = (completed_at is not null)),
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
    check (jsonb_typeof(metadata) = 'object' and pg_column_size(metadata) <= 16384)
)
-- Completing doubles a row. Completed soon after its claim, the update is HOT up to 85; with 5,000
-- claims open at once, 72 of 100 are at 50 and 42 at 85.
with (fillfactor = 50);

alter sequence public.idempotency_fence_seq owned by public.idempotency_keys.fence;

-- cleanup walks it; completing with the TTL of the claim leaves expires_at as it is, hence HOT
create index idempotency_keys_expires_at on public.idempotency_keys (expires_at);

comment on table public.idempotency_keys is
  'One idempotency key of one user in one scope: who holds it, and the answer once there is one.';
comment on column public.idempotency_keys.fence is
  'New and larger at each granted claim, over all keys: a handler hands it to systems that refuse older writers.';
comment on column public.idempotency_keys.owner_token is
  'Made by the caller of the granted claim; whoever does not know it changes nothing.';
comment on column public.idempotency_keys.response_encoding is
  'How response is written down: text, base64, gzip (in base64), or none where the answer was not kept.';
comment on column public.idempotency_keys.expires_at is
  'From here on the key is free for a new claim and cleanup may delete the row.';

-- Older projects grant everything in public to the API roles by default, so each is named.
revoke all on table public.idempotency_keys from public, anon, authenticated, service_role;
revoke all on sequence public.idempotency_fence_seq from public, anon, authenticated, service_role;
revoke all on sequence public.idempotency_keys_id_seq from public, anon, authenticated, service_role;

grant select on table public.idempotency_keys to authenticated;
grant select, insert, update, delete on table public.idempotency_keys to service_role;
grant usage on sequence public.idempotency_fence_seq to service_role;

alter table public.idempotency_keys enable row level security;

-- (select …): evaluated once per query, not once per row
create policy "users see only their own idempotency keys"
  on public.idempotency_keys
  for select
  to authenticated
  using (user_id = (select auth.uid()));

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
  'What claim, complete and fail answer: an outcome, and whatever of the row goes with it.';
