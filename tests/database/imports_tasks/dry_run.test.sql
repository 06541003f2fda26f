-- Dry run: the real merge, taken back, so that triggers and constraints speak before the commit.
begin;
select plan(80);
select tests.set_up_actors();
insert into private.settings (key, org_id, value) values ('imports.chunk_rows', tests.org_id('acme'), '3');
update public.sync_retry_policy set base_delay = '0 seconds', max_attempts = 2;

-- A second unique key, a trigger that refuses and one that changes what is written.
create table public.tools (
  id      uuid primary key default gen_random_uuid(),
  org_id  uuid not null references public.organization (id),
  no      text not null,
  name    text,
  serial  text,
  locked  boolean not null default false,
  unique (org_id, no),
  constraint tools_serial_key unique (org_id, serial)
);
alter table public.tools enable row level security;
create policy tools_select on public.tools for select to authenticated using (org_id = any (array(select private.org_ids('member'))) and not locked);
create policy tools_insert on public.tools for insert to authenticated with check (org_id = any (array(select private.org_ids('member'))) and name is distinct from 'FORBIDDEN');
create policy tools_update on public.tools for update to authenticated using (org_id = any (array(select private.org_ids('member'))));
create policy tools_delete on public.tools for delete to authenticated using (org_id = any (array(select private.org_ids('admin'))));
revoke all on public.tools from anon, authenticated, service_role; -- the platform grants all on new tables
grant select, delete, insert (org_id, no, name, serial), update (no, name, serial) on public.tools to authenticated, service_role;
create function public.tg_tools__judge() returns trigger language plpgsql as $$
begin
  if new.name = 'lead' then
    raise exception using errcode = '23514', message = 'no lead', column = 'name';
  elsif new.name = 'trouble' then
    raise exception using errcode = '40001', message = 'in trouble';
  end if;
  new.name := upper(new.name);
  return new;
end $$;
create trigger judge before insert or update on public.tools for each row execute function public.tg_tools__judge();
select private.register_dataset('tools', 'public.tools', '{no}');
insert into public.tools (org_id, no, name, serial) values
  (tests.org_id('acme'), 'A', 'axe', 'S1'), (tests.org_id('acme'), 'B', 'bit', null), (tests.org_id('bolt'), 'Z', 'theirs', 'S9');
insert into public.tools (org_id, no, name, locked) values (tests.org_id('acme'), 'L', 'secret', true);

create function pg_temp.dry_run(p_id uuid)
returns text
language plpgsql
as $$
declare
  v_job jsonb := public.preview_import(p_id, true);
begin
  perform tests.run_jobs();
  return (select concat_ws(' ', j.job_type, j.status, j.done_count, j.failed_count) from public.scheduled_jobs as j where j.id = (v_job ->> 'id')::uuid);
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
create function pg_temp.findings(p_id uuid)
returns table (row_number integer, severity text, code text, field text, message text)
language sql
as $$
  select i.row_number, i.severity, i.code, i.field, i.message from public.list_import_issues(p_id) as i order by 1, 3
$$;
-- Without RLS, whoever acts.
create function tests.tools() returns text language sql volatile security definer set search_path = ''
as $$ select string_agg(t.no || ' ' || t.name, ', ' order by t.no, t.name) from public.tools as t $$;
grant execute on function tests.tools() to authenticated, service_role;
create function tests.status_of(p_id uuid) returns text language sql volatile security definer set search_path = ''
as $$ select b.status::text from public.import_batches as b where b.id = p_id $$;
grant execute on function tests.status_of(uuid) to authenticated, service_role;

-- What the table says -----------------------------------------------------------------------------

select tests.act_as('max');
select tests.keep('i', tests.stage_import('tools', '{no,name,serial}', '[
  ["A", "Axe", null], ["B", "bow", null], ["C", "lead", null], ["D", "dowel", "S1"], ["E", "forbidden", null], ["F", "file", "S2"],
  ["G", "gun", "S2"], ["L", "lock", null], ["Z", "zip", "S9"], ["H", null, null], ["H", "again", null]]'));
select is(tests.run_import(tests.kept('i'), false), 'validated', 'an import is validated');
select is(pg_temp.counts(tests.kept('i')), '{"insert": 8, "update": 2, "fail": 1}', 'counting alone expects little');
select is(pg_temp.dry_run(tests.kept('i')), 'dry_run completed 11 5', 'a dry run asks the table');
select is(tests.tools(), 'A AXE, B BIT, L SECRET, Z THEIRS', 'and writes nothing');
select is(pg_temp.counts(tests.kept('i')), '{"insert": 4, "update": 2, "fail": 5}', 'what triggers, constraints and policies refuse fails');
select is(public.get_import_preview(tests.kept('i')) ->> 'kind', 'full', 'the preview is a full one');
select results_eq($$ select c.row_number, c.key, c.action, c.before - '{id,org_id,locked}'::text[], c.after - '{id,org_id,locked}'::text[] from pg_temp.changes(tests.kept('i')) as c $$,
  $$ values (1, 'A', 'update', '{"no": "A", "name": "AXE", "serial": "S1"}'::jsonb, '{"no": "A", "name": "AXE", "serial": "S1"}'::jsonb),
    (2, 'B', 'update', '{"no": "B", "name": "BIT", "serial": null}', '{"no": "B", "name": "BOW", "serial": null}'),
    (6, 'F', 'insert', null, '{"no": "F", "name": "FILE", "serial": "S2"}'),
    (7, 'G', 'insert', null, '{"no": "G", "name": "GUN", "serial": "S2"}'),
    (9, 'Z', 'insert', null, '{"no": "Z", "name": "ZIP", "serial": "S9"}'),
    (10, 'H', 'insert', null, '{"no": "H", "name": null, "serial": null}') $$,
  'it shows whole records as they would be, each chunk by itself: rows 6 and 7 lie in two');
select results_eq($$ select * from pg_temp.findings(tests.kept('i')) $$,
  $$ values (3, 'warning', 'constraint_violation', 'name', 'no lead'),
    (4, 'warning', 'constraint_violation', null, 'duplicate key value violates unique constraint "tools_serial_key"'),
    (5, 'warning', 'permission_denied', null, 'new row violates row-level security policy for table "tools"'),
    (8, 'warning', 'constraint_violation', null, 'duplicate key value violates unique constraint "tools_org_id_no_key"'),
    (11, 'error', 'duplicate_in_file', 'no', 'same as row 10') $$,
  'what was refused is a warning of its row');
select is(public.get_import(tests.kept('i')) -> 'issues',
  '[{"code": "constraint_violation", "count": 2, "field": null, "severity": "warning"}, {"code": "constraint_violation", "count": 1, "field": "name", "severity": "warning"},
    {"code": "duplicate_in_file", "count": 1, "field": "no", "severity": "error"}, {"code": "permission_denied", "count": 1, "field": null, "severity": "warning"}]',
  'and is counted as such');
select is(tests.counts(tests.kept('i')), '{"rows": 11, "valid": 10, "failed": 1, "pending": 10}', 'no row has failed for that');
select is((select string_agg(r.row_number::text, ' ') from public.list_import_rows(tests.kept('i'), 'validated') as r), '1 2 3 4 5 6 7 8 9 10', 'all are as they were');
select is(tests.status_of(tests.kept('i')), 'validated', 'so is the import');
select is(pg_temp.dry_run(tests.kept('i')), 'dry_run completed 11 5', 'another dry run');
select is((select count(*)::integer from pg_temp.findings(tests.kept('i'))), 5, 'finds the same, once');
select is(tests.run_import(tests.kept('i'), false), 'validated', 'validation');
select is((select count(*)::integer from pg_temp.findings(tests.kept('i'))), 1, 'forgets what a dry run found');
select is(pg_temp.dry_run(tests.kept('i')), 'dry_run completed 11 5', 'which comes back with the next');
select tests.act_as_role('postgres');
delete from public.tools where no = 'A';
select tests.act_as('max');
select public.commit_import(tests.kept('i'));
select tests.run_jobs();
select is(tests.counts(tests.kept('i')), '{"rows": 11, "valid": 10, "failed": 5, "inserted": 5, "updated": 1}', 'the commit does what then can be done');
select results_eq($$ select f.row_number, f.severity, f.code from pg_temp.findings(tests.kept('i')) as f $$,
  $$ values (3, 'error', 'constraint_violation'), (5, 'error', 'permission_denied'), (7, 'error', 'constraint_violation'), (8, 'error', 'constraint_violation'),
    (11, 'error', 'duplicate_in_file') $$,
  'its issues take the place of the dry run''s; row 7 was refused for row 6, which no dry run could see');

-- Modes -------------------------------------------------------------------------------------------

select tests.keep('insert', tests.stage_import('tools', '{no,name}', '[["A", "x"], ["N1", "n"], ["B", "x"], ["N2", "lead"]]', 'insert'));
select is(tests.run_import(tests.kept('insert'), false), 'validated', 'insert');
select is(pg_temp.dry_run(tests.kept('insert')), 'dry_run completed 4 3', 'is tried');
select results_eq($$ select f.row_number, f.severity, f.code from pg_temp.findings(tests.kept('insert')) as f $$,
  $$ values (1, 'warning', 'already_exists'), (3, 'warning', 'already_exists'), (4, 'warning', 'constraint_violation') $$, 'what exists is told');
select tests.keep('update', tests.stage_import('tools', '{no,name}', '[["A", "other"], ["N1", "n"], ["F", "FILE"], ["G", "g"]]', 'update'));
select is(tests.run_import(tests.kept('update'), false), 'validated', 'update');
select is(pg_temp.dry_run(tests.kept('update')), 'dry_run completed 4 2', 'is tried');
select is(pg_temp.counts(tests.kept('update')), '{"update": 1, "unchanged": 1, "fail": 2}', 'counted');
select is((select string_agg(f.row_number || ' ' || f.code, ', ') from pg_temp.findings(tests.kept('update')) as f), '2 not_found, 4 not_found', 'what does not exist is told');
select tests.act_as('ann');
select tests.keep('delete', tests.stage_import('tools', '{no}', '[["A"], ["Z"], ["X"], ["L"]]', 'delete'));
select is(tests.run_import(tests.kept('delete'), false), 'validated', 'delete');
select is(pg_temp.dry_run(tests.kept('delete')), 'dry_run completed 4 2', 'is tried');
select is(pg_temp.counts(tests.kept('delete')), '{"delete": 2, "fail": 2}', 'counted');
select results_eq($$ select c.key, c.action, c.before ->> 'name', c.after from pg_temp.changes(tests.kept('delete')) as c $$,
  $$ values ('A', 'delete', 'AXE', null::jsonb), ('Z', 'delete', 'ZIP', null) $$, 'and shown');
select is(tests.tools(), 'A AXE, B BOW, D DOWEL, F FILE, L SECRET, Z THEIRS, Z ZIP', 'nothing is gone');

-- All or nothing is tried in chunks, too: every row that is refused is told.
select tests.act_as('max');
select tests.keep('whole', tests.stage_import('tools', '{no,name}', '[["W1", "w"], ["W2", "lead"], ["W3", "w"], ["W4", "w"], ["W5", "lead"]]', null, null, '{"on_error": "abort"}'));
select is(tests.run_import(tests.kept('whole'), false), 'validated', 'on_error=abort');
select is(pg_temp.dry_run(tests.kept('whole')), 'dry_run completed 5 2', 'is tried');
select is(pg_temp.counts(tests.kept('whole')), '{"insert": 3, "fail": 2}', 'and says how many rows stand in the way');
select is(tests.status_of(tests.kept('whole')), 'validated', 'it can still be committed');

-- Records with lines: the first chunk's record has a line far away.
select lives_ok($$ insert into public.customers (org_id, external_id, name) values (tests.org_id('acme'), 'C1', 'One') $$, 'a customer');
select lives_ok($$ insert into public.products (org_id, sku, name, unit_price) values (tests.org_id('acme'), 'P1', 'Nail', 1), (tests.org_id('acme'), 'P2', 'Bolt', 1) $$, 'products');
select tests.keep('o1', tests.stage_import('orders', '{order_number,line_number,customer,ordered_on,product,quantity,unit_price,currency}', '[
  ["O1", "1", "C1", "2026-01-02", "P1", "1", "1", "EUR"], ["O2", "1", "C1", "2026-01-02", "P1", "1", "1", "EUR"]]'));
select is(tests.run_import(tests.kept('o1')), 'completed', 'orders');
select tests.act_as_role('postgres');
create function public.tg_order_lines__judge() returns trigger language plpgsql as $$
begin
  if new.quantity = 13 then
    raise exception using errcode = '23514', message = 'no thirteen';
  end if;
  return new;
end $$;
create trigger judge before insert or update on public.order_lines for each row execute function public.tg_order_lines__judge();
select tests.act_as('max');
select tests.keep('o2', tests.stage_import('orders', '{order_number,line_number,customer,ordered_on,product,quantity,unit_price,currency}', '[
  ["O1", "1", "C1", "2026-01-02", "P1", "1", "1", "EUR"], ["O2", "1", "C1", "2026-01-02", "P1", "1", "1", "EUR"],
  ["O3", "1", "C1", "2026-01-02", "P1", "13", "1", "EUR"], ["O4", "1", "C1", "2026-01-02", "P1", "1", "1", "EUR"],
  ["O1", "2", "C1", "2026-01-02", "P2", "5", "1", "EUR"], ["O3", "2", "C1", "2026-01-02", "P2", "1", "1", "EUR"]]'));
select is(tests.run_import(tests.kept('o2'), false), 'validated', 'lines of these, and others');
select is(pg_temp.counts(tests.kept('o2')), '{"insert": 3, "update": 3}', 'counting cannot tell what of them changes');
select is(pg_temp.dry_run(tests.kept('o2')), 'dry_run completed 6 2', 'a dry run can');
select is(pg_temp.counts(tests.kept('o2')), '{"insert": 1, "update": 2, "unchanged": 1, "fail": 2}', 'in rows');
select results_eq($$ select c.row_number, c.key, c.action, jsonb_array_length(c.before -> 'lines'), jsonb_array_length(c.after -> 'lines'), c.after #>> '{record,order_number}'
    from pg_temp.changes(tests.kept('o2')) as c $$,
  $$ values (1, 'O1', 'update', 1, 2, 'O1'), (4, 'O4', 'insert', null, 1, 'O4') $$, 'and shows each record once, with its lines');
select results_eq($$ select * from pg_temp.findings(tests.kept('o2')) $$,
  $$ values (3, 'warning', 'constraint_violation', null, 'no thirteen'), (6, 'warning', 'group_failed', null, 'fails with its record: row 3') $$,
  'a refused line takes its record along');
select is(pg_temp.dry_run(tests.kept('o2')), 'dry_run completed 6 2', 'again');
select is((select count(*)::integer from pg_temp.findings(tests.kept('o2'))), 2, 'it finds the same, once, also of rows in other chunks than their record');
select results_eq($$ select o.order_number, count(*)::integer from public.orders as o join public.order_lines as l on l.order_id = o.id group by 1 order by 1 $$,
  $$ values ('O1', 1), ('O2', 1) $$, 'nothing is written');

-- Control -----------------------------------------------------------------------------------------

select tests.keep('c', tests.stage_import('tools', '{no,name}', (select jsonb_agg(jsonb_build_array('K' || n, 'k') order by n) from generate_series(1, 9) as n)));
select is(tests.run_import(tests.kept('c'), false), 'validated', 'an import of three chunks');
select public.preview_import(tests.kept('c'), true);
select tests.run_jobs(1);
select throws_ok($$ select public.commit_import(tests.kept('c')) $$, 'PT409', 'import is in another state', 'it is not committed under a dry run');
select throws_ok($$ select public.set_import_mapping(tests.kept('c'), options => '{}') $$, 'PT409', 'import is in another state', 'nor changed');
select throws_ok($$ select public.preview_import(tests.kept('c')) $$, 'PT409', 'import is in another state', 'nor tried twice at once');
select is(public.pause_import(tests.kept('c')) #>> '{job,status}', 'paused', 'it can be paused');
select is(tests.run_jobs(), 0, 'then nothing runs');
select is(public.resume_import(tests.kept('c')) #>> '{job,status}', 'pending', 'and resumed');
select is(tests.run_jobs(), 2, 'it goes on');
select is(pg_temp.counts(tests.kept('c')), '{"insert": 9}', 'where it was');
select public.preview_import(tests.kept('c'), true);
select tests.run_jobs(1);
select is(public.cancel_import(tests.kept('c')) ->> 'status', 'validated', 'a dry run can be cancelled: the import is as it was');
select throws_ok($$ select public.get_import_preview(tests.kept('c')) $$, 'PT404', 'import has no preview', 'without a preview');

-- One that fails, and is tried again.
select tests.keep('f', tests.stage_import('tools', '{no,name}', '[["T1", "t"], ["T2", "t"], ["T3", "t"], ["T4", "trouble"], ["T5", "t"]]'));
select is(tests.run_import(tests.kept('f'), false), 'validated', 'an import that gets into trouble');
select is(pg_temp.dry_run(tests.kept('f')), 'dry_run failed 3 0', 'after some attempts its dry run fails');
select is(tests.status_of(tests.kept('f')), 'validated', 'the import is as it was');
select is(public.get_import(tests.kept('f')) #>> '{job,error,message}', 'in trouble', 'the job says why');
select throws_ok($$ select public.get_import_preview(tests.kept('f')) $$, 'PT404', 'import has no preview', 'there is no preview');
select tests.act_as_role('postgres');
alter table public.tools disable trigger judge;
select tests.act_as('max');
select is(public.retry_import(tests.kept('f')) #>> '{job,job_type}', 'dry_run', 'it is tried again');
select is(tests.run_jobs(), 1, 'where it stopped');
select is(pg_temp.counts(tests.kept('f')), '{"insert": 5}', 'and completes with what was found before');
select is((select array_agg(c.row_number) from pg_temp.changes(tests.kept('f')) as c), '{1,2,3,4,5}', 'all of it');
select throws_ok($$ select public.retry_import(tests.kept('f')) $$, 'PT409', 'nothing of the import can be tried again', 'once');

-- Rights are asked again before every chunk, and after it.
select public.preview_import(tests.kept('c'), true);
select tests.run_jobs(1);
select tests.join_organization('max', 'acme', 'viewer');
select tests.run_jobs();
select is(public.get_import(tests.kept('c')) #>> '{job,error,code}', '42501', 'who loses the right meanwhile finishes no dry run');
select is(tests.status_of(tests.kept('c')), 'validated', 'the import waits for somebody who may');
select throws_ok($$ select * from private.staged_rows(tests.kept('c'), 0, 9) $$, 'IM001', 'no running job of this import is the caller''s',
  'its rows are closed while none runs');
select tests.act_as('ann');
select is(pg_temp.dry_run(tests.kept('c')), 'dry_run completed 9 0', 'an admin''s dry run');
select tests.act_as('max');
select throws_ok($$ select public.get_import_preview(tests.kept('c')) $$, 'PT404', 'import has no preview', 'is the admin''s to see');

-- A validation whose preview fails is a validation all the same.
select tests.act_as_role('postgres');
revoke select on public.tools from authenticated;
select tests.act_as('mia');
select tests.keep('v', tests.stage_import('tools', '{no,name}', '[["V1", "v"], ["V2", "x"], [null, "x"]]'));
select is(tests.run_import(tests.kept('v'), false), 'validated', 'an import into a table that cannot be read');
select is(public.get_import(tests.kept('v')) #>> '{job,error,code}', '42501', 'is validated without a preview');
select is(tests.counts(tests.kept('v')), '{"rows": 3, "valid": 2, "failed": 1, "pending": 2}', 'with its counts');
select tests.act_as_role('postgres');
grant select on public.tools to authenticated;
select tests.act_as('mia');
select is(public.retry_import(tests.kept('v')) #>> '{job,job_type}', 'validate', 'tried again');
select tests.run_jobs();
select is(pg_temp.counts(tests.kept('v')), '{"insert": 2, "fail": 1}', 'it has one');
select is(tests.counts(tests.kept('v')), '{"rows": 3, "valid": 2, "failed": 1, "pending": 2}', 'and the same counts');
select is(tests.run_import(tests.kept('v')), 'completed', 'and is committed');

select * from finish();
rollback;
