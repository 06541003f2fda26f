-- The four triggers of sync_progress, and who reads it.
begin;
select plan(24);
select tests.set_up_actors();

create function pg_temp.progress(p_name text)
returns table (elapsed numeric, speed numeric, eta numeric)
language sql
as $$
  select round(p.elapsed_seconds), round(p.speed_items_per_min), round(p.eta_seconds)
  from public.sync_progress as p where p.sync_id = p_name
$$;

-- update_sync_progress_elapsed -----------------------------------------------------------------------

insert into public.sync_progress (org_id, sync_id, entity_type, total_items, processed_count, started_at,
  elapsed_seconds, speed_items_per_min, eta_seconds)
values
  (tests.org_id('acme'), 'half', 'customer', 600, 300, clock_timestamp() - interval '60 seconds', 1, 2, 3),
  (tests.org_id('acme'), 'none', 'customer', 600, 0, clock_timestamp() - interval '60 seconds', 1, 2, 3),
  (tests.org_id('acme'), 'future', 'customer', 600, 10, clock_timestamp() + interval '60 seconds', 1, 2, 3);
select results_eq($$ select * from pg_temp.progress('half') $$, $$ values (60::numeric, 300::numeric, 60::numeric) $$,
  'half done in a minute: 300 a minute, a minute to go, whatever the insert said');
select results_eq($$ select * from pg_temp.progress('none') $$,
  $$ values (60::numeric, null::numeric, null::numeric) $$,
  'nothing done: no speed, no estimate');
select results_eq($$ select * from pg_temp.progress('future') $$,
  $$ values (0::numeric, null::numeric, null::numeric) $$,
  'a start that lies ahead is no negative time');
update public.sync_progress set processed_count = 450, speed_items_per_min = 1 where sync_id = 'half';
select results_eq($$ select * from pg_temp.progress('half') $$, $$ values (60::numeric, 450::numeric, 20::numeric) $$,
  'an update derives them again');
update public.sync_progress set started_at = clock_timestamp() - interval '90 seconds' where sync_id = 'half';
select results_eq($$ select * from pg_temp.progress('half') $$, $$ values (90::numeric, 300::numeric, 30::numeric) $$,
  'another start, too');

-- The end freezes the clock.
update public.sync_progress set status = 'completed', processed_count = 600 where sync_id = 'half';
select results_eq($$ select * from pg_temp.progress('half') $$, $$ values (90::numeric, 400::numeric, 0::numeric) $$,
  'at the end nothing is left to do');
select isnt((select completed_at from public.sync_progress where sync_id = 'half'), null, 'the end is stamped');
update public.sync_progress set completed_at = started_at + interval '100 seconds' where sync_id = 'half';
select is((select elapsed_seconds from public.sync_progress where sync_id = 'half'), 100::numeric,
  'elapsed time ends with it');
select is((select completed_at from public.sync_progress where sync_id = 'none'), null, 'who runs has no end');

-- validate_sync_progress_totals ----------------------------------------------------------------------

select lives_ok($$ update public.sync_progress set processed_count = 600, failed_count = 600 where sync_id = 'none' $$,
  'all processed and all failed fit together');
select throws_ok($$ update public.sync_progress set processed_count = 601 where sync_id = 'none' $$,
  '22023', 'progress counts do not fit together', 'no more is processed than there is');
select throws_ok($$ update public.sync_progress set processed_count = 5, failed_count = 6 where sync_id = 'none' $$,
  '22023', 'progress counts do not fit together', 'no more fails than is processed');
select throws_ok($$ update public.sync_progress set current_item = -1 where sync_id = 'none' $$,
  '22023', 'progress counts do not fit together', 'no count is negative');
select throws_ok(
  $$ insert into public.sync_progress (org_id, sync_id, entity_type, total_items) values (tests.org_id('acme'), 'bad',
    'other', -1) $$,
  '22023', 'progress counts do not fit together', 'neither at the start');

-- update_sync_progress_timestamp ---------------------------------------------------------------------

update public.sync_progress set updated_at = '2001-01-01' where sync_id = 'none';
select cmp_ok((select updated_at from public.sync_progress where sync_id = 'none'), '>', now() - interval '1 second',
  'updated_at is the trigger''s');

-- auto_log_sync_activity_on_progress_change ----------------------------------------------------------

select results_eq(
  $$ select l.org_id, l.entity_type::text, l.action::text, l.status::text, l.details - 'elapsed_seconds'
     from public.sync_activity_log as l where l.sync_id = 'half' $$,
  $$ values (tests.org_id('acme'), 'customer', 'completed', 'completed',
    '{"total": 600, "processed": 600, "failed": 0}'::jsonb) $$,
  'the end is logged, once');
update public.sync_progress set status = 'running' where sync_id = 'none';
select is_empty($$ select 1 from public.sync_activity_log as l where l.sync_id = 'none' $$, 'other changes are not');
update public.sync_progress set status = 'failed' where sync_id = 'none';
select results_eq($$ select l.action::text from public.sync_activity_log as l where l.sync_id = 'none' $$,
  array['failed'], 'a failure is');

-- Who reads ------------------------------------------------------------------------------------------

select tests.act_as('vic');
select isnt_empty($$ select 1 from public.sync_progress where sync_id = 'half' $$,
  'a viewer reads their organization''s progress');
select throws_ok($$ update public.sync_progress set processed_count = 0 where sync_id = 'half' $$,
  '42501', 'permission denied for table sync_progress', 'and changes nothing');
select tests.act_as('bob');
select is_empty($$ select 1 from public.sync_progress where sync_id = 'half' $$, 'a stranger reads none');
select tests.act_as_role('service_role');
select isnt_empty($$ select 1 from public.sync_progress where sync_id = 'half' $$, 'the service reads all');
select throws_ok($$ delete from public.sync_progress where sync_id = 'half' $$,
  '42501', 'permission denied for table sync_progress', 'and changes nothing either');
select tests.act_as_role('anon');
select throws_ok($$ select 1 from public.sync_progress $$, '42501', 'permission denied for table sync_progress',
  'anon reads nothing');

select * from finish();
rollback;
