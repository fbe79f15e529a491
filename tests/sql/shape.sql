-- The table's promises about any row, whoever writes it.
begin;
select plan(20);

insert into auth.users (id) values ('00000000-0000-4000-8000-00000000000a');
insert into public.idempotency_keys (owner, scope, idempotency_key, request_fingerprint, owner_token, lease_expires_at, expires_at)
values ('', 's', 'row', repeat('a', 64), gen_random_uuid(), now(), now() + interval '1 hour');

create function pg_temp.refused(p_set text, p_constraint text) returns text language plpgsql as $$
begin
  execute 'update public.idempotency_keys set ' || p_set || ' where idempotency_key = ''row''';
  return fail(p_constraint || ' let ' || left(p_set, 60) || ' through');
exception when check_violation then
  return ok(sqlerrm like '%"' || p_constraint || '"%', p_constraint);
end;
$$;

select pg_temp.refused($$idempotency_key = 'ab'$$, 'key_is_3_to_256_letters_digits_dashes_underscores');
select pg_temp.refused($$idempotency_key = 'a/b'$$, 'key_is_3_to_256_letters_digits_dashes_underscores');
select pg_temp.refused($$idempotency_key = 'abc' || chr(10)$$, 'key_is_3_to_256_letters_digits_dashes_underscores');
select pg_temp.refused($$scope = ''$$, 'scope_is_1_to_200_characters');
select pg_temp.refused($$request_fingerprint = repeat('A', 64)$$, 'fingerprint_is_64_lowercase_hex_digits');
select pg_temp.refused($$status = 'done', lease_expires_at = null, completed_at = now()$$, 'status_is_known');
select pg_temp.refused($$status = 'failed', lease_expires_at = null$$, 'processing_has_a_lease_and_else_an_end');
select pg_temp.refused($$completed_at = now()$$, 'processing_has_a_lease_and_else_an_end');
select pg_temp.refused($$owner = repeat('x', 256)$$, 'owner_is_at_most_255_characters');
select pg_temp.refused($$crashed_attempts = (select jsonb_agg(n) from generate_series(1, 101) as n)$$, 'crashed_attempts_are_at_most_100');
select pg_temp.refused($$attempt = 0$$, 'attempt_starts_at_1');
select pg_temp.refused($$lease_expires_at = null$$, 'processing_has_a_lease_and_else_an_end');
select pg_temp.refused($$status = 'completed', lease_expires_at = null, status_code = 200, response_encoding = 'none'$$, 'processing_has_a_lease_and_else_an_end');
select pg_temp.refused($$status = 'completed', lease_expires_at = null, completed_at = now(), status_code = 99, response_encoding = 'none'$$, 'status_code_is_an_http_status');
select pg_temp.refused($$metadata = '[]'$$, 'metadata_is_an_object_of_at_most_16_kib');
select pg_temp.refused($$steps = to_jsonb(repeat('x', 2000000))$$, 'steps_are_an_object_of_at_most_1_mib');

select throws_ok(
  $$
    insert into public.idempotency_keys (owner, scope, idempotency_key, request_fingerprint, owner_token, lease_expires_at, expires_at)
    values ('', 's', 'row', repeat('a', 64), gen_random_uuid(), now(), now() + interval '1 hour')
  $$,
  '23505', null, 'the project''s own keys collide as well'
);

select throws_ok(
  $$insert into idempotency.replay_counts (owner, scope, hour, replays) values ('', 's', now(), 0)$$,
  '23514', null, 'no row counts no replay'
);
select throws_ok(
  $$insert into idempotency.replay_counts (owner, scope, hour, replays) values ('', '', now(), 1)$$,
  '23514', null, 'or those of no scope'
);

update public.idempotency_keys set owner = '00000000-0000-4000-8000-00000000000a', user_id = '00000000-0000-4000-8000-00000000000a' where idempotency_key = 'row';
delete from auth.users where id = '00000000-0000-4000-8000-00000000000a';
select is_empty($$select from public.idempotency_keys where owner = '00000000-0000-4000-8000-00000000000a'$$, 'a user''s keys go with the user');

select * from finish();
rollback;
