-- Preview: what a commit would do, counted before it is done.
begin;
select plan(81);
select tests.set_up_actors();
insert into private.settings (key, org_id, value) values ('imports.chunk_rows', tests.org_id('acme'), '3');

-- tools: some are locked away, so that members neither see nor change them; boxes: a key that RLS keeps from its index.
create table public.tools (
  id      uuid primary key default gen_random_uuid(),
  org_id  uuid not null references public.organization (id),
  no      text not null,
  name    text,
  size    integer not null default 7,
  locked  boolean not null default false,
  unique (org_id, no)
);
create table public.boxes (
  id     uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organization (id),
  width  numeric not null,
  name   text,
  unique (org_id, width)
);
alter table public.tools enable row level security;
alter table public.boxes enable row level security;
create policy tools_all on public.tools to authenticated
  using (org_id = any (array(select private.org_ids('member'))) and not locked)
  with check (org_id = any (array(select private.org_ids('member'))));
create policy boxes_all on public.boxes to authenticated using (org_id = any (array(select private.org_ids('member'))));
revoke all on public.tools, public.boxes from anon, authenticated, service_role; -- the platform grants all on new tables
grant select, delete, insert (org_id, no, name, size), update (no, name, size) on public.tools to authenticated, service_role;
grant select, insert, update, delete on public.boxes to authenticated, service_role;
select private.register_dataset('tools', 'public.tools', '{no}');
select private.register_dataset('boxes', 'public.boxes', '{width}');

create function pg_temp.preview(p_id uuid, p_full boolean default false)
returns text
language plpgsql
as $$
declare
  v_job jsonb := public.preview_import(p_id, p_full);
begin
  perform tests.run_jobs();
  return (select j.status from public.scheduled_jobs as j where j.id = (v_job ->> 'id')::uuid);
end;
$$;
create function pg_temp.counts(p_id uuid)
returns jsonb
language sql
as $$
  select jsonb_object_agg(c.key, c.value::integer) from jsonb_each_text(public.get_import_preview(p_id) -> 'counts') as c where c.value <> '0'
$$;
create function pg_temp.changes(p_id uuid)
returns table (row_number integer, key text, action text, before jsonb, after jsonb)
language sql
as $$
  select c.* from jsonb_to_recordset(public.get_import_preview(p_id) -> 'changes') as c (row_number integer, key text, action text, before jsonb, after jsonb)
$$;

-- Validation ends with it -------------------------------------------------------------------------

select tests.act_as('max');
select tests.keep('empty', tests.stage_import('tools', '{no,name,size}', '[["A", "axe", "1"], ["A", "again", "2"], ["B", null, "x"], ["C", "saw", null], ["D", null, "4"]]'));
select is(tests.run_import(tests.kept('empty'), false), 'validated', 'an import is validated');
select is(public.get_import_preview(tests.kept('empty')) - '{created_at,expires_at}'::text[],
  '{"kind": "counts", "counts": {"insert": 3, "update": 0, "unchanged": 0, "delete": 0, "fail": 2, "skip": 0}, "changes": [
    {"row_number": 1, "key": "A", "action": "insert", "before": null, "after": {"no": "A", "name": "axe", "size": 1}},
    {"row_number": 4, "key": "C", "action": "insert", "before": null, "after": {"no": "C", "name": "saw"}},
    {"row_number": 5, "key": "D", "action": "insert", "before": null, "after": {"no": "D", "size": 4}}]}',
  'it tells what a commit into an empty table would do');
select is(public.get_import(tests.kept('empty')) #> '{job,result}',
  '{"insert": 3, "update": 0, "unchanged": 0, "delete": 0, "fail": 2, "skip": 0}', 'the job''s result are its counts');
select is((public.get_import_preview(tests.kept('empty')) ->> 'expires_at')::timestamptz,
  (public.get_import_preview(tests.kept('empty')) ->> 'created_at')::timestamptz + interval '1 hour', 'it lives for an hour');
select is((public.get_import(tests.kept('empty')) -> 'job') - '{id,import_id,result,created_at,started_at,finished_at}'::text[],
  '{"job_type": "validate", "status": "completed", "phase": "preview", "total": 5, "done": 5, "failed": 2, "error": null}',
  'it is the last phase of the validation');
select is_empty($$ select from public.tools $$, 'nothing is written');
select tests.act_as_role('postgres');
select is_empty($$ select from private.import_previews $$, 'nothing is left of its making');
insert into public.tools (org_id, no, name, size) values
  (tests.org_id('acme'), 'A', 'axe', 1), (tests.org_id('acme'), 'C', 'cog', 3), (tests.org_id('bolt'), 'D', 'theirs', 9);
insert into public.tools (org_id, no, name, locked) values (tests.org_id('acme'), 'L', 'secret', true);

select tests.act_as('max');
select tests.keep('upsert', tests.stage_import('tools', '{no,name,size}',
  '[["A", "axe", "1"], ["C", "saw", null], ["D", "dowel", "2"], ["L", "lock", null], ["A", "axe", "1"]]', null, null, '{"duplicates": "keep_first"}'));
select is(tests.run_import(tests.kept('upsert'), false), 'validated', 'upsert');
select is(pg_temp.counts(tests.kept('upsert')), '{"insert": 2, "update": 1, "unchanged": 1, "skip": 1}', 'is counted');
select results_eq($$ select * from pg_temp.changes(tests.kept('upsert')) $$,
  $$ values (2, 'C', 'update', '{"no": "C", "name": "cog", "size": 3}'::jsonb, '{"no": "C", "name": "saw", "size": 3}'::jsonb),
    (3, 'D', 'insert', null, '{"no": "D", "name": "dowel", "size": 2}'),
    (4, 'L', 'insert', null, '{"no": "L", "name": "lock"}') $$,
  'shows what it replaces; what the actor may not see, of another organization or locked away, is no record to it');
select is(tests.run_import(tests.kept('upsert')), 'completed', 'the commit');
select is(tests.counts(tests.kept('upsert')), '{"rows": 5, "valid": 4, "inserted": 1, "updated": 1, "unchanged": 1, "failed": 1, "skipped": 1}',
  'does that, but for the record that was there unseen');

-- Modes and options ---------------------------------------------------------------------------------

select tests.keep('insert', tests.stage_import('tools', '{no,name}', '[["A", "axe"], ["X", "x"], ["Y", "y"], ["C", "saw"]]', 'insert'));
select is(tests.run_import(tests.kept('insert'), false), 'validated', 'insert');
select is(pg_temp.counts(tests.kept('insert')), '{"insert": 2, "fail": 2}', 'fails what exists');
select results_eq($$ select c.row_number, c.action from pg_temp.changes(tests.kept('insert')) as c $$,
  $$ values (2, 'insert'), (3, 'insert') $$, 'shows the others');
select tests.keep('update', tests.stage_import('tools', '{no,name,size}', '[["A", "axe", null], ["X", "x", "1"], ["C", "cut", null], ["D", "dowel", "5"]]', 'update'));
select is(tests.run_import(tests.kept('update'), false), 'validated', 'update');
select is(pg_temp.counts(tests.kept('update')), '{"update": 2, "unchanged": 1, "fail": 1}', 'fails what does not exist');
select results_eq($$ select c.row_number, c.before ->> 'name', c.after ->> 'name', c.after ->> 'size' from pg_temp.changes(tests.kept('update')) as c $$,
  $$ values (3, 'saw', 'cut', '3'), (4, 'dowel', 'dowel', '5') $$, 'shows the others');
select tests.keep('clear', tests.stage_import('tools', '{no,name,size}', '[["A", null, "1"], ["C", "saw", null]]', 'update', null, '{"blank": "clear"}'));
select is(tests.run_import(tests.kept('clear'), false), 'validated', 'blank=clear');
select results_eq($$ select c.row_number, c.before ->> 'name', c.after -> 'name' from pg_temp.changes(tests.kept('clear')) as c $$,
  $$ values (1, 'axe', 'null'::jsonb) $$, 'shows what it empties');
select tests.keep('keys', tests.stage_import('tools', '{no}', '[["A"], ["X"]]', 'update'));
select is(tests.run_import(tests.kept('keys'), false), 'validated', 'a file of keys alone');
select is(pg_temp.counts(tests.kept('keys')), '{"unchanged": 1, "fail": 1}', 'changes nothing');
select tests.act_as('ann');
select tests.keep('delete', tests.stage_import('tools', '{no}', '[["A"], ["X"], ["C"], ["L"]]', 'delete'));
select is(tests.run_import(tests.kept('delete'), false), 'validated', 'delete');
select is(pg_temp.counts(tests.kept('delete')), '{"delete": 2, "fail": 2}', 'fails what is not there, or not to be seen');
select results_eq($$ select c.row_number, c.action, c.before - '{id,org_id}'::text[], c.after from pg_temp.changes(tests.kept('delete')) as c $$,
  $$ values (1, 'delete', '{"no": "A", "name": "axe", "size": 1, "locked": false}'::jsonb, null::jsonb),
    (3, 'delete', '{"no": "C", "name": "saw", "size": 3, "locked": false}', null) $$, 'shows what goes');
select tests.keep('deletebolt', tests.stage_import('boxes', '{width}', '[["1"]]', 'delete'));
select is(tests.run_import(tests.kept('deletebolt'), false), 'validated', 'delete from an empty table');
select is(public.get_import_preview(tests.kept('deletebolt')) - '{created_at,expires_at,kind}'::text[],
  '{"counts": {"insert": 0, "update": 0, "unchanged": 0, "delete": 0, "fail": 1, "skip": 0}, "changes": []}', 'fails every row');
select tests.act_as('max');

select tests.act_as_role('postgres');
insert into public.boxes (org_id, width, name) values (tests.org_id('acme'), 1.5, 'one'), (tests.org_id('bolt'), 2, 'theirs');
select tests.act_as('max');
select tests.keep('boxes', tests.stage_import('boxes', '{width,name}', '[["1.50", "one"], ["2.0", "two"], ["1.500", "dup"], ["3", "three"]]'));
select is(tests.run_import(tests.kept('boxes'), false), 'validated', 'a key that is compared by value');
select is(pg_temp.counts(tests.kept('boxes')), '{"insert": 2, "unchanged": 1, "fail": 1}', 'finds its records');

select lives_ok($$ insert into public.products (org_id, sku, name, unit_price)
  select tests.org_id('acme'), 'P' || n, 'p', 1 from generate_series(1, 2) as n $$, 'products');
select lives_ok($$ insert into public.warehouse_locations (org_id, code, name)
  select tests.org_id('acme'), 'W' || n, 'w' from generate_series(1, 2) as n $$, 'and locations');
select lives_ok($$ insert into public.inventory_levels (org_id, product_id, location_id, quantity)
  select p.org_id, p.id, w.id, 5 from public.products as p cross join public.warehouse_locations as w where (p.sku, w.code) <> ('P2', 'W2') $$, 'and stock');
select tests.keep('stock', tests.stage_import('inventory_levels', '{product,location,quantity}',
  '[["P1", "W1", "5"], ["P1", "W2", "6.5"], ["P2", "W1", "5.000"], ["P2", "W2", "1"], ["P9", "W1", "1"]]'));
select is(tests.run_import(tests.kept('stock'), false), 'validated', 'a key of two references');
select is(pg_temp.counts(tests.kept('stock')), '{"insert": 1, "update": 1, "unchanged": 2, "fail": 1}', 'finds its records');
select results_eq($$ select c.key, c.before ->> 'quantity', c.after ->> 'quantity' from pg_temp.changes(tests.kept('stock')) as c $$,
  $$ values ('P1 W2', '5.000', '6.500'), ('P2 W2', null, '1.000') $$, 'and shows them by the keys in the file');

-- Records with lines.
select lives_ok($$ insert into public.customers (org_id, external_id, name) values (tests.org_id('acme'), 'C1', 'One') $$, 'a customer');
select tests.keep('o1', tests.stage_import('orders', '{order_number,line_number,customer,ordered_on,product,quantity,unit_price,currency}', '[
  ["O1", "1", "C1", "2026-01-02", "P1", "1", "1", "EUR"]]'));
select is(tests.run_import(tests.kept('o1')), 'completed', 'an order');
select tests.keep('o2', tests.stage_import('orders', '{order_number,line_number,customer,ordered_on,product,quantity,unit_price,currency}', '[
  ["O1", "1", "C1", "2026-01-02", "P1", "1", "1", "EUR"], ["O2", "1", "C1", "2026-01-02", "P1", "1", "1", "EUR"],
  ["O3", "1", "C1", "2026-01-02", "P9", "1", "1", "EUR"], ["O3", "2", "C1", "2026-01-02", "P1", "1", "1", "EUR"],
  ["O1", "2", "C1", "2026-01-02", "P2", "1", "1", "EUR"], ["O2", "2", "C1", "2026-01-02", "P2", "1", "1", "EUR"]]'));
select is(tests.run_import(tests.kept('o2'), false), 'validated', 'records with lines');
select is(public.get_import_preview(tests.kept('o2')) - '{created_at,expires_at,kind}'::text[],
  '{"counts": {"insert": 2, "update": 2, "unchanged": 0, "delete": 0, "fail": 2, "skip": 0}, "changes": []}',
  'are counted by whether they exist, in rows as everywhere; what changes of them is for a dry run');

-- Many, and long.
select tests.keep('many', tests.stage_import('tools', '{no,name}',
  (select jsonb_agg(jsonb_build_array('M' || n, case n when 2 then repeat('ä', 1001) when 4 then repeat('b', 1000) end) order by n) from generate_series(1, 61) as n)));
select is(tests.run_import(tests.kept('many'), false), 'validated', 'many rows');
select is((select array_agg(c.row_number order by c.row_number) from pg_temp.changes(tests.kept('many')) as c), array(select generate_series(1, 50)),
  'the first 50 changes are shown, whatever chunks they lie in');
select results_eq($$ select length(c.after ->> 'name'), right(c.after ->> 'name', 2) from pg_temp.changes(tests.kept('many')) as c where c.row_number in (2, 4) $$,
  $$ values (1001, 'ä…'), (1000, 'bb') $$, 'values of more than 1,000 characters are cut');
select tests.keep('none', tests.stage_import('tools', '{no}', '[]'));
select is(tests.run_import(tests.kept('none'), false), 'validated', 'a file without rows');
select is(pg_temp.counts(tests.kept('none')), null, 'comes to nothing');

-- Only where somebody is to look at it.
select tests.keep('straight', tests.stage_import('tools', '{no,name}', '[["S1", "s"]]'));
select public.validate_import(tests.kept('straight'), true);
select is(tests.run_jobs(), 4, 'statistics, rows, duplicates, commit: no preview is made on the way to a commit');
select tests.keep('abort', tests.stage_import('tools', '{no,size}', '[["S2", "x"]]', null, null, '{"on_error": "abort"}'));
select is(tests.run_import(tests.kept('abort'), false), 'failed', 'nor of what is to be applied as a whole and cannot be');
select is(public.get_import(tests.kept('abort')) #>> '{job,phase}', 'duplicates_1', 'as it ends before that');

-- Who ---------------------------------------------------------------------------------------------

select tests.keep('own', tests.stage_import('tools', '{no,name}', '[["A", "own"]]'));
select throws_ok($$ select public.preview_import(tests.kept('own')) $$, 'PT409', 'import is in another state', 'what is not validated has no preview');
select throws_ok($$ select public.get_import_preview(tests.kept('own')) $$, 'PT409', 'import is in another state', 'to be made or read');
select is(tests.run_import(tests.kept('own'), false), 'validated', 'a member''s import');
select is(pg_temp.counts(tests.kept('own')), '{"update": 1}', 'they see its preview');
select tests.act_as('mia');
select throws_ok($$ select public.preview_import(tests.kept('own')) $$, '42501', 'organization role required', 'another member makes none');
select throws_ok($$ select public.get_import_preview(tests.kept('own')) $$, 'PT404', 'import has no preview', 'and sees none');
select is_empty($$ select from public.sync_preview_cache $$, 'nor in the table');
select is(public.get_import(tests.kept('own')) #> '{job,result,update}', '1', 'though the counts');
select tests.act_as('vic');
select throws_ok($$ select public.preview_import(tests.kept('own')) $$, '42501', 'organization role required', 'a viewer makes none');
select tests.act_as('bob');
select throws_ok($$ select public.preview_import(tests.kept('own')) $$, 'PT404', 'import not found', 'a stranger learns nothing');
select throws_ok($$ select public.get_import_preview(tests.kept('own')) $$, 'PT404', 'import not found', 'nothing at all');
select is_empty($$ select from public.sync_preview_cache $$, 'nothing');
select tests.act_as_role('anon');
select throws_ok($$ select public.get_import_preview(tests.kept('own')) $$, '42501', 'permission denied for function get_import_preview', 'anon calls nothing');
select tests.act_as('ann');
select throws_ok($$ select public.get_import_preview(tests.kept('own')) $$, 'PT404', 'import has no preview', 'an admin does not see with a member''s eyes');
select is(pg_temp.preview(tests.kept('own')), 'completed', 'but makes one');
select is(pg_temp.counts(tests.kept('own')), '{"update": 1}', 'of their own');
select is(public.preview_import(tests.kept('own'), idempotency_key => 'k') ->> 'id', public.preview_import(tests.kept('own'), idempotency_key => 'k') ->> 'id',
  'with an idempotency key it is made once');
select throws_ok($$ select public.get_import_preview(tests.kept('own')) $$, 'PT409', 'import is in another state', 'it cannot be read while another is made');
select tests.run_jobs();
select tests.act_as_role('service_role');
select is(pg_temp.preview(tests.kept('own')), 'completed', 'the service makes one, too');
select is(pg_temp.counts(tests.kept('own')), '{"update": 1}', 'and reads it');

-- As long as it is true -----------------------------------------------------------------------------

select tests.act_as('max');
select is(pg_temp.preview(tests.kept('own')), 'completed', 'a preview');
select lives_ok($$ select public.set_import_mapping(tests.kept('own'), '{"no": "no"}') $$, 'goes when the mapping changes');
select is_empty($$ select from public.sync_preview_cache as c where c.cache_key like tests.kept('own') || '%' $$, 'at once');
select is(tests.run_import(tests.kept('own'), false), 'validated', 'validated anew');
select is(pg_temp.counts(tests.kept('own')), '{"unchanged": 1}', 'there is another one');
select tests.act_as_role('postgres');
update public.sync_preview_cache set created_at = now() - interval '1 hour', expires_at = now() where cache_key like tests.kept('own') || '%';
select tests.act_as('max');
select throws_ok($$ select public.get_import_preview(tests.kept('own')) $$, 'PT404', 'import has no preview', 'after an hour it is gone');
select throws_ok($$ select public.auto_cleanup_preview_cache() $$, '42501', 'permission denied for function auto_cleanup_preview_cache', 'nobody cleans up');
select throws_ok($$ delete from public.sync_preview_cache $$, '42501', 'permission denied for table sync_preview_cache', 'by hand, either');
select tests.act_as_role('service_role');
select is(public.auto_cleanup_preview_cache(), 1, 'but the service');
select tests.act_as('max');
select is(tests.run_import(tests.kept('own')), 'completed', 'a commit');
select throws_ok($$ select public.get_import_preview(tests.kept('own')) $$, 'PT409', 'import is in another state', 'ends it');
select tests.keep('stop', tests.stage_import('tools', '{no}', '[["A"]]'));
select is(tests.run_import(tests.kept('stop'), false), 'validated', 'one that is cancelled');
select lives_ok($$ select public.cancel_import(tests.kept('stop')) $$, 'later');
select tests.act_as_role('postgres');
select is_empty($$ select from public.sync_preview_cache as c where c.cache_key ~ tests.kept('stop')::text or c.cache_key ~ tests.kept('own')::text $$, 'keeps none');

select * from finish();
rollback;
