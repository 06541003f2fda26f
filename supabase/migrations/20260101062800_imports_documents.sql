-- Documents: what clients are told of an import.
-- Needs: jobs_rpc, imports_sets, imports_templates, imports_tasks, imports_undo.
-- Exposes: nothing to clients. private.describe_import() to the functions that they call.

-- What became of an import's rows so far: the sum of its chunks, so that no counter is contended.
-- Definer: outcomes are closed. Zero for those who may not see the import.
create function private.outcome_counts(
  p_batch public.import_batches,
  out inserted bigint, out updated bigint, out unchanged bigint, out deleted bigint, out refused bigint
)
language sql stable
security definer
set search_path = ''
as $$
  select
    coalesce(sum(o.inserted_count), 0), coalesce(sum(o.updated_count), 0), coalesce(sum(o.unchanged_count), 0),
    coalesce(sum(o.deleted_count), 0), coalesce(sum(o.refused_count), 0)
  from private.import_outcomes as o
  join public.import_batches as b on b.id = o.batch_id and private.sees_import(b)
  where o.staged_on = p_batch.staged_on and o.batch_id = p_batch.id;
$$;

-- What an undo made of the records so far; null before there was one. Definer: as above.
create function private.undo_counts(p_batch public.import_batches)
returns jsonb
language sql stable
security definer
set search_path = ''
as $$
  select jsonb_build_object('reversed', sum(r.reversed_count), 'kept', coalesce((
      select jsonb_object_agg(k.reason, k.count)
      from (
        select e.key as reason, sum(e.value::integer) as count
        from private.import_reversals as v
        cross join lateral jsonb_each_text(v.kept_counts) as e
        where v.staged_on = p_batch.staged_on and v.batch_id = p_batch.id
        group by e.key
      ) as k
    ), '{}'))
  from private.import_reversals as r
  join public.import_batches as b on b.id = r.batch_id and private.sees_import(b)
  where r.staged_on = p_batch.staged_on and r.batch_id = p_batch.id
  having count(*) > 0;
$$;

-- What keeps an import from being validated.
create function private.waiting_for(p_batch public.import_batches)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  select coalesce(jsonb_agg(jsonb_build_object('id', p.id, 'dataset', p.dataset, 'status', p.status) order by p.dataset, p.id), '[]')
  from private.prerequisites(p_batch) as p
  where p_batch.status in ('receiving', 'staged', 'validating') and p.status is distinct from 'completed';
$$;

-- The document of an import that the caller may see. Definer: the job's row holds claims, which no client may read.
create function private.describe_import(p_import_id uuid)
returns jsonb
language plpgsql stable
security definer
set search_path = ''
set jit = off -- where it is on, it spends a second on what takes milliseconds
as $$
declare
  v_batch    public.import_batches := private.find_import(p_import_id);
  v_job      public.scheduled_jobs;
  v_counts   record;
  v_invalid  integer := coalesce(v_batch.invalid_count, 0);
  v_skipped  integer := coalesce(v_batch.skipped_count, 0);
  v_progress jsonb;
begin
  select j.* into v_job
  from public.scheduled_jobs as j
  where j.batch_id = v_batch.id
  order by j.created_at desc, j.id
  limit 1;

  select c.* into v_counts from private.outcome_counts(v_batch) as c;

  select jsonb_build_object(
    'total', p.total_items, 'processed', p.processed_count, 'failed', p.failed_count,
    'elapsed_seconds', p.elapsed_seconds, 'items_per_minute', p.speed_items_per_min, 'eta_seconds', p.eta_seconds)
  into v_progress
  from public.sync_progress as p
  where p.org_id = v_batch.org_id and p.sync_id = v_job.id::text;

  return jsonb_build_object(
    'id', v_batch.id, 'org_id', v_batch.org_id, 'dataset', v_batch.dataset, 'mode', v_batch.mode,
    'source', v_batch.source, 'storage_path', v_batch.storage_path, 'status', v_batch.status, 'file_name', v_batch.file_name,
    'row_count', v_batch.row_count, 'byte_size', v_batch.byte_size, 'content_hash', v_batch.content_hash,
    'columns', v_batch.columns, 'format', v_batch.format, 'sample', v_batch.sample,
    'mapping', v_batch.mapping, 'suggested_mapping', v_batch.suggested_mapping, 'template_id', v_batch.template_id,
    'options', private.normalize_options(v_batch.options),
    'counts', jsonb_build_object(
      'rows', v_batch.row_count,
      'valid', v_batch.row_count - v_invalid - v_skipped,
      'failed', v_invalid + v_counts.refused,
      'skipped', v_skipped,
      'inserted', v_counts.inserted,
      'updated', v_counts.updated,
      'unchanged', v_counts.unchanged,
      'deleted', v_counts.deleted,
      'pending', v_batch.row_count - v_invalid - v_skipped - v_counts.refused
        - v_counts.inserted - v_counts.updated - v_counts.unchanged - v_counts.deleted
    ),
    'issues', v_batch.issue_counts,
    'error', v_batch.error,
    'undo', private.undo_counts(v_batch),
    'progress', v_progress,
    'job', case when v_job.id is not null then private.describe_job(v_job) end,
    'set_id', v_batch.set_id, 'depends_on', v_batch.depends_on, 'waiting_for', private.waiting_for(v_batch),
    'corrects', v_batch.corrects,
    'corrected_by', (
      select coalesce(jsonb_agg(b.id order by b.created_at), '[]') from public.import_batches as b where b.corrects = v_batch.id
    ),
    'added_columns', private.added_columns(v_batch),
    'chain', private.import_chain(v_batch),
    'duplicate_of', v_batch.duplicate_of,
    'initiated_by', v_batch.initiated_by, 'created_at', v_batch.created_at, 'staged_at', v_batch.staged_at,
    'validated_at', v_batch.validated_at, 'finished_at', v_batch.finished_at
  );
end;
$$;

revoke all on all functions in schema private from public;
grant execute on function
  private.describe_import(uuid), private.outcome_counts(public.import_batches), private.undo_counts(public.import_batches)
  to authenticated, service_role;
