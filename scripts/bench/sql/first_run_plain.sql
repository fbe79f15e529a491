\if :picked = 0
select (array[:user0, :user1, :user2, :user3])[1 + :client_id] as user \gset
\set picked 1
\endif
\set n random(1, 9000000000000000000)
insert into public.bench_plain (user_id, scope, key) values (:user, 'bench', :n);
update public.bench_plain
set status = 'completed', status_code = 200, response = :body, headers = :headers
where user_id = :user and scope = 'bench' and key = :n;
