-- The compiler, second part: the statements of a plan, put together from the expressions of its fields.
-- Needs: imports_plan.
-- Exposes: nothing to clients. private.compile_plan() to the tasks.
--
-- In the statements, what starts with _ is ours; other columns of s (the source of a merge) and c (a
-- typed row) are fields. The organization is looked for as (select $4::uuid), not as $4: a value that the
-- statistics do not know yet would seem to have one row, and any index on the organization alone as good
-- as that of the key. A subquery with offset 0 is a fence: the planner may not
-- merge it with what is around it, so expensive expressions are computed once and, under row level
-- security, a key that is a bare column can still reach its index.

-- A mapped field with everything that the statements need of it.
create type private.planned_field as (
  number      integer,
  name        text,
  column_name text,
  relation    regclass,
  type        text,
  type_oid    oid, -- of the column
  class       text,
  rules       jsonb,
  reference   jsonb, -- { dataset, target, id_column, org_column, column, label }
  is_key      boolean,
  is_required boolean,
  default_sql text,
  not_null    boolean,
  source      text,
  value       text
);

create function private.planned_fields(p_batch public.import_batches)
returns private.planned_field[]
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_dataset   public.datasets;
  v_blank     text := p_batch.options ->> 'blank';
  v_untrimmed text[] := case when p_batch.format ? 'untrimmed' then array(select jsonb_array_elements_text(p_batch.format -> 'untrimmed')) end;
  v_fields    private.planned_field[];
begin
  select d.* into v_dataset from public.datasets as d where d.key = p_batch.dataset;

  select array_agg(row(
    f.position,
    f.name,
    f.column_name,
    a.attrelid::regclass,
    case private.type_class(f.type) when 'text' then 'text' else f.type end, -- a cast to varchar(n) would cut
    a.atttypid,
    private.type_class(f.type),
    f.rules,
    r.reference,
    f.name = any (v_dataset.key_fields),
    case
      when f.name = any (v_dataset.key_fields) then true
      when p_batch.mode = 'update' then coalesce(a.attnotnull, false) and v_blank = 'clear'
      else f.is_required
    end,
    (select pg_get_expr(e.adbin, e.adrelid) from pg_attrdef as e where e.adrelid = a.attrelid and e.adnum = a.attnum),
    coalesce(a.attnotnull, false),
    x.source,
    x.value
  )::private.planned_field order by f.position)
  into v_fields
  from public.dataset_fields as f
  left join lateral ( -- an apply function may take what is no column
    select t.*
    from pg_attribute as t
    where t.attrelid in (v_dataset.target::regclass, v_dataset.lines::regclass) and t.attname = f.column_name and not t.attisdropped
    order by t.attrelid = v_dataset.target::regclass desc
    limit 1
  ) as a on true
  left join lateral (
    select jsonb_build_object('target', d.target, 'id_column', d.id_column, 'org_column', d.org_column, 'label', d.label,
      'column', k.column_name) as reference
    from public.datasets as d
    join public.dataset_fields as k on k.dataset = d.key and k.name = f.reference ->> 'field'
    where d.key = f.reference ->> 'dataset'
  ) as r on true
  cross join lateral private.field_expressions(f, p_batch.mapping -> f.name, p_batch.columns, v_untrimmed) as x
  where f.dataset = v_dataset.key
    and p_batch.mapping ? f.name
    and (a.attnum is not null or v_dataset.apply_function is not null)
    and (p_batch.mode <> 'delete' or f.name = any (private.record_key(v_dataset)));
  return v_fields;
end;
$$;

-- The ids of the records that rows name, as a CTE: one object of keys a field, read once for all rows. Probes of the
-- index, one a row, would be slower and, where a policy or missing statistics mislead the planner, scans.
create function private.compile_references(p_fields private.planned_field[], p_rows text, p_organization text)
returns text
language sql stable
security invoker
set search_path = ''
as $$
  select coalesce('refs as materialized (select ' || string_agg(format(
    '(select jsonb_object_agg(x.%1$I::text, x.%2$I) from %3$s as x where x.%4$I = %5$s and x.%1$I = any (array(select distinct %6$s from %7$s))) as _%8$s',
    f.reference ->> 'column', f.reference ->> 'id_column', f.reference ->> 'target', f.reference ->> 'org_column', p_organization,
    case f.class when 'text' then f.value else format('case when pg_input_is_valid(%1$s, %2$L) then (%1$s)::%3$s end', f.value, f.type, f.type) end,
    p_rows, f.number), ', ' order by f.number) || '), ', '')
  from unnest(p_fields) as f
  where f.reference is not null;
$$;

-- The same for a statement that has no other CTE; p_rows: the function that gives its rows.
create function private.with_references(p_fields private.planned_field[], p_rows text)
returns text
language sql stable
security invoker
set search_path = ''
as $$
  select case when r.refs <> '' then 'with ' || rtrim(r.refs, ', ') || ' ' else '' end
  from (select private.compile_references(p_fields, p_rows || '($1, $2, $3) as r', '(select $4::uuid)')) as r (refs);
$$;

create function private.reference_lookup(p_field private.planned_field, p_value text)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select format('((select refs._%s from refs) ->> (%s)::text)::uuid', p_field.number, p_value);
$$;

-- What goes into the field's column: the value in its type, or the id of the record that it names.
create function private.typed_value(p_field private.planned_field, p_refuse boolean)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select case
    when p_field.reference is null then v.value
    when p_refuse then format('case when %1$s is not null then coalesce(%2$s, private.refuse_reference(%3$L, %4$L, %5$s)) end',
      v.value, private.reference_lookup(p_field, v.value), p_field.name, p_field.reference ->> 'label', p_field.value)
    else private.reference_lookup(p_field, v.value)
  end
  from (select format('(%s)::%s', p_field.value, p_field.type)) as v (value);
$$;

-- Somebody deleted the record since the rows were validated, or the actor may not see it.
create function private.refuse_reference(p_field text, p_label text, p_value text)
returns uuid
language plpgsql immutable
security invoker
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'IR001',
    message = format('no record of %s has this key', p_label),
    detail  = p_value,
    column  = p_field;
end;
$$;

-- Issues of the rows after $3, to $4, of batch $2, staged on $1, for organization $5: all rules of all fields in one pass.
-- CHECK constraints whose columns all come from the file are judged here too, where they all have
-- values: what the table would refuse one by one is found set by set. Only c has their column names.
create function private.compile_validation(p_fields private.planned_field[], p_checks boolean)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  c_branch    constant text := ' union all select %L, %L, %L, %s, null, null where %s';
  f           private.planned_field;
  v_check     record;
  v_rule      record;
  v_texts     text := '';
  v_valid     text := '';
  v_typed     text := '';
  v_bad       text := 'false';
  v_bad_typed text := 'false';
  v_branches  text := '';
  v_value     text;
  v_shown     text;
  v_missing   text;
begin
  foreach f in array p_fields loop
    v_value := 't._' || f.number;
    v_shown := v_value;
    v_texts := v_texts || format(', %s as _%s', f.value, f.number);
    if f.value <> f.source then
      v_shown := v_value || '_sent';
      v_texts := v_texts || format(', %s as _%s_sent', f.source, f.number);
    end if;

    if f.class = 'text' then
      v_typed := v_typed || format(', %s as %I', v_value, f.name);
    else
      v_valid := v_valid || format(', (%1$s is null or (%2$s pg_input_is_valid(%1$s, %3$L))) as _%4$s_valid', v_value,
        case when private.type_shape(f.class) is not null then format('%s ~ %L and', v_value, private.type_shape(f.class)) else '' end,
        f.type, f.number);
      v_typed := v_typed || format(', case when %1$s_valid then %1$s::%2$s end as %3$I', v_value, f.type, f.name);
      v_bad := v_bad || format(' or not %s_valid', v_value);
      v_branches := v_branches || format(
        ' union all select %L, case e.sql_error_code when ''22003'' then ''out_of_range'' else ''invalid_type'' end,'
        ' case e.sql_error_code when ''22003'' then %L else %L end, %s, e.sql_error_code, null'
        ' from pg_input_error_info(%s, %L) as e where not %s_valid',
        f.name, 'out of the range of ' || f.type, private.type_hint(f.type), v_shown, v_value, f.type, v_value);
    end if;

    for v_rule in
      select * from (values
        -- of the record: once in its rows, see private.compile_groups()
        (f.is_required and not coalesce((f.rules -> 'same_in_group')::boolean, false), 'required', 'a value is required',
          format('%s is null', v_value)),
        (f.rules ? 'format', 'invalid_format', private.format_hint(f.rules ->> 'format'),
          private.format_violation(v_value, f.rules ->> 'format')),
        (f.rules ? 'pattern', 'invalid_format', 'not in the expected form',
          format('%s !~ %L', v_value, f.rules ->> 'pattern')),
        (f.rules ? 'one_of', 'not_in_list',
          format('not one of: %s', left(array_to_string(array(select jsonb_array_elements_text(f.rules -> 'one_of')), ', '), 200)),
          format('%s <> all (%s)', v_value, private.text_array(coalesce(f.rules -> 'one_of', '[]')))),
        (f.rules ? 'min_length', 'invalid_format', format('shorter than %s characters', f.rules ->> 'min_length'),
          format('char_length(%s) < %s', v_value, f.rules ->> 'min_length')),
        (f.rules ? 'max_length', 'too_long', format('longer than %s characters', f.rules ->> 'max_length'),
          format('char_length(%s) > %s', v_value, f.rules ->> 'max_length'))
      ) as r (applies, code, message, condition)
      where r.applies
    loop
      v_bad := v_bad || ' or ' || v_rule.condition;
      v_branches := v_branches || format(c_branch, f.name, v_rule.code, v_rule.message, v_shown, v_rule.condition);
    end loop;

    for v_rule in
      select
        format('c.%I %s %s', f.name, r.operator, f.rules ->> r.rule) as condition,
        format('%s %s', r.words, f.rules ->> r.rule) as message
      from (values ('min', '<', 'less than'), ('max', '>', 'more than')) as r (rule, operator, words)
      where f.rules ? r.rule and f.class in ('integer', 'number')
    loop
      v_bad_typed := v_bad_typed || ' or ' || v_rule.condition;
      v_branches := v_branches || format(c_branch, f.name, 'out_of_range', v_rule.message, v_shown, v_rule.condition);
    end loop;

    if f.reference is not null then
      v_missing := format('(c.%1$I is not null and %2$s is null)', f.name, private.reference_lookup(f, format('c.%I', f.name)));
      v_bad_typed := v_bad_typed || ' or ' || v_missing;
      v_branches := v_branches || format(c_branch, f.name, 'reference_not_found',
        format('no record of %s has this key', f.reference ->> 'label'), v_shown, v_missing);
    end if;
  end loop;

  for v_check in
    select
      c.conname,
      pg_get_expr(c.conbin, c.conrelid) as expression,
      string_agg(a.attname, ', ' order by k.position) as fields,
      string_agg(format('c.%I is not null', a.attname), ' and ') as all_given
    from pg_constraint as c
    cross join lateral unnest(c.conkey) with ordinality as k (attnum, position)
    join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.attnum
    where p_checks and c.conrelid in (select p.relation from unnest(p_fields) as p) and c.contype = 'c'
    group by c.oid, c.conname
    having bool_and(exists (
        select from unnest(p_fields) as p where p.relation = c.conrelid and p.name = a.attname and p.reference is null
      ))
      -- what became a rule has been judged as one
      and not coalesce(bool_and(private.check_rule(pg_get_expr(c.conbin, c.conrelid), a.attname)
        <@ (select p.rules from unnest(p_fields) as p where p.name = a.attname)), false)
    order by c.conname
  loop
    v_bad_typed := v_bad_typed || format(' or (%s and not (%s))', v_check.all_given, v_check.expression);
    v_branches := v_branches || format(
      ' union all select %L, ''constraint_violation'', %L, null, ''23514'', %L where not t._bad and %s and not (%s)',
      v_check.fields, 'refused by a check of the table', v_check.conname, v_check.all_given, v_check.expression);
  end loop;

  return format($q$
with %stexts as (
  select r.row_number as _row%s
  from private.import_rows as r
  where r.staged_on = $1 and r.batch_id = $2 and r.row_number > $3 and r.row_number <= $4
  offset 0
),
typed as (
  select t.*%s from texts as t offset 0
),
judged as (
  select t.*, (%s) is true as _bad from typed as t offset 0
)
insert into private.import_issues
  (staged_on, batch_id, row_number, field, code, message, value, sqlstate, constraint_name, origin)
select $1, $2, t._row, i._field, i._code, i._message, left(i._value, 200), i._sqlstate, i._constraint, 'validate'
from judged as t
cross join lateral (select %s) as c
cross join lateral (
  select null::text, null::text, null::text, null::text, null::text, null::text where false%s
) as i (_field, _code, _message, _value, _sqlstate, _constraint)
where t._bad or (%s) is true $q$,
    private.compile_references(p_fields,
      '(select i.cells from private.import_rows as i where i.staged_on = $1 and i.batch_id = $2 and i.row_number > $3 and i.row_number <= $4) as r',
      '(select $5::uuid)'),
    v_texts, v_valid, v_bad, substr(v_typed, 3), v_branches, v_bad_typed);
end;
$$;

-- Issues of rows of batch $2 whose values in p_fields appear more than once, for bucket $3 of $4 of the
-- values' hashes. Judged among rows that are valid so far.
create function private.compile_duplicates(p_fields private.planned_field[], p_policy text)
returns text
language sql stable
security invoker
set search_path = ''
as $$
  select format($q$
insert into private.import_issues (staged_on, batch_id, row_number, field, severity, code, message, value, origin)
select $1, $2, n.row_number, %L, %L, 'duplicate_in_file', 'same as row ' || d.kept, left(concat_ws(' ', %s), 200), 'validate'
from (
  select %s, array_agg(k._row) as row_numbers, %s(k._row) as kept
  from (
    select t._row, %s
    from (
      select r.row_number as _row, %s
      from private.import_rows as r
      where r.staged_on = $1 and r.batch_id = $2
      offset 0
    ) as t
    offset 0
  ) as k
  where %s
    and ($4 = 1 or (hash_record_extended(row(%s), 0) & 2147483647) %% $4 = $3)
    and not exists (
      select from private.import_issues as i
      where i.staged_on = $1 and i.batch_id = $2 and i.row_number = k._row
        and (i.severity = 'error' or i.code = 'duplicate_in_file')
    )
  group by %s
  having count(*) > 1
) as d
cross join lateral unnest(d.row_numbers) as n (row_number)
where n.row_number <> d.kept $q$,
    string_agg(f.name, ', ' order by f.number),
    case p_policy when 'error' then 'error' else 'warning' end,
    string_agg(format('d._k%s', f.number), ', ' order by f.number),
    string_agg(format('k._k%s', f.number), ', ' order by f.number),
    case p_policy when 'keep_last' then 'max' else 'min' end,
    string_agg(
      case f.class when 'text' then format('t._%1$s as _k%1$s', f.number)
        else format('case when pg_input_is_valid(t._%1$s, %2$L) then t._%1$s::%3$s end as _k%1$s', f.number, f.type, f.type)
      end, ', ' order by f.number),
    string_agg(format('%s as _%s', f.value, f.number), ', ' order by f.number),
    string_agg(format('k._k%s is not null', f.number), ' and ' order by f.number),
    string_agg(private.hashable(format('k._k%s', f.number), f.type_oid), ', ' order by f.number),
    string_agg(format('k._k%s', f.number), ', ' order by f.number)
  )
  from unnest(p_fields) as f;
$$;

-- All columns but those that change by themselves: generated ones, and times that clients cannot set
-- (updated_at): what an undo restored is again as it was, though it was touched.
create function private.hashable_columns(p_table regclass, p_alias text)
returns text
language sql stable
security invoker
set search_path = ''
as $$
  select string_agg(private.hashable(format('%s.%I', p_alias, a.attname), a.atttypid), ', ' order by a.attnum)
  from pg_attribute as a
  where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    and not (
      a.atttypid in ('timestamptz'::regtype, 'timestamp'::regtype)
      and not has_column_privilege('authenticated', a.attrelid, a.attnum, 'update')
    );
$$;

-- The hash of record t as it is; of one with lines, of these too.
create function private.record_hash(p_dataset public.datasets)
returns text
language sql stable
security invoker
set search_path = ''
as $$
  select format('hash_record_extended(row(%s%s), 0)',
    private.hashable_columns(p_dataset.target::regclass, 't'),
    case when p_dataset.lines is not null then format(
      ', array(select hash_record_extended(row(%s), 0) from %s as l where l.%I = t.%I order by 1)',
      private.hashable_columns(p_dataset.lines::regclass, 'l'), p_dataset.lines,
      private.lines_column(p_dataset.lines::regclass, p_dataset.target::regclass), p_dataset.id_column) else '' end);
$$;

-- Record t as it is, as jsonb; one with lines with these.
create function private.record_image(p_dataset public.datasets)
returns text
language sql stable
security invoker
set search_path = ''
as $$
  select case
    when p_dataset.lines is null then 'to_jsonb(t)'
    else format('jsonb_build_object(''record'', to_jsonb(t), ''lines'','
      ' (select coalesce(jsonb_agg(to_jsonb(l)), ''[]'') from %s as l where l.%I = t.%I))',
      p_dataset.lines, private.lines_column(p_dataset.lines::regclass, p_dataset.target::regclass), p_dataset.id_column)
  end;
$$;

-- What an update leaves in the field's column of record t.
create function private.updated_value(p_field private.planned_field, p_blank text, p_value text)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select case
    when p_blank = 'ignore' or p_field.not_null then format('coalesce(%s, t.%I)', p_value, p_field.column_name)
    else p_value
  end;
$$;

-- Applies the valid rows after $2, to $3, of batch $1 to organization $4; one row of parallel arrays
-- says what was done. Sorted by key, so that two imports of the same keys do not deadlock.
create function private.compile_merge(
  p_dataset public.datasets, p_mode public.import_mode, p_blank text, p_fields private.planned_field[], p_by_id boolean
)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_target  text := p_dataset.target::regclass::text;
  v_others  private.planned_field[] := array(select f from unnest(p_fields) as f where not f.is_key order by f.number);
  v_source  text;
  v_order   text;
  v_match   text;
  v_actions text := '';
  v_image   text := 'null::jsonb';
  v_hash    text;
begin
  select
    string_agg(format('%s as %I', private.typed_value(f, p_mode in ('insert', 'upsert') or not f.is_key), f.column_name),
      ', ' order by f.number),
    string_agg(format('%I', f.column_name), ', ' order by f.number) filter (where f.is_key),
    case when p_by_id then format('t.%I = s._id', p_dataset.id_column)
      else format('t.%I = (select $4::uuid) and ', p_dataset.org_column)
        || string_agg(format('t.%1$I = s.%1$I', f.column_name), ' and ' order by f.number) filter (where f.is_key)
    end
  into v_source, v_order, v_match
  from unnest(p_fields) as f;

  v_hash := private.record_hash(p_dataset);

  if p_mode in ('update', 'upsert') and cardinality(v_others) > 0 then
    select format('
    when matched and t.%I = $4 and row(%s) is distinct from row(%s) then update set %s',
      p_dataset.org_column,
      string_agg(private.hashable(format('t.%I', f.column_name), f.type_oid), ', ' order by f.number),
      string_agg(private.hashable(n.value, f.type_oid), ', ' order by f.number),
      string_agg(format('%I = %s', f.column_name, n.value), ', ' order by f.number))
    into v_actions
    from unnest(v_others) as f
    cross join lateral (select private.updated_value(f, p_blank, format('s.%I', f.column_name)) as value) as n;
    -- Only an update has a row that was replaced. xmax = xmin: it is the one that this statement
    -- replaced, and not older than an edit that slipped in while the merge waited for the lock.
    v_image := format('case merge_action() when ''UPDATE'' then (select to_jsonb(b) from %s as b where b.%I = t.%I and b.xmax = t.xmin) end',
      v_target, p_dataset.id_column, p_dataset.id_column);
  elsif p_mode = 'update' then
    v_actions := '
    when matched then do nothing';
  end if;

  if p_mode in ('insert', 'upsert') then
    select v_actions || format('
    when not matched then insert (%I, %s) values ($4, %s)',
      p_dataset.org_column,
      string_agg(format('%I', f.column_name), ', ' order by f.number),
      string_agg(
        case when f.default_sql is not null and (f.not_null or p_blank = 'ignore')
          then format('coalesce(s.%I, %s)', f.column_name, f.default_sql) else format('s.%I', f.column_name) end, ', ' order by f.number))
    into v_actions
    from unnest(p_fields) as f;
  elsif p_mode = 'delete' then
    v_actions := format('
    when matched and t.%I = $4 then delete', p_dataset.org_column);
    v_image := 'to_jsonb(t)';
    v_hash := 'null::bigint';
  end if;

  return format($q$
with %sapplied as (
  merge into %s as t
  using (
    select r.row_number as _row, r.record_id as _id, %s
    from private.staged_rows($1, $2, $3) as r
    order by %s
    offset 0
  ) as s
  on %s%s
  returning merge_action() as action, s._row, t.%I as record_id, %s as row_hash, %s as image
)
select
  array_agg(a._row) as row_numbers,
  array_agg(case a.action when 'INSERT' then 'inserted' when 'UPDATE' then 'updated' else 'deleted' end::private.row_action) as actions,
  array_agg(a.record_id) as record_ids,
  array_agg(a.row_hash) as row_hashes,
  array_agg(a.image) as images,
  count(*) filter (where a.action = 'UPDATE' and a.image is null) as overtaken_count,
  null::text[] as verdicts
from applied as a $q$,
    private.compile_references(p_fields, 'private.staged_rows($1, $2, $3) as r', '(select $4::uuid)'), v_target, v_source, v_order, v_match, v_actions, p_dataset.id_column, v_hash, v_image);
end;
$$;

-- Groups of bucket $3 of $4 of batch $2, staged on $1: which rows belong to which first row; and as issues
-- the rows whose record is refused, because they disagree about it or because one of them has an error.
-- Returns how many rows failed.
create function private.compile_groups(p_fields private.planned_field[], p_group_field text)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_key       private.planned_field := (select f from unnest(p_fields) as f where f.name = p_group_field);
  v_same      private.planned_field[] := array(
    select f from unnest(p_fields) as f where (f.rules -> 'same_in_group')::boolean order by f.number
  );
  v_values    text;
  v_firsts    text;
  v_conflicts text;
begin
  select
    coalesce(string_agg(format(', %s as _%s', f.value, f.number), '' order by f.number), ''),
    coalesce(string_agg(format(', (array_agg(k._%1$s order by k._row) filter (where k._%1$s is not null and not k._skipped))[1] as _%1$s', f.number), '' order by f.number), ''),
    coalesce(string_agg(
      format(' union all select %1$L, ''group_failed'', %2$L || left(g._%3$s, 100), k._%3$s where k._%3$s <> g._%3$s',
        f.name, format('the rows of this %s disagree; the first says ', p_group_field), f.number)
      || case when f.is_required then format(
        ' union all select %1$L, ''required'', ''a value is required'', null where g._%2$s is null and k._row = g._lead', f.name, f.number)
        else '' end, '' order by f.number), '')
  into v_values, v_firsts, v_conflicts
  from unnest(v_same) as f;

  return format($q$
with texts as (
  select r.row_number as _row, %s as _text%s
  from private.import_rows as r
  where r.staged_on = $1 and r.batch_id = $2
  offset 0
),
k as materialized (
  select t.*, %s as _key, exists (
      select from private.import_issues as i
      where i.staged_on = $1 and i.batch_id = $2 and i.row_number = t._row and i.code = 'duplicate_in_file' and i.severity = 'warning'
    ) as _skipped
  from texts as t
  where $4 = 1 or (hash_record_extended(row(t._text), 0) & 2147483647) %% $4 = $3
),
g as materialized (
  select k._key, min(k._row) as _first, min(k._row) filter (where not k._skipped) as _lead, array_agg(k._row order by k._row) as _rows%s
  from k
  where k._key is not null
  group by k._key
),
members as (
  insert into private.import_group_rows (staged_on, batch_id, first_row, row_number)
  select $1, $2, g._first, n
  from g
  cross join lateral unnest(g._rows[2:]) as n
),
faulty as materialized (
  select distinct i.row_number
  from private.import_issues as i
  where i.staged_on = $1 and i.batch_id = $2 and i.severity = 'error'
),
conflicts as materialized (
  select k._row, k._key, c.*
  from k
  join g on g._key = k._key
  cross join lateral (select null::text, null::text, null::text, null::text where false%s) as c (_field, _code, _message, _value)
  where not k._skipped and not exists (select from faulty as f where f.row_number = k._row)
),
failing as (
  select n._row, g._key, min(f._row) as _cause
  from g
  cross join lateral unnest(g._rows) as n (_row)
  join (
    select g._key, f.row_number as _row
    from g cross join lateral unnest(g._rows) as m (_row) join faulty as f on f.row_number = m._row
    union all
    select c._key, c._row from conflicts as c
  ) as f on f._key = g._key
  group by n._row, g._key
),
issued as (
  insert into private.import_issues (staged_on, batch_id, row_number, field, code, message, value, origin)
  select $1, $2, c._row, c._field, c._code, c._message, left(c._value, 200), 'validate'::private.issue_origin
  from conflicts as c
  union all
  select $1, $2, f._row, %L, 'group_failed', %L || f._cause, left(f._key::text, 200), 'validate'
  from failing as f
  where not exists (select from faulty as o where o.row_number = f._row)
    and not exists (select from conflicts as c where c._row = f._row)
  returning row_number
)
select count(distinct i.row_number)::integer from issued as i $q$,
    v_key.value, v_values,
    case v_key.class when 'text' then 't._text' else format('case when pg_input_is_valid(t._text, %L) then t._text::%s end', v_key.type, v_key.type) end,
    v_firsts, v_conflicts, p_group_field, format('fails with its %s: row ', p_group_field));
end;
$$;

-- For records with lines: three statements, which private.apply_groups() runs for the rows after $2, to $3,
-- of batch $1, organization $4. keys: the key of each row; state: records $2 of organization $1 with hash and
-- image; call: the dataset's function, mode $5, for the records whose keys are in $6 (or not, as $7 says).
create function private.compile_apply_groups(
  p_dataset public.datasets, p_mode public.import_mode, p_blank text, p_fields private.planned_field[]
)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_key    private.planned_field := (select f from unnest(p_fields) as f where f.name = p_dataset.group_field);
  v_type   regclass := private.apply_row_type(p_dataset.apply_function);
  v_clear  text[] := array(
    select f.column_name from unnest(p_fields) as f where p_blank = 'clear' and not f.not_null order by f.number
  );
  v_values text;
begin
  select string_agg(
    case when f.number is null then format('null::%s', format_type(a.atttypid, a.atttypmod)) else private.typed_value(f, true) end,
    ', ' order by a.attnum)
  into v_values
  from pg_attribute as a
  left join unnest(p_fields) as f on f.column_name = a.attname
  where a.attrelid = v_type and a.attnum > 0 and not a.attisdropped;

  return format('select p.* from private.apply_groups($1, $2, $3, $4, %L, %L, %L, %L) as p',
    p_mode,
    format('select array_agg((%s)::%s::text order by r.row_number), array_agg(r.row_number order by r.row_number)'
      ' from private.staged_rows($1, $2, $3) as r', v_key.value, v_key.type),
    format('select t.%1$I::text, t.%2$I, %3$s, %4$s from %5$s as t where t.%6$I = (select $1::uuid) and t.%1$I = any ($2::%7$s[]) order by t.%1$I',
      v_key.column_name, p_dataset.id_column, private.record_hash(p_dataset), private.record_image(p_dataset),
      p_dataset.target, p_dataset.org_column, v_key.type),
    format('%sselect %s($4, $5, %L, array_agg(row(%s)::%s order by r.row_number)) from private.staged_rows($1, $2, $3) as r'
      ' where ((%s)::%s::text = any ($6)) = $7 having count(*) > 0',
      private.with_references(p_fields, 'private.staged_rows'),
      p_dataset.apply_function, v_clear, v_values, v_type, v_key.value, v_key.type));
end;
$$;

-- Compiles and stores the plan of a batch. Raises what is wrong with its mapping: 22023, PT422.
create function private.compile_plan(p_batch public.import_batches)
returns private.import_plans
language plpgsql volatile
security invoker
set search_path = ''
set jit = off
as $$
declare
  v_dataset public.datasets;
  v_target  regclass;
  v_fields  private.planned_field[];
  v_keys    private.planned_field[];
  v_typed   text;
  v_match   text;
  v_by_id   boolean;
  v_plan    private.import_plans;
begin
  perform private.require_mapped_fields(p_batch.dataset, p_batch.mode, p_batch.mapping);

  select d.* into v_dataset from public.datasets as d where d.key = p_batch.dataset;
  v_target := v_dataset.target::regclass;
  v_fields := private.planned_fields(p_batch);
  v_keys := array(select f from unnest(v_fields) as f where f.name = any (private.record_key(v_dataset)) order by f.number);

  v_plan.batch_id := p_batch.id;
  v_plan.org_id := p_batch.org_id;
  v_plan.mode := p_batch.mode;
  v_plan.target := v_target::text;
  v_plan.compiled_at := clock_timestamp();
  v_plan.hash_sql := private.record_hash(v_dataset);

  -- The index that makes the key unique, and whether its operators may look behind row level security.
  select c.relname, v_dataset.apply_function is null and not bool_and(p.proleakproof)
  into strict v_plan.key_index, v_by_id
  from pg_index as x
  join pg_class as c on c.oid = x.indexrelid
  cross join lateral unnest(x.indclass[0:x.indnkeyatts - 1]) as k (opclass)
  join pg_opclass as o on o.oid = k.opclass
  join pg_amop as m on m.amopfamily = o.opcfamily and m.amopstrategy = 3
    and m.amoplefttype = o.opcintype and m.amoprighttype = o.opcintype
  join pg_operator as e on e.oid = m.amopopr
  join pg_proc as p on p.oid = e.oprcode
  where x.indexrelid = private.unique_index(v_target, array(select f.column_name::name from unnest(v_keys) as f) || v_dataset.org_column::name)
  group by c.relname;

  v_plan.insert_columns := case when p_batch.mode in ('insert', 'upsert') then array(
    select f.column_name from unnest(v_fields) as f where f.relation = v_target order by f.number
  ) || v_dataset.org_column else '{}' end;
  v_plan.update_columns := case when p_batch.mode in ('update', 'upsert') then array(
    select f.column_name from unnest(v_fields) as f where f.relation = v_target and f.name <> all (private.record_key(v_dataset)) order by f.number
  ) else '{}' end;

  v_plan.validate_sql := private.compile_validation(v_fields, true);
  v_plan.validate_bare_sql := private.compile_validation(v_fields, false);
  if v_plan.validate_bare_sql = v_plan.validate_sql then
    v_plan.validate_bare_sql := null;
  end if;

  v_plan.duplicates_sql := array(
    select private.compile_duplicates(array_agg(f order by f.number), p_batch.options ->> 'duplicates')
    from unnest(v_fields) as f
    where f.is_key
    having p_batch.mode <> 'delete' or v_dataset.group_field is null -- then the lines are not told apart
  ) || array(
    select private.compile_duplicates(array[f], 'error')
    from unnest(v_fields) as f
    where (f.rules -> 'unique_in_file')::boolean and not (f.is_key and cardinality(v_dataset.key_fields) = 1)
    order by f.number
  );
  v_plan.group_sql := case when v_dataset.group_field is not null then private.compile_groups(v_fields, v_dataset.group_field) end;

  select
    string_agg(format('%s as %I', private.typed_value(f, false), f.column_name), ', ' order by f.number),
    format('t.%I = (select $4::uuid)', v_dataset.org_column) || string_agg(format(' and t.%1$I = k.%1$I', f.column_name), '' order by f.number),
    format('select r.row_number, concat_ws('' '', %s) from private.import_rows as r '
      'where r.staged_on = $1 and r.batch_id = $2 and r.row_number = any ($3)', string_agg(f.value, ', ' order by f.number))
  into v_typed, v_match, v_plan.keys_sql
  from unnest(v_keys) as f;

  v_plan.lookup_sql := case when v_by_id then format($q$
%sselect r.row_number, r.cells, t.%I
from private.valid_rows($1, $2, $3) as r
cross join lateral (select %s offset 0) as k
left join %s as t on %s $q$, private.with_references(v_keys, 'private.valid_rows'), v_dataset.id_column, v_typed, v_target, v_match) end;

  v_plan.merge_sql := case
    when v_dataset.apply_function is not null then
      private.compile_apply_groups(v_dataset, p_batch.mode, p_batch.options ->> 'blank', v_fields)
    else private.compile_merge(v_dataset, p_batch.mode, p_batch.options ->> 'blank', v_fields, v_by_id)
  end;

  v_plan.missing_sql := case when p_batch.mode = 'update' then format($q$
%sselect coalesce(array_agg(k._row), '{}')
from (select r.row_number as _row, r.record_id as _id, %s from private.staged_rows($1, $2, $3) as r offset 0) as k
where not exists (select from %s as t where %s) $q$,
    private.with_references(v_keys, 'private.staged_rows'), v_typed, v_target, case when v_by_id then format('t.%I = k._id', v_dataset.id_column) else v_match end) end;

  v_plan.exists_sql := format('select exists (select from %s as t where t.%I = (select $1::uuid))', v_target, v_dataset.org_column);
  v_plan.preview_sql := private.compile_preview(v_dataset, p_batch.mode, p_batch.options ->> 'blank', v_fields, v_by_id);
  v_plan.image_sql := private.compile_images(v_dataset);

  delete from private.import_plans as p where p.batch_id = p_batch.id;
  insert into private.import_plans select v_plan.*;
  return v_plan;
end;
$$;

revoke all on all functions in schema private from public;
