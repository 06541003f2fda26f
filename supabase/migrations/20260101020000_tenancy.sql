-- Tenancy: organizations, profiles, who may see what, and who may change settings.
-- Needs: foundation.
-- Exposes: organization, profiles, create_organization, set_setting, list_settings.

create type public.org_role as enum ('viewer', 'member', 'admin');
comment on type public.org_role is 'What a person may do in their organization, in ascending order.';

create table public.organization (
  id          uuid primary key default gen_random_uuid(),
  name        text not null,
  slug        text not null,
  description text,
  is_active   boolean not null default true,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),

  constraint organization_name_check check (length(btrim(name)) between 1 and 255),
  constraint organization_slug_check check (slug ~ '^[a-z0-9](-?[a-z0-9])*$' and length(slug) <= 63)
);
alter table public.organization enable row level security;
comment on table public.organization is 'The tenant. Every row of data belongs to one.';
comment on column public.organization.slug is 'Short name for addresses: lower case letters, digits and single hyphens.';
comment on column public.organization.is_active is 'False closes the organization: its people reach nothing, its jobs fail.';
create unique index idx_organization_slug on public.organization (slug);
create index idx_organization_active on public.organization (is_active);
create index idx_organization_created on public.organization (created_at desc);

create trigger _100_touch_updated_at
  before update on public.organization
  for each row execute function private.tg__touch_updated_at();

alter table private.settings
  add constraint settings_org_id_fkey foreign key (org_id) references public.organization (id) on delete cascade;

create table public.profiles (
  id              uuid primary key references auth.users (id) on delete cascade,
  org_id          uuid references public.organization (id) on delete set null,
  email           text,
  full_name       text,
  avatar_url      text,
  org_role        public.org_role not null default 'viewer',
  is_system_admin boolean not null default false,
  is_active       boolean not null default true,
  created_at      timestamptz not null default now(),
  updated_at      timestamptz not null default now()
);
alter table public.profiles enable row level security;
comment on table public.profiles is 'A person, in at most one organization. Made when the auth user is made.';
comment on column public.profiles.org_id is 'Null until the person joins an organization.';
comment on column public.profiles.is_system_admin is 'Sees all organizations. Set by postgres or the service key alone.';
comment on column public.profiles.is_active is 'False takes every right away and leaves the account.';
create index profiles_org_id_idx on public.profiles (org_id);

create trigger _100_touch_updated_at
  before update on public.profiles
  for each row execute function private.tg__touch_updated_at();

-- Takes neither organization nor role from what the client sent: sign-up metadata is theirs to write.
-- Definer: runs as the auth service's own role, which has no right in public.
create function private.tg_auth_users__create_profile()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.profiles (id, email, full_name, avatar_url)
  values (new.id, new.email, new.raw_user_meta_data ->> 'full_name', new.raw_user_meta_data ->> 'avatar_url');
  return new;
end;
$$;

create trigger _500_create_profile
  after insert on auth.users
  for each row execute function private.tg_auth_users__create_profile();

-- Who signed up before Sluice came.
insert into public.profiles (id, email, full_name, avatar_url)
select u.id, u.email, u.raw_user_meta_data ->> 'full_name', u.raw_user_meta_data ->> 'avatar_url'
from auth.users as u;

-- Definer: as above.
create function private.tg_auth_users__copy_email()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.profiles as p set email = new.email where p.id = new.id;
  return new;
end;
$$;

create trigger _500_copy_email
  after update of email on auth.users
  for each row when (old.email is distinct from new.email)
  execute function private.tg_auth_users__copy_email();

-- Who may what ------------------------------------------------------------------------------------

create function private.is_system_admin()
returns boolean
language sql stable
security definer -- profiles' own policy would ask again
set search_path = ''
as $$
  select exists (
    select from public.profiles as p
    where p.id = (select auth.uid()) and p.is_active and p.is_system_admin
  );
$$;

-- Organizations where the caller holds at least p_minimum_role: all of them for the service and for
-- system admins. Definer: the policies on profiles call it and must not re-enter RLS.
-- plpgsql, not sql: an sql function that cannot be inlined is planned anew at every call, and a
-- merge under RLS calls this once per policy.
create function private.org_ids(p_minimum_role public.org_role)
returns setof uuid
language plpgsql stable
security definer
rows 1
set search_path = ''
as $$
declare
  v_profile public.profiles;
begin
  if private.is_service_caller() then
    return query select o.id from public.organization as o;
    return;
  end if;

  select p.* into v_profile from public.profiles as p where p.id = (select auth.uid()) and p.is_active;
  if v_profile.is_system_admin then
    return query select o.id from public.organization as o;
  elsif v_profile.org_role >= p_minimum_role then
    return query
    select o.id from public.organization as o where o.id = v_profile.org_id and o.is_active;
  end if;
end;
$$;

create function private.require_org_role(p_org_id uuid, p_minimum_role public.org_role)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
begin
  if exists (
    select from private.org_ids(p_minimum_role) as held (org_id) where held.org_id = p_org_id
  ) then
    return;
  end if;

  raise exception using
    errcode = '42501',
    message = 'organization role required',
    detail  = format('organization %s needs role %s or higher', p_org_id, p_minimum_role),
    hint    = 'Ask an admin of the organization.';
end;
$$;

-- Definer: the caller, who belongs to no organization, can write neither table.
create function private.create_organization(p_name text, p_slug text)
returns public.organization
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_profile      public.profiles;
  v_organization public.organization;
begin
  if not private.is_service_caller() then
    -- Locked, so that one who asks twice at once does not get two.
    select p.* into v_profile
    from public.profiles as p
    where p.id = (select auth.uid()) and p.is_active
    for update;

    if v_profile.id is null then
      raise exception using errcode = '42501', message = 'an active profile is required';
    end if;
    if v_profile.org_id is not null then
      raise exception using
        errcode = 'PT409',
        message = 'already in an organization',
        detail  = format('the caller belongs to organization %s', v_profile.org_id),
        hint    = 'A person belongs to one organization at most.';
    end if;
  end if;

  insert into public.organization (name, slug) values (p_name, p_slug) returning * into v_organization;

  update public.profiles as p
  set org_id = v_organization.id, org_role = 'admin'
  where p.id = v_profile.id;

  return v_organization;
end;
$$;

create function public.create_organization(name text, slug text)
returns jsonb
language sql volatile
security invoker
set search_path = ''
as $$
  select jsonb_build_object('id', o.id, 'name', o.name, 'slug', o.slug)
  from private.create_organization(create_organization.name, create_organization.slug) as o;
$$;
comment on function public.create_organization(text, text) is
  'Makes an organization; the caller, who belongs to none yet, becomes its admin (the service key: nobody does). '
  'Returns { id, name, slug }. Errors: 23514 (name or slug out of form), 23505 (slug taken), PT409 (already in one), 42501.';

-- Settings ----------------------------------------------------------------------------------------

-- Definer: the tables are closed to callers. Authorises by what the definition says.
create function private.write_setting(p_key text, p_value jsonb, p_org_id uuid)
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_set_by private.setting_authority;
begin
  select d.set_by into v_set_by from private.setting_definitions as d where d.key = p_key;
  if not found then
    raise exception using
      errcode = '22023',
      message = 'no such setting',
      detail  = p_key,
      hint    = 'list_settings names them all.';
  end if;

  if v_set_by = 'admin' and p_org_id is not null then
    perform private.require_org_role(p_org_id, 'admin');
  elsif not coalesce(
    case v_set_by
      -- postgres alone: not even the service key, which every edge function holds
      when 'postgres' then nullif(current_setting('request.jwt.claims', true), '') is null and private.is_service_caller()
      else private.is_service_caller() or private.is_system_admin()
    end, false) then
    raise exception using
      errcode = '42501',
      message = 'setting is not the caller''s to change',
      detail  = format('%s is set by %s', p_key, v_set_by);
  end if;

  insert into private.settings as s (key, org_id, value)
  values (p_key, p_org_id, p_value)
  on conflict (key, org_id) do update
  set value = excluded.value, updated_by = excluded.updated_by, updated_at = now();
end;
$$;

create function public.set_setting(key text, value jsonb, org_id uuid default null)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select private.write_setting(set_setting.key, set_setting.value, set_setting.org_id);
$$;
comment on function public.set_setting(text, jsonb, uuid) is
  'Sets a limit or switch for one organization, or for all (org_id null). Who may is part of the setting: '
  'see list_settings. Errors: 22023 (unknown, wrong type, out of bounds), 42501.';

-- Definer: as above. Reads one organization's values, which its people may know.
create function private.read_settings(p_org_id uuid)
returns table (
  key text, value jsonb, default_value jsonb, minimum numeric, maximum numeric, set_by text, description text
)
language plpgsql stable
security definer
set search_path = ''
as $$
begin
  if p_org_id is not null then
    perform private.require_org_role(p_org_id, 'viewer');
  end if;
  return query
  select d.key, private.setting(d.key, p_org_id), d.default_value, d.minimum, d.maximum, d.set_by::text, d.description
  from private.setting_definitions as d
  order by d.key;
end;
$$;

create function public.list_settings(org_id uuid default null)
returns table (
  key text, value jsonb, default_value jsonb, minimum numeric, maximum numeric, set_by text, description text
)
language sql stable
security invoker
set search_path = ''
as $$
  select s.* from private.read_settings(list_settings.org_id) as s;
$$;
comment on function public.list_settings(uuid) is
  'Every setting with the value in force for an organization (or for all), its default, bounds, and the least '
  'authority that may change it: admin, system_admin or postgres. Errors: 42501.';

-- Policies ----------------------------------------------------------------------------------------

create policy organization_select_viewer on public.organization
  for select to authenticated
  using (id = any (array(select private.org_ids('viewer'))));

create policy profiles_select_viewer on public.profiles
  for select to authenticated
  using (id = (select auth.uid()) or org_id = any (array(select private.org_ids('viewer'))));

create policy profiles_update_own on public.profiles
  for update to authenticated
  using (id = (select auth.uid()))
  with check (id = (select auth.uid()));

-- Grants ------------------------------------------------------------------------------------------

revoke all on public.organization, public.profiles from public, anon, authenticated, service_role;
grant select on public.organization, public.profiles to authenticated;
grant update (full_name, avatar_url) on public.profiles to authenticated;
grant select, insert, update, delete on public.organization, public.profiles to service_role;

revoke all on function
  public.create_organization(text, text), public.set_setting(text, jsonb, uuid), public.list_settings(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.create_organization(text, text), public.set_setting(text, jsonb, uuid), public.list_settings(uuid)
  to authenticated, service_role;

revoke all on all functions in schema private from public;
grant execute on function
  private.is_system_admin(), private.org_ids(public.org_role), private.require_org_role(uuid, public.org_role),
  private.create_organization(text, text), private.write_setting(text, jsonb, uuid), private.read_settings(uuid)
  to authenticated, service_role;
