-- What people do to a run's imports by hand, and what becomes of it meanwhile: nothing goes that nobody was shown.
begin;
select plan(29);
select tests.set_up_actors();
select tests.add_user('amy');
select tests.join_organization('amy', 'acme', 'admin');

create table private.feed (no text, called text, mail text);
create table private.other_feed (no text, called text, mail text);
select private.allow_foreign_table(tests.org_id('acme'), 'private.feed'), private.allow_foreign_table(tests.org_id('acme'), 'private.other_feed');

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
create function pg_temp.state()
returns text
language sql
security definer
as $$
  select concat_ws(' ', r.status, r.reason, coalesce(r.error ->> 'message', r.error ->> 'code'))
  from public.sync_runs as r where r.id = tests.kept('run');
$$;
-- Starts a run of a source of the caller, and has so many tasks of it done.
create function pg_temp.sync(p_name text, p_tasks integer default 1000)
returns text
language plpgsql
as $$
begin
  perform tests.keep('run', (public.run_sync(tests.kept(p_name)) ->> 'id')::uuid);
  perform tests.run_jobs(p_tasks);
  return pg_temp.state();
end;
$$;
create function pg_temp.import()
returns uuid
language sql
security definer
as $$
  select r.import_id from public.sync_runs as r where r.id = tests.kept('run');
$$;
create function pg_temp.approve()
returns text
language plpgsql
as $$
begin
  perform public.approve_sync(tests.kept('run'));
  perform tests.run_jobs();
  return pg_temp.state();
end;
$$;
create function pg_temp.customers()
returns text
language sql
security definer
as $$
  select string_agg(c.external_id, ' ' order by c.external_id)
  from public.customers as c where c.org_id = tests.org_id('acme') and c.external_id !~ '[1-9][0-9]';
$$;
create function pg_temp.names(p_like text)
returns text
language sql
security definer
as $$
  select string_agg(c.external_id || ' ' || c.name, ', ' order by c.external_id)
  from public.customers as c where c.org_id = tests.org_id('acme') and starts_with(c.external_id, p_like);
$$;
-- As postgres.
create function pg_temp.feed(p_sql text)
returns void
language plpgsql
security definer
as $$ begin execute p_sql; end $$;

-- More is missing than was shown -----------------------------------------------------------------------

insert into private.feed select 'm' || n, 'Name ' || n, null from generate_series(1, 40) as n;
insert into private.other_feed values ('m2', 'Name 2', null), ('o1', 'Other 1', null);
select tests.act_as('ann');
select pg_temp.create_source('mirror', '{"mode": "mirror", "requires_approval": true}');
select pg_temp.create_source('other', '{"mode": "mirror", "location": "private.other_feed", "max_delete_percent": 100}');
select pg_temp.sync('mirror');
select is(pg_temp.approve(), 'completed approval_required', 'a mirror that is asked for delivers');
select is(pg_temp.sync('other'), 'completed', 'and another one, in part the same');
select pg_temp.feed($$ delete from private.feed where no in ('m1', 'm2'); update private.feed set called = 'New' where no = 'm3' $$);
select is(pg_temp.sync('mirror'), 'awaiting_approval approval_required', 'what the other one has is not shown as missing');
select is((public.get_sync_run(tests.kept('run')) -> 'deletion_count')::integer, 1, 'so that one deletion is');
select tests.keep('asks', tests.kept('run'));
select pg_temp.feed($$ delete from private.other_feed where no = 'm2' $$);
select pg_temp.sync('other');
select tests.keep('run', tests.kept('asks'));
select is(pg_temp.approve(), 'awaiting_approval approval_required', 'once the other one lets go of it, more is missing than was approved: it asks again');
select is((public.get_sync_run(tests.kept('run')) -> 'deletion_count')::integer, 2, 'and shows them');
select is(pg_temp.customers(), 'm1 m2 m3 m4 m5 m6 m7 m8 m9 o1', 'nothing is deleted before');

-- An undo that finds nothing to take back leaves the import completed, as it was.
select pg_temp.feed($$ update public.customers as c set name = 'By hand' where c.external_id = 'm3' $$);
select public.undo_import(pg_temp.import());
select tests.run_jobs();
select is((select b.status::text from public.import_batches as b where b.id = pg_temp.import()), 'completed', 'who undoes its import in vain');
select is(pg_temp.state(), 'awaiting_approval approval_required', 'has approved nothing');
select is(pg_temp.customers(), 'm1 m2 m3 m4 m5 m6 m7 m8 m9 o1', 'and deleted nothing');

-- The rows have had their time.
select pg_temp.feed($$ delete from private.import_rows as r where r.batch_id = pg_temp.import() $$);
select is(pg_temp.approve(), 'failed approval_required rows of the import have expired', 'without its rows nobody knows what is missing');
select is(pg_temp.customers(), 'm1 m2 m3 m4 m5 m6 m7 m8 m9 o1', 'and nothing is deleted');

-- What is undone -----------------------------------------------------------------------------------------

select pg_temp.feed($$ delete from private.other_feed; insert into private.other_feed select 'x' || n, 'Name', null from generate_series(1, 3) as n $$);
select pg_temp.create_source('undone', '{"mode": "mirror", "location": "private.other_feed", "max_delete_percent": 100}');
select pg_temp.sync('undone');
select pg_temp.feed($$ delete from private.other_feed where no = 'x1'; insert into private.other_feed values ('x4', 'Name', null) $$);
select is(pg_temp.sync('undone'), 'completed', 'a mirror inserts and deletes');
select public.undo_import(pg_temp.import());
select public.undo_import(r.delete_import_id) from public.sync_runs as r where r.id = tests.kept('run');
select tests.run_jobs();
select is(pg_temp.names('x'), 'x1 Name, x2 Name, x3 Name', 'of which an undo leaves nothing');
select is(pg_temp.sync('undone'), 'unchanged', 'nor does a run while the source is as it was');
select pg_temp.feed($$ update private.other_feed set called = 'Third' where no = 'x3' $$);
select is(pg_temp.sync('undone'), 'completed', 'once that changes');
select is(pg_temp.names('x'), 'x2 Name, x3 Third, x4 Name', 'all of it is applied, and what it lacks goes');

-- An import that is changed or committed by hand -------------------------------------------------------

select pg_temp.feed($$ delete from private.feed; insert into private.feed values ('a1', 'One', 'one@example.test'), ('a2', 'Two', 'nonsense') $$);
select tests.act_as('amy');
select pg_temp.create_source('of_amy', '{"requires_approval": true, "mapping": {"external_id": "no", "name": "called"}}');
select pg_temp.sync('of_amy');
select is(public.get_sync_run(tests.kept('run')) #> '{preview,counts}',
  '{"insert": 2, "update": 0, "unchanged": 0, "delete": 0, "fail": 0, "skip": 0}', 'a preview is of what would be done');
select tests.act_as('ann');
select public.set_import_mapping(pg_temp.import(), '{"external_id": "no", "name": "called", "email": "mail"}');
select is(public.get_sync_run(tests.kept('run')) -> 'preview', 'null', 'it goes when another admin changes that');
select public.validate_import(pg_temp.import());
select tests.run_jobs();
select is(public.get_sync_run(tests.kept('run')) #> '{preview,counts}',
  '{"insert": 1, "update": 0, "unchanged": 0, "delete": 0, "fail": 1, "skip": 0}', 'and there is a new one');
select public.cancel_sync(tests.kept('run'));

select pg_temp.create_source('compared', '{"mode": "mirror", "requires_approval": true, "mapping": {"external_id": "no", "name": "called"}}');
select pg_temp.sync('compared', 0);
do $$
begin
  while not exists (
    select from public.sync_runs as r join public.scheduled_jobs as j on j.id = r.job_id
    where r.id = tests.kept('run') and (j.phase = 'compare' or r.finished_at is not null)
  ) loop
    perform tests.run_jobs(1);
  end loop;
end $$;
select is((select concat_ws(' ', b.status, r.status, j.phase) from public.sync_runs as r
  join public.import_batches as b on b.id = r.import_id join public.scheduled_jobs as j on j.id = r.job_id where r.id = tests.kept('run')),
  'validated validating compare', 'while a mirror is compared');
select public.commit_import(pg_temp.import());
select tests.run_jobs();
select is(pg_temp.state(), 'completed', 'an admin may commit its import, which is an approval');
select is((select r.approved_by from public.sync_runs as r where r.id = tests.kept('run')), tests.user_id('ann'), 'of whom is known');

-- Names that others read -------------------------------------------------------------------------------

select pg_temp.feed($$ insert into private.feed values ('a3', 'Three', null) $$);
select pg_temp.sync('compared', 0);
select tests.act_as('max');
select tests.keep('seen', (select (j.params ->> 'run_id')::uuid from public.scheduled_jobs as j where j.job_type = 'sync' order by j.created_at desc limit 1));
select is(tests.kept('seen'), tests.kept('run'), 'members see which run a job is of');
select throws_ok($$ select public.create_import('customers', source => 'sync', idempotency_key => format('sync:%s:upsert', tests.kept('seen'))) $$,
  '22023', 'source is reserved', 'and make no import by that name');
select tests.act_as('ann');
select tests.run_jobs();

-- A source that was stopped ----------------------------------------------------------------------------

select public.change_sync_source(tests.kept('compared'), '{"overlap": "wait"}');
select is(pg_temp.state(), 'awaiting_approval approval_required', 'while a run asks');
select tests.keep('asks', tests.kept('run'));
select is(pg_temp.sync('compared'), 'waiting', 'another waits');
select public.change_sync_source(tests.kept('compared'), '{"is_active": false}');
select public.cancel_sync(tests.kept('asks'));
select is(pg_temp.state(), 'cancelled', 'and does not begin when the source was stopped meanwhile');
select is((select count(*) from public.sync_runs as r where r.finished_at is null), 0::bigint, 'so that none is left');

select * from finish();
rollback;
