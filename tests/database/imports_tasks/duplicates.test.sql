-- The same key, or the same unique value, more than once in a file.
begin;
select plan(19);
select tests.set_up_actors();

create function pg_temp.import(p_options jsonb, p_rows jsonb)
returns uuid
language sql
as $$
  select tests.stage_import('products', '{sku,name,unit_price,barcode}', p_rows, p_options => p_options);
$$;
create function pg_temp.fates(p_id uuid)
returns table (row_number integer, status text, code text)
language sql
as $$
  select r.row_number, r.status, r.issues #>> '{0,code}' from public.list_import_rows(p_id) as r
$$;

select tests.act_as('max');

-- error: the first stays, the others fail.
select tests.keep('error', pg_temp.import('{}',
  '[["P1", "one", "1", null], ["P2", "two", "2", null], [" P1 ", "uno", "3", null], ["P1", "bad", "-3", null]]'));
select is(tests.run_import(tests.kept('error')), 'completed', 'duplicates=error completes');
select results_eq($$ select * from pg_temp.fates(tests.kept('error')) $$,
  $$ values (1, 'inserted', null), (2, 'inserted', null), (3, 'failed', 'duplicate_in_file'),
    (4, 'failed', 'out_of_range') $$,
  'the first row of a key is applied; the others fail; faulty ones do not count as duplicates');
select results_eq(
  $$ select row_number, field, severity, message, value
    from public.list_import_issues(tests.kept('error'), code => 'duplicate_in_file') $$,
  $$ values (3, 'sku', 'error', 'same as row 1', 'P1') $$,
  'the issue names the row that is kept');
select is(tests.counts(tests.kept('error')), '{"rows": 4, "valid": 2, "failed": 2, "inserted": 2}',
  'and the counts agree');
select is((select name from public.products where sku = 'P1'), 'one', 'the first was applied');

-- keep_first, keep_last: the others are passed over.
select tests.keep('first', pg_temp.import('{"duplicates": "keep_first"}',
  '[["Q1", "bad", "x", null], ["Q1", "a", "1", null], ["Q1", "b", "2", null], ["Q1", "c", "3", null]]'));
select is(tests.run_import(tests.kept('first')), 'completed', 'duplicates=keep_first completes');
select results_eq($$ select * from pg_temp.fates(tests.kept('first')) $$,
  $$ values (1, 'failed', 'invalid_type'), (2, 'inserted', null), (3, 'skipped', 'duplicate_in_file'),
    (4, 'skipped', 'duplicate_in_file') $$,
  'the first valid row is applied, the others are skipped');
select is(tests.counts(tests.kept('first')), '{"rows": 4, "valid": 1, "failed": 1, "skipped": 2, "inserted": 1}',
  'and the counts agree');
select is((select name from public.products where sku = 'Q1'), 'a', 'the first was applied');

select tests.keep('last', pg_temp.import('{"duplicates": "keep_last"}',
  '[["R1", "a", "1", null], ["R1", "b", "2", null], ["R1", "c", "3", null], ["R1", "bad", "x", null]]'));
select is(tests.run_import(tests.kept('last')), 'completed', 'duplicates=keep_last completes');
select results_eq($$ select * from pg_temp.fates(tests.kept('last')) $$,
  $$ values (1, 'skipped', 'duplicate_in_file'), (2, 'skipped', 'duplicate_in_file'), (3, 'inserted', null),
    (4, 'failed', 'invalid_type') $$,
  'the last valid row is applied, the others are skipped');
select results_eq(
  $$ select row_number, severity, message from public.list_import_issues(tests.kept('last'), severity => 'warning') $$,
  $$ values (1, 'warning', 'same as row 3'), (2, 'warning', 'same as row 3') $$,
  'they are warned of, not failed');
select results_eq(
  $$ select r.row_number from public.list_import_rows(tests.kept('last'), 'skipped') as r $$, array[1, 2],
    'skipped rows can be listed');

-- unique_in_file: products.barcode has the rule.
select tests.keep('unique', pg_temp.import('{}',
  '[["S1", "a", "1", "111"], ["S2", "b", "2", "111"], ["S3", "c", "3", null], ["S4", "d", "4", null], ["S1", "e", "5", "222"], ["S5", "f", "6", "222"]]'));
select is(tests.run_import(tests.kept('unique')), 'completed', 'a file with a repeated unique value completes');
select results_eq($$ select * from pg_temp.fates(tests.kept('unique')) $$,
  $$ values (1, 'inserted', null), (2, 'failed', 'duplicate_in_file'), (3, 'inserted', null), (4, 'inserted', null),
    (5, 'failed', 'duplicate_in_file'), (6, 'inserted', null) $$,
  'unique_in_file fails the later rows; nulls are not alike, and a row that failed by its key does not count');

-- Judged by the typed value, in keys that are no text.
select tests.act_as_role('postgres');
create table public.days (
  id     uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organization (id),
  day    date not null,
  slot   integer not null,
  note   text,
  constraint days_key unique (slot, org_id, day)
);
alter table public.days enable row level security;
create policy days_all on public.days to authenticated using (org_id = any (array(select private.org_ids('member'))));
grant select, insert, update, delete on public.days to authenticated, service_role;
select private.register_dataset('days', 'public.days', '{day,slot}');
select tests.act_as('max');
select tests.keep('typed', tests.stage_import('days', '{day,slot,note}',
  '[["2024-01-05", "1", "a"], ["2024-1-5", "+01", "b"], ["2024-01-05", "2", "c"], ["2024-01-06", "1", "d"]]'));
select is(tests.run_import(tests.kept('typed')), 'completed',
  'a key of two columns, in another order than the index, works');
select results_eq($$ select * from pg_temp.fates(tests.kept('typed')) $$,
  $$ values (1, 'inserted', null), (2, 'failed', 'duplicate_in_file'), (3, 'inserted', null), (4, 'inserted', null) $$,
  'duplicates are judged by value, not by writing, and over all key fields');
select results_eq(
  $$ select r.key from public.list_import_rows(tests.kept('typed')) as r $$,
  array['2024-01-05 1', '2024-1-5 +01', '2024-01-05 2', '2024-01-06 1'], 'keys of several fields are shown together');

-- Key buckets: every row is in exactly one.
select tests.act_as_role('postgres');
select is(
  (select array_agg(private.key_buckets(row(b.*)::public.import_batches) order by b.row_count)
   from (select (jsonb_populate_record(null::public.import_batches, jsonb_build_object('row_count', n))).*
     from unnest('{0,1,500000,500001,1000001}'::int[]) as n) as b),
  '{1,1,1,2,3}', 'half a million rows make a bucket of keys');

select * from finish();
rollback;
