-- private.users: whom an import compares with, and who sees whom in it.
begin;
select plan(9);
select tests.set_up_actors();

create function pg_temp.seen() returns text language sql as $$
  select string_agg(split_part(u.email, '@', 1), ',' order by u.email) from private.users as u where u.email like '%@example.test'
$$;
select tests.act_as('ann');
select is(pg_temp.seen(), 'ann,max,mia,vic', 'an admin sees the people of the organization');
select tests.act_as('max');
select is(pg_temp.seen(), null, 'a member nobody');
select tests.act_as('vic');
select is(pg_temp.seen(), null, 'nor does a viewer');
select tests.act_as('otto');
select is(pg_temp.seen(), null, 'nor who belongs to none');
select tests.act_as('sid');
select is(pg_temp.seen(), 'ann,ben,bob,max,mia,otto,sid,vic', 'a system admin sees all');
select tests.act_as_role('service_role');
select is(pg_temp.seen(), 'ann,ben,bob,max,mia,otto,sid,vic', 'so does the service');
select tests.act_as_role('anon');
select throws_ok('select pg_temp.seen()', '42501', null, 'anon reads nothing of it');

select tests.act_as_role('postgres');
update auth.users set raw_user_meta_data = '{"a": 1}', phone = '4930', email = 'Mia@example.test' where id = tests.user_id('mia');
insert into auth.users (id, email, aud, role, is_sso_user) values (gen_random_uuid(), 'mia@example.test', 'authenticated', 'authenticated', true);
update public.profiles set org_id = tests.org_id('acme') where email = 'mia@example.test';
select tests.act_as('ann');
select results_eq($$ select u.id, u.org_id, u.full_name, u.role::text, u.phone, u.metadata, u.organization, u.signed_in from private.users as u where u.email = 'mia@example.test' $$,
  $$ values (tests.user_id('mia'), tests.org_id('acme'), null::text, 'member', '4930', '{"a": 1}'::jsonb, 'tests-acme', false) $$,
  'an address in lower case, one person each: accounts of single sign-on are another service''s');
select tests.act_as_role('postgres');
update auth.users set last_sign_in_at = now() where id = tests.user_id('mia');
select tests.act_as('ann');
select ok((select u.signed_in from private.users as u where u.email = 'mia@example.test'), 'who signed in is no longer as they were made');

select * from finish();
rollback;
