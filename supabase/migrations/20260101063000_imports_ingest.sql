-- The upload: a file's rows become staged rows, all of them or none.
-- Needs: imports_secrets, imports_suggest, imports_templates, imports_create.
-- Exposes: nothing to clients. The ingest functions to the upload's connection, which has become sluice_ingest. All of
-- them are definer: that role may add rows and issues, and nothing else.

create function private.ingest_lock_key(p_import_id uuid)
returns bigint
language sql immutable
security invoker
set search_path = ''
as $$
  select hashtextextended('imports.ingest:' || p_import_id, 0);
$$;

-- Its file is taken in by a job.
create function private.is_ingesting(p_import_id uuid)
returns boolean
language sql stable
security definer
set search_path = ''
as $$
  select exists (
    select from public.scheduled_jobs as j where j.batch_id = p_import_id and j.job_type = 'ingest' and j.finished_at is null
  );
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

create function private.require_receiving(p_import_id uuid)
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
  where b.id = p_import_id and b.status = 'receiving';
  if not found then
    raise exception using
      errcode = 'PT409',
      message = 'import does not await a file',
      detail  = format('import %s', p_import_id),
      hint    = 'Start a new import.';
  end if;
  return v_batch;
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
  v_batch := private.require_receiving(p_import_id);

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

-- The batch has all its rows. The sample is looked at as it is, and kept as far as it is shown.
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
  p_batch.columns := p_columns;
  p_batch.mapping := v_initial.mapping;
  perform private.drop_issue_values(p_batch);

  update public.import_batches as b
  set status            = 'staged',
      columns           = p_columns,
      row_count         = p_row_count,
      byte_size         = p_byte_size,
      content_hash      = p_content_hash,
      duplicate_of      = private.earlier_import(p_batch, p_content_hash),
      sample            = private.shown_sample(p_batch, p_sample),
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
  perform from public.import_batches as b where b.id = p_import_id for no key update;
  v_batch := private.require_receiving(p_import_id);

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
    and b.source <> 'sync' -- what a run does with it is its job's business
    and b.created_at < now() - interval '1 minute' -- the time between create_import and begin_ingest
    and not private.is_receiving(b.id)
    and not private.is_ingesting(b.id);
$$;

revoke all on all functions in schema private from public;
grant execute on function
  private.ingest_limits(), private.dataset_of_file(text), private.begin_ingest(uuid, text[], boolean),
  private.finish_ingest(uuid, text[], integer, bigint, text, jsonb, jsonb),
  private.discard_ingest(uuid), private.fail_ingest(uuid, jsonb), private.end_failed_set(uuid)
  to sluice_ingest;
