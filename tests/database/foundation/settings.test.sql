-- Settings: their types and bounds, whose value is in force, who may set and read them.
begin;
select plan(38);
select tests.set_up_actors();

-- One that an organization's admin may set: the later capabilities have such.
insert into private.setting_definitions (key, value_type, minimum, maximum, default_value, set_by, description) values
  ('tests.colour', 'string', null, null, '"red"', 'admin', 'A colour.'),
  ('tests.switch', 'boolean', null, null, 'false', 'admin', 'A switch.'),
  ('tests.size', 'number', 1, 10, '5', 'system_admin', 'A size.');

-- Precedence -----------------------------------------------------------------------------------------

select is(private.setting('tests.size'), '5'::jsonb, 'the default is in force');
select is(private.setting('tests.size', tests.org_id('acme')), '5'::jsonb, 'for every organization');
insert into private.settings (key, org_id, value) values ('tests.size', null, '6');
select is(private.setting('tests.size', tests.org_id('acme')), '6'::jsonb, 'then the value for all');
insert into private.settings (key, org_id, value) values ('tests.size', tests.org_id('acme'), '7');
select is(private.setting('tests.size', tests.org_id('acme')), '7'::jsonb, 'then the organization''s own');
select is(private.setting('tests.size', tests.org_id('bolt')), '6'::jsonb, 'which is nobody else''s');
select is(private.setting('tests.size'), '6'::jsonb, 'nor everybody''s');
select throws_ok($$ select private.setting('tests.none') $$, 'IM001', 'no such setting',
  'an unknown setting is a mistake of ours');
select throws_ok($$ insert into private.settings (key, org_id, value) values ('tests.size', null, '8') $$,
  '23505', 'duplicate key value violates unique constraint "settings_key_org_id_key"', 'there is one value for all');
select throws_ok($$ insert into private.settings (key, value) values ('tests.none', '8') $$,
  '22023', 'setting has another type', 'an unknown setting has no value');
delete from public.organization where id = tests.org_id('bolt');
select lives_ok($$ insert into public.organization (id, name, slug) values (tests.org_id('bolt'), 'Bolt',
  'tests-bolt') $$, 'an organization''s values go with it');
select tests.join_organization('bob', 'bolt', 'admin');

-- Types and bounds -------------------------------------------------------------------------------------

select tests.act_as('sid');
select lives_ok($$ select public.set_setting('tests.size', '1') $$, 'the minimum is allowed');
select lives_ok($$ select public.set_setting('tests.size', '10') $$, 'the maximum is allowed');
select is((select value from public.list_settings() where key = 'tests.size'), '10'::jsonb, 'the last one is in force');
select throws_ok($$ select public.set_setting('tests.size', '0.5') $$, '22023', 'setting is out of bounds',
  'less is not');
select throws_ok($$ select public.set_setting('tests.size', '11') $$, '22023', 'setting is out of bounds',
  'more is not');
select throws_ok($$ select public.set_setting('tests.size', '"5"') $$, '22023', 'setting has another type',
  'a text is no number');
select throws_ok($$ select public.set_setting('tests.size', 'null') $$, '22023', 'setting has another type',
  'nor is null');
select throws_ok($$ select public.set_setting('tests.size', null) $$, '22023', 'setting has another type',
  'nor is nothing');
select throws_ok($$ select public.set_setting('tests.none', '1') $$, '22023', 'no such setting',
  'an unknown one is refused');
select throws_ok($$ select public.set_setting('tests.size', '5', '00000000-0000-0000-0000-00000000dead') $$,
  '23503', 'insert or update on table "settings" violates foreign key constraint "settings_org_id_fkey"',
    'so is an unknown organization');

-- Who sets ---------------------------------------------------------------------------------------------

select tests.act_as('ann');
select lives_ok($$ select public.set_setting('tests.colour', '"blue"', tests.org_id('acme')) $$,
  'an admin sets what admins may, for the own organization');
select throws_ok($$ select public.set_setting('tests.colour', '"blue"', tests.org_id('bolt')) $$, '42501',
  'organization role required', 'not for another');
select throws_ok($$ select public.set_setting('tests.colour', '"blue"') $$, '42501',
  'setting is not the caller''s to change', 'not for all');
select throws_ok($$ select public.set_setting('tests.size', '5', tests.org_id('acme')) $$, '42501',
  'setting is not the caller''s to change', 'not what system admins set');
select tests.act_as('max');
select throws_ok($$ select public.set_setting('tests.colour', '"blue"', tests.org_id('acme')) $$, '42501',
  'organization role required', 'a member sets nothing');
select tests.act_as('sid');
select lives_ok($$ select public.set_setting('tests.colour', '"green"') $$, 'a system admin sets for all');
select lives_ok($$ select public.set_setting('tests.size', '5', tests.org_id('acme')) $$, 'and for any organization');
select throws_ok($$ select public.set_setting('imports.chunk_rows', '5') $$, '42501',
  'setting is not the caller''s to change', 'but not what is postgres''s');
select tests.act_as_role('service_role');
select lives_ok($$ select public.set_setting('tests.size', '5') $$, 'so does the service');
select throws_ok($$ select public.set_setting('imports.chunk_rows', '5') $$, '42501',
  'setting is not the caller''s to change', 'with the same exception');
select tests.act_as_role('postgres');
select lives_ok($$ select public.set_setting('imports.chunk_rows', '5') $$, 'postgres sets all');
select tests.act_as_role('anon');
select throws_ok($$ select public.set_setting('tests.size', '5') $$, '42501',
  'permission denied for function set_setting', 'anon none');

-- Who reads --------------------------------------------------------------------------------------------

select tests.act_as('vic');
select results_eq(
  $$ select s.value, s.default_value, s.minimum, s.maximum, s.set_by, s.description
    from public.list_settings(tests.org_id('acme')) as s where s.key like 'tests.%' $$,
  $$ values ('"blue"'::jsonb, '"red"'::jsonb, null::numeric, null::numeric, 'admin', 'A colour.'),
    ('5', '5', 1, 10, 'system_admin', 'A size.'), ('false', 'false', null, null, 'admin', 'A switch.') $$,
  'people read what is in force for them');
select throws_ok($$ select public.list_settings(tests.org_id('bolt')) $$, '42501', 'organization role required',
  'not for others');
select tests.act_as('otto');
select lives_ok($$ select public.list_settings() $$, 'everybody reads what is in force for all');
select throws_ok($$ select value from private.settings $$, '42501', 'permission denied for table settings',
  'the table itself is closed');
select tests.act_as_role('service_role');
select throws_ok($$ update private.settings set value = '1' $$, '42501', 'permission denied for table settings',
  'to the service, too');
select tests.act_as_role('postgres');
select is((select updated_by from private.settings where key = 'tests.colour' and org_id = tests.org_id('acme')),
  tests.user_id('ann'), 'who set it is kept');

select * from finish();
rollback;
