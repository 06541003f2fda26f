-- The monitor views: what they show, and to whom.
begin;
select plan(24);
select tests.set_up_actors();

create function tests.seen() returns text language plpgsql volatile security invoker set search_path = '' as $$
begin
  return (select string_agg(v.name, ' ' order by v.name) from (
    select 'imports:' || o.slug from public.monitor_imports as m join public.organization as o on o.id = m.org_id
      where o.slug like 'tests-%'
    union select 'jobs:' || m.organization from public.monitor_jobs as m where m.organization like 'tests-%'
    union select 'queue:' || m.organization from public.monitor_queue as m
      where m.organization like 'tests-%') as v (name));
end $$;
grant execute on function tests.seen() to authenticated, service_role, anon;

-- acme: one import completed, one with a failed attempt under way, one failed; bolt: one waiting.
insert into private.settings (key, value) values ('imports.chunk_rows', '1');
select tests.act_as('max');
select tests.keep('done', tests.stage_import('customers', '{external_id,name}', '[["1", "one"], ["2", null]]'));
select tests.run_import(tests.kept('done'));
select tests.keep('aborted', tests.stage_import('customers', '{external_id,name}', '[["1", null]]',
  p_options => '{"on_error": "abort"}'));
select tests.run_import(tests.kept('aborted'));
select tests.keep('running', tests.stage_import('customers', '{external_id,name}',
  '[["3", "x"], ["4", "x"], ["5", "x"], ["6", "x"]]'));
select tests.run_import(tests.kept('running'), false);
select public.commit_import(tests.kept('running'));
select tests.run_jobs(1);
select tests.act_as('ben');
select tests.keep('bolts', tests.stage_import('products', '{sku,name,unit_price}', '[["1", "one", "1"]]'));
select public.validate_import(tests.kept('bolts'));
select tests.act_as_role('postgres');
update public.sync_job_queue set next_attempt_at = clock_timestamp() - interval '1 minute'
  where id = (select min(q.id) from public.sync_job_queue as q where q.org_id = tests.org_id('acme'));
update public.sync_job_queue set next_attempt_at = clock_timestamp() + interval '1 hour'
  where id = (select max(q.id) from public.sync_job_queue as q where q.org_id = tests.org_id('acme'));
insert into public.sync_error_log (org_id, job_id, task_id, attempt, sqlstate, message)
select j.org_id, j.id, 1, 1, '40001', 'x' from public.scheduled_jobs as j where j.batch_id = tests.kept('running')
  and j.job_type = 'commit';

-- What -----------------------------------------------------------------------------------------------

select tests.act_as('ann');
select results_eq(
  $$ select m.organization, m.dataset, m.mode::text, m.status::text, m.file_name, m.initiated_by, m.row_count,
    m.inserted, m.updated, m.unchanged, m.deleted, m.skipped, m.failed,
       m.percent_done, m.error_code, m.finished_at is not null
     from public.monitor_imports as m where m.org_id = tests.org_id('acme') order by m.row_count, m.status $$,
  $$ values
    ('tests-acme', 'customers', 'upsert', 'failed', 'file.csv', 'max@example.test', 1, 0::bigint, 0::bigint, 0::bigint,
      0::bigint, 0, 1::bigint, 100.0, 'rows_invalid', true),
    ('tests-acme', 'customers', 'upsert', 'completed', 'file.csv', 'max@example.test', 2, 1, 0, 0, 0, 0, 1, 100.0, null,
      true),
    ('tests-acme', 'customers', 'upsert', 'committing', 'file.csv', 'max@example.test', 4, 1, 0, 0, 0, 0, 0, 25.0, null,
      false) $$,
  'monitor_imports: what became of the rows, and how far it is');
select results_eq(
  $$ select m.job_type, m.status::text, m.run_as::text, m.actor, m.total_count, m.done_count, m.failed_count,
    m.waiting_tasks, m.running_tasks, m.dead_tasks, m.failed_attempts
     from public.monitor_jobs as m where m.import_id = tests.kept('running') order by m.created_at $$,
  $$ values ('validate', 'completed', 'user', 'max@example.test', 4::bigint, 4::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint),
    ('commit', 'running', 'user', 'max@example.test', 4, 1, 0, 3, 0, 0, 1) $$,
  'monitor_jobs: tasks and failed attempts');
select results_eq(
  $$ select m.organization, m.job_type, m.ready_tasks, m.delayed_tasks, m.running_tasks, m.held_tasks, m.dead_tasks,
    m.most_attempts, m.longest_wait > interval '59 seconds'
     from public.monitor_queue as m $$,
  $$ values ('tests-acme', 'commit', 2::bigint, 1::bigint, 0::bigint, 0::bigint, 0::bigint, 0::smallint, true) $$,
    'monitor_queue: what waits, and how long');
select lives_ok($$ select * from public.monitor_workers $$, 'monitor_workers can be asked');
select is_empty($$ select 1 from public.monitor_workers as w where w.org_id is distinct from tests.org_id('acme') $$,
  'an admin sees no idle or other organization''s workers');

-- To whom --------------------------------------------------------------------------------------------

select is(tests.seen(), 'imports:tests-acme jobs:tests-acme queue:tests-acme', 'an admin sees their organization');
select tests.act_as('bob');
select is(tests.seen(), 'imports:tests-bolt jobs:tests-bolt queue:tests-bolt', 'the other''s admin the other');
select tests.act_as('sid');
select is(tests.seen(),
  'imports:tests-acme imports:tests-bolt jobs:tests-acme jobs:tests-bolt queue:tests-acme queue:tests-bolt',
  'a system admin all');
select tests.act_as_role('service_role');
select is(tests.seen(),
  'imports:tests-acme imports:tests-bolt jobs:tests-acme jobs:tests-bolt queue:tests-acme queue:tests-bolt',
  'the service all');
select tests.act_as('max');
select is(tests.seen(), null, 'a member nothing, not even their own');
select tests.act_as('vic');
select is(tests.seen(), null, 'a viewer nothing');
select tests.act_as('otto');
select is(tests.seen(), null, 'who belongs to none nothing');
select tests.act_as_role('anon');
select throws_ok(format('select 1 from public.%I', v), '42501', 'permission denied for view ' || v, 'anon: ' || v)
  from unnest('{monitor_imports,monitor_jobs,monitor_queue,monitor_workers}'::text[]) as v;
select tests.act_as('ann');
select throws_ok(format('delete from public.%I', v), '55000', format('cannot delete from view "%s"', v),
  'they are read: ' || v) from unnest('{monitor_imports,monitor_jobs,monitor_queue,monitor_workers}'::text[]) as v;

-- Workers: a session that calls itself one, at a task of acme's.
select tests.act_as_role('postgres');
set local application_name = 'sluice jobs.work_9';
select pg_stat_clear_snapshot();
update public.sync_job_queue set status = 'running', claimed_by = pg_backend_pid(),
  claimed_at = clock_timestamp() - interval '10 seconds', attempts = 1
where id = (select min(q.id) from public.sync_job_queue as q where q.org_id = tests.org_id('acme'));
create function pg_temp.worker() returns text language sql as $$
  select concat_ws(' ', w.worker, w.state, w.task_type, w.from_row, w.to_row, w.attempt,
    extract(epoch from w.busy_for)::integer) from public.monitor_workers as w where w.pid = pg_backend_pid()
$$;
select tests.act_as('ann');
select is(pg_temp.worker(), 'jobs.work_9 working commit 1 2 1 10', 'an admin sees a worker at their task');
select tests.act_as('bob');
select is_empty($$ select 1 from public.monitor_workers as w where w.pid = pg_backend_pid() $$,
  'another organization''s does not');
select tests.act_as('max');
select is_empty($$ select 1 from public.monitor_workers $$, 'nor does a member');
select tests.act_as('sid');
select isnt_empty($$ select 1 from public.monitor_workers as w where w.pid = pg_backend_pid() $$,
  'a system admin does');

select * from finish();
rollback;
