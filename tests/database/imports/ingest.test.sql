-- The upload's side: what sluice_ingest may do, which is next to nothing, and how an upload ends.
begin;
select plan(69);
select tests.set_up_actors();

create function pg_temp.new_import(p_name text, p_mapping jsonb default null, p_mode text default null,
  p_key text default null) returns uuid language plpgsql as $$
declare
  v_id uuid;
begin
  perform tests.act_as('max');
  v_id := public.create_import('customers', p_mode, mapping => p_mapping, idempotency_key => p_key) ->> 'id';
  perform tests.keep(p_name, v_id);
  perform tests.act_as_role('sluice_ingest');
  return v_id;
end $$;
create function tests.batch(p_id uuid) returns public.import_batches language sql stable security definer set search_path = ''
as $$ select b from public.import_batches as b where b.id = p_id $$;
grant execute on function tests.batch(uuid) to authenticated, sluice_ingest;

-- begin, rows, finish --------------------------------------------------------------------------------

select pg_temp.new_import('i');
select results_eq(
  $$ select * from private.begin_ingest(tests.kept('i'), '{Kundennummer,Name,Junk}', false) $$,
  $$ values (current_date, 50000000::bigint, 1048576, 1000) $$,
    'begin_ingest gives the partition''s day and the limits');
select lives_ok(
  $$ insert into private.import_rows (staged_on, batch_id, row_number, line_number, cells) values
     (current_date, tests.kept('i'), 1, 2, '{1,one,x}'), (current_date, tests.kept('i'), 2, 3, '{2,two,y}') $$,
       'rows are added');
select lives_ok(
  $$ insert into private.import_issues (staged_on, batch_id, row_number, field, severity, code, message, value,
    origin) values
     (current_date, tests.kept('i'), 1, null, 'error', 'extra_cells', 'surplus cells', 'z', 'ingest'),
     (current_date, tests.kept('i'), 2, 'Junk', 'warning', 'invalid_encoding', 'not UTF-8', 'y', 'ingest') $$,
       'and issues');
select lives_ok(
  $$ select private.finish_ingest(tests.kept('i'), '{Kundennummer,Name,Junk}', 2, 99, repeat('0f', 32),
    '[["1", "one", "x"]]', '{"delimiter": ";"}') $$, 'finish_ingest ends it');
select tests.act_as('max');
select is(
  public.get_import(tests.kept('i')) @>
  '{"dataset": "customers", "mode": "upsert", "source": "api", "status": "staged", "file_name": null, "row_count": 2, "byte_size": 99,
    "content_hash": "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f", "columns": ["Kundennummer", "Name", "Junk"], "format": {"delimiter": ";"},
    "sample": [["1", "one", "x"]],
    "mapping": {"external_id": {"columns": ["Kundennummer"], "transforms": [], "default": null}, "name": {"columns": ["Name"], "transforms": [], "default": null}},
    "options": {"duplicates": "error", "on_error": "skip", "blank": "ignore"},
    "counts": {"rows": 2, "valid": 2, "failed": 0, "skipped": 0, "inserted": 0, "updated": 0, "unchanged": 0, "deleted": 0, "pending": 2},
    "issues": [], "error": null, "progress": null, "job": null, "validated_at": null, "finished_at": null}'::jsonb,
  true, 'the document tells of the file; the suggestion is the mapping');
select is(tests.run_import(tests.kept('i')), 'completed', 'it goes on from there');
select results_eq(
  $$ select r.row_number, r.line_number, r.status, r.issues from public.list_import_rows(tests.kept('i')) as r $$,
  $$ values (1, 2, 'failed',
    '[{"field": null, "severity": "error", "code": "extra_cells", "message": "surplus cells", "value": "z"}]'::jsonb),
    (2, 3, 'inserted', '[{"field": "Junk", "severity": "warning", "code": "invalid_encoding", "message": "not UTF-8", "value": "y"}]') $$,
  'an error of the upload fails its row, a warning does not; validation keeps both');

-- A given mapping
select pg_temp.new_import('mapped', '{"external_id": "Nr", "name": {"default": "none"}}');
select lives_ok($$ select private.begin_ingest(tests.kept('mapped'), '{Nr}', false) $$, 'a given mapping that fits');
select private.finish_ingest(tests.kept('mapped'), '{Nr}', 0, 1, 'x', '[]', '{}');
select is((tests.batch(tests.kept('mapped'))).mapping #>> '{external_id,columns,0}', 'Nr', 'is the mapping');
select is((tests.batch(tests.kept('mapped'))).suggested_mapping #>> '{external_id,column}', null,
  'beside whatever is suggested');

-- What cannot go well --------------------------------------------------------------------------------

select pg_temp.new_import('bad', '{"external_id": "Nr"}');
select throws_ok($$ select private.begin_ingest(tests.kept('bad'), '{Number}', true) $$, '22023',
  'mapping names an unknown column', 'a mapping that does not fit the columns');
select throws_ok($$ select private.begin_ingest(tests.kept('bad'), '{Nr}', false) $$, 'PT422',
  'required field is not mapped', 'a required field unmapped, without review');
select lives_ok($$ select private.begin_ingest(tests.kept('bad'), '{Nr}', true) $$,
  'with review it can be mapped later');
select throws_ok($$ select private.begin_ingest(tests.kept('bad'),
  (select array_agg('c' || n) from generate_series(1, 1001) as n), true) $$, 'PT413', 'file has too many columns',
  'too many columns');
select throws_ok($$ select private.begin_ingest(tests.kept('bad'), array['Nr', repeat('x', 256)], true) $$, 'PT413',
  'name of a column is too long', 'a column with a name that fills every document');
select throws_ok($$ select private.begin_ingest(tests.kept('i'), '{Nr}', true) $$, 'PT409',
  'import does not await a file', 'an import that has its file');
select throws_ok($$ select private.begin_ingest('00000000-0000-0000-0000-00000000dead', '{Nr}', true) $$, 'PT409',
  'import does not await a file', 'none at all');
select throws_ok($$ select private.finish_ingest(tests.kept('i'), '{Nr}', 0, 1, 'x', '[]', '{}') $$, 'PT409',
  'import does not await a file', 'a second end');
select throws_ok($$ select private.finish_ingest(tests.kept('bad'), '{Number}', 0, 1, 'x', '[]', '{}') $$, '22023',
  'mapping names an unknown column', 'an end with other columns');
select throws_ok($$ select private.finish_ingest(tests.kept('bad'), array_fill('x'::text, '{1001}'), 0, 1, 'x', '[]', '{}') $$,
  'PT413', 'file has too many columns', 'an end with too many columns');
select is(private.ingest_limits() - 'max_request_bytes',
  '{"max_columns": 1000, "max_cell_bytes": 1048576, "max_rows": 50000000,
    "max_archive_bytes": 33554432, "max_workbook_bytes": 33554432}', 'the limits can be asked before');
select results_eq(
  $$ select private.dataset_of_file(f) from unnest(
    '{customers.csv,01 Customers-2024.xlsx,WAREHOUSE LOCATIONS.csv,warehouse-locations.customers.csv,kunden.csv,""}'::text[]) as f $$,
  $$ values ('customers'), ('customers'), ('warehouse_locations'), ('warehouse_locations'), (null), (null) $$,
  'the name of a file tells its dataset; the longest key wins');
select is(private.ingest_limits() -> 'max_request_bytes', private.setting('imports.max_request_bytes'),
  'also that of a request');

-- How an upload that does not succeed ends -----------------------------------------------------------

select private.discard_ingest(tests.kept('bad'));
select is((tests.batch(tests.kept('bad'))).id, null, 'discard_ingest: the import never was');
select private.discard_ingest(tests.kept('i'));
select isnt((tests.batch(tests.kept('i'))).id, null, 'it does not touch one that has its file');
select pg_temp.new_import('cut', p_key => 'the-key');
select private.fail_ingest(tests.kept('cut'),
  '{"code": "upload_interrupted", "message": "the upload broke off", "details": null, "hint": null}');
select is((tests.batch(tests.kept('cut'))).status::text, 'failed', 'fail_ingest: the import failed');
select is((tests.batch(tests.kept('cut'))).error ->> 'code', 'upload_interrupted', 'and says why');
select is((tests.batch(tests.kept('cut'))).idempotency_key, null, 'its idempotency key is free again');
select private.fail_ingest(tests.kept('i'), '{"code": "x"}');
select is((tests.batch(tests.kept('i'))).status::text, 'completed', 'it does not touch one that has its file');
select tests.act_as('max');
select throws_ok($$ select public.validate_import(tests.kept('cut')) $$, 'PT409', 'import is in another state',
  'a broken-off upload has nothing to validate');
select lives_ok($$ select public.create_import('customers', idempotency_key => 'the-key') $$,
  'its key makes another import');

-- Uploads whose process died: maintenance finds them by the lock that they no longer hold.
select pg_temp.new_import('dead'), pg_temp.new_import('young'), pg_temp.new_import('alive');
select private.begin_ingest(tests.kept('alive'), '{external_id}', true);
select tests.act_as_role('postgres');
update public.import_batches set created_at = now() - interval '2 minutes'
  where id in (tests.kept('dead'), tests.kept('alive'));
select private.fail_interrupted_uploads();
select results_eq(
  $$ select n, (tests.batch(tests.kept(n))).status::text, (tests.batch(tests.kept(n))).error ->> 'code'
    from unnest('{alive,dead,young}'::text[]) as n $$,
  $$ values ('alive', 'receiving', null), ('dead', 'failed', 'upload_interrupted'), ('young', 'receiving', null) $$,
  'old ones without a lock fail; those at work and those about to begin do not');

-- sluice_ingest can do nothing else ------------------------------------------------------------------

select tests.act_as_role('sluice_ingest');
select throws_ok(format('select 1 from %s', t), '42501', 'permission denied for table ' || split_part(t, '.', 2),
  'sluice_ingest may not read ' || t)
from unnest('{public.organization,public.profiles,public.import_batches,public.import_sessions,public.scheduled_jobs,public.sync_job_queue,public.customers,public.datasets,
  private.import_rows,private.import_issues,private.import_outcomes,private.import_plans,private.settings}'::text[]) as t;
select throws_ok(c.sql, '42501', 'permission denied for table ' || c.name, 'nor ' || c.sql)
from (values
  ('import_rows', 'update private.import_rows set cells = ''{}'''), ('import_rows', 'delete from private.import_rows'),
    ('import_rows', 'truncate private.import_rows'),
  ('import_issues', 'update private.import_issues set code = ''x'''),
    ('import_issues', 'delete from private.import_issues'),
  ('import_outcomes', 'insert into private.import_outcomes select'),
    ('import_batches', 'update public.import_batches set status = ''validated'''),
  ('customers', 'insert into public.customers (name) values (''x'')'),
    ('settings', 'insert into private.settings (key) values (''x'')'),
  ('scheduled_jobs', 'insert into public.scheduled_jobs (job_type) values (''commit'')')
) as c (name, sql);
select is(
  (select array_agg(p.oid::regprocedure::text order by p.oid::regprocedure::text) from pg_proc as p
    join pg_namespace as n on n.oid = p.pronamespace
   where n.nspname in ('public', 'private') and has_function_privilege('sluice_ingest', p.oid, 'execute')),
  '{"private.advance_fetch(bigint,uuid,jsonb)","private.advance_ingest(bigint,uuid,bigint,bigint,integer,text)","private.begin_fetch(bigint,uuid,text[])","private.begin_ingest(uuid,text[],boolean)","private.begin_range(bigint,uuid,bigint)",private.dataset_of_file(text),private.discard_ingest(uuid),private.end_failed_set(uuid),"private.fail_ingest(uuid,jsonb)","private.finish_fetch(bigint,uuid,text[],integer,bigint,text,jsonb,jsonb)","private.finish_ingest(uuid,text[],integer,bigint,text,jsonb,jsonb)",private.ingest_limits(),private.is_service_caller(),"private.setting(text,uuid)"}',
  'it calls the ingest functions and reads settings');
select throws_ok($$ select public.create_import('customers') $$, '42501',
  'permission denied for function create_import', 'no RPC');
select is(private.is_service_caller(), false, 'it is not taken for the service');
select throws_ok($$ create table private.x () $$, '42501', 'permission denied for schema private',
  'it makes nothing in private');
select throws_ok($$ create table public.x () $$, '42501', 'permission denied for schema public', 'nor in public');
select is((select rolcanlogin or rolinherit or rolsuper or rolbypassrls or rolcreaterole or rolcreatedb from pg_roles
  where rolname = 'sluice_ingest'), false, 'it has no attribute of power');

-- And nobody else does what it does.
select tests.act_as('ann');
select throws_ok($$ select private.begin_ingest(tests.kept('young'), '{a}', true) $$, '42501',
  'permission denied for function begin_ingest', 'an admin begins no upload');
select throws_ok($$ select private.finish_ingest(tests.kept('young'), '{a}', 0, 1, 'x', '[]', '{}') $$, '42501',
  'permission denied for function finish_ingest', 'and ends none');
select throws_ok($$ select private.discard_ingest(tests.kept('young')) $$, '42501',
  'permission denied for function discard_ingest', 'nor discards one');
select throws_ok($$ select private.fail_ingest(tests.kept('young'), '{}') $$, '42501',
  'permission denied for function fail_ingest', 'nor fails one');
select throws_ok($$ insert into private.import_rows values (current_date, tests.kept('young'), 1, 1, '{}') $$, '42501',
  'permission denied for table import_rows', 'nor adds rows');
select tests.act_as_role('service_role');
select throws_ok($$ insert into private.import_issues (staged_on) values (current_date) $$, '42501',
  'permission denied for table import_issues', 'nor does the service');

-- Its transaction is the whole upload: rows go with it.
select tests.act_as_role('sluice_ingest');
savepoint upload;
select private.begin_ingest(tests.kept('young'), '{external_id,name}', true);
insert into private.import_rows values (current_date, tests.kept('young'), 1, 2, '{1,one}');
rollback to upload;
select tests.act_as_role('postgres');
select is_empty($$ select 1 from private.import_rows as r where r.batch_id = tests.kept('young') $$,
  'an upload that breaks off leaves no row');
-- A day without a partition of its own
select is((select count(*) from private.import_rows where batch_id = tests.kept('i')
  and tableoid = 'private.import_rows_default'::regclass), 0::bigint,
  'rows are in the week''s partition, not in the default one');

select * from finish();
rollback;
