-- Retention, the cron jobs, and the number of workers.
begin;
select plan(19);
select tests.set_up_actors();

-- Cron -----------------------------------------------------------------------------------------------

select is(
  (select array_agg(j.jobname || ' ' || j.schedule order by j.jobname) from cron.job as j
    where j.jobname ~ '^(jobs|imports|maintenance)\.' and j.jobname !~ '^jobs\.work_'),
  '{"imports.delete_files */5 * * * *","imports.drop_ingests 10 seconds","imports.expire_sessions 17 * * * *","imports.fail_interrupted 30 seconds","imports.purge_previews */5 * * * *","imports.remove_secrets * * * * *","jobs.cancel_overdue 10 seconds","jobs.tend 5 seconds","maintenance.create_partitions 7 * * * *","maintenance.purge_expired 37 * * * *"}', 'what cron runs');
select is((select bool_and(j.active and j.username = 'postgres' and j.database = current_database()) from cron.job as j
  where j.jobname ~ '^(jobs|imports|maintenance)\.'), true, 'as postgres, here');
select private.set_worker_count(3);
select is((select array_agg(j.jobname order by j.jobname) from cron.job as j where j.jobname ~ '^jobs\.work_'),
  '{jobs.work_1,jobs.work_2,jobs.work_3}', 'three workers are three jobs');
select is((select distinct j.schedule from cron.job as j where j.jobname ~ '^jobs\.work_'), '1 seconds', 'each second');
select private.set_worker_count(1);
select is((select array_agg(j.jobname order by j.jobname) from cron.job as j where j.jobname ~ '^jobs\.work_'),
  '{jobs.work_1}', 'one is one');
select is((select j.command ~ '^\s*do \$body\$.*commit.*\$body\$\s*$' from cron.job as j
  where j.jobname = 'jobs.work_1'), true, 'a worker is a do block that commits');

-- Purge ----------------------------------------------------------------------------------------------

select tests.act_as('max');
select tests.keep('old', tests.stage_import('customers', '{external_id,name}', '[["1", "one"]]'));
select tests.run_import(tests.kept('old'));
select tests.keep('new', tests.stage_import('customers', '{external_id,name}', '[["1", "one"]]'));
select tests.run_import(tests.kept('new'));
select tests.act_as_role('postgres');
update public.import_batches set staged_on = current_date - 60 where id = tests.kept('old');
update public.scheduled_jobs set finished_at = now() - interval '91 days' where batch_id = tests.kept('old');
-- Old partitions: two months and two weeks ago, made by hand.
do $$
declare
  v_week  date := date_trunc('week', current_date) - interval '8 weeks';
  v_month date := date_trunc('month', current_date) - interval '20 months';
  t       text;
begin
  foreach t in array '{import_rows,import_issues,import_outcomes}'::text[] loop
    execute format('create table private.%I partition of private.%I for values from (%L) to (%L)', t || '_old', t,
      v_week, v_week + 7);
  end loop;
  execute format('create table private.sync_activity_log_old partition of public.sync_activity_log for values from (%L) to (%L)', v_month, v_month + interval '1 month');
end $$;
create temporary table purged as select private.purge_expired() as result;
select is((select (result -> 'jobs')::integer from purged), 2, 'jobs over their time go');
select is_empty($$ select 1 from public.scheduled_jobs as j where j.batch_id = tests.kept('old') $$, 'as they should');
select isnt_empty($$ select 1 from public.scheduled_jobs as j where j.batch_id = tests.kept('new') $$, 'others stay');
select is((select count(*) from public.sync_progress as p where p.org_id = tests.org_id('acme')), 2::bigint,
  'their progress goes with them');
select is((select (result -> 'plans')::integer from purged), 1, 'so do plans of imports whose rows are gone');
select isnt_empty($$ select 1 from private.import_plans as p where p.batch_id = tests.kept('new') $$, 'and no others');
select is((select jsonb_typeof(result -> 'cron_details') from purged), 'number', 'details of cron are looked at, too');
select is(
  (select array_agg(to_regclass('private.' || t) is null)
    from unnest('{import_rows_old,import_issues_old,import_outcomes_old,sync_activity_log_old}'::text[]) as t),
    '{t,t,t,t}', 'old partitions are dropped');
select is((select jsonb_array_length(result -> 'partitions') from purged), 4, 'and counted');
select isnt_empty($$ select 1 from private.import_rows as r where r.batch_id = tests.kept('new') $$, 'the others stay');
select is(public.get_import(tests.kept('old')) ->> 'status', 'completed', 'the import itself stays known');
select is((select count(*) from public.list_import_rows(tests.kept('old'))), 0::bigint, 'without its rows');
select lives_ok('select private.create_all_partitions()', 'partitions to come are there already');

select * from finish();
rollback;
