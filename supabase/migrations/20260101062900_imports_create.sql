-- How an import begins: who may make one, of what, and what it is made with.
-- Needs: imports_templates, imports_documents.
-- Exposes: create_import.

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

-- What the caller wants to make an import of, if they may: the organization, the dataset and the mode, where they are
-- left out those that go without saying, and the import that it corrects.
create function private.resolve_target(
  p_dataset text, p_mode text, p_org_id uuid, p_corrects uuid,
  out org_id uuid, out dataset public.datasets, out mode public.import_mode, out parent public.import_batches
)
language plpgsql stable
security invoker
set search_path = ''
as $$
begin
  org_id := p_org_id;
  if p_corrects is not null then
    parent := private.find_correctable(p_corrects);
    org_id := coalesce(org_id, parent.org_id);
    if (parent.org_id, parent.dataset, parent.mode::text) is distinct from
      (org_id, coalesce(p_dataset, parent.dataset), coalesce(p_mode, parent.mode::text)) then
      raise exception using
        errcode = '22023',
        message = 'correction is of another kind than what it corrects',
        detail  = format('import %s: dataset %s, mode %s', parent.id, parent.dataset, parent.mode),
        hint    = 'Leave dataset and mode out, or send the file as an import of its own.';
    end if;
  end if;

  org_id := private.resolve_organization(org_id);

  select d.* into dataset from public.datasets as d where d.key = coalesce(p_dataset, parent.dataset);
  if not found then
    raise exception using
      errcode = '22023',
      message = 'dataset is unknown',
      detail  = format('no dataset %s', to_json(p_dataset)),
      hint    = format('Datasets are: %s.', (select string_agg(d.key, ', ' order by d.position) from public.datasets as d));
  end if;

  if p_corrects is not null then
    mode := parent.mode;
  elsif p_mode is null then
    mode := case when 'upsert' = any (dataset.allowed_modes) then 'upsert' else dataset.allowed_modes[1] end;
  elsif p_mode = any (dataset.allowed_modes::text[]) then
    mode := p_mode;
  else
    raise exception using
      errcode = '22023',
      message = 'mode is not allowed',
      detail  = format('mode %s of dataset %s', to_json(p_mode), p_dataset),
      hint    = format('Allowed are: %s.', array_to_string(dataset.allowed_modes, ', '));
  end if;
  perform private.require_org_role(
    org_id, private.role_for(dataset.key, case mode when 'delete' then 'admin' else 'member' end::public.org_role));
end;
$$;

-- The organization of a file in the bucket imports is in its name. Whether the caller sees it, Storage's policies say;
-- but the worker function reads it with the service key, by a URL: what names another file there is none of theirs.
create function private.is_own_path(p_path text, p_org_id uuid)
returns boolean
language sql immutable
security invoker
set search_path = ''
as $$
  select starts_with(p_path, p_org_id || '/') and p_path !~ '/\.{0,2}/|/\.{1,2}$| $|[\\?#%[:cntrl:]]';
$$;

create function private.require_own_file(p_storage_path text, p_org_id uuid)
returns void
language plpgsql immutable
security invoker
set search_path = ''
as $$
begin
  if p_storage_path is not null and private.is_own_path(p_storage_path, p_org_id) is not true then
    raise exception using
      errcode = '22023',
      message = 'stored file is not the organization''s',
      detail  = format('storage_path %s', to_json(p_storage_path)),
      hint    = format('Its path begins with the id of the organization: %s/…, and has no dots between slashes, \, ?, # or %%.', p_org_id);
  end if;
end;
$$;

-- Definer: batches are written by Sluice alone. Authorises first.
create function private.create_import(
  p_dataset text, p_mode text, p_org_id uuid, p_file_name text, p_source text, p_mapping jsonb, p_options jsonb,
  p_idempotency_key text, p_template_id uuid, p_set_id uuid, p_depends_on uuid[], p_corrects uuid, p_storage_path text default null
)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
set jit = off
as $$
declare
  v_target   record;
  v_org_id   uuid;
  v_parent   public.import_batches; -- which this one corrects
  v_dataset  public.datasets;
  v_mode     public.import_mode;
  v_batch    public.import_batches;
  v_template public.import_templates;
  v_options  jsonb;
begin
  select t.* into v_target from private.resolve_target(p_dataset, p_mode, p_org_id, p_corrects) as t;
  v_org_id  := v_target.org_id;
  v_dataset := v_target.dataset;
  v_mode    := v_target.mode;
  v_parent  := v_target.parent;
  perform private.require_own_file(p_storage_path, v_org_id);

  if p_idempotency_key is not null then
    select b.* into v_batch
    from public.import_batches as b
    where b.org_id = v_org_id
      and b.initiated_by is not distinct from auth.uid()
      and b.idempotency_key = p_idempotency_key;
    if found then
      if v_batch.status = 'receiving' and not private.is_receiving(v_batch.id) and not private.is_ingesting(v_batch.id)
        and v_batch.created_at < now() - interval '10 seconds' then
        perform private.fail_upload(v_batch.id); -- its upload is gone: the key is free again
      elsif (v_batch.status = 'receiving' and not private.is_ingesting(v_batch.id))
        or (v_batch.dataset, v_batch.mode) is distinct from (v_dataset.key, v_mode) then
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
    org_id, dataset, mode, source, storage_path, file_name, mapping, template_id, options, initiated_by, idempotency_key, set_id, depends_on,
    corrects
  )
  values (
    v_org_id, v_dataset.key, v_mode, p_source, p_storage_path, p_file_name,
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

-- The path of a file in the bucket imports, if the caller may read it.
create function private.find_stored_file(p_storage_path text)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
begin
  if p_storage_path is not null and not exists (
    select from storage.objects as o where o.bucket_id = 'imports' and o.name = p_storage_path
  ) then
    raise exception using
      errcode = 'PT404',
      message = 'stored file not found',
      hint    = 'Upload it into the bucket imports first; prepare_import_upload says where.';
  end if;
  return p_storage_path;
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
  corrects uuid default null,
  storage_path text default null
)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.create_import(
    create_import.dataset, create_import.mode, create_import.org_id, create_import.file_name, create_import.source,
    create_import.mapping, create_import.options, create_import.idempotency_key, create_import.template_id,
    create_import.set_id, create_import.depends_on, create_import.corrects,
    private.find_stored_file(create_import.storage_path)
  );
$$;
comment on function public.create_import(text, text, uuid, text, text, jsonb, jsonb, text, uuid, uuid, uuid[], uuid, text) is
  'Makes an import that awaits its file; returns its document (see get_import), with "replayed": true where the idempotency key '
  'was used before. mode: insert, update, upsert (default), delete. org_id: the caller''s own unless given; the service key must name it. '
  'template_id: whose mapping and options it takes, but for those that are given here. '
  'set_id: a set of one''s own that it belongs to. depends_on: imports of the organization that must be completed before it is '
  'validated. corrects: the import whose failed rows it brings in again, with the dataset, mode, mapping and options of that one. '
  'storage_path: the file in the bucket imports, where it is there; ingest_import takes it in. '
  'Errors: 22023 (dataset, mode, mapping, options, circle of depends_on), 42501, PT404, PT409 (key in use; nothing to correct).';

revoke all on function public.create_import(text, text, uuid, text, text, jsonb, jsonb, text, uuid, uuid, uuid[], uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function public.create_import(text, text, uuid, text, text, jsonb, jsonb, text, uuid, uuid, uuid[], uuid, text)
  to authenticated, service_role;

revoke all on all functions in schema private from public;
grant execute on function
  private.find_stored_file(text),
  private.create_import(text, text, uuid, text, text, jsonb, jsonb, text, uuid, uuid, uuid[], uuid, text)
  to authenticated, service_role;
