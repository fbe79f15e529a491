-- Undoes 20261129111710_organizations.sql. Every organisation is lost; take back first what belongs to them.

drop function public.transfer_organization(uuid, uuid);
drop function public.create_organization(text, uuid);
drop table public.organization_members;
drop table public.organizations;
drop function public.organization_is_dissolved();
drop function public.organization_is_being_dissolved();
drop function public.organization_has_lost_its_owner();
drop function public.row_belongs_to_its_author();
drop function public.require_membership(uuid);
drop function public.my_owner_ids();
drop function public.my_organization_ids(text[]);
