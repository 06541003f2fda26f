-- What clients call: imports from their creation to the fate of each row, and the upload's own functions.
-- Needs: imports_tasks.
-- Exposes: create_import, set_import_mapping, suggest_import_mapping, validate_import, commit_import,
-- cancel_import, get_import, list_imports, list_import_rows, list_import_issues.

create type public.import_row as (
  row_number  integer,
  line_number integer,
  status      text,
  key         text,
  record_id   uuid,
  payload     jsonb,
  issues      jsonb
);
comment on type public.import_row is
  'A row of a file and its fate. payload: column to cell, as sent; issues: [{ field, severity, code, message, value }].';
create type public.import_issue as (
  id              bigint,
  row_number      integer,
  line_number     integer,
  field           text,
  severity        text,
  code            text,
  message         text,
  value           text,
  sqlstate        text,
  constraint_name text
);
comment on type public.import_issue is 'One thing that is wrong with a row.';

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
    'error', p_job.error, 'created_at', p_job.created_at, 'started_at', p_job.started_at, 'finished_at', p_job.finished_at
  );
$$;

-- The batch, if the caller may see it. PT404 also where it is another organization's.
create function private.find_import(p_import_id uuid)
returns public.import_batches
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_batch public.import_batches;
begin
  select b.* into v_batch
  from public.import_batches as b
  where b.id = p_import_id
    and b.org_id in (select private.org_ids('viewer'));
  if not found then
    raise exception using errcode = 'PT404', message = 'import not found';
  end if;
  return v_batch;
end;
$$;

-- What became of an import's rows so far: the sum of its chunks, so that no counter is contended.
-- Definer: outcomes are closed. Zero for those who may not see the import.
create function private.outcome_counts(
  p_batch public.import_batches,
  out inserted bigint, out updated bigint, out unchanged bigint, out deleted bigint, out refused bigint
)
language sql stable
security definer
set search_path = ''
as $$
  select
    coalesce(sum(o.inserted_count), 0), coalesce(sum(o.updated_count), 0), coalesce(sum(o.unchanged_count), 0),
    coalesce(sum(o.deleted_count), 0), coalesce(sum(o.refused_count), 0)
  from private.import_outcomes as o
  join public.import_batches as b on b.id = o.batch_id and b.org_id in (select private.org_ids('viewer'))
  where o.staged_on = p_batch.staged_on and o.batch_id = p_batch.id;
$$;

-- The document of an import that the caller may see. Definer: the job's row holds claims, which no client may read.
create function private.describe_import(p_import_id uuid)
returns jsonb
language plpgsql stable
security definer
set search_path = ''
as $$
declare
  v_batch    public.import_batches := private.find_import(p_import_id);
  v_job      public.scheduled_jobs;
  v_counts   record;
  v_invalid  integer := coalesce(v_batch.invalid_count, 0);
  v_skipped  integer := coalesce(v_batch.skipped_count, 0);
  v_progress jsonb;
begin
  select j.* into v_job
  from public.scheduled_jobs as j
  where j.batch_id = v_batch.id
  order by j.created_at desc, j.id
  limit 1;

  select c.* into v_counts from private.outcome_counts(v_batch) as c;

  select jsonb_build_object(
    'total', p.total_items, 'processed', p.processed_count, 'failed', p.failed_count,
    'elapsed_seconds', p.elapsed_seconds, 'items_per_minute', p.speed_items_per_min, 'eta_seconds', p.eta_seconds)
  into v_progress
  from public.sync_progress as p
  where p.org_id = v_batch.org_id and p.sync_id = v_job.id::text;

  return jsonb_build_object(
    'id', v_batch.id, 'org_id', v_batch.org_id, 'dataset', v_batch.dataset, 'mode', v_batch.mode,
    'source', v_batch.source, 'status', v_batch.status, 'file_name', v_batch.file_name,
    'row_count', v_batch.row_count, 'byte_size', v_batch.byte_size, 'content_hash', v_batch.content_hash,
    'columns', v_batch.columns, 'format', v_batch.format, 'sample', v_batch.sample,
    'mapping', v_batch.mapping, 'suggested_mapping', v_batch.suggested_mapping, 'options', v_batch.options,
    'counts', jsonb_build_object(
      'rows', v_batch.row_count,
      'valid', v_batch.row_count - v_invalid - v_skipped,
      'failed', v_invalid + v_counts.refused,
      'skipped', v_skipped,
      'inserted', v_counts.inserted,
      'updated', v_counts.updated,
      'unchanged', v_counts.unchanged,
      'deleted', v_counts.deleted,
      'pending', v_batch.row_count - v_invalid - v_skipped - v_counts.refused
        - v_counts.inserted - v_counts.updated - v_counts.unchanged - v_counts.deleted
    ),
    'issues', v_batch.issue_counts,
    'error', v_batch.error,
    'progress', v_progress,
    'job', case when v_job.id is not null then private.describe_job(v_job) end,
    'initiated_by', v_batch.initiated_by, 'created_at', v_batch.created_at, 'staged_at', v_batch.staged_at,
    'validated_at', v_batch.validated_at, 'finished_at', v_batch.finished_at
  );
end;
$$;

-- Creating ----------------------------------------------------------------------------------------

-- Definer: batches and sessions are written by Sluice alone. Authorises first.
create function private.create_import(
  p_dataset text, p_mode text, p_org_id uuid, p_file_name text, p_source text, p_mapping jsonb, p_options jsonb,
  p_idempotency_key text
)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_org_id  uuid := p_org_id;
  v_dataset public.datasets;
  v_mode    public.import_mode;
  v_batch   public.import_batches;
begin
  if v_org_id is null and not private.is_service_caller() then
    v_org_id := (select p.org_id from public.profiles as p where p.id = auth.uid());
  end if;
  if v_org_id is null then
    raise exception using
      errcode = '22023',
      message = 'organization is required',
      hint    = 'Name org_id: the caller belongs to no organization.';
  end if;
  -- A stranger learns nothing of what the organization has, so this comes first.
  if not exists (select from private.org_ids('viewer') as o (id) where o.id = v_org_id) then
    raise exception using errcode = 'PT404', message = 'organization not found';
  end if;

  select d.* into v_dataset from public.datasets as d where d.key = p_dataset;
  if not found then
    raise exception using
      errcode = '22023',
      message = 'dataset is unknown',
      detail  = format('no dataset %s', to_json(p_dataset)),
      hint    = format('Datasets are: %s.', (select string_agg(d.key, ', ' order by d.position) from public.datasets as d));
  end if;

  if p_mode is null then
    v_mode := case when 'upsert' = any (v_dataset.allowed_modes) then 'upsert' else v_dataset.allowed_modes[1] end;
  elsif p_mode = any (v_dataset.allowed_modes::text[]) then
    v_mode := p_mode;
  else
    raise exception using
      errcode = '22023',
      message = 'mode is not allowed',
      detail  = format('mode %s of dataset %s', to_json(p_mode), p_dataset),
      hint    = format('Allowed are: %s.', array_to_string(v_dataset.allowed_modes, ', '));
  end if;
  perform private.require_org_role(v_org_id, case v_mode when 'delete' then 'admin' else 'member' end::public.org_role);

  if p_idempotency_key is not null then
    select b.* into v_batch
    from public.import_batches as b
    where b.org_id = v_org_id
      and b.initiated_by is not distinct from auth.uid()
      and b.idempotency_key = p_idempotency_key;
    if found then
      if v_batch.status = 'receiving' and not private.is_receiving(v_batch.id) and v_batch.created_at < now() - interval '10 seconds' then
        perform private.fail_upload(v_batch.id); -- its upload is gone: the key is free again
      elsif v_batch.status = 'receiving' or (v_batch.dataset, v_batch.mode) is distinct from (p_dataset, v_mode) then
        raise exception using
          errcode = 'PT409',
          message = 'idempotency key is in use',
          detail  = format('import %s is %s, dataset %s, mode %s', v_batch.id, v_batch.status, v_batch.dataset, v_batch.mode),
          hint    = 'Wait for that upload to end, or use another key for another request.';
      else
        return private.describe_import(v_batch.id) || '{"replayed": true}';
      end if;
    end if;
  end if;

  insert into public.import_batches (org_id, dataset, mode, source, file_name, mapping, options, initiated_by, idempotency_key)
  values (
    v_org_id, p_dataset, v_mode, p_source, p_file_name,
    case when p_mapping is not null then private.normalize_mapping(p_dataset, null, p_mapping) end,
    private.normalize_options(p_options), auth.uid(), p_idempotency_key
  )
  returning * into v_batch;

  if auth.uid() is not null then
    insert into public.import_sessions (org_id, created_by, file_name, batch_id)
    values (v_org_id, auth.uid(), p_file_name, v_batch.id);
  end if;
  return private.describe_import(v_batch.id);
end;
$$;

create function public.create_import(
  dataset text,
  mode text default null,
  org_id uuid default null,
  file_name text default null,
  source text default 'api',
  mapping jsonb default null,
  options jsonb default '{}',
  idempotency_key text default null
)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.create_import(
    create_import.dataset, create_import.mode, create_import.org_id, create_import.file_name, create_import.source,
    create_import.mapping, create_import.options, create_import.idempotency_key
  );
$$;
comment on function public.create_import(text, text, uuid, text, text, jsonb, jsonb, text) is
  'Makes an import that awaits its file; returns its document (see get_import), with "replayed": true where the idempotency key '
  'was used before. mode: insert, update, upsert (default), delete. org_id: the caller''s own unless given; the service key must name it. '
  'Errors: 22023 (dataset, mode, mapping, options), 42501, PT404, PT409 (key in use).';

-- The upload --------------------------------------------------------------------------------------
-- Called over a direct connection that has become sluice_ingest. All of them are definer: that role may
-- add rows and issues, and nothing else.

create function private.ingest_lock_key(p_import_id uuid)
returns bigint
language sql immutable
security invoker
set search_path = ''
as $$
  select hashtextextended('imports.ingest:' || p_import_id, 0);
$$;

-- The upload's transaction is alive: it holds the lock.
create function private.is_receiving(p_import_id uuid)
returns boolean
language sql stable
security definer
set search_path = ''
as $$
  select exists (
    select from pg_locks as l
    where l.locktype = 'advisory' and l.objsubid = 1 and l.granted
      and l.database = (select d.oid from pg_database as d where d.datname = current_database())
      and (l.classid::bigint << 32 | l.objid::bigint) = private.ingest_lock_key(p_import_id)
  );
$$;

create function private.ingest_limits()
returns jsonb
language sql stable
security definer
set search_path = ''
as $$
  select jsonb_build_object(
    'max_request_bytes', private.setting('imports.max_request_bytes'),
    'max_columns', private.setting('imports.max_columns'),
    'max_cell_bytes', private.setting('imports.max_cell_bytes'),
    'max_rows', private.setting('imports.max_rows')
  );
$$;

-- The mapping that an upload with these columns gets: the given one, checked, else the suggested one.
create function private.initial_mapping(p_batch public.import_batches, p_columns text[], p_suggested jsonb)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select case
    when p_batch.mapping is not null then private.normalize_mapping(p_batch.dataset, p_columns, p_batch.mapping)
    else private.normalize_mapping(p_batch.dataset, p_columns, coalesce(
      (select jsonb_object_agg(s.key, s.value -> 'column') from jsonb_each(p_suggested) as s), '{}'))
  end;
$$;

-- As soon as the header is known: what cannot go well fails before the rows are read. With
-- p_review = false that includes a required field that no column fills.
create function private.begin_ingest(p_import_id uuid, p_columns text[], p_review boolean)
returns table (staged_on date, max_rows bigint, max_cell_bytes integer, max_columns integer)
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_batch   public.import_batches;
  v_mapping jsonb;
begin
  perform pg_advisory_xact_lock(private.ingest_lock_key(p_import_id));

  select b.* into v_batch from public.import_batches as b where b.id = p_import_id and b.status = 'receiving';
  if not found then
    raise exception using
      errcode = 'PT409',
      message = 'import does not await a file',
      detail  = format('import %s', p_import_id),
      hint    = 'Start a new import.';
  end if;

  if cardinality(p_columns) > private.setting('imports.max_columns', v_batch.org_id)::integer then
    raise exception using
      errcode = 'PT413',
      message = 'file has too many columns',
      detail  = format('%s columns', cardinality(p_columns)),
      hint    = format('At most %s are allowed.', private.setting('imports.max_columns', v_batch.org_id));
  end if;

  v_mapping := private.initial_mapping(v_batch, p_columns, private.suggest_mapping(v_batch.dataset, p_columns));
  if not p_review then
    perform private.require_mapped_fields(v_batch.dataset, v_batch.mode, v_mapping);
  end if;

  return query select
    v_batch.staged_on,
    private.setting('imports.max_rows', v_batch.org_id)::bigint,
    private.setting('imports.max_cell_bytes', v_batch.org_id)::integer,
    private.setting('imports.max_columns', v_batch.org_id)::integer;
end;
$$;

create function private.finish_ingest(
  p_import_id uuid, p_columns text[], p_row_count integer, p_byte_size bigint, p_content_hash text, p_sample jsonb, p_format jsonb
)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_batch     public.import_batches;
  v_suggested jsonb;
begin
  select b.* into v_batch
  from public.import_batches as b
  where b.id = p_import_id and b.status = 'receiving'
  for update;
  if not found then
    raise exception using
      errcode = 'PT409',
      message = 'import does not await a file',
      detail  = format('import %s', p_import_id),
      hint    = 'Start a new import.';
  end if;

  -- The log says who: the direct connection carries no claims.
  perform private.assume_claims(jsonb_build_object('sub', v_batch.initiated_by));
  v_suggested := private.suggest_mapping(v_batch.dataset, p_columns);

  update public.import_batches as b
  set status            = 'staged',
      columns           = p_columns,
      row_count         = p_row_count,
      byte_size         = p_byte_size,
      content_hash      = p_content_hash,
      sample            = p_sample,
      format            = p_format,
      suggested_mapping = v_suggested,
      mapping           = private.initial_mapping(v_batch, p_columns, v_suggested)
  where b.id = p_import_id;
end;
$$;

-- The request was wrong: the import never was.
create function private.discard_ingest(p_import_id uuid)
returns void
language sql volatile
security definer
set search_path = ''
as $$
  delete from public.import_batches as b where b.id = p_import_id and b.status = 'receiving';
$$;

-- The upload broke off. Its transaction is gone, so no row stays; its idempotency key is free again.
create function private.fail_ingest(p_import_id uuid, p_error jsonb)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
begin
  perform private.assume_claims(jsonb_build_object('sub', b.initiated_by))
  from public.import_batches as b where b.id = p_import_id;

  update public.import_batches as b
  set status = 'failed', error = p_error, idempotency_key = null
  where b.id = p_import_id and b.status = 'receiving';
end;
$$;

create function private.fail_upload(p_import_id uuid)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select private.fail_ingest(p_import_id, jsonb_build_object(
    'code', 'upload_interrupted',
    'message', 'the upload broke off',
    'details', 'no row of it was kept',
    'hint', 'Send the file again.'
  ));
$$;

-- Uploads whose process died without a word; returns how many. For maintenance.
create function private.fail_interrupted_uploads()
returns bigint
language sql volatile
security invoker
set search_path = ''
as $$
  select count(private.fail_upload(b.id))
  from public.import_batches as b
  where b.status = 'receiving'
    and b.created_at < now() - interval '1 minute' -- the time between create_import and begin_ingest
    and not private.is_receiving(b.id);
$$;

-- Mapping -----------------------------------------------------------------------------------------

-- Definer: writes the batch. Authorises first.
create function private.write_mapping(p_import_id uuid, p_mapping jsonb, p_options jsonb)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_batch public.import_batches;
begin
  select b.* into v_batch from public.import_batches as b where b.id = p_import_id for update;
  perform private.require_import_right(v_batch);

  if not (v_batch.status in ('staged', 'validated') or private.failed_before_commit(v_batch)) then
    raise exception using
      errcode = 'PT409',
      message = 'import is in another state',
      detail  = format('import %s is %s', v_batch.id, v_batch.status),
      hint    = 'Mapping and options can be changed while it is staged or validated, and after a validation that failed.';
  end if;

  update public.import_batches as b
  set status  = 'staged', -- what was validated is no longer what would run
      mapping = case when p_mapping is null then b.mapping else private.normalize_mapping(b.dataset, b.columns, p_mapping) end,
      options = private.normalize_options(b.options || coalesce(p_options, '{}'))
  where b.id = p_import_id;
end;
$$;

create function public.set_import_mapping(import_id uuid, mapping jsonb default null, options jsonb default null)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  if jsonb_typeof(coalesce(set_import_mapping.options, '{}')) <> 'object' then
    raise exception using errcode = '22023', message = 'options must be an object';
  end if;
  perform private.find_import(set_import_mapping.import_id);
  perform private.write_mapping(set_import_mapping.import_id, set_import_mapping.mapping, set_import_mapping.options);
  return private.describe_import(set_import_mapping.import_id);
end;
$$;
comment on function public.set_import_mapping(uuid, jsonb, jsonb) is
  'Replaces the mapping and changes the options given; either may be left out. The import must be validated (again) after it. Returns '
  'its document. mapping: { field: "column" | { column | columns, transforms, default } }; options: duplicates, on_error, blank. '
  'Errors: 22023, 42501, PT404, PT409.';

create function public.suggest_import_mapping(import_id uuid)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_batch public.import_batches := private.find_import(suggest_import_mapping.import_id);
begin
  if v_batch.columns is null then
    raise exception using
      errcode = 'PT409',
      message = 'import has no columns yet',
      detail  = format('import %s is %s', v_batch.id, v_batch.status),
      hint    = 'Wait until its file is staged.';
  end if;
  return private.suggest_mapping(v_batch.dataset, v_batch.columns);
end;
$$;
comment on function public.suggest_import_mapping(uuid) is
  'Which column probably fills which field: { field: { column, confidence 0 to 1, reason: name|label|alias|likeness } }. Errors: PT404, PT409.';

-- Running -----------------------------------------------------------------------------------------

-- A job is an insert: rights, state and tasks are the business of the table's triggers.
create function private.start_import_job(p_job_type text, p_import_id uuid, p_params jsonb, p_idempotency_key text)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_id uuid;
begin
  if p_idempotency_key is not null then
    select j.id into v_id
    from public.scheduled_jobs as j
    where j.batch_id = p_import_id and j.job_type = p_job_type
      and j.actor is not distinct from auth.uid() and j.idempotency_key = p_idempotency_key;
  end if;
  if v_id is null then
    insert into public.scheduled_jobs (job_type, params, idempotency_key)
    values (p_job_type, p_params || jsonb_build_object('import_id', p_import_id), p_idempotency_key)
    returning id into v_id;
  end if;
  return private.find_job(v_id);
end;
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

create function public.validate_import(import_id uuid, commit boolean default false, idempotency_key text default null)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.start_import_job('validate', validate_import.import_id,
    jsonb_build_object('commit', coalesce(validate_import.commit, false)), validate_import.idempotency_key);
$$;
comment on function public.validate_import(uuid, boolean, text) is
  'Judges every row, in the background; with commit the good rows are then applied without a further call. Returns the job: '
  '{ id, job_type, status, phase, import_id, total, done, failed, error, created_at, started_at, finished_at }. '
  'Errors: 22023 (transform), 42501, PT404, PT409 (state), PT413 (too large for on_error=abort), PT422 (required field unmapped).';

create function public.commit_import(import_id uuid, idempotency_key text default null)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.start_import_job('commit', commit_import.import_id, '{}', commit_import.idempotency_key);
$$;
comment on function public.commit_import(uuid, text) is
  'Applies the valid rows of a validated import, in the background, with the caller''s rights. Returns the job, as validate_import does. '
  'Errors: 42501, PT404, PT409 (state).';

-- Definer: writes jobs and the batch. Authorises first.
create function private.cancel_import(p_import_id uuid)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_batch public.import_batches;
  v_job   uuid;
begin
  loop
    -- The job before the batch: in the order in which the workers lock them.
    select j.id into v_job
    from public.scheduled_jobs as j
    where j.batch_id = p_import_id and j.status in ('pending', 'queued', 'running');
    if v_job is not null then
      select b.* into v_batch from public.import_batches as b where b.id = p_import_id;
      perform private.require_import_right(v_batch);
      if private.cancel_job(v_job) then
        return;
      end if;
      continue; -- it ended meanwhile, and another may have begun
    end if;

    select b.* into v_batch from public.import_batches as b where b.id = p_import_id for update;
    perform private.require_import_right(v_batch);
    exit when v_batch.status not in ('validating', 'committing'); -- else a job began meanwhile
  end loop;

  if v_batch.status in ('staged', 'validated') then
    update public.import_batches as b set status = 'cancelled' where b.id = p_import_id;
  elsif v_batch.status <> 'cancelled' then
    raise exception using
      errcode = 'PT409',
      message = 'import is in another state',
      detail  = format('import %s is %s', v_batch.id, v_batch.status),
      hint    = case v_batch.status when 'receiving' then 'Break off its upload.' else 'It is at its end.' end;
  end if;
end;
$$;

create function public.cancel_import(import_id uuid)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  perform private.find_import(cancel_import.import_id);
  perform private.cancel_import(cancel_import.import_id);
  return private.describe_import(cancel_import.import_id);
end;
$$;
comment on function public.cancel_import(uuid) is
  'Stops an import: at once where nothing runs, else when the tasks in flight have ended. Rows that are applied stay, and its counts say so. '
  'Returns its document. Errors: 42501, PT404, PT409.';

-- Reading -----------------------------------------------------------------------------------------

create function public.get_import(import_id uuid)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select private.describe_import(get_import.import_id);
$$;
comment on function public.get_import(uuid) is
  'The document of an import: { id, org_id, dataset, mode, source, status, file_name, row_count, byte_size, content_hash, columns, format, '
  'sample, mapping, suggested_mapping, options, counts, issues, error, progress, job, initiated_by, created_at, staged_at, validated_at, '
  'finished_at }. Errors: PT404.';

create function public.list_imports(
  dataset text default null, status text default null, before timestamptz default null, page_size integer default 50
)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_documents jsonb;
begin
  if (list_imports.page_size between 1 and 200) is not true then
    raise exception using errcode = '22023', message = 'page_size must be from 1 to 200';
  end if;
  if not pg_input_is_valid(list_imports.status, 'public.import_status') then
    raise exception using
      errcode = '22023',
      message = 'status is unknown',
      detail  = format('no status %s', to_json(list_imports.status)),
      hint    = format('One of: %s.', array_to_string(enum_range(null::public.import_status), ', '));
  end if;

  select coalesce(jsonb_agg(private.describe_import(b.id) - 'sample' order by b.created_at desc), '[]') into v_documents
  from (
    select b.id, b.created_at
    from public.import_batches as b
    where b.org_id in (select private.org_ids('viewer'))
      and (list_imports.dataset is null or b.dataset = list_imports.dataset)
      and (list_imports.status is null or b.status = list_imports.status::public.import_status)
      and (list_imports.before is null or b.created_at < list_imports.before)
    order by b.created_at desc
    limit list_imports.page_size
  ) as b;

  return jsonb_build_object(
    'imports', v_documents,
    'next_before', case when jsonb_array_length(v_documents) = list_imports.page_size then v_documents #> '{-1,created_at}' end
  );
end;
$$;
comment on function public.list_imports(text, text, timestamptz, integer) is
  'Imports that the caller may see, newest first: { imports: [documents without sample], next_before: timestamp of the next page, or null }. '
  'Errors: 22023.';

-- Definer: rows, issues and outcomes are closed. Its caller proved the right to the batch.
create function private.read_import_rows(p_import_id uuid, p_status text, p_after_row integer, p_page_size integer)
returns setof public.import_row
language plpgsql stable
security definer
set search_path = ''
as $$
declare
  v_batch    public.import_batches := private.find_import(p_import_id);
  v_keys_sql text := (select p.keys_sql from private.import_plans as p where p.batch_id = p_import_id);
  v_keys     jsonb := '{}';
  v_numbers  integer[];
  v_chunk    private.import_outcomes;
begin
  -- The numbers of the page's rows, by whatever holds that status.
  if p_status is null then
    v_numbers := array(
      select r.row_number from private.import_rows as r
      where r.staged_on = v_batch.staged_on and r.batch_id = v_batch.id and r.row_number > p_after_row
      order by r.row_number limit p_page_size
    );
  elsif p_status = 'failed' then
    v_numbers := array(
      select distinct i.row_number from private.import_issues as i
      where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id and i.row_number > p_after_row and i.severity = 'error'
      order by i.row_number limit p_page_size
    );
  elsif p_status in ('inserted', 'updated', 'deleted', 'skipped', 'unchanged') then
    for v_chunk in
      select o.* from private.import_outcomes as o
      where o.staged_on = v_batch.staged_on and o.batch_id = v_batch.id and o.to_row > p_after_row
        and case p_status when 'inserted' then o.inserted_count when 'updated' then o.updated_count
          when 'deleted' then o.deleted_count when 'skipped' then cardinality(o.skipped_rows) else o.unchanged_count end > 0
      order by o.from_row
    loop
      v_numbers := v_numbers || array(
        select a.row_number from unnest(v_chunk.row_numbers, v_chunk.actions) as a (row_number, action)
        where a.action::text = p_status and a.row_number > p_after_row
        union all
        select s from unnest(v_chunk.skipped_rows) as s where p_status = 'skipped' and s > p_after_row
        union all
        select u.row_number from (
          select generate_series(greatest(v_chunk.from_row, p_after_row) + 1, v_chunk.to_row) as row_number
          where p_status = 'unchanged'
          except select unnest(v_chunk.row_numbers)
          except select unnest(v_chunk.skipped_rows)
          except select i.row_number from private.import_issues as i
            where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id and i.severity = 'error'
              and i.row_number > v_chunk.from_row and i.row_number <= v_chunk.to_row
        ) as u
        order by 1 limit p_page_size
      );
      exit when cardinality(v_numbers) >= p_page_size;
    end loop;
    v_numbers := v_numbers[1:p_page_size];
  elsif p_status in ('pending', 'validated') then
    -- Not yet in an outcome, and without an error: validated once the import has been.
    v_numbers := case when (p_status = 'validated') = (v_batch.validated_at is not null) then array(
      select r.row_number from private.import_rows as r
      where r.staged_on = v_batch.staged_on and r.batch_id = v_batch.id and r.row_number > p_after_row
        and not exists (
          select from private.import_issues as i
          where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id and i.row_number = r.row_number and i.severity = 'error'
        )
        and not exists (
          select from private.import_outcomes as o
          where o.staged_on = v_batch.staged_on and o.batch_id = v_batch.id and r.row_number > o.from_row and r.row_number <= o.to_row
        )
      order by r.row_number limit p_page_size
    ) end;
  else
    raise exception using
      errcode = '22023',
      message = 'status is unknown',
      detail  = format('no row status %s', to_json(p_status)),
      hint    = 'One of: pending, validated, failed, skipped, inserted, updated, unchanged, deleted.';
  end if;

  if v_keys_sql is not null then
    execute format('select coalesce(jsonb_object_agg(k.row_number, k.key), ''{}'') from (%s) as k (row_number, key)', v_keys_sql)
    into v_keys using v_batch.staged_on, v_batch.id, v_numbers;
  end if;

  return query
  with acted as materialized ( -- the arrays of a chunk are opened once, not once a row
    select u.*
    from private.import_outcomes as o
    cross join lateral unnest(o.row_numbers, o.actions, o.record_ids) as u (row_number, action, record_id)
    where o.staged_on = v_batch.staged_on and o.batch_id = v_batch.id
      and o.from_row < v_numbers[cardinality(v_numbers)] and o.to_row >= v_numbers[1]
      and u.row_number = any (v_numbers)
  )
  select
    r.row_number,
    r.line_number,
    case
      when w.has_error then 'failed'
      when o.from_row is not null then coalesce(
        a.action::text, case when r.row_number = any (o.skipped_rows) then 'skipped' else 'unchanged' end)
      when v_batch.validated_at is not null then 'validated'
      else 'pending'
    end,
    nullif(v_keys ->> r.row_number::text, ''),
    a.record_id,
    (select jsonb_object_agg(c.name, r.cells[c.position]) from unnest(v_batch.columns) with ordinality as c (name, position)),
    coalesce(w.issues, '[]')
  from private.import_rows as r
  left join private.import_outcomes as o
    on o.staged_on = v_batch.staged_on and o.batch_id = v_batch.id and r.row_number > o.from_row and r.row_number <= o.to_row
  left join acted as a on a.row_number = r.row_number
  left join lateral (
    select
      bool_or(i.severity = 'error') as has_error,
      jsonb_agg(jsonb_build_object('field', i.field, 'severity', i.severity, 'code', i.code, 'message', i.message, 'value', i.value)
        order by i.id) as issues
    from private.import_issues as i
    where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id and i.row_number = r.row_number
  ) as w on true
  where r.staged_on = v_batch.staged_on and r.batch_id = v_batch.id and r.row_number = any (v_numbers)
  order by r.row_number;
end;
$$;

create function public.list_import_rows(
  import_id uuid, status text default null, after_row integer default 0, page_size integer default 100
)
returns setof public.import_row
language plpgsql stable
security invoker
set search_path = ''
as $$
begin
  if (list_import_rows.page_size between 1 and 1000) is not true then
    raise exception using errcode = '22023', message = 'page_size must be from 1 to 1000';
  end if;
  return query
  select r.*
  from private.read_import_rows(
    list_import_rows.import_id, list_import_rows.status, list_import_rows.after_row, list_import_rows.page_size
  ) as r;
end;
$$;
comment on function public.list_import_rows(uuid, text, integer, integer) is
  'The fate of rows, in their order: pending, validated, failed, skipped, inserted, updated, unchanged or deleted, with the key, the '
  'record''s id (of rows acted upon), the row as it was sent, and its issues. status picks one; the next page begins after the last '
  'row_number; page_size at most 1000. Errors: 22023, PT404.';

-- Definer: as above.
create function private.read_import_issues(
  p_import_id uuid, p_after_id bigint, p_page_size integer, p_code text, p_severity text
)
returns setof public.import_issue
language plpgsql stable
security definer
set search_path = ''
as $$
declare
  v_batch public.import_batches := private.find_import(p_import_id);
begin
  return query
  select
    i.id, i.row_number, r.line_number, i.field, i.severity::text, i.code, i.message, i.value, i.sqlstate, i.constraint_name
  from (
    select s.*
    from private.import_issues as s
    where s.staged_on = v_batch.staged_on and s.batch_id = v_batch.id and s.id > p_after_id
      and (p_code is null or s.code = p_code)
      and (p_severity is null or s.severity::text = p_severity)
    order by s.id
    limit p_page_size
  ) as i
  left join private.import_rows as r
    on r.staged_on = v_batch.staged_on and r.batch_id = v_batch.id and r.row_number = i.row_number
  order by i.id;
end;
$$;

create function public.list_import_issues(
  import_id uuid, after_id bigint default 0, page_size integer default 100, code text default null, severity text default null
)
returns setof public.import_issue
language plpgsql stable
security invoker
set search_path = ''
as $$
begin
  if (list_import_issues.page_size between 1 and 1000) is not true then
    raise exception using errcode = '22023', message = 'page_size must be from 1 to 1000';
  end if;
  return query
  select i.*
  from private.read_import_issues(
    list_import_issues.import_id, list_import_issues.after_id, list_import_issues.page_size,
    list_import_issues.code, list_import_issues.severity
  ) as i;
end;
$$;
comment on function public.list_import_issues(uuid, bigint, integer, text, text) is
  'What is wrong with rows, in the order in which it was found, of one code or severity (error, warning) where given. The next page begins '
  'after the last id; page_size at most 1000. sqlstate and constraint_name tell what the table said. Errors: 22023, PT404.';

-- Grants ------------------------------------------------------------------------------------------

revoke all on function
  public.create_import(text, text, uuid, text, text, jsonb, jsonb, text), public.set_import_mapping(uuid, jsonb, jsonb),
  public.suggest_import_mapping(uuid), public.validate_import(uuid, boolean, text), public.commit_import(uuid, text),
  public.cancel_import(uuid), public.get_import(uuid), public.list_imports(text, text, timestamptz, integer),
  public.list_import_rows(uuid, text, integer, integer), public.list_import_issues(uuid, bigint, integer, text, text)
  from public, anon, authenticated, service_role;
grant execute on function
  public.create_import(text, text, uuid, text, text, jsonb, jsonb, text), public.set_import_mapping(uuid, jsonb, jsonb),
  public.suggest_import_mapping(uuid), public.validate_import(uuid, boolean, text), public.commit_import(uuid, text),
  public.cancel_import(uuid), public.get_import(uuid), public.list_imports(text, text, timestamptz, integer),
  public.list_import_rows(uuid, text, integer, integer), public.list_import_issues(uuid, bigint, integer, text, text)
  to authenticated, service_role;

revoke all on all functions in schema private from public;
grant execute on function
  private.create_import(text, text, uuid, text, text, jsonb, jsonb, text), private.describe_import(uuid), private.outcome_counts(public.import_batches),
  private.find_import(uuid), private.find_job(uuid), private.start_import_job(text, uuid, jsonb, text),
  private.write_mapping(uuid, jsonb, jsonb), private.suggest_mapping(text, text[]), private.plain_name(text),
  private.cancel_import(uuid),
  private.read_import_rows(uuid, text, integer, integer),
  private.read_import_issues(uuid, bigint, integer, text, text)
  to authenticated, service_role;
grant execute on function
  private.ingest_limits(), private.begin_ingest(uuid, text[], boolean),
  private.finish_ingest(uuid, text[], integer, bigint, text, jsonb, jsonb),
  private.discard_ingest(uuid), private.fail_ingest(uuid, jsonb)
  to sluice_ingest;
