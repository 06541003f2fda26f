-- What imports have to do with each other: which waits for which, and which corrects which.
-- Needs: jobs_worker, imports.
-- Exposes: nothing to clients.

-- The imports that must be completed before this one is validated: those it names, and those of its set
-- whose datasets its own refers to. What failed, was cancelled or undone in a set counts no more once
-- the same dataset was sent again. One that is gone has neither dataset nor status.
create function private.prerequisites(p_batch public.import_batches)
returns table (id uuid, dataset text, status public.import_status)
language sql stable
security invoker
set search_path = ''
as $$
  select d.id, b.dataset, b.status
  from unnest(p_batch.depends_on) as d (id)
  left join public.import_batches as b on b.id = d.id and b.org_id = p_batch.org_id
  union
  select b.id, b.dataset, b.status
  from public.import_batches as b
  where b.set_id = p_batch.set_id
    and b.dataset <> p_batch.dataset
    and b.dataset in (
      select f.reference ->> 'dataset' from public.dataset_fields as f where f.dataset = p_batch.dataset
    )
    and not (b.status in ('failed', 'cancelled', 'undone') and exists (
      select from public.import_batches as n
      where n.set_id = b.set_id and n.dataset = b.dataset and n.created_at > b.created_at
    ));
$$;

-- The imports of which each waits for the next and the last for the first, as text; null: there is no such circle.
create function private.prerequisite_cycle(p_import_id uuid)
returns text
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_via   jsonb := '{}'; -- import to the one that waits for it
  v_new   jsonb;
  v_front uuid[] := array[p_import_id];
  v_id    uuid := p_import_id;
  v_path  uuid[] := array[p_import_id];
begin
  loop
    select jsonb_object_agg(p.id, b.id), array_agg(distinct p.id) into v_new, v_front
    from public.import_batches as b
    cross join lateral private.prerequisites(b) as p
    where b.id = any (v_front) and not v_via ? p.id::text;

    if v_front is null then
      return null;
    end if;
    v_via := v_via || v_new;
    exit when v_via ? p_import_id::text;
  end loop;

  loop
    v_id := v_via ->> v_id::text;
    v_path := v_id || v_path;
    exit when v_id = p_import_id;
  end loop;
  return (
    select string_agg(format('%s (%s)', b.dataset, b.id), ' waits for ' order by p.position)
    from unnest(v_path) with ordinality as p (id, position)
    join public.import_batches as b on b.id = p.id
  );
end;
$$;

-- Its caller holds the organization's lock, where others may close a circle at the same time.
create function private.require_no_cycle(p_import_id uuid)
returns void
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  v_cycle text := private.prerequisite_cycle(p_import_id);
begin
  if v_cycle is not null then
    raise exception using
      errcode = '22023',
      message = 'imports would wait for each other',
      detail  = v_cycle,
      hint    = 'Take one of them out of depends_on, or out of the set.';
  end if;
end;
$$;

-- The imports that another one of the organization is to wait for, each once. PT404 where the caller may not see one.
create function private.normalize_prerequisites(p_org_id uuid, p_ids uuid[])
returns uuid[]
language plpgsql stable
security invoker
set search_path = ''
as $$
declare
  c_most constant integer := 100;
  v_ids      uuid[] := array(select distinct i.id from unnest(p_ids) as i (id) order by i.id);
  v_stranger uuid;
begin
  if cardinality(v_ids) > c_most then
    raise exception using
      errcode = '22023',
      message = 'depends_on names too many imports',
      detail  = format('got %s', cardinality(v_ids)),
      hint    = format('At most %s; put them into a set.', c_most);
  end if;

  select i.id into v_stranger
  from unnest(v_ids) as i (id)
  where not exists (
    select from public.import_batches as b
    where b.id = i.id and b.org_id = p_org_id and private.sees_import(b)
  )
  limit 1;
  if found then
    raise exception using
      errcode = 'PT404',
      message = 'import not found',
      detail  = format('depends_on names %s', coalesce(v_stranger::text, 'null'));
  end if;
  return v_ids;
end;
$$;

-- Waiting -----------------------------------------------------------------------------------------
-- A job in phase waiting is queued, though not for its turn, or paused where what it waits for came to a bad end. It is
-- looked at when it starts or is resumed, and at every end of an import that it may wait for, with the
-- organization locked: so of two that end together, the second sees both.

create function private.settle_waiting_job(p_job public.scheduled_jobs)
returns void
language plpgsql volatile
security invoker
set search_path = ''
as $$
declare
  v_bad   record;
  v_error jsonb;
  v_open  boolean;
begin
  select p.* into v_bad
  from public.import_batches as b
  cross join lateral private.prerequisites(b) as p
  where b.id = p_job.batch_id
    and (p.status is null or p.status in ('failed', 'cancelled', 'undone'))
  limit 1;
  if found then
    v_error := jsonb_build_object(
      'code', 'prerequisite_failed',
      'message', 'an import that this one waits for did not complete',
      'details', format('import %s%s is %s', v_bad.id, ' into ' || v_bad.dataset, coalesce(v_bad.status::text, 'gone')),
      'hint', 'Try that one again, and this one goes on by itself; or cancel this one.'
    );
  end if;

  select exists (
    select from public.import_batches as b
    cross join lateral private.prerequisites(b) as p
    where b.id = p_job.batch_id and p.status is distinct from 'completed'
  ) into v_open;

  update public.scheduled_jobs as j
  set status = case when v_error is null then 'queued' else 'paused' end::public.sync_status_type,
      phase  = case when v_open then 'waiting' else j.job_type end,
      error  = v_error
  where j.id = p_job.id;
  if not v_open then
    perform private.release_queued_jobs(p_job.org_id);
  end if;
end;
$$;

-- Definer: it may be an admin who lets somebody else's job go on.
create function private.tg_scheduled_jobs__settle_resumed()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.lock_organization(new.org_id);
  perform private.settle_waiting_job(new);
  return null;
end;
$$;

create trigger _600_settle_resumed
  after update of status on public.scheduled_jobs
  for each row when (old.status = 'paused' and new.status = 'queued' and new.phase = 'waiting')
  execute function private.tg_scheduled_jobs__settle_resumed();

-- Definer: it may be somebody else's job that waits.
create function private.tg_import_batches__settle_waiting()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_job public.scheduled_jobs;
begin
  -- With its organization goes everything.
  if not exists (select from public.organization as o where o.id = old.org_id) then
    return null;
  end if;
  perform private.lock_organization(old.org_id);

  for v_job in
    select j.*
    from public.scheduled_jobs as j
    join public.import_batches as b on b.id = j.batch_id
    where j.org_id = old.org_id
      and j.phase = 'waiting' and j.finished_at is null
      and (j.status = 'queued' or j.error is not null) -- not those that people paused
      and (old.id = any (b.depends_on) or b.set_id = old.set_id)
    order by j.created_at
    for no key update of j skip locked -- whoever holds it stops or ends it, or looks after this
  loop
    perform private.settle_waiting_job(v_job);
  end loop;
  return null;
end;
$$;

create trigger _800_settle_waiting
  after update of status on public.import_batches
  for each row when (
    old.status is distinct from new.status and (
      old.status in ('completed', 'failed', 'cancelled', 'undone')
      or new.status in ('completed', 'failed', 'cancelled', 'undone')
    )
  )
  execute function private.tg_import_batches__settle_waiting();

create trigger _800_settle_waiting_for_none
  after delete on public.import_batches
  for each row execute function private.tg_import_batches__settle_waiting();

-- Correcting --------------------------------------------------------------------------------------

-- What the file of failed rows adds to the columns of an import: the row's number, its line and the reason. With as many
-- underscores as it takes that the first file of the chain has none of them: so all of it have the same.
create function private.added_columns(p_batch public.import_batches)
returns text[]
language sql stable
security invoker
set search_path = ''
as $$
  with recursive upwards as (
    select p_batch.corrects, p_batch.columns
    union all
    select b.corrects, b.columns from upwards as u join public.import_batches as b on b.id = u.corrects
  )
  select a.names
  from upwards as u
  cross join lateral generate_series(1, coalesce(cardinality(u.columns), 0) + 1) as n
  cross join lateral (select array[repeat('_', n) || 'row', repeat('_', n) || 'line', repeat('_', n) || 'reason']) as a (names)
  where u.corrects is null
    and not a.names && coalesce(u.columns, '{}')
  order by n
  limit 1;
$$;

-- The columns of a file; null for those of a correction that the file of failed rows added.
create function private.file_columns(p_batch public.import_batches, p_columns text[])
returns text[]
language sql stable
security invoker
set search_path = ''
as $$
  select case when p_batch.corrects is null then p_columns else array(
    select case when c.name <> all (a.names) then c.name end
    from private.added_columns(p_batch) as a (names)
    cross join unnest(p_columns) with ordinality as c (name, position)
    order by c.position
  ) end;
$$;

-- An import with all that it corrects and all that corrects these, from the first one on.
create function private.import_chain_ids(p_batch public.import_batches)
returns table (id uuid, is_root boolean)
language sql stable
security invoker
set search_path = ''
as $$
  with recursive upwards as (
    select p_batch.id, p_batch.corrects, 0 as steps
    union all
    select b.id, b.corrects, u.steps + 1 from upwards as u join public.import_batches as b on b.id = u.corrects
  ),
  chain as (
    (select u.id, true as is_root from upwards as u order by u.steps desc limit 1)
    union all
    select b.id, false from chain as c join public.import_batches as b on b.corrects = c.id
  )
  select c.id, c.is_root from chain as c;
$$;

create function private.chain_length(p_batch public.import_batches)
returns integer
language sql stable
security invoker
set search_path = ''
as $$
  select count(*)::integer from private.import_chain_ids(p_batch);
$$;

-- Of such a chain: the rows of the first file, how many of all that were sent are applied, and how many of the
-- first file's failed rows no correction has mended. Null where it is alone.
create function private.import_chain(p_batch public.import_batches)
returns jsonb
language sql stable
security invoker
set search_path = ''
as $$
  with parts as (
    select
      c.is_root, b.row_count, coalesce(b.invalid_count, 0) + coalesce(o.refused, 0) as failed,
      case when b.status = 'undone' then 0 else coalesce(o.applied, 0) end as applied
    from private.import_chain_ids(p_batch) as c
    join public.import_batches as b on b.id = c.id
    cross join lateral (
      select
        sum(x.refused_count) as refused,
        sum(x.inserted_count + x.updated_count + x.unchanged_count + x.deleted_count) as applied
      from private.import_outcomes as x
      where x.staged_on = b.staged_on and x.batch_id = b.id
    ) as o
  )
  select case when count(*) > 1 then jsonb_build_object(
    'rows', max(p.row_count) filter (where p.is_root),
    'applied', sum(p.applied),
    'failed', greatest(max(p.failed) filter (where p.is_root) - coalesce(sum(p.applied) filter (where not p.is_root), 0), 0)
  ) end
  from parts as p;
$$;

revoke all on all functions in schema private from public;
grant execute on function
  private.added_columns(public.import_batches), private.file_columns(public.import_batches, text[])
  to authenticated, service_role;
