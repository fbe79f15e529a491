-- Documents, the text extracted from them, and one row for every time that was done.
--
-- Writing happens as the caller, under row level security, and not in a security definer function:
-- were the edge function to name the wrong user, the database would refuse. The price is that a user
-- can write their own rows past the function; they reach nobody else's, and the constraints below
-- hold for these rows too.
--
-- Keys start with user_id, so that the unique index of a table also serves its policies and the
-- foreign keys: a row cannot point at another user's document, whoever writes it.

create table public.documents (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  title text not null,
  mime_type text not null,
  content text not null,
  created_at timestamptz not null default now(),
  constraint documents_pkey primary key (id),
  constraint documents_user_id_id_key unique (user_id, id),
  constraint documents_title_has_1_to_200_characters check (char_length(title) between 1 and 200),
  constraint documents_mime_type_has_3_to_100_characters check (char_length(mime_type) between 3 and 100),
  -- 10 MiB, which base64 turns into 13,981,016 characters; the function draws the finer line per type.
  constraint documents_content_has_at_most_10_mib check (octet_length(content) <= 13981016)
);

comment on table public.documents is 'What users hand in. Content never changes: hand in a new document instead.';
comment on column public.documents.content is
  'The file: as text where its type is text, in base64 where it is PDF or DOCX.';

create table public.document_chunks (
  user_id uuid not null default auth.uid(),
  document_id uuid not null,
  position integer not null,
  start_offset integer not null,
  end_offset integer not null,
  content text not null,
  sha256 text not null,
  constraint document_chunks_pkey primary key (user_id, document_id, position),
  constraint document_chunks_document_fkey foreign key (user_id, document_id)
    references public.documents (user_id, id) on delete cascade,
  constraint document_chunks_position_is_not_negative check (position >= 0),
  constraint document_chunks_start_offset_is_not_negative check (start_offset >= 0),
  constraint document_chunks_has_1_to_8000_characters check (char_length(content) between 1 and 8000),
  constraint document_chunks_offsets_span_content check (end_offset - start_offset = char_length(content)),
  constraint document_chunks_sha256_is_of_content
    check (sha256 = encode(sha256(convert_to(content, 'UTF8')), 'hex'))
);

comment on table public.document_chunks is
  'The extracted text of a document: its chunks in order of position are the text, without gap or overlap.';
comment on column public.document_chunks.start_offset is 'In characters (code points) from the start of the extracted text.';

create table public.processing_jobs (
  id uuid not null default gen_random_uuid(),
  user_id uuid not null default auth.uid(),
  request_id text not null default gen_random_uuid()::text,
  document_id uuid not null,
  status text not null default 'completed',
  chunk_count integer not null,
  characters integer not null,
  created_at timestamptz not null default now(),
  constraint processing_jobs_pkey primary key (id),
  constraint processing_jobs_user_id_request_id_key unique (user_id, request_id),
  constraint processing_jobs_document_fkey foreign key (user_id, document_id)
    references public.documents (user_id, id) on delete cascade,
  -- A job is recorded together with its result or not at all, so nothing else is ever to be seen.
  constraint processing_jobs_request_id_has_1_to_256_characters check (char_length(request_id) between 1 and 256),
  constraint processing_jobs_status_is_completed check (status = 'completed'),
  constraint processing_jobs_chunk_count_is_positive check (chunk_count > 0),
  constraint processing_jobs_characters_cover_chunks check (characters >= chunk_count)
);

comment on table public.processing_jobs is 'One row for each time a document was processed.';
comment on column public.processing_jobs.request_id is
  'The same for every attempt at one request, so that all of them find one job.';

create index processing_jobs_user_id_document_id_idx on public.processing_jobs (user_id, document_id);

alter table public.documents enable row level security;
alter table public.document_chunks enable row level security;
alter table public.processing_jobs enable row level security;

create policy documents_select_own on public.documents
  for select to authenticated using ((select auth.uid()) = user_id);
create policy documents_insert_own on public.documents
  for insert to authenticated with check ((select auth.uid()) = user_id);
create policy documents_update_own on public.documents
  for update to authenticated using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
create policy documents_delete_own on public.documents
  for delete to authenticated using ((select auth.uid()) = user_id);

create policy document_chunks_select_own on public.document_chunks
  for select to authenticated using ((select auth.uid()) = user_id);
create policy document_chunks_insert_own on public.document_chunks
  for insert to authenticated with check ((select auth.uid()) = user_id);
create policy document_chunks_delete_own on public.document_chunks
  for delete to authenticated using ((select auth.uid()) = user_id);

create policy processing_jobs_select_own on public.processing_jobs
  for select to authenticated using ((select auth.uid()) = user_id);
create policy processing_jobs_insert_own on public.processing_jobs
  for insert to authenticated with check ((select auth.uid()) = user_id);

revoke all on public.documents, public.document_chunks, public.processing_jobs
  from public, anon, authenticated, service_role;
grant select, insert, delete, update (title) on public.documents to authenticated;
grant select, insert, delete on public.document_chunks to authenticated;
grant select, insert on public.processing_jobs to authenticated;
grant select, insert, update, delete on public.documents, public.document_chunks, public.processing_jobs
  to service_role;

-- Replaces the chunks of a document and records the job, both or neither, and once for a request id:
-- an attempt whose worker died before its answer was recorded is followed by another.
create function public.store_processed_document(p_document_id uuid, p_chunks jsonb, p_request_id text default null)
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_user_id uuid;
  v_job_id uuid;
begin
  -- The lock makes two jobs on one document replace its chunks one after the other.
  select d.user_id into v_user_id
  from public.documents as d
  where d.id = p_document_id
  for no key update;

  if not found then
    raise exception 'cannot store chunks: there is no document %', p_document_id using errcode = 'PT404';
  end if;

  insert into public.processing_jobs (user_id, request_id, document_id, chunk_count, characters)
  select
    v_user_id, coalesce(p_request_id, gen_random_uuid()::text), p_document_id, count(*), coalesce(max(c.end_offset), 0)
  from jsonb_to_recordset(p_chunks) as c (end_offset integer)
  on conflict (user_id, request_id) do nothing
  returning id into v_job_id;

  if not found then
    select j.id into strict v_job_id
    from public.processing_jobs as j
    where j.user_id = v_user_id and j.request_id = p_request_id;

    return v_job_id;
  end if;

  delete from public.document_chunks as c
  where c.user_id = v_user_id and c.document_id = p_document_id;

  insert into public.document_chunks (user_id, document_id, position, start_offset, end_offset, content, sha256)
  select v_user_id, p_document_id, c.position, c.start_offset, c.end_offset, c.content, c.sha256
  from jsonb_to_recordset(p_chunks) as c (
    position integer, start_offset integer, end_offset integer, content text, sha256 text
  );

  return v_job_id;
end;
$$;

comment on function public.store_processed_document(uuid, jsonb, text) is
  'Replaces the chunks of a document and records the job, once for a request id; answers the job id. SQLSTATE PT404: no such document.';

-- The same for a file that is not in documents yet: the document, its chunks and the job, all or nothing.
create function public.store_uploaded_document(
  p_title text,
  p_mime_type text,
  p_content text,
  p_chunks jsonb,
  p_request_id text default null
)
returns table (document_id uuid, job_id uuid)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_inserted_id uuid;
begin
  insert into public.documents (title, mime_type, content)
  values (p_title, p_mime_type, p_content)
  returning id into v_inserted_id;

  job_id := public.store_processed_document(v_inserted_id, p_chunks, p_request_id);

  select j.document_id into strict document_id
  from public.processing_jobs as j
  where j.id = job_id;

  -- An earlier attempt has stored the file already. Looking first would not do: that attempt may
  -- commit between the look and the insert.
  if document_id <> v_inserted_id then
    delete from public.documents as d where d.id = v_inserted_id;
  end if;

  return next;
end;
$$;

comment on function public.store_uploaded_document(text, text, text, jsonb, text) is
  'Stores an uploaded file with its chunks and records the job, once for a request id; answers the ids of both.';

revoke all on function public.store_processed_document(uuid, jsonb, text) from public, anon, authenticated, service_role;
revoke all on function public.store_uploaded_document(text, text, text, jsonb, text)
  from public, anon, authenticated, service_role;
grant execute on function public.store_processed_document(uuid, jsonb, text) to authenticated, service_role;
grant execute on function public.store_uploaded_document(text, text, text, jsonb, text) to authenticated;
