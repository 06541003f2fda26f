-- A whole import of hostile text: table and column names, headers, cells, arguments, defaults, rules. All of it is data.
begin;
select plan(19);
select tests.set_up_actors();

create type public."Mood's" as enum ('it''s "ok"', '%s');
create table public."Odd ""Table'; drop" (
  id          uuid primary key default gen_random_uuid(),
  "org id"    uuid not null references public.organization (id),
  "select"    text not null,
  "a""b'c"    text default 'it''s; --' check ("a""b'c" <> 'bad'''),
  "%s $1"     integer check ("%s $1" <> 13 or "select" <> '%L'),
  "Ünïcode €" text,
  mood        public."Mood's",
  "s.t r"     text,
  "row_number" integer check ("row_number" % 2 = 0),
  constraint "key's" unique ("org id", "select")
);
alter table public."Odd ""Table'; drop" enable row level security;
create policy "all'" on public."Odd ""Table'; drop" to authenticated using ("org id" = any (array(select private.org_ids('member'))));
grant all on public."Odd ""Table'; drop" to authenticated, service_role;
select lives_ok(
  $$ select private.register_dataset('odd', 'public."Odd ""Table''; drop"', '{select}', org_column => 'org id') $$,
    'a table of odd names is a dataset');
update public.dataset_fields set rules = '{"pattern": "^[^''\\\\]*(''|\\\\|x)?.*$", "one_of": ["it''s", "%s", "$1", "a\"b", "\\", "{x,y}", "$q$"]}'
where dataset = 'odd' and name = 'Ünïcode €';

create temporary table headers as
  select array['Robert''); drop table public.customers; --', '"quoted"', '%s %L %1$s', '$1', '\', '{a,b}',
    e'new\nline'] as names;
create temporary table texts (n integer generated always as identity, text text);
insert into texts (text) values ('''; drop table public.customers; --'), ('\'), ('%s %1$I'), ('$1::text'), ('$q$ $$'),
  ('{1,2}'), ('"a","b"'), ('\1'), ('E''\\x'''),
  (e'two\nlines'), ('ü€𝄞'), (repeat('''\', 5000)), ('r.cells[1]'), ('--'), ('a b');
grant select on headers, texts to public;
create function pg_temp.mapping() returns jsonb language sql as $$
  select jsonb_build_object(
    'select', h.names[1],
    'a"b''c', jsonb_build_object('column', h.names[2], 'transforms',
      '[{"replace": {"from": "''", "to": "\\''%"}}, {"suffix": "$1''\\"}]'::jsonb, 'default', '$q$'' %s'),
    '%s $1', h.names[4],
    'Ünïcode €', jsonb_build_object('column', h.names[5], 'transforms',
      '[{"map_values": {"q''": "it''s", "\\": "\\"}}]'::jsonb),
    'mood', jsonb_build_object('column', h.names[6], 'default', '%s'),
    's.t r', jsonb_build_object('columns', jsonb_build_array(h.names[3], h.names[7]), 'transforms',
      '[{"join": "''%s$1\\"}]'::jsonb),
    'row_number', jsonb_build_object('default', '4'))
  from headers as h
$$;

select tests.act_as('max');
select tests.keep('i', tests.stage_import('odd', (select names from headers),
  (select jsonb_agg(jsonb_build_array(t.text, t.text, t.text, '7', 'q''', 'it''s "ok"', t.text) order by t.n)
    from texts as t), p_mapping => pg_temp.mapping()));
select is(tests.run_import(tests.kept('i')), 'completed', 'hostile text is imported');
select is(tests.counts(tests.kept('i')), '{"rows": 15, "valid": 15, "inserted": 15}', 'all of it');
select results_eq(
  $$ select o."select", o."a""b'c", o."%s $1", o."Ünïcode €", o.mood::text, o."s.t r", o.row_number
     from public."Odd ""Table'; drop" as o join texts as t on t.text = o."select" order by t.n $$,
  $$ select t.text, replace(t.text, '''', '\''%') || '$1''\', 7, 'it''s', 'it''s "ok"', t.text || '''%s$1\' || t.text, 4
    from texts as t order by t.n $$,
  'letter by letter');
select has_table('public', 'customers', 'no statement in it was run');
select results_eq(
  $$ select r.key, r.payload -> '\', r.payload ->> e'new\nline' from public.list_import_rows(tests.kept('i')) as r $$,
  $$ select t.text, '"q''"'::jsonb, t.text from texts as t order by t.n $$, 'rows are shown as they were sent');
-- Again: nothing has changed.
select tests.keep('again', tests.stage_import('odd', (select names from headers),
  (select jsonb_agg(jsonb_build_array(t.text, t.text, t.text, '7', 'q''', 'it''s "ok"', t.text) order by t.n)
    from texts as t), p_mapping => pg_temp.mapping()));
select tests.run_import(tests.kept('again'));
select is(tests.counts(tests.kept('again')), '{"rows": 15, "valid": 15, "unchanged": 15}',
  'hostile keys are found again');

-- Faulty: every rule speaks of hostile values.
select tests.keep('bad', tests.stage_import('odd', (select names from headers),
  (select jsonb_agg(jsonb_build_array(t.text, 'x', 'x', t.text, t.text, t.text, 'x') order by t.n) from texts as t),
    p_mapping => pg_temp.mapping()));
select is(tests.run_import(tests.kept('bad')), 'completed',
  'hostile text where it does not belong fails its rows alone');
select is((public.get_import(tests.kept('bad')) #>> '{counts,failed}')::integer, 15, 'each of them');
select results_eq(
  $$ select i.row_number, i.value from public.list_import_issues(tests.kept('bad'), 0, 1000, 'invalid_type') as i
    where i.field = '%s $1' order by 1 $$,
  $$ select t.n, left(t.text, 200) from texts as t order by t.n $$, 'issues hold the value, shortened');

-- The table's own checks: one of a single column that is judged as it stands, one over two.
select tests.keep('checks', tests.stage_import('odd', '{k,b,n,r}',
  '[["%L", "good", "13", "4"], ["c1", "bad''", "1", "4"], ["c2", "x", "13", "4"], ["c3", "x", "1", "5"]]',
  p_mapping => '{"select": "k", "a\"b''c": "b", "%s $1": "n", "row_number": "r"}'));
select is(tests.run_import(tests.kept('checks'), false), 'validated', 'checks over odd names are judged');
select results_eq(
  $$ select i.row_number, i.field, i.code, i.constraint_name is not null
    from public.list_import_issues(tests.kept('checks')) as i order by 1 $$,
  $$ values (1, '%s $1, select', 'constraint_violation', true), (2, 'a"b''c', 'constraint_violation', true),
    (4, 'row_number', 'constraint_violation', true) $$,
  'each where it applies');

-- update and delete build other statements.
select tests.keep('update', tests.stage_import('odd', '{k,b}',
  (select jsonb_agg(jsonb_build_array(t.text, t.text)) from texts as t), 'update',
  '{"select": "k", "Ünïcode €": {"column": "b", "transforms": [{"classify": [{"in": ["{1,2}", "\\"], "then": "\\"}, {"then": "$q$"}]}]}}'));
select is(tests.run_import(tests.kept('update')), 'completed', 'an update');
select is(tests.counts(tests.kept('update')), '{"rows": 15, "valid": 15, "updated": 15}', 'of every row');
select tests.act_as('ann');
select tests.keep('delete', tests.stage_import('odd', '{k}',
  (select jsonb_agg(jsonb_build_array(t.text)) from texts as t), 'delete', '{"select": "k"}'));
select is(tests.run_import(tests.kept('delete')), 'completed', 'a delete');
select is(tests.counts(tests.kept('delete')), '{"rows": 15, "valid": 15, "deleted": 15}', 'of every row');

-- Names of datasets, modes, sources.
select throws_ok($$ select public.create_import('customers''; drop table x; --') $$, '22023', 'dataset is unknown',
  'a dataset''s name is looked up');
select throws_ok($$ select public.create_import('customers', 'insert''; drop') $$, '22023', 'mode is not allowed',
  'and a mode''s');

-- Columns named as the compiler names its own.
select tests.act_as_role('postgres');
create table public.ours (
  id uuid primary key default gen_random_uuid(), org_id uuid not null references public.organization (id),
    no text not null,
  _row text, _id text, _1 integer, _bad boolean check (_bad is distinct from (_1 > 3)), unique (org_id, no)
);
alter table public.ours enable row level security;
create policy ours_all on public.ours to authenticated using (org_id = any (array(select private.org_ids('member'))));
grant all on public.ours to authenticated;
select private.register_dataset('ours', 'public.ours', '{no}');
select tests.act_as('max');
select is(tests.run_import(tests.stage_import('ours', '{no,_row,_id,_1,_bad}', '[["a", "r", "i", "1", "true"]]')),
  'completed', 'columns named as the compiler names its own');

select * from finish();
rollback;
