-- Templates: saved mappings and options, of an organization or for all, in versions that stay readable.
-- Needs: imports, imports_plan.
-- Exposes: import_templates, save_import_template, list_import_templates, get_import_template, delete_import_template.

create table public.import_templates (
  id          uuid primary key default gen_random_uuid(),
  org_id      uuid references public.organization (id) on delete cascade,
  dataset     text not null references public.datasets (key),
  name        text not null,
  version     integer not null,
  description text,
  config      jsonb not null,
  columns     text[] not null,
  header_hash text not null generated always as (private.header_hash(columns)) stored,
  created_by  uuid references auth.users (id) on delete set null,
  created_at  timestamptz not null default clock_timestamp(),
  replaced_at timestamptz,
  archived_at timestamptz,

  constraint import_templates_org_id_dataset_name_version_key unique nulls not distinct (org_id, dataset, name, version),
  constraint import_templates_name_check check (name = btrim(name) and length(name) between 1 and 100),
  constraint import_templates_description_check check (length(description) <= 1000),
  constraint import_templates_ended_check check (replaced_at is null or archived_at is null)
);
alter table public.import_templates enable row level security;
comment on table public.import_templates is
  'A version of a saved mapping from a file''s columns to a dataset''s fields. Versions are never changed, so that what ran can be read.';
comment on column public.import_templates.org_id is 'Null: for all organizations.';
comment on column public.import_templates.config is '{ mapping, options }, as an import has them: transforms and defaults inside.';
comment on column public.import_templates.columns is 'Of the file that it was saved from.';
comment on column public.import_templates.header_hash is 'MD5 of the column names: files with the same get this template.';
comment on column public.import_templates.replaced_at is 'When a newer version came.';
comment on column public.import_templates.archived_at is 'When it was deleted: imports that used it still name it.';
create unique index import_templates_current_key
  on public.import_templates (org_id, dataset, name) nulls not distinct
  where replaced_at is null and archived_at is null;
create index import_templates_current_header_idx on public.import_templates (dataset, header_hash)
  where replaced_at is null and archived_at is null;
create index import_templates_dataset_idx on public.import_templates (dataset);
create index import_templates_created_by_idx on public.import_templates (created_by);

alter table public.import_batches
  add constraint import_batches_template_id_fkey foreign key (template_id) references public.import_templates (id);

-- Using ---------------------------------------------------------------------------------------------

create function private.describe_template(p_template public.import_templates)
returns jsonb
language sql immutable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'id', p_template.id, 'org_id', p_template.org_id, 'is_global', p_template.org_id is null,
    'dataset', p_template.dataset, 'name', p_template.name, 'version', p_template.version,
    'is_current', p_template.replaced_at is null and p_template.archived_at is null,
    'description', p_template.description, 'mapping', p_template.config -> 'mapping',
    'options', p_template.config -> 'options', 'columns', p_template.columns, 'header_hash', p_template.header_hash,
    'created_by', p_template.created_by, 'created_at', p_template.created_at,
    'replaced_at', p_template.replaced_at, 'archived_at', p_template.archived_at
  );
$$;

-- The template, if it is for all or of an organization that the caller sees. PT404 also where it is another's.
create function private.find_template(p_template_id uuid)
returns public.import_templates
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_template public.import_templates;
begin
  select t.* into v_template
  from public.import_templates as t
  where t.id = p_template_id
    and (t.org_id is null or t.org_id in (select private.org_ids('viewer')));
  if not found then
    raise exception using errcode = 'PT404', message = 'import template not found';
  end if;
  return v_template;
end;
$$;

-- The template for an import of this organization. An older version may be named; a deleted one may not.
create function private.find_template(p_template_id uuid, p_dataset text, p_org_id uuid)
returns public.import_templates
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_template public.import_templates := private.find_template(p_template_id);
begin
  if v_template.org_id <> p_org_id then
    raise exception using errcode = 'PT404', message = 'import template not found';
  end if;
  if v_template.dataset is distinct from p_dataset then
    raise exception using
      errcode = '22023',
      message = 'template is for another dataset',
      detail  = format('template %s is for %s', to_json(v_template.name), v_template.dataset);
  end if;
  if v_template.archived_at is not null then
    raise exception using
      errcode = 'PT409',
      message = 'template was deleted',
      detail  = format('template %s, version %s', to_json(v_template.name), v_template.version),
      hint    = 'list_import_templates names those that are there.';
  end if;
  return v_template;
end;
$$;

-- The template that an import gets: the one that it names; else, where no mapping was given, one that was saved from
-- a file with the same header, the organization's before those for all, the newest first. None whose fields are gone. Where
-- there are secrets, none that somebody else made: it could show them.
create function private.choose_template(p_batch public.import_batches, p_columns text[])
returns public.import_templates
language sql stable
security invoker
set search_path = ''
as $$
  select t.*
  from public.import_templates as t
  where t.id = p_batch.template_id
    or (
      p_batch.template_id is null
      and p_batch.mapping is null
      and t.dataset = p_batch.dataset
      and t.header_hash = private.header_hash(p_columns)
      and t.replaced_at is null
      and t.archived_at is null
      and (t.org_id = p_batch.org_id or t.org_id is null)
      and (t.org_id is null or t.created_by = p_batch.initiated_by or not private.has_secrets(t.dataset))
      and not exists (
        select from jsonb_object_keys(t.config -> 'mapping') as k
        where k not in (select f.name from public.dataset_fields as f where f.dataset = t.dataset)
      )
    )
  order by t.org_id nulls last, t.created_at desc
  limit 1;
$$;

create function private.require_template_columns(p_template public.import_templates, p_mapping jsonb, p_columns text[])
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_lacking text;
begin
  select string_agg(distinct to_json(c)::text, ', ') into v_lacking
  from jsonb_each(p_mapping) as m
  cross join jsonb_array_elements_text(m.value -> 'columns') as c
  where c <> all (p_columns);
  if v_lacking is not null then
    raise exception using
      errcode = 'PT422',
      message = 'file lacks columns of the template',
      detail  = format('template %s, version %s: no column %s', to_json(p_template.name), p_template.version, v_lacking),
      hint    = 'Map these fields otherwise, or use another template.';
  end if;
end;
$$;

-- The template's mapping with the fields that are given beside it in place of its own; null there leaves a field out.
create function private.template_mapping(p_template public.import_templates, p_columns text[], p_mapping jsonb)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_given   jsonb := private.normalize_mapping(p_template.dataset, p_columns, coalesce(p_mapping, '{}'));
  v_mapping jsonb := (p_template.config -> 'mapping') - array(select jsonb_object_keys(p_mapping));
begin
  if p_columns is not null then
    perform private.require_template_columns(p_template, v_mapping, p_columns);
  end if;
  return private.normalize_mapping(p_template.dataset, p_columns, v_mapping || v_given);
end;
$$;

-- What suggested_mapping says of a template: field to { column or columns, confidence, reason, transforms?, default? }.
create function private.template_suggestion(p_template public.import_templates)
returns jsonb
language sql immutable
security invoker
set search_path = ''
as $$
  select coalesce(jsonb_object_agg(m.key, (
    select jsonb_object_agg(e.key, e.value)
    from jsonb_each(jsonb_build_object(
      'column', case jsonb_array_length(m.value -> 'columns') when 1 then m.value #> '{columns,0}' end,
      'columns', case when jsonb_array_length(m.value -> 'columns') > 1 then m.value -> 'columns' end,
      'confidence', 1,
      'reason', 'template',
      'transforms', nullif(m.value -> 'transforms', '[]'),
      'default', m.value -> 'default'
    )) as e
    where e.value <> 'null'
  )), '{}')
  from jsonb_each(p_template.config -> 'mapping') as m;
$$;

-- Saving and deleting -------------------------------------------------------------------------------

-- Those for all are the system admins' and the service's.
create function private.require_template_right(p_org_id uuid, p_minimum_role public.org_role)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
begin
  if p_org_id is not null then
    perform private.require_org_role(p_org_id, p_minimum_role);
  elsif not (private.is_service_caller() or private.is_system_admin()) then
    raise exception using errcode = '42501', message = 'templates for all organizations are for system admins';
  end if;
end;
$$;

-- Definer: templates are written by Sluice alone. Authorises first.
create function private.save_template(p_import_id uuid, p_name text, p_description text, p_is_global boolean)
returns public.import_templates
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_batch    public.import_batches := private.find_import(p_import_id);
  v_org_id   uuid := case when not p_is_global then v_batch.org_id end;
  v_template public.import_templates;
begin
  perform private.require_template_right(v_org_id, 'member');

  if v_batch.columns is null then
    raise exception using
      errcode = 'PT409',
      message = 'import has no columns yet',
      detail  = format('import %s is %s', v_batch.id, v_batch.status),
      hint    = 'Wait until its file is staged.';
  end if;
  -- What cannot be compiled would fail every import that it is chosen for.
  perform private.field_expressions(f, m.value, v_batch.columns)
  from jsonb_each(v_batch.mapping) as m
  join public.dataset_fields as f on f.dataset = v_batch.dataset and f.name = m.key;

  perform pg_advisory_xact_lock(hashtextextended(format('imports.template:%s:%s:%s', v_org_id, v_batch.dataset, p_name), 0));

  update public.import_templates as t
  set replaced_at = clock_timestamp()
  where t.org_id is not distinct from v_org_id and t.dataset = v_batch.dataset and t.name = p_name
    and t.replaced_at is null and t.archived_at is null
  returning t.* into v_template;

  insert into public.import_templates (org_id, dataset, name, version, description, config, columns, created_by)
  values (
    v_org_id, v_batch.dataset, p_name,
    1 + coalesce((
      select max(t.version) from public.import_templates as t
      where t.org_id is not distinct from v_org_id and t.dataset = v_batch.dataset and t.name = p_name
    ), 0),
    coalesce(p_description, v_template.description),
    jsonb_build_object('mapping', v_batch.mapping, 'options', v_batch.options),
    v_batch.columns, auth.uid()
  )
  returning * into v_template;
  return v_template;
end;
$$;

-- Definer: as above.
create function private.archive_template(p_template_id uuid)
returns public.import_templates
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_template public.import_templates := private.find_template(p_template_id);
begin
  perform private.require_template_right(v_template.org_id, 'admin');

  update public.import_templates as t
  set archived_at = clock_timestamp()
  where t.id = p_template_id and t.replaced_at is null and t.archived_at is null
  returning t.* into v_template;
  if not found then
    raise exception using
      errcode = 'PT409',
      message = 'template is not the current version',
      detail  = format('template %s', p_template_id),
      hint    = 'It was replaced or deleted before. list_import_templates names the current ones.';
  end if;
  return v_template;
end;
$$;

-- RPCs ----------------------------------------------------------------------------------------------

create function public.save_import_template(
  import_id uuid, name text, description text default null, is_global boolean default false
)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.describe_template(t)
  from private.save_template(
    save_import_template.import_id, btrim(save_import_template.name), save_import_template.description,
    coalesce(save_import_template.is_global, false)
  ) as t;
$$;
comment on function public.save_import_template(uuid, text, text, boolean) is
  'Saves mapping and options of an import under a name, for later files like it; returns the template. Under a name that is there it '
  'makes the next version and retires the one before. is_global: for all organizations (system admins). '
  'Errors: 22023 (transform), 23502 or 23514 (name), 42501, PT404, PT409 (no file yet).';

create function public.list_import_templates(dataset text default null)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object('templates', coalesce(
    jsonb_agg(private.describe_template(t) order by t.dataset, t.org_id nulls last, t.name), '[]'))
  from public.import_templates as t
  where t.replaced_at is null
    and t.archived_at is null
    and (list_import_templates.dataset is null or t.dataset = list_import_templates.dataset);
$$;
comment on function public.list_import_templates(text) is
  'The current templates of the caller''s organization and those for all: { templates: [as get_import_template] }.';

create function public.get_import_template(template_id uuid)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select private.describe_template(t) from private.find_template(get_import_template.template_id) as t;
$$;
comment on function public.get_import_template(uuid) is
  'A version of a template, also one that was replaced or deleted: { id, org_id, is_global, dataset, name, version, is_current, '
  'description, mapping, options, columns, header_hash, created_by, created_at, replaced_at, archived_at }. Errors: PT404.';

create function public.delete_import_template(template_id uuid)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.describe_template(t) from private.archive_template(delete_import_template.template_id) as t;
$$;
comment on function public.delete_import_template(uuid) is
  'Takes a template out of use, given its current version; returns it. Imports that used it still name it, and it stays readable. '
  'Errors: 42501, PT404, PT409 (not the current version).';

-- Policies and grants -------------------------------------------------------------------------------

create policy import_templates_select_viewer on public.import_templates
  for select to authenticated
  using (org_id is null or org_id = any (array(select private.org_ids('viewer'))));

revoke all on public.import_templates from public, anon, authenticated, service_role;
grant select on public.import_templates to authenticated, service_role;

revoke all on function
  public.save_import_template(uuid, text, text, boolean), public.list_import_templates(text),
  public.get_import_template(uuid), public.delete_import_template(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.save_import_template(uuid, text, text, boolean), public.list_import_templates(text),
  public.get_import_template(uuid), public.delete_import_template(uuid)
  to authenticated, service_role;

revoke all on all functions in schema private from public;
grant execute on function
  private.describe_template(public.import_templates), private.find_template(uuid),
  private.choose_template(public.import_batches, text[]), private.template_suggestion(public.import_templates),
  private.save_template(uuid, text, text, boolean), private.archive_template(uuid)
  to authenticated, service_role;
