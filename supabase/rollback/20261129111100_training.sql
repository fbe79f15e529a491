-- Undoes 20261129111100_training.sql. Every data set and the record of every training job is lost;
-- jobs already handed to the provider go on there.

drop function public.store_training_dataset(uuid[], text, text, integer, integer, text, text);
drop function public.read_processed_documents(uuid[], bigint);
drop table public.training_jobs;
drop table public.training_dataset_documents;
drop table public.training_datasets;
