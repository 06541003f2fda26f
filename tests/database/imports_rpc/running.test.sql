-- set_import_mapping, suggest_import_mapping, validate_import, commit_import, cancel_import: who, in which state, how often.
begin;
select plan(73);
select tests.set_up_actors();

create function pg_temp.stage(p_name text, p_rows integer default 2) returns void language plpgsql as $$
begin
  perform tests.keep(p_name, tests.stage_import('customers', '{Kundennummer,name,Mail,junk}',
    (select jsonb_agg(jsonb_build_array(p_name || n, 'n', null, 'j')) from generate_series(1, p_rows) as n)));
end $$;
create function pg_temp.status(p_name text) returns text language sql as $$
  select public.get_import(tests.kept(p_name)) ->> 'status' $$;

-- suggest_import_mapping ---------------------------------------------------------------------------------

select tests.act_as('max');
select pg_temp.stage('i');
select is(public.suggest_import_mapping(tests.kept('i')) #>> '{external_id,column}', 'Kundennummer', 'a suggestion');
select is(public.get_import(tests.kept('i')) #>> '{suggested_mapping,email,reason}', 'alias',
  'which the document has, too');
select tests.keep('new', (public.create_import('customers') ->> 'id')::uuid);
select throws_ok($$ select public.suggest_import_mapping(tests.kept('new')) $$, 'PT409', 'import has no columns yet',
  'not before the file is there');
select tests.act_as('vic');
select isnt(public.suggest_import_mapping(tests.kept('i')), '{}', 'a viewer may ask');
select tests.act_as('bob');
select throws_ok($$ select public.suggest_import_mapping(tests.kept('i')) $$, 'PT404', 'import not found',
  'a stranger may not');

-- set_import_mapping -------------------------------------------------------------------------------------

select tests.act_as('max');
select is(
  public.set_import_mapping(tests.kept('i'),
    '{"external_id": "Kundennummer", "name": {"column": "name", "transforms": ["upper"]}}') -> 'mapping',
  '{"external_id": {"columns": ["Kundennummer"], "transforms": [], "default": null}, "name": {"columns": ["name"], "transforms": ["upper"], "default": null}}',
  'the mapping is replaced as a whole');
select is(public.set_import_mapping(tests.kept('i'), options => '{"blank": "clear"}') -> 'options',
  '{"duplicates": "error", "on_error": "skip", "blank": "clear"}', 'options change one by one');
select is(public.set_import_mapping(tests.kept('i'), options => '{"on_error": "abort"}') -> 'options',
  '{"duplicates": "error", "on_error": "abort", "blank": "clear"}', 'and add up');
select is(public.set_import_mapping(tests.kept('i')) #>> '{mapping,name,transforms,0}', 'upper',
  'nothing given changes nothing');
select throws_ok($$ select public.set_import_mapping(tests.kept('i'), '{"nope": "name"}') $$, '22023',
  'mapping names an unknown field', 'an unknown field');
select throws_ok($$ select public.set_import_mapping(tests.kept('i'), '{"name": "nope"}') $$, '22023',
  'mapping names an unknown column', 'an unknown column');
select throws_ok($$ select public.set_import_mapping(tests.kept('i'), '[]') $$, '22023', 'mapping must be an object',
  'no object');
select throws_ok($$ select public.set_import_mapping(tests.kept('i'), options => '[]') $$, '22023',
  'options must be an object', 'options that are none');
select throws_ok($$ select public.set_import_mapping(tests.kept('i'), options => '{"x": 1}') $$, '22023',
  'option is not understood', 'an unknown option');
select throws_ok($$ select public.set_import_mapping(tests.kept('new'), '{}') $$, 'PT409', 'import is in another state',
  'not before the file is there');
select tests.act_as('mia');
select throws_ok($$ select public.set_import_mapping(tests.kept('i'), '{}') $$, '42501', 'organization role required',
  'another member may not');
select tests.act_as('vic');
select throws_ok($$ select public.set_import_mapping(tests.kept('i'), '{}') $$, '42501', 'organization role required',
  'nor a viewer');
select tests.act_as('bob');
select throws_ok($$ select public.set_import_mapping(tests.kept('i'), '{}') $$, 'PT404', 'import not found',
  'nor a stranger');
select tests.act_as_role('anon');
select throws_ok($$ select public.set_import_mapping(tests.kept('i'), '{}') $$, '42501',
  'permission denied for function set_import_mapping', 'nor anon');
select tests.act_as('ann');
select lives_ok($$ select public.set_import_mapping(tests.kept('i'), '{"external_id": "Kundennummer"}',
  '{"on_error": "skip"}') $$, 'an admin may');
select tests.act_as('sid');
select lives_ok($$ select public.set_import_mapping(tests.kept('i'), '{"external_id": "Kundennummer"}') $$,
  'a system admin may');
select tests.act_as_role('service_role');
select lives_ok($$ select public.set_import_mapping(tests.kept('i'), '{"external_id": "Kundennummer"}') $$,
  'the service may');

-- validate_import ----------------------------------------------------------------------------------------

select tests.act_as('max');
select throws_ok($$ select public.validate_import(tests.kept('i')) $$, 'PT422', 'required field is not mapped',
  'a required field is missing');
select is(pg_temp.status('i'), 'staged', 'which changes nothing');
select public.set_import_mapping(tests.kept('i'),
  '{"external_id": "Kundennummer", "name": {"column": "name", "transforms": ["shout"]}}');
select throws_ok($$ select public.validate_import(tests.kept('i')) $$, '22023', 'transform is not understood',
  'a transform is none');
select public.set_import_mapping(tests.kept('i'), '{"external_id": "Kundennummer", "name": "name"}');
select is(
  public.validate_import(tests.kept('i'), idempotency_key => 'v1') - '{id,created_at,import_id}'::text[],
  '{"job_type": "validate", "status": "pending", "phase": "validate", "total": 2, "done": 0, "failed": 0, "result": null, "error": null, "started_at": null, "finished_at": null}',
  'the job is answered');
select is(public.validate_import(tests.kept('i'), idempotency_key => 'v1') ->> 'id',
  public.get_import(tests.kept('i')) #>> '{job,id}', 'the same key answers with the same job');
select throws_ok($$ select public.validate_import(tests.kept('i')) $$, 'PT409', 'import is in another state',
  'one that is being validated is not validated');
select throws_ok($$ select public.commit_import(tests.kept('i')) $$, 'PT409', 'import is in another state',
  'nor committed');
select throws_ok($$ select public.set_import_mapping(tests.kept('i'), '{}') $$, 'PT409', 'import is in another state',
  'nor mapped');
select throws_ok($$ select public.validate_import(tests.kept('new')) $$, 'PT409', 'import is in another state',
  'nor one without a file');
select throws_ok($$ select public.validate_import(null) $$, '22023', 'params must name an import', 'nor none');
select tests.run_jobs();
select is(pg_temp.status('i'), 'validated', 'it ends validated');
select tests.act_as('vic');
select throws_ok($$ select public.validate_import(tests.kept('i')) $$, '42501', 'organization role required',
  'a viewer may not');
select tests.act_as('bob');
select throws_ok($$ select public.validate_import(tests.kept('i'), idempotency_key => 'v1') $$, 'PT404',
  'import not found', 'a stranger may not, with whatever key');
select tests.act_as_role('anon');
select throws_ok($$ select public.validate_import(tests.kept('i')) $$, '42501',
  'permission denied for function validate_import', 'nor anon');
select tests.act_as('ann');
select lives_ok($$ select public.validate_import(tests.kept('i')) $$, 'an admin validates again');
select tests.run_jobs();

-- commit_import ------------------------------------------------------------------------------------------

select tests.act_as('max');
select pg_temp.stage('staged');
select throws_ok($$ select public.commit_import(tests.kept('staged')) $$, 'PT409', 'import is in another state',
  'one that was not validated is not committed');
select tests.act_as('mia');
select throws_ok($$ select public.commit_import(tests.kept('i')) $$, '42501', 'organization role required',
  'another member may not');
select tests.act_as('max');
select is(public.commit_import(tests.kept('i'), 'c1') ->> 'job_type', 'commit', 'its own initiator may');
select is(public.commit_import(tests.kept('i'), 'c1') ->> 'id', public.get_import(tests.kept('i')) #>> '{job,id}',
  'the same key answers with the same job');
select is(pg_temp.status('i'), 'committing', 'it is committing');
select tests.run_jobs();
select is(pg_temp.status('i'), 'completed', 'and completes');
select is(public.commit_import(tests.kept('i'), 'c1') ->> 'status', 'completed', 'also afterwards');
select throws_ok($$ select public.commit_import(tests.kept('i')) $$, 'PT409', 'import is in another state',
  'a completed one is not committed');
select throws_ok($$ select public.validate_import(tests.kept('i')) $$, 'PT409', 'import is in another state',
  'nor validated');
select throws_ok($$ select public.set_import_mapping(tests.kept('i')) $$, 'PT409', 'import is in another state',
  'nor mapped');
select throws_ok($$ select public.cancel_import(tests.kept('i')) $$, 'PT409', 'import is in another state',
  'nor cancelled');

-- validate with commit ----------------------------------------------------------------------------------

select pg_temp.stage('both');
select is(public.validate_import(tests.kept('both'), true) ->> 'job_type', 'validate',
  'validate with commit begins with the validation');
select tests.run_jobs();
select is(pg_temp.status('both'), 'completed', 'and goes on by itself');
select is((select count(*) from public.scheduled_jobs as j where j.batch_id = tests.kept('both')
  and j.actor = tests.user_id('max')), 2::bigint, 'as the same actor');
select is(public.get_import(tests.kept('both')) -> 'progress' ->> 'processed', '2', 'with its progress');
-- The right lost in between
select pg_temp.stage('lost');
select public.validate_import(tests.kept('lost'), true);
select tests.run_jobs(1);
select tests.join_organization('max', 'acme', 'viewer');
select tests.run_jobs();
select is(pg_temp.status('lost') || ' ' || (public.get_import(tests.kept('lost')) #>> '{error,code}'),
  'failed permission_denied', 'but not without the right');
select tests.join_organization('max', 'acme', 'member');

-- Empty file
select tests.keep('empty', tests.stage_import('customers', '{external_id,name}', '[]'));
select public.validate_import(tests.kept('empty'), true);
select tests.run_jobs();
select is(pg_temp.status('empty'), 'completed', 'an import without rows comes to its end');

-- Rows that are no more
select pg_temp.stage('expired');
select tests.run_import(tests.kept('expired'), false);
select tests.act_as_role('postgres');
delete from private.import_rows where batch_id = tests.kept('expired'); -- as retention does, a partition at a time
select tests.act_as('max');
select throws_ok($$ select public.commit_import(tests.kept('expired')) $$, 'PT409', 'rows of the import have expired',
  'an import whose rows retention has dropped is not committed');
select throws_ok($$ select public.validate_import(tests.kept('expired')) $$, 'PT409', 'rows of the import have expired',
  'nor validated');
select is(pg_temp.status('expired'), 'validated', 'and stays what it was');

-- cancel_import ------------------------------------------------------------------------------------------

select is(public.cancel_import(tests.kept('staged')) ->> 'status', 'cancelled', 'a staged one is cancelled');
select is(public.cancel_import(tests.kept('staged')) ->> 'status', 'cancelled', 'again: the same');
select throws_ok($$ select public.cancel_import(tests.kept('new')) $$, 'PT409', 'import is in another state',
  'one that awaits its file is not');
select tests.act_as_role('postgres');
insert into private.settings (key, value) values ('imports.chunk_rows', '1');
select tests.act_as('max');
select pg_temp.stage('midway', 3);
select tests.run_import(tests.kept('midway'), false);
select public.commit_import(tests.kept('midway'));
select tests.run_jobs(1);
select is(public.cancel_import(tests.kept('midway')) ->> 'status', 'cancelled',
  'a running one of which no task is in flight, too');
select is(tests.counts(tests.kept('midway')), '{"rows": 3, "valid": 3, "inserted": 1, "pending": 2}',
  'what is applied stays and is said');
select is(tests.run_jobs(), 0, 'nothing of it is left to do');
select is((select c.external_id from public.customers as c where c.external_id like 'midway%'), 'midway1',
  'and nothing more is written');
select throws_ok($$ select public.commit_import(tests.kept('midway')) $$, 'PT409', 'import is in another state',
  'it is at its end');
select pg_temp.stage('pending');
select public.validate_import(tests.kept('pending'));
select is(public.cancel_import(tests.kept('pending')) #>> '{job,status}', 'cancelled',
  'a job that has not begun is cancelled with it');
select pg_temp.stage('others');
select tests.act_as('mia');
select throws_ok($$ select public.cancel_import(tests.kept('others')) $$, '42501', 'organization role required',
  'another member cancels nothing');
select tests.act_as('vic');
select throws_ok($$ select public.cancel_import(tests.kept('others')) $$, '42501', 'organization role required',
  'nor a viewer');
select tests.act_as('bob');
select throws_ok($$ select public.cancel_import(tests.kept('others')) $$, 'PT404', 'import not found',
  'nor a stranger');
select tests.act_as_role('anon');
select throws_ok($$ select public.cancel_import(tests.kept('others')) $$, '42501',
  'permission denied for function cancel_import', 'nor anon');
select tests.act_as('ann');
select lives_ok($$ select public.cancel_import(tests.kept('others')) $$, 'an admin does');
select tests.act_as_role('service_role');
select throws_ok($$ select public.cancel_import('00000000-0000-0000-0000-00000000dead') $$, 'PT404', 'import not found',
  'what is not there is not found, for the service, too');
select throws_ok($$ select public.validate_import('00000000-0000-0000-0000-00000000dead') $$, 'PT404',
  'import not found', 'in every RPC');

select * from finish();
rollback;
