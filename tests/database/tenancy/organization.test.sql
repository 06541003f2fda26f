-- create_organization, and who sees and changes organizations.
begin;
select plan(29);
select tests.set_up_actors();

select tests.act_as('otto');
select is_empty($$ select 1 from public.organization as o where o.slug like 'tests-%' $$,
  'who belongs to none sees no organization');
select throws_ok($$ select public.create_organization('Otto', 'Otto') $$, '23514',
  'new row for relation "organization" violates check constraint "organization_slug_check"', 'a slug has no capitals');
select throws_ok($$ select public.create_organization('Otto', 'otto-') $$, '23514',
  'new row for relation "organization" violates check constraint "organization_slug_check"', 'nor a hyphen at its end');
select throws_ok($$ select public.create_organization('Otto', repeat('a', 64)) $$, '23514',
  'new row for relation "organization" violates check constraint "organization_slug_check"', 'nor 64 characters');
select throws_ok($$ select public.create_organization('Otto', e'otto\n') $$, '23514',
  'new row for relation "organization" violates check constraint "organization_slug_check"', 'nor a line break');
select throws_ok($$ select public.create_organization('  ', 'otto') $$, '23514',
  'new row for relation "organization" violates check constraint "organization_name_check"',
    'a name is more than blanks');
select throws_ok($$ select public.create_organization(null, 'otto') $$, '23502',
  'null value in column "name" of relation "organization" violates not-null constraint', 'and is given');
select throws_ok($$ select public.create_organization('Otto', 'tests-acme') $$, '23505',
  'duplicate key value violates unique constraint "idx_organization_slug"', 'a slug is taken once');
select is((select p.org_id from public.profiles as p where p.id = tests.user_id('otto')), null,
  'a refused one changes nothing');
create temporary table made as select public.create_organization('Otto''s', 'tests-otto-1') as doc;
select is((select doc - 'id' from made), '{"name": "Otto''s", "slug": "tests-otto-1"}'::jsonb,
  'a person without organization makes one');
select results_eq(
  $$ select p.org_id, p.org_role::text from public.profiles as p where p.id = tests.user_id('otto') $$,
  $$ select (doc ->> 'id')::uuid, 'admin' from made $$, 'and is its admin');
select isnt_empty($$ select 1 from public.organization as o where o.slug = 'tests-otto-1' $$, 'and sees it');
select throws_ok($$ select public.create_organization('Otto', 'tests-otto-2') $$, 'PT409', 'already in an organization',
  'once');
select tests.act_as('vic');
select throws_ok($$ select public.create_organization('Vic', 'tests-vic') $$, 'PT409', 'already in an organization',
  'a viewer belongs to one already');
select tests.act_as_role('postgres');
select tests.add_user('nil');
update public.profiles set is_active = false where id = tests.user_id('nil');
select tests.act_as('nil');
select throws_ok($$ select public.create_organization('Nil', 'tests-nil') $$, '42501', 'an active profile is required',
  'an inactive person makes none');
select tests.assume('authenticated', '{"sub": "00000000-0000-0000-0000-00000000dead", "role": "authenticated"}');
select throws_ok($$ select public.create_organization('Ghost', 'tests-ghost') $$, '42501',
  'an active profile is required', 'nor does one without profile');
select tests.act_as_role('anon');
select throws_ok($$ select public.create_organization('Anon', 'tests-anon') $$, '42501',
  'permission denied for function create_organization', 'nor anon');
select tests.act_as_role('service_role');
select is(public.create_organization('Served', 'tests-served') ->> 'slug', 'tests-served',
  'the service makes organizations');
select is_empty($$ select 1 from public.profiles as p join public.organization as o on o.id = p.org_id
  where o.slug = 'tests-served' $$, 'which have nobody yet');

-- Visibility and writes --------------------------------------------------------------------------------

create function pg_temp.seen() returns text language sql as $$
  select string_agg(o.slug, ',' order by o.slug) from public.organization as o where o.slug like 'tests-%'
$$;
select tests.act_as('vic');
select is(pg_temp.seen(), 'tests-acme', 'people see their own');
select throws_ok($$ update public.organization set name = 'x' $$, '42501', 'permission denied for table organization',
  'and do not change it');
select tests.act_as('ann');
select throws_ok($$ update public.organization set is_active = true $$, '42501',
  'permission denied for table organization', 'nor do admins');
select throws_ok($$ insert into public.organization (name, slug) values ('x', 'tests-x') $$, '42501',
  'permission denied for table organization', 'or insert one');
select throws_ok($$ delete from public.organization $$, '42501', 'permission denied for table organization',
  'or delete it');
select tests.act_as('sid');
select is(pg_temp.seen(), 'tests-acme,tests-bolt,tests-otto-1,tests-served', 'a system admin sees all');
select throws_ok($$ update public.organization set name = 'x' $$, '42501', 'permission denied for table organization',
  'and changes none here');
select tests.act_as_role('service_role');
select lives_ok($$ update public.organization set name = 'Acme Ltd' where slug = 'tests-acme' $$, 'the service does');
select tests.act_as_role('postgres');
update public.organization set updated_at = '2001-01-01' where slug = 'tests-acme';
select is((select updated_at from public.organization where slug = 'tests-acme'), now(),
  'updated_at is the trigger''s');
select tests.act_as_role('anon');
select throws_ok($$ select 1 from public.organization $$, '42501', 'permission denied for table organization',
  'anon sees none');

select * from finish();
rollback;
