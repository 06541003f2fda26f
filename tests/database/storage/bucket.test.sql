-- The bucket imports: who may put files there, read and delete them, and where they are told to upload to.
begin;
select plan(36);
select tests.set_up_actors();

select results_eq($$ select name, public from storage.buckets where id = 'imports' $$, $$ values ('imports'::text, false) $$,
  'the bucket is private');

-- A file as Storage writes it down, as its owner.
create function pg_temp.put(p_path text, p_bucket text default 'imports') returns void language sql as $$
  insert into storage.objects (bucket_id, name, owner_id, metadata)
  values (p_bucket, p_path, auth.uid()::text, '{"size": 10}')
$$;
create function pg_temp.own(p_slug text, p_name text) returns text language sql as $$
  select tests.org_id(p_slug) || '/' || p_name
$$;
create function pg_temp.seen() returns bigint language sql as $$
  select count(*) from storage.objects where bucket_id = 'imports'
$$;

-- Putting ----------------------------------------------------------------------------------------------

select tests.act_as('max');
select lives_ok($$ select pg_temp.put(pg_temp.own('acme', 'max.csv')) $$, 'a member puts a file into their organization''s folder');
select throws_ok($$ select pg_temp.put(pg_temp.own('bolt', 'max.csv')) $$, '42501',
  'new row violates row-level security policy for table "objects"', 'not into another''s');
select throws_ok($$ select pg_temp.put('max.csv') $$, '42501',
  'new row violates row-level security policy for table "objects"', 'nor beside the folders');
select tests.act_as('ann');
select lives_ok($$ select pg_temp.put(pg_temp.own('acme', 'ann.csv')) $$, 'an admin, too');
select tests.act_as('bob');
select lives_ok($$ select pg_temp.put(pg_temp.own('bolt', 'bob.csv')) $$, 'of each organization');
select tests.act_as('vic');
select throws_ok($$ select pg_temp.put(pg_temp.own('acme', 'vic.csv')) $$, '42501',
  'new row violates row-level security policy for table "objects"', 'a viewer puts none');
select tests.act_as('otto');
select throws_ok($$ select pg_temp.put(pg_temp.own('acme', 'otto.csv')) $$, '42501',
  'new row violates row-level security policy for table "objects"', 'nor does who belongs to none');
select tests.act_as_role('anon');
select throws_ok($$ select pg_temp.put(pg_temp.own('acme', 'anon.csv')) $$, '42501',
  'new row violates row-level security policy for table "objects"', 'nor anon');

-- Reading, changing, deleting --------------------------------------------------------------------------

select tests.act_as('max');
select is(pg_temp.seen(), 1::bigint, 'a member reads what they put there');
select is_empty($$ update storage.objects set metadata = '{}' where bucket_id = 'imports' returning 1 $$, 'and does not replace it');
select is_empty($$ delete from storage.objects where bucket_id = 'imports' returning 1 $$, 'nor delete it');
select tests.act_as('mia');
select is(pg_temp.seen(), 0::bigint, 'another member does not: it may hold what only admins may see');
select tests.act_as('ann');
select is(pg_temp.seen(), 2::bigint, 'an admin reads all of the organization');
select is_empty($$ update storage.objects set metadata = '{}' where bucket_id = 'imports' returning 1 $$, 'replaces none');
select isnt_empty(format($$ delete from storage.objects where name = %L returning 1 $$, pg_temp.own('acme', 'ann.csv')),
  'and deletes');
select is_empty(format($$ delete from storage.objects where name = %L returning 1 $$, pg_temp.own('bolt', 'bob.csv')),
  'nothing of another organization');
select tests.act_as('vic');
select is(pg_temp.seen(), 0::bigint, 'a viewer reads none');
select tests.act_as('bob');
select is(pg_temp.seen(), 1::bigint, 'nor does a stranger');
select tests.act_as_role('anon');
select is(pg_temp.seen(), 0::bigint, 'nor anon');
select tests.act_as_role('postgres');
update public.profiles set org_id = null, org_role = 'viewer' where id = tests.user_id('max');
select tests.act_as('max');
select is(pg_temp.seen(), 0::bigint, 'who left reads nothing any more');
select tests.act_as_role('postgres');
select tests.join_organization('max', 'acme', 'member');

-- Where to upload --------------------------------------------------------------------------------------

select tests.act_as('max');
select matches(public.prepare_import_upload('customers', file_name => 'Kunden März 1.csv') ->> 'storage_path',
  '^' || tests.org_id('acme') || '/[0-9a-f-]{36}/Kunden_M_rz_1\.csv$', 'a member is told a path of their own, in letters that Storage takes');
select matches(public.prepare_import_upload() ->> 'storage_path', '^' || tests.org_id('acme') || '/[0-9a-f-]{36}/file$',
  'also without a name, and for an archive');
select is(public.prepare_import_upload('customers') -> 'max_bytes', '5368709120', 'and how much it may be');
select throws_ok($$ select public.prepare_import_upload('custom') $$, '22023', 'dataset is unknown', 'what could not be imported is not uploaded');
select throws_ok($$ select public.prepare_import_upload('customers', 'delete') $$, '42501', 'organization role required',
  'nor what they may not import');
select throws_ok($$ select public.prepare_import_upload('users') $$, '42501', 'organization role required', 'nor people');
select throws_ok($$ select public.prepare_import_upload('customers', org_id => tests.org_id('bolt')) $$, 'PT404', 'organization not found',
  'nor elsewhere');
select tests.act_as('vic');
select throws_ok($$ select public.prepare_import_upload('customers') $$, '42501', 'organization role required', 'a viewer uploads nothing');
select throws_ok($$ select public.prepare_import_upload() $$, '42501', 'organization role required', 'nor archives');
select tests.act_as_role('service_role');
select matches(public.prepare_import_upload('users', org_id => tests.org_id('bolt')) ->> 'storage_path', '^' || tests.org_id('bolt'),
  'the service names the organization');
select throws_ok($$ select public.prepare_import_upload('customers') $$, '22023', 'organization is required', 'and has to');
select tests.act_as_role('anon');
select throws_ok($$ select public.prepare_import_upload('customers') $$, '42501', 'permission denied for function prepare_import_upload',
  'anon is told nothing');

-- Whose file it is -------------------------------------------------------------------------------------

select tests.act_as('ann');
select throws_ok(format($$ select public.create_import('customers', storage_path => %L) $$, pg_temp.own('bolt', 'bob.csv')), 'PT404',
  'stored file not found', 'another organization''s file is not there');
select tests.act_as_role('service_role');
select throws_ok(format($$ select public.create_import('customers', org_id => tests.org_id('acme'), storage_path => %L) $$,
  pg_temp.own('bolt', 'bob.csv')), '22023', 'stored file is not the organization''s', 'and is not imported into this one by the service');


-- Storage takes such names. In a URL, by which the worker function reads with the service key, they are others.
select tests.act_as_role('postgres');
insert into storage.objects (bucket_id, name, owner_id, metadata)
select 'imports', tests.org_id('acme') || n.name, tests.user_id('max')::text, '{"size": 10}'
from unnest(array['/a/../b.csv', '/./b.csv', '//b.csv', '/..', '/b.csv?', '/b.csv#', '/%2e%2e/b.csv', '/a\..\b.csv', e'/.\t./b.csv', '/b.csv ', '/a..b.csv', '/.b/..c'])
  as n (name);
insert into storage.objects (bucket_id, name, owner_id, metadata)
values ('imports', format('%s/../%s/bob.csv', tests.org_id('acme'), tests.org_id('bolt')), tests.user_id('max')::text, '{"size": 10}');
select tests.act_as('max');
create function pg_temp.is_refused(p_path text) returns boolean language plpgsql as $$
begin
  perform public.create_import('customers', storage_path => p_path);
  return false;
exception when sqlstate '22023' then
  return sqlerrm = 'stored file is not the organization''s';
end $$;
select results_eq(
  $$ select split_part(o.name, '/', -1) from storage.objects as o
    where o.owner_id = tests.user_id('max')::text and not pg_temp.is_refused(o.name) order by 1 $$,
  array['..c', 'a..b.csv', 'max.csv'], 'a name that a URL reads otherwise is refused');

select * from finish();
rollback;
