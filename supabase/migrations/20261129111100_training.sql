-- Data sets made from processed documents, and the training jobs that use them.
-- Written as the caller, under row level security, for the reason given with the documents.

create table public.training_datasets (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  request_id text not null default gen_random_uuid()::text,
  format text not null,
  content text not null,
  examples integer not null,
  tokens integer not null,
  encoding text not null,
  created_at timestamptz not null default now(),
  constraint training_datasets_pkey primary key (id),
  constraint training_datasets_user_id_id_key unique (user_id, id),
  constraint training_datasets_user_id_request_id_key unique (user_id, request_id),
  constraint training_datasets_request_id_has_1_to_256_characters check (char_length(request_id) between 1 and 256),
  constraint training_datasets_format_is_known check (format in ('qa', 'completion')),
  constraint training_datasets_content_has_1_byte_to_16_mib
    check (octet_length(content) between 1 and 16777216),
  constraint training_datasets_examples_is_positive check (examples > 0),
  constraint training_datasets_tokens_is_positive check (tokens > 0),
  constraint training_datasets_encoding_has_1_to_50_characters check (char_length(encoding) between 1 and 50)
);

comment on table public.training_datasets is 'Examples to train a model on.';
comment on column public.training_datasets.request_id is
  'The same for every attempt at one request, so that all of them find one data set.';
comment on column public.training_datasets.content is 'JSON Lines: one example a line.';
comment on column public.training_datasets.tokens is 'Tokens of all examples together, in the named encoding.';

create table public.training_dataset_documents (
  user_id uuid not null default auth.uid(),
  dataset_id uuid not null,
  document_id uuid not null,
  constraint training_dataset_documents_pkey primary key (user_id, dataset_id, document_id),
  constraint training_dataset_documents_dataset_fkey foreign key (user_id, dataset_id)
    references public.training_datasets (user_id, id) on delete cascade,
  constraint training_dataset_documents_document_fkey foreign key (user_id, document_id)
    references public.documents (user_id, id) on delete cascade
);

comment on table public.training_dataset_documents is 'Which documents a data set was made from.';

create index training_dataset_documents_user_id_document_id_idx
  on public.training_dataset_documents (user_id, document_id);

create table public.training_jobs (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  request_id text not null,
  dataset_id uuid not null,
  model text not null,
  status text not null default 'submitting',
  provider_file_id text,
  provider_job_id text,
  error_message text,
  created_at timestamptz not null default now(),
  constraint training_jobs_pkey primary key (id),
  constraint training_jobs_user_id_request_id_key unique (user_id, request_id),
  constraint training_jobs_dataset_fkey foreign key (user_id, dataset_id)
    references public.training_datasets (user_id, id) on delete cascade,
  constraint training_jobs_request_id_has_1_to_256_characters check (char_length(request_id) between 1 and 256),
  constraint training_jobs_model_has_1_to_200_characters check (char_length(model) between 1 and 200),
  constraint training_jobs_status_is_known check (status in ('submitting', 'submitted', 'failed')),
  constraint training_jobs_submitted_has_provider_job_id
    check (status <> 'submitted' or provider_job_id is not null),
  constraint training_jobs_failed_has_error_message check (status <> 'failed' or error_message is not null),
  constraint training_jobs_provider_ids_have_at_most_200_characters
    check (char_length(provider_file_id) <= 200 and char_length(provider_job_id) <= 200),
  constraint training_jobs_error_message_has_at_most_500_characters check (char_length(error_message) <= 500)
);

comment on table public.training_jobs is 'Jobs handed to a training provider.';
comment on column public.training_jobs.request_id is
  'The same for every attempt at one request, so that all of them find one job.';
comment on column public.training_jobs.status is
  'submitting: the provider may or may not have it; submitted: it has; failed: the last attempt did not get through.';

create index training_jobs_user_id_dataset_id_idx on public.training_jobs (user_id, dataset_id);

alter table public.training_datasets enable row level security;
alter table public.training_dataset_documents enable row level security;
alter table public.training_jobs enable row level security;

create policy training_datasets_select_own on public.training_datasets
  for select to authenticated using ((select auth.uid()) = user_id);
create policy training_datasets_insert_own on public.training_datasets
  for insert to authenticated with check ((select auth.uid()) = user_id);

create policy training_dataset_documents_select_own on public.training_dataset_documents
  for select to authenticated using ((select auth.uid()) = user_id);
create policy training_dataset_documents_insert_own on public.training_dataset_documents
  for insert to authenticated with check ((select auth.uid()) = user_id);

create policy training_jobs_select_own on public.training_jobs
  for select to authenticated using ((select auth.uid()) = user_id);
create policy training_jobs_insert_own on public.training_jobs
  for insert to authenticated with check ((select auth.uid()) = user_id);
create policy training_jobs_update_own on public.training_jobs
  for update to authenticated using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);

revoke all on public.training_datasets, public.training_dataset_documents, public.training_jobs
  from public, anon, authenticated, service_role;
grant select, insert on public.training_datasets, public.training_dataset_documents to authenticated;
grant select, insert, update (status, provider_file_id, provider_job_id, error_message)
  on public.training_jobs to authenticated;
grant select, insert, update, delete
  on public.training_datasets, public.training_dataset_documents, public.training_jobs
  to service_role;

-- The extracted text of documents, one row each in the order asked for; unknown ones are left out.
-- One row a document, because the API cuts a long list of chunks off at its row limit.
create function public.read_processed_documents(p_document_ids uuid[], p_max_characters bigint)
returns table (id uuid, title text, mime_type text, characters integer, content text)
language sql
stable
security invoker
set search_path = ''
as $$
  with measured as (
    -- not by the last offset: a user can write chunks that stand over one another
    select d.id, d.user_id, d.title, d.mime_type, sum(c.end_offset - c.start_offset)::integer as characters
    from public.documents as d
    left join public.document_chunks as c on c.user_id = d.user_id and c.document_id = d.id
    where d.id = any (p_document_ids)
    group by d.id
  )
  select
    m.id,
    m.title,
    m.mime_type,
    m.characters,
    case
      when sum(m.characters) over () <= p_max_characters then (
        select string_agg(c.content, '' order by c.position)
        from public.document_chunks as c
        where c.user_id = m.user_id and c.document_id = m.id
      )
    end
  from measured as m
  order by array_position(p_document_ids, m.id);
$$;

comment on function public.read_processed_documents(uuid[], bigint) is
  'The extracted text of documents. Characters null: not processed yet. Content null: together over the limit.';

-- Stores a data set and what it was made from, both or neither, and once for a request id.
create function public.store_training_dataset(
  p_document_ids uuid[],
  p_format text,
  p_content text,
  p_examples integer,
  p_tokens integer,
  p_encoding text,
  p_request_id text default null
)
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_dataset_id uuid;
begin
  insert into public.training_datasets (request_id, format, content, examples, tokens, encoding)
  values (
    coalesce(p_request_id, gen_random_uuid()::text), p_format, p_content, p_examples, p_tokens, p_encoding
  )
  on conflict (user_id, request_id) do nothing
  returning id into v_dataset_id;

  if not found then
    select d.id into strict v_dataset_id
    from public.training_datasets as d
    where d.user_id = auth.uid() and d.request_id = p_request_id;

    return v_dataset_id;
  end if;

  insert into public.training_dataset_documents (dataset_id, document_id)
  select v_dataset_id, d.document_id
  from unnest(p_document_ids) as d (document_id);

  return v_dataset_id;
end;
$$;

comment on function public.store_training_dataset(uuid[], text, text, integer, integer, text, text) is
  'Stores a data set with the documents it was made from, once for a request id; answers its id. SQLSTATE 23503: no such document.';

revoke all on function public.read_processed_documents(uuid[], bigint) from public, anon, authenticated, service_role;
revoke all on function public.store_training_dataset(uuid[], text, text, integer, integer, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.read_processed_documents(uuid[], bigint) to authenticated, service_role;
grant execute on function public.store_training_dataset(uuid[], text, text, integer, integer, text, text) to authenticated;
