-- Who may do what: everything in the catalogue, against the list of what is granted on purpose. What is
-- added is covered by being there; it may be used by nobody until it is in this list.
begin;
set local client_min_messages = warning;
select plan(19);

create view pg_temp.objects as
select 'schema' as kind, n.nspname::text as name, n.oid, array['usage', 'create'] as privileges
from pg_namespace as n
where n.nspname in ('public', 'idempotency')
union all
select
  case p.pronamespace when 'public'::regnamespace then 'function' else 'idempotency function' end,
  p.proname, p.oid, array['execute']
from pg_proc as p
where p.pronamespace in ('public'::regnamespace, 'idempotency'::regnamespace)
union all
-- views as well
select
  case when c.relkind = 'S' then 'sequence' else 'table' end, c.oid::regclass::text, c.oid,
  case
    when c.relkind = 'S' then array['usage', 'select', 'update']
    else array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']
  end
from pg_class as c
where c.relnamespace in ('public'::regnamespace, 'idempotency'::regnamespace)
  and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
union all
select 'type', t.oid::regtype::text, t.oid, array['usage']
from pg_type as t
left join pg_class as c on c.oid = t.typrelid
where t.typnamespace in ('public'::regnamespace, 'idempotency'::regnamespace)
  and (t.typtype in ('e', 'd', 'r') or c.relkind = 'c');

create view pg_temp.roles as
select * from (values ('anon'), ('authenticated'), ('service_role')) as r (role);

-- through whatever grant, to whomever: has_…_privilege counts what everybody has, too
create view pg_temp.may as
select r.role, o.kind, o.name, string_agg(p.privilege, ' ' order by p.place) as privileges
from pg_temp.objects as o
cross join pg_temp.roles as r
cross join lateral unnest(o.privileges) with ordinality as p (privilege, place)
where case
  when o.kind = 'schema' then has_schema_privilege(r.role, o.oid, p.privilege)
  when o.kind ~ 'function' then has_function_privilege(r.role, o.oid, p.privilege)
  when o.kind = 'table' then has_table_privilege(r.role, o.oid, p.privilege)
  when o.kind = 'sequence' then has_sequence_privilege(r.role, o.oid, p.privilege)
  else has_type_privilege(r.role, o.oid, p.privilege)
end
group by r.role, o.kind, o.name, o.oid;

-- where a role has the privilege for some columns, and not for the table
create view pg_temp.may_columns as
select r.role, o.name, p.privilege, string_agg(a.attname, ' ' order by a.attname collate "C") as columns
from pg_temp.objects as o
join pg_attribute as a on a.attrelid = o.oid and a.attnum > 0 and not a.attisdropped
cross join pg_temp.roles as r
cross join lateral unnest(array['select', 'insert', 'update', 'references']) as p (privilege)
where o.kind = 'table'
  and has_column_privilege(r.role, o.oid, a.attnum, p.privilege)
  and not has_table_privilege(r.role, o.oid, p.privilege)
group by r.role, o.name, p.privilege;

create view pg_temp.granted as
select g.role, g.kind, name, g.privileges
from (values
  ('anon', 'schema', 'usage', 'public'),
  ('authenticated', 'schema', 'usage', 'public idempotency'),
  ('service_role', 'schema', 'usage', 'public idempotency'),

  -- the ledger
  ('authenticated', 'function', 'execute', 'get_idempotency_status'),
  ('authenticated', 'idempotency function', 'execute', 'signed_in_owner count_statistics'),
  ('authenticated', 'table', 'select', 'v_idempotency_stats idempotency.kept_statistics idempotency.replay_counts'),
  (
    'service_role', 'function', 'execute',
    'idempotency_claim idempotency_renew idempotency_checkpoint idempotency_complete idempotency_fail
    idempotency_claim_many idempotency_settle_many idempotency_count_replays idempotency_notify
    get_idempotency_status idempotency_stuck_keys idempotency_resolve cleanup_expired_idempotency_keys
    idempotency_refresh_statistics idempotency_recount_statistics idempotency_scope_statistics
    idempotency_hourly_statistics idempotency_upkeep idempotency_job_runs idempotency_recent_keys
    idempotency_read_key idempotency_health'
  ),
  ('service_role', 'idempotency function', 'execute', 'signed_in_owner count_statistics version held_keys first_fence_since forget_owner'),
  ('service_role', 'sequence', 'usage', 'idempotency.fence_seq'),
  ('service_role', 'table', 'select', 'v_idempotency_stats'),
  (
    'service_role', 'table', 'select insert update delete',
    'idempotency_keys idempotency.full_owners idempotency.replay_counts idempotency.rollup idempotency.hours
    idempotency.durations idempotency.live_keys idempotency.open_keys idempotency.kept_statistics'
  ),
  ('service_role', 'table', 'select update', 'idempotency.limits'),

  -- the other parts and the examples
  (
    'authenticated', 'function', 'execute',
    'store_uploaded_document store_processed_document read_processed_documents store_training_dataset
    reserve_gpu_hours create_event update_event cancel_event create_business my_business_ids pos_perform pos_seller my_recognition_address
    send_recognition share_recognition create_quotation update_quotation archive_quotation change_quotation_status hold_quotation lock_quotation
    quotation_document quotation_may_become write_quotation_lines'
  ),
  (
    'service_role', 'function', 'execute',
    'store_processed_document read_processed_documents next_document_number get_next_invoice_number
    get_next_receipt_number get_next_transfer_number get_next_return_number pos_seller quotation_document
    quotation_may_become health_report'
  ),
  (
    'authenticated', 'table', 'select',
    'businesses credit_balances credit_entries document_sequences event_edits events gpu_pools gpu_reservations
    inventory_count_lines inventory_counts invoice_series locations payments plans products quotation_history quotations recognitions
    refund_lines refund_payments refunds sale_lines sale_payments sales
    stock stock_movements tax_registrations user_plans v_document_numbers v_invoices'
  ),
  ('authenticated', 'table', 'select insert', 'processing_jobs training_dataset_documents training_datasets training_jobs'),
  ('authenticated', 'table', 'select delete', 'inventory_corrections memberships purchase_receipts quotation_lines
    recognition_addresses recognition_shares supplier_returns transfers'),
  ('authenticated', 'table', 'select insert delete', 'document_chunks documents inventory_correction_lines
    purchase_receipt_lines supplier_return_lines transfer_lines'),
  (
    'service_role', 'table', 'select',
    'credit_balances document_sequences event_edits inventory_correction_lines inventory_corrections inventory_count_lines
    inventory_counts invoice_series purchase_receipt_lines purchase_receipts quotation_history refund_lines refund_payments refunds
    sale_lines sale_payments sales stock stock_movements supplier_return_lines supplier_returns tax_registrations transfer_lines transfers
    v_document_numbers v_invoices'
  ),
  ('service_role', 'table', 'select insert', 'credit_entries'),
  ('service_role', 'table', 'select insert delete', 'gpu_reservations'),
  ('service_role', 'table', 'select delete', 'quotations quotation_lines'),
  ('anon', 'function', 'execute', 'archived_rows_included'),
  (
    'authenticated', 'function', 'execute',
    'archived_rows_included my_organization_ids my_owner_ids require_membership create_organization transfer_organization'
  ),
  ('authenticated', 'function', 'execute', 'crm_create crm_change crm_refuse'),
  ('authenticated', 'table', 'select delete', 'organizations organization_members'),
  ('service_role', 'table', 'select insert update delete', 'organizations organization_members'),
  (
    'authenticated', 'table', 'select',
    'crm_audit crm_agents crm_bookings crm_clients crm_daily_tours crm_entrance_fees crm_extra_expenses
    crm_guides crm_hotels crm_invoices_payable crm_invoices_receivable crm_providers crm_restaurants crm_roles
    crm_transfers crm_users crm_vehicles'
  ),
  (
    'service_role', 'table', 'select delete',
    'crm_audit crm_agents crm_bookings crm_clients crm_daily_tours crm_entrance_fees crm_extra_expenses
    crm_guides crm_hotels crm_invoices_payable crm_invoices_receivable crm_providers crm_restaurants crm_roles
    crm_transfers crm_users crm_vehicles'
  ),
  (
    'service_role', 'table', 'select insert update delete',
    'businesses document_chunks documents events gpu_pools locations memberships payments plans
    processing_jobs products recognition_addresses recognition_shares recognitions training_dataset_documents training_datasets
    training_jobs user_plans'
  )
) as g (role, kind, privileges, names)
cross join lateral regexp_split_to_table(g.names, '\s+') as name
union all
-- Postgres gives everybody the use of a type: to declare columns of it, which nobody here can, and to
-- take a column of it into a result
select r.role, 'type', name, 'usage'
from pg_temp.roles as r
cross join unnest(array['idempotency_answer', 'idempotency_item_answer', 'pos_line']) as name
union all
select r.role, 'type', 'idempotency.' || name, 'usage'
from pg_temp.roles as r
cross join unnest(array[
  'key', 'scope', 'owner', 'fingerprint', 'status', 'attempt', 'crashed_attempts', 'status_code', 'response',
  'response_encoding', 'response_headers', 'error_message', 'steps', 'metadata'
]) as name;

create view pg_temp.granted_columns as
select * from (values
  (
    'authenticated', 'idempotency_keys', 'select',
    'attempt claimed_at completed_at created_at expires_at idempotency_key lease_expires_at response response_encoding response_headers scope status status_code'
  ),
  ('authenticated', 'businesses', 'update', 'name time_zone'),
  ('authenticated', 'documents', 'update', 'title'),
  ('authenticated', 'events', 'update', 'archived_at'),
  ('authenticated', 'gpu_reservations', 'insert', 'hours pool_id'),
  ('authenticated', 'inventory_correction_lines', 'update', 'quantity'),
  ('authenticated', 'inventory_corrections', 'insert', 'business_id id location_id reason'),
  ('authenticated', 'locations', 'insert', 'business_id id name'),
  ('authenticated', 'locations', 'update', 'name'),
  ('authenticated', 'memberships', 'insert', 'business_id role user_id'),
  ('authenticated', 'memberships', 'update', 'role'),
  ('authenticated', 'organizations', 'update', 'name'),
  ('authenticated', 'organization_members', 'insert', 'organization_id role user_id'),
  ('authenticated', 'organization_members', 'update', 'role'),
  ('authenticated', 'products', 'insert', 'business_id id name price sku tax_rate zero_rated'),
  ('authenticated', 'products', 'update', 'name price sku tax_rate zero_rated'),
  ('authenticated', 'purchase_receipt_lines', 'update', 'quantity'),
  ('authenticated', 'purchase_receipts', 'insert', 'business_id id location_id supplier'),
  ('authenticated', 'quotation_lines', 'insert', 'description position quantity quotation_id tax_basis_points unit_price_minor'),
  ('authenticated', 'quotations', 'insert', 'currency customer_name organization_id request_id valid_until'),
  ('authenticated', 'quotations', 'update', 'archived_at currency customer_name status valid_until'),
  ('authenticated', 'recognition_addresses', 'insert', 'user_id'),
  ('authenticated', 'recognition_shares', 'insert', 'evidence_weight recipient_address recipient_id recognition_id request_id'),
  ('authenticated', 'recognitions', 'insert', 'category message points recipient_address recipient_id request_id tags'),
  ('authenticated', 'supplier_return_lines', 'update', 'quantity'),
  ('authenticated', 'supplier_returns', 'insert', 'business_id id location_id supplier'),
  ('authenticated', 'training_jobs', 'update', 'error_message provider_file_id provider_job_id status'),
  ('authenticated', 'transfer_lines', 'update', 'quantity'),
  ('authenticated', 'transfers', 'insert', 'business_id from_location_id id to_location_id'),
  ('service_role', 'quotation_lines', 'insert', 'description position quantity quotation_id tax_basis_points unit_price_minor'),
  ('service_role', 'quotations', 'insert', 'currency customer_name organization_id request_id user_id valid_until'),
  ('service_role', 'quotations', 'update', 'archived_at currency customer_name status valid_until')
) as g (role, name, privilege, columns)
union all
-- the resources of the CRM: their own columns, and those that say whose a new row is and by which request
select r.role, g.name, p.privilege, (
  select string_agg(c, ' ' order by c collate "C")
  from regexp_split_to_table(
    g.columns || case
      when p.privilege = 'update' then ' archived_at'
      when r.role = 'authenticated' then ' organization_id request_id'
      else ' organization_id request_id user_id'
    end, '\s+'
  ) as c
)
from (values ('authenticated'), ('service_role')) as r (role), (values ('insert'), ('update')) as p (privilege), (values
  ('crm_agents', 'commission_basis_points email name phone'),
  ('crm_bookings', 'agent_id client_id currency ends_on starts_on status title total_minor travellers'),
  ('crm_clients', 'country email name notes phone'),
  ('crm_daily_tours', 'booking_id currency guide_id name places price_minor takes_place_on vehicle_id'),
  ('crm_entrance_fees', 'adult_minor child_minor city currency name valid_from valid_until'),
  ('crm_extra_expenses', 'amount_minor booking_id currency description spent_on'),
  ('crm_guides', 'currency daily_rate_minor email languages name phone'),
  ('crm_hotels', 'city country name phone provider_id stars'),
  ('crm_invoices_payable', 'amount_minor booking_id currency due_on issued_on number paid_minor provider_id status'),
  ('crm_invoices_receivable', 'amount_minor booking_id client_id currency due_on issued_on number paid_minor status'),
  ('crm_providers', 'email name phone tax_number'),
  ('crm_restaurants', 'city country cuisine name phone seats'),
  ('crm_roles', 'name permissions'),
  ('crm_transfers', 'booking_id departs_at from_place passengers to_place vehicle_id'),
  ('crm_users', 'account_id email full_name phone role_id'),
  ('crm_vehicles', 'model plate provider_id seats')
) as g (name, columns);

-- bag, not set: a second function of a name is another one
select bag_eq('select * from pg_temp.may', 'select * from pg_temp.granted', 'each role may do what is in the list, and nothing else');
select set_eq('select * from pg_temp.may_columns', 'select * from pg_temp.granted_columns', 'and with single columns as well');
select is_empty(
  $$
    select r.role, a.attname
    from pg_attribute as a, (values ('anon'), ('authenticated')) as r (role)
    where a.attrelid = 'public.idempotency_keys'::regclass
      and a.attname in ('owner', 'user_id', 'owner_token', 'past_owners', 'fence', 'steps', 'crashed_attempts', 'error_message', 'metadata', 'request_fingerprint')
      and has_column_privilege(r.role, a.attrelid, a.attnum, 'select')
  $$,
  'nobody who uses the project sees what an attempt proves itself with, or what was written for the team'
);

-- What users reach with its owner's rights: each looks at who is signed in.
create view pg_temp.open_doors as
select p.proname::text
from pg_proc as p
join pg_temp.objects as o on o.oid = p.oid and o.kind ~ 'function'
where p.prosecdef and (has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute'));
select set_eq(
  'select * from pg_temp.open_doors',
  array[
    'get_idempotency_status', 'reserve_gpu_hours', 'create_event', 'update_event', 'cancel_event', 'create_business', 'my_business_ids', 'pos_perform',
    'create_organization', 'my_organization_ids', 'require_membership', 'transfer_organization'
  ],
  'few functions lend users their owner''s rights'
);

create view pg_temp.shared_paths as
select p.oid::regprocedure as function
from pg_proc as p
join pg_temp.objects as o on o.oid = p.oid and o.kind ~ 'function'
where not coalesce(p.proconfig @> array['search_path=""'], false);
select is_empty('select * from pg_temp.shared_paths', 'every function finds what it names where it says');

create view pg_temp.bare_tables as
select c.oid::regclass as name, c.relrowsecurity as has_policies, k.oid is not null as has_key
from pg_class as c
left join pg_constraint as k on k.conrelid = c.oid and k.contype = 'p'
where c.relnamespace in ('public'::regnamespace, 'idempotency'::regnamespace)
  and c.relkind in ('r', 'p')
  and (not c.relrowsecurity or k.oid is null);
select is_empty('select * from pg_temp.bare_tables', 'every table has row level security and a primary key');

create view pg_temp.open_policies as
select p.tablename::text as name, p.policyname
from pg_policies as p
where p.schemaname in ('public', 'idempotency')
  and p.permissive = 'PERMISSIVE'
  and p.roles && array['public', 'anon', 'authenticated']::name[]
  and 'true' in (p.qual, p.with_check);
select set_eq('select name from pg_temp.open_policies', array['gpu_pools', 'plans'], 'every other policy asks whose a row is');

create view pg_temp.views_of_their_owner as
select c.oid::regclass as name
from pg_class as c
where c.relnamespace in ('public'::regnamespace, 'idempotency'::regnamespace)
  and (c.relkind = 'm' or c.relkind = 'v' and not coalesce(c.reloptions @> array['security_invoker=true'], false));
select is_empty('select * from pg_temp.views_of_their_owner', 'every view shows its reader''s rows');

-- what a careless migration leaves, in a project that grants everything by default
create function public.left_open() returns void language sql security definer as 'select';
create function idempotency.left_open() returns void language sql set search_path = '' as 'select';
create function public.idempotency_claim() returns void language sql set search_path = '' as 'select';
create table public.left_table (note text);
create policy left_policy on public.left_table using (true);
create view public.left_view as select 1 as one;
create sequence public.left_sequence;
create type public.left_type as enum ('a');
alter table public.idempotency_keys add column left_column text;
grant select (left_column) on public.idempotency_keys to authenticated;
revoke all on public.left_view from authenticated;
grant select on public.left_view to authenticated;

create view pg_temp.found as
select role, kind, name from (table pg_temp.may except all table pg_temp.granted) as m;
select set_eq(
  $$select name from pg_temp.found$$,
  array['left_open', 'idempotency_claim', 'left_table', 'left_view', 'left_sequence', 'left_type'],
  'each is found'
);
select set_eq(
  $$select role from pg_temp.found where kind = 'function' and name = 'left_open'$$, array['anon', 'authenticated', 'service_role'],
  'a function that anybody may call'
);
select is(
  (select count(*) from pg_temp.found where kind = 'idempotency function'), 3::bigint, 'in either schema'
);
select set_has($$select * from pg_temp.found$$, $$values ('anon', 'function', 'idempotency_claim')$$, 'or under a name that is in the list');
select set_has(
  $$select role, name, privileges from pg_temp.may$$,
  $$values ('anon', 'left_table', 'select insert update delete truncate references trigger'), ('authenticated', 'left_view', 'select')$$,
  'tables and views with each privilege'
);
select matches(
  (select columns from pg_temp.may_columns where name = 'idempotency_keys'), 'left_column', 'a column'
);
select set_has('select * from pg_temp.open_doors', $$values ('left_open')$$, 'its owner''s rights');
select results_eq('select function::text from pg_temp.shared_paths', $$values ('left_open()')$$, 'its search path');
select results_eq('select name::text, has_policies, has_key from pg_temp.bare_tables', $$values ('left_table', false, false)$$, 'what the table lacks');
select set_has('select * from pg_temp.open_policies', $$values ('left_table', 'left_policy'::name)$$, 'whom a policy lets in');
select results_eq('select name::text from pg_temp.views_of_their_owner', $$values ('left_view')$$, 'and whose rows the view shows');

select * from finish();
rollback;
