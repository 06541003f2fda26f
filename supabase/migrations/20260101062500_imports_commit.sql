-- Applying: a range of valid rows becomes records, with the actor's rights; each row gets its outcome.
-- Needs: imports_tasks.
-- Exposes: nothing to clients. private.run_commit() to the job type commit.

-- Rows of a range that may be applied: without an error, not passed over as a duplicate.
create function private.valid_rows(p_staged_on date, p_batch_id uuid, p_from_row integer, p_to_row integer)
returns table (row_number integer, cells text[])
language plpgsql stable
security invoker
rows 20000
set search_path = ''
set enable_nestloop = off -- see run_validation
set enable_hashjoin = on
as $$
begin
  return query
  select r.row_number, r.cells
  from private.import_rows as r
  where r.staged_on = p_staged_on
    and r.batch_id = p_batch_id
    and r.row_number > p_from_row
    and r.row_number <= p_to_row
    and not exists (
      select from private.import_issues as i
      where i.staged_on = p_staged_on
        and i.batch_id = p_batch_id
        and i.row_number = r.row_number
        and i.row_number > p_from_row
        and i.row_number <= p_to_row
        and (i.severity = 'error' or i.code = 'duplicate_in_file')
    );
end;
$$;

-- The same for the merge, which runs as the actor: with the ids of their records where the plan has to
-- look them up. Definer: staged rows are closed to the actor, who must be the one whom a running
-- commit of the batch works for.
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
  v_staged_on date;
  v_plan      private.import_plans;
begin
  select b.staged_on into v_staged_on
  from public.import_batches as b
  join public.scheduled_jobs as j
    on j.batch_id = b.id and j.job_type = 'commit' and j.status = 'running'
    and j.actor is not distinct from auth.uid() and (j.run_as = 'service') = private.is_service_caller()
  where b.id = p_batch_id;
  if not found then
    raise exception using errcode = 'IM001', message = 'no running commit of this import is the caller''s';
  end if;

  select p.* into v_plan from private.import_plans as p where p.batch_id = p_batch_id;
  if v_plan.lookup_sql is null then
    return query
    select v.row_number, v.cells, null::uuid
    from private.valid_rows(v_staged_on, p_batch_id, p_from_row, p_to_row) as v;
  else
    return query execute v_plan.lookup_sql using v_staged_on, p_batch_id, p_from_row, p_to_row, v_plan.org_id;
  end if;
end;
$$;

-- What one merge did, as arrays that run in parallel.
create type private.applied_piece as (
  row_numbers     integer[],
  actions         private.row_action[],
  record_ids      uuid[],
  row_hashes      bigint[],
  images          jsonb[],
  overtaken_count bigint
);
create type private.refused_row as (
  row_number      integer,
  sqlstate        text,
  message         text,
  column_name     text,
  constraint_name text
);
create type private.applied_range as (
  pieces  private.applied_piece[],
  refused private.refused_row[],
  missing integer[],
  reached integer -- how far it came
);

-- Errors that are not about a row: the task fails as a whole and the retry policy decides.
create function private.is_row_error(p_sqlstate text)
returns boolean
language sql immutable
security invoker
set search_path = ''
as $$
  select p_sqlstate in ('42501', '54000') -- row security; too long for an index
    or left(p_sqlstate, 2) <> all ('{08,0A,25,26,28,2D,40,42,53,54,55,57,58,F0,HV,IM,XX}');
$$;

-- The current role has the rights that the plan needs on the table as such.
create function private.has_table_right(p_plan private.import_plans)
returns boolean
language sql stable
security invoker
set search_path = ''
as $$
  select (p_plan.mode <> 'delete' or has_table_privilege(current_user, p_plan.target, 'delete'))
    and not exists (
      select from unnest(p_plan.insert_columns) as c
      where not has_column_privilege(current_user, p_plan.target, c, 'insert')
    )
    and not exists (
      select from unnest(p_plan.update_columns) as c
      where not has_column_privilege(current_user, p_plan.target, c, 'update')
    );
$$;

-- Applies a range with the rights of the current role and claims. The whole range in one merge; if
-- PostgreSQL refuses it, in windows: a quarter after a refusal, double after a success, and after a
-- refused row as wide as the distance to the one before. After 20 seconds it stops where it is.
create function private.apply_rows(p_plan private.import_plans, p_from_row integer, p_to_row integer)
returns private.applied_range
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  c_patience constant interval := '20 seconds';
  v_range   private.applied_range;
  v_piece   private.applied_piece;
  v_refused private.refused_row;
  v_from    integer := p_from_row;
  v_to      integer;
  v_last    integer := p_from_row; -- the last refused row
  v_width   integer := p_to_row - p_from_row;
  v_merges  integer := 0;
  v_again   integer; -- a row that somebody else inserted meanwhile: merged once more
  v_until   timestamptz := clock_timestamp() + c_patience;
begin
  while v_from < p_to_row and (v_from = p_from_row or clock_timestamp() < v_until) loop
    v_to := least(v_from + v_width, p_to_row);
    v_merges := v_merges + 1;
    begin
      if v_merges = 1 then
        execute p_plan.merge_sql into v_piece using p_plan.batch_id, v_from, v_to, p_plan.org_id;
      else
        execute format('execute apply_rows (%L, %s, %s, %L)', p_plan.batch_id, v_from, v_to, p_plan.org_id) into v_piece;
      end if;
      if v_piece.overtaken_count > 0 then
        raise exception using errcode = '40001', message = 'a record changed while it was imported';
      end if;
      set constraints all immediate; -- deferred ones speak here, where the row can be found

      v_range.pieces := array_append(v_range.pieces, v_piece);
      v_from  := v_to;
      v_width := v_width * 2;
    exception when others then
      get stacked diagnostics
        v_refused.sqlstate        = returned_sqlstate,
        v_refused.message         = message_text,
        v_refused.column_name     = column_name,
        v_refused.constraint_name = constraint_name;

      if not private.is_row_error(v_refused.sqlstate)
        or (v_refused.sqlstate = '42501' and not private.has_table_right(p_plan)) then
        raise;
      end if;

      if v_merges = 1 then
        -- Prepared: a small merge takes longer to plan than to run. What an earlier error left is
        -- still there: prepared statements survive a rollback.
        if exists (select from pg_prepared_statements as s where s.name = 'apply_rows') then
          deallocate apply_rows;
        end if;
        execute 'prepare apply_rows (uuid, integer, integer, uuid) as ' || p_plan.merge_sql;
      end if;

      if v_to - v_from > 1 then
        v_width := greatest((v_to - v_from) / 4, 1);
      elsif v_refused.constraint_name = p_plan.key_index and v_again is distinct from v_to then
        v_again := v_to;
      else
        v_refused.row_number := v_to;
        v_range.refused := array_append(v_range.refused, v_refused);
        v_width := greatest(v_from - v_last, 1);
        v_last  := v_to;
        v_from  := v_to;
      end if;
    end;
  end loop;

  v_range.reached := v_from;
  if p_plan.missing_sql is not null then
    execute p_plan.missing_sql into v_range.missing using p_plan.batch_id, p_from_row, v_from, p_plan.org_id;
  end if;
  if v_merges > 1 then
    deallocate apply_rows;
  end if;
  return v_range;
end;
$$;

-- Role and planner are settings of these functions, so they end with them, also on an error. They must
-- be invoker: a definer may not change role. The planner is held to the index: left alone it hashes
-- the whole target for every chunk.
create function private.apply_rows_as_user(p_plan private.import_plans, p_from_row integer, p_to_row integer)
returns private.applied_range
language sql volatile
security invoker
set search_path = ''
set role = authenticated
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_material = off
set jit = off
set work_mem = '64MB'
set timezone = 'UTC'
set datestyle = 'ISO, MDY'
as $$
  select a.* from private.apply_rows(p_plan, p_from_row, p_to_row) as a;
$$;

create function private.apply_rows_as_service(p_plan private.import_plans, p_from_row integer, p_to_row integer)
returns private.applied_range
language sql volatile
security invoker
set search_path = ''
set role = service_role
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_bitmapscan = off
set enable_material = off
set jit = off
set work_mem = '64MB'
set timezone = 'UTC'
set datestyle = 'ISO, MDY'
as $$
  select a.* from private.apply_rows(p_plan, p_from_row, p_to_row) as a;
$$;

-- The pieces of a range as one. A range that was not refused, the rule, is one piece.
create function private.join_pieces(p_pieces private.applied_piece[])
returns private.applied_piece
language plpgsql immutable
security invoker
set search_path = ''
as $$
declare
  v_all private.applied_piece;
begin
  if cardinality(p_pieces) = 1 then
    v_all := p_pieces[1];
  else
    select
      array_agg(a.row_number), array_agg(a.action), array_agg(a.record_id), array_agg(a.row_hash), array_agg(a.image)
    into v_all.row_numbers, v_all.actions, v_all.record_ids, v_all.row_hashes, v_all.images
    from unnest(p_pieces) as p
    cross join lateral unnest(p.row_numbers, p.actions, p.record_ids, p.row_hashes, p.images)
      as a (row_number, action, record_id, row_hash, image);
  end if;
  v_all.row_numbers := coalesce(v_all.row_numbers, '{}');
  v_all.actions     := coalesce(v_all.actions, '{}');
  v_all.record_ids  := coalesce(v_all.record_ids, '{}');
  v_all.row_hashes  := coalesce(v_all.row_hashes, '{}');
  v_all.images      := coalesce(v_all.images, '{}');
  return v_all;
end;
$$;

create function private.run_commit(p_task public.sync_job_queue)
returns private.task_result
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_job     public.scheduled_jobs;
  v_batch   public.import_batches;
  v_plan    private.import_plans;
  v_range   private.applied_range;
  v_all     private.applied_piece;
  v_outcome private.import_outcomes;
  v_failed  integer;
  v_absent  integer[] := '{}';
  v_middle  integer;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id;
  select b.* into v_batch from public.import_batches as b where b.id = v_job.batch_id;
  select p.* into v_plan from private.import_plans as p where p.batch_id = v_batch.id;
  perform private.require_import_right(v_batch);

  v_range := case v_job.run_as
    when 'user' then private.apply_rows_as_user(v_plan, p_task.from_row, p_task.to_row)
    else private.apply_rows_as_service(v_plan, p_task.from_row, p_task.to_row)
  end;
  v_all := private.join_pieces(v_range.pieces);

  -- Again: who lost the right meanwhile saw no record, or was refused each row. That is not the rows' fault.
  perform private.require_import_right(v_batch);

  -- A trigger of the statement refuses windows without a valid row as well: those rows have their fate already.
  if v_range.refused is not null then
    v_range.refused := nullif(array(
      select r
      from unnest(v_range.refused) as r
      join private.valid_rows(v_batch.staged_on, v_batch.id, p_task.from_row, v_range.reached) as v on v.row_number = r.row_number
      order by r.row_number
    ), '{}');
  end if;

  v_failed := private.failed_row_count(v_batch, p_task.from_row, v_range.reached);
  v_outcome.skipped_rows := array(
    select distinct i.row_number
    from private.import_issues as i
    where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id
      and i.row_number > p_task.from_row and i.row_number <= v_range.reached
      and i.code = 'duplicate_in_file' and i.severity = 'warning'
      and not exists (
        select from private.import_issues as e
        where e.staged_on = v_batch.staged_on and e.batch_id = v_batch.id
          and e.row_number = i.row_number and e.severity = 'error'
      )
    order by i.row_number
  );

  -- Valid rows that the merge returned nothing for: there already (insert), not there (delete, update),
  -- or unchanged.
  v_outcome.unchanged_count := v_range.reached - p_task.from_row - v_failed
    - cardinality(v_outcome.skipped_rows) - cardinality(v_all.row_numbers) - coalesce(cardinality(v_range.refused), 0);
  if v_outcome.unchanged_count > 0 and v_batch.mode in ('insert', 'delete') then
    v_absent := array(
      select v.row_number from private.valid_rows(v_batch.staged_on, v_batch.id, p_task.from_row, v_range.reached) as v
      except select unnest(v_all.row_numbers)
      except select r.row_number from unnest(v_range.refused) as r
      order by 1
    );
  elsif v_batch.mode = 'update' then
    v_absent := array(
      select unnest(v_range.missing) except select r.row_number from unnest(v_range.refused) as r order by 1
    );
  end if;

  insert into private.import_issues
    (staged_on, batch_id, row_number, field, code, message, sqlstate, constraint_name, origin)
  select
    v_batch.staged_on, v_batch.id, r.row_number, nullif(r.column_name, ''),
    case r.sqlstate when '42501' then 'permission_denied' else 'constraint_violation' end,
    r.message, r.sqlstate, nullif(r.constraint_name, ''), 'commit'
  from unnest(v_range.refused) as r;

  if cardinality(v_absent) > 0 then
    execute format(
      'insert into private.import_issues (staged_on, batch_id, row_number, field, code, message, value, origin)
       select $1, $2, k.row_number, $4, $5, $6, left(k.key, 200), ''commit'' from (%s) as k (row_number, key)', v_plan.keys_sql)
    using v_batch.staged_on, v_batch.id, v_absent,
      (select array_to_string(d.key_fields, ', ') from public.datasets as d where d.key = v_batch.dataset),
      case v_batch.mode when 'insert' then 'already_exists' else 'not_found' end,
      case v_batch.mode when 'insert' then 'a record with this key exists' else 'no record has this key' end;
  end if;

  if (v_job.params ->> 'whole')::boolean and (v_range.reached < p_task.to_row or v_range.refused is not null or v_absent <> '{}') then
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
    v_outcome.skipped_rows,
    cardinality(array_positions(v_all.actions, 'inserted')),
    cardinality(array_positions(v_all.actions, 'updated')),
    cardinality(array_positions(v_all.actions, 'deleted')),
    v_outcome.unchanged_count - cardinality(v_absent),
    coalesce(cardinality(v_range.refused), 0) + cardinality(v_absent)
  );

  -- Out of patience: the rest in two tasks.
  if v_range.reached < p_task.to_row then
    v_middle := ceil((p_task.to_row - v_range.reached) / 2.0);
    perform private.enqueue_tasks(v_job, p_task.task_type, v_range.reached, p_task.to_row, v_middle);
  end if;

  return row(
    v_range.reached - p_task.from_row,
    v_failed + coalesce(cardinality(v_range.refused), 0) + cardinality(v_absent)
  );
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
grant execute on function
  private.is_row_error(text), private.has_table_right(private.import_plans),
  private.apply_rows(private.import_plans, integer, integer), private.staged_rows(uuid, integer, integer)
  to authenticated, service_role;
