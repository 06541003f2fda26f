-- The same file again: told, staged, and applied only when somebody says that it is meant.
begin;
select plan(33);
select tests.set_up_actors();

-- An import of the caller with a file of this hash.
create function pg_temp.stage(p_name text, p_hash text, p_dataset text default 'customers', p_org text default null,
  p_corrects uuid default null) returns void language plpgsql as $$
declare
  v_role   text := current_setting('role');
  v_claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
  v_column text := case p_dataset when 'products' then 'sku' else 'external_id' end;
  v_id     uuid := public.create_import(p_dataset, org_id => case when p_org is not null then tests.org_id(p_org) end,
    corrects => p_corrects) ->> 'id';
begin
  perform tests.assume('sluice_ingest', null);
  insert into private.import_rows (staged_on, batch_id, row_number, line_number, cells)
  select i.staged_on, v_id, 1, 2, '{1,one}' from private.begin_ingest(v_id, array[v_column, 'name'], true) as i;
  perform private.finish_ingest(v_id, array[v_column, 'name'], 1, 10, p_hash, '[]', '{}');
  perform tests.assume(v_role, v_claims);
  perform tests.keep(p_name, v_id);
end $$;
create function pg_temp.duplicate_of(p_name text) returns uuid language sql as $$
  select (public.get_import(tests.kept(p_name)) ->> 'duplicate_of')::uuid
$$;

-- What is the same ---------------------------------------------------------------------------------------

select tests.act_as('max');
select pg_temp.stage('first', 'h1');
select is(pg_temp.duplicate_of('first'), null, 'a file that was not seen before is no duplicate');
select pg_temp.stage('again', 'h1');
select is(pg_temp.duplicate_of('again'), tests.kept('first'), 'the same file again is told, with the earlier import');
select is(public.get_import(tests.kept('again')) ->> 'status', 'staged', 'and staged');
select pg_temp.stage('third', 'h1');
select is(pg_temp.duplicate_of('third'), tests.kept('again'), 'of several, the latest');
select pg_temp.stage('x', 'h2');
select is(pg_temp.duplicate_of('x'), null, 'another file is none');
select pg_temp.stage('x', 'h1', 'products');
select is(pg_temp.duplicate_of('x'), null, 'nor the same for another dataset');
select tests.act_as('mia');
select pg_temp.stage('x', 'h1');
select is(pg_temp.duplicate_of('x'), null, 'nor of another person');
select tests.act_as('ben');
select pg_temp.stage('x', 'h1');
select is(pg_temp.duplicate_of('x'), null, 'nor of another organization');
select tests.act_as_role('service_role');
select pg_temp.stage('s1', 'h1', p_org => 'acme');
select is(pg_temp.duplicate_of('s1'), null, 'nor of the service');
select pg_temp.stage('s2', 'h1', p_org => 'acme');
select is(pg_temp.duplicate_of('s2'), tests.kept('s1'), 'which has its own');
select pg_temp.stage('x', 'h1', p_org => 'bolt');
select is(pg_temp.duplicate_of('x'), null, 'in each organization');

-- What it was ended as.
select tests.act_as('max');
select pg_temp.stage('c1', 'h3');
select public.cancel_import(tests.kept('c1'));
select pg_temp.stage('x', 'h3');
select is(pg_temp.duplicate_of('x'), null, 'a cancelled import is none to be told of');
select pg_temp.stage('f1', 'h4');
select tests.act_as_role('postgres');
update public.import_batches set status = 'validating' where id = tests.kept('f1');
update public.import_batches set status = 'failed' where id = tests.kept('f1');
select tests.act_as('max');
select pg_temp.stage('x', 'h4');
select is(pg_temp.duplicate_of('x'), null, 'nor a failed one');
select tests.keep('r1', (public.create_import('customers') ->> 'id')::uuid);
select tests.act_as_role('postgres');
update public.import_batches set content_hash = 'h5' where id = tests.kept('r1');
select tests.act_as('max');
select pg_temp.stage('x', 'h5');
select is(pg_temp.duplicate_of('x'), null, 'nor one that is still coming in');
select tests.run_import(tests.kept('first'));
select pg_temp.stage('x', 'h1', p_corrects => tests.kept('first'));
select is(pg_temp.duplicate_of('x'), tests.kept('third'), 'a correction may be the file that it corrects');

-- What it takes ------------------------------------------------------------------------------------------

select pg_temp.stage('dup', 'h6'), pg_temp.stage('dup2', 'h6');
select throws_ok($$ select public.validate_import(tests.kept('dup2'), commit => true) $$, 'PT409', 'file was imported before',
  'it is not validated to be committed');
create function pg_temp.refusal() returns text language plpgsql as $$
declare
  v_detail text;
  v_hint   text;
begin
  perform public.validate_import(tests.kept('dup2'), true);
exception when sqlstate 'PT409' then
  get stacked diagnostics v_detail = pg_exception_detail, v_hint = pg_exception_hint;
  return v_detail || ' / ' || v_hint;
end $$;
select ok(pg_temp.refusal() like format('import %s, %% is staged / %%with force%%', tests.kept('dup')),
  'the refusal names the earlier one and the way out');
select is(tests.run_import(tests.kept('dup2'), false), 'validated', 'it may be validated');
select throws_ok($$ select public.commit_import(tests.kept('dup2')) $$, 'PT409', 'file was imported before',
  'but not committed');
select throws_ok($$ select public.commit_import(tests.kept('dup2'), force => null) $$, 'PT409', 'file was imported before',
  'nor with half a word');
select throws_ok($$ insert into public.scheduled_jobs (job_type, params)
  values ('commit', jsonb_build_object('import_id', tests.kept('dup2'), 'force', 'true')) $$, 'PT409', 'file was imported before',
  'nor by a job of one''s own without it');
select tests.act_as('ann');
select throws_ok($$ select public.commit_import(tests.kept('dup2')) $$, 'PT409', 'file was imported before',
  'not by an admin either');
select tests.act_as('mia');
select throws_ok($$ select public.commit_import(tests.kept('dup2'), force => true) $$, '42501', 'organization role required',
  'force gives no rights');
select tests.act_as('max');
select is(public.commit_import(tests.kept('dup2'), force => true) ->> 'status', 'pending', 'with force it is committed');
select tests.run_jobs();
select is(public.get_import(tests.kept('dup2')) ->> 'status', 'completed', 'to its end');
select pg_temp.stage('dup3', 'h6');
select public.validate_import(tests.kept('dup3'), true, force => true);
select tests.run_jobs();
select is(public.get_import(tests.kept('dup3')) ->> 'status', 'completed', 'validated with force, it goes through to the end');
select is(pg_temp.duplicate_of('dup3'), tests.kept('dup2'), 'and is still told');

-- Not any longer where the earlier one came to nothing.
select pg_temp.stage('e1', 'h7'), pg_temp.stage('e2', 'h7');
select public.cancel_import(tests.kept('e1'));
select is(tests.run_import(tests.kept('e2')), 'completed', 'when the earlier one is cancelled, no force is needed');
select pg_temp.stage('e3', 'h8'), pg_temp.stage('e4', 'h8');
select tests.act_as_role('postgres');
delete from public.import_batches where id = tests.kept('e3');
select tests.act_as('max');
select is(pg_temp.duplicate_of('e4'), null, 'one that is gone is no longer told');
select is(tests.run_import(tests.kept('e4')), 'completed', 'nor in the way');

-- A retry is no second time.
select pg_temp.stage('t1', 'h9'), pg_temp.stage('t2', 'h9');
select tests.act_as_role('postgres');
create function private.tg_customers__trouble() returns trigger language plpgsql set search_path = '' as $$
begin
  raise exception using errcode = '0A000', message = 'in trouble';
end $$;
create trigger _300_trouble before insert or update on public.customers for each row
  execute function private.tg_customers__trouble();
delete from public.customers;
select tests.act_as('max');
select public.validate_import(tests.kept('t2'), true, force => true);
select tests.run_jobs();
select is(public.get_import(tests.kept('t2')) ->> 'status', 'failed', 'a forced commit fails');
select tests.act_as_role('postgres');
drop trigger _300_trouble on public.customers;
select tests.act_as('max');
select lives_ok($$ select public.retry_import(tests.kept('t2')) $$, 'and is tried again without asking anew');
select tests.run_jobs();
select is(public.get_import(tests.kept('t2')) ->> 'status', 'completed', 'to its end');

select * from finish();
rollback;
