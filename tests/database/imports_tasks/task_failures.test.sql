-- What befalls a task as a whole: conflicts, cancellations, faults. Tried again or given up; nothing is applied twice.
begin;
select plan(37);
select tests.set_up_actors();

-- Records whose note is a SQLSTATE raise it, so many times.
create sequence private.strikes;
create function private.tg_customers__strike() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if coalesce(new.notes, '') ~ '^[0-9A-Z]{5} [0-9]+$'
    and nextval('private.strikes') <= split_part(new.notes, ' ', 2)::integer then
    raise exception using errcode = split_part(new.notes, ' ', 1), message = 'struck';
  elsif new.notes = 'refuse' then
    raise exception 'refused';
  end if;
  return new;
end $$;
create trigger _300_strike before insert
  or update on public.customers for each row execute function private.tg_customers__strike();
update public.sync_retry_policy set base_delay = '0 seconds', max_attempts = 3;

-- p_rows rows of one prefix; the row p_at has the note. Validated and committed until nothing is ready.
create function pg_temp.strike(p_name text, p_note text, p_rows integer default 5, p_at integer default 3,
  p_options jsonb default '{}') returns text language plpgsql as $$
begin
  perform setval('private.strikes', 1, false);
  perform tests.act_as('max');
  perform tests.keep(p_name, tests.stage_import('customers', '{external_id,name,notes}',
    (select jsonb_agg(jsonb_build_array(p_name || lpad(n::text, 5, '0'), 'x', case when n = p_at then p_note
      when n in (1, p_rows) and p_rows > 100 then 'refuse' end)) from generate_series(1, p_rows) as n),
      p_options => p_options));
  perform tests.run_import(tests.kept(p_name));
  perform tests.act_as_role('postgres');
  return public.get_import(tests.kept(p_name)) ->> 'status';
end $$;
create function pg_temp.errors(p_name text) returns text language sql as $$
  select string_agg(e.attempt || ' ' || e.sqlstate, ', ' order by e.id) from public.sync_error_log as e
    join public.scheduled_jobs as j on j.id = e.job_id where j.batch_id = tests.kept(p_name)
$$;
create function pg_temp.written(p_name text) returns bigint language sql as $$ select count(*)
  from public.customers as c where c.external_id like p_name || '%' $$;

-- Tried again
select is(pg_temp.strike('conflict', '40001 2'), 'completed', 'a serialization failure is tried again');
select is(pg_temp.errors('conflict'), '1 40001, 2 40001', 'each attempt is logged');
select is(tests.counts(tests.kept('conflict')), '{"rows": 5, "valid": 5, "inserted": 5}', 'and every row applied once');
select is(pg_temp.strike('deadlock', '40P01 1'), 'completed', 'so is a deadlock');
select is(pg_temp.strike('full', '53100 1'), 'completed', 'a full disk');
select is(pg_temp.strike('shutdown', '57P01 1'), 'completed', 'a shutdown');
select is(pg_temp.strike('fault', 'XX000 1'), 'completed', 'an internal error');
select is(pg_temp.strike('lock', '55P03 1'), 'completed', 'a lock that was not available');

-- Given up
select is(pg_temp.strike('always', '40001 99'), 'failed', 'one that does not end is given up');
select is(pg_temp.errors('always'), '1 40001, 2 40001, 3 40001', 'after its attempts');
select is(public.get_import(tests.kept('always')) -> 'error',
  '{"code": "40001", "message": "struck", "details": null, "hint": null}', 'the import says why');
select is(pg_temp.written('always'), 0::bigint, 'and nothing is written');
select is(pg_temp.strike('undefined', '42P01 1'), 'failed', 'a missing table fails at once');
select is(pg_temp.errors('undefined'), '1 42P01', 'without another attempt');
select is(pg_temp.strike('raised', 'P0001 99'), 'completed', 'what a trigger says about a row is the row''s');
select is(tests.counts(tests.kept('raised')), '{"rows": 5, "valid": 5, "failed": 1, "inserted": 4}', 'alone');
-- A failed one that wrote nothing can be validated again, and then goes through.
select tests.act_as('max');
select public.set_import_mapping(tests.kept('always'), '{"external_id": "external_id", "name": "name"}');
select is(tests.run_import(tests.kept('always')), 'completed',
  'a failed import of which nothing was applied can go again');
select tests.act_as_role('postgres');
select is(pg_temp.written('always'), 5::bigint, 'and is applied');

-- Cancelled
select is(pg_temp.strike('cancelled', '57014 1'), 'completed', 'a cancelled statement is tried again');
select is(pg_temp.errors('cancelled'), '1 57014', 'and logged');
select is(tests.counts(tests.kept('cancelled')), '{"rows": 5, "valid": 5, "inserted": 5}', 'every row once');
select is(pg_temp.strike('pieces', '57014 1', 1500, 700), 'completed', 'a large one in four pieces');
select is(tests.counts(tests.kept('pieces')), '{"rows": 1500, "valid": 1500, "failed": 2, "inserted": 1498}',
  'every row once');
select results_eq(
  $$ select o.from_row, o.to_row from private.import_outcomes as o where o.batch_id = tests.kept('pieces')
    order by 1 $$,
  $$ values (0, 375), (375, 750), (750, 1125), (1125, 1500) $$, 'with an outcome for each piece');
select is((select count(*) from public.list_import_rows(tests.kept('pieces'), 'inserted', 0, 1000)) + (select count(*)
  from public.list_import_rows(tests.kept('pieces'), 'inserted', 1001, 1000)),
  1498::bigint, 'all of them listed, over outcomes and pages');
select is(pg_temp.strike('always_slow', '57014 99', 1500, 700), 'failed', 'one that is always cancelled is given up');
select is((select max(e.attempt) from public.sync_error_log as e join public.scheduled_jobs as j on j.id = e.job_id
  where j.batch_id = tests.kept('always_slow')), 3::smallint, 'attempts count through the pieces');
select is((select count(*) from public.scheduled_jobs as j join public.sync_job_queue as q on q.job_id = j.id
  and q.status in ('pending', 'running') where j.batch_id = tests.kept('always_slow')), 0::bigint,
  'and nothing of it is left to run');

-- Among refused rows: what the windows prepared does not stay in the way.
select is(pg_temp.strike('windows', '40001 1', 200, 150), 'completed', 'a conflict after refused rows is tried again');
select is(tests.counts(tests.kept('windows')), '{"rows": 200, "valid": 200, "failed": 2, "inserted": 198}',
  'with the same refused rows');
select is_empty($$ select 1 from pg_prepared_statements as s where s.name = 'apply_rows' $$,
  'and nothing prepared is left');
select is(pg_temp.strike('windows_lost', '42P01 1', 200, 150), 'failed', 'a fault after refused rows fails the import');
select is(pg_temp.written('windows_lost'), 0::bigint, 'and takes back what its chunk had applied');
select is_empty($$ select 1 from public.list_import_issues(tests.kept('windows_lost')) $$, 'and its issues');
select is(pg_temp.strike('after', 'x', 200, 150), 'completed', 'what that left prepared does not harm the next');

-- A worker lost in mid-task: its work is gone, the next does it once.
select tests.act_as('max');
select tests.keep('lost', tests.stage_import('customers', '{external_id,name}', '[["lost1", "x"], ["lost2", "x"]]'));
select tests.run_import(tests.kept('lost'), false);
select public.commit_import(tests.kept('lost'));
select tests.act_as_role('postgres');
do $$
declare
  v_task bigint := private.claim_task();
begin
  perform pg_advisory_unlock(private.task_lock_key(v_task)); -- as its process ends
end $$;
select tests.run_jobs();
select is(tests.counts(tests.kept('lost')), '{"rows": 2, "valid": 2, "inserted": 2}',
  'a task that lost its worker is done by the next');
select is(pg_temp.errors('lost'), '1 57P01', 'which the log says');

select * from finish();
rollback;
