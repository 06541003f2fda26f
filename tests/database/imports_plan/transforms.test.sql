-- Each transform with values, hostile ones among them; what is no transform is refused when the plan is compiled.
begin;
select plan(62);
select tests.set_up_actors();

-- The value of a cell after transforms, as the compiled expression gives it; or the error.
create function pg_temp.apply(p_cell text, p_transforms jsonb, p_type text default 'text',
  p_default jsonb default 'null', p_second text default null)
returns text
language plpgsql
as $$
declare
  v_field  public.dataset_fields := jsonb_populate_record(null::public.dataset_fields,
    jsonb_build_object('dataset', 'd', 'name', 'f', 'type', p_type, 'rules', '{}'::jsonb));
  v_entry  jsonb := jsonb_build_object('transforms', p_transforms, 'default', p_default,
    'columns', case when p_second is null then '["X"]'::jsonb else '["X", "Y\"''; drop table z; --"]' end);
  v_sql    text;
  v_result text;
begin
  select e.value into v_sql from private.field_expressions(v_field, v_entry,
    array['W', 'X', 'Y"''; drop table z; --']) as e;
  -- Fenced: a cell is no constant that the planner could work with.
  execute format('select %s from (select $1::text[] as cells offset 0) as r', v_sql) into v_result using array['w',
    p_cell, p_second];
  return v_result;
exception when others then
  return sqlstate || ' ' || sqlerrm;
end $$;

-- Cells ------------------------------------------------------------------------------------------------

select is(pg_temp.apply(e' \t\u00a0 a  b \r\n', '[]'), 'a  b', 'white space around a cell is never meant');
select is(pg_temp.apply(e' \u00a0 ', '[]'), null, 'a cell of white space is empty');
select is(pg_temp.apply(null, '[]'), null, 'a missing one, too');
select is(pg_temp.apply('', '[]', p_default => '"d"'), 'd', 'the mapping''s default fills empty cells');
select is(pg_temp.apply('x', '[]', p_default => '"d"'), 'x', 'and no others');
select is(pg_temp.apply('', '[]', p_default => '5'), '5', 'a number may be a default');
select is(pg_temp.apply('', '[{"default": "t"}]', p_default => '"d"'), 't', 'the transform default comes first');

-- What the upload saw of the file: only columns with blanks around some cells are trimmed.
prepare sources as
  select c.name, private.cell_expression('{A,B}', c.name, c.untrimmed)
  from (values ('A', '{B}'::text[]), ('B', '{B}'), ('B', '{}'), ('B', null)) as c (name, untrimmed);
select results_eq(
  'sources',
  format($$ values ('A', $e$nullif(r.cells[1], '')$e$), ('B', %1$L), ('B', $e$nullif(r.cells[2], '')$e$), ('B', %1$L) $$,
    private.cell_expression('{A,B}', 'B')),
  'a column is not trimmed where none of its cells needs it');
select matches(private.cell_expression('{A,B}', 'B'), 'btrim', 'and is where nothing is known');

-- Text -------------------------------------------------------------------------------------------------

select is(pg_temp.apply('a  b', '["collapse_spaces"]'), 'a b', 'collapse_spaces');
select is(pg_temp.apply('straße É', '["upper"]'), upper('straße É'), 'upper');
select is(pg_temp.apply('ÀB', '["lower"]'), 'àb', 'lower');
select is(pg_temp.apply('anna-maria O''HARA', '["title"]'), 'Anna-Maria O''Hara', 'title');
select is(pg_temp.apply('+49 (30) 12', '["digits"]'), '493012', 'digits');
select is(pg_temp.apply('none', '["digits"]'), null, 'no digits are nothing');
select is(pg_temp.apply('a-', '[{"replace": {"from": "-", "to": " "}}, "trim"]'), 'a',
  'replace, then trim: one after the other');
select is(pg_temp.apply('-', '[{"replace": {"from": "-", "to": ""}}]'), null, 'what is replaced by nothing is nothing');
select is(pg_temp.apply('12', '[{"prefix": "K-"}, {"suffix": "/x"}]'), 'K-12/x', 'prefix and suffix');
select is(pg_temp.apply('', '[{"prefix": "K-"}]'), null, 'an empty cell gets no prefix');
select is(pg_temp.apply(v, '[{"null_if": ["n/a", "-"]}]'), null, format('null_if: %s', v))
  from unnest('{n/a,-}'::text[]) as v;
select is(pg_temp.apply('N/A', '[{"null_if": "n/a"}]'), 'N/A', 'null_if tells case apart');
select is(pg_temp.apply('', '[{"null_if": "n/a"}, {"default": "d"}]'), 'd', 'null_if leaves empty cells empty');
select is(pg_temp.apply('order 123 of 456', '[{"regex_extract": "[0-9]+"}]'), '123', 'regex_extract: the first match');
select is(pg_temp.apply('order 123', '[{"regex_extract": "order ([0-9])"}]'), '1', 'or its group');
select is(pg_temp.apply('none', '[{"regex_extract": "[0-9]+"}]'), null, 'or nothing');
select results_eq(
  $$ select pg_temp.apply('a, b ,c', jsonb_build_array(jsonb_build_object('split',
    jsonb_build_object('separator', ',', 'part', p)))) from unnest('{1,2,-1,4}'::int[]) as p $$,
  $$ values ('a'), ('b'), ('c'), (null) $$, 'split: parts from the front, from the back, and beyond');
select is(pg_temp.apply('Ann', '[]', p_second => 'Lee'), 'Ann Lee', 'several columns are joined with a space');
select is(pg_temp.apply('Ann', '[{"join": ", "}, "upper"]', p_second => 'Lee'), 'ANN, LEE', 'or with what join says');
select is(pg_temp.apply('', '[{"join": ", "}]', p_second => 'Lee'), 'Lee', 'empty ones are left out');
select results_eq(
  $$ select v, pg_temp.apply(v, '[{"map_values": {"y": "yes", "n": null, "": "empty"}}]')
    from unnest('{y,n,z}'::text[]) as v $$,
  $$ values ('y', 'yes'), ('n', null), ('z', 'z') $$, 'map_values: others stay');

-- classify ---------------------------------------------------------------------------------------------

select results_eq(
  $$ select v, pg_temp.apply(v, '[{"classify": [
      {"equals": "vip", "then": "gold"}, {"in": ["a", "b"], "then": "letter"}, {"matches": "^x[0-9]+$", "then": "x"},
      {"at_least": 100, "then": "big"}, {"at_most": -1, "then": "negative"}, {"blank": true, "then": "empty"}, {"then": "rest"}]}]')
     from unnest('{vip,b,x12,100,5,-3,"",NaNa}'::text[]) as v $$,
  $$ values ('vip', 'gold'), ('b', 'letter'), ('x12', 'x'), ('100', 'big'), ('5', 'rest'), ('-3', 'negative'),
    ('', 'empty'), ('NaNa', 'rest') $$,
  'classify: the first rule that matches');
select is(pg_temp.apply('a', '[{"classify": [{"equals": "b", "then": "c"}]}]'), null, 'none that matches: nothing');
select is(pg_temp.apply('a', '[{"classify": [{"column": "W", "equals": "w", "then": "by another column"}]}]'),
  'by another column', 'a rule may look at another column');

-- Dates, numbers, booleans -----------------------------------------------------------------------------

select results_eq(
  $$ select f, v, pg_temp.apply(v, jsonb_build_array(jsonb_build_object('parse_date', f)), 'timestamp with time zone')
    from (values
      ('DD.MM.YYYY', '5.1.2024'), ('DD.MM.YYYY', '05.01.2024'), ('MM/DD/YYYY', '01/31/2024'), ('DD.MM.YY', '05.01.69'),
        ('DD.MM.YY', '05.01.70'),
      ('YYYYMMDD', '20240105'), ('DD.MM.YYYY HH24:MI', '5.1.2024 7:05'), ('YYYY-MM-DDTHH:MI:SS', '2024-01-05T10:11:12'),
      ('DD.MM.YYYY', '2024-01-05'), ('DD.MM.YYYY', 'soon')) as t (f, v) $$,
  $$ values
      ('DD.MM.YYYY', '5.1.2024', '2024-1-5'), ('DD.MM.YYYY', '05.01.2024', '2024-01-05'),
        ('MM/DD/YYYY', '01/31/2024', '2024-01-31'),
      ('DD.MM.YY', '05.01.69', '2069-01-05'), ('DD.MM.YY', '05.01.70', '1970-01-05'),
      ('YYYYMMDD', '20240105', '2024-01-05'), ('DD.MM.YYYY HH24:MI', '5.1.2024 7:05', '2024-1-5 7:05:00'),
      ('YYYY-MM-DDTHH:MI:SS', '2024-01-05T10:11:12', '2024-01-05 10:11:12'),
      ('DD.MM.YYYY', '2024-01-05', '2024-01-05'), ('DD.MM.YYYY', 'soon', 'soon') $$,
  'parse_date writes matches in ISO order and leaves the rest to the type');
select is(pg_temp.apply('31/12/2024', '[{"parse_date": ["DD.MM.YYYY", "DD/MM/YYYY"]}]', 'date'), '2024-12-31',
  'the first of several formats that matches');

select results_eq(
  $$ select o, v, pg_temp.apply(v, jsonb_build_array(jsonb_build_object('parse_number', o::jsonb)), 'numeric(10,2)')
    from (values
      ('{}', '1,234.50'), ('{}', '1234.5'), ('{}', '12,34'), ('{"decimal": ","}', '1.234.567,5'),
        ('{"decimal": ","}', '-1,5'), ('{"decimal": ","}', '1.5'),
      ('{"decimal": ",", "group": " "}', e'1\u202f234,5'), ('{"decimal": ",", "group": " "}', e'1\u00a0234'),
        ('{"group": "''"}', '1''234.5'), ('{"group": ""}', '1234.5'),
      ('{"group": ""}', '1,234'), ('{}', 'abc'), ('{}', '1e5')) as t (o, v) $$,
  $$ values
      ('{}', '1,234.50', '1234.50'), ('{}', '1234.5', '1234.5'), ('{}', '12,34', '?12,34'),
        ('{"decimal": ","}', '1.234.567,5', '1234567.5'),
      ('{"decimal": ","}', '-1,5', '-1.5'), ('{"decimal": ","}', '1.5', '?1.5'),
      ('{"decimal": ",", "group": " "}', e'1\u202f234,5', '1234.5'),
        ('{"decimal": ",", "group": " "}', e'1\u00a0234', '1234'), ('{"group": "''"}', '1''234.5', '1234.5'),
      ('{"group": ""}', '1234.5', '1234.5'), ('{"group": ""}', '1,234', '?1,234'), ('{}', 'abc', '?abc'),
        ('{}', '1e5', '?1e5') $$,
  'parse_number reads numbers as the marks say, and nothing half');
select results_eq(
  $$ select v, pg_temp.apply(v, '[{"parse_boolean": {"true": ["Ja", "x"], "false": ["NEIN", ""]}}]', 'boolean')
    from unnest('{ja,X,nein,true,""}'::text[]) as v $$,
  $$ values ('ja', 'true'), ('X', 'true'), ('nein', 'false'), ('true', '?true'), ('', null) $$,
    'parse_boolean reads the words given');

-- Hostile ----------------------------------------------------------------------------------------------

create temporary table hostile (text text);
insert into hostile values ('''; drop table public.customers; --'), ('\'), ('\''; select 1 --'), ('%s %1$s %L %%'),
  ('$1 $2 $q$ $$'), ('{1,2}'), ('"a","b"'),
  ('\1 & \0'), ('[.*+?^${}()|'), (e'a\nb'), ('E''\\'''), ('ü€𝄞'), (repeat('x', 10000)), (repeat('''', 10000)),
    ('r.cells[1]'), ('null'), ('-- /* */');
select is_empty(
  $$ select h.text, t.name from hostile as h
     cross join lateral (values
       ('null_if', jsonb_build_object('null_if', h.text), null),
         ('default', jsonb_build_object('default', h.text), h.text),
       ('map_values', jsonb_build_object('map_values', jsonb_build_object(h.text, 'mapped')), 'mapped'),
       ('classify', jsonb_build_object('classify', jsonb_build_array(jsonb_build_object('equals', h.text, 'then',
         h.text))), h.text),
       ('classify in', jsonb_build_object('classify',
         jsonb_build_array(jsonb_build_object('in', jsonb_build_array(h.text), 'then', 'in'))), 'in')
     ) as t (name, transform, expected)
     where pg_temp.apply(case t.name when 'default' then '' else h.text end, jsonb_build_array(t.transform)) is distinct
       from t.expected $$,
  'whatever stands in a cell or an argument is text: null_if, default, map_values, classify');
select is_empty(
  $$ select h.text, t.name from hostile as h
     cross join lateral (values
       ('prefix', jsonb_build_object('prefix', h.text), h.text || 'cell'),
         ('suffix', jsonb_build_object('suffix', h.text), 'cell' || h.text),
       ('split', jsonb_build_object('split', jsonb_build_object('separator', h.text, 'part', 1)), 'cell'),
       ('replace', jsonb_build_object('replace', jsonb_build_object('from', h.text, 'to', 'x')), 'cell')
     ) as t (name, transform, expected)
     where pg_temp.apply('cell', jsonb_build_array(t.transform)) is distinct from t.expected $$,
  'prefix, suffix, split, replace');
select is_empty(
  $$ select h.text, t.transform from hostile as h
     cross join unnest('{upper,lower,title,trim,collapse_spaces,digits}'::text[]) as t (transform)
     where pg_temp.apply(h.text, jsonb_build_array(t.transform)) ~ '^[0-9A-Z]{5} ' $$,
  'no cell makes a transform raise');
select is_empty(
  $$ select h.text, t.type from hostile as h
     cross join (values ('date', '{"parse_date": "DD.MM.YYYY"}'::jsonb), ('integer', '{"parse_number": {}}'),
       ('boolean', '{"parse_boolean": {"true": ["j"], "false": ["n"]}}')) as t (type, transform)
     where ltrim(pg_temp.apply(h.text, jsonb_build_array(t.transform), t.type), '?') is distinct from h.text $$,
  'what parse_… cannot read is what it was, or marked');
select is_empty(
  $$ select h.text from hostile as h
     where pg_temp.apply('cell', '[]', p_default => to_jsonb(h.text)) <> 'cell'
       or pg_temp.apply('', '[]', p_default => to_jsonb(h.text)) is distinct from h.text $$,
  'a default is text');
select is_empty(
  $$ select h.text from hostile as h
     where pg_temp.apply('1.2.2024', jsonb_build_array(jsonb_build_object('parse_date', h.text)),
       'date') !~ '^(22023 transform is not understood|1\.2\.2024)' $$,
  'a date format is one, or refused');
select is_empty(
  $$ select h.text from hostile as h
     where pg_temp.apply('YES', jsonb_build_array(jsonb_build_object('parse_boolean',
       jsonb_build_object('true', jsonb_build_array(h.text, 'yes'), 'false', '[]'::jsonb))), 'boolean') <> 'true' $$,
  'words of parse_boolean are text');
select is(pg_temp.apply('a', '[]', p_second => 'b'), 'a b',
  'a column''s name with quotes and statements in it is a name');
select cmp_ok(
  length(pg_temp.apply('a',
    (select jsonb_agg('{"replace": {"from": "a", "to": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}'::jsonb)
    from generate_series(1, 20)))),
  '<=', 1048576, 'transforms cannot swell a cell beyond all bounds');

-- Refused ----------------------------------------------------------------------------------------------

select results_eq(
  $$ select t, pg_temp.apply('a', jsonb_build_array(t::jsonb)) from unnest(array[
      '"shout"', '{"shout": 1}', '{"trim": true}', '{"upper": "x", "lower": "y"}', '{}', 'null', '1', '["trim"]',
        '"replace"', '{"replace": "a"}', '{"replace": {"from": "a"}}',
      '{"replace": {"from": 1, "to": 2}}', '{"null_if": 1}', '{"default": null}', '{"default": {}}', '{"prefix": 1}',
        '{"split": {"separator": ","}}', '{"split": {"separator": ",", "part": 0}}',
      '{"split": {"separator": ",", "part": "1; drop"}}', '{"map_values": {}}', '{"map_values": {"a": 1}}',
        '{"map_values": []}', '{"classify": []}', '{"classify": [{"then": "a"}]}',
      '{"classify": [{"equals": "a"}]}', '{"classify": [{"equals": "a", "then": 1}]}',
        '{"classify": [{"equals": "a", "in": ["a"], "then": "b"}]}',
      '{"classify": [{"column": "none", "equals": "a", "then": "b"}]}',
        '{"classify": [{"then": "x"}, {"equals": "a", "then": "b"}]}', '{"classify": [{"foo": "a", "then": "b"}]}',
      '{"classify": [{"in": "a", "then": "b"}]}', '{"classify": [{"blank": "maybe", "then": "b"}]}',
        '{"classify": [{"at_least": "1", "then": "b"}]}', '{"classify": ["a"]}',
      '{"parse_date": "DD.MM.YYYY"}', '{"parse_number": {}}', '{"parse_boolean": {"true": [], "false": []}}'
    ]) as t where pg_temp.apply('a', jsonb_build_array(t::jsonb)) is distinct
      from '22023 transform is not understood' $$,
  $$ select null::text, null::text where false $$,
    'what is not in the closed list, or has other arguments, is refused');
select is(pg_temp.apply('a', '["trim", {"join": ","}]'), '22023 transform is not understood', 'join comes first');
select is_empty(
  $$ select t from unnest(array['"DD.MM"', '"YYYY-MM-DDX"', '"Q YYYY MM DD"', '""', '[]', '5', '{}',
    '["DD.MM.YYYY", "nonsense"]']) as t
     where pg_temp.apply('a', jsonb_build_array(jsonb_build_object('parse_date', t::jsonb)), 'date') is distinct
       from '22023 transform is not understood' $$,
  'a date format has year, month and day, and no other letters');
select is_empty(
  $$ select t from unnest(array['{"decimal": "."  , "group": "."}', '{"decimal": "x"}', '{"group": ";"}',
    '{"decimal": ",", "group": ","}', '{"style": "de"}', '"de"']) as t
     where pg_temp.apply('a', jsonb_build_array(jsonb_build_object('parse_number', t::jsonb)), 'integer') is distinct
       from '22023 transform is not understood' $$,
  'number marks are of a few kinds, and differ');
select is(pg_temp.apply('a', '[{"parse_date": "DD.MM.YYYY"}]', 'integer'), '22023 transform is not understood',
  'parse_date is for dates');
select is(pg_temp.apply('a', '[{"regex_extract": "("}]'),
  '2201B invalid regular expression: parentheses () not balanced', 'a regular expression is one');
select is(pg_temp.apply('a', jsonb_build_array(jsonb_build_object('regex_extract', p))), '22023 regular expression is not allowed',
  format('one that need not end soon is refused: %s', left(p, 20)))
from unnest(array['(.+).*\1.*b$', 'a(?=b)', '(?<!a)b', repeat('a', 501)]) as p;
select is(pg_temp.apply('a\1', '[{"regex_extract": "a(\\\\1)"}]'), '\1', 'a back slash is not a back reference');
select is(pg_temp.apply('a', '[{"classify": [{"matches": "(a)\\1", "then": "b"}]}]'), '22023 regular expression is not allowed',
  'in classify, too');
select is(pg_temp.apply('a', '[{"classify": [{"column": null, "equals": "a", "then": "b"}]}]'), '22023 transform is not understood',
  'a column of classify is one of the file');
select is(pg_temp.apply('a', '[{"classify": [{"matches": "(", "then": "b"}]}]'),
  '2201B invalid regular expression: parentheses () not balanced', 'in classify, too');
select is(pg_temp.apply('a', jsonb_build_array(jsonb_build_object('prefix', repeat('x', 60000)))),
  '22023 transforms of a field are too long', 'there is an end to what is compiled');

select * from finish();
rollback;
