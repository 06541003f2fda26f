-- create_users, delete_users, list_users and list_user_results.
begin;
select plan(63);
select tests.set_up_actors();
insert into private.settings (key, org_id, value) values ('users.may_confirm', tests.org_id('acme'), 'true');

create function pg_temp.results(p_id uuid)
returns setof text
language sql
as $$
  select concat_ws(' ', r.row_number, r.status, r.email, r.issues #>> '{0,code}') from public.list_user_results(p_id, 0, 1000) as r
$$;
create function pg_temp.listed(p_after text default null, p_size integer default 100, p_search text default null)
returns text
language sql
as $$
  select string_agg(split_part(u.value ->> 'email', '@', 1), ',' order by u.place)
  from jsonb_array_elements(public.list_users(after => p_after, page_size => p_size, search => p_search) -> 'users') with ordinality as u (value, place)
$$;

-- create_users ---------------------------------------------------------------------------------------

select tests.act_as('ann');
select throws_ok(format('select public.create_users(%L)', c.users), c.code, c.message, c.what)
from (values
  (null, '22023', 'users are not understood', 'nothing is no list'),
  ('{}', '22023', 'users are not understood', 'nor is an object'),
  ('[]', '22023', 'users are not understood', 'an empty list is refused'),
  ('["a@x.test"]', '22023', 'users are not understood', 'so is what is no object'),
  ('[{"email": "a@x.test"}, {"email": "b@x.test", "is_system_admin": true}]', '22023', 'users are not understood', 'a field that the dataset has not'),
  ('[{"email": ["a@x.test"]}]', '22023', 'users are not understood', 'a list in a field'),
  ((select jsonb_agg(jsonb_build_object('email', n || '@x.test'))::text from generate_series(1, 501) as n), 'PT413', 'too many users at once', 'more than 500')
) as c (users, code, message, what);
select throws_ok($$ select public.create_users('[{"email": "a@x.test"}]', mode => 'delete') $$, '22023', 'mode is not allowed', 'a deletion is no creation');
select throws_ok($$ select public.create_users('[{"email": "a@x.test"}]', mode => null) $$, '22023', 'mode is not allowed', 'nor is nothing');
select throws_ok($$ select public.create_users('[{"email": "a@x.test"}]', tests.org_id('bolt')) $$, 'PT404', 'organization not found', 'nobody makes people elsewhere');
select tests.act_as('max');
select throws_ok($$ select public.create_users('[{"email": "a@x.test"}]') $$, '42501', 'organization role required', 'a member makes nobody');
select tests.act_as('vic');
select throws_ok($$ select public.create_users('[{"email": "a@x.test"}]') $$, '42501', 'organization role required', 'nor does a viewer');
select tests.act_as('otto');
select throws_ok($$ select public.create_users('[{"email": "a@x.test"}]') $$, '22023', 'organization is required', 'nor who has no organization');
select tests.act_as_role('service_role');
select throws_ok($$ select public.create_users('[{"email": "a@x.test"}]') $$, '22023', 'organization is required', 'the service names one');
select tests.act_as_role('anon');
select throws_ok($$ select public.create_users('[{"email": "a@x.test"}]') $$, '42501', null, 'anon calls nothing');

select tests.act_as('ann');
select tests.keep('c', (public.create_users('[
  {"email": "Ada@x.test", "full_name": "Ada", "role": "member", "metadata": {"team": "a", "n": [1]}, "password": " correct horse "},
  {"email": "bo@x.test", "send_invite": true},
  {"email": "cy"},
  {"full_name": "Nobody"},
  {"email": "dee@x.test", "metadata": [1]},
  {"email": "max@example.test"}]', idempotency_key => 'k1') ->> 'id')::uuid);
select tests.run_jobs();
select results_eq($$ select pg_temp.results(tests.kept('c')) $$,
  array['1 created ada@x.test', '2 created bo@x.test', '3 failed cy invalid_format', '4 failed required', '5 failed dee@x.test invalid_type',
    '6 failed max@example.test already_exists'], 'there is an answer for each person');
select is(public.create_users('[{"email": "other@x.test"}]', idempotency_key => 'k1') ->> 'replayed', 'true', 'a key is answered once');
select is(tests.run_jobs(), 0, 'and does its work once');
select tests.act_as_role('postgres');
select results_eq($$ select p.full_name, p.org_role::text, u.raw_user_meta_data, u.email_confirmed_at is not null from auth.users as u join public.profiles as p on p.id = u.id
    where u.email in ('ada@x.test', 'bo@x.test') order by u.email $$,
  $$ values ('Ada', 'member', '{"team": "a", "n": [1]}'::jsonb, true), (null, 'viewer', '{}', false) $$, 'they are as they were described');
select ok((select u.encrypted_password = extensions.crypt(' correct horse ', u.encrypted_password) from auth.users as u where u.email = 'ada@x.test'),
  'a password is taken as it is, blanks and all');
select tests.act_as('ann');
select tests.keep('again', (public.create_users('[{"email": "ada@x.test", "full_name": "Ada L."}, {"email": "eve@x.test"}]', mode => 'upsert') ->> 'id')::uuid);
select tests.run_jobs();
select results_eq($$ select pg_temp.results(tests.kept('again')) $$, array['1 updated ada@x.test', '2 created eve@x.test'], 'an upsert does both');
select is((select count(distinct (public.create_users('[{"email": "zed@x.test"}]') ->> 'id')) from generate_series(1, 2)), 2::bigint,
  'the same twice is asked twice');
select tests.run_jobs();
select tests.act_as('sid');
select tests.keep('sa', (public.create_users('[{"email": "fay@x.test", "organization": "Bolt"}]', tests.org_id('acme')) ->> 'id')::uuid);
select tests.act_as_role('service_role');
select tests.keep('service', (public.create_users('[{"email": "gil@x.test", "password": "correct horse"}]', tests.org_id('bolt')) ->> 'id')::uuid);
select tests.run_jobs();
select results_eq($$ select pg_temp.results(tests.kept('sa')) union all select pg_temp.results(tests.kept('service')) $$,
  array['1 created fay@x.test', '1 created gil@x.test'], 'system admins and the service make people anywhere');

-- list_user_results -----------------------------------------------------------------------------------

select tests.act_as('ann');
select results_eq($$ select r.row_number, r.status from public.list_user_results(tests.kept('c'), 2, 2) as r $$,
  $$ values (3, 'failed'), (4, 'failed') $$, 'results come in pages');
select ok((select r.user_id = (select u.id from private.users as u where u.email = 'ada@x.test') from public.list_user_results(tests.kept('c')) as r where r.row_number = 1),
  'with the ids of who was made');
select throws_ok($$ select public.list_user_results(tests.kept('c'), 0, 1001) $$, '22023', 'page_size must be from 1 to 1000', 'pages are bounded');
select tests.keep('customers', tests.stage_import('customers', '{name}', '[["a"]]'));
select throws_ok($$ select public.list_user_results(tests.kept('customers')) $$, '22023', 'import is not of users', 'of people alone');
select tests.act_as('max');
select throws_ok($$ select public.list_user_results(tests.kept('c')) $$, 'PT404', 'import not found', 'a member reads none of them');
select tests.act_as('bob');
select throws_ok($$ select public.list_user_results(tests.kept('c')) $$, 'PT404', 'import not found', 'nor does another admin');
select tests.act_as_role('anon');
select throws_ok($$ select public.list_user_results(tests.kept('c')) $$, '42501', null, 'nor anon');

-- list_users -----------------------------------------------------------------------------------------

select tests.act_as('ann');
select is(pg_temp.listed(), 'ada,ann,bo,eve,max,mia,vic,zed', 'an admin lists the people of the organization');
select is(pg_temp.listed(p_size => 3), 'ada,ann,bo', 'in pages');
select is(pg_temp.listed(public.list_users(page_size => 3) ->> 'next_after', 3), 'eve,max,mia', 'one after the other');
select is(public.list_users(page_size => 100) -> 'next_after', 'null', 'to the end');
select is(pg_temp.listed('eve@x.test', 2), 'eve,max', 'an address is a place to begin, too');
select is(pg_temp.listed(p_search => 'ADA L'), 'ada', 'a part of a name finds');
select is(pg_temp.listed(p_search => '@X.test'), 'ada,bo,eve,zed', 'so does one of an address');
select is(pg_temp.listed(p_search => '%'), null, 'as it is written');
select results_eq($$ select u - '{id,created_at}'::text[] from jsonb_array_elements(public.list_users(search => '@x.test', page_size => 2) -> 'users') as u $$,
  $$ values ('{"email": "ada@x.test", "full_name": "Ada L.", "role": "member", "phone": null, "metadata": {"team": "a", "n": [1]}, "is_active": true,
      "confirmed": true, "last_sign_in_at": null, "invitation": null, "organization": "tests-acme"}'::jsonb),
    ('{"email": "bo@x.test", "full_name": null, "role": "viewer", "phone": null, "metadata": {}, "is_active": true,
      "confirmed": false, "last_sign_in_at": null, "invitation": "pending", "organization": "tests-acme"}') $$, 'with what is known of them');
select throws_ok($$ select public.list_users(page_size => 0) $$, '22023', 'page_size must be from 1 to 1000', 'a page has people');
select throws_ok($$ select public.list_users(tests.org_id('bolt')) $$, 'PT404', 'organization not found', 'of other organizations nothing is told');
select tests.act_as('max');
select throws_ok($$ select public.list_users() $$, '42501', 'organization role required', 'a member lists nobody');
select tests.act_as('sid');
select is(jsonb_array_length(public.list_users(tests.org_id('bolt')) -> 'users'), 4, 'a system admin lists any organization');
select tests.act_as_role('service_role');
select is(jsonb_array_length(public.list_users(tests.org_id('bolt')) -> 'users'), 4, 'so does the service');
select tests.act_as_role('anon');
select throws_ok($$ select public.list_users() $$, '42501', null, 'anon does not');

-- delete_users ---------------------------------------------------------------------------------------

select tests.act_as('ann');
select throws_ok('select public.delete_users(' || c.arguments || ')', c.code, c.message, c.what)
from (values
  ('', '22023', 'users to delete are named in one way', 'somebody must be named'),
  ('ids => ''{}'', emails => ''{}''', '22023', 'users to delete are named in one way', 'and in one way'),
  ('ids => ''{}''', '22023', 'no users to delete', 'an empty list names nobody'),
  ('emails => ''{null}''', '22023', 'no users to delete', 'nor does a null'),
  ('emails => array(select n::text from generate_series(1, 100001) as n)', 'PT413', 'too many users at once', 'more than 100000'),
  ('emails => array[repeat(''x'', 1048577)]', 'PT413', 'users are too large', 'what no file may have in a cell'),
  ('import_id => gen_random_uuid()', 'PT404', 'import not found', 'an import that is not there'),
  ('import_id => tests.stage_import(''customers'', ''{name}'', ''[["a"]]'')', '22023', 'import is not of users', 'one of something else'),
  ('emails => ''{ben@example.test}'', org_id => tests.org_id(''bolt'')', 'PT404', 'organization not found', 'another organization''s people')
) as c (arguments, code, message, what);
select tests.act_as('max');
select throws_ok($$ select public.delete_users(emails => '{vic@example.test}') $$, '42501', 'organization role required', 'a member deletes nobody');
select tests.act_as_role('anon');
select throws_ok($$ select public.delete_users(emails => '{vic@example.test}') $$, '42501', null, 'nor does anon');

select tests.act_as('ann');
select tests.keep('dry', (public.delete_users(emails => '{zed@x.test, ANN@example.test, ben@example.test, nobody@x.test}', dry_run => true) ->> 'id')::uuid);
select tests.run_jobs();
select is(public.get_import(tests.kept('dry')) ->> 'status', 'validated', 'a dry run deletes nobody');
select is(public.get_import_preview(tests.kept('dry')) - '{created_at,expires_at,changes}'::text[] -> 'counts',
  '{"insert": 0, "update": 0, "unchanged": 0, "delete": 1, "fail": 3, "skip": 0}', 'and tells what would be');
select results_eq($$ select pg_temp.results(tests.kept('dry')) $$,
  array['1 pending zed@x.test', '2 failed ann@example.test own_account', '3 failed ben@example.test not_found', '4 failed nobody@x.test not_found'],
  'of each person');
select tests.keep('gone', (public.delete_users(ids => array[
    (select u.id from private.users as u where u.email = 'zed@x.test'), tests.user_id('ann'), tests.user_id('ben'), tests.user_id('vic')]) ->> 'id')::uuid);
select tests.run_jobs();
select results_eq($$ select pg_temp.results(tests.kept('gone')) $$,
  array['1 deleted zed@x.test', '2 failed ann@example.test own_account', format('3 failed %s not_found', tests.user_id('ben')), '4 deleted vic@example.test'],
  'people are deleted by their ids; who is somebody else''s stays an id');
select tests.keep('of_import', (public.delete_users(import_id => tests.kept('c')) ->> 'id')::uuid);
select tests.run_jobs();
select results_eq($$ select pg_temp.results(tests.kept('of_import')) $$, array['1 deleted ada@x.test', '2 deleted bo@x.test'], 'and all whom an import made');
select is(pg_temp.listed(), 'ann,eve,max,mia', 'these are left');
select throws_ok($$ select public.undo_import(tests.kept('gone')) $$, 'PT409', null, 'who was deleted does not come back');

select * from finish();
rollback;
