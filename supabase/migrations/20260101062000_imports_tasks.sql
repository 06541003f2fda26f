-- What the tasks of an import do: who may start them, judging ranges and duplicates, and how they end.
-- Needs: jobs_worker, imports_compile. What a commit's tasks do is in imports_commit.
-- Exposes: nothing to clients. The job types validate and commit.

insert into private.job_types (job_type, run_function, advance_function, end_function, right_function) values
  ('validate', 'private.run_validation', 'private.advance_validation', 'private.end_import_job', 'private.require_import_job_right'),
  ('commit', 'private.run_commit', 'private.advance_commit', 'private.end_import_job', 'private.require_import_job_right');
insert into public.sync_retry_policy (job_type) values ('validate'), ('commit');

-- Rights ------------------------------------------------------------------------------------------

-- The caller may act on this import: its session is theirs or shared with them and they are still a member, or they
-- are an admin; of a dataset that is for admins they must be one.
-- Asked when a job starts and again before each of its chunks.
create function private.require_import_right(p_batch public.import_batches)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
begin
  if not exists (select from public.organization as o where o.id = p_batch.org_id and o.is_active) then
    raise exception using
      errcode = '42501',
      message = 'organization is not active',
      detail  = format('organization %s', p_batch.org_id);
  end if;
  perform private.require_org_role(p_batch.org_id, private.role_for(
    p_batch.dataset,
    case when p_batch.mode <> 'delete' and private.works_on_import(p_batch.id) then 'member' else 'admin' end::public.org_role
  ));
end;
$$;

-- Whoever may act on an import may act on its jobs.
create function private.require_import_job_right(p_job public.scheduled_jobs)
returns void
language sql stable
security invoker
set search_path = ''
as $$
  select private.require_import_right(b) from public.import_batches as b where b.id = p_job.batch_id;
$$;

-- It has its rows, and none of them was applied: another validation may go better.
create function private.failed_before_commit(p_batch public.import_batches)
returns boolean
language sql stable
security invoker
set search_path = ''
as $$
  select p_batch.status = 'failed' and p_batch.staged_at is not null and not exists (
    select from private.import_outcomes as o where o.staged_on = p_batch.staged_on and o.batch_id = p_batch.id
  );
$$;

-- Rows are kept for a time only. Definer: they are closed.
create function private.require_rows(p_batch public.import_batches)
returns void
language plpgsql stable
security definer
set search_path = ''
as $$
begin
  if p_batch.row_count > 0 and not exists (
    select from private.import_rows as r where r.staged_on = p_batch.staged_on and r.batch_id = p_batch.id
  ) then
    raise exception using
      errcode = 'PT409',
      message = 'rows of the import have expired',
      detail  = format('import %s was staged on %s', p_batch.id, p_batch.staged_on),
      hint    = 'Send the file again.';
  end if;
end;
$$;

-- An import whose file would be applied twice if it were applied again.
create function private.is_applicable(p_batch public.import_batches)
returns boolean
language sql immutable
security invoker
set search_path = ''
as $$
  select p_batch.status not in ('receiving', 'failed', 'cancelled', 'undone');
$$;

-- The same file is applied once, unless that is said to be meant.
create function private.require_other_file(p_batch public.import_batches)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_earlier public.import_batches;
begin
  select b.* into v_earlier
  from public.import_batches as b
  where b.id = p_batch.duplicate_of and private.is_applicable(b);
  if found then
    raise exception using
      errcode = 'PT409',
      message = 'file was imported before',
      detail  = format('import %s, %s on %s, is %s',
        v_earlier.id, coalesce(v_earlier.file_name, 'without a name'), v_earlier.created_at::date, v_earlier.status),
      hint    = 'Commit it with force if it is to be applied again; else cancel it.';
  end if;
end;
$$;

-- The job that failed the import and left tasks for another attempt.
create function private.failed_job(p_batch public.import_batches, p_job_type text)
returns public.scheduled_jobs
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_job public.scheduled_jobs;
begin
  select j.* into v_job
  from public.scheduled_jobs as j
  where j.batch_id = p_batch.id and j.params -> 'dry_run' is distinct from 'true' -- which changed nothing
  order by j.created_at desc
  limit 1;

  if (p_batch.status <> 'failed' and not (p_batch.status = 'validated' and private.is_preview(v_job)))
    or v_job.status is distinct from 'failed' or v_job.job_type <> p_job_type
    or not exists (select from public.sync_job_queue as q where q.job_id = v_job.id) then
    raise exception using
      errcode = 'PT409',
      message = 'nothing of the import can be tried again',
      detail  = format('import %s is %s', p_batch.id, p_batch.status) || coalesce(': ' || (p_batch.error ->> 'message'), ''),
      hint    = case
        when p_batch.status = 'failed' and p_batch.staged_at is null then 'Send the file again.'
        when private.failed_before_commit(p_batch) then
          'Change its mapping or options and validate it again, or send the corrected file as a new import.'
        when p_batch.status = 'failed' then 'Send what is left of the file as a new import.'
        when p_batch.status = 'staged' then 'Validate it.'
        when p_batch.status = 'validated' then 'Commit it.'
        when v_job.status = 'paused' then 'Resume it.'
        when v_job.id is not null and v_job.finished_at is null then 'Wait for the running job, or cancel it.'
        else 'It did not fail.'
      end;
  end if;
  return v_job;
end;
$$;

-- Starting ----------------------------------------------------------------------------------------

-- The import that a job is for: the caller's to act upon, held to the end of the transaction after its organization.
create function private.hold_import(p_params jsonb)
returns public.import_batches
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_batch public.import_batches;
begin
  if not pg_input_is_valid(p_params ->> 'import_id', 'uuid') is true then
    raise exception using
      errcode = '22023',
      message = 'params must name an import',
      hint    = 'Give { "import_id": "<uuid>" }.';
  end if;

  v_batch := private.find_import((p_params ->> 'import_id')::uuid);
  perform private.lock_organization(v_batch.org_id);
  select b.* into v_batch from public.import_batches as b where b.id = v_batch.id for no key update;
  perform private.require_import_right(v_batch); -- now: it may have been handed over meanwhile
  return v_batch;
end;
$$;

-- A validate or commit job is for one import, which must be in the right state. Definer: locks it.
create function private.tg_scheduled_jobs__resolve_import()
returns trigger
language plpgsql
security definer
set search_path = ''
set jit = off
as $$
declare
  v_batch  public.import_batches := private.hold_import(new.params);
  v_failed public.scheduled_jobs; -- which this one goes on with
begin
  if new.params -> 'retry' = 'true' then
    v_failed := private.failed_job(v_batch, new.job_type);
  end if;
  -- a dry run leaves the state as it is
  if exists (select from public.scheduled_jobs as j where j.batch_id = v_batch.id and j.finished_at is null)
    or (v_failed.id is null and (
      case new.job_type
        when 'validate' then v_batch.status in ('staged', 'validated') or private.failed_before_commit(v_batch)
        when 'undo' then v_batch.status in ('completed', 'failed', 'cancelled', 'undone')
        else v_batch.status = 'validated'
      end
    ) is not true) then
    raise exception using
      errcode = 'PT409',
      message = 'import is in another state',
      detail  = format('import %s is %s', v_batch.id, v_batch.status),
      hint    = case
        when v_batch.status in ('validating', 'committing', 'undoing')
          or exists (select from public.scheduled_jobs as j where j.batch_id = v_batch.id and j.finished_at is null) then
          'Wait for the running job, or cancel it.'
        when new.job_type = 'undo' then 'An import can be undone once its commit has ended.'
        when new.job_type <> 'validate' and (v_batch.status = 'staged' or private.failed_before_commit(v_batch)) then 'Validate it first.'
        when v_batch.status = 'failed' then 'Try it again (retry), or send what is left of the file as a new import.'
        else 'It is at its end; start a new import.'
      end;
  end if;

  perform private.require_rows(v_batch);
  if new.job_type <> 'undo' then
    perform private.require_unredacted(v_batch);
  end if;

  if v_failed.id is null
    and (new.job_type = 'commit' or new.params -> 'commit' = 'true')
    and new.params -> 'force' is distinct from 'true' then
    perform private.require_other_file(v_batch);
  end if;

  if new.job_type <> 'undo' and v_batch.options ->> 'on_error' = 'abort'
    and v_batch.row_count > private.setting('imports.max_atomic_rows', v_batch.org_id)::integer then
    raise exception using
      errcode = 'PT413',
      message = 'import is too large to be applied as a whole',
      detail  = format('%s rows', v_batch.row_count),
      hint    = format('With on_error=abort at most %s rows; set on_error=skip, or send the file in parts.',
        private.setting('imports.max_atomic_rows', v_batch.org_id));
  end if;

  new.org_id      := v_batch.org_id;
  new.batch_id    := v_batch.id;
  new.entity_type := (select d.entity_type from public.datasets as d where d.key = v_batch.dataset);
  if v_failed.id is not null then
    new.total_count  := v_failed.total_count;
    new.done_count   := v_failed.done_count;
    new.failed_count := v_failed.failed_count;
    new.phase        := v_failed.phase;
    new.params       := v_failed.params || jsonb_build_object('retries', v_failed.id);
    return new;
  end if;

  new.total_count := case new.job_type when 'undo' then private.require_reversible(v_batch) else v_batch.row_count end;
  new.phase       := new.job_type;
  if new.job_type = 'validate' then
    perform private.require_no_cycle(v_batch.id);
    if exists (select from private.prerequisites(v_batch) as p where p.status is distinct from 'completed') then
      new.phase := 'waiting';
    end if;
  end if;
  new.params      := case new.job_type
    when 'validate' then
      jsonb_build_object('import_id', v_batch.id, 'commit', coalesce(new.params -> 'commit' = 'true', false),
        'full_preview', coalesce(new.params -> 'full_preview' = 'true', false))
    -- whole: a chunk's records are not cut by its rows; its task takes smaller portions by itself
    when 'undo' then
      jsonb_build_object('import_id', v_batch.id, 'dry_run', coalesce(new.params -> 'dry_run' = 'true', false), 'whole', true,
        'former_status', v_batch.status, 'former_error', v_batch.error)
    -- all or nothing: one task, one transaction
    when 'commit' then jsonb_build_object('import_id', v_batch.id, 'whole', v_batch.options ->> 'on_error' = 'abort')
    else jsonb_build_object('import_id', v_batch.id)
  end;
  return new;
end;
$$;

-- Definer: compiles the plan, moves the batch, enqueues tasks; or goes on with those of the job that failed.
create function private.tg_scheduled_jobs__start_import_job()
returns trigger
language plpgsql
security definer
set search_path = ''
set jit = off
as $$
declare
  v_batch public.import_batches;
begin
  select b.* into v_batch from public.import_batches as b where b.id = new.batch_id;
  update public.import_batches as b
  set status = case new.job_type when 'commit' then 'committing' when 'undo' then 'undoing' else 'validating' end::public.import_status
  where b.id = v_batch.id and not coalesce((new.params ->> 'dry_run')::boolean, false);

  if new.job_type = 'undo' then
    perform private.compile_undo(v_batch, new.run_as);
  end if;
  if new.params ? 'retries' then
    perform private.take_over_tasks(new, (new.params ->> 'retries')::uuid);
    return null;
  elsif new.job_type = 'undo' then
    perform private.enqueue_undo(new, v_batch);
    return null;
  end if;
  perform private.drop_previews(v_batch);

  if new.job_type = 'validate' then
    perform private.compile_plan(v_batch);
    perform private.enqueue_tasks(new, 'prepare', 0, 0, 1);
  else
    perform private.enqueue_tasks(new, new.job_type, 0, v_batch.row_count,
      case when (new.params ->> 'whole')::boolean then v_batch.row_count
        else private.chunk_size(v_batch, new.job_type in ('dry_run', 'commit')) end);
  end if;
  if new.phase = 'waiting' then
    perform private.settle_waiting_job(new);
  end if;
  return null;
end;
$$;

create trigger _200_resolve_import
  before insert on public.scheduled_jobs
  for each row when (new.job_type in ('validate', 'preview', 'dry_run', 'commit', 'undo'))
  execute function private.tg_scheduled_jobs__resolve_import();

create trigger _600_start_import_job
  after insert on public.scheduled_jobs
  for each row when (new.job_type in ('validate', 'preview', 'dry_run', 'commit', 'undo'))
  execute function private.tg_scheduled_jobs__start_import_job();

-- Validating --------------------------------------------------------------------------------------

-- Rows of a range with an error.
create function private.failed_row_count(p_batch public.import_batches, p_from_row integer, p_to_row integer)
returns integer
language sql stable
security invoker
set search_path = ''
as $$
  select count(distinct i.row_number)
  from private.import_issues as i
  where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id
    and i.row_number > p_from_row and i.row_number <= p_to_row
    and i.severity = 'error';
$$;

-- Rows of one task; of one that writes, no more than the dearest field of those it writes allows.
create function private.chunk_size(p_batch public.import_batches, p_writes boolean default false)
returns integer
language sql stable
security invoker
set search_path = ''
as $$
  select least(
    c.most,
    -- what a function judges takes its time: in parts that all workers share
    case when not p_writes and d.check_function is not null then greatest(c.most / 4, 1) end,
    (
      select min(f.chunk_rows)
      from public.dataset_fields as f
      where p_writes and f.dataset = d.key and p_batch.mapping ? f.name
        and (p_batch.mode <> 'delete' or f.name = any (private.record_key(d)))
    ))
  from public.datasets as d
  cross join lateral (select private.setting('imports.chunk_rows', p_batch.org_id)::integer) as c (most)
  where d.key = p_batch.dataset;
$$;

-- Statistics of the tables that the import reads and writes, where they are missing or old: what a business
-- moves in with refers to tables that were empty a minute ago, and a plan made for those scans them once a row.
-- Skipped where somebody else is at it, or where the tables are not ours.
create function private.refresh_statistics(p_dataset text)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_table regclass;
begin
  for v_table in
    select c.oid
    from public.datasets as d
    cross join lateral (
      select unnest(array[d.target, d.lines])
      union
      select r.target
      from public.dataset_fields as f
      join public.datasets as r on r.key = f.reference ->> 'dataset'
      where f.dataset = d.key
    ) as t (name)
    join pg_class as c on c.oid = t.name::regclass
    where d.key = p_dataset
      and c.relkind <> 'v'
      and pg_has_role(c.relowner, 'usage')
      and (c.reltuples < 0 or pg_stat_get_mod_since_analyze(c.oid) > 1000 + c.reltuples / 5)
  loop
    execute format('analyze (skip_locked) %s', v_table);
  end loop;
end;
$$;

-- What the dataset's own function says of rows that have no error yet. The planner is its own again. What its values make
-- it raise is not repeated: they may be secret.
create function private.check_rows(p_batch public.import_batches, p_check_sql text, p_from_row integer, p_to_row integer)
returns void
language plpgsql volatile
security invoker
set search_path = ''
set enable_nestloop = on
as $$
begin
  execute p_check_sql using p_batch.staged_on, p_batch.id, p_from_row, p_to_row, p_batch.org_id;
exception when data_exception or integrity_constraint_violation then
  raise exception using
    errcode = 'IM004',
    message = 'check function of the dataset failed',
    detail  = format('dataset %s: SQLSTATE %s in the rows after %s, to %s', p_batch.dataset, sqlstate, p_from_row, p_to_row),
    hint    = 'Tell the database administrator.';
end;
$$;

-- First the statistics, in a transaction of their own; they enqueue the rest. Then one range, or one bucket of keys,
-- number from_row (task types duplicates_<n>, the n-th unique set, and groups), and at the end a preview of each range.
create function private.run_validation(p_task public.sync_job_queue)
returns private.task_result
language plpgsql volatile
security invoker
set search_path = ''
set enable_nestloop = off -- the anti-join must hash, also where the issues were never analyzed
set jit = off -- what is left of nested loops looks too dear to it
set work_mem = '64MB'
as $$
declare
  v_job     public.scheduled_jobs;
  v_batch   public.import_batches;
  v_plan    private.import_plans;
  v_buckets integer;
  v_count   integer;
begin
  if p_task.task_type = 'preview' then
    perform private.run_preview(p_task);
    return row(0, 0);
  end if;

  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id;
  select b.* into v_batch from public.import_batches as b where b.id = v_job.batch_id;
  select p.* into v_plan from private.import_plans as p where p.batch_id = v_batch.id;
  perform private.require_import_right(v_batch);

  if p_task.task_type = 'prepare' then
    perform private.refresh_statistics(v_batch.dataset);
    perform private.enqueue_tasks(v_job, 'validate', 0, v_batch.row_count, private.chunk_size(v_batch));
    return row(0, 0);
  elsif p_task.task_type = 'groups' then
    execute v_plan.group_sql into v_count using v_batch.staged_on, v_batch.id, p_task.from_row, private.key_buckets(v_batch);
    return row(0, v_count);
  elsif p_task.task_type <> 'validate' then
    v_buckets := private.key_buckets(v_batch);
    execute v_plan.duplicates_sql[substring(p_task.task_type from '[0-9]+$')::integer]
    using v_batch.staged_on, v_batch.id, p_task.from_row, v_buckets;
    get diagnostics v_count = row_count;
    return row(0, case when p_task.task_type = 'duplicates_1' and v_batch.options ->> 'duplicates' <> 'error' then 0 else v_count end);
  end if;

  delete from private.import_issues as i
  where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id
    and i.row_number > p_task.from_row and i.row_number <= p_task.to_row
    and i.origin <> 'ingest';
  delete from private.import_group_rows as g
  where v_plan.group_sql is not null
    and g.staged_on = v_batch.staged_on and g.batch_id = v_batch.id
    and g.row_number > p_task.from_row and g.row_number <= p_task.to_row;

  begin
    execute v_plan.validate_sql using v_batch.staged_on, v_batch.id, p_task.from_row, p_task.to_row, v_batch.org_id;
  exception when data_exception or integrity_constraint_violation or raise_exception then
    if v_plan.validate_bare_sql is null then
      raise;
    end if;
    -- One of the table's CHECKs raises on some value: leave them to the table, row by row.
    execute v_plan.validate_bare_sql using v_batch.staged_on, v_batch.id, p_task.from_row, p_task.to_row, v_batch.org_id;
  end;
  if v_plan.check_sql is not null then
    perform private.check_rows(v_batch, v_plan.check_sql, p_task.from_row, p_task.to_row);
  end if;

  return row(
    p_task.to_row - p_task.from_row,
    private.failed_row_count(v_batch, p_task.from_row, p_task.to_row)
  );
end;
$$;

-- Half a million rows a bucket: its keys fit into memory.
create function private.key_buckets(p_batch public.import_batches)
returns integer
language sql immutable
security invoker
set search_path = ''
as $$
  select ceil(greatest(p_batch.row_count, 1) / 500000.0)::integer;
$$;

-- From the ranges to the first unique set, to the next, to the groups, to the preview where no commit follows.
create function private.advance_validation(p_job public.scheduled_jobs)
returns boolean
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_batch public.import_batches;
  v_plan  private.import_plans;
  v_set   integer := coalesce(substring(p_job.phase from '^duplicates_([0-9]+)$')::integer, 0) + 1;
  v_phase text;
begin
  select b.* into v_batch from public.import_batches as b where b.id = p_job.batch_id;
  select p.* into v_plan from private.import_plans as p where p.batch_id = v_batch.id;

  v_phase := case
    when p_job.phase = 'preview' then null
    when p_job.phase <> 'groups' and v_set <= cardinality(v_plan.duplicates_sql) then 'duplicates_' || v_set
    when p_job.phase <> 'groups' and v_plan.group_sql is not null then 'groups'
    when not (p_job.params ->> 'commit')::boolean and not (p_job.params ->> 'full_preview')::boolean and (v_batch.options ->> 'on_error' = 'skip' or p_job.failed_count = 0) then 'preview'
  end;
  if v_phase is null then
    return true;
  end if;

  update public.scheduled_jobs as j set phase = v_phase where j.id = p_job.id;
  if v_phase = 'preview' then
    perform private.enqueue_tasks(p_job, v_phase, 0, v_batch.row_count, private.chunk_size(v_batch));
  else
    perform private.enqueue_tasks(p_job, v_phase, 0, private.key_buckets(v_batch), 1);
  end if;
  return false;
end;
$$;

-- Ending ------------------------------------------------------------------------------------------

create function private.issue_summary(p_batch public.import_batches)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select coalesce(jsonb_agg(to_jsonb(s) order by s.count desc, s.code, s.field), '[]')
  from (
    select i.code, i.severity, i.field, count(*)
    from private.import_issues as i
    where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id
    group by i.code, i.severity, i.field
  ) as s;
$$;

-- The import follows its job: to its next state, and on to the commit where that was asked for.
create function private.end_import_job(p_job public.scheduled_jobs)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_batch   public.import_batches;
  v_error   jsonb := p_job.error;
  v_status  public.import_status;
begin
  select b.* into v_batch from public.import_batches as b where b.id = p_job.batch_id for no key update;

  if private.is_preview(p_job) then
    perform private.keep_preview(p_job);
    v_error := null; -- the rows are judged all the same
  end if;
  if p_job.job_type = 'validate' and (p_job.status = 'completed' or private.is_preview(p_job)) then
    v_batch.invalid_count := p_job.failed_count;
    v_batch.skipped_count := (
      select count(distinct i.row_number)
      from private.import_issues as i
      where i.staged_on = v_batch.staged_on and i.batch_id = v_batch.id
        and i.code = 'duplicate_in_file' and i.severity = 'warning'
        and not exists (
          select from private.import_issues as e
          where e.staged_on = v_batch.staged_on and e.batch_id = v_batch.id
            and e.row_number = i.row_number and e.severity = 'error'
        )
    );
    if v_batch.options ->> 'on_error' = 'abort' and v_batch.invalid_count > 0 then
      v_error := jsonb_build_object(
        'code', 'rows_invalid',
        'message', 'rows are invalid, so nothing is applied',
        'details', format('%s of %s rows', v_batch.invalid_count, v_batch.row_count),
        'hint', 'Correct the file, or import with on_error=skip.');
    end if;
  end if;
  v_error := v_error || case v_error ->> 'code'
    when '42501' then '{"code": "permission_denied"}'
    when 'IM002' then '{"code": "row_refused"}'
    else '{}'
  end::jsonb;

  v_status := case
    when v_error is not null then 'failed'
    when p_job.job_type in ('preview', 'dry_run') then 'validated'
    when p_job.status = 'cancelled' then 'cancelled'
    when p_job.job_type = 'validate' then 'validated'
    else 'completed'
  end;

  update public.import_batches as b
  set status        = v_status,
      error         = v_error,
      invalid_count = v_batch.invalid_count,
      skipped_count = v_batch.skipped_count,
      issue_counts  = private.issue_summary(b)
  where b.id = v_batch.id;

  if v_status = 'validated' and (p_job.params ->> 'commit')::boolean then
    perform private.assume_claims(p_job.claims);
    insert into public.scheduled_jobs (job_type, params)
    values ('commit', jsonb_build_object('import_id', v_batch.id, 'force', true)); -- that was asked when it was started
  elsif v_status = 'validated' and (p_job.params ->> 'full_preview')::boolean then
    perform private.assume_claims(p_job.claims);
    insert into public.scheduled_jobs (job_type, params) values ('dry_run', jsonb_build_object('import_id', v_batch.id));
  end if;
end;
$$;

revoke all on all functions in schema private from public;
grant execute on function private.require_import_right(public.import_batches) to authenticated, service_role;
