-- Undo: what an import did is taken back, and what came later is kept.
begin;
select plan(77);
select tests.set_up_actors();

create function pg_temp.fates(p_id uuid)
returns table (row_number integer, status text, code text)
language sql
as $$
  select r.row_number, r.status, r.issues #>> '{0,code}' from public.list_import_rows(p_id) as r
$$;
create function pg_temp.undo(p_id uuid, p_dry_run boolean default false)
returns jsonb
language plpgsql
as $$
declare
  v_job jsonb := public.undo_import(p_id, p_dry_run);
begin
  perform tests.run_jobs();
  return (select jsonb_build_object('status', j.status, 'result', j.result) from public.scheduled_jobs as j where j.id = (v_job ->> 'id')::uuid);
end;
$$;
create table pg_temp.before as
  select c.* from public.customers as c;

insert into private.settings (key, org_id, value) values ('imports.chunk_rows', tests.org_id('acme'), '3');
insert into public.customers (org_id, external_id, name, email, city)
values (tests.org_id('acme'), 'C1', 'One', 'one@example.test', 'Bonn'), (tests.org_id('acme'), 'C2', 'Two', null, null),
  (tests.org_id('acme'), 'C3', 'Three', null, null), (tests.org_id('bolt'), 'C1', 'Theirs', null, null);
insert into pg_temp.before select c.* from public.customers as c;

-- An upsert of both kinds, with edits in between.
select tests.act_as('ann');
select tests.keep('i', tests.stage_import('customers', '{external_id,name,email}', '[
  ["C1", "Uno", "uno@example.test"], ["C2", "Dos", null], ["C3", "Three", null], ["N1", "New", null], ["N2", "New", null],
  ["N3", "New", null], ["N4", "New", null], ["N5", "New", "nonsense"], ["N6", "New", null]]'));
select is(tests.run_import(tests.kept('i')), 'completed', 'an import is there to be undone');

select tests.act_as_role('postgres');
update public.customers set name = 'Zwei' where external_id = 'C2' and org_id = tests.org_id('acme');
update public.customers set city = 'Ulm' where external_id = 'N1';
delete from public.customers where external_id = 'N2';
insert into public.contacts (org_id, external_id, customer_id, first_name, last_name)
select c.org_id, 'K1', c.id, 'Ann', 'Other' from public.customers as c where c.external_id = 'N3';

select tests.act_as('ann');
select is(pg_temp.undo(tests.kept('i'), true),
  '{"status": "completed", "result": {"reversed": 3, "changed": 2, "missing": 1, "referenced": 1}}',
  'a dry run tells what would be taken back, and what kept and why');
select is(public.get_import(tests.kept('i')) ->> 'status', 'completed', 'and changes nothing of the import');
select is((select count(*)::integer from public.customers as c where c.external_id in ('N4', 'N6') or c.name = 'Uno'), 3, 'nor of the table');
select is_empty($$ select from public.list_import_issues(tests.kept('i')) where code like 'undo%' $$, 'nor says it anything of rows');

select is(pg_temp.undo(tests.kept('i')),
  '{"status": "completed", "result": {"reversed": 3, "changed": 2, "missing": 1, "referenced": 1}}', 'the undo does what was told');
select is(public.get_import(tests.kept('i')) ->> 'status', 'undone', 'the import is undone');
select results_eq($$ select * from pg_temp.fates(tests.kept('i')) $$,
  $$ values (1, 'undone', null), (2, 'updated', 'undo_changed'), (3, 'unchanged', null), (4, 'inserted', 'undo_changed'),
    (5, 'inserted', 'undo_missing'), (6, 'inserted', 'undo_referenced'), (7, 'undone', null), (8, 'failed', 'invalid_format'), (9, 'undone', null) $$,
  'every row''s fate tells of it');
select is((select array_agg(r.row_number) from public.list_import_rows(tests.kept('i'), 'undone') as r), '{1,7,9}'::integer[], 'undone rows can be listed');
select is((select array_agg(r.row_number) from public.list_import_rows(tests.kept('i'), 'inserted') as r), '{4,5,6}'::integer[], 'and the others by what they did');
select is(public.get_import(tests.kept('i')) -> 'undo',
  '{"reversed": 3, "kept": {"changed": 2, "missing": 1, "referenced": 1}}', 'the document counts it');
select results_eq(
  $$ select i.row_number, i.severity, i.message from public.list_import_issues(tests.kept('i')) as i where i.code like 'undo%' order by 1 $$,
  $$ values (2, 'warning', 'kept: somebody changed the record since'), (4, 'warning', 'kept: somebody changed the record since'),
    (5, 'warning', 'the record is gone'), (6, 'warning', 'kept: other records refer to it') $$, 'issues say why');
select results_eq(
  $$ select c.external_id, c.name, c.email, c.city from public.customers as c order by 1 $$,
  $$ values ('C1', 'One', 'one@example.test', 'Bonn'), ('C2', 'Zwei', null, null), ('C3', 'Three', null, null),
    ('N1', 'New', null, 'Ulm'), ('N3', 'New', null, null) $$,
  'what the import did is gone, what came later stays');
select is((select count(*)::integer from public.scheduled_jobs as j where j.batch_id = tests.kept('i') and j.job_type = 'undo' and j.status = 'completed'), 2,
  'both undos are jobs');
select throws_ok($$ select public.commit_import(tests.kept('i')) $$, 'PT409', 'import is in another state', 'nor committed');

-- What was kept can be undone later.
delete from public.contacts as c where c.external_id = 'K1';
select is(pg_temp.undo(tests.kept('i')),
  '{"status": "completed", "result": {"changed": 2, "missing": 1, "reversed": 1}}', 'an undone import can be undone again: what was kept is judged anew');
select is(public.get_import(tests.kept('i')) -> 'undo',
  '{"reversed": 4, "kept": {"changed": 2, "missing": 1}}', 'the document counts all that was taken back, and what is kept now');
select is((select r.status from public.list_import_rows(tests.kept('i'), 'undone', 5, 1) as r), 'undone', 'the row that was referred to is undone');
select is((select count(*)::integer from public.list_import_issues(tests.kept('i')) as i where i.code like 'undo%'), 3, 'and its issue is gone');
select tests.act_as_role('postgres');
select is((select name from public.customers where org_id = tests.org_id('bolt')), 'Theirs', 'the other organization''s record is untouched');
select ok(exists (select from public.sync_activity_log as l where l.sync_id = tests.kept('i')::text and l.action = 'undone'
  and l.user_id = tests.user_id('ann')), 'the activity log says who');

-- A deletion: records return with their ids.
select tests.act_as('ann');
select tests.keep('ids', (select c.id from public.customers as c where c.external_id = 'C1'));
select tests.keep('d', tests.stage_import('customers', '{external_id}', '[["C1"], ["C3"], ["N1"]]', 'delete'));
select is(tests.run_import(tests.kept('d')), 'completed', 'records are deleted');
select lives_ok($$ insert into public.customers (org_id, external_id, name) values (tests.org_id('acme'), 'C3', 'Another three') $$,
  'and one of them is made anew by somebody');
select is(pg_temp.undo(tests.kept('d')), '{"status": "completed", "result": {"refused": 1, "reversed": 2}}', 'they return, but for the one whose key is taken');
select results_eq(
  $$ select c.external_id, c.name, c.email, c.city from public.customers as c where c.external_id in ('C1', 'C3', 'N1') order by 1 $$,
  $$ values ('C1', 'One', 'one@example.test', 'Bonn'), ('C3', 'Another three', null, null), ('N1', 'New', null, 'Ulm') $$, 'as they were');
select is((select c.id from public.customers as c where c.external_id = 'C1'), tests.kept('ids'), 'with their ids');
select is((select i.value from public.list_import_issues(tests.kept('d'), code => 'undo_refused') as i),
  'duplicate key value violates unique constraint "customers_org_id_external_id_key"', 'the issue says what the table said');

-- Rights: an undo can do nothing that its caller could not do by hand.
select tests.act_as('max');
select tests.keep('m', tests.stage_import('customers', '{external_id,name}', '[["C1", "Eins"], ["M1", "Mine"]]'));
select is(tests.run_import(tests.kept('m')), 'completed', 'a member imports');
select is(pg_temp.undo(tests.kept('m'), true), '{"status": "completed", "result": {"denied": 1, "reversed": 1}}',
  'who may not delete cannot take back what was inserted');
select tests.keep('n', tests.stage_import('customers', '{external_id,name}', '[["M2", "Mine"]]'));
select is(tests.run_import(tests.kept('n')), 'completed', 'the member imports a new record');
select is(pg_temp.undo(tests.kept('n')), '{"status": "completed", "result": {"denied": 1, "reversed": 0}}', 'and may not take it back');
select is(public.get_import(tests.kept('n')) ->> 'status', 'completed', 'an undo that took nothing back leaves the import as it was');
select is(public.get_import(tests.kept('n')) -> 'undo', '{"kept": {"denied": 1}, "reversed": 0}', 'and is told');
select tests.act_as('ann');
select is(pg_temp.undo(tests.kept('n')), '{"status": "completed", "result": {"reversed": 1}}', 'so that who may can undo it');
select is(public.get_import(tests.kept('n')) ->> 'status', 'undone', 'to its end');
select tests.act_as('vic');
select throws_ok($$ select public.undo_import(tests.kept('m')) $$, '42501', null, 'a viewer undoes nothing');
select tests.act_as('bob');
select throws_ok($$ select public.undo_import(tests.kept('m')) $$, 'PT404', 'import not found', 'a stranger learns nothing');
select tests.act_as('ann');
select tests.keep('a', tests.stage_import('customers', '{external_id,name}', '[["A1", "Ann''s"]]'));
select is(tests.run_import(tests.kept('a')), 'completed', 'an admin imports');
select tests.act_as('max');
select throws_ok($$ select public.undo_import(tests.kept('a')) $$, '42501', null, 'a member does not undo another''s import');
select tests.act_as('ann');
select is(pg_temp.undo(tests.kept('m')), '{"status": "completed", "result": {"reversed": 2}}', 'an admin does');
select is((select c.name from public.customers as c where c.external_id = 'C1'), 'One', 'with the rights of an admin');
select throws_ok($$ select * from private.judge_reversals(tests.kept('a'), 0, 0, 10) $$, 'IM001', 'no running job of this import is the caller''s',
  'outcomes are closed while no undo runs');

-- States.
select tests.keep('s', tests.stage_import('customers', '{external_id,name}', '[["S1", "S"]]'));
select throws_ok($$ select public.undo_import(tests.kept('s')) $$, 'PT409', 'import is in another state', 'a staged import cannot be undone');
select public.validate_import(tests.kept('s'), true);
select throws_ok($$ select public.undo_import(tests.kept('s')) $$, 'PT409', 'import is in another state', 'nor one at work');
select tests.run_jobs();
select lives_ok($$ select public.undo_import(tests.kept('s')) $$, 'a completed one can');
select throws_ok($$ select public.undo_import(tests.kept('s')) $$, 'PT409', 'import is in another state', 'but not twice at once');
select lives_ok($$ select public.cancel_import(tests.kept('s')) $$, 'an undo can be stopped');
select tests.run_jobs();
select is(public.get_import(tests.kept('s')) #>> '{error,code}', 'undo_cancelled', 'then the import says so');
select is(pg_temp.undo(tests.kept('s')), '{"status": "completed", "result": {"reversed": 1}}', 'and it can be undone after all');
select tests.keep('e', tests.stage_import('customers', '{external_id,name}', '[["C1", "One"], ["E1", null]]'));
select is(tests.run_import(tests.kept('e')), 'completed', 'an import that writes nothing completes');
select throws_ok($$ select public.undo_import(tests.kept('e')) $$, 'PT409', 'nothing is left to undo', 'and leaves nothing to undo');

-- A dry run stands in nobody's way.
select tests.keep('dry', tests.stage_import('customers', '{external_id,name}', '[["Y1", "Y"]]'));
select is(tests.run_import(tests.kept('dry')), 'completed', 'an import completes');
select lives_ok($$ select public.undo_import(tests.kept('dry'), true) $$, 'a dry run begins');
select throws_ok($$ select public.undo_import(tests.kept('dry')) $$, 'PT409', 'import is in another state', 'one job of an import runs at a time');
select tests.run_jobs();
select lives_ok($$ select public.undo_import(tests.kept('dry')) $$, 'then the undo');
select tests.run_jobs();

-- What the table refuses is kept, alone.
select tests.act_as_role('postgres');
create function public.tg_customers__keep() returns trigger language plpgsql as $$
begin
  if old.external_id = 'R2' then
    raise exception using errcode = '23514', message = 'R2 stays';
  end if;
  return old;
end $$;
create trigger keep before delete on public.customers for each row execute function public.tg_customers__keep();
select tests.act_as('ann');
select tests.keep('r', tests.stage_import('customers', '{external_id,name}', '[["R1", "R"], ["R2", "R"], ["R3", "R"], ["R4", "R"]]'));
select is(tests.run_import(tests.kept('r')), 'completed', 'an import that the table will keep one row of');
select is(pg_temp.undo(tests.kept('r')), '{"status": "completed", "result": {"refused": 1, "reversed": 3}}', 'a refused record is kept alone');
select results_eq($$ select c.external_id from public.customers as c where c.external_id like 'R%' $$, array['R2'], 'the others are gone');
select is((select i.value from public.list_import_issues(tests.kept('r'), code => 'undo_refused') as i), 'R2 stays', 'the issue says what the table said');

-- Records with lines.
select tests.act_as_role('postgres');
insert into public.products (org_id, sku, name, unit_price) values (tests.org_id('acme'), 'P1', 'Nail', 1), (tests.org_id('acme'), 'P2', 'Bolt', 2);
create function pg_temp.orders()
returns table (number text, notes text, lines text)
language sql
as $$
  select o.order_number, o.notes, (
    select string_agg(format('%s:%s', l.line_number, l.quantity::integer), ' ' order by l.line_number) from public.order_lines as l where l.order_id = o.id)
  from public.orders as o order by 1
$$;
select tests.act_as('ann');
select tests.keep('o', tests.stage_import('orders', '{order_number,line_number,customer,ordered_on,product,quantity,unit_price,notes,currency}', '[
  ["O1", "1", "C1", "2026-01-02", "P1", "1", "1", "first", "EUR"], ["O2", "1", "C1", "2026-01-02", "P1", "1", "1", null, "EUR"],
  ["O1", "2", "C1", "2026-01-02", "P2", "2", "1", null, "EUR"]]'));
select is(tests.run_import(tests.kept('o')), 'completed', 'orders are imported');
select tests.keep('o2', tests.stage_import('orders', '{order_number,line_number,customer,ordered_on,product,quantity,unit_price,notes,currency}', '[
  ["O1", "2", "C1", "2026-01-02", "P2", "9", "1", "second", "EUR"], ["O3", "1", "C1", "2026-01-02", "P1", "1", "1", null, "EUR"],
  ["O1", "3", "C1", "2026-01-02", "P2", "3", "1", "second", "EUR"], ["O2", "1", "C1", "2026-01-02", "P1", "7", "1", null, "EUR"]]'));
select is(tests.run_import(tests.kept('o2')), 'completed', 'then others, and lines of these');
select results_eq($$ select * from pg_temp.orders() $$,
  $$ values ('O1', 'second', '1:1 2:9 3:3'), ('O2', null, '1:7'), ('O3', null, '1:1') $$, 'which are written');
select lives_ok($$ update public.order_lines as l set quantity = 8 from public.orders as o where o.id = l.order_id and o.order_number = 'O2' $$,
  'somebody changes a line');
select is(pg_temp.undo(tests.kept('o2')), '{"status": "completed", "result": {"changed": 1, "reversed": 2}}', 'the second import is undone');
select results_eq($$ select * from pg_temp.orders() $$,
  $$ values ('O1', 'first', '1:1 2:2'), ('O2', null, '1:8') $$,
  'lines return to what they were, new ones go; an order whose line was changed since is kept');
select results_eq($$ select * from pg_temp.fates(tests.kept('o2')) $$,
  $$ values (1, 'undone', null), (2, 'undone', null), (3, 'undone', null), (4, 'updated', 'undo_changed') $$, 'all rows of a record share its fate');
select tests.keep('o3', tests.stage_import('orders', '{order_number}', '[["O1"]]', 'delete'));
select is(tests.run_import(tests.kept('o3')), 'completed', 'an order is deleted');
select is(pg_temp.undo(tests.kept('o3')), '{"status": "completed", "result": {"reversed": 1}}', 'and brought back');
select results_eq($$ select * from pg_temp.orders() $$, $$ values ('O1', 'first', '1:1 2:2'), ('O2', null, '1:8') $$, 'with its lines');
select is(pg_temp.undo(tests.kept('o')), '{"status": "completed", "result": {"changed": 1, "reversed": 1}}',
  'the first import is undone too: a record that returned with its id is what that import left');
select results_eq($$ select * from pg_temp.orders() $$, $$ values ('O2', null::text, '1:8') $$, 'and its orders are gone');

-- A line that is another record's by now stays there.
select tests.keep('lx', tests.stage_import('orders', '{order_number,line_number,customer,ordered_on,product,quantity,unit_price,currency}',
  '[["LX", "1", "C1", "2026-01-02", "P1", "5", "9.5", "EUR"], ["LY", "1", "C1", "2026-01-02", "P1", "1", "1", "EUR"]]'));
select is(tests.run_import(tests.kept('lx')), 'completed', 'two orders are imported');
select tests.keep('line', (select l.id from public.order_lines as l join public.orders as o on o.id = l.order_id where o.order_number = 'LX'));
select tests.keep('ld', tests.stage_import('orders', '{order_number}', '[["LX"]]', 'delete'));
select is(tests.run_import(tests.kept('ld')), 'completed', 'one is deleted');
select tests.act_as_role('postgres');
insert into public.order_lines (id, org_id, order_id, line_number, product_id, quantity, unit_price)
select tests.kept('line'), o.org_id, o.id, 7, (select p.id from public.products as p where p.sku = 'P2'), 1, 1 from public.orders as o where o.order_number = 'LY';
select tests.act_as('ann');
select is(pg_temp.undo(tests.kept('ld')), '{"status": "completed", "result": {"refused": 1, "reversed": 0}}', 'and cannot return with a line that is taken');
select is((select l.line_number from public.order_lines as l where l.id = tests.kept('line')), 7, 'which stays as it is');

-- The service key.
select tests.act_as_role('service_role');
select tests.keep('service', tests.stage_import('customers', '{external_id,name}', '[["V1", "V"]]', p_org => 'acme'));
select is(tests.run_import(tests.kept('service')), 'completed', 'the service imports');
select is(pg_temp.undo(tests.kept('service')), '{"status": "completed", "result": {"reversed": 1}}', 'and undoes');

select * from finish();
rollback;
