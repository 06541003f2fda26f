-- Corrections: a file that corrects an import, cells that do, and the chain that both make.
begin;
select plan(88);
select tests.set_up_actors();

create function pg_temp.state(p_name text) returns text language sql as $$
  select public.get_import(tests.kept(p_name)) ->> 'status' $$;
create function pg_temp.chain(p_name text) returns jsonb language sql as $$
  select public.get_import(tests.kept(p_name)) -> 'chain' $$;
create function pg_temp.cells(p_name text) returns jsonb language sql security definer as $$
  select jsonb_agg(r.cells order by r.row_number) from private.import_rows as r where r.batch_id = tests.kept(p_name)
$$;
-- The second and the fourth of five rows are wrong.
create function pg_temp.stage(p_name text, p_options jsonb default '{}') returns void language plpgsql as $$
begin
  perform tests.keep(p_name, tests.stage_import('customers', '{Nr,Name,Mail,Note}', format(
    '[["%1$s1", "one", "", null], ["%1$s2", "two", "wrong", "=1+1"], ["%1$s3", "three", null, null],
      ["%1$s4", null, "four@example.com", null], ["%1$s5", "five", null, null]]', p_name)::jsonb,
    p_mapping => '{"external_id": "Nr", "name": {"column": "Name", "transforms": ["upper"]}, "email": "Mail", "notes": "Note"}',
    p_options => p_options));
end $$;
-- A file that corrects an import.
create function pg_temp.send(p_name text, p_corrects text, p_columns text[], p_rows jsonb) returns uuid language plpgsql as $$
declare
  v_id uuid := public.create_import(corrects => tests.kept(p_corrects)) ->> 'id';
begin
  perform tests.stage_rows(v_id, p_columns, p_rows);
  perform tests.keep(p_name, v_id);
  return v_id;
end $$;

-- A file -------------------------------------------------------------------------------------------------

select tests.act_as('max');
select pg_temp.stage('a', '{"blank": "clear"}');
select throws_ok($$ select public.create_import(corrects => tests.kept('a')) $$, 'PT409', 'import is not judged yet',
  'what is not judged is not corrected');
select is(tests.run_import(tests.kept('a')), 'completed', 'an import with two bad rows');
select is(tests.counts(tests.kept('a')), '{"rows": 5, "valid": 3, "failed": 2, "inserted": 3}', 'has three good ones');
select is(pg_temp.chain('a'), 'null', 'alone, it has no chain');
select is(public.get_import(tests.kept('a')) -> 'corrected_by', '[]', 'and nothing corrects it');

select is(
  public.create_import(corrects => tests.kept('a')) @> jsonb_build_object('corrects', tests.kept('a'), 'dataset', 'customers', 'mode', 'upsert',
    'mapping', public.get_import(tests.kept('a')) -> 'mapping', 'options', public.get_import(tests.kept('a')) -> 'options'),
  true, 'a correction has the dataset, mode, mapping and options of what it corrects');
select is(public.create_import(corrects => tests.kept('a'), mapping => '{"name": "Name"}', options => '{"blank": "ignore"}')
    @> '{"options": {"blank": "ignore"}, "mapping": {"name": {"columns": ["Name"], "transforms": [], "default": null}}}', true,
  'unless others are given');
select throws_ok($$ select public.create_import('products', corrects => tests.kept('a')) $$, '22023',
  'correction is of another kind than what it corrects', 'another dataset is none');
select throws_ok($$ select public.create_import('customers', 'insert', corrects => tests.kept('a')) $$, '22023',
  'correction is of another kind than what it corrects', 'nor another mode');
select throws_ok($$ select public.create_import(corrects => '00000000-0000-0000-0000-00000000dead') $$, 'PT404', 'import not found',
  'nor of nothing');
select tests.act_as('mia');
select throws_ok($$ select public.create_import(corrects => tests.kept('a')) $$, '42501', 'organization role required',
  'another member does not correct it');
select tests.act_as('vic');
select throws_ok($$ select public.create_import(corrects => tests.kept('a')) $$, '42501', 'organization role required', 'nor a viewer');
select tests.act_as('bob');
select throws_ok($$ select public.create_import(corrects => tests.kept('a')) $$, 'PT404', 'import not found', 'nor a stranger');
select throws_ok($$ select public.create_import(org_id => tests.org_id('bolt'), corrects => tests.kept('a')) $$, 'PT404', 'import not found',
  'nor into another organization');
select tests.act_as('sid');
select throws_ok($$ select public.create_import(org_id => tests.org_id('bolt'), corrects => tests.kept('a')) $$, '22023',
  'correction is of another kind than what it corrects', 'not even a system admin does that');
select tests.act_as_role('service_role');
select is(public.create_import(corrects => tests.kept('a')) ->> 'org_id', tests.org_id('acme')::text,
  'the service need not name the organization');
select tests.act_as('ann');
select lives_ok($$ select public.create_import(corrects => tests.kept('a')) $$, 'an admin does');

-- The failed rows come back with one column moved and what failed.csv adds.
select tests.act_as('max');
select pg_temp.send('a1', 'a', '{Mail,Nr,Name,Note,_row,_line,_reason}',
  '[["two@example.com", "a2", "two", "''=1+1", "2", "3", "x"], ["four@example.com", "a4", null, "''''=x", "4", "5", "y"]]');
select is(pg_temp.cells('a1'), '[["two@example.com", "a2", "two", "=1+1", "2", "3", "x"], ["four@example.com", "a4", null, "''=x", "4", "5", "y"]]',
  'the apostrophes that it put before formulas are gone');
select is((select jsonb_agg(k order by k) from jsonb_object_keys(public.suggest_import_mapping(tests.kept('a1'))) as k),
  '["email", "name", "notes"]', 'its columns serve no field');
select is(pg_temp.chain('a1'), '{"rows": 5, "applied": 3, "failed": 2}', 'staged, it has mended nothing');
select is(tests.run_import(tests.kept('a1')), 'completed', 'it is imported');
select is(tests.counts(tests.kept('a1')), '{"rows": 2, "valid": 1, "failed": 1, "inserted": 1}', 'one row is right now');
select is((select c.name || ' ' || c.notes from public.customers as c where c.external_id = 'a2'), 'TWO =1+1',
  'with the transforms of the first');
select is(pg_temp.chain('a1'), '{"rows": 5, "applied": 4, "failed": 1}', 'the joint counts');
select is(pg_temp.chain('a'), pg_temp.chain('a1'), 'are the same for both');
select is(public.get_import(tests.kept('a')) -> 'corrected_by' @> jsonb_build_array(tests.kept('a1')), true, 'the first names the second');
select throws_ok($$ select pg_temp.send('x', 'a1', '{Nr,Name,_row}', '[["a4", "four", "2"]]') $$, '22023', 'mapping names an unknown column',
  'a file without a mapped column says so');
select pg_temp.send('a2', 'a1', '{_row,Nr,Name,Mail,Note}', '[["2", "a4", "four", "four@example.com", null]]');
select is(tests.run_import(tests.kept('a2')), 'completed', 'a correction is corrected');
select is(pg_temp.chain('a'), '{"rows": 5, "applied": 5, "failed": 0}', 'until nothing is left');
select is(pg_temp.chain('a2'), pg_temp.chain('a'), 'for the whole chain');
select tests.act_as('ann');
select public.undo_import(tests.kept('a2'));
select tests.run_jobs();
select is(pg_temp.chain('a'), '{"rows": 5, "applied": 4, "failed": 1}', 'a correction that is undone mends nothing');
select tests.act_as('vic');
select is(pg_temp.chain('a'), '{"rows": 5, "applied": 4, "failed": 1}', 'whoever may see the import sees its chain');

-- Columns of that name in a file of one's own are as others.
select tests.act_as('max');
select tests.keep('own', tests.stage_import('customers', '{external_id,name,_row,notes}', '[["o1", "x", "r", "''=1"]]',
  p_mapping => '{"external_id": "external_id", "name": "_row", "notes": "notes"}'));
select is(tests.run_import(tests.kept('own')), 'completed', 'such a column may be mapped by hand');
select is((select c.name || c.notes from public.customers as c where c.external_id = 'o1'), 'r''=1', 'and keeps its apostrophes');

-- And they come back in corrections, where the names that are added are others.
select is(public.get_import(tests.kept('own')) -> 'added_columns', '["__row", "__line", "__reason"]', 'what is added has a name of its own');
select is(public.get_import(tests.kept('a2')) -> 'added_columns', '["_row", "_line", "_reason"]', 'where it is needed');
select tests.keep('d', tests.stage_import('customers', '{external_id,name,_line,email,__reason}',
  '[["d1", "one", "north", "x", "why"], ["d2", "two", "''=south", "y", null]]',
  p_mapping => '{"external_id": "external_id", "name": "name", "notes": "_line", "email": "email"}'));
select is(tests.run_import(tests.kept('d')), 'completed', 'a file with such a column and bad rows');
select is(public.get_import(tests.kept('d')) -> 'added_columns', '["___row", "___line", "___reason"]', 'all that it has are avoided');
select tests.keep('d1', (public.correct_import(tests.kept('d'), '[{"row": 1, "cells": {"email": "one@example.com", "_line": "east"}}]') ->> 'id')::uuid);
select is(public.get_import(tests.kept('d1')) -> 'columns', '["external_id", "name", "_line", "email", "__reason", "___row"]',
  'corrected by cells it keeps them');
select is(pg_temp.cells('d1'), '[["d1", "one", "east", "one@example.com", "why", "1"]]', 'with what they hold');
select is(tests.run_import(tests.kept('d1')), 'completed', 'and they fill their fields');
select is((select c.notes from public.customers as c where c.external_id = 'd1'), 'east', 'as mapped');
select pg_temp.send('d2', 'd', '{external_id,name,_line,email,___row,___line,___reason}', '[["d2", "two", "''''=south", "still wrong", "2", "3", "z"]]');
select is(pg_temp.cells('d2'), '[["d2", "two", "''=south", "still wrong", "2", "3", "z"]]', 'so does the file of failed rows');
select is(tests.run_import(tests.kept('d2')), 'completed', 'sent back');
select is(public.get_import(tests.kept('d2')) -> 'added_columns', '["___row", "___line", "___reason"]', 'the added ones have the same names in all of a chain');
select is(public.correct_import(tests.kept('d2'), '[{"row": 1, "cells": {"email": "two@example.com"}}]') -> 'columns',
  '["external_id", "name", "_line", "email", "___row"]', 'and are not added twice');

-- Cells --------------------------------------------------------------------------------------------------

select pg_temp.stage('b');
select throws_ok($$ select public.correct_import(tests.kept('b'), '[{"row": 2, "cells": {"Mail": "x"}}]') $$, 'PT409',
  'import is not judged yet', 'cells are corrected once they are judged');
select tests.run_import(tests.kept('b'), false);
select is(
  public.correct_import(tests.kept('b'), '[{"row": 4, "cells": {"Name": "four", "Note": 4}}, {"row": 2, "cells": {"Mail": null}}]')
    @> jsonb_build_object('status', 'staged', 'corrects', tests.kept('b'), 'row_count', 2, 'file_name', 'file.csv', 'dataset', 'customers',
      'columns', '["Nr", "Name", "Mail", "Note", "_row"]'::jsonb, 'mapping', public.get_import(tests.kept('b')) -> 'mapping',
      'chain', '{"rows": 5, "applied": 0, "failed": 2}'::jsonb),
  true, 'cells make a staged import of the rows');
select tests.keep('b1', (public.get_import(tests.kept('b')) #>> '{corrected_by,0}')::uuid);
select is(pg_temp.cells('b1'), '[["b2", "two", null, "=1+1", "2"], ["b4", "four", "four@example.com", "4", "4"]]',
  'with those cells replaced, the others as they were');
select is(public.get_import(tests.kept('b1')) -> 'sample', pg_temp.cells('b1'), 'which its sample shows');
select is(auth.uid(), tests.user_id('max'), 'the caller is who they were');
select is((select s.created_by from public.import_sessions as s where s.batch_id = tests.kept('b1')), tests.user_id('max'),
  'with a session');
select is(tests.run_import(tests.kept('b1')), 'completed', 'it is imported');
select is(tests.counts(tests.kept('b1')), '{"rows": 2, "valid": 2, "inserted": 2}', 'and right');
select is((select array_agg(r.line_number) from public.list_import_rows(tests.kept('b1')) as r), '{3,5}', 'the lines are those of the file');
select is(public.commit_import(tests.kept('b')) ->> 'status', 'pending', 'what was right is committed on its own');
select tests.run_jobs();
select is(pg_temp.chain('b'), '{"rows": 5, "applied": 5, "failed": 0}', 'together they are whole');

-- The same corrections again are told, like the same file.
select tests.keep('b2', (public.correct_import(tests.kept('b'), '[{"row": 2, "cells": {"Mail": null}}]') ->> 'id')::uuid);
select tests.keep('b3', (public.correct_import(tests.kept('b'), '[{"cells": {"Mail": null}, "row": 2}]') ->> 'id')::uuid);
select is(public.get_import(tests.kept('b3')) ->> 'duplicate_of', tests.kept('b2')::text, 'the same corrections again are told');

-- A child's child.
select tests.keep('c1', (public.correct_import(tests.kept('a'), '[{"row": 2, "cells": {"Mail": "still wrong"}}]') ->> 'id')::uuid);
select tests.run_import(tests.kept('c1'));
select is(public.correct_import(tests.kept('c1'), '[{"row": 1, "cells": {"Mail": "right@example.com"}}]') -> 'columns',
  '["Nr", "Name", "Mail", "Note", "_row"]', 'a correction of a correction has no second _row');
select tests.keep('c2', (public.get_import(tests.kept('c1')) #>> '{corrected_by,0}')::uuid);
select is(pg_temp.cells('c2'), '[["a2", "two", "right@example.com", "=1+1", "1"]]', 'its _row is that of what it corrects');

-- Who
select tests.act_as('mia');
select throws_ok($$ select public.correct_import(tests.kept('b'), '[{"row": 2, "cells": {"Mail": "x"}}]') $$, '42501',
  'organization role required', 'another member does not');
select tests.act_as('vic');
select throws_ok($$ select public.correct_import(tests.kept('b'), '[{"row": 2, "cells": {"Mail": "x"}}]') $$, '42501',
  'organization role required', 'nor a viewer');
select tests.act_as('bob');
select throws_ok($$ select public.correct_import(tests.kept('b'), '[{"row": 2, "cells": {"Mail": "x"}}]') $$, 'PT404', 'import not found',
  'nor a stranger');
select tests.act_as_role('anon');
select throws_ok($$ select public.correct_import(tests.kept('b'), '[]') $$, '42501', 'permission denied for function correct_import',
  'nor anon');
select tests.act_as_role('service_role');
select is(public.correct_import(tests.kept('b'), '[{"row": 2, "cells": {"Mail": "x"}}]') ->> 'initiated_by', null, 'the service may');
select is(private.is_service_caller(), true, 'and stays the service');

-- What is refused
select tests.act_as('max');
select throws_ok(format('select public.correct_import(%L, %L)', tests.kept('b'), c.given), '22023', 'corrections are not understood', c.what)
from (values
  ('{}', 'an object'), ('[]', 'nothing'), ('["x"]', 'words'), ('[{"row": 2}]', 'no cells'), ('[{"row": 2, "cells": {}}]', 'empty cells'),
  ('[{"row": 2.5, "cells": {"Mail": "x"}}]', 'half a row'), ('[{"row": "2", "cells": {"Mail": "x"}}]', 'a word for a row'),
  ('[{"row": 99999999999, "cells": {"Mail": "x"}}]', 'a row beyond all'), ('[{"row": 2, "cells": {"Mail": ["x"]}}]', 'a list for a cell'),
  ('[{"row": 2, "cells": {"Mail": "x"}, "why": "so"}]', 'more than was asked')
) as c (given, what);
select throws_ok($$ select public.correct_import(tests.kept('b'), null) $$, '22023', 'corrections are not understood', 'null');
select throws_ok($$ select public.correct_import(tests.kept('b'), '[{"row": 1, "cells": {"Mail": "x"}}]') $$, '22023', 'row did not fail',
  'a row that is right');
select throws_ok($$ select public.correct_import(tests.kept('b'), '[{"row": 6, "cells": {"Mail": "x"}}]') $$, '22023', 'row did not fail',
  'a row that is not there');
select throws_ok($$ select public.correct_import(tests.kept('b'), '[{"row": 2, "cells": {"Mail": "x"}}, {"row": 2, "cells": {"Name": "x"}}]') $$,
  '22023', 'row is corrected twice', 'one row twice');
select throws_ok($$ select public.correct_import(tests.kept('b'), '[{"row": 2, "cells": {"email": "x"}}]') $$, '22023',
  'correction names an unknown column', 'a field instead of a column');
select throws_ok($$ select public.correct_import(tests.kept('b1'), '[{"row": 1, "cells": {"Mail": "x"}}]') $$, '22023', 'row did not fail',
  'of an import in which none failed');
select throws_ok(format('select public.correct_import(%L, %L)', tests.kept('b'),
  (select jsonb_agg(jsonb_build_object('row', n, 'cells', '{"Mail": "x"}'::jsonb)) from generate_series(1, 1001) as n)),
  'PT413', 'too many rows are corrected at once', 'more than a thousand');
select tests.act_as_role('postgres');
select public.set_setting('imports.max_cell_bytes', '1100'), public.set_setting('imports.max_request_bytes', '2000');
select tests.act_as('max');
select throws_ok($$ select public.correct_import(tests.kept('b'), jsonb_build_array(jsonb_build_object('row', 2, 'cells',
  jsonb_build_object('Mail', 'x', 'Name', repeat('ü', 551))))) $$, 'PT413', 'cell is too large', 'a cell larger than a file may have');
select throws_ok($$ select public.correct_import(tests.kept('b'), jsonb_build_array(jsonb_build_object('row', 2, 'cells',
  jsonb_build_object('Mail', repeat('x', 1000), 'Name', repeat('y', 1000))))) $$, 'PT413', 'corrections are too large', 'more than a request may bring');

-- Rows are kept for a time.
select tests.act_as_role('postgres');
delete from private.import_rows where batch_id = tests.kept('b');
select tests.act_as('max');
select throws_ok($$ select public.correct_import(tests.kept('b'), '[{"row": 2, "cells": {"Mail": "x"}}]') $$, 'PT409',
  'rows of the import have expired', 'rows that have expired are not corrected');
select throws_ok($$ select public.create_import(corrects => tests.kept('b')) $$, 'PT409', 'rows of the import have expired', 'by no file either');
select tests.keep('up', (public.create_import('customers') ->> 'id')::uuid);
select tests.act_as_role('postgres');
select private.fail_upload(tests.kept('up'));
select tests.act_as('max');
select throws_ok($$ select public.create_import(corrects => tests.kept('up')) $$, 'PT409', 'import is not judged yet',
  'nor is an upload that broke off');

select * from finish();
rollback;
