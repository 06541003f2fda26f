-- The worker: claim a task, run it, record its end. Nothing else is needed for progress, so any
-- process may be killed at any moment: the next tick of pg_cron goes on.
-- Needs: jobs_tasks, jobs_control. Runs as postgres from the cron jobs jobs.work_1 … jobs.work_<n>.
-- Exposes: nothing to clients.

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
