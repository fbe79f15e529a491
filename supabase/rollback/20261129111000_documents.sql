-- Undoes 20261129111000_documents.sql. Every document and its text is lost; roll back training first.

drop function public.store_uploaded_document(text, text, text, jsonb, text);
drop function public.store_processed_document(uuid, jsonb, text);
drop table public.processing_jobs;
drop table public.document_chunks;
drop table public.documents;
