-- Sessions: each person's own workspace around an import, and with whom they share it.
-- Needs: imports.
-- Exposes: import_sessions, import_session_shares. What people do with them is in imports_sessions_rpc.

create type public.session_status as enum ('in_progress', 'completed', 'abandoned', 'expired');
comment on type public.session_status is 'Where a person''s work on an import stands. An expired session goes on when it is opened.';

create table public.import_sessions (
  id               uuid primary key default gen_random_uuid(),
  org_id           uuid not null references public.organization (id) on delete cascade,
  created_by       uuid references auth.users (id) on delete set null,
  status           public.session_status not null default 'in_progress',
  file_name        text,
  content_hash     text,
  header_hash      text,
  batch_id         uuid references public.import_batches (id) on delete cascade,
  current_step     text not null default 'receiving',
  state            jsonb not null default '{}',
  created_at       timestamptz not null default now(),
  last_accessed_at timestamptz not null default now()
);
alter table public.import_sessions enable row level security;
comment on table public.import_sessions is 'One person''s private workspace around an import. Made with a person''s upload, not with what is synced.';
comment on column public.import_sessions.created_by is
  'The owner, who changes when it is handed over; null once their account is gone, then admins see it.';
comment on column public.import_sessions.header_hash is 'MD5 of the column names: the same kind of file has the same.';
comment on column public.import_sessions.current_step is 'The status of the import.';
comment on column public.import_sessions.state is 'What the client keeps there, to go on where one left.';
create index idx_import_sessions_user_status_created on public.import_sessions (created_by, status, created_at desc);
create index idx_import_sessions_created_by on public.import_sessions (created_by);
create index idx_import_sessions_user_hash on public.import_sessions (created_by, content_hash) where content_hash is not null;
create index idx_import_sessions_last_accessed on public.import_sessions (last_accessed_at);
create index import_sessions_org_id_idx on public.import_sessions (org_id);
create index import_sessions_batch_id_idx on public.import_sessions (batch_id);

create table public.import_session_shares (
  session_id uuid not null references public.import_sessions (id) on delete cascade,
  user_id    uuid not null references auth.users (id) on delete cascade,
  created_at timestamptz not null default now(),

  primary key (session_id, user_id)
);
alter table public.import_session_shares enable row level security;
comment on table public.import_session_shares is 'Whom the owner of a session lets work on it.';
create index import_session_shares_user_id_idx on public.import_session_shares (user_id);

-- Who -----------------------------------------------------------------------------------------------

-- Definer: the policy on sessions asks, and the one on shares asks for the session.
create function private.shared_session_ids()
returns setof uuid
language sql stable
security definer
set search_path = ''
as $$
  select h.session_id from public.import_session_shares as h where h.user_id = (select auth.uid());
$$;

-- The import is the caller's to work on: its session is theirs, or shared with them. Definer: asked within tasks.
create function private.works_on_import(p_import_id uuid)
returns boolean
language sql stable
security definer
set search_path = ''
as $$
  select exists (
    select from public.import_sessions as s
    where s.batch_id = p_import_id
      and (s.created_by = (select auth.uid()) or s.id in (select private.shared_session_ids()))
  );
$$;

-- Following the import ------------------------------------------------------------------------------

create function public.update_import_session_access()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.last_accessed_at := now();
  return new;
end;
$$;
comment on function public.update_import_session_access() is
  'Trigger: any change to a session is an access to it, but that it expires for the want of one.';

create trigger trigger_update_import_session_access
  before update on public.import_sessions
  for each row when (new.status <> 'expired')
  execute function public.update_import_session_access();

-- Definer: sessions are written by Sluice alone.
create function private.tg_import_batches__open_session()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.import_sessions (org_id, created_by, file_name, content_hash, header_hash, batch_id, current_step)
  values (
    new.org_id, new.initiated_by, new.file_name, new.content_hash, private.header_hash(new.columns), new.id, new.status::text
  );
  return null;
end;
$$;

create trigger _500_open_session
  after insert on public.import_batches
  for each row when (new.initiated_by is not null and new.source <> 'sync')
  execute function private.tg_import_batches__open_session();

-- Definer: as above.
create function private.tg_import_batches__follow_session()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.import_sessions as s
  set current_step = new.status::text,
      content_hash = new.content_hash,
      header_hash  = private.header_hash(new.columns),
      status       = case
        when new.status in ('completed', 'undone') then 'completed'
        when new.status = 'cancelled' then 'abandoned'
        else 'in_progress'
      end::public.session_status
  where s.batch_id = new.id;
  return null;
end;
$$;

create trigger _500_follow_session
  after update of status on public.import_batches
  for each row when (old.status is distinct from new.status)
  execute function private.tg_import_batches__follow_session();

-- Expiry --------------------------------------------------------------------------------------------

insert into private.setting_definitions (key, value_type, minimum, maximum, default_value, set_by, description) values
  ('imports.session_idle_hours', 'number', 1, 8760, '168', 'admin', 'Hours without an access after which a session in progress expires.');

-- Sessions that nobody came back to; returns how many. Their imports stay as they are: who opens the session goes on.
-- For maintenance.
create function private.expire_sessions()
returns bigint
language sql volatile
security invoker
set search_path = ''
as $$
  with expired as (
    update public.import_sessions as s
    set status = 'expired'
    from (
      select o.id, now() - make_interval(hours => private.setting('imports.session_idle_hours', o.id)::integer) as before
      from public.organization as o
    ) as o
    where s.org_id = o.id
      and s.status = 'in_progress'
      and s.last_accessed_at < o.before
      and not exists (select from public.scheduled_jobs as j where j.batch_id = s.batch_id and j.finished_at is null)
    returning 1
  )
  select count(*) from expired;
$$;

-- Policies and grants -------------------------------------------------------------------------------

create policy import_sessions_select_own on public.import_sessions
  for select to authenticated
  using (
    (
      org_id = any (array(select private.org_ids('viewer')))
      and (created_by = (select auth.uid()) or id = any (array(select private.shared_session_ids())))
    )
    or (created_by is null and org_id = any (array(select private.org_ids('admin'))))
    or (select private.is_system_admin())
  );

-- Who sees a session sees with whom it is shared.
create policy import_session_shares_select_own on public.import_session_shares
  for select to authenticated
  using (session_id in (select s.id from public.import_sessions as s));

revoke all on public.import_sessions, public.import_session_shares from public, anon, authenticated, service_role;
grant select on public.import_sessions, public.import_session_shares to authenticated, service_role;
revoke all on function public.update_import_session_access() from public, anon, authenticated, service_role;
grant execute on function public.update_import_session_access() to service_role;

revoke all on all functions in schema private from public;
grant execute on function private.shared_session_ids(), private.works_on_import(uuid) to authenticated, service_role;
