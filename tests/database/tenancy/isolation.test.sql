-- What a person reaches of every table, view and RPC: nothing of other organizations, and nothing at all once they,
-- or their organization, are not active.
begin;
select plan(46);
select tests.set_up_actors();

-- Something of acme's in every table: an import by max with issues, jobs, a session, products.
select tests.act_as('max');
select tests.keep('i', tests.stage_import('customers', '{external_id,name,email}',
  '[["1", "one", "bad"], ["2", "two", null]]'));
select tests.run_import(tests.kept('i'));
select public.save_import_template(tests.kept('i'), 'mine');
select tests.keep('p', tests.stage_import('products', '{sku,name,unit_price}', '[["1", "one", "1"]]'));
select tests.run_import(tests.kept('p'));
select tests.act_as_role('postgres');
insert into public.sync_error_log (org_id, job_id, task_id, attempt, sqlstate, message)
select j.org_id, j.id, 1, 1, '40001', 'x' from public.scheduled_jobs as j where j.batch_id = tests.kept('i') limit 1;
insert into public.sync_job_queue (job_id, org_id, task_type, from_row, to_row, status)
select j.id, j.org_id, 'x', 0, 1, 'failed' from public.scheduled_jobs as j where j.batch_id = tests.kept('i') limit 1;

-- Every relation with rows of acme, and the count that the caller sees.
create function tests.reach() returns table (name text,
  seen bigint) language plpgsql volatile security invoker set search_path = '' as $$
begin
  for name in select unnest('{organization,profiles,customers,products,import_batches,import_sessions,import_templates,scheduled_jobs,sync_progress,
    sync_activity_log,sync_job_queue,sync_error_log,monitor_imports,monitor_jobs,monitor_queue,admin_import_sessions_monitor}'::text[])
  loop
    execute format('select count(*) from public.%I as t where %s = any (array[tests.org_id(''acme'')])', name,
      case name when 'organization' then 't.id' else 't.org_id' end) into seen;
    return next;
  end loop;
end $$;
grant execute on function tests.reach() to authenticated, service_role;
create function pg_temp.reached() returns text language sql as $$
  select coalesce(string_agg(r.name, ',' order by r.name), '') from tests.reach() as r where r.seen > 0
$$;

select tests.act_as('ann');
select is(pg_temp.reached(),
  'admin_import_sessions_monitor,customers,import_batches,import_templates,monitor_imports,monitor_jobs,monitor_queue,organization,products,profiles,scheduled_jobs,sync_activity_log,sync_error_log,sync_job_queue,sync_progress',
  'an admin reaches all of their organization but other people''s sessions');
select tests.act_as('max');
select is(pg_temp.reached(),
  'customers,import_batches,import_sessions,import_templates,organization,products,profiles,scheduled_jobs,sync_progress',
  'a member what is theirs and their organization''s, not what admins watch');
select tests.act_as('mia');
select is(pg_temp.reached(), 'customers,import_batches,import_templates,organization,products,profiles,scheduled_jobs,sync_progress',
  'another member not max''s session');
select tests.act_as('vic');
select is(pg_temp.reached(), 'customers,import_batches,import_templates,organization,products,profiles,scheduled_jobs,sync_progress',
  'a viewer the same, to read');
select tests.act_as('sid');
select is(pg_temp.reached(),
  'admin_import_sessions_monitor,customers,import_batches,import_sessions,import_templates,monitor_imports,monitor_jobs,monitor_queue,organization,products,profiles,scheduled_jobs,sync_activity_log,sync_error_log,sync_job_queue,sync_progress',
  'a system admin what an admin reaches, of every organization, and people''s sessions');
select tests.act_as('bob');
select is(pg_temp.reached(), '', 'another organization''s admin reaches nothing');
select tests.act_as('otto');
select is(pg_temp.reached(), '', 'nor does who belongs to none');

-- Each RPC, for the stranger.
create function pg_temp.calls() returns table (name text, sql text) language sql as $$
  values
    ('get_import', 'select public.get_import(tests.kept(''i''))'),
    ('set_import_mapping', 'select public.set_import_mapping(tests.kept(''i''), ''{}'')'),
    ('suggest_import_mapping', 'select public.suggest_import_mapping(tests.kept(''i''))'),
    ('validate_import', 'select public.validate_import(tests.kept(''i''))'),
    ('commit_import', 'select public.commit_import(tests.kept(''i''))'),
    ('cancel_import', 'select public.cancel_import(tests.kept(''i''))'),
    ('find_similar_imports', 'select public.find_similar_imports(tests.kept(''i''))'),
    ('save_import_template', 'select public.save_import_template(tests.kept(''i''), ''x'')'),
    ('list_import_rows', 'select public.list_import_rows(tests.kept(''i''))'),
    ('list_import_issues', 'select public.list_import_issues(tests.kept(''i''))')
$$;
select tests.act_as('bob');
select throws_ok(c.sql, 'PT404', 'import not found', c.name || ': a stranger cannot tell that the import exists')
  from pg_temp.calls() as c;
select throws_ok($$ select public.create_import('customers', org_id => tests.org_id('acme')) $$, 'PT404',
  'organization not found',
  'create_import: nor the organization');
select throws_ok($$ select public.get_import('00000000-0000-0000-0000-00000000dead') $$, 'PT404', 'import not found',
  'one that is nowhere is the same');
select is(public.list_imports() -> 'imports', '[]'::jsonb, 'list_imports: lists none of others''');
select is_empty($$ update public.customers set name = 'x' where org_id = tests.org_id('acme') returning 1 $$,
  'business tables: nothing to update');
select throws_ok($$ insert into public.customers (org_id, external_id, name) values (tests.org_id('acme'), 'x', 'x') $$,
  '42501', 'new row violates row-level security policy for table "customers"', 'nothing to insert');

-- Not active ---------------------------------------------------------------------------------------------

select tests.act_as_role('postgres');
update public.profiles set is_active = false where id = tests.user_id('max');
select tests.act_as('max');
select is(pg_temp.reached(), 'profiles', 'an inactive person reaches their own profile alone');
select is((select count(*) from public.profiles), 1::bigint, 'and no other');
select throws_ok(c.sql, 'PT404', 'import not found', c.name || ': not for an inactive person')
  from pg_temp.calls() as c;
select throws_ok($$ select public.create_import('customers') $$, 'PT404', 'organization not found',
  'create_import: nor that');
select tests.act_as_role('postgres');
update public.profiles set is_active = true where id = tests.user_id('max');
update public.organization set is_active = false where id = tests.org_id('acme');
select tests.act_as('ann');
select is(pg_temp.reached(), 'profiles', 'in a closed organization an admin reaches their own profile alone');
select throws_ok($$ select public.get_import(tests.kept('i')) $$, 'PT404', 'import not found', 'and no import');
select tests.act_as('max');
select is(pg_temp.reached(), 'profiles', 'and so does a member');
select tests.act_as('sid');
select isnt(pg_temp.reached(), '', 'a system admin still sees it');
select throws_ok($$ select public.set_import_mapping(tests.kept('i')) $$, '42501', 'organization is not active',
  'but does not work in it');
select tests.act_as_role('postgres');
update public.organization set is_active = true where id = tests.org_id('acme');
update public.profiles set is_active = false where id = tests.user_id('sid');
select tests.act_as('sid');
select is(pg_temp.reached(), '', 'an inactive system admin reaches nothing');

-- Roles, as org_ids tells them.
create function pg_temp.held(p_nick text) returns text language plpgsql as $$
begin
  perform tests.act_as(p_nick);
  return (select string_agg(r.role || ':' || (select count(*) from private.org_ids(r.role::public.org_role) as o (id)
    where o.id in (tests.org_id('acme'), tests.org_id('bolt'))), ' ')
    from unnest('{viewer,member,admin}'::text[]) as r (role));
end $$;
select is(pg_temp.held('vic'), 'viewer:1 member:0 admin:0', 'a viewer is a viewer');
select is(pg_temp.held('max'), 'viewer:1 member:1 admin:0', 'a member also what viewers are');
select is(pg_temp.held('ann'), 'viewer:1 member:1 admin:1', 'an admin all three');
select is(pg_temp.held('otto'), 'viewer:0 member:0 admin:0', 'who belongs to none is nothing');
select tests.act_as_role('service_role');
select is((select count(*) from private.org_ids('admin') as o (id)
  where o.id in (tests.org_id('acme'), tests.org_id('bolt'))), 2::bigint, 'the service is everything');

select * from finish();
rollback;
