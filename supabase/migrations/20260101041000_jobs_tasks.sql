-- Tasks and how they end: done, returned, failed, put off; and how a job ends with its last one.
-- Needs: jobs.
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

revoke all on all functions in schema private from public;
