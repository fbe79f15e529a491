-- the key changes 200 times a second for all clients alike: each meets it fresh, or just inserted
insert into public.idempotency_keys (
  owner, user_id, scope, idempotency_key, request_fingerprint, owner_token, lease_expires_at, expires_at
)
values (
  :user0, :user0, 'bench', 'race-' || (extract(epoch from clock_timestamp()) * 200)::bigint, :fingerprint,
  gen_random_uuid(), now() + interval '60 seconds', now() + interval '1 day'
)
on conflict do nothing;
