-- Syncs for clients: run, approve, cancel, look on; deletion of sources; what is kept of runs; how sources do.
-- Needs: sync_steps.
-- Exposes: run_sync, approve_sync, cancel_sync, get_sync_run, list_sync_runs, delete_sync_source; monitor_sync_sources.

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
  perform private.require_status(list_sync_runs.status, null::public.sync_run_status);

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
  case when r.finished_at is null then now() - r.started_at end as under_way_for
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

-- Grants ------------------------------------------------------------------------------------------

revoke all on public.monitor_sync_sources from public, anon, authenticated, service_role;
grant select on public.monitor_sync_sources to authenticated, service_role;

revoke all on function
  public.run_sync(uuid, boolean), public.approve_sync(uuid), public.cancel_sync(uuid), public.get_sync_run(uuid),
  public.list_sync_runs(uuid, text, timestamptz, integer), public.delete_sync_source(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.run_sync(uuid, boolean), public.approve_sync(uuid), public.cancel_sync(uuid), public.get_sync_run(uuid),
  public.list_sync_runs(uuid, text, timestamptz, integer), public.delete_sync_source(uuid)
  to authenticated, service_role;

revoke all on all functions in schema private from public;
grant execute on function
  private.find_sync_run(uuid), private.describe_sync_run(public.sync_runs), private.sync_preview(public.sync_runs),
  private.run_source(uuid, boolean), private.approve_run(uuid), private.cancel_run(uuid), private.delete_sync_source(uuid)
  to authenticated, service_role;
