-- The worker: whose turn it is, and how a task ends in each of the ways in which it can.
begin;
select plan(80);
select tests.set_up_actors();

-- probe: a job type whose tasks do what params tell them to.
create table private.probe_events (at bigint generated always as identity, event text, job_id uuid, from_row integer,
  sub uuid);
create function private.run_probe(p_task public.sync_job_queue) returns private.task_result language plpgsql set search_path = '' as $$
declare
  v_params jsonb := (select j.params from public.scheduled_jobs as j where j.id = p_task.job_id);
begin
  insert into private.probe_events (event, job_id, from_row, sub) values ('run', p_task.job_id, p_task.from_row,
    auth.uid());
  if v_params ->> 'raise' is not null and p_task.attempts <= coalesce((v_params ->> 'times')::integer, 1000) then
    raise exception using errcode = v_params ->> 'raise', message = 'told to', detail = 'because', hint = 'do not';
  end if;
  return row(p_task.to_row - p_task.from_row, 1);
end $$;
create function private.advance_probe(p_job public.scheduled_jobs) returns boolean language plpgsql set search_path = '' as $$
begin
  insert into private.probe_events (event, job_id) values ('advance', p_job.id);
  if p_job.phase is distinct from 'second' and p_job.params ? 'phases' then
    update public.scheduled_jobs as j set phase = 'second' where j.id = p_job.id;
    perform private.enqueue_tasks(p_job, 'probe', 100, 110, 10);
    return false;
  end if;
  return true;
end $$;
create function private.end_probe(p_job public.scheduled_jobs) returns void language sql set search_path = '' as $$
  insert into private.probe_events (event, job_id) values ('end ' || p_job.status, p_job.id);
$$;
insert into private.job_types values ('probe', 'private.run_probe', 'private.advance_probe', 'private.end_probe');
insert into public.sync_retry_policy (job_type, max_attempts, base_delay, factor, max_delay, jitter)
values ('probe', 3, '10 seconds', 3, '25 seconds', 0);

create function pg_temp.job(p_name text, p_params jsonb default '{}', p_rows integer default 10,
  p_chunk integer default 10,
  p_org text default 'acme', p_priority smallint default 0)
returns uuid
language plpgsql
as $$
declare
  v_job public.scheduled_jobs;
begin
  insert into public.scheduled_jobs (job_type, org_id, params, total_count, priority)
  values ('probe', tests.org_id(p_org), p_params, 10000, p_priority) returning * into v_job;
  perform private.enqueue_tasks(v_job, 'probe', 0, p_rows, p_chunk);
  perform tests.keep(p_name, v_job.id);
  return v_job.id;
end;
$$;
-- Claims and releases: as another worker sees it.
create function pg_temp.claim() returns bigint language plpgsql as $$
declare
  v_task bigint := private.claim_task();
begin
  perform pg_advisory_unlock(private.task_lock_key(v_task)) where v_task is not null;
  return v_task;
end $$;
create function pg_temp.events(p_name text) returns text language sql as $$
  select string_agg(e.event, ', ' order by e.at) from private.probe_events as e where e.job_id = tests.kept(p_name)
$$;
create function pg_temp.job_status(p_name text) returns text language sql as $$
  select j.status::text from public.scheduled_jobs as j where j.id = tests.kept(p_name)
$$;
create function pg_temp.hurry() returns void language sql as $$
  update public.sync_job_queue set next_attempt_at = clock_timestamp() where status = 'pending'
$$;
-- Delays in whole seconds, of waiting tasks.
create function pg_temp.delays(p_name text) returns text language sql as $$
  select string_agg(round(extract(epoch from q.next_attempt_at - clock_timestamp()))::text, ',' order by q.id)
  from public.sync_job_queue as q where q.job_id = tests.kept(p_name) and q.status = 'pending'
$$;
insert into private.settings (key, value) values ('jobs.running_per_organization', '100');

-- Claim ------------------------------------------------------------------------------------------------

select is(private.claim_task(), null, 'an empty queue has nothing to claim');

select pg_temp.job('a1', p_rows => 30), pg_temp.job('a2', p_priority => -1::smallint),
  pg_temp.job('b1', p_rows => 20, p_org => 'bolt');
create temporary table turns (position integer, org_id uuid, job_id uuid, from_row integer);
do $$
declare
  v_task bigint;
begin
  for i in 1..6 loop
    v_task := private.claim_task();
    insert into turns select i, q.org_id, q.job_id, q.from_row from public.sync_job_queue as q where q.id = v_task;
    -- Advisory locks do not keep the session out that holds them: out of its sight, as if another worker's.
    update public.sync_job_queue as q set next_attempt_at = 'infinity' where q.id = v_task;
  end loop;
end $$;
select results_eq(
  $$ select count(distinct t.org_id) from turns as t where position <= 2 union all select count(distinct t.org_id)
    from turns as t where position in (3, 4) $$,
  array[2, 2]::bigint[], 'organizations take turns');
select results_eq(
  $$ select t.job_id, t.from_row from turns as t where t.org_id = tests.org_id('acme') order by position $$,
  $$ values (tests.kept('a2'), 0), (tests.kept('a1'), 0), (tests.kept('a1'), 10), (tests.kept('a1'), 20) $$,
  'within one, lower priority first, then the older task');
select results_eq(
  $$ select distinct q.status::text, q.attempts, q.claimed_by from public.sync_job_queue as q $$,
  $$ values ('running', 1::smallint, pg_backend_pid()) $$,
    'a claimed task is running, its attempt counted, its backend noted');
select is(pg_temp.job_status('a1'), 'running', 'its job runs');
select isnt((select started_at from public.scheduled_jobs where id = tests.kept('a1')), null, 'and has begun');
select pg_advisory_unlock_all();
delete from public.scheduled_jobs where job_type = 'probe';

-- Not before its time; not while held.
select pg_temp.job('later');
update public.sync_job_queue set next_attempt_at = clock_timestamp() + interval '1 minute';
select is(private.claim_task(), null, 'a task is not claimed before its time');
update public.sync_job_queue set next_attempt_at = clock_timestamp(), status = 'held';
select is(private.claim_task(), null, 'nor while it is held');
update public.sync_job_queue set status = 'failed';
select is(private.claim_task(), null, 'nor when it was given up');
delete from public.scheduled_jobs where job_type = 'probe';

-- Finish -----------------------------------------------------------------------------------------------

select pg_temp.job('good', '{"phases": true}', 25, 10);
select is(tests.run_jobs(2), 2, 'two of three tasks run');
select is(pg_temp.events('good'), 'run, run', 'the job stays while a task is left');
select is((select row(j.done_count, j.failed_count)::text from public.scheduled_jobs as j
  where j.id = tests.kept('good')), '(20,2)', 'what is done is counted');
select is((select count(*) from public.sync_job_queue where job_id = tests.kept('good')), 1::bigint,
  'finished tasks are gone');
select is((select row(p.status, p.processed_count, p.failed_count)::text from public.sync_progress as p
  where p.sync_id = tests.kept('good')::text),
  '(running,20,2)', 'progress follows');
select tests.run_jobs(1);
select is(pg_temp.events('good'), 'run, run, run, advance', 'the last task moves the job on, once');
select is(pg_temp.job_status('good'), 'running', 'to its next phase');
select tests.run_jobs();
select is(pg_temp.events('good'), 'run, run, run, advance, run, advance, end completed', 'and to its end, once');
select results_eq(
  $$ select j.status::text, j.done_count, j.error, j.finished_at is not null from public.scheduled_jobs as j
    where j.id = tests.kept('good') $$,
  $$ values ('completed', 35::bigint, null::jsonb, true) $$, 'it completed');
select is(private.run_task(0), true, 'a task that is gone is no error');

-- Run as -----------------------------------------------------------------------------------------------

select is((select distinct e.sub from private.probe_events as e where e.job_id = tests.kept('good')
  and e.event = 'run'), null,
  'the service''s tasks run as nobody');
select tests.assume('postgres', jsonb_build_object('sub', tests.user_id('max'), 'role', 'authenticated'));
select pg_temp.job('maxes');
select tests.act_as_role('postgres');
select tests.run_jobs();
select is((select distinct e.sub from private.probe_events as e where e.job_id = tests.kept('maxes')
  and e.event = 'run'), tests.user_id('max'),
  'a person''s as that person');

-- Retries ----------------------------------------------------------------------------------------------

select pg_temp.job('retry', '{"raise": "40001"}');
select is(tests.run_jobs(), 1, 'a task that fails is not run again at once');
select is(pg_temp.events('retry'), null, 'what it did is rolled back');
select is(pg_temp.delays('retry'), '10', 'it waits for base_delay');
select results_eq(
  $$ select e.attempt, e.sqlstate, e.message, e.detail, e.hint, e.context ~ 'run_probe' from public.sync_error_log as e
    where e.job_id = tests.kept('retry') $$,
  $$ values (1::smallint, '40001', 'told to', 'because', 'do not', true) $$, 'the attempt is logged');
select pg_temp.hurry();
select tests.run_jobs();
select is(pg_temp.delays('retry'), '25', 'then factor times as long, at most max_delay');
select is(pg_temp.job_status('retry'), 'running', 'the job goes on meanwhile');
select pg_temp.hurry();
select tests.run_jobs();
select is(pg_temp.job_status('retry'), 'failed', 'after max_attempts it is given up');
select is((select j.error from public.scheduled_jobs as j where j.id = tests.kept('retry')),
  '{"code": "40001", "message": "told to", "details": "because", "hint": "do not"}', 'and says why');
select is(pg_temp.events('retry'), 'end failed', 'its capability is told');
select results_eq(
  $$ select q.status::text, q.attempts from public.sync_job_queue as q where q.job_id = tests.kept('retry') $$,
  $$ values ('failed', 3::smallint) $$, 'the task stays as a dead letter');
select is((select count(*) from public.sync_error_log as e where e.job_id = tests.kept('retry')), 3::bigint,
  'with three attempts logged');

select pg_temp.job('twice', '{"raise": "40001", "times": 2}');
select tests.run_jobs(), pg_temp.hurry();
select tests.run_jobs();
select pg_temp.hurry();
select tests.run_jobs();
select is(pg_temp.job_status('twice'), 'completed', 'a task that succeeds in the end completes its job');

update public.sync_retry_policy set jitter = 0.5 where job_type = 'probe';
select pg_temp.job('jitter' || n, '{"raise": "40001"}') from generate_series(1, 8) as n;
select tests.run_jobs();
select is(
  (select bool_and(s between 4.5 and 15.5) and count(distinct s) > 1
   from (select extract(epoch from q.next_attempt_at - clock_timestamp()) as s from public.sync_job_queue as q
     where q.status = 'pending') as d),
  true, 'jitter spreads the delays, by its share at most');
delete from public.scheduled_jobs where id in (select tests.kept('jitter' || n) from generate_series(1, 8) as n);
update public.sync_retry_policy set jitter = 0 where job_type = 'probe';

-- A policy that grows beyond all intervals
update public.sync_retry_policy set factor = 100, max_attempts = 100 where job_type = 'probe';
select pg_temp.job('endless', '{"raise": "40001"}');
update public.sync_job_queue set attempts = 60 where job_id = tests.kept('endless');
select lives_ok('select tests.run_jobs()', 'a policy whose delays grow beyond all measure harms nobody');
select is(pg_temp.delays('endless'), '25', 'and ends at max_delay');
delete from public.scheduled_jobs where id = tests.kept('endless');
update public.sync_retry_policy set factor = 3, max_attempts = 3 where job_type = 'probe';

-- Classes
select pg_temp.job('class_' || c, jsonb_build_object('raise', c))
  from unnest('{23505,42501,P0001,IM001,PT409,08006,53300,55P03,57P01,58030,XX000}'::text[]) as c;
select tests.run_jobs();
select is(
  (select array_agg(c order by c)
    from unnest('{23505,42501,P0001,IM001,PT409,08006,53300,55P03,57P01,58030,XX000}'::text[]) as c
   where pg_temp.job_status('class_' || c) = 'failed'),
  '{23505,42501,IM001,P0001,PT409}', 'what another attempt cannot mend fails at once; what it can mend waits');
update public.sync_retry_policy set retry_classes = '{P0}' where job_type = 'probe';
select pg_temp.job('policy_p0', '{"raise": "P0001"}'), pg_temp.job('policy_40', '{"raise": "40001"}');
select tests.run_jobs();
select is(pg_temp.job_status('policy_p0') || ' ' || pg_temp.job_status('policy_40'), 'running failed',
  'the policy says which is which');
update public.sync_retry_policy set retry_classes = default where job_type = 'probe';

-- A failed task holds the others of its job.
select pg_temp.job('holds', '{"raise": "P0001"}', 30, 10);
select tests.run_jobs();
select is((select array_agg(q.status::text order by q.id) from public.sync_job_queue as q
  where q.job_id = tests.kept('holds')), '{failed,held,held}',
  'a job that fails holds its waiting tasks');

-- … and fails when the last of those in flight has ended.
select pg_temp.job('in_flight', '{"raise": "P0001"}', 40, 10);
create temporary table in_flight (n integer, id bigint);
do $$
declare
  v_task bigint;
begin
  for i in 1..3 loop
    v_task := private.claim_task();
    insert into in_flight values (i, v_task);
    update public.sync_job_queue as q set next_attempt_at = 'infinity'
      where q.id = v_task; -- out of this session's sight
  end loop;
end $$;
select private.run_task(id) from in_flight where n = 1;
select is(pg_temp.job_status('in_flight'), 'running',
  'a job of which a task was given up goes on while others are in flight');
select is((select j.error ->> 'code' from public.scheduled_jobs as j where j.id = tests.kept('in_flight')), 'P0001',
  'and says why it is about to fail');
select private.run_task(id) from in_flight where n = 2;
select is(pg_temp.job_status('in_flight') || ', ' || (select count(*) from public.sync_job_queue as q
  where q.job_id = tests.kept('in_flight') and q.status = 'running'), 'running, 1',
  'they come to their end without doing anything more');
select private.run_task(id) from in_flight where n = 3;
select is(pg_temp.job_status('in_flight') || ': ' || pg_temp.events('in_flight'), 'failed: end failed',
  'the last of them ends the job, once');
select is((select array_agg(q.status::text order by q.id) from public.sync_job_queue as q
  where q.job_id = tests.kept('in_flight')), '{failed,held,held,held}',
    'the dead letter and what was not done are left');
select is((select count(*) from public.sync_error_log as e where e.job_id = tests.kept('in_flight')), 1::bigint,
  'with the one error');
select pg_advisory_unlock_all();

-- Cancelled by the clock -------------------------------------------------------------------------------

select pg_temp.job('slow', '{"raise": "57014", "times": 1}', 4001, 4001);
select tests.run_jobs(1);
select results_eq(
  $$ select q.from_row, q.to_row, q.status::text, q.attempts from public.sync_job_queue as q
    where q.job_id = tests.kept('slow') order by q.from_row $$,
  $$ values (0, 1001, 'pending', 1::smallint), (1001, 2002, 'pending', 1::smallint),
    (2002, 3003, 'pending', 1::smallint), (3003, 4001, 'pending', 1::smallint) $$,
  'a cancelled task is cut in four, with its attempts');
select is((select string_agg(e.sqlstate, ',') from public.sync_error_log as e where e.job_id = tests.kept('slow')),
  '57014', 'and logged');
select pg_temp.hurry();
select tests.run_jobs();
select is(pg_temp.job_status('slow'), 'completed', 'the pieces end the job');
select is((select j.done_count from public.scheduled_jobs as j where j.id = tests.kept('slow')), 4001::bigint,
  'with every row done once');

select pg_temp.job('small', '{"raise": "57014"}', 1000, 1000);
select tests.run_jobs();
select is((select count(*) from public.sync_job_queue as q where q.job_id = tests.kept('small')
  and q.status = 'pending'), 1::bigint,
  'a task of 1,000 rows is not cut');
select pg_temp.hurry();
select tests.run_jobs();
select pg_temp.hurry();
select tests.run_jobs();
select is(pg_temp.job_status('small'), 'failed', 'and is given up after its attempts');

select pg_temp.job('whole', '{"raise": "57014", "whole": true}', 4000, 4000);
select tests.run_jobs();
select is((select count(*) from public.sync_job_queue as q where q.job_id = tests.kept('whole')), 1::bigint,
  'what must be applied whole is not cut');
delete from public.scheduled_jobs where id = tests.kept('whole');

select pg_temp.job('leave', '{"raise": "57014"}');
select is(private.run_task(private.claim_task()), false, 'run_task tells its caller to leave after a cancellation');
select pg_advisory_unlock_all();
delete from public.scheduled_jobs where id = tests.kept('leave');

-- A worker that dies -----------------------------------------------------------------------------------

select pg_temp.job('orphan');
select pg_temp.claim();
select isnt(pg_temp.claim(), null, 'a running task whose lock is free is claimed again');
select is((select q.attempts from public.sync_job_queue as q where q.job_id = tests.kept('orphan')), 2::smallint,
  'as its second attempt');
select results_eq(
  $$ select e.attempt, e.sqlstate, e.message, e.detail ~ '^claimed by [0-9]+ at ' from public.sync_error_log as e
    where e.job_id = tests.kept('orphan') $$,
  $$ values (1::smallint, '57P01', 'worker lost', true) $$, 'the lost one is logged');
select pg_temp.claim();
select is(pg_temp.claim(), null, 'one that has lost its worker at every attempt is not claimed');
select is(pg_temp.job_status('orphan'), 'failed', 'it is given up');
select is((select j.error ->> 'code' from public.scheduled_jobs as j where j.id = tests.kept('orphan')), '57P01',
  'which the job says');
select is(pg_temp.events('orphan'), 'end failed', 'and its capability is told');
select is((select count(*) from public.sync_error_log as e where e.job_id = tests.kept('orphan')), 3::bigint,
  'every loss is in the log');
select is((select q.status::text from public.sync_job_queue as q where q.job_id = tests.kept('orphan')), 'failed',
  'the task is a dead letter');

-- An orphan of a job that ended meanwhile does nothing.
select pg_temp.job('ended', p_rows => 20);
select pg_temp.claim();
select private.cancel_job(tests.kept('ended'));
select is(pg_temp.job_status('ended'), 'running', 'a job with a task in flight is not cancelled at once');
select is((select count(*) from public.sync_job_queue as q where q.job_id = tests.kept('ended')), 1::bigint,
  'its waiting tasks are gone at once');
select tests.run_jobs();
select is(pg_temp.events('ended'), 'end cancelled', 'the task in flight does no work and ends the job');
select is(pg_temp.job_status('ended'), 'cancelled', 'as cancelled');

-- Cancel -----------------------------------------------------------------------------------------------

select pg_temp.job('cancel', p_rows => 20);
select private.cancel_job(tests.kept('cancel'));
select is(pg_temp.job_status('cancel') || ': ' || pg_temp.events('cancel'), 'cancelled: end cancelled',
  'a job of which nothing runs is cancelled at once');
select private.cancel_job(tests.kept('cancel'));
select is(pg_temp.events('cancel'), 'end cancelled', 'and only once');
select private.cancel_job(tests.kept('good'));
select is(pg_temp.job_status('good'), 'completed', 'an ended one stays as it is');

-- Overdue ----------------------------------------------------------------------------------------------

select pg_temp.job('overdue');
create temporary table claimed as select private.claim_task() as id;
select is(private.cancel_overdue_tasks(), 0::bigint, 'a task within its time is left alone');
update public.sync_job_queue set claimed_at = clock_timestamp() - interval '61 seconds'
  where id = (select id from claimed);
select is(tests.sqlstate_of('select private.cancel_overdue_tasks(), pg_sleep(5)'), '57014',
  'one over its time is cancelled in its backend');
update public.sync_job_queue set claimed_by = 1 where id = (select id from claimed);
select is(private.cancel_overdue_tasks(), 0::bigint, 'not where another backend holds the lock than claimed it');
update public.sync_job_queue set claimed_by = pg_backend_pid() where id = (select id from claimed);
select pg_advisory_unlock_all();
select is(private.cancel_overdue_tasks(), 0::bigint, 'nor a backend that no longer owns the task');

-- Who sees the queue -----------------------------------------------------------------------------------

select tests.act_as('ann');
select isnt_empty($$ select 1 from public.sync_job_queue $$, 'an admin sees the organization''s tasks');
select isnt_empty($$ select 1 from public.sync_error_log $$, 'and failed attempts');
select throws_ok($$ delete from public.sync_job_queue $$, '42501', 'permission denied for table sync_job_queue',
  'and changes nothing');
select tests.act_as('max');
select is_empty($$ select 1 from public.sync_job_queue union all select 1 from public.sync_error_log $$,
  'a member sees neither');
select tests.act_as('bob');
select is_empty($$ select 1 from public.sync_job_queue as q where q.org_id = tests.org_id('acme')
  union all select 1 from public.sync_error_log as e where e.org_id = tests.org_id('acme') $$,
    'nor does another organization''s admin');
select tests.act_as_role('service_role');
select lives_ok($$ update public.sync_retry_policy set max_attempts = 4 where job_type = 'probe' $$,
  'the service sets the retry policy');
select tests.act_as('ann');
select throws_ok($$ update public.sync_retry_policy set max_attempts = 100 $$, '42501',
  'permission denied for table sync_retry_policy', 'admins only read it');

select * from finish();
rollback;
