-- Foundation: schemas, the ingest role, extensions, settings, partitions, shared triggers.
-- Needs: a Supabase project (roles anon, authenticated, service_role; schemas auth, extensions).
-- Exposes: nothing to clients. private.setting() and the helpers below to the later files.

create extension if not exists pg_trgm with schema extensions;
create extension if not exists pg_cron with schema pg_catalog;

-- A server that cannot have them has what they make from elsewhere.
do $$
begin
  if to_regclass('vault.decrypted_secrets') is null then
    create extension supabase_vault;
  end if;
  if to_regclass('net.http_request_queue') is null then
    create extension pg_net with schema extensions;
  end if;
end;
$$;

-- The implementation. Never among the exposed schemas: what clients may call is in public.
create schema private;
comment on schema private is 'Implementation of Sluice. Not an interface: names and shapes change without notice.';

-- What the upload's direct connection becomes before it does anything: it may add staged rows and
-- issues and call the ingest functions, no more. A role belongs to the server, so it may be there.
do $$
begin
  if to_regrole('sluice_ingest') is null then
    create role sluice_ingest nologin noinherit;
  end if;
end;
$$;
grant sluice_ingest to postgres with inherit false, set true;

-- Policies and compiled statements name what is in private; each object has grants of its own.
grant usage on schema private to authenticated, service_role, sluice_ingest;

-- Who calls ---------------------------------------------------------------------------------------

-- True for the service key, and for postgres itself (SQL editor, psql) where no claims are set.
-- A worker's task always carries claims, and the ingest role is not postgres: neither is taken for it.
create function private.is_service_caller()
returns boolean
language sql stable
security invoker
set search_path = ''
as $$
  select case
    when nullif(current_setting('request.jwt.claims', true), '') is null
      then session_user = 'postgres' and current_setting('role') in ('none', 'postgres')
    else coalesce(current_setting('request.jwt.claims', true)::jsonb ->> 'role' = 'service_role', false)
  end;
$$;

-- Settings ----------------------------------------------------------------------------------------

create type private.setting_authority as enum ('admin', 'system_admin', 'postgres');

create table private.setting_definitions (
  key           text primary key,
  value_type    text not null,
  minimum       numeric,
  maximum       numeric,
  default_value jsonb not null,
  set_by        private.setting_authority not null,
  description   text not null,

  constraint setting_definitions_value_type_check check (value_type in ('number', 'boolean', 'string'))
);
comment on table private.setting_definitions is
  'Every setting there is: JSON type, bounds, default, and the least authority that may change it.';

create table private.settings (
  key        text not null references private.setting_definitions (key),
  org_id     uuid, -- null: for all organizations. The foreign key comes with the organization.
  value      jsonb not null,
  updated_by uuid default auth.uid(),
  updated_at timestamptz not null default now(),

  constraint settings_key_org_id_key unique nulls not distinct (key, org_id)
);
create index settings_org_id_idx on private.settings (org_id);
comment on table private.settings is
  'Values that differ from the defaults, for all organizations (org_id null) or for one.';

create function private.tg_settings__guard_value()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
declare
  v_definition private.setting_definitions;
begin
  select d.* into v_definition from private.setting_definitions as d where d.key = new.key;

  if jsonb_typeof(new.value) is distinct from v_definition.value_type then
    raise exception using
      errcode = '22023',
      message = 'setting has another type',
      detail  = format('%s is a %s, got %s', new.key, v_definition.value_type, new.value);
  end if;

  if v_definition.value_type = 'number'
    and (new.value::numeric < v_definition.minimum or new.value::numeric > v_definition.maximum) then
    raise exception using
      errcode = '22023',
      message = 'setting is out of bounds',
      detail  = format('%s must be from %s to %s, got %s',
        new.key, v_definition.minimum, v_definition.maximum, new.value);
  end if;
  return new;
end;
$$;

create trigger _300_guard_value
  before insert or update on private.settings
  for each row execute function private.tg_settings__guard_value();

-- The value in force: the organization's, else everybody's, else the default.
-- Definer: callers of every role need limits, the tables are closed to them.
create function private.setting(p_key text, p_org_id uuid default null)
returns jsonb
language plpgsql stable
security definer
set search_path = ''
as $$
declare
  v_value jsonb;
begin
  select coalesce(s.value, d.default_value) into v_value
  from private.setting_definitions as d
  left join private.settings as s
    on s.key = d.key and (s.org_id = p_org_id or s.org_id is null)
  where d.key = p_key
  order by s.org_id nulls last
  limit 1;

  if not found then
    raise exception using errcode = 'IM001', message = 'no such setting', detail = p_key;
  end if;
  return v_value;
end;
$$;

-- Partitions --------------------------------------------------------------------------------------

-- Makes sure that the partitions of this month or week and of the p_ahead following ones exist.
-- They live in private with nothing granted: in public each would be open beside its parent's
-- policies. Rows that had to go to the default partition are moved into the new one; those of other months
-- or weeks get theirs, too: else they would outlive their time, as partitions are dropped whole.
create function private.create_partitions(p_parent regclass, p_unit text, p_ahead integer)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  c_suffix  constant text := case p_unit when 'month' then '"_y"YYYY"m"MM' else '"_y"IYYY"w"IW' end;
  v_table   text;
  v_key     text;
  v_default regclass;
  v_stray   date[]; -- where the months or weeks begin of what is in it
  v_from    date;
  v_to      date;
  v_name    text;
begin
  select c.relname, pg_get_partkeydef(c.oid) into v_table, v_key
  from pg_class as c
  where c.oid = p_parent;
  v_key := substring(v_key from '\((.*)\)');
  v_default := to_regclass(format('private.%I', v_table || '_default'));

  if v_default is null then
    execute format('create table private.%I partition of %s default', v_table || '_default', p_parent);
    v_default := format('private.%I', v_table || '_default')::regclass;
  end if;

  execute format('select array_agg(distinct date_trunc(%L, %I)::date) from %s where isfinite(%I)', p_unit, v_key, v_default, v_key)
  into v_stray;

  for v_from in
    select (date_trunc(p_unit, current_date) + (n || ' ' || p_unit)::interval)::date from generate_series(0, p_ahead) as n
    union
    select unnest(v_stray)
    order by 1
  loop
    v_to   := v_from + ('1 ' || p_unit)::interval;
    v_name := v_table || to_char(v_from, c_suffix);
    continue when to_regclass(format('private.%I', v_name)) is not null;

    -- Attached only when it is full: rows of its range may not stay in the default partition.
    execute format('create table private.%I (like %s including all excluding identity)', v_name, p_parent);
    execute format(
      'with moved as (delete from %s where %I >= %L and %I < %L returning *) insert into private.%I select * from moved',
      v_default, v_key, v_from, v_key, v_to, v_name);
    execute format('alter table %s attach partition private.%I for values from (%L) to (%L)',
      p_parent, v_name, v_from, v_to);
  end loop;
end;
$$;

-- Drops the partitions that end on or before p_before; returns their names.
-- The lock on the parent waits two seconds at most, so that nobody queues up behind it: a later run tries again.
create function private.drop_partitions(p_parent regclass, p_before date)
returns text[]
language plpgsql volatile
security invoker
set search_path = ''
set lock_timeout = '2s'
as $$
declare
  v_partition record;
  v_dropped   text[] := '{}';
begin
  for v_partition in
    select c.oid::regclass::text as name
    from pg_inherits as i
    join pg_class as c on c.oid = i.inhrelid
    where i.inhparent = p_parent
      and substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \(''([^'']+)''\)')::date <= p_before
  loop
    execute format('drop table %s', v_partition.name);
    v_dropped := v_dropped || v_partition.name;
  end loop;
  return v_dropped;
end;
$$;

-- Arguments ---------------------------------------------------------------------------------------

-- A status to filter by is text, so that one that is unknown is refused with what there is. p_type: null of its type.
create function private.require_status(p_status text, p_type anyenum)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
begin
  if not pg_input_is_valid(p_status, pg_typeof(p_type)::text) then
    raise exception using
      errcode = '22023',
      message = 'status is unknown',
      detail  = format('no status %s', to_json(p_status)),
      hint    = format('One of: %s.', array_to_string(enum_range(p_type), ', '));
  end if;
end;
$$;

-- Locks -------------------------------------------------------------------------------------------

-- The process that holds an advisory lock with this key in this database; null: nobody.
create function private.lock_holder(p_key bigint)
returns integer
language sql stable
security invoker
set search_path = ''
as $$
  select l.pid
  from pg_locks as l
  where l.locktype = 'advisory'
    and l.objsubid = 1 -- of one bigint, whose halves are the next two
    and (l.classid::bigint << 32 | l.objid::bigint) = p_key
    and l.database = (select d.oid from pg_database as d where d.datname = current_database())
    and l.granted;
$$;

-- Shared triggers ---------------------------------------------------------------------------------

create function private.tg__touch_updated_at()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
begin
  new.updated_at := now();
  return new;
end;
$$;

-- Grants ------------------------------------------------------------------------------------------

revoke all on all tables in schema private from public, anon, authenticated, service_role;
revoke all on all functions in schema private from public, anon, authenticated, service_role;
grant execute on function private.is_service_caller() to authenticated, service_role, sluice_ingest;
grant execute on function private.require_status(text, anyenum) to authenticated, service_role;
grant execute on function private.setting(text, uuid) to authenticated, service_role, sluice_ingest;
