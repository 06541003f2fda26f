-- The compiler, second part: the fields of a plan, with the expressions that all its statements are made of.
-- Needs: imports_plan.
-- Exposes: nothing to clients.
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
  is_secret   boolean,
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
    f.is_secret,
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

-- The condition that a record is of an organization; that of a view which shows no other needs none.
create function private.of_organization(p_alias text, p_org_column text, p_organization text)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select case when p_org_column is null then 'true' else format('%s.%I = %s', p_alias, p_org_column, p_organization) end;
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
    '(select jsonb_object_agg(x.%1$I::text, x.%2$I) from %3$s as x where %4$s and x.%1$I = any (array(select distinct %5$s from %6$s))) as _%7$s',
    f.reference ->> 'column', f.reference ->> 'id_column', f.reference ->> 'target',
    private.of_organization('x', f.reference ->> 'org_column', p_organization),
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

-- For apply functions: the row that is written cannot be, for a reason that has a code of its own. The engine finds
-- the row, tries the others without it, and makes this its issue. The message is constant, p_detail goes to logs alone.
create function private.refuse_row(p_code text, p_field text, p_message text, p_detail text default null)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  raise exception using
    errcode    = 'IR001',
    message    = p_message,
    detail     = coalesce(p_detail, ''),
    column     = coalesce(p_field, ''),
    constraint = p_code;
end;
$$;

-- Somebody deleted the record since the rows were validated, or the actor may not see it.
create function private.refuse_reference(p_field text, p_label text, p_value text)
returns uuid
language plpgsql immutable
security invoker
set search_path = ''
as $$
begin
  perform private.refuse_row('reference_not_found', p_field, format('no record of %s has this key', p_label), p_value);
  return null;
end;
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

revoke all on all functions in schema private from public;
grant execute on function private.refuse_row(text, text, text, text), private.refuse_reference(text, text, text)
  to authenticated, service_role;
