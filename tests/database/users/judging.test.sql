-- What is wrong with rows of people: forms, rights, and who is there already.
begin;
select plan(69);
select tests.set_up_actors();
update public.organization set name = 'Bolt & Co' where id = tests.org_id('bolt');
insert into public.organization (name, slug) values ('Twin', 'tests-twin-1'), ('Twin', 'tests-twin-2');
insert into private.settings (key, org_id, value) values ('users.may_confirm', tests.org_id('acme'), 'true');

-- As the worker asks: postgres, with the claims of whoever imports.
create function pg_temp.claim(p_nick text)
returns void
language sql
as $$
  select tests.assume('none', case p_nick
    when 'service' then '{"role": "service_role"}'
    else jsonb_build_object('sub', tests.user_id(p_nick), 'role', 'authenticated')
  end);
$$;
create function pg_temp.faults(p_mode text, p_rows jsonb, p_org text default 'acme')
returns setof text
language sql
as $$
  select format('%s %s %s', c.place, c.field, c.code)
  from private.check_users(tests.org_id(p_org), p_mode::public.import_mode,
    array(select r from jsonb_populate_recordset(null::private.user_row, p_rows) as r)) as c
  order by c.place, c.field
$$;
create function pg_temp.message(p_row jsonb, p_mode text default 'insert')
returns text
language sql
as $$
  select c.message
  from private.check_users(tests.org_id('acme'), p_mode::public.import_mode,
    array[jsonb_populate_record(null::private.user_row, p_row)]) as c
$$;

-- Addresses ------------------------------------------------------------------------------------------

select pg_temp.claim('ann');
select is_empty($$ select pg_temp.faults('insert', '[{"email": "new@example.test"}, {"email": "o''neil+x@mail.example.co.uk"}]') $$,
  'an address is enough');
select is(pg_temp.message(jsonb_build_object('email', e.email)), 'not an e-mail address: ' || e.reason, e.reason)
from (values
  ('a b@example.test', 'it has a blank in it'),
  ('example.test', 'it has no @'),
  ('a@b@example.test', 'it has more than one @'),
  ('@example.test', 'there is nothing before the @'),
  ('a@', 'there is nothing after the @'),
  ('jürgen@example.test', 'it has characters that are not ASCII'),
  ('a"b@example.test', 'a character before the @ is not allowed'),
  ('a@example', 'the domain has no dot'),
  ('a@-example.test', 'the domain is malformed'),
  ('a@example..test', 'the domain is malformed'),
  (repeat('a', 250) || '@example.test', 'longer than 255 bytes')
) as e (email, reason);

-- Passwords ------------------------------------------------------------------------------------------

select is(pg_temp.message(jsonb_build_object('email', 'new@example.test', 'password', p.password)), p.message, 'password: ' || coalesce(p.message, 'fine'))
from (values
  ('secret7', 'shorter than 8 characters'),
  ('secret78', null),
  (repeat('x', 72), null),
  (repeat('x', 73), 'longer than 72 bytes'),
  (repeat('ü', 37), 'longer than 72 bytes')
) as p (password, message);
insert into private.settings (key, org_id, value) values ('users.password_kinds', tests.org_id('acme'), '3'),
  ('users.password_min_length', tests.org_id('acme'), '10');
select is(pg_temp.message('{"email": "new@example.test", "password": "onlylower1"}'),
  'has fewer than 3 of: lower case, upper case, digits, others', 'strength is a setting');
select is(pg_temp.message('{"email": "new@example.test", "password": "Upper-lower"}'), null, 'three kinds are three kinds');
select is(pg_temp.message('{"email": "new@example.test", "password": "Upper-low"}'), 'shorter than 10 characters', 'so is length');
select results_eq($$ select pg_temp.faults('insert', '[{"email": "new@example.test", "password": "Upper-lower",
    "password_hash": "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"}]') $$,
  array['1 password_hash invalid_format'], 'password and hash exclude each other');
select is_empty($$ select c.value from private.check_users(tests.org_id('acme'), 'insert', array[
    jsonb_populate_record(null::private.user_row, '{"email": "n@example.test", "password": "short", "password_hash": "md5"}')]) as c
  where c.value is not null $$, 'no secret is quoted');

select is(private.is_password_hash(h.hash), h.is_one, h.what)
from (values
  ('$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy', true, 'bcrypt'),
  ('$2y$12$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy', true, 'bcrypt, as PHP has it'),
  ('$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhW', false, 'bcrypt, cut off'),
  ('$2b$15$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy', true, 'bcrypt of two seconds'),
  ('$2b$16$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy', false, 'bcrypt of more'),
  ('$2a$99$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy', false, 'bcrypt with a cost that it has not'),
  ('$argon2id$v=19$m=19456,t=2,p=1$YWJjZGVmZ2g$qLml1Fcl0rI7hZdGpUzqOtTfSZQGXTrGiK/QBpHgvFY', true, 'argon2id'),
  ('$argon2i$v=19$m=4096,t=3,p=1$YWJjZGVmZ2g$qLml1Fcl0rI7hZdGpUzqOtTfSZQGXTrGiK/QBpHgvFY', true, 'argon2i'),
  ('$argon2d$v=19$m=4096,t=3,p=1$YWJjZGVmZ2g$qLml1Fcl0rI7hZdGpUzqOtTfSZQGXTrGiK/QBpHgvFY', false, 'argon2d'),
  ('$argon2id$v=16$m=4096,t=3,p=1$YWJjZGVmZ2g$qLml1Fcl0rI7hZdGpUzqOtTfSZQGXTrGiK/QBpHgvFY', false, 'argon2 of an older version'),
  ('$argon2id$v=19$m=2097152,t=3,p=1$YWJjZGVmZ2g$qLml1Fcl0rI7hZdGpUzqOtTfSZQGXTrGiK/QBpHgvFY', false, 'argon2 with too much memory'),
  ('$argon2id$v=19$m=4096,t=21,p=1$YWJjZGVmZ2g$qLml1Fcl0rI7hZdGpUzqOtTfSZQGXTrGiK/QBpHgvFY', false, 'argon2 with too many rounds'),
  ('$argon2id$v=19$m=4096,t=3,p=1$YWJjZGVmZ2g$q', false, 'argon2, cut off'),
  ('$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=ou9tdYTGyYm8kuR6Dt0Bp0kDuAYoXrK16mbZO4yGwAn3oLspjnN0/c41v8xZnO1n14J3MjKj1b2g6AUCAlFwMw==$C0sHCg9ek77hsg==$zKVTMvnWVw5BBOZNUdnsalx4c4c7y/w7IS5p6Ut2+CfEFFlz37J9huyQfov4iizN8dbjvEJlM5tQaJP84+hfTw==',
    true, 'Firebase''s scrypt'),
  ('$fbscrypt$v=1,n=40,r=8,p=1$C0sHCg==$zKVTMg==', false, 'with memory that no auth service has'),
  ('$fbscrypt$v=1,n=14,r=9999,p=1$C0sHCg==$zKVTMg==', false, 'or with rounds that take it'),
  ('$fbscrypt$v=2,n=14,r=8,p=1$C0sHCg==$zKVTMg==', false, 'Firebase''s scrypt of another version'),
  ('5f4dcc3b5aa765d61d8327deb882cf99', false, 'md5'),
  ('$2a$10$' || repeat('a', 300), false, 'something longer than the column')
) as h (hash, is_one, what);
select results_eq($$ select pg_temp.faults('insert', '[{"email": "new@example.test", "password_hash": "5f4dcc3b5aa765d61d8327deb882cf99"}]') $$,
  array['1 password_hash invalid_format'], 'an unknown kind of hash is refused');

-- Other fields ---------------------------------------------------------------------------------------

select results_eq($$ select pg_temp.faults('insert', '[
    {"email": "a@example.test", "phone": "+49 (30) 123-456", "metadata": {"a": 1}},
    {"email": "b@example.test", "phone": "030 123456"},
    {"email": "c@example.test", "metadata": ["a"]},
    {"email": "d@example.test", "phone": "nobody", "metadata": 5},
    {"email": "max@example.test"},
    {"email": "MAX@Example.test"},
    {"email": "ben@example.test"},
    {"email": "otto@example.test"}]') $$,
  array['2 phone invalid_format', '3 metadata invalid_type', '4 metadata invalid_type', '4 phone invalid_format',
    '5 email already_exists', '6 email already_exists', '7 email already_exists', '8 email already_exists'],
  'phone, metadata, and who has an account, wherever');
update auth.users set phone = '4930777' where id = tests.user_id('ben');
select is(private.phone_digits('+49 (0)30 777'), '4930777', 'a 0 that is not dialled from abroad is left out');
select results_eq($$ select pg_temp.faults('insert', '[{"email": "a@example.test", "phone": "0049 30 777"}]') $$,
  array['1 phone already_exists'], 'a phone number belongs to one person');
insert into auth.identities (id, provider, provider_id, user_id, identity_data)
values (gen_random_uuid(), 'google', 'g-1', tests.user_id('ben'), '{"email": "Ben@Mail.test"}');
select results_eq($$ select pg_temp.faults('insert', '[{"email": "ben@mail.test"}]') $$,
  array['1 email already_exists'], 'so does the address of a linked identity');
select results_eq($$ select pg_temp.faults('upsert', '[{"email": "max@example.test", "password": "Upper-lower"}, {"email": "ben@example.test"}, {"email": "otto@example.test"}]') $$,
  array['2 email already_exists', '3 email already_exists'], 'an upsert updates people of the organization, nobody else');
select results_eq($$ select pg_temp.faults('update', '[{"email": "max@example.test", "role": "viewer"}, {"email": "ben@example.test"}, {"email": "nobody@example.test"}]') $$,
  array['2 email not_found', '3 email not_found'], 'an update finds people of the organization alone');

select is_empty($$ select pg_temp.faults('update', '[{"email": "max@example.test", "phone": "112"}]') $$, 'of whom is there already the phone is not looked at');

-- Rights ---------------------------------------------------------------------------------------------

select tests.act_as('ann');
select throws_ok($$ select public.set_setting('users.may_confirm', 'true', tests.org_id('acme')) $$, '42501',
  'setting is not the caller''s to change', 'no admin allows themself to confirm people');
select lives_ok($$ select public.set_setting('users.password_kinds', '2', tests.org_id('acme')) $$, 'though how strong passwords are is theirs to say');
select tests.act_as('sid');
select lives_ok($$ select public.set_setting('users.may_confirm', 'true', tests.org_id('acme')) $$, 'a system admin allows it');
select pg_temp.claim('ann');

select results_eq($$ select pg_temp.faults('insert', '[
    {"email": "a@example.test", "organization": "tests-acme"},
    {"email": "b@example.test", "organization": "Acme"},
    {"email": "c@example.test", "organization": "tests-bolt"},
    {"email": "d@example.test", "organization": "nowhere"},
    {"email": "e@example.test", "role": "admin"}]') $$,
  array['3 organization permission_denied', '4 organization permission_denied'],
  'an admin names their own organization; of others not even whether they exist is told');
select pg_temp.claim('max');
select results_eq($$ select pg_temp.faults('insert', '[{"email": "a@example.test", "role": "member"}, {"email": "b@example.test", "role": "admin"}]') $$,
  array['2 role permission_denied'], 'nobody gives a role above their own');
select pg_temp.claim('bob');
select results_eq($$ select pg_temp.faults('insert', '[
    {"email": "a@example.test", "password": "secret78"},
    {"email": "b@example.test", "password_hash": "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"},
    {"email": "c@example.test", "phone": "+49 30 777"}]', 'bolt') $$,
  array['1 password permission_denied', '2 password_hash permission_denied'],
  'without the setting no admin sets passwords; a phone number then signs nobody in');
select results_eq($$ select pg_temp.faults('upsert', '[{"email": "ben@example.test", "password": "secret78"}]', 'bolt') $$,
  array['1 password permission_denied'], 'of those who exist neither');
select results_eq($$ select pg_temp.faults('insert', '[
    {"email": "a@example.test", "password": "secret78", "organization": "TESTS-Acme", "role": "admin"},
    {"email": "b@example.test", "organization": "bolt & co"},
    {"email": "c@example.test", "organization": "Twin"},
    {"email": "d@example.test", "organization": "tests-twin-2"},
    {"email": "e@example.test", "organization": "nowhere"}]', 'bolt') $$,
  array['3 organization reference_not_found', '5 organization reference_not_found'],
  who || ' names organizations by slug, or by a name that only one has, and sets passwords')
from (values ('sid'), ('service')) as w (who) cross join lateral (select pg_temp.claim(who)) as c;
insert into public.organization (id, name, slug) values (tests.org_id('real'), 'Cargo', 'tests-real'), (tests.org_id('trap'), 'Else', 'cargo');
select results_eq($$ select n.org_id from private.name_users(null, array(select r from jsonb_populate_recordset(null::private.user_row,
    '[{"organization": "Cargo"}, {"organization": "cargo"}, {"organization": "ELSE"}, {"organization": "TESTS-Real"}]') as r)) as n order by n.place $$,
  $$ values (tests.org_id('real')), (tests.org_id('trap')), (tests.org_id('trap')), (tests.org_id('real')) $$,
  'who takes the name of another for a slug gets only those for whom it was written as one');
insert into public.organization (name, slug) values ('Acme', 'acme');
select pg_temp.claim('ann');
select is_empty($$ select pg_temp.faults('insert', '[{"email": "a@example.test", "organization": "Acme"}, {"email": "b@example.test", "organization": "acme"}]') $$,
  'nor does it hinder those whose name it is');

-- Deletion -------------------------------------------------------------------------------------------

select pg_temp.claim('ann');
select results_eq($$ select pg_temp.faults('delete', '[{"email": "max@example.test"}, {"email": "ann@example.test"}, {"email": "ben@example.test"},
    {"email": "bob@example.test"}, {"email": "nobody@example.test"}, {"email": "otto@example.test"}]') $$,
  array['2 email own_account', '3 email not_found', '4 email not_found', '5 email not_found', '6 email not_found'],
  'an admin deletes people of the organization, and not themself; of others nothing is told');
select pg_temp.claim('sid');
select results_eq($$ select pg_temp.faults('delete', '[{"email": "ann@example.test"}, {"email": "max@example.test"}, {"email": "sid@example.test"}, {"email": "bob@example.test"}]') $$,
  array['1 email last_admin', '3 email not_found', '4 email not_found'],
  'a system admin deletes people of the organization that is named, but for its last admin');
select pg_temp.claim('service');
update public.profiles set org_role = 'admin' where id = tests.user_id('max');
select results_eq($$ select pg_temp.faults('delete', '[{"email": "ann@example.test"}]') $$, '{}'::text[], 'one of two admins may go');
select results_eq($$ select pg_temp.faults('delete', '[{"email": "ann@example.test"}, {"email": "mia@example.test"}, {"email": "max@example.test"}]') $$,
  array['3 email last_admin'], 'of all of them one stays');
update auth.users set deleted_at = now() where id = tests.user_id('max');
select results_eq($$ select pg_temp.faults('delete', '[{"email": "ann@example.test"}]') $$,
  array['1 email last_admin'], 'one whom the auth service has deleted, and keeps, counts for nothing');
update auth.users set deleted_at = null where id = tests.user_id('max');
update public.profiles set is_active = false where id = tests.user_id('max');
select results_eq($$ select pg_temp.faults('delete', '[{"email": "ann@example.test"}, {"email": "max@example.test"}]') $$,
  array['1 email last_admin'], 'one who is not active counts for nothing');
update public.profiles set org_id = tests.org_id('acme') where id = tests.user_id('sid');
select results_eq($$ select pg_temp.faults('delete', '[{"email": "sid@example.test"}]') $$,
  array['1 email system_admin'], 'nobody deletes a system admin');
select pg_temp.claim('ann');
select results_eq($$ select pg_temp.faults('update', '[{"email": "sid@example.test"}]') $$,
  array['1 email system_admin'], 'nor does an admin change one');
select results_eq($$ select pg_temp.faults('update', '[{"email": "ann@example.test", "role": "member"}, {"email": "mia@example.test", "role": "admin"}]') $$,
  array['1 role last_admin'], 'the last admin stays one, whoever becomes one beside');

select * from finish();
rollback;
