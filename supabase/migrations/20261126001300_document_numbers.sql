-- Every number in use, for the queries that look for gaps and duplicates.

-- security_invoker: the reader's row level security decides which businesses are seen
create view public.v_document_numbers with (security_invoker = true) as
select
  d.business_id,
  d.kind,
  d.number,
  split_part(d.number, '-', 2) as period,
  split_part(d.number, '-', 3)::bigint as counter,
  d.document_id
from (
  select s.business_id, 'invoice' as kind, s.number, s.id as document_id
  from public.sales as s
  union all
  select r.business_id, 'return', r.number, r.id
  from public.refunds as r
  union all
  select r.business_id, 'receipt', r.number, r.id
  from public.purchase_receipts as r
  where r.number is not null
  union all
  select t.business_id, 'transfer', t.number, t.id
  from public.transfers as t
  where t.number is not null
) as d;

comment on view public.v_document_numbers is
  'One row per numbered document, over the businesses the reader may see; the number also in its parts.';

revoke all on table public.v_document_numbers from public, anon, authenticated, service_role;
grant select on table public.v_document_numbers to authenticated, service_role;
