-- The worker: claim a task, run it, record its end. Nothing else is needed for progress, so any
-- process may be killed at any moment: the next tick of pg_cron goes on.
-- Needs: jobs. Runs as postgres from the cron jobs jobs.work_1 … jobs.work_<n>.
-- Exposes: nothing to clients.

-- Who holds this session-level lock owns the task: it outlives commits and ends with the process.
create function private.task_lock_key(p_task_id bigint)
returns bigint
language sql immutable
security invoker
set search_path = ''
as $$
  select hashtextextended('jobs.task:' || p_task_id, 0);
$$;

-- Ends a job, and tells the capability that it belongs to.
create function private.end_job(p_job_id uuid, p_status public.sync_status_type, p_error jsonb default null)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_job public.scheduled_jobs;
begin
  update public.scheduled_jobs as j
  set status = p_status, error = p_error, finished_at = clock_timestamp()
  where j.id = p_job_id
  returning j.* into v_job;

  perform private.lock_organization(v_job.org_id); -- before the capability locks what the job was about
  execute format('select %s($1)', (select t.end_function from private.job_types as t where t.job_type = v_job.job_type))
  using v_job;
end;
$$;

-- Stops the waiting tasks of a job. Skipped when locked: being claimed at this moment; its worker looks at
-- the job again before it does anything.
create function private.hold_tasks(p_job_id uuid)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  update public.sync_job_queue as q
  set status = 'held'
  where q.id in (
    select w.id from public.sync_job_queue as w
    where w.job_id = p_job_id and w.status = 'pending'
    for update skip locked
  );
$$;

-- Takes away the tasks of a job that nobody is at, skipped like above.
create function private.drop_tasks(p_job_id uuid)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  delete from public.sync_job_queue as q
  where q.id in (
    select w.id from public.sync_job_queue as w
    where w.job_id = p_job_id and w.status <> 'running'
    for update skip locked
  );
$$;

-- A task of the job was given up: once no other is in flight, nothing more is written, and the job has failed.
create function private.end_failing_job(p_job public.scheduled_jobs)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  if not exists (
    select from public.sync_job_queue as q where q.job_id = p_job.id and q.status = 'running'
  ) then
    perform private.end_job(p_job.id, 'failed', p_job.error);
  end if;
end;
$$;

-- Why a job may not go on, whatever its tasks would do; null: it may.
create function private.unfit_reason(p_job public.scheduled_jobs)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select case
    when not o.is_active then jsonb_build_object(
      'code', 'organization_closed',
      'message', 'organization of the job is not active',
      'details', format('organization %s', o.id),
      'hint', 'Retry it when the organization is open again.')
    when p_job.run_as = 'user' and p.id is null then jsonb_build_object(
      'code', 'actor_deleted',
      'message', 'the person whose job it is has no account any more',
      'details', format('user %s', p_job.actor),
      'hint', 'An admin of the organization can retry it, with rights of their own.')
    when p_job.run_as = 'user' and not p.is_active then jsonb_build_object(
      'code', 'actor_deactivated',
      'message', 'the person whose job it is was deactivated',
      'details', format('user %s', p_job.actor),
      'hint', 'An admin of the organization can retry it, with rights of their own.')
    when p_job.run_as = 'user' and not p.is_system_admin and p.org_id is distinct from o.id then jsonb_build_object(
      'code', 'actor_left',
      'message', 'the person whose job it is left the organization',
      'details', format('user %s', p_job.actor),
      'hint', 'An admin of the organization can retry it, with rights of their own.')
    when p_job.running_since is not null
      and p_job.running_since < clock_timestamp() - make_interval(mins => private.setting('jobs.max_minutes', o.id)::integer)
    then jsonb_build_object(
      'code', 'job_overdue',
      'message', 'job ran for longer than it may',
      'details', format('since %s, %s minutes are allowed', p_job.running_since, private.setting('jobs.max_minutes', o.id)),
      'hint', 'Retry it: it goes on where it stopped. A system admin can allow more (jobs.max_minutes).')
  end
  from public.organization as o
  left join public.profiles as p on p.id = p_job.actor
  where o.id = p_job.org_id;
$$;

-- Fails a job that may not go on: what waits is held, and it ends with the last task in flight. False: it is fit.
create function private.stop_unfit_job(p_job public.scheduled_jobs)
returns boolean
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_error jsonb := private.unfit_reason(p_job);
  v_job   public.scheduled_jobs;
begin
  if v_error is null then
    return false;
  end if;

  update public.scheduled_jobs as j
  set error = v_error
  where j.id = p_job.id and j.finished_at is null and j.cancel_requested_at is null
    and (j.error is null or j.phase = 'waiting') -- else it is failing
  returning j.* into v_job;
  if found then
    insert into public.sync_error_log (org_id, job_id, sqlstate, message, detail, hint)
    values (v_job.org_id, v_job.id, v_error ->> 'code', v_error ->> 'message', v_error ->> 'details', v_error ->> 'hint');
    perform private.hold_tasks(v_job.id);
    perform private.end_failing_job(v_job);
  end if;
  return true;
end;
$$;

-- Stops one job that may not go on, also while it waits. False: there is none; the caller commits after each.
create function private.stop_next_unfit_job()
returns boolean
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_job public.scheduled_jobs;
begin
  select j.* into v_job
  from public.scheduled_jobs as j
  where j.finished_at is null and j.cancel_requested_at is null
    and (j.error is null or j.phase = 'waiting')
    and private.unfit_reason(j) is not null
  limit 1
  for no key update skip locked; -- a task of it ends or is claimed at this moment
  return found and private.stop_unfit_job(v_job);
end;
$$;

-- Lets jobs go whose time has come.
create function private.release_due_jobs()
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select private.release_queued_jobs(d.org_id)
  from (
    select distinct j.org_id
    from public.scheduled_jobs as j
    where j.status = 'queued' and j.phase is distinct from 'waiting' and j.run_at <= clock_timestamp()
    order by j.org_id
  ) as d;
$$;

-- The task's work is done: it goes, is counted, and if it was the last the job moves on.
-- The job's row is updated first and only then the queue looked at: of two tasks that end together,
-- the second waits here and sees nothing left.
create function private.finish_task(p_task public.sync_job_queue, p_result private.task_result)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_job  public.scheduled_jobs;
  v_done boolean;
begin
  delete from public.sync_job_queue as q where q.id = p_task.id;

  update public.scheduled_jobs as j
  set done_count   = j.done_count + coalesce(p_result.done_count, 0),
      failed_count = j.failed_count + coalesce(p_result.failed_count, 0)
  where j.id = p_task.job_id
  returning j.* into v_job;

  if v_job.finished_at is not null then
    return;
  end if;

  -- The task may have left others, made for a job that went on.
  if v_job.cancel_requested_at is not null then
    perform private.drop_tasks(v_job.id);
  elsif private.waiting_status(v_job) = 'held' then
    perform private.hold_tasks(v_job.id);
  end if;

  -- Failing: it ends with the last task in flight.
  if v_job.error is not null then
    perform private.end_failing_job(v_job);
    return;
  end if;

  if exists (select from public.sync_job_queue as q where q.job_id = p_task.job_id) then
    perform private.release_if_queued(v_job);
    return;
  end if;

  if v_job.cancel_requested_at is not null then
    perform private.end_job(v_job.id, 'cancelled');
    return;
  end if;

  execute format('select %s($1)', (select t.advance_function from private.job_types as t where t.job_type = v_job.job_type))
  into v_done using v_job;
  if v_done then
    perform private.end_job(v_job.id, 'completed');
    if v_job.status = 'paused' then -- what follows it waits as well
      perform private.pause_job(j.id)
      from public.scheduled_jobs as j
      where j.batch_id = v_job.batch_id and j.finished_at is null;
    end if;
  else
    perform private.release_if_queued(v_job);
  end if;
end;
$$;

-- A job that queues while a task of it is in flight was perhaps passed over because that task's end held
-- its row: so whoever held it looks whether it may go.
create function private.release_if_queued(p_job public.scheduled_jobs)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  if p_job.status = 'queued' then
    perform private.release_queued_jobs(p_job.org_id);
  end if;
end;
$$;

-- A claimed task that is not to be worked at now, as its job is paused, queued or failing: it waits, and the
-- claim does not count. The job's row is locked before it is looked at, so that whoever lets the job
-- go on does so before this or finds the task waiting.
create function private.return_task(p_task public.sync_job_queue)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_job public.scheduled_jobs;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id for no key update;
  update public.sync_job_queue as q
  set status = private.waiting_status(v_job), attempts = q.attempts - 1, token = null
  where q.id = p_task.id;

  if v_job.error is not null and v_job.finished_at is null then
    perform private.end_failing_job(v_job);
  else
    perform private.release_if_queued(v_job);
  end if;
end;
$$;

-- A task whose work goes on in the worker function: it waits for the answer, as a task in flight does, also of
-- a job that is paused meanwhile. Not where its job was stopped while it was posted: then the call comes too late.
create function private.await_call(p_task public.sync_job_queue)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_job public.scheduled_jobs;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id for no key update;
  if v_job.cancel_requested_at is not null then
    perform private.finish_task(p_task, null);
  elsif v_job.error is not null then
    perform private.return_task(p_task);
  else
    update public.sync_job_queue as q set status = private.waiting_status(v_job) where q.id = p_task.id;
    perform private.release_if_queued(v_job);
  end if;
end;
$$;

-- An attempt failed, its work is rolled back: again later (p_not_before: as who refused it says), in smaller pieces,
-- or not at all.
create function private.fail_task(
  p_task public.sync_job_queue, p_error jsonb, p_context text default null, p_not_before timestamptz default null
)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  c_smallest constant integer := 1000; -- rows; a task of so few is not cut further
  v_code   text := p_error ->> 'code';
  v_policy public.sync_retry_policy;
  v_job    public.scheduled_jobs;
  v_delay  interval;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id for no key update;
  perform private.assume_claims(v_job.claims); -- those of the work went with it; logs say who

  insert into public.sync_error_log (org_id, job_id, task_id, attempt, sqlstate, message, detail, hint, context)
  values (
    p_task.org_id, p_task.job_id, p_task.id, p_task.attempts, v_code,
    p_error ->> 'message', p_error ->> 'details', p_error ->> 'hint', p_context
  );

  if v_job.cancel_requested_at is not null then
    perform private.finish_task(p_task, null);
    return;
  end if;

  -- Failing already: kept for a retry.
  if v_job.error is not null then
    update public.sync_job_queue as q set status = 'held', token = null where q.id = p_task.id;
    if v_job.finished_at is null then
      perform private.end_failing_job(v_job);
    end if;
    return;
  end if;

  select p.* into v_policy from public.sync_retry_policy as p where p.job_type = v_job.job_type;

  if p_task.attempts >= v_policy.max_attempts or left(v_code, 2) <> all (v_policy.retry_classes) then
    update public.sync_job_queue as q set status = 'failed', token = null where q.id = p_task.id;
    perform private.hold_tasks(v_job.id);
    update public.scheduled_jobs as j set error = p_error where j.id = v_job.id returning j.* into v_job;
    perform private.end_failing_job(v_job);
    return;
  end if;

  v_delay := make_interval(secs => least(
    extract(epoch from v_policy.max_delay)::double precision,
    extract(epoch from v_policy.base_delay)::double precision
      * power(v_policy.factor::double precision, least(p_task.attempts - 1, 20))
      * (1 + v_policy.jitter::double precision * (2 * random() - 1))
  ));

  -- Cancelled, by the clock as a rule: four smaller tasks in place of the same again.
  -- params.whole: its rows are to be applied together or not at all.
  if v_code = '57014' and p_task.to_row - p_task.from_row > c_smallest
    and not coalesce((v_job.params ->> 'whole')::boolean, false) then
    insert into public.sync_job_queue
      (job_id, org_id, task_type, from_row, to_row, args, status, priority, attempts, next_attempt_at)
    select
      q.job_id, q.org_id, q.task_type, n, least(n + v_part.rows, q.to_row), q.args, private.waiting_status(v_job),
      q.priority, q.attempts, clock_timestamp() + v_delay
    from public.sync_job_queue as q
    cross join lateral (select ceil((q.to_row - q.from_row) / 4.0)::integer as rows) as v_part
    cross join lateral generate_series(q.from_row, q.to_row - 1, v_part.rows) as n
    where q.id = p_task.id;
    delete from public.sync_job_queue as q where q.id = p_task.id;
  else
    update public.sync_job_queue as q
    set status = private.waiting_status(v_job), token = null,
        next_attempt_at = greatest(clock_timestamp() + v_delay, p_not_before)
    where q.id = p_task.id;
  end if;
  perform private.release_if_queued(v_job);
end;
$$;

-- Counts the time that workers are at tasks of an organization: the one that had the least comes first. So one with
-- a few short tasks does not wait for each of them behind the long ones of another. Within bounds around the present, that
-- who had nothing for long, or much, is not first, or last, for long.
create function private.charge_turn(p_org_id uuid, p_time interval)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  insert into private.organization_turns as o (org_id, served_until)
  values (p_org_id, clock_timestamp() - interval '10 seconds' + p_time)
  on conflict (org_id) do update
  set served_until = least(greatest(o.served_until, clock_timestamp() - interval '10 seconds'), clock_timestamp() + interval '10 seconds')
    + p_time;
$$;

-- Takes the next task: of the organization that had the least of the workers, by priority and age. Null: nothing is ready.
-- The caller commits, runs it, commits, and releases it.
create function private.claim_task()
returns bigint
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_candidate record;
  v_task      public.sync_job_queue;
  v_lost      jsonb;
  v_is_last   boolean;
begin
  for v_candidate in
    with recursive waiting as ( -- the organizations in the queue, one index probe each
      (
        select q.org_id from public.sync_job_queue as q
        where q.status in ('pending', 'running')
        order by q.org_id limit 1
      )
      union all
      select (
        select q.org_id from public.sync_job_queue as q
        where q.status in ('pending', 'running') and q.org_id > w.org_id
        order by q.org_id limit 1
      )
      from waiting as w
      where w.org_id is not null
    )
    select t.id, t.org_id
    from waiting as w
    left join private.organization_turns as o on o.org_id = w.org_id
    cross join lateral (
      select q.id, q.org_id, q.priority
      from public.sync_job_queue as q
      where q.org_id = w.org_id
        and q.status in ('pending', 'running')
        and q.next_attempt_at <= clock_timestamp()
      order by q.priority, q.id
      limit 64 -- more than there are workers: the first ones may be at work
    ) as t
    order by o.served_until nulls first, t.priority, t.id
  loop
    continue when not pg_try_advisory_lock(private.task_lock_key(v_candidate.id));

    -- The list may be older than the lock: look again.
    select q.* into v_task
    from public.sync_job_queue as q
    where q.id = v_candidate.id
      and q.status in ('pending', 'running')
      and q.next_attempt_at <= clock_timestamp()
    for update skip locked;

    if not found then
      perform pg_advisory_unlock(private.task_lock_key(v_candidate.id));
      continue;
    end if;

    v_lost := case
      when v_task.status = 'running' then jsonb_build_object( -- its lock was free, so its last worker died with it
        'code', '57P01', 'message', 'worker lost',
        'details', format('claimed by %s at %s', v_task.claimed_by, v_task.claimed_at))
      when v_task.token is not null then jsonb_build_object(
        'code', '08006', 'message', 'worker function did not answer',
        'details', format('called at %s', v_task.claimed_at))
    end;
    if v_lost is not null then
      -- The last attempt is not given away: a task that kills its backend comes to an end.
      select v_task.attempts >= p.max_attempts into v_is_last
      from public.scheduled_jobs as j
      join public.sync_retry_policy as p on p.job_type = j.job_type
      where j.id = v_task.job_id;

      if v_is_last then
        perform private.fail_task(v_task, v_lost);
        perform pg_advisory_unlock(private.task_lock_key(v_candidate.id));
        continue;
      end if;

      insert into public.sync_error_log (org_id, job_id, task_id, attempt, sqlstate, message, detail)
      values (
        v_task.org_id, v_task.job_id, v_task.id, v_task.attempts,
        v_lost ->> 'code', v_lost ->> 'message', v_lost ->> 'details'
      );
    end if;

    update public.sync_job_queue as q
    set status = 'running', attempts = q.attempts + 1, token = null,
        claimed_by = pg_backend_pid(), claimed_at = clock_timestamp()
    where q.id = v_task.id;

    update public.scheduled_jobs as j
    set status = 'running', started_at = coalesce(j.started_at, clock_timestamp())
    where j.id = v_task.job_id and j.status = 'pending';

    perform private.charge_turn(v_task.org_id, interval '1 second'); -- until it is known; see run_task

    return v_task.id;
  end loop;
  return null;
end;
$$;

-- Does a task's work, by p_call (of $1, the task, and $2, the answer), and records its end. The SQLSTATE of a failure.
-- p_task.token is set where it is the worker function that answers: which it may do for a paused job, too.
create function private.do_task(
  p_task public.sync_job_queue, p_job public.scheduled_jobs, p_call text, p_answer jsonb default null
)
returns text
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_result  private.task_result;
  v_error   jsonb;
  v_code    text;
  v_message text;
  v_detail  text;
  v_hint    text;
  v_context text;
begin
  if p_job.cancel_requested_at is not null then
    perform private.finish_task(p_task, null);
  elsif private.stop_unfit_job(p_job) then
    perform private.return_task(p_task);
  elsif p_job.error is null and (p_job.status = 'running' or p_task.token is not null) then
    perform private.assume_claims(p_job.claims);
    execute format('select r.* from %s as r', p_call) into v_result using p_task, p_answer;
    -- Deferred constraints speak here, where they are caught, and not at the commit.
    set constraints all immediate;
    if exists (
      select from public.sync_job_queue as q where q.id = p_task.id and q.token is distinct from p_task.token
    ) then
      perform private.await_call(p_task);
    else
      perform private.finish_task(p_task, v_result);
    end if;
  else
    perform private.return_task(p_task);
  end if;
  return null;
exception when query_canceled or others then -- others alone lets a cancellation pass
  get stacked diagnostics
    v_code    = returned_sqlstate,
    v_message = message_text,
    v_detail  = pg_exception_detail,
    v_hint    = pg_exception_hint,
    v_context = pg_exception_context;
  v_error := jsonb_build_object('code', v_code, 'message', v_message, 'details', nullif(v_detail, ''), 'hint', nullif(v_hint, ''));
  if v_code = '42501' then -- a right that went while it ran: whose, if it was with the person
    v_error := coalesce(private.unfit_reason(p_job), v_error);
  end if;
  perform private.fail_task(p_task, v_error, v_context);
  return v_code;
end;
$$;

-- Does a claimed task's work. Work, outcomes and the end of the task are one transaction, the caller's.
-- False: the statement was cancelled, so the caller ends it too: its timer is spent and fires no more.
create function private.run_task(p_task_id bigint)
returns boolean
language plpgsql volatile
security invoker
set search_path = ''
set jit = off -- where it is on, it spends a second on what takes milliseconds
as $$
declare
  v_task public.sync_job_queue;
  v_job  public.scheduled_jobs;
  v_run  text;
  v_code text;
begin
  -- Waits for an administrator's hand at most, never for another worker.
  select q.* into v_task
  from public.sync_job_queue as q
  where q.id = p_task_id and q.status = 'running'
  for update;
  if not found then
    return true;
  end if;

  select j.* into v_job from public.scheduled_jobs as j where j.id = v_task.job_id;
  select t.run_function into v_run from private.job_types as t where t.job_type = v_job.job_type;
  v_code := private.do_task(v_task, v_job, v_run || '($1)');
  perform private.charge_turn(v_task.org_id, clock_timestamp() - v_task.claimed_at - interval '1 second');
  return v_code is distinct from '57014';
end;
$$;

-- Asks a job to stop: waiting tasks go at once, those in flight end and the last of them ends the job.
-- False: it had ended already.
create function private.cancel_job(p_job_id uuid)
returns boolean
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  update public.scheduled_jobs as j
  set cancel_requested_at = coalesce(j.cancel_requested_at, clock_timestamp()),
      error = null -- of one that is failing: its other tasks go, so it cannot be tried again
  where j.id = p_job_id and j.finished_at is null;
  if not found then
    return false;
  end if;

  perform private.drop_tasks(p_job_id);

  if not exists (select from public.sync_job_queue as q where q.job_id = p_job_id) then
    perform private.end_job(p_job_id, 'cancelled');
  end if;
  return true;
end;
$$;

-- Stops a job where it is: its tasks wait, those in flight end. False: it is ending, has ended or is paused.
create function private.pause_job(p_job_id uuid)
returns boolean
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  update public.scheduled_jobs as j
  set status = 'paused'
  where j.id = p_job_id
    and j.status in ('pending', 'queued', 'running')
    and j.cancel_requested_at is null and j.error is null;
  if not found then
    return false;
  end if;

  perform private.hold_tasks(p_job_id);
  return true;
end;
$$;

-- Lets a paused job go on when its organization runs fewer than it may; else it queues. False: it is not paused.
create function private.resume_job(p_job_id uuid)
returns boolean
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_job public.scheduled_jobs;
begin
  update public.scheduled_jobs as j
  set status = 'queued', error = null
  where j.id = p_job_id and j.status = 'paused' and j.cancel_requested_at is null
    and (j.error is null or j.phase = 'waiting') -- else it is failing
  returning j.* into v_job;
  if not found then
    return false;
  end if;

  perform private.release_queued_jobs(v_job.org_id);
  return true;
end;
$$;

-- Gives a job what is left of a failed one, each task with all its attempts. Whatever state they are in: one
-- that was claimed while the job failed is about to be returned.
create function private.take_over_tasks(p_job public.scheduled_jobs, p_failed_job_id uuid)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  update public.sync_job_queue as q
  set job_id = p_job.id, status = private.waiting_status(p_job), priority = p_job.priority, attempts = 0, token = null,
      next_attempt_at = greatest(p_job.run_at, clock_timestamp())
  where q.job_id = p_failed_job_id;
$$;

-- Cancels tasks that are over their time (the worker's block cannot limit itself); returns how many.
-- Only the backend that still owns the task: process ids are used again.
create function private.cancel_overdue_tasks()
returns bigint
language sql volatile
security invoker
set search_path = ''
as $$
  select count(*) filter (where pg_cancel_backend(q.claimed_by))
  from public.sync_job_queue as q
  where q.status = 'running'
    and private.lock_holder(private.task_lock_key(q.id)) = q.claimed_by
    and q.claimed_at < clock_timestamp() - make_interval(secs => private.setting('jobs.task_seconds')::integer);
$$;

-- How many workers there are: so many cron jobs. Each stays for 45 seconds, then pg_cron starts it anew:
-- with a task of jobs.task_seconds at its end that is within the platform's statement limit of two minutes.
-- It naps rather than leaves when nothing is ready: connecting each second costs ten times as much. The
-- first second it naps shortly, as between two phases of a job.
create function private.set_worker_count(p_count integer)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_name text;
begin
  for v_name in
    select j.jobname from cron.job as j
    where j.jobname ~ '^jobs\.work_[0-9]+$' and substring(j.jobname from '[0-9]+$')::integer > p_count
  loop
    perform cron.unschedule(v_name);
  end loop;

  for i in 1..p_count loop
    perform cron.schedule('jobs.work_' || i, '1 seconds', format($cron$
do $body$
declare
  v_task_id bigint;
  v_go_on   boolean := true;
  v_naps    integer := 0;
begin
  perform set_config('application_name', 'sluice jobs.work_%s', false);
  while v_go_on and clock_timestamp() < statement_timestamp() + interval '45 seconds' loop
    v_task_id := private.claim_task();
    commit;
    if v_task_id is null then
      v_naps := v_naps + 1;
      perform pg_sleep(case when v_naps > 20 then 0.5 else 0.05 end);
      commit;
    else
      v_naps := 0;
      v_go_on := private.run_task(v_task_id);
      commit;
      perform pg_advisory_unlock(private.task_lock_key(v_task_id));
    end if;
  end loop;
end
$body$ $cron$, i));
  end loop;
end;
$$;

revoke all on all functions in schema private from public;
