-- How many jobs of an organization may wait: one more is refused where it is made, whoever makes it.
begin;
select plan(17);
select tests.set_up_actors();
insert into private.settings (key, value) values ('jobs.running_per_organization', '2'), ('jobs.queued_per_organization', '2');

create function pg_temp.staged(p_name text) returns uuid language plpgsql as $$
begin
  perform tests.keep(p_name, tests.stage_import('customers', '{external_id,name}', jsonb_build_array(jsonb_build_array(p_name, 'x'))));
  return tests.kept(p_name);
end $$;
create function pg_temp.job(p_name text) returns text language sql as $$
  select public.get_import(tests.kept(p_name)) #>> '{job,status}'
$$;

select tests.act_as('max');
select pg_temp.staged(n) from unnest('{i1,i2,i3,i4,i5,i6}'::text[]) as n;
select is((select array_agg(public.validate_import(tests.kept(n), true) ->> 'status' order by n) from unnest('{i1,i2,i3,i4}'::text[]) as n),
  '{pending,pending,queued,queued}', 'two run and two queue');
select throws_ok($$ select public.validate_import(tests.kept('i5')) $$, 'PT429', 'organization has too many jobs waiting', 'a fifth is refused');
select is(public.get_import(tests.kept('i5')) ->> 'status', 'staged', 'and nothing of it is done');
select throws_ok(
  $$ insert into public.scheduled_jobs (job_type, params) values ('validate', jsonb_build_object('import_id', tests.kept('i5'))) $$,
  'PT429', 'organization has too many jobs waiting', 'by an insert, too');
select tests.act_as('mia');
select pg_temp.staged('mias');
select throws_ok($$ select public.validate_import(tests.kept('mias')) $$, 'PT429', 'organization has too many jobs waiting', 'whoever makes it');
select tests.act_as_role('service_role');
select throws_ok($$ select public.validate_import(tests.kept('i5')) $$, 'PT429', 'organization has too many jobs waiting', 'the service, too');
select tests.act_as('ben');
select pg_temp.staged('bens');
select is(public.validate_import(tests.kept('bens')) ->> 'status', 'pending', 'another organization is not concerned');

select tests.act_as('max');
select public.pause_import(tests.kept('i1'));
select is(pg_temp.job('i3'), 'pending', 'one that is paused makes room for the next to run');
select throws_ok($$ select public.validate_import(tests.kept('i5')) $$, 'PT429', 'organization has too many jobs waiting', 'but waits itself');
select public.cancel_import(tests.kept('i1'));
select is(public.validate_import(tests.kept('i5')) ->> 'status', 'queued', 'cancelled, it makes room');

-- What follows a job takes its place, also where the limit is less by now.
select tests.act_as_role('postgres');
update private.settings set value = '1' where key in ('jobs.running_per_organization', 'jobs.queued_per_organization');
select tests.run_jobs();
select tests.act_as('max');
select is((select array_agg(public.get_import(tests.kept(n)) ->> 'status' order by n) from unnest('{i2,i3,i4,i5}'::text[]) as n),
  '{completed,completed,completed,validated}', 'a commit that follows its validation is not refused');

-- The hint says what is allowed; who may set it.
select public.validate_import(tests.kept('i6'));
select public.validate_import(tests.kept('i5'));
select throws_like($$ select public.commit_import(tests.kept('i5')) $$, 'import is in another state', 'what has a job is told so first');
create function pg_temp.hint_of(p_sql text) returns text language plpgsql as $$
declare
  v_hint text;
begin
  execute p_sql;
  return null;
exception when others then
  get stacked diagnostics v_hint = pg_exception_hint;
  return v_hint;
end $$;
select tests.act_as('mia');
select is(pg_temp.hint_of($$ select public.validate_import(tests.kept('mias')) $$),
  'Wait until some have ended, or cancel some: 1 may run and 1 wait.', 'the hint says what is allowed');
select tests.act_as('ann');
select throws_ok($$ select public.set_setting('jobs.queued_per_organization', '1000', tests.org_id('acme')) $$,
  '42501', 'setting is not the caller''s to change', 'an admin does not raise it');
select throws_ok($$ select public.set_setting('jobs.max_minutes', '1000', tests.org_id('acme')) $$,
  '42501', 'setting is not the caller''s to change', 'nor the time that a job has');
select tests.act_as('sid');
select lives_ok($$ select public.set_setting('jobs.queued_per_organization', '10', tests.org_id('acme')) $$, 'a system admin does');
select tests.act_as('mia');
select is(public.validate_import(tests.kept('mias')) ->> 'status', 'queued', 'and it counts at once');

select * from finish();
rollback;
