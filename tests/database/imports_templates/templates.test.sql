-- Templates: saving, versions, who may, and how an import gets one.
begin;
select plan(78);
select tests.set_up_actors();

create function pg_temp.document(p_name text) returns jsonb language sql as $$ select public.get_import(tests.kept(p_name)) $$;
create function pg_temp.template(p_name text) returns jsonb language sql as $$
  select public.get_import_template(tests.kept(p_name)) $$;
create function pg_temp.save(p_keep text, p_import text, p_name text, p_is_global boolean default false) returns jsonb
language plpgsql as $$
declare
  v_template jsonb := public.save_import_template(tests.kept(p_import), p_name, is_global => p_is_global);
begin
  perform tests.keep(p_keep, (v_template ->> 'id')::uuid);
  return v_template;
end $$;
create function pg_temp.stage(p_keep text, p_columns text[] default '{Nr,Wer,Am}', p_mapping jsonb default null,
  p_options jsonb default '{}', p_template text default null) returns void language plpgsql as $$
begin
  perform tests.keep(p_keep, (public.create_import('customers', file_name => 'file.csv', mapping => p_mapping,
    options => p_options, template_id => case when p_template is not null then tests.kept(p_template) end) ->> 'id')::uuid);
  perform tests.stage_rows(tests.kept(p_keep), p_columns, '[["1", "eins", "31.12.2023"]]');
end $$;

-- Saving -------------------------------------------------------------------------------------------------

select tests.act_as('max');
select pg_temp.stage('first', p_options => '{"blank": "clear"}', p_mapping => '{
  "external_id": "Nr", "name": {"columns": ["Wer"], "transforms": ["title"], "default": "?"},
  "signup_date": {"column": "Am", "transforms": [{"parse_date": "DD.MM.YYYY"}]}, "country": {"default": "DE"}}');
select is(
  pg_temp.save('v1', 'first', ' Ours ') - '{id,created_at}'::text[],
  jsonb_build_object('org_id', tests.org_id('acme'), 'created_by', tests.user_id('max'), 'header_hash', md5(e'Nr\x1fWer\x1fAm'),
    'mapping', pg_temp.document('first') -> 'mapping')
  || '{"is_global": false, "dataset": "customers", "name": "Ours", "version": 1, "is_current": true, "description": null,
       "options": {"duplicates": "error", "on_error": "skip", "blank": "clear"}, "columns": ["Nr", "Wer", "Am"],
       "replaced_at": null, "archived_at": null}'::jsonb,
  'a member saves a template of mapping and options');
select is(public.list_import_templates() #> '{templates,0,id}', to_jsonb(tests.kept('v1')), 'it is listed');
select is(public.list_import_templates('products'), '{"templates": []}', 'for its dataset');
select throws_ok($$ select public.save_import_template(tests.kept('first'), '  ') $$, '23514',
  'new row for relation "import_templates" violates check constraint "import_templates_name_check"', 'a name is not blank');
select throws_ok($$ select public.save_import_template(tests.kept('first'), null) $$, '23502',
  'null value in column "name" of relation "import_templates" violates not-null constraint', 'and is there');
select tests.keep('bare', (public.create_import('customers') ->> 'id')::uuid);
select throws_ok($$ select public.save_import_template(tests.kept('bare'), 'x') $$, 'PT409', 'import has no columns yet',
  'an import has its file first');
select pg_temp.stage('broken', '{A,B,C}', '{"external_id": {"column": "A", "transforms": ["nonsense"]}}');
select throws_ok($$ select public.save_import_template(tests.kept('broken'), 'x') $$, '22023', 'transform is not understood',
  'what no import could run is not saved');
select tests.act_as('mia');
select lives_ok($$ select public.save_import_template(tests.kept('first'), 'Mia''s') $$, 'another member saves one of any import of theirs');
select tests.act_as('vic');
select throws_ok($$ select public.save_import_template(tests.kept('first'), 'x') $$, '42501', 'organization role required',
  'a viewer saves none');
select is(jsonb_array_length(public.list_import_templates() -> 'templates'), 2, 'but reads them');
select is(pg_temp.template('v1') ->> 'name', 'Ours', 'each');
select tests.act_as('bob');
select throws_ok($$ select public.save_import_template(tests.kept('first'), 'x') $$, 'PT404', 'import not found', 'a stranger saves none');
select throws_ok($$ select public.get_import_template(tests.kept('v1')) $$, 'PT404', 'import template not found', 'reads none');
select throws_ok($$ select public.delete_import_template(tests.kept('v1')) $$, 'PT404', 'import template not found', 'deletes none');
select is(public.list_import_templates(), '{"templates": []}', 'lists none');
select is_empty($$ select 1 from public.import_templates $$, 'and sees none');
select throws_ok($$ select public.get_import_template('00000000-0000-0000-0000-00000000dead') $$, 'PT404', 'import template not found',
  'one that is nowhere is the same');
select tests.act_as_role('anon');
select throws_ok($$ select public.list_import_templates() $$, '42501', 'permission denied for function list_import_templates', 'nor anon');
select tests.act_as('ann');
select throws_ok($$ update public.import_templates set name = 'x' $$, '42501', 'permission denied for table import_templates',
  'nobody writes the table');
select throws_ok($$ insert into public.import_templates (dataset) values ('customers') $$, '42501',
  'permission denied for table import_templates', 'by hand');

-- Versions -----------------------------------------------------------------------------------------------

select tests.act_as('max');
select public.set_import_mapping(tests.kept('first'), '{"external_id": "Nr", "name": "Wer"}');
select is(pg_temp.save('v2', 'first', 'Ours') - '{id,created_at,mapping,header_hash,org_id,created_by,options,columns}'::text[],
  '{"is_global": false, "dataset": "customers", "name": "Ours", "version": 2, "is_current": true, "description": null,
    "replaced_at": null, "archived_at": null}', 'the same name makes the next version');
select is(pg_temp.template('v1') -> 'is_current', 'false', 'the former is retired');
select is(pg_temp.template('v1') #>> '{mapping,name,default}', '?', 'and as it was');
select is(public.save_import_template(tests.kept('first'), 'Ours', 'For the shop') ->> 'description', 'For the shop', 'with a description');
select is(pg_temp.save('v4', 'first', 'Ours') ->> 'description', 'For the shop', 'which stays');
select is((select array_agg(t.version order by t.version) from public.import_templates as t where t.name = 'Ours'), '{1,2,3,4}', 'all are there');
select is((select count(*) from jsonb_array_elements(public.list_import_templates() -> 'templates') as t where t ->> 'name' = 'Ours'),
  1::bigint, 'the last is listed');
select tests.act_as('ben');
select pg_temp.stage('bolts');
select is(pg_temp.save('bolts_own', 'bolts', 'Ours') -> 'version', '1', 'another organization''s is another');

-- For all ------------------------------------------------------------------------------------------------

select tests.act_as('ann');
select throws_ok($$ select public.save_import_template(tests.kept('first'), 'All', is_global => true) $$, '42501',
  'templates for all organizations are for system admins', 'an admin saves none for all');
select tests.act_as('sid');
select is(pg_temp.save('global', 'first', 'All', true) - '{id,created_at,mapping,header_hash,options,columns}'::text[] @>
  '{"org_id": null, "is_global": true, "version": 1}', true, 'a system admin does');
select tests.act_as_role('service_role');
select is(public.save_import_template(tests.kept('first'), 'All', is_global => true) -> 'version', '2', 'so does the service');
select tests.act_as('sid');
select is(pg_temp.save('global', 'first', 'All', true) -> 'version', '3', 'in versions, too');
select tests.act_as('ben');
select is(pg_temp.template('global') ->> 'name', 'All', 'everybody reads it');
select is((select array_agg(t ->> 'name') from jsonb_array_elements(public.list_import_templates('customers') -> 'templates') as t),
  '{Ours,All}', 'it is listed after one''s own');
select tests.act_as('otto');
select isnt_empty($$ select 1 from public.import_templates as t where t.id = tests.kept('global') $$, 'also without an organization');
select tests.act_as('bob');
select throws_ok($$ select public.delete_import_template(tests.kept('global')) $$, '42501',
  'templates for all organizations are for system admins', 'no admin deletes it');

-- By id --------------------------------------------------------------------------------------------------

select tests.act_as('max');
select pg_temp.stage('by_id', p_template => 'v1', p_mapping => '{"country": null, "city": {"default": "Ulm"}}', p_options => '{"duplicates": "keep_last"}');
select is(pg_temp.document('by_id') -> 'template_id', to_jsonb(tests.kept('v1')), 'an import names a version, also an older one');
select is(pg_temp.document('by_id') -> 'options', '{"duplicates": "keep_last", "on_error": "skip", "blank": "clear"}',
  'takes its options but for those given');
select is(pg_temp.document('by_id') #> '{mapping,name}', '{"columns": ["Wer"], "transforms": ["title"], "default": "?"}', 'its mapping');
select is(pg_temp.document('by_id') #>> '{mapping,city,default}', 'Ulm', 'but for fields given');
select is(pg_temp.document('by_id') -> 'mapping' ? 'country', false, 'or left out');
select is(pg_temp.document('by_id') -> 'suggested_mapping',
  '{"external_id": {"column": "Nr", "confidence": 1, "reason": "template"},
    "name": {"column": "Wer", "confidence": 1, "reason": "template", "transforms": ["title"], "default": "?"},
    "signup_date": {"column": "Am", "confidence": 1, "reason": "template", "transforms": [{"parse_date": "DD.MM.YYYY"}]},
    "country": {"default": "DE", "confidence": 1, "reason": "template"}}', 'and suggests what it says');
select is(tests.run_import(tests.kept('by_id')), 'completed', 'it runs');
select results_eq($$ select c.name, c.signup_date, c.city, c.country from public.customers as c where c.org_id = tests.org_id('acme') $$,
  $$ values ('Eins', '2023-12-31'::date, 'Ulm', null::text) $$, 'with transforms and defaults');
select tests.keep('lacking', (public.create_import('customers', template_id => tests.kept('v1')) ->> 'id')::uuid);
select throws_ok($$ select tests.stage_rows(tests.kept('lacking'), '{Nr,Name}', '[]') $$, 'PT422', 'file lacks columns of the template',
  'a file without its columns is refused');
create function pg_temp.detail(p_sql text) returns text language plpgsql as $$
declare
  v_detail text;
begin
  execute p_sql;
  return null;
exception when others then
  get stacked diagnostics v_detail = pg_exception_detail;
  return v_detail;
end $$;
select is(pg_temp.detail($$ select tests.stage_rows(tests.kept('lacking'), '{Nr,Name}', '[]') $$),
  'template "Ours", version 1: no column "Am", "Wer"', 'which are named');
select throws_ok($$ select public.create_import('customers', template_id => tests.kept('bolts_own')) $$, 'PT404', 'import template not found',
  'another organization''s is none');
select throws_ok($$ select public.create_import('customers', template_id => '00000000-0000-0000-0000-00000000dead') $$, 'PT404',
  'import template not found', 'like one that is nowhere');
select throws_ok($$ select public.create_import('products', template_id => tests.kept('v1')) $$, '22023',
  'template is for another dataset', 'it is for its dataset');
select throws_ok($$ select public.create_import('customers', template_id => tests.kept('v1'), mapping => '[]') $$, '22023',
  'mapping must be an object', 'a mapping beside it is one');
select tests.act_as('sid');
select throws_ok($$ select public.create_import('customers', org_id => tests.org_id('acme'), template_id => tests.kept('bolts_own')) $$,
  'PT404', 'import template not found', 'who sees all organizations does not mix them');

select tests.act_as('max');
select pg_temp.stage('later', p_mapping => '{"external_id": "Nr"}');
select is(pg_temp.document('later') -> 'template_id', 'null', 'a given mapping asks for no template');
select is(public.set_import_mapping(tests.kept('later'), template_id => tests.kept('v1')) #>> '{mapping,name,default}', '?',
  'set_import_mapping takes one');
select is(pg_temp.document('later') -> 'template_id', to_jsonb(tests.kept('v1')), 'and the import names it');
select is(pg_temp.document('later') #>> '{options,blank}', 'clear', 'with its options');
select is(public.set_import_mapping(tests.kept('later'), options => '{"blank": "ignore"}') -> 'template_id', to_jsonb(tests.kept('v1')),
  'it stays with other options');
select is(public.set_import_mapping(tests.kept('later'), '{"name": "Am"}', template_id => tests.kept('v1')) #>> '{mapping,name,columns,0}', 'Am',
  'fields given come first');
select is(public.set_import_mapping(tests.kept('later'), '{"external_id": "Nr"}') -> 'template_id', 'null', 'another mapping is not the template''s');
select throws_ok($$ select public.set_import_mapping(tests.kept('later'), template_id => tests.kept('bolts_own')) $$, 'PT404',
  'import template not found', 'another organization''s is none');
select throws_ok($$ select public.set_import_mapping(tests.kept('broken'), template_id => tests.kept('v1')) $$, 'PT422',
  'file lacks columns of the template', 'nor one that the file has no columns for');

-- By header ----------------------------------------------------------------------------------------------

select pg_temp.stage('same');
select is(pg_temp.document('same') -> 'template_id', to_jsonb(tests.kept('v4')), 'a file with the same header gets the organization''s newest');
select is(pg_temp.document('same') #>> '{suggested_mapping,name,reason}', 'template', 'which the suggestion says');
select is(pg_temp.document('same') -> 'mapping', pg_temp.template('v4') -> 'mapping', 'its mapping');
select is(pg_temp.document('same') #>> '{options,blank}', 'clear', 'and options');
select is(public.suggest_import_mapping(tests.kept('same')) #>> '{name,reason}', 'template', 'also when asked again');
select pg_temp.stage('explicit', p_options => '{"blank": "ignore"}');
select is(pg_temp.document('explicit') #>> '{options,blank}', 'ignore', 'options given come first, also the usual ones');
select pg_temp.stage('other', '{Wer,Nr,Am}');
select is(pg_temp.document('other') -> 'template_id', 'null', 'another header gets none');
select tests.act_as('ann');
select is(public.delete_import_template(tests.kept('v4')) -> 'is_current', 'false', 'an admin deletes a template');
select throws_ok($$ select public.delete_import_template(tests.kept('v4')) $$, 'PT409', 'template is not the current version', 'once');
select throws_ok($$ select public.delete_import_template(tests.kept('v1')) $$, 'PT409', 'template is not the current version',
  'and not by a former version');
select throws_ok($$ select public.create_import('customers', template_id => tests.kept('v4')) $$, 'PT409', 'template was deleted', 'it is used no more');
select is(pg_temp.template('v4') ->> 'name', 'Ours', 'but stays readable');
select is(pg_temp.document('same') -> 'template_id', to_jsonb(tests.kept('v4')), 'for the imports that used it');
select tests.act_as('max');
select throws_ok($$ select public.delete_import_template(t.id) from public.import_templates as t where t.name = 'Mia''s' $$, '42501',
  'organization role required', 'a member deletes none');
select tests.act_as('ann');
select public.delete_import_template(t.id) from public.import_templates as t where t.name = 'Mia''s';
select tests.act_as('max');
select pg_temp.stage('global_one');
select is(pg_temp.document('global_one') -> 'template_id', to_jsonb(tests.kept('global')), 'without one of its own it gets the one for all');
select is(pg_temp.save('again', 'global_one', 'Ours') -> 'version', '5', 'a deleted name goes on with its versions');
select tests.act_as_role('postgres');
delete from public.dataset_fields as f where f.dataset = 'customers' and f.name = 'name';
select tests.act_as('max');
select pg_temp.stage('gone');
select is(pg_temp.document('gone') -> 'template_id', 'null', 'one whose fields are gone is not chosen');
select tests.act_as_role('postgres');
select lives_ok($$ delete from public.organization where id = tests.org_id('acme') $$, 'templates go with their organization');

select * from finish();
rollback;
