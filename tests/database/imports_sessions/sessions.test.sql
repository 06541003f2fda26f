-- Sessions: each person's own; going on, similar files, sharing, handing over, cleaning up, expiry.
begin;
select plan(90);
select tests.set_up_actors();

create function tests.session_of(p_name text) returns uuid language sql stable security definer set search_path = '' as $$
  select s.id from public.import_sessions as s where s.batch_id = tests.kept(p_name) $$;
create function tests.owner_of(p_name text) returns text language sql stable security definer set search_path = '' as $$
  select coalesce(split_part(p.email, '@', 1), 'nobody') || ' ' || s.status
  from public.import_sessions as s left join public.profiles as p on p.id = s.created_by where s.batch_id = tests.kept(p_name) $$;
grant execute on function tests.session_of(text), tests.owner_of(text) to authenticated, service_role;
create function pg_temp.stage(p_name text, p_columns text[] default '{external_id,name}') returns void language sql as $$
  select tests.keep(p_name, tests.stage_import('customers', p_columns, '[["1", "one"]]')) $$;
-- Whose imports are in the caller's list.
create function pg_temp.listed(p_status text default null) returns text language sql as $$
  select coalesce(string_agg(s ->> 'current_step' || case when s -> 'created_by' = 'null' then ' unowned' else '' end, ',' order by s ->> 'current_step'), '')
  from jsonb_array_elements(public.list_import_sessions(p_status) -> 'sessions') as s $$;

-- Each their own -----------------------------------------------------------------------------------------

select tests.act_as('max');
select pg_temp.stage('m1'), pg_temp.stage('m2');
select public.cancel_import(tests.kept('m2'));
select tests.act_as('mia');
select pg_temp.stage('a1');
select is(pg_temp.listed(), 'staged', 'one lists one''s own');
select tests.act_as('max');
select is(pg_temp.listed(), 'cancelled,staged', 'each');
select is(pg_temp.listed('abandoned'), 'cancelled', 'or those of a status');
select throws_ok($$ select public.list_import_sessions('open') $$, '22023', 'status is unknown', 'an unknown status');
select throws_ok($$ select public.list_import_sessions(page_size => 0) $$, '22023', 'page_size must be from 1 to 200', 'an empty page');
select is(jsonb_array_length(public.list_import_sessions(page_size => 1) -> 'sessions'), 1, 'in pages');
select isnt(public.list_import_sessions(page_size => 1) -> 'next_before', 'null', 'of which there is another');
select is(public.list_import_sessions(before => '2001-01-01'), '{"sessions": [], "next_before": null}', 'and a last');
select tests.act_as_role('anon');
select throws_ok($$ select public.list_import_sessions() $$, '42501', 'permission denied for function list_import_sessions', 'anon lists none');

-- Going on -----------------------------------------------------------------------------------------------

select tests.act_as_role('postgres');
update public.import_sessions set status = 'expired', last_accessed_at = '2001-01-01' where batch_id = tests.kept('m1');
select is((select last_accessed_at from public.import_sessions where batch_id = tests.kept('m1')), '2001-01-01', 'expiry is no access');
select tests.act_as('max');
select is(public.open_import_session(tests.session_of('m1')) #>> '{import,status}', 'staged', 'opening answers with the import');
select is(tests.owner_of('m1'), 'max in_progress', 'an expired session is in progress again');
select is((select s.last_accessed_at from public.import_sessions as s where s.id = tests.session_of('m1')), now(), 'and was accessed');
select is(public.save_import_session(tests.session_of('m1'), '{"tab": "mapping"}') -> 'state', '{"tab": "mapping"}', 'what a client keeps');
select is(public.open_import_session(tests.session_of('m1')) - '{import,last_accessed_at,created_at,id,import_id}'::text[],
  jsonb_build_object('org_id', tests.org_id('acme'), 'created_by', tests.user_id('max'), 'content_hash', public.get_import(tests.kept('m1')) -> 'content_hash',
    'header_hash', md5(e'external_id\x1fname'))
  || '{"status": "in_progress", "current_step": "staged", "file_name": "file.csv", "state": {"tab": "mapping"}, "shared_with": []}',
  'is there when one comes back');
select throws_ok($$ select public.save_import_session(tests.session_of('m1'), '[]') $$, '22023', 'state must be an object', 'a state that is none');
select throws_ok($$ select public.save_import_session(tests.session_of('m1'), null) $$, '22023', 'state must be an object', 'nothing');
select throws_ok($$ select public.save_import_session(tests.session_of('m1'), jsonb_build_object('x', repeat('y', 66000))) $$, 'PT413',
  'state is too large', 'too much');
create function pg_temp.calls() returns table (name text, sql text) language sql as $$
  values
    ('open', 'select public.open_import_session(tests.session_of(''m1''))'),
    ('save', 'select public.save_import_session(tests.session_of(''m1''), ''{}'')'),
    ('share', 'select public.share_import_session(tests.session_of(''m1''), tests.user_id(''vic''))'),
    ('unshare', 'select public.unshare_import_session(tests.session_of(''m1''), tests.user_id(''vic''))'),
    ('give up', 'select public.unshare_import_session(tests.session_of(''m1''), auth.uid())'),
    ('transfer', 'select public.transfer_import_session(tests.session_of(''m1''), tests.user_id(''mia''))')
$$;
select tests.act_as('mia');
select throws_ok(c.sql, 'PT404', 'import session not found', 'another member cannot tell that it exists: ' || c.name) from pg_temp.calls() as c;
select is(public.abandon_import_sessions(array[tests.session_of('m1')]) #>> '{failed,0,error,code}', 'PT404', 'nor clean it up');
select tests.act_as('bob');
select throws_ok(c.sql, 'PT404', 'import session not found', 'nor another organization''s admin: ' || c.name) from pg_temp.calls() as c;
select tests.act_as('ann');
select throws_ok($$ select public.open_import_session(tests.session_of('m1')) $$, 'PT404', 'import session not found', 'not even their own opens it');
select tests.act_as('sid');
select is(public.open_import_session(tests.session_of('m1')) #>> '{import,status}', 'staged', 'a system admin does');
select throws_ok($$ select public.open_import_session('00000000-0000-0000-0000-00000000dead') $$, 'PT404', 'import session not found',
  'if it is there');
select is(public.abandon_import_sessions('{00000000-0000-0000-0000-00000000dead}') #>> '{failed,0,error,code}', 'PT404', 'for each call');

-- Similar files ------------------------------------------------------------------------------------------

create function pg_temp.similar(p_name text) returns text language sql as $$
  select coalesce(string_agg(concat_ws(' ', s ->> 'file_name', s ->> 'reason', s ->> 'likeness'), ', ' order by p.position), '')
  from jsonb_array_elements(public.find_similar_imports(tests.kept(p_name)) -> 'similar') with ordinality as p (s, position) $$;
select tests.act_as('ben');
select pg_temp.stage('b1'), pg_temp.stage('b2', '{external_id,title}'), pg_temp.stage('b3'), pg_temp.stage('b4', '{nr,wer}'), pg_temp.stage('b5', '{no,who}');
select tests.act_as_role('postgres');
update public.import_sessions as s set file_name = f.file_name, content_hash = f.content_hash
from (values ('b1', 'customers_2024_01.csv', '1'), ('b2', 'customers_2024_02.csv', '2'), ('b3', 'export.csv', '3'), ('b4', 'list.txt', '4'),
  ('b5', 'other.xlsx', '5')) as f (name, file_name, content_hash)
where s.batch_id = tests.kept(f.name);
update public.import_batches set file_name = 'customers_2024_03.csv', content_hash = '4' where id = tests.kept('b1');
select tests.act_as('ben');
select is(pg_temp.similar('b1'), 'list.txt content 0.00, export.csv header 0.14, customers_2024_02.csv name 0.83',
  'the same file, the same columns, a like name');
select is(public.find_similar_imports(tests.kept('b1')) #> '{similar,0}' ?&
  '{session_id,import_id,status,current_step,file_name,dataset,row_count,reason,likeness,created_at}', true, 'with what one needs to go there');
select tests.act_as('bob');
select is(pg_temp.similar('b1'), '', 'among one''s own alone');
select tests.act_as('max');
select throws_ok($$ select public.find_similar_imports(tests.kept('b1')) $$, 'PT404', 'import not found', 'of imports that one sees');

-- Sharing ------------------------------------------------------------------------------------------------

select throws_ok($$ select public.share_import_session(tests.session_of('m1'), tests.user_id('ben')) $$, '22023',
  'person is not of the organization', 'not with another organization''s people');
select throws_ok($$ select public.share_import_session(tests.session_of('m1'), null) $$, '22023', 'person is not of the organization', 'nor nobody');
select throws_ok($$ select public.share_import_session(tests.session_of('m1'), tests.user_id('max')) $$, '22023', 'session is the person''s own',
  'nor oneself');
select is(public.share_import_session(tests.session_of('m1'), tests.user_id('mia')) -> 'shared_with', jsonb_build_array(tests.user_id('mia')),
  'an owner shares a session');
select lives_ok($$ select public.share_import_session(tests.session_of('m1'), tests.user_id('mia')) $$, 'twice is once');
select tests.act_as('mia');
select is(pg_temp.listed(), 'staged,staged', 'who has it lists it');
select is(public.open_import_session(tests.session_of('m1')) #>> '{state,tab}', 'mapping', 'opens it');
select isnt_empty($$ select 1 from public.import_session_shares as h where h.session_id = tests.session_of('m1') $$, 'sees the share');
select lives_ok($$ select public.set_import_mapping(tests.kept('m1'), options => '{"blank": "clear"}') $$, 'and works on the import');
select is(tests.run_import(tests.kept('m1'), false), 'validated', 'all the way');
select throws_ok($$ select public.share_import_session(tests.session_of('m1'), tests.user_id('vic')) $$, '42501', 'session is another person''s',
  'but does not share it on');
select is(public.abandon_import_sessions(array[tests.session_of('m1')]) #>> '{failed,0,error,code}', '42501', 'nor clean it up');
select throws_ok($$ select public.transfer_import_session(tests.session_of('m1'), tests.user_id('mia')) $$, '42501', 'organization role required',
  'nor take it over');
select tests.act_as('max');
select is(public.unshare_import_session(tests.session_of('m1'), tests.user_id('mia')) -> 'shared_with', '[]', 'the owner takes it back');
select tests.act_as('mia');
select throws_ok($$ select public.commit_import(tests.kept('m1')) $$, '42501', 'organization role required', 'with the right to work on it');
select is(pg_temp.listed(), 'staged', 'and it is gone from their list');
select tests.act_as('max');
select public.share_import_session(tests.session_of('m1'), tests.user_id(n)) from unnest('{mia,vic}'::text[]) as n;
select tests.act_as('mia');
select public.commit_import(tests.kept('m1'));
select tests.act_as('max');
select public.unshare_import_session(tests.session_of('m1'), tests.user_id('mia'));
select tests.run_jobs();
select is(public.get_import(tests.kept('m1')) #>> '{error,code}', 'permission_denied', 'in the middle of a job, too');
select is(tests.run_import(tests.kept('m1'), false), 'validated', 'and the owner goes on');
select public.share_import_session(tests.session_of('m1'), tests.user_id('mia'));
select tests.act_as('vic');
select throws_ok($$ select public.set_import_mapping(tests.kept('m1'), '{}') $$, '42501', 'organization role required', 'a viewer looks on');
select is(public.open_import_session(tests.session_of('m1')) -> 'state', '{"tab": "mapping"}', 'a viewer with whom it is shared reads what is kept');
select throws_ok($$ select public.save_import_session(tests.session_of('m1'), '{"tab": "evil"}') $$, '42501', 'organization role required',
  'but writes nothing over it');
select is(public.open_import_session(tests.session_of('m1')) -> 'state', '{"tab": "mapping"}', 'which stays');
select is(public.unshare_import_session(tests.session_of('m1'), tests.user_id('vic')) -> 'shared_with', jsonb_build_array(tests.user_id('mia')),
  'and gives it up');
select tests.act_as_role('postgres');
update public.profiles set org_id = tests.org_id('bolt') where id = tests.user_id('mia');
select tests.act_as('mia');
select throws_ok($$ select public.open_import_session(tests.session_of('m1')) $$, 'PT404', 'import session not found',
  'who leaves the organization leaves its sessions');
select is(pg_temp.listed(), '', 'their own, too');
select tests.act_as_role('postgres');
update public.profiles set org_id = tests.org_id('acme') where id = tests.user_id('mia');

-- Handing over -------------------------------------------------------------------------------------------

select tests.act_as('max');
select throws_ok($$ select public.transfer_import_session(tests.session_of('m1'), tests.user_id('mia')) $$, '42501', 'organization role required',
  'an owner does not hand over');
select tests.act_as('ann');
select throws_ok($$ select public.transfer_import_session(tests.session_of('m1'), tests.user_id('ben')) $$, '22023',
  'person is not of the organization', 'an admin not to another organization');
select throws_ok($$ select public.transfer_import_session(tests.session_of('m1'), tests.user_id('vic')) $$, '22023',
  'person is not of the organization', 'nor to who could not work on it');
select throws_ok($$ select public.transfer_import_session(tests.session_of('b1'), tests.user_id('mia')) $$, 'PT404', 'import session not found',
  'nor another organization''s');
select public.commit_import(tests.kept('m1'));
select throws_ok($$ select public.transfer_import_session(tests.session_of('m1'), tests.user_id('mia')) $$, 'PT409', 'import is being worked on',
  'nor while a job of it runs');
select public.cancel_import(tests.kept('m1'));
select tests.act_as('max');
select pg_temp.stage('m3');
select public.share_import_session(tests.session_of('m3'), tests.user_id('mia'));
select tests.act_as('ann');
select is(public.transfer_import_session(tests.session_of('m3'), tests.user_id('mia')) -> 'created_by', to_jsonb(tests.user_id('mia')),
  'but to a member');
select tests.act_as('mia');
select is(public.open_import_session(tests.session_of('m3')) -> 'shared_with', '[]', 'who has it for their own');
select is(tests.run_import(tests.kept('m3'), false), 'validated', 'and works on the import');
select tests.act_as('max');
select throws_ok($$ select public.open_import_session(tests.session_of('m3')) $$, 'PT404', 'import session not found', 'its former owner has it no more');
select throws_ok($$ select public.commit_import(tests.kept('m3')) $$, '42501', 'organization role required', 'nor the right to the import');
select tests.act_as('ann');
select results_eq(
  $$ select l.action::text, l.user_id, l.details - '{session_id,file_name}'::text[] from public.sync_activity_log as l
     where l.sync_id = tests.kept('m3')::text and l.details ? 'session_id' order by l.created_at, l.action $$,
  $$ values ('updated', tests.user_id('max'), jsonb_build_object('session', 'shared', 'user_id', tests.user_id('mia'))),
    ('transferred', tests.user_id('ann'), jsonb_build_object('from', tests.user_id('max'), 'to', tests.user_id('mia'))) $$,
  'both are in the activity log');

-- Cleaning up --------------------------------------------------------------------------------------------

select tests.act_as('max');
select pg_temp.stage('m4'), pg_temp.stage('m5'), pg_temp.stage('m6'), pg_temp.stage('m7');
select tests.keep('m8', (public.create_import('customers') ->> 'id')::uuid);
select tests.run_import(tests.kept('m5'));
select public.validate_import(tests.kept('m6'));
create temporary table cleaned as select public.abandon_import_sessions(
  (select array_agg(tests.session_of(n)) from unnest('{m2,m4,m5,m6,m8,a1}'::text[]) as n)) as answer;
select is((select jsonb_array_length(answer -> 'abandoned') from cleaned), 2, 'many at once: those that can be');
select results_eq(
  $$ select n, f #>> '{error,code}', f #>> '{error,message}' from cleaned, jsonb_array_elements(answer -> 'failed') as f
     join unnest('{m2,m4,m5,m6,m8,a1}'::text[]) as n on tests.session_of(n) = (f ->> 'id')::uuid order by n $$,
  $$ values ('a1', 'PT404', 'import session not found'), ('m5', 'PT409', 'session is completed'), ('m6', 'PT409', 'import is being worked on'),
    ('m8', 'PT409', 'import is being worked on') $$, 'what could not is said of each');
select is(tests.owner_of('m4') || ' ' || (public.get_import(tests.kept('m4')) ->> 'status'), 'max abandoned cancelled', 'the import is cancelled');
select tests.run_jobs();
select is(public.get_import(tests.kept('m6')) ->> 'status', 'validated', 'the others go on');
select throws_ok($$ select public.abandon_import_sessions('{}') $$, 'PT413', 'session_ids is outside the limit', 'none');
select throws_ok($$ select public.abandon_import_sessions(array_fill(gen_random_uuid(), array[1001])) $$, 'PT413', 'session_ids is outside the limit',
  'too many');
select tests.act_as_role('postgres');
delete from auth.users where id = tests.user_id('max');
select tests.act_as('mia');
select is(pg_temp.listed(), 'cancelled unowned,staged,validated', 'sessions whose owner is gone are members'' only where shared');
select tests.act_as('ann');
select is(pg_temp.listed('in_progress'), 'receiving unowned,staged unowned,validated unowned', 'but admins''');
select is(jsonb_array_length(public.abandon_import_sessions(array[tests.session_of('m6'), tests.session_of('m7')]) -> 'abandoned'), 2, 'to clean up');

-- Expiry -------------------------------------------------------------------------------------------------

select tests.act_as('mia');
select pg_temp.stage('a2'), pg_temp.stage('a3'), pg_temp.stage('a4');
select public.validate_import(tests.kept('a4'));
select tests.act_as('ann');
select public.set_setting('imports.session_idle_hours', '24', tests.org_id('acme'));
select tests.act_as_role('postgres');
alter table public.import_sessions disable trigger trigger_update_import_session_access;
update public.import_sessions set last_accessed_at = now() - interval '25 hours' where batch_id in (tests.kept('a2'), tests.kept('a4'), tests.kept('b1'));
update public.import_sessions set last_accessed_at = now() - interval '23 hours' where batch_id = tests.kept('a3');
update public.import_sessions set last_accessed_at = now() - interval '8 days' where batch_id = tests.kept('b2');
alter table public.import_sessions enable trigger trigger_update_import_session_access;
select is(private.expire_sessions(), 2::bigint, 'stale sessions expire');
select is(array[tests.owner_of('a2'), tests.owner_of('a3'), tests.owner_of('a4'), tests.owner_of('b1'), tests.owner_of('b2')],
  '{mia expired,mia in_progress,mia in_progress,ben in_progress,ben expired}',
  'by their organization''s setting, but for those at which a worker is');
select tests.act_as('mia');
select is(public.get_import(tests.kept('a2')) ->> 'status', 'staged', 'the import stays as it is');
select throws_ok($$ select private.expire_sessions() $$, '42501', 'permission denied for function expire_sessions', 'people do not run it');
select throws_ok($$ update public.import_sessions set created_by = auth.uid() $$, '42501', 'permission denied for table import_sessions',
  'nobody writes sessions by hand');
select throws_ok($$ insert into public.import_session_shares values (tests.session_of('b1'), auth.uid()) $$, '42501',
  'permission denied for table import_session_shares', 'nor shares');

select * from finish();
rollback;
