-- The compiler: dataset, mapping and options become the statements that judge and apply an import's rows.
-- Needs: datasets, imports, imports_secrets.
-- Exposes: nothing to clients. private.import_plans keeps the texts, so that one can read what runs.

create table private.import_plans (
  batch_id         uuid primary key references public.import_batches (id) on delete cascade,
  org_id           uuid not null,
  mode             public.import_mode not null,
  target           text not null,
  key_index        text,
  insert_columns   text[] not null,
  update_columns   text[] not null,
  hash_sql         text not null,
  keys_sql         text not null,
  validate_sql     text not null,
  validate_bare_sql text,
  check_sql        text,
  duplicates_sql   text[] not null,
  group_sql        text,
  lookup_sql       text,
  merge_sql        text not null,
  missing_sql      text,
  undo_sql         text,
  exists_sql       text not null,
  preview_sql      text not null,
  image_sql        text not null,
  compiled_at      timestamptz not null default clock_timestamp()
);
comment on table private.import_plans is
  'What an import runs. hash_sql: the hash of a record t; keys_sql: the key of rows as text; validate_sql: issues of a range (validate_bare_sql: without the '
  'table''s CHECKs, for when one of them raises); check_sql: those that the dataset''s check function finds; duplicates_sql: issues of a bucket of keys, one text a unique set; '
  'group_sql: the groups of a bucket of keys, and their issues, where several rows make one record; lookup_sql: rows with the ids of their records, where RLS keeps the key from its index; merge_sql: applies a range; '
  'missing_sql: rows of a range that no record matches; undo_sql: takes back records of a chunk, once an undo began; '
  'exists_sql: whether there is any record; preview_sql: what would become of the rows of ranges; image_sql: records as they are.';

-- Types -------------------------------------------------------------------------------------------

create function private.type_class(p_type text)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select case
    when p_type like '%[]' then 'other'
    when p_type ~ '^(smallint|integer|bigint)$' then 'integer'
    when p_type ~ '^(numeric|real|double precision)' then 'number'
    when p_type = 'date' then 'date'
    when p_type ~ '^timestamp' then 'timestamp'
    when p_type ~ '^time' then 'time'
    when p_type = 'boolean' then 'boolean'
    when p_type ~ '^(text|character varying|character)' then 'text'
    else 'other'
  end;
$$;

-- What a value must look like, besides being valid input of its type: PostgreSQL also takes today for
-- a date, NaN for a number, and reads 01/02/2024 by the session's DateStyle. As little as tells these
-- apart: a regular expression costs by its length, and it is paid per cell.
create function private.type_shape(p_type_class text)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select case p_type_class
    when 'integer' then '^[-+0-9]+$'
    when 'number' then '^[-+0-9.eE]+$'
    when 'date' then '^[0-9][0-9][0-9][0-9]-[-0-9]+$'
    when 'timestamp' then '^[0-9][0-9][0-9][0-9]-[-0-9]+([T ][0-9:.]+ ?(Z|[+-][0-9:]+)?)?$'
    when 'time' then '^[0-9]+:[0-9:.]+$'
  end;
$$;

create function private.type_hint(p_type text)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select case private.type_class(p_type)
    when 'integer' then 'not a whole number'
    when 'number' then 'not a number'
    when 'date' then 'not a date (YYYY-MM-DD)'
    when 'timestamp' then 'not a date and time (YYYY-MM-DD HH:MM:SS)'
    when 'time' then 'not a time of day (HH:MM:SS)'
    when 'boolean' then 'neither true nor false'
    else 'not a ' || p_type
  end;
$$;

-- The condition under which a value is not of a format.
create function private.format_violation(p_value text, p_format text)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select case p_format
    when 'email' then format('%s !~ %L', p_value, '^[^@[:space:]]+@[^@[:space:].]+([.][^@[:space:].]+)+$')
    when 'url' then format('%s !~ %L', p_value, '^[hH][tT][tT][pP][sS]?://[^[:space:]/?#]+[^[:space:]]*$')
    when 'phone' then format('(%1$s !~ %2$L or char_length(%1$s) not between 5 and 30)', p_value, '^[+]?[0-9(][0-9 ()./-]+$')
    when 'uuid' then format('not pg_input_is_valid(%s, ''uuid'')', p_value)
  end;
$$;

create function private.format_hint(p_format text)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select case p_format
    when 'email' then 'not an e-mail address'
    when 'url' then 'not a web address (http:// or https://)'
    when 'phone' then 'not a phone number'
    when 'uuid' then 'not a uuid'
  end;
$$;

-- An expression that can be compared and hashed: json, xml, point and the like only as text.
create function private.hashable(p_expression text, p_type oid)
returns text
language sql stable
security invoker
set search_path = ''
as $$
  select case
    when exists (
      select from pg_type as t
      where t.oid = p_type
        and (
          t.typtype = 'e'
          or exists (
            select from pg_opclass as o
            join pg_am as m on m.oid = o.opcmethod and m.amname = 'hash'
            where o.opcdefault
              and (o.opcintype = t.oid or exists (
                select from pg_cast as c
                where c.castsource = t.oid and c.casttarget = o.opcintype and c.castmethod = 'b' and c.castcontext = 'i'
              ))
          )
        )
    ) then p_expression
    else p_expression || '::text'
  end;
$$;

-- Mappings ----------------------------------------------------------------------------------------

-- Checks a mapping against the dataset and, where known, the file's columns; returns its normal form:
-- { field: { columns: [text], transforms: […], default: text|null } }.
create function private.normalize_mapping(p_dataset text, p_columns text[], p_mapping jsonb)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_entry      record;
  v_form       jsonb;
  v_columns    jsonb;
  v_stranger   text;
  v_normalized jsonb := '{}';
begin
  if jsonb_typeof(p_mapping) is distinct from 'object' then
    raise exception using
      errcode = '22023',
      message = 'mapping must be an object',
      hint    = 'Give { "<field>": "<column>" } or { "<field>": { "column": …, "transforms": […], "default": … } }.';
  end if;

  for v_entry in select e.key as field, e.value as given from jsonb_each(p_mapping) as e loop
    if not exists (select from public.dataset_fields as f where f.dataset = p_dataset and f.name = v_entry.field) then
      raise exception using
        errcode = '22023',
        message = 'mapping names an unknown field',
        detail  = format('dataset %s has no field %s', p_dataset, v_entry.field),
        hint    = format('Its fields are: %s.', (
          select string_agg(f.name, ', ' order by f.position) from public.dataset_fields as f where f.dataset = p_dataset
        ));
    end if;

    continue when jsonb_typeof(v_entry.given) = 'null'; -- left out on purpose

    v_form := case jsonb_typeof(v_entry.given)
      when 'string' then jsonb_build_object('column', v_entry.given)
      when 'object' then v_entry.given
      else '{}'
    end;
    v_columns := case
      when v_form ? 'columns' then v_form -> 'columns'
      when v_form ? 'column' then jsonb_build_array(v_form -> 'column')
      else '[]'
    end;

    -- Before all else: what is wrong with it is not to be quoted.
    if exists (select from public.dataset_fields as f where f.dataset = p_dataset and f.name = v_entry.field and f.is_secret)
      and (
        v_columns is distinct from jsonb_build_array(v_columns ->> 0)
        or v_form - '{column,columns,transforms,default}'::text[] <> '{}'
        or coalesce(v_form -> 'transforms', '[]') <> '[]'
        or v_form ->> 'default' is not null
      ) then
      raise exception using
        errcode = '22023',
        message = 'secret field takes one column, as it is',
        detail  = format('field %s', v_entry.field),
        hint    = 'Give the name of a column, without transforms and default.';
    end if;

    if v_form - '{column,columns,transforms,default}'::text[] <> '{}'
      or v_form = '{}'
      or jsonb_typeof(v_columns) <> 'array'
      or jsonb_path_exists(v_columns, 'strict $[*] ? (@.type() != "string")')
      or jsonb_typeof(coalesce(v_form -> 'transforms', '[]')) <> 'array'
      or jsonb_typeof(coalesce(v_form -> 'default', 'null')) not in ('string', 'number', 'boolean', 'null')
      or (v_columns = '[]' and v_form ->> 'default' is null) then
      raise exception using
        errcode = '22023',
        message = 'mapping of a field is not understood',
        detail  = format('%s: %s', v_entry.field, v_entry.given),
        hint    = 'Give a column''s name, or an object of column or columns, transforms (a list) and default.';
    end if;

    -- What they come to together is one value: it must fit into memory.
    if jsonb_array_length(v_columns) > 10
      or (select count(distinct c) from jsonb_array_elements_text(v_columns) as c) < jsonb_array_length(v_columns) then
      raise exception using
        errcode = '22023',
        message = 'mapping of a field names too many columns',
        detail  = format('%s: %s', v_entry.field, left(v_columns::text, 200)),
        hint    = 'A field takes up to 10 columns, each of them once.';
    end if;

    select c into v_stranger
    from jsonb_array_elements_text(v_columns) as c
    where p_columns is not null and c <> all (p_columns)
    limit 1;
    if found then
      raise exception using
        errcode = '22023',
        message = 'mapping names an unknown column',
        detail  = format('field %s: the file has no column %s', v_entry.field, to_json(v_stranger)),
        hint    = format('Its columns are: %s.', left(array_to_string(p_columns, ', '), 1000));
    end if;

    v_normalized := v_normalized || jsonb_build_object(v_entry.field, jsonb_build_object(
      'columns', v_columns,
      'transforms', coalesce(v_form -> 'transforms', '[]'),
      'default', v_form ->> 'default'
    ));
  end loop;
  perform private.require_separate_secrets(p_dataset, v_normalized);
  return v_normalized;
end;
$$;

create function private.normalize_options(p_options jsonb)
returns jsonb
language plpgsql immutable
security invoker
set search_path = ''
as $$
declare
  c_values constant jsonb := '{
    "duplicates": ["error", "keep_first", "keep_last"],
    "on_error": ["skip", "abort"],
    "blank": ["ignore", "clear"]
  }';
  v_wrong text;
begin
  if jsonb_typeof(p_options) is distinct from 'object' then
    raise exception using errcode = '22023', message = 'options must be an object';
  end if;

  select format('%s: %s', o.key, o.value) into v_wrong
  from jsonb_each(p_options) as o
  where not coalesce(c_values -> o.key @> o.value and jsonb_typeof(o.value) = 'string', false)
  limit 1;
  if found then
    raise exception using
      errcode = '22023',
      message = 'option is not understood',
      detail  = v_wrong,
      hint    = 'Options are duplicates (error, keep_first, keep_last), on_error (skip, abort) and blank (ignore, clear).';
  end if;
  return '{"duplicates": "error", "on_error": "skip", "blank": "ignore"}'::jsonb || p_options;
end;
$$;

-- Fields that the mode cannot do without and the mapping does not fill.
create function private.unmapped_fields(p_dataset text, p_mode public.import_mode, p_mapping jsonb)
returns text[]
language sql stable
security invoker
set search_path = ''
as $$
  select coalesce(array_agg(f.name order by f.position), '{}')
  from public.dataset_fields as f
  join public.datasets as d on d.key = f.dataset
  where f.dataset = p_dataset
    and case p_mode
      when 'delete' then f.name = any (private.record_key(d))
      when 'update' then f.name = any (d.key_fields)
      else f.name = any (d.key_fields) or f.is_required
    end
    and not p_mapping ? f.name;
$$;

create function private.require_mapped_fields(p_dataset text, p_mode public.import_mode, p_mapping jsonb)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_unmapped text[] := private.unmapped_fields(p_dataset, p_mode, p_mapping);
begin
  if v_unmapped <> '{}' then
    raise exception using
      errcode = 'PT422',
      message = 'required field is not mapped',
      detail  = format('no column for %s', array_to_string(v_unmapped, ', ')),
      hint    = 'Name a column for it in the mapping, or give it a default there.';
  end if;
end;
$$;

-- Transforms --------------------------------------------------------------------------------------

-- A cell as text: white space around it gone (no-break spaces too), empty ones null. Trimming is a quarter of what a
-- validation costs: it is left out where p_untrimmed, the columns that need it, is known.
create function private.cell_expression(p_columns text[], p_column text, p_untrimmed text[] default null)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select case when p_column <> all (p_untrimmed) then format('nullif(r.cells[%s], %L)', c.number, '')
    else format('nullif(btrim(r.cells[%s], %L), %L)', c.number, e' \t\r\n\u00a0', '') end
  from (select array_position(p_columns, p_column)) as c (number);
$$;

create function private.text_array(p_array jsonb)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select format('%L::text[]', array(select jsonb_array_elements_text(p_array))::text);
$$;

-- A date format as CASE branches that rewrite a match to ISO order. YY stands for 1970 to 2069.
create function private.date_branches(p_expression text, p_format text)
returns text
language plpgsql immutable
security invoker
set search_path = ''
as $$
declare
  v_token   text;
  v_count   integer := 0;
  v_pattern text := '';
  v_places  jsonb := '{}';
  v_output  text;
begin
  if p_format ~ 'YY' and p_format !~ 'YYYY' then
    return (
      select string_agg(private.date_branches(p_expression, replace(p_format, 'YY', c.century)), ' ')
      from (values ('{19}'), ('{20}')) as c (century)
    );
  end if;

  for v_token in
    select m[1] from regexp_matches(p_format, '(YYYY|\{19\}|\{20\}|HH24|HH|MM|MI|SS|DD|M|D|.)', 'g') as m
  loop
    if v_token in ('YYYY', '{19}', '{20}', 'MM', 'M', 'DD', 'D', 'HH24', 'HH', 'MI', 'SS') then
      v_count := v_count + 1;
      v_pattern := v_pattern || case v_token
        when 'YYYY' then '([0-9]{4})' when '{19}' then '([7-9][0-9])' when '{20}' then '([0-6][0-9])'
        else '([0-9]{1,2})'
      end;
      v_places := v_places || jsonb_build_object(
        case when v_token in ('YYYY', '{19}', '{20}') then 'y' when v_token in ('MM', 'M') then 'm'
          when v_token in ('DD', 'D') then 'd' when v_token in ('HH24', 'HH') then 'h' when v_token = 'MI' then 'i' else 's' end,
        case v_token when '{19}' then '19' when '{20}' then '20' else '' end || '\' || v_count);
    elsif v_token ~ '[[:alpha:]]' and v_token <> 'T' then
      return null; -- no such token
    else
      v_pattern := v_pattern || regexp_replace(v_token, '([.*+?^$()\[\]{}|\\])', '\\\1');
    end if;
  end loop;

  if not v_places ?& '{y,m,d}' then
    return null;
  end if;
  v_output := format('%s-%s-%s', v_places ->> 'y', v_places ->> 'm', v_places ->> 'd')
    || case when v_places ? 'h' then format(' %s:%s:%s', v_places ->> 'h', coalesce(v_places ->> 'i', '00'), coalesce(v_places ->> 's', '00')) else '' end;
  return format('when %1$s ~ %2$L then regexp_replace(%1$s, %2$L, %3$L)', p_expression, '^' || v_pattern || '$', v_output);
end;
$$;

-- A pattern of a mapping runs in workers that all organizations share: no back reference, no look-around, and it sees
-- the first thousand characters of a cell. What is left ends soon, whatever it is given.
create function private.require_plain_pattern(p_pattern text)
returns void
language plpgsql immutable
security invoker
set search_path = ''
as $$
declare
  c_longest constant integer := 500;
begin
  perform '' ~ p_pattern; -- 2201B when it is no regular expression
  if length(p_pattern) > c_longest or replace(p_pattern, '\\', '') ~ '\\[1-9]|\(\?[=!<]' then
    raise exception using
      errcode = '22023',
      message = 'regular expression is not allowed',
      detail  = left(p_pattern, 200),
      hint    = format('At most %s characters, without back references (\1) and look-around.', c_longest);
  end if;
end;
$$;

create function private.classify_expression(p_expression text, p_rules jsonb, p_columns text[])
returns text
language plpgsql immutable
security invoker
set search_path = ''
as $$
declare
  v_rule      jsonb;
  v_operand   text;
  v_condition text;
  v_branches  text := '';
  v_else      text := 'null';
begin
  for v_rule in select jsonb_array_elements(p_rules) loop
    if v_else <> 'null' or jsonb_typeof(v_rule -> 'then') is distinct from 'string'
      or (v_rule ? 'column' and (v_rule ->> 'column' = any (p_columns)) is not true) then
      return null;
    end if;
    v_operand := case
      when v_rule ? 'column' then private.cell_expression(p_columns, v_rule ->> 'column')
      else p_expression
    end;
    if v_rule - 'then' - 'column' = '{}' then
      v_else := quote_literal(v_rule ->> 'then');
      continue;
    end if;
    if (select count(*) from jsonb_object_keys(v_rule - 'then' - 'column')) <> 1 then
      return null;
    end if;
    if v_rule ? 'matches' and jsonb_typeof(v_rule -> 'matches') = 'string' then
      perform private.require_plain_pattern(v_rule ->> 'matches');
    end if;
    v_condition := case
      when jsonb_typeof(v_rule -> 'equals') = 'string' then format('%s = %L', v_operand, v_rule ->> 'equals')
      when jsonb_typeof(v_rule -> 'in') = 'array' then format('%s = any (%s)', v_operand, private.text_array(v_rule -> 'in'))
      when jsonb_typeof(v_rule -> 'matches') = 'string' then format('left(%s, 1000) ~ %L', v_operand, v_rule ->> 'matches')
      when jsonb_typeof(v_rule -> 'blank') = 'boolean' then format('(%s is null) = %s', v_operand, v_rule ->> 'blank')
      when jsonb_typeof(v_rule -> 'at_least') = 'number' then
        format('case when pg_input_is_valid(%1$s, ''numeric'') then %1$s::numeric >= %2$s end', v_operand, v_rule ->> 'at_least')
      when jsonb_typeof(v_rule -> 'at_most') = 'number' then
        format('case when pg_input_is_valid(%1$s, ''numeric'') then %1$s::numeric <= %2$s end', v_operand, v_rule ->> 'at_most')
    end;
    if v_condition is null then
      return null;
    end if;
    v_branches := v_branches || format(' when (%s) then %L', v_condition, v_rule ->> 'then');
  end loop;
  return case when v_branches = '' then null else format('case%s else %s end', v_branches, v_else) end;
end;
$$;

-- Only as whole a number as the marks say: 1.5 is not read as 15 where the point separates thousands.
create function private.number_expression(p_expression text, p_decimal text, p_group text)
returns text
language plpgsql immutable
security invoker
set search_path = ''
as $$
declare
  v_group   text := case p_group when ' ' then '[ \u00a0\u202f]' when '' then '\x01' else '[' || p_group || ']' end;
  v_pattern text := format('^[+-]?([0-9]+|[0-9]{1,3}(%s[0-9]{3})+)([%s][0-9]+)?$', v_group, p_decimal);
begin
  return format(
    'case when %1$s ~ %2$L then replace(regexp_replace(%1$s, %3$L, '''', ''g''), %4$L, ''.'') else ''?'' || %1$s end',
    p_expression, v_pattern, v_group, p_decimal);
end;
$$;

-- The closed list of transforms, each one SQL expression around the one before. What parse_… cannot
-- read gets a leading ? that no number, date or boolean has, so that the type refuses it: a cell that
-- a transform does not understand is that row's issue.
create function private.transform_expression(
  p_expression text, p_transform jsonb, p_field public.dataset_fields, p_columns text[]
)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_name  text := case jsonb_typeof(p_transform)
    when 'string' then p_transform #>> '{}'
    when 'object' then (select min(k) from jsonb_object_keys(p_transform) as k)
  end;
  v_given jsonb := case jsonb_typeof(p_transform) when 'object' then p_transform -> v_name end;
  v_kind  text := jsonb_typeof(v_given);
  v_text  text := v_given #>> '{}';
  v_class text := private.type_class(p_field.type);
  v_sql   text;
begin
  if jsonb_typeof(p_transform) = 'object' and (select count(*) from jsonb_object_keys(p_transform)) <> 1 then
    v_name := null;
  end if;
  if v_name = 'regex_extract' and v_kind = 'string' then
    perform private.require_plain_pattern(v_text);
  end if;

  v_sql := case
    when v_given is null then
      case v_name
        when 'trim' then format('nullif(btrim(%s, %L), '''')', p_expression, e' \t\r\n\u00a0')
        when 'collapse_spaces' then format('regexp_replace(%s, ''[[:space:]]+'', '' '', ''g'')', p_expression)
        when 'upper' then format('upper(%s)', p_expression)
        when 'lower' then format('lower(%s)', p_expression)
        when 'title' then format('initcap(%s)', p_expression)
        when 'digits' then format('nullif(regexp_replace(%s, ''[^0-9]+'', '''', ''g''), '''')', p_expression)
      end
    when v_name = 'null_if' and v_kind in ('string', 'array') then
      format('case when %1$s <> all (%2$s) then %1$s end', p_expression,
        private.text_array(case v_kind when 'string' then jsonb_build_array(v_given) else v_given end))
    when v_name = 'default' and v_kind in ('string', 'number', 'boolean') then
      format('coalesce(%s, %L)', p_expression, v_text)
    when v_name = 'prefix' and v_kind = 'string' then format('%L || %s', v_text, p_expression)
    when v_name = 'suffix' and v_kind = 'string' then format('%s || %L', p_expression, v_text)
    -- Bounded, so that a row of them cannot swell a cell beyond all memory.
    when v_name = 'replace' and jsonb_typeof(v_given -> 'from') = 'string' and jsonb_typeof(v_given -> 'to') = 'string'
      and length(v_given ->> 'to') <= 100 then
      format('nullif(left(replace(%s, %L, %L), 1048576), '''')', p_expression, v_given ->> 'from', v_given ->> 'to')
    when v_name = 'regex_extract' and v_kind = 'string' then format('substring(left(%s, 1000) from %L)', p_expression, v_text)
    when v_name = 'split' and jsonb_typeof(v_given -> 'separator') = 'string' and v_given ->> 'part' ~ '^-?[1-9][0-9]{0,3}$' then
      format('nullif(btrim(split_part(%s, %L, %s)), '''')', p_expression, v_given ->> 'separator', v_given ->> 'part')
    when v_name = 'map_values' and v_kind = 'object' and v_given <> '{}'
      and not jsonb_path_exists(v_given, 'strict $.* ? (@.type() != "string" && @.type() != "null")') then
      format('case %1$s %2$s else %1$s end', p_expression, (
        select string_agg(format('when %L then %L', m.key, m.value), ' ') from jsonb_each_text(v_given) as m
      ))
    when v_name = 'classify' and v_kind = 'array' then private.classify_expression(p_expression, v_given, p_columns)
    when v_name = 'parse_date' and v_kind in ('string', 'array') and v_class in ('date', 'timestamp') then (
      select format('case %s else %s end', string_agg(private.date_branches(p_expression, f), ' '), p_expression)
      from jsonb_array_elements_text(case v_kind when 'string' then jsonb_build_array(v_given) else v_given end) as f
      having bool_and(private.date_branches(p_expression, f) is not null)
    )
    when v_name = 'parse_number' and v_kind = 'object' and v_class in ('integer', 'number')
      and coalesce(v_given ->> 'decimal', '.') in ('.', ',') and coalesce(v_given ->> 'group', ',') in ('.', ',', ' ', '''', '')
      and coalesce(v_given ->> 'decimal', '.') <> coalesce(v_given ->> 'group', case v_given ->> 'decimal' when ',' then '.' else ',' end)
      and v_given - 'decimal' - 'group' = '{}' then
      private.number_expression(p_expression, coalesce(v_given ->> 'decimal', '.'),
        coalesce(v_given ->> 'group', case v_given ->> 'decimal' when ',' then '.' else ',' end))
    when v_name = 'parse_boolean' and v_class = 'boolean'
      and jsonb_typeof(v_given -> 'true') = 'array' and jsonb_typeof(v_given -> 'false') = 'array' then
      format('case when lower(%1$s) = any (%2$s) then ''true'' when lower(%1$s) = any (%3$s) then ''false'' else ''?'' || %1$s end',
        p_expression, lower(private.text_array(v_given -> 'true')), lower(private.text_array(v_given -> 'false')))
  end;

  if v_sql is null then
    raise exception using
      errcode = '22023',
      message = 'transform is not understood',
      detail  = format('field %s (%s): %s', p_field.name, p_field.type, coalesce(p_transform::text, 'null')),
      hint    = 'See the list of transforms in the documentation; parse_date, parse_number and parse_boolean need a field of that type.';
  end if;
  return v_sql;
end;
$$;

-- Expressions of one mapped field over r.cells: its source as text, and what the transforms make of it. A secret is not
-- trimmed: white space may be a part of it.
create function private.field_expressions(
  p_field public.dataset_fields, p_entry jsonb, p_columns text[], p_untrimmed text[] default null,
  out source text, out value text
)
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  c_longest   constant integer := 50000; -- characters
  v_columns   text[] := array(select jsonb_array_elements_text(p_entry -> 'columns'));
  v_transform jsonb;
  v_separator text := ' ';
  v_rest      jsonb := p_entry -> 'transforms';
  v_untrimmed text[] := case when p_field.is_secret then '{}' else p_untrimmed end;
begin
  if v_rest #> '{0}' ? 'join' and jsonb_typeof(v_rest #> '{0,join}') = 'string' then
    v_separator := v_rest #>> '{0,join}';
    v_rest := v_rest - 0;
  end if;

  source := case cardinality(v_columns)
    -- Null, but not a constant: what is made of it must be computed row by row, where it can be a row's
    -- issue. Folded into the plan a default that does not fit its field would refuse the whole statement.
    when 0 then 'nullif(r.cells[1], r.cells[1])'
    when 1 then private.cell_expression(p_columns, v_columns[1], v_untrimmed)
    else format('nullif(left(concat_ws(%L, %s), 1048576), '''')', v_separator,
      (select string_agg(private.cell_expression(p_columns, c, v_untrimmed), ', ') from unnest(v_columns) as c))
  end;

  value := source;
  for v_transform in select jsonb_array_elements(v_rest) loop
    value := private.transform_expression(value, v_transform, p_field, p_columns);
    if length(value) > c_longest then
      raise exception using
        errcode = '22023',
        message = 'transforms of a field are too long',
        detail  = format('field %s: %s characters of SQL, at most %s', p_field.name, length(value), c_longest),
        hint    = 'Use fewer transforms, or shorter lists.';
    end if;
  end loop;

  if p_entry ->> 'default' is not null then
    value := format('coalesce(%s, %L)', value, p_entry ->> 'default');
  end if;
  if (p_field.rules -> 'lower')::boolean then
    value := format('lower(%s)', value);
  end if;
end;
$$;

revoke all on all tables in schema private from public, anon, authenticated, service_role;
grant insert on private.import_rows, private.import_issues to sluice_ingest;
revoke all on all functions in schema private from public;
