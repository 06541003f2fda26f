-- Jobs that may not go on: their person is gone, their organization closed, their time over. Also while they wait.
begin;
select plan(34);
select tests.set_up_actors();
insert into private.settings (key, value) values ('imports.chunk_rows', '1'), ('jobs.running_per_organization', '1');

create function pg_temp.validating(p_name text) returns uuid language plpgsql as $$
declare
  v_import uuid := tests.stage_import('customers', '{external_id,name}',
    jsonb_build_array(jsonb_build_array(p_name || 1, 'x'), jsonb_build_array(p_name || 2, 'x'), jsonb_build_array(p_name || 3, 'x')));
begin
  perform tests.keep('import_' || p_name, v_import);
  perform tests.keep(p_name, (public.validate_import(v_import) ->> 'id')::uuid);
  return v_import;
end $$;
create function pg_temp.state(p_name text) returns text language sql security definer as $$
  select concat_ws(' ', j.status, j.error ->> 'code', b.status, b.error ->> 'code')
  from public.scheduled_jobs as j join public.import_batches as b on b.id = j.batch_id where j.id = tests.kept(p_name)
$$;
-- What the schedule does, and how many jobs it stopped.
create function pg_temp.tend() returns integer language plpgsql as $$
declare
  v_count integer := 0;
begin
  perform tests.act_as_role('postgres');
  while private.stop_next_unfit_job() loop
    v_count := v_count + 1;
  end loop;
  perform private.release_due_jobs();
  return v_count;
end $$;
-- A job that runs, one that queues and one that is paused, all of max's; then p_change happens, which p_back takes back.
create function pg_temp.lose(p_change text, p_back text) returns text language plpgsql as $$
declare
  v_states text;
begin
  perform tests.act_as('max');
  perform pg_temp.validating('runs');
  perform tests.run_jobs(1);
  perform pg_temp.validating('paused');
  perform public.pause_job(tests.kept('paused'));
  perform pg_temp.validating('queues');
  perform tests.act_as_role('postgres');
  execute p_change;
  perform tests.run_jobs(1);
  v_states := pg_temp.state('runs') || ', ' || pg_temp.tend();
  v_states := v_states || ': ' || pg_temp.state('queues') || ', ' || pg_temp.state('paused');
  perform tests.act_as_role('postgres');
  execute p_back;
  return v_states;
end $$;

-- The person --------------------------------------------------------------------------------------------

select is(pg_temp.lose('select 1', 'select 1'), 'running validating, 0: queued validating, paused validating',
  'who lost nothing keeps their jobs');
select tests.act_as('max');
select public.cancel_job(tests.kept(n)) from unnest('{runs,paused,queues}'::text[]) as n;

select is(
  pg_temp.lose($$ update public.profiles set is_active = false where id = tests.user_id('max') $$,
    $$ update public.profiles set is_active = true where id = tests.user_id('max') $$),
  'failed actor_deactivated failed actor_deactivated, 2: failed actor_deactivated failed actor_deactivated, failed actor_deactivated failed actor_deactivated',
  'deactivated: all of them fail, those that wait, too');
select is(
  pg_temp.lose($$ update public.profiles set org_id = null where id = tests.user_id('max') $$,
    $$ select tests.join_organization('max', 'acme', 'member') $$),
  'failed actor_left failed actor_left, 2: failed actor_left failed actor_left, failed actor_left failed actor_left',
  'out of the organization: the same');
select is(
  pg_temp.lose($$ select tests.join_organization('max', 'bolt', 'admin') $$, $$ select tests.join_organization('max', 'acme', 'member') $$),
  'failed actor_left failed actor_left, 2: failed actor_left failed actor_left, failed actor_left failed actor_left',
  'in another one: the same');
select is(
  pg_temp.lose($$ delete from public.profiles where id = tests.user_id('max') $$,
    $$ insert into public.profiles (id, org_id, email, org_role) values (tests.user_id('max'), tests.org_id('acme'), 'max@example.test', 'member') $$),
  'failed actor_deleted failed actor_deleted, 2: failed actor_deleted failed actor_deleted, failed actor_deleted failed actor_deleted',
  'without a profile: the same');
select is(
  pg_temp.lose($$ delete from auth.users where id = tests.user_id('max') $$,
    $$ select tests.add_user('max'), tests.join_organization('max', 'acme', 'member') $$),
  'failed actor_deleted failed actor_deleted, 2: failed actor_deleted failed actor_deleted, failed actor_deleted failed actor_deleted',
  'without an account: the same');
select is((select count(*) from public.scheduled_jobs as j where j.id = tests.kept('runs') and j.actor = tests.user_id('max')), 1::bigint,
  'whose jobs they were stays known');

select results_eq(
  $$ select j.error from public.scheduled_jobs as j where j.id = tests.kept('queues') $$,
  $$ values (jsonb_build_object('code', 'actor_deleted', 'message', 'the person whose job it is has no account any more',
    'details', 'user ' || tests.user_id('max'), 'hint', 'An admin of the organization can retry it, with rights of their own.')) $$,
  'the job says why, and what can be done');
select results_eq(
  $$ select l.sqlstate, l.task_id, l.attempt from public.sync_error_log as l where l.job_id = tests.kept('queues') $$,
  $$ values ('actor_deleted', null::bigint, null::smallint) $$, 'so does the log, once, of the job as such');
select tests.act_as('ann');
select tests.keep('retried', (public.retry_job(tests.kept('queues')) ->> 'id')::uuid);
select tests.run_jobs();
select is(pg_temp.state('retried'), 'completed validated', 'an admin lets it go on');

-- Demoted is another matter: the import asks, and says permission_denied.
select is(
  pg_temp.lose($$ select tests.join_organization('max', 'acme', 'viewer') $$, $$ select tests.join_organization('max', 'acme', 'member') $$),
  'failed 42501 failed permission_denied, 0: pending validating, paused validating', 'who became a viewer has a right less, and is still there');
select tests.act_as('max');
select public.cancel_job(tests.kept(n)) from unnest('{paused,queues}'::text[]) as n;

-- A right that goes while a task runs, found out by the statement itself.
select tests.act_as_role('postgres');
create function private.tg_customers__fire() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  update public.profiles set is_active = false where id = tests.user_id('max') and new.external_id = 'fired2';
  return new;
end $$;
create trigger _300_fire before insert on public.customers for each row execute function private.tg_customers__fire();
select tests.act_as('max');
select pg_temp.validating('fired');
select tests.run_jobs();
select tests.keep('fired', (public.commit_import(tests.kept('import_fired')) ->> 'id')::uuid);
select tests.run_jobs();
select is(pg_temp.state('fired'), 'failed 42501 failed permission_denied',
  'rolled back with the right, it was a refusal');
select tests.act_as_role('postgres');
drop trigger _300_fire on public.customers;
update public.profiles set is_active = true where id = tests.user_id('max');

-- System admins and the service belong to none.
select tests.act_as('sid');
select tests.keep('sids_import', tests.stage_import('customers', '{external_id,name}', '[["sid", "x"]]', p_org => 'bolt'));
select tests.keep('sids', (public.validate_import(tests.kept('sids_import')) ->> 'id')::uuid);
select tests.act_as_role('service_role');
select tests.keep('services_import', tests.stage_import('customers', '{external_id,name}', '[["svc", "x"]]', p_org => 'bolt'));
select tests.keep('services', (public.validate_import(tests.kept('services_import')) ->> 'id')::uuid);
select is(pg_temp.tend(), 0, 'jobs of system admins and of the service are fit');
update public.profiles set is_system_admin = false where id = tests.user_id('sid');
select is(pg_temp.tend(), 1, 'until a system admin is none any more');
select is(pg_temp.state('sids'), 'failed actor_left failed actor_left', 'who then belongs to no organization');

-- The organization -------------------------------------------------------------------------------------

update public.organization set is_active = false where id = tests.org_id('bolt');
select is(pg_temp.tend(), 1, 'closed, an organization has no jobs');
select is(pg_temp.state('services'), 'failed organization_closed failed organization_closed', 'not the service''s either');
update public.organization set is_active = true where id = tests.org_id('bolt');

-- What waits for another import, and is paused as that one failed: stopped like the others.
select tests.act_as('max');
select tests.keep('first', tests.stage_import('customers', '{external_id,name}', '[["1", "x"]]'));
select tests.keep('second', (public.create_import('customers', depends_on => array[tests.kept('first')]) ->> 'id')::uuid);
select tests.stage_rows(tests.kept('second'), '{external_id,name}', '[["2", "x"]]');
select tests.keep('waits', (public.validate_import(tests.kept('second')) ->> 'id')::uuid);
select public.cancel_import(tests.kept('first'));
select is(pg_temp.state('waits'), 'paused prerequisite_failed validating', 'a job that waits for what was cancelled');
select tests.act_as_role('postgres');
update public.profiles set is_active = false where id = tests.user_id('max');
select is(pg_temp.tend(), 1, 'is stopped');
select is(pg_temp.state('waits'), 'failed actor_deactivated failed actor_deactivated', 'as its person was deactivated');
update public.profiles set is_active = true where id = tests.user_id('max');

-- Time -------------------------------------------------------------------------------------------------

insert into private.settings (key, org_id, value) values ('jobs.max_minutes', tests.org_id('acme'), '10');
select tests.act_as('max');
select pg_temp.validating('long');
select is((select j.running_since from public.scheduled_jobs as j where j.id = tests.kept('long')), null, 'what waits has no time yet');
select tests.run_jobs(1);
select cmp_ok((select j.running_since from public.scheduled_jobs as j where j.id = tests.kept('long')), '>=', now(), 'it counts from its first task');
select tests.act_as_role('postgres');
update public.scheduled_jobs set running_since = now() - interval '9 minutes' where id = tests.kept('long');
select is(pg_temp.tend(), 0, 'within its time it goes on');
update public.scheduled_jobs set running_since = now() - interval '11 minutes' where id = tests.kept('long');
select tests.act_as('max');
select public.pause_job(tests.kept('long'));
select is(pg_temp.tend(), 0, 'a pause does not count');
select tests.act_as('max');
select public.resume_job(tests.kept('long'));
select tests.run_jobs(1);
select cmp_ok((select j.running_since from public.scheduled_jobs as j where j.id = tests.kept('long')), '>=', now(), 'resumed, its time begins anew');
select tests.act_as_role('postgres');
update public.scheduled_jobs set running_since = now() - interval '11 minutes' where id = tests.kept('long');
select isnt(private.claim_task(), null, 'a task of it is in flight');
select is(pg_temp.tend(), 1, 'over its time it is stopped');
select is(pg_temp.state('long'), 'running job_overdue validating', 'once that task has ended');
select is(pg_temp.tend(), 0, 'and said so once');
select tests.act_as_role('postgres');
select pg_advisory_unlock_all();
select tests.run_jobs();
select is(pg_temp.state('long'), 'failed job_overdue failed job_overdue', 'as failed, with that reason');
select matches((select j.error ->> 'details' from public.scheduled_jobs as j where j.id = tests.kept('long')), '^since .*, 10 minutes are allowed$', 'and what was allowed');
select is((select j.running_since from public.scheduled_jobs as j where j.id = tests.kept('long')), null, 'it does not run any more');
select tests.act_as('max');
select tests.keep('on', (public.retry_job(tests.kept('long')) ->> 'id')::uuid);
select tests.run_jobs();
select is(pg_temp.state('on'), 'completed validated', 'tried again, it goes on where it stopped');

-- One whose time is over while it waits for its next task is stopped by that.
select tests.act_as('max');
select pg_temp.validating('next');
select tests.run_jobs(1);
select tests.act_as_role('postgres');
update public.scheduled_jobs set running_since = now() - interval '11 minutes' where id = tests.kept('next');
select tests.run_jobs();
select is(pg_temp.state('next'), 'failed job_overdue failed job_overdue', 'the worker looks before each task, too');

select * from finish();
rollback;
