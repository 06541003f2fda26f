-- admin_import_sessions_monitor: what it shows of people's sessions, and to whom.
begin;
select plan(11);
select tests.set_up_actors();

select tests.act_as('max');
select tests.keep('done', tests.stage_import('customers', '{external_id,name}', '[["1", "one"], ["2", null], ["1", "again"]]',
  p_options => '{"duplicates": "keep_first"}'));
select tests.run_import(tests.kept('done'));
select tests.keep('left', tests.stage_import('products', '{sku,name,unit_price}', '[["1", "one", "1"]]'));
select public.share_import_session(s.id, tests.user_id('mia')) from public.import_sessions as s where s.batch_id = tests.kept('left');
select tests.act_as('ben');
select tests.keep('bolts', tests.stage_import('customers', '{external_id,name}', '[["1", "one"]]'));
select tests.act_as_role('service_role');
select tests.keep('service', tests.stage_import('customers', '{external_id,name}', '[["1", "one"]]', p_org => 'acme'));
select tests.act_as_role('postgres');
alter table public.import_sessions disable trigger trigger_update_import_session_access;
update public.import_sessions set last_accessed_at = now() - interval '90 minutes' where batch_id = tests.kept('left');

select tests.act_as('ann');
select results_eq(
  $$ select m.organization, m.owner_email, m.shared_with, m.status::text, m.current_step, m.file_name, m.dataset, m.percent_done, m.row_count,
       m.applied, m.skipped, m.failed, m.hours_since_last_access
     from public.admin_import_sessions_monitor as m order by m.dataset $$,
  $$ values ('tests-acme', 'max@example.test', 0::bigint, 'completed', 'completed', 'file.csv', 'customers', 100.0, 3, 1::bigint, 1, 1::bigint, 0.0),
    ('tests-acme', 'max@example.test', 1, 'in_progress', 'staged', 'file.csv', 'products', null, 1, 0, 0, 0, 1.5) $$,
  'an admin sees the sessions of their organization: whose, how far, what came of it, how long ago');
select is((select m.import_id from public.admin_import_sessions_monitor as m where m.status = 'in_progress'), tests.kept('left'), 'and of which import');
select isnt_empty($$ select 1 from public.admin_import_sessions_monitor as m where m.session_id is not null and m.last_accessed_at > m.created_at - interval '2 hours' $$,
  'with what one needs to hand it over');
select tests.act_as('bob');
select results_eq($$ select m.owner_email from public.admin_import_sessions_monitor as m $$, $$ values ('ben@example.test') $$, 'each their own');
select tests.act_as('sid');
select results_eq(
  $$ select m.organization, count(*) from public.admin_import_sessions_monitor as m where m.organization like 'tests-%' group by 1 order by 1 $$,
  $$ values ('tests-acme', 2::bigint), ('tests-bolt', 1) $$, 'a system admin all');
select tests.act_as_role('service_role');
select is((select count(*) from public.admin_import_sessions_monitor as m where m.organization like 'tests-%'), 3::bigint, 'the service, too');
select tests.act_as('max');
select is_empty($$ select 1 from public.admin_import_sessions_monitor $$, 'a member nothing, not even their own');
select tests.act_as('vic');
select is_empty($$ select 1 from public.admin_import_sessions_monitor $$, 'a viewer nothing');
select tests.act_as('otto');
select is_empty($$ select 1 from public.admin_import_sessions_monitor $$, 'who belongs to none nothing');
select tests.act_as_role('anon');
select throws_ok($$ select 1 from public.admin_import_sessions_monitor $$, '42501', 'permission denied for view admin_import_sessions_monitor', 'nor anon');
select tests.act_as_role('postgres');
delete from auth.users where id = tests.user_id('max');
select tests.act_as('ann');
select is((select array_agg(m.owner_email) from public.admin_import_sessions_monitor as m), '{null,null}', 'without an owner once the account is gone');

select * from finish();
rollback;
