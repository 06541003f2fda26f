-- What is published to Realtime: the tables that clients follow, without the claims of jobs.
begin;
select plan(13);
select tests.set_up_actors();

create temporary view published as
  select t.tablename::text collate "default" as name, t.attnames::text[] collate "default" as columns
  from pg_publication_tables as t
  where t.pubname = 'supabase_realtime' and t.schemaname = 'public';
create temporary view followed as
  select * from published where name in ('sync_progress', 'scheduled_jobs', 'import_batches');

-- The publication -----------------------------------------------------------------------------------

drop publication if exists supabase_realtime;
select lives_ok('select private.publish_changes()', 'where nothing is published there is nothing to do');
set local client_min_messages = error; -- of wal_level
create publication supabase_realtime for table public.organization, public.sync_progress (id, status);
reset client_min_messages;
select lives_ok('select private.publish_changes()', 'what is missing is added');
select set_eq('select name from published', '{organization, sync_progress, scheduled_jobs, import_batches}'::text[],
  'to what was there');
select results_eq($$ select columns::text from published where name = 'sync_progress' $$, $$ values ('{id,status}') $$,
  'which stays as it was');

alter publication supabase_realtime drop table public.sync_progress;
select lives_ok('select private.publish_changes(), private.publish_changes()', 'it may be said twice');
select is((select count(*) from followed), 3::bigint, 'progress, jobs and imports are published');
select is_empty($$ select name from followed where 'claims' = any (columns) $$, 'claims are not');
select is_empty(
  $$ select f.name, c.name from followed as f
     cross join lateral unnest(f.columns) as c (name)
     cross join unnest('{authenticated, service_role}'::text[]) as r (name)
     where not has_column_privilege(r.name, format('public.%I', f.name), c.name, 'select') $$,
  'nor anything else that clients may not read');
select is_empty(
  $$ select name from followed where not (select relrowsecurity from pg_class where oid = format('public.%I', name)::regclass)
     or not '{id, org_id, status}' <@ columns $$,
  'rows are protected, and can be told apart');

-- The rows: Realtime asks for each change, as the subscriber, whether they may select it --------------

insert into public.import_batches (id, org_id, dataset, mode, source)
values (tests.user_id('the import'), tests.org_id('acme'), 'customers', 'upsert', 'api');
update public.import_batches set status = 'failed' where id = tests.user_id('the import');
insert into public.sync_progress (org_id, sync_id, entity_type, status, total_items, processed_count, current_item, failed_count)
values (tests.org_id('acme'), 'the import', 'customer', 'running', 10, 1, 1, 0);
prepare visible as
  select (select count(*) from public.import_batches where id = tests.user_id('the import')),
    (select count(*) from public.sync_progress where sync_id = 'the import');

select tests.act_as('vic');
select results_eq('visible', 'values (1::bigint, 1::bigint)', 'whoever belongs to the organization follows its imports');
select throws_ok('select claims from public.scheduled_jobs', '42501', 'permission denied for table scheduled_jobs',
  'but reads nobody''s claims');
select tests.act_as('bob');
select results_eq('visible', 'values (0::bigint, 0::bigint)', 'others follow nothing of it');
select tests.act_as_role('service_role');
select throws_ok('select claims from public.scheduled_jobs', '42501', 'permission denied for table scheduled_jobs',
  'the service reads no claims either');

select * from finish();
rollback;
