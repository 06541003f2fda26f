-- Committing: a range of valid rows becomes records; each row gets its outcome.
-- Needs: imports_redaction, imports_apply.
-- Exposes: nothing to clients. private.run_commit() to the job type commit.

-- What became of the rows of a range that the merge returned nothing for.
create type private.range_fates as (
  total     integer, -- of all rows
  failed    integer, -- before the merge
  skipped   integer[],
  refused   private.refused_fate[],
  absent    integer[], -- there already (insert), not there (update, delete)
  unchanged integer
);

create function private.judge_range(
  p_batch public.import_batches, p_from_row integer, p_reached integer, p_acted integer[], p_refused private.refused_row[], p_missing integer[]
)
returns private.range_fates
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_fates private.range_fates;
begin
  -- Of the record's rows the first valid one tells why, the others that they go with it. A trigger of the
  -- statement refuses windows without a valid row as well: those rows have their fate already.
  v_fates.refused := '{}';
  if p_refused is not null then
    v_fates.refused := array(
      select row(
        v.row_number, r.sqlstate, r.message, r.column_name, r.constraint_name,
        nullif(first_value(v.row_number) over (partition by v.record_row order by v.row_number), v.row_number)
      )::private.refused_fate
      from unnest(p_refused) as r
      join private.valid_rows(p_batch.id, p_from_row, p_reached) as v on v.record_row = r.row_number
      order by v.row_number
    );
  end if;

  select f.total, f.failed, f.skipped into v_fates.total, v_fates.failed, v_fates.skipped
  from private.chunk_fates(p_batch, p_from_row, p_reached) as f;
  v_fates.absent := '{}';
  v_fates.unchanged := v_fates.total - v_fates.failed - cardinality(v_fates.skipped) - cardinality(p_acted) - cardinality(v_fates.refused);
  if v_fates.unchanged > 0 and p_batch.mode in ('insert', 'delete') then
    v_fates.absent := array(
      select v.row_number from private.valid_rows(p_batch.id, p_from_row, p_reached) as v
      except select unnest(p_acted)
      except select r.row_number from unnest(v_fates.refused) as r
      order by 1
    );
  elsif p_batch.mode = 'update' then
    v_fates.absent := array(
      select unnest(p_missing) except select r.row_number from unnest(v_fates.refused) as r order by 1
    );
  end if;
  v_fates.unchanged := v_fates.unchanged - cardinality(v_fates.absent);
  return v_fates;
end;
$$;

-- The issues of refused and absent rows. What a dry run found fails no row.
create function private.report_fates(
  p_batch public.import_batches, p_plan private.import_plans, p_fates private.range_fates, p_origin private.issue_origin
)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_severity private.issue_severity := case p_origin when 'dry_run' then 'warning' else 'error' end;
begin
  insert into private.import_issues
    (staged_on, batch_id, row_number, field, severity, code, message, sqlstate, constraint_name, origin)
  select
    p_batch.staged_on, p_batch.id, r.row_number,
    case when r.cause is null then nullif(r.column_name, '') end,
    v_severity,
    case
      when r.cause is not null then 'group_failed'
      when r.sqlstate = '42501' then 'permission_denied'
      when r.sqlstate = 'IR001' then r.constraint_name
      else 'constraint_violation'
    end,
    case when r.cause is null then private.shown_message(p_batch.dataset, r.sqlstate, r.message) else format('fails with its record: row %s', r.cause) end,
    case when r.cause is null then r.sqlstate end,
    case when r.cause is null and r.sqlstate <> 'IR001' then nullif(r.constraint_name, '') end,
    p_origin
  from unnest(p_fates.refused) as r;

  if cardinality(p_fates.absent) > 0 then
    execute format(
      'insert into private.import_issues (staged_on, batch_id, row_number, field, severity, code, message, value, origin)
       select $1, $2, k.row_number, $4, $7, $5, $6, left(k.key, 200), $8 from (%s) as k (row_number, key)', p_plan.keys_sql)
    using p_batch.staged_on, p_batch.id, p_fates.absent,
      (select array_to_string(d.key_fields, ', ') from public.datasets as d where d.key = p_batch.dataset),
      case p_batch.mode when 'insert' then 'already_exists' else 'not_found' end,
      case p_batch.mode when 'insert' then 'a record with this key exists' else 'no record has this key' end,
      v_severity, p_origin;
  end if;
end;
$$;

-- What a dry run said of the rows of a chunk is out of date.
create function private.drop_findings(p_batch public.import_batches, p_from_row integer, p_to_row integer)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  if not exists (select from public.scheduled_jobs as j where j.batch_id = p_batch.id and j.job_type = 'dry_run') then
    return;
  elsif private.has_groups(p_batch.id) then
    delete from private.import_issues as i
    using private.chunk_rows(p_batch.staged_on, p_batch.id, p_from_row, p_to_row) as c
    where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id and i.row_number = c.row_number
      and i.origin = 'dry_run';
  else
    delete from private.import_issues as i
    where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id
      and i.row_number > p_from_row and i.row_number <= p_to_row
      and i.origin = 'dry_run';
  end if;
end;
$$;

create function private.run_commit(p_task public.sync_job_queue)
returns private.task_result
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_job    public.scheduled_jobs;
  v_batch  public.import_batches;
  v_plan   private.import_plans;
  v_range  private.applied_range;
  v_all    private.applied_piece;
  v_fates  private.range_fates;
  v_middle integer;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id;
  select b.* into v_batch from public.import_batches as b where b.id = v_job.batch_id;
  select p.* into v_plan from private.import_plans as p where p.batch_id = v_batch.id;
  perform private.require_import_right(v_batch);

  v_range := private.apply_as(v_job.run_as, v_plan, v_plan.merge_sql, p_task.from_row, p_task.to_row);
  v_all := private.join_pieces(v_range.pieces);

  -- Again: who lost the right meanwhile saw no record, or was refused each row. That is not the rows' fault.
  perform private.require_import_right(v_batch);

  v_fates := private.judge_range(v_batch, p_task.from_row, v_range.reached, v_all.row_numbers, v_range.refused, v_range.missing);
  perform private.drop_findings(v_batch, p_task.from_row, v_range.reached);
  perform private.report_fates(v_batch, v_plan, v_fates, 'commit');

  if (v_job.params ->> 'whole')::boolean and (v_range.reached < p_task.to_row or v_fates.refused <> '{}' or v_fates.absent <> '{}') then
    raise exception using
      errcode = 'IM002',
      message = 'a row was refused, so nothing is applied',
      detail  = (
        select format('row %s: %s', i.row_number, i.message)
        from private.import_issues as i
        where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id and i.origin = 'commit'
        order by i.row_number
        limit 1
      ),
      hint    = 'Correct the row, or import with on_error=skip.';
  end if;

  insert into private.import_outcomes values (
    v_batch.staged_on, v_batch.id, p_task.from_row, v_range.reached,
    v_all.row_numbers, v_all.actions, v_all.record_ids, v_all.row_hashes, v_all.images,
    v_fates.skipped,
    cardinality(array_positions(v_all.actions, 'inserted')),
    cardinality(array_positions(v_all.actions, 'updated')),
    cardinality(array_positions(v_all.actions, 'deleted')),
    v_fates.unchanged,
    cardinality(v_fates.refused) + cardinality(v_fates.absent)
  );

  perform private.redact_rows(v_batch, p_task.from_row, v_range.reached);

  -- Out of patience: the rest in two tasks.
  if v_range.reached < p_task.to_row then
    v_middle := ceil((p_task.to_row - v_range.reached) / 2.0);
    perform private.enqueue_tasks(v_job, p_task.task_type, v_range.reached, p_task.to_row, v_middle);
  end if;

  return row(v_fates.total, v_fates.failed + cardinality(v_fates.refused) + cardinality(v_fates.absent));
end;
$$;

create function private.advance_commit(p_job public.scheduled_jobs)
returns boolean
language sql immutable
security invoker
set search_path = ''
as $$
  select true;
$$;

revoke all on all functions in schema private from public;
