-- Imports: the batch and its states, staged rows, issues, outcomes.
-- Needs: foundation, tenancy, activity, jobs, datasets.
-- Exposes: import_batches, import_sets.

create type public.import_status as enum (
  'receiving', 'staged', 'validating', 'validated', 'committing', 'completed', 'failed', 'cancelled', 'undoing', 'undone'
);
create type private.issue_severity as enum ('warning', 'error');
create type private.issue_origin as enum ('ingest', 'validate', 'dry_run', 'commit', 'undo');
create type private.row_action as enum ('inserted', 'updated', 'deleted');
comment on type public.import_status is
  'receiving (the file is on its way), staged, validating, validated, committing, three ends, and undoing, undone.';

-- Sets --------------------------------------------------------------------------------------------

create table public.import_sets (
  id              uuid primary key default gen_random_uuid(),
  org_id          uuid not null references public.organization (id) on delete cascade,
  name            text,
  created_by      uuid references auth.users (id) on delete set null,
  idempotency_key text,
  created_at      timestamptz not null default now(),

  constraint import_sets_name_check check (length(name) between 1 and 255),
  constraint import_sets_idempotency_key_check check (length(idempotency_key) between 1 and 255)
);
alter table public.import_sets enable row level security;
comment on table public.import_sets is
  'Imports that belong together: each waits for those of the set whose datasets its own refers to.';
comment on column public.import_sets.created_by is 'Who may add imports to it, beside admins; null for the service.';
create index import_sets_org_id_created_at_idx on public.import_sets (org_id, created_at desc);
create index import_sets_created_by_idx on public.import_sets (created_by);
create unique index import_sets_idempotency_key_key
  on public.import_sets (org_id, created_by, idempotency_key) nulls not distinct
  where idempotency_key is not null;

-- Batches -----------------------------------------------------------------------------------------

create table public.import_batches (
  id                uuid primary key default gen_random_uuid(),
  org_id            uuid not null references public.organization (id) on delete cascade,
  dataset           text not null references public.datasets (key),
  mode              public.import_mode not null,
  source            text not null,
  storage_path      text,
  status            public.import_status not null default 'receiving',
  file_name         text,
  content_hash      text,
  byte_size         bigint,
  format            jsonb,
  staged_on         date not null default current_date,
  row_count         integer,
  columns           text[],
  sample            jsonb,
  mapping           jsonb,
  suggested_mapping jsonb,
  template_id       uuid,
  options           jsonb not null default '{}',
  invalid_count     integer,
  skipped_count     integer,
  issue_counts      jsonb not null default '[]',
  error             jsonb,
  initiated_by      uuid references auth.users (id) on delete set null,
  idempotency_key   text,
  set_id            uuid references public.import_sets (id) on delete set null,
  depends_on        uuid[] not null default '{}',
  corrects          uuid references public.import_batches (id) on delete set null,
  duplicate_of      uuid references public.import_batches (id) on delete set null,
  created_at        timestamptz not null default now(),
  staged_at         timestamptz,
  validated_at      timestamptz,
  finished_at       timestamptz,
  redacted_at       timestamptz,

  constraint import_batches_file_name_check check (length(file_name) <= 255),
  constraint import_batches_source_check check (source ~ '^[a-z0-9_-]{1,63}$'),
  constraint import_batches_idempotency_key_check check (length(idempotency_key) between 1 and 255),
  constraint import_batches_staged_at_check check (
    staged_at is null or (row_count is not null and columns is not null and mapping is not null)
  )
);
alter table public.import_batches enable row level security;
comment on table public.import_batches is 'An import: one file on its way into one dataset.';
comment on column public.import_batches.source is 'Where the file came from: api, portal-upload, cli, …';
comment on column public.import_batches.storage_path is 'Its file in the bucket imports, where it came from there.';
comment on column public.import_batches.content_hash is 'SHA-256 of the file as it was sent, in hexadecimal.';
comment on column public.import_batches.format is
  'How its file is written: delimiter, quote, encoding, header; untrimmed: the columns that have blanks around some of their cells.';
comment on column public.import_batches.staged_on is 'Names the weekly partition of its rows, issues and outcomes.';
comment on column public.import_batches.mapping is 'Field name to { columns, transforms, default }.';
comment on column public.import_batches.suggested_mapping is 'Field name to { column, confidence 0 to 1, reason, transforms }.';
comment on column public.import_batches.template_id is 'The version of a template that the mapping comes from.';
comment on column public.import_batches.options is 'duplicates, on_error, blank.';
comment on column public.import_batches.invalid_count is 'Rows that validation found faulty.';
comment on column public.import_batches.skipped_count is 'Rows passed over as duplicates, where options.duplicates says so.';
comment on column public.import_batches.issue_counts is 'After each job: [{ code, severity, field, count }].';
comment on column public.import_batches.error is 'Why it failed: { code, message, details, hint }.';
comment on column public.import_batches.depends_on is 'Imports that must be completed before this one is validated.';
comment on column public.import_batches.corrects is 'The import whose failed rows this one brings in corrected.';
comment on column public.import_batches.duplicate_of is
  'An earlier import of the same file by the same person: it is committed only when that is said twice (force).';
comment on column public.import_batches.redacted_at is
  'When the secrets in its rows were removed without being applied: it cannot be tried again.';
create index import_batches_org_id_status_idx on public.import_batches (org_id, status);
create index import_batches_org_id_created_at_idx on public.import_batches (org_id, created_at desc);
create index import_batches_initiated_by_idx on public.import_batches (initiated_by);
create index import_batches_dataset_idx on public.import_batches (dataset);
create index import_batches_set_id_idx on public.import_batches (set_id);
create index import_batches_corrects_idx on public.import_batches (corrects);
create index import_batches_duplicate_of_idx on public.import_batches (duplicate_of);
create index import_batches_depends_on_idx on public.import_batches using gin (depends_on);
create index import_batches_storage_path_idx on public.import_batches (storage_path) where storage_path is not null;
create index import_batches_content_hash_idx on public.import_batches (org_id, content_hash) where content_hash is not null;
create index import_batches_template_id_idx on public.import_batches (template_id);
create index import_batches_receiving_idx on public.import_batches (created_at) where status = 'receiving';
create unique index import_batches_idempotency_key_key
  on public.import_batches (org_id, initiated_by, idempotency_key) nulls not distinct
  where idempotency_key is not null;

alter table public.scheduled_jobs
  add constraint scheduled_jobs_batch_id_fkey foreign key (batch_id) references public.import_batches (id) on delete cascade;

-- Rows, issues, outcomes --------------------------------------------------------------------------
-- Partitioned by the week of the batch's staged_on, which is in every predicate, and dropped whole.
-- No foreign key to the batch: it would be checked once per row.

-- Append-only, but that secrets are taken out: a row's status is derived, so that no row is written twice.
create table private.import_rows (
  staged_on   date not null,
  batch_id    uuid not null,
  row_number  integer not null,
  line_number integer not null,
  cells       text[] not null,

  primary key (batch_id, row_number, staged_on)
) partition by range (staged_on);
comment on table private.import_rows is 'The rows of files as they were sent. row_number counts from 1 without gaps.';

-- Where several rows make one record. A group is chunked where its first row is.
create table private.import_group_rows (
  staged_on  date not null,
  batch_id   uuid not null,
  first_row  integer not null,
  row_number integer not null,

  primary key (batch_id, first_row, row_number, staged_on)
) partition by range (staged_on);
comment on table private.import_group_rows is 'Rows that belong to a record whose first row is another one.';
create index import_group_rows_batch_id_row_number_idx on private.import_group_rows (batch_id, row_number);

create table private.import_issues (
  id              bigint generated always as identity,
  staged_on       date not null,
  batch_id        uuid not null,
  row_number      integer not null,
  field           text,
  severity        private.issue_severity not null default 'error',
  code            text not null,
  message         text not null,
  value           text,
  origin          private.issue_origin not null,
  sqlstate        text,
  constraint_name text,

  primary key (id, staged_on)
) partition by range (staged_on);
comment on table private.import_issues is
  'What is wrong with rows. An error fails its row; a warning does not, but that a duplicate_in_file is passed over.';
create index import_issues_batch_id_row_number_idx on private.import_issues (batch_id, row_number);

-- One row a chunk. The arrays run in parallel: position n of each is about the same record.
create table private.import_outcomes (
  staged_on       date not null,
  batch_id        uuid not null,
  from_row        integer not null,
  to_row          integer not null,
  row_numbers     integer[] not null,
  actions         private.row_action[] not null,
  record_ids      uuid[] not null,
  row_hashes      bigint[] not null,
  images          jsonb[] not null,
  skipped_rows    integer[] not null,
  inserted_count  integer not null,
  updated_count   integer not null,
  deleted_count   integer not null,
  unchanged_count integer not null,
  refused_count   integer not null,

  primary key (batch_id, from_row, staged_on)
) partition by range (staged_on);
comment on table private.import_outcomes is
  'What became of the rows of a chunk (after from_row, to to_row): those in row_numbers were acted upon; those in '
  'skipped_rows passed over; those with an error issue failed; the others were unchanged.';
comment on column private.import_outcomes.record_ids is
  'Where several rows make one record all of them have its id, and the first of them its hash and image.';
comment on column private.import_outcomes.row_hashes is
  'hash_record_extended over the record as the import left it, as the plan says; null for deleted ones.';
comment on column private.import_outcomes.images is 'The record before it was updated or deleted, as jsonb; null for inserted ones.';
-- Identifiers and hashes do not compress: spare the attempt.
alter table private.import_outcomes alter column record_ids set storage external;
alter table private.import_outcomes alter column row_hashes set storage external;

select private.create_partitions(t, 'week', 3)
from unnest('{private.import_rows, private.import_group_rows, private.import_issues, private.import_outcomes}'::regclass[]) as t;

-- States ------------------------------------------------------------------------------------------

-- The only statement of the import's state machine. Stamps the times, too.
create function private.tg_import_batches__guard_status()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if (old.status, new.status) not in (
    ('receiving', 'staged'), ('receiving', 'failed'), ('receiving', 'cancelled'),
    ('staged', 'validating'), ('staged', 'cancelled'),
    ('validating', 'validated'), ('validating', 'failed'), ('validating', 'cancelled'),
    ('validated', 'staged'), ('validated', 'validating'), ('validated', 'committing'), ('validated', 'cancelled'),
    ('committing', 'completed'), ('committing', 'failed'), ('committing', 'cancelled'),
    ('failed', 'staged'), ('failed', 'validating'), ('failed', 'committing'),
    ('completed', 'undoing'), ('failed', 'undoing'), ('cancelled', 'undoing'), ('undone', 'undoing'),
    ('undoing', 'undone'), ('undoing', 'failed'), ('undoing', 'completed'), ('undoing', 'cancelled') -- back, where nothing could be undone
  ) then
    raise exception using
      errcode = 'PT409',
      message = 'import cannot go on that way',
      detail  = format('import %s: %s to %s', old.id, old.status, new.status);
  end if;

  case new.status
    when 'staged' then
      new.staged_at := coalesce(new.staged_at, clock_timestamp());
      new.validated_at := null;
    when 'validated' then
      new.validated_at := clock_timestamp();
    else null;
  end case;
  new.finished_at := case when new.status in ('completed', 'failed', 'cancelled', 'undone') then clock_timestamp() end;
  if new.status <> 'failed' then
    new.error := null;
  end if;
  return new;
end;
$$;

create trigger _300_guard_status
  before update of status on public.import_batches
  for each row when (old.status is distinct from new.status)
  execute function private.tg_import_batches__guard_status();

-- A key is its person's: without them it may not stand for the service's, nor for that of another who left.
create function private.tg__forget_key()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.idempotency_key := null;
  return new;
end;
$$;

create trigger _100_forget_key
  before update of initiated_by on public.import_batches
  for each row when (new.initiated_by is null)
  execute function private.tg__forget_key();

create trigger _100_forget_key
  before update of created_by on public.import_sets
  for each row when (new.created_by is null)
  execute function private.tg__forget_key();

-- What people did; the ends of jobs are logged with their progress. Definer: the log is closed.
create function private.tg_import_batches__log_activity()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_entity_type public.sync_entity_type := (
    select d.entity_type from public.datasets as d where d.key = new.dataset
  );
begin
  perform private.log_activity(
    new.org_id,
    v_entity_type,
    case
      when new.status = 'staged' and old.status = 'receiving' then 'created'
      when new.status = 'staged' then 'updated'
      when new.status in ('validating', 'committing', 'undoing') then 'started'
      else new.status::text
    end::public.sync_action,
    case
      when new.status in ('completed', 'failed', 'cancelled') then new.status::text
      when new.status in ('validating', 'committing', 'undoing') then 'running'
      when new.status = 'undone' then 'completed'
      else 'pending'
    end::public.sync_status_type,
    new.id::text,
    jsonb_build_object('import_status', new.status, 'dataset', new.dataset, 'mode', new.mode,
      'file_name', new.file_name, 'row_count', new.row_count),
    new.error ->> 'message'
  );
  return null;
end;
$$;

create trigger _700_log_activity
  after update of status on public.import_batches
  for each row when (old.status is distinct from new.status)
  execute function private.tg_import_batches__log_activity();

-- Looking up --------------------------------------------------------------------------------------

-- The caller may see the import. What the policy says, for functions that row level security does not hold.
create function private.sees_import(p_batch public.import_batches)
returns boolean
language sql stable
security invoker
set search_path = ''
as $$
  select p_batch.org_id in (
    select private.org_ids(case when p_batch.dataset in (select private.open_datasets()) then 'viewer' else 'admin' end::public.org_role)
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
  where b.id = p_import_id and private.sees_import(b);
  if not found then
    raise exception using errcode = 'PT404', message = 'import not found';
  end if;
  return v_batch;
end;
$$;

-- The same kind of file has the same.
create function private.header_hash(p_columns text[])
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select md5(array_to_string(p_columns, e'\x1f'));
$$;

-- Settings ----------------------------------------------------------------------------------------

insert into private.setting_definitions (key, value_type, minimum, maximum, default_value, set_by, description) values
  ('imports.max_request_bytes', 'number', 1024, 5368709120, '33554432', 'postgres', 'Largest file in a request, in bytes, as sent and as unpacked.'),
  ('imports.max_archive_bytes', 'number', 1024, 1073741824, '33554432', 'postgres', 'Largest zip archive or workbook, in bytes as sent: it is kept in memory.'),
  ('imports.max_workbook_bytes', 'number', 1024, 1073741824, '33554432', 'postgres', 'Largest sheet of a workbook with its texts and styles, in bytes as unpacked.'),
  ('imports.max_columns', 'number', 1, 1600, '1000', 'postgres', 'Most columns of a file.'),
  ('imports.max_cell_bytes', 'number', 1, 104857600, '1048576', 'postgres', 'Largest cell, in bytes.'),
  ('imports.max_rows', 'number', 1, 1000000000, '50000000', 'system_admin', 'Most rows of a file.'),
  ('imports.chunk_rows', 'number', 1, 100000, '20000', 'postgres', 'Rows of one task.'),
  ('imports.max_atomic_rows', 'number', 1, 10000000, '1000000', 'postgres', 'Most rows of an import with on_error=abort: it is one transaction.'),
  ('imports.retention_days', 'number', 7, 3650, '30', 'postgres', 'Days that staged rows, issues and outcomes are kept, to the week.');

-- Policies and grants -----------------------------------------------------------------------------

create policy import_batches_select_viewer on public.import_batches
  for select to authenticated
  using (
    org_id = any (array(select private.org_ids('viewer')))
    and (dataset = any (array(select private.open_datasets())) or org_id = any (array(select private.org_ids('admin'))))
  );

create policy import_sets_select_viewer on public.import_sets
  for select to authenticated
  using (org_id = any (array(select private.org_ids('viewer'))));

revoke all on public.import_batches, public.import_sets from public, anon, authenticated, service_role;
grant select on public.import_batches, public.import_sets to authenticated, service_role;

revoke all on all tables in schema private from public, anon, authenticated, service_role;
grant insert on private.import_rows, private.import_issues to sluice_ingest;
revoke all on all functions in schema private from public;
grant execute on function
  private.sees_import(public.import_batches), private.find_import(uuid), private.header_hash(text[])
  to authenticated, service_role;
