-- What clients of pg_cron 1.6 see of it. The jobs are run by the local stack (local/cron.ts).

create schema cron;
create sequence cron.jobid_seq;
create sequence cron.runid_seq;

create table cron.job (
  jobid bigint primary key default nextval('cron.jobid_seq'),
  schedule text not null,
  command text not null,
  nodename text not null default 'localhost',
  nodeport int not null default inet_server_port(),
  database text not null default current_database(),
  username text not null default current_user,
  active boolean not null default true,
  jobname text,
  constraint jobname_username_uniq unique (jobname, username)
);
alter table cron.job enable row level security;
create policy cron_job_policy on cron.job using (username = current_user);

create table cron.job_run_details (
  jobid bigint,
  runid bigint primary key default nextval('cron.runid_seq'),
  job_pid int,
  database text,
  username text,
  command text,
  status text,
  return_message text,
  start_time timestamptz,
  end_time timestamptz
);
alter table cron.job_run_details enable row level security;
create policy cron_job_run_details_policy on cron.job_run_details using (username = current_user);

-- Returns the schedule when it is one; raises what pg_cron raises when it is not.
create function cron.check_schedule(p_schedule text)
returns text
language plpgsql immutable strict
set search_path = ''
as $$
declare
  c_pattern constant text := '^(?:\*|(\d+|[a-z]{3})(?:-(\d+|[a-z]{3}))?|\$)(?:/(\d+))?$';
  c_lowest constant int[] := '{0,0,1,1,0}';
  c_highest constant int[] := '{59,23,31,12,7}';
  v_fields text[] := regexp_split_to_array(btrim(p_schedule), '\s+');
  v_valid boolean := cardinality(v_fields) = 5;
  v_field int;
  v_match text[];
begin
  if p_schedule ~ '^([1-9]|[1-5][0-9]) seconds?$' or p_schedule in (
    '@hourly', '@daily', '@midnight', '@weekly', '@monthly', '@yearly', '@annually', '@reboot'
  ) then
    return p_schedule;
  end if;

  for v_field, v_match in
    select f.ordinality, regexp_match(part.value, c_pattern, 'i')
    from unnest(v_fields) with ordinality as f (value),
      string_to_table(f.value, ',') as part (value)
  loop
    v_valid := v_valid
      and v_match is not null
      and coalesce(v_match[3], '1') !~ '^0+$'
      and not exists (
        select from unnest(v_match[1:2]) as bound (value)
        where bound.value ~ '^\d+$'
          and bound.value::int not between c_lowest[v_field] and c_highest[v_field]
      );
  end loop;

  if not v_valid then
    raise exception 'invalid schedule: %', p_schedule using
      errcode = '22023',
      hint = 'Use cron format (e.g. 5 4 * * *), or interval format ''[1-59] seconds''';
  end if;
  return p_schedule;
end $$;

-- The functions take the caller from current_user, as the real ones do also inside definer functions, and hand it to
-- these, which may write the table.
create function cron.write_job(
  p_username text,
  p_jobname text,
  p_schedule text,
  p_command text,
  p_database text,
  p_active boolean
)
returns bigint
language sql
security definer
set search_path = ''
as $$
  insert into cron.job (username, jobname, schedule, command, database, active)
  values (p_username, p_jobname, cron.check_schedule(p_schedule), p_command, p_database, p_active)
  on conflict on constraint jobname_username_uniq do update
  set schedule = excluded.schedule, command = excluded.command, database = excluded.database, active = excluded.active
  returning jobid
$$;

create function cron.delete_job(p_username text, p_jobid bigint, p_jobname text)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
begin
  delete from cron.job as j
  where j.username = p_username
    and (j.jobid = p_jobid or j.jobname = p_jobname);
  if not found then
    raise exception 'could not find valid entry for job ''%''', coalesce(p_jobname, p_jobid::text);
  end if;
  return true;
end $$;

create function cron.change_job(
  p_username text,
  p_jobid bigint,
  p_schedule text,
  p_command text,
  p_database text,
  p_new_username text,
  p_active boolean
)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  if p_new_username is not null and p_new_username <> p_username then
    raise exception 'must be superuser to alter username' using errcode = '42501';
  end if;
  update cron.job as j
  set
    schedule = coalesce(cron.check_schedule(p_schedule), j.schedule),
    command = coalesce(p_command, j.command),
    database = coalesce(p_database, j.database),
    active = coalesce(p_active, j.active)
  where j.jobid = p_jobid
    and j.username = p_username;
  if not found then
    raise exception 'Job % does not exist or you don''t own it', p_jobid;
  end if;
end $$;

create function cron.schedule(job_name text, schedule text, command text)
returns bigint
language sql
as $$ select cron.write_job(current_user, job_name, schedule, command, current_database(), true) $$;

create function cron.schedule(schedule text, command text)
returns bigint
language sql
as $$ select cron.write_job(current_user, null, schedule, command, current_database(), true) $$;

create function cron.schedule_in_database(
  job_name text,
  schedule text,
  command text,
  database text,
  username text default null,
  active boolean default true
)
returns bigint
language sql
as $$ select cron.write_job(coalesce(username, current_user), job_name, schedule, command, database, active) $$;

create function cron.unschedule(job_id bigint)
returns boolean
language sql
as $$ select cron.delete_job(current_user, job_id, null) $$;

create function cron.unschedule(job_name text)
returns boolean
language sql
as $$ select cron.delete_job(current_user, null, job_name) $$;

create function cron.alter_job(
  job_id bigint,
  schedule text default null,
  command text default null,
  database text default null,
  username text default null,
  active boolean default null
)
returns void
language sql
as $$ select cron.change_job(current_user, job_id, schedule, command, database, username, active) $$;

-- What the platform grants to postgres when the extension is made.
grant usage on schema cron to @extowner@ with grant option;
grant select on cron.job to @extowner@ with grant option;
grant select, delete on cron.job_run_details to @extowner@ with grant option;
revoke execute on all functions in schema cron from public;
grant execute on all functions in schema cron to @extowner@ with grant option;

select pg_catalog.pg_extension_config_dump('cron.job', '');
