-- Applying: a range of valid rows becomes records, with the actor's rights; each row gets its outcome.
-- Needs: imports_tasks.
-- Exposes: nothing to clients. private.run_commit() to the job type commit.

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

-- Locks records with lines before they are read, so that what is remembered of them is what was changed.
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
  select f.* into v_field from public.dataset_fields as f where f.dataset = v_dataset.key and f.name = v_dataset.group_field;
  execute format('select from %1$s as t where t.%2$I = (select $1::uuid) and t.%3$I = any ($2::%4$s[]) order by t.%3$I for update',
    v_dataset.target, v_dataset.org_column, v_field.column_name, v_field.type)
  using v_batch.org_id, p_keys;
end;
$$;

-- What one merge did, as arrays that run in parallel.
create type private.applied_piece as (
  row_numbers     integer[],
  actions         private.row_action[],
  record_ids      uuid[],
  row_hashes      bigint[],
  images          jsonb[],
  overtaken_count bigint,
  verdicts        text[] -- of an undo: reversed, or why not
);
-- A record with lines as it is.
create type private.record_state as (
  key   text,
  id    uuid,
  hash  bigint,
  image jsonb
);
create type private.refused_row as (
  row_number      integer,
  sqlstate        text,
  message         text,
  column_name     text,
  constraint_name text
);
create type private.refused_fate as (
  row_number      integer,
  sqlstate        text,
  message         text,
  column_name     text,
  constraint_name text,
  cause           integer -- the row of its record that says why
);
create type private.applied_range as (
  pieces  private.applied_piece[],
  refused private.refused_row[],
  missing integer[],
  reached integer -- how far it came
);

-- Applies records with lines: the dataset's function writes, and what it did is seen by comparing the
-- records before and after. Takes the three statements of private.compile_apply_groups(). The function is
-- called for new records and for those that exist, which are locked, apart: so it need not ask, and a
-- record that somebody else inserts in between is refused by the table, not taken for one of ours.
create function private.apply_groups(
  p_batch_id uuid, p_from_row integer, p_to_row integer, p_org_id uuid, p_mode public.import_mode, p_keys text, p_state text, p_call text
)
returns private.applied_piece
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_keys    text[]; -- of each row
  v_numbers integer[];
  v_before  private.record_state[];
  v_after   private.record_state[];
  v_existing text[];
  v_piece   private.applied_piece;
begin
  execute p_keys into v_keys, v_numbers using p_batch_id, p_from_row, p_to_row, p_org_id;
  if v_keys is null then
    return v_piece;
  end if;

  perform private.lock_records(p_batch_id, v_keys);
  execute format('select array_agg(row(s.*)::private.record_state) from (%s) as s', p_state) into v_before using p_org_id, v_keys;
  v_existing := array(select b.key from unnest(v_before) as b);
  if p_mode in ('insert', 'upsert') then
    execute p_call using p_batch_id, p_from_row, p_to_row, p_org_id, 'insert'::public.import_mode, v_existing, false;
  end if;
  if p_mode <> 'insert' then
    execute p_call using p_batch_id, p_from_row, p_to_row, p_org_id,
      case p_mode when 'delete' then 'delete' else 'update' end::public.import_mode, v_existing, true;
  end if;
  execute format('select array_agg(row(s.*)::private.record_state) from (%s) as s', p_state) into v_after using p_org_id, v_keys;

  return private.compare_states(v_keys, v_numbers, v_before, v_after);
end;
$$;

-- The first row of a record stands for it: hash and image are there.
create function private.compare_states(
  p_keys text[], p_row_numbers integer[], p_before private.record_state[], p_after private.record_state[]
)
returns private.applied_piece
language sql immutable
security invoker
set search_path = ''
set enable_hashjoin = on -- the callers' planner is held to the index; here there is none
set enable_nestloop = off
as $$
  select array_agg(r.row_number), array_agg(c.action), array_agg(c.id),
    array_agg(case r.place when 1 then c.hash end), array_agg(case r.place when 1 then c.image end), 0::bigint, null::text[]
  from (
    select n.key, n.row_number, row_number() over (partition by n.key order by n.row_number) as place
    from unnest(p_keys, p_row_numbers) as n (key, row_number)
  ) as r
  join (
    select coalesce(b.key, a.key) as key, coalesce(a.id, b.id) as id, a.hash, b.image,
      case when b.id is null then 'inserted' when a.id is null then 'deleted' else 'updated' end::private.row_action as action
    from unnest(p_before) as b
    full join unnest(p_after) as a on a.key = b.key
    where a.hash is distinct from b.hash
  ) as c on c.key = r.key;
$$;

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

-- Runs a statement of the plan over a range with the rights of the current role and claims: merge_sql over rows, or
-- undo_sql over a chunk's records. The whole range at once; if
-- PostgreSQL refuses it, in windows: a quarter after a refusal, double after a success, and after a
-- refused row as wide as the distance to the one before. After 20 seconds it stops where it is.
create function private.apply_rows(p_plan private.import_plans, p_statement text, p_from_row integer, p_to_row integer)
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
        execute p_statement into v_piece using p_plan.batch_id, v_from, v_to, p_plan.org_id;
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
        execute 'prepare apply_rows (uuid, integer, integer, uuid) as ' || p_statement;
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
  if p_plan.missing_sql is not null and p_statement = p_plan.merge_sql then
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
create function private.apply_rows_as_user(p_plan private.import_plans, p_statement text, p_from_row integer, p_to_row integer)
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
  select a.* from private.apply_rows(p_plan, p_statement, p_from_row, p_to_row) as a;
$$;

create function private.apply_rows_as_service(p_plan private.import_plans, p_statement text, p_from_row integer, p_to_row integer)
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
  select a.* from private.apply_rows(p_plan, p_statement, p_from_row, p_to_row) as a;
$$;

create function private.apply_as(
  p_run_as public.job_run_as, p_plan private.import_plans, p_statement text, p_from_row integer, p_to_row integer
)
returns private.applied_range
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  if p_run_as = 'user' then
    return private.apply_rows_as_user(p_plan, p_statement, p_from_row, p_to_row);
  end if;
  return private.apply_rows_as_service(p_plan, p_statement, p_from_row, p_to_row);
end;
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
      when r.sqlstate = 'IR001' then 'reference_not_found'
      else 'constraint_violation'
    end,
    case when r.cause is null then r.message else format('fails with its record: row %s', r.cause) end,
    case when r.cause is null then r.sqlstate end,
    case when r.cause is null then nullif(r.constraint_name, '') end,
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
grant execute on function
  private.apply_groups(uuid, integer, integer, uuid, public.import_mode, text, text, text), private.lock_records(uuid, text[]),
  private.compare_states(text[], integer[], private.record_state[], private.record_state[]),
  private.refuse_reference(text, text, text), private.is_row_error(text), private.has_table_right(private.import_plans),
  private.apply_rows(private.import_plans, text, integer, integer), private.staged_rows(uuid, integer, integer)
  to authenticated, service_role;
