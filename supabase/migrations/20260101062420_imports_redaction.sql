-- Redaction: staged secrets go with the chunk that applied them, or when nothing will apply them any more.
-- Needs: imports_secrets, imports_chunks.
-- Exposes: nothing to clients.

-- Takes what is not shown from the staged rows of a chunk, where it is still there.
create function private.redact_rows(p_batch public.import_batches, p_from_row integer, p_to_row integer)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_shown text[];
  v_cells text;
begin
  if not private.has_secrets(p_batch.dataset) then
    return;
  end if;

  v_shown := private.shown_columns(p_batch);
  select format('array[%s]::text[]',
    string_agg(case when c.name = any (v_shown) then format('r.cells[%s]', c.position) else 'null' end, ', ' order by c.position))
  into v_cells
  from unnest(p_batch.columns) with ordinality as c (name, position);

  if private.has_groups(p_batch.id) then
    execute format(
      'update private.import_rows as r set cells = %1$s from private.chunk_rows($1, $2, $3, $4) as c'
      ' where r.staged_on = $1 and r.batch_id = $2 and r.row_number = c.row_number and r.cells is distinct from %1$s', v_cells)
    using p_batch.staged_on, p_batch.id, p_from_row, p_to_row;
  else
    execute format(
      'update private.import_rows as r set cells = %1$s'
      ' where r.staged_on = $1 and r.batch_id = $2 and r.row_number > $3 and r.row_number <= $4 and r.cells is distinct from %1$s', v_cells)
    using p_batch.staged_on, p_batch.id, p_from_row, p_to_row;
  end if;
end;
$$;

-- From all of them: none is applied after this. Of a file without a header the names of columns are the first row's cells:
-- those that fill no field go as well, but for what a file of failed rows adds.
create function private.redact_import(p_batch public.import_batches)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  if p_batch.redacted_at is null and private.has_secrets(p_batch.dataset) then
    perform private.redact_rows(p_batch, 0, p_batch.row_count);
    update public.import_batches as b
    set redacted_at       = clock_timestamp(),
        suggested_mapping = null,
        columns           = array(
          select case
            when c.name ~ '^_+(row|line|reason)$' or exists (select from jsonb_each(b.mapping) as m where m.value -> 'columns' ? c.name)
              then c.name
            else format('column %s', c.position)
          end
          from unnest(b.columns) with ordinality as c (name, position)
          order by c.position
        )
    where b.id = p_batch.id;
  end if;
end;
$$;

-- At once, unless a request has no time for so many rows: then maintenance does it within the minute. Definer: staged
-- rows are closed.
create function private.tg_import_batches__redact()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  c_most constant integer := 100000; -- rows
begin
  if new.row_count <= c_most then
    perform private.redact_import(new);
  end if;
  return null;
end;
$$;

create trigger _500_redact
  after update of status on public.import_batches
  for each row when (old.status is distinct from new.status and new.status in ('cancelled', 'undone') and new.staged_at is not null)
  execute function private.tg_import_batches__redact();

-- Removes the secrets of one import that waited too long, also for its turn or for somebody to resume it: cancelled where it still could be
-- applied; what failed stays as it is, but cannot be tried again. And of one that was cancelled or undone and is too large
-- to be dealt with there. False: there is none, or its last task is in flight. For maintenance.
create function private.remove_waiting_secrets()
returns boolean
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_batch public.import_batches;
begin
  select b.* into v_batch
  from public.import_batches as b
  where b.dataset in (select f.dataset from public.dataset_fields as f where f.is_secret)
    and b.staged_at is not null
    and b.redacted_at is null
    and (b.status in ('cancelled', 'undone') or (
      coalesce(b.finished_at, b.validated_at, b.staged_at)
        < now() - make_interval(hours => private.setting('imports.secret_hours', b.org_id)::integer)
      and (b.status in ('staged', 'validated', 'failed') or exists (
        select from public.scheduled_jobs as j where j.batch_id = b.id and j.status in ('queued', 'paused') and j.job_type <> 'undo'
      ))
    ))
  order by b.staged_at
  limit 1;
  if not found then
    return false;
  end if;

  -- The job before the batch: in the order in which the workers lock them.
  perform private.cancel_job(j.id)
  from public.scheduled_jobs as j
  where j.batch_id = v_batch.id and j.status in ('queued', 'paused') and j.job_type <> 'undo';

  perform private.lock_organization(v_batch.org_id);
  select b.* into v_batch from public.import_batches as b where b.id = v_batch.id for no key update;
  case
    when v_batch.status in ('staged', 'validated') then
      update public.import_batches as b set status = 'cancelled' where b.id = v_batch.id;
    when v_batch.status in ('failed', 'cancelled', 'undone') then
      perform private.redact_import(v_batch);
    else
      return false;
  end case;
  return true;
end;
$$;

revoke all on all functions in schema private from public;
