-- An import does nothing that its actor could not do by hand, asked again before every chunk.
begin;
select plan(58);
select tests.set_up_actors();

insert into private.settings (key, value) values ('imports.chunk_rows', '1'), ('jobs.running_per_organization', '100');

create function pg_temp.three(p_prefix text, p_mode text default null)
returns uuid
language sql
as $$
  select tests.stage_import('customers', '{external_id,name}',
    jsonb_build_array(jsonb_build_array(p_prefix || 1, 'one'), jsonb_build_array(p_prefix || 2, 'two'),
      jsonb_build_array(p_prefix || 3, 'three')), p_mode);
$$;
-- Without RLS, whoever acts: how many records have the prefix.
create function tests.written(p_prefix text) returns bigint language sql volatile security definer set search_path = ''
as $$ select count(*) from public.customers as c where c.external_id like p_prefix || '%' $$;
grant execute on function tests.written(text) to authenticated, service_role;
-- Without RLS: the import's status and error code.
create function tests.end_of(p_id uuid) returns text language sql volatile security definer set search_path = ''
as $$ select concat_ws(' ', b.status, b.error ->> 'code') from public.import_batches as b where b.id = p_id $$;
grant execute on function tests.end_of(uuid) to authenticated, service_role;

-- Who may start what -------------------------------------------------------------------------------

select tests.act_as('max');
select tests.keep('own', pg_temp.three('own'));
select lives_ok($$ select public.validate_import(tests.kept('own')) $$, 'a member validates their own import');
select tests.run_jobs();
select tests.act_as('mia');
select throws_ok($$ select public.commit_import(tests.kept('own')) $$, '42501', 'organization role required',
  'another member may not commit it');
select throws_ok($$ select public.validate_import(tests.kept('own')) $$, '42501', 'organization role required',
  'nor validate it');
select tests.act_as('vic');
select throws_ok($$ select public.commit_import(tests.kept('own')) $$, '42501', 'organization role required',
  'a viewer may not commit');
select tests.act_as('bob');
select throws_ok($$ select public.commit_import(tests.kept('own')) $$, 'PT404', 'import not found',
  'a stranger cannot tell that it exists');
select tests.act_as('otto');
select throws_ok($$ select public.commit_import(tests.kept('own')) $$, 'PT404', 'import not found',
  'nor can a person without organization');
select tests.act_as_role('anon');
select throws_ok($$ select public.commit_import(tests.kept('own')) $$, '42501',
  'permission denied for function commit_import', 'anon may call nothing');
select tests.act_as('ann');
select lives_ok($$ select public.commit_import(tests.kept('own')) $$, 'an admin commits a member''s import');
select tests.act_as_role('postgres');
select is((select j.actor from public.scheduled_jobs as j where j.batch_id = tests.kept('own')
  and j.job_type = 'commit'),
  tests.user_id('ann'), 'and is the actor of that job');
select tests.run_jobs();
select is(tests.end_of(tests.kept('own')), 'completed', 'which completes');
select is(tests.written('own'), 3::bigint, 'with its records');

select tests.act_as('sid');
select tests.keep('system', tests.stage_import('customers', '{external_id,name}', '[["sid1", "one"]]',
  p_org => 'bolt'));
select is(tests.run_import(tests.kept('system')), 'completed', 'a system admin imports into any organization');
select is((select c.org_id from public.customers as c where c.external_id = 'sid1'), tests.org_id('bolt'),
  'that they name');

select tests.act_as_role('service_role');
select tests.keep('service', tests.stage_import('customers', '{external_id,name,credit_limit}',
  '[["svc1", "one", "5"], ["svc2", "two", "-1"]]', p_org => 'acme'));
select is(tests.run_import(tests.kept('service')), 'completed', 'the service key imports');
select is(tests.written('svc'), 1::bigint, 'and its rows are judged like all others');
select is((select row(j.run_as, j.actor)::text from public.scheduled_jobs as j where j.batch_id = tests.kept('service')
  and j.job_type = 'commit'),
  '(service,)', 'its jobs have no person as actor');
select tests.act_as('ann');
select is(public.get_import(tests.kept('service')) ->> 'initiated_by', null, 'nor have its imports');
select tests.act_as_role('service_role');
select tests.keep('service2', tests.stage_import('customers', '{external_id,name}', '[["svc3", "one"]]',
  p_org => 'acme'));
select tests.act_as('max');
select throws_ok($$ select public.validate_import(tests.kept('service2')) $$, '42501', 'organization role required',
  'a member may not run an import of the service');
select tests.act_as('ann');
select lives_ok($$ select public.validate_import(tests.kept('service2')) $$, 'an admin may');
select tests.run_jobs();

-- Rights lost between validation and commit ----------------------------------------------------------

select tests.act_as('max');
select tests.keep('demoted', pg_temp.three('demoted'));
select tests.run_import(tests.kept('demoted'), false);
select lives_ok($$ select public.commit_import(tests.kept('demoted')) $$, 'the commit starts while max is a member');
select tests.join_organization('max', 'acme', 'viewer');
select tests.run_jobs();
select is(tests.end_of(tests.kept('demoted')), 'failed permission_denied',
  'demoted before the first chunk: it fails with permission_denied');
select is(tests.written('demoted'), 0::bigint, 'and writes nothing');
select is(
  public.get_import(tests.kept('demoted')) -> 'error',
  format('{"code": "permission_denied", "message": "organization role required", "details": "organization %s needs role member or higher", "hint": "Ask an admin of the organization."}',
    tests.org_id('acme'))::jsonb, 'the error says what was missing');
select throws_ok($$ select public.validate_import(tests.kept('demoted')) $$, '42501', 'organization role required',
  'who was demoted may not start again');
select tests.join_organization('max', 'acme', 'member');
select lives_ok($$ select public.validate_import(tests.kept('demoted')) $$, 'who got the right back may');
select tests.run_jobs();
select is(tests.end_of(tests.kept('demoted')), 'validated', 'since no row of it was applied');

-- Rights lost between chunks -------------------------------------------------------------------------

-- Commits to its second chunk, then p_change happens.
create function pg_temp.lose(p_name text, p_change text)
returns text
language plpgsql
as $$
begin
  perform tests.act_as('max');
  perform tests.keep(p_name, pg_temp.three(p_name));
  perform tests.run_import(tests.kept(p_name), false);
  perform public.commit_import(tests.kept(p_name));
  perform tests.run_jobs(1);
  perform tests.act_as_role('postgres');
  execute p_change;
  perform tests.run_jobs();
  return tests.end_of(tests.kept(p_name)) || ' ' || tests.written(p_name);
end;
$$;

select is(pg_temp.lose('mid_demoted', $$ update public.profiles set org_role = 'viewer'
  where id = tests.user_id('max') $$),
  'failed permission_denied 1', 'demoted between chunks: failed, and nothing more is written');
select tests.act_as('ann');
select results_eq($$ select r.status from public.list_import_rows(tests.kept('mid_demoted')) as r $$,
  array['inserted', 'validated', 'validated'],
  'what is applied is said, the rest was not touched');
select is((select m.dead_tasks || ' ' || m.waiting_tasks from public.monitor_jobs as m
  where m.import_id = tests.kept('mid_demoted') and m.job_type = 'commit'), '1 1',
    'the refused task is a dead letter, the others are held');
select tests.act_as_role('postgres');
update public.profiles set org_role = 'member' where id = tests.user_id('max');

select is(pg_temp.lose('mid_inactive', $$ update public.profiles set is_active = false
  where id = tests.user_id('max') $$),
  'failed actor_deactivated 1', 'deactivated between chunks: the same, and why');
update public.profiles set is_active = true where id = tests.user_id('max');
select is(pg_temp.lose('mid_moved', $$ update public.profiles set org_id = tests.org_id('bolt')
  where id = tests.user_id('max') $$),
  'failed actor_left 1', 'moved to another organization between chunks: the same');
select is_empty($$ select 1 from public.customers as c where c.org_id = tests.org_id('bolt')
  and c.external_id like 'mid_moved%' $$,
  'and nothing goes to the new one');
update public.profiles set org_id = tests.org_id('acme') where id = tests.user_id('max');
select is(pg_temp.lose('mid_closed', $$ update public.organization set is_active = false
  where id = tests.org_id('acme') $$),
  'failed organization_closed 1', 'the organization closed between chunks: the same');
update public.organization set is_active = true where id = tests.org_id('acme');
select is(pg_temp.lose('mid_deleted', $$ delete from auth.users where id = tests.user_id('max') $$),
  'failed actor_deleted 1', 'the account deleted between chunks: the same');
select tests.add_user('max');
select tests.join_organization('max', 'acme', 'member');
select is(pg_temp.lose('mid_nothing', 'select 1'), 'completed 3', 'nothing lost: it completes');

-- The organization of a service import closed.
select tests.act_as_role('service_role');
select tests.keep('closed', tests.stage_import('customers', '{external_id,name}', '[["closed1", "one"]]',
  p_org => 'bolt'));
select tests.run_import(tests.kept('closed'), false);
select public.commit_import(tests.kept('closed'));
select tests.act_as_role('postgres');
update public.organization set is_active = false where id = tests.org_id('bolt');
select tests.run_jobs();
select is(tests.end_of(tests.kept('closed')), 'failed organization_closed',
  'a closed organization is closed to the service, too');
select is(tests.written('closed'), 0::bigint, 'nothing is written');
update public.organization set is_active = true where id = tests.org_id('bolt');

-- Row level security of the target -------------------------------------------------------------------

-- notes: each member writes and sees their own alone; nobody moves one; the table's key is visible to none of this.
create table public.notes (
  id     uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organization (id),
  no     text not null,
  text   text,
  author uuid not null default auth.uid(),
  constraint notes_org_id_no_key unique (org_id, no)
);
alter table public.notes enable row level security;
create policy notes_select on public.notes for
  select to authenticated using (org_id = any (array(select private.org_ids('viewer'))));
create policy notes_insert on public.notes for insert to authenticated with check (org_id = any (array(select private.org_ids('member'))) and text is distinct from 'forbidden');
create policy notes_update on public.notes for update to authenticated using (author = (select auth.uid())) with check (text is distinct from 'forbidden');
create policy notes_delete on public.notes for delete to authenticated using (author = (select auth.uid()));
revoke all on public.notes from anon, authenticated, service_role; -- the platform grants all on new tables
grant select, delete, insert (org_id, no, text), update (no, text) on public.notes to authenticated, service_role;
select private.register_dataset('notes', 'public.notes', '{no}');

select tests.act_as('mia');
select tests.keep('mia', tests.stage_import('notes', '{no,text}', '[["N1", "mia''s"], ["N2", "mia''s"]]'));
select is(tests.run_import(tests.kept('mia')), 'completed', 'mia imports her notes');
select is((select min(author::text) from public.notes), tests.user_id('mia')::text,
  'which are hers: auth.uid() is the actor''s in the merge');

select tests.act_as('max');
select tests.keep('max', tests.stage_import('notes', '{no,text}',
  '[["N1", "max''s"], ["N2", "mia''s"], ["N3", "max''s"], ["N4", "forbidden"]]'));
select is(tests.run_import(tests.kept('max')), 'completed', 'max imports over them');
select results_eq(
  $$ select r.row_number, r.status, r.issues #>> '{0,code}' from public.list_import_rows(tests.kept('max')) as r $$,
  $$ values (1, 'failed', 'permission_denied'), (2, 'unchanged', null), (3, 'inserted', null),
    (4, 'failed', 'permission_denied') $$,
  'what a policy refuses fails, row by row');
select results_eq($$ select no, text from public.notes order by no $$, $$ values ('N1', 'mia''s'), ('N2', 'mia''s'),
  ('N3', 'max''s') $$,
  'and is not touched');
select tests.act_as('ann');
select tests.keep('delete', tests.stage_import('notes', '{no}', '[["N1"]]', 'delete'));
select is(tests.run_import(tests.kept('delete')), 'completed', 'an admin who may not delete a note');
select is(tests.counts(tests.kept('delete')), '{"rows": 1, "valid": 1, "failed": 1}', 'does not delete it by import');
select isnt_empty($$ select 1 from public.notes where no = 'N1' $$, 'it is still there');

-- Members may not delete customers by hand, so the role of the import does not matter.
select tests.act_as('ann');
select tests.keep('delete_customers', pg_temp.three('own', 'delete'));
select is(tests.run_import(tests.kept('delete_customers')), 'completed', 'an admin deletes customers by import');
select is(tests.written('own'), 0::bigint, 'and they are gone');
select tests.keep('delete_by_member', pg_temp.three('demoted', 'delete'));
select tests.run_import(tests.kept('delete_by_member'), false);
select tests.act_as('max');
select throws_ok($$ select public.commit_import(tests.kept('delete_by_member')) $$, '42501',
  'organization role required',
  'a member may not commit an admin''s delete');

-- A right missing on the table as such fails the import, whole.
select tests.act_as_role('postgres');
revoke insert on public.notes from authenticated;
revoke insert (org_id, no, text) on public.notes from authenticated;
select tests.act_as('max');
select tests.keep('revoked', tests.stage_import('notes', '{no,text}', '[["N7", "x"], ["N8", "y"]]'));
select is(tests.run_import(tests.kept('revoked')), 'failed', 'no INSERT on the table: the import fails');
select is(public.get_import(tests.kept('revoked')) -> 'error',
  '{"code": "permission_denied", "message": "permission denied for table notes", "details": null, "hint": null}',
    'as a whole, and says why');

-- On a column of it, the same.
select tests.act_as_role('postgres');
grant insert (org_id, no, text) on public.notes to authenticated;
revoke update (text) on public.notes from authenticated;
select tests.act_as('max');
select tests.keep('column', tests.stage_import('notes', '{no,text}', '[["N7", "x"], ["N8", "y"]]'));
select is(tests.run_import(tests.kept('column')), 'failed', 'no UPDATE on a column of the file: the import fails');
select is(public.get_import(tests.kept('column')) #>> '{error,code}', 'permission_denied', 'as a whole');
select is(tests.run_import(tests.stage_import('notes', '{no,text}', '[["N7", "x"], ["N8", "y"]]', 'insert')),
  'completed', 'an insert does not need it');

-- Staged rows are for the running commit alone --------------------------------------------------------

select tests.act_as('max');
select tests.keep('staged', pg_temp.three('staged'));
select tests.run_import(tests.kept('staged'), false);
select throws_ok($$ select * from private.staged_rows(tests.kept('staged'), 0, 3) $$, 'IM001',
  'no running job of this import is the caller''s',
  'staged rows are closed while no commit runs');
select public.commit_import(tests.kept('staged'));
select tests.run_jobs(1);
select results_eq($$ select s.row_number, s.cells from private.staged_rows(tests.kept('staged'), 1, 3) as s
  order by 1 $$,
  $$ values (2, '{staged2,two}'::text[]), (3, '{staged3,three}') $$, 'they are open to the actor of the running one');
select tests.act_as('ann');
select throws_ok($$ select * from private.staged_rows(tests.kept('staged'), 0, 3) $$, 'IM001',
  'no running job of this import is the caller''s',
  'not to another admin');
select tests.act_as('bob');
select throws_ok($$ select * from private.staged_rows(tests.kept('staged'), 0, 3) $$, 'IM001',
  'no running job of this import is the caller''s',
  'not to a stranger');
select tests.act_as_role('service_role');
select throws_ok($$ select * from private.staged_rows(tests.kept('staged'), 0, 3) $$, 'IM001',
  'no running job of this import is the caller''s',
  'not to the service');

select * from finish();
rollback;
