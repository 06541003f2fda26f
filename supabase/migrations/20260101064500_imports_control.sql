-- Stopping and going on: pause, resume and retry of an import's jobs; sets of imports.
-- Needs: imports_rpc.
-- Exposes: pause_import, resume_import, retry_import, create_import_set, get_import_set, run_import_set.

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
begin
  loop
    select b.* into v_batch from public.import_batches as b where b.id = p_import_id;
    exit when private.pause_unfinished(private.unfinished_job(v_batch)); -- else it ended meanwhile, and another may have begun
  end loop;
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
language sql volatile
security definer
set search_path = ''
as $$
  select private.resume_unfinished(private.unfinished_job(b)) from public.import_batches as b where b.id = p_import_id;
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
  where j.batch_id = retry_import.import_id and j.params -> 'dry_run' is distinct from 'true'
  order by j.created_at desc
  limit 1;

  perform private.start_import_job(coalesce(v_job_type, 'validate'), retry_import.import_id, '{"retry": true}', null);
  return private.describe_import(retry_import.import_id);
end;
$$;
comment on function public.retry_import(uuid) is
  'Tries the tasks again for which a failed import was given up, and those after them, with the caller''s rights; what was done stays and '
  'its counts go on. Returns the import''s document, with the new job. Errors: 42501, PT404, PT409 (nothing to try again).';

-- Sets --------------------------------------------------------------------------------------------

-- A set, as its imports are: what needs somebody comes before what is well.
create function private.describe_import_set(p_set public.import_sets)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'id', p_set.id, 'org_id', p_set.org_id, 'name', p_set.name,
    'status', case
      when count(*) filter (where s.status = 'receiving' or (s.job in ('pending', 'queued', 'running') and s.phase <> 'waiting')) > 0
        then 'running'
      when count(*) filter (where s.status = 'failed' or s.error_code = 'prerequisite_failed') > 0 then 'failed'
      when count(*) filter (where s.job = 'paused') > 0 then 'paused'
      when count(*) = 0 or count(*) filter (where s.status in ('staged', 'validating', 'validated')) > 0 then 'open'
      when count(*) filter (where s.status = 'completed') > 0 then 'completed'
      else min(s.status)
    end,
    'imports', coalesce(jsonb_agg(s.document order by s.position, s.created_at), '[]'),
    'created_at', p_set.created_at
  )
  from (
    select
      d.document, e.position, b.created_at, b.status::text,
      d.document #>> '{job,status}' as job, d.document #>> '{job,phase}' as phase, d.document #>> '{job,error,code}' as error_code
    from public.import_batches as b
    join public.datasets as e on e.key = b.dataset
    cross join lateral (select private.describe_import(b.id) - 'sample' as document) as d
    where b.set_id = p_set.id and private.sees_import(b)
  ) as s;
$$;

-- The set, if the caller may see it.
create function private.find_import_set(p_set_id uuid)
returns public.import_sets
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_set public.import_sets;
begin
  select s.* into v_set
  from public.import_sets as s
  where s.id = p_set_id
    and s.org_id in (select private.org_ids('viewer'));
  if not found then
    raise exception using errcode = 'PT404', message = 'import set not found';
  end if;
  return v_set;
end;
$$;

-- Definer: sets are written by Sluice alone. Authorises first.
create function private.create_import_set(p_org_id uuid, p_name text, p_idempotency_key text)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_org_id uuid := private.resolve_organization(p_org_id);
  v_set    public.import_sets;
begin
  perform private.require_org_role(v_org_id, 'member');

  select s.* into v_set
  from public.import_sets as s
  where s.org_id = v_org_id
    and s.created_by is not distinct from auth.uid()
    and s.idempotency_key = p_idempotency_key;
  if found then
    return private.describe_import_set(v_set) || '{"replayed": true}';
  end if;

  insert into public.import_sets (org_id, name, created_by, idempotency_key)
  values (v_org_id, p_name, auth.uid(), p_idempotency_key)
  returning * into v_set;
  return private.describe_import_set(v_set);
end;
$$;

create function public.create_import_set(
  org_id uuid default null, name text default null, idempotency_key text default null
)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.create_import_set(create_import_set.org_id, create_import_set.name, create_import_set.idempotency_key);
$$;
comment on function public.create_import_set(uuid, text, text) is
  'Makes a set, to which create_import adds with set_id: each of its imports waits for those whose datasets its own refers to. Returns its '
  'document (see get_import_set), with "replayed": true where the idempotency key was used before. org_id: the caller''s own unless given. '
  'Errors: 22023, 23514 (name), 42501, PT404.';

create function public.get_import_set(set_id uuid)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select private.describe_import_set(private.find_import_set(get_import_set.set_id));
$$;
comment on function public.get_import_set(uuid) is
  'A set and its imports, in the order of their datasets: { id, org_id, name, status, imports: [documents without sample], created_at }. '
  'status: running, failed (one failed, or waits for one that did), paused, open (some await somebody), completed, cancelled, undone. '
  'Errors: PT404.';

create function public.run_import_set(set_id uuid, commit boolean default true, force boolean default false)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_set public.import_sets := private.find_import_set(run_import_set.set_id);
  v_id  uuid;
begin
  for v_id in
    select b.id
    from public.import_batches as b
    join public.datasets as d on d.key = b.dataset
    where b.set_id = v_set.id and b.status = 'staged'
    order by d.position, b.created_at
  loop
    perform private.start_import_job('validate', v_id,
      jsonb_build_object('commit', run_import_set.commit, 'force', run_import_set.force), null);
  end loop;
  return private.describe_import_set(v_set);
end;
$$;
comment on function public.run_import_set(uuid, boolean, boolean) is
  'Starts every staged import of a set, as validate_import does: all of them or none. Each waits for those that it refers to. Returns the '
  'set''s document. Errors: 22023 (circle, transform), 42501, PT404, PT409 (the same file again without force), PT413, PT422.';

-- Grants ------------------------------------------------------------------------------------------

revoke all on function
  public.pause_import(uuid), public.resume_import(uuid), public.retry_import(uuid),
  public.create_import_set(uuid, text, text), public.get_import_set(uuid), public.run_import_set(uuid, boolean, boolean)
  from public, anon, authenticated, service_role;
grant execute on function
  public.pause_import(uuid), public.resume_import(uuid), public.retry_import(uuid),
  public.create_import_set(uuid, text, text), public.get_import_set(uuid), public.run_import_set(uuid, boolean, boolean)
  to authenticated, service_role;

revoke all on all functions in schema private from public;
grant execute on function
  private.pause_import(uuid), private.resume_import(uuid), private.create_import_set(uuid, text, text),
  private.find_import_set(uuid), private.describe_import_set(public.import_sets)
  to authenticated, service_role;
