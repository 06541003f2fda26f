-- Chunks: the staged rows that a task is about, and how they are served to the actor it works for.
-- Needs: imports_tasks.
-- Exposes: nothing to clients.

-- Rows of a range that may be applied: without an error, not passed over as a duplicate. Where several
-- rows make one record: of the records whose first row is in the range. record_row: that row.
create function private.valid_rows(p_batch_id uuid, p_from_row integer, p_to_row integer)
returns table (row_number integer, cells text[], record_row integer)
language plpgsql stable
security invoker
rows 20000
set search_path = ''
set enable_nestloop = off -- see run_validation
set enable_hashjoin = on
as $$
declare
  v_staged_on date := (select b.staged_on from public.import_batches as b where b.id = p_batch_id);
begin
  if private.has_groups(p_batch_id) then
    return query select g.* from private.valid_group_rows(v_staged_on, p_batch_id, p_from_row, p_to_row) as g;
    return;
  end if;

  return query
  select r.row_number, r.cells, r.row_number
  from private.import_rows as r
  where r.staged_on = v_staged_on
    and r.batch_id = p_batch_id
    and r.row_number > p_from_row
    and r.row_number <= p_to_row
    and not exists (
      select from private.import_issues as i
      where i.staged_on = v_staged_on
        and i.batch_id = p_batch_id
        and i.row_number = r.row_number
        and i.row_number > p_from_row
        and i.row_number <= p_to_row
        and (i.severity = 'error' or i.code = 'duplicate_in_file')
    );
end;
$$;

create function private.has_groups(p_batch_id uuid)
returns boolean
language sql stable
security invoker
set search_path = ''
as $$
  select exists (select from private.import_plans as p where p.batch_id = p_batch_id and p.group_sql is not null);
$$;

-- The numbers of the rows that a chunk is about, with that of their record's first row.
create function private.chunk_rows(p_staged_on date, p_batch_id uuid, p_from_row integer, p_to_row integer)
returns table (row_number integer, record_row integer)
language sql stable
security invoker
rows 20000
set search_path = ''
set enable_nestloop = on -- members lie anywhere in the file: index probes
set enable_seqscan = off
as $$
  select n, n
  from generate_series(p_from_row + 1, p_to_row) as n
  where not exists (
    select from private.import_group_rows as m
    where m.staged_on = p_staged_on and m.batch_id = p_batch_id and m.row_number = n
  )
  union all
  select m.row_number, m.first_row
  from private.import_group_rows as m
  where m.staged_on = p_staged_on and m.batch_id = p_batch_id and m.first_row > p_from_row and m.first_row <= p_to_row;
$$;

create function private.valid_group_rows(p_staged_on date, p_batch_id uuid, p_from_row integer, p_to_row integer)
returns table (row_number integer, cells text[], record_row integer)
language sql stable
security invoker
rows 20000
set search_path = ''
set enable_nestloop = on
set enable_hashjoin = off
set enable_seqscan = off
as $$
  select c.row_number, r.cells, c.record_row
  from private.chunk_rows(p_staged_on, p_batch_id, p_from_row, p_to_row) as c
  cross join lateral ( -- fenced: a batch that is new to the statistics would lead the join, as if it had one row
    select r.cells
    from private.import_rows as r
    where r.staged_on = p_staged_on and r.batch_id = p_batch_id and r.row_number = c.row_number
    offset 0
  ) as r
  where not exists (
    select from private.import_issues as i
    where i.staged_on = p_staged_on and i.batch_id = p_batch_id and i.row_number = c.row_number
      and (i.severity = 'error' or i.code = 'duplicate_in_file')
  );
$$;

-- How many rows a chunk has, how many of them failed, and which were passed over as duplicates.
create function private.chunk_fates(
  p_batch public.import_batches, p_from_row integer, p_to_row integer, out total integer, out failed integer, out skipped integer[]
)
language plpgsql stable
security invoker
set search_path = ''
as $$
begin
  if private.has_groups(p_batch.id) then
    select count(*), count(*) filter (where f.failed), coalesce(array_agg(c.row_number order by c.row_number) filter (where f.skipped), '{}')
    into total, failed, skipped
    from private.chunk_rows(p_batch.staged_on, p_batch.id, p_from_row, p_to_row) as c
    left join lateral (
      select bool_or(i.severity = 'error') as failed,
        bool_or(i.code = 'duplicate_in_file') and not bool_or(i.severity = 'error') as skipped
      from private.import_issues as i
      where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id and i.row_number = c.row_number
    ) as f on true;
  else
    select p_to_row - p_from_row, count(*) filter (where f.failed),
      coalesce(array_agg(f.row_number order by f.row_number) filter (where f.skipped), '{}')
    into total, failed, skipped
    from (
      select i.row_number, bool_or(i.severity = 'error') as failed,
        bool_or(i.code = 'duplicate_in_file') and not bool_or(i.severity = 'error') as skipped
      from private.import_issues as i
      where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id
        and i.row_number > p_from_row and i.row_number <= p_to_row
      group by i.row_number
    ) as f;
  end if;
end;
$$;

-- The batch, for the tasks that work for it as its actor. Definer functions that serve staged rows, outcomes
-- and locks to the actor ask here: the caller must be whom a running job of that kind works for.
create function private.require_running_job(p_batch_id uuid, p_job_types text[])
returns public.import_batches
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_batch public.import_batches;
begin
  select b.* into v_batch
  from public.import_batches as b
  join public.scheduled_jobs as j
    on j.batch_id = b.id and j.job_type = any (p_job_types) and j.finished_at is null -- a paused one ends what it is at
    and j.actor is not distinct from auth.uid() and (j.run_as = 'service') = private.is_service_caller()
  where b.id = p_batch_id;
  if not found then
    raise exception using errcode = 'IM001', message = 'no running job of this import is the caller''s';
  end if;
  return v_batch;
end;
$$;

-- The same for the merge, which runs as the actor: with the ids of their records where the plan has to
-- look them up. Definer: staged rows are closed to the actor.
create function private.staged_rows(p_batch_id uuid, p_from_row integer, p_to_row integer)
returns table (row_number integer, cells text[], record_id uuid)
language plpgsql stable
security definer
rows 20000
set search_path = ''
set enable_nestloop = on
set enable_seqscan = off
as $$
declare
  v_plan private.import_plans;
begin
  perform private.require_running_job(p_batch_id, '{validate,preview,dry_run,commit}');

  select p.* into v_plan from private.import_plans as p where p.batch_id = p_batch_id;
  if v_plan.lookup_sql is null then
    return query
    select v.row_number, v.cells, null::uuid
    from private.valid_rows(p_batch_id, p_from_row, p_to_row) as v;
  else
    return query execute v_plan.lookup_sql using p_batch_id, p_from_row, p_to_row, v_plan.org_id;
  end if;
end;
$$;

-- Locks records that a function writes before they are read, so that what is remembered of them is what was changed.
-- Definer: a lock takes the right to update, which who deletes need not have.
create function private.lock_records(p_batch_id uuid, p_keys text[])
returns void
language plpgsql volatile
security definer
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_batch   public.import_batches := private.require_running_job(p_batch_id, '{dry_run,commit}');
  v_dataset public.datasets;
  v_field   public.dataset_fields;
begin
  select d.* into v_dataset from public.datasets as d where d.key = v_batch.dataset;
  select f.* into v_field from public.dataset_fields as f where f.dataset = v_dataset.key and f.name = any (private.record_key(v_dataset));
  execute format('select from %1$s as t where %2$s and t.%3$I = any ($2::%4$s[]) order by t.%3$I for update',
    v_dataset.target, private.of_organization('t', v_dataset.org_column, '(select $1::uuid)'), v_field.column_name, v_field.type)
  using v_batch.org_id, p_keys;
end;
$$;

revoke all on all functions in schema private from public;
grant execute on function private.staged_rows(uuid, integer, integer), private.lock_records(uuid, text[]) to authenticated, service_role;
