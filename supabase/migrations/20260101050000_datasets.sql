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
  org_column    text not null,
  key_fields    text[] not null,
  group_field   text,
  lines         text,
  apply_function text,
  allowed_modes public.import_mode[] not null,
  entity_type   public.sync_entity_type not null,
  position      integer not null,
  created_at    timestamptz not null default now(),

  constraint datasets_key_check check (key ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint datasets_key_fields_check check (cardinality(key_fields) > 0),
  constraint datasets_allowed_modes_check check (cardinality(allowed_modes) > 0),
  constraint datasets_group_field_check check (group_field = any (key_fields)),
  constraint datasets_apply_function_check check (num_nulls(group_field, lines, apply_function) in (0, 3))
);
alter table public.datasets enable row level security;
comment on table public.datasets is 'What can be imported: a table that private.register_dataset found fit.';
comment on column public.datasets.target is 'The table, with its schema.';
comment on column public.datasets.id_column is 'Its primary key, a uuid. Never mapped.';
comment on column public.datasets.org_column is 'Its organization. Never mapped: always the import''s.';
comment on column public.datasets.key_fields is 'Fields by which a row of a file and a record are the same: unique within the organization.';
comment on column public.datasets.group_field is
  'Where several rows of a file make one record, a record with lines: the field by which they belong together, the key of the record.';
comment on column public.datasets.lines is 'The table of those lines, with its schema.';
comment on column public.datasets.apply_function is 'What writes such records: (org_id uuid, mode import_mode, clear text[], rows <type>[]) '
  'returns void. mode: insert (none of the records exists), update, delete (all of them do, and are locked); clear: columns that a blank clears.';

create table public.dataset_fields (
  dataset     text not null references public.datasets (key) on delete cascade,
  name        text not null,
  column_name text not null,
  label       text not null,
  type        text not null,
  is_required boolean not null,
  aliases     text[] not null default '{}',
  rules       jsonb not null default '{}',
  reference   jsonb,
  position    integer not null,

  primary key (dataset, name)
);
alter table public.dataset_fields enable row level security;
comment on table public.dataset_fields is 'The columns of a dataset that a file may fill, with the rules for each.';
comment on column public.dataset_fields.column_name is 'The column that it fills.';
comment on column public.dataset_fields.type is 'PostgreSQL type, as format_type gives it; of a reference, that of the key.';
comment on column public.dataset_fields.is_required is 'A new record needs a value: not null without a default, or part of the key.';
comment on column public.dataset_fields.aliases is 'Other names that files give the column, for the suggestion of mappings.';
comment on column public.dataset_fields.rules is
  'Any of { format: email|url|phone|uuid, pattern, one_of: [text], min, max, min_length, max_length, unique_in_file: boolean, '
  'same_in_group: boolean }.';
comment on column public.dataset_fields.reference is
  'Another record, which files name by its key: { dataset, field }. Looked up within the organization.';

-- Rules are compiled into SQL: what cannot be compiled is refused here, not when an import runs.
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
  return new;
end;
$$;

create trigger _300_guard_rules
  before insert or update of rules on public.dataset_fields
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

-- The composite type of the rows that an apply function takes; null where it is not such a function.
create function private.apply_row_type(p_function text)
returns regclass
language sql stable
security invoker
set search_path = ''
as $$
  select e.typrelid::regclass
  from pg_proc as p
  join pg_type as a on a.oid = p.proargtypes[3]
  join pg_type as e on e.oid = a.typelem and e.typrelid <> 0
  where p.oid = to_regproc(p_function)
    and p.pronargs = 4
    and p.proargtypes[0] = 'uuid'::regtype
    and p.proargtypes[1] = 'public.import_mode'::regtype
    and p.proargtypes[2] = 'text[]'::regtype;
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
-- With group_field, lines and apply_function several rows of a file make one record with lines:
-- fields are the columns of the apply function's rows, whose rules are those of the columns of the
-- same names in target or lines.
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
  apply_function text default null
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
  v_is_group boolean := register_dataset.apply_function is not null;
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

  select r.refusal, r.hint into v_refusal, v_hint
  from (values
    (1, v_table is null,
      'there is no such table', 'Name it with its schema.'),
    (2, not exists (select from pg_class as c where c.oid = v_table and c.relkind in ('r', 'p')),
      'it is not a table', 'Views and foreign tables cannot be imported into.'),
    (3, exists (select from pg_class as c where c.oid in (v_table, v_lines) and not c.relrowsecurity),
      'row level security is off', 'Enable it and write policies: rows are applied as the caller.'),
    (4, v_id is null,
      'its primary key is not a single uuid', 'Records are remembered by a uuid.'),
    (5, not exists (
        select from pg_attribute as a
        where a.attrelid = v_table and a.attname = register_dataset.org_column
          and a.atttypid = 'uuid'::regtype and a.attnotnull and not a.attisdropped
      ),
      'it has no organization column', 'A uuid column, not null, that names the organization.'),
    (6, v_table is not null and not has_table_privilege('authenticated', v_table, 'select'),
      'authenticated may not select from it', 'Grant select on the whole table: outcomes compare whole rows.'),
    (7, v_is_group and (v_rows is null or not has_function_privilege('authenticated', to_regproc(register_dataset.apply_function), 'execute')),
      'its apply function is none', 'A function (uuid, public.import_mode, text[], <composite type>[]) that authenticated may execute.'),
    (8, v_is_group and private.lines_column(v_lines, v_table) is null,
      'its lines do not refer to it', 'The table of lines needs a foreign key of one column to the primary key.')
  ) as r (position, applies, refusal, hint)
  where r.applies
  order by r.position
  limit 1;

  if v_refusal is null then
    insert into public.datasets (
      key, label, target, id_column, org_column, key_fields, group_field, lines, apply_function, allowed_modes, entity_type, position
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
      register_dataset.allowed_modes,
      register_dataset.entity_type,
      (select count(*) + 1 from public.datasets)
    )
    returning * into v_dataset;

    insert into public.dataset_fields (dataset, name, column_name, label, type, is_required, rules, reference, position)
    select
      v_dataset.key, n.name, a.attname, initcap(replace(n.name, '_', ' ')), coalesce(r.type, format_type(a.atttypid, a.atttypmod)),
      n.name = any (v_dataset.key_fields) or coalesce(c.attnotnull and not c.atthasdef, false),
      case when r.dataset is null and c.attrelid is not null then private.catalog_rules(c.attrelid::regclass, c.attname) else '{}' end
        || case when v_is_group and c.attrelid = v_table and n.name <> v_dataset.group_field then '{"same_in_group": true}' else '{}' end::jsonb,
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
      and a.attname not in (v_id, register_dataset.org_column)
      and not starts_with(a.attname, '_')
      and (v_is_group or has_column_privilege('authenticated', v_table, a.attnum, 'insert'));

    select array_agg(f.column_name) into v_record_key
    from public.dataset_fields as f
    where f.dataset = v_dataset.key and f.name = any (case when v_is_group then array[v_dataset.group_field] else v_dataset.key_fields end);

    select r.refusal, r.hint into v_refusal, v_hint
    from (values
      (1, (select count(*) from public.dataset_fields as f where f.dataset = v_dataset.key and f.name = any (v_dataset.key_fields))
          < cardinality(v_dataset.key_fields),
        'authenticated may not insert the key', 'Grant insert on the columns that files may fill.'),
      (2, private.unique_index(v_table, v_record_key || register_dataset.org_column) is null,
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

create policy datasets_select on public.datasets
  for select to authenticated using (true);
create policy dataset_fields_select on public.dataset_fields
  for select to authenticated using (true);

revoke all on public.datasets, public.dataset_fields from public, anon, authenticated, service_role;
grant select on public.datasets, public.dataset_fields to authenticated, service_role;
revoke all on all functions in schema private from public;
