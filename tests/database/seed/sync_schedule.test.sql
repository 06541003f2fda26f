-- What the first description of the system verifies of sync_schedule, with the names that it has here.
begin;
select plan(4);

select has_table('public', 'sync_schedule', 'the table is there');
select is((select c.relrowsecurity from pg_class as c where c.oid = 'public.sync_schedule'::regclass), true,
  'it has row level security');
select results_eq(
  $$ select p.polcmd::text from pg_policy as p where p.polrelid = 'public.sync_schedule'::regclass order by 1 $$,
  array['a', 'd', 'r', 'w'], 'and four policies, one a command');
select is((select count(*) from pg_trigger as t where t.tgrelid = 'public.sync_schedule'::regclass and not t.tgisinternal),
  2::bigint, 'triggers stamp it and take its job from pg_cron');

select * from finish();
rollback;
