-- Stored files that a job takes in: who may start it, each range once, and what stays when it comes to nothing.
begin;
select plan(58);
select tests.set_up_actors();
insert into private.settings (key, value) values ('jobs.running_per_organization', '100');

insert into storage.objects (bucket_id, name, owner_id, metadata)
select 'imports', tests.org_id('acme') || '/' || f.name, tests.user_id('max')::text, jsonb_build_object('size', f.size)
from (values ('a.csv', 100), ('b.csv', 100), ('huge.csv', 5000000000), ('big.csv', 6000000000)) as f (name, size);

create function pg_temp.make(p_name text, p_file text default 'a.csv', p_commit boolean default false, p_dataset text default 'customers',
  p_key text default null) returns uuid language plpgsql as $$
declare
  v_id uuid;
begin
  perform tests.act_as('max');
  v_id := public.create_import(p_dataset, idempotency_key => p_key, storage_path => tests.org_id('acme') || '/' || p_file) ->> 'id';
  perform tests.keep(p_name, v_id);
  perform public.ingest_import(v_id, '{"delimiter": ";"}', p_commit);
  perform tests.act_as_role('postgres');
  return v_id;
end $$;
create function pg_temp.status(p_name text) returns text language sql as $$
  select b.status || coalesce(' ' || (b.error ->> 'message'), '') from public.import_batches as b where b.id = tests.kept(p_name)
$$;
create function pg_temp.task(p_name text) returns public.sync_job_queue language sql as $$
  select q.* from public.sync_job_queue as q join public.scheduled_jobs as j on j.id = q.job_id where j.batch_id = tests.kept(p_name)
$$;
create function pg_temp.job(p_name text) returns public.scheduled_jobs language sql as $$
  select j.* from public.scheduled_jobs as j where j.batch_id = tests.kept(p_name) and j.job_type = 'ingest'
$$;
-- What a call knows: kept, since the next one has another token.
create temporary table calls (name text primary key, task_id bigint, token uuid);
grant select, insert, delete on calls to public;
create function pg_temp.keep_call(p_call text, p_name text) returns void language sql as $$
  insert into calls select p_call, t.id, t.token from pg_temp.task(p_name) as t;
$$;
create function pg_temp.begin_range(p_call text, p_from bigint) returns void language sql as $$
  select private.begin_range(c.task_id, c.token, p_from) from calls as c where c.name = p_call
$$;
create function pg_temp.advance(p_call text, p_from bigint, p_to bigint, p_rows integer) returns void language sql as $$
  select private.advance_ingest(c.task_id, c.token, p_from, p_to, p_rows, '{"a": "\u0000"}') from calls as c where c.name = p_call
$$;
create function pg_temp.complete(p_call text, p_columns text default '["Kundennummer", "Name"]') returns boolean language plpgsql as $$
declare
  v_done boolean;
begin
  perform tests.act_as_role('service_role');
  select public.complete_worker_task(c.task_id, c.token, jsonb_build_object('columns', p_columns::jsonb, 'sample', '[]'::jsonb,
    'format', '{"kind": "csv"}'::jsonb, 'content_hash', md5(p_call))) into v_done from calls as c where c.name = p_call;
  perform tests.act_as_role('postgres');
  return v_done;
end $$;
create function pg_temp.add_rows(p_name text, p_from integer, p_to integer) returns void language sql as $$
  insert into private.import_rows (staged_on, batch_id, row_number, line_number, cells)
  select current_date, tests.kept(p_name), n, n + 1, array[n::text, 'x'] from generate_series(p_from, p_to) as n;
  insert into private.import_issues (staged_on, batch_id, row_number, code, message, origin, severity)
  values (current_date, tests.kept(p_name), p_from, 'missing_cells', 'x', 'ingest', 'warning');
$$;
create function pg_temp.left_of(p_name text) returns bigint language sql as $$
  select (select count(*) from private.import_rows as r where r.batch_id = tests.kept(p_name))
    + (select count(*) from private.import_issues as i where i.batch_id = tests.kept(p_name))
    + (select count(*) from private.import_ingests as i where i.batch_id = tests.kept(p_name))
$$;

-- Range by range ---------------------------------------------------------------------------------------

select pg_temp.make('i', p_key => 'k1');
select is((select (j.job_type, j.total_count, j.done_count, j.phase, j.params -> 'format')::text from pg_temp.job('i') as j),
  '(ingest,100,0,ingest,"{""delimiter"": "";""}")', 'the job''s total are the bytes of the file');
select is((select b.storage_path from public.import_batches as b where b.id = tests.kept('i')), tests.org_id('acme') || '/a.csv',
  'the import says where its file is');
select tests.act_as('max');
select is(public.create_import('customers', idempotency_key => 'k1', storage_path => tests.org_id('acme') || '/a.csv') -> 'replayed', 'true',
  'the same request again finds it');
select tests.act_as_role('postgres');
update public.import_batches set created_at = now() - interval '1 hour' where id = tests.kept('i');
select is(private.fail_interrupted_uploads(), 0::bigint, 'maintenance does not take it for an upload that broke off');

select tests.run_jobs();
select isnt((select t.token from pg_temp.task('i') as t), null, 'its task is posted to the worker function');
select pg_temp.keep_call('one', 'i');
select tests.act_as_role('service_role');
select is((select public.get_worker_task(c.task_id, c.token) -> 'work' @> jsonb_build_object(
    'import_id', tests.kept('i'), 'storage_path', tests.org_id('acme') || '/a.csv', 'byte_size', 100, 'position', 0, 'row_count', 0,
    'state', null, 'review', true, 'range_bytes', 25165824) from calls as c), true, 'which is told where to begin');
select tests.act_as_role('sluice_ingest');
select throws_ok($$ select private.begin_range(c.task_id, gen_random_uuid(), 0) from calls as c $$, 'PT409',
  'call of the worker function is over', 'without the token nothing begins');
select throws_ok($$ select pg_temp.begin_range('one', 7) $$, 'PT409', 'range was taken in before', 'nor elsewhere than where it stands');
select lives_ok($$ select pg_temp.begin_range('one', 0) $$, 'a call begins its range');
select is(current_setting('request.jwt.claims', true), '', 'and goes on as nobody');
select tests.act_as_role('postgres');
select pg_temp.add_rows('i', 1, 3);
select tests.act_as_role('sluice_ingest');
select lives_ok($$ select pg_temp.advance('one', 0, 60, 3) $$, 'and ends it');
select throws_ok($$ select pg_temp.advance('one', 0, 60, 3) $$, 'PT409', 'call of the worker function is over', 'once');
select tests.act_as_role('postgres');
select isnt((select t.token from pg_temp.task('i') as t), (select c.token from calls as c where c.name = 'one'), 'the next one is posted');
select is((select j.done_count from pg_temp.job('i') as j), 60::bigint, 'so far it is');
select is((select p.processed_count from public.sync_progress as p join pg_temp.job('i') as j on p.sync_id = j.id::text), 60::bigint,
  'and so it is told');
select is((select (i.position, i.row_count, i.state)::text from private.import_ingests as i where i.batch_id = tests.kept('i')),
  '(60,3,"{""a"": ""\\u0000""}")', 'what it goes on with is kept as it is');
select tests.act_as('max');
select is_empty($$ select from public.list_import_rows(tests.kept('i')) $$, 'none of its rows is shown yet');
select is_empty($$ select from public.list_import_issues(tests.kept('i')) $$, 'nor what was wrong with them');
select throws_ok($$ select public.validate_import(tests.kept('i')) $$, 'PT409', 'import is in another state', 'nor judged');
select tests.act_as_role('postgres');

-- The call was lost: the worker takes the task back, and posts it from where it stands.
update public.sync_job_queue set next_attempt_at = clock_timestamp() where job_id = (select j.id from pg_temp.job('i') as j);
select pg_temp.keep_call('lost', 'i');
select tests.run_jobs();
select pg_temp.keep_call('two', 'i');
select tests.act_as_role('service_role');
select is((select public.get_worker_task(c.task_id, c.token) #> '{work,range_bytes}' from calls as c where c.name = 'two'), '12582912',
  'a smaller range, in case that it was too much');
select tests.act_as_role('sluice_ingest');
select throws_ok($$ select pg_temp.advance('lost', 60, 100, 5) $$, 'PT409', 'call of the worker function is over',
  'a call that was given up changes nothing any more');
select lives_ok($$ select pg_temp.begin_range('two', 60) $$, 'its repeat begins where it did');
select throws_ok($$ select pg_temp.advance('two', 0, 60, 5) $$, 'PT409', 'range was taken in before', 'the position is moved once');
select throws_ok($$ select pg_temp.advance('two', 60, 101, 5) $$, '22023', 'progress counts do not fit together', 'and not beyond the end');
select lives_ok($$ select pg_temp.advance('two', 60, 100, 5) $$, 'to the end');
select tests.act_as_role('postgres');
select pg_temp.add_rows('i', 4, 5);
select is((select t.token from pg_temp.task('i') as t), (select c.token from calls as c where c.name = 'two'), 'after which nothing is posted');
select is(pg_temp.complete('two'), true, 'the last call tells of the whole');
select is(pg_temp.status('i'), 'staged', 'and the import is staged');
select is((select (b.row_count, b.byte_size, b.content_hash, b.columns)::text from public.import_batches as b where b.id = tests.kept('i')),
  format('(5,100,%s,"{Kundennummer,Name}")', md5('two')), 'with all that');
select is((select j.status::text from pg_temp.job('i') as j), 'completed', 'its job is done');
select is_empty($$ select from private.import_ingests as i where i.batch_id = tests.kept('i') $$, 'nothing is kept of it');
select is(tests.run_import(tests.kept('i')), 'completed', 'it goes on like any other');

-- Going on by itself -----------------------------------------------------------------------------------

select pg_temp.make('auto', 'b.csv', true);
select tests.run_jobs();
select pg_temp.keep_call('auto', 'auto');
select pg_temp.add_rows('auto', 1, 2);
select pg_temp.advance('auto', 0, 100, 2);
select pg_temp.complete('auto');
select is((select j.created_by from public.scheduled_jobs as j where j.batch_id = tests.kept('auto') and j.job_type = 'validate'),
  tests.user_id('max'), 'with commit it is validated next, as whoever asked for it');
select tests.run_jobs();
select is(pg_temp.status('auto'), 'completed', 'and applied');

select pg_temp.make('held', 'b.csv', true);
select tests.run_jobs();
select pg_temp.keep_call('held', 'held');
select pg_temp.advance('held', 0, 100, 1);
insert into private.import_rows values (current_date, tests.kept('held'), 1, 2, '{x,y}');
select pg_temp.complete('held', '["Junk", "Stuff"]');
select is(pg_temp.status('held') || ' ' || (select j.result #>> '{not_started,message}' from pg_temp.job('held') as j),
  'staged required field is not mapped', 'what keeps it from going on is told, and its rows stay');

-- Billions of bytes are counted, and their speed.
select pg_temp.make('huge', 'huge.csv');
select lives_ok($$ update public.scheduled_jobs set started_at = clock_timestamp() - interval '1 minute', done_count = 4500000000
  where batch_id = tests.kept('huge') $$, 'a job counts billions of bytes');
select is((select p.speed_items_per_min between 4e9 and 5e9 from public.sync_progress as p join pg_temp.job('huge') as j
  on p.sync_id = j.id::text), true, 'and its progress has their speed');

-- Coming to nothing ------------------------------------------------------------------------------------

select pg_temp.make('bad', p_key => 'k2');
select tests.run_jobs();
select pg_temp.keep_call('bad', 'bad');
select pg_temp.add_rows('bad', 1, 3);
select pg_temp.advance('bad', 0, 60, 3);
delete from calls where name = 'bad';
select pg_temp.keep_call('bad', 'bad');
select tests.act_as_role('service_role');
select public.fail_worker_task(c.task_id, c.token, '{"code": "22023", "message": "quote is not closed", "hint": "Close it."}')
from calls as c where c.name = 'bad';
select tests.act_as_role('postgres');
select is(pg_temp.status('bad'), 'failed quote is not closed', 'a file that is refused fails its import');
select is(pg_temp.left_of('bad'), 0::bigint, 'and leaves nothing');
select is((select b.idempotency_key from public.import_batches as b where b.id = tests.kept('bad')), null, 'its key is free again');
select tests.act_as('max');
select throws_ok($$ select public.retry_import(tests.kept('bad')) $$, 'PT409', 'import does not await a file', 'it is not tried again');
select throws_ok($$ select public.ingest_import(tests.kept('bad')) $$, 'PT409', 'import does not await a file', 'nor started anew');

select pg_temp.make('gone');
select tests.act_as('max');
select lives_ok($$ select public.cancel_import(tests.kept('gone')) $$, 'it can be cancelled before it begins');
select tests.act_as_role('postgres');
select is(pg_temp.status('gone') || pg_temp.left_of('gone'), 'cancelled0', 'and leaves nothing either');

-- More rows than go at once.
select pg_temp.make('large');
select pg_temp.add_rows('large', 1, 5);
update private.import_ingests set row_count = 400005 where batch_id = tests.kept('large');
select private.cancel_job(j.id) from pg_temp.job('large') as j;
select is(pg_temp.left_of('large'), 7::bigint, 'many rows do not go at once');
select is(private.drop_next_ingest() and private.drop_next_ingest(), true, 'maintenance takes them away, piece by piece');
select is(private.drop_next_ingest()::text || pg_temp.left_of('large'), 'false0', 'until nothing is left');

-- Who, and what ----------------------------------------------------------------------------------------

select tests.act_as('max');
select throws_ok(format($$ select public.ingest_import((public.create_import('customers', storage_path => %L) ->> 'id')::uuid) $$,
  tests.org_id('acme') || '/big.csv'), 'PT413', 'stored file is too large', 'a file has its limit');
select throws_ok($$ select public.ingest_import((public.create_import('customers') ->> 'id')::uuid) $$, 'PT404', 'stored file not found',
  'an import without a stored file awaits a request');
select tests.keep('w', (public.create_import('customers', storage_path => tests.org_id('acme') || '/a.csv') ->> 'id')::uuid);
select throws_ok($$ select public.ingest_import(tests.kept('w'), jsonb_build_object('delimiter', repeat('x', 1000))) $$, '22023', 'format is not valid',
  'nothing is kept that is no format');
select tests.act_as('mia');
select throws_ok($$ select public.ingest_import(tests.kept('w')) $$, '42501', 'organization role required', 'another member may not start it');
select tests.act_as('bob');
select throws_ok($$ select public.ingest_import(tests.kept('w')) $$, 'PT404', 'import not found', 'nor a stranger');
select tests.act_as_role('anon');
select throws_ok($$ select public.ingest_import(tests.kept('w')) $$, '42501', 'permission denied for function ingest_import', 'nor anon');
select tests.act_as('max');
select throws_ok($$ select private.advance_ingest(1, gen_random_uuid(), 0, 1, 1, '') $$, '42501',
  'permission denied for function advance_ingest', 'nobody else moves the position');

-- Files past their time --------------------------------------------------------------------------------

select tests.act_as('max');
select throws_ok($$ select public.list_expired_files() $$, '42501', 'permission denied for function list_expired_files',
  'people do not ask which files go');
select tests.act_as_role('postgres');
insert into storage.objects (bucket_id, name, metadata, created_at)
values ('imports', 'old', '{}', now() - interval '31 days'), ('imports', 'young', '{}', now() - interval '29 days');
insert into storage.objects (bucket_id, name, metadata)
values ('imports', 'people.csv', '{}'), ('imports', 'people-coming.csv', '{}');
insert into public.import_batches (org_id, dataset, mode, source, storage_path, status, error)
values (tests.org_id('acme'), 'users', 'insert', 'api', 'people.csv', 'failed', '{}'),
  (tests.org_id('acme'), 'users', 'insert', 'api', 'people-coming.csv', 'receiving', null);
select tests.act_as_role('service_role');
select is(public.list_expired_files(), '{old,people.csv}', 'files go with the time of staged rows, those with secrets with their import');
select tests.act_as_role('postgres');
select isnt(private.delete_expired_files(), null, 'the worker function is asked to delete them');
delete from storage.objects where name in ('old', 'people.csv');
select is(private.delete_expired_files(), null, 'where there are any');

select * from finish();
rollback;
