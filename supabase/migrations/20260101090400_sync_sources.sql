-- Sync sources: what they are told, checked when it is told; the tables that organizations may sync from.
-- Needs: sync_tables, activity, datasets, imports_templates, imports_create.
-- Exposes: create_sync_source, change_sync_source, get_sync_source, list_sync_sources.

-- Foreign tables ----------------------------------------------------------------------------------

-- For the database administrator: the organization may sync from this table or view, all of whose rows it gets.
create function private.allow_foreign_table(p_org_id uuid, p_relation regclass)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  insert into private.foreign_tables (org_id, relation)
  select p_org_id, format('%I.%I', n.nspname, c.relname)
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
  where c.oid = p_relation
  on conflict do nothing;
$$;

create function private.forbid_foreign_table(p_org_id uuid, p_relation text)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  delete from private.foreign_tables as f where f.org_id = p_org_id and f.relation = p_relation;
$$;

-- Sources -----------------------------------------------------------------------------------------

-- What a kind of source can be told, by name; each with what its value must look like.
create function private.check_source_options(p_kind public.sync_source_kind, p_options jsonb)
returns void
language plpgsql immutable
security invoker
set search_path = ''
as $$
declare
  c_format  constant jsonb := '{
    "delimiter": "^[,;\t|]$", "quote": "^[\"'']$", "encoding": "^(utf-8|utf-16le|utf-16be|windows-1252)$", "header": null
  }';
  c_request constant jsonb := '{
    "auth": "^(bearer|basic|header)$", "auth_header": "^[A-Za-z0-9-]{1,100}$", "auth_user": "^[^:\\x00-\\x1f]{1,255}$", "headers": null
  }';
  c_pages   constant jsonb := '{
    "path": "^[^\\x00-\\x1f]{1,255}$", "next": "^[^\\x00-\\x1f]{1,255}$", "cursor": "^[^\\x00-\\x1f]{1,255}$",
    "cursor_parameter": "^[A-Za-z0-9_.\\[\\]-]{1,100}$"
  }';
  -- which a redirect to somebody else takes along
  c_told    constant text := '^(accept|accept-language|if-modified-since|if-none-match|range|user-agent)$';
  c_ours    constant text := '^(authorization|apikey|host|connection|content-length|transfer-encoding|cookie|accept-encoding|if-none-match|if-modified-since|range)$';
  v_known   jsonb := case p_kind
    when 'http_csv' then c_request || c_format
    when 'http_json' then c_request || c_pages
    when 'storage' then c_format
    else '{}'
  end;
  v_wrong   text;
begin
  if jsonb_typeof(p_options) is distinct from 'object' then
    raise exception using errcode = '22023', message = 'options must be an object';
  end if;

  select format('%s: %s', o.key, left(o.value::text, 200)) into v_wrong
  from jsonb_each(p_options) as o
  where not v_known ? o.key
    or case o.key
      when 'header' then jsonb_typeof(o.value) <> 'boolean'
      when 'headers' then jsonb_typeof(o.value) <> 'object' or length(o.value::text) > 4000 or exists (
        select from jsonb_each(case when jsonb_typeof(o.value) = 'object' then o.value else '{}' end) as h
        where h.key !~ '^[A-Za-z0-9-]{1,100}$' or lower(h.key) ~ c_ours
          or jsonb_typeof(h.value) <> 'string' or (h.value #>> '{}') ~ '[\x01-\x1f\x7f]'
      )
      else jsonb_typeof(o.value) <> 'string' or (o.value #>> '{}') !~ (v_known ->> o.key)
    end
  limit 1;
  v_wrong := coalesce(v_wrong, case
    when p_options ->> 'auth' = 'basic' and not p_options ? 'auth_user' then 'auth basic needs auth_user'
    when p_options ->> 'auth' = 'header' and not p_options ? 'auth_header' then 'auth header needs auth_header'
    when p_options ? 'cursor' <> p_options ? 'cursor_parameter' then 'cursor and cursor_parameter come together'
    when p_options ?& '{cursor,next}' then 'next and cursor exclude each other'
    when lower(p_options ->> 'auth_header') ~ '^(host|connection|content-length|transfer-encoding)$'
      or lower(p_options ->> 'auth_header') ~ c_told then 'auth_header'
  end);
  if v_wrong is not null then
    raise exception using
      errcode = '22023',
      message = 'option of the source is not understood',
      detail  = v_wrong,
      hint    = case when v_known = '{}' then format('A source of kind %s has none.', p_kind)
        else format('A source of kind %s knows: %s.', p_kind, (select string_agg(k, ', ' order by k) from jsonb_object_keys(v_known) as k)) end;
  end if;
end;
$$;

create function private.check_source_location(p_source public.sync_sources)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_right boolean;
begin
  v_right := case
    when p_source.kind = 'manual' then p_source.location is null
    when p_source.kind in ('http_csv', 'http_json') then private.is_outbound_url(p_source.location)
    when p_source.kind = 'storage' then private.is_own_path(p_source.location, p_source.org_id)
    else exists (
      select from private.foreign_tables as f where f.org_id = p_source.org_id and f.relation = p_source.location
    )
  end;
  if v_right is not true then
    raise exception using
      errcode = '22023',
      message = 'location of the source is not allowed',
      detail  = left(coalesce(p_source.location, 'none'), 200),
      hint    = case p_source.kind
        when 'manual' then 'A manual source has none.'
        when 'storage' then format('A path in the bucket imports, which begins with %s/.', p_source.org_id)
        when 'foreign_table' then 'The database administrator allows tables one by one: select private.allow_foreign_table(<organization>, ''<schema>.<table>'').'
        else 'An address that begins with http:// or https://, without user and password in it: those are a secret.'
      end;
  end if;
end;
$$;

-- The source with changes, checked: what cannot be run is refused now. The caller sees the organization.
create function private.changed_source(p_source public.sync_sources, p_changes jsonb)
returns public.sync_sources
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  c_changes constant text[] := '{name,notes,dataset,kind,location,secret_name,options,mode,max_delete_percent,requires_approval,'
    'overlap,template_id,mapping,import_options,owner,is_active}';
  v_wrong  text;
  v_source public.sync_sources;
  v_dataset public.datasets;
begin
  if jsonb_typeof(p_changes) is distinct from 'object' then
    raise exception using errcode = '22023', message = 'source must be an object';
  end if;

  select format('%s: %s', c.key, left(c.value::text, 200)) into v_wrong
  from jsonb_each(p_changes) as c
  where c.key <> all (c_changes)
    or case c.key
      when 'kind' then not pg_input_is_valid(c.value #>> '{}', 'public.sync_source_kind')
      when 'mode' then not pg_input_is_valid(c.value #>> '{}', 'public.sync_mode')
      when 'overlap' then not pg_input_is_valid(c.value #>> '{}', 'public.sync_overlap')
      when 'max_delete_percent' then jsonb_typeof(c.value) <> 'number'
      when 'requires_approval' then jsonb_typeof(c.value) <> 'boolean'
      when 'is_active' then jsonb_typeof(c.value) <> 'boolean'
      when 'template_id' then not pg_input_is_valid(c.value #>> '{}', 'uuid')
      when 'owner' then not pg_input_is_valid(c.value #>> '{}', 'uuid')
      when 'options' then jsonb_typeof(c.value) <> 'object'
      when 'import_options' then jsonb_typeof(c.value) <> 'object'
      when 'mapping' then jsonb_typeof(c.value) not in ('object', 'null')
      else jsonb_typeof(c.value) not in ('string', 'null')
    end is true
  limit 1;
  if v_wrong is not null then
    raise exception using
      errcode = '22023',
      message = 'property of the source is not understood',
      detail  = v_wrong,
      hint    = format('Properties are: %s.', array_to_string(c_changes, ', '));
  end if;

  v_source := jsonb_populate_record(p_source, p_changes - 'mapping');
  if p_changes ? 'mapping' then
    v_source.mapping := nullif(p_changes -> 'mapping', 'null'); -- jsonb_populate_record keeps a JSON null
  end if;

  select d.* into v_dataset from public.datasets as d where d.key = v_source.dataset;
  if not found then
    raise exception using
      errcode = '22023',
      message = 'dataset is unknown',
      detail  = format('no dataset %s', coalesce(to_json(v_source.dataset)::text, 'named')),
      hint    = format('Datasets are: %s.', (select string_agg(d.key, ', ' order by d.position) from public.datasets as d));
  elsif not v_dataset.allowed_modes @> (case v_source.mode when 'mirror' then '{upsert,delete}' else '{upsert}' end::public.import_mode[]) then
    raise exception using
      errcode = '22023',
      message = 'mode is not allowed',
      detail  = format('mode %s of dataset %s', v_source.mode, v_source.dataset),
      hint    = format('Allowed are: %s; a mirror needs upsert and delete.', array_to_string(v_dataset.allowed_modes, ', '));
  end if;

  if v_source.kind is null then
    raise exception using errcode = '22023', message = 'kind of the source is required',
      hint = format('One of: %s.', array_to_string(enum_range(null::public.sync_source_kind), ', '));
  end if;
  perform private.check_source_location(v_source), private.check_source_options(v_source.kind, v_source.options),
    private.normalize_options(v_source.import_options);
  if v_source.template_id is not null then
    perform private.find_template(v_source.template_id, v_source.dataset, v_source.org_id);
  end if;
  if v_source.mapping is not null then
    v_source.mapping := private.normalize_mapping(v_source.dataset, null, v_source.mapping);
  end if;
  if v_source.secret_name is not null and not v_source.options ? 'auth' then
    v_source.options := v_source.options || '{"auth": "bearer"}';
    perform private.check_source_options(v_source.kind, v_source.options);
  end if;
  return v_source;
end;
$$;

-- Where no column says whose a row is, the rights of who applies it do: those of a system admin reach all organizations.
create function private.reaches_others(p_dataset text, p_user uuid)
returns boolean
language sql stable
security invoker
set search_path = ''
as $$
  select exists (
    select from public.datasets as d
    cross join public.profiles as p
    where d.key = p_dataset and d.org_column is null and p.id = p_user and p.is_system_admin
  );
$$;

-- Whose rights the runs work with: an admin's.
create function private.require_source_owner(p_source public.sync_sources)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
begin
  if not exists (
    select from public.profiles as p
    where p.id = p_source.owner and p.is_active
      and (p.is_system_admin or (p.org_id = p_source.org_id and p.org_role = 'admin'))
  ) then
    raise exception using
      errcode = '22023',
      message = 'owner of the source must be an admin',
      detail  = format('user %s', coalesce(p_source.owner::text, 'none')),
      hint    = 'Name an active admin of the organization as owner.';
  elsif private.reaches_others(p_source.dataset, p_source.owner) then
    raise exception using
      errcode = '22023',
      message = 'owner of the source must not be a system admin',
      detail  = format('dataset %s', p_source.dataset),
      hint    = 'Its rows may name other organizations, too: name an admin of this one.';
  end if;
end;
$$;

-- What a system admin may is more than an organization's admins may: these neither make one the owner nor change what
-- is fetched in their name.
create function private.require_equal_owner(p_source public.sync_sources)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
begin
  if private.is_service_caller() or private.is_system_admin() or not exists (
    select from public.profiles as p where p.id = p_source.owner and p.is_system_admin
  ) then
    return;
  end if;

  raise exception using
    errcode = '42501',
    message = 'source of a system admin is theirs to change',
    detail  = format('source %s', p_source.id),
    hint    = 'Name another owner.';
end;
$$;

-- The source, if the caller may see it: an admin of its organization. PT404 also where it is another organization's.
create function private.find_sync_source(p_source_id uuid)
returns public.sync_sources
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_source public.sync_sources;
begin
  select s.* into v_source
  from public.sync_sources as s
  where s.id = p_source_id and s.org_id in (select private.org_ids('admin'));
  if not found then
    raise exception using errcode = 'PT404', message = 'sync source not found';
  end if;
  return v_source;
end;
$$;

create function private.describe_sync_schedule(p_schedule public.sync_schedule)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select to_jsonb(p_schedule) || '{"time_zone": "UTC"}';
$$;

create function private.describe_sync_source(p_source public.sync_sources)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select to_jsonb(p_source) || jsonb_build_object('schedules', (
    select coalesce(jsonb_agg(private.describe_sync_schedule(h) order by h.created_at), '[]')
    from public.sync_schedule as h
    where h.source_id = p_source.id
  ));
$$;

create function private.log_source_activity(p_source public.sync_sources, p_action public.sync_action, p_details jsonb default '{}')
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select private.log_activity(
    p_source.org_id, (select d.entity_type from public.datasets as d where d.key = p_source.dataset), p_action, 'completed', p_source.id::text,
    jsonb_build_object('source', p_source.name, 'dataset', p_source.dataset, 'kind', p_source.kind) || p_details
  );
$$;

-- Definer: sources are written by Sluice alone. Authorises first.
create function private.create_sync_source(p_source jsonb, p_org_id uuid)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_source public.sync_sources;
  v_most   integer;
begin
  v_source.org_id := private.resolve_organization(p_org_id);
  perform private.require_org_role(v_source.org_id, 'admin');

  perform private.lock_organization(v_source.org_id); -- two that come at once are counted
  v_most := private.setting('sync.sources_per_organization', v_source.org_id)::integer;
  if (select count(*) from public.sync_sources as s where s.org_id = v_source.org_id) >= v_most then
    raise exception using
      errcode = 'PT429',
      message = 'organization has too many sync sources',
      detail  = format('%s are allowed', v_most),
      hint    = 'Delete one, or have sync.sources_per_organization raised.';
  end if;

  v_source.id := gen_random_uuid();
  v_source.created_by := auth.uid();
  v_source.owner := auth.uid();
  v_source.options := '{}';
  v_source.mode := 'upsert';
  v_source.max_delete_percent := 10;
  v_source.requires_approval := false;
  v_source.overlap := 'skip';
  v_source.import_options := '{}';
  v_source.is_active := true;
  v_source.state := '{}';
  v_source.created_at := now();
  v_source.updated_at := now();
  v_source := private.changed_source(v_source, p_source);
  perform private.require_source_owner(v_source), private.require_equal_owner(v_source);

  insert into public.sync_sources select v_source.*;
  perform private.log_source_activity(v_source, 'created');
  return private.describe_sync_source(v_source);
end;
$$;

-- What it had found belongs to what it was: another place, mapping or mode begins anew.
create function private.keeps_state(p_old public.sync_sources, p_new public.sync_sources)
returns boolean
language sql immutable
security invoker
set search_path = ''
as $$
  select (p_old.dataset, p_old.kind, p_old.location, p_old.secret_name, p_old.options, p_old.mode, p_old.template_id, p_old.mapping, p_old.import_options)
    is not distinct from
    (p_new.dataset, p_new.kind, p_new.location, p_new.secret_name, p_new.options, p_new.mode, p_new.template_id, p_new.mapping, p_new.import_options);
$$;

-- Definer: as above.
create function private.change_sync_source(p_source_id uuid, p_changes jsonb)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_old public.sync_sources := private.find_sync_source(p_source_id);
  v_new public.sync_sources;
begin
  perform private.lock_organization(v_old.org_id); -- before the source, as its runs do
  select s.* into v_old from public.sync_sources as s where s.id = p_source_id for update;
  v_new := private.changed_source(v_old, p_changes);
  if v_new.dataset <> v_old.dataset then
    raise exception using
      errcode = 'PT409',
      message = 'dataset of a source cannot be changed',
      detail  = format('source %s is for %s', v_old.id, v_old.dataset),
      hint    = 'Make another source.';
  end if;
  if v_new.owner is distinct from v_old.owner then
    perform private.require_source_owner(v_new);
  end if;
  if p_changes - '{name,notes,is_active}'::text[] <> '{}' then
    perform private.require_equal_owner(v_new);
  end if;

  update public.sync_sources as s
  set name = v_new.name, notes = v_new.notes, kind = v_new.kind, location = v_new.location, secret_name = v_new.secret_name,
      options = v_new.options, mode = v_new.mode, max_delete_percent = v_new.max_delete_percent,
      requires_approval = v_new.requires_approval, overlap = v_new.overlap, template_id = v_new.template_id,
      mapping = v_new.mapping, import_options = v_new.import_options, owner = v_new.owner, is_active = v_new.is_active,
      state = case when private.keeps_state(v_old, v_new) then s.state else '{}' end
  where s.id = p_source_id
  returning s.* into v_new;
  perform private.log_source_activity(
    v_new, 'updated', jsonb_build_object('changed', array(select k from jsonb_object_keys(p_changes) as k order by k)));
  return private.describe_sync_source(v_new);
end;
$$;

-- RPCs --------------------------------------------------------------------------------------------

create function public.create_sync_source(source jsonb, org_id uuid default null)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.create_sync_source(create_sync_source.source, create_sync_source.org_id);
$$;
comment on function public.create_sync_source(jsonb, uuid) is
  'Registers where data comes from, for admins: { name, dataset, kind, location, notes, secret_name, options, mode, max_delete_percent, '
  'requires_approval, overlap, template_id, mapping, import_options, owner, is_active }, see docs/sync.md. owner: the caller, unless given. '
  'Returns the source with its schedules. Errors: 22023, 23505 (name taken), 23514 (name, percentage out of form), 42501, PT404, PT429 (too many).';

create function public.change_sync_source(source_id uuid, changes jsonb)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.change_sync_source(change_sync_source.source_id, change_sync_source.changes);
$$;
comment on function public.change_sync_source(uuid, jsonb) is
  'Changes properties of a source (see create_sync_source), all but its dataset; is_active false stops it. One that says where data is or how '
  'it is read has the next run fetch all of it. Returns the source. Errors: as of create_sync_source, PT409 (dataset; it is being fetched).';

create function public.get_sync_source(source_id uuid)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select private.describe_sync_source(private.find_sync_source(get_sync_source.source_id));
$$;
comment on function public.get_sync_source(uuid) is 'A source with its schedules, for admins. Errors: PT404.';

create function public.list_sync_sources(org_id uuid default null)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object('sources', coalesce(jsonb_agg(private.describe_sync_source(s) order by s.org_id, s.name), '[]'))
  from public.sync_sources as s
  where s.org_id in (select private.org_ids('admin'))
    and (list_sync_sources.org_id is null or s.org_id = list_sync_sources.org_id);
$$;
comment on function public.list_sync_sources(uuid) is 'Sources of organizations where the caller is an admin: { sources: [as get_sync_source] }.';

revoke all on function
  public.create_sync_source(jsonb, uuid), public.change_sync_source(uuid, jsonb), public.get_sync_source(uuid), public.list_sync_sources(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.create_sync_source(jsonb, uuid), public.change_sync_source(uuid, jsonb), public.get_sync_source(uuid), public.list_sync_sources(uuid)
  to authenticated, service_role;

revoke all on all functions in schema private from public;
grant execute on function
  private.find_sync_source(uuid), private.describe_sync_source(public.sync_sources), private.describe_sync_schedule(public.sync_schedule),
  private.create_sync_source(jsonb, uuid), private.change_sync_source(uuid, jsonb)
  to authenticated, service_role;
