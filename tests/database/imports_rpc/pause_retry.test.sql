-- pause_import, resume_import, retry_import: who, in which state, and what becomes of tasks and counts.
begin;
select plan(71);
select tests.set_up_actors();
insert into private.settings (key, value) values ('imports.chunk_rows', '10');
update public.sync_retry_policy set base_delay = '0 seconds', max_attempts = 3;

-- Customers whose note is in private.trouble raise what stands there, until it is taken away.
create table private.trouble (note text primary key, code text not null);
create function private.tg_customers__trouble() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  v_code text := (select t.code from private.trouble as t where t.note = new.notes);
begin
  if v_code is not null then
    raise exception using errcode = v_code, message = 'in trouble';
  end if;
  return new;
end $$;
create trigger _300_trouble before insert on public.customers
  for each row execute function private.tg_customers__trouble();

-- An import of 40 rows in four tasks; the 15th and the 35th have notes.
create function pg_temp.stage(p_name text, p_options jsonb default '{}') returns uuid language plpgsql as $$
begin
  perform tests.keep(p_name, tests.stage_import('customers', '{external_id,name,notes}',
    (select jsonb_agg(jsonb_build_array(p_name || lpad(n::text, 3, '0'), 'x', case when n in (15, 35) then p_name || n end)
       order by n) from generate_series(1, 40) as n),
    p_options => p_options));
  return tests.kept(p_name);
end $$;
create function pg_temp.job(p_name text) returns text language sql as $$
  select concat_ws(' ', d ->> 'status', d #>> '{job,job_type}', d #>> '{job,status}', d #>> '{job,done}')
  from public.get_import(tests.kept(p_name)) as d
$$;
create function pg_temp.tasks(p_name text) returns text language sql security definer as $$
  select string_agg(q.from_row || ' ' || q.status || ' ' || q.attempts, ', ' order by q.from_row)
  from public.sync_job_queue as q join public.scheduled_jobs as j on j.id = q.job_id where j.batch_id = tests.kept(p_name)
$$;
create function pg_temp.written(p_name text) returns bigint language sql security definer as $$
  select count(*) from public.customers as c where c.external_id like p_name || '%'
$$;
create function pg_temp.claim() returns bigint language plpgsql security definer as $$
declare
  v_task bigint := private.claim_task();
begin
  perform pg_advisory_unlock(private.task_lock_key(v_task)) where v_task is not null;
  -- Advisory locks do not keep the session out that holds them: out of its sight, as if another worker's.
  update public.sync_job_queue as q set next_attempt_at = 'infinity' where q.id = v_task;
  return v_task;
end $$;
create function pg_temp.run(p_task text) returns boolean language plpgsql as $$
declare
  v_went boolean;
begin
  update public.sync_job_queue set next_attempt_at = clock_timestamp() where id = current_setting('tests.' || p_task)::bigint;
  v_went := private.run_task(current_setting('tests.' || p_task)::bigint);
  perform tests.act_as_role('postgres');
  return v_went;
end $$;

-- Who ------------------------------------------------------------------------------------------------------

select tests.act_as('max');
select pg_temp.stage('who');
select throws_ok($$ select public.pause_import(tests.kept('who')) $$, 'PT409', 'nothing of the import is running',
  'what does not run is not paused');
select throws_ok($$ select public.resume_import(tests.kept('who')) $$, 'PT409', 'nothing of the import is running',
  'nor resumed');
select throws_ok($$ select public.retry_import(tests.kept('who')) $$, 'PT409',
  'nothing of the import can be tried again', 'nor tried again');
select public.validate_import(tests.kept('who'));
select throws_ok($$ select public.resume_import(tests.kept('who')) $$, 'PT409', 'job is not paused',
  'what runs is not resumed');
select throws_ok($$ select public.retry_import(tests.kept('who')) $$, 'PT409',
  'nothing of the import can be tried again', 'nor tried again');
select tests.act_as('mia');
select throws_ok($$ select public.pause_import(tests.kept('who')) $$, '42501', 'organization role required',
  'another member does not pause it');
select tests.act_as('vic');
select throws_ok($$ select public.pause_import(tests.kept('who')) $$, '42501', 'organization role required',
  'nor a viewer');
select tests.act_as('bob');
select throws_ok($$ select public.pause_import(tests.kept('who')) $$, 'PT404', 'import not found', 'nor a stranger');
select tests.act_as_role('anon');
select throws_ok($$ select public.pause_import(tests.kept('who')) $$, '42501',
  'permission denied for function pause_import', 'nor anon');
select tests.act_as('max');
select is(public.pause_import(tests.kept('who')) #>> '{job,status}', 'paused', 'its owner does');
select is(public.pause_import(tests.kept('who')) #>> '{job,status}', 'paused', 'and may say it twice');
select tests.act_as('mia');
select throws_ok($$ select public.resume_import(tests.kept('who')) $$, '42501', 'organization role required',
  'another member does not resume it');
select tests.act_as('bob');
select throws_ok($$ select public.resume_import(tests.kept('who')) $$, 'PT404', 'import not found', 'nor a stranger');
select tests.act_as_role('anon');
select throws_ok($$ select public.resume_import(tests.kept('who')) $$, '42501',
  'permission denied for function resume_import', 'nor anon');
select throws_ok($$ select public.retry_import(tests.kept('who')) $$, '42501',
  'permission denied for function retry_import', 'who retries nothing either');
select tests.act_as('ann');
select is(public.resume_import(tests.kept('who')) #>> '{job,status}', 'pending', 'an admin does');
select tests.act_as_role('service_role');
select is(public.pause_import(tests.kept('who')) #>> '{job,status}', 'paused', 'and the service');
select is(public.resume_import(tests.kept('who')) #>> '{job,status}', 'pending', 'both');
select tests.act_as('ann');
select results_eq(
  $$ select l.action::text, l.user_id from public.sync_activity_log as l
    where l.sync_id = tests.kept('who')::text and l.action in ('paused', 'resumed')
    group by 1, 2 order by 1, 2 nulls last $$,
  $$ select a, u from unnest('{paused,resumed}'::text[]) as a
    cross join unnest(array[tests.user_id('max'), tests.user_id('ann'), null]) as u
    where (a, u) is distinct from ('paused', tests.user_id('ann')) and (a, u) is distinct from ('resumed', tests.user_id('max'))
    order by 1, 2 nulls last $$,
  'the log says who');
select tests.run_jobs();
select is(pg_temp.job('who'), 'validated validate completed 40', 'then it goes on to its end');

-- While paused ---------------------------------------------------------------------------------------------

select tests.act_as('max');
select public.commit_import(tests.kept('who'));
select tests.run_jobs(1);
select public.pause_import(tests.kept('who'));
select is(pg_temp.tasks('who'), '10 held 0, 20 held 0, 30 held 0', 'the waiting tasks are held');
select is(tests.run_jobs(), 0, 'nothing is claimed');
select is(pg_temp.job('who'), 'committing commit paused 10', 'the job stays where it is');
select is(pg_temp.written('who'), 10::bigint, 'and so do the records');
select throws_ok($$ select public.commit_import(tests.kept('who')) $$, 'PT409', 'import is in another state',
  'it cannot be started anew');
select throws_ok($$ select public.retry_import(tests.kept('who')) $$, 'PT409',
  'nothing of the import can be tried again', 'nor tried again');
select public.resume_import(tests.kept('who'));
select is(pg_temp.tasks('who'), '10 pending 0, 20 pending 0, 30 pending 0', 'resumed, they are ready');

-- In flight when it is paused.
select tests.act_as_role('postgres');
select set_config('tests.t1', pg_temp.claim()::text, true), set_config('tests.t2', pg_temp.claim()::text, true);
select tests.act_as('max');
select public.pause_import(tests.kept('who'));
select tests.act_as_role('postgres');
select is(pg_temp.tasks('who'), '10 running 1, 20 running 1, 30 held 0', 'what is in flight is left alone');
select pg_temp.run('t1');
select is(pg_temp.tasks('who'), '10 held 0, 20 running 1, 30 held 0',
  'a task that was claimed but not begun waits with the others, and the claim does not count');
select is(pg_temp.written('who'), 10::bigint, 'it was not worked at');
select tests.act_as('max');
select public.resume_import(tests.kept('who'));
select tests.act_as_role('postgres');
select is(pg_temp.job('who'), 'committing commit pending 10', 'resumed before the next claim, the job is pending');
select pg_temp.run('t2');
select is(pg_temp.tasks('who'), '10 pending 0, 20 pending 0, 30 pending 0',
  'and a task that comes to it then is ready again, not lost');
update public.sync_job_queue set next_attempt_at = clock_timestamp();
select tests.act_as('max');
select tests.run_jobs();
select is(pg_temp.job('who'), 'completed commit completed 40', 'it comes to its end');
select is(tests.counts(tests.kept('who')), '{"rows": 40, "valid": 40, "inserted": 40}', 'with every row once');

-- A worker that is lost while the job is paused.
select pg_temp.stage('lost');
select public.validate_import(tests.kept('lost'), true);
select tests.run_jobs(5);
select tests.act_as_role('postgres');
select set_config('tests.t1', pg_temp.claim()::text, true);
select tests.act_as('max');
select public.pause_import(tests.kept('lost'));
select tests.act_as_role('postgres');
update public.sync_job_queue set next_attempt_at = clock_timestamp();
select is(tests.run_jobs(), 1, 'a lost worker''s task is claimed again');
select is(pg_temp.tasks('lost'), '0 held 1', 'and held: it was not worked at');

-- The last one in flight ends while it is paused: the job goes on to the commit, which is paused.
select tests.act_as('max');
select pg_temp.stage('last');
select tests.act_as_role('postgres');
create function private.tg_issues__pause() returns trigger language plpgsql set search_path = '' as $$
begin
  perform private.pause_job(j.id) from public.scheduled_jobs as j
  where j.batch_id = current_setting('tests.last')::uuid and j.phase like 'duplicates%' and j.finished_at is null;
  return null;
end $$;
create trigger _900_pause after insert on private.import_issues for each statement execute function private.tg_issues__pause();
select tests.act_as('max');
select public.validate_import(tests.kept('last'), true);
select tests.run_jobs();
select is(pg_temp.job('last'), 'committing commit paused 0', 'a job whose last task ends while it is paused ends; what follows is paused');
select is(pg_temp.tasks('last'), '0 held 0, 10 held 0, 20 held 0, 30 held 0', 'with its tasks held');
select tests.act_as_role('postgres');
drop trigger _900_pause on private.import_issues;
select tests.act_as('max');
select public.resume_import(tests.kept('last'));
select tests.run_jobs();
select is(pg_temp.job('last'), 'completed commit completed 40', 'resumed, it is applied');

-- Cancelled while paused.
select public.cancel_import(tests.kept('lost'));
select is(pg_temp.job('lost'), 'cancelled validate cancelled 40', 'a paused import can be cancelled');
select is(pg_temp.tasks('lost'), null, 'and its tasks are gone');

-- The limit of running jobs --------------------------------------------------------------------------------

select tests.act_as_role('postgres');
insert into private.settings (key, value) values ('jobs.running_per_organization', '1');
select tests.act_as('max');
select pg_temp.stage('one'), pg_temp.stage('two'), pg_temp.stage('three');
select public.validate_import(tests.kept('one')), public.validate_import(tests.kept('two')),
  public.validate_import(tests.kept('three'));
create function pg_temp.statuses() returns text language sql as $$
  select string_agg(public.get_import(tests.kept(n)) #>> '{job,status}', ' ' order by o)
  from unnest('{one,two,three}'::text[]) with ordinality as u (n, o)
$$;
select is(pg_temp.statuses(), 'pending queued queued', 'one runs, two queue');
select public.pause_import(tests.kept('one'));
select is(pg_temp.statuses(), 'paused pending queued', 'a paused one does not count: the next goes');
select public.resume_import(tests.kept('one'));
select is(pg_temp.statuses(), 'queued pending queued', 'resumed, it queues over the limit');
select is(pg_temp.tasks('one'), '0 held 0', 'with its first task held');
select public.pause_import(tests.kept('three'));
select is(pg_temp.statuses(), 'queued pending paused', 'a queued one can be paused');
select public.cancel_import(tests.kept('two'));
select is(pg_temp.statuses(), 'pending cancelled paused', 'and takes its turn when another ends');
select public.cancel_import(tests.kept('three'));
select is(pg_temp.statuses(), 'pending cancelled cancelled', 'the end of a paused one releases none');
select tests.run_jobs();
select is(pg_temp.job('one'), 'validated validate completed 40', 'and is done');
select tests.act_as_role('postgres');
delete from private.settings where key = 'jobs.running_per_organization';

-- Retry ----------------------------------------------------------------------------------------------------

insert into private.trouble values ('dead15', '0A000'), ('dead35', '0A000');
select tests.act_as('max');
select pg_temp.stage('dead');
select is(tests.run_import(tests.kept('dead')), 'failed', 'a commit that is given up');
select is(pg_temp.tasks('dead'), '10 failed 1, 20 held 0, 30 held 0', 'leaves a dead letter and what was not begun');
select is(pg_temp.written('dead'), 10::bigint, 'what was applied stays');
select throws_ok($$ select public.commit_import(tests.kept('dead')) $$, 'PT409', 'import is in another state',
  'it is not committed anew');
select tests.act_as('mia');
select throws_ok($$ select public.retry_import(tests.kept('dead')) $$, '42501', 'organization role required',
  'another member does not try it again');
select throws_ok($$ insert into public.scheduled_jobs (job_type, params)
  values ('commit', jsonb_build_object('import_id', tests.kept('dead'), 'retry', true)) $$,
  '42501', 'organization role required', 'nor by a job of their own');
select tests.act_as('bob');
select throws_ok($$ select public.retry_import(tests.kept('dead')) $$, 'PT404', 'import not found', 'nor a stranger');
select tests.act_as('max');
select throws_ok($$ insert into public.scheduled_jobs (job_type, params)
  values ('validate', jsonb_build_object('import_id', tests.kept('dead'), 'retry', true)) $$,
  'PT409', 'nothing of the import can be tried again', 'a commit is not tried again as a validation');
select tests.act_as_role('postgres');
delete from private.trouble where note = 'dead15';
select tests.act_as('ann');
select is(public.retry_import(tests.kept('dead')) - '{id}'::text[] @> '{"status": "committing", "error": null, "job": {"job_type": "commit", "status": "pending", "done": 10, "total": 40}}',
  true, 'an admin does; its counts go on');
select is(pg_temp.tasks('dead'), '10 pending 0, 20 pending 0, 30 pending 0', 'with what was left, all attempts anew');
select is((select j.actor from public.scheduled_jobs as j where j.batch_id = tests.kept('dead') order by j.created_at desc limit 1),
  tests.user_id('ann'), 'who retries acts');
select tests.run_jobs();
select is(pg_temp.job('dead'), 'failed commit failed 30', 'it may fail again, further on');
select tests.act_as_role('postgres');
delete from private.trouble;
select tests.act_as('max');
select public.retry_import(tests.kept('dead'));
select tests.run_jobs();
select is(pg_temp.job('dead'), 'completed commit completed 40', 'and be tried again to its end');
select is(tests.counts(tests.kept('dead')), '{"rows": 40, "valid": 40, "inserted": 40}', 'with every row once');
select throws_ok($$ select public.retry_import(tests.kept('dead')) $$, 'PT409',
  'nothing of the import can be tried again', 'then there is nothing more');

-- All or nothing.
select tests.act_as_role('postgres');
insert into private.trouble values ('whole35', '0A000');
select tests.act_as('max');
select pg_temp.stage('whole', '{"on_error": "abort"}');
select is(tests.run_import(tests.kept('whole')) || ' ' || pg_temp.written('whole'), 'failed 0', 'an import as a whole fails as a whole');
select tests.act_as_role('postgres');
delete from private.trouble;
select tests.act_as('max');
select public.retry_import(tests.kept('whole'));
select tests.run_jobs();
select is(pg_temp.job('whole') || ' ' || pg_temp.written('whole'), 'completed commit completed 40 40', 'and tried again, is whole');

-- A validation that was given up goes on to the commit that was asked for.
select pg_temp.stage('judged');
select public.validate_import(tests.kept('judged'), true);
select tests.act_as_role('postgres');
create function private.tg_jobs__trouble() returns trigger language plpgsql set search_path = '' as $$
begin
  if new.phase like 'duplicates%' then
    raise exception using errcode = '0A000', message = 'in trouble';
  end if;
  return new;
end $$;
create trigger _900_trouble before update on public.scheduled_jobs for each row execute function private.tg_jobs__trouble();
select tests.act_as('max');
select tests.run_jobs();
select is(pg_temp.job('judged'), 'failed validate failed 30', 'a validation fails');
select tests.act_as_role('postgres');
drop trigger _900_trouble on public.scheduled_jobs;
select tests.act_as('max');
select is(public.retry_import(tests.kept('judged')) ->> 'status', 'validating', 'and is tried again');
select tests.run_jobs();
select is(pg_temp.job('judged'), 'completed commit completed 40', 'to the end that was asked for');

-- Nothing to try again: the hint says what to do.
select tests.keep('bad', tests.stage_import('customers', '{external_id,name}', '[["b1", null]]', p_options => '{"on_error": "abort"}'));
select tests.run_import(tests.kept('bad'));
select throws_ok($$ select public.retry_import(tests.kept('bad')) $$, 'PT409',
  'nothing of the import can be tried again', 'rows that are invalid stay invalid');
select tests.keep('gone', (public.create_import('customers') ->> 'id')::uuid);
select tests.act_as_role('postgres');
select private.fail_upload(tests.kept('gone'));
select tests.act_as('max');
select throws_ok($$ select public.retry_import(tests.kept('gone')) $$, 'PT409',
  'nothing of the import can be tried again', 'an upload that broke off has no rows');

select * from finish();
rollback;
