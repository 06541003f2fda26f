-- The compiler, third part: where several rows of a file make one record, and where a function writes records.
-- Needs: imports_fields.
-- Exposes: nothing to clients.

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

-- A row r of the file as the dataset's functions take it; what is not mapped is null.
create function private.row_expression(p_type regclass, p_fields private.planned_field[], p_refuse boolean)
returns text
language sql stable
security invoker
set search_path = ''
as $$
  select format('row(%s)::%s',
    string_agg(
      case when f.number is null then format('null::%s', format_type(a.atttypid, a.atttypmod))
        else private.typed_value(f, p_refuse) end, ', ' order by a.attnum),
    p_type)
  from pg_attribute as a
  left join unnest(p_fields) as f on f.column_name = a.attname
  where a.attrelid = p_type and a.attnum > 0 and not a.attisdropped;
$$;

-- Issues that the dataset's check function finds among the rows after $3, to $4, of batch $2, staged on $1, for
-- organization $5. It gets those that have no error yet.
create function private.compile_check(p_dataset public.datasets, p_mode public.import_mode, p_fields private.planned_field[])
returns text
language sql stable
security invoker
set search_path = ''
as $$
  select format($q$
with %ss as materialized (
  select array_agg(r.row_number order by r.row_number) as numbers, array_agg(%s order by r.row_number) as rows
  from private.import_rows as r
  where r.staged_on = $1 and r.batch_id = $2 and r.row_number > $3 and r.row_number <= $4
    and r.row_number not in (
      select i.row_number from private.import_issues as i
      where i.staged_on = $1 and i.batch_id = $2 and i.row_number > $3 and i.row_number <= $4 and i.severity = 'error'
    )
)
insert into private.import_issues (staged_on, batch_id, row_number, field, code, message, value, origin)
select $1, $2, s.numbers[i.place], i.field, i.code, i.message, case when (i.field = any (%L)) is not true then left(i.value, 200) end, 'validate'
from s
cross join lateral %s($5, %L, s.rows) as i
where s.numbers is not null $q$,
    private.compile_references(p_fields,
      '(select i.cells from private.import_rows as i where i.staged_on = $1 and i.batch_id = $2 and i.row_number > $3 and i.row_number <= $4) as r',
      '(select $5::uuid)'),
    private.row_expression(private.apply_row_type(p_dataset.apply_function), p_fields, false),
    array(select f.name from unnest(p_fields) as f where f.is_secret), p_dataset.check_function, p_mode);
$$;

-- Where a function writes: three statements, which private.apply_by_function() runs for the rows after $2, to $3,
-- of batch $1, organization $4. keys: the key of each row; state: records $2 of organization $1 with hash and
-- image; call: the dataset's function, mode $5, for the records whose keys are in $6 (or not, as $7 says).
create function private.compile_apply_by_function(
  p_dataset public.datasets, p_mode public.import_mode, p_blank text, p_fields private.planned_field[]
)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_key    private.planned_field := (select f from unnest(p_fields) as f where f.name = any (private.record_key(p_dataset)));
  v_type   regclass := private.apply_row_type(p_dataset.apply_function);
  v_clear  text[] := array(
    select f.column_name from unnest(p_fields) as f where p_blank = 'clear' and not f.not_null order by f.number
  );
begin
  return format('select p.* from private.apply_by_function($1, $2, $3, $4, %L, %L, %L, %L) as p',
    p_mode,
    format('select array_agg((%s)::%s::text order by r.row_number), array_agg(r.row_number order by r.row_number)'
      ' from private.staged_rows($1, $2, $3) as r', v_key.value, v_key.type),
    format('select t.%1$I::text, t.%2$I, %3$s, %4$s from %5$s as t where %6$s and t.%1$I = any ($2::%7$s[]) order by t.%1$I',
      v_key.column_name, p_dataset.id_column, private.record_hash(p_dataset), private.record_image(p_dataset),
      p_dataset.target, private.of_organization('t', p_dataset.org_column, '(select $1::uuid)'), v_key.type),
    format('%sselect %s($4, $5, %L, array_agg(%s order by r.row_number)) from private.staged_rows($1, $2, $3) as r'
      ' where ((%s)::%s::text = any ($6)) = $7 having count(*) > 0',
      private.with_references(p_fields, 'private.staged_rows'),
      p_dataset.apply_function, v_clear, private.row_expression(v_type, p_fields, true), v_key.value, v_key.type));
end;
$$;

revoke all on all functions in schema private from public;
