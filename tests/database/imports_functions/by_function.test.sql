-- Datasets that a function writes, one record a row: behind a view that shows each caller what they may manage.
begin;
select plan(67);
select tests.set_up_actors();

create type public.grade as enum ('low', 'high');
create table private.members (
  id         uuid primary key default gen_random_uuid(),
  org_id     uuid not null references public.organization (id),
  email      text not null unique,
  name       text,
  grade      public.grade not null default 'low',
  seals      integer,
  import_id  text,
  touched_at timestamptz not null default clock_timestamp()
);
create view private.member_records with (security_barrier) as
  select m.id, m.org_id, m.email, m.name, m.grade
  from private.members as m
  where m.org_id in (select private.org_ids('admin'));
grant select on private.member_records to authenticated, service_role;
create type private.member_row as (email text, name text, grade public.grade, seal text, born date, country varchar(2));

create function private.apply_members(p_org_id uuid, p_mode public.import_mode, p_clear text[], p_rows private.member_row[])
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_email text;
begin
  select r.email into v_email from unnest(p_rows) as r where r.name = 'Nobody' limit 1;
  if found then
    perform private.refuse_row('nobody', 'name', 'nobody is no member', v_email);
  end if;

  if p_mode = 'delete' then
    delete from private.members as m using unnest(p_rows) as r where m.email = r.email and m.name is distinct from 'Stays';
  elsif p_mode = 'insert' then
    select m.email into v_email from private.members as m join unnest(p_rows) as r on r.email = m.email limit 1;
    if found then
      perform private.refuse_row('already_exists', 'email', 'a record with this key exists');
    end if;
    insert into private.members (org_id, email, name, grade, seals, import_id)
    select p_org_id, r.email, r.name, coalesce(r.grade, 'low'), length(r.seal), current_setting('sluice.import_id', true)
    from unnest(p_rows) as r;
  else
    update private.members as m
    set name = coalesce(r.name, case when 'name' <> all (p_clear) then m.name end),
        grade = coalesce(r.grade, m.grade),
        import_id = current_setting('sluice.import_id', true)
    from unnest(p_rows) as r
    where m.email = r.email
      and (m.name, m.grade) is distinct from (coalesce(r.name, case when 'name' <> all (p_clear) then m.name end), coalesce(r.grade, m.grade));
  end if;
end;
$$;
-- Who asks, and for what, can be read in the messages.
create function private.check_members(p_org_id uuid, p_mode public.import_mode, p_rows private.member_row[])
returns table (place integer, field text, code text, message text, value text)
language sql stable
security invoker
set search_path = ''
as $$
  select r.place, 'name', 'not_welcome', 'is not welcome to ' || p_mode || ' of ' || (select o.slug from public.organization as o where o.id = p_org_id)
    || ', says ' || coalesce((select p.email from public.profiles as p where p.id = auth.uid()), current_user), r.name
  from unnest(p_rows) with ordinality as r (email, name, grade, seal, born, country, place)
  where r.name like 'Bad%' or (r.name = 'Worse' and 1 / (length(r.name) - 5) > 0);
$$;
revoke execute on function private.check_members(uuid, public.import_mode, private.member_row[]) from public;
revoke execute on function private.apply_members(uuid, public.import_mode, text[], private.member_row[]) from public;

-- Registering ----------------------------------------------------------------------------------------

create function pg_temp.register(p_target text, p_org_column name, p_apply text, p_check text, p_key text[] default '{email}')
returns public.datasets
language sql
as $$
  select private.register_dataset('members', p_target, p_key, org_column => p_org_column, apply_function => p_apply,
    check_function => p_check, required_role => 'admin', entity_type => 'user');
$$;
create function pg_temp.refusal(p_sql text)
returns text
language plpgsql
as $$
declare
  v_detail text;
begin
  execute p_sql;
  return null;
exception when others then
  get stacked diagnostics v_detail = pg_exception_detail;
  return concat_ws(' ', sqlstate, nullif(v_detail, ''));
end;
$$;
select is(pg_temp.refusal($$ select pg_temp.register('private.member_records', null, 'private.apply_members', null) $$),
  '22023 private.member_records: its apply function is none', 'a function that people may not call is refused');
grant execute on function private.apply_members(uuid, public.import_mode, text[], private.member_row[]) to authenticated, service_role;
select is(pg_temp.refusal($$ select pg_temp.register('private.member_records', null, null, null) $$),
  '22023 private.member_records: it is not a table', 'so is a view without a function');
select is(pg_temp.refusal($$ select pg_temp.register('private.member_records', null, 'private.apply_members', 'private.is_system_admin') $$),
  '22023 private.member_records: its check function is none', 'a function that checks nothing');
select is(pg_temp.refusal($$ select pg_temp.register('private.member_records', 'name', 'private.apply_members', null) $$),
  '22023 private.member_records: it has no organization column', 'an organization column that is none');
select is(pg_temp.refusal($$ select pg_temp.register('private.member_records', null, 'private.apply_members', null, '{country}') $$),
  '22023 private.member_records: it does not show the key', 'a key that the view does not show');
select is(left(pg_temp.refusal($$ select pg_temp.register('private.member_records', null, 'private.apply_members', null, '{email,name}') $$), 5),
  '23514', 'a key of two fields');
select is(pg_temp.refusal($$ select pg_temp.register('private.members', 'org_id', 'private.apply_members', null) $$),
  '22023 private.members: row level security is off', 'a table without row level security, function or not');
select is(pg_temp.refusal($$ select private.register_dataset('bad', 'public.products', '{sku}', required_role => 'viewer') $$) ~ '^23514',
  true, 'viewers import nothing');

select is((pg_temp.register('private.member_records', null, 'private.apply_members', 'private.check_members')).apply_function,
  'private.apply_members', 'a view and its functions are registered');
select results_eq(
  $$ select f.name, f.type, f.is_required, f.rules from public.dataset_fields as f where f.dataset = 'members' order by f.position $$,
  $$ values ('email', 'text', true, '{}'::jsonb), ('name', 'text', false, '{}'), ('grade', 'public.grade', false, '{"one_of": ["low", "high"]}'),
    ('seal', 'text', false, '{}'), ('born', 'date', false, '{}'), ('country', 'character varying(2)', false, '{"max_length": 2}') $$,
  'its fields are the columns of the function''s rows');
select throws_ok($$ update public.dataset_fields as f set rules = '{"lower": 1}' where f.dataset = 'members' and f.name = 'email' $$,
  '22023', 'rule is not understood', 'lower is true or false');
update public.dataset_fields as f set rules = f.rules || '{"lower": true}' where f.dataset = 'members' and f.name in ('email', 'grade');

create function pg_temp.fates(p_id uuid)
returns table (row_number integer, status text, code text)
language sql
as $$
  select r.row_number, r.status, r.issues #>> '{0,code}' from public.list_import_rows(p_id) as r
$$;
create function pg_temp.members()
returns table (email text, name text, grade public.grade)
language sql security definer
as $$
  select m.email, m.name, m.grade from private.members as m where m.org_id = tests.org_id('acme') order by m.email
$$;

-- Rights ---------------------------------------------------------------------------------------------

select tests.act_as('max');
select throws_ok($$ select public.create_import('members') $$, '42501', 'organization role required', 'a member may not import into it');
select lives_ok($$ select public.create_import('customers') $$, 'though into others');
select tests.act_as('ann');
select tests.keep('i', tests.stage_import('members', '{mail,name,grade,born}', '[
  ["Ada@X.test",  "Ada",    "HIGH", null],
  ["bo@x.test",   "Bo",     null,   "1970-02-30"],
  ["ADA@x.test",  "Ada",    null,   null],
  ["cy@x.test",   "Bad Cy", null,   null],
  ["di@x.test",   "Nobody", null,   null],
  ["ed@x.test",   "Ed",     "low",  null],
  ["eve@x.test",  "Eve",    "none", null],
  ["taken@x.test", "Tim",   null,   null],
  ["fay@x.test",  "Fay",    null,   "1990-01-01"]]', null,
  '{"email": "mail", "name": "name", "grade": "grade", "born": "born"}', '{"duplicates": "keep_first"}'));
select tests.act_as_role('postgres');
insert into private.members (org_id, email, name) values (tests.org_id('bolt'), 'taken@x.test', 'Theirs');

-- Judging --------------------------------------------------------------------------------------------

select tests.act_as('ann');
select is(tests.run_import(tests.kept('i'), false), 'validated', 'an admin''s import is judged');
select results_eq($$ select * from pg_temp.fates(tests.kept('i')) $$,
  $$ values (1, 'validated', null), (2, 'failed', 'invalid_type'), (3, 'skipped', 'duplicate_in_file'), (4, 'failed', 'not_welcome'),
    (5, 'validated', null), (6, 'validated', null), (7, 'failed', 'not_in_list'), (8, 'validated', null), (9, 'validated', null) $$,
  'keys are the same whatever their letters; the check function has a say');
select results_eq($$ select i.row_number, i.field, i.message, i.value from public.list_import_issues(tests.kept('i'), code => 'not_welcome') as i $$,
  $$ values (4, 'name', 'is not welcome to upsert of tests-acme, says ann@example.test', 'Bad Cy') $$, 'with the claims of whom it works for');
select is(public.get_import_preview(tests.kept('i')) -> 'counts',
  '{"insert": 5, "update": 0, "unchanged": 0, "delete": 0, "fail": 3, "skip": 1}', 'a preview counts');
select is(public.get_import_preview(tests.kept('i')) -> 'changes', '[]', 'and shows no changes');

select tests.act_as('max');
select throws_ok($$ select public.get_import(tests.kept('i')) $$, 'PT404', 'import not found', 'a member does not see it');
select is_empty($$ select from public.import_batches as b where b.id = tests.kept('i') $$, 'nor its row');
select throws_ok($$ select public.list_import_rows(tests.kept('i')) $$, 'PT404', 'import not found', 'nor its rows');
select throws_ok($$ select public.list_import_issues(tests.kept('i')) $$, 'PT404', 'import not found', 'nor its issues');
select throws_ok($$ select public.commit_import(tests.kept('i')) $$, 'PT404', 'import not found', 'nor may they start it');
select throws_ok($$ select public.create_import('customers', depends_on => array[tests.kept('i')]) $$, 'PT404', 'import not found',
  'or wait for it');
select isnt_empty($$ select from public.scheduled_jobs as j where j.batch_id = tests.kept('i') $$, 'that a job ran is no secret');
select is(jsonb_array_length(public.list_imports('members') -> 'imports'), 0, 'the list is without it');
select tests.act_as('bob');
select throws_ok($$ select public.get_import(tests.kept('i')) $$, 'PT404', 'import not found', 'another organization''s admin does not');
select tests.act_as('ann');
select is(jsonb_array_length(public.list_imports('members') -> 'imports'), 1, 'an admin''s list has it');
select is((select count(*) from public.sync_preview_cache), 1::bigint, 'and the cache its preview');
select throws_ok(format('select public.share_import_session(%L, %L)',
    (select s.id from public.import_sessions as s where s.batch_id = tests.kept('i')), tests.user_id('max')),
  '22023', 'person is not of the organization', 'nor is it shared with one who would not see it');
select tests.act_as_role('postgres');
select tests.join_organization('ann', 'acme', 'member');
select tests.act_as('ann');
select is((select count(*) from public.sync_preview_cache), 0::bigint, 'who is no admin any more sees no preview of theirs');
select throws_ok($$ select public.commit_import(tests.kept('i')) $$, 'PT404', 'import not found', 'and has no import there');
select tests.act_as_role('postgres');
select tests.join_organization('ann', 'acme', 'admin');

select tests.act_as('max');
select tests.keep('set', (public.create_import_set() ->> 'id')::uuid);
select tests.act_as('ann');
select tests.keep('member', (public.create_import('members', set_id => tests.kept('set')) ->> 'id')::uuid);
select is(jsonb_array_length(public.get_import_set(tests.kept('set')) -> 'imports'), 1, 'in a set an admin sees it');
select throws_ok(format('select public.transfer_import_session(%L, %L)',
    (select s.id from public.import_sessions as s where s.batch_id = tests.kept('i')), tests.user_id('max')),
  '22023', 'person is not of the organization', 'nobody gets it who would not see it');
select tests.act_as('max');
select is(jsonb_array_length(public.get_import_set(tests.kept('set')) -> 'imports'), 0, 'and the member whose set it is does not');

-- Applying -------------------------------------------------------------------------------------------

select tests.act_as('ann');
select public.preview_import(tests.kept('i'), true);
select tests.run_jobs();
select is(public.get_import_preview(tests.kept('i')) -> 'counts',
  '{"insert": 3, "update": 0, "unchanged": 0, "delete": 0, "fail": 5, "skip": 1}', 'a dry run tries');
select is(jsonb_path_query_array(public.get_import_preview(tests.kept('i')), '$.changes[*].after.email'),
  '["ada@x.test", "ed@x.test", "fay@x.test"]', 'and shows the records');
select is_empty($$ select * from pg_temp.members() $$, 'and writes none');
select public.commit_import(tests.kept('i'));
select tests.run_jobs();
select results_eq($$ select * from pg_temp.fates(tests.kept('i')) $$,
  $$ values (1, 'inserted', null), (2, 'failed', 'invalid_type'), (3, 'skipped', 'duplicate_in_file'), (4, 'failed', 'not_welcome'),
    (5, 'failed', 'nobody'), (6, 'inserted', null), (7, 'failed', 'not_in_list'), (8, 'failed', 'already_exists'), (9, 'inserted', null) $$,
  'the function writes, and refuses rows with codes of its own');
select results_eq($$ select i.field, i.message, i.sqlstate, i.constraint_name from public.list_import_issues(tests.kept('i'), code => 'nobody') as i $$,
  $$ values ('name', 'nobody is no member', 'IR001', null::text) $$, 'a field and a message');
select results_eq($$ select * from pg_temp.members() $$,
  $$ values ('ada@x.test', 'Ada', 'high'::public.grade), ('ed@x.test', 'Ed', 'low'), ('fay@x.test', 'Fay', 'low') $$, 'the records are there');
select tests.act_as_role('postgres');
select is((select array_agg(distinct m.import_id) from private.members as m where m.import_id is not null),
  array[tests.kept('i')::text], 'the function knows for which import it wrote');
select is(nullif(current_setting('sluice.import_id', true), ''), null, 'and nobody after it');
select tests.act_as('ann');

select tests.keep('again', tests.stage_import('members', '{email,name,grade}', '[
  ["ada@x.test", "Ada L.", null], ["ed@x.test", null, "low"], ["new@x.test", "New", null]]'));
select is(tests.run_import(tests.kept('again')), 'completed', 'records are found again');
select is(tests.counts(tests.kept('again')), '{"rows": 3, "valid": 3, "updated": 1, "inserted": 1, "unchanged": 1}', 'and told apart');
select tests.keep('insert', tests.stage_import('members', '{email,name}', '[["ada@x.test", "A"], ["gil@x.test", "Gil"]]', 'insert'));
select tests.run_import(tests.kept('insert'));
select results_eq($$ select * from pg_temp.fates(tests.kept('insert')) $$,
  $$ values (1, 'failed', 'already_exists'), (2, 'inserted', null) $$, 'insert takes the new ones');
select tests.keep('update', tests.stage_import('members', '{email,name}', '[["ada@x.test", null], ["zoe@x.test", "Zoe"]]', 'update', null, '{"blank": "clear"}'));
select tests.run_import(tests.kept('update'));
select results_eq($$ select * from pg_temp.fates(tests.kept('update')) $$,
  $$ values (1, 'updated', null), (2, 'failed', 'not_found') $$, 'update those that are there');
select is((select m.name from pg_temp.members() as m where m.email = 'ada@x.test'), null, 'and a blank clears where it is said to');
select tests.keep('delete', tests.stage_import('members', '{email}', '[["ED@x.test"], ["taken@x.test"]]', 'delete'));
select tests.run_import(tests.kept('delete'));
select results_eq($$ select * from pg_temp.fates(tests.kept('delete')) $$,
  $$ values (1, 'deleted', null), (2, 'failed', 'not_found') $$, 'delete reaches what the view shows');

-- The service, for an organization.
select tests.act_as_role('service_role');
select tests.keep('service', tests.stage_import('members', '{email,name}', '[["taken@x.test", "Named"]]', null, null, '{}', 'bolt'));
select is(tests.run_import(tests.kept('service')), 'completed', 'the service does as it is told');
select is(tests.counts(tests.kept('service')), '{"rows": 1, "valid": 1, "updated": 1}', 'with the records of all organizations in view');

-- Dear fields, and a check function that breaks.
select tests.act_as_role('postgres');
update public.dataset_fields as f set chunk_rows = 2 where f.dataset = 'members' and f.name = 'seal';
select tests.act_as('ann');
select tests.keep('dear', tests.stage_import('members', '{email,seal}', '[["h1@x.test", "a"], ["h2@x.test", "b"], ["h3@x.test", "c"], ["h4@x.test", "d"], ["h5@x.test", "e"]]'));
select tests.run_import(tests.kept('dear'));
select tests.keep('cheap', tests.stage_import('members', '{email,name}', '[["h1@x.test", "a"], ["h2@x.test", "b"], ["h3@x.test", "c"], ["h4@x.test", "d"], ["h5@x.test", "e"]]'));
select tests.run_import(tests.kept('cheap'));
select tests.keep('broken', tests.stage_import('members', '{email,name}', '[["j1@x.test", "Worse"]]'));
select is(tests.run_import(tests.kept('broken')), 'failed', 'a check function that raises fails the import');
select is(public.get_import(tests.kept('broken')) #>> '{error,message}', 'check function of the dataset failed', 'and no value is told');
select tests.act_as_role('postgres');
select results_eq($$ select o.batch_id = tests.kept('dear'), array_agg(o.to_row - o.from_row order by o.from_row) from private.import_outcomes as o
    where o.batch_id in (tests.kept('dear'), tests.kept('cheap')) group by 1 order by 1 desc $$,
  $$ values (true, '{2,2,1}'::integer[]), (false, '{5}') $$, 'tasks are small where a dear field is mapped, and only there');

-- Undo -----------------------------------------------------------------------------------------------

select tests.act_as('ann');
select throws_ok($$ select public.undo_import(tests.kept('delete')) $$, 'PT409', 'deletions of this dataset cannot be undone',
  'deletions stay: such a record would be another one');
select tests.keep('u', tests.stage_import('members', '{email,name,grade}', '[
  ["new1@x.test", "One", "high"], ["new2@x.test", "Two", null], ["new3@x.test", "Stays", null], ["new4@x.test", "Four", null],
  ["h1@x.test", "Changed", "high"], ["h2@x.test", "Other", null], ["h3@x.test", "Mine", null]]'));
select tests.run_import(tests.kept('u'));
select is(tests.counts(tests.kept('u')), '{"rows": 7, "valid": 7, "inserted": 4, "updated": 3}', 'an import adds and changes');
select tests.act_as_role('postgres');
update private.members as m set name = null where m.email = 'h2@x.test';
update private.members as m set org_id = tests.org_id('bolt') where m.email = 'new4@x.test';
create temporary table before_undo as select m.email, m.name, m.grade from private.members as m;
select tests.act_as('max');
select throws_ok($$ select public.undo_import(tests.kept('u')) $$, 'PT404', 'import not found', 'a member does not undo it');
select tests.act_as('ann');
select public.undo_import(tests.kept('u'), true);
select tests.run_jobs();
select is(public.get_import(tests.kept('u')) #> '{job,result}', '{"reversed": 4, "changed": 1, "missing": 1, "denied": 1}', 'a dry run of its undo tells');
select tests.act_as_role('postgres');
select is_empty($$ select m.email, m.name, m.grade from private.members as m except select * from before_undo $$, 'and changes nothing');
select tests.act_as('ann');
select public.undo_import(tests.kept('u'));
select tests.run_jobs();
select is(public.get_import(tests.kept('u')) ->> 'status', 'undone', 'it is undone');
select is(public.get_import(tests.kept('u')) -> 'undo', '{"reversed": 4, "kept": {"changed": 1, "missing": 1, "denied": 1}}',
  'but for what somebody changed, what is not in view, and what the function leaves');
select results_eq($$ select i.row_number, i.code from public.list_import_issues(tests.kept('u')) as i order by 1 $$,
  $$ values (3, 'undo_denied'), (4, 'undo_missing'), (6, 'undo_changed') $$, 'each row says why');
select results_eq($$ select * from pg_temp.members() as m where m.email ~ '^(new|h[123])' $$,
  $$ values ('h1@x.test', 'a', 'low'::public.grade), ('h2@x.test', null, 'low'), ('h3@x.test', 'c', 'low'),
    ('new3@x.test', 'Stays', 'low'), ('new@x.test', 'New', 'low') $$, 'what it added is gone, what it changed is as it was');
select tests.keep('cleared', tests.stage_import('members', '{email,name}', '[["h2@x.test", "Named"]]', 'update'));
select tests.run_import(tests.kept('cleared'));
select public.undo_import(tests.kept('cleared'));
select tests.run_jobs();
select is((select m.name from pg_temp.members() as m where m.email = 'h2@x.test'), null, 'a value that was none is none again');
select tests.act_as_role('postgres');
select is((select m.import_id from private.members as m where m.email = 'h2@x.test'), tests.kept('cleared')::text,
  'the function knows which import is undone');

-- What the function refuses.
select tests.act_as('ann');
select tests.keep('no', tests.stage_import('members', '{email,name}', '[["n1@x.test", "Ok"], ["h3@x.test", "Nice"]]'));
select tests.run_import(tests.kept('no'));
select tests.act_as_role('postgres');
update private.import_outcomes as o set images = array_replace(o.images, i, i || '{"name": "Nobody"}')
from (select o.from_row, i from private.import_outcomes as o cross join unnest(o.images) as i where o.batch_id = tests.kept('no') and i is not null) as s
where o.batch_id = tests.kept('no') and o.from_row = s.from_row;
select tests.act_as('ann');
select public.undo_import(tests.kept('no'));
select tests.run_jobs();
select is(public.get_import(tests.kept('no')) -> 'undo', '{"reversed": 1, "kept": {"refused": 1}}', 'is kept');
select results_eq($$ select i.row_number, i.value from public.list_import_issues(tests.kept('no'), code => 'undo_refused') as i $$,
  $$ values (2, 'nobody is no member') $$, 'and the reason told');

select * from finish();
rollback;
