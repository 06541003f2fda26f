-- What the worker function is told, what it may bring, and how a run ends that it brings nothing for.
begin;
select plan(52);
select tests.set_up_actors();

create function pg_temp.create_source(p_name text, p_more jsonb default '{}')
returns uuid
language plpgsql
as $$
declare
  v_id uuid := public.create_sync_source(jsonb_build_object('name', p_name, 'dataset', 'customers', 'kind', 'http_csv',
    'location', 'https://shop.example/feed.csv', 'mapping', '{"external_id": "no", "name": "called"}'::jsonb) || p_more) ->> 'id';
begin
  perform tests.keep(p_name, v_id);
  return v_id;
end;
$$;
-- Runs a source of the caller up to the call of the worker function.
create function pg_temp.start(p_name text, p_force boolean default false)
returns void
language plpgsql
as $$
begin
  perform tests.keep('run', (public.run_sync(tests.kept(p_name), p_force) ->> 'id')::uuid);
  perform tests.run_jobs();
end;
$$;
create function pg_temp.call(out task_id bigint, out token uuid)
language sql
security definer
as $$
  select q.id, q.token from public.sync_job_queue as q join public.sync_runs as r on r.job_id = q.job_id where r.id = tests.kept('run');
$$;
-- The worker function, with the service key.
create function pg_temp.work()
returns jsonb
language plpgsql
as $$
declare
  v_claims jsonb := current_setting('request.jwt.claims')::jsonb;
  v_call   record;
  v_work   jsonb;
begin
  select c.* into v_call from pg_temp.call() as c;
  perform tests.act_as_role('service_role');
  v_work := public.get_worker_task(v_call.task_id, v_call.token) -> 'work';
  perform tests.assume('authenticated', v_claims);
  return v_work;
end;
$$;
create function pg_temp.answer(p_result jsonb)
returns text
language plpgsql
as $$
declare
  v_claims jsonb := current_setting('request.jwt.claims')::jsonb;
  v_call   record;
begin
  select c.* into v_call from pg_temp.call() as c;
  perform tests.act_as_role('service_role');
  if p_result ? 'code' then
    perform public.fail_worker_task(v_call.task_id, v_call.token, p_result);
  else
    perform public.complete_worker_task(v_call.task_id, v_call.token, p_result);
  end if;
  perform tests.assume('authenticated', v_claims);
  perform tests.run_jobs();
  return public.get_sync_run(tests.kept('run')) ->> 'status' || coalesce(' ' || (public.get_sync_run(tests.kept('run')) #>> '{error,code}'), '');
end;
$$;
-- Its direct connection: rows of a call, from p_from on. p_state: more are to come.
create function pg_temp.bring(p_columns text[], p_rows jsonb, p_hash text, p_state jsonb default null, p_from integer default 0)
returns void
language plpgsql
as $$
declare
  v_claims jsonb := current_setting('request.jwt.claims')::jsonb;
  v_call   record;
begin
  select c.* into v_call from pg_temp.call() as c;
  perform tests.act_as_role('sluice_ingest');
  insert into private.import_rows (staged_on, batch_id, row_number, line_number, cells)
  select b.staged_on, b.import_id, p_from + r.position, 1, array(select jsonb_array_elements_text(r.cells))
  from private.begin_fetch(v_call.task_id, v_call.token, p_columns) as b
  cross join jsonb_array_elements(p_rows) with ordinality as r (cells, position);
  if p_state is not null then
    perform private.advance_fetch(v_call.task_id, v_call.token, p_state);
  else
    perform private.finish_fetch(v_call.task_id, v_call.token, p_columns, p_from + jsonb_array_length(p_rows), 100, p_hash,
      '{"kind": "csv"}', '{"status": 200, "etag": "\"1\"", "pages": 1}');
  end if;
  perform tests.assume('authenticated', v_claims);
end;
$$;

-- What it is told ----------------------------------------------------------------------------------------

select tests.act_as('ann');
select public.set_sync_secret('key', 'open sesame');
select pg_temp.create_source('csv', '{"secret_name": "key", "options": {"auth": "basic", "auth_user": "shop", "headers": {"X-Shop": "7"}, "delimiter": ";"}}');
select pg_temp.start('csv');
select is(pg_temp.work() - '{limits,max_pages}'::text[], jsonb_build_object(
  'kind', 'http_csv', 'location', 'https://shop.example/feed.csv',
  'headers', jsonb_build_object('X-Shop', '7', 'Authorization', 'Basic ' || encode('shop:open sesame', 'base64')),
  'conditions', '{}'::jsonb, 'options', '{"delimiter": ";"}'::jsonb, 'allow_private', false, 'state', null, 'is_staged', false),
  'the worker function is told where, with which headers, and how it is written');
select is((select q.args from public.sync_job_queue as q), '{}', 'the queue, which admins read, has no secret');
select tests.act_as_role('postgres');
select is((select convert_from(r.body, 'utf8') ~ 'sesame|shop' from net.http_request_queue as r where r.url like '%/worker/fetch'), false,
  'nor has the request that is posted');
select tests.act_as('ann');

-- What it brings ------------------------------------------------------------------------------------------

select throws_ok($$ select private.begin_fetch(c.task_id, c.token, '{no,called}') from pg_temp.call() as c $$, '42501',
  'permission denied for function begin_fetch', 'nobody brings anything but the direct connection');
select tests.act_as_role('sluice_ingest');
select throws_ok($$ select private.begin_fetch(c.task_id, gen_random_uuid(), '{no,called}') from pg_temp.call() as c $$, 'PT409',
  'call of the worker function is over', 'and that for a call which is under way');
select throws_ok($$ select private.begin_fetch(c.task_id, c.token, '{number,called}') from pg_temp.call() as c $$, '22023',
  'mapping names an unknown column', 'with the columns that the mapping knows');
select tests.act_as('ann');
select pg_temp.bring('{no,called,more}', '[["1", "One", "x"], ["2", "Two", "x"]]', 'hash 1');
select is(pg_temp.work() ->> 'is_staged', 'true', 'a call that dies now is repeated, and finds all staged');
select is(pg_temp.answer('{}'), 'completed', 'its end is the validation''s beginning');
select is((select string_agg(c.name, ' ' order by c.name) from public.customers as c), 'One Two', 'and so on');
select is((select s.state from public.sync_sources as s), '{"etag": "\"1\"", "columns": ["no", "called", "more"], "row_count": 2, "content_hash": "hash 1"}',
  'what was found is known to the next run');
select is((select r.fetched - 'columns' from public.sync_runs as r), '{"status": 200, "etag": "\"1\"", "pages": 1, "bytes": 100, "row_count": 2, "content_hash": "hash 1"}',
  'and to this one');

-- Nothing new
select pg_temp.start('csv');
select is(pg_temp.work() -> 'conditions', '{"If-None-Match": "\"1\""}', 'which asks for what is newer');
select is(pg_temp.answer('{"status": 304, "unchanged": true}'), 'unchanged', 'and is told that there is nothing');
select pg_temp.start('csv');
select pg_temp.bring('{no,called,more}', '[["1", "One", "x"], ["2", "Two", "x"]]', 'hash 1');
select is(pg_temp.answer('{}'), 'unchanged', 'a source that cannot tell has the same bytes');
select is((select count(*) from public.import_batches), 1::bigint, 'of which nothing stays');
select pg_temp.start('csv', true);
select is(pg_temp.work() -> 'conditions', '{}', 'by force it asks for all');
select pg_temp.bring('{no,called,more}', '[["1", "One", "x"], ["2", "Two", "x"]]', 'hash 1');
select is(pg_temp.answer('{}'), 'completed', 'and has it applied again');

-- Page by page -------------------------------------------------------------------------------------------

select pg_temp.create_source('paged', '{"kind": "http_json", "options": {"path": "items", "next": "next"}}');
select pg_temp.start('paged');
select pg_temp.bring('{no,called}', '[["3", "Three"], ["4", "Four"]]', null, '{"next": "https://shop.example/2", "rows": 2}');
select is(pg_temp.work() -> 'state', '{"next": "https://shop.example/2", "rows": 2}', 'a call goes on where the one before it stopped');
select is((select b.status::text from public.import_batches as b where b.row_count is null), 'receiving', 'while the import still comes in');
select tests.act_as_role('postgres');
update public.import_batches as b set created_at = now() - interval '1 hour' where b.row_count is null;
select is(private.fail_interrupted_uploads(), 0::bigint, 'maintenance does not take it for an upload that broke off');
select tests.act_as('ann');
select throws_ok($$ select public.change_sync_source(tests.kept('paged'), '{"location": "https://other.example"}') $$, 'PT409',
  'source is being fetched', 'what is half here is not fetched from elsewhere');
select throws_ok($$ select public.change_sync_source(tests.kept('paged'), '{"options": {}}') $$, 'PT409',
  'source is being fetched', 'nor read in another way');
select lives_ok($$ select public.change_sync_source(tests.kept('paged'), '{"notes": "slow", "requires_approval": true}') $$, 'all else may change');
select public.change_sync_source(tests.kept('paged'), '{"requires_approval": false}');
select pg_temp.bring('{no,called,late}', '[["5", "Five", "x"]]', 'hash 2', null, 2);
select is(pg_temp.answer('{}'), 'completed', 'the last one ends it');
select is((select count(*) from public.customers), 5::bigint, 'with the rows of all');
select is((select b.sample from public.import_batches as b where b.row_count = 3), '[["3", "Three", null], ["4", "Four", null], ["5", "Five", "x"]]',
  'and the columns that came to light late');
select pg_temp.start('paged');
select is(pg_temp.work() -> 'conditions', '{}', 'the first page says nothing of the others');
select pg_temp.bring('{no,called}', '[["6", "Six"]]', null, '{"next": "https://shop.example/2", "rows": 1}');
select is(pg_temp.answer('{"code": "SY001", "message": "source is not data"}'), 'failed source_not_data', 'a page that is none fails the run');
select is((select count(*) from public.import_batches as b where b.status = 'receiving'), 0::bigint, 'and nothing of the others stays');
select tests.act_as_role('postgres');
select is_empty($$ select from private.import_rows as r where not exists (select from public.import_batches as b where b.id = r.batch_id) $$,
  'no row either');
select tests.act_as('ann');

-- Another owner meanwhile ------------------------------------------------------------------------------

select tests.act_as_role('postgres');
select tests.add_user('amy');
select tests.join_organization('amy', 'acme', 'admin');
select tests.act_as('ann');
select pg_temp.create_source('handed');
select pg_temp.start('handed');
select public.change_sync_source(tests.kept('handed'), jsonb_build_object('owner', tests.user_id('amy')));
select lives_ok($$ select pg_temp.bring('{no,called}', '[["1", "One"]]', 'hash h') $$, 'a call ends with the rights that it began with');
select is(pg_temp.answer('{}'), 'completed', 'and the run goes on with those of another owner');
select public.delete_sync_source(tests.kept('handed'));

-- What else goes wrong -----------------------------------------------------------------------------------

select public.delete_sync_secret('key');
select pg_temp.start('csv', true);
select is(public.get_sync_run(tests.kept('run')) #>> '{error,code}', 'secret_missing', 'without its secret a source is not asked');
select pg_temp.create_source('down');
select pg_temp.start('down');
select is(pg_temp.answer('{"code": "08001", "message": "source cannot be reached"}'), 'fetching', 'a source that is down is asked again');
select tests.act_as_role('postgres');
update public.sync_job_queue as q set next_attempt_at = clock_timestamp(), attempts = 3 where q.status = 'pending';
select tests.act_as('ann');
select tests.run_jobs();
select is(pg_temp.answer('{"code": "08001", "message": "source cannot be reached"}'), 'failed source_unreachable', 'and at last given up');
select throws_ok($$ select public.retry_job(r.job_id) from public.sync_runs as r where r.id = tests.kept('run') $$, 'PT409',
  'a sync is not started as a job', 'its job is not tried again: the source is run again');
select pg_temp.start('down');
select is(public.cancel_sync(tests.kept('run')) ->> 'status', 'cancelled', 'a fetch is cancelled');
select tests.act_as_role('service_role');
select public.set_setting('jobs.queued_per_organization', '1', tests.org_id('acme'));
select public.set_setting('jobs.running_per_organization', '1', tests.org_id('acme'));
select tests.act_as('ann');
select pg_temp.create_source('other');
select pg_temp.create_source('third');
select public.run_sync(tests.kept('down'));
select public.run_sync(tests.kept('other'));
select results_eq($$ select r ->> 'status', r #>> '{error,code}' from public.run_sync(tests.kept('third')) as r $$,
  $$ values ('failed', 'PT429') $$, 'where too many jobs wait a run fails, and says so');

-- Files of the organization ------------------------------------------------------------------------------

select pg_temp.create_source('stored', jsonb_build_object('kind', 'storage', 'location', tests.org_id('acme') || '/feeds/'));
select public.cancel_sync(r.id) from public.sync_runs as r where r.finished_at is null;
select pg_temp.start('stored');
select is(public.get_sync_run(tests.kept('run')) #>> '{error,code}', 'source_refused', 'a folder without a file is said so');
select tests.act_as_role('postgres');
insert into storage.buckets (id, name, public) values ('imports', 'imports', false) on conflict do nothing;
insert into storage.objects (bucket_id, name, updated_at, metadata)
select 'imports', tests.org_id('acme') || n.name, n.at, '{"eTag": "x", "size": 10}'
from (values ('/feeds/old.csv', now() - interval '2 days'), ('/feeds/new.csv', now()), ('/other.csv', now() + interval '1 day')) as n (name, at);
create function pg_temp.ingest()
returns void
language plpgsql
as $$
declare
  v_claims jsonb := current_setting('request.jwt.claims')::jsonb;
  v_call   public.sync_job_queue;
begin
  perform tests.act_as_role('postgres');
  select q.* into v_call from public.sync_job_queue as q join public.scheduled_jobs as j on j.id = q.job_id where j.job_type = 'ingest';
  perform tests.act_as_role('sluice_ingest');
  perform private.begin_range(v_call.id, v_call.token, 0);
  insert into private.import_rows (staged_on, batch_id, row_number, line_number, cells)
  select i.staged_on, (v_call.args ->> 'import_id')::uuid, 1, 2, '{7,Seven}' from private.begin_ingest((v_call.args ->> 'import_id')::uuid, '{no,called}', true) as i;
  perform private.advance_ingest(v_call.id, v_call.token, 0, 10, 1, '{}');
  perform tests.act_as_role('service_role');
  perform public.complete_worker_task(v_call.id, v_call.token,
    '{"columns": ["no", "called"], "sample": [["7", "Seven"]], "format": {"kind": "csv"}, "content_hash": "hash 7"}');
  perform tests.assume('authenticated', v_claims);
  perform tests.run_jobs();
end;
$$;
select tests.act_as('ann');
select pg_temp.start('stored');
select is((select b.storage_path from public.import_batches as b join public.sync_runs as r on r.import_id = b.id where r.id = tests.kept('run')),
  tests.org_id('acme') || '/feeds/new.csv', 'of a folder the newest file is read');
select is((select j.status::text from public.scheduled_jobs as j where j.job_type = 'ingest'), 'running', 'by a job like that of an upload');
select tests.act_as_role('postgres');
update public.sync_job_queue as q set args = jsonb_build_object('import_id', r.import_id) from public.sync_runs as r where r.id = tests.kept('run');
select tests.act_as('ann');
select pg_temp.ingest();
select is(public.get_sync_run(tests.kept('run')) ->> 'status', 'completed', 'after which it is a run like others');
select is((select c.name from public.customers as c where c.external_id = '7'), 'Seven', 'whose rows are applied');
select pg_temp.start('stored');
select is(public.get_sync_run(tests.kept('run')) ->> 'status', 'unchanged', 'once');
select pg_temp.start('stored', true);
select is(public.cancel_sync(tests.kept('run')) ->> 'status', 'cancelled', 'it is cancelled like others');
select is((select b.status::text from public.import_batches as b join public.sync_runs as r on r.import_id = b.id where r.id = tests.kept('run')),
  'cancelled', 'with its import');
select tests.act_as_role('postgres');
delete from storage.objects as o where o.bucket_id = 'imports' and o.name ~ '/feeds/';
select tests.act_as('ann');
select pg_temp.start('stored');
select is(public.get_sync_run(tests.kept('run')) ->> 'status', 'unchanged', 'a file that had its time is not missed');

-- Whose files: nobody has applied what they could not import themselves.
select tests.act_as_role('postgres');
create function pg_temp.feeders(p_source text)
returns text
language sql
security definer
as $$
  select string_agg(u.name, ' ' order by u.name)
  from public.sync_sources as s
  cross join unnest('{ann,max,vic,bob,otto,sid}'::text[]) as u (name)
  where s.id = tests.kept(p_source) and private.may_feed(s, tests.user_id(u.name)::text);
$$;
select tests.act_as('ann');
select pg_temp.create_source('mirrored', jsonb_build_object('kind', 'storage', 'mode', 'mirror', 'location', tests.org_id('acme') || '/feeds/'));
select pg_temp.create_source('people', jsonb_build_object('kind', 'storage', 'dataset', 'users', 'mapping', null,
  'location', tests.org_id('acme') || '/people/'));
select is(pg_temp.feeders('stored'), 'ann max sid', 'members feed what they could import');
select is(pg_temp.feeders('mirrored'), 'ann sid', 'admins what may delete');
select is(pg_temp.feeders('people'), 'ann sid', 'and people');
select tests.act_as_role('postgres');
update public.sync_sources as s set owner = tests.user_id('sid') where s.id = tests.kept('people');
select is(pg_temp.feeders('people'), 'sid', 'what has a system admin''s rights is fed by one');
insert into storage.objects (bucket_id, name, owner_id, metadata)
values ('imports', tests.org_id('acme') || '/feeds/of_max.csv', tests.user_id('max')::text, '{"size": 10}');
select tests.act_as('ann');
select pg_temp.start('mirrored');
select is(public.get_sync_run(tests.kept('run')) #>> '{error,message}', 'source has no file', 'the file of another is none');

select * from finish();
rollback;
