-- Sync: where an organization's data comes from, when it is fetched, and with which secrets.
-- Needs: tenancy, activity, datasets, imports_templates, imports_create, pg_cron, Vault.
-- Exposes: sync_sources, sync_schedule, and the RPCs that make, change, delete and list them; the RPCs for secrets.

create type public.sync_source_kind as enum ('manual', 'http_csv', 'http_json', 'storage', 'foreign_table');
create type public.sync_mode as enum ('upsert', 'mirror');
create type public.sync_overlap as enum ('skip', 'wait');
comment on type public.sync_source_kind is
  'manual: somebody uploads it; http_csv, http_json: fetched from an address; storage: a file in the bucket imports; '
  'foreign_table: a table that the database administrator allowed.';
comment on type public.sync_mode is
  'upsert: records are made and changed; mirror: those that the source delivered before and no longer has are deleted, too.';
comment on type public.sync_overlap is 'What becomes of a run that is due while another of its source is under way.';

-- Tables ------------------------------------------------------------------------------------------

create table public.sync_sources (
  id                 uuid primary key default gen_random_uuid(),
  org_id             uuid not null references public.organization (id) on delete cascade,
  name               text not null,
  notes              text,
  dataset            text not null references public.datasets (key),
  kind               public.sync_source_kind not null,
  location           text,
  secret_name        text,
  options            jsonb not null default '{}',
  mode               public.sync_mode not null default 'upsert',
  max_delete_percent numeric(5,2) not null default 10,
  requires_approval  boolean not null default false,
  overlap            public.sync_overlap not null default 'skip',
  template_id        uuid references public.import_templates (id),
  mapping            jsonb,
  import_options     jsonb not null default '{}',
  owner              uuid references auth.users (id) on delete set null,
  is_active          boolean not null default true,
  state              jsonb not null default '{}',
  created_by         uuid references auth.users (id) on delete set null,
  created_at         timestamptz not null default now(),
  updated_at         timestamptz not null default now(),

  constraint sync_sources_org_id_name_key unique (org_id, name),
  constraint sync_sources_name_check check (length(btrim(name)) between 1 and 255),
  constraint sync_sources_notes_check check (length(notes) <= 10000),
  constraint sync_sources_location_check check ((kind = 'manual') = (location is null) and length(location) between 1 and 2000),
  constraint sync_sources_secret_name_check check (secret_name ~ '^[a-z0-9_-]{1,63}$'),
  constraint sync_sources_max_delete_percent_check check (max_delete_percent between 0 and 100)
);
alter table public.sync_sources enable row level security;
comment on table public.sync_sources is 'The register of where an organization''s data comes from. Read by admins, written by RPCs.';
comment on column public.sync_sources.location is
  'An address; a path in the bucket imports, that of a folder with a slash at its end; a table with its schema. Null of manual ones.';
comment on column public.sync_sources.secret_name is 'A secret of the organization (set_sync_secret), sent as options.auth says.';
comment on column public.sync_sources.options is
  'How it is asked and read. See docs/sync.md: auth, auth_header, auth_user, headers; delimiter, quote, encoding, header; '
  'path, next, cursor, cursor_parameter.';
comment on column public.sync_sources.max_delete_percent is
  'Of the records that the source has delivered. A mirror that would delete more stops and asks.';
comment on column public.sync_sources.requires_approval is 'Nothing is applied before an admin has approved it.';
comment on column public.sync_sources.mapping is 'As of an import. Where neither this nor a template is given, what the first run found out.';
comment on column public.sync_sources.import_options is 'duplicates, on_error, blank: as of an import.';
comment on column public.sync_sources.owner is 'Whose rights its runs work with: an admin of the organization, or a system admin.';
comment on column public.sync_sources.state is
  'What the last completed run found: etag, last_modified, content_hash, columns, row_count, object. The next one asks for what is newer.';
create index sync_sources_dataset_idx on public.sync_sources (dataset);
create index sync_sources_template_id_idx on public.sync_sources (template_id);
create index sync_sources_owner_idx on public.sync_sources (owner);
create index sync_sources_created_by_idx on public.sync_sources (created_by);

create trigger _100_touch_updated_at
  before update on public.sync_sources
  for each row execute function private.tg__touch_updated_at();

create table public.sync_schedule (
  id              uuid primary key default gen_random_uuid(),
  org_id          uuid not null references public.organization (id) on delete cascade,
  source_id       uuid not null references public.sync_sources (id) on delete cascade,
  cron_expression text not null,
  is_enabled      boolean not null default true,
  notes           text,
  created_by      uuid references auth.users (id) on delete set null,
  created_at      timestamptz not null default now(),
  updated_at      timestamptz not null default now(),

  constraint sync_schedule_source_id_cron_expression_key unique (source_id, cron_expression),
  constraint sync_schedule_notes_check check (length(notes) <= 10000)
);
alter table public.sync_schedule enable row level security;
comment on table public.sync_schedule is 'When sources are synced. Each is the job sync.run_<id> of pg_cron while it is enabled.';
comment on column public.sync_schedule.cron_expression is 'Minute, hour, day of the month, month, day of the week, as pg_cron reads it: in UTC, all year.';
create index sync_schedule_org_id_idx on public.sync_schedule (org_id);
create index sync_schedule_created_by_idx on public.sync_schedule (created_by);

create trigger _100_touch_updated_at
  before update on public.sync_schedule
  for each row execute function private.tg__touch_updated_at();

create table private.foreign_tables (
  org_id   uuid not null references public.organization (id) on delete cascade,
  relation text not null,

  primary key (org_id, relation)
);
comment on table private.foreign_tables is 'What an organization may sync from. It reads all of it: allow one that holds its rows alone.';

insert into private.setting_definitions (key, value_type, minimum, maximum, default_value, set_by, description) values
  ('sync.sources_per_organization', 'number', 0, 10000, '50', 'system_admin', 'Sources that an organization may have.'),
  ('sync.schedules_per_organization', 'number', 0, 10000, '20', 'system_admin', 'Schedules that an organization may have.');

-- Secrets -----------------------------------------------------------------------------------------

-- The one place where the name is built: nobody names a secret of Vault in full, so nobody reaches another's.
create function private.sync_secret_name(p_org_id uuid, p_name text)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select format('sluice/org/%s/%s', p_org_id, p_name);
$$;

-- For the tasks that need it; never for clients.
create function private.read_sync_secret(p_org_id uuid, p_name text)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_value text;
begin
  select s.decrypted_secret into v_value
  from vault.decrypted_secrets as s
  where s.name = private.sync_secret_name(p_org_id, p_name);
  if not found then
    raise exception using
      errcode = 'SY004',
      message = 'secret of the source is missing',
      detail  = format('secret %s', p_name),
      hint    = 'An admin of the organization sets it (set_sync_secret).';
  end if;
  return v_value;
end;
$$;

-- Definer: Vault is closed to callers. Authorises first.
create function private.write_sync_secret(p_org_id uuid, p_name text, p_value text)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  c_longest constant integer := 8192;
  v_org_id uuid := private.resolve_organization(p_org_id);
  v_name   text := private.sync_secret_name(v_org_id, p_name);
begin
  perform private.require_org_role(v_org_id, 'admin');
  if (p_name ~ '^[a-z0-9_-]{1,63}$') is not true then
    raise exception using
      errcode = '22023',
      message = 'name of the secret is out of form',
      hint    = 'Up to 63 lower case letters, digits, hyphens and underscores.';
  elsif (length(p_value) between 1 and c_longest and p_value !~ '[\x01-\x1f\x7f]') is not true then
    raise exception using
      errcode = '22023',
      message = 'value of the secret is out of form',
      hint    = format('1 to %s characters on one line: it goes into a header.', c_longest);
  end if;

  perform private.lock_organization(v_org_id); -- two that set it at once
  if exists (select from vault.secrets as s where s.name = v_name) then
    perform vault.update_secret(s.id, p_value) from vault.secrets as s where s.name = v_name;
  else
    perform vault.create_secret(p_value, v_name);
  end if;
  perform private.log_activity(v_org_id, 'other', 'updated', 'completed', null, jsonb_build_object('secret', p_name));
end;
$$;

-- Definer: as above.
create function private.remove_sync_secret(p_org_id uuid, p_name text)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_org_id uuid := private.resolve_organization(p_org_id);
begin
  perform private.require_org_role(v_org_id, 'admin');
  delete from vault.secrets as s where s.name = private.sync_secret_name(v_org_id, p_name) and p_name !~ '/';
  if not found then
    raise exception using errcode = 'PT404', message = 'secret not found';
  end if;
  perform private.log_activity(v_org_id, 'other', 'deleted', 'completed', null, jsonb_build_object('secret', p_name));
end;
$$;

-- Definer: as above. Names and times only.
create function private.read_sync_secrets(p_org_id uuid)
returns table (name text, updated_at timestamptz)
language plpgsql stable
security definer
set search_path = ''
as $$
declare
  v_org_id uuid := private.resolve_organization(p_org_id);
  v_prefix text := private.sync_secret_name(v_org_id, '');
begin
  perform private.require_org_role(v_org_id, 'admin');
  return query
  select substr(s.name, length(v_prefix) + 1), s.updated_at
  from vault.secrets as s
  where starts_with(s.name, v_prefix) and substr(s.name, length(v_prefix) + 1) !~ '/'
  order by s.name;
end;
$$;

-- Definer: what Vault keeps for an organization goes with it.
create function private.tg_organization__drop_secrets()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  delete from vault.secrets as s where starts_with(s.name, private.sync_secret_name(old.id, ''));
  return null;
end;
$$;

create trigger _500_drop_secrets
  after delete on public.organization
  for each row execute function private.tg_organization__drop_secrets();

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
    when lower(p_options ->> 'auth_header') ~ '^(host|connection|content-length|transfer-encoding)$' then 'auth_header'
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
    when p_source.kind in ('http_csv', 'http_json') then p_source.location ~* '^https?://[^@/?#\\\s]+([/?#]\S*)?$'
    when p_source.kind = 'storage' then
      starts_with(p_source.location, p_source.org_id || '/') and p_source.location !~ '(^|/)\.{1,2}(/|$)|//|[\x01-\x1f]'
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
  select (p_old.dataset, p_old.kind, p_old.location, p_old.options, p_old.mode, p_old.template_id, p_old.mapping, p_old.import_options)
    is not distinct from
    (p_new.dataset, p_new.kind, p_new.location, p_new.options, p_new.mode, p_new.template_id, p_new.mapping, p_new.import_options);
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

-- Schedules ---------------------------------------------------------------------------------------

-- pg_cron reads the expression; what it says of a bad one is passed on. Finer than a minute is refused.
create function private.schedule_sync(p_schedule public.sync_schedule)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_hint text;
begin
  if p_schedule.cron_expression ~* 'second' or p_schedule.cron_expression ~ '^\s*@reboot' or length(p_schedule.cron_expression) > 200 then
    raise exception using
      errcode = '22023',
      message = 'schedule is not allowed',
      detail  = left(p_schedule.cron_expression, 200),
      hint    = 'Five fields, at least a minute apart, in UTC: */15 * * * * is each quarter of an hour.';
  end if;

  begin
    perform cron.schedule('sync.run_' || p_schedule.id, p_schedule.cron_expression,
      format('select private.run_schedule(%L)', p_schedule.id));
  exception when invalid_parameter_value then
    get stacked diagnostics v_hint = pg_exception_hint;
    raise exception using
      errcode = '22023',
      message = 'schedule is not understood',
      detail  = sqlerrm,
      hint    = coalesce(nullif(v_hint, ''), 'Five fields, in UTC: minute, hour, day, month, day of the week.');
  end;
  if not p_schedule.is_enabled then
    perform cron.unschedule('sync.run_' || p_schedule.id);
  end if;
end;
$$;

-- Definer: the schedules of an organization that goes, too.
create function private.tg_sync_schedule__unschedule()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform cron.unschedule(j.jobid) from cron.job as j where j.jobname = 'sync.run_' || old.id;
  return null;
end;
$$;

create trigger _500_unschedule
  after delete on public.sync_schedule
  for each row execute function private.tg_sync_schedule__unschedule();

create function private.find_sync_schedule(p_schedule_id uuid)
returns public.sync_schedule
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_schedule public.sync_schedule;
begin
  select h.* into v_schedule
  from public.sync_schedule as h
  where h.id = p_schedule_id and h.org_id in (select private.org_ids('admin'));
  if not found then
    raise exception using errcode = 'PT404', message = 'sync schedule not found';
  end if;
  return v_schedule;
end;
$$;

-- Definer: schedules are written by Sluice alone, and pg_cron is postgres' alone. Authorises first.
create function private.create_sync_schedule(p_source_id uuid, p_cron_expression text, p_is_enabled boolean, p_notes text)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_source   public.sync_sources := private.find_sync_source(p_source_id);
  v_most     integer := private.setting('sync.schedules_per_organization', v_source.org_id)::integer;
  v_schedule public.sync_schedule;
begin
  if v_source.kind = 'manual' then
    raise exception using
      errcode = 'PT409',
      message = 'source is fed by hand',
      detail  = format('source %s', v_source.id),
      hint    = 'Upload its file (POST /imports).';
  end if;

  perform private.lock_organization(v_source.org_id);
  if (select count(*) from public.sync_schedule as h where h.org_id = v_source.org_id) >= v_most then
    raise exception using
      errcode = 'PT429',
      message = 'organization has too many schedules',
      detail  = format('%s are allowed', v_most),
      hint    = 'Delete one, or have sync.schedules_per_organization raised.';
  end if;

  insert into public.sync_schedule (org_id, source_id, cron_expression, is_enabled, notes, created_by)
  values (v_source.org_id, v_source.id, btrim(p_cron_expression), coalesce(p_is_enabled, true), p_notes, auth.uid())
  returning * into v_schedule;
  perform private.schedule_sync(v_schedule);
  perform private.log_source_activity(v_source, 'updated', jsonb_build_object('schedule', v_schedule.cron_expression));
  return private.describe_sync_schedule(v_schedule);
end;
$$;

-- Definer: as above.
create function private.change_sync_schedule(p_schedule_id uuid, p_cron_expression text, p_is_enabled boolean, p_notes text)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_schedule public.sync_schedule := private.find_sync_schedule(p_schedule_id);
begin
  update public.sync_schedule as h
  set cron_expression = coalesce(btrim(p_cron_expression), h.cron_expression),
      is_enabled      = coalesce(p_is_enabled, h.is_enabled),
      notes           = coalesce(p_notes, h.notes)
  where h.id = v_schedule.id
  returning h.* into v_schedule;
  perform private.schedule_sync(v_schedule);
  perform private.log_source_activity(
    s, 'updated', jsonb_build_object('schedule', v_schedule.cron_expression, 'is_enabled', v_schedule.is_enabled))
  from public.sync_sources as s where s.id = v_schedule.source_id;
  return private.describe_sync_schedule(v_schedule);
end;
$$;

-- Definer: as above.
create function private.delete_sync_schedule(p_schedule_id uuid)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_schedule public.sync_schedule := private.find_sync_schedule(p_schedule_id);
begin
  delete from public.sync_schedule as h where h.id = v_schedule.id;
  perform private.log_source_activity(s, 'deleted', jsonb_build_object('schedule', v_schedule.cron_expression))
  from public.sync_sources as s where s.id = v_schedule.source_id;
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
  'it is read has the next run fetch all of it. Returns the source. Errors: as of create_sync_source, PT409 (dataset).';

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

create function public.create_sync_schedule(
  source_id uuid, cron_expression text, is_enabled boolean default true, notes text default null
)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.create_sync_schedule(
    create_sync_schedule.source_id, create_sync_schedule.cron_expression, create_sync_schedule.is_enabled, create_sync_schedule.notes);
$$;
comment on function public.create_sync_schedule(uuid, text, boolean, text) is
  'Has a source synced by schedule: minute, hour, day of the month, month, day of the week, in UTC. Returns the schedule. '
  'Errors: 22023 (with what pg_cron says), 23505 (there already), PT404, PT409 (manual source), PT429 (too many).';

create function public.change_sync_schedule(
  schedule_id uuid, cron_expression text default null, is_enabled boolean default null, notes text default null
)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.change_sync_schedule(
    change_sync_schedule.schedule_id, change_sync_schedule.cron_expression, change_sync_schedule.is_enabled, change_sync_schedule.notes);
$$;
comment on function public.change_sync_schedule(uuid, text, boolean, text) is
  'Changes what is given; is_enabled false stops it. Returns the schedule. Errors: 22023, 23505, PT404.';

create function public.delete_sync_schedule(schedule_id uuid)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select private.delete_sync_schedule(delete_sync_schedule.schedule_id);
$$;
comment on function public.delete_sync_schedule(uuid) is 'Deletes a schedule; runs that it began go on. Errors: PT404.';

create function public.list_sync_schedules(source_id uuid default null)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object('schedules', coalesce(jsonb_agg(private.describe_sync_schedule(h) order by h.created_at), '[]'))
  from public.sync_schedule as h
  where h.org_id in (select private.org_ids('admin'))
    and (list_sync_schedules.source_id is null or h.source_id = list_sync_schedules.source_id);
$$;
comment on function public.list_sync_schedules(uuid) is
  'Schedules of organizations where the caller is an admin, of one source where given: '
  '{ schedules: [{ id, org_id, source_id, cron_expression, time_zone, is_enabled, notes, created_by, created_at, updated_at }] }.';

create function public.set_sync_secret(name text, value text, org_id uuid default null)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select private.write_sync_secret(set_sync_secret.org_id, set_sync_secret.name, set_sync_secret.value);
$$;
comment on function public.set_sync_secret(text, text, uuid) is
  'Keeps a secret of the organization in Vault, for its sources to name, or replaces it; it cannot be read again. For admins. '
  'Errors: 22023, 42501, PT404.';

create function public.delete_sync_secret(name text, org_id uuid default null)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select private.remove_sync_secret(delete_sync_secret.org_id, delete_sync_secret.name);
$$;
comment on function public.delete_sync_secret(text, uuid) is 'Deletes a secret; runs of sources that name it fail. For admins. Errors: 42501, PT404.';

create function public.list_sync_secrets(org_id uuid default null)
returns table (name text, updated_at timestamptz)
language sql stable
security invoker
set search_path = ''
as $$
  select s.* from private.read_sync_secrets(list_sync_secrets.org_id) as s;
$$;
comment on function public.list_sync_secrets(uuid) is 'Names of the organization''s secrets, never their values. For admins. Errors: 42501, PT404.';

-- Policies and grants -----------------------------------------------------------------------------

create policy sync_sources_select_admin on public.sync_sources
  for select to authenticated
  using (org_id = any (array(select private.org_ids('admin'))));
-- Closed twice: no grant, and no row, should a later grant slip in.
create policy sync_sources_insert on public.sync_sources
  for insert to authenticated with check (false);
create policy sync_sources_update on public.sync_sources
  for update to authenticated using (false);
create policy sync_sources_delete on public.sync_sources
  for delete to authenticated using (false);

create policy sync_schedule_select_admin on public.sync_schedule
  for select to authenticated
  using (org_id = any (array(select private.org_ids('admin'))));
create policy sync_schedule_insert on public.sync_schedule
  for insert to authenticated with check (false);
create policy sync_schedule_update on public.sync_schedule
  for update to authenticated using (false);
create policy sync_schedule_delete on public.sync_schedule
  for delete to authenticated using (false);

revoke all on public.sync_sources, public.sync_schedule from public, anon, authenticated, service_role;
grant select on public.sync_sources, public.sync_schedule to authenticated, service_role;

revoke all on function
  public.create_sync_source(jsonb, uuid), public.change_sync_source(uuid, jsonb), public.get_sync_source(uuid),
  public.list_sync_sources(uuid), public.create_sync_schedule(uuid, text, boolean, text),
  public.change_sync_schedule(uuid, text, boolean, text), public.delete_sync_schedule(uuid), public.list_sync_schedules(uuid),
  public.set_sync_secret(text, text, uuid), public.delete_sync_secret(text, uuid), public.list_sync_secrets(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.create_sync_source(jsonb, uuid), public.change_sync_source(uuid, jsonb), public.get_sync_source(uuid),
  public.list_sync_sources(uuid), public.create_sync_schedule(uuid, text, boolean, text),
  public.change_sync_schedule(uuid, text, boolean, text), public.delete_sync_schedule(uuid), public.list_sync_schedules(uuid),
  public.set_sync_secret(text, text, uuid), public.delete_sync_secret(text, uuid), public.list_sync_secrets(uuid)
  to authenticated, service_role;

revoke all on private.foreign_tables from public, anon, authenticated, service_role;
revoke all on all functions in schema private from public;
grant execute on function
  private.find_sync_source(uuid), private.describe_sync_source(public.sync_sources), private.describe_sync_schedule(public.sync_schedule),
  private.create_sync_source(jsonb, uuid), private.change_sync_source(uuid, jsonb),
  private.create_sync_schedule(uuid, text, boolean, text), private.change_sync_schedule(uuid, text, boolean, text),
  private.delete_sync_schedule(uuid),
  private.write_sync_secret(uuid, text, text), private.remove_sync_secret(uuid, text), private.read_sync_secrets(uuid)
  to authenticated, service_role;
