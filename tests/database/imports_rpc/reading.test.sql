-- get_import, list_imports, list_import_rows, list_import_issues: what they tell, page by page, and to whom.
begin;
select plan(68);
select tests.set_up_actors();

-- Ten rows with one of each fate, in chunks of three.
insert into private.settings (key, value) values ('imports.chunk_rows', '3');
select tests.act_as('max');
select tests.keep('before', tests.stage_import('customers', '{external_id,name}',
  '[["K03", "same"], ["K04", "old"], ["K05", "old"]]'));
select tests.run_import(tests.kept('before'));
select tests.keep('i', tests.stage_import('customers', '{external_id,name,email,credit_limit}', '[
  ["K01", "new", null, null], ["K02", "new", "bad", "-1"], ["K03", "same", null, null], ["K04", "changed", null, null], ["K05", "changed", null, null],
  ["K06", "new", null, null], ["K06", "again", null, null], [null, "no key", null, null], ["K09", "new", null, "x"], ["K10", "new", null, null]]',
  p_options => '{"duplicates": "keep_first"}'));

-- Before and after validation ----------------------------------------------------------------------------

create function pg_temp.rows_of(p_status text) returns integer[] language sql as $$
  select array_agg(r.row_number) from public.list_import_rows(tests.kept('i'), p_status, 0, 1000) as r
$$;
select is(pg_temp.rows_of('pending'), '{1,2,3,4,5,6,7,8,9,10}', 'staged rows are pending');
select is(pg_temp.rows_of('validated'), null, 'and not validated');
select results_eq(
  $$ select r.row_number, r.line_number, r.status, r.key, r.record_id, r.payload, r.issues
    from public.list_import_rows(tests.kept('i'), page_size => 1) as r $$,
  $$ values (1, 2, 'pending', null::text, null::uuid,
    '{"external_id": "K01", "name": "new", "email": null, "credit_limit": null}'::jsonb, '[]'::jsonb) $$,
  'a row that nothing has judged');
select is(tests.counts(tests.kept('i')), '{"rows": 10, "valid": 10, "pending": 10}', 'the counts agree');
select tests.run_import(tests.kept('i'), false);
select is(pg_temp.rows_of('validated'), '{1,3,4,5,6,10}', 'good rows are validated');
select is(pg_temp.rows_of('failed'), '{2,8,9}', 'faulty ones failed');
select is(pg_temp.rows_of('pending'), null, 'none is pending');
select is(tests.counts(tests.kept('i')), '{"rows": 10, "valid": 6, "failed": 3, "skipped": 1, "pending": 6}',
  'the counts agree');
select is(public.get_import(tests.kept('i')) -> 'issues',
  '[{"code": "duplicate_in_file", "count": 1, "field": "external_id", "severity": "warning"}, {"code": "invalid_format", "count": 1, "field": "email", "severity": "error"},
    {"code": "invalid_type", "count": 1, "field": "credit_limit", "severity": "error"}, {"code": "out_of_range", "count": 1, "field": "credit_limit", "severity": "error"},
    {"code": "required", "count": 1, "field": "external_id", "severity": "error"}]', 'issues are counted');

-- Midway -------------------------------------------------------------------------------------------------

select public.commit_import(tests.kept('i'));
select tests.run_jobs(2);
select results_eq(
  $$ select r.row_number, r.status from public.list_import_rows(tests.kept('i')) as r $$,
  $$ values (1, 'inserted'), (2, 'failed'), (3, 'unchanged'), (4, 'updated'), (5, 'updated'), (6, 'inserted'),
    (7, 'skipped'), (8, 'failed'), (9, 'failed'), (10, 'validated') $$,
  'while it is applied, each row tells where it is');
select is(tests.counts(tests.kept('i')),
  '{"rows": 10, "valid": 6, "failed": 3, "skipped": 1, "inserted": 2, "updated": 2, "unchanged": 1, "pending": 1}',
  'the counts agree');
select is((public.get_import(tests.kept('i')) -> 'progress') - '{elapsed_seconds,items_per_minute,eta_seconds}'::text[],
  '{"total": 10, "processed": 6, "failed": 1}', 'so does progress');
select isnt(public.get_import(tests.kept('i')) #> '{progress,eta_seconds}', 'null', 'with an estimate');
select tests.run_jobs();

-- At the end, status by status ---------------------------------------------------------------------------

select is(pg_temp.rows_of(s.status), s.numbers::integer[], 'rows that are ' || s.status)
from (values ('inserted', '{1,6,10}'), ('updated', '{4,5}'), ('unchanged', '{3}'), ('skipped', '{7}'),
  ('failed', '{2,8,9}'), ('deleted', null), ('pending', null), ('validated', null)) as s (status, numbers);
select is(pg_temp.rows_of(null), '{1,2,3,4,5,6,7,8,9,10}', 'and all of them');
select throws_ok($$ select public.list_import_rows(tests.kept('i'), 'lost') $$, '22023', 'status is unknown',
  'there are no others');
select is(tests.counts(tests.kept('i')),
  '{"rows": 10, "valid": 6, "failed": 3, "skipped": 1, "inserted": 3, "updated": 2, "unchanged": 1}',
  'the counts agree');
select results_eq(
  $$ select r.row_number, r.key, r.issues from public.list_import_rows(tests.kept('i'), 'failed', 0, 2) as r $$,
  $$ values (2, 'K02',
    '[{"field": "email", "severity": "error", "code": "invalid_format", "message": "not an e-mail address", "value": "bad"},
      {"field": "credit_limit", "severity": "error", "code": "out_of_range", "message": "less than 0", "value": "-1"}]'::jsonb),
    (8, null, '[{"field": "external_id", "severity": "error", "code": "required", "message": "a value is required", "value": null}]') $$,
  'failed rows have their key and all their issues');
select results_eq(
  $$ select r.row_number, c.external_id from public.list_import_rows(tests.kept('i')) as r
    join public.customers as c on c.id = r.record_id order by 1 $$,
  $$ values (1, 'K01'), (4, 'K04'), (5, 'K05'), (6, 'K06'), (10, 'K10') $$, 'rows acted upon name their record');
select is(public.get_import(tests.kept('i')) #>> '{job,job_type}' || ' ' || (public.get_import(tests.kept('i')) #>> '{job,status}'), 'commit completed', 'the document has the last job');
select is(public.get_import(tests.kept('i')) #> '{job,claims}', null, 'without claims');

-- Pages --------------------------------------------------------------------------------------------------

select results_eq($$ select r.row_number from public.list_import_rows(tests.kept('i'), null, 3, 4) as r $$,
  array[4, 5, 6, 7], 'a page after a row');
select results_eq($$ select r.row_number from public.list_import_rows(tests.kept('i'), 'inserted', 1, 1) as r $$,
  array[6], 'of one status');
select results_eq($$ select r.row_number from public.list_import_rows(tests.kept('i'), 'inserted', 6, 10) as r $$,
  array[10], 'to the last');
select results_eq($$ select r.row_number from public.list_import_rows(tests.kept('i'), 'updated', 4, 10) as r $$,
  array[5], 'from the middle of a chunk');
select is_empty($$ select r.row_number from public.list_import_rows(tests.kept('i'), 'inserted', 10, 10) as r $$,
  'and none behind it');
select is(
  (with recursive pages as (
     select array(select r.row_number from public.list_import_rows(tests.kept('i'), 'failed', 0, 1) as r) as page
     union all
     select array(select r.row_number from public.list_import_rows(tests.kept('i'), 'failed', p.page[1], 1) as r)
       from pages as p where p.page <> '{}'
   ) select array_agg(p.page[1]) filter (where p.page <> '{}') from pages as p), '{2,8,9}',
     'page by page comes to all');
select throws_ok('select public.list_import_rows(tests.kept(''i''), page_size => ' || n || ')', '22023',
  'page_size must be from 1 to 1000', 'no page of ' || n) from unnest('{0,1001,-1,"null"}'::text[]) as n;
select throws_ok('select public.list_import_issues(tests.kept(''i''), page_size => ' || n || ')', '22023',
  'page_size must be from 1 to 1000', 'nor of issues: ' || n) from unnest('{0,1001,"null"}'::text[]) as n;

-- Issues
select results_eq(
  $$ select i.row_number, i.line_number, i.field, i.severity, i.code, i.value
    from public.list_import_issues(tests.kept('i')) as i order by i.row_number, i.field desc $$,
  $$ values (2, 3, 'email', 'error', 'invalid_format', 'bad'), (2, 3, 'credit_limit', 'error', 'out_of_range', '-1'),
    (7, 8, 'external_id', 'warning', 'duplicate_in_file', 'K06'),
    (8, 9, 'external_id', 'error', 'required', null), (9, 10, 'credit_limit', 'error', 'invalid_type', 'x') $$,
      'issues of all kinds');
select results_eq($$ select i.row_number from public.list_import_issues(tests.kept('i'), code => 'required') as i $$,
  array[8], 'of one code');
select results_eq($$ select i.row_number from public.list_import_issues(tests.kept('i'), severity => 'warning') as i $$,
  array[7], 'of one severity');
select is_empty($$ select 1 from public.list_import_issues(tests.kept('i'), code => 'nope''; drop table x') $$,
  'of no code');
select is(
  (with recursive pages as (
     select (select i.id from public.list_import_issues(tests.kept('i'), 0, 1) as i) as id
     union all
     select (select i.id from public.list_import_issues(tests.kept('i'), p.id, 1) as i) from pages as p
       where p.id is not null
   ) select count(p.id) from pages as p), 5::bigint, 'page by page comes to all');

-- list_imports -------------------------------------------------------------------------------------------

select tests.act_as_role('postgres');
update public.import_batches set created_at = now() - interval '2 hours' where id = tests.kept('before');
update public.import_batches set created_at = now() - interval '1 hour' where id = tests.kept('i');
select tests.act_as('mia');
select tests.keep('p', tests.stage_import('products', '{sku,name,unit_price}', '[["1", "one", "1"]]'));
create function pg_temp.ids(p_list jsonb) returns uuid[] language sql as $$
  select array_agg((d ->> 'id')::uuid order by n)
  from jsonb_array_elements(p_list -> 'imports') with ordinality as l (d, n) $$;
select tests.act_as('vic');
select is(pg_temp.ids(public.list_imports()), array[tests.kept('p'), tests.kept('i'), tests.kept('before')],
  'imports of the organization, the newest first');
select is(public.list_imports() -> 'next_before', 'null', 'all of them: no next page');
select is(public.list_imports() #> '{imports,1}', public.get_import(tests.kept('i')) - 'sample',
  'as documents, without the sample');
select is(pg_temp.ids(public.list_imports(dataset => 'products')), array[tests.kept('p')], 'of a dataset');
select is(pg_temp.ids(public.list_imports(status => 'completed')), array[tests.kept('i'), tests.kept('before')],
  'of a status');
select is(pg_temp.ids(public.list_imports(page_size => 2)), array[tests.kept('p'), tests.kept('i')], 'a page');
select is(pg_temp.ids(public.list_imports(page_size => 2,
  before => (public.list_imports(page_size => 2) ->> 'next_before')::timestamptz)), array[tests.kept('before')],
  'and the next');
select throws_ok($$ select public.list_imports(status => 'lost') $$, '22023', 'status is unknown', 'a status there is');
select throws_ok('select public.list_imports(page_size => ' || n || ')', '22023', 'page_size must be from 1 to 200',
  'no page of ' || n) from unnest('{0,201,"null"}'::text[]) as n;
select tests.act_as('bob');
select is(public.list_imports() -> 'imports', '[]', 'none of others''');
select tests.act_as('otto');
select is(public.list_imports() -> 'imports', '[]', 'none for who belongs to none');
select tests.act_as_role('service_role');
select is(pg_temp.ids(public.list_imports(dataset => 'products')) @> array[tests.kept('p')], true,
  'the service lists all');
select tests.act_as_role('anon');
select throws_ok(s.sql, '42501', 'permission denied for function ' || s.name, 'anon reads nothing: ' || s.name)
from (values ('list_imports', 'select public.list_imports()'),
  ('get_import', 'select public.get_import(tests.kept(''i''))'),
  ('list_import_rows', 'select public.list_import_rows(tests.kept(''i''))'),
    ('list_import_issues', 'select public.list_import_issues(tests.kept(''i''))')) as s (name, sql);

-- The staged data is reached through the RPCs alone.
select tests.act_as('ann');
select throws_ok(format('select 1 from private.%I', t), '42501', 'permission denied for table ' || t,
  'not even an admin reads ' || t)
from unnest('{import_rows,import_issues,import_outcomes,import_plans}'::text[]) as t;

select * from finish();
rollback;
