-- create_import: who may, for which organization, in which mode; idempotency keys.
begin;
select plan(48);
select tests.set_up_actors();

-- Who --------------------------------------------------------------------------------------------------

select tests.act_as('max');
select is(
  public.create_import('customers') @> (jsonb_build_object('org_id', tests.org_id('acme'), 'dataset', 'customers', 'mode', 'upsert', 'source', 'api',
    'status', 'receiving', 'initiated_by', tests.user_id('max'))
  || '{"file_name": null, "row_count": null, "byte_size": null, "content_hash": null, "columns": null, "format": null, "sample": null, "mapping": null, "suggested_mapping": null,
      "options": {"duplicates": "error", "on_error": "skip", "blank": "ignore"},
      "counts": {"rows": null, "valid": null, "failed": 0, "skipped": 0, "inserted": 0, "updated": 0, "unchanged": 0, "deleted": 0, "pending": null},
      "issues": [], "error": null, "progress": null, "job": null, "staged_at": null, "validated_at": null, "finished_at": null,
      "set_id": null, "depends_on": [], "corrects": null, "duplicate_of": null}'::jsonb),
  true,
  'a member makes an import of their organization');
select is(
  public.create_import('products', 'insert', tests.org_id('acme'), 'p.csv', 'cli', '{"sku": "SKU"}',
    '{"duplicates": "keep_last"}') - '{id,created_at,counts,org_id}'::text[] @>
  '{"dataset": "products", "mode": "insert", "source": "cli", "file_name": "p.csv", "mapping": {"sku": {"columns": ["SKU"], "transforms": [], "default": null}}, "options": {"duplicates": "keep_last"}}',
  true, 'with everything given');
select throws_ok($$ select public.create_import('customers', 'delete') $$, '42501', 'organization role required',
  'a member makes no delete');
select throws_ok($$ select public.create_import('customers', org_id => tests.org_id('bolt')) $$, 'PT404',
  'organization not found', 'nor an import elsewhere');
select throws_ok($$ select public.create_import('customers', org_id => '00000000-0000-0000-0000-00000000dead') $$,
  'PT404', 'organization not found', 'nor nowhere');
select tests.act_as('ann');
select is(public.create_import('customers', 'delete') ->> 'mode', 'delete', 'an admin makes a delete');
select tests.act_as('vic');
select throws_ok($$ select public.create_import('customers') $$, '42501', 'organization role required',
  'a viewer makes none');
select tests.act_as('otto');
select throws_ok($$ select public.create_import('customers') $$, '22023', 'organization is required',
  'who belongs to none makes none');
select throws_ok($$ select public.create_import('customers', org_id => tests.org_id('acme')) $$, 'PT404',
  'organization not found', 'and cannot name one');
select tests.act_as('sid');
select is((public.create_import('customers', org_id => tests.org_id('bolt')) ->> 'org_id')::uuid, tests.org_id('bolt'),
  'a system admin names any');
select throws_ok($$ select public.create_import('customers') $$, '22023', 'organization is required', 'and has to');
select tests.act_as_role('service_role');
select is((public.create_import('customers', org_id => tests.org_id('acme')) ->> 'org_id')::uuid, tests.org_id('acme'),
  'so does the service');
select throws_ok($$ select public.create_import('customers') $$, '22023', 'organization is required', 'and has to');
select throws_ok($$ select public.create_import('customers', org_id => '00000000-0000-0000-0000-00000000dead') $$,
  'PT404', 'organization not found', 'one that is there');
select tests.act_as_role('anon');
select throws_ok($$ select public.create_import('customers', org_id => tests.org_id('acme')) $$, '42501',
  'permission denied for function create_import', 'anon makes none');

-- Arguments ----------------------------------------------------------------------------------------------

select tests.act_as('max');
select throws_ok($$ select public.create_import('custom') $$, '22023', 'dataset is unknown', 'an unknown dataset');
select throws_ok($$ select public.create_import(null) $$, '22023', 'dataset is unknown', 'none');
select throws_ok($$ select public.create_import('customers', 'mirror') $$, '22023', 'mode is not allowed',
  'an unknown mode');
select throws_ok($$ select public.create_import('customers', mapping => '{"nope": "x"}') $$, '22023',
  'mapping names an unknown field', 'a mapping of an unknown field');
select throws_ok($$ select public.create_import('customers', mapping => '[]') $$, '22023', 'mapping must be an object',
  'a mapping that is none');
select throws_ok($$ select public.create_import('customers', options => '{"blank": 1}') $$, '22023',
  'option is not understood', 'an unknown option');
select throws_ok($$ select public.create_import('customers', source => 'My Portal') $$, '23514',
  'new row for relation "import_batches" violates check constraint "import_batches_source_check"',
    'a source is a plain word');
select throws_ok($$ select public.create_import('customers', file_name => repeat('x', 256)) $$, '23514',
  'new row for relation "import_batches" violates check constraint "import_batches_file_name_check"',
    'a file name has 255 characters');
select throws_ok($$ select public.create_import('customers', idempotency_key => '') $$, '23514',
  'new row for relation "import_batches" violates check constraint "import_batches_idempotency_key_check"',
    'a key is not empty');
select tests.act_as_role('postgres');
update public.datasets set allowed_modes = '{insert,update}' where key = 'products';
select tests.act_as('max');
select throws_ok($$ select public.create_import('products', 'upsert') $$, '22023', 'mode is not allowed',
  'a mode that the dataset does not allow');
select is(public.create_import('products') ->> 'mode', 'insert', 'then the first that it allows is the default');

-- Idempotency --------------------------------------------------------------------------------------------

select tests.keep('first', (public.create_import('customers', idempotency_key => 'k1') ->> 'id')::uuid);
select throws_ok($$ select public.create_import('customers', idempotency_key => 'k1') $$, 'PT409',
  'idempotency key is in use', 'a key whose upload is on its way is in use');
select tests.stage_rows(tests.kept('first'), '{external_id,name}', '[["1", "one"]]');
select is((public.create_import('customers', idempotency_key => 'k1') ->> 'id')::uuid, tests.kept('first'),
  'then it answers with the same import');
select is(public.create_import('customers', idempotency_key => 'k1') -> 'replayed', 'true', 'and says that it did');
select is(public.create_import('customers', idempotency_key => 'k1') ->> 'status', 'staged', 'as it stands');
select throws_ok($$ select public.create_import('products', idempotency_key => 'k1') $$, 'PT409',
  'idempotency key is in use', 'not for another dataset');
select throws_ok($$ select public.create_import('customers', 'insert', idempotency_key => 'k1') $$, 'PT409',
  'idempotency key is in use', 'nor another mode');
select is(public.create_import('customers', idempotency_key => 'k2') ? 'replayed', false,
  'another key is another import');
select tests.act_as('mia');
select isnt((public.create_import('customers', idempotency_key => 'k1') ->> 'id')::uuid, tests.kept('first'),
  'another person''s key is another key');
select tests.act_as_role('service_role');
select tests.keep('service', (public.create_import('customers', org_id => tests.org_id('acme'),
  idempotency_key => 'k1') ->> 'id')::uuid);
select isnt(tests.kept('service'), tests.kept('first'), 'the service''s, too');
select tests.stage_rows(tests.kept('service'), '{external_id,name}', '[]');
select is((public.create_import('customers', org_id => tests.org_id('acme'), idempotency_key => 'k1') ->> 'id')::uuid,
  tests.kept('service'), 'and it works alike');
select isnt((public.create_import('customers', org_id => tests.org_id('bolt'), idempotency_key => 'k1') ->> 'id')::uuid,
  tests.kept('service'), 'in another organization it is another');
select tests.act_as_role('postgres');
update public.import_batches set created_at = now() - interval '1 minute' where idempotency_key = 'k2';
select tests.act_as('max');
select is(public.create_import('customers', idempotency_key => 'k2') ? 'replayed', false,
  'the key of an upload that died is free');
select is((select count(*) from public.import_batches as b where b.initiated_by = tests.user_id('max')
  and b.status = 'failed' and b.error ->> 'code' = 'upload_interrupted'), 1::bigint,
  'and the dead one failed');

-- Direct writes ------------------------------------------------------------------------------------------

select throws_ok($$ insert into public.import_batches (org_id, dataset, mode, source) values (tests.org_id('acme'),
  'customers', 'insert', 'api') $$,
  '42501', 'permission denied for table import_batches', 'imports are made by the RPC alone');
select throws_ok($$ delete from public.import_batches $$, '42501', 'permission denied for table import_batches',
  'and not deleted');
select tests.act_as_role('service_role');
select throws_ok($$ insert into public.import_batches (org_id, dataset, mode, source) values (tests.org_id('acme'),
  'customers', 'insert', 'api') $$,
  '42501', 'permission denied for table import_batches', 'by the service, too');
select tests.act_as('vic');
select isnt_empty($$ select 1 from public.import_batches $$, 'viewers read them');
select tests.act_as('bob');
select is_empty($$ select 1 from public.import_batches as b where b.org_id = tests.org_id('acme') $$,
  'strangers do not');
select tests.act_as_role('anon');
select throws_ok($$ select 1 from public.import_batches $$, '42501', 'permission denied for table import_batches',
  'nor anon');

-- The same key of several people does not tie them together.
select tests.act_as_role('postgres');
select lives_ok($$ delete from auth.users where id = tests.user_id('max') $$, 'a person who used a key can be deleted');
select lives_ok($$ delete from auth.users where id = tests.user_id('mia') $$, 'and another who used the same');
select lives_ok($$ delete from public.organization where id = tests.org_id('acme') $$,
  'and the organization, with all of it');

select * from finish();
rollback;
