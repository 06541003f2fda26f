-- What runs do: with tables and with what the worker function brings; mirrors, approval, and who may do what with a run.
begin;
select plan(112);
select tests.set_up_actors();

create table private.feed (no text, called text, mail text);
select private.allow_foreign_table(tests.org_id('acme'), 'private.feed');
insert into private.feed values ('c1', 'One', 'one@example.test'), ('c2', 'Two', null), ('c3', 'Three', null);

create function pg_temp.create_source(p_name text, p_more jsonb default '{}')
returns uuid
language plpgsql
as $$
declare
  v_id uuid := public.create_sync_source(jsonb_build_object('name', p_name, 'dataset', 'customers', 'kind', 'foreign_table',
    'location', 'private.feed', 'mapping', '{"external_id": "no", "name": "called", "email": "mail"}'::jsonb) || p_more) ->> 'id';
begin
  perform tests.keep(p_name, v_id);
  return v_id;
end;
$$;
-- Runs a source of the caller to where it stops; the status, and why.
create function pg_temp.sync(p_name text, p_force boolean default false)
returns text
language plpgsql
as $$
declare
  v_run uuid := public.run_sync(tests.kept(p_name), p_force) ->> 'id';
begin
  perform tests.keep('run', v_run);
  perform tests.run_jobs();
  return (select concat_ws(' ', r.status, r.reason, r.error ->> 'code') from public.sync_runs as r where r.id = v_run);
end;
$$;
create function pg_temp.counts()
returns jsonb
language sql
as $$
  select jsonb_object_agg(c.key, c.value::integer)
  from jsonb_each_text(public.get_sync_run(tests.kept('run')) -> 'counts') as c where c.value <> '0';
$$;
create function pg_temp.customers()
returns text
language sql
security definer
as $$
  select string_agg(c.external_id || ' ' || c.name, ', ' order by c.external_id)
  from public.customers as c where c.org_id = tests.org_id('acme');
$$;
-- As postgres.
create function pg_temp.feed(p_sql text)
returns void
language plpgsql
security definer
as $$ begin execute p_sql; end $$;

-- A table --------------------------------------------------------------------------------------------------

select tests.act_as('ann');
select pg_temp.create_source('table');
select is(pg_temp.sync('table'), 'completed', 'a run of a table completes');
select is(pg_temp.customers(), 'c1 One, c2 Two, c3 Three', 'and has its rows applied');
select is(pg_temp.counts(), '{"inserted": 3}', 'and counted');
select results_eq(
  $$ select j.job_type, j.status::text, j.run_as::text, j.actor, j.phase from public.scheduled_jobs as j order by j.created_at $$,
  $$ values ('sync', 'completed', 'user', tests.user_id('ann'), 'fetch'), ('validate', 'completed', 'user', tests.user_id('ann'), 'preview'),
    ('commit', 'completed', 'user', tests.user_id('ann'), 'commit') $$, 'by jobs of its owner');
select is((select b.source from public.import_batches as b), 'sync', 'its import says where it is from');
select is((select count(*) from public.import_sessions), 0::bigint, 'and is nobody''s session');
select is(pg_temp.sync('table'), 'unchanged', 'the same rows again are nothing new');
select is((select count(*) from public.import_batches), 1::bigint, 'of which no import stays');
select is(pg_temp.sync('table', true), 'completed', 'unless it is forced');
select is(pg_temp.counts(), '{"unchanged": 3}', 'then they are unchanged');
select pg_temp.feed($$ update private.feed set called = 'Zwei' where no = 'c2'; delete from private.feed where no = 'c3' $$);
select is(pg_temp.sync('table'), 'completed', 'what changed is applied');
select is(pg_temp.customers(), 'c1 One, c2 Zwei, c3 Three', 'and what is gone stays: it is no mirror');
select pg_temp.feed($$ alter table private.feed rename mail to post $$);
select is(pg_temp.sync('table'), 'failed columns_changed', 'a column that went is said so');
select pg_temp.feed($$ alter table private.feed rename post to mail; delete from private.feed $$);
select is(pg_temp.sync('table'), 'failed source_empty', 'and so is a source that is empty');
select pg_temp.feed($$ insert into private.feed values (null, 'Nobody', null) $$);
select is(pg_temp.sync('table'), 'failed rows_invalid', 'and one without a valid row');
select is((select b.status::text from public.import_batches as b join public.sync_runs as r on r.import_id = b.id
  where r.id = tests.kept('run')), 'cancelled', 'whose import stays to be looked at');
select is(pg_temp.customers(), 'c1 One, c2 Zwei, c3 Three', 'nothing of these is applied');
select pg_temp.feed($$ select private.forbid_foreign_table(tests.org_id('acme'), 'private.feed') $$);
select is(pg_temp.sync('table'), 'failed table_not_allowed', 'a table that is allowed no more is not read');
select pg_temp.feed($$ select private.allow_foreign_table(tests.org_id('acme'), 'private.feed') $$);

-- A mirror -------------------------------------------------------------------------------------------------

select pg_temp.feed($$ delete from private.feed; insert into private.feed select 'm' || n, 'Name ' || n, null from generate_series(1, 20) as n $$);
select pg_temp.create_source('mirror', '{"mode": "mirror"}');
select is(pg_temp.sync('mirror'), 'completed', 'a mirror delivers');
select is(pg_temp.counts(), '{"inserted": 20}', 'all that there is');
select pg_temp.feed($$ delete from private.feed where no = 'm20'; update private.feed set called = 'New' where no = 'm1' $$);
select is(pg_temp.sync('mirror'), 'completed', 'with the next run');
select is(pg_temp.counts(), '{"updated": 1, "unchanged": 18, "deleted": 1}', 'what the source no longer has is deleted');
select is(pg_temp.customers() ~ 'c1 One, c2 Zwei, c3 Three, m1 New, m10', true, 'and nothing that it never delivered');
select is(pg_temp.customers() ~ 'm20', false, 'but that');
select pg_temp.feed($$ delete from private.feed where no in ('m1', 'm2', 'm3') $$);
select is(pg_temp.sync('mirror'), 'awaiting_approval too_many_deletions', 'a mirror that would delete more than its share asks');
select is(pg_temp.customers() ~ 'm1 New.*m2 .*m3 ', true, 'and nothing is done before it is answered');
select results_eq(
  $$ select r.known_count, r.deletion_count from public.sync_runs as r where r.id = tests.kept('run') $$, $$ values (19, 3) $$,
  'it says of how many how many');
select is(public.get_sync_run(tests.kept('run')) #>> '{preview,deletions}', '3', 'and what it would do');
select tests.keep('asks', tests.kept('run'));

-- Another run meanwhile
select throws_ok($$ select public.run_sync(tests.kept('mirror')) $$, 'PT409', 'a run of the source is under way', 'the source waits for the answer');
select tests.act_as_role('postgres');
insert into public.sync_schedule (id, org_id, source_id, cron_expression)
values (tests.user_id('schedule'), tests.org_id('acme'), tests.kept('mirror'), '* * * * *');
select private.run_schedule(tests.user_id('schedule'));
select is((select r.skipped_count from public.sync_runs as r where r.id = tests.kept('asks')), 1, 'what its schedule starts is left out, and counted');
select tests.act_as('ann');
select public.change_sync_source(tests.kept('mirror'), '{"overlap": "wait"}');
select is(public.run_sync(tests.kept('mirror')) ->> 'status', 'waiting', 'or waits, where it is to');
select throws_ok($$ select public.run_sync(tests.kept('mirror')) $$, 'PT409', 'a run of the source is under way', 'one at a time');
select throws_ok($$ select public.delete_sync_source(tests.kept('mirror')) $$, 'PT409', 'a run of the source is under way',
  'a source that is at it is not deleted');

-- Who may
select tests.act_as('max');
select throws_ok($$ select public.approve_sync(tests.kept('asks')) $$, 'PT404', 'sync run not found', 'a member approves nothing');
select throws_ok($$ select public.cancel_sync(tests.kept('asks')) $$, 'PT404', 'sync run not found', 'cancels nothing');
select throws_ok($$ select public.get_sync_run(tests.kept('asks')) $$, 'PT404', 'sync run not found', 'sees nothing');
select throws_ok($$ select public.run_sync(tests.kept('table')) $$, 'PT404', 'sync source not found', 'and runs nothing');
select throws_ok($$ select public.delete_sync_source(tests.kept('table')) $$, 'PT404', 'sync source not found', 'or deletes');
select is((select count(*) from public.sync_runs) + (select count(*) from public.monitor_sync_sources), 0::bigint, 'nor does one see table or monitor');
select is(public.list_sync_runs() -> 'runs', '[]', 'or a list');
select throws_ok($$ insert into public.scheduled_jobs (job_type, params) values ('sync', '{}') $$, 'PT409', 'a sync is not started as a job',
  'jobs of this type are made by runs alone');
select throws_ok($$ select public.create_import('customers', source => 'sync') $$, '22023', 'source is reserved', 'nobody says that an import is synced');
select tests.act_as('bob');
select throws_ok($$ select public.approve_sync(tests.kept('asks')) $$, 'PT404', 'sync run not found', 'another organization''s admin approves nothing');
select throws_ok($$ select public.run_sync(tests.kept('table')) $$, 'PT404', 'sync source not found', 'and runs nothing');
select is((select count(*) from public.sync_runs), 0::bigint, 'or sees');
select tests.act_as('ann');
select throws_ok($$ update public.sync_runs set status = 'completed' where true $$, '42501', 'permission denied for table sync_runs',
  'admins do not write runs');

select is(public.approve_sync(tests.kept('asks')) ->> 'status', 'committing', 'an admin approves');
select throws_ok($$ select public.approve_sync(tests.kept('asks')) $$, 'PT409', 'sync run awaits no approval', 'once');
select tests.run_jobs();
select tests.keep('run', tests.kept('asks'));
select is(pg_temp.counts(), '{"unchanged": 16, "deleted": 3}', 'then it is done');
select results_eq(
  $$ select r.status::text, r.approved_by, r.finished_at is not null from public.sync_runs as r where r.id = tests.kept('asks') $$,
  $$ values ('completed', tests.user_id('ann'), true) $$, 'and whose word it was stays known');
select is((select string_agg(r.status::text, ' ' order by r.created_at) from public.sync_runs as r where r.source_id = tests.kept('mirror')
  and r.id not in (select o.id from public.sync_runs as o where o.source_id = tests.kept('mirror') order by o.created_at limit 2)),
  'completed unchanged', 'the run that waited came after it');

-- Refused, and again
select pg_temp.feed($$ delete from private.feed where no in ('m4', 'm5', 'm6') $$);
select is(pg_temp.sync('mirror'), 'awaiting_approval too_many_deletions', 'the next one asks again');
select is(public.cancel_sync(tests.kept('run')) ->> 'status', 'cancelled', 'and is refused');
select throws_ok($$ select public.approve_sync(tests.kept('run')) $$, 'PT409', 'sync run awaits no approval', 'for good');
select is(pg_temp.sync('mirror'), 'awaiting_approval too_many_deletions', 'which the one after it does not know');
select pg_temp.feed($$ delete from public.customers as c where c.external_id = 'm7' $$);
select is(pg_temp.customers() ~ 'm7', false, 'whoever deletes a record by hand');
select public.approve_sync(tests.kept('run'));
select tests.run_jobs();
select is(pg_temp.customers() ~ 'm7', true, 'has it back when the source has it');

-- Rows whose key cannot be read
select pg_temp.feed($$ update private.feed set no = null where no = 'm8' $$);
select is(pg_temp.sync('mirror'), 'awaiting_approval rows_without_key', 'with a row of no key nobody knows what is missing');
select is(public.cancel_sync(tests.kept('run')) ->> 'status', 'cancelled', 'so somebody is asked');
select pg_temp.feed($$ update private.feed set no = 'm8' where no is null; update private.feed set mail = 'nonsense' where no = 'm8' $$);
select is(pg_temp.sync('mirror'), 'completed', 'a row with another fault has its key');
select is(pg_temp.customers() ~ 'm8', true, 'so that its record stays');

-- What two sources deliver
select pg_temp.create_source('second', '{"mode": "mirror", "max_delete_percent": 100}');
select pg_temp.sync('second');
select pg_temp.feed($$ delete from private.feed where no in ('m8', 'm9') $$);
select public.change_sync_source(tests.kept('mirror'), '{"max_delete_percent": 100}');
select is(pg_temp.sync('mirror'), 'completed', 'what one of two sources no longer has');
select is(pg_temp.customers() ~ 'm9', true, 'stays while the other has it');
select is(pg_temp.sync('second'), 'completed', 'and goes');
select is(pg_temp.customers() ~ 'm9', false, 'with that one');
select is(pg_temp.customers() ~ 'm8', false, 'a row that was refused was not delivered: the second does not hold it');

-- Keys that refer to other records
select tests.run_import(tests.stage_import('products', '{sku,name,unit_price}', '[["p1", "One", "1"], ["p2", "Two", "2"]]'));
select tests.run_import(tests.stage_import('warehouse_locations', '{code,name}', '[["w1", "North"]]'));
select pg_temp.feed($$ delete from private.feed; insert into private.feed values ('p1', 'w1', '5'), ('p2', 'w1', '6') $$);
select pg_temp.create_source('stock', '{"dataset": "inventory_levels", "mode": "mirror", "max_delete_percent": 50,
  "mapping": {"product": "no", "location": "called", "quantity": "mail"}}');
select is(pg_temp.sync('stock'), 'completed', 'a mirror of records with keys of others');
select pg_temp.feed($$ delete from private.feed where no = 'p1' $$);
select is(pg_temp.sync('stock'), 'completed', 'finds what is gone');
select is(pg_temp.counts(), '{"unchanged": 1, "deleted": 1}', 'by them');

-- Records of several rows
select pg_temp.feed($$ delete from private.feed; insert into private.feed values ('o1', '1', '5'), ('o1', '2', '6'), ('o2', '1', '7') $$);
select pg_temp.create_source('orders', '{"dataset": "orders", "mode": "mirror", "max_delete_percent": 50, "mapping": {
  "order_number": "no", "line_number": "called", "quantity": "mail", "customer": {"default": "c1"}, "ordered_on": {"default": "2026-01-01"},
  "currency": {"default": "EUR"}, "product": {"default": "p1"}, "unit_price": {"default": "1"}}}');
select is(pg_temp.sync('orders'), 'completed', 'orders are synced');
select pg_temp.feed($$ delete from private.feed where no = 'o2' or called = '2' $$);
select is(pg_temp.sync('orders'), 'completed', 'an order that is gone is one record');
select results_eq($$ select o.order_number, count(l.id) from public.orders as o left join public.order_lines as l on l.order_id = o.id
  where o.org_id = tests.org_id('acme') group by 1 $$, $$ values ('o1', 2::bigint) $$, 'and goes with its lines; of one that is there no line goes, as with imports');

-- Records that a function writes: people
select pg_temp.feed($$ delete from private.feed; insert into private.feed values ('pia@example.test', 'Pia', null), ('pat@example.test', 'Pat', null) $$);
select pg_temp.create_source('people', '{"dataset": "users", "mode": "mirror", "max_delete_percent": 50,
  "mapping": {"email": "no", "full_name": "called"}}');
select is(pg_temp.sync('people'), 'completed', 'people are synced');
select is(pg_temp.counts(), '{"inserted": 2}', 'and made');
select pg_temp.feed($$ delete from private.feed where no = 'pat@example.test' $$);
select is(pg_temp.sync('people'), 'completed', 'who left the source');
select is(pg_temp.counts() -> 'deleted', '1', 'goes');
select is((select string_agg(p.email, ' ' order by p.email) from public.profiles as p where p.org_id = tests.org_id('acme') and p.email ~ '^p|^ann'),
  'ann@example.test pia@example.test', 'and nobody whom it never delivered');

-- Approval ---------------------------------------------------------------------------------------------

select pg_temp.feed($$ delete from private.feed; insert into private.feed values ('a1', 'Approved', null) $$);
select pg_temp.create_source('asked', '{"requires_approval": true}');
select is(pg_temp.sync('asked'), 'awaiting_approval approval_required', 'a source may want each run approved');
select is(public.get_sync_run(tests.kept('run')) #> '{preview,counts}',
  '{"insert": 1, "update": 0, "unchanged": 0, "delete": 0, "fail": 0, "skip": 0}', 'its preview says what it would do');
select is((select c.sync_type::text from public.sync_preview_cache as c where c.cache_key = tests.kept('run') || ':' || tests.user_id('ann')),
  'pull', 'in the cache, as its owner''s');
select is(pg_temp.customers() ~ 'a1', false, 'nothing is done');
select public.set_import_mapping(r.import_id, '{"external_id": "no", "name": "no"}') from public.sync_runs as r where r.id = tests.kept('run');
select is(public.get_sync_run(tests.kept('run')) ->> 'status', 'validating', 'an admin may change how it is read');
select public.validate_import(r.import_id) from public.sync_runs as r where r.id = tests.kept('run');
select tests.run_jobs();
select is(public.get_sync_run(tests.kept('run')) ->> 'status', 'awaiting_approval', 'and is asked again');
select public.commit_import(r.import_id) from public.sync_runs as r where r.id = tests.kept('run');
select tests.run_jobs();
select results_eq($$ select r.status::text, r.approved_by from public.sync_runs as r where r.id = tests.kept('run') $$,
  $$ values ('completed', tests.user_id('ann')) $$, 'a commit of its import is an approval, too');
select is(pg_temp.customers() ~ 'a1 a1', true, 'of what it is then');
select is(pg_temp.sync('asked', true), 'awaiting_approval approval_required', 'the next one has the source''s own mapping');
select public.approve_sync(tests.kept('run'));
select tests.run_jobs();
select is(pg_temp.sync('asked', true), 'completed', 'what changes nothing needs nobody''s word');
select pg_temp.feed($$ insert into private.feed values ('a2', 'Second', null) $$);
select pg_temp.sync('asked');
select public.cancel_import(r.import_id) from public.sync_runs as r where r.id = tests.kept('run');
select is(public.get_sync_run(tests.kept('run')) ->> 'status', 'cancelled', 'a run whose import is cancelled is, too');

-- What the first run finds out
select pg_temp.feed($$ alter table private.feed rename no to external_id; alter table private.feed rename called to name $$);
select pg_temp.create_source('guessed', '{"mapping": null}');
select is(pg_temp.sync('guessed'), 'completed', 'columns that are named like fields need no mapping');
select is(public.get_sync_source(tests.kept('guessed')) #>> '{mapping,name,columns,0}', 'name', 'which is kept for the next run');
select pg_temp.feed($$ alter table private.feed rename external_id to id; alter table private.feed rename name to title $$);
select is(pg_temp.sync('guessed'), 'failed columns_changed', 'that may find other columns');
select pg_temp.create_source('lost', '{"mapping": null}');
select is(pg_temp.sync('lost'), 'failed PT422', 'a first run that cannot tell says so');
select pg_temp.feed($$ alter table private.feed rename id to no; alter table private.feed rename title to called $$);

-- Owners ---------------------------------------------------------------------------------------------------

select tests.act_as_role('postgres');
select tests.add_user('amy');
select tests.join_organization('amy', 'acme', 'admin');
select tests.act_as('amy');
select pg_temp.create_source('of_amy');
select pg_temp.create_source('people_of_amy', '{"dataset": "users", "mapping": {"email": "mail"}}');
select tests.act_as_role('postgres');
update public.profiles as p set is_system_admin = true where p.id = tests.user_id('amy');
select tests.act_as('ann');
select is(pg_temp.sync('people_of_amy'), 'failed owner_system_admin', 'a run of people does not work with the rights of who became a system admin');
select tests.act_as_role('postgres');
update public.profiles as p set is_system_admin = false where p.id = tests.user_id('amy');
update public.profiles as p set org_role = 'member' where p.id = tests.user_id('amy');
select tests.act_as('ann');
select is(pg_temp.sync('of_amy'), 'failed owner_not_admin', 'a run of one who is no admin any more fails');
select is((select r.import_id from public.sync_runs as r where r.id = tests.kept('run')), null, 'and brings nothing in');
select tests.act_as_role('postgres');
update public.profiles as p set org_id = null where p.id = tests.user_id('amy');
select tests.act_as('ann');
select is(pg_temp.sync('of_amy'), 'failed actor_left', 'one of somebody who left as well');
select tests.act_as_role('postgres');
update public.profiles as p set org_id = tests.org_id('acme'), is_active = false where p.id = tests.user_id('amy');
select tests.act_as('ann');
select is(pg_temp.sync('of_amy'), 'failed actor_deactivated', 'or was deactivated');
select tests.act_as_role('postgres');
delete from auth.users as u where u.id = tests.user_id('amy');
select tests.act_as('ann');
select is(pg_temp.sync('of_amy'), 'failed owner_deleted', 'one of nobody, too');
select public.change_sync_source(tests.kept('of_amy'), jsonb_build_object('owner', tests.user_id('ann')));
select is(pg_temp.sync('of_amy'), 'completed', 'until there is another owner');

-- Schedules ------------------------------------------------------------------------------------------------

select pg_temp.feed($$ insert into private.feed values ('a3', 'Third', null) $$);
select tests.act_as_role('postgres');
insert into public.sync_schedule (id, org_id, source_id, cron_expression)
values (tests.user_id('second schedule'), tests.org_id('acme'), tests.kept('of_amy'), '* * * * *');
select private.run_schedule(tests.user_id('second schedule'));
select tests.run_jobs();
select results_eq(
  $$ select r.status::text, r.started_by, r.schedule_id from public.sync_runs as r where r.source_id = tests.kept('of_amy')
    order by r.created_at desc, r.schedule_id nulls last limit 1 $$,
  $$ values ('completed', null::uuid, tests.user_id('second schedule')) $$, 'a schedule runs its source, with the owner''s rights');
update public.organization as o set is_active = false where o.id = tests.org_id('acme');
select private.run_schedule(tests.user_id('second schedule'));
update public.organization as o set is_active = true where o.id = tests.org_id('acme');
update public.sync_sources as s set is_active = false where s.id = tests.kept('of_amy');
select private.run_schedule(tests.user_id('second schedule'));
select is((select count(*) from public.sync_runs as r where r.schedule_id = tests.user_id('second schedule')), 1::bigint,
  'unless the source, or the organization, is not active');
select lives_ok($$ select private.run_schedule(gen_random_uuid()) $$, 'a schedule that is gone runs nothing');
select tests.act_as('ann');
select throws_ok($$ select public.run_sync(tests.kept('of_amy')) $$, 'PT409', 'source is not active', 'nor does anybody');
select tests.keep('by_hand', (public.create_sync_source('{"name": "by hand", "kind": "manual", "dataset": "customers"}') ->> 'id')::uuid);
select throws_ok($$ select public.run_sync(tests.kept('by_hand')) $$, 'PT409', 'source is fed by hand', 'what somebody uploads is not fetched');

-- What is seen of it ---------------------------------------------------------------------------------------

select is(public.list_sync_runs(tests.kept('mirror'), 'cancelled') #> '{runs,0,source}', '"mirror"', 'runs are listed by source and state');
select throws_ok($$ select public.list_sync_runs(status => 'odd') $$, '22023', 'status is unknown', 'which must be one');
select throws_ok($$ select public.list_sync_runs(page_size => 201) $$, '22023', 'page_size must be from 1 to 200', 'a page is bounded');
select results_eq(
  $$ select m.source, m.last_status::text, m.error_code, m.failures_since, m.owner, m.under_way_for from public.monitor_sync_sources as m
    where m.source in ('guessed', 'of_amy') order by 1 $$,
  $$ values ('guessed', 'failed', 'columns_changed', 1::bigint, 'ann@example.test', null::interval),
    ('of_amy', 'completed', null, 0, 'ann@example.test', null) $$,
  'the monitor shows what needs somebody');
select is((select count(*) > 5 from public.sync_activity_log as l where l.details ->> 'source_id' = tests.kept('mirror')::text), true,
  'the log has the ends of runs');
select lives_ok($$ select public.delete_sync_source(tests.kept('second')) $$, 'a source is deleted');
select tests.act_as_role('postgres');
select is_empty($$ select from private.sync_records as s where s.source_id = tests.kept('second') $$, 'with what it delivered, which stays where it is');
update public.sync_runs as r set finished_at = now() - interval '100 days', created_at = r.created_at - interval '100 days' + random() * interval '1 s'
where r.source_id = tests.kept('mirror');
select private.purge_sync_runs();
select is((select count(*) from public.sync_runs as r where r.source_id = tests.kept('mirror')), 1::bigint, 'old runs go, but for the last');

select * from finish();
rollback;
