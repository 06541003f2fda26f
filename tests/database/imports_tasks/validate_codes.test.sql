-- What validation finds in rows, code by code.
begin;
select plan(31);
select tests.set_up_actors();

-- gauges: a column of each kind of type, rules of each kind, CHECKs of every sort.
create type public.gauge_state as enum ('on', 'off', 'it''s broken');
create table public.gauges (
  id        uuid primary key default gen_random_uuid(),
  org_id    uuid not null references public.organization (id),
  tag       text not null,
  name      varchar(8) not null,
  small     smallint,
  whole     integer check (whole between -5 and 100),
  exact     numeric(5,2),
  rough     double precision,
  day       date,
  moment    timestamptz,
  clock     time,
  is_on     boolean,
  state     public.gauge_state,
  detail    jsonb,
  mail      text,
  site      text,
  tel       text,
  other_id  text,
  zone      text check (zone ~ '^[a-z]+$'),
  kind      text check (kind in ('a', 'b''c', 'd,e')),
  code      text,
  value     integer,
  lowest    integer,
  highest   integer,
  constraint gauges_org_id_tag_key unique (org_id, tag),
  constraint gauges_order_check check (lowest <= highest),
  -- columns named as validation names its own
  constraint gauges_code_check check (upper(code) = code and code <> 'NO')
);
alter table public.gauges enable row level security;
create policy gauges_all on public.gauges to authenticated
  using (org_id = any (array(select private.org_ids('member'))));
grant select, insert, update, delete on public.gauges to authenticated, service_role;
select private.register_dataset('gauges', 'public.gauges', '{tag}');
update public.dataset_fields set rules = rules || case name
  when 'mail' then '{"format": "email"}'::jsonb
  when 'site' then '{"format": "url"}'
  when 'tel' then '{"format": "phone"}'
  when 'other_id' then '{"format": "uuid"}'
  when 'rough' then '{"min": -1.5, "max": 2.5}'
  when 'zone' then '{"min_length": 3, "max_length": 5}'
  else '{}'
end
where dataset = 'gauges';

-- One cell in a row of its own: every issue that it gets, as field:code[:sqlstate], or ok.
create function pg_temp.judge(p_field text, p_value text, p_mapping jsonb default '{}')
returns text
language plpgsql
as $$
declare
  v_id uuid;
begin
  v_id := tests.stage_import('gauges', '{T,N,X}', jsonb_build_array(jsonb_build_array('T1', 'one', p_value)),
    p_mapping => jsonb_build_object('tag', 'T', 'name', 'N', p_field, 'X') || p_mapping);
  if tests.run_import(v_id, false) <> 'validated' then
    return public.get_import(v_id) ->> 'error';
  end if;
  return coalesce((
    select string_agg(concat_ws(':', i.field, i.code), ' ' order by i.code) from public.list_import_issues(v_id) as i
  ), 'ok');
end;
$$;

select tests.act_as('max');

select is(pg_temp.judge('small', '32767'), 'ok', 'a smallint in its range is taken');
select is(pg_temp.judge('small', '32768'), 'small:out_of_range', 'a smallint over its range is out_of_range');

select results_eq(
  $$ select v, pg_temp.judge('whole', v) from unnest('{+7,-5,100,101,-6,1.5,0x1F,1_000,12a,"1 2"}'::text[]) as v $$,
  $$ values
    ('+7', 'ok'), ('-5', 'ok'), ('100', 'ok'), ('101', 'whole:out_of_range'), ('-6', 'whole:out_of_range'),
    ('1.5', 'whole:invalid_type'), ('0x1F', 'whole:invalid_type'), ('1_000', 'whole:invalid_type'),
    ('12a', 'whole:invalid_type'), ('1 2', 'whole:invalid_type') $$,
  'whole numbers are digits with a sign; a CHECK between is a range');
select is(pg_temp.judge('whole', '99999999999'), 'whole:out_of_range',
  'a number too large for integer is out_of_range');

select results_eq(
  $$ select v, pg_temp.judge('exact', v) from unnest('{1,-.5,1e2,999.99,1000,NaN,"1,5",abc}'::text[]) as v $$,
  $$ values
    ('1', 'ok'), ('-.5', 'ok'), ('1e2', 'ok'), ('999.99', 'ok'), ('1000', 'exact:out_of_range'),
    ('NaN', 'exact:invalid_type'), ('1,5', 'exact:invalid_type'), ('abc', 'exact:invalid_type') $$,
  'numbers obey precision, and NaN is none');

select results_eq(
  $$ select v, pg_temp.judge('rough', v) from unnest('{-1.5,2.5,-1.51,2.6,1e999,Infinity}'::text[]) as v $$,
  $$ values ('-1.5', 'ok'), ('2.5', 'ok'), ('-1.51', 'rough:out_of_range'), ('2.6', 'rough:out_of_range'),
    ('1e999', 'rough:out_of_range'),
    ('Infinity', 'rough:invalid_type') $$,
  'min and max bound a number, and Infinity is none');

select results_eq(
  $$ select v, pg_temp.judge('day', v)
    from unnest('{2024-02-29,2024-1-5,2023-02-29,today,infinity,01/02/2024,20240105,2024-01-05T00:00,epoch}'::text[]) as v $$,
  $$ values
    ('2024-02-29', 'ok'), ('2024-1-5', 'ok'), ('2023-02-29', 'day:invalid_type'), ('today', 'day:invalid_type'),
    ('infinity', 'day:invalid_type'), ('01/02/2024', 'day:invalid_type'), ('20240105', 'day:invalid_type'),
    ('2024-01-05T00:00', 'day:invalid_type'), ('epoch', 'day:invalid_type') $$,
  'dates are YYYY-MM-DD and nothing that depends on the day or on DateStyle');

select results_eq(
  $$ select v, pg_temp.judge('moment', v) from unnest(
       '{2024-01-05,2024-01-05T10:00:00Z,2024-01-05 10:00:00.123+02:00,2024-01-05 25:00,now,"2024-01-05 10:00 Europe/Berlin"}'::text[]) as v $$,
  $$ values
    ('2024-01-05', 'ok'), ('2024-01-05T10:00:00Z', 'ok'), ('2024-01-05 10:00:00.123+02:00', 'ok'),
    ('2024-01-05 25:00', 'moment:invalid_type'), ('now', 'moment:invalid_type'),
    ('2024-01-05 10:00 Europe/Berlin', 'moment:invalid_type') $$,
  'moments are ISO 8601');
select results_eq(
  $$ select v, pg_temp.judge('clock', v) from unnest('{9:30,23:59:59.5,24:01,allballs}'::text[]) as v $$,
  $$ values ('9:30', 'ok'), ('23:59:59.5', 'ok'), ('24:01', 'clock:invalid_type'),
    ('allballs', 'clock:invalid_type') $$,
  'times of day are HH:MM[:SS]');
select results_eq(
  $$ select v, pg_temp.judge('is_on', v) from unnest('{true,F,yes,0,ja,2}'::text[]) as v $$,
  $$ values ('true', 'ok'), ('F', 'ok'), ('yes', 'ok'), ('0', 'ok'), ('ja', 'is_on:invalid_type'),
    ('2', 'is_on:invalid_type') $$,
  'booleans are what PostgreSQL reads');

select is(pg_temp.judge('state', 'it''s broken'), 'ok', 'a label of the enum is taken');
select is(pg_temp.judge('state', 'ON'), 'state:not_in_list', 'another value of an enum is not_in_list, and nothing else');
select is(pg_temp.judge('detail', '{"a": [1]}'), 'ok', 'jsonb is taken');
select is(pg_temp.judge('detail', '{a}'), 'detail:invalid_type', 'what is not jsonb is invalid_type');

select is(pg_temp.judge('name', '', '{"name": "X"}'), 'name:required',
  'a missing value of a not null column is required');
select is(pg_temp.judge('tag', e' \t\u00a0 ', '{"tag": "X"}'), 'tag:required', 'white space alone is a missing key');
select is(pg_temp.judge('name', 'ninechars', '{"name": "X"}'), 'name:too_long', 'varchar(8) takes 8 characters');
select is(pg_temp.judge('name', 'ärgerßöü', '{"name": "X"}'), 'ok', 'characters count, not bytes');

select results_eq(
  $$ select v, pg_temp.judge('mail', v)
    from unnest('{a@b.co,ü.x+1@sub.example.test,a@b,a b@c.de,@b.co,a@b..co}'::text[]) as v $$,
  $$ values ('a@b.co', 'ok'), ('ü.x+1@sub.example.test', 'ok'), ('a@b', 'mail:invalid_format'),
    ('a b@c.de', 'mail:invalid_format'),
    ('@b.co', 'mail:invalid_format'), ('a@b..co', 'mail:invalid_format') $$,
  'format email');
select results_eq(
  $$ select v, pg_temp.judge('site', v)
    from unnest('{https://a.b/c?d=1,HTTP://x,ftp://a.b,javascript:alert(1),https:///x}'::text[]) as v $$,
  $$ values ('https://a.b/c?d=1', 'ok'), ('HTTP://x', 'ok'), ('ftp://a.b', 'site:invalid_format'),
    ('javascript:alert(1)', 'site:invalid_format'), ('https:///x', 'site:invalid_format') $$,
  'format url');
select results_eq(
  $$ select v, pg_temp.judge('tel', v) from unnest('{+49 (30) 123-456,0301234,123,call me}'::text[]) as v $$,
  $$ values ('+49 (30) 123-456', 'ok'), ('0301234', 'ok'), ('123', 'tel:invalid_format'),
    ('call me', 'tel:invalid_format') $$,
  'format phone');
select results_eq(
  $$ select v, pg_temp.judge('other_id', v) from unnest('{00000000-0000-0000-0000-00000000000A,0000}'::text[]) as v $$,
  $$ values ('00000000-0000-0000-0000-00000000000A', 'ok'), ('0000', 'other_id:invalid_format') $$,
  'format uuid');

select results_eq(
  $$ select v, pg_temp.judge('zone', v) from unnest('{abc,ab,abcdef,ABC}'::text[]) as v $$,
  $$ values ('abc', 'ok'), ('ab', 'zone:invalid_format'), ('abcdef', 'zone:too_long'),
    ('ABC', 'zone:invalid_format') $$,
  'min_length, max_length, and a CHECK that is a pattern');
select results_eq(
  $$ select v, pg_temp.judge('kind', v) from unnest('{a,"b''c","d,e",d,"b''''c"}'::text[]) as v $$,
  $$ values ('a', 'ok'), ('b''c', 'ok'), ('d,e', 'ok'), ('d', 'kind:not_in_list'), ('b''''c', 'kind:not_in_list') $$,
  'a CHECK that is a list, with quotes and commas in it');

-- CHECKs of other kinds are judged as they stand.
select is(
  pg_temp.judge('code', 'NO'), 'code:constraint_violation', 'a CHECK of another kind is a constraint_violation');
select is(pg_temp.judge('code', 'OK'), 'ok', 'and takes what it allows');
select is(
  pg_temp.judge('lowest', '9', '{"highest": {"default": 8}}'), 'lowest, highest:constraint_violation',
  'a CHECK over two columns names both');
select is(pg_temp.judge('lowest', '7', '{"highest": {"default": 8}}'), 'ok', 'and takes what it allows');
select is(pg_temp.judge('lowest', '9'), 'ok', 'a CHECK with a column that the file lacks is left to the table');

-- What an issue says.
select tests.keep('i', tests.stage_import('gauges', '{T,N,whole,exact}',
  '[["T1", "one", " 1x ", "5"], ["T2", "two", "3", "5000"]]',
  p_mapping => '{"tag": "T", "name": "N", "whole": "whole", "exact": "exact"}'));
select tests.run_import(tests.kept('i'), false);
select results_eq(
  $$ select row_number, line_number, field, severity, code, message, value, sqlstate, constraint_name
     from public.list_import_issues(tests.kept('i')) $$,
  $$ values
    (1, 2, 'whole', 'error', 'invalid_type', 'not a whole number', '1x', '22P02', null::text),
    (2, 3, 'exact', 'error', 'out_of_range', 'out of the range of numeric(5,2)', '5000', '22003', null) $$,
  'an issue names row, line, field, code, message and value');
select is(
  public.get_import(tests.kept('i')) -> 'issues',
  '[{"code": "invalid_type", "count": 1, "field": "whole", "severity": "error"},
    {"code": "out_of_range", "count": 1, "field": "exact", "severity": "error"}]'::jsonb,
  'the document counts issues by code and field');

select * from finish();
rollback;
