-- Monitoring: what administrators look at, reads only, and what clients follow.
-- Needs: all capabilities before it.
-- Exposes: monitor_imports, monitor_jobs, monitor_queue, monitor_workers, monitor_errors, monitor_organizations, monitor_partitions,
-- monitor_cron, monitor_health, admin_import_sessions_monitor.
--
-- The views run as their reader, under row level security, and show what they administer: an admin
-- their organization, system admins and the service all of them. Others see no row.

-- What belongs to no organization is theirs to see.
create function private.administers_all()
returns boolean
language sql stable
security invoker
set search_path = ''
as $$
  select private.is_service_caller() or private.is_system_admin();
$$;

create view public.monitor_imports
with (security_invoker = true)
as
select
  b.org_id,
  o.slug as organization,
  b.id as import_id,
  b.dataset,
  b.mode,
  b.status,
  b.file_name,
  p.email as initiated_by,
  b.row_count,
  c.inserted,
  c.updated,
  c.unchanged,
  c.deleted,
  coalesce(b.skipped_count, 0) as skipped,
  coalesce(b.invalid_count, 0) + c.refused as failed,
  g.percent_done,
  g.items_per_second,
  g.eta_seconds,
  b.error ->> 'code' as error_code,
  b.error ->> 'message' as error_message,
  b.created_at,
  b.finished_at,
  coalesce(b.finished_at, now()) - b.created_at as age
from public.import_batches as b
join public.organization as o on o.id = b.org_id
left join public.profiles as p on p.id = b.initiated_by
cross join lateral private.outcome_counts(b) as c
left join lateral (
  select
    round(100.0 * s.processed_count / nullif(s.total_items, 0), 1) as percent_done,
    round(s.speed_items_per_min / 60) as items_per_second,
    s.eta_seconds
  from public.scheduled_jobs as j
  join public.sync_progress as s on s.org_id = j.org_id and s.sync_id = j.id::text
  where j.batch_id = b.id
  order by j.created_at desc
  limit 1
) as g on true
where b.org_id = any (array(select private.org_ids('admin')));
comment on view public.monitor_imports is
  'Imports with what became of their rows, how far the last job is, and why they failed. One row an import.';

create view public.monitor_jobs
with (security_invoker = true)
as
select
  j.org_id,
  o.slug as organization,
  j.id as job_id,
  j.job_type,
  j.status,
  j.phase,
  j.batch_id as import_id,
  j.run_as,
  p.email as actor,
  j.total_count,
  j.done_count,
  j.failed_count,
  q.waiting_tasks,
  q.running_tasks,
  q.dead_tasks,
  e.failed_attempts,
  j.error ->> 'code' as error_code,
  j.error ->> 'message' as error_message,
  j.created_at,
  j.started_at - j.created_at as waited,
  coalesce(j.finished_at, now()) - j.started_at as ran
from public.scheduled_jobs as j
join public.organization as o on o.id = j.org_id
left join public.profiles as p on p.id = j.actor
left join lateral (
  select
    count(*) filter (where t.status in ('pending', 'held')) as waiting_tasks,
    count(*) filter (where t.status = 'running') as running_tasks,
    count(*) filter (where t.status = 'failed') as dead_tasks
  from public.sync_job_queue as t
  where t.job_id = j.id
) as q on true
left join lateral (
  select count(*) as failed_attempts from public.sync_error_log as l where l.job_id = j.id
) as e on true
where j.org_id = any (array(select private.org_ids('admin')));
comment on view public.monitor_jobs is
  'Background jobs with their tasks and failed attempts. One row a job; dead_tasks were given up.';

create view public.monitor_queue
with (security_invoker = true)
as
select
  q.org_id,
  o.slug as organization,
  j.job_type,
  count(*) filter (where q.status = 'pending' and q.next_attempt_at <= clock_timestamp()) as ready_tasks,
  count(*) filter (where q.status = 'pending' and q.next_attempt_at > clock_timestamp()) as delayed_tasks,
  count(*) filter (where q.status = 'running') as running_tasks,
  count(*) filter (where q.status = 'held') as held_tasks,
  count(*) filter (where q.status = 'failed') as dead_tasks,
  max(q.attempts) as most_attempts,
  clock_timestamp() - min(q.next_attempt_at) filter (where q.status = 'pending' and q.next_attempt_at <= clock_timestamp())
    as longest_wait
from public.sync_job_queue as q
join public.scheduled_jobs as j on j.id = q.job_id
join public.organization as o on o.id = q.org_id
where q.org_id = any (array(select private.org_ids('admin')))
group by q.org_id, o.slug, j.job_type;
comment on view public.monitor_queue is
  'Tasks in the queue by organization and job type. longest_wait beyond a few seconds: too few workers, or none.';

-- Definer: activity of other roles' sessions is hidden. Admins see workers at tasks of theirs, system
-- admins and the service every worker.
create function private.worker_activity()
returns table (
  worker text, pid integer, state text, started_at timestamptz, org_id uuid, job_id uuid, task_id bigint, task_type text,
  from_row integer, to_row integer, attempt smallint, claimed_at timestamptz
)
language plpgsql stable
security definer
set search_path = ''
as $$
declare
  v_sees_all boolean := private.administers_all();
begin
  return query
  select
    substring(a.application_name from '^sluice (.*)$'), a.pid,
    case when q.id is not null then 'working' else 'idle' end,
    a.backend_start, q.org_id, q.job_id, q.id, q.task_type, q.from_row, q.to_row, q.attempts, q.claimed_at
  from pg_stat_activity as a
  left join public.sync_job_queue as q on q.claimed_by = a.pid and q.status = 'running'
  where a.application_name ~ '^sluice jobs\.work_'
    and (v_sees_all or q.org_id in (select private.org_ids('admin')));
end;
$$;

create view public.monitor_workers
with (security_invoker = true)
as
select
  w.worker, w.pid, w.state, w.started_at, w.org_id, w.job_id, w.task_id, w.task_type, w.from_row, w.to_row, w.attempt,
  w.claimed_at, clock_timestamp() - w.claimed_at as busy_for
from private.worker_activity() as w;
comment on view public.monitor_workers is 'The workers that are alive, and the task that each is at.';

-- Definer: other people's sessions are hidden. Admins see those of their organization, system admins and the service all.
create function private.session_activity()
returns table (session public.import_sessions, owner_email text, share_count bigint)
language sql stable
security definer
set search_path = ''
as $$
  select s, p.email, (select count(*) from public.import_session_shares as h where h.session_id = s.id)
  from public.import_sessions as s
  left join public.profiles as p on p.id = s.created_by
  where s.org_id = any (array(select private.org_ids('admin')));
$$;

create view public.admin_import_sessions_monitor
with (security_invoker = true)
as
select
  (a.session).org_id,
  o.slug as organization,
  (a.session).id as session_id,
  (a.session).batch_id as import_id,
  a.owner_email,
  a.share_count as shared_with,
  (a.session).status,
  (a.session).current_step,
  (a.session).file_name,
  b.dataset,
  g.percent_done,
  b.row_count,
  c.inserted + c.updated + c.unchanged + c.deleted as applied,
  coalesce(b.skipped_count, 0) as skipped,
  coalesce(b.invalid_count, 0) + c.refused as failed,
  (a.session).created_at,
  (a.session).last_accessed_at,
  round(extract(epoch from now() - (a.session).last_accessed_at) / 3600, 1) as hours_since_last_access
from private.session_activity() as a
join public.organization as o on o.id = (a.session).org_id
join public.import_batches as b on b.id = (a.session).batch_id
cross join lateral private.outcome_counts(b) as c
left join lateral (
  select round(100.0 * s.processed_count / nullif(s.total_items, 0), 1) as percent_done
  from public.scheduled_jobs as j
  join public.sync_progress as s on s.org_id = j.org_id and s.sync_id = j.id::text
  where j.batch_id = b.id
  order by j.created_at desc
  limit 1
) as g on true;
comment on view public.admin_import_sessions_monitor is
  'People''s import sessions: whose (null: their account is gone), how far the last job is, what became of the rows, and how long nobody '
  'was there. One row a session.';

-- Errors and organizations ------------------------------------------------------------------------

create view public.monitor_errors
with (security_invoker = true)
as
select
  e.org_id,
  o.slug as organization,
  j.job_type,
  e.sqlstate as code,
  e.message,
  count(*) as times,
  count(distinct e.job_id) as jobs,
  min(e.at) as first_at,
  max(e.at) as last_at,
  (array_agg(e.job_id order by e.at desc))[1] as last_job_id,
  (array_agg(e.hint order by e.at desc))[1] as hint
from public.sync_error_log as e
join public.scheduled_jobs as j on j.id = e.job_id
join public.organization as o on o.id = e.org_id
where e.org_id = any (array(select private.org_ids('admin')))
  and e.at > now() - interval '7 days'
group by e.org_id, o.slug, j.job_type, e.sqlstate, e.message;
comment on view public.monitor_errors is
  'What went wrong in the last seven days, also where another attempt mended it. One row an organization, job type, code and message; get_job(last_job_id) tells all.';

create view public.monitor_organizations
with (security_invoker = true)
as
select
  o.id as org_id,
  o.slug as organization,
  o.is_active,
  coalesce(p.people, 0) as people,
  coalesce(p.admins, 0) as admins,
  coalesce(j.running, 0) as running_jobs,
  private.setting('jobs.running_per_organization', o.id)::integer as most_running_jobs,
  coalesce(j.waiting, 0) as waiting_jobs,
  private.setting('jobs.queued_per_organization', o.id)::integer as most_waiting_jobs,
  coalesce(j.failed, 0) as failed_jobs_last_day,
  coalesce(b.imports, 0) as imports_last_day,
  coalesce(b.rows, 0) as rows_last_day,
  b.last_at as last_import_at
from public.organization as o
left join (
  select r.org_id, count(*) as people, count(*) filter (where r.org_role = 'admin') as admins
  from public.profiles as r
  where r.is_active
  group by r.org_id
) as p on p.org_id = o.id
left join (
  select
    s.org_id,
    count(*) filter (where s.status in ('pending', 'running')) as running,
    count(*) filter (where s.status in ('queued', 'paused')) as waiting,
    count(*) filter (where s.status = 'failed') as failed
  from public.scheduled_jobs as s
  where s.finished_at is null or s.finished_at > now() - interval '1 day'
  group by s.org_id
) as j on j.org_id = o.id
left join lateral (
  select
    count(*) filter (where i.created_at > now() - interval '1 day') as imports,
    sum(i.row_count) filter (where i.created_at > now() - interval '1 day') as rows,
    max(i.created_at) as last_at
  from public.import_batches as i
  where i.org_id = o.id
) as b on true
where o.id = any (array(select private.org_ids('admin')));
comment on view public.monitor_organizations is
  'Organizations with their people, jobs (beside what is allowed) and imports. One row an organization.';

-- The system --------------------------------------------------------------------------------------
-- Of no organization: system admins and the service see it.

-- Definer: sizes and rows of partitions are closed.
create function private.partition_activity()
returns table (
  table_name text, partitions bigint, partitions_ahead bigint, covered_until date, default_rows bigint, total_bytes numeric
)
language plpgsql stable
security definer
set search_path = ''
as $$
declare
  c_most constant integer := 10000; -- rows that are counted in a default partition, where none should be
  v_parent record;
begin
  if not private.administers_all() then
    return;
  end if;

  for v_parent in
    select t.partrelid::regclass as name, nullif(t.partdefid, 0)::regclass as default_partition
    from pg_partitioned_table as t
    join pg_class as c on c.oid = t.partrelid
    where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
    order by t.partrelid::regclass::text
  loop
    table_name := v_parent.name::text;

    select count(b.from_on), count(*) filter (where b.from_on > current_date), max(b.to_on), sum(pg_total_relation_size(i.inhrelid))
    into partitions, partitions_ahead, covered_until, total_bytes
    from pg_inherits as i
    join pg_class as c on c.oid = i.inhrelid
    cross join lateral pg_get_expr(c.relpartbound, c.oid) as e (bound)
    cross join lateral (
      select
        substring(e.bound from 'FROM \(''([^'']+)''\)')::date as from_on,
        substring(e.bound from 'TO \(''([^'']+)''\)')::date as to_on
    ) as b
    where i.inhparent = v_parent.name;

    default_rows := 0;
    if v_parent.default_partition is not null then
      execute format('select count(*) from (select from %s limit %s) as r', v_parent.default_partition, c_most) into default_rows;
    end if;
    return next;
  end loop;
end;
$$;

create view public.monitor_partitions
with (security_invoker = true)
as
select
  p.table_name,
  case
    when p.default_rows > 0 then 'default partition holds rows'
    when p.partitions_ahead < 2 then 'ends soon'
    else 'ok'
  end as status,
  p.partitions, p.partitions_ahead, p.covered_until, p.default_rows, p.total_bytes
from private.partition_activity() as p;
comment on view public.monitor_partitions is
  'Partitioned tables: how far ahead their partitions reach, and what strayed into the default one, which must stay empty (10000: that many or '
  'more). maintenance.create_partitions mends both within the hour. One row a table.';

-- Definer: cron is closed.
create function private.cron_activity()
returns table (
  job text, schedule text, is_active boolean, last_status text, last_started_at timestamptz, last_ended_at timestamptz,
  last_message text, failures_last_day bigint
)
language plpgsql stable
security definer
set search_path = ''
as $$
begin
  if not private.administers_all() then
    return;
  end if;

  return query
  select j.jobname, j.schedule, j.active, d.status, d.start_time, d.end_time, d.return_message, coalesce(r.failures, 0)
  from cron.job as j
  left join (
    select
      r.jobid, max(r.runid) as last_runid,
      count(*) filter (where r.status = 'failed' and r.start_time > now() - interval '1 day') as failures
    from cron.job_run_details as r
    group by r.jobid
  ) as r on r.jobid = j.jobid
  left join cron.job_run_details as d on d.runid = r.last_runid
  where j.database = current_database();
end;
$$;

create view public.monitor_cron
with (security_invoker = true)
as
select
  c.job, c.schedule, c.is_active, c.last_status, c.last_started_at, c.last_ended_at - c.last_started_at as last_took,
  c.last_message, c.failures_last_day
from private.cron_activity() as c;
comment on view public.monitor_cron is 'The schedule''s jobs with their last run and how many failed in a day. One row a job.';

-- Health ------------------------------------------------------------------------------------------

create view public.monitor_health
with (security_invoker = true)
as
select h.subject, h.status, h.detail, case when h.status <> 'ok' then h.hint end as hint
from (
  select
    'workers' as subject,
    case when w.alive = 0 then 'failing' when w.alive < c.scheduled then 'warning' else 'ok' end as status,
    format('%s of %s are alive', w.alive, c.scheduled) as detail,
    'monitor_cron says why; select private.set_worker_count(2) schedules them anew.' as hint
  from (select count(*) as alive from public.monitor_workers as m) as w
  cross join (select count(*) as scheduled from public.monitor_cron as m where m.job ~ '^jobs\.work_' and m.is_active) as c
  where private.administers_all()
  union all
  select
    'cron',
    case when count(*) filter (where m.last_status = 'failed' or not m.is_active) > 0 then 'warning' else 'ok' end,
    coalesce(string_agg(m.job, ', ' order by m.job) filter (where m.last_status = 'failed' or not m.is_active), 'no job') || ' failed or is off',
    'See last_message in monitor_cron.'
  from public.monitor_cron as m
  having private.administers_all()
  union all
  select
    'partitions',
    case when sum(m.default_rows) > 0 then 'failing' when bool_or(m.status <> 'ok') then 'warning' else 'ok' end,
    format('%s rows in default partitions, %s ahead at least', sum(m.default_rows), min(m.partitions_ahead)),
    'select private.create_all_partitions() mends it; monitor_cron says why the schedule did not.'
  from public.monitor_partitions as m
  having private.administers_all()
  union all
  select
    'queue',
    case
      when max(m.longest_wait) > interval '10 minutes' then 'failing'
      when max(m.longest_wait) > interval '1 minute' then 'warning'
      else 'ok'
    end,
    format('%s tasks are ready, the oldest for %s', coalesce(sum(m.ready_tasks), 0),
      coalesce(date_trunc('second', max(m.longest_wait)), interval '0 seconds')),
    'Too few workers, or none: see workers.'
  from public.monitor_queue as m
  union all
  select
    'jobs',
    case when sum(m.failed_jobs_last_day) > 0 then 'warning' else 'ok' end,
    format('%s failed in a day', sum(m.failed_jobs_last_day)),
    'See monitor_errors.'
  from public.monitor_organizations as m
  union all
  select
    'limits',
    case when count(*) filter (where m.waiting_jobs >= 0.8 * m.most_waiting_jobs) > 0 then 'warning' else 'ok' end,
    format('%s organizations have nearly as many jobs waiting as they may', count(*) filter (where m.waiting_jobs >= 0.8 * m.most_waiting_jobs)),
    'See monitor_organizations; a system admin can set jobs.queued_per_organization.'
  from public.monitor_organizations as m
  union all
  select
    'uploads',
    case when count(*) > 0 then 'warning' else 'ok' end,
    format('%s have been receiving for an hour', count(*)),
    'imports.fail_interrupted fails those whose process died: see monitor_cron.'
  from public.import_batches as b
  where b.status = 'receiving' and b.created_at < now() - interval '1 hour'
) as h
where exists (select from private.org_ids('admin'));
comment on view public.monitor_health is
  'Is all well? status: ok, warning or failing; hint: what to do or where to look. One row a subject; those of the whole system '
  '(workers, cron, partitions) for system admins and the service.';

-- Realtime ----------------------------------------------------------------------------------------

-- Adds what clients follow to the platform's publication, where there is one and it lacks them. Realtime shows a
-- subscriber the rows and columns that they may select; the list of columns keeps claims from other subscribers, too.
create function private.publish_changes()
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_table record;
begin
  for v_table in
    select
      t.name,
      (
        select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
        from pg_attribute as a
        where a.attrelid = t.name and a.attnum > 0 and not a.attisdropped
          and has_column_privilege('authenticated', a.attrelid, a.attnum, 'select')
      ) as columns
    from unnest('{public.sync_progress, public.scheduled_jobs, public.import_batches}'::regclass[]) as t (name)
    join pg_publication as p on p.pubname = 'supabase_realtime' and not p.puballtables
    where not exists (select from pg_publication_rel as r where r.prpubid = p.oid and r.prrelid = t.name)
  loop
    execute format('alter publication supabase_realtime add table %s (%s)', v_table.name, v_table.columns);
  end loop;
end;
$$;

select private.publish_changes();

revoke all on
  public.monitor_imports, public.monitor_jobs, public.monitor_queue, public.monitor_workers, public.admin_import_sessions_monitor,
  public.monitor_errors, public.monitor_organizations, public.monitor_partitions, public.monitor_cron, public.monitor_health
  from public, anon, authenticated, service_role;
grant select on
  public.monitor_imports, public.monitor_jobs, public.monitor_queue, public.monitor_workers, public.admin_import_sessions_monitor,
  public.monitor_errors, public.monitor_organizations, public.monitor_partitions, public.monitor_cron, public.monitor_health
  to authenticated, service_role;
revoke all on all functions in schema private from public;
grant execute on function
  private.administers_all(), private.worker_activity(), private.session_activity(), private.partition_activity(), private.cron_activity()
  to authenticated, service_role;
