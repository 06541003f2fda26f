-- Sync runs: what a source has is fetched, staged, validated, shown, and applied or put before somebody.
-- Needs: sync_sources, jobs_remote, imports_control, imports_storage.
-- Exposes: sync_runs, monitor_sync_sources; run_sync, approve_sync, cancel_sync, get_sync_run, list_sync_runs; the job type sync.
--
-- A run is made of jobs of its owner: of type sync are the fetch and, for mirrors, what compares (before anything is
-- applied) and what records (after it); validation, commit and deletion are those of its imports. Whoever ends a job or
-- moves an import holds the organization, and only then takes the run: it goes on by its jobs' ends and its imports' states.

create type public.sync_run_status as enum (
  'waiting', 'fetching', 'validating', 'awaiting_approval', 'committing', 'deleting', 'completed', 'unchanged', 'failed', 'cancelled'
);
comment on type public.sync_run_status is
  'waiting (for the run before it), fetching, validating, awaiting_approval, committing, deleting (what the source no longer has), and '
  'four ends; unchanged: there was nothing new.';

insert into private.job_types (job_type, run_function, advance_function, end_function, describe_function, complete_function) values
  ('sync', 'private.run_sync_task', 'private.advance_sync', 'private.end_sync_job', 'private.describe_fetch', 'private.complete_fetch');
insert into public.sync_retry_policy (job_type, max_attempts, base_delay, max_delay) values ('sync', 4, '5 seconds', '1 minute');

-- Tables ------------------------------------------------------------------------------------------

create table public.sync_runs (
  id               uuid primary key default gen_random_uuid(),
  org_id           uuid not null references public.organization (id) on delete cascade,
  source_id        uuid not null references public.sync_sources (id) on delete cascade,
  schedule_id      uuid references public.sync_schedule (id) on delete set null,
  status           public.sync_run_status not null,
  is_forced        boolean not null default false,
  reason           text,
  job_id           uuid, -- no foreign key: named before the job is there, and still when the history has forgotten it
  import_id        uuid references public.import_batches (id) on delete set null,
  delete_import_id uuid references public.import_batches (id) on delete set null,
  fetched          jsonb not null default '{}',
  known_count      integer,
  deletion_count   integer,
  skipped_count    integer not null default 0,
  error            jsonb,
  started_by       uuid references auth.users (id) on delete set null,
  approved_by      uuid references auth.users (id) on delete set null,
  approved_at      timestamptz,
  created_at       timestamptz not null default clock_timestamp(),
  started_at       timestamptz,
  finished_at      timestamptz,

  constraint sync_runs_finished_at_check check (
    (finished_at is not null) = (status in ('completed', 'unchanged', 'failed', 'cancelled'))
  )
);
alter table public.sync_runs enable row level security;
comment on table public.sync_runs is 'What each sync of a source did. One run of a source is under way at a time.';
comment on column public.sync_runs.schedule_id is 'Whose time had come; null of one that somebody started, or whose schedule is gone.';
comment on column public.sync_runs.is_forced is 'It fetches and applies also what has not changed.';
comment on column public.sync_runs.reason is
  'Why it asks: approval_required (the source says so), too_many_deletions, rows_without_key (what the source lacks cannot be told).';
comment on column public.sync_runs.job_id is 'Its latest job of type sync.';
comment on column public.sync_runs.fetched is 'What came: status, bytes, pages, row_count, columns, etag, last_modified, content_hash, object.';
comment on column public.sync_runs.known_count is 'Of mirrors: records that the source had delivered before, and that are there.';
comment on column public.sync_runs.deletion_count is 'Of mirrors: those of them that the source no longer has.';
comment on column public.sync_runs.skipped_count is 'How often another run was due meanwhile, and left out.';
create unique index sync_runs_under_way_key on public.sync_runs (source_id)
  where status in ('fetching', 'validating', 'awaiting_approval', 'committing', 'deleting');
create index sync_runs_source_id_created_at_idx on public.sync_runs (source_id, created_at desc);
create index sync_runs_org_id_created_at_idx on public.sync_runs (org_id, created_at desc);
create index sync_runs_schedule_id_idx on public.sync_runs (schedule_id);
create index sync_runs_job_id_idx on public.sync_runs (job_id);
create index sync_runs_import_id_idx on public.sync_runs (import_id);
create index sync_runs_delete_import_id_idx on public.sync_runs (delete_import_id);
create index sync_runs_started_by_idx on public.sync_runs (started_by);
create index sync_runs_approved_by_idx on public.sync_runs (approved_by);
create index sync_runs_finished_at_idx on public.sync_runs (finished_at);

-- No foreign keys: the record is in the table of its dataset, and that of the source would be checked once a row.
create table private.sync_records (
  source_id uuid not null,
  record_id uuid not null,

  primary key (source_id, record_id)
);
comment on table private.sync_records is 'What each mirror has delivered: what it may delete when the source no longer has it.';
create index sync_records_record_id_idx on private.sync_records (record_id);

-- Definer: with an organization its sources go, too.
create function private.tg_sync_sources__forget_records()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  delete from private.sync_records as s where s.source_id = old.id;
  return null;
end;
$$;

create trigger _500_forget_records
  after delete on public.sync_sources
  for each row execute function private.tg_sync_sources__forget_records();

-- The end of a run ends it for good.
create function private.tg_sync_runs__guard_status()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if old.finished_at is not null then
    raise exception using
      errcode = 'PT409',
      message = 'sync run is at its end',
      detail  = format('run %s is %s', old.id, old.status),
      hint    = 'Run the source again.';
  end if;
  if new.status <> 'waiting' then
    new.started_at := coalesce(new.started_at, now());
  end if;
  if new.status in ('completed', 'unchanged', 'failed', 'cancelled') then
    new.finished_at := clock_timestamp();
  end if;
  return new;
end;
$$;

create trigger _300_guard_status
  before update of status on public.sync_runs
  for each row when (old.status is distinct from new.status)
  execute function private.tg_sync_runs__guard_status();

-- Ends --------------------------------------------------------------------------------------------

-- What went wrong, by name. 08001 is the source that cannot be reached; 08006 is the worker function.
create function private.sync_error(p_error jsonb)
returns jsonb
language sql immutable
security invoker
set search_path = ''
as $$
  select p_error || jsonb_build_object('code', case
    when p_error ->> 'code' in ('SY001', 'PT415') then 'source_not_data'
    when p_error ->> 'code' = 'SY002' then 'source_refused'
    when p_error ->> 'code' in ('SY003', 'PT413') then 'source_too_large'
    when p_error ->> 'code' = 'SY004' then 'secret_missing'
    when p_error ->> 'code' = 'SY005' then 'address_refused'
    when p_error ->> 'code' = 'SY006' then 'table_not_allowed'
    when p_error ->> 'code' = 'SY007' then 'owner_not_admin'
    when p_error ->> 'code' = '08001' then 'source_unreachable'
    when p_error ->> 'message' in ('mapping names an unknown column', 'file lacks columns of the template') then 'columns_changed'
    when p_error ->> 'message' in ('file is empty', 'file has no data rows') then 'source_empty'
    else p_error ->> 'code'
  end);
$$;

-- What somebody may look at before it is applied goes with the run that it was for.
create function private.drop_staged(p_run public.sync_runs)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  update public.import_batches as b
  set status = 'cancelled'
  where b.id in (p_run.import_id, p_run.delete_import_id) and b.status in ('staged', 'validated');
$$;

-- Called with the organization in hand. The next run that waits for this one begins.
create function private.finish_run(p_run_id uuid, p_status public.sync_run_status, p_error jsonb default null)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_run    public.sync_runs;
  v_source public.sync_sources;
  v_next   public.sync_runs;
begin
  update public.sync_runs as r
  set status = p_status, error = private.sync_error(p_error)
  where r.id = p_run_id and r.finished_at is null
  returning r.* into v_run;
  if not found then
    return;
  end if;

  -- Found by what the source was then: not kept when it was changed meanwhile.
  update public.sync_sources as s
  set state   = case p_status when 'unchanged' then s.state else '{}' end
        || jsonb_strip_nulls(v_run.fetched - '{status,bytes,pages}'::text[]),
      mapping = case
        when p_status = 'completed' and s.template_id is null then coalesce(s.mapping, b.mapping)
        else s.mapping
      end
  from public.sync_runs as r
  left join public.import_batches as b on b.id = r.import_id
  where r.id = p_run_id and s.id = r.source_id and s.updated_at <= r.started_at
    and p_status in ('completed', 'unchanged');

  if p_status in ('failed', 'cancelled') then
    perform private.drop_staged(v_run);
  end if;
  v_source := private.source_of(v_run);
  perform private.log_activity(
    v_run.org_id, (select d.entity_type from public.datasets as d where d.key = v_source.dataset),
    case p_status when 'unchanged' then 'skipped' else p_status::text end::public.sync_action,
    case p_status when 'unchanged' then 'completed' else p_status::text end::public.sync_status_type,
    v_run.id::text, jsonb_build_object('source', v_source.name, 'source_id', v_source.id, 'import_id', v_run.import_id),
    p_error ->> 'message'
  );

  select r.* into v_next
  from public.sync_runs as r
  where r.source_id = v_run.source_id and r.status = 'waiting'
  order by r.created_at
  limit 1;
  if found then
    update public.sync_runs as r set status = 'fetching' where r.id = v_next.id returning r.* into v_next;
    perform private.proceed_sync(v_next, 'fetch');
  end if;
end;
$$;

-- Going on ----------------------------------------------------------------------------------------

-- A job of the run's owner. Its id is known to the run first: no other job of this type is taken in.
create function private.start_sync_job(p_run public.sync_runs, p_step text)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_id uuid := gen_random_uuid();
begin
  update public.sync_runs as r set job_id = v_id where r.id = p_run.id;
  insert into public.scheduled_jobs (id, job_type, params)
  values (v_id, 'sync', jsonb_build_object('run_id', p_run.id, 'source_id', p_run.source_id, 'step', p_step));
end;
$$;

-- The next step of a run, with its owner's rights: fetch, ingest, validate, compare, commit, record, delete. What cannot be begun
-- fails the run, and not whoever brought it so far. Called with the organization in hand.
create function private.proceed_sync(p_run public.sync_runs, p_step text)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  v_owner  uuid := (private.source_of(p_run)).owner;
  v_code   text;
  v_detail text;
  v_hint   text;
begin
  if v_owner is null then
    raise exception using
      errcode = 'PT409',
      message = 'owner of the source has no account any more',
      detail  = format('source %s', p_run.source_id),
      hint    = 'Name another owner (change_sync_source).';
  end if;
  perform private.assume_claims(jsonb_build_object('sub', v_owner, 'role', 'authenticated'));
  if p_step in ('fetch', 'compare', 'record') then
    perform private.start_sync_job(p_run, p_step);
  else
    -- force: another run may have brought the same before
    perform private.start_import_job(
      case when p_step in ('ingest', 'commit') then p_step else 'validate' end,
      case p_step when 'delete' then p_run.delete_import_id else p_run.import_id end,
      jsonb_build_object('commit', p_step = 'delete', 'force', true, 'format', (private.source_of(p_run)).options), null);
  end if;
  perform private.assume_claims(v_claims);
exception when sqlstate '22023' or sqlstate '42501' or sqlstate 'PT404' or sqlstate 'PT409' or sqlstate 'PT413' or sqlstate 'PT422'
  or sqlstate 'PT429' then
  get stacked diagnostics v_code = returned_sqlstate, v_detail = pg_exception_detail, v_hint = pg_exception_hint;
  perform private.finish_run(p_run.id, 'failed', jsonb_build_object(
    'code', case when v_owner is null then 'owner_deleted' else v_code end, 'message', sqlerrm,
    'details', nullif(v_detail, ''), 'hint', nullif(v_hint, '')));
end;
$$;

-- A run of a source, unless one is under way: then it waits for that, or null is given: it is left out, and counted.
create function private.start_run(p_source public.sync_sources, p_schedule_id uuid, p_is_forced boolean)
returns public.sync_runs
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.sync_runs;
begin
  perform private.lock_organization(p_source.org_id);

  update public.sync_runs as r
  set skipped_count = r.skipped_count + 1
  where r.source_id = p_source.id and r.finished_at is null and r.status <> 'waiting'
    and (p_source.overlap = 'skip' or exists (
      select from public.sync_runs as w where w.source_id = p_source.id and w.status = 'waiting'
    ));
  if found then
    return null;
  end if;

  insert into public.sync_runs (org_id, source_id, schedule_id, status, is_forced, started_by, started_at)
  select p_source.org_id, p_source.id, p_schedule_id, case when e.is_under_way then 'waiting' else 'fetching' end::public.sync_run_status,
    p_is_forced, auth.uid(), case when not e.is_under_way then now() end
  from (
    select exists (
      select from public.sync_runs as r where r.source_id = p_source.id and r.finished_at is null
    ) as is_under_way
  ) as e
  returning * into v_run;
  if v_run.status = 'fetching' then
    perform private.proceed_sync(v_run, 'fetch');
    select r.* into v_run from public.sync_runs as r where r.id = v_run.id;
  end if;
  return v_run;
end;
$$;

-- What pg_cron calls.
create function private.run_schedule(p_schedule_id uuid)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select private.start_run(s, h.id, false)
  from public.sync_schedule as h
  join public.sync_sources as s on s.id = h.source_id
  where h.id = p_schedule_id and h.is_enabled and s.is_active;
$$;

-- Definer: jobs are the business of their table's triggers, whoever inserts them.
create function private.tg_scheduled_jobs__resolve_sync()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_run public.sync_runs;
begin
  select r.* into v_run from public.sync_runs as r where r.job_id = new.id;
  if not found then
    raise exception using
      errcode = 'PT409',
      message = 'a sync is not started as a job',
      hint    = 'Run its source (run_sync).';
  end if;

  new.org_id      := v_run.org_id;
  new.phase       := new.params ->> 'step';
  new.total_count := 1;
  new.entity_type := (
    select d.entity_type
    from public.sync_sources as s
    join public.datasets as d on d.key = s.dataset
    where s.id = v_run.source_id
  );
  return new;
end;
$$;

create trigger _200_resolve_sync
  before insert on public.scheduled_jobs
  for each row when (new.job_type = 'sync')
  execute function private.tg_scheduled_jobs__resolve_sync();

create function private.tg_scheduled_jobs__start_sync()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.enqueue_tasks(new, new.phase, 0, 0, 1);
  return null;
end;
$$;

create trigger _600_start_sync
  after insert on public.scheduled_jobs
  for each row when (new.job_type = 'sync')
  execute function private.tg_scheduled_jobs__start_sync();

-- Fetching ----------------------------------------------------------------------------------------

-- The run of a job's task, if its owner, with whose claims it works, may still do that.
create function private.run_of(p_task public.sync_job_queue)
returns public.sync_runs
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_run public.sync_runs;
begin
  select r.* into v_run from public.sync_runs as r where r.job_id = p_task.job_id;
  if not exists (select from private.org_ids('admin') as o (id) where o.id = v_run.org_id) then
    raise exception using
      errcode = 'SY007',
      message = 'owner of the source is no admin of the organization',
      detail  = format('source %s', v_run.source_id),
      hint    = 'Name another owner (change_sync_source).';
  end if;
  return v_run;
end;
$$;

create function private.source_of(p_run public.sync_runs)
returns public.sync_sources
language sql stable
security invoker
set search_path = ''
as $$
  select s.* from public.sync_sources as s where s.id = p_run.source_id;
$$;

-- By which a run's imports are found, whatever became of the call that made them.
create function private.sync_key(p_run public.sync_runs, p_step text)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select format('sync:%s:%s', p_run.id, p_step);
$$;

-- An import of the run, made as its owner.
create function private.create_sync_import(
  p_run public.sync_runs, p_source public.sync_sources, p_mode text, p_file_name text, p_mapping jsonb, p_storage_path text default null
)
returns public.import_batches
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_created jsonb := private.create_import(
    p_source.dataset, p_mode, p_run.org_id, p_file_name, 'sync', p_mapping,
    case p_mode when 'delete' then '{}' else p_source.import_options end,
    private.sync_key(p_run, p_mode), case when p_mode <> 'delete' then p_source.template_id end, null, null, null,
    p_storage_path);
  v_batch   public.import_batches;
begin
  select b.* into v_batch from public.import_batches as b where b.id = (v_created ->> 'id')::uuid;
  return v_batch;
end;
$$;

-- Nobody else makes an import that says it was synced.
create function private.tg_import_batches__guard_source()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if not exists (
    select from public.sync_runs as r
    where r.org_id = new.org_id and r.finished_at is null
      and new.idempotency_key in (private.sync_key(r, 'upsert'), private.sync_key(r, 'delete'))
  ) then
    raise exception using
      errcode = '22023',
      message = 'source is reserved',
      detail  = 'sync names what Sluice itself fetches',
      hint    = 'Give another one.';
  end if;
  return new;
end;
$$;

create trigger _300_guard_source
  before insert on public.import_batches
  for each row when (new.source = 'sync')
  execute function private.tg_import_batches__guard_source();

-- The sample that suggestions look at. A row has no cells of columns that came to light after it.
create function private.first_rows(p_batch public.import_batches, p_columns text[])
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select jsonb_agg(to_jsonb(array(
    select left(r.cells[n], 1000) from generate_series(1, cardinality(p_columns)) as n order by n
  )) order by r.row_number)
  from private.import_rows as r
  where r.staged_on = p_batch.staged_on and r.batch_id = p_batch.id and r.row_number <= 20;
$$;

-- What was staged and is not to be: nothing of it stays.
create function private.discard_staged(p_batch public.import_batches)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  delete from private.import_rows as r where r.staged_on = p_batch.staged_on and r.batch_id = p_batch.id;
  delete from private.import_issues as i where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id;
  delete from public.import_batches as b where b.id = p_batch.id and b.status = 'receiving';
end;
$$;

-- All rows are there: they become the run's import, or go, when the last run had the same. Returns what to tell of it.
create function private.end_fetch(
  p_run public.sync_runs, p_source public.sync_sources, p_batch public.import_batches, p_columns text[], p_row_count integer,
  p_byte_size bigint, p_content_hash text, p_format jsonb
)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  if p_row_count = 0 then
    raise exception using
      errcode = '22023',
      message = 'file has no data rows',
      hint    = 'Records that are to go are deleted by an import with mode delete.';
  end if;
  perform private.require_fit_columns(p_run.org_id, p_columns);

  if not p_run.is_forced and p_content_hash = p_source.state ->> 'content_hash' then
    perform private.discard_staged(p_batch);
    return '{"unchanged": true}';
  end if;
  perform private.end_staging(
    p_batch, p_columns, p_row_count, p_byte_size, p_content_hash, private.first_rows(p_batch, p_columns), p_format);
  return jsonb_build_object(
    'import_id', p_batch.id, 'columns', p_columns, 'row_count', p_row_count, 'content_hash', p_content_hash, 'bytes', p_byte_size);
end;
$$;

-- A table is read here: all of its rows, in one statement.
create function private.fetch_table(p_run public.sync_runs, p_source public.sync_sources)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
set datestyle = 'ISO, YMD'
set intervalstyle = 'postgres'
set timezone = 'UTC'
set bytea_output = 'hex'
as $$
declare
  v_most    bigint := private.setting('imports.max_rows', p_run.org_id)::bigint;
  v_columns text[];
  v_batch   public.import_batches;
  v_count   bigint;
  v_bytes   bigint;
  v_hash    text;
begin
  if not exists (
    select from private.foreign_tables as f where f.org_id = p_run.org_id and f.relation = p_source.location
  ) or to_regclass(p_source.location) is null then
    raise exception using
      errcode = 'SY006',
      message = 'table of the source is not allowed any more',
      detail  = p_source.location,
      hint    = 'The database administrator allows tables one by one.';
  end if;

  v_columns := array(
    select a.attname from pg_attribute as a
    where a.attrelid = p_source.location::regclass and a.attnum > 0 and not a.attisdropped
    order by a.attnum
  );
  v_batch := private.create_sync_import(p_run, p_source, 'upsert', p_source.location, p_source.mapping);
  execute format(
    'insert into private.import_rows (staged_on, batch_id, row_number, line_number, cells)'
    ' select $1, $2, row_number() over (), row_number() over (), array[%s] from (select * from %s limit $3) as t',
    (select string_agg(format('t.%I::text', c), ', ') from unnest(v_columns) as c), p_source.location::regclass)
  using v_batch.staged_on, v_batch.id, v_most + 1;
  get diagnostics v_count = row_count;
  if v_count > v_most then
    raise exception using
      errcode = 'SY003',
      message = 'source is too large',
      detail  = format('more than %s rows', v_most),
      hint    = 'Let it show fewer rows.';
  end if;

  -- In whatever order the rows come, the same ones have the same hash.
  select encode(sha256(convert_to(format('%s:%s:%s', v_columns, count(*), sum(hashtextextended(r.cells::text, 0)::numeric)), 'utf8')), 'hex'),
    sum(octet_length(r.cells::text))
  into v_hash, v_bytes
  from private.import_rows as r
  where r.staged_on = v_batch.staged_on and r.batch_id = v_batch.id;
  return private.end_fetch(p_run, p_source, v_batch, v_columns, v_count::integer, v_bytes, v_hash, '{"kind": "table"}');
end;
$$;

-- Whether somebody's file may be applied with the rights of the source's owner: they could import it themselves, or have the
-- service key. A file for a system admin's source is a system admin's.
create function private.may_feed(p_source public.sync_sources, p_uploader text)
returns boolean
language sql stable
security invoker
set search_path = ''
as $$
  select p_uploader is null or exists (
    select from public.profiles as p
    where p.id::text = p_uploader and p.is_active and (p.is_system_admin or (
      p.org_id = p_source.org_id
      and p.org_role >= private.role_for(p_source.dataset, case p_source.mode when 'mirror' then 'admin' else 'member' end::public.org_role)
      and not exists (select from public.profiles as o where o.id = p_source.owner and o.is_system_admin)
    ))
  );
$$;

-- A file of the bucket: the one that is named, or the newest of a folder, becomes an import, which a job takes in.
create function private.fetch_object(p_run public.sync_runs, p_source public.sync_sources)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_name    text;
  v_version text;
  v_batch   public.import_batches;
begin
  select o.name, coalesce(o.metadata ->> 'eTag', '') || ' ' || o.updated_at into v_name, v_version
  from storage.objects as o
  where o.bucket_id = 'imports'
    and case when p_source.location like '%/' then starts_with(o.name, p_source.location) else o.name = p_source.location end
    and private.may_feed(p_source, o.owner_id)
  order by o.updated_at desc, o.name desc
  limit 1;

  if v_name is null and not p_source.state ? 'object' then -- else it has had its time, and was deleted
    raise exception using
      errcode = 'SY002',
      message = 'source has no file',
      detail  = p_source.location,
      hint    = 'Upload one to the bucket imports. Whose it is must have the right to import it.';
  elsif v_name is null or (v_version = p_source.state ->> 'object' and not p_run.is_forced) then
    return '{"unchanged": true}';
  end if;
  v_batch := private.create_sync_import(
    p_run, p_source, 'upsert', substring(v_name from '[^/]+$'), p_source.mapping, v_name);
  return jsonb_build_object('import_id', v_batch.id, 'object', v_version);
end;
$$;

-- The headers by which a source knows who asks. Here alone is a secret read.
create function private.auth_headers(p_source public.sync_sources)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_secret text;
begin
  if p_source.secret_name is null then
    return '{}';
  end if;
  v_secret := private.read_sync_secret(p_source.org_id, p_source.secret_name);
  return case p_source.options ->> 'auth'
    when 'basic' then jsonb_build_object('Authorization', 'Basic ' || translate(
      encode(convert_to((p_source.options ->> 'auth_user') || ':' || v_secret, 'utf8'), 'base64'), e'\n', ''))
    when 'header' then jsonb_build_object(p_source.options ->> 'auth_header', v_secret)
    else jsonb_build_object('Authorization', 'Bearer ' || v_secret)
  end;
end;
$$;

-- What the worker function has to fetch, and where an earlier call stopped. Of a source with pages the first says nothing of the
-- others, so that it is not asked whether it has changed.
create function private.describe_fetch(p_task public.sync_job_queue)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_run    public.sync_runs := private.run_of(p_task);
  v_source public.sync_sources := private.source_of(v_run);
begin
  return jsonb_build_object(
    'kind', v_source.kind,
    'location', v_source.location,
    'headers', coalesce(v_source.options -> 'headers', '{}') || private.auth_headers(v_source),
    'conditions', case
      when v_run.is_forced or v_source.options ?| '{next,cursor}' then '{}'
      else jsonb_strip_nulls(jsonb_build_object(
        'If-None-Match', v_source.state -> 'etag', 'If-Modified-Since', v_source.state -> 'last_modified'))
    end,
    'options', v_source.options - '{auth,auth_header,auth_user,headers}'::text[],
    'allow_private', private.setting('outbound.allow_private', v_run.org_id),
    'limits', private.ingest_limits()
      || jsonb_build_object('max_request_bytes', private.setting('imports.max_request_bytes', v_run.org_id)),
    'max_pages', private.setting('sync.max_pages', v_run.org_id),
    'state', p_task.args -> 'state',
    'is_staged', p_task.args ? 'outcome'
  );
end;
$$;

-- For the call of a task, over the direct connection: the import that its rows go to, made by the first call that has some.
-- Definer, like the two below: it has become sluice_ingest. The token is the proof.
create function private.begin_fetch(p_task_id bigint, p_token uuid, p_columns text[])
returns table (import_id uuid, staged_on date, max_rows bigint, max_cell_bytes integer)
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_task   public.sync_job_queue;
  v_run    public.sync_runs;
  v_source public.sync_sources;
  v_batch  public.import_batches;
begin
  select q.* into v_task from public.sync_job_queue as q where q.id = p_task_id;
  perform private.require_call(v_task, p_task_id, p_token);
  perform private.assume_claims(j.claims) from public.scheduled_jobs as j where j.id = v_task.job_id;
  v_run := private.run_of(v_task);
  v_source := private.source_of(v_run);

  if v_task.args ? 'import_id' then
    v_batch := private.require_receiving((v_task.args ->> 'import_id')::uuid);
  else
    v_batch := private.create_sync_import(v_run, v_source, 'upsert', v_source.name, v_source.mapping);
    update public.sync_job_queue as q
    set args = q.args || jsonb_build_object('import_id', v_batch.id)
    where q.id = p_task_id;
  end if;
  return query
  select v_batch.id, i.staged_on, i.max_rows, i.max_cell_bytes from private.begin_ingest(v_batch.id, p_columns, false) as i;
end;
$$;

-- Some pages are staged: the next call goes on after them. State and rows are one transaction, so that a call that dies has
-- done nothing.
create function private.advance_fetch(p_task_id bigint, p_token uuid, p_state jsonb)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
begin
  perform private.hold_call(p_task_id, p_token);
  update public.sync_job_queue as q set args = q.args || jsonb_build_object('state', p_state) where q.id = p_task_id;
  perform private.repost_task(p_task_id, p_token, 'fetch');
end;
$$;

-- All is staged. The call reports it by complete_worker_task; one that dies before that is repeated, and finds it done.
create function private.finish_fetch(
  p_task_id bigint, p_token uuid, p_columns text[], p_row_count integer, p_byte_size bigint, p_content_hash text, p_format jsonb,
  p_result jsonb
)
returns void
language plpgsql volatile
security definer
set search_path = ''
set jit = off
as $$
declare
  v_task   public.sync_job_queue := private.hold_call(p_task_id, p_token);
  v_run    public.sync_runs;
  v_source public.sync_sources;
  v_batch  public.import_batches;
begin
  perform private.assume_claims(j.claims) from public.scheduled_jobs as j where j.id = v_task.job_id;
  v_run := private.run_of(v_task);
  v_source := private.source_of(v_run);
  perform from public.import_batches as b where b.id = (v_task.args ->> 'import_id')::uuid for update;
  v_batch := private.require_receiving((v_task.args ->> 'import_id')::uuid);

  update public.sync_job_queue as q
  set args = q.args - 'state' || jsonb_build_object('outcome', p_result || private.end_fetch(
    v_run, v_source, v_batch, p_columns, p_row_count, p_byte_size, p_content_hash, p_format))
  where q.id = p_task_id;
end;
$$;

-- { unchanged: true, … } where nothing was staged. Written to the job, which its end reads: the run is taken after the organization.
create function private.complete_fetch(p_task public.sync_job_queue, p_result jsonb)
returns private.task_result
language sql volatile
security invoker
set search_path = ''
as $$
  update public.scheduled_jobs as j set result = coalesce(p_task.args -> 'outcome', p_result) where j.id = p_task.job_id;
  select row(1, 0)::private.task_result;
$$;

-- Mirrors -----------------------------------------------------------------------------------------

-- Ids of the records that rows of batch $1, $2 name, of organization $3, whatever else is wrong with those rows; the ones that
-- are valid where p_valid. A row whose key cannot be read names none.
create function private.compile_presence(p_batch public.import_batches, p_valid boolean)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_dataset public.datasets := (select d from public.datasets as d where d.key = p_batch.dataset);
  v_fields  private.planned_field[] := array(
    select f from unnest(private.planned_fields(p_batch)) as f where f.name = any (private.record_key(v_dataset)) order by f.number
  );
  v_keys    text;
  v_match   text;
begin
  select
    string_agg(format('%s as _%s', k.value, f.number), ', ' order by f.number),
    string_agg(format('t.%I = %s', f.column_name, case
      when f.reference is null then 'k._' || f.number
      else private.reference_lookup(f, 'k._' || f.number) end), ' and ' order by f.number)
  into v_keys, v_match
  from unnest(v_fields) as f
  cross join lateral (select private.readable_key(f) as value) as k;

  return format($q$
with %sk as materialized (
  select distinct %s
  from private.import_rows as r
  where r.staged_on = $1 and r.batch_id = $2%s
)
select t.%I as id from k join %s as t on %s and %s $q$,
    private.compile_references(v_fields,
      '(select i.cells from private.import_rows as i where i.staged_on = $1 and i.batch_id = $2) as r', '(select $3::uuid)'),
    v_keys,
    case when p_valid then ' and not exists (select from private.import_issues as e where e.staged_on = $1 and e.batch_id = $2'
      ' and e.row_number = r.row_number and e.severity = ''error'')' else '' end,
    v_dataset.id_column, v_dataset.target, private.of_organization('t', v_dataset.org_column, '(select $3::uuid)'), v_match);
end;
$$;

-- A key field's value in its type; null where it has none.
create function private.readable_key(p_field private.planned_field)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select case p_field.class
    when 'text' then p_field.value
    else format('case when pg_input_is_valid(%1$s, %2$L) then (%1$s)::%2$s end', p_field.value, p_field.type)
  end;
$$;

-- The rows whose key cannot be read: what the source lacks is not known then.
create function private.keyless_count(p_batch public.import_batches)
returns integer
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_condition text;
  v_count     integer;
begin
  select string_agg(format('%s is null', private.readable_key(f)), ' or ') into v_condition
  from unnest(private.planned_fields(p_batch)) as f
  join public.datasets as d on d.key = p_batch.dataset and f.name = any (private.record_key(d));
  execute format('select count(*) from private.import_rows as r where r.staged_on = $1 and r.batch_id = $2 and (%s)', v_condition)
  into v_count using p_batch.staged_on, p_batch.id;
  return v_count;
end;
$$;

-- The records that the source delivered before and no longer has; known: how many it delivered that are there; shared:
-- those that it no longer has but another source does, which stay.
create function private.missing_records(
  p_source public.sync_sources, p_batch public.import_batches, out known integer, out missing uuid[], out shared uuid[]
)
language plpgsql stable
security invoker
set search_path = ''
set enable_nestloop = off -- nobody has statistics of what was just staged and recorded
set jit = off
set work_mem = '64MB'
as $$
declare
  v_dataset public.datasets := (select d from public.datasets as d where d.key = p_batch.dataset);
begin
  execute format($q$
select count(*), coalesce(array_agg(s.record_id) filter (where p.id is null and not o.is_shared), '{}'),
  coalesce(array_agg(s.record_id) filter (where p.id is null and o.is_shared), '{}')
from private.sync_records as s
cross join lateral (
  select exists (
    select from private.sync_records as x where x.record_id = s.record_id and x.source_id <> s.source_id
  ) as is_shared
) as o
join %s as t on t.%I = s.record_id and %s
left join (%s) as p on p.id = s.record_id
where s.source_id = $4 $q$,
    v_dataset.target, v_dataset.id_column, private.of_organization('t', v_dataset.org_column, '(select $3::uuid)'),
    private.compile_presence(p_batch, false))
  into known, missing, shared
  using p_batch.staged_on, p_batch.id, p_batch.org_id, p_source.id;
end;
$$;

-- Remembers what was delivered: the records of valid rows. Forgets what is gone.
create function private.remember_records(p_source public.sync_sources, p_batch public.import_batches)
returns void
language plpgsql volatile
security invoker
set search_path = ''
set enable_nestloop = off -- as above
set jit = off
set work_mem = '64MB'
as $$
declare
  v_dataset public.datasets := (select d from public.datasets as d where d.key = p_batch.dataset);
begin
  execute format('insert into private.sync_records (source_id, record_id) select $4, p.id from (%s) as p'
    ' where not exists (select from private.sync_records as s where s.source_id = $4 and s.record_id = p.id)'
    ' order by p.id on conflict do nothing', -- in the order of the indexes
    private.compile_presence(p_batch, true))
  using p_batch.staged_on, p_batch.id, p_batch.org_id, p_source.id;

  execute format('delete from private.sync_records as s where s.source_id = $1 and not exists (select from %s as t where t.%I = s.record_id)',
    v_dataset.target, v_dataset.id_column)
  using p_source.id;
end;
$$;

-- Stages the deletion of what is missing, unless that is more than was seen before the commit: then it asks, again.
create function private.record_delivery(p_run public.sync_runs, p_source public.sync_sources)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_dataset public.datasets := (select d from public.datasets as d where d.key = p_source.dataset);
  v_batch   public.import_batches := (select b from public.import_batches as b where b.id = p_run.import_id);
  v_found   record;
  v_fields  text[];
  v_keys    text;
  v_delete  public.import_batches;
begin
  perform private.remember_records(p_source, v_batch);
  select m.* into v_found from private.missing_records(p_source, v_batch) as m;
  delete from private.sync_records as s where s.source_id = p_source.id and s.record_id = any (v_found.shared);
  if v_found.missing = '{}' then
    return '{"missing": 0}';
  elsif cardinality(v_found.missing) > coalesce(p_run.deletion_count, 0)
    and private.deletion_reason(p_source, v_found.known, cardinality(v_found.missing), 0) is not null then
    return jsonb_build_object('missing', cardinality(v_found.missing), 'known', v_found.known, 'asks', true);
  end if;

  select
    array_agg(f.name order by f.position),
    string_agg(case
      when r.key is null then format('t.%I::text', f.column_name)
      else format('(select x.%I::text from %s as x where x.%I = t.%I)', k.column_name, r.target, r.id_column, f.column_name)
    end, ', ' order by f.position)
  into v_fields, v_keys
  from public.dataset_fields as f
  left join public.datasets as r on r.key = f.reference ->> 'dataset'
  left join public.dataset_fields as k on k.dataset = r.key and k.name = f.reference ->> 'field'
  where f.dataset = p_source.dataset and f.name = any (private.record_key(v_dataset));

  v_delete := private.create_sync_import(p_run, p_source, 'delete', p_source.name,
    (select jsonb_object_agg(f, f) from unnest(v_fields) as f));
  execute format('insert into private.import_rows (staged_on, batch_id, row_number, line_number, cells)'
    ' select $1, $2, row_number() over (order by t.%1$I), row_number() over (order by t.%1$I), array[%2$s] from %3$s as t where t.%1$I = any ($3)',
    v_dataset.id_column, v_keys, v_dataset.target)
  using v_delete.staged_on, v_delete.id, v_found.missing;
  perform private.end_staging(
    v_delete, v_fields, cardinality(v_found.missing), 0, encode(sha256(convert_to(v_delete.id::text, 'utf8')), 'hex'),
    private.first_rows(v_delete, v_fields), '{"kind": "table"}');
  return jsonb_build_object('missing', cardinality(v_found.missing), 'delete_import_id', v_delete.id);
end;
$$;

create function private.deletion_reason(p_source public.sync_sources, p_known integer, p_missing integer, p_keyless integer)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select case
    when p_missing = 0 then null
    when p_keyless > 0 then 'rows_without_key'
    when 100.0 * p_missing > p_source.max_delete_percent * p_known then 'too_many_deletions'
  end;
$$;

-- The tasks ---------------------------------------------------------------------------------------

create function private.run_sync_task(p_task public.sync_job_queue)
returns private.task_result
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_run    public.sync_runs;
  v_source public.sync_sources;
  v_batch  public.import_batches;
  v_found  record;
  v_result jsonb;
begin
  v_run := private.run_of(p_task);
  v_source := private.source_of(v_run);
  select b.* into v_batch from public.import_batches as b where b.id = v_run.import_id;

  case p_task.task_type
    when 'compare' then
      select m.* into v_found from private.missing_records(v_source, v_batch) as m;
      v_result := jsonb_build_object(
        'known', v_found.known, 'missing', cardinality(v_found.missing), 'keyless', private.keyless_count(v_batch));
    when 'record' then
      v_result := private.record_delivery(v_run, v_source);
    else
      case v_source.kind
        when 'foreign_table' then
          v_result := private.fetch_table(v_run, v_source);
        when 'storage' then
          v_result := private.fetch_object(v_run, v_source);
        else
          perform private.auth_headers(v_source); -- a secret that is missing is said now
          return private.post_task(p_task, 'fetch');
      end case;
  end case;

  update public.scheduled_jobs as j set result = v_result where j.id = p_task.job_id;
  return row(1, 0);
end;
$$;

create function private.advance_sync(p_job public.scheduled_jobs)
returns boolean
language sql immutable
security invoker
set search_path = ''
as $$
  select true;
$$;

-- The run follows its job. end_job has locked the organization.
create function private.end_sync_job(p_job public.scheduled_jobs)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_run   public.sync_runs;
  v_batch public.import_batches;
begin
  select r.* into v_run from public.sync_runs as r where r.job_id = p_job.id and r.finished_at is null for update;
  if not found then
    return;
  end if;

  if p_job.status <> 'completed' then
    for v_batch in
      select b.* from public.import_batches as b
      where b.org_id = v_run.org_id and b.status = 'receiving' and b.idempotency_key = private.sync_key(v_run, 'upsert')
    loop
      perform private.discard_staged(v_batch);
    end loop;
    perform private.finish_run(v_run.id, p_job.status::text::public.sync_run_status, p_job.error);
    return;
  end if;

  case p_job.phase
    when 'fetch' then
      update public.sync_runs as r
      set fetched   = p_job.result - '{import_id,unchanged}'::text[],
          import_id = (p_job.result ->> 'import_id')::uuid,
          status    = case when p_job.result ? 'row_count' then 'validating' else r.status end
      where r.id = v_run.id
      returning r.* into v_run;
      if v_run.import_id is null then
        perform private.finish_run(v_run.id, 'unchanged');
      else
        perform private.proceed_sync(v_run, case v_run.status when 'validating' then 'validate' else 'ingest' end);
      end if;
    when 'compare' then
      update public.sync_runs as r
      set known_count = (p_job.result ->> 'known')::integer, deletion_count = (p_job.result ->> 'missing')::integer
      where r.id = v_run.id
      returning r.* into v_run;
      perform private.decide_sync(v_run, (p_job.result ->> 'keyless')::integer);
    else
      update public.sync_runs as r
      set delete_import_id = (p_job.result ->> 'delete_import_id')::uuid,
          deletion_count   = (p_job.result ->> 'missing')::integer,
          known_count      = coalesce((p_job.result ->> 'known')::integer, r.known_count),
          reason           = case when p_job.result ? 'asks' then 'too_many_deletions' else r.reason end,
          status           = case
            when p_job.result ? 'asks' then 'awaiting_approval'
            when p_job.result ? 'delete_import_id' then 'deleting'
            else r.status
          end
      where r.id = v_run.id
      returning r.* into v_run;
      if v_run.status = 'deleting' then
        perform private.proceed_sync(v_run, 'delete');
      elsif v_run.status = 'committing' then
        perform private.finish_run(v_run.id, 'completed');
      end if;
  end case;
end;
$$;

-- Validated and compared: applied, or put before an admin. Nothing new needs nobody's word.
create function private.decide_sync(p_run public.sync_runs, p_keyless integer)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_source  public.sync_sources := private.source_of(p_run);
  v_batch   public.import_batches := (select b from public.import_batches as b where b.id = p_run.import_id);
  v_preview jsonb;
  v_reason  text;
  v_run     public.sync_runs;
begin
  if v_batch.invalid_count = v_batch.row_count then
    perform private.finish_run(p_run.id, 'failed', jsonb_build_object(
      'code', 'rows_invalid',
      'message', 'no row of the source is valid',
      'details', format('%s rows', v_batch.row_count),
      'hint', 'See the issues of its import; correct the source, or its mapping.'));
    return;
  end if;

  select c.preview_data || jsonb_build_object('deletions', coalesce(p_run.deletion_count, 0)) into v_preview
  from public.sync_preview_cache as c
  where c.org_id = p_run.org_id and c.sync_type = 'import' and c.cache_key = format('%s:%s', v_batch.id, v_source.owner);
  if found then
    insert into public.sync_preview_cache (org_id, sync_type, entity_type, cache_key, preview_data)
    select p_run.org_id, 'pull', d.entity_type, format('%s:%s', p_run.id, v_source.owner), v_preview
    from public.datasets as d where d.key = v_source.dataset
    on conflict (org_id, sync_type, cache_key) do update
    set preview_data = excluded.preview_data, created_at = now(), expires_at = excluded.expires_at;
  end if;

  v_reason := coalesce(
    private.deletion_reason(v_source, p_run.known_count, p_run.deletion_count, p_keyless),
    case
      when not v_source.requires_approval or (coalesce(p_run.deletion_count, 0) = 0
        and (v_preview #>> '{counts,insert}')::integer + (v_preview #>> '{counts,update}')::integer = 0) then null
      else 'approval_required'
    end);
  update public.sync_runs as r
  set reason = v_reason, status = case when v_reason is null then 'committing' else 'awaiting_approval' end::public.sync_run_status
  where r.id = p_run.id
  returning r.* into v_run;
  if v_reason is null then
    perform private.proceed_sync(v_run, 'commit');
  end if;
end;
$$;

-- The run follows its imports, whoever moves them. Definer: it is the owner's, and an admin may act on the import.
create function private.tg_import_batches__follow_sync()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_run    public.sync_runs;
  v_mirror boolean;
begin
  select r.* into v_run
  from public.sync_runs as r
  where new.id in (r.import_id, r.delete_import_id) and r.finished_at is null
  for update;
  if not found then
    return null;
  end if;
  v_mirror := (private.source_of(v_run)).mode = 'mirror';

  if new.status in ('failed', 'cancelled') then
    perform private.finish_run(v_run.id, new.status::text::public.sync_run_status, new.error);
  elsif new.id = v_run.delete_import_id then
    if new.status = 'completed' then
      perform private.finish_run(v_run.id, 'completed');
    end if;
  elsif new.status in ('staged', 'validating') then -- somebody changed its mapping meanwhile
    update public.sync_runs as r set status = 'validating', reason = null where r.id = v_run.id;
  elsif new.status = 'validated' then
    if v_mirror then
      perform private.proceed_sync(v_run, 'compare');
    else
      perform private.decide_sync(v_run, 0);
    end if;
  elsif new.status = 'committing' and v_run.status = 'awaiting_approval' then -- by commit_import, which is an approval as well
    perform private.require_org_role(v_run.org_id, 'admin');
    update public.sync_runs as r
    set status = 'committing', approved_by = auth.uid(), approved_at = now()
    where r.id = v_run.id;
  elsif new.status = 'completed' then
    if v_mirror then
      perform private.proceed_sync(v_run, 'record');
    else
      perform private.finish_run(v_run.id, 'completed');
    end if;
  end if;
  return null;
end;
$$;

create trigger _800_follow_sync
  after update of status on public.import_batches
  for each row when (old.status is distinct from new.status and (old.status, new.status) is distinct from ('receiving', 'staged'))
  execute function private.tg_import_batches__follow_sync();

-- A file of the bucket is staged: known by the end of the job that took it in, which comes before the organization is
-- locked, and not by the import, which is locked before. Definer: as above.
create function private.tg_scheduled_jobs__follow_ingest()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_run public.sync_runs;
begin
  if not exists (select from public.sync_runs as r where r.import_id = new.batch_id) then
    return null;
  end if;
  perform private.lock_organization(new.org_id);
  update public.sync_runs as r
  set status  = 'validating',
      fetched = r.fetched || jsonb_build_object(
        'columns', b.columns, 'row_count', b.row_count, 'content_hash', b.content_hash, 'bytes', b.byte_size)
  from public.import_batches as b
  where b.id = new.batch_id and r.import_id = b.id and r.finished_at is null
  returning r.* into v_run;
  if found then
    perform private.proceed_sync(v_run, 'validate');
  end if;
  return null;
end;
$$;

create trigger _900_follow_ingest
  after update of status on public.scheduled_jobs
  for each row when (new.job_type = 'ingest' and new.status = 'completed' and old.status <> 'completed')
  execute function private.tg_scheduled_jobs__follow_ingest();

-- RPCs --------------------------------------------------------------------------------------------

-- The run, if the caller may see it: an admin of its organization.
create function private.find_sync_run(p_run_id uuid)
returns public.sync_runs
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_run public.sync_runs;
begin
  select r.* into v_run
  from public.sync_runs as r
  where r.id = p_run_id and r.org_id in (select private.org_ids('admin'));
  if not found then
    raise exception using errcode = 'PT404', message = 'sync run not found';
  end if;
  return v_run;
end;
$$;

-- The owner's preview of a run. Definer: it is kept for the owner, and shows records that admins see anyway.
create function private.sync_preview(p_run public.sync_runs)
returns jsonb
language sql stable
security definer
set search_path = ''
as $$
  select c.preview_data || jsonb_build_object('created_at', c.created_at, 'expires_at', c.expires_at)
  from public.sync_preview_cache as c
  where c.org_id = p_run.org_id and c.sync_type = 'pull' and c.cache_key like p_run.id || ':%' and c.expires_at > now()
    and p_run.org_id in (select private.org_ids('admin'));
$$;

create function private.describe_sync_run(p_run public.sync_runs)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select to_jsonb(p_run) || jsonb_build_object(
    'source', s.name,
    'dataset', s.dataset,
    'counts', (
      select jsonb_build_object(
        'inserted', coalesce(sum(c.inserted), 0), 'updated', coalesce(sum(c.updated), 0), 'unchanged', coalesce(sum(c.unchanged), 0),
        'deleted', coalesce(sum(c.deleted), 0), 'failed', coalesce(sum(coalesce(b.invalid_count, 0) + c.refused), 0),
        'skipped', coalesce(sum(b.skipped_count), 0))
      from public.import_batches as b
      cross join lateral private.outcome_counts(b) as c
      where b.id in (p_run.import_id, p_run.delete_import_id)
    ))
  from public.sync_sources as s
  where s.id = p_run.source_id;
$$;

-- Definer: runs are written by Sluice alone. Authorises first.
create function private.run_source(p_source_id uuid, p_is_forced boolean)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_source public.sync_sources := private.find_sync_source(p_source_id);
  v_run    public.sync_runs;
begin
  if v_source.kind = 'manual' or not v_source.is_active then
    raise exception using
      errcode = 'PT409',
      message = case v_source.kind when 'manual' then 'source is fed by hand' else 'source is not active' end,
      detail  = format('source %s', v_source.id),
      hint    = case v_source.kind when 'manual' then 'Upload its file (POST /imports).' else 'Set is_active (change_sync_source).' end;
  end if;

  v_run := private.start_run(v_source, null, coalesce(p_is_forced, false));
  if v_run.id is null then
    select r.* into v_run from public.sync_runs as r where r.source_id = v_source.id and r.finished_at is null order by r.created_at limit 1;
    raise exception using
      errcode = 'PT409',
      message = 'a run of the source is under way',
      detail  = format('run %s is %s', v_run.id, v_run.status),
      hint    = case v_run.status when 'awaiting_approval' then 'Approve it, or cancel it.' else 'Wait for it, or cancel it.' end;
  end if;
  return private.describe_sync_run(v_run);
end;
$$;

create function public.run_sync(source_id uuid, force boolean default false)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.run_source(run_sync.source_id, run_sync.force);
$$;
comment on function public.run_sync(uuid, boolean) is
  'Syncs a source now, in the background, with its owner''s rights; force: also what has not changed. For admins. Returns the run: '
  '{ id, org_id, source_id, source, dataset, schedule_id, status, is_forced, reason, job_id, import_id, delete_import_id, fetched, known_count, '
  'deletion_count, skipped_count, counts, error, started_by, approved_by, approved_at, created_at, started_at, finished_at }. '
  'Errors: PT404, PT409 (manual; not active; a run is under way, where the source is not to wait for it).';

-- Definer: as above.
create function private.approve_run(p_run_id uuid)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_run public.sync_runs := private.find_sync_run(p_run_id);
begin
  perform private.lock_organization(v_run.org_id);
  select r.* into v_run from public.sync_runs as r where r.id = p_run_id for update;
  if v_run.status <> 'awaiting_approval' then
    raise exception using
      errcode = 'PT409',
      message = 'sync run awaits no approval',
      detail  = format('run %s is %s', v_run.id, v_run.status),
      hint    = case when v_run.finished_at is null then 'It goes on by itself.' else 'It is at its end; run the source again.' end;
  end if;

  update public.sync_runs as r
  set status = 'committing', approved_by = auth.uid(), approved_at = now()
  where r.id = v_run.id
  returning r.* into v_run;
  perform private.proceed_sync(v_run, case b.status when 'completed' then 'record' else 'commit' end)
  from public.import_batches as b
  where b.id = v_run.import_id;
  select r.* into v_run from public.sync_runs as r where r.id = p_run_id;
  return private.describe_sync_run(v_run);
end;
$$;

create function public.approve_sync(run_id uuid)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.approve_run(approve_sync.run_id);
$$;
comment on function public.approve_sync(uuid) is
  'Lets a run go on that awaits approval: it is applied, with its owner''s rights, and what the source no longer has is deleted, up to the '
  'number that was shown. For admins. Returns the run. Errors: PT404, PT409 (awaits none).';

-- Its job, its imports, or the run itself where there is neither. Jobs and imports before the run, as their ends lock them.
-- Definer: as above.
create function private.cancel_run(p_run_id uuid)
returns jsonb
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_run    public.sync_runs := private.find_sync_run(p_run_id);
  v_import uuid;
begin
  if v_run.finished_at is null and not coalesce(private.cancel_job(v_run.job_id), false) then
    select b.id into v_import
    from public.import_batches as b
    where b.id in (v_run.import_id, v_run.delete_import_id)
      and b.status in ('receiving', 'staged', 'validating', 'validated', 'committing');
    if found then
      perform private.cancel_import(v_import);
    end if;
  end if;

  perform private.lock_organization(v_run.org_id);
  select r.* into v_run from public.sync_runs as r where r.id = p_run_id for update;
  if v_run.status in ('waiting', 'awaiting_approval') then
    perform private.finish_run(v_run.id, 'cancelled');
    select r.* into v_run from public.sync_runs as r where r.id = p_run_id;
  elsif v_run.finished_at is not null and v_run.status <> 'cancelled' then
    raise exception using
      errcode = 'PT409',
      message = 'sync run is at its end',
      detail  = format('run %s is %s', v_run.id, v_run.status),
      hint    = 'What it applied can be undone by its imports (undo_import).';
  end if;
  return private.describe_sync_run(v_run);
end;
$$;

create function public.cancel_sync(run_id uuid)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select private.cancel_run(cancel_sync.run_id);
$$;
comment on function public.cancel_sync(uuid) is
  'Stops a run, or refuses one that awaits approval; what is in flight ends, and what was applied stays. For admins. Returns the run. '
  'Errors: PT404, PT409 (at its end).';

create function public.get_sync_run(run_id uuid)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select private.describe_sync_run(r) || jsonb_build_object('preview', private.sync_preview(r))
  from private.find_sync_run(get_sync_run.run_id) as r;
$$;
comment on function public.get_sync_run(uuid) is
  'A run, as run_sync returns it, with its preview for an hour: { kind, counts: { insert, update, unchanged, delete, fail, skip }, deletions, '
  'changes, created_at, expires_at }. Errors: PT404.';

create function public.list_sync_runs(
  source_id uuid default null, status text default null, before timestamptz default null, page_size integer default 50
)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_runs jsonb;
begin
  if (list_sync_runs.page_size between 1 and 200) is not true then
    raise exception using errcode = '22023', message = 'page_size must be from 1 to 200';
  end if;
  if not pg_input_is_valid(list_sync_runs.status, 'public.sync_run_status') then
    raise exception using
      errcode = '22023',
      message = 'status is unknown',
      detail  = format('no status %s', to_json(list_sync_runs.status)),
      hint    = format('One of: %s.', array_to_string(enum_range(null::public.sync_run_status), ', '));
  end if;

  select coalesce(jsonb_agg(private.describe_sync_run(r) order by r.created_at desc), '[]') into v_runs
  from (
    select r.*
    from public.sync_runs as r
    where r.org_id in (select private.org_ids('admin'))
      and (list_sync_runs.source_id is null or r.source_id = list_sync_runs.source_id)
      and (list_sync_runs.status is null or r.status = list_sync_runs.status::public.sync_run_status)
      and (list_sync_runs.before is null or r.created_at < list_sync_runs.before)
    order by r.created_at desc
    limit list_sync_runs.page_size
  ) as r;
  return jsonb_build_object(
    'runs', v_runs,
    'next_before', case when jsonb_array_length(v_runs) = list_sync_runs.page_size then v_runs #> '{-1,created_at}' end
  );
end;
$$;
comment on function public.list_sync_runs(uuid, text, timestamptz, integer) is
  'Runs of the caller''s sources, newest first, of one source or status where given: { runs: [as run_sync], next_before: timestamp of the next page, '
  'or null }. For admins. Errors: 22023.';

-- Definer: sources are written by Sluice alone. Authorises first.
create function private.delete_sync_source(p_source_id uuid)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_source public.sync_sources := private.find_sync_source(p_source_id);
begin
  perform private.lock_organization(v_source.org_id);
  if exists (select from public.sync_runs as r where r.source_id = v_source.id and r.finished_at is null) then
    raise exception using
      errcode = 'PT409',
      message = 'a run of the source is under way',
      detail  = format('source %s', v_source.id),
      hint    = 'Wait for it, or cancel it.';
  end if;
  delete from public.sync_sources as s where s.id = v_source.id;
  perform private.log_source_activity(v_source, 'deleted');
end;
$$;

create function public.delete_sync_source(source_id uuid)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select private.delete_sync_source(delete_sync_source.source_id);
$$;
comment on function public.delete_sync_source(uuid) is
  'Deletes a source with its schedules and runs; imports and records stay. For admins. Errors: PT404, PT409 (a run is under way).';

-- Maintenance -------------------------------------------------------------------------------------

insert into private.setting_definitions (key, value_type, minimum, maximum, default_value, set_by, description) values
  ('sync.max_pages', 'number', 1, 1000000, '10000', 'postgres', 'Most pages that a run fetches.');

-- Runs are kept as long as jobs are, and the last of each source; returns how many went. For maintenance.
create function private.purge_sync_runs()
returns bigint
language sql volatile
security invoker
set search_path = ''
as $$
  with gone as (
    delete from public.sync_runs as r
    where r.id in (
      select o.id from public.sync_runs as o
      where o.finished_at < now() - make_interval(days => private.setting('jobs.history_days')::integer)
        and exists (select from public.sync_runs as n where n.source_id = o.source_id and n.created_at > o.created_at)
      limit 10000
    )
    returning 1
  )
  select count(*) from gone;
$$;

create view public.monitor_sync_sources
with (security_invoker = true)
as
select
  s.org_id,
  o.slug as organization,
  s.id as source_id,
  s.name as source,
  s.dataset,
  s.kind,
  s.mode,
  p.email as owner,
  s.is_active,
  h.schedules,
  r.id as last_run_id,
  r.status as last_status,
  r.reason,
  r.error ->> 'code' as error_code,
  r.error ->> 'message' as error_message,
  r.created_at as last_run_at,
  g.finished_at as last_good_at,
  f.failures as failures_since,
  now() - r.started_at as under_way_for
from public.sync_sources as s
join public.organization as o on o.id = s.org_id
left join public.profiles as p on p.id = s.owner
cross join lateral (
  select count(*) as schedules from public.sync_schedule as c where c.source_id = s.id and c.is_enabled
) as h
left join lateral (
  select l.* from public.sync_runs as l where l.source_id = s.id and l.status <> 'waiting' order by l.created_at desc limit 1
) as r on true
left join lateral (
  select l.created_at, l.finished_at from public.sync_runs as l
  where l.source_id = s.id and l.status in ('completed', 'unchanged')
  order by l.created_at desc limit 1
) as g on true
cross join lateral (
  select count(*) as failures from public.sync_runs as l
  where l.source_id = s.id and l.status = 'failed' and l.created_at > coalesce(g.created_at, '-infinity')
) as f
where s.org_id = any (array(select private.org_ids('admin')));
comment on view public.monitor_sync_sources is
  'Sources with their last run, why it asks or failed, when one went well and how many failed since. One row a source.';

-- Policies and grants -----------------------------------------------------------------------------

create policy sync_runs_select_admin on public.sync_runs
  for select to authenticated
  using (org_id = any (array(select private.org_ids('admin'))));
create policy sync_runs_insert on public.sync_runs
  for insert to authenticated with check (false);
create policy sync_runs_update on public.sync_runs
  for update to authenticated using (false);
create policy sync_runs_delete on public.sync_runs
  for delete to authenticated using (false);

revoke all on public.sync_runs, public.monitor_sync_sources from public, anon, authenticated, service_role;
grant select on public.sync_runs, public.monitor_sync_sources to authenticated, service_role;

revoke all on function
  public.run_sync(uuid, boolean), public.approve_sync(uuid), public.cancel_sync(uuid), public.get_sync_run(uuid),
  public.list_sync_runs(uuid, text, timestamptz, integer), public.delete_sync_source(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.run_sync(uuid, boolean), public.approve_sync(uuid), public.cancel_sync(uuid), public.get_sync_run(uuid),
  public.list_sync_runs(uuid, text, timestamptz, integer), public.delete_sync_source(uuid)
  to authenticated, service_role;

revoke all on private.sync_records from public, anon, authenticated, service_role;
revoke all on all functions in schema private from public;
grant execute on function
  private.find_sync_run(uuid), private.describe_sync_run(public.sync_runs), private.sync_preview(public.sync_runs),
  private.run_source(uuid, boolean), private.approve_run(uuid), private.cancel_run(uuid), private.delete_sync_source(uuid)
  to authenticated, service_role;
grant execute on function
  private.begin_fetch(bigint, uuid, text[]), private.advance_fetch(bigint, uuid, jsonb),
  private.finish_fetch(bigint, uuid, text[], integer, bigint, text, jsonb, jsonb)
  to sluice_ingest;
