-- How an import begins: its making, the upload's own functions, and the document that tells of it.
-- Needs: imports_suggest, imports_templates, imports_tasks.
-- Exposes: create_import to clients; the ingest functions to the upload's connection.

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

-- What an undo made of the records so far; null before there was one. Definer: as above.
create function private.undo_counts(p_batch public.import_batches)
returns jsonb
language sql stable
security definer
set search_path = ''
as $$
  select jsonb_build_object('reversed', sum(r.reversed_count), 'kept', coalesce((
      select jsonb_object_agg(k.reason, k.count)
      from (
        select e.key as reason, sum(e.value::integer) as count
        from private.import_reversals as v
        cross join lateral jsonb_each_text(v.kept_counts) as e
        where v.staged_on = p_batch.staged_on and v.batch_id = p_batch.id
        group by e.key
      ) as k
    ), '{}'))
  from private.import_reversals as r
  join public.import_batches as b on b.id = r.batch_id and b.org_id in (select private.org_ids('viewer'))
  where r.staged_on = p_batch.staged_on and r.batch_id = p_batch.id
  having count(*) > 0;
$$;

-- What keeps an import from being validated.
create function private.waiting_for(p_batch public.import_batches)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'dataset', p.dataset, 'status', p.status) order by p.dataset, p.id), '[]')
  from private.prerequisites(p_batch) as p
  where p_batch.status in ('receiving', 'staged', 'validating') and p.status is distinct from 'completed';
$$;

-- The document of an import that the caller may see. Definer: the job's row holds claims, which no client may read.
create function private.describe_import(p_import_id uuid)
returns jsonb
language plpgsql stable
security definer
set search_path = ''
set jit = off -- where it is on, it spends a second on what takes milliseconds
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
    'mapping', v_batch.mapping, 'suggested_mapping', v_batch.suggested_mapping, 'template_id', v_batch.template_id,
    'options', private.normalize_options(v_batch.options),
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
    'undo', private.undo_counts(v_batch),
    'progress', v_progress,
    'job', case when v_job.id is not null then private.describe_job(v_job) end,
    'set_id', v_batch.set_id, 'depends_on', v_batch.depends_on, 'waiting_for', private.waiting_for(v_batch),
    'corrects', v_batch.corrects,
    'corrected_by', (
      select coalesce(jsonb_agg(b.id order by b.created_at), '[]') from public.import_batches as b where b.corrects = v_batch.id
    ),
    'added_columns', private.added_columns(v_batch),
    'chain', private.import_chain(v_batch),
    'duplicate_of', v_batch.duplicate_of,
    'initiated_by', v_batch.initiated_by, 'created_at', v_batch.created_at, 'staged_at', v_batch.staged_at,
    'validated_at', v_batch.validated_at, 'finished_at', v_batch.finished_at
  );
end;
$$;

-- Creating ----------------------------------------------------------------------------------------

-- The organization that the caller makes something for: the one named, or their own.
create function private.resolve_organization(p_org_id uuid)
returns uuid
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_org_id uuid := p_org_id;
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
  return v_org_id;
end;
$$;

-- The import whose failed rows the caller brings in again: theirs to act upon, and judged.
create function private.find_correctable(p_import_id uuid)
returns public.import_batches
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  c_most  constant integer := 100;
  v_batch public.import_batches := private.find_import(p_import_id);
begin
  perform private.require_import_right(v_batch);
  if v_batch.staged_at is null
    or v_batch.status not in ('validated', 'completed', 'failed', 'cancelled', 'undone') then
    raise exception using
      errcode = 'PT409',
      message = 'import is not judged yet',
      detail  = format('import %s is %s', v_batch.id, v_batch.status),
      hint    = case
        when v_batch.status = 'failed' then 'None of its rows was kept: send the file as a new import.'
        else 'Correct its rows once it is validated or at its end.'
      end;
  end if;
  perform private.require_rows(v_batch);

  -- Whoever reads one of them reads the counts of all.
  if private.chain_length(v_batch) > c_most then
    raise exception using
      errcode = 'PT409',
      message = 'import has been corrected too often',
      detail  = format('%s imports', c_most),
      hint    = 'Send what is left as a new import.';
  end if;
  return v_batch;
end;
$$;

-- The set, if it is the organization's and the caller's to add to: they made it, or are an admin.
create function private.require_set(p_set_id uuid, p_org_id uuid)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_set public.import_sets;
begin
  select s.* into v_set from public.import_sets as s where s.id = p_set_id and s.org_id = p_org_id;
  if not found then
    raise exception using errcode = 'PT404', message = 'import set not found';
  end if;
  perform private.require_org_role(
    p_org_id, case when v_set.created_by = auth.uid() then 'member' else 'admin' end::public.org_role);
end;
$$;

-- Definer: batches are written by Sluice alone. Authorises first.
create function private.create_import(
  p_dataset text, p_mode text, p_org_id uuid, p_file_name text, p_source text, p_mapping jsonb, p_options jsonb,
  p_idempotency_key text, p_template_id uuid, p_set_id uuid, p_depends_on uuid[], p_corrects uuid
)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
set jit = off
as $$
declare
  v_org_id   uuid := p_org_id;
  v_parent   public.import_batches; -- which this one corrects
  v_dataset  public.datasets;
  v_mode     public.import_mode;
  v_batch    public.import_batches;
  v_template public.import_templates;
  v_options  jsonb;
begin
  if p_corrects is not null then
    v_parent := private.find_correctable(p_corrects);
    v_org_id := coalesce(v_org_id, v_parent.org_id);
    if (v_parent.org_id, v_parent.dataset, v_parent.mode::text) is distinct from
      (v_org_id, coalesce(p_dataset, v_parent.dataset), coalesce(p_mode, v_parent.mode::text)) then
      raise exception using
        errcode = '22023',
        message = 'correction is of another kind than what it corrects',
        detail  = format('import %s: dataset %s, mode %s', v_parent.id, v_parent.dataset, v_parent.mode),
        hint    = 'Leave dataset and mode out, or send the file as an import of its own.';
    end if;
  end if;

  v_org_id := private.resolve_organization(v_org_id);

  select d.* into v_dataset from public.datasets as d where d.key = coalesce(p_dataset, v_parent.dataset);
  if not found then
    raise exception using
      errcode = '22023',
      message = 'dataset is unknown',
      detail  = format('no dataset %s', to_json(p_dataset)),
      hint    = format('Datasets are: %s.', (select string_agg(d.key, ', ' order by d.position) from public.datasets as d));
  end if;

  if p_corrects is not null then
    v_mode := v_parent.mode;
  elsif p_mode is null then
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
      elsif v_batch.status = 'receiving' or (v_batch.dataset, v_batch.mode) is distinct from (v_dataset.key, v_mode) then
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

  if p_set_id is not null then
    perform private.require_set(p_set_id, v_org_id);
  end if;

  -- Options are kept as they were given until the file is there: its template may bring others.
  v_options := coalesce(v_parent.options || p_options, p_options);
  perform private.normalize_options(v_options);
  if p_template_id is not null then
    v_template := private.find_template(p_template_id, v_dataset.key, v_org_id);
    v_options := v_template.config -> 'options' || v_options;
  end if;

  insert into public.import_batches (
    org_id, dataset, mode, source, file_name, mapping, template_id, options, initiated_by, idempotency_key, set_id, depends_on,
    corrects
  )
  values (
    v_org_id, v_dataset.key, v_mode, p_source, p_file_name,
    case
      when v_template.id is not null then private.template_mapping(v_template, null, p_mapping)
      when p_mapping is not null then private.normalize_mapping(v_dataset.key, null, p_mapping)
      else v_parent.mapping
    end,
    coalesce(v_template.id, case when p_mapping is null then v_parent.template_id end),
    v_options, auth.uid(), p_idempotency_key,
    p_set_id, private.normalize_prerequisites(v_org_id, p_depends_on), p_corrects
  )
  returning * into v_batch;
  perform private.require_no_cycle(v_batch.id); -- looked at again before it is validated
  return private.describe_import(v_batch.id);
end;
$$;

create function public.create_import(
  dataset text default null,
  mode text default null,
  org_id uuid default null,
  file_name text default null,
  source text default 'api',
  mapping jsonb default null,
  options jsonb default '{}',
  idempotency_key text default null,
  template_id uuid default null,
  set_id uuid default null,
  depends_on uuid[] default null,
  corrects uuid default null
)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.create_import(
    create_import.dataset, create_import.mode, create_import.org_id, create_import.file_name, create_import.source,
    create_import.mapping, create_import.options, create_import.idempotency_key, create_import.template_id,
    create_import.set_id, create_import.depends_on, create_import.corrects
  );
$$;
comment on function public.create_import(text, text, uuid, text, text, jsonb, jsonb, text, uuid, uuid, uuid[], uuid) is
  'Makes an import that awaits its file; returns its document (see get_import), with "replayed": true where the idempotency key '
  'was used before. mode: insert, update, upsert (default), delete. org_id: the caller''s own unless given; the service key must name it. '
  'template_id: whose mapping and options it takes, but for those that are given here. '
  'set_id: a set of one''s own that it belongs to. depends_on: imports of the organization that must be completed before it is '
  'validated. corrects: the import whose failed rows it brings in again, with the dataset, mode, mapping and options of that one. '
  'Errors: 22023 (dataset, mode, mapping, options, circle of depends_on), 42501, PT404, PT409 (key in use; nothing to correct).';

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
  select private.lock_holder(private.ingest_lock_key(p_import_id)) is not null;
$$;

create function private.ingest_limits()
returns jsonb
language sql stable
security definer
set search_path = ''
as $$
  select jsonb_build_object(
    'max_request_bytes', private.setting('imports.max_request_bytes'),
    'max_archive_bytes', private.setting('imports.max_archive_bytes'),
    'max_workbook_bytes', private.setting('imports.max_workbook_bytes'),
    'max_columns', private.setting('imports.max_columns'),
    'max_cell_bytes', private.setting('imports.max_cell_bytes'),
    'max_rows', private.setting('imports.max_rows')
  );
$$;

-- The dataset whose key is in the name of a file; of several the longest. Null: there is none.
create function private.dataset_of_file(p_file_name text)
returns text
language sql stable
security definer
set search_path = ''
as $$
  select d.key
  from public.datasets as d
  where strpos(regexp_replace(lower(p_file_name), '[^a-z0-9]+', '_', 'g'), d.key) > 0
  order by length(d.key) desc, d.position
  limit 1;
$$;

create function private.require_fit_columns(p_org_id uuid, p_columns text[])
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  c_longest constant integer := 255;
  v_long text;
begin
  if cardinality(p_columns) > private.setting('imports.max_columns', p_org_id)::integer then
    raise exception using
      errcode = 'PT413',
      message = 'file has too many columns',
      detail  = format('%s columns', cardinality(p_columns)),
      hint    = format('At most %s are allowed.', private.setting('imports.max_columns', p_org_id));
  end if;

  -- They are in every document of the import.
  select format('column %s: %s characters', c.position, length(c.name)) into v_long
  from unnest(p_columns) with ordinality as c (name, position)
  where length(c.name) > c_longest
  limit 1;
  if found then
    raise exception using
      errcode = 'PT413',
      message = 'name of a column is too long',
      detail  = v_long,
      hint    = format('At most %s characters; is the first line the header?', c_longest);
  end if;
end;
$$;

-- What an upload with these columns begins with: the given mapping, checked; else that of a template for such files;
-- else what is suggested and sure enough.
create function private.initial_mapping(
  p_batch public.import_batches, p_columns text[], p_sample jsonb,
  out template_id uuid, out suggested jsonb, out mapping jsonb, out options jsonb
)
language plpgsql stable
security invoker
set search_path = ''
set jit = off
as $$
declare
  c_least    constant numeric := 0.5;
  v_template public.import_templates := private.choose_template(p_batch, p_columns);
begin
  template_id := v_template.id;
  suggested := case
    when v_template.id is not null then private.template_suggestion(v_template)
    else private.suggest_mapping(p_batch.dataset, private.file_columns(p_batch, p_columns), p_sample)
  end;
  options := private.normalize_options(coalesce(v_template.config -> 'options', '{}') || p_batch.options);

  if v_template.id is not null then
    mapping := coalesce(p_batch.mapping, v_template.config -> 'mapping');
    perform private.require_template_columns(v_template, mapping, p_columns);
  elsif p_batch.mapping is not null then
    mapping := p_batch.mapping;
  else
    mapping := coalesce((
      select jsonb_object_agg(s.key, s.value - '{confidence,reason}'::text[])
      from jsonb_each(suggested) as s
      where (s.value ->> 'confidence')::numeric >= c_least
    ), '{}');
  end if;
  mapping := private.normalize_mapping(p_batch.dataset, p_columns, mapping);
end;
$$;

-- As soon as the header is known: what cannot go well fails before the rows are read. With
-- p_review = false that includes a required field that no column fills.
create function private.begin_ingest(p_import_id uuid, p_columns text[], p_review boolean)
returns table (staged_on date, max_rows bigint, max_cell_bytes integer, max_columns integer)
language plpgsql volatile
security definer
set search_path = ''
set jit = off
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

  perform private.require_fit_columns(v_batch.org_id, p_columns);
  v_mapping := (private.initial_mapping(v_batch, p_columns, null)).mapping;
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

-- The latest import of the same file by the same person that stands, but for those that the new one corrects.
-- Two that come in at once wait for each other: one of them is the earlier.
create function private.earlier_import(p_batch public.import_batches, p_content_hash text)
returns uuid
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  -- One lock for all files of a person: an archive stages several in one transaction, in its own order.
  perform pg_advisory_xact_lock(hashtextextended(concat_ws(':', 'imports.files', p_batch.org_id, p_batch.initiated_by), 0));
  return (
    with recursive corrected (id) as (
      select p_batch.corrects
      union
      select b.corrects from corrected as c join public.import_batches as b on b.id = c.id
    )
    select b.id
    from public.import_batches as b
    where b.org_id = p_batch.org_id
      and b.content_hash = p_content_hash
      and b.dataset = p_batch.dataset
      and b.initiated_by is not distinct from p_batch.initiated_by
      and private.is_applicable(b)
      and not exists (select from corrected as c where c.id = b.id)
    order by b.staged_at desc
    limit 1
  );
end;
$$;

-- The batch has all its rows.
create function private.end_staging(
  p_batch public.import_batches, p_columns text[], p_row_count integer, p_byte_size bigint, p_content_hash text, p_sample jsonb,
  p_format jsonb
)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_initial record;
begin
  select i.* into v_initial from private.initial_mapping(p_batch, p_columns, p_sample) as i;

  update public.import_batches as b
  set status            = 'staged',
      columns           = p_columns,
      row_count         = p_row_count,
      byte_size         = p_byte_size,
      content_hash      = p_content_hash,
      duplicate_of      = private.earlier_import(p_batch, p_content_hash),
      sample            = p_sample,
      format            = p_format,
      suggested_mapping = v_initial.suggested,
      template_id       = v_initial.template_id,
      mapping           = v_initial.mapping,
      options           = v_initial.options
  where b.id = p_batch.id;
end;
$$;

-- In a file of failed rows, what a spreadsheet would run has an apostrophe before it, and one that had some has one more: what
-- comes back in such a file is as it was sent.
create function private.restore_cells(p_batch public.import_batches)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  c_guarded constant text := '^''+([=@\t\r]|[+-](?![0-9 .,/()-]*$))';
begin
  update private.import_rows as r
  set cells = array(
    select case when c.cell ~ c_guarded then substr(c.cell, 2) else c.cell end
    from unnest(r.cells) with ordinality as c (cell, position)
    order by c.position
  )
  where r.staged_on = p_batch.staged_on and r.batch_id = p_batch.id
    and exists (select from unnest(r.cells) as c (cell) where c.cell ~ c_guarded);
end;
$$;

-- The columns may be more than those that the import began with: JSON has keys that come late.
create function private.finish_ingest(
  p_import_id uuid, p_columns text[], p_row_count integer, p_byte_size bigint, p_content_hash text, p_sample jsonb, p_format jsonb
)
returns void
language plpgsql volatile
security definer
set search_path = ''
set jit = off
as $$
declare
  v_batch public.import_batches;
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

  perform private.require_fit_columns(v_batch.org_id, p_columns);
  -- The log says who: the direct connection carries no claims.
  perform private.assume_claims(jsonb_build_object('sub', v_batch.initiated_by));
  if v_batch.corrects is not null and (private.added_columns(v_batch))[1] = any (p_columns) then
    perform private.restore_cells(v_batch);
  end if;
  perform private.end_staging(v_batch, p_columns, p_row_count, p_byte_size, p_content_hash, p_sample, p_format);
end;
$$;

-- The request was wrong: the import never was.
create function private.discard_ingest(p_import_id uuid)
returns void
language sql volatile
security definer
set search_path = ''
as $$
  select private.lock_organization(b.org_id) from public.import_batches as b where b.id = p_import_id;
  delete from public.import_batches as b where b.id = p_import_id and b.status = 'receiving';
$$;

-- The set of such a request, too, where none of its imports stayed; else its idempotency key is free again.
create function private.end_failed_set(p_set_id uuid)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
begin
  delete from public.import_sets as s
  where s.id = p_set_id
    and not exists (select from public.import_batches as b where b.set_id = s.id);
  if not found then
    update public.import_sets as s set idempotency_key = null where s.id = p_set_id;
  end if;
end;
$$;

-- The upload broke off. Its transaction is gone, so no row stays; its idempotency key is free again.
create function private.fail_ingest(p_import_id uuid, p_error jsonb)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_claims text := nullif(current_setting('request.jwt.claims', true), '');
begin
  perform private.assume_claims(jsonb_build_object('sub', b.initiated_by)), private.lock_organization(b.org_id)
  from public.import_batches as b where b.id = p_import_id;

  update public.import_batches as b
  set status = 'failed', error = p_error, idempotency_key = null
  where b.id = p_import_id and b.status = 'receiving';

  perform private.assume_claims(v_claims::jsonb); -- the caller may go on with another import
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

-- Grants ------------------------------------------------------------------------------------------

revoke all on function public.create_import(text, text, uuid, text, text, jsonb, jsonb, text, uuid, uuid, uuid[], uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.create_import(text, text, uuid, text, text, jsonb, jsonb, text, uuid, uuid, uuid[], uuid)
  to authenticated, service_role;

revoke all on all functions in schema private from public;
grant execute on function
  private.create_import(text, text, uuid, text, text, jsonb, jsonb, text, uuid, uuid, uuid[], uuid),
  private.describe_import(uuid), private.outcome_counts(public.import_batches), private.undo_counts(public.import_batches)
  to authenticated, service_role;
grant execute on function
  private.ingest_limits(), private.dataset_of_file(text), private.begin_ingest(uuid, text[], boolean),
  private.finish_ingest(uuid, text[], integer, bigint, text, jsonb, jsonb),
  private.discard_ingest(uuid), private.fail_ingest(uuid, jsonb), private.end_failed_set(uuid)
  to sluice_ingest;
