-- The verification statements of the documents that the system was first described in, with the names that are: the tables of
-- jobs and synchronizations, their columns, enums, policies, indexes, triggers, partitions, calculated columns and isolation.
begin;
select plan(68);
select tests.set_up_actors();

-- Tables and columns ---------------------------------------------------------------------------------

select has_table('public', t, t || ' is there')
from unnest('{organization,profiles,scheduled_jobs,sync_job_queue,sync_error_log,sync_retry_policy,sync_preview_cache,sync_progress,sync_activity_log}'::name[]) as t;
select results_eq(
  $$ select c.table_name::text collate "default", count(*) from information_schema.columns as c
     where c.table_schema = 'public' and c.table_name in ('sync_preview_cache', 'sync_progress', 'sync_activity_log') group by 1 order by 1 $$,
  $$ values ('sync_activity_log', 10::bigint), ('sync_preview_cache', 8), ('sync_progress', 16) $$,
  'preview cache, progress and log have the columns that were counted');
select columns_are('public', 'sync_preview_cache',
  '{id,org_id,sync_type,entity_type,cache_key,preview_data,created_at,expires_at}'::name[], 'of the preview cache');
select columns_are('public', 'sync_progress',
  '{id,org_id,sync_id,entity_type,source_system,status,total_items,processed_count,current_item,failed_count,elapsed_seconds,speed_items_per_min,eta_seconds,started_at,updated_at,completed_at}'::name[],
  'of progress');
select columns_are('public', 'sync_activity_log',
  '{id,org_id,user_id,sync_id,entity_type,action,status,details,error_message,created_at}'::name[], 'of the log');
select is(
  (select count(*) from information_schema.columns as c where c.table_schema = 'public' and c.table_name = 'profiles'
   and c.column_name in ('org_id', 'email', 'full_name', 'avatar_url', 'is_active', 'created_at', 'updated_at')),
  7::bigint, 'a profile has what extended a user');
select is(
  (select count(*) from information_schema.columns as c where c.table_schema = 'public' and c.column_name = 'org_id' and c.is_nullable = 'NO'
   and c.table_name in ('scheduled_jobs', 'sync_job_queue', 'sync_error_log', 'sync_preview_cache', 'sync_progress', 'sync_activity_log')),
  6::bigint, 'every row of theirs belongs to an organization');

-- Enums ----------------------------------------------------------------------------------------------

select enum_has_labels('public', 'sync_type', '{import,users,pull,undo,delete}'::name[], 'sync_type');
select enum_has_labels('public', 'sync_action',
  '{created,updated,deleted,skipped,failed,started,validated,completed,cancelled,paused,resumed,undone,transferred}'::name[], 'sync_action');
select enum_has_labels('public', 'sync_entity_type',
  '{customer,contact,product,inventory,order,invoice,payment,warehouse_location,delivery_route,user,other}'::name[], 'sync_entity_type');
select enum_has_labels('public', 'sync_status_type', '{pending,queued,running,paused,completed,failed,cancelled}'::name[], 'sync_status_type');

-- Policies -------------------------------------------------------------------------------------------

select policies_are('public', 'sync_preview_cache', '{preview_cache_select,preview_cache_insert,preview_cache_update,preview_cache_delete}'::name[],
  'four policies of the preview cache');
select policies_are('public', 'sync_progress', '{sync_progress_select,sync_progress_insert,sync_progress_update,sync_progress_delete}'::name[],
  'four of progress');
select policies_are('public', 'sync_activity_log',
  '{sync_activity_log_select,sync_activity_log_insert,sync_activity_log_update,sync_activity_log_delete}'::name[], 'four of the log');
select results_eq(
  $$ select p.tablename::text collate "default", string_agg(p.cmd, ',' order by p.cmd) from pg_policies as p
     where p.schemaname = 'public' and p.tablename in ('scheduled_jobs', 'sync_job_queue', 'sync_error_log', 'sync_retry_policy') group by 1 order by 1 $$,
  $$ values ('scheduled_jobs', 'DELETE,INSERT,SELECT,UPDATE'), ('sync_error_log', 'DELETE,INSERT,SELECT,UPDATE'),
    ('sync_job_queue', 'DELETE,INSERT,SELECT,UPDATE'), ('sync_retry_policy', 'DELETE,INSERT,SELECT,UPDATE') $$,
  'and of each table of jobs, one a command');
select is(
  (select bool_and(c.relrowsecurity) from pg_class as c where c.oid = any ('{public.scheduled_jobs, public.sync_job_queue, public.sync_error_log,
    public.sync_retry_policy, public.sync_preview_cache, public.sync_progress, public.sync_activity_log}'::regclass[])),
  true, 'all have row level security');

-- Indexes --------------------------------------------------------------------------------------------

select has_index('public', 'organization', i, i || ' is there') from unnest('{idx_organization_slug,idx_organization_active,idx_organization_created}'::name[]) as i;
select cmp_ok(
  (select count(*) from pg_indexes as i where i.schemaname = 'public' and i.tablename in (
    'scheduled_jobs', 'sync_job_queue', 'sync_error_log', 'sync_preview_cache', 'sync_progress', 'sync_activity_log')),
  '>=', 15::bigint, 'fifteen indexes and more on jobs, previews, progress and log');

-- Functions and triggers -----------------------------------------------------------------------------

select has_function('public', f, f || ' is there')
from unnest('{auto_cleanup_preview_cache,auto_log_sync_activity_on_progress_change,update_sync_progress_elapsed,update_sync_progress_timestamp,validate_sync_progress_totals}'::name[]) as f;
select triggers_are('public', 'sync_progress',
  '{sync_progress_update_elapsed,sync_progress_validate_totals,sync_progress_update_timestamp,sync_progress_log_completion}'::name[],
  'four triggers of progress');

-- Partitions -----------------------------------------------------------------------------------------

select set_has(
  $$ select i.inhrelid::regclass::text from pg_inherits as i where i.inhparent = 'public.sync_activity_log'::regclass $$,
  $$ select 'private.sync_activity_log_default' union all
     select 'private.sync_activity_log_' || to_char(date_trunc('month', current_date) + n * interval '1 month', '"y"YYYY"m"MM') from generate_series(0, 3) as n $$,
  'the log has partitions of this month and the three after it, and a default one');
select is_empty('select 1 from private.sync_activity_log_default', 'which is empty');
select isnt_empty(
  $$ select 1 from cron.job as j where j.jobname = 'maintenance.create_partitions' and j.active and j.command ~ 'create_all_partitions' $$,
  'the schedule makes those to come');

-- Calculated columns ---------------------------------------------------------------------------------

insert into public.sync_progress (org_id, sync_id, entity_type, total_items, processed_count, source_system, started_at)
values (tests.org_id('acme'), 'test-sync-001', 'customer', 100, 0, 'woocommerce', clock_timestamp() - interval '30 seconds');
update public.sync_progress set processed_count = 50, current_item = 50 where sync_id = 'test-sync-001';
select results_eq(
  $$ select round(p.elapsed_seconds), round(p.speed_items_per_min), round(p.eta_seconds) from public.sync_progress as p where p.sync_id = 'test-sync-001' $$,
  $$ values (30::numeric, 100::numeric, 30::numeric) $$, 'half of a hundred in half a minute: elapsed, speed and what is left are calculated');
select throws_ok($$ update public.sync_progress set processed_count = 101 where sync_id = 'test-sync-001' $$,
  '22023', 'progress counts do not fit together', 'impossible totals are refused');
update public.sync_progress set status = 'completed', processed_count = 100 where sync_id = 'test-sync-001';
select results_eq($$ select l.action::text, l.status::text from public.sync_activity_log as l where l.sync_id = 'test-sync-001' $$,
  $$ values ('completed', 'completed') $$, 'the completion is in the log');

-- Preview cache --------------------------------------------------------------------------------------

insert into public.sync_preview_cache (org_id, sync_type, entity_type, cache_key, preview_data)
values (tests.org_id('acme'), 'pull', 'customer', 'new:' || tests.user_id('max'), '{}');
select is((select c.expires_at - c.created_at from public.sync_preview_cache as c where c.cache_key like 'new:%'), interval '1 hour',
  'a preview lives for an hour');
insert into public.sync_preview_cache (org_id, sync_type, entity_type, cache_key, preview_data, created_at, expires_at)
values (tests.org_id('acme'), 'pull', 'customer', 'old:' || tests.user_id('max'), '{}', now() - interval '2 hours', now() - interval '1 hour');
select cmp_ok(public.auto_cleanup_preview_cache(), '>=', 1, 'then it is cleaned away');
select results_eq($$ select split_part(c.cache_key, ':', 1) from public.sync_preview_cache as c where c.org_id = tests.org_id('acme') $$, array['new'],
  'and no other');
select isnt_empty($$ select 1 from cron.job as j where j.jobname = 'imports.purge_previews' and j.active $$, 'by schedule');

-- Retry policy and error log: what an attempt comes to is the policy's to decide, and every one is logged --

insert into private.settings (key, value) values ('jobs.running_per_organization', '100');
create function private.run_flaky(p_task public.sync_job_queue) returns private.task_result language plpgsql set search_path = '' as $$
begin
  raise exception using errcode = (select j.params ->> 'code' from public.scheduled_jobs as j where j.id = p_task.job_id), message = 'flaky';
end $$;
create function private.advance_flaky(p_job public.scheduled_jobs) returns boolean language sql set search_path = '' as $$ select true $$;
create function private.end_flaky(p_job public.scheduled_jobs) returns void language sql set search_path = '' as $$ select $$;
insert into private.job_types values ('flaky', 'private.run_flaky', 'private.advance_flaky', 'private.end_flaky');
insert into public.sync_retry_policy (job_type, max_attempts, base_delay) values ('flaky', 3, '0 seconds');
create function pg_temp.flaky(p_code text) returns text language plpgsql as $$
declare
  v_job public.scheduled_jobs;
begin
  insert into public.scheduled_jobs (job_type, org_id, params) values ('flaky', tests.org_id('acme'), jsonb_build_object('code', p_code)) returning * into v_job;
  perform private.enqueue_tasks(v_job, 'flaky', 0, 1, 1);
  perform tests.run_jobs();
  return (select j.status from public.scheduled_jobs as j where j.id = v_job.id) || ' '
    || (select count(*) from public.sync_error_log as e where e.job_id = v_job.id);
end $$;
select is(pg_temp.flaky('40001'), 'failed 3', 'what may pass is tried three times, each of them logged');
select is(pg_temp.flaky('23514'), 'failed 1', 'what will not pass once');
update public.sync_retry_policy set max_attempts = 5, retry_classes = '{23}' where job_type = 'flaky';
select is(pg_temp.flaky('23514') || ', ' || pg_temp.flaky('40001'), 'failed 5, failed 1', 'another policy decides otherwise');
select results_eq(
  $$ select e.attempt from public.sync_error_log as e where e.job_id = (
       select j.id from public.scheduled_jobs as j where j.job_type = 'flaky' order by j.created_at limit 1) order by e.id $$,
  array[1, 2, 3]::smallint[], 'attempts are counted');

-- Isolation ------------------------------------------------------------------------------------------

insert into public.sync_progress (org_id, sync_id, entity_type) values (tests.org_id('bolt'), 'bolts', 'customer');
create function pg_temp.foreign_rows(p_own text) returns bigint language sql as $$
  select
    (select count(*) from public.scheduled_jobs where org_id <> tests.org_id(p_own))
    + (select count(*) from public.sync_job_queue where org_id <> tests.org_id(p_own))
    + (select count(*) from public.sync_error_log where org_id <> tests.org_id(p_own))
    + (select count(*) from public.sync_preview_cache where org_id <> tests.org_id(p_own))
    + (select count(*) from public.sync_progress where org_id <> tests.org_id(p_own))
    + (select count(*) from public.sync_activity_log where org_id <> tests.org_id(p_own))
$$;
select tests.act_as('vic');
select is((select count(*) from public.sync_progress where org_id = tests.org_id('acme')) > 0, true, 'a viewer sees the rows of their organization');
select is(pg_temp.foreign_rows('acme'), 0::bigint, 'and none of another');
select tests.act_as('ann');
select is((select count(*) from public.sync_error_log where org_id = tests.org_id('acme')) > 0, true, 'an admin sees its errors');
select is(pg_temp.foreign_rows('acme'), 0::bigint, 'and none of another either');
select tests.act_as('bob');
select is(pg_temp.foreign_rows('bolt'), 0::bigint, 'nor does the other''s admin');
select tests.act_as('otto');
select is(pg_temp.foreign_rows('none'), 0::bigint, 'who belongs to no organization sees nothing');
select tests.act_as('ann');
select throws_ok(format('delete from public.%I', t), '42501', 'permission denied for table ' || t, 'clients take nothing away: ' || t)
from unnest('{scheduled_jobs,sync_job_queue,sync_error_log,sync_retry_policy,sync_preview_cache,sync_progress,sync_activity_log}'::text[]) as t;

-- Nor would they, should a grant slip in.
select tests.act_as_role('postgres');
grant update, delete on public.scheduled_jobs, public.sync_job_queue, public.sync_error_log, public.sync_retry_policy, public.sync_preview_cache,
  public.sync_progress, public.sync_activity_log to authenticated;
select tests.act_as('ann');
select is_empty(format('delete from public.%I returning 1', t), 'policies close it once more: ' || t)
from unnest('{scheduled_jobs,sync_job_queue,sync_error_log,sync_retry_policy,sync_preview_cache,sync_progress,sync_activity_log}'::text[]) as t;

select * from finish();
rollback;
