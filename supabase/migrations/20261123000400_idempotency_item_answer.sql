-- One key's part of the answer to a batch. A batch is one transaction, but its keys have nothing
-- to do with one another: what a single call would raise for one of them is told in its row, so
-- that the others go on.

create type public.idempotency_item_answer as (
  idempotency_key text,
  outcome text,
  attempt integer,
  fence bigint,
  retry_after_seconds integer,
  status_code integer,
  response text,
  response_encoding text,
  response_headers jsonb,
  steps jsonb,
  completed_at timestamptz,
  error_code text,
  error_message text
);

comment on type public.idempotency_item_answer is
  'What claim_many and settle_many answer for one key: what the single call would, or refused with the SQLSTATE and message that it would raise.';
