-- The dataset users: a file of people with mistakes in it, judged, applied, done again, undone.
begin;
select plan(35);
select tests.set_up_actors();
insert into private.settings (key, org_id, value) values ('users.may_confirm', tests.org_id('acme'), 'true');
update auth.users set phone = '4930', raw_user_meta_data = null where id = tests.user_id('max'); -- as no row of a file may have it

create function pg_temp.fates(p_id uuid)
returns setof text
language sql
as $$
  select concat_ws(' ', r.row_number, r.status, r.email, r.issues #>> '{0,field}', r.issues #>> '{0,code}') from public.list_user_results(p_id, 0, 1000) as r
$$;
create function pg_temp.people(p_emails text)
returns setof text
language sql security definer
as $$
  select concat_ws(' ', p.email, o.slug, p.org_role, p.full_name)
  from public.profiles as p left join public.organization as o on o.id = p.org_id where p.email like p_emails order by p.email collate "C"
$$;
grant execute on all functions in schema pg_temp to authenticated, service_role;

-- Who may --------------------------------------------------------------------------------------------

select tests.act_as('max');
select throws_ok($$ select public.create_import('users') $$, '42501', 'organization role required', 'a member imports no people');
select tests.act_as('bob');
select throws_ok($$ select public.create_import('users', org_id => tests.org_id('acme')) $$, 'PT404', 'organization not found',
  'nor does another organization''s admin');
select tests.act_as('ann');
select tests.keep('i', tests.stage_import('users', '{E-Mail,Name,Rolle,Phone,Metadata,Password,Organization}', '[
  ["Ada@X.test",   "Ada",  "Member", "+49 30 111111", "{\"team\": \"a\"}", "correct horse", null],
  ["bo@x.test",    "Bo",   null,     null,            null,                "correct horse", "tests-acme"],
  ["ADA@x.test",   "Ada",  null,     null,            null,                "correct horse", null],
  ["cy.x.test",    "Cy",   null,     null,            null,                "correct horse", null],
  ["di@x.test",    "Di",   "boss",   null,            null,                "correct horse", null],
  ["ed@x.test",    "Ed",   null,     "112",           null,                "correct horse", null],
  ["eve@x.test",   "Eve",  null,     null,            "[1]",               "correct horse", null],
  ["fay@x.test",   "Fay",  null,     null,            "{",                 "correct horse", null],
  ["gil@x.test",   "Gil",  null,     null,            null,                "tiny",          null],
  ["hal@x.test",   "Hal",  null,     null,            null,                "correct horse", "tests-bolt"],
  ["ben@example.test", "Ben", null,  null,            null,                "correct horse", null],
  ["max@example.test", "Max M.", "admin", null,       null,                "correct horse", null],
  [null,           "Ian",  null,     null,            null,                "correct horse", null]]', 'upsert',
  '{"email": "E-Mail", "full_name": "Name", "role": "Rolle", "phone": "Phone", "metadata": "Metadata", "password": "Password", "organization": "Organization"}',
  '{"duplicates": "keep_first"}'));
select is(tests.run_import(tests.kept('i'), false), 'validated', 'an admin''s file of people is judged');
select results_eq($$ select pg_temp.fates(tests.kept('i')) $$, array[
  '1 pending ada@x.test', '2 pending bo@x.test', '3 skipped ada@x.test email duplicate_in_file', '4 failed cy.x.test email invalid_format',
  '5 failed di@x.test role not_in_list', '6 failed ed@x.test phone invalid_format', '7 failed eve@x.test metadata invalid_type',
  '8 failed fay@x.test metadata invalid_type', '9 failed gil@x.test password invalid_format', '10 failed hal@x.test organization permission_denied',
  '11 failed ben@example.test email already_exists', '12 pending max@example.test', '13 failed email required'],
  'each mistake is an issue of its row; the same address in other letters is one twice');
select is(public.get_import_preview(tests.kept('i')) -> 'counts',
  '{"insert": 2, "update": 1, "unchanged": 0, "delete": 0, "fail": 9, "skip": 1}', 'the preview counts');
select is(public.commit_import(tests.kept('i')) ->> 'job_type', 'commit', 'it is applied');
select cmp_ok(tests.run_jobs(), '>', 0, 'by the worker');
select results_eq($$ select pg_temp.fates(tests.kept('i')) as f where false union all
    select concat_ws(' ', r.row_number, r.status, r.email) from public.list_user_results(tests.kept('i')) as r where r.status not in ('failed', 'skipped') $$,
  array['1 created ada@x.test', '2 created bo@x.test', '12 updated max@example.test'], 'the good rows are people now');
select results_eq($$ select pg_temp.people('%@x.test') $$, array['ada@x.test tests-acme member Ada', 'bo@x.test tests-acme viewer Bo'],
  'of the organization, with their roles');
select results_eq($$ select pg_temp.people('max@%') $$, array['max@example.test tests-acme admin Max M.'], 'and one who was there has a new name and role');
select is((select count(*) from public.list_user_results(tests.kept('i')) as r join private.users as u on u.id = r.user_id), 3::bigint, 'results name them');
select is((select count(*) from public.sync_activity_log as l where l.sync_id = tests.kept('i')::text and l.details ? 'email'), 3::bigint,
  'the log names the import of each');

-- Nowhere is a password -----------------------------------------------------------------------------

select is_empty($$ select 1 from public.list_import_rows(tests.kept('i'), page_size => 1000) as r where r::text ~ 'correct horse|tiny' $$, 'rows are shown without passwords');
select is_empty($$ select 1 where public.get_import(tests.kept('i'))::text ~ 'correct horse|tiny' $$, 'so is the import');
select tests.act_as_role('postgres');
select is_empty($$ select 1 from private.import_plans as p where p.batch_id = tests.kept('i') and p::text ~ 'correct horse|tiny'
  union all select 2 from public.sync_activity_log as l where l::text ~ 'correct horse|tiny'
  union all select 3 from private.import_issues as s where s.batch_id = tests.kept('i') and s::text ~ 'correct horse|tiny'
  union all select 4 from private.import_outcomes as o where o.batch_id = tests.kept('i') and o::text ~ 'correct horse|tiny|[$]2a'
  union all select 5 from public.sync_error_log as e where e::text ~ 'correct horse|tiny'
  union all select 6 from public.sync_preview_cache as c where c::text ~ 'correct horse|tiny'
  union all select 7 from public.import_batches as b where b.id = tests.kept('i') and b::text ~ 'correct horse|tiny'
  union all select 8 from private.import_rows as r where r.batch_id = tests.kept('i') and r::text ~ 'correct horse|tiny' $$,
  'plans, logs, issues, outcomes, previews and what was staged are without passwords and hashes');

-- Again, and back ------------------------------------------------------------------------------------

select tests.act_as('ann');
select tests.keep('same', tests.stage_import('users', '{email,full_name,role}', '[["ada@x.test", "Ada", "member"], ["bo@x.test", "Bobo", null]]', 'upsert'));
select is(tests.run_import(tests.kept('same')), 'completed', 'people are imported again');
select is(tests.counts(tests.kept('same')), '{"rows": 2, "valid": 2, "updated": 1, "unchanged": 1}', 'who is as the file says is unchanged');
select is((public.undo_import(tests.kept('same'))) ->> 'job_type', 'undo', 'it is undone');
select tests.run_jobs();
select results_eq($$ select pg_temp.people('bo@%') $$, array['bo@x.test tests-acme viewer Bo'], 'which gives the name back');

select tests.act_as_role('postgres');
update auth.users set last_sign_in_at = now() where email = 'bo@x.test';
select tests.act_as('ann');
select public.undo_import(tests.kept('i'));
select tests.run_jobs();
select results_eq($$ select pg_temp.people('%@x.test') $$, array['bo@x.test tests-acme viewer Bo'],
  'the undo of an import deletes whom it made, but for who has signed in since');
select results_eq($$ select pg_temp.people('max@%') $$, array['max@example.test tests-acme member'], 'and gives others back what they had');
select is(public.get_import(tests.kept('i')) -> 'undo', '{"reversed": 2, "kept": {"changed": 1}}', 'it says so');

-- Insert and update find out at once ----------------------------------------------------------------

select tests.keep('insert', tests.stage_import('users', '{email}', '[["bo@x.test"], ["jo@x.test"], ["BEN@example.test"]]', 'insert'));
select is(tests.run_import(tests.kept('insert')), 'completed', 'new people');
select results_eq($$ select pg_temp.fates(tests.kept('insert')) $$,
  array['1 failed bo@x.test email already_exists', '2 created jo@x.test', '3 failed ben@example.test email already_exists'], 'are not the old ones');
select tests.keep('update', tests.stage_import('users', '{email,full_name}', '[["bo@x.test", "B."], ["ben@example.test", "B."], ["nobody@x.test", "N."]]', 'update'));
select is(tests.run_import(tests.kept('update')), 'completed', 'an update');
select results_eq($$ select pg_temp.fates(tests.kept('update')) $$,
  array['1 updated bo@x.test', '2 failed ben@example.test email not_found', '3 failed nobody@x.test email not_found'], 'changes people of the organization alone');

-- Between judging and applying ----------------------------------------------------------------------

select tests.keep('late', tests.stage_import('users', '{email,password}', '[["k1@x.test", "correct horse"], ["k2@x.test", "correct horse"], ["k3@x.test", "correct horse"]]', 'insert'));
select is(tests.run_import(tests.kept('late'), false), 'validated', 'people are judged');
select tests.act_as_role('postgres');
insert into auth.users (id, email, aud, role) values (gen_random_uuid(), 'k2@x.test', 'authenticated', 'authenticated');
select tests.act_as('ann');
select public.commit_import(tests.kept('late'));
select tests.run_jobs();
select results_eq($$ select pg_temp.fates(tests.kept('late')) $$,
  array['1 created k1@x.test', '2 failed k2@x.test email already_exists', '3 created k3@x.test'], 'one whose address was taken meanwhile fails alone');
select tests.keep('right', tests.stage_import('users', '{email,password}', '[["l1@x.test", "correct horse"]]', 'insert'));
select is(tests.run_import(tests.kept('right'), false), 'validated', 'others are judged');
select tests.act_as_role('postgres');
update private.settings as s set value = 'false' where s.key = 'users.may_confirm' and s.org_id = tests.org_id('acme');
select tests.act_as('ann');
select public.commit_import(tests.kept('right'));
select tests.run_jobs();
select results_eq($$ select pg_temp.fates(tests.kept('right')) $$, array['1 failed l1@x.test password permission_denied'],
  'a right that was lost meanwhile is lost');

-- System admins and the service ----------------------------------------------------------------------

select tests.act_as('sid');
select tests.keep('sa', tests.stage_import('users', '{email,organization,role}', '[["m1@x.test", "tests-bolt", "admin"], ["m2@x.test", null, null], ["m3@x.test", "nowhere", null]]', 'insert', null, '{}', 'acme'));
select is(tests.run_import(tests.kept('sa')), 'completed', 'a system admin''s file');
select results_eq($$ select pg_temp.people('m_@x.test') $$, array['m1@x.test tests-bolt admin', 'm2@x.test tests-acme viewer'], 'puts people where it says');
select public.undo_import(tests.kept('sa'));
select tests.run_jobs();
select is_empty($$ select pg_temp.people('m_@x.test') $$, 'from where an undo takes them back');
select tests.act_as_role('service_role');
select tests.keep('service', tests.stage_import('users', '{email,password}', '[["n1@x.test", "correct horse"]]', 'insert', null, '{}', 'bolt'));
select is(tests.run_import(tests.kept('service')), 'completed', 'the service imports people');
select results_eq($$ select pg_temp.people('n_@x.test') $$, array['n1@x.test tests-bolt viewer'], 'into the organization that it names');

select * from finish();
rollback;
