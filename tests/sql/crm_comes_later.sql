-- The resources of the CRM in a project that had organisations before.
begin;
select plan(1);

insert into public.organizations (id, name) values ('00000000-0000-4000-9000-000000000001', 'Travel Ltd');

\o /dev/null
\ir ../../supabase/rollback/20261129111900_crm.sql
\ir ../../supabase/migrations/20261129111900_crm.sql
\o

select results_eq(
  $$
    select r.name, r.permissions from public.crm_roles as r
    where r.organization_id = '00000000-0000-4000-9000-000000000001' and r.is_system
    order by cardinality(r.permissions)
  $$,
  $$
    values
      ('member', array['read', 'write']),
      ('admin', array['read', 'write', 'invite']),
      ('owner', array['read', 'write', 'invite', 'manage'])
  $$,
  'an organisation that was there before has the system''s roles'
);

select * from finish();
rollback;
