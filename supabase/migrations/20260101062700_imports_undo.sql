-- Undo: what an import did is taken back record by record, unless somebody changed it since.
-- Needs: imports_commit.
-- Exposes: nothing to clients. The job type undo; undo_import is in imports_rpc.

insert into private.job_types (job_type, run_function, advance_function, end_function, right_function) values
  ('undo', 'private.run_undo', 'private.advance_undo', 'private.end_undo', 'private.require_import_job_right');
insert into public.sync_retry_policy (job_type) values ('undo');

-- What was taken back of a chunk, a row for each task of an undo. Why the rest was kept is told by issues of
-- the origin undo; both of the last undo only.
create table private.import_reversals (
  id             bigint generated always as identity,
  staged_on      date not null,
  batch_id       uuid not null,
  from_row       integer not null,
  row_numbers    integer[] not null,
  reversed_count integer not null,
  kept_counts    jsonb not null,

  primary key (id, staged_on)
) partition by range (staged_on);
comment on table private.import_reversals is
  'What undos did about the chunk that begins after from_row: the rows whose records are as they were before the import, '
  'how many records these are, and how many the last undo kept by reason.';
create index import_reversals_batch_id_from_row_idx on private.import_reversals (batch_id, from_row);
select private.create_partitions('private.import_reversals', 'week', 3);

-- The records that a chunk wrote and no undo has taken back, numbered. Of one with lines the row that holds hash
-- and image stands for all.
create function private.written_records(p_staged_on date, p_batch_id uuid, p_from_row integer)
returns table (entry integer, row_number integer, action private.row_action, record_id uuid, row_hash bigint, image jsonb)
language sql stable
security invoker
rows 20000
set search_path = ''
as $$
  select (row_number() over (order by u.row_number))::integer, u.*
  from private.import_outcomes as o
  cross join lateral unnest(o.row_numbers, o.actions, o.record_ids, o.row_hashes, o.images)
    as u (row_number, action, record_id, row_hash, image)
  where o.staged_on = p_staged_on and o.batch_id = p_batch_id and o.from_row = p_from_row
    and (u.row_hash is not null or u.image is not null)
    and u.row_number not in (
      select n
      from private.import_reversals as v
      cross join lateral unnest(v.row_numbers) as n
      where v.staged_on = p_staged_on and v.batch_id = p_batch_id and v.from_row = p_from_row
    );
$$;

-- Judging ----------------------------------------------------------------------------------------

-- A record and why it has to stay as it is: missing, changed, referenced; null: it may be reversed.
create type private.judged_record as (
  row_number integer,
  action     private.row_action,
  record_id  uuid,
  image      jsonb,
  verdict    text
);

-- Of these records, those that others refer to. Asked of all foreign keys, whatever they would do on a
-- deletion: what came later is not to go along.
create function private.referenced_records(p_dataset public.datasets, p_ids uuid[])
returns uuid[]
language plpgsql stable
security invoker
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_key   record;
  v_some  boolean;
  v_found uuid[];
  v_all   uuid[] := '{}';
begin
  for v_key in
    select c.conrelid::regclass as table_name, a.attname as column_name
    from pg_constraint as c
    cross join lateral unnest(c.conkey, c.confkey) as k (attnum, ref_attnum)
    join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.attnum
    join pg_attribute as r on r.attrelid = c.confrelid and r.attnum = k.ref_attnum
    where c.contype = 'f'
      and c.conparentid = 0
      and c.confrelid = p_dataset.target::regclass
      and c.conrelid is distinct from p_dataset.lines::regclass
      and r.attname = p_dataset.id_column
  loop
    execute format('select exists (select from %s)', v_key.table_name) into v_some;
    continue when not v_some; -- a probe a record for nothing
    execute format('select coalesce(array_agg(distinct f.%1$I), ''{}'') from %2$s as f where f.%1$I = any ($1)',
      v_key.column_name, v_key.table_name)
    into v_found using p_ids;
    v_all := v_all || v_found;
  end loop;
  return v_all;
end;
$$;

-- Locks the records, then looks whether they are as the import left them. Definer: outcomes are closed,
-- a lock takes the right to update, and what refers to a record need not be the actor's to see.
create function private.judge_reversals(p_batch_id uuid, p_chunk integer, p_from_entry integer, p_to_entry integer)
returns setof private.judged_record
language plpgsql volatile
security definer
rows 20000
set search_path = ''
set enable_seqscan = off
as $$
declare
  v_batch      public.import_batches := private.require_running_job(p_batch_id, '{undo}');
  v_dataset    public.datasets;
  v_hash_sql   text := (select p.hash_sql from private.import_plans as p where p.batch_id = p_batch_id);
  v_ids        uuid[];
  v_now        private.record_state[];
  v_referenced uuid[];
begin
  select d.* into v_dataset from public.datasets as d where d.key = v_batch.dataset;
  v_ids := array(
    select w.record_id from private.written_records(v_batch.staged_on, p_batch_id, p_chunk) as w
    where w.entry > p_from_entry and w.entry <= p_to_entry
  );

  execute format('select from %1$s as t where (%2$s) is true and t.%3$I = any ($2) order by t.%3$I for update',
    v_dataset.target, private.of_organization('t', v_dataset.org_column, '$1'), v_dataset.id_column)
  using v_batch.org_id, v_ids;
  if v_dataset.lines is not null then
    execute format('select from %1$s as l where l.%2$I = any ($1) order by l.%2$I for update',
      v_dataset.lines, private.lines_column(v_dataset.lines::regclass, v_dataset.target::regclass))
    using v_ids;
  end if;

  execute format('select array_agg(row(null, t.%1$I, %2$s, null)::private.record_state) from %3$s as t where (%4$s) is true and t.%1$I = any ($2)',
    v_dataset.id_column, v_hash_sql, v_dataset.target, private.of_organization('t', v_dataset.org_column, '$1'))
  into v_now using v_batch.org_id, v_ids;
  v_referenced := private.referenced_records(v_dataset, v_ids);

  return query select j.* from private.compare_written(v_batch, p_chunk, p_from_entry, p_to_entry, v_now, v_referenced) as j;
end;
$$;

create function private.compare_written(
  p_batch public.import_batches, p_chunk integer, p_from_entry integer, p_to_entry integer,
  p_now private.record_state[], p_referenced uuid[]
)
returns setof private.judged_record
language sql stable
security invoker
rows 20000
set search_path = ''
set enable_hashjoin = on -- see private.compare_states()
set enable_nestloop = off
as $$
  select w.row_number, w.action, w.record_id, w.image,
    case
      when w.action = 'deleted' then case when n.id is not null then 'changed' end
      when n.id is null then 'missing'
      when n.hash is distinct from w.row_hash then 'changed'
      when w.action = 'inserted' and r.id is not null then 'referenced'
    end
  from private.written_records(p_batch.staged_on, p_batch.id, p_chunk) as w
  left join unnest(p_now) as n on n.id = w.record_id
  left join (select distinct u.id from unnest(p_referenced) as u (id)) as r on r.id = w.record_id
  where w.entry > p_from_entry and w.entry <= p_to_entry;
$$;

-- Reversing ---------------------------------------------------------------------------------------

-- The statement that takes back records $2 to $3 of the chunk $5 of batch $1, organization $4 (is true: the
-- records are to be found by their ids, never by all of the organization): what the role
-- may do of it. Parts that it has no right to are null, and what they would do is denied.
create function private.undo_statement(p_dataset public.datasets, p_plan private.import_plans, p_role name)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_image     text := case when p_dataset.lines is null then 's.image' else '(s.image -> ''record'')' end;
  v_update    text := '';
  v_insert    text;
  v_values    text;
  v_lines     text[];
  v_may_lines boolean := true;
begin
  if p_dataset.apply_function is not null and p_dataset.lines is null then
    return private.undo_by_function(p_dataset);
  end if;

  select string_agg(format('%1$I = i.%1$I', c), ', ') into v_update
  from unnest(p_plan.update_columns) as c
  having bool_and(has_column_privilege(p_role, p_plan.target, c, 'update'));

  select string_agg(format('%I', a.attname), ', ' order by a.attnum), string_agg(format('i.%I', a.attname), ', ' order by a.attnum)
  into v_insert, v_values
  from pg_attribute as a
  where a.attrelid = p_plan.target::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    and has_column_privilege(p_role, a.attrelid, a.attnum, 'insert')
  having bool_or(a.attname = p_dataset.id_column);

  if p_dataset.lines is not null then
    v_lines := private.compile_undo_lines(p_dataset, p_role);
    v_may_lines := v_lines is not null;
  end if;

  return format('select p.* from private.reverse_records($1, $5, $2, $3, $4, %L, %L, %L, %L) as p',
    case when has_table_privilege(p_role, p_plan.target, 'delete') then format(
      'with d as (delete from %1$s as t where (t.%2$I = $1) is true and t.%3$I = any ($2) returning t.%3$I as id) select array_agg(d.id) from d',
      p_plan.target, p_dataset.org_column, p_dataset.id_column) end,
    case when v_may_lines and v_update is not null then format(
      'with d as (update %1$s as t set %2$s from unnest($2, $3) as s (id, image)'
      ' cross join lateral jsonb_populate_record(null::%1$s, %3$s) as i where (t.%4$I = $1) is true and t.%5$I = s.id returning t.%5$I as id)'
      ' select array_agg(d.id) from d',
      p_plan.target, v_update, v_image, p_dataset.org_column, p_dataset.id_column) end,
    case when v_may_lines and v_insert is not null then format(
      'with d as (insert into %1$s (%2$s) select %3$s from unnest($2, $3) as s (id, image)'
      ' cross join lateral jsonb_populate_record(null::%1$s, %4$s) as i where i.%5$I = $1 returning %6$I as id) select array_agg(d.id) from d',
      p_plan.target, v_insert, v_values, v_image, p_dataset.org_column, p_dataset.id_column) end,
    v_lines);
end;
$$;

-- Where a function writes one record a row it takes back, too: deletes what it inserted, and updates what it updated to
-- its image, where nothing in p_clear is a blank. What it deleted it would make anew, so that is denied.
create function private.undo_by_function(p_dataset public.datasets)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_type    regclass := private.apply_row_type(p_dataset.apply_function);
  v_key     name;
  v_columns text[];
  v_now     text;
  v_image   text;
  v_mine    text := private.of_organization('t', p_dataset.org_column, '$1');
begin
  select f.column_name into v_key
  from public.dataset_fields as f
  where f.dataset = p_dataset.key and f.name = any (private.record_key(p_dataset));

  select array_agg(t.attname order by t.attnum),
    string_agg(private.hashable(format('t.%I', t.attname), t.atttypid), ', ' order by t.attnum),
    string_agg(private.hashable(format('i.%I', t.attname), t.atttypid), ', ' order by t.attnum)
  into v_columns, v_now, v_image
  from pg_attribute as t
  join pg_attribute as a on a.attrelid = v_type and a.attname = t.attname and a.attnum > 0 and not a.attisdropped
  where t.attrelid = p_dataset.target::regclass and t.attnum > 0 and not t.attisdropped;

  return format('select p.* from private.reverse_records($1, $5, $2, $3, $4, %L, %L, null, null) as p',
    format('select private.reverse_by_function($1, $2, $3, %L, %L)',
      format('select %s($1, ''delete'', ''{}'', array_agg(jsonb_populate_record(null::%s, to_jsonb(t)) order by t.%I))'
        ' from %s as t where (%s) is true and t.%I = any ($2) having count(*) > 0',
        p_dataset.apply_function, v_type, v_key, p_dataset.target, v_mine, p_dataset.id_column),
      format('select array_agg(s.id) from unnest($2) as s (id) where not exists (select from %s as t where t.%I = s.id)',
        p_dataset.target, p_dataset.id_column)),
    format('select private.reverse_by_function($1, $2, $3, %L, %L)',
      format('select %s($1, ''update'', %L, array_agg(jsonb_populate_record(null::%s, s.image) order by s.image ->> %L)) from unnest($3) as s (image)',
        p_dataset.apply_function, v_columns, v_type, v_key),
      format('select array_agg(s.id) from unnest($2, $3) as s (id, image) cross join lateral jsonb_populate_record(null::%1$s, s.image) as i'
        ' join %1$s as t on t.%2$I = s.id where (%3$s) is true and row(%4$s) is not distinct from row(%5$s)',
        p_dataset.target, p_dataset.id_column, v_mine, v_now, v_image)));
end;
$$;

-- Calls the function, then looks which of the records are as they were.
create function private.reverse_by_function(p_org_id uuid, p_ids uuid[], p_images jsonb[], p_call text, p_reversed text)
returns uuid[]
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_reversed uuid[];
begin
  execute p_call using p_org_id, p_ids, p_images;
  execute p_reversed into v_reversed using p_org_id, p_ids, p_images;
  return v_reversed;
end;
$$;

create function private.compile_undo(p_batch public.import_batches, p_run_as public.job_run_as)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  update private.import_plans as p
  set undo_sql = private.undo_statement(d, p, case p_run_as when 'user' then 'authenticated' else 'service_role' end)
  from public.datasets as d
  where p.batch_id = p_batch.id and d.key = p_batch.dataset;
$$;

-- Two statements that bring the lines of records $1 to their images $2: what is not in them goes, then
-- what is in them is as it was. Null: the role may not.
create function private.compile_undo_lines(p_dataset public.datasets, p_role name)
returns text[]
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_lines  regclass := p_dataset.lines::regclass;
  v_parent name := private.lines_column(v_lines, p_dataset.target::regclass);
  v_source text := format('select i.* from unnest($2) as s (image)'
    ' cross join lateral jsonb_populate_recordset(null::%s, s.image -> ''lines'') as i where i.%I = any ($1)', v_lines, v_parent);
  v_key    text;
  v_keys   text[];
  v_set    text;
  v_names  text;
  v_values text;
begin
  select string_agg(format('l.%1$I = s.%1$I', a.attname), ' and '),
    array[string_agg(format('l.%I', a.attname), ', '), string_agg(format('s.%I', a.attname), ', ')]
  into v_key, v_keys
  from pg_index as i
  join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
  where i.indrelid = v_lines and i.indisprimary;

  select
    string_agg(format('%1$I = s.%1$I', a.attname), ', ' order by a.attnum)
      filter (where has_column_privilege(p_role, v_lines, a.attnum, 'update') and a.attname <> v_parent),
    string_agg(format('%I', a.attname), ', ' order by a.attnum) filter (where has_column_privilege(p_role, v_lines, a.attnum, 'insert')),
    string_agg(format('s.%I', a.attname), ', ' order by a.attnum) filter (where has_column_privilege(p_role, v_lines, a.attnum, 'insert'))
  into v_set, v_names, v_values
  from pg_attribute as a
  where a.attrelid = v_lines and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity = '';

  if v_key is null or v_set is null or v_names is null or not has_table_privilege(p_role, v_lines, 'delete') then
    return null;
  end if;
  return array[
    format('delete from %s as l where l.%I = any ($1) and (%s) not in (select %s from (%s) as s)',
      v_lines, v_parent, v_keys[1], v_keys[2], v_source),
    -- A line with the id of one that was another record's since is refused by the table, not taken from there.
    format('merge into %s as l using (%s) as s on %s and l.%I = s.%I when matched then update set %s when not matched then insert (%s) values (%s)',
      v_lines, v_source, v_key, v_parent, v_parent, v_set, v_names, v_values)
  ];
end;
$$;

-- Takes back what may be, with the rights of the current role. Several statements, in this order: lines
-- need their record, and policies see what is written only afterwards.
create function private.reverse_records(
  p_batch_id uuid, p_chunk integer, p_from_entry integer, p_to_entry integer, p_org_id uuid,
  p_delete text, p_update text, p_insert text, p_lines text[]
)
returns private.applied_piece
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_judged private.judged_record[] := array(
    select j from private.judge_reversals(p_batch_id, p_chunk, p_from_entry, p_to_entry) as j
  );
  v_part   record;
  v_line   text;
  v_ids    uuid[];
  v_done   uuid[] := '{}';
begin
  for v_part in
    select s.statement, s.with_lines,
      array(select j.record_id from unnest(v_judged) as j where j.verdict is null and j.action = s.action order by j.record_id) as ids,
      array(select j.image from unnest(v_judged) as j where j.verdict is null and j.action = s.action order by j.record_id) as images
    from (values
      ('inserted'::private.row_action, p_delete, false), ('updated', p_update, true), ('deleted', p_insert, true)
    ) as s (action, statement, with_lines)
  loop
    continue when v_part.statement is null or v_part.ids = '{}';
    execute v_part.statement into v_ids using p_org_id, v_part.ids, v_part.images;
    v_done := v_done || v_ids;
    if v_part.with_lines then
      foreach v_line in array coalesce(p_lines, '{}') loop
        execute v_line using v_ids, v_part.images;
      end loop;
    end if;
  end loop;
  return private.reversed_piece(v_judged, v_done);
end;
$$;

-- What policies passed over in silence was denied.
create function private.reversed_piece(p_judged private.judged_record[], p_done uuid[])
returns private.applied_piece
language sql immutable
security invoker
set search_path = ''
set enable_hashjoin = on -- see private.compare_states()
set enable_nestloop = off
as $$
  select array_agg(j.row_number), null::private.row_action[], array_agg(j.record_id), null::bigint[], null::jsonb[], 0::bigint,
    array_agg(coalesce(j.verdict, case when d.id is not null then 'reversed' else 'denied' end))
  from unnest(p_judged) as j
  left join unnest(p_done) as d (id) on d.id = j.record_id;
$$;

create type private.reversal_fate as (row_number integer, verdict text, reason text);

-- The task ----------------------------------------------------------------------------------------

create function private.undo_message(p_verdict text)
returns text
language sql immutable
security invoker
set search_path = ''
as $$
  select case p_verdict
    when 'changed' then 'kept: somebody changed the record since'
    when 'missing' then 'the record is gone'
    when 'referenced' then 'kept: other records refer to it'
    when 'denied' then 'kept: the right to take it back is missing'
    else 'kept: the table refuses to take it back'
  end;
$$;

-- Takes back the records that the chunk after from_row wrote; task type undo_<n>: after the n-th of those that
-- are left. After an attempt that failed, in smaller portions.
create function private.run_undo(p_task public.sync_job_queue)
returns private.task_result
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_job     public.scheduled_jobs;
  v_batch   public.import_batches;
  v_plan    private.import_plans;
  v_from    integer := coalesce(substring(p_task.task_type from '[0-9]+$')::integer, 0);
  v_entries integer;
  v_range   private.applied_range;
  v_fates   private.reversal_fate[];
  v_rows    integer[];
  v_counts  jsonb;
  v_kept    integer;
  v_from_next integer;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id;
  select b.* into v_batch from public.import_batches as b where b.id = v_job.batch_id;
  select p.* into v_plan from private.import_plans as p where p.batch_id = v_batch.id;
  perform private.require_import_right(v_batch);

  select count(*) into v_entries from private.written_records(v_batch.staged_on, v_batch.id, p_task.from_row);

  begin
    v_range := private.apply_as(
      v_job.run_as, v_plan, replace(v_plan.undo_sql, '$5', p_task.from_row::text), v_from,
      least(v_entries, v_from + ceil((v_entries - v_from) / power(4, p_task.attempts - 1))::integer)
    );
    perform private.require_import_right(v_batch); -- see run_commit

    if (v_job.params ->> 'dry_run')::boolean then
      set constraints all immediate;
      raise exception using errcode = 'IM003', message = 'dry run';
    end if;
  exception when sqlstate 'IM003' then
    null; -- what was written is rolled back; what was learnt stays
  end;

  v_fates := array(
    select row(u.row_number, u.verdict, null)::private.reversal_fate
    from unnest(v_range.pieces) as p
    cross join lateral unnest(p.row_numbers, p.verdicts) as u (row_number, verdict)
  ) || array(
    select row(w.row_number, case r.sqlstate when '42501' then 'denied' when '23503' then 'referenced' else 'refused' end,
      private.shown_message(v_batch.dataset, r.sqlstate, r.message))::private.reversal_fate
    from unnest(v_range.refused) as r
    join private.written_records(v_batch.staged_on, v_batch.id, p_task.from_row) as w on w.entry = r.row_number
  );
  select coalesce(jsonb_object_agg(c.verdict, c.count), '{}'), coalesce(sum(c.count) filter (where c.verdict <> 'reversed'), 0)
  into v_counts, v_kept
  from (select f.verdict, count(*) from unnest(v_fates) as f group by f.verdict) as c;

  if not (v_job.params ->> 'dry_run')::boolean then
    -- All rows of a record go with the one that stands for it.
    v_rows := array(
      select o.row_number
      from unnest(v_fates) as f
      join private.written_records(v_batch.staged_on, v_batch.id, p_task.from_row) as w on w.row_number = f.row_number
      join (
        select u.* from private.import_outcomes as o
        cross join lateral unnest(o.row_numbers, o.record_ids) as u (row_number, record_id)
        where o.staged_on = v_batch.staged_on and o.batch_id = v_batch.id and o.from_row = p_task.from_row
      ) as o on o.record_id = w.record_id
      where f.verdict = 'reversed'
      order by 1
    );
    insert into private.import_reversals (staged_on, batch_id, from_row, row_numbers, reversed_count, kept_counts)
    values (
      v_batch.staged_on, v_batch.id, p_task.from_row, v_rows, coalesce((v_counts ->> 'reversed')::integer, 0), v_counts - 'reversed'
    );
    insert into private.import_issues (staged_on, batch_id, row_number, severity, code, message, value, origin)
    select v_batch.staged_on, v_batch.id, f.row_number, 'warning', 'undo_' || f.verdict, private.undo_message(f.verdict), left(f.reason, 200), 'undo'
    from unnest(v_fates) as f
    where f.verdict <> 'reversed';
  end if;

  update public.scheduled_jobs as j
  set result = private.add_counts(coalesce(j.result, '{"reversed": 0}'), v_counts)
  where j.id = v_job.id;

  if v_range.reached < v_entries then
    -- What was taken back is not among the records any more.
    v_from_next := case when (v_job.params ->> 'dry_run')::boolean then v_range.reached else v_from + v_kept end;
    perform private.enqueue_tasks(v_job, 'undo_' || v_from_next, p_task.from_row, p_task.to_row, p_task.to_row - p_task.from_row);
  end if;
  return row(v_range.reached - v_from, v_kept);
end;
$$;

create function private.advance_undo(p_job public.scheduled_jobs)
returns boolean
language sql immutable
security invoker
set search_path = ''
as $$
  select true;
$$;

-- Chunks with records that no undo has taken back, and how many there are.
create function private.unreversed_chunks(p_batch public.import_batches)
returns table (from_row integer, to_row integer, record_count integer)
language sql stable
security invoker
set search_path = ''
as $$
  select o.from_row, o.to_row, c.written - r.reversed
  from private.import_outcomes as o
  cross join lateral (
    select cardinality(o.row_numbers) - case when private.has_groups(p_batch.id) then (
      select count(*)::integer from unnest(o.row_hashes, o.images) as u (row_hash, image) where u.row_hash is null and u.image is null
    ) else 0 end as written
  ) as c
  cross join lateral (
    select coalesce(sum(v.reversed_count), 0)::integer as reversed
    from private.import_reversals as v
    where v.staged_on = o.staged_on and v.batch_id = o.batch_id and v.from_row = o.from_row
  ) as r
  where o.staged_on = p_batch.staged_on and o.batch_id = p_batch.id and c.written > r.reversed;
$$;

-- How many records an undo has to judge.
create function private.require_reversible(p_batch public.import_batches)
returns integer
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_count integer := (select sum(c.record_count) from private.unreversed_chunks(p_batch) as c);
begin
  if p_batch.mode = 'delete' and exists (
    select from public.datasets as d where d.key = p_batch.dataset and d.apply_function is not null and d.lines is null
  ) then
    raise exception using
      errcode = 'PT409',
      message = 'deletions of this dataset cannot be undone',
      detail  = format('import %s into %s', p_batch.id, p_batch.dataset),
      hint    = 'Import the records again; they will be new ones.';
  end if;
  if v_count is null then
    raise exception using
      errcode = 'PT409',
      message = 'nothing is left to undo',
      detail  = format('import %s', p_batch.id),
      hint    = 'It wrote no record, or an undo has taken back all of them.';
  end if;
  return v_count;
end;
$$;

-- From the last chunk to the first. What an earlier undo kept is judged anew: rights, references and the table may
-- say something else by now.
create function private.enqueue_undo(p_job public.scheduled_jobs, p_batch public.import_batches)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  if not (p_job.params ->> 'dry_run')::boolean then
    update private.import_reversals as r set kept_counts = '{}'
    where r.staged_on = p_batch.staged_on and r.batch_id = p_batch.id;
    delete from private.import_issues as i
    where i.staged_on = p_batch.staged_on and i.batch_id = p_batch.id and i.origin = 'undo';
  end if;
  perform private.enqueue_tasks(p_job, 'undo', c.from_row, c.to_row, c.to_row - c.from_row)
  from (select u.* from private.unreversed_chunks(p_batch) as u order by u.from_row desc) as c;
end;
$$;

-- The import follows its undo. One that took nothing back leaves it as it was.
create function private.end_undo(p_job public.scheduled_jobs)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_batch public.import_batches;
  v_error jsonb := case p_job.status
    when 'cancelled' then jsonb_build_object(
      'code', 'undo_cancelled', 'message', 'the undo was stopped; what it took back stays taken back', 'hint', 'Undo it again to go on.')
    when 'failed' then p_job.error || case p_job.error ->> 'code' when '42501' then '{"code": "permission_denied"}' else '{}' end::jsonb
  end;
begin
  if (p_job.params ->> 'dry_run')::boolean then
    return;
  end if;

  select b.* into v_batch from public.import_batches as b where b.id = p_job.batch_id;
  if v_error is null and not exists (
    select from private.import_reversals as r
    where r.staged_on = v_batch.staged_on and r.batch_id = v_batch.id and r.reversed_count > 0
  ) then
    v_error := nullif(p_job.params -> 'former_error', 'null');
    v_batch.status := p_job.params ->> 'former_status';
  else
    v_batch.status := case when v_error is null then 'undone' else 'failed' end;
  end if;

  update public.import_batches as b
  set status = v_batch.status, error = v_error, issue_counts = private.issue_summary(b)
  where b.id = v_batch.id;
end;
$$;

revoke all on all tables in schema private from public, anon, authenticated, service_role;
grant insert on private.import_rows, private.import_issues to sluice_ingest;
revoke all on all functions in schema private from public;
grant execute on function
  private.reverse_records(uuid, integer, integer, integer, uuid, text, text, text, text[]),
  private.reverse_by_function(uuid, uuid[], jsonb[], text, text),
  private.judge_reversals(uuid, integer, integer, integer), private.reversed_piece(private.judged_record[], uuid[])
  to authenticated, service_role;
