-- Sync runs: what a source has is fetched, staged, validated, shown, and applied or put before somebody.
-- Needs: sync_sources, jobs_remote, imports_control.
-- Exposes: sync_runs; the job type sync.
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

-- What is being fetched is of one place, and read in one way.
create function private.tg_sync_sources__guard_fetch()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (select from public.sync_runs as r where r.source_id = new.id and r.status = 'fetching') then
    raise exception using
      errcode = 'PT409',
      message = 'source is being fetched',
      detail  = format('source %s', new.id),
      hint    = 'Wait for its run, or cancel it.';
  end if;
  return new;
end;
$$;

create trigger _300_guard_fetch
  before update on public.sync_sources
  for each row when (not private.keeps_state(old, new))
  execute function private.tg_sync_sources__guard_fetch();

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
    when p_error ->> 'code' = 'SY008' then 'owner_system_admin'
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

-- Called with the organization in hand. The next run that waits for this one begins, unless the source was stopped.
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
  if found and not v_source.is_active then
    perform private.finish_run(v_next.id, 'cancelled');
  elsif found then
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
  join public.organization as o on o.id = s.org_id
  where h.id = p_schedule_id and h.is_enabled and s.is_active and o.is_active;
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

revoke all on public.sync_runs from public, anon, authenticated, service_role;
grant select on public.sync_runs to authenticated, service_role;
revoke all on all functions in schema private from public;
