-- What stops a job and lets it go on: people, a closed organization, its time.
-- Needs: jobs_tasks.
-- Exposes: nothing to clients.

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

revoke all on all functions in schema private from public;
