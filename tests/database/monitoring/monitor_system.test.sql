-- monitor_errors, monitor_organizations, monitor_partitions, monitor_cron, monitor_health: what they show, and to whom.
begin;
select plan(49);
select tests.set_up_actors();
insert into private.settings (key, value) values ('jobs.running_per_organization', '1');
update public.sync_retry_policy set max_attempts = 1;

-- acme: a job that failed, one that runs, one that waits. bolt: one that is ready for a long time.
select tests.act_as('max');
create function pg_temp.validating(p_name text) returns uuid language sql as $$
  select (public.validate_import(tests.stage_import('customers', '{external_id,name}', jsonb_build_array(jsonb_build_array(p_name, 'x'))))
    ->> 'id')::uuid
$$;
select tests.keep('failed', pg_temp.validating('failed'));
select tests.join_organization('max', 'acme', 'viewer');
select tests.run_jobs();
select tests.join_organization('max', 'acme', 'member');
select tests.keep('runs', pg_temp.validating('runs')), tests.keep('waits', pg_temp.validating('waits'));
select tests.act_as('ben');
select tests.keep('bens', pg_temp.validating('bens'));
select tests.act_as_role('postgres');
insert into public.sync_error_log (org_id, job_id, task_id, attempt, sqlstate, message, at)
values
  (tests.org_id('acme'), tests.kept('runs'), 1, 1, '40001', 'twice', now() - interval '2 days'),
  (tests.org_id('acme'), tests.kept('waits'), 1, 1, '40001', 'twice', now() - interval '1 day'),
  (tests.org_id('acme'), tests.kept('runs'), 1, 1, '40001', 'old', now() - interval '8 days'),
  (tests.org_id('bolt'), tests.kept('bens'), 1, 1, '40001', 'twice', now());

-- Errors ---------------------------------------------------------------------------------------------

select tests.act_as('ann');
select results_eq(
  $$ select m.organization, m.job_type, m.code, m.message, m.times, m.jobs, m.last_job_id, m.hint from public.monitor_errors as m order by m.code $$,
  $$ values
    ('tests-acme', 'validate', '40001', 'twice', 2::bigint, 2::bigint, tests.kept('waits'), null),
    ('tests-acme', 'validate', '42501', 'organization role required', 1, 1, tests.kept('failed'), 'Ask an admin of the organization.') $$,
  'errors of a week, how often, in how many jobs, and the last of them');
select tests.act_as('bob');
select results_eq($$ select distinct m.organization from public.monitor_errors as m $$, $$ values ('tests-bolt') $$, 'each admin their organization''s');
select tests.act_as('sid');
select results_eq($$ select distinct m.organization from public.monitor_errors as m where m.organization like 'tests-%' order by 1 $$,
  $$ values ('tests-acme'), ('tests-bolt') $$, 'a system admin all');

-- Organizations --------------------------------------------------------------------------------------

select tests.act_as('ann');
select results_eq(
  $$ select m.organization, m.is_active, m.people, m.admins, m.running_jobs, m.most_running_jobs, m.waiting_jobs, m.most_waiting_jobs,
       m.failed_jobs_last_day, m.imports_last_day, m.rows_last_day, m.last_import_at is not null from public.monitor_organizations as m $$,
  $$ values ('tests-acme', true, 4::bigint, 1::bigint, 1::bigint, 1, 1::bigint, 100, 1::bigint, 3::bigint, 3::bigint, true) $$,
  'an organization: people, jobs beside what is allowed, imports');
select tests.act_as('bob');
select results_eq($$ select m.organization, m.running_jobs, m.waiting_jobs from public.monitor_organizations as m $$,
  $$ values ('tests-bolt', 1::bigint, 0::bigint) $$, 'each admin their own');
select tests.act_as_role('postgres');
update public.organization set is_active = false where id = tests.org_id('bolt');
select tests.act_as('sid');
select results_eq($$ select m.organization, m.is_active from public.monitor_organizations as m where m.organization like 'tests-%' order by 1 $$,
  $$ values ('tests-acme', true), ('tests-bolt', false) $$, 'a system admin all, closed ones, too');
select tests.act_as_role('postgres');
update public.organization set is_active = true where id = tests.org_id('bolt');

-- Partitions -----------------------------------------------------------------------------------------

select results_eq(
  $$ select m.table_name from public.monitor_partitions as m where m.status = 'ok' and m.partitions_ahead >= 3 and m.default_rows = 0 order by 1 $$,
  $$ values ('private.import_group_rows'), ('private.import_issues'), ('private.import_outcomes'), ('private.import_reversals'),
    ('private.import_rows'), ('public.sync_activity_log') $$,
  'every table has three partitions ahead, and nothing in the default one');
select results_eq(
  $$ select m.covered_until, m.total_bytes > 0 from public.monitor_partitions as m where m.table_name = 'public.sync_activity_log' $$,
  $$ values ((date_trunc('month', current_date) + interval '4 months')::date, true) $$, 'the log reaches to the end of the third month from now');
insert into public.sync_activity_log (org_id, entity_type, action, status, created_at)
values (tests.org_id('acme'), 'other', 'created', 'completed', now() + interval '1 year'), (tests.org_id('acme'), 'other', 'created', 'completed', now() - interval '3 years');
select results_eq($$ select m.status, m.default_rows from public.monitor_partitions as m where m.table_name = 'public.sync_activity_log' $$,
  $$ values ('default partition holds rows', 2::bigint) $$, 'what strayed is counted');
select is((select h.status from public.monitor_health as h where h.subject = 'partitions'), 'failing', 'health says so');
select private.create_all_partitions();
select results_eq($$ select m.status, m.default_rows from public.monitor_partitions as m where m.table_name = 'public.sync_activity_log' $$,
  $$ values ('ok', 0::bigint) $$, 'the schedule''s next run gives it partitions');
create table private.lapsed (on_day date not null, primary key (on_day)) partition by range (on_day);
select private.create_partitions('private.lapsed', 'month', 1);
select is((select m.status from public.monitor_partitions as m where m.table_name = 'private.lapsed'), 'ends soon', 'one whose partitions come to an end');
select is((select h.status from public.monitor_health as h where h.subject = 'partitions'), 'warning', 'health says that, too');
drop table private.lapsed;
select is((select h.status from public.monitor_health as h where h.subject = 'partitions'), 'ok', 'and when all is well');

-- Cron -----------------------------------------------------------------------------------------------

-- Runs are written by pg_cron alone: those that there are.
select cron.schedule('tests.never', '0 0 1 1 *', 'select 1');
select results_eq(
  $$ select m.schedule, m.is_active, m.last_status, m.failures_last_day from public.monitor_cron as m where m.job = 'tests.never' $$,
  $$ values ('0 0 1 1 *', true, null, 0::bigint) $$, 'a job that has not run yet');
select set_eq(
  $$ select m.job, m.last_status, m.last_started_at, m.last_message from public.monitor_cron as m $$,
  $$ select j.jobname, d.status, d.start_time, d.return_message from cron.job as j
     left join lateral (
       select r.* from cron.job_run_details as r where r.jobid = j.jobid order by r.runid desc limit 1
     ) as d on true $$, 'each job with its last run');
select isnt_empty($$ select 1 from public.monitor_cron as m where m.job = 'jobs.work_1' $$, 'the workers are among them');
select cron.alter_job((select j.jobid from cron.job as j where j.jobname = 'tests.never'), active => false);
select matches((select h.status || ' ' || h.detail from public.monitor_health as h where h.subject = 'cron'),
  '^warning .*tests\.never.* failed or is off$', 'health names one that is switched off');

-- Health ---------------------------------------------------------------------------------------------

create function pg_temp.health(p_subject text) returns text language sql as $$
  select concat_ws(' ', h.status, h.detail) from public.monitor_health as h where h.subject = p_subject
$$;
select tests.act_as('sid');
select set_eq($$ select h.subject from public.monitor_health as h $$, '{workers,cron,partitions,queue,jobs,limits,uploads}'::text[],
  'a system admin sees to everything');
select tests.act_as_role('service_role');
select is((select count(*) from public.monitor_health), 7::bigint, 'so does the service');
select tests.act_as('ann');
select set_eq($$ select h.subject from public.monitor_health as h $$, '{queue,jobs,limits,uploads}'::text[], 'an admin to their organization');
select is(pg_temp.health('jobs'), 'warning 1 failed in a day', 'a job failed');
select is((select h.hint from public.monitor_health as h where h.subject = 'jobs'), 'See monitor_errors.', 'with where to look');
select is(pg_temp.health('queue'), 'ok 1 tasks are ready, the oldest for 00:00:00', 'the queue is well');
select is((select h.hint from public.monitor_health as h where h.subject = 'queue'), null, 'and needs nothing');
select is(pg_temp.health('limits'), 'ok 0 organizations have nearly as many jobs waiting as they may', 'limits are far');
select is(pg_temp.health('uploads'), 'ok 0 have been receiving for an hour', 'no upload hangs');
select tests.act_as('bob');
select is(pg_temp.health('jobs'), 'ok 0 failed in a day', 'what another organization''s jobs did is not theirs to know');
select tests.act_as_role('postgres');
update public.sync_job_queue set next_attempt_at = clock_timestamp() - interval '2 minutes' where job_id = tests.kept('bens');
insert into private.settings (key, value) values ('jobs.queued_per_organization', '1');
insert into public.import_batches (org_id, dataset, mode, source, created_at) values (tests.org_id('bolt'), 'customers', 'upsert', 'api', now() - interval '2 hours');
select tests.act_as('bob');
select is(pg_temp.health('queue'), 'warning 1 tasks are ready, the oldest for 00:02:00', 'a task that waits for minutes');
select is(pg_temp.health('uploads'), 'warning 1 have been receiving for an hour', 'an upload that hangs');
select tests.act_as('ann');
select is(pg_temp.health('queue'), 'ok 1 tasks are ready, the oldest for 00:00:00', 'are bolt''s');
select is(pg_temp.health('limits'), 'warning 1 organizations have nearly as many jobs waiting as they may', 'acme is at its limit');
select tests.act_as_role('postgres');
update public.sync_job_queue set next_attempt_at = clock_timestamp() - interval '11 minutes' where job_id = tests.kept('bens');
select tests.act_as('bob');
select matches(pg_temp.health('queue'), '^failing', 'for long it is a failure');

-- To whom --------------------------------------------------------------------------------------------

create function pg_temp.seen() returns text language plpgsql as $$
declare
  v_view  text;
  v_count bigint;
  v_seen  text[] := '{}';
begin
  foreach v_view in array '{monitor_errors,monitor_organizations,monitor_partitions,monitor_cron,monitor_health}'::text[] loop
    execute format('select count(*) from public.%I', v_view) into v_count;
    v_seen := v_seen || case when v_count > 0 then v_view end;
  end loop;
  return array_to_string(v_seen, ' ');
end $$;
select tests.act_as('ann');
select is(pg_temp.seen(), 'monitor_errors monitor_organizations monitor_health', 'admins see nothing of the system');
select tests.act_as('sid');
select is(pg_temp.seen(), 'monitor_errors monitor_organizations monitor_partitions monitor_cron monitor_health', 'system admins all');
select tests.act_as_role('service_role');
select is(pg_temp.seen(), 'monitor_errors monitor_organizations monitor_partitions monitor_cron monitor_health', 'the service all');
select tests.act_as('max');
select is(pg_temp.seen(), '', 'members nothing');
select tests.act_as('vic');
select is(pg_temp.seen(), '', 'viewers nothing');
select tests.act_as('otto');
select is(pg_temp.seen(), '', 'who belongs to none nothing');
select tests.act_as_role('anon');
select throws_ok(format('select 1 from public.%I', v), '42501', 'permission denied for view ' || v, 'anon: ' || v)
from unnest('{monitor_errors,monitor_organizations,monitor_partitions,monitor_cron,monitor_health}'::text[]) as v;
select tests.act_as('sid');
select throws_ok(format('delete from public.%I', v), '55000', format('cannot delete from view "%s"', v), 'they are read: ' || v)
from unnest('{monitor_errors,monitor_organizations,monitor_partitions,monitor_cron,monitor_health}'::text[]) as v;

select * from finish();
rollback;
