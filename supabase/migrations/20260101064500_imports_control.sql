-- Stopping and going on: pause, resume and retry of an import's jobs.
-- Needs: imports_rpc.
-- Exposes: pause_import, resume_import, retry_import.

-- What people did with a job; its end is logged with its progress.
create function private.log_job_activity(p_batch public.import_batches, p_action public.sync_action, p_status public.sync_status_type)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select private.log_activity(
    p_batch.org_id, (select d.entity_type from public.datasets as d where d.key = p_batch.dataset), p_action, p_status,
    p_batch.id::text, jsonb_build_object('import_status', p_batch.status, 'dataset', p_batch.dataset, 'file_name', p_batch.file_name)
  );
$$;

-- The job of an import that has not ended, if the caller may act upon it.
create function private.unfinished_job(p_batch public.import_batches)
returns public.scheduled_jobs
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_job public.scheduled_jobs;
begin
  perform private.require_import_right(p_batch);

  select j.* into v_job
  from public.scheduled_jobs as j
  where j.batch_id = p_batch.id and j.finished_at is null
  order by j.created_at desc
  limit 1;
  if not found then
    raise exception using
      errcode = 'PT409',
      message = 'nothing of the import is running',
      detail  = format('import %s is %s', p_batch.id, p_batch.status),
      hint    = case p_batch.status
        when 'staged' then 'Validate it.'
        when 'validated' then 'Commit it.'
        when 'receiving' then 'Wait until its file is staged.'
        else 'It is at its end.'
      end;
  elsif v_job.cancel_requested_at is not null or (v_job.error is not null and v_job.phase is distinct from 'waiting') then
    raise exception using
      errcode = 'PT409',
      message = 'job is about to end',
      detail  = format('import %s: tasks of its job are in flight, then it is %s',
        p_batch.id, case when v_job.error is null then 'cancelled' else 'failed' end),
      hint    = 'Wait a moment.';
  end if;
  return v_job;
end;
$$;

-- Definer: writes jobs and tasks. Authorises first.
create function private.pause_import(p_import_id uuid)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_batch public.import_batches;
  v_job   public.scheduled_jobs;
begin
  loop
    select b.* into v_batch from public.import_batches as b where b.id = p_import_id;
    v_job := private.unfinished_job(v_batch);
    if v_job.status = 'paused' then
      return;
    end if;
    exit when private.pause_job(v_job.id); -- else it ended meanwhile, and another may have begun
  end loop;
  perform private.log_job_activity(v_batch, 'paused', 'paused');
end;
$$;

create function public.pause_import(import_id uuid)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  perform private.find_import(pause_import.import_id);
  perform private.pause_import(pause_import.import_id);
  return private.describe_import(pause_import.import_id);
end;
$$;
comment on function public.pause_import(uuid) is
  'Stops the job of an import where it is, until resume_import: tasks in flight end, the others wait. It counts no more as a running job of '
  'the organization. Returns the import''s document. Errors: 42501, PT404, PT409 (nothing runs, or it is ending).';

-- Definer: as above.
create function private.resume_import(p_import_id uuid)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_batch public.import_batches;
  v_job   public.scheduled_jobs;
begin
  select b.* into v_batch from public.import_batches as b where b.id = p_import_id;
  v_job := private.unfinished_job(v_batch);
  if not private.resume_job(v_job.id) then
    raise exception using
      errcode = 'PT409',
      message = 'import is not paused',
      detail  = format('import %s: its job is %s', v_batch.id, v_job.status),
      hint    = 'It goes on by itself.';
  end if;
  perform private.log_job_activity(v_batch, 'resumed', 'running');
end;
$$;

create function public.resume_import(import_id uuid)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  perform private.find_import(resume_import.import_id);
  perform private.resume_import(resume_import.import_id);
  return private.describe_import(resume_import.import_id);
end;
$$;
comment on function public.resume_import(uuid) is
  'Lets a paused import go on; its job queues where the organization runs as many as it may. Returns the import''s document. '
  'Errors: 42501, PT404, PT409 (not paused).';

create function public.retry_import(import_id uuid)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_job_type text;
begin
  perform private.find_import(retry_import.import_id);
  select j.job_type into v_job_type
  from public.scheduled_jobs as j
  where j.batch_id = retry_import.import_id
  order by j.created_at desc
  limit 1;

  perform private.start_import_job(coalesce(v_job_type, 'validate'), retry_import.import_id, '{"retry": true}', null);
  return private.describe_import(retry_import.import_id);
end;
$$;
comment on function public.retry_import(uuid) is
  'Tries the tasks again for which a failed import was given up, and those after them, with the caller''s rights; what was done stays and '
  'its counts go on. Returns the import''s document, with the new job. Errors: 42501, PT404, PT409 (nothing to try again).';

-- Grants ------------------------------------------------------------------------------------------

revoke all on function public.pause_import(uuid), public.resume_import(uuid), public.retry_import(uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.pause_import(uuid), public.resume_import(uuid), public.retry_import(uuid)
  to authenticated, service_role;

revoke all on all functions in schema private from public;
grant execute on function private.pause_import(uuid), private.resume_import(uuid) to authenticated, service_role;
