-- depends_on and sets: what an import waits for, when it goes on, what stops it; circles; who may.
begin;
select plan(87);
select tests.set_up_actors();

-- A staged import of the caller; customers 1 and contact 1 of customer 1, unless given.
create function pg_temp.stage(p_name text, p_dataset text default 'customers', p_set text default null,
  p_depends_on uuid[] default null, p_rows jsonb default null) returns uuid language plpgsql as $$
declare
  v_id uuid := public.create_import(p_dataset, set_id => case when p_set is not null then tests.kept(p_set) end,
    depends_on => p_depends_on) ->> 'id';
begin
  perform tests.stage_rows(v_id,
    case p_dataset when 'contacts' then '{external_id,customer,last_name}' when 'products' then '{sku,name,unit_price}'
      else '{external_id,name}' end::text[],
    coalesce(p_rows, case p_dataset when 'contacts' then '[["1", "1", "one"]]' when 'products' then '[["1", "one", "1"]]'
      else '[["1", "one"]]' end::jsonb));
  perform tests.keep(p_name, v_id);
  return v_id;
end $$;
create function pg_temp.state(p_name text) returns text language sql as $$
  select concat_ws(' ', d ->> 'status', d #>> '{job,job_type}', d #>> '{job,status}', d #>> '{job,phase}', d #>> '{job,error,code}')
  from public.get_import(tests.kept(p_name)) as d
$$;
create function pg_temp.waiting_for(p_name text) returns text language sql as $$
  select string_agg(concat_ws(' ', w ->> 'dataset', w ->> 'status'), ', ')
  from jsonb_array_elements(public.get_import(tests.kept(p_name)) -> 'waiting_for') as w
$$;
create function pg_temp.fail(p_name text) returns void language plpgsql as $$
begin
  update public.scheduled_jobs as j set error = '{"code": "X", "message": "x"}' where j.batch_id = tests.kept(p_name) and j.finished_at is null;
  update public.sync_job_queue as q set status = 'failed'
  from public.scheduled_jobs as j where j.id = q.job_id and j.batch_id = tests.kept(p_name);
  perform private.end_failing_job(j) from public.scheduled_jobs as j where j.batch_id = tests.kept(p_name) and j.finished_at is null;
end $$;

-- depends_on: who and what ---------------------------------------------------------------------------------

select tests.act_as('ben');
select pg_temp.stage('bolts');
select tests.act_as('mia');
select pg_temp.stage('mias');
select tests.act_as('max');
select pg_temp.stage('a'), pg_temp.stage('b', 'products');
select pg_temp.stage('c', 'contacts', p_depends_on => array[tests.kept('b'), tests.kept('a'), tests.kept('b')]);
select is((select array_agg(d order by d) from jsonb_array_elements_text(public.get_import(tests.kept('c')) -> 'depends_on') as d),
  (select array_agg(d::text order by d::text) from unnest(array[tests.kept('a'), tests.kept('b')]) as d), 'each is named once');
select is(pg_temp.waiting_for('c'), 'customers staged, products staged', 'the document says what it waits for');
select lives_ok($$ select public.create_import('customers', depends_on => array[tests.kept('mias')]) $$,
  'one may wait for an import of a colleague');
select throws_ok($$ select public.create_import('customers', depends_on => array[tests.kept('bolts')]) $$, 'PT404',
  'import not found', 'not for one of another organization');
select throws_ok($$ select public.create_import('customers', depends_on => array['00000000-0000-0000-0000-00000000dead'::uuid]) $$,
  'PT404', 'import not found', 'nor for none');
select throws_ok($$ select public.create_import('customers', depends_on => array[null::uuid]) $$, 'PT404',
  'import not found', 'nor for null');
select throws_ok($$ select public.create_import('customers', depends_on => array(select gen_random_uuid() from generate_series(1, 101))) $$,
  '22023', 'depends_on names too many imports', 'nor for a crowd');
select throws_ok($$ select public.set_import_mapping(tests.kept('a'), depends_on => array[tests.kept('bolts')]) $$, 'PT404',
  'import not found', 'nor later');
select tests.act_as('bob');
select throws_ok($$ select public.set_import_mapping(tests.kept('a'), depends_on => array[tests.kept('bolts')]) $$, 'PT404',
  'import not found', 'a stranger changes nothing');
select tests.act_as('mia');
select throws_ok($$ select public.set_import_mapping(tests.kept('a'), depends_on => '{}') $$, '42501',
  'organization role required', 'nor another member');
select tests.act_as('sid');
select throws_ok($$ select public.set_import_mapping(tests.kept('a'), depends_on => array[tests.kept('bolts')]) $$, 'PT404',
  'import not found', 'nor does a system admin tie organizations together');

-- Circles
select tests.act_as('max');
select throws_ok($$ select public.set_import_mapping(tests.kept('a'), depends_on => array[tests.kept('a')]) $$, '22023',
  'imports would wait for each other', 'an import does not wait for itself');
select throws_ok($$ select public.set_import_mapping(tests.kept('a'), depends_on => array[tests.kept('c')]) $$, '22023',
  'imports would wait for each other', 'nor for one that waits for it');
select lives_ok($$ select public.set_import_mapping(tests.kept('b'), depends_on => array[tests.kept('a')]) $$,
  'two ways to the same end are no circle');
create function pg_temp.circle() returns text language plpgsql as $$
declare
  v_detail text;
begin
  perform public.set_import_mapping(tests.kept('a'), depends_on => array[tests.kept('c')]);
exception when sqlstate '22023' then
  get stacked diagnostics v_detail = pg_exception_detail;
  return v_detail;
end $$;
select is(pg_temp.circle(), format('customers (%s) waits for contacts (%s) waits for customers (%1$s)', tests.kept('a'), tests.kept('c')),
  'the circle is named');
select is(public.set_import_mapping(tests.kept('b'), depends_on => '{}') -> 'depends_on', '[]', 'it can be taken back');
select is(jsonb_array_length(public.set_import_mapping(tests.kept('c'), options => '{"blank": "clear"}') -> 'depends_on'), 2,
  'and stays where nothing is said');

-- Waiting ------------------------------------------------------------------------------------------------

select is(public.validate_import(tests.kept('c'), true) ->> 'status', 'queued', 'it is started, and waits');
select is(pg_temp.state('c'), 'validating validate queued waiting', 'in phase waiting');
select is(tests.run_jobs(), 0, 'nothing of it is ready');
select is(tests.run_import(tests.kept('a')), 'completed', 'the first one completes');
select is(pg_temp.state('c') || ': ' || pg_temp.waiting_for('c'), 'validating validate queued waiting: products staged',
  'it waits for the other');
select is(tests.run_import(tests.kept('b'), false), 'validated', 'which is validated');
select is(pg_temp.state('c') || ': ' || pg_temp.waiting_for('c'), 'validating validate queued waiting: products validated',
  'that is not yet enough');
select public.commit_import(tests.kept('b'));
select tests.run_jobs();
select is(pg_temp.state('c') || coalesce(pg_temp.waiting_for('c'), ''), 'completed commit completed commit', 'then it goes on by itself');
select is(tests.counts(tests.kept('c')), '{"rows": 1, "valid": 1, "inserted": 1}', 'with references to what they brought');
select pg_temp.stage('d', 'contacts', p_depends_on => array[tests.kept('a')], p_rows => '[["2", "1", "two"]]');
select is(tests.run_import(tests.kept('d')), 'completed', 'what is completed already is not waited for');

-- The limit of running jobs
select tests.act_as_role('postgres');
insert into private.settings (key, value) values ('jobs.running_per_organization', '1');
select tests.act_as('max');
select pg_temp.stage('l1'), pg_temp.stage('l2', 'contacts', p_depends_on => array[tests.kept('l1')]), pg_temp.stage('l3', 'products');
select public.validate_import(tests.kept('l2'), true);
select public.validate_import(tests.kept('l1'), true);
select is(pg_temp.state('l1'), 'validating validate pending validate', 'who waits does not count as running');
select public.validate_import(tests.kept('l3'), true);
select is(pg_temp.state('l3'), 'validating validate queued validate', 'who is over the limit queues');
select tests.run_jobs();
select is(pg_temp.state('l1') || ', ' || pg_temp.state('l2') || ', ' || pg_temp.state('l3'),
  'completed commit completed commit, completed commit completed commit, completed commit completed commit',
  'and all of them come to their end');
select tests.act_as_role('postgres');
delete from private.settings where key = 'jobs.running_per_organization';

-- Control
select tests.act_as('max');
select pg_temp.stage('p1'), pg_temp.stage('p2', 'contacts', p_depends_on => array[tests.kept('p1')]);
select public.validate_import(tests.kept('p2'), true);
select is(public.pause_import(tests.kept('p2')) #>> '{job,status}', 'paused', 'one that waits can be paused');
select tests.run_import(tests.kept('p1'));
select is(pg_temp.state('p2'), 'validating validate paused waiting', 'and stays so when it could go on');
select is(public.resume_import(tests.kept('p2')) #>> '{job,phase}', 'validate', 'resumed, it goes on');
select tests.run_jobs();
select is(pg_temp.state('p2'), 'completed commit completed commit', 'to its end');
select pg_temp.stage('p3'), pg_temp.stage('p4', 'contacts', p_depends_on => array[tests.kept('p3')]);
select public.validate_import(tests.kept('p4'), true);
select public.pause_import(tests.kept('p4'));
select public.resume_import(tests.kept('p4'));
select is(pg_temp.state('p4'), 'validating validate queued waiting', 'resumed too early, it waits again');
select is(public.cancel_import(tests.kept('p4')) ->> 'status', 'cancelled', 'and can be cancelled');
select is(pg_temp.state('p4'), 'cancelled validate cancelled waiting', 'with its job');

-- Bad ends -----------------------------------------------------------------------------------------------

select pg_temp.stage('f1'), pg_temp.stage('f2', 'contacts', p_depends_on => array[tests.kept('f1')]),
  pg_temp.stage('f3', 'contacts', p_depends_on => array[tests.kept('f2')]);
select public.validate_import(tests.kept('f2'), true), public.validate_import(tests.kept('f3'), true);
select public.validate_import(tests.kept('f1'), true);
select tests.act_as_role('postgres');
select pg_temp.fail('f1');
select tests.act_as('max');
select is(pg_temp.state('f2'), 'validating validate paused waiting prerequisite_failed', 'a prerequisite that fails holds it');
select is(public.get_import(tests.kept('f2')) #> '{job,error}', jsonb_build_object(
    'code', 'prerequisite_failed', 'message', 'an import that this one waits for did not complete',
    'details', format('import %s into customers is failed', tests.kept('f1')),
    'hint', 'Try that one again, and this one goes on by itself; or cancel this one.'),
  'which its job says, with the way out');
select is(pg_temp.state('f3'), 'validating validate queued waiting', 'those after it wait on');
select public.resume_import(tests.kept('f2'));
select is(pg_temp.state('f2'), 'validating validate paused waiting prerequisite_failed', 'resume looks again');
select public.retry_import(tests.kept('f1'));
select is(pg_temp.state('f2'), 'validating validate queued waiting', 'when that one is tried again, it waits');
select tests.run_jobs();
select is(pg_temp.state('f2') || ', ' || pg_temp.state('f3'), 'completed commit completed commit, completed commit completed commit',
  'and when that completes, all go on by themselves');
select pg_temp.stage('g1'), pg_temp.stage('g2', 'contacts', p_depends_on => array[tests.kept('g1')]);
select public.cancel_import(tests.kept('g1'));
select is(public.validate_import(tests.kept('g2'), true) ->> 'status', 'paused', 'one that was cancelled before holds it from the start');
select is(public.cancel_import(tests.kept('g2')) ->> 'status', 'cancelled', 'it can be cancelled');
select pg_temp.stage('h1'), pg_temp.stage('h2', 'contacts', p_depends_on => array[tests.kept('h1')]);
select public.validate_import(tests.kept('h2'), true);
select tests.act_as('ann');
select public.cancel_import(tests.kept('h1'));
select tests.act_as('max');
select is(pg_temp.state('h2'), 'validating validate paused waiting prerequisite_failed', 'so does one that is cancelled meanwhile, whoever did it');
select tests.keep('i1', (public.create_import('customers') ->> 'id')::uuid);
select pg_temp.stage('i2', 'contacts', p_depends_on => array[tests.kept('i1')]), pg_temp.stage('i3', 'contacts', p_depends_on => array[tests.kept('i1')]);
select public.validate_import(tests.kept('i2'), true);
select is(pg_temp.waiting_for('i2'), 'customers receiving', 'one may wait for a file that is on its way');
select tests.act_as_role('postgres');
select private.discard_ingest(tests.kept('i1'));
select tests.act_as('max');
select is(pg_temp.state('i2'), 'validating validate paused waiting prerequisite_failed', 'which may never come');
select ok(public.get_import(tests.kept('i2')) #>> '{job,error,details}' like '% is gone', 'and then is gone');

select pg_temp.stage('j1'), pg_temp.stage('j2', 'products', p_rows => '[["j2", "x", "1"]]');
select pg_temp.stage('j3', 'contacts', p_depends_on => array[tests.kept('j1'), tests.kept('j2')]);
select public.validate_import(tests.kept('j3'), true);
select tests.run_import(tests.kept('j2'));
select tests.act_as('ann');
select public.undo_import(tests.kept('j2'));
select tests.act_as('max');
select is(pg_temp.state('j3'), 'validating validate queued waiting', 'one that is being undone is no longer there');
select tests.run_jobs();
select is(pg_temp.state('j3'), 'validating validate paused waiting prerequisite_failed', 'nor when it is undone');

-- Sets: who ----------------------------------------------------------------------------------------------

select tests.keep('s', (public.create_import_set(name => 'Move') ->> 'id')::uuid);
select is(public.get_import_set(tests.kept('s')) - 'created_at', jsonb_build_object('id', tests.kept('s'), 'org_id', tests.org_id('acme'),
  'name', 'Move', 'status', 'open', 'imports', '[]'::jsonb), 'a member makes a set');
select tests.keep('k', (public.create_import_set(idempotency_key => 'k1') ->> 'id')::uuid);
select is(public.create_import_set(idempotency_key => 'k1') @> jsonb_build_object('id', tests.kept('k'), 'replayed', true), true,
  'once for each idempotency key');
select tests.act_as('mia');
select isnt((public.create_import_set(idempotency_key => 'k1') ->> 'id')::uuid, tests.kept('k'), 'of one person');
select tests.act_as('vic');
select throws_ok($$ select public.create_import_set() $$, '42501', 'organization role required', 'a viewer does not');
select is(public.get_import_set(tests.kept('s')) ->> 'name', 'Move', 'but sees it');
select tests.act_as('mia');
select throws_ok($$ select public.create_import('customers', set_id => tests.kept('s')) $$, '42501', 'organization role required',
  'another member adds nothing to it');
select tests.act_as('bob');
select throws_ok($$ select public.get_import_set(tests.kept('s')) $$, 'PT404', 'import set not found', 'a stranger does not see it');
select throws_ok($$ select public.run_import_set(tests.kept('s')) $$, 'PT404', 'import set not found', 'nor run it');
select throws_ok($$ select public.create_import('customers', set_id => tests.kept('s')) $$, 'PT404', 'import set not found',
  'nor add to it');
select throws_ok($$ select public.create_import_set(tests.org_id('acme')) $$, 'PT404', 'organization not found', 'nor make one elsewhere');
select is_empty($$ select 1 from public.import_sets $$, 'the table shows them none');
select throws_ok($$ insert into public.import_sets (org_id) values (tests.org_id('bolt')) $$, '42501',
  'permission denied for table import_sets', 'and is written by nobody');
select tests.act_as('sid');
select throws_ok($$ select public.create_import('customers', org_id => tests.org_id('bolt'), set_id => tests.kept('s')) $$, 'PT404',
  'import set not found', 'a set is of one organization');
select tests.act_as_role('service_role');
select throws_ok($$ select public.create_import_set() $$, '22023', 'organization is required', 'the service names it');
select lives_ok($$ select public.create_import_set(tests.org_id('acme'), 'nightly') $$, 'and then may');
select tests.act_as_role('anon');
select throws_ok($$ select public.create_import_set() $$, '42501', 'permission denied for function create_import_set', 'anon may not');

-- Sets: what refers, waits ---------------------------------------------------------------------------------

select tests.act_as('max');
select pg_temp.stage('s_contacts', 'contacts', 's', p_rows => '[["s1", "s1", "one"], ["s2", "none", "two"]]'),
  pg_temp.stage('s_customers', 'customers', 's', p_rows => '[["s1", "one"]]'), pg_temp.stage('s_products', 'products', 's', p_rows => '[["s1", "one", "1"]]');
select is((select string_agg(i ->> 'dataset', ' ' order by o) from jsonb_array_elements(public.get_import_set(tests.kept('s')) -> 'imports')
  with ordinality as x (i, o)), 'customers contacts products', 'the imports of a set, in the order of their datasets');
select is(pg_temp.waiting_for('s_contacts'), 'customers staged', 'contacts wait for customers, not for products');
select is(pg_temp.waiting_for('s_customers'), null, 'customers for nobody');
select tests.act_as('mia');
select throws_ok($$ select public.run_import_set(tests.kept('s')) $$, '42501', 'organization role required', 'another member does not run it');
select tests.act_as('max');
select is((public.run_import_set(tests.kept('s')) ->> 'status'), 'running', 'it is run');
select is(pg_temp.state('s_contacts'), 'validating validate queued waiting', 'with those waiting that must');
select tests.run_jobs();
select is(public.get_import_set(tests.kept('s')) ->> 'status', 'completed', 'it completes');
select is(tests.counts(tests.kept('s_contacts')), '{"rows": 2, "valid": 1, "failed": 1, "inserted": 1}',
  'references were judged when what they name was there');
select is((public.run_import_set(tests.kept('s')) ->> 'status'), 'completed', 'run again, it has nothing to do');

-- A set of which one fails: sent again, it goes on.
select tests.keep('t', (public.create_import_set() ->> 'id')::uuid);
select pg_temp.stage('t_customers', 'customers', 't', p_rows => '[["t1", "one"]]'),
  pg_temp.stage('t_contacts', 'contacts', 't', p_rows => '[["t1", "t1", "one"]]');
select public.run_import_set(tests.kept('t'), commit => false);
select tests.run_jobs();
select is(pg_temp.state('t_customers') || ', ' || pg_temp.state('t_contacts') || ', ' || (public.get_import_set(tests.kept('t')) ->> 'status'),
  'validated validate completed preview, validating validate queued waiting, open', 'without commit, it stops for review');
select public.cancel_import(tests.kept('t_customers'));
select is(pg_temp.state('t_contacts') || ', ' || (public.get_import_set(tests.kept('t')) ->> 'status'),
  'validating validate paused waiting prerequisite_failed, failed', 'one that is cancelled holds those that refer to it');
select pg_temp.stage('t_again', 'customers', 't', p_rows => '[["t1", "one"]]');
select tests.act_as_role('postgres');
update public.import_batches set created_at = created_at + interval '1 second' where id = tests.kept('t_again');
select tests.act_as('max');
select tests.run_import(tests.kept('t_again'));
select is(pg_temp.state('t_contacts'), 'validated validate completed preview', 'until the same is sent again into the set');

-- Circles of datasets
select tests.keep('u', (public.create_import_set() ->> 'id')::uuid);
select pg_temp.stage('u_customers', 'customers', 'u'), pg_temp.stage('u_contacts', 'contacts', 'u');
select tests.act_as_role('postgres');
update public.dataset_fields set reference = '{"dataset": "contacts", "field": "external_id"}' where dataset = 'customers' and name = 'notes';
select tests.act_as('max');
select throws_ok($$ select public.run_import_set(tests.kept('u')) $$, '22023', 'imports would wait for each other',
  'a set whose datasets refer to each other is refused');
select throws_ok($$ select public.create_import('customers', set_id => tests.kept('u')) $$, '22023', 'imports would wait for each other',
  'already when the last of the circle is made');
select throws_ok($$ select public.validate_import(tests.kept('u_contacts')) $$, '22023', 'imports would wait for each other',
  'and when one of it is started');
select tests.act_as_role('postgres');
update public.dataset_fields set reference = null where dataset = 'customers' and name = 'notes';
select tests.act_as('max');
select throws_ok($$ select public.set_import_mapping(tests.kept('u_customers'), depends_on => array[tests.kept('u_contacts')]) $$, '22023',
  'imports would wait for each other', 'nor may depends_on turn a set round');

-- All or none
select tests.keep('v', (public.create_import_set() ->> 'id')::uuid);
select pg_temp.stage('v_customers', 'customers', 'v'), pg_temp.stage('v_products', 'products', 'v');
select tests.act_as_role('postgres');
update public.import_batches set duplicate_of = tests.kept('a') where id = tests.kept('v_products');
select tests.act_as('max');
select throws_ok($$ select public.run_import_set(tests.kept('v')) $$, 'PT409', 'file was imported before', 'a set is started as a whole');
select is(pg_temp.state('v_customers'), 'staged', 'or not at all');
select is(public.run_import_set(tests.kept('v'), force => true) ->> 'status', 'running', 'with force, whatever was imported before');

-- The organization goes
select tests.act_as_role('postgres');
select lives_ok($$ delete from public.organization where id = tests.org_id('acme') $$, 'with all that waits in it');

select * from finish();
rollback;
