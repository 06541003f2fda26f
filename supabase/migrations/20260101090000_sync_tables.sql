-- Sync: where an organization's data comes from, and when it is fetched.
-- Needs: tenancy, datasets, imports_templates.
-- Exposes: sync_sources, sync_schedule.

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
revoke all on private.foreign_tables from public, anon, authenticated, service_role;
