-- What clients do with an import: map it, run it, stop it, and read the fate of each row.
-- Needs: imports_ingest.
-- Exposes: set_import_mapping, suggest_import_mapping, validate_import, preview_import, get_import_preview, commit_import, cancel_import, get_import,
-- list_imports, list_import_rows, list_import_issues.

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
  'A row of a file and its fate. payload: column to cell, as sent, secret ones null; issues: [{ field, severity, code, message, value }].';
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

-- Mapping -----------------------------------------------------------------------------------------

-- Definer: writes the batch. Authorises first.
create function private.write_mapping(
  p_import_id uuid, p_mapping jsonb, p_options jsonb, p_template_id uuid, p_depends_on uuid[]
)
returns void
language plpgsql volatile
security definer
set search_path = ''
set jit = off
as $$
declare
  v_batch    public.import_batches;
  v_template public.import_templates;
begin
  -- The organization before the batch: what waits for it is looked at. Two that would close a circle together wait here.
  perform private.lock_organization(b.org_id) from public.import_batches as b where b.id = p_import_id;
  select b.* into v_batch from public.import_batches as b where b.id = p_import_id for no key update;
  perform private.require_import_right(v_batch);
  perform private.require_sender(v_batch);

  if not (v_batch.status in ('staged', 'validated') or private.failed_before_commit(v_batch)) then
    raise exception using
      errcode = 'PT409',
      message = 'import is in another state',
      detail  = format('import %s is %s', v_batch.id, v_batch.status),
      hint    = 'Mapping and options can be changed while it is staged or validated, and after a validation that failed.';
  end if;
  perform private.require_unredacted(v_batch);

  if p_template_id is not null then
    v_template := private.find_template(p_template_id, v_batch.dataset, v_batch.org_id);
    v_batch.mapping := private.template_mapping(v_template, v_batch.columns, p_mapping);
    v_batch.template_id := v_template.id;
    v_batch.options := v_batch.options || (v_template.config -> 'options');
  elsif p_mapping is not null then
    v_batch.mapping := private.normalize_mapping(v_batch.dataset, v_batch.columns, p_mapping);
    v_batch.template_id := null;
  end if;

  perform private.drop_issue_values(v_batch);
  update public.import_batches as b
  set status      = 'staged', -- what was validated is no longer what would run
      mapping     = v_batch.mapping,
      sample      = private.shown_sample(v_batch, b.sample),
      template_id = v_batch.template_id,
      options     = private.normalize_options(v_batch.options || coalesce(p_options, '{}')),
      depends_on  = case when p_depends_on is null then b.depends_on else private.normalize_prerequisites(b.org_id, p_depends_on) end
  where b.id = p_import_id;

  if p_depends_on is not null then
    perform private.require_no_cycle(p_import_id);
  end if;
end;
$$;

create function public.set_import_mapping(
  import_id uuid,
  mapping jsonb default null,
  options jsonb default null,
  template_id uuid default null,
  depends_on uuid[] default null
)
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
  perform private.write_mapping(
    set_import_mapping.import_id, set_import_mapping.mapping, set_import_mapping.options, set_import_mapping.template_id,
    set_import_mapping.depends_on
  );
  return private.describe_import(set_import_mapping.import_id);
end;
$$;
comment on function public.set_import_mapping(uuid, jsonb, jsonb, uuid, uuid[]) is
  'Replaces the mapping and changes the options given; either may be left out. The import must be validated (again) after it. Returns '
  'its document. mapping: { field: "column" | { column | columns, transforms, default } }; options: duplicates, on_error, blank. '
  'template_id: takes the mapping and options of a template, but for those that are given here. An import with secrets is its sender''s to map. '
  'depends_on: the imports that must be completed before this one is validated. Errors: 22023, 42501, PT404, PT409, '
  'PT422 (the file lacks columns of the template).';

create function public.suggest_import_mapping(import_id uuid)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_batch    public.import_batches := private.find_import(suggest_import_mapping.import_id);
  v_template public.import_templates;
begin
  if v_batch.columns is null then
    raise exception using
      errcode = 'PT409',
      message = 'import has no columns yet',
      detail  = format('import %s is %s', v_batch.id, v_batch.status),
      hint    = 'Wait until its file is staged.';
  end if;
  v_batch.mapping := null;
  v_template := private.choose_template(v_batch, v_batch.columns);
  return case
    when v_template.id is not null then private.template_suggestion(v_template)
    else private.suggest_mapping(v_batch.dataset, private.file_columns(v_batch, v_batch.columns), v_batch.sample)
  end;
end;
$$;
comment on function public.suggest_import_mapping(uuid) is
  'Which column probably fills which field: { field: { column, confidence 0 to 1, reason, transforms } }. reason: template, name, label, '
  'alias, likeness (of names) or content. transforms: what the values of the sample need. Errors: PT404, PT409.';

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

create function public.validate_import(
  import_id uuid, commit boolean default false, idempotency_key text default null, force boolean default false
)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.start_import_job('validate', validate_import.import_id,
    jsonb_build_object('commit', validate_import.commit, 'force', validate_import.force), validate_import.idempotency_key);
$$;
comment on function public.validate_import(uuid, boolean, text, boolean) is
  'Judges every row, in the background; with commit the good rows are then applied without a further call. Returns the job: '
  '{ id, job_type, status, phase, import_id, total, done, failed, result, error, created_at, started_at, finished_at }. '
  'Errors: 22023 (transform), 42501, PT404, PT409 (state; the same file again without force), PT413 (too large for on_error=abort), PT422 (required field unmapped).';

create function public.preview_import(import_id uuid, full boolean default false, idempotency_key text default null)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.start_import_job(case when preview_import.full then 'dry_run' else 'preview' end, preview_import.import_id,
    '{}', preview_import.idempotency_key);
$$;
comment on function public.preview_import(uuid, boolean, text) is
  'Tells what the commit of a validated import would do, in the background, with the caller''s rights: counts what there is; with full the rows are '
  'really applied and taken back, chunk by chunk, so that triggers and constraints speak too: what they refuse becomes a warning of its row. '
  'Validation without commit ends with such counts by itself. Returns the job; its result: { insert, update, unchanged, delete, fail, skip } rows. '
  'Errors: 42501, PT404, PT409 (state).';

create function public.get_import_preview(import_id uuid)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_batch    public.import_batches := private.find_import(get_import_preview.import_id);
  v_document jsonb;
begin
  if v_batch.status <> 'validated' then
    raise exception using
      errcode = 'PT409',
      message = 'import is in another state',
      detail  = format('import %s is %s', v_batch.id, v_batch.status),
      hint    = case v_batch.status
        when 'receiving' then 'Wait until its file is staged.'
        when 'staged' then 'Validate it.'
        when 'validating' then 'Wait for the running job.'
        else 'A preview is of an import that is validated and not yet committed.'
      end;
  end if;

  select c.preview_data || jsonb_build_object('created_at', c.created_at, 'expires_at', c.expires_at) into v_document
  from public.sync_preview_cache as c
  where c.org_id = v_batch.org_id and c.sync_type = 'import' and c.cache_key like v_batch.id || ':%' and c.expires_at > now();
  if not found then
    raise exception using
      errcode = 'PT404',
      message = 'import has no preview',
      detail  = format('import %s', v_batch.id),
      hint    = 'It is kept for an hour, for whoever asked for it. Make another one (preview_import).';
  end if;
  return v_document;
end;
$$;
comment on function public.get_import_preview(uuid) is
  'The caller''s preview of a validated import: { kind: counts|full, counts: { insert, update, unchanged, delete, fail, skip }, changes, created_at, expires_at }. '
  'changes: of the first 50 rows that would change a record, [{ row_number, key, action: insert|update|delete, before, after }]. Errors: PT404, PT409 (state).';

create function public.commit_import(import_id uuid, idempotency_key text default null, force boolean default false)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.start_import_job('commit', commit_import.import_id,
    jsonb_build_object('force', commit_import.force), commit_import.idempotency_key);
$$;
comment on function public.commit_import(uuid, text, boolean) is
  'Applies the valid rows of a validated import, in the background, with the caller''s rights. Returns the job, as validate_import does. '
  'Errors: 42501, PT404, PT409 (state; the same file again without force).';

create function public.undo_import(import_id uuid, dry_run boolean default false, idempotency_key text default null)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.start_import_job('undo', undo_import.import_id,
    jsonb_build_object('dry_run', coalesce(undo_import.dry_run, false)), undo_import.idempotency_key);
$$;
comment on function public.undo_import(uuid, boolean, text) is
  'Takes back what an import did, in the background, with the caller''s rights: inserted records are deleted, updated ones get their former values, '
  'deleted ones return with their ids. A record that somebody changed since, that others refer to, or that the caller may not write, is kept. '
  'Returns the job; its result, also with dry_run, which changes nothing: { reversed, changed, missing, referenced, denied, refused } records. '
  'Errors: 42501, PT404, PT409 (state, nothing to undo).';

-- Definer: writes jobs and the batch. Authorises first.
create function private.cancel_import(p_import_id uuid)
returns void
language plpgsql volatile
security definer
set search_path = ''
set jit = off
as $$
declare
  v_batch public.import_batches;
  v_job   uuid;
begin
  select b.* into v_batch from public.import_batches as b where b.id = p_import_id;
  perform private.require_import_right(v_batch);

  loop
    -- The job before the batch: in the order in which the workers lock them.
    select j.id into v_job
    from public.scheduled_jobs as j
    where j.batch_id = p_import_id and j.finished_at is null;
    if v_job is not null then
      if private.cancel_job(v_job) then
        return;
      end if;
      continue; -- it ended meanwhile, and another may have begun
    end if;

    perform private.lock_organization(v_batch.org_id);
    select b.* into v_batch from public.import_batches as b where b.id = p_import_id for no key update;
    exit when v_batch.status not in ('validating', 'committing', 'undoing'); -- else a job began meanwhile
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
  'sample, mapping, suggested_mapping, template_id, options, counts, issues, error, undo, progress, job, set_id, depends_on, waiting_for, '
  'corrects, corrected_by, added_columns, chain, duplicate_of, '
  'initiated_by, created_at, staged_at, validated_at, finished_at }. Errors: PT404.';

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
  perform private.require_status(list_imports.status, null::public.import_status);

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
set jit = off
as $$
declare
  v_batch    public.import_batches := private.find_import(p_import_id);
  v_keys_sql text := (select p.keys_sql from private.import_plans as p where p.batch_id = p_import_id);
  v_keys     jsonb := '{}';
  v_numbers  integer[];
  v_has_groups boolean := private.has_groups(p_import_id);
  v_shown    text[] := private.shown_columns(v_batch);
  v_is_shown boolean[];
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
  elsif p_status = 'undone' then
    v_numbers := array(
      select n from private.import_reversals as v cross join lateral unnest(v.row_numbers) as n
      where v.staged_on = v_batch.staged_on and v.batch_id = v_batch.id and n > p_after_row
      order by n limit p_page_size
    );
  elsif p_status = 'skipped' then
    v_numbers := array(
      select i.row_number
      from private.import_issues as i
      where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id and i.row_number > p_after_row
        and (i.code = 'duplicate_in_file' or i.severity = 'error')
      group by i.row_number
      having not bool_or(i.severity = 'error')
      order by i.row_number limit p_page_size
    );
  elsif p_status in ('inserted', 'updated', 'deleted', 'unchanged') then
    for v_chunk in
      select o.* from private.import_outcomes as o
      where o.staged_on = v_batch.staged_on and o.batch_id = v_batch.id and (o.to_row > p_after_row or v_has_groups)
        and case p_status when 'inserted' then o.inserted_count when 'updated' then o.updated_count
          when 'deleted' then o.deleted_count else o.unchanged_count end > 0
      order by o.from_row
    loop
      v_numbers := v_numbers || array(
        select a.row_number from unnest(v_chunk.row_numbers, v_chunk.actions) as a (row_number, action)
        where a.action::text = p_status and a.row_number > p_after_row
          and a.row_number not in (
            select n from private.import_reversals as v cross join lateral unnest(v.row_numbers) as n
            where v.staged_on = v_batch.staged_on and v.batch_id = v_batch.id and v.from_row = v_chunk.from_row
          )
        union all
        select u.row_number from (
          select c.row_number from private.chunk_rows(v_batch.staged_on, v_batch.id, v_chunk.from_row, v_chunk.to_row) as c
          where p_status = 'unchanged' and c.row_number > p_after_row
          except select unnest(v_chunk.row_numbers)
          except select unnest(v_chunk.skipped_rows)
          except select i.row_number from private.import_issues as i
            where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id and i.severity = 'error'
              and ((i.row_number > v_chunk.from_row and i.row_number <= v_chunk.to_row) or v_has_groups)
        ) as u
        order by 1 limit p_page_size
      );
      exit when cardinality(v_numbers) >= p_page_size and not v_has_groups; -- whose rows lie anywhere
    end loop;
    v_numbers := (array(select n from unnest(v_numbers) as n order by n))[1:p_page_size];
  elsif p_status in ('pending', 'validated') then
    -- Not yet in an outcome, and without an error: validated once the import has been.
    v_numbers := case when (p_status = 'validated') = (v_batch.validated_at is not null) then array(
      select r.row_number
      from private.import_rows as r
      cross join lateral (
        select coalesce((
          select g.first_row from private.import_group_rows as g
          where g.staged_on = v_batch.staged_on and g.batch_id = v_batch.id and g.row_number = r.row_number
        ), r.row_number) as record_row
      ) as f
      where r.staged_on = v_batch.staged_on and r.batch_id = v_batch.id and r.row_number > p_after_row
        and not exists (
          select from private.import_issues as i
          where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id and i.row_number = r.row_number
            and (i.severity = 'error' or i.code = 'duplicate_in_file')
        )
        and not exists (
          select from private.import_outcomes as o
          where o.staged_on = v_batch.staged_on and o.batch_id = v_batch.id
            and f.record_row > o.from_row and f.record_row <= o.to_row
        )
      order by r.row_number limit p_page_size
    ) end;
  else
    raise exception using
      errcode = '22023',
      message = 'status is unknown',
      detail  = format('no row status %s', to_json(p_status)),
      hint    = 'One of: pending, validated, failed, skipped, inserted, updated, unchanged, deleted, undone.';
  end if;

  if v_batch.staged_at is null then
    return; -- some may be there already, but it may yet be that none stays
  end if;
  if v_keys_sql is not null then
    execute format('select coalesce(jsonb_object_agg(k.row_number, k.key), ''{}'') from (%s) as k (row_number, key)', v_keys_sql)
    into v_keys using v_batch.staged_on, v_batch.id, v_numbers;
  end if;

  v_is_shown := array(
    select c.name = any (v_shown) from unnest(v_batch.columns) with ordinality as c (name, position) order by c.position
  );
  return query
  with acted as materialized ( -- the arrays of a chunk are opened once, not once a row
    select u.*
    from private.import_outcomes as o
    cross join lateral unnest(o.row_numbers, o.actions, o.record_ids) as u (row_number, action, record_id)
    where o.staged_on = v_batch.staged_on and o.batch_id = v_batch.id
      and o.from_row < v_numbers[cardinality(v_numbers)] and (o.to_row >= v_numbers[1] or v_has_groups)
      and u.row_number = any (v_numbers)
  ),
  undone as materialized (
    select n as row_number
    from private.import_reversals as v
    cross join lateral unnest(v.row_numbers) as n
    where v.staged_on = v_batch.staged_on and v.batch_id = v_batch.id and n = any (v_numbers)
  )
  select
    r.row_number,
    r.line_number,
    case
      when w.has_error then 'failed'
      when w.is_duplicate then 'skipped'
      when u.row_number is not null then 'undone'
      when o.from_row is not null then coalesce(a.action::text, 'unchanged')
      when v_batch.validated_at is not null then 'validated'
      else 'pending'
    end,
    nullif(v_keys ->> r.row_number::text, ''),
    a.record_id,
    (
      select jsonb_object_agg(c.name, case when c.is_shown then r.cells[c.position] end)
      from unnest(v_batch.columns, v_is_shown) with ordinality as c (name, is_shown, position)
    ),
    coalesce(w.issues, '[]')
  from private.import_rows as r
  left join private.import_group_rows as g
    on g.staged_on = v_batch.staged_on and g.batch_id = v_batch.id and g.row_number = r.row_number
  left join private.import_outcomes as o
    on o.staged_on = v_batch.staged_on and o.batch_id = v_batch.id
    and coalesce(g.first_row, r.row_number) > o.from_row and coalesce(g.first_row, r.row_number) <= o.to_row
  left join acted as a on a.row_number = r.row_number
  left join undone as u on u.row_number = r.row_number
  left join lateral (
    select
      bool_or(i.severity = 'error') as has_error,
      bool_or(i.code = 'duplicate_in_file') as is_duplicate,
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
  'The fate of rows, in their order: pending, validated, failed, skipped, inserted, updated, unchanged, deleted or undone, with the key, the '
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
set jit = off
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
      and v_batch.staged_at is not null
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
  public.set_import_mapping(uuid, jsonb, jsonb, uuid, uuid[]),
  public.undo_import(uuid, boolean, text), public.suggest_import_mapping(uuid), public.validate_import(uuid, boolean, text, boolean),
  public.preview_import(uuid, boolean, text), public.get_import_preview(uuid), public.commit_import(uuid, text, boolean),
  public.cancel_import(uuid), public.get_import(uuid), public.list_imports(text, text, timestamptz, integer),
  public.list_import_rows(uuid, text, integer, integer), public.list_import_issues(uuid, bigint, integer, text, text)
  from public, anon, authenticated, service_role;
grant execute on function
  public.set_import_mapping(uuid, jsonb, jsonb, uuid, uuid[]),
  public.undo_import(uuid, boolean, text), public.suggest_import_mapping(uuid), public.validate_import(uuid, boolean, text, boolean),
  public.preview_import(uuid, boolean, text), public.get_import_preview(uuid), public.commit_import(uuid, text, boolean),
  public.cancel_import(uuid), public.get_import(uuid), public.list_imports(text, text, timestamptz, integer),
  public.list_import_rows(uuid, text, integer, integer), public.list_import_issues(uuid, bigint, integer, text, text)
  to authenticated, service_role;

revoke all on all functions in schema private from public;
grant execute on function
  private.start_import_job(text, uuid, jsonb, text),
  private.write_mapping(uuid, jsonb, jsonb, uuid, uuid[]),
  private.cancel_import(uuid),
  private.read_import_rows(uuid, text, integer, integer),
  private.read_import_issues(uuid, bigint, integer, text, text)
  to authenticated, service_role;
