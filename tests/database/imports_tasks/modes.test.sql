-- insert, update, upsert and delete; blank cells; defaults of columns; the same file again.
begin;
select plan(34);
select tests.set_up_actors();

-- tools: defaults of both kinds, a generated column, a column that clients may not fill.
create table public.tools (
  id     uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organization (id),
  no     text not null,
  name   text,
  size   integer not null default 7,
  tint   text default 'red',
  label  text generated always as (no || '/' || coalesce(name, '')) stored,
  secret text not null default 'hidden',
  constraint tools_org_id_no_key unique (org_id, no)
);
alter table public.tools enable row level security;
create policy tools_all on public.tools to authenticated
  using (org_id = any (array(select private.org_ids('viewer'))))
  with check (org_id = any (array(select private.org_ids('member'))));
revoke all on public.tools from anon, authenticated, service_role; -- the platform grants all on new tables
grant select, delete, insert (org_id, no, name, size, tint), update (no, name, size, tint)
  on public.tools to authenticated, service_role;
select private.register_dataset('tools', 'public.tools', '{no}');

create function pg_temp.tools()
returns table (no text, name text, size integer, tint text)
language sql
as 'select t.no, t.name, t.size, t.tint from public.tools as t order by t.no';

-- upsert ------------------------------------------------------------------------------------------

select tests.act_as('max');
select tests.keep('first', tests.stage_import('tools', '{no,name,size,tint}',
  '[["A", "hammer", "1", "blue"], ["B", "saw", null, ""], ["C", null, "3", null]]'));
select is(tests.run_import(tests.kept('first')), 'completed', 'an upsert into an empty table completes');
select is(tests.counts(tests.kept('first')), '{"rows": 3, "valid": 3, "inserted": 3}', 'and inserts every row');
select results_eq(
  'select * from pg_temp.tools()',
  $$ values ('A', 'hammer', 1, 'blue'), ('B', 'saw', 7, 'red'), ('C', null, 3, 'red') $$,
  'blank cells of new records take the columns'' defaults');
select is((select max(secret) from public.tools), 'hidden', 'a column that clients may not insert has its default');
select is((select label from public.tools where no = 'A'), 'A/hammer', 'generated columns generate');
select is((select count(distinct org_id) from public.tools where org_id = tests.org_id('acme')), 1::bigint,
  'records belong to the import''s organization');

select tests.keep('again', tests.stage_import('tools', '{no,name,size,tint}',
  '[["A", "hammer", "1", "blue"], ["B", "saw", null, ""], ["C", null, "3", null]]'));
select is(tests.run_import(tests.kept('again')), 'completed', 'the same file again completes');
select is(tests.counts(tests.kept('again')), '{"rows": 3, "valid": 3, "unchanged": 3}', 'and changes nothing');
select tests.act_as_role('postgres');
select is_empty(
  $$ select o.row_numbers from private.import_outcomes as o where o.batch_id = tests.kept('again')
    and o.row_numbers <> '{}' $$,
  'its outcome names no record');

select tests.act_as('max');
select tests.keep('mixed', tests.stage_import('tools', '{no,name,size,tint}',
  '[["A", "mallet", null, null], ["B", "saw", "7", "red"], ["D", "drill", "4", "green"]]'));
select is(tests.run_import(tests.kept('mixed')), 'completed', 'a file with known and new keys completes');
select is(tests.counts(tests.kept('mixed')), '{"rows": 3, "valid": 3, "inserted": 1, "updated": 1, "unchanged": 1}',
  'and is an insert, an update and an unchanged row');
select results_eq(
  'select * from pg_temp.tools()',
  $$ values ('A', 'mallet', 1, 'blue'), ('B', 'saw', 7, 'red'), ('C', null, 3, 'red'), ('D', 'drill', 4, 'green') $$,
  'blank=ignore keeps what is there');
select results_eq(
  $$ select row_number, status, key, record_id is not null from public.list_import_rows(tests.kept('mixed')) $$,
  $$ values (1, 'updated', 'A', true), (2, 'unchanged', 'B', false), (3, 'inserted', 'D', true) $$,
  'each row says what became of it, and of which record');

-- blank = clear
select tests.keep('clear', tests.stage_import('tools', '{no,name,size,tint}',
  '[["A", "", "", ""], ["E", "", "", ""]]', p_options => '{"blank": "clear"}'));
select is(tests.run_import(tests.kept('clear')), 'completed', 'blank=clear completes');
select results_eq(
  $$ select * from pg_temp.tools() where no in ('A', 'E') $$,
  $$ values ('A', null, 1, null), ('E', null, 7, null) $$,
  'blank=clear empties columns that may be null; others keep their value, or take their default');

-- A column that is not in the file is left alone.
select tests.keep('narrow', tests.stage_import('tools', '{no,tint}', '[["D", "pink"]]'));
select is(tests.run_import(tests.kept('narrow')), 'completed', 'a file with fewer columns completes');
select results_eq($$ select * from pg_temp.tools() where no = 'D' $$, $$ values ('D', 'drill', 4, 'pink') $$,
  'what the file does not have is left alone');

-- A file of keys alone.
select tests.keep('keys', tests.stage_import('tools', '{no}', '[["D"], ["F"]]'));
select is(tests.run_import(tests.kept('keys')), 'completed', 'a file of keys alone completes');
select is(tests.counts(tests.kept('keys')), '{"rows": 2, "valid": 2, "inserted": 1, "unchanged": 1}',
  'and inserts the unknown ones');

-- insert ------------------------------------------------------------------------------------------

select tests.keep('insert', tests.stage_import('tools', '{no,name}', '[["A", "axe"], ["G", "glue"]]', 'insert'));
select is(tests.run_import(tests.kept('insert')), 'completed', 'an insert completes');
select is(tests.counts(tests.kept('insert')), '{"rows": 2, "valid": 2, "failed": 1, "inserted": 1}',
  'and fails for the key that exists');
select results_eq(
  $$ select row_number, field, code, message, value from public.list_import_issues(tests.kept('insert')) $$,
  $$ values (1, 'no', 'already_exists', 'a record with this key exists', 'A') $$,
  'which it says');
select is((select name from public.tools where no = 'A'), null, 'the record that exists is untouched');

-- update ------------------------------------------------------------------------------------------

select tests.keep('update', tests.stage_import('tools', '{no,size}', '[["A", "9"], ["D", "4"], ["Z", "1"]]', 'update'));
select is(tests.run_import(tests.kept('update')), 'completed', 'an update completes');
select is(tests.counts(tests.kept('update')), '{"rows": 3, "valid": 3, "failed": 1, "updated": 1, "unchanged": 1}',
  'and inserts nothing');
select results_eq(
  $$ select row_number, field, code, message, value from public.list_import_issues(tests.kept('update')) $$,
  $$ values (3, 'no', 'not_found', 'no record has this key', 'Z') $$,
  'a key without a record is not_found');
select tests.keep('update_clear', tests.stage_import('tools', '{no,size}', '[["A", ""]]', 'update',
  p_options => '{"blank": "clear"}'));
select tests.run_import(tests.kept('update_clear'));
select results_eq(
  $$ select field, code from public.list_import_issues(tests.kept('update_clear')) $$,
    $$ values ('size', 'required') $$,
  'an update that would clear a not null column is required');

-- delete ------------------------------------------------------------------------------------------

select throws_ok(
  $$ select public.create_import('tools', 'delete') $$,
  '42501', 'organization role required', 'a member may not delete by import');
select tests.act_as('ann');
select tests.keep('delete', tests.stage_import('tools', '{no,size}', '[["A", "not judged"], ["Z", ""]]', 'delete'));
select is(tests.run_import(tests.kept('delete')), 'completed', 'an admin''s delete completes');
select is(tests.counts(tests.kept('delete')), '{"rows": 2, "valid": 2, "failed": 1, "deleted": 1}',
  'and deletes the records of the keys');
select results_eq(
  $$ select row_number, status, issues #>> '{0,code}' from public.list_import_rows(tests.kept('delete')) $$,
  $$ values (1, 'deleted', null), (2, 'failed', 'not_found') $$,
  'a key without a record is not_found there, too');
select is_empty($$ select 1 from public.tools where no = 'A' $$, 'the record is gone');

-- Another organization has the same keys.
select tests.act_as('ben');
select tests.keep('bolt', tests.stage_import('tools', '{no,name}', '[["B", "bolt''s own"]]'));
select is(tests.run_import(tests.kept('bolt')), 'completed', 'another organization imports the same key');
select tests.act_as_role('postgres');
select results_eq(
  $$ select org_id, name from public.tools where no = 'B' order by name $$,
  $$ values (tests.org_id('bolt'), 'bolt''s own'), (tests.org_id('acme'), 'saw') $$,
  'and gets a record of its own');

select * from finish();
rollback;
