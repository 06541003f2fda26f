-- Whose turn it is: the organization that had the least of the workers' time, within bounds.
begin;
select plan(10);
select tests.set_up_actors();
insert into private.settings (key, value) values ('jobs.running_per_organization', '100');

-- nap: a task takes as many milliseconds as params say.
create table private.naps (at bigint generated always as identity, org_id uuid);
create function private.run_nap(p_task public.sync_job_queue) returns private.task_result language plpgsql set search_path = '' as $$
begin
  insert into private.naps (org_id) values (p_task.org_id);
  perform pg_sleep((select (j.params ->> 'ms')::numeric from public.scheduled_jobs as j where j.id = p_task.job_id)::double precision / 1000);
  return row(1, 0);
end $$;
create function private.advance_nap(p_job public.scheduled_jobs) returns boolean language sql set search_path = '' as $$ select true $$;
create function private.end_nap(p_job public.scheduled_jobs) returns void language sql set search_path = '' as $$ select $$;
insert into private.job_types values ('nap', 'private.run_nap', 'private.advance_nap', 'private.end_nap');
insert into public.sync_retry_policy (job_type) values ('nap');
create function pg_temp.naps(p_org text, p_ms integer, p_count integer) returns void language plpgsql as $$
declare
  v_job public.scheduled_jobs;
begin
  insert into public.scheduled_jobs (job_type, org_id, params, total_count)
  values ('nap', tests.org_id(p_org), jsonb_build_object('ms', p_ms), p_count) returning * into v_job;
  perform private.enqueue_tasks(v_job, 'nap', 0, p_count, 1);
end $$;
-- How far an organization's clock is from the present, in tenths of a second.
create function pg_temp.clock(p_org text) returns numeric language sql as $$
  select round(extract(epoch from t.served_until - clock_timestamp())::numeric, 1) from private.organization_turns as t where t.org_id = tests.org_id(p_org)
$$;
-- The turns so far, a letter each.
create function pg_temp.turns() returns text language sql as $$
  select string_agg(case n.org_id when tests.org_id('acme') then 'a' else 'b' end, '' order by n.at) from private.naps as n
$$;

select pg_temp.naps('acme', 0, 3), pg_temp.naps('bolt', 0, 3);
select tests.run_jobs(2);
select is(pg_temp.turns() in ('ab', 'ba'), true, 'who had nothing comes first, each once');
select tests.run_jobs();
delete from private.naps;
delete from private.organization_turns;

select pg_temp.naps('acme', 100, 3);
select tests.run_jobs(1);
select cmp_ok(pg_temp.clock('acme'), '>=', -10.0, 'a task is charged with the time that it took');
select cmp_ok(pg_temp.clock('acme'), '<=', -9.5, 'and no more');
update private.organization_turns set served_until = clock_timestamp() + interval '5 seconds';
select pg_temp.naps('bolt', 0, 5);
select tests.run_jobs();
select is(pg_temp.turns(), 'abbbbbaa', 'one with short tasks does not wait for each of them behind the long ones of another');

-- Within bounds
delete from private.naps;
update private.organization_turns set served_until = clock_timestamp() - interval '1 hour' where org_id = tests.org_id('acme');
update private.organization_turns set served_until = clock_timestamp() where org_id = tests.org_id('bolt');
select pg_temp.naps('acme', 0, 1);
select tests.run_jobs();
select cmp_ok(pg_temp.clock('acme'), '>=', -10.5, 'who had nothing for an hour has ten seconds ahead');
update private.organization_turns set served_until = clock_timestamp() + interval '1 hour' where org_id = tests.org_id('acme');
select pg_temp.naps('acme', 0, 1);
select tests.run_jobs();
select cmp_ok(pg_temp.clock('acme'), '<=', 10.5, 'who had much is ten behind');

-- While a task runs it counts as a second.
delete from private.organization_turns;
select pg_temp.naps('acme', 0, 2);
select isnt(private.claim_task(), null, 'a task in flight');
select is(pg_temp.clock('acme'), -9.0, 'counts before it is known what it takes');
select pg_temp.naps('bolt', 0, 1);
delete from private.naps;
update public.sync_job_queue set next_attempt_at = 'infinity' where status = 'running'; -- out of this session's sight
select tests.run_jobs(1);
select is(pg_temp.turns(), 'b', 'so two workers do not both take from one, while another waits');
select pg_advisory_unlock_all();
update public.sync_job_queue set next_attempt_at = clock_timestamp();
select tests.run_jobs();
select is(pg_temp.turns(), 'baa', 'and everyone comes to their end');

select * from finish();
rollback;
