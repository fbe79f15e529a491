-- the same on the table that one writes by hand
\set i :i + 1
\if :i <= :most
\set k abs(hash(:i * 1000 + :client_id))
\set u :k % :users
insert into public.bench_plain (user_id, scope, key)
values (('00000000-0000-4000-8000-' || lpad(:u::text, 12, '0'))::uuid, 'bench', lpad(:k::text, 36, '0'));
\endif
\if :i > :open
\set k abs(hash((:i - :open) * 1000 + :client_id))
\set u :k % :users
update public.bench_plain
set status = 'completed', status_code = 200, response = :body, headers = :headers
where user_id = ('00000000-0000-4000-8000-' || lpad(:u::text, 12, '0'))::uuid and scope = 'bench'
  and key = lpad(:k::text, 36, '0');
\endif
