-- What a commit leaves for whoever looks it up or undoes it: outcomes, hashes, images; the plan itself.
begin;
select plan(31);
select tests.set_up_actors();

insert into private.settings (key, value) values ('imports.chunk_rows', '2');
select tests.act_as('max');
select tests.keep('before', tests.stage_import('customers', '{external_id,name,email,credit_limit}',
  '[["C1", "one", "one@example.test", "1"], ["C2", "two", null, "2.50"]]'));
select tests.run_import(tests.kept('before'));
select tests.act_as_role('postgres');
create temporary table before_images as
  select c.external_id, c.id, to_jsonb(c) as image from public.customers as c where c.org_id = tests.org_id('acme');
grant select on before_images to public;

select tests.act_as('max');
select tests.keep('i', tests.stage_import('customers', '{external_id,name,email,credit_limit}', '[
  ["C1", "uno", "", "1"], ["C3", "three", null, null],
  ["C2", "two", null, "2.5"], ["C4", "four", null, "-1"],
  ["C5", "five", null, null], ["C5", "cinq", null, null]]', p_options => '{"duplicates": "keep_first"}'));
select is(tests.run_import(tests.kept('i')), 'completed', 'an import in three chunks completes');
select is(tests.counts(tests.kept('i')),
  '{"rows": 6, "valid": 4, "failed": 1, "skipped": 1, "updated": 1, "inserted": 2, "unchanged": 1}',
    'with one of each fate');

select tests.act_as_role('postgres');
select results_eq(
  $$ select o.from_row, o.to_row, o.row_numbers, o.actions::text, o.skipped_rows,
       o.inserted_count, o.updated_count, o.deleted_count, o.unchanged_count, o.refused_count
     from private.import_outcomes as o where o.batch_id = tests.kept('i') order by o.from_row $$,
  $$ values
    (0, 2, '{1,2}'::integer[], '{updated,inserted}', '{}'::integer[], 1, 1, 0, 0, 0),
    (2, 4, '{}', '{}', '{}', 0, 0, 0, 1, 0),
    (4, 6, '{5}', '{inserted}', '{6}', 1, 0, 0, 0, 0) $$,
  'one outcome a chunk; its arrays run in parallel');
select results_eq(
  $$ select u.row_number, c.external_id
     from private.import_outcomes as o
     cross join lateral unnest(o.row_numbers, o.record_ids) as u (row_number, record_id)
     join public.customers as c on c.id = u.record_id
     where o.batch_id = tests.kept('i') order by u.row_number $$,
  $$ values (1, 'C1'), (2, 'C3'), (5, 'C5') $$, 'record_ids name the records');
select results_eq(
  $$ select u.row_number, u.row_hash
     from private.import_outcomes as o
     cross join lateral unnest(o.row_numbers, o.row_hashes) as u (row_number, row_hash)
     where o.batch_id = tests.kept('i') order by u.row_number $$,
  $$ select n, hash_record_extended(row(c.id, c.org_id, c.external_id, c.name, c.email, c.phone, c.street,
    c.postal_code, c.city,
       c.country, c.segment, c.credit_limit, c.signup_date, c.is_active, c.notes), 0)
     from (values (1, 'C1'), (2, 'C3'), (5, 'C5')) as v (n, external_id)
     join public.customers as c on c.external_id = v.external_id and c.org_id = tests.org_id('acme') order by n $$,
  'row_hashes are those of the records as they are now, in the plan''s columns');
select is(
  (select p.hash_sql from private.import_plans as p where p.batch_id = tests.kept('i')),
  'hash_record_extended(row(t.id, t.org_id, t.external_id, t.name, t.email, t.phone, t.street, t.postal_code, t.city, '
  't.country, t.segment, t.credit_limit, t.signup_date, t.is_active, t.notes), 0)',
  'which are all but those that change by themselves');
select results_eq(
  $$ select u.row_number, u.image
     from private.import_outcomes as o
     cross join lateral unnest(o.row_numbers, o.images) as u (row_number, image)
     where o.batch_id = tests.kept('i') order by u.row_number $$,
  $$ values (1, (select b.image from before_images as b where b.external_id = 'C1')), (2, null), (5, null) $$,
  'the image of an updated record is the row before; inserted ones have none');
select is((select c.email from public.customers as c where c.external_id = 'C1' and c.org_id = tests.org_id('acme')),
  'one@example.test',
  'a blank cell kept what was there');

-- delete
create temporary table delete_images as
  select c.id, to_jsonb(c) as image from public.customers as c where c.external_id = 'C1'
    and c.org_id = tests.org_id('acme');
select tests.act_as('ann');
select tests.keep('delete', tests.stage_import('customers', '{external_id}', '[["C1"], ["C9"]]', 'delete'));
select tests.run_import(tests.kept('delete'));
select tests.act_as_role('postgres');
select results_eq(
  $$ select o.row_numbers, o.actions::text, o.record_ids, o.row_hashes, o.images, o.deleted_count, o.refused_count
     from private.import_outcomes as o where o.batch_id = tests.kept('delete') $$,
  $$ select '{1}'::integer[], '{deleted}', array[d.id], '{null}'::bigint[], array[d.image], 1, 1
    from delete_images as d $$,
  'a deleted record leaves its id and its whole image');

-- Refused rows leave a gap in the arrays, in whatever windows the chunk was applied.
update private.settings set value = '100' where key = 'imports.chunk_rows';
create function pg_temp.refuse() returns trigger language plpgsql as $$
begin
  if new.notes = 'refuse' then
    raise exception 'refused';
  end if;
  return new;
end $$;
create trigger _999_refuse before insert or update on public.customers for each row execute function pg_temp.refuse();
select tests.act_as('max');
select tests.keep('gaps', tests.stage_import('customers', '{external_id,name,notes}', (
  select jsonb_agg(jsonb_build_array('G' || lpad(n::text, 3, '0'), 'gap', case
    when n in (3, 50, 51, 100) then 'refuse' end))
  from generate_series(1, 100) as n)));
select is(tests.run_import(tests.kept('gaps')), 'completed', 'an import with refused rows completes');
select tests.act_as_role('postgres');
select is(
  (select count(*) from private.import_outcomes as o
   cross join lateral unnest(o.row_numbers, o.record_ids, o.row_hashes, o.actions) as u (row_number, record_id,
     row_hash, action)
   join public.customers as c on c.id = u.record_id and c.external_id = 'G' || lpad(u.row_number::text, 3, '0')
   where o.batch_id = tests.kept('gaps') and u.action = 'inserted' and u.row_hash is not null),
  96::bigint, 'the joined arrays of its windows still name each record by its row');
select is((select row(o.inserted_count, o.refused_count, o.to_row)::text from private.import_outcomes as o
  where o.batch_id = tests.kept('gaps')),
  '(96,4,100)', 'and count the gaps');

-- A key that row level security keeps from its index -------------------------------------------------

create table public.lots (
  id     uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organization (id),
  no     numeric not null,
  name   text,
  tags   text[],
  note   json,
  constraint lots_org_id_no_key unique (org_id, no)
);
alter table public.lots enable row level security;
create policy lots_all on public.lots to authenticated
  using (org_id = any (array(select private.org_ids('member'))) and name is distinct from 'hidden');
grant select, insert, update, delete on public.lots to authenticated, service_role;
select private.register_dataset('lots', 'public.lots', '{no}');
insert into public.lots (org_id, no, name) values (tests.org_id('bolt'), 1, 'bolt''s'),
  (tests.org_id('acme'), 9, 'hidden');

select tests.act_as('max');
select tests.keep('lots', tests.stage_import('lots', '{no,name,tags,note}',
  '[["1", "one", "{a,b}", "{\"a\": 1}"], ["2.0", "two", null, null], ["2", "deux", null, null], ["9", "mine", null, null], ["x", "bad", null, null]]'));
select is(tests.run_import(tests.kept('lots')), 'completed', 'a numeric key works');
select results_eq(
  $$ select r.row_number, r.status, r.issues #>> '{0,code}' from public.list_import_rows(tests.kept('lots')) as r $$,
  $$ values (1, 'inserted', null), (2, 'inserted', null), (3, 'failed', 'duplicate_in_file'),
    (4, 'failed', 'constraint_violation'), (5, 'failed', 'invalid_type') $$,
  '2.0 and 2 are one key; a record that policies hide cannot be reached');
select tests.keep('lots_again', tests.stage_import('lots', '{no,name,tags,note}',
  '[["1.00", "one", "{a,b}", "{\"a\": 1}"], ["2", "zwei", "{c}", null], ["3", "three", null, null]]'));
select tests.run_import(tests.kept('lots_again'));
select is(tests.counts(tests.kept('lots_again')),
  '{"rows": 3, "valid": 3, "updated": 1, "inserted": 1, "unchanged": 1}',
  'unchanged, updated, inserted are found through looked-up ids; arrays and json compare');
select tests.keep('lots_update', tests.stage_import('lots', '{no,name}', '[["3", "tres"], ["4", "quatro"]]', 'update'));
select tests.run_import(tests.kept('lots_update'));
select is(tests.counts(tests.kept('lots_update')), '{"rows": 2, "valid": 2, "failed": 1, "updated": 1}',
  'update works so, too');
select tests.keep('lots_insert', tests.stage_import('lots', '{no,name}', '[["3.0", "x"], ["5", "five"]]', 'insert'));
select tests.run_import(tests.kept('lots_insert'));
select is(tests.counts(tests.kept('lots_insert')), '{"rows": 2, "valid": 2, "failed": 1, "inserted": 1}', 'and insert');
select tests.act_as('ann');
select tests.keep('lots_delete', tests.stage_import('lots', '{no}', '[["5"], ["6"], ["9"]]', 'delete'));
select tests.run_import(tests.kept('lots_delete'));
select is(tests.counts(tests.kept('lots_delete')), '{"rows": 3, "valid": 3, "failed": 2, "deleted": 1}', 'and delete');
select tests.act_as_role('postgres');
select results_eq($$ select l.org_id = tests.org_id('acme'), l.no::text, l.name from public.lots as l
  order by l.org_id = tests.org_id('acme'), l.no $$,
  $$ values (false, '1', 'bolt''s'), (true, '1', 'one'), (true, '2.0', 'zwei'), (true, '3', 'tres'),
    (true, '9', 'hidden') $$,
  'other organizations'' and hidden records are untouched');
select isnt((select p.lookup_sql from private.import_plans as p where p.batch_id = tests.kept('lots')), null,
  'the plan of such a key has a lookup');
select is((select p.lookup_sql from private.import_plans as p where p.batch_id = tests.kept('i')), null,
  'that of a text key needs none');

-- The plan -------------------------------------------------------------------------------------------

select results_eq(
  $$ select p.org_id, p.mode::text, p.target, p.key_index from private.import_plans as p
    where p.batch_id = tests.kept('i') $$,
  $$ values (tests.org_id('acme'), 'upsert', 'public.customers', 'customers_org_id_external_id_key') $$,
    'the plan says what it is for');
select is(
  (select bool_and(p.merge_sql ~ 'org_id = \$4') from private.import_plans as p
   where p.batch_id in (tests.kept('i'), tests.kept('delete'), tests.kept('lots'), tests.kept('lots_delete'))), true,
  'every merge carries the import''s organization');
select is(
  (select p.missing_sql from private.import_plans as p where p.batch_id = tests.kept('i')), null,
    'only updates look for what is missing');

-- The same rows under another time zone and date style leave the same hashes.
select tests.act_as('max');
select tests.keep('utc', tests.stage_import('customers', '{external_id,name,signup_date}',
  '[["T1", "t", "2024-02-03"]]'));
select tests.run_import(tests.kept('utc'));
set local timezone = 'Asia/Tokyo';
set local datestyle = 'German, DMY';
select tests.keep('tokyo', tests.stage_import('customers', '{external_id,name,signup_date}',
  '[["T1", "t", "2024-02-03"]]'));
select is(tests.run_import(tests.kept('tokyo')), 'completed',
  'an import in another time zone and date style completes');
select is(tests.counts(tests.kept('tokyo')), '{"rows": 1, "valid": 1, "unchanged": 1}', 'and finds the same rows');
select tests.keep('tokyo2', tests.stage_import('customers', '{external_id,name,signup_date}',
  '[["T2", "t", "2024-02-03"]]'));
select tests.run_import(tests.kept('tokyo2'));
select is((select c.signup_date from public.customers as c where c.external_id = 'T2'), date '2024-02-03',
  'and reads dates alike');

-- Issues are made once, however often validation runs -------------------------------------------------

reset timezone;
reset datestyle;
select tests.keep('twice', tests.stage_import('customers', '{external_id,name,email}',
  '[["V1", "a", "bad"], ["V2", "b", null], ["V2", "c", null]]'));
select is(tests.run_import(tests.kept('twice'), false), 'validated', 'a validation');
select is(tests.run_import(tests.kept('twice'), false), 'validated', 'and again');
select results_eq(
  $$ select i.row_number, i.code from public.list_import_issues(tests.kept('twice')) as i order by 1 $$,
  $$ values (1, 'invalid_format'), (3, 'duplicate_in_file') $$, 'finds each issue once');
select public.set_import_mapping(tests.kept('twice'), '{"external_id": "external_id", "name": "name"}');
select tests.run_import(tests.kept('twice'), false);
select results_eq(
  $$ select i.row_number, i.code from public.list_import_issues(tests.kept('twice')) as i order by 1 $$,
  $$ values (3, 'duplicate_in_file') $$, 'and what another mapping mended is gone');

select * from finish();
rollback;
