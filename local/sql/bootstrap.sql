-- The roles, schemas and privileges that a hosted project begins with. Run by a superuser, before anything else.
-- Can be run again: what is there already stays.
do $$
declare
  v_role text[];
begin
  -- postgres is no superuser on the platform either: what needs one has to fail here first.
  foreach v_role slice 1 in array array[
    ['postgres', 'login createdb createrole bypassrls replication password ''postgres'''],
    ['anon', 'nologin noinherit'],
    ['authenticated', 'nologin noinherit'],
    ['service_role', 'nologin noinherit bypassrls'],
    ['authenticator', 'login noinherit password ''postgres'''],
    ['supabase_auth_admin', 'nologin noinherit createrole'],
    ['supabase_storage_admin', 'nologin noinherit createrole'],
    ['dashboard_user', 'nologin createdb createrole replication']
  ] loop
    if to_regrole(v_role[1]) is null then
      execute format('create role %I %s', v_role[1], v_role[2]);
    end if;
  end loop;

  if exists (select from pg_roles where rolname = 'postgres' and rolsuper) then
    raise exception 'role postgres is a superuser here'
      using hint = 'Hosted projects have supabase_admin as the superuser: run initdb with --username=supabase_admin.';
  end if;
end $$;

grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role, authenticator to postgres with admin option;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres with admin option;
grant pg_create_subscription to postgres;
grant supabase_storage_admin to postgres; -- so that migrations may create policies on storage.objects

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';

do $$
begin
  execute format('alter database %I owner to postgres', current_database());
  -- The platform's limit for roles without one of their own.
  execute format('alter database %I set statement_timeout = %L', current_database(), '2min');
  execute format('alter database %I set search_path = "$user", public, extensions', current_database());
end $$;

alter schema public owner to pg_database_owner;
grant usage on schema public to anon, authenticated, service_role;
grant create on schema public to postgres;

create schema if not exists extensions authorization postgres;
grant usage on schema extensions to public;
create extension if not exists pgcrypto with schema extensions;
create extension if not exists "uuid-ossp" with schema extensions;

alter default privileges for role postgres in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;

create schema if not exists auth authorization supabase_auth_admin;
create schema if not exists storage authorization supabase_storage_admin;
grant usage on schema auth, storage to anon, authenticated, service_role, postgres;

do $$
begin
  if not exists (select from pg_publication where pubname = 'supabase_realtime') then
    create publication supabase_realtime;
    alter publication supabase_realtime owner to postgres;
  end if;
end $$;

-- Hosted projects tell PostgREST about DDL in the same way; the gateway listens.
create or replace function extensions.pgrst_ddl_watch()
returns event_trigger
language plpgsql
set search_path = ''
as $$
begin
  notify pgrst, 'reload schema';
end $$;

drop event trigger if exists pgrst_ddl_watch;
drop event trigger if exists pgrst_drop_watch;
create event trigger pgrst_ddl_watch on ddl_command_end execute function extensions.pgrst_ddl_watch();
create event trigger pgrst_drop_watch on sql_drop execute function extensions.pgrst_ddl_watch();
