-- Tasks that the worker function does: posted, answered once, given up when nobody answers.
begin;
select plan(70);
select tests.set_up_actors();

-- probe: its run function posts, its complete function does what the answer says.
create table private.probe_events (at bigint generated always as identity, event text, task_id bigint, sub uuid);
create function private.run_probe(p_task public.sync_job_queue) returns private.task_result language sql set search_path = '' as $$
  select private.post_task(p_task, 'probe', coalesce((p_task.args ->> 'patience')::interval, '1 minute'));
$$;
create function private.describe_probe(p_task public.sync_job_queue) returns jsonb language sql set search_path = '' as $$
  select jsonb_build_object('from', p_task.from_row, 'sub', auth.uid());
$$;
create function private.complete_probe(p_task public.sync_job_queue, p_result jsonb)
returns private.task_result
language plpgsql
set search_path = ''
as $$
begin
  insert into private.probe_events (event, task_id, sub) values ('completed ' || coalesce(p_result ->> 'word', '-'), p_task.id,
    auth.uid());
  if p_result ? 'raise' then
    raise exception using errcode = p_result ->> 'raise', message = 'told to';
  elsif p_result ? 'again' then
    return private.post_task(p_task, 'probe-again');
  end if;
  return row((p_result ->> 'done')::integer, 1);
end;
$$;
create function private.advance_probe(p_job public.scheduled_jobs) returns boolean language sql set search_path = '' as $$
  select true;
$$;
create function private.end_probe(p_job public.scheduled_jobs) returns void language sql set search_path = '' as $$
  insert into private.probe_events (event) values ('end ' || p_job.status);
$$;
insert into private.job_types values ('probe', 'private.run_probe', 'private.advance_probe', 'private.end_probe',
  'private.describe_probe', 'private.complete_probe');
insert into public.sync_retry_policy (job_type, max_attempts, base_delay, factor, max_delay, jitter)
values ('probe', 3, '10 seconds', 3, '25 seconds', 0);
insert into private.settings (key, value) values ('jobs.running_per_organization', '100');

create function pg_temp.job(p_name text, p_tasks integer default 1)
returns uuid
language plpgsql
as $$
declare
  v_job public.scheduled_jobs;
begin
  insert into public.scheduled_jobs (job_type, org_id, total_count)
  values ('probe', tests.org_id('acme'), 10000) returning * into v_job;
  perform private.enqueue_tasks(v_job, 'probe', 0, p_tasks, 1);
  perform tests.keep(p_name, v_job.id);
  return v_job.id;
end;
$$;
create function pg_temp.task(p_name text) returns public.sync_job_queue language sql as $$
  select q.* from public.sync_job_queue as q where q.job_id = tests.kept(p_name) order by q.id limit 1
$$;
-- The task's id and token, kept as call <name>: what the worker function was sent.
create temporary table calls (name text primary key, task_id bigint, token uuid);
grant select on calls to public;
create function pg_temp.keep_call(p_call text, p_name text) returns void language sql as $$
  insert into calls select p_call, t.id, t.token from pg_temp.task(p_name) as t;
$$;
create function pg_temp.job_status(p_name text) returns text language sql as $$
  select j.status::text from public.scheduled_jobs as j where j.id = tests.kept(p_name)
$$;
create function pg_temp.run_out(p_name text) returns void language sql as $$
  update public.sync_job_queue set next_attempt_at = clock_timestamp() where job_id = tests.kept(p_name)
$$;
create function pg_temp.errors(p_name text) returns text language sql as $$
  select string_agg(e.attempt || ' ' || e.sqlstate || ' ' || e.message, ', ' order by e.id)
  from public.sync_error_log as e where e.job_id = tests.kept(p_name)
$$;
-- What the worker function says, as it says it; the claims of the job are the RPC's affair.
create function pg_temp.complete(p_call text, p_result jsonb default '{"done": 1}') returns boolean language plpgsql as $$
declare
  v_call  calls := (select c from calls as c where c.name = p_call);
  v_taken boolean;
begin
  perform tests.act_as_role('service_role');
  v_taken := public.complete_worker_task(v_call.task_id, v_call.token, p_result);
  perform tests.act_as_role('postgres');
  return v_taken;
end $$;
create function pg_temp.fail(p_call text, p_code text, p_retry_after integer default null) returns void language plpgsql as $$
declare
  v_call calls := (select c from calls as c where c.name = p_call);
begin
  perform tests.act_as_role('service_role');
  perform public.fail_worker_task(v_call.task_id, v_call.token, jsonb_build_object('code', p_code, 'message', 'no luck'), p_retry_after);
  perform tests.act_as_role('postgres');
end $$;

-- Posting ----------------------------------------------------------------------------------------------

select tests.assume('postgres', jsonb_build_object('sub', tests.user_id('max'), 'role', 'authenticated'));
select pg_temp.job('good');
select tests.act_as_role('postgres');
select is(tests.run_jobs(), 1, 'the task is claimed and posted');
select pg_temp.keep_call('good', 'good');
select results_eq(
  $$ select t.status::text, t.attempts, t.token is not null,
    t.next_attempt_at between clock_timestamp() + interval '55 seconds' and clock_timestamp() + interval '60 seconds'
    from pg_temp.task('good') as t $$,
  $$ values ('pending', 1::smallint, true, true) $$, 'and waits for the answer, so long as was said');
select results_eq(
  $$ select r.method collate "default", r.url like '%/functions/v1/worker/probe', r.headers ->> 'apikey' = s.decrypted_secret,
    convert_from(r.body, 'utf8')::jsonb = to_jsonb(c) - 'name'
    from net.http_request_queue as r cross join vault.decrypted_secrets as s cross join calls as c
    where s.name = 'sluice/worker_key' $$,
  $$ values ('POST', true, true, true) $$, 'the request holds the key, the task and its token, and nothing else');
select is(pg_temp.job_status('good'), 'running', 'the job runs meanwhile');
select is(tests.run_jobs(), 0, 'nobody claims the task while the call is on its way');

-- Who may ----------------------------------------------------------------------------------------------

select tests.act_as_role('service_role');
select is(
  (select public.get_worker_task(c.task_id, c.token) from calls as c),
  jsonb_build_object('job_id', tests.kept('good'), 'job_type', 'probe', 'org_id', tests.org_id('acme'), 'task_type', 'probe',
    'attempt', 1, 'args', '{}'::jsonb, 'work', jsonb_build_object('from', 0, 'sub', tests.user_id('max'))),
  'the service key learns what the task is, as its actor sees it');
select tests.act_as_role('service_role');
select throws_ok($$ select public.get_worker_task(c.task_id, gen_random_uuid()) from calls as c $$,
  'PT409', 'call of the worker function is over', 'not with another token');
select throws_ok($$ select public.get_worker_task(c.task_id, null) from calls as c $$,
  'PT409', 'call of the worker function is over', 'nor without one');
select throws_ok($$ select public.complete_worker_task(c.task_id, gen_random_uuid(), '{}') from calls as c $$,
  'PT409', 'call of the worker function is over', 'with another token nothing is completed');
select throws_ok($$ select public.fail_worker_task(c.task_id, gen_random_uuid(), '{"code": "08006", "message": "x"}') from calls as c $$,
  'PT409', 'call of the worker function is over', 'nor failed');
select throws_ok($$ select public.complete_worker_task(0, gen_random_uuid(), '{}') $$,
  'PT409', 'call of the worker function is over', 'a task that is gone is the same');
select throws_ok($$ select private.hold_call(c.task_id, c.token) from calls as c $$,
  '42501', 'permission denied for function hold_call', 'the service key reaches the task through the RPCs alone');
select throws_ok($$ select q.token from public.sync_job_queue as q $$,
  '42501', 'permission denied for table sync_job_queue', 'tokens are shown to nobody');
select tests.act_as('ann');
select throws_ok($$ select public.get_worker_task(c.task_id, c.token) from calls as c $$,
  '42501', 'permission denied for function get_worker_task', 'people, admins too, ask nothing of tasks');
select throws_ok($$ select public.complete_worker_task(c.task_id, c.token, '{}') from calls as c $$,
  '42501', 'permission denied for function complete_worker_task', 'complete none');
select throws_ok($$ select public.fail_worker_task(c.task_id, c.token, '{}') from calls as c $$,
  '42501', 'permission denied for function fail_worker_task', 'and fail none');
select throws_ok($$ select private.post_to_worker('probe', '{}') $$,
  '42501', 'permission denied for function post_to_worker', 'nor do they post anything');
select throws_ok($$ select public.set_setting('worker.url', '"https://evil.example"') $$,
  '42501', 'setting is not the caller''s to change', 'or say where to');
select tests.act_as_role('service_role');
select throws_ok($$ select public.set_setting('worker.url', '"https://evil.example"') $$,
  '42501', 'setting is not the caller''s to change', 'which the service key does not say either');
select tests.act_as_role('postgres');

-- Answers ----------------------------------------------------------------------------------------------

select is(pg_temp.complete('good', '{"done": 7, "word": "well"}'), true, 'the answer is taken');
select results_eq($$ select e.event, e.sub from private.probe_events as e order by e.at $$,
  $$ values ('completed well', tests.user_id('max')), ('end completed', null) $$, 'as the actor, and the job moves on');
select is((select row(j.status, j.done_count, j.failed_count)::text from public.scheduled_jobs as j where j.id = tests.kept('good')),
  '(completed,7,1)', 'what it says is counted');
select throws_ok($$ select pg_temp.complete('good') $$, 'PT409', 'call of the worker function is over',
  'the same answer again changes nothing');
select tests.act_as_role('postgres');
select is((select count(*) from private.probe_events), 2::bigint, 'nothing at all');

-- A complete function that fails
select pg_temp.job('bad');
select tests.run_jobs();
select pg_temp.keep_call('bad', 'bad');
delete from private.probe_events;
select is(pg_temp.complete('bad', '{"raise": "40001"}'), false, 'an answer that cannot be taken is said so');
select is(pg_temp.errors('bad'), '1 40001 told to', 'and is a failed attempt');
select is((select count(*) from private.probe_events), 0::bigint, 'of which nothing stays');
select is((select row(t.status, t.token is null)::text from pg_temp.task('bad') as t), '(pending,t)',
  'the task is tried again');
select is((select round(extract(epoch from t.next_attempt_at - clock_timestamp())) from pg_temp.task('bad') as t), 10::numeric,
  'after the delay of the policy');
select throws_ok($$ select pg_temp.complete('bad') $$, 'PT409', 'call of the worker function is over',
  'its old token is worth nothing');
select tests.act_as_role('postgres');

-- Failures that are reported
select pg_temp.run_out('bad');
select tests.run_jobs();
select pg_temp.keep_call('bad 2', 'bad');
select pg_temp.fail('bad 2', '08006', 300);
select is(pg_temp.errors('bad'), '1 40001 told to, 2 08006 no luck', 'a reported failure is a failed attempt');
select is((select round(extract(epoch from t.next_attempt_at - clock_timestamp())) from pg_temp.task('bad') as t), 300::numeric,
  'the next waits as long as the function asks');
select pg_temp.run_out('bad');
select tests.run_jobs();
select pg_temp.keep_call('bad 3', 'bad');
select pg_temp.fail('bad 3', '08006', 1);
select is(pg_temp.job_status('bad'), 'failed', 'after all attempts the job has failed');
select is((select row(t.status, t.token is null)::text from pg_temp.task('bad') as t), '(failed,t)', 'its task a dead letter');
select pg_temp.job('unhurried');
select tests.run_jobs();
select pg_temp.keep_call('unhurried', 'unhurried');
select pg_temp.fail('unhurried', '08006');
select is((select round(extract(epoch from t.next_attempt_at - clock_timestamp())) from pg_temp.task('unhurried') as t), 10::numeric,
  'where it asks for no time the policy says how long');
select pg_temp.job('hopeless');
select tests.run_jobs();
select pg_temp.keep_call('hopeless', 'hopeless');
select pg_temp.fail('hopeless', '22023');
select is(pg_temp.job_status('hopeless'), 'failed', 'what another attempt cannot mend fails at once');
select tests.act_as_role('service_role');
select throws_ok($$ select public.fail_worker_task(1, gen_random_uuid(), '{"code": "oops", "message": "x"}') $$,
  '22023', 'error must have a code and a message', 'an error without SQLSTATE is malformed');
select throws_ok($$ select public.fail_worker_task(1, gen_random_uuid(), '{"code": "08006", "message": "x"}', -1) $$,
  '22023', 'retry_after_seconds must not be negative', 'and so is a wait that is over before it begins');
select tests.act_as_role('postgres');

-- No answer --------------------------------------------------------------------------------------------

select pg_temp.job('silent');
select tests.run_jobs();
select pg_temp.keep_call('silent 1', 'silent');
select pg_temp.run_out('silent');
select is(tests.run_jobs(), 1, 'a task whose call is not answered in time is claimed');
select is(pg_temp.errors('silent'), '1 08006 worker function did not answer', 'which is a failed attempt');
select pg_temp.keep_call('silent 2', 'silent');
select isnt((select c.token from calls as c where c.name = 'silent 2'), (select c.token from calls as c where c.name = 'silent 1'),
  'and posted with a new token');
select throws_ok($$ select pg_temp.complete('silent 1') $$, 'PT409', 'call of the worker function is over',
  'the answer that comes late changes nothing');
select tests.act_as_role('postgres');
select pg_temp.run_out('silent');
select tests.run_jobs();
select pg_temp.run_out('silent');
select is(tests.run_jobs(), 0, 'one that is never answered is not claimed for ever');
select results_eq($$ select pg_temp.job_status('silent'), j.error ->> 'message' from public.scheduled_jobs as j
  where j.id = tests.kept('silent') $$, $$ values ('failed', 'worker function did not answer') $$, 'its job fails and says why');
select is((select count(*) from public.sync_error_log as e where e.job_id = tests.kept('silent')), 3::bigint, 'every attempt is logged');

-- Later than it should be, but nobody has taken the task back yet
select pg_temp.job('late');
select tests.run_jobs();
select pg_temp.keep_call('late', 'late');
select pg_temp.run_out('late');
select is(pg_temp.complete('late'), true, 'an answer that comes before the task is taken back is taken');

-- One call after the other
select pg_temp.job('chain');
select tests.run_jobs();
select pg_temp.run_out('chain');
select tests.run_jobs();
select pg_temp.keep_call('chain 1', 'chain');
select is(pg_temp.complete('chain 1', '{"again": true}'), true, 'a complete function may post the next step');
select pg_temp.keep_call('chain 2', 'chain');
select is((select row(t.status, t.attempts, t.token is not null)::text from pg_temp.task('chain') as t), '(pending,1,t)',
  'which has all its attempts');
select is((select count(*) from net.http_request_queue as r where r.url like '%/probe-again'), 1::bigint, 'and is posted');
select is((select (private.hold_call(c.task_id, c.token)).id = c.task_id from calls as c where c.name = 'chain 2'), true,
  'a step over the direct connection holds the task of its call');
select lives_ok($$ select private.repost_task(c.task_id, c.token, 'probe-third') from calls as c where c.name = 'chain 2' $$,
  'and posts the next itself');
select throws_ok($$ select private.repost_task(c.task_id, c.token, 'probe-third') from calls as c where c.name = 'chain 2' $$,
  'PT409', 'call of the worker function is over', 'once');
select pg_temp.keep_call('chain 3', 'chain');
select is(pg_temp.complete('chain 3'), true, 'the last answer ends it');
select is(pg_temp.job_status('chain'), 'completed', 'and the job');

-- Steps of a job that does not run any more: the next one is not posted.
select pg_temp.job('steps');
select tests.run_jobs();
select pg_temp.keep_call('steps', 'steps');
select private.pause_job(tests.kept('steps'));
select pg_temp.job('other');
select set_config('tests.posts', (select count(*)::text from net.http_request_queue), true);
select private.repost_task(c.task_id, c.token, 'probe-step') from calls as c where c.name = 'steps';
select is((select (t.status, t.token, t.attempts)::text from pg_temp.task('steps') as t), '(held,,0)', 'the next step of a paused job waits');
update private.settings set value = '1' where key = 'jobs.running_per_organization';
select private.resume_job(tests.kept('steps'));
select is(pg_temp.job_status('steps'), 'queued', 'resumed, it queues where others run');
update public.sync_job_queue set token = gen_random_uuid(), next_attempt_at = clock_timestamp() + interval '3 minutes' where job_id = tests.kept('steps');
select private.repost_task(t.id, t.token, 'probe-step') from pg_temp.task('steps') as t;
select is((select (t.status, t.token)::text from pg_temp.task('steps') as t) || ' ' || pg_temp.job_status('steps'), '(held,) queued',
  'a job that queues again has no next step before its turn');
select is((select count(*)::text from net.http_request_queue), current_setting('tests.posts'), 'none of them is posted');
update private.settings set value = '100' where key = 'jobs.running_per_organization';
select private.release_queued_jobs(tests.org_id('acme'));
select is((select (t.status, t.next_attempt_at <= clock_timestamp())::text from pg_temp.task('steps') as t), '(pending,t)', 'which then is taken at once');
select private.pause_job(tests.kept('steps'));
update public.sync_job_queue set token = gen_random_uuid() where job_id = tests.kept('steps');
update public.scheduled_jobs set cancel_requested_at = clock_timestamp() where id = tests.kept('steps'); -- while the call holds the task
select private.repost_task(t.id, t.token, 'probe-step') from pg_temp.task('steps') as t;
select is(pg_temp.job_status('steps'), 'cancelled', 'a paused job that was cancelled meanwhile ends with the step');
select private.cancel_job(tests.kept('other'));

-- Jobs that are stopped while a call is on its way -----------------------------------------------------------

select pg_temp.job('paused');
select tests.run_jobs();
select pg_temp.keep_call('paused', 'paused');
select private.pause_job(tests.kept('paused'));
select is(pg_temp.complete('paused'), true, 'a paused job takes the answer of what is in flight');
select pg_temp.job('cancelled');
select tests.run_jobs();
select pg_temp.keep_call('cancelled', 'cancelled');
select private.cancel_job(tests.kept('cancelled'));
select is(pg_temp.job_status('cancelled'), 'cancelled', 'a cancelled one does not wait for it');
select throws_ok($$ select pg_temp.complete('cancelled') $$, 'PT409', 'call of the worker function is over', 'nor take it');
select tests.act_as_role('postgres');
select pg_temp.job('failing', 2);
select tests.run_jobs();
select pg_temp.keep_call('failing', 'failing');
update public.sync_job_queue as q set token = gen_random_uuid() where q.job_id = tests.kept('failing')
  and q.id <> (select c.task_id from calls as c where c.name = 'failing');
insert into calls select 'other', q.id, q.token from public.sync_job_queue as q
  where q.job_id = tests.kept('failing') order by q.id desc limit 1;
select pg_temp.fail('other', 'P0001');
select is(pg_temp.job_status('failing'), 'failed', 'one whose other task was given up has failed');
select throws_ok($$ select pg_temp.complete('failing') $$, 'PT409', 'call of the worker function is over',
  'and keeps what was in flight for a retry');
select tests.act_as_role('postgres');

-- Not set up -------------------------------------------------------------------------------------------

select pg_temp.job('unset');
update private.settings set value = '""' where key = 'worker.url';
select tests.run_jobs();
select results_eq(
  $$ select e.sqlstate, e.message, e.detail from public.sync_error_log as e where e.job_id = tests.kept('unset') $$,
  $$ values ('55000', 'worker function is not set up', 'setting worker.url is empty') $$, 'without an address the attempt fails and says so');
select is((select q.token from public.sync_job_queue as q where q.job_id = tests.kept('unset')), null, 'with no call on its way');
update private.settings set value = '"https://example.test/functions/v1/worker/"' where key = 'worker.url';
delete from vault.secrets where name = 'sluice/worker_key';
select throws_ok($$ select private.post_to_worker('probe', '{}') $$, '55000', 'worker function is not set up',
  'no more is it posted without a key');
select vault.create_secret('a key', 'sluice/worker_key');
select private.post_to_worker('probe', '{}', '7 seconds');
select is((select r.url || ' ' || (r.headers ->> 'apikey') from net.http_request_queue as r where r.timeout_milliseconds = 7000),
  'https://example.test/functions/v1/worker/probe a key', 'with both it goes where the setting says');
select tests.act_as('ann');
select throws_ok($$ select s.decrypted_secret from vault.decrypted_secrets as s $$, '42501', 'permission denied for schema vault',
  'people do not read what is in Vault');

select * from finish();
rollback;
