-- Schedules of syncs: each is a job of pg_cron, which reads its expression.
-- Needs: sync_sources, pg_cron.
-- Exposes: create_sync_schedule, change_sync_schedule, delete_sync_schedule, list_sync_schedules.

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
  if p_schedule.cron_expression ~* 'second' or p_schedule.cron_expression ~* '^\s*@reboot' or length(p_schedule.cron_expression) > 200 then
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

revoke all on function
  public.create_sync_schedule(uuid, text, boolean, text), public.change_sync_schedule(uuid, text, boolean, text),
  public.delete_sync_schedule(uuid), public.list_sync_schedules(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.create_sync_schedule(uuid, text, boolean, text), public.change_sync_schedule(uuid, text, boolean, text),
  public.delete_sync_schedule(uuid), public.list_sync_schedules(uuid)
  to authenticated, service_role;

revoke all on all functions in schema private from public;
grant execute on function
  private.create_sync_schedule(uuid, text, boolean, text), private.change_sync_schedule(uuid, text, boolean, text),
  private.delete_sync_schedule(uuid)
  to authenticated, service_role;
