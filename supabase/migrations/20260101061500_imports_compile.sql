-- The compiler, last part: the statements of a plan, put together from the expressions of its fields.
-- Needs: imports_fields (which says how they are written), imports_groups.
-- Exposes: nothing to clients. private.compile_plan() to the tasks.

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
    if f.is_secret then
      v_shown := 'null';
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
        ' from pg_input_error_info(%s, %L) as e where not %s_valid%s',
        f.name, 'out of the range of ' || f.type, private.type_hint(f.type), v_shown, v_value, f.type, v_value,
        -- what is not in the list, as of an enum, is told once
        case when f.rules ? 'one_of' then format(' and %s = any (%s)', v_value, private.text_array(f.rules -> 'one_of')) else '' end);
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
  into v_plan.key_index, v_by_id
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
  if not found and not private.is_view(v_target) then
    raise exception using
      errcode = 'IM005',
      message = 'dataset has no unique index on its key any more',
      detail  = v_plan.target,
      hint    = 'Tell the database administrator.';
  end if;

  v_plan.insert_columns := case when v_plan.key_index is not null and p_batch.mode in ('insert', 'upsert') then array(
    select f.column_name from unnest(v_fields) as f where f.relation = v_target order by f.number
  ) || v_dataset.org_column else '{}' end;
  v_plan.update_columns := case when v_plan.key_index is not null and p_batch.mode in ('update', 'upsert') then array(
    select f.column_name from unnest(v_fields) as f where f.relation = v_target and f.name <> all (private.record_key(v_dataset)) order by f.number
  ) else '{}' end;

  v_plan.validate_sql := private.compile_validation(v_fields, true);
  v_plan.validate_bare_sql := private.compile_validation(v_fields, false);
  if v_plan.validate_bare_sql = v_plan.validate_sql then
    v_plan.validate_bare_sql := null;
  end if;
  if v_dataset.check_function is not null then
    v_plan.check_sql := private.compile_check(v_dataset, p_batch.mode, v_fields);
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
    private.of_organization('t', v_dataset.org_column, '(select $4::uuid)') || string_agg(format(' and t.%1$I = k.%1$I', f.column_name), '' order by f.number),
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
      private.compile_apply_by_function(v_dataset, p_batch.mode, p_batch.options ->> 'blank', v_fields)
    else private.compile_merge(v_dataset, p_batch.mode, p_batch.options ->> 'blank', v_fields, v_by_id)
  end;

  v_plan.missing_sql := case when p_batch.mode = 'update' then format($q$
%sselect coalesce(array_agg(k._row), '{}')
from (select r.row_number as _row, r.record_id as _id, %s from private.staged_rows($1, $2, $3) as r offset 0) as k
where not exists (select from %s as t where %s) $q$,
    private.with_references(v_keys, 'private.staged_rows'), v_typed, v_target, case when v_by_id then format('t.%I = k._id', v_dataset.id_column) else v_match end) end;

  v_plan.exists_sql := format('select exists (select from %s as t where %s)', v_target,
    private.of_organization('t', v_dataset.org_column, '(select $1::uuid)'));
  v_plan.preview_sql := private.compile_preview(v_dataset, p_batch.mode, p_batch.options ->> 'blank', v_fields, v_by_id);
  v_plan.image_sql := private.compile_images(v_dataset);

  delete from private.import_plans as p where p.batch_id = p_batch.id;
  insert into private.import_plans select v_plan.*;
  return v_plan;
end;
$$;

revoke all on all functions in schema private from public;
