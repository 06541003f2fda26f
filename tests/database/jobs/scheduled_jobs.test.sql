-- Who starts a job, whose it is, and how many of an organization run at once.
begin;
select plan(42);
select tests.set_up_actors();

create function pg_temp.validated(p_name text)
returns uuid
language plpgsql
as $$
declare
  v_id uuid := tests.stage_import('customers', '{external_id,name}',
    jsonb_build_array(jsonb_build_array(p_name, p_name)));
begin
  perform tests.run_import(v_id, false);
  perform tests.keep(p_name, v_id);
  return v_id;
end;
$$;

-- Direct inserts --------------------------------------------------------------------------------------

select tests.act_as('max');
select pg_temp.validated('a');
select lives_ok(
  $$ insert into public.scheduled_jobs (job_type, params) values ('commit',
    jsonb_build_object('import_id', tests.kept('a'))) $$,
  'a member starts a job by inserting job_type and params');
select results_eq(
  $$ select j.org_id, j.created_by, j.run_as::text, j.actor, j.status::text, j.phase, j.batch_id, j.entity_type::text,
    j.total_count
     from public.scheduled_jobs as j where j.batch_id = tests.kept('a') and j.job_type = 'commit' $$,
  $$ values (tests.org_id('acme'), tests.user_id('max'), 'user', tests.user_id('max'), 'pending', 'commit',
    tests.kept('a'), 'customer', 1::bigint) $$,
  'the rest is filled in');
select throws_ok($$ select claims from public.scheduled_jobs $$, '42501', 'permission denied for table scheduled_jobs',
  'nobody reads claims');
select tests.run_jobs();
select is(public.get_import(tests.kept('a')) ->> 'status', 'completed', 'and it runs');

select pg_temp.validated('b');
create function pg_temp.insert_with(p_column text, p_value text)
returns text
language sql
as $$
  select format('insert into public.scheduled_jobs (job_type, params, %I) values (''commit'', %L, %L)',
    p_column, jsonb_build_object('import_id', tests.kept('b')), p_value);
$$;
select throws_ok(pg_temp.insert_with(c.name, c.value), '42501', 'permission denied for table scheduled_jobs',
  c.name || ' cannot be chosen')
from (values
  ('id', tests.user_id('max')::text), ('org_id', tests.org_id('bolt')::text),
    ('created_by', tests.user_id('ann')::text), ('status', 'running'),
  ('phase', 'x'), ('priority', '-1'), ('run_at', 'now'), ('batch_id', tests.kept('a')::text), ('entity_type', 'other'),
    ('run_as', 'service'),
  ('actor', tests.user_id('ann')::text), ('claims', '{"role": "service_role"}'), ('total_count', '1'), ('error', '{}'),
    ('finished_at', 'now')
) as c (name, value);
select tests.act_as_role('service_role');
select throws_ok(pg_temp.insert_with('actor', tests.user_id('ann')::text), '42501',
  'permission denied for table scheduled_jobs',
  'not by the service key either');

-- Even where every column may be written (no role of clients): the claims decide.
select tests.assume('postgres', jsonb_build_object('sub', tests.user_id('max'), 'role', 'authenticated'));
insert into public.scheduled_jobs (job_type, params, org_id, created_by, run_as, actor, claims, batch_id, total_count)
values ('commit', jsonb_build_object('import_id', tests.kept('b')), tests.org_id('bolt'), tests.user_id('ann'),
  'service', tests.user_id('ann'),
  '{"role": "service_role"}', tests.kept('a'), 99);
select tests.act_as_role('postgres');
select results_eq(
  $$ select j.org_id, j.created_by, j.run_as::text, j.actor, j.claims ->> 'sub', j.claims ->> 'role', j.batch_id,
    j.total_count
     from public.scheduled_jobs as j where j.batch_id = tests.kept('b') and j.job_type = 'commit' $$,
  $$ values (tests.org_id('acme'), tests.user_id('max'), 'user', tests.user_id('max'), tests.user_id('max')::text,
    'authenticated', tests.kept('b'), 1::bigint) $$,
  'nothing that an insert says names another actor');
select tests.run_jobs();

-- Params
select tests.act_as('max');
select throws_ok($$ insert into public.scheduled_jobs (job_type, params) values ('commit', '{}') $$,
  '22023', 'params must name an import', 'an import must be named');
select throws_ok($$ insert into public.scheduled_jobs (job_type, params) values ('commit',
  '{"import_id": "1; drop table x"}') $$,
  '22023', 'params must name an import', 'by its id');
select throws_ok($$ insert into public.scheduled_jobs (job_type, params) values ('commit',
  '{"import_id": "00000000-0000-0000-0000-000000000000"}') $$,
  'PT404', 'import not found', 'which must exist');
select throws_ok($$ insert into public.scheduled_jobs (job_type, params) values ('sweep', '{}') $$,
  '42501', 'new row violates row-level security policy for table "scheduled_jobs"', 'there are no other job types');
select tests.act_as('vic');
select throws_ok(format($$ insert into public.scheduled_jobs (job_type, params) values ('validate',
  '{"import_id": "%s"}') $$, tests.kept('a')),
  '42501', 'organization role required', 'a viewer starts nothing');

-- Identity --------------------------------------------------------------------------------------------

select tests.act_as_role('postgres');
select throws_ok(format('update public.scheduled_jobs set %I = %L where batch_id = tests.kept(''a'')', c.name, c.value),
  '42501', 'whose job it is cannot be changed', c.name || ' never changes')
from (values
  ('org_id', tests.org_id('bolt')::text), ('job_type', 'undo'), ('batch_id', tests.kept('b')::text),
    ('run_as', 'service'),
  ('actor', tests.user_id('ann')::text), ('claims', '{"role": "service_role"}')
) as c (name, value);
select lives_ok($$ update public.scheduled_jobs set priority = 5 where batch_id = tests.kept('a') $$, 'priority may');
select tests.act_as('ann');
select throws_ok($$ update public.scheduled_jobs set priority = 5 $$, '42501',
  'permission denied for table scheduled_jobs', 'clients change nothing');

-- Reading
select tests.act_as('vic');
select isnt_empty($$ select id from public.scheduled_jobs where batch_id = tests.kept('a') $$,
  'a viewer sees their organization''s jobs');
select tests.act_as('bob');
select is_empty($$ select id from public.scheduled_jobs where batch_id = tests.kept('a') $$, 'a stranger does not');

-- The limit -------------------------------------------------------------------------------------------

select tests.act_as_role('postgres');
insert into private.settings (key, value) values ('jobs.running_per_organization', '2');
create function pg_temp.commits(out name text, out job text, out tasks text)
returns setof record
language sql
security definer
as $$
  select n, j.status::text, coalesce((select string_agg(distinct q.status::text, ',') from public.sync_job_queue as q
    where q.job_id = j.id), '')
  from unnest('{q1,q2,q3,q4,other}'::text[]) as n
  join public.scheduled_jobs as j on j.batch_id = tests.kept(n) and j.job_type = 'commit'
  order by n;
$$;
select tests.act_as('max');
select pg_temp.validated(n) from unnest('{q1,q2,q3,q4}'::text[]) as n;
select tests.act_as('ben');
select pg_temp.validated('other');
select tests.act_as('max');
select public.commit_import(tests.kept(n)) from unnest('{q1,q2,q3,q4}'::text[]) as n;
select tests.act_as_role('postgres');
update public.scheduled_jobs set run_at = run_at - interval '1 second' where batch_id = tests.kept('q3'); -- now() stands still
select tests.act_as('ben');
select public.commit_import(tests.kept('other'));
select results_eq('select * from pg_temp.commits()',
  $$ values ('other', 'pending', 'pending'), ('q1', 'pending', 'pending'), ('q2', 'pending', 'pending'),
    ('q3', 'queued', 'held'), ('q4', 'queued', 'held') $$,
  'jobs over the limit queue with their tasks held; other organizations are not concerned');
select is(public.get_import(tests.kept('other')) #>> '{job,status}', 'pending', 'the document says so');
select tests.run_jobs(1);
select tests.run_jobs(1);
select is((select count(*) from pg_temp.commits() where job = 'queued'), 1::bigint, 'the first that ends lets one in');
select results_eq($$ select job, tasks from pg_temp.commits() where name = 'q3' $$, $$ values ('pending', 'pending') $$,
  'the one that waited longest');
select tests.act_as('max');
select is(public.cancel_import(tests.kept('q4')) ->> 'status', 'cancelled', 'a queued one can be cancelled');
select tests.run_jobs();
select results_eq('select name, job from pg_temp.commits()',
  $$ values ('other', 'completed'), ('q1', 'completed'), ('q2', 'completed'), ('q3', 'completed'),
    ('q4', 'cancelled') $$, 'the others end');

select * from finish();
rollback;
