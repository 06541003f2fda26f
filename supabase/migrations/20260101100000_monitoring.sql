-- Monitoring: what administrators look at, reads only, and what clients follow.
-- Needs: all capabilities before it.
-- Exposes: monitor_imports, monitor_jobs, monitor_queue, monitor_workers, admin_import_sessions_monitor.
--
-- The views run as their reader, under row level security, and show what they administer: an admin
-- their organization, system admins and the service all of them. Others see no row.

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
  v_sees_all boolean := private.is_service_caller() or private.is_system_admin();
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
  public.monitor_imports, public.monitor_jobs, public.monitor_queue, public.monitor_workers, public.admin_import_sessions_monitor
  from public, anon, authenticated, service_role;
grant select on
  public.monitor_imports, public.monitor_jobs, public.monitor_queue, public.monitor_workers, public.admin_import_sessions_monitor
  to authenticated, service_role;
revoke all on all functions in schema private from public;
grant execute on function private.worker_activity(), private.session_activity() to authenticated, service_role;
