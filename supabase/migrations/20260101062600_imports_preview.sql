-- Preview: what a commit would do, counted without writing, or tried and rolled back (dry run).
-- Needs: imports_commit.
-- Exposes: sync_preview_cache, auto_cleanup_preview_cache; the job types preview and dry_run. Their RPCs are in imports_rpc.

insert into private.job_types (job_type, run_function, advance_function, end_function, right_function) values
  ('preview', 'private.run_preview', 'private.advance_preview', 'private.end_import_job', 'private.require_import_job_right'),
  ('dry_run', 'private.run_dry_run', 'private.advance_preview', 'private.end_import_job', 'private.require_import_job_right');
insert into public.sync_retry_policy (job_type) values ('preview'), ('dry_run');

-- Tables ------------------------------------------------------------------------------------------

create table public.sync_preview_cache (
  id           uuid primary key default gen_random_uuid(),
  org_id       uuid not null references public.organization (id) on delete cascade,
  sync_type    public.sync_type not null,
  entity_type  public.sync_entity_type not null,
  cache_key    text not null,
  preview_data jsonb not null,
  created_at   timestamptz not null default now(),
  expires_at   timestamptz not null default now() + interval '1 hour',

  constraint sync_preview_cache_cache_key_key unique (org_id, sync_type, cache_key),
  constraint sync_preview_cache_expires_at_check check (expires_at > created_at)
);
alter table public.sync_preview_cache enable row level security;
comment on table public.sync_preview_cache is
  'What a synchronization would do, for an hour. It shows records, so it is seen by whoever asked for it, with whose rights they were read.';
comment on column public.sync_preview_cache.cache_key is 'What it is a preview of, a colon, and whose it is: <import id>:<user id>, or :service.';
comment on column public.sync_preview_cache.preview_data is
  '{ kind: counts|full, counts: { insert, update, unchanged, delete, fail, skip }, changes: [{ row_number, key, action, before, after }] }.';
create index sync_preview_cache_expires_at_idx on public.sync_preview_cache (expires_at);

-- Not in the cache before it is whole: it may be paused for longer than an hour.
create table private.import_previews (
  batch_id uuid primary key references private.import_plans (batch_id) on delete cascade,
  counts   jsonb not null,
  changes  jsonb not null
);
comment on table private.import_previews is 'A preview in the making: the counts of the ranges that are done, and their first changes.';

-- What is known of the valid rows of a range.
create type private.range_preview as (
  there   integer, -- that have a record
  written integer, -- of these: that would write to it
  changes jsonb    -- of the first rows: [{ row_number, action, before, after }]
);

-- Compiling ---------------------------------------------------------------------------------------

-- The valid rows of batch $1 in the ranges after $2, to $3 (arrays), organization $4: whether there is a record,
-- and whether they would write one. Of records that a function writes it is known only whether they exist.
-- The keys are given to the index as one list: a probe for each costs five times as much under row level security.
create function private.compile_preview(
  p_dataset public.datasets, p_mode public.import_mode, p_blank text, p_fields private.planned_field[], p_by_id boolean
)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_by_function boolean := p_dataset.apply_function is not null;
  v_fields   private.planned_field[] := array(
    select f from unnest(p_fields) as f where not v_by_function or f.name = any (private.record_key(p_dataset)) order by f.number
  );
  v_record   text := format('t.%I', p_dataset.id_column);
  v_rows     text := 'unnest($2, $3) as p (after, upto) cross join lateral private.staged_rows($1, p.after, p.upto) as r';
  v_refs     text := private.compile_references(v_fields, 's as r', '(select $4::uuid)');
  v_keys     text;
  v_listed   text;
  v_match    text;
  v_changed  text;
  v_before   text;
  v_after    text;
begin
  select
    string_agg(format(', %s as _k%s', private.typed_value(f, false), f.number), '' order by f.number),
    string_agg(format('t.%I = any (array(select r._k%s from r))', f.column_name, f.number), ' and ' order by f.number),
    string_agg(format('t.%I = r._k%s', f.column_name, f.number), ' and ' order by f.number)
  into v_keys, v_listed, v_match
  from unnest(v_fields) as f
  where f.name = any (private.record_key(p_dataset));

  if p_by_id then
    v_keys := ', r.record_id';
    v_listed := format('%s = any (array(select r.record_id from r))', v_record);
    v_match := format('%s = r.record_id', v_record);
  end if;

  select
    'row(' || string_agg(private.hashable(format('t.%I', f.column_name), f.type_oid), ', ' order by f.number) filter (where not f.is_key)
      || ') is distinct from row('
      || string_agg(private.hashable(n.value, f.type_oid), ', ' order by f.number) filter (where not f.is_key) || ')',
    string_agg(format('t.%I', f.column_name), ', ' order by f.number),
    string_agg(format('%s as %I', n.value, f.column_name), ', ' order by f.number)
  into v_changed, v_before, v_after
  from unnest(v_fields) as f
  cross join lateral (select private.updated_value(f, p_blank, private.typed_value(f, false)) as value) as n;

  return format($q$
with %sr as materialized (
  select r.row_number, r.cells%s
  from %s
)
select r.row_number, %s is not null as is_there, %s as acts,
  %s as before,
  %s as after
from r
left join (
  select t.* from %s as t where %s and %s
) as t on %s $q$,
    case when v_refs <> '' then format('s as materialized (select r.* from %s), ', v_rows) || v_refs else '' end,
    v_keys, case when v_refs <> '' then 's as r' else v_rows end, v_record,
    format(
      case p_mode when 'insert' then '%1$s is null' when 'delete' then '%1$s is not null'
        when 'update' then '%1$s is not null and (%2$s)' else '%1$s is null or %2$s' end,
      v_record, case when v_by_function then 'true' else coalesce(v_changed, 'false') end),
    case
      when v_by_function then 'null::jsonb'
      when p_mode = 'delete' then 'to_jsonb(t)'
      else format('case when %s is not null then (select to_jsonb(b) from (select %s) as b) end', v_record, v_before)
    end,
    case
      when v_by_function or p_mode = 'delete' then 'null::jsonb'
      -- of a new record: the others take the columns' defaults
      else format('(select case when %s is null then jsonb_strip_nulls(to_jsonb(a)) else to_jsonb(a) end from (select %s) as a)', v_record, v_after)
    end,
    p_dataset.target, private.of_organization('t', p_dataset.org_column, '(select $4::uuid)'), v_listed, v_match);
end;
$$;

-- Records of organization $4 as they are, in the form of a merge's result, for private.apply_as(): $5 are their ids.
create function private.compile_images(p_dataset public.datasets)
returns text
language sql stable
security invoker
set search_path = ''
as $$
  select format('select null::integer[], null::private.row_action[], array_agg(t.%1$I), null::bigint[], array_agg(%2$s), 0::bigint, null::text[]'
    ' from %3$s as t where (%4$s) is true and t.%1$I = any ($5)',
    p_dataset.id_column, private.record_image(p_dataset), p_dataset.target, private.of_organization('t', p_dataset.org_column, '$4'));
$$;

-- Counting ----------------------------------------------------------------------------------------

-- Looks with the rights of the current role: what it may not see is no record to it, as it will be to its
-- merge. Shows at most p_most changes.
create function private.preview_range(p_plan private.import_plans, p_from_row integer, p_to_row integer, p_most integer)
returns private.range_preview
language plpgsql volatile
security invoker
set search_path = ''
set enable_hashjoin = on
set enable_nestloop = off
set enable_mergejoin = off
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
set work_mem = '64MB'
set timezone = 'UTC'
set datestyle = 'ISO, MDY'
as $$
declare
  v_preview private.range_preview := row(0, 0, null);
  v_exists  boolean;
  v_rows    integer[] := '{}'; -- that change something
begin
  execute p_plan.exists_sql into v_exists using p_plan.org_id;
  if v_exists then
    execute format(
      'select count(*) filter (where p.is_there), count(*) filter (where p.is_there and p.acts),'
      ' array_agg(p.row_number) filter (where p.acts and $5 > 0) from (%s offset 0) as p', p_plan.preview_sql)
    into v_preview.there, v_preview.written, v_rows
    using p_plan.batch_id, array[p_from_row], array[p_to_row], p_plan.org_id, p_most;
    v_rows := array(select n from unnest(v_rows) as n order by n limit p_most);
  elsif p_plan.mode in ('insert', 'upsert') and p_most > 0 then
    v_rows := array(
      select r.row_number from private.staged_rows(p_plan.batch_id, p_from_row, p_to_row) as r order by r.row_number limit p_most
    );
  end if;

  if v_rows <> '{}' then
    execute format(
      'select jsonb_agg(to_jsonb(p) || jsonb_build_object(''action'', case when p.is_there then $5 else ''insert'' end)) from (%s) as p',
      p_plan.preview_sql)
    into v_preview.changes
    using p_plan.batch_id, array(select n - 1 from unnest(v_rows) as n), v_rows, p_plan.org_id,
      case p_plan.mode when 'delete' then 'delete' else 'update' end;
  end if;
  return v_preview;
end;
$$;

-- See private.apply_rows_as_user().
create function private.preview_range_as_user(p_plan private.import_plans, p_from_row integer, p_to_row integer, p_most integer)
returns private.range_preview
language sql volatile
security invoker
set search_path = ''
set role = authenticated
as $$
  select p.* from private.preview_range(p_plan, p_from_row, p_to_row, p_most) as p;
$$;

create function private.preview_range_as_service(p_plan private.import_plans, p_from_row integer, p_to_row integer, p_most integer)
returns private.range_preview
language sql volatile
security invoker
set search_path = ''
set role = service_role
as $$
  select p.* from private.preview_range(p_plan, p_from_row, p_to_row, p_most) as p;
$$;

create function private.preview_as(
  p_run_as public.job_run_as, p_plan private.import_plans, p_from_row integer, p_to_row integer, p_most integer
)
returns private.range_preview
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  if p_run_as = 'user' then
    return private.preview_range_as_user(p_plan, p_from_row, p_to_row, p_most);
  end if;
  return private.preview_range_as_service(p_plan, p_from_row, p_to_row, p_most);
end;
$$;

-- Changes -----------------------------------------------------------------------------------------

-- How many changes after a row are still to be shown: the first 50 of the import are.
create function private.changes_wanted(p_batch_id uuid, p_from_row integer)
returns integer
language sql stable
security invoker
set search_path = ''
as $$
  select greatest(50 - count(*), 0)::integer
  from private.import_previews as p
  cross join lateral jsonb_array_elements(p.changes) as c
  where p.batch_id = p_batch_id and (c ->> 'row_number')::integer <= p_from_row;
$$;

-- A record as it is shown: values of more than 1,000 characters are cut.
create function private.shown_record(p_record jsonb)
returns jsonb
language sql immutable
security invoker
set search_path = ''
as $$
  select jsonb_object_agg(f.key, case
    when length(f.value #>> '{}') > 1000 then to_jsonb(left(f.value #>> '{}', 1000) || '…')
    else f.value
  end)
  from jsonb_each(nullif(p_record, 'null')) as f;
$$;

-- The same of one with lines, if it has: the first 50 are given.
create function private.shown_image(p_image jsonb, p_has_lines boolean)
returns jsonb
language sql immutable
security invoker
set search_path = ''
as $$
  select case
    when not p_has_lines then private.shown_record(p_image)
    when p_image <> 'null' then jsonb_build_object(
      'record', private.shown_record(p_image -> 'record'),
      'lines', (
        select coalesce(jsonb_agg(private.shown_record(l.value) order by l.position), '[]')
        from jsonb_array_elements(p_image -> 'lines') with ordinality as l (value, position)
        where l.position <= 50
      ))
  end;
$$;

-- The one place where records become something to be shown: { row_number, key, action, before, after }.
create function private.shown_changes(p_batch public.import_batches, p_plan private.import_plans, p_changes jsonb)
returns jsonb
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_keys jsonb;
begin
  if p_changes is null then
    return '[]';
  end if;
  execute format('select coalesce(jsonb_object_agg(k.row_number, k.key), ''{}'') from (%s) as k (row_number, key)', p_plan.keys_sql)
  into v_keys
  using p_batch.staged_on, p_batch.id, array(select (c ->> 'row_number')::integer from jsonb_array_elements(p_changes) as c);

  return (
    select jsonb_agg(
      jsonb_build_object(
        'row_number', c -> 'row_number',
        'key', v_keys -> (c ->> 'row_number'),
        'action', c -> 'action',
        'before', private.shown_image(c -> 'before', p_plan.group_sql is not null),
        'after', private.shown_image(c -> 'after', p_plan.group_sql is not null)
      )
      order by (c ->> 'row_number')::integer)
    from jsonb_array_elements(p_changes) as c
  );
end;
$$;

-- The tasks ---------------------------------------------------------------------------------------

create function private.is_preview(p_job public.scheduled_jobs)
returns boolean
language sql immutable
security invoker
set search_path = ''
as $$
  select p_job.phase in ('preview', 'dry_run');
$$;

create function private.is_written_by_function(p_batch public.import_batches)
returns boolean
language sql stable
security invoker
set search_path = ''
as $$
  select exists (select from public.datasets as d where d.key = p_batch.dataset and d.apply_function is not null);
$$;

create function private.run_preview(p_task public.sync_job_queue)
returns private.task_result
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_job     public.scheduled_jobs;
  v_batch   public.import_batches;
  v_plan    private.import_plans;
  v_fates   record;
  v_preview private.range_preview;
  v_new     integer;
  v_failed  integer;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id;
  select b.* into v_batch from public.import_batches as b where b.id = v_job.batch_id;
  select p.* into v_plan from private.import_plans as p where p.batch_id = v_batch.id;
  perform private.require_import_right(v_batch);

  v_preview := private.preview_as(
    v_job.run_as, v_plan, p_task.from_row, p_task.to_row,
    case when private.is_written_by_function(v_batch) then 0 else private.changes_wanted(v_batch.id, p_task.from_row) end
  );
  perform private.require_import_right(v_batch); -- see run_commit

  select f.* into v_fates from private.chunk_fates(v_batch, p_task.from_row, p_task.to_row) as f;
  v_new := v_fates.total - v_fates.failed - cardinality(v_fates.skipped) - v_preview.there;
  v_failed := v_fates.failed + case v_batch.mode when 'insert' then v_preview.there when 'upsert' then 0 else v_new end;
  perform private.add_preview(
    v_batch,
    jsonb_build_object(
      'insert', case when v_batch.mode in ('insert', 'upsert') then v_new else 0 end,
      'update', case when v_batch.mode in ('update', 'upsert') then v_preview.written else 0 end,
      'unchanged', case when v_batch.mode in ('update', 'upsert') then v_preview.there - v_preview.written else 0 end,
      'delete', case when v_batch.mode = 'delete' then v_preview.there else 0 end,
      'fail', v_failed,
      'skip', cardinality(v_fates.skipped)
    ),
    private.shown_changes(v_batch, v_plan, v_preview.changes)
  );

  return row(v_fates.total, v_failed);
end;
$$;

-- The real merge, with triggers and constraints, taken back at the end of each range. It does not see what
-- other ranges would have written.
create function private.run_dry_run(p_task public.sync_job_queue)
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
  v_fates   private.range_fates;
  v_changes jsonb;
begin
  select j.* into v_job from public.scheduled_jobs as j where j.id = p_task.job_id;
  select b.* into v_batch from public.import_batches as b where b.id = v_job.batch_id;
  select p.* into v_plan from private.import_plans as p where p.batch_id = v_batch.id;
  perform private.require_import_right(v_batch);

  begin
    v_range := private.apply_as(v_job.run_as, v_plan, v_plan.merge_sql, p_task.from_row, p_task.to_row);
    v_all := private.join_pieces(v_range.pieces);
    v_changes := private.changed_records(v_job.run_as, v_plan, v_all, private.changes_wanted(v_batch.id, p_task.from_row));
    perform private.require_import_right(v_batch); -- see run_commit
    raise exception using errcode = 'IM003', message = 'dry run';
  exception when sqlstate 'IM003' then
    null; -- what was written is rolled back; what was learnt stays
  end;

  v_fates := private.judge_range(v_batch, p_task.from_row, v_range.reached, v_all.row_numbers, v_range.refused, v_range.missing);
  perform private.drop_findings(v_batch, p_task.from_row, v_range.reached);
  perform private.report_fates(v_batch, v_plan, v_fates, 'dry_run');
  perform private.add_preview(
    v_batch,
    jsonb_build_object(
      'insert', cardinality(array_positions(v_all.actions, 'inserted')),
      'update', cardinality(array_positions(v_all.actions, 'updated')),
      'delete', cardinality(array_positions(v_all.actions, 'deleted')),
      'unchanged', v_fates.unchanged,
      'fail', v_fates.failed + cardinality(v_fates.refused) + cardinality(v_fates.absent),
      'skip', cardinality(v_fates.skipped)
    ),
    private.shown_changes(v_batch, v_plan, v_changes)
  );

  -- Out of patience, see run_commit.
  if v_range.reached < p_task.to_row then
    perform private.enqueue_tasks(v_job, p_task.task_type, v_range.reached, p_task.to_row,
      ceil((p_task.to_row - v_range.reached) / 2.0)::integer);
  end if;
  return row(v_fates.total, v_fates.failed + cardinality(v_fates.refused) + cardinality(v_fates.absent));
end;
$$;

-- The first p_most records that a merge changed, before and after it: [{ row_number, action, before, after }].
-- Within its transaction, with the same rights.
create function private.changed_records(
  p_run_as public.job_run_as, p_plan private.import_plans, p_all private.applied_piece, p_most integer
)
returns jsonb
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_changes jsonb;
  v_ids     uuid[];
  v_images  private.applied_piece;
begin
  select jsonb_agg(to_jsonb(c)), array_agg(c.record_id)
  into v_changes, v_ids
  from (
    select u.row_number, case u.action when 'inserted' then 'insert' when 'updated' then 'update' else 'delete' end as action,
      u.record_id, u.image as before
    from unnest(p_all.row_numbers, p_all.actions, p_all.record_ids, p_all.row_hashes, p_all.images)
      as u (row_number, action, record_id, row_hash, image)
    where u.row_hash is not null or u.image is not null -- of a record with lines: one of its rows
    order by u.row_number
    limit p_most
  ) as c;
  if v_ids is null then
    return null;
  end if;

  v_images := private.join_pieces(
    (private.apply_as(p_run_as, p_plan, replace(p_plan.image_sql, '$5', quote_literal(v_ids) || '::uuid[]'), 0, 1)).pieces);
  return (
    select jsonb_agg(c || jsonb_build_object('after', i.image))
    from jsonb_array_elements(v_changes) as c
    left join unnest(v_images.record_ids, v_images.images) as i (id, image) on i.id = (c ->> 'record_id')::uuid
  );
end;
$$;

create function private.add_counts(p_one jsonb, p_other jsonb)
returns jsonb
language sql immutable
security invoker
set search_path = ''
as $$
  select jsonb_object_agg(c.key, coalesce((p_one ->> c.key)::integer, 0) + coalesce((p_other ->> c.key)::integer, 0))
  from (select jsonb_object_keys(p_one) union select jsonb_object_keys(p_other)) as c (key);
$$;

create function private.add_preview(p_batch public.import_batches, p_counts jsonb, p_changes jsonb)
returns void
language sql volatile
security invoker
set search_path = ''
as $$
  insert into private.import_previews as p (batch_id, counts, changes)
  values (p_batch.id, p_counts, p_changes)
  on conflict (batch_id) do update
  set counts  = private.add_counts(p.counts, excluded.counts),
      changes = (
        select coalesce(jsonb_agg(f.change order by f.row_number), '[]')
        from (
          select c as change, (c ->> 'row_number')::integer as row_number
          from jsonb_array_elements(p.changes || excluded.changes) as c
          order by 2
          limit 50
        ) as f
      );
$$;

create function private.advance_preview(p_job public.scheduled_jobs)
returns boolean
language sql immutable
security invoker
set search_path = ''
as $$
  select true;
$$;

-- Keeping -----------------------------------------------------------------------------------------

-- A preview is of what was validated: it goes when that does, or when another is made.
create function private.drop_previews(p_batch public.import_batches)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
begin
  delete from private.import_previews as p where p.batch_id = p_batch.id;
  delete from public.sync_preview_cache as c
  where c.org_id = p_batch.org_id and c.sync_type = 'import' and c.cache_key like p_batch.id || ':%';
end;
$$;

-- Definer: the cache can only be read.
create function private.tg_import_batches__drop_previews()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.drop_previews(new);
  return null;
end;
$$;

create trigger _500_drop_previews
  after update of status on public.import_batches
  for each row when (old.status = 'validated' and new.status in ('staged', 'cancelled'))
  execute function private.tg_import_batches__drop_previews();

-- The job is at its end. That of one which failed is kept for a retry.
create function private.keep_preview(p_job public.scheduled_jobs)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_preview private.import_previews;
begin
  if p_job.status = 'failed' then
    return;
  end if;

  delete from private.import_previews as p where p.batch_id = p_job.batch_id returning p.* into v_preview;
  if p_job.status = 'completed' then
    v_preview.counts := private.add_counts('{"insert": 0, "update": 0, "unchanged": 0, "delete": 0, "fail": 0, "skip": 0}', v_preview.counts);
    insert into public.sync_preview_cache (org_id, sync_type, entity_type, cache_key, preview_data)
    values (
      p_job.org_id, 'import', p_job.entity_type, p_job.batch_id || ':' || coalesce(p_job.actor::text, 'service'),
      jsonb_build_object(
        'kind', case p_job.phase when 'dry_run' then 'full' else 'counts' end, 'counts', v_preview.counts, 'changes', v_preview.changes
      )
    );
    update public.scheduled_jobs as j set result = v_preview.counts where j.id = p_job.id;
  end if;
end;
$$;

create function public.auto_cleanup_preview_cache()
returns integer
language sql volatile
security invoker
set search_path = ''
as $$
  with gone as (
    delete from public.sync_preview_cache as c where c.expires_at <= now() returning c.id
  )
  select count(*)::integer from gone;
$$;
comment on function public.auto_cleanup_preview_cache() is 'Deletes previews that are past their hour; returns how many. Runs by schedule.';

-- Policies and grants -----------------------------------------------------------------------------

create policy preview_cache_select on public.sync_preview_cache
  for select to authenticated
  using (
    org_id = any (array(select private.org_ids('viewer')))
    and cache_key like '%:' || (select auth.uid())
    -- whose import the reader may see, still
    and case when sync_type = 'import' then exists (
      select from public.import_batches as b where b.id = split_part(cache_key, ':', 1)::uuid
    ) else true end
  );
create policy preview_cache_insert on public.sync_preview_cache
  for insert to authenticated with check (false);
create policy preview_cache_update on public.sync_preview_cache
  for update to authenticated using (false);
create policy preview_cache_delete on public.sync_preview_cache
  for delete to authenticated using (false);

revoke all on public.sync_preview_cache from public, anon, authenticated, service_role;
grant select on public.sync_preview_cache to authenticated, service_role;
grant delete on public.sync_preview_cache to service_role;
revoke all on function public.auto_cleanup_preview_cache() from public, anon, authenticated, service_role;
grant execute on function public.auto_cleanup_preview_cache() to service_role;

revoke all on all tables in schema private from public, anon, authenticated, service_role;
grant insert on private.import_rows, private.import_issues to sluice_ingest;
revoke all on all functions in schema private from public;
grant execute on function private.preview_range(private.import_plans, integer, integer, integer) to authenticated, service_role;
