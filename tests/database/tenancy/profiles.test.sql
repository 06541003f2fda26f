-- Profiles: made with the auth user, from nothing that the client sent but the name; what people may change of theirs.
begin;
select plan(24);
select tests.set_up_actors();

insert into auth.users (id, email, aud, role, raw_user_meta_data, raw_app_meta_data) values (
  tests.user_id('eve'), 'eve@example.test', 'authenticated', 'authenticated',
  jsonb_build_object('full_name', 'Eve', 'avatar_url', 'https://example.test/eve.png', 'org_id', tests.org_id('acme'),
    'org_role', 'admin', 'role', 'admin',
    'is_system_admin', true, 'is_active', true),
  jsonb_build_object('org_id', tests.org_id('acme'), 'org_role', 'admin'));
select results_eq(
  $$ select p.email, p.full_name, p.avatar_url, p.org_id, p.org_role::text, p.is_system_admin, p.is_active
    from public.profiles as p where p.id = tests.user_id('eve') $$,
  $$ values ('eve@example.test', 'Eve', 'https://example.test/eve.png', null::uuid, 'viewer', false, true) $$,
  'a profile is made with the account; organization and role in its metadata are ignored');
update auth.users set email = 'eve2@example.test' where id = tests.user_id('eve');
select is((select email from public.profiles where id = tests.user_id('eve')), 'eve2@example.test',
  'a new address is copied');
update auth.users set raw_user_meta_data = raw_user_meta_data || '{"full_name": "Mallory"}'
  where id = tests.user_id('eve');
select is((select full_name from public.profiles where id = tests.user_id('eve')), 'Eve',
  'other changes of the account are not');

-- Own columns ----------------------------------------------------------------------------------------

select tests.act_as('max');
select lives_ok($$ update public.profiles set full_name = 'Max', avatar_url = 'x' where id = tests.user_id('max') $$,
  'people change their name and picture');
select is((select full_name from public.profiles where id = tests.user_id('max')), 'Max', 'which is kept');
select throws_ok(format('update public.profiles set %I = %L where id = tests.user_id(''max'')', c.name, c.value),
  '42501', 'permission denied for table profiles', c.name || ' is not theirs to change')
from (values ('org_role', 'admin'), ('org_id', tests.org_id('bolt')::text), ('is_system_admin', 'true'),
  ('is_active', 'true'), ('email', 'x@example.test'),
  ('id', tests.user_id('ann')::text)) as c (name, value);
select is_empty($$ update public.profiles set full_name = 'Mia' where id = tests.user_id('mia') returning 1 $$,
  'nor is anybody else''s name');
select throws_ok($$ insert into public.profiles (id) values (gen_random_uuid()) $$, '42501',
  'permission denied for table profiles', 'profiles are not inserted');
select throws_ok($$ delete from public.profiles where id = tests.user_id('max') $$, '42501',
  'permission denied for table profiles', 'nor deleted');
select tests.act_as('ann');
select is_empty($$ update public.profiles set full_name = 'Mia' where id = tests.user_id('mia') returning 1 $$,
  'an admin has no hand in other profiles either');
select tests.act_as_role('service_role');
select lives_ok($$ update public.profiles set org_role = 'viewer' where id = tests.user_id('mia') $$,
  'the service changes everything');

-- Who sees whom --------------------------------------------------------------------------------------

create function pg_temp.seen() returns text language sql as $$
  select string_agg(split_part(p.email, '@', 1), ',' order by p.email) from public.profiles as p
  where p.email like '%@example.test'
$$;
select tests.act_as('vic');
select is(pg_temp.seen(), 'ann,max,mia,vic', 'people see their organization''s');
select tests.act_as('bob');
select is(pg_temp.seen(), 'ben,bob', 'and no other''s');
select tests.act_as('otto');
select is(pg_temp.seen(), 'otto', 'who belongs to none sees themself');
select tests.act_as('sid');
select is(pg_temp.seen(), 'ann,ben,bob,max,mia,sid,vic', 'a system admin sees the people of all organizations');
select tests.act_as_role('service_role');
select is(pg_temp.seen(), 'ann,ben,bob,eve2,max,mia,otto,sid,vic', 'the service sees everybody');
select tests.act_as_role('anon');
select throws_ok('select pg_temp.seen()', '42501', 'permission denied for table profiles', 'anon nobody');

-- The end
select tests.act_as_role('postgres');
delete from auth.users where id = tests.user_id('eve');
select is_empty($$ select 1 from public.profiles where id = tests.user_id('eve') $$, 'a profile goes with its account');
delete from public.organization where id = tests.org_id('bolt');
select is((select org_id from public.profiles where id = tests.user_id('bob')), null,
  'and stays when its organization goes');

select * from finish();
rollback;
