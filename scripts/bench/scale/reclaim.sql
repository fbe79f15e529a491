-- a key that cleanup may be about to delete
\set e random(1, :expired)
\set f :e % :users
select outcome
from public.idempotency_claim(
  '00000000-0000-4000-8000-' || lpad(:f::text, 12, '0'), 'bench-expired', lpad(:e::text, 36, '0'),
  :fingerprint, :token, 60, 86400
);
