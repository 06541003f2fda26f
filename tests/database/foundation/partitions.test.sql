-- Partitions: made ahead, in private; rows from the default partition move in; dropped by age.
begin;
select plan(19);

create table public.logs (at timestamptz not null, id uuid not null default gen_random_uuid(), text text,
  primary key (at, id)) partition by range (at);
create table public.weeks (on_day date not null, n bigint generated always as identity,
  primary key (on_day, n)) partition by range (on_day);

select private.create_partitions('public.logs', 'month', 2);
select results_eq(
  $$ select i.inhrelid::regclass::text from pg_inherits as i where i.inhparent = 'public.logs'::regclass order by 1 $$,
  $$ select 'private.logs_default' union all
     select 'private.logs_' || to_char(date_trunc('month', current_date) + (n || ' month')::interval, '"y"YYYY"m"MM')
       from generate_series(0, 2) as n $$,
  'this month, two to come and the default');
select lives_ok($$ select private.create_partitions('public.logs', 'month', 2) $$, 'a second time');
select is((select count(*) from pg_inherits as i where i.inhparent = 'public.logs'::regclass), 4::bigint,
  'makes nothing new');

insert into public.logs (at, text) values (now(), 'now'), (now() + interval '3 months', 'later'),
  (now() - interval '1 year', 'old');
select results_eq($$ select text from private.logs_default order by at $$, array['old', 'later'],
  'what has no partition goes to the default one');
select private.create_partitions('public.logs', 'month', 3);
select is_empty($$ select text from private.logs_default $$, 'a new partition takes its rows out of it, one of long ago, too');
select is((select tableoid::regclass::text from public.logs where text = 'old'),
  'private.logs_' || to_char(now() - interval '1 year', '"y"YYYY"m"MM'), 'those of its own month');
select is((select count(*) from public.logs), 3::bigint, 'none is lost');
insert into public.logs (at, text) values ('infinity', 'never');
select lives_ok($$ select private.create_partitions('public.logs', 'month', 3) $$, 'what has no month stays where it is');
select isnt((select tableoid::regclass::text from public.logs where text = 'later'), 'private.logs_default',
  'they are in it');

select private.create_partitions('public.weeks', 'week', 1);
select results_eq(
  $$ select pg_get_expr(c.relpartbound, c.oid) collate "default" from pg_inherits as i
    join pg_class as c on c.oid = i.inhrelid
     where i.inhparent = 'public.weeks'::regclass and c.relname !~ 'default' order by c.relname $$,
  $$ select format('FOR VALUES FROM (%L) TO (%L)', (date_trunc('week', current_date) + n * interval '1 week')::date,
    (date_trunc('week', current_date) + (n + 1) * interval '1 week')::date)
     from generate_series(0, 1) as n $$,
  'weeks begin on Monday');
insert into public.weeks (on_day) values (current_date), (current_date + 14), (current_date + 14);
select private.create_partitions('public.weeks', 'week', 2);
select results_eq($$ select n from public.weeks order by n $$, array[1, 2, 3]::bigint[],
  'moved rows keep their identity');
select lives_ok($$ insert into public.weeks (on_day) values (current_date + 14) $$, 'and it goes on');
select is((select max(n) from public.weeks), 4::bigint, 'from one sequence');

-- Drop
select is(private.drop_partitions('public.weeks', (date_trunc('week', current_date) + interval '6 days')::date), '{}',
  'a partition that is not over stays');
select is(
  private.drop_partitions('public.weeks', (date_trunc('week', current_date) + interval '1 week')::date),
  array['private.weeks_' || to_char(current_date, '"y"IYYY"w"IW')], 'one that is over is dropped and named');
select is((select count(*) from public.weeks), 3::bigint, 'with its rows');
select is(private.drop_partitions('public.weeks', (current_date + 1000)::date) @> '{private.weeks_default}', false,
  'the default partition is never dropped');

-- Sluice's own
select is(
  (select count(*) from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
    join pg_namespace as n on n.oid = c.relnamespace
   where i.inhparent in ('public.sync_activity_log'::regclass, 'private.import_rows'::regclass,
     'private.import_issues'::regclass, 'private.import_outcomes'::regclass)
     and n.nspname <> 'private'),
  0::bigint, 'all partitions live in private');
select is(
  (select bool_and(to_regclass(format('private.%s_%s', t, to_char(current_date + w * 7, '"y"IYYY"w"IW'))) is not null)
   from unnest('{import_rows,import_issues,import_outcomes}'::text[]) as t cross join generate_series(0, 3) as w),
  true, 'the three import tables have this week''s and three to come');

select * from finish();
rollback;
