-- Jobs: background work that people see, its tasks, and the bookkeeping of both.
-- Needs: foundation, tenancy, activity.
-- Exposes: scheduled_jobs, sync_job_queue, sync_retry_policy, sync_error_log, sync_progress.

create type public.job_run_as as enum ('user', 'service');
create type public.task_status as enum ('pending', 'running', 'held', 'failed');
comment on type public.job_run_as is 'Whose rights a job works with: its actor''s, or the service key''s.';
comment on type public.task_status is
  'pending: ready from next_attempt_at on; running; held: its job waits, failed or was stopped; failed: given up (dead letter). Finished tasks are deleted.';

-- Job types ---------------------------------------------------------------------------------------

-- The capabilities that have background work register it here, so that this file knows none of them.
create table private.job_types (
  job_type          text primary key,
  run_function      text not null, -- (p_task sync_job_queue) returns private.task_result: the work of one task
  advance_function  text not null, -- (p_job scheduled_jobs) returns boolean: no task is left; true: the job is done
  end_function      text not null, -- (p_job scheduled_jobs) returns void: the job completed, failed or was cancelled
  -- Of tasks that the worker function does (post_task):
  describe_function text,          -- (p_task sync_job_queue) returns jsonb: what it has to know
  complete_function text,          -- (p_task sync_job_queue, p_result jsonb) returns private.task_result: takes what it found
  right_function    text           -- (p_job scheduled_jobs) returns void: raises where the caller may not act upon it
);
comment on table private.job_types is
  'The functions behind each job type, by qualified name. Without a right_function a job is its maker''s and the admins''. A new job with '
  'params.retry goes on with what a failed one left.';

create type private.task_result as (done_count integer, failed_count integer);

-- Tables ------------------------------------------------------------------------------------------

create table public.scheduled_jobs (
  id                  uuid primary key default gen_random_uuid(),
  org_id              uuid not null references public.organization (id) on delete cascade,
  created_by          uuid default auth.uid() references auth.users (id) on delete set null,
  job_type            text not null references private.job_types (job_type),
  status              public.sync_status_type not null default 'pending',
  phase               text,
  priority            smallint not null default 0,
  run_at              timestamptz not null default now(),
  batch_id            uuid,
  entity_type         public.sync_entity_type not null default 'other',
  params              jsonb not null default '{}',
  idempotency_key     text,
  run_as              public.job_run_as not null,
  actor               uuid,
  claims              jsonb not null,
  total_count         bigint not null default 0,
  done_count          bigint not null default 0,
  failed_count        bigint not null default 0,
  result              jsonb,
  error               jsonb,
  created_at          timestamptz not null default clock_timestamp(),
  started_at          timestamptz,
  running_since       timestamptz,
  cancel_requested_at timestamptz,
  finished_at         timestamptz,

  constraint scheduled_jobs_idempotency_key_check check (length(idempotency_key) between 1 and 255),
  constraint scheduled_jobs_run_as_check check ((run_as = 'user') = (actor is not null)),
  constraint scheduled_jobs_finished_at_check check (
    (finished_at is not null) = (status in ('completed', 'failed', 'cancelled'))
  )
);
alter table public.scheduled_jobs enable row level security;
comment on table public.scheduled_jobs is
  'Background work that people see. Inserting job_type and params starts it; the rest is filled in and cannot be chosen.';
comment on column public.scheduled_jobs.phase is
  'What its tasks are at now; waiting: for other jobs, not for its turn.';
comment on column public.scheduled_jobs.priority is 'Lower runs first, within the organization.';
comment on column public.scheduled_jobs.run_at is 'Not before this time; until then it is queued.';
comment on column public.scheduled_jobs.running_since is 'When it began to run, or to run again after a pause; null while it does not.';
comment on column public.scheduled_jobs.params is 'What to do. Import jobs: { "import_id": uuid, … }.';
comment on column public.scheduled_jobs.actor is 'Whose rights it works with; null for the service. Never changes.';
comment on column public.scheduled_jobs.claims is 'The verified JWT claims of whoever started it. Never change, never shown to clients.';
comment on column public.scheduled_jobs.total_count is 'Rows to work on in all its phases; of an ingest bytes.';
comment on column public.scheduled_jobs.result is 'What came of it, where its type says more than the counts do.';
comment on column public.scheduled_jobs.error is 'Why it failed, or is about to when the tasks in flight have ended: { code, message, details, hint }.';
create index scheduled_jobs_org_id_created_at_idx on public.scheduled_jobs (org_id, created_at desc);
create index scheduled_jobs_created_by_idx on public.scheduled_jobs (created_by);
create index scheduled_jobs_job_type_idx on public.scheduled_jobs (job_type);
create index scheduled_jobs_batch_id_created_at_idx on public.scheduled_jobs (batch_id, created_at desc);
create index scheduled_jobs_unfinished_idx on public.scheduled_jobs (org_id, priority, run_at)
  where status in ('pending', 'queued', 'running');
create index scheduled_jobs_waiting_idx on public.scheduled_jobs (org_id)
  where phase = 'waiting' and finished_at is null;
create index scheduled_jobs_finished_at_idx on public.scheduled_jobs (finished_at);
create unique index scheduled_jobs_idempotency_key_key
  on public.scheduled_jobs (batch_id, job_type, actor, idempotency_key) nulls not distinct
  where idempotency_key is not null;

create table public.sync_job_queue (
  id              bigint generated always as identity primary key,
  job_id          uuid not null references public.scheduled_jobs (id) on delete cascade,
  org_id          uuid not null references public.organization (id) on delete cascade,
  task_type       text not null,
  from_row        integer not null,
  to_row          integer not null,
  args            jsonb not null default '{}',
  status          public.task_status not null default 'pending',
  priority        smallint not null default 0,
  attempts        smallint not null default 0,
  next_attempt_at timestamptz not null default clock_timestamp(),
  token           uuid,
  claimed_by      integer,
  claimed_at      timestamptz,
  created_at      timestamptz not null default clock_timestamp(),

  constraint sync_job_queue_to_row_check check (from_row <= to_row)
) with (fillfactor = 70);
alter table public.sync_job_queue enable row level security;
comment on table public.sync_job_queue is
  'Tasks: the chunks of jobs that one worker takes. Finished ones are deleted, given-up ones stay as failed.';
comment on column public.sync_job_queue.from_row is 'The range begins after this row (a bucket''s number, where the task type says so).';
comment on column public.sync_job_queue.to_row is 'The range ends with this row.';
comment on column public.sync_job_queue.args is 'What the task is about, beside its range.';
comment on column public.sync_job_queue.next_attempt_at is
  'Not claimed before; while a call of the worker function is on its way, when that counts as lost.';
comment on column public.sync_job_queue.token is
  'Set while a call of the worker function is on its way, which alone knows it. Never shown to clients.';
comment on column public.sync_job_queue.claimed_by is 'Process id of the backend that took it last.';
create index sync_job_queue_claim_idx
  on public.sync_job_queue (org_id, priority, id) where status in ('pending', 'running');
create index sync_job_queue_job_id_idx on public.sync_job_queue (job_id);
create index sync_job_queue_org_id_idx on public.sync_job_queue (org_id);

create table public.sync_retry_policy (
  job_type      text primary key references private.job_types (job_type),
  max_attempts  smallint not null default 5,
  base_delay    interval not null default '1 second',
  factor        numeric not null default 2,
  max_delay     interval not null default '1 minute',
  jitter        numeric not null default 0.2,
  retry_classes text[] not null default '{08,40,53,55,57,58,XX}',

  constraint sync_retry_policy_max_attempts_check check (max_attempts between 1 and 100),
  constraint sync_retry_policy_factor_check check (factor between 1 and 100),
  constraint sync_retry_policy_jitter_check check (jitter between 0 and 1)
);
alter table public.sync_retry_policy enable row level security;
comment on table public.sync_retry_policy is
  'When a failed task is tried again: after base_delay, times factor at each attempt up to max_delay, more or less by the share jitter.';
comment on column public.sync_retry_policy.retry_classes is 'SQLSTATE classes that are worth another attempt; all others give the task up at once.';

create table public.sync_error_log (
  id       bigint generated always as identity primary key,
  org_id   uuid not null references public.organization (id) on delete cascade,
  job_id   uuid not null references public.scheduled_jobs (id) on delete cascade,
  task_id  bigint, -- null: of the job as such
  attempt  smallint,
  sqlstate text not null,
  message  text not null,
  detail   text,
  hint     text,
  context  text,
  at       timestamptz not null default clock_timestamp()
);
alter table public.sync_error_log enable row level security;
comment on table public.sync_error_log is
  'Every failed attempt of a task, and why jobs were stopped. 57P01 "worker lost": its process ended without a word.';
comment on column public.sync_error_log.sqlstate is 'Where the job was stopped, the name of the reason: actor_left, job_overdue, …';
create index sync_error_log_org_id_at_idx on public.sync_error_log (org_id, at desc);
create index sync_error_log_job_id_idx on public.sync_error_log (job_id, at desc);
create index sync_error_log_at_idx on public.sync_error_log (at desc);

create table private.organization_turns (
  org_id       uuid primary key references public.organization (id) on delete cascade,
  served_until timestamptz not null
) with (fillfactor = 50);
comment on table private.organization_turns is
  'Whose turn is next: a clock of each organization, which goes by the time that workers are at its tasks.';

create table public.sync_progress (
  id                  uuid primary key default gen_random_uuid(),
  org_id              uuid not null references public.organization (id) on delete cascade,
  sync_id             text not null,
  entity_type         public.sync_entity_type not null,
  source_system       text not null default 'sluice',
  status              public.sync_status_type not null default 'pending',
  total_items         bigint not null default 0,
  processed_count     bigint not null default 0,
  current_item        bigint not null default 0,
  failed_count        bigint not null default 0,
  elapsed_seconds     numeric(12,3) not null default 0,
  speed_items_per_min numeric(14,1),
  eta_seconds         numeric(12,1),
  started_at          timestamptz not null default clock_timestamp(),
  updated_at          timestamptz not null default clock_timestamp(),
  completed_at        timestamptz,

  constraint sync_progress_org_id_sync_id_key unique (org_id, sync_id)
);
alter table public.sync_progress enable row level security;
comment on table public.sync_progress is 'How far each job is; one row a job (sync_id is its id).';
comment on column public.sync_progress.elapsed_seconds is 'Since started_at. Set by trigger, like the two below.';
comment on column public.sync_progress.eta_seconds is 'Seconds that the rest will take at the speed so far; null before the first item.';

-- Progress ----------------------------------------------------------------------------------------
-- These four keep the names of the documents that the system was first described in.

create function public.update_sync_progress_elapsed()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if new.status in ('completed', 'failed', 'cancelled') then
    new.completed_at := coalesce(new.completed_at, clock_timestamp());
  end if;
  new.elapsed_seconds := greatest(
    extract(epoch from coalesce(new.completed_at, clock_timestamp()) - new.started_at), 0);
  new.speed_items_per_min := case
    when new.processed_count > 0 and new.elapsed_seconds > 0 then new.processed_count / new.elapsed_seconds * 60
  end;
  new.eta_seconds := case
    when new.completed_at is not null then 0
    when new.speed_items_per_min > 0 then (new.total_items - new.processed_count) / new.speed_items_per_min * 60
  end;
  return new;
end;
$$;
comment on function public.update_sync_progress_elapsed() is
  'Trigger: derives elapsed_seconds, speed_items_per_min and eta_seconds.';

create function public.validate_sync_progress_totals()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  if least(new.total_items, new.processed_count, new.current_item, new.failed_count) < 0
    or new.processed_count > new.total_items
    or new.failed_count > new.processed_count then
    raise exception using
      errcode = '22023',
      message = 'progress counts do not fit together',
      detail  = format('total %s, processed %s, current %s, failed %s',
        new.total_items, new.processed_count, new.current_item, new.failed_count);
  end if;
  return new;
end;
$$;
comment on function public.validate_sync_progress_totals() is
  'Trigger: 0 <= failed <= processed <= total. Errors: 22023.';

create function public.update_sync_progress_timestamp()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end;
$$;
comment on function public.update_sync_progress_timestamp() is 'Trigger: stamps updated_at.';

create function public.auto_log_sync_activity_on_progress_change()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  perform private.log_activity(
    new.org_id, new.entity_type, new.status::text::public.sync_action, new.status, new.sync_id,
    jsonb_build_object('total', new.total_items, 'processed', new.processed_count,
      'failed', new.failed_count, 'elapsed_seconds', new.elapsed_seconds)
  );
  return new;
end;
$$;
comment on function public.auto_log_sync_activity_on_progress_change() is
  'Trigger: an entry in the activity log when the work ends.';

create trigger sync_progress_update_elapsed
  before insert or update on public.sync_progress
  for each row execute function public.update_sync_progress_elapsed();
create trigger sync_progress_validate_totals
  before insert or update on public.sync_progress
  for each row execute function public.validate_sync_progress_totals();
create trigger sync_progress_update_timestamp
  before update on public.sync_progress
  for each row execute function public.update_sync_progress_timestamp();
create trigger sync_progress_log_completion
  after update of status on public.sync_progress
  for each row
  when (old.status is distinct from new.status and new.status in ('completed', 'failed', 'cancelled'))
  execute function public.auto_log_sync_activity_on_progress_change();

-- Definer: progress can only be read. One source, the job's row; this one is derived.
create function private.tg_scheduled_jobs__report_progress()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.sync_progress as p (
    org_id, sync_id, entity_type, status, total_items, processed_count, current_item, failed_count, started_at
  )
  values (
    new.org_id, new.id::text, new.entity_type, new.status,
    new.total_count, new.done_count, new.done_count, new.failed_count,
    coalesce(new.started_at, clock_timestamp()) -- also where the row is there: the triggers reckon with what is proposed
  )
  on conflict (org_id, sync_id) do update
  set status          = excluded.status,
      total_items     = excluded.total_items,
      processed_count = excluded.processed_count,
      current_item    = excluded.current_item,
      failed_count    = excluded.failed_count,
      started_at      = coalesce(new.started_at, p.started_at);
  return null;
end;
$$;

create trigger _500_report_progress
  after insert or update of status, started_at, total_count, done_count, failed_count on public.scheduled_jobs
  for each row execute function private.tg_scheduled_jobs__report_progress();

-- Starting a job ----------------------------------------------------------------------------------

-- The claims that a job's tasks work under. Both forms: some auth.uid() reads the older one.
create function private.assume_claims(p_claims jsonb)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select
    set_config('request.jwt.claims', p_claims::text, true),
    set_config('request.jwt.claim.sub', coalesce(p_claims ->> 'sub', ''), true),
    set_config('request.jwt.claim.role', coalesce(p_claims ->> 'role', ''), true);
$$;

-- Whoever inserts the job is its actor: nothing that the statement says can name another.
create function private.tg_scheduled_jobs__take_actor()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.created_by := auth.uid();
  if private.is_service_caller() then
    new.run_as := 'service';
    new.actor  := null;
    new.claims := '{"role": "service_role"}';
  else
    new.run_as := 'user';
    new.actor  := auth.uid();
    new.claims := current_setting('request.jwt.claims', true)::jsonb;
  end if;
  return new;
end;
$$;

create trigger _100_take_actor
  before insert on public.scheduled_jobs
  for each row execute function private.tg_scheduled_jobs__take_actor();

-- Held to the end of the transaction by whoever starts, stops or ends a job of the organization: its jobs can
-- be counted, and who begins to wait for an import does so before or after that ends. The order of locks is a task, its
-- job, the organization, batches. A job's row is never waited for with the organization in hand, only skipped; and a
-- batch is locked for no key update: that of a job which is written twice is locked as its key before the organization.
create function private.lock_organization(p_org_id uuid)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select pg_advisory_xact_lock(hashtextextended('jobs.organization:' || p_org_id, 0));
$$;

-- An organization runs so many jobs at once; the others queue, and so many may. Definer: counts every job of the organization.
create function private.tg_scheduled_jobs__queue_over_limit()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_most_running integer := private.setting('jobs.running_per_organization', new.org_id)::integer;
  v_most_queued  integer := private.setting('jobs.queued_per_organization', new.org_id)::integer;
  v_running      bigint;
  v_waiting      bigint;
begin
  perform private.lock_organization(new.org_id);

  select
    count(*) filter (where j.status in ('pending', 'running')),
    count(*) filter (where j.status in ('queued', 'paused'))
  into v_running, v_waiting
  from public.scheduled_jobs as j
  where j.org_id = new.org_id and j.finished_at is null;

  -- What follows another job of its import takes the place of that one, which ended in this transaction.
  if v_running + v_waiting >= v_most_running + v_most_queued and not exists (
    select from public.scheduled_jobs as j
    where j.batch_id = new.batch_id and j.status = 'completed' and j.finished_at >= now()
  ) then
    raise exception using
      errcode = 'PT429',
      message = 'organization has too many jobs waiting',
      detail  = format('organization %s: %s run, %s wait', new.org_id, v_running, v_waiting),
      hint    = format('Wait until some have ended, or cancel some: %s may run and %s wait.', v_most_running, v_most_queued);
  end if;

  if new.phase = 'waiting' or new.run_at > clock_timestamp() or v_running >= v_most_running then
    new.status := 'queued';
  end if;
  return new;
end;
$$;

create trigger _400_queue_over_limit
  before insert on public.scheduled_jobs
  for each row execute function private.tg_scheduled_jobs__queue_over_limit();

create function private.tg_scheduled_jobs__guard_identity()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  raise exception using
    errcode = '42501',
    message = 'whose job it is cannot be changed',
    detail  = format('job %s', old.id),
    hint    = 'Start a new job.';
end;
$$;

create trigger _300_guard_identity
  before update on public.scheduled_jobs
  for each row when (
    (old.org_id, old.job_type, old.batch_id, old.run_as, old.actor, old.claims)
    is distinct from (new.org_id, new.job_type, new.batch_id, new.run_as, new.actor, new.claims)
  )
  execute function private.tg_scheduled_jobs__guard_identity();

-- The time that a job runs begins anew when it is resumed.
create function private.tg_scheduled_jobs__stamp_running()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.running_since := case when new.status = 'running' then clock_timestamp() end;
  return new;
end;
$$;

create trigger _500_stamp_running
  before update of status on public.scheduled_jobs
  for each row when (old.status is distinct from new.status)
  execute function private.tg_scheduled_jobs__stamp_running();

-- Lets queued jobs go while the organization runs fewer than it may: those whose time has come. Those in phase
-- waiting wait for something else.
create function private.release_queued_jobs(p_org_id uuid)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_limit integer := private.setting('jobs.running_per_organization', p_org_id)::integer;
  v_next  uuid;
begin
  perform private.lock_organization(p_org_id);

  while (
    select count(*) from public.scheduled_jobs as j
    where j.org_id = p_org_id and j.status in ('pending', 'running')
  ) < v_limit loop
    -- Skipped when locked: whoever holds it stops it, ends it, or comes here next. To wait for it here
    -- would be a deadlock: its holder may wait for the organization.
    select j.id into v_next
    from public.scheduled_jobs as j
    where j.org_id = p_org_id and j.status = 'queued' and j.phase is distinct from 'waiting'
      and j.run_at <= clock_timestamp()
    order by j.priority, j.run_at, j.created_at
    limit 1
    for no key update skip locked;
    exit when not found;

    update public.scheduled_jobs as j set status = 'pending' where j.id = v_next;
    update public.sync_job_queue as q set status = 'pending' where q.job_id = v_next and q.status = 'held';
  end loop;
end;
$$;

-- Definer: the organization's next job may be somebody else's.
create function private.tg_scheduled_jobs__release_queued()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.release_queued_jobs(new.org_id);
  return null;
end;
$$;

create trigger _800_release_queued
  after update of status on public.scheduled_jobs
  for each row
  when (old.status in ('pending', 'running') and new.status in ('paused', 'completed', 'failed', 'cancelled'))
  execute function private.tg_scheduled_jobs__release_queued();

-- What a task is that nobody works at: held, out of the claim's index, unless its job goes on.
create function private.waiting_status(p_job public.scheduled_jobs)
returns public.task_status
language sql immutable
security invoker
set search_path = ''
as $$
  select case
    when p_job.status in ('pending', 'running') and p_job.error is null then 'pending'
    else 'held'
  end::public.task_status;
$$;

-- One task per p_chunk rows; one of no rows where there are none, so that the job comes to its end.
create function private.enqueue_tasks(
  p_job public.scheduled_jobs, p_task_type text, p_from_row integer, p_to_row integer, p_chunk integer
)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  insert into public.sync_job_queue (job_id, org_id, task_type, from_row, to_row, status, priority, next_attempt_at)
  select
    p_job.id, p_job.org_id, p_task_type, n, least(n + p_chunk, p_to_row),
    private.waiting_status(p_job), p_job.priority, greatest(p_job.run_at, clock_timestamp())
  from generate_series(p_from_row, greatest(p_to_row - 1, p_from_row), p_chunk) as n;
$$;

-- Policies ----------------------------------------------------------------------------------------

create policy scheduled_jobs_select_viewer on public.scheduled_jobs
  for select to authenticated
  using (org_id = any (array(select private.org_ids('viewer'))));
create policy scheduled_jobs_insert_member on public.scheduled_jobs
  for insert to authenticated
  with check (org_id = any (array(select private.org_ids('member'))) and created_by = (select auth.uid()));
-- Here and below, what only functions do is closed twice: no grant, and no row, should a later grant slip in.
create policy scheduled_jobs_update on public.scheduled_jobs
  for update to authenticated using (false);
create policy scheduled_jobs_delete on public.scheduled_jobs
  for delete to authenticated using (false);

create policy sync_job_queue_select_admin on public.sync_job_queue
  for select to authenticated
  using (org_id = any (array(select private.org_ids('admin'))));
create policy sync_job_queue_insert on public.sync_job_queue
  for insert to authenticated with check (false);
create policy sync_job_queue_update on public.sync_job_queue
  for update to authenticated using (false);
create policy sync_job_queue_delete on public.sync_job_queue
  for delete to authenticated using (false);

create policy sync_error_log_select_admin on public.sync_error_log
  for select to authenticated
  using (org_id = any (array(select private.org_ids('admin'))));
create policy sync_error_log_insert on public.sync_error_log
  for insert to authenticated with check (false);
create policy sync_error_log_update on public.sync_error_log
  for update to authenticated using (false);
create policy sync_error_log_delete on public.sync_error_log
  for delete to authenticated using (false);

create policy sync_retry_policy_select on public.sync_retry_policy
  for select to authenticated
  using (true);
create policy sync_retry_policy_insert on public.sync_retry_policy
  for insert to authenticated with check (false);
create policy sync_retry_policy_update on public.sync_retry_policy
  for update to authenticated using (false);
create policy sync_retry_policy_delete on public.sync_retry_policy
  for delete to authenticated using (false);

create policy sync_progress_select on public.sync_progress
  for select to authenticated
  using (org_id = any (array(select private.org_ids('viewer'))));
create policy sync_progress_insert on public.sync_progress
  for insert to authenticated with check (false);
create policy sync_progress_update on public.sync_progress
  for update to authenticated using (false);
create policy sync_progress_delete on public.sync_progress
  for delete to authenticated using (false);

-- Settings ----------------------------------------------------------------------------------------

insert into private.setting_definitions (key, value_type, minimum, maximum, default_value, set_by, description) values
  ('jobs.running_per_organization', 'number', 1, 100, '3', 'system_admin', 'Jobs of one organization that run at once; further ones queue.'),
  ('jobs.queued_per_organization', 'number', 1, 10000, '100', 'system_admin', 'Jobs of one organization that wait, queued or paused, beside those that run; further ones are refused.'),
  ('jobs.max_minutes', 'number', 1, 100000, '720', 'system_admin', 'After so many minutes without a pause a job is stopped.'),
  ('jobs.task_seconds', 'number', 5, 60, '60', 'postgres', 'After so many seconds the watchdog cancels a task; with the 45 of a worker that is within the platform''s two minutes.'),
  ('jobs.history_days', 'number', 1, 3650, '90', 'system_admin', 'Days that ended jobs, their errors and progress are kept.'),
  ('activity.retention_months', 'number', 1, 120, '13', 'system_admin', 'Months that the activity log is kept.'),
  ('cron.history_days', 'number', 1, 30, '1', 'postgres', 'Days that run details of cron jobs are kept.');

-- Grants ------------------------------------------------------------------------------------------

revoke all on
  public.scheduled_jobs, public.sync_job_queue, public.sync_retry_policy, public.sync_error_log, public.sync_progress
  from public, anon, authenticated, service_role;
revoke all on sequence public.sync_job_queue_id_seq, public.sync_error_log_id_seq from public, anon, authenticated, service_role;
grant select (
    id, org_id, created_by, job_type, status, phase, priority, run_at, batch_id, entity_type, params, idempotency_key,
    run_as, actor, total_count, done_count, failed_count, result, error, created_at, started_at, running_since, cancel_requested_at, finished_at
  ) on public.scheduled_jobs to authenticated, service_role;
grant insert (job_type, params, idempotency_key) on public.scheduled_jobs to authenticated, service_role;
grant select (
    id, job_id, org_id, task_type, from_row, to_row, args, status, priority, attempts, next_attempt_at, claimed_by,
    claimed_at, created_at
  ) on public.sync_job_queue to authenticated, service_role;
grant select on public.sync_error_log, public.sync_progress, public.sync_retry_policy to authenticated, service_role;
grant update on public.sync_retry_policy to service_role;

revoke all on function
  public.update_sync_progress_elapsed(), public.validate_sync_progress_totals(),
  public.update_sync_progress_timestamp(), public.auto_log_sync_activity_on_progress_change()
  from public, anon, authenticated, service_role;
grant execute on function
  public.update_sync_progress_elapsed(), public.validate_sync_progress_totals(),
  public.update_sync_progress_timestamp(), public.auto_log_sync_activity_on_progress_change()
  to service_role;
revoke all on all tables in schema private from public, anon, authenticated, service_role;
revoke all on all functions in schema private from public;
