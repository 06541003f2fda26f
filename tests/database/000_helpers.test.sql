-- Helpers of the suite, in a schema of their own. This file sorts first and is the only one that
-- does not roll back: the others begin with select tests.set_up_actors().
begin;
select plan(1);

drop schema if exists tests cascade; -- a server that the suite has seen before
create schema tests;
grant usage on schema tests to anon, authenticated, service_role, sluice_ingest;

-- People and organizations ------------------------------------------------------------------------

create function tests.user_id(p_nick text)
returns uuid
language sql immutable
security invoker
set search_path = ''
as $$
  select md5('tests.user:' || p_nick)::uuid;
$$;

create function tests.org_id(p_slug text)
returns uuid
language sql immutable
security invoker
set search_path = ''
as $$
  select md5('tests.organization:' || p_slug)::uuid;
$$;

create function tests.add_user(p_nick text)
returns void
language sql volatile
security definer
set search_path = ''
as $$
  insert into auth.users (id, email, aud, role)
  values (tests.user_id(p_nick), p_nick || '@example.test', 'authenticated', 'authenticated');
$$;

create function tests.join_organization(p_nick text, p_slug text, p_role public.org_role)
returns void
language sql volatile
security definer
set search_path = ''
as $$
  update public.profiles as p
  set org_id = tests.org_id(p_slug), org_role = p_role
  where p.id = tests.user_id(p_nick);
$$;

-- acme: ann its admin, max and mia members, vic a viewer. bolt: bob its admin, ben a member.
-- Otto belongs to no organization, sid is a system admin without one.
create function tests.set_up_actors()
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
begin
  insert into public.organization (id, name, slug)
  values (tests.org_id('acme'), 'Acme', 'tests-acme'), (tests.org_id('bolt'), 'Bolt', 'tests-bolt');

  perform tests.add_user(nick) from unnest('{ann,max,mia,vic,bob,ben,otto,sid}'::text[]) as nick;
  perform
    tests.join_organization('ann', 'acme', 'admin'),
    tests.join_organization('max', 'acme', 'member'),
    tests.join_organization('mia', 'acme', 'member'),
    tests.join_organization('vic', 'acme', 'viewer'),
    tests.join_organization('bob', 'bolt', 'admin'),
    tests.join_organization('ben', 'bolt', 'member');
  update public.profiles as p set is_system_admin = true where p.id = tests.user_id('sid');
end;
$$;

-- Acting ------------------------------------------------------------------------------------------

-- Role and claims to the end of the transaction, as PostgREST sets them.
create function tests.assume(p_role text, p_claims jsonb)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select
    set_config('role', p_role, true),
    set_config('request.jwt.claims', coalesce(p_claims::text, ''), true),
    set_config('request.jwt.claim.sub', coalesce(p_claims ->> 'sub', ''), true),
    set_config('request.jwt.claim.role', coalesce(p_claims ->> 'role', ''), true);
$$;

create function tests.act_as(p_nick text)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select tests.assume('authenticated', jsonb_build_object('sub', tests.user_id(p_nick), 'role', 'authenticated'));
$$;

-- anon, service_role: with the claims of their keys. postgres, sluice_ingest: direct connections, without.
create function tests.act_as_role(p_role text)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select tests.assume(p_role, case when p_role in ('anon', 'service_role') then jsonb_build_object('role', p_role) end);
$$;

-- Remembered ids: plain SQL has no variables.
create function tests.keep(p_name text, p_id uuid)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  select set_config('tests.' || p_name, p_id::text, true);
$$;

create function tests.kept(p_name text)
returns uuid
language sql stable
security invoker
set search_path = ''
as $$
  select current_setting('tests.' || p_name)::uuid;
$$;

-- Imports -----------------------------------------------------------------------------------------

-- Stages rows as an upload does: as sluice_ingest, without claims. p_rows: an array of arrays of cells.
create function tests.stage_rows(p_import_id uuid, p_columns text[], p_rows jsonb)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_role   text := current_setting('role');
  v_claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
begin
  perform tests.assume('sluice_ingest', null);

  insert into private.import_rows (staged_on, batch_id, row_number, line_number, cells)
  select i.staged_on, p_import_id, r.position, r.position + 1, array(
    select c.cell #>> '{}' from jsonb_array_elements(r.cells) with ordinality as c (cell, position) order by c.position
  )
  from private.begin_ingest(p_import_id, p_columns, true) as i
  cross join jsonb_array_elements(p_rows) with ordinality as r (cells, position);

  perform private.finish_ingest(
    p_import_id, p_columns, jsonb_array_length(p_rows), 1000,
    encode(sha256(convert_to(p_import_id::text, 'utf8')), 'hex'), jsonb_path_query_array(p_rows, '$[0 to 19]'),
    '{"delimiter": ",", "quote": "\"", "encoding": "utf-8", "header": true}'
  );
  perform tests.assume(v_role, v_claims);
end;
$$;

-- An import of the caller, its rows staged; returns its id.
create function tests.stage_import(
  p_dataset text, p_columns text[], p_rows jsonb,
  p_mode text default null, p_mapping jsonb default null, p_options jsonb default '{}', p_org text default null
)
returns uuid
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_id uuid := public.create_import(
    p_dataset, p_mode, case when p_org is not null then tests.org_id(p_org) end,
    file_name => 'file.csv', mapping => p_mapping, options => p_options
  ) ->> 'id';
begin
  perform tests.stage_rows(v_id, p_columns, p_rows);
  return v_id;
end;
$$;

-- The worker, within the transaction: runs what is ready, at most so many tasks; returns how many.
create function tests.run_jobs(p_most integer default 1000)
returns integer
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_role   text := current_setting('role');
  v_claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  v_task   bigint;
  v_count  integer := 0;
begin
  while v_count < p_most loop
    perform tests.assume('none', null); -- a task leaves its job's claims to the transaction
    v_task := private.claim_task();
    exit when v_task is null;
    perform private.run_task(v_task);
    perform pg_advisory_unlock(private.task_lock_key(v_task));
    v_count := v_count + 1;
  end loop;
  perform tests.assume(v_role, v_claims);
  return v_count;
end;
$$;

-- Validates an import of the caller, applies it if asked for, and plays the worker; returns its status.
create function tests.run_import(p_import_id uuid, p_commit boolean default true)
returns text
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  perform public.validate_import(p_import_id, p_commit);
  perform tests.run_jobs();
  return public.get_import(p_import_id) ->> 'status';
end;
$$;

-- Counts of an import that are not zero.
create function tests.counts(p_import_id uuid)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select jsonb_object_agg(c.key, c.value::integer)
  from jsonb_each_text(public.get_import(p_import_id) -> 'counts') as c
  where c.value <> '0';
$$;

-- For statements that may raise: SQLSTATE, as throws_ok does not catch a cancellation.
create function tests.sqlstate_of(p_sql text)
returns text
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  execute p_sql;
  return '00000';
exception when query_canceled or others then
  return sqlstate;
end;
$$;

revoke all on all functions in schema tests from public;
grant execute on all functions in schema tests to anon, authenticated, service_role, sluice_ingest;

select has_schema('tests', 'the helpers are there');
select * from finish();
commit;
