-- Applying: a statement of the plan is run over a range of rows with the actor's rights; rows that PostgreSQL
-- refuses are found one by one.
-- Needs: imports_chunks.
-- Exposes: nothing to clients. private.apply_as() to the tasks.

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

-- A record that a function writes, as it is.
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

-- Where a function writes: what it did is seen by comparing the records before and after. Takes the three
-- statements of private.compile_apply_by_function(). The function is
-- called for new records and for those that exist, which are locked, apart: so it need not ask, and a
-- record that somebody else inserts in between is refused by the table, not taken for one of ours.
create function private.apply_by_function(
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

-- The current role has the rights that the plan needs on the table as such. On a view it needs none: whose function
-- writes behind it decides of each row.
create function private.has_table_right(p_plan private.import_plans)
returns boolean
language sql stable
security invoker
set search_path = ''
as $$
  select (p_plan.mode <> 'delete' or p_plan.key_index is null or has_table_privilege(current_user, p_plan.target, 'delete'))
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
-- refused row as wide as the distance to the one before. After 20 seconds it stops where it is. The planner is held
-- to the index: left alone it hashes the whole target for every chunk.
create function private.apply_rows(p_plan private.import_plans, p_statement text, p_from_row integer, p_to_row integer)
returns private.applied_range
language plpgsql volatile
security invoker
set search_path = ''
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

-- The role is a setting of these functions, so it ends with them, also on an error. They must be invoker: a
-- definer may not change role.
create function private.apply_rows_as_user(p_plan private.import_plans, p_statement text, p_from_row integer, p_to_row integer)
returns private.applied_range
language sql volatile
security invoker
set search_path = ''
set role = authenticated
as $$
  select a.* from private.apply_rows(p_plan, p_statement, p_from_row, p_to_row) as a;
$$;

create function private.apply_rows_as_service(p_plan private.import_plans, p_statement text, p_from_row integer, p_to_row integer)
returns private.applied_range
language sql volatile
security invoker
set search_path = ''
set role = service_role
as $$
  select a.* from private.apply_rows(p_plan, p_statement, p_from_row, p_to_row) as a;
$$;

-- Meanwhile sluice.import_id says for which import: triggers and apply functions may log it.
create function private.apply_as(
  p_run_as public.job_run_as, p_plan private.import_plans, p_statement text, p_from_row integer, p_to_row integer
)
returns private.applied_range
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_range private.applied_range;
begin
  perform set_config('sluice.import_id', p_plan.batch_id::text, true);
  if p_run_as = 'user' then
    v_range := private.apply_rows_as_user(p_plan, p_statement, p_from_row, p_to_row);
  else
    v_range := private.apply_rows_as_service(p_plan, p_statement, p_from_row, p_to_row);
  end if;
  perform set_config('sluice.import_id', '', true);
  return v_range;
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

revoke all on all functions in schema private from public;
grant execute on function
  private.apply_by_function(uuid, integer, integer, uuid, public.import_mode, text, text, text),
  private.compare_states(text[], integer[], private.record_state[], private.record_state[]),
  private.is_row_error(text), private.has_table_right(private.import_plans),
  private.apply_rows(private.import_plans, text, integer, integer)
  to authenticated, service_role;
