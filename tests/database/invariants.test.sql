-- What must hold of every object, whoever adds one.
begin;
select plan(31);

-- Ours: what is in public and private and belongs to no extension.
create temporary table relations as
  select c.oid, c.relname, c.relkind, c.relrowsecurity, c.reloptions, c.relacl, c.relowner, n.nspname, c.relispartition,
    (n.nspname || '.' || c.relname) collate "default" as name
  from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
  where n.nspname in ('public', 'private')
    and not exists (select from pg_depend as d where d.classid = 'pg_class'::regclass and d.objid = c.oid
      and d.deptype = 'e');
create temporary table functions as
  select p.oid, p.oid::regprocedure::text as name, n.nspname, p.prosecdef, p.proconfig, p.proacl, p.proowner, p.prokind,
    p.prolang, p.prorettype
  from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
  where n.nspname in ('public', 'private')
    and not exists (select from pg_depend as d where d.classid = 'pg_proc'::regclass and d.objid = p.oid
      and d.deptype = 'e');

select cmp_ok((select count(*) from relations where relkind in ('r', 'p')), '>', 20::bigint,
  'there are tables to look at');
select cmp_ok((select count(*) from functions), '>', 100::bigint, 'and functions');

-- Row level security ---------------------------------------------------------------------------------

select is_empty($$ select name from relations where nspname = 'public' and relkind in ('r', 'p')
  and not relrowsecurity $$, 'every table in public has row level security');
select is_empty(
  $$ select r.name from relations as r where r.nspname = 'public' and r.relkind in ('r', 'p')
    and not exists (select from pg_policy as p where p.polrelid = r.oid) $$,
  'and a policy');
select is_empty(
  $$ select p.polname, p.polrelid::regclass from pg_policy as p join relations as r on r.oid = p.polrelid
    where p.polroles <> array['authenticated'::regrole::oid] $$,
  'policies are to authenticated');
select is_empty($$ select p.polname, p.polrelid::regclass from pg_policy as p join relations as r on r.oid = p.polrelid
  where p.polcmd = '*' $$, 'and for one command each');
select is_empty(
  $$ select p.polname, p.polrelid::regclass from pg_policy as p join relations as r on r.oid = p.polrelid
     where coalesce(pg_get_expr(p.polqual, p.polrelid), '') || coalesce(pg_get_expr(p.polwithcheck, p.polrelid),
       '') ~ '(?<!SELECT )(auth\.(uid|jwt|role)|private\.[a-z_]+)\(' $$,
  'they call functions in subqueries, once a statement');

-- Partitions and tables of private -------------------------------------------------------------------

select is_empty($$ select name from relations where relispartition and relkind in ('r', 'p')
  and nspname <> 'private' $$, 'partitions live in private');
select is_empty(
  $$ select r.name, a.grantee::regrole, a.privilege_type from relations as r cross
    join lateral aclexplode(r.relacl) as a
     where r.nspname = 'private' and a.grantee <> r.relowner
       and not (a.grantee = 'sluice_ingest'::regrole and a.privilege_type = 'INSERT'
         and r.relname in ('import_rows', 'import_issues'))
       and not (r.name = 'private.users' and a.privilege_type = 'SELECT') $$,
  'in private nothing is granted but the ingest''s two inserts, and the people whom one may manage');
select is_empty(
  $$ select r.name from relations as r where r.nspname = 'private' and r.relkind in ('r', 'p', 'v', 'm') and r.name <> 'private.users' and (
       has_any_column_privilege('authenticated', r.oid, 'select, insert, update, references')
         or has_any_column_privilege('service_role', r.oid, 'select, insert, update, references')
       or has_any_column_privilege('anon', r.oid, 'select, insert, update, references')) $$,
  'no client reads or writes anything else in private');
select is_empty(
  $$ select n.nspname from pg_namespace as n where n.nspname = 'private'
    and (has_schema_privilege('anon', n.oid, 'usage') or has_schema_privilege('authenticated', n.oid, 'create')) $$,
  'anon has no business in private, and nobody makes things there');

-- Grants ---------------------------------------------------------------------------------------------

select is_empty(
  $$ select r.name, a.privilege_type from relations as r cross join lateral aclexplode(r.relacl) as a
    where a.grantee in (0, 'anon'::regrole) $$, 'nothing is granted to anon or PUBLIC');
select is_empty(
  $$ select r.name from relations as r where r.relkind in ('r', 'p', 'v', 'm')
    and has_any_column_privilege('anon', r.oid, 'select, insert, update, references') $$, 'anon reaches no table');
select is_empty($$ select name from relations where relkind = 'S'
  and (has_sequence_privilege('anon', oid, 'usage, select, update')
  or has_sequence_privilege('authenticated', oid, 'usage, select, update')) $$,
  'nor does any client a sequence');
select is_empty(
  $$ select f.name, coalesce(a.grantee::regrole::text, 'PUBLIC') from functions as f cross
    join lateral aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) as a
     where a.grantee in (0, 'anon'::regrole) $$, 'no function is granted to anon or PUBLIC');
select is_empty($$ select name from functions where has_function_privilege('anon', oid, 'execute') $$,
  'anon executes nothing');
select is_empty(
  $$ select r.name, a.grantee::regrole, a.privilege_type from relations as r cross
    join lateral aclexplode(r.relacl) as a
     where a.grantee in ('authenticated'::regrole, 'service_role'::regrole)
       and a.privilege_type in ('TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN') $$,
  'no client truncates, refers to or hangs triggers on a table');
-- Business tables: the targets of datasets and their lines.
create temporary table business as
  select t.name::regclass as oid from public.datasets as d cross join unnest(array[d.target, d.lines]) as t (name)
  where t.name is not null and t.name <> 'private.users';
select results_eq(
  $$ select r.name, string_agg(distinct a.privilege_type, ',' order by a.privilege_type) from relations as r cross
    join lateral aclexplode(r.relacl) as a
     where r.relkind in ('r', 'p', 'v') and a.grantee = 'authenticated'::regrole and a.privilege_type <> 'SELECT'
       group by r.name order by r.name $$,
  $$ select r.name, 'DELETE' from relations as r where r.oid in (select b.oid from business as b) order by r.name $$,
    'whole-table writes of people are deletes of business records');
select results_eq(
  $$ select r.name, a.privilege_type, string_agg(t.attname, ',' order by t.attname) collate "default"
    from relations as r join pg_attribute as t on t.attrelid = r.oid cross join lateral aclexplode(t.attacl) as a
     where a.grantee = 'authenticated'::regrole and a.privilege_type <> 'SELECT'
       and r.oid not in (select b.oid from business as b) group by 1, 2 order by 1, 2 $$,
  $$ values ('public.profiles', 'UPDATE', 'avatar_url,full_name'),
    ('public.scheduled_jobs', 'INSERT', 'idempotency_key,job_type,params') $$,
  'and by column: one''s own name and picture, and the start of a job');

-- Functions ------------------------------------------------------------------------------------------

select is_empty($$ select name from functions where nspname = 'public' and prosecdef $$,
  'no function in public is security definer');
select is_empty($$ select name from functions where proconfig is null or not 'search_path=""' = any (proconfig) $$,
  'every function pins search_path to nothing');
select is_empty($$ select name from functions where prokind = 'p' $$,
  'there are no procedures: work that commits is a do block of cron');
select is_empty($$ select name from functions where proowner <> 'postgres'::regrole $$, 'all belong to postgres');
select is_empty(
  $$ select f.name from functions as f join pg_language as l on l.oid = f.prolang
    where l.lanname not in ('sql', 'plpgsql') $$, 'and are SQL or PL/pgSQL');
select is_empty(
  $$ select f.name from functions as f where f.prosecdef and f.prorettype = 'trigger'::regtype
     and (has_function_privilege('authenticated', f.oid, 'execute')
       or has_function_privilege('service_role', f.oid, 'execute')) $$, 'nobody calls a definer trigger function');

-- Views ----------------------------------------------------------------------------------------------

-- But for one, over what no client may read: behind a barrier, with a condition of its own.
select is_empty($$ select name from relations where relkind in ('v', 'm')
  and (relkind = 'm' or reloptions is null
    or not case name when 'private.users' then 'security_barrier=true' else 'security_invoker=true' end = any (reloptions)) $$,
  'views run as their reader');

-- Comments -------------------------------------------------------------------------------------------

select is_empty($$ select name from relations where nspname = 'public' and relkind in ('r', 'p', 'v', 'm')
  and obj_description(oid, 'pg_class') is null $$, 'every table and view in public is commented');
select is_empty($$ select name from functions where nspname = 'public' and obj_description(oid, 'pg_proc') is null $$,
  'every function in public');
select is_empty(
  $$ select t.oid::regtype from pg_type as t join pg_namespace as n on n.oid = t.typnamespace left
    join pg_class as c on c.oid = t.typrelid
     where n.nspname = 'public' and t.typelem = 0 and t.typcategory <> 'A' and (t.typtype <> 'c' or c.relkind = 'c')
       and obj_description(t.oid, 'pg_type') is null
       and not exists (select from pg_depend as d where d.classid = 'pg_type'::regclass and d.objid = t.oid
         and d.deptype = 'e') $$, 'every type in public');

-- Keys -----------------------------------------------------------------------------------------------

select is_empty(
  $$ select c.conrelid::regclass, c.conname from pg_constraint as c join relations as r on r.oid = c.conrelid
     where c.contype = 'f' and c.conparentid = 0 and not exists (
       select from pg_index as i where i.indrelid = c.conrelid and i.indisvalid and i.indpred is null
         and (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey) $$,
           'every foreign key has an index that begins with it');
select is_empty(
  $$ select r.name from relations as r where r.relkind in ('r', 'p') and not r.relispartition
    and not exists (select from pg_constraint as c where c.conrelid = r.oid and c.contype in ('p', 'u')) $$,
  'every table has a key');

select * from finish();
rollback;
