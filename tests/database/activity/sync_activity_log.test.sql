-- The activity log: what is written, who reads it, that nobody changes it.
begin;
select plan(21);
select tests.set_up_actors();

select tests.act_as('max');
select tests.keep('i', tests.stage_import('customers', '{external_id,name}', '[["1", "one"]]'));
select tests.run_import(tests.kept('i'), false);
select public.set_import_mapping(tests.kept('i'), '{"external_id": "external_id", "name": "name"}');
select public.cancel_import(tests.kept('i'));
select tests.act_as_role('service_role');
select tests.keep('s', tests.stage_import('customers', '{external_id,name}', '[["2", "two"]]', p_org => 'acme'));
select tests.run_import(tests.kept('s'));

select tests.act_as('ann');
select results_eq(
  $$ select l.user_id, l.entity_type::text, l.action::text, l.status::text, l.details ->> 'import_status'
     from public.sync_activity_log as l where l.sync_id = tests.kept('i')::text order by l.created_at, l.ctid $$,
  $$ values
    (tests.user_id('max'), 'customer', 'created', 'pending', 'staged'),
    (tests.user_id('max'), 'customer', 'started', 'running', 'validating'),
    (tests.user_id('max'), 'customer', 'validated', 'pending', 'validated'),
    (tests.user_id('max'), 'customer', 'updated', 'pending', 'staged'),
    (tests.user_id('max'), 'customer', 'cancelled', 'cancelled', 'cancelled') $$,
  'what a person did to an import is logged under their name, also what workers and the upload did for them');
select results_eq(
  $$ select distinct l.user_id, l.org_id from public.sync_activity_log as l where l.sync_id = tests.kept('s')::text $$,
  $$ values (null::uuid, tests.org_id('acme')) $$, 'the service has no name');
select results_eq(
  $$ select l.action::text, l.status::text, l.details - 'elapsed_seconds' from public.sync_activity_log as l
     join public.scheduled_jobs as j on j.id::text = l.sync_id where j.batch_id = tests.kept('s')
       and j.job_type = 'commit' $$,
  $$ values ('completed', 'completed', '{"total": 1, "processed": 1, "failed": 0}'::jsonb) $$,
    'the end of a job is logged with its counts');

-- Who reads
select isnt_empty($$ select 1 from public.sync_activity_log $$, 'an admin reads their organization''s log');
select tests.act_as('max');
select is_empty($$ select 1 from public.sync_activity_log $$, 'a member does not');
select tests.act_as('vic');
select is_empty($$ select 1 from public.sync_activity_log $$, 'nor does a viewer');
select tests.act_as('bob');
select is_empty($$ select 1 from public.sync_activity_log as l where l.org_id = tests.org_id('acme') $$,
  'nor another organization''s admin');
select tests.act_as('sid');
select isnt_empty($$ select 1 from public.sync_activity_log as l where l.org_id = tests.org_id('acme') $$,
  'a system admin does');
select tests.act_as_role('anon');
select throws_ok($$ select 1 from public.sync_activity_log $$, '42501', 'permission denied for table sync_activity_log',
  'anon may not even ask');

-- Append-only, and only by Sluice
create function pg_temp.refuses(p_who text) returns setof text language sql as $$
  select throws_ok(c.sql, '42501', 'permission denied for table sync_activity_log',
    p_who || ' may not ' || split_part(c.sql, ' ', 1))
  from (values
    ('update public.sync_activity_log set action = ''deleted'''),
    ('delete from public.sync_activity_log'),
    ('insert into public.sync_activity_log (org_id, entity_type, action, status) values (tests.org_id(''acme''), ''other'', ''created'', ''completed'')'),
    ('truncate public.sync_activity_log')
  ) as c (sql)
$$;
select tests.act_as('ann');
select pg_temp.refuses('an admin');
select tests.act_as_role('service_role');
select pg_temp.refuses('the service');
select throws_ok($$ select private.log_activity(tests.org_id('acme'), 'other', 'created', 'completed', 'x') $$,
  '42501', 'permission denied for function log_activity', 'nor call the function that writes it');
select tests.act_as('ann');
select throws_ok($$ select private.log_activity(tests.org_id('acme'), 'other', 'created', 'completed', 'x') $$,
  '42501', 'permission denied for function log_activity', 'nor may an admin');

-- Closed twice: were the grants to slip in, the policies would still refuse.
select tests.act_as_role('postgres');
grant insert, update, delete on public.sync_activity_log to authenticated;
select tests.act_as('ann');
select is_empty($$ update public.sync_activity_log set action = 'deleted' returning 1 $$,
  'with a grant there would be no row to update');
select throws_ok(
  $$ insert into public.sync_activity_log (org_id, entity_type, action, status) values (tests.org_id('acme'), 'other',
    'created', 'completed') $$,
  '42501', 'new row violates row-level security policy for table "sync_activity_log"', 'and none to insert');

select * from finish();
rollback;
