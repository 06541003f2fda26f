-- Secret fields: taken as they are, shown nowhere, and gone when the import is.
begin;
select plan(86);
select tests.set_up_actors();

create table private.doors (
  id     uuid primary key default gen_random_uuid(),
  org_id uuid not null references public.organization (id),
  code   text not null unique,
  mail   text,
  digest text
);
create view private.door_records with (security_barrier) as
  select d.id, d.org_id, d.code, d.mail from private.doors as d where d.org_id in (select private.org_ids('member'));
grant select on private.door_records to authenticated, service_role;
create type private.door_row as (code text, mail text, pin text, master_pin text);
create function private.apply_doors(p_org_id uuid, p_mode public.import_mode, p_clear text[], p_rows private.door_row[])
returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
declare
  v_row private.door_row;
begin
  foreach v_row in array p_rows loop
    if v_row.pin like '%quoted%' then
      raise exception 'pin % is no pin', v_row.pin;
    elsif v_row.pin like '%plain%' then
      perform private.refuse_row('weak', 'pin', 'the pin is too simple');
    end if;
    if p_mode = 'delete' then
      delete from private.doors as d where d.code = v_row.code;
    elsif p_mode = 'insert' then
      insert into private.doors (org_id, code, mail, digest) values (p_org_id, v_row.code, v_row.mail, '<' || v_row.pin || '>');
    else
      update private.doors as d set mail = v_row.mail, digest = '<' || v_row.pin || '>' where d.code = v_row.code;
    end if;
  end loop;
end;
$$;
create function private.check_doors(p_org_id uuid, p_mode public.import_mode, p_rows private.door_row[])
returns table (place integer, field text, code text, message text, value text)
language sql stable
security invoker
set search_path = ''
as $$
  select r.place, 'pin', 'both', 'one pin is enough', r.pin from unnest(p_rows) with ordinality as r (code, mail, pin, master_pin, place)
  where num_nonnulls(r.pin, r.master_pin) = 2;
$$;
revoke execute on function private.apply_doors(uuid, public.import_mode, text[], private.door_row[]),
  private.check_doors(uuid, public.import_mode, private.door_row[]) from public;
grant execute on function private.apply_doors(uuid, public.import_mode, text[], private.door_row[]) to authenticated, service_role;
select is((private.register_dataset('doors', 'private.door_records', '{code}', org_column => 'org_id', apply_function => 'private.apply_doors',
  check_function => 'private.check_doors')).key, 'doors', 'a view may have an organization column');

-- Which fields ---------------------------------------------------------------------------------------

select throws_ok($$ update public.dataset_fields as f set is_secret = true where f.dataset = 'customers' and f.name = 'email' $$,
  '22023', 'field cannot be secret', 'a column of a table is not secret');
select throws_ok($$ update public.dataset_fields as f set is_secret = true where f.dataset = 'doors' and f.name = 'code' $$,
  '22023', 'field cannot be secret', 'nor is the key');
select throws_ok($$ update public.dataset_fields as f set is_secret = true where f.dataset = 'doors' and f.name = 'mail' $$,
  '22023', 'field cannot be secret', 'nor what the view shows');
select throws_ok($$ update public.dataset_fields as f set is_secret = true, rules = '{"unique_in_file": true}' where f.dataset = 'doors' and f.name = 'pin' $$,
  '22023', 'field cannot be secret', 'nor what is compared');
select lives_ok($$ update public.dataset_fields as f set is_secret = true, rules = '{"max_length": 20}', chunk_rows = 2
  where f.dataset = 'doors' and f.name in ('pin', 'master_pin') $$, 'what the function alone gets may be');

-- Mappings -------------------------------------------------------------------------------------------

create function pg_temp.map(p_mapping jsonb)
returns text
language plpgsql
as $$
declare
  v_detail text;
begin
  perform private.normalize_mapping('doors', '{a,b,c}', p_mapping);
  return null;
exception when others then
  get stacked diagnostics v_detail = pg_exception_detail;
  return format('%s %s: %s', sqlstate, sqlerrm, v_detail);
end;
$$;
select is(pg_temp.map('{"code": "a", "pin": "b"}'), null, 'a secret has a column of its own');
select is(pg_temp.map('{"pin": {"columns": ["b"], "transforms": [], "default": null}}'), null, 'also in the normal form');
select is(pg_temp.map(m), '22023 secret field takes one column, as it is: field pin', 'it has ' || w)
from (values (1, 'no default', '{"pin": {"column": "b", "default": "s3cret"}}'::jsonb), (2, 'none alone', '{"pin": {"default": "s3cret"}}'),
  (3, 'no transforms', '{"pin": {"column": "b", "transforms": [{"map_values": {"x": "s3cret"}}]}}'),
  (4, 'no two columns', '{"pin": {"columns": ["a", "b"]}}'), (5, 'nothing that is not understood', '{"pin": {"s3cret": 1}}')) as v (p, w, m) order by p;
select is(pg_temp.map('{"code": "b", "pin": "b"}'), '22023 column of a secret field is used twice: column "b" of field pin also serves code',
  'its column fills no other field');
select is(pg_temp.map('{"code": {"columns": ["a", "b"]}, "master_pin": "b"}') like '22023 column of a secret field is used twice:%', true, 'not in part');
select is(pg_temp.map('{"pin": "b", "master_pin": "b"}') like '22023 column of a secret field is used twice:%', true, 'not another secret');
select is(pg_temp.map('{"pin": "b", "mail": {"column": "a", "transforms": ["trim", {"classify": [{"column": "b", "equals": "s3cret", "then": "x"}]}]}}')
  like '22023 column of a secret field is used twice:%', true, 'and stands in no rule');

-- The rows whose secrets are staged.
create function pg_temp.staged(p_id uuid)
returns text
language sql security definer
as $$
  select string_agg(case when r.cells::text like '%s3cret%' then 'x' else '-' end, '' order by r.row_number)
  from private.import_rows as r where r.batch_id = p_id
$$;

-- Staging --------------------------------------------------------------------------------------------

select tests.act_as('max');
select tests.keep('i', tests.stage_import('doors', '{Code,Contact,PIN,Remark,spare}', '[
  ["D1", "d1@x.test", " s3cret one ", "s3cret in a remark", "u@x.test"],
  ["D2", "d2@x.test", "s3cret but longer than it may be", null, "u@x.test"],
  ["D3", "d3@x.test", "s3cret quoted", null, "u@x.test"],
  ["D4", "d4@x.test", "s3cret plain", null, "u@x.test"],
  ["D5", "d5@x.test", "", "s3cret", "u@x.test"],
  ["D6", " ",         "s3cret six", null, "u@x.test"]]'));
select is((select jsonb_object_agg(m.key, m.value -> 'columns') from jsonb_each(public.get_import(tests.kept('i')) -> 'mapping') as m),
  '{"code": ["Code"], "pin": ["PIN"]}', 'columns are found by name, secrets too, and by content none');
select is(public.get_import(tests.kept('i')) -> 'sample', '[["D1", null, null, null, null], ["D2", null, null, null, null],
  ["D3", null, null, null, null], ["D4", null, null, null, null], ["D5", null, null, null, null], ["D6", null, null, null, null]]',
  'the sample shows what is mapped to fields that are no secrets');
select is(public.suggest_import_mapping(tests.kept('i')) - 'code' - 'pin', '{}', 'a later suggestion knows no more');
select tests.act_as_role('postgres');
insert into private.import_issues (staged_on, batch_id, row_number, severity, code, message, value, origin)
select b.staged_on, b.id, 3, 'warning', 'invalid_encoding', 'undecodable', 's3cret', 'ingest' from public.import_batches as b where b.id = tests.kept('i');
select tests.act_as('max');
select public.set_import_mapping(tests.kept('i'), '{"code": "Code", "mail": "Remark"}');
select is((select count(i.value) from public.list_import_issues(tests.kept('i')) as i), 0::bigint, 'what issues quote goes with a mapping');
select is((select r.payload from public.list_import_rows(tests.kept('i'), page_size => 1) as r),
  '{"Code": "D1", "Contact": null, "PIN": null, "Remark": "s3cret in a remark", "spare": null}', 'rows show what is mapped');
select public.set_import_mapping(tests.kept('i'), '{"code": "Code", "mail": "Contact", "pin": "PIN"}');
select is(public.get_import(tests.kept('i')) #> '{sample,0}', '["D1", null, null, null, null]', 'the sample never shows what it hid');

-- Judging --------------------------------------------------------------------------------------------

select tests.run_import(tests.kept('i'), false);
select results_eq($$ select i.row_number, i.field, i.code, i.value from public.list_import_issues(tests.kept('i'), severity => 'error') as i $$,
  $$ values (2, 'pin', 'too_long', null::text) $$, 'an issue of a secret has no value');
select is((select array_agg(distinct r.payload ->> 'PIN') from public.list_import_rows(tests.kept('i')) as r), '{null}', 'no row shows one');
select tests.keep('both', tests.stage_import('doors', '{code,pin,master_pin}', '[["D9", "s3cret", "s3cret"]]'));
select tests.run_import(tests.kept('both'), false);
select results_eq($$ select i.field, i.code, i.message, i.value from public.list_import_issues(tests.kept('both')) as i $$,
  $$ values ('pin', 'both', 'one pin is enough', null::text) $$, 'nor what a check function says of one');
select public.preview_import(tests.kept('i'), true);
select tests.run_jobs();
select is(public.get_import_preview(tests.kept('i'))::text like '%s3cret%', false, 'nor does a dry run');

-- Applying, chunk by chunk ---------------------------------------------------------------------------

select is(pg_temp.staged(tests.kept('i')), 'xxxxxx', 'the staged rows have their secrets');
select public.commit_import(tests.kept('i'));
select tests.run_jobs(1);
select is(pg_temp.staged(tests.kept('i')), '--xxxx', 'a chunk takes those of its rows along, good ones and bad');
select tests.run_jobs();
select is(public.get_import(tests.kept('i')) ->> 'status', 'completed', 'the import ends');
select is(pg_temp.staged(tests.kept('i')), '------', 'and none is left');
select tests.act_as_role('postgres');
select results_eq($$ select d.code, d.mail, d.digest from private.doors as d order by d.code $$,
  $$ values ('D1', 'd1@x.test', '< s3cret one >'), ('D5', 'd5@x.test', null), ('D6', null, '<s3cret six>') $$,
  'a secret came as it was sent, blanks and all; an empty one is none');
select tests.act_as('max');
select results_eq($$ select i.row_number, i.field, i.code, i.message from public.list_import_issues(tests.kept('i'), severity => 'error') as i order by 1 $$,
  $$ values (2, 'pin', 'too_long', 'longer than 20 characters'), (3, null, 'constraint_violation', 'the row was refused'),
    (4, 'pin', 'weak', 'the pin is too simple') $$, 'PostgreSQL is not quoted, the function is');

-- Corrections ----------------------------------------------------------------------------------------

select tests.keep('correction', (public.correct_import(tests.kept('i'), '[{"row": 3, "cells": {"Contact": "d3@y.test"}}, {"row": 4, "cells": {"PIN": "s3cret four"}}]') ->> 'id')::uuid);
select is(public.get_import(tests.kept('correction'))::text like '%s3cret%', false, 'a correction shows none');
select is(tests.run_import(tests.kept('correction')), 'completed', 'and is applied');
select tests.act_as_role('postgres');
select results_eq($$ select d.code, d.mail, d.digest from private.doors as d where d.code in ('D3', 'D4') order by d.code $$,
  $$ values ('D3', 'd3@y.test', null), ('D4', 'd4@x.test', '<s3cret four>') $$, 'secrets that are gone are blank, new ones are taken');
select tests.act_as('max');
select tests.keep('early', (public.correct_import(tests.kept('both'), '[{"row": 1, "cells": {"master_pin": null}}]') ->> 'id')::uuid);
select is(pg_temp.staged(tests.kept('early')), 'x', 'before its commit an import still has them to be corrected');
select throws_ok($$ select public.correct_import(tests.kept('both'), '[{"pin": "s3cret"}]') $$, '22023', 'corrections are not understood',
  'corrections that are not understood');
select is(tests.sqlstate_of($$ select public.cancel_import(tests.kept('early')) $$), '00000', 'an import is cancelled');
select is(pg_temp.staged(tests.kept('early')), '-', 'all its secrets go at once');

-- Other people's -------------------------------------------------------------------------------------

select tests.act_as('max');
select tests.keep('his', tests.stage_import('doors', '{code,pin,spare}', '[["I1", "s3cret one", "s3cret"], ["I2", "s3cret but longer than it may be", "s3cret"]]'));
select tests.run_import(tests.kept('his'), false);
select tests.act_as('ann');
select throws_ok($$ select public.set_import_mapping(tests.kept('his'), '{"code": "code", "mail": "pin"}') $$, '42501',
  'import with secrets is mapped by its sender', 'an admin does not map to what is shown what somebody else sent');
select throws_ok($$ select public.set_import_mapping(tests.kept('his'), '{"code": {"column": "code", "transforms": [{"classify": [{"column": "spare", "matches": "^s", "then": "x"}]}]}}') $$,
  '42501', 'import with secrets is mapped by its sender', 'nor asks for it by rules');
select throws_ok($$ select public.set_import_mapping(tests.kept('his'), options => '{"blank": "clear"}') $$, '42501',
  'import with secrets is mapped by its sender', 'nor changes what the sender is about to apply');
select lives_ok($$ select public.preview_import(tests.kept('his')) $$, 'but works on it');
select tests.run_jobs();
select tests.keep('hers', (public.correct_import(tests.kept('his'), '[{"row": 2, "cells": {"code": "I3"}}]') ->> 'id')::uuid);
select is(pg_temp.staged(tests.kept('hers')), '-', 'in an admin''s correction of it secrets are blank');
select lives_ok($$ select public.set_import_mapping(tests.kept('hers'), '{"code": "code", "mail": "pin"}') $$, 'which is hers to map');
select lives_ok($$ select public.cancel_import(tests.kept('hers')) $$, 'and to cancel');
select tests.act_as_role('service_role');
select lives_ok($$ select public.set_import_mapping(tests.kept('his'), '{"code": "code", "pin": "pin"}') $$, 'the service maps any');
select tests.act_as('max');
select public.cancel_import(tests.kept('his'));

select tests.act_as('ann');
select tests.keep('bait', tests.stage_import('doors', '{code,pin}', '[["K1", "mine"]]', null, '{"code": "code", "mail": "pin"}'));
select public.save_import_template(tests.kept('bait'), 'bait');
select tests.keep('own', tests.stage_import('doors', '{code,pin}', '[["K1", "mine"]]'));
select is(public.get_import(tests.kept('own')) #>> '{suggested_mapping,mail,reason}', 'template', 'one''s own template is chosen by the header');
select tests.act_as('max');
select tests.keep('victim', tests.stage_import('doors', '{code,pin}', '[["K1", "s3cret"]]'));
select is(public.get_import(tests.kept('victim')) -> 'sample', '[["K1", null]]', 'that of somebody else is not: it could show secrets');
select lives_ok($$ select public.set_import_mapping(tests.kept('victim'),
    template_id => (public.list_import_templates('doors') #>> '{templates,0,id}')::uuid) $$, 'unless it is named');
select public.set_import_mapping(tests.kept('victim'), '{"code": "code", "pin": "pin"}');
select public.cancel_import(tests.kept('victim'));

-- Nothing anywhere -----------------------------------------------------------------------------------

select public.cancel_import(tests.kept('both'));
select tests.act_as_role('postgres');
create function pg_temp.traces()
returns setof text
language plpgsql
as $$
declare
  v_table regclass;
  v_found boolean;
begin
  for v_table in
    select c.oid from pg_class as c
    where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and c.relkind in ('r', 'p') and not c.relispartition
      and c.oid <> 'private.doors'::regclass
  loop
    execute format('select exists (select from %s as t where t::text like %L)', v_table, '%s3cret%') into v_found;
    if v_found then
      return next v_table;
    end if;
  end loop;
end;
$$;
select is_empty('select * from pg_temp.traces()', 'no table holds a trace: rows, issues, outcomes, plans, jobs, tasks, logs, previews, sessions');

-- Without a header -----------------------------------------------------------------------------------

select tests.act_as('max');
select tests.keep('bare', tests.stage_import('doors', '{M1,s3cret,s3cret code}', '[["M2", "s3cret", "x"]]'));
select public.set_import_mapping(tests.kept('bare'), '{"code": "M1"}');
select is(public.cancel_import(tests.kept('bare')) -> 'columns', '["M1", "column 2", "column 3"]', 'names of columns go that may be secrets');
select tests.act_as_role('postgres');
select is_empty('select * from pg_temp.traces()', 'without a trace');

-- Failing --------------------------------------------------------------------------------------------

select tests.act_as('max');
select tests.keep('abort', tests.stage_import('doors', '{code,pin}', '[["E1", "s3cret one"], ["E2", "s3cret plain"], ["E3", "s3cret"]]', null, null, '{"on_error": "abort"}'));
select is(tests.run_import(tests.kept('abort')), 'failed', 'a row is refused, so nothing is applied');
select is(pg_temp.staged(tests.kept('abort')), 'xxx', 'the rows can be tried again');
select lives_ok($$ select public.retry_import(tests.kept('abort')) $$, 'and are');
select tests.run_jobs();
select tests.keep('staged', tests.stage_import('doors', '{code,pin}', '[["F1", "s3cret one"]]'));
select tests.keep('judged', tests.stage_import('doors', '{code,pin}', '[["G1", "s3cret one"]]'));
select tests.run_import(tests.kept('judged'), false);
select tests.keep('plain', tests.stage_import('customers', '{external_id,name}', '[["G1", "s3cret one"]]'));
select public.preview_import(tests.kept('judged'), true);
select public.pause_import(tests.kept('judged'));
select tests.keep('waiting', tests.stage_import('doors', '{code,pin}', '[["L1", "s3cret one"]]'));
select public.set_import_mapping(tests.kept('waiting'), depends_on => array[tests.kept('plain')]);
select public.validate_import(tests.kept('waiting'), true);
select tests.keep('later', tests.stage_import('doors', '{code,pin}', '[["L2", "s3cret one"]]'));
select tests.run_import(tests.kept('later'), false);
select public.change_job((public.commit_import(tests.kept('later')) ->> 'id')::uuid, run_at => now() + interval '30 days');
select throws_ok($$ select private.remove_waiting_secrets() $$, '42501', null, 'people do not remove them');
select throws_ok($$ select public.set_setting('imports.secret_hours', '1') $$, '42501', 'setting is not the caller''s to change', 'nor say when');
select tests.act_as('sid');
select lives_ok($$ select public.set_setting('imports.secret_hours', '2') $$, 'a system admin does');
select tests.act_as_role('postgres');
select is(private.remove_waiting_secrets(), false, 'what is new stays');
update public.import_batches as b set staged_at = now() - interval '3 hours',
  validated_at = case when b.validated_at is not null then now() - interval '3 hours' end,
  finished_at = case when b.finished_at is not null then now() - interval '3 hours' end
where b.id in (tests.kept('abort'), tests.kept('staged'), tests.kept('judged'), tests.kept('waiting'), tests.kept('later'), tests.kept('plain'));
select is(array(select private.remove_waiting_secrets() from generate_series(1, 6)), '{t,t,t,t,t,f}', 'what waited too long is dealt with, one by one');
select tests.act_as('max');
select is(array(select public.get_import(tests.kept(k)) ->> 'status' from unnest('{abort,staged,judged,waiting,later,plain}'::text[]) with ordinality as u (k, n) order by n),
  '{failed,cancelled,cancelled,cancelled,cancelled,staged}', 'cancelled where it could still be applied; other datasets have nothing to do with it');
select is(pg_temp.staged(tests.kept('abort')) || pg_temp.staged(tests.kept('staged')) || pg_temp.staged(tests.kept('judged')), '-----', 'without secrets');
select is(pg_temp.staged(tests.kept('waiting')) || pg_temp.staged(tests.kept('later')), '--', 'also where a job waited for another, or for its time');
select is(pg_temp.staged(tests.kept('plain')), 'x', 'which others have none of');
select throws_ok($$ select public.retry_import(tests.kept('abort')) $$, 'PT409', 'secrets of the import were removed', 'it cannot be tried again');
select throws_ok($$ select public.validate_import(tests.kept('abort')) $$, 'PT409', 'secrets of the import were removed', 'nor judged again');
select throws_ok($$ select public.set_import_mapping(tests.kept('abort'), '{"code": "code"}') $$, 'PT409', 'secrets of the import were removed',
  'nor mapped otherwise');
select is((select array_agg(r.payload ->> 'code' order by r.row_number) from public.list_import_rows(tests.kept('abort')) as r), '{E1,E2,E3}',
  'its rows are there, and can be corrected');
select is((select count(*) from public.sync_error_log as l where l.message || coalesce(l.detail, '') || coalesce(l.context, '') like '%s3cret%'), 0::bigint,
  'the error log quotes nothing');

-- What failed in part, and is undone: nobody will try the rest.
select tests.keep('part', tests.stage_import('doors', '{code,pin}', '[["H1", "s3cret one"], ["H2", "s3cret"], ["H3", "s3cret"], ["H4", "s3cret"]]'));
select tests.run_import(tests.kept('part'), false);
select public.commit_import(tests.kept('part'));
select tests.run_jobs(1);
select tests.act_as_role('postgres');
update public.organization as o set is_active = false where o.id = tests.org_id('acme');
select tests.run_jobs();
update public.organization as o set is_active = true where o.id = tests.org_id('acme');
select tests.act_as('max');
select is(public.get_import(tests.kept('part')) ->> 'status', 'failed', 'an import fails on its way');
select is(pg_temp.staged(tests.kept('part')), '--xx', 'what was not applied is kept for a retry');
select public.undo_import(tests.kept('part'));
select tests.run_jobs();
select is(public.get_import(tests.kept('part')) ->> 'status', 'undone', 'then it is undone');
select is(pg_temp.staged(tests.kept('part')), '----', 'and none of it is left');

-- An upload's own issues ------------------------------------------------------------------------------

select tests.keep('upload', (public.create_import('doors') ->> 'id')::uuid);
select tests.act_as_role('sluice_ingest');
insert into private.import_issues (staged_on, batch_id, row_number, severity, code, message, value, origin)
select i.staged_on, tests.kept('upload'), 1, 'error', 'extra_cells', 'row has more cells than there are columns', 's3cret', 'ingest'
from private.begin_ingest(tests.kept('upload'), '{code,pin}', true) as i;
select private.finish_ingest(tests.kept('upload'), '{code,pin}', 0, 1, 'hash', null, '{}');
select tests.act_as('max');
select results_eq($$ select i.code, i.value from public.list_import_issues(tests.kept('upload')) as i $$, $$ values ('extra_cells', null::text) $$,
  'what an upload could see has no value');

-- Records with lines ---------------------------------------------------------------------------------

select tests.act_as_role('postgres');
create table public.safes (
  id uuid primary key default gen_random_uuid(), org_id uuid not null references public.organization (id), number text not null, unique (org_id, number)
);
create table public.safe_keys (
  id uuid primary key default gen_random_uuid(), safe_id uuid not null references public.safes (id) on delete cascade, line integer not null
);
alter table public.safes enable row level security;
alter table public.safe_keys enable row level security;
create policy safes_all on public.safes to authenticated using (org_id = any (array(select private.org_ids('member'))));
create policy safe_keys_all on public.safe_keys to authenticated using (exists (select from public.safes as s where s.id = safe_id));
grant select, insert, update, delete on public.safes, public.safe_keys to authenticated, service_role;
create type private.safe_row as (number text, line integer, pin text);
create function private.apply_safes(p_org_id uuid, p_mode public.import_mode, p_clear text[], p_rows private.safe_row[])
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  insert into public.safes (org_id, number) select distinct p_org_id, r.number from unnest(p_rows) as r where p_mode = 'insert' and r.pin is not null;
  insert into public.safe_keys (safe_id, line)
  select s.id, r.line from unnest(p_rows) as r join public.safes as s on s.org_id = p_org_id and s.number = r.number where r.pin is not null;
$$;
grant execute on function private.apply_safes(uuid, public.import_mode, text[], private.safe_row[]) to authenticated, service_role;
select is((private.register_dataset('safes', 'public.safes', '{number,line}', group_field => 'number', lines => 'public.safe_keys',
  apply_function => 'private.apply_safes')).key, 'safes', 'lines may have secrets, too');
update public.dataset_fields as f set is_secret = true, chunk_rows = 2 where f.dataset = 'safes' and f.name = 'pin';
select tests.act_as('max');
select tests.keep('safes', tests.stage_import('safes', '{number,line,pin}', '[["A", "1", "s3cret"], ["B", "1", "s3cret"], ["C", "1", "s3cret"], ["A", "2", "s3cret"]]'));
select tests.run_import(tests.kept('safes'), false);
select public.commit_import(tests.kept('safes'));
select tests.run_jobs(1);
select is(pg_temp.staged(tests.kept('safes')), '--x-', 'those of a record go together, wherever its lines are');
select public.pause_import(tests.kept('safes'));
select tests.act_as_role('postgres');
update public.import_batches as b set validated_at = now() - interval '3 hours' where b.id = tests.kept('safes');
select is(private.remove_waiting_secrets(), true, 'who pauses an import does not keep them');
select tests.act_as('max');
select is(public.get_import(tests.kept('safes')) ->> 'status', 'cancelled', 'it is cancelled on its way');
select is(pg_temp.staged(tests.kept('safes')), '----', 'and none is left');

-- Too large for a request.
select tests.keep('large', tests.stage_import('doors', '{code,pin}', '[["L1", "s3cret"]]'));
select tests.act_as_role('postgres');
update public.import_batches as b set row_count = 100001 where b.id = tests.kept('large');
select tests.act_as('max');
select public.cancel_import(tests.kept('large'));
select is(pg_temp.staged(tests.kept('large')), 'x', 'a large import is cancelled at once');
select tests.act_as_role('postgres');
select is(array(select private.remove_waiting_secrets() from generate_series(1, 2)), '{t,f}', 'maintenance finds it');
select tests.act_as('max');
select is(pg_temp.staged(tests.kept('large')), '-', 'and removes its secrets');

-- Templates ------------------------------------------------------------------------------------------

select tests.keep('source', tests.stage_import('doors', '{code,pin,mail}', '[["K1", "s3cret one", "m"]]'));
select public.set_import_mapping(tests.kept('source'), '{"code": "code", "mail": "pin"}');
select tests.keep('template', (public.save_import_template(tests.kept('source'), 'Doors') ->> 'id')::uuid);
select throws_ok($$ select public.set_import_mapping(tests.kept('source'), '{"pin": "pin"}', template_id => tests.kept('template')) $$,
  '22023', 'column of a secret field is used twice', 'a template and what is given beside it are one mapping');
select throws_ok($$ select public.create_import('doors', mapping => '{"pin": "pin"}', template_id => tests.kept('template')) $$,
  '22023', 'column of a secret field is used twice', 'from the beginning');

select * from finish();
rollback;
