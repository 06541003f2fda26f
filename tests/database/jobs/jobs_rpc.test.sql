-- list_jobs, get_job and what people do with a job: who, in which state, and what becomes of it.
begin;
select plan(118);
select tests.set_up_actors();
insert into private.settings (key, value) values ('imports.chunk_rows', '10'), ('jobs.running_per_organization', '100');
update public.sync_retry_policy set max_attempts = 1;

-- An import of 30 rows in three tasks, being validated; the name is the job's.
create function pg_temp.validating(p_name text) returns uuid language plpgsql as $$
declare
  v_import uuid := tests.stage_import('customers', '{external_id,name}',
    (select jsonb_agg(jsonb_build_array(p_name || n, 'x') order by n) from generate_series(1, 30) as n));
begin
  perform tests.keep('import_' || p_name, v_import);
  perform tests.keep(p_name, (public.validate_import(v_import) ->> 'id')::uuid);
  return v_import;
end $$;
create function pg_temp.state(p_name text) returns text language sql security definer as $$
  select concat_ws(' ', j.status, (select string_agg(distinct q.status::text, ',') from public.sync_job_queue as q where q.job_id = j.id))
  from public.scheduled_jobs as j where j.id = tests.kept(p_name)
$$;
-- Everything that may be done to a job, as calls.
create function pg_temp.calls(p_name text) returns table (what text, call text) language sql as $$
  select c.what, format(c.call, tests.kept(p_name))
  from (values
    ('change', 'select public.change_job(%L, priority => 5)'), ('pause', 'select public.pause_job(%L)'),
    ('resume', 'select public.resume_job(%L)'), ('cancel', 'select public.cancel_job(%L)'),
    ('retry', 'select public.retry_job(%L)'), ('remove', 'select public.remove_job(%L)')
  ) as c (what, call)
$$;

-- Who ------------------------------------------------------------------------------------------------

select tests.act_as('max');
select pg_temp.validating('a');
select tests.act_as('mia');
select throws_ok(c.call, '42501', 'organization role required', 'another member may not: ' || c.what) from pg_temp.calls('a') as c;
select tests.act_as('vic');
select throws_ok(c.call, '42501', 'organization role required', 'nor a viewer: ' || c.what) from pg_temp.calls('a') as c;
select tests.act_as('bob');
select throws_ok(c.call, 'PT404', 'job not found', 'to another organization''s admin it does not exist: ' || c.what)
from pg_temp.calls('a') as c;
select throws_ok(format('select public.get_job(%L)', tests.kept('a')), 'PT404', 'job not found', 'neither to read');
select tests.act_as('otto');
select throws_ok(c.call, 'PT404', 'job not found', 'nor to who belongs to none: ' || c.what) from pg_temp.calls('a') as c;
select tests.act_as_role('anon');
select throws_ok(c.call, '42501', format('permission denied for function %s_job', c.what), 'anon may nothing: ' || c.what)
from pg_temp.calls('a') as c;
select throws_ok($$ select public.list_jobs() $$, '42501', 'permission denied for function list_jobs', 'not even list');
select throws_ok($$ select public.get_job(null) $$, '42501', 'permission denied for function get_job', 'or read');

select tests.act_as('max');
select is(public.pause_job(tests.kept('a')) ->> 'status', 'paused', 'its maker may');
select tests.act_as('ann');
select is(public.resume_job(tests.kept('a')) ->> 'status', 'pending', 'so may an admin');
select tests.act_as('sid');
select is(public.pause_job(tests.kept('a')) ->> 'status', 'paused', 'and a system admin');
select tests.act_as_role('service_role');
select is(public.resume_job(tests.kept('a')) ->> 'status', 'pending', 'and the service');
select tests.act_as('ann');
select set_eq(
  $$ select concat_ws(' ', l.action, coalesce(l.user_id = tests.user_id('max'), false)) from public.sync_activity_log as l
     where l.sync_id = tests.kept('import_a')::text and l.details ->> 'job_id' = tests.kept('a')::text $$,
  '{paused t,paused f,resumed f}'::text[], 'the log says who');

-- Without a right_function, a job is its maker's and the admins'.
select tests.act_as_role('postgres');
create function private.run_chore(p_task public.sync_job_queue) returns private.task_result language sql set search_path = ''
as $$ select row(1, 0)::private.task_result $$;
create function private.advance_chore(p_job public.scheduled_jobs) returns boolean language sql set search_path = '' as $$ select true $$;
create function private.end_chore(p_job public.scheduled_jobs) returns void language sql set search_path = '' as $$ select $$;
insert into private.job_types values ('chore', 'private.run_chore', 'private.advance_chore', 'private.end_chore');
insert into public.sync_retry_policy (job_type) values ('chore');
create function pg_temp.chore(p_name text, p_nick text) returns void language plpgsql as $$
declare
  v_job public.scheduled_jobs;
begin
  perform tests.assume('postgres', jsonb_build_object('sub', tests.user_id(p_nick), 'role', 'authenticated'));
  insert into public.scheduled_jobs (job_type, org_id) values ('chore', tests.org_id('acme')) returning * into v_job;
  perform private.enqueue_tasks(v_job, 'chore', 0, 1, 1);
  perform tests.keep(p_name, v_job.id);
end $$;
select pg_temp.chore('chore', 'max');
select tests.act_as('mia');
select throws_ok($$ select public.pause_job(tests.kept('chore')) $$, '42501', 'organization role required', 'a chore is not another member''s');
select tests.act_as('max');
select is(public.pause_job(tests.kept('chore')) ->> 'status', 'paused', 'but its maker''s');
select tests.act_as('ann');
select is(public.cancel_job(tests.kept('chore')) ->> 'status', 'cancelled', 'and the admins''');

-- Pause, resume, cancel --------------------------------------------------------------------------------

select tests.act_as('max');
select is(public.pause_job(tests.kept('a')) ->> 'status' || ' ' || pg_temp.state('a'), 'paused paused held', 'paused, its tasks are held');
select is(public.pause_job(tests.kept('a')) ->> 'status', 'paused', 'which may be said twice');
select is(public.resume_job(tests.kept('a')) ->> 'status' || ' ' || pg_temp.state('a'), 'pending pending pending', 'resumed, they are ready');
select throws_ok($$ select public.resume_job(tests.kept('a')) $$, 'PT409', 'job is not paused', 'what is not paused is not resumed');
select throws_ok($$ select public.remove_job(tests.kept('a')) $$, 'PT409', 'job has not ended', 'what has not ended is not removed');
select throws_ok($$ select public.retry_job(tests.kept('a')) $$, 'PT409', 'nothing of the job can be tried again', 'nor tried again');
select is(public.cancel_job(tests.kept('a')) ->> 'status' || ' ' || pg_temp.state('a'), 'cancelled cancelled', 'cancelled, they are gone');
select is(public.get_import(tests.kept('import_a')) ->> 'status', 'cancelled', 'and the import with them');
select throws_ok(c.call, 'PT409', case c.what when 'retry' then 'nothing of the job can be tried again' else 'job has ended' end,
  'an ended job stays as it is: ' || c.what)
from pg_temp.calls('a') as c where c.what <> 'remove';

-- Change -----------------------------------------------------------------------------------------------

select pg_temp.validating('b');
select throws_ok($$ select public.change_job(tests.kept('b'), priority => 101) $$, '22023', 'priority must be from -100 to 100', 'priority has bounds');
select throws_ok($$ select public.change_job(tests.kept('b'), priority => -101) $$, '22023', 'priority must be from -100 to 100', 'two of them');
select throws_ok($$ select public.change_job(tests.kept('b'), run_at => 'infinity') $$, '22023', 'run_at must be within a year', 'so has the time');
select throws_ok($$ select public.change_job(tests.kept('b'), priority => -1) $$, '42501', 'organization role required',
  'a member puts nothing ahead of what others started');
select is(public.change_job(tests.kept('b'), priority => 7) ->> 'priority', '7', 'but their own behind it');
select tests.act_as('ann');
select is(public.change_job(tests.kept('b'), priority => -7) ->> 'priority', '-7', 'an admin does');
select results_eq($$ select distinct q.priority from public.sync_job_queue as q where q.job_id = tests.kept('b') $$, array[-7::smallint],
  'its tasks follow');
select tests.act_as('max');
select is(public.change_job(tests.kept('b'), run_at => now() + interval '1 hour') ->> 'status', 'queued', 'put off, it queues');
select is(pg_temp.state('b'), 'queued held', 'with its tasks held');
select is(tests.run_jobs(), 0, 'and does not run');
select tests.act_as_role('postgres');
select private.release_due_jobs();
select is(pg_temp.state('b'), 'queued held', 'nor is it let go before its time');
select tests.act_as('max');
select is(public.change_job(tests.kept('b'), priority => 3) ->> 'status', 'queued', 'another priority does not change that');
select is(public.pause_job(tests.kept('b')) ->> 'status', 'paused', 'it can be paused meanwhile');
select is(public.change_job(tests.kept('b'), run_at => now() + interval '2 hours') ->> 'status', 'paused', 'and changed while it is');
select is(public.resume_job(tests.kept('b')) ->> 'status', 'queued', 'resumed it waits for its time');
select tests.act_as_role('postgres');
update public.scheduled_jobs set run_at = now() - interval '1 second' where id = tests.kept('b');
update public.sync_job_queue set next_attempt_at = now() - interval '1 second' where job_id = tests.kept('b');
select private.release_due_jobs();
select is(pg_temp.state('b'), 'pending pending', 'its time come, it is let go');
select tests.run_jobs(1);
select tests.act_as('max');
select throws_ok($$ select public.change_job(tests.kept('b'), priority => 1) $$, 'PT409', 'job does not wait', 'what runs is not changed');
select public.pause_job(tests.kept('b'));
select is(public.change_job(tests.kept('b'), priority => 1) ->> 'priority', '1', 'but once it is paused');
select is(public.change_job(tests.kept('b'), run_at => now() - interval '1 year') ->> 'status', 'paused', 'a time that is past means now');
select is(j.run_at, j.created_at, 'it does not go ahead of what was started before') from public.scheduled_jobs as j where j.id = tests.kept('b');
select public.resume_job(tests.kept('b'));
select tests.run_jobs();
select is(public.get_job(tests.kept('b')) ->> 'status', 'completed', 'and it comes to its end');

-- A task that somebody is at: a claim of this session counts as that.
select pg_temp.validating('c');
select tests.act_as_role('postgres');
select isnt(private.claim_task(), null, 'a task of it is claimed');
select tests.act_as('max');
select throws_ok($$ select public.change_job(tests.kept('c'), run_at => now() + interval '1 hour') $$, 'PT409', 'job does not wait',
  'what is being claimed does not wait');
select public.pause_job(tests.kept('c'));
select throws_ok($$ select public.change_job(tests.kept('c'), priority => 1) $$, 'PT409', 'job does not wait',
  'nor what is paused with a task in flight');
select is(public.cancel_job(tests.kept('c')) ->> 'cancel_requested_at' is not null, true, 'cancelled, it says so');
select throws_ok($$ select public.pause_job(tests.kept('c')) $$, 'PT409', 'job is about to end', 'what is about to end is not paused');
select is(public.cancel_job(tests.kept('c')) ->> 'status', 'paused', 'cancelling may be said twice');
select tests.act_as_role('postgres');
select pg_advisory_unlock_all();
select tests.run_jobs();
select is(pg_temp.state('c'), 'cancelled', 'until its task in flight has ended');

-- A call of the worker function that is on its way.
select tests.act_as('ann');
select pg_temp.validating('h');
select public.pause_job(tests.kept('h'));
select tests.act_as_role('postgres');
update public.sync_job_queue set token = gen_random_uuid() where job_id = tests.kept('h');
select tests.act_as('ann');
select is(public.get_job(tests.kept('h')) -> 'tasks', '{"dead": 0, "running": 1, "waiting": 0}', 'a task that waits for the worker function is one that runs');
select throws_ok($$ select public.change_job(tests.kept('h'), run_at => now()) $$, 'PT409', 'job does not wait', 'and is not called twice');
select is(public.cancel_job(tests.kept('h')) ->> 'status', 'cancelled', 'a job is cancelled all the same');
select public.remove_job(tests.kept('h'));

-- Retry ------------------------------------------------------------------------------------------------

select tests.act_as('max');
select pg_temp.validating('d');
select tests.join_organization('max', 'acme', 'viewer');
select tests.run_jobs();
select tests.join_organization('max', 'acme', 'member');
select is(public.get_job(tests.kept('d')) ->> 'status', 'failed', 'a job that failed');
select tests.act_as('ann');
select tests.keep('e', (public.retry_job(tests.kept('d')) ->> 'id')::uuid);
select is(public.get_job(tests.kept('e')) ->> 'created_by', tests.user_id('ann')::text, 'is tried again as the caller''s');
select is(public.get_job(tests.kept('e')) #>> '{params,retries}', tests.kept('d')::text, 'which says what it goes on with');
select tests.run_jobs();
select is(pg_temp.state('e'), 'completed', 'and completes');
select throws_ok($$ select public.retry_job(tests.kept('d')) $$, 'PT409', 'nothing of the job can be tried again', 'once');

-- Remove -----------------------------------------------------------------------------------------------

select tests.act_as('max');
select lives_ok($$ select public.remove_job(tests.kept('d')) $$, 'an ended job is removed');
select throws_ok($$ select public.get_job(tests.kept('d')) $$, 'PT404', 'job not found', 'and gone');
select is_empty($$ select 1 from public.sync_progress as p where p.sync_id = tests.kept('d')::text $$, 'with its progress');
select is(public.get_import(tests.kept('import_d')) ->> 'status', 'validated', 'what it did stays');
select tests.act_as('ann');
select is((select l.user_id from public.sync_activity_log as l where l.action = 'deleted' and l.details ->> 'job_id' = tests.kept('d')::text),
  tests.user_id('max'), 'and the log says who removed it');

-- List -------------------------------------------------------------------------------------------------

create function pg_temp.listed(p_jobs jsonb) returns text language sql as $$
  select string_agg(coalesce(
      (select n from unnest('{a,b,c,e,f,chore}'::text[]) as n where tests.kept(n)::text = j ->> 'id'), 'other'), ' ' order by position)
  from jsonb_array_elements(p_jobs -> 'jobs') with ordinality as j (j, position)
$$;
select tests.act_as('ben');
select pg_temp.validating('f');
select tests.act_as('vic');
select is(pg_temp.listed(public.list_jobs()), 'e c b chore a', 'a viewer lists their organization''s jobs, newest first');
select is(pg_temp.listed(public.list_jobs(mine => true)), null, 'none of which is theirs');
select tests.act_as('max');
select is(pg_temp.listed(public.list_jobs(mine => true)), 'c b chore a', 'each their own');
select is(pg_temp.listed(public.list_jobs(status => 'completed')), 'e b', 'by status');
select is(pg_temp.listed(public.list_jobs(job_type => 'chore')), 'chore', 'by type');
select is(pg_temp.listed(public.list_jobs(import_id => tests.kept('import_b'))), 'b', 'by import');
select is(pg_temp.listed(public.list_jobs(since => (public.get_job(tests.kept('c')) ->> 'created_at')::timestamptz)), 'e c', 'since a moment');
select is(pg_temp.listed(public.list_jobs(org_id => tests.org_id('bolt'))), null, 'not another organization''s');
select is(pg_temp.listed(public.list_jobs(page_size => 2)), 'e c', 'a page');
select is(pg_temp.listed(public.list_jobs(page_size => 2, before => public.list_jobs(page_size => 2) ->> 'next_before')), 'b chore',
  'the next begins where it ended');
select is(public.list_jobs() -> 'next_before', 'null', 'the last has none after it');
select throws_ok($$ select public.list_jobs(page_size => 201) $$, '22023', 'page_size must be from 1 to 200', 'pages have bounds');
select throws_ok($$ select public.list_jobs(status => 'done') $$, '22023', 'status is unknown', 'a status must be one');
select throws_ok($$ select public.list_jobs(before => 'yesterday') $$, '22023', 'before is no cursor', 'and a cursor a cursor');
select tests.act_as('bob');
select is(pg_temp.listed(public.list_jobs()), 'f', 'the other organization lists its own');
select tests.act_as('otto');
select is(pg_temp.listed(public.list_jobs()), null, 'who belongs to none lists none');
select tests.act_as('sid');
select is(pg_temp.listed(public.list_jobs(org_id => tests.org_id('bolt'))), 'f', 'a system admin those of whom they name');

-- In detail --------------------------------------------------------------------------------------------

select tests.act_as('max');
select pg_temp.validating('g');
select tests.join_organization('max', 'acme', 'viewer');
select tests.run_jobs();
select is(public.get_job(tests.kept('g')) #>> '{error,message}', 'organization role required', 'its maker reads why it failed');
select is(public.get_job(tests.kept('g')) -> 'errors', 'null', 'not what admins read');
select is(public.get_job(tests.kept('g')) ? 'claims', false, 'and nobody claims');
select tests.act_as('ann');
select is(
  (select array_agg(concat_ws(' ', e ->> 'attempt', e ->> 'sqlstate', e ->> 'message', e ->> 'hint'))
   from jsonb_array_elements(public.get_job(tests.kept('g')) -> 'errors') as e),
  '{"1 42501 organization role required Ask an admin of the organization."}', 'an admin reads every attempt');
select is(public.get_job(tests.kept('g')) -> 'tasks', '{"dead": 1, "running": 0, "waiting": 0}', 'and how the tasks are');
select is((public.get_job(tests.kept('g')) #>> '{progress,elapsed_seconds}') is not null, true, 'with its progress');

select * from finish();
rollback;
