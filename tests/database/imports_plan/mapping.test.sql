-- Mappings and options: their normal form, and what is refused.
begin;
select plan(36);
select tests.set_up_actors();

create function pg_temp.normal(p_mapping jsonb,
  p_columns text[] default array['No', 'Name', 'Odd"''Col']) returns text language plpgsql as $$
declare
  v_detail text;
  v_hint   text;
begin
  return private.normalize_mapping('customers', p_columns, p_mapping);
exception when others then
  get stacked diagnostics v_detail = pg_exception_detail, v_hint = pg_exception_hint;
  return concat_ws(' | ', sqlstate, sqlerrm, nullif(v_detail, ''));
end $$;

-- Normal form ------------------------------------------------------------------------------------------

select is(pg_temp.normal('{"external_id": "No"}')::jsonb,
  '{"external_id": {"columns": ["No"], "transforms": [], "default": null}}'::jsonb, 'a column''s name');
select is(pg_temp.normal('{"name": {"column": "Name", "transforms": ["trim"], "default": "x"}}')::jsonb,
  '{"name": {"columns": ["Name"], "transforms": ["trim"], "default": "x"}}'::jsonb, 'an object');
select is(pg_temp.normal('{"name": {"columns": ["No", "Name"]}}')::jsonb,
  '{"name": {"columns": ["No", "Name"], "transforms": [], "default": null}}'::jsonb, 'several columns');
select is(pg_temp.normal('{"name": {"default": 5}}')::jsonb,
  '{"name": {"columns": [], "transforms": [], "default": "5"}}'::jsonb, 'a default alone');
select is(pg_temp.normal('{"name": {"default": false}}')::jsonb #>> '{name,default}', 'false',
  'which may be a boolean');
select is(pg_temp.normal('{"name": null}'), '{}', 'null leaves a field out');
select is(pg_temp.normal('{}'), '{}', 'an empty one is one');
select is(pg_temp.normal('{"name": "Odd\"''Col"}')::jsonb #>> '{name,columns,0}', 'Odd"''Col',
  'columns may be called anything');
select is(pg_temp.normal('{"name": "Any"}', null)::jsonb #>> '{name,columns,0}', 'Any',
  'before the file is there its columns are not known');
select is(private.normalize_mapping('customers', '{No}',
  pg_temp.normal('{"name": {"columns": ["No"], "transforms": ["upper"], "default": "d"}}')::jsonb),
  pg_temp.normal('{"name": {"columns": ["No"], "transforms": ["upper"], "default": "d"}}')::jsonb,
    'the normal form is its own');

-- Refused ----------------------------------------------------------------------------------------------

select is(pg_temp.normal(m), '22023 | mapping must be an object', format('no object: %s', coalesce(m::text, 'nothing')))
from unnest(array['[]', '"a"', '1', 'null', null]::jsonb[]) as m;
select is(pg_temp.normal('{"nope": "No"}'),
  '22023 | mapping names an unknown field | dataset customers has no field nope', 'an unknown field');
select is(pg_temp.normal('{"id": "No"}'), '22023 | mapping names an unknown field | dataset customers has no field id',
  'the primary key is none');
select is(pg_temp.normal('{"org_id": "No"}'),
  '22023 | mapping names an unknown field | dataset customers has no field org_id', 'nor the organization');
select is(pg_temp.normal('{"created_at": "No"}'),
  '22023 | mapping names an unknown field | dataset customers has no field created_at',
  'nor what clients may not write');
select is(pg_temp.normal('{"name": {"columns": ["No", "No"]}}'),
  '22023 | mapping of a field names too many columns | name: ["No", "No"]', 'a column twice in a field');
select is(pg_temp.normal(jsonb_build_object('name', jsonb_build_object('columns', c.names)), c.names),
  '22023 | mapping of a field names too many columns | name: ["c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9", "c10", "c11"]',
  'more columns than fit into memory when each is large')
from (select array_agg('c' || n) as names from generate_series(1, 11) as n) as c;
select is(pg_temp.normal('{"name": "Nope"}'),
  '22023 | mapping names an unknown column | field name: the file has no column "Nope"', 'an unknown column');
select is(pg_temp.normal('{"name": {"columns": ["No", "name"]}}'),
  '22023 | mapping names an unknown column | field name: the file has no column "name"',
  'columns are told apart by case');
select is_empty(
  $$ select m from unnest(array['{"name": 1}', '{"name": []}', '{"name": {}}', '{"name": true}',
    '{"name": {"column": 1}}', '{"name": {"column": null}}', '{"name": {"columns": "No"}}', '{"name": {"columns": []}}',
       '{"name": {"columns": [1]}}', '{"name": {"column": "No", "transforms": "trim"}}',
         '{"name": {"column": "No", "transforms": {}}}', '{"name": {"column": "No", "default": {}}}',
       '{"name": {"column": "No", "default": ["a"]}}', '{"name": {"transforms": []}}', '{"name": {"default": null}}',
         '{"name": {"column": "No", "extra": 1}}', '{"name": {"column": ["No"]}}']) as m
     where pg_temp.normal(m::jsonb) not like '22023 | mapping of a field is not understood | name: %' $$,
  'other shapes');

-- Required fields
select lives_ok($$ select private.require_mapped_fields('customers', 'upsert', '{"external_id": {}, "name": {}}') $$,
  'an upsert needs key and required fields');
select throws_ok($$ select private.require_mapped_fields('customers', 'upsert', '{"external_id": {}}') $$, 'PT422',
  'required field is not mapped', 'both');
select throws_ok($$ select private.require_mapped_fields('customers', 'insert', '{"name": {}}') $$, 'PT422',
  'required field is not mapped', 'so does an insert');
select lives_ok($$ select private.require_mapped_fields('customers', 'update', '{"external_id": {}}') $$,
  'an update the key alone');
select throws_ok($$ select private.require_mapped_fields('customers', 'delete', '{"name": {}}') $$, 'PT422',
  'required field is not mapped', 'so does a delete');
select is(private.unmapped_fields('customers', 'insert', '{}'), '{external_id,name}', 'they are named');

-- Options ----------------------------------------------------------------------------------------------

select is(private.normalize_options('{}'), '{"duplicates": "error", "on_error": "skip", "blank": "ignore"}',
  'options have defaults');
select is(private.normalize_options('{"duplicates": "keep_last", "on_error": "abort", "blank": "clear"}'),
  '{"duplicates": "keep_last", "on_error": "abort", "blank": "clear"}', 'and values');
select is_empty(
  $$ select o from unnest(array['{"duplicates": "first"}', '{"duplicates": null}', '{"on_error": true}',
    '{"blank": ["ignore"]}', '{"chunk": "5"}', '{"Blank": "clear"}']) as o
     where tests.sqlstate_of(format('select private.normalize_options(%L)', o)) <> '22023' $$, 'others are refused');
select throws_ok($$ select private.normalize_options('{"blank": "x"}') $$, '22023', 'option is not understood',
  'with a message');
select throws_ok($$ select private.normalize_options('[]') $$, '22023', 'options must be an object',
  'options are an object');
select throws_ok($$ select private.normalize_options(null) $$, '22023', 'options must be an object', 'not nothing');

select * from finish();
rollback;
