-- From step to step: a run goes on by the ends of its jobs and the states of its imports.
-- Needs: sync_fetch, sync_mirrors.
-- Exposes: nothing to clients.

create function private.run_sync_task(p_task public.sync_job_queue)
returns private.task_result
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_run    public.sync_runs;
  v_source public.sync_sources;
  v_batch  public.import_batches;
  v_found  record;
  v_result jsonb;
begin
  v_run := private.run_of(p_task);
  v_source := private.source_of(v_run);
  select b.* into v_batch from public.import_batches as b where b.id = v_run.import_id;

  case p_task.task_type
    when 'compare' then
      select m.* into v_found from private.missing_records(v_source, v_batch) as m;
      v_result := jsonb_build_object(
        'known', v_found.known, 'missing', cardinality(v_found.missing), 'keyless', private.keyless_count(v_batch));
    when 'record' then
      v_result := private.record_delivery(v_run, v_source);
    else
      case v_source.kind
        when 'foreign_table' then
          v_result := private.fetch_table(v_run, v_source);
        when 'storage' then
          v_result := private.fetch_object(v_run, v_source);
        else
          perform private.auth_headers(v_source); -- a secret that is missing is said now
          return private.post_task(p_task, 'fetch');
      end case;
  end case;

  update public.scheduled_jobs as j set result = v_result where j.id = p_task.job_id;
  return row(1, 0);
end;
$$;

create function private.advance_sync(p_job public.scheduled_jobs)
returns boolean
language sql immutable
security invoker
set search_path = ''
as $$
  select true;
$$;

-- The run follows its job. end_job has locked the organization.
create function private.end_sync_job(p_job public.scheduled_jobs)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_run   public.sync_runs;
  v_batch public.import_batches;
begin
  select r.* into v_run from public.sync_runs as r where r.job_id = p_job.id and r.finished_at is null for update;
  if not found then
    return;
  end if;

  if p_job.status <> 'completed' then
    for v_batch in
      select b.* from public.import_batches as b
      where b.org_id = v_run.org_id and b.status = 'receiving' and b.idempotency_key = private.sync_key(v_run, 'upsert')
    loop
      perform private.discard_staged(v_batch);
    end loop;
    perform private.finish_run(v_run.id, p_job.status::text::public.sync_run_status, p_job.error);
    return;
  end if;

  case p_job.phase
    when 'fetch' then
      update public.sync_runs as r
      set fetched   = p_job.result - '{import_id,unchanged}'::text[],
          import_id = (p_job.result ->> 'import_id')::uuid,
          status    = case when p_job.result ? 'row_count' then 'validating' else r.status end
      where r.id = v_run.id
      returning r.* into v_run;
      if v_run.import_id is null then
        perform private.finish_run(v_run.id, 'unchanged');
      else
        perform private.proceed_sync(v_run, case v_run.status when 'validating' then 'validate' else 'ingest' end);
      end if;
    when 'compare' then
      update public.sync_runs as r
      set known_count = (p_job.result ->> 'known')::integer, deletion_count = (p_job.result ->> 'missing')::integer
      from public.import_batches as b
      where r.id = v_run.id and b.id = r.import_id and b.status = 'validated' -- else somebody was faster, and the run follows the import
      returning r.* into v_run;
      if found then
        perform private.decide_sync(v_run, (p_job.result ->> 'keyless')::integer);
      end if;
    else
      update public.sync_runs as r
      set delete_import_id = (p_job.result ->> 'delete_import_id')::uuid,
          deletion_count   = (p_job.result ->> 'missing')::integer,
          known_count      = coalesce((p_job.result ->> 'known')::integer, r.known_count),
          reason           = coalesce(p_job.result ->> 'asks', r.reason),
          status           = case
            when p_job.result ? 'asks' then 'awaiting_approval'
            when p_job.result ? 'delete_import_id' then 'deleting'
            else r.status
          end
      where r.id = v_run.id
      returning r.* into v_run;
      if v_run.status = 'deleting' then
        perform private.proceed_sync(v_run, 'delete');
      elsif v_run.status = 'committing' then
        perform private.finish_run(v_run.id, 'completed');
      end if;
  end case;
end;
$$;

-- Validated and compared: applied, or put before an admin. Nothing new needs nobody's word.
create function private.decide_sync(p_run public.sync_runs, p_keyless integer)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_source  public.sync_sources := private.source_of(p_run);
  v_batch   public.import_batches := (select b from public.import_batches as b where b.id = p_run.import_id);
  v_preview jsonb;
  v_reason  text;
  v_run     public.sync_runs;
begin
  if v_batch.invalid_count = v_batch.row_count then
    perform private.finish_run(p_run.id, 'failed', jsonb_build_object(
      'code', 'rows_invalid',
      'message', 'no row of the source is valid',
      'details', format('%s rows', v_batch.row_count),
      'hint', 'See the issues of its import; correct the source, or its mapping.'));
    return;
  end if;

  select c.preview_data || jsonb_build_object('deletions', coalesce(p_run.deletion_count, 0)) into v_preview
  from public.sync_preview_cache as c
  where c.org_id = p_run.org_id and c.sync_type = 'import' and c.cache_key like v_batch.id || ':%' -- whoever had it validated
  order by c.created_at desc
  limit 1;
  if found then
    insert into public.sync_preview_cache (org_id, sync_type, entity_type, cache_key, preview_data)
    select p_run.org_id, 'pull', d.entity_type, format('%s:%s', p_run.id, v_source.owner), v_preview
    from public.datasets as d where d.key = v_source.dataset
    on conflict (org_id, sync_type, cache_key) do update
    set preview_data = excluded.preview_data, created_at = now(), expires_at = excluded.expires_at;
  end if;

  v_reason := coalesce(
    private.deletion_reason(v_source, p_run.known_count, p_run.deletion_count, p_keyless),
    case
      when not v_source.requires_approval or (coalesce(p_run.deletion_count, 0) = 0
        and (v_preview #>> '{counts,insert}')::integer + (v_preview #>> '{counts,update}')::integer = 0) then null
      else 'approval_required'
    end);
  update public.sync_runs as r
  set reason = v_reason, status = case when v_reason is null then 'committing' else 'awaiting_approval' end::public.sync_run_status
  where r.id = p_run.id
  returning r.* into v_run;
  if v_reason is null then
    perform private.proceed_sync(v_run, 'commit');
  end if;
end;
$$;

-- The run follows its imports, whoever moves them, but for an undo: what that leaves is what it was.
-- Definer: it is the owner's, and an admin may act on the import.
create function private.tg_import_batches__follow_sync()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_run    public.sync_runs;
  v_mirror boolean;
begin
  select r.* into v_run
  from public.sync_runs as r
  where new.id in (r.import_id, r.delete_import_id) and r.finished_at is null
  for update;
  if not found then
    return null;
  end if;
  v_mirror := (private.source_of(v_run)).mode = 'mirror';

  if new.status in ('failed', 'cancelled') then
    perform private.finish_run(v_run.id, new.status::text::public.sync_run_status, new.error);
  elsif new.id = v_run.delete_import_id then
    if new.status = 'completed' then
      perform private.finish_run(v_run.id, 'completed');
    end if;
  elsif new.status in ('staged', 'validating') then -- somebody changed its mapping meanwhile
    update public.sync_runs as r
    set status = 'validating', reason = null, known_count = null, deletion_count = null
    where r.id = v_run.id;
    delete from public.sync_preview_cache as c
    where c.org_id = v_run.org_id and c.sync_type = 'pull' and c.cache_key like v_run.id || ':%';
  elsif new.status = 'validated' then
    if v_mirror then
      perform private.proceed_sync(v_run, 'compare');
    else
      perform private.decide_sync(v_run, 0);
    end if;
  elsif new.status = 'committing' and v_run.status <> 'committing' then -- by commit_import, which is an approval as well
    perform private.require_org_role(v_run.org_id, 'admin');
    update public.sync_runs as r
    set status = 'committing', approved_by = auth.uid(), approved_at = now()
    where r.id = v_run.id;
  elsif new.status = 'completed' then
    if v_mirror then
      perform private.proceed_sync(v_run, 'record');
    else
      perform private.finish_run(v_run.id, 'completed');
    end if;
  end if;
  return null;
end;
$$;

create trigger _800_follow_sync
  after update of status on public.import_batches
  for each row when (
    old.status is distinct from new.status and (old.status, new.status) is distinct from ('receiving', 'staged')
    and 'undoing' not in (old.status, new.status)
  )
  execute function private.tg_import_batches__follow_sync();

-- A file of the bucket is staged: known by the end of the job that took it in, which comes before the organization is
-- locked, and not by the import, which is locked before. Definer: as above.
create function private.tg_scheduled_jobs__follow_ingest()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_run public.sync_runs;
begin
  if not exists (select from public.sync_runs as r where r.import_id = new.batch_id) then
    return null;
  end if;
  perform private.lock_organization(new.org_id);
  update public.sync_runs as r
  set status  = 'validating',
      fetched = r.fetched || jsonb_build_object(
        'columns', b.columns, 'row_count', b.row_count, 'content_hash', b.content_hash, 'bytes', b.byte_size)
  from public.import_batches as b
  where b.id = new.batch_id and r.import_id = b.id and r.finished_at is null
  returning r.* into v_run;
  if found then
    perform private.proceed_sync(v_run, 'validate');
  end if;
  return null;
end;
$$;

create trigger _900_follow_ingest
  after update of status on public.scheduled_jobs
  for each row when (new.job_type = 'ingest' and new.status = 'completed' and old.status <> 'completed')
  execute function private.tg_scheduled_jobs__follow_ingest();

revoke all on all functions in schema private from public;
