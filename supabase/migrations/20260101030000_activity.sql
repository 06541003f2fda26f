-- Activity: who did what to what, when. Append-only, partitioned by month, dropped by month.
-- Needs: foundation, tenancy.
-- Exposes: sync_activity_log (read by admins), its enums.

create type public.sync_type as enum ('import', 'users', 'pull', 'undo', 'delete');
create type public.sync_action as enum (
  'created', 'updated', 'deleted', 'skipped', 'failed', 'started', 'validated', 'completed', 'cancelled',
  'paused', 'resumed', 'undone', 'transferred'
);
create type public.sync_entity_type as enum (
  'customer', 'contact', 'product', 'inventory', 'order', 'invoice', 'payment', 'warehouse_location',
  'delivery_route', 'user', 'other'
);
create type public.sync_status_type as enum (
  'pending', 'queued', 'running', 'paused', 'completed', 'failed', 'cancelled'
);
comment on type public.sync_type is 'What kind of work a synchronization is.';
comment on type public.sync_action is 'What was done, in the activity log.';
comment on type public.sync_entity_type is 'What kind of thing a dataset holds.';
comment on type public.sync_status_type is
  'State of a job: pending, queued (its organization runs as many as it may, or its time has not come), running, paused, and three ends.';

create table public.sync_activity_log (
  id            uuid not null default gen_random_uuid(),
  org_id        uuid not null references public.organization (id) on delete cascade,
  user_id       uuid, -- no foreign key: the log outlives the person
  sync_id       text,
  entity_type   public.sync_entity_type not null,
  action        public.sync_action not null,
  status        public.sync_status_type not null,
  details       jsonb not null default '{}',
  error_message text,
  created_at    timestamptz not null default now(),

  primary key (id, created_at)
) partition by range (created_at);
alter table public.sync_activity_log enable row level security;
comment on table public.sync_activity_log is 'Who did what to what, when. Written by Sluice alone, never changed.';
comment on column public.sync_activity_log.user_id is 'The person who acted; null for the service key and for schedules.';
comment on column public.sync_activity_log.sync_id is 'Id of the import or job that the entry is about.';
create index sync_activity_log_org_id_created_at_idx on public.sync_activity_log (org_id, created_at desc);
create index sync_activity_log_sync_id_idx on public.sync_activity_log (sync_id);
create index sync_activity_log_user_id_idx on public.sync_activity_log (user_id, created_at desc);

select private.create_partitions('public.sync_activity_log', 'month', 3);

-- Definer: nobody may write the log directly.
create function private.log_activity(
  p_org_id uuid, p_entity_type public.sync_entity_type, p_action public.sync_action,
  p_status public.sync_status_type, p_sync_id text, p_details jsonb default '{}', p_error_message text default null
)
returns void
language sql volatile
security definer
set search_path = ''
as $$
  insert into public.sync_activity_log (org_id, user_id, sync_id, entity_type, action, status, details, error_message)
  values (p_org_id, auth.uid(), p_sync_id, p_entity_type, p_action, p_status, coalesce(p_details, '{}'), p_error_message);
$$;

create policy sync_activity_log_select on public.sync_activity_log
  for select to authenticated
  using (org_id = any (array(select private.org_ids('admin'))));
-- Closed twice: no grant, and no row, should a later grant slip in.
create policy sync_activity_log_insert on public.sync_activity_log
  for insert to authenticated with check (false);
create policy sync_activity_log_update on public.sync_activity_log
  for update to authenticated using (false);
create policy sync_activity_log_delete on public.sync_activity_log
  for delete to authenticated using (false);

revoke all on public.sync_activity_log from public, anon, authenticated, service_role;
grant select on public.sync_activity_log to authenticated, service_role;
revoke all on all functions in schema private from public;
