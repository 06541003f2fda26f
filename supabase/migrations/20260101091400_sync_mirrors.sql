-- Mirrors: which records a source has delivered, and which of them it no longer has.
-- Needs: sync_fetch, imports_compile.
-- Exposes: nothing to clients.

-- No foreign keys: the record is in the table of its dataset, and that of the source would be checked once a row.
create table private.sync_records (
  source_id uuid not null,
  record_id uuid not null,

  primary key (source_id, record_id)
);
comment on table private.sync_records is 'What each mirror has delivered: what it may delete when the source no longer has it.';
create index sync_records_record_id_idx on private.sync_records (record_id);

-- Definer: with an organization its sources go, too.
create function private.tg_sync_sources__forget_records()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  delete from private.sync_records as s where s.source_id = old.id;
  return null;
end;
$$;

create trigger _500_forget_records
  after delete on public.sync_sources
  for each row execute function private.tg_sync_sources__forget_records();

-- Ids of the records that rows of batch $1, $2 name, of organization $3, whatever else is wrong with those rows; the ones that
-- are valid where p_valid. A row whose key cannot be read names none.
create function private.compile_presence(p_batch public.import_batches, p_valid boolean)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_dataset public.datasets := (select d from public.datasets as d where d.key = p_batch.dataset);
  v_fields  private.planned_field[] := array(
    select f from unnest(private.planned_fields(p_batch)) as f where f.name = any (private.record_key(v_dataset)) order by f.number
  );
  v_keys    text;
  v_match   text;
begin
  select
    string_agg(format('%s as _%s', k.value, f.number), ', ' order by f.number),
    string_agg(format('t.%I = %s', f.column_name, case
      when f.reference is null then 'k._' || f.number
      else private.reference_lookup(f, 'k._' || f.number) end), ' and ' order by f.number)
  into v_keys, v_match
  from unnest(v_fields) as f
  cross join lateral (select private.readable_key(f) as value) as k;

  return format($q$
with %sk as materialized (
  select distinct %s
  from private.import_rows as r
  where r.staged_on = $1 and r.batch_id = $2%s
)
select t.%I as id from k join %s as t on %s and %s $q$,
    private.compile_references(v_fields,
      '(select i.cells from private.import_rows as i where i.staged_on = $1 and i.batch_id = $2) as r', '(select $3::uuid)'),
    v_keys,
    case when p_valid then ' and not exists (select from private.import_issues as e where e.staged_on = $1 and e.batch_id = $2'
      ' and e.row_number = r.row_number and e.severity = ''error'')' else '' end,
    v_dataset.id_column, v_dataset.target, private.of_organization('t', v_dataset.org_column, '(select $3::uuid)'), v_match);
end;
$$;

-- A key field's value in its type; null where it has none.
create function private.readable_key(p_field private.planned_field)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select case p_field.class
    when 'text' then p_field.value
    else format('case when pg_input_is_valid(%1$s, %2$L) then (%1$s)::%2$s end', p_field.value, p_field.type)
  end;
$$;

-- The rows whose key cannot be read: what the source lacks is not known then.
create function private.keyless_count(p_batch public.import_batches)
returns integer
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_condition text;
  v_count     integer;
begin
  select string_agg(format('%s is null', private.readable_key(f)), ' or ') into v_condition
  from unnest(private.planned_fields(p_batch)) as f
  join public.datasets as d on d.key = p_batch.dataset and f.name = any (private.record_key(d));
  execute format('select count(*) from private.import_rows as r where r.staged_on = $1 and r.batch_id = $2 and (%s)', v_condition)
  into v_count using p_batch.staged_on, p_batch.id;
  return v_count;
end;
$$;

-- The records that the source delivered before and no longer has; known: how many it delivered that are there; shared:
-- those that it no longer has but another source does, which stay.
create function private.missing_records(
  p_source public.sync_sources, p_batch public.import_batches, out known integer, out missing uuid[], out shared uuid[]
)
language plpgsql stable
security invoker
set search_path = ''
set enable_nestloop = off -- nobody has statistics of what was just staged and recorded
set jit = off
set work_mem = '64MB'
as $$
declare
  v_dataset public.datasets := (select d from public.datasets as d where d.key = p_batch.dataset);
begin
  perform private.require_rows(p_batch); -- else it lacks everything
  execute format($q$
select count(*), coalesce(array_agg(s.record_id) filter (where p.id is null and not o.is_shared), '{}'),
  coalesce(array_agg(s.record_id) filter (where p.id is null and o.is_shared), '{}')
from private.sync_records as s
cross join lateral (
  select exists (
    select from private.sync_records as x where x.record_id = s.record_id and x.source_id <> s.source_id
  ) as is_shared
) as o
join %s as t on t.%I = s.record_id and %s
left join (%s) as p on p.id = s.record_id
where s.source_id = $4 $q$,
    v_dataset.target, v_dataset.id_column, private.of_organization('t', v_dataset.org_column, '(select $3::uuid)'),
    private.compile_presence(p_batch, false))
  into known, missing, shared
  using p_batch.staged_on, p_batch.id, p_batch.org_id, p_source.id;
end;
$$;

-- Remembers what was delivered: the records of valid rows. Forgets what is gone.
create function private.remember_records(p_source public.sync_sources, p_batch public.import_batches)
returns void
language plpgsql volatile
security invoker
set search_path = ''
set enable_nestloop = off -- as above
set jit = off
set work_mem = '64MB'
as $$
declare
  v_dataset public.datasets := (select d from public.datasets as d where d.key = p_batch.dataset);
begin
  execute format('insert into private.sync_records (source_id, record_id) select $4, p.id from (%s) as p'
    ' where not exists (select from private.sync_records as s where s.source_id = $4 and s.record_id = p.id)'
    ' order by p.id on conflict do nothing', -- in the order of the indexes
    private.compile_presence(p_batch, true))
  using p_batch.staged_on, p_batch.id, p_batch.org_id, p_source.id;

  execute format('delete from private.sync_records as s where s.source_id = $1 and not exists (select from %s as t where t.%I = s.record_id)',
    v_dataset.target, v_dataset.id_column)
  using p_source.id;
end;
$$;

-- Stages the deletion of what is missing. Where that is more than was shown before the commit it is judged anew, and asks.
create function private.record_delivery(p_run public.sync_runs, p_source public.sync_sources)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_dataset public.datasets := (select d from public.datasets as d where d.key = p_source.dataset);
  v_batch   public.import_batches := (select b from public.import_batches as b where b.id = p_run.import_id);
  v_found   record;
  v_reason  text;
  v_fields  text[];
  v_keys    text;
  v_delete  public.import_batches;
begin
  perform private.remember_records(p_source, v_batch);
  select m.* into v_found from private.missing_records(p_source, v_batch) as m;
  delete from private.sync_records as s where s.source_id = p_source.id and s.record_id = any (v_found.shared);
  if v_found.missing = '{}' then
    return '{"missing": 0}';
  elsif cardinality(v_found.missing) > coalesce(p_run.deletion_count, 0) then
    v_reason := coalesce(
      private.deletion_reason(p_source, v_found.known, cardinality(v_found.missing), private.keyless_count(v_batch)),
      case when p_source.requires_approval then 'approval_required' end);
    if v_reason is not null then
      return jsonb_build_object('missing', cardinality(v_found.missing), 'known', v_found.known, 'asks', v_reason);
    end if;
  end if;

  select
    array_agg(f.name order by f.position),
    string_agg(case
      when r.key is null then format('t.%I::text', f.column_name)
      else format('(select x.%I::text from %s as x where x.%I = t.%I)', k.column_name, r.target, r.id_column, f.column_name)
    end, ', ' order by f.position)
  into v_fields, v_keys
  from public.dataset_fields as f
  left join public.datasets as r on r.key = f.reference ->> 'dataset'
  left join public.dataset_fields as k on k.dataset = r.key and k.name = f.reference ->> 'field'
  where f.dataset = p_source.dataset and f.name = any (private.record_key(v_dataset));

  v_delete := private.create_sync_import(p_run, p_source, 'delete', p_source.name,
    (select jsonb_object_agg(f, f) from unnest(v_fields) as f));
  execute format('insert into private.import_rows (staged_on, batch_id, row_number, line_number, cells)'
    ' select $1, $2, row_number() over (order by t.%1$I), row_number() over (order by t.%1$I), array[%2$s] from %3$s as t where t.%1$I = any ($3)',
    v_dataset.id_column, v_keys, v_dataset.target)
  using v_delete.staged_on, v_delete.id, v_found.missing;
  perform private.end_staging(
    v_delete, v_fields, cardinality(v_found.missing), 0, encode(sha256(convert_to(v_delete.id::text, 'utf8')), 'hex'),
    private.first_rows(v_delete, v_fields), '{"kind": "table"}');
  return jsonb_build_object('missing', cardinality(v_found.missing), 'delete_import_id', v_delete.id);
end;
$$;

create function private.deletion_reason(p_source public.sync_sources, p_known integer, p_missing integer, p_keyless integer)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select case
    when p_missing = 0 then null
    when p_keyless > 0 then 'rows_without_key'
    when 100.0 * p_missing > p_source.max_delete_percent * p_known then 'too_many_deletions'
  end;
$$;

revoke all on private.sync_records from public, anon, authenticated, service_role;
revoke all on all functions in schema private from public;
