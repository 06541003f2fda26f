-- Datasets: the registry of what can be imported, read from the catalog.
-- Needs: foundation, activity.
-- Exposes: datasets, dataset_fields (read); private.register_dataset to the database administrator.

create type public.import_mode as enum ('insert', 'update', 'upsert', 'delete');
comment on type public.import_mode is
  'insert: new records only; update: existing ones only; upsert: both; delete: remove the records that the file names.';

create table public.datasets (
  key           text primary key,
  label         text not null,
  target        text not null,
  id_column     text not null,
  org_column    text,
  key_fields    text[] not null,
  group_field   text,
  lines         text,
  apply_function text,
  check_function text,
  required_role public.org_role not null default 'member',
  allowed_modes public.import_mode[] not null,
  entity_type   public.sync_entity_type not null,
  position      integer not null,
  created_at    timestamptz not null default now(),

  constraint datasets_key_check check (key ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint datasets_key_fields_check check (cardinality(key_fields) > 0),
  constraint datasets_allowed_modes_check check (cardinality(allowed_modes) > 0),
  constraint datasets_group_field_check check (group_field = any (key_fields)),
  constraint datasets_lines_check check ((group_field is null) = (lines is null)),
  constraint datasets_apply_function_check check (
    apply_function is not null or num_nonnulls(group_field, check_function) = 0 and org_column is not null
  ),
  constraint datasets_function_key_check check (
    apply_function is null or group_field is not null or cardinality(key_fields) = 1
  ),
  constraint datasets_required_role_check check (required_role <> 'viewer')
);
alter table public.datasets enable row level security;
comment on table public.datasets is 'What can be imported: a table that private.register_dataset found fit, or what a function writes.';
comment on column public.datasets.target is 'The table, with its schema; where a function writes, perhaps a view that shows the records.';
comment on column public.datasets.id_column is 'Its primary key, a uuid. Never mapped.';
comment on column public.datasets.org_column is
  'Its organization. Never mapped: always the import''s. Null of a view that shows each caller what they may manage and no more.';
comment on column public.datasets.key_fields is 'Fields by which a row of a file and a record are the same: unique within the organization.';
comment on column public.datasets.group_field is
  'Where several rows of a file make one record, a record with lines: the field by which they belong together, the key of the record.';
comment on column public.datasets.lines is 'The table of those lines, with its schema.';
comment on column public.datasets.apply_function is 'What writes records with lines, and others where a table is not enough: '
  '(org_id uuid, mode import_mode, clear text[], rows <type>[]) returns void. mode: insert (none of the records exists), update, delete '
  '(all of them do, and are locked); clear: columns that a blank clears.';
comment on column public.datasets.check_function is 'What judges rows beside the rules: (org_id uuid, mode import_mode, rows <type>[]) returns table '
  '(place integer, field text, code text, message text, value text), an error each; place: of the row in rows, from 1.';
comment on column public.datasets.required_role is 'The least role that imports into it. Where it is admin, only admins see its imports.';

create table public.dataset_fields (
  dataset     text not null references public.datasets (key) on delete cascade,
  name        text not null,
  column_name text not null,
  label       text not null,
  type        text not null,
  is_required boolean not null,
  is_secret   boolean not null default false,
  aliases     text[] not null default '{}',
  rules       jsonb not null default '{}',
  reference   jsonb,
  chunk_rows  integer,
  position    integer not null,

  primary key (dataset, name),
  constraint dataset_fields_chunk_rows_check check (chunk_rows > 0)
);
alter table public.dataset_fields enable row level security;
comment on table public.dataset_fields is 'The columns of a dataset that a file may fill, with the rules for each.';
comment on column public.dataset_fields.column_name is 'The column that it fills.';
comment on column public.dataset_fields.type is 'PostgreSQL type, as format_type gives it; of a reference, that of the key.';
comment on column public.dataset_fields.is_required is 'A new record needs a value: not null without a default, or part of the key.';
comment on column public.dataset_fields.is_secret is
  'Its values are shown nowhere, and stay staged only until they are applied. Taken as they are, from a column of their own.';
comment on column public.dataset_fields.aliases is 'Other names that files give the column, for the suggestion of mappings.';
comment on column public.dataset_fields.rules is
  'Any of { lower: boolean, format: email|url|phone|uuid, pattern, one_of: [text], min, max, min_length, max_length, '
  'unique_in_file: boolean, same_in_group: boolean }. lower: the value becomes lower case before anything else looks at it.';
comment on column public.dataset_fields.reference is
  'Another record, which files name by its key: { dataset, field }. Looked up within the organization.';
comment on column public.dataset_fields.chunk_rows is
  'Most rows that a task writes where the field is mapped: its values are dear, such as passwords to be hashed.';

-- The fields by which a record is found.
create function private.record_key(p_dataset public.datasets)
returns text[]
language sql immutable
security invoker
set search_path = ''
as $$
  select case when p_dataset.group_field is null then p_dataset.key_fields else array[p_dataset.group_field] end;
$$;

-- Rules are compiled into SQL: what cannot be compiled is refused here, not when an import runs. So is a secret whose
-- values would be shown as a part of records, or told by how they compare.
create function private.tg_dataset_fields__guard_rules()
returns trigger
language plpgsql
security invoker
set search_path = ''
as $$
declare
  v_rule  record;
  v_right boolean;
begin
  for v_rule in select e.key, e.value from jsonb_each(new.rules) as e loop
    v_right := case v_rule.key
      when 'format' then v_rule.value <@ '["email", "url", "phone", "uuid"]'
      when 'one_of' then jsonb_typeof(v_rule.value) = 'array'
        and not jsonb_path_exists(v_rule.value, 'strict $[*] ? (@.type() != "string")')
      when 'pattern' then jsonb_typeof(v_rule.value) = 'string'
      when 'lower' then jsonb_typeof(v_rule.value) = 'boolean'
      when 'unique_in_file' then jsonb_typeof(v_rule.value) = 'boolean'
      when 'same_in_group' then jsonb_typeof(v_rule.value) = 'boolean'
      when 'min' then jsonb_typeof(v_rule.value) = 'number'
      when 'max' then jsonb_typeof(v_rule.value) = 'number'
      when 'min_length' then jsonb_typeof(v_rule.value) = 'number'
      when 'max_length' then jsonb_typeof(v_rule.value) = 'number'
    end;
    if v_right is not true then
      raise exception using
        errcode = '22023',
        message = 'rule is not understood',
        detail  = format('%s.%s: %s', new.dataset, new.name, jsonb_build_object(v_rule.key, v_rule.value)),
        hint    = 'See the comment on dataset_fields.rules.';
    end if;
  end loop;

  if new.rules ? 'pattern' then
    perform '' ~ (new.rules ->> 'pattern'); -- 2201B when it is no regular expression
  end if;

  if new.is_secret and (
    new.reference is not null or new.rules ?| '{lower,unique_in_file,same_in_group}' or exists (
      select from public.datasets as d
      where d.key = new.dataset
        and (
          d.apply_function is null or new.name = any (d.key_fields) or exists (
            select from pg_attribute as a
            where a.attrelid in (d.target::regclass, d.lines::regclass) and a.attname = new.column_name
          )
        )
    )
  ) then
    raise exception using
      errcode = '22023',
      message = 'field cannot be secret',
      detail  = format('%s.%s', new.dataset, new.name),
      hint    = 'A secret goes to an apply function alone: it is no key and no column of the records, and is compared with nothing.';
  end if;
  return new;
end;
$$;

create trigger _300_guard_rules
  before insert or update of rules, is_secret, reference on public.dataset_fields
  for each row execute function private.tg_dataset_fields__guard_rules();

-- The rule that a CHECK over one column states, where it is of a simple kind; else null. Other CHECKs
-- are judged as they stand when an import is validated.
create function private.check_rule(p_expression text, p_column name)
returns jsonb
language plpgsql immutable
security invoker
set search_path = ''
as $$
declare
  c_number constant text := '\(?''?(-?[0-9]+(?:\.[0-9]+)?)''?\)?(?:::[a-z ]+)?';
  c_text   constant text := '''((?:[^'']|'''')*)''::text';
  v_name   text := regexp_replace(format('%I', p_column), '([.*+?^$()\[\]{}|\\])', '\\\1', 'g');
  v_parts  text[];
begin
  v_parts := regexp_match(p_expression, format('^\(%s >= %s\)$', v_name, c_number));
  if v_parts is not null then
    return jsonb_build_object('min', v_parts[1]::numeric);
  end if;
  v_parts := regexp_match(p_expression, format('^\(%s <= %s\)$', v_name, c_number));
  if v_parts is not null then
    return jsonb_build_object('max', v_parts[1]::numeric);
  end if;
  v_parts := regexp_match(p_expression, format('^\(\(%1$s >= %2$s\) AND \(%1$s <= %2$s\)\)$', v_name, c_number));
  if v_parts is not null then
    return jsonb_build_object('min', v_parts[1]::numeric, 'max', v_parts[2]::numeric);
  end if;
  v_parts := regexp_match(p_expression, format('^\((?:char_)?length\(%s\) <= ([0-9]+)\)$', v_name));
  if v_parts is not null then
    return jsonb_build_object('max_length', v_parts[1]::integer);
  end if;
  v_parts := regexp_match(p_expression, format('^\(%s ~ %s\)$', v_name, c_text));
  if v_parts is not null then
    return jsonb_build_object('pattern', replace(v_parts[1], '''''', ''''));
  end if;
  v_parts := regexp_match(p_expression, format('^\(%s = ANY \(ARRAY\[(.*)\]\)\)$', v_name));
  if v_parts[1] ~ format('^%1$s(?:, %1$s)*$', c_text) then
    return jsonb_build_object('one_of', (
      select jsonb_agg(replace(m[1], '''''', '''')) from regexp_matches(v_parts[1], c_text, 'g') as m
    ));
  end if;
  return null;
end;
$$;

-- Rules that the catalog states for a column: enum labels, lengths, CHECK constraints of the simple kinds.
create function private.catalog_rules(p_table regclass, p_column name)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_column pg_attribute;
  v_rules  jsonb := '{}';
  v_check  text;
begin
  select a.* into v_column from pg_attribute as a where a.attrelid = p_table and a.attname = p_column;

  if exists (select from pg_enum as e where e.enumtypid = v_column.atttypid) then
    v_rules := jsonb_build_object('one_of', (
      select jsonb_agg(e.enumlabel order by e.enumsortorder) from pg_enum as e where e.enumtypid = v_column.atttypid
    ));
  elsif v_column.atttypid in ('varchar'::regtype, 'bpchar'::regtype) and v_column.atttypmod > 4 then
    v_rules := jsonb_build_object('max_length', v_column.atttypmod - 4);
  end if;

  for v_check in
    select pg_get_expr(c.conbin, c.conrelid)
    from pg_constraint as c
    where c.conrelid = p_table and c.contype = 'c' and c.conkey = array[v_column.attnum]
    order by c.conname
  loop
    v_rules := v_rules || coalesce(private.check_rule(v_check, p_column), '{}');
  end loop;
  return v_rules;
end;
$$;

-- The unique index over exactly these columns, without a predicate.
create function private.unique_index(p_table regclass, p_columns name[])
returns regclass
language sql stable
security invoker
set search_path = ''
as $$
  select i.indexrelid::regclass
  from pg_index as i
  where i.indrelid = p_table and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
    and (
      select array_agg(a.attname order by a.attname)
      from unnest(i.indkey[0:i.indnkeyatts - 1]) as k (attnum)
      join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
    ) = (select array_agg(c order by c) from unnest(p_columns) as c)
  order by i.indexrelid::regclass::text
  limit 1;
$$;

create function private.is_view(p_relation regclass)
returns boolean
language sql stable
security invoker
set search_path = ''
as $$
  select exists (select from pg_class as c where c.oid = p_relation and c.relkind = 'v');
$$;

-- The column by which lines refer to their record: that of a foreign key to its primary key.
create function private.lines_column(p_lines regclass, p_table regclass)
returns name
language sql stable
security invoker
set search_path = ''
as $$
  select a.attname
  from pg_constraint as c
  cross join lateral unnest(c.conkey, c.confkey) as k (attnum, ref_attnum)
  join pg_index as i on i.indrelid = c.confrelid and i.indisprimary and i.indkey[0] = k.ref_attnum
  join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.attnum
  where c.conrelid = p_lines and c.confrelid = p_table and c.contype = 'f'
  order by c.conname
  limit 1;
$$;

-- The composite type of the rows that an apply function takes, given the types of its arguments before them,
-- or a check function; null where it is not such a function.
create function private.function_row_type(p_function text, p_arguments regtype[])
returns regclass
language sql stable
security invoker
set search_path = ''
as $$
  select e.typrelid::regclass
  from pg_proc as p
  join pg_type as a on a.oid = p.proargtypes[p.pronargs - 1]
  join pg_type as e on e.oid = a.typelem and e.typrelid <> 0
  where p.oid = to_regproc(p_function)
    and p.proargtypes[0:p.pronargs - 2]::oid[] = p_arguments::oid[];
$$;

create function private.apply_row_type(p_function text)
returns regclass
language sql stable
security invoker
set search_path = ''
as $$
  select private.function_row_type(p_function, '{uuid,public.import_mode,text[]}');
$$;

-- The record that a column refers to, if that is a record of a dataset with a key of one field: by a
-- foreign key on the column, alone or together with the organization's.
create function private.catalog_reference(p_table regclass, p_column name, p_org_column name)
returns table (dataset text, field text, type text)
language sql stable
security invoker
set search_path = ''
as $$
  select d.key, f.name, f.type
  from pg_constraint as c
  join public.datasets as d on d.target::regclass = c.confrelid
  join public.dataset_fields as f
    on f.dataset = d.key and f.name = coalesce(d.group_field, d.key_fields[1]) and f.reference is null
  where c.conrelid = p_table
    and c.contype = 'f'
    and (d.group_field is not null or cardinality(d.key_fields) = 1)
    and (
      select bool_and((a.attname = p_column and r.attname = d.id_column) or (a.attname = p_org_column and r.attname = d.org_column))
        and bool_or(a.attname = p_column)
      from unnest(c.conkey, c.confkey) as k (attnum, ref_attnum)
      join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.attnum
      join pg_attribute as r on r.attrelid = c.confrelid and r.attnum = k.ref_attnum
    )
  order by d.position
  limit 1;
$$;

-- Registers a table as a dataset. Fields are the columns that authenticated may insert, but for the
-- primary key, the organization, generated and identity ones, and those that begin with _ (names of
-- ours, in plans). A column <x>_id that refers to a record of another dataset becomes the field <x>,
-- that record's key. Aliases and further rules can then be added to dataset_fields.
--
-- With an apply function fields are the columns of its rows, whose rules are those of the columns of the
-- same names in target or lines. With group_field and lines several rows of a file make one record with
-- lines. Without, target may be a view: its columns are id, the key and what else is known of the records,
-- and it shows, and lets lock, what the caller may manage.
--
-- For the database administrator alone.
create function private.register_dataset(
  dataset text,
  target text,
  key text[],
  label text default null,
  entity_type public.sync_entity_type default 'other',
  allowed_modes public.import_mode[] default '{insert,update,upsert,delete}',
  org_column name default 'org_id',
  group_field text default null,
  lines text default null,
  apply_function text default null,
  check_function text default null,
  required_role public.org_role default 'member'
)
returns public.datasets
language plpgsql volatile
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_table    regclass := to_regclass(register_dataset.target);
  v_lines    regclass := to_regclass(register_dataset.lines);
  v_rows     regclass := private.apply_row_type(register_dataset.apply_function);
  v_by_function boolean := register_dataset.apply_function is not null;
  v_is_view  boolean := v_by_function and register_dataset.lines is null and private.is_view(v_table);
  v_refusal  text;
  v_hint     text;
  v_id       name;
  v_record_key name[];
  v_dataset  public.datasets;
begin
  select a.attname into v_id
  from pg_index as i
  join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
  where i.indrelid = v_table and i.indisprimary and i.indnkeyatts = 1 and a.atttypid = 'uuid'::regtype;
  if v_is_view then
    select a.attname into v_id
    from pg_attribute as a
    where a.attrelid = v_table and a.attname = 'id' and a.atttypid = 'uuid'::regtype;
  end if;

  select r.refusal, r.hint into v_refusal, v_hint
  from (values
    (1, v_table is null,
      'there is no such table', 'Name it with its schema.'),
    (2, not v_is_view and not exists (select from pg_class as c where c.oid = v_table and c.relkind in ('r', 'p')),
      'it is not a table', 'Views can be imported into by an apply function without lines, foreign tables cannot.'),
    (3, not v_is_view and exists (select from pg_class as c where c.oid in (v_table, v_lines) and not c.relrowsecurity),
      'row level security is off', 'Enable it and write policies: rows are applied as the caller.'),
    (4, v_id is null,
      'its primary key is not a single uuid', 'Records are remembered by a uuid; of a view by its column id.'),
    (5, not (v_is_view and register_dataset.org_column is null) and not exists (
        select from pg_attribute as a
        where a.attrelid = v_table and a.attname = register_dataset.org_column
          and a.atttypid = 'uuid'::regtype and (a.attnotnull or v_is_view) and not a.attisdropped
      ),
      'it has no organization column', 'A uuid column, not null, that names the organization.'),
    (6, v_table is not null and not has_table_privilege('authenticated', v_table, 'select'),
      'authenticated may not select from it', 'Grant select on the whole table: outcomes compare whole rows.'),
    (7, v_by_function and (v_rows is null or not has_function_privilege('authenticated', to_regproc(register_dataset.apply_function), 'execute')),
      'its apply function is none', 'A function (uuid, public.import_mode, text[], <composite type>[]) that authenticated may execute.'),
    (8, register_dataset.lines is not null and private.lines_column(v_lines, v_table) is null,
      'its lines do not refer to it', 'The table of lines needs a foreign key of one column to the primary key.'),
    (9, register_dataset.check_function is not null
        and private.function_row_type(register_dataset.check_function, '{uuid,public.import_mode}') is distinct from v_rows,
      'its check function is none', 'A function (uuid, public.import_mode, <composite type of the apply function>[]).')
  ) as r (position, applies, refusal, hint)
  where r.applies
  order by r.position
  limit 1;

  if v_refusal is null then
    insert into public.datasets (
      key, label, target, id_column, org_column, key_fields, group_field, lines, apply_function, check_function, required_role,
      allowed_modes, entity_type, position
    )
    values (
      register_dataset.dataset,
      coalesce(register_dataset.label, initcap(replace(register_dataset.dataset, '_', ' '))),
      v_table::text,
      v_id,
      register_dataset.org_column,
      register_dataset.key,
      register_dataset.group_field,
      v_lines::text,
      to_regproc(register_dataset.apply_function)::text,
      to_regproc(register_dataset.check_function)::text,
      register_dataset.required_role,
      register_dataset.allowed_modes,
      register_dataset.entity_type,
      (select count(*) + 1 from public.datasets)
    )
    returning * into v_dataset;

    insert into public.dataset_fields (dataset, name, column_name, label, type, is_required, rules, reference, position)
    select
      v_dataset.key, n.name, a.attname, initcap(replace(n.name, '_', ' ')), coalesce(r.type, format_type(a.atttypid, a.atttypmod)),
      n.name = any (v_dataset.key_fields) or coalesce(c.attnotnull and not c.atthasdef, false),
      case when r.dataset is null then private.catalog_rules(coalesce(c.attrelid, a.attrelid)::regclass, a.attname) else '{}' end
        || case when c.attrelid = v_table and n.name <> v_dataset.group_field then '{"same_in_group": true}' else '{}' end::jsonb,
      case when r.dataset is not null then jsonb_build_object('dataset', r.dataset, 'field', r.field) end,
      row_number() over (order by a.attnum)
    from pg_attribute as a
    left join lateral ( -- the column itself; of an apply function's row, that of its name
      select t.*
      from pg_attribute as t
      where t.attrelid in (v_table, v_lines) and t.attname = a.attname and not t.attisdropped
      order by t.attrelid = v_table desc
      limit 1
    ) as c on true
    left join lateral private.catalog_reference(c.attrelid::regclass, c.attname, register_dataset.org_column) as r on true
    cross join lateral (
      select case
        when r.dataset is not null and not exists (
          select from pg_attribute as o
          where o.attrelid = a.attrelid and not o.attisdropped and o.attname = regexp_replace(a.attname, '_id$', '')
        ) then regexp_replace(a.attname, '_id$', '')
        else a.attname
      end as name
    ) as n
    where a.attrelid = coalesce(v_rows, v_table)
      and a.attnum > 0
      and not a.attisdropped
      and a.attgenerated = ''
      and a.attidentity = ''
      and a.attname <> v_id
      and a.attname is distinct from register_dataset.org_column
      and not starts_with(a.attname, '_')
      and (v_by_function or has_column_privilege('authenticated', v_table, a.attnum, 'insert'));

    select array_agg(f.column_name) into v_record_key
    from public.dataset_fields as f
    where f.dataset = v_dataset.key and f.name = any (private.record_key(v_dataset));

    select r.refusal, r.hint into v_refusal, v_hint
    from (values
      (1, (select count(*) from public.dataset_fields as f where f.dataset = v_dataset.key and f.name = any (v_dataset.key_fields))
          < cardinality(v_dataset.key_fields),
        'authenticated may not insert the key', 'Grant insert on the columns that files may fill.'),
      (2, v_is_view and not exists (
          select from pg_attribute as a where a.attrelid = v_table and a.attname = v_record_key[1] and not a.attisdropped
        ),
        'it does not show the key', 'Records are found by the column of the view that has the key''s name.'),
      (3, not v_is_view and private.unique_index(v_table, v_record_key || register_dataset.org_column) is null,
        'it has no unique key on the organization column and the key',
        format('alter table %s add unique (%s, %s), without a predicate',
          register_dataset.target, register_dataset.org_column, array_to_string(v_record_key, ', ')))
    ) as r (position, applies, refusal, hint)
    where r.applies
    order by r.position
    limit 1;
  end if;

  if v_refusal is not null then
    raise exception using
      errcode = '22023',
      message = 'table is not fit to be a dataset',
      detail  = format('%s: %s', register_dataset.target, v_refusal),
      hint    = v_hint;
  end if;
  return v_dataset;
end;
$$;

-- The role that it takes to act on an import of this dataset: at least p_minimum_role.
create function private.role_for(p_dataset text, p_minimum_role public.org_role)
returns public.org_role
language sql stable
security invoker
set search_path = ''
as $$
  select greatest(p_minimum_role, d.required_role) from public.datasets as d where d.key = p_dataset;
$$;

-- Those whose imports all people of an organization see; of the others admins do.
create function private.open_datasets()
returns setof text
language sql stable
security invoker
set search_path = ''
as $$
  select d.key from public.datasets as d where d.required_role < 'admin';
$$;

create policy datasets_select on public.datasets
  for select to authenticated using (true);
create policy dataset_fields_select on public.dataset_fields
  for select to authenticated using (true);

revoke all on public.datasets, public.dataset_fields from public, anon, authenticated, service_role;
grant select on public.datasets, public.dataset_fields to authenticated, service_role;
revoke all on all functions in schema private from public;
grant execute on function private.role_for(text, public.org_role), private.open_datasets() to authenticated, service_role;
