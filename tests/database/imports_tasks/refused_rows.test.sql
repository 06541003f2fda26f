-- Rows that only the table can refuse: triggers, other unique keys, deferred constraints, CHECKs that raise.
begin;
select plan(41);
select tests.set_up_actors();

create function private.raise_text(p_value integer) returns boolean language plpgsql immutable set search_path = '' as $$
begin
  if p_value = 13 then
    raise exception 'thirteen is unlucky';
  end if;
  return p_value <> 14;
end $$;

create table public.gadgets (
  id     uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organization (id),
  no     text not null,
  serial text,
  size   integer,
  owner  uuid,
  constraint gadgets_org_id_no_key unique (org_id, no),
  constraint gadgets_serial_key unique (serial),
  constraint gadgets_owner_fkey foreign key (owner) references auth.users (id) deferrable initially deferred
);
alter table public.gadgets enable row level security;
create policy gadgets_all on public.gadgets to authenticated
  using (org_id = any (array(select private.org_ids('viewer'))))
  with check (org_id = any (array(select private.org_ids('member'))) and size is distinct from 66);
grant select, insert, update, delete on public.gadgets to authenticated, service_role;
create function private.tg_gadgets__refuse() returns trigger language plpgsql set search_path = '' as $$
begin
  if new.size = 99 then
    raise exception using errcode = 'P0001', message = 'ninety-nine is too many', column = 'size';
  elsif new.size = 97 then
    raise exception using errcode = 'PT422', message = 'not even that';
  elsif new.size = 95 then
    perform 1 / 0;
  end if;
  return new;
end $$;
create trigger _300_refuse before insert or update on public.gadgets
  for each row execute function private.tg_gadgets__refuse();
select private.register_dataset('gadgets', 'public.gadgets', '{no}');

create function pg_temp.issues(p_id uuid)
returns table (row_number integer, field text, code text, message text, sqlstate text, constraint_name text)
language sql
as $$
  select i.row_number, i.field, i.code, i.message, i.sqlstate, i.constraint_name
  from public.list_import_issues(p_id, page_size => 1000) as i order by i.row_number
$$;

-- One of each kind among good rows -----------------------------------------------------------------

select tests.act_as('max');
select tests.keep('mixed', tests.stage_import('gadgets', '{no,serial,size,owner}', format('[
  ["A", "S1", "1", null], ["B", "S2", "99", null], ["C", "S1", "2", null], ["D", "S4", "3", "%s"],
  ["E", "S5", "4", "00000000-0000-0000-0000-00000000dead"], ["F", "S6", "66", null], ["G", "S7", "97", null],
  ["H", "S8", "95", null], ["I", "S9", "5", null]]', tests.user_id('max'))::jsonb));
select is(tests.run_import(tests.kept('mixed')), 'completed', 'rows that the table refuses do not stop the import');
select is(tests.counts(tests.kept('mixed')), '{"rows": 9, "valid": 9, "failed": 6, "inserted": 3}',
  'they fail, the others are applied');
select results_eq($$ select * from pg_temp.issues(tests.kept('mixed')) $$,
  $$ values
    (2, 'size', 'constraint_violation', 'ninety-nine is too many', 'P0001', null),
    (3, null, 'constraint_violation', 'duplicate key value violates unique constraint "gadgets_serial_key"', '23505',
      'gadgets_serial_key'),
    (5, null, 'constraint_violation',
      'insert or update on table "gadgets" violates foreign key constraint "gadgets_owner_fkey"', '23503',
      'gadgets_owner_fkey'),
    (6, null, 'permission_denied', 'new row violates row-level security policy for table "gadgets"', '42501', null),
    (7, null, 'constraint_violation', 'not even that', 'PT422', null),
    (8, null, 'constraint_violation', 'division by zero', '22012', null) $$,
  'each issue tells what the table said: trigger, unique key, deferred foreign key, policy');
select results_eq($$ select g.no from public.gadgets as g order by g.no $$, array['A', 'D', 'I'],
  'exactly the good ones are there');
select results_eq(
  $$ select r.row_number, r.status from public.list_import_rows(tests.kept('mixed')) as r $$,
  $$ select n, case when n in (1, 4, 9) then 'inserted' else 'failed' end from generate_series(1, 9) as n $$,
  'and each row says so');
select is((public.get_import(tests.kept('mixed')) #>> '{job,done}')::integer, 9, 'the job counts every row as done');
select is((public.get_import(tests.kept('mixed')) #>> '{job,failed}')::integer, 6, 'and the refused ones as failed');

-- Refused updates leave the record.
select tests.keep('update', tests.stage_import('gadgets', '{no,size}', '[["A", "99"], ["D", "8"]]', 'update'));
select is(tests.run_import(tests.kept('update')), 'completed', 'a refused update does not stop the import');
select is(tests.counts(tests.kept('update')), '{"rows": 2, "valid": 2, "failed": 1, "updated": 1}',
  'it fails, the other is applied');
select results_eq($$ select g.no, g.size from public.gadgets as g where g.no in ('A', 'D') order by g.no $$,
  $$ values ('A', 1), ('D', 8) $$, 'the record of the refused one is as it was');

-- Many ---------------------------------------------------------------------------------------------

-- Half of the rows, in every pattern that windows could miss: first, last, alternating, in runs.
select tests.keep('half', tests.stage_import('gadgets', '{no,size}', (
  select jsonb_agg(jsonb_build_array('half' || n, case when n % 2 = 1 then '99' else '1' end))
    from generate_series(1, 400) as n)));
select is(tests.run_import(tests.kept('half')), 'completed',
  'an import of which every second row is refused completes');
select is(tests.counts(tests.kept('half')), '{"rows": 400, "valid": 400, "failed": 200, "inserted": 200}',
  'and half of it is applied');
select is(
  (select array_agg(i.row_number order by i.row_number)
    from public.list_import_issues(tests.kept('half'), page_size => 1000) as i),
  array(select generate_series(1, 399, 2)), 'the right half');
select tests.keep('runs', tests.stage_import('gadgets', '{no,size}', (
  select jsonb_agg(jsonb_build_array('run' || n, case when n between 50 and 80 or n in (1, 200, 299, 300) then '99'
    else '1' end))
  from generate_series(1, 300) as n)));
select is(tests.run_import(tests.kept('runs')), 'completed', 'an import with runs of refused rows completes');
select is(
  (select array_agg(i.row_number order by i.row_number)
    from public.list_import_issues(tests.kept('runs'), page_size => 1000) as i),
  array(select n from generate_series(1, 300) as n where n between 50 and 80 or n in (1, 200, 299, 300)),
    'exactly those fail');
select tests.keep('all', tests.stage_import('gadgets', '{no,size}', (
  select jsonb_agg(jsonb_build_array('all' || n, '99')) from generate_series(1, 60) as n)));
select is(tests.run_import(tests.kept('all')), 'completed', 'an import of which every row is refused completes');
select is(tests.counts(tests.kept('all')), '{"rows": 60, "valid": 60, "failed": 60}', 'with nothing applied');
select results_eq(
  $$ select r.row_number from public.list_import_rows(tests.kept('half'), 'inserted', 0, 3) as r $$, array[2, 4, 6],
  'what windows applied is listed row by row');

-- A CHECK that raises ------------------------------------------------------------------------------

select tests.act_as_role('postgres');
alter table public.gadgets add constraint gadgets_size_check check (private.raise_text(size));
grant execute on function private.raise_text(integer) to authenticated, service_role;
select tests.act_as('max');
select tests.keep('raises', tests.stage_import('gadgets', '{no,size}',
  '[["R1", "1"], ["R2", "13"], ["R3", "14"], ["R4", "x"]]'));
select is(tests.run_import(tests.kept('raises'), false), 'validated',
  'a CHECK that raises does not stop the validation');
select results_eq($$ select row_number, code from pg_temp.issues(tests.kept('raises')) $$,
  $$ values (4, 'invalid_type') $$,
  'the rules are judged without it');
select public.commit_import(tests.kept('raises'));
select tests.run_jobs();
select is(public.get_import(tests.kept('raises')) ->> 'status', 'completed', 'nor the commit');
select results_eq($$ select row_number, code, message, sqlstate, constraint_name
  from pg_temp.issues(tests.kept('raises')) $$,
  $$ values
    (2, 'constraint_violation', 'thirteen is unlucky', 'P0001', null),
    (3, 'constraint_violation', 'new row for relation "gadgets" violates check constraint "gadgets_size_check"',
      '23514', 'gadgets_size_check'),
    (4, 'invalid_type', 'not a whole number', '22P02', null) $$,
  'it costs the rows that it refuses, alone');
select tests.act_as_role('postgres');
alter table public.gadgets drop constraint gadgets_size_check;

-- on_error = abort ---------------------------------------------------------------------------------

select tests.act_as('max');
select tests.keep('abort', tests.stage_import('gadgets', '{no,size}', '[["X1", "1"], ["X2", "x"]]',
  p_options => '{"on_error": "abort"}'));
select is(tests.run_import(tests.kept('abort')), 'failed', 'on_error=abort: a faulty row fails the import');
select is(public.get_import(tests.kept('abort')) -> 'error',
  '{"code": "rows_invalid", "message": "rows are invalid, so nothing is applied", "details": "1 of 2 rows",
    "hint": "Correct the file, or import with on_error=skip."}', 'which says so');
select is(tests.counts(tests.kept('abort')), '{"rows": 2, "valid": 1, "failed": 1, "pending": 1}',
  'nothing is applied');

select tests.act_as_role('postgres');
insert into private.settings (key, value) values ('imports.chunk_rows', '1');
select tests.act_as('max');
select tests.keep('whole', tests.stage_import('gadgets', '{no,size}', '[["X1", "1"], ["X2", "99"], ["X3", "1"]]',
  p_options => '{"on_error": "abort"}'));
select is(tests.run_import(tests.kept('whole')), 'failed',
  'on_error=abort: a row that the table refuses fails the import');
select is(public.get_import(tests.kept('whole')) #- '{error,details}' -> 'error',
  '{"code": "row_refused", "message": "a row was refused, so nothing is applied", "hint": "Correct the row, or import with on_error=skip."}',
  'which says so');
select is(public.get_import(tests.kept('whole')) #>> '{error,details}', 'row 2: ninety-nine is too many',
  'and which row it was');
select is_empty($$ select 1 from public.gadgets as g where g.no like 'X%' $$,
  'nothing of it is applied, in whatever chunk it was');
select tests.keep('exists', tests.stage_import('gadgets', '{no,size}', '[["X1", "1"], ["A", "1"]]', 'insert',
  p_options => '{"on_error": "abort"}'));
select is(tests.run_import(tests.kept('exists')), 'failed', 'on_error=abort: a record that exists fails an insert');
select is(public.get_import(tests.kept('exists')) #>> '{error,details}', 'row 2: a record with this key exists',
  'which says so');
select tests.keep('fine', tests.stage_import('gadgets', '{no,size}', '[["X1", "1"], ["X2", "2"]]',
  p_options => '{"on_error": "abort"}'));
select is(tests.run_import(tests.kept('fine')), 'completed', 'on_error=abort: a good file completes');
select is(tests.counts(tests.kept('fine')), '{"rows": 2, "valid": 2, "inserted": 2}', 'and is applied as a whole');

select tests.act_as_role('postgres');
insert into private.settings (key, value) values ('imports.max_atomic_rows', '1');
select tests.act_as('max');
select throws_ok(
  format($$ select public.validate_import(%L) $$,
    tests.stage_import('gadgets', '{no}', '[["X1"], ["X2"]]', p_options => '{"on_error": "abort"}')),
  'PT413', 'import is too large to be applied as a whole', 'on_error=abort has a limit of its own');
select lives_ok(
  format($$ select public.validate_import(%L) $$, tests.stage_import('gadgets', '{no}', '[["X1"], ["X2"]]')),
  'which on_error=skip does not have');

select is(
  (select array_agg(private.is_row_error(c) order by c)
    from unnest('{0A000,22012,22P02,23503,23505,23514,42501,P0001,PT422}'::text[]) as c),
  '{f,t,t,t,t,t,t,t,t}', 'data, integrity and raised errors are the row''s fault');
select is(
  (select bool_or(private.is_row_error(c))
   from unnest('{08006,25006,26000,28000,2D000,40001,40P01,42P01,42703,53300,54001,55P03,57014,57P01,58030,F0000,IM001,XX000}'::text[]) as c),
  false, 'connections, conflicts, resources, cancellations and faults of the system are not');

-- A constant that does not fit its field fails its rows, and is not folded into the merge of the others.
select tests.keep('constant', tests.stage_import('customers', '{external_id,name}', '[["K1", "One"], ["K2", "Two"]]',
  p_mapping => '{"external_id": "external_id", "name": "name", "credit_limit": {"default": "abc"}}'));
select is(tests.run_import(tests.kept('constant')), 'completed', 'a constant that does not fit is no error of the import');
select is(tests.counts(tests.kept('constant')), '{"rows": 2, "failed": 2}', 'each row fails for it once');

-- Too long for an index: the table cannot say so before.
reset role;
create table public.tags (
  id     uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organization (id),
  name   text not null,
  unique (org_id, name)
);
alter table public.tags enable row level security;
create policy tags_all on public.tags to authenticated using (org_id = any (array(select private.org_ids('member'))));
grant select, insert, update on public.tags to authenticated;
select private.register_dataset('tags', 'public.tags', '{name}');
select tests.act_as('max');
select tests.keep('tags', tests.stage_import('tags', '{name}', (
  select jsonb_agg(jsonb_build_array(t)) from unnest(array['short', (
    select string_agg(md5(n::text), '') from generate_series(1, 600) as n), 'brief']) as t)));
select is(tests.run_import(tests.kept('tags')), 'completed', 'a value too long for an index is no error of the import');
select is(tests.counts(tests.kept('tags')), '{"rows": 3, "valid": 3, "failed": 1, "inserted": 2}', 'it costs its row alone');

select * from finish();
rollback;
