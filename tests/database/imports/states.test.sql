-- The import's states: every allowed move, the others refused; what goes with a move.
begin;
select plan(28);
select tests.set_up_actors();

-- Every pair of states; each is tried on an import of its own, put into the first state past the guard.
create temporary table allowed (old text, new text);
insert into allowed values
  ('receiving', 'staged'), ('receiving', 'failed'), ('receiving', 'cancelled'), ('staged', 'validating'), ('staged', 'cancelled'),
    ('validating', 'validated'), ('validating', 'failed'), ('validating', 'cancelled'),
  ('validated', 'staged'), ('validated', 'validating'), ('validated', 'committing'), ('validated', 'cancelled'),
    ('committing', 'completed'), ('committing', 'failed'),
  ('committing', 'cancelled'), ('failed', 'staged'), ('failed', 'validating'),
  ('failed', 'committing'), ('completed', 'undoing'), ('failed', 'undoing'), ('cancelled', 'undoing'), ('undoing', 'undone'),
  ('undoing', 'failed'), ('undone', 'undoing'), ('undoing', 'completed'), ('undoing', 'cancelled');
create function pg_temp.move(p_old text, p_new text) returns text language plpgsql as $$
declare
  v_id uuid;
begin
  insert into public.import_batches (org_id, dataset, mode, source, status, row_count, columns, mapping)
  values (tests.org_id('acme'), 'customers', 'upsert', 'api', p_old::public.import_status, 0, '{}', '{}')
    returning id into v_id;
  update public.import_batches set status = p_new::public.import_status where id = v_id;
  return 'moved';
exception when others then
  return sqlstate || ' ' || sqlerrm;
end $$;
create temporary table moves as
  select o::text as old, n::text as new, pg_temp.move(o::text, n::text) as result
  from unnest(enum_range(null::public.import_status)) as o cross
    join unnest(enum_range(null::public.import_status)) as n;
select is_empty($$ select m.old, m.new, m.result from moves as m join allowed as a using (old, new)
  where m.result <> 'moved' $$, 'what is allowed goes');
select is_empty(
  $$ select m.old, m.new, m.result from moves as m left join allowed as a using (old, new)
     where a.old is null and m.old <> m.new and m.result <> 'PT409 import cannot go on that way' $$,
       'nothing else does');
select is((select count(*) from moves as m where m.old <> m.new and m.result <> 'moved'), 64::bigint,
  'and that is sixty-four moves');

-- What goes with it ----------------------------------------------------------------------------------

create function pg_temp.batch() returns text language sql as $$
  select concat_ws(' ', b.status, case when b.staged_at is not null then 'staged_at' end, case
    when b.validated_at is not null then 'validated_at' end,
    case when b.finished_at is not null then 'finished_at' end, b.error ->> 'code')
  from public.import_batches as b where b.id = tests.kept('i')
$$;
create function pg_temp.session() returns text language sql as $$
  select concat_ws(' ', s.status, s.current_step) from public.import_sessions as s where s.batch_id = tests.kept('i')
$$;

select tests.act_as('max');
select tests.keep('i', (public.create_import('customers', file_name => 'file.csv') ->> 'id')::uuid);
select is(pg_temp.batch(), 'receiving', 'a new import is receiving');
select is(pg_temp.session(), 'in_progress receiving', 'with a session');
select results_eq(
  $$ select s.created_by, s.org_id, s.file_name, s.content_hash, s.header_hash from public.import_sessions as s
    where s.batch_id = tests.kept('i') $$,
  $$ values (tests.user_id('max'), tests.org_id('acme'), 'file.csv', null::text, null::text) $$,
    'which is the person''s');
select tests.stage_rows(tests.kept('i'), '{external_id,name}', '[["1", "one"]]');
select is(pg_temp.batch(), 'staged staged_at', 'its file makes it staged');
select is(pg_temp.session(), 'in_progress staged', 'the session follows');
select results_eq(
  $$ select s.content_hash, s.header_hash from public.import_sessions as s where s.batch_id = tests.kept('i') $$,
  $$ values (encode(sha256(convert_to(tests.kept('i')::text, 'utf8')), 'hex'), md5(e'external_id\x1fname')) $$, 'and takes the hashes of file and header');
select public.validate_import(tests.kept('i'));
select is(pg_temp.batch(), 'validating staged_at', 'validating');
select tests.run_jobs();
select is(pg_temp.batch(), 'validated staged_at validated_at', 'validated');
select public.set_import_mapping(tests.kept('i'), options => '{"blank": "clear"}');
select is(pg_temp.batch(), 'staged staged_at', 'changed options take the validation back');
select tests.run_import(tests.kept('i'));
select is(pg_temp.batch(), 'completed staged_at validated_at finished_at', 'completed');
select is(pg_temp.session(), 'completed completed', 'and so is the session');
select tests.keep('i', tests.stage_import('customers', '{external_id,name}', '[["1", "one"]]'));
select public.cancel_import(tests.kept('i'));
select is(pg_temp.batch(), 'cancelled staged_at finished_at', 'cancelled');
select is(pg_temp.session(), 'abandoned cancelled', 'and the session abandoned');
select tests.keep('i', tests.stage_import('customers', '{external_id,name}', '[["1", null]]',
  p_options => '{"on_error": "abort"}'));
select tests.run_import(tests.kept('i'));
select is(pg_temp.batch(), 'failed staged_at finished_at rows_invalid', 'failed, with its error');
select is(pg_temp.session(), 'in_progress failed', 'its session is still at work');
select public.set_import_mapping(tests.kept('i'), options => '{"on_error": "skip"}');
select is(pg_temp.batch(), 'staged staged_at', 'a failed validation can be mapped anew, and the error is gone');
select is(tests.run_import(tests.kept('i')), 'completed', 'and then goes through');

-- Sessions -------------------------------------------------------------------------------------------

select tests.act_as('mia');
select is_empty($$ select 1 from public.import_sessions $$, 'a session is its owner''s alone');
select tests.act_as('ann');
select is_empty($$ select 1 from public.import_sessions $$, 'not even the admin''s');
select tests.act_as_role('postgres');
update public.import_sessions set last_accessed_at = '2001-01-01' where batch_id = tests.kept('i');
select is((select last_accessed_at from public.import_sessions where batch_id = tests.kept('i')), now(),
  'any change is an access');
delete from auth.users where id = tests.user_id('max');
select tests.act_as('ann');
select isnt_empty($$ select 1 from public.import_sessions $$, 'until the owner is gone: then admins see it');
select tests.act_as('mia');
select is_empty($$ select 1 from public.import_sessions $$, 'and members do not');
select throws_ok($$ update public.import_sessions set state = '{}' $$, '42501',
  'permission denied for table import_sessions', 'nobody writes them');
select tests.act_as_role('service_role');
select tests.keep('s', tests.stage_import('customers', '{external_id,name}', '[["2", "two"]]', p_org => 'acme'));
select is_empty($$ select 1 from public.import_sessions as s where s.batch_id = tests.kept('s') $$,
  'the service''s imports have none');
select throws_ok($$ update public.import_batches set status = 'completed' $$, '42501',
  'permission denied for table import_batches', 'and not even the service moves an import by hand');

select * from finish();
rollback;
