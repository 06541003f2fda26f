-- Jobs, as people have them: a list with filters, each in detail, and what may be done to one.
-- Needs: jobs_control, jobs_remote.
-- Exposes: list_jobs, get_job, change_job, pause_job, resume_job, cancel_job, retry_job, remove_job.

-- Documents ---------------------------------------------------------------------------------------

create function private.describe_job(p_job public.scheduled_jobs)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'id', p_job.id, 'job_type', p_job.job_type, 'status', p_job.status, 'phase', p_job.phase,
    'import_id', p_job.batch_id, 'total', p_job.total_count, 'done', p_job.done_count, 'failed', p_job.failed_count,
    'result', p_job.result, 'error', p_job.error, 'created_at', p_job.created_at, 'started_at', p_job.started_at, 'finished_at', p_job.finished_at
  );
$$;

-- With what its own page shows beside that.
create function private.describe_job_at_length(p_job public.scheduled_jobs)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select private.describe_job(p_job) || jsonb_build_object(
    'org_id', p_job.org_id, 'created_by', p_job.created_by, 'run_as', p_job.run_as, 'priority', p_job.priority, 'run_at', p_job.run_at,
    'params', p_job.params, 'cancel_requested_at', p_job.cancel_requested_at
  );
$$;

-- Definer: the row holds claims, which no client may read. Shows those of organizations that the caller sees.
create function private.find_job(p_job_id uuid)
returns jsonb
language sql stable
security definer
set search_path = ''
as $$
  select private.describe_job(j)
  from public.scheduled_jobs as j
  where j.id = p_job_id
    and j.org_id in (select private.org_ids('viewer'));
$$;

-- Where a job stands in a list: what came later, and of the same moment the greater id, is before it.
create function private.job_cursor(p_job public.scheduled_jobs)
returns text
language sql stable
security invoker
set search_path = ''
as $$
  select to_char(p_job.created_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '_' || p_job.id;
$$;

-- Definer: as above.
create function private.read_jobs(
  p_status public.sync_status_type, p_job_type text, p_import_id uuid, p_is_own boolean, p_since timestamptz, p_org_id uuid,
  p_before_at timestamptz, p_before_id uuid, p_page_size integer
)
returns jsonb
language sql stable
security definer
set search_path = ''
as $$
  with page as (
    select j as job, row_number() over (order by j.created_at desc, j.id desc) as position
    from public.scheduled_jobs as j
    where j.org_id in (select private.org_ids('viewer'))
      and (p_org_id is null or j.org_id = p_org_id)
      and (p_status is null or j.status = p_status)
      and (p_job_type is null or j.job_type = p_job_type)
      and (p_import_id is null or j.batch_id = p_import_id)
      and (not p_is_own or j.created_by = (select auth.uid()))
      and (p_since is null or j.created_at >= p_since)
      and (p_before_at is null or (j.created_at, j.id) < (p_before_at, p_before_id))
    order by j.created_at desc, j.id desc
    limit p_page_size
  )
  select jsonb_build_object(
    'jobs', coalesce(jsonb_agg(private.describe_job_at_length(p.job) order by p.position), '[]'),
    'next_before', max(private.job_cursor(p.job)) filter (where p.position = p_page_size)
  )
  from page as p;
$$;

create function public.list_jobs(
  status text default null,
  job_type text default null,
  import_id uuid default null,
  mine boolean default false,
  since timestamptz default null,
  org_id uuid default null,
  before text default null,
  page_size integer default 50
)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_at text := split_part(list_jobs.before, '_', 1);
  v_id text := split_part(list_jobs.before, '_', 2);
begin
  if (list_jobs.page_size between 1 and 200) is not true then
    raise exception using errcode = '22023', message = 'page_size must be from 1 to 200';
  end if;
  perform private.require_status(list_jobs.status, null::public.sync_status_type);
  if not (pg_input_is_valid(v_at, 'timestamptz') and pg_input_is_valid(v_id, 'uuid')) then
    raise exception using
      errcode = '22023',
      message = 'before is no cursor',
      detail  = format('got %s', to_json(list_jobs.before)),
      hint    = 'Give next_before of the page before.';
  end if;

  return private.read_jobs(
    list_jobs.status::public.sync_status_type, list_jobs.job_type, list_jobs.import_id, coalesce(list_jobs.mine, false),
    list_jobs.since, list_jobs.org_id, v_at::timestamptz, v_id::uuid, list_jobs.page_size
  );
end;
$$;
comment on function public.list_jobs(text, text, uuid, boolean, timestamptz, uuid, text, integer) is
  'Background jobs that the caller may see, newest first, with what validate_import returns and { org_id, created_by, run_as, priority, run_at, '
  'params, cancel_requested_at }. mine: those that the caller made; since: made then or later. Returns { jobs, next_before: the cursor of '
  'the next page, or null }. Errors: 22023.';

-- Definer: as above; tasks and errors are an admin's to read.
create function private.read_job(p_job_id uuid)
returns jsonb
language plpgsql stable
security definer
set search_path = ''
as $$
declare
  c_most_errors constant integer := 100;
  v_job      public.scheduled_jobs;
  v_progress jsonb;
  v_tasks    jsonb;
  v_errors   jsonb;
begin
  select j.* into v_job
  from public.scheduled_jobs as j
  where j.id = p_job_id and j.org_id in (select private.org_ids('viewer'));
  if not found then
    raise exception using errcode = 'PT404', message = 'job not found';
  end if;

  select jsonb_build_object('elapsed_seconds', p.elapsed_seconds, 'items_per_minute', p.speed_items_per_min, 'eta_seconds', p.eta_seconds)
  into v_progress
  from public.sync_progress as p
  where p.org_id = v_job.org_id and p.sync_id = v_job.id::text;

  if v_job.org_id in (select private.org_ids('admin')) then
    select jsonb_build_object(
      'waiting', count(*) filter (where q.status in ('pending', 'held') and q.token is null),
      'running', count(*) filter (where q.status = 'running' or q.token is not null),
      'dead', count(*) filter (where q.status = 'failed'))
    into v_tasks
    from public.sync_job_queue as q
    where q.job_id = v_job.id;

    select coalesce(jsonb_agg(to_jsonb(e) - '{id, org_id, job_id}'::text[] order by e.at desc, e.id desc), '[]') into v_errors
    from (
      select l.* from public.sync_error_log as l where l.job_id = v_job.id order by l.at desc, l.id desc limit c_most_errors
    ) as e;
  end if;

  return private.describe_job_at_length(v_job) || jsonb_build_object('progress', v_progress, 'tasks', v_tasks, 'errors', v_errors);
end;
$$;

create function public.get_job(job_id uuid)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select private.read_job(get_job.job_id);
$$;
comment on function public.get_job(uuid) is
  'A background job, as in list_jobs, with { progress: { elapsed_seconds, items_per_minute, eta_seconds }, tasks: { waiting, running, dead }, '
  'errors }. errors: its last hundred failed attempts, newest first: [{ task_id, attempt, sqlstate, message, detail, hint, context, at }]. '
  'tasks and errors are null for those who are no admin of the organization. Errors: PT404.';

-- Acting ------------------------------------------------------------------------------------------

-- The job, if it is the caller's to act upon: its type says whose it is; else its maker's, while they are a
-- member, and the admins'. For definers: the row holds claims.
create function private.require_job(p_job_id uuid)
returns public.scheduled_jobs
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_job   public.scheduled_jobs;
  v_right text;
begin
  select j.* into v_job
  from public.scheduled_jobs as j
  where j.id = p_job_id and j.org_id in (select private.org_ids('viewer'));
  if not found then
    raise exception using errcode = 'PT404', message = 'job not found';
  end if;

  select t.right_function into v_right from private.job_types as t where t.job_type = v_job.job_type;
  if v_right is null then
    perform private.require_org_role(
      v_job.org_id, case when v_job.created_by = auth.uid() then 'member' else 'admin' end::public.org_role);
  else
    execute format('select %s($1)', v_right) using v_job;
  end if;
  return v_job;
end;
$$;

create function private.require_unfinished(p_job public.scheduled_jobs)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
begin
  if p_job.finished_at is not null then
    raise exception using
      errcode = 'PT409',
      message = 'job has ended',
      detail  = format('job %s is %s', p_job.id, p_job.status),
      hint    = case p_job.status when 'failed' then 'Retry it.' else 'Start a new one.' end;
  elsif p_job.cancel_requested_at is not null or (p_job.error is not null and p_job.phase is distinct from 'waiting') then
    raise exception using
      errcode = 'PT409',
      message = 'job is about to end',
      detail  = format('job %s: its tasks in flight end, then it is %s',
        p_job.id, case when p_job.error is null then 'cancelled' else 'failed' end),
      hint    = 'Wait a moment.';
  end if;
end;
$$;

-- What people did with a job; its end is logged with its progress.
create function private.log_job_activity(p_job public.scheduled_jobs, p_action public.sync_action, p_status public.sync_status_type)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select private.log_activity(
    p_job.org_id, p_job.entity_type, p_action, p_status, coalesce(p_job.batch_id, p_job.id)::text,
    jsonb_build_object('job_id', p_job.id, 'job_type', p_job.job_type)
  );
$$;

-- Pauses a job for the caller. False: it ended meanwhile.
create function private.pause_unfinished(p_job public.scheduled_jobs)
returns boolean
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_unfinished(p_job);
  if p_job.status <> 'paused' then
    if not private.pause_job(p_job.id) then
      return false;
    end if;
    perform private.log_job_activity(p_job, 'paused', 'paused');
  end if;
  return true;
end;
$$;

create function private.resume_unfinished(p_job public.scheduled_jobs)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  perform private.require_unfinished(p_job);
  if not private.resume_job(p_job.id) then
    raise exception using
      errcode = 'PT409',
      message = 'job is not paused',
      detail  = format('job %s is %s', p_job.id, p_job.status),
      hint    = 'It goes on by itself.';
  end if;
  perform private.log_job_activity(p_job, 'resumed', 'running');
end;
$$;

-- Definer: writes jobs and tasks. Authorises first.
create function private.pause_own_job(p_job_id uuid)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
begin
  while not private.pause_unfinished(private.require_job(p_job_id)) loop
  end loop;
end;
$$;

create function public.pause_job(job_id uuid)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  perform private.pause_own_job(pause_job.job_id);
  return private.read_job(pause_job.job_id);
end;
$$;
comment on function public.pause_job(uuid) is
  'Stops a job where it is, until resume_job: tasks in flight end, the others wait. It counts no more as a running job of the '
  'organization. Returns it, as get_job does. Errors: 42501, PT404, PT409 (it has ended, or is about to).';

-- Definer: as above.
create function private.resume_own_job(p_job_id uuid)
returns void
language sql volatile
security definer
set search_path = ''
as $$
  select private.resume_unfinished(private.require_job(p_job_id));
$$;

create function public.resume_job(job_id uuid)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  perform private.resume_own_job(resume_job.job_id);
  return private.read_job(resume_job.job_id);
end;
$$;
comment on function public.resume_job(uuid) is
  'Lets a paused job go on; it queues where the organization runs as many as it may. Returns it, as get_job does. '
  'Errors: 42501, PT404, PT409 (not paused).';

-- Definer: as above.
create function private.cancel_own_job(p_job_id uuid)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_job public.scheduled_jobs := private.require_job(p_job_id);
begin
  if not private.cancel_job(v_job.id) then
    perform private.require_unfinished(private.require_job(p_job_id)); -- that says how it ended
  end if;
end;
$$;

create function public.cancel_job(job_id uuid)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  perform private.cancel_own_job(cancel_job.job_id);
  return private.read_job(cancel_job.job_id);
end;
$$;
comment on function public.cancel_job(uuid) is
  'Stops a job for good: at once where nothing of it runs, else when the tasks in flight have ended. What is done stays; an import is '
  'cancelled with it. Returns it, as get_job does. Errors: 42501, PT404, PT409 (it has ended).';

-- Definer: as above.
create function private.change_own_job(p_job_id uuid, p_priority integer, p_run_at timestamptz)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_job   public.scheduled_jobs := private.require_job(p_job_id);
  v_count bigint;
begin
  if p_priority < 0 then
    perform private.require_org_role(v_job.org_id, 'admin'); -- ahead of what others started
  end if;

  select j.* into v_job from public.scheduled_jobs as j where j.id = v_job.id for no key update;
  perform private.require_unfinished(v_job);

  update public.scheduled_jobs as j
  set priority = coalesce(p_priority, j.priority),
      run_at   = greatest(coalesce(p_run_at, j.run_at), j.created_at), -- not ahead of what was started before
      status   = case when j.status = 'pending' and p_run_at > clock_timestamp() then 'queued' else j.status end
  where j.id = v_job.id and j.status in ('pending', 'queued', 'paused')
  returning j.* into v_job;

  -- Skipped when locked: being claimed at this moment, so the job does not wait any more; nor while a call is on its way.
  update public.sync_job_queue as q
  set priority        = v_job.priority,
      status          = private.waiting_status(v_job),
      next_attempt_at = coalesce(greatest(p_run_at, clock_timestamp()), q.next_attempt_at)
  where q.id in (
    select w.id from public.sync_job_queue as w
    where w.job_id = v_job.id and w.status in ('pending', 'held') and w.token is null
    for update skip locked
  );
  get diagnostics v_count = row_count;

  if v_job.id is null or v_count < (select count(*) from public.sync_job_queue as q where q.job_id = v_job.id) then
    raise exception using
      errcode = 'PT409',
      message = 'job does not wait',
      detail  = format('job %s runs', p_job_id),
      hint    = 'Pause it first, and wait until its tasks in flight have ended.';
  end if;

  perform private.release_queued_jobs(v_job.org_id);
  perform private.log_job_activity(v_job, 'updated', v_job.status);
end;
$$;

create function public.change_job(job_id uuid, priority integer default null, run_at timestamptz default null)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  if change_job.priority not between -100 and 100 then
    raise exception using
      errcode = '22023',
      message = 'priority must be from -100 to 100',
      detail  = format('got %s', change_job.priority),
      hint    = 'Lower runs first; below 0 is for admins.';
  end if;
  if change_job.run_at > now() + interval '1 year' then
    raise exception using
      errcode = '22023',
      message = 'run_at must be within a year',
      detail  = format('got %s', change_job.run_at),
      hint    = 'Pause the job if it is to wait for longer.';
  end if;
  perform private.change_own_job(change_job.job_id, change_job.priority, change_job.run_at);
  return private.read_job(change_job.job_id);
end;
$$;
comment on function public.change_job(uuid, integer, timestamptz) is
  'Changes when a job runs that waits: priority from -100 to 100 (lower runs first within the organization; below 0 for admins), run_at: not before this '
  'time. What is left out stays. Returns it, as get_job does. Errors: 22023, 42501, PT404, PT409 (it runs, or has ended).';

-- The type and params of the job that goes on with what a failed one left. Definer: tasks are closed. Authorises first.
create function private.require_retriable(p_job_id uuid, out job_type text, out params jsonb)
returns record
language plpgsql stable
security definer
set search_path = ''
as $$
declare
  v_job public.scheduled_jobs := private.require_job(p_job_id);
begin
  if v_job.status <> 'failed'
    or not exists (select from public.sync_job_queue as q where q.job_id = v_job.id)
    or exists (
      select from public.scheduled_jobs as n
      where n.batch_id = v_job.batch_id and n.created_at > v_job.created_at and n.params -> 'dry_run' is distinct from 'true'
    ) then
    raise exception using
      errcode = 'PT409',
      message = 'nothing of the job can be tried again',
      detail  = format('job %s is %s', v_job.id, v_job.status),
      hint    = case
        when v_job.finished_at is null then 'Wait until it has ended.'
        when v_job.status = 'failed' then 'Another job went on after it.'
        else 'It did not fail.'
      end;
  end if;
  job_type := v_job.job_type;
  params := v_job.params || jsonb_build_object('retry', true, 'retries', v_job.id);
end;
$$;

create function public.retry_job(job_id uuid)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_new record := private.require_retriable(retry_job.job_id);
  v_id  uuid;
begin
  insert into public.scheduled_jobs (job_type, params) values (v_new.job_type, v_new.params) returning id into v_id;
  return private.read_job(v_id);
end;
$$;
comment on function public.retry_job(uuid) is
  'Tries the tasks again for which a failed job was given up, and those after them, with the caller''s rights; what was done stays and its '
  'counts go on. Returns the new job, as get_job does. Errors: 42501, PT404, PT409 (nothing to try again), PT429.';

-- Jobs go with their tasks, errors and progress; returns how many.
create function private.remove_jobs(p_ids uuid[])
returns integer
language sql volatile
security invoker
set search_path = ''
as $$
  with gone as (
    delete from public.scheduled_jobs as j where j.id = any (p_ids) returning j.org_id, j.id
  ),
  progress as (
    delete from public.sync_progress as p using gone as g where p.org_id = g.org_id and p.sync_id = g.id::text
  )
  select count(*)::integer from gone;
$$;

-- Definer: as above.
create function private.remove_own_job(p_job_id uuid)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_job public.scheduled_jobs := private.require_job(p_job_id);
begin
  if v_job.finished_at is null then
    raise exception using
      errcode = 'PT409',
      message = 'job has not ended',
      detail  = format('job %s is %s', v_job.id, v_job.status),
      hint    = 'Cancel it first.';
  end if;
  perform private.remove_jobs(array[v_job.id]);
  perform private.log_job_activity(v_job, 'deleted', v_job.status);
end;
$$;

create function public.remove_job(job_id uuid)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select private.remove_own_job(remove_job.job_id);
$$;
comment on function public.remove_job(uuid) is
  'Takes a job that has ended out of the history, with its errors; what it did stays. A failed one cannot be tried again then. '
  'Errors: 42501, PT404, PT409 (not ended).';

-- Grants ------------------------------------------------------------------------------------------

revoke all on function
  public.list_jobs(text, text, uuid, boolean, timestamptz, uuid, text, integer), public.get_job(uuid),
  public.change_job(uuid, integer, timestamptz), public.pause_job(uuid), public.resume_job(uuid), public.cancel_job(uuid),
  public.retry_job(uuid), public.remove_job(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.list_jobs(text, text, uuid, boolean, timestamptz, uuid, text, integer), public.get_job(uuid),
  public.change_job(uuid, integer, timestamptz), public.pause_job(uuid), public.resume_job(uuid), public.cancel_job(uuid),
  public.retry_job(uuid), public.remove_job(uuid)
  to authenticated, service_role;

revoke all on all functions in schema private from public;
grant execute on function
  private.find_job(uuid), private.read_job(uuid),
  private.read_jobs(public.sync_status_type, text, uuid, boolean, timestamptz, uuid, timestamptz, uuid, integer),
  private.pause_own_job(uuid), private.resume_own_job(uuid), private.cancel_own_job(uuid),
  private.change_own_job(uuid, integer, timestamptz), private.require_retriable(uuid), private.remove_own_job(uuid)
  to authenticated, service_role;
