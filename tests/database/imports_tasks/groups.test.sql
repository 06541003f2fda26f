-- Records with lines: several rows of a file make one record, written by the dataset's own function.
begin;
select plan(48);
select tests.set_up_actors();

create table public.bills (
  id          uuid primary key default gen_random_uuid(),
  org_id      uuid not null references public.organization (id),
  number      text not null,
  customer_id uuid not null references public.customers (id),
  note        text check (note <> 'forbidden'),
  unique (org_id, number)
);
create table public.bill_lines (
  id       uuid primary key default gen_random_uuid(),
  bill_id  uuid not null references public.bills (id) on delete cascade,
  line     integer not null,
  article  text not null check (length(article) <= 20),
  quantity integer not null check (quantity > 0),
  unique (bill_id, line)
);
alter table public.bills enable row level security;
alter table public.bill_lines enable row level security;
create policy bills_all on public.bills to authenticated using (org_id = any (array(select private.org_ids('member'))));
create policy bill_lines_all on public.bill_lines to authenticated
  using (exists (select from public.bills as b where b.id = bill_id));
grant select, insert, update, delete on public.bills, public.bill_lines to authenticated, service_role;

create type private.bill_row as (number text, customer_id uuid, note text, line integer, article text, quantity integer);

create function private.apply_bills(p_org_id uuid, p_mode public.import_mode, p_clear text[], p_rows private.bill_row[])
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  if p_mode = 'delete' then
    delete from public.bills as b using unnest(p_rows) as r where b.org_id = p_org_id and b.number = r.number;
    return;
  end if;

  if p_mode = 'insert' then
    insert into public.bills (org_id, number, customer_id, note)
    select p_org_id, r.number, (array_agg(r.customer_id) filter (where r.customer_id is not null))[1], max(r.note)
    from unnest(p_rows) as r
    group by r.number
    order by r.number;
  else
    update public.bills as t
    set customer_id = s.customer_id, note = s.note
    from (
      select b.id, coalesce((array_agg(r.customer_id) filter (where r.customer_id is not null))[1], b.customer_id) as customer_id,
        coalesce(max(r.note), case when 'note' <> all (p_clear) then b.note end) as note
      from unnest(p_rows) as r
      join public.bills as b on b.org_id = p_org_id and b.number = r.number
      group by b.id
    ) as s
    where t.id = s.id and (t.customer_id, t.note) is distinct from (s.customer_id, s.note);
  end if;

  merge into public.bill_lines as t
  using (
    select b.id as bill_id, r.line, r.article, r.quantity
    from unnest(p_rows) as r
    join public.bills as b on b.org_id = p_org_id and b.number = r.number
  ) as s
  on t.bill_id = s.bill_id and t.line = s.line
  when matched and (t.article, t.quantity) is distinct from (s.article, s.quantity) then
    update set article = s.article, quantity = s.quantity
  when not matched then
    insert (bill_id, line, article, quantity) values (s.bill_id, s.line, s.article, s.quantity);
end;
$$;
grant execute on function private.apply_bills(uuid, public.import_mode, text[], private.bill_row[]) to authenticated, service_role;

select tests.keep('dummy', gen_random_uuid());
select is((private.register_dataset('bills', 'public.bills', '{number,line}', group_field => 'number', lines => 'public.bill_lines',
  apply_function => 'private.apply_bills')).key, 'bills', 'a dataset with lines is registered');
select results_eq(
  $$ select f.name, f.type, f.is_required, f.rules, f.reference ->> 'dataset' from public.dataset_fields as f where f.dataset = 'bills' order by f.position $$,
  $$ values ('number', 'text', true, '{}'::jsonb, null),
       ('customer', 'text', true, '{"same_in_group": true}', 'customers'),
       ('note', 'text', false, '{"same_in_group": true}', null),
       ('line', 'integer', true, '{}', null),
       ('article', 'text', true, '{"max_length": 20}', null),
       ('quantity', 'integer', true, '{}', null) $$,
  'its fields are the function''s, with what the columns of record and lines say');
select throws_ok($$ select private.register_dataset('bad', 'public.bills', '{number,line}', group_field => 'number',
    lines => 'public.bill_lines', apply_function => 'private.no_such') $$,
  '22023', 'table is not fit to be a dataset', 'an unknown function is refused');
select throws_ok($$ select private.register_dataset('bad', 'public.bills', '{number,line}', group_field => 'number',
    lines => 'public.customers', apply_function => 'private.apply_bills') $$,
  '22023', 'table is not fit to be a dataset', 'so are lines that refer to something else');
select throws_ok($$ select private.register_dataset('bad', 'public.bills', '{number,line}', group_field => 'number') $$,
  '23514', null, 'and a group without lines and function');

insert into public.customers (org_id, external_id, name) values (tests.org_id('acme'), 'C1', 'One'), (tests.org_id('acme'), 'C2', 'Two');
insert into private.settings (key, org_id, value) values ('imports.chunk_rows', tests.org_id('acme'), '3');

create function pg_temp.fates(p_id uuid)
returns table (row_number integer, status text, code text)
language sql
as $$
  select r.row_number, r.status, r.issues #>> '{0,code}' from public.list_import_rows(p_id) as r
$$;
create function pg_temp.bills()
returns table (number text, customer text, note text, lines text)
language sql
as $$
  select b.number, c.external_id, b.note,
    (select string_agg(format('%s:%s*%s', l.line, l.quantity, l.article), ' ' order by l.line) from public.bill_lines as l where l.bill_id = b.id)
  from public.bills as b join public.customers as c on c.id = b.customer_id order by b.number
$$;

-- Lines of a record lie far apart, in other chunks than its first row.
select tests.act_as('max');
select tests.keep('i', tests.stage_import('bills', '{number,customer,note,line,article,quantity}', '[
  ["B1", "C1", "n", "1", "nail",  "5"],
  ["B2", "C2", null, "1", "saw",  "1"],
  ["B3", "C1", null, "1", "axe",  "x"],
  ["B1", null, null, "2", "bolt", "6"],
  ["B4", "C2", null, "1", "nut",  "2"],
  ["B3", "C1", null, "2", "awl",  "1"],
  ["B5", "C1", null, "1", "cog",  "1"],
  ["B1", "C1", "n",  "3", "rod",  "7"],
  ["B5", "C2", null, "2", "cam",  "1"],
  [null, "C2", null, "2", "cam",  "1"],
  ["B2", "C2", null, "1", "saw",  "9"]
]'));
select is(tests.run_import(tests.kept('i')), 'completed', 'an import of records with lines completes');
select results_eq($$ select * from pg_temp.fates(tests.kept('i')) $$,
  $$ values (1, 'inserted', null), (2, 'failed', 'group_failed'), (3, 'failed', 'invalid_type'), (4, 'inserted', null),
    (5, 'inserted', null), (6, 'failed', 'group_failed'), (7, 'failed', 'group_failed'), (8, 'inserted', null),
    (9, 'failed', 'group_failed'), (10, 'failed', 'required'), (11, 'failed', 'duplicate_in_file') $$,
  'one bad line fails its record, wherever it lies; so does disagreement about the record, and a line twice');
select results_eq($$ select * from pg_temp.bills() $$,
  $$ values ('B1', 'C1', 'n', '1:5*nail 2:6*bolt 3:7*rod'), ('B4', 'C2', null, '1:2*nut') $$,
  'a record is written whole, by one chunk');
select is(tests.counts(tests.kept('i')), '{"rows": 11, "valid": 4, "failed": 7, "inserted": 4}', 'and the counts agree');
select results_eq(
  $$ select i.row_number, i.field, i.message, i.value from public.list_import_issues(tests.kept('i'), code => 'group_failed') as i order by 1 $$,
  $$ values (2, 'number', 'fails with its number: row 11', 'B2'), (6, 'number', 'fails with its number: row 3', 'B3'),
       (7, 'number', 'fails with its number: row 9', 'B5'), (9, 'customer', 'the rows of this number disagree; the first says C1', 'C2') $$,
  'the issue names the row at fault');
select is((select count(distinct r.record_id)::integer from public.list_import_rows(tests.kept('i'), 'inserted') as r), 2,
  'all rows of a record name it');
select is((select array_agg(r.row_number) from public.list_import_rows(tests.kept('i'), 'inserted', 1, 2) as r), '{4,5}'::integer[],
  'rows are paged in the order of the file');
select tests.act_as_role('postgres');
select results_eq(
  $$ select o.from_row, o.to_row, o.row_numbers, cardinality(array_remove(o.row_hashes, null)), o.unchanged_count, o.refused_count
     from private.import_outcomes as o where o.batch_id = tests.kept('i') order by 1 $$,
  $$ values (0, 3, '{1,4,8}'::integer[], 1, 0, 0), (3, 6, '{5}', 1, 0, 0), (6, 9, '{}', 0, 0, 0), (9, 11, '{}', 0, 0, 0) $$,
  'the first row of a record holds its hash, in the chunk where that row is');
select tests.act_as('max');

-- The same again, with changes of lines only.
select tests.keep('again', tests.stage_import('bills', '{number,customer,line,article,quantity}', '[
  ["B1", "C1", "1", "nail",  "5"],
  ["B4", "C2", "1", "nut",  "3"],
  ["B1", "C1", "2", "bolt", "6"],
  ["B4", "C2", "2", "new",  "1"],
  ["B6", "C2", "1", "nut",  "3"]
]'));
select is(tests.run_import(tests.kept('again')), 'completed', 'the next file completes');
select results_eq($$ select * from pg_temp.fates(tests.kept('again')) $$,
  $$ values (1, 'unchanged', null), (2, 'updated', null), (3, 'unchanged', null), (4, 'updated', null), (5, 'inserted', null) $$,
  'a record whose lines change is updated; what nobody changed is unchanged');
select results_eq($$ select * from pg_temp.bills() $$,
  $$ values ('B1', 'C1', 'n', '1:5*nail 2:6*bolt 3:7*rod'), ('B4', 'C2', null, '1:3*nut 2:1*new'), ('B6', 'C2', null, '1:3*nut') $$,
  'lines that the file does not name stay');
select is(tests.counts(tests.kept('again')), '{"rows": 5, "valid": 5, "inserted": 1, "updated": 2, "unchanged": 2}', 'and the counts agree');
select tests.act_as_role('postgres');
select is(
  (select u.image - 'record' -> 'lines' #- '{0,id}' #- '{0,bill_id}' from private.import_outcomes as o
   cross join lateral unnest(o.images) as u (image) where o.batch_id = tests.kept('again') and u.image is not null),
  '[{"line": 1, "article": "nut", "quantity": 2}]', 'the image of an updated record holds its lines');
select tests.act_as('max');

-- insert, update, delete
select tests.keep('insert', tests.stage_import('bills', '{number,customer,line,article,quantity}', '[
  ["B7", "C1", "1", "a", "1"], ["B6", "C1", "2", "b", "1"], ["B7", "C1", "2", "c", "1"], ["B6", "C1", "3", "d", "1"]]', 'insert'));
select is(tests.run_import(tests.kept('insert')), 'completed', 'insert completes');
select results_eq($$ select * from pg_temp.fates(tests.kept('insert')) $$,
  $$ values (1, 'inserted', null), (2, 'failed', 'already_exists'), (3, 'inserted', null), (4, 'failed', 'already_exists') $$,
  'all rows of a record that exists fail');
select tests.keep('update', tests.stage_import('bills', '{number,line,article,quantity}', '[
  ["B9", "1", "a", "1"], ["B6", "1", "b", "1"], ["B9", "2", "c", "1"], ["B7", "1", "a", "1"]]', 'update'));
select is(tests.run_import(tests.kept('update')), 'completed', 'update completes');
select results_eq($$ select * from pg_temp.fates(tests.kept('update')) $$,
  $$ values (1, 'failed', 'not_found'), (2, 'updated', null), (3, 'failed', 'not_found'), (4, 'unchanged', null) $$,
  'all rows of a record that does not exist fail');
select tests.act_as('ann');
select tests.keep('delete', tests.stage_import('bills', '{number}', '[["B6"], ["B9"], ["B6"], ["B7"]]', 'delete'));
select is(tests.run_import(tests.kept('delete')), 'completed', 'delete needs the record''s key alone');
select results_eq($$ select * from pg_temp.fates(tests.kept('delete')) $$,
  $$ values (1, 'deleted', null), (2, 'failed', 'not_found'), (3, 'deleted', null), (4, 'deleted', null) $$, 'and removes each record');
select results_eq($$ select b.number from pg_temp.bills() as b $$, array['B1', 'B4'], 'with its lines');
select is((select array_agg(r.row_number) from public.list_import_rows(tests.kept('delete'), 'deleted') as r), '{1,3,4}'::integer[], 'the rows say so');

-- What only the table refuses costs the record alone, whole.
select tests.act_as_role('postgres');
create function public.tg_bill_lines__refuse() returns trigger language plpgsql as $$
begin
  if new.article = 'lead' then
    raise exception using errcode = '23514', message = 'no lead';
  end if;
  return new;
end $$;
create trigger refuse before insert on public.bill_lines for each row execute function public.tg_bill_lines__refuse();
select tests.act_as('max');
select tests.keep('refused', tests.stage_import('bills', '{number,customer,note,line,article,quantity}', '[
  ["D1", "C1", null, "1", "a", "1"],
  ["D2", "C1", null, "1", "a", "1"],
  ["D3", "C1", null, "1", "a", "1"],
  ["D2", "C1", null, "2", "lead", "1"],
  ["D1", "C1", null, "2", "b", "1"],
  ["D4", "C1", null, "1", "a", "-1"],
  ["D5", "C1", "forbidden", "1", "a", "1"],
  ["D6", "C1", null, "1", "lead", "1"]
]'));
select is(tests.run_import(tests.kept('refused')), 'completed', 'an import with refused records completes');
select results_eq($$ select * from pg_temp.fates(tests.kept('refused')) $$,
  $$ values (1, 'inserted', null), (2, 'failed', 'constraint_violation'), (3, 'inserted', null), (4, 'failed', 'group_failed'),
    (5, 'inserted', null), (6, 'failed', 'constraint_violation'), (7, 'failed', 'constraint_violation'), (8, 'failed', 'constraint_violation') $$,
  'a refused line takes its record along, and nothing else');
select is((select i.message from public.list_import_issues(tests.kept('refused'), code => 'group_failed') as i),
  'fails with its record: row 2', 'the other rows name the one that tells why');
select is(tests.counts(tests.kept('refused')), '{"rows": 8, "valid": 6, "failed": 5, "inserted": 3}', 'and the counts agree');
select results_eq($$ select b.number, b.lines from pg_temp.bills() as b where b.number like 'D%' $$,
  $$ values ('D1', '1:1*a 2:1*b'), ('D3', '1:1*a') $$, 'no record is written in part');

-- Duplicates passed over: also where the first row of the record is one.
select tests.keep('last', tests.stage_import('bills', '{number,customer,line,article,quantity}', '[
  ["E1", "C1", "1", "old", "1"], ["E2", "C1", "1", "lead", "1"], ["E1", "C1", "1", "new", "1"], ["E2", "C1", "1", "lead", "2"],
  ["E1", "C1", "2", "two", "1"]]', null, null, '{"duplicates": "keep_last"}'));
select is(tests.run_import(tests.kept('last')), 'completed', 'keep_last completes');
select results_eq($$ select * from pg_temp.fates(tests.kept('last')) $$,
  $$ values (1, 'skipped', 'duplicate_in_file'), (2, 'skipped', 'duplicate_in_file'), (3, 'inserted', null), (4, 'failed', 'constraint_violation'),
    (5, 'inserted', null) $$, 'lines are passed over one by one');
select is(tests.counts(tests.kept('last')), '{"rows": 5, "valid": 3, "failed": 1, "skipped": 2, "inserted": 2}', 'and the counts agree');
select results_eq($$ select b.lines from pg_temp.bills() as b where b.number = 'E1' $$, array['1:1*new 2:1*two'], 'the last is kept');

-- What is passed over says nothing about its record.
select tests.keep('passed', tests.stage_import('bills', '{number,customer,line,article,quantity}', '[
  ["U1", "C1", "1", "old", "1"], ["U1", null, "1", "new", "1"], ["U1", null, "2", "two", "1"],
  ["U2", "C1", "1", "old", "1"], ["U2", "C2", "1", "new", "1"]]', null, null, '{"duplicates": "keep_last"}'));
select is(tests.run_import(tests.kept('passed')), 'completed', 'records whose values stand in rows that are passed over');
select results_eq($$ select * from pg_temp.fates(tests.kept('passed')) $$,
  $$ values (1, 'failed', 'duplicate_in_file'), (2, 'failed', 'required'), (3, 'failed', 'group_failed'),
    (4, 'skipped', 'duplicate_in_file'), (5, 'inserted', null) $$, 'they are missed at validation, and do not disagree');

-- All or nothing.
select tests.keep('abort', tests.stage_import('bills', '{number,customer,line,article,quantity}', '[
  ["F1", "C1", "1", "a", "1"], ["F2", "C1", "1", "lead", "1"], ["F1", "C1", "2", "a", "1"]]', null, null, '{"on_error": "abort"}'));
select is(tests.run_import(tests.kept('abort')), 'failed', 'with on_error=abort a refused record fails the import');
select is_empty($$ select from pg_temp.bills() as b where b.number like 'F%' $$, 'and nothing is written');

-- Judged anew, with another mapping.
select tests.keep('map', tests.stage_import('bills', '{number,other,customer,line,article,quantity}', '[
  ["G1", "H1", "C1", "1", "a", "1"], ["G1", "H2", "C1", "2", "a", "1"]]'));
select is(tests.run_import(tests.kept('map'), false), 'validated', 'a file is judged');
select lives_ok($$ select public.set_import_mapping(tests.kept('map'),
  '{"number": "other", "customer": "customer", "line": "line", "article": "article", "quantity": "quantity"}') $$, 'its mapping changes');
select is(tests.run_import(tests.kept('map')), 'completed', 'and it is judged again');
select results_eq($$ select b.number, b.lines from pg_temp.bills() as b where b.number ~ '^[GH]' $$,
  $$ values ('H1', '1:1*a'), ('H2', '2:1*a') $$, 'with the groups of the new key');

-- What the record needs is required once in its rows; what a blank does is the option's.
select tests.keep('once', tests.stage_import('bills', '{number,customer,note,line,article,quantity}', '[
  ["K1", null, null, "1", "a", "1"], ["K1", null, null, "2", "a", "1"], ["K2", null, null, "1", "a", "1"],
  ["B1", null, null, "1", "nail", "5"]]', null, null, '{"blank": "clear"}'));
select is(tests.run_import(tests.kept('once')), 'completed', 'an import without a record''s value completes');
select results_eq($$ select * from pg_temp.fates(tests.kept('once')) $$,
  $$ values (1, 'failed', 'required'), (2, 'failed', 'group_failed'), (3, 'failed', 'required'), (4, 'failed', 'required') $$,
  'the first row of each record says what is missing');
select tests.keep('clear', tests.stage_import('bills', '{number,customer,note,line,article,quantity}',
  '[["B1", "C1", null, "1", "nail", "5"]]', null, null, '{"blank": "clear"}'));
select tests.run_import(tests.kept('clear'));
select is((select b.note from pg_temp.bills() as b where b.number = 'B1'), null, 'with blank=clear a blank clears');
select tests.keep('keep', tests.stage_import('bills', '{number,customer,line,article,quantity}',
  '[["D1", "C1", "1", "nail", "5"]]', null, null, '{"blank": "clear"}'));
select tests.run_import(tests.kept('keep'));
select is(tests.counts(tests.kept('keep')), '{"rows": 1, "valid": 1, "updated": 1}', 'what is not mapped is left alone');

-- Somebody else's rows stay theirs.
select tests.act_as('bob');
select is_empty($$ select from pg_temp.bills() $$, 'another organization sees no record');

select * from finish();
rollback;
